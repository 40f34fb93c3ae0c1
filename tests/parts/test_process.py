"""A job in a process: watched, stopped, and its errors in one sentence."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from filelock import FileLock

from classifiers import registry
from classifiers.model import Model
from data.store.store import Store
from parts.jobs.job import Jobs
from parts.jobs.process import ProcessJob
from progress import Step


def test_a_command_runs_in_the_background_and_its_error_is_one_sentence(tmp_path: Path) -> None:
    jobs = Jobs()
    arguments = ["train", "--no-promote", "--json", "--store", str(tmp_path / "no")]
    job = jobs.start("train", lambda: ProcessJob("Training", "cli", arguments))
    other = jobs.start("train", lambda: ProcessJob("Information", "cli", ["info"]))
    assert other is job, "one at a time"
    assert job.wait(60) == "failed"
    assert job.result is None
    assert str(job.error).startswith("No store at")
    jobs.forget("train")
    assert jobs.get("train") is None


def test_a_command_is_watched_and_stopped(six: tuple[Store, Model]) -> None:
    store, model = six
    done = ProcessJob("Information", "cli", ["info", "--json", "--store", str(store.path)])
    assert done.wait(60) == "done"
    assert done.result is not None
    assert done.result["turns"] == store.snapshot().counts()["turns"]
    assert done.error is None
    # A writer that never gets the lock.
    with FileLock(store.path / ".lock"):
        waiting = ProcessJob("Promotion", "cli", ["promote", model.id, "--store", str(store.path)])
        time.sleep(3)
        assert waiting.state == "running"
        waiting.stop()
        assert waiting.wait(30) == "stopped"


def test_work_with_steps_reports_what_a_user_did_wrong(tmp_path: Path) -> None:
    module = "classifiers.evaluation.learning_curve"
    job = ProcessJob("Learning curve", module, [str(tmp_path / "nowhere"), "m"], polite=True)
    assert job.wait(60) == "failed"
    assert "nowhere" in str(job.error)
    odd = ProcessJob("Nothing", "no.such.module", [])
    assert odd.wait(60) == "failed"
    assert "ended early (exit code 1)" in str(odd.error)


@pytest.mark.long
def test_work_with_steps_is_watched_and_stopped(six: tuple[Store, Model]) -> None:
    store, model = six
    module = "classifiers.evaluation.learning_curve"
    job = ProcessJob("Learning curve", module, [str(store.path), model.id], polite=True)
    assert job.progress == Step()
    until = time.monotonic() + 60
    while job.progress == Step() and time.monotonic() < until:
        time.sleep(0.05)
    assert job.progress.what
    job.stop()
    assert job.wait(30) == "stopped"
    assert not (store.models / model.id / registry.LEARNING).exists()


def test_the_current_folder_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("data", "pages", "cli"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise ImportError('not ours')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    job = ProcessJob("Information", "cli", ["info", "--store", str(tmp_path / "no")])
    assert job.wait(60) == "failed"
    assert str(job.error).startswith("No store at")
