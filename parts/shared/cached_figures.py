"""Charts that are built once for each view: building one takes longer than most queries."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go

from parts.server.caching import cached_resource
from parts.shared.view import CacheKey, View


def cached_figure(view: View, name: str, draw: Callable[[], go.Figure], *more: object) -> go.Figure:
    """The chart `name` of a view; cached and shared, so do not modify it.

    `draw` builds it; `more` is what it depends on beside the view's version, model and filter.
    """
    return _cached(view.cache_key(), name, more, draw)


@cached_resource(max_entries=256, show_spinner=False)
def _cached(
    key: CacheKey, name: str, more: tuple[object, ...], _draw: Callable[[], go.Figure]
) -> go.Figure:
    return _draw()
