"""Where collectors keep what they have received and not stored yet, so that deletions can say so.

A spool holds requests as they came, which only the collector can tell apart. By default it lies in
the store's folder `.spool`; of one that lies elsewhere, the store remembers where.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from data.store.durability import replacing

FOLDER = ".spool"
_ELSEWHERE = "elsewhere.json"
# What a spool has of people: segments of received spans (`collect.spool`), and the last runs of
# each pipeline of Home Assistant.
_SEGMENTS, _RUNS = "*.spool", "*.msgpack"


def remember(store: Path, folder: Path) -> None:
    """Keep in mind that a collector of this store has a spool in `folder`."""
    if folder.is_relative_to(store):
        return
    known = _elsewhere(store)
    if str(folder) not in known:
        (store / FOLDER).mkdir(exist_ok=True)
        with replacing(store / FOLDER / _ELSEWHERE) as draft:
            draft.write_text(json.dumps([*known, str(folder)]), "utf-8")


def spools(store: Path) -> list[Path]:
    """The spools that collectors of this store have, or had."""
    inside = (path for path in (store / FOLDER).glob("*") if path.is_dir())
    return [*sorted(inside), *map(Path, _elsewhere(store))]


def left_in(folder: Path) -> str | None:
    """What a spool holds of people that no deletion reaches, in words; None if it holds nothing."""
    if size := _bytes(folder, _SEGMENTS):
        return (
            f"the spool {folder} ({size / 1e6:.1f} MB that a collector received and may store "
            "later: delete again once it has)"
        )
    if _bytes(folder, _RUNS):
        return (
            f"the folder {folder} (the last runs of Home Assistant: stop its collector, and remove "
            "it)"
        )
    return None


def _bytes(folder: Path, pattern: str) -> int:
    total = 0
    for path in folder.glob(pattern):
        # The collector removes what it has stored.
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _elsewhere(store: Path) -> list[str]:
    try:
        known = json.loads((store / FOLDER / _ELSEWHERE).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [one for one in known if isinstance(one, str)] if isinstance(known, list) else []
