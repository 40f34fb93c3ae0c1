"""The command line: `faultline ingest | train | score | evaluate | export | …`."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from data.errors import FaultlineError, UsageError

app = typer.Typer(
    name="faultline",
    help="Find the component that failed first on every turn of a voice assistant.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Lines are never cut or broken, whatever the width: logs are searched, and paths are copied.
out = Console(highlight=False, emoji=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


class Context(StrEnum):
    hindsight = "hindsight"
    live = "live"


class Format(StrEnum):
    jsonl = "jsonl"
    parquet = "parquet"


# Text, not a path: `Path` would make one slash of the two in an object store's address.
StoreOption = Annotated[
    str,
    typer.Option("--store", envvar="FAULTLINE_STORE", help="Folder of the store."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ContextOption = Annotated[
    Context,
    typer.Option(help="hindsight reads the turns that follow; live reads nothing of later turns."),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Same turns and seed: same model.")]
EncoderOption = Annotated[
    str | None, typer.Option(help="transformers model: a folder, or a name in the local cache.")
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(help="Leave out a group of features: before, after, capture, text. Repeatable."),
]
DEFAULT_STORE = "store"


@app.command()
def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input.")],
    store: StoreOption = DEFAULT_STORE,
    format: Annotated[
        Format | None, typer.Option(help="Read all inputs as this, whatever their suffix.")
    ] = None,
    allow_quarantined: Annotated[
        bool, typer.Option(help="Exit 0 even if lines were quarantined.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring trace logs into the store: JSONL (.gz, .zst) or Parquet."""
    from data.formats import discover
    from data.ingest import ingest as run
    from data.store import Store
    from progress import Ingesting

    # A mistyped path must not leave an empty store behind.
    discover(paths, format.value if format else None)
    target = Store.ensure(store)
    with Ingesting(err) as progress:
        report = run(target, paths, format.value if format else None, progress)
    if as_json:
        _print_json({"files": [asdict(file) for file in report.files]})
    else:
        for file in report.files:
            if file.error:
                err.print(f"[red]{_plain(file.error)}[/red]")
                continue
            parts = [f"{_n(file.turns)} turns"]
            if file.replaced:
                parts.append(f"{_n(file.replaced)} replaced")
            if file.unchanged:
                parts.append(f"{_n(file.unchanged)} already there")
            if file.quarantined:
                parts.append(f"[yellow]{_n(file.quarantined)} quarantined[/yellow]")
            out.print(f"{_plain(file.file)}: {', '.join(parts)} ({file.seconds:.1f} s)")
        for name, count in list(report.unknown.items())[:20]:
            out.print(f"Unknown field {_plain(name)!r} kept in extra, {_n(count)} records.")
        if report.quarantined:
            out.print(
                f"{_n(report.quarantined)} lines were quarantined. See why with: "
                f"faultline export quarantine --to quarantine.csv --store {_plain(store)}",
            )
    if report.failed or (report.quarantined and not allow_quarantined):
        raise typer.Exit(1)


@app.command()
def train(
    store: StoreOption = DEFAULT_STORE,
    context: ContextOption = Context.hindsight,
    seed: SeedOption = 0,
    promote: Annotated[
        bool, typer.Option(help="Make it the model that score and the dashboard use.")
    ] = True,
    encoder: EncoderOption = None,
    without: WithoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on the labelled turns, and promote it."""
    import shutil

    from classifiers import registry
    from classifiers.sample import training_turns
    from classifiers.train import train as run
    from data.store import Store

    target = Store.open(store)
    settings = _settings(context, seed, encoder, without)
    with target.snapshot() as snapshot:
        turns = training_turns(snapshot, seed)
    model, folder = run(turns, settings, _say)
    try:
        model_id = registry.save(model, folder, target.models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if promote:
        target.promote(model_id)
    figures = model.metrics["out_of_fold"]
    if as_json:
        _print_json({"model": model_id, "promoted": promote, **model.metrics})
        return
    out.print(
        f"Model [bold]{model_id}[/bold], {_n(model.metrics['labelled'])} labelled turns, "
        f"out-of-fold macro-F1 {figures['macro_f1']:.3f}"
        + (", promoted." if promote else ", not promoted.")
    )
    _absent(model.classes)
    _figures_table(figures)
    out.print(f"Next: faultline score --store {_plain(store)}")


@app.command()
def score(
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[str | None, typer.Option(help="Model id; the promoted one if absent.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Score every turn again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Score the turns that are new, changed, or whose dialogue has grown."""
    from classifiers.score import score as run
    from data.store import Store
    from progress import Counting

    target = Store.open(store)
    with Counting(err, "scoring") as progress:
        report = run(target, model, everything=everything, progress=progress)
    if as_json:
        _print_json(asdict(report))
        return
    out.print(
        f"Scored {_n(report.scored)} turns with {report.model_id}; "
        f"{_n(report.up_to_date)} were up to date. Data version {report.version}."
    )
    if report.scored:
        table = Table("failure point", "turns", "share", box=None)
        total = sum(report.verdicts.values())
        for name, count in report.verdicts.items():
            table.add_row(name, _n(count), f"{count / total:.1%}")
        out.print(table, soft_wrap=False)


@app.command()
def evaluate(
    store: StoreOption = DEFAULT_STORE,
    context: ContextOption = Context.hindsight,
    seed: SeedOption = 0,
    folds: Annotated[int, typer.Option(min=2, max=50, help="Parts of the cross-validation.")] = 5,
    encoder: EncoderOption = None,
    without: WithoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cross-validate on the labelled turns, split by dialogue (or repeated sentence)."""
    from classifiers.evaluate import evaluate as run
    from classifiers.sample import training_turns
    from data.store import Store

    settings = _settings(context, seed, encoder, without)
    with Store.open(store).snapshot() as snapshot:
        turns = training_turns(snapshot, seed)
    result = run(turns, settings, folds, _say)
    if as_json:
        _print_json(result)
        return
    low, high = result["intervals"]["macro_f1"]
    out.print(
        f"{folds}-fold cross-validation, {_n(result['turns'])} labelled turns, {context.value}: "
        f"macro-F1 [bold]{result['macro_f1']:.3f}[/bold] ({low:.3f}–{high:.3f}), "
        f"accuracy {result['accuracy']:.3f}",
    )
    if result.get("defect_average_precision") is not None:
        out.print(
            f"Defect: average precision {result['defect_average_precision']:.3f}, "
            f"calibration error {result['defect_calibration_error']:.3f}"
        )
    _absent(tuple(result["classes"]))
    _figures_table(result)


@app.command()
def export(
    table: Annotated[str, typer.Argument(help="turns, predictions, rollup, quarantine, runs.")],
    to: Annotated[Path, typer.Option("--to", help="File ending in .parquet, .csv or .jsonl.")],
    store: StoreOption = DEFAULT_STORE,
    where: Annotated[str | None, typer.Option(help="SQL condition on the table's columns.")] = None,
    at: Annotated[str | None, typer.Option(help="Data version; the newest if absent.")] = None,
) -> None:
    """Write a table of the store to a file."""
    from data.export import export as run
    from data.store import Store

    with Store.open(store).snapshot(at) as snapshot:
        rows = run(snapshot, table, to, where)
        out.print(f"Wrote {_n(rows)} rows to {_plain(str(to))} (data version {snapshot.version}).")


@app.command()
def info(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """What the store holds."""
    from data.describe import describe
    from data.store import Store

    target = Store.open(store)
    facts = describe(target) | {"models": target.model_ids()}
    if as_json:
        _print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else _n(value)
        out.print(f"{name.replace('_', ' '):<{width}}  {_plain(text)}".rstrip())


@app.command()
def compact(store: StoreOption = DEFAULT_STORE) -> None:
    """Merge small files; safe while others read and write."""
    from data.store import Store
    from data.upkeep import compact as run

    done = run(Store.open(store))
    out.print(f"{_n(done.before)} files before, {_n(done.after)} after.")


@app.command()
def vacuum(
    store: StoreOption = DEFAULT_STORE,
    keep_hours: Annotated[
        float,
        typer.Option(
            help="Keep versions younger than this many hours readable, and models as young."
        ),
    ] = 168.0,
    promoted_only: Annotated[
        bool,
        typer.Option(help="Also drop all models but the promoted one, with their predictions."),
    ] = False,
) -> None:
    """Remove files that no kept version needs; older versions can no longer be opened.

    Models go too if they are not promoted, have no predictions, and are older than that and a day.
    """
    from data.store import Store
    from data.upkeep import vacuum as run

    target = Store.open(store)
    promoted = target.head().model
    keep = [promoted] if promoted_only and promoted else None
    done = run(target, keep_hours=keep_hours, keep_models=keep)
    out.print(f"Removed {_n(done.files)} files, {done.bytes / 1e6:.1f} MB.")
    if done.models:
        out.print(f"Models removed: {_plain(', '.join(done.models))}.")


@app.command()
def delete(
    store: StoreOption = DEFAULT_STORE,
    dialogue: Annotated[list[str] | None, typer.Option(help="Dialogue id. Repeatable.")] = None,
    user: Annotated[list[str] | None, typer.Option(help="User id. Repeatable.")] = None,
) -> None:
    """Delete the turns of dialogues or users, with their predictions."""
    from data.store import Store
    from data.upkeep import delete as run

    if not dialogue and not user:
        raise UsageError("Nothing to delete: give --dialogue ID or --user ID.")
    out.print(
        str(run(Store.open(store), dialogue_ids=dialogue or (), user_ids=user or ())),
    )


@app.command()
def retain(
    days: Annotated[int, typer.Option(min=1, help="Days to keep, counted back from today (UTC).")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Delete turns older than so many days."""
    from data.store import Store
    from data.upkeep import retain as run

    out.print(str(run(Store.open(store), days=days)))


@app.command()
def labels(
    store: StoreOption = DEFAULT_STORE,
    show: Annotated[int, typer.Option(min=0, help="Disagreements to list.")] = 20,
) -> None:
    """Compare the annotators' failure points with those derived from the rest of gold."""
    from data.store import Store
    from labels.compare import report
    from labels.failure_point import compare

    with Store.open(store).snapshot() as snapshot:
        turns = snapshot.query("SELECT * FROM turns WHERE gold IS NOT NULL")
    if turns.num_rows == 0:
        raise UsageError("No turn in the store has gold fields to derive a failure point from.")
    agreement = compare(turns)
    out.print(report(agreement), markup=False)
    for row in agreement.disagreements.slice(0, show).to_pylist():
        out.print("  ".join(f"{key}={value}" for key, value in row.items()), markup=False)


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="Model id.")], store: StoreOption = DEFAULT_STORE
) -> None:
    """Make a model the one that score and the dashboard use."""
    from data.store import Store

    Store.open(store).promote(model)
    out.print(f"{_plain(model)} is now the promoted model.")


@app.command()
def dashboard(
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8501,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = True,
) -> None:
    """Serve the dashboard on 127.0.0.1."""
    script = Path(__file__).with_name("app.py")
    os.environ["FAULTLINE_STORE"] = str(Path(store).expanduser().absolute())
    _must_be_free(port)
    out.print(f"Faultline is at http://127.0.0.1:{port} (stop it with Ctrl-C).")
    sys.stdout.flush()
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(script)),
        *("--server.address", "127.0.0.1", "--server.port", str(port)),
        *("--server.headless", "true" if headless else "false"),
    ]
    # Streamlit reads its theme from the folder it is started in.
    os.chdir(script.parent)
    os.execv(sys.executable, command)


def main() -> None:
    """Entry point: every error that a user can cause is one sentence and exit code 1 or 2."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Idle OpenMP threads that spin starve whatever else runs on the machine, many times over.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets "?" for it, not an error.
            stream.reconfigure(errors="replace")
    try:
        # Typer returns the code of an `Exit`; of an interrupt it makes 130 (128 + SIGINT).
        code = app(sys.argv[1:] or ["--help"], prog_name="faultline", standalone_mode=False)
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
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        code = _fail(f"{error.strerror or error}{where}.")
    except Exception as error:
        reason = _damage(error)
        if reason is None:
            raise
        code = _fail(reason)
    if code == _INTERRUPTED:
        err.print("Interrupted; the store is as it was before this command's last finished step.")
    if code:
        sys.exit(code)


_INTERRUPTED = 130


def _fail(sentence: str, code: int = 1) -> int:
    err.print(f"[red]Error:[/red] {_plain(sentence)}")
    return code


def _misuse(error: typer.TyperException) -> str:
    """Typer's complaint about an option or argument as one sentence that names the help."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "faultline"
    complaint = " ".join(error.format_message().split()).rstrip(".")
    given = _given(getattr(getattr(error, "param", None), "opts", ()))
    got = f" (got {given})" if given and given not in complaint else ""
    return f"{complaint}{got}; see: {command} --help"


def _damage(error: Exception) -> str | None:
    """What to say when the machine or the store's files are at fault; None for our own mistakes."""
    import duckdb
    from deltalake.exceptions import DeltaError

    reason = str(error).strip().split("\n")[0].rstrip(".")
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"Out of memory ({reason}); free some, or do less at once."
    if isinstance(error, (duckdb.IOException, duckdb.InvalidInputException, DeltaError)):
        return f"The store cannot be read or written ({reason}); free disk space or restore it."
    return None


def _given(options: Sequence[str]) -> str | None:
    """The value on the command line for one of the names of an option."""
    for word, following in zip(sys.argv, [*sys.argv[1:], None], strict=True):
        if word in options:
            return following
        name, equals, value = word.partition("=")
        if equals and name in options:
            return value
    return None


def _must_be_free(port: int) -> None:
    with socket.socket() as probe:
        # As the server will: a port that a server has just left is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used ({error.strerror}); give another with --port."
            ) from error


def _settings(context: Context, seed: int, encoder: str | None, without: list[str] | None) -> Any:
    from classifiers.encoder import DEFAULT
    from classifiers.settings import PARTS, Settings

    unknown = sorted(set(without or ()) - set(PARTS))
    if unknown:
        raise UsageError(f"Cannot leave out {', '.join(unknown)}; there are: {', '.join(PARTS)}.")
    return Settings(
        context=context.value,
        seed=seed,
        encoder=encoder or DEFAULT,
        without=tuple(sorted(without or ())),
    )


def _say(text: str) -> None:
    err.print(f"[dim]{text} …[/dim]")


def _absent(classes: tuple[str, ...]) -> None:
    from data.trace import FAILURE_POINTS

    missing = [name for name in FAILURE_POINTS if name not in classes]
    if missing:
        names = " or ".join(missing)
        verb = "their probability is" if len(missing) > 1 else "its probability is"
        out.print(f"Too few labelled {names} turns to learn from: {verb} always 0.")


def _figures_table(figures: dict[str, Any]) -> None:
    table = Table(box=None)
    for name in (
        "failure point",
        "turns",
        "precision",
        "recall",
        "F1",
        "95 %",
        "calibration error",
    ):
        table.add_column(name, justify="left" if name == "failure point" else "right")
    intervals = figures.get("intervals", {}).get("classes", {})
    for name, row in figures["classes"].items():
        interval = intervals.get(name, {}).get("f1")
        table.add_row(
            name,
            _n(row["support"]),
            *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")),
            f"{interval[0]:.3f}–{interval[1]:.3f}" if interval else "",
            f"{row['calibration_error']:.3f}",
        )
    out.print(table, soft_wrap=False)


def _print_json(content: Any) -> None:
    default: Callable[[Any], str] = str
    sys.stdout.write(json.dumps(content, indent=1, default=default) + "\n")


def _plain(text: str) -> str:
    """`text` without meaning to Rich's markup, and printable whatever the file name held."""
    from rich.markup import escape

    return escape(text.encode("utf-8", "backslashreplace").decode())


def _n(number: object) -> str:
    return f"{number:,}".replace(",", "\u202f") if isinstance(number, int) else str(number)


if __name__ == "__main__":
    main()
