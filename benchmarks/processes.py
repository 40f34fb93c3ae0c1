"""Twenty people at once, of one server process and of several behind one port.

    python -m benchmarks.processes STORE [PROCESSES ...] [--people N] [--rounds N]

The servers run side by side, and the people click through each of them in turns, so that other load
on the machine is the same for all. In the first round nothing is cached yet. Needs HAProxy. Prints
Markdown for docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.dashboard import CROWD, crowd, links, p95, port_of, watched
from data.store.store import Store
from tests.browser import served

CLICKS = 8


def measure(store: Path, counts: list[int], people: int, rounds: int) -> None:
    """Print a table with a row per number of processes."""
    views = links(Store.open(store))
    with ExitStack() as stack:
        ports = {n: port_of(stack.enter_context(served(store, processes=n))) for n in counts}
        memory = {n: stack.enter_context(watched(port)) for n, port in ports.items()}
        times: dict[int, list[list[float]]] = {n: [] for n in counts}
        for number in range(rounds):
            # Who comes first has the disk's cache to fill.
            for n in counts if number % 2 == 0 else reversed(counts):
                began = time.perf_counter()
                times[n].append(asyncio.run(crowd(ports[n], views, people, clicks=CLICKS)))
                took = time.perf_counter() - began
                load = os.getloadavg()[0]
                print(f"- {n}: round {number + 1} took {took:.0f} s, load {load:.1f}", flush=True)
    print(f"\n{people} people, each clicking {CLICKS} times a round without pausing:\n")
    print("| processes | first round, p95 | later: median | p95 | peak memory |")
    print("|---:|---:|---:|---:|---:|")
    for n, of_rounds in times.items():
        later = [seconds for one in of_rounds[1:] for seconds in one]
        median = f"{np.median(later):.2f} s" if later else "–"
        print(
            f"| {n} | {p95(of_rounds[0]):.2f} s | {median} | {p95(later):.2f} s "
            f"| {memory[n]():.2f} GiB |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--people", type=int, default=CROWD)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    measure(given.store.resolve(), given.processes, given.people, given.rounds)
