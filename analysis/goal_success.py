"""The share of goals that are reached, estimated as failure rates are (`analysis.rates`).

The unit is a goal instead of a turn. The mean probability over many goals is corrected by the goals
that annotators judged, with the same prediction-powered estimate and the same minimum of annotated
dialogues. In dialogues that are annotated the goals are the annotators', in the others those that
the label model found: where it cuts dialogues into more or fewer goals than people do, the two
halves of the estimate are of slightly different units.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import codes, matrix
from analysis.rates import ANNOTATED, MINIMUM, MODEL, Estimate, Labelled, Moments, powered


def goal_success(
    daily: pa.Table, annotated: pa.Table | None = None, *, minimum: int = MINIMUM
) -> Estimate | None:
    """The share of goals that were reached, with its 95 % interval; None where there are none.

    Parameters
    ----------
    daily
        Sums of the goals of dialogues that are not annotated: the columns `judged`, `total` and
        `squares` of `data.queries.goals.daily`.
    annotated
        Goals with a verdict, from a random sample of the dialogues: the columns `dialogue_id`,
        `reached` and `p_reached`. Those without a probability are left out.
    minimum
        Fewer annotated dialogues than these do not correct the model.

    In the result, `turns` and `labelled` are numbers of goals.
    """
    sums = matrix(daily, ["judged", "total", "squares"]).sum(0) if daily.num_rows else np.zeros(3)
    rows = annotated.filter(pc.is_valid(annotated["p_reached"])) if annotated else None
    n = rows.num_rows if rows is not None else 0
    if not sums[0] and not n:
        return None
    labelled = _labelled(rows) if rows is not None else _NONE
    every = Moments(sums[:1], sums[None, 1:2], sums[None, 2:3])
    found = powered(every, labelled, minimum=minimum)
    return Estimate(
        float(found.value[0, 0]),
        float(found.low[0, 0]),
        float(found.high[0, 0]),
        round(float(found.turns[0])),
        round(float(found.labelled[0])),
        ANNOTATED if found.powered[0] else MODEL,
    )


def _labelled(rows: pa.Table) -> Labelled:
    dialogue, _ = codes(rows, ["dialogue_id"])
    y = matrix(rows.set_column(0, "y", rows["reached"].cast(pa.int8())), ["y"])
    return Labelled(y, matrix(rows, ["p_reached"]), np.zeros(rows.num_rows, np.int64), dialogue)


_NONE = Labelled(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0, np.int64), np.zeros(0, np.int64))
