"""Turns whose date cannot be right: kept, scored and found, but part of no day and of no figure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import faultline
from analysis.slices.search import find
from annotation.candidates import candidates
from data.errors import ModelError, UsageError
from data.export.export import export
from data.export.manifest import command
from data.ingest.ingest import IngestReport, ingest
from data.queries import (
    daily_sums,
    ground_truth,
    ingest_runs,
    overview,
    pivot,
    releases,
    sampling,
    signal_coverage,
    signals,
    similar_requests,
    slice_evidence,
    slices,
    thresholds,
    turn_list,
    turn_table,
    turns,
)
from data.queries.dimensions import slice_columns
from data.queries.filters import Filter
from data.store.compaction import compact
from data.store.predictions import commit_predictions
from data.store.retention import retain
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.summary import describe
from data.store.turn_deletion import delete
from labels.rules.derived import refresh
from report.contents import events, headline
from report.page import weekly
from tests import scored
from tests.app import Open, html, texts
from tests.command import Run, must_fail
from tests.logs import trace, write_lines

NOW = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
MODEL = scored.MODEL
FIELD = Path(__file__).parents[2].parent / "shared" / "field"

# One of each way in which a clock is wrong.
WRONG = {
    "epoch": "1970-01-01T00:00:00Z",
    "nineteen-hundred": "1900-01-01T00:00:00Z",
    "year one": "0001-01-01T00:00:00Z",
    "last second before": "1999-12-31T23:59:59.999999Z",
    "before, by its offset": "2000-01-01T05:29:59+05:30",
    "overflow": "2106-02-07T06:28:15Z",
    "last of all": "9999-12-31T23:59:59.999999Z",
    "a day and a second ahead": "2024-06-02T12:00:01Z",
    "a day and a second ahead, by its offset": "2024-06-03T02:00:01+14:00",
}
RIGHT = {
    "first second": "2000-01-01T00:00:00Z",
    "first second, by its offset": "1999-12-31T23:30:00-00:30",
    "just a day ahead": "2024-06-02T12:00:00Z",
    "local time as UTC": "2024-06-02T02:00:00Z",
    "long ago": "2008-06-01T12:00:00Z",
    "at daylight saving": "2024-03-31T03:00:00+02:00",
}


def misdated(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return [str(i) for i in snapshot.query("FROM misdated ORDER BY 1")["turn_id"].to_pylist()]


def take(store: Store, folder: Path, records: list[Any], **options: Any) -> IngestReport:
    path = write_lines(folder / f"{len(list(folder.iterdir()))}.jsonl", records)
    return ingest(store, [path], now=NOW, **options)


def wrong(suffix: str = "") -> list[dict[str, Any]]:
    return [
        trace(
            f"w{number}{suffix}",
            dialogue_id=f"w{number}{suffix}",
            started_at=when,
            assistant="kitchen",
            locale="en-GB",
            versions={"asr": "9.9"},
            asr={"hypotheses": [{"text": "play song 1", "confidence": 0.01}]},
            result={"status": "error"},
            gold={"failure_point": "asr"},
        )
        for number, when in enumerate(WRONG.values())
    ]


@pytest.mark.parametrize("when", WRONG.values(), ids=WRONG)
def test_an_impossible_date_is_recorded(store: Store, tmp_path: Path, when: str) -> None:
    report = take(store, tmp_path, [trace("a", started_at=when), trace("b")])
    assert (report.turns, report.quarantined, report.misdated) == (2, 0, 1)
    assert misdated(store) == ["a"]


@pytest.mark.parametrize("when", RIGHT.values(), ids=RIGHT)
def test_a_possible_date_is_not(store: Store, tmp_path: Path, when: str) -> None:
    report = take(store, tmp_path, [trace("a", started_at=when)])
    assert report.misdated == 0
    assert misdated(store) == []


def test_how_far_ahead_a_clock_may_be_is_a_setting(store: Store, tmp_path: Path) -> None:
    soon = [trace("a", started_at="2024-06-03T12:00:00Z")]
    assert take(store, tmp_path, soon, ahead_hours=48).misdated == 0
    other = Store.create(tmp_path / "other")
    assert take(other, tmp_path, soon, ahead_hours=47.9).misdated == 1
    for hours in (-1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="hours ahead"):
            take(store, tmp_path, soon, ahead_hours=hours)


def test_what_was_decided_on_arrival_stays(store: Store, tmp_path: Path) -> None:
    ahead = trace("a", started_at="2024-06-05T12:00:00Z")
    take(store, tmp_path, [ahead])
    # Its date has been reached when it is sent again, unchanged and corrected.
    for again in (ahead, ahead | {"user_id": "u"}):
        path = write_lines(tmp_path / "again.jsonl", [again])
        ingest(store, [path], now=NOW + timedelta(days=30))
        assert misdated(store) == ["a"]
    # A turn that arrived in time stays possible, whatever a later machine's clock says.
    take(store, tmp_path, [trace("b")])
    path = write_lines(tmp_path / "again.jsonl", [trace("b", user_id="u")])
    ingest(store, [path], now=datetime(2001, 1, 1, tzinfo=UTC))
    assert misdated(store) == ["a"]
    assert compact(store).after >= 0
    assert misdated(store) == ["a"]


def test_another_turn_with_the_id_has_its_own_date(store: Store, tmp_path: Path) -> None:
    take(store, tmp_path, [trace("a", started_at="1970-01-01T00:00:00Z")])
    take(store, tmp_path, [trace("a")], on_conflict="keep")
    assert misdated(store) == ["a"]
    take(store, tmp_path, [trace("a")], on_conflict="replace")
    assert misdated(store) == []
    take(store, tmp_path, [trace("a", started_at="1970-01-01T00:00:00Z")], on_conflict="replace")
    assert misdated(store) == ["a"]


@pytest.mark.long
def test_blocks_and_processes_record_alike(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.BLOCK", 1_000)
    monkeypatch.setattr("data.ingest.ingest._POOL_FROM", 0)
    records = [*wrong(), *(trace(f"t{n}") for n in range(30)), *wrong("-more")]
    path = write_lines(tmp_path / "log.jsonl", records)
    assert ingest(store, [path], now=NOW, workers=2).misdated == 2 * len(WRONG)
    assert misdated(store) == sorted(r["turn_id"] for r in [*wrong(), *wrong("-more")])
    # Again: counted, and recorded once.
    assert ingest(store, [path], now=NOW).misdated == 2 * len(WRONG)
    assert len(misdated(store)) == 2 * len(WRONG)


# -- figures ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, scored_store: Store) -> tuple[Store, Store]:
    """The scored store, and the same with turns of impossible dates, scored as well."""
    folder = tmp_path_factory.mktemp("misdated")
    stores = [Store.open(shutil.copytree(scored_store.path, folder / name)) for name in "ab"]
    take(stores[1], folder, wrong())
    with stores[1].snapshot() as snapshot:
        ids = ", ".join(f"'{record['turn_id']}'" for record in wrong())
        new = snapshot.query(f"FROM turns WHERE turn_id IN ({ids})")
    commit_predictions(stores[1], scored.predictions_table(new), MODEL)
    for store in stores:
        refresh(store)
    return stores[0], stores[1]


def plain(value: Any) -> Any:
    """An answer as plain values, sums rounded: their last digits depend on the order of rows."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, pa.Table):
        return plain(value.to_pylist())
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


FILTERS = {
    "all": Filter(),
    "rollup": Filter(locale=("en-GB",)),
    "rows": Filter(status=("ok", "error")),
    "since": Filter(since=date(1960, 1, 1)),
    "until": Filter(until=date(2200, 1, 1), text="play"),
    "predicted": Filter(source="predicted"),
}
INSIDE = slice_evidence.Inside(MODEL, "asr", (("assistant", "kitchen"),))


def _read(read: Callable[..., Any], chosen: Filter, snapshot: Snapshot) -> Any:
    return read(snapshot, chosen)


FIGURES: dict[str, Callable[[Snapshot], Any]] = {
    "bounds": lambda s: overview.bounds(s, MODEL),
    "models": lambda s: overview.models(s),
    "freshness": lambda s: ingest_runs.freshness(s),
    "turns per day": lambda s: ingest_runs.daily(s),
    "releases": lambda s: releases.releases(s, MODEL),
    "release of a slice": lambda s: slices.releases(s, MODEL, "asr"),
    "signal coverage": lambda s: (lambda days: (days, (signal_coverage.logged(s, Filter(), days))))(
        signal_coverage.days(s, Filter())
    ),
    "signal values": lambda s: signals.signal_values(s, Filter()),
    "newest turns": lambda s: turns.recent(s, 30),
    "days for SHAP": lambda s: sorted(sampling.some_days(s, MODEL, 1000)),
    "similar requests": lambda s: similar_requests.alike(s, MODEL, "d001-0", "play song 1"),
    "floor": lambda s: daily_sums.floor_day(s, MODEL, Filter(), 20),
    "slice days": lambda s: slices.daily(s, MODEL, "asr", Filter(), [(("assistant", "kitchen"),)])[
        0
    ],
    "slice days, by rows": lambda s: slices.daily(
        s, MODEL, "asr", Filter(), [(("hour", "08-12"),)]
    )[0],
    "slice examples": lambda s: slices.examples(s, INSIDE),
    "slice reasons": lambda s: slice_evidence.reasons(s, INSIDE),
    "slice turns": lambda s: slice_evidence.blamed(s, INSIDE),
    "slice records": lambda s: slice_evidence.records(s, INSIDE),
    "slices": lambda s: find(slice_columns(s, MODEL, "asr", Filter())[0], "asr"),
    "weekly report": lambda s: weekly(s, 1)[1],
    **{
        f"{what}, {name}": partial(_read, read, chosen)
        for name, chosen in FILTERS.items()
        for what, read in {
            "trend": lambda s, chosen: overview.trend(s, MODEL, chosen, "day"),
            "sums": lambda s, chosen: overview.sums(s, MODEL, chosen),
            "cells": lambda s, chosen: overview.cells(s, MODEL, chosen),
            "defects": lambda s, chosen: overview.defects(s, MODEL, chosen, rows=50),
            "turn table": lambda s, chosen: turn_table.listing(s, MODEL, chosen, rows=50),
            "annotated": lambda s, chosen: turn_table.annotated(s, MODEL, chosen),
            "sample": lambda s, chosen: sampling.about(s, MODEL, chosen, 10**6),
            "pivot": lambda s, chosen: pivot.pivot(s, MODEL, chosen, "day", "status"),
            "flagged": lambda s, chosen: thresholds.flagged(s, MODEL, chosen, "asr"),
            "labelled": lambda s, chosen: ground_truth.labelled(s, MODEL, chosen),
            "candidates": lambda s, chosen: candidates(s, MODEL, chosen),
            "headline": lambda s, chosen: headline(s, MODEL, chosen, _bounds(s)),
            "events": lambda s, chosen: events(s, MODEL, chosen, _bounds(s)),
        }.items()
    },
}


def _bounds(snapshot: Snapshot) -> tuple[date, date]:
    bounds = overview.bounds(snapshot, MODEL)
    assert bounds is not None
    return bounds[:2]


@pytest.fixture(scope="module")
def without_and_with(both: tuple[Store, Store]) -> Iterator[tuple[Snapshot, Snapshot]]:
    with both[0].snapshot() as first, both[1].snapshot() as second:
        yield first, second


@pytest.mark.parametrize("figure", FIGURES)
def test_no_figure_changes(without_and_with: tuple[Snapshot, Snapshot], figure: str) -> None:
    first, second = (plain(FIGURES[figure](snapshot)) for snapshot in without_and_with)
    assert first == second


def test_daily_sums_agree_with_single(both: tuple[Store, Store]) -> None:
    with both[1].snapshot() as snapshot:
        of_rows = snapshot.query(
            "SELECT day, count(*) AS turns FROM predictions WHERE dated(turn_id) "
            "GROUP BY day ORDER BY day"
        ).to_pylist()
        of_sums = snapshot.query(
            "SELECT day, sum(turns)::BIGINT AS turns FROM rollup GROUP BY day ORDER BY day"
        ).to_pylist()
    assert of_rows == of_sums


def test_a_summary_counts_them_apart(both: tuple[Store, Store], run: Run) -> None:
    before, after = (describe(store) for store in both)
    assert after["misdated"] == len(WRONG)
    assert (after["first_turn"], after["last_turn"]) == (before["first_turn"], before["last_turn"])
    said = run("info", "--store", both[1].path).out
    assert "9 turns have impossible dates" in said
    assert json.loads(run("info", "--json", "--store", both[1].path).out)["misdated"] == 9
    assert faultline.info(store=both[1])["misdated"] == 9
    assert "impossible" not in run("info", "--store", both[0].path).out


def test_rates_in_python_are_the_same(both: tuple[Store, Store]) -> None:
    for by in (None, "day", "version", "locale"):
        first, second = (faultline.rates(store=store, by=by) for store in both)
        assert first.equals(second)


def test_a_report_says_what_is_not_in_it(both: tuple[Store, Store]) -> None:
    with both[1].snapshot() as snapshot:
        html, head = weekly(snapshot, 1)
    assert "9 turns have impossible dates" in html
    assert head.total.turns > 1
    with both[0].snapshot() as snapshot:
        assert "impossible" not in weekly(snapshot, 1)[0]


# -- still there -----------------------------------------------------------------------------------


def test_they_are_found_opened_listed_and_exported(
    both: tuple[Store, Store], tmp_path: Path
) -> None:
    chosen = Filter.from_query({"dates": "impossible"})
    ids = {record["turn_id"] for record in wrong()}
    assert chosen.caption() == "impossible dates"
    assert not chosen.rollup
    with both[1].snapshot() as snapshot:
        for order in ("newest", "oldest"):
            rows = turn_table.listing(snapshot, MODEL, chosen, ("turn_id", "started_at"), order)
            found = [row["turn_id"] for row in rows.to_pylist()]
            assert set(found) == ids
        last = rows.to_pylist()[-1]
        assert last["turn_id"] == "w6"
        steps = []
        row: Any = turns.prediction(snapshot, dict(turns.turn(snapshot, "w6") or {}), MODEL)
        while row:
            steps.append(row["turn_id"])
            full = turns.turn(snapshot, row["turn_id"])
            assert full is not None
            _, row = turn_list.neighbours(snapshot, MODEL, chosen, turn_list.Listing("all"), full)
        assert set(steps) == ids
        assert set(turns.search(snapshot, "play song 1", 500)["turn_id"].to_pylist()) > ids
        for turn_id in ids:
            record = turns.turn(snapshot, turn_id)
            assert record is not None
            (shown,) = turns.dialogue(snapshot, record, MODEL)
            assert shown["failure_point"]
        assert export(snapshot, "misdated", tmp_path / "misdated.csv") == len(ids)
        everything = snapshot.counts()["turns"]
        assert export(snapshot, "turns", tmp_path / "turns.jsonl") == everything
        # The command that a page offers for its turns exports just these.
        where = command(MODEL, Filter(), "csv", "store", "t1")[4]
        all_dated = export(snapshot, "predictions", tmp_path / "p.csv", where)
        assert all_dated == everything - len(ids)
        where = command(MODEL, chosen, "csv", "store", "t1")[4]
        assert export(snapshot, "predictions", tmp_path / "p.csv", where) == len(ids)


def test_a_dialogue_with_one_wrong_clock_is_shown_whole(store: Store, tmp_path: Path) -> None:
    records = [trace("a"), trace("b", turn_index=1, started_at="2106-01-01T00:00:00Z"),
               trace("c", turn_index=2, started_at="2024-05-01T09:31:00Z")]  # fmt: skip
    path = write_lines(tmp_path / "log.jsonl", records)
    ingest(store, [path])
    with store.snapshot() as snapshot:
        for opened in "abc":
            row = turns.turn(snapshot, opened)
            assert row is not None
            shown = [other["turn_id"] for other in turns.dialogue(snapshot, row, None)]
            assert shown == ["a", "b", "c"]


def test_the_overview_says_so(both: tuple[Store, Store], opened: Open) -> None:
    assert "9 turns have impossible dates" in texts(opened(both[1].path))


@pytest.mark.long
def test_other_pages_say_so(both: tuple[Store, Store], opened: Open) -> None:
    path = both[1].path
    assert "9 turns have impossible dates" not in texts(opened(both[0].path))
    data = opened(path, "data")
    assert "Impossible dates" in texts(data)
    assert html(data).count("Logged date (UTC)") == 1
    assert "2106-02-07 06:28:15" in html(data)
    for page in ("triage", "model", "annotate"):
        assert not opened(path, page, dates="impossible").exception, page
    explore = opened(path, "explore", dates="impossible", show="table")
    assert "9 turns" in texts(explore)
    overview_page = opened(path, dates="impossible")
    assert "belong to no period" in texts(overview_page)
    assert not opened(path, "data", part="drift").exception


@pytest.mark.long
def test_a_store_of_nothing_else_is_no_error(store: Store, tmp_path: Path, opened: Open,
                                             run: Run) -> None:  # fmt: skip
    take(store, tmp_path, wrong())
    scored.score(store)
    for page in ("triage", "turn", "model", "annotate", "data"):
        at = opened(store.path, page)
        assert not at.exception, page
    assert "impossible dates" in texts(opened(store.path))
    assert "9 turns" in texts(opened(store.path, "explore", show="table"))
    for part in ("signals", "drift"):
        assert not opened(store.path, "data", part=part).exception
    with store.snapshot() as snapshot, pytest.raises(ModelError, match="has a possible date"):
        weekly(snapshot, 1)
    must_fail(run("report", "--to", tmp_path / "r.html", "--store", store.path), "possible date")
    assert run("info", "--store", store.path).code == 0
    assert faultline.rates(store=store).empty


# -- retention, deletion ---------------------------------------------------------------------------


@pytest.mark.long
def test_a_clock_neither_deletes_nor_keeps_a_turn(own_store: Store, tmp_path: Path) -> None:
    take(own_store, tmp_path, wrong())
    scored.score(own_store)
    today = NOW.date()
    # They arrived today: none is old, though 1970 is long ago.
    retain(own_store, 1, today=today)
    assert len(misdated(own_store)) == len(WRONG)
    with own_store.snapshot() as snapshot:
        assert snapshot.counts()["turns"] == snapshot.counts()["predictions"] == len(WRONG)
    # A year later all are old, though 2106 is far away.
    done = retain(own_store, 30, today=today + timedelta(days=365))
    assert (done.turns, done.predictions) == (len(WRONG), len(WRONG))
    with own_store.snapshot() as snapshot:
        counts = snapshot.counts()
    assert not any(counts[name] for name in ("turns", "predictions", "misdated", "rollup"))


def test_a_day_that_both_share_loses_its_possible_turns_only(store: Store, tmp_path: Path) -> None:
    ahead = {"started_at": "2024-06-04T00:00:00Z"}
    take(store, tmp_path, [trace("wrong", **ahead)])
    path = write_lines(tmp_path / "in-time.jsonl", [trace("right", **ahead)])
    ingest(store, [path], now=NOW + timedelta(days=10))
    scored.score(store)
    with store.snapshot() as snapshot:
        assert overview.bounds(snapshot, MODEL) == (date(2024, 6, 4), date(2024, 6, 4), 1)
    # On 4 July, 30 days are kept: the 4th of June is, the arrival on the 1st is not.
    done = retain(store, 30, today=date(2024, 7, 4))
    assert (done.turns, done.predictions) == (1, 1)
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT turn_id FROM turns").to_pylist() == [{"turn_id": "right"}]
        assert snapshot.counts()["misdated"] == 0


def test_deletion_takes_the_record_of_the_date(store: Store, tmp_path: Path) -> None:
    take(store, tmp_path, [record | {"user_id": "u"} for record in wrong()])
    assert delete(store, user_ids=["u"]).turns == len(WRONG)
    assert misdated(store) == []


# -- stores of the earlier version, real input -----------------------------------------------------


def test_an_earlier_store_is_mended_by_the_next_ingestion(
    own_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_store.snapshot() as snapshot:
        before = overview.bounds(snapshot, MODEL)
    with monkeypatch.context() as patch:
        # As the version before, which knew nothing of impossible dates.
        patch.setattr(
            "data.store.misdated.Clock.impossible",
            lambda self, times: pa.array([False] * len(times)).to_numpy(False),
        )
        patch.setattr("data.ingest.ingest.record_misdated", lambda cycle, clock: None)
        take(own_store, tmp_path, wrong())
        scored.score(own_store)
    with own_store.snapshot() as snapshot:
        assert overview.bounds(snapshot, MODEL) != before
        # Its dialogues open all the same, whatever their year.
        for record in wrong():
            row = turns.turn(snapshot, record["turn_id"])
            assert row is not None
            assert len(turns.dialogue(snapshot, row, MODEL)) == 1
    take(own_store, tmp_path, [trace("new", dialogue_id="new")])
    assert len(misdated(own_store)) == len(WRONG)
    with own_store.snapshot() as snapshot:
        assert overview.bounds(snapshot, MODEL) == before


def test_the_case_from_the_field(own_store: Store, run: Run, tmp_path: Path) -> None:
    case = FIELD / "C01_future.jsonl"
    if not case.exists():
        pytest.skip(f"the cases from the field are missing: {FIELD}")
    with own_store.snapshot() as snapshot:
        before = weekly(snapshot, 1)[1].total
    said = run("ingest", case, "--store", own_store.path)
    assert said.code == 0
    assert "1 turn has an impossible date" in said.out
    scored.score(own_store)
    with own_store.snapshot() as snapshot:
        assert weekly(snapshot, 1)[1].total.turns == before.turns
    said = run("report", "--weeks", "1", "--to", tmp_path / "report.html",
               "--store", own_store.path)  # fmt: skip
    assert said.code == 0
    assert "1 turn has an impossible date" in (tmp_path / "report.html").read_text("utf-8")
