"""The module `faultline`: what the commands and the pages say, as pandas frames."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import faultline
from analysis.rates import RATES
from data.errors import IngestError, MappingError, ModelError, StoreMissing, UsageError
from data.queries.filters import Filter
from data.queries.overview import bounds
from data.store.store import Store
from report.contents import headline
from tests.logs import trace, write_lines


@pytest.mark.parametrize("filters", [{}, {"locale": "en-GB"}, {"source": "predicted"}])
def test_rates_are_those_of_the_overview(scored_store: Store, filters: dict[str, str]) -> None:
    table = faultline.rates(store=scored_store, **filters)
    with scored_store.snapshot() as snapshot:
        model = snapshot.model or ""
        days = bounds(snapshot, model)
        assert days
        head = headline(snapshot, model, Filter.from_query(filters), days[:2])
    assert head
    assert table["failure_point"].tolist() == list(RATES)
    for row in table.to_dict("records"):
        estimate = head.rates[row["failure_point"]]
        assert (row["turns"], row["labelled"]) == (estimate.turns, estimate.labelled)
        assert row["share"] == pytest.approx(estimate.value)
        assert (row["low"], row["high"]) == pytest.approx((estimate.low, estimate.high))


def test_rates_by_a_value_are_those_of_the_filter(scored_store: Store) -> None:
    table = faultline.rates(store=scored_store, by="locale")
    for value, rows in table.groupby("locale"):
        alone = faultline.rates(store=scored_store, locale=str(value))
        pd.testing.assert_frame_equal(
            rows.drop(columns="locale").reset_index(drop=True), alone, check_dtype=False
        )
    some = faultline.rates(store=scored_store, by="locale", locale=["en-GB", "nowhere"])
    assert set(some["locale"]) == {"en-GB"}


def test_rates_by_day_cover_every_turn(scored_store: Store) -> None:
    daily = faultline.rates(store=scored_store, by="day")
    total = faultline.rates(store=scored_store)["turns"][0]
    assert daily[daily["failure_point"] == "defect"]["turns"].sum() == total
    assert all(isinstance(day, date) for day in daily["day"])
    assert faultline.rates(store=scored_store, by="day", since="2100-01-01").empty


def test_an_explanation_is_what_was_predicted(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        row = snapshot.query(
            "FROM predictions WHERE len(reasons) > 1 AND model_id = ? LIMIT 1", [snapshot.model]
        ).to_pylist()[0]
    why = faultline.explain(row["turn_id"], store=scored_store)
    assert why.failure_point == row["failure_point"]
    assert why.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert why.evidence["asr"] == row["evidence_asr"]
    strength = why.reasons["contribution"].abs()
    assert strength.is_monotonic_decreasing
    assert set(why.reasons["feature"]) == {reason["feature"] for reason in row["reasons"]}
    assert why.reasons["meaning"].str.len().min() > 5


def test_a_table_is_exported_and_a_store_described(scored_store: Store, tmp_path: Path) -> None:
    rows = faultline.export("turns", tmp_path / "turns.parquet", store=scored_store)
    assert len(pd.read_parquet(tmp_path / "turns.parquet")) == rows
    assert faultline.info(store=scored_store.path)["turns"] == rows


def test_ingesting_makes_a_store_and_reports_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTLINE_STORE", str(tmp_path / "mine"))
    with pytest.raises(IngestError, match="does not exist"):
        faultline.ingest("nowhere.jsonl")
    with pytest.raises(StoreMissing):
        faultline.open()
    good = write_lines(tmp_path / "good.jsonl", [trace("a"), b"{bad"])
    bad = write_lines(tmp_path / "bad.jsonl", [])
    table = faultline.ingest([good, bad])
    assert table["turns"].tolist() == [1, 0]
    assert table["quarantined"].tolist() == [1, 0]
    assert "is empty" in table["error"][1]
    assert faultline.open().snapshot().counts()["turns"] == 1


def test_a_table_is_ingested_by_its_mapping(tmp_path: Path) -> None:
    table, mapping, into = tmp_path / "t.csv", tmp_path / "m.toml", tmp_path / "mine"
    rows = ["a,2026-05-01T10:00:00Z,d", "b,2026-05-01T10:07:00Z,d"]
    table.write_text("\n".join(["id,at,device", *rows]))
    mapping.write_text(
        "[fields]\nturn_id = 'id'\nstarted_at = 'at'\ndialogue_id = {by = ['device']}"
    )
    for wrong, error, words in (
        ({"mapping": tmp_path / "no.toml"}, MappingError, "no mapping file"),
        ({"mapping": mapping, "format": "rasa"}, UsageError, "for tables"),
        ({"mapping": mapping, "idle_minutes": 0}, UsageError, "idle_minutes"),
    ):
        with pytest.raises(error, match=words):
            faultline.ingest(table, store=into, **wrong)
    assert not into.exists()
    for minutes, dialogues in ((5, 2), (10, 1)):
        into = tmp_path / f"idle-{minutes}"
        faultline.ingest(
            table, store=into, mapping=str(mapping), idle_minutes=minutes, assistant="Kitchen"
        )
        with faultline.open(into).snapshot() as snapshot:
            (row,) = snapshot.query(
                "SELECT count(*) AS n, count(DISTINCT dialogue_id) AS dialogues, "
                "min(assistant) AS assistant FROM turns"
            ).to_pylist()
        assert row == {"n": 2, "dialogues": dialogues, "assistant": "Kitchen"}


def test_wrong_requests_are_one_sentence(scored_store: Store, unscored_store: Store) -> None:
    store = scored_store
    for call, error, words in (
        (lambda: faultline.rates(store=store, colour="red"), UsageError, "no filter colour"),
        (lambda: faultline.rates(store=store, by="hour"), UsageError, "by 'hour'"),
        (lambda: faultline.rates(store=store, since="today"), UsageError, "since=today"),
        (lambda: faultline.rates(store=store, model="m-0"), UsageError, "the model 'm-0'"),
        (lambda: faultline.rates(store=unscored_store), ModelError, "faultline train"),
        (lambda: faultline.explain("nobody", store=store), UsageError, "no turn 'nobody'"),
        (lambda: faultline.train(store=store, context="x"), UsageError, "no context 'x'"),
        (lambda: faultline.train(store=store, without=["x"]), UsageError, "leave out x"),
        (lambda: faultline.open("ftp://logs"), UsageError, "local folder"),
    ):
        with pytest.raises(error, match=words) as caught:
            call()
        assert isinstance(caught.value, faultline.FaultlineError)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["data/__init__.py", "data.py", "labels.py"])
def test_a_package_that_hides_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    command = [sys.executable, "-c", "import faultline"]
    paths = os.pathsep.join([str(Path(faultline.__file__).parents[1])])
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True
    )
    last = done.stderr.decode().strip().splitlines()[-1]
    assert last.startswith("ImportError: Faultline's package '")
    assert "start Python in another folder" in last


def test_a_folder_of_files_called_data_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "logs.jsonl").touch()
    command = [sys.executable, "-c", "import faultline"]
    paths = str(Path(faultline.__file__).parents[1])
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, check=True)
