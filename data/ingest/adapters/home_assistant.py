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

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, BinaryIO, Final

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    decoded,
    iso,
    mapping,
    microseconds,
    objects,
    pack,
)
from data.ingest.adapters.home_assistant_runs import Runs
from data.ingest.adapters.json_documents import encoded, entries, one_per_line
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


def run_line(answer: Mapping[str, Any], pipeline: str, run: str) -> bytes:
    """One answer to `assist_pipeline/pipeline_debug/get` as a line that this adapter reads.

    `answer` is the message's `result`, an object with `events`; `pipeline` and `run` are the ids
    that were asked for. A run may be written again when it has more events: what is known of it is
    put together. Of the events the line has only what turns are made of (no tokens, no addresses).
    An event that is none is left out. Raises `Fault` where they hold what JSON cannot.
    """
    events = [
        {"type": kind, "data": data, "timestamp": iso(at)}
        for at, kind, data in _events(answer, faults=[])
    ]
    line = encoded({"pipeline_id": pipeline, "pipeline_run_id": run, "events": events})
    if isinstance(line, Fault):
        raise line
    return line + b"\n"


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
        arrow = _ARROW.match(record)
        yield from _pieces(decoded(record[arrow.end() :] if arrow else record), faults)
        if faults:
            raise faults[0]

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        runs = Runs(settings)
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


ADAPTER = HomeAssistant()
