"""Validation of one line of a log: a canonical record, or the faulty field and the reason."""

from __future__ import annotations

import json
import re
import types
import typing
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from data.schema.trace import Turn
from data.store.erasure import CUT, EXCERPT

_IDS = ("turn_id", "dialogue_id", "user_id")

_decode = msgspec.json.Decoder(Turn).decode
_decode_any = msgspec.json.Decoder().decode
# Maps are written sorted by key, so that equal turns have equal bytes.
_encode = msgspec.json.Encoder(order="deterministic").encode


class Fault(Exception):
    """An invalid line: the path of the faulty field (empty: the whole line) and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class Checked(NamedTuple):
    """A valid record.

    `json` is its canonical JSON (times in UTC, maps sorted, nulls left out) without `gold`, `gold`
    that of its gold, `extra` the unknown fields as a JSON object or None, and `digest` the eight
    bytes of the fingerprint of everything but gold.
    """

    json: bytes
    gold: bytes
    extra: str | None
    digest: bytes


def check(line: bytes, unknown: Counter[str]) -> Checked:
    """Check one line; raises `Fault`. Unknown fields are counted by path in `unknown`."""
    extra: str | None = None
    try:
        turn = _decode(line)
    except msgspec.ValidationError as error:
        # Rare unless the log has unknown fields, which only the slow check accepts.
        turn, extra = _check_slowly(line, str(error), unknown)
    except msgspec.DecodeError as error:
        raise Fault("", _json_reason(str(error))) from None
    except UnicodeDecodeError:
        raise Fault("", "not valid UTF-8") from None
    except RecursionError:
        raise Fault("", "nested too deeply") from None
    if turn.started_at.tzinfo is not UTC:
        try:
            turn.started_at = turn.started_at.astimezone(UTC)
        except OverflowError:
            raise Fault("started_at", "outside the years 1 to 9999 in UTC") from None
    if turn.home_id is not None:
        extra, turn.home_id = _encode({"home_id": turn.home_id}).decode(), None
    gold = turn.gold
    turn.gold = None
    body = _encode(turn)
    digest = sha256(body)
    if extra is not None:
        digest.update(extra.encode())
    return Checked(body, b"null" if gold is None else _encode(gold), extra, digest.digest()[:8])


# -- unknown fields --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """The nesting of records: field -> the shape of the records in it, or None if it has none.

    `many`: the field is a list of such records.
    """

    fields: Mapping[str, _Shape | None]
    many: bool = False


def _shape(kind: Any, many: bool = False) -> _Shape | None:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        shapes = [_shape(part, many) for part in typing.get_args(kind)]
        return next((shape for shape in shapes if shape is not None), None)
    if origin is list:
        return _shape(typing.get_args(kind)[0], many=True)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return _Shape({name: _shape(hint) for name, hint in hints.items()}, many)
    return None


_TURN = _shape(Turn)


def _check_slowly(line: bytes, message: str, unknown: Counter[str]) -> tuple[Turn, str | None]:
    try:
        record = _decode_any(line)
    except RecursionError:
        raise Fault("", "nested too deeply") from None
    except msgspec.ValidationError:
        raise Fault(*explain(message, None)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Fault("", _json_reason(str(error))) from None
    if not isinstance(record, dict) or _TURN is None:
        raise Fault("", f"expected a JSON object, got {_kind(record)}")
    # Unknown fields are stored and exported as `extra`, so it is not unknown when read again.
    extra: dict[str, Any] = {}
    carried = record.pop("extra", None)
    if isinstance(carried, dict):
        extra.update(carried)
    elif carried is not None:
        record["extra"] = carried
    paths: set[str] = set()
    _set_aside(record, _TURN, "", "", extra, paths)
    try:
        turn = msgspec.convert(record, Turn)
    except msgspec.ValidationError as error:
        raise Fault(*explain(str(error), record)) from None
    unknown.update(paths)
    if turn.home_id is not None:
        extra["home_id"], turn.home_id = turn.home_id, None
    if not extra:
        return turn, None
    try:
        return turn, _encode(extra).decode()
    except RecursionError:
        raise Fault("", "nested too deeply") from None


def _set_aside(
    record: dict[str, Any],
    shape: _Shape,
    path: str,
    general: str,
    extra: dict[str, Any],
    paths: set[str],
) -> None:
    """Move unknown fields of `record` into `extra`, by path, and add their paths to `paths`.

    `general` is the path for counting, with `[]` in place of indices.
    """
    fields = shape.fields
    for name in [name for name in record if name not in fields]:
        extra[path + name] = record.pop(name)
        paths.add(general + name)
    for name, value in record.items():
        below = fields[name]
        if below is None or not value:
            continue
        if below.many:
            if isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        inner = f"{path}{name}[{index}]."
                        _set_aside(item, below, inner, f"{general}{name}[].", extra, paths)
        elif isinstance(value, dict):
            _set_aside(value, below, f"{path}{name}.", f"{general}{name}.", extra, paths)


# -- explanations ----------------------------------------------------------------------------------

_AT = re.compile(r" - at `(?:key in )?\$\.?(?P<path>.*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
_TYPE = re.compile(r"Expected `(?P<want>.+)`, got `(?P<got>.+)`$")
_LIMIT = re.compile(r"Expected `(?:int|float)` (?P<limit>[<>]= [-\d.]+)$")
_CHOICE = re.compile(r"Expected `str` matching regex '\^\((?P<choices>.*)\)\$'$")
_NAMES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "datetime": "a time such as 2024-05-01T09:30:00Z",
    "null": "null",
}


def explain(message: str, record: Any) -> tuple[str, str]:
    """Turn msgspec's message into (field path, reason), quoting the value if it is found."""
    at = _AT.search(message)
    path = at["path"] if at else ""
    text = message[: at.start()] if at else message
    if missing := _MISSING.search(text):
        return f"{path}.{missing['name']}".lstrip("."), "required, but missing"
    value = _look_up(record, path)
    if path.endswith("[...]"):
        path = path.removesuffix("[...]")
        # The path of a map's entry does not contain its key; find the faulty entry.
        entries = _look_up(record, path)
        if isinstance(entries, dict):
            want_number = "float" in text
            for key, entry in entries.items():
                number = isinstance(entry, int | float) and not isinstance(entry, bool)
                if entry is not None and number != want_number:
                    path, value = f"{path}.{key}", entry
                    break
    if limit := _LIMIT.search(text):
        expected = "a number in [0, 1]" if limit["limit"] in (">= 0.0", "<= 1.0") else None
        expected = expected or f"a whole number {limit['limit']}"
        return path, f"expected {expected}, got {_quote(value)}"
    if "length >= 1" in text:
        return path, "expected text that is not empty"
    if choice := _CHOICE.search(text):
        choices = " or ".join(choice["choices"].split("|"))
        return path, f"expected {choices}, got {_quote(value)}"
    if kind := _TYPE.search(text):
        wants = [_NAMES.get(part, part) for part in kind["want"].split(" | ") if part != "null"]
        got = _NAMES.get(kind["got"], kind["got"])
        if not isinstance(value, dict | list) and value is not None:
            got = _quote(value)
        return path, f"expected {' or '.join(wants)}, got {got}"
    if "timezone" in text:
        return path, f"expected a time with an offset or Z, got {_quote(value)}"
    if "datetime" in text:
        return path, f"expected {_NAMES['datetime']}, got {_quote(value)}"
    if "out of range" in text:
        return path, "the number is too large"
    return path, text[:1].lower() + text[1:]


def _look_up(record: Any, path: str) -> Any:
    value = record
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _quote(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else _encode(value).decode("utf-8", "replace")
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: Any) -> str:
    for kind, name in ((bool, "true or false"), (str, "text"), (int | float, "a number"),
                       (list, "a list")):  # fmt: skip
        if isinstance(value, kind):
            return name
    return "null"


def _json_reason(message: str) -> str:
    if "truncated" in message:
        return "not JSON: the line ends in the middle of a value"
    position = re.search(r"\(byte (\d+)\)", message)
    where = f" at byte {position[1]}" if position else ""
    if "surrogate" in message:
        return f"not valid Unicode: half of a surrogate pair{where}"
    return f"not JSON{where}"


def excerpt(line: bytes) -> str:
    """A line of at most `EXCERPT` characters, or the beginning of a longer one.

    A longer one ends in the ids of the line, by which deletion finds it; where it is no JSON object
    nobody can tell whose it is. Undecodable bytes are escaped.
    """
    text = line[: 4 * EXCERPT].decode("utf-8", "backslashreplace")
    if len(line) <= 4 * EXCERPT and len(text) <= EXCERPT:
        return text
    try:
        record = _decode_any(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        record = None
    return cut(text, record)


def cut(text: str, record: Any) -> str:
    """The beginning of a text of more than `EXCERPT` characters and the ids of its record."""
    end = CUT
    if isinstance(record, dict):
        ids = {name: record.get(name) for name in _IDS}
        named = [f"{name}: {_text_of(value)}" for name, value in ids.items() if value is not None]
        if sum(map(len, named)) < EXCERPT // 2:
            end = f"{CUT} ({', '.join(named)})"
    return text[: EXCERPT - len(end)] + end


def _text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
