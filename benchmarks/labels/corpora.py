"""The corpora with gold of goals, defects and ratings, as tables of turns."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.schema.trace import TURNS, schema

NAMES = ("sgd", "dstc2", "tiage", "betold", "uss", "dbdc3", "lia", "abredial")

_SCHEMA = schema([field for field in TURNS if field.name not in ("extra", "digest", "day")])


def read(folder: Path, name: str) -> pa.Table:
    """Turns of the corpus `name` in `folder`, with the columns of `data.schema.trace.TURNS`.

    Goals of dstc2, which stand in a file of their own, are joined to its turns. Slots that a corpus
    leaves out beside an intent are an empty list.
    """
    if name != "dstc2":
        rows = list(_lines(folder / "goals" / f"{name}.jsonl.gz"))
    else:
        rows = list(_lines(folder / f"{name}.jsonl.gz"))
        goals = {g["turn_id"]: g for g in _lines(folder / "goals" / "dstc2.goals.jsonl.gz")}
        for row in rows:
            goal = goals.get(row["turn_id"], {})
            row["gold"] |= {k: goal[k] for k in ("goal_id", "goal_reached") if k in goal}
    _state_empty_slots(rows)
    columns = [pa.array([_fit(r.get(f.name), f.type) for r in rows], f.type) for f in _SCHEMA]
    return pa.table(columns, schema=_SCHEMA)


def _state_empty_slots(rows: list[dict[str, Any]]) -> None:
    """Where a corpus that has slots leaves them out beside an intent, there are none (sgd)."""
    gold = [row.get("gold") or {} for row in rows]
    if any(g.get("slots") for g in gold):
        for g in gold:
            if g.get("intent") is not None and g.get("slots") is None:
                g["slots"] = []


def split(turns: pa.Table, part: int = 3) -> tuple[pa.Table, pa.Table]:
    """Turns to learn from and turns held out: every `part`-th dialogue, by a hash of its id."""
    ids = [str(d) for d in turns["dialogue_id"].to_pylist()]
    held = {d: int(hashlib.md5(d.encode()).hexdigest(), 16) % part == 0 for d in set(ids)}
    mask = np.array([held[d] for d in ids], bool)
    return turns.filter(pa.array(~mask)), turns.filter(pa.array(mask))


def _fit(value: Any, kind: pa.DataType) -> Any:
    """A value of a JSON record as its column's type wants it."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {f.name: _fit(value.get(f.name), f.type) for f in kind}
    if pa.types.is_map(kind):
        return [(k, _fit(v, kind.item_type)) for k, v in value.items()]
    if pa.types.is_list(kind):
        return [_fit(v, kind.value_type) for v in value]
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value)
    if pa.types.is_timestamp(kind):
        return datetime.fromisoformat(value)
    return value


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
