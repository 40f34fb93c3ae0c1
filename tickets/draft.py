"""What a ticket says of a slice: its figures, evidence and examples, in Markdown.

What users said is left out unless it is asked for: a tracker is read by others than the store, and
nothing that was written there goes when turns are deleted here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from analysis.slices.contrast import Comparison
from analysis.slices.search import Slice, words_of
from analysis.stage_evidence import Evidence
from charts.formatting import count, percent, plain, several, short
from charts.reasons import reason
from charts.sentences import day_words
from data.intervals import wilson
from data.queries.slice_evidence import Inside
from data.schema.vocabulary import EVIDENCE_HEADINGS, NAMES

_FEATURES, _ROWS, _EXAMPLES = 5, 5, 5
# Tables of evidence, and the columns that are told; those of the second contain words of users.
_LOGGED = {
    "intents": ("understood", "meant"),
    "outcomes": ("action", "status"),
    "places": ("device_type", "locale"),
    "devices": ("device_type",),
}
_SAID = {"confused": ("heard", "meant"), "mentions": ("mention", "slot", "kind")}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a page shows of a slice.

    Attributes
    ----------
    inside: which slice, of which model and filter. version: of the store's data.
    days: as of `data.queries.slices.daily`. slice_: None where the slice is not significant.
    comparison, evidence, examples: read when they are called, `examples` as of
    `data.queries.slices.examples`.
    """

    inside: Inside
    version: str
    days: pa.Table
    slice_: Slice | None
    comparison: Callable[[], Comparison]
    evidence: Callable[[], Evidence]
    examples: Callable[[], pa.Table]


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses for people: these figures, the slice at any later time, and a turn (id, day)."""

    figures: str
    newest: str
    turn: Callable[[str, date], str]


def title(figures: Figures) -> str:
    """The title of a slice's ticket: `ASR: phone · en-GB: 23.4 % of turns fail`."""
    words = words_of(figures.inside.conditions)
    rate = _rates(figures.days)[0]
    return short(f"{_point(figures)}: {short(words, 160)}: {percent(rate)} of turns fail", 240)


def body(figures: Figures, links: Links, texts: bool = False) -> str:
    """The text of a slice's ticket, in Markdown; with `texts`, also words of users."""
    sections = [_summary(figures, links), _features(figures), _evidence(figures, texts)]
    return "\n\n".join(filter(None, [*sections, _examples(figures, links, texts)])) + "\n"


def _point(figures: Figures) -> str:
    return NAMES.get(figures.inside.failure_point, "Any failure")


def _rates(days: pa.Table) -> tuple[float, float, int, float]:
    """Rate of the slice and of all other turns, turns and failures in the slice."""
    names = ("turns", "total", "all_turns", "all_total")
    columns: list[list[Any]] = [days[name].to_pylist() for name in names]
    turns, total, everything, failed = map(sum, columns)
    rest = everything - turns
    return (
        total / turns if turns else 0.0,
        max(0.0, failed - total) / rest if rest else 0.0,
        int(turns),
        total,
    )


def _summary(figures: Figures, links: Links) -> str:
    rate, rest, turns, failures = _rates(figures.days)
    slice_ = figures.slice_
    low, high = slice_.rate_interval if slice_ else wilson(failures, turns)
    dates: Sequence[Any] = figures.days["day"].to_pylist()
    chosen = figures.inside.chosen.caption()
    lines = [
        f"**Slice:** {code(words_of(figures.inside.conditions))}",
        f"**Failure point:** {_point(figures)}",
        f"**Rate:** {percent(rate)} ({percent(low)} to {percent(high)}) of "
        f"{several(turns, 'turn')}, against {percent(rest)} of all other turns",
        f"**Affected:** about {count(failures)} turns"
        + (
            f", {count(slice_.impact)} ({count(slice_.low)} to {count(slice_.high)}) more than at "
            "the rate of all other turns"
            if slice_
            else ""
        ),
        f"**Period:** {day_words(dates[0], True)} to {day_words(dates[-1], True)}",
        f"**Filters:** {code(chosen)}" if chosen != "all turns" else "",
        f"**Model, data:** {code(figures.inside.model)}, {code(figures.version)}",
    ]
    listed = "\n".join(f"- {line}" for line in lines if line)
    return (
        f"{listed}\n\nRates are model estimates, with 95\u2009% intervals. "
        f"[These figures]({links.figures}) · [the slice now]({links.newest})"
    )


def _features(figures: Figures) -> str:
    told = [
        f"- {plain(one.words)} ({percent(feature.named, 0)} of its turns, elsewhere "
        f"{percent(feature.rest_named, 0)})"
        for feature in figures.comparison().features
        if (
            one := reason(feature.name, feature.value, feature.inside, figures.inside.failure_point)
        )
        and one.supports
        and feature.named > feature.rest_named
    ]
    return "\n".join(["### Distinguishing features", "", *told[:_FEATURES]]) if told else ""


def _evidence(figures: Figures, texts: bool) -> str:
    shown = {**_LOGGED, **_SAID} if texts else _LOGGED
    tables = figures.evidence().tables
    lines = [
        f"- {_row(row, shown[name])}"
        for name, table in tables.items()
        if name in shown
        for row in table.slice(0, _ROWS).to_pylist()
    ]
    heading = EVIDENCE_HEADINGS.get(figures.inside.failure_point, "")
    if not texts and set(tables) & set(_SAID):
        heading = "Where it fails"
    return "\n".join([f"### {heading}", "", *lines]) if lines else ""


def _row(row: Mapping[str, Any], names: Sequence[str]) -> str:
    confused = names[-1] == "meant"
    nothing = "(nothing)" if confused else "(not logged)"
    values = [code(row[name]) if row[name] else nothing for name in names]
    words = (" for " if confused else ", ").join(values)
    if "failures" in row:
        return f"{words}: about {count(row['failures'])} of {several(row['turns'], 'turn')}"
    return f"{words}: {several(row['turns'], 'turn')}"


def _examples(figures: Figures, links: Links, texts: bool) -> str:
    lines = []
    for row in figures.examples().slice(0, _EXAMPLES).to_pylist():
        heard = f": {code(row['heard'])}" if texts and row["heard"] else ""
        turn = f"[{code(row['turn_id'])}]({links.turn(row['turn_id'], row['day'])})"
        lines.append(f"- {turn}, {day_words(row['day'], True)}, {percent(row['p'], 0)}{heard}")
    return "\n".join(["### Examples, the surest first", "", *lines]) if lines else ""


def code(text: str | None) -> str:
    """Text from logs as code in Markdown, in which no mark, mention or link has an effect."""
    line = short(text, 200) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"
