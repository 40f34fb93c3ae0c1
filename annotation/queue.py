"""Which turns to annotate next: those that teach most, with the reason in words.

Four things speak for a turn, each between 0 and 1. Uncertainty: the margin between the model's two
largest probabilities is small (Settles 2009, Active learning literature survey, section 3.1).
Disagreement: another model, or the status of the result, says otherwise. Novelty: hardly any turn
of the same domain and intent has a label. Impact: its domain and intent fail more than others, or
many people asked the same. They are not of one scale, so it is their ranks that are added up
(reciprocal rank fusion; Cormack, Clarke and Büttcher 2009, SIGIR).
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
# Kind -> its weight where all count.
KINDS = {"uncertainty": 1.0, "disagreement": 0.9, "novelty": 0.8, "impact": 0.8}
# As in the paper: how little the very first ranks count more than those that follow.
_DAMPING = 60
# What is left of a turn's score for each better one with the same words, and of the same intent.
_SAME_WORDS, _SAME_FRAME = 0.3, 0.85
_STATUS = {"error": "failed", "no_match": "found nothing", "unsupported": "unsupported"}


def rank(candidates: pa.Table, kind: str | None = None) -> pa.Table:
    """Order `annotation.candidates.candidates` by what they would teach; by one kind alone if it is
    given.

    Returns the same rows, the best first, with the columns score (0 to 1, falling), kind (what
    speaks most for the turn) and reason (in words that do not give the model's verdict away). Turns
    that repeat the words or the intent of a better one come later. Raises UsageError for an unknown
    kind.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"'{kind}' is no order of the queue; choose one of {', '.join(KINDS)}.")
    signals = _signals(candidates)
    fused = np.stack([weight * _by_rank(signals[name]) for name, weight in KINDS.items()])
    score = signals[kind] if kind else _of_largest(fused.sum(0))
    words = _codes(candidates, "heard")
    frames = _codes(candidates, "domain", "intent")
    order = np.argsort(-score, kind="stable")
    # Turns of which nothing was heard have no words in common.
    silent = pc.is_null(candidates["heard"]).to_numpy()
    again = np.where(silent, 0, _earlier(words, order))
    score = score * _SAME_WORDS**again * _SAME_FRAME ** _earlier(frames, order)
    apart = fused - np.median(fused, axis=1, keepdims=True) if fused.size else fused
    names = np.array(list(KINDS))[apart.argmax(0)]
    # The reason is what sets a turn apart: where all are alike it is none.
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
        found: Array = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
        return found

    defect, excess = column("p_defect"), np.maximum(column("frame_excess"), 0)
    asked = np.where(pc.is_null(table["heard"]).to_numpy(), 1, column("asked"))
    heavy = np.maximum(_of_largest(np.sqrt(excess)), _of_largest(np.log(np.maximum(asked, 1))))
    return {
        "uncertainty": np.clip(1 - column("margin"), 0, 1),
        "disagreement": np.maximum(column("differs"), 0.8 * column("odd")),
        "novelty": 1 / np.sqrt(1 + column("frame_labelled")),
        "impact": heavy * np.sqrt(np.clip(defect, 0, 1)),
    }


def _by_rank(signal: Array) -> Array:
    """A signal's part in the fused score; 0 where it says nothing."""
    return np.where(signal > 0, 1 / (_DAMPING + rankdata(-signal, method="average")), 0.0)


def _of_largest(values: Array) -> Array:
    largest = values.max(initial=0.0)
    return values / largest if largest > 0 else values


def _codes(table: pa.Table, *names: str) -> NDArray[np.int64]:
    texts = ["\0".join(str(part) for part in row) for row in zip(
        *(table[name].to_pylist() for name in names), strict=True)]  # fmt: skip
    found: NDArray[np.int64] = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    return found


def _earlier(code: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows of the same code come before each row in an order."""
    sorted_code = code[order]
    by_code = np.argsort(sorted_code, kind="stable")
    grouped = sorted_code[by_code]
    first = np.searchsorted(grouped, grouped)
    found = np.empty(len(code), np.int64)
    found[order[by_code]] = np.arange(len(code)) - first
    return found


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
        known = int(row["frame_labelled"])
        turns = "one turn has" if known == 1 else f"{known} turns have"
        return f"Little is known of {frame}: {turns if known else 'no turn has'} a label."
    if row["frame_excess"] > 0:
        above = row["frame_excess"]
        said = f"about {above:.0f} failures" if above >= 1.5 else "failures"
        return f"{frame} fails more than the rest: {said} above expectation."
    return f"{int(row['asked'])} turns of this period have the same words."


def waiting(ranked: pa.Table, said: pa.Table, annotator: str, share: float) -> list[str]:
    """Ids of the turns that an annotator is to judge next, the most useful first.

    `said` are the latest annotations (`data.queries.annotations.latest`). Nobody gets a turn that
    they have judged, or that somebody has judged already, unless it is one that wants a second
    opinion (`data.store.annotations.wants_second`) and has one; those come first.
    """
    by: dict[str, set[str]] = {}
    done: set[str] = set()
    for row in said.select(["turn_id", "annotator", "adjudicated"]).to_pylist():
        by.setdefault(row["turn_id"], set())
        if row["adjudicated"]:
            done.add(row["turn_id"])
        else:
            by[row["turn_id"]].add(row["annotator"])
    second = [
        turn
        for turn, who in by.items()
        if len(who) == 1 and annotator not in who and turn not in done and wants_second(turn, share)
    ]
    return second + [str(turn) for turn in ranked["turn_id"].to_pylist() if turn not in by]


def disputed(said: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Turns on which annotators differ and nobody has decided: their annotations, by turn."""
    by: dict[str, list[dict[str, Any]]] = {}
    for row in said.to_pylist():
        by.setdefault(row["turn_id"], []).append(row)
    return {
        turn: rows
        for turn, rows in by.items()
        if not any(row["adjudicated"] for row in rows)
        and len({row["failure_point"] for row in rows}) > 1
    }


class Leases:
    """Who looks at which turn just now, so that two people do not get the same; for any threads.

    A lease ends when its holder takes another turn, or after `seconds`.
    """

    def __init__(self, seconds: float = 900.0) -> None:
        self._seconds = seconds
        self._held: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def take(
        self,
        turns: Collection[str],
        who: str,
        keep: str | None = None,
        now: float | None = None,
    ) -> str | None:
        """The first of `turns` that nobody else holds; it is then held by `who` alone.

        `keep` is taken first if it is among `turns` and free. None where there is none.
        """
        at = time.monotonic() if now is None else now
        with self._lock:
            self._held = {
                turn: (holder, until)
                for turn, (holder, until) in self._held.items()
                if until > at and holder != who
            }
            order = [keep, *turns] if keep in turns else turns
            for turn in order:
                if turn is not None and turn not in self._held:
                    self._held[turn] = (who, at + self._seconds)
                    return turn
        return None
