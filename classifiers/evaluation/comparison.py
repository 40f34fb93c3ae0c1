"""Paired comparison of two models on the same turns: which is better, and could it be chance?

Both are compared by out-of-fold probabilities, so neither was trained on the turns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import binomtest

from classifiers.metrics import average_precisions, percentiles, resamples
from classifiers.out_of_fold import HeldOut
from data.errors import ModelError, UsageError, machine_error
from data.queries.ground_truth import KNOWN_SQL, shown
from data.schema.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

Array = NDArray[np.float64]
_RESAMPLES = 1_000
_CORRECT = FAILURE_POINTS.index("correct")


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the first model, of the second, and second minus first with a 95 % interval."""

    first: float
    second: float
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.second - self.first


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison.

    Attributes
    ----------
    turns, groups: how many were compared.
    both, first_only, second_only, neither: turns on which these models are right.
    p_value: of McNemar's test that both are wrong equally often; it treats turns as independent.
    macro_f1, accuracy: of the verdicts. f1: per failure point that occurs, in pipeline order.
    support: turns per failure point that occurs.
    log_loss: mean of -log of the probability of the truth, lower is better; None if only verdicts
        were compared.
    defect_average_precision: of the probability of any failure; None where it was not given, or
        no turn is a defect.
    """

    turns: int
    groups: int
    both: int
    first_only: int
    second_only: int
    neither: int
    p_value: float
    macro_f1: Difference
    accuracy: Difference
    f1: dict[str, Difference]
    support: dict[str, int]
    log_loss: Difference | None
    defect_average_precision: Difference | None

    @property
    def better(self) -> Literal["first", "second"] | None:
        """The better model, if the interval of the difference of macro-F1 excludes 0; else None."""
        if self.macro_f1.low > 0:
            return "second"
        return "first" if self.macro_f1.high < 0 else None


def compare(
    truth: Sequence[str],
    first: Array,
    second: Array,
    groups: Sequence[Any],
    *,
    first_weights: Array | None = None,
    second_weights: Array | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare the probabilities of two models for the same n turns.

    Parameters
    ----------
    truth: n failure points. first, second: out-of-fold probabilities (n, 6) in the order of
    `FAILURE_POINTS`. groups: n values, as for `compare_verdicts`.
    first_weights, second_weights: decision weights (6,) of the verdicts; all 1 by default.

    Raises `UsageError` as `compare_verdicts` does.
    """
    n, k = len(truth), len(FAILURE_POINTS)
    if not n or first.shape != (n, k) or second.shape != (n, k):
        raise UsageError(
            f"Two models are compared on the same turns: there are {n} truths and probabilities "
            f"of shapes {first.shape} and {second.shape}; expected ({n}, {k})."
        )
    target = _numbers(truth)
    verdicts, losses = [], []
    for probability, weights in ((first, first_weights), (second, second_weights)):
        verdicts.append((probability * (1.0 if weights is None else weights)).argmax(1))
        losses.append(-np.log(np.clip(probability[np.arange(n), target], 1e-6, 1.0)))
    defect = (1 - first[:, _CORRECT], 1 - second[:, _CORRECT])
    return _comparison(target, verdicts, groups, losses, defect, seed)


def compare_verdicts(
    truth: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    groups: Sequence[Any],
    *,
    defect: tuple[Array, Array] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare the verdicts of two models on the same n turns.

    Parameters
    ----------
    truth, first, second: n failure points each.
    groups: n values; turns of one group (a dialogue) are resampled together.
    defect: the probability of any failure (n,) by the first and by the second, if they give one.

    Intervals are percentiles of a paired bootstrap over groups (Efron and Tibshirani 1993, ch. 13;
    cluster bootstrap: Field and Welsh 2007), both models on the same 1,000 resamples. The test of
    the verdicts is McNemar's (1947, Psychometrika 12) in its exact, binomial form. Raises
    `UsageError` if there are no turns, the lengths differ, or a failure point is unknown.
    """
    if not len(truth) or not len(truth) == len(first) == len(second):
        raise UsageError(
            f"Two models are compared on the same turns: there are {len(truth)} truths, and "
            f"{len(first)} and {len(second)} verdicts."
        )
    verdicts = [_numbers(first), _numbers(second)]
    return _comparison(_numbers(truth), verdicts, groups, None, defect, seed)


def _numbers(names: Sequence[str]) -> NDArray[np.int64]:
    unknown = sorted(set(names) - set(FAILURE_POINTS))
    if unknown:
        raise UsageError(
            f"Unknown failure point '{unknown[0]}'; use one of: {', '.join(FAILURE_POINTS)}."
        )
    return np.array([FAILURE_POINTS.index(name) for name in names])


def _comparison(
    target: NDArray[np.int64],
    verdicts: Sequence[NDArray[np.int64]],
    groups: Sequence[Any],
    losses: Sequence[Array] | None,
    defect: tuple[Array, Array] | None,
    seed: int,
) -> Comparison:
    n, k = len(target), len(FAILURE_POINTS)
    if len(groups) != n:
        raise UsageError(
            f"Each turn needs one group: there are {n} turns and {len(groups)} groups; pass {n}."
        )
    if defect is not None and any(len(p) != n for p in defect):
        raise UsageError(
            f"Each turn needs a probability of a defect by both: there are {n} turns and "
            f"{len(defect[0])} and {len(defect[1])} probabilities."
        )
    hit = target != _CORRECT
    number = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]
    size = int(number.max()) + 1
    # All figures follow from sums over turns: a resample is a product with the counts of groups.
    sums = np.zeros((2, size, k * k + 1))
    for model, verdict in enumerate(verdicts):
        np.add.at(sums[model], (number, target * k + verdict), 1)
        if losses is not None:
            sums[model, :, -1] = np.bincount(number, losses[model], size)

    def figures(times: np.ndarray, model: int) -> Array:
        """Those of `_figures` and average precision, (draws, figures)."""
        found = _figures(times @ sums[model], k)
        if defect is None or not hit.any():
            return found
        ranked = average_precisions(hit, defect[model], times[:, number])
        return np.column_stack([found, ranked])

    every = np.ones((1, size), np.int64)
    whole = [figures(every, model)[0] for model in range(2)]
    resampled = np.concatenate(
        [figures(times, 1) - figures(times, 0) for times in resamples(size, _RESAMPLES, seed)]
    )

    def difference(figure: int) -> Difference:
        # A resample may lack a class.
        low, high = percentiles(resampled[:, figure])
        return Difference(float(whole[0][figure]), float(whole[1][figure]), low, high)

    right = [verdict == target for verdict in verdicts]
    first_only, second_only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    both = int((right[0] & right[1]).sum())
    support = {name: int((target == i).sum()) for i, name in enumerate(FAILURE_POINTS)}
    return Comparison(
        turns=n,
        groups=size,
        both=both,
        first_only=first_only,
        second_only=second_only,
        neither=n - both - first_only - second_only,
        p_value=_mcnemar(first_only, second_only),
        macro_f1=difference(0),
        accuracy=difference(1),
        f1={name: difference(3 + i) for i, name in enumerate(FAILURE_POINTS) if support[name]},
        support={name: count for name, count in support.items() if count},
        log_loss=None if losses is None else difference(2),
        defect_average_precision=None if len(whole[0]) < 4 + k else difference(3 + k),
    )


def _figures(sums: Array, k: int) -> Array:
    """Macro-F1, accuracy, log loss, then F1 per class (NaN where it does not occur): (draws, …)."""
    table = sums[:, :-1].reshape(-1, k, k)
    hit = np.diagonal(table, axis1=1, axis2=2)
    predicted, actual = table.sum(1), table.sum(2)
    f1 = np.where(actual > 0, 2 * hit / np.maximum(predicted + actual, 1), np.nan)
    turns = np.maximum(table.sum((1, 2)), 1)
    return np.column_stack([np.nanmean(f1, axis=1), hit.sum(1) / turns, sums[:, -1] / turns, f1])


def _mcnemar(first_only: int, second_only: int) -> float:
    if first_only + second_only == 0:
        return 1.0
    return float(binomtest(first_only, first_only + second_only).pvalue)


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """A model's out-of-fold predictions: n turn ids, probabilities (n, 6), decision weights (6,).

    Classes are in the order of `FAILURE_POINTS`; those that the model did not learn have 0.
    """

    turn_ids: pa.Array[Any]
    probability: Array
    weights: Array


def out_of_fold(models: Path, model_id: str) -> OutOfFold:
    """The out-of-fold probabilities that are stored with a model, without loading it.

    Raises `ModelError` if the model is missing or damaged, or has none.
    """
    folder = models / model_id
    try:
        content = json.loads((folder / "model.json").read_text("utf-8"))
        held_out = HeldOut.read(folder / "held_out.parquet")
        classes = [FAILURE_POINTS.index(name) for name in content["classes"]]
        weights = np.zeros(len(FAILURE_POINTS))
        weights[classes] = content["weights"]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise machine_error(error, folder) or ModelError(
            f"The model {model_id} cannot be compared: its files are missing or damaged; train it "
            "again."
        ) from error
    if held_out is None:
        raise ModelError(f"The model {model_id} has no out-of-fold probabilities; train it again.")
    probability = np.zeros((len(held_out.turn_ids), len(FAILURE_POINTS)))
    probability[:, classes] = held_out.probability
    return OutOfFold(held_out.turn_ids, probability, weights)


_SHARED = f"""
SELECT k.dialogue_id, k.truth, a.row AS a, b.row AS b
FROM ({KNOWN_SQL}) k
JOIN a USING (turn_id)
JOIN b USING (turn_id)
WHERE k.truth IS NOT NULL
ORDER BY turn_id
"""


def compare_models(snapshot: Snapshot, models: Path, a: str, b: str) -> Comparison:
    """Compare two models of a store by their out-of-fold probabilities of common training turns.

    The truth is what is known now. Raises `ModelError` if a model is missing or damaged, or if they
    have no turn in common whose truth is known.
    """
    first, second = out_of_fold(models, a), out_of_fold(models, b)
    tables = {
        name: pa.table({"turn_id": model.turn_ids, "row": pa.array(range(len(model.turn_ids)))})
        for name, model in (("a", first), ("b", second))
    }
    shared = snapshot.query(_SHARED, tables=tables | shown(snapshot))
    if not shared.num_rows:
        raise ModelError(
            f"The models {a} and {b} have no labelled turn in common; train one of them again."
        )
    return compare(
        [str(truth) for truth in shared["truth"].to_pylist()],
        first.probability[shared["a"].to_numpy()],
        second.probability[shared["b"].to_numpy()],
        shared["dialogue_id"].to_pylist(),
        first_weights=first.weights,
        second_weights=second.weights,
    )
