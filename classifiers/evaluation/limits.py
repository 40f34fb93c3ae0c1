"""How good any model could be on these labels and logs, at most: estimates of a ceiling.

What bounds a model is noise in the labels it is judged by, and failures that left nothing in the
log. Neither can be measured without reading turns; each estimate here says something of one of
them, and rests on assumptions that its docstring names.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers.evaluation.label_errors import suspects
from classifiers.metrics import macro_f1
from data.schema.trace import FAILURE_POINTS
from labels.rules.failure_point import COLUMNS, derive

# Turns whose neighbours are looked for, drawn at random, and how many at once.
_QUERIES, _AT_ONCE = 4_000, 250
_NEIGHBOURS = 10
# Turns judged by two people, below which their agreement says little.
_LEAST_SHARED = 20
# Standard deviations beyond which a feature is as far as it gets.
_FARTHEST = 4.0


def limits(
    turns: pa.Table,
    annotations: pa.Table | None,
    logged: Mapping[str, np.ndarray],
    probability: np.ndarray,
    target: np.ndarray,
    group: np.ndarray,
    classes: tuple[str, ...],
    seed: int,
) -> dict[str, Any]:
    """Estimates of what a model can reach at most, on n labelled turns.

    Parameters
    ----------
    turns: n rows of the store's turns. annotations: those of the store, if it has some.
    logged: feature columns (n,). probability: calibrated and out of fold, (n, k).
    target: class numbers (n,). group: (n,). classes: k names.

    Returns
    -------
    ``accuracy``, ``macro_f1``: upper bounds by the error of the nearest neighbour (``nearest``, the
        share of turns whose nearest neighbour has another label; see `by_neighbours`).
    ``suspects``: share of labels that confident learning suspects (Northcutt et al. 2021), each of
        which is an error of the label or of the model.
    ``unseen``: share of defects that neither the model nor their neighbours tell from correct
        turns, see `unseen`; None without defects.
    ``reading``: how well another reading of the same gold agrees with the labels, see `reread`.
    ``people``: how well two people agree, see `agreed`; None where they judged too little.
    """
    rows = np.random.default_rng(seed).permutation(len(target))[:_QUERIES]
    spaces = {
        "logged features": _scaled(logged),
        "scores of the model": np.log(np.clip(probability, 1e-4, 1.0)).astype(np.float32),
    }
    near = {name: neighbours(space, group, rows) for name, space in spaces.items()}
    errors = {name: target[found[:, 0]] != target[rows] for name, found in near.items()}
    space = min(errors, key=lambda name: float(errors[name].mean()))
    nearest = near[space][:, 0]
    names = np.array(classes, object)
    return {
        **by_neighbours(target[rows], target[nearest], len(classes)),
        "space": space,
        "suspects": len(suspects(names[target], probability, classes)[0]) / len(target),
        "unseen": unseen(target, rows, near["logged features"], probability, classes),
        "reading": reread(turns, names[target], classes),
        "people": agreed(annotations) if annotations is not None else None,
    }


def by_neighbours(target: np.ndarray, nearest: np.ndarray, k: int) -> dict[str, float]:
    """Bounds by the nearest neighbour's label.

    With more and more turns, the error R of the nearest neighbour and the least error R* that any
    classifier can have obey R <= R* (2 - k/(k-1) R*) (Cover & Hart 1967), so that
    R* >= (k-1)/k (1 - sqrt(1 - k/(k-1) R)). Features in which R is lowest come nearest to R*
    (Renggli et al. 2023). With R* of one class against the rest and its share s of the turns, F1 is
    at most 2 s / (2 s + R*), as errors are at least R* and cost least as false alarms; macro-F1 is
    at most the mean of these.

    The labels of n turns and of the nearest neighbour of each, as numbers below k.
    """
    wrong = float((target != nearest).mean())
    bounds = []
    for i in range(k):
        share = float((target == i).mean())
        if share:
            error = _least_error(float(((target == i) != (nearest == i)).mean()), 2)
            bounds.append(2 * share / (2 * share + error))
    return {
        "nearest": wrong,
        "accuracy": 1 - _least_error(wrong, k),
        "macro_f1": float(np.mean(bounds)),
    }


def _least_error(wrong: float, k: int) -> float:
    return (k - 1) / k * (1 - float(np.sqrt(max(1 - k / (k - 1) * wrong, 0.0))))


def neighbours(space: np.ndarray, group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The nearest turns of other groups, the nearest first: row numbers (len(rows), at most 10).

    `space`: (n, d), by Euclidean distance.
    """
    many = min(_NEIGHBOURS, len(np.unique(group)) - 1)
    squared = (space**2).sum(1)
    found = []
    for first in range(0, len(rows), _AT_ONCE):
        asked = rows[first : first + _AT_ONCE]
        distance = squared[None] - 2 * space[asked] @ space.T
        distance[group[asked, None] == group[None]] = np.inf
        near = np.argpartition(distance, many - 1, axis=1)[:, :many]
        order = np.argsort(np.take_along_axis(distance, near, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(near, order, 1))
    return np.concatenate(found)


def _scaled(logged: Mapping[str, np.ndarray]) -> np.ndarray:
    """Standardised features (n, d); one that was not logged is as usual."""
    columns = []
    for values in logged.values():
        known = ~np.isnan(values)
        spread = float(values[known].std()) if known.any() else 0.0
        if spread > 0:
            z = (values - values[known].mean()) / spread
            columns.append(np.nan_to_num(z, nan=0.0).clip(-_FARTHEST, _FARTHEST))
    return np.column_stack(columns or [np.zeros(0)]).astype(np.float32)


def unseen(
    target: np.ndarray,
    rows: np.ndarray,
    near: np.ndarray,
    probability: np.ndarray,
    classes: tuple[str, ...],
) -> float | None:
    """Share of the defects among `rows` that look like correct turns.

    Those less likely a defect than a turn drawn at random, by the model, of whose nearest
    neighbours at most one in ten is a defect: the log holds nothing that a model of such features
    could learn of them. `near`: row numbers of the neighbours of each of `rows`.
    """
    if "correct" not in classes:
        return None
    defect = target != classes.index("correct")
    failed = defect[rows]
    if not failed.any():
        return None
    doubtful = 1 - probability[rows, classes.index("correct")] < defect.mean()
    alone = defect[near].mean(1) <= 0.1
    return float((doubtful & alone)[failed].mean())


def reread(turns: pa.Table, truth: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Agreement of labels with the rules' own, without replaying transcripts through the NLU.

    The rules (`labels.rules.failure_point`) clear the recogniser of an error where the NLU says the
    same of what was really spoken; where gold has no replay, every difference in words that matter
    counts. Both readings are in use, so where they differ a label is a matter of convention.
    Returns ``turns`` that the rules decide, and ``accuracy`` and ``macro_f1`` of their reading.
    """
    gold = turns["gold"].combine_chunks()
    fields = list(gold.type)
    columns = [
        pa.nulls(len(gold), field.type)
        if field.name == "replay"
        else pc.struct_field(gold, field.name)
        for field in fields
    ]
    without = pa.StructArray.from_arrays(columns, fields=fields, mask=pc.is_null(gold))
    index = turns.column_names.index("gold")
    derived = derive(turns.set_column(index, "gold", without).select(COLUMNS))["derived"]
    verdict = np.array(derived.to_pylist(), object)
    decided = np.isin(verdict.astype(str), classes)
    return _agreement([(truth[i], verdict[i]) for i in np.flatnonzero(decided)])


def agreed(annotations: pa.Table) -> dict[str, Any] | None:
    """Agreement of people on turns that two or more judged; None below 20 such turns.

    One person's verdict against another's, each being the truth in turn. Where both are equally
    often wrong, and not on the same turns, a model that knew the truth would agree better.
    """
    judged: dict[str, dict[str, str]] = {}
    columns = ["turn_id", "annotator", "failure_point", "adjudicated"]
    for row in annotations.select(columns).to_pylist():
        if row["failure_point"] and row["annotator"] and not row["adjudicated"]:
            judged.setdefault(row["turn_id"], {})[row["annotator"]] = row["failure_point"]
    shared = {turn: points for turn, points in judged.items() if len(points) > 1}
    if len(shared) < _LEAST_SHARED:
        return None
    pairs = [pair for points in shared.values() for pair in permutations(points.values(), 2)]
    return {**_agreement(pairs), "turns": len(shared)}


def _agreement(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    k = len(FAILURE_POINTS)
    table = np.zeros((k, k), np.int64)
    for truth, verdict in pairs:
        table[FAILURE_POINTS.index(truth), FAILURE_POINTS.index(verdict)] += 1
    return {
        "turns": len(pairs),
        "accuracy": float(np.trace(table) / max(table.sum(), 1)),
        "macro_f1": macro_f1(table),
    }
