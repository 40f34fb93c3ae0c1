"""The server of rewrites: answers, refusals, and a new index under load."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from rewrites.online.index_folder import version
from rewrites.online.rewriter import LONGEST, Rewriter
from rewrites.online.server import MOST_BYTES, Live, application
from tests.rewrites.lamps import store_with
from tests.rewriting import LAMB, LAMP, WILKERSON, WILKINSON, world


@pytest.fixture(scope="module")
def rewriter(tmp_path_factory: pytest.TempPathFactory) -> Rewriter:
    store = store_with(tmp_path_factory.mktemp("world"), world(6))
    with store.snapshot() as snapshot:
        return Rewriter.build(snapshot)


@pytest.fixture(scope="module")
def folder(rewriter: Rewriter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    rewriter.save(folder)
    return folder


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(application(folder), base_url="http://localhost") as client:
        yield client


def test_a_request_is_answered(client: TestClient) -> None:
    body: dict[str, Any] = {
        "text": LAMB,
        "user_id": "u1",
        "device": {"type": "speaker", "id": "d1", "state": {"room": "hall"}},
        "at": "2024-05-09T10:00:00Z",
        "before": [LAMP],
    }
    answer = client.post("/rewrite", json=body)
    assert answer.status_code == 200
    assert answer.json()["rewrite"] == LAMP
    assert 0 < answer.json()["score"] <= 1


def test_a_user_gets_only_their_own(client: TestClient) -> None:
    def asked(user: str | None) -> Any:
        return client.post("/rewrite", json={"text": WILKINSON, "user_id": user}).json()

    assert asked("wilk")["rewrite"] == WILKERSON
    for other in ("u1", "fan", None, ""):
        assert asked(other)["rewrite"] is None


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        (b"{", "application/json", 400, "not valid JSON"),
        (b"", "application/json", 400, "not valid JSON"),
        (b'{"text": "\xff"}', "application/json", 400, "not valid JSON"),
        (b'{"text": "a"}', "text/plain", 415, "application/json"),
        (b'{"text": "a"}', "", 415, "application/json"),
        (b"[" * 5_000, "application/json", 422, "does not fit"),
        (b"[]", "application/json", 422, "does not fit"),
        (b"{}", "application/json", 422, "text"),
        (b'{"text": 1}', "application/json", 422, "text"),
        (b'{"text": "a", "else": 1}', "application/json", 422, "else"),
        (b'{"text": "a", "before": "b"}', "application/json", 422, "before"),
        (b'{"text": "a", "at": "soon"}', "application/json", 422, "does not fit"),
        (b'{"text": "a", "device": {"state": 1}}', "application/json", 422, "state"),
        (b'{"text": "a", "device": {"type": 1}}', "application/json", 422, "type"),
        (json.dumps({"text": "a" * (LONGEST + 1)}).encode(), "application/json", 422, "1,000"),
        (json.dumps({"text": "a" * 100_000}).encode(), "application/json", 413, "bytes"),
    ],
)
def test_bad_input_is_one_sentence(
    client: TestClient, body: bytes, kind: str, status: int, sentence: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/rewrite", content=body, headers=headers)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_the_largest_body_is_taken(client: TestClient) -> None:
    body = json.dumps({"text": LAMB, "before": ["x" * (MOST_BYTES - 200)]})
    answer = client.post("/rewrite", content=body, headers={"content-type": "application/json"})
    assert answer.json()["rewrite"] == LAMP


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/rewrite", 405), ("GET", "/", 404)]
)
def test_other_paths_are_refused(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


def test_other_names_are_refused(client: TestClient) -> None:
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400


def test_the_document_describes_what_is_there(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        *("/rewrite", "/health", "/ready", "/metrics", "/openapi.json")
    }
    schemas = document["components"]["schemas"]
    answer = client.post("/rewrite", json={"text": LAMB}).json()
    assert set(answer) == set(schemas["Answer"]["properties"])
    full = {"text": "a", **dict.fromkeys(set(schemas["Request"]["properties"]) - {"text"})}
    assert client.post("/rewrite", json={**full, "before": []}).status_code == 200
    assert set(client.get("/health").json()) == set(schemas["Health"]["properties"])


def test_figures_count_requests_and_answers(folder: Path) -> None:
    with TestClient(application(folder), base_url="http://localhost") as client:
        for _ in range(2):
            assert client.post("/rewrite", json={"text": LAMB}).json()["rewrite"] == LAMP
        assert client.post("/rewrite", json={"text": "what time is it"}).status_code == 200
        assert client.post("/rewrite", content=b"{").status_code == 415
        assert client.get("/ready").json() == {"ready": True, "problem": None}
        text = client.get("/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "_bucket" not in sample.name and "_index_info" not in sample.name
    }
    assert samples["faultline_rewrites_requests_total", "200"] == 3
    assert samples["faultline_rewrites_requests_total", "415"] == 1
    assert samples["faultline_rewrites_request_seconds_count",] == 4
    answers = {key[1:]: n for key, n in samples.items() if key[0].endswith("_answers_total")}
    assert sum(answers.values()) == 3
    assert answers["none", "no"] == 1
    assert samples["faultline_rewrites_index_stale",] == 0
    assert f'generation="{version(folder)}"' in text
    assert LAMB not in text
    assert LAMP not in text


def test_it_is_not_ready_when_a_trial_is_not_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live(folder)
    client = TestClient(application(folder, live=live), base_url="http://localhost")
    assert client.get("/ready").status_code == 200

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("a page of the index cannot be read")

    monkeypatch.setattr(Rewriter, "rewrite", broken)
    reply = client.get("/ready")
    assert reply.status_code == 503
    assert reply.json()["problem"].endswith("(OSError).")
    assert client.get("/health").status_code == 200


def test_a_damaged_new_index_leaves_the_old_one_in_service(
    rewriter: Rewriter, tmp_path: Path
) -> None:
    rewriter.save(tmp_path)
    live = Live(tmp_path)
    assert not live.refresh()
    rewriter.save(tmp_path)
    for path in tmp_path.glob("generation-*/requests.parquet"):
        path.write_bytes(b"")
    assert not live.refresh()
    assert live.problem is not None
    assert live.rewriter.rewrite(LAMB).rewrite == LAMP
    rewriter.save(tmp_path)
    assert live.refresh()
    assert live.problem is None


def test_a_new_index_is_taken_up_without_a_dropped_request(
    rewriter: Rewriter, tmp_path: Path
) -> None:
    rewriter.save(tmp_path)
    port = _free_port()
    command = [sys.executable, "-m", "cli", "serve-rewrites", "--index", str(tmp_path)]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _wait(port, server)
        first = _asked(port, "GET", "/health")["generation"]
        stop, answers, problems = threading.Event(), [], []

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            body = json.dumps({"text": LAMB}).encode()
            while not stop.is_set():
                try:
                    connection.request(
                        "POST", "/rewrite", body, {"content-type": "application/json"}
                    )
                    answer = connection.getresponse()
                    answers.append((answer.status, json.loads(answer.read())["rewrite"]))
                except Exception as error:
                    problems.append(error)
                time.sleep(0.005)
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        rewriter.save(tmp_path)
        until = time.monotonic() + 30
        while _asked(port, "GET", "/health")["generation"] == first:
            assert time.monotonic() < until, "the new index was not taken up"
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
        assert not problems
        assert len(answers) > 20
        assert set(answers) == {(200, LAMP)}
    finally:
        server.terminate()
        server.wait(20)
        assert server.stderr
        server.stderr.close()


def _asked(port: int, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path)
    content = json.loads(connection.getresponse().read())
    connection.close()
    return content


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while True:
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < until, "the server did not start"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
