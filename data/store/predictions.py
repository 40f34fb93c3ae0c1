"""Commits predictions together with their rollup, and only for turns that still exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from data.errors import UsageError
from data.schema.layout import TABLES
from data.store.parquet import (
    DataFile,
    workbench,
    write_query,
)
from data.store.rerun import rerun
from data.store.rollup import recompute
from data.store.snapshot import literal, scan
from data.store.store import Store
from data.store.transaction import Cycle

# Rows sorted and written at a time; a prediction with its reasons is about 1 kB in memory.
_ROWS = 200_000
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@rerun
def commit_predictions(
    store: Store, predictions: pa.Table | Sequence[str | Path], model_id: str
) -> int:
    """Make predictions of one model visible, with the rollup of their days, in one step.

    They replace earlier predictions of the same turns by the same model. Predictions are dropped
    for turns that were deleted or moved to another day since they were read.

    Parameters
    ----------
    predictions
        A table with the columns of `data.schema.tables.PREDICTIONS`, or Parquet files with them;
        files may hold any number of rows, memory stays bounded. `model_id` in the rows is
        overwritten.

    Returns the number of predictions committed. Raises `UsageError` for a bad model id or a missing
    column.
    """
    check_model_id(model_id)
    if isinstance(predictions, pa.Table):
        _check_columns(predictions.schema.names)
    elif not predictions:
        return 0
    with store.naming_damage(), store.staging() as folder:
        with store.snapshot() as snapshot:
            read_version = snapshot.version
            files = _write(predictions, model_id, list(snapshot.files["turns"]), folder)
        with store.commit() as cycle:
            earlier = cycle.matching("predictions", {"model_id": [model_id]})
            days = {file.partition["day"] for file in files}
            committed = cycle.adopt("predictions", files, folder / "files")
            if store.head().version != read_version:
                committed -= _drop_orphans(cycle, [file.path for file in files])
            ids = literal(folder / "ids.parquet")
            before = {path: cycle.files("predictions")[path].partition["day"] for path in earlier}
            cycle.delete_rows(
                "predictions",
                f"turn_id IN (SELECT turn_id FROM read_parquet({ids}))",
                among=earlier,
            )
            remaining = cycle.files("predictions")
            days |= {day for path, day in before.items() if path not in remaining}
            recompute(cycle, days, model_id)
        return committed


def forget(cycle: Cycle, condition: str, tables: Mapping[str, pa.Table] | None = None) -> int:
    """Delete predictions of every model by a condition (internal SQL) and update the rollup.

    Returns the number of predictions deleted.
    """
    before = dict(cycle.files("predictions"))
    deleted = cycle.delete_rows("predictions", condition, tables)
    days_by_model: dict[str, set[str]] = {}
    for path, file in before.items():
        if path not in cycle.files("predictions"):
            days_by_model.setdefault(file.partition["model_id"], set()).add(file.partition["day"])
    for model_id, days in days_by_model.items():
        recompute(cycle, days, model_id)
    return deleted


def check_model_id(model_id: str) -> None:
    """Raise `UsageError` unless the id can be part of paths and links."""
    if not _MODEL_ID.fullmatch(model_id):
        raise UsageError(
            f"Invalid model id '{model_id}'; use up to 100 letters, digits, dots, dashes and "
            "underscores."
        )


def _check_columns(names: Sequence[str]) -> None:
    missing = [name for name in TABLES["predictions"].columns if name not in names]
    missing = [name for name in missing if name != "model_id"]
    if missing:
        raise UsageError(f"The predictions lack the columns {', '.join(missing)}.")


def _write(
    predictions: pa.Table | Sequence[str | Path], model_id: str, turns: list[Path], folder: Path
) -> list[DataFile]:
    """Write the predictions of turns that exist into `folder/files`, their ids into `folder`."""
    layout = TABLES["predictions"]
    files: list[DataFile] = []
    with workbench("1GB", folder / "spill") as con:
        if isinstance(predictions, pa.Table):
            con.register("incoming", predictions)
        else:
            paths = ", ".join(literal(path) for path in predictions)
            con.execute(
                f"CREATE VIEW incoming AS FROM read_parquet([{paths}], union_by_name = true)"
            )
            _check_columns(con.sql("SELECT * FROM incoming LIMIT 0").columns)
        if turns:
            con.execute(
                f"CREATE VIEW turns AS SELECT turn_id, day FROM ({scan(TABLES['turns'], turns)})"
            )
        else:
            con.execute("CREATE TABLE turns (turn_id VARCHAR, day DATE)")
        con.execute(
            "CREATE TABLE valid AS SELECT turn_id, day FROM incoming SEMI JOIN turns "
            "USING (turn_id, day)"
        )
        ((repeated,),) = con.execute(
            "SELECT count(*) - count(DISTINCT turn_id) FROM valid"
        ).fetchall()
        distinct = "QUALIFY row_number() OVER (PARTITION BY turn_id) = 1" if repeated else ""
        columns = ", ".join(
            f"{literal(model_id)} AS model_id" if name == "model_id" else f'"{name}"'
            for name in layout.columns
        )
        for first, last in _ranges(con):
            # A few days at a time: sorting everything at once would not fit in memory.
            source = (
                f"SELECT {columns} FROM incoming SEMI JOIN valid USING (turn_id, day) "
                f"WHERE day BETWEEN DATE {literal(first)} AND DATE {literal(last)} {distinct}"
            )
            files += write_query(con, source, layout, folder / "files")
        con.execute(
            f"COPY (SELECT turn_id FROM valid) TO {literal(folder / 'ids.parquet')} "
            "(FORMAT parquet)"
        )
    return files


def _ranges(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    """Ranges of days (first and last, ISO dates) with about `_ROWS` valid rows each."""
    days = con.execute(
        "SELECT day::VARCHAR, count(*) FROM valid GROUP BY day ORDER BY valid.day"
    ).fetchall()
    first, rows = None, 0
    for day, count in days:
        first = first or day
        rows += count
        if rows >= _ROWS:
            yield first, day
            first, rows = None, 0
    if first is not None:
        yield first, days[-1][0]


def _drop_orphans(cycle: Cycle, new: Sequence[str]) -> int:
    """Delete new predictions of turns that were deleted or moved to another day meanwhile.

    `new` are the paths of their files. Returns the number of rows deleted.
    """
    paths = cycle.paths("turns")
    if not paths:
        return cycle.delete_rows("predictions", "true", among=new)
    present = f"SELECT turn_id, day FROM ({scan(TABLES['turns'], paths)})"
    return cycle.delete_rows("predictions", f"(turn_id, day) NOT IN ({present})", among=new)
