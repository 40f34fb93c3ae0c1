"""Failure points of turns that nobody has annotated, by the rules that derive them from gold.

What was meant (`labels.generated.frames`), whether the turn was a defect (feedback, or a label
model) and the words that were meant make up a gold that was not given by a person. The very rules
of `labels.rules.failure_point` then say which stage is to blame. A false wake leaves no words that
were meant, so none is generated; annotators have to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from rapidfuzz import fuzz
from sklearn.linear_model import LogisticRegression

from data.errors import UsageError
from data.schema.trace import FAILURE_POINTS, TURNS, schema
from labels.generated.frames.candidates import normal
from labels.generated.frames.requests import Pair, Turn, key, read
from labels.rules.failure_point import derive

_STR: pa.DataType = pa.string()
_F64: pa.DataType = pa.float64()
GENERATED = schema(
    [
        ("turn_id", _STR),
        ("failure_point", _STR),
        ("weight", _F64),
        ("transcript", _STR),
        ("p_transcript", _F64),
        ("reason", _STR),
    ]
)
# A defect from here on.
_DEFECT = 0.5
# A request this similar to one of the next two says it again; less similar ones say something else.
_SAID_AGAIN = 55.0
_AHEAD = 2
# How sure one can be of the words: the first hypothesis, where its confidence was not logged;
# another one; what was said afterwards; no more than the values that were meant.
_FIRST, _OTHER, _AGAIN, _VALUES = 0.7, 0.7, 0.6, 0.5
# Turns with gold to fit the confidence to.
_ENOUGH = 60


@dataclass(frozen=True, slots=True)
class Confidence:
    """Probability that a generated failure point is right, fitted to turns with gold.

    One share per failure point, and one slope of the log-odds of the product of the parts'
    probabilities.
    """

    shift: dict[str, float]
    slope: float

    @classmethod
    def fit(
        cls, points: Sequence[str | None], product: np.ndarray, gold: Sequence[str | None]
    ) -> Confidence | None:
        """On generated and annotated failure points of the same turns; None for too few."""
        rows = [i for i, (p, g) in enumerate(zip(points, gold, strict=True)) if p and g]
        right = np.array([points[i] == gold[i] for i in rows], bool)
        if len(rows) < _ENOUGH or right.all() or not right.any():
            return None
        x = _features([points[i] for i in rows], product[rows])
        model = LogisticRegression(C=1.0, max_iter=500).fit(x, right)
        shift = {
            name: float(model.coef_[0][1 + i] + model.intercept_[0])
            for i, name in enumerate(FAILURE_POINTS)
        }
        return cls(shift, max(float(model.coef_[0][0]), 0.0))

    def __call__(self, points: Sequence[str | None], product: np.ndarray) -> np.ndarray:
        """Shape (n,); 0 where there is no failure point."""
        odds = self.slope * _logit(product)
        odds += np.array([self.shift.get(point or "", -np.inf) for point in points])
        value: np.ndarray = 1 / (1 + np.exp(-odds))
        return value


def generate(
    turns: pa.Table,
    frames: pa.Table | None,
    defects: pa.Table,
    confidence: Confidence | None = None,
) -> pa.Table:
    """A failure point for each row of `turns` of which enough is known; schema `GENERATED`.

    Parameters
    ----------
    turns: whole dialogues, columns of `data.schema.trace.TURNS`; their gold is not read.
    frames: what `Frames.generate` returns for them; without it, what was meant is what the NLU
        made of the turn that was accepted: this one, or the one that says it again.
    defects: ``turn_id`` and ``p_defect``, from feedback or a label model; null where not known.
    confidence: what the probabilities were fitted to; by default the product of the parts'.

    Returns
    -------
    `failure_point` null where the rules decide nothing; `weight`, the probability that it is right;
    `transcript`, the words that were meant, and `reason`, the rule, as `derive` names it. Raises
    `UsageError` where a column is missing.
    """
    missing = {"turn_id", "p_defect"} - set(defects.column_names)
    if missing:
        raise UsageError(
            "Failure points are generated from a table with turn_id and p_defect; "
            f"{', '.join(sorted(missing))} is missing."
        )
    blank = turns.drop_columns(["gold"]) if "gold" in turns.column_names else turns
    dialogues = read(blank)
    ids, chances = (defects[name].to_pylist() for name in ("turn_id", "p_defect"))
    p_defect: dict[str, float | None] = {
        str(turn): None if p is None or np.isnan(p) else p
        for turn, p in zip(ids, chances, strict=True)
    }
    said = _by_turn(frames)
    gold: list[dict[str, Any] | None] = [None] * turns.num_rows
    meant: list[tuple[str | None, float]] = [(None, 0.0)] * turns.num_rows
    product = np.zeros(turns.num_rows)
    for dialogue in dialogues:
        for i, turn in enumerate(dialogue):
            if p_defect.get(turn.turn_id) is None and turn.turn_id not in said:
                continue
            made, words, sure = _meant(dialogue, i, p_defect, said)
            gold[turn.row], meant[turn.row], product[turn.row] = made, words, sure
    field = TURNS.field("gold")
    with_gold = blank.append_column(field, pa.array(gold, field.type))
    derived = derive(with_gold)
    points = derived["derived"].to_pylist()
    product = np.array([p if point else 0.0 for point, p in zip(points, product, strict=True)])
    weight = product if confidence is None else confidence(points, product)
    columns: dict[str, Any] = {
        "turn_id": turns["turn_id"],
        "failure_point": pa.array(points, _STR),
        "weight": pa.array(np.where([p is None for p in points], 0.0, weight), _F64),
        "transcript": pa.array([words for words, _ in meant], _STR),
        "p_transcript": pa.array([p if words else None for words, p in meant], _F64),
        "reason": derived["reason"],
    }
    return pa.table(columns, schema=GENERATED)


_Said = dict[str, tuple[str | None, float, tuple[Pair, ...] | None, float]]


def _by_turn(frames: pa.Table | None) -> _Said:
    if frames is None:
        return {}
    columns = (frames[c].to_pylist() for c in ("turn_id", "intent", "p_intent", "slots", "p_slots"))
    return {
        turn_id: (
            intent,
            p_intent or 0.0,
            None if slots is None else tuple((s["name"], s["value"] or "") for s in slots),
            p_slots or 0.0,
        )
        for turn_id, intent, p_intent, slots, p_slots in zip(*columns, strict=True)
    }


def _meant(
    dialogue: list[Turn], i: int, p_defect: dict[str, float | None], said: _Said
) -> tuple[dict[str, Any], tuple[str | None, float], float]:
    """Gold of a turn that nobody gave, the words with their probability, and that of the whole."""
    turn = dialogue[i]
    p = p_defect.get(turn.turn_id)
    if p is not None and p < _DEFECT:
        # An outcome that was right is all that the rules ask.
        return {"result_ok": True}, (turn.request or None, 1 - p), 1 - p
    again = _said_again(dialogue, i, p_defect)
    # Without feedback, what was meant is compared with what was understood, and no more.
    gold: dict[str, Any] = {} if p is None else {"result_ok": False}
    sure = 1.0 if p is None else p
    slots: tuple[Pair, ...] | None = None
    if turn.turn_id in said:
        intent, p_intent, slots, p_slots = said[turn.turn_id]
        sure *= (1.0 if intent is None else p_intent) * (1.0 if slots is None else p_slots)
    elif again is not None and again.nlu:
        intent, slots = again.nlu[0].intent, again.nlu[0].slots
        sure *= _AGAIN
    else:
        intent = None
    if intent is not None:
        gold["intent"] = intent
    if slots is not None:
        gold["slots"] = [{"name": name, "value": value} for name, value in slots]
    words, p_words = _words(turn, again, slots)
    if words is not None:
        gold["transcript"] = words
        sure *= p_words
    # No words: others than those that were heard, which ones nobody knows.
    return gold, (words or None, p_words), sure


def _said_again(dialogue: list[Turn], i: int, p_defect: dict[str, float | None]) -> Turn | None:
    """The next turn but one at most that asks for the same and was accepted."""
    for later in dialogue[i + 1 : i + 1 + _AHEAD]:
        alike = fuzz.token_sort_ratio(dialogue[i].request.lower(), later.request.lower())
        p = p_defect.get(later.turn_id)
        if alike >= _SAID_AGAIN and p is not None and p < _DEFECT:
            return later
    return None


def _words(
    turn: Turn, again: Turn | None, slots: tuple[Pair, ...] | None
) -> tuple[str | None, float]:
    """The words that were meant, and the probability that they are.

    Empty: others than those that were heard, but which is not known. None: nothing is known.
    """
    if slots is None:
        return (again.request, _AGAIN) if again is not None else (None, 0.0)
    heard = {key(pair) for pair in turn.nlu[0].slots} if turn.nlu else set()
    # A value that is not said in words, or that the NLU found anyway, tells nothing of the words.
    values = [normal(value) for name, value in slots if key((name, value)) not in heard]
    values = [value for value in values if value.strip()]
    sure = _FIRST if turn.confidence is None else turn.confidence
    for rank, (text, _) in enumerate(turn.nbest):
        if rank == 0 and not values and sure < 0.5:
            # Nothing else was meant, yet the ASR itself doubts its words.
            continue
        if all(value in normal(text) for value in values):
            if rank == 0:
                # What was meant stands in them, as in another hypothesis.
                return text, max(sure, _OTHER) if values else sure
            if values:
                return text, _OTHER
    if again is not None and all(value in normal(again.request) for value in values):
        return again.request, _AGAIN
    if not values:
        return ("", 1 - sure) if turn.nbest else (None, 0.0)
    return " ".join(value.strip() for value in values), _VALUES


def _features(points: Sequence[str | None], product: np.ndarray) -> np.ndarray:
    of = np.array([[point == name for name in FAILURE_POINTS] for point in points], float)
    return np.hstack([_logit(product)[:, None], of.reshape(-1, len(FAILURE_POINTS))])


def _logit(p: np.ndarray) -> np.ndarray:
    clipped = p.clip(1e-4, 1 - 1e-4)
    value: np.ndarray = np.log(clipped / (1 - clipped))
    return value
