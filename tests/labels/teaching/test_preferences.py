"""What was taught: in the store, and applied to requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data.errors import UsageError
from data.store.maintenance import delete
from data.store.store import Store
from labels.teaching.dialogue import Lesson
from labels.teaching.logged import from_logs
from labels.teaching.moments import moments
from labels.teaching.preferences import count_uses, edit, forget, preferences, put, row_of
from labels.teaching.taught import Taught
from tests.labels.feedback.spoken import said, store_of

AT = datetime(2024, 5, 1, 9, 0, tzinfo=UTC)
COSY = Lesson("concept", "cosy time", "dim the lights to 30", said="when i say …", turn_ids=("t1",))


def row(lesson: Lesson = COSY, user: str = "u", **fields: Any) -> dict[str, Any]:
    return {**row_of(lesson, user, AT), **fields}


def listed(store: Store, **chosen: Any) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return preferences(snapshot, **chosen).to_pylist()


def test_it_is_stored_listed_edited_used_and_forgotten(store: Store) -> None:
    (chosen,) = put(store, [row()])
    put(store, [row(Lesson("preference", "station", "jazz fm"), "v")])
    (mine,) = listed(store, user_id="u")
    assert mine == row()
    assert edit(store, chosen, value="dim the lights to 40")["value"] == "dim the lights to 40"
    assert count_uses(store, {chosen: 2, "unknown": 1}, AT + timedelta(days=1)) == 1
    count_uses(store, {chosen: 1}, AT)
    (mine,) = listed(store, user_id="u")
    assert (mine["used"], mine["last_used_at"]) == (3, AT + timedelta(days=1))
    assert forget(store, user_id="u", name="Cosy Time!") == 1
    assert [one["user_id"] for one in listed(store)] == ["v"]
    assert forget(store, user_id="v") == 1
    assert listed(store) == []


def test_the_same_taught_again_replaces_it(store: Store) -> None:
    put(store, [row()])
    put(store, [row(Lesson("concept", "Cosy  time", "turn off the lights"))])
    assert [one["value"] for one in listed(store)] == ["turn off the lights"]


def test_scope_and_expiry_are_edited(store: Store) -> None:
    (chosen,) = put(store, [row(Lesson("preference", "name", "bob", lasts=timedelta(days=7)))])
    assert listed(store, at=AT + timedelta(days=8)) == []
    edited = edit(store, chosen, scope="car", keep=True)
    assert edited["expires_at"] is None
    (mine,) = listed(store, at=AT + timedelta(days=8))
    assert (mine["scope"], mine["preference_id"]) == ("car", edited["preference_id"])
    assert edited["preference_id"] != chosen


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda store: edit(store, "nope", value="x"), "no preference 'nope'"),
        (lambda store: edit(store, "nope", value=" "), "empty"),
        (lambda store: forget(store), "Say what to forget"),
        (lambda store: put(store, [row_of(Lesson("concept", "", "x"), "u", AT)]), "name"),
        (lambda store: put(store, [row_of(COSY, "", AT)]), "user"),
    ],
)
def test_errors_say_what_to_do(store: Store, wrong: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wrong(store)


def test_deleting_a_user_deletes_what_they_taught(tmp_path: Path) -> None:
    store = store_of(tmp_path, [said("a", 0, "x", user_id="u"), said("b", 0, "y", user_id="v")])
    put(store, [row(), row(user="v")])
    delete(store, user_ids=["u"])
    assert [one["user_id"] for one in listed(store)] == ["v"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cosy time", "dim the lights to 30"),
        ("Cosy time, please!", "dim the lights to 30"),
        ("make it cosy time", "dim the lights to 30"),
        ("cosie time", "dim the lights to 30"),
        ("cosy", None),
        ("play cosy time radio", None),
        ("", None),
    ],
)
def test_a_phrase_means_what_its_user_taught(text: str, expected: str | None) -> None:
    taught = Taught([row()])
    meaning = taught.meaning(text, "u", at=AT)
    assert (meaning and meaning.text) == expected
    assert taught.meaning(text, "v", at=AT) is None


def test_a_device_goes_first_and_what_is_over_does_not_hold() -> None:
    here = Lesson("concept", "cosy time", "play jazz", scope="tv", lasts=timedelta(days=1))
    taught = Taught([row(), row(here)])
    tv = taught.meaning("cosy time", "u", "tv", AT)
    assert tv is not None
    assert tv.text == "play jazz"
    later = taught.meaning("cosy time", "u", "tv", AT + timedelta(days=2))
    assert later is not None
    assert later.text == "dim the lights to 30"
    assert taught.meaning("cosy time", "u", "tv", AT - timedelta(days=1)) is None


def test_a_preference_fills_a_slot_and_breaks_a_tie() -> None:
    station = Lesson("preference", "radio station", "jazz fm")
    taught = Taught([row(station), row(Lesson("preference", "fan", "warriors"))])
    value = taught.value("station", "u", at=AT)
    assert value is not None
    assert value.text == "jazz fm"
    assert taught.value("room", "u", at=AT) is None
    tie = taught.preferred(["Golden State Warriors", "Warrior"], "u", at=AT)
    assert tie is not None
    assert tie[0] == 0
    assert taught.preferred(["Jazz FM", "jazz fm"], "u", at=AT) is None
    assert taught.preferred(["Rock FM"], "u", at=AT) is None


def test_it_is_there_on_the_next_request_and_gone_when_forgotten() -> None:
    taught = Taught()
    mine = row()
    taught.add(mine)
    assert taught.meaning("cosy time", "u", at=AT) is not None
    assert taught.rows("u") == [mine]
    taught.drop(mine["preference_id"])
    assert taught.meaning("cosy time", "u", at=AT) is None


FAILS = {"result": {"status": "error", "response": "sorry"}}
DAY = 86_400


def test_moments_are_found_and_not_too_often(tmp_path: Path) -> None:
    turns = [
        said("a", 0, "play my mix", at=0, user_id="u", **FAILS),
        said("b", 0, "Play my  mix", at=100, user_id="u", **FAILS),
        said("c", 0, "play my mix", at=200, user_id="u", **FAILS),
        said("d", 0, "play my mix", at=8 * DAY, user_id="u", **FAILS),
        said("e", 0, "play my mix", at=90, user_id="v", **FAILS),
        said("f", 0, "lights", at=0, user_id="w", feedback={"explicit": "no"}),
        said("g", 0, "learn my preferences", at=1, user_id="w"),
        said("h", 0, "play my mix", at=0, **FAILS),
        said("i", 0, "play my mix", at=9, **FAILS),
    ]
    store = store_of(tmp_path, turns)
    with store.snapshot() as snapshot:
        found = moments(snapshot).to_pylist()
    assert [(m["turn_id"], m["why"], m["times"], m["due"]) for m in found] == [
        ("b.0", "keeps failing", 2, True),
        ("c.0", "keeps failing", 3, False),
        ("d.0", "keeps failing", 4, True),
        ("f.0", "said it was wrong", 1, True),
        ("g.0", "asked to learn", 0, True),
    ]
    put(store, [row(Lesson("concept", "play my mix", "play jazz fm"))])
    with store.snapshot() as snapshot:
        assert {m["user_id"] for m in moments(snapshot).to_pylist()} == {"w"}


def test_an_empty_store_has_no_moments(store: Store) -> None:
    with store.snapshot() as snapshot:
        assert moments(snapshot).num_rows == 0


def test_what_was_taught_in_the_logs_is_taken_over(tmp_path: Path) -> None:
    teach: dict[str, Any] = {"result": {"action": "teach", "status": "ok"}}
    offers: dict[str, Any] = {"result": {"status": "error", "acts": [{"act": "offer_teaching"}]}}
    used: dict[str, Any] = {"nlu": {"hypotheses": [], "signals": {"taught": 1.0}}}
    turns = [
        said("a", 0, "play my mix", user_id="u", **offers),
        said("a", 1, "yes please", user_id="u", **teach),
        said("a", 2, "play jazz fm", user_id="u", **teach),
        said("a", 3, "yes", user_id="u", **teach),
        said("a", 4, "play my mix", user_id="u", **used),
        # Nobody asked the assistant to remember this: another stage understood it.
        said("b", 0, "my favourite station is jazz fm", at=200, user_id="v"),
        said("b", 1, "yes", at=210, user_id="v"),
        said("c", 0, "i'm a warriors fan", at=300, user_id="w", **teach),
        said("c", 1, "yes", at=310, user_id="w", **teach),
        said("d", 0, "forget fan", at=400, user_id="w", **teach),
        said("d", 1, "yes", at=410, user_id="w", **teach),
    ]
    with store_of(tmp_path, turns).snapshot() as snapshot:
        (found,) = from_logs(snapshot).to_pylist()
    assert (found["user_id"], found["name"], found["value"]) == ("u", "play my mix", "play jazz fm")
    assert (found["turn_ids"], found["used"]) == (["a.1", "a.2", "a.3"], 1)
