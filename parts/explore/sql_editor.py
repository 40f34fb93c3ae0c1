"""The SQL editor of Explore: one statement, run in the background, watched and stopped here."""

from __future__ import annotations

from typing import Any

import streamlit as st

from charts.formatting import count, plain, several, short
from data.errors import FaultlineError, UsageError
from data.export.sandbox import (
    LIMITS,
    Answer,
    Statement,
    StatementError,
    start,
)
from data.export.sql_examples import EXAMPLES
from parts.explore import code_editor
from parts.explore.code_editor import TEXT
from parts.explore.saved_views import (
    LONGEST_SQL,
    SQL,
    choice,
    set_choice,
)
from parts.explore.sql_answer import show
from parts.server.access import require, visitor
from parts.shared.verdict_form import desk, signed_in
from parts.shared.view import View

_RUN = "explore-run"
# Why the last statement could not be started.
_REFUSED = "explore-refused"
# The statement that the link held when it was last read or written here.
_LINKED = "explore-sql-linked"
# Statements run in this session, the newest first: each its text and its `Statement`.
_HISTORY = "explore-history"
_REMEMBERED = 20
_LONGEST = 20_000
_FIRST = EXAMPLES[0].sql


def editor(view: View) -> None:
    """Draw the editor and the schema beside it, the buttons, the answer, and its downloads."""
    submitted = code_editor.take_report()
    _read_link()
    text = st.session_state[TEXT]
    _keep(text)
    if submitted:
        _start(view)
    running = _current(view, text)
    error = _error(running)
    # On a wide screen `page.css` sets the schema beside the editor; otherwise it comes last.
    whole = st.container(key="sql")
    with whole.container(key="sql-editor"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _menus()
        code_editor.draw(error.place if isinstance(error, StatementError) else None, str(error))
        _buttons(view, running)
        st.caption(
            "Ctrl+Enter runs it, Tab takes a suggestion, Escape leaves the editor. “slice” is what "
            "the filters leave. The statement only reads this version’s tables, has "
            f"{LIMITS.seconds:g} seconds and {LIMITS.megabytes} MB, and shows at most "
            f"{count(LIMITS.rows)} rows. In "
            "“annotations”, turns that wait for a second opinion show only your own verdicts."
            + (" It is too long to be kept in the link." if len(text) > LONGEST_SQL else "")
        )
    with whole.container(key="sql-answer"):
        if refusal := st.session_state.pop(_REFUSED, None):
            st.text(refusal)
        elif error:
            st.text(str(error))
            _quoted(text, error)
        elif running and running.done:
            show(view, running.answer(), text)
    with whole.container(key="sql-schema"):
        _schema()


def _read_link() -> None:
    """Take the statement of the link, if it is not the one that was put there from here."""
    linked = choice(SQL)
    if TEXT not in st.session_state or linked != st.session_state.get(_LINKED, ""):
        st.session_state[TEXT] = linked or _FIRST
    st.session_state[_LINKED] = linked


def _keep(text: str) -> None:
    """Keep the text in the link, if it fits."""
    kept = text if len(text) <= LONGEST_SQL and text != _FIRST else ""
    if kept != st.session_state[_LINKED]:
        set_choice(SQL, kept or None)
        st.session_state[_LINKED] = kept


def _replace(text: str) -> None:
    """Put another text into the editor."""
    code_editor.take_report()
    st.session_state[TEXT] = text
    _keep(text)


def _menus() -> None:
    """Statements to start from, and those of this session."""
    st.menu_button(
        "Examples",
        range(len(EXAMPLES)),
        key="explore-example",
        icon=":material/lightbulb:",
        format_func=lambda number: EXAMPLES[number].title,
        on_click=lambda: _pick("explore-example", [example.sql for example in EXAMPLES]),
    )
    past: list[tuple[str, Statement]] = st.session_state.get(_HISTORY, [])
    texts = [text for text, _ in past]
    st.menu_button(
        "History",
        range(max(len(past), 1)),
        key="explore-past",
        icon=":material/history:",
        format_func=lambda number: _remembered(*past[number]) if past else "No statement yet",
        on_click=lambda: _pick("explore-past", texts),
        disabled=not past,
        help="The statements run in this session, the newest first",
    )


def _pick(key: str, texts: list[str]) -> None:
    """Callback of a menu: put the chosen text into the editor."""
    number = st.session_state.get(key)
    if isinstance(number, int) and number < len(texts):
        _replace(texts[number])


def _remembered(text: str, statement: Statement) -> str:
    return plain(f"{short(text, 70)} · {_outcome(statement)}")


def _outcome(statement: Statement) -> str:
    """What became of a statement, in a few words."""
    if not statement.done:
        return "running"
    try:
        answer = statement.answer()
    except FaultlineError as error:
        return short(str(error), 80)
    return _rows(answer)


def _rows(answer: Answer) -> str:
    return f"{'more than ' if answer.cut else ''}{several(answer.rows, 'row')}"


def _buttons(view: View, running: Statement | None) -> None:
    busy = running is not None and not running.done
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Run",
            type="primary",
            icon=":material/play_arrow:",
            disabled=busy,
            help="Ctrl+Enter in the editor",
            on_click=_run,
            args=(view,),
        )
        if running is not None and busy:
            st.button("Stop", icon=":material/stop:", on_click=running.stop, key="explore-stop")
            _watch(running)


def _schema() -> None:
    """The tables, and the columns of the chosen one with their types."""
    table = st.selectbox("Schema of", code_editor.tables(), key="explore-schema")
    listed = code_editor.table_columns(table)
    st.dataframe(
        {"Column": [c.path for c in listed], "Type": [c.kind for c in listed]},
        hide_index=True,
        height=min(345, 36 * (len(listed) + 1)),
    )
    st.caption("[] is a list, counted from 1: asr.hypotheses\\[1\\].text.")


def _quoted(text: str, error: FaultlineError) -> None:
    """The line of the statement that an error is about, with a mark below its column."""
    place = error.place if isinstance(error, StatementError) else None
    lines = text.splitlines()
    if place is None or not 1 <= place[0] <= len(lines):
        return
    start = max(place[1] - 60, 0)
    excerpt = lines[place[0] - 1].replace("\t", " ")[start : start + 100]
    st.code(f"{excerpt}\n{' ' * (place[1] - 1 - start)}^", language=None)


def _error(running: Statement | None) -> FaultlineError | None:
    if running is None or not running.done:
        return None
    try:
        running.answer()
    except FaultlineError as error:
        return error
    return None


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


def _run(view: View) -> None:
    """Callback of the button."""
    code_editor.take_report()
    _start(view)


def _start(view: View) -> None:
    text = st.session_state[TEXT]
    current = _current(view, text)
    if current is not None and not current.done:
        return
    try:
        if len(text) > _LONGEST:
            raise UsageError(
                f"The statement has {count(len(text))} characters; at most {count(_LONGEST)} are "
                "run from here. Shorten it."
            )
        require("sql", "SQL editor")
        visitor().note("statement", "SQL editor", text)
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
    past = [pair for pair in st.session_state.get(_HISTORY, []) if pair[0] != text]
    st.session_state[_HISTORY] = [(text, running), *past][:_REMEMBERED]


@st.fragment(run_every=0.4)
def _watch(running: Statement) -> None:
    if running.done:
        st.rerun()
    st.caption(f"Running for {running.seconds:.0f} s")
