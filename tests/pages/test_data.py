"""What the Data page shows: quarantine, signals, their changes, storage, upkeep."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis.logging_gaps import gaps
from charts.formatting import plain
from charts.signals import gap_words, missing_heat, missing_shares, over_time, over_time_words
from data.ingest.adapters import registry
from data.ingest.ingest import ingest
from data.queries import ingest_runs
from data.queries.filters import Filter
from data.queries.signal_coverage import EVERY, Constant, constants, days, logged
from data.store import disk_usage
from data.store.compaction import compact
from data.store.store import Store
from parts.data.sources import FIELDS, of_assistants, weaker_words
from parts.data.storage import compaction, removal
from parts.jobs.job import Jobs
from tests.app import Open, texts
from tests.logs import trace, write_lines

START = datetime(2024, 5, 6, 9, tzinfo=UTC)
STOPPED = date(2024, 5, 21)


def turns(day: int, assistant: str, number: int) -> list[dict[str, Any]]:
    """Turns of a day; assistant `car` stops logging its NLU confidence on 21 May, a Tuesday."""
    rng = random.Random(day)
    when = START + timedelta(days=day)
    records = []
    for i in range(number):
        hypothesis: dict[str, Any] = {"intent": "play", "domain": "music"}
        if assistant != "car" or when.date() < STOPPED:
            hypothesis["confidence"] = rng.random()
        records.append(
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
    return records


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
            lines = ingest_runs.examples(snapshot, kind["field"], kind["reason"], 100)
            assert lines.num_rows == kind["lines"]
            paged = ingest_runs.examples(snapshot, kind["field"], kind["reason"], 1, 0)
            assert paged.num_rows == 1


def test_freshness_and_runs(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        fresh = {row["assistant"]: row for row in ingest_runs.freshness(snapshot).to_pylist()}
        assert {name: row["days"] for name, row in fresh.items()} == {"car": 28, "kitchen": 28}
        assert ingest_runs.runs(snapshot).num_rows == ingest_runs.totals(snapshot)["runs"] == 2
        daily: list[Any] = ingest_runs.daily(snapshot)["turns"].to_pylist()
        assert sum(daily) == snapshot.counts()["turns"]


def test_a_signal_that_stops_is_reported_with_its_day(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        table = logged(snapshot, Filter(), days(snapshot, Filter()))
    (gap,) = gaps(table)
    assert (gap.assistant, gap.signal, gap.day) == ("car", "nlu.confidence", STOPPED)
    assert (gap.before, gap.after) == (0, 1)
    assert "car stopped logging nlu.confidence on Tuesday 21 May 2024" in gap_words(gap)
    figure = over_time(table, "car", ["nlu.confidence"], [gap])
    assert len(figure.data[0].y) == 28
    assert "Tuesday" in over_time_words("car", ["nlu.confidence"], [gap])


@pytest.mark.parametrize(("value", "words"), [(1.0, "1.0"), (0.0, "0.0"), (0.25, "0.25")])
def test_a_confidence_that_never_differs_is_not_informative(
    tmp_path: Path, opened: Open, value: float, words: str
) -> None:
    def said(assistant: str, i: int, confidence: float | None) -> dict[str, Any]:
        return {
            "turn_id": f"{assistant}{i}",
            "dialogue_id": f"{assistant}{i}",
            "turn_index": 0,
            "started_at": (START + timedelta(minutes=i)).isoformat(),
            "assistant": assistant,
            "asr": {"hypotheses": [{"text": "play", "confidence": confidence}]},
        }

    lines = [said("juno", i, value if i < 50 else None) for i in range(60)]
    # One other value, or too few values: nothing is said.
    lines += [said("vera", i, value if i else 0.5) for i in range(60)]
    lines += [said("nova", i, value) for i in range(49)]
    store = Store.create(tmp_path / "store")
    ingest(store, [write_lines(tmp_path / "log.jsonl", lines)])
    with store.snapshot() as snapshot:
        found = constants(snapshot, Filter(), days(snapshot, Filter()))
        assert found == [Constant("juno", "asr.confidence", value, 50)]
        other = Filter(assistant=("vera",))
        assert constants(snapshot, other, days(snapshot, other)) == []
    shown = texts(opened(store.path, "data", part="signals"))
    sentence = f"juno: ASR confidence is always {words} (50 turns) – not informative."
    assert plain(sentence) in shown
    assert shown.count("not informative") == 1


def test_chance_is_not_reported_as_a_change(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        table = logged(snapshot, Filter(assistant=("kitchen",)), days(snapshot, Filter()))
    assert set(table["assistant"].to_pylist()) == {"kitchen"}
    assert "asr.signal.snr" in table["signal"].to_pylist()
    assert gaps(table) == []


def test_daily_shares_average_to_those_of_all_days(filled: Store) -> None:
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
        changes = gaps(logged(snapshot, Filter(), read))
    assert [gap.signal for gap in changes] == ["nlu.confidence"]
    assert changes[0].last_before < STOPPED <= changes[0].day


def test_an_empty_period_has_no_changes(filled: Store) -> None:
    never = Filter(since=date(1999, 1, 1), until=date(1999, 1, 2))
    with filled.snapshot() as snapshot:
        assert gaps(logged(snapshot, never, days(snapshot, never))) == []


def test_sizes_are_those_on_disk(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        tables = {table.name: table for table in disk_usage.tables(snapshot)}
        assert tables["turns"].rows == snapshot.counts()["turns"]
        assert tables["turns"].bytes == sum(p.stat().st_size for p in snapshot.files["turns"])
    assert disk_usage.on_disk(filled) >= sum(table.bytes for table in tables.values())
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


def test_upkeep_jobs_run_one_at_a_time(tmp_path: Path) -> None:
    store, work = Store.create(tmp_path / "store"), Jobs()
    with store.commit():
        first = work.start("upkeep", lambda: compaction(str(store.path)))
        assert work.start("upkeep", lambda: removal(str(store.path), 24.0)) is first
    assert first.wait(60) == "done"
    second = work.start("upkeep", lambda: removal(str(store.path), 24.0))
    assert second.wait(60) == "done"
    assert str(second.result).startswith("Vacuum removed")


def test_upkeep_without_a_store_fails_in_one_sentence(tmp_path: Path) -> None:
    job = compaction(str(tmp_path / "none"))
    assert job.wait(60) == "failed"
    assert str(job.error).startswith("No store at")


def test_values_that_were_left_out_are_shown_by_file_and_field(
    opened: Open, store: Store, tmp_path: Path
) -> None:
    ingest(store, [write_lines(tmp_path / "sound.jsonl", [trace("a")])])
    assert "Values left out" not in texts(opened(store.path, "data"))
    records = [
        trace(f"t{n}", asr={"hypotheses": [], "latency_ms": 1.797e308, "audio_ms": float("nan")})
        for n in range(3)
    ]
    path = write_lines(tmp_path / "absurd.jsonl", [*records, trace("b", tts={"latency_ms": -1.0})])
    ingest(store, [path])
    at = opened(store.path, "data")
    assert "Values left out" in texts(at)
    (table,) = [f.value for f in at.dataframe if list(f.value)[:2] == ["File", "Field"]]
    assert table.values.tolist() == [
        [str(path), "asr.audio_ms", "not a number (NaN or infinite)", 3],
        [str(path), "asr.latency_ms", "beyond what the field can mean", 3],
        [str(path), "tts.latency_ms", "beyond what the field can mean", 1],
    ]


def lex(number: int) -> dict[str, Any]:
    """An entry of a conversation log of Amazon Lex V2, of a bot that logs no transcriptions."""
    intent = {"name": "OrderFlowers", "state": "Fulfilled", "slots": {}}
    return {
        "messageVersion": "2.0",
        "botName": "florist",
        "bot": {"id": "B1", "name": "florist", "localeId": "en_US"},
        "sessionId": "s1",
        "requestId": f"r{number}",
        "timestamp": f"2026-05-01T09:3{number}:00Z",
        "inputMode": "Speech",
        "inputTranscript": "send roses",
        "interpretations": [{"intent": intent}],
        "sessionState": {"intent": intent},
        "messages": [{"content": "Done.", "contentType": "PlainText"}],
    }


def test_each_assistant_says_what_its_source_cannot_know(
    opened: Open, store: Store, tmp_path: Path
) -> None:
    ingest(store, [write_lines(tmp_path / "lex.jsonl", [lex(i) for i in range(4)])])
    ingest(store, [write_lines(tmp_path / "mine.jsonl", turns(0, "car", 3))])
    with store.snapshot() as snapshot:
        runs = ingest_runs.sources(snapshot)
        chosen = Filter()
        read = days(snapshot, chosen)
        found = {s.assistant: s for s in of_assistants(runs, logged(snapshot, chosen, read))}
    car = found.pop("car")
    (florist,) = found.values()
    assert florist.titles == (registry.named("lex-v2").title,)
    assert florist.cannot_know == registry.named("lex-v2").cannot_know[:-1]
    assert florist.weaker.startswith("expect weaker verdicts on")
    missing = [field.words for field in florist.missing]
    # What the adapter says of itself is not said twice; the transcription's confidence could be
    # logged, and is not.
    assert "ASR confidence" in missing
    assert "wake-word scores" not in missing
    assert car.titles == ("Trace records",)
    assert car.cannot_know == ()
    assert "intents" not in [field.words for field in car.missing]
    at = opened(store.path, "data")
    assert "Sources" in [head.value for head in at.subheader]
    assert "Such logs never say: the wake word" in texts(at)
    assert "though such logs can hold it: ASR confidence, " in texts(at)
    assert "Logged, share of turns: " in texts(at)


def test_a_format_without_an_adapter_is_named() -> None:
    """As runs of a later version are."""
    when = datetime(2026, 5, 1, tzinfo=UTC)
    runs = pa.table(
        {
            "assistant": ["a", "a", None],
            "format": ["from-the-future", "lex-v2", "jsonl"],
            "newest": [when, when, when],
            "traces": [False, False, True],
        }
    )
    seen = pa.table({"assistant": ["a"], "signal": ["nlu.intent"], "turns": [4], "logged": [2]})
    (source,) = of_assistants(runs, seen)
    assert source.titles == ("from-the-future", registry.named("lex-v2").title)
    # The unknown one may hold everything.
    assert source.cannot_know == ()
    assert source.weaker == ""
    assert source.logged == {"nlu.intent": 0.5}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["nlu.intent"], "expect weaker verdicts on NLU"),
        (["asr.confidence", "nlu.intent"], "expect weaker verdicts on ASR and NLU"),
        (
            ["wake.score", "asr.confidence", "nlu.intent", "nlu.confidence"],
            "expect weaker verdicts on false wake, ASR and NLU",
        ),
    ],
)
def test_missing_fields_weaken_verdicts_on_their_stages(names: list[str], words: str) -> None:
    assert weaker_words([FIELDS[name] for name in names]) == words
    assert set(FIELDS) <= set(EVERY)
