"""Text normalisation: when two wordings count as the same, as in "ASR text equals the transcript".

Transcribers and recognisers write the same words differently. What is normalised, by locale:

- letter case, Unicode form, punctuation, apostrophes, and marks that readers supply themselves;
- spellings of one word: British and American, `ue` for `ü`, traditional for simplified Chinese;
- numbers, signs, units, clock times and sums of money, in words or in figures;
- contractions, hesitations, noise marks, and the wake phrase in front.

Whatever makes another word stays: accents and vowel signs, the sign of a number, `C#`. What is not
known of a locale is left as it is. docs/failure-points.md has the rules by locale.
"""

from __future__ import annotations

import re
from functools import lru_cache

from labels.rules.normalisation import characters, clock, english, noise, quantities, unspaced
from labels.rules.normalisation.language import Language, language

# Needs spelling and numbers only, as most of what recognisers write in English.
_PLAIN = re.compile(r"[a-z\s]*").fullmatch
_SPOKEN = characters.Spoken()
_WITH_SYMBOLS = characters.Spoken(symbols=True)
_GAP = re.compile(r"(?<![0-9]) | (?![0-9])")
_SIGIL = re.compile(r"^\s*[@#](?=[^\W\d_])")
# A request is shorter: of longer texts, the characters are normalised and no more.
_LONGEST = 2_000
# One rule may enable another; more rounds than this were never needed.
_ROUNDS = 6


def normalise(text: str, locale: str | None = None) -> str:
    """`text` in normalised spelling: lower-case words separated by single spaces.

    Idempotent. `locale`: BCP 47; None is read as English as far as that touches English words only.

    >>> normalise("Turn the colour to 25 %, it's GREY!")
    'turn the color to 25 percent it is gray'
    >>> normalise("Stell die Heizung auf zweiundzwanzig Grad", "de-DE")
    'stell die heizung auf 22 grad'
    """
    return _normalised(text, language(locale), False)


def key(text: str, locale: str | None = None, wake_phrase: str | None = None) -> str:
    """`normalise` without spaces between words, to compare wordings for equality.

    `gastro pub` and `gastropub`, `7 a.m.` and `7am` have the same key. A space between two digits
    stays: `six one` is not `sixty one`. `wake_phrase`: taken off in front, as logged or as its end;
    an empty one stands for those of well-known assistants.

    >>> key("seven thirty a m") == key("7:30 AM"), key("six one c") == key("sixty one c")
    (True, False)
    >>> key("hey juno, stop", wake_phrase="hey_juno") == key("stop")
    True
    """
    spelling = language(locale)
    words = _normalised(text, spelling, False)
    if wake_phrase is None:
        return joined(words)
    phrase = noise.wake_words(wake_phrase)
    called = _normalised(phrase, spelling, False) if phrase else ""
    return joined(noise.without_wake_phrase(words, called, spaced=not spelling.unspaced))


def value_words(text: str, locale: str | None = None) -> str:
    """The value of a slot in normalised spelling, numbers in one form: `21.0` is `21`.

    Numbers as programs write them are read so in every locale. Symbols are kept, as in an emoji;
    hesitations too, since a value is chosen and not said.

    >>> value_words("21.0"), value_words("twenty one"), value_words("-5"), value_words("c++")
    ('21', '21', 'minus 5', 'c plus plus')
    """
    spelling = language(locale)
    # Of a mention or a hashtag, the name is the value.
    text = _SIGIL.sub("", text)
    return quantities.as_number(text, spelling) or _normalised(text, spelling, True)


def joined(words: str) -> str:
    """The `key` of a text that is already normalised."""
    return _GAP.sub("", words)


def _normalised(text: str, spelling: Language, value: bool) -> str:
    # A long text hardly comes again, and would fill the cache with itself.
    return (_remembered if len(text) <= _LONGEST else _settled)(text, spelling, value)


def _settled(text: str, spelling: Language, value: bool) -> str:
    for _ in range(_ROUNDS):
        settled = _once(text, spelling, value)
        if settled == text:
            break
        text = settled
    return text


_remembered = lru_cache(maxsize=131_072)(_settled)


def _once(text: str, spelling: Language, value: bool) -> str:
    text = spelling.fold(text)
    if len(text) > _LONGEST:
        return " ".join(text.translate(_WITH_SYMBOLS if value else _SPOKEN).split())
    if not spelling.code and english.is_evident(text):
        spelling = language("en")
        text = spelling.fold(text)
    if not (spelling.english and _PLAIN(text)):
        if not value:
            text = noise.without_marks(text)
        if spelling.english:
            text = english.without_contractions(text)
        if spelling.unspaced:
            if not value:
                text = unspaced.without_fillers(text, spelling)
            text = unspaced.in_figures(text, spelling)
        text = quantities.in_text(clock.in_text(text, spelling), spelling)
        text = text.translate(_WITH_SYMBOLS if value else _SPOKEN)
    words = text.split()
    if not value:
        words = _without_fillers(words, spelling)
    if spelling.english:
        words = english.spelled(words)
    else:
        words = [spelling.bare.get(word, word) for word in words]
        words = [spelling.words.get(word, word) for word in words]
    words = quantities.in_figures(words, spelling)
    text = " ".join(words)
    return clock.in_words(text, spelling)


def _without_fillers(words: list[str], spelling: Language) -> list[str]:
    """The words without hesitations; `uh huh` is a yes, and `mm` after a number a unit."""
    fillers = spelling.fillers
    if spelling.unspaced and spelling.code != "ko":
        return words
    if fillers.isdisjoint(words) and words[:1] not in _AT_FIRST_ALONE:
        return words
    kept = []
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        before = words[place - 1] if place else ""
        if spelling.english and word in _AT_FIRST and place == 0 and following:
            continue
        if (
            word not in fillers
            or following in _ANSWERING
            or (before in _GRUNTS and word == before)
            or before[-1:].isdigit()
            or (not spelling.code and word == "um")
        ):
            kept.append(word)
    return kept


# Hesitations at the start; elsewhere ER is a place, and a series.
_AT_FIRST = frozenset(("er", "ah"))
_AT_FIRST_ALONE = (["er"], ["ah"])
_ANSWERING = frozenset(("huh", "uh", "hmm", "mm", "hm"))
_GRUNTS = frozenset(("uh", "mm", "hm"))
