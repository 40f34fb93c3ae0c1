"""The generated label of the turn in the queue, for confirmation with one key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts.html import piece
from data.queries import generated_labels
from data.schema.tables import EVEN
from data.schema.trace import FAILURE_POINTS
from parts.server.caching import cached_data
from parts.shared.labels import TEMPLATE, any_labels, label_parts
from parts.shared.verdict_form import Desk, confirm
from parts.shared.view import CacheKey, View

_HELP = (
    "What the label model thinks of this turn, as far as it is likelier right than wrong. Switch "
    "it off to judge by yourself alone. It is never offered for a turn that two people judge "
    "independently."
)
# Parts of a label that are right or wrong, each with its probability. A yes or no is not among
# them: its likelier side is offered.
_PARTS = {
    "failure_point": "p_failure_point",
    "transcript": "p_transcript",
    "intent": "p_intent",
    "slots": "p_slots",
}


def offer(view: View, row: Mapping[str, Any], who: str, now: Desk) -> None:
    """Draw the generated label of a turn with the button that confirms it.

    Nothing is drawn for a turn that gets two independent opinions until both are there: the first
    one would otherwise be the label model's too.
    """
    if not any_labels(view) or now.everybody.waiting([row["turn_id"]]):
        return
    label = _label(view.cache_key("generated_labels"), row["turn_id"], row, view)
    if label is None:
        return
    label = likely(label)
    parts = label_parts(label)
    if not parts:
        return
    # Kept by the session although the queue also shows turns without one.
    st.session_state["offer-labels"] = st.session_state.get("offer-labels", True)
    if not st.toggle("Offer the generated label", key="offer-labels", help=_HELP):
        return
    st.html(piece(TEMPLATE, "values", parts=parts))
    known = label["failure_point"] in FAILURE_POINTS
    st.button(
        "Confirm all of it",
        key=f"confirm-{row['turn_id']}",
        shortcut="G" if known else None,
        icon=":material/done_all:",
        width="stretch",
        disabled=not known,
        help="Records it as your verdict."
        if known
        else "It names no failure point that is likelier than not, so choose one above.",
        on_click=confirm,
        args=(view.path, row, who, label),
    )


def likely(label: Mapping[str, Any]) -> dict[str, Any]:
    """A generated label without the parts that are likelier wrong than right.

    Confirming is one key press, so what is offered must be worth it.
    """
    improbable = {part: None for part, p in _PARTS.items() if label[p] is None or label[p] < EVEN}
    return {**label, **improbable}


@cached_data(max_entries=256, show_spinner=False)
def _label(
    key: CacheKey, turn_id: str, _row: Mapping[str, Any], _view: View
) -> dict[str, Any] | None:
    return generated_labels.of_turn(_view.snapshot, _row)
