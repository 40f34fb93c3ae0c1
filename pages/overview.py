"""How much fails, where, and since when."""

from __future__ import annotations

from typing import Any

import streamlit as st

from charts.layout import CONFIG
from charts.palette import NAMES
from charts.rates import shares, shares_words, trend, trend_words
from charts.words import count, percent, points
from data import overview
from parts.defects import defect_list
from parts.filterbar import chips
from parts.frame import no_predictions
from parts.scope import scope
from parts.tables import shares_table, trend_table

view = scope()
if view.model is None or view.bounds is None:
    no_predictions(view.snapshot, view.path)
    st.stop()

chosen = view.chosen
first, last = chosen.since or view.bounds[0], chosen.until or view.bounds[1]
by = overview.grain(first, last)
table = overview.trend(view.snapshot, view.model, chosen, by)
now = overview.totals(table)
earlier = chosen.before(view.bounds[1])
past = None
# A period of which the store holds only a part would make every change look large.
if earlier and earlier.since and earlier.since >= view.bounds[0]:
    past = overview.totals(overview.trend(view.snapshot, view.model, earlier, by))
    past = past if past.turns else None

chips(chosen, f"{count(now.turns)} {'turn' if now.turns == 1 else 'turns'}")
if not now.turns:
    st.text("No turn fits these filters. Take one away.")
    st.stop()

low, high = now.defect_interval
worst = now.worst
turns: list[Any] = table["turns"].to_pylist()
rates = [
    sum(parts) / n
    for n, *parts in zip(
        turns,
        *(table[f"p_{name}"].to_pylist() for name in overview.FAILURES),
        strict=True,
    )
]
with st.grid(4, min_column_width=210, gap="small"):
    st.metric(
        "Turns",
        count(now.turns),
        delta=percent(now.turns / past.turns - 1, 0, "+") if past else None,
        delta_color="off",
        border=True,
        height="stretch",
        chart_data=turns,
        chart_type="bar",
        help="Requests in this period.",
    )
    st.metric(
        "Defect rate, estimated",
        f"{percent(now.defect_rate)} :small[:gray[{percent(low)} to {percent(high)}]]",
        delta=points(now.defect_rate - past.defect_rate) if past else None,
        delta_color="off",
        delta_description="on the period before" if past else None,
        border=True,
        height="stretch",
        chart_data=rates,
        help="Model estimate: the mean of each turn’s calibrated probability that it failed, with "
        "a 95 % interval for the number of turns seen. The interval assumes independent turns and "
        "is too narrow where dialogues are long. How far the model itself can be trusted is "
        "another matter.",
    )
    st.metric(
        "Worst stage",
        f"{NAMES[worst]} :small[:gray[{percent(now.rate(worst))} of turns]]",
        delta=points(now.rate(worst) - past.rate(worst)) if past else None,
        delta_color="off",
        border=True,
        height="stretch",
        chart_data=[p / n for p, n in zip(table[f"p_{worst}"].to_pylist(), turns, strict=True)],
        help="The failure point with the largest estimated share.",
    )
    st.metric(
        "Called defects",
        f"{count(now.defects)} :small[:gray[{percent(now.defects / now.turns)} of turns]]",
        border=True,
        height="stretch",
        chart_data=[n - c for n, c in zip(turns, table["n_correct"].to_pylist(), strict=True)],
        chart_type="bar",
        help="Turns whose verdict is a failure: those listed below. The verdict weighs the "
        "probabilities so that rare stages are named too, and close calls all fall to one side; "
        "for the rate trust the estimate.",
    )

left, right = st.columns([1.7, 1], gap="medium")
with left:
    st.subheader(f"Share of turns that failed, per {by}", anchor=False)
    st.plotly_chart(trend(table, by), config=CONFIG, alt=trend_words(table, by), key="trend")
    with st.expander("As a table"):
        trend_table(table, by)
with right:
    st.subheader("Where they failed", anchor=False)
    st.plotly_chart(shares(now, past), config=CONFIG, alt=shares_words(now), key="shares")
    with st.expander("As a table"):
        shares_table(now)
st.caption(
    "Shares are model estimates, days are UTC; whiskers show 95 % intervals, as if turns were "
    "independent."
)

defect_list(view, now)
