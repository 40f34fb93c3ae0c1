"""Error budgets: the form that sets the targets, and how each budget stands."""

from __future__ import annotations

import streamlit as st

from charts.formatting import (
    count,
    number,
    percent,
)
from charts.sentences import budget_words, period_words, spent_share
from data.errors import FaultlineError, machine_error
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from data.store import workspace
from data.store.store import Store
from parts.shared.view import View, go_to_newest
from report.contents import Headline

_TROUBLE = "targets_trouble"


def budget_panel(view: View, head: Headline) -> None:
    """Draw one row per stage that has a target, and a form to set the targets."""
    targets = workspace.targets(view.snapshot)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Error budgets", anchor=False)
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
    st.dataframe(
        {
            "Stage": [NAMES[budget.failure_point] for budget in budgets],
            "Target": [100 * budget.target for budget in budgets],
            "Share now": [
                100 * budget.spent / budget.turns if budget.turns else None for budget in budgets
            ],
            "Spent": [100 * spent_share(budget) for budget in budgets],
            "Failed of allowed": [
                f"{count(budget.spent)} of {count(budget.allowed)}" for budget in budgets
            ],
            "Pace": [
                "–" if budget.burn_rate is None else f"{number(budget.burn_rate, 2)}×"
                for budget in budgets
            ],
            "How it stands": [
                f"{percent(spent_share(budget), 0)} spent, {budget_words(budget)}"
                for budget in budgets
            ],
        },
        hide_index=True,
        height="content",
        placeholder="–",
        column_config={
            "Target": st.column_config.NumberColumn(format="%.1f %%"),
            "Share now": st.column_config.NumberColumn(format="%.1f %%"),
            "Spent": st.column_config.ProgressColumn(
                format="%.0f %%", min_value=0, max_value=100, color="primary"
            ),
            "Pace": st.column_config.TextColumn(
                help="How many times faster than evenly the last seven days spent it."
            ),
        },
    )
    st.caption(
        f"{period_words(head.periods.recent)}, of the turns within the filters; failed turns are "
        "model estimates."
    )


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
    try:
        store = Store.open(view.path)
        for name in FAILURES:
            percentage = st.session_state.get(_field(view, name))
            target = None if not percentage else round(float(percentage) / 100, 6)
            if target != targets.get(name):
                workspace.set_target(store, name, target)
    except FaultlineError as error:
        st.session_state[_TROUBLE] = str(error)
    except OSError as error:
        st.session_state[_TROUBLE] = str(
            machine_error(error, view.path)
            or f"The targets could not be saved: the store cannot be written ({error.strerror})."
        )
    go_to_newest()
