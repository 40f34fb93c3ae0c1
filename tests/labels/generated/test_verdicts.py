"""Verdicts of the dashboard are gold for the label model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data.store.annotations import annotate
from data.store.store import Store
from labels.generated import dialogues as reading
from labels.generated import targets
from labels.generated.store import training_turns
from labels.generated.targets import FOUND, Targets


def _read(store: Store) -> tuple[dict[Any, int], Targets, list[Any]]:
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, 0)
    rows = reading.read(turns)
    gold = [turns["gold"][i].as_py() for i in rows.row]
    return {t: i for i, t in enumerate(rows.turn_ids)}, targets.read(turns, rows), gold


_FREE = """
SELECT t.turn_id, t.dialogue_id, t.day, g.goal_id FROM turns t
JOIN generated_labels g USING (turn_id)
WHERE t.gold.goal_id IS NULL AND t.turn_index > 0 AND g.goal_id IN (
  SELECT goal_id FROM generated_labels o WHERE o.dialogue_id = t.dialogue_id
  GROUP BY goal_id HAVING count(*) > 1)
ORDER BY t.turn_id LIMIT 1
"""


def test_a_verdict_is_learned_from(own_learned: Store) -> None:
    with own_learned.snapshot() as snapshot:
        (turn,) = snapshot.query(_FREE).to_pylist()
        many = snapshot.counts()["turns"]
        served = snapshot.query(
            "SELECT turn_id FROM generated_labels WHERE dialogue_id = $d AND goal_id = $g",
            {"d": turn["dialogue_id"], "g": turn["goal_id"]},
        )["turn_id"].to_pylist()
    key = {name: turn[name] for name in ("turn_id", "dialogue_id", "day")}
    before = _read(own_learned)[1]
    annotate(own_learned, key, "ann", "asr", intent="play", goal_start=True, goal_reached=False)
    place, found, gold = _read(own_learned)
    assert len(place) == many
    i = place[turn["turn_id"]]
    assert found.turn_defect[i] == 1
    assert found.intent[i] == "play"
    assert found.goal_start[i] == 1
    assert served
    assert all(found.goal_reached[place[t]] == 0 for t in served)
    assert all(str(gold[place[t]]["goal_id"]).startswith(FOUND) for t in served)
    # Nothing else is told by it: not where other goals begin.
    others = np.ones(many, bool)
    others[i] = False
    assert np.array_equal(found.goal_start[others], before.goal_start[others], equal_nan=True)
    # Who thinks better of it is heard.
    annotate(own_learned, key, "ann", "correct", goal_start=False, goal_reached=True)
    place, found, _ = _read(own_learned)
    assert found.turn_defect[i] == 0
    assert found.goal_start[i] == 0
    assert all(found.goal_reached[place[t]] == 1 for t in served)


@pytest.mark.parametrize("reached", [True, False])
def test_a_verdict_on_a_goal_of_the_logs_is_of_all_its_turns(
    own_learned: Store, reached: bool
) -> None:
    with own_learned.snapshot() as snapshot:
        (turn,) = snapshot.query(
            "SELECT turn_id, dialogue_id, day, gold.goal_id AS goal FROM turns "
            "WHERE gold.goal_id IS NOT NULL ORDER BY turn_id LIMIT 1"
        ).to_pylist()
        goal = snapshot.query(
            "SELECT turn_id FROM turns WHERE dialogue_id = $d AND gold.goal_id = $g",
            {"d": turn["dialogue_id"], "g": turn["goal"]},
        )["turn_id"].to_pylist()
    key = {name: turn[name] for name in ("turn_id", "dialogue_id", "day")}
    annotate(own_learned, key, "ann", "correct", goal_reached=reached)
    place, found, _ = _read(own_learned)
    assert all(found.goal_reached[place[t]] == reached for t in goal)
