"""A user and the assistant: teaching goes into the store, and a request gets its taught meaning.

What was just taught is used for the very next request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from data.store.privacy import stored_user
from labels.teaching.dialogue import IDLE, Reply, State, hear
from labels.teaching.phrases import phrase_key
from labels.teaching.preferences import forget, preferences, put, row_of
from labels.teaching.taught import Taught

if TYPE_CHECKING:
    from data.store.store import Store


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of something said.

    Attributes
    ----------
    did: as of `labels.teaching.dialogue.Reply`. text: the answer, "" where the assistant does what
    was said as always. meaning: what the request was taken for by what was taught, or None.
    used: the id of what was taught, or None. known: rows of the user, where they were listed.
    """

    did: str
    text: str
    meaning: str | None = None
    used: str | None = None
    known: tuple[dict[str, Any], ...] = ()


class Conversation:
    """One user's dialogue with the assistant about what it should know.

    Parameters
    ----------
    store: where it is kept. user: who speaks, by the id in the logs or the pseudonym that the store
    has for it. device: the type of the device it is said to. assistant: whom it is taught to; None
    for every assistant of the store.
    """

    def __init__(
        self, store: Store, user: str, device: str | None = None, assistant: str | None = None
    ) -> None:
        self._store = store
        self._given = user
        self._device = device
        self._assistant = assistant
        self._state: State = IDLE
        # What the user taught, as of a version of the store.
        self._known: tuple[str, Taught] | None = None

    @cached_property
    def _user(self) -> str:
        return stored_user(self._store, self._given)

    def say(self, text: str, at: datetime) -> Answer:
        """Say something; returns what the assistant answers.

        Raises what writing to the store raises, and `PrivacyError` without the key of a store that
        keeps users under pseudonyms; the dialogue then is where it was.
        """
        state, reply = hear(self._state, text, at)
        answer = self._answer(text, reply, at)
        self._state = state
        return answer

    def _answer(self, text: str, reply: Reply, at: datetime) -> Answer:
        if reply.did == "stored" and reply.lesson is not None:
            put(self._store, [row_of(reply.lesson, self._user, at, self._assistant)])
        if reply.did == "forgot" and reply.lesson is not None:
            name = phrase_key(reply.lesson.name)
            if not forget(self._store, user_id=self._user, name=reply.lesson.name):
                return Answer("cancelled", f"You haven't taught me '{name}'.")
        if reply.did == "listed":
            rows = self._taught().rows(self._user)
            holds = (row for row in rows if not row["expires_at"] or row["expires_at"] > at)
            return Answer("listed", "", known=tuple(holds))
        if reply.handled:
            return Answer(reply.did, reply.text)
        found = self._taught().meaning(text, self._user, self._device, at, self._assistant)
        if found is None:
            return Answer("nothing", "")
        return Answer("nothing", "", found.text, found.preference_id)

    def _taught(self) -> Taught:
        """What the user taught, whoever changed it in the meantime; also what has expired."""
        with self._store.snapshot(only=("preferences",)) as snapshot:
            if self._known is None or self._known[0] != snapshot.version:
                self._known = snapshot.version, Taught(preferences(snapshot, self._user))
            return self._known[1]
