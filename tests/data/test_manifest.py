"""An exported file comes with a manifest that describes it truly."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shlex
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.errors import UsageError
from data.export import manifest
from data.export.manifest import (
    SUFFIXES,
    answer_zip,
    command,
    slice_zip,
)
from data.queries.filters import Filter, Range
from data.store.store import Store
from tests.command import Run
from tests.scored import MODEL, NASTY

CHOSEN = Filter(device=("phone",), since=date(2024, 3, 1), words=Range(2, 4))


def unpack(path: Path) -> tuple[bytes, dict[str, Any]]:
    with zipfile.ZipFile(path) as pack:
        name, description = sorted(pack.namelist(), key=len)
        assert description == f"{name}.manifest.json"
        return pack.read(name), json.loads(pack.read(description))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_manifest_describes_the_file(scored_store: Store, tmp_path: Path, suffix: str) -> None:
    with scored_store.snapshot() as snapshot:
        slice_zip(snapshot, MODEL, CHOSEN, suffix, tmp_path / "a.zip", {"device": ["phone"]})
        clause, params = CHOSEN.sql()
        rows = snapshot.query(
            f"FROM predictions WHERE model_id = $model AND {clause}", {"model": MODEL, **params}
        ).num_rows
        content, description = unpack(tmp_path / "a.zip")
        assert description["rows"] == rows > 0
        assert description["data_version"] == snapshot.version
        # The SQL of the manifest, with its parameters, gives as many rows.
        bound = description["parameters"]
        assert snapshot.query(description["sql"], bound).num_rows == rows
    assert description["sha256"] == hashlib.sha256(content).hexdigest()
    assert description["bytes"] == len(content)
    assert description["model"] == MODEL
    assert description["filter"] == CHOSEN.caption()
    assert description["link"] == {"device": ["phone"]}
    names = [column["name"] for column in description["columns"]]
    if suffix == "parquet":
        table = pq.read_table(io.BytesIO(content))
        assert (table.num_rows, table.column_names) == (rows, names)
    elif suffix == "csv":
        records = list(csv.reader(io.StringIO(content.decode())))
        assert (len(records) - 1, records[0]) == (rows, names)
        assert "apostrophe" in description["note"]
    else:
        lines = content.decode().splitlines()
        assert (len(lines), list(json.loads(lines[0]))) == (rows, names)


def test_an_answer_comes_with_its_statement(scored_store: Store, tmp_path: Path) -> None:
    sql = "SELECT turn_id, heard, '=1+1' AS bad, started_at, slots FROM slice ORDER BY turn_id"
    with scored_store.snapshot() as snapshot:
        answer_zip(snapshot, MODEL, CHOSEN, sql, "csv", tmp_path / "a.zip")
        content, description = unpack(tmp_path / "a.zip")
        rows = snapshot.query(f"FROM ({description['slice']})").num_rows
    assert description["sql"] == sql
    assert description["rows"] == rows
    first = next(iter(csv.DictReader(io.StringIO(content.decode()))))
    assert first["bad"] == "'=1+1"
    assert first["started_at"].endswith("Z")
    assert [column["name"] for column in description["columns"]] == list(first)


def test_only_texts_that_look_like_formulas_get_an_apostrophe(
    scored_store: Store, tmp_path: Path
) -> None:
    with scored_store.snapshot() as snapshot:
        slice_zip(snapshot, MODEL, Filter(), "csv", tmp_path / "a.zip")
        content, _ = unpack(tmp_path / "a.zip")
    heard = [row["heard"] for row in csv.DictReader(io.StringIO(content.decode()))]
    assert NASTY in heard


def test_too_many_rows_raise_a_usage_error(
    scored_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(manifest.MOST_ROWS, "csv", 3)
    with scored_store.snapshot() as snapshot, pytest.raises(UsageError, match="narrow the filters"):
        slice_zip(snapshot, MODEL, Filter(), "csv", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_the_command_writes_the_same_rows(scored_store: Store, tmp_path: Path, run: Run) -> None:
    with scored_store.snapshot() as snapshot:
        version = snapshot.version
        downloaded = slice_zip(snapshot, MODEL, CHOSEN, "parquet", tmp_path / "a.zip")
        content, _ = unpack(tmp_path / "a.zip")
    words = shlex.split(
        shlex.join(command(MODEL, CHOSEN, "parquet", str(scored_store.path), version))
    )
    assert run(*words[1:]).code == 0
    file = Path(f"predictions-{version}.parquet")
    description = json.loads(Path(f"{file}.manifest.json").read_text())
    assert description["rows"] == downloaded["rows"]
    assert description["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert pq.read_table(file).equals(pq.read_table(io.BytesIO(content)))
