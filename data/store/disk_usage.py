"""What lies on disk: files, rows and bytes per table, models; and upkeep in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.errors import FaultlineError
from data.schema.layout import TABLES, parse_version
from data.store.snapshot import Snapshot
from data.store.store import Store


@dataclass(frozen=True)
class TableSize:
    """A table as this version sees it; `bytes` of its live files, `version` of its own log."""

    name: str
    rows: int
    files: int
    bytes: int
    version: int


@dataclass(frozen=True)
class ModelSize:
    """A model's folder."""

    model: str
    bytes: int
    made_at: datetime
    promoted: bool


def tables(snapshot: Snapshot) -> list[TableSize]:
    """Every table, the largest first."""
    versions, rows = parse_version(snapshot.version), snapshot.counts()
    found = [
        TableSize(
            name,
            rows[name],
            len(snapshot.files[name]),
            sum(_size(path) for path in snapshot.files[name]),
            versions[name],
        )
        for name in TABLES
    ]
    return sorted(found, key=lambda one: -one.bytes)


def models(store: Store) -> list[ModelSize]:
    """Every model in the store, the newest first."""
    promoted, found = store.head().model, []
    for name in store.model_ids():
        folder = store.models / name
        size = sum(_size(path) for path in folder.rglob("*"))
        made = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        found.append(ModelSize(name, size, made, name == promoted))
    return sorted(found, key=lambda one: one.made_at, reverse=True)


def on_disk(store: Store) -> int:
    """Bytes of everything below the store's folder, files of earlier versions too."""
    return sum(_size(path) for path in store.path.rglob("*"))


def _size(path: Path) -> int:
    try:
        # A vacuum may take it away while we look.
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


# Says how far one is (done, of how many), and learns whether to go on.
Progress = Callable[[int, int], bool]


class Chore:
    """One piece of upkeep that runs beside the pages; never two at once on one store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._halt = threading.Event()
        self.name = ""
        self.done = 0
        self.total = 0
        self.began = 0.0
        self.outcome: str | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def begin(self, name: str, work: Callable[[Progress], str]) -> bool:
        """Start `work`; False when something is still running. Its text becomes `outcome`."""
        with self._lock:
            if self.running:
                return False
            self._halt.clear()
            self.name, self.done, self.total, self.outcome = name, 0, 0, None
            self.began = time.monotonic()
            self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
            self._thread.start()
            return True

    def stop(self) -> None:
        """Ask it to end after the step it is at; what is done stays done."""
        self._halt.set()

    def wait(self, seconds: float | None = None) -> None:
        if self._thread:
            self._thread.join(seconds)

    def _run(self, work: Callable[[Progress], str]) -> None:
        try:
            self.outcome = work(self._step)
        except FaultlineError as error:
            self.outcome = str(error)
        except OSError as error:
            self.outcome = f"{self.name} failed: {error.strerror or error}."
        except Exception as error:
            self.outcome = f"{self.name} failed: {type(error).__name__}."

    def _step(self, done: int, total: int) -> bool:
        self.done, self.total = done, total
        return not self._halt.is_set()


def compacting(store: Store) -> Callable[[Progress], str]:
    """Work for a `Chore`: merge small files."""
    from data.store.maintenance import compact

    def work(step: Progress) -> str:
        made = compact(store, step)
        return f"Compaction left {made.after} of {made.before} files."

    return work


def vacuuming(store: Store, keep_hours: float) -> Callable[[Progress], str]:
    """Work for a `Chore`: remove the files that no version of the last hours needs."""
    from data.store.maintenance import vacuum

    def work(step: Progress) -> str:
        step(0, 1)
        made = vacuum(store, keep_hours)
        gone = f" Models removed: {', '.join(made.models)}." if made.models else ""
        return f"Vacuum removed {made.files} files, {made.bytes / 1e6:.1f} MB.{gone}"

    return work
