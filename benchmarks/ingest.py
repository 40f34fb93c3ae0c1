"""Speed and memory of ingestion, on logs resampled from the real corpora.

Needs the corpora beside the repository.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CORPORA = ROOT.parent / "shared" / "corpora"
DAYS = 30

_MEASURE = """
import json, resource, sys, time
from data.store.store import Store
from data.ingest.ingest import ingest
if __name__ == "__main__":
    store = Store.create(sys.argv[1])
    began = time.perf_counter()
    report = ingest(store, [sys.argv[2]], workers=int(sys.argv[3]) or None)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    again = ingest(store, [sys.argv[2]], workers=int(sys.argv[3]) or None)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({
        "turns": report.turns, "seconds": seconds, "again_seconds": time.perf_counter() - began,
        "unchanged": again.files[0].unchanged, "own_kib": own, "worker_kib": worker,
    }))
"""


def run(n_turns: int, workers: int = 0) -> dict[str, float]:
    """Ingest `n_turns` resampled turns into a new store, twice, in a separate process.

    Returns turns, seconds, turns_per_second, again_turns_per_second (the same file a second time),
    megabytes (of JSONL) and peak_gib: the peak of the main process plus, for each worker, the peak
    of the largest one.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        write_log(log, n_turns)
        result = in_own_process(_MEASURE, log, workers)
        count = workers or min(os.cpu_count() or 1, 16)
        return {
            "turns": result["turns"],
            "megabytes": log.stat().st_size / 1e6,
            "seconds": result["seconds"],
            "turns_per_second": result["turns"] / result["seconds"],
            "again_turns_per_second": result["turns"] / result["again_seconds"],
            "peak_gib": (result["own_kib"] + count * result["worker_kib"]) / 2**20,
        }


def in_own_process(script: str, log: Path, workers: int) -> dict[str, Any]:
    """The JSON that a Python script prints, given the folder of a new store, `log` and `workers`.

    A file of its own, as worker processes import it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measure.py"
        file.write_text(script)
        process = subprocess.run(
            [sys.executable, str(file), str(Path(folder) / "store"), str(log), str(workers)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=True,
        )
        printed: dict[str, Any] = json.loads(process.stdout)
    return printed


def write_log(path: Path, n_turns: int, seed: int = 1) -> None:
    """A log of whole dialogues sampled with replacement, with new ids, in order of time."""
    chance = random.Random(seed)
    dialogues = list(_dialogues())
    start = datetime(2024, 5, 1, tzinfo=UTC)
    written = 0
    with path.open("w", encoding="utf-8") as file:
        copy = 0
        while written < n_turns:
            dialogue = chance.choice(dialogues)
            copy += 1
            began = start + timedelta(days=DAYS * written / n_turns)
            for turn in dialogue[: n_turns - written]:
                turn = dict(turn)
                turn["turn_id"] = f"{turn['turn_id']}-{copy}"
                turn["dialogue_id"] = f"{turn['dialogue_id']}-{copy}"
                moment = began + timedelta(seconds=10 * turn["turn_index"])
                turn["started_at"] = moment.isoformat(timespec="milliseconds")
                file.write(json.dumps(turn, ensure_ascii=False, separators=(",", ":")) + "\n")
                written += 1


def _dialogues() -> Iterator[list[dict[str, Any]]]:
    by_id: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(CORPORA.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                turn = json.loads(line)
                by_id.setdefault(turn["dialogue_id"], []).append(turn)
    yield from by_id.values()
