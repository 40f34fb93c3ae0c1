"""Choosing a failure point and a slice: the picker, the search, the ranked cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analysis.period_comparison import significance
from analysis.rates import Estimate
from analysis.slices.ranking import Ranked, ranked
from analysis.slices.search import Slice
from charts.formatting import (
    count,
    percent,
    plain,
)
from charts.html import piece
from charts.palette import colour_of
from charts.slices import spark
from data.errors import UsageError
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES, version_title
from data.store.workspace import ticket_words
from parts.jobs.job import Job
from parts.jobs.thread import ThreadJob
from parts.jobs.widget import watch
from parts.server.caching import cached_resource, forget
from parts.shared import address
from parts.shared.view import CacheKey, View

ANY = "defect"
POINTS = (*FAILURES, ANY)
TITLES = {**NAMES, ANY: "Any failure"}
# The search that this session stopped: its key and failure point.
_STOPPED = "stopped-search"
_LINKED = "failing-linked"
_PATIENCE_S = 0.3
_SHOWN = 6
_SYMPTOMS_SHOWN = 2
_TEMPLATE = "parts/triage/slices.html"


def chosen_point(worst: str) -> str:
    """The failure point of the link, else of this session, else the worst one.

    Kept in the URL as `failing`, because `stage` is already a filter. Raises UsageError if the link
    names something else.
    """
    # The key of a slice starts with its failure point.
    of_slice = (st.query_params.get("slice") or "").partition(":")[0]
    point = (
        st.query_params.get("failing")
        or (of_slice if of_slice in POINTS else None)
        or st.session_state.get("failing")
        or worst
    )
    # An address that names the failure point is whole: it is not completed from this session.
    st.session_state[_LINKED] = "failing" in st.query_params
    if point not in POINTS:
        raise UsageError(
            f"failing={point} is not a failure point; give one of {', '.join(POINTS)}."
        )
    st.session_state["failing"] = point
    if st.query_params.get("failing") != point:
        address.put("failing", point)
    return str(point)


def picker(present: str, rates: Mapping[str, Estimate]) -> None:
    """The failure points with their estimated rates, and any failure."""

    def title(name: str) -> str:
        rate = percent(rates[name].value)
        return f':color[●]{{foreground="{colour_of(name)}"}} {TITLES[name]} **{rate}**'

    st.session_state["failing_choice"] = present
    st.segmented_control(
        "Failure point, with its estimated share of turns",
        POINTS,
        format_func=title,
        key="failing_choice",
        required=True,
        on_change=_pick,
    )


def _pick() -> None:
    point = st.session_state["failing"] = st.session_state["failing_choice"]
    address.put("failing", point, "slice", "versus")


def chosen_slice(point: str) -> str | None:
    """Key of the slice of the link, else of the one last looked at for this failure point."""
    last_chosen: dict[str, str] = st.session_state.setdefault("slices", {})
    earlier = None if st.session_state.get(_LINKED) else last_chosen.get(point)
    key = st.query_params.get("slice") or earlier
    if key:
        last_chosen[point] = key
        if st.query_params.get("slice") != key:
            address.put("slice", key)
    return key


def choose_slice(key: str) -> None:
    """Callback: open a slice, whichever failure point it is of."""
    point = key.partition(":")[0]
    # A slice is compared with others of its failure point.
    other = point in POINTS and point != st.query_params.get("failing")
    address.put("slice", key, *(("versus",) if other else ()))
    if point in POINTS:
        address.put("failing", point)


@cached_resource(max_entries=24, show_spinner=False)
def _search(key: CacheKey, point: str, _view: View) -> ThreadJob[Ranked]:
    assert _view.model is not None
    snapshot, model, chosen = _view.snapshot, _view.model, _view.chosen
    return ThreadJob(
        "Searching all combinations of up to three conditions",
        lambda progress: ranked(snapshot, model, point, chosen, progress),
        alone=True,
    )


def search(view: View, point: str) -> Job[Ranked]:
    """The search for slices, started now or by an earlier reader; raises its error if it failed."""
    key = view.turns_key
    job = _search(key, point, view)
    # A search that another reader stopped starts again; one stopped here waits for its button.
    mine = st.session_state.get(_STOPPED) == (key, point)
    if job.state == "stopped" and not mine:
        forget(_search, key, point, view)
        job = _search(key, point, view)
    if mine and job.state == "done":
        del st.session_state[_STOPPED]
    if job.error:
        # Whoever looks next tries again.
        forget(_search, key, point, view)
        raise job.error
    # Most searches end soon, and the page is then drawn only once.
    job.wait(_PATIENCE_S)
    return job


def wait(view: View, point: str, job: Job[Ranked]) -> None:
    """Show how far the search is and a way to stop it; the page runs again when it has ended."""
    if job.state == "stopped":
        st.text("The search was stopped.")
        st.button("Search again", on_click=_again, icon=":material/refresh:")
        return

    def remember() -> None:
        st.session_state[_STOPPED] = (view.turns_key, point)

    # Only those who see the same turns share it.
    watch(job, cancel="Stop the search", on_cancel=remember, action="aggregates")


def _again() -> None:
    st.session_state.pop(_STOPPED, None)


def cards(
    result: Ranked, point: str, present: str | None, decided: Mapping[str, Mapping[str, Any]]
) -> None:
    """Draw the slices by impact, each with its rate, its trend and its state.

    Below those that name where the stage fails are its symptoms: what the stage itself put out.
    """
    every = st.session_state.get("every_slice", False)
    found = result.found
    causes = _visible(found.causes, _SHOWN, every, present)
    symptoms = _visible(found.symptoms, _SYMPTOMS_SHOWN, every, present)
    reach = max((slice_.rate_interval[1] for slice_ in (*causes, *symptoms)), default=1.0)
    if not causes:
        st.caption("No domain, device, release or locale stands out; only symptoms do.")
    _draw(causes, reach, result, present, decided)
    if symptoms:
        st.subheader(
            "Symptoms",
            anchor=False,
            help="Slices by the stage’s own evidence, such as its confidence. They show that "
            "something is wrong, not where.",
        )
        _draw(symptoms, reach, result, present, decided)
    if len(found.causes) > _SHOWN or len(found.symptoms) > _SYMPTOMS_SHOWN:
        st.toggle(f"All {len(found.slices)} slices", key="every_slice")
    st.caption(found.words())


def _visible(
    slices: Sequence[Slice], most: int, every: bool, present: str | None
) -> Sequence[Slice]:
    """The first `most` slices, or all, and the present one in any case."""
    if every:
        return slices
    return [*slices[:most], *(slice_ for slice_ in slices[most:] if slice_.key == present)]


def _draw(
    slices: Sequence[Slice],
    reach: float,
    result: Ranked,
    present: str | None,
    decided: Mapping[str, Mapping[str, Any]],
) -> None:
    for slice_ in slices:
        key = slice_.key
        with st.container(border=True, gap="xsmall"):
            name_button(key, slice_.words(), key == present)
            st.html(_card(slice_, result, reach, decided.get(key)))


def others(
    point: str,
    listed: Sequence[str],
    present: str | None,
    decided: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
) -> None:
    """Draw the slices that somebody owns but that are not significant now."""
    left = [key for key in names if key not in listed]
    if not left:
        return
    st.subheader(
        "Owned, not significant now",
        anchor=False,
        help="Slices with a decision that do not stand out within these filters.",
    )
    for key in left:
        with st.container(border=True, gap="xsmall"):
            name_button(key, names[key], key == present)
            st.html(piece(_TEMPLATE, "decided", decision=decision_words(decided[key])))


def name_button(key: str, words: str, present: bool, where: str = "") -> None:
    """A slice in words, as a button that opens it; `where` tells it from others of this slice."""
    st.button(
        f"**{plain(words)}**" if present else plain(words),
        key=f"{where}slice-{key}",
        type="tertiary",
        width="content",
        wrap=True,
        icon=":material/arrow_right:" if present else None,
        help="The slice shown." if present else "Show this slice.",
        on_click=choose_slice,
        args=(key,),
    )


def _card(slice_: Slice, result: Ranked, reach: float, state: Mapping[str, Any] | None) -> str:
    low, high = slice_.rate_interval
    values = spark(result.days[slice_.key])
    return piece(
        _TEMPLATE,
        "card",
        impact=count(slice_.impact),
        weekly=f"{count(slice_.impact / result.weeks)} a week" if result.weeks >= 2 else "",
        rate=slice_.rate,
        low=low,
        high=high,
        elsewhere=slice_.rest_rate,
        reach=reach,
        colour=colour_of(slice_.failure_point),
        against=f"{percent(slice_.rate)} ({percent(low)} to {percent(high)}) against "
        f"{percent(slice_.rest_rate)} elsewhere",
        values=values,
        trend=_trend_words(values),
        p_value=p_words(slice_.q_value),
        certainty=significance(slice_.q_value),
        decision=decision_words(state),
    )


def p_words(p: float) -> str:
    """`p < 0.001`, `p = 0.012`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _trend_words(values: Sequence[float | None]) -> str:
    rates = [value for value in values if value is not None]
    if not rates:
        return "No turns."
    return (
        f"Rate over time: first {percent(rates[0])}, highest {percent(max(rates))}, "
        f"last {percent(rates[-1])}."
    )


def decision_words(state: Mapping[str, Any] | None) -> dict[str, str | None]:
    """What was decided about a slice: its state, the release that fixes it, its owner, its ticket.

    `state` is a row of `data.store.workspace.decisions`.
    """
    if state is None:
        return {"state": "new", "release": None, "owner": None, "ticket": None}
    fixed = state["state"] == "fixed"
    ticket = state.get("ticket")
    return {
        "state": state["state"],
        "release": version_title(state["version"] or "?") if fixed else None,
        "owner": state["owner"],
        "ticket": ticket_state(ticket) if ticket else None,
    }


def ticket_state(ticket: Mapping[str, Any]) -> str:
    """A ticket and its state: `VA-12: In Progress`; without a state if it was never asked for."""
    key = ticket["key"] or ticket_words(ticket["url"])
    return f"{key}: {ticket['status']}" if ticket["status"] else f"ticket {key}"
