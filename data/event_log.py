"""What servers tell of themselves: sentences for people, or one JSON object per line for programs.

A server tells events to `structlog.get_logger()`: a name (`spool_unwritable`), figures, and a
`message` where a person is to read of it. Nothing that people said, no token and no body goes into
an event, nor the text of an unexpected exception, which may quote any of these.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

# `json` in this environment variable is what `--log-format json` is; child processes read it.
VARIABLE = "FAULTLINE_LOG_FORMAT"

# Prints a sentence; the second argument says whether something is wrong.
Tell = Callable[[str, bool], None]
_Event = MutableMapping[str, Any]
_configured: LogFormat | None = None
_PROBLEMS = ("warning", "error", "critical", "exception")


class LogFormat(StrEnum):
    text = "text"
    json = "json"


def is_json() -> bool:
    """Whether this process logs as JSON, having been told so by `configure`."""
    return _configured is LogFormat.json


def configure_as_told() -> None:
    """Log as the process that started this one does."""
    if os.environ.get(VARIABLE) == LogFormat.json:
        configure(LogFormat.json, lambda *_: None)


def configure(form: LogFormat, tell: Tell) -> None:
    """Log in this format from now on, in child processes too.

    As text, `tell` gets the sentences and events without one are silent. As JSON, every event,
    warnings of libraries and unexpected exceptions are written to standard error.
    """
    import structlog

    global _configured
    _configured = form
    os.environ[VARIABLE] = form
    if form is LogFormat.json:
        _configure_json()
        return

    def sentence_only(_: Any, method: str, event: _Event) -> str:
        if message := event.get("message"):
            tell(str(message), method in _PROBLEMS)
        raise structlog.DropEvent

    structlog.configure(processors=[sentence_only], cache_logger_on_first_use=False)


def _configure_json() -> None:
    import structlog

    stamps: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _without_exception_text,
    ]
    render = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*stamps, render],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamps,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            keep_exc_info=True,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    sys.excepthook = _crashed
    threading.excepthook = lambda args: _crashed(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def uvicorn_options() -> dict[str, Any]:
    """For `uvicorn.Config`: warnings only, in the format of this process."""
    options: dict[str, Any] = {"log_level": "warning", "access_log": False}
    return {**options, "log_config": None} if is_json() else options


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import structlog

    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger().critical("crashed", exc_info=(kind, error, trace))


def _without_exception_text(_: Any, __: str, event: _Event) -> _Event:
    """The type of an exception and where it came from, in place of its text."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    elif isinstance(given, BaseException):
        given = (type(given), given, given.__traceback__)
    if isinstance(given, tuple) and given[0] is not None:
        event["exception"] = f"{given[0].__module__}.{given[0].__qualname__}"
        event["frames"] = [
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(given[2])
        ]
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
        event["event"] = str(event["event"]).strip()
        # The formatter would add the text after all.
        record.exc_info = record.exc_text = None
    return event
