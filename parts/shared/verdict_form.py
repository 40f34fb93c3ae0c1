"""Judging one turn: the annotator, six verdicts with their keys, and other people's verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import (
    moment,
    plain,
    short,
)
from charts.palette import COLOURS
from data.errors import FaultlineError
from data.queries.annotations import latest, progress
from data.queries.visibility import Reader
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FAILURE_MEANINGS, NAMES
from data.store.annotations import (
    DEFAULT_SHARE,
    DESK,
    SHARE,
    annotate,
    parse_slots,
    shown_to,
    withdraw,
)
from data.store.store import Store
from data.store.workspace import setting
from parts.shared.view import reader_zone

_WHO = "annotator_name"
_DONE = "annotated"
_MESSAGE = "annotation_message"


@dataclass(frozen=True)
class Desk:
    """Annotations as they are now, whatever version the page is pinned to.

    `annotations` are the latest ones (`data.queries.annotations.latest`), `counts` the progress per
    annotator, `share` the share of turns that get a second opinion, `everybody` a reader who sees
    what everybody may see.
    """

    version: str
    annotations: pa.Table
    counts: pa.Table
    share: float
    everybody: Reader

    def reader(self, name: str | None) -> Reader:
        """An annotator as a reader: they also see their own verdicts."""
        return replace(self.everybody, name=name)

    def of(self, turn_id: str) -> list[dict[str, Any]]:
        """The annotations of one turn."""
        rows = self.annotations.filter(pa.compute.field("turn_id") == turn_id).to_pylist()
        return [dict(row) for row in rows]


def desk(path: str) -> Desk:
    """The newest annotations and the share of second opinions."""
    store = Store.open(path)
    tables = store.head().tables
    version = ".".join(f"{name}{tables.get(name, 0)}" for name in DESK)
    midnight = datetime.combine(datetime.now(reader_zone()).date(), time(), reader_zone())
    return _desk(path, version, midnight, store)


@st.cache_data(max_entries=8, show_spinner=False)
def _desk(path: str, version: str, midnight: datetime, _store: Store) -> Desk:
    with _store.snapshot(only=DESK) as snapshot:
        share = float(setting(snapshot, SHARE, DEFAULT_SHARE))
        now = latest(snapshot)
        everybody = Reader.now(now, share)
        return Desk(version, now, progress(snapshot, midnight), share, everybody)


def annotator() -> str | None:
    """The annotator's name, asked once a session; None until it is entered."""
    name = st.session_state.get(_WHO)
    if name:
        return str(name)
    with st.form("who", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        entered = st.text_input("Your name, shown beside your verdicts", max_chars=60)
        st.form_submit_button("Start", type="primary")
    if entered.strip():
        st.session_state[_WHO] = entered.strip()
        st.rerun()
    return None


def signed_in() -> str | None:
    """The annotator's name, without asking for it; None if nobody has entered one."""
    return st.session_state.get(_WHO)


def leave() -> None:
    """Callback: sign the annotator out."""
    for key in (_WHO, _DONE, _MESSAGE):
        st.session_state.pop(key, None)


def verdicts(
    path: str, turn: Mapping[str, Any], who: str, *, decides: bool = False, keys: bool = True
) -> None:
    """Draw six buttons and fields for what was really said and meant.

    `turn` holds turn_id, dialogue_id and day. With `decides` the verdict is the adjudicator's; with
    `keys` the keys 1 to 6 press the buttons.
    """
    base = f"gold-{turn['turn_id']}"
    turn_key = {name: turn[name] for name in ("turn_id", "dialogue_id", "day")}
    with st.container(gap="xsmall"):
        for key, name in enumerate(FAILURE_POINTS, 1):
            st.button(
                f':color[●]{{foreground="{COLOURS[name]}"}} {NAMES[name]}',
                key=f"say-{name}-{turn['turn_id']}",
                shortcut=str(key) if keys else None,
                help=FAILURE_MEANINGS[name],
                width="stretch",
                on_click=_say,
                args=(path, turn_key, who, name, decides, keys),
            )
    with st.expander("What was really said and meant", key=f"{base}-fields"):
        st.text_input("Words that were said", key=f"{base}-transcript")
        st.text_input("Intent that was meant", key=f"{base}-intent")
        st.text_area(
            "Slots, one per line", key=f"{base}-slots", placeholder="song = yellow", height=80
        )
        st.text_input("Note", key=f"{base}-note")
        st.caption("Optional. They are recorded with the verdict.")


def last_message() -> None:
    """Draw the message that the last verdict left, if any: recorded, taken back, or an error."""
    kind, words = st.session_state.pop(_MESSAGE, (None, ""))
    if kind == "error":
        st.error(plain(words), icon=":material/error:")
    elif kind:
        st.caption(words)


def done() -> list[tuple[str, dict[str, Any]]]:
    """Annotations of this session, by id with their turn, the latest last."""
    annotations: list[tuple[str, dict[str, Any]]] = st.session_state.setdefault(_DONE, [])
    return annotations


def undo(path: str) -> None:
    """Callback: take the last verdict of this session back."""
    if not done():
        return
    annotation, turn = done()[-1]
    try:
        withdraw(Store.open(path), annotation)
    except FaultlineError as error:
        st.session_state[_MESSAGE] = ("error", str(error))
        return
    done().pop()
    st.session_state["queue_turn"] = turn["turn_id"]
    st.session_state[_MESSAGE] = ("done", "Taken back.")


def _say(path: str, turn: dict[str, Any], who: str, name: str, decides: bool, once: bool) -> None:
    if once and done() and done()[-1][1]["turn_id"] == turn["turn_id"]:
        # A second key press, before the next turn was drawn.
        return
    base = f"gold-{turn['turn_id']}"

    def typed(field: str) -> str:
        return str(st.session_state.get(f"{base}-{field}") or "").strip()

    try:
        annotation_id = annotate(
            Store.open(path),
            turn,
            who,
            name,
            transcript=typed("transcript"),
            intent=typed("intent"),
            slots=parse_slots(typed("slots")),
            note=typed("note"),
            adjudicated=decides,
        )
    except FaultlineError as error:
        st.session_state[_MESSAGE] = ("error", str(error))
        return
    done().append((annotation_id, turn))
    st.session_state[_MESSAGE] = ("done", f"Recorded: {NAMES[name]}.")


def others(rows: list[dict[str, Any]], who: str | None, share: float) -> None:
    """Draw the annotations of one turn that `who` may see, and say so if some are hidden."""
    visible = shown_to(rows, who, share)
    zone = reader_zone()
    for row in visible:
        colour = COLOURS[row["failure_point"]]
        decided = ", decided" if row["adjudicated"] else ""
        detail = [
            f"said “{plain(short(row['transcript'], 120))}”" if row["transcript"] else "",
            f"meant {plain(short(row['intent'], 60))}" if row["intent"] else "",
            plain(short(row["note"], 200)),
        ]
        st.markdown(
            f':color[●]{{foreground="{colour}"}} **{NAMES[row["failure_point"]]}** '
            f":small[:gray[{plain(row['annotator'])}{decided}, "
            f"{plain(moment(row['created_at'], zone))}]]"
            + "".join(f"  \n:small[{part}]" for part in detail if part)
        )
    if len(visible) < len(rows):
        st.caption("Another verdict is shown when a second person has judged this turn.")
