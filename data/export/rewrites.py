"""Rewrites as JSON lines, which an assistant loads at its start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from data.errors import UsageError, machine_error
from data.queries.rewrites import in_states
from data.store.durability import replacing

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


def rewrite_lines(snapshot: Snapshot, states: Sequence[str]) -> Iterator[bytes]:
    """One line per rewrite in some states: request, rewrite, user_id (of personal ones only),
    assistant (where one was logged), method, support (sessions), users, score, p_before, p_after,
    win, loss. There is one line for each
    request and user; the user's own goes before a general one."""
    yield from map(_line, in_states(snapshot, states).to_pylist())


def _line(row: Mapping[str, Any]) -> bytes:
    record: dict[str, Any] = {"request": row["request"], "rewrite": row["rewrite"]}
    record |= {name: row[name] for name in ("user_id", "assistant") if row[name]}
    record |= {
        "method": row["method"],
        "support": row["sessions"],
        "users": row["users"],
        "score": row["score"],
        "p_before": row["p_before"],
        "p_after": row["p_after"],
        "win": row.get("wins", 0),
        "loss": row.get("losses", 0),
    }
    return orjson.dumps(record) + b"\n"


def write_rewrites(
    snapshot: Snapshot, to: Path, states: Sequence[str], added: Sequence[Mapping[str, Any]] = ()
) -> int:
    """Write the rewrites in some states to a file ending in .jsonl; returns how many.

    added: rows of `rewrites.mining.REWRITES` to write as well. Raises UsageError for another
    ending, or a file that cannot be written.
    """
    target = to.expanduser()
    if target.suffix.lower() != ".jsonl":
        raise UsageError(f"Cannot export to '{target.name}'; its name must end in .jsonl.")
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"Cannot write {target}; give a file in a folder that exists.")
    lines = [*rewrite_lines(snapshot, states), *map(_line, added)]
    try:
        with replacing(target) as draft:
            draft.write_bytes(b"".join(lines))
    except OSError as error:
        raise machine_error(error, target) or UsageError(
            f"Cannot write {target}: {error.strerror}."
        ) from error
    return len(lines)
