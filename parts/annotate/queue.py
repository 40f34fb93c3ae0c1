"""The queue of the Annotate page: one turn per screen, with the evidence and six verdicts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import streamlit as st

from annotation import candidates
from annotation.queue import (
    KINDS,
    Leases,
    disputed,
    rank,
    waiting,
)
from charts.formatting import (
    count,
    moment,
    plain,
    short,
)
from charts.layout import CONFIG
from charts.prediction import probabilities, probabilities_words
from charts.sentences import misdated_words
from charts.turn_timeline import (
    pipeline_times,
    pipeline_words,
    timeline,
)
from data.errors import FaultlineError
from data.queries import turns
from data.queries.overview import models
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES
from data.store.annotations import SHARE
from data.store.workspace import put_setting
from parts.annotate.first_turns import first_turns, go_train
from parts.annotate.offer import offer
from parts.server.access import open_store
from parts.server.caching import cached_data
from parts.shared.agents import calls_tools
from parts.shared.conversation import conversation
from parts.shared.first_steps import enough, labels_now, labels_words
from parts.shared.stage_output import aftermath, pipeline
from parts.shared.unchecked import unchecked
from parts.shared.verdict_form import (
    Desk,
    done,
    last_message,
    others,
    undo,
    verdicts,
)
from parts.shared.view import CacheKey, View, reader_zone

RANDOM = "random"
_ORDERS = {
    "all": "Most informative",
    **{
        "uncertainty": "Uncertainty",
        "disagreement": "Disagreement",
        "novelty": "Novelty",
        "impact": "Impact",
    },
    RANDOM: "Random",
}
_ORDERS_HELP = (
    "**Most informative** combines the next four. **Uncertainty**: the model hesitates between two "
    "failure points. **Disagreement**: two models, or the model and the result’s status, differ. "
    "**Novelty**: few turns of this kind are labelled. **Impact**: the intent fails often, or many "
    "said the same. **Random**: only these turns represent all turns, which rates estimated from "
    "annotations need."
)
assert set(KINDS) < set(_ORDERS)
_SKIPPED = "skipped"


@st.cache_resource
def leases(path: str) -> Leases:
    """Which annotator has which turn of a store, for everybody who uses this server."""
    return Leases()


@cached_data(max_entries=16, show_spinner="Ranking the turns")
def _ranked(key: CacheKey, kind: str, _view: View) -> pa.Table:
    at, model, chosen = _view.snapshot, _view.model, _view.chosen
    columns = ["turn_id", "dialogue_id", "day", "kind", "reason"]
    if model is None or kind == RANDOM:
        rows = (
            candidates.at_random(at, model, chosen) if model else candidates.unscored_at_random(at)
        )
        reasons = pa.array(
            ["Drawn at random: it represents all turns."] * rows.num_rows, pa.string()
        )
        rows = rows.append_column("kind", pa.array([RANDOM] * rows.num_rows, pa.string()))
        return rows.append_column("reason", reasons).select(columns)
    other = next((name for name in models(at) if name != model), None)
    rows = candidates.candidates(at, model, chosen, other)
    return rank(rows, None if kind == "all" else kind).select(columns)


def queue_task(view: View, who: str, now: Desk) -> None:
    """Draw the next turn of the queue."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = _order(view)
        _settings(view.path, now)
    first = unchecked(view) and kind != RANDOM
    if first:
        first_turns(view, now)
    ranked = _ranked(view.cache_key(), kind, view)
    skipped: set[str] = st.session_state.setdefault(_SKIPPED, set())
    ids = [turn for turn in waiting(ranked, now.annotations, who, now.share) if turn not in skipped]
    turn_id = leases(view.path).take(ids, who, st.session_state.get("queue_turn"))
    _progress(now, who, len(ids))
    last_message()
    if view.model is None:
        _next_step(view)
    if turn_id is None:
        _empty(view, skipped)
        return
    st.session_state["queue_turn"] = turn_id
    queued = {row["turn_id"]: row for row in ranked.to_pylist()} | {
        row["turn_id"]: {
            **row,
            "reason": "Somebody has labelled this turn; a second opinion is needed.",
        }
        for row in now.of(turn_id)
    }
    candidate = queued[turn_id]
    row = turns.turn(view.snapshot, turn_id, candidate["day"])
    if row is None:
        # It was ingested after the version that this page shows.
        st.text("The next turn is not part of this version of the data; go to newer data below.")
        st.button("Skip it", on_click=_skip, args=(turn_id,))
        return
    st.markdown(f"**Why this one:** {plain(candidate['reason'])}")
    evidence(view, row, who, now, reveals=True)


def _order(view: View) -> str:
    """Draw the choice of the queue's order and return it; without a model there is only one."""
    if view.model is None:
        st.markdown(
            "**Dialogues at random**",
            help="No model has scored these turns, so none is known to teach more than another. A "
            "random sample represents all turns, which estimated rates need.",
        )
        return RANDOM
    return st.segmented_control(
        "Order of the queue",
        list(_ORDERS),
        default="all",
        required=True,
        format_func=_ORDERS.__getitem__,
        key="queue_order",
        help=_ORDERS_HELP,
    )


def evidence(
    view: View,
    row: dict[str, Any],
    who: str,
    now: Desk,
    reveals: bool = False,
    to_decide: Any = None,
) -> None:
    """The conversation, what the stages put out, and the buttons; no verdict of the model.

    `to_decide` are the annotations that differ, shown to the adjudicator. With `reveals` the turn
    can be skipped, the model's verdict shown, and a generated label confirmed.
    """
    dialogue = turns.dialogue(view.snapshot, row, None)
    device = row["device"] or {}
    facts = [device.get("type"), row["locale"], row["assistant"]]
    st.caption(
        " · ".join(
            [
                moment(row["started_at"], reader_zone()),
                *(plain(short(fact, 60)) for fact in facts if fact),
            ]
        )
    )
    left, middle, right = st.columns([1, 1.25, 0.8], gap="medium")
    with left:
        st.subheader("Dialogue", anchor=False, help="The turns before and after this one.")
        conversation(dialogue, row["turn_id"], view, opens=False)
        after = aftermath(row)
        if after:
            st.html(after)
    with middle:
        st.subheader(
            "Stage outputs",
            anchor=False,
            help="What each stage of the pipeline put out, in order, with its confidences.",
        )
        line = timeline(row)
        if line:
            st.plotly_chart(
                pipeline_times(line), config=CONFIG, alt=pipeline_words(line), key="times"
            )
        with st.container(gap="xsmall"):
            for block in pipeline(row, None, calls_tools=calls_tools(view, row["assistant"])):
                st.html(block)
    with right:
        st.subheader(
            "Failure point",
            anchor=False,
            help="What failed first? The first stage whose error the later ones did not repair.",
        )
        if to_decide is not None:
            others(to_decide, who, 0.0)
        verdicts(view.path, row, who, decides=to_decide is not None)
        if reveals:
            offer(view, row, who, now)
        with st.container(horizontal=True, gap="xsmall"):
            if reveals:
                st.button(
                    "Skip",
                    shortcut="S",
                    icon=":material/skip_next:",
                    type="tertiary",
                    on_click=_skip,
                    args=(row["turn_id"],),
                )
            st.button(
                "Undo",
                shortcut="U",
                icon=":material/undo:",
                type="tertiary",
                disabled=not done(),
                help="Take back your last verdict and see its turn again",
                on_click=undo,
                args=(view.path,),
            )
        if (
            reveals
            and view.model
            and st.toggle(
                "Show the prediction",
                key="reveal",
                help="What the model says. Off, so that the verdict is yours and not the model’s",
            )
        ):
            prediction = turns.prediction(view.snapshot, row, view.model)
            if prediction:
                st.plotly_chart(
                    probabilities(prediction),
                    config=CONFIG,
                    alt=probabilities_words(prediction),
                    key="probabilities",
                )


def differences_task(view: View, who: str, now: Desk) -> None:
    """Adjudication: turns on which annotators differ, one per screen, for an adjudicator."""
    last_message()
    differing = disputed(now.annotations)
    if not differing:
        st.text("Annotators agree on every turn that two of them have labelled.")
        return
    ids = list(differing)
    index = min(int(st.session_state.get("dispute", 0)), len(ids) - 1)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{count(len(ids))}** {'turn' if len(ids) == 1 else 'turns'} to decide")
        for step, label in ((-1, "Previous"), (1, "Next")):
            st.button(
                label,
                type="tertiary",
                disabled=not 0 <= index + step < len(ids),
                on_click=st.session_state.__setitem__,
                args=("dispute", index + step),
            )
    rows = differing[ids[index]]
    row = turns.turn(view.snapshot, ids[index], rows[0]["day"])
    if row is None:
        st.text("This turn is not part of this version of the data; go to newer data below.")
        return
    evidence(view, row, who, now, to_decide=rows)


def _skip(turn_id: str) -> None:
    st.session_state[_SKIPPED].add(turn_id)


def _empty(view: View, skipped: set[str]) -> None:
    within = " within these filters" if view.chosen else ""
    st.text(
        f"Nothing is left to annotate{within}"
        + (f" but the {count(len(skipped))} that you skipped." if skipped else ".")
    )
    if view.model is None and (misdated := view.snapshot.counts()["misdated"]):
        st.text(misdated_words(misdated))
    if skipped:
        st.button("Look at those again", on_click=skipped.clear)


def _next_step(view: View) -> None:
    """For a store without a model: how many labels are missing, or that they are enough."""
    labels = labels_now(view.path)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(labels_words(labels), width="content")
        if enough(labels):
            go_train("Train a model", "tertiary")


def _progress(now: Desk, who: str, left: int) -> None:
    rows = now.counts.to_pylist()
    mine = [row for row in rows if row["annotator"] == who]
    today, total = sum(row["today"] for row in mine), sum(row["turns"] for row in mine)
    everybody = len(set(now.annotations["turn_id"].to_pylist()))
    st.caption(
        f"{count(today)} today, {count(total)} in all by {plain(who)} · "
        f"{count(everybody)} {'turn' if everybody == 1 else 'turns'} by everybody · "
        f"{count(left)} waiting"
    )


def progress_table(now: Desk, who: str | None) -> None:
    """Turns per annotator; their failure points only of verdicts that `who` may see."""
    rows = now.counts.to_pylist()
    people = sorted({row["annotator"] for row in rows})
    every = dict.fromkeys(people, 0)
    today = dict.fromkeys(people, 0)
    for row in rows:
        every[row["annotator"]] += row["turns"]
        today[row["annotator"]] += row["today"]
    visible = now.reader(who).shown(now.annotations)
    counts = Counter(
        (row["annotator"], row["failure_point"])
        for row in visible.select(["annotator", "failure_point", "adjudicated"]).to_pylist()
        if not row["adjudicated"]
    )
    columns: dict[str, list[Any]] = {"Annotator": people, "Today": [today[p] for p in people]}
    for name in FAILURE_POINTS:
        columns[NAMES[name]] = [counts[person, name] for person in people]
    if len(visible) < len(now.annotations):
        columns["Hidden"] = [
            every[person] - sum(counts[person, name] for name in FAILURE_POINTS)
            for person in people
        ]
    columns["All"] = [every[person] for person in people]
    st.dataframe(columns, hide_index=True, height="content")
    if "Hidden" in columns:
        st.caption("Hidden: verdicts whose turns wait for a second opinion.")


def _settings(path: str, now: Desk) -> None:
    with st.popover("Double annotation", icon=":material/group:", type="tertiary"):
        share = st.slider(
            "Share of turns that two people label independently",
            0,
            100,
            round(100 * now.share),
            5,
            format="%d %%",
            key=f"share-{now.version}",
        )
        st.caption("For everybody who annotates in this store.")
        if share != round(100 * now.share):
            try:
                put_setting(open_store(path), SHARE, share / 100)
            except FaultlineError as error:
                st.text(str(error))
            else:
                st.rerun()
