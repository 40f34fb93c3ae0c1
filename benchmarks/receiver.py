"""The receiver of `faultline collect otlp` under load: turns per second, acknowledgements, losses.

    python -m benchmarks.receiver [--seconds 300] [--rate 2000] [--connections 4] [--kill]

Senders in a process of their own act as many calls of Pipecat's at once: a turn of six seconds has
the spans `stt`, `llm`, `tts` and, last, `turn`; a call has eight turns and ends with
`conversation`. They send batches of 512 spans, as the SDK's exporter does, and send again what was
not acknowledged. With `--kill`, both processes of the collector are killed (SIGKILL) in the middle
and it is started again. Afterwards the turns in the store are compared with those sent.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

ROOT = Path(__file__).parents[1]
BATCH = 512
TURNS = 8
_TURN_S = 6.0
_MESSAGES = (
    ("turn on the lamp in the kitchen", "The kitchen lamp is on."),
    ("what is the weather like tomorrow", "Tomorrow it will rain until noon."),
    ("set a timer for ten minutes", "Ten minutes, starting now."),
    ("play some music from the seventies", "Here is music from the seventies."),
    ("order one large margherita", "One large margherita. Anything to drink?"),
)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _attributes(number: int, values: dict[str, Any]) -> bytes:
    """Attributes as fields of this number."""
    pairs = []
    for key, value in values.items():
        kind = {bool: "bool_value", int: "int_value", float: "double_value"}.get(type(value))
        held = AnyValue(**{kind or "string_value": value})
        pairs.append(_field(number, KeyValue(key=key, value=held).SerializeToString()))
    return b"".join(pairs)


def _id(size: int, *parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=size).digest()


def turn_id(call: int, turn: int) -> str:
    """The id of a turn in the store."""
    return f"{_id(16, call).hex()}-{_id(8, call, turn, 'stt').hex()}"


def _span(trace: bytes, own: bytes, parent: bytes, first: float, last: float, rest: bytes) -> bytes:
    """A serialised span; `first` and `last` in seconds."""
    times = struct.pack("<BQBQ", 0x39, int(first * 1e9), 0x41, int(last * 1e9))
    above = _field(4, parent) if parent else b""
    return _field(1, trace) + _field(2, own) + above + times + rest


def _named(name: str, values: dict[str, Any]) -> bytes:
    return _field(5, name.encode()) + bytes((0x30, 1)) + _attributes(9, values)


@cache
def _contents(first: int, turn: int) -> tuple[bytes, bytes, bytes, bytes]:
    """What does not differ from call to call of the spans `stt`, `llm`, `tts` and `turn`."""
    asked, answered = _MESSAGES[(first + turn) % len(_MESSAGES)]
    history = [{"role": "system", "content": "You are a helpful assistant on the phone."}]
    for before in range(turn):
        said, answer = _MESSAGES[(first + before) % len(_MESSAGES)]
        history += [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
    history.append({"role": "user", "content": asked})
    local = {"gen_ai.provider.name": "local"}
    stt = {
        **{**local, "gen_ai.request.model": "whisper-small-int8", "gen_ai.operation.name": "stt"},
        **{"settings.model": "whisper-small-int8", "settings.language": "en", "is_final": True},
        **{"transcript": asked, "language": "en", "vad_enabled": False, "metrics.ttfb": 0.41},
    }
    llm = {
        **{**local, "gen_ai.request.model": "tiny-chat-1", "gen_ai.operation.name": "chat"},
        **{"stream": True, "input": json.dumps(history), "output": answered + " "},
        **{"gen_ai.usage.input_tokens": 80 + 30 * turn, "gen_ai.usage.output_tokens": 12},
        "metrics.ttfb": 0.2,
    }
    tts = {
        **{**local, "gen_ai.request.model": "piper-medium", "gen_ai.operation.name": "tts"},
        **{"voice_id": "amy", "text": answered, "metrics.character_count": len(answered)},
        "metrics.ttfb": 0.12,
    }
    whole = {
        **{"turn.number": turn + 1, "turn.type": "conversation", "turn.duration_seconds": 5.2},
        "turn.was_interrupted": False,
    }
    return _named("stt", stt), _named("llm", llm), _named("tts", tts), _named("turn", whole)


def spans_of_turn(call: int, turn: int, start: float) -> list[tuple[str, bytes]]:
    """The spans of a turn in the order in which they end, with the scopes they belong to."""
    trace, parent = _id(16, call), _id(8, call, turn, "turn")
    stt, llm, tts, whole = _contents(call % len(_MESSAGES), turn)
    user = _attributes(9, {"user_id": f"caller-{call % 5_000}"})
    of_call = _attributes(9, {"conversation.id": f"call-{call}"})

    def child(name: str, first: float, last: float, rest: bytes) -> tuple[str, bytes]:
        own = _id(8, call, turn, name)
        return "pipecat", _span(trace, own, parent, start + first, start + last, rest)

    ends = _span(trace, parent, _id(8, call), start, start + 5.2, whole + of_call)
    return [
        child("stt", -0.2, 0.9, stt + user),
        child("llm", 0.95, 1.4, llm),
        child("tts", 1.3, 4.6, tts),
        ("pipecat.turn", ends),
    ]


def last_span(call: int, start: float, end: float) -> tuple[str, bytes]:
    """The span of a call, which ends last."""
    values = {"conversation.id": f"call-{call}", "conversation.type": "voice"}
    content = _named("conversation", values)
    return "pipecat.turn", _span(_id(16, call), _id(8, call), b"", start, end, content)


def request(spans: Sequence[tuple[str, bytes]]) -> bytes:
    """A request with these spans, of one process."""
    about = {
        **{"telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry"},
        **{"telemetry.sdk.version": "1.45.2", "service.name": "pizza-line"},
        "service.version": "0.9.4",
    }
    content = _field(1, _attributes(1, about))
    for scope in ("pipecat", "pipecat.turn"):
        chosen = b"".join(_field(2, span) for name, span in spans if name == scope)
        if chosen:
            content += _field(2, _field(1, _field(1, scope.encode())) + chosen)
    return _field(1, content)


# -- the senders -----------------------------------------------------------------------------------


def _events(rate: float, seconds: float, first: int) -> Iterator[tuple[float, int, int]]:
    """Ends of turns at a steady rate: when (from the beginning), which call, which turn. All calls
    in progress began in the past, so that the mixture of turns is that of a system at work."""
    open_calls = max(1, round(rate * _TURN_S))
    turns = {call: call % TURNS for call in range(first, first + open_calls)}
    calls = list(turns)
    following = first + open_calls
    number = 0
    while number < rate * seconds:
        place = number % open_calls
        call = calls[place]
        yield number / rate, call, turns[call]
        turns[call] += 1
        if turns[call] == TURNS:
            del turns[call]
            calls[place] = following
            turns[following] = 0
            following += 1
        number += 1


@dataclass
class Sent:
    """What the senders report: seconds of each acknowledgement, and how often they tried again."""

    turns: int = 0
    requests: int = 0
    again: int = 0
    seconds: float = 0.0
    late: float = 0.0
    bytes: int = 0
    waits: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


async def _send(address: str, rate: float, seconds: float, connections: int) -> Sent:
    sent = Sent()
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue(connections * 2)
    began = time.time()

    async def sender(client: httpx.AsyncClient) -> None:
        headers = {"content-type": "application/x-protobuf"}
        while (body := await waiting.get()) is not None:
            pause = 0.5
            while True:
                start = time.perf_counter()
                try:
                    reply = await client.post(address, content=body, headers=headers)
                    if reply.status_code == 200:
                        sent.waits.append(time.perf_counter() - start)
                        break
                    assert reply.status_code in (429, 503), reply.text
                except httpx.TransportError:
                    pass
                sent.again += 1
                await asyncio.sleep(pause)
            sent.requests += 1
            sent.bytes += len(body)

    async def make() -> None:
        spans: list[tuple[str, bytes]] = []
        for at, call, turn in _events(rate, seconds, 0):
            now = began + at
            if (ahead := now - time.time()) > 0:
                await asyncio.sleep(ahead)
            else:
                sent.late = max(sent.late, -ahead)
            spans += spans_of_turn(call, turn, now - 5.2)
            if turn == TURNS - 1:
                start = now - TURNS * _TURN_S
                spans.append(last_span(call, start, now))
            sent.turns += 1
            sent.ids.append(turn_id(call, turn))
            if len(spans) >= BATCH:
                await waiting.put(request(spans[:BATCH]))
                spans = spans[BATCH:]
        if spans:
            await waiting.put(request(spans))
        for _ in range(connections):
            await waiting.put(None)

    async with httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(make(), *(sender(client) for _ in range(connections)))
    sent.seconds = time.time() - began
    return sent


# -- the run ---------------------------------------------------------------------------------------


def start(store: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """A collector that answers."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "cli", "collect", "otlp", "--store", str(store)),
            *("--port", str(port), *options),
        ],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    for _ in range(600):
        try:
            health(port)
            return process
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError("The collector did not start.")


def health(port: int) -> dict[str, Any]:
    """What the collector says of itself."""
    # Never through a proxy that the environment names.
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(f"http://127.0.0.1:{port}/health", timeout=30) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a collector and the process behind it."""
    children = psutil.Process(process.pid).children(recursive=True)
    for each in (process, *children):
        os.kill(each.pid, signal.SIGKILL)
    process.wait()


def run(rate: float, seconds: float, connections: int, killed: bool, port: int) -> dict[str, Any]:
    """One run on a new store; the figures."""
    from data.store.store import Store

    with tempfile.TemporaryDirectory() as folder:
        store, result = Path(folder) / "store", Path(folder) / "sent.json"
        collector = start(store, port)
        senders = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.receiver", "--send", str(result)),
                *("--port", str(port), "--rate", str(rate), "--seconds", str(seconds)),
                *("--connections", str(connections)),
            ],
            cwd=ROOT,
        )
        lags, spools, memory = [0.0], [0], [0]
        halfway = time.time() + seconds / 2
        while senders.poll() is None:
            time.sleep(1)
            if killed and time.time() > halfway:
                kill(collector)
                collector = start(store, port)
                killed = False
            told = health(port)
            lags.append(told["ingest_lag"])
            spools.append(told["ingest_spool_bytes"])
            tree = [psutil.Process(collector.pid)]
            tree += tree[0].children(recursive=True)
            memory.append(sum(each.memory_info().rss for each in tree))
        sent = json.loads(result.read_text())
        ended = time.time()
        collector.send_signal(signal.SIGTERM)
        collector.wait()
        drained = time.time() - ended
        with Store.open(store).snapshot() as snapshot:
            stored = set(snapshot.query("SELECT turn_id FROM turns")["turn_id"].to_pylist())
            ((quarantined,),) = snapshot.query("SELECT count(*) FROM quarantine").to_pandas().values
        expected = set(sent["ids"])
        waits = sorted(sent["waits"])
        return {
            "turns sent": sent["turns"],
            "turns per second": sent["turns"] / sent["seconds"],
            "MB per second": sent["bytes"] / 1e6 / sent["seconds"],
            "requests": sent["requests"],
            "sent again": sent["again"],
            "senders late, s": sent["late"],
            "p50 ack, ms": 1_000 * statistics.median(waits),
            "p99 ack, ms": 1_000 * waits[int(0.99 * (len(waits) - 1))],
            "max ack, ms": 1_000 * waits[-1],
            "max lag, s": max(lags),
            "last lag, s": lags[-1],
            "max spool, MB": max(spools) / 1e6,
            "max memory, MB": max(memory) / 1e6,
            "drained in, s": drained,
            "turns stored": len(stored),
            "missing": len(expected - stored),
            "not sent": len(stored - expected),
            "quarantined": int(quarantined),
            "exit code": collector.returncode,
        }


def main() -> None:
    """Run the benchmark and print a table, or (`--send`) be the senders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=2_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--port", type=int, default=14_318)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--send", type=Path)
    given = parser.parse_args()
    if given.send:
        address = f"http://127.0.0.1:{given.port}/v1/traces"
        sent = asyncio.run(_send(address, given.rate, given.seconds, given.connections))
        given.send.write_text(json.dumps(sent.__dict__))
        return
    figures = run(given.rate, given.seconds, given.connections, given.kill, given.port)
    for name, value in figures.items():
        text = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
        print(f"| {name} | {text} |")


if __name__ == "__main__":
    main()
