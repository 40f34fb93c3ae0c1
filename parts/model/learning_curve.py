"""The learning curve: what more annotations would gain; and the model card."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import streamlit as st

from charts.formatting import count, plain, points
from charts.html import render
from charts.layout import CONFIG
from charts.learning_curve import learning, learning_words
from charts.markdown import inert
from classifiers import registry
from classifiers.evaluation.learning_curve import read
from data.errors import ModelError
from parts.jobs.widget import offer
from parts.shared.view import View, reader_zone

_MOST = 65_536


def curve(view: View, folder: Path) -> None:
    """Draw the learning curve stored beside the model, and a button that works it out."""
    st.subheader(
        "Learning curve",
        anchor=False,
        help="How performance grows with labelled turns, and what more annotations would gain.",
    )
    st.caption("What more annotations would buy.")
    stored = read(folder)
    if stored:
        _curve(stored)
    offer(
        view.path,
        "Learning curve",
        "Recompute" if stored else "Compute the learning curve",
        "The model is trained on growing shares of the labelled dialogues: minutes to tens of "
        "minutes, in a process of its own. The dashboard stays usable meanwhile.",
        "classifiers.evaluation.learning_curve",
        view.path,
        folder.name,
    )


def _curve(stored: dict[str, Any]) -> None:
    forecast = next((row for row in stored["ahead"] if row["more"] == 500), stored["ahead"][-1])
    st.markdown(
        f"**{count(forecast['more'])} more annotations would buy about {points(forecast['gain'])} "
        f"of macro-F1** :small[:gray[{points(forecast['gain_low'])} to "
        f"{points(forecast['gain_high'])}, from {count(stored['labelled'])} now]]"
    )
    st.plotly_chart(learning(stored), config=CONFIG, alt=learning_words(stored), key="learning")
    made_at = datetime.fromtimestamp(stored.get("made_at", 0), UTC).astimezone(reader_zone())
    st.caption(
        "Out-of-fold macro-F1; whiskers are 95 % intervals from resampling dialogues. Hollow: a "
        "power law through the points, whose interval also resamples the fits; it takes new "
        f"annotations to be like the old ones. {plain(stored['fixed'])} Computed on "
        f"{made_at:%-d %B %Y, %H:%M %Z}, version {plain(stored.get('version', '–'))}."
    )
    with st.expander("As a table"):
        rows = [*stored["points"], *stored["ahead"]]
        st.dataframe(
            {
                "Labelled turns": [round(row["labels"]) for row in rows],
                "Macro-F1": [round(row["macro_f1"], 3) for row in rows],
                "Low": [round(row["low"], 3) for row in rows],
                "High": [round(row["high"], 3) for row in rows],
                "": ["extrapolated" if "more" in row else "measured" for row in rows],
            },
            hide_index=True,
        )


def card(folder: Path) -> None:
    """Draw the model card; of its Markdown only headings, tables and code are interpreted."""
    st.subheader("Model card", anchor=False)
    path = folder / registry.CARD
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"The card of model {folder.name} cannot be read ({error}); train the model again."
        ) from error
    with st.container(key="model-card"):
        st.html(render("parts/model/card.html"))
        st.markdown(inert(text))
