"""What commands say is so: nothing found, impossible dates, foreign folders, numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.counted import counted
from data.ingest.ingest import ingest
from data.store.retention import retain
from data.store.store import Store
from data.store.turn_deletion import Deletion
from tests.command import Run, must_fail
from tests.logs import trace, write_lines


def test_an_empty_id_is_refused(run: Run, store: Store) -> None:
    for option in ("--user", "--dialogue"):
        must_fail(run("delete", option, " ", "--store", store.path), "empty", code=2)


def test_numbers_agree_with_their_nouns() -> None:
    assert counted(1, "turn") == "1 turn"
    assert counted(1959, "turn") == "1\u202f959 turns"
    others = {"annotations": 1, "notes of annotators": 1, "saved views": 2, "rows of models": 1}
    said = str(Deletion(1, 1959, 1, others))
    assert "Deleted 1 turn, 1\u202f959 predictions and 1 quarantined line." in said
    assert "1 annotation, 1 note of annotators, 2 saved views, 1 row of models." in said


def test_turns_with_impossible_dates_are_kept_by_their_arrival(
    run: Run, store: Store, tmp_path: Path
) -> None:
    turns = [trace(f"t{year}", started_at=f"{year}-01-01T00:00:00Z") for year in (1970, 2150)]
    ingest(store, [write_lines(tmp_path / "l.jsonl", turns)])
    said = run("retain", "--days", "30", "--store", store.path).out
    assert "Nothing in the store is older than 30 days." in said
    assert "2 turns have impossible dates, and are kept by the day on which they arrived." in said
    assert "vacuum" not in said
    assert "impossible date" in run("retain", "--help").out
    assert retain(store, days=30).undated == 2


@pytest.mark.parametrize("command", ["info", "dashboard", "ingest", "score"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_store_is_called_so(run: Run, tmp_path: Path, command: str, kind: str) -> None:
    """No advice is given that fails there."""
    (tmp_path / "folder").mkdir()
    write_lines(tmp_path / "folder" / "l.jsonl", [trace("t")])
    place = tmp_path / ("folder/l.jsonl" if kind == "file" else "folder")
    arguments = (str(tmp_path / "folder" / "l.jsonl"),) if command == "ingest" else ()
    ran = run(command, *arguments, "--store", place)
    must_fail(ran, str(place), "is not a store", code=1)
    assert "faultline ingest" not in ran.err


def test_a_missing_assistant_is_not_none(run: Run, store: Store, tmp_path: Path) -> None:
    ingest(store, [write_lines(tmp_path / "l.jsonl", [trace("t", assistant=None)])])
    said = run("info", "--store", store.path).out
    assert "None" not in said
    assert "not stated" in said
    assert "megabytes of models" in said


@pytest.mark.parametrize(
    "command",
    [("export", "turns", "--to", "{}/x.csv"), ("export", "turns", "--to", "{}/turns/x.parquet"),
     ("report", "--to", "{}/x.html"), ("demo-data", "--turns", "9", "--to", "{}/logs")],
)  # fmt: skip
def test_nothing_is_written_into_a_store(
    run: Run, scored_store: Store, command: tuple[str, ...]
) -> None:
    words = [word.format(scored_store.path) for word in command]
    store = () if command[0] == "demo-data" else ("--store", scored_store.path)
    must_fail(run(*words, *store), "into the store's own folder", code=2)


def test_the_value_that_counts_is_named(run: Run) -> None:
    must_fail(run("dashboard", "--port", "8977", "--port", "0"), "(got 0)", code=2)
    ran = run("ingest", "x.jsonl", "--longest-line", "nan")
    must_fail(ran, "expected a number", "(got nan)", code=2)
    assert "less than" not in ran.err


@pytest.mark.parametrize(
    ("command", "option"),
    [(("collect", "otlp"), "--host"), (("serve-rewrites", "--insecure"), "--host"),
     (("dashboard",), "--address")],
)  # fmt: skip
def test_an_address_that_is_none_names_its_option(
    run: Run, scored_store: Store, command: tuple[str, ...], option: str
) -> None:
    ran = run(*command, option, "999.1.1.1", "--port", "8979", "--store", scored_store.path)
    must_fail(ran, "'999.1.1.1'", f"with {option}, or 0.0.0.0", code=2)
