"""A simulated second annotator, who does not always agree with the first.

The first annotation is the truth. The second annotator cannot run the stages again, so they blame
the first stage that looks wrong, and they overlook errors, mostly where an outcome is wrong in a
detail. A model can be compared with the agreement between the two.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from labels.rules.failure_point import COLUMNS, derive

# How often a visible error is overlooked.
_OVERLOOKED = {"false_wake": 0.03, "asr": 0.03, "nlu": 0.06, "er": 0.10, "result": 0.08}
# How often a correct turn is called wrong, and which stage is blamed then.
_IMAGINED = 0.008
_BLAMED = (("asr", 0.4), ("nlu", 0.25), ("er", 0.2), ("result", 0.15))
_CUMULATIVE = np.cumsum([share for _, share in _BLAMED])
# The stage that is mistaken for another where only the internals would tell them apart.
_CONFUSED = {"nlu": ("er", 0.06), "er": ("result", 0.08), "result": ("er", 0.07)}


def second_annotator(turns: pa.Table, seed: int = 0) -> pa.Table:
    """Annotations by a second annotator: columns `turn_id` and `failure_point`.

    Parameters
    ----------
    turns: rows of the table `turns` with complete gold, `failure_point` included.
    """
    unaided = derive(_without_replay(turns))["derived"].to_pylist()
    rng = np.random.default_rng([seed, 51])
    annotated = [_annotated(point, rng) if point else None for point in unaided]
    points = pa.array(annotated, pa.string())
    return turns.select(["turn_id"]).append_column("failure_point", points)


def _annotated(seen: str, rng: np.random.Generator) -> str:
    draws = rng.random(3)
    if seen == "correct":
        if draws[0] >= _IMAGINED:
            return seen
        return _BLAMED[int(np.searchsorted(_CUMULATIVE, draws[1] * _CUMULATIVE[-1]))][0]
    if draws[0] < _OVERLOOKED[seen]:
        return "correct"
    other, share = _CONFUSED.get(seen, ("", 0.0))
    return other if draws[2] < share else seen


def _without_replay(turns: pa.Table) -> pa.Table:
    """The turns as seen by an annotator who cannot run the stages again."""
    kind = turns.schema.field("gold").type
    gold = [
        {**row, "replay": None, "failure_point": None} if row else None
        for row in turns["gold"].to_pylist()
    ]
    columns = [name for name in COLUMNS if name != "gold"]
    return turns.select(columns).append_column("gold", pa.array(gold, kind))
