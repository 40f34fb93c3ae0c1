"""Judging one turn: who does it, six verdicts with their keys, what others may see of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
_TOLD = "annotation_told"


@dataclass(frozen=True)
class Desk:
    """Annotations as they are now, whatever version the page is pinned to.

    `said` are the latest ones (`data.queries.annotations.latest`), `counts` the progress per
    annotator.
    """

    version: str
    said: pa.Table
    counts: pa.Table
    share: float

    def of(self, turn_id: str) -> list[dict[str, Any]]:
        """The annotations of one turn."""
        rows = self.said.filter(pa.compute.field("turn_id") == turn_id).to_pylist()
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
        return Desk(version, latest(snapshot), progress(snapshot, midnight), share)


def annotator() -> str | None:
    """The name of the person at work, asked once a session; None until it is given."""
    name = st.session_state.get(_WHO)
    if name:
        return str(name)
    with st.form("who", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        given = st.text_input("Your name, as it stands beside your verdicts", max_chars=60)
        st.form_submit_button("Start", type="primary")
    if given.strip():
        st.session_state[_WHO] = given.strip()
        st.rerun()
    return None


def signed_in() -> str | None:
    """The name that was given, without asking for one."""
    return st.session_state.get(_WHO)


def leave() -> None:
    """Callback: somebody else sits down."""
    for key in (_WHO, _DONE, _TOLD):
        st.session_state.pop(key, None)


def verdicts(
    path: str, turn: Mapping[str, Any], who: str, *, decides: bool = False, keys: bool = True
) -> None:
    """Six buttons, with the `keys` 1 to 6, and fields for what was really said and meant.

    `turn` holds turn_id, dialogue_id and day. With `decides` the verdict is the adjudicator's.
    """
    base = f"gold-{turn['turn_id']}"
    place = {name: turn[name] for name in ("turn_id", "dialogue_id", "day")}
    with st.container(gap="xsmall"):
        for key, name in enumerate(FAILURE_POINTS, 1):
            st.button(
                f':color[●]{{foreground="{COLOURS[name]}"}} {NAMES[name]}',
                key=f"say-{name}-{turn['turn_id']}",
                shortcut=str(key) if keys else None,
                help=FAILURE_MEANINGS[name],
                width="stretch",
                on_click=_say,
                args=(path, place, who, name, decides, keys),
            )
    with st.expander("What was really said and meant", key=f"{base}-fields"):
        st.text_input("Words that were said", key=f"{base}-transcript")
        st.text_input("Intent that was meant", key=f"{base}-intent")
        st.text_area(
            "Slots, one a line", key=f"{base}-slots", placeholder="song = yellow", height=80
        )
        st.text_input("Note", key=f"{base}-note")
        st.caption("May be left out. They are recorded with the verdict.")


def told() -> None:
    """What came of the last verdict, where there is something to say."""
    kind, words = st.session_state.pop(_TOLD, (None, ""))
    if kind == "error":
        st.error(words, icon=":material/error:")
    elif kind:
        st.caption(words)


def done() -> list[tuple[str, dict[str, Any]]]:
    """Annotations of this session, by id with their turn, the latest last."""
    found: list[tuple[str, dict[str, Any]]] = st.session_state.setdefault(_DONE, [])
    return found


def undo(path: str) -> None:
    """Callback: take the last verdict of this session back."""
    if not done():
        return
    annotation, turn = done()[-1]
    try:
        withdraw(Store.open(path), annotation)
    except FaultlineError as error:
        st.session_state[_TOLD] = ("error", str(error))
        return
    done().pop()
    st.session_state["queue_turn"] = turn["turn_id"]
    st.session_state[_TOLD] = ("done", "Taken back.")


def _say(path: str, turn: dict[str, Any], who: str, name: str, decides: bool, once: bool) -> None:
    if once and done() and done()[-1][1]["turn_id"] == turn["turn_id"]:
        # A second key, pressed before the next turn was there.
        return
    base = f"gold-{turn['turn_id']}"

    def typed(field: str) -> str:
        return str(st.session_state.get(f"{base}-{field}") or "").strip()

    try:
        made = annotate(
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
        st.session_state[_TOLD] = ("error", str(error))
        return
    done().append((made, turn))
    st.session_state[_TOLD] = ("done", f"Recorded: {NAMES[name]}.")


def others(rows: list[dict[str, Any]], who: str | None, share: float) -> None:
    """The annotations of one turn that may be seen, and whether some may not."""
    shown = shown_to(rows, who, share)
    zone = reader_zone()
    for row in shown:
        colour = COLOURS[row["failure_point"]]
        said = ", decided" if row["adjudicated"] else ""
        detail = [
            f"said “{plain(short(row['transcript'], 120))}”" if row["transcript"] else "",
            f"meant {plain(short(row['intent'], 60))}" if row["intent"] else "",
            plain(short(row["note"], 200)),
        ]
        st.markdown(
            f':color[●]{{foreground="{colour}"}} **{NAMES[row["failure_point"]]}** '
            f":small[:gray[{plain(row['annotator'])}{said}, "
            f"{plain(moment(row['created_at'], zone))}]]"
            + "".join(f"  \n:small[{part}]" for part in detail if part)
        )
    if len(shown) < len(rows):
        st.caption("Another verdict is shown when a second person has judged this turn.")
