"""A button that makes an alert of a view, on every page that shows one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from alerts import desk
from alerts.rule import KINDS, MOST_DAYS, Rule
from charts.formatting import plain, short
from data.queries.filters import Filter
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.server.access import may, open_store
from parts.shared.view import View, go_to_newest
from parts.shared.writing import refused

_TOLD = "alerts_told"
# What the fields were about that are filled in, and how their keys begin.
_ABOUT, _ENTERED = "alerts_about", ("alert-name-", "alert-bound-", "alert-point-")
_ANY = "any"


def alert_button(
    view: View,
    rate: float | None,
    chosen: Filter | None = None,
    failure_point: str | None = None,
) -> None:
    """Draw a button that makes a rule of the present view, for those who may.

    Parameters
    ----------
    rate: a share of turns that fail now, at most; the bound begins a little above.
    chosen: the turns, by default those of the view. failure_point: what is chosen to begin with.
    """
    if not may("alert"):
        return
    chosen = replace(view.chosen if chosen is None else chosen, since=None, until=None)
    _begin_anew(f"{chosen.query()} {failure_point}")
    if told := st.session_state.pop(_TOLD, None):
        st.text(told)
    with st.popover("Alert me", icon=":material/notification_add:"):
        st.caption(
            f"Of {plain(chosen.caption())}, in the newest complete days. Everybody who can open "
            "this store sees the alert; who is told is set up once for all."
        )
        kind = st.selectbox(
            "Alert on",
            list(KINDS),
            format_func=lambda name: KINDS[name].title,
            key="alert-kind",
        )
        about = KINDS[kind]
        points = [_ANY, *FAILURES]
        with st.form(f"alert-{kind}", border=False):
            if about.of_turns:
                st.selectbox(
                    "Failure point",
                    points,
                    index=points.index(failure_point or _ANY),
                    format_func=lambda name: NAMES.get(name, "Any failure"),
                    key=f"alert-point-{kind}",
                )
            _bound(kind, rate)
            st.number_input(
                "Days", 1, MOST_DAYS, value=about.days, key=f"alert-days-{kind}",
                help="Up to the last complete day.",
            )  # fmt: skip
            st.text_input(
                "Name", key=f"alert-name-{kind}", max_chars=100, value=_name(kind, chosen)
            )
            st.form_submit_button("Make the alert", on_click=_add, args=(view, chosen, kind))


def _name(kind: str, chosen: Filter) -> str:
    """A name to begin with, another one for each view."""
    caption = chosen.caption()
    return (
        KINDS[kind].title
        if caption == "all turns"
        else short(f"{KINDS[kind].title}: {caption}", 100)
    )


def _begin_anew(about: str) -> None:
    """Forget what was entered for another view: widgets keep their values by their keys."""
    state = st.session_state
    if state.get(_ABOUT, about) != about:
        for key in [key for key in state if str(key).startswith(_ENTERED)]:
            del state[key]
    state[_ABOUT] = about


def _bound(kind: str, rate: float | None) -> None:
    label, value, most, step = {
        "rate": ("Above, % of turns", round(110 * (rate or 0.09), 1) or 1.0, 100.0, 0.5),
        "budget": ("Times as fast as it may", 2.0, 1e6, 0.5),
        "late": ("Hours without a turn", 26.0, 87_600.0, 1.0),
    }.get(kind, ("", 0.0, 0.0, 0.0))
    if label:
        st.number_input(
            label, 0.0, most, value=min(value, most), step=step, format="%.1f",
            key=f"alert-bound-{kind}",
        )  # fmt: skip


def _add(view: View, chosen: Filter, kind: str) -> None:
    """Callback: keep the rule that the form says."""
    state = st.session_state
    point = state.get(f"alert-point-{kind}", _ANY)
    bound = state.get(f"alert-bound-{kind}")

    def make() -> None:
        rule = Rule.of(
            str(state[f"alert-name-{kind}"]),
            kind,
            chosen,
            None if point == _ANY else point,
            bound / 100 if kind == "rate" and bound is not None else bound,
            int(state[f"alert-days-{kind}"]),
        )
        desk.add(open_store(view.path), rule)

    if _written(view, make):
        st.session_state[_TOLD] = "The alert is made. All alerts stand on the page Overview."


def write(view: View, change: Callable[[], object]) -> None:
    """Callback: change alerts, and show what came of it; a refusal is shown by the button."""
    _written(view, change)


def _written(view: View, change: Callable[[], object]) -> bool:
    problem = refused(change, view.path)
    if problem:
        st.session_state[_TOLD] = problem
    go_to_newest()
    return not problem
