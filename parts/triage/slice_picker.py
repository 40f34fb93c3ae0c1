"""Which stage, which slice: the picker, the search, the ranked cards."""

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
from charts.palette import colour_of
from charts.slices import spark
from data.errors import UsageError
from data.queries.dimensions import condition_words
from data.schema.trace import FAILURES, STAGES
from data.schema.vocabulary import NAMES
from parts.jobs.job import Job
from parts.jobs.thread import ThreadJob
from parts.jobs.widget import watch
from parts.shared.html import (
    LINE,
    line,
    muted,
    text,
)
from parts.shared.view import CacheKey, View
from parts.triage.inline_bars import dot_and_interval, sparkline

ANY = "defect"
POINTS = (*FAILURES, ANY)
TITLES = {**NAMES, ANY: "Any failure"}
# The search that this session has stopped: its key and failure point.
_STOPPED = "stopped-search"
_PATIENCE_S = 0.3
_SHOWN = 6
_ALSO = 2


def chosen_point(worst: str) -> str:
    """The failure point that the link, or else this session, looks at; by default the worst one.

    Kept in the URL as `failing`, for `stage` is a filter already.
    """
    # A link that names a slice only names its failure point with it.
    of_slice = (st.query_params.get("slice") or "").partition(":")[0]
    given = (
        st.query_params.get("failing")
        or (of_slice if of_slice in POINTS else None)
        or st.session_state.get("failing")
        or worst
    )
    if given not in POINTS:
        raise UsageError(f"failing={given} is no failure point; give one of {', '.join(POINTS)}.")
    st.session_state["failing"] = given
    if st.query_params.get("failing") != given:
        st.query_params["failing"] = given
    return str(given)


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
    st.session_state["failing"] = st.session_state["failing_choice"]
    st.query_params["failing"] = st.session_state["failing"]
    st.query_params.pop("slice", None)


def chosen_slice(point: str) -> str | None:
    """Key of the slice that the link names, or that this session last looked at here."""
    held: dict[str, str] = st.session_state.setdefault("slices", {})
    given = st.query_params.get("slice") or held.get(point)
    if given:
        held[point] = given
        if st.query_params.get("slice") != given:
            st.query_params["slice"] = given
    return given


def choose_slice(key: str) -> None:
    """Callback: open a slice."""
    st.query_params["slice"] = key


@st.cache_resource(max_entries=24, show_spinner=False)
def _search(key: CacheKey, point: str, _view: View) -> ThreadJob[Ranked]:
    assert _view.model is not None
    snapshot, model, chosen = _view.snapshot, _view.model, _view.chosen
    return ThreadJob(
        "Searching all combinations of up to three conditions",
        lambda progress: ranked(snapshot, model, point, chosen, progress),
        alone=True,
    )


def search(view: View, point: str) -> Job[Ranked]:
    """The search for slices, begun now or by whoever came first; raises what made it fail."""
    key = view.turns_key
    job = _search(key, point, view)
    # One that another reader has stopped begins anew; one's own waits until asked.
    mine = st.session_state.get(_STOPPED) == (key, point)
    if job.state == "stopped" and not mine:
        _search.clear(key, point, view)
        job = _search(key, point, view)
    if mine and job.state == "done":
        del st.session_state[_STOPPED]
    if job.error:
        # Whoever looks next tries again.
        _search.clear(key, point, view)
        raise job.error
    # Most are over soon; the page is then drawn once.
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

    watch(job, cancel="Stop the search", on_cancel=remember)


def _again() -> None:
    st.session_state.pop(_STOPPED, None)


def cards(
    result: Ranked, point: str, present: str | None, decided: Mapping[str, Mapping[str, Any]]
) -> None:
    """The slices by impact, each with its rate, its trend and its state."""
    slices = result.found.slices
    every = len(slices) <= _SHOWN or st.session_state.get("every_slice", False)
    shown = slices if every else slices[:_SHOWN]
    if not every and present and present not in [one.key for one in shown]:
        shown = (*shown, *(one for one in slices if one.key == present))
    reach = max((_interval(one)[1] for one in shown), default=1.0)
    for one in shown:
        state = decided.get(one.key)
        with st.container(border=True, gap="xsmall"):
            _name(one.key, one.words(), one.key == present)
            st.html(_card(one, result, reach, state))
    if len(slices) > _SHOWN:
        st.toggle(f"All {len(slices)} slices", key="every_slice")
    st.caption(result.found.words())


def others(point: str, listed: Sequence[str], present: str | None,
           decided: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> None:  # fmt: skip
    """Slices that somebody looks after, but that do not stand out now."""
    left = [key for key in names if key not in listed]
    if not left:
        return
    st.subheader("Looked after, not standing out now", anchor=False)
    for key in left:
        with st.container(border=True, gap="xsmall"):
            _name(key, names[key], key == present)
            st.html(line(state_chip(decided[key]), 0.9))


def _name(key: str, words: str, present: bool) -> None:
    st.button(
        f"**{plain(words)}**" if present else plain(words),
        key=f"slice-{key}",
        type="tertiary",
        width="content",
        wrap=True,
        icon=":material/arrow_right:" if present else None,
        help="The slice shown." if present else "Show this slice.",
        on_click=choose_slice,
        args=(key,),
    )


def _interval(one: Slice) -> tuple[float, float]:
    """Of the rate: that of the excess, above the rest's rate."""
    return (
        max(0.0, one.rest_rate + one.low / one.turns),
        min(1.0, one.rest_rate + one.high / one.turns),
    )


def _card(one: Slice, result: Ranked, reach: float, state: Mapping[str, Any] | None) -> str:
    low, high = _interval(one)
    colour = colour_of(one.failure_point)
    against = (
        f"{percent(one.rate)} ({percent(low)} to {percent(high)}) against "
        f"{percent(one.rest_rate)} elsewhere"
    )
    values = spark(result.days[one.key])
    week = f"{count(one.impact / result.weeks)} a week" if result.weeks >= 2 else ""
    parts = [
        line(
            f"<b>{count(one.impact)}</b> turns above expectation"
            + (f" {muted('· ' + week)}" if week else "")
        ),
        dot_and_interval(one.rate, low, high, one.rest_rate, reach, colour, against),
        line(against, 0.85),
        '<div style="display:flex;flex-wrap:wrap;gap:.4em 1em;align-items:flex-end;'
        f'justify-content:space-between;margin-top:.4em">'
        f"{sparkline(values, colour, _spark_words(values))}"
        f'<span style="font-size:.85em">{muted(significance(one.q_value))}</span>'
        f'<span style="font-size:.85em">{state_chip(state)}</span></div>',
    ]
    if one.folded:
        parts.append(line(muted("also: " + also(one)), 0.82))
    return "".join(parts)


def also(one: Slice, most: int = _ALSO) -> str:
    """The slices that tell the same story, as HTML."""
    named = [
        text(" · ".join(condition_words(*condition) for condition in conditions), 200)
        for conditions in one.folded[:most]
    ]
    more = len(one.folded) - most
    return "; ".join(named) + (f"; and {count(more)} more" if more > 0 else "")


def _spark_words(values: Sequence[float | None]) -> str:
    found = [value for value in values if value is not None]
    if not found:
        return "No turns."
    return (
        f"Rate over time: first {percent(found[0])}, highest {percent(max(found))}, "
        f"last {percent(found[-1])}."
    )


def state_chip(state: Mapping[str, Any] | None) -> str:
    """What was decided about a slice: its state and who has it, as HTML."""
    said = state_words(state)
    if state and state["owner"]:
        said = f"{said} · {text(state['owner'], 40)}"
    return (
        f'<span style="border:1px solid {LINE};border-radius:99px;padding:.05em .6em">{said}</span>'
    )


def state_words(state: Mapping[str, Any] | None) -> str:
    """`fixed in ASR 4.3`, as HTML."""
    if state is None or state["state"] != "fixed":
        return text(state["state"]) if state else "new"
    return f"fixed in {text(release_words(state['version'] or '?'), 60)}"


def release_words(version: str) -> str:
    """`asr:asr-4.3` as `ASR 4.3`; other text as it is."""
    stage, colon, release = version.partition(":")
    if colon and stage in STAGES:
        return condition_words(f"version_{stage}", release)
    return version
