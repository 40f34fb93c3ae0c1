"""The words that names and things of the world are made of, read from the text files here.

Invented, but for a few well known titles.
"""

from __future__ import annotations

from collections.abc import Mapping

from assistant.stages import LOCALES
from assistant.text_files import group, read_sections

_PACKAGE = "assistant.world"
_LISTS = (
    "adjectives", "nouns", "transitive verbs", "intransitive verbs", "colours", "sound alike",
    "known titles", "town prefixes", "rivers", "landmarks", "shops", "chains", "callings",
    "newspaper starts", "newspaper ends", "lists",
)  # fmt: skip
_LOCAL_LISTS = (
    "first names", "last names", "similar names", "relatives", "town starts", "town ends",
    "regions", "team names", "rooms", "lamps", "appliances", "doors",
)  # fmt: skip
_NICKNAME_FIELDS = ("first", "noun", "colour")
# The fields that each kind of pattern may have.
_PATTERN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "title": ("adjective", "noun", "other", "transitive", "intransitive"),
    "band": ("adjective", "noun", "other"),
    "station": ("adjective", "noun", "frequency", "channel", "region"),
    "podcast": ("adjective", "noun", "other", "first", "second"),
    "shop": ("last", "adjective", "noun", "shop", "partner"),
    "song that sounds like another": ("word", "noun"),
    "nickname of an artist": _NICKNAME_FIELDS,
    "nickname of a song": _NICKNAME_FIELDS,
    "nickname of a station": _NICKNAME_FIELDS,
    "nickname of a team": _NICKNAME_FIELDS,
}

WORDS: Mapping[str, tuple[str, ...]] = {
    name: section.words for name, section in read_sections(_PACKAGE, "words.txt", _LISTS).items()
}
# By locale.
LOCAL: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    name: section.by_key(LOCALES)
    for name, section in read_sections(_PACKAGE, "locales.txt", _LOCAL_LISTS).items()
}
# How names are composed, as `str.format` takes it.
PATTERNS: Mapping[str, tuple[str, ...]] = {
    name: section.patterns(_PATTERN_FIELDS[name])
    for name, section in read_sections(_PACKAGE, "patterns.txt", tuple(_PATTERN_FIELDS)).items()
}
# Words that sound alike, or nearly.
SOUND_ALIKE = tuple(group(entry) for entry in WORDS["sound alike"])
# Titles that several media share, each followed by how people shorten it.
KNOWN_TITLES = tuple(group(entry) for entry in WORDS["known titles"])
# First names that are easily taken for each other, by locale.
SIMILAR_NAMES = {
    locale: tuple(group(entry) for entry in entries)
    for locale, entries in LOCAL["similar names"].items()
}
