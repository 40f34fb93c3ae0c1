"""The failure rate over time, for all failure points or one, with releases and the target."""

from __future__ import annotations

from typing import cast, get_args

import streamlit as st

from charts.formatting import plain
from charts.layout import CONFIG
from charts.palette import COLOURS
from charts.rates import target_level, trend, trend_words
from charts.sentences import releases_words
from data.errors import UsageError
from data.queries.overview import Grain
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.overview.changes import CHANGES
from parts.overview.tables import trend_table
from parts.shared import address
from parts.shared import headline as top
from parts.shared.cached_figures import cached_figure
from parts.shared.choice import one_of
from parts.shared.view import View
from report.contents import Events, Headline


def trend_panel(view: View, head: Headline, happened: Events, targets: dict[str, float]) -> None:
    """Draw the trend with the choice of its steps and of a failure point."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(
            "Failure rate", anchor=False, help="The share of turns that failed, by failure point."
        )
        of = one_of(
            "Failure point of the trend",
            ("all", *FAILURES),
            "of",
            lambda name: NAMES.get(name, "All failure points"),
            "list",
            hidden=True,
            default="all",
            width=170,
        )
        by = _steps(head)
    only = None if of == "all" else of
    table = top.trend(view, head, by)
    changes = [head.scaled_change(change) for change in happened.changes[:CHANGES]]
    target = target_level(targets, head.rates, only)
    releases = happened.releases
    # The key of the colours wraps on a phone, where one inside the chart would cover it.
    st.markdown(
        "\u2002".join(
            f':color[■]{{foreground="{COLOURS[name]}"}} {NAMES[name]}'
            for name in ((only,) if only else FAILURES)
        )
    )
    st.plotly_chart(
        cached_figure(
            view,
            "trend",
            lambda: trend(table, by, releases, changes, only=only, target=target),
            by,
            only,
            target,
        ),
        config=CONFIG,
        alt=trend_words(table, by, releases, changes, only=only, target=target),
        key="trend",
    )
    with st.expander("As a table"):
        st.dataframe(trend_table(table, by), hide_index=True, height=280)
        if releases:
            st.caption(plain(releases_words(releases)))


def _steps(head: Headline) -> Grain:
    """Draw the choice of the time that a bar stands for, where the period leaves one."""
    offered = top.steps(head)
    linked = st.query_params.get("step")
    if linked in set(get_args(Grain)) - set(offered):
        # Chosen for a longer or a shorter period.
        address.put("step", None)
    elif linked and linked not in get_args(Grain):
        raise UsageError(f"Unknown step={linked[:60]}; give one of {', '.join(get_args(Grain))}.")
    if len(offered) < 2:
        return head.by
    return cast(
        Grain,
        one_of(
            "Steps",
            offered,
            "step",
            lambda step: f"per {step}",
            "segments",
            hidden=True,
            default=head.by,
        ),
    )
