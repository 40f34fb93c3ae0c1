"""The HTTP layer of the receiver: replies in the request's type, and only for what is on disk."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from benchmarks.receiver import request, spans_of_turn
from collect import receiver, serving
from collect.ingester import KINDS, REFUSED, Figures, RefusedBody, Setup
from collect.otlp_bodies import JSON, PROTOBUF, TYPES
from collect.receiver import PATH, Limits, Receiver
from collect.serving import Ingesting
from collect.spool import Reader, Record, segments, size
from data.store.store import Store
from data.web_addresses import LOCAL_HOSTS
from tests.browser import free_port
from tests.collect.served import until
from tests.collect.spans import as_json

BODIES = {PROTOBUF: request(spans_of_turn(1, 0, 1.8e9))}
BODIES[JSON] = as_json(BODIES[PROTOBUF])


class Served:
    """A receiver without the process behind it, and a client."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.store = folder.parent / f"{folder.name}-store"
        self.receiver = Receiver(folder, limits, self.store)
        self.client = TestClient(
            self.receiver.application(tuple(LOCAL_HOSTS)), base_url="http://localhost"
        )

    def post(self, body: bytes, kind: str = PROTOBUF, **headers: str) -> Any:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(PATH, content=body, headers={"content-type": kind, **headers})

    def records(self) -> list[Record]:
        return Reader(self.folder).read(1 << 30)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    folder = tmp_path / "spool"
    folder.mkdir()
    served = Served(folder, Limits(body=1 << 20))
    with served.client:
        yield served
    served.receiver.close()


@contextmanager
def over_http(served: Served) -> Iterator[str]:
    """The address of a receiver on a port, where requests come in pieces."""
    port = free_port()
    application = served.receiver.application(tuple(LOCAL_HOSTS))
    config = uvicorn.Config(application, port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}{PATH}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_acknowledged_is_on_disk(served: Served, kind: str, packed: bool) -> None:
    body = BODIES[kind]
    sent = gzip.compress(body) if packed else body
    reply = served.post(sent, kind, content_encoding="gzip" if packed else "identity")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == kind
    assert reply.content == (b"{}" if kind == JSON else b"")
    (record,) = served.records()
    assert (KINDS[record.kind], record.body) == (kind, body)
    told = served.client.get("/health").json()
    assert (told["status"], told["requests"], told["spans"]) == ("ok", 1, 4)


def test_parameters_of_the_type_do_not_matter(served: Served) -> None:
    assert served.post(BODIES[JSON], "Application/JSON; charset=utf-8").status_code == 200


@pytest.mark.parametrize(("kind", "body"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_an_empty_request_is_a_success(served: Served, kind: str, body: bytes) -> None:
    assert served.post(body, kind).status_code == 200
    assert served.records() == []


def test_refused_spans_are_counted_in_the_reply(served: Served) -> None:
    faulty = ("pipecat", b"\x0a\x02ab\x2a\x03stt")
    reply = served.post(request([faulty, *spans_of_turn(1, 0, 1.8e9)]))
    assert reply.status_code == 200
    response = ExportTraceServiceResponse.FromString(reply.content)
    assert response.partial_success.rejected_spans == 1
    told = served.client.get("/health").json()
    assert (told["spans"], told["refused_spans"]) == (4, 1)


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "reason"),
    [
        (b"\xff\xff", PROTOBUF, "identity", "not an OTLP request"),
        (b"{", JSON, "identity", "not JSON"),
        (b"no gzip", JSON, "gzip", "not gzip"),
        (gzip.compress(BODIES[JSON])[:-9], JSON, "gzip", "not gzip, or cut off"),
    ],
)
def test_the_undecodable_is_kept_for_the_quarantine(
    served: Served, body: bytes, kind: str, encoding: str, reason: str
) -> None:
    reply = served.post(body, kind, content_encoding=encoding)
    assert reply.status_code == 400
    assert reply.headers["content-type"] == kind
    assert reason.encode() in reply.content
    (record,) = served.records()
    assert record.kind == REFUSED
    assert reason in msgspec.msgpack.decode(record.body, type=RefusedBody).reason


def test_large_bodies_are_refused(served: Served) -> None:
    large = b'{"x": "' + b"a" * (1 << 20) + b'"}'
    for body, encoding in ((large, "identity"), (gzip.compress(large), "gzip")):
        reply = served.post(body, JSON, content_encoding=encoding)
        assert reply.status_code == 413
        assert reply.json() == {"message": "The body has more than 1 MiB."}
    assert served.records() == []


def test_a_bomb_is_not_unpacked(served: Served) -> None:
    bomb = gzip.compress(b" " * (400 << 20), 9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert served.post(bomb, JSON, content_encoding="gzip").status_code == 413
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("how", ["gzip", "chunked"])
def test_bodies_that_are_being_received_count_as_they_are_held(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    served = Served(folder, Limits(body=4 << 20, bodies=10 << 20))
    body = BODIES[JSON] + b" " * (3 << 20)
    headers = {"content-type": JSON}
    if how == "gzip":
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    go_on, begun = threading.Event(), [threading.Event() for _ in range(3)]
    statuses: list[int] = []

    def slowly(number: int) -> Iterator[bytes]:
        yield body[:-4]
        begun[number].set()
        assert go_on.wait(60)
        yield body[-4:]

    def send(number: int) -> None:
        with httpx.Client(timeout=60) as client:
            reply = client.post(address, content=slowly(number), headers=headers)
            statuses.append(reply.status_code)

    with over_http(served) as address:
        senders = [threading.Thread(target=send, args=(number,)) for number in range(3)]
        for sender, has_begun in zip(senders, begun, strict=True):
            sender.start()
            assert has_begun.wait(60)
        until(lambda: served.receiver.receiving > 9 << 20)
        reply = httpx.post(address, content=body, headers=headers, timeout=60)
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) > 0
        go_on.set()
        for sender in senders:
            sender.join()
        assert statuses == [200] * 3
        assert httpx.post(address, content=body, headers=headers, timeout=60).status_code == 200
        assert served.receiver.receiving == 0
    served.receiver.close()


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    served = Served(folder, Limits(body_s=0.2))
    with over_http(served) as address:
        with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port)) as raw:
            head = f"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {JSON}\r\n"
            raw.sendall(f"{head}content-length: 1000\r\n\r\n".encode() + BODIES[JSON][:100])
            reply = raw.recv(65_536).decode()
        assert reply.startswith("HTTP/1.1 503 ")
        assert "retry-after: 5" in reply.lower()
        assert served.receiver.receiving == 0
        assert httpx.post(address, content=BODIES[JSON], headers={"content-type": JSON}).is_success
    served.receiver.close()


def test_several_members_of_gzip_are_one_body(served: Served) -> None:
    body = BODIES[JSON]
    packed = gzip.compress(body[:100]) + gzip.compress(body[100:])
    assert served.post(packed, JSON, content_encoding="gzip").status_code == 200
    assert served.records()[0].body == body


@pytest.mark.parametrize(
    ("kind", "encoding"), [("text/plain", "identity"), ("", "identity"), (JSON, "zstd")]
)
def test_other_types_are_refused(served: Served, kind: str, encoding: str) -> None:
    reply = served.post(b"{}", kind, content_encoding=encoding)
    assert reply.status_code == 415
    assert reply.json()["message"].endswith(".")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("POST", "/v1/metrics", 404), ("GET", "/", 404), ("POST", "/health", 405)],
)
def test_other_paths_are_refused(served: Served, method: str, path: str, status: int) -> None:
    reply = served.client.request(method, path)
    assert reply.status_code == status
    assert reply.json()["message"].endswith(".")


def test_other_names_are_refused(served: Served) -> None:
    assert served.post(BODIES[JSON], JSON, host="evil.example").status_code == 400
    assert served.records() == []


@pytest.mark.parametrize("kind", TYPES)
def test_who_comes_while_it_ends_is_to_try_again(served: Served, kind: str) -> None:
    served.receiver.stopping = True
    reply = served.post(BODIES[kind], kind)
    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) > 0
    assert served.client.get("/health").json()["status"] == "stopping"


def test_behind_it_asks_to_wait(tmp_path: Path) -> None:
    (tmp_path / f"{1:020d}.spool").write_bytes(b"x" * 2_000)
    served = Served(tmp_path, Limits(spool=1_000))
    with served.client:
        reply = served.post(BODIES[JSON], JSON)
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) > 0
        assert served.client.get("/health").json()["status"] == "behind"
    served.receiver.close()


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The events that are told."""
    with capture_logs() as told:
        yield told


def sentences(events: list[Any]) -> list[str]:
    return [event["message"] for event in events if "message" in event]


def test_a_disk_that_cannot_be_written_is_said_once(served: Served, events: list[Any]) -> None:
    assert served.post(BODIES[JSON], JSON).status_code == 200
    written = segments(served.folder)[-1].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (written - 1, hard))
    try:
        for _ in range(3):
            reply = served.post(BODIES[JSON], JSON)
            assert reply.status_code == 503
        assert served.client.get("/health").json()["status"] == "failing"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(sentences(events)) == 1
    assert served.post(BODIES[JSON], JSON).status_code == 200
    assert sentences(events)[1:] == ["The spool can be written again."]
    assert [record.body for record in served.records()] == [BODIES[JSON]] * 2


def sample(served: Served, name: str, **labels: str) -> float | None:
    """A figure, as Prometheus reads it; None if there is none of these labels."""
    reply = served.client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    found = [
        float(each.value)
        for family in text_string_to_metric_families(reply.text)
        for each in family.samples
        if each.name == f"faultline_collector_{name}" and each.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


def test_figures_count_what_was_answered(served: Served) -> None:
    assert sample(served, "spool_oldest_age_seconds") == 0
    for kind in TYPES:
        assert served.post(BODIES[kind], kind).status_code == 200
    faulty = ("pipecat", b"\x0a\x02ab\x2a\x03stt")
    assert served.post(request([faulty])).status_code == 200
    assert served.post(b"{", JSON).status_code == 400
    assert served.post(b"{}", "text/plain").status_code == 415
    served.receiver.stopping = True
    assert served.post(BODIES[JSON], JSON).status_code == 503
    for status, count in (("200", 3), ("400", 1), ("415", 1), ("503", 1)):
        assert sample(served, "requests_total", status=status) == count
    for reason in ("undecodable", "media_type", "stopping"):
        assert sample(served, "rejected_total", reason=reason) == 1
    assert sample(served, "rejected_total", reason="behind") is None
    assert sample(served, "spans_total", outcome="taken") == 8
    assert sample(served, "spans_total", outcome="refused") == 1
    expected = sum(map(len, BODIES.values())) + len(request([faulty])) + 1
    assert sample(served, "received_bytes_total") == expected
    assert sample(served, "spool_bytes") == size(served.folder) > 0
    # Four records went to disk: the undecodable body is kept, too.
    assert sample(served, "spool_write_seconds_count") == len(served.records()) == 4
    assert 0 < (sample(served, "spool_oldest_age_seconds") or 0) < 600


def test_figures_of_the_ingesting_process(served: Served) -> None:
    assert sample(served, "ready") == 0
    Store.create(served.store)
    figures = Figures(turns=7, runs=2, stored_at=1.8e9, commits=[1, 2] + [0] * 10, lag=3.5)
    served.receiver.told(figures)
    assert sample(served, "turns_total") == 7
    assert sample(served, "last_commit_timestamp_seconds") == 1.8e9
    assert sample(served, "lag_seconds") == 3.5
    assert sample(served, "commit_seconds_bucket", le="0.05") == 1
    assert sample(served, "commit_seconds_bucket", le="+Inf") == 3
    assert sample(served, "commit_seconds_count") == 3
    assert sample(served, "ready") == 1
    served.receiver.told(Figures(problem="The disk is full."))
    assert sample(served, "ready") == 0
    assert sample(served, "turns_total") == 0
    assert "commits" not in str(served.client.get("/health").json())


def test_ready_says_what_is_wrong(served: Served) -> None:
    def problem() -> str | None:
        reply = served.client.get("/ready")
        sentence: str | None = reply.json()["problem"]
        assert reply.status_code == (503 if sentence else 200)
        assert reply.json()["ready"] is (sentence is None)
        assert sentence is None or sentence.endswith(".")
        # It lives.
        assert served.client.get("/health").status_code == 200
        return sentence

    assert "is gone" in (problem() or "")
    Store.create(served.store)
    assert problem() is None
    head = (served.store / "HEAD.json").read_bytes()
    (served.store / "HEAD.json").write_text("{")
    assert "HEAD.json is damaged" in (problem() or "")
    (served.store / "HEAD.json").write_bytes(head)
    served.receiver.told(Figures(problem="The disk is full."))
    assert problem() == "The disk is full."
    served.receiver.told(Figures())
    assert problem() is None
    moved = served.folder.with_name("moved")
    assert served.post(BODIES[JSON], JSON).status_code == 200
    served.folder.rename(moved)
    assert f"{served.folder} is gone" in (problem() or "")
    # Acknowledged is only what is where the next start looks for it.
    assert served.post(BODIES[JSON], JSON).status_code == 503
    moved.rename(served.folder)
    assert problem() is None
    assert served.post(BODIES[JSON], JSON).status_code == 200
    assert len(served.records()) == 2
    served.receiver.stopping = True
    assert problem() == "The collector is shutting down."


def test_a_removed_spool_acknowledges_nothing(served: Served) -> None:
    assert served.post(BODIES[JSON], JSON).status_code == 200
    shutil.rmtree(served.folder)
    for _ in range(2):
        assert served.post(BODIES[JSON], JSON).status_code == 503
    assert not served.folder.exists()
    served.folder.mkdir()
    assert served.post(BODIES[JSON], JSON).status_code == 200
    assert len(served.records()) == 1


def test_a_process_that_says_nothing_fails(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served.client.get("/health").json()["status"] == "ok"
    monkeypatch.setattr(receiver, "SILENT_S", -1.0)
    told = served.client.get("/health").json()
    assert told["status"] == "failing"
    assert "has said nothing" in told["ingest_problem"]


def test_a_process_that_cannot_be_started_is_tried_again(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    Store.create(tmp_path / "store")
    monkeypatch.setattr(serving, "_RESTART_S", 0.1)
    # It prints what is no report before those that are.
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho a warning\necho '[1]'\nexec {sys.executable} \"$@\"\n")
    monkeypatch.setattr(sys, "executable", str(script))
    assert served.post(BODIES[JSON], JSON).status_code == 200
    setup = Setup(str(tmp_path / "store"), str(served.folder), "otlp", 0, 1e12, 0, 64 << 20)
    ingesting = Ingesting(setup, served.receiver)
    try:
        until(lambda: served.receiver.figures.problem is not None)
        assert served.client.get("/health").json()["status"] == "failing"
        script.chmod(0o755)
        until(lambda: served.receiver.figures.turns == 1)
        assert served.client.get("/health").json()["status"] == "ok"
    finally:
        ingesting.stop()
    assert sentences(events) == [
        "The ingesting process cannot be started: permission denied; it is tried again."
    ]


def test_many_senders_at_once(served: Served) -> None:
    statuses: list[int] = []

    def send(first: int) -> None:
        for number in range(first, first + 20):
            body = request(spans_of_turn(number, 0, 1.8e9))
            statuses.append(served.post(body).status_code)

    threads = [threading.Thread(target=send, args=(n * 20,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 160
    assert len({record.body for record in served.records()}) == 160
    assert json.loads(served.client.get("/health").content)["spans"] == 640
    assert os.listdir(served.folder)
