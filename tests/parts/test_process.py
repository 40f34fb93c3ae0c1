"""Work in a process of its own: watched, stopped, and told about in one sentence."""

from __future__ import annotations

import time
from pathlib import Path

from filelock import FileLock

from classifiers import registry
from classifiers.model import Model
from data.store.store import Store
from parts.jobs.process import Job, Jobs


def test_a_command_runs_aside_and_its_trouble_is_one_sentence(tmp_path: Path) -> None:
    jobs = Jobs()
    arguments = ["train", "--no-promote", "--json", "--store", str(tmp_path / "no")]
    job = jobs.start("train", "cli", arguments)
    assert jobs.start("train", "cli", ["info"]) is job, "one at a time"
    assert job.wait(60) == "failed"
    assert job.trouble().startswith("No store at")
    jobs.forget("train")
    assert jobs.get("train") is None


def test_a_command_is_watched_and_stopped(six: tuple[Store, Model]) -> None:
    store, model = six
    jobs = Jobs()
    done = jobs.start("info", "cli", ["info", "--json", "--store", str(store.path)])
    assert done.wait(60) == "done"
    assert done.result()["turns"] == store.snapshot().counts()["turns"]
    # A writer that never gets the lock.
    with FileLock(store.path / ".lock"):
        held = jobs.start("promote", "cli", ["promote", model.id, "--store", str(store.path)])
        time.sleep(3)
        assert held.state == "running"
        held.stop()
        assert held.wait(30) == "stopped"


def test_work_with_steps_tells_what_a_user_did_wrong(tmp_path: Path) -> None:
    job = Job(
        "classifiers.evaluation.learning_curve", [str(tmp_path / "nowhere"), "m"], polite=True
    )
    assert job.wait(60) == "failed"
    assert "nowhere" in job.trouble()
    odd = Job("no.such.module", [])
    assert odd.wait(60) == "failed"
    assert "ended early (exit code 1)" in odd.trouble()


def test_work_with_steps_is_watched_and_stopped(six: tuple[Store, Model]) -> None:
    store, model = six
    job = Job("classifiers.evaluation.learning_curve", [str(store.path), model.id], polite=True)
    assert job.step() == (0.0, "starting")
    until = time.monotonic() + 60
    while job.step()[1] == "starting" and time.monotonic() < until:
        time.sleep(0.05)
    assert job.step()[1] != "starting"
    job.stop()
    assert job.wait(30) == "stopped"
    assert not (store.models / model.id / registry.LEARNING).exists()
