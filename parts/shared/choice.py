"""A choice among a few options, kept in the URL by its key rather than by its label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import streamlit as st

from data.errors import UsageError
from parts.shared import address

Kind = Literal["segments", "pills", "list"]


def one_of(
    label: str,
    options: Sequence[str],
    key: str,
    words: Callable[[str], str] = str,
    kind: Kind = "pills",
    hidden: bool = False,
    default: str | None = None,
    **more: Any,
) -> str:
    """Draw a choice, and return the option of the link or the reader; by default the first one.

    With `default`, that one is the default, and the link leaves it out; `more` goes to the widget.
    Raises UsageError if the link has another one.
    """
    linked = st.query_params.get(key)
    if linked and linked not in options:
        raise UsageError(f"Unknown {key}={linked[:60]}; give one of {', '.join(options)}.")
    kept = st.session_state.get(key) if default is None else default
    option = linked or (kept if kept in options else options[0])
    st.session_state[key] = option
    if linked != option and default is None:
        # The address is whole, so that it can be copied, and that Back finds this choice.
        address.put(key, str(option))
    draw: Any = {"segments": st.segmented_control, "pills": st.pills, "list": st.selectbox}[kind]
    # A list without an empty entry needs no mark that it is required.
    extra = {} if kind == "list" else {"required": True}
    picked = draw(
        label,
        options,
        format_func=words,
        key=key,
        on_change=_keep,
        args=(key, default),
        label_visibility="collapsed" if hidden else "visible",
        **extra,
        **more,
    )
    return str(picked or option)


def _keep(key: str, default: str | None) -> None:
    if picked := st.session_state[key]:
        address.put(key, None if picked == default else picked)
