"""Clock times: `7:30`, `half past seven` and `7h30` are hour and minutes, `7 30`."""

from __future__ import annotations

import re
from functools import lru_cache

from labels.rules.normalisation.language import Language
from labels.rules.normalisation.unspaced import HOURS

_FIGURES = re.compile(r"(?<![\w:.,])(2[0-4]|[01]?\d):([0-5]\d)(?::([0-5]\d))?(?![\d:])")
# A full stop parts hours and minutes only beside a word of time.
_ENGLISH_STOP = re.compile(r"(?<![\d.])(1[0-2]|0?\d)\.([0-5]\d)(?=\s?[ap]\.?\s?m\b)")
_STOP_BEFORE = re.compile(r"(?<![\d.])(2[0-4]|[01]?\d)\.([0-5]\d)(?=\s?(?:uhr|uur|h|heures)\b)")
_STOP_AFTER = re.compile(
    r"\b(kl\.?|klo|klockan|klokken|kello|ore|alle|o godzinie|в)"
    r"\s(2[0-4]|[01]?\d)\.([0-5]\d)(?![\d.])"
)
_DIGIT = re.compile(r"[0-9]").search
_KEPT = re.compile(r"\{kept:(.*?)\}")
_ENGLISH_WORD = re.compile(r"past|quarter|minutes|clock|half| to ").search
_HOUR = r"(?P<h>2[0-4]|[01]?\d)(?:te|e|й|o|a)?"
_ENGLISH: list[tuple[str, int, int]] = [
    ("half past {h}", 0, 30),
    ("(?:a )?quarter (?:past|after) {h}", 0, 15),
    ("(?:a )?quarter (?:to|til|till) {h}", -1, 45),
    ("{m} (?:minutes )?past {h}", 0, -1),
    ("{m} minutes (?:to|til|till) {h}", -1, -2),
    ("{kept:at|it is|by|until|before} {m} to {h}", -1, -2),
    ("{h} o ?clock", 0, 0),
]
# "half seven" is half past seven in Britain.
_BRITISH: list[tuple[str, int, int]] = [("(?<=at )half {h}", 0, 30)]


def in_text(text: str, language: Language) -> str:
    """Folded `text` with times in figures as hour and minutes; the minutes 00 are left out.

    In English the hours of the afternoon become `pm`.
    """
    if ":" in text:
        text = _FIGURES.sub(lambda match: _spoken(match, language), text)
        if language.hour_word:
            # Of "3:00 uur", once.
            word = re.escape(language.hour_word)
            text = re.sub(rf"(?<!\w){word}\s+{word}(?!\w)", language.hour_word, text)
    if "." in text:
        if language.english:
            text = _ENGLISH_STOP.sub(lambda match: _spoken(match, language), text)
        else:
            text = _STOP_BEFORE.sub(r"\1 \2", text)
            text = _STOP_AFTER.sub(r"\1 \2 \3", text)
    return text


def _spoken(match: re.Match[str], language: Language) -> str:
    hour, minutes = int(match[1]), match[2]
    seconds = match[3] if match.re is _FIGURES and match[3] not in (None, "00") else ""
    after = ""
    if language.english and (hour > 12 or hour == 0):
        after = " am" if hour in (0, 24) else " pm"
        hour = hour - 12 if 12 < hour < 24 else 12
    if minutes != "00" or seconds:
        return f" {hour} {minutes} {seconds}{after} "
    word = HOURS.get(language.code) or language.hour_word
    return f" {hour}{word}" if language.unspaced else f" {hour} {word}{after} "


@lru_cache(maxsize=256)
def _phrases(language: Language) -> list[tuple[re.Pattern[str], int, int]]:
    known = [tuple(rule) for rule in language.known.get("clock", ())]
    if language.english:
        known += _ENGLISH
        if language.region in ("GB", "IE", "AU", "NZ", "ZA"):
            known += _BRITISH
    names = language.hour_names
    hour = rf"(?:{_HOUR}|(?P<name>{'|'.join(names)}))" if names else _HOUR
    compiled = []
    # "halb 8" is part of "5 nach halb 8".
    for phrase, hours, minutes in sorted(known, key=lambda rule: -len(rule[0])):
        pattern = phrase if language.english else language.fold(phrase)
        pattern = _KEPT.sub(r"(?P<before>\1)", pattern)
        pattern = pattern.replace("{mm}", "{m}").replace("{h}", hour)
        low = "1-5" if "{mm}" in phrase else "0-5"
        pattern = pattern.replace("{m}", rf"(?P<m>[{low}]{'' if '{mm}' in phrase else '?'}\d)")
        compiled.append((re.compile(rf"(?<!\S)(?:{pattern})(?!\S)"), hours, minutes))
    return compiled


def in_words(words: str, language: Language) -> str:
    """Words, with numbers in figures, with spoken times as hour and minutes: `half past 7`."""
    names = language.hour_names
    if not (names or _DIGIT(words)) or (language.english and not _ENGLISH_WORD(words)):
        return words
    for pattern, hours, minutes in _phrases(language):

        def replaced(match: re.Match[str], hours: int = hours, minutes: int = minutes) -> str:
            groups = match.groupdict()
            named = groups.get("name")
            hour = (names.index(named) % 12 + 1 if named else int(groups["h"])) + hours
            hour = hour + 12 if hour < 1 else hour
            said = int(groups.get("m") or 0)
            past = {-1: said, -2: 60 - said, -3: 30 + said, -4: 30 - said}.get(minutes, minutes)
            if not 0 <= past < 60:
                return match[0]
            before = f"{groups['before']} " if groups.get("before") else ""
            if past == 0:
                return f"{before}{hour} {language.hour_word}".rstrip()
            return f"{before}{hour} {past:02}"

        words = pattern.sub(replaced, words)
    return words
