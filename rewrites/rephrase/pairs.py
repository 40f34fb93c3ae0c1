"""Features of a pair of turns: the one that failed, and a later one that may rephrase it.

Three groups. *Words*: what both have in common as heard, as understood, and in the hypotheses that
were not passed on. *Context*: what the system asked before each, the time, and what was said in
between. *After*: what follows the later turn, which tells whether it was understood; a rephrase
that fails again is not the answer. The group is left out where replies are logged for some turns
only, as there their absence tells more about the log than about the turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist, cpdist

from rewrites.rephrase.turns import (
    MOST_HYPOTHESES,
    Heard,
    agrees,
    apologises,
    confirms,
    refuses,
    rejects,
)

Vectors = Callable[[Sequence[str]], np.ndarray]
# Commonest questions and intents that become categories.
MOST_CATEGORIES = 24
# Commonest requests that are counted.
MOST_TEXTS = 20_000


@dataclass(frozen=True, slots=True)
class Words:
    """How telling a word is, and which questions and intents are common: learned without labels."""

    rarity: dict[str, float]
    unseen: float
    questions: dict[str, int]
    intents: dict[str, int]
    replies: dict[str, int]
    verbs: dict[str, int]
    texts: dict[str, int]

    @classmethod
    def of(cls, heard: Sequence[Heard]) -> Self:
        seen = Counter(word for turn in heard for word in turn.words)
        n = len(heard) + 1
        return cls(
            {word: float(np.log(n / (count + 0.5))) for word, count in sorted(seen.items())},
            float(np.log(n / 0.5)),
            _common(template(turn) for turn in heard),
            _common(turn.intent for turn in heard),
            _common(reply(turn) for turn in heard),
            _common(verb(turn) for turn in heard),
            dict(Counter(turn.text for turn in heard).most_common(MOST_TEXTS)),
        )

    def weight(self, words: frozenset[str]) -> float:
        return sum(self.rarity.get(word, self.unseen) for word in words)


def template(turn: Heard) -> str:
    """The question without what it names: the first words of the prompt's last sentence."""
    return " ".join(turn.question.split()[:6])


def reply(turn: Heard) -> str:
    """How the reply begins."""
    return " ".join(turn.response.split()[:4])


def verb(turn: Heard) -> str:
    """The first word of the request."""
    return turn.text.partition(" ")[0]


def _common(values: object) -> dict[str, int]:
    counted = Counter(values)  # type: ignore[call-overload]
    common = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES]
    return {value: i for i, (value, _) in enumerate(common)}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of rows of `heard`, ordered by the first, then by the second.

    `columns`: their features, once they have been computed.
    """

    heard: Sequence[Heard]
    first: np.ndarray
    later: np.ndarray
    columns: Mapping[str, np.ndarray] | None = None

    def where(self, kept: np.ndarray) -> Pairs:
        """Some of the pairs; of a first turn all or none, or its pairs are compared wrongly."""
        columns = self.columns and {name: x[kept] for name, x in self.columns.items()}
        return Pairs(self.heard, self.first[kept], self.later[kept], columns)

    @property
    def starts(self) -> np.ndarray:
        """Where each first turn's pairs begin."""
        return np.flatnonzero(np.diff(self.first, prepend=-1))

    def each(self, measure: Callable[[Heard, Heard], float]) -> np.ndarray:
        return np.array(
            [measure(self.heard[i], self.heard[j]) for i, j in self._both()], np.float64
        )

    def of_turn(self, measure: Callable[[Heard], float]) -> tuple[np.ndarray, np.ndarray]:
        """A measure of single turns, of the first and of the later one."""
        values = np.array([measure(turn) for turn in self.heard], np.float64)
        return values[self.first], values[self.later]

    def alike(self, read: Callable[[Heard], str], first: int = 0, later: int = 0) -> np.ndarray:
        """Letters shared by a text of the first turn and one of the later; 0 where one is empty.

        `first` and `later` move on by so many turns of the dialogue; NaN beyond its end.
        """
        texts = np.array([read(turn) for turn in self.heard], object)
        a, left = self.moved(self.first, first)
        b, right = self.moved(self.later, later)
        x, y = texts[a], texts[b]
        similarity = cpdist(x, y, scorer=Levenshtein.normalized_similarity, dtype=np.float64)
        similarity[(x == "") | (y == "")] = 0.0
        similarity[~(left & right)] = np.nan
        return np.asarray(similarity)

    def moved(self, rows: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows `by` turns on (clipped), and whether they are of the same dialogue."""
        moved = np.clip(rows + by, 0, max(len(self.heard) - 1, 0))
        same = [
            self.heard[a].dialogue == self.heard[b].dialogue
            for a, b in zip(rows, moved, strict=True)
        ]
        return moved, np.array(same, bool) & (moved == rows + by)

    def _both(self) -> list[tuple[int, int]]:
        return list(zip(self.first.tolist(), self.later.tolist(), strict=True))


def features(
    pairs: Pairs, words: Words, *, whole: bool, vectors: Vectors | None = None
) -> dict[str, np.ndarray]:
    """Columns of the three groups, float64 (pairs,); the names of a group begin with its name.

    `whole`: whether the dialogues are logged whole. Of excerpts nothing outside the pair is read:
    neither what precedes the failed turn, nor the reply to the later one, nor what follows. Where
    an excerpt ends was decided by whoever cut it. `vectors`: unit vectors of texts, for a cosine.
    """
    columns = {f"words.{k}": v for k, v in _words(pairs, words, vectors).items()}
    columns |= {f"context.{k}": v for k, v in _context(pairs, words, whole).items()}
    columns |= {f"context.{k}": v for k, v in _compared(pairs, columns).items()}
    if whole:
        columns |= {f"after.{k}": v for k, v in _after(pairs).items()}
    return columns


def _words(pairs: Pairs, words: Words, vectors: Vectors | None) -> dict[str, np.ndarray]:
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


def text_vectors(pairs: Pairs, vectors: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of the first and of the later texts; each distinct text is encoded once."""
    rows = np.concatenate([pairs.first, pairs.later])
    texts = np.array([pairs.heard[i].text for i in rows], object).astype(str)
    distinct, where = np.unique(texts, return_inverse=True)
    found = vectors([str(text) for text in distinct])[where]
    return found[: len(pairs.first)], found[len(pairs.first) :]


def _hypotheses(pairs: Pairs) -> dict[str, np.ndarray]:
    c = dict(zip(("said_first", "said_later"), pairs.of_turn(lambda t: len(t.said)), strict=True))
    c["conf_first"], c["conf_later"] = pairs.of_turn(lambda t: t.confidences[0])
    c["best_first"], c["best_later"] = pairs.of_turn(lambda t: max(t.confidences))
    c["lead_first"], c["lead_later"] = pairs.of_turn(_lead)
    c["audio_first"], c["audio_later"] = pairs.of_turn(lambda t: t.audio_s)
    grids = [
        cdist(
            pairs.heard[i].said[:MOST_HYPOTHESES],
            pairs.heard[j].said[:MOST_HYPOTHESES],
            scorer=Levenshtein.normalized_similarity,
        )
        for i, j in pairs._both()
    ]
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
    return float(np.mean([turn.offered.get(slot, 0.0) for slot in slots]))


def _values_alike(a: Heard, b: Heard) -> float:
    """Similarity of the values of slots that both frames have; NaN without such slots."""
    left, right = dict(a.slots), dict(b.slots)
    shared = left.keys() & right.keys()
    if not shared:
        return np.nan
    return max(Levenshtein.normalized_similarity(left[n], right[n]) for n in shared)


def _prefix(a: list[str], b: list[str]) -> int:
    for i, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return i
    return min(len(a), len(b))


def _context(pairs: Pairs, words: Words, whole: bool) -> dict[str, np.ndarray]:
    heard, first, later = pairs.heard, pairs.first, pairs.later
    c: dict[str, np.ndarray] = {"step": (later - first).astype(float)}
    at = np.array([turn.at for turn in heard])
    c["gap"] = at[later] - at[first] if len(heard) else np.zeros(0)
    c["gap_next"] = at[np.minimum(first + 1, len(at) - 1)] - at[first] if len(at) else c["gap"]
    c["gap_last"] = at[later] - at[later - 1] if len(at) else c["gap"]
    c["prompts"] = pairs.alike(lambda t: t.prompt)
    c["questions"] = pairs.alike(lambda t: t.question)
    c["question_first"], c["question_later"] = pairs.of_turn(
        lambda t: words.questions.get(template(t), -1)
    )
    c["intent_first"], c["intent_later"] = pairs.of_turn(lambda t: words.intents.get(t.intent, -1))
    c["sorry_first"], c["sorry_later"] = pairs.of_turn(lambda t: apologises(t.prompt))
    c["confirms_first"], c["confirms_later"] = pairs.of_turn(lambda t: confirms(t.question))
    c["refuses_first"], c["refuses_later"] = pairs.of_turn(lambda t: refuses(t.prompt))
    c["no_first"], c["no_later"] = pairs.of_turn(lambda t: rejects(t.text))
    c["yes_first"], c["yes_later"] = pairs.of_turn(lambda t: agrees(t.text))
    # The reply to the first turn: it failed, so the reply is part of the failure.
    c["status_first"] = pairs.of_turn(lambda t: float(t.status not in ("", "ok")))[0]
    c["replied_first"] = pairs.of_turn(lambda t: bool(t.response))[0]
    c["reply_sorry"] = pairs.of_turn(lambda t: apologises(t.response))[0]
    c["reply_refuses"] = pairs.of_turn(lambda t: refuses(t.response))[0]
    c["reply"] = pairs.of_turn(lambda t: words.replies.get(reply(t), -1))[0]
    c["reply_length"] = pairs.of_turn(lambda t: len(t.response))[0]
    c["reply_echo"] = pairs.each(lambda a, b: _echo(a.response, a.words))
    c["reply_names_later"] = pairs.each(lambda a, b: _echo(a.response, b.words))
    c["prompt_names_first"] = pairs.each(lambda a, b: _named(b.prompt, a.slots))
    c["barge_in"] = pairs.of_turn(lambda t: t.barge_in)[0]
    no = np.array([rejects(turn.text) for turn in heard], float)
    running = np.concatenate([[0.0], np.cumsum(no)])
    c["no_between"] = running[later] - running[np.minimum(first + 1, later)]
    if whole:
        c["before"] = pairs.alike(lambda t: t.text, first=-1)
        previous, within = pairs.moved(first, -1)
        c["repeats_before"] = np.where(within, _letters(heard, previous, first), np.nan)
    return c


def _letters(heard: Sequence[Heard], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    texts = np.array([turn.text for turn in heard], object)
    return np.asarray(
        cpdist(texts[a], texts[b], scorer=Levenshtein.normalized_similarity, dtype=np.float64)
    )


def _echo(prompt: str, words: frozenset[str]) -> float:
    return len(words & set(prompt.split())) / max(len(words), 1)


def _named(prompt: str, slots: frozenset[tuple[str, str]]) -> float:
    """Share of the slot values that the prompt names; NaN without slots."""
    if not slots:
        return np.nan
    return float(np.mean([value in prompt for _, value in slots]))


def _compared(pairs: Pairs, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How the pair compares with the other pairs of its first turn."""
    group = np.cumsum(np.diff(pairs.first, prepend=-1) != 0) - 1
    c: dict[str, np.ndarray] = {}
    for name in ("letters", "cosine", "nbest", "offered_first", "slots_same"):
        value = known.get(f"words.{name}")
        if value is not None:
            c[f"{name}_earlier"], c[f"{name}_others"] = _others(value, group, len(group))
    return c


def _others(value: np.ndarray, group: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Lead of a value over those of the earlier pairs of its group, and over all others'."""
    earlier, others = np.full(n, np.nan), np.full(n, np.nan)
    bounds = np.flatnonzero(np.diff(group, prepend=-1, append=n + 1))
    for start, end in pairwise(bounds):
        part = value[start:end]
        for k in range(len(part)):
            if k:
                earlier[start + k] = part[k] - part[:k].max()
            if len(part) > 1:
                others[start + k] = part[k] - np.delete(part, k).max()
    return earlier, others


def _after(pairs: Pairs) -> dict[str, np.ndarray]:
    heard, later = pairs.heard, pairs.later
    c: dict[str, np.ndarray] = {}
    following, within = pairs.moved(later, 1)
    c["last"] = (~within).astype(float)
    c["remaining"] = _remaining(heard)[later]
    c["letters_next"] = pairs.alike(lambda t: t.text, first=0, later=1)
    c["repeated_next"] = np.where(within, _letters(heard, later, following), np.nan)
    c["no_next"] = np.where(
        within, np.array([rejects(t.text) for t in heard], float)[following], np.nan
    )
    c["yes_next"] = np.where(
        within, np.array([agrees(t.text) for t in heard], float)[following], np.nan
    )
    c["reply_sorry"] = pairs.of_turn(lambda t: apologises(t.response))[1]
    c["reply_confirms"] = pairs.of_turn(lambda t: confirms(t.response))[1]
    c["reply_refuses"] = pairs.of_turn(lambda t: refuses(t.response))[1]
    c["reply_named"] = pairs.of_turn(lambda t: _named(t.response, t.slots))[1]
    c["reply_names_first"] = pairs.each(lambda a, b: _named(b.response, a.slots))
    asked_again = np.array([Levenshtein.normalized_similarity(t.prompt, t.response) for t in heard])
    c["asked_again"] = asked_again[later]
    c["asked_again_first"] = asked_again[pairs.first]
    kept, changed = _fates(heard)
    c["slots_kept"], c["slots_changed"] = kept[later], changed[later]
    c["named_later"] = _named_later(heard)[later]
    c["conf_next"] = np.where(
        within, np.array([t.confidences[0] for t in heard])[following], np.nan
    )
    c["terminated"] = pairs.of_turn(lambda t: t.terminated)[1]
    return c


def _remaining(heard: Sequence[Heard]) -> np.ndarray:
    left = np.zeros(len(heard))
    for i in range(len(heard) - 2, -1, -1):
        left[i] = left[i + 1] + 1 if heard[i].dialogue == heard[i + 1].dialogue else 0
    return left


def _rest(heard: Sequence[Heard], i: int) -> Sequence[Heard]:
    """The turns after turn i in its dialogue, at most eight."""
    end = i + 1
    while end < min(len(heard), i + 9) and heard[end].dialogue == heard[i].dialogue:
        end += 1
    return heard[i + 1 : end]


def _fates(heard: Sequence[Heard]) -> tuple[np.ndarray, np.ndarray]:
    """How many later turns repeat a slot of the turn's frame, and how many change its value."""
    kept, changed = np.zeros(len(heard)), np.zeros(len(heard))
    for i, turn in enumerate(heard):
        for other in _rest(heard, i) if turn.slots else ():
            same = turn.slots & other.slots
            kept[i] += bool(same)
            changed[i] += bool((turn.names & other.names) - {name for name, _ in same})
    return kept, changed


def _named_later(heard: Sequence[Heard]) -> np.ndarray:
    """Share of later replies that name a slot value of the turn; NaN without slots or replies."""
    shares = np.full(len(heard), np.nan)
    for i, turn in enumerate(heard):
        replies = [other.response for other in _rest(heard, i) if other.response]
        if turn.slots and replies:
            shares[i] = np.mean(
                [
                    any(len(value) > 1 and value in reply for _, value in turn.slots)
                    for reply in replies
                ]
            )
    return shares
