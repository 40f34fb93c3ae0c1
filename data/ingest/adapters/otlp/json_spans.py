"""Spans from OTLP JSON: the requests of exporters, one document or one per line.

Decoded into the few fields that are needed; what does not fit these types, though the protocol may
allow it, is decoded again as any JSON and read field by field.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import ijson
import msgspec

from data.ingest.adapters.common import decoded, items, mapping
from data.ingest.adapters.json_documents import UNREADABLE, parsed, unreadable
from data.ingest.adapters.otlp.span import Reader, Span, error_of, made, service_of
from data.ingest.validation import Fault

_Number = int | str | None
Choice = Callable[[str, str], Reader | None]
Read = tuple[Reader, Span] | Fault


# What is decoded later, if at all; empty where it is missing.
_NOTHING = msgspec.Raw()


class _Value(msgspec.Struct, gc=False):
    stringValue: str | None = None
    boolValue: bool | None = None
    intValue: _Number = None
    doubleValue: float | str | None = None
    arrayValue: msgspec.Raw = _NOTHING
    kvlistValue: msgspec.Raw = _NOTHING
    bytesValue: str | None = None


class _Attribute(msgspec.Struct, gc=False):
    key: str
    value: _Value | None = None


class _Status(msgspec.Struct, gc=False):
    code: _Number = None
    message: str | None = None


class _Span(msgspec.Struct, gc=False):
    traceId: str
    spanId: str
    name: str
    startTimeUnixNano: int | str
    endTimeUnixNano: _Number = None
    parentSpanId: str | None = None
    attributes: msgspec.Raw = _NOTHING
    status: _Status | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None


class _ScopeSpans(msgspec.Struct, gc=False):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Attribute] | None = None


class _ResourceSpans(msgspec.Struct, gc=False):
    resource: _Resource | None = None
    scopeSpans: list[_ScopeSpans] | None = None


class _Request(msgspec.Struct, gc=False):
    resourceSpans: list[_ResourceSpans]


_request = msgspec.json.Decoder(_Request).decode
_attributes = msgspec.json.Decoder(list[_Attribute]).decode
_any = msgspec.json.Decoder().decode
# Spans of a large document that are handed on together.
_SPANS = 256
_PLACES = re.compile(
    r"(?:^|\.)(?:resourceSpans|resource_spans)\.item(?:"
    r"(?P<newresource>)|(?P<resource>\.resource)|\.(?:scopeSpans|scope_spans)\.item(?:"
    r"(?P<newscope>)|(?P<scope>\.scope)|(?P<span>\.spans\.item)))$"
)


def spans_of_json(line: bytes, choose: Choice) -> Iterator[Read]:
    """The spans of a request that `choose` (scope, name) has a reader for.

    Raises `Fault` where the line is no JSON, or no request.
    """
    try:
        request = _request(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield from spans_of_object(decoded(line), choose)
        return
    if any(resource.scopeSpans is None for resource in request.resourceSpans):
        yield from spans_of_object(decoded(line), choose)
        return
    for resource in request.resourceSpans:
        service: tuple[str | None, str | None] | None = None
        for scoped in resource.scopeSpans or ():
            scope = (scoped.scope.name if scoped.scope else None) or ""
            for span in scoped.spans or ():
                reader = choose(scope, span.name)
                if reader is None:
                    continue
                if service is None:
                    service = _service(resource)
                try:
                    yield reader, _typed(span, reader, service)
                except Fault as fault:
                    yield fault


def _service(resource: _ResourceSpans) -> tuple[str | None, str | None]:
    given = (resource.resource.attributes if resource.resource else None) or ()
    texts = {each.key: each.value.stringValue for each in given if each.value}
    return service_of(texts.get)


def _typed(span: _Span, reader: Reader, service: tuple[str | None, str | None]) -> Span:
    raw = span.attributes
    attributes: dict[str, Any] = {}
    if raw:
        try:
            given = _attributes(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            attributes = _values(decoded(bytes(raw)), reader.wanted)
        else:
            wanted = reader.wanted
            for each in given:
                value = each.value
                if each.key in wanted and value is not None:
                    text = value.stringValue
                    attributes[each.key] = _typed_value(value) if text is None else text
    status = span.status
    trace, own, parent = span.traceId, span.spanId, span.parentSpanId
    return made(
        trace.lower() if len(trace) == 32 else _hex(trace, 16),
        own.lower() if len(own) == 16 else _hex(own, 8),
        _hex(parent, 8) if parent else "",
        _whole(span.startTimeUnixNano),
        _whole(span.endTimeUnixNano),
        error_of(status.code, status.message) if status else None,
        service,
        attributes,
    )


def _typed_value(value: _Value) -> Any:
    """A value that is no text."""
    if value.boolValue is not None:
        return value.boolValue
    if value.intValue is not None:
        return _int(value.intValue)
    if value.doubleValue is not None:
        return value.doubleValue
    if value.arrayValue:
        return _value({"arrayValue": _any(value.arrayValue)})
    if value.kvlistValue:
        return _value({"kvlistValue": _any(value.kvlistValue)})
    return value.bytesValue


# -- whatever the JSON holds -----------------------------------------------------------------------


def spans_of_object(request: Any, choose: Choice) -> Iterator[Read]:
    """The spans of a request as any JSON, with names in lowerCamelCase or snake_case.

    Raises `Fault` where it is no request.
    """
    if not isinstance(request, dict):
        raise Fault("", "expected a JSON object")
    resources = _field(request, "resourceSpans")
    if resources is None:
        if any(_field(request, name) is not None for name in ("resourceLogs", "resourceMetrics")):
            return
        raise Fault("resourceSpans", "missing; expected a request of the OpenTelemetry protocol")
    if not isinstance(resources, list):
        raise Fault("resourceSpans", "expected an array")
    for resource in resources:
        described = _values(mapping(_field(mapping(resource), "resource")).get("attributes"), None)
        service = service_of(described.get)
        for scoped in items(_field(mapping(resource), "scopeSpans")):
            scope = mapping(mapping(scoped).get("scope")).get("name")
            for span in items(mapping(scoped).get("spans")):
                try:
                    if found := _untyped(mapping(span), scope, service, choose):
                        yield found
                except Fault as fault:
                    yield fault


def requests_of_document(begin: bytes, rest: BinaryIO) -> Iterator[dict[str, Any]]:
    """The spans of a document, or of several that follow each other, as requests of some spans.

    `begin` are its first bytes, `rest` what follows. Raises `Fault` where it is no JSON from some
    point on, or cut off.
    """
    resource: Any = {}
    scope: Any = {}
    spans: list[Any] = []

    def request() -> dict[str, Any]:
        scoped = {"scope": scope, "spans": spans[:]}
        spans.clear()
        return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}

    fault: Fault | None = None
    try:
        for what, value in _described(_Joined(begin, rest)):
            if what == "span":
                spans.append(value)
            if spans and (what != "span" or len(spans) >= _SPANS):
                yield request()
            if what == "resource":
                resource, scope = value, {}
            elif what == "scope":
                scope = value
    except (*UNREADABLE, RecursionError) as error:
        fault = unreadable(error)
    if spans:
        yield request()
    if fault is not None:
        raise fault


class _Joined:
    """Bytes, and then a stream."""

    def __init__(self, begin: bytes, rest: BinaryIO) -> None:
        self._begin = io.BytesIO(begin)
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        return self._begin.read(size) or self._rest.read(size)


def _described(stream: _Joined) -> Iterator[tuple[str, Any]]:
    """Resources, scopes and spans of a document in their order; a scope or resource ends, too,
    where its object begins (an empty one)."""
    builder: ijson.ObjectBuilder | None = None
    inside, what = "", ""
    for prefix, event, value in parsed(ijson.parse_coro, stream):
        if builder is not None:
            builder.event(event, value)
            if event == "end_map" and prefix == inside:
                yield what, builder.value
                builder = None
        elif event == "start_map":
            end = _PLACES.search(prefix)
            if end is None:
                continue
            what, inside = end.lastgroup or "", prefix
            if what in ("newresource", "newscope"):
                yield what.removeprefix("new"), {}
            else:
                builder = ijson.ObjectBuilder()
                builder.event(event, value)


def _untyped(
    span: dict[str, Any], scope: Any, service: tuple[str | None, str | None], choose: Choice
) -> tuple[Reader, Span] | None:
    name = span.get("name")
    if not isinstance(name, str):
        return None
    reader = choose(scope if isinstance(scope, str) else "", name)
    if reader is None:
        return None
    status = mapping(span.get("status"))
    parent = _field(span, "parentSpanId")
    return reader, made(
        _hex(_field(span, "traceId"), 16),
        _hex(_field(span, "spanId"), 8),
        _hex(parent, 8) if parent else "",
        _whole(_field(span, "startTimeUnixNano")),
        _whole(_field(span, "endTimeUnixNano")),
        error_of(status.get("code"), status.get("message")),
        service,
        _values(span.get("attributes"), reader.wanted),
    )


def _field(record: dict[str, Any], name: str) -> Any:
    """A field by its name in lowerCamelCase, or in snake_case."""
    value = record.get(name)
    if value is None:
        value = record.get("".join(f"_{c.lower()}" if c.isupper() else c for c in name))
    return value


def _values(attributes: Any, wanted: frozenset[str] | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in items(attributes):
        key = mapping(each).get("key")
        if isinstance(key, str) and (wanted is None or key in wanted):
            value = _value(mapping(each.get("value")))
            if value is not None:
                values[key] = value
    return values


def _value(value: dict[str, Any]) -> Any:
    """The value of an attribute; None for none, and for kinds that do not exist."""
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        given = _field(value, name)
        if given is not None:
            return given
    given = _field(value, "intValue")
    if given is not None:
        return _int(given)
    array = _field(value, "arrayValue")
    if array is not None:
        return [_value(mapping(each)) for each in items(mapping(array).get("values"))]
    pairs = _field(value, "kvlistValue")
    if pairs is not None:
        return _values(mapping(pairs).get("values"), None)
    return None


def _int(value: Any) -> Any:
    """A 64-bit number, which JSON writes as a text, too; what is none stays as it is."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    return value


def _whole(value: Any) -> int:
    """Nanoseconds, as a number or its text; 0 for everything else."""
    if type(value) is str and len(value) < 21 and value.isdecimal():
        return int(value)
    if isinstance(value, bool):
        return 0
    if isinstance(value, float) and value.is_integer():
        return int(value)
    value = _int(value)
    return value if isinstance(value, int) else 0


def _hex(value: Any, size: int) -> str:
    """An id of `size` bytes in lower-case hexadecimal; some writers put it in base64."""
    if not isinstance(value, str):
        return ""
    if len(value) == 2 * size:
        return value.lower()
    if len(value) == -(-size // 3) * 4 and value.endswith("="):
        try:
            return base64.b64decode(value, validate=True).hex()
        except (binascii.Error, ValueError):
            pass
    return value.lower()
