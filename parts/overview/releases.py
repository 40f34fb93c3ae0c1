"""Two releases of a stage against each other, within the filters of the page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from charts.formatting import percent, plain, points, several, short
from charts.sentences import period_words, version_words
from data.errors import UsageError
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.overview.comparison import CELLS, ROWS, cells_table
from parts.overview.tables import share
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.formatted import formatted
from parts.shared.headline import TABLES
from parts.shared.view import CacheKey, View, choices
from report.releases import ReleaseComparison, Side, compare_releases, parse_releases

KEYS = ("release_a", "release_b")


def release_panel(view: View) -> None:
    """Choose two releases of a stage, and see how the turns on them differ."""
    assert view.model is not None
    offered = choices(view.path, view.snapshot.version, view.model)[1].get("version", [])
    stages = [version.partition(":")[0] for version in offered]
    offered = [v for v, stage in zip(offered, stages, strict=True) if stages.count(stage) > 1]
    linked = [st.query_params.get(key) for key in KEYS]
    if all(linked) and linked != [st.session_state.get(key) for key in KEYS]:
        # Another reader's link; here, a choice of A may leave a B that does not go with it.
        parse_releases(str(linked[0]), str(linked[1]))
    for key in KEYS:
        mine = st.session_state.get(key)
        value = st.query_params.get(key) or mine
        if value and value == mine and value not in offered:
            # Another model or version has not seen the release that was chosen.
            value = None
        if value and value not in offered:
            known = ", ".join(short(version, 30) for version in offered[:10])
            raise UsageError(
                f"Unknown release {key}={short(value, 40)}; give "
                + (f"one of {known}." if known else "none: no stage has two releases.")
            )
        _keep(key, value)
    if not offered:
        return
    st.subheader(
        "Release comparison",
        anchor=False,
        help="The turns that ran on two releases of one stage, within the filters.",
    )
    left, right = st.columns(2, gap="small")
    with left:
        a = _choice("Release A", "release_a", offered)
    with right:
        stage = a.partition(":")[0] if a else None
        b = _choice("Release B", "release_b", [v for v in offered if v != a and _of(v, stage)])
    if not a or not b:
        st.caption("Choose two releases of a stage to compare the turns that ran on them.")
        return
    _draw(_compared(view.cache_key(*TABLES), *parse_releases(a, b), view))


def _choice(label: str, key: str, offered: list[str]) -> str | None:
    widget = f"{key}_choice"
    chosen = st.session_state.get(key)
    if chosen not in offered:
        # A release of another stage than the new A.
        chosen = None
        _keep(key, None)
    st.session_state[widget] = chosen
    return st.selectbox(
        label,
        offered,
        index=None,
        format_func=lambda version: version_words(*version.split(":", 1)),
        placeholder="choose a release",
        key=widget,
        on_change=lambda: _keep(key, st.session_state[widget]),
    )


def _keep(key: str, value: str | None) -> None:
    """A release in the link and in the session."""
    st.session_state[key] = value
    if value:
        if st.query_params.get(key) != value:
            address.put(key, value)
    else:
        address.put(key, None)


def _of(version: str, stage: str | None) -> bool:
    return stage is None or version.startswith(f"{stage}:")


@cached_data(max_entries=64, show_spinner="Comparing the releases")
def _compared(key: CacheKey, stage: str, a: str, b: str, _view: View) -> ReleaseComparison:
    assert _view.model is not None
    return compare_releases(_view.snapshot, _view.model, _view.chosen, stage, a, b)


def _draw(compared: ReleaseComparison) -> None:
    a, b = (version_words(compared.stage, side.version) for side in (compared.a, compared.b))
    if compared.missing:
        named = " and ".join(version_words(compared.stage, v) for v in compared.missing)
        st.text(
            f"No turn within the filters ran on {named}; take a filter away, or widen the days."
        )
        return
    st.caption(plain(f"A: {_words(a, compared.a)}. B: {_words(b, compared.b)}."))
    if not compared.together:
        st.caption(
            "They never ran on the same day, so what else changed between these days is part of "
            "the difference."
        )
    rates = ("defect", *FAILURES)
    a, b = f"A: {a}", f"B: {b}"
    st.dataframe(
        formatted(
            {
                "Rate": ["Any failure", *(NAMES[name] for name in FAILURES)],
                a: [compared.a.rates[name].value for name in rates],
                b: [compared.b.rates[name].value for name in rates],
                "Change": [points(compared.shifts[name].value) for name in rates],
                "95\u2009% interval": [_interval(compared, name) for name in rates],
                "Excludes 0": ["yes" if compared.shifts[name].clear else "no" for name in rates],
            },
            {a: share, b: share},
        ),
        hide_index=True,
        height="content",
        column_config={
            "Excludes 0": st.column_config.Column(
                help="Whether the interval leaves out no change. Each interval is for its rate "
                "alone: without any change, one of the six excludes 0 about one time in four."
            )
        },
    )
    rows: list[dict[str, Any]] = compared.cells.slice(0, ROWS).to_pylist()
    if not rows:
        st.caption(f"None of {several(compared.compared, 'slice')} differs further than chance.")
        return
    st.dataframe(cells_table(rows, a, b), hide_index=True, height="content", column_config=CELLS)
    st.caption(
        f"{several(compared.compared, 'slice')} compared; excess failures are those on B beyond "
        "the rate on A. Model estimates."
    )


def _words(name: str, side: Side) -> str:
    defect = side.rates["defect"]
    turns = several(side.turns, "turn")
    return f"{name}, {period_words(side.days)}, {turns}, {percent(defect.value)} failed"


def _interval(compared: ReleaseComparison, name: str) -> str:
    shift = compared.shifts[name]
    return f"{100 * shift.low:+.1f} to {points(shift.high)}"
