"""The dashboard's pages, run without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.queries import overview
from data.queries.filters import Filter
from data.store.store import Store
from tests.app import Open, follow, html, press, texts, turn_rows, turns_shown
from tests.scored import MODEL, NASTY, score


@pytest.mark.parametrize("page", [None, "turn"])
def test_a_missing_store_says_what_to_run(opened: Open, tmp_path: Path, page: str | None) -> None:
    at = opened(tmp_path / "nowhere", page)
    assert "No store" in texts(at)
    assert texts(at).count("faultline ingest") == 1
    assert f"faultline ingest LOGS… --store {tmp_path / 'nowhere'}" in texts(at)
    assert len(at.get("file_uploader")) == 1
    assert 'href="/explore"' in html(at)


def test_a_link_that_cannot_be_shown_leaves_the_way_to_the_other_pages(
    opened: Open, scored_store: Store
) -> None:
    for query in ({"called": "nlu"}, {"at": "t9"}, {"step": "year"}):
        at = opened(scored_store.path, **query)
        assert "This cannot be shown" in texts(at)
        assert html(at).count('class="product"') == 1
        assert "Triage" in html(at)


@pytest.mark.parametrize("page", [None, "turn"])
def test_an_empty_store_says_what_to_run(opened: Open, store: Store, page: str | None) -> None:
    at = opened(store.path, page)
    assert "This store is empty" in texts(at)
    assert f"faultline ingest LOGS… --store {store.path}" in texts(at)


@pytest.mark.parametrize("page", [None, "triage", "model", "explore"])
def test_an_unscored_store_says_what_to_run(
    opened: Open, unscored_store: Store, page: str | None
) -> None:
    at = opened(unscored_store.path, page)
    # Scoring trains a first model, if there is none.
    assert "faultline score --store" in texts(at)
    assert not at.metric


def test_an_unscored_turn_is_shown_without_a_verdict(opened: Open, unscored_store: Store) -> None:
    at = opened(unscored_store.path, "turn", turn="d001-0")
    assert "Not scored" in at.header[0].value
    assert "faultline score --store" in texts(at)
    assert "play song 1" in html(at)


def test_the_overview_shows_all_turns_of_the_version_and_model_in_its_url(
    opened: Open, scored_store: Store
) -> None:
    at = opened(scored_store.path)
    version = scored_store.snapshot().version
    assert (at.query_params["at"], at.query_params["model"]) == (version, MODEL)
    assert version in texts(at)
    assert turns_shown(at) == scored_store.snapshot().counts()["predictions"]
    assert [metric.label for metric in at.metric] == [
        "Turns",
        "Defect rate, model estimate",
        "Worst stage",
        "Predicted defects",
    ]


def test_a_filter_narrows_the_numbers_like_its_link_until_its_chip_is_removed(
    opened: Open, scored_store: Store
) -> None:
    at = opened(scored_store.path)
    everything = turns_shown(at)
    at.multiselect(key="device").select("phone").run()
    phones = turns_shown(at)
    assert 0 < phones < everything
    link = opened(scored_store.path, device="phone")
    assert turns_shown(link) == phones
    assert link.multiselect(key="device").value == ["phone"]
    press(at, "phone")
    assert turns_shown(at) == everything
    dated = opened(scored_store.path, since="2024-03-08", until="2024-03-10")
    assert 0 < turns_shown(dated) < everything


@pytest.mark.parametrize("page", [None, "triage", "explore"])
def test_filters_that_match_nothing_say_so(
    opened: Open, scored_store: Store, page: str | None
) -> None:
    at = opened(scored_store.path, page, since="2024-03-10", until="2024-03-08")
    assert "No turn fits" in texts(at)


def test_a_page_keeps_its_version(opened: Open, own_store: Store) -> None:
    store = own_store
    old = store.snapshot().version
    score(store, "model-b", seed=5)
    at = opened(store.path, at=old, model=MODEL)
    assert old in texts(at)
    press(at, "There is newer data")
    assert at.query_params["at"] == store.snapshot().version
    assert at.query_params["model"] == "model-b"
    assert at.selectbox(key="model_choice").value == "model-b"
    at.selectbox(key="model_choice").select(MODEL).run()
    assert at.query_params["model"] == MODEL


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"at": "t99.p99"}, "does not exist"),
        ({"at": "nonsense"}, "is not a version"),
        ({"model": "nobody"}, "No turn was scored by the model"),
    ],
)
def test_a_dead_link_leads_to_the_newest_version(
    opened: Open, scored_store: Store, query: dict[str, str], words: str
) -> None:
    at = opened(scored_store.path, **query)
    assert words in texts(at)
    press(at, "Go to the newest version")
    assert turns_shown(at) == scored_store.snapshot().counts()["predictions"]


def test_a_row_opens_its_turn(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn")
    assert "Find a turn" in texts(at)
    newest = overview.defects(scored_store.snapshot(), MODEL, Filter())["turn_id"].to_pylist()
    rows = turn_rows(at)
    assert len(rows) == min(20, len(newest))
    follow(at, rows[1]["href"])
    assert at.query_params["turn"] == newest[1]


def test_a_turn_shows_its_stages_and_reasons_and_leads_to_the_next_one(
    opened: Open, scored_store: Store
) -> None:
    at = opened(scored_store.path, "turn", turn="d001-0")
    for words in ("hey you", "play song 1", "not found", "Playing 1.", "Annotator says", "signal"):
        assert words in html(at)
    assert len(at.get("plotly_chart")) == 4
    assert all(chart.proto.alt for chart in at.get("plotly_chart"))
    assert "speaks for" in texts(at)
    at.button(key="turn-d001-1").click().run()
    assert at.query_params["turn"] == "d001-1"
    assert "turn 2 of" in texts(at)


def test_an_unknown_turn_is_reported(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn", turn="nope")
    assert "There is no turn “nope”" in texts(at)


@pytest.mark.parametrize("turn", ["nasty", "bare"])
def test_odd_turns_are_shown_inert(opened: Open, scored_store: Store, turn: str) -> None:
    at = opened(scored_store.path, "turn", turn=turn)
    assert "<img" not in html(at)
    assert "\u202e" not in html(at) + texts(at)
    assert NASTY not in at.header[0].value
    assert "nothing logged" in html(at)
