"""The pages Explore and Data, run without a browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from streamlit.testing.v1 import AppTest

import data
from data.ingest.ingest import ingest
from data.queries.filters import Filter, Range
from data.queries.overview import totals, trend
from data.store import workspace
from data.store.store import Store
from tests.app import Open, settled, texts, turns_shown
from tests.scored import MODEL, NASTY, fill


def frames(at: AppTest) -> list[str]:
    return [",".join(map(str, frame.value.columns)) for frame in at.dataframe]


def key_of(at: AppTest) -> str:
    """The key of the first table, from the id that Streamlit makes of it."""
    return str(at.dataframe[0].proto.id).split("-", 2)[2]


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return fill(tmp_path_factory.mktemp("explore") / "store")


def test_the_page_named_data_is_no_module(opened: Open, scored_store: Store) -> None:
    opened(scored_store.path, "data")
    assert sys.modules["data"] is data
    assert Path(str(data.__file__)).name == "__init__.py"


@pytest.mark.parametrize("page", ["explore", "data"])
def test_empty_and_missing_stores_say_what_to_run(
    opened: Open, store: Store, tmp_path: Path, page: str
) -> None:
    assert "This store is empty" in texts(opened(store.path, page))
    assert "No store" in texts(opened(tmp_path / "nowhere"))


def test_unscored_stores(opened: Open, tmp_path: Path) -> None:
    store = fill(tmp_path / "store", scored=False)
    assert "faultline score --store" in texts(opened(store.path, "explore"))
    for part in ("arrivals", "signals", "drift", "storage"):
        at = opened(store.path, "data", part=part)
        assert len(at.metric) == 4
        assert "faultline" not in texts(at)


def test_explore_counts_and_cuts(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore")
    assert turns_shown(at) == scored_store.snapshot().counts()["predictions"]
    assert any(names.startswith("Domain,") for names in frames(at))
    at.selectbox(key="explore-w-rows").select("assistant").run()
    at.selectbox(key="explore-w-cols").select("none").run()
    assert at.query_params["rows"] == "assistant"
    assert "Assistant,All" in frames(at)


@pytest.mark.parametrize("rows", ["assistant", "day", "week", "hour", "confidence", "verdict"])
@pytest.mark.parametrize("measure", ["rate", "turns"])
def test_a_cell_narrows_the_filters_to_its_turns(
    opened: Open, scored_store: Store, rows: str, measure: str
) -> None:
    at = opened(scored_store.path, "explore", rows=rows, cols="none", measure=measure)
    frame = at.dataframe[0].value
    key = key_of(at)
    at.session_state[key] = {"selection": {"rows": [], "columns": [], "cells": [(0, "All")]}}
    at.run()
    assert not at.exception
    next(b for b in at.button if b.label.startswith("Narrow")).click().run()
    assert not at.exception
    if measure == "turns":
        assert turns_shown(at) == int(frame["All"][0])


def test_a_link_carries_everything(opened: Open, scored_store: Store) -> None:
    at = opened(
        scored_store.path,
        "explore",
        show="table",
        order="oldest",
        columns="heard,turn_id",
        device="phone",
    )
    frame = at.dataframe[0].value
    assert list(frame.columns) == ["Heard", "Turn id"] or set(frame.columns) == {"Heard", "Turn id"}
    assert frame["Turn id"][0].startswith("d00")
    sql = opened(scored_store.path, "explore", show="sql", sql="SELECT 7 AS x")
    assert sql.text_area(key="explore-w-sql").value == "SELECT 7 AS x"


def test_nonsense_in_a_link_is_passed_over(opened: Open, scored_store: Store) -> None:
    at = opened(
        scored_store.path, "explore", rows="nosuch", show="42", order="'; DROP", columns="reasons"
    )
    assert "rows" not in at.query_params
    assert any(names.startswith("Domain,") for names in frames(at))
    assert opened(scored_store.path, "data", part="../etc").metric


@pytest.mark.parametrize("show", ["pivot", "table"])
def test_filters_that_match_nothing(opened: Open, scored_store: Store, show: str) -> None:
    query = {"show": show, "since": "2024-03-10", "until": "2024-03-08"}
    assert "No turn fits" in texts(opened(scored_store.path, "explore", **query))


def test_odd_texts_are_shown_as_they_are(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore", show="table", text="<img")
    assert at.dataframe[0].value["Heard"][0].startswith(NASTY[:20])
    assert "<img" not in "".join(block.proto.body for block in at.get("html"))


def test_a_row_opens_its_turn(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore", show="table", columns="turn_id", device="phone")
    first = at.dataframe[0].value["Turn id"][0]
    key = key_of(at)
    at.session_state[key] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    at.run()
    assert at.query_params["turn"] == first


def wait_for_answer(at: AppTest) -> None:
    _, running = at.session_state["explore-run"]
    running._thread.join(60)
    at.run()


def test_a_statement_is_run_and_its_errors_are_told(opened: Open, scored_store: Store) -> None:
    sql = "SELECT count(*) AS n FROM slice"
    at = opened(scored_store.path, "explore", show="sql", sql=sql, device="phone")
    next(b for b in at.button if b.label == "Run").click().run()
    wait_for_answer(at)
    assert at.dataframe[0].value["n"].tolist() == [turns_shown(at)]
    at.text_area(key="explore-w-sql").set_value("SELECT nosuch").run()
    assert at.query_params["sql"] == "SELECT nosuch"
    next(b for b in at.button if b.label == "Run").click().run()
    wait_for_answer(at)
    assert "DuckDB cannot run this" in texts(at)


def test_a_running_statement_can_be_stopped(opened: Open, scored_store: Store) -> None:
    sql = "SELECT count(*) FROM range(1000000000000) a, range(9) b"
    at = opened(scored_store.path, "explore", show="sql", sql=sql)
    next(b for b in at.button if b.label == "Run").click().run()
    at.button(key="explore-stop").click().run()
    wait_for_answer(at)
    assert "stopped" in texts(at)


def test_a_view_is_saved_opened_and_forgotten(opened: Open, own_store: Store) -> None:
    at = opened(own_store.path, "explore", rows="assistant", device="phone", of="asr")
    phones = turns_shown(at)
    at.text_input(key="view-name").set_value("Phones **bold**")
    next(b for b in at.button if b.label == "Save this view").click().run()
    assert not at.exception
    (saved,) = workspace.views(own_store.snapshot())
    assert saved["name"] == "Phones **bold**"
    assert "at=" not in saved["query"]
    fresh = opened(own_store.path, "explore")
    assert turns_shown(fresh) > phones
    fresh.button(key="view-0").click().run()
    assert not fresh.exception
    assert turns_shown(fresh) == phones
    assert fresh.query_params["rows"] == "assistant"
    assert fresh.selectbox(key="explore-w-of").value == "asr"
    fresh.button(key="forget-0").click().run()
    assert workspace.views(own_store.snapshot()) == []


def test_a_spoilt_view_is_told(opened: Open, own_store: Store) -> None:
    workspace.save_view(own_store, "old", "explore", urlencode({"words": "many"}))
    at = opened(own_store.path, "explore")
    at.button(key="view-0").click().run()
    assert not at.exception
    assert "Invalid range" in texts(at)
    workspace.drop_view(own_store, "old")


@pytest.mark.parametrize("part", ["arrivals", "signals", "drift", "storage"])
@pytest.mark.parametrize("query", [{}, {"since": "2024-03-10", "until": "2024-03-08"}])
def test_every_part_of_data_is_drawn(
    opened: Open, scored_store: Store, part: str, query: dict[str, str]
) -> None:
    at = opened(scored_store.path, "data", part=part, **query)
    assert len(at.metric) == 4
    assert at.subheader


def test_quarantined_lines_are_shown(opened: Open, tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"turn_id": 3, "odd": NASTY}) + "\n")
    ingest(store, [bad])
    at = opened(store.path, "data")
    assert any("turn_id" in block.value for block in at.code)
    assert "\u202e" not in texts(at)


def test_compaction_runs_from_the_page(opened: Open, tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    at = opened(store.path, "data", part="storage")
    settled(next(b for b in at.button if b.label == "Compact now").click().run())
    assert not at.exception
    assert "Compaction left" in texts(at)


@pytest.mark.parametrize(
    "query",
    [
        {"locale": "xx-XX"},
        {"intent": "nothing of the kind"},
        {"slot": "none", "status": "weird"},
        {"confidence": "0.11..0.12", "locale": "en-GB"},
    ],
)
def test_a_link_to_what_is_not_there_finds_nothing(
    opened: Open, scored_store: Store, query: dict[str, str]
) -> None:
    at = opened(scored_store.path, "explore", **query)
    assert "All turns" not in texts(at)
    assert at.button(key=f"chip-locale-{query['locale']}") if "locale" in query else True


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"source": "xyz"}, "Unknown source=xyz"),
        ({"stage": "tts"}, "Unknown stage=tts"),
        ({"version": "asr"}, "names no stage"),
        ({"since": "2031-01-01"}, "leaves no day"),
        ({"until": "1999-01-01"}, "leaves no day"),
        ({"since": "banana"}, "banana"),
    ],
)
def test_a_filter_that_says_nothing_is_told_and_can_be_cleared(
    opened: Open, scored_store: Store, query: dict[str, str], words: str
) -> None:
    at = opened(scored_store.path, "explore", **query)
    assert words in texts(at)
    (button,) = [one for one in at.button if one.label == "Clear the filters"]
    button.click().run()
    assert words not in texts(at)
    assert "All turns" in texts(at)


def test_a_view_keeps_what_the_filter_bar_does_not_offer(opened: Open, tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    workspace.save_view(store, "mine", "explore", urlencode({"confidence": "0.11..0.62"}))
    with store.snapshot() as snapshot:
        wanted = totals(trend(snapshot, MODEL, Filter(confidence=Range(0.11, 0.62)))).turns
    at = opened(store.path, "explore")
    assert turns_shown(at) > wanted > 0
    at.button(key="view-0").click().run()
    assert turns_shown(at) == wanted
