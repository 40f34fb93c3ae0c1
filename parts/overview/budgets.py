"""Error budgets: the form that sets the targets, and the status of each budget."""

from __future__ import annotations

import streamlit as st

from charts.palette import ALARM
from charts.sentences import (
    BURN_RATE,
    budget_status,
    budget_words,
    burn_words,
    count_of,
    over_words,
    period_words,
    spent_share,
)
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from data.store import workspace
from parts.overview.tables import share
from parts.server.access import may, open_store
from parts.shared.formatted import formatted
from parts.shared.view import View, go_to_newest
from parts.shared.writing import refused
from report.contents import Headline

_TROUBLE = "targets_trouble"


def budget_panel(view: View, head: Headline, targets: dict[str, float]) -> None:
    """Draw one row per stage that has a target, and a form to set the targets."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Error budgets", anchor=False)
        if may("alert"):
            with st.popover("Set targets", icon=":material/target:"):
                _form(view, targets)
    trouble = st.session_state.pop(_TROUBLE, None)
    if trouble:
        st.text(trouble)
    budgets = head.budgets(targets)
    if not budgets:
        st.caption(
            "No stage has a target yet. Set the share of turns that each may cost, and this shows "
            "how much of it is spent."
        )
        return
    red = ALARM[st.context.theme.type == "dark"]
    st.dataframe(
        formatted(
            {
                "Stage": [NAMES[budget.failure_point] for budget in budgets],
                "Status": [budget_words(budget) for budget in budgets],
                "Target": [budget.target for budget in budgets],
                "Rate": [b.spent / b.turns if b.turns else None for b in budgets],
                "Failed of allowed": [count_of(b.spent, b.allowed) for b in budgets],
                "Spent": [100 * spent_share(budget) for budget in budgets],
                "Burn rate": [burn_words(budget) for budget in budgets],
            },
            {"Target": share, "Rate": share},
            # Never red alone: the words begin with a symbol and say it too.
            {"Status": [red if budget_status(b) == "spent" else None for b in budgets]},
        ),
        hide_index=True,
        height="content",
        placeholder="–",
        column_config={
            "Stage": st.column_config.TextColumn(width=90),
            "Status": st.column_config.TextColumn(width=270),
            "Target": st.column_config.Column(
                width=80, help="The largest share of turns that the stage may cost."
            ),
            "Rate": st.column_config.Column(
                width=80, help="The estimate of the period, as in the boxes at the top."
            ),
            "Failed of allowed": st.column_config.TextColumn(
                width=140, help="Estimated failed turns, and those the target allows."
            ),
            "Spent": st.column_config.ProgressColumn(
                format="%.0f %%", min_value=0, max_value=100, color="primary", width=140
            ),
            "Burn rate": st.column_config.TextColumn(width=90, help=BURN_RATE),
        },
    )
    st.caption(f"{period_words(head.periods.shown)}. {over_words(targets)} {BURN_RATE}")


def _form(view: View, targets: dict[str, float]) -> None:
    with st.form("targets", border=False):
        st.caption("The largest share of turns that each stage may cost. Empty or 0: no target.")
        for name in FAILURES:
            st.number_input(
                f"{NAMES[name]}, % of turns",
                min_value=0.0,
                max_value=99.0,
                step=0.1,
                format="%.1f",
                value=100 * targets[name] if name in targets else None,
                placeholder="none",
                key=_field(view, name),
            )
        st.form_submit_button("Save", on_click=_save, args=(view, targets))


def _field(view: View, name: str) -> str:
    return f"target-{name}-{view.snapshot.version}"


def _save(view: View, targets: dict[str, float]) -> None:
    """Save the targets that differ from those shown, and go to the version that has them."""

    def save() -> None:
        store = open_store(view.path)
        for name in FAILURES:
            percentage = st.session_state.get(_field(view, name))
            target = None if not percentage else round(float(percentage) / 100, 6)
            if target != targets.get(name):
                workspace.set_target(store, name, target)

    if problem := refused(save, view.path):
        st.session_state[_TROUBLE] = problem
    go_to_newest()
