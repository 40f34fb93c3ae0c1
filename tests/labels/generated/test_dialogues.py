"""Turns as arrays: in the dialogue's order, without gold, and with times only if they are real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from data.errors import UsageError
from labels.generated import dialogues as reading
from labels.generated import targets
from tests.labels.generated.talks import replaced, table, talks


def test_turns_are_in_the_order_of_their_dialogues_whatever_the_table_is() -> None:
    turns = talks(5)
    shuffled = turns.take(np.random.default_rng(0).permutation(turns.num_rows))
    there, here = reading.read(turns), reading.read(shuffled)
    assert here.turn_ids == there.turn_ids
    assert [shuffled["turn_id"][i].as_py() for i in here.row] == here.turn_ids
    assert (here.position == there.position).all()


def test_neighbours_are_of_the_same_dialogue() -> None:
    dialogues = reading.read(table({"a": [("x", "y")] * 2, "b": [("z", "w")]}))
    assert dialogues.neighbour(1).tolist() == [1, -1, -1]
    assert dialogues.neighbour(-1).tolist() == [-1, 0, -1]
    assert dialogues.starts().tolist() == [0, 2, 3]


def test_made_up_times_are_left_out_and_real_ones_read() -> None:
    turns = talks(20)
    gap = reading.NUMBERS.index("gap before")
    assert np.isnan(reading.read(turns).numbers[:, gap]).all()
    assert np.isfinite(reading.read(turns, "yes").numbers[:, gap]).any()
    generator = np.random.default_rng(0)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    real = [
        start + timedelta(seconds=60.0 * i + float(generator.integers(0, 50)))
        for i in range(turns.num_rows)
    ]
    turns = replaced(turns, "started_at", real)
    assert np.isfinite(reading.read(turns).numbers[:, gap]).any()
    assert np.isnan(reading.read(turns, "no").numbers[:, gap]).all()


def test_what_is_not_logged_is_missing() -> None:
    bare = pa.table({"turn_id": ["a", "b"], "dialogue_id": ["x", "x"]})
    dialogues = reading.read(bare)
    assert dialogues.request == ["", ""]
    assert np.isnan(dialogues.numbers[:, reading.NUMBERS.index("asr confidence")]).all()
    assert len(reading.read(bare.slice(0, 0))) == 0


def test_a_table_without_turns_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="no column dialogue_id"):
        reading.read(pa.table({"turn_id": ["a"]}))


def test_gold_is_in_the_targets_only() -> None:
    turns = talks(4)
    with_gold, without = reading.read(turns), reading.read(turns.drop_columns(["gold"]))
    for name in with_gold.__slots__:
        one, other = getattr(with_gold, name), getattr(without, name)
        assert np.array_equal(one, other, equal_nan=True) if name == "numbers" else True
        if isinstance(one, list):
            assert one == other
    found = targets.read(turns, with_gold)
    assert np.isnan(found.goal_start[with_gold.position == 0]).all()
    assert np.nansum(found.goal_start) == 4
    assert set(np.unique(found.turn_defect)) <= {0.0, 1.0}


def test_a_failure_point_is_a_verdict_where_there_is_none_on_the_response() -> None:
    turns = table({"a": [("x", "y")] * 3})
    gold: list[dict[str, object]] = [
        {"failure_point": "asr"},
        {"failure_point": "correct"},
        {"failure_point": "asr", "defect": False},
    ]
    turns = replaced(turns, "gold", gold)
    assert targets.read(turns, reading.read(turns)).turn_defect.tolist() == [1, 0, 0]


@pytest.mark.parametrize(("scale", "share"), [([1, 2, 3], 1 / 3), ([1, 2, 5], 2 / 3)])
def test_what_a_mark_means_depends_on_the_scale(scale: list[int], share: float) -> None:
    turns = table({"a": [("x", "y")]})
    ratings = [{"annotator": f"r{m}", "of": "response", "value": m} for m in scale]
    turns = replaced(turns, "gold", [{"ratings": ratings}])
    assert targets.read(turns, reading.read(turns)).defect_share[0] == pytest.approx(share)
