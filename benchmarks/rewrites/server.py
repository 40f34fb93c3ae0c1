"""How fast rewrites are served, as Markdown for docs/rewrite-server.md.

    python -m benchmarks.rewrites.server [REQUESTS] [SECONDS] [RATE]

Indexes REQUESTS distinct texts (1,000,000) made of the reference assistant's phrases and words,
said by 100,000 users with Zipf popularity, starts the real server in a process of its own, and asks
it RATE times a second (100) for SECONDS (60), then again while the index is replaced twice. A
latency counts from when the request was due, not from when it could be sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from rewrites.mining import REWRITES
from rewrites.online import index_folder
from rewrites.online.ranking import Background, Example, Ranker, Request, features, learn, retrieved
from rewrites.online.retrieval import HABITS, PATHS, REQUESTS, Index
from rewrites.online.rewriter import Rewriter
from rewrites.online.tabulate import LIFTS, SAID

_PHRASES = Path(__file__).parents[1] / "assistant" / "intents"
_USERS, _HABITS = 100_000, 12
_CONNECTIONS = 16
_QUERIES = 20_000
_DAY = 86_400.0


@dataclass(frozen=True)
class Load:
    """Latencies in ms of the requests answered, the number that failed, and the seconds it took."""

    latencies: list[float]
    failed: int
    seconds: float

    def line(self, name: str) -> str:
        """One row of the table."""
        p50, p95, p99, most = np.percentile(self.latencies, [50, 95, 99, 100])
        rate = len(self.latencies) / self.seconds
        return (
            f"| {name} | {len(self.latencies):,} | {self.failed} | {rate:.1f} | {p50:.1f} |"
            f" {p95:.1f} | {p99:.1f} | {most:.1f} |"
        )


def texts(count: int, seed: int = 0) -> list[str]:
    """Distinct requests: the assistant's phrases with names of one to three of its words."""
    rng = random.Random(seed)
    phrases, words = _phrases()
    made: dict[str, None] = {}
    while len(made) < count:
        name = " ".join(rng.choices(words, k=rng.randint(1, 3)))
        made[re.sub(r"\{[^}]*\}", name, rng.choice(phrases))] = None
    return list(made)


def misheard(text: str, rng: random.Random) -> str:
    """The text with one or two of its letters changed, or a word lost."""
    words = text.split()
    if len(words) > 2 and rng.random() < 0.3:
        words.pop(rng.randrange(len(words)))
        return " ".join(words)
    letters = list(text)
    for _ in range(rng.randint(1, 2)):
        letters[rng.randrange(len(letters))] = rng.choice("aeiounrst")
    return " ".join("".join(letters).split())


def tables(said: list[str]) -> dict[str, pa.Table]:
    """The tables of an index: a fifth of the texts fails and leads to the next."""
    n, rng = len(said), np.random.default_rng(0)
    turns = np.minimum(rng.zipf(1.6, n), 50_000).astype(float)
    failing = rng.random(n) < 0.2
    failure = np.where(failing, 0.9, 0.1)
    now = 20_000 * _DAY
    # Every third text shares its outcome with the one before.
    outcome = np.arange(n) - (np.arange(n) % 3 == 2)
    names: Any = pa.array([f"d{i % 20}|i{i % 200}|name={i}" for i in outcome])
    user = np.sort(np.repeat(np.arange(_USERS), _HABITS))
    row = np.minimum(rng.zipf(1.3, len(user)) - 1, n - 1)
    order = np.lexsort((row, user))
    pairs = np.unique(np.column_stack([user[order], row[order]]), axis=0)
    ids: Any = pa.array([f"u{i:06}" for i in range(_USERS)])
    size, failed_rows = len(pairs), np.flatnonzero(failing)
    return {
        "requests": _table(
            {
                "assistant": pa.array(["home"] * n),
                "text": pa.array(said),
                "interpretation": names,
                "turns": turns,
                "failure": failure,
                "successes": turns * (1 - failure),
                "users": np.maximum(2, turns).astype(np.int64),
                "last": now - rng.random(n) * 60 * _DAY,
            },
            REQUESTS,
        ),
        "habits": _table(
            {
                "user_id": ids.take(pa.array(pairs[:, 0].astype(np.int64))),
                "row": pairs[:, 1],
                "turns": 1.0 + rng.poisson(3, size),
                "failed": np.zeros(size),
                "last": now - rng.random(size) * 60 * _DAY,
                "hour_x": rng.random(size) - 0.5,
                "hour_y": rng.random(size) - 0.5,
            },
            HABITS,
        ),
        "paths": _table(
            {
                "row": failed_rows,
                "outcome": names.take(pa.array(((failed_rows + 1) % n).astype(np.int64))),
                "score": np.full(len(failed_rows), 0.6),
            },
            PATHS,
        ),
        "lifts": _table(
            {
                "context": [f"hour:{hour}" for hour in range(6) for _ in range(200)],
                "intent": [f"d{i % 20}|i{i}" for _ in range(6) for i in range(200)],
                "lift": rng.standard_normal(1200) * 0.3,
            },
            LIFTS,
        ),
        "said": SAID.empty_table(),
    }


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table(columns, schema=schema)


def ranker(index: Index, lifts: pa.Table, said: list[str]) -> Ranker:
    """A ranker of the usual size, learned from misheard texts."""
    rng, background, examples = random.Random(1), Background.of(lifts), []
    for i in range(1_200):
        row = rng.randrange(len(said))
        text = misheard(said[row], rng) if i % 3 else said[row]
        request = Request(text, "home", None, f"d|i|wrong={i}" if i % 2 else None)
        found = retrieved(index, request, unheard=True)
        table, about = features(index, background, request, found, unheard=True)
        outcome = index.outcome[found.rows]
        wanted = (outcome == index.outcome[row]).astype(float)
        failed = float(bool(i % 3))
        examples.append(Example(table, about, outcome, wanted, wanted * failed, failed))
    return learn(examples, examples[::3])


async def _asked(
    address: tuple[str, int], bodies: list[bytes], rate: float
) -> tuple[list[float], int]:
    start = time.perf_counter() + 0.5
    latencies: list[float] = []
    failed = 0

    async def connection(first: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(*address)
        for number in range(first, len(bodies), _CONNECTIONS):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            try:
                writer.write(bodies[number])
                head = await reader.readuntil(b"\r\n\r\n")
                stated = re.search(rb"content-length: (\d+)", head, re.I)
                assert stated
                await reader.readexactly(int(stated[1]))
                if b" 200 " not in head[:20]:
                    failed += 1
                    continue
            except (OSError, asyncio.IncompleteReadError):
                failed += 1
                reader, writer = await asyncio.open_connection(*address)
                continue
            latencies.append((time.perf_counter() - due) * 1000)
        writer.close()

    await asyncio.gather(*(connection(i) for i in range(_CONNECTIONS)))
    return latencies, failed


def _client(address: tuple[str, int], bodies: list[bytes], rate: float, results: Any) -> None:
    began = time.perf_counter()
    latencies, failed = asyncio.run(_asked(address, bodies, rate))
    results.put(Load(latencies, failed, time.perf_counter() - began - 0.5))


def load(port: int, bodies: list[bytes], rate: float, meanwhile: Any = None) -> Load:
    """Ask the server from a process of its own; `meanwhile` is called in this one."""
    context = get_context("spawn")
    results = context.Queue()
    client = context.Process(target=_client, args=(("127.0.0.1", port), bodies, rate, results))
    client.start()
    if meanwhile:
        meanwhile()
    outcome: Load = results.get()
    client.join()
    return outcome


def body(text: str, user: str, hour: int) -> bytes:
    """A whole HTTP request."""
    content = json.dumps({"text": text, "user_id": user, "at": 20_000 * _DAY + hour * 3600.0})
    head = f"POST /rewrite HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}"
    return f"{head}\r\ncontent-type: application/json\r\n\r\n{content}".encode()


def queries(said: list[str], count: int) -> list[bytes]:
    """Half of them texts that are indexed, half misheard ones; users have habits."""
    rng = random.Random(2)
    made = []
    for i in range(count):
        text = said[min(int(rng.paretovariate(0.3)) - 1, len(said) - 1)]
        text = misheard(text, rng) if i % 2 else text
        made.append(body(text, f"u{rng.randrange(_USERS):06}", rng.randrange(24)))
    return made


def _phrases() -> tuple[list[str], list[str]]:
    phrases, words = [], set[str]()
    for path in sorted(_PHRASES.glob("*.txt")):
        for line in path.read_text("utf-8").splitlines():
            text = re.sub(r"[<>~+]", "", line.partition("#")[0]).strip().lower()
            if not text or ":" in text or text.startswith("["):
                continue
            if "{" in text and len(re.findall(r"\{", text)) == 1:
                phrases.append(" ".join(text.split()))
            words.update(re.findall(r"[a-z]{3,}", re.sub(r"\{[^}]*\}", "", text)))
    return phrases, sorted(words)


def _again(folder: Path) -> None:
    """Publish the same index as a new generation, twice."""
    for _ in range(2):
        time.sleep(4)
        old = folder / str(index_folder.version(folder))
        index_folder.publish(folder, partial(_copied, old))


def _copied(old: Path, draft: Path) -> None:
    for path in old.iterdir():
        shutil.copyfile(path, draft / path.name)


def _memory(pid: int) -> tuple[float, float]:
    """Resident now and at most, in GiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    now, most = (re.search(rf"{name}:\s+(\d+)", status) for name in ("VmRSS", "VmHWM"))
    assert now
    assert most
    return int(now[1]) / 2**20, int(most[1]) / 2**20


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("The server did not start.")


def main(count: int, seconds: float, rate: float) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "index"
        said = texts(count)
        began = time.perf_counter()
        made = tables(said)
        rows = REWRITES.empty_table()
        index = Index.of(made["requests"], made["habits"], made["paths"])
        rewriter = Rewriter._made(
            index, rows, made["lifts"], made["said"], ranker(index, made["lifts"], said), None
        )
        built = time.perf_counter() - began
        rewriter.save(folder)
        saved = time.perf_counter() - began - built
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**30
        bodies = queries(said, int(rate * seconds))
        del rewriter, index, made, said
        port = _free_port()
        command = [sys.executable, "-m", "cli", "serve-rewrites", "--index", str(folder)]
        began = time.perf_counter()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        server = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=subprocess.DEVNULL
        )
        try:
            _wait(port)
            started = time.perf_counter() - began
            load(port, bodies[:500], rate)
            steady = load(port, bodies, rate)
            before, _ = _memory(server.pid)
            reloaded = load(port, bodies, rate, lambda: _again(folder))
            after, most = _memory(server.pid)
            fastest = load(port, bodies, 4 * rate)
        finally:
            server.terminate()
            server.wait(30)
    print(
        f"{count:,} texts indexed in {built:.0f} s, saved in {saved:.0f} s ({size:.2f} GiB); the "
        f"server starts in {started:.1f} s and holds {before:.2f} GiB ({after:.2f} GiB after two "
        f"reloads, {most:.2f} GiB at most). {os.cpu_count()} cores.\n"
    )
    print("| load | answered | failed | per second | p50 ms | p95 ms | p99 ms | slowest ms |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    print(steady.line(f"{rate:.0f}/s"))
    print(reloaded.line(f"{rate:.0f}/s, index replaced twice"))
    print(fastest.line(f"{4 * rate:.0f}/s asked for"))


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    defaults = [1_000_000.0, 60.0, 100.0]
    values = [*given, *defaults[len(given) :]]
    main(int(values[0]), values[1], values[2])
