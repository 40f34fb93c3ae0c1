"""What the period is compared with: the choice, which the link keeps, and the slices that moved."""

from __future__ import annotations

from datetime import date
from typing import Any

import streamlit as st

from analysis.period_comparison import Period
from analysis.periods import Against, Periods, periods
from charts.formatting import count, percent, plain
from charts.sentences import (
    UNLIKE,
    against_words,
    cell_words,
    comparison_words,
    day_words,
    extra_count,
    no_comparison_words,
    release_words,
    scaled_words,
    span_words,
)
from data.queries.releases import Release, releases
from parts.overview.changes import look_at
from parts.overview.tables import ADJUSTED, ADJUSTED_HELP, adjusted, share
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.formatted import formatted
from parts.shared.view import View, snapshot_at
from report.contents import Events, Headline

KEY = "against"
# The most rows shown; the others are left to the page Triage.
ROWS = 12
_MODES = {
    "previous": "Previous period",
    "weekdays": "Same weekdays before",
    "release": "Since a release",
    "days": "Other days",
}


def compared_with() -> Against:
    """The choice of the link, else of this session. Raises UsageError for an invalid link."""
    against = Against.parse(st.query_params.get(KEY) or st.session_state.get(KEY))
    _keep(against)
    return against


def comparison_choice(view: View, compared: Periods) -> None:
    """A menu to choose the period to compare with."""
    assert view.model is not None
    assert view.bounds is not None
    against = compared.against
    released = _releases(view.path, view.snapshot.version, view.model)
    with st.popover(_label(compared), icon=":material/compare_arrows:"):
        st.session_state["against_mode"] = against.mode
        st.radio(
            "Compare the days shown with",
            [mode for mode in _MODES if mode != "release" or released],
            format_func=_MODES.__getitem__,
            captions=[
                "As many days right before them.",
                "As many days, whole weeks earlier: Mondays with Mondays.",
                *(["The days since it with the days before it."] if released else []),
                "Any days outside those shown.",
            ],
            key="against_mode",
            on_change=_mode,
            args=(view, compared, released),
        )
        if against.mode == "release":
            st.session_state["against_release"] = _release_of(against, released)
            st.selectbox(
                "Release",
                released[::-1],
                format_func=lambda r: f"{release_words(r)}, {day_words(r.day, True)}",
                key="against_release",
                on_change=_release,
                args=(view,),
            )
        if against.days:
            st.session_state["against_days"] = (against.days.since, against.days.until)
            st.date_input(
                "Days, first and last", key="against_days", format="YYYY-MM-DD", on_change=_days
            )


def moved_table(view: View, head: Headline, happened: Events) -> None:
    """The cells that moved most; choosing a row narrows the filters to it."""
    st.subheader(
        "Period comparison",
        anchor=False,
        help="Which slices fail more, or less, than in the period they are compared with.",
    )
    moved, compared = happened.moved, head.periods
    if moved is None or compared.previous is None:
        st.caption(plain(no_comparison_words(compared)))
        return
    words = f"{comparison_words(compared)}."
    shift = head.shifts.get("defect")
    if shift and not compared.whole:
        rate = head.after["defect"].value
        words += f" Defect rate {percent(rate - shift.value)} before, {percent(rate)} after."
        words += "" if head.alike else f" {UNLIKE}"
    st.caption(words)
    if not moved.num_rows:
        st.caption(
            f"Of {count(happened.compared)} cells of stage and dimension, none moved further than "
            "chance explains."
        )
        return
    rows = head.scaled_rates(moved.slice(0, ROWS)).to_pylist()
    key = f"moved-{view.snapshot.version}-{view.chosen.caption()}-{compared.against}"
    st.dataframe(
        cells_table(rows, "Before", "After"),
        hide_index=True,
        key=key,
        on_select=lambda: _picked(view, key, rows),
        selection_mode="single-row",
        height="content",
        column_config=CELLS,
    )
    more = moved.num_rows - len(rows)
    st.caption(
        f"{count(happened.compared)} cells were compared; the false discovery rate is controlled "
        f"(Benjamini–Hochberg). {scaled_words(head.rates['defect'])}"
        + (f" {count(more)} smaller ones are not shown." if more else "")
        + " Tick a row to look at its turns."
    )


CELLS: dict[str, Any] = {
    "Excess failures": st.column_config.Column(help="Failed turns beyond the rate before."),
    ADJUSTED: st.column_config.Column(help=ADJUSTED_HELP),
}


def cells_table(rows: list[dict[str, Any]], before: str, after: str) -> Any:
    """Rows of `analysis.period_comparison.SCHEMA`; `before` and `after` head the two rates."""
    return formatted(
        {
            "Slice": [cell_words(row) for row in rows],
            before: [row["before"] for row in rows],
            after: [row["after"] for row in rows],
            "Change, 95\u2009%": [span_words(row) for row in rows],
            "Excess failures": [row["extra_turns"] for row in rows],
            ADJUSTED: [row["q_value"] for row in rows],
            "Significance": [row["significance"] for row in rows],
        },
        {before: share, after: share, "Excess failures": extra_count, ADJUSTED: adjusted},
    )


def _picked(view: View, key: str, rows: list[dict[str, Any]]) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    if chosen:
        look_at(view, [(rows[chosen[0]]["dimension"], rows[chosen[0]]["value"])])


@cached_data(max_entries=32, show_spinner=False)
def _releases(path: str, version: str, model: str) -> list[Release]:
    return releases(snapshot_at(path, version), model)


def _label(compared: Periods) -> str:
    if compared.against.release and compared.released:
        return plain(against_words(compared).capitalize())
    return f"Compared with: {_MODES[compared.against.mode].lower()}"


def _keep(against: Against) -> None:
    """The choice in the link and the session; the default needs no word in a link."""
    text = str(against)
    st.session_state[KEY] = text
    if text == "previous":
        address.put(KEY, None)
    elif st.query_params.get(KEY) != text:
        address.put(KEY, text)


def _mode(view: View, compared: Periods, released: list[Release]) -> None:
    mode = st.session_state["against_mode"]
    if mode == "release":
        _since(view, released[-1])
    elif mode == "days":
        assert view.bounds is not None
        usual = periods(view.chosen, *view.bounds[:2]) or compared
        days = usual.previous or usual.recent
        _keep(Against("days", days=days))
        if not usual.whole:
            # All days are shown, so none are left to compare with.
            look_at(view, (), usual.recent.since, usual.recent.until)
    else:
        _keep(Against(mode))


def _release(view: View) -> None:
    _since(view, st.session_state["against_release"])


def _since(view: View, release: Release) -> None:
    """Show the days since a release, and compare them with those before it."""
    _keep(Against("release", release=(release.stage, release.version)))
    until = view.chosen.until
    look_at(view, (), release.day, until if until and until >= release.day else None)


def _days() -> None:
    days: tuple[date, ...] = st.session_state["against_days"]
    # While the reader has picked the first day only, there is nothing to compare yet.
    if len(days) == 2:
        _keep(Against("days", days=Period(*days)))


def _release_of(against: Against, released: list[Release]) -> Release:
    return next(r for r in released if (r.stage, r.version) == against.release)
