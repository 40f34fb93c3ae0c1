"""Home Assistant's Assist pipelines: their events, from its WebSocket API or its debug pages.

The same events come in three ways: as messages of the WebSocket API, one per line or several in an
array; as answers to `assist_pipeline/pipeline_debug/get`, alone, as the result of a message, or
several by run id; and in the `conversation.json` that the debug page lets people download. Lists of
runs, results and events of other kinds belong to no turn.

A run of a pipeline is a turn if somebody asked for something: there is speech to text, or an
intent. No id of a run stands in its events, so that its pipeline and the time of `run-start` name
it; that also brings together a run that was recorded in two ways. In the stream of messages, an
event belongs to the run that began last under the message's `id`, which counts per connection.

source → trace
run-start pipeline, timestamp → turn_id; language → locale; satellite_id, else device_id → device
conversation_id → dialogue_id; without one, requests of a device with short pauses are a dialogue
wake_word-end, else run-start → started_at; wake_word_phrase → wake.phrase
stt-start, stt-end → asr; stt-vad-start, stt-vad-end → asr.audio_ms
intent-start, intent-end → nlu; tool calls, also of chat logs → nlu.hypotheses
success (failed, targets) → er.mentions; no_valid_targets → a mention without candidates
response → result; its failures, errors of tools and of the pipeline → status, acts
tts-start → tts.start_ms; engines → versions

What is kept of an event is listed in `_KEPT`: no tokens, no addresses, nothing that a language
model was thinking.
"""

from __future__ import annotations

import heapq
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from typing import Any, BinaryIO, Final

import msgspec

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    decoded,
    iso,
    items,
    mapping,
    microseconds,
    number_or_none,
    objects,
    pack,
    text_or_none,
    unpack,
    without_nulls,
)
from data.ingest.adapters.json_documents import entries, one_per_line
from data.ingest.validation import Fault

# Turns of one conversation lie under many message ids: all events are sorted together.
_GROUP = "home-assistant"
_MARKS = (
    b'"run-start"',
    b'"pipeline_runs"',
    b'"pipeline_run_id"',
    b'"stt_output"',
    b'"intent_output"',
    b'"wake_word-start"',
    b'"stt-start"',
    b'"intent-start"',
    b'"chat_log_delta"',
    b'"stt_binary_handler_id"',
)
# As interactive clients of WebSockets print what comes and goes.
_ARROW = re.compile(rb"\s*[<>]\s*(?=[{\[])")

_ALL: Final = None
_TARGET: Final = {"name": _ALL, "type": _ALL, "id": _ALL}
_CALLS: Final = {"tool_name": _ALL, "tool_args": _ALL, "id": _ALL}
_ANSWERED: Final = {"error": _ALL, "response_type": _ALL, "data": {"code": _ALL, "failed": _TARGET}}
_DELTA: Final = {
    "role": _ALL,
    "tool_calls": _CALLS,
    "tool_call_id": _ALL,
    "tool_name": _ALL,
    "tool_result": _ANSWERED,
}
# What is kept of the data of each kind of event.
_KEPT: dict[str, dict[str, Any]] = {
    "run-start": {
        "pipeline": _ALL,
        "language": _ALL,
        "conversation_id": _ALL,
        "satellite_id": _ALL,
        "tts_output": {"stream_response": _ALL},
    },
    "wake_word-start": {"entity_id": _ALL},
    "wake_word-end": {"wake_word_output": {"wake_word_id": _ALL, "wake_word_phrase": _ALL}},
    "stt-start": {"engine": _ALL},
    "stt-vad-start": {"timestamp": _ALL},
    "stt-vad-end": {"timestamp": _ALL},
    "stt-end": {"stt_output": {"text": _ALL}},
    "intent-start": {
        "engine": _ALL,
        "intent_input": _ALL,
        "conversation_id": _ALL,
        "device_id": _ALL,
        "satellite_id": _ALL,
    },
    "intent-progress": {"chat_log_delta": _DELTA},
    "intent-end": {
        "processed_locally": _ALL,
        "intent_output": {
            "conversation_id": _ALL,
            "continue_conversation": _ALL,
            "response": {
                "speech": {"plain": {"speech": _ALL}, "ssml": {"speech": _ALL}},
                "response_type": _ALL,
                "data": {"code": _ALL, "targets": _TARGET, "success": _TARGET, "failed": _TARGET},
            },
        },
    },
    "tts-start": {"engine": _ALL},
    "tts-end": {},
    "error": {"code": _ALL},
    "run-end": {},
}
_ORDER = {kind: rank for rank, kind in enumerate(_KEPT)}

# Errors before anybody asked for anything.
_NOT_ASKED = (
    "wake-engine-missing",
    "wake-provider-missing",
    "wake-stream-failed",
    "wake-word-timeout",
    "wake_word_detection_aborted",
    "duplicate_wake_up_detected",
)
_NOT_UNDERSTOOD = ("no_intent_match", "no_valid_targets")

# A run stays open for events that follow its end, as they do at a timeout.
_GRACE_US = 10_000_000
# Twice the time that Home Assistant gives a run.
_ABANDONED_US = 600_000_000
_SWEEP_US = 1_000_000
_MOST_OPEN = 10_000
# Conversations whose number of turns is remembered; they end after minutes.
_MOST_DIALOGUES = 200_000
_encode = msgspec.json.Encoder().encode


def run_line(answer: Mapping[str, Any], pipeline: str, run: str) -> bytes:
    """One answer to `assist_pipeline/pipeline_debug/get` as a line that this adapter reads.

    `answer` is the message's `result`, an object with `events`; `pipeline` and `run` are the ids
    that were asked for. A run may be written again when it has more events: what is known of it is
    put together. Of the events the line has only what turns are made of (no tokens, no addresses).
    An event that is none is left out.
    """
    events = [
        {"type": kind, "data": data, "timestamp": iso(at)}
        for at, kind, data in _events(answer, faults=[])
    ]
    line = {"pipeline_id": pipeline, "pipeline_run_id": run, "events": events}
    return _encode(line) + b"\n"


def is_finished(answer: Mapping[str, Any]) -> bool:
    """Whether a run has ended, so that its debug answer will not grow (but for an error that
    follows the end of a run that took too long)."""
    return any(each.get("type") == "run-end" for each in objects(answer.get("events")))


class HomeAssistant:
    """Reads events of Assist pipelines; see `data.ingest.adapters.adapter.Adapter`."""

    name = "home-assistant"
    title = "Home Assistant Assist events"
    cannot_know: tuple[str, ...] = (
        "ASR confidence and alternatives",
        "the wake word's score",
        "intents that its own sentences matched, unless chat logs were recorded too",
        "what its entities were chosen from",
        "actions that failed after it said they were done",
        "expect weaker verdicts on ASR, NLU and results",
    )

    def recognises(self, head: bytes) -> bool:
        return any(mark in head for mark in _MARKS)

    def reading(self, head: bytes) -> Reading:
        return Reading.LINES if one_per_line(head) else Reading.WHOLE

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        return entries(stream, _is_run)

    def pieces(self, record: Any) -> Iterable[Piece]:
        faults: list[Fault] = []
        yield from _pieces(decoded(_ARROW.sub(b"", record, count=1)), faults)
        if faults:
            raise faults[0]

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        runs = _Runs(settings)
        for piece in pieces:
            yield from runs.until(piece.at)
            runs.add(piece)
        yield from runs.close()


def _is_run(name: str, value: Any) -> bool:
    return isinstance(value, dict) and name != "result" and "events" in value


# -- records → pieces ------------------------------------------------------------------------------


def _pieces(record: Any, faults: list[Fault], within: bool = False) -> Iterator[Piece]:
    """The pieces of a message, a debug answer or a downloaded run; or of several, in an array or by
    run id. What is wrong with some is added to `faults`."""
    if isinstance(record, list) and not within:
        for each in record:
            try:
                yield from _pieces(each, faults, within=True)
            except Fault as fault:
                faults.append(fault)
        return
    if not isinstance(record, dict):
        faults.append(Fault("", "expected a message of the WebSocket API, a run, or runs"))
        return
    event = record.get("event")
    if "events" in record:
        yield from _run_piece(record, faults)
    elif record.get("type") == "event" and isinstance(event, dict):
        yield from _event_piece(record.get("id"), event, faults)
    elif isinstance(record.get("result"), dict):
        yield from _result_pieces(record["result"], faults)
    elif any(_is_run(name, value) for name, value in record.items()):
        for value in record.values():
            yield from _pieces(value, faults, within=True)
    elif not _belongs_to_no_turn(record):
        faults.append(
            Fault("", "expected a message of the WebSocket API, or a run with its `events`")
        )


def _result_pieces(result: dict[str, Any], faults: list[Fault]) -> Iterator[Piece]:
    if "events" in result:
        yield from _run_piece(result, faults)


def _belongs_to_no_turn(record: dict[str, Any]) -> bool:
    """Results without runs, lists of runs, commands, and events that are not a pipeline's."""
    return isinstance(record.get("type"), str) or "pipeline_runs" in record or not record


def _run_piece(record: dict[str, Any], faults: list[Fault]) -> Iterator[Piece]:
    events = _events(record, faults)
    start = next((event for event in events if event[1] == "run-start"), None)
    if start is None:
        if events:
            faults.append(Fault("events", "no run-start, by whose time a run is told from others"))
        return
    yield _piece(start[0], f"0 {_digest(events)}", {"run": events})


def _event_piece(stream: Any, event: dict[str, Any], faults: list[Fault]) -> Iterator[Piece]:
    if isinstance(event.get("event_type"), str) and "data" in event:
        yield from _chat_pieces(event)
        return
    try:
        read = _event(event)
    except Fault as fault:
        faults.append(Fault(f"event.{fault.field}", fault.reason))
        return
    if read is None:
        return
    at, kind, data = read
    rank = 1 if kind == "run-start" else 2
    key = f"{rank} {as_text(stream)} {_digest(read)}"
    yield _piece(at, key, {"stream": as_text(stream), "kind": kind, "data": data})


def _chat_pieces(event: dict[str, Any]) -> Iterator[Piece]:
    """The tool calls that a chat log tells, each with the time of the text that it belongs to."""
    for conversation, content in _contents(event.get("data"), event.get("conversation_id")):
        kept = _kept(content, _DELTA)
        if not isinstance(conversation, str) or not _tells_of_tools(kept):
            continue
        try:
            at = microseconds(content.get("created"), "created")
        except Fault:
            # Without a time it cannot be said to which request it belongs.
            continue
        yield _piece(at, f"3 {_digest([conversation, kept])}", {"chat": conversation, "data": kept})


def _contents(data: Any, conversation: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Conversation and content of what a chat log event tells: a log, several, or one text."""
    for log in [data] if isinstance(data, dict) else objects(data):
        log = log["chat_log"] if isinstance(log.get("chat_log"), dict) else log
        content = log.get("content")
        for each in [content] if isinstance(content, dict) else objects(content):
            yield log.get("conversation_id", conversation), each


def _events(answer: Mapping[str, Any], faults: list[Fault]) -> list[tuple[int, str, Any]]:
    """The events of a run: time, kind and what is kept of the data."""
    listed = answer.get("events")
    if not isinstance(listed, list):
        faults.append(Fault("events", "expected a list of events"))
        return []
    events = []
    for index, each in enumerate(listed):
        try:
            event = _event(each)
            if event is not None:
                events.append(event)
        except Fault as fault:
            faults.append(Fault(f"events[{index}].{fault.field}".rstrip("."), fault.reason))
    return events


def _event(event: Any) -> tuple[int, str, Any] | None:
    """Time, kind, and what is kept of the data; None if it tells nothing of a turn."""
    if not isinstance(event, dict):
        raise Fault("", "expected an event with type, data and timestamp")
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _KEPT:
        return None
    data = _kept(event.get("data"), _KEPT[kind])
    if kind == "intent-progress" and not _tells_of_tools(mapping(data).get("chat_log_delta")):
        return None
    return microseconds(event.get("timestamp"), "timestamp"), kind, data


def _tells_of_tools(delta: Any) -> bool:
    return bool(mapping(delta).get("tool_calls") or mapping(delta).get("tool_result"))


def _kept(value: Any, wanted: Mapping[str, Any] | None) -> Any:
    if wanted is _ALL:
        return value
    if isinstance(value, dict):
        return {name: _kept(value[name], below) for name, below in wanted.items() if name in value}
    return [_kept(each, wanted) for each in value] if isinstance(value, list) else None


def _piece(at: int, key: str, data: Any) -> Piece:
    return Piece(_GROUP, at, key, pack(data))


def _digest(value: Any) -> str:
    return blake2b(pack(value), digest_size=8).hexdigest()


# -- pieces → runs ---------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Run:
    """What is known of a run. `name`: pipeline and time of run-start, None where that is missing;
    `last`: time of its latest event; `part`: of the input that told it last."""

    name: tuple[str, int] | None
    origin: Piece
    last: int
    part: int
    stream: str | None = None
    events: dict[bytes, tuple[int, str, Any]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    woken: int | None = None
    replaced: bool = False

    def add(self, at: int, kind: str, data: Any) -> None:
        self.events[pack((at, kind, data))] = (at, kind, data)
        self.kinds.add(kind)
        self.last = max(self.last, at)
        if kind == "wake_word-end":
            self.woken = at if self.woken is None else min(at, self.woken)

    @property
    def over(self) -> bool:
        return not self.kinds.isdisjoint(("run-end", "error"))

    @property
    def waiting(self) -> bool:
        """Whether it waits for the wake word, which may be hours."""
        if "wake_word-start" not in self.kinds or self.woken is not None:
            return False
        return not (self.over or self.replaced)

    @property
    def began(self) -> int:
        return self.origin.at if self.woken is None else self.woken


class _Runs:
    """Puts events together to runs and these, in the order of their beginnings, to dialogues."""

    def __init__(self, settings: Settings) -> None:
        self._idle = settings.idle_us
        self._open: dict[int, _Run] = {}
        self._named: dict[tuple[str, int], _Run] = {}
        self._streams: dict[str, list[_Run]] = {}
        self._conversations: OrderedDict[str, _Run] = OrderedDict()
        # When it was last looked for runs that have ended, and the pieces since.
        self._swept: int | None = None
        self._unswept = 0
        self._closed: list[tuple[int, int, _Run]] = []
        self._numbers = count()
        self._dialogues: OrderedDict[str, int] = OrderedDict()
        # Of devices without conversations: dialogue, and when it was heard last.
        self._devices: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def add(self, piece: Piece) -> None:
        told = unpack(piece.data)
        if "run" in told:
            events = [tuple(event) for event in told["run"]]
            start = next(event for event in events if event[1] == "run-start")
            run = self._begun(piece, start[2])
            for at, kind, data in events:
                run.add(at, kind, data)
            self._known_by_conversation(run, mapping(start[2]))
        elif "chat" in told:
            self._add_chat(told["chat"], piece.at, told["data"])
        else:
            run = self._run_of(piece, told)
            run.add(piece.at, told["kind"], told["data"])
            run.part = piece.part
            self._known_by_conversation(run, mapping(told["data"]))

    def _run_of(self, piece: Piece, told: dict[str, Any]) -> _Run:
        """The run that a message's event belongs to: of those that began under the same id, the
        last one in the same part of the input, which is at least one connection, or else the last
        one."""
        stream = told["stream"]
        runs = self._streams.setdefault(stream, [])
        here = [run for run in runs if run.part == piece.part]
        if told["kind"] == "run-start":
            run = self._begun(piece, told["data"])
            for earlier in here:
                earlier.replaced = earlier is not run
        elif runs:
            return (here or runs)[-1]
        else:
            run = self._opened(None, piece)
        if run.stream is None:
            run.stream = stream
            runs.append(run)
        return run

    def _begun(self, piece: Piece, data: Any) -> _Run:
        name = (as_text(mapping(data).get("pipeline")), piece.at)
        run = self._named.get(name)
        if run is None:
            run = self._named[name] = self._opened(name, piece)
        return run

    def _opened(self, name: tuple[str, int] | None, piece: Piece) -> _Run:
        run = _Run(name, piece, piece.at, piece.part)
        self._open[id(run)] = run
        return run

    def _known_by_conversation(self, run: _Run, data: dict[str, Any]) -> None:
        conversation = data.get("conversation_id")
        if isinstance(conversation, str):
            self._conversations[conversation] = run
            self._conversations.move_to_end(conversation)
            if len(self._conversations) > _MOST_OPEN:
                self._conversations.popitem(last=False)

    def _add_chat(self, conversation: str, at: int, data: Any) -> None:
        run = self._conversations.get(conversation)
        if run is not None and id(run) in self._open:
            # Not later than the run's own events, so that it does not stay open for it.
            run.add(min(at, run.last), "intent-progress", {"chat_log_delta": data})

    def until(self, now: int) -> Iterator[Assembled | Rejected]:
        """The turns that are complete at this time."""
        if len(self._open) > _MOST_OPEN:
            self._shut(next(iter(self._open.values())))
        self._unswept += 1
        soon = self._swept is not None and now - self._swept < _SWEEP_US
        if soon and self._unswept < _MOST_OPEN:
            return
        self._swept, self._unswept = now, 0
        for run in list(self._open.values()):
            quiet = now - run.last
            ended = run.over or run.replaced
            if quiet > (_GRACE_US if ended else _ABANDONED_US) and not run.waiting:
                self._shut(run)
        first = min((run.began for run in self._open.values() if not run.waiting), default=None)
        yield from self._released(first)

    def close(self) -> Iterator[Assembled | Rejected]:
        """The turns that are left."""
        for run in list(self._open.values()):
            self._shut(run)
        yield from self._released(None)

    def _shut(self, run: _Run) -> None:
        del self._open[id(run)]
        if run.name is not None:
            del self._named[run.name]
        if run.stream is not None:
            runs = self._streams[run.stream]
            runs.remove(run)
            if not runs:
                del self._streams[run.stream]
        heapq.heappush(self._closed, (run.began, next(self._numbers), run))

    def _released(self, before: int | None) -> Iterator[Assembled | Rejected]:
        """Closed runs as turns, in the order of their beginnings, as far as no run that began
        earlier is still open."""
        while self._closed and (before is None or self._closed[0][0] < before):
            run = heapq.heappop(self._closed)[2]
            turn = _turn(run)
            if turn is None:
                continue
            if run.name is None:
                yield Rejected(
                    run.origin, "run-start", "missing; the run began before this log does"
                )
                continue
            dialogue = turn["dialogue_id"] or self._without_conversation(turn, run)
            turn["dialogue_id"] = dialogue
            turn["turn_index"] = self._dialogues.pop(dialogue, -1) + 1
            self._dialogues[dialogue] = turn["turn_index"]
            if len(self._dialogues) > _MOST_DIALOGUES:
                self._dialogues.popitem(last=False)
            yield Assembled(without_nulls(turn), run.origin)

    def _without_conversation(self, turn: dict[str, Any], run: _Run) -> str:
        """The dialogue of a request that names no conversation: its device's, unless that has been
        idle; of one without a device, the run alone."""
        device = mapping(turn["device"]).get("id")
        if device is None:
            return str(turn["turn_id"])
        dialogue, heard = self._devices.pop(device, ("", 0))
        if not dialogue or run.began - heard > self._idle:
            dialogue = f"{device}:{iso(run.began)}"
        self._devices[device] = (dialogue, run.last)
        if len(self._devices) > _MOST_DIALOGUES:
            self._devices.popitem(last=False)
        return dialogue


# -- runs → turns ----------------------------------------------------------------------------------


def _turn(run: _Run) -> dict[str, Any] | None:
    """The turn of a run, with `dialogue_id` None where no conversation is named; None if nobody
    asked for anything, or nothing of it is known yet."""
    events = sorted(run.events.values(), key=lambda event: (event[0], _ORDER[event[1]]))
    first: dict[str, tuple[int, dict[str, Any]]] = {}
    for at, kind, data in events:
        first.setdefault(kind, (at, mapping(data)))
    codes = [text_or_none(mapping(data).get("code")) for _, kind, data in events if kind == "error"]
    errors = [code for code in codes if code]
    asked = "intent-start" in first or "intent-end" in first
    spoken = "stt-start" in first or "stt-end" in first
    if not asked and (not spoken or not {*errors}.isdisjoint(_NOT_ASKED)):
        return None
    if not asked and "stt-end" not in first and not run.over:
        return None
    start = first.get("run-start", (0, {}))[1]
    intent = first.get("intent-start", (0, {}))[1]
    output = mapping(first.get("intent-end", (0, {}))[1].get("intent_output"))
    response = mapping(output.get("response"))
    told = (output, intent, start)
    conversation = next((c for each in told if (c := _name(each, "conversation_id"))), None)
    device = (
        _name(start, "satellite_id") or _name(intent, "satellite_id") or _name(intent, "device_id")
    )
    calls, failures = _tools(events)
    clock = _Clock(run.began, first)
    return {
        "turn_id": f"ha:{run.name[0]}:{iso(run.name[1])}" if run.name else "",
        "dialogue_id": conversation,
        "turn_index": 0,
        "started_at": iso(run.began),
        "locale": _name(start, "language"),
        "device": {"id": device},
        "versions": {
            stage: _name(first.get(f"{name}-start", (0, {}))[1], "engine")
            for stage, name in (("asr", "stt"), ("nlu", "intent"), ("tts", "tts"))
        },
        "wake": {"phrase": _phrase(first)},
        "asr": _heard(first, clock),
        "nlu": _understood(response, calls, clock) if asked else None,
        "er": _resolved(response),
        "result": {
            "status": _status(response, failures, errors, "intent-end" in first),
            "response": _said(response),
            "acts": [{"act": code} for code in (*_codes(response), *failures, *errors)] or None,
        },
        "tts": {"start_ms": clock.start("tts-start"), "latency_ms": _speaking(start, clock)},
    }


@dataclass(frozen=True)
class _Clock:
    """When events happened, in milliseconds from the beginning of a turn."""

    began: int
    first: Mapping[str, tuple[int, dict[str, Any]]]

    def start(self, kind: str) -> float | None:
        return self._between(self.began, kind)

    def duration(self, start: str, end: str) -> float | None:
        return self._between(self.first[start][0], end) if start in self.first else None

    def _between(self, start: int, kind: str) -> float | None:
        """None, too, where a clock was set back."""
        if kind not in self.first or self.first[kind][0] < start:
            return None
        return (self.first[kind][0] - start) / 1_000


def _name(data: dict[str, Any], field: str) -> str | None:
    return text_or_none(data.get(field))


def _phrase(first: Mapping[str, tuple[int, dict[str, Any]]]) -> str | None:
    woken = mapping(first.get("wake_word-end", (0, {}))[1].get("wake_word_output"))
    return _name(woken, "wake_word_phrase") or _name(woken, "wake_word_id")


def _heard(first: Mapping[str, tuple[int, dict[str, Any]]], clock: _Clock) -> dict[str, Any]:
    text = _name(mapping(first.get("stt-end", (0, {}))[1].get("stt_output")), "text")
    text = text or _name(first.get("intent-start", (0, {}))[1], "intent_input")
    begin, end = (
        number_or_none(first.get(kind, (0, {}))[1].get("timestamp"))
        for kind in ("stt-vad-start", "stt-vad-end")
    )
    return {
        "hypotheses": [{"text": text}] if text else [],
        "audio_ms": end - begin if begin is not None and end is not None and end >= begin else None,
        "start_ms": clock.start("stt-start"),
        "latency_ms": clock.duration("stt-start", "stt-end"),
    }


def _tools(events: Iterable[tuple[int, str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The tool calls of a run, each once, and what went wrong with them."""
    calls: dict[str, dict[str, Any]] = {}
    failures: dict[str, None] = {}
    for _, kind, data in events:
        if kind != "intent-progress":
            continue
        delta = mapping(mapping(data).get("chat_log_delta"))
        for call in objects(delta.get("tool_calls")):
            if name := _name(call, "tool_name"):
                slots = [
                    {"name": slot, "value": as_text(value)}
                    for slot, value in mapping(call.get("tool_args")).items()
                    if value is not None
                ]
                known = _name(call, "id") or as_text([name, call.get("tool_args")])
                calls[known] = {"intent": name, "slots": slots}
        answer = mapping(delta.get("tool_result"))
        if answer.get("error"):
            failures[text_or_none(answer["error"]) or "tool-failed"] = None
        elif answer.get("response_type") == "error":
            failures[_name(mapping(answer.get("data")), "code") or "tool-failed"] = None
        elif items(mapping(answer.get("data")).get("failed")):
            failures["tool-failed"] = None
    return list(calls.values()), list(failures)


def _codes(response: dict[str, Any]) -> list[str]:
    code = _name(mapping(response.get("data")), "code")
    return [code] if code and response.get("response_type") == "error" else []


def _understood(
    response: dict[str, Any], calls: list[dict[str, Any]], clock: _Clock
) -> dict[str, Any]:
    """The tool calls as hypotheses; none, but known to be none, where no intent matched."""
    none: list[Any] | None = [] if "no_intent_match" in _codes(response) else None
    return {
        "hypotheses": calls or none,
        "start_ms": clock.start("intent-start"),
        "latency_ms": clock.duration("intent-start", "intent-end"),
    }


def _resolved(response: dict[str, Any]) -> dict[str, Any] | None:
    if "no_valid_targets" in _codes(response):
        return {"mentions": [{"candidates": []}]}
    data = mapping(response.get("data"))
    targets: list[dict[str, Any]] = next(
        (found for name in ("success", "failed", "targets") if (found := objects(data.get(name)))),
        [],
    )
    mentions = [
        {
            "slot": _name(each, "type"),
            "candidates": [{"id": _name(each, "id"), "name": _name(each, "name")}],
        }
        for each in targets
        if _name(each, "id") or _name(each, "name")
    ]
    return {"mentions": mentions} if mentions else None


def _status(
    response: dict[str, Any], failures: list[str], errors: list[str], ended: bool
) -> str | None:
    """How a request ended; a failure of speech synthesis is none of the request."""
    kind = response.get("response_type")
    if not ended:
        return "error" if errors else None
    if kind == "error":
        return "no_match" if {*_codes(response)} & {*_NOT_UNDERSTOOD} else "error"
    if failures or items(mapping(response.get("data")).get("failed")):
        return "error"
    return "ok" if kind in ("action_done", "query_answer", "partial_action_done") else None


def _said(response: dict[str, Any]) -> str | None:
    speech = mapping(response.get("speech"))
    spoken = (_name(mapping(speech.get(form)), "speech") for form in ("plain", "ssml"))
    return next((text for text in spoken if text), None)


def _speaking(start: dict[str, Any], clock: _Clock) -> float | None:
    """How long speech synthesis took; where the address of its output was known beforehand,
    `tts-end` does not say so."""
    return None if "tts_output" in start else clock.duration("tts-start", "tts-end")


ADAPTER = HomeAssistant()
