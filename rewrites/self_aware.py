"""Rewrites in use: their own outcomes decide whether they stay (Ponnusamy et al., NAACL 2022).

Once a rewrite is live, the logs show what was executed and no longer what would have become of the
request, so a chain that counts them as before feeds on its own output. Here the outcomes of a
rewrite with and without it form two beta posteriors, and a rewritten turn is split between the
request as it was said and the one that was executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.special import betainc, betaincinv

Array = np.ndarray

# Turns that the prediction at mining counts for.
PRIOR_TURNS = 4.0
# A live rewrite is retired when it is better with less than this probability, and goes live with
# more than the second: between them it stays as it is.
RETIRE = 0.2
GO_LIVE = 0.8
# Quantiles at which the comparison of two posteriors is averaged.
_NODES = 512


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Beta posteriors of success with and without each of n rewrites, float64 (n,) each.

    Outcomes add up: those of a day to those before. Successes may be expectations, as
    1 − `Success.failed`.
    """

    good_with: Array
    bad_with: Array
    good_without: Array
    bad_without: Array

    @classmethod
    def predicted(cls, p_before: Array, p_after: Array, turns: float = PRIOR_TURNS) -> Self:
        """What was predicted at mining, as so many turns with and without the rewrite."""
        before, after = np.clip(p_before, 0.01, 0.99), np.clip(p_after, 0.01, 0.99)
        return cls(turns * after, turns * (1 - after), turns * before, turns * (1 - before))

    def seen(self, index: Array, with_rewrite: Array, success: Array) -> Outcomes:
        """Add turns: which rewrite, whether it was applied, and the probability of success."""
        n, used = len(self.good_with), np.asarray(with_rewrite, bool)
        good, bad = np.asarray(success, float), 1 - np.asarray(success, float)

        def added(before: Array, chosen: Array, weight: Array) -> Array:
            total: Array = before + np.bincount(index[chosen], weight[chosen], n)
            return total

        return Outcomes(
            added(self.good_with, used, good),
            added(self.bad_with, used, bad),
            added(self.good_without, ~used, good),
            added(self.bad_without, ~used, bad),
        )

    def better(self) -> Array:
        """The probability that success is likelier with the rewrite than without it, (n,)."""
        return probability_greater(
            self.good_with, self.bad_with, self.good_without, self.bad_without
        )


def probability_greater(a: Array, b: Array, c: Array, d: Array) -> Array:
    """P(X > Y) for X ~ Beta(a, b) and Y ~ Beta(c, d), independent; shape (n,), all positive.

    The mean of P(X > y) over `_NODES` quantiles y of Y; its error is below 0.002.
    """
    u = (np.arange(_NODES) + 0.5) / _NODES
    y = betaincinv(np.atleast_1d(c)[:, None], np.atleast_1d(d)[:, None], u)
    above = 1 - betainc(np.atleast_1d(a)[:, None], np.atleast_1d(b)[:, None], y)
    mean: Array = above.mean(axis=1)
    return mean


def states(live: Array, outcomes: Outcomes) -> Array:
    """Which rewrites are live from now on, boolean (n,): with hysteresis, see `RETIRE`."""
    better = outcomes.better()
    kept: Array = np.where(live, better >= RETIRE, better > GO_LIVE)
    return kept


def split(turns: pd.DataFrame, better: Array) -> pd.DataFrame:
    """Split rewritten turns between the request that was said and the one that was executed.

    Parameters
    ----------
    turns: columns said, executed (requests), next (the request that followed, -1 for none),
        rewrite (its number, -1 where the turn was not rewritten), failed and weight.
    better: per rewrite, the probability that it is better.

    A turn that was not rewritten keeps its weight. Of a rewritten one, the executed request gets
    the share `better`, and what was said gets the rest: as far as the rewrite is in doubt, what
    followed is evidence about the request itself. Returns columns request, next, failed, weight;
    weights add up to those of `turns`.
    """
    rewrite = turns["rewrite"].to_numpy()
    used = rewrite >= 0
    share = np.where(used, np.append(better, 0.0)[rewrite], 0.0)
    kept = turns.assign(request=turns["said"], weight=turns["weight"] * (1 - share))
    moved = turns[used].assign(
        request=turns["executed"][used], weight=(turns["weight"] * share)[used]
    )
    columns = ["request", "next", "failed", "weight"]
    return pd.concat([kept[columns], moved[columns]], ignore_index=True)
