"""What to ask next: where a "did I answer your question?" pays most, within a budget.

Questions go where the traffic is and where feedback leaves most open: to each intent in proportion
to its turns times the standard deviation of what is not known of them (Neyman's allocation, 1934),
less what was answered already. A share of the budget is spread evenly, so that every turn can be
asked about. No user is asked more often than a set rate.

Every decision comes with the probability with which it was taken. Answers of turns that were asked
with different probabilities are no sample of the traffic; weighted by the inverse of their
propensity (Horvitz and Thompson 1952; self-normalised: Hájek 1971) they are. The propensity must be
that of a turn before it was known whether its user would be left alone (`labels.feedback.asking`);
with that of the moment, which is 0 in a pause, those who talk much count too little.

What is estimated is the share of all turns with a chance to be asked about whose users would answer
"no", if whoever doesn't answer would answer like those who do. Two things remain: Hájek's estimator
is biased by the order of one over the number of answers, and asking must not change who talks when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.errors import UsageError
from data.schema.requests import SPEAKER
from data.schema.trace import schema
from labels.feedback.asking import Asking
from labels.feedback.label_model import RATE
from labels.feedback.table import collect, rows

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from labels.feedback.label_model import LabelModel

# The highest budget and rate: nobody asks more, and the mathematics stays finite.
_MOST_A_DAY = 1e9
# The share of the budget that is spread evenly over all turns.
EVENLY = 0.2
# No turn is asked about more surely than this: people who are always asked stop answering.
MOST = 0.5
# Turns with so much traffic are planned for; of others, answers would be too few to tell anything.
LEAST_TURNS = 5

PLAN = schema(
    [
        ("assistant", pa.string()),
        # domain|intent; "" for turns without one.
        ("intent", pa.string()),
        ("turns", pa.int64()),
        ("per_day", pa.float64()),
        ("users", pa.int64()),
        # Mean probability of a defect, and the standard deviation that is left, per turn.
        ("p_defect", pa.float64()),
        ("uncertainty", pa.float64()),
        ("answers", pa.int64()),
        # Share of the value of all questions.
        ("value", pa.float64()),
        # With what probability to ask after a turn, and how many questions a day that is.
        ("propensity", pa.float64()),
        ("asks_per_day", pa.float64()),
    ]
)

_SPEAKERS = f"SELECT turn_id, {SPEAKER} AS speaker, coalesce(user_id, '') <> '' AS known FROM turns"


def plan(
    snapshot: Snapshot,
    budget: float,
    rate: float = 1.0,
    *,
    model: LabelModel | None = None,
    evenly: float = EVENLY,
) -> pa.Table:
    """How likely to ask after a turn of each intent; columns as in `PLAN`, the most valuable first.

    Parameters
    ----------
    budget: questions a day, in all. rate: of one user, questions a day at most.
    model: the label model whose uncertainty counts; fitted to the snapshot by default. Without any
        feedback everything is as uncertain as can be, and questions follow the traffic.
    evenly: the share of the budget that is spread over all turns.

    Raises
    ------
    UsageError: a budget, rate or share that is not positive, a budget or rate that is without
        bounds, or a share beyond 1.
    """
    for name, value in (("budget", budget), ("rate", rate)):
        if not value > 0:
            raise UsageError(f"The {name} must be above 0 questions a day; it was {value:g}.")
        if value > _MOST_A_DAY:
            raise UsageError(
                f"The {name} must be at most {_MOST_A_DAY:,.0f} questions a day; it was {value:g}."
            )
    if not 0 < evenly <= 1:
        raise UsageError(f"The share spread evenly must be above 0 and at most 1, not {evenly:g}.")
    turns = _turns(snapshot, model)
    if turns.empty:
        return PLAN.empty_table()
    days = max(int(turns["day"].nunique()), 1)
    groups = turns.groupby(["assistant", "intent"], sort=True).agg(
        turns=("turn_id", "size"),
        users=("speaker", "nunique"),
        p_defect=("p", "mean"),
        left=("left", "mean"),
        answers=("answered", "sum"),
    )
    groups["per_day"] = groups["turns"] / days
    groups["uncertainty"] = np.sqrt(groups["left"])
    wanted = groups["turns"] * groups["uncertainty"]
    wanted = wanted.where(groups["turns"] >= LEAST_TURNS, 0.0)
    share = _filled(wanted.to_numpy(), groups["answers"].to_numpy(), budget * days)
    # What a question about one turn is worth, relative to the others.
    each = (1 - evenly) * share / groups["per_day"] + evenly / groups["per_day"].sum()
    number = turns.groupby(["assistant", "intent"], sort=True).ngroup().to_numpy()
    scale = _scale(turns, number, each.to_numpy(), budget, rate, days)
    propensity = np.minimum(scale * each, MOST)
    groups["value"] = share
    groups["propensity"] = propensity
    expected = _expected(turns, number, propensity.to_numpy(), rate, days)
    groups["asks_per_day"] = np.bincount(number, expected, len(groups)) / days
    table = groups.reset_index().sort_values(
        ["value", "assistant", "intent"], ascending=[False, True, True]
    )
    return pa.Table.from_pandas(table[PLAN.names], PLAN, preserve_index=False)


def asking(table: pa.Table, rate: float = 1.0, seed: int = 0) -> Asking:
    """What an assistant needs of a table of `plan` to decide after each turn.

    Intents that the plan lacks are asked about as rarely as any.
    """
    chances = [
        ((row["assistant"], row["intent"]), float(row["propensity"])) for row in table.to_pylist()
    ]
    otherwise = min((chance for _, chance in chances), default=0.0)
    return Asking(tuple(chances), otherwise, rate, seed)


def _turns(snapshot: Snapshot, model: LabelModel | None) -> pd.DataFrame:
    from labels.feedback.label_model import fit

    table = collect(snapshot)
    if not table.num_rows:
        return pd.DataFrame()
    feedback = rows(table, model or fit(table))
    turns = table.select(["turn_id", "day", "assistant", "intent", "explicit"]).to_pandas()
    turns["intent"] = turns["intent"].fillna("")
    turns["answered"] = turns.pop("explicit").notna()
    p = feedback["p_defect"].to_pandas().astype(float)
    # What is not known at all is as open as a coin.
    turns["p"] = p.fillna(RATE)
    turns["left"] = (p * (1 - p)).fillna(0.25).where(~turns["answered"], 0.0)
    speakers = snapshot.query(_SPEAKERS).to_pandas()
    return turns.merge(speakers, on="turn_id")


def _filled(wanted: np.ndarray, answers: np.ndarray, budget: float) -> np.ndarray:
    """The share of the budget of each group, so that old and new answers together are as wanted."""
    if not wanted.sum():
        return np.full(len(wanted), 1 / len(wanted))
    low, high = 0.0, float((answers.sum() + budget) / max(wanted.sum(), 1e-12) * 1e6 + 1)
    for _ in range(200):
        level = (low + high) / 2
        if np.maximum(wanted * level - answers, 0).sum() < budget:
            low = level
        else:
            high = level
    new = np.maximum(wanted * high - answers, 0)
    shares: np.ndarray = new / new.sum() if new.sum() else wanted / wanted.sum()
    return shares


def _scale(
    turns: pd.DataFrame, number: np.ndarray, each: np.ndarray, budget: float, rate: float, days: int
) -> float:
    """What to multiply with, so that users capped by their rate are asked `budget` times a day."""
    low, high = 0.0, MOST / max(float(each.min()), 1e-12)
    for _ in range(60):
        scale = (low + high) / 2
        propensity = np.minimum(scale * each, MOST)
        if _expected(turns, number, propensity, rate, days).sum() < budget * days:
            low = scale
        else:
            high = scale
    return high


def _expected(
    turns: pd.DataFrame, number: np.ndarray, propensity: np.ndarray, rate: float, days: int
) -> np.ndarray:
    """Expected questions per turn, float64 (turns,): a user's are cut down to their rate."""
    asks = propensity[number]
    speaker = turns["speaker"].factorize()[0]
    per_user = np.bincount(speaker, asks)
    most = np.where(turns.groupby(speaker)["known"].first().to_numpy(bool), rate * days, np.inf)
    cut = np.minimum(1.0, most / np.maximum(per_user, 1e-12))
    expected: np.ndarray = asks * cut[speaker]
    return expected


@dataclass(frozen=True, slots=True)
class Estimate:
    """The share of turns that users would answer with "no".

    Attributes
    ----------
    value: the estimate; NaN without an answer. low, high: its 95 % interval.
    answers: on how many it rests. effective: how many of equal weight they are worth (Kish 1965).
    """

    value: float
    low: float
    high: float
    answers: int
    effective: float


def naive(bad: Iterable[bool]) -> Estimate:
    """The share of "no" among the answers, as if they were a sample of the traffic."""
    answers = np.asarray(list(bad), float)
    return _hajek(answers, np.ones(len(answers)))


def self_normalised(bad: Iterable[bool], propensity: Iterable[float]) -> Estimate:
    """Hájek's estimator: answers weighted by one over their propensity, over the sum of weights.

    bad: per answer, whether it was "no". propensity: with which its turn was going to be asked
    about, whether or not its user is left alone. The interval takes turns for independent, which is
    too wide rather than too narrow where a pause keeps two turns of a user from both being asked.

    Raises UsageError for a propensity that is not above 0: such a turn was not asked by a plan.
    """
    return _hajek(np.asarray(list(bad), float), 1 / _checked(propensity))


def inverse_propensity(
    bad: Iterable[bool], propensity: Iterable[float], turns: int, answered: float = 1.0
) -> Estimate:
    """Horvitz and Thompson's estimator: unbiased, but less steady than `self_normalised`.

    turns: those that could have been asked. answered: the share of questions that are answered.
    """
    weight = 1 / _checked(propensity)
    answers = np.asarray(list(bad), float)
    whole = max(turns * answered, 1e-12)
    value = float(weight @ answers) / whole
    # Of a sum of independent terms: each turn was asked, or not, by itself.
    error = 1.96 * float(np.sqrt(np.sum(weight * (weight - 1) * answers**2))) / whole
    if not len(answers):
        value = error = float("nan")
    return Estimate(value, max(value - error, 0.0), min(value + error, 1.0), len(answers),
                    _effective(weight))  # fmt: skip


def from_store(table: pa.Table) -> dict[str, Estimate]:
    """Estimates from rows of `FEEDBACK`, or of `labels.feedback.signals.signals`.

    `naive`: of all answers. `self-normalised`: of those that a plan asked for, where there are any;
    answers that users volunteered are left out of it, as nobody knows how likely they were.
    """
    frame = table.select(["explicit", "asked", "propensity"]).to_pandas()
    answered = frame[frame["explicit"].notna()]
    found = {"naive": naive(answered["explicit"].eq("no"))}
    planned = answered[answered["propensity"].gt(0) & answered["asked"].eq(True)]
    if len(planned):
        bad = planned["explicit"].eq("no")
        found["self-normalised"] = self_normalised(bad, planned["propensity"])
    return found


def _hajek(bad: np.ndarray, weight: np.ndarray) -> Estimate:
    if not len(bad):
        nan = float("nan")
        return Estimate(nan, nan, nan, 0, 0.0)
    total = float(weight.sum())
    value = float(weight @ bad) / total
    error = 1.96 * float(np.sqrt(np.sum((weight * (bad - value)) ** 2))) / total
    return Estimate(value, max(value - error, 0.0), min(value + error, 1.0), len(bad),
                    _effective(weight))  # fmt: skip


def _effective(weight: np.ndarray) -> float:
    return float(weight.sum() ** 2 / np.sum(weight**2)) if len(weight) else 0.0


def _checked(propensity: Iterable[float]) -> np.ndarray:
    values: np.ndarray[Any, Any] = np.asarray(list(propensity), float)
    if not (values > 0).all() or (values > 1).any():
        raise UsageError(
            "A propensity must be above 0 and at most 1; leave out turns that were not asked by a "
            "plan."
        )
    return values
