"""The label model and the quality of signals, against gold that neither of them reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.intervals import wilson
from labels.feedback import label_model
from labels.feedback.asking import ASKED, PROPENSITY
from labels.feedback.label_model import fit
from labels.feedback.quality import interval, measures, quality, repaired, truth
from labels.feedback.table import collect, rows
from tests.labels.feedback.spoken import said, store_of, traffic


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table]:
    """Signals of made-up traffic, and the truth about it."""
    store = store_of(tmp_path_factory.mktemp("busy"), traffic())
    with store.snapshot() as snapshot:
        return collect(snapshot), truth(snapshot)


def _defect(table: pa.Table, known: pa.Table) -> np.ndarray:
    defect = dict(zip(known["turn_id"].to_pylist(), known["defect"].to_pylist(), strict=True))
    return np.array([defect[name] for name in table["turn_id"].to_pylist()])


def test_it_ranks_defects_without_having_seen_one(busy: tuple[pa.Table, pa.Table]) -> None:
    table, known = busy
    found = measures(fit(table).p_defect(table), _defect(table, known))
    assert found["average_precision"] > found["base"] + 0.3
    assert found["brier"] < found["base"] * (1 - found["base"])


def test_it_does_not_depend_on_gold(tmp_path: Path) -> None:
    turns = traffic(60)
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    bare = [{k: v for k, v in turn.items() if k != "gold"} for turn in turns]
    flipped = [{**turn, "gold": {"defect": not turn["gold"]["defect"], "corrects": "another"}}
               for turn in turns]  # fmt: skip
    with store_of(tmp_path / "with", flipped).snapshot() as one:
        first = collect(one)
    with store_of(tmp_path / "without", bare).snapshot() as other:
        second = collect(other)
    assert first.equals(second)


def test_the_same_turns_give_the_same_probabilities(busy: tuple[pa.Table, pa.Table]) -> None:
    table, _ = busy
    assert np.array_equal(fit(table).p_defect(table), fit(table).p_defect(table))


def test_an_answer_outweighs_what_else_was_seen(tmp_path: Path) -> None:
    turns = traffic(80)
    answers = [
        said("y", 0, "turn on the lamp", at=900_000, feedback={"explicit": "yes"}),
        said("n", 0, "turn on the lamp", at=910_000, feedback={"explicit": "no"}),
        said("x", 0, "turn on the lamp", at=920_000),
    ]
    with store_of(tmp_path, turns + answers).snapshot() as snapshot:
        table = collect(snapshot)
    p = dict(zip(table["turn_id"].to_pylist(), fit(table).p_defect(table), strict=True))
    assert p["y.0"] < p["x.0"] < p["n.0"]


def test_answers_calibrate_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An assistant that fails far more often than is known beforehand, and asks every user.
    turns = traffic(200, seed=4)
    for turn in turns:
        turn["feedback"]["explicit"] = "no" if turn["gold"]["defect"] else "yes"
    with store_of(tmp_path, turns).snapshot() as snapshot:
        table, known = collect(snapshot), truth(snapshot)
    calibrated = fit(table)
    assert calibrated.answers == len(turns)
    assert "answers" in calibrated.note
    monkeypatch.setattr(label_model, "ANSWERS", 10**9)
    plain = fit(table)
    # Judged on what was seen other than the answers.
    silent = table
    for name in ("answered_no", "answered_yes"):
        number = silent.column_names.index(name)
        silent = silent.set_column(number, name, pa.nulls(table.num_rows, pa.bool_()))
    defect = _defect(table, known)
    better = measures(calibrated.p_defect(silent), defect)["brier"]
    assert better < measures(plain.p_defect(silent), defect)["brier"]


@pytest.mark.parametrize("asked", [{PROPENSITY: 0.0}, {PROPENSITY: 0.4, ASKED: 0.0}])
def test_volunteered_answers_weigh_no_more_than_themselves(
    tmp_path: Path, asked: dict[str, float]
) -> None:
    turns = traffic(200, seed=4)
    for turn in turns:
        turn["feedback"]["explicit"] = "no" if turn["gold"]["defect"] else "yes"
        turn["result"]["signals"] = {ASKED: 1.0, PROPENSITY: 0.4}
    planned = tmp_path / "planned"
    planned.mkdir()
    with store_of(planned, turns).snapshot() as snapshot:
        before = fit(collect(snapshot))
    for turn in turns[:4]:
        turn["feedback"]["explicit"] = "no"
        turn["result"]["signals"] = {ASKED: 0.0, **asked}
    with store_of(tmp_path, turns).snapshot() as snapshot:
        table = collect(snapshot)
    after = fit(table)
    assert after.answers == before.answers == len(turns)
    # Four of hundreds of answers: at a weight of 100 they would outweigh 250 others.
    assert after.shift == pytest.approx(before.shift, abs=0.15)


def test_a_store_without_feedback_says_so(tmp_path: Path) -> None:
    turns = [said(f"a{i}", 0, f"request {i}", at=1_000 * i) for i in range(5)]
    with store_of(tmp_path, turns).snapshot() as snapshot:
        table = collect(snapshot)
    model = fit(table)
    assert "no probability" in model.note
    assert rows(table, model)["p_defect"].null_count == 5


def test_only_the_assistants_own_signs(tmp_path: Path) -> None:
    turns: list[dict[str, Any]] = [
        said(f"a{i}", 0, f"request {i * 7919}", at=1_000 * i,
             result={"status": "error" if i % 5 == 0 else "ok"})
        for i in range(50)
    ]  # fmt: skip
    with store_of(tmp_path, turns).snapshot() as snapshot:
        table = collect(snapshot)
    model = fit(table)
    assert "the assistant itself" in model.note
    p = model.p_defect(table)
    failed = np.array(table["failed"].to_pylist())
    assert p[failed].min() > p[~failed].max()


def test_quality_counts_precision_and_coverage(busy: tuple[pa.Table, pa.Table]) -> None:
    table, known = busy
    found = quality(table, known, draws=200).set_index("signal")
    cut = found.loc["barge_in"]
    defect = _defect(table, known)
    fires = np.array(table["barge_in"].to_pylist(), bool)
    assert cut["fires"] == fires.sum()
    assert cut["precision"] == pytest.approx(defect[fires].mean())
    assert cut["coverage"] == pytest.approx(fires[defect].mean())
    assert cut["low"] < cut["precision"] < cut["high"]
    assert cut["base"] == pytest.approx(defect.mean())
    assert found.loc["answered_no", "turns"] == 0


def test_how_often_signals_fire_needs_no_truth(busy: tuple[pa.Table, pa.Table]) -> None:
    table, known = busy
    fires = table["barge_in"].to_pylist().count(True)
    seen = table.num_rows - table["barge_in"].null_count
    for some in (known, known.slice(0, 0), known.slice(0, 10)):
        cut = quality(table, some, draws=20).set_index("signal").loc["barge_in"]
        assert (cut["fired"], cut["observed"]) == (fires, seen)
        assert cut["share"] == pytest.approx(fires / seen)
    nothing = quality(table, known.slice(0, 0), draws=20).set_index("signal").loc["barge_in"]
    assert np.isnan(nothing["precision"])
    assert np.isnan(nothing["coverage"])


@pytest.mark.parametrize(
    ("hits", "calls", "expected"),
    [
        # Every call is right, in three dialogues.
        ([1, 1, 1, 1, 0], [1, 1, 1, 1, 0], wilson(3, 3)),
        ([0, 0, 0, 0, 0], [1, 1, 1, 1, 0], wilson(0, 3)),
        # Two calls in one dialogue say no more than one.
        ([1, 0, 0, 0, 0], [1, 1, 0, 0, 0], wilson(0.5, 1)),
    ],
)
def test_few_calls_have_a_wide_interval(
    hits: list[int], calls: list[int], expected: tuple[float, float]
) -> None:
    group = np.array([0, 0, 1, 2, 3])
    found = interval(group, np.array(hits, bool), np.array(calls, bool), 4,
                     np.random.default_rng(0))  # fmt: skip
    assert found == pytest.approx(expected)
    assert found[1] - found[0] > 0.4


def test_corrections_in_gold_are_a_truth_too(tmp_path: Path) -> None:
    turns = [
        said("a", 0, "create a contact"),
        said("a", 1, "create a contact named tom", gold={"corrects": "a.0",
                                                         "correction": "command"}),
    ]  # fmt: skip
    with store_of(tmp_path, turns).snapshot() as snapshot:
        assert repaired(snapshot).to_pylist() == [{"turn_id": "a.0", "defect": True}]
