"""A job in a thread: it ends with a result, an error, or because somebody stopped it."""

from __future__ import annotations

import logging
import threading

import pytest

from data.errors import UsageError
from parts.jobs.job import Job
from parts.jobs.thread import ThreadJob
from parts.jobs.widget import progress_words
from progress import Progress, Step


def test_a_job_ends_with_its_result() -> None:
    def work(progress: Progress) -> str:
        progress(1, 2, "halving")
        return "done"

    job: Job[str] = ThreadJob("Work", work)
    assert job.wait(5) == job.state == "done"
    assert (job.result, job.error, job.progress) == ("done", None, Step(1, 2, "halving"))
    assert progress_words(job) == "Work, 0\u2009s: halving · 50.0\u2009%"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UsageError("Give more."), "Give more."),
        (
            PermissionError(13, "Permission denied"),
            "You may not read or write a file (permission denied); change its permissions, or give "
            "another path.",
        ),
        (KeyError("x"), "Compaction failed: KeyError."),
    ],
)
def test_an_error_of_the_work_is_one_sentence(
    error: Exception, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    def work(progress: Progress) -> str:
        raise error

    job = ThreadJob("Compaction", work)
    assert job.wait(5) == "failed"
    assert job.result is None
    assert str(job.error) == sentence
    # Our own mistakes go to the log with their traceback.
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == isinstance(error, KeyError)


def test_a_stopped_job_ends_at_its_next_step_and_lets_the_next_one_run() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(progress: Progress) -> str:
        begun.set()
        go_on.wait(5)
        progress(1, 2, "going on")
        return "never"

    job = ThreadJob("First", work, alone=True)
    waiting = ThreadJob("Second", lambda progress: "after", alone=True)
    assert begun.wait(5)
    # One at a time: the second has not begun.
    assert waiting.wait(0.2) == "running"
    assert waiting.progress.what == "waiting for its turn"
    job.stop()
    go_on.set()
    assert job.wait(5) == "stopped"
    assert job.result is None
    assert job.error is None
    assert waiting.wait(5) == "done"
    assert waiting.result == "after"


def test_a_waiting_job_can_be_stopped() -> None:
    go_on = threading.Event()
    first = ThreadJob("First", lambda progress: go_on.wait(5), alone=True)
    second = ThreadJob("Second", lambda progress: "never", alone=True)
    second.stop()
    assert second.wait(5) == "stopped"
    go_on.set()
    assert first.wait(5) == "done"


def test_a_job_that_need_not_be_alone_begins_at_once() -> None:
    go_on = threading.Event()
    first = ThreadJob("First", lambda progress: go_on.wait(5), alone=True)
    assert ThreadJob("Second", lambda progress: "now").wait(5) == "done"
    go_on.set()
    assert first.wait(5) == "done"
