"""Slots and values that a turn may have meant, and what speaks for each.

A candidate comes from the words (tagged, or known as a value), from the network's frequent slots,
or from an NLU's hypotheses for the request or for the next one, which may repeat it. The
features say where else in the dialogue it stands: a prompt that asks or confirms, a response that
repeats, an earlier goal's value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from labels.generated.frames.network import Output
from labels.generated.frames.requests import Frame, Pair, Turn, key
from labels.generated.frames.settings import Context
from labels.generated.frames.targets import LONGEST, NUMBERS, Inventory
from labels.generated.frames.words import Token, tokens

# A second reading of the words: this much of the belief that a word belongs to no slot.
_LENIENT = 0.3
_OTHER_NAME = 0.05
_FREQUENT = 0.02
_MOST_FREQUENT = 8
_LONGEST_VALUE = 6
_PLAUSIBLE = 0.005

FEATURES = (
    # Of the slot: its name, how often it goes with the intent and is meant at all.
    "name", "name_given_intent", "name_share", "value_words", "pair_share", "name_given_value",
    # Of the network.
    "tag", "tag_least", "tag_decoded", "tag_other", "tag_other_name", "frequent", "frequent_before",
    "frequent_after", "frequent_best_of_name", "intent_probability", "intent",
    # Of the NLU's hypotheses.
    "nlu", "nlu_top", "nlu_top_confidence", "nlu_other_value", "nlu_slots", "nlu_next",
    "nlu_next_other", "nlu_before",
    # Of the words.
    "in_request", "in_nbest", "in_prompt", "in_response", "in_next_request", "in_next_nbest",
    "in_next_response", "request_words", "top_share",
    # Of the dialogue: what was read of the other turns at first sight.
    "believed_before", "believed_other_before", "believed_after", "believed_other_after",
    "turns_since", "turns_left", "same_name", "candidates",
)  # fmt: skip
CATEGORICAL = ("name", "intent")


_PLAIN = ("names", "values", "intents", "several")


@lru_cache(maxsize=1 << 16)
def normal(text: str) -> str:
    """A text's words with numbers as digits, a space around each: for looking a value up."""
    words = (NUMBERS.get(w := word.lower(), w) for word, _, _ in tokens(text, LONGEST))
    return f" {' '.join(words)} "


@dataclass(slots=True)
class Counts:
    """How often slots, values and intents went together in what was learned from."""

    frames: int = 0
    pairs: Counter[Pair] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    intents: Counter[str] = field(default_factory=Counter)
    with_intent: Counter[tuple[str, str]] = field(default_factory=Counter)
    several: Counter[str] = field(default_factory=Counter)
    # How a slot's value is mostly written, where that is not its words with spaces between.
    written: dict[Pair, str] = field(default_factory=dict)

    @classmethod
    def of(cls, frames: Iterable[Frame | None]) -> Counts:
        counts = cls()
        written: dict[Pair, Counter[str]] = {}
        for frame in frames:
            if frame is None:
                continue
            counts.add(frame)
            for name, value in frame.slots or ():
                written.setdefault((name, normal(value)), Counter())[value] += 1
        for pair, values in written.items():
            usual = values.most_common(1)[0][0]
            if usual != pair[1].strip():
                counts.written[pair] = usual
        return counts

    def add(self, frame: Frame) -> None:
        """Count a frame; one whose slots are not stated says nothing about what goes together."""
        if frame.slots is None:
            return
        intent = frame.intent or ""
        self.frames += 1
        self.intents[intent] += 1
        meant = {(name, normal(value)) for name, value in frame.slots}
        names = Counter(name for name, _ in meant)
        for pair in meant:
            self.pairs[pair] += 1
            self.values[pair[1]] += 1
        for name, n in names.items():
            self.names[name] += 1
            self.with_intent[intent, name] += 1
            self.several[name] += n > 1

    def to_json(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "pairs": [[name, value, n] for (name, value), n in sorted(self.pairs.items())],
            "with_intent": [[i, name, n] for (i, name), n in sorted(self.with_intent.items())],
            "written": [[*pair, value] for pair, value in sorted(self.written.items())],
            **{kind: dict(getattr(self, kind)) for kind in _PLAIN},
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Counts:
        return cls(
            content["frames"],
            pairs=Counter({(name, value): n for name, value, n in content["pairs"]}),
            with_intent=Counter({(i, name): n for i, name, n in content["with_intent"]}),
            written={(name, text): value for name, text, value in content["written"]},
            **{kind: Counter(content[kind]) for kind in _PLAIN},
        )

    def single(self) -> frozenset[str]:
        """Names of slots that have one value at a time."""
        return frozenset(n for n, turns in self.names.items() if self.several[n] <= 0.01 * turns)


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """All counts, and the slots that a value may belong to."""

    counts: Counts
    of_value: dict[str, tuple[str, ...]]
    names: dict[str, int]
    intents: dict[str, int]

    @classmethod
    def of(cls, counts: Counts) -> Gazetteer:
        of_value: dict[str, list[str]] = {}
        for (name, value), n in sorted(counts.pairs.items()):
            if n >= 2 and n >= 0.05 * counts.values[value] and value.strip():
                of_value.setdefault(value, []).append(name)
        return cls(
            counts,
            {value: tuple(names) for value, names in of_value.items()},
            {name: i for i, name in enumerate(sorted(counts.names))},
            {intent: i for i, intent in enumerate(sorted(counts.intents))},
        )


@dataclass(slots=True)
class Candidate:
    """A slot that a turn may have meant; `start` and `end` in the request, or -1."""

    pair: Pair
    start: int = -1
    end: int = -1
    tag: float = 0.0
    tag_least: float = 0.0
    decoded: bool = False


@dataclass(slots=True)
class _Seen:
    """One turn as candidates look at it."""

    turn: Turn
    words: list[Token]
    request: str
    nbest: list[tuple[str, float]]
    prompt: str
    response: str
    nlu: dict[Pair, float]
    nlu_top: dict[Pair, float]
    frequent: dict[Pair, float]
    intent: str
    intent_probability: float
    spans: list[Candidate]
    believed: set[Pair]


def spans(
    turn: Turn, words: list[Token], tags: np.ndarray, inventory: Inventory
) -> list[Candidate]:
    """The tagged slots of a request: those of the likeliest tags, and less likely ones.

    `tags` (words, 1 + 2 names) are probabilities. Words that carry on a slot extend it.
    """
    found: dict[Pair, Candidate] = {}
    if not len(words):
        return []
    lenient = tags.copy()
    lenient[:, 0] *= _LENIENT
    slot = tags[:, 1::2] + tags[:, 2::2]
    for best, decoded in ((tags.argmax(1), True), (lenient.argmax(1), False)):
        if not best.any():
            continue
        for first, last in _runs(best.tolist()):
            mean = slot[first:last].mean(0)
            chosen = (int(best[first]) - 1) // 2
            start, end = words[first][1], words[last - 1][2]
            text = turn.request[start:end]
            names = {chosen, *np.flatnonzero(mean > _OTHER_NAME).tolist()}
            for number in sorted(names):
                name = inventory.names[number]
                value = inventory.written.get((name, text.lower()), text)
                pair = key((name, value))
                if pair not in found:
                    least = float(slot[first:last, number].min())
                    found[pair] = Candidate(
                        (name, value),
                        start,
                        end,
                        float(mean[number]),
                        least,
                        decoded and number == chosen,
                    )
    return list(found.values())


def _runs(tags: list[int]) -> list[tuple[int, int]]:
    """(first, one past last) of each tagged run: begin tags are odd, what carries on is even."""
    runs: list[list[int]] = []
    name = -1
    for i, tag in enumerate(tags):
        if tag == 0:
            name = -1
        elif (tag - 1) // 2 == name and tag % 2 == 0:
            runs[-1][1] = i + 1
        else:
            runs.append([i, i + 1])
            name = (tag - 1) // 2
    return [(first, last) for first, last in runs]


def candidates(
    dialogue: Sequence[Turn],
    output: Output,
    at: int,
    inventory: Inventory,
    gazetteer: Gazetteer,
    context: Context,
    without: Counts | None = None,
) -> tuple[list[list[Candidate]], np.ndarray]:
    """The candidates of each turn of a dialogue, and their features.

    `at`: the first turn's row in `output`. `without`: counts of this very dialogue, which are
    left out, so that training sees a value as rare as a new dialogue will. Features have shape
    (candidates of all turns, len(FEATURES)).
    """
    seen = [_look(turn, output, at + i, inventory) for i, turn in enumerate(dialogue)]
    # What was believed last of each slot, and when; and what is believed later.
    before: dict[str, tuple[str, int]] = {}
    after: list[dict[str, set[str]]] = [{} for _ in seen]
    coming: dict[str, set[str]] = {}
    for i in range(len(seen) - 1, -1, -1):
        after[i] = coming
        if seen[i].believed:
            coming = {**coming}
            for name, value in seen[i].believed:
                coming[name] = {value}
    every: list[list[Candidate]] = []
    rows: list[list[float]] = []
    empty: dict[str, set[str]] = {}
    for i, turn in enumerate(seen):
        later = context == "hindsight" and i + 1 < len(seen)
        found = _gather(turn, seen[i + 1] if later else None, inventory, gazetteer)
        every.append(found)
        rows += _rows(
            found,
            turn,
            seen[i - 1] if i and context != "turn" else None,
            seen[i + 1] if later else None,
            before if context != "turn" else {},
            after[i] if context == "hindsight" else empty,
            (i, len(seen) if context == "hindsight" else i + 1),
            gazetteer,
            without,
        )
        for name, value in turn.believed:
            before[name] = (value, i)
    return every, np.array(rows, np.float32).reshape(-1, len(FEATURES))


def _look(turn: Turn, output: Output, row: int, inventory: Inventory) -> _Seen:
    words = tokens(turn.request, LONGEST)
    tags = output.tags[output.word_at[row] : output.word_at[row + 1]]
    found = spans(turn, words, tags, inventory)
    likely = output.pairs[row]
    order = np.flatnonzero(likely > _FREQUENT)
    if len(order) > _MOST_FREQUENT:
        order = order[np.argsort(-likely[order], kind="stable")[:_MOST_FREQUENT]]
    frequent = {inventory.pairs[k]: float(likely[k]) for k in order.tolist()}
    nlu: dict[Pair, float] = {}
    for hypothesis in turn.nlu:
        for pair in hypothesis.slots:
            nlu[key(pair)] = nlu.get(key(pair), 0.0) + hypothesis.confidence
    top = {key(pair): turn.nlu[0].confidence for pair in turn.nlu[0].slots} if turn.nlu else {}
    intents = output.intents[row]
    best = int(intents.argmax()) if len(intents) else -1
    believed = {key(c.pair) for c in found if c.decoded and c.tag > 0.5}
    believed |= {pair for pair, p in frequent.items() if p > 0.5}
    return _Seen(
        turn,
        words,
        normal(turn.request),
        [(normal(text), share) for text, share in turn.nbest],
        normal(turn.prompt),
        normal(turn.response),
        nlu,
        top,
        frequent,
        inventory.intents[best] if best >= 0 else "",
        float(intents[best]) if best >= 0 else 0.0,
        found,
        believed,
    )


def _gather(
    turn: _Seen, following: _Seen | None, inventory: Inventory, gazetteer: Gazetteer
) -> list[Candidate]:
    found = {key(c.pair): c for c in turn.spans}
    others: list[Pair] = [*turn.frequent, *turn.nlu]
    if following is not None:
        others += following.nlu_top
    counts = gazetteer.counts
    usual = counts.intents[turn.intent] or 1
    known = gazetteer.of_value
    looked_up: set[str] = set()
    for text, _ in turn.nbest:
        words = text.split()
        for first in range(len(words)):
            for last in range(first + 1, min(first + _LONGEST_VALUE, len(words)) + 1):
                value = f" {' '.join(words[first:last])} "
                if value in known and value not in looked_up:
                    looked_up.add(value)
                    others += [
                        (name, value.strip())
                        for name in known[value]
                        if counts.with_intent[turn.intent, name] > _PLAUSIBLE * usual
                    ]
    by_words = {(name, normal(value)) for name, value in found}
    for name, value in others:
        same = (name, normal(value))
        if same in by_words:
            continue
        by_words.add(same)
        start, end = place(turn.words, value)
        # As the user wrote it where it stands in the words, else as it is mostly written.
        text = turn.turn.request[start:end] if start >= 0 else ""
        spelt = inventory.written.get((name, text.lower()), text)
        if not spelt or key((name, value)) in turn.nlu:
            spelt = counts.written.get(same, value)
        found[name, spelt.lower()] = Candidate((name, spelt), start, end)
    return list(found.values())


def place(words: list[Token], value: str) -> tuple[int, int]:
    """Where a value stands in a request, as characters; (-1, -1) where it does not."""
    wanted = normal(value).split()
    n = len(wanted)
    if n:
        text = [NUMBERS.get(w := word.lower(), w) for word, _, _ in words]
        for i in range(len(text) - n + 1):
            if text[i] == wanted[0] and text[i : i + n] == wanted:
                return words[i][1], words[i + n - 1][2]
    return -1, -1


def _rows(
    found: list[Candidate],
    turn: _Seen,
    previous: _Seen | None,
    following: _Seen | None,
    before: dict[str, tuple[str, int]],
    after: dict[str, set[str]],
    position: tuple[int, int],
    gazetteer: Gazetteer,
    without: Counts | None,
) -> list[list[float]]:
    counts = gazetteer.counts
    total = max(counts.frames - (without.frames if without else 0), 1)

    def less(kind: str, item: object) -> int:
        n: int = getattr(counts, kind)[item]
        return n - getattr(without, kind)[item] if without is not None else n

    of_intent = max(less("intents", turn.intent), 1)
    intent_number = gazetteer.intents.get(turn.intent, -1)
    names = Counter(c.pair[0] for c in found)
    best_frequent: dict[str, float] = {}
    for (name, _), p in turn.frequent.items():
        best_frequent[name] = max(p, best_frequent.get(name, 0.0))
    nlu_names: dict[str, float] = {}
    for (name, _), p in turn.nlu.items():
        nlu_names[name] = max(p, nlu_names.get(name, 0.0))
    i, n = position
    rows = []
    for c in found:
        name, value = pair = key(c.pair)
        text = normal(value)
        has = bool(text.strip())
        same_value = [o for o in found if o is not c and o.start >= 0 and o.start < c.end
                      and c.start < o.end]  # fmt: skip
        same_name = [o for o in found if o is not c and o.pair[0] == name]
        last = before.get(name)
        later = after.get(name)
        of_pair = less("pairs", (name, text))
        rows.append(
            [
                gazetteer.names.get(name, -1),
                less("with_intent", (turn.intent, name)) / of_intent,
                less("names", name) / total,
                text.count(" ") - 1,
                np.log1p(of_pair),
                of_pair / max(less("values", text), 1),
                c.tag,
                c.tag_least,
                c.decoded,
                max((o.tag for o in same_value), default=0.0),
                max((o.tag for o in same_name), default=0.0),
                turn.frequent.get(pair, 0.0),
                previous.frequent.get(pair, 0.0) if previous else np.nan,
                following.frequent.get(pair, 0.0) if following else np.nan,
                best_frequent.get(name, 0.0),
                turn.intent_probability,
                intent_number,
                turn.nlu.get(pair, 0.0) if turn.turn.nlu else np.nan,
                turn.nlu_top.get(pair, 0.0) > 0,
                turn.turn.nlu[0].confidence if turn.turn.nlu else np.nan,
                nlu_names.get(name, 0.0) if pair not in turn.nlu else 0.0,
                len(turn.nlu_top) if turn.turn.nlu else np.nan,
                following.nlu_top.get(pair, 0.0) if following else np.nan,
                max((p for (m, v), p in following.nlu_top.items() if m == name and v != value),
                    default=0.0) if following else np.nan,
                previous.nlu_top.get(pair, 0.0) if previous else np.nan,
                has and text in turn.request,
                sum(share for words, share in turn.nbest if text in words) if has else 0.0,
                has and text in turn.prompt,
                has and text in turn.response,
                has and text in following.request if following else np.nan,
                sum(share for words, share in following.nbest if text in words)
                if following and has else np.nan,
                has and text in following.response if following else np.nan,
                len(turn.words),
                turn.nbest[0][1] if turn.nbest else np.nan,
                last is not None and last[0] == value,
                last is not None and last[0] != value,
                later is not None and value in later,
                later is not None and value not in later,
                i - last[1] if last is not None else np.nan,
                n - i - 1,
                names[name],
                len(found),
            ]
        )  # fmt: skip
    return rows
