"""Spans from OTLP protobuf: requests one after the other, plain or each behind its length.

A file is cut into messages `ResourceSpans` without decoding them. What is too large for one
record, or cut off at the end of the file, is taken apart down to its spans, so that every whole
span counts.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from data.ingest.adapters.common import CUT_OFF
from data.ingest.adapters.otlp.json_spans import Choice, Read
from data.ingest.adapters.otlp.span import Reader, Span, error_of, made, service_of
from data.ingest.validation import Fault

# Bytes of one record; a larger message is taken apart.
_RECORD = 4 << 20
# Bytes of what has to be held as a whole: a span, a resource, a message behind its length.
_WHOLE = 64 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"
# What stands before the bytes of a field with the number 1 or 2.
_FIRST, _SECOND = 0x0A, 0x12
_UNDECODABLE = "not a message of the OpenTelemetry protocol"


class _Cut(Exception):
    """The data ends within a message."""


# -- cutting ---------------------------------------------------------------------------------------


def behind_length(head: bytes) -> bool:
    """Whether a file holds messages behind their lengths in four bytes, as the Collector's file
    exporter writes them, perhaps each of them packed."""
    return len(head) > 5 and head[0] < 8 and (head[4] == _FIRST or head[4:8] == _ZSTD)


def messages(stream: io.BufferedReader) -> Iterator[tuple[int, bytes | Fault]]:
    """The messages `ResourceSpans` of a file with their numbers; raises `Fault` where it ends in
    the middle of one, or goes on with something else."""
    lengths = behind_length(stream.peek(8)[:8])
    yield from enumerate(_behind_lengths(stream) if lengths else fields_of_request(stream), 1)


def _behind_lengths(stream: BinaryIO) -> Iterator[bytes | Fault]:
    while length := stream.read(4):
        size = int.from_bytes(length, "big")
        if len(length) < 4:
            raise Fault("", CUT_OFF)
        if size > _WHOLE:
            raise Fault("", f"a message of {size:,} bytes; expected at most {_WHOLE:,}")
        body = stream.read(size)
        if body.startswith(_ZSTD):
            if len(body) < size:
                raise Fault("", CUT_OFF)
            try:
                body = pa.CompressedInputStream(pa.BufferReader(body), "zstd").read(_WHOLE)
            except OSError:
                yield Fault("", "packed data that cannot be unpacked")
                continue
        if body.lstrip()[:1] == b"{":
            yield body
            continue
        try:
            yield from fields_of_request(io.BytesIO(body))
        except Fault as fault:
            if len(body) < size:
                raise
            yield fault.with_traceback(None)
        if len(body) < size:
            raise Fault("", CUT_OFF)


def fields_of_request(stream: BinaryIO) -> Iterator[bytes]:
    """The messages `ResourceSpans` of a request, or of several that follow each other; raises
    `Fault` as `messages` does."""
    try:
        while (tag := _varint(stream, at_end=True)) is not None:
            if tag != _FIRST:
                _skip(stream, tag)
                continue
            size = _size(stream)
            if size > _RECORD:
                yield from _resource(_Part(stream, size))
                continue
            body = stream.read(size)
            if len(body) < size:
                yield from _resource(_Part(io.BytesIO(body), size))
                raise _Cut
            yield body
    except _Cut:
        raise Fault("", CUT_OFF) from None


class _Part:
    """The next `size` bytes of a stream, which may end before them."""

    def __init__(self, stream: Any, size: int) -> None:
        self.left = size
        self._stream = stream

    def read(self, size: int) -> bytes:
        if size > self.left:
            raise Fault("", _UNDECODABLE)
        data: bytes = self._stream.read(size)
        self.left -= len(data)
        return data


def _resource(part: _Part) -> Iterator[bytes]:
    """A message `ResourceSpans` in several, each with the resource and some whole spans."""
    resource = b""
    while part.left:
        tag = _varint(part)
        if tag == _FIRST:
            resource = _framed(_FIRST, _whole(part))
        elif tag == _SECOND:
            size = _size(part)
            for scoped in _scope(_Part(part, size)):
                yield resource + _framed(_SECOND, scoped)
        else:
            _skip(part, tag)


def _scope(part: _Part) -> Iterator[bytes]:
    """A message `ScopeSpans` in several; what is whole of it before it is cut off."""
    scope = b""
    spans: list[bytes] = []
    held = 0
    end: Exception | None = None
    while part.left and end is None:
        try:
            tag = _varint(part)
            if tag == _FIRST:
                scope = _framed(_FIRST, _whole(part))
            elif tag == _SECOND:
                spans.append(_framed(_SECOND, _whole(part)))
                held += len(spans[-1])
            else:
                _skip(part, tag)
        except (_Cut, Fault) as error:
            end = error
        if held > _RECORD:
            yield scope + b"".join(spans)
            spans, held = [], 0
    if spans:
        yield scope + b"".join(spans)
    if end is not None:
        raise end


def _varint(stream: Any, at_end: bool = False) -> Any:
    """The next number; None at the end of the stream, if it may end here."""
    value = shift = 0
    while shift < 64:
        byte = stream.read(1)
        if not byte:
            if at_end and not shift:
                return None
            raise _Cut
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    raise Fault("", _UNDECODABLE)


def _size(stream: Any) -> int:
    size: int = _varint(stream)
    if size > 1 << 40:
        raise Fault("", _UNDECODABLE)
    return size


def _whole(part: _Part) -> bytes:
    size = _size(part)
    if size > _WHOLE:
        raise Fault("", f"a span of {size:,} bytes; expected at most {_WHOLE:,}")
    data = part.read(size)
    if len(data) < size:
        raise _Cut
    return data


def _skip(stream: Any, tag: int) -> None:
    """Pass over a field that is not needed."""
    kind = tag & 7
    if not tag >> 3:
        raise Fault("", _UNDECODABLE)
    if kind == 0:
        _varint(stream)
    elif kind in (1, 5):
        size = 8 if kind == 1 else 4
        if len(stream.read(size)) < size:
            raise _Cut
    elif kind == 2:
        left = _size(stream)
        while left:
            data = stream.read(min(left, 1 << 16))
            if not data:
                raise _Cut
            left -= len(data)
    else:
        raise Fault("", _UNDECODABLE)


def _framed(tag: int, data: bytes) -> bytes:
    """A field of bytes with its tag and length."""
    size = len(data)
    head = bytearray((tag,))
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + data


# -- decoding --------------------------------------------------------------------------------------


def spans_of_message(data: bytes, choose: Choice) -> Iterator[Read]:
    """The spans of a message `ResourceSpans` that `choose` (scope, name) has a reader for; faults
    of single spans beside them."""
    try:
        message = ResourceSpans.FromString(data)
    except DecodeError:
        yield from _one_by_one(data, choose)
        return
    yield from _spans(message, choose)


def _spans(message: Any, choose: Choice) -> Iterator[Read]:
    service: tuple[str | None, str | None] | None = None
    for scoped in message.scope_spans:
        scope = scoped.scope.name
        for span in scoped.spans:
            reader = choose(scope, span.name)
            if reader is None:
                continue
            if service is None:
                described = {each.key: each.value for each in message.resource.attributes}
                service = service_of({k: _value(v) for k, v in described.items()}.get)
            try:
                yield reader, _span(span, reader, service)
            except Fault as fault:
                yield fault


def _one_by_one(data: bytes, choose: Choice) -> Iterator[Read]:
    """The spans of a message of which something cannot be decoded."""
    faults = 0
    resource: bytes | None = None
    try:
        part = _Part(io.BytesIO(data), len(data))
        while part.left:
            tag = _varint(part)
            if tag == _FIRST:
                resource = _framed(_FIRST, _whole(part))
            elif tag == _SECOND:
                inner = _whole(part)
                scope, scoped = b"", _Part(io.BytesIO(inner), len(inner))
                while scoped.left:
                    tag = _varint(scoped)
                    if tag == _FIRST:
                        scope = _framed(_FIRST, _whole(scoped))
                    elif tag == _SECOND:
                        span = _framed(_SECOND, _whole(scoped))
                        alone = (resource or b"") + _framed(_SECOND, scope + span)
                        try:
                            yield from _spans(ResourceSpans.FromString(alone), choose)
                        except DecodeError:
                            faults += 1
                    else:
                        _skip(scoped, tag)
            else:
                _skip(part, tag)
    except (_Cut, Fault):
        yield Fault("", _UNDECODABLE)
    if faults:
        yield Fault("", f"{_UNDECODABLE}, in {faults:,} of its spans")


def _span(span: Any, reader: Reader, service: tuple[str | None, str | None]) -> Span:
    wanted = reader.wanted
    attributes: dict[str, Any] = {}
    for each in span.attributes:
        key = each.key
        if key in wanted:
            value = each.value
            # Mostly a text, which is quicker to ask for than what there is.
            attributes[key] = value.string_value or _value(value)
    status = span.status
    return made(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        error_of(status.code, status.message) if status.code else None,
        service,
        attributes,
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: _value(each.value) for each in value.kvlist_value.values}
    return getattr(value, kind)
