"""Making an alert of a view, and what can be done about those that there are."""

from __future__ import annotations

from datetime import UTC, datetime

from streamlit.testing.v1 import AppTest

from alerts.desk import run
from alerts.settings import settings
from data.store import workspace
from data.store.store import Store
from tests.app import Open, press, texts

MAKE = "FormSubmitter:alert-rate-Make the alert"
NAME = "**Phones** [a](http://x.example)"


def fill_form(at: AppTest, bound: float) -> AppTest:
    at.selectbox(key="alert-point-rate").set_value("asr")
    at.number_input(key="alert-bound-rate").set_value(bound)
    at.number_input(key="alert-days-rate").set_value(28)
    at.text_input(key="alert-name-rate").set_value(NAME)
    at.button(key=MAKE).click().run()
    assert not at.exception
    return at


def kept(store: Store) -> list[dict[str, object]]:
    with store.snapshot() as snapshot:
        return list(workspace.alerts(snapshot))


def test_an_alert_of_the_view_is_made_acknowledged_muted_and_removed(
    opened: Open, own_phones_fail: Store
) -> None:
    at = fill_form(opened(own_phones_fail.path, device="phone", since="2024-03-05"), 50.0)
    (row,) = kept(own_phones_fail)
    assert (row["query"], row["failure_point"], row["bound"]) == ("device=phone", "asr", 0.5)
    assert "not evaluated yet" in texts(at)
    # A second one of the same name is refused, with the reason.
    fill_form(at, 60.0)
    assert "There is an alert called" in texts(at)
    assert len(kept(own_phones_fail)) == 1
    run(own_phones_fail, settings({}), now=datetime(2024, 6, 1, tzinfo=UTC))
    at = opened(own_phones_fail.path)
    assert "firing" in texts(at)
    assert "\\*\\*Phones" in texts(at)
    at.text_input(key=f"alert-by-{row['alert_id']}").set_value("Ada")
    press(at, "I look at it")
    assert "Ada looks at it since" in texts(at)
    press(at, "Mute")
    assert "firing, muted" in texts(at)
    press(at, "Remove")
    assert kept(own_phones_fail) == []


def test_a_view_with_words_makes_no_alert(opened: Open, own_phones_fail: Store) -> None:
    at = fill_form(opened(own_phones_fail.path, text="play"), 50.0)
    assert "take the filter on words out" in texts(at)
    assert kept(own_phones_fail) == []


def test_a_view_of_explore_makes_an_alert(opened: Open, own_phones_fail: Store) -> None:
    at = opened(own_phones_fail.path, page="explore", device="phone")
    fill_form(at, 50.0)
    (row,) = kept(own_phones_fail)
    assert (row["query"], row["failure_point"]) == ("device=phone", "asr")


def test_a_slice_of_triage_makes_an_alert(opened: Open, own_phones_fail: Store) -> None:
    key = "asr:device_type=phone"
    at = opened(own_phones_fail.path, page="triage", slice=key)
    # The slice's own failure point is chosen already.
    assert at.selectbox(key="alert-point-rate").value == "asr"
    at.text_input(key="alert-name-rate").set_value("Slice")
    at.button(key=MAKE).click().run()
    assert not at.exception
    assert "The alert is made." in texts(at)
    (row,) = kept(own_phones_fail)
    assert (row["query"], row["failure_point"]) == ("device=phone", "asr")
