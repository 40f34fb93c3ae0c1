"""Bodies of OTLP/HTTP requests: checked, and taken apart into spans; and those of the replies.

A span is looked into only as far as it takes to bring it together with the others of its turn. In
JSON, ids are hexadecimal, not Base64 as protobuf's own JSON has it
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
TYPES = (PROTOBUF, JSON)
# Bytes of the ids of a trace and of a span.
_TRACE_ID, _SPAN_ID = 16, 8
# Reasons that a reply names.
_REASONS = 5


class Undecodable(Exception):
    """A body that is no request; the text is the reason."""


class Refused(NamedTuple):
    """A span that is left out, and why; `excerpt` is the span, or what is known of it."""

    field: str
    reason: str
    excerpt: bytes


class Received(NamedTuple):
    """A span.

    Attributes
    ----------
    parent: empty for a root. kind: one of `TYPES`, the encoding of the others. context: its
    resource and its scope. data: the span.
    """

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    kind: str
    context: tuple[bytes, bytes]
    data: bytes


def checked(body: bytes, kind: str) -> tuple[int, list[Refused]]:
    """How many spans a body of one of `TYPES` has, and those of them that are refused.

    Raises `Undecodable`.
    """
    if kind == JSON:
        each = list(spans_of(body, kind))
        return len(each), [span for span in each if isinstance(span, Refused)]
    count = 0
    refused: list[Refused] = []
    for resource in _message(body).resource_spans:
        for scope in resource.scope_spans:
            count += len(scope.spans)
            for span in scope.spans:
                fault = _fault(span.trace_id, span.span_id)
                if fault:
                    refused.append(Refused(*fault, _named(span.name)))
    return count, refused


def spans_of(body: bytes, kind: str) -> Iterator[Received | Refused]:
    """The spans of a body of one of `TYPES`; raises `Undecodable`."""
    return _from_json(body) if kind == JSON else _from_protobuf(body)


def document(kind: str, context: tuple[bytes, bytes], spans: Sequence[bytes]) -> bytes:
    """Spans of one resource and scope as a request of a kind; requests can be concatenated."""
    of_resource, of_scope = context
    if kind == JSON:
        scope = b"{%s%s}" % (of_scope, b'"spans":[%s]' % b",".join(spans))
        return b'{"resourceSpans":[{%s"scopeSpans":[%s]}]}\n' % (of_resource, scope)
    # A serialised message may be continued with further fields.
    scope = of_scope + b"".join(_field(2, span) for span in spans)
    return _field(1, of_resource + _field(2, scope))


def _fault(trace: bytes, span: bytes) -> tuple[str, str] | None:
    if len(trace) != _TRACE_ID or not any(trace):
        return "traceId", f"expected {_TRACE_ID} bytes that are not all zero"
    if len(span) != _SPAN_ID or not any(span):
        return "spanId", f"expected {_SPAN_ID} bytes that are not all zero"
    return None


def _named(name: str) -> bytes:
    return f"a span named {name}".encode()


# -- protobuf --------------------------------------------------------------------------------------


def _message(body: bytes) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise Undecodable("not an OTLP request in protobuf") from None
    return message


def _from_protobuf(body: bytes) -> Iterator[Received | Refused]:
    for resource in _message(body).resource_spans:
        about = ResourceSpans(resource=resource.resource, schema_url=resource.schema_url)
        of_resource = about.SerializeToString()
        for scope in resource.scope_spans:
            named = ScopeSpans(scope=scope.scope, schema_url=scope.schema_url)
            context = of_resource, named.SerializeToString()
            for span in scope.spans:
                trace, own, parent, name = (
                    *(span.trace_id, span.span_id, span.parent_span_id),
                    span.name,
                )
                if fault := _fault(trace, own):
                    yield Refused(*fault, _named(name))
                    continue
                parent = parent if any(parent) else b""
                data = span.SerializeToString()
                yield Received(trace, own, parent, name, PROTOBUF, context, data)


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes((number << 3 | 2,)) + bytes(length) + content


# -- JSON ------------------------------------------------------------------------------------------


class _Scope(msgspec.Struct):
    scope: msgspec.Raw = msgspec.Raw()
    schemaUrl: msgspec.Raw = msgspec.Raw()
    spans: list[msgspec.Raw] | None = None


class _Resource(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()
    schemaUrl: msgspec.Raw = msgspec.Raw()
    scopeSpans: list[_Scope] | None = None


class _Request(msgspec.Struct):
    resourceSpans: list[_Resource] | None = None


class _Span(msgspec.Struct):
    traceId: Any = None
    spanId: Any = None
    parentSpanId: Any = None
    name: Any = None


_request = msgspec.json.Decoder(_Request).decode
_span = msgspec.json.Decoder(_Span).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _from_json(body: bytes) -> Iterator[Received | Refused]:
    try:
        request = _request(body)
    except msgspec.ValidationError as error:
        raise Undecodable(f"not an OTLP request: {error}") from None
    except _BROKEN:
        raise Undecodable("not JSON") from None
    for resource in request.resourceSpans or ():
        of_resource = _members(resource=resource.resource, schemaUrl=resource.schemaUrl)
        for scope in resource.scopeSpans or ():
            of_scope = _members(scope=scope.scope, schemaUrl=scope.schemaUrl)
            for raw in scope.spans or ():
                yield _json_span(bytes(raw), (of_resource, of_scope))


def _json_span(data: bytes, context: tuple[bytes, bytes]) -> Received | Refused:
    try:
        span = _span(data)
    except _BROKEN:
        return Refused("", "expected a span, an object", data)
    trace, own, parent = (_bytes(value) for value in (span.traceId, span.spanId, span.parentSpanId))
    if fault := _fault(trace, own):
        return Refused(*fault, data)
    name = span.name if isinstance(span.name, str) else ""
    return Received(trace, own, parent if any(parent) else b"", name, JSON, context, data)


def _members(**values: msgspec.Raw) -> bytes:
    """The members of a JSON object that are there, each with a comma behind it."""
    given = ((name, bytes(value)) for name, value in values.items())
    return b"".join(b'"%s":%s,' % (name.encode(), value) for name, value in given if value)


def _bytes(value: Any) -> bytes:
    """The bytes of a hexadecimal id; none where it is no such text."""
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return b""


# -- replies ---------------------------------------------------------------------------------------


def success(kind: str, refused: Sequence[Refused]) -> bytes:
    """The body of the reply to a request that was taken, in its type."""
    reasons = "; ".join(
        list(dict.fromkeys(f"{item.field}: {item.reason}".removeprefix(": ") for item in refused))[
            :_REASONS
        ]
    )
    if kind == JSON:
        partial = {"rejectedSpans": str(len(refused)), "errorMessage": reasons}
        return msgspec.json.encode({"partialSuccess": partial} if refused else {})
    response = ExportTraceServiceResponse()
    if refused:
        response.partial_success.CopyFrom(
            ExportTracePartialSuccess(rejected_spans=len(refused), error_message=reasons)
        )
    serialised: bytes = response.SerializeToString()
    return serialised


def failure(kind: str, sentence: str) -> bytes:
    """The body of the reply to a request that was refused: a google.rpc.Status in its type."""
    if kind == JSON:
        return msgspec.json.encode({"message": sentence})
    return _field(2, sentence.encode())
