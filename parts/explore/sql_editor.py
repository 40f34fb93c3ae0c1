"""The SQL editor of Explore: one statement, run in the background, watched and stopped here."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import count, plain
from data.errors import FaultlineError
from data.export.sandbox import (
    EXAMPLE,
    LIMITS,
    Answer,
    Statement,
    start,
)
from data.schema.layout import TABLES
from parts.explore.downloads import answer_buttons
from parts.explore.saved_views import (
    LONGEST_SQL,
    SQL,
    choice,
    set_choice,
)
from parts.shared.verdict_form import desk, signed_in
from parts.shared.view import View

_RUN = "explore-run"
# Why the last statement could not be started.
_REFUSED = "explore-refused"


def editor(view: View) -> None:
    """Draw the editor, the buttons to run and stop, the answer, and its downloads."""
    if "explore-w-sql" not in st.session_state:
        st.session_state["explore-w-sql"] = choice(SQL) or EXAMPLE
    st.text_area(
        "One SELECT statement, in DuckDB’s SQL",
        key="explore-w-sql",
        height=170,
        on_change=_keep,
        max_chars=20_000,
    )
    text = st.session_state["explore-w-sql"]
    running: Statement | None = _current(view, text)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Run",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(running and not running.done),
            on_click=_start,
            args=(view,),
        )
        if running and not running.done:
            st.button("Stop", icon=":material/stop:", on_click=running.stop, key="explore-stop")
            _watch(running)
    st.caption(
        f"“slice” is what the filters above leave. The statement only reads this version’s tables, "
        f"has {LIMITS.seconds:g} seconds and {LIMITS.megabytes} MB, and shows at most "
        f"{count(LIMITS.rows)} rows. In “annotations”, turns that wait for a second opinion "
        "show only your own verdicts."
        + (" It is too long to be kept in the link." if len(text) > LONGEST_SQL else "")
    )
    if refusal := st.session_state.pop(_REFUSED, None):
        st.text(refusal)
    elif running and running.done:
        _show(view, running, text)
    with st.expander("Tables and columns"):
        names = ["slice", *TABLES]
        st.dataframe(
            {
                "Table": names,
                "Columns": [
                    ", ".join(TABLES["predictions" if n == "slice" else n].columns) for n in names
                ],
            },
            hide_index=True,
        )


def _keep() -> None:
    text = st.session_state["explore-w-sql"]
    set_choice(SQL, text if len(text) <= LONGEST_SQL and text != EXAMPLE else None)


def _key(view: View, text: str) -> tuple[Any, ...]:
    # An answer belongs to the annotator who asked: it may show verdicts that others may not see.
    return (view.cache_key(), text, signed_in())


def _current(view: View, text: str) -> Statement | None:
    """The statement that is running or has run, if it is `text` on this slice; else it is ended."""
    key, running = st.session_state.get(_RUN, (None, None))
    if running is not None and key != _key(view, text):
        running.stop()
        del st.session_state[_RUN]
        return None
    return running if isinstance(running, Statement) else None


def _start(view: View) -> None:
    text = st.session_state["explore-w-sql"]
    try:
        running = start(
            view.snapshot,
            text,
            model=view.model,
            chosen=view.chosen,
            reader=desk(view.path).reader(signed_in()),
        )
    except FaultlineError as error:
        st.session_state[_REFUSED] = str(error)
        return
    st.session_state[_RUN] = (_key(view, text), running)


@st.fragment(run_every=0.4)
def _watch(running: Statement) -> None:
    if running.done:
        st.rerun()
    st.caption(f"Running for {running.seconds:.0f} s")


def _show(view: View, running: Statement, text: str) -> None:
    try:
        answer = running.answer()
    except FaultlineError as error:
        st.text(str(error))
        return
    if not answer.rows:
        st.caption("The statement returned no rows.")
        return
    st.dataframe(_table(answer), hide_index=True, placeholder="–")
    more = (
        f" There are more; the file holds them, up to {LIMITS.file_megabytes} MB."
        if answer.cut
        else ""
    )
    first = "The first " if answer.cut else ""
    rows = f"{count(answer.rows)} {'row' if answer.rows == 1 else 'rows'}"
    st.caption(plain(f"{first}{rows}, in {answer.seconds:.2f} s.") + more)
    answer_buttons(view, text)


def _table(answer: Answer) -> pa.Table:
    """The rows as the browser can show them: values of types that it cannot display become text."""
    columns = []
    for field, column in zip(answer.table.schema, answer.table.columns, strict=True):
        kind = field.type
        odd = pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_decimal(kind)
        if odd or pa.types.is_duration(kind) or not _displayable(kind):
            values = [None if v is None else str(v)[:300] for v in column.to_pylist()]
            column = pa.chunked_array([pa.array(values, pa.string())])
        columns.append(column)
    return pa.table(columns, names=answer.table.column_names)


def _displayable(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)
    return any(test(kind) for test in (*tests, pa.types.is_temporal))
