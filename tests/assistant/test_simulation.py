"""Simulated turns: as many as asked for, in order, complete, plausible, and the same every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assistant.demo import Setup, _shards, simulate, write_demo
from assistant.output import RECORD, TRUTH
from assistant.simulate import Simulated, Simulation
from assistant.stages import (
    Context,
    Sound,
    Stages,
    Transcript,
)
from assistant.tts import length_ms
from benchmarks.simulated_annotators import pass_over_goals, second_annotator
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.schema.trace import FAILURE_POINTS, Turn
from data.schema.trace import TURNS as TURNS_SCHEMA
from data.store.store import Store
from features.matrix import open_frame
from labels.rules.failure_point import derive
from tests.simulated import SETUP, TURNS, assembly, run


@pytest.fixture(scope="module")
def trained(demo_trained: Path) -> Path:
    return demo_trained


@pytest.fixture(scope="module")
def turns(demo_turns: list[Simulated]) -> list[Simulated]:
    return demo_turns


def with_gold(turns: list[Simulated]) -> pa.Table:
    rows = [turn.record | {"gold": turn.truth["gold"], "started_at": turn.at} for turn in turns]
    return pa.Table.from_pylist(rows, schema=RECORD)


def test_as_many_turns_as_asked_for_in_order_of_time(turns: list[Simulated]) -> None:
    assert len(turns) == TURNS
    times = [turn.at for turn in turns]
    assert times == sorted(times)
    assert SETUP.start <= times[0]
    assert times[-1] < SETUP.start + timedelta(days=SETUP.days, hours=1)
    assert len({turn.record["turn_id"] for turn in turns}) == TURNS


def test_every_record_keeps_to_the_trace_format(turns: list[Simulated]) -> None:
    for turn in turns:
        read = msgspec.json.decode(json.dumps(turn.record), type=Turn, strict=True)
        assert read.started_at == turn.at


def test_the_turns_of_a_dialogue_are_counted_from_zero(turns: list[Simulated]) -> None:
    dialogues: dict[str, list[int]] = {}
    for turn in turns:
        dialogues.setdefault(turn.record["dialogue_id"], []).append(turn.record["turn_index"])
    assert all(indices == list(range(len(indices))) for indices in dialogues.values())
    assert 1.3 < TURNS / len(dialogues) < 3.5
    assert max(map(len, dialogues.values())) <= 8


def test_most_turns_are_right_and_every_stage_fails_sometimes(turns: list[Simulated]) -> None:
    share = Counter(turn.truth["failure_point"] for turn in turns)
    assert set(share) == set(FAILURE_POINTS)
    assert 0.80 < share["correct"] / TURNS < 0.93
    assert all(share[point] / TURNS > 0.006 for point in FAILURE_POINTS)
    assert share["asr"] == max(share[point] for point in FAILURE_POINTS if point != "correct")


def test_gold_implies_the_failure_point_that_replay_finds(turns: list[Simulated]) -> None:
    derived = derive(with_gold(turns))
    differing = [
        (turn.truth["gold"]["transcript"], turn.truth["failure_point"], row["derived"])
        for turn, row in zip(turns, derived.to_pylist(), strict=True)
        if row["derived"] != turn.truth["failure_point"]
    ]
    assert len(differing) <= TURNS * 0.01, differing


def test_annotators_see_whole_dialogues_a_small_share_of_all(turns: list[Simulated]) -> None:
    seen: dict[str, set[bool]] = {}
    for turn in turns:
        seen.setdefault(turn.record["dialogue_id"], set()).add("gold" in turn.record)
    assert all(len(kinds) == 1 for kinds in seen.values())
    assert 0.05 < sum(True in kinds for kinds in seen.values()) / len(seen) < 0.12
    annotators = {turn.record["gold"]["annotator"] for turn in turns if "gold" in turn.record}
    assert len(annotators) > 3


def test_who_is_not_understood_tries_again_and_sometimes_succeeds(turns: list[Simulated]) -> None:
    goals: dict[str, list[dict[str, Any]]] = {}
    for turn in turns:
        if turn.truth["gold"]["addressed"]:
            goals.setdefault(turn.truth["goal"], []).append(turn.truth)
    retried = [tries for tries in goals.values() if len(tries) > 1]
    missed = [tries for tries in goals.values() if tries[0]["failure_point"] != "correct"]
    assert len(retried) > 0.3 * len(missed)
    assert any(tries[-1]["failure_point"] == "correct" for tries in retried)
    styles = Counter(tries[1]["style"] for tries in retried)
    assert {"explicit", "other_words", "louder", "short", "correction"} <= set(styles)


def test_gold_names_goals_and_whether_they_were_reached(turns: list[Simulated]) -> None:
    goals: dict[str, list[Simulated]] = {}
    for turn in turns:
        goals.setdefault(turn.truth["goal"], []).append(turn)
    known = set()
    for goal, attempts in goals.items():
        golds = [turn.truth["gold"] for turn in attempts]
        assert {gold["goal_id"] for gold in golds} == {goal.rpartition("-")[2]}
        reached = {gold["goal_reached"] for gold in golds if gold["addressed"]}
        assert len(reached) <= 1
        known |= reached
        if reached == {True}:
            assert any(gold.get("result_ok") for gold in golds)
        annotated = [turn.record["gold"] for turn in attempts if "gold" in turn.record]
        for one, gold in zip(annotated, golds, strict=False):
            assert one["goal_id"] == gold["goal_id"]
            assert one.get("goal_reached") == gold.get("goal_reached")
    assert known == {True, False}


def test_a_pass_over_goals_errs_where_it_is_hard(turns: list[Simulated]) -> None:
    table = with_gold(turns).sort_by([("dialogue_id", "ascending"), ("turn_index", "ascending")])
    one = pass_over_goals(table, seed=1)
    assert one.equals(pass_over_goals(table, seed=1))
    golds: list[Any] = table["gold"].to_pylist()
    reached = [gold["goal_reached"] for gold in golds]
    judged = one["goal_reached"].to_pylist()
    pairs = [(a, b) for a, b in zip(reached, judged, strict=True) if a is not None]
    assert 0.85 < sum(a == b for a, b in pairs) / len(pairs) < 1
    assert all(b is None for a, b in zip(reached, judged, strict=True) if a is None)


def test_gold_has_what_a_follow_up_leaves_as_it_was(turns: list[Simulated]) -> None:
    by_dialogue: dict[str, list[Simulated]] = {}
    for turn in turns:
        by_dialogue.setdefault(turn.record["dialogue_id"], []).append(turn)
    kept = 0
    for dialogue in by_dialogue.values():
        for before, turn in pairwise(dialogue):
            one, gold = before.truth["gold"], turn.truth["gold"]
            slots = gold.get("slots") or []
            # Whatever was not said now was said, and meant the same entity, in the turn before.
            unsaid = [slot for slot in slots if slot["value"] not in gold["transcript"]]
            for slot in unsaid:
                assert one["intent"] == gold["intent"]
                assert slot in one["slots"]
                name = slot["name"]
                assert gold["entities"].get(name) == one["entities"].get(name)
            kept += bool(unsaid)
    assert kept > 10


def test_who_cuts_in_does_so_before_the_response_ends(turns: list[Simulated]) -> None:
    cut = [turn.record for turn in turns if turn.record["feedback"]["barge_in"]]
    assert len(cut) > 20
    for record in cut:
        assert 0 < record["feedback"]["barge_in_ms"] < length_ms(record["result"]["response"])


def test_a_television_is_heard_where_one_is_on(turns: list[Simulated]) -> None:
    near = [turn for turn in turns if turn.truth["source"] == "television"]
    assert near
    assert all(turn.record["device"]["state"]["television"] == "on" for turn in near)


def test_feedback_goes_with_the_outcome(turns: list[Simulated]) -> None:
    def cut_in(right: bool) -> Any:
        of = [t for t in turns if (t.truth["failure_point"] == "correct") is right]
        return sum(t.record["feedback"]["barge_in"] for t in of) / len(of)

    assert cut_in(right=False) > 2 * cut_in(right=True) > 0


def test_a_confident_recogniser_errs_less(turns: list[Simulated]) -> None:
    def errors(of: list[Simulated]) -> Any:
        return sum(turn.truth["failure_point"] == "asr" for turn in of) / len(of)

    spoken = [turn for turn in turns if turn.record["asr"]["hypotheses"]]
    spoken.sort(key=lambda turn: float(turn.record["asr"]["hypotheses"][0]["confidence"]))
    third = len(spoken) // 3
    assert errors(spoken[:third]) > 3 * errors(spoken[-third:])


def test_the_same_turns_whatever_the_number_of_processes(
    turns: list[Simulated], trained: Path
) -> None:
    assert run(trained, processes=1) == turns


_SMALL = """
import hashlib
import sys
from pathlib import Path

import orjson

import assistant.releases
from assistant.demo import Setup, simulate

assistant.releases.NLU_SENTENCES = assistant.releases.ASR_SENTENCES = 2500
setup = Setup(seed=5, days=6, homes=12)
made = simulate(120, setup, processes=1, trained=Path(sys.argv[1]))
digest = hashlib.sha256()
for batch in made:
    for turn in batch:
        digest.update(orjson.dumps([turn.record, turn.truth]))
print(digest.hexdigest())
"""


def test_training_and_turns_do_not_hang_on_the_order_of_hashes(tmp_path: Path) -> None:
    # Each trains for itself, so that an order that got into a component would show.
    running = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", _SMALL, str(tmp_path / seed)],
                env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    one, other = (process.communicate(timeout=300)[0] for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert one == other


def test_components_of_other_settings_are_not_used(trained: Path) -> None:
    for change, message in (
        ({"seed": 4}, "trained with another seed;"),
        ({"level": 0.1, "homes": 9}, "trained with another homes and level;"),
    ):
        with pytest.raises(UsageError, match=message):
            list(simulate(1, replace(SETUP, **change), processes=1, trained=trained))
    # What nothing is trained for may differ.
    assert list(simulate(1, replace(SETUP, gold=0.5), processes=1, trained=trained))


class Perfect:
    """An ASR stage of somebody's own."""

    version = "perfect-1"

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Transcript:
        return Transcript(((" ".join(sound.words), 1.0),), 1000.0, "silence", 20.0, {})


def _with_perfect_asr(stages: Stages) -> Stages:
    return replace(stages, asr=Perfect())


def test_a_stage_can_be_replaced(trained: Path) -> None:
    simulation = Simulation(SETUP.world(), assembly(trained), seed=3, adapt=_with_perfect_asr)
    made = simulation.shard(range(2), 0, 150)
    assert {turn.record["versions"]["asr"] for turn in made} == {"perfect-1"}
    assert all(turn.truth["failure_point"] != "asr" for turn in made)


def test_a_second_annotator_agrees_mostly(turns: list[Simulated]) -> None:
    table = with_gold(turns)
    second = second_annotator(table, seed=1)
    assert second.equals(second_annotator(table, seed=1))
    said = second["failure_point"].to_pylist()
    first = [turn.truth["failure_point"] for turn in turns]
    wrong = [(a, b) for a, b in zip(first, said, strict=True) if a != "correct"]
    assert 0.75 < sum(a == b for a, b in wrong) / len(wrong) < 0.97


def test_shards_add_up_and_do_not_hang_on_the_number_of_days() -> None:
    for turns, days in ((1, 90), (7, 3), (20_000, 90), (5000, 1)):
        shards = list(_shards(turns, Setup(days=days)))
        assert sum(size for _, _, size in shards) == turns
        assert all(0 <= span.start < span.stop <= days for span, _, _ in shards)


@pytest.mark.parametrize("name", ["traces.jsonl.gz", "traces.parquet", "folder"])
def test_traces_truth_and_incidents_are_written_together(
    name: str, tmp_path: Path, store: Store, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.demo.simulate", _reusing(trained))
    report = write_demo(tmp_path / name, 150, 3, 30, setup=SETUP, processes=1)
    assert report.traces.exists()
    assert sum(report.failure_points.values()) == 150
    truth = pq.read_table(report.truth)
    assert truth.schema.equals(TRUTH)
    assert truth.num_rows == 150
    assert len(json.loads(report.incidents.read_bytes())) == 5
    read = ingest(store, [report.traces])
    assert (read.turns, read.quarantined) == (150, 0)
    before = report.traces.read_bytes(), report.truth.read_bytes()
    write_demo(tmp_path / name, 150, 3, 30, setup=SETUP, processes=1)
    assert (report.traces.read_bytes(), report.truth.read_bytes()) == before
    assert not [path for path in report.traces.parent.iterdir() if path.name.startswith(".")]


def test_scaled_turns_can_be_ingested(
    tmp_path: Path, store: Store, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.demo.simulate", _reusing(trained))
    report = write_demo(tmp_path / "many", 150, 3, 30, setup=SETUP, scaled=1000, processes=1)
    assert sorted(path.name for path in report.traces.glob("turns-*")) == ["turns-00000.parquet"]
    read = ingest(store, [report.traces / "turns-00000.parquet"])
    assert (read.turns, read.quarantined) == (1000, 0)


def _reusing(trained: Path) -> Any:
    def run(turns: int, setup: Setup, *, processes: int | None) -> Iterator[list[Simulated]]:
        return simulate(turns, setup, processes=processes, trained=trained)

    return run


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"turns": 0}, "Cannot make 0 turns; give at least 1."),
        ({"days": -3}, "Cannot simulate -3 days; give a number from 1 to 3650."),
        ({"seed": -1}, "The seed -1 is out of range; give 0 to 2147483647."),
        (
            {"setup": Setup(locales=("en-GB", "fr-FR"))},
            "Unknown locale 'fr-FR'; there are en-US, en-GB, en-IN, en-AU.",
        ),
        ({"setup": Setup(homes=0)}, "Cannot simulate 0 homes; give at least 1."),
        ({"setup": Setup(gold=1.5)}, "The annotated share must be between 0 and 1; it was 1.5."),
        ({"scaled": 10}, "Cannot scale 100 turns to 10; give at least as many as are simulated."),
        ({"to": "traces.csv"}, "its name must end in .jsonl, .jsonl.gz, .jsonl.zst or .parquet"),
        ({"to": "file/traces.jsonl"}, "Cannot write to .*file: "),
        ({"to": "file"}, "it is a file, not a folder"),
        ({"to": "many.parquet", "scaled": 1000}, "must be a folder"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    to = tmp_path / settings.pop("to", "traces.jsonl")
    with pytest.raises(UsageError, match=message) as raised:
        write_demo(to, **{"turns": 100, "seed": 0, "days": 9, **settings})
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_some_homes_hear_a_request_twice(turns: list[Simulated]) -> None:
    """A second device hears what begins a dialogue, and is recognised by its time and words."""
    by_id = {turn.record["turn_id"]: turn for turn in turns}
    twice = {
        name: by_id.get(name.replace("b-0", "-0"))
        for name in by_id
        if by_id[name].record["dialogue_id"].endswith("b")
    }
    assert 0.01 < len(twice) / TURNS < 0.06
    pairs = [(by_id[name], first) for name, first in twice.items() if first]
    assert len(pairs) > 0.9 * len(twice)
    for second, first in pairs:
        assert timedelta() <= second.at - first.at <= timedelta(seconds=1.2)
        assert second.record["user_id"] == first.record["user_id"]
        assert second.record["device"]["id"] != first.record["device"]["id"]
        assert second.truth["gold"]["transcript"] == first.truth["gold"]["transcript"]
    rows = [{**t.record, "started_at": t.at} for t in turns]
    table = pa.Table.from_pylist(rows, schema=RECORD)
    for name in ("extra", "digest"):
        table = table.append_column(name, pa.nulls(len(table), TURNS_SCHEMA.field(name).type))
    with open_frame(table, "hindsight") as con:
        heard = {name for (name,) in con.sql(
            "SELECT turn_id FROM frame WHERE n_captures > 1").fetchall()}  # fmt: skip
    both = {turn.record["turn_id"] for pair in pairs for turn in pair}
    assert len(heard & both) > 0.9 * len(both)
    assert not heard - both
