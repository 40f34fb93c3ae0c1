"""Traces that are stored and closed, remembered over restarts.

Segments of the spool are removed one by one, so that a part of a stored trace may stay in one that
another trace still needs. Read again, that part would be taken for a trace and replace the whole of
its turn. What is stored is therefore on disk before any segment is removed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set
from pathlib import Path

import msgspec

from collect.spool import segments
from data.store.durability import replacing

_NAME = "stored.msgpack"
# Traces that are remembered without being in the spool: spans of them may come late.
_REMEMBERED = 200_000


class _Entry(msgspec.Struct, array_like=True):
    """A trace in the file: its id, when the last span of it arrived (seconds), whether its root
    had come."""

    trace: bytes
    last: float
    ended: bool


class StoredTraces:
    """The traces that were stored and forgotten; in memory only without a folder.

    `folder`: of the spool.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        # With the segments that have spans of it.
        self._traces: OrderedDict[bytes, tuple[_Entry, frozenset[str]]] = OrderedDict()
        self._groups: dict[frozenset[str], frozenset[str]] = {}
        # What an earlier process stored, and the segments that it may be in.
        self._earlier = frozenset(_names(folder))
        self._last: dict[bytes, float] = {}
        for entry in _read(folder):
            self._traces[entry.trace] = entry, self._earlier
            self._last[entry.trace] = entry.last

    def add(self, trace: bytes, last: float, ended: bool, within: Set[str]) -> None:
        """A trace whose last span arrived at `last` is stored; `within`: its segments."""
        group = frozenset(within)
        group = self._groups.setdefault(group, group)
        self._traces[trace] = _Entry(trace, last, ended), group
        self._traces.move_to_end(trace)

    def ended(self, trace: bytes) -> bool:
        """Whether it was stored after its root had come."""
        return trace in self._traces and self._traces[trace][0].ended

    def holds(self, trace: bytes, at: float, segment: str) -> bool:
        """Whether an earlier process stored a span of a trace that arrived at `at`."""
        return segment in self._earlier and at <= self._last.get(trace, float("-inf"))

    def write(self) -> None:
        """Bring all to disk. Raises OSError."""
        if self._folder is not None:
            with replacing(self._folder / _NAME) as path:
                entries = [entry for entry, _ in self._traces.values()]
                path.write_bytes(msgspec.msgpack.encode(entries))

    def prune(self) -> None:
        """Segments were removed: drop what is neither in one that is left nor may come late."""
        left = frozenset(_names(self._folder))
        excess = len(self._traces) - _REMEMBERED
        for trace, (entry, group) in list(self._traces.items()):
            if group.isdisjoint(left) and (not entry.ended or excess > 0):
                del self._traces[trace]
                excess -= 1
        self._groups = {group: group for _, group in self._traces.values()}


def _names(folder: Path | None) -> list[str]:
    return [path.name for path in segments(folder)] if folder is not None else []


def _read(folder: Path | None) -> list[_Entry]:
    """The entries of the file; none where it is not there or damaged."""
    if folder is None:
        return []
    try:
        return msgspec.msgpack.decode((folder / _NAME).read_bytes(), type=list[_Entry])
    except (FileNotFoundError, msgspec.DecodeError):
        return []
