"""Printing what `faultline ingest --dry-run` would store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from cli.output import err, out, plain, print_json
from data.counted import counted

if TYPE_CHECKING:
    from data.ingest.adapters.adapter import Settings
    from data.ingest.block import Limits

# Characters of a source line that are shown.
_LONGEST = 600


def show_dry_run(
    paths: Sequence[str],
    format: str | None,
    settings: Settings,
    limits: Limits,
    as_json: bool,
) -> None:
    """Print the first turns of each input beside their source; exit 1 where there is none."""
    from data.ingest.dry_run import dry_run

    results = dry_run(paths, format, settings, limits)
    if as_json:
        print_json([asdict(result) for result in results])
    for result in [] if as_json else results:
        names = result.files
        where = names[0] if len(names) == 1 else counted(len(names), "file")
        if result.error:
            err.print(f"[red]{plain(result.error)}[/red]")
            continue
        out.print(f"[bold]{plain(where)}[/bold]: {result.title} (--format {result.format})")
        for example in [*result.examples, *result.problems]:
            out.print(f"\n[dim]{plain(example.file)}, line or record {example.line}:[/dim]")
            out.print(plain(_cut(example.source)))
            if example.turn is not None:
                out.print("[dim]is stored as:[/dim]" if not example.problem else "")
                out.print(plain(json.dumps(example.turn, indent=2, ensure_ascii=False)))
            if example.problem:
                out.print(f"[yellow]goes to quarantine: {plain(example.problem)}[/yellow]")
        if result.hint:
            out.print(f"[yellow]{plain(result.hint)}[/yellow]")
        elif not result.examples:
            out.print("No turn was found.")
        if result.cannot_know:
            *unknown, consequence = result.cannot_know
            out.print(f"\nNot in these logs: {', '.join(unknown)}; {consequence}.")
    if not as_json:
        out.print("\nNothing was stored.")
    if not any(result.examples for result in results):
        raise typer.Exit(1)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
