"""Score a store in small parts, by some engine: a driver that tests can kill.

    python -m tests.scored_by STORE BATCH local PROCESSES
    python -m tests.scored_by STORE BATCH ray ADDRESS

Prints a line for each part, and at its start how many turns were scored before.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from classifiers.scoring.score import score
from data.cluster import cluster
from data.store.store import Store

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def main(path: str, batch: str, kind: str, where: str) -> None:
    def tell(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        print(f"{done:.0f} of {total:.0f}", flush=True)

    engine: AbstractContextManager[Any] = cluster(where) if kind == "ray" else nullcontext()
    workers = int(where) if kind == "local" else None
    with engine as at:
        store = Store.open(path)
        score(store, everything=True, batch=int(batch), progress=tell, workers=workers, engine=at)


if __name__ == "__main__":
    main(*sys.argv[1:])
