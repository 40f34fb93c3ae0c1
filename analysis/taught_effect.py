"""What teaching changed: how often requests fail since their user taught something about them.

Nobody is drawn by lot to teach, so this compares a request with itself before it was taught. People
teach when something has just gone wrong more than once, and would have seen it go better by chance
alone (regression to the mean): a fall is an upper bound of what teaching did. A paired simulation
does not have this bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays import codes, matrix, sums

# Users that are needed for an interval over users.
LEAST_USERS = 10
_RESAMPLES = 2_000


@dataclass(frozen=True)
class Effect:
    """Defect rates of the requests that users taught something about.

    Attributes
    ----------
    before, after: rates; change: their difference, with low and high ends of its 95 % interval, or
    None for fewer than `LEAST_USERS` users. turns: of both, before first. users: with such turns
    before and since.
    """

    before: float
    after: float
    low: float | None
    high: float | None
    turns: tuple[int, int]
    users: int

    @property
    def change(self) -> float:
        return self.after - self.before


def effect(changed: pa.Table, seed: int = 0) -> Effect | None:
    """The effect over all users with turns before and since; None if there is none.

    `changed`: as `data.queries.preferences.changed` returns it. What has turns on one side only
    says nothing of a change. The interval is a percentile bootstrap over users (Efron and
    Tibshirani 1993, section 13.3).
    """
    names = ["before_turns", "before_failing", "after_turns", "after_failing"]
    rows = matrix(changed, names)
    both = (rows[:, 0] > 0) & (rows[:, 2] > 0)
    if not both.any():
        return None
    user, _ = codes(changed.filter(pa.array(both)), ["user_id"])
    users = int(user.max()) + 1
    by_user = sums(rows[both], user, users)
    total = by_user.sum(0)
    low = high = None
    if users >= LEAST_USERS:
        drawn = np.random.default_rng(seed).multinomial(users, [1 / users] * users, _RESAMPLES)
        resampled = drawn @ by_user
        changes = resampled[:, 3] / resampled[:, 2] - resampled[:, 1] / resampled[:, 0]
        low, high = (float(end) for end in np.percentile(changes, [2.5, 97.5]))
    return Effect(
        float(total[1] / total[0]),
        float(total[3] / total[2]),
        low,
        high,
        (int(total[0]), int(total[2])),
        users,
    )
