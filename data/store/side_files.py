"""What is in a store besides its tables: models, the index of rewrites, the log of deletions, …"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data.schema.layout import TABLES
from data.store.model_folders import DRAFT

# What a repair has taken out (`data.store.repair`).
RESCUED = "rescued"
# Not the store's contents: locks, what is being prepared, and what a repair has taken out.
_LEFT_OUT = (".staging", RESCUED)
_TEMPORARY = (DRAFT, "faultline-")


def side_files(root: Path) -> Iterator[tuple[Path, bool]]:
    """What is in a store's folder besides tables: files, and folders with whether they hold any."""
    for folder, names, files in os.walk(root):
        here = Path(folder)
        if here == root:
            names[:] = [name for name in names if name not in (*TABLES, *_LEFT_OUT)]
        names[:] = sorted(name for name in names if not name.startswith(_TEMPORARY))
        kept = [name for name in sorted(files) if not _is_temporary(name)]
        if here != root:
            yield here, bool(kept or names)
        yield from ((here / name, True) for name in kept)


def _is_temporary(name: str) -> bool:
    # Drafts of files are named .NAME.RANDOM (`data.store.durability.replacing`).
    return name.endswith(".lock") or (name.startswith(".") and name.count(".") > 1)
