"""Annotate: the queue of turns to label, agreement and adjudication, and training."""

from __future__ import annotations

import streamlit as st

from annotation.queue import disputed
from charts.formatting import plain
from parts.annotate.agreement import agreement_task
from parts.annotate.files import files_task
from parts.annotate.queue import differences_task, queue_task
from parts.annotate.retrain import retrain_task
from parts.server.access import may, signed_in_as
from parts.shared.choice import one_of
from parts.shared.filter_bar import chips
from parts.shared.verdict_form import (
    annotator,
    desk,
    leave,
    signed_in,
)
from parts.shared.view import current_view

view = current_view()
now = desk(view.path)
split = len(disputed(now.annotations))
tasks = {
    "queue": "Label",
    "differences": f"Adjudicate ({split})" if split else "Adjudicate",
    "agreement": "Agreement",
    "files": "Import and export",
    "train": "Train",
}
if not may("export"):
    del tasks["files"]
if not may("run"):
    del tasks["train"]
st.header("Annotate", anchor=False)
task = one_of("Task", tuple(tasks), "task", tasks.__getitem__, "segments", hidden=True)

if task == "agreement":
    agreement_task(view.path, now, signed_in())
    st.stop()
if task == "train":
    retrain_task(view, now)
    st.stop()
who = annotator()
if who is None:
    st.caption("Several people can annotate at the same time; each gets different turns.")
    st.stop()
with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    st.caption(f"You are {plain(who)}.", width="content")
    if signed_in_as() is None:
        st.button("Somebody else", type="tertiary", on_click=leave)
if task == "files":
    files_task(view, who, now)
elif task == "differences":
    differences_task(view, who, now)
else:
    if view.chosen:
        chips(view.chosen, "Only turns within these filters")
    queue_task(view, who, now)
