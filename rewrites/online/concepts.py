"""What users of a store taught, as evidence for their own requests: read from the store itself, so
that what is taught holds at once, and what is forgotten is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from data.errors import FaultlineError
from data.store.head import read_head
from data.store.store import Store
from labels.teaching.preferences import preferences
from labels.teaching.taught import Taught
from rewrites.online import index_folder


@dataclass(frozen=True)
class Concepts:
    """What was taught, and the version of the table `preferences` that it was read from."""

    taught: Taught = field(default_factory=Taught)
    version: int | None = None

    @classmethod
    def beside(cls, folder: Path) -> Concepts:
        """What was taught in the store whose index is in `folder`; nothing for another folder."""
        version = version_beside(folder)
        if version is None:
            return cls()
        with Store.open(folder.parent).snapshot(only=("preferences",)) as snapshot:
            return cls(Taught(preferences(snapshot)), version)


def version_beside(folder: Path) -> int | None:
    """The version of `preferences` in the store whose index is in `folder`; None without one."""
    store = folder.parent
    if index_folder.of_store(store) != folder:
        return None
    try:
        return read_head(store).tables.get("preferences", 0)
    except (FaultlineError, OSError):
        # The index answers as long as it is there, whatever became of the store.
        return None
