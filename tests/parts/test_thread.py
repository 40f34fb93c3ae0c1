"""Long work: it ends with a result, an error, or because somebody stopped it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from parts.jobs.thread import Job


def test_a_job_ends_with_its_result() -> None:
    def work(progress: Callable[[float], None]) -> str:
        progress(0.5)
        return "done"

    job = Job(work)
    assert job.wait(5)
    assert (job.result, job.error, job.share, job.stopped) == ("done", None, 0.5, False)
    assert list(job.watch()) == []


def test_what_the_work_raises_is_kept() -> None:
    def work(progress: Callable[[float], None]) -> str:
        raise ValueError("no")

    job = Job(work)
    assert job.wait(5)
    assert job.result is None
    assert str(job.error) == "no"


def test_a_stopped_job_ends_at_its_next_step_and_makes_room() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(progress: Callable[[float], None]) -> str:
        begun.set()
        go_on.wait(5)
        progress(0.5)
        return "never"

    job, waiting = Job(work), Job(lambda progress: "after")
    assert begun.wait(5)
    # One at a time: the second has not begun.
    assert not waiting.wait(0.2)
    job.stop()
    go_on.set()
    assert job.wait(5)
    assert job.stopped
    assert job.result is None
    assert job.error is None
    assert waiting.wait(5)
    assert waiting.result == "after"


def test_a_job_that_waits_for_room_can_be_stopped() -> None:
    go_on = threading.Event()
    first = Job(lambda progress: go_on.wait(5))
    second = Job(lambda progress: "never")
    second.stop()
    assert second.wait(5)
    assert second.stopped
    go_on.set()
    assert first.wait(5)
