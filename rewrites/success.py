"""Which turns failed, and which were said again: a label model, fitted without any label.

Each turn has a latent state: understood; failed, and the user gave up or went on to something else;
failed, and the next request says the same want again. The fields of `EVIDENCE` are independent
given the state, and requests differ in how often they fail. Expectation–maximisation (Dempster et
al. 1977; for labels of unknown quality Dawid and Skene 1979), with a beta prior on the failure rate
of each request. The odds of a turn are those of the request's other turns, as in collapsed
inference: many requests were heard once, and would otherwise stay where the iteration starts.

What ties the states to failure is where the iteration starts: turns with friction. A hard rule
would stay there; here barge-ins on good answers and failures that nobody complained about move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rewrites.interpretations import EVIDENCE, Counts

ROUNDS = 60
# Turns that the prior of a request's failure rate weighs: requests mostly fail always or never.
PRIOR_TURNS = 0.3
# Turns that the prior of what is said next weighs, given the request: popular requests follow
# anything. Routines follow what went well as surely as retries follow what failed; after giving up,
# what comes next does not depend on the request.
_PRIOR_NEXT = {"understood": 30.0, "retried": 3.0}
# Ends of the bins of how often a request was heard: rare ones are misheard more often.
_HEARD = (2, 3, 5, 9, 17, 65)
# Pseudo-turns of the distributions of evidence.
_SMOOTH = 2.0
# Where the iteration starts: how likely what follows a failure says it again, by likeness.
_SAID_AGAIN = np.array([0.1, 0.3, 0.7, 0.9, 0.9])
_TINY = 1e-12
_IMPOSSIBLE = -50.0


@dataclass(frozen=True, slots=True)
class Success:
    """The label model applied to counts.

    Attributes
    ----------
    failed: per cell, probability that its turns failed, float64 (cells,).
    retried: per cell, probability that they failed and the next request says the same want again.
    failure: per request, its failure rate, float64 (requests,).
    retry: the share of failed turns that are said again.
    """

    failed: np.ndarray
    retried: np.ndarray
    failure: np.ndarray
    retry: float


def estimate(counts: Counts, rounds: int = ROUNDS) -> Success:
    """Fit the label model. Deterministic; time is proportional to cells × rounds."""
    cells, n_requests = counts.cells, counts.requests.num_rows
    if not len(cells):
        return Success(np.zeros(0), np.zeros(0), np.zeros(0), 0.0)
    turns = cells["turns"].to_numpy(np.float64)
    request = cells["request"].to_numpy()
    fields = {name: cells[name].to_numpy() for name in EVIDENCE}
    base = {name: _share(fields[name], turns, size) for name, size in EVIDENCE.items()}
    heard = np.bincount(request, turns, n_requests)
    rarity = np.digitize(heard, _HEARD)
    friction = _friction(fields)
    if not friction.any():
        # Nothing ties a state to failure: what often follows may as well be the next errand.
        return Success(np.zeros(len(cells)), np.zeros(len(cells)), np.zeros(n_requests), 0.0)
    next_ = _Next(counts, turns)
    failed, retried = _start(fields, friction)
    failure = np.zeros(n_requests)
    for _ in range(rounds):
        by_request = np.bincount(request, turns * failed, n_requests)
        mean = _by_rarity(by_request, heard, rarity)
        bad = by_request + PRIOR_TURNS * mean
        failure = bad / (heard + PRIOR_TURNS)
        # What the other turns of the request say: with its own, a turn heard once would stay where
        # it started, as its odds would mostly be its own echo.
        others = np.maximum(bad[request] - failed, PRIOR_TURNS * mean[request])
        left = np.maximum(heard + PRIOR_TURNS - 1, PRIOR_TURNS)[request]
        odds = np.log(others / np.maximum(left - others, PRIOR_TURNS * (1 - mean[request])))
        for name, size in EVIDENCE.items():
            if name != "follow":
                odds += _log_ratio(fields[name], turns, failed, size, base[name])
        states = {"understood": 1 - failed, "given up": failed - retried, "retried": retried}
        follow = {
            name: _log_share(fields["follow"], turns, p, EVIDENCE["follow"], base["follow"])
            + next_.log_share(p, _PRIOR_NEXT.get(name))
            for name, p in states.items()
        }
        retry = (np.sum(turns * retried) + 1) / (np.sum(turns * failed) + 2)
        again = np.where(next_.follows, follow["retried"], _IMPOSSIBLE) + np.log(retry)
        gave_up = follow["given up"] + np.log1p(-retry)
        either = np.logaddexp(again, gave_up)
        failed = expit(odds + either - follow["understood"])
        retried = failed * np.exp(again - either)
    return Success(failed, retried, failure, float(retry))


class _Next:
    """What is said next, by outcome: of "stop", "please stop" and "enough", one is as good as
    another, and all of them follow whatever failed."""

    def __init__(self, counts: Counts, turns: np.ndarray) -> None:
        request, following = counts.cells["request"].to_numpy(), counts.cells["next"].to_numpy()
        self.follows = following >= 0
        self._at = np.flatnonzero(self.follows)
        outcome, _ = counts.number("interpretation")
        self._after = outcome[following[self._at]]
        self._request = request[self._at]
        self._n_requests, self._n_outcomes = len(outcome), int(outcome.max(initial=-1)) + 1
        pairs, self._pair = np.unique(
            self._request * self._n_outcomes + self._after, return_inverse=True
        )
        self._n_pairs = len(pairs)
        self._turns = turns[self._at]

    def log_share(self, p: np.ndarray, prior: float | None) -> np.ndarray:
        """log of the share of each cell's next outcome among those of a state, 0 at ends.

        `prior`: given the request, weighed against so many turns of everything, and without the
        cell's own turn; None: whatever the request.
        """
        log = np.zeros(len(self.follows))
        if not len(self._at):
            return log
        own = p[self._at]
        weight = self._turns * own
        anything = _share(self._after, self._turns, self._n_outcomes)
        if prior is None:
            # Few turns prove little about rare outcomes.
            overall = np.bincount(self._after, weight, self._n_outcomes) + _SMOOTH * anything
            log[self._at] = np.log((overall / overall.sum())[self._after])
            return log
        together = np.bincount(self._pair, weight, self._n_pairs)[self._pair] - own
        said_again = np.bincount(self._request, weight, self._n_requests)[self._request] - own
        share = np.maximum(together, 0) + prior * anything[self._after]
        log[self._at] = np.log(share / (np.maximum(said_again, 0) + prior))
        return log


def _friction(fields: dict[str, np.ndarray]) -> np.ndarray:
    """Whether a sign of failure was logged, boolean (cells,); being said again is none."""
    signs, outcome, suspicion = fields["signs"], fields["outcome"], fields["suspicion"]
    # Nothing, or a yes, is no friction; see `EVIDENCE` for how the values are composed.
    friction = ((signs // 3 > 0) | (signs % 3 == 1)) & (signs % 3 != 2)
    friction |= (outcome // 2 == 2) | (outcome % 2 == 1) | (suspicion >= 4)
    logged: np.ndarray = friction
    return logged


def _start(fields: dict[str, np.ndarray], friction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the iteration starts: friction on the turn, and likeness of what is said next."""
    follow = fields["follow"]
    follows = follow > 0
    failed = np.where(friction, 0.8, np.where(follows, 0.35, 0.1))
    # See `EVIDENCE` for how pause, likeness and agreement are composed.
    alike = (np.maximum(follow, 1) - 1) // 3 % len(_SAID_AGAIN)
    return failed, failed * follows * _SAID_AGAIN[alike]


def _by_rarity(failed: np.ndarray, heard: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """The mean failure rate of requests heard about as often, float64 (requests,)."""
    overall = failed.sum() / max(heard.sum(), 1)
    rate = failed / np.maximum(heard, 1)
    size = len(_HEARD) + 1
    sums = np.bincount(rarity, rate, size) + 2 * overall
    mean: np.ndarray = np.clip(sums / (np.bincount(rarity, minlength=size) + 2), 0.001, 0.999)
    by_request: np.ndarray = mean[rarity]
    return by_request


def _share(codes: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    shares: np.ndarray = np.bincount(codes, weights, size) / max(weights.sum(), _TINY)
    return shares


def _log_share(
    codes: np.ndarray, turns: np.ndarray, p: np.ndarray, size: int, base: np.ndarray
) -> np.ndarray:
    """log p(value | state), with `p` the probability of the state."""
    inside = np.bincount(codes, turns * p, size) + _SMOOTH * base
    log: np.ndarray = np.log(inside / inside.sum() + _TINY)[codes]
    return log


def _log_ratio(
    codes: np.ndarray, turns: np.ndarray, p: np.ndarray, size: int, base: np.ndarray
) -> np.ndarray:
    """log p(value | state) − log p(value | any other), with `p` the probability of the state."""
    inside = np.bincount(codes, turns * p, size) + _SMOOTH * base
    outside = np.bincount(codes, turns * (1 - p), size) + _SMOOTH * base
    ratio = (inside / inside.sum() + _TINY) / (outside / outside.sum() + _TINY)
    log: np.ndarray = np.log(ratio)[codes]
    return log
