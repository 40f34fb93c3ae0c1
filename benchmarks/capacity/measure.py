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

from assistant.scale import scale
from benchmarks.capacity.costs import Costs
from benchmarks.ingest import write_log
from classifiers import registry
from classifiers.context_digest import plan_sql
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


def measure(source: Path, large: Path | None = None) -> Costs:
    """Unit costs of the turns of a scored store; raises `SystemExit` if it is not scored.

    `large` is a scored store of millions of turns, on which is measured what grows with a store.
    """
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

    contents, turns = store.head().contents, _turns(source)
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
        plan_s=_plan_s(Store.open(large)) / _turns(large) if large else slope("plan"),
        file_s=_file_s(store),
        turns_per_day_file=FILE_ROWS,
        bytes_per_turn={
            name: held.bytes / turns for name, held in sorted(contents.items()) if held.rows
        },
    )


def _turns(path: Path) -> int:
    return Store.open(path).head().contents["turns"].rows


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
    """Processor seconds of every step on a store of `turns` copies, and the texts it encodes."""
    folder.mkdir()
    log, path = folder / "log.jsonl", folder / "store"
    write_log(log, turns)
    seconds = {"ingest": _command("ingest", str(log), "--store", str(folder / "logs"))}
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
    seconds["score"] = _command("score", *to)
    # Nothing is left to score: what remains is finding that out.
    seconds["plan"] = _plan_s(store)
    seconds["labels"] = _command("labels", "generate", *to)
    seconds["rewrites"] = _command("rewrites", "mine", *to)
    shutil.rmtree(folder)
    return seconds


def _plan_s(store: Store) -> float:
    """Processor seconds of finding out which turns of a store need scoring."""
    settings = registry.load_settings(store.models, str(store.head().model))
    sql = plan_sql(settings.context, settings.devices_within)
    bound = {"model": store.head().model, "all": False, "batch": BATCH}
    with store.snapshot() as snapshot:
        began = time.process_time()
        for _ in snapshot.batches(sql, bound):
            pass
        return time.process_time() - began


def _command(*arguments: str) -> float:
    """Processor seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-m", "cli", *arguments], capture_output=True)
    if result.returncode:
        raise RuntimeError(f"faultline {' '.join(arguments)}: {result.stderr.decode()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
