"""What the Data page says: quarantine, signals, their changes, storage, upkeep."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.logging_gaps import gaps
from charts.signals import gap_words, missing_heat, missing_shares, over_time, over_time_words
from data.ingest.ingest import ingest
from data.queries import ingest_runs
from data.queries.filters import Filter
from data.queries.signal_coverage import EVERY, days, logged
from data.store import disk_usage
from data.store.maintenance import compact
from data.store.store import Store
from parts.data.storage import compaction, removal
from parts.jobs.job import Jobs
from tests.logs import write_lines

START = datetime(2024, 5, 6, 9, tzinfo=UTC)
STOPPED = date(2024, 5, 21)


def turns(day: int, assistant: str, number: int) -> list[dict[str, Any]]:
    """Assistant `car` stops to log the confidence of its NLU on 21 May, a Tuesday."""
    rng = random.Random(day)
    when = START + timedelta(days=day)
    made = []
    for i in range(number):
        hypothesis: dict[str, Any] = {"intent": "play", "domain": "music"}
        if assistant != "car" or when.date() < STOPPED:
            hypothesis["confidence"] = rng.random()
        made.append(
            {
                "turn_id": f"{assistant}-{day}-{i}",
                "dialogue_id": f"{assistant}-{day}-{i // 3}",
                "turn_index": i % 3,
                "started_at": (when + timedelta(seconds=i)).isoformat(),
                "assistant": assistant,
                "asr": {
                    "hypotheses": [{"text": "play", "confidence": 0.5}],
                    "signals": {"snr": 3.0} if rng.random() < 0.5 else {},
                },
                "nlu": {"hypotheses": [hypothesis]},
            }
        )
    return made


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("arrivals")
    store = Store.create(folder / "store")
    lines = [t for day in range(28) for a in ("car", "kitchen") for t in turns(day, a, 30)]
    ingest(store, [write_lines(folder / "log.jsonl", lines)])
    bad = folder / "bad.jsonl"
    bad.write_text('{"turn_id": 3}\nnot json\n{"turn_id": "x", "dialogue_id": "x"}\nalso not\n')
    ingest(store, [bad])
    return store


def test_quarantine_is_grouped_and_its_lines_are_found(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        kinds = ingest_runs.reasons(snapshot).to_pylist()
        assert sum(kind["lines"] for kind in kinds) == snapshot.counts()["quarantine"] > 0
        for kind in kinds:
            found = ingest_runs.examples(snapshot, kind["field"], kind["reason"], 100)
            assert found.num_rows == kind["lines"]
            paged = ingest_runs.examples(snapshot, kind["field"], kind["reason"], 1, 0)
            assert paged.num_rows == 1


def test_freshness_and_runs(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        fresh = {row["assistant"]: row for row in ingest_runs.freshness(snapshot).to_pylist()}
        assert {name: row["days"] for name, row in fresh.items()} == {"car": 28, "kitchen": 28}
        assert ingest_runs.runs(snapshot).num_rows == ingest_runs.totals(snapshot)["runs"] == 2
        daily: list[Any] = ingest_runs.daily(snapshot)["turns"].to_pylist()
        assert sum(daily) == snapshot.counts()["turns"]


def test_what_stopped_is_told_with_its_day(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        table = logged(snapshot, Filter(), days(snapshot, Filter()))
    (found,) = gaps(table)
    assert (found.assistant, found.signal, found.day) == ("car", "nlu.confidence", STOPPED)
    assert (found.before, found.after) == (0, 1)
    assert "car stopped logging nlu.confidence on Tuesday 21 May 2024" in gap_words(found)
    figure = over_time(table, "car", ["nlu.confidence"], [found])
    assert len(figure.data[0].y) == 28
    assert "Tuesday" in over_time_words("car", ["nlu.confidence"], [found])


def test_chance_is_not_told(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        table = logged(snapshot, Filter(assistant=("kitchen",)), days(snapshot, Filter()))
    assert set(table["assistant"].to_pylist()) == {"kitchen"}
    assert "asr.signal.snr" in table["signal"].to_pylist()
    assert gaps(table) == []


def test_daily_shares_add_up_to_those_of_the_whole(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        shares = missing_shares(logged(snapshot, Filter(), days(snapshot, Filter())))
        for name, sql in {**EVERY, "asr.signal.snr": "asr.signals['snr']"}.items():
            whole = snapshot.query(
                f"SELECT assistant, 1 - count({sql}) / count(*) AS missing FROM turns GROUP BY ALL"
            )
            for row in whole.to_pylist():
                assert shares[row["assistant"], name] == pytest.approx(row["missing"])
        table = logged(snapshot, Filter(), days(snapshot, Filter()))
    assert missing_heat(table).data.shape[1] == 3


def test_a_sample_is_of_whole_days_spread_over_the_period(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        read = days(snapshot, Filter(), most=420)
        assert read == days(snapshot, Filter(), most=420)
        assert read.sampled
        assert read.turns == 60 * len(read.read)
        assert 5 <= len(read.read) <= 8
        assert read.read[-1] == date(2024, 6, 2)
        steps = [(b - a).days for a, b in zip(read.read, read.read[1:], strict=False)]
        assert max(steps) <= 8
        found = gaps(logged(snapshot, Filter(), read))
    assert [gap.signal for gap in found] == ["nlu.confidence"]
    assert found[0].last_before < STOPPED <= found[0].day


def test_an_empty_period_has_nothing(filled: Store) -> None:
    never = Filter(since=date(1999, 1, 1), until=date(1999, 1, 2))
    with filled.snapshot() as snapshot:
        assert gaps(logged(snapshot, never, days(snapshot, never))) == []


def test_sizes_are_those_on_disk(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        found = {one.name: one for one in disk_usage.tables(snapshot)}
        assert found["turns"].rows == snapshot.counts()["turns"]
        assert found["turns"].bytes == sum(p.stat().st_size for p in snapshot.files["turns"])
    assert disk_usage.on_disk(filled) >= sum(one.bytes for one in found.values())
    assert disk_usage.models(filled) == []


def test_compaction_beside_a_reader_changes_no_row(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    for part in range(4):
        ingest(store, [write_lines(tmp_path / f"{part}.jsonl", turns(part % 2, f"a{part}", 5))])
    with store.snapshot() as before:
        rows = before.query("FROM turns ORDER BY turn_id")
        job = compaction(str(store.path))
        assert job.wait(60) == "done"
        assert before.query("FROM turns ORDER BY turn_id").equals(rows)
    assert job.result == "Compaction left 3 of 8 files."
    with store.snapshot() as after:
        assert after.query("FROM turns ORDER BY turn_id").equals(rows)


def test_a_stopped_compaction_keeps_what_it_has_done(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    for part in range(4):
        ingest(store, [write_lines(tmp_path / f"{part}.jsonl", turns(part % 2, f"a{part}", 5))])
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM turns ORDER BY turn_id")

    def second(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(store, second)
    with store.snapshot() as snapshot:
        assert snapshot.query("FROM turns ORDER BY turn_id").equals(rows)
        assert len(snapshot.files["turns"]) == 2
        assert len(snapshot.files["runs"]) == 4


def test_upkeep_goes_one_at_a_time(tmp_path: Path) -> None:
    store, work = Store.create(tmp_path / "store"), Jobs()
    with store.commit():
        first = work.start("upkeep", lambda: compaction(str(store.path)))
        assert work.start("upkeep", lambda: removal(str(store.path), 24.0)) is first
    assert first.wait(60) == "done"
    second = work.start("upkeep", lambda: removal(str(store.path), 24.0))
    assert second.wait(60) == "done"
    assert str(second.result).startswith("Vacuum removed")


def test_upkeep_of_no_store_says_so(tmp_path: Path) -> None:
    job = compaction(str(tmp_path / "none"))
    assert job.wait(60) == "failed"
    assert str(job.error).startswith("No store at")
