"""One of a few, kept in the URL under its own name rather than under the words shown for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import streamlit as st

Kind = Literal["segments", "pills", "list"]


def one_of(
    label: str,
    options: Sequence[str],
    key: str,
    words: Callable[[str], str] = str,
    kind: Kind = "pills",
    hidden: bool = False,
) -> str:
    """The option that the reader or the link has chosen; the first where it names none of them."""
    held = st.session_state.get(key) or st.query_params.get(key)
    if held not in options:
        held = options[0]
    st.session_state[key] = held
    draw: Any = {"segments": st.segmented_control, "pills": st.pills, "list": st.selectbox}[kind]
    # A list without an empty entry needs no mark that it is required.
    extra = {} if kind == "list" else {"required": True}
    picked = draw(
        label,
        options,
        format_func=words,
        key=key,
        on_change=_keep,
        args=(key,),
        label_visibility="collapsed" if hidden else "visible",
        **extra,
    )
    return str(picked or held)


def _keep(key: str) -> None:
    if st.session_state[key]:
        st.query_params[key] = st.session_state[key]
