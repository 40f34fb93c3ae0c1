"""Commands that bring data into a store: trace logs, and annotations."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.dry_run import show_dry_run
from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.output import err, out, plain, print_json, print_quarantined
from data.counted import counted, number
from data.errors import StoreMissing, UsageError
from data.ingest.adapters.adapter import Settings
from data.ingest.adapters.registry import FORMATS, NAMES, named
from data.ingest.block import LONGEST_LINE, Limits
from data.store.paths import named_path

if TYPE_CHECKING:
    from data.ingest.ingest import IngestReport

# Problems of a file that are listed one by one.
_SHOWN = 20
# What is redacted, as people call it.
_CALLED = {
    "email": "e-mail",
    "phone": "phone number",
    "card": "card number",
    "iban": "IBAN",
    "street": "house number",
}
# Reasons for quarantine that are named, each with so many characters at most.
_REASONS = 3
_LONGEST = 200
_MIB = 1 << 20


class OnConflict(Enum):
    keep = "keep"
    replace = "replace"
    refuse = "refuse"


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input.")],
    store: StoreOption = DEFAULT_STORE,
    format: Annotated[
        str | None,
        typer.Option(
            help=f"Format of all inputs, whatever they look like: {', '.join(FORMATS)}.",
            show_default="by name and content",
        ),
    ] = None,
    idle_minutes: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=10_080,
            help="Pause after which a device's next request begins a new dialogue, in logs of "
            "other systems that have no dialogues.",
        ),
    ] = Settings.idle_minutes,
    assistant: Annotated[
        str | None,
        typer.Option(help="Name of the assistant, in place of what another system's log says."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="Mapping file (.toml) of tables, CSV or Parquet: which column is which field; "
            "faultline mapping FILE proposes one.",
            parser=named_path,
            metavar="FILE",
        ),
    ] = None,
    on_conflict: Annotated[
        OnConflict,
        typer.Option(
            help="For a record with the id of another turn (other dialogue or time): keep that "
            "turn and quarantine the record, replace it, or refuse: nothing of the run is stored. "
            "A record of the same turn replaces it with any of these, unless it is an interim one."
        ),
    ] = OnConflict.keep,
    ahead_hours: Annotated[
        float,
        typer.Option(
            help="Turns later than now by more than these hours, or before 2000, have impossible "
            "dates: they are stored, but in no figure."
        ),
    ] = 24.0,
    longest_line: Annotated[
        float,
        typer.Option(
            min=0.001, max=1_024, help="MiB of the longest line; longer ones are quarantined."
        ),
    ] = LONGEST_LINE / _MIB,
    most_expansion: Annotated[
        int,
        typer.Option(min=1, help="Times its size that a compressed file may expand to."),
    ] = Limits.expansion,
    name: Annotated[
        str | None,
        typer.Option(help="What the only input is called in reports, instead of its path."),
    ] = None,
    allow_quarantined: Annotated[
        bool, typer.Option(help="Exit 0 even if lines were quarantined.")
    ] = False,
    try_only: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Store nothing; show the first turns as they would be stored, beside the lines "
            "that they come from.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ingest logs: traces as JSONL (.gz, .zst) or Parquet, or what another system writes."""
    from data.ingest.ingest import ingest as run
    from data.ingest.sources import discover
    from data.ingest.versions import conflict_words
    from data.store.misdated import Clock, words
    from data.store.privacy import privacy_of
    from data.store.store import Store
    from progress import listener

    limits = Limits(int(longest_line * _MIB), most_expansion)
    settings = Settings(idle_minutes, assistant, mapping)
    if mapping is not None:
        if format not in (None, "table"):
            raise UsageError(
                f"A mapping is for tables, not for the format {format}; leave out --mapping or "
                "--format."
            )
        format = "table"
    if try_only:
        # Without a store there is nothing to redact yet.
        with suppress(StoreMissing):
            settings = replace(settings, privacy=privacy_of(Store.open(store)))
        show_dry_run(paths, format, settings, limits, as_json)
        return
    # Before the store is created: a mistyped path must not leave an empty one behind.
    discover(paths, format, assistant=assistant)
    if format in NAMES:
        named(format, settings)
    Clock.now(ahead_hours)
    target = Store.ensure(store)
    with listener(err) as progress:
        report = run(
            target,
            paths,
            format,
            progress,
            on_conflict=on_conflict.value,
            ahead_hours=ahead_hours,
            limits=limits,
            name=name,
            settings=settings,
        )
    if as_json:
        print_json(
            {
                "files": [{**asdict(file), "hint": file.hint} for file in report.files],
                "skipped": [skipped._asdict() for skipped in report.skipped],
            }
        )
    else:
        for file in report.files:
            if file.error:
                err.print(f"[red]{plain(file.error)}[/red]")
                continue
            parts = [counted(file.turns, "turn")]
            if file.replaced:
                parts.append(f"{number(file.replaced)} replaced")
            if file.unchanged:
                parts.append(f"{number(file.unchanged)} already there")
            if file.quarantined:
                parts.append(f"[yellow]{number(file.quarantined)} quarantined[/yellow]")
            out.print(f"{plain(file.file)}: {', '.join(parts)} ({file.seconds:.1f} s)")
            if file.hint:
                out.print(f"[yellow]{plain(file.hint)}[/yellow]")
        # What could not be read comes first, as it is what there is to do.
        for skipped in sorted(report.skipped, key=lambda each: not each.unread)[:_SHOWN]:
            sentence = f"Passed over {plain(str(skipped.path))}: {plain(skipped.reason)}."
            if skipped.unread:
                err.print(f"[red]{sentence}[/red]")
            else:
                out.print(sentence)
        if len(report.skipped) > _SHOWN:
            out.print(f"Passed over {number(len(report.skipped) - _SHOWN)} more.")
        for left_out, what in (
            (report.not_numbers, "no number (NaN or infinite)"),
            (report.out_of_range, "beyond what the field can mean"),
        ):
            if left_out:
                fields = ", ".join(f"{plain(name)} {number(n)}" for name, n in left_out.items())
                total = sum(left_out.values())
                out.print(f"{counted(total, 'value')} left out, as {what}: {fields}.")
        if report.redacted:
            out.print(f"Redacted: {_redacted(report.redacted)}.")
        for name, count in list(report.unknown.items())[:20]:
            records = counted(count, "record")
            out.print(f"Unknown field {plain(name)!r} kept in extra, {records}.")
        if report.misdated:
            out.print(
                f"{words(report.misdated, number(report.misdated))} (before 2000, or more than "
                f"{ahead_hours:g} hours after now): stored, but in no figure over time. See them "
                "on the page Data, or with: faultline export misdated --to misdated.csv "
                f"--store {plain(shlex.quote(str(store)))}"
            )
        if report.interim:
            out.print(
                f"{counted(report.interim, 'interim result')} came after the final one, and "
                "did not replace it."
            )
        if report.quarantined:
            _print_reasons(report, store)
    if report.conflicts:
        fate = (
            "what was there first is kept, the rest is in quarantine (see --on-conflict)"
            if on_conflict == OnConflict.keep
            else "the last of each id is stored, and what it replaced is gone"
        )
        err.print(
            "[yellow]Warning: "
            f"{conflict_words(report.conflicts, number(report.conflicts))}: {fate}.[/yellow]"
        )
    if report.failed or report.unread or (report.quarantined and not allow_quarantined):
        raise typer.Exit(1)


def _print_reasons(report: IngestReport, store: str) -> None:
    """Print the first reasons for quarantine with their lines, and where all of them are."""
    out.print(f"{counted(report.quarantined, 'line was', 'lines were')} quarantined:")
    reasons = report.reasons
    width = len(number(reasons[0].lines)) if reasons else 0
    for reason in reasons[:_REASONS]:
        out.print(f"  {number(reason.lines):>{width}}  {plain(_cut(str(reason)))}")
    left = len(reasons) - _REASONS
    if left > 0:
        out.print(f"  and {number(left)} more {'reason' if left == 1 else 'reasons'}.")
    out.print(
        "See the lines on the page Data, or with: "
        f"faultline export quarantine --to quarantine.csv --store {plain(shlex.quote(str(store)))}"
    )


def _redacted(counts: dict[str, int]) -> str:
    """As "3 emails, 1 name"."""
    return ", ".join(counted(count, _CALLED.get(kind, kind)) for kind, count in counts.items())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def annotate(
    file: Annotated[
        Path,
        typer.Argument(
            help="File ending in .jsonl, .csv or .parquet (also .gz, .zst).",
            parser=named_path,
            metavar="FILE",
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    allow_quarantined: Annotated[
        bool, typer.Option(help="Exit 0 even if rows were quarantined.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Import people's verdicts on turns, from a file as export annotations writes it."""
    from annotation.files import import_annotations
    from data.store.store import Store

    report = import_annotations(Store.whole(store), file, str(file))
    if as_json:
        print_json(asdict(report))
    else:
        parts = [counted(report.added, "annotation")]
        if report.present:
            parts.append(f"{number(report.present)} already there")
        if report.problems:
            parts.append(f"[yellow]{number(len(report.problems))} quarantined[/yellow]")
        out.print(f"{plain(str(file))}: {', '.join(parts)}")
        print_quarantined(report.problems, _SHOWN)
    if report.problems and not allow_quarantined:
        raise typer.Exit(1)
