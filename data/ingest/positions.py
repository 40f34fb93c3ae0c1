"""Positions in dialogues of which an adapter has not seen all turns together.

An adapter counts the turns of a dialogue from 0 in a group of pieces. Where a log brings together
less than a dialogue, as a trace per turn does, the turns of its groups are put in order of time. A
log that is rotated in the middle of a conversation, or read while it grows, continues dialogues of
which the store has turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow.parquet as pq

from data.store.parquet import workbench
from data.store.snapshot import literal

# A dialogue whose turns are further apart is not found again.
_DAYS = 2
_DAY = "try_cast(started_at AS TIMESTAMPTZ)::DATE - DATE '1970-01-01'"
_GIVEN = """
CREATE TEMP VIEW given AS
SELECT dialogue_id, "group", turn_id, turn_index, filename, row,
    try_cast(started_at AS TIMESTAMPTZ) AS began
FROM read_parquet({files}, filename = true)
"""
_NONE_STORED = """
CREATE TEMP TABLE stored (
    dialogue_id VARCHAR, turn_id VARCHAR, turn_index INTEGER, began TIMESTAMPTZ
)
"""
_STORED = """
INSERT INTO stored
SELECT dialogue_id, turn_id, turn_index, started_at
FROM read_parquet({turns}, hive_partitioning = false, union_by_name = true)
SEMI JOIN (SELECT DISTINCT dialogue_id FROM given) USING (dialogue_id)
"""
# Of a turn that is not stored: the largest position of the stored turns before it, and how many
# such turns have come since; but no more than the position of any stored turn behind it, with
# which it is then put in order by its time.
_PLACED = """
CREATE TEMP VIEW placed AS
WITH every AS (
    SELECT dialogue_id, turn_id, began, filename, row, turn_index AS said, NULL::INTEGER AS known
    FROM (given SEMI JOIN stored USING (dialogue_id)) g
    WHERE NOT EXISTS (FROM stored s WHERE s.dialogue_id = g.dialogue_id AND s.turn_id = g.turn_id)
    UNION ALL
    SELECT dialogue_id, turn_id, began, NULL, NULL, NULL, turn_index FROM stored
), about AS (
    SELECT *, count(known) OVER before AS gap, coalesce(max(known) OVER before, -1) AS last,
        min(known) OVER (
            PARTITION BY dialogue_id ORDER BY began NULLS LAST, turn_id
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS following
    FROM every
    WINDOW before AS (PARTITION BY dialogue_id ORDER BY began NULLS LAST, turn_id)
)
SELECT filename, row, said, least(
    last + row_number() OVER (
        PARTITION BY dialogue_id, gap, known IS NULL ORDER BY began NULLS LAST, turn_id
    ),
    following
) AS position
FROM about WHERE known IS NULL
UNION ALL
SELECT filename, row, g.turn_index, s.turn_index
FROM given g JOIN stored s ON s.dialogue_id = g.dialogue_id AND s.turn_id = g.turn_id
UNION ALL
SELECT filename, row, turn_index, row_number() OVER (
    PARTITION BY dialogue_id ORDER BY began NULLS LAST, "group", filename, row
) - 1
FROM given SEMI JOIN (
    SELECT dialogue_id FROM given GROUP BY ALL HAVING min("group") <> max("group")
) USING (dialogue_id) ANTI JOIN stored USING (dialogue_id)
"""
_MOVED = "SELECT filename, row, position FROM placed WHERE position <> said ORDER BY filename, row"


def moves(dialogues: Sequence[Path], stored: Sequence[Path], folder: Path) -> Path:
    """A file of the turns whose position is another than what the adapter has counted: filename
    (as in `dialogues`), row, position.

    `dialogues` are files as `assembly.DIALOGUES`, `stored` those of the store's turns. A turn that
    is stored keeps its position. Another one follows the stored and given turns that began before
    it; where stored turns follow it, it gets no larger position than these have, so that the order
    of a dialogue (position, then time) is that of time.
    """
    path = folder / "moves.parquet"
    with workbench("700MB", folder / "moves.spill") as con:
        con.execute(_GIVEN.format(files=_list(dialogues)))
        con.execute(_NONE_STORED)
        if near := _near(con, dialogues, stored):
            con.execute(_STORED.format(turns=_list(near)))
        con.execute(_PLACED)
        con.execute(f"COPY ({_MOVED}) TO {literal(str(path))} (FORMAT parquet)")
    return path


def moved(lines: bytes, dialogues: Path, moves: Path) -> bytes:
    """Lines of turns, with the positions that `moves` has for their file of dialogues."""
    rows = pq.read_table(
        moves, columns=["row", "position"], filters=[("filename", "==", str(dialogues))]
    )
    if not rows.num_rows:
        return lines
    pairs = zip(rows["row"].to_pylist(), rows["position"].to_pylist(), strict=True)
    position: dict[Any, Any] = dict(pairs)
    return b"".join(
        _at(line, position[row]) if row in position else line
        for row, line in enumerate(lines.splitlines(keepends=True))
    )


def _at(line: bytes, position: int) -> bytes:
    turn: dict[str, Any] = msgspec.json.decode(line)
    turn["turn_index"] = position
    return msgspec.json.encode(turn) + b"\n"


def _near(
    con: duckdb.DuckDBPyConnection, dialogues: Sequence[Path], stored: Sequence[Path]
) -> list[Path]:
    """The stored files of the days about those of the given turns."""
    if not stored:
        return []
    ((first, last),) = con.execute(
        f"SELECT min({_DAY}), max({_DAY}) FROM read_parquet({_list(dialogues)})"
    ).fetchall()
    if first is None:
        return []
    span = range(first - _DAYS, last + _DAYS + 1)
    return [path for path in stored if _day(path) in span]


def _day(path: Path) -> int:
    """The day of a file of turns, whose folder is named `day=…`, counted from 1970."""
    day = date.fromisoformat(path.parent.name.removeprefix("day="))
    return (day - date(1970, 1, 1)).days


def _list(files: Sequence[Path]) -> str:
    return f"[{', '.join(literal(str(file)) for file in files)}]"
