"""An outside judge beside a model, on the same turns of known truth.

The model is scored by verdicts of models that had not seen the turn: those of its training turns
are out of fold (`classifiers.out_of_fold`), decided by what was fitted to the other folds, and a
training turn that has changed since, which has lost them, is left out. Beside both stands the
simplest judge, which calls every turn correct.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers import registry
from classifiers.evaluation.comparison import Comparison, Difference, compare_verdicts
from classifiers.metrics import average_precisions, percentiles, resamples
from classifiers.out_of_fold import HeldOut
from data.counted import number
from data.errors import ModelError, UsageError, machine_error
from data.queries.filters import Filter
from data.queries.judges import known_judge, verdicts
from data.schema.trace import FAILURE_POINTS
from data.store.judges import REFUSED, UNREADABLE, VERDICT

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

DRAWS = 1_000
# How often each dialogue occurs in each draw, in parts (draws, dialogues).
Draws = list[np.ndarray]
_K = len(FAILURE_POINTS)
_P = tuple(f"p_{name}" for name in FAILURE_POINTS)
_CORRECT = FAILURE_POINTS.index("correct")
# Whose verdicts are compared, and with what each agrees.
MODEL, JUDGE, BASELINE = "model", "judge", "always correct"
PAIRS = (("judge", "gold"), ("model", "gold"), ("judge", "model"))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; NaN where it is not defined, such as without a defect."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Side:
    """How good one side is.

    Attributes
    ----------
    macro_f1, accuracy: of the verdicts. precision, recall: of "some defect", by the verdicts.
    average_precision: of "some defect", by the probabilities; None where not every turn has one.
    f1: per failure point that occurs, in pipeline order.
    """

    macro_f1: Estimate
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    average_precision: Estimate | None
    f1: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Agreed:
    """How far two sides agree: Cohen's kappa (1960), and Krippendorff's alpha (2019, ch. 12)."""

    kappa: Estimate
    alpha: Estimate


@dataclass(frozen=True, slots=True)
class JudgeComparison:
    """A judge beside a model.

    Attributes
    ----------
    judge, model: the annotator `judge:NAME` and the id of the model.
    asked: turns with an answer of the judge. known: those whose truth is known; of these
    refused, unreadable: turns without a verdict of the judge,
    changed: turns that are no longer the ones that were judged,
    unscored: turns that the model has not scored,
    seen: training turns of the model without out-of-fold verdicts, as they have changed;
    turns, dialogues: the rest, which are compared;
    fitted: those of them that the model's calibration and decision weights were fitted to as well,
        as a model of an earlier version keeps no cross-fitted verdicts.
    sides: `MODEL`, `JUDGE` and `BASELINE`. paired: judge (second) against model (first).
    precision, recall: of defects, judge minus model.
    answered: the judge's accuracy if refused and unreadable turns count as wrong.
    agreement: of the pairs `PAIRS`.
    taught: whether the model learned from verdicts of this judge.
    cost_per_1000: mean cost of 1,000 answers of the judge, None where it is not known. currency.
    rows: the compared turns, with columns of `data.queries.judges.verdicts`.
    """

    judge: str
    model: str
    asked: int
    known: int
    refused: int
    unreadable: int
    changed: int
    unscored: int
    seen: int
    turns: int
    dialogues: int
    fitted: int
    sides: Mapping[str, Side]
    paired: Comparison
    precision: Difference
    recall: Difference
    answered: Estimate
    agreement: Mapping[tuple[str, str], Agreed]
    taught: bool
    cost_per_1000: float | None
    currency: str | None
    rows: pa.Table


def compare_judge(
    snapshot: Snapshot,
    models: Path,
    name: str,
    model: str | None = None,
    chosen: Filter | None = None,
    seed: int = 0,
) -> JudgeComparison:
    """Compare the judge `name` with a model (by default the promoted one), within a filter.

    Intervals are percentiles of a bootstrap over dialogues (Field and Welsh 2007), all sides on the
    same draws. Raises UsageError for an unknown judge, or where nothing can be compared, and
    ModelError where there is no model, or none with out-of-fold verdicts.
    """
    annotator = known_judge(snapshot, name)
    model = model or snapshot.model
    if model is None:
        raise ModelError("The store has no model to compare with; train one with: faultline train")
    folder = registry.folder_of(models, model)
    table = verdicts(snapshot, annotator, model, chosen)
    known = table.filter(pc.is_valid(table["truth"]))
    unchanged = known.filter(~pc.field("changed"))
    answered = unchanged.filter(pc.is_valid(unchanged["judged"]))
    scored = answered.filter(pc.is_valid(answered["predicted"]))
    rows, fitted = _out_of_fold(folder, scored)
    if not rows.num_rows:
        raise UsageError(_nothing(annotator, model, table, known, answered, scored))
    answers = Counter(unchanged["answer"].to_pylist())
    currencies = pc.unique(table["currency"]).to_pylist()
    # Costs in several currencies have no mean.
    cost = pc.mean(table["cost"]).as_py() if len(currencies) == 1 else None
    return JudgeComparison(
        judge=annotator,
        model=model,
        asked=table.num_rows,
        known=known.num_rows,
        refused=answers[REFUSED],
        unreadable=answers[UNREADABLE],
        changed=known.num_rows - unchanged.num_rows,
        unscored=answered.num_rows - scored.num_rows,
        seen=scored.num_rows - rows.num_rows,
        turns=rows.num_rows,
        fitted=fitted,
        taught=_taught_by(folder) == annotator,
        cost_per_1000=None if cost is None else 1000 * float(cost),
        currency=currencies[0] if len(currencies) == 1 else None,
        answered=_answered(unchanged, seed),
        rows=rows,
        **_measured(rows, seed),
    )


def _nothing(annotator: str, model: str, *parts: pa.Table) -> str:
    """Why no turn can be compared, by the first of the conditions that leaves none."""
    _, known, answered, scored = (part.num_rows for part in parts)
    answers = set(parts[1]["answer"].to_pylist())
    if not known:
        return (
            f"The truth of no turn that {annotator} judged is known; annotate some of them, or "
            "have it judge turns with gold: faultline judge export"
        )
    if VERDICT not in answers:
        return (
            f"{annotator} gave no verdict on a turn of known truth, but refusals or answers that "
            "cannot be read; mend them, and import them again with: faultline judge import"
        )
    if not answered:
        return (
            f"{annotator} gave no verdict on a turn of known truth that is still as it was judged; "
            "export the turns again with: faultline judge export"
        )
    if not scored:
        return f"{model} has scored no turn that {annotator} judged; run: faultline score"
    return (
        f"All turns that {annotator} judged have changed since {model} learned from them, so it "
        "has no verdict on them that it had not seen; train again with: faultline train"
    )


def _out_of_fold(folder: Path, rows: pa.Table) -> tuple[pa.Table, int]:
    """The rows with verdicts of the model that it had not seen, and `JudgeComparison.fitted`.

    Training turns have its cross-fitted verdicts and probabilities, where it keeps such; those that
    have changed since, and so have lost their out-of-fold verdict, are left out.
    """
    try:
        held_out = HeldOut.read(folder / "held_out.parquet")
        crossed = held_out.crossed if held_out else None
        classes = _classes(folder) if crossed else []
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise machine_error(error, folder) or ModelError(
            f"The model {folder.name} cannot be compared: its files are damaged; train it again."
        ) from error
    if held_out is None:
        raise ModelError(
            f"The model {folder.name} has no out-of-fold probabilities; train it again."
        )
    trained, source = held_out.rows(rows["turn_id"])
    same = held_out.digests[source] == rows["context_digest"].to_numpy()[trained]
    fresh = np.ones(rows.num_rows, bool)
    fresh[trained] = same
    if crossed is None:
        return rows.filter(pa.array(fresh)), int(same.sum())
    probability = np.column_stack([rows[name].to_numpy() for name in _P])
    predicted = np.array(rows["predicted"].to_pylist(), object)
    probability[trained[same]] = 0.0
    probability[np.ix_(trained[same], classes)] = crossed.probability[source[same]]
    decided = np.array(classes)[crossed.verdict[source[same]]]
    predicted[trained[same]] = np.array(FAILURE_POINTS, object)[decided]
    columns = {"predicted": predicted, **dict(zip(_P, probability.T, strict=True))}
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        column = pa.array(values, rows.schema.field(name).type)
        rows = rows.set_column(place, rows.schema.field(name), column)
    return rows.filter(pa.array(fresh)), 0


def _classes(folder: Path) -> list[int]:
    """The places in `FAILURE_POINTS` of a model's classes, in their order."""
    content = json.loads((folder / "model.json").read_text("utf-8"))
    return [FAILURE_POINTS.index(name) for name in content["classes"]]


def _taught_by(folder: Path) -> str | None:
    """The judge that a model learned from, as its settings say; None for none."""
    with suppress(OSError, ValueError, AttributeError):
        content = json.loads((folder / "model.json").read_text("utf-8"))
        judge: str | None = content.get("settings", {}).get("judge")
        return judge
    return None


def _measured(rows: pa.Table, seed: int) -> dict[str, Any]:
    """All figures of `JudgeComparison` that follow from the compared turns."""
    truth = _numbers(rows, "truth")
    said = {
        MODEL: _numbers(rows, "predicted"),
        JUDGE: _numbers(rows, "judged"),
        BASELINE: np.full(rows.num_rows, _CORRECT),
    }
    group, draws = _draws(rows, seed)
    defect = {MODEL: _model_defect(rows), JUDGE: _judge_defect(rows), BASELINE: None}
    sides, samples = {}, {}
    for side, verdict in said.items():
        figures = _resampled(group, draws, _cells(truth, verdict), _rates)
        ap = defect[side]
        precision = None if ap is None else _average_precision(truth != _CORRECT, ap, group, draws)
        sides[side] = Side(
            macro_f1=_estimate(figures[:, 0]),
            accuracy=_estimate(figures[:, 1]),
            precision=_estimate(figures[:, 2]),
            recall=_estimate(figures[:, 3]),
            average_precision=None if precision is None else _estimate(precision),
            f1={
                name: _estimate(figures[:, 4 + i])
                for i, name in enumerate(FAILURE_POINTS)
                if (truth == i).any()
            },
        )
        samples[side] = figures

    def judge_minus_model(place: int) -> Difference:
        return _difference(samples[MODEL][:, place], samples[JUDGE][:, place])

    of_model, of_judge = defect[MODEL], defect[JUDGE]
    both = {"gold": truth, **said}
    return {
        "dialogues": draws[0].shape[1],
        "sides": sides,
        "paired": compare_verdicts(
            _texts(rows, "truth"),
            _texts(rows, "predicted"),
            _texts(rows, "judged"),
            group.tolist(),
            defect=None if of_model is None or of_judge is None else (of_model, of_judge),
            seed=seed,
        ),
        "precision": judge_minus_model(2),
        "recall": judge_minus_model(3),
        "agreement": {
            (a, b): Agreed(
                _estimate(_resampled(group, draws, _cells(both[a], both[b]), _kappa)),
                _estimate(_resampled(group, draws, _cells(both[a], both[b]), _alpha)),
            )
            for a, b in PAIRS
        },
    }


def _answered(rows: pa.Table, seed: int) -> Estimate:
    """The judge's accuracy where no verdict is a wrong one."""
    group, draws = _draws(rows, seed)
    both = zip(rows["judged"].to_pylist(), rows["truth"].to_pylist(), strict=True)
    cells = np.column_stack([[judged == truth for judged, truth in both], np.ones(rows.num_rows)])
    return _estimate(_resampled(group, draws, cells, lambda sums: sums[:, 0] / sums[:, 1]))


def _numbers(rows: pa.Table, column: str) -> np.ndarray:
    return np.array([FAILURE_POINTS.index(name) for name in _texts(rows, column)])


def _texts(rows: pa.Table, column: str) -> list[str]:
    return [str(text) for text in rows[column].to_pylist()]


def _model_defect(rows: pa.Table) -> np.ndarray:
    rest: np.ndarray = 1 - rows["p_correct"].to_numpy().astype(float)
    return rest


def _judge_defect(rows: pa.Table) -> np.ndarray | None:
    """The judge's probability of a defect, (n,); None where it gave none for some turn."""
    given = 1 - rows["judge_correct"].to_numpy().astype(float)
    sure = rows["confidence"].to_numpy().astype(float)
    by_confidence = np.where(_numbers(rows, "judged") == _CORRECT, 1 - sure, sure)
    p: np.ndarray = np.where(np.isnan(given), by_confidence, given)
    return None if np.isnan(p).any() else p


def favoured(compared: JudgeComparison) -> str:
    """The warning that the model's figures were fitted to turns compared; "" where none was."""
    if not compared.fitted:
        return ""
    return (
        f"This favours the model: its calibration and decision weights were fitted to "
        f"{number(compared.fitted)} of these turns as well, and it keeps no others; train it again "
        "for a fair comparison."
    )


# -- resampling ------------------------------------------------------------------------------------


def _draws(rows: pa.Table, seed: int) -> tuple[np.ndarray, Draws]:
    """The number of each row's dialogue (n,), and how often each draw has each dialogue.

    The first draw, a part of its own, is the whole: every dialogue once.
    """
    dialogues = np.array(rows["dialogue_id"].to_pylist(), object).astype(str)
    group: np.ndarray = np.unique(dialogues, return_inverse=True)[1]
    size = int(group.max()) + 1
    # Of many dialogues a part is large; no dialogue is drawn more often than a small number says.
    parts = [part.astype(np.int16) for part in resamples(size, DRAWS, seed)]
    return group, [np.ones((1, size), np.int16), *parts]


def _resampled(
    group: np.ndarray,
    draws: Draws,
    cells: np.ndarray,
    figures: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Figures of every draw, from sums over its turns of `cells` (n, m)."""
    sums = np.zeros((draws[0].shape[1], cells.shape[1]))
    np.add.at(sums, group, cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([figures(part @ sums) for part in draws])


def _cells(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A one in the place of each row's pair of failure points, (n, k * k)."""
    cells = np.zeros((len(first), _K * _K))
    cells[np.arange(len(first)), first * _K + second] = 1
    return cells


def _rates(sums: np.ndarray) -> np.ndarray:
    """Macro-F1, accuracy, precision and recall of defects, F1 per class: (draws, 4 + k)."""
    table = sums.reshape(-1, _K, _K)
    hit = np.einsum("dii->di", table)
    actual, predicted, turns = table.sum(2), table.sum(1), sums.sum(1)
    f1 = np.where(actual > 0, 2 * hit / np.maximum(actual + predicted, 1), np.nan)
    found = table[:, :_CORRECT, :_CORRECT].sum((1, 2))
    columns = (
        np.nanmean(f1, axis=1),
        hit.sum(1) / turns,
        found / predicted[:, :_CORRECT].sum(1),
        found / actual[:, :_CORRECT].sum(1),
    )
    return np.column_stack([*columns, f1])


def _kappa(sums: np.ndarray) -> np.ndarray:
    table = sums.reshape(-1, _K, _K)
    turns = sums.sum(1)
    observed = np.einsum("dii->d", table) / turns
    chance = (table.sum(1) * table.sum(2)).sum(1) / turns**2
    kappa: np.ndarray = (observed - chance) / (1 - chance)
    return kappa


def _alpha(sums: np.ndarray) -> np.ndarray:
    """Nominal alpha of two complete columns of verdicts: 1 - observed / expected disagreement."""
    table = sums.reshape(-1, _K, _K)
    values = table.sum(1) + table.sum(2)
    total = values.sum(1)
    observed = 2 * (sums.sum(1) - np.einsum("dii->d", table))
    expected = (total**2 - (values**2).sum(1)) / (total - 1)
    alpha: np.ndarray = 1 - observed / expected
    return alpha


def _average_precision(
    hit: np.ndarray, p: np.ndarray, group: np.ndarray, draws: Draws
) -> np.ndarray:
    """Average precision of every draw."""
    return np.concatenate([average_precisions(hit, p, part[:, group]) for part in draws])


def _estimate(draws: np.ndarray) -> Estimate:
    """The figure of the whole, which is the first draw, and the interval of the others."""
    return Estimate(float(draws[0]), *percentiles(draws[1:]))


def _difference(first: np.ndarray, second: np.ndarray) -> Difference:
    return Difference(float(first[0]), float(second[0]), *percentiles((second - first)[1:]))


def differing(rows: pa.Table, seed: int = 0) -> pa.Table:
    """The compared turns on which judge and model differ, in random order by a seeded hash."""
    apart = rows.filter(pc.not_equal(rows["judged"], rows["predicted"]))
    return apart.take(np.random.default_rng(seed).permutation(apart.num_rows))
