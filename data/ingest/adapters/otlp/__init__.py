"""Traces of voice agents in the OpenTelemetry protocol (OTLP).

Files of exporters and of the Collector: protobuf, one request or several; JSON, one request per
line or one document; folders of single requests. Spans of three instrumentations become turns, each
as its module says: `pipecat`, `livekit` (LiveKit Agents), `openinference`.
Other spans of their traces, such as those of HTTP or of databases, are passed over.

A span is exported when it ends, so that a turn's parts come in any order and in several requests,
and the root of a conversation last, or never. The pieces of a trace are a group.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, BinaryIO, get_args

import msgspec

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.json_documents import without_words
from data.ingest.adapters.otlp import livekit, openinference, pipecat
from data.ingest.adapters.otlp.conversation import Conversation
from data.ingest.adapters.otlp.json_spans import (
    requests_of_document,
    spans_of_json,
    spans_of_object,
)
from data.ingest.adapters.otlp.protobuf_spans import (
    behind_length,
    messages,
    spans_of_message,
)
from data.ingest.adapters.otlp.span import Reader
from data.ingest.block import LONGEST_LINE
from data.ingest.validation import Fault

_JSON_MARKS = (b'"resourceSpans"', b'"resource_spans"')
_BOM = b"\xef\xbb\xbf"
_ZSTD = b"\x28\xb5\x2f\xfd"
# The ids of a span in protobuf: its first two fields.
_IDS = re.compile(rb"\x0a\x10.{16}\x12\x08.{8}", re.DOTALL)
# What marks a record as protobuf.
_PROTOBUF = b"\0otlp\0"
# Bytes of a JSON document that is decoded as a whole; a larger one is read span by span.
_DOCUMENT = 32 << 20

_Record = pipecat.Records | livekit.Records | openinference.Records
_pack = msgspec.msgpack.Encoder().encode
_unpack: Callable[[bytes], Any] = msgspec.msgpack.Decoder(_Record).decode
# By the type of record: whose turns it belongs to, and what makes them.
_FAMILIES: dict[type, Callable[[], Conversation]] = {
    **dict.fromkeys(get_args(pipecat.Records), pipecat.PipecatCall),
    **dict.fromkeys(get_args(livekit.Records), livekit.LiveKitSession),
    openinference.Part: openinference.OpenInferenceTrace,
}


@lru_cache(4_096)
def _choose(scope: str, name: str) -> Reader | None:
    """What reads a span, by the name of its scope and its own; None for those of no interest."""
    for chosen in (pipecat.chosen, livekit.chosen, openinference.chosen):
        reader = chosen(scope, name)
        if reader is not None:
            return reader
    return None


def _piece(reader: Reader, span: Any) -> Piece | None:
    record = reader.read(span)
    if record is None:
        return None
    return Piece(span.trace, span.start, span.id, _pack(record))


class Otlp:
    """Reads OTLP files; see `data.ingest.adapters.adapter.Adapter`."""

    name = "otlp"
    title = "OpenTelemetry traces of Pipecat, LiveKit Agents or OpenInference"
    needs = (
        "spans named stt or llm_response of a scope pipecat…, user_turn or agent_turn of "
        "livekit-agents, or pipecat.conversation.turn of OpenInference"
    )
    cannot_know: tuple[str, ...] = (
        "the wake word",
        "ASR alternatives, and confidence but in LiveKit Agents",
        "NLU confidence: intents are the tools that a language model called",
        "entity candidates",
        "whether a request succeeded that ended without an error",
        "expect weaker verdicts on ASR and NLU, and hardly any on ER and results",
    )

    def recognises(self, head: bytes) -> bool:
        if any(mark in head for mark in _JSON_MARKS):
            return True
        return _is_protobuf(head)

    def reading(self, head: bytes) -> Reading:
        if _is_protobuf(head):
            return Reading.CUT
        text = without_words(head)[0].lstrip()
        first, *rest = text.split(b"\n")
        if text.startswith(b"["):
            # An array, unless it is a bracket before the first of several lines.
            spoilt = first.strip() != b"[" and not first.rstrip().endswith(b",")
            return Reading.LINES if spoilt and any(map(_is_request, rest)) else Reading.WHOLE
        if not rest and len(head) > LONGEST_LINE:
            return Reading.WHOLE
        if not rest or _is_json(first) or any(map(_is_request, rest)):
            return Reading.LINES
        return Reading.WHOLE

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        buffered: Any = stream if hasattr(stream, "peek") else io.BufferedReader(stream)
        if _may_be_protobuf(buffered.peek(8)[:8]):
            for number, message in messages(buffered):
                if isinstance(message, Fault) or message.lstrip()[:1] == b"{":
                    yield number, message
                else:
                    yield number, _PROTOBUF + message
            return
        read = buffered.read(_DOCUMENT)
        document, words = without_words(read)
        if words:
            yield 1, words
        first = 2 if words else 1
        if len(read) < _DOCUMENT and _is_json(document):
            yield first, document
            return
        yield from enumerate(requests_of_document(document, buffered), first)

    def pieces(self, record: Any) -> Iterable[Piece]:
        if not isinstance(record, bytes):
            found = spans_of_object(record, _choose)
        elif record.startswith(_PROTOBUF):
            found = spans_of_message(record[len(_PROTOBUF) :], _choose)
        else:
            found = spans_of_json(record.removeprefix(_BOM), _choose)
        first: Fault | None = None
        others = 0
        for each in found:
            try:
                if isinstance(each, Fault):
                    raise each
                if piece := _piece(*each):
                    yield piece
            except Fault as fault:
                others += first is not None
                first = first or fault.with_traceback(None)
        if first is not None:
            more = f"; so are {others:,} more of its spans" if others else ""
            raise Fault(first.field, first.reason + more)

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        conversations: dict[Callable[[], Conversation], Conversation] = {}
        for piece in pieces:
            record = _unpack(piece.data)
            begin = _FAMILIES[type(record)]
            conversation = conversations.get(begin)
            if conversation is None:
                conversation = conversations[begin] = begin()
            yield from conversation.add(piece, record)
        for conversation in conversations.values():
            yield from conversation.close()


def _may_be_protobuf(head: bytes) -> bool:
    # JSON in lines may begin with an empty one, whose byte is that of the first field.
    plain = head[:1] == b"\n" and head.lstrip()[:1] not in (b"{", b"[")
    return plain or behind_length(head)


def _is_protobuf(head: bytes) -> bool:
    if not _may_be_protobuf(head):
        return False
    packed = behind_length(head) and head[4:8] == _ZSTD
    return packed or _IDS.search(head) is not None


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_request(line: bytes) -> bool:
    line = line[:256].lstrip()
    return line.startswith(b"{") and any(mark in line for mark in _JSON_MARKS)


ADAPTER = Otlp()
