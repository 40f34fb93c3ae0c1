"""The top of the Overview: its cached answers, and four numbers with sparkline and change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from analysis.rates import MODEL
from charts.formatting import (
    count,
    percent,
    points,
)
from charts.sentences import estimate_words, period_words
from data.queries import overview
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.shared.view import CacheKey, View
from report import contents

# The tables that the answers are read from; commits to others do not invalidate them.
_TABLES = ("predictions", "rollup", "labelled", "annotations", "settings", "misdated")


def headline(view: View) -> contents.Headline | None:
    """The numbers of the page; None if no turn with a possible date fits the filters."""
    if view.bounds is None:
        return None
    return _headline(view.cache_key(*_TABLES), view)


def events(view: View) -> contents.Events:
    """What happened, see `report.contents.Events`."""
    return _events(view.cache_key(*_TABLES), view)


def trend(view: View, by: overview.Grain) -> pa.Table:
    """The trend in steps of `by`."""
    return _trend(view.cache_key(*_TABLES), by, view)


@st.cache_data(max_entries=64, show_spinner=False)
def _headline(key: CacheKey, _view: View) -> contents.Headline | None:
    assert _view.model is not None
    assert _view.bounds is not None
    return contents.headline(_view.snapshot, _view.model, _view.chosen, _view.bounds[:2])


@st.cache_data(max_entries=64, show_spinner="Looking for what changed and what moved")
def _events(key: CacheKey, _view: View) -> contents.Events:
    assert _view.model is not None
    assert _view.bounds is not None
    return contents.events(_view.snapshot, _view.model, _view.chosen, _view.bounds[:2])


@st.cache_data(max_entries=64, show_spinner=False)
def _trend(key: CacheKey, by: overview.Grain, _view: View) -> pa.Table:
    assert _view.model is not None
    return overview.trend(_view.snapshot, _view.model, _view.chosen, by)


def numbers(head: contents.Headline) -> None:
    """Turns, defect rate, worst stage, turns called defects."""
    total, table = head.total, head.trend
    turns: list[Any] = table["turns"].to_pylist()
    worst = head.worst
    with st.grid(4, min_column_width=185, gap="small"):
        st.metric(
            "Turns",
            count(total.turns),
            delta=_turns_delta(head),
            chart_data=turns,
            chart_type="bar",
            help="Requests in this period.",
            **_BOX,
        )
        defect_rate(head, **_change(head, "defect"), chart_data=_shares(table, FAILURES))
        st.metric(
            "Worst stage",
            f"{NAMES[worst]} :small[:gray[{percent(head.rates[worst].value)}]]",
            **_change(head, worst),
            chart_data=_shares(table, (worst,)),
            help="The failure point with the largest share of turns, estimated as the defect rate.",
            **_BOX,
        )
        correct = table["n_correct"].to_pylist()
        st.metric(
            "Called defects",
            f"{count(total.defects)} :small[:gray[{percent(total.defects / total.turns)} of "
            "turns]]",
            chart_data=[n - c for n, c in zip(turns, correct, strict=True)],
            chart_type="bar",
            help="Turns whose verdict is a failure: those listed below. The verdict weighs the "
            "probabilities so that rare stages are named too, and close calls all fall to one "
            "side; for the rate trust the estimate.",
            **_BOX,
        )
    if head.turns[1] and head.periods.previous:
        st.caption(
            f"Changes: {period_words(head.periods.recent)} against "
            f"{period_words(head.periods.previous)}, in points, with their 95\u2009% intervals; "
            "an arrow where chance alone hardly explains them."
        )


def defect_rate(head: contents.Headline, **more: Any) -> None:
    """The defect rate with its interval; other pages show the same."""
    defect = head.rates["defect"]
    st.metric(
        _ESTIMATED if defect.method == MODEL else "Defect rate",
        f"{percent(defect.value)} :small[:gray[{percent(defect.low)} to {percent(defect.high)}]]",
        help=estimate_words(defect),
        **more,
        **_BOX,
    )


def steps(head: contents.Headline) -> list[overview.Grain]:
    """The steps that give the chart of the period enough bars, and not too many."""
    period = head.periods.shown
    days = (period.until - period.since).days + 1
    sizes: dict[overview.Grain, int] = {"day": 1, "week": 7, "month": 30}
    return [by for by, size in sizes.items() if by == head.by or 3 <= days / size <= 130]


def _shares(table: pa.Table, names: Sequence[str]) -> list[float]:
    columns = (table[f"p_{name}"].to_pylist() for name in names)
    turns = table["turns"].to_pylist()
    return [sum(parts) / n for n, *parts in zip(turns, *columns, strict=True)]


def _turns_delta(head: contents.Headline) -> str | None:
    now, before = head.turns
    return percent(now / before - 1, 0, "+") if before else None


def _change(head: contents.Headline, name: str) -> dict[str, Any]:
    """A change with its interval; an arrow only where chance alone hardly explains it."""
    if name not in head.shifts:
        return {}
    shift = head.shifts[name]
    return {
        "delta": points(shift.value),
        "delta_arrow": "auto" if shift.clear else "off",
        "delta_description": f"{100 * shift.low:+.1f} to {100 * shift.high:+.1f}",
    }


_ESTIMATED = "Defect rate, model estimate"
_BOX: dict[str, Any] = {"border": True, "height": "stretch", "delta_color": "off"}
