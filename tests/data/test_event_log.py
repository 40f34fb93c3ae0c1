"""What servers tell: sentences as they are, or JSON that quotes nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PROGRAM = """
import logging, sys, threading
import structlog
from data.event_log import LogFormat, configure

configure(LogFormat(sys.argv[1]), lambda text, bad: print(text, file=sys.stderr if bad else None))
log = structlog.get_logger()
log.info("stored", turns=3)
log.info("started", message="It is [bold]here[/bold].", port=1)
log.warning("failing", message="The disk is full.")

def fail():
    raise ValueError("turn on the lamp")

try:
    fail()
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    log.error("trial_failed", exc_info=True)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def ran(form: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, form], cwd=ROOT, capture_output=True, text=True
    )


def test_json_is_one_object_per_line_without_what_was_said() -> None:
    done = ran("json")
    assert (done.returncode, done.stdout) == (1, "")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["event"] for event in events] == [
        *("stored", "started", "failing", "Exception in ASGI application", "trial_failed"),
        *("crashed", "crashed"),
    ]
    assert events[0]["turns"] == 3
    assert events[2]["level"] == "warning"
    for event in events[3:]:
        assert event["exception"] == "builtins.ValueError"
        assert event["frames"][-1].endswith(" fail")
    assert "lamp" not in done.stderr


def test_text_is_the_sentences_alone() -> None:
    done = ran("text")
    assert done.stdout == "It is [bold]here[/bold].\n"
    assert done.stderr.startswith("The disk is full.\n")
    assert "stored" not in done.stderr


@pytest.mark.parametrize("value", ["xml", ""])
def test_another_format_is_refused(value: str) -> None:
    command = [sys.executable, "-m", "cli", "collect", "otlp", "--log-format", value]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "json" in done.stderr
