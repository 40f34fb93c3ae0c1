"""The tables behind the charts of the Overview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import streamlit as st

from analysis.rates import Estimate
from data.queries.overview import Grain, Totals
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

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


def shares_table(rates: Mapping[str, Estimate], total: Totals) -> None:
    """Estimated share with interval, and the count by verdict, per failure point."""
    estimates = [rates[name] for name in FAILURES]
    st.dataframe(
        {
            "Failure point": [NAMES[name] for name in FAILURES],
            "Share": [100 * estimate.value for estimate in estimates],
            "Low": [100 * estimate.low for estimate in estimates],
            "High": [100 * estimate.high for estimate in estimates],
            "Called": [total.counts[name] for name in FAILURES],
        },
        hide_index=True,
        column_config={"Share": _PERCENT, "Low": _PERCENT, "High": _PERCENT},
    )
