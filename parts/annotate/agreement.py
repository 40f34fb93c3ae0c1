"""Inter-annotator agreement, and how many turns each annotator has labelled."""

from __future__ import annotations

import pyarrow.compute as pc
import streamlit as st

from annotation.agreement import Agreement, agreement
from charts.agreement import alphas, alphas_words
from charts.formatting import count
from charts.layout import CONFIG
from data.schema.vocabulary import NAMES
from parts.annotate.queue import progress_table
from parts.server.caching import cached_data
from parts.shared.verdict_form import Desk


@cached_data(max_entries=4, show_spinner="Comparing the annotators")
def _agreement(version: str, path: str, _now: Desk) -> Agreement:
    return agreement(_now.annotations.filter(pc.invert(pc.field("adjudicated"))))


def agreement_task(path: str, now: Desk, who: str | None) -> None:
    """Draw alpha per failure point, kappa per pair, and the progress of each annotator.

    `who` looks at it; None for somebody who has not given a name.
    """
    if not now.annotations.num_rows:
        st.text("Nobody has annotated a turn yet. Label some, or import a file of annotations.")
        return
    result = _agreement(now.version, path, now)
    st.subheader(
        "Inter-annotator agreement",
        anchor=False,
        help="How far people who labelled the same turns, without seeing each other’s labels, "
        "chose the same failure point.",
    )
    if result.overall.turns == 0:
        st.text(
            "No turn is labelled by two people yet; "
            f"{now.share:.0%} of the queue needs a second opinion.".replace("%", "\u2009%")
        )
    else:
        left, right = st.columns([1.3, 1], gap="large")
        with left:
            if result.overall.value is not None:
                st.plotly_chart(
                    alphas(result), config=CONFIG, alt=alphas_words(result), key="alphas"
                )
            st.caption(
                "Krippendorff’s alpha, each failure point against the others: 1 is full agreement, "
                "0 is chance. Whiskers: 95 % of a bootstrap over "
                f"{count(result.overall.turns)} turns that two people or more have labelled."
            )
            with st.expander("As a table"):
                rows = [result.overall, *result.classes]
                st.dataframe(
                    {
                        "Failure point": [NAMES.get(row.what, "All") for row in rows],
                        "Alpha": [row.value for row in rows],
                        "Low": [row.low for row in rows],
                        "High": [row.high for row in rows],
                        "Turns": [row.turns for row in rows],
                    },
                    hide_index=True,
                    height="content",
                    column_config=_TWO,
                )
        with right:
            st.markdown(
                "**Cohen’s kappa per pair**",
                help="Agreement of two annotators beyond chance: 1 is full agreement, 0 is chance.",
            )
            st.dataframe(
                {
                    "Annotators": [" and ".join(row.who) for row in result.pairs],
                    "Kappa": [row.value for row in result.pairs],
                    "Low": [row.low for row in result.pairs],
                    "High": [row.high for row in result.pairs],
                    "Turns": [row.turns for row in result.pairs],
                },
                hide_index=True,
                height="content",
                placeholder="–",
                column_config=_TWO,
            )
    st.subheader(
        "Labelled turns",
        anchor=False,
        help="How many turns each annotator has labelled, by failure point.",
    )
    progress_table(now, who)


_TWO = {
    name: st.column_config.NumberColumn(format="%.2f") for name in ("Alpha", "Kappa", "Low", "High")
}
