"""One slice: its trend, distinguishing features, evidence of the stage, requests and turns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pyarrow as pa
import streamlit as st

from analysis import stage_evidence as reading
from analysis.period_comparison import significance
from analysis.request_clusters import Group, groups
from analysis.slices.contrast import (
    Apart,
    Comparison,
    apart,
)
from analysis.slices.ranking import Ranked
from analysis.slices.search import Slice, words_of
from charts.formatting import (
    count,
    number,
    percent,
    plain,
    short,
)
from charts.html import piece
from charts.layout import CONFIG
from charts.palette import colour_of
from charts.reasons import reason
from charts.slices import (
    steps,
    trend,
    trend_words,
)
from classifiers import registry
from data.errors import FaultlineError
from data.queries.dimensions import condition_words
from data.queries.slice_evidence import Inside
from data.queries.slices import (
    Conditions,
    daily,
    examples,
    narrowed,
    releases,
    requests,
)
from data.queries.turn_list import CERTAIN, DEFECTS, Listing
from data.schema.trace import STAGES
from data.schema.vocabulary import EVIDENCE_NAMES, NAMES, stage_of
from features import catalogue
from parts.server.access import access, may, open_store
from parts.server.caching import cached_data, cached_resource
from parts.shared.alert_button import alert_button
from parts.shared.turn_list import choose
from parts.shared.view import FEWEST, NEEDS, PAGES, CacheKey, View
from parts.triage.bulk import label_or_assign
from parts.triage.overlap import compare, overlapping
from parts.triage.rewrites import would_mend
from parts.triage.slice_picker import (
    ANY,
    TITLES,
    p_words,
)
from parts.triage.stage_evidence import show
from tickets.draft import Figures

if TYPE_CHECKING:
    from classifiers.encoder import Encoder

_TEMPLATE = "parts/triage/slices.html"
_PIECES = "parts/shared/pieces.html"
# Turns that can be labelled or assigned at once.
_MANY = 100
# A narrow screen has the list first, and a link to this anchor.
ANCHOR = "slice"
# More vertical lines than these could not be read.
_MOST_RELEASES = 8
# Distinguishing features that are shown, and those that are looked at: not all can be told.
_FEATURES, _LOOKED_AT = 8, 24


@cached_data(max_entries=64, show_spinner=False)
def _days(key: CacheKey, inside: Inside, _view: View) -> pa.Table:
    assert _view.model is not None
    return daily(
        _view.snapshot, _view.model, inside.failure_point, _view.chosen, [inside.conditions]
    )[0]


@cached_data(max_entries=64, show_spinner=False)
def _apart(key: CacheKey, inside: Inside, _view: View) -> Comparison:
    return apart(_view.snapshot, inside, _LOOKED_AT)


@cached_data(max_entries=64, show_spinner=False)
def _evidence(key: CacheKey, inside: Inside, _view: View) -> reading.Evidence:
    return reading.of_slice(_view.snapshot, inside)


@cached_data(max_entries=64, show_spinner=False)
def _examples(key: CacheKey, inside: Inside, _view: View, rows: int = 10) -> pa.Table:
    return examples(_view.snapshot, inside, rows)


@cached_data(max_entries=64, show_spinner=False)
def _releases(key: CacheKey, stage: str, _view: View) -> dict[str, date]:
    assert _view.model is not None
    return releases(_view.snapshot, _view.model, stage)


@cached_resource(max_entries=1, show_spinner=False)
def _encoder(path: str, model: str) -> Encoder | None:
    return registry.load(open_store(path).models, model, threads=1).encoder


@cached_data(max_entries=64, show_spinner=False)
def _groups(key: CacheKey, inside: Inside, _view: View) -> list[Group] | None:
    encoder = _encoder(_view.path, inside.model)
    return None if encoder is None else groups(requests(_view.snapshot, inside), encoder)


def about(
    view: View,
    key: str,
    point: str,
    conditions: Conditions,
    slice_: Slice | None,
    result: Ranked | None,
    others: Sequence[str] = (),
) -> None:
    """Draw everything about a slice; `slice_` is None if it does not stand out.

    `others` are the keys of slices that it may be compared with.
    """
    assert view.model is not None
    inside = Inside(view.model, point, conditions, view.chosen)
    at = (view.turns_key, inside, view)
    st.header(f"{TITLES[point]}: {plain(words_of(conditions))}", anchor=ANCHOR)
    days = _days(*at)
    if not sum(_column(days, "turns")):
        st.text("No turn of these filters lies in this slice.")
        return
    if access().aggregates_only and sum(_column(days, "turns")) < FEWEST:
        st.text(f"Fewer than {FEWEST} turns lie in this slice, too few for a viewer.")
        return
    _numbers(days, slice_, result)
    alternatives = slice_.overlapping if slice_ else ()
    overlapping(view, point, conditions, alternatives)
    compare(view, key, point, conditions, days, others, alternatives)
    released = known_releases(view, point, conditions)
    dates = _column(days, "day")
    in_period = {day: name for day, name in released.items() if dates[0] < day <= dates[-1]}
    recent = dict(sorted(in_period.items())[-_MOST_RELEASES:])
    st.plotly_chart(
        trend(days, point, recent), config=CONFIG, alt=trend_words(days, recent), key="slice-trend"
    )
    with st.expander("As a table"):
        _table(days)
    if not may("turns"):
        return
    with st.spinner("Reading the turns of this slice"):
        _apart_from_others(_apart(*at), point)
        evidence = _evidence(*at)
        show(evidence, inside, view)
        would_mend(view, point, conditions, days, evidence)
        _requests(at, key)
        _turns(at, key)
        _decide_on_turns(at, key)
    link = _explore(view, point, conditions)
    if same_turns := narrowed(view.chosen, conditions):
        alert_button(
            view,
            slice_.rate_interval[1] if slice_ else None,
            same_turns,
            None if point == ANY else point,
        )
    if link:
        st.link_button("These turns in Explore", link, icon=":material/table_view:")


def figures_of(view: View, point: str, conditions: Conditions, slice_: Slice | None) -> Figures:
    """What `about` has shown of a slice, for its ticket; read once for both."""
    assert view.model is not None
    inside = Inside(view.model, point, conditions, view.chosen)
    at = (view.turns_key, inside, view)
    return Figures(
        inside,
        view.snapshot.version,
        _days(*at),
        slice_,
        lambda: _apart(*at),
        lambda: _evidence(*at),
        lambda: _examples(*at),
    )


def known_releases(view: View, point: str, conditions: Conditions) -> dict[date, str]:
    """First days of the releases of the stage that is blamed, and of the stages in the slice."""
    assert view.model is not None
    named = {
        stage_of(point),
        *(name.removeprefix("version_") for name, _ in conditions if name.startswith("version_")),
    }
    names_by_day: dict[date, list[str]] = {}
    for stage in STAGES:
        if stage in named:
            first_days = _releases(view.unfiltered.turns_key, stage, view)
            for version, day in first_days.items():
                names_by_day.setdefault(day, []).append(
                    condition_words(f"version_{stage}", version)
                )
    return {
        day: ", ".join(short(name, 24) for name in names) for day, names in names_by_day.items()
    }


def _column(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table[name].to_pylist()
    return values


def _numbers(days: pa.Table, slice_: Slice | None, result: Ranked | None) -> None:
    turns, total, everything, failed = (
        sum(_column(days, name)) for name in ("turns", "total", "all_turns", "all_total")
    )
    rest = (failed - total) / (everything - turns) if everything > turns else 0.0
    parts = [
        f"**{percent(total / turns)}** of {count(turns)} turns, "
        f"against {percent(max(0.0, rest))} elsewhere"
    ]
    if slice_:
        parts.append(
            f"**{count(slice_.impact)}** excess failures "
            f"({count(slice_.low)} to {count(slice_.high)})"
        )
        parts.append(f"adjusted {p_words(slice_.q_value)}, {significance(slice_.q_value)}")
    elif result:
        parts.append("not among the significant slices within these filters")
    st.markdown(
        " · ".join(parts),
        help="Excess failures: those beyond what the rate of all other turns would give, with a "
        "95\u2009% interval. Adjusted p-value (FDR): how likely so many are by chance, corrected "
        "for all slices that were tested.",
    )


def _table(days: pa.Table) -> None:
    rows = steps(days)
    st.dataframe(
        {
            "From": [row.day for row in rows],
            "Turns": [row.turns for row in rows],
            "Rate": [None if row.rate is None else 100 * row.rate for row in rows],
            "Low": [100 * row.low if row.turns else None for row in rows],
            "High": [100 * row.high if row.turns else None for row in rows],
            "Elsewhere": [None if row.rest is None else 100 * row.rest for row in rows],
        },
        hide_index=True,
        height=240,
        column_config={
            name: st.column_config.NumberColumn(format="%.1f %%")
            for name in ("Rate", "Low", "High", "Elsewhere")
        },
    )


def _apart_from_others(comparison: Comparison, point: str) -> None:
    st.subheader(
        "Distinguishing features",
        anchor=False,
        help="What counts for this prediction more often here than in other turns with the same "
        "prediction.",
    )
    if not comparison.turns or not comparison.rest:
        where = "elsewhere" if comparison.turns else "in this slice"
        st.caption(f"No turn {where} has this prediction, so there is nothing to compare.")
        return
    told = [
        (feature, one.words)
        for feature in comparison.features
        if (one := reason(feature.name, feature.value, feature.inside, point)) and one.supports
    ][:_FEATURES]
    if not told:
        st.caption("The reasons of its turns are those of turns elsewhere.")
        return
    reach = max(feature.inside for feature, _ in told)
    st.html(
        piece(
            _TEMPLATE,
            "reasons",
            features=[_reason(feature, words, reach) for feature, words in told],
        )
    )
    st.caption(
        f"Coloured: how much each counts for {NAMES.get(point, 'the prediction')} here; grey: in "
        f"turns with the same prediction elsewhere. {count(comparison.turns)} turns against "
        f"{count(comparison.rest)}."
    )
    with st.expander("Contributions in log-odds"):
        _log_odds(told, comparison)


def _log_odds(told: Sequence[tuple[Apart, str]], comparison: Comparison) -> None:
    rows = [
        [
            words,
            f"{feature.inside:+.2f}",
            f"{feature.rest:+.2f}",
            f"{feature.difference:+.2f} ({feature.low:+.2f} to {feature.high:+.2f})",
        ]
        for feature, words in told
    ]
    heads = ["feature", "here", "elsewhere", "difference (95\u2009%)"]
    st.html(piece(_PIECES, "plain_table", heads=heads, rows=rows, numbers=(1, 2, 3)))
    stages = ", ".join(
        f"{EVIDENCE_NAMES[stage.name]} {stage.difference:+.2f}"
        for stage in comparison.stages
        if stage.low > 0
    )
    st.caption(
        "Mean SHAP values towards the prediction."
        + (f" By stage, more than elsewhere: {stages}." if stages else "")
    )


def _reason(feature: Apart, words: str, reach: float) -> dict[str, Any]:
    """A feature as the template draws it, on a scale from 0 to `reach`."""
    averages = ""
    if feature.value is not None and catalogue.feature(feature.name).unit != "yes/no":
        averages = f"on average {number(feature.value)}, elsewhere {number(feature.rest_value)}"
    return {
        "sentence": words,
        "colour": colour_of(feature.stage),
        "averages": averages,
        "named": f"{percent(feature.named, 0)} of turns",
        "inside": feature.inside,
        "elsewhere": max(0.0, feature.rest),
        "reach": reach,
        "words": f"Among the strongest reasons of {percent(feature.named, 0)} of these turns, and "
        f"of {percent(feature.rest_named, 0)} elsewhere",
    }


def _requests(at: tuple[CacheKey, Inside, View], key: str) -> None:
    st.subheader(
        "Request clusters", anchor=False, help="Requests of this slice with similar meanings."
    )
    keys = st.session_state.setdefault("grouped", set())
    if key not in keys:
        st.button(
            "Cluster the requests",
            icon=":material/workspaces:",
            help="Takes some seconds: the model’s text encoder reads up to a thousand requests.",
            on_click=keys.add,
            args=(key,),
        )
        return
    try:
        grouped = _groups(*at)
    except FaultlineError as error:
        st.caption(plain(str(error)))
        return
    if grouped is None:
        st.caption("This model was trained without a text encoder, so requests are not clustered.")
    elif not grouped:
        st.caption("No two requests of this slice are alike.")
    else:
        st.html(piece(_TEMPLATE, "request_groups", groups=grouped))


def _turns(at: tuple[CacheKey, Inside, View], key: str) -> None:
    rows = _examples(*at)
    _, inside, view = at
    st.subheader(
        "Highest-confidence examples",
        anchor=False,
        help="The turns of this slice of whose prediction the model is surest.",
    )
    if rows.num_rows:
        # As the rows are: the surest first.
        of = DEFECTS if inside.failure_point == ANY else inside.failure_point
        listed = Listing(of, CERTAIN, tuple(inside.conditions))
        choose(rows, view, listed, failing=inside.failure_point, slice=key)
    else:
        st.caption("No turn of this slice has this prediction; its excess lies in close calls.")


def _decide_on_turns(at: tuple[CacheKey, Inside, View], key: str) -> None:
    """Labelling and assigning, read only when somebody wants to."""
    _, inside, view = at
    fold = st.expander(
        "Label or assign turns",
        key=f"bulk-{key}",
        icon=":material/checklist:",
        on_change="rerun",
    )
    with fold:
        if fold.open:
            label_or_assign(view, inside, _examples(*at, _MANY), key)


def _explore(view: View, point: str, conditions: Conditions) -> str | None:
    """Address of Explore with these turns; None where no filter says the same, or without it."""
    if not (may(NEEDS["explore"]) and any(name == "explore" for name, _, _ in PAGES)):
        return None
    same_turns = narrowed(view.chosen, conditions)
    if same_turns is None:
        return None
    query = same_turns.query()
    if point != ANY:
        query["failure_point"] = [point]
    return "explore?" + urlencode({**view.link(), **query}, doseq=True)
