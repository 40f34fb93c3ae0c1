"""The answer of a statement on Explore: as a table or, with one click, a chart; its downloads."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from charts.answer import POINTS, Unsuitable, chart, chart_words
from charts.formatting import count, plain, several
from charts.layout import CONFIG
from data.export.sandbox import LIMITS, Answer
from parts.explore.downloads import answer_buttons
from parts.shared.formatted import DATE, SECOND
from parts.shared.view import View

_AS = {"table": "Table", "line": "Line", "bar": "Bar"}
_ICONS = {"table": "table_rows", "line": "show_chart", "bar": "bar_chart"}


def show(view: View, answer: Answer, text: str) -> None:
    """Draw the answer of the statement `text`."""
    if not answer.rows:
        st.caption("The statement returned no rows.")
        return
    chosen = st.segmented_control(
        "Show the result as",
        tuple(_AS),
        key="explore-answer-as",
        format_func=lambda name: f":material/{_ICONS[name]}: {_AS[name]}",
        default="table",
        required=True,
        label_visibility="collapsed",
    )
    if chosen == "table":
        table = displayable(answer.table)
        st.dataframe(table, hide_index=True, placeholder="–", column_config=_formats(table))
    else:
        _chart(answer.table, chosen)
    more = (
        f" There are more; the file holds them, up to {LIMITS.file_megabytes} MB."
        if answer.cut
        else ""
    )
    first = "The first " if answer.cut else ""
    st.caption(plain(f"{first}{several(answer.rows, 'row')}, in {answer.seconds:.2f} s.") + more)
    answer_buttons(view, text)


def _chart(table: pa.Table, kind: str) -> None:
    try:
        figure = chart(table, kind)
    except Unsuitable as reason:
        st.text(str(reason))
        return
    st.plotly_chart(figure, config=CONFIG, alt=chart_words(table, kind), key=f"explore-{kind}")
    if table.num_rows > POINTS:
        st.caption(f"The first {count(POINTS)} rows are drawn.")


def _formats(table: pa.Table) -> dict[str, Any]:
    """Dates and times as everywhere on Explore."""
    formats: dict[str, Any] = {}
    for field in table.schema:
        if pa.types.is_timestamp(field.type):
            formats[field.name] = st.column_config.DatetimeColumn(format=SECOND)
        elif pa.types.is_date(field.type):
            formats[field.name] = st.column_config.DateColumn(format=DATE)
    return formats


def displayable(answer: pa.Table) -> pa.Table:
    """The rows as the browser can show them: values of types that it cannot display become text."""
    columns = []
    for field, column in zip(answer.schema, answer.columns, strict=True):
        kind = field.type
        odd = pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_decimal(kind)
        if odd or pa.types.is_duration(kind) or not _displayable(kind):
            values = [None if v is None else str(v)[:300] for v in column.to_pylist()]
            column = pa.chunked_array([pa.array(values, pa.string())])
        columns.append(column)
    return pa.table(columns, names=answer.column_names)


def _displayable(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)
    return any(test(kind) for test in (*tests, pa.types.is_temporal))
