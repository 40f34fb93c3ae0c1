"""A slice beside others: those that overlap with it, and one that the reader compares it with."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import streamlit as st

from analysis.slices.comparison import LEAST_TURNS, Side, SideBySide
from analysis.slices.search import key_of, parse, words_of
from charts.formatting import count, percent, plain, points
from charts.html import piece
from charts.layout import CONFIG
from charts.slices import trend, trend_words
from data.errors import UsageError
from data.queries.slices import Conditions, compared, daily, shared_turns
from parts.server.access import access
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.view import FEWEST, CacheKey, View
from parts.triage.slice_picker import TITLES, name_button

# Overlapping slices whose turns are counted, and those that are shown.
_COUNTED, _SHOWN = 40, 8
# The slice that the present one is compared with, in the address.
VERSUS = "versus"


@cached_data(max_entries=64, show_spinner=False)
def _shared(
    key: CacheKey, point: str, this: Conditions, others: Sequence[Conditions], _view: View
) -> list[tuple[int, float, int]]:
    assert _view.model is not None
    return shared_turns(_view.snapshot, _view.model, point, _view.chosen, this, others)


@cached_data(max_entries=64, show_spinner=False)
def _compared(
    key: CacheKey, point: str, this: Conditions, other: Conditions, _view: View
) -> tuple[SideBySide, pa.Table]:
    """Both slices, and the days of the other."""
    assert _view.model is not None
    at = (_view.snapshot, _view.model, point, _view.chosen)
    return SideBySide.of(compared(*at, this, other)), daily(*at, [other])[0]


def overlapping(
    view: View, point: str, conditions: Conditions, others: Sequence[Conditions]
) -> None:
    """The slices that consist mostly of the same turns, folded away; nothing without any."""
    if not others:
        return
    fold = st.expander(
        "Overlapping slices",
        key=f"overlapping-{key_of(point, conditions)}",
        icon=":material/join_inner:",
        on_change="rerun",
    )
    with fold:
        if not fold.open:
            return
        counted = tuple(others[:_COUNTED])
        figures = _shared(view.turns_key, point, conditions, counted, view)
        rows = sorted(zip(counted, figures, strict=True), key=lambda row: -row[1][2])[:_SHOWN]
        for other, (turns, failures, shared) in rows:
            if not turns or _too_few(turns, shared):
                continue
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                name_button(key_of(point, other), words_of(other), False, "overlapping-")
                st.caption(
                    f"{percent(failures / turns)} of {count(turns)} turns · "
                    f"{count(shared)} of them here",
                    width="content",
                )
        st.caption("Their excess failures are mostly the same turns: one fix should help them all.")


def compare(
    view: View,
    key: str,
    point: str,
    conditions: Conditions,
    days: pa.Table,
    listed: Sequence[str],
    alternatives: Sequence[Conditions],
) -> None:
    """A choice of another slice of the same failure point, and both side by side.

    `days` are those of the slice, `listed` the keys of other slices on the page.
    """
    asked = st.query_params.get(VERSUS)
    try:
        against = _against(asked, point) if asked else None
    except UsageError as error:
        st.caption(plain(str(error)))
        asked = against = None
    names = {other: words_of(parse(other)[1]) for other in listed}
    names |= {key_of(point, other): words_of(other) for other in alternatives[:_SHOWN]}
    if asked and against is not None:
        names.setdefault(asked, words_of(against))
    names.pop(key, None)
    if not names:
        return
    widget = f"versus-{key}"
    st.session_state[widget] = asked if asked in names else None
    st.selectbox(
        "Compare with another slice",
        list(names),
        index=None,
        format_func=lambda other: names.get(other, other),
        placeholder="no comparison",
        key=widget,
        on_change=_choose,
        args=(widget,),
    )
    if asked in names and against is not None:
        _side_by_side(view, point, conditions, against, days)


def _against(key: str, point: str) -> Conditions:
    failing, conditions = parse(key)
    if failing != point:
        raise UsageError(
            f"“{key}” is not one of {TITLES[point]}, so this slice cannot be compared with it; "
            f"choose a slice of {TITLES[point]}."
        )
    return conditions


def _choose(widget: str) -> None:
    chosen = st.session_state[widget]
    if chosen:
        address.put(VERSUS, chosen)
    else:
        address.put(VERSUS, None)


def _side_by_side(
    view: View, point: str, conditions: Conditions, against: Conditions, days: pa.Table
) -> None:
    sides, other_days = _compared(view.turns_key, point, conditions, against, view)
    if _too_few(sides.this.turns, sides.other.turns, sides.both.turns):
        st.text(f"Fewer than {FEWEST} turns lie in one of them or in both, too few for a viewer.")
        return
    st.markdown(plain(side_words(sides)))
    rows = [
        [name, count(side.turns), count(side.failures), _rate(side)]
        for name, side in (
            ("this slice", sides.this),
            (words_of(against), sides.other),
            ("turns in both", sides.both),
        )
    ]
    heads = ["", "turns", "failures, est.", "rate"]
    st.html(
        piece("parts/shared/pieces.html", "plain_table", heads=heads, rows=rows, numbers=(1, 2, 3))
    )
    st.plotly_chart(
        trend(days, point, {}, other=other_days),
        config=CONFIG,
        alt=f"This slice: {trend_words(days, {})} Compared slice: {trend_words(other_days, {})}",
        key="versus-trend",
    )


def _too_few(*turns: int) -> bool:
    """Whether some of these numbers of turns are too small for somebody who sees no turns."""
    return access().aggregates_only and any(0 < number < FEWEST for number in turns)


def _rate(side: Side) -> str:
    return "–" if side.rate is None else percent(side.rate)


def side_words(sides: SideBySide) -> str:
    """Whether one of two slices fails more often, in a sentence."""
    difference = sides.difference
    if difference is None:
        which = "this slice" if not sides.this.turns else "the other slice"
        return f"No turn of these filters lies in {which}, so there is nothing to compare."
    if sides.same_turns:
        return "Both are the same turns under two names."
    if sides.few:
        return f"Fewer than {LEAST_TURNS} turns in one of them: too few to tell which fails more."
    low, high = difference - sides.spread, difference + sides.spread
    interval = f"{points(difference)}, 95\u2009% interval {points(low)} to {points(high)}"
    if not sides.clear:
        return f"No clear difference between the two rates ({interval})."
    verb = "more" if difference > 0 else "less"
    return f"This slice fails {verb} often than the other ({interval})."
