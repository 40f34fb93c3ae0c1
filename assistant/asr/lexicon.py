"""How words are pronounced, in each accent.

Known words come from the CMU Pronouncing Dictionary as shipped with the package `pocketsphinx`
(without stress), other words from letter-to-sound rules. An accent rewrites the dictionary's
American sounds by ordered rules. The rules are coarse; Wells, *Accents of English* (1982), has the
detail.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from pathlib import Path

from assistant.asr.phones import (
    CONSONANTS,
    VOWELS,
    from_arpabet,
)
from assistant.optional import optional
from data.errors import NotInstalled

_V = "".join(sorted(VOWELS))
_C = "".join(sorted(CONSONANTS))

# (pattern, replacement) over pronunciation strings, applied in order.
_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    # A t between vowels is a tap.
    "en-US": ((f"(?<=[{_V}r])t(?=[AIiRo])", "d"),),
    # r only before vowels; the vowel of bath as in father; no tapped t.
    "en-GB": (
        (f"@(?=[fTs](?:[{_C}]|$)|n[stC])", "a"),
        ("R(?=$|[" + _C + "])", "A"),
        (f"(?<=[{_V}])r(?=$|[{_C}])", ""),
        ("a(?=[tkpbdgslnvSfzm])", "c"),
    ),
    # As British, with shifted long vowels: day towards die, die towards doy, ee towards ey.
    "en-AU": (
        ("R(?=$|[" + _C + "])", "A"),
        (f"(?<=[{_V}])r(?=$|[{_C}])", ""),
        (f"(?<=[{_V}])t(?=[AIi])", "d"),
        ("Y", "O"),
        ("e", "Y"),
        ("E", "I"),
    ),
    # v and w are merged, dental fricatives are stops, long mid vowels don't glide.
    "en-IN": (
        ("w", "v"),
        ("T", "t"),
        ("D", "d"),
        ("e", "E"),
        ("o", "c"),
        ("Z", "J"),
        ("z$", "s"),
    ),
}
_COMPILED = {
    locale: tuple((re.compile(pattern), new) for pattern, new in rules)
    for locale, rules in _RULES.items()
}

# Spelling → sound, longest first; ^ and $ are the word's ends.
_LETTERS = {
    "tion": "SAn", "sion": "ZAn", "ture": "CR", "ough": "o", "eigh": "e", "igh": "Y", "tch": "C",
    "dge": "J", "sch": "sk", "eau": "o", "ing$": "IN", "ed$": "d", "es$": "z", "^kn": "n",
    "^wr": "r", "^ps": "s", "^x": "z", "^y": "y", "y$": "i", "le$": "Al", "re$": "R", "er$": "R",
    "ch": "C", "sh": "S", "th": "T", "ph": "f", "wh": "w", "ck": "k", "ng": "N", "qu": "kw",
    "gh": "g", "ee": "i", "ea": "i", "ai": "e", "ay": "e", "oa": "o", "oo": "u", "ou": "W",
    "ow": "o", "oi": "O", "oy": "O", "au": "c", "aw": "c", "ew": "u", "ie": "i", "ei": "e",
    "ue": "u", "ui": "u", "ar": "ar", "er": "R", "ir": "R", "or": "cr", "ur": "R", "ce": "s",
    "ci": "sI", "cy": "si", "ge": "JE", "e$": "", "o$": "o", "a$": "A", "i$": "i", "u$": "u",
    "a": "@", "b": "b", "c": "k", "d": "d", "e": "E", "f": "f", "g": "g", "h": "h", "i": "I",
    "j": "J", "k": "k", "l": "l", "m": "m", "n": "n", "o": "a", "p": "p", "q": "k", "r": "r",
    "s": "s", "t": "t", "u": "A", "v": "v", "w": "w", "x": "ks", "y": "I", "z": "z",
}  # fmt: skip
_SPELLINGS = {key.strip("^$") for key in _LETTERS}
_LONG = {"a": "e", "e": "i", "i": "Y", "o": "o", "u": "u"}


@cache
def _lines() -> list[str]:
    """The dictionary, sorted: ``word PH PH``, other pronunciations as ``word(2) PH PH``.

    Only a few thousand of its words are ever looked up, so its lines are searched, not parsed.
    """
    sphinx = optional("pocketsphinx", "pocketsphinx", "The assistant")
    path = Path(sphinx.get_model_path(), "en-us", "cmudict-en-us.dict")
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise NotInstalled(
            f"There is no pronunciation dictionary at {path}; reinstall it with: "
            "pip install --force-reinstall pocketsphinx"
        ) from error
    # Almost sorted already, so this is quick.
    lines.sort()
    return lines


def _sounds(head: str) -> str:
    """The dictionary's entry for ``word`` or ``word(2)``; "" if there is none."""
    lines = _lines()
    start = f"{head} "
    index = bisect_left(lines, start)
    if index == len(lines) or not lines[index].startswith(start):
        return ""
    return lines[index][len(start) :]


@cache
def _in_dictionary(word: str) -> tuple[str, ...]:
    """Every pronunciation of `word` in the dictionary, most usual first."""
    entries: list[str] = []
    sounds = _sounds(word)
    while sounds:
        entries.append(from_arpabet(sounds))
        sounds = _sounds(f"{word}({len(entries) + 1})")
    return tuple(dict.fromkeys(entries))


def letter_to_sound(word: str) -> str:
    """A guess at an unknown word's sounds from its letters.

    >>> letter_to_sound("blick"), letter_to_sound("shone")
    ('blIk', 'Son')
    """
    letters = re.sub("[^a-z]", "", word)
    sounds: list[str] = []
    begin = 0
    while begin < len(letters):
        rest = letters[begin:]
        # A vowel before one consonant and a silent e is long.
        if re.match("[aeiou][^aeiouwxy]e$", rest):
            sounds.append(_LONG[rest[0]])
            begin += 1
            continue
        for size in (4, 3, 2, 1):
            piece = rest[:size]
            if len(piece) < size or piece not in _SPELLINGS:
                continue
            marked = [piece]
            if begin + size == len(letters) and begin > 0:
                marked.insert(0, piece + "$")
            if begin == 0:
                marked.insert(0, "^" + piece)
            rule = next((key for key in marked if key in _LETTERS), None)
            if rule is not None:
                sounds.append(_LETTERS[rule])
                begin += size
                break
        # A doubled consonant is one sound.
        letter = letters[begin : begin + 1]
        if letter and letter == letters[begin - 1] and letter not in "aeiou":
            begin += 1
    return "".join(sounds) or "A"


@cache
def pronunciations(word: str) -> tuple[str, ...]:
    """Every dictionary pronunciation of `word`, most usual first, or one guessed from its letters.

    >>> pronunciations("tomato")
    ('tAmeto', 'tAmato')
    """
    entries = _in_dictionary(word)
    if entries:
        return entries
    if word.endswith("'s"):
        base = pronunciations(word[:-2])
        return tuple(sounds + ("s" if sounds[-1] in "ptkfT" else "z") for sounds in base)
    return (letter_to_sound(word),)


def known(word: str) -> bool:
    """Whether the dictionary has `word`."""
    return bool(_in_dictionary(word))


@cache
def with_accent(phones: str, locale: str) -> str:
    """The American pronunciation `phones` as a speaker of `locale` says it.

    >>> with_accent("kar", "en-GB"), with_accent("wInD", "en-IN")
    ('ka', 'vInd')
    """
    for pattern, new in _COMPILED[locale]:
        phones = pattern.sub(new, phones)
    return phones or "A"


@cache
def spoken(word: str, locale: str) -> tuple[str, ...]:
    """Pronunciations of `word` by speakers of `locale`, most usual first."""
    return tuple(dict.fromkeys(with_accent(phones, locale) for phones in pronunciations(word)))
