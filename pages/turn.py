"""One turn: the conversation, what each stage put out, and where the model says it failed."""

from __future__ import annotations

import streamlit as st

from charts.formatting import (
    count,
    moment,
    percent,
    plain,
    record_text,
    short,
)
from charts.palette import COLOURS
from charts.sentences import version_words
from data.queries import overview, turns
from data.queries.turn_list import Listing
from data.schema.vocabulary import NAMES
from labels.rules.correct_hypothesis import proven
from parts.shared import address
from parts.shared.agents import calls_tools
from parts.shared.conversation import (
    conversation,
    day_in_link,
    open_turn,
)
from parts.shared.filter_bar import chips
from parts.shared.page_frame import no_predictions, nothing_fits
from parts.shared.stage_output import (
    aftermath,
    annotation,
    pipeline,
)
from parts.shared.turn_list import choose
from parts.shared.unchecked import unchecked
from parts.shared.verdict_form import desk, signed_in
from parts.shared.view import current_view, reader_zone
from parts.turn.detail import (
    around,
    corrected,
    judge,
    look_up,
    reference,
    similar_turns,
    times,
    transcript,
)
from parts.turn.generated import generated_label, waits
from parts.turn.rewrite import rewrite_of
from parts.turn.verdict import verdict, why

view = current_view()
turn_id = st.query_params.get("turn")

if not turn_id:
    st.subheader("Find a turn", anchor=False)
    st.session_state["find"] = st.query_params.get("find", "")
    words = st.text_input(
        "Turn id, dialogue id, or words that were heard",
        key="find",
        placeholder="a turn id, or some words",
        on_change=lambda: address.put("find", st.session_state["find"].strip()),
    )
    if words.strip():
        with st.spinner("Looking through the turns"):
            rows = turns.search(view.snapshot, words)
        st.caption("No turn has this id or these words." if not rows.num_rows else "Newest first.")
    elif view.model:
        rows = overview.defects(view.snapshot, view.model, view.chosen)
        if rows.num_rows:
            st.caption(
                f"Or choose one of the newest predicted defects: {plain(view.chosen.caption())}."
            )
        else:
            chips(view.chosen, "no predicted defect")
            nothing_fits(view)
    else:
        rows = turns.recent(view.snapshot)
        st.caption("Or choose one of the newest turns.")
    if rows.num_rows:
        listed = Listing() if view.model and not words.strip() else None
        choose(rows, view, listed)
    st.stop()

details = look_up(view, turn_id, day_in_link())
if details is None:
    st.subheader("No such turn", anchor=False)
    st.text(
        f"There is no turn “{short(turn_id)}” in version {view.snapshot.version} of this store; "
        "check the id, or look for the turn."
    )
    st.button("Find a turn", on_click=open_turn, args=(None,))
    st.stop()

row, prediction, dialogue = details
position = next(i for i, other in enumerate(dialogue) if other["turn_id"] == turn_id)

around(view, prediction, dialogue, position)

guessed = unchecked(view)
if prediction:
    name = prediction["failure_point"]
    dot = f':color[●]{{foreground="{COLOURS[name]}"}}'
    verdict_words = f"{dot} {NAMES[name]}, {percent(prediction[f'p_{name}'], 0)}"
    if guessed:
        defect = percent(prediction["p_defect"], 0)
        verdict_words = f"Defect {defect} likely; guess: {verdict_words}"
else:
    verdict_words = "Not scored"
heard = short(dialogue[position]["heard"], 90)
st.header(f"{verdict_words} · {f'“{plain(heard)}”' if heard else 'nothing heard'}", anchor=False)
device = row["device"] or {}
facts = [
    moment(row["started_at"], reader_zone()),
    *(
        plain(short(value, 60))
        for value in (device.get("type"), row["locale"], row["assistant"])
        if value
    ),
    f"turn {count(dialogue[position]['place'])} of {count(dialogue[position]['turns'])}",
    *(plain(version_words(stage, v)) for stage, v in (row["versions"] or {}).items() if v),
]
st.caption(" · ".join(facts))

now = desk(view.path)
annotations = now.of(turn_id)
blamed = prediction["failure_point"] if prediction else None
hypotheses = [h["text"] for h in (row["asr"] or {}).get("hypotheses") or []]
later = [other["heard"] for other in dialogue[position + 1 :]]
said = transcript(row, annotations, signed_in(), now.share)
right_hypothesis = proven(hypotheses, said, later, row["locale"])

left, rest = st.columns([1, 2.3], gap="medium")
with left:
    st.subheader("Conversation", anchor=False)
    conversation(dialogue, turn_id, view)
    after = aftermath(row)
    if after:
        st.html(after)
    judge(view, row, annotations, now)
middle, right = rest.columns([1.2, 1], gap="medium")
with middle:
    st.subheader(
        "Stage outputs", anchor=False, help="What each stage put out, and how long it took."
    )
    times(row, blamed)
    with st.container(gap="xsmall"):
        tools = calls_tools(view, row["assistant"])
        for block in pipeline(row, blamed, right_hypothesis, guessed, tools):
            st.html(block)
        gold = annotation(row, corrected(view, row, dialogue))
        if gold:
            st.html(gold)
with right:
    if prediction:
        verdict(prediction, reference(view), guessed)
    else:
        no_predictions(view.snapshot, view.path)
with rest:
    if prediction:
        why(prediction)
    rewrite_of(view, row, prediction)
    generated_label(view, row, dialogue, waits(turn_id, annotations, now))
    if prediction:
        similar_turns(view, prediction)

with st.expander("Raw record"):
    st.code(record_text(row), language="json")
