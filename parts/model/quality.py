"""Performance of the model: confusion matrix, precision and recall, calibration, thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from charts import model_quality as charts
from charts.formatting import count, percent
from charts.layout import CONFIG
from charts.palette import INK
from classifiers.evaluation import curves
from classifiers.evaluation.curves import Curve
from classifiers.evaluation.judged import Tested, quality
from classifiers.metrics import average_precision_interval
from data.errors import UsageError
from data.queries.ground_truth import labelled
from data.queries.sampling import one_in
from data.queries.thresholds import (
    STEPS,
    TARGETS,
    flagged,
)
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES
from parts.server.caching import cached_data, cached_resource
from parts.shared import address
from parts.shared.cached_figures import cached_figure
from parts.shared.choice import one_of
from parts.shared.view import CacheKey, View

_PERCENT = st.column_config.NumberColumn(format="%.1f %%")


@cached_resource(max_entries=24, show_spinner=False)
def _tested(key: CacheKey, _view: View) -> Tested:
    assert _view.model is not None
    return Tested.of(labelled(_view.snapshot, _view.model, _view.chosen))


def tested(view: View) -> Tested:
    """The turns within the filter whose truth is known; cached and shared: do not modify it."""
    return _tested(view.cache_key(), view)


@cached_data(max_entries=64, show_spinner=False)
def _one_dialogue_in(key: CacheKey, _view: View) -> int:
    assert _view.model is not None
    return one_in(_view.snapshot, _view.model, _view.chosen)


def one_dialogue_in(view: View) -> int:
    """n, where one in n dialogues of known truth was read; 1 where all were."""
    return _one_dialogue_in(view.cache_key(), view)


@cached_data(max_entries=16, show_spinner=False)
def _figures(key: CacheKey, _view: View) -> dict[str, Any]:
    return quality(tested(_view))


def figures(view: View) -> dict[str, Any]:
    """The metrics of `classifiers.evaluation.judged.quality`; needs at least one known turn."""
    return _figures(view.cache_key(), view)


@cached_data(max_entries=16, show_spinner=False)
def _curves(key: CacheKey, _view: View) -> dict[str, Curve]:
    sample = tested(_view)
    return {
        target: curves.precision_recall(sample.hit(target), sample.p(target))
        for target in TARGETS
        if sample.hit(target).any()
    }


@cached_data(max_entries=16, show_spinner=False)
def _average_spans(key: CacheKey, _view: View) -> dict[str, tuple[float, float]]:
    """The interval of the average precision of every target that occurs."""
    sample = tested(_view)
    # Fewer resamples than for a single figure: there is one set for each target.
    return {
        target: average_precision_interval(
            sample.hit(target), sample.p(target), sample.group, draws=200
        )
        for target in TARGETS
        if sample.hit(target).any()
    }


@cached_data(max_entries=32, show_spinner=False)
def _bins(key: CacheKey, target: str, _view: View) -> list[curves.Bin]:
    sample = tested(_view)
    return curves.calibration(sample.hit(target), sample.p(target), sample.group)


@cached_data(max_entries=32, show_spinner=False)
def _flagged(key: CacheKey, target: str, _view: View) -> list[int]:
    assert _view.model is not None
    return flagged(_view.snapshot, _view.model, _view.chosen, target)


@cached_data(max_entries=32, show_spinner=False)
def _sweep(
    key: CacheKey, target: str, _view: View
) -> tuple[list[float], list[tuple[float | None, float, float]], list[float | None]]:
    """Precision with interval, and recall, at every hundredth."""
    sample = tested(_view)
    hit, p = sample.hit(target), sample.p(target)
    steps = [i / STEPS for i in range(1, STEPS)]
    all_at = [curves.at_threshold(hit, p, sample.group, step) for step in steps]
    return (
        steps,
        [(a.precision, *a.precision_interval) for a in all_at],
        [a.recall for a in all_at],
    )


def headline(view: View, sample: Tested) -> None:
    """Draw four numbers, with their intervals."""
    metrics = figures(view)
    spans = metrics["intervals"]
    flags, defects = sample.hit("defect"), sample.verdict != "correct"
    right = flags & defects
    with st.grid(4, min_column_width=185, gap="small"):
        st.metric(
            "Macro-F1",
            _with_span(metrics["macro_f1"], spans["macro_f1"]),
            border=True,
            height="stretch",
            help="F1 averaged over the failure points that occur, rare ones counting as much as "
            "common ones; 95 % interval from resampling dialogues.",
        )
        n = int(defects.sum())
        low, high = curves.share_interval(right, defects, sample.group)
        st.metric(
            "Precision, any defect",
            _with_span(right.sum() / n, (low, high)) if n else "–",
            border=True,
            height="stretch",
            help="Right when it says so: of the turns predicted to fail, the share that did fail, "
            "at whatever stage.",
        )
        failed = int(flags.sum())
        low, high = curves.share_interval(right, flags, sample.group)
        st.metric(
            "Recall, any defect",
            _with_span(right.sum() / failed, (low, high)) if failed else "–",
            border=True,
            height="stretch",
            help="Found of those there are: of the turns that failed, the share predicted to fail.",
        )
        st.metric(
            "Calibration error",
            _points(metrics.get("defect_calibration_error"), spans.get("defect_calibration_error")),
            border=True,
            height="stretch",
            help="Expected calibration error (ECE): mean distance between the predicted "
            "probability of a defect and how often there is one, in percentage points.",
        )


def _with_span(value: float, span: tuple[float, float]) -> str:
    return f"{percent(value)} :small[:gray[{percent(span[0])} to {percent(span[1])}]]"


def _points(value: float | None, span: tuple[float, float] | None) -> str:
    if value is None or span is None:
        return "–"
    low, high = (f"{100 * end:.1f}" for end in span)
    return f"{100 * value:.1f}\u2009pts :small[:gray[{low} to {high}]]"


def rates(view: View, sample: Tested) -> None:
    """Draw the confusion matrix and the rates per class, with the numbers behind them."""
    metrics = figures(view)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader(
            "Confusion matrix",
            anchor=False,
            help="How turns are labelled (rows) and what is predicted for them (columns). On the "
            "diagonal, the prediction is right.",
        )
        st.plotly_chart(
            cached_figure(
                view, "confusion", lambda: charts.confusion(metrics["confusion"], ink()), ink()
            ),
            config=CONFIG,
            alt=charts.confusion_words(metrics["confusion"]),
            key="confusion",
        )
        with st.expander("As a table"):
            st.dataframe(
                {"Labelled": [NAMES[n] for n in FAILURE_POINTS]}
                | {
                    f"Predicted {NAMES[n]}": [row[i] for row in metrics["confusion"]]
                    for i, n in enumerate(FAILURE_POINTS)
                },
                hide_index=True,
            )
    with right:
        st.subheader(
            "Precision and recall per failure point",
            anchor=False,
            help="Precision: right when it says so. Recall: found of those there are. F1: their "
            "harmonic mean, high only where both are.",
        )
        st.plotly_chart(
            cached_figure(view, "rates", lambda: charts.rates(metrics)),
            config=CONFIG,
            alt=charts.rates_words(metrics),
            key="rates",
        )
        with st.expander("As a table"):
            _rates_table(metrics)
    absent = [NAMES[n] for n in FAILURE_POINTS if not sample.counts[n]]
    st.caption(
        "Each turn that the model learned from is judged by models that had not seen its "
        "dialogue; calibration and decision weights were fitted to the same scores, which makes "
        "these figures a little too good. Whiskers are 95 % intervals from resampling dialogues."
        + (f" No turn is known to be {', '.join(absent)} here." if absent else "")
    )


def _rates_table(metrics: dict[str, Any]) -> None:
    spans = metrics["intervals"]["classes"]
    names = [name for name in FAILURE_POINTS if metrics["classes"][name]["support"]]
    columns: dict[str, list[Any]] = {
        "Failure point": [NAMES[name] for name in names],
        "Turns": [metrics["classes"][name]["support"] for name in names],
    }
    for key, label in (
        ("precision", "Precision"),
        ("recall", "Recall"),
        ("f1", "F1"),
        ("calibration_error", "Calibration error"),
    ):
        columns[label] = [100 * metrics["classes"][name][key] for name in names]
        for end, word in enumerate(("low", "high")):
            columns[f"{label}, {word}"] = [100 * spans[name][key][end] for name in names]
    st.dataframe(
        columns,
        hide_index=True,
        column_config=dict.fromkeys(list(columns)[2:], _PERCENT),
    )


def target_choice(sample: Tested) -> str:
    """Draw the choice of a probability and return it: any defect or a failure point that occurs."""
    options = [target for target in TARGETS if sample.hit(target).any()]
    return one_of("Probability of", options, "target", charts.target_name)


def lines(view: View, sample: Tested, target: str) -> None:
    """Draw precision against recall, and calibration, of one target."""
    every, bins = _curves(view.cache_key(), view), _bins(view.cache_key(), target, view)
    spans = _average_spans(view.cache_key(), view)
    name = charts.target_name(target)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader(
            "Precision–recall curve",
            anchor=False,
            help="What a lower threshold gains and costs: further right, more of the failures are "
            "found; further up, more of what is flagged is right.",
        )
        st.plotly_chart(
            cached_figure(view, "curves", lambda: charts.precision_recall(every, target), target),
            config=CONFIG,
            alt=charts.precision_recall_words(every),
            key="precision-recall",
        )
        share = sample.hit(target).mean()
        st.caption(
            f"Thick: {name}, average precision {every[target].average:.2f} "
            f"({spans[target][0]:.2f} to {spans[target][1]:.2f}; chance would give {share:.2f}). "
            "Thin: the others."
        )
        with st.expander("As a table"):
            st.dataframe(
                {
                    "Probability of": [charts.target_name(t) for t in every],
                    "Average precision": [round(c.average, 3) for c in every.values()],
                    "Low": [round(spans[t][0], 3) for t in every],
                    "High": [round(spans[t][1], 3) for t in every],
                    "Chance": [round(float(sample.hit(t).mean()), 3) for t in every],
                    "Turns": [int(sample.hit(t).sum()) for t in every],
                },
                hide_index=True,
            )
    with right:
        st.subheader(
            "Calibration",
            anchor=False,
            help="Does 70\u2009% mean 70\u2009%? Of the turns with this probability, seven in ten "
            "should fail.",
        )
        st.plotly_chart(
            cached_figure(view, "calibration", lambda: charts.calibration(bins, target), target),
            config=CONFIG,
            alt=charts.calibration_words(bins, target),
            key="calibration",
        )
        st.caption(
            f"{name}: predicted probability against observed frequency, {len(bins)} groups of "
            "turns with 95 % intervals; on the dotted line the model is perfectly calibrated."
        )
        with st.expander("As a table"):
            st.dataframe(
                {
                    "Predicted": [100 * b.predicted for b in bins],
                    "Observed": [100 * b.observed for b in bins],
                    "Low": [100 * b.low for b in bins],
                    "High": [100 * b.high for b in bins],
                    "Turns": [b.turns for b in bins],
                },
                hide_index=True,
                column_config=dict.fromkeys(("Predicted", "Observed", "Low", "High"), _PERCENT),
            )


def _linked_threshold() -> int:
    """The threshold of the link in percent, by default 50; raises UsageError if it is none."""
    text = st.query_params.get("threshold", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:3]) <= 99 and len(text) < 3):
        raise UsageError(f"Invalid threshold={text[:60]}; give a whole percentage from 1 to 99.")
    return int(text)


def _keep_threshold() -> None:
    address.put("threshold", str(st.session_state["threshold"]))


def explorer(view: View, sample: Tested, target: str) -> None:
    """Draw a threshold to move, the turns it flags, and how many of them are right."""
    name = charts.target_name(target)
    st.subheader(
        "Decision threshold",
        anchor=False,
        help="Flag every turn whose probability is at least the threshold: how many are flagged, "
        "how many of them are right, how many failures are found.",
    )
    if "threshold" not in st.session_state:
        st.session_state["threshold"] = _linked_threshold()
    threshold = (
        st.slider(
            f"Flag a turn when its probability of {name[0].lower() + name[1:]} is at least"
            if target == charts.DEFECT
            else f"Flag a turn when its probability of {name} is at least",
            1,
            99,
            format="%d %%",
            key="threshold",
            on_change=_keep_threshold,
        )
        / 100
    )
    every = _flagged(view.cache_key(), target, view)
    here = curves.at_threshold(sample.hit(target), sample.p(target), sample.group, threshold)
    n = every[round(threshold * STEPS)]
    with st.grid(3, min_column_width=230, gap="small"):
        st.metric(
            "Flagged",
            f"{count(n)} :small[:gray[of {count(every[0])} turns, "
            f"{percent(n / every[0] if every[0] else 0.0)}]]",
            border=True,
            height="stretch",
            help="All scored turns within the filters, annotated or not.",
        )
        low, high = here.precision_interval
        about = (
            f"{count(n * here.precision)} :small[:gray[{count(n * low)} to {count(n * high)}, "
            f"{percent(here.precision)}]]"
            if here.precision is not None
            else "– :small[:gray[no labelled turn is flagged]]"
        )
        st.metric(
            "True positives, estimated",
            about,
            border=True,
            height="stretch",
            help=f"Of {count(here.flagged)} flagged turns that are labelled, "
            f"{count(here.right)} are right; their share times all flagged turns. It holds if the "
            "labelled dialogues are like the others.",
        )
        low, high = here.recall_interval
        st.metric(
            "Recall",
            _with_span(here.recall, (low, high)) if here.recall is not None else "–",
            border=True,
            height="stretch",
            help=f"Found of those there are: of {count(here.of_class)} turns labelled as this.",
        )
    steps, precision, recall = _sweep(view.cache_key(), target, view)
    st.plotly_chart(
        charts.thresholds(steps, precision, recall, threshold, target),
        config=CONFIG,
        alt=f"At {percent(threshold, 0)} {count(n)} turns are flagged for {name}; precision and "
        "recall at every threshold are in the table.",
        key="thresholds",
    )
    st.caption(
        f"Precision and recall on {count(len(sample))} labelled turns; the band is the "
        "95 % interval, dialogues taken together."
    )
    with st.expander("As a table"):
        rows = list(range(4, len(steps), 5))
        st.dataframe(
            {
                "Threshold": [100 * steps[i] for i in rows],
                "Flagged": [every[round(steps[i] * STEPS)] for i in rows],
                "Precision": [None if (p := precision[i][0]) is None else 100 * p for i in rows],
                "Low": [100 * precision[i][1] for i in rows],
                "High": [100 * precision[i][2] for i in rows],
                "Recall": [None if (r := recall[i]) is None else 100 * r for i in rows],
            },
            hide_index=True,
            column_config=dict.fromkeys(
                ("Threshold", "Precision", "Low", "High", "Recall"), _PERCENT
            ),
        )


def ink() -> str:
    """The colour of text on the page, for numbers on a shaded cell."""
    return INK[st.context.theme.type == "dark"]


def precision_words(metrics: dict[str, Any]) -> str:
    """The precision of each failure point, in tenths, as a sentence."""
    verdicts = np.array(metrics["confusion"]).sum(0)
    parts = [
        f"{NAMES[name]} {metrics['classes'][name]['precision'] * 10:.0f}"
        for i, name in enumerate(FAILURE_POINTS)
        if verdicts[i]
    ]
    return "Of ten verdicts it gets right: " + ", ".join(parts) + "."
