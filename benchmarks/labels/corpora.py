"""The corpora with gold of goals, defects and ratings, as tables of turns."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.schema.trace import TURNS

NAMES = ("sgd", "dstc2", "tiage", "betold", "uss", "dbdc3", "lia", "abredial")

_GOLD = [
    ("goal_id", pa.string()),
    ("goal_reached", pa.bool_()),
    ("defect", pa.bool_()),
    (
        "ratings",
        pa.list_(
            pa.struct([("annotator", pa.string()), ("of", pa.string()), ("value", pa.float64())])
        ),
    ),
    ("corrects", pa.string()),
    ("correction", pa.string()),
]


def read(folder: Path, name: str) -> pa.Table:
    """Turns of the corpus `name` in `folder`, with the columns of `data.schema.trace.TURNS`.

    Goals of dstc2, which stand in a file of their own, are joined to its turns.
    """
    rows = list(_lines(folder / "goals" / f"{name}.jsonl.gz" if name != "dstc2" else folder / f"{name}.jsonl.gz"))
    if name == "dstc2":
        goals = {g["turn_id"]: g for g in _lines(folder / "goals" / "dstc2.goals.jsonl.gz")}
        for row in rows:
            goal = goals.get(row["turn_id"], {})
            row["gold"] |= {k: goal[k] for k in ("goal_id", "goal_reached") if k in goal}
    schema = _schema()
    columns = []
    for field in schema:
        columns.append(pa.array([_fit(r.get(field.name), field.type) for r in rows], field.type))
    return pa.table(columns, schema=schema)


@cache
def _schema() -> pa.Schema:
    fields = []
    for field in TURNS:
        if field.name in ("extra", "digest", "day"):
            continue
        if field.name == "gold":
            known = {f.name: f.type for f in field.type}
            field = pa.field("gold", pa.struct([*({**dict(_GOLD), **known}).items()]))
        fields.append(field)
    return pa.schema(fields)


def _fit(value: Any, kind: pa.DataType) -> Any:
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
