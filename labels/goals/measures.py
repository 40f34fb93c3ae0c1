"""How well boundaries and verdicts agree: with gold, and with panels of raters.

Boundaries are given per turn: true where a goal begins. The first turn of a dialogue, where one
begins in any case, never counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1_000


def f1(found: np.ndarray, true: np.ndarray, weight: np.ndarray | None = None) -> float:
    """F1 of the boolean `found` against `true`, both (n,); NaN if neither is ever true."""
    times = np.ones(len(found)) if weight is None else weight
    both = float((times * (found & true)).sum())
    either = float((times * found).sum() + (times * true).sum())
    return 2 * both / either if either else float("nan")


def boundary_f1(found: np.ndarray, true: np.ndarray, dialogue: np.ndarray) -> float:
    """F1 of boundaries at exactly the same turn, without first turns; all (n,)."""
    later = _later(dialogue)
    return f1(found[later].astype(bool), true[later].astype(bool))


def pk(found: np.ndarray, true: np.ndarray, dialogue: np.ndarray, k: int | None = None) -> float:
    """P_k: how often two turns `k` apart are wrongly said to serve one goal, or two.

    Beeferman, Berger & Lafferty 1999, "Statistical models for text segmentation", sec. 4. `k` is by
    default half the mean length of a true goal, at least 2. Lower is better; NaN without pairs.
    """
    return _windows(found, true, dialogue, k, lambda a, b: (a > 0) != (b > 0))


def window_diff(
    found: np.ndarray, true: np.ndarray, dialogue: np.ndarray, k: int | None = None
) -> float:
    """WindowDiff: how often the number of boundaries within `k` turns differs.

    Pevzner & Hearst 2002, "A critique and improvement of an evaluation metric for text
    segmentation", eq. 1. `k` as in `pk`. Lower is better; NaN without pairs.
    """
    return _windows(found, true, dialogue, k, lambda a, b: a != b)


def _later(dialogue: np.ndarray) -> np.ndarray:
    """Which turns are not the first of their dialogue; (n,)."""
    later: np.ndarray = np.diff(dialogue, prepend=dialogue[:1] - 1) == 0
    return later


def _windows(
    found: np.ndarray,
    true: np.ndarray,
    dialogue: np.ndarray,
    k: int | None,
    wrong: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> float:
    later = _later(dialogue)
    ours, theirs = (later & found.astype(bool)).cumsum(), (later & true.astype(bool)).cumsum()
    if k is None:
        goals = int((~later).sum() + (later & true.astype(bool)).sum())
        k = max(2, round(len(true) / max(goals, 1) / 2))
    if len(true) <= k:
        return float("nan")
    same = dialogue[k:] == dialogue[:-k]
    a, b = (ours[k:] - ours[:-k])[same], (theirs[k:] - theirs[:-k])[same]
    return float(wrong(a, b).mean()) if same.any() else float("nan")


@dataclass(frozen=True, slots=True)
class Panels:
    """Panels of raters, m of them: one rater's verdict beside that of others on the same thing.

    Attributes
    ----------
    row: which thing was rated (m,). one: what the one rater says (m,).
    others: the majority of the others (m,). dialogue: of the thing, for resampling (m,).
    """

    row: np.ndarray
    one: np.ndarray
    others: np.ndarray
    dialogue: np.ndarray

    @classmethod
    def draw(
        cls,
        verdicts: Sequence[Sequence[bool]],
        dialogue: np.ndarray,
        others: int = 3,
        panels: int = 10,
        seed: int = 0,
    ) -> Panels:
        """Up to `panels` panels of one rater and `others` others for each of n rated things.

        `verdicts` are the raters' on each; things with too few raters are left out. Raters take
        the place of the one in turn. Of an even number of `others`, half is not a majority.
        """
        generator = np.random.default_rng(seed)
        row, one, majority = [], [], []
        for i, given in enumerate(verdicts):
            if len(given) <= others:
                continue
            votes = np.asarray(given, bool)
            for rater in generator.permutation(len(votes))[:panels]:
                rest = np.delete(votes, rater)
                chosen = generator.choice(len(rest), others, replace=False)
                row.append(i)
                one.append(votes[rater])
                majority.append(2 * rest[chosen].sum() > others)
        rows = np.array(row, np.int64)
        return cls(rows, np.array(one, bool), np.array(majority, bool), np.asarray(dialogue)[rows])

    def said_as_often(self, p: np.ndarray) -> np.ndarray:
        """What a model says of each panel's thing if it says yes as often as the raters; (m,).

        `p` (n,): its probabilities, of which the highest become a yes. Ties are all a yes or all a
        no, whichever is nearer.
        """
        scores = np.asarray(p)[self.row]
        wanted = self.one.mean()
        levels = np.unique(scores)
        above = 1 - np.searchsorted(np.sort(scores), levels) / max(len(scores), 1)
        best = int(np.abs(above - wanted).argmin()) if len(levels) else 0
        if not len(levels) or wanted < above[best] / 2:
            return np.zeros(len(scores), bool)
        said: np.ndarray = scores >= levels[best]
        return said


@dataclass(frozen=True, slots=True)
class Mark:
    """F1 of one human pass and of a model against the very same panels.

    `low`, `high`: 95 % interval of the difference, model minus human, by resampling dialogues;
    `human_interval`, `model_interval`: of each. `panels`, `things`: how many there were.
    """

    human: float
    model: float
    difference: float
    low: float
    high: float
    human_interval: tuple[float, float]
    model_interval: tuple[float, float]
    panels: int
    things: int


def human_mark(panels: Panels, p: np.ndarray, seed: int = 0) -> Mark:
    """One rater and a model, each against the majority of the others.

    The bootstrap is paired: a dialogue is drawn with all its panels for both (Efron & Tibshirani
    1993, ch. 8). `p` (n,): the model's probabilities of the n rated things.
    """
    said = panels.said_as_often(p)
    human, model = f1(panels.one, panels.others), f1(said, panels.others)
    draws = bootstrap(
        panels.dialogue,
        lambda times: (f1(panels.one, panels.others, times), f1(said, panels.others, times)),
        seed,
    )
    differences = draws[:, 1] - draws[:, 0]
    return Mark(
        human,
        model,
        model - human,
        *interval(differences),
        interval(draws[:, 0]),
        interval(draws[:, 1]),
        len(panels.row),
        len(np.unique(panels.row)),
    )


def bootstrap(
    dialogue: np.ndarray,
    statistic: Callable[[np.ndarray], tuple[float, ...]],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Values of a statistic on resamples of whole dialogues; (resamples, values).

    `statistic` is given how often each row was drawn (n,).
    """
    _, number = np.unique(dialogue, return_inverse=True)
    many = int(number.max(initial=-1)) + 1
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        times = np.bincount(generator.integers(0, many, many), minlength=many)
        draws.append(statistic(times[number].astype(float)))
    return np.array(draws)


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of draws; NaN are left out."""
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
