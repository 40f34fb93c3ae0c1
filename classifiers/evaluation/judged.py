"""A model's verdicts and probabilities on turns whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from classifiers.metrics import bootstrap, summary
from data.schema.trace import FAILURE_POINTS


@dataclass(frozen=True)
class Tested:
    """n turns in the order of their ids.

    Attributes
    ----------
    turn_ids, days: id and day of each turn. truth, verdict: failure points (n,).
    probability: (n, 6), in the order of `FAILURE_POINTS`.
    group: number of the turn's dialogue (n,).
    """

    turn_ids: list[str]
    days: list[Any]
    truth: np.ndarray
    verdict: np.ndarray
    probability: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, labelled: pa.Table) -> Tested:
        """From a table of `data.queries.ground_truth.labelled`."""
        dialogues = np.array(labelled["dialogue_id"].to_pylist(), object).astype(str)
        group = np.unique(dialogues, return_inverse=True)[1]
        return cls(
            [str(turn) for turn in labelled["turn_id"].to_pylist()],
            labelled["day"].to_pylist(),
            np.array(labelled["truth"].to_pylist(), object),
            np.array(labelled["failure_point"].to_pylist(), object),
            np.column_stack(
                [labelled[f"p_{n}"].to_numpy().astype(np.float64) for n in FAILURE_POINTS]
            ),
            group,
        )

    def __len__(self) -> int:
        return len(self.turn_ids)

    @property
    def dialogues(self) -> int:
        return int(self.group.max(initial=-1)) + 1

    def p(self, target: str) -> np.ndarray:
        """Probability of a failure point, or of "defect", (n,)."""
        if target == "defect":
            rest: np.ndarray = 1 - self.probability[:, FAILURE_POINTS.index("correct")]
            return rest
        column: np.ndarray = self.probability[:, FAILURE_POINTS.index(target)]
        return column

    def hit(self, target: str) -> np.ndarray:
        """Whether the truth is this failure point, or any failure for "defect", (n,)."""
        hits: np.ndarray = self.truth != "correct" if target == "defect" else self.truth == target
        return hits

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of turns per true failure point."""
        return {name: int((self.truth == name).sum()) for name in FAILURE_POINTS}


def quality(tested: Tested, seed: int = 0) -> dict[str, Any]:
    """`classifiers.metrics.summary` of at least one turn, with `intervals` by `bootstrap`."""
    number = {name: i for i, name in enumerate(FAILURE_POINTS)}
    truth = np.array([number[name] for name in tested.truth])
    verdict = np.array([number[name] for name in tested.verdict])
    figures = summary(tested.probability, truth, None, FAILURE_POINTS, verdict)
    figures["intervals"] = bootstrap(
        truth, verdict, tested.group, FAILURE_POINTS, seed=seed, probability=tested.probability
    )
    return figures
