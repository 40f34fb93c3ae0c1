"""Personal data in records: redaction of every text of a turn, pseudonyms in every id of its user.

Carries out `data.store.privacy` on turns before they are encoded, and on what the quarantine keeps
of faulty lines. Labels (domain, intent, action, names of slots), versions, and names of annotators
stay; ids of turns, dialogues, devices and homes stay too, but for the user's own id within them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from data.store.erasure import CUT
from data.store.privacy import PLACEHOLDERS, Choice, Privacy

if TYPE_CHECKING:
    from data.ingest.redaction import Redactor
    from data.schema.trace import Act, Slot, Turn

# A whole number of so many digits may be of a phone or a card.
_FEWEST_DIGITS = 7
# A part of a number, as a slot may hold it.
_PART = 3
# Unknown fields that say where in a text something stands: after redaction they would be wrong.
_OFFSETS = re.compile(r"span|offset|char_?(?:start|end)|(?:start|end)_?char|indices", re.IGNORECASE)
# An id of fewer characters stands within others by chance.
_SHORT = 4
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


@lru_cache(maxsize=4)
def _redactor(choice: Choice) -> Redactor:
    """One per process, as it remembers texts."""
    # Its libraries take a third of a second, which a store without redaction need not wait for.
    from data.ingest.redaction import Redactor

    return Redactor(choice.kinds, choice.names, choice.region)


class _Texts:
    """The texts of one turn: what was redacted in one of them is known in the others."""

    def __init__(self, privacy: Privacy, turn: Turn, counts: Counter[str]) -> None:
        self._redactor = _redactor(privacy.choice)
        self._locale = turn.locale
        self._counts = counts
        # What was redacted, in small letters -> its placeholder.
        self._known: dict[str, str] = {}
        self._numbers: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Whether anything was redacted."""
        return bool(self._known)

    def text(self, text: str | None, strict: bool = False) -> Any:
        """A text that was said, written or shown; `strict` for an id."""
        if not text:
            return text
        redacted = self._redactor.redact(text, self._locale, strict)
        for kind, found in redacted.hits:
            self._counts[kind] += 1
            self._known[found.lower()] = PLACEHOLDERS[kind]
            if kind == "name":
                # A slot may hold the first or the last of them.
                self._known |= dict.fromkeys(found.lower().split(), PLACEHOLDERS[kind])
            if digits := _digits(found):
                self._numbers[digits] = PLACEHOLDERS[kind]
        return redacted.text

    def value(self, value: Any, strict: bool = False) -> Any:
        """A slot's value: a text, a number or neither."""
        if isinstance(value, str):
            return self.text(value, strict)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 10**_FEWEST_DIGITS:
            written = str(value)
            redacted = self.text(written, strict)
            return value if redacted == written else redacted
        return value

    def again(self, value: Any) -> Any:
        """A value that is, as a whole, something that was redacted elsewhere in the turn, or a part
        of such a number; else the value."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            return value
        text = str(value).lower()
        if text in self._known:
            return self._known[text]
        digits = _digits(text)
        if len(digits) >= _PART and len(digits) >= len(text) - 3:
            for number, placeholder in self._numbers.items():
                if digits in number:
                    return placeholder
        return value

    def part(self, value: Any) -> Any:
        """Like `again`, also for a single word of it: of lists of words with times."""
        after = self.again(value)
        if after is value and isinstance(value, str):
            word = value.strip(" .,!?").lower()
            for text, placeholder in self._known.items():
                if word and word in text.split():
                    return placeholder
        return after


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal())


# -- turns -----------------------------------------------------------------------------------------


def redact(
    turn: Turn, extra: dict[str, Any] | None, privacy: Privacy, counts: Counter[str]
) -> dict[str, Any] | None:
    """Redact a turn in place, with its gold; returns its unknown fields after redaction.

    What was redacted is counted by kind in `counts`, ids of users as "user id".
    """
    user = turn.user_id
    # First, as an id may be an e-mail address.
    if user and (pseudonym := privacy.pseudonym(user)) != user:
        counts["user id"] += 1
        turn.user_id = pseudonym
        _ids(turn, user, pseudonym)
        extra = _each(extra, lambda value: _within(value, user, pseudonym))
    if privacy.choice.kinds:
        texts = _Texts(privacy, turn, counts)
        _texts(turn, texts)
        extra = _each(extra, lambda value: texts.value(value, strict=not _is_prose(value)))
        if texts:
            _values(turn, texts)
            extra = _each(_without_offsets(extra), texts.part)
    return extra


def _texts(turn: Turn, texts: _Texts) -> None:
    """Redact all that was said, written or shown, and all values."""
    for slots in _slots(turn):
        for slot in slots:
            slot.value = texts.value(slot.value)
    if turn.prompt:
        turn.prompt.text = texts.text(turn.prompt.text)
    if turn.wake:
        turn.wake.phrase = texts.text(turn.wake.phrase)
    if turn.device and turn.device.state:
        state = turn.device.state
        turn.device.state = {name: texts.text(value) for name, value in state.items()}
    for heard in (turn.asr and turn.asr.hypotheses) or ():
        heard.text = texts.text(heard.text)
    for mention in (turn.er and turn.er.mentions) or ():
        mention.text = texts.text(mention.text)
        for candidate in mention.candidates or ():
            candidate.name = texts.text(candidate.name)
            candidate.id = texts.text(candidate.id, strict=True)
    if turn.result:
        turn.result.response = texts.text(turn.result.response)
        turn.result.action = texts.text(turn.result.action, strict=True)
        turn.result.items = _each(turn.result.items, texts.value)
    if gold := turn.gold:
        gold.transcript = texts.text(gold.transcript)
        gold.action = texts.text(gold.action, strict=True)
        if gold.entities:
            entities = gold.entities
            gold.entities = {name: texts.text(id, strict=True) for name, id in entities.items()}


def _values(turn: Turn, texts: _Texts) -> None:
    """Redact the values that are known to be personal from another text of the turn."""
    for slots in _slots(turn):
        for slot in slots:
            slot.value = texts.again(slot.value)
    for mention in (turn.er and turn.er.mentions) or ():
        mention.text = texts.again(mention.text)
        for candidate in mention.candidates or ():
            candidate.name = texts.again(candidate.name)
    if turn.result:
        turn.result.items = _each(turn.result.items, texts.again)


def _slots(turn: Turn) -> Iterator[list[Slot]]:
    lists: list[list[Slot] | None] = []
    acts: list[Act] = []
    if turn.prompt:
        acts += turn.prompt.acts or ()
    if turn.result:
        acts += turn.result.acts or ()
    lists += (act.slots for act in acts)
    if turn.nlu:
        lists += (frame.slots for frame in turn.nlu.hypotheses or ())
    if turn.gold:
        lists.append(turn.gold.slots)
        if turn.gold.replay:
            lists.append(turn.gold.replay.slots)
    return (slots for slots in lists if slots)


def _is_prose(value: Any) -> bool:
    """Whether an unknown field is a sentence rather than an id, a time or a number."""
    return isinstance(value, str) and sum(word.isalpha() for word in value.split()) >= 2


def _each(value: Any, change: Any) -> Any:
    """A JSON value with each text and number in it changed."""
    if isinstance(value, dict):
        return {name: _each(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(value)


def _without_offsets(extra: Any) -> Any:
    if isinstance(extra, dict):
        return {
            name: _without_offsets(value)
            for name, value in extra.items()
            if not _OFFSETS.search(name.rpartition(".")[2])
        }
    return [_without_offsets(item) for item in extra] if isinstance(extra, list) else extra


# -- ids -------------------------------------------------------------------------------------------


def _ids(turn: Turn, user: str, pseudonym: str) -> None:
    turn.turn_id = _within(turn.turn_id, user, pseudonym)
    turn.dialogue_id = _within(turn.dialogue_id, user, pseudonym)
    if turn.device:
        turn.device.id = _within(turn.device.id, user, pseudonym)
    if turn.home_id:
        turn.home_id = _within(turn.home_id, user, pseudonym)
    if turn.gold and turn.gold.corrects:
        turn.gold.corrects = _within(turn.gold.corrects, user, pseudonym)


def _within(value: Any, user: str, pseudonym: str) -> Any:
    """An id, or a text, with a user's id in it replaced where it stands as a whole word; a short
    one only where it is all, or what the id begins with before a colon, as adapters write it."""
    if not isinstance(value, str) or user not in value:
        return pseudonym if _is_number(value) and str(value) == user else value
    if value == user:
        return pseudonym
    if len(user) >= _SHORT:
        return re.sub(rf"(?<!\w){re.escape(user)}(?!\w)", lambda _: pseudonym, value)
    return pseudonym + value[len(user) :] if value.startswith(f"{user}:") else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def with_pseudonym(turn: Mapping[str, Any], privacy: Privacy) -> dict[str, Any]:
    """The record of a turn, as an adapter makes it, with the pseudonym in its ids.

    Before dialogues are looked for among those of the store, which have pseudonyms.
    """
    record = dict(turn)
    user = record.get("user_id")
    if isinstance(user, str) and (pseudonym := privacy.pseudonym(user)) != user:
        record["user_id"] = pseudonym
        for name in ("turn_id", "dialogue_id"):
            record[name] = _within(record.get(name), user, pseudonym)
    return record


# -- quarantine ------------------------------------------------------------------------------------

_CUT_IDS = re.compile(rf"{CUT} \((?P<ids>[^)]*)\)$")
_NAMED = re.compile(r'(turn_id|dialogue_id|user_id): ("(?:[^"\\]|\\.)*"|[^",]+)')
_IDS = ("turn_id", "dialogue_id", "user_id")
# Characters of JSON that is cut off or otherwise not to be read.
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def redact_faults(batches: Iterable[pa.RecordBatch], privacy: Privacy) -> Iterator[pa.RecordBatch]:
    """Rows of the quarantine, with excerpt, field and reason redacted."""
    for batch in batches:
        for name, change in (
            ("excerpt", redacted_excerpt),
            ("reason", redacted_text),
            ("field", redacted_text),
        ):
            index = batch.schema.get_field_index(name)
            values = [
                None if value is None else change(str(value), privacy)
                for value in batch.column(index).to_pylist()
            ]
            column = pa.array(values, batch.schema.field(index).type)
            batch = batch.set_column(index, batch.schema.field(index), column)
        yield batch


def redacted_text(text: str, privacy: Privacy) -> str:
    """A text that quotes a value of a record."""
    if privacy.key is not None:
        # The value that was faulty may be the user's id itself.
        text = re.sub(r"(got )['\"].*['\"]", r"\1a text", text, flags=re.DOTALL)
    if not privacy.choice.kinds:
        return text
    return _redactor(privacy.choice).redact(text).text


def redacted_excerpt(excerpt: str, privacy: Privacy) -> str:
    """The beginning of a faulty line.

    Where users have pseudonyms, no more than its ids, as nobody can say what else in it names one.
    """
    record: Any = None
    with suppress(msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        record = _decode(excerpt)
    if privacy.key is None:
        # Read first: an escaped character hides what it is part of.
        if not isinstance(record, dict | list):
            return redacted_text(_ESCAPED.sub(_unescaped, excerpt), privacy)

        def change(value: Any) -> Any:
            if isinstance(value, str):
                return redacted_text(value, privacy)
            if not _is_number(value):
                return value
            redacted = redacted_text(str(value), privacy)
            return value if redacted == str(value) else redacted

        return str(_encode(_each(record, change)), "utf-8")
    ids: dict[str, Any] = {}
    if isinstance(record, dict):
        ids = {name: record.get(name) for name in _IDS}
    elif cut := _CUT_IDS.search(excerpt):
        ids = {name: _value(value) for name, value in _NAMED.findall(cut["ids"])}
    user = ids.get("user_id")
    if not isinstance(user, str) or not user:
        # Without it, a dialogue's id may be the user's own.
        return CUT
    pseudonym = privacy.pseudonym(user)
    named = [
        f"{name}: {_encode(_within(ids[name], user, pseudonym)).decode()}"
        for name in _IDS
        if isinstance(ids.get(name), str)
    ]
    return f"{CUT} ({', '.join(named)})"


def _unescaped(match: re.Match[str]) -> str:
    units = bytes.fromhex(match[0].replace("\\u", ""))
    try:
        letters = units.decode("utf-16-be")
    except UnicodeDecodeError:
        return match[0]
    # Control characters and quotes stay as they were.
    return letters if letters.isprintable() and '"' not in letters else match[0]


def _value(text: str) -> Any:
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return text
