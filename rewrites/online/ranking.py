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
from rewrites.interpretations import intent
from rewrites.neighbours import held
from rewrites.online.history import hour
from rewrites.online.retrieval import Candidates, Index
from rewrites.online.vectors import sounds

FEATURES = (
    *("fuzzy", "words", "part", "phonetic", "letters", "sounds", "meaning", "length"),
    *("turns", "failure", "users", "recency"),
    *("own_turns", "own_share", "own_recency", "own_hour"),
    *("device", "location", "hour", "before", "taught"),
    *("path", "path_share", "votes", "nearest", "own_votes", "same_intent", "held"),
)
# Of the text that was said, the same for all its candidates.
SAID = (
    *("known", "said_turns", "said_failure", "said_own_turns", "said_own_failed", "n_words"),
    *("frame_given", "frame_known", "frame_works", "frame_votes", "frame_held"),
)
# Of the winner besides: its score, its lead over other outcomes, and two products.
# Above every probability.
_NEVER = 2.0
_REGULARISED = 0.3
_WINNER = ("score", "lead", "fuzzy × held", "votes × nearest")
_KNOWN = len(FEATURES) + SAID.index("known")
_FRAME_GIVEN = len(FEATURES) + SAID.index("frame_given")
_LIFTED = {"device": "device", "state": "device", "location": "location"} | {
    "hour": "hour",
    "before": "before",
}
_DAY = 86_400.0
_SHARP = 3
# Rows of candidates below which a ranker learns nothing.
LEAST_QUERIES = 60
FALSE_TRIGGERS = 0.01
# Share of the rewrites given that have to mend, on held-out turns.
PRECISION = 0.5
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
    `rewrites.online.history.contexts`. `at`: seconds since 1970.
    """

    text: str
    assistant: str
    user_id: str | None = None
    frame: str | None = None
    contexts: Sequence[str] = ()
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Background:
    """What the ranker knows beside the index: lifts of contexts, and taught preferences."""

    lifts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    taught: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, lifts: pa.Table, taught: pa.Table | None = None) -> Background:
        """From a table `LIFTS` of `rewrites.online.tabulate`.

        `taught`: user_id (null: everybody) and rewrite, texts that users asked to be understood as.
        """
        by_context: dict[str, dict[str, float]] = {}
        for context, name, lift in zip(
            *(_values(lifts, name) for name in lifts.column_names), strict=True
        ):
            by_context.setdefault(context, {})[name] = lift
        preferred: dict[str, set[str]] = {}
        if taught is not None:
            users, texts = _values(taught, "user_id"), _values(taught, "rewrite")
            for user, text in zip(users, texts, strict=True):
                preferred.setdefault(user or "", set()).add(text)
        return cls(by_context, {u: frozenset(t) for u, t in preferred.items()})


def _values(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist()


def retrieved(index: Index, request: Request, *, unheard: bool = False) -> Candidates:
    """What a request may mean, without what its frame, or its text, says already."""
    own = index.code(request.frame, request.assistant) if request.frame is not None else -1
    row = index.find(request.text, request.assistant)
    if request.frame is None and row >= 0 and not unheard:
        own = int(index.outcome[row])
    return index.candidates(
        request.text, request.assistant, request.user_id, own_outcome=own, unheard=unheard
    )


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
    n, now = len(rows), request.at or float(index.arrays["latest"][0])
    own_row = -1 if unheard else index.find(request.text, request.assistant)
    texts = index.texts(rows)
    outcome = index.outcome[rows]
    names = [index.interpretation(code) for code in outcome.tolist()]
    state = request.frame or (index.interpretation(index.outcome[own_row]) if own_row >= 0 else "")
    spoken = sounds(text)
    intents = [intent(name) for name in names]
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
            table[kind] = table[kind] + np.array([lift.get(name, 0.0) for name in intents])
    liked = background.taught.get(request.user_id or "", frozenset()) | background.taught.get(
        "", frozenset()
    )
    table["taught"] = np.array([float(other in liked) for other in texts])
    ends, masses = index.ends(own_row) if own_row >= 0 else (np.zeros(0, int), np.zeros(0))
    path = dict(zip(ends.tolist(), masses.tolist(), strict=True))
    table["path"] = np.array([path.get(code, 0.0) for code in outcome.tolist()])
    table["path_share"] = table["path"] / max(sum(path.values()), 1e-9)
    table["votes"], table["nearest"] = found.votes, found.nearest
    # A user's own habits vote as well.
    near = np.nan_to_num(np.fmax(table["phonetic"], table["fuzzy"])) ** _SHARP
    table["own_votes"] = _votes(outcome, near * table["own_turns"])
    table["same_intent"] = np.array(intents, object) == intent(state)
    table["held"] = np.array([held(text, name) for name in names])
    return np.column_stack([table[name] for name in FEATURES]), _said(
        index, request, own_row, found
    )


def _personal(
    table: dict[str, np.ndarray], index: Index, request: Request, rows: np.ndarray, now: float
) -> None:
    place = index.own_counts(request.user_id, rows)
    mine, columns = place >= 0, index.columns
    if not mine.any():
        return
    turns = np.where(mine, columns["own_turns"][place] - columns["own_failed"][place], 0.0)
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


def _said(index: Index, request: Request, row: int, found: Candidates) -> np.ndarray:
    columns = index.columns
    said = dict.fromkeys(SAID, 0.0)
    said["n_words"] = len(request.text[:LONGEST].split())
    if request.frame is not None:
        code = index.code(request.frame, request.assistant)
        said["frame_given"] = 1.0
        said["frame_held"] = held(request.text[:LONGEST], request.frame)
        if code >= 0:
            said["frame_known"], said["frame_works"] = 1.0, float(index.works[code])
            said["frame_votes"] = found.shares.get(code, 0.0)
    if row >= 0:
        said["known"], said["said_failure"] = 1.0, float(columns["failure"][row])
        said["said_turns"] = float(np.log1p(columns["turns"][row]))
        place = int(index.own_counts(request.user_id, np.array([row]))[0])
        if place >= 0:
            said["said_own_turns"] = float(columns["own_turns"][place])
            said["said_own_failed"] = float(columns["own_failed"][place])
    return np.array(list(said.values()))


@dataclass(frozen=True, slots=True)
class Trust:
    """A logistic regression on the winner: (features − mean) / scale · weights + intercept."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: float

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> Trust:
        """Fitted to probabilities `y` (n,) with weights `w` (n,)."""
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        scaled = (x - mean) / scale
        model = LogisticRegression(C=_REGULARISED, max_iter=2000)
        model.fit(
            np.concatenate([scaled, scaled]),
            np.repeat([1, 0], len(x)),
            sample_weight=np.concatenate([w * y, w * (1 - y)]) + 1e-9,
        )
        return cls(mean, scale, model.coef_[0], float(model.intercept_[0]))

    def __call__(self, winner: np.ndarray) -> float:
        """The probability that the text fails and the winner is wanted."""
        scaled = (np.nan_to_num(winner) - self.mean) / self.scale
        return float(expit(scaled @ self.weights + self.intercept))

    def content(self) -> dict[str, Any]:
        """As JSON."""
        lists = {name: getattr(self, name).tolist() for name in ("mean", "scale", "weights")}
        return {**lists, "intercept": self.intercept}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Trust:
        """From what `content` gave."""
        mean, scale, weights = (np.array(content[name]) for name in ("mean", "scale", "weights"))
        return cls(mean, scale, weights, float(content["intercept"]))


@dataclass(frozen=True, slots=True)
class Ranker:
    """A ranking and the trust in its winner.

    Attributes
    ----------
    booster: LambdaRank; None where there was too little to learn from, then nothing is rewritten.
    trusts: for requests without and with the frame that NLU made of them.
    thresholds: least trust, for texts never heard before and for those that were.
    figures: how they were chosen, for people.
    """

    booster: lgb.Booster | None
    trusts: tuple[Trust, ...]
    thresholds: tuple[float, float]
    figures: dict[str, float]

    @classmethod
    def untrained(cls) -> Ranker:
        """One that always abstains."""
        return cls(None, (), (_NEVER, _NEVER), {})

    def ranked(self, table: np.ndarray) -> np.ndarray:
        """The scores of candidates, float64 (n,)."""
        if self.booster is None or not len(table):
            return np.zeros(len(table))
        scores: np.ndarray = np.asarray(self.booster.predict(table, num_threads=1))
        return scores

    def trust(self, winner: np.ndarray) -> float:
        """The probability that the text fails and the winner is wanted, of `winner_of`."""
        if not self.trusts:
            return 0.0
        return self.trusts[int(winner[_FRAME_GIVEN] > 0)](winner)

    def threshold(self, winner: np.ndarray) -> float:
        """The least trust at which the winner is given."""
        return self.thresholds[int(winner[_KNOWN] > 0)]

    def save(self, folder: Path) -> None:
        """Write ``ranker.txt`` and ``trust.json``."""
        if self.booster is not None:
            self.booster.save_model(str(folder / "ranker.txt"))
        content = {
            "features": [*FEATURES, *SAID, *_WINNER],
            "trusts": [trust.content() for trust in self.trusts],
            "thresholds": self.thresholds,
            "figures": self.figures,
        }
        (folder / "trust.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """Read what `save` wrote."""
        content = json.loads((folder / "trust.json").read_text("utf-8"))
        path = folder / "ranker.txt"
        unheard, heard = content["thresholds"]
        return cls(
            lgb.Booster(model_str=path.read_text("utf-8")) if path.exists() else None,
            tuple(Trust.read(trust) for trust in content["trusts"]),
            (unheard, heard),
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
    top = dict(zip(FEATURES, table[first].tolist(), strict=True))
    products = [top["fuzzy"] * top["held"], top["votes"] * top["nearest"]]
    return first, np.concatenate([table[first], said, [scores[first], lead], products]), scores


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
    booster = _boosted(useful)
    halves = [useful[0::2], useful[1::2]]
    rows: tuple[list[Any], list[Any]] = ([], [])
    for half, other in (halves, halves[::-1]):
        ranker = Ranker(_boosted(half), (), (_NEVER, _NEVER), {})
        for e in other:
            first, row, _ = winner_of(ranker, e.table, e.said, e.outcome)
            rows[int(row[_FRAME_GIVEN] > 0)].append((row, e.mends[first], e.weight))
    if not all(rows):
        return Ranker.untrained()
    trusts = tuple(
        Trust.of(np.nan_to_num(np.array(x)), np.array(y), np.array(w))
        for x, y, w in (zip(*part, strict=True) for part in rows)
    )
    ranker = Ranker(booster, trusts, (_NEVER, _NEVER), {})
    return _with_thresholds(ranker, held_out or useful, false_triggers, least)


def _boosted(examples: Sequence[Example]) -> lgb.Booster:
    table = np.concatenate([e.table for e in examples])
    grade = np.concatenate([np.clip(np.round(e.wanted * 4), 0, 4) for e in examples])
    weight = np.concatenate([np.full(len(e.wanted), e.weight) for e in examples])
    data = lgb.Dataset(
        table, grade, weight=weight, group=[len(e.wanted) for e in examples], free_raw_data=False
    )
    return lgb.train(_PARAMS, data, _ROUNDS)


def _with_thresholds(
    ranker: Ranker, held_out: Sequence[Example], rate: float, least: float
) -> Ranker:
    """The same with the lowest thresholds that keep false triggers within `rate`.

    Of texts that were heard and of those that were not, each on its own; and in either case what is
    given has to be right as often as not.
    """
    right = sum(e.failed < 0.5 for e in held_out if e.weight)
    asked = []
    for e in held_out:
        if len(e.wanted):
            first, row, _ = winner_of(ranker, e.table, e.said, e.outcome)
            asked.append((ranker.trust(row), row[_KNOWN] > 0, e.mends[first], 1 - e.failed))
    thresholds, figures = [], {"held_out_turns": float(len(held_out))}
    figures["false_triggers_allowed"] = rate
    for heard, name in ((False, "unheard"), (True, "heard")):
        part = sorted((a for a in asked if a[1] == heard), reverse=True)
        trust, _, mend, fine = np.array(part, np.float64).reshape(-1, 4).T
        given, mends, falsely = np.arange(1, len(part) + 1), np.cumsum(mend), np.cumsum(fine)
        good = (trust >= least) & (falsely <= rate * right)
        good &= (mends >= PRECISION * given) & (mends > falsely)
        # Winners that are trusted the same are given together or not at all.
        good &= np.append(trust[:-1] > trust[1:], True)[: len(part)]
        threshold = _NEVER
        if good.any():
            last = np.flatnonzero(good)[-1]
            threshold = float(trust[last])
            figures[f"{name}_triggers"] = float(given[last])
            figures[f"{name}_mends"] = float(mends[last])
            figures[f"{name}_false_triggers"] = float(falsely[last] / max(right, 1))
        thresholds.append(threshold)
    return Ranker(ranker.booster, ranker.trusts, (thresholds[0], thresholds[1]), figures)
