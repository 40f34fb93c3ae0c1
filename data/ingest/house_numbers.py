"""Numbers of houses: digits or words beside the name of a street.

Takes a text that `data.ingest.redaction` has folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.ingest.personal_numbers import TEENS, TENS, Span

_WORD = r"[^\W\d_][\w'.\-]{0,30}"
# Words between a number and "street" that are not a street's name, so that the number is none of a
# house: take the 61 to fifth avenue.
_NOT_A_NAME = (
    "to|at|on|and|or|from|in|into|of|for|near|by|via|with|then|the|a|an|is|are|was|bus|buses|train|"
    "route|line|minutes?|hours?|days?|weeks?|months?|years?|seconds?|miles?|km|kilometers?|"
    "kilometres?|meters?|metres?|blocks?|stops?|pm|am|o'clock|oclock|percent|degrees?|way|one|two|"
    "three|four|five|six|seven|eight|nine|more|star|dollars?|times?|per|new|people|persons?|tickets?|"
    # A route's letter; streets have those of directions.
    "[a-df-mo-rt-vx-z]"
)
_SURE = "street|st|avenue|ave|road|rd|lane|ln|boulevard|blvd|terrace|crescent"
_UNSURE = "drive|dr|court|ct|way|place|pl|square|sq|close|gardens|highway|parkway|pkwy"
_NAMED = rf"(?:(?!(?:{_NOT_A_NAME})\b){_WORD} ){{1,3}}?"
_TENS_AND_ONES = f"(?:{'|'.join(TENS)})(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_COUNT = (
    f"(?:(?:{_ONES}|{'|'.join(TEENS)}|{_TENS_AND_ONES})(?: (?:hundred|oh|{_ONES}|"
    f"{'|'.join(TEENS)}|{_TENS_AND_ONES})){{0,4}})"
)
_NO_ORDINAL = r"(?!(?:first|second|third|fourth|forth|fifth|sixth|seventh|eighth|ninth)\b)"
_ENGLISH = re.compile(
    rf"(?<![\w.,:#$-])(?P<number>(?:[0-9]{{1,5}} ?- ?)?[0-9]{{1,5}}[a-d]?) "
    rf"{_NAMED}(?:{_SURE}|{_UNSURE})(?!\w)",
    re.IGNORECASE,
)
_ENGLISH_SAID = re.compile(
    rf"(?<![\w'-])(?P<number>{_COUNT}) {_NO_ORDINAL}{_NAMED}(?:street|avenue|road|lane|boulevard)"
    r"(?!\w)",
    re.IGNORECASE,
)
_HOUSE = re.compile(
    r"(?<!\w)(?:house|flat|apartment|apt|suite|hausnummer) ?(?:number|no\.?|nr\.?|#)? ?"
    r"(?P<number>[0-9]{1,5}[a-z]?)(?!\w)",
    re.IGNORECASE,
)
_COMPOUND = re.compile(
    r"(?<!\w)[^\W\d_]{2,30}(?:straße|strasse|str\.|weg|platz|allee|gasse|damm|ufer|straat|laan|plein"
    r"|gracht|kade|gatan|gade|vägen) ?(?P<number>[0-9]{1,4} ?[a-h]?)(?![\w:%])",
    re.IGNORECASE,
)
_FRENCH = re.compile(
    r"(?<![\w.,:])(?P<number>[0-9]{1,4}(?: ?(?:bis|ter))?),? (?:rue|avenue|boulevard|chemin|"
    r"impasse|allée|quai|place|cours) (?:d|l|[^\W\d_])",
    re.IGNORECASE,
)
_ROMANCE = re.compile(
    rf"(?<!\w)(?:calle|avenida|paseo|plaza|carrer|via|viale|piazza|corso|rua|praça)"
    rf"(?: {_WORD}){{1,4}},?"
    r" (?:número |numero |nº ?|n\. ?)?(?P<number>[0-9]{1,4})(?![\w:%])",
    re.IGNORECASE,
)
# Where the words mean a street in this language alone.
_OF_LANGUAGES = {"fr": _FRENCH, "es": _ROMANCE, "it": _ROMANCE, "pt": _ROMANCE, "ca": _ROMANCE}
_ROUTE = re.compile(
    r"(?:bus|route|line|number|exit|the|gate|platform|channel|take) $", re.IGNORECASE
)


def house_numbers(text: str, language: str | None) -> Iterator[Span]:
    """Numbers beside names of streets; `language`: of the text (ISO 639), or None."""
    patterns = [_ENGLISH, _ENGLISH_SAID, _HOUSE, _COMPOUND]
    if language in _OF_LANGUAGES:
        patterns.append(_OF_LANGUAGES[language])
    for pattern in patterns:
        for match in pattern.finditer(text):
            start, end = match.span("number")
            if not _ROUTE.search(text[max(0, start - 10) : start]):
                yield Span(start, end, "street")
