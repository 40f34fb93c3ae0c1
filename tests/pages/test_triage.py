"""The Triage page, run without a browser."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from streamlit.testing.v1 import AppTest

from data.store import workspace
from data.store.store import Store
from tests.app import Open, follow, html, links, press, settled, texts, turn_rows
from tests.scored import NASTY

PHONES = "asr:device_type=phone"


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
    rows = turn_rows(at)
    assert len(rows) > 2
    follow(at, rows[1]["href"])
    assert (at.query_params["failing"], at.query_params["slice"]) == ("asr", PHONES)
    # The steps stay in the slice.
    for label, row in (("Next", rows[2]), ("Previous", rows[1]), ("Previous", rows[0])):
        press(at, f"{label} of these ASR defects in this slice")
        assert f"turn={at.query_params['turn']}&" in row["href"]
    follow(at, links(at)["← The slice"])
    assert turn_rows(at) == rows


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


def test_an_owner_has_a_link_to_what_is_theirs(opened: Open, own_phones_fail: Store) -> None:
    store = own_phones_fail
    workspace.set_ticket_prefix(store, "https://tickets.example/browse/")
    for key, owner in (
        (PHONES, "Ada"),
        ("nlu:device_type=speaker", "ada "),
        ("er:hour=08-12", "Bob"),
    ):
        workspace.set_triage(store, key, key.partition(":")[0], owner=owner, link="VA-12")
    with store.snapshot() as snapshot:
        turns = snapshot.query("FROM predictions ORDER BY turn_id LIMIT 2").to_pylist()
    workspace.assign_turns(store, turns, "asr", "Ada")
    at = opened(store.path, "triage", owner="ADA")
    assert "Slices of Ada" in texts(at)
    assert "ASR: phone" in at.header[0].value
    keys = [str(b.key) for b in at.button if str(b.key).startswith("mine-")]
    assert keys == [f"mine-slice-{PHONES}", "mine-slice-nlu:device_type=speaker"]
    assert "Assigned: 2 turns" in texts(at)
    # A slice of another failure point opens, too.
    at.button(key=keys[1]).click().run()
    assert (at.query_params["failing"], at.query_params["owner"]) == ("nlu", "ADA")
    assert "NLU: speaker" in at.header[0].value
    assert "owns no slice" in texts(opened(store.path, "triage", owner="Cyd"))


def test_a_slice_is_compared_with_another_by_choice_or_by_link(
    opened: Open, phones_fail: Store
) -> None:
    speakers = "asr:device_type=speaker"
    at = opened(phones_fail.path, "triage", slice=PHONES, versus=speakers)
    assert "This slice fails more often than the other" in texts(at)
    assert "turns in both" in html(at)
    at.selectbox(key=f"versus-{PHONES}").select(None).run()
    assert "versus" not in at.query_params
    assert "fails more often" not in texts(at)
    at = opened(phones_fail.path, "triage", slice=PHONES, versus="nlu:device_type=speaker")
    assert "cannot be compared" in texts(at)
    at = opened(phones_fail.path, "triage", slice=PHONES, versus="nonsense")
    assert "is not a slice" in texts(at)


def tick(at: AppTest, rows: list[int]) -> AppTest:
    """Tick rows of the table of turns, whose key is in the id that Streamlit makes of it."""
    (table,) = (t for t in at.dataframe if "bulk-turns" in t.proto.id)
    key = str(table.proto.id).split("-", 2)[2]
    at.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    return drawn(at)


def opened_bulk(opened: Open, store: Store, rows: list[int]) -> AppTest:
    return tick(drawn(opened(store.path, "triage", slice=PHONES)), rows)


def drawn(at: AppTest) -> AppTest:
    """The page with the section open, which a browser keeps open by itself."""
    at.session_state[f"bulk-{PHONES}"] = True
    at.run()
    assert not at.exception
    return at


def test_chosen_turns_are_labelled_together_and_taken_back(
    opened: Open, own_phones_fail: Store
) -> None:
    store = own_phones_fail
    at = opened_bulk(opened, store, [0, 2])
    assert at.button(key="bulk-label-button").disabled
    at.text_input(key="bulk-who").set_value("Ada").run()
    at.selectbox(key="bulk-label").select("nlu").run()
    drawn(press(at, "Label 2 turns"))
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM annotations").to_pylist()
    assert [(row["annotator"], row["failure_point"]) for row in rows] == [("Ada", "nlu")] * 2
    assert len({row["turn_id"] for row in rows}) == 2
    assert "Labelled 2 turns" in texts(at)
    drawn(press(at, "Undo"))
    assert store.snapshot().counts()["annotations"] == 0
    assert at.button(key="bulk-undo").disabled


def test_ticks_belong_to_the_turns_that_were_shown(opened: Open, own_phones_fail: Store) -> None:
    """Other filters show other turns in the same rows."""
    at = opened_bulk(opened, own_phones_fail, [0, 2])
    assert "2 turns chosen" in texts(at)
    at.multiselect(key="locale").set_value(["en-GB"]).run()
    assert "0 turns chosen" in texts(drawn(at))


def test_a_second_click_labels_nothing_twice(opened: Open, own_phones_fail: Store) -> None:
    store = own_phones_fail
    at = opened_bulk(opened, store, [0, 2])
    at.text_input(key="bulk-who").set_value("Ada").run()
    drawn(press(at, "Label 2 turns"))
    assert "0 turns chosen" in texts(at)
    assert at.button(key="bulk-label-button").disabled
    drawn(tick(at, [0, 2]))
    press(at, "Label 2 turns")
    assert store.snapshot().counts()["annotations"] == 2


def test_chosen_turns_are_assigned(opened: Open, own_phones_fail: Store) -> None:
    store = own_phones_fail
    at = opened_bulk(opened, store, [1])
    at.text_input(key="bulk-owner").set_value("Bob").run()
    drawn(press(at, "Assign 1 turn"))
    assert "Assigned 1 turn to Bob" in texts(at)
    with store.snapshot() as snapshot:
        (turn,) = workspace.assigned(snapshot)
    assert turn["owner"] == "Bob"
    assert "Assigned to Bob." in texts(opened(store.path, "turn", turn=turn["turn_id"]))


def test_no_slice_lists_how_many_others_it_hides(opened: Open, phones_fail: Store) -> None:
    at = opened(phones_fail.path, "triage", slice=PHONES)
    assert not re.search(r"\d more\b", html(at) + texts(at))
    assert "log-odds" not in "".join(str(caption.value) for caption in at.caption[:6])


def test_the_prefix_of_tickets_is_set_on_the_page(opened: Open, own_phones_fail: Store) -> None:
    store = own_phones_fail
    at = opened(store.path, "triage", slice=PHONES)
    field = next(f for f in at.text_input if f.label.startswith("What stands before"))
    field.set_value("https://tickets.example/browse/")
    at.button(key="FormSubmitter:ticket-prefix-Save the prefix").click().run()
    assert not at.error
    next(f for f in at.text_input if f.label == "Ticket").set_value("VA-7")
    at.button(key=f"FormSubmitter:decision-{PHONES}-Save").click().run()
    assert not at.error
    addresses = [block.proto.url for block in at.get("link_button")]
    assert "https://tickets.example/browse/VA-7" in addresses
