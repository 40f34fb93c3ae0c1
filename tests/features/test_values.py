"""Values of features, computed by hand; null where the trace does not log the signal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import log
from typing import Any

import pytest

from features.categories import Vocabulary
from features.frame import sound
from features.matrix import build
from tests.turns import START, table, turn

TEN = [("play queen", 0.6), ("play green", 0.3), ("pray", 0.1)]
UNSURE = [("play queen", 0.2), ("play queen", 0.5), ("", 0.3)]


def features_of(*records: dict[str, Any]) -> list[dict[str, Any]]:
    """Features of each turn, in the order of the records."""
    rows = build(table(*records), Vocabulary()).to_pylist()
    by_id = {row["turn_id"]: row for row in rows}
    return [by_id[record["turn_id"]] for record in records]


def assert_features(row: dict[str, Any], expected: Mapping[str, float | None]) -> None:
    got = {name: row[name] for name in expected}
    assert got == {
        name: None if value is None else pytest.approx(value, abs=1e-6)
        for name, value in expected.items()
    }


ONE_TURN: list[tuple[str, dict[str, Any], dict[str, float | None]]] = [
    (
        "an n-best list",
        {"heard": TEN},
        {
            "asr.confidence": 0.6,
            "asr.confidence_max": 0.6,
            "asr.confidence_second": 0.3,
            "asr.confidence_gap": 0.3,
            "asr.confidence_sum": 1.0,
            "asr.rank": 0,
            "asr.hypotheses": 3,
            "asr.variants": 3,
            "asr.entropy": -(0.6 * log(0.6) + 0.3 * log(0.3) + 0.1 * log(0.1)),
            # {play, queen} shares one word of three with {play, green}, none of three with {pray}.
            "asr.disagreement": (2 / 3 + 1) / 2,
            # "play queen" to "pray": one letter changed, six dropped, of ten.
            "asr.disagreement_max": 0.7,
            "asr.word_support": (0.9 + 0.6) / 2,
            "asr.word_support_min": 0.6,
            "asr.text_mass": 0.6,
            "asr.empty_mass": 0,
            "asr.words": 2,
            "asr.letters": 10,
            "asr.length_spread": 1,
        },
    ),
    (
        "a list not sorted by confidence, with the text twice and silence",
        {"heard": UNSURE},
        {
            "asr.confidence": 0.2,
            "asr.confidence_max": 0.5,
            "asr.confidence_gap": -0.3,
            "asr.rank": 2,
            "asr.variants": 2,
            "asr.disagreement": 0.5,
            "asr.disagreement_max": 1,
            "asr.text_mass": 0.7,
            "asr.word_support_min": 0.7,
            "asr.empty_mass": 0.3,
            "asr.length_spread": 2,
        },
    ),
    (
        "a single hypothesis",
        {"heard": [("stop", 1.0)]},
        {
            "asr.confidence_gap": None,
            "asr.entropy": 0,
            "asr.disagreement": None,
            "asr.word_support": None,
            "asr.length_spread": None,
            "asr.text_mass": 1,
        },
    ),
    (
        "texts without confidences",
        {"heard": [("play queen", None), ("play green", None)]},
        {
            "asr.confidence": None,
            "asr.rank": None,
            "asr.entropy": None,
            "asr.word_support": None,
            "asr.text_mass": None,
            "asr.empty_mass": None,
            "asr.disagreement": 2 / 3,
            "asr.variants": 2,
        },
    ),
    (
        "a word said twice counts twice in the mean of support",
        {"heard": [("no no stop", 0.5), ("no", 0.5)]},
        {
            "asr.word_support": (1 + 1 + 0.5) / 3,
            "asr.repeated_words": 1,
            "asr.short_words": 2 / 3,
        },
    ),
    (
        "letters are characters, not bytes",
        {"heard": [("日本", 0.5), ("中国", 0.5)]},
        {"asr.letters": 2, "asr.disagreement_max": 1, "asr.disagreement": 1},
    ),
    (
        "audio",
        {"heard": [("a <unk> song", 0.9)], "asr": {"audio_ms": 1500.0, "latency_ms": 80.0}},
        {"asr.rate": 2, "asr.audio": 1500, "asr.latency": 80, "asr.unknown_words": 1},
    ),
    (
        "wake word",
        {
            "wake": {"score": 0.9, "threshold": 0.7, "start_ms": 0.0, "latency_ms": 300.0},
            "asr": {"start_ms": 450.0},
        },
        {"wake.score": 0.9, "wake.margin": 0.2, "wake.lead": 150, "wake.latency": 300},
    ),
    (
        "slots against the n-best list",
        {
            "heard": [("play queen", 0.6), ("play green", 0.4)],
            "meant": ("play", [("artist", "Queen"), ("room", "")]),
        },
        {
            "nlu.slots": 2,
            "nlu.empty_slots": 1,
            "nlu.slots_heard": 1,
            "nlu.slot_support": 0.6,
            "nlu.coverage": 0.5,
            "nlu.no_intent": 0,
        },
    ),
    (
        "nothing understood",
        {"nlu": {"hypotheses": []}},
        {"nlu.no_intent": 1, "nlu.slots": 0, "nlu.slot_support": None, "nlu.confidence": None},
    ),
    (
        "NLU hypotheses",
        {
            "nlu": {
                "hypotheses": [
                    {"domain": "music", "intent": "play", "confidence": 0.7},
                    {"domain": "video", "intent": "play", "confidence": 0.3},
                ]
            }
        },
        {
            "nlu.confidence": 0.7,
            "nlu.confidence_gap": 0.4,
            "nlu.intents": 1,
            "nlu.domains": 2,
            "nlu.entropy": -(0.7 * log(0.7) + 0.3 * log(0.3)),
        },
    ),
    (
        "mentions: none found, one found, several found",
        {
            "heard": [("play queen by abba on the shelf", 0.9)],
            "er": {
                "mentions": [
                    {"slot": "song", "text": "queen", "candidates": []},
                    {
                        "slot": "room",
                        "text": "shelf",
                        "candidates": [{"name": "shelf", "score": 0.5}],
                    },
                    {
                        "slot": "artist",
                        "text": "Muse",
                        "candidates": [{"name": "Muse", "score": 0.9}, {"name": "m", "score": 0.8}],
                    },
                ]
            },
        },
        {
            "er.mentions": 3,
            "er.unresolved": 1,
            "er.resolved": 1,
            "er.ambiguous": 1,
            "er.candidates": 2,
            "er.score": 0.5,
            "er.score_gap": 0.1,
            "er.name_sim": 1,
            "er.mention_heard": 2 / 3,
        },
    ),
    (
        "values are heard as whole words",
        {
            "heard": [("weather in london", 0.5), ("weather on london", 0.5)],
            "meant": ("weather", [("state", "on"), ("place", "London!"), ("odd", "--")]),
            "er": {"mentions": [{"text": "on"}, {"text": "in"}, {"text": None}]},
            "said": "Now: 'London' it is.",
            "prompt": {"text": "Onward, or London?"},
        },
        {
            "nlu.slots_heard": 0.5,
            "nlu.slot_support": 0.5,
            "er.mention_heard": 0.5,
            "result.echo": 0.5,
            "dialogue.prompt_mentions_slots": 0.5,
        },
    ),
    (
        "combining marks are parts of words",
        {"heard": [("पानी की बोतल", 1.0)], "meant": ("buy", [("item", "पानी")])},
        {"asr.words": 3, "nlu.slots_heard": 1},
    ),
    (
        "no text heard",
        {"meant": ("play", [("artist", "queen")]), "er": {"mentions": [{"text": "queen"}]}},
        {
            "nlu.slots_heard": None,
            "nlu.coverage": None,
            "er.mention_heard": None,
            "nlu.no_intent": 0,
            "dialogue.prompt_repeats": None,
        },
    ),
    (
        "silence is a text",
        {"heard": [("", 1.0)], "meant": ("play", [("artist", "queen")])},
        {"nlu.slots_heard": 0, "nlu.coverage": None},
    ),
    (
        "nothing understood was logged",
        {"heard": [("play queen", 1.0)]},
        {
            "nlu.no_intent": None,
            "nlu.slots": None,
            "nlu.hypotheses": None,
            "er.mentions": None,
            "dialogue.same_intent_before": None,
        },
    ),
    (
        "an apology that asks again",
        {"said": "Sorry, I didn't catch that.", "meant": ("x", [])},
        {"result.apology": 1, "result.asks_repeat": 1, "result.question": 0, "result.words": 5},
    ),
    (
        "an answer that repeats the slot",
        {
            "said": "Playing Queen",
            "meant": ("play", [("artist", "queen")]),
            "result": {"status": "ok", "items": ["a", "b"], "start_ms": 100.0, "latency_ms": 50.0},
        },
        {
            "result.apology": 0,
            "result.echo": 1,
            "result.failed": 0,
            "result.items": 2,
            "result.total_latency": 150,
        },
    ),
    (
        "feedback",
        {"feedback": {"barge_in": True, "barge_in_ms": 400.0, "explicit": "no", "rating": 2.0}},
        {
            "dialogue.barge_in": 1,
            "dialogue.barge_in_time": 400,
            "dialogue.answered_no": 1,
            "dialogue.rating": 2,
            "dialogue.terminated": None,
        },
    ),
]


@pytest.mark.parametrize(
    ("fields", "expected"), [case[1:] for case in ONE_TURN], ids=[case[0] for case in ONE_TURN]
)
def test_one_turn(fields: dict[str, Any], expected: dict[str, float | None]) -> None:
    [row] = features_of(turn(**fields))
    assert_features(row, expected)


def test_neighbours() -> None:
    rows = features_of(
        turn(0, heard=[("play queen", 0.4), ("play green day", 0.3)], prompted="Yes?",
             meant=("play", [("artist", "queen")])),
        turn(1, heard=[("No, play green day", 0.9)], prompted="Playing Queen",
             meant=("play", [("artist", "green day")])),
        turn(3, heard=[("no play green day", 0.8)], prompted="Playing Queen"),
    )  # fmt: skip
    assert_features(
        rows[0],
        {
            "dialogue.position": 1,
            "dialogue.sim_before": None,
            "dialogue.words_before": None,
            "dialogue.nbest_before": None,
            "dialogue.rejected_after": 1,
            "dialogue.rejections_after": 2,
            "dialogue.remaining": 2,
            "dialogue.last": 0,
            "dialogue.gap_after": 10,
            "dialogue.skipped_after": 0,
            # "play queen" and "no play green day": 1 of 5 words; 9 edits on 17 letters.
            "dialogue.words_after": 1 / 5,
            "dialogue.sim_after": 1 - 9 / 17,
            # "play green day" lacks "no ".
            "dialogue.nbest_after": 1 - 3 / 17,
            "dialogue.longer_after": 2,
            "dialogue.same_text_after": 0,
            "dialogue.same_intent_after": 1,
            "dialogue.changed_slot_after": 1,
            "dialogue.repeated_slot_after": 0,
            "dialogue.prompt_echo_after": 1,
            "dialogue.confidence_after": 0.9,
            "dialogue.confidence_after2": 0.8,
            "dialogue.mean_confidence_after": 0.85,
            "dialogue.mean_confidence": 0.7,
        },
    )
    assert_features(
        rows[1],
        {
            "dialogue.rejects": 1,
            "dialogue.rejections_before": 0,
            "dialogue.nbest_before": 1 - 3 / 17,
            "dialogue.sim_before": 1 - 9 / 17,
            "dialogue.confidence_change": 0.5,
            "dialogue.changed_slot_before": 1,
            "dialogue.same_text_after": 1,
            "dialogue.sim_after": 1,
            "dialogue.sound_after": 1,
            "dialogue.same_prompt_after": 1,
            "dialogue.skipped_after": 1,
            "dialogue.gap_after": 20,
        },
    )
    assert_features(
        rows[2],
        {
            "dialogue.rejections_before": 1,
            "dialogue.prompt_repeats": 1,
            "dialogue.text_repeats": 1,
            "dialogue.mean_confidence_before": 0.65,
            "dialogue.elapsed": 30,
            "dialogue.last": 1,
            "dialogue.sim_after": None,
            "dialogue.rejected_after": None,
        },
    )


def test_prompts_and_intents_that_were_not_logged_repeat_nothing() -> None:
    rows = features_of(*[turn(i, heard=[("play", 1.0)]) for i in range(7)])
    names = ("prompt_repeats", "same_intent_before", "same_intent_after")
    for row in rows:
        assert_features(row, dict.fromkeys(f"dialogue.{name}" for name in names))
    first, second, last = features_of(
        turn(0, heard=[("a", 1.0)], meant=("play", []), prompted="Yes?"),
        turn(1, heard=[("b", 1.0)], meant=("play", [])),
        turn(2, heard=[("c", 1.0)], prompted="Yes?"),
    )
    assert_features(first, {"dialogue.same_intent_before": 0, "dialogue.same_intent_after": 1})
    assert_features(second, {"dialogue.same_intent_before": 1, "dialogue.same_intent_after": 0})
    assert_features(last, {"dialogue.same_intent_before": 0, "dialogue.prompt_repeats": 1})


def test_later_prompts_echo_whole_words() -> None:
    row, *_ = features_of(
        turn(0, heard=[("on", 1.0)], meant=("set", [("state", "on")])),
        turn(1, prompted="London?"),
        turn(2, prompted="It is on."),
    )
    assert_features(row, {"dialogue.prompt_echo_after": 0, "dialogue.prompt_echo_after2": 1})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("don't play", "TNT PL"),
        ("пой 22", "пой 22"),
        ("route 61b", "RT 61 B"),
        ("पानी", "पानी"),
        ("", None),
        ("'", None),
    ],
)
def test_sounds(text: str, code: str | None) -> None:
    assert sound(text) == code


@pytest.mark.parametrize(
    ("before", "after", "similarity"),
    [("привет", "спасибо", 0.0), ("61", "28", 0.0), ("", "", None), (None, None, None)],
)
def test_similarity_of_sounds(
    before: str | None, after: str | None, similarity: float | None
) -> None:
    rows = features_of(turn(0, heard=[(before, 1.0)]), turn(1, heard=[(after, 1.0)]))
    got = rows[0]["dialogue.sound_after"]
    assert got is None if similarity is None else got < 0.35


def test_a_misheard_word_of_similar_sound() -> None:
    rows = features_of(turn(0, heard=[("nite", 1.0)]), turn(1, heard=[("knight", 1.0)]))
    assert rows[0]["dialogue.sound_after"] > rows[0]["dialogue.sim_after"]


def test_a_value_heard_before_with_more_confidence() -> None:
    slot = ("inform", [("food", "thai"), ("area", "north")])
    rows = features_of(
        turn(0, heard=[("thai", 0.9)], meant=("inform", [("food", "Thai")])),
        turn(1, heard=[("thai north", 0.4)], meant=slot),
        turn(2, heard=[("thai north", 0.6)], meant=slot),
        turn(3, heard=[("hm", 0.1)], meant=("inform", [])),
    )
    assert [row["dialogue.surer_before"] for row in rows] == [0, 1, 1, None]


def capture(name: str, text: str, slots: list[tuple[str, str]], **fields: Any) -> dict[str, Any]:
    return turn(
        0, name, started_at=START, user_id="u", device={"id": name},
        heard=[(text, 1.0)], meant=("play", slots), **fields,
    )  # fmt: skip


def test_two_devices_hear_one_request() -> None:
    rows = features_of(
        capture("kitchen", "play queen", [("artist", "queen")]),
        capture("hall", "play green", [("artist", "green"), ("room", "hall")]),
        turn(0, "later", started_at=START + timedelta(seconds=1), user_id="u"),
    )
    # "queen" → "green": two letters changed.
    expected = {
        "asr.capture_count": 2,
        "asr.capture_sim": 0.8,
        "asr.capture_words": 0,
        "nlu.capture_intent": 1,
        "nlu.capture_slots": 0,
    }
    assert_features(rows[0], expected)
    assert_features(rows[1], expected)
    assert_features(rows[2], dict.fromkeys(expected))


def test_one_device_twice_is_not_a_second_capture() -> None:
    rows = features_of(capture("a", "play", []), capture("b", "play", []) | {"device": {"id": "a"}})
    assert rows[0]["asr.capture_count"] is None


def test_five_dialogues_at_once_are_traffic() -> None:
    rows = features_of(*[capture(f"k{i}", "play", []) for i in range(5)])
    assert {row["asr.capture_count"] for row in rows} == {None}


def test_later_turns_at_the_same_instant_do_not_hide_a_capture() -> None:
    pair = [capture("a", "play", []), capture("b", "play", [])]
    later = [
        capture("a", "stop", []) | {"turn_id": f"later{i}", "turn_index": 1 + i} for i in range(4)
    ]
    rows = features_of(*pair, *later)
    assert [row["asr.capture_count"] for row in rows] == [2, 2, None, None, None, None]
    assert [row["asr.capture_sim"] for row in rows[:2]] == [1, 1]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("set it to 5", "set it to -5", False),
        ("set it to minus 5", "Set it to −5!", True),
        ("open c", "open C#", False),
        ("open c", "open C++", False),
        ("open c sharp", "open C#", True),
        ("living-room light", "living room light", True),
        ("call 555-1234", "call 555 1234", True),
    ],
)
def test_a_sign_tells_a_repetition_from_another_request(
    first: str, second: str, same: bool
) -> None:
    _, row = features_of(turn(0, heard=[(first, 0.9)]), turn(1, heard=[(second, 0.9)]))
    assert (row["dialogue.sim_before"] == 1) is same
