"""Ways to label rows, turns or goals, and which of them is best: out of fold, by dialogue.

| candidate | what it sees |
|---|---|
| words alone | TF-IDF of the row's own words, logistic regression |
| words | the same with the neighbours' words |
| reaction | for turns: with the words of the next turn, but not of the one before |
| trees | LightGBM on numbers about the context, and on the words' probabilities out of fold |
| network | the Transformer over the turns of the dialogue |
| stack | `trees`, with the network's probabilities out of fold beside |
| blend | weighted mean of the log-odds of the others, by ensemble selection |

Stacking: Wolpert 1992, "Stacked generalization". Ensemble selection: Caruana et al. 2004, "Ensemble
selection from libraries of models": candidates are added one by one, each as often as it helps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score

from labels.generated.decision import Scale, best_threshold, blend, figures, log_odds
from labels.generated.linear import Linear
from labels.generated.settings import Settings
from labels.generated.words import Weighting

ALONE, WORDS, REACTION, TREES, NETWORK, STACK, BLEND = (
    "words alone",
    "words",
    "reaction",
    "trees",
    "network",
    "stack",
    "blend",
)
NAMES = (ALONE, WORDS, REACTION, TREES, NETWORK, STACK, BLEND)

# A candidate that wins by less than this wins by chance; the blend depends on chance the least.
MARGIN = 0.01
_STEPS = 12

# From the probabilities of a linear model, one per row, to the columns that trees get of them.
Spread = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Rows:
    """What is known of n rows.

    Attributes
    ----------
    words: counts of words for each linear candidate, in blocks; at least `ALONE` and `WORDS`.
    numbers: dense columns (n, k).
    network: the network's columns (n, m), of which the first is its probability; None without one.
    """

    words: Mapping[str, Sequence[csr_matrix]]
    numbers: np.ndarray
    network: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Truth:
    """Targets of n rows: `target` from 0 to 1 to learn, `verdict` 0 or 1 to decide; NaN without.

    `fold`: fold of each row's dialogue (n,). `weight`: of each row in training.
    """

    target: np.ndarray
    verdict: np.ndarray
    fold: np.ndarray
    weight: np.ndarray


@dataclass(slots=True)
class Fitted:
    """The candidates fitted to all rows, the default among them, its calibration and threshold.

    Attributes
    ----------
    chosen: name of the default: the highest average precision out of fold, or the blend where it is
        within `MARGIN` of that.
    weights: of the candidates in the blend.
    threshold: of the calibrated probability, with the best F1 out of fold.
    metrics: figures of each candidate, out of fold.
    """

    chosen: str
    weights: dict[str, float]
    weightings: dict[str, Weighting]
    linear: dict[str, Linear]
    boosters: dict[str, lgb.Booster]
    scale: Scale
    threshold: float
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    def drop(self, keep: set[str]) -> None:
        """Forget the parts that are not among `keep`."""
        self.weightings = {k: v for k, v in self.weightings.items() if k in keep}
        self.linear = {k: v for k, v in self.linear.items() if k in keep}
        self.boosters = {k: v for k, v in self.boosters.items() if k in keep}

    def predict(self, rows: Rows, spread: Spread) -> np.ndarray:
        """Calibrated probabilities (n,) of the default candidate."""
        return self.scale.apply(self.raw(rows, spread, self.chosen))

    def raw(self, rows: Rows, spread: Spread, name: str) -> np.ndarray:
        """Probabilities (n,) of one candidate, not calibrated."""
        names = list(self.weights) if name == BLEND else [name]
        found: dict[str, np.ndarray] = {}
        if NETWORK in names:
            found[NETWORK] = _first(rows)
        trees = [kind for kind in names if kind in (TREES, STACK)]
        kinds = rows.words if trees else [kind for kind in names if kind in rows.words]
        for kind in kinds:
            if kind in names or kind != ALONE:
                found[kind] = self._words(rows, kind)
        if trees:
            columns = np.hstack([spread(found[kind]) for kind in rows.words if kind != ALONE])
            found |= {kind: self._trees(rows, columns, kind) for kind in trees}
        if name != BLEND:
            return found[name]
        return blend({kind: found[kind] for kind in names}, self.weights)

    def _words(self, rows: Rows, name: str) -> np.ndarray:
        return self.linear[name].predict(self.weightings[name].apply(rows.words[name]))

    def _trees(self, rows: Rows, words: np.ndarray, name: str) -> np.ndarray:
        x = _columns(rows, words, name)
        value: np.ndarray = np.asarray(self.boosters[name].predict(x, num_threads=1))
        return value


def _first(rows: Rows) -> np.ndarray:
    """The network's probability of each row (n,)."""
    if rows.network is None:
        raise ValueError("there is no network that says something about these rows")
    p: np.ndarray = rows.network[:, 0]
    return p


def fit(
    rows: Rows,
    truth: Truth,
    spread: Spread,
    settings: Settings,
    keep: Sequence[str] = (),
) -> tuple[Fitted, np.ndarray]:
    """Fit every candidate, choose one, and return with it the chosen one's calibrated
    probabilities out of fold (n,), NaN where no fold says one.

    Rows without target are predicted too, by the fold that they are in. `keep`: candidates that
    are fitted though they were not chosen, to be compared on other data.
    """
    known = np.isfinite(truth.target)
    out: dict[str, np.ndarray] = {}
    weightings, linear, boosters = {}, {}, {}
    for name, blocks in rows.words.items():
        weightings[name] = Weighting.fit(blocks)
        x = weightings[name].apply(blocks)
        out[name] = np.full(len(known), np.nan)
        for train, test in _splits(truth.fold, known):
            part = Linear.fit(x[train], truth.target[train], truth.weight[train])
            out[name][test] = part.predict(x[test])
        linear[name] = Linear.fit(x[known], truth.target[known], truth.weight[known])
    spread_words = np.hstack([spread(p) for name, p in out.items() if name != ALONE])
    for name in (TREES, STACK):
        if name == STACK and rows.network is None:
            continue
        z = _columns(rows, spread_words, name)
        out[name] = np.full(len(known), np.nan)
        for train, test in _splits(truth.fold, known):
            model = _boost(z[train], truth.target[train], truth.weight[train], settings)
            out[name][test] = model.predict(z[test], num_threads=1)
        boosters[name] = _boost(z[known], truth.target[known], truth.weight[known], settings)
    if rows.network is not None:
        out[NETWORK] = rows.network[:, 0]
    decided = np.isfinite(truth.verdict) & np.all([np.isfinite(p) for p in out.values()], axis=0)
    verdict = truth.verdict[decided]
    weights = _selected({name: p[decided] for name, p in out.items()}, verdict)
    out[BLEND] = blend({name: out[name] for name in weights}, weights)
    metrics = {name: figures(verdict, out[name][decided]) for name in NAMES if name in out}
    chosen = _best(metrics)
    scale = Scale.fit(out[chosen][decided], verdict)
    calibrated = np.where(np.isfinite(out[chosen]), scale.apply(out[chosen]), np.nan)
    metrics[chosen] = figures(verdict, calibrated[decided])
    fitted = Fitted(
        chosen,
        weights,
        weightings,
        linear,
        boosters,
        scale,
        best_threshold(verdict, calibrated[decided])[0],
        metrics,
    )
    fitted.drop(needed(weights, chosen, *keep))
    return fitted, calibrated


def needed(weights: Mapping[str, float], *names: str) -> set[str]:
    """The parts that candidates consist of; `weights` are those of the blend."""
    parts = {part for name in names for part in (weights if name == BLEND else [name])}
    return parts | ({WORDS, REACTION} if parts & {TREES, STACK} else set())


def _best(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """The candidate with the best figures, the blend if it is as good."""
    ap = {name: float(np.nan_to_num(row["average_precision"])) for name, row in metrics.items()}
    best = max(ap, key=ap.__getitem__)
    return BLEND if ap[BLEND] >= ap[best] - MARGIN else best


def _selected(out: Mapping[str, np.ndarray], verdict: np.ndarray) -> dict[str, float]:
    """How much of the blend each candidate is, by average precision out of fold; at least one."""
    odds = {name: log_odds(p) for name, p in out.items()}
    if not 0 < verdict.sum() < len(verdict):
        return {WORDS: 1.0}
    total = np.zeros(len(verdict))
    times: dict[str, int] = {}
    for _ in range(_STEPS):
        score = {n: float(average_precision_score(verdict, total + o)) for n, o in odds.items()}
        name = max(score, key=score.__getitem__)
        times[name] = times.get(name, 0) + 1
        total = total + odds[name]
    return {name: times[name] / _STEPS for name in sorted(times)}


def _columns(rows: Rows, words: np.ndarray, name: str) -> np.ndarray:
    parts = [rows.numbers, words]
    if name == STACK and rows.network is not None:
        parts.append(rows.network)
    return np.hstack(parts).astype(np.float32)


def _splits(fold: np.ndarray, known: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (np.flatnonzero(known & (fold != k)), np.flatnonzero(fold == k)) for k in np.unique(fold)
    ]


def _boost(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray, settings: Settings
) -> lgb.Booster:
    parameters: dict[str, Any] = {
        # Cross-entropy takes targets between 0 and 1, such as the share of raters.
        "objective": "cross_entropy",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": max(2, min(20, len(target) // 20)),
        "feature_fraction": 0.3,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "seed": settings.seed,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    # LightGBM refuses characters that names contain: columns go by position.
    booster: lgb.Booster = lgb.train(
        parameters, lgb.Dataset(x, target, weight=weight), settings.rounds
    )
    return booster
