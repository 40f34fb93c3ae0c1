"""The mark of a model that no label of a person has checked, and the shortest way to a better one.

Whether a model is such a one is decided by `Snapshot.learned_from_people` alone; pages ask here.
"""

from __future__ import annotations

import streamlit as st

from charts.formatting import several
from charts.html import piece
from classifiers import registry
from data.errors import FaultlineError
from data.schema.vocabulary import LEVEL_MEANING, UNCHECKED, UNCHECKED_MEANING
from parts.server.access import may, open_store
from parts.server.caching import cached_data
from parts.shared.first_steps import command, enough, labels_now
from parts.shared.view import View

# Pages that show nothing of the model: the labels there are the label model's.
_WITHOUT = ("labels",)
# Pages about training, which say how it is done by the command line.
_WITH_COMMAND = ("annotate", "model")
# Models of these labels learned from a label model of the store, which `auto` leaves out.
_OF_LABEL_MODEL = ("generated", "both")


@cached_data(max_entries=32, show_spinner=False)
def _unchecked(path: str, model: str, _view: View) -> bool:
    return not _view.snapshot.learned_from_people(model)


@cached_data(max_entries=32, show_spinner=False)
def _assumed(path: str, model: str | None, _view: View) -> bool:
    return _view.snapshot.level_is_assumed(model)


def unchecked(view: View) -> bool:
    """Whether what the page shows is of a model that learned from behaviour alone."""
    return view.model is not None and _unchecked(view.path, view.model, view)


def mark(view: View, page: str) -> None:
    """Draw the mark on top of a page that shows verdicts or rates of such a model.

    With it goes a link to what makes it better: turns to annotate or, where there are labels enough
    by now, a training on them.
    """
    if page in _WITHOUT:
        return
    if not unchecked(view):
        if _assumed(view.path, view.model, view):
            st.caption(f":material/rule: {LEVEL_MEANING}")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f":material/rule: **{UNCHECKED}.** Rates are model estimates, stages guesses.",
            help=UNCHECKED_MEANING,
            width="content",
        )
        words, task = _way_on(view)
        if page != "annotate" and may("annotate"):
            href = view.href("annotate", task=task)
            st.html(piece("parts/shared/unchecked.html", "way", href=href, words=words))
    labels = labels_now(view.path)
    if enough(labels):
        st.caption(
            f"{several(sum(labels.values()), 'turn')} labelled by people by now; this model learned"
            " from too few of them, or from none."
        )
        if page in _WITH_COMMAND:
            command("train", f"--labels {labels_to_learn(view.path, str(view.model))}", view.path)


def _way_on(view: View) -> tuple[str, str]:
    """The words of the link, and the task of the page Annotate that it leads to."""
    if enough(labels_now(view.path)):
        return "Train on the labels of people", "train"
    return "Annotate some turns", "queue"


def labels_to_learn(path: str, model: str) -> str:
    """What `faultline train --labels` learns from so that labels of people improve on `model`.

    What a label model generated stays in use beside them; how much it then counts is decided by how
    well it predicts them (`classifiers.train.fit`). For all other models `auto` decides.
    """
    try:
        labels: str = registry.load_settings(open_store(path).models, model).labels
    except FaultlineError:
        return "auto"
    return "both" if labels in _OF_LABEL_MODEL else "auto"
