"""The Triage page, run without a browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from data.store import workspace
from data.store.predictions import commit_predictions
from data.store.store import Store
from tests.app import Open, html, press, settled, texts
from tests.scored import MODEL, NASTY, fill, predictions_table

PHONES = "asr:device_type=phone"


def planted(path: Path) -> Store:
    """A store in which phones fail at ASR."""
    store = fill(path, scored=False)
    with store.snapshot() as snapshot:
        table = predictions_table(snapshot.query("FROM turns ORDER BY turn_id"))
    rows = table.to_pylist()
    for row in rows:
        bad = row["device_type"] == "phone"
        row |= {f"p_{name}": 0.01 for name in ("false_wake", "nlu", "er", "result")}
        row |= {"p_asr": 0.9 if bad else 0.02, "p_correct": 0.06 if bad else 0.94}
        row |= {"p_defect": 1 - row["p_correct"], "failure_point": "asr" if bad else "correct"}
    commit_predictions(store, pa.Table.from_pylist(rows, schema=table.schema), MODEL)
    (store.models / MODEL).mkdir()
    store.promote(MODEL)
    return store


@pytest.fixture(scope="module")
def phones_fail(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return planted(tmp_path_factory.mktemp("planted") / "store")


@pytest.fixture
def own_phones_fail(tmp_path: Path, phones_fail: Store) -> Store:
    """A copy of it, to write to."""
    return Store.open(shutil.copytree(phones_fail.path, tmp_path / "own"))


def test_the_worst_slice_of_the_worst_stage_is_open(opened: Open, phones_fail: Store) -> None:
    at = opened(phones_fail.path, "triage")
    assert at.query_params["failing"] == "asr"
    assert "ASR: phone" in at.header[0].value
    assert "excess failures" in html(at)
    assert "almost certainly real" in texts(at)
    assert "combinations tested" in texts(at)
    charts = at.get("plotly_chart")
    assert charts
    assert all(chart.proto.alt for chart in charts)


def test_a_link_opens_on_its_stage_and_slice(opened: Open, phones_fail: Store) -> None:
    at = opened(phones_fail.path, "triage", failing="nlu")
    assert at.segmented_control(key="failing_choice").value == "nlu"
    assert "No significant slice" in texts(at)
    at = opened(phones_fail.path, "triage", slice=PHONES)
    assert at.query_params["failing"] == "asr"
    assert "ASR: phone" in at.header[0].value


def test_choosing_another_failure_point_leaves_the_slice(opened: Open, phones_fail: Store) -> None:
    at = opened(phones_fail.path, "triage", slice=PHONES)
    settled(at.segmented_control(key="failing_choice").select("er").run())
    assert at.query_params["failing"] == "er"
    assert "slice" not in at.query_params
    settled(at.segmented_control(key="failing_choice").select("defect").run())
    assert "Any failure: phone" in at.header[0].value


@pytest.mark.parametrize(
    ("point", "conditions"),
    [
        # A slice with hostile texts, for the evidence of every failure point.
        *(
            (point, "locale=" + quote("(not logged)"))
            for point in ("false_wake", "asr", "nlu", "er", "result", "defect")
        ),
        ("nlu", "confidence=0.4-0.6;hour=08-12"),
        # No turn has these values.
        ("asr", "domain=" + quote(NASTY, safe="")),
        ("defect", "slot=" + quote("日本 \u202e語", safe="")),
    ],
)
def test_any_slice_can_be_opened(
    opened: Open, scored_store: Store, point: str, conditions: str
) -> None:
    at = opened(scored_store.path, "triage", failing=point, slice=f"{point}:{conditions}")
    assert "Ownership and status" in texts(at)
    assert "<img" not in html(at)
    assert "\u202e" not in html(at) + texts(at)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"failing": "nobody"}, "is not a failure point"),
        ({"failing": "asr", "slice": "nonsense"}, "is not a slice"),
        ({"failing": "asr", "slice": "asr:colour=red"}, "Unknown dimension 'colour'"),
        ({"failing": "asr", "slice": "asr:words=lots"}, "Unknown band words=lots"),
        ({"failing": "nlu", "slice": PHONES}, "not one of NLU"),
    ],
)
def test_an_invalid_link_is_reported_in_a_sentence(
    opened: Open, phones_fail: Store, query: dict[str, str], words: str
) -> None:
    assert words in texts(opened(phones_fail.path, "triage", **query))


def test_a_decision_is_recorded_and_shown(opened: Open, own_phones_fail: Store) -> None:
    store = own_phones_fail
    at = opened(store.path, "triage", slice=PHONES)
    old = at.query_params["at"]
    label = {field.label: field for field in at.text_input}
    label["Owner"].set_value("Ada")
    label["Ticket"].set_value("not a link")
    at.button(key=f"FormSubmitter:decision-{PHONES}-Save").click().run()
    assert "is not a web address" in at.error[0].value
    label = {field.label: field for field in at.text_input}
    label["Ticket"].set_value("https://tickets.example/1")
    label["Fixed in version"].set_value("4.2")
    next(box for box in at.selectbox if box.label == "State").set_value("fixed")
    at.button(key=f"FormSubmitter:decision-{PHONES}-Save").click().run()
    assert not at.error
    assert at.query_params["at"] != old
    recorded = workspace.triage(store.snapshot())[PHONES]
    assert (recorded["owner"], recorded["state"], recorded["version"]) == ("Ada", "fixed", "4.2")
    assert "fixed in" in html(at)
    assert "Ada" in html(at)
    assert any(word in texts(at) for word in ("did not fall", "too few", "fell"))


def test_grouping_requests_without_the_model_says_what_to_do(
    opened: Open, phones_fail: Store
) -> None:
    at = opened(phones_fail.path, "triage", slice=PHONES)
    press(at, "Cluster the requests")
    assert "train it again" in texts(at)


def test_a_turn_of_the_slice_opens_with_a_link_back(opened: Open, phones_fail: Store) -> None:
    at = opened(phones_fail.path, "triage", slice=PHONES)
    at.session_state[f"slice-turns-{PHONES}"] = {
        "selection": {"rows": [0], "columns": [], "cells": []}
    }
    at.run()
    assert at.query_params["turn"]
    assert (at.query_params["failing"], at.query_params["slice"]) == ("asr", PHONES)


def test_a_slice_with_an_owner_stays_listed_when_it_no_longer_stands_out(
    opened: Open, own_phones_fail: Store
) -> None:
    store = own_phones_fail
    workspace.set_triage(store, "asr:device_type=speaker", "asr", owner="Ada", state="looking")
    at = opened(store.path, "triage", failing="asr")
    assert "Owned, not significant now" in texts(at)
    at.button(key="slice-asr:device_type=speaker").click().run()
    assert "ASR: speaker" in at.header[0].value
    assert "not among the significant slices" in texts(at)
