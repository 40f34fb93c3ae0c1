"""Commands around the reference assistant: its traces, and the whole way to the dashboard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.logs import ingest
from cli.models import score, train
from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.serve import dashboard, must_be_free
from cli.terminal import err, number, out, plain, print_json
from data.errors import UsageError

TurnsOption = Annotated[int, typer.Option(help="Turns to simulate.")]
DaysOption = Annotated[int, typer.Option(help="Days that they are spread over.")]
DemoSeedOption = Annotated[int, typer.Option(help="Same seed, same bytes; another, another world.")]
GoldOption = Annotated[float, typer.Option(help="Share of the dialogues that is annotated.")]
LocaleOption = Annotated[
    list[str] | None, typer.Option("--locale", help="Only homes of this locale. Repeatable.")
]


def demo_data(
    to: Annotated[
        Path, typer.Option(help="Folder, or a file .jsonl, .jsonl.gz, .jsonl.zst or .parquet.")
    ],
    turns: TurnsOption = 20_000,
    seed: DemoSeedOption = 0,
    days: DaysOption = 90,
    gold: GoldOption = 0.08,
    locale: LocaleOption = None,
    scale: Annotated[
        int | None,
        typer.Option(help="Multiply the turns to this many, as Parquet files, for load tests."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write traces of the reference assistant, the truth about them, and its incidents."""
    _write(to, turns, seed, days, gold, locale, scale, as_json=as_json)


def _write(
    to: Path,
    turns: int,
    seed: int,
    days: int,
    gold: float,
    locale: list[str] | None = None,
    scale: int | None = None,
    *,
    as_json: bool = False,
    tell_next: bool = True,
) -> None:
    from assistant.contract import LOCALES
    from assistant.demo import Setup, write_demo
    from progress import Counting

    setup = Setup(gold=gold, locales=tuple(locale) if locale else LOCALES)
    with Counting(err, "simulating") as progress:
        report = write_demo(to, turns, seed, days, setup=setup, scaled=scale, progress=progress)
    if as_json:
        print_json(asdict(report))
        return
    out.print(
        f"{number(report.turns)} turns in {plain(str(report.traces))}, the truth about them in "
        f"{plain(report.truth.name)}, planted incidents in {plain(report.incidents.name)}."
    )
    total = sum(report.failure_points.values())
    shares = (f"{name} {count / total:.1%}" for name, count in report.failure_points.items())
    out.print(f"Failure points: {', '.join(shares)}.")
    if tell_next:
        logs = f"{report.traces}/turns-*.parquet" if scale else str(report.traces)
        out.print(f"Next: faultline ingest {plain(logs)}")


def demo(
    turns: TurnsOption = 20_000,
    seed: DemoSeedOption = 0,
    days: DaysOption = 90,
    gold: GoldOption = 0.08,
    to: Annotated[Path, typer.Option(help="Folder for the traces.")] = Path("demo"),
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8501,
    serve: Annotated[bool, typer.Option(help="Serve the dashboard at the end.")] = True,
) -> None:
    """Simulate an assistant, train, score and open the dashboard: everything once, in minutes."""
    from assistant.demo import Setup, run_name

    if serve:
        must_be_free(port)
    if gold == 0:
        raise UsageError("Without annotated turns there is nothing to learn; give a larger --gold.")
    if to.suffix:
        raise UsageError(f"The demo writes several files; {to} must be a folder.")
    _must_hold_no_other(store, run_name(turns, Setup(seed=seed, days=days, gold=gold)))
    began = time.monotonic()
    with _step("1/4 simulating the reference assistant"):
        _write(to, turns, seed, days, gold, tell_next=False)
    with _step("2/4 ingesting its traces"):
        ingest([str(to / "traces.jsonl.zst")], store)
    with _step("3/4 training on the annotated turns"):
        train(store)
    with _step("4/4 scoring and explaining every turn"):
        score(store)
    out.print(f"Done in {time.monotonic() - began:.0f} s.")
    if serve:
        dashboard(store, port)
    else:
        out.print(f"Next: faultline dashboard --store {plain(store)}")


@contextmanager
def _step(name: str) -> Iterator[None]:
    began = time.monotonic()
    out.print(f"[bold]{name}[/bold]")
    yield
    out.print(f"[dim]({time.monotonic() - began:.0f} s)[/dim]")


def _must_hold_no_other(store: str, name: str) -> None:
    """Raise UsageError if the store has turns that are not of the run `name`."""
    from data.errors import StoreMissing
    from data.store import Store

    try:
        target = Store.open(store)
    except StoreMissing:
        return
    with target.snapshot() as snapshot:
        others = snapshot.query(
            "SELECT 1 FROM turns WHERE NOT starts_with(dialogue_id, ?) LIMIT 1", [f"{name}-"]
        )
    if others.num_rows:
        raise UsageError(
            f"The store {store} holds turns of another assistant, or of a demo with other "
            "settings; give another folder with --store."
        )
