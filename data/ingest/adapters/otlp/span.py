"""A span as the instrumentations' modules see it, and the values of its attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from data.ingest.adapters.common import as_text, items, mapping, number_or_none, text_or_none
from data.ingest.validation import Fault

_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN = re.compile(r"(?!0{16})[0-9a-f]{16}")
# Microseconds of the last moment of the year 9999.
_LAST = 253_402_300_799_999_999
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_ERROR = re.compile(r"[A-Za-z_][\w.]{0,79}")
# What instrumentations write where they know nothing.
_UNKNOWN = ("unknown", "NOT_GIVEN", "None", "")
_nested = msgspec.json.Decoder().decode


class Span(NamedTuple):
    """A span of which a turn may be made.

    Attributes
    ----------
    trace, id, parent: in lower-case hexadecimal; the parent of a root is empty. start, end:
    microseconds since 1970. failed: the kind of error that it ended with, None if it did not.
    service, version: of the resource. attributes: those that its reader wants.
    """

    trace: str
    id: str
    parent: str
    start: int
    end: int
    failed: str | None
    service: str | None
    version: str | None
    attributes: dict[str, Any]

    @property
    def length_ms(self) -> float | None:
        """Its duration; None where it has no end, or ends before it begins."""
        return (self.end - self.start) / 1_000 if self.end >= self.start else None

    def text(self, name: str) -> str | None:
        """A text attribute without spaces around it; None where it is empty or says nothing."""
        value = self.attributes.get(name)
        if not isinstance(value, str):
            return None
        value = value.strip()
        return None if value in _UNKNOWN else value

    def number(self, name: str) -> float | None:
        """A numeric attribute."""
        return number_or_none(self.attributes.get(name))

    def flag(self, name: str) -> bool | None:
        """A truth value, or the text of one."""
        value = self.attributes.get(name)
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.strip().lower())
        return value if isinstance(value, bool) else None


class Reader(NamedTuple):
    """What makes the piece of a span.

    Attributes
    ----------
    read: the record of a span, None where no turn needs it; raises `Fault` where the span lacks
    what it must have. wanted: the attributes that are looked at.
    """

    read: Callable[[Span], Any]
    wanted: frozenset[str]


class Call(msgspec.Struct, array_like=True, frozen=True):
    """A call of a tool: an intent with its slots.

    Attributes
    ----------
    failed: what went wrong, as far as the tool's answer says; None if nothing, or if unknown.
    """

    id: str | None
    name: str
    slots: list[tuple[str, str]] = []
    failed: str | None = None

    def hypothesis(self) -> dict[str, Any]:
        """The call as a hypothesis of the NLU."""
        slots = [{"name": name, "value": value} for name, value in self.slots]
        return {"intent": self.name, "slots": slots}


def made(
    trace: Any, span: Any, parent: Any, start: int, end: int, failed: str | None,
    service: tuple[str | None, str | None], attributes: dict[str, Any],
) -> Span:  # fmt: skip
    """A span from its ids and its times in nanoseconds; raises `Fault` where these are none."""
    if _TRACE.fullmatch(trace) is None:
        raise Fault("traceId", "expected 32 hexadecimal digits, not all of them zero")
    if _SPAN.fullmatch(span) is None:
        raise Fault("spanId", "expected 16 hexadecimal digits, not all of them zero")
    at = (start + 500) // 1_000
    if not 0 < at <= _LAST:
        raise Fault("startTimeUnixNano", "expected nanoseconds since 1970, up to the year 9999")
    end = (end + 500) // 1_000
    if not 0 <= end <= _LAST:
        end = 0
    return Span(trace, span, parent, at, end, failed, *service, attributes)


def error_of(code: Any, message: Any) -> str | None:
    """The kind of error of a status: the exception's name where its message begins with one, never
    the rest of the message, which may hold anything."""
    if code not in (2, "2", "STATUS_CODE_ERROR"):
        return None
    head, colon, _ = message.partition(":") if isinstance(message, str) else ("", "", "")
    return head if colon and _ERROR.fullmatch(head) else "error"


def service_of(attributes: Callable[[str], Any]) -> tuple[str | None, str | None]:
    """Name and version of a resource's service; the SDK's stand-in for a missing name is none."""
    name, version = (text_or_none(attributes(f"service.{what}")) for what in ("name", "version"))
    return None if name and name.startswith("unknown_service") else name, version


def locale_of(text: str | None) -> str | None:
    """A language tag; None for what is none, such as "multi" with more than three letters."""
    tag = text.replace("_", "-") if text else ""
    return tag if _LOCALE.fullmatch(tag) else None


def json_of(value: Any) -> Any:
    """The JSON in an attribute's text, or the value itself; None where the text is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return _nested(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def slots_of(arguments: Any) -> list[tuple[str, str]]:
    """A tool's arguments, an object or its JSON, as names and values of slots."""
    return [(name, as_text(value)) for name, value in mapping(json_of(arguments)).items()]


def failure_of(answer: Any) -> str | None:
    """What a tool's answer, an object or its JSON, says went wrong: of its field `error`."""
    error = mapping(json_of(answer)).get("error")
    if isinstance(error, dict):
        error = error.get("code", error.get("type", True))
    if isinstance(error, str) and error.strip():
        return error if _ERROR.fullmatch(error) else "error"
    return "error" if error and not isinstance(error, str) else None


def parts(content: Any) -> Iterator[dict[str, Any]]:
    """The objects in a message's content."""
    return (part for part in items(content) if isinstance(part, dict))


def spoken(content: Any) -> str:
    """The text of a message's content, which is a text, or a list of parts."""
    if isinstance(content, str):
        return content.strip()
    texts = (part.get("text") for part in parts(content))
    return " ".join(text.strip() for text in texts if isinstance(text, str))
