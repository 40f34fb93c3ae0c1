"""The Teaching page, run without a browser."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from streamlit.testing.v1 import AppTest

from charts.formatting import THIN
from data.store.store import Store
from tests import scored
from tests.app import Open, follow, html, links, press, texts, turn_rows


def numbers(at: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def taught(store: Store) -> dict[str, dict[str, Any]]:
    """What the store holds, by the value that was taught."""
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM preferences").to_pylist()
    return {row["value"]: row for row in rows}


def test_what_was_taught_is_listed_with_its_use(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "teaching")
    assert numbers(at)["Taught"] == "5"
    assert numbers(at)["Users"] == "4"
    assert numbers(at)["Uses"] == "14"
    page = html(at)
    assert "play song 9</bdi></b> means <b><bdi>play jazz" in page
    assert "song</bdi></b> is <b><bdi>yellow" in page
    assert page.index("play jazz") < page.index("dim the lights") < page.index("yellow")
    assert "12 uses" in page
    assert page.count(">expired<") == 1


def test_the_list_is_narrowed(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "teaching", kind="preference")
    assert "yellow" in html(at)
    assert "play jazz" not in html(at)
    follow(at, "/teaching?find=u0")
    assert "dim the lights" in html(at)
    assert "play jazz" not in html(at)
    follow(at, "/teaching?find=nobody")
    assert "Nothing was taught within these choices" in texts(at)
    follow(at, "/teaching?since=2024-03-24")
    assert numbers(at)["Taught"] == "0"


def test_what_it_changed_is_counted(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "teaching", preference="p-song")
    with learned_store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT t.started_at >= $at AS after, avg(p.p_defect) AS p, count(*) AS n FROM turns t "
            "JOIN predictions p ON p.turn_id = t.turn_id WHERE t.user_id = 'u3' "
            "AND nlu IS NOT NULL AND t.turn_id <> 'd001-0' GROUP BY 1 ORDER BY 1",
            {"at": scored.START + timedelta(days=10)},
        ).to_pylist()
    before, after = rows
    assert numbers(at)["Defects"] == f"{100 * before['p']:.0f} → {100 * after['p']:.0f}{THIN}%"
    assert numbers(at)["Turns"] == f"{after['n']} turns"
    assert {row["When taught"] for row in turn_rows(at)} <= {"since", "before"}
    assert len(turn_rows(at)) == 10


def test_one_says_how_it_was_taught(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "teaching", preference="p-cosy")
    assert "on phone only" in texts(at)
    assert "“when I say cosy dim the lights”" in texts(at)
    assert "turn=d000-0" in links(at)["play song 0"]
    assert "expires 18 May 2032" in texts(at)
    follow(at, links(at)["← All that was taught"])
    assert numbers(at)["Taught"] == "5"


def test_it_is_changed(opened: Open, own_learned: Store) -> None:
    at = opened(own_learned.path, "teaching", preference="p-jazz")
    at.text_input(key="value-p-jazz").set_value("play *rock*")
    at.text_input(key="scope-p-jazz").set_value("car")
    at.date_input(key="expires-p-jazz").set_value(date(2033, 1, 31))
    press(at, "Save")
    row = taught(own_learned)["play *rock*"]
    assert row["scope"] == "car"
    assert f"{row['expires_at']:%Y-%m-%d %H:%M}" == "2033-02-01 00:00"
    assert (row["used"], row["turn_ids"], row["name"]) == (12, ["d001-0"], "play song 9")
    assert "rock" in at.header[0].value
    assert at.query_params["preference"] in (row["preference_id"], [row["preference_id"]])


def test_an_empty_value_is_refused(opened: Open, own_learned: Store) -> None:
    at = opened(own_learned.path, "teaching", preference="p-jazz")
    at.text_input(key="value-p-jazz").set_value(" ")
    press(at, "Save")
    assert "The new value is empty" in at.error[0].value
    assert "play jazz" in taught(own_learned)


def test_forgetting_asks_first(opened: Open, own_learned: Store) -> None:
    at = opened(own_learned.path, "teaching", preference="p-jazz")
    press(at, "Forget")
    press(at, "Keep it")
    assert "play jazz" in taught(own_learned)
    press(at, "Forget")
    press(at, "Forget it")
    assert "play jazz" not in taught(own_learned)
    assert len(taught(own_learned)) == 4
    assert numbers(at)["Taught"] == "4"


def test_moments_open_their_turn(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "teaching", part="moments")
    rows = turn_rows(at)
    assert rows
    assert {row["Why"] for row in rows} == {"Keeps failing"}
    assert all(int(row["Times"]) >= 2 for row in rows)
    assert {row["Due"] for row in rows} == {"yes", "later"}
    # What a user has taught since is none any more.
    assert "play song 9" not in {row["Heard"] for row in rows}
    follow(at, rows[0]["href"])
    assert "Stage outputs" in texts(at)
    follow(at, "/teaching?part=moments&moment=asked")
    assert "0 of 0 moments are due" in texts(at)
    follow(at, "/teaching?part=moments&until=2024-03-01")
    assert len(turn_rows(at)) < len(rows)


def test_hostile_texts_stay_texts(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "teaching")
    follow(at, "/teaching?preference=p-nasty")
    for words in (html(at), texts(at)):
        assert "\u202e" not in words
    assert "<img" not in html(at)
    assert "[a](" not in at.header[0].value
    follow(at, "/teaching?find=%3Cimg")
    assert "&lt;img" in html(at)


UNKNOWN = {
    "preference=odd": "There is no preference “odd”",
    "part=odd": "Unknown part=odd",
    "kind=odd": "Unknown kind=odd",
    "page=odd": "Invalid page=odd",
    "part=moments&moment=odd": "Unknown moment=odd",
}


def test_an_unknown_link_is_reported_in_a_sentence(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "teaching")
    for query, words in UNKNOWN.items():
        assert words in texts(follow(at, f"/teaching?{query}")), query


def test_a_store_in_which_nothing_was_taught_says_how_to_teach(
    opened: Open, scored_store: Store, unscored_store: Store
) -> None:
    for store in (scored_store, unscored_store):
        at = opened(store.path, "teaching")
        assert "Nothing taught yet" in texts(at)
        assert f"faultline teach --user USER --store {store.path}" in texts(at)
        assert "No request keeps failing with the same user here" in texts(at)


def test_an_unscored_store_shows_what_was_taught(opened: Open, own_learned: Store) -> None:
    with own_learned.commit() as cycle:
        for table in ("predictions", "rollup"):
            cycle.delete_rows(table, "true")
    at = opened(own_learned.path, "teaching")
    assert numbers(at)["Taught"] == "5"
    assert "Defects since taught" not in numbers(at)
    follow(at, "/teaching?preference=p-jazz")
    assert numbers(at)["Defects"] == "–"


def say(at: AppTest, text: str) -> str:
    """What the assistant answers."""
    at.chat_input(key="teaching-say").set_value(text).run()
    assert not at.exception
    return str(at.chat_message[-1].text[0].value)


def test_a_dialogue_teaches_and_changes_the_next_answer(opened: Open, own_learned: Store) -> None:
    at = opened(own_learned.path, "teaching", part="teach")
    assert at.chat_input(key="teaching-say").disabled
    at.text_input(key="teaching-user").set_value("u7").run()
    assert "does what it always does" in say(at, "movie night")
    answer = say(at, "when I say movie night, dim the lights to 30")
    assert "Is that right?" in answer
    assert "movie night" not in {row["name"] for row in taught(own_learned).values()}
    assert say(at, "yes") == "Got it."
    assert say(at, "movie night") == "I take it for: dim the lights to 30"
    row = taught(own_learned)["dim the lights to 30"]
    assert (row["user_id"], row["name"], row["used"]) == ("u7", "movie night", 1)
    # It is theirs alone.
    at.text_input(key="teaching-user").set_value("u8").run()
    assert "does what it always does" in say(at, "movie night")
    assert "haven't taught me anything" in say(at, "what did I teach you?")
    follow(at, "/teaching?find=u7")
    assert "dim the lights to 30" in html(at)


def test_a_dialogue_can_be_left_and_can_forget(opened: Open, own_learned: Store) -> None:
    at = opened(own_learned.path, "teaching", part="teach")
    at.text_input(key="teaching-user").set_value("u0").run()
    say(at, "when I say movie night, dim the lights to 30")
    say(at, "never mind")
    assert "does what it always does" in say(at, "movie night")
    at.text_input(key="teaching-device").set_value("phone").run()
    assert say(at, "cosy") == "I take it for: dim the lights"
    assert "Shall I forget" in say(at, "forget cosy")
    assert say(at, "yes") == "Forgotten."
    assert "does what it always does" in say(at, "cosy")
    assert "dim the lights" not in taught(own_learned)
