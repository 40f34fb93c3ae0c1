"""The tables of the Overview: numbers sort as numbers, and read as everywhere on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.rates import Estimate
from charts.formatting import count, percent
from charts.sentences import day_words, q_words
from data.queries.overview import Grain, Totals
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

# How the values of a column are shown: a function, with "–" for what there is not.
Formats = Mapping[str, Callable[[Any], str]]


def share(value: float) -> str:
    """A share as a percentage."""
    return percent(value)


def long_day(value: date) -> str:
    """A day with its year."""
    return day_words(value, True)


def formatted(
    columns: Mapping[str, Sequence[Any]],
    formats: Formats,
    colours: Mapping[str, Sequence[str | None]] | None = None,
) -> Any:
    """A table for `st.dataframe` whose values are sorted as they are and shown as `formats` say.

    `colours` are text colours of a column's cells; None leaves the theme's.
    """
    styler = pd.DataFrame(dict(columns)).style.format(
        {name: _or_dash(show) for name, show in formats.items()}, na_rep="–"
    )
    for name, wanted in (colours or {}).items():
        css = [f"color: {colour}; font-weight: 600" if colour else "" for colour in wanted]
        styler = styler.apply(lambda _, css=css: css, subset=[name])
    return styler


def _or_dash(show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "–" if pd.isna(value) else show(value)


def trend_table(table: pa.Table, by: Grain) -> Any:
    """Turns and estimated shares per period."""
    turns: list[Any] = table["turns"].to_pylist()
    columns: dict[str, list[Any]] = {
        by.capitalize(): table["day"].to_pylist(),
        "Turns": turns,
    }
    for name in FAILURES:
        sums: list[Any] = table[f"p_{name}"].to_pylist()
        columns[NAMES[name]] = [s / n if n else None for s, n in zip(sums, turns, strict=True)]
    formats: dict[str, Callable[[Any], str]] = {NAMES[name]: share for name in FAILURES}
    return formatted(columns, {**formats, "Turns": count, by.capitalize(): long_day})


def shares_table(rates: Mapping[str, Estimate], total: Totals) -> Any:
    """Estimated rate with interval, and the count by verdict, per failure point."""
    estimates = [rates[name] for name in FAILURES]
    return formatted(
        {
            "Failure point": [NAMES[name] for name in FAILURES],
            "Rate": [estimate.value for estimate in estimates],
            "Low": [estimate.low for estimate in estimates],
            "High": [estimate.high for estimate in estimates],
            "Predicted": [total.counts[name] for name in FAILURES],
        },
        {"Rate": share, "Low": share, "High": share, "Predicted": count},
    )


def domains_table(names: Sequence[str], turns: Sequence[int], rates: Sequence[Any]) -> Any:
    """Turns and rates per domain; `rates` has a row per domain and a column per failure."""
    columns: dict[str, Sequence[Any]] = {"Domain": names, "Turns": turns}
    columns |= {NAMES[name]: [row[i] for row in rates] for i, name in enumerate(FAILURES)}
    return formatted(columns, {"Turns": count, **{NAMES[name]: share for name in FAILURES}})


# The column of adjusted p-values, and what it means.
ADJUSTED = "Adjusted p-value (FDR)"
ADJUSTED_HELP = (
    "The expected share of false alarms among rows at least this clear: the false discovery rate "
    "(Benjamini and Hochberg 1995)."
)
adjusted = q_words
