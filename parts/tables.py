"""The table behind each chart, and lists of turns to choose from."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from charts.palette import NAMES
from data.overview import FAILURES, Grain, Totals

_PERCENT = st.column_config.NumberColumn(format="%.1f %%")


def trend_table(table: pa.Table, by: Grain) -> None:
    """Turns and estimated shares per period."""
    turns: list[Any] = table["turns"].to_pylist()
    columns: dict[str, list[Any]] = {
        by.capitalize(): table["day"].to_pylist(),
        "Turns": turns,
    }
    for name in FAILURES:
        sums: list[Any] = table[f"p_{name}"].to_pylist()
        columns[NAMES[name]] = [
            100 * s / n if n else None for s, n in zip(sums, turns, strict=True)
        ]
    st.dataframe(
        columns,
        hide_index=True,
        height=280,
        column_config={NAMES[name]: _PERCENT for name in FAILURES},
    )


def shares_table(total: Totals) -> None:
    """Estimated share with interval, and the count by verdict, per failure point."""
    spans = [total.interval(name) for name in FAILURES]
    st.dataframe(
        {
            "Failure point": [NAMES[name] for name in FAILURES],
            "Share": [100 * total.rate(name) for name in FAILURES],
            "Low": [100 * low for low, _ in spans],
            "High": [100 * high for _, high in spans],
            "Called": [total.counts[name] for name in FAILURES],
        },
        hide_index=True,
        column_config={"Share": _PERCENT, "Low": _PERCENT, "High": _PERCENT},
    )
