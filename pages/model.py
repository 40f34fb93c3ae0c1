"""Performance of the model, its features, a comparison with another, and what would improve it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from charts.formatting import several
from classifiers import registry
from data.errors import FaultlineError
from parts.model import later_logs, learning_curve, quality
from parts.model.comparison import versus
from parts.model.explanations import reasons
from parts.model.judges import outside_judges
from parts.model.label_errors import suspected_labels
from parts.server.access import access, may, open_store
from parts.shared.choice import one_of
from parts.shared.filter_bar import chips
from parts.shared.first_steps import label_buttons
from parts.shared.page_frame import no_predictions
from parts.shared.view import current_view

LOOKS = ("quality", "later", "thresholds", "reasons", "comparison", "labels", "learning", "card")
NAMES = {
    "quality": "Performance",
    "later": "Later logs",
    "thresholds": "Thresholds",
    "reasons": "Feature importance",
    "comparison": "Compare models",
    "labels": "Suspected label errors",
    "learning": "Learning curve",
    "card": "Model card",
}
# Of single turns, and of what a training kept of all turns.
OF_TURNS = ("labels", "reasons")
OF_TRAINING = ("later", "reasons", "learning", "card")
NEED_TRUTH = ("quality", "thresholds", "comparison", "labels")

view = current_view()
if view.model is None or view.bounds is None:
    no_predictions(view.snapshot, view.path)
    st.stop()


def unlabelled() -> None:
    """Say that no turn within the filters is labelled, and how to label some."""
    st.subheader(NAMES[look], anchor=False)
    if view.chosen:
        st.text("No turn within these filters is labelled. Take a filter away.")
        return
    st.text(
        "No scored turn has a known truth, so nobody can say how right the model is. Label some "
        "turns, or ingest logs with the field gold."
    )
    label_buttons()


def attempt(draw: Callable[[], None]) -> None:
    """Draw a part; if it fails, show its error in one sentence and leave the others alone."""
    try:
        draw()
    except FaultlineError as error:
        st.text(str(error))


sample = quality.tested(view)
part = quality.one_dialogue_in(view)
chips(
    view.chosen,
    f"{several(len(sample), 'turn')} of known truth"
    + (f", one dialogue in {part} drawn at random" if part > 1 else ""),
)
looks = tuple(
    look
    for look in LOOKS
    if (may("turns") or look not in OF_TURNS) and not (access().limited and look in OF_TRAINING)
)
look = one_of("View", looks, "look", NAMES.__getitem__, "segments", hidden=True)


def folder() -> Path:
    """The model's folder; raises if it is gone."""
    return registry.folder_of(open_store(view.path).models, str(view.model))


if look in NEED_TRUTH and not len(sample):
    unlabelled()
elif look == "quality":
    st.markdown(quality.precision_words(quality.figures(view)))
    quality.headline(view, sample)
    if not access().limited:
        later_logs.expected_line(view)
    quality.rates(view, sample)
    target = quality.target_choice(sample)
    quality.lines(view, sample, target)
elif look == "thresholds":
    target = quality.target_choice(sample)
    quality.explorer(view, sample, target)
elif look == "comparison":
    versus(view)
    # It lists single turns, and finds the model's verdicts on them by their ids.
    if may("turns"):
        attempt(lambda: outside_judges(view))
elif look == "labels":
    suspected_labels(view)
elif look == "reasons":
    attempt(lambda: reasons(view, folder()))
elif look == "later":
    attempt(lambda: later_logs.later(view, folder()))
elif look == "learning":
    attempt(lambda: learning_curve.curve(view, folder()))
elif look == "card":
    attempt(lambda: learning_curve.card(folder()))
