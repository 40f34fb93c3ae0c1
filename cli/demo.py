"""Commands for the reference assistant: its traces, and all steps up to the dashboard."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from cli.dashboard import dashboard, must_be_free
from cli.ingest import ingest
from cli.labels import generate
from cli.labels import train as train_labels
from cli.models import learn, score, settings_of
from cli.options import DEFAULT_STORE, Context, JsonOption, StoreOption, path_option
from cli.output import (
    err,
    out,
    plain,
    print_json,
)
from cli.rewrites import mine
from cli.teaching import teach
from data.counted import number
from data.errors import UsageError

# Annotated turns with which at least two failure points are nearly always often enough among them:
# the second most frequent one, `asr`, is about one turn in twenty.
ENOUGH = 400

TurnsOption = Annotated[int, typer.Option(help="Turns to simulate.")]
DaysOption = Annotated[int, typer.Option(help="Days that the turns are spread over.")]
DemoSeedOption = Annotated[int, typer.Option(help="The same seed gives the same bytes.")]
GoldOption = Annotated[float, typer.Option(help="Share of the dialogues that are annotated.")]
LocaleOption = Annotated[
    list[str] | None, typer.Option("--locale", help="Only homes of this locale. Repeatable.")
]


def demo_data(
    to: Annotated[
        Path,
        path_option("Folder, or a file .jsonl, .jsonl.gz, .jsonl.zst or .parquet.", metavar="PATH"),
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
    ask: Annotated[
        Path | None,
        path_option(
            'Plan by which "did I answer your question?" is asked: a file of '
            "`faultline labels ask --to`. Without it, that is asked at random."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write traces of the reference assistant, the truth about them, and its incidents."""
    _write(to, turns, seed, days, gold, locale, scale, ask, as_json=as_json)


def _write(
    to: Path,
    turns: int,
    seed: int,
    days: int,
    gold: float,
    locale: list[str] | None = None,
    scale: int | None = None,
    ask: Path | None = None,
    *,
    as_json: bool = False,
    suggest_next: bool = True,
) -> None:
    from assistant.demo import Setup, write_demo
    from assistant.stages import LOCALES
    from progress import listener

    _must_lie_in_no_store(to)
    setup = Setup(gold=gold, locales=tuple(locale) if locale else LOCALES)
    if ask is not None:
        from labels.feedback.plan_file import read_plan

        setup = replace(setup, asking=read_plan(ask, seed))
    with listener(err) as progress:
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
    if suggest_next:
        out.print(f"Next: faultline ingest {plain(str(report.traces))}")


def demo(
    turns: TurnsOption = 20_000,
    seed: DemoSeedOption = 0,
    days: DaysOption = 90,
    gold: GoldOption = 0.08,
    to: Annotated[
        Path,
        path_option("Folder for the traces.", metavar="PATH"),
    ] = Path("demo"),
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
    setup = Setup(seed=seed, days=days, gold=gold)
    setup.check()
    _must_lie_apart(to, store)
    _must_hold_no_other(store, run_name(turns, setup))
    _must_suffice(turns, gold)
    began = time.monotonic()
    with _step("1/7 simulating the reference assistant"):
        _write(to, turns, seed, days, gold, suggest_next=False)
    with _step("2/7 ingesting its traces"):
        ingest([str(to / "traces.jsonl.zst")], store)
    with _step("3/7 training on the annotated turns"):
        learn(store, settings_of(Context.hindsight, 0, None, None))
    with _step("4/7 scoring and explaining every turn"):
        score(store)
    with _step("5/7 mining rewrites from what users say next"):
        mine(store)
    with _step("6/7 labelling goals, defects and what was meant"):
        train_labels(store, quick=True)
        generate(store)
    with _step("7/7 teaching what somebody means by a request that fails"):
        _teach(store)
    out.print(f"Done in {time.monotonic() - began:.0f} s.")
    if serve:
        dashboard(store, port)
    else:
        out.print(f"Next: faultline dashboard --store {plain(shlex.quote(str(store)))}")


def _teach(store: str) -> None:
    """One user teaches what a request means that has failed with them, in words that worked."""
    from data.store.store import Store
    from labels.teaching.moments import worded

    with Store.whole(store).snapshot() as snapshot:
        moments = worded(snapshot).to_pylist()
    if not moments:
        out.print("No request failed again and again with one user, of which a rewrite is known.")
        return
    moment = moments[0]
    lines = [f"when I say {moment['request']}, {moment['meaning']}", "yes", moment["request"]]
    out.print(f"User {plain(moment['user_id'])}: {plain(lines[0])}")
    teach(moment["user_id"], store, lines)


@contextmanager
def _step(name: str) -> Iterator[None]:
    began = time.monotonic()
    out.print(f"[bold]{name}[/bold]")
    yield
    out.print(f"[dim]({time.monotonic() - began:.0f} s)[/dim]")


def _must_suffice(turns: int, gold: float) -> None:
    """Raise UsageError if too few turns would be annotated to train on."""
    if turns * gold < ENOUGH:
        raise UsageError(
            f"Only about {turns * gold:.0f} of {turns} turns would be annotated, too few to train "
            f"on; give --turns {math.ceil(ENOUGH / gold)} or more, or a larger --gold."
        )


def _must_lie_apart(to: Path, store: str) -> None:
    """Raise UsageError if the traces would be written into the folder of the store."""
    folder, root = to.expanduser().resolve(), Path(store).expanduser().resolve()
    if folder == root or root in folder.parents:
        raise UsageError(
            f"The traces cannot lie in the store's folder {store}; give another with --to."
        )


def _must_lie_in_no_store(to: Path) -> None:
    """Raise UsageError if files would be written into the folder of any store."""
    from data.store.store import must_lie_outside

    target = to.expanduser().resolve()
    for folder in (target, *target.parents):
        if (folder / "HEAD.json").exists():
            must_lie_outside(target, str(folder))


def _must_hold_no_other(store: str, name: str) -> None:
    """Raise UsageError if the store has turns that are not of the run `name`.

    Raises StoreError if there is no store and none can be made.
    """
    from data.errors import StoreMissing
    from data.queries.turns import has_other_dialogues
    from data.store.store import Store

    Store.must_be_possible(store)
    try:
        target = Store.whole(store)
    except StoreMissing:
        return
    with target.snapshot() as snapshot:
        others = has_other_dialogues(snapshot, f"{name}-")
    if others:
        raise UsageError(
            f"The store {store} holds turns of another assistant, or of a demo with other "
            "settings; give another folder with --store."
        )
