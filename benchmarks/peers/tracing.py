"""The same spans, sent to Arize Phoenix and to `faultline collect`: ingestion, pages, memory, disk.

Calls in the shape of Pipecat's tracing (`benchmarks.sources`), in batches of 512 spans as the SDK's
exporter sends them, one after the other; what is refused for the moment is sent again. Pages are
opened in the same Chromium, from the request until the page shows its rows or the turn's words.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.sync_api import TimeoutError

from benchmarks.memory import listening, peak_gib
from benchmarks.peers.environments import WORKERS, Peer
from benchmarks.sources import pipecat_requests, protobuf
from data.store.store import Store
from tests.browser import browse, free_port, served

ROOT = Path(__file__).parents[2]
_BATCH = 512
_PATIENCE_S = 3_600
_VISITS = 9
_LONGEST_S = 120
_COUNTS = "{ projects { edges { node { id recordCount } } } }"


@dataclass(frozen=True)
class Traffic:
    """Requests to send, with how many spans and turns they hold; one trace's id and its words."""

    requests: list[bytes]
    spans: int
    turns: int
    trace: str

    @classmethod
    def of(cls, turns: int) -> Traffic:
        """Calls that ended within the last days: pages show the last week at first."""
        made = list(pipecat_requests(turns))
        last = max(span.start + span.length for spans in made for span in spans)
        moved = time.time_ns() - 60_000_000_000 - last
        requests, batch, held, total = [], ExportTraceServiceRequest(), 0, 0
        for spans in made:
            spans = [span._replace(start=span.start + moved) for span in spans]
            batch.MergeFromString(protobuf(spans))
            held, total = held + len(spans), total + len(spans)
            if held >= _BATCH:
                requests.append(batch.SerializeToString())
                batch, held = ExportTraceServiceRequest(), 0
        if held:
            requests.append(batch.SerializeToString())
        return cls(requests, total, turns, made[0][0].trace.hex())

    def send(self, port: int) -> float:
        """Send everything; returns the seconds until the last request was acknowledged."""
        began = time.perf_counter()
        with httpx.Client(timeout=120) as client:
            for body in self.requests:
                while True:
                    answer = client.post(
                        f"http://127.0.0.1:{port}/v1/traces",
                        content=body,
                        headers={"content-type": "application/x-protobuf"},
                    )
                    if answer.status_code not in (429, 503):
                        answer.raise_for_status()
                        break
                    time.sleep(0.2)
        return time.perf_counter() - began


@dataclass
class Measured:
    """Figures of a tool in seconds, bytes and GiB; of a page, first visit, median of the rest."""

    acknowledged: float = 0.0
    stored: float = 0.0
    disk: int = 0
    ingest_gib: float = 0.0
    page_gib: float = 0.0
    list_page: tuple[float, float] = (0.0, 0.0)
    trace_page: tuple[float, float] = (0.0, 0.0)


@contextmanager
def _running(
    command: Sequence[str], health: str, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A server, from its first healthy answer to the end of the block; yields its process id."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=log, stderr=log
        )
        try:
            _wait_until(lambda: _answers(health), 120, server)
            yield server.pid
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _wait_until(
    reached: Callable[[], bool], patience: float, server: subprocess.Popen[bytes] | None = None
) -> None:
    until = time.monotonic() + patience
    while not reached():
        if time.monotonic() > until or (server is not None and server.poll() is not None):
            raise RuntimeError("a server did not get as far as it should have")
        time.sleep(0.2)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _visits(url: str, shown: str) -> tuple[float, float]:
    """Seconds until `shown`, a selector, is visible: the first time, and the median of the rest;
    not a number if that takes more than two minutes.

    Every visit is a new tab of one browser, which keeps scripts and styles as browsers do.
    """
    seconds = []
    with browse() as watch:
        context = watch.page.context
        for _ in range(1 + _VISITS):
            page = context.new_page()
            began = time.perf_counter()
            page.goto(url, wait_until="commit", timeout=120_000)
            try:
                page.wait_for_selector(shown, state="visible", timeout=_LONGEST_S * 1_000)
            except TimeoutError:
                return math.nan, math.nan
            seconds.append(time.perf_counter() - began)
            page.close()
    return seconds[0], float(np.median(seconds[1:]))


def phoenix(peer: Peer, traffic: Traffic) -> Measured:
    """Arize Phoenix with its default store (SQLite), without requests to other hosts."""
    result = Measured()
    with tempfile.TemporaryDirectory() as name:
        port, folder = free_port(), Path(name)
        command = [str(peer.python), str(WORKERS / "phoenix_server.py")]
        environment = {
            "PHOENIX_WORKING_DIR": name,
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
            "PHOENIX_LOGGING_LEVEL": "warning",
        }
        address = f"http://127.0.0.1:{port}"

        def project() -> dict[str, object]:
            answer = httpx.post(f"{address}/graphql", json={"query": _COUNTS}, timeout=120)
            node: dict[str, object] = answer.json()["data"]["projects"]["edges"][0]["node"]
            return node

        with (
            _running(command, f"{address}/healthz", environment) as pid,
            peak_gib(pid, 0.5, shared_once=True) as peak,
        ):
            began = time.perf_counter()
            result.acknowledged = traffic.send(port)
            _say(f"Phoenix has acknowledged all ({result.acknowledged:.0f} s)")
            _wait_until(lambda: project()["recordCount"] == traffic.spans, _PATIENCE_S)
            result.stored = time.perf_counter() - began
            result.ingest_gib = peak()
            _say(f"and stored all ({result.stored:.0f} s)")
        # Stopped, so that its log has been written into the database.
        result.disk = _size(folder)
        with (
            _running(command, f"{address}/healthz", environment) as pid,
            peak_gib(pid, 0.5, shared_once=True) as peak,
        ):
            traces = f"{address}/projects/{project()['id']}/traces"
            result.list_page = _visits(traces, "table tbody tr td >> text=conversation")
            result.trace_page = _visits(f"{traces}/{traffic.trace}", "text=/^stt$/ >> nth=0")
            result.page_gib = peak()
    return result


def faultline(traffic: Traffic) -> tuple[Measured, float]:
    """Faultline; also the seconds that a first model, without labels, and scoring take."""
    result = Measured()
    with tempfile.TemporaryDirectory() as name:
        port, path = free_port(), Path(name) / "store"
        faultline = [str(Path(sys.executable).parent / "faultline")]
        collect = [*faultline, "collect", "otlp", "--store", str(path), "--port", str(port)]
        with (
            _running(collect, f"http://127.0.0.1:{port}/health") as pid,
            peak_gib(pid, 0.5, shared_once=True) as peak,
        ):
            began = time.perf_counter()
            result.acknowledged = traffic.send(port)
            _say(f"Faultline has acknowledged all ({result.acknowledged:.0f} s)")
            _wait_until(lambda: _turns(path) == traffic.turns, _PATIENCE_S)
            result.stored = time.perf_counter() - began
            result.ingest_gib = peak()
            _say(f"and stored all ({result.stored:.0f} s)")
        shutil.rmtree(path / ".spool", ignore_errors=True)
        result.disk = _size(path)
        began = time.perf_counter()
        # Where nobody has trained one, scoring trains a first model.
        subprocess.run(
            [*faultline, "score", "--store", str(path)], check=True, cwd=ROOT, capture_output=True
        )
        judged = time.perf_counter() - began
        _say(f"a first model has judged all ({judged:.0f} s)")
        with Store.open(path).snapshot(only=["turns"]) as snapshot:
            (turn,) = snapshot.query(
                "SELECT turn_id, day FROM turns WHERE starts_with(turn_id, $trace) "
                "ORDER BY turn_id LIMIT 1",
                {"trace": traffic.trace},
            ).to_pylist()
        server = free_port()
        with (
            served(path, port=server) as address,
            peak_gib(listening(server), 0.5, shared_once=True) as peak,
        ):
            done = "[data-testid=stApp][data-test-script-state=notRunning] "
            result.list_page = _visits(
                f"{address}/explore?show=table", f"{done}table tbody tr >> nth=0"
            )
            result.trace_page = _visits(
                f"{address}/turn?turn={turn['turn_id']}&day={turn['day'].isoformat()}",
                f"{done}[data-testid=stHeading] >> nth=0",
            )
            result.page_gib = peak()
    return result, judged


def _say(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def _turns(path: Path) -> int:
    return Store.open(path).head().contents["turns"].rows


def _seconds(value: float) -> str:
    return "over two minutes" if math.isnan(value) else f"{value:.2f} s"


def table(peer: Peer, turns: int) -> str:
    """The comparison as Markdown."""
    traffic = Traffic.of(turns)
    own, judged = faultline(traffic)
    other = phoenix(peer, traffic)

    def row(name: str, read: Callable[[Measured], str]) -> str:
        return f"| {name} | {read(own)} | {read(other)} |"

    size = sum(map(len, traffic.requests)) / 1e6
    return "\n".join(
        [
            f"{traffic.turns:,} turns of Pipecat calls, {traffic.spans:,} spans, {size:.0f} MB of "
            "protobuf:",
            "",
            f"| | Faultline | Phoenix {peer.version} |",
            "|---|---:|---:|",
            row("acknowledged, spans/s", lambda m: f"{traffic.spans / m.acknowledged:,.0f}"),
            row("in the store, spans/s", lambda m: f"{traffic.spans / m.stored:,.0f}"),
            row("in the store, turns/s", lambda m: f"{traffic.turns / m.stored:,.0f}"),
            row("disk, MB", lambda m: f"{m.disk / 1e6:.1f}"),
            row("memory while receiving, MiB", lambda m: f"{m.ingest_gib * 1024:,.0f}"),
            row("memory of the pages' server, MiB", lambda m: f"{m.page_gib * 1024:,.0f}"),
            row("list of turns or traces, first visit", lambda m: _seconds(m.list_page[0])),
            row("the same, median of nine more", lambda m: _seconds(m.list_page[1])),
            row("one turn or trace, first visit", lambda m: _seconds(m.trace_page[0])),
            row("the same, median of nine more", lambda m: _seconds(m.trace_page[1])),
            f"| a probability of each failure point for every turn | {judged:.0f} s, a first model "
            "without labels included | not offered |",
        ]
    )
