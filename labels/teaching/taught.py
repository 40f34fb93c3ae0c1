"""What was taught, applied to a request: what its words mean, and what fills an open slot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from jellyfish import metaphone
from rapidfuzz.distance import Indel

from data.schema.requests import COURTESIES
from labels.teaching.phrases import FAN, phrase_key

# How alike a request must be to a phrase that it is taken for, if not the same.
ALIKE = 0.88
SOUNDS_ALIKE = 0.95
# Shorter phrases are too easily taken for one another.
LEAST_LETTERS = 6
_AROUND = re.compile(COURTESIES)


def _likeness(phrase: str, said: str) -> float:
    """0 to 1: shared letters, or nearly 1 where both sound the same."""
    if phrase.isascii() and said.isascii() and said:
        sounds = [[metaphone(word) or word for word in text.split()] for text in (phrase, said)]
        if sounds[0] == sounds[1]:
            return SOUNDS_ALIKE
    return Indel.normalized_similarity(phrase, said)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a request means by what its user taught.

    Attributes
    ----------
    text: what to do, in the words the user gave. preference_id: whose use it is.
    similarity: 1 for the very phrase, else how alike it is.
    """

    text: str
    preference_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Value:
    """A preferred value, and the id of the preference."""

    text: str
    preference_id: str


class Taught:
    """Preferences and concepts by user, to look up at every request.

    Parameters
    ----------
    rows: of `PREFERENCES`, as a table or as mappings.
    """

    def __init__(self, rows: pa.Table | Iterable[Mapping[str, Any]] = ()) -> None:
        # Per user, rows by their id, in the order they came.
        self._users: dict[str, dict[str, dict[str, Any]]] = {}
        for row in rows.to_pylist() if isinstance(rows, pa.Table) else rows:
            self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take over a row; it replaces one with the same id."""
        mine = self._users.setdefault(row["user_id"], {})
        mine.pop(row["preference_id"], None)
        mine[row["preference_id"]] = {**row, "key": phrase_key(row["name"])}

    def drop(self, preference_id: str) -> None:
        """Forget a row, if it is there."""
        for mine in self._users.values():
            mine.pop(preference_id, None)

    def rows(self, user_id: str) -> list[dict[str, Any]]:
        """The rows of a user."""
        mine = self._users.get(user_id, {}).values()
        return [{k: v for k, v in row.items() if k != "key"} for row in mine]

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    def meaning(
        self,
        text: str,
        user_id: str,
        device: str | None = None,
        at: datetime | None = None,
        assistant: str | None = None,
    ) -> Meaning | None:
        """What a request means, if its user taught it; that of the device goes first.

        The very phrase, a phrase in courtesies ("make it cosy, please"), or one that is spelled
        nearly so, as long as no other phrase of the user's is as near.
        """
        concepts = [row for row in self._valid(user_id, device, at, assistant)
                    if row["kind"] == "concept"]  # fmt: skip
        if not concepts:
            return None
        said = phrase_key(text)
        for words in (said, _AROUND.sub("", said).strip()):
            for row in concepts:
                if words and row["key"] == words:
                    return Meaning(row["value"], row["preference_id"], 1.0)
        likes = sorted(((_likeness(row["key"], said), i)
                        for i, row in enumerate(concepts)), reverse=True)  # fmt: skip
        best, number = likes[0]
        rivals = {concepts[i]["value"] for like, i in likes if like >= best - 0.02}
        if best < ALIKE or len(concepts[number]["key"]) < LEAST_LETTERS or len(rivals) > 1:
            return None
        return Meaning(concepts[number]["value"], concepts[number]["preference_id"], best)

    def value(
        self,
        slot: str,
        user_id: str,
        device: str | None = None,
        at: datetime | None = None,
        assistant: str | None = None,
    ) -> Value | None:
        """The value that a user prefers for a slot: its name, or else a topic that ends with it.

        "Radio station" is about the slot `station`, as long as nothing is said of "station".
        """
        wanted = phrase_key(slot.replace("_", " "))
        about = [
            row
            for row in self._valid(user_id, device, at, assistant)
            if row["kind"] == "preference"
            and (row["key"] == wanted or row["key"].endswith(f" {wanted}"))
        ]
        # Of several the first: that of the device goes before that of the user.
        row = min(about, key=lambda row: row["key"] != wanted, default=None)
        return None if row is None else Value(row["value"], row["preference_id"])

    def preferred(
        self,
        names: Iterable[str],
        user_id: str,
        device: str | None = None,
        at: datetime | None = None,
        assistant: str | None = None,
    ) -> tuple[int, str] | None:
        """Which of several names a user prefers: its place, and the id of the preference.

        A preference decides between candidates by its value: a fan of "jazz fm" means that one of
        two stations. None where none of them, or more than one, is preferred. Of several
        preferences for the same name, that of the device is named, or else the first.
        """
        keys = [phrase_key(name) for name in names]
        found = [
            (place, str(row["preference_id"]))
            for row in self._valid(user_id, device, at, assistant)
            if row["kind"] == "preference"
            for place, key in enumerate(keys)
            if (value := phrase_key(row["value"]))
            and (key == value or (row["name"] == FAN and f" {value} " in f" {key} "))
        ]
        return found[0] if len({place for place, _ in found}) == 1 else None

    def _valid(
        self, user_id: str, device: str | None, at: datetime | None, assistant: str | None
    ) -> list[dict[str, Any]]:
        at = at or datetime.now(UTC)
        mine = [
            row
            for row in self._users.get(user_id, {}).values()
            if row["scope"] in ("user", device)
            and (row["assistant"] is None or assistant is None or row["assistant"] == assistant)
            and row["created_at"] <= at
            and (row["expires_at"] is None or row["expires_at"] > at)
        ]
        return sorted(mine, key=lambda row: row["scope"] == "user")
