"""What adapters share: decoding, times, and leaving out what a log does not say."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from data.ingest.validation import Fault

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decode = msgspec.json.Decoder().decode
_pack = msgspec.msgpack.Encoder().encode
unpack: Callable[[bytes], Any] = msgspec.msgpack.Decoder().decode
CUT_OFF = "cut off in the middle; the rest of the file is missing"


def pack(value: Any) -> bytes:
    """What JSON holds as bytes for `unpack`; whole numbers of more than 64 bits become floating.

    Raises `Fault` for what no text or no depth of a log can be.
    """
    try:
        try:
            return _pack(value)
        except OverflowError:
            return _pack(_without_huge_numbers(value))
    except UnicodeEncodeError:
        raise Fault("", "half of a surrogate pair is no text") from None
    except RecursionError:
        raise Fault("", "nested too deeply") from None


def _without_huge_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_huge_numbers(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_huge_numbers(inner) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            return None
    return value


def decoded(line: bytes) -> Any:
    """The JSON of a line; raises `Fault` where it is none."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        # NaN and infinity, which Python's writers leave in.
        value = json.loads(line)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise Fault("", "half of a surrogate pair is no text") from None
    except UnicodeDecodeError:
        raise Fault("", "not valid UTF-8") from None
    except RecursionError:
        raise Fault("", "nested too deeply") from None
    except ValueError as error:
        raise Fault("", f"not JSON: {error}") from None


def json_object(line: bytes) -> dict[str, Any]:
    """The JSON object of a line; raises `Fault` where it is none."""
    record = decoded(line)
    if not isinstance(record, dict):
        raise Fault("", "expected a JSON object")
    return record


def microseconds(value: Any, field: str) -> int:
    """An ISO 8601 time as microseconds since 1970 (UTC where it names no zone); `Fault` if none."""
    if isinstance(value, str):
        text = value.strip()
        if text.endswith(" UTC"):
            text = text[:-4] + "+00:00"
        try:
            time = datetime.fromisoformat(text)
            if time.tzinfo is None:
                time = time.replace(tzinfo=UTC)
            delta = time - _EPOCH
            return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        except (ValueError, OverflowError):
            pass
    raise Fault(field, f"expected an ISO 8601 time, got {shown(value)}")


def seconds(value: Any, field: str) -> int:
    """Seconds since 1970, as a number or its text, in microseconds; `Fault` if it is neither."""
    number = number_or_none(value)
    if number is None or abs(number) > 253_402_300_799:
        raise Fault(field, f"expected seconds since 1970, got {shown(value)}")
    return round(number * 1e6)


def iso(at: int) -> str:
    """Microseconds since 1970 as a time in the trace format; `Fault` beyond the years 1 to 9999."""
    try:
        whole, rest = divmod(at, 1_000_000)
        time = datetime.fromtimestamp(whole, UTC).replace(microsecond=rest)
    except (ValueError, OverflowError, OSError):
        raise Fault("started_at", f"{at} microseconds since 1970 is no date") from None
    return time.isoformat().replace("+00:00", "Z")


def number_or_none(value: Any) -> float | None:
    """A finite number, or the text of one; None for everything else (truth values, too)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def truth(value: Any) -> bool | None:
    """A truth value, or the text of one, as some logs write it; None for everything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def text_or_none(value: Any) -> str | None:
    """A text that is not empty; None for everything else."""
    return value if isinstance(value, str) and value.strip() else None


def as_text(value: Any) -> str:
    """A slot's value as text: itself, or as JSON."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, RecursionError, TypeError):
        # Whole numbers of more than 64 bits.
        return str(value)


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object; an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A JSON array; an empty one for everything else."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON array."""
    return [item for item in items(value) if isinstance(item, dict)]


def without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value; objects that are left without one are left out, lists stay."""
    kept: dict[str, Any] = {}
    for name, value in record.items():
        # Of JSON, whose values have exactly these types.
        kind = type(value)
        if kind is dict:
            value = without_nulls(value)
            if not value:
                continue
        elif kind is list:
            value = [without_nulls(each) if type(each) is dict else each for each in value]
        if value is not None:
            kept[name] = value
    return kept


def shown(value: Any) -> str:
    """A value as messages show it, in at most 80 characters."""
    text = as_text(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
