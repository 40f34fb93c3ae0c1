"""Exports: complete or absent, readable by other tools, and limited to the snapshot."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from data.errors import UsageError
from data.export.export import ADDED, export
from data.export.manifest import command, slice_zip
from data.ingest.ingest import ingest
from data.queries.filters import Filter
from data.schema.layout import TABLES
from data.schema.meanings import TABLE_MEANINGS
from data.schema.trace import TURNS
from data.store.snapshot import Snapshot
from data.store.store import Store
from tests.logs import trace, write_lines
from tests.scored import MODEL


@pytest.fixture
def snapshot(store: Store, tmp_path: Path) -> Snapshot:
    records = [
        trace(
            "a", asr={"hypotheses": [{"text": 'say "hi", now', "confidence": 0.5}]}, odd={"x": 1}
        ),
        trace("b", turn_index=1, started_at="2024-05-02T09:30:00.000001+02:00", locale="en-GB"),
    ]
    ingest(store, [write_lines(tmp_path / "log.jsonl", records)])
    return store.snapshot()


def test_jsonl_is_a_trace_again(snapshot: Snapshot, store: Store, tmp_path: Path) -> None:
    assert export(snapshot, "turns", tmp_path / "out.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first["started_at"] == "2024-05-01T09:30:00.000Z"
    assert second["started_at"] == "2024-05-02T07:30:00.000001Z"
    assert first["extra"] == {"odd": {"x": 1}}
    assert first["wake"] is None
    assert "digest" not in first
    report = ingest(store, [tmp_path / "out.jsonl"]).files[0]
    assert (report.unchanged, report.unknown) == (2, {})


def test_parquet_is_the_table_and_a_trace_again(
    snapshot: Snapshot, store: Store, tmp_path: Path
) -> None:
    assert export(snapshot, "turns", tmp_path / "out.parquet") == 2
    assert pq.read_table(tmp_path / "out.parquet").schema.names == TURNS.names
    assert ingest(store, [tmp_path / "out.parquet"]).files[0].unchanged == 2


def test_csv_holds_nested_values_as_json(snapshot: Snapshot, tmp_path: Path) -> None:
    export(snapshot, "turns", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert json.loads(first["asr"])["hypotheses"] == [{"text": 'say "hi", now', "confidence": 0.5}]
    assert (first["locale"], second["locale"]) == ("", "en-GB")
    assert first["started_at"] == "2024-05-01T09:30:00.000Z"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("table", ["predictions", "rollup", "quarantine", "runs"])
def test_every_table_can_be_exported(
    snapshot: Snapshot, tmp_path: Path, table: str, suffix: str
) -> None:
    rows = export(snapshot, table, tmp_path / f"out.{suffix}")
    assert rows == snapshot.counts()[table]
    assert (tmp_path / f"out.{suffix}").exists()


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("locale = 'en-GB'", 1),
        ("asr.hypotheses[1].confidence > 0.4", 1),
        ("turn_index >= 0 -- all of them", 2),
        ("day = DATE '2024-05-02'", 1),
        ("turn_id NOT IN (SELECT turn_id FROM predictions)", 2),
        ("NULL", 0),
    ],
)
def test_a_condition_selects(snapshot: Snapshot, tmp_path: Path, where: str, rows: int) -> None:
    assert export(snapshot, "turns", tmp_path / "out.jsonl", where) == rows


@pytest.mark.parametrize(
    "where",
    [
        "nosuch = 1",
        "",
        "locale = 'en",
        "true LIMIT 1",
        "1 = 1) OR (1 = 1",
        "true) TO 'evil.csv'; COPY (SELECT 1",
        "true; DROP VIEW turns",
        "turn_id IN (SELECT content FROM read_text('/etc/hostname'))",
        "turn_id IN (FROM '/etc/hostname')",
        "count(*) > 1",
    ],
)
def test_a_bad_condition_is_one_sentence_with_the_columns(
    snapshot: Snapshot, tmp_path: Path, where: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match="turn_id, dialogue_id") as caught:
        export(snapshot, "turns", tmp_path / "out.jsonl", where)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("table", "name", "message"),
    [
        ("nothing", "out.csv", "there are: turns, predictions"),
        ("turns", "out.xlsx", ".parquet, .csv, .jsonl"),
        ("turns", "missing/out.csv", "a folder that exists"),
    ],
)
def test_a_wrong_target_is_one_sentence(
    snapshot: Snapshot, tmp_path: Path, table: str, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export(snapshot, table, tmp_path / name)


def test_an_export_replaces_an_existing_file(snapshot: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    export(snapshot, "runs", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().startswith("run_id")


# -- what the stages logged, beside the predictions ------------------------------------------------

WHERE = f"model_id = '{MODEL}'"


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("added", [("stages",), ("gold",), ("gold", "stages")])
def test_predictions_are_exported_with_what_was_logged(
    scored_store: Store, tmp_path: Path, suffix: str, added: tuple[str, ...]
) -> None:
    target = tmp_path / f"out.{suffix}"
    names = [name for group in ("stages", "gold") if group in added for name in ADDED[group]]
    with scored_store.snapshot() as snapshot:
        rows = export(snapshot, "predictions", target, WHERE, added=added)
        expected = snapshot.query(f"SELECT count(*) AS n FROM predictions WHERE {WHERE}")["n"][
            0
        ].as_py()
        logged = snapshot.query(f"SELECT turn_id, {', '.join(names)} FROM turns").to_pylist()
    assert rows == expected
    with duckdb.connect() as con:
        read = con.sql(f"FROM '{target}'").to_arrow_table()
    assert read.column_names[-len(names) :] == names
    assert read.num_rows == rows
    if suffix == "parquet":
        by_turn = {row["turn_id"]: row for row in logged}
        for row in read.to_pylist():
            assert {name: row[name] for name in names} == {
                name: by_turn[row["turn_id"]][name] for name in names
            }


@pytest.mark.parametrize(
    ("table", "added", "reason"),
    [
        ("turns", ["gold"], "predictions only"),
        ("predictions", ["nlu"], "give some of stages, gold"),
    ],
)
def test_what_cannot_be_added_is_one_sentence(
    snapshot: Snapshot, tmp_path: Path, table: str, added: list[str], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        export(snapshot, table, tmp_path / "out.csv", added=added)
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_manifest_and_the_command_name_what_was_added(
    scored_store: Store, tmp_path: Path, suffix: str
) -> None:
    chosen = Filter(device=("phone",))
    with scored_store.snapshot() as snapshot:
        content = slice_zip(snapshot, MODEL, chosen, suffix, tmp_path / "a.zip", added=("gold",))
        # The manifest's statement gives the same rows.
        again = snapshot.query(
            f"SELECT count(*) AS n FROM ({content['sql']})", content["parameters"]
        )
    assert content["rows"] == again["n"][0].as_py() > 0
    assert content["columns"][-1]["name"] == "gold"
    words = command(MODEL, chosen, suffix, "store", "t1", ("stages", "gold"))
    assert " ".join(words).count("--with") == 2


def test_every_table_has_a_meaning() -> None:
    assert list(TABLE_MEANINGS) == list(TABLES)
