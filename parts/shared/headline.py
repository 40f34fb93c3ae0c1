"""The top of the Overview: its cached answers, and four numbers with sparkline and change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from analysis.periods import PREVIOUS, Against, Shift
from analysis.rates import MODEL
from charts.formatting import (
    count,
    percent,
    points,
)
from charts.sentences import UNLIKE, comparison_words, estimate_words, goal_words
from data.queries import goals, overview
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.server.caching import cached_data
from parts.shared.view import CacheKey, View
from report import contents
from report.goal_success import GoalSuccess, success

# The tables that the answers are read from; commits to others do not invalidate them.
TABLES = ("predictions", "rollup", "judged", "labelled", "annotations", "settings", "misdated")


def headline(view: View, against: Against = PREVIOUS) -> contents.Headline | None:
    """The numbers of the page; None if no turn with a possible date fits the filters.

    Raises UsageError if the period cannot be compared `against` what is asked for.
    """
    if view.bounds is None:
        return None
    return _headline(view.cache_key(*TABLES), str(against), view)


def events(view: View, against: Against = PREVIOUS) -> contents.Events:
    """What happened, see `report.contents.Events`."""
    return _events(view.cache_key(*TABLES), str(against), view)


def trend(view: View, head: contents.Headline, by: overview.Grain) -> pa.Table:
    """The trend in steps of `by`, scaled as the headline's."""
    if by == head.by:
        return head.trend
    return head.scaled(_trend(view.cache_key(*TABLES), by, view))


@cached_data(max_entries=64, show_spinner=False)
def _headline(key: CacheKey, against: str, _view: View) -> contents.Headline | None:
    assert _view.model is not None
    assert _view.bounds is not None
    return contents.headline(
        _view.snapshot, _view.model, _view.chosen, _view.bounds[:2], against=Against.parse(against)
    )


@cached_data(max_entries=64, show_spinner="Looking for change points")
def _events(key: CacheKey, against: str, _view: View) -> contents.Events:
    assert _view.model is not None
    assert _view.bounds is not None
    return contents.events(
        _view.snapshot, _view.model, _view.chosen, _view.bounds[:2], Against.parse(against)
    )


@cached_data(max_entries=64, show_spinner=False)
def _trend(key: CacheKey, by: overview.Grain, _view: View) -> pa.Table:
    assert _view.model is not None
    return overview.trend(_view.snapshot, _view.model, _view.chosen, by)


def goal_success(view: View, head: contents.Headline) -> GoalSuccess | None:
    """How many goals were reached in the headline's period; None where none was found."""
    if not view.snapshot.counts()["goals"]:
        return None
    key = view.cache_key("goals", *TABLES)
    return _goal_success(key, str(head.periods.against), view, head)


@cached_data(max_entries=64, show_spinner=False)
def _goal_success(
    key: CacheKey, against: str, _view: View, _head: contents.Headline
) -> GoalSuccess | None:
    told = annotated_goals(_view)
    return success(_view.snapshot, _view.model, _view.chosen, _head.periods, _head.by, told)


def annotated_goals(view: View) -> pa.Table:
    """Goals that annotators judged in the logs, see `data.queries.goals.annotated`."""
    return _annotated(view.unfiltered.cache_key("turns", "generated_labels"), view)


@cached_data(max_entries=4, show_spinner=False)
def _annotated(key: CacheKey, _view: View) -> pa.Table:
    return goals.annotated(_view.snapshot)


def numbers(
    head: contents.Headline, reached: GoalSuccess | None = None, guessed: bool = False
) -> None:
    """Turns, defect rate, worst stage, and goal success or, without goals, predicted defects.

    `guessed`: the stages are of a model that nobody has checked (`parts.shared.unchecked`).
    """
    total, table = head.total, head.trend
    turns: list[Any] = table["turns"].to_pylist()
    worst = head.worst
    with st.grid(4, min_column_width=185, gap="small"):
        st.metric(
            "Turns",
            count(total.turns),
            delta=_turns_delta(head),
            chart_data=_line(turns),
            chart_type="bar",
            help="Requests in this period.",
            **_BOX,
        )
        defect_rate(head, **_change(head, "defect"), chart_data=_line(_shares(table, FAILURES)))
        if reached is not None:
            goal_rate(reached, head.periods.whole)
        st.metric(
            "Worst stage, a guess" if guessed else "Worst stage",
            f"{NAMES[worst]} :small[:gray[{percent(head.rates[worst].value)}]]",
            **_change(head, worst),
            chart_data=_line(_shares(table, (worst,))),
            help="The failure point with the largest share of turns, estimated as the defect rate.",
            **_BOX,
        )
        if reached is None:
            _predicted_defects(total, turns, table)
    if head.shifts and head.periods.whole:
        st.caption(
            f"Changes: {comparison_words(head.periods)}, turns per day, rates in points with their "
            "95\u2009% intervals; an arrow where chance alone hardly explains them."
            + ("" if head.alike else f" {UNLIKE}")
        )


def _predicted_defects(total: overview.Totals, turns: list[Any], table: pa.Table) -> None:
    correct = table["n_correct"].to_pylist()
    st.metric(
        "Predicted defects",
        f"{count(total.defects)} :small[:gray[{percent(total.defects / total.turns)} of turns]]",
        chart_data=_line([n - c for n, c in zip(turns, correct, strict=True)]),
        chart_type="bar",
        help="Turns whose verdict is a failure: those listed below. The verdict weighs the "
        "probabilities so that rare stages are named too, and close calls all fall to one side; "
        "for the rate trust the estimate.",
        **_BOX,
    )


def goal_rate(reached: GoalSuccess, compared: bool = False) -> None:
    """The share of goals reached, with its interval, its change where it is `compared`, its trend.

    Other pages show the same.
    """
    rate = reached.rate
    st.metric(
        "Goal success" if rate.method != MODEL else "Goal success, model estimate",
        f"{percent(rate.value)} :small[:gray[{percent(rate.low)} to {percent(rate.high)}]]",
        help=goal_words(rate, reached.goals),
        chart_data=_line(list(reached.trend)),
        **(_shifted(reached.shift) if reached.shift and compared else {}),
        **_BOX,
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


def _line(values: list[Any]) -> list[Any] | None:
    """The values of a sparkline; two or fewer do not make one."""
    return values if len(values) > 2 else None


def _turns_delta(head: contents.Headline) -> str | None:
    """The change of turns per day, as the compared periods may differ in length."""
    if head.per_day is None or not head.periods.whole:
        return None
    return percent(head.per_day, 0, "+")


def _change(head: contents.Headline, name: str) -> dict[str, Any]:
    """A change with its interval; an arrow only where chance alone hardly explains it.

    None where other days are compared than those of the number beside it.
    """
    if name not in head.shifts or not head.periods.whole:
        return {}
    return _shifted(head.shifts[name])


def _shifted(shift: Shift) -> dict[str, Any]:
    return {
        "delta": points(shift.value),
        "delta_arrow": "auto" if shift.clear else "off",
        "delta_description": f"{100 * shift.low:+.1f} to {100 * shift.high:+.1f}",
    }


_ESTIMATED = "Defect rate, model estimate"
_BOX: dict[str, Any] = {"border": True, "height": "stretch", "delta_color": "off"}
