"""Which turns to annotate next: the most informative ones, with the reason in words.

Four signals, each between 0 and 1, favour a turn. Uncertainty: the margin between the model's two
largest probabilities is small (Settles 2009, Active learning literature survey, section 3.1).
Disagreement: another model, or the status of the result, contradicts the verdict. Novelty: few
turns of the same domain and intent have a label. Impact: its domain and intent fail more than
others, or many people asked the same. The signals have different scales, so their ranks are added
up (reciprocal rank fusion; Cormack, Clarke and Büttcher 2009, SIGIR).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import rankdata

from data.errors import UsageError
from data.store.annotations import wants_second

Array = NDArray[np.float64]
# Kind -> its weight when all kinds are fused.
KINDS = {"uncertainty": 1.0, "disagreement": 0.9, "novelty": 0.8, "impact": 0.8}
# The constant k of reciprocal rank fusion, as in the paper; it limits the weight of the top ranks.
_DAMPING = 60
# Factors applied to a turn's score for each better-ranked turn with the same words, and with the
# same domain and intent.
_SAME_WORDS, _SAME_FRAME = 0.3, 0.85
_STATUS = {"error": "failed", "no_match": "found nothing", "unsupported": "unsupported"}


def rank(candidates: pa.Table, kind: str | None = None) -> pa.Table:
    """Order the rows of `annotation.candidates.candidates` by how informative a label would be.

    With `kind`, by this signal alone; else by all of them. Returns the same rows, the best first,
    with the columns score (0 to 1, falling), kind (the strongest signal of the turn) and reason (in
    words that do not reveal the model's verdict). Turns that repeat the words or the intent of a
    better one come later. Raises UsageError for an unknown kind.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"Unknown order of the queue: '{kind}'; choose one of {', '.join(KINDS)}.")
    signals = _signals(candidates)
    fused = np.stack([weight * _by_rank(signals[name]) for name, weight in KINDS.items()])
    score = signals[kind] if kind else _relative_to_largest(fused.sum(0))
    words = _codes(candidates, "heard")
    frames = _codes(candidates, "domain", "intent")
    order = np.argsort(-score, kind="stable")
    # Turns without heard text do not count as having the same words.
    silent = pc.is_null(candidates["heard"]).to_numpy()
    repeats = np.where(silent, 0, _earlier(words, order))
    score = score * _SAME_WORDS**repeats * _SAME_FRAME ** _earlier(frames, order)
    excess = fused - np.median(fused, axis=1, keepdims=True) if fused.size else fused
    names = np.array(list(KINDS))[excess.argmax(0)]
    # The reason is the signal that most exceeds its median: one that all turns share is no reason.
    if kind:
        names[:] = kind
    order = np.argsort(-score, kind="stable")
    rows = candidates.take(order)
    reasons = [
        _reason(row, str(name)) for row, name in zip(rows.to_pylist(), names[order], strict=True)
    ]
    return (
        rows.append_column("score", pa.array(score[order]))
        .append_column("kind", pa.array(names[order].tolist(), pa.string()))
        .append_column("reason", pa.array(reasons, pa.string()))
    )


def _signals(table: pa.Table) -> dict[str, Array]:
    def column(name: str) -> Array:
        values: Array = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
        return values

    defect, excess = column("p_defect"), np.maximum(column("frame_excess"), 0)
    repeats = np.where(pc.is_null(table["heard"]).to_numpy(), 1, column("asked"))
    weight = np.maximum(
        _relative_to_largest(np.sqrt(excess)),
        _relative_to_largest(np.log(np.maximum(repeats, 1))),
    )
    return {
        "uncertainty": np.clip(1 - column("margin"), 0, 1),
        "disagreement": np.maximum(column("differs"), 0.8 * column("odd")),
        "novelty": 1 / np.sqrt(1 + column("frame_labelled")),
        "impact": weight * np.sqrt(np.clip(defect, 0, 1)),
    }


def _by_rank(signal: Array) -> Array:
    """The contribution of a signal to the fused score, before its weight; 0 where it is 0."""
    return np.where(signal > 0, 1 / (_DAMPING + rankdata(-signal, method="average")), 0.0)


def _relative_to_largest(values: Array) -> Array:
    largest = values.max(initial=0.0)
    return values / largest if largest > 0 else values


def _codes(table: pa.Table, *names: str) -> NDArray[np.int64]:
    texts = ["\0".join(str(part) for part in row) for row in zip(
        *(table[name].to_pylist() for name in names), strict=True)]  # fmt: skip
    codes: NDArray[np.int64] = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    return codes


def _earlier(code: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, the number of rows with the same code that come before it in `order`."""
    sorted_code = code[order]
    by_code = np.argsort(sorted_code, kind="stable")
    grouped = sorted_code[by_code]
    first = np.searchsorted(grouped, grouped)
    earlier = np.empty(len(code), np.int64)
    earlier[order[by_code]] = np.arange(len(code)) - first
    return earlier


def _reason(row: Mapping[str, Any], kind: str) -> str:
    frame = " · ".join(str(row[name]) for name in ("domain", "intent") if row[name])
    frame = frame or "no intent"
    if kind == "uncertainty":
        return (
            "The model hesitates between two failure points, "
            f"{100 * row['margin']:.1f} points apart."
        )
    if kind == "disagreement":
        if row["differs"]:
            return "Two models judge this turn differently."
        if row["odd"]:
            return f"The model sees nothing wrong, but the action {_STATUS.get(row['status'], '')}."
        return "No disagreement is known."
    if kind == "novelty":
        labelled = int(row["frame_labelled"])
        turns = "one turn has" if labelled == 1 else f"{labelled} turns have"
        return f"Few labels for {frame}: {turns if labelled else 'no turn has'} a label."
    if row["frame_excess"] > 0:
        above = row["frame_excess"]
        extent = f"about {above:.0f} failures" if above >= 1.5 else "failures"
        return f"{frame} fails more than the rest: {extent} above expectation."
    return f"{int(row['asked'])} turns of this period have the same words."


def waiting(ranked: pa.Table, annotations: pa.Table, annotator: str, share: float) -> list[str]:
    """Ids of the turns that an annotator should judge next, the most informative first.

    `annotations` are the latest ones (`data.queries.annotations.latest`). Turns that somebody has
    judged are left out, except those that need a second opinion
    (`data.store.annotations.wants_second`) and have a single one by somebody else; these come
    first. `share`: the share of turns that need a second opinion.
    """
    annotators: dict[str, set[str]] = {}
    done: set[str] = set()
    for row in annotations.select(["turn_id", "annotator", "adjudicated"]).to_pylist():
        annotators.setdefault(row["turn_id"], set())
        if row["adjudicated"]:
            done.add(row["turn_id"])
        else:
            annotators[row["turn_id"]].add(row["annotator"])
    second = [
        turn
        for turn, names in annotators.items()
        if len(names) == 1
        and annotator not in names
        and turn not in done
        and wants_second(turn, share)
    ]
    return second + [str(turn) for turn in ranked["turn_id"].to_pylist() if turn not in annotators]


def disputed(annotations: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """The annotations of turns with different verdicts and no adjudication, by turn id."""
    by_turn: dict[str, list[dict[str, Any]]] = {}
    for row in annotations.to_pylist():
        by_turn.setdefault(row["turn_id"], []).append(row)
    return {
        turn: rows
        for turn, rows in by_turn.items()
        if not any(row["adjudicated"] for row in rows)
        and len({row["failure_point"] for row in rows}) > 1
    }


class Leases:
    """Which annotator has which turn open, so that no two get the same turn. Thread-safe.

    A lease ends when its holder takes another turn, or after `seconds`.
    """

    def __init__(self, seconds: float = 900.0) -> None:
        self._seconds = seconds
        self._held: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def take(
        self,
        turns: Collection[str],
        annotator: str,
        keep: str | None = None,
        now: float | None = None,
    ) -> str | None:
        """Lease the first of `turns` that nobody else holds to `annotator`; None if there is none.

        `keep` is tried first if it is among `turns`. `now` replaces the monotonic clock, in
        seconds.
        """
        clock = time.monotonic() if now is None else now
        with self._lock:
            self._held = {
                turn: (holder, until)
                for turn, (holder, until) in self._held.items()
                if until > clock and holder != annotator
            }
            order = [keep, *turns] if keep in turns else turns
            for turn in order:
                if turn is not None and turn not in self._held:
                    self._held[turn] = (annotator, clock + self._seconds)
                    return turn
        return None
