"""One dialogue with its goals as brackets beside the turns, and the list that it is of."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import count, percent, plain, short
from charts.html import piece
from charts.palette import COLOURS, NEUTRAL
from charts.sentences import day_words
from data.queries import generated_labels, goals
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.choice import one_of
from parts.shared.labels import Row, slots_words, verdict_of
from parts.shared.turn_links import page_of
from parts.shared.view import CacheKey, View

TEMPLATE = "parts/labels/labels.html"
ROWS = 12
_KINDS = {goals.ANY: "All", goals.MISSED: "Not reached", goals.UNSURE: "Unsure"}


def dialogue_panel(view: View) -> None:
    """Draw a dialogue with its goals, and beside it the dialogues within the filters."""
    kind, find = _choices()
    page_slot, list_slot = st.columns([1.9, 1], gap="medium")
    with list_slot:
        st.subheader("Dialogues", anchor=False, help="Those with a goal in these filters.")
        slot = st.container()
        first = _listed(_key(view), kind, find, 1, view)
        total = int(first["total"][0].as_py()) if first.num_rows else 0
        page = page_of(-(-total // ROWS))
        rows = (first if page == 1 else _listed(_key(view), kind, find, page, view)).to_pylist()
        chosen = st.query_params.get("dialogue") or (rows[0]["dialogue_id"] if rows else None)
        with slot:
            if rows:
                st.html(piece(TEMPLATE, "dialogues", rows=[_row(view, r, chosen) for r in rows]))
            else:
                st.text("No dialogue fits; take a filter away, or look for other words.")
    with page_slot:
        if chosen:
            _dialogue(view, chosen, kind, find)


def _choices() -> tuple[str, str]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kind = one_of(
            "Goals",
            tuple(_KINDS),
            "goals",
            words=_KINDS.__getitem__,
            hidden=True,
            default=goals.ANY,
        )
        st.session_state["find-dialogue"] = st.query_params.get("find", "")
        st.text_input(
            "Find a dialogue",
            key="find-dialogue",
            placeholder="a dialogue, a turn, or some words",
            label_visibility="collapsed",
            width=300,
            on_change=_find,
        )
    return kind, st.query_params.get("find", "").strip()


def _find() -> None:
    address.put("find", st.session_state["find-dialogue"].strip(), "dialogue", "page")


def _key(view: View) -> CacheKey:
    return view.cache_key("goals", "turns", "predictions", "misdated", "labelled", "annotations")


@cached_data(max_entries=128, show_spinner=False)
def _listed(key: CacheKey, kind: str, find: str, page: int, _view: View) -> pa.Table:
    return goals.dialogues(
        _view.snapshot, _view.model, _view.chosen, kind, find, ROWS, (page - 1) * ROWS
    )


@cached_data(max_entries=256, show_spinner=False)
def _around(
    key: CacheKey, kind: str, find: str, dialogue_id: str, _view: View
) -> dict[str, Any] | None:
    return goals.around(_view.snapshot, _view.model, _view.chosen, dialogue_id, kind, find)


@cached_data(max_entries=256, show_spinner=False)
def _turns(key: CacheKey, dialogue_id: str, _view: View) -> list[dict[str, Any]]:
    return generated_labels.dialogue(_view.snapshot, dialogue_id)


def _row(view: View, row: Row, chosen: str | None) -> dict[str, Any]:
    own = {k: v[0] for k, v in address.query().items() if k in address.PARAMETERS["labels"]}
    return {
        "href": view.href("labels", **{**own, "dialogue": row["dialogue_id"]}),
        "present": row["dialogue_id"] == chosen,
        "heard": row["heard"],
        "goals": _goals_words(row),
        "day": day_words(row["day"], True),
    }


def _goals_words(row: Row) -> str:
    if row["missed"]:
        return f"{count(row['missed'])} of {count(row['goals'])} not reached"
    return f"{count(row['goals'])}{' reached' if row['reached'] == row['goals'] else ''}"


def _dialogue(view: View, dialogue_id: str, kind: str, find: str) -> None:
    where = _around(_key(view), kind, find, dialogue_id, view)
    turns = _turns(
        view.unfiltered.cache_key("turns", "generated_labels", "goals"), dialogue_id, view
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(
            "Goals of a dialogue",
            anchor=False,
            width="content",
            help="A bracket is a goal: the turns that serve it, and whether the label model thinks "
            "that it was reached. Behind each, the probability.",
        )
        _step("Previous", ":material/chevron_left:", where["before"] if where else None)
        _step("Next", ":material/chevron_right:", where["after"] if where else None)
    if not turns:
        st.text(
            f"There is no dialogue “{short(dialogue_id)}” in version {view.snapshot.version} of "
            "this store; choose one of the list."
        )
        return
    place = f"{count(where['place'])} of {count(where['total'])}" if where else "not in this list"
    st.caption(f"{plain(short(dialogue_id, 60))} · {place} · {day_words(turns[0]['day'], True)}")
    found = [
        _goal(view, number, list(same))
        for number, (_, same) in enumerate(groupby(turns, key=lambda turn: turn["goal_id"]), 1)
    ]
    st.html(piece(TEMPLATE, "goals", goals=found))


def _step(label: str, icon: str, dialogue_id: str | None) -> None:
    st.button(
        label,
        icon=icon,
        type="tertiary",
        disabled=dialogue_id is None,
        on_click=address.put,
        args=("dialogue", dialogue_id),
        key=f"dialogue-{label}",
    )


def _goal(view: View, number: int, turns: list[dict[str, Any]]) -> dict[str, Any]:
    first = turns[0]
    if first["goal_id"] is None:
        verdict = {"mark": "·", "words": "not labelled", "p": "", "colour": NEUTRAL}
        return {"title": "", "verdict": verdict, "turns": [_turn(view, turn) for turn in turns]}
    return {
        "title": f"Goal {number}",
        "verdict": verdict_of(first["goal_reached"], first["reached"]),
        "turns": [_turn(view, turn) for turn in turns],
    }


def _turn(view: View, turn: Row) -> dict[str, Any]:
    defect = turn["turn_defect"]
    meant = ""
    if turn["intent"]:
        slots = slots_words(turn["slots"])
        sure = percent(turn["p_intent"], 0) if turn["p_intent"] is not None else ""
        meant = " ".join(filter(None, [turn["intent"], f"({slots})" if slots else "", sure]))
    return {
        "href": view.href("turn", turn=turn["turn_id"], day=turn["day"].isoformat()),
        "heard": turn["heard"],
        "response": turn["response"],
        "meant": meant,
        "defect": f"defect {percent(defect, 0)}" if defect is not None and defect >= 0.5 else "",
        "colour": COLOURS["result"],
    }
