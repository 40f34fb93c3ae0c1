"""The commands around the reference assistant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.ingest import ingest
from data.store import Store
from data.trace import FAILURE_POINTS
from tests.command import Run, must_fail
from tests.logs import trace, write_lines


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--turns", "0"], ["0 turns", "at least 1"]),
        (["--turns", "-5"], ["-5 turns"]),
        (["--days", "-3"], ["-3 days", "1 to"]),
        (["--days", "0"], ["0 days"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--gold", "1.5"], ["1.5", "between 0 and 1"]),
        (["--locale", "en-FR"], ["en-FR", "en-US, en-GB, en-IN, en-AU"]),
        (["--scale", "10"], ["10", "at least as many"]),
        (["--turns", "many"], ["many"]),
        (["--turns", "1000000000000000000"], ["too much"]),
        (["--seed", "100000000000000000000"], ["seed", "0 to"]),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(
    run: Run, options: list[str], words: list[str]
) -> None:
    must_fail(run("demo-data", "--to", "demo", *options), *words)
    assert not Path("demo").exists()


def test_a_place_that_cannot_be_written_is_refused(run: Run) -> None:
    Path("file").write_text("")
    must_fail(run("demo-data", "--to", "file"), "file")
    must_fail(run("demo-data", "--to", "traces.csv"), "traces.csv", ".jsonl")
    must_fail(run("demo-data"), "--to", code=2)
    must_fail(run("demo-data", "--to", "truth.parquet"), "truth.parquet", "another name")
    must_fail(run("demo-data", "--to", "~nosuchuser/x"), "~", "in full")
    Path("taken/incidents.json").mkdir(parents=True)
    must_fail(run("demo-data", "--to", "taken"), "incidents.json", "folder")
    assert [path.name for path in Path("taken").iterdir()] == ["incidents.json"]


def test_the_demo_does_not_mix_with_other_logs(run: Run, tmp_path: Path) -> None:
    store = Store.create("store")
    ingest(store, [write_lines(tmp_path / "other.jsonl", [trace("mine")])])
    must_fail(run("demo", "--no-serve"), "another assistant", "--store")
    assert store.snapshot().counts()["turns"] == 1
    must_fail(run("demo", "--no-serve", "--to", "traces.jsonl"), "traces.jsonl", "folder")
    must_fail(run("demo", "--no-serve", "--gold", 0), "--gold")


def test_the_whole_demo(run: Run) -> None:
    ran = run("demo", "--turns", 900, "--days", 10, "--gold", 0.6, "--no-serve")
    assert ran.code == 0, ran.err
    for step in ("1/4", "2/4", "3/4", "4/4", "Done in", "faultline dashboard"):
        assert step in ran.out
    with Store.open("store").snapshot() as snapshot:
        counts = snapshot.counts()
        assert counts["turns"] == counts["predictions"] == 900
        (row,) = snapshot.query(
            "SELECT count(gold) AS gold, count(DISTINCT day) AS days FROM turns"
        ).to_pylist()
    assert 400 < row["gold"] < 700
    assert row["days"] >= 10
    incidents = json.loads(Path("demo/incidents.json").read_text())
    assert {incident["failure_point"] for incident in incidents} <= set(FAILURE_POINTS)
    assert len(incidents) == 5
    must_fail(run("demo", "--turns", 500, "--no-serve"), "other settings", "--store")
