"""A second person who looks at the same turns, and does not always see the same.

The first annotation has the truth. A second annotator has ears and eyes only: they cannot run the
stages again, so they blame the first stage that looks wrong, and they overlook things, mostly where
an outcome is wrong by a detail. How often the two agree is what a model can be measured against.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from labels.failure_point import COLUMNS, derive

# How often something is overlooked that is there to be seen.
_OVERLOOKED = {"false_wake": 0.03, "asr": 0.03, "nlu": 0.06, "er": 0.10, "result": 0.08}
# How often a right turn is called wrong, and what is blamed then.
_IMAGINED = 0.008
_BLAMED = (("asr", 0.4), ("nlu", 0.25), ("er", 0.2), ("result", 0.15))
_REACHED = np.cumsum([share for _, share in _BLAMED])
# The stage that is taken for another, where the difference takes knowledge of the inside.
_CONFUSED = {"nlu": ("er", 0.06), "er": ("result", 0.08), "result": ("er", 0.07)}


def second_annotator(turns: pa.Table, seed: int = 0) -> pa.Table:
    """What a second annotator says of the turns: columns `turn_id` and `failure_point`.

    Parameters
    ----------
    turns: rows of the table `turns` with complete gold, `failure_point` included.
    """
    unaided = derive(_without_replay(turns))["derived"].to_pylist()
    rng = np.random.default_rng([seed, 51])
    stated = [_said(point, rng) if point else None for point in unaided]
    points = pa.array(stated, pa.string())
    return turns.select(["turn_id"]).append_column("failure_point", points)


def _said(seen: str, rng: np.random.Generator) -> str:
    draws = rng.random(3)
    if seen == "correct":
        if draws[0] >= _IMAGINED:
            return seen
        return _BLAMED[int(np.searchsorted(_REACHED, draws[1] * _REACHED[-1]))][0]
    if draws[0] < _OVERLOOKED[seen]:
        return "correct"
    other, share = _CONFUSED.get(seen, ("", 0.0))
    return other if draws[2] < share else seen


def _without_replay(turns: pa.Table) -> pa.Table:
    """The turns as they are annotated by somebody who cannot run the stages again."""
    kind = turns.schema.field("gold").type
    gold = [
        {**row, "replay": None, "failure_point": None} if row else None
        for row in turns["gold"].to_pylist()
    ]
    columns = [name for name in COLUMNS if name != "gold"]
    return turns.select(columns).append_column("gold", pa.array(gold, kind))
