"""Rates: intervals cover as stated, and equal the published ones where those exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analysis.intervals import freedom_of
from analysis.rates import (
    ANNOTATED,
    MODEL,
    RATES,
    Labelled,
    Moments,
    by_group,
    design_effect,
    estimate,
    model_only,
    powered,
)
from data.errors import UsageError
from data.intervals import wilson_intervals
from data.schema.trace import FAILURES


def moments(p: np.ndarray[Any, Any]) -> Moments:
    """The moments of one group of turns with one rate."""
    return Moments(np.array([float(len(p))]), np.array([[p.sum()]]), np.array([[(p**2).sum()]]))


def one_group(y: np.ndarray[Any, Any], p: np.ndarray[Any, Any]) -> Labelled:
    """Independent annotated turns of one group with one rate."""
    return Labelled(y[:, None], p[:, None], np.zeros(len(y), np.int64))


# (annotated turns, noise of p, lambda or None for tuned, low, high): computed by the authors'
# package, ppi_py.ppi_mean_ci of ppi-python 0.2.3, on the turns that the test draws. Recorded here
# rather than called, because that package installs a top-level package named `tests`.
PUBLISHED = [
    (150, 0.05, 1.0, 0.2025719, 0.3351122),
    (150, 0.05, 0.4, 0.2031144, 0.3399593),
    (150, 0.05, 0.0, 0.2020125, 0.3446542),
    (150, 0.05, None, 0.2028630, 0.3357436),
    (150, 0.4, 1.0, 0.2203962, 0.3782856),
    (150, 0.4, 0.4, 0.2129933, 0.3544794),
    (150, 0.4, 0.0, 0.2020125, 0.3446542),
    (150, 0.4, None, 0.2089310, 0.3496646),
    (3000, 0.05, 1.0, 0.2440939, 0.2737194),
    (3000, 0.05, 0.4, 0.2446292, 0.2744962),
    (3000, 0.05, 0.0, 0.2443040, 0.2756960),
    (3000, 0.05, None, 0.2444662, 0.2738823),
    (3000, 0.4, 1.0, 0.2435024, 0.2822674),
    (3000, 0.4, 0.4, 0.2452362, 0.2770717),
    (3000, 0.4, 0.0, 0.2443040, 0.2756960),
    (3000, 0.4, None, 0.2448852, 0.2759982),
]


@pytest.mark.parametrize(("n", "noise", "weight", "low", "high"), PUBLISHED)
def test_independent_turns_give_the_published_interval(
    n: int, noise: float, weight: float | None, low: float, high: float
) -> None:
    rng = np.random.default_rng(n)
    truth = rng.beta(1, 3, n + 5000)
    y = (rng.random(len(truth)) < truth).astype(float)
    p = np.clip(0.8 * truth + noise * rng.standard_normal(len(truth)), 0, 1)
    ours = powered(moments(p[n:]), one_group(y[:n], p[:n]), weight=weight)
    assert ours.low[0, 0] == pytest.approx(low, abs=1e-6)
    assert ours.high[0, 0] == pytest.approx(high, abs=1e-6)
    assert ours.value[0, 0] == pytest.approx((low + high) / 2, abs=1e-6)


def test_tuning_never_widens_the_interval() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(400) < 0.2).astype(float)
    useless, rest = rng.random(400), rng.random(4000)
    tuned = powered(moments(rest), one_group(y, useless))
    fixed = powered(moments(rest), one_group(y, useless), weight=1.0)
    assert 0 <= tuned.weight[0, 0] < 0.2
    assert (tuned.high - tuned.low)[0, 0] < 0.85 * (fixed.high - fixed.low)[0, 0]


DRAWS = 1500
DIALOGUES = {"labelled": 300, "all": 2500}
DEFECTS = (0.02, 0.05, 0.025, 0.03, 0.02)


def population(
    rng: np.random.Generator, dialogues: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Truth and probabilities of turns, noisy and too small, and their dialogues.

    Dialogues have one to five turns and their own failure rates, so their turns are correlated.
    """
    size = rng.integers(1, 6, dialogues)
    dialogue = np.repeat(np.arange(dialogues), size)
    frailty = rng.gamma(1.5, 1 / 1.5, (dialogues, len(DEFECTS)))
    chance = np.clip(frailty * DEFECTS, 0, 0.18)[dialogue]
    draw = rng.random((len(dialogue), 1))
    edges = np.cumsum(chance, 1)
    y = (draw < edges) & (draw >= edges - chance)
    seen = 1 / (1 + np.exp(-(-3.6 + 3.2 * y + rng.standard_normal(y.shape))))
    p = 0.7 * seen / np.maximum(1, seen.sum(1, keepdims=True))
    y, p = np.column_stack([y, y.any(1)]), np.column_stack([p, p.sum(1)])
    return y.astype(float), p, dialogue


@pytest.mark.long
def test_intervals_cover_as_stated_and_counting_does_not() -> None:
    """95 % intervals contain the true rate in 93 to 97 % of the draws."""
    rng = np.random.default_rng(7)
    y, p, dialogue = population(rng, 60_000)
    truth = y.mean(0)
    start = np.searchsorted(dialogue, np.arange(60_000))
    size = np.bincount(dialogue)
    sums_p, sums_pp = np.add.reduceat(p, start), np.add.reduceat(p**2, start)
    verdict = p > 0.25
    counted = np.add.reduceat(verdict, start)
    draws = rng.integers(0, 60_000, (DRAWS, DIALOGUES["all"]))
    every = Moments(size[draws].sum(1).astype(float), sums_p[draws].sum(1), sums_pp[draws].sum(1))
    some = draws[:, : DIALOGUES["labelled"]]
    sizes = size[some.ravel()]
    owner = np.repeat(np.arange(some.size), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = start[some.ravel()][owner] + within
    sample = Labelled(y[rows], p[rows], owner // DIALOGUES["labelled"], owner)
    estimates = powered(every.less(sample.moments(DRAWS)), sample)
    assert estimates.powered.all()
    covered = ((estimates.low <= truth) & (truth <= estimates.high)).mean(0)
    print("powered", covered)
    assert covered.min() > 0.93
    assert covered.max() < 0.97
    alone = model_only(every, design=design_effect(sample))
    print("model", ((alone.low <= truth) & (truth <= alone.high)).mean(0))
    low, high = wilson_intervals(counted[draws].sum(1) / every.turns[:, None], every.turns[:, None])
    claimed = ((low <= truth) & (truth <= high)).mean(0)
    print("counted", claimed)
    assert claimed.max() < 0.5


@pytest.mark.parametrize(("erring", "expected"), [(1, 2.01), (20, 41.67), (250, 1000.0)])
def test_freedom_counts_the_dialogues_that_err(erring: int, expected: float) -> None:
    """2m/(1 - m/G) for m of G = 500 errors of one size, whatever the size."""
    for size in (1.0, 3.0):
        e = np.zeros(500)
        e[:erring] = size
        squares, fourths = (np.array([[(e**power).sum()]]) for power in (2, 4))
        freedom = freedom_of(squares, fourths, np.array([[500.0]]))
        assert freedom[0, 0] == pytest.approx(expected, rel=0.01)
    same = np.array([[500.0]])
    assert freedom_of(same, same, same)[0, 0] > 1e6


def test_dialogues_widen_the_interval() -> None:
    """Ten copies of every turn in one dialogue are worth no more than one turn."""
    rng = np.random.default_rng(4)
    y = (rng.random(300) < 0.3).astype(float)
    p = np.clip(0.5 * y + 0.3 * rng.random(300), 0, 1)
    ten = np.repeat(np.arange(300), 10)
    alone = powered(moments(p), Labelled(y[:, None], p[:, None], ten[::10] * 0, ten[::10]))
    copied = powered(
        moments(np.repeat(p, 10)), Labelled(y[ten][:, None], p[ten][:, None], ten * 0, ten)
    )
    width = (alone.high - alone.low)[0, 0]
    assert (copied.high - copied.low)[0, 0] == pytest.approx(width, rel=0.05)
    assert design_effect(Labelled(y[ten][:, None], p[ten][:, None], ten * 0, ten))[0] == (
        pytest.approx(10)
    )


def rollup(days: int, rng: np.random.Generator, rows: int = 40) -> pa.Table:
    """A roll-up of some days, several rows each, p of 1 in 30 per class."""
    p = rng.uniform(0.01, 0.05, (days * rows, len(FAILURES)))
    turns = rng.integers(1, 9, days * rows)
    columns: dict[str, Any] = {"day": np.repeat(np.arange(days), rows), "turns": turns}
    for column, name in enumerate(FAILURES):
        columns[f"sum_p_{name}"] = turns * p[:, column]
        columns[f"sum_pp_{name}"] = turns * p[:, column] ** 2
    columns["sum_pp_defect"] = turns * p.sum(1) ** 2
    return pa.table(columns)


def annotated(day: np.ndarray[Any, Any], rng: np.random.Generator) -> pa.Table:
    """Annotated turns of single-turn dialogues, half of them failing at ASR."""
    p = rng.uniform(0.01, 0.05, (len(day), len(FAILURES)))
    return pa.table(
        {
            "day": pa.array(day),
            "dialogue_id": [f"d{i}" for i in range(len(day))],
            "truth": pa.array(np.where(rng.random(len(day)) < 0.5, "asr", "correct")),
            **{f"p_{name}": pa.array(p[:, column]) for column, name in enumerate(FAILURES)},
        }
    )


def test_a_day_is_estimated_from_its_own_annotations() -> None:
    rng = np.random.default_rng(5)
    turns = rollup(4, rng)
    sample = annotated(np.repeat([0, 2], [120, 20]), rng)
    estimates = by_group(turns, sample, ("day",))
    assert estimates["day"].to_pylist() == [0, 1, 2, 3]
    assert estimates["method"].to_pylist() == [ANNOTATED, MODEL, MODEL, MODEL]
    assert estimates["labelled"].to_pylist() == [120, 0, 20, 0]
    by_day = turns.group_by("day").aggregate([("turns", "sum"), ("sum_p_asr", "sum")])
    assert estimates["turns"].to_pylist() == by_day["turns_sum"].to_pylist()
    # Half of the annotated turns failed there, which the model does not predict.
    assert estimates["value_asr"][0].as_py() == pytest.approx(0.5, abs=0.12)
    expected = by_day["sum_p_asr_sum"][1].as_py() / by_day["turns_sum"][1].as_py()
    assert estimates["value_asr"][1].as_py() == pytest.approx(expected)
    for name in RATES:
        for low, value, high in zip(
            *(estimates[f"{part}_{name}"].to_pylist() for part in ("low", "value", "high")),
            strict=True,
        ):
            assert 0 <= low <= value <= high <= 1


def test_without_annotations_the_method_is_the_model() -> None:
    estimates = estimate(rollup(2, np.random.default_rng(6)))
    assert set(estimates) == set(RATES)
    assert {rate.method for rate in estimates.values()} == {MODEL}
    assert sum(estimates[name].value for name in FAILURES) == pytest.approx(
        estimates["defect"].value
    )


def test_all_turns_annotated_needs_no_model() -> None:
    rng = np.random.default_rng(8)
    y, p = (rng.random(500) < 0.3).astype(float), rng.random(500)
    rows = one_group(y, p)
    estimates = powered(moments(p).less(rows.moments(1)), rows)
    assert estimates.value[0, 0] == y.mean()
    assert estimates.weight[0, 0] == 0


def test_without_turns_the_interval_is_from_0_to_1() -> None:
    defect = estimate(rollup(0, np.random.default_rng(1)))["defect"]
    assert (defect.value, defect.low, defect.high, defect.turns) == (0, 0, 1, 0)
    assert by_group(rollup(0, np.random.default_rng(1)), None, ("day",)).num_rows == 0


def test_a_column_that_lacks_is_named() -> None:
    with pytest.raises(UsageError, match="sum_pp_defect"):
        estimate(rollup(1, np.random.default_rng(1)).drop(["sum_pp_defect"]))


def test_five_failures_add_up_to_the_rate_of_any() -> None:
    """Each has a weight of its own for the predictions, so alone they would not."""
    rng = np.random.default_rng(11)
    p = rng.dirichlet((0.3, 0.6, 0.4, 0.3, 0.2, 8.0), 6_000)[:, :5]
    # The model is wrong about each failure in another way.
    reached = np.cumsum(p * (1.2, 0.6, 1.3, 0.9, 0.5), 1)
    before = np.column_stack([np.zeros(len(p)), reached[:, :-1]])
    drawn = rng.random((len(p), 1))
    y = ((before <= drawn) & (drawn < reached)).astype(float)
    y, p = (np.column_stack([table, table.sum(1)]) for table in (y, p))
    rest = p[800:]
    others = Moments(np.array([float(len(rest))]), rest.sum(0)[None], (rest**2).sum(0)[None])
    sample = Labelled(y[:800], p[:800], np.zeros(800, np.int64), np.arange(800) // 2)
    found, alone = powered(others, sample, total=True), powered(others, sample)
    assert abs(alone.value[0, :-1].sum() / alone.value[0, -1] - 1) > 0.005
    assert found.value[0, :-1].sum() == pytest.approx(found.value[0, -1], rel=1e-12)
    for part in ("value", "low", "high"):
        assert getattr(found, part)[0, -1] == getattr(alone, part)[0, -1]
    factors = found.value[0, :-1] / alone.value[0, :-1]
    assert factors == pytest.approx(np.full(5, factors[0]))
    assert found.high[0, :-1] == pytest.approx(factors * alone.high[0, :-1])
