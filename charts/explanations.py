"""Charts of SHAP values: per stage, per feature, beeswarm, dependence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from charts.formatting import inert, number
from charts.layout import bare, from_the_top
from charts.palette import NEUTRAL, colour_of
from data.schema.tables import EVIDENCE
from data.schema.vocabulary import EVIDENCE_NAMES, NAMES

# Characters of a label beside the axis.
_LABEL = 46
_LOW_HIGH = [[0.0, "#4C78A8"], [0.5, "#B7BDC6"], [1.0, "#D9822B"]]


def stages(strength: Sequence[float], target: str) -> go.Figure:
    """Mean absolute contribution of each stage, in log-odds, in pipeline order."""
    figure = go.Figure()
    names = [EVIDENCE_NAMES[name] for name in EVIDENCE]
    figure.add_bar(
        orientation="h",
        x=list(strength),
        y=names,
        marker={"color": [colour_of(name) for name in EVIDENCE], "line": {"width": 0}},
        text=[f"{value:.2f}" for value in strength],
        textposition="outside",
        hovertemplate="%{y}: %{x:.2f} log-odds on average<extra></extra>",
    )
    bare(
        figure,
        260,
        bargap=0.35,
        xaxis={
            "title": {"text": f"mean size, log-odds of {NAMES[target]}"},
            "range": [0, max(max(strength), 1e-6) * 1.18],
        },
        yaxis=from_the_top(),
    )
    return figure


def features(
    sentences: Sequence[str], of_stage: Sequence[str], strength: Sequence[float], target: str
) -> go.Figure:
    """Mean absolute contribution of some features, in log-odds, in the order passed.

    `of_stage` is the stage of each feature, which gives its colour.
    """
    figure = go.Figure()
    rows = list(range(len(sentences)))
    figure.add_bar(
        orientation="h",
        x=list(strength),
        y=rows,
        marker={"color": [colour_of(name) for name in of_stage], "line": {"width": 0}},
        customdata=[inert(sentence, None) for sentence in sentences],
        hovertemplate="%{customdata}: %{x:.3f} log-odds on average<extra></extra>",
    )
    bare(
        figure,
        60 + 22 * len(rows),
        bargap=0.35,
        xaxis={"title": {"text": f"mean size, log-odds of {NAMES[target]}"}, "nticks": 5},
        yaxis=from_the_top(rows, [inert(sentence, _LABEL) for sentence in sentences]),
    )
    return figure


def strength_words(names: Sequence[str], strength: Sequence[float], target: str) -> str:
    """Names and mean sizes as a sentence."""
    parts = [f"{name} {value:.2f}" for name, value in zip(names, strength, strict=True)]
    return f"Mean size of contributions to {NAMES[target]} in log-odds: " + ", ".join(parts) + "."


def beeswarm(sentences: Sequence[str], x: np.ndarray, values: np.ndarray, target: str) -> go.Figure:
    """Beeswarm: contribution of each feature for each turn, coloured by the rank of its value.

    Parameters
    ----------
    x: values of the m features in n turns, (n, m), NaN where not logged. values: contributions,
    (n, m).
    """
    n, m = x.shape
    figure = go.Figure()
    per_feature = [values[:, j] for j in range(m)]
    shift = np.concatenate([j + _swarm(per_feature[j]) for j in range(m)])
    rank = np.concatenate([_ranks(x[:, j]) for j in range(m)])
    missing = np.isnan(rank)
    flat = np.concatenate(per_feature)
    names = np.repeat([inert(sentence, None) for sentence in sentences], n)
    value_texts = np.array([number(float(v)) for v in x.T.ravel()])
    for part, name, marker in (
        (missing, "not logged", {"color": NEUTRAL, "opacity": 0.35, "size": 4}),
        (
            ~missing,
            "logged",
            {
                "color": rank[~missing],
                "colorscale": _LOW_HIGH,
                "cmin": 0,
                "cmax": 1,
                "size": 4,
                "opacity": 0.75,
                "showscale": False,
            },
        ),
    ):
        figure.add_scattergl(
            x=flat[part].round(3),
            y=shift[part].round(2),
            mode="markers",
            name=name,
            marker=marker,
            customdata=np.stack([names[part], value_texts[part]], axis=1),
            hovertemplate="%{customdata[0]}: %{customdata[1]}, %{x:+.2f}<extra></extra>",
            showlegend=False,
        )
    bare(
        figure,
        70 + 30 * m,
        xaxis={
            "title": {"text": f"contribution, log-odds of {NAMES[target]}"},
            "zeroline": True,
            "zerolinecolor": NEUTRAL,
        },
        yaxis={
            "range": [m - 0.4, -0.6],
            "showgrid": False,
            "tickmode": "array",
            "tickvals": list(range(m)),
            "ticktext": [inert(sentence, _LABEL) for sentence in sentences],
        },
    )
    return figure


def _swarm(values: np.ndarray, bins: int = 60, reach: float = 0.38) -> np.ndarray:
    """Offsets (n,) that spread turns of similar contribution to both sides, at most by `reach`."""
    if not len(values):
        return values
    span = float(values.max() - values.min()) or 1.0
    part = np.minimum(((values - values.min()) / span * bins).astype(int), bins - 1)
    counts = np.bincount(part, minlength=bins)
    order = np.argsort(part, kind="stable")
    rank = np.empty(len(values))
    rank[order] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    # To the right, to the left, further right …
    side = np.where(rank % 2, 1, -1) * np.ceil(rank / 2)
    offset: np.ndarray = side / max(counts.max() / 2, 1) * reach
    return offset


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value among those logged, 0 to 1; NaN stays NaN; ties get their mean rank."""
    logged = values[~np.isnan(values)]
    if not len(logged):
        return values
    ordered = np.sort(logged)
    low, high = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    rank = (low + high) / (2 * len(ordered))
    return np.where(np.isnan(values), np.nan, rank)


def beeswarm_words(sentences: Sequence[str], n: int, target: str) -> str:
    """What the beeswarm shows, as a sentence."""
    return (
        f"One dot per turn and feature for {n} turns: contribution to {NAMES[target]}, coloured by "
        "the feature's value, for " + "; ".join(sentences) + "."
    )


def dependence(
    sentence: str,
    unit: str,
    x: np.ndarray,
    values: np.ndarray,
    target: str,
    other: tuple[str, np.ndarray] | None = None,
) -> go.Figure:
    """Contribution against the feature's value (n,); turns without a value are apart, at the left.

    `other` is the sentence and the values of a feature it interacts with, which colour the dots.
    """
    figure = go.Figure()
    logged = ~np.isnan(x)
    colour = colour_of(target)
    marker: dict[str, object] = {"size": 5, "opacity": 0.6, "color": colour}
    other_texts = np.full(len(x), "")
    if other:
        rank = _ranks(other[1])
        other_texts = np.array([number(float(v)) for v in other[1]])
        marker |= {
            "color": np.where(np.isnan(rank), 0.5, rank)[logged],
            "colorscale": _LOW_HIGH,
            "cmin": 0,
            "cmax": 1,
        }
    figure.add_scattergl(
        x=x[logged],
        y=values[logged].round(3),
        mode="markers",
        marker=marker,
        customdata=other_texts[logged],
        hovertemplate="%{x:.3g}: %{y:+.2f}"
        + ("<br>the other: %{customdata}" if other else "")
        + "<extra></extra>",
    )
    notes: list[dict[str, object]] = []
    span = float(np.ptp(x[logged])) if logged.any() else 1.0
    if (~logged).any():
        left = (float(x[logged].min()) if logged.any() else 0.0) - 0.08 * (span or 1.0)
        spread = np.linspace(-0.02, 0.02, int((~logged).sum())) * (span or 1.0)
        figure.add_scattergl(
            x=left + spread,
            y=values[~logged].round(3),
            mode="markers",
            marker={"size": 5, "opacity": 0.35, "color": NEUTRAL},
            hovertemplate="not logged: %{y:+.2f}<extra></extra>",
        )
        position = {"x": left, "y": 1, "yref": "paper", "yanchor": "bottom"}
        notes.append({**position, "text": "not logged", "showarrow": False})
    bare(
        figure,
        320,
        annotations=notes,
        showlegend=False,
        margin={"t": 22},
        xaxis={"title": {"text": f"{inert(sentence, 60)} ({unit})"}},
        yaxis={
            "title": {"text": f"log-odds of {NAMES[target]}"},
            "zeroline": True,
            "zerolinecolor": NEUTRAL,
        },
    )
    return figure


def dependence_words(sentence: str, x: np.ndarray, values: np.ndarray, target: str) -> str:
    """Mean contributions at low and high values, as a sentence."""
    logged = np.flatnonzero(~np.isnan(x))
    if not len(logged):
        return f"{sentence} is never logged in these turns."
    order = logged[np.argsort(x[logged], kind="stable")]
    third = max(len(order) // 3, 1)
    low, high = float(values[order[:third]].mean()), float(values[order[-third:]].mean())
    return (
        f"Contribution of “{sentence}” to {NAMES[target]} in {len(x)} turns: {low:+.2f} on "
        f"average in the lowest third of its values, {high:+.2f} in the highest."
    )
