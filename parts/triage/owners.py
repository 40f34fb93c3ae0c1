"""“My slices”: what one owner has taken on, whatever the failure point, by a link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analysis.slices.search import parse, words_of
from charts.formatting import moment, plain, several
from charts.html import piece
from data.errors import UsageError
from data.schema.vocabulary import NAMES
from data.store import workspace
from parts.shared import address
from parts.shared.view import View, reader_zone
from parts.triage.slice_picker import (
    POINTS,
    TITLES,
    decision_words,
    name_button,
    ticket_state,
)

# The owner whose slices are listed, in the address.
OWNER = "owner"
_EVERYBODY = "All slices"
_MOST_TURNS = 50
Decisions = Mapping[str, Mapping[str, Any]]


def owned(decided: Decisions, owner: str) -> list[str]:
    """Keys of an owner's slices, in pipeline order, those to be looked at first."""
    mine = [
        key
        for key, decision in decided.items()
        if _same(decision["owner"], owner) and key.partition(":")[0] in POINTS
    ]
    return sorted(
        mine,
        key=lambda key: (
            decided[key]["state"] not in ("new", "looking"),
            POINTS.index(key.partition(":")[0]),
            key,
        ),
    )


def decided_names(decided: Decisions, point: str) -> dict[str, str]:
    """Key -> words of the slices of a failure point that somebody decided about."""
    names = {}
    for key in decided:
        try:
            failing, conditions = parse(key)
        except UsageError:
            # Of another version, which had other dimensions.
            continue
        if failing == point:
            names[key] = words_of(conditions)
    return names


def _same(name: str | None, owner: str) -> bool:
    return (name or "").strip().casefold() == owner.strip().casefold()


def chosen_owner(decided: Decisions, turns: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the choice of an owner, where anybody owns anything; the one of the link, or None."""
    linked = (st.query_params.get(OWNER) or "").strip()
    spelled = Counter(
        row["owner"].strip() for row in (*decided.values(), *turns) if (row["owner"] or "").strip()
    )
    # As most have written it; people do not always write a name alike.
    names = {name.casefold(): name for name, _ in reversed(spelled.most_common())}
    if not names and not linked:
        return None
    present = names.get(linked.casefold(), linked)
    options = sorted({*names.values(), *([present] if present else [])}, key=str.casefold)
    st.session_state["owner_choice"] = present or _EVERYBODY
    st.selectbox(
        "Whose slices",
        [_EVERYBODY, *options],
        key="owner_choice",
        help="The address then shows this owner’s slices to whoever opens it: a link to bookmark.",
        on_change=_choose,
    )
    return present or None


def _choose() -> None:
    owner = st.session_state["owner_choice"]
    if owner == _EVERYBODY:
        address.put(OWNER, None)
        return
    address.put(OWNER, owner)
    # The owner's first slice opens.
    for key in ("slice", "failing", "versus"):
        address.put(key, None)
    for key in ("failing", "slices"):
        st.session_state.pop(key, None)


def my_slices(
    view: View,
    owner: str,
    decided: Decisions,
    turns: Sequence[Mapping[str, Any]],
    present: str | None,
) -> None:
    """Draw the slices and the turns of an owner."""
    st.subheader(f"Slices of {plain(owner)}", anchor=False)
    mine = owned(decided, owner)
    if not mine:
        st.caption(
            f"{plain(owner)} owns no slice; open a slice and enter the name under Ownership and "
            "status."
        )
    prefix = workspace.ticket_prefix(view.snapshot)
    for key in mine:
        try:
            point, conditions = parse(key)
        except UsageError:
            continue
        with st.container(border=True, gap="xsmall"):
            name_button(key, f"{TITLES[point]}: {words_of(conditions)}", key == present, "mine-")
            st.html(
                piece("parts/triage/slices.html", "decided", decision=decision_words(decided[key]))
            )
            ticket_link(decided[key]["link"], prefix, decided[key]["ticket"])
    _turns(view, [turn for turn in turns if _same(turn["owner"], owner)])


def ticket_link(link: str | None, prefix: str, ticket: Mapping[str, Any] | None = None) -> None:
    """A link to a ticket, by its short name and state; nothing if there is no ticket.

    `ticket`: a row of `data.store.workspace.tickets`, where its state is known.
    """
    address = workspace.ticket_address(link, prefix)
    if link and address:
        words = ticket_state(ticket) if ticket and ticket["key"] else workspace.ticket_words(link)
        st.link_button(
            f"Ticket {plain(words)}",
            address,
            type="tertiary",
            icon=":material/open_in_new:",
        )
    elif link:
        st.caption(f"Ticket {plain(link)}")


def _turns(view: View, mine: Sequence[Mapping[str, Any]]) -> None:
    if not mine:
        return
    st.subheader(f"Assigned: {several(len(mine), 'turn')}", anchor=False)
    for turn in mine[:_MOST_TURNS]:
        query = {**view.link(), "turn": turn["turn_id"], "day": turn["day"]}
        when = moment(turn["updated_at"], reader_zone())
        st.page_link(
            "pages/turn.py",
            label=f"{NAMES.get(turn['failure_point'], 'Failure')} · {plain(turn['turn_id'])} · "
            f"assigned {plain(when)}",
            icon=":material/forum:",
            query_params=query,
        )
    if len(mine) > _MOST_TURNS:
        st.caption(f"The last {_MOST_TURNS} assigned are shown.")
