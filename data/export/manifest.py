"""Exported files with a manifest: filter, SQL, store version, model, columns and checksum."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from data.errors import UsageError
from data.export.export import export, exported, rows_sql
from data.export.sandbox import run, slice_sql
from data.queries.filters import Filter
from data.queries.visibility import Reader
from data.schema.vocabulary import LEVEL_MEANING, UNCHECKED, UNCHECKED_MEANING
from data.software import version
from data.store.durability import replacing
from data.store.snapshot import Snapshot

SUFFIXES = ("parquet", "csv", "jsonl")
# Rows that can be downloaded with a browser; text formats are several times as large as Parquet.
# The command line has no limit.
MOST_ROWS = {"parquet": 1_000_000, "csv": 100_000, "jsonl": 100_000}
# The same with what the stages logged, which is many times as large.
_MOST_ROWS_ADDED = {"parquet": 100_000, "csv": 50_000, "jsonl": 50_000}
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
    """The manifest of a file, a JSON object: its contents and how to reproduce it.

    Parameters
    ----------
    name: name of the file at its destination.
    columns: name and type of each. sql, parameters: the query that selected the rows. words: the
    filter's caption. link: URL parameters of the page that shows the same rows.
    """
    suffix = file.suffix.lower()
    content: dict[str, Any] = {
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
        **_learned_from(snapshot, model),
        "columns": [{"name": column, "type": kind} for column, kind in columns],
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "faultline": version(),
    }
    if link is not None:
        content["link"] = {key: list(values) for key, values in link.items()}
    if suffix == ".csv":
        content["note"] = (
            "Texts that a spreadsheet could run as a formula (those that begin with = + - @, also "
            "full-width or after blanks) have an apostrophe in front, and so have texts of "
            "apostrophes and such a beginning; Parquet and JSONL hold all as they are."
        )
    return content


def _learned_from(snapshot: Snapshot, model: str | None) -> dict[str, Any]:
    """What the model's verdicts rest on; nothing without a model."""
    if model is None:
        return {}
    people = snapshot.learned_from_people(model)
    return {
        "checked_by_people": people,
        **({} if people else {"unchecked": f"{UNCHECKED}. {UNCHECKED_MEANING}"}),
        **({"level": LEVEL_MEANING} if snapshot.level_is_assumed(model) else {}),
    }


def checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def manifest_of(file: Path) -> Path:
    """Where the manifest of `file` stands."""
    return file.with_name(f"{file.name}.manifest.json")


def write_manifest(file: Path, content: Mapping[str, Any]) -> Path:
    """Write the manifest of `file` next to it as FILE.manifest.json; returns its path."""
    path = manifest_of(file)
    with replacing(path) as draft:
        draft.write_text(_text(content), "utf-8")
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
    added: Sequence[str] = (),
) -> dict[str, Any]:
    """Export rows as `data.export.export.export` does; returns the manifest of the file."""
    rows = export(snapshot, table, to, where, params, added)
    derived = ("digest", "day") if (table, to.suffix.lower()) == ("turns", ".jsonl") else ()
    fields = [field for field in exported(table, added) if field.name not in derived]
    plainly = f"FROM {table}" + (f" WHERE {where}" if where else "")
    return manifest(
        to,
        snapshot,
        name=to.name,
        rows=rows,
        columns=[(field.name, str(field.type)) for field in fields],
        sql=f"SELECT * {rows_sql(table, where, added) if added else plainly}",
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
    added: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a zip file at `to` with the model's predictions for a filter and their manifest.

    `added` is as for `data.export.export.export`. Returns the manifest. Raises UsageError if there
    are more than `most_rows` rows.
    """
    clause, params = chosen.where()
    bound = {"model": model, **params}
    where = f"model_id = $model AND {clause}"
    rows = snapshot.query(f"SELECT count(*) AS n FROM predictions WHERE {where}", bound)
    if (n := int(rows["n"][0].as_py())) > most_rows(suffix, added):
        raise UsageError(too_many(n, suffix, added))
    with tempfile.TemporaryDirectory(prefix="faultline-export-") as folder:
        file = Path(folder) / f"predictions-{snapshot.version}.{suffix}"
        content = export_described(
            snapshot, "predictions", file, where, bound, chosen.caption(), model, link, added
        )
        _pack(file, content, to)
    return content


def answer_zip(
    snapshot: Snapshot,
    model: str | None,
    chosen: Filter,
    sql: str,
    suffix: str,
    to: Path,
    link: Mapping[str, Sequence[str]] | None = None,
    reader: Reader | None = None,
) -> dict[str, Any]:
    """Write a zip file at `to` with all rows of a user's statement and their manifest.

    The statement runs in the sandbox and sees what `reader` may see. Returns the manifest. Raises
    UsageError if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="faultline-export-") as folder:
        file = Path(folder) / f"answer-{snapshot.version}.{suffix}"
        answer = run(snapshot, sql, model=model, chosen=chosen, reader=reader, to=file)
        content = manifest(
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
            content["slice"] = slice_sql(model, chosen)
        _pack(file, content, to)
    return content


def most_rows(suffix: str, added: Sequence[str] = ()) -> int:
    """The number of rows that can be downloaded with a browser."""
    return (_MOST_ROWS_ADDED if added else MOST_ROWS)[suffix]


def too_many(rows: int, suffix: str, added: Sequence[str] = ()) -> str:
    """The message for a slice that is too large to be downloaded."""
    return (
        f"{rows:,} rows are more than the {most_rows(suffix, added):,} that can be downloaded as "
        f"{suffix}; narrow the filters, or run the command below."
    )


def command(
    model: str, chosen: Filter, suffix: str, store: str, version: str, added: Sequence[str] = ()
) -> list[str]:
    """The arguments of the command that exports the same rows and manifest, without a limit."""
    return [
        *("faultline", "export", "predictions", "--where", chosen.literal_sql(model)),
        *(word for name in added for word in ("--with", name)),
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
