"""Each task of the label model against its baselines and against one pass of a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts.formatting import several
from charts.html import piece
from parts.labels.dialogue import TEMPLATE
from parts.labels.label_model import TASKS, Candidate, Human, Task

# Further figures of a candidate, and what they are called.
_FIGURES = {
    "average_precision": "Average precision",
    "auc": "Area under ROC",
    "calibration_error": "Calibration error",
}
_HEADS = ("Task", "How", "Result", *_FIGURES.values(), "One annotator")


def task_table(tasks: Mapping[str, Task]) -> None:
    """Draw the table; `tasks` are empty where the label model's figures are not there."""
    st.subheader(
        "Tasks",
        anchor=False,
        help="What each way of labelling reaches on annotated dialogues that it was not trained "
        "on. The best is in use. One annotator: F1 of one person against the majority of others "
        "who judged the same, and F1 of the labels in use against that majority. A baseline looks "
        "at the turn alone, or learns nothing.",
    )
    if not tasks:
        st.text("The label model that made these labels is not in this store any more.")
        return
    rows = [row for task in tasks.values() for row in _rows(task)]
    st.html(piece(TEMPLATE, "tasks", rows=rows, heads=_HEADS))
    missing = [TASKS[name] for name in TASKS if name not in tasks]
    if missing:
        st.caption(f"Without annotations to learn from: {', '.join(missing)}.")


def _rows(task: Task) -> list[dict[str, Any]]:
    ordered = sorted(task.candidates, key=lambda c: -c.figures.get(task.key, -1.0))
    return [
        {
            "first": number == 0,
            "task": TASKS[task.name],
            "words": verdict_words(task) if number == 0 else "",
            "name": candidate.name,
            "used": candidate.name == task.used,
            "baseline": candidate.baseline,
            "cells": _cells(task, candidate, number == 0),
        }
        for number, candidate in enumerate(ordered)
    ]


def _cells(task: Task, candidate: Candidate, first: bool) -> list[str]:
    value = candidate.figures.get(task.key)
    return [
        "–" if value is None else f"{value:.3f} {task.measure}",
        *(_figure(candidate, name) for name in _FIGURES),
        _annotator(task.human) if first else "",
    ]


def _figure(candidate: Candidate, name: str) -> str:
    return f"{candidate.figures[name]:.3f}" if name in candidate.figures else "–"


def _annotator(human: Human | None) -> str:
    return "–" if human is None else f"{human.human:.3f}; labels {human.model:.3f}"


def verdict_words(task: Task) -> str:
    """Whether a baseline wins, and how what is in use compares with one annotator."""
    parts = [several(task.n, "annotated case")] if task.n else []
    used = next((c for c in task.candidates if c.name == task.used), None)
    best = task.best
    if used is not None and used.baseline:
        parts.append("the baseline wins, so it is in use")
    elif best is not None and best.baseline:
        parts.append(f"the baseline has the better {task.measure}")
    if task.human is not None:
        gap = task.human.model - task.human.human
        parts.append(
            f"{abs(gap):.3f} {'above' if gap >= 0 else 'below'} one annotator (95 % interval of "
            f"the difference: {task.human.low:+.3f} to {task.human.high:+.3f}; "
            f"{several(task.human.things, 'rated thing')})"
        )
    return "; ".join(parts)
