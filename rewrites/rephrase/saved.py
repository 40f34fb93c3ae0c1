"""A fitted detector as one JSON document."""

from __future__ import annotations

import dataclasses

import lightgbm as lgb
import msgspec

from data.errors import ModelError
from rewrites.rephrase.methods import (
    Cosine,
    EditDistance,
    Hypotheses,
    Means,
    Method,
    NextTurn,
    PairFeatures,
)
from rewrites.rephrase.vocabulary import Words


class Saved(msgspec.Struct):
    """What `Detector.save` writes; `boosters` are LightGBM's own text."""

    method: str
    window: int
    threshold: float
    taught: bool
    scorer: str
    whole: bool
    vectors: bool
    seed: int
    groups: tuple[str, ...]
    without: tuple[str, ...]
    pause: float = 0.0
    words: Words | None = None
    names: tuple[str, ...] = ()
    boosters: list[str] = []


_SCORERS = {c.__name__: c for c in (NextTurn, EditDistance, Hypotheses, Cosine, PairFeatures)}


def of(scorer: Method, method: str, window: int, threshold: float, taught: bool) -> Saved:
    """What is written of a fitted method. Raises `ModelError` for fine-tuned encoders."""
    name = type(scorer).__name__
    if not isinstance(scorer, tuple(_SCORERS.values())):
        raise ModelError(
            f"A fine-tuned encoder is not saved ({method}); save {', '.join(_SCORERS)}."
        )
    means = scorer.means
    saved = Saved(
        method,
        window,
        threshold,
        taught,
        name,
        means.whole,
        means.vectors is not None,
        means.seed,
        means.groups,
        means.without,
    )
    if isinstance(scorer, EditDistance):
        saved.pause = scorer.pause
    if isinstance(scorer, PairFeatures):
        saved.words, saved.names = scorer.words, scorer.names
        saved.boosters = [booster.model_to_string() for booster in scorer.boosters]
    return saved


def restored(saved: Saved, means: Means | None) -> NextTurn | EditDistance | Cosine | PairFeatures:
    """The fitted method. Raises `ModelError` if it needs sentence vectors that are not given."""
    if saved.vectors and (means is None or means.vectors is None):
        raise ModelError("This detector compares sentence vectors; load it with the encoder.")
    vectors = means.vectors if means and saved.vectors else None
    used = Means(saved.whole, vectors, None, saved.seed, saved.groups, saved.without)
    scorer = _SCORERS[saved.scorer](used)
    if isinstance(scorer, EditDistance):
        scorer.pause = saved.pause
    if isinstance(scorer, PairFeatures):
        boosters = [lgb.Booster(model_str=text) for text in saved.boosters]
        scorer = dataclasses.replace(
            scorer, words=saved.words, names=saved.names, boosters=boosters
        )
    return scorer
