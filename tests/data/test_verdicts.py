"""Verdicts for the system that the turns came from: lines, spans, and sending them."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson, ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from data.errors import UsageError
from data.export.send import Answer, sender
from data.export.verdicts import SPAN, ids_of, write_verdicts
from data.ingest.adapters import registry
from data.ingest.ingest import ingest
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
from features.catalogue import sentence
from tests import scored
from tests.command import Run, must_fail
from tests.logs import write_lines

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span_id(number: int) -> str:
    return f"{number + 1:016x}"


@pytest.fixture
def traced(store: Store, tmp_path: Path) -> Store:
    """Five scored turns that were spans, and two that were not."""
    rows = json.loads(json.dumps(scored.records(4)[:7], default=datetime.isoformat))
    for number, row in enumerate(rows[:5]):
        row["turn_id"] = f"{TRACE}-{span_id(number)}"
    rows[0]["asr"] |= {"start_ms": 100.0, "latency_ms": 400.5}
    ingest(store, [write_lines(tmp_path / "traced.jsonl", rows)])
    scored.score(store)
    return store


def spans_of(file: Path) -> list[dict[str, Any]]:
    requests = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [
        span
        for request in requests
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def parsed(file: Path) -> list[ExportTraceServiceRequest]:
    """Requests as a receiver of the file format reads them: ids are hexadecimal."""
    requests = []
    for line in file.read_text("utf-8").splitlines():
        content = json.loads(line)
        for resource in content["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    for name in ("traceId", "spanId", "parentSpanId"):
                        raw = bytes.fromhex(span[name])
                        assert len(raw) == (16 if name == "traceId" else 8)
                        assert any(raw)
                        del span[name]
        requests.append(ParseDict(content, ExportTraceServiceRequest()))
    return requests


def test_lines_name_trace_and_span(traced: Store, run: Run, tmp_path: Path) -> None:
    to = tmp_path / "verdicts.jsonl"
    ran = run("export", "verdicts", "--to", str(to), "--store", str(traced.path))
    assert (ran.code, ran.err) == (0, "")
    assert "Wrote 7 verdicts" in ran.out
    lines = [json.loads(line) for line in to.read_text("utf-8").splitlines()]
    assert len(lines) == 7
    with traced.snapshot() as snapshot:
        rows = {row["turn_id"]: row for row in snapshot.query("FROM predictions").to_pylist()}
    for line in lines:
        row = rows[line["turn_id"]]
        joined = f"{line['trace_id']}-{line['span_id']}"
        assert (joined == line["turn_id"]) == line["turn_id"].startswith(TRACE)
        assert (line["trace_id"] is None) == (line["span_id"] is None)
        for name in ("dialogue_id", "failure_point", "model_id"):
            assert line[name] == row[name]
        for name in ("defect", *FAILURE_POINTS):
            assert line[f"p_{name}"] == pytest.approx(row[f"p_{name}"], abs=1e-6)
        names = [reason["feature"] for reason in line["reasons"]]
        assert names == [reason["feature"] for reason in row["reasons"]]
        assert line["checked_by_people"] is True
    assert sum(line["trace_id"] == TRACE for line in lines) == 5


def test_spans_are_children_of_their_turns(traced: Store, run: Run, tmp_path: Path) -> None:
    to = tmp_path / "verdicts.jsonl"
    (traced.models / scored.MODEL / "metrics.json").write_text('{"against": "generated"}', "utf-8")
    ran = run(
        "export", "verdicts", "--format", "otlp", "--to", str(to), "--store", str(traced.path)
    )
    assert "Wrote 5 verdicts" in ran.out
    assert "2 turns are left out" in ran.out
    spans = spans_of(to)
    with traced.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT *, epoch_us(started_at) AS us FROM predictions WHERE starts_with(turn_id, $t)",
            {"t": TRACE},
        ).to_pylist()
    by_turn = {row["turn_id"]: row for row in rows}
    assert len(spans) == len(by_turn) == 5
    for span in spans:
        row = by_turn[f"{span['traceId']}-{span['parentSpanId']}"]
        assert span["name"] == SPAN
        assert span["startTimeUnixNano"] == str(row["us"] * 1000)
        lasts = 500_500_000 if span["parentSpanId"] == span_id(0) else None
        if lasts:
            assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == lasts
        assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"])
        values = {one["key"]: one["value"] for one in span["attributes"]}
        assert values["faultline.failure_point"] == {"stringValue": row["failure_point"]}
        assert values["faultline.p_defect"]["doubleValue"] == pytest.approx(
            row["p_defect"], abs=1e-6
        )
        assert {f"faultline.p_{name}" for name in FAILURE_POINTS} <= set(values)
        reasons = values["faultline.reasons"]["arrayValue"]["values"]
        assert len(reasons) == len(row["reasons"])
        assert reasons[0]["stringValue"].startswith(sentence(row["reasons"][0]["feature"]))
        assert values["faultline.model"] == {"stringValue": scored.MODEL}
        assert values["faultline.checked_by_people"] == {"boolValue": False}
    assert len({span["spanId"] for span in spans}) == 5
    again = tmp_path / "again.json"
    with traced.snapshot() as snapshot:
        write_verdicts(snapshot, again, "otlp", meaning=sentence)
    assert again.read_bytes() == to.read_bytes()
    (request,) = parsed(to)
    assert len(request.resource_spans[0].scope_spans[0].spans) == 5


def test_protocol_buffers_hold_the_same(traced: Store, tmp_path: Path) -> None:
    with traced.snapshot() as snapshot:
        write_verdicts(snapshot, tmp_path / "v.jsonl", "otlp")
        write_verdicts(snapshot, tmp_path / "v.binpb", "otlp-protobuf")
    content = (tmp_path / "v.binpb").read_bytes()
    (length,) = struct.unpack(">I", content[:4])
    assert length == len(content) - 4
    request = ExportTraceServiceRequest.FromString(content[4:])
    spans = request.resource_spans[0].scope_spans[0].spans
    assert [
        (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) for span in spans
    ] == [
        (span["traceId"], span["spanId"], span["parentSpanId"])
        for span in spans_of(tmp_path / "v.jsonl")
    ]


def test_conditions_and_models(traced: Store, run: Run, tmp_path: Path) -> None:
    scored.score(traced, "model-b", 3)
    to, at = tmp_path / "v.jsonl", ("--store", str(traced.path))

    def models(*options: str) -> list[str]:
        assert run("export", "verdicts", "--to", str(to), *options, *at).code == 0
        return [json.loads(line)["model_id"] for line in to.read_text("utf-8").splitlines()]

    assert models() == ["model-b"] * 7
    assert sorted(models("--all")) == [scored.MODEL] * 7 + ["model-b"] * 7
    assert len(models("--all", "--where", "turn_index = 0 -- first")) < 14
    assert models("--where", "false") == []
    for where in ("nonsense = 1", "true) OR (true", "turn_id::INT = 1", "1 = 1; DROP TABLE turns"):
        must_fail(run("export", "verdicts", "--to", str(to), "--where", where, *at))


@pytest.mark.parametrize(
    ("turn_id", "ids"),
    [
        (f"{TRACE}-00f067aa0ba902b7", (TRACE, "00f067aa0ba902b7")),
        (f"{TRACE}-00f067aa0ba902b", None),
        (f"{TRACE}-00f067aa0ba902b7-2", None),
        (f"{TRACE}-00f067aa0ba902b7\n", None),
        (f"{TRACE.upper()}-00f067aa0ba902b7", None),
        # Ids of zeros are none, says the specification.
        (f"{'0' * 32}-00f067aa0ba902b7", None),
        (f"{TRACE}-{'0' * 16}", None),
        ("t1", None),
    ],
)
def test_ids_of_turns(turn_id: str, ids: tuple[str, str] | None) -> None:
    assert ids_of(turn_id) == ids


def test_mistakes_are_one_sentence(traced: Store, run: Run, tmp_path: Path) -> None:
    at = ("--store", str(traced.path))
    file = str(tmp_path / "v.jsonl")
    must_fail(run("export", "verdicts", "--to", str(tmp_path / "v.csv"), *at), ".jsonl")
    must_fail(run("export", "turns", "--to", file, "--format", "otlp", *at), "verdicts", "turns")
    must_fail(run("export", "verdicts", "--to", file, "--manifest", *at), "--manifest")
    must_fail(run("export", "verdicts", "--to", file, "--header", "a: b", *at), "--endpoint")
    url = ("--endpoint", "http://127.0.0.1:9/v1/traces")
    must_fail(run("export", "verdicts", "--to", file, *url, *at), "--format otlp")
    spans = ("export", "verdicts", "--to", file, "--format", "otlp", *at)
    must_fail(run(*spans, *url), "Cannot reach")
    # The file is written before anything is sent.
    assert len(spans_of(Path(file))) == 5
    Path(file).unlink()
    must_fail(run(*spans, *url, "--header", "secret"), "Name: value")
    for wrong in ("file:///etc/passwd", "localhost:4318", "http://"):
        must_fail(run(*spans, "--endpoint", wrong), "Cannot send to")
    assert not Path(file).exists()
    empty = Store.create(tmp_path / "empty")
    must_fail(run("export", "verdicts", "--to", file, "--store", str(empty.path)), "train")


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    """A receiver of spans on 127.0.0.1; `got` is what it was sent, `answers` what it answers.

    An answer is a status, headers and a body. The last one is given again and again.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got.append((self.path, dict(self.headers), body))
            status, headers, content = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    got: list[tuple[str, dict[str, str], bytes]] = []
    answers: list[tuple[int, dict[str, str], bytes]] = [(200, {}, b"")]
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.answers = got, answers  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_are_sent(traced: Store, run: Run, tmp_path: Path, receiver: HTTPServer) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/v1/traces"
    to = tmp_path / "v.jsonl"
    spans = ("export", "verdicts", "--to", str(to), "--format", "otlp", "--endpoint", url)
    ran = run(*spans, "--header", "Authorization: Basic abc", "--store", str(traced.path))
    assert ran.code == 0
    assert "sent" in ran.out
    ((path, headers, body),) = receiver.got  # type: ignore[attr-defined]
    assert path == "/v1/traces"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["Authorization"] == "Basic abc"
    sent = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert [span.span_id.hex() for span in sent] == [span["spanId"] for span in spans_of(to)]
    answer(receiver, (401, {}, b""))
    with pytest.raises(UsageError, match="401"):
        sender(url)(b"")
    receiver.got.clear()  # type: ignore[attr-defined]
    none = run(*spans, "--where", "length(turn_id) < 40", "--store", str(traced.path))
    must_fail(none, "no verdict belongs to a trace (2 of other turns)", code=1)
    assert receiver.got == []  # type: ignore[attr-defined]


def answer(receiver: HTTPServer, *answers: tuple[int, dict[str, str], bytes]) -> str:
    """Say what a receiver answers from now on; returns its address."""
    receiver.answers[:] = answers  # type: ignore[attr-defined]
    receiver.got.clear()  # type: ignore[attr-defined]
    return f"http://127.0.0.1:{receiver.server_port}/v1/traces"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_named(receiver: HTTPServer, status: int) -> None:
    target = f"http://localhost:{receiver.server_port}/elsewhere"
    url = answer(receiver, (status, {"Location": target}, b""), (200, {}, b""))
    with pytest.raises(UsageError, match=f"{status}.*redirect to {target}"):
        sender(url, ["Authorization: Basic abc"])(b"spans")
    assert [path for path, _, _ in receiver.got] == ["/v1/traces"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("after", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_busy_receiver_is_asked_again(receiver: HTTPServer, status: int, after: str) -> None:
    busy = (status, {"Retry-After": after}, b"")
    url = answer(receiver, busy, busy, (200, {}, b""))
    assert sender(url)(b"spans") == Answer()
    assert [body for _, _, body in receiver.got] == [b"spans"] * 3  # type: ignore[attr-defined]


def test_a_receiver_is_not_asked_for_ever(receiver: HTTPServer) -> None:
    url = answer(receiver, (503, {"Retry-After": "0"}, b""))
    with pytest.raises(UsageError, match=r"503.*send again later"):
        sender(url)(b"spans")
    assert len(receiver.got) == 5  # type: ignore[attr-defined]
    # Nor waited for longer than a minute.
    url = answer(receiver, (429, {"Retry-After": "3600"}, b""), (200, {}, b""))
    with pytest.raises(UsageError, match="Retry-After: 3600"):
        sender(url)(b"spans")
    assert len(receiver.got) == 1  # type: ignore[attr-defined]


def partial(rejected: int, message: str) -> ExportTraceServiceResponse:
    return ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    )


def test_rejected_spans_are_an_error_and_the_file_stays(
    traced: Store, run: Run, tmp_path: Path, receiver: HTTPServer
) -> None:
    to = tmp_path / "v.jsonl"
    url = answer(receiver, (200, {}, partial(2, "too old").SerializeToString()))
    spans = ("export", "verdicts", "--to", str(to), "--format", "otlp", "--endpoint", url)
    at = ("--store", str(traced.path))
    must_fail(run(*spans, *at), "rejected 2 of 5 spans: too old", code=1)
    assert len(spans_of(to)) == 5
    ran = run(*spans, "--json", *at)
    assert ran.code == 1
    assert json.loads(ran.out)["rejected"] == 2
    # A message alone is a warning.
    answer(receiver, (200, {}, partial(0, "slow down").SerializeToString()))
    ran = run(*spans, *at)
    assert ran.code == 0
    assert "slow down" in ran.err


def test_answers_in_json_and_in_no_form_of_otlp(receiver: HTTPServer) -> None:
    as_json = MessageToJson(partial(3, "why")).encode()
    headers = {"Content-Type": "application/json"}
    assert sender(answer(receiver, (200, headers, as_json)))(b"") == Answer(3, "why")
    assert sender(answer(receiver, (200, headers, b"{}")))(b"") == Answer()
    for kind, content in (("text/html", b"<html>Sign in</html>"), ("application/json", b"[")):
        url = answer(receiver, (200, {"Content-Type": kind}, content))
        assert "see there whether" in sender(url)(b"").message


def test_verdicts_are_no_turns(traced: Store, run: Run, store: Store, tmp_path: Path) -> None:
    """A trace that is exported again, with its verdicts, brings no turn for them."""
    if "otlp" not in registry.NAMES:
        pytest.skip("logs of OpenTelemetry spans are not read here")
    with traced.snapshot() as snapshot:
        write_verdicts(snapshot, tmp_path / "v.jsonl", "otlp")
    other = Store.create(tmp_path / "other")
    run("ingest", str(tmp_path / "v.jsonl"), "--format", "otlp", "--store", str(other.path))
    assert other.head().tables.get("turns", 0) == 0 or other.snapshot().counts()["turns"] == 0
