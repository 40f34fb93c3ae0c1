"""`python -m benchmarks.peers STORE`; see the package's docstring."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers import encoding, explaining, tracing
from benchmarks.peers.environments import NotInstallable, Peer
from data.store.store import Store

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", allow_abbrev=False)
    parser.add_argument("store", type=Path)
    parser.add_argument("--turns", type=int, default=5_000)
    parser.add_argument("--environments", type=Path, default=ROOT / ".cache" / "peers")
    parser.add_argument("--part", action="append", choices=("tracing", "explaining", "encoding"))
    options = parser.parse_args()
    store = Store.open(options.store)
    parts: dict[str, tuple[str, str, Callable[[Peer], str]]] = {
        "tracing": (
            "Receiving and showing traces",
            "arize-phoenix",
            lambda peer: tracing.table(peer, options.turns),
        ),
        "explaining": (
            "Explaining predictions",
            "explainerdashboard",
            lambda peer: explaining.table(peer, store),
        ),
        "encoding": (
            "Encoding texts",
            "sentence-transformers",
            lambda peer: encoding.table(peer, store),
        ),
    }
    print(
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load {os.getloadavg()[0]:.1f} at the beginning."
    )
    for name in options.part or parts:
        title, wanted, compare = parts[name]
        print(f"\n## {title}\n", flush=True)
        try:
            print(compare(Peer.installed(wanted, options.environments)), flush=True)
        except NotInstallable as error:
            print(error, flush=True)


if __name__ == "__main__":
    main()
