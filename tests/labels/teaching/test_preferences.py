"""What was taught: in the store, and applied to requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import pyarrow as pa
import pytest

from data.errors import UsageError
from data.ingest.ingest import ingest
from data.store.retention import retain
from data.store.store import Store
from data.store.turn_deletion import delete
from labels.teaching.conversation import Conversation
from labels.teaching.dialogue import Lesson
from labels.teaching.logged import collect, from_logs, nobodys
from labels.teaching.moments import moments
from labels.teaching.preferences import count_uses, edit, forget, preferences, put, row_of
from labels.teaching.taught import Taught
from tests.labels.feedback.spoken import START, said, store_of
from tests.logs import write_lines

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
        (lambda store: row_of(replace(COSY, value="x" * 501), "u", AT), r"501 characters.* 500"),
        (lambda store: edit(store, "nope", value="x" * 501), r"501 characters.* 500"),
        (lambda store: forget(store, ["nope", "nay"]), "'nay' or 'nope'"),
        (lambda store: forget(store, ["nope"], user_id="u"), "either ids, or a user"),
        (lambda store: forget(store, ["nope"], name="tea"), "either ids, or a user"),
    ],
)
def test_errors_say_what_to_do(store: Store, wrong: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wrong(store)


def test_moving_to_a_device_destroys_nothing(store: Store) -> None:
    green, black = (
        row(Lesson("preference", "tea", value, scope)) for value, scope in (("green", "user"),
                                                                           ("black", "car"))
    )  # fmt: skip
    chosen, other = put(store, [green, black])
    with pytest.raises(UsageError, match=f"'tea' for the scope 'car', too: .*'black'.*{other}"):
        edit(store, chosen, scope="car")
    for wrong in ("x\x1fy", "toaster", "television"):
        with pytest.raises(UsageError, match=r"no device type of the store.* car, "):
            edit(store, chosen, scope=wrong)
    assert sorted(one["value"] for one in listed(store)) == ["black", "green"]
    # The scope that it has already, too, is one.
    assert edit(store, other, scope="car", value="red")["value"] == "red"


def test_a_device_type_is_one_that_turns_were_said_to(tmp_path: Path) -> None:
    store = store_of(tmp_path, [said("a", 0, "x", user_id="u", device={"type": "fridge"})])
    (chosen,) = put(store, [row()])
    assert edit(store, chosen, scope="fridge")["scope"] == "fridge"


def test_only_what_both_user_and_name_say_is_forgotten(store: Store) -> None:
    tea = Lesson("preference", "tea", "green")
    put(store, [row(tea, "ann"), row(tea, "cy"), row(user="cy")])
    ids = [one["preference_id"] for one in listed(store)]
    with pytest.raises(UsageError, match="'nope'"):
        forget(store, [ids[0], "nope"])
    assert forget(store, user_id="cy", name="tea") == 1
    assert [(one["user_id"], one["name"]) for one in listed(store)] == [
        ("ann", "tea"), ("cy", "cosy time"),
    ]  # fmt: skip


def test_a_user_without_a_name_keeps_nobody_from_collecting(tmp_path: Path) -> None:
    teach: dict[str, Any] = {"result": {"action": "teach"}}
    turns = [
        said(dialogue, number, text, at=at, user_id=user, **teach)
        for dialogue, user, at in (("a", " \u3000 ", 0), ("b", "ann", 100))
        for number, text in enumerate(("i'm a warriors fan", "yes"))
    ]
    store = store_of(tmp_path, turns)
    with store.snapshot() as snapshot:
        assert nobodys(snapshot) == 2
    assert collect(store) == (1, 0)
    assert [one["user_id"] for one in listed(store)] == ["ann"]


def test_ten_thousand_things_taught_are_no_burden() -> None:
    rows = [{**row(), "preference_id": str(i), "name": f"phrase {i}"} for i in range(10_000)]
    started = process_time()
    taught = Taught(rows)
    taught.add({**rows[0], "value": "new"})
    assert process_time() - started < 3
    assert len(taught) == 10_000
    assert taught.rows("u")[-1]["value"] == "new"


def test_a_conversation_reads_what_was_taught_only_when_it_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counting(rows: pa.Table) -> Taught:
        made.append(rows.num_rows)
        return Taught(rows)

    monkeypatch.setattr("labels.teaching.conversation.Taught", counting)
    put(store, [row(), row(Lesson("concept", "gone", "x", lasts=timedelta(days=1)))])
    talk = Conversation(store, "u")
    for _ in range(3):
        assert talk.say("cosy time", AT + timedelta(days=2)).meaning == "dim the lights to 30"
    assert talk.say("gone", AT + timedelta(days=2)).meaning is None
    known = talk.say("what did i teach you", AT + timedelta(days=2)).known
    assert [one["name"] for one in known] == ["cosy time"]
    put(store, [row(Lesson("concept", "cosy time", "play jazz"))])
    assert talk.say("cosy time", AT + timedelta(days=2)).meaning == "play jazz"
    assert made == [2, 2]


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


def test_the_very_topic_goes_before_one_that_ends_with_it() -> None:
    radio, plain = (
        row(Lesson("preference", name, value))
        for name, value in (("radio station", "rock fm"), ("station", "jazz fm"))
    )
    for rows in ((radio, plain), (plain, radio)):
        value = Taught(rows).value("station", "u", at=AT)
        assert value is not None
        assert value.text == "jazz fm"


def test_two_preferences_for_the_same_name_agree() -> None:
    fan, team = (row(Lesson("preference", name, "warriors")) for name in ("fan", "team"))
    tie = Taught([fan, team]).preferred(["Lakers", "Warriors"], "u", at=AT)
    assert tie == (1, fan["preference_id"])


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
    # For some days: what failed again after it had expired is a moment once more.
    mix = Lesson("concept", "play my mix", "play jazz fm", lasts=timedelta(days=3))
    put(store, [row(mix)])
    with store.snapshot() as snapshot:
        found = moments(snapshot).to_pylist()
    assert [m["turn_id"] for m in found if m["user_id"] == "u"] == ["d.0"]
    put(store, [row(replace(mix, lasts=None))])
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
        table, forgotten = from_logs(snapshot)
    (found,) = table.to_pylist()
    assert list(forgotten) == [("w", "fan")]
    assert (found["user_id"], found["name"], found["value"]) == ("u", "play my mix", "play jazz fm")
    assert (found["turn_ids"], found["used"]) == (["a.1", "a.2", "a.3"], 1)


TEACH: dict[str, Any] = {"result": {"action": "teach", "status": "ok"}, "user_id": "ann"}
USED: dict[str, Any] = {"nlu": {"hypotheses": [], "signals": {"taught": 1.0}}, "user_id": "ann"}


def lesson(dialogue: str, at: float, *said_: str) -> list[dict[str, Any]]:
    """A dialogue in which Ann teaches, or forgets, at so many seconds."""
    return [said(dialogue, i, text, at=at + 5 * i, **TEACH) for i, text in enumerate(said_)]


@pytest.fixture
def taught_in_logs(tmp_path: Path) -> Store:
    """Ann's lesson in the logs, used once, and already collected."""
    turns = [
        *lesson("a", 0, "when i say cosy, dim the lights to 30", "yes"),
        said("b", 0, "cosy", at=100, **USED),
    ]
    store = store_of(tmp_path, turns)
    assert collect(store) == (1, 0)
    return store


def later(store: Store, tmp_path: Path, turns: list[dict[str, Any]]) -> None:
    ingest(store, [write_lines(tmp_path / "later.jsonl", turns)])


def test_what_was_forgotten_is_not_collected_again(taught_in_logs: Store) -> None:
    store = taught_in_logs
    assert forget(store, user_id="ann") == 1
    assert collect(store) == (0, 0)
    assert listed(store) == []
    # What stays of it has no content.
    with store.snapshot() as snapshot:
        (left,) = snapshot.query("SELECT * FROM preference_changes").to_pylist()
    assert set(left) == {"preference_id", "user_id", "changed_at", "forgotten"}
    assert left["forgotten"]


def test_what_is_taught_again_after_it_was_forgotten_is_collected(
    taught_in_logs: Store, tmp_path: Path
) -> None:
    store = taught_in_logs
    forget(store, user_id="ann")
    seconds = (datetime.now(UTC) - START).total_seconds() + 60
    turns = lesson("c", seconds, "when i say cosy, play jazz", "yes")
    later(store, tmp_path, turns)
    assert collect(store) == (1, 0)
    assert [one["value"] for one in listed(store)] == ["play jazz"]


def test_collecting_keeps_edits_and_counts_every_use_once(
    taught_in_logs: Store, tmp_path: Path
) -> None:
    store = taught_in_logs
    (mine,) = listed(store)
    assert mine["used"] == 1
    count_uses(store, {mine["preference_id"]: 4}, AT + timedelta(days=9))
    edit(store, mine["preference_id"], value="dim the lights to 40")
    assert collect(store) == (0, 0)
    (mine,) = listed(store)
    assert (mine["value"], mine["used"]) == ("dim the lights to 40", 5)
    assert mine["last_used_at"] == AT + timedelta(days=9)
    # The logs have seen more uses by now.
    later(store, tmp_path, [said("e", i, "cosy", at=200 + i, **USED) for i in range(7)])
    assert collect(store) == (0, 0)
    (mine,) = listed(store)
    assert (mine["value"], mine["used"]) == ("dim the lights to 40", 8)
    assert mine["last_used_at"] == AT + timedelta(days=9)


def test_what_was_moved_to_a_device_is_not_collected_beside_it(taught_in_logs: Store) -> None:
    (mine,) = listed(taught_in_logs)
    edit(taught_in_logs, mine["preference_id"], scope="tv")
    assert collect(taught_in_logs) == (0, 0)
    assert [one["scope"] for one in listed(taught_in_logs)] == ["tv"]


def test_what_was_taught_here_since_is_kept(taught_in_logs: Store) -> None:
    again = Lesson("concept", "cosy", "play jazz")
    put(
        taught_in_logs,
        [row_of(again, "ann", datetime.now(UTC), listed(taught_in_logs)[0]["assistant"])],
    )
    assert collect(taught_in_logs) == (0, 0)
    assert [(one["value"], one["used"]) for one in listed(taught_in_logs)] == [("play jazz", 0)]


def test_what_is_forgotten_in_later_logs_goes_from_the_store(
    taught_in_logs: Store, tmp_path: Path
) -> None:
    later(taught_in_logs, tmp_path, lesson("f", 300, "forget cosy", "yes"))
    assert collect(taught_in_logs) == (0, 1)
    assert listed(taught_in_logs) == []
    assert collect(taught_in_logs) == (0, 0)


def test_deleting_a_user_deletes_that_they_had_something_forgotten(taught_in_logs: Store) -> None:
    forget(taught_in_logs, user_id="ann")
    delete(taught_in_logs, user_ids=["ann"])
    with taught_in_logs.snapshot() as snapshot:
        assert snapshot.counts()["preference_changes"] == 0
    assert collect(taught_in_logs) == (0, 0)
    assert listed(taught_in_logs) == []


def test_that_something_was_forgotten_is_kept_as_long_as_turns_are(taught_in_logs: Store) -> None:
    forget(taught_in_logs, user_id="ann")
    today = datetime.now(UTC).date()
    retain(taught_in_logs, days=30, today=today)
    with taught_in_logs.snapshot() as snapshot:
        assert snapshot.counts()["preference_changes"] == 1
    retain(taught_in_logs, days=30, today=today + timedelta(days=60))
    with taught_in_logs.snapshot() as snapshot:
        assert snapshot.counts()["preference_changes"] == 0
