"""Feature importance: SHAP values of a sample of turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from charts import explanations as charts
from charts.formatting import count, plain
from charts.layout import CONFIG
from classifiers import registry
from classifiers.shap_archive import Explained
from classifiers.shap_sample import SAMPLE
from data.schema.tables import EVIDENCE
from data.schema.vocabulary import EVIDENCE_NAMES, NAMES
from features import catalogue
from parts.jobs.widget import offer
from parts.server.caching import cached_resource
from parts.shared.choice import one_of
from parts.shared.view import View

_HELP = "What the model looks at: how far each input moves its predictions, on average."
_TOP = 15
_SWARM = (12, 400)


@cached_resource(max_entries=4, show_spinner=False)
def _read(path: str, stamp: float) -> Explained | None:
    return Explained.read(Path(path))


def reasons(view: View, folder: Path) -> None:
    """Draw global importance, spread, dependence and interactions, for one class."""
    path = folder / registry.EXPLAINED
    explained = _read(str(path), path.stat().st_mtime) if path.exists() else None
    if explained is None:
        st.subheader("Feature importance", anchor=False, help=_HELP)
        offer(
            view.path,
            "Explanations",
            "Explain the model",
            f"This model has no explanations beside it yet. They are worked out from about "
            f"{count(SAMPLE)} of the turns it has scored, in a minute or two, and kept.",
            "classifiers.shap_sample",
            view.path,
            folder.name,
        )
        return
    target = one_of(
        "Prediction explained", explained.classes, "speaking", lambda name: NAMES.get(name, name)
    )
    k = explained.classes.index(target)
    _strength(explained, k)
    _swarm(explained, k)
    left, right = st.columns(2, gap="medium")
    with left:
        _dependence(explained, k)
    with right:
        _interactions(explained, k)
    st.caption(
        f"SHAP values in log-odds before calibration, of {count(len(explained.turn_ids))} turns "
        f"drawn at random; interactions of {count(explained.paired)} of them. They say what the "
        "model weighs, not what causes failures."
    )


def _strength(explained: Explained, k: int) -> None:
    target = explained.classes[k]
    left, right = st.columns([1, 1.7], gap="medium")
    with left:
        st.subheader("Importance per stage", anchor=False, help=_HELP)
        strength = [float(v) for v in explained.stages[k]]
        names = [EVIDENCE_NAMES[name] for name in EVIDENCE]
        st.plotly_chart(
            charts.stages(strength, target),
            config=CONFIG,
            alt=charts.strength_words(names, strength, target),
            key="stages",
        )
        with st.expander("As a table"):
            st.dataframe(
                {"Stage": names, "Mean |SHAP|, log-odds": np.round(strength, 3)}, hide_index=True
            )
    with right:
        st.subheader("Importance per feature", anchor=False, help=_HELP)
        order = np.argsort(-explained.strength[k], kind="stable")
        top = order[:_TOP]
        sentences = [catalogue.sentence(explained.columns[j]) for j in top]
        values = [float(explained.strength[k, j]) for j in top]
        st.plotly_chart(
            charts.features(
                sentences, [catalogue.stage(explained.columns[j]) for j in top], values, target
            ),
            config=CONFIG,
            alt=charts.strength_words(sentences, values, target),
            key="features",
        )
        with st.expander("As a table"):
            most = order[:100]
            st.dataframe(
                {
                    "Feature": [catalogue.sentence(explained.columns[j]) for j in most],
                    "Stage": [EVIDENCE_NAMES[catalogue.stage(explained.columns[j])] for j in most],
                    "Mean |SHAP|, log-odds": np.round(explained.strength[k, most], 3),
                },
                hide_index=True,
            )


def _strongest(explained: Explained, k: int) -> list[int]:
    """Indices of the features in `explained.kept`, the strongest for class `k` first."""
    size = np.abs(explained.values[k]).mean(0)
    return [int(j) for j in np.argsort(-size, kind="stable")]


def _swarm(explained: Explained, k: int) -> None:
    features, turns = _SWARM
    top = _strongest(explained, k)[:features]
    sentences = [catalogue.sentence(explained.kept[j]) for j in top]
    x, values = explained.x[:turns, top], explained.values[k][:turns, top]
    st.subheader(
        "SHAP values per turn",
        anchor=False,
        help="Each dot is one turn: how far this feature moved its prediction, and which way.",
    )
    st.plotly_chart(
        charts.beeswarm(sentences, x, values, explained.classes[k]),
        config=CONFIG,
        alt=charts.beeswarm_words(sentences, len(x), explained.classes[k]),
        key="swarm",
    )
    st.caption(
        f"One dot per turn, {count(len(x))} turns: right of the line it speaks for "
        f"{NAMES[explained.classes[k]]}, left against; blue is a low value of the feature, orange "
        "a high one, grey not logged."
    )


def _dependence(explained: Explained, k: int) -> None:
    st.subheader(
        "Dependence",
        anchor=False,
        help="How the effect of one feature depends on its value.",
    )
    target = explained.classes[k]
    order = _strongest(explained, k)
    name = st.selectbox(
        "Feature",
        [explained.kept[j] for j in order],
        format_func=catalogue.sentence,
        key=f"feature-{target}",
    )
    j = explained.kept.index(name)
    other = _partner(explained, k, name)
    x, values = explained.x[:, j], explained.values[k][:, j]
    sentence = catalogue.sentence(name)
    unit = catalogue.feature(name).unit
    st.plotly_chart(
        charts.dependence(
            sentence,
            unit,
            x,
            values,
            target,
            (catalogue.sentence(other), explained.x[:, explained.kept.index(other)])
            if other
            else None,
        ),
        config=CONFIG,
        alt=charts.dependence_words(sentence, x, values, target),
        key="dependence",
    )
    if other:
        st.caption(
            f"Colour, blue low and orange high: “{plain(catalogue.sentence(other))}”, with which "
            "it acts together most."
        )


def _partner(explained: Explained, k: int, name: str) -> str | None:
    """The feature that `name` acts together with most, if that pair is among the strongest."""
    for (a, b), size in zip(explained.pairs[k], explained.pair_strength[k], strict=True):
        pair = (explained.columns[a], explained.columns[b])
        if size > 0 and name in pair:
            other = pair[1] if pair[0] == name else pair[0]
            if other in explained.kept:
                return str(other)
    return None


def _interactions(explained: Explained, k: int) -> None:
    st.subheader(
        "Interactions",
        anchor=False,
        help="Pairs of features whose joint effect differs from the sum of the two.",
    )
    rows = [
        (
            catalogue.sentence(explained.columns[a]),
            catalogue.sentence(explained.columns[b]),
            float(size),
        )
        for (a, b), size in zip(explained.pairs[k], explained.pair_strength[k], strict=True)
        if size > 0
    ]
    if not rows:
        st.caption("No two features act together.")
        return
    st.dataframe(
        {
            "Size": [round(size, 3) for _, _, size in rows],
            "Feature": [a for a, _, _ in rows],
            "together with": [b for _, b, _ in rows],
        },
        hide_index=True,
        height="content",
        column_config={
            "Size": st.column_config.NumberColumn(format="%.3f", width=60),
            "Feature": st.column_config.TextColumn(width=220),
            "together with": st.column_config.TextColumn(width=220),
        },
    )
    st.caption(
        f"What a pair adds beyond its two parts, in log-odds, on average over "
        f"{count(explained.paired)} turns."
    )
