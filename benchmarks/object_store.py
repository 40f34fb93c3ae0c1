"""Response times of the dashboard with a store in an object store, beside the same one in a folder.

    python -m benchmarks.object_store STORE [TURNS]

STORE is a scored store; with TURNS it is enlarged first, as `benchmarks.dashboard` does. Then it is
copied into a bucket of a local S3 server, behind a proxy that adds 20 ms to each request, and the
pages are asked for with an empty cache, with new filters, and with the same filters again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.dashboard import PAGES, Times, enlarge, links, p95, pages, visit
from data.store.backup import backup
from data.store.remote.address import CACHE
from data.store.restoration import restore
from data.store.store import Store
from tests.browser import served
from tests.s3_server import delayed, environment, s3_server

LATENCY_S = 0.02


def timed(address: str, views: list[str]) -> tuple[float, dict[str, Times]]:
    """Seconds until the first page is drawn by a new server, and response times of all pages."""
    with served(address) as at:
        port = int(at.rsplit(":", 1)[1])
        first = asyncio.run(visit(port, PAGES[0], views[0])).seconds
        return first, asyncio.run(pages(port, Store.open(address), views, rounds=2))


def main(source: Path, count: int | None) -> None:
    """Print the report."""
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch, s3_server() as server:
        folder = Path(scratch)
        local = enlarge(source, count, folder / "store") if count else Store.open(source)
        views = links(local)
        backup(local, folder / "copy")
        os.environ |= server.environment | {CACHE: str(folder / "cache of the writer")}
        address = server.address()
        began = time.perf_counter()
        restore(folder / "copy", address)
        uploaded = time.perf_counter() - began
        results = {"a folder": timed(str(local.path), views)}
        with delayed(server.port, LATENCY_S) as port:
            os.environ |= environment(port) | {CACHE: str(folder / "cache of the reader")}
            results["a bucket"] = timed(address, views)
        with local.snapshot() as snapshot:
            turns = snapshot.counts()["turns"]
    print(f"\n{turns:,} turns, uploaded in {uploaded:.0f} s; {1000 * LATENCY_S:.0f} ms a request\n")
    print("| page | " + " | ".join(f"{where}: new filters, same" for where in results) + " |")
    print("|---|---:|---:|")
    for page in PAGES:
        cells = (
            f"{1000 * p95(times[page].first):.0f}, {1000 * p95(times[page].again):.0f} ms"
            for _, times in results.values()
        )
        print(f"| {page or 'overview'} | {' | '.join(cells)} |")
    for where, (first, _) in results.items():
        print(f"first page of {where}, with an empty cache: {first:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    number = sys.argv[2].replace(",", "").replace("_", "") if len(sys.argv) > 2 else ""
    main(Path(sys.argv[1]).resolve(), int(number) if number else None)
