"""Validation of one line of a log: a canonical record, or the faulty field and the reason."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from data.ingest.private_records import redact
from data.schema.bounds import PROBABILITY, ROUNDING
from data.schema.locales import canonical
from data.schema.shape import TRACE, Shape
from data.schema.trace import Gold, Turn
from data.store.erasure import CUT, EXCERPT
from data.store.privacy import Privacy
from data.store.snapshot import literal

_IDS = ("turn_id", "dialogue_id", "user_id")
# Unknown fields of a record: more are data in place of names.
MOST_UNKNOWN = 10_000
# Paths that are counted one by one.
_MOST_PATHS = 1_000
_LONGEST_PATH = 200
_OTHERS = "(others)"

# Why a value was left out; the words are stored.
NOT_A_NUMBER = "not a number"
OUT_OF_RANGE = "out of range"
Left = Counter[tuple[str, str]]

_decode = msgspec.json.Decoder(Turn).decode
_decode_any = msgspec.json.Decoder().decode
# Maps are written sorted by key, so that equal turns have equal bytes.
_encode = msgspec.json.Encoder(order="deterministic").encode

# As Python, JavaScript and Java write what JSON has no number for: bare, or as text.
_NO_NUMBERS = (b"NaN", b"Infinity")
_NO_NUMBER_TEXTS = ("NaN", "Infinity", "-Infinity")
# As long as the longest number that a double can hold; Python refuses 4,300.
_LONGEST_INT = 310
# Beyond it, a double does not say which whole number is meant.
_LARGEST_WHOLE = 2.0**53


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


@dataclass(slots=True)
class Notes:
    """What valid records have that they should not, counted by path.

    `unknown`: fields that the format does not define. `left_out`: values that were dropped, by
    cause and path. Paths have `[]` in place of indices. `redacted`: what was redacted, by kind.
    """

    unknown: Counter[str] = field(default_factory=Counter)
    left_out: Left = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)

    def add(self, unknown: Counter[str], left_out: Left) -> None:
        """Add counts; beyond `_MOST_PATHS`, those of new paths are pooled."""
        for path, count in unknown.items():
            path = _short(path)
            full = len(self.unknown) >= _MOST_PATHS and path not in self.unknown
            self.unknown[_OTHERS if full else path] += count
        for (cause, path), count in left_out.items():
            key = (cause, _short(path))
            full = len(self.left_out) >= _MOST_PATHS and key not in self.left_out
            self.left_out[(cause, _OTHERS) if full else key] += count


def _short(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else path[: _LONGEST_PATH - 1] + "…"


def check(line: bytes, notes: Notes, privacy: Privacy | None = None) -> Checked:
    """Check one line; raises `Fault`. Unknown fields and dropped values are counted in `notes`.

    With `privacy`, the record is what is left after redaction.
    """
    extra: str | None = None
    try:
        turn = _decode(line)
    except msgspec.ValidationError as error:
        # Rare unless the log has unknown fields, which only the slow check accepts.
        turn, extra = _check_slowly(line, str(error), notes)
    except msgspec.DecodeError as error:
        if line.startswith(_BOM):
            # Of a file that was appended to another.
            return check(line.lstrip(_BOM), notes, privacy)
        if not _may_lack_numbers(line):
            raise Fault("", _json_reason(str(error))) from None
        turn, extra = _check_slowly(line, str(error), notes)
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
    if turn.locale is not None:
        turn.locale = canonical(turn.locale)
    if privacy is not None:
        extra = _without_personal(turn, extra, privacy, notes)
    gold = turn.gold
    if gold is not None:
        _check_gold(gold, turn.turn_id)
    turn.gold = None
    body = _encode(turn)
    digest = sha256(body)
    if extra is not None:
        digest.update(extra.encode())
    return Checked(body, b"null" if gold is None else _encode(gold), extra, digest.digest()[:8])


def _without_personal(turn: Turn, extra: str | None, privacy: Privacy, notes: Notes) -> str | None:
    """Redact a turn; returns its `extra` after redaction."""
    unknown = None if extra is None else _decode_any(extra)
    try:
        unknown = redact(turn, unknown, privacy, notes.redacted)
        return _encode(unknown).decode() if unknown else None
    except RecursionError:
        raise Fault("", "nested too deeply") from None


def _check_gold(gold: Gold, turn_id: str) -> None:
    """Raises `Fault` where two fields of gold contradict one another."""
    if gold.corrects == turn_id:
        raise Fault("gold.corrects", "names this very turn; give the id of an earlier one")
    if gold.correction is not None and gold.corrects is None:
        raise Fault("gold.correction", "needs `corrects`, the id of the turn that is repaired")
    for i, rating in enumerate(gold.ratings or ()):
        if rating.of == "boundary" and rating.value not in (None, 0.0, 1.0):
            raise Fault(
                f"gold.ratings[{i}].value", f"expected 0 or 1 for a boundary, got {rating.value:g}"
            )


# -- records that the strict check refuses ---------------------------------------------------------

_BOM = b"\xef\xbb\xbf"


def _check_slowly(line: bytes, message: str, notes: Notes) -> tuple[Turn, str | None]:
    """Check a line that has unknown fields, or numbers to drop; returns the turn and its `extra`.

    `message` is the strict decoder's.
    """
    record, lenient = _read(line, message)
    if not isinstance(record, dict):
        raise Fault("", f"expected a JSON object, got {_kind(record)}")
    # Unknown fields are stored and exported as `extra`, so it is not unknown when read again.
    extra: dict[str, Any] = {}
    carried = record.pop("extra", None)
    if isinstance(carried, dict):
        extra.update(carried)
    elif carried is not None:
        record["extra"] = carried
    paths: set[str] = set()
    _set_aside(record, TRACE, "", "", extra, paths)
    left_out: Left = Counter()
    try:
        if lenient:
            _drop_senseless(record, TRACE, "", left_out)
        turn = msgspec.convert(record, Turn)
    except msgspec.ValidationError as error:
        # A whole number of hundreds of digits is out of range of a double.
        if not any(word in str(error) for word in ("float", "out of range", "RFC3339")):
            raise Fault(*explain(str(error), record)) from None
        _drop_senseless(record, TRACE, "", left_out)
        try:
            turn = msgspec.convert(record, Turn)
        except msgspec.ValidationError as error:
            raise Fault(*explain(str(error), record)) from None
    if turn.home_id is not None:
        extra["home_id"], turn.home_id = turn.home_id, None
    try:
        text = _encode(extra).decode() if extra else None
    except RecursionError:
        raise Fault("", "nested too deeply") from None
    notes.add(Counter(paths), left_out)
    return turn, text


def _read(line: bytes, message: str) -> tuple[Any, bool]:
    """A line as plain values, and whether it may hold NaN or infinities; raises `Fault`."""
    try:
        if not _may_lack_numbers(line):
            return _decode_any(line), False
    except msgspec.ValidationError:
        # A number that is too large for a double, or has thousands of digits.
        pass
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Fault("", _json_reason(str(error))) from None
    except RecursionError:
        raise Fault("", "nested too deeply") from None
    try:
        record = json.loads(line.decode(), parse_int=_whole)
        if b"\\u" in line:
            # Python reads half of a surrogate pair, which is no text.
            _encode(record)
    except UnicodeError:
        raise Fault("", "not valid Unicode") from None
    except ValueError:
        raise Fault("", _json_reason(message)) from None
    except RecursionError:
        raise Fault("", "nested too deeply") from None
    return record, True


def _may_lack_numbers(line: bytes) -> bool:
    return any(word in line for word in _NO_NUMBERS)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INT else float(digits)


def _set_aside(
    record: dict[str, Any],
    shape: Shape,
    path: str,
    general: str,
    extra: dict[str, Any],
    paths: set[str],
) -> None:
    """Move unknown fields of `record` into `extra`, by path, and add their paths to `paths`.

    `general` is the path for counting, with `[]` in place of indices. A record that is written as
    text is read first. Raises `Fault` if there are too many unknown fields.
    """
    fields = shape.fields
    unknown = [name for name in record if name not in fields]
    if len(extra) + len(unknown) > MOST_UNKNOWN:
        raise Fault("", f"more than {MOST_UNKNOWN:,} unknown fields")
    for name in unknown:
        extra[path + name] = record.pop(name)
        paths.add(general + name)
    for name, below in shape.nested.items():
        value = record.get(name)
        if not value:
            continue
        if isinstance(value, str):
            value = record[name] = _unpacked(value)
        if not below.records:
            continue
        if below.each is not None:
            if isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        inner = f"{path}{name}[{index}]."
                        _set_aside(item, below.each, inner, f"{general}{name}[].", extra, paths)
        elif isinstance(value, dict):
            _set_aside(value, below, f"{path}{name}.", f"{general}{name}.", extra, paths)


def _unpacked(text: str) -> Any:
    """The object or list that a text holds as JSON, as tables keep them; else the text."""
    if text == "null":
        return None
    if text[0] not in "{[":
        return text
    try:
        value = json.loads(text, parse_int=_whole)
        if "\\u" in text:
            _encode(value)
    except UnicodeError:
        raise Fault("", "not valid Unicode") from None
    except (ValueError, RecursionError):
        return text
    return value


# -- numbers ---------------------------------------------------------------------------------------


def _drop_senseless(value: Any, shape: Shape, path: str, left_out: Left) -> Any:
    """`value` without the numbers in it that are none, or beyond what they can mean.

    Records are changed in place; `path` has `[]` in place of indices. A probability beyond its
    bounds by no more than rounding is put on them, and one further off is left, as an error. A
    whole number that is written as 1.0 is one, and a leap second is the last instant before it.
    """
    if isinstance(value, float) and not math.isfinite(value) and shape.kind != "any":
        # As pandas writes what is missing, whatever the field is.
        left_out[NOT_A_NUMBER, path] += 1
        return None
    if shape.kind == "record" and isinstance(value, dict):
        for name, item in value.items():
            if name in shape.fields:
                inner = f"{path}.{name}" if path else name
                value[name] = _drop_senseless(item, shape.fields[name], inner, left_out)
    elif shape.kind == "list" and isinstance(value, list) and shape.each is not None:
        for index, item in enumerate(value):
            value[index] = _drop_senseless(item, shape.each, f"{path}[]", left_out)
    elif shape.kind == "map" and isinstance(value, dict) and shape.each is not None:
        for name, item in value.items():
            value[name] = _drop_senseless(item, shape.each, f"{path}.{name}", left_out)
    elif shape.kind == "whole" and isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _LARGEST_WHOLE else value
    elif shape.kind == "time" and isinstance(value, str):
        return _without_leap(value)
    elif shape.kind == "number":
        return _sensible(value, shape, path, left_out)
    return value


_LEAP = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):60(?:\.\d+)?([Zz]|[+-]\d\d:?\d\d)")


def _without_leap(text: str) -> str:
    """A time in RFC 3339; of a leap second, which is one before midnight in UTC, the last instant
    before it, as no clock here has it."""
    leap = _LEAP.fullmatch(text)
    if not leap:
        return text
    last = f"{leap[1]}:59.999999{leap[2]}"
    try:
        minute = msgspec.convert(last, datetime).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        return text
    return last if (minute.hour, minute.minute) == (23, 59) else text


def _sensible(value: Any, shape: Shape, path: str, left_out: Left) -> Any:
    if value in _NO_NUMBER_TEXTS:
        left_out[NOT_A_NUMBER, path] += 1
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or shape.bounds is None:
        return value
    if shape.bounds.hold(value):
        return value
    if shape.bounds == PROBABILITY:
        near = min(max(value, 0), 1)
        return near if abs(value - near) <= ROUNDING else value
    left_out[OUT_OF_RANGE, path] += 1
    return None


# -- explanations ----------------------------------------------------------------------------------

_AT = re.compile(r" - at `(?:key in )?\$\.?(?P<path>.*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
_TYPE = re.compile(r"Expected `(?P<want>.+)`, got `(?P<got>.+)`$")
_LIMIT = re.compile(r"Expected `(?:int|float)` (?P<limit>[<>]= [-\d.]+)$")
_CHOICE = re.compile(r"Expected `str` matching regex '\^\((?P<choices>.*)\)\$'$")
_REQUIRED = ("turn_id", "dialogue_id", "turn_index", "started_at")
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
        percent = isinstance(value, int | float) and 1 < value <= 100 and "[0, 1]" in expected
        hint = "; divide a percentage by 100" if percent else ""
        return path, f"expected {expected}, got {_quote(value)}{hint}"
    if "length >= 1" in text:
        return path, "expected text that is not empty"
    if choice := _CHOICE.search(text):
        choices = " or ".join(choice["choices"].split("|"))
        return path, f"expected {choices}, got {_quote(value)}"
    if kind := _TYPE.search(text):
        if kind["got"] == "null" and path in _REQUIRED:
            return path, "required, but missing"
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


def cut_sql(text: str, table: str) -> str:
    """SQL for a text as the quarantine keeps it, like `cut`; the ids are columns of `table`."""
    ids = ", ".join(f"'{name}: ' || to_json({table}.{name})::VARCHAR" for name in _IDS)
    named = f"concat_ws(', ', {ids})"
    end = (
        f"CASE WHEN length({named}) < {EXCERPT // 2} "
        f"THEN {literal(CUT)} || ' (' || {named} || ')' ELSE {literal(CUT)} END"
    )
    return (
        f"CASE WHEN length({text}) <= {EXCERPT} THEN {text} "
        f"ELSE left({text}, {EXCERPT} - length({end})) || {end} END"
    )


def _text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
