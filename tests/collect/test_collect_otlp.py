"""The receiver as people run it: both processes, real exporters, a store that others write to."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchmarks.receiver import last_span, request, spans_of_turn, turn_id
from data.ingest.ingest import ingest
from data.store.backup import backup
from data.store.restoration import restore
from data.store.store import Store
from tests.collect.served import ROOT, Collector, quarantine, stored, until
from tests.collect.spans import as_json

pytestmark = pytest.mark.long

SOURCES = ROOT.parent / "shared" / "sources"


def of_files(folder: Path, paths: list[Path]) -> list[dict[str, Any]]:
    """The turns that ingestion makes of the same requests as files."""
    store = Store.create(folder / "of-files")
    ingest(store, paths, format="otlp")
    return stored(store.path)


def test_turns_of_a_call_come_one_by_one_and_late_spans_complete_them(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        first = spans_of_turn(1, 0, 1.8e9)
        assert collector.post(request([first[0], first[1], first[3]])) == 200
        until(lambda: len(stored(store)) == 1)
        assert stored(store)[0]["result"]["response"] == "Tomorrow it will rain until noon."
        assert stored(store)[0]["tts"] is None
        assert collector.post(request([first[2]])) == 200
        until(lambda: stored(store)[0]["tts"] is not None)
        assert collector.post(request(spans_of_turn(1, 1, 1.8e9 + 6))) == 200
        until(lambda: len(stored(store)) == 2)
        assert [turn["turn_index"] for turn in stored(store)] == [0, 1]
        assert {turn["dialogue_id"] for turn in stored(store)} == {"call-1"}
        told = collector.health()
        assert (told["status"], told["requests"], told["ingest_turns"]) == ("ok", 3, 2)
        assert told["ingest_replaced"] == 1
        collector.post(request([last_span(1, 1.8e9, 1.8e9 + 12)]))
        until(lambda: collector.health()["ingest_open_traces"] == 0)
        code, out, err = collector.stop()
    assert (code, err) == (0, "")
    assert "4 requests, 9 spans received; 2 new turns, 1 replaced" in out
    # Nothing is left of what has been stored.
    assert not list((store / ".spool" / "otlp").glob("*.spool"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_has_ended_stored(tmp_path: Path, number: int) -> None:
    store = tmp_path / "store"
    with Collector(store, grace=600) as collector:
        collector.post(request(spans_of_turn(1, 0, 1.8e9)))
        collector.post(request(spans_of_turn(1, 1, 1.8e9)[:2]))
        code, out, err = collector.stop(number)
    assert (code, err) == (0, "")
    assert "1 trace had not ended" in out
    assert [turn["turn_id"] for turn in stored(store)] == [turn_id(1, 0)]
    # What had not ended is there when it is started again.
    with Collector(store) as collector:
        collector.post(request(spans_of_turn(1, 1, 1.8e9)[2:]))
        until(lambda: len(stored(store)) == 2)
    assert stored(store)[1]["asr"]["hypotheses"]


def test_json_becomes_the_same_turns(tmp_path: Path) -> None:
    body = request([*spans_of_turn(1, 0, 1.8e9), last_span(1, 1.8e9, 1.8e9 + 6)])
    turns = []
    for name, sent, kind in (
        ("protobuf", body, "application/x-protobuf"),
        ("json", as_json(body), "application/json"),
    ):
        with Collector(tmp_path / name) as collector:
            assert collector.post(sent, kind) == 200
        turns.append(stored(tmp_path / name))
    assert len(turns[0]) == 1
    assert turns[0] == turns[1]


def test_what_cannot_be_read_is_in_quarantine(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        assert collector.post(b"\xff\xff") == 400
        assert collector.post(b'{"resourceSpans": 5}', "application/json") == 400
        faulty = b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "1"}]}]}]}'
        assert collector.post(faulty, "application/json") == 200
        until(lambda: collector.health()["ingest_quarantined"] == 3)
    rows = sorted(quarantine(store), key=lambda row: row["quarantined_at"])
    assert {row["excerpt"] for row in rows} == {
        *("\\xff\\xff", '{"resourceSpans": 5}', '{"traceId": "1"}')
    }
    assert all(row["reason"] and row["file"].startswith("otlp 127.0.0.1") for row in rows)


def test_spans_of_other_things_are_no_turns(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        other = {"traceId": "01" * 16, "spanId": "02" * 8, "name": "GET /"}
        times = {
            "startTimeUnixNano": "1800000000000000000",
            "endTimeUnixNano": "1800000001000000000",
        }
        scope = {"scope": {"name": "http"}, "spans": [{**other, **times}]}
        body = json.dumps({"resourceSpans": [{"scopeSpans": [scope]}]}).encode()
        assert collector.post(body, "application/json") == 200
        until(lambda: collector.health()["ingest_spans"] == 1)
        until(lambda: collector.health()["ingest_open_traces"] == 0)
        assert collector.health()["ingest_problem"] is None
        code, _, err = collector.stop()
    assert (code, err) == (0, "")
    assert stored(store) == quarantine(store) == []


def test_a_store_that_cannot_be_written_keeps_the_spool(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        until(lambda: collector.health()["ingest_spool_bytes"] == 0)
        head = (store / "HEAD.json").read_bytes()
        (store / "HEAD.json").write_text("{")
        collector.post(request(spans_of_turn(1, 0, 1.8e9)))
        until(lambda: collector.health()["status"] == "failing")
        (store / "HEAD.json").write_bytes(head)
        until(lambda: len(stored(store)) == 1)
        until(lambda: collector.health()["status"] == "ok")
        _, _, err = collector.stop()
    assert err.count("\n") == 1
    assert "HEAD.json" in err


def test_it_ends_while_the_store_cannot_be_written(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        until(lambda: collector.health()["ingest_spool_bytes"] == 0)
        head = (store / "HEAD.json").read_bytes()
        (store / "HEAD.json").write_text("{")
        collector.post(request(spans_of_turn(1, 0, 1.8e9)))
        until(lambda: collector.health()["status"] == "failing")
        code, out, err = collector.stop()
    assert code == 0
    assert "What was received waits in " in out
    assert err.count("\n") == 1
    assert "HEAD.json" in err
    (store / "HEAD.json").write_bytes(head)
    with Collector(store) as collector:
        until(lambda: len(stored(store)) == 1)


def ready(collector: Collector) -> tuple[int, Any]:
    """The status of GET /ready, and what it says is wrong."""
    reply = httpx.get(f"{collector.address}/ready", timeout=60)
    return reply.status_code, reply.json()["problem"]


def test_a_store_that_is_moved_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    store, moved = tmp_path / "store", tmp_path / "moved"
    with Collector(store, grace=2) as collector:
        until(lambda: ready(collector) == (200, None))
        assert collector.post(request(spans_of_turn(1, 0, 1.8e9))) == 200
        store.rename(moved)
        status, problem = ready(collector)
        assert status == 503
        assert f"The folder {store} is gone" in problem
        assert collector.health()["requests"] == 1
        # Nothing is taken that the spool at its place would lack.
        assert collector.post(request(spans_of_turn(2, 0, 1.8e9))) == 503
        until(lambda: collector.health()["ingest_problem"] is not None)
        # Also by a process that starts meanwhile: nothing is in the way of putting it back.
        (child,) = psutil.Process(collector.process.pid).children()
        child.kill()
        until(lambda: "started again" in str(collector.health()["ingest_problem"]))
        until(lambda: "is gone" in str(collector.health()["ingest_problem"]))
        assert not store.exists()
        assert len(list((moved / ".spool" / "otlp").glob("*.spool"))) == 1
        moved.rename(store)
        until(lambda: len(stored(store)) == 1)
        until(lambda: ready(collector) == (200, None))
        assert collector.post(request(spans_of_turn(2, 0, 1.8e9))) == 200
        until(lambda: len(stored(store)) == 2)
        code, _, _ = collector.stop()
    assert code == 0


def test_a_store_that_is_deleted_is_restored_under_a_running_collector(tmp_path: Path) -> None:
    store, spool = tmp_path / "store", tmp_path / "spool"
    with Collector(store, "--spool", str(spool)) as collector:
        assert collector.post(request(spans_of_turn(1, 0, 1.8e9))) == 200
        until(lambda: len(stored(store)) == 1)
        backup(Store.open(store), tmp_path / "backup.tar")
        shutil.rmtree(store)
        assert ready(collector)[0] == 503
        # The spool is where it was, and takes what comes.
        assert collector.post(request(spans_of_turn(2, 0, 1.8e9))) == 200
        until(lambda: "is gone" in str(collector.health()["ingest_problem"]))
        assert not store.exists()
        assert list(spool.glob("*.spool"))
        restore(tmp_path / "backup.tar", store)
        until(lambda: len(stored(store)) == 2)
        until(lambda: ready(collector) == (200, None))
    assert {turn["turn_id"] for turn in stored(store)} == {turn_id(1, 0), turn_id(2, 0)}


def test_events_as_json_hold_nothing_that_was_said(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store, "--log-format", "json") as collector:
        collector.post(request(spans_of_turn(1, 0, 1.8e9)))
        collector.post(b'{"resourceSpans": "my secret words"}', "application/json")
        collector.post(b"my secret words", "text/plain")
        until(lambda: len(stored(store)) == 1)
        figures = httpx.get(f"{collector.address}/metrics").text
        (child,) = psutil.Process(collector.process.pid).children()
        child.kill()
        until(lambda: "started again" in str(collector.health()["ingest_problem"]))
        code, out, err = collector.stop()
    assert (code, out) == (0, "")
    events = [json.loads(line) for line in err.splitlines()]
    assert {event["event"] for event in events} >= {
        *("started", "stored", "refused", "ingesting_ended", "stopped")
    }
    assert all(event["level"] and event["time"].endswith("Z") for event in events)
    (turn,) = stored(store)
    said = [turn["asr"]["hypotheses"][0]["text"], turn["result"]["response"], "secret", "caller-1"]
    for text in said:
        assert text not in err + figures
    assert "faultline_collector_turns_total 1.0" in figures


def test_others_may_write_to_the_store_meanwhile(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        until(lambda: (store / "HEAD.json").exists())
        with Store.open(store).locked():
            collector.post(request(spans_of_turn(1, 0, 1.8e9)))
            time.sleep(1)
            assert collector.post(request(spans_of_turn(2, 0, 1.8e9))) == 200
            assert stored(store) == []
        until(lambda: len(stored(store)) == 2)


def test_a_killed_ingesting_process_is_started_again(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        (child,) = psutil.Process(collector.process.pid).children()
        os.kill(child.pid, signal.SIGKILL)
        collector.post(request(spans_of_turn(1, 0, 1.8e9)))
        until(lambda: len(stored(store)) == 1)
        _, _, err = collector.stop()
    assert err == "The ingesting process ended (code -9) and is started again.\n"


def test_a_second_collector_is_refused(tmp_path: Path) -> None:
    with Collector(tmp_path / "store"), Collector(tmp_path / "store") as second:
        _, err = second.process.communicate()
    assert second.process.returncode == 2
    assert err.startswith("Error: Another collector is using the spool at ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("seed", range(4))
def test_nothing_acknowledged_is_lost_by_kills(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store, acknowledged = tmp_path / "store", set[str]()
    port = 0
    for life in range(4):
        with Collector(store, port=port) as collector:
            port = collector.port
            end = time.monotonic() + chance.uniform(0.1, 4)
            number = 0
            while time.monotonic() < end:
                call = 1_000 * life + number
                spans = spans_of_turn(call, 0, 1.8e9)
                chance.shuffle(spans)
                # The turn in two requests; it counts when both were acknowledged.
                first, second = request(spans[:2]), request(spans[2:])
                if collector.post(first) == 200 and collector.post(second) == 200:
                    acknowledged.add(turn_id(call, 0))
                number += 1
            collector.kill()
    with Collector(store, port=port) as collector:
        code, _, err = collector.stop()
    assert (code, err) == (0, "")
    assert acknowledged
    turns = stored(store)
    assert acknowledged <= {turn["turn_id"] for turn in turns}
    assert len({turn["turn_id"] for turn in turns}) == len(turns)
    assert quarantine(store) == []


@pytest.mark.parametrize("name", ["otlp-pipecat", "otlp-livekit", "otlp-openinference-pipecat"])
def test_real_requests_become_the_turns_that_files_of_them_become(
    tmp_path: Path, name: str
) -> None:
    if not SOURCES.is_dir():
        pytest.skip(f"the samples are missing: {SOURCES}")
    bodies = sorted((SOURCES / name / "requests").iterdir())
    store = tmp_path / "store"
    with Collector(store, grace=0.1) as collector:
        for path in bodies:
            assert collector.post(path.read_bytes()) == 200
            time.sleep(0.15)
    expected = of_files(tmp_path, [SOURCES / name / "all.pb"])
    got = stored(store)
    assert len(got) == len(expected) > 0
    for turn, other in zip(got, expected, strict=True):
        assert turn == other


_EXPORT = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
provider = TracerProvider(resource=Resource.create({"service.name": "phone"}))
how = Compression.Gzip if sys.argv[2] == "gzip" else Compression.NoCompression
exporter = OTLPSpanExporter(endpoint=sys.argv[1] + "/v1/traces", compression=how)
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
tracer, turns = provider.get_tracer("pipecat"), provider.get_tracer("pipecat.turn")
call = {"conversation.id": "c1"}
with turns.start_as_current_span("conversation", attributes=call):
    for number in range(3):
        about = {**call, "turn.number": number + 1}
        with turns.start_as_current_span("turn", attributes=about):
            text = {"transcript": f"request {number}", "is_final": True, "language": "en"}
            with tracer.start_as_current_span("stt", attributes=text):
                pass
            with tracer.start_as_current_span("llm", attributes={"output": "Yes."}):
                pass
provider.shutdown()
"""


@pytest.mark.parametrize("how", ["plain", "gzip"])
def test_the_exporter_of_the_sdk(tmp_path: Path, how: str) -> None:
    store = tmp_path / "store"
    with Collector(store) as collector:
        subprocess.run([sys.executable, "-c", _EXPORT, collector.address, how], check=True)
        until(lambda: len(stored(store)) == 3)
        assert collector.health()["refused_requests"] == 0
    texts = [turn["asr"]["hypotheses"][0]["text"] for turn in stored(store)]
    assert texts == ["request 0", "request 1", "request 2"]
    assert {turn["assistant"] for turn in stored(store)} == {"phone"}
