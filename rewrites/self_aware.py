"""Rewrites in use: their own outcomes decide whether they stay (Ponnusamy et al., NAACL 2022).

Once a rewrite is live, the logs show what was executed and no longer what would have become of the
request, so a chain that counts them as before feeds on its own output. Here the outcomes of a
rewrite with and without it form two beta posteriors, and a rewritten turn is split between the
request as it was said and the one that was executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import betainc, betaincinv

from rewrites.interpretations import flag_equal
from rewrites.replay import matching

Array = np.ndarray

# Values of the signal `labels.feedback.sessions.REWRITTEN`.
EXECUTED, HELD_BACK = 1.0, 0.0

# Turns that the prediction at mining counts for.
PRIOR_TURNS = 4.0
# A live rewrite is retired when it is better with less than this probability.
RETIRE = 0.2
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


def in_use(friction: pa.Table, rewrites: pd.DataFrame) -> np.ndarray:
    """The rewrite that each turn was or could have been executed by, int64 (turns,); -1 for none.

    friction: a table of `labels.feedback.sessions.friction`. rewrites: columns assistant, request,
    user_id (null on general rows); the user's own goes first.
    """
    return matching(friction.select(["assistant", "text", "user_id"]).to_pandas(), rewrites)


def restated(friction: pa.Table, rewrites: pd.DataFrame, better: Array) -> pa.Table:
    """The table with each rewritten turn counted as the request that it is evidence about.

    Of the turns that a rewrite executed, the share `better` counts as the request that was
    executed, the rest as what was said: as far as the rewrite is in doubt, what followed is
    evidence about the request itself. Which turns do is decided by their ids, so that counts stay
    whole, add up, and are the same at every mining.

    Parameters
    ----------
    rewrites: columns of `in_use`, and rewrite and request_state. better: per rewrite, the
        probability that it is better.
    """
    number = in_use(friction, rewrites)
    used = flag_equal(friction["rewritten"], EXECUTED) & (number >= 0)
    if not used.any():
        return friction
    places = np.flatnonzero(used)
    moved = _uniform([friction["turn_id"][int(i)].as_py() for i in places]) < better[number[places]]
    texts, frames = friction["text"].to_pylist(), friction["frame"].to_pylist()
    words, states = rewrites["rewrite"].tolist(), rewrites["request_state"].tolist()
    for place, as_executed in zip(places, moved, strict=True):
        if as_executed:
            texts[place] = words[number[place]]
        elif frames[place] is not None:
            frames[place] = states[number[place]]
    columns = {"text": pa.array(texts, pa.string()), "frame": pa.array(frames, pa.string())}
    for name, column in columns.items():
        friction = friction.set_column(friction.schema.get_field_index(name), name, column)
    return friction


def _uniform(ids: Sequence[str]) -> Array:
    """A number from 0 to 1 for each id, by its hash."""
    hashes = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ids)
    return np.array([int.from_bytes(digest) / 2**64 for digest in hashes])
