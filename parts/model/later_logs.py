"""What to expect of the model on later logs, what moved, and what bounds any model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import streamlit as st

from charts import later_logs as charts
from charts.formatting import THIN, count, percent, plain
from charts.layout import CONFIG
from classifiers import registry
from classifiers.evaluation.stored import not_evaluated, promised
from classifiers.evaluation.words import bursts, ceiling, period, shifted
from classifiers.splits import without_dates
from data.errors import ModelError
from parts.jobs.widget import offer
from parts.server.access import open_store
from parts.shared.view import View, reader_zone

_SPLITS = {"folds": "Random folds", "forward": "Forward split"}
_PERCENT = st.column_config.NumberColumn(format="%.1f %%")


def expected_line(view: View) -> None:
    """Draw, under the figures of known turns, what to expect on later logs, where that is known."""
    try:
        folder = registry.folder_of(open_store(view.path).models, str(view.model))
        figures = promised(folder)
    except ModelError:
        # The look of its own says what is wrong.
        return
    if figures:
        st.markdown(_expected(figures))


def later(view: View, folder: Path) -> None:
    """Draw both splits, warnings, what moved and known limits, and a button that works them out."""
    st.subheader(
        "Later logs",
        anchor=False,
        help="How good the model will be on logs to come: tested on random dialogues, and on later "
        "ones after learning from earlier ones. The lower of the two is what to expect.",
    )
    figures = promised(folder)
    if figures:
        _figures(figures)
    else:
        st.caption("Of this model, nothing is known of how it does on later logs.")
    if why := not_evaluated(folder):
        st.caption(plain(why))
        return
    offer(
        view.path,
        "Evaluation",
        "Evaluate again" if figures and "folds" in figures else "Evaluate on later logs",
        "The model is trained on parts of the labelled dialogues and tested on the rest, six "
        "times: minutes to tens of minutes, in a process of its own. The dashboard stays usable "
        "meanwhile.",
        "classifiers.evaluation.stored",
        view.path,
        folder.name,
    )


def _expected(figures: dict[str, Any]) -> str:
    headline, forward = figures["headline"], figures["forward"]
    low, high = headline["interval"]
    if "macro_f1" in forward:
        why = (
            f"the lower of random folds, {percent(figures['macro_f1'])}, and a forward split, "
            f"{percent(forward['macro_f1'])}"
        )
    else:
        why = f"by random folds alone, because {plain(forward['reason'])}"
    return (
        f"**Expect a macro-F1 of {percent(headline['macro_f1'])} on later logs** "
        f":small[:gray[{percent(low)} to {percent(high)}; {why}]]"
    )


def _figures(figures: dict[str, Any]) -> None:
    forward = figures["forward"]
    st.markdown(_expected(figures))
    for sentence in bursts(figures["concentration"]):
        st.markdown(f":material/warning: {plain(_spaced(sentence))}")
    by_split = {_SPLITS["folds"]: figures}
    if "macro_f1" in forward:
        by_split[_SPLITS["forward"]] = forward
    st.plotly_chart(
        charts.splits(by_split), config=CONFIG, alt=charts.splits_words(by_split), key="splits"
    )
    st.caption(_source(figures))
    with st.expander("As a table"):
        _table(by_split)
    if "shift" in forward:
        st.markdown(
            "**What moved**",
            help="How far features and failure points moved between the part learned from and the "
            "later one; the population stability index is below 0.1 where they are stable, and "
            "above 0.25 where they have shifted.",
        )
        st.text(_spaced(shifted(forward["shift"])))
    if "limits" in figures:
        st.markdown(
            "**Known limits**",
            help="Estimates of what any model could reach on these labels and logs, each with its "
            "assumptions: labels are noisy, and some failures leave no trace in the log.",
        )
        for sentence in ceiling(figures["limits"]):
            st.text(_spaced(sentence))


def _spaced(sentence: str) -> str:
    """A sentence of the command line with percentages as on pages."""
    return sentence.replace("%", f"{THIN}%")


def _source(figures: dict[str, Any]) -> str:
    forward = figures["forward"]
    undated = forward.get("undated", 0)
    left_out = f" In the forward split: {without_dates(undated)}." if undated else ""
    if "folds" not in figures:
        return (
            "From the training, a quick estimate: of the forward split, only the trees are "
            f"strictly of the past.{left_out} Whiskers are 95 % intervals from resampling "
            "dialogues."
        )
    when = datetime.fromtimestamp(figures["made_at"], UTC).astimezone(reader_zone())
    return (
        f"{figures['folds']} random folds of {count(figures['turns'])} labelled turns"
        + (f"; forward: {plain(period(forward))}" if "macro_f1" in forward else "")
        + f".{left_out} Whiskers are 95 % intervals from resampling dialogues. Computed on "
        f"{when:%-d %B %Y, %H:%M %Z}, version {plain(figures['version'])}."
    )


def _table(by_split: dict[str, dict[str, Any]]) -> None:
    tables = {split: {row.name: row for row in charts.rows(f)} for split, f in by_split.items()}
    names = list(next(iter(tables.values())))
    columns: dict[str, list[Any]] = {"Figure": names}
    for split, table in tables.items():
        for key, label in (("value", split), ("low", "low"), ("high", "high")):
            columns[label if key == "value" else f"{split}, {label}"] = [
                100 * getattr(table[name], key) if name in table else None for name in names
            ]
    st.dataframe(
        columns,
        hide_index=True,
        height="content",
        column_config=dict.fromkeys(list(columns)[1:], _PERCENT),
    )
