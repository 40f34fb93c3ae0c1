"""Annotations from files: exported ones come back, and invalid rows are reported by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotation.files import import_annotations
from data.errors import IngestError, UsageError
from data.export.export import export
from data.ingest.ingest import ingest
from data.store.annotations import annotate, parse_slots
from data.store.store import Store
from tests.command import Run, must_fail
from tests.logs import trace, write_lines


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    ingest(store, [write_lines(tmp_path / "logs.jsonl", [trace("a"), trace("b", turn_index=1)])])
    return store


def row(**more: Any) -> dict[str, Any]:
    return {"turn_id": "a", "annotator": "ann", "failure_point": "asr"} | more


def rows(store: Store, table: str = "annotations") -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return list(snapshot.query(f"FROM {table} ORDER BY ALL").to_pylist())


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_what_was_exported_comes_back(filled: Store, tmp_path: Path, suffix: str) -> None:
    turn = rows(filled, "turns")[0]
    slots = [{"name": "song", "value": 'a, "b" = ü'}]
    annotate(filled, turn, "ann", "asr", transcript="two\nlines", slots=slots, note="ß")
    annotate(filled, turn, "bob", "nlu", intent="Play", adjudicated=True)
    file = tmp_path / f"said.{suffix}"
    with filled.snapshot() as snapshot:
        export(snapshot, "annotations", file)
    before = rows(filled)
    assert import_annotations(filled, file, file.name).present == 2
    assert rows(filled) == before
    other = Store.create(tmp_path / "other")
    ingest(other, [tmp_path / "logs.jsonl"])
    done = import_annotations(other, file.read_bytes(), file.name)
    assert (done.added, done.problems) == (2, ())
    assert rows(other) == before


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_texts_that_spreadsheets_would_run_come_back_unchanged(
    filled: Store, tmp_path: Path, suffix: str
) -> None:
    turn = rows(filled, "turns")[0]
    texts = (
        "-5 Grad bitte",
        "=1+1",
        "@home +1",
        "'=quoted'",
        "''-1",
        "tab\there",
        "\uff1d1",
        " +1",
    )
    for number, text in enumerate(texts):
        slots = [{"name": text, "value": text}]
        annotate(
            filled, turn, f"ann{number}", "asr", transcript=text, slots=slots, note=f"\t{text}"
        )
    before = rows(filled)
    assert {row["transcript"] for row in before} == set(texts)
    file = tmp_path / f"said.{suffix}"
    with filled.snapshot() as snapshot:
        export(snapshot, "annotations", file)
    assert import_annotations(filled, file, file.name).present == len(texts)
    other = Store.create(tmp_path / "other")
    ingest(other, [tmp_path / "logs.jsonl"])
    assert import_annotations(other, file, file.name).added == len(texts)
    assert rows(other) == before


def test_the_same_file_twice_adds_nothing(filled: Store, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "said.jsonl", [row(), row(), row(turn_id="b")])
    first = import_annotations(filled, file, file.name)
    assert (first.added, first.present) == (2, 1)
    assert import_annotations(filled, file, file.name).added == 0


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        (row(failure_point="tts"), "failure_point", "expected false_wake or asr"),
        (row(turn_id="gone"), "turn_id", "the store has no turn 'gone'"),
        (row(annotator="  "), "annotator", "not empty"),
        ({"turn_id": "a", "annotator": "ann"}, "failure_point", "required, but missing"),
        (row(trancript="x"), "trancript", "there is no such field"),
        (row(created_at="2024-05-01 09:30"), "created_at", "expected a time"),
        (row(adjudicated="maybe"), "adjudicated", "expected true or false"),
        (row(slots=[{"value": "x"}]), "slots[0].name", "required, but missing"),
        (b"[1, 2]", "", "not a JSON object"),
        (b'{"turn_id": "a"', "", "not a JSON object"),
    ],
)
def test_an_invalid_row_is_reported_by_line_and_field_and_quarantined(
    filled: Store, tmp_path: Path, wrong: Any, field: str, reason: str
) -> None:
    file = write_lines(tmp_path / "said.jsonl", [row(), wrong, row(turn_id="b")])
    done = import_annotations(filled, file, file.name)
    assert done.added == 2
    (problem,) = done.problems
    assert (problem.line, problem.field) == (2, field)
    assert reason in problem.reason
    (quarantined,) = rows(filled, "quarantine")
    assert (quarantined["line"], quarantined["field"]) == (2, field)
    # Corrected and imported again, the quarantine is empty.
    write_lines(file, [row(), row(turn_id="b")])
    import_annotations(filled, file, file.name)
    assert rows(filled, "quarantine") == []


def test_a_row_of_a_table_is_named_by_its_first_line(filled: Store) -> None:
    text = 'turn_id,annotator,failure_point,note\na,ann,asr,"two\nlines"\nb,ann,wrong,\n'
    done = import_annotations(filled, text.encode(), "said.csv")
    assert done.added == 1
    assert (done.problems[0].line, done.problems[0].field) == (4, "failure_point")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("said.xlsx", b"x", "its name must end in .jsonl, .csv, .parquet"),
        ("said.csv", b"", "is empty"),
        ("said.csv", b"turn,who\n1,2\n", "has no column 'turn_id'; it has turn, who"),
        ("said.jsonl", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("said.parquet", b"PAR1 nonsense", "is not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    filled: Store, name: str, content: bytes, message: str
) -> None:
    with pytest.raises((UsageError, IngestError), match=message):
        import_annotations(filled, content, name)
    assert rows(filled) == []


def test_rows_of_parquet_are_counted_from_one(filled: Store, tmp_path: Path) -> None:
    file = tmp_path / "said.parquet"
    pq.write_table(pa.Table.from_pylist([row(), row(turn_id="gone")]), file)
    done = import_annotations(filled, file, file.name)
    assert [problem.line for problem in done.problems] == [2]


def test_the_command_reports_lines_and_fails_for_invalid_rows(
    filled: Store, tmp_path: Path, run: Run
) -> None:
    file = write_lines(tmp_path / "said.jsonl", [row(), row(failure_point="tts")])
    ran = run("annotate", file, "--store", filled.path)
    assert ran.code == 1
    assert "1 annotation, 1 quarantined" in ran.out
    assert "line 2, failure_point: expected" in ran.out
    ran = run("annotate", file, "--store", filled.path, "--allow-quarantined", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["present"] == 1
    must_fail(run("annotate", tmp_path / "none.csv", "--store", filled.path), "Cannot read")


def test_slots_are_typed_one_per_line() -> None:
    assert parse_slots("song = yellow\n\n artist= a = b ") == [
        {"name": "song", "value": "yellow"},
        {"name": "artist", "value": "a = b"},
    ]
    with pytest.raises(UsageError, match="'yellow' is not a slot"):
        parse_slots("yellow")
