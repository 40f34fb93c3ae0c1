"""Pieces of the Turn page: navigation, timing, annotations, and similar requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa
import streamlit as st

from charts.formatting import (
    count,
    percent,
    plain,
    short,
)
from charts.html import piece
from charts.layout import CONFIG
from charts.palette import colour_of
from charts.turn_timeline import (
    pipeline_times,
    pipeline_words,
    timeline,
)
from classifiers.encoder import Encoder
from classifiers.reference_values import Reference
from classifiers.similar_requests import similar
from data.errors import FaultlineError, UsageError
from data.queries import turns
from data.queries.turn_list import Listing, neighbours
from data.schema.trace import FAILURE_POINTS, FAILURES
from data.schema.vocabulary import NAMES
from data.store.annotations import shown_to
from data.store.snapshot import Snapshot
from data.store.store import local
from data.store.workspace import owner_of
from parts.server.caching import cached_data, cached_resource
from parts.shared import address
from parts.shared.conversation import open_turn
from parts.shared.verdict_form import (
    Desk,
    name_field,
    others,
    own_verdict,
    remember_name,
    signed_in,
    undo,
    verdicts,
)
from parts.shared.view import CacheKey, View

_ROWS = 8
Row = Mapping[str, Any]


class Details(NamedTuple):
    """A turn as logged, its prediction if it has been scored, and the dialogue around it."""

    row: dict[str, Any]
    prediction: dict[str, Any] | None
    dialogue: list[dict[str, Any]]


def look_up(view: View, turn_id: str, day: date | None) -> Details | None:
    """What the page shows of a turn; None if there is no such turn."""
    return _look_up(view.unfiltered.turns_key, turn_id, day, view)


@cached_data(max_entries=256, show_spinner=False)
def _look_up(key: CacheKey, turn_id: str, day: date | None, _view: View) -> Details | None:
    row = turns.turn(_view.snapshot, turn_id, day)
    if row is None:
        return None
    return Details(
        row,
        turns.prediction(_view.snapshot, row, _view.model),
        turns.dialogue(_view.snapshot, row, _view.model),
    )


def around(
    view: View, prediction: Row | None, dialogue: Sequence[dict[str, Any]], position: int
) -> None:
    """Links back to the list, to its previous and next turn, and to those of the dialogue."""
    listed = Listing.from_query(st.query_params)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        # To the list that the turn was opened from, if any, as it was.
        kept = {key: st.query_params[key] for key in ("failing",) if key in st.query_params}
        ways: list[tuple[str, str, str]] = []

        def way(page: str, title: str, **named: str) -> None:
            # The page's own choices, which the link back finds as they were left.
            own = " ".join(address.PARAMETERS[page])
            ways.append((view.href(page, **named), title, own))

        back = st.query_params.get("back")
        if back not in (None, "explore"):
            raise UsageError(f"Unknown back={back[:60]}; give explore.")
        if back == "explore":
            way("explore", "Explore")
        if slice_key := st.query_params.get("slice"):
            way("triage", "The slice", slice=slice_key, **kept)
        way("overview", "All defects")
        st.html(piece("parts/turn/prediction.html", "ways_back", ways=ways), width="content")
        if listed and prediction and view.model:
            before, after = _neighbours(
                view.cache_key(), listed, prediction["turn_id"], view, dict(prediction)
            )
            noun = listed.words()
            _step(
                f"Previous of these {noun}", ":material/keyboard_arrow_up:", before, "list-before"
            )
            _step(f"Next of these {noun}", ":material/keyboard_arrow_down:", after, "list-after")
        for step, label, icon in (
            (-1, "Turn before", ":material/chevron_left:"),
            (+1, "Turn after", ":material/chevron_right:"),
        ):
            index = position + step
            other = dialogue[index] if 0 <= index < len(dialogue) else None
            _step(label, icon, other, f"dialogue{step}")


def _step(label: str, icon: str, other: dict[str, Any] | None, key: str) -> None:
    st.button(
        label,
        icon=icon,
        key=key,
        type="tertiary",
        disabled=other is None,
        on_click=open_turn,
        args=(other,),
    )


@cached_data(max_entries=256, show_spinner=False)
def _neighbours(
    key: CacheKey, listed: Listing, turn_id: str, _view: View, _prediction: Row
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    assert _view.model is not None
    return neighbours(_view.snapshot, _view.model, _view.chosen, listed, _prediction)


def corrected(view: View, row: Row, dialogue: Sequence[Row]) -> str:
    """The address of the turn that annotators say this one repairs; empty for none."""
    earlier = (row["gold"] or {}).get("corrects")
    if not earlier:
        return ""
    days = {other["turn_id"]: other["day"] for other in dialogue}
    return view.href("turn", turn=earlier, day=(days.get(earlier) or row["day"]).isoformat())


def times(row: Row, blamed: str | None) -> None:
    """The pipeline as a waterfall, where times were logged."""
    line = timeline(row)
    if line is None:
        return
    st.plotly_chart(
        pipeline_times(line, blamed), config=CONFIG, alt=pipeline_words(line), key="times"
    )
    if not line.measured:
        st.caption("Starts were not logged: the stages are drawn one after the other.")


@cached_data(max_entries=8, show_spinner=False)
def _reference(path: str, model: str) -> Reference | None:
    return Reference.read(local(path) / "models" / model)


def reference(view: View) -> Reference | None:
    """The distribution of each feature among correct turns; None if the model has none."""
    return _reference(view.path, view.model) if view.model else None


def transcript(row: Row, annotations: Sequence[Row], who: str | None, share: float) -> str | None:
    """What was really said: from the annotations that `who` may see, else from the gold record."""
    for annotation in reversed(shown_to(annotations, who, share)):
        if annotation["transcript"]:
            return str(annotation["transcript"])
    written = (row["gold"] or {}).get("transcript")
    return None if written is None else str(written)


def judge(view: View, row: Row, annotations: list[dict[str, Any]], now: Desk) -> None:
    """Draw the buttons to give a verdict on this turn, and below those that people gave here."""
    owner = owner_of(view.snapshot, row)
    if owner:
        st.caption(f"Assigned to {plain(owner)}.")
    st.subheader(
        "Human-labelled",
        anchor=False,
        help="The failure point that people gave this turn in this dashboard.",
    )
    with st.expander("Label this turn", key="judge", icon=":material/rate_review:"):
        who = name_field("turn-who")
        verdicts(view.path, row, who, keys=False)
        mine = own_verdict(annotations, who)
        turn = {name: row[name] for name in ("turn_id", "dialogue_id", "day")}
        st.button(
            "Undo",
            icon=":material/undo:",
            disabled=mine is None,
            help=f"Take your verdict on this turn, {NAMES[mine['failure_point']]}, back."
            if mine
            else "You have given no verdict on this turn.",
            on_click=undo,
            args=(view.path, (mine["annotation_id"], turn) if mine else None),
        )
    # Below the buttons: a new verdict must not move them.
    others(annotations, signed_in(), now.share)
    if not annotations:
        st.caption("Nobody has labelled this turn here.")
    remember_name()


@cached_resource(max_entries=2, show_spinner=False)
def _encoder(path: str, model: str) -> Encoder | None:
    folder = local(path) / "models" / model
    if not (folder / "encoder.onnx").exists():
        return None
    try:
        return Encoder(folder)
    except FaultlineError:
        return None


@cached_data(max_entries=256, show_spinner=False)
def _similar(
    path: str, version: str, model: str, turn_id: str, heard: str, _at: Snapshot
) -> pa.Table:
    return similar(_at, model, turn_id, heard, _encoder(path, model), _ROWS)


def similar_turns(view: View, prediction: Row) -> None:
    """Requests of recent turns with about the same meaning, and how they went."""
    heard = prediction["heard"]
    if not heard:
        return
    st.subheader("Similar requests", anchor=False)
    results = st.container(gap=None)
    with results, st.spinner("Looking for similar requests"):
        model = str(view.model)
        rows = _similar(
            view.path, view.snapshot.version, model, prediction["turn_id"], heard, view.snapshot
        ).to_pylist()
    if not rows:
        st.caption("No recent request has any of these words.")
        return
    with results:
        for row in rows:
            _request(row)
    st.caption("Among the newest turns, by the meaning of their words; a click opens the newest.")


def _request(row: dict[str, Any]) -> None:
    worst = max(FAILURES, key=lambda name: row[f"n_{name}"])
    verdict = worst if row[f"n_{worst}"] else "correct"
    parts = [f"{count(row['turns'])} {'turn' if row['turns'] == 1 else 'turns'}"]
    parts.append(f"defect {percent(row['rate'], 0)}")
    if row["turns"] > 1:
        parts += [
            f"{count(row[f'n_{name}'])} {NAMES[name]}"
            for name in FAILURE_POINTS
            if row[f"n_{name}"]
        ]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f':color[●]{{foreground="{colour_of(verdict)}"}} {plain(short(row["heard"], 90))}',
            key=f"like-{row['turn_id']}",
            type="tertiary",
            help=f"{NAMES[verdict]}; open its newest turn",
            on_click=open_turn,
            args=(row,),
        )
        st.caption(" · ".join(parts), width="content")
