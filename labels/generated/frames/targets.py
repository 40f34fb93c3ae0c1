"""What a model of frames learns: intents, tags of words, and slots that the words need not hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from labels.generated.frames.requests import Frame, Pair, Turn, key
from labels.generated.frames.words import Token, tokens

# Words of a request that are tagged; the rest of a longer one is not.
LONGEST = 60
# A slot and value as a class of its own: seen so often, and not more classes than that.
_SEEN = 3
_PAIRS = 1_500

_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
NUMBERS = {word: str(n) for n, word in enumerate(_WORDS)}

Span = tuple[str, int, int]  # the slot's name, and its first and one past its last token


def value_words(value: str) -> tuple[str, ...]:
    """A value's words as they are looked for in a text."""
    return tuple(NUMBERS.get(w := word.lower(), w) for word, _, _ in tokens(value))


def aligned(found: list[Token], slots: Iterable[Pair]) -> list[Span]:
    """Where the slots' values stand in a text, the longest value first; no word counts twice."""
    words = tuple(NUMBERS.get(w := word.lower(), w) for word, _, _ in found)
    taken = [False] * len(words)
    spans: list[Span] = []
    wanted = sorted(((value_words(value), name) for name, value in slots), key=lambda v: -len(v[0]))
    for value, name in wanted:
        n = len(value)
        for start in range(len(words) - n + 1) if n else ():
            if words[start : start + n] == value and not any(taken[start : start + n]):
                taken[start : start + n] = [True] * n
                spans.append((name, start, start + n))
                break
    return spans


@dataclass(frozen=True, slots=True)
class Inventory:
    """The classes that were seen in training.

    `intents`; `names` of the slots that are tagged; `pairs`, frequent slots with their values in
    lower case; `written`, how a value is written where its words are these.
    """

    intents: tuple[str, ...]
    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    written: dict[tuple[str, str], str]

    @classmethod
    def learn(cls, frames: Iterable[tuple[Turn, Frame]]) -> Inventory:
        intents: Counter[str] = Counter()
        names: Counter[str] = Counter()
        pairs: Counter[Pair] = Counter()
        written: dict[tuple[str, str], Counter[str]] = {}
        for turn, frame in frames:
            if frame.intent is not None:
                intents[frame.intent] += 1
            if not frame.slots:
                continue
            pairs.update({key(pair) for pair in frame.slots})
            found = tokens(turn.request, LONGEST)
            values = {(name, value_words(value)): value for name, value in frame.slots}
            for name, start, end in aligned(found, frame.slots):
                names[name] += 1
                text = turn.request[found[start][1] : found[end - 1][2]].lower()
                value = values[name, value_words(text)]
                written.setdefault((name, text), Counter())[value.lower()] += 1
        return cls(
            tuple(sorted(intents)),
            tuple(sorted(names)),
            tuple(sorted(p for p, n in pairs.most_common(_PAIRS) if n >= _SEEN)),
            {
                place: value
                for place, values in written.items()
                if (value := values.most_common(1)[0][0]) != place[1]
            },
        )

    def to_json(self) -> tuple[list[str], list[str], list[Pair], list[tuple[str, str, str]]]:
        written = [(name, text, value) for (name, text), value in self.written.items()]
        return list(self.intents), list(self.names), list(self.pairs), written

    @classmethod
    def from_json(
        cls,
        intents: list[str],
        names: list[str],
        pairs: list[Pair],
        written: list[tuple[str, str, str]],
    ) -> Inventory:
        return cls(
            tuple(intents),
            tuple(names),
            tuple((name, value) for name, value in pairs),
            {(name, text): value for name, text, value in written},
        )
