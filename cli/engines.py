"""Where the parts of long work run: `--ray` names a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.output import err, plain

if TYPE_CHECKING:
    from data.parallel import Engine


@contextmanager
def engine_of(ray: str | None, workers: int | None = None) -> Iterator[Engine | None]:
    """The engine of the cluster at the address `ray`; None without one: this machine.

    workers: most CPUs of the cluster that are taken. Prints what is waited for. For errors see
    `data.cluster.cluster`.
    """
    if ray is None:
        yield None
        return
    from data.cluster import cluster

    told: set[str] = set()

    def tell(what: str) -> None:
        if what not in told:
            told.add(what)
            err.print(f"[dim]{plain(what)} …[/dim]")

    with cluster(ray, workers, tell) as engine:
        yield engine
