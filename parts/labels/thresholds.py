"""The threshold of each task: what it costs in precision, and which turns it leaves labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import streamlit as st

from charts.formatting import count, percent
from charts.labels import precision_and_throughput, precision_words
from charts.layout import CONFIG
from data.errors import UsageError
from data.queries import generated_labels
from data.schema.tables import EVEN
from parts.labels.label_model import MEANT, TASKS, Task
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.choice import one_of
from parts.shared.view import CacheKey, View

_PRECISION = (
    "Of the labels that are given, how many are right: at 90 %, nine in ten. Measured on annotated "
    "turns that the model was not trained on."
)
_THRESHOLD = (
    "Labels that are less probable than this are left out. A higher threshold gives fewer labels, "
    "and more of them are right."
)
_YES_NO = ("goal_start", "goal_reached", "turn_defect")


def thresholds(tasks: Mapping[str, Task]) -> dict[str, float]:
    """The threshold of each task: that of the link, else the one chosen in training.

    A link has them as `least=intent:0.90,slots:0.75`. Raises UsageError for anything else.
    """
    found = {name: _promised(task) for name, task in tasks.items()}
    chosen = {name: value for name, value in found.items() if value is not None}
    for part in filter(None, st.query_params.get("least", "").split(",")):
        name, _, text = part.partition(":")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if name not in TASKS or not 0 <= value <= 1:
            raise UsageError(
                f"Invalid least={part[:60]}; write a task ({', '.join(TASKS)}) and a probability, "
                "for example least=intent:0.90."
            )
        chosen[name] = value
    return chosen


def _promised(task: Task) -> float | None:
    """The threshold of training in the slider's steps.

    Upwards, as what it promises holds from there on; unless every label is above it.
    """
    if task.threshold is None:
        return None
    everything = bool(task.curve) and task.threshold <= task.curve[0].threshold
    rounded = math.floor if everything else math.ceil
    return rounded(round(task.threshold * 100, 4)) / 100


def threshold_panel(view: View, tasks: Mapping[str, Task]) -> None:
    """Draw the curve of one task, with its threshold as a slider, and what it would label."""
    name = one_of(
        "Task", tuple(TASKS), "of", words=TASKS.__getitem__, hidden=True, default="goal_start"
    )
    task = tasks.get(name)
    st.caption(MEANT[name])
    chosen = thresholds(tasks)
    now = _slider(name, chosen)
    left, right = st.columns([1.9, 1], gap="medium")
    with left:
        if task is None or not task.curve:
            st.text(
                "There is no curve: too few turns were annotated to say how precise these labels "
                "are."
            )
        else:
            at = [point.threshold for point in task.curve]
            precision = [point.precision for point in task.curve]
            labelled = [point.labelled for point in task.curve]
            st.plotly_chart(
                precision_and_throughput(at, precision, labelled, now),
                config=CONFIG,
                alt=precision_words(at, precision, labelled),
                key="threshold-curve",
            )
    with right:
        _numbers(view, name, task, now)


def _slider(name: str, chosen: Mapping[str, float]) -> float:
    key = f"threshold-{name}"
    low = EVEN if name in _YES_NO else 0.0
    st.session_state[key] = max(low, round(chosen.get(name, low), 2))
    st.slider(
        "Threshold",
        low,
        1.0,
        step=0.01,
        format="%.2f",
        key=key,
        help=_THRESHOLD,
        on_change=_move,
        args=(name, key),
    )
    return float(st.session_state[key])


def _move(name: str, key: str) -> None:
    parts = dict(
        part.partition(":")[::2] for part in st.query_params.get("least", "").split(",") if part
    )
    parts[name] = f"{st.session_state[key]:.2f}"
    address.put("least", ",".join(f"{task}:{parts[task]}" for task in TASKS if task in parts))


def _numbers(view: View, name: str, task: Task | None, now: float) -> None:
    if task is not None and task.curve:
        at = [point.threshold for point in task.curve]
        precision = float(np.interp(now, at, [point.precision for point in task.curve]))
        st.metric("Precision", percent(precision), help=_PRECISION, border=True)
        promised = _promised(task)
        if task.stated is not None and promised is not None:
            st.caption(f"Training chose {promised:.2f}, for {percent(task.stated, 0)} precision.")
    given, turns = labelled_turns(view, name, now)
    share = f" :small[:gray[{percent(given / turns)} of {count(turns)}]]" if turns else ""
    st.metric(
        "Turns labelled",
        f"{count(given)}{share}",
        help="Turns within these filters whose label is at least this probable.",
        border=True,
    )


def all_labelled(view: View) -> int:
    """How many turns of the view have labels."""
    return _labelled(_key(view), view)


@cached_data(max_entries=64, show_spinner=False)
def _labelled(key: CacheKey, _view: View) -> int:
    return generated_labels.labelled(_view.snapshot, _view.model, _view.chosen)


def labelled_turns(view: View, task: str, least: float) -> tuple[int, int]:
    """How many turns of the view get a label of a task from a threshold on, and of how many."""
    table = _sureness(_key(view), view)
    rows = [row for row in table.to_pylist() if row["task"] == task]
    step = round(least * generated_labels.STEPS)
    return sum(row["turns"] for row in rows if row["step"] >= step), sum(r["turns"] for r in rows)


def _key(view: View) -> CacheKey:
    return view.cache_key("generated_labels", "predictions", "misdated", "labelled", "annotations")


@cached_data(max_entries=64, show_spinner="Counting the labels")
def _sureness(key: CacheKey, _view: View) -> pa.Table:
    return generated_labels.sureness(_view.snapshot, _view.model, _view.chosen)
