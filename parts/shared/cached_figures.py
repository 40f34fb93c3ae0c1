"""Charts that are drawn once for each view: building one takes longer than most queries."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go
import streamlit as st

from parts.shared.view import View


def drawn(view: View, name: str, draw: Callable[[], go.Figure], *more: object) -> go.Figure:
    """The chart `name` of a view, shared, so not to be changed.

    `more`: what it depends on beside the view's version, model and filter.
    """
    return _kept(view.path, view.snapshot.version, view.model, view.query, name, more, draw)


@st.cache_resource(max_entries=256, show_spinner=False)
def _kept(
    path: str,
    version: str,
    model: str | None,
    query: str,
    name: str,
    more: tuple[object, ...],
    _draw: Callable[[], go.Figure],
) -> go.Figure:
    return _draw()
