"""Labels: goals of users and whether they were reached, and how far that can be trusted."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count
from data.queries import generated_labels
from data.store.store import local
from parts.labels.dialogue import dialogue_panel
from parts.labels.differences import difference_panel
from parts.labels.export import export_menu
from parts.labels.label_model import read_tasks
from parts.labels.making import label_button, nothing_labelled
from parts.labels.summary import summary
from parts.labels.tasks import task_table
from parts.labels.thresholds import all_labelled, threshold_panel, thresholds
from parts.server.access import may
from parts.shared.choice import one_of
from parts.shared.filter_bar import chips
from parts.shared.labels import any_labels
from parts.shared.view import current_view

_PARTS = {
    "goals": "Goals",
    "thresholds": "Thresholds",
    "tasks": "Tasks",
    "differences": "Disagreements",
}

view = current_view()
if not any_labels(view):
    nothing_labelled(view)
    st.stop()

tasks = read_tasks(local(view.path), generated_labels.model_of(view.snapshot))
least = thresholds(tasks)
labelled = all_labelled(view)
with st.container(horizontal=True, vertical_alignment="top", gap="small"):
    with st.container(width="stretch"):
        chips(view.chosen, f"{count(labelled)} labelled {'turn' if labelled == 1 else 'turns'}")
    if may("run"):
        label_button(view)
    if may("export"):
        export_menu(view, labelled, least)

part = one_of(
    "Part",
    tuple(_PARTS),
    "part",
    words=_PARTS.__getitem__,
    kind="segments",
    hidden=True,
    default="goals",
)
if part == "thresholds":
    st.subheader("Thresholds", anchor=False, help="Which labels are sure enough to be used.")
    threshold_panel(view, tasks)
elif part == "tasks":
    task_table(tasks)
elif part == "differences":
    difference_panel(view)
else:
    summary(view)
    dialogue_panel(view)
