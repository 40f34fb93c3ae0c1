"""Spans of OpenInference → turns.

`openinference-instrumentation-pipecat` gives every turn a trace of its own: a root
`pipecat.conversation.turn` → `pipecat.stt`, `pipecat.llm`, `pipecat.tts`, `pipecat.tool.NAME`. What
was heard in a turn is one text, though it may have been several utterances. Other instrumentations
of voice name their spans as they like; of these a span with `input.audio.transcript` is a request,
and what stands beside or below it with `output.audio.transcript`, or a tool, belongs to it. Spans
with text alone, of OpenInference or of the GenAI conventions, are of no voice and are ignored.

| span, attribute | trace |
|---|---|
| root: `session.id` | `dialogue_id`; the trace's id where the root did not arrive |
| root: trace and span id, start | `turn_id`, `started_at` |
| root: `input.value`, else stt's | `asr.hypotheses` |
| tool: `tool.name`, `tool_call.function.arguments` | `nlu.hypotheses` |
| tool: an `error` in `tool.result`, status of the span | `result.status`, `acts` |
| tts: `output.value`, else llm's | `result.response` |
| root: `.was_interrupted`, where a tts span has no text | `feedback.barge_in` |
| stt: duration, `service.ttfb_seconds`, `stt.minutes` | `asr.latency_ms`, `signals`, `audio_ms` |
| llm, tts: start, duration | `nlu`, `tts` |
| `user.id` | `user_id` |
| resource: `service.name`, `service.version` | `assistant`, `versions.service` |

`.was_interrupted` is true, too, where a call ends; a response that was cut has no text in its span.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from data.ingest.adapters.adapter import Assembled, Piece, Rejected
from data.ingest.adapters.otlp.conversation import WAITING, Request
from data.ingest.adapters.otlp.span import Call, Reader, Span, failure_of, slots_of
from data.ingest.validation import Fault

_ROOT = "pipecat.conversation.turn"
_TOOL = "pipecat.tool."
_KIND = "openinference.span.kind"


class Part(msgspec.Struct, array_like=True, frozen=True, tag="openinference"):
    """A span.

    Attributes
    ----------
    what: root, stt, llm, tts, tool or request (of other instrumentations). cut: of a root, that the
    turn was interrupted; of a tts span, that it has no text.
    """

    what: str
    span: str
    parent: str
    session: str | None
    user: str | None
    heard: str | None
    said: str | None
    call: Call | None
    cut: bool
    failed: str | None
    model: str | None
    length_ms: float | None
    audio_ms: float | None
    ttfb: float | None
    service: str | None
    version: str | None


Records = Part


# -- spans -----------------------------------------------------------------------------------------


def _part(span: Span, what: str, **known: Any) -> Part:
    minutes = span.number("stt.minutes") if what == "stt" else None
    given = {
        "session": span.text("session.id"),
        "user": span.text("user.id") or span.text("audio.user_id"),
        "heard": None,
        "said": None,
        "call": None,
        "cut": False,
        "failed": span.failed,
        "model": span.text("metrics.model") or span.text("llm.model_name"),
        "length_ms": span.length_ms,
        "audio_ms": minutes * 60_000 if minutes is not None and minutes >= 0 else None,
        "ttfb": span.number("service.ttfb_seconds") if what == "stt" else None,
        "service": span.service,
        "version": span.version,
    }
    return Part(what=what, span=span.id, parent=span.parent, **(given | known))


def _root(span: Span) -> Part:
    cut = span.flag("conversation.was_interrupted") is True
    return _part(span, "root", heard=span.text("input.value"), cut=cut)


def _stt(span: Span) -> Part:
    return _part(span, "stt", heard=span.text("input.value"))


def _llm(span: Span) -> Part:
    return _part(span, "llm", said=span.text("output.value"))


def _tts(span: Span) -> Part:
    said = span.text("output.value")
    return _part(span, "tts", said=said, cut=said is None)


def _tool(span: Span, name: str | None = None) -> Part:
    name = span.text("tool.name") or span.text("tool_call.function.name") or name
    if name is None:
        raise Fault("attributes.tool.name", "missing; a span of the kind TOOL has one")
    attributes = span.attributes
    arguments = next(
        (
            attributes[key]
            for key in ("tool_call.function.arguments", "tool.parameters", "input.value")
            if attributes.get(key) is not None
        ),
        None,
    )
    answer = attributes.get("tool.result", attributes.get("output.value"))
    failed = span.failed or failure_of(answer)
    call = Call(span.text("tool_call.id"), name, slots_of(arguments), failed)
    return _part(span, "tool", call=call, failed=None)


def _other(span: Span) -> Part | None:
    heard, said = (span.text(f"{side}.audio.transcript") for side in ("input", "output"))
    kind = span.text(_KIND)
    if kind == "TOOL":
        # Of an agent without a voice, perhaps, whose spans are none of ours.
        return _tool(span) if span.text("tool.name") else None
    if heard:
        return _part(span, "request", heard=heard, said=said)
    return _part(span, "llm", said=said) if said else None


_COMMON = frozenset(("session.id", "user.id", "metrics.model", "llm.model_name"))
_OF_TOOL = frozenset(
    ("tool.name", "tool_call.function.name", "tool_call.function.arguments", "tool.parameters",
     "tool_call.id", "tool.result", "input.value", "output.value")
)  # fmt: skip
READERS = {
    _ROOT: Reader(_root, _COMMON | {"input.value", "conversation.was_interrupted"}),
    "pipecat.stt": Reader(
        _stt, _COMMON | {"input.value", "stt.minutes", "service.ttfb_seconds", "audio.user_id"}
    ),
    "pipecat.llm": Reader(_llm, _COMMON | {"output.value"}),
    "pipecat.tts": Reader(_tts, _COMMON | {"output.value"}),
}
_OTHER_READER = Reader(
    _other, _COMMON | _OF_TOOL | {_KIND, "input.audio.transcript", "output.audio.transcript"}
)


def chosen(scope: str, name: str) -> Reader | None:
    """The reader of a span of an instrumentation of OpenInference's."""
    if name.startswith("pipecat."):
        if name.startswith(_TOOL):
            # Its name is in the span's, too.
            named = partial(_tool, name=name.removeprefix(_TOOL) or None)
            return Reader(named, _COMMON | _OF_TOOL)
        return READERS.get(name)
    return _OTHER_READER if "openinference" in scope else None


# -- turns -----------------------------------------------------------------------------------------


@dataclass
class _Open:
    """A turn whose spans come in. `heard`: what its parts say, for where its root says nothing."""

    request: Request
    session: str | None = None
    interrupted: bool | None = None
    cut: bool = False
    heard: list[str] = field(default_factory=list)


class OpenInferenceTrace:
    """The turns of a trace, which as a rule is one; see `conversation.Conversation`."""

    def __init__(self) -> None:
        # By the id of the span that the turn's other spans are below.
        self._waiting: dict[str, _Open] = {}
        # Of spans that have others below them.
        self._above: dict[str, str] = {}
        self._number = 0

    def add(self, piece: Piece, record: Part) -> Iterator[Assembled | Rejected]:
        """Take in a span; yields the turns that are complete."""
        key = record.parent
        while key not in self._waiting and key in self._above:
            key = self._above[key]
        if record.what == "root":
            key = record.span
            turn = self._waiting.get(key) or self._open(piece, key, key)
            turn.request.heard = record.heard
            turn.interrupted = record.cut
        elif record.what == "request":
            known = self._waiting.get(key)
            if known is None or known.request.span != record.parent:
                key = record.parent or record.span
                if key in self._waiting:
                    yield from self._finish(key)
                turn = self._open(piece, key, record.span)
            else:
                turn = known
            turn.request.heard = turn.request.heard or record.heard
            if record.said and turn.request.span == record.span:
                turn.request.answers.append(record.said)
        elif key in self._waiting:
            turn = self._waiting[key]
        elif record.parent and record.what in ("stt", "tts"):
            # The root has not arrived, or never will.
            turn = self._open(piece, key, key)
        else:
            return
        self._above[record.span] = key
        self._take(piece, record, turn)
        if len(self._waiting) > WAITING:
            yield from self._finish(next(iter(self._waiting)))

    def close(self) -> Iterator[Assembled | Rejected]:
        """The turns that are left at the end of the trace."""
        for turn in self._waiting.values():
            yield from self._done(turn)
        self._waiting.clear()

    def _finish(self, key: str) -> Iterator[Assembled]:
        yield from self._done(self._waiting.pop(key))
        self._above = {span: above for span, above in self._above.items() if above != key}

    def _open(self, piece: Piece, key: str, span: str) -> _Open:
        turn = self._waiting[key] = _Open(Request(piece, span))
        turn.request.fields = {"versions": {}, "asr": {}}
        return turn

    def _take(self, piece: Piece, record: Part, turn: _Open) -> None:
        request, fields = turn.request, turn.request.fields
        turn.session = turn.session or record.session
        fields["user_id"] = fields.get("user_id") or record.user
        fields["assistant"] = fields.get("assistant") or record.service
        fields["versions"].setdefault("service", record.version)
        request.error = request.error or record.failed
        if record.call:
            request.called([record.call])
        if record.what == "stt":
            fields["versions"]["asr"] = record.model
            fields["asr"] = {
                "audio_ms": record.audio_ms,
                "start_ms": request.since_start(piece.at),
                "latency_ms": record.length_ms,
                "signals": {"ttfb": record.ttfb},
            }
            if record.heard:
                turn.heard.append(record.heard)
        elif record.what == "llm":
            fields["versions"]["nlu"] = record.model
            request.stage("nlu", piece.at, record.length_ms)
            if record.said:
                request.answers.append(record.said)
        elif record.what == "tts":
            fields["versions"]["tts"] = record.model
            request.stage("tts", piece.at, record.length_ms)
            turn.cut = turn.cut or record.cut
            if record.said:
                request.responses.append(record.said)

    def _done(self, turn: _Open) -> Iterator[Assembled]:
        request = turn.request
        request.heard = request.heard or " ".join(turn.heard) or None
        if request.heard is None:
            return
        # Where a call ends, a turn counts as interrupted, too, though all of it was said.
        request.barge_in = turn.cut or None if turn.interrupted else turn.interrupted
        yield request.turn(turn.session or request.origin.group, self._number)
        self._number += 1
