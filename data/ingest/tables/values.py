"""Cells of a table as values of a trace, by the mapping."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from data.ingest.adapters.common import decoded, iso, shown
from data.ingest.tables.mapping import Column, Field, Named, TableMapping, as_word
from data.ingest.validation import Fault
from data.schema.shape import Shape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
# Which field a list's item is that is a bare text.
_BARE = ("text", "intent", "act", "name")
# A record of a list without it says nothing.
_NEEDED = ("text", "act", "name")
_LISTS = (("asr", "hypotheses"), ("nlu", "hypotheses"))


class Turned:
    """A row as a turn.

    Attributes
    ----------
    group: the dialogue, or what its pauses divide. at: µs. turn: in the trace format, without what
    is known only of the dialogue as a whole.
    """

    __slots__ = ("at", "group", "turn")

    def __init__(self, group: str, at: int, turn: dict[str, Any]) -> None:
        self.group, self.at, self.turn = group, at, turn


class _Items(dict[int | str, Any]):
    """A list that is being made, by index, or by the name of a slot."""


class RowReader:
    """Makes turns of rows by a mapping."""

    def __init__(self, mapping: TableMapping) -> None:
        self._mapping = mapping
        paths = {each.path for each in mapping.fields}
        # A list of which columns are named is empty where they are, and not unknown.
        self._lists = [
            path for path in _LISTS if any(name.startswith(f"{'.'.join(path)}") for name in paths)
        ]

    def counts(self, row: Mapping[str, Any]) -> bool:
        """Whether `[only]` lets the row through."""
        return all(as_word(_cell(row, column)) in values for column, values in self._mapping.only)

    def turn(self, row: Mapping[str, Any]) -> Turned:
        """The turn of a row; raises `Fault` where there is none."""
        mapping = self._mapping
        turn: dict[str, Any] = {}
        at: int | None = None
        for each in mapping.fields:
            value = self._value(row, each)
            if value is None:
                continue
            if each.path == "started_at":
                at, value = value, iso(value)
            _put(turn, each.steps, value)
        if at is None:
            raise Fault("started_at", self._missing("started_at"))
        if not turn.get("turn_id"):
            raise Fault("turn_id", self._missing("turn_id"))
        turn = _settled(turn)
        for stage, name in self._lists:
            turn.setdefault(stage, {}).setdefault(name, [])
        if mapping.by is None:
            group = turn.get("dialogue_id")
            if not group:
                raise Fault("dialogue_id", self._missing("dialogue_id"))
            return Turned(group, at, turn)
        parts = [self._word(row, column) for column in mapping.by.columns]
        if not any(parts):
            raise Fault("dialogue_id", f"the columns {_names(mapping.by)} are empty")
        return Turned("/".join(parts), at, turn)

    def _missing(self, path: str) -> str:
        (each,) = [each for each in self._mapping.fields if each.path == path]
        return f"required, but the column {_names(each)} is empty"

    def _word(self, row: Mapping[str, Any], column: Column) -> str:
        value = _cell(row, column)
        return "" if self._is_empty(value) else as_word(value)

    def _is_empty(self, value: Any) -> bool:
        if isinstance(value, str):
            return value.strip() in self._mapping.empty
        return value is None or (isinstance(value, float) and math.isnan(value))

    def _value(self, row: Mapping[str, Any], each: Field) -> Any:
        if each.value is not None:
            return each.value
        if each.hashed:
            words = [self._word(row, column) for column in each.columns]
            return (
                hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32] if any(words) else None
            )
        try:
            return self._converted(_cell(row, each.columns[0]), each)
        except Fault as fault:
            where = f"column {_names(each)}: "
            raise Fault(each.path, where + fault.reason) from None

    def _converted(self, value: Any, each: Field) -> Any:
        if each.values or each.otherwise is not None:
            word = "" if value is None else as_word(value)
            if word in each.values:
                value = each.values[word]
            elif not self._is_empty(value) and each.otherwise is not None:
                value = each.otherwise
        if self._is_empty(value):
            return None
        return self._shaped(value, each.shape, each)

    def _shaped(self, value: Any, shape: Shape, each: Field) -> Any:
        kind = shape.kind
        if kind == "text":
            return value.strip() if isinstance(value, str) else as_word(_plain(value))
        if kind in ("number", "whole"):
            return self._number(value, kind == "whole", each.factor)
        if kind == "flag":
            return _flag(value)
        if kind == "time":
            return _microseconds(value, each)
        if kind == "list":
            return self._list(value, shape, each)
        if kind == "map":
            return self._map(value, shape, each)
        if kind == "record":
            return self._record(value, shape, each)
        return _plain(value)

    def _number(self, value: Any, whole: bool, factor: float) -> float | int | None:
        number = number_of(value, self._mapping.decimal)
        if number is None:
            raise Fault("", f"expected a number, got {shown(_plain(value))}")
        if math.isnan(number):
            return None
        # Rounded, as 61 times 0.01 is not 0.61 otherwise.
        number = number if factor == 1.0 else round(number * factor, 12)
        if not whole:
            return number
        if not number.is_integer():
            raise Fault("", f"expected a whole number, got {shown(_plain(value))}")
        return int(number)

    def _list(self, value: Any, shape: Shape, each: Field) -> list[Any]:
        if isinstance(value, str):
            value = value.split(each.separator) if each.separator else _json(value)
        inner = shape.each
        assert inner is not None
        if isinstance(value, dict):
            if set(inner.fields) != {"name", "value"}:
                value = [value]
            else:
                # Slots by name; a list of values is a slot of each.
                value = [
                    {"name": name, "value": item}
                    for name, given in value.items()
                    for item in (given if isinstance(given, list) else [given])
                ]
        if not isinstance(value, list):
            value = [value]
        items = [self._item(item, inner, each) for item in value if not self._is_empty(item)]
        return [item for item in items if item is not None]

    def _item(self, value: Any, shape: Shape, each: Field) -> Any:
        if each.each and isinstance(value, dict):
            found = {}
            for name, inner in each.each.items():
                given = inner.value
                if inner.columns:
                    given = self._converted(_cell(value, inner.columns[0]), inner)
                if given is not None:
                    found[name] = given
            return found if _says_something(found, shape) else None
        return self._shaped(value, shape, each)

    def _record(self, value: Any, shape: Shape, each: Field) -> Any:
        if not isinstance(value, dict):
            bare = next((name for name in _BARE if name in shape.fields), None)
            if bare is None or isinstance(value, list):
                raise Fault("", f"expected an object, got {shown(_plain(value))}")
            value = {bare: value}
        record = {}
        for name, inner in value.items():
            if self._is_empty(inner):
                continue
            known = shape.fields.get(name)
            record[name] = self._shaped(inner, known, each) if known else _plain(inner)
        return record if _says_something(record, shape) else None

    def _map(self, value: Any, shape: Shape, each: Field) -> dict[str, Any]:
        value = _json(value) if isinstance(value, str) else value
        if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
            # As Arrow has maps.
            value = dict(value)
        if not isinstance(value, dict):
            raise Fault("", f"expected an object, got {shown(_plain(value))}")
        assert shape.each is not None
        return {
            str(name): self._shaped(inner, shape.each, each)
            for name, inner in value.items()
            if not self._is_empty(inner)
        }


def _says_something(record: Mapping[str, Any], shape: Shape) -> bool:
    needed = [name for name in _NEEDED if name in shape.fields]
    # Of a mention or a candidate any field will do.
    if len(needed) != 1 or "slot" in shape.fields or "id" in shape.fields:
        return bool(record)
    return record.get(needed[0]) is not None


def _names(each: Field) -> str:
    return ", ".join(f"'{column.name}'" for column in each.columns)


def _cell(row: Mapping[str, Any], column: Column) -> Any:
    """What a row has in a column, or in a part of one."""
    for name, steps in column.candidates:
        if name in row:
            value = row[name]
            for step in steps:
                if isinstance(value, str):
                    value = _json(value) if value.strip() else None
                if isinstance(step, int):
                    inside = isinstance(value, list) and step < len(value)
                    value = value[step] if inside else None
                else:
                    value = value.get(step) if isinstance(value, dict) else None
            return value
    return None


def _json(text: str) -> Any:
    try:
        return decoded(text.encode())
    except Fault as fault:
        raise Fault("", f"{fault.reason} ({shown(text)})") from None
    except UnicodeEncodeError:
        raise Fault("", "not valid Unicode") from None


def _put(turn: dict[str, Any], steps: Sequence[str | int | Named], value: Any) -> None:
    place: dict[Any, Any] = turn
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, Named):
            place[step.name] = {"name": step.name, "value": value}
            return
        if following is None:
            place[step] = _joined(value, place.get(step))
            return
        new = _Items() if isinstance(following, (int, Named)) else {}
        below = place.setdefault(step, new)
        if isinstance(below, list) and isinstance(new, _Items):
            # A list from one column, to which other columns add.
            below = place[step] = _Items(enumerate(below))
        place = below


def _joined(value: Any, made: Any) -> Any:
    """A list from one column with what other columns have said of its items."""
    if not isinstance(made, _Items) or not isinstance(value, list):
        return value
    joined = _Items(enumerate(value))
    for key, item in made.items():
        both = isinstance(item, dict) and isinstance(joined.get(key), dict)
        joined[key] = {**joined[key], **item} if both else item
    return joined


def _settled(value: Any) -> Any:
    """Lists that have been made by index as lists, without items that say nothing."""
    if isinstance(value, _Items):
        by_index = sorted((key, item) for key, item in value.items() if isinstance(key, int))
        named = [item for key, item in value.items() if not isinstance(key, int)]
        items = [_settled(item) for item in (*(item for _, item in by_index), *named)]
        return [item for item in items if not _is_lonely(item)]
    if isinstance(value, dict):
        return {name: _settled(item) for name, item in value.items()}
    return value


def _is_lonely(item: Any) -> bool:
    """Whether an item is but the confidence of something that is not there."""
    return not isinstance(item, dict) or not set(item) - {"confidence", "score"}


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def number_of(value: Any, decimal: str = ".") -> float | None:
    """A number, or the text of one, with a percentage as a fraction; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float, Decimal)):
        try:
            return float(value)
        except (OverflowError, ValueError):
            return None
    if not isinstance(value, str):
        return None
    text = value.strip().replace("\u00a0", "")
    percent = text.endswith("%")
    text = text.removesuffix("%").rstrip()
    if decimal == ",":
        text = text.replace(".", "").replace(",", ".")
    if "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return round(number / 100, 12) if percent else number


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(as_word(_plain(value)).lower())
    if flag is None:
        raise Fault("", f"expected true or false, got {shown(_plain(value))}")
    return flag


def _microseconds(value: Any, each: Field) -> int:
    """A time in microseconds since 1970."""
    if each.per_us is not None:
        number = number_of(value)
        if number is None or not abs(number * each.per_us) < 1e18:
            raise Fault("", f"expected a number, a time since 1970, got {shown(_plain(value))}")
        if isinstance(value, str) and value.strip().lstrip("-").isdigit():
            # Exact, where a double is not.
            return int(value) * round(each.per_us) if each.per_us >= 1 else int(value) // 1_000
        return round(number * each.per_us)
    moment: datetime | None = None
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)
    elif isinstance(value, str):
        text = value.strip()
        if each.format is None and text.endswith(" UTC"):
            text = text[:-4] + "+00:00"
        try:
            moment = (
                datetime.strptime(text, each.format)
                if each.format
                else datetime.fromisoformat(text)
            )
        except ValueError:
            moment = None
    if moment is None:
        expected = f"a time as {each.format}" if each.format else "an ISO 8601 time"
        raise Fault("", f"expected {expected}, got {shown(_plain(value))}")
    try:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=each.zone or UTC)
        delta = moment - _EPOCH
    except (OverflowError, ValueError):
        raise Fault("", f"outside the years 1 to 9999: {shown(_plain(value))}") from None
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
