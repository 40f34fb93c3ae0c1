"""Which candidate is meant, and whether to say so: LambdaRank and a threshold to abstain.

Candidates are ranked by LambdaRank (Burges 2010; LightGBM), graded by what the label model and the
chain say was wanted on later turns: no gold. Scores of LambdaRank mean nothing from one request to
another, so a logistic regression on the winner decides whether it is trusted. Its threshold is the
lowest that keeps false triggers on still later turns below a stated rate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from rapidfuzz import fuzz
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from features.similarity import LONGEST
from rewrites.history import hour
from rewrites.interpretations import intent
from rewrites.neighbours import held
from rewrites.retrieval import Candidates, Index
from rewrites.vectors import sounds

FEATURES = (
    *("fuzzy", "words", "part", "phonetic", "letters", "sounds", "meaning", "length"),
    *("turns", "failure", "users", "recency"),
    *("own_turns", "own_share", "own_recency", "own_hour"),
    *("device", "location", "hour", "before", "taught"),
    *("path", "path_share", "votes", "own_votes", "same_intent", "held"),
)
# Of the text that was said, the same for all its candidates.
SAID = ("known", "said_turns", "said_failure", "said_own_turns", "said_own_failed", "n_words")
_LIFTED = {"device": "device", "state": "device", "location": "location"} | {
    "hour": "hour",
    "before": "before",
}
_DAY = 86_400.0
_SHARP = 3
# Rows of candidates below which a ranker learns nothing.
LEAST_QUERIES = 60
FALSE_TRIGGERS = 0.01
# Least probability of mending at which a rewrite is given, whatever the rate allows.
TRUST = 0.5
_PARAMS: dict[str, Any] = {
    "objective": "lambdarank",
    "learning_rate": 0.06,
    "num_leaves": 12,
    "min_data_in_leaf": 30,
    "lambda_l2": 5.0,
    "feature_fraction": 0.7,
    "label_gain": [0, 1, 3, 7, 15],
    "lambdarank_truncation_level": 5,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
}
_ROUNDS = 80


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: a text as `rewrites.interpretations.heard`, and what is known around it.

    `frame`: what NLU made of the text, where it ran before. `contexts`: as
    `rewrites.history.contexts`. `at`: seconds since 1970.
    """

    text: str
    assistant: str
    user_id: str | None = None
    frame: str | None = None
    contexts: Sequence[str] = ()
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Background:
    """What the ranker knows beside the index: paths of the chain, lifts, and taught preferences."""

    paths: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    lifts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    taught: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: pa.Table, lifts: pa.Table, taught: pa.Table | None = None) -> Background:
        """From tables `PATHS` and `LIFTS` of `rewrites.tabulate`.

        `taught`: user_id (null: everybody) and rewrite, texts that users asked to be understood as.
        """
        by_row: dict[int, dict[str, float]] = {}
        for row, outcome, score in zip(*(column.to_pylist() for column in paths), strict=True):
            by_row.setdefault(row, {})[outcome] = score
        by_context: dict[str, dict[str, float]] = {}
        for context, name, lift in zip(*(column.to_pylist() for column in lifts), strict=True):
            by_context.setdefault(context, {})[name] = lift
        preferred: dict[str, set[str]] = {}
        if taught is not None:
            users, texts = taught["user_id"].to_pylist(), taught["rewrite"].to_pylist()
            for user, text in zip(users, texts, strict=True):
                preferred.setdefault(user or "", set()).add(text)
        return cls(by_row, by_context, {u: frozenset(t) for u, t in preferred.items()})


def features(
    index: Index,
    background: Background,
    request: Request,
    found: Candidates,
    *,
    unheard: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of the candidates, float64 (n, len(FEATURES)), and of the text, (len(SAID),).

    `unheard`: as if the text were not in the index.
    """
    rows, columns, text = found.rows, index.columns, request.text[:LONGEST]
    n, now = len(rows), request.at or float(columns["last"].max(initial=0.0))
    own_row = -1 if unheard else index.find(request.text, request.assistant)
    texts = index.texts(rows)
    outcome = index.outcome[rows]
    names = [index.outcomes[code] if code >= 0 else "" for code in outcome]
    state = request.frame or (index.outcomes[index.outcome[own_row]] if own_row >= 0 else "")
    spoken = sounds(text)
    table = dict.fromkeys(FEATURES, np.zeros(n))
    table["fuzzy"] = np.array([fuzz.ratio(text, other) for other in texts]) / 100
    table["words"] = np.array([fuzz.token_sort_ratio(text, other) for other in texts]) / 100
    table["part"] = np.array([fuzz.partial_ratio(text, other) for other in texts]) / 100
    table["phonetic"] = np.array([fuzz.ratio(spoken, sounds(other)) for other in texts]) / 100
    for view in ("letters", "sounds", "meaning"):
        table[view] = found.cosines.get(view, np.full(n, np.nan))
    table["length"] = np.array([len(other.split()) for other in texts]) - len(text.split())
    table["turns"] = np.log1p(columns["turns"][rows])
    table["failure"] = columns["failure"][rows]
    table["users"] = np.log1p(columns["users"][rows])
    table["recency"] = np.log1p(np.maximum(now - columns["last"][rows], 0) / _DAY)
    _personal(table, index, request, rows, now)
    for word in request.contexts:
        kind = _LIFTED.get(word.partition(":")[0])
        lift = background.lifts.get(word)
        if kind and lift:
            table[kind] = table[kind] + np.array([lift.get(intent(name), 0.0) for name in names])
    liked = background.taught.get(request.user_id or "", frozenset()) | background.taught.get(
        "", frozenset()
    )
    table["taught"] = np.array([float(other in liked) for other in texts])
    path = background.paths.get(own_row, {}) if own_row >= 0 else {}
    table["path"] = np.array([path.get(name, 0.0) for name in names])
    table["path_share"] = table["path"] / max(sum(path.values()), 1e-9)
    # Neighbours with one outcome vote together; so do a user's own habits.
    near = np.nan_to_num(np.fmax(table["phonetic"], table["fuzzy"])) ** _SHARP
    table["votes"] = _votes(outcome, near)
    table["own_votes"] = _votes(outcome, near * table["own_turns"])
    table["same_intent"] = np.array([float(intent(name) == intent(state)) for name in names])
    table["held"] = np.array([held(text, name) for name in names])
    return np.column_stack([table[name] for name in FEATURES]), _said(index, request, own_row)


def _personal(
    table: dict[str, np.ndarray], index: Index, request: Request, rows: np.ndarray, now: float
) -> None:
    place = index.own_counts(request.user_id, rows)
    mine, columns = place >= 0, index.columns
    if not mine.any():
        return
    turns = np.where(mine, (columns["own_turns"] - columns["own_failed"])[place], 0.0)
    span = index.own(request.user_id)
    table["own_turns"] = np.log1p(np.maximum(turns, 0))
    table["own_share"] = turns / max(columns["own_turns"][span].sum(), 1.0)
    age = np.maximum(now - columns["own_last"][place], 0) / _DAY
    table["own_recency"] = np.where(mine, 1 / (1 + age), 0.0)
    if request.at is not None:
        angle = hour(request.at) / 24 * 2 * np.pi
        x, y = columns["own_hour_x"][place], columns["own_hour_y"][place]
        table["own_hour"] = np.where(mine, np.cos(angle) * x + np.sin(angle) * y, 0.0)


def _votes(outcome: np.ndarray, weight: np.ndarray) -> np.ndarray:
    _, code = np.unique(outcome, return_inverse=True)
    share: np.ndarray = np.bincount(code, weight)[code] / max(weight.sum(), 1e-9)
    return share


def _said(index: Index, request: Request, row: int) -> np.ndarray:
    columns = index.columns
    said = np.zeros(len(SAID))
    said[5] = len(request.text[:LONGEST].split())
    if row < 0:
        return said
    said[:3] = 1.0, np.log1p(columns["turns"][row]), columns["failure"][row]
    place = int(index.own_counts(request.user_id, np.array([row]))[0])
    if place >= 0:
        said[3:5] = columns["own_turns"][place], columns["own_failed"][place]
    return said


@dataclass(frozen=True, slots=True)
class Ranker:
    """A ranking and the trust in its winner.

    Attributes
    ----------
    booster: LambdaRank; None where there was too little to learn from, then nothing is rewritten.
    mean, scale, weights, intercept: the logistic regression. threshold: least trust.
    figures: how it was chosen, for people.
    """

    booster: lgb.Booster | None
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: float
    threshold: float
    figures: dict[str, float]

    @classmethod
    def untrained(cls) -> Ranker:
        """One that always abstains."""
        size = len(FEATURES) + len(SAID) + 2
        return cls(None, np.zeros(size), np.ones(size), np.zeros(size), -50.0, 1.0, {})

    def ranked(self, table: np.ndarray) -> np.ndarray:
        """The scores of candidates, float64 (n,)."""
        if self.booster is None or not len(table):
            return np.zeros(len(table))
        scores: np.ndarray = np.asarray(self.booster.predict(table, num_threads=1))
        return scores

    def trust(self, winner: np.ndarray) -> np.ndarray:
        """The probability that the text fails and the winner is wanted; (n, features) → (n,)."""
        scaled = (np.nan_to_num(winner) - self.mean) / self.scale
        p: np.ndarray = expit(scaled @ self.weights + self.intercept)
        return p

    def save(self, folder: Path) -> None:
        """Write ``ranker.txt`` and ``trust.json``."""
        if self.booster is not None:
            self.booster.save_model(str(folder / "ranker.txt"))
        content = {
            "features": [*FEATURES, *SAID],
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
            "threshold": self.threshold,
            "figures": self.figures,
        }
        (folder / "trust.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """Read what `save` wrote."""
        content = json.loads((folder / "trust.json").read_text("utf-8"))
        path = folder / "ranker.txt"
        return cls(
            lgb.Booster(model_str=path.read_text("utf-8")) if path.exists() else None,
            *(np.array(content[name]) for name in ("mean", "scale", "weights")),
            content["intercept"],
            content["threshold"],
            content["figures"],
        )


@dataclass(frozen=True, slots=True)
class Example:
    """One turn to learn from: features of its candidates, and how far each was wanted.

    `wanted`: per candidate, the probability that it has the outcome wanted, float64 (n,); `mends`:
    that, and that the turn failed. `failed`: the probability of that. `weight`: of the turn.
    """

    table: np.ndarray
    said: np.ndarray
    outcome: np.ndarray
    wanted: np.ndarray
    mends: np.ndarray
    failed: float
    weight: float = 1.0


def winner_of(
    ranker: Ranker, table: np.ndarray, said: np.ndarray, outcome: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """The candidate that ranks first, its features for `Ranker.trust`, and all the scores."""
    scores = ranker.ranked(table)
    first = int(np.argmax(np.round(scores, 9)))
    other = scores[outcome != outcome[first]]
    lead = scores[first] - other.max() if len(other) else 3.0
    return first, np.concatenate([table[first], said, [scores[first], lead]]), scores


def learn(
    examples: Sequence[Example],
    held_out: Sequence[Example],
    *,
    false_triggers: float = FALSE_TRIGGERS,
    least: float = TRUST,
) -> Ranker:
    """Fit the ranking and the trust on `examples`, and choose the threshold on `held_out`.

    `false_triggers`: the largest share of turns believed right that may be rewritten. Fitting the
    trust uses two halves, each ranked by a booster fitted on the other.
    """
    useful = [e for e in examples if len(e.wanted)]
    if len([e for e in useful if e.mends.max(initial=0) > 0.5]) < LEAST_QUERIES // 3 or (
        len(useful) < LEAST_QUERIES
    ):
        return Ranker.untrained()
    whole = _boosted(useful)
    blank = Ranker.untrained()
    halves = [useful[0::2], useful[1::2]]
    rows, won, weights = [], [], []
    for half, other in (halves, halves[::-1]):
        ranker = Ranker(_boosted(half), blank.mean, blank.scale, blank.weights, 0.0, 1.0, {})
        for e in other:
            first, row, _ = winner_of(ranker, e.table, e.said, e.outcome)
            rows.append(row)
            won.append(e.mends[first])
            weights.append(e.weight)
    x, y, w = np.nan_to_num(np.array(rows)), np.array(won), np.array(weights)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    model = LogisticRegression(C=0.3, max_iter=2000)
    scaled = (x - mean) / scale
    model.fit(
        np.concatenate([scaled, scaled]),
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([w * y, w * (1 - y)]) + 1e-9,
    )
    ranker = Ranker(whole, mean, scale, model.coef_[0], float(model.intercept_[0]), 1.0, {})
    return _with_threshold(ranker, held_out or useful, false_triggers, least)


def _boosted(examples: Sequence[Example]) -> lgb.Booster:
    table = np.concatenate([e.table for e in examples])
    grade = np.concatenate([np.clip(np.round(e.wanted * 4), 0, 4) for e in examples])
    weight = np.concatenate([np.full(len(e.wanted), e.weight) for e in examples])
    data = lgb.Dataset(
        table, grade, weight=weight, group=[len(e.wanted) for e in examples], free_raw_data=False
    )
    return lgb.train(_PARAMS, data, _ROUNDS)


def _with_threshold(
    ranker: Ranker, held_out: Sequence[Example], rate: float, least: float
) -> Ranker:
    """The same with the lowest threshold whose false triggers are within `rate`."""
    trust, right, mends = np.zeros(len(held_out)), np.zeros(len(held_out)), np.zeros(len(held_out))
    for i, e in enumerate(held_out):
        right[i] = 1 - e.failed
        if len(e.wanted):
            first, row, _ = winner_of(ranker, e.table, e.said, e.outcome)
            trust[i], mends[i] = ranker.trust(row[None])[0], e.mends[first]
    order = np.argsort(-trust, kind="stable")
    falsely = np.cumsum(right[order]) / max(right.sum(), 1e-9)
    over = np.flatnonzero(falsely > rate)
    threshold = max(least, float(np.nextafter(trust[order][over[0]], 2)) if len(over) else 0.0)
    given = trust >= threshold
    figures = {
        "held_out_turns": float(len(held_out)),
        "false_triggers_allowed": rate,
        "false_triggers": float(right[given].sum() / max(right.sum(), 1e-9)),
        "triggers": float(given.mean()) if len(given) else 0.0,
        "precision": float(mends[given].mean()) if given.any() else 0.0,
    }
    return Ranker(
        ranker.booster, ranker.mean, ranker.scale, ranker.weights, ranker.intercept, threshold, figures
    )
