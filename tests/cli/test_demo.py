"""The commands around the reference assistant."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.ingest.ingest import ingest
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
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


def test_a_target_that_cannot_be_written_is_refused(run: Run) -> None:
    Path("file").write_text("")
    must_fail(run("demo-data", "--to", "file"), "file")
    must_fail(run("demo-data", "--to", "traces.csv"), "traces.csv", ".jsonl")
    must_fail(run("demo-data"), "--to", code=2)
    must_fail(run("demo-data", "--to", "_truth.parquet"), "_truth.parquet", "another name")
    must_fail(run("demo-data", "--to", "~nosuchuser/x"), "~", "in full")
    Path("taken/_incidents.json").mkdir(parents=True)
    must_fail(run("demo-data", "--to", "taken"), "_incidents.json", "folder")
    assert [path.name for path in Path("taken").iterdir()] == ["_incidents.json"]


def test_the_demo_does_not_mix_with_other_logs(run: Run, tmp_path: Path) -> None:
    store = Store.create("store")
    ingest(store, [write_lines(tmp_path / "other.jsonl", [trace("mine")])])
    must_fail(run("demo", "--no-serve"), "another assistant", "--store")
    assert store.snapshot().counts()["turns"] == 1
    must_fail(run("demo", "--no-serve", "--to", "traces.jsonl"), "traces.jsonl", "folder")
    must_fail(run("demo", "--no-serve", "--gold", 0), "--gold")


@pytest.mark.long
def test_the_whole_demo(run: Run) -> None:
    ran = run("demo", "--turns", 900, "--days", 10, "--gold", 0.6, "--no-serve")
    assert ran.code == 0, ran.err
    for step in ("1/7", "2/7", "3/7", "4/7", "5/7", "6/7", "7/7", "Done in", "faultline dashboard"):
        assert step in ran.out
    with Store.open("store").snapshot() as snapshot:
        counts = snapshot.counts()
        assert counts["turns"] == counts["predictions"] == 900
        (row,) = snapshot.query(
            "SELECT count(gold) AS gold, count(DISTINCT day) AS days FROM turns"
        ).to_pylist()
    # Inside the demo, the next step needs no hint.
    assert "faultline score" not in ran.out
    assert 400 < row["gold"] < 700
    assert row["days"] >= 10
    incidents = json.loads(Path("demo/_incidents.json").read_text())
    assert {incident["failure_point"] for incident in incidents} <= set(FAILURE_POINTS)
    assert len(incidents) == 5
    must_fail(run("demo", "--turns", 500, "--no-serve"), "other settings", "--store")
    # Ingesting the whole folder takes its traces and skips its truth.
    ran = run("ingest", "demo")
    assert (ran.code, ran.err) == (0, "")
    assert "900 already there" in ran.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--turns", 1000], ["about 80 of 1000", "--turns 5000", "--gold"]),
        (["--gold", 0.001], ["--turns 400000"]),
        (["--store", "file"], ["file", "not a store"]),
        (["--store", "file/store"], ["file/store", "is a file"]),
        (["--store", "letters"], ["letters", "not a store"]),
        (["--store", "demo"], ["demo", "--to"]),
        (["--store", "here", "--to", "here/demo"], ["here", "--to"]),
        (["--to", os.fsdecode(b"caf\xe9")], ["caf", "UTF-8"]),
        (["--store", os.fsdecode(b"caf\xe9")], ["caf", "UTF-8"]),
    ],
)
def test_a_demo_that_would_fail_at_its_end_is_refused_at_once(
    run: Run, options: list[object], words: list[str]
) -> None:
    Path("file").touch()
    Path("letters").mkdir()
    Path("letters/one.txt").touch()
    ran = run("demo", "--no-serve", *options)
    must_fail(ran, *words)
    assert ran.out == ""
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["file", "letters"]


# -- processes -------------------------------------------------------------------------------------


def start(to: Path, temporary: Path) -> subprocess.Popen[str]:
    """`demo-data` in a process group of its own, in the middle of its work."""
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "demo-data", "--to", str(to)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 120
    while not list(temporary.glob("faultline-assistant-*/setup.pickle")):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    return process


@pytest.mark.simulator
@pytest.mark.parametrize(
    ("stop", "whole", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143), (signal.SIGTERM, True, 143)],
)
def test_an_interrupted_demo_ends_at_once_and_leaves_no_files(
    tmp_path: Path, stop: signal.Signals, whole: bool, code: int
) -> None:
    process = start(tmp_path / "new" / "demo", tmp_path / "temporary")
    # The workers are at work by then, or being started.
    time.sleep(3)
    began = time.monotonic()
    (os.killpg if whole else os.kill)(process.pid, stop)
    _, problems = process.communicate(timeout=60)
    took = time.monotonic() - began
    assert process.returncode == code, problems
    assert [line.split(";")[0] for line in problems.splitlines()] == ["Interrupted"]
    assert took < 5
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.simulator
def test_the_next_demo_removes_what_a_killed_one_left(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    to, temporary = tmp_path / "demo", tmp_path / "temporary"
    process = start(to, temporary)
    # No other demo may write there meanwhile.
    must_fail(run("demo-data", "--to", to), "Another demo", str(to))
    process.kill()
    process.communicate(timeout=60)
    (left,) = (path for path in temporary.iterdir() if path.is_dir())
    assert (to / ".faultline-demo-draft").is_dir()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("assistant.demo._train", fail)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    must_fail(run("demo-data", "--to", to), "is full")
    assert not left.exists()
    assert list(to.iterdir()) == []
