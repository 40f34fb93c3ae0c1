"""The tables of the Overview: numbers sort as numbers, and read as everywhere on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from analysis.rates import Estimate
from charts.formatting import count, percent
from charts.sentences import q_words
from data.queries.overview import Grain, Totals
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.shared.formatted import formatted, long_day


def share(value: float) -> str:
    """A share as a percentage."""
    return percent(value)


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
