"""Tables whose numbers and days sort as they are, and read as everywhere on the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from charts.sentences import day_words

# Columns of times that Streamlit formats itself (Moment.js).
DATE = "D MMM YYYY"
MINUTE = f"{DATE}, HH:mm"
SECOND = f"{MINUTE}:ss"

# How the values of a column are shown: a function, with "–" for what there is not.
Formats = Mapping[str, Callable[[Any], str]]


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
