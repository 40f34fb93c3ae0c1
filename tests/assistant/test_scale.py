"""Copies for load tests: as many as asked for, all new, numbers in range, dialogues whole."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from assistant.demo import Setup, simulate
from assistant.scale import GROUP, copies, scale
from assistant.stages import Stages
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.schema.trace import TURNS
from data.store.store import Store
from tests.simulated import SETUP
from tests.traces import logs

COUNT = GROUP + GROUP // 2 + 7
RECORD = pa.schema([field for field in TURNS if field.name not in ("extra", "digest", "day")])


@pytest.fixture(scope="module")
def turns() -> pa.Table:
    records = logs(300)
    for record in records:
        record["started_at"] = datetime.fromisoformat(record["started_at"])
        record["nlu"]["signals"] = {"margin": 0.25, "words": 5.0}
    # One turn that lacks nearly everything.
    records.append({key: records[0][key] for key in ("dialogue_id", "turn_index", "started_at")})
    records[-1] |= {"turn_id": "bare", "asr": {"hypotheses": []}}
    return pa.Table.from_pylist(records, schema=RECORD)


def test_makes_exactly_as_many_turns_as_asked_for_all_with_ids_of_their_own(
    turns: pa.Table, tmp_path: Path
) -> None:
    assert scale(turns, COUNT, tmp_path / "many") == COUNT
    made = pq.read_table(tmp_path / "many")
    made.validate(full=True)
    assert made.num_rows == COUNT
    assert pc.count_distinct(made["turn_id"]).as_py() == made.num_rows
    assert made.schema.equals(RECORD)


def test_numbers_stay_in_range_and_differ_between_copies(turns: pa.Table) -> None:
    made = pa.concat_tables(copies(turns, GROUP))
    column: Any = made["asr"].combine_chunks()
    asr: Any = column.field("hypotheses")
    confidence: Any = asr.values.field("confidence")
    assert 0.0 <= pc.min(confidence).as_py() <= pc.max(confidence).as_py() <= 1.0
    firsts: Any = pc.take(pc.list_element(asr.slice(0, 1), 0).field("confidence"), [0])
    again = asr.slice(turns.num_rows, 1)
    assert firsts[0] != pc.list_element(again, 0).field("confidence")[0]
    wake: Any = made["wake"].combine_chunks()
    awake = pc.greater_equal(wake.field("score"), wake.field("threshold"))
    assert pc.all(awake).as_py()


def test_a_copy_keeps_texts_order_and_whole_numbers(turns: pa.Table) -> None:
    made = pa.concat_tables(copies(turns, turns.num_rows)).to_pylist()
    for old, new in zip(turns.to_pylist(), made, strict=True):
        if old["turn_id"] == "bare":
            assert new["nlu"] is None
            assert new["asr"]["hypotheses"] == []
            continue
        was, now = old["asr"]["hypotheses"], new["asr"]["hypotheses"]
        assert [h["text"] for h in now] == [h["text"] for h in was]
        assert dict(new["nlu"]["signals"])["words"] == 5.0
        assert new["gold"] == old["gold"]
        rising = was[0]["confidence"] >= was[1]["confidence"]
        assert (now[0]["confidence"] >= now[1]["confidence"]) == rising


def test_the_turns_of_a_copied_dialogue_move_together(turns: pa.Table) -> None:
    gaps: dict[str, set[float]] = {}
    made = pa.concat_tables(copies(turns, 2 * turns.num_rows)).to_pylist()
    old = turns.to_pylist() * 2
    for was, now in zip(old, made, strict=True):
        moved = (now["started_at"] - was["started_at"]).total_seconds()
        gaps.setdefault(now["dialogue_id"], set()).add(moved)
    assert all(len(moves) == 1 for moves in gaps.values())
    assert len({move for moves in gaps.values() for move in moves}) > len(gaps) * 0.9


def test_the_same_seed_gives_the_same_bytes_however_many_threads(
    turns: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.scale.FILE", 1)
    count = GROUP + 500
    scale(turns, count, tmp_path / "one", seed=4, threads=1)
    scale(turns, count, tmp_path / "two", seed=4, threads=2)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 2
    for name in names:
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two


def test_copies_can_be_ingested(turns: pa.Table, tmp_path: Path, store: Store) -> None:
    scale(turns, 3000, tmp_path / "many")
    report = ingest(store, [tmp_path / "many"])
    assert (report.turns, report.quarantined) == (3000, 0)


def test_bad_settings_are_refused(turns: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        scale(turns, 0, tmp_path / "none")
    with pytest.raises(UsageError, match="no turns"):
        scale(turns.slice(0, 0), 10, tmp_path / "none")


def test_an_interrupt_does_not_wait_for_the_rest(
    turns: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []

    def copy(*_: object) -> pa.Table:
        copied.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("assistant.scale._Source.copy", copy)
    with pytest.raises(KeyboardInterrupt):
        scale(turns, 400 * GROUP, tmp_path / "many", threads=1)
    # Of 25 files, the one at work.
    assert len(copied) == 1


# -- settings that cannot be -----------------------------------------------------------------------


def _not_importable() -> Setup:
    def adapt(stages: Stages) -> Stages:
        return stages

    return Setup(adapt=adapt, days=3)


@pytest.mark.parametrize("setup", [Setup(adapt=lambda stages: stages), _not_importable()])
def test_a_function_that_other_processes_cannot_have_is_named(setup: Setup) -> None:
    with pytest.raises(
        UsageError, match=r"a module that can be imported, or .*processes=1"
    ) as told:
        next(simulate(10, setup, processes=2))
    assert "\n" not in str(told.value)


def test_a_function_of_a_program_that_is_not_a_file_is_named(tmp_path: Path) -> None:
    program = (
        "from assistant.demo import Setup, simulate\n"
        "def adapt(stages): return stages\n"
        "try: next(simulate(10, Setup(adapt=adapt), processes=2))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("UsageError What was given as adapt cannot be sent"), done
    assert done.stdout.count("\n") == 1


def test_one_process_takes_any_function(demo_trained: Path) -> None:
    called = []

    def adapt(stages: Stages) -> Stages:
        called.append(stages)
        return stages

    setup = replace(SETUP, adapt=adapt)
    made = [turn for part in simulate(5, setup, processes=1, trained=demo_trained) for turn in part]
    assert len(made) == 5
    assert called
