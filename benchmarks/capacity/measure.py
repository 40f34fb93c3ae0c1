"""Measures the unit costs of `benchmarks.capacity.costs`.

Costs are processor time, children included, which other work on the machine changes less than the
clock; each is a slope between two sizes, so that starting a process costs nothing per turn.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from assistant.scale import scale
from benchmarks.capacity.costs import Costs
from benchmarks.ingest import write_log
from classifiers.encoder import DEFAULT, Encoder, export
from classifiers.scoring.score import BATCH
from data.store.parquet import FILE_ROWS
from data.store.store import Store
from data.store.workspace import put_setting
from features.matrix import open_frame, texts
from labels.generated.store import SETTING, current

_SMALL, _LARGE = 20_000, 100_000
_TEXTS = 4_000
# What `data.schema.trace` adds when a turn is stored.
_DERIVED = ("digest", "day", "extra")


def measure(source: Path) -> Costs:
    """Unit costs of the turns of a scored store; raises `SystemExit` if it is not scored."""
    store = Store.whole(source)
    model = store.head().model
    if model is None:
        sys.exit(f"The store at {source} has no model; give a scored one, as of: faultline demo")
    if current(store) is None:
        sys.exit(f"The store at {source} has no label model; train one: faultline labels train")
    text_s, texts_per_turn = _texts(store)
    sizes = {}
    with tempfile.TemporaryDirectory(prefix="faultline-capacity-") as name:
        folder = Path(name)
        for turns in (_SMALL, _LARGE):
            sizes[turns] = _steps(store, model, folder / str(turns), turns)

    def slope(step: str) -> float:
        small, large = sizes[_SMALL][step], sizes[_LARGE][step]
        return max(0.0, (large - small) / (_LARGE - _SMALL))

    contents = store.head().contents
    turns = contents["turns"].rows
    return Costs(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count() or 1,
        software=f"Python {sys.version.split()[0]}, DuckDB {version('duckdb')}",
        ingest_s=slope("ingest"),
        # Every part of scoring encodes each of its texts once.
        score_s=max(0.0, slope("score") - text_s * slope("texts")),
        text_s=text_s,
        texts_per_turn=texts_per_turn,
        labels_s=slope("labels"),
        rewrites_s=slope("rewrites"),
        plan_s=slope("plan"),
        plan_bytes=slope("plan_bytes"),
        file_s=_file_s(store),
        turns_per_day_file=FILE_ROWS,
        bytes_per_turn={
            name: held.bytes / turns for name, held in sorted(contents.items()) if held.rows
        },
    )


def _texts(store: Store) -> tuple[float, float]:
    """Processor seconds per distinct text; distinct texts per turn in a part of scoring."""
    distinct = next(_distinct(store))
    with tempfile.TemporaryDirectory() as name:
        export(DEFAULT, Path(name))
        encoder = Encoder(Path(name))
        encoder.encode(["warm up"])
        sample = sorted(distinct)[:: max(1, len(distinct) // _TEXTS)]
        began = time.process_time()
        encoder.encode(sample)
        seconds = time.process_time() - began
    turns = min(BATCH, store.head().contents["turns"].rows)
    return seconds / len(sample), len(distinct) / turns


def _distinct(store: Store) -> Iterator[set[str]]:
    """The distinct texts of every part of scoring, as near as a part follows the order of time."""
    order = "FROM turns ORDER BY day, dialogue_id, turn_id"
    with store.snapshot(only=["turns"]) as snapshot:
        for first in range(0, snapshot.counts()["turns"], BATCH):
            turns = snapshot.query(f"{order} LIMIT {BATCH} OFFSET {first}")
            with open_frame(turns, "hindsight") as con:
                fields = texts(con, "hindsight")
            fields = fields.drop_columns(["turn_id", "intent", "slot_names"])
            yield {text for column in fields.columns for text in column.to_pylist() if text}


def _steps(source: Store, model: str, folder: Path, turns: int) -> dict[str, float]:
    """Processor seconds of every step on a store of `turns` copies, and the plan's memory."""
    folder.mkdir()
    log, path = folder / "log.jsonl", folder / "store"
    write_log(log, turns)
    seconds = {"ingest": _command("ingest", str(log), "--store", str(folder / "logs"))[0]}
    log.unlink()
    shutil.rmtree(folder / "logs")
    with source.snapshot(only=["turns"]) as snapshot:
        original = snapshot.query("FROM turns ORDER BY turn_id").drop_columns(list(_DERIVED))
    scale(original, turns, folder / "copies")
    Store.create(path)
    _command("ingest", str(folder / "copies"), "--store", str(path))
    store = Store.open(path)
    for there, here in ((source.models, store.models), (source.label_models, store.label_models)):
        if there.is_dir():
            shutil.copytree(there, here, dirs_exist_ok=True)
    store.promote(model)
    put_setting(store, SETTING, current(source))
    to = ("--store", str(path))
    seconds["texts"] = float(sum(len(part) for part in _distinct(store)))
    seconds["score"], _ = _command("score", *to)
    # Nothing is left to score: what remains is finding that out.
    seconds["plan"], seconds["plan_bytes"] = _command("score", *to)
    seconds["labels"], _ = _command("labels", "generate", *to)
    seconds["rewrites"], _ = _command("rewrites", "mine", *to)
    shutil.rmtree(folder)
    return seconds


def _command(*arguments: str) -> tuple[float, float]:
    """Processor seconds of a command and its children, and the peak of its own memory in bytes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    peak, watched = 0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.05)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"faultline {' '.join(arguments)}: {said.decode()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, float(peak)


def _file_s(store: Store) -> float:
    """Seconds per data file of opening all tables of a store."""
    files = sum(held.files for held in store.head().contents.values())
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        store.snapshot().close()
        seconds.append(time.perf_counter() - began)
    with tempfile.TemporaryDirectory() as name:
        empty = Store.create(Path(name) / "store")
        began = time.perf_counter()
        empty.snapshot().close()
        nothing = time.perf_counter() - began
    return max(0.0, min(seconds) - nothing) / files
