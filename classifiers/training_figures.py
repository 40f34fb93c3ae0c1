"""A model's figures from its training: calibrated and decided by what the judged turns did not fit.

Calibration and decision weights that are used later are fitted to all out-of-fold scores. Figures
by these would be too good, as they were chosen on the turns that they are judged by; so for the
figures, those of each fold are fitted to the scores of the other folds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers.calibration import Calibration, decide, fit_weights
from classifiers.concentration import concentrated
from classifiers.metrics import bootstrap, headline, summary
from classifiers.out_of_fold import CrossFitted
from classifiers.splits import Fold

# Row numbers learned from and to score -> raw scores of the latter.
Refit = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class OutOfFoldScores:
    """Raw out-of-fold scores of n labelled turns, and what calibration and decisions rest on.

    Attributes
    ----------
    raw: (n, k). target: class numbers (n,). group: (n,). classes: k names.
    trusted: which turns calibration and decisions are fitted to and judged by (n,).
    drawn, level: which turns represent all (n,), and the share of defects that they shall have;
        None to leave it as calibration finds it.
    """

    raw: np.ndarray
    target: np.ndarray
    group: np.ndarray
    classes: tuple[str, ...]
    trusted: np.ndarray
    drawn: np.ndarray
    level: float | None
    seed: int

    def decision(self, rows: np.ndarray | None = None) -> tuple[Calibration, np.ndarray]:
        """Calibration and decision weights fitted to these row numbers; by default to all."""
        rows = np.arange(len(self.target)) if rows is None else rows
        calibration, weights = self._as_judged(rows)
        if self.level is not None:
            # A level that nobody measured moves rates, but not what a turn is taken for.
            drawn = self.raw[self._among(rows, self.drawn)]
            calibration = calibration.at_level(drawn, self.classes.index("correct"), self.level)
            weights = weights / calibration.prior
            weights /= weights.max()
        return calibration, weights

    def _as_judged(self, rows: np.ndarray) -> tuple[Calibration, np.ndarray]:
        """`decision` before the level moves it: the same verdicts, at the trusted turns' own share
        of defects."""
        trusted = self._among(rows, self.trusted)
        calibration = Calibration.fit(self.raw[trusted], self.target[trusted])
        weights = fit_weights(
            calibration.apply(self.raw[trusted]),
            self.target[trusted],
            self.group[trusted],
            self.seed,
        )
        return calibration, weights

    @staticmethod
    def _among(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Those of `rows` that are wanted; all where a part of the turns has none of them."""
        kept = rows[wanted[rows]]
        return kept if len(kept) else rows

    def cross_fitted(self, split: list[Fold]) -> CrossFitted:
        """Probabilities and verdicts of each fold by calibration and weights of the other folds.

        `split`: the folds that the scores are from.
        """
        probability = np.zeros(self.raw.shape)
        verdict = np.zeros(len(self.target), np.int64)
        for train, held_out in split:
            if len(train) and len(held_out):
                calibration, weights = self._as_judged(train)
                probability[held_out] = calibration.apply(self.raw[held_out])
                verdict[held_out] = decide(probability[held_out], weights)
        return CrossFitted(probability, verdict)

    def figures(self, crossed: CrossFitted, later: Fold | str, refit: Refit) -> dict[str, Any]:
        """Figures with intervals out of fold, and of later dialogues, as entries of `metrics`.

        `crossed`: of `cross_fitted`. `later`: a forward split of the rows, or the
        reason why there is none. Its later part is scored by `refit` after learning from the
        earlier one. This is a quick estimate: only these trees are strictly of the past. Their
        number, the out-of-fold scores that calibration and weights are fitted to, the text scores
        and the witness come from fits that saw later turns;
        `classifiers.evaluation.cross_validation` is strict.

        A level would be judged by turns that it is not meant for (it represents all turns, and
        those judged may have been chosen because they may fail), so figures are those before it.
        """
        rows = np.flatnonzero(self.trusted)
        folds = self._judged(rows, crossed.probability[rows], crossed.verdict[rows])
        forward: dict[str, Any] = {"reason": later}
        if not isinstance(later, str):
            early, late = later
            calibration, weights = self._as_judged(early)
            scores = calibration.apply(refit(early, late))
            forward = self._judged(late, scores, decide(scores, weights))
            forward["learned"] = len(early)
        concentration = concentrated(self.target[rows], self.group[rows], self.classes)
        return {
            "out_of_fold": folds,
            "forward": forward,
            "headline": headline(folds, forward),
            "concentration": concentration,
        }

    def _judged(
        self, rows: np.ndarray, probability: np.ndarray, verdict: np.ndarray
    ) -> dict[str, Any]:
        target = self.target[rows]
        figures = summary(probability, target, None, self.classes, verdict)
        figures["intervals"] = bootstrap(
            target,
            verdict,
            self.group[rows],
            self.classes,
            seed=self.seed,
            probability=probability,
        )
        return figures
