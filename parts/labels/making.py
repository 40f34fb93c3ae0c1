"""Training a label model and labelling from the page, and what it says before there are labels."""

from __future__ import annotations

import shlex

import streamlit as st

from charts.formatting import several
from data.store.store import local
from parts.jobs.job import Jobs, jobs
from parts.jobs.process import ProcessJob
from parts.jobs.widget import watch
from parts.labels.label_model import newest_model
from parts.shared.view import View, go_to_newest

TRAIN, GENERATE = "train-labels", "generate-labels"


def nothing_labelled(view: View) -> None:
    """A page for a store without generated labels: what they are, and what makes them."""
    st.header("No generated labels yet", anchor=False)
    st.text(
        "A label model reads what users give back, and the little that was annotated. It then says "
        "of every turn which goal it serves, whether the goal was reached, whether the response "
        "was a defect, and what was meant."
    )
    trained = newest_model(local(view.path))
    if not trained:
        st.caption(_known(view))
    label_button(view, primary=True)
    st.caption("Or on the command line:")
    store = shlex.quote(view.path)
    lines = [f"faultline labels train --store {store}"] if not trained else []
    st.code("\n".join([*lines, f"faultline labels generate --store {store}"]), language=None)


def _known(view: View) -> str:
    """What there is to learn from."""
    counts = view.snapshot.counts()
    parts = [
        several(counts["labelled"], "turn") + " with annotations in the logs",
        several(counts["annotations"], "annotation") + " made here",
    ]
    if counts["feedback"]:
        parts.append(several(counts["feedback"], "turn") + " with feedback")
    return (
        f"To learn from: {', '.join(parts)}. Tasks without any annotation rest on feedback alone."
    )


def label_button(view: View, primary: bool = False) -> None:
    """The button that trains and labels; while that runs its progress, and at its end a way on."""
    work = jobs(view.path)
    training, labelling = work.get(TRAIN), work.get(GENERATE)
    trained = newest_model(local(view.path))
    if training is None and labelling is None:
        with st.container(horizontal=True, gap="small", width="content"):
            if primary and trained:
                _start_button("Generate labels", GENERATE, view, work, primary)
            if not primary:
                _start_button("Label new turns", GENERATE, view, work)
            _start_button(
                "Train again" if trained else "Train a label model",
                TRAIN,
                view,
                work,
                primary and not trained,
            )
        return
    job = training if training is not None else labelling
    assert job is not None
    name = TRAIN if training is not None else GENERATE
    if job.state == "running":
        watch(job, cancel="Stop")
    elif job.state == "done" and name == TRAIN:
        with st.container(
            horizontal=True, vertical_alignment="center", gap="small", width="content"
        ):
            st.markdown("The label model is trained.", width="content")
            st.button(
                "Generate labels",
                type="primary",
                icon=":material/label:",
                on_click=_start,
                args=(GENERATE, view.path, work),
            )
    elif job.state == "done":
        st.markdown("The turns are labelled.")
        st.button(
            "Show the labels",
            type="primary",
            icon=":material/update:",
            on_click=_show,
            args=(work,),
        )
    else:
        st.text(str(job.error or "It was stopped; what was there before is as it was."))
        st.button("Back", on_click=work.forget, args=(name,))


def _start_button(label: str, name: str, view: View, work: Jobs, primary: bool = False) -> None:
    st.button(
        label,
        type="primary" if primary else "tertiary",
        icon=":material/label:" if name == GENERATE else ":material/model_training:",
        help="Labels every turn; about 300 turns a second."
        if name == GENERATE
        else "Some minutes on one core; the pages stay open meanwhile.",
        on_click=_start,
        args=(name, view.path, work),
    )


def _start(name: str, path: str, work: Jobs) -> None:
    work.forget(TRAIN)
    verb = "train" if name == TRAIN else "generate"
    title = "Training the label model" if name == TRAIN else "Labelling"
    command = ["labels", verb, "--json", "--store", path]
    work.start(name, lambda: ProcessJob(title, "cli", command, polite=True))


def _show(work: Jobs) -> None:
    work.forget(GENERATE)
    go_to_newest()
