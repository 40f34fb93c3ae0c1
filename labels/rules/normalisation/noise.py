"""What is not speech to the assistant: noise marks, and the wake phrase."""

from __future__ import annotations

import re
from functools import lru_cache

from labels.rules.normalisation.files import read

# What transcribers and recognisers put into brackets: regular expressions, one a line.
_NOISES = "|".join(read("noises.txt").split("\n")[:-1]).replace(" ", "[ _]")
_MARK = re.compile(
    # Any tag: <noise>, </s>, <|nospeech|>.
    r"<[/|]?[^\W\d][\w |-]*[/|]?>"
    rf"|[\[({{*~]{{1,3}}\s?(?:{_NOISES})\s?[\])}}*~]{{1,3}}"
    # As in transcripts by rule: [BLANK_AUDIO], ++noise++, %HESITATION, &uh.
    r"|[\[{][a-z]+(?:_[a-z]+)+[\]}]"
    rf"|(\+\+|#)\s*(?:{_NOISES})\s*\1|%hesitation\b"
    r"|[♪♫♬♩]+"
)
_has_mark = re.compile(r"[\[({<*~♪♫♬♩]|\+\+|%h|#\w").search

# Phrases of assistants on the market. "Computer" and the like are words.
_GREETINGS = frozenset(("hey", "hi", "hello", "ok", "okay", "oké", "ey"))
_KNOWN = re.compile(
    rf"(?:(?:{'|'.join(_GREETINGS)}) (?:google|mycroft|nabu|jarvis|rhasspy|snips)"
    rf"|(?:(?:{'|'.join(_GREETINGS)}) )?(?:alexa|siri|cortana|bixby))(?: |$)"
)
_VERSION = re.compile(r"[ _]v?\d+(?:[ ._]\d+)*$")


def without_marks(text: str) -> str:
    """Lower-case `text` without marks for noise, music and unknown words."""
    return _MARK.sub(" ", text) if _has_mark(text) else text


@lru_cache(maxsize=1024)
def wake_words(phrase: str) -> str:
    """A logged wake phrase as words; models are named `hey_juno_v0.1`.

    >>> wake_words("Hey_Juno_v0.1")
    'Hey Juno'
    """
    return _VERSION.sub("", phrase).replace("_", " ").strip()


def without_wake_phrase(words: str, phrase: str, *, spaced: bool = True) -> str:
    """Normalised `words` without the wake phrase, or its end, in front.

    `phrase` is normalised too; without it, phrases of well-known assistants are taken off.
    `spaced`: whether the language parts words by spaces.
    """
    if phrase and not spaced:
        return words.replace(" ", "").removeprefix(phrase.replace(" ", ""))
    parts = phrase.split()
    # A clipped phrase is its end; a phrase in one word is what recognisers make of two.
    ends = [" ".join(parts[first:]) for first in range(len(parts))] + ["".join(parts)]
    greeting, _, called = words.partition(" ")
    for text in (words, called) if greeting in _GREETINGS else (words,):
        for end in filter(None, ends):
            if text == end or text.startswith(f"{end} "):
                return text[len(end) + 1 :]
    known = _KNOWN.match(words)
    return words[known.end() :] if known else words
