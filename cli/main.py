"""The entry point: the commands in their order, and one sentence for whatever goes wrong."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from cli.alerts import alerts
from cli.backup import backup, restore
from cli.collect import collect
from cli.dashboard import dashboard
from cli.demo import demo, demo_data
from cli.doctor import doctor
from cli.ingest import annotate, ingest
from cli.judges import judge
from cli.labels import labels
from cli.mapping import mapping
from cli.models import evaluate, promote, score, train
from cli.output import err, plain
from cli.privacy import deletions, redact
from cli.report import report
from cli.rewrites import rewrites
from cli.rewriting import rewrite, serve_rewrites
from cli.store import (
    compact,
    delete,
    export,
    info,
    retain,
    retention,
    vacuum,
)
from cli.teaching import preferences, teach
from cli.tickets import tickets
from cli.users import users
from data.errors import FaultlineError, machine_error
from data.event_log import is_json

app = typer.Typer(
    name="faultline",
    help="Find the component that failed first on every turn of a voice assistant.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

# In the order in which `faultline --help` lists them.
COMMANDS: tuple[Callable[..., Any], ...] = (
    *(ingest, mapping, train, score, evaluate, export, info),
    *(redact, compact, vacuum, delete, retain, retention, deletions, backup, restore, doctor),
    *(annotate, promote, report, dashboard),
    *(rewrite, serve_rewrites, teach),
    *(demo, demo_data),
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(rewrites)
app.add_typer(labels)
app.add_typer(judge)
app.add_typer(preferences)
app.add_typer(collect)
app.add_typer(tickets)
app.add_typer(alerts)
app.add_typer(users)

_INTERRUPTED = 130


def main() -> None:
    """Entry point: every error that a user can cause is one sentence and exit code 1 or 2."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Idle OpenMP threads that spin starve whatever else runs on the machine, many times over.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets "?" for it, not an error.
            stream.reconfigure(errors="replace")
    with _stoppable() as received:
        code = _run()
    if code and received:
        code = 128 + received[0]
    if code == _INTERRUPTED or received:
        err.print("Interrupted; the store is as the last finished step of this command left it.")
    if code:
        sys.exit(code)


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Lets a command end on SIGTERM or SIGHUP as it does on Ctrl-C; yields the signals received.

    A signal that the command was started to ignore, as with `nohup`, stays ignored.
    """
    received: list[int] = []

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    stops = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in stops:
        signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number in stops:
            signal.signal(number, signal.SIG_DFL)


def _run() -> int:
    """Run the command that the arguments name; returns its exit code."""
    try:
        # Typer returns the code of an `Exit`; of an interrupt it makes 130 (128 + SIGINT).
        code: int = app(sys.argv[1:] or ["--help"], prog_name="faultline", standalone_mode=False)
        # What is printed may go to a file.
        sys.stdout.flush()
    except FaultlineError as error:
        code = _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        code = _fail(_misuse(error), error.exit_code)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except MemoryError:
        code = _fail("Out of memory; free some, or give a smaller input.")
    except RuntimeError as error:
        if "Query interrupted" in str(error):
            # What DuckDB makes of a KeyboardInterrupt in the middle of a query.
            code = _INTERRUPTED
        # What `Path.expanduser` says of "~nobody/logs".
        elif "home directory" in str(error):
            code = _fail(
                "The path begins with ~ and a name that is no user of this machine; give it in "
                "full."
            )
        else:
            raise
    except OSError as error:
        problem = machine_error(error, *_places())
        where = f" ({error.filename})" if error.filename else ""
        code = _fail(str(problem) if problem else f"{error.strerror or error}{where}.")
    except UnicodeEncodeError as error:
        if not any(0xDC80 <= ord(letter) <= 0xDCFF for letter in error.object):
            raise
        # Undecodable bytes of a file name, as Python shows them.
        code = _fail(f"The name {error.object!r} is not valid UTF-8; give it another.", 2)
    except Exception as error:
        reason = _damage(error)
        if reason is None:
            raise
        code = _fail(reason)
    return code


def _fail(sentence: str, code: int = 1) -> int:
    if is_json():
        import structlog

        structlog.get_logger().error("failed", message=sentence, exit_code=code)
        return code
    err.print(f"[red]Error:[/red] {plain(sentence)}")
    return code


def _misuse(error: typer.TyperException) -> str:
    """Typer's complaint about an option or argument as one sentence that names the help."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "faultline"
    # A library's own name for a value that is none of the choices.
    complaint = error.format_message().replace("Value error, ", "")
    complaint = " ".join(complaint.split()).rstrip(".")
    value = _value_of(getattr(getattr(error, "param", None), "opts", ()))
    if value and value.lower().lstrip("+-") == "nan":
        # It is in no range, but that is not why.
        complaint = complaint.split(": ")[0] + ": expected a number"
    got = f" (got {value})" if value and value not in complaint else ""
    return f"{complaint}{got}; see: {command} --help"


def _damage(error: Exception) -> str | None:
    """What to say when the machine or the store's files are at fault; None for our own mistakes."""
    import duckdb
    from deltalake.exceptions import DeltaError

    from data.store.damage import may_be_damage

    if problem := machine_error(error, *_places()):
        return str(problem)
    reason = str(error).strip().split("\n")[0].rstrip(".")
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"Out of memory ({reason}); free some, or do less at once."
    if isinstance(error, (duckdb.IOException, DeltaError)) or may_be_damage(error):
        return f"The store cannot be read or written ({reason}); restore it from a backup."
    return None


def _places() -> list[str]:
    """Where the command may write: the store and what it was told to write to."""
    given = [_value_of([name]) for name in ("--store", "--to")]
    return [place for place in (*given, os.environ.get("FAULTLINE_STORE")) if place] or ["store"]


def _value_of(options: Sequence[str]) -> str | None:
    """The value on the command line of the option with one of these names."""
    value = None
    # Of an option that is repeated, the last one counts.
    for word, following in zip(sys.argv, [*sys.argv[1:], None], strict=True):
        if word in options:
            value = following
            continue
        name, equals, text = word.partition("=")
        if equals and name in options:
            value = text
    return value
