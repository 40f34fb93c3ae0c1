"""Several turns of a slice at once: label them, or assign them to somebody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import plain, several, short
from data.queries.slice_evidence import Inside
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES
from data.store import workspace
from data.store.annotations import annotate_all, withdraw
from parts.server.access import open_store
from parts.shared.turn_links import local_times
from parts.shared.verdict_form import PAUSE_S, name_field, remember_name
from parts.shared.view import View, go_to_newest
from parts.shared.writing import refused

_OUTCOME = "bulk_outcome"
_UNDO = "bulk_undo"
# Counts the actions: each leaves a table without ticks.
_ROUND = "bulk_round"
# What was recorded last and when: a second click does not record it again.
_LAST = "bulk_last"
Turn = Mapping[str, Any]


def label_or_assign(view: View, inside: Inside, rows: pa.Table, key: str) -> None:
    """A table in which turns are ticked, and what can be done with those that are.

    `rows` as of `data.queries.slices.examples`.
    """
    turns = rows.to_pylist()
    if not turns:
        st.caption("No turn of this slice has this prediction.")
        return
    # Streamlit keeps ticks by the place of their row, so other rows need another table.
    place = (key, *view.turns_key, st.session_state.get(_ROUND, 0))
    when, starts = local_times([row["started_at"] for row in turns])
    picked = st.dataframe(
        {
            "Failure point": [NAMES[row["failure_point"]] for row in turns],
            "Probability": [100 * row["p"] for row in turns],
            "Heard": [short(row["heard"], 160) or "–" for row in turns],
            when: starts,
        },
        hide_index=True,
        key=f"bulk-turns-{place}",
        on_select="rerun",
        selection_mode="multi-row",
        height=300,
        column_config={
            "Probability": st.column_config.NumberColumn(format="%.1f %%", width=90),
            "Heard": st.column_config.TextColumn(width=340),
        },
    )
    chosen = [turns[i] for i in picked["selection"]["rows"] if i < len(turns)]
    st.caption(
        f"{several(len(chosen), 'turn')} chosen of {len(turns)}; the box at the top chooses all."
    )
    left, right = st.columns(2, gap="medium")
    with left:
        who = name_field("bulk-who")
        point = st.selectbox(
            "Label",
            FAILURE_POINTS,
            FAILURE_POINTS.index(inside.failure_point)
            if inside.failure_point in FAILURE_POINTS
            else 0,
            format_func=NAMES.__getitem__,
            key="bulk-label",
        )
        st.button(
            f"Label {several(len(chosen), 'turn')}",
            icon=":material/label:",
            disabled=not chosen or not who,
            help="Record this failure point for each of them, as your verdict.",
            on_click=_label,
            args=(view.path, chosen, who or "", point),
            key="bulk-label-button",
        )
    with right:
        owner = st.text_input(
            "Assign to", placeholder="nobody", max_chars=60, key="bulk-owner",
            help="The link “my slices” of an owner lists their turns too.",
        )  # fmt: skip
        st.button(
            f"Assign {several(len(chosen), 'turn')}",
            icon=":material/assignment_ind:",
            disabled=not chosen,
            help="Without a name, they are nobody’s again.",
            on_click=_assign,
            args=(view.path, chosen, inside.failure_point, owner),
            key="bulk-assign-button",
        )
    _outcome(view.path)
    remember_name()


def _outcome(path: str) -> None:
    """What the last action did; it stays until the next one, and labels can be taken back."""
    kind, words = st.session_state.get(_OUTCOME, ("", ""))
    with st.container(horizontal=True, vertical_alignment="center", height=70, border=False):
        if kind == "error":
            st.caption(f":material/error: {plain(words)}", width="content")
        elif kind:
            st.caption(plain(words), width="content")
        st.button(
            "Undo",
            icon=":material/undo:",
            type="tertiary",
            disabled=not st.session_state.get(_UNDO),
            help="Take the labels that were recorded last back.",
            on_click=_take_back,
            args=(path,),
            key="bulk-undo",
        )


def _label(path: str, turns: Sequence[Turn], who: str, point: str) -> None:
    same = ([turn["turn_id"] for turn in turns], who, point)
    before, when = st.session_state.get(_LAST, (None, 0.0))
    if before == same and monotonic() - when < PAUSE_S:
        return

    def record() -> str:
        ids = annotate_all(open_store(path), turns, who, point)
        st.session_state[_UNDO] = ids
        st.session_state[_LAST] = (same, monotonic())
        return f"Labelled {several(len(ids), 'turn')}: {NAMES[point]}."

    _do(path, record)


def _assign(path: str, turns: Sequence[Turn], point: str, owner: str) -> None:
    def record() -> str:
        number = workspace.assign_turns(open_store(path), turns, point, owner)
        # The page shows who has what as of its version.
        go_to_newest()
        whom = f"Assigned {several(number, 'turn')} to {owner.strip()}."
        return whom if owner.strip() else f"{several(number, 'turn')} assigned to nobody."

    _do(path, record)


def _take_back(path: str) -> None:
    def record() -> str:
        ids = st.session_state.get(_UNDO, [])
        withdraw(open_store(path), *ids)
        for key in (_UNDO, _LAST):
            st.session_state.pop(key, None)
        return f"Taken back: {several(len(ids), 'label')}."

    _do(path, record)


def _do(path: str, record: Callable[[], str]) -> None:
    def noted() -> None:
        st.session_state[_OUTCOME] = ("done", record())
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1

    if problem := refused(noted, path):
        st.session_state[_OUTCOME] = ("error", problem)
