"""Response times of the dashboard, on copies of a scored demo store.

    python -m benchmarks.dashboard STORE [TURNS ...] [--in FOLDER]

For each number of turns (1,000,000 and 10,000,000 by default) the store's turns and predictions are
copied with new ids and times (`assistant.scale`), for this once, or into FOLDER, where a copy that
is there already is taken as it is, with what the last run ingested. Then the real server is asked
for every page: by the first visitor after its start, with new filters, and with the same filters
again; by twenty people at once; and while another process ingests and scores. A page that runs a
search counts as drawn when its progress bar appears. Prints Markdown for docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assistant.scale import copies, scale
from benchmarks.memory import listening, peak_gib
from benchmarks.visitors import Visit, Visitor
from classifiers.context_digest import digests_sql
from data.ingest.ingest import ingest
from data.queries.filters import Filter
from data.queries.overview import (
    bounds,
    defects,
    options,
)
from data.schema.tables import PREDICTIONS
from data.store.predictions import commit_predictions
from data.store.store import Store
from labels.rules.derived import refresh
from rewrites.refresh import refresh as mine
from tests.browser import served

_DERIVED = ("digest", "day", "extra")
_PART = 2_000_000
_DIGESTS = f"SELECT turn_id, context_digest FROM ({digests_sql('hindsight')})"
_UP_TO_DATE = """
SELECT part.* REPLACE (digests.context_digest AS context_digest)
FROM part JOIN digests USING (turn_id)
"""
PAGES = ("", "triage", "turn", "model", "annotate", "explore", "data", "rewrites")
CROWD = 20
_TURN = ("turn=", "day=")


def enlarge(source: Path, count: int, to: Path) -> Store:
    """A store of `count` copied turns with their predictions, as if they had been scored."""
    with Store.open(source).snapshot() as snapshot:
        model = snapshot.model
        assert model, "the store must be scored first"
        turns = snapshot.query("FROM turns ORDER BY turn_id").drop_columns(list(_DERIVED))
        predictions = snapshot.query(
            "FROM predictions WHERE model_id = $model ORDER BY turn_id", {"model": model}
        )
    assert predictions["turn_id"].equals(turns["turn_id"]), "every turn must be scored"
    predictions = predictions.drop_columns(["day"])
    store = Store.create(to)
    shutil.copytree(source / "models", to / "models", dirs_exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
        folder = Path(scratch) / "turns"
        scale(turns, count, folder)
        ingest(store, [folder])
        shutil.rmtree(folder)
        with store.snapshot() as there:
            # Otherwise scoring would take the copies for changed turns.
            digests = there.query(_DIGESTS)
        for number, part in enumerate(_parts(predictions, count)):
            with store.snapshot() as there:
                part = there.query(_UP_TO_DATE, tables={"part": part, "digests": digests})
            path = Path(scratch) / f"{number}.parquet"
            day = pc.cast(pc.cast(part["started_at"], pa.timestamp("us")), pa.date32())
            part = part.append_column("day", day).select(PREDICTIONS.names)
            pq.write_table(part.cast(PREDICTIONS), path)
            commit_predictions(store, [path], model)
            path.unlink()
    refresh(store)
    store.promote(model)
    mine(store)
    return store


def _parts(predictions: pa.Table, count: int) -> Iterator[pa.Table]:
    tables: list[pa.Table] = []
    for part in copies(predictions, count):
        tables.append(part)
        if sum(table.num_rows for table in tables) >= _PART:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)


def links(store: Store, seed: int = 0) -> list[str]:
    """URL parameters of a dozen views: periods, locales, devices, domains, versions."""
    with store.snapshot() as snapshot:
        assert snapshot.model
        period = bounds(snapshot, snapshot.model)
        assert period
        first, last, _ = period
        choices = options(snapshot, snapshot.model)
        turns = defects(snapshot, snapshot.model, Filter(), rows=12).to_pylist()
    rng = random.Random(seed)
    views = []
    for number in range(12):
        query = {}
        if number % 2:
            start = first + timedelta(days=rng.randrange(0, max(1, (last - first).days - 28)))
            query["since"] = start.isoformat()
            query["until"] = (start + timedelta(days=27)).isoformat()
        for key in rng.sample(("locale", "device", "domain", "version"), 1 + number % 3 // 2):
            if choices.get(key):
                query[key] = rng.choice(choices[key][:6])
        turn = turns[number]
        query |= {"turn": turn["turn_id"], "day": turn["day"].isoformat()}
        views.append("&".join(f"{key}={value}" for key, value in query.items()))
    return views


@dataclass
class Times:
    """Response times of one page, in seconds: with new filters, and with the same again."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


def p95(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95)) if values else float("nan")


async def visit(port: int, page: str, view: str) -> Visit:
    """Open a link in a new tab."""
    async with Visitor("127.0.0.1", port) as visitor:
        return _checked(await visitor.open(page, _of(page, view)), page)


def _of(page: str, view: str) -> str:
    """A view as a link to a page: only Turn knows of a turn."""
    known = (part for part in view.split("&") if page == "turn" or not part.startswith(_TURN))
    return "&".join(known)


async def pages(port: int, store: Store, views: list[str], rounds: int) -> dict[str, Times]:
    """Response times of all pages of a running server."""
    times = {page: Times() for page in PAGES}
    for seed, (page, of_page) in enumerate(times.items(), 1):
        # Pages share cached answers; the filters of one page would not be new to the next.
        for view in links(store, seed=seed):
            of_page.first.append((await visit(port, page, view)).seconds)
        for number in range(rounds + 1):
            for view in views:
                seconds = (await visit(port, page, view)).seconds
                if number:
                    of_page.again.append(seconds)
    return times


async def crowd(port: int, views: list[str], people: int, clicks: int) -> list[float]:
    """Everybody opens a link and then clicks from page to page without pausing."""

    async def person(number: int) -> list[float]:
        rng = random.Random(number)
        view = views[number % len(views)]
        async with Visitor("127.0.0.1", port) as visitor:
            return [
                _checked(await visitor.open(page, _of(page, view)), page).seconds
                for page in rng.choices(PAGES, k=clicks)
            ]

    everybody = await asyncio.gather(*(person(number) for number in range(people)))
    return [seconds for visits in everybody for seconds in visits]


def _checked(visit: Visit, page: str) -> Visit:
    if visit.errors or len(visit.versions) > 1:
        print(f"- ERROR on {page or 'overview'}: {visit.errors or visit.versions}", flush=True)
    return visit


def watched(port: int) -> AbstractContextManager[Callable[[], float]]:
    """The peak memory of the server's processes together, in GiB."""
    process = psutil.Process(listening(port))
    if "haproxy" in process.name():
        process = process.parent() or process
    return peak_gib(process.pid)


@contextmanager
def _busy(store: Path, turns: pa.Table) -> Iterator[None]:
    """Another process ingests and scores repeatedly."""
    over = threading.Event()
    faultline = str(Path(sys.executable).with_name("faultline"))

    def work() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for number in range(10_000):
                if over.is_set():
                    return
                folder = Path(scratch) / f"more-{number}"
                scale(turns.slice(50 * number % 5000, 50), 2_000, folder, seed=1000 + number)
                for command in (["ingest", str(folder)], ["score"]):
                    subprocess.run(
                        [faultline, *command, "--store", str(store)],
                        check=False,
                        capture_output=True,
                    )

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def port_of(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def measure(source: Path, count: int, kept: Path | None = None) -> None:
    """Print one section of the report; the copy stays in `kept`, or is taken from there."""
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        began = time.perf_counter()
        path = Path(scratch) / "store"
        if kept is not None and (kept / str(count)).exists():
            made = "made before"
        else:
            enlarge(source, count, path)
            made = f"made in {time.perf_counter() - began:.0f} s"
            if kept is not None:
                # Only when it is whole, for the next one takes it as it is.
                kept.mkdir(parents=True, exist_ok=True)
                shutil.move(path, kept / str(count))
        store = Store.open(kept / str(count) if kept is not None else path)
        print(f"\n## {count:,} turns ({made})\n", flush=True)
        views = links(store)
        cold = {}
        for page in PAGES:
            with served(store.path) as address:
                cold[page] = asyncio.run(visit(port_of(address), page, views[0]))
        with served(store.path) as address:
            port = port_of(address)
            with watched(port) as memory:
                times = asyncio.run(pages(port, store, views, rounds=3))
                print(
                    "| page | cold | new filters, p95 | same filters, p95 |\n|---|---:|---:|---:|"
                )
                for page, of_page in times.items():
                    first, again = 1000 * p95(of_page.first), 1000 * p95(of_page.again)
                    drawn, ended = cold[page].seconds, cold[page].ended
                    waited = f" (search {ended:.1f} s)" if ended > drawn else ""
                    print(
                        f"| {page or 'overview'} | {drawn:.2f} s{waited} | {first:.0f} ms "
                        f"| {again:.0f} ms |"
                    )
                many = asyncio.run(crowd(port, views, CROWD, clicks=8))
                print(f"\n{CROWD} people clicking at once: p95 {p95(many):.2f} s", flush=True)
                with Store.open(source).snapshot() as snapshot:
                    turns: Any = snapshot.query("FROM turns ORDER BY turn_id LIMIT 6000")
                turns = turns.drop_columns(list(_DERIVED))
                with _busy(store.path, turns):
                    beside = asyncio.run(crowd(port, views, people=3, clicks=20))
                print(f"while another process ingests and scores: p95 {p95(beside):.2f} s")
            print(f"peak memory of the server: {memory():.2f} GiB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("turns", nargs="*", default=["1000000", "10000000"])
    parser.add_argument("--in", dest="kept", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    for size in asked.turns:
        number = int(size.replace(",", "").replace("_", ""))
        measure(asked.store.resolve(), number, asked.kept and asked.kept.resolve())
