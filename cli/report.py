"""The command that writes the Overview as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption, path_option
from cli.output import (
    err,
    out,
    plain,
    print_json,
)
from data.errors import UsageError


def report(
    to: Annotated[
        Path,
        path_option("File ending in .html.", "--to", metavar="PATH"),
    ],
    weeks: Annotated[int, typer.Option(help="Weeks up to the last scored day.")] = 1,
    against: Annotated[
        str,
        typer.Option(
            help="What to compare with: previous, weekdays, a release such as asr:4.2 (the report "
            "is then on the days since), or days such as 2024-10-01..2024-10-14."
        ),
    ] = "previous",
    store: StoreOption = DEFAULT_STORE,
    at: Annotated[str | None, typer.Option(help="Data version; by default the newest.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the Overview of the last weeks as one HTML file, to open offline or to mail."""
    from analysis.periods import Against
    from charts.sentences import period_words
    from data.store.store import Store, must_lie_outside
    from progress import listener
    from report.page import check, weekly, write

    if to.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"Cannot write a report to '{to.name}'; its name must end in .html.")
    check(weeks, to)
    compared = Against.parse(against)
    must_lie_outside(to, store)
    with Store.whole(store).snapshot(at) as snapshot:
        with listener(err) as progress:
            html, head = weekly(snapshot, weeks, progress, compared)
        write(html, to)
        period = head.periods.shown
        if as_json:
            print_json(
                {
                    "file": str(to),
                    "since": period.since,
                    "until": period.until,
                    "version": snapshot.version,
                }
            )
            return
        out.print(
            f"Wrote {period_words(period)} to {plain(str(to))} (data version {snapshot.version})."
        )
