"""The Overview, run without a browser."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from analysis.change_points import Change
from analysis.period_comparison import SCHEMA
from data.queries.filters import Filter
from data.schema.trace import FAILURES
from data.store.store import Store
from data.store.workspace import set_target, targets
from parts.shared import headline as top
from report.contents import Events, events
from tests import scored
from tests.app import Open, press, texts, turns_shown

MARCH = date(2024, 3, 10)


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch, scored_store: Store) -> Events:
    """A change and a moved cell, which the Overview then shows instead of the store's own."""
    with scored_store.snapshot() as snapshot:
        days = (MARCH - timedelta(days=9), MARCH + timedelta(days=15))
        own = events(snapshot, scored.MODEL, Filter(), days)
    change = Change(
        "asr", (("locale", "en-GB"),), MARCH, MARCH + timedelta(days=3),
        0.03, 0.1, 12.0, 1e-6, 1e-5, "4.2",
    )  # fmt: skip
    row = {
        "failure_point": "nlu", "dimension": "version_asr", "value": "4.2",
        "turns_before": 50, "turns": 60, "before": 0.01, "after": 0.2, "change": 0.19,
        "low": 0.1, "high": 0.28, "extra_turns": 11.4, "p_value": 1e-5, "q_value": 1e-3,
        "significance": "almost certainly real",
    }  # fmt: skip
    moved = SCHEMA.empty_table().from_pylist([row], schema=SCHEMA)
    planted = Events(own.releases, [change], moved, 99, own.domains)
    monkeypatch.setattr(top, "_events", lambda *_: planted)
    return planted


def test_what_moved_is_listed_and_a_click_on_a_change_narrows_to_its_turns_and_days(
    opened: Open, scored_store: Store, happened: Events
) -> None:
    at = opened(scored_store.path)
    assert "ASR rose from 3.0 to 10.0" in texts(at).replace("\\", "").replace("\u2060", "")
    frame = next(table for table in at.dataframe if "Significance" in table.value.columns)
    assert frame.value["Significance"].tolist() == ["almost certainly real"]
    assert "99 cells" in texts(at)
    press(at, "Look closer")
    assert at.multiselect(key="locale").value == ["en-GB"]
    assert (at.date_input(key="since").value, at.date_input(key="until").value) == (
        MARCH,
        MARCH + timedelta(days=3),
    )
    linked = opened(scored_store.path, locale="en-GB", since="2024-03-10", until="2024-03-13")
    assert turns_shown(at) == turns_shown(linked)


def must_draw_everything(at: AppTest) -> None:
    charts = at.get("plotly_chart")
    assert len(charts) == 3
    assert all(chart.proto.alt for chart in charts)
    for title in ("Change points", "Period comparison", "Failure rate by domain", "Error budgets"):
        assert title in texts(at)


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2024-03-04", "until": "2024-03-04"},
        {"text": "song 17"},
        {"locale": "(not logged)"},
        {"failure_point": "asr"},
        {"not_device": "phone"},
    ],
)
def test_everything_is_drawn_with_any_filter(
    opened: Open, scored_store: Store, query: dict[str, str]
) -> None:
    must_draw_everything(opened(scored_store.path, **query))


def test_changes_are_those_between_the_periods(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, since="2024-03-12", until="2024-03-18")
    must_draw_everything(at)
    assert "12 March to 18 March 2024 against 5 March to 11 March 2024" in texts(at)
    assert all(metric.delta for metric in at.metric[:3])
    whole = opened(scored_store.path, since="2024-03-02")
    assert not any(metric.delta for metric in whole.metric)
    assert "nothing to compare with" in texts(whole)


def test_steps_can_be_weeks(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path)
    must_draw_everything(at)
    at.button_group(key="step").set_value("week").run()
    assert not at.exception
    assert "one per week" in at.get("plotly_chart")[0].proto.alt


def test_targets_are_set_here_and_shown_at_once(opened: Open, own_store: Store) -> None:
    store = own_store
    old = store.snapshot().version
    at = opened(store.path)
    assert "No stage has a target yet" in texts(at)
    at.number_input(key=f"target-asr-{old}").set_value(4.0)
    at.number_input(key=f"target-result-{old}").set_value(50.0)
    press(at, "Save")
    now = store.snapshot()
    assert at.query_params["at"] == now.version != old
    assert targets(now) == {"asr": 0.04, "result": 0.5}
    frame = next(table for table in at.dataframe if "Target" in table.value.columns).value
    assert frame["Stage"].tolist() == ["ASR", "Result"]
    assert "used up on" in frame["Status"][0]
    # A target of 0 is removed.
    at.number_input(key=f"target-asr-{now.version}").set_value(0.0)
    press(at, "Save")
    assert targets(store.snapshot()) == {"result": 0.5}


def test_a_store_that_cannot_be_written_says_so(
    opened: Open, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = own_store
    at = opened(store.path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("data.store.workspace.set_target", refuse)
    at.number_input(key=f"target-nlu-{store.snapshot().version}").set_value(4.0)
    press(at, "Save")
    said = texts(at)
    assert "You may not read or write" in said
    assert "permission denied" in said


def test_a_target_does_not_look_for_changes_again(
    opened: Open, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = own_store
    opened(store.path)
    set_target(store, FAILURES[0], 0.1)

    def again(*_: object) -> None:
        raise AssertionError("looked for again")

    monkeypatch.setattr("report.contents.events", again)
    at = opened(store.path)
    assert "Failed of allowed" in [c for table in at.dataframe for c in table.value.columns]
