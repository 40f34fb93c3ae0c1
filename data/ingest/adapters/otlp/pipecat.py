"""Spans of Pipecat's own tracing → turns.

A call is a trace: `conversation` → `turn` → `stt`, `llm`, `tts` beside each other. A request begins
with a span `stt`, which begins before the span `turn` above it; a turn of Pipecat's may hold
several requests, and the first one of a call begins with the pipeline. Tools have no spans: what
was called stands in the `input` of a later `llm` span, which holds all messages so far.

| span, attribute | trace |
|---|---|
| conversation, turn: `conversation.id` | `dialogue_id`; the trace's id where neither arrived |
| stt: trace and span id, start | `turn_id`, `started_at` |
| stt: `transcript`, `user_id`, `language` | `asr.hypotheses`, `user_id`, `locale` |
| stt: `metrics.audio_seconds`, duration | `asr.audio_ms`, `latency_ms` |
| stt: `metrics.ttfb` | `asr.signals` |
| llm: tool calls in `input` after the request | `nlu.hypotheses` |
| llm: an `error` in a tool's answer | `result.status`, `acts` |
| llm: start, duration, status of the span | `nlu.start_ms`, `latency_ms`, `result.status`, `acts` |
| tts: `text`, else llm: `output` | `result.response` |
| tts: `tts.interrupted` | `feedback.barge_in` |
| tts: start, duration | `tts` |
| `gen_ai.request.model` of stt, llm, tts | `versions.asr`, `nlu`, `tts` |
| resource: `service.name`, `service.version` | `assistant`, `versions.service` |
| what was said before any request | `prompt.text` of the next one |

Speech-to-speech services name their spans otherwise; of these `llm_response` with an input
transcript begins a request, and `llm_tool_call` is a call. `turn.was_interrupted` is not used:
it is true, too, where a call ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from data.ingest.adapters.adapter import Assembled, Piece, Rejected
from data.ingest.adapters.common import mapping, text_or_none
from data.ingest.adapters.otlp.conversation import WAITING, Request
from data.ingest.adapters.otlp.span import (
    Call,
    Reader,
    Span,
    failure_of,
    json_of,
    locale_of,
    parts,
    slots_of,
    spoken,
)
from data.ingest.validation import Fault

_MODEL = "gen_ai.request.model"
# Openings of a user's message in an LLM's input, as JSON writers space them.
_USER = ('{"role": "user"', '{"role":"user"')


class Context(msgspec.Struct, array_like=True, frozen=True, tag="pipecat.turn"):
    """A span `conversation` or `turn`."""

    dialogue: str | None
    conversation: bool


class Heard(msgspec.Struct, array_like=True, frozen=True, tag="pipecat.stt"):
    """A span `stt`, or the input of a speech-to-speech service."""

    span: str
    parent: str
    text: str | None
    failed: str | None
    user: str | None
    locale: str | None
    model: str | None
    audio_ms: float | None
    length_ms: float | None
    ttfb: float | None
    service: str | None
    version: str | None


class Answered(msgspec.Struct, array_like=True, frozen=True, tag="pipecat.llm"):
    """A span `llm`.

    Attributes
    ----------
    heard: the user's last message in its input; calls: those behind it. before, earlier: the user's
    message before that one, and the calls between the two.
    """

    parent: str
    text: str | None
    failed: str | None
    model: str | None
    length_ms: float | None
    heard: str
    calls: list[Call]
    before: str
    earlier: list[Call]


class Spoken(msgspec.Struct, array_like=True, frozen=True, tag="pipecat.tts"):
    """A span `tts`."""

    parent: str
    text: str | None
    interrupted: bool
    model: str | None
    length_ms: float | None


Records = Context | Heard | Answered | Spoken


# -- spans -----------------------------------------------------------------------------------------


def _context(span: Span) -> Context:
    return Context(span.text("conversation.id"), span.attributes.get("turn.number") is None)


def _stt(span: Span) -> Heard | None:
    text = span.text("transcript")
    known_empty = span.failed or span.attributes.keys() & {"transcript", "stt.incomplete"}
    if text is None and not known_empty:
        raise Fault("attributes.transcript", "missing; a span 'stt' of Pipecat has one")
    audio = span.number("metrics.audio_seconds")
    return Heard(
        span.id,
        span.parent,
        text,
        span.failed,
        span.text("user_id"),
        locale_of(span.text("language") or span.text("settings.language")),
        span.text(_MODEL),
        audio * 1_000 if audio is not None and audio >= 0 else None,
        span.length_ms,
        span.number("metrics.ttfb"),
        span.service,
        span.version,
    )


def _llm(span: Span) -> Answered:
    said = span.attributes.get("input")
    before, earlier, heard, calls = _tail(said) if isinstance(said, str) else ("", [], "", [])
    return Answered(
        span.parent,
        span.text("output"),
        span.failed,
        span.text(_MODEL),
        span.length_ms,
        heard,
        calls,
        before,
        earlier,
    )


def _tts(span: Span) -> Spoken:
    return Spoken(
        span.parent,
        span.text("text"),
        span.flag("tts.interrupted") is True,
        span.text(_MODEL),
        span.length_ms,
    )


def _live_response(span: Span) -> Heard | Answered | None:
    """Of a speech-to-speech service: what it heard, or what it said."""
    if span.flag("transcript.is_input"):
        return _stt(span)
    text = span.text("text_output") or span.text("output") or span.text("transcript")
    model, length = span.text(_MODEL), span.length_ms
    return Answered(span.parent, text, span.failed, model, length, "", [], "", [])


def _live_call(span: Span) -> Answered:
    """Of a speech-to-speech service: a call of a tool."""
    name = span.text("tool.function_name")
    if name is None:
        raise Fault("attributes.tool.function_name", "missing; a span 'llm_tool_call' has one")
    call = Call(span.text("tool.call_id"), name, slots_of(span.attributes.get("tool.arguments")))
    return Answered(span.parent, None, None, span.text(_MODEL), None, "", [call], "", [])


_STT = ("transcript", "stt.incomplete", "user_id", "language", "settings.language", _MODEL)
_METRICS = ("metrics.audio_seconds", "metrics.ttfb")
READERS = {
    "conversation": Reader(_context, frozenset(("conversation.id",))),
    "turn": Reader(_context, frozenset(("conversation.id", "turn.number"))),
    "stt": Reader(_stt, frozenset((*_STT, *_METRICS))),
    "llm": Reader(_llm, frozenset(("input", "output", _MODEL))),
    "tts": Reader(_tts, frozenset(("text", "tts.interrupted", _MODEL))),
    "llm_response": Reader(
        _live_response,
        frozenset((*_STT, *_METRICS, "transcript.is_input", "text_output", "output")),
    ),
    "llm_tool_call": Reader(
        _live_call, frozenset(("tool.function_name", "tool.call_id", "tool.arguments", _MODEL))
    ),
}


def chosen(scope: str, name: str) -> Reader | None:
    """The reader of a span of Pipecat's; scopes are `pipecat` and `pipecat.turn`."""
    return READERS.get(name) if not scope or scope.startswith("pipecat") else None


# -- the messages of an LLM's input ----------------------------------------------------------------


def _tail(text: str) -> tuple[str, list[Call], str, list[Call]]:
    """Of the messages: the last but one user's and the calls behind it, the last one and its calls.

    As every span holds the whole conversation, only its end is decoded.
    """
    for opening in _USER:
        last = text.rfind(opening)
        start = text.rfind(opening, 0, last) if last > 0 else -1
        if start >= 0:
            sections = _sections(json_of("[" + text[start:]))
            if len(sections) > 1:
                return *sections[-2], *sections[-1]
    sections = _sections(json_of(text))
    before = sections[-2] if len(sections) > 1 else ("", [])
    return *before, *(sections[-1] if sections else ("", []))


def _sections(messages: Any) -> list[tuple[str, list[Call]]]:
    """What users said, each with the calls behind it."""
    sections: list[tuple[str, list[Call]]] = []
    for message in parts(messages):
        if (asked := _user(message)) is not None:
            sections.append((asked, []))
        elif sections:
            _collect(message, sections[-1][1])
    return sections


def _user(message: dict[str, Any]) -> str | None:
    """What a user said; None where the message is another's, or brings answers of tools."""
    if message.get("role") != "user":
        return None
    content = message.get("content", message.get("parts"))
    text = spoken(content)
    return text if text or not any(map(_answer, parts(content))) else None


def _answer(part: dict[str, Any]) -> Any:
    """Whether a part of a message is a tool's answer, in the form of Anthropic or Google."""
    return part.get("type") == "tool_result" or part.get("function_response")


def _collect(message: dict[str, Any], calls: list[Call]) -> None:
    """Add the calls of a message, and what answers say of those before."""
    for each in parts(message.get("tool_calls")):
        function = mapping(each.get("function"))
        if name := text_or_none(function.get("name")):
            calls.append(Call(_id(each, "id"), name, slots_of(function.get("arguments"))))
    if message.get("role") == "tool":
        _answered(calls, _id(message, "tool_call_id"), message.get("content"))
    for part in parts(message.get("content", message.get("parts"))):
        call = mapping(part.get("function_call"))
        answer = mapping(part.get("function_response"))
        if part.get("type") == "tool_use" and (name := text_or_none(part.get("name"))):
            calls.append(Call(_id(part, "id"), name, slots_of(part.get("input"))))
        elif name := text_or_none(call.get("name")):
            calls.append(Call(_id(call, "id"), name, slots_of(call.get("args"))))
        elif part.get("type") == "tool_result":
            failed = "error" if part.get("is_error") is True else None
            _answered(calls, _id(part, "tool_use_id"), part.get("content"), failed)
        elif answer:
            _answered(calls, _id(answer, "id"), answer.get("response"))


def _id(record: dict[str, Any], name: str) -> str | None:
    return text_or_none(record.get(name))


def _answered(calls: list[Call], id: str | None, answer: Any, failed: str | None = None) -> None:
    if isinstance(answer, list):
        answer = spoken(answer)
    failed = failure_of(answer) or failed
    for index, call in enumerate(calls):
        if failed and (call.id == id if id else index == len(calls) - 1):
            calls[index] = msgspec.structs.replace(call, failed=failed)


# -- turns -----------------------------------------------------------------------------------------


# Turns of Pipecat's whose late spans are known to be late, and texts of a prompt.
_REMEMBERED = 64


class PipecatCall:
    """The turns of a call; see `conversation.Conversation`."""

    def __init__(self) -> None:
        self._dialogue: str | None = None
        self._waiting: list[tuple[str, Request]] = []
        self._number = 0
        self._parents: dict[str, None] = {}
        # What was said, and spoken, before any request of its turn.
        self._unasked: deque[tuple[bool, str]] = deque(maxlen=_REMEMBERED)

    def add(self, piece: Piece, record: Records) -> Iterator[Assembled | Rejected]:
        """Take in a span; yields the turns that are complete."""
        if isinstance(record, Context):
            self._dialogue = self._dialogue or record.dialogue
        elif isinstance(record, Heard):
            self._parents[record.parent] = None
            if len(self._parents) > _REMEMBERED:
                del self._parents[next(iter(self._parents))]
            self._waiting.append((record.parent, self._request(piece, record)))
            if len(self._waiting) > WAITING:
                yield from self._done(self._waiting.pop(0)[1])
        elif isinstance(record, Answered):
            self._answer(piece, record)
        else:
            self._speak(piece, record)

    def close(self) -> Iterator[Assembled | Rejected]:
        """The turns that are left at the end of the trace."""
        for _, request in self._waiting:
            yield from self._done(request)
        self._waiting.clear()

    def _request(self, piece: Piece, record: Heard) -> Request:
        request = Request(piece, record.span, record.text, error=record.failed)
        spoken = [text for by_voice, text in self._unasked if by_voice]
        request.prompt = " ".join(spoken or [text for _, text in self._unasked]) or None
        self._unasked.clear()
        request.fields = {
            "assistant": record.service,
            "user_id": record.user,
            "locale": record.locale,
            "versions": {"asr": record.model, "service": record.version},
            "asr": {
                "audio_ms": record.audio_ms,
                "latency_ms": record.length_ms,
                "signals": {"ttfb": record.ttfb},
            },
        }
        return request

    def _of(self, parent: str) -> list[Request]:
        """The requests of a turn of Pipecat's that have begun."""
        return [request for above, request in self._waiting if above == parent]

    def _answer(self, piece: Piece, record: Answered) -> None:
        if record.earlier:
            # Of a tool whose call the model did not go on from before the next request.
            for _, earlier in reversed(self._waiting):
                if earlier.heard == record.before:
                    earlier.called(record.earlier)
                    break
        requests = self._of(record.parent)
        if not requests:
            self._unasked_for(record.parent, record.text, by_voice=False)
            return
        request = self._asked(requests, record.heard)
        request.error = record.failed
        request.called(record.calls)
        if record.text:
            request.answers.append(record.text)
        request.stage("nlu", piece.at, record.length_ms)
        request.fields["versions"].setdefault("nlu", record.model)

    def _speak(self, piece: Piece, record: Spoken) -> None:
        requests = self._of(record.parent)
        if not requests:
            self._unasked_for(record.parent, record.text, by_voice=True)
            return
        answered = [request for request in requests if "nlu" in request.fields]
        request = (answered or requests)[-1]
        request.barge_in = request.barge_in or record.interrupted
        if record.text:
            request.responses.append(record.text)
            request.stage("tts", piece.at, record.length_ms)
            request.fields["versions"].setdefault("tts", record.model)

    def _unasked_for(self, parent: str, text: str | None, by_voice: bool) -> None:
        if text and parent not in self._parents:
            self._unasked.append((by_voice, text))

    def _asked(self, requests: list[Request], heard: str) -> Request:
        """The request that a model answers: the last one, another one that it was given the words
        of, or several whose words it was given together, which become one."""
        if not heard:
            return requests[-1]
        for request in reversed(requests):
            if request.heard == heard:
                return request
        words = heard.split()
        for first in range(len(requests) - 2, -1, -1):
            together = requests[first:]
            if any("nlu" in request.fields for request in together):
                break
            if [word for each in together for word in (each.heard or "").split()] == words:
                return self._joined(together, heard)
        return requests[-1]

    def _joined(self, together: list[Request], heard: str) -> Request:
        request, last = together[0], together[-1]
        request.heard = heard
        asr, length_ms = request.fields["asr"], last.fields["asr"]["latency_ms"]
        audio = [each.fields["asr"]["audio_ms"] for each in together]
        asr["audio_ms"] = None if None in audio else sum(audio)
        asr["latency_ms"] = request.since_start(last.origin.at) + length_ms if length_ms else None
        self._waiting = [
            (parent, each)
            for parent, each in self._waiting
            if not any(each is other for other in together[1:])
        ]
        return request

    def _done(self, request: Request) -> Iterator[Assembled]:
        asked = request.heard or request.error or request.answers or request.responses
        if not asked:
            # A noise that nothing answered.
            return
        if request.heard is None:
            request.fields["asr"]["hypotheses"] = []
        yield request.turn(self._dialogue or request.origin.group, self._number)
        self._number += 1
