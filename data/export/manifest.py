"""A file to take away, and the slip that says what it is: filter, SQL, version, model, checksum."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from data.errors import UsageError
from data.export.export import export
from data.export.sandbox import (
    LIMITS,
    run,
    slice_sql,
)
from data.queries.filters import Filter
from data.schema.layout import TABLES
from data.store.snapshot import Snapshot

SUFFIXES = ("parquet", "csv", "jsonl")
# Rows of the slice that a browser gets; texts are several times as large as Parquet. The command
# line has no limit.
MOST_ROWS = {"parquet": 1_000_000, "csv": 100_000, "jsonl": 100_000}
_PIECE = 1 << 20


def manifest(
    file: Path,
    snapshot: Snapshot,
    *,
    name: str,
    rows: int,
    columns: Sequence[tuple[str, str]],
    sql: str,
    parameters: Mapping[str, Any],
    words: str,
    model: str | None,
    link: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """What a file holds and how to make it again, as a JSON object.

    Parameters
    ----------
    name: what the file is called where it is going.
    columns: name and type of each. sql, parameters: what selected the rows. words: the filter.
    link: URL parameters of the page that shows the same rows.
    """
    suffix = file.suffix.lower()
    made: dict[str, Any] = {
        "file": name,
        "format": suffix.removeprefix("."),
        "rows": rows,
        "bytes": file.stat().st_size,
        "sha256": checksum(file),
        "filter": words,
        "sql": sql,
        "parameters": {key: _plain(value) for key, value in parameters.items()},
        "data_version": snapshot.version,
        "model": model,
        "columns": [{"name": column, "type": kind} for column, kind in columns],
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "faultline": _version(),
    }
    if link is not None:
        made["link"] = {key: list(values) for key, values in link.items()}
    if suffix == ".csv":
        made["note"] = (
            "Texts that begin with = + - @, a tab or a line end have an apostrophe in front, so "
            "that no spreadsheet runs them; Parquet and JSONL hold them as they are."
        )
    return made


def checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def beside(file: Path, content: Mapping[str, Any]) -> Path:
    """Write a manifest as FILE.manifest.json and return its path."""
    path = file.with_name(f"{file.name}.manifest.json")
    path.write_text(_text(content), "utf-8")
    return path


def export_described(
    snapshot: Snapshot,
    table: str,
    to: Path,
    where: str | None,
    params: Mapping[str, Any],
    words: str,
    model: str | None,
    link: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """`data.export.export.export`, and the manifest of the file that it made."""
    rows = export(snapshot, table, to, where, params)
    derived = ("digest", "day") if (table, to.suffix.lower()) == ("turns", ".jsonl") else ()
    fields = [field for field in TABLES[table].schema if field.name not in derived]
    return manifest(
        to,
        snapshot,
        name=to.name,
        rows=rows,
        columns=[(field.name, str(field.type)) for field in fields],
        sql=f"SELECT * FROM {table}" + (f" WHERE {where}" if where else ""),
        parameters=params,
        words=words,
        model=model,
        link=link,
    )


def slice_zip(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    suffix: str,
    to: Path,
    link: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The model's predictions within a filter as a zip of the file and its manifest, at `to`.

    Returns the manifest. Raises UsageError when there are more rows than a browser should get.
    """
    clause, params = chosen.sql()
    bound = {"model": model, **params}
    where = f"model_id = $model AND {clause}"
    rows = snapshot.query(f"SELECT count(*) AS n FROM predictions WHERE {where}", bound)
    if (n := int(rows["n"][0].as_py())) > MOST_ROWS[suffix]:
        raise UsageError(too_many(n, suffix))
    with tempfile.TemporaryDirectory(prefix="faultline-export-") as folder:
        file = Path(folder) / f"predictions-{snapshot.version}.{suffix}"
        made = export_described(
            snapshot, "predictions", file, where, bound, chosen.caption(), model, link
        )
        _pack(file, made, to)
    return made


def answer_zip(
    snapshot: Snapshot,
    model: str | None,
    chosen: Filter,
    sql: str,
    suffix: str,
    to: Path,
    link: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """All rows of a reader's own statement as a zip of the file and its manifest, at `to`.

    Runs in the sandbox; returns the manifest. Raises UsageError when it cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="faultline-export-") as folder:
        file = Path(folder) / f"answer-{snapshot.version}.{suffix}"
        answer = run(snapshot, sql, model=model, chosen=chosen, to=file, limits=LIMITS)
        made = manifest(
            file,
            snapshot,
            name=file.name,
            rows=answer.rows,
            columns=answer.columns,
            sql=sql,
            parameters={},
            words=chosen.caption(),
            model=model,
            link=link,
        )
        if model:
            made["slice"] = slice_sql(model, chosen)
        _pack(file, made, to)
    return made


def too_many(rows: int, suffix: str) -> str:
    """Why a slice cannot be downloaded, and what can be done."""
    return (
        f"{rows:,} rows are more than the {MOST_ROWS[suffix]:,} that can be downloaded as "
        f"{suffix}; narrow the filters, or run the command below."
    )


def command(model: str, chosen: Filter, suffix: str, store: str, version: str) -> list[str]:
    """The words of the command that writes the same rows, with their manifest, without a limit."""
    return [
        *("faultline", "export", "predictions", "--where", chosen.literal_sql(model)),
        *("--to", f"predictions-{version}.{suffix}", "--manifest"),
        *("--at", version, "--store", store),
    ]


def _pack(file: Path, content: Mapping[str, Any], to: Path) -> None:
    # Parquet is compressed already.
    how = zipfile.ZIP_STORED if file.suffix == ".parquet" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(to, "w", how, compresslevel=3) as pack:
        pack.write(file, file.name)
        pack.writestr(f"{file.name}.manifest.json", _text(content))


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _version() -> str:
    try:
        return importlib.metadata.version("faultline-voice")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
