"""Training and scoring from a page: background jobs of a store, and what they say when they end."""

from __future__ import annotations

from typing import Any

import streamlit as st

from charts.formatting import count, plain
from parts.jobs.job import Job, Jobs
from parts.jobs.process import ProcessJob
from parts.jobs.widget import watch
from parts.shared.view import go_to_newest

TRAIN, SCORE = "train", "score"
# What a training costs.
COST = "It takes some minutes and all cores; the pages stay open meanwhile."


def start_training(path: str, work: Jobs, promote: bool = False, labels: str = "auto") -> None:
    """Callback: train a model; with `promote` it is used as soon as it is trained.

    `labels`: what it learns from, of `classifiers.settings.LABELS`.
    """
    use = "--promote" if promote else "--no-promote"
    command = ["train", use, "--labels", labels, "--json", "--store", path]
    work.start(TRAIN, lambda: ProcessJob("Training", "cli", command))


def start_scoring(path: str, work: Jobs) -> None:
    """Callback: score the turns with the model in use; a store without one gets a first model."""
    work.forget(TRAIN)
    command = ["score", "--json", "--store", path]
    work.start(SCORE, lambda: ProcessJob("Scoring", "cli", command))


def train_button(
    path: str, work: Jobs, promote: bool, primary: bool = True, labels: str = "auto"
) -> None:
    """Draw the button that starts the training, and what it costs."""
    st.button(
        "Train a model" if promote else "Train",
        type="primary" if primary else "secondary",
        icon=":material/model_training:",
        on_click=start_training,
        args=(path, work, promote, labels),
    )
    st.caption(COST)


def score_button(path: str, work: Jobs, label: str = "Score the turns") -> None:
    """Draw the button that starts the scoring."""
    st.button(
        label,
        type="primary",
        icon=":material/play_arrow:",
        on_click=start_scoring,
        args=(path, work),
    )


def training_ended(work: Jobs, job: Job[dict[str, Any]]) -> bool:
    """Whether a training that has ended made a model; says why it did not."""
    if job.state == "done":
        return True
    st.text(str(job.error or "The training was stopped."))
    st.button("Back", on_click=work.forget, args=(TRAIN,))
    return False


def scoring(work: Jobs, job: Job[dict[str, Any]]) -> None:
    """Draw a scoring: its progress, and at its end a way to its results."""
    if job.state == "running":
        st.text("The model scores the turns now.")
        watch(job, cancel="Stop")
        return
    if job.state == "done":
        report = job.result or {}
        scored = count(int(report.get("scored", 0)))
        st.markdown(f"Scored {scored} turns with {plain(report.get('model_id'))}.")
        st.button(
            "Show its results",
            type="primary",
            icon=":material/update:",
            on_click=_show_results,
            args=(work,),
        )
    elif job.state == "stopped":
        st.text("The scoring was stopped; turns that are not scored yet keep what they had.")
    else:
        st.text(str(job.error))
    st.button("Back", on_click=work.forget, args=(SCORE,))


def _show_results(work: Jobs) -> None:
    work.forget(SCORE)
    go_to_newest()
