"""What two turns have in common: as heard, as understood, in hypotheses not passed on."""

from __future__ import annotations

import math

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist, cpdist

from rewrites.rephrase.pairs import Pairs, Vectors, text_vectors
from rewrites.rephrase.turns import MOST_HYPOTHESES, Heard
from rewrites.rephrase.vocabulary import Words, verb


def in_common(pairs: Pairs, words: Words, vectors: Vectors | None) -> dict[str, np.ndarray]:
    """Texts, hypotheses and frames of the two turns compared, float64 (pairs,) each."""
    first, later = pairs.first, pairs.later
    texts = np.array([turn.text for turn in pairs.heard], object)
    x, y = texts[first], texts[later]
    c: dict[str, np.ndarray] = {"letters": pairs.alike(lambda t: t.text)}
    c["sounds"] = pairs.alike(lambda t: t.sounds)
    for name, scorer in {
        "sorted": fuzz.token_sort_ratio,
        "part": fuzz.partial_ratio,
        "set": fuzz.token_set_ratio,
        "weighted": fuzz.WRatio,
    }.items():
        c[name] = np.asarray(cpdist(x, y, scorer=scorer, dtype=np.float64)) / 100
    c["same"] = (x == y).astype(float)
    c["shared"] = pairs.each(lambda a, b: len(a.words & b.words))
    c["of_first"] = pairs.each(lambda a, b: len(a.words & b.words) / max(len(a.words), 1))
    c["of_later"] = pairs.each(lambda a, b: len(a.words & b.words) / max(len(b.words), 1))
    c["rare_first"] = pairs.each(
        lambda a, b: words.weight(a.words & b.words) / (words.weight(a.words) + 1e-9)
    )
    c["rare_later"] = pairs.each(
        lambda a, b: words.weight(a.words & b.words) / (words.weight(b.words) + 1e-9)
    )
    c["rarest_new"] = pairs.each(
        lambda a, b: max((words.rarity.get(w, words.unseen) for w in b.words - a.words), default=0)
    )
    c["rarest_gone"] = pairs.each(
        lambda a, b: max((words.rarity.get(w, words.unseen) for w in a.words - b.words), default=0)
    )
    c["opening"] = pairs.each(lambda a, b: _prefix(a.text.split(), b.text.split()))
    c["ending"] = pairs.each(lambda a, b: _prefix(a.text.split()[::-1], b.text.split()[::-1]))
    c["n_first"], c["n_later"] = pairs.of_turn(lambda t: len(t.text.split()))
    c["often_first"], c["often_later"] = pairs.of_turn(
        lambda t: np.log1p(words.texts.get(t.text, 0))
    )
    c["verb_first"], c["verb_later"] = pairs.of_turn(lambda t: words.verbs.get(verb(t), -1))
    c["n_more"] = c["n_later"] - c["n_first"]
    c["letters_first"], c["letters_later"] = pairs.of_turn(lambda t: len(t.text))
    if vectors is not None:
        c["cosine"] = np.einsum("ij,ij->i", *text_vectors(pairs, vectors)).astype(float)
    return c | _hypotheses(pairs) | _frames(pairs)


def _hypotheses(pairs: Pairs) -> dict[str, np.ndarray]:
    c = dict(zip(("said_first", "said_later"), pairs.of_turn(lambda t: len(t.said)), strict=True))
    c["conf_first"], c["conf_later"] = pairs.of_turn(lambda t: t.confidences[0])
    c["best_first"], c["best_later"] = pairs.of_turn(lambda t: max(t.confidences))
    c["lead_first"], c["lead_later"] = pairs.of_turn(_lead)
    c["audio_first"], c["audio_later"] = pairs.of_turn(lambda t: t.audio_s)
    grids = _grids(pairs)
    c["nbest_first"] = np.array([grid[:, 0].max() for grid in grids])
    c["nbest_later"] = np.array([grid[0].max() for grid in grids])
    c["nbest"] = np.array([grid.max() for grid in grids])
    c["rank_first"] = np.array([float(grid[:, 0].argmax()) for grid in grids])
    c["exact"] = pairs.each(lambda a, b: len(set(a.said) & set(b.said) - {""}))
    c["heard_before"] = pairs.each(
        lambda a, b: max(
            (
                0.0 if np.isnan(p) else p
                for text, p in zip(a.said, a.confidences, strict=True)
                if text == b.text
            ),
            default=-1.0,
        )
    )
    return c


def nearest_hypotheses(pairs: Pairs) -> np.ndarray:
    """Letters shared by those hypotheses of the two turns that are most alike, (pairs,)."""
    return np.array([grid.max() for grid in _grids(pairs)], np.float64)


def _grids(pairs: Pairs) -> list[np.ndarray]:
    """Letters shared by each hypothesis of the first turn and each of the later one; 0 if empty."""
    grids = []
    for i, j in zip(pairs.first, pairs.later, strict=True):
        a = pairs.heard[i].said[:MOST_HYPOTHESES]
        b = pairs.heard[j].said[:MOST_HYPOTHESES]
        grid = cdist(a, b, scorer=Levenshtein.normalized_similarity)
        grid[np.ix_([not text for text in a], [not text for text in b])] = 0.0
        grids.append(grid)
    return grids


def _lead(turn: Heard) -> float:
    ranked = sorted((p for p in turn.confidences if not np.isnan(p)), reverse=True)
    return ranked[0] - ranked[1] if len(ranked) > 1 else np.nan


def _frames(pairs: Pairs) -> dict[str, np.ndarray]:
    c = {"same_intent": pairs.each(lambda a, b: a.intent == b.intent)}
    c["slots_first"], c["slots_later"] = pairs.of_turn(lambda t: len(t.slots))
    c["slots_same"] = pairs.each(lambda a, b: len(a.slots & b.slots))
    c["slots_changed"] = pairs.each(
        lambda a, b: len(a.names & b.names) - len({n for n, _ in a.slots & b.slots})
    )
    c["slots_new"] = pairs.each(lambda a, b: len(b.names - a.names))
    c["slots_gone"] = pairs.each(lambda a, b: len(a.names - b.names))
    c["offered_first"] = pairs.each(lambda a, b: _offered(a, b.slots))
    c["offered_later"] = pairs.each(lambda a, b: _offered(b, a.slots))
    c["offered_both"] = pairs.each(lambda a, b: len(a.offered.keys() & b.offered.keys()))
    c["value_alike"] = pairs.each(_values_alike)
    return c


def _offered(turn: Heard, slots: frozenset[tuple[str, str]]) -> float:
    """Confidence with which a hypothesis of the turn has the slots; −1 where there are none."""
    if not slots:
        return -1.0
    return math.fsum(turn.offered.get(slot, 0.0) for slot in slots) / len(slots)


def _values_alike(a: Heard, b: Heard) -> float:
    """Similarity of the values of slots that both frames have; NaN without such slots."""
    left, right = dict(sorted(a.slots)), dict(sorted(b.slots))
    shared = left.keys() & right.keys()
    if not shared:
        return np.nan
    return max(Levenshtein.normalized_similarity(left[n], right[n]) for n in shared)


def _prefix(a: list[str], b: list[str]) -> int:
    for i, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return i
    return min(len(a), len(b))
