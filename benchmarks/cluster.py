"""How much faster a store is scored by two nodes than by one, and by two processes than by one.

    python -m benchmarks.cluster STORE [ROUNDS]

STORE is a store with a model and at least 100,000 turns; a copy of it is scored whole, in turns by
a cluster of one node, a cluster of two, one process and two. Every node has one core of this
machine for itself, and so has the single process. Prints seconds, and speed-ups with 95 %
intervals.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from benchmarks.local_cluster import ADDRESS, cluster
from classifiers.scoring.score import score
from data import cluster as ray
from data.store.store import Store

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_ROUNDS = 3
_LEAST = 100_000
_WAYS = ("one node", "two nodes", "one process", "two processes")
# Of what is said: from the first part to the last, and the whole command with plan and commit.
_MEASURED = ("parts", "whole")


def timed(path: str, where: str) -> dict[str, float]:
    """Score all turns on a cluster, or by so many processes; the seconds of `_MEASURED`."""
    at: list[float] = []

    def progress(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        at.append(time.perf_counter())

    began = time.perf_counter()
    on_ray = ":" in where
    engine: AbstractContextManager[Any] = ray.cluster(where) if on_ray else nullcontext()
    with engine as chosen:
        workers = None if on_ray else int(where)
        score(Store.open(path), everything=True, progress=progress, engine=chosen, workers=workers)
    return {"parts": at[-1] - at[0], "whole": time.perf_counter() - began}


def run(way: str, store: Path) -> dict[str, float]:
    """One way to score, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cluster", "--timed", str(store)]
    if way in ("one node", "two nodes"):
        with cluster() as nodes:
            for core in range(2 if way == "two nodes" else 1):
                nodes.node(core)
            done = nodes.run(*command, ADDRESS)
    else:
        pinned = ["taskset", "-c", "0"] if way == "one process" else []
        processes = "2" if way == "two processes" else "1"
        done = subprocess.run([*pinned, *command, processes], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{way}: {done.stderr}")
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def speed_up(slow: list[float], fast: list[float]) -> str:
    """Geometric mean of the rounds' ratios, with its 95 % interval by Student's t."""
    ratios = np.log(np.array(slow) / np.array(fast))
    text = f"{np.exp(ratios.mean()):.2f}"
    if len(ratios) < 2:
        return text
    half = stats.t.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / np.sqrt(len(ratios))
    low, high = np.exp(ratios.mean() + np.array([-half, half]))
    return f"{text} ({low:.2f} to {high:.2f})"


def main(source: Path, rounds: int) -> None:
    """Take all measurements and print them as tables in Markdown."""
    with Store.open(source).snapshot() as snapshot:
        turns = snapshot.counts()["turns"]
        if turns < _LEAST or not snapshot.model:
            sys.exit(f"{source} has {turns:,} turns; give a store with a model and {_LEAST:,}.")
    seconds: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory(prefix="faultline-bench-") as folder:
        store = Path(shutil.copytree(source, Path(folder) / "store"))
        for number in range(rounds):
            for way in _WAYS:
                seconds[way].append(run(way, store))
                print(number + 1, way, seconds[way][-1], file=sys.stderr, flush=True)
    print(f"{turns:,} turns, {rounds} rounds\n")
    print("| scored by | parts, s | whole command, s |\n|---|---:|---:|")
    for way, times in seconds.items():
        cells = [", ".join(f"{t[name]:.0f}" for t in times) for name in _MEASURED]
        print(f"| {way} | {' | '.join(cells)} |")
    print("\n| speed-up of | parts | whole command |\n|---|---:|---:|")
    for fast, slow in (("two nodes", "one node"), ("two processes", "one process")):
        cells = [
            speed_up([t[name] for t in seconds[slow]], [t[name] for t in seconds[fast]])
            for name in _MEASURED
        ]
        print(f"| {fast} over {slow} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        print(json.dumps(timed(*sys.argv[2:])))
    elif len(sys.argv) in (2, 3):
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else _ROUNDS)
    else:
        sys.exit("Usage: python -m benchmarks.cluster STORE [ROUNDS]")
