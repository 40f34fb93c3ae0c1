"""The first turns to annotate for a model that nobody has checked: how many, how far, what for."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from charts.html import piece
from data.schema.vocabulary import FIRST_ANNOTATIONS
from parts.shared import address
from parts.shared.first_steps import enough, labels_now, labels_words
from parts.shared.verdict_form import Desk
from parts.shared.view import View

_TEMPLATE = "parts/annotate/first_turns.html"
# What annotating buys, as annotated turns (in the order of the queue) and macro-F1: of dstc1, in
# docs/evaluation.md, "Without annotations, and with the first ones".
CURVE = ((0, 0.457), (100, 0.712), (300, 0.715))
# Turns that one person judges in an hour, at half a minute each.
PER_HOUR = 120


def first_turns(view: View, now: Desk) -> None:
    """Draw how many of the first turns are annotated, and what they are good for.

    They are those that lead the queue. Once they are annotated, the training is offered instead.
    """
    annotated = len(set(now.annotations["turn_id"].to_pylist()))
    done = min(annotated, FIRST_ANNOTATIONS)
    with st.container(border=True):
        if done < FIRST_ANNOTATIONS:
            st.markdown(
                f"**Annotate these {FIRST_ANNOTATIONS} turns: they would tell this model the most**"
            )
            words = "First turns annotated"
            st.html(piece(_TEMPLATE, "progress", done=done, all=FIRST_ANNOTATIONS, words=words))
            st.caption(worth())
            return
        labels = labels_now(view.path)
        st.markdown(f"**The first {FIRST_ANNOTATIONS} turns are annotated**")
        if not enough(labels):
            st.caption(labels_words(labels))
        else:
            go_train("Train a model on them", "primary")
        st.caption(
            f"More make it better: {worth()} For rates that the annotations correct, choose the "
            "order Random."
        )


def go_train(label: str, kind: Literal["primary", "tertiary"]) -> None:
    """Draw a button that leads to the training."""
    st.button(
        label,
        type=kind,
        icon=":material/model_training:",
        key="go-train",
        # A callback: the choice of the task is drawn by the time that a button is asked.
        on_click=address.put,
        args=("task", "train"),
    )


def worth() -> str:
    """What an hour of annotating buys, as a sentence."""
    (_, before), *later = CURVE
    gains = ", ".join(f"{turns} of them {f1:.2f}" for turns, f1 in later)
    return (
        f"At half a minute each, an hour is {PER_HOUR} turns. On the logs of a phone service, a "
        f"model without annotated turns had a macro-F1 of {before:.2f}, with {gains}."
    )
