"""What commands print: sentences and tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from data.counted import number
from data.store.paths import printable

# Lines are never cut or broken, whatever the width: logs are searched, and paths are copied.
out = Console(highlight=False, emoji=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def plain(text: str) -> str:
    """`text` escaped for Rich's markup, and printable even if it is an undecodable file name."""
    from rich.markup import escape

    return escape(printable(text))


def tell(sentence: str, problem: bool) -> None:
    """Print what a server says to people; a problem to standard error."""
    (err if problem else out).print(plain(sentence))
    sys.stdout.flush()


def print_json(content: Any) -> None:
    """Print `content` as JSON; what JSON cannot hold, such as a date, as text."""
    default: Callable[[Any], str] = str
    sys.stdout.write(json.dumps(content, indent=1, default=default) + "\n")


def print_quarantined(problems: Sequence[object], most: int) -> None:
    """Print the first `most` of what is in quarantine, and how many more there are."""
    for problem in problems[:most]:
        out.print(plain(str(problem)))
    if len(problems) > most:
        out.print(f"and {number(len(problems) - most)} more, in the quarantine.")


def print_whole(table: Table) -> None:
    """Print a table with every cell whole and on one line, however wide: ids are copied."""
    for column in table.columns:
        column.no_wrap = True
    options = out.options.update(max_width=1_000_000)
    table.width = Measurement.get(out, options, table).maximum
    out.print(table, soft_wrap=False, crop=False, overflow="ignore")


def never_named(classes: tuple[str, ...]) -> None:
    """Print which failure points a model with these `classes` never predicts, if any."""
    from data.schema.trace import FAILURE_POINTS

    missing = [name for name in FAILURE_POINTS if name not in classes]
    if missing:
        names = " or ".join(missing)
        verb = "their probability is" if len(missing) > 1 else "its probability is"
        out.print(f"Too few labelled {names} turns to learn from: {verb} always 0.")


def figures_table(figures: dict[str, Any]) -> None:
    """Print the figures per failure point of `classifiers.metrics.summary`, with their intervals
    where there are some, as a table."""
    from classifiers.evaluation.words import with_interval

    table = Table(box=None)
    for name in ("failure point", "turns", "precision", "recall", "F1", "calibration error"):
        table.add_column(name, justify="left" if name == "failure point" else "right")
    intervals = figures.get("intervals", {}).get("classes", {})
    for name, row in figures["classes"].items():
        spans = intervals.get(name, {})
        table.add_row(
            name,
            number(row["support"]),
            *(
                with_interval(row[key], spans.get(key))
                for key in ("precision", "recall", "f1", "calibration_error")
            ),
        )
    print_whole(table)
