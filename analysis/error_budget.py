"""Error budgets: how many failed turns a stage may have, how many it had, and when none were left.

As site reliability engineering has them (Beyer et al. 2018, The Site Reliability Workbook, chapters
2 and 5): a target share of turns is the budget, and the burn rate is how many times faster than
evenly it is spent. Turns to come are taken to be as many a day as in the days so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.arrays import (
    by_code,
    matrix,
    need,
)
from data.errors import UsageError
from data.schema.trace import FAILURES

Array = NDArray[np.float64]

# The pace is that of these days.
RECENT_DAYS = 7


@dataclass(frozen=True)
class Budget:
    """What a failure point may spend in a period, and what it has spent.

    Attributes
    ----------
    target: the share of turns that may fail there. turns: so far.
    allowed: failed turns in the whole period, at the turns of a day so far.
    spent, left: failed turns (sums of probabilities); `left` is negative once it is overdrawn.
    burn_rate: failed over allowed turns in the seven days up to the last with turns; 1 spends the
    budget evenly; infinite where nothing is allowed and something failed, None without turns.
    used_up: the day with which it was overdrawn; None while it is not.
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
        The first and last day of the period; the last may lie ahead.

    Raises UsageError for a target that is no share, an unknown failure point, or a period that ends
    before it starts.
    """
    for name, target in targets.items():
        if name not in FAILURES:
            raise UsageError(
                f"There is no failure point {name}; a target is for one of {', '.join(FAILURES)}."
            )
        if not 0 <= target <= 1:
            raise UsageError(
                f"The target {target:g} of {name} is no share of turns; give one between 0 and 1, "
                "such as 0.02 for 2 %."
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
    found = []
    for name in FAILURES:
        if name in targets:
            failed = by_code(day, matrix(rollup, [f"sum_p_{name}"])[inside, 0], length)
            found.append(_budget(name, targets[name], turns, failed, since))
    return found


def _budget(
    name: str,
    target: float,
    turns: Array,
    failed: Array,
    since: date,
) -> Budget:
    days = len(turns)
    seen = int(np.flatnonzero(turns)[-1]) + 1 if turns.any() else 0
    so_far = float(turns.sum())
    allowed = target * so_far / seen * days if seen else 0.0
    spent = float(failed.sum())
    recent = slice(max(seen - RECENT_DAYS, 0), seen)
    of_these, lost = float(turns[recent].sum()), float(failed[recent].sum())
    burn: float | None = None
    if of_these:
        burn = lost / (target * of_these) if target else float("inf") if lost else 0.0
    # A hair's breadth over the budget is rounding, not a failure.
    over = np.flatnonzero(np.cumsum(failed) > allowed * (1 + 1e-9))
    used_up = since + timedelta(days=int(over[0])) if len(over) else None
    return Budget(name, target, int(so_far), allowed, spent, allowed - spent, burn, used_up)
