"""What broke at one stage: its worst slices, and everything about the chosen one."""

from __future__ import annotations

import streamlit as st

from analysis.slices.search import parse
from charts.formatting import count
from data.errors import UsageError
from data.store import workspace
from parts.server.access import access
from parts.shared.filter_bar import chips
from parts.shared.headline import headline
from parts.shared.page_frame import no_predictions, nothing_fits
from parts.shared.view import current_view
from parts.triage.decision import decision
from parts.triage.owners import chosen_owner, decided_names, my_slices, owned
from parts.triage.slice_detail import ANCHOR, about, figures_of
from parts.triage.slice_picker import (
    TITLES,
    cards,
    chosen_point,
    chosen_slice,
    others,
    picker,
    search,
    wait,
)
from parts.triage.ticket import ticket

view = current_view()
if view.model is None or view.bounds is None:
    no_predictions(view.snapshot, view.path)
    st.stop()

head = headline(view)
turns = head.total.turns if head else 0
chips(view.chosen, f"{count(turns)} {'turn' if turns == 1 else 'turns'}")
if head is None:
    nothing_fits(view)
    st.stop()

decided = workspace.decisions(view.snapshot)
assigned = workspace.assigned(view.snapshot)
owner = chosen_owner(decided, assigned)
mine = owned(decided, owner) if owner else []
point = chosen_point(mine[0].partition(":")[0] if mine else head.worst)
picker(point, head.rates)
names = decided_names(decided, point)
job = search(view, point)
result = job.result

key = chosen_slice(point)
if key is None and owner:
    key = next((other for other in mine if other.startswith(f"{point}:")), None)
if key is None and not owner and result and result.found.slices:
    key = result.found.slices[0].key
left, right = st.columns([1, 1.7], gap="medium")
with right:
    if key:
        try:
            failing, conditions = parse(key)
            if failing != point:
                raise UsageError(f"The slice “{key}” is not one of {TITLES[point]}.")
        except UsageError as error:
            st.subheader("No such slice", anchor=False)
            st.text(str(error))
        else:
            ranked = result.found.slices if result else ()
            slice_ = next((other for other in ranked if other.key == key), None)
            listed = [*(other.key for other in ranked), *names]
            about(view, key, point, conditions, slice_, result, listed)
            if access().decides(key):
                decision(view, key, point, conditions, decided.get(key))
                figures = figures_of(view, point, conditions, slice_)
                ticket(view, key, figures, (decided.get(key) or {}).get("ticket"))
    elif result and not owner:
        st.subheader("No significant slice", anchor=False)
        st.text(
            "No combination of conditions fails clearly more often than the rest of these turns. "
            "More turns, or fewer filters, show smaller differences."
        )
# Last, because it may take seconds; a slice named in the link is shown meanwhile.
with left:
    if owner:
        my_slices(view, owner, decided, assigned, key)
        if result is None:
            wait(view, point, job)
        st.stop()
    st.subheader(
        f"Slices: {TITLES[point]}",
        anchor=False,
        help="Where this fails more often than elsewhere: the most excess failures first.",
    )
    if result is None:
        wait(view, point, job)
    else:
        if not result.found.slices:
            st.caption(result.found.words())
        else:
            st.markdown(f":small[[Skip to the chosen slice](#{ANCHOR})]")
            cards(result, point, key, decided)
        others(point, [other.key for other in result.found.slices], key, decided, names)
