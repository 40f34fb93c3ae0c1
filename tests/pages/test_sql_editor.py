"""The SQL editor of Explore: what is typed, run, remembered and drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, expect
from streamlit.testing.v1 import AppTest

from data.export.sandbox import run
from data.export.sql_examples import EXAMPLES
from data.queries.filters import Filter
from data.queries.visibility import RULES
from data.schema.columns import columns
from data.schema.layout import TABLES
from data.store.store import Store
from parts.explore.code_editor import completions, tables
from tests.app import Open, press, texts
from tests.browser import Watch, browse, chromium, served
from tests.pages.test_browser import check
from tests.scored import MODEL

TEXT = "explore-w-sql"


def answered(at: AppTest) -> AppTest:
    """Press Run, and wait for the answer."""
    press(at, "Run")
    _, statement = at.session_state["explore-run"]
    statement._thread.join(60)
    at.run()
    assert not at.exception
    return at


def reported(at: AppTest, **report: Any) -> AppTest:
    """The page after the component has reported something, as a browser sends it."""
    at.session_state["explore-editor"] = report
    at.run()
    assert not at.exception
    return at


# -- examples and schema ---------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_every_example_runs(scored_store: Store, example: Any) -> None:
    with scored_store.snapshot() as snapshot:
        answer = run(snapshot, example.sql, model=MODEL, chosen=Filter(device=("phone", "speaker")))
    # Nobody's gold says a failure point in this store.
    assert answer.rows > 0 or "labelled" in example.sql


def test_there_are_five_examples() -> None:
    assert len({example.sql for example in EXAMPLES}) == len(EXAMPLES) == 5


@pytest.mark.parametrize("table", TABLES)
def test_the_schema_has_every_column_with_its_type(table: str) -> None:
    listed = columns(table)
    assert [c.path for c in listed if not c.nested] == list(TABLES[table].columns)
    assert all(c.kind and "STRUCT(" not in c.kind for c in listed)


def test_fields_of_nested_columns_have_their_own_line() -> None:
    kinds = dict(columns("turns"))
    assert kinds["asr.hypotheses"] == "STRUCT[]"
    assert kinds["asr.hypotheses[].text"] == "VARCHAR"
    assert kinds["wake.signals"] == "MAP(VARCHAR, DOUBLE)"


def test_what_is_completed_is_what_may_be_read() -> None:
    offered = {c["value"] for c in completions()}
    assert {"slice", *RULES} <= offered
    assert {"p_defect", "asr.audio_ms", "asr.hypotheses", "started_at"} <= offered
    assert not any("[" in value for value in offered)
    assert tables() == ["slice", *RULES]


# -- running ---------------------------------------------------------------------------------------


def test_an_error_shows_its_line_and_what_was_meant(opened: Open, scored_store: Store) -> None:
    sql = "SELECT device_type,\n  localle\nFROM slice"
    at = answered(opened(scored_store.path, "explore", show="sql", sql=sql))
    assert "Line 2, column 3: there is no column “localle” (did you mean “locale”?)" in texts(at)
    assert "  localle\n  ^" in [block.value for block in at.code]


def test_the_result_is_a_chart_with_one_click(opened: Open, scored_store: Store) -> None:
    sql = "SELECT device_type, count(*) AS n FROM slice GROUP BY 1"
    at = answered(opened(scored_store.path, "explore", show="sql", sql=sql))
    assert list(at.dataframe[0].value.columns) == ["device_type", "n"]
    for kind in ("bar", "line"):
        at.session_state["explore-answer-as"] = kind
        at.run()
        assert not at.exception
        assert len(at.get("plotly_chart")) == 1
        # The schema stays a table.
        assert [list(frame.value.columns) for frame in at.dataframe] == [["Column", "Type"]]
    # It can be exported as well.
    assert [b.proto.label for b in at.get("download_button")][-3:] == ["Parquet", "CSV", "JSONL"]


def test_a_result_without_numbers_says_why_there_is_no_chart(
    opened: Open, scored_store: Store
) -> None:
    at = answered(opened(scored_store.path, "explore", show="sql", sql="SELECT 'a' AS x"))
    at.session_state["explore-answer-as"] = "line"
    at.run()
    assert not at.exception
    assert "A chart needs a column of numbers" in texts(at)


def test_statements_of_the_session_are_remembered(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore", show="sql", sql="SELECT 1 AS one")
    answered(at)
    at.session_state[TEXT] = "SELECT nosuch"
    answered(at.run())
    # The same again is not remembered twice.
    answered(at)
    past = [text for text, _ in at.session_state["explore-history"]]
    assert past == ["SELECT nosuch", "SELECT 1 AS one"]
    menu = at.get("menu_button")[1].proto
    assert "SELECT 1 AS one · 1 row" in list(menu.options)
    assert any("nosuch" in option and "DuckDB" in option for option in menu.options)


def test_a_statement_that_is_too_long_is_refused(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore", show="sql")
    at.session_state[TEXT] = f"SELECT 1 AS x -- {'x' * 20_000}"
    at.run()
    assert "too long to be kept in the link" in texts(at)
    assert "sql" not in at.query_params
    press(at, "Run")
    assert "at most 20 000" in texts(at).replace("\u2009", " ")


# -- what the component reports --------------------------------------------------------------------


def test_ctrl_enter_runs_and_losing_the_focus_does_not(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "explore", show="sql")
    reported(at, id="1", type="blur", text="SELECT 1 AS x\n")
    assert at.session_state[TEXT] == "SELECT 1 AS x"
    assert at.query_params["sql"] == "SELECT 1 AS x"
    assert "explore-run" not in at.session_state
    reported(at, id="2", type="submit", text="SELECT 2 AS x")
    (_, text, _), _ = at.session_state["explore-run"]
    assert text == "SELECT 2 AS x"


@pytest.mark.parametrize(
    "report",
    [
        {"id": "1", "type": "submit", "text": "SELECT '\ud800' AS x"},
        {"id": "1", "type": "submit", "text": "\x00"},
        {"id": "1", "type": "submit", "text": ""},
        {"id": "1", "type": ["submit"], "text": "SELECT 1"},
        {"id": {"a": 1}, "type": "submit", "text": "SELECT 1"},
        {"id": "1", "type": "submit", "text": 7},
        {"id": "1", "type": "submit"},
        {"id": "1", "type": "submit", "text": "x" * 100_000},
    ],
)
def test_whatever_is_reported_the_page_stands(
    opened: Open, scored_store: Store, report: dict[str, Any]
) -> None:
    at = opened(scored_store.path, "explore", show="sql")
    reported(at, **report)
    at.run()
    assert not at.exception


# -- in a browser ----------------------------------------------------------------------------------

browser = pytest.mark.skipif(
    chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
)


@pytest.fixture(scope="module")
def address(scored_store: Store) -> Iterator[str]:
    with served(scored_store.path) as url:
        yield url


def editor(watch: Watch) -> FrameLocator:
    """The editor's frame, ready to be typed into."""
    frame = watch.page.frame_locator("iframe[title*=code_editor]")
    frame.locator(".ace_content").first.click()
    return frame


@browser
@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True])
def test_the_editor_highlights_completes_and_runs_without_a_network(
    address: str, dark: bool
) -> None:
    with browse(dark=dark) as watch:
        page = watch.page
        page.goto(f"{address}/explore?show=sql")
        watch.settle()
        frame = editor(watch)
        expect(frame.locator(".ace_keyword").first).to_have_text("SELECT")
        page.keyboard.press("Control+A")
        page.keyboard.type("SELECT device_ty", delay=20)
        popup = frame.locator(".ace_autocomplete .ace_line").first
        expect(popup).to_contain_text("VARCHAR")
        page.keyboard.press("Tab")
        # Enter is a new line, suggestions or not.
        page.keyboard.type(", count(*) AS n\nFROM slice\nGROUP BY 1")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("radio", name="Bar")).to_be_visible(timeout=30_000)
        assert "sql=SELECT+device_type%2C+count%28%2A%29+AS+n%0AFROM+slice" in page.url
        page.get_by_text("Bar", exact=True).click()
        expect(page.locator(".js-plotly-plot .barlayer .point").first).to_be_attached(
            timeout=30_000
        )
        # A click on Run takes what was typed a moment before.
        editor(watch)
        page.keyboard.press("Control+A")
        page.keyboard.type("SELECT localle\nFROM slice")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_text("did you mean “locale”")).to_be_visible(timeout=30_000)
        expect(frame.locator(".ace_gutter-cell.ace_error")).to_have_count(1)
        page.get_by_role("button", name="History").click()
        page.get_by_text("SELECT device_type, count(*) AS n").first.click()
        expect(frame.locator(".ace_text-layer").first).to_contain_text("device_type")
        # The keyboard is not caught.
        editor(watch)
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        check(watch)
