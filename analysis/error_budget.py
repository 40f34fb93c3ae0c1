"""Error budgets: how many failed turns a stage may have, how many it had, and when none were left.

As in site reliability engineering (Beyer et al. 2018, The Site Reliability Workbook, chapters 2
and 5): a target share of turns is the budget, and the burn rate is how many times faster it is
spent than evenly over the period.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.arrays import by_code, matrix, need
from data.errors import UsageError
from data.schema.trace import FAILURES

Array = NDArray[np.float64]

# Days over which the burn rate and the pace of spending are measured.
RECENT_DAYS = 7


@dataclass(frozen=True)
class Budget:
    """The error budget of a failure point in a period, and what is spent of it.

    Attributes
    ----------
    target: the share of turns that may fail there. turns: number of turns so far.
    allowed: failed turns allowed in the whole period, from the turns per day so far.
    spent, left: failed turns (sums of probabilities); `left` is negative once overdrawn.
    burn_rate: failed over allowed turns in the seven days up to the last with turns; at 1 the
    budget is spent evenly; infinite where nothing is allowed and something failed, None without
    turns.
    used_up: the day on which the budget was used up; None while it is not.
    """

    failure_point: str
    target: float
    turns: int
    allowed: float
    spent: float
    left: float
    burn_rate: float | None
    used_up: date | None


def budgets(
    rollup: pa.Table, targets: Mapping[str, float], since: date, until: date
) -> list[Budget]:
    """One budget per failure point that has a target, in pipeline order.

    Parameters
    ----------
    rollup
        Columns day, turns, sum_p_<class>; rows of other days are left out.
    targets
        Failure point -> share of turns, between 0 and 1.
    since, until
        The first and last day of the period; the last may be in the future.

    Raises UsageError for a target outside 0 to 1, an unknown failure point, or a period that ends
    before it starts.
    """
    for name, target in targets.items():
        if name not in FAILURES:
            raise UsageError(
                f"Unknown failure point '{name}'; set a target for one of {', '.join(FAILURES)}."
            )
        if not 0 <= target <= 1:
            raise UsageError(
                f"The target {target:g} of {name} is not a share of turns; give a number between "
                "0 and 1, such as 0.02 for 2 %."
            )
    if until < since:
        raise UsageError(f"The period {since} to {until} ends before it starts; swap the two days.")
    need(rollup, ["day"])
    length = (until - since).days + 1
    ordinal = np.asarray(rollup["day"].cast(pa.date32()).cast(pa.int32()).to_numpy())
    day = ordinal - (since - date(1970, 1, 1)).days
    inside = (day >= 0) & (day < length)
    day = day[inside]
    turns = by_code(day, matrix(rollup, ["turns"])[inside, 0], length)
    spending = []
    for name in FAILURES:
        if name in targets:
            failed = by_code(day, matrix(rollup, [f"sum_p_{name}"])[inside, 0], length)
            spending.append(_budget(name, targets[name], turns, failed, since))
    return spending


def _budget(
    name: str,
    target: float,
    turns: Array,
    failed: Array,
    since: date,
) -> Budget:
    days = len(turns)
    elapsed = int(np.flatnonzero(turns)[-1]) + 1 if turns.any() else 0
    so_far = float(turns.sum())
    allowed = target * so_far / elapsed * days if elapsed else 0.0
    spent = float(failed.sum())
    recent = slice(max(elapsed - RECENT_DAYS, 0), elapsed)
    recent_turns, recent_failed = float(turns[recent].sum()), float(failed[recent].sum())
    burn: float | None = None
    if recent_turns:
        if target:
            burn = recent_failed / (target * recent_turns)
        else:
            burn = float("inf") if recent_failed else 0.0
    # An excess of one part in a billion is rounding, not a failure.
    over = np.flatnonzero(np.cumsum(failed) > allowed * (1 + 1e-9))
    used_up = since + timedelta(days=int(over[0])) if len(over) else None
    return Budget(name, target, int(so_far), allowed, spent, allowed - spent, burn, used_up)
