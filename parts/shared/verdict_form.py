"""Labelling one turn: the annotator, six verdicts with their keys, and other people's verdicts.

Nothing that is clicked moves: what a click adds to the page is drawn below the buttons, in room
that is kept for it. A browser keeps the annotator's name in a cookie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from time import monotonic
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import streamlit as st

from charts.formatting import (
    moment,
    plain,
    short,
)
from charts.html import piece
from charts.palette import COLOURS
from data.queries.annotations import latest, progress
from data.queries.visibility import Reader, share_of
from data.schema.tables import EVEN
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FAILURE_MEANINGS, NAMES
from data.store.annotations import (
    DESK,
    annotate,
    parse_slots,
    shown_to,
    withdraw,
)
from data.store.judges import is_judge, reserved
from data.store.store import Store
from parts.server.access import open_store, signed_in_as
from parts.server.caching import cached_data
from parts.shared.view import reader_zone
from parts.shared.writing import refused

_WHO = "annotator_name"
_DONE = "annotated"
_MESSAGE = "annotation_message"
# The turn and the verdict recorded last, and when; and a verdict that waits for an answer.
_LAST = "last_verdict"
_ASKED = "asked_verdict"
# A second verdict on a turn this soon after the first may be a click that was not meant.
PAUSE_S = 2.0
_COOKIE = "faultline_annotator"
_NAME_LENGTH = 60
_YEAR_S = 365 * 24 * 3600
_NAME_LABEL = "Your name, shown beside your verdicts"


_YES_NO = {True: "Yes", False: "No"}
_GOAL_FIELDS = (
    (
        "goal_start",
        "Does a goal begin here?",
        "A goal is what the user is after, over one or several turns. A repeated or corrected "
        "request serves the same goal.",
    ),
    (
        "goal_reached",
        "Was the goal reached in the end?",
        "The goal that this turn serves, by the end of the dialogue.",
    ),
)


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
    store = open_store(path)
    tables = store.head().tables
    names = store.access.with_sources(DESK)
    version = ".".join(f"{name}{tables.get(name, 0)}" for name in names)
    midnight = datetime.combine(datetime.now(reader_zone()).date(), time(), reader_zone())
    return _desk(path, version, midnight, store)


@cached_data(max_entries=8, show_spinner=False)
def _desk(path: str, version: str, midnight: datetime, _store: Store) -> Desk:
    with _store.snapshot(only=DESK) as snapshot:
        share = share_of(snapshot)
        now = latest(snapshot)
        everybody = Reader.now(now, share)
        return Desk(version, now, progress(snapshot, midnight), share, everybody)


def annotator() -> str | None:
    """The annotator's name, asked once; None until it is entered."""
    name = signed_in()
    if name:
        remember_name()
        return name
    if signed_in_as() is not None:
        return None
    with st.form("who", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        entered = st.text_input(_NAME_LABEL, max_chars=_NAME_LENGTH)
        st.form_submit_button("Start", type="primary")
    remember_name()
    if is_judge(entered):
        st.error(plain(reserved(entered)), icon=":material/error:")
    elif entered.strip():
        st.session_state[_WHO] = entered.strip()
        st.rerun()
    return None


def name_field(key: str) -> str | None:
    """A field with the annotator's name, which stays where it is once there is one."""
    st.session_state[key] = signed_in() or ""
    if signed_in_as() is not None:
        st.text_input("Your name, from your sign-in", key=key, disabled=True)
        return signed_in()
    st.text_input(_NAME_LABEL, max_chars=_NAME_LENGTH, key=key, on_change=_sign_in, args=(key,))
    return signed_in()


def _sign_in(key: str) -> None:
    entered = str(st.session_state[key]).strip()
    if is_judge(entered):
        st.session_state[_MESSAGE] = ("error", reserved(entered))
        entered = ""
    st.session_state[_WHO] = entered


def signed_in() -> str | None:
    """The annotator's name: the address they signed in with, where there is sign-in.

    Else that of this session, or the one kept by the browser; None if there is none.
    """
    if (address := signed_in_as()) is not None:
        return address
    if _WHO not in st.session_state:
        st.session_state[_WHO] = _kept_name()
    return st.session_state[_WHO] or None


def _kept_name() -> str:
    """The name in the browser's cookie, which may hold anything; empty if it has none."""
    kept = st.context.cookies.get(_COOKIE)
    if not isinstance(kept, str):
        return ""
    name = unquote(kept, errors="ignore").strip()
    usable = len(name) <= _NAME_LENGTH and name.isprintable() and not is_judge(name)
    return name if usable else ""


def remember_name() -> None:
    """Have the browser keep the annotator's name, or forget it; takes no room on the page."""
    if signed_in_as() is not None:
        return
    name = signed_in() or ""
    value = None
    if name != st.session_state.get("kept_name", _kept_name()):
        value = quote(name, safe="")
        st.session_state["kept_name"] = name
    age = _YEAR_S if name else 0
    with st.container(key="kept-name", height=1, border=False):
        st.html(piece("parts/shared/kept_name.html", "keep", cookie=_COOKIE, value=value, age=age))


def leave() -> None:
    """Callback: sign the annotator out."""
    for key in (_DONE, _MESSAGE, _LAST, _ASKED):
        st.session_state.pop(key, None)
    # Not removed: the name would come back from the cookie.
    st.session_state[_WHO] = ""


def verdicts(
    path: str,
    turn: Mapping[str, Any],
    who: str | None,
    *,
    decides: bool = False,
    keys: bool = True,
) -> None:
    """Draw six buttons, which need a name, and fields for what was really said and meant.

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
                disabled=not who,
                on_click=_say,
                args=(path, turn_key, who or "", name, decides, keys),
            )
    if not keys:
        _status(path, turn_key)
    with st.expander("What was really said and meant", key=f"{base}-fields"):
        st.text_input("Words that were said", key=f"{base}-transcript")
        st.text_input("Intent that was meant", key=f"{base}-intent")
        st.text_area(
            "Slots, one per line", key=f"{base}-slots", placeholder="song = yellow", height=80
        )
        st.text_input("Note", key=f"{base}-note")
        st.caption("Optional. They are recorded with the verdict.")
    with st.expander("The goal that it serves", key=f"{base}-goal"):
        for field, label, about in _GOAL_FIELDS:
            st.segmented_control(
                label, tuple(_YES_NO), format_func=_YES_NO.__getitem__, key=f"{base}-{field}",
                help=about,
            )  # fmt: skip
        st.caption("Optional. They are recorded with the verdict.")


def last_message() -> None:
    """Draw the message that the last verdict left: recorded, taken back, or an error.

    Without one it keeps its room.
    """
    kind, words = st.session_state.pop(_MESSAGE, (None, ""))
    if kind == "error":
        st.error(plain(words), icon=":material/error:")
    else:
        st.caption(words if kind else "\u00a0")


def _status(path: str, turn: Mapping[str, Any]) -> None:
    """The message, or the question whether a second verdict is meant, in room kept for either."""
    with st.container(height=96, border=False, gap="xsmall"):
        asked = st.session_state.get(_ASKED)
        if not asked or asked["turn"]["turn_id"] != turn["turn_id"]:
            last_message()
            return
        name = NAMES[asked["name"]]
        st.caption(f"You have just recorded {NAMES[asked['before']]}. Record {name} instead?")
        with st.container(horizontal=True, gap="xsmall"):
            st.button(f"Record {name}", key="say-again", on_click=_say_again, args=(path,))
            st.button(
                f"Keep {NAMES[asked['before']]}",
                key="say-nothing",
                type="tertiary",
                on_click=lambda: st.session_state.pop(_ASKED, None),
            )


def done() -> list[tuple[str, dict[str, Any]]]:
    """Annotations of this session, by id with their turn, the latest last."""
    annotations: list[tuple[str, dict[str, Any]]] = st.session_state.setdefault(_DONE, [])
    return annotations


def own_verdict(rows: Sequence[Mapping[str, Any]], who: str | None) -> Mapping[str, Any] | None:
    """The last of some annotations that `who` gave, in any session; None if there is none."""
    own = [row for row in rows if who and row["annotator"] == who]
    return max(own, key=lambda row: row["created_at"], default=None)


def undo(path: str, verdict: tuple[str, dict[str, Any]] | None = None) -> None:
    """Callback: take a verdict (its id and turn) back, by default the last one of this session."""
    verdict = verdict or (done()[-1] if done() else None)
    if verdict is None:
        return
    annotation, turn = verdict
    for key in (_LAST, _ASKED):
        st.session_state.pop(key, None)
    if problem := refused(lambda: withdraw(open_store(path), annotation), path):
        st.session_state[_MESSAGE] = ("error", problem)
        return
    st.session_state[_DONE] = [one for one in done() if one[0] != annotation]
    st.session_state["queue_turn"] = turn["turn_id"]
    st.session_state[_MESSAGE] = ("done", "Taken back.")


def _say(path: str, turn: dict[str, Any], who: str, name: str, decides: bool, once: bool) -> None:
    if once and done() and done()[-1][1]["turn_id"] == turn["turn_id"]:
        # A second key press, before the next turn was drawn.
        return
    last_turn, before, when = st.session_state.get(_LAST, ("", "", 0.0))
    if last_turn == turn["turn_id"] and monotonic() - when < PAUSE_S:
        if name != before:
            st.session_state[_ASKED] = {
                "turn": turn,
                "who": who,
                "name": name,
                "before": before,
                "decides": decides,
            }
        return
    _record(path, turn, who, name, decides)


def _say_again(path: str) -> None:
    """Callback: record the verdict that was asked about."""
    asked = st.session_state.pop(_ASKED, None)
    if asked:
        _record(path, asked["turn"], asked["who"], asked["name"], asked["decides"])


def confirm(path: str, turn: Mapping[str, Any], who: str, label: Mapping[str, Any]) -> None:
    """Callback: record the generated `label` of a turn as the verdict of `who`, all parts of it.

    `label` is a row of `generated_labels` that has a failure point. What was written in the fields
    of the turn goes first.
    """
    turn_key = {name: turn[name] for name in ("turn_id", "dialogue_id", "day")}
    if done() and done()[-1][1]["turn_id"] == turn["turn_id"]:
        # A second key press, before the next turn was drawn.
        return
    told = {
        "transcript": label["transcript"],
        "intent": label["intent"],
        "slots": label["slots"],
        "goal_start": _probable(label["goal_start"]),
        "goal_reached": _probable(label["goal_reached"]),
        "note": f"Confirmed the label of {label['model_id']}.",
    }
    _record(path, turn_key, who, label["failure_point"], told=told)


def _probable(p: float | None) -> bool | None:
    return None if p is None else p >= EVEN


def _record(
    path: str,
    turn: dict[str, Any],
    who: str,
    name: str,
    decides: bool = False,
    told: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Record a verdict with what its fields hold, else with what is `told`; leave a message."""
    st.session_state.pop(_ASKED, None)
    base = f"gold-{turn['turn_id']}"

    def typed(field: str) -> str:
        return str(st.session_state.get(f"{base}-{field}") or "").strip()

    def chosen(field: str) -> bool | None:
        value = st.session_state.get(f"{base}-{field}")
        return told.get(field) if value is None else bool(value)

    def record() -> None:
        annotation_id = annotate(
            open_store(path),
            turn,
            who,
            name,
            transcript=typed("transcript") or told.get("transcript"),
            intent=typed("intent") or told.get("intent"),
            slots=parse_slots(typed("slots")) or told.get("slots"),
            note=typed("note") or told.get("note", ""),
            adjudicated=decides,
            goal_start=chosen("goal_start"),
            goal_reached=chosen("goal_reached"),
        )
        done().append((annotation_id, turn))

    if problem := refused(record, path):
        st.session_state[_MESSAGE] = ("error", problem)
        return
    # When it was recorded, not when it was clicked: a click meanwhile comes right after.
    st.session_state[_LAST] = (turn["turn_id"], name, monotonic())
    st.session_state[_MESSAGE] = ("done", f"Recorded: {NAMES[name]}.")


_GOAL_WORDS = {
    (starts, reached): ", ".join(filter(None, [begins, became]))
    for starts, begins in ((None, ""), (True, "a goal begins here"), (False, "no goal begins here"))
    for reached, became in ((None, ""), (True, "goal reached"), (False, "goal not reached"))
}


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
            _GOAL_WORDS[row["goal_start"], row["goal_reached"]],
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
