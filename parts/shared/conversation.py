"""A dialogue as bubbles, marked with each turn's failure point; a click opens a turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

from charts.formatting import (
    count,
    percent,
    plain,
    short,
)
from charts.html import piece
from charts.palette import colour_of
from data.queries.filters import day_of
from data.schema.vocabulary import NAMES
from parts.shared import address
from parts.shared.view import View

_TEMPLATE = "parts/shared/conversation.html"
# A long dialogue opens on the turns around the one in question.
_AROUND = 3
_LONG = 2 * _AROUND + 3


def conversation(
    turns: Sequence[Mapping[str, Any]], turn_id: str, view: View, opens: bool = True
) -> None:
    """Draw a dialogue (`data.queries.turns.dialogue`), the present turn outlined.

    With `opens`, a click on another turn opens it; otherwise the other turns are only shown.
    """
    present = next((i for i, row in enumerate(turns) if row["turn_id"] == turn_id), 0)
    first, last = 0, len(turns)
    if len(turns) > _LONG and not st.toggle(f"All {count(len(turns))} turns", key="whole"):
        first, last = max(0, present - _AROUND), min(len(turns), present + _AROUND + 1)
    # The dialogue may go on for days before and after the turns that are given.
    earlier = turns[first]["place"] - 1 if turns else 0
    if earlier:
        st.caption(f"{count(earlier)} earlier {'turn' if earlier == 1 else 'turns'}")
    with st.container(gap="xsmall"):
        for i in range(first, last):
            following = turns[i + 1] if i + 1 < len(turns) else None
            _turn(turns[i], following, opens, present=turns[i]["turn_id"] == turn_id)
    later = turns[last - 1]["turns"] - turns[last - 1]["place"] if turns else 0
    if later:
        st.caption(f"{count(later)} later {'turn' if later == 1 else 'turns'}")


def _turn(
    row: Mapping[str, Any], following: Mapping[str, Any] | None, opens: bool, present: bool
) -> None:
    if row["prompt"]:
        st.html(piece(_TEMPLATE, "prompt", words=row["prompt"]))
    name = row["failure_point"]
    if present:
        st.html(piece(_TEMPLATE, "present_request", words=row["heard"], failure_point=name))
    elif not opens:
        st.html(piece(_TEMPLATE, "request", words=row["heard"]))
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
    if row["response"] and (following is None or row["response"] != following["prompt"]):
        st.html(piece(_TEMPLATE, "prompt", words=row["response"]))


def open_turn(row: Mapping[str, Any] | None) -> None:
    """Callback: show another turn on the Turn page, or the search if `row` is None.

    Not a page link: a link from a page to itself reruns the page, but leaves the URL as it was.
    """
    others = {k: v for k, v in address.query().items() if k not in ("turn", "day")}
    turn = {"turn": row["turn_id"], "day": row["day"].isoformat()} if row else {}
    address.write({**others, **turn})


def day_in_link() -> date | None:
    """The day of the turn in the URL, if any. Raises UsageError for an invalid one."""
    text = st.query_params.get("day", "")
    return day_of("day", text) if text else None
