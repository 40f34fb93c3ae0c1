"""Speed and memory of reading other systems' logs: `python -m benchmarks.sources [TURNS]`.

Logs are generated: calls of eight turns in the shape that Pipecat's tracing gives them (and
LiveKit's, half as many, as its spans are many times larger), two requests a turn, every LLM span
with the whole conversation; and conversations of Amazon Lex. Each is ingested into a new store by a
process of its own. Beside it: how fast the lines alone can be decoded with Python's `json`, and
with protobuf's own reader of JSON, in one process.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

from benchmarks.ingest import in_own_process
from benchmarks.memory import peak_gib

_CALL = 8
_BEGIN = 1_779_271_200_000_000_000
_ITEMS = ("coke", "margherita", "olives", "garlic bread", "tiramisu", "lemonade", "calzone")
_ASKED = ("a large {}", "no i said {}", "can i have {} please", "and {} for two", "cancel the {}")
_MEASURE = """
import json, sys, time
from data.ingest.ingest import ingest
from data.store.store import Store
if __name__ == "__main__":
    store = Store.create(sys.argv[1])
    began = time.perf_counter()
    report = ingest(store, [sys.argv[2]], workers=int(sys.argv[3]) or None)
    print(json.dumps({"turns": report.turns, "seconds": time.perf_counter() - began}))
"""


class _Span(NamedTuple):
    scope: str
    trace: bytes
    id: bytes
    parent: bytes
    name: str
    start: int
    length: int
    attributes: dict[str, Any]


# -- logs ------------------------------------------------------------------------------------------


class _Ids:
    def __init__(self, chance: random.Random) -> None:
        self._bytes = chance.randbytes

    def trace(self) -> bytes:
        return self._bytes(16)

    def span(self) -> bytes:
        return self._bytes(8)


def pipecat_requests(turns: int, seed: int = 1) -> Iterator[list[_Span]]:
    """Requests of Pipecat's calls: what a turn consists of, and then the turn."""
    chance = random.Random(seed)
    ids = _Ids(chance)
    model = {
        "gen_ai.provider.name": "local",
        "gen_ai.operation.name": "x",
        "settings.language": "en",
    }
    for call in range(-(-turns // _CALL)):
        trace, root = ids.trace(), ids.span()
        at = _BEGIN + call * 7_000_000_000
        began = at
        messages: list[dict[str, Any]] = [{"role": "system", "content": "You take orders."}]
        count = min(_CALL, turns - call * _CALL)
        for number in range(1, count + 1):
            turn = ids.span()
            item = chance.choice(_ITEMS)
            asked = chance.choice(_ASKED).format(item)
            said = f"One {item}. Anything to drink with number {call}?"
            spans = [
                _Span("pipecat", trace, ids.span(), turn, "stt", at, 900_000_000, {
                    **model, "gen_ai.request.model": "whisper-small-int8", "vad_enabled": False,
                    "settings.model": "whisper-small-int8", "transcript": asked, "is_final": True,
                    "language": "en", "user_id": f"caller-{call}", "metrics.ttfb": 0.25,
                })
            ]  # fmt: skip
            messages.append({"role": "user", "content": asked})
            tool = number % 3 == 0
            for last in (False, True) if tool else (True,):
                attributes = {
                    **model, "gen_ai.request.model": "tiny-chat-1", "stream": True,
                    "input": json.dumps(messages), "gen_ai.system_instructions": "You take orders.",
                    "param.model": "tiny-chat-1", "gen_ai.request.top_k": "NOT_GIVEN",
                    "gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 9,
                    "metrics.ttfb": 0.3,
                }  # fmt: skip
                if last:
                    attributes["output"] = said + " "
                else:
                    id = f"call_{number}"
                    function = {"name": "add_item", "arguments": json.dumps({"item": item})}
                    messages += [
                        {"role": "assistant", "tool_calls": [
                            {"id": id, "type": "function", "function": function}
                        ]},
                        {"role": "tool", "tool_call_id": id, "content": '"added"'},
                    ]  # fmt: skip
                spans.append(
                    _Span("pipecat", trace, ids.span(), turn, "llm", at + 10**9, 4 * 10**8,
                          attributes)
                )  # fmt: skip
            messages.append({"role": "assistant", "content": said})
            spans.append(
                _Span("pipecat", trace, ids.span(), turn, "tts", at + 15 * 10**8, 6 * 10**8, {
                    **model, "gen_ai.request.model": "piper-en", "voice_id": "alba", "text": said,
                    "settings.model": "piper-en", "settings.voice": "alba", "metrics.ttfb": 0.1,
                    "metrics.character_count": len(said), "tts.interrupted": number == 5,
                })
            )  # fmt: skip
            yield spans
            context = {"conversation.id": f"call-{call}", "turn.number": number}
            done = [
                _Span("pipecat.turn", trace, turn, root, "turn", at + 2 * 10**8, 3 * 10**9, {
                    **context, "turn.type": "conversation", "turn.was_interrupted": False,
                    "turn.duration_seconds": 3.0, "turn.user_bot_latency_seconds": 0.8,
                })
            ]  # fmt: skip
            if number == count:
                context = {"conversation.id": f"call-{call}", "conversation.type": "voice"}
                done.append(
                    _Span("pipecat.turn", trace, root, b"", "conversation", began, 10**10, context)
                )
            yield done
            at += 5_000_000_000


def livekit_requests(turns: int, seed: int = 1) -> Iterator[list[_Span]]:
    """Requests of LiveKit's sessions, with the spans that no turn needs."""
    chance = random.Random(seed)
    ids = _Ids(chance)
    scope = "livekit-agents"
    for call in range(-(-turns // _CALL)):
        trace, root = ids.trace(), ids.span()
        at = _BEGIN + call * 7_000_000_000
        history: list[dict[str, Any]] = []
        for number in range(min(_CALL, turns - call * _CALL)):
            asked = chance.choice(_ASKED).format(chance.choice(_ITEMS))
            said = f"Of course, {asked}. Anything else for number {call}?"
            user, agent, node, asking = (ids.span() for _ in range(4))
            history.append({"role": "user", "parts": [{"type": "text", "content": asked}]})
            context = json.dumps({"items": history, "instructions": "You run the desk. " * 20})
            yield [
                _Span(scope, trace, ids.span(), user, "user_speaking", at, 10**9, {}),
                _Span(scope, trace, ids.span(), user, "eou_wait", at + 10**9, 5 * 10**8,
                      {"lk.eou.source": "vad", "lk.eou.endpointing_delay": 0.5}),
                _Span(scope, trace, user, root, "user_turn", at, 15 * 10**8, {
                    "gen_ai.request.model": "unknown", "gen_ai.provider.name": "unknown",
                    "lk.pii.user_transcript": asked, "lk.transcript_confidence": 0.9,
                    "lk.transcription_delay": 0.25, "lk.end_of_turn_delay": 0.5 + number,
                    "lk.stt.events": json.dumps([{"type": "final_transcript"}] * 3),
                }),
            ]  # fmt: skip
            request = {
                "gen_ai.operation.name": "chat", "gen_ai.input.messages": context,
                "gen_ai.tool.definitions": json.dumps([{"name": "add", "type": "function"}] * 5),
                "lk.llm_metrics": json.dumps({"type": "llm_metrics", "ttft": 0.3}),
            }  # fmt: skip
            answer = [
                _Span(scope, trace, asking, node, "llm_request", at + 16 * 10**8, 10**8, request),
                _Span(scope, trace, ids.span(), asking, "llm_request_run", at + 16 * 10**8, 10**8,
                      request),
                _Span(scope, trace, node, agent, "llm_node", at + 16 * 10**8, 10**8, {
                    "lk.pii.chat_ctx": context, "lk.pii.response.text": said,
                    "gen_ai.request.model": "unknown", "lk.response.ttft": 0.1,
                }),
                _Span(scope, trace, ids.span(), agent, "tts_node", at + 17 * 10**8, 10**8,
                      {"lk.pii.input_text": said}),
                _Span(scope, trace, ids.span(), agent, "agent_speaking", at + 18 * 10**8, 10**9,
                      {}),
                _Span(scope, trace, agent, root, "agent_turn", at + 14 * 10**8, 3 * 10**9, {
                    "gen_ai.agent.name": "desk", "lk.pii.user_input": asked,
                    "lk.speech_id": f"speech_{call}_{number}", "lk.interrupted": False,
                    "lk.e2e_latency": 0.8, "lk.end_of_turn_delay": 0.5 + number,
                    "lk.transcription_delay": 0.25, "lk.pii.response.text": said,
                }),
            ]  # fmt: skip
            if number % 3 == 0:
                answer.append(
                    _Span(scope, trace, ids.span(), agent, "function_tool", at + 16 * 10**8, 10**6,
                          {"lk.function_tool.name": "add", "lk.function_tool.is_error": False,
                           "lk.pii.function_tool.arguments": '{"item": "coke"}'})
                )  # fmt: skip
            history.append({"role": "assistant", "parts": [{"type": "text", "content": said}]})
            yield answer
            at += 6_000_000_000
        yield [_Span(scope, trace, root, b"", "agent_session", _BEGIN + call * 7 * 10**9, 10**10,
                     {"lk.agent_label": "desk"})]  # fmt: skip


_RESOURCE = {
    "telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2", "service.name": "pizza-line", "service.version": "0.9.4",
}  # fmt: skip


def _json_attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    def value(given: Any) -> dict[str, Any]:
        if isinstance(given, bool):
            return {"boolValue": given}
        if isinstance(given, int):
            return {"intValue": str(given)}
        return {"doubleValue" if isinstance(given, float) else "stringValue": given}

    return [{"key": key, "value": value(given)} for key, given in attributes.items()]


def json_line(spans: list[_Span]) -> bytes:
    """A request as the Collector's file exporter writes it."""
    scopes: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        parent = {"parentSpanId": span.parent.hex()} if span.parent else {}
        scopes.setdefault(span.scope, []).append(
            {
                "traceId": span.trace.hex(), "spanId": span.id.hex(), **parent,
                "name": span.name, "kind": 1, "startTimeUnixNano": str(span.start),
                "endTimeUnixNano": str(span.start + span.length),
                "attributes": _json_attributes(span.attributes), "status": {}, "flags": 256,
            }
        )  # fmt: skip
    scoped = [{"scope": {"name": name}, "spans": inside} for name, inside in scopes.items()]
    resource = {"attributes": _json_attributes(_RESOURCE)}
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": scoped}]}
    return json.dumps(request, separators=(",", ":")).encode() + b"\n"


def protobuf(spans: list[_Span]) -> bytes:
    """A request as an exporter sends it."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()

    def add(target: Any, attributes: dict[str, Any]) -> None:
        for key, given in attributes.items():
            value = target.add(key=key).value
            if isinstance(given, bool):
                value.bool_value = given
            elif isinstance(given, int):
                value.int_value = given
            elif isinstance(given, float):
                value.double_value = given
            else:
                value.string_value = given

    add(resource.resource.attributes, _RESOURCE)
    scopes: dict[str, Any] = {}
    for span in spans:
        if span.scope not in scopes:
            scopes[span.scope] = resource.scope_spans.add()
            scopes[span.scope].scope.name = span.scope
        message = scopes[span.scope].spans.add(
            trace_id=span.trace, span_id=span.id, parent_span_id=span.parent, name=span.name,
            kind=1, start_time_unix_nano=span.start, end_time_unix_nano=span.start + span.length,
            flags=256,
        )  # fmt: skip
        add(message.attributes, span.attributes)
    data: bytes = request.SerializeToString()
    return data


def lex_lines(turns: int, seed: int = 1) -> Iterator[bytes]:
    """Entries of conversation logs of Amazon Lex V2."""
    chance = random.Random(seed)
    for number in range(turns):
        item = chance.choice(_ITEMS)
        asked = chance.choice(_ASKED).format(item)
        slots = {"Item": {"shape": "Scalar", "value": {
            "originalValue": item, "interpretedValue": item,
            "resolvedValues": [item]}}}  # fmt: skip
        intent = {"name": "Order", "state": "ReadyForFulfillment", "slots": slots}
        minutes, second = divmod(number, 60)
        hours, minute = divmod(minutes, 60)
        day, hour = divmod(hours, 24)
        time_of_day = f"{hour:02}:{minute:02}:{second:02}.{number % 999:03}"
        entry = {
            "messageVersion": "2.0", "requestId": f"r-{number}",
            "sessionId": f"s-{number // _CALL}", "inputMode": "Speech",
            "timestamp": f"2026-05-{1 + day % 28:02}T{time_of_day}Z",
            "bot": {"id": "B1", "name": "Pizza", "aliasId": "A1", "localeId": "en_US",
                    "version": "3"},
            "operationName": "RecognizeUtterance", "inputTranscript": asked,
            "transcriptions": [
                {"transcription": text, "transcriptionConfidence": score, "resolvedSlots": {}}
                for text, score in ((asked, 0.8), (asked.replace("a", "o"), 0.4), ("pizza", 0.1))
            ],
            "interpretations": [
                {"nluConfidence": "0.91", "intent": intent},
                {"intent": {"name": "FallbackIntent", "slots": {}}},
            ],
            "sessionState": {"intent": intent, "dialogAction": {"type": "Close"}},
            "missedUtterance": False, "bargeIn": number % 40 == 0,
            "audioProperties": {"duration": {"total": 1500, "voice": 900, "silence": 600}},
            "messages": [{"content": f"One {item}.", "contentType": "PlainText"}],
        }  # fmt: skip
        yield json.dumps(entry).encode() + b"\n"


# -- measurements ----------------------------------------------------------------------------------


def measure(log: Path, workers: int) -> dict[str, float]:
    """Ingest a log into a new store: turns, seconds, cpu_s (of all processes), peak_gib."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with peak_gib() as peak:
        result = in_own_process(_MEASURE, log, workers)
        highest = peak()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**result, "cpu_s": cpu, "peak_gib": highest}


def decoding(log: Path, decode: Callable[[bytes], Any], most_s: float = 5.0) -> float:
    """Bytes per second at which the lines of a log can be decoded, in one process."""
    began, done = time.perf_counter(), 0
    with log.open("rb") as file:
        for line in file:
            decode(line)
            done += len(line)
            if time.perf_counter() - began > most_s:
                break
    return done / (time.perf_counter() - began)


def main(turns: int = 100_000) -> None:
    """Measure all sources and print the table."""
    out = Console(width=110)
    table = Table("log", "turns", "MB", "processes", "turns/s", "MB/s", "CPU s", "peak GiB", "load")

    def row(name: str, log: Path, count: int) -> None:
        size = log.stat().st_size / 1e6
        for workers in (1, 0):
            got = measure(log, workers)
            if got["turns"] != count:
                raise AssertionError(f"{name}: {got['turns']} turns, expected {count}")
            rate = count / got["seconds"]
            table.add_row(
                name, f"{count:,}", f"{size:,.0f}", str(workers or os.cpu_count()), f"{rate:,.0f}",
                f"{size / got['seconds']:,.0f}", f"{got['cpu_s']:.1f}", f"{got['peak_gib']:.2f}",
                f"{os.getloadavg()[0]:.1f}",
            )  # fmt: skip

    def alternative(name: str, log: Path, count: int, decode: Callable[[bytes], Any]) -> None:
        size = log.stat().st_size
        speed = decoding(log, decode)
        rate = speed * count / size
        table.add_row(name, "", "", "1", f"{rate:,.0f}", f"{speed / 1e6:,.0f}", "", "")

    with tempfile.TemporaryDirectory() as folder:
        few = max(turns // 2, 1)
        logs: list[tuple[str, str, int, Iterator[bytes]]] = [
            ("Pipecat, JSON lines", "p.jsonl", turns, map(json_line, pipecat_requests(turns))),
            ("Pipecat, protobuf", "p.pb", turns, map(protobuf, pipecat_requests(turns))),
            ("LiveKit, JSON lines", "l.jsonl", few, map(json_line, livekit_requests(few))),
            ("LiveKit, protobuf", "l.pb", few, map(protobuf, livekit_requests(few))),
            ("Lex, JSON lines", "lex.jsonl", turns, lex_lines(turns)),
        ]
        for name, file, count, requests in logs:
            log = Path(folder) / file
            with log.open("wb") as target:
                target.writelines(requests)
            row(name, log, count)
            if file == "p.jsonl":
                alternative("  decoded only, json", log, count, json.loads)
                alternative(
                    "  decoded only, json_format",
                    log,
                    count,
                    lambda line: json_format.Parse(line, ExportTraceServiceRequest()),
                )
            log.unlink()
    out.print(table)
    out.print("Seconds are of the clock, so that what else runs counts: see the load behind each.")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
