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
) -> str:
    """Draw a choice, and return the option of the link or the reader; by default the first one.

    Raises UsageError if the link has another one.
    """
    linked = st.query_params.get(key)
    if linked and linked not in options:
        raise UsageError(f"Unknown {key}={linked[:60]}; give one of {', '.join(options)}.")
    option = linked or st.session_state.get(key)
    if option not in options:
        option = options[0]
    st.session_state[key] = option
    if linked != option:
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
        args=(key,),
        label_visibility="collapsed" if hidden else "visible",
        **extra,
    )
    return str(picked or option)


def _keep(key: str) -> None:
    if st.session_state[key]:
        address.put(key, st.session_state[key])
