"""The text of a statement in a code editor: highlighting, completion, Ctrl+Enter.

The component (`streamlit-code-editor`, on Ace) keeps the text in the browser. It reports it when it
loses the focus and when Ctrl+Enter is pressed; a text that comes from elsewhere, such as an example
or a link, is put into it by a change of its argument.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from code_editor import code_editor

from data.queries.visibility import RULES
from data.schema.columns import columns

KEY = "explore-editor"
# The text as the rest of the page knows it.
TEXT = "explore-w-sql"
# The argument that the component got, the text that it shows, and the last of its reports.
_CODE, _SHOWN, _REPORT = "explore-editor-code", "explore-editor-shown", "explore-editor-report"
_LINES = (10, 24)
# By whether the page is dark. The component's own themes fetch a font from another host.
_THEMES = ("cloud_editor", "cloud_editor_dark")
_STYLE = {
    "lineHeight": "1.5",
    "border": "1px solid rgba(138, 145, 156, 0.5)",
    "borderRadius": "0.6rem",
}
# Enter is a new line also while suggestions are shown; Tab takes one.
_KEYS = {"completer": [{"name": "Return", "bindkey": ""}]}
_OPTIONS = {
    "wrap": True,
    "showLineNumbers": True,
    "tabSize": 2,
    # Tab indents; Escape leaves, so that the keyboard is not caught in the editor.
    "enableKeyboardAccessibility": True,
}


def take_report() -> bool:
    """Take over the text that the editor has reported; whether Ctrl+Enter reported it.

    Called before anything reads the text, in callbacks too: a click on a button makes the editor
    lose the focus, and both arrive together.
    """
    report = st.session_state.get(KEY)
    if not isinstance(report, dict) or not isinstance(report.get("text"), str):
        return False
    if not report.get("id") or report["id"] == st.session_state.get(_REPORT):
        return False
    st.session_state[_REPORT] = report["id"]
    # What a browser can send and UTF-8 cannot say would break the page's address.
    text = report["text"].encode(errors="replace").decode().rstrip()
    st.session_state[TEXT] = st.session_state[_SHOWN] = text
    return bool(report.get("type") == "submit")


def draw(place: tuple[int, int] | None, reason: str = "") -> None:
    """Draw the editor; `place` is the line and column of an error, counted from 1."""
    text = st.session_state[TEXT]
    if KEY not in st.session_state:
        # It was not on the page a moment ago, and starts with its argument.
        st.session_state[_CODE] = st.session_state[_SHOWN] = text
    elif text != st.session_state.get(_SHOWN):
        # Only a change of the argument replaces the text.
        same = text == st.session_state.get(_CODE)
        st.session_state[_CODE] = f"{text}\n" if same else text
        st.session_state[_SHOWN] = text
    dark = st.context.theme.type == "dark"
    code_editor(
        st.session_state[_CODE],
        lang="sql",
        height=list(_LINES),
        allow_reset=True,
        response_mode="blur",
        completions=completions(),
        options=_OPTIONS,
        keybindings=_KEYS,
        props={
            "theme": _THEMES[dark],
            "annotations": _marks(place, reason),
            "style": _STYLE,
            # Scrolled by a margin, text and line numbers stand at different heights.
            "scrollMargin": [0, 0, 0, 0],
        },
        key=KEY,
    )


def _marks(place: tuple[int, int] | None, reason: str) -> list[dict[str, Any]]:
    if place is None:
        return []
    line, column = place
    return [{"row": line - 1, "column": column - 1, "type": "error", "text": reason}]


def tables() -> list[str]:
    """The tables that a statement may read, the slice first."""
    return ["slice", *RULES]


def table_columns(table: str) -> tuple[Any, ...]:
    """The columns of one of `tables`."""
    return columns("predictions" if table == "slice" else table)


@st.cache_resource(show_spinner=False)
def completions() -> list[dict[str, Any]]:
    """What the editor completes: tables, and the columns of all of them with their types."""
    found = [
        {"caption": name, "value": name, "meta": "table", "name": name, "score": 1000}
        for name in tables()
    ]
    holders: dict[tuple[str, str], list[str]] = {}
    for table in tables():
        for column in table_columns(table):
            if "[]" not in column.path:
                holders.setdefault(column, []).append(table)
    for (path, kind), names in holders.items():
        where = f"{names[0]}, …" if names[1:] else names[0]
        found.append(
            {
                "caption": path,
                "value": path,
                "meta": f"{kind} · {where}",
                "name": path,
                "score": 900 if "slice" in names else 800,
            }
        )
    return found
