"""The pages Explore and Data, run without a browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from streamlit.testing.v1 import AppTest

import data
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.queries.filters import Filter, Range
from data.queries.overview import totals, trend
from data.store import workspace
from data.store.store import Store
from tests.app import (
    Open,
    follow,
    html,
    links,
    press,
    settled,
    texts,
    turn_rows,
    turns_shown,
)
from tests.scored import MODEL, NASTY


def columns(at: AppTest) -> list[str]:
    """The columns of each table, joined by commas."""
    return [",".join(map(str, frame.value.columns)) for frame in at.dataframe]


def key_of(at: AppTest) -> str:
    """The key of the first table, from the id that Streamlit makes of it."""
    return str(at.dataframe[0].proto.id).split("-", 2)[2]


def test_the_page_named_data_does_not_replace_the_package(
    opened: Open, scored_store: Store
) -> None:
    opened(scored_store.path, "data")
    assert sys.modules["data"] is data
    assert Path(str(data.__file__)).name == "__init__.py"


@pytest.mark.parametrize("part", ["drift", "storage"])
def test_the_data_page_needs_no_predictions(opened: Open, unscored_store: Store, part: str) -> None:
    at = opened(unscored_store.path, "data", part=part)
    assert len(at.metric) == 4
    # What they would need is said below.
    assert texts(at).index(part.capitalize()) < texts(at).index("First: score the turns")


def test_explore_counts_the_turns_and_cuts_them_by_the_chosen_dimensions(
    opened: Open, scored_store: Store
) -> None:
    at = opened(scored_store.path, "explore")
    assert turns_shown(at) == scored_store.snapshot().counts()["predictions"]
    assert any(names.startswith("Domain,") for names in columns(at))
    at.selectbox(key="explore-w-rows").select("assistant").run()
    at.selectbox(key="explore-w-cols").select("none").run()
    assert at.query_params["rows"] == "assistant"
    assert "Assistant,All" in columns(at)


@pytest.mark.parametrize(
    ("rows", "measure"),
    [
        *(
            (rows, "turns")
            for rows in ("assistant", "day", "week", "hour", "confidence", "verdict")
        ),
        ("assistant", "rate"),
    ],
)
def test_a_cell_narrows_the_filters_to_its_turns(
    opened: Open, scored_store: Store, rows: str, measure: str
) -> None:
    at = opened(scored_store.path, "explore", rows=rows, cols="none", measure=measure)
    frame = at.dataframe[0].value
    key = key_of(at)
    at.session_state[key] = {"selection": {"rows": [], "columns": [], "cells": [(0, "All")]}}
    at.run()
    assert not at.exception
    press(at, "Narrow")
    if measure == "turns":
        assert turns_shown(at) == int(frame["All"][0])


def test_a_link_carries_the_choices_of_the_page(opened: Open, scored_store: Store) -> None:
    at = opened(
        scored_store.path,
        "explore",
        show="table",
        order="oldest",
        columns="heard,turn_id",
        device="phone",
    )
    rows = turn_rows(at)
    assert set(rows[0]) == {"Heard", "Turn id", "href"}
    assert rows[0]["Turn id"].startswith("d00")
    sql = opened(scored_store.path, "explore", show="sql", sql="SELECT 7 AS x")
    assert sql.session_state["explore-w-sql"] == "SELECT 7 AS x"


@pytest.mark.parametrize(
    ("page", "query", "words"),
    [
        ("explore", {"rows": "nosuch"}, "Unknown rows=nosuch; give one of domain, "),
        ("explore", {"show": "42"}, "Unknown show=42; give one of pivot, table, sql"),
        ("explore", {"order": "'; DROP"}, "Unknown order='; DROP"),
        ("explore", {"columns": "heard,reasons"}, "Unknown column reasons"),
        ("explore", {"show": "table", "page": "0"}, "Invalid page=0"),
        ("data", {"part": "../etc"}, "Unknown part=../etc"),
        ("model", {"look": "up"}, "Unknown look=up"),
        ("annotate", {"task": "x"}, "Unknown task=x"),
        ("triage", {"failing": "NLU"}, "failing=NLU is not a failure point"),
        ("turn", {"turn": "d001-0", "list": "x"}, "Unknown list=x"),
        ("turn", {"turn": "d001-0", "back": "x"}, "Unknown back=x"),
        ("turn", {"turn": "d001-0", "day": "tomorrow"}, "Invalid day day=tomorrow"),
        (None, {"order": "x"}, "Unknown order=x"),
        (None, {"called": "nlu"}, "called=nlu, which this page does not know; did you mean fail"),
        (None, {"Device": "phone"}, "did you mean device?"),
        (None, {"rows": "domain"}, "rows=domain, which this page does not know"),
        ("data", {"x": ""}, "x=, which this page does not know"),
    ],
)
def test_what_a_link_has_wrong_is_named(
    opened: Open, scored_store: Store, page: str | None, query: dict[str, str], words: str
) -> None:
    address = {key: value for key, value in query.items() if key != "page"}
    at = opened(scored_store.path, page, **address)
    if "page" in query:
        at.query_params["page"] = query["page"]
        at.run()
    assert words in texts(at)
    press(at, "Clear the filters")
    assert words not in texts(at)


def test_odd_texts_are_shown_as_they_are(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore", show="table", text="<img")
    assert turn_rows(at)[0]["Heard"].startswith(NASTY[:20])
    assert "<img" not in html(at)


def test_a_row_opens_its_turn(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore", show="table", columns="turn_id", device="phone")
    first = turn_rows(at)[0]
    follow(at, first["href"])
    assert at.query_params["turn"] == first["Turn id"]
    assert at.query_params["device"] == "phone"
    follow(at, links(at)["← Explore"])
    assert turn_rows(at)[0] == first


@pytest.mark.parametrize("head", ["P(defect)", "Heard", "Words", "ASR confidence", "Device"])
def test_a_head_sorts_all_rows_either_way_and_steps_follow_it(
    opened: Open, scored_store: Store, head: str
) -> None:
    names = {"Words": "words", "ASR confidence": "asr_confidence", "Device": "device_type"}
    column = {"P(defect)": "p_defect", "Heard": "heard", **names}[head]
    at = opened(scored_store.path, "explore", show="table", columns=f"turn_id,{column}")
    for falls in (column in ("p_defect", "words", "asr_confidence"),) * 2:
        marks = [words for words in links(at) if words.startswith(head)]
        falls ^= any("↓" in words or "↑" in words for words in marks)
        follow(at, links(at)[marks[0]])
        with scored_store.snapshot() as snapshot:
            expected = snapshot.query(
                f"SELECT turn_id FROM predictions ORDER BY {column} {'DESC' if falls else ''} "
                "NULLS LAST, turn_id"
            )["turn_id"].to_pylist()
        rows = turn_rows(at)
        assert [row["Turn id"] for row in rows] == expected[: len(rows)]
    here = expected[len(rows) // 2 : len(rows) // 2 + 2]
    follow(at, rows[len(rows) // 2]["href"])
    press(at, "Next of these turns")
    assert at.query_params["turn"] == here[1]
    press(at, "Previous of these turns")
    assert at.query_params["turn"] == here[0]


def wait_for_answer(at: AppTest) -> None:
    _, running = at.session_state["explore-run"]
    running._thread.join(60)
    at.run()


def test_a_statement_is_run_and_its_errors_are_shown(opened: Open, scored_store: Store) -> None:
    sql = "SELECT count(*) AS n FROM slice"
    at = opened(scored_store.path, "explore", show="sql", sql=sql, device="phone")
    press(at, "Run")
    wait_for_answer(at)
    assert at.dataframe[0].value["n"].tolist() == [turns_shown(at)]
    # As the component reports it when it loses the focus.
    at.session_state["explore-w-sql"] = "SELECT nosuch"
    at.run()
    assert at.query_params["sql"] == "SELECT nosuch"
    press(at, "Run")
    wait_for_answer(at)
    assert "DuckDB cannot run this" in texts(at)


def test_a_statement_that_cannot_be_started_says_why(
    opened: Open, scored_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UsageError("too many statements are running")

    at = opened(scored_store.path, "explore", show="sql", sql="SELECT 1 AS x")
    with monkeypatch.context() as patch:
        patch.setattr("parts.explore.sql_editor.start", refuse)
        press(at, "Run")
    assert "too many statements are running" in texts(at)
    press(at, "Run")
    assert "too many statements are running" not in texts(at)
    wait_for_answer(at)
    assert at.dataframe[0].value["x"].tolist() == [1]


def test_a_running_statement_can_be_stopped(opened: Open, scored_store: Store) -> None:
    sql = "SELECT count(*) FROM range(1000000000000) a, range(9) b"
    at = opened(scored_store.path, "explore", show="sql", sql=sql)
    press(at, "Run")
    at.button(key="explore-stop").click().run()
    wait_for_answer(at)
    assert "stopped" in texts(at)


def test_a_view_is_saved_opened_and_forgotten(opened: Open, own_store: Store) -> None:
    at = opened(own_store.path, "explore", rows="assistant", device="phone", of="asr")
    phones = turns_shown(at)
    at.text_input(key="view-name").set_value("Phones **bold**")
    press(at, "Save this view")
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
    fresh.button(key="delete-0").click().run()
    assert workspace.views(own_store.snapshot()) == []


def test_an_invalid_view_is_reported(opened: Open, own_store: Store) -> None:
    workspace.save_view(own_store, "old", "explore", urlencode({"words": "many"}))
    at = opened(own_store.path, "explore")
    at.button(key="view-0").click().run()
    assert not at.exception
    assert "Invalid range" in texts(at)
    workspace.drop_view(own_store, "old")


@pytest.mark.parametrize(
    ("part", "query"),
    [
        ("arrivals", {}),
        ("signals", {}),
        ("drift", {}),
        ("storage", {}),
        # No turn lies within these days.
        *(
            (part, {"since": "2024-03-10", "until": "2024-03-08"})
            for part in ("arrivals", "signals", "drift")
        ),
    ],
)
def test_every_part_of_the_data_page_is_drawn(
    opened: Open, scored_store: Store, part: str, query: dict[str, str]
) -> None:
    at = opened(scored_store.path, "data", part=part, **query)
    assert len(at.metric) == 4
    assert at.subheader


def test_quarantined_lines_are_shown(opened: Open, own_store: Store, tmp_path: Path) -> None:
    store = own_store
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"turn_id": 3, "odd": NASTY}) + "\n")
    ingest(store, [bad])
    at = opened(store.path, "data")
    assert any("turn_id" in block.value for block in at.code)
    assert "\u202e" not in texts(at)


def test_compaction_runs_from_the_page(opened: Open, own_store: Store) -> None:
    at = opened(own_store.path, "data", part="storage")
    settled(press(at, "Compact now"))
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
def test_a_filter_on_a_value_that_does_not_occur_is_kept(
    opened: Open, scored_store: Store, query: dict[str, str]
) -> None:
    at = opened(scored_store.path, "explore", **query)
    assert "All turns" not in texts(at)
    assert at.button(key=f"chip-locale-{query['locale']}") if "locale" in query else True


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"source": "xyz"}, "Unknown source=xyz"),
        ({"failure_point": "tts"}, "Unknown failure_point=tts"),
        ({"stage": "tts"}, "Unknown stage=tts"),
        ({"version": "asr"}, "names no stage"),
        ({"since": "2031-01-01"}, "leaves no day"),
        ({"until": "1999-01-01"}, "leaves no day"),
        ({"since": "banana"}, "banana"),
    ],
)
def test_an_invalid_filter_is_reported_and_can_be_cleared(
    opened: Open, scored_store: Store, query: dict[str, str], words: str
) -> None:
    at = opened(scored_store.path, "explore", **query)
    assert words in texts(at)
    press(at, "Clear the filters")
    assert words not in texts(at)
    assert "All turns" in texts(at)


def test_a_view_keeps_values_that_the_filter_bar_does_not_offer(
    opened: Open, own_store: Store
) -> None:
    store = own_store
    workspace.save_view(store, "mine", "explore", urlencode({"confidence": "0.11..0.62"}))
    with store.snapshot() as snapshot:
        expected = totals(trend(snapshot, MODEL, Filter(confidence=Range(0.11, 0.62)))).turns
    at = opened(store.path, "explore")
    assert turns_shown(at) > expected > 0
    at.button(key="view-0").click().run()
    assert turns_shown(at) == expected
