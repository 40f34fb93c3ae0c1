"""Train a model on the annotations, compare it with the present one, and only then use it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from charts.formatting import (
    count,
    plain,
    several,
)
from classifiers.evaluation.comparison import (
    Comparison,
    Difference,
    compare_models,
)
from data.errors import FaultlineError
from data.queries.ground_truth import labels_in_logs
from data.schema.vocabulary import NAMES
from data.store.annotations import DESK
from parts.jobs.job import Job, Jobs, jobs
from parts.jobs.widget import watch
from parts.server.access import open_store
from parts.server.caching import cached_data
from parts.shared.first_steps import labels_now, labels_words
from parts.shared.model_jobs import (
    SCORE,
    TRAIN,
    score_button,
    scoring,
    start_scoring,
    train_button,
    training_ended,
)
from parts.shared.unchecked import labels_to_learn
from parts.shared.verdict_form import Desk
from parts.shared.view import View

# Why the new model could not be put to use.
_REFUSED = "retrain-refused"


def retrain_task(view: View, now: Desk) -> None:
    """Draw the training of a new model: its start, its progress, and the choice to use it."""
    st.subheader(
        "Train a new model",
        anchor=False,
        help="Fit a model to all labels, compare it with the one in use, then decide.",
    )
    labels = labels_in_logs(view.snapshot)
    turns = len(set(now.annotations["turn_id"].to_pylist()))
    work, present = jobs(view.path), open_store(view.path).head().model
    st.text(
        f"{several(turns, 'turn')} annotated here, {several(labels, 'label')} from the logs. "
        + (
            "A new model learns from all of them; the present one stays in use until you say "
            "otherwise."
            if present
            else f"The first model learns from all of them. {labels_words(labels_now(view.path))}"
        )
    )
    running, training = work.get(SCORE), work.get(TRAIN)
    if running is not None:
        scoring(work, running)
    elif training is None:
        kind = "auto"
        if present and not view.snapshot.learned_from_people(present):
            kind = labels_to_learn(view.path, present)
        train_button(view.path, work, promote=present is None, labels=kind)
    elif training.state == "running":
        watch(training, cancel="Stop")
    elif training_ended(work, training):
        _trained(view, work, training, present)


def _trained(view: View, work: Jobs, job: Job[dict[str, Any]], present: str | None) -> None:
    if refusal := st.session_state.pop(_REFUSED, None):
        st.text(refusal)
    result = job.result or {}
    new, in_use = str(result.get("model", "")), bool(result.get("promoted"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{plain(new)}** is trained, in {job.seconds:.0f}\u2009s; "
            f"{'it is in use' if in_use else 'it is not in use'}."
        )
    if in_use and new == present:
        score_button(view.path, work)
    elif new == present:
        st.text("It is the model in use: nothing that it learns from has changed.")
    elif present is None or _comparison(view.path, present, new):
        with st.container(horizontal=True):
            st.button(
                "Use this model",
                type="primary",
                icon=":material/check:",
                on_click=_use,
                args=(view.path, work, new),
                help="All turns are then scored with it; pages keep the old model until you go to "
                "newer data",
            )
            st.button("Keep the present one", on_click=work.forget, args=(TRAIN,))
        return
    st.button("Back", on_click=work.forget, args=(TRAIN,))


@cached_data(max_entries=8, show_spinner="Comparing the models")
def _compared(path: str, version: str, a: str, b: str) -> Comparison | str:
    store = open_store(path)
    try:
        with store.snapshot(only=(*DESK, "labelled")) as snapshot:
            return compare_models(snapshot, store.models, a, b)
    except FaultlineError as error:
        return str(error)


def _comparison(path: str, present: str, new: str) -> bool:
    """Both models on the same turns; False where they cannot be compared."""
    comparison = _compared(path, open_store(path).head().version, present, new)
    if isinstance(comparison, str):
        st.text(comparison)
        return True
    st.markdown(f"**{plain(_verdict(comparison))}**")
    assert comparison.log_loss is not None
    ranked = comparison.defect_average_precision
    rows: list[tuple[str, Difference, str]] = [
        ("Macro-F1", comparison.macro_f1, ""),
        ("Accuracy", comparison.accuracy, ""),
        ("Log loss (lower is better)", comparison.log_loss, ""),
        *([("Average precision of a defect", ranked, "")] if ranked else []),
        *(
            (f"F1 of {NAMES[name]}", f, count(comparison.support[name]))
            for name, f in comparison.f1.items()
        ),
    ]
    st.dataframe(
        {
            "Figure": [name for name, _, _ in rows],
            "Present": [figure.first for _, figure, _ in rows],
            "New": [figure.second for _, figure, _ in rows],
            "Change": [figure.value for _, figure, _ in rows],
            "95 % interval": [f"{f.low:+.3f} to {f.high:+.3f}" for _, f, _ in rows],
            "Turns": [turns or count(comparison.turns) for _, _, turns in rows],
        },
        hide_index=True,
        height="content",
        column_config={
            **{n: st.column_config.NumberColumn(format="%.3f") for n in ("Present", "New")},
            "Change": st.column_config.NumberColumn(format="%+.3f"),
        },
    )
    st.caption(
        f"On the same {count(comparison.turns)} turns of {count(comparison.groups)} dialogues, "
        "each judged by models that had not seen it. Only the present one is right on "
        f"{count(comparison.first_only)}, only the new one on {count(comparison.second_only)} "
        f"({_p(comparison.p_value)}, McNemar); intervals: bootstrap over dialogues."
    )
    return True


def _verdict(comparison: Comparison) -> str:
    change = 100 * comparison.macro_f1.value
    if comparison.better == "second":
        return f"The new model is better: macro-F1 {change:+.1f} points."
    if comparison.better == "first":
        return f"The new model is worse: macro-F1 {change:+.1f} points."
    return f"No difference can be told from chance: macro-F1 {change:+.1f} points."


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _use(path: str, work: Jobs, model: str) -> None:
    try:
        open_store(path).promote(model)
    except FaultlineError as error:
        st.session_state[_REFUSED] = str(error)
        return
    start_scoring(path, work)
