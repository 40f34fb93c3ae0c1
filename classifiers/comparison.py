"""Two models side by side on the same turns: which one is right more often, and is it luck?

Both are judged by probabilities of models that had not seen the turns, so neither knows an answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar

from classifiers.held_out import HeldOut
from data.errors import ModelError, UsageError
from data.labelled import KNOWN_SQL
from data.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.snapshot import Snapshot

Array = NDArray[np.float64]
# With fewer turns on which only one is right the exact binomial test is used.
_EXACT_BELOW = 25


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of both models, and by how much b is better, with a 95 % interval."""

    a: float
    b: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found.

    Attributes
    ----------
    turns, groups: compared. macro_f1, accuracy: of the verdicts.
    f1: per failure point that occurs, in pipeline order. support: turns of each.
    log_loss: mean of -log of the probability of the truth; lower is better.
    only_a, only_b: turns on which only the one is right. p_value: of McNemar's test that both are
    wrong equally often; it takes turns as independent.
    """

    turns: int
    groups: int
    macro_f1: Figure
    accuracy: Figure
    log_loss: Figure
    f1: dict[str, Figure]
    support: dict[str, int]
    only_a: int
    only_b: int
    p_value: float

    @property
    def better(self) -> str | None:
        """ "a" or "b" where the interval of macro-F1's difference leaves out 0; None otherwise."""
        if self.macro_f1.low > 0:
            return "b"
        return "a" if self.macro_f1.high < 0 else None


def compare(
    truth: Sequence[str],
    a: Array,
    b: Array,
    groups: Sequence[Any],
    *,
    weights_a: Array | None = None,
    weights_b: Array | None = None,
    seed: int = 0,
    draws: int = 500,
) -> Comparison:
    """Compare two models on the same n turns.

    Parameters
    ----------
    truth: n failure points. a, b: probabilities (n, 6) in the order of `FAILURE_POINTS`, of models
    that had not seen the turns. groups: n values; turns of one group (a dialogue) are drawn as one.
    weights_a, weights_b: decision weights (6,) of the verdicts; none by default.

    Intervals are percentiles of a paired bootstrap over groups (Efron and Tibshirani 1993, ch. 13;
    both models on the same draws). The test of the verdicts is McNemar's (1947, Psychometrika 12),
    exact below 25 turns on which they differ. Raises UsageError where there are no turns, the
    shapes do not fit, or a failure point is unknown.
    """
    n, k = len(truth), len(FAILURE_POINTS)
    if not n or a.shape != (n, k) or b.shape != (n, k) or len(groups) != n:
        raise UsageError(
            f"Two models are compared on the same turns: there are {n} truths, {len(groups)} "
            f"groups, and probabilities of shapes {a.shape} and {b.shape}; expected ({n}, {k})."
        )
    unknown = sorted(set(truth) - set(FAILURE_POINTS))
    if unknown:
        raise UsageError(
            f"'{unknown[0]}' is no failure point; there are {', '.join(FAILURE_POINTS)}."
        )
    target = np.array([FAILURE_POINTS.index(name) for name in truth])
    number = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]
    size = int(number.max()) + 1
    sums = []
    hits = []
    for probability, weights in ((a, weights_a), (b, weights_b)):
        verdict = (probability * (1.0 if weights is None else weights)).argmax(1)
        hits.append(verdict == target)
        loss = -np.log(np.clip(probability[np.arange(n), target], 1e-6, 1.0))
        # Everything is a sum over turns, so a draw of groups is a product with its counts.
        table = np.zeros((size, k * k + 1))
        np.add.at(table, (number, target * k + verdict), 1)
        table[:, -1] = np.bincount(number, loss, size)
        sums.append(table)
    rng = np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(draws)]
    whole = [_figures(table.sum(0), k) for table in sums]
    each = [np.array([_figures(counts @ table, k) for counts in drawn]) for table in sums]

    def figure(place: int) -> Figure:
        change = each[1][:, place] - each[0][:, place]
        change = change[~np.isnan(change)]
        low, high = np.percentile(change, [2.5, 97.5]) if len(change) else (np.nan, np.nan)
        return Figure(float(whole[0][place]), float(whole[1][place]), float(low), float(high))

    only_a, only_b = int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
    support = {name: int((target == i).sum()) for i, name in enumerate(FAILURE_POINTS)}
    return Comparison(
        turns=n,
        groups=size,
        macro_f1=figure(0),
        accuracy=figure(1),
        log_loss=figure(2),
        f1={name: figure(3 + i) for i, name in enumerate(FAILURE_POINTS) if support[name]},
        support={name: count for name, count in support.items() if count},
        only_a=only_a,
        only_b=only_b,
        p_value=_mcnemar(only_a, only_b),
    )


def _figures(sums: Array, k: int) -> Array:
    """Macro-F1, accuracy, log loss, then F1 per class (NaN where it does not occur)."""
    table = sums[:-1].reshape(k, k)
    hit, said, true = np.diag(table), table.sum(0), table.sum(1)
    f1 = np.where(true > 0, 2 * hit / np.maximum(said + true, 1), np.nan)
    turns = max(table.sum(), 1)
    return np.array([np.nanmean(f1), hit.sum() / turns, sums[-1] / turns, *f1])


def _mcnemar(only_a: int, only_b: int) -> float:
    if only_a + only_b == 0:
        return 1.0
    exact = only_a + only_b < _EXACT_BELOW
    return float(mcnemar([[0, only_a], [only_b, 0]], exact=exact, correction=True).pvalue)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of turns that it had not seen: ids, (n, 6) probabilities, weights (6,)."""

    turn_ids: pa.Array[Any]
    probability: Array
    weights: Array


def out_of_fold(models: Path, model_id: str) -> Judged:
    """The out-of-fold probabilities that were kept with a model, without loading it.

    Raises `ModelError` where the model is missing or damaged, or has none.
    """
    folder = models / model_id
    try:
        content = json.loads((folder / "model.json").read_text("utf-8"))
        held = HeldOut.read(folder / "held_out.parquet")
        place = [FAILURE_POINTS.index(name) for name in content["classes"]]
        weights = np.zeros(len(FAILURE_POINTS))
        weights[place] = content["weights"]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ModelError(
            f"The model {model_id} cannot be compared: its files are missing or damaged; train it "
            "again."
        ) from error
    if held is None:
        raise ModelError(
            f"The model {model_id} keeps no probabilities of turns that it had not seen; train it "
            "again."
        )
    probability = np.zeros((len(held.turn_ids), len(FAILURE_POINTS)))
    probability[:, place] = held.probability
    return Judged(held.turn_ids, probability, weights)


_SHARED = f"""
SELECT k.dialogue_id, k.truth, a.place AS a, b.place AS b
FROM ({KNOWN_SQL}) k
JOIN a USING (turn_id)
JOIN b USING (turn_id)
WHERE k.truth IS NOT NULL
ORDER BY turn_id
"""


def compare_models(snapshot: Snapshot, models: Path, a: str, b: str) -> Comparison:
    """Compare two models of a store on the turns that both were trained on, held out from each.

    The truth is what is known now. Raises `ModelError` where a model is missing, or they share no
    turn whose truth is known.
    """
    one, two = out_of_fold(models, a), out_of_fold(models, b)
    tables = {
        name: pa.table({"turn_id": judged.turn_ids, "place": pa.array(range(len(judged.turn_ids)))})
        for name, judged in (("a", one), ("b", two))
    }
    shared = snapshot.query(_SHARED, tables=tables)
    if not shared.num_rows:
        raise ModelError(
            f"The models {a} and {b} have no labelled turn in common; train one of them again."
        )
    return compare(
        [str(truth) for truth in shared["truth"].to_pylist()],
        one.probability[shared["a"].to_numpy()],
        two.probability[shared["b"].to_numpy()],
        shared["dialogue_id"].to_pylist(),
        weights_a=one.weights,
        weights_b=two.weights,
    )
