"""Heads on the text encoder: class scores, similarities, agreement with usual frames, as features.

Every head is linear in the vectors of its fields, so its score is a sum of one product per
*distinct* text. Of the heads that learn from labels, scores of labelled turns are out of fold
(Wolpert 1992, stacked generalisation); scores of other turns come from heads fitted on all of them.
Heads that learn from logged frames are cross-fitted: see `classifiers.witness.parts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from classifiers.encoder import Encoder
from classifiers.lexical_heads import LexicalHead, hashed
from classifiers.witness.parts import PARTS
from data.schema.trace import FAILURE_POINTS
from features.text import HEADS, LEXICAL, SIMILARITIES, Head, Lexical

Folds = Sequence[tuple[np.ndarray, np.ndarray]]

_RIDGE = 3.0
_MIN_COUNT = 8  # turns of an intent or slot name before a head learns it
_MAX_NAMES = 64
_INTENT_COLUMNS = ("text.intent_usual", "text.intent_usual_gap")
_SLOT_COLUMNS = ("text.slots_missing", "text.slots_odd")


@dataclass(frozen=True, slots=True)
class Vectors:
    """Encoded text columns: per field the distinct vectors and each turn's index into them."""

    matrix: Mapping[str, np.ndarray]
    index: Mapping[str, np.ndarray]
    empty: Mapping[str, np.ndarray]  # per turn: there is no text
    intents: np.ndarray
    slot_names: pa.ListArray[Any]
    # Per lexical head the hashed words of its distinct texts, and each turn's index into them.
    words: Mapping[str, csr_matrix]
    spoken: Mapping[str, np.ndarray]

    @classmethod
    def encode(cls, encoder: Encoder, texts: pa.Table) -> Vectors:
        """Encode each distinct text of `features.matrix.texts` once over all fields."""
        fields = [n for n in texts.column_names if n not in {"turn_id", "intent", "slot_names"}]
        stacked = pa.chunked_array(
            [chunk for name in fields for chunk in texts[name].chunks], pa.string()
        )
        vectors, index = encoder.encode_column(stacked)
        per_field = np.split(index, len(fields)) if fields else []
        lengths = {n: pc.utf8_length(texts[n]).to_numpy() for n in fields}
        slot_names: Any = texts["slot_names"].combine_chunks()
        words, spoken = {}, {}
        for head in LEXICAL:
            parts: list[Any] = [texts[f] for f in head.fields]
            joined: Any = pc.binary_join_element_wise(*parts, " | ")
            distinct = joined.combine_chunks().dictionary_encode()
            words[head.name] = hashed(distinct.dictionary.to_pylist(), head.longest)
            spoken[head.name] = distinct.indices.to_numpy()
        return cls(
            dict.fromkeys(fields, vectors),
            dict(zip(fields, per_field, strict=True)),
            {name: length == 0 for name, length in lengths.items()},
            texts["intent"].to_numpy(),
            slot_names,
            words,
            spoken,
        )

    def __len__(self) -> int:
        return len(self.intents)

    def take(self, rows: np.ndarray) -> Vectors:
        """Some of the turns; the distinct vectors are shared."""
        return Vectors(
            self.matrix,
            {name: index[rows] for name, index in self.index.items()},
            {name: empty[rows] for name, empty in self.empty.items()},
            self.intents[rows],
            self.slot_names.take(pa.array(rows)),
            self.words,
            {name: index[rows] for name, index in self.spoken.items()},
        )

    def rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Vectors of field `name` for some turns, shape (len(rows), size)."""
        vectors: np.ndarray = self.matrix[name][self.index[name][rows]]
        return vectors


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Scores that are linear in the vectors of `fields`; `classes` names the outputs."""

    fields: tuple[str, ...]
    classes: tuple[str, ...]
    weights: Mapping[str, np.ndarray]  # field -> (size, len(classes))
    bias: np.ndarray

    @classmethod
    def fit(
        cls,
        vectors: Vectors,
        rows: np.ndarray,
        target: np.ndarray,
        classes: tuple[str, ...],
        fields: tuple[str, ...],
    ) -> LinearHead:
        """Ridge regression of the 0/1 matrix `target`, shape (len(rows), len(classes)).

        Least squares estimates each class's probability given the vectors, solves all classes and
        slots with one factorisation, and leaves non-linearity to the booster: seconds where
        logistic regression took minutes.
        """
        x = np.hstack([vectors.rows(name, rows) for name in fields]).astype(np.float64)
        model = Ridge(alpha=_RIDGE, solver="cholesky").fit(x, target.astype(np.float64))
        coefficients = np.atleast_2d(model.coef_).astype(np.float32)
        bounds = np.cumsum([vectors.matrix[name].shape[1] for name in fields])[:-1]
        parts = np.split(coefficients.T, bounds)
        bias = np.atleast_1d(model.intercept_).astype(np.float32)
        return cls(fields, classes, dict(zip(fields, parts, strict=True)), bias)

    def scores(self, vectors: Vectors, rows: np.ndarray) -> np.ndarray:
        """Estimated probability of each class, not clipped; shape (len(rows), len(classes)).

        Each distinct text is multiplied once.
        """
        total = np.tile(self.bias, (len(rows), 1))
        for name in self.fields:
            index, inverse = np.unique(vectors.index[name][rows], return_inverse=True)
            total += (vectors.matrix[name][index] @ self.weights[name])[inverse]
        return total


@dataclass(frozen=True, slots=True)
class TextHeads:
    """All heads of a model; `columns` names what `transform` returns.

    Attributes
    ----------
    usual, slots: learned from logged frames, one per part; None where there was nothing to learn.
    """

    heads: Mapping[str, LinearHead]
    lexical: Mapping[str, LexicalHead]
    usual: Sequence[LinearHead | None]
    meant: LinearHead | None
    slots: Sequence[LinearHead | None]
    slots_meant: LinearHead | None
    similarities: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        vectors: Vectors,
        target: np.ndarray,
        gold_intents: np.ndarray,
        gold_slots: pa.ListArray[Any],
        folds: Folds,
        part: np.ndarray,
        within: Sequence[np.ndarray] | None = None,
    ) -> tuple[TextHeads, np.ndarray]:
        """Fit the heads to all turns, and compute the columns of the same turns: out of fold where
        they are learned from labels.

        Parameters
        ----------
        vectors: encoded texts of the training turns, n of them.
        target: failure point per turn, or None where it is not known.
        gold_intents: the intent an annotator gave, or None.
        gold_slots: names of the slots an annotator gave, or null.
        folds: (train rows, held-out rows) pairs that cover every turn once, split by dialogue.
        part: of the heads that learn from logged frames, the one that does not learn from the turn.
        within: per fold the `target` to learn from there; by default the same.

        Returns
        -------
        The heads fitted to all turns, and the columns, float32 (n, len(columns)).
        """
        rows = np.arange(len(vectors))
        final = cls.fit_rows(vectors, rows, target, gold_intents, gold_slots, part)
        matrix = np.full((len(vectors), len(final.columns)), np.nan, np.float32)
        for names, heads, measure in (
            (_INTENT_COLUMNS, final.usual, _agreement),
            (_SLOT_COLUMNS, final.slots, _slot_columns),
        ):
            for values in _by_part(heads, measure, vectors, rows, part):
                matrix[:, [final.columns.index(name) for name in names]] = values
        within = within or [target] * len(folds)
        for (train, held_out), known in zip(folds, within, strict=True):
            fold = cls.fit_rows(vectors, train, known, gold_intents, gold_slots)
            values = fold.transform(vectors, held_out)
            for i, name in enumerate(final.columns):
                if name in fold.columns:
                    matrix[held_out, i] = values[:, fold.columns.index(name)]
        return final, matrix

    @classmethod
    def fit_rows(
        cls,
        vectors: Vectors,
        rows: np.ndarray,
        target: np.ndarray,
        gold_intents: np.ndarray,
        gold_slots: pa.ListArray[Any],
        part: np.ndarray | None = None,
    ) -> TextHeads:
        """Fit the heads to the turns `rows` only; the arrays are over all turns.

        Without `part` there are no heads that learn from logged frames.
        """
        labelled = rows[target[rows] != None]  # noqa: E711  # element-wise
        points = tuple(p for p in FAILURE_POINTS if (target[labelled] == p).any())
        one_hot = _one_hot(target[labelled], points)
        heads = {
            head.name: LinearHead.fit(vectors, labelled, one_hot, points, head.fields)
            for head in _usable(HEADS, vectors)
        }
        lexical = {
            head.name: LexicalHead.fit(
                vectors.words[head.name][vectors.spoken[head.name][labelled]], one_hot, points
            )
            for head in LEXICAL
        }
        others = [rows[part[rows] != i] for i in range(PARTS)] if part is not None else []
        usual = [_intent_head(vectors, given, vectors.intents) for given in others]
        meant = _intent_head(vectors, rows, gold_intents)
        slots = [_slot_head(vectors, given, vectors.slot_names) for given in others]
        slots_meant = _slot_head(vectors, rows, gold_slots)
        similarities = tuple(s.name for s in SIMILARITIES if _has_text(vectors, (s.a, s.b)))
        by_head: dict[str, Head | Lexical] = {h.name: h for h in HEADS}
        by_head |= {h.name: h for h in LEXICAL}
        learned: dict[str, LinearHead | LexicalHead] = {**heads, **lexical}
        columns = [
            *similarities,
            *[by_head[name].column(c) for name, head in learned.items() for c in head.classes],
        ]
        if any(usual):
            columns += _INTENT_COLUMNS
        if meant:
            columns += ["text.intent_meant", "text.intent_meant_gap"]
        if any(slots):
            columns += _SLOT_COLUMNS
        if slots_meant:
            columns += ["text.slots_meant_missing", "text.slots_meant_odd"]
        return cls(heads, lexical, usual, meant, slots, slots_meant, similarities, tuple(columns))

    def transform(
        self, vectors: Vectors, rows: np.ndarray | None = None, part: np.ndarray | None = None
    ) -> np.ndarray:
        """The text columns of some turns (all by default), float32, shape (n, len(columns)).

        `part`: of all turns; see `fit`. Needed for heads fitted with parts.
        """
        rows = np.arange(len(vectors)) if rows is None else rows
        part = np.zeros(len(vectors), np.int64) if part is None else part
        pairs = [s for s in SIMILARITIES if s.name in self.similarities]
        parts = [
            *[_cosine(vectors, rows, pair.a, pair.b)[:, None] for pair in pairs],
            *[head.scores(vectors, rows) for head in self.heads.values()],
            *[_lexical(name, head, vectors, rows) for name, head in self.lexical.items()],
            *_by_part(self.usual, _agreement, vectors, rows, part),
            *([_agreement(self.meant, vectors, rows)] if self.meant else []),
            *_by_part(self.slots, _slot_columns, vectors, rows, part),
            *([_slot_columns(self.slots_meant, vectors, rows)] if self.slots_meant else []),
        ]
        if not parts:
            return np.empty((len(rows), 0), np.float32)
        return np.hstack(parts).astype(np.float32)


def _by_part(
    heads: Sequence[LinearHead | None],
    measure: Callable[[LinearHead, Vectors, np.ndarray], np.ndarray],
    vectors: Vectors,
    rows: np.ndarray,
    part: np.ndarray,
) -> list[np.ndarray]:
    """Columns (n, 2) of a measure, each turn by the head of its part; none without any head."""
    if not any(heads):
        return []
    values = np.full((len(rows), 2), np.nan)
    # A model of before there were parts has one head.
    of = part[rows] % len(heads)
    for i, head in enumerate(heads):
        own = np.flatnonzero(of == i)
        if head and len(own):
            values[own] = measure(head, vectors, rows[own])
    return [values]


def usual_columns(vectors: Vectors, folds: Folds) -> dict[str, np.ndarray]:
    """The text columns that no label is needed for, float64 (n,): similarities of texts, and out of
    fold how usual the intent and the slots are for the words heard."""
    n = len(vectors)
    rows = np.arange(n)
    columns = {
        pair.name: _cosine(vectors, rows, pair.a, pair.b).astype(np.float64)
        for pair in SIMILARITIES
        if _has_text(vectors, (pair.a, pair.b))
    }
    names = (*_INTENT_COLUMNS, *_SLOT_COLUMNS)
    values = np.full((n, len(names)), np.nan)
    for train, held_out in folds:
        intents = _intent_head(vectors, train, vectors.intents)
        if intents and len(held_out):
            values[held_out, :2] = _agreement(intents, vectors, held_out)
        slots = _slot_head(vectors, train, vectors.slot_names)
        if slots and len(held_out):
            values[held_out, 2:] = _slot_columns(slots, vectors, held_out)
    return columns | dict(zip(names, values.T, strict=True))


def _lexical(name: str, head: LexicalHead, vectors: Vectors, rows: np.ndarray) -> np.ndarray:
    """Scores of one lexical head; each distinct text of these turns is scored once."""
    index, inverse = np.unique(vectors.spoken[name][rows], return_inverse=True)
    return head.scores(vectors.words[name][index])[inverse]


def _slot_columns(head: LinearHead, vectors: Vectors, rows: np.ndarray) -> np.ndarray:
    """Columns (n, 2): probability of the most probable slot that is not filled, and 1 minus the
    probability of the least probable slot that is."""
    filled = _indicator(vectors.slot_names.take(pa.array(rows)), head.classes)
    probability = head.scores(vectors, rows)
    missing = np.where(filled, 0.0, probability).max(axis=1)
    odd = np.where(filled, 1.0 - probability, 0.0).max(axis=1)
    return np.column_stack([missing, odd])


def _usable(heads: Iterable[Head], vectors: Vectors) -> list[Head]:
    """Heads with fields in this context, restricted to the fields that have a text in some turn."""
    usable = []
    for head in heads:
        fields = tuple(f for f in head.fields if f in vectors.index and not vectors.empty[f].all())
        # "heard" alone, left over from prompt and response, would only repeat the request head.
        if fields and (fields != ("heard",) or head.fields == fields):
            usable.append(Head(head.name, fields, head.sentence))
    return usable


def _has_text(vectors: Vectors, names: tuple[str, str]) -> bool:
    return all(n in vectors.index and not vectors.empty[n].all() for n in names)


def _cosine(vectors: Vectors, rows: np.ndarray, a: str, b: str) -> np.ndarray:
    value = np.einsum("ij,ij->i", vectors.rows(a, rows), vectors.rows(b, rows))
    absent = vectors.empty[a][rows] | vectors.empty[b][rows]
    return np.where(absent, np.nan, value)


def _one_hot(names: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    equal: np.ndarray = np.asarray(names)[:, None] == np.array(classes, object)[None, :]
    return equal


def _frequent(names: Iterable[str | None]) -> tuple[str, ...]:
    """The names worth learning: at most `_MAX_NAMES`, each `_MIN_COUNT` times or more."""
    counts = Counter(name for name in names if name)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(sorted(name for name, n in ranked[:_MAX_NAMES] if n >= _MIN_COUNT))


def _intent_head(vectors: Vectors, rows: np.ndarray, intents: np.ndarray) -> LinearHead | None:
    """Predicts the intent from the words heard; None with fewer than two frequent intents."""
    frequent = _frequent(intents[rows])
    usable = rows[np.isin(intents[rows].astype(str), frequent)]
    if len(frequent) < 2:
        return None
    return LinearHead.fit(
        vectors, usable, _one_hot(intents[usable], frequent), frequent, ("heard",)
    )


def _agreement(head: LinearHead, vectors: Vectors, rows: np.ndarray) -> np.ndarray:
    """Columns (n, 2): score of the recognised intent (0 if it is rare), and how far the highest
    score lies above it."""
    scores = head.scores(vectors, rows)
    code = {name: i for i, name in enumerate(head.classes)}
    column = np.array([code.get(i, -1) for i in vectors.intents[rows]])
    own = np.where(column >= 0, scores[np.arange(len(rows)), column], 0.0)
    return np.column_stack([own, scores.max(axis=1) - own])


def _indicator(lists: Any, names: Sequence[str]) -> np.ndarray:
    """0/1 matrix (lists, names): which of `names` each list contains."""
    matrix = np.zeros((len(lists), len(names)), bool)
    parents = pc.list_parent_indices(lists).to_numpy()
    index = pc.index_in(lists.flatten(), value_set=pa.array(list(names), pa.string()))
    codes = pc.fill_null(index, -1).to_numpy()
    matrix[parents[codes >= 0], codes[codes >= 0]] = True
    return matrix


def _slot_head(vectors: Vectors, rows: np.ndarray, names: pa.ListArray[Any]) -> LinearHead | None:
    """Predicts the slots from the words heard; `names` are a turn's slots, null where not known."""
    usable = rows[names.take(pa.array(rows)).is_valid().to_numpy(zero_copy_only=False)]
    lists = names.take(pa.array(usable))
    frequent = _frequent(lists.flatten().to_pylist())
    if not frequent:
        return None
    return LinearHead.fit(vectors, usable, _indicator(lists, frequent), frequent, ("heard",))
