"""Charts of one turn: six probabilities, evidence per stage, and the waterfall of contributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from charts.formatting import inert, percent
from charts.layout import bare, from_the_top
from charts.palette import COLOURS, FAINT, NEUTRAL, colour_of
from data.schema.tables import EVIDENCE
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import EVIDENCE_NAMES, NAMES


def probabilities(prediction: Mapping[str, Any], height: int = 210) -> go.Figure:
    """The six calibrated probabilities of a row of `predictions`, in pipeline order."""
    values = [float(prediction[f"p_{name}"] or 0.0) for name in FAILURE_POINTS]
    labels = [NAMES[name] for name in FAILURE_POINTS]
    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=labels,
        orientation="h",
        marker={
            "color": [COLOURS[name] for name in FAILURE_POINTS],
            "opacity": [
                1.0 if name == prediction["failure_point"] else 0.55 for name in FAILURE_POINTS
            ],
            "line": {"width": 0},
        },
        customdata=[percent(value) for value in values],
        hovertemplate="%{y}: %{customdata}<extra></extra>",
    )
    bare(
        figure,
        height,
        bargap=0.35,
        margin={"r": 24},
        xaxis={"range": [0, 1], "tickformat": ".0%", "tickvals": [0, 0.5, 1]},
        yaxis=from_the_top(
            labels,
            [
                f"{label}  <b>{percent(value)}</b>"
                if name == prediction["failure_point"]
                else f"{label}  {percent(value)}"
                for name, label, value in zip(FAILURE_POINTS, labels, values, strict=True)
            ],
        ),
    )
    return figure


def probabilities_words(prediction: Mapping[str, Any]) -> str:
    """The six probabilities as a sentence."""
    parts = [f"{NAMES[name]} {percent(prediction[f'p_{name}'] or 0.0)}" for name in FAILURE_POINTS]
    return "Probability of each failure point: " + ", ".join(parts) + "."


def likelier(prediction: Mapping[str, Any]) -> str | None:
    """A sentence about the class that is more probable than the verdict; None if there is none."""
    named = prediction["failure_point"]
    values = {name: float(prediction[f"p_{name}"] or 0.0) for name in FAILURE_POINTS}
    top = max(values, key=lambda name: values[name])
    if values[top] <= values[named]:
        return None
    return (
        f"{NAMES[top]} is more probable, but the verdict weighs the probabilities so that rare "
        f"stages are named too: {NAMES[named]}."
    )


def stage_shares(prediction: Mapping[str, Any]) -> dict[str, float]:
    """The share of each stage in all evidence, positive for and negative against the prediction.

    The absolute shares add up to 1; all are 0 where no stage contributes.
    """
    values = {name: float(prediction[f"evidence_{name}"] or 0.0) for name in EVIDENCE}
    total = sum(abs(value) for value in values.values()) or 1.0
    return {name: value / total for name, value in values.items()}


def _share_words(share: float, verdict: str) -> str:
    # One that is shown as 0 % counts for nothing.
    size = percent(abs(share), 0)
    return f"{size} of the evidence, {'for' if share >= 0 else 'against'} {verdict}"


def evidence(prediction: Mapping[str, Any], height: int = 230) -> go.Figure:
    """One bar per stage: its summed contributions to the log-odds of the predicted class.

    Hovering tells shares, not log-odds.
    """
    name = NAMES[prediction["failure_point"]]
    shares = stage_shares(prediction)
    values = [float(prediction[f"evidence_{name}"] or 0.0) for name in EVIDENCE]
    labels = [EVIDENCE_NAMES[name] for name in EVIDENCE]
    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=labels,
        orientation="h",
        marker={"color": [colour_of(name) for name in EVIDENCE], "line": {"width": 0}},
        customdata=[_share_words(share, name) for share in shares.values()],
        hovertemplate="%{y}: %{customdata}<extra></extra>",
    )
    reach = max(1.0, *(abs(value) for value in values)) * 1.08
    bare(
        figure,
        height,
        bargap=0.35,
        xaxis={
            "range": [-reach, reach],
            "tickvals": [-reach / 2, reach / 2],
            "ticktext": [f"against {name}", f"for {name}"],
            "zeroline": True,
            "zerolinecolor": NEUTRAL,
        },
        yaxis=from_the_top(labels, labels),
    )
    return figure


def evidence_words(prediction: Mapping[str, Any]) -> str:
    """The evidence per stage as a sentence."""
    name = NAMES[prediction["failure_point"]]
    shares = stage_shares(prediction).items()
    parts = [f"{EVIDENCE_NAMES[stage]} {_share_words(share, name)}" for stage, share in shares]
    return "Evidence of each stage: " + "; ".join(parts) + "."


def steps(prediction: Mapping[str, Any], most: int = 10) -> list[tuple[str | None, float]]:
    """The waterfall's steps: (feature, contribution), the strongest `most`, then (None, the rest).

    Base value and steps add up to the log-odds of the predicted class.
    """
    total = sum(float(prediction[f"evidence_{name}"] or 0.0) for name in EVIDENCE)
    strongest = sorted(prediction["reasons"] or [], key=lambda r: -abs(r["contribution"] or 0.0))
    largest = [(str(r["feature"]), float(r["contribution"] or 0.0)) for r in strongest[:most]]
    return [*largest, (None, total - sum(value for _, value in largest))]


def waterfall(
    prediction: Mapping[str, Any], features: Sequence[tuple[str, str]], label_width: int = 44
) -> go.Figure:
    """From the average turn to this one, feature by feature, in log-odds of the predicted class.

    `features` are the sentence and the value, as text, of each of `steps(prediction)` but the last.
    Labels are cut at `label_width` characters, the sentence before the value.
    """
    parts = steps(prediction)
    base = float(prediction["base_value"] or 0.0)
    names = [
        "Average turn",
        *(f"{sentence}: {value}" for sentence, value in features),
        "All other features",
        "This turn",
    ]
    labels = [
        names[0],
        *(
            f"{inert(sentence, label_width - len(value))}: {inert(value, None)}"
            for sentence, value in features
        ),
        *names[-2:],
    ]
    values = [base, *(value for _, value in parts), 0.0]
    total = base + sum(value for _, value in parts)
    # Rows are numbered, so that two features with the same label stay two rows.
    rows = list(range(len(names)))
    colour = colour_of(prediction["failure_point"])
    figure = go.Figure()
    figure.add_waterfall(
        orientation="h",
        measure=["absolute", *("relative" for _ in parts), "total"],
        x=values,
        y=rows,
        increasing={"marker": {"color": colour}},
        decreasing={"marker": {"color": "rgba(138, 145, 156, 0.55)"}},
        totals={"marker": {"color": NEUTRAL}},
        connector={"line": {"color": FAINT, "width": 1}},
        text=[f"{base:.2f}", *(f"{value:+.2f}" for _, value in parts), f"{total:.2f}"],
        textposition="none",
        customdata=[inert(name, None) for name in names],
        hovertemplate="%{customdata}: %{text}<extra></extra>",
        showlegend=False,
    )
    texts = figure.data[0].text
    bare(
        figure,
        60 + 26 * len(names),
        waterfallgap=0.35,
        xaxis={"title": {"text": f"log-odds of {NAMES[prediction['failure_point']]}"}, "nticks": 6},
        yaxis=from_the_top(
            rows, [f"{label}  {text}" for label, text in zip(labels, texts, strict=True)]
        ),
    )
    return figure


def waterfall_words(prediction: Mapping[str, Any]) -> str:
    """The waterfall as a sentence."""
    parts = steps(prediction)
    base = float(prediction["base_value"] or 0.0)
    total = base + sum(value for _, value in parts)
    return (
        f"Waterfall in log-odds of {NAMES[prediction['failure_point']]}: from {base:.2f} for the "
        f"average turn to {total:.2f} for this one, in {len(parts)} steps."
    )
