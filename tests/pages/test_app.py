"""The dashboard's pages, run without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.queries import overview
from data.queries.filters import Filter
from data.store.store import Store
from tests.app import Open, texts, turns_shown
from tests.scored import MODEL, NASTY, fill, score


@pytest.mark.parametrize("page", [None, "turn"])
def test_a_missing_store_says_what_to_run(opened: Open, tmp_path: Path, page: str | None) -> None:
    at = opened(tmp_path / "nowhere")
    assert "No store" in texts(at)
    assert f"faultline ingest LOGS… --store {tmp_path / 'nowhere'}" in texts(at)


@pytest.mark.parametrize("page", [None, "turn"])
def test_an_empty_store_says_what_to_run(opened: Open, store: Store, page: str | None) -> None:
    at = opened(store.path, page)
    assert "This store is empty" in texts(at)
    assert f"faultline ingest LOGS… --store {store.path}" in texts(at)


def test_an_unscored_store_says_what_to_run(opened: Open, unscored_store: Store) -> None:
    at = opened(unscored_store.path)
    assert "faultline train --store" in texts(at)
    assert "faultline score --store" in texts(at)
    assert not at.metric


def test_an_unscored_turn_is_shown_all_the_same(opened: Open, unscored_store: Store) -> None:
    at = opened(unscored_store.path, "turn", turn="d001-0")
    assert "Not scored" in at.header[0].value
    assert "faultline score --store" in texts(at)
    assert any("play song 1" in block.proto.body for block in at.get("html"))


def test_overview_shows_all_turns(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path)
    assert turns_shown(at) == scored_store.snapshot().counts()["predictions"]
    assert [metric.label for metric in at.metric] == [
        "Turns",
        "Defect rate, model estimate",
        "Worst stage",
        "Called defects",
    ]
    charts = at.get("plotly_chart")
    assert len(charts) == 3
    assert all(chart.proto.alt for chart in charts)


def test_version_and_model_are_pinned_in_the_url(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path)
    version = scored_store.snapshot().version
    assert at.query_params["at"] == version
    assert at.query_params["model"] == MODEL
    assert version in texts(at)


def test_filters_narrow_the_numbers(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path)
    everything = turns_shown(at)
    at.multiselect(key="device").select("phone").run()
    phones = turns_shown(at)
    assert 0 < phones < everything
    assert any(button.label == "phone" for button in at.button)
    # The chip takes its condition away again.
    next(button for button in at.button if button.label == "phone").click().run()
    assert turns_shown(at) == everything


def test_a_link_carries_its_filters(opened: Open, scored_store: Store) -> None:
    by_hand = opened(scored_store.path)
    by_hand.multiselect(key="locale").select("en-GB").run()
    by_link = opened(scored_store.path, locale="en-GB")
    assert turns_shown(by_link) == turns_shown(by_hand)
    assert by_link.multiselect(key="locale").value == ["en-GB"]
    dated = opened(scored_store.path, since="2024-03-08", until="2024-03-10")
    assert 0 < turns_shown(dated) < turns_shown(opened(scored_store.path))


def test_contradictory_filters_say_so(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, since="2024-03-10", until="2024-03-08")
    assert "No turn fits" in texts(at)


def test_a_page_stays_with_its_version(opened: Open, tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    old = store.snapshot().version
    score(store, "model-b", seed=5)
    at = opened(store.path, at=old, model=MODEL)
    assert old in texts(at)
    button = next(button for button in at.button if "newer data" in button.label)
    button.click().run()
    assert at.query_params["at"] == store.snapshot().version
    assert at.query_params["model"] == "model-b"
    assert at.selectbox(key="model_choice").value == "model-b"
    at.selectbox(key="model_choice").select(MODEL).run()
    assert at.query_params["model"] == MODEL


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"at": "t99.p99"}, "does not exist"),
        ({"at": "nonsense"}, "is not a version"),
        ({"model": "nobody"}, "No turn was scored by the model"),
    ],
)
def test_a_dead_link_leads_to_the_newest(
    opened: Open, scored_store: Store, query: dict[str, str], told: str
) -> None:
    at = opened(scored_store.path, **query)
    assert told in texts(at)
    next(button for button in at.button if "newest" in button.label).click().run()
    assert turns_shown(at) == scored_store.snapshot().counts()["predictions"]


def test_a_row_opens_its_turn(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn")
    assert "Find a turn" in texts(at)
    newest = overview.defects(scored_store.snapshot(), MODEL, Filter())["turn_id"].to_pylist()
    at.session_state[f"find--{scored_store.snapshot().version}"] = {
        "selection": {"rows": [1], "columns": [], "cells": []}
    }
    at.run()
    assert at.query_params["turn"] == newest[1]


def test_a_turn_shows_its_stages_and_reasons(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn", turn="d001-0")
    html = "".join(block.proto.body for block in at.get("html"))
    for said in ("hey you", "play song 1", "not found", "Playing 1.", "Annotator says", "signal"):
        assert said in html
    assert len(at.get("plotly_chart")) == 4
    assert all(chart.proto.alt for chart in at.get("plotly_chart"))
    assert "speaks for" in texts(at)


def test_another_turn_of_the_dialogue_is_a_click_away(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn", turn="d001-0")
    at.button(key="turn-d001-1").click().run()
    assert at.query_params["turn"] == "d001-1"
    assert "turn 2 of" in texts(at)


def test_an_unknown_turn_is_told(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn", turn="nope")
    assert "There is no turn “nope”" in texts(at)


@pytest.mark.parametrize("turn", ["nasty", "bare"])
def test_odd_turns_are_shown_inert(opened: Open, scored_store: Store, turn: str) -> None:
    at = opened(scored_store.path, "turn", turn=turn)
    html = "".join(block.proto.body for block in at.get("html"))
    assert "<img" not in html
    assert "\u202e" not in html + texts(at)
    assert NASTY not in at.header[0].value
    assert "nothing logged" in html
