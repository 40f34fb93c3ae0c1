"""The generated labels of a turn, and the goal that it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from charts.formatting import short
from charts.html import piece
from data.queries import generated_labels, goals
from parts.server.caching import cached_data
from parts.shared.labels import TEMPLATE, any_labels, label_parts, verdict_of
from parts.shared.verdict_form import Desk
from parts.shared.view import CacheKey, View

Row = Mapping[str, Any]


def waits(turn_id: str, annotations: Sequence[Row], now: Desk) -> bool:
    """Whether somebody has judged the turn, and a second opinion is still to come."""
    return bool(annotations) and turn_id in now.everybody.waiting([turn_id])


def generated_label(view: View, row: Row, dialogue: Sequence[Row], hidden: bool) -> None:
    """Draw the generated labels of a turn; nothing if it has none.

    `dialogue` are the turns around it, see `data.queries.turns.dialogue`. `hidden`: whoever gives
    the second opinion must not see what a label model thinks.
    """
    if not any_labels(view):
        return
    key = view.unfiltered.cache_key("generated_labels", "goals")
    found = _found(key, row["turn_id"], row, view)
    if found is None:
        return
    st.subheader(
        "Generated label",
        anchor=False,
        help="What the label model made of this turn, with the whole dialogue before it: each part "
        "with its probability.",
    )
    if hidden:
        st.caption("It is shown when a second person has judged this turn.")
        return
    label, goal = found
    st.html(
        piece(
            TEMPLATE,
            "generated",
            # The goal's verdict stands above its table.
            parts=label_parts({**label, "goal_reached": None} if goal else label),
            goal=_goal(view, goal, label, dialogue) if goal else None,
            signals=", ".join(label["signals"] or ()),
            model=label["model_id"],
        )
    )


@cached_data(max_entries=256, show_spinner=False)
def _found(
    key: CacheKey, turn_id: str, _row: Row, _view: View
) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    label = generated_labels.of_turn(_view.snapshot, _row)
    if label is None:
        return None
    of_dialogue = goals.of_dialogue(_view.snapshot, _row["dialogue_id"])
    goal = next((goal for goal in of_dialogue if goal["goal_id"] == label["goal_id"]), None)
    return label, {**goal, "of": len(of_dialogue)} if goal else None


def _goal(view: View, goal: Row, label: Row, dialogue: Sequence[Row]) -> dict[str, Any]:
    places = {other["turn_id"]: other for other in dialogue}
    first, last = places.get(goal["first_turn"]), places.get(goal["last_turn"])
    if first is None or last is None:
        where = f"{goal['turns']} turns"
    elif goal["turns"] == 1:
        where = f"turn {first['place']}"
    else:
        where = f"turns {first['place']} to {last['place']}"
    number = int(goal["goal_id"][1:]) + 1 if goal["goal_id"][1:].isdigit() else goal["goal_id"]
    return {
        "title": f"Goal {number} of {goal['of']}",
        "where": where,
        "began": short(first["heard"], 90) if first and goal["turns"] > 1 else "",
        "verdict": verdict_of(goal["p_reached"], goal["reached"]),
        "href": view.href("labels", dialogue=label["dialogue_id"]),
    }
