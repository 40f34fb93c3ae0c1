"""Positions in dialogues of which an adapter has not seen all turns together.

An adapter counts the turns of a dialogue from 0 in a group of pieces. Where a log brings together
less than a dialogue, as a trace per turn does, the turns of its groups are put in order of time. A
log that is rotated in the middle of a conversation, or read while it grows, continues dialogues of
which the store has turns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from data.store.parquet import workbench
from data.store.snapshot import literal

# A dialogue whose turns are further apart is not found again.
_DAYS = 2
_DAY = "try_cast(started_at AS TIMESTAMPTZ)::DATE - DATE '1970-01-01'"
_KNOWN = """
WITH given AS (
    SELECT dialogue_id, turn_id, try_cast(started_at AS TIMESTAMPTZ) AS began, filename, row
    FROM read_parquet({files}, filename = true)
), stored AS (
    SELECT dialogue_id, turn_id, turn_index, started_at AS began
    FROM read_parquet({turns}, hive_partitioning = false, union_by_name = true)
    SEMI JOIN (SELECT DISTINCT dialogue_id FROM given) USING (dialogue_id)
)
SELECT dialogue_id, turn_id, epoch_us(began) AS began, filename, row, NULL AS position
FROM given SEMI JOIN stored USING (dialogue_id)
UNION ALL
SELECT dialogue_id, turn_id, epoch_us(began), NULL, NULL, turn_index FROM stored
"""


_IN_SEVERAL_GROUPS = """
WITH given AS (
    SELECT dialogue_id, "group", try_cast(started_at AS TIMESTAMPTZ) AS began, filename, row
    FROM read_parquet({files}, filename = true)
), spread AS (
    SELECT dialogue_id FROM given GROUP BY ALL HAVING min("group") <> max("group")
)
SELECT filename, row, row_number() OVER (
    PARTITION BY dialogue_id ORDER BY began NULLS LAST, "group", filename, row
) - 1 AS position
FROM given SEMI JOIN spread USING (dialogue_id)
"""
_FETCHED = 16_000


class Continued(dict[int, int]):
    """Row of a block of lines → its position in the dialogue, where that is not what it says."""

    def moved(self, row: int, line: bytes) -> bytes:
        """The line, with another position if it has one."""
        position = self.get(row)
        if position is None:
            return line
        turn: dict[str, Any] = msgspec.json.decode(line)
        turn["turn_index"] = position
        return msgspec.json.encode(turn) + b"\n"


def continued(
    dialogues: Sequence[Path], stored: Sequence[Path], spill: Path
) -> Mapping[Path, Continued]:
    """Positions of turns whose dialogues the store knows, or lie in several groups, by the file of
    `assembly.DIALOGUES`.

    A turn that is stored keeps its position. Another one follows the turns, stored or given, that
    began before it.
    """
    found: dict[Path, Continued] = defaultdict(Continued)
    if not dialogues:
        return found
    with workbench("700MB", spill) as con:
        spread = con.sql(_IN_SEVERAL_GROUPS.format(files=_list(dialogues)))
        for batch in spread.to_arrow_reader(_FETCHED):
            for file, row, position in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                found[Path(file)][row] = position
        if not stored:
            return found
        near = _near(con, dialogues, stored)
        if not near:
            return found
        rows = con.execute(
            _KNOWN.format(files=_list(dialogues), turns=_list(near))
            + " ORDER BY dialogue_id, began NULLS LAST, position NULLS LAST, row"
        ).fetchall()
    by_dialogue: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        by_dialogue[row[0]].append(row)
    for turns in by_dialogue.values():
        kept = {turn_id: index for _, turn_id, _, _, _, index in turns if index is not None}
        last = -1
        for _, turn_id, _, file, row, position in turns:
            if position is None:
                position = kept.get(turn_id, last + 1)
                found[Path(file)][row] = position
            last = max(last, position)
    return found


def _near(
    con: duckdb.DuckDBPyConnection, dialogues: Sequence[Path], stored: Sequence[Path]
) -> list[Path]:
    """The stored files of the days about those of the given turns."""
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
