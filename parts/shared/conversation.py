"""The dialogue as it went: bubbles, marked with each turn's failure point; a click opens one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

from charts.formatting import (
    percent,
    plain,
    short,
)
from charts.palette import colour_of
from data.schema.vocabulary import NAMES
from parts.shared.html import (
    bubble,
    chip,
    muted,
    text,
)
from parts.shared.view import View

# A long dialogue opens on the turns around the one in question.
_AROUND = 3
_LONG = 2 * _AROUND + 3


def conversation(
    turns: Sequence[Mapping[str, Any]], turn_id: str, view: View, opens: bool = True
) -> None:
    """Draw a dialogue (`data.queries.turns.dialogue`), the present turn outlined.

    A click on another turn opens it; where it shall not (`opens`), it is only shown.
    """
    place = next((i for i, row in enumerate(turns) if row["turn_id"] == turn_id), 0)
    first, last = 0, len(turns)
    if len(turns) > _LONG and not st.toggle(f"All {len(turns)} turns", key="whole"):
        first, last = max(0, place - _AROUND), min(len(turns), place + _AROUND + 1)
    if first:
        st.caption(f"{first} earlier {'turn' if first == 1 else 'turns'}")
    with st.container(gap="xsmall"):
        for i in range(first, last):
            after = turns[i + 1] if i + 1 < len(turns) else None
            _turn(turns[i], after, opens, here=turns[i]["turn_id"] == turn_id)
    if last < len(turns):
        left = len(turns) - last
        st.caption(f"{left} later {'turn' if left == 1 else 'turns'}")


def _turn(row: Mapping[str, Any], after: Mapping[str, Any] | None, opens: bool, here: bool) -> None:
    if row["prompt"]:
        st.html(bubble(text(row["prompt"], 1000), mine=False))
    name = row["failure_point"]
    if here:
        heard = text(row["heard"], 1000) if row["heard"] else muted("nothing heard")
        verdict = f"<div style='margin-top:.3em'>{chip(name)}</div>" if name else ""
        st.html(bubble(heard + verdict, mine=True, colour=colour_of(name)))
    elif not opens:
        st.html(bubble(text(row["heard"], 1000) if row["heard"] else muted("nothing heard"), True))
    else:
        heard = plain(short(row["heard"], 200)) or "*nothing heard*"
        dot = f':color[●]{{foreground="{colour_of(name)}"}} ' if name else ""
        with st.container(horizontal_alignment="right"):
            st.button(
                f"{dot}{heard}",
                key=f"turn-{row['turn_id']}",
                width="content",
                wrap=True,
                help=f"{NAMES[name]}; defect {percent(row['p_defect'])}" if name else None,
                on_click=open_turn,
                args=(row,),
            )
    # Usually the answer is the next turn's prompt, and is shown there.
    if row["response"] and (after is None or row["response"] != after["prompt"]):
        st.html(bubble(text(row["response"], 1000), mine=False))


def open_turn(row: Mapping[str, Any] | None) -> None:
    """Callback: show another turn on the Turn page, or with None the search.

    Not a page link: one that leads to its own page changes the page, but not the URL.
    """
    for key in ("turn", "day"):
        st.query_params.pop(key, None)
    if row:
        st.query_params["turn"] = row["turn_id"]
        st.query_params["day"] = row["day"].isoformat()


def day_in_link() -> date | None:
    """The day that the URL says the turn lies in, where it says one."""
    try:
        return date.fromisoformat(st.query_params.get("day", ""))
    except ValueError:
        return None
