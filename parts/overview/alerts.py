"""Alerts: a button that makes a rule of the view, and the list of rules with what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from alerts import desk
from alerts.rule import KINDS, MOST_DAYS, Rule
from charts.formatting import minute, plain, short
from data.queries.filters import Filter
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from data.store import workspace
from parts.server.access import open_store, signed_in_as
from parts.shared.verdict_form import signed_in
from parts.shared.view import View, go_to_newest, reader_zone
from parts.shared.writing import refused
from report.contents import Headline

_TROUBLE = "alerts_trouble"
_ANY = "any"
# A word and a symbol beside it, so that colour is never the only difference.
_STATES = {
    "firing": "▲ firing",
    "ok": "✓ quiet",
    "no data": "? cannot be told",
    "new": "not evaluated yet",
}


def alert_button(view: View, head: Headline) -> None:
    """Draw a button that makes a rule of the present view."""
    if trouble := st.session_state.pop(_TROUBLE, None):
        st.text(trouble)
    with st.popover("Alert me", icon=":material/notification_add:"):
        chosen = replace(view.chosen, since=None, until=None)
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
        with st.form(f"alert-{kind}", border=False):
            if about.of_turns:
                st.selectbox(
                    "Failure point",
                    [_ANY, *FAILURES],
                    format_func=lambda name: NAMES.get(name, "Any failure"),
                    key=f"alert-point-{kind}",
                )
            _bound(kind, head)
            st.number_input(
                "Days", 1, MOST_DAYS, value=about.days, key=f"alert-days-{kind}",
                help="Up to the last complete day.",
            )  # fmt: skip
            st.text_input(
                "Name", key=f"alert-name-{kind}", max_chars=100, value=_name(kind, chosen)
            )
            st.form_submit_button("Make the alert", on_click=_add, args=(view, kind))


def _name(kind: str, chosen: Filter) -> str:
    """A name to begin with, another one for each view."""
    caption = chosen.caption()
    return (
        KINDS[kind].title
        if caption == "all turns"
        else short(f"{KINDS[kind].title}: {caption}", 100)
    )


def _bound(kind: str, head: Headline) -> None:
    label, value, most, step = {
        # A little above what is estimated now.
        "rate": ("Above, % of turns", round(110 * head.rates["defect"].high, 1) or 1.0, 100.0, 0.5),
        "budget": ("Times as fast as it may", 2.0, 1e6, 0.5),
        "late": ("Hours without a turn", 26.0, 87_600.0, 1.0),
    }.get(kind, ("", 0.0, 0.0, 0.0))
    if label:
        st.number_input(
            label, 0.0, most, value=min(value, most), step=step, format="%.1f",
            key=f"alert-bound-{kind}",
        )  # fmt: skip


def _add(view: View, kind: str) -> None:
    """Callback: keep the rule that the form says."""
    state = st.session_state
    point = state.get(f"alert-point-{kind}", _ANY)
    bound = state.get(f"alert-bound-{kind}")

    def make() -> None:
        rule = Rule.of(
            str(state[f"alert-name-{kind}"]),
            kind,
            view.chosen,
            None if point == _ANY else point,
            bound / 100 if kind == "rate" and bound is not None else bound,
            int(state[f"alert-days-{kind}"]),
        )
        desk.add(open_store(view.path), rule)

    _write(view, make)


def _write(view: View, change: Callable[[], object]) -> None:
    if problem := refused(change, view.path):
        st.session_state[_TROUBLE] = problem
    go_to_newest()


def alert_list(view: View) -> None:
    """Draw the alerts, those that fire first, each with what can be done about it."""
    rows = workspace.alerts(view.snapshot)
    if not rows:
        return
    order = list(_STATES)
    firing = sum(row["state"] == "firing" for row in rows)
    st.subheader("Alerts", anchor=False, help="Rules that `faultline alerts run` evaluates.")
    with st.expander(f"{len(rows)} in all, {firing} firing", expanded=bool(firing)):
        for row in sorted(rows, key=lambda row: order.index(row["state"])):
            _alert(view, row)


def _alert(view: View, row: Mapping[str, Any]) -> None:
    key = row["alert_id"]
    said, buttons = st.columns([3, 2], vertical_alignment="center")
    with said:
        muted = ", muted" if row["muted"] else ""
        st.markdown(f"**{plain(row['name'])}**: {_STATES[row['state']]}{muted}")
        st.caption(plain(_words(row)))
    with buttons, st.container(horizontal=True, horizontal_alignment="right"):
        if row["state"] == "firing" and not row["acknowledged_at"]:
            _acknowledge(view, key)
        st.button(
            "Unmute" if row["muted"] else "Mute", key=f"alert-mute-{key}", type="tertiary",
            on_click=_write,
            args=(view, lambda: desk.mute(open_store(view.path), key, not row["muted"])),
        )  # fmt: skip
        st.button(
            "Remove", key=f"alert-remove-{key}", type="tertiary", on_click=_write,
            args=(view, lambda: desk.remove(open_store(view.path), key)),
        )  # fmt: skip


def _words(row: Mapping[str, Any]) -> str:
    zone = reader_zone()
    words = [row["sentence"] or Rule.of_row(row).words()]
    if row["state"] == "firing":
        words.append(f"Firing since {minute(row['fired_at'], zone)}.")
        if row["acknowledged_at"]:
            by = short(row["acknowledged_by"] or "somebody", 100)
            words.append(f"{by} looks at it since {minute(row['acknowledged_at'], zone)}.")
    return " ".join(words)


def _acknowledge(view: View, key: str) -> None:
    with st.popover("Acknowledge"), st.form(f"alert-acknowledge-{key}", border=False):
        field = f"alert-by-{key}"
        if signed_in_as() is None:
            st.text_input("Your name", key=field, max_chars=100, value=signed_in() or "")
        st.form_submit_button(
            "I look at it", on_click=_write,
            args=(view, lambda: desk.acknowledge(
                open_store(view.path), key, signed_in_as() or str(st.session_state[field])
            )),
        )  # fmt: skip
