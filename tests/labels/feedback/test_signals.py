"""What fires, what does not, and what cannot be observed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data.schema.tables import FEEDBACK
from labels.feedback.conversations import conversations
from labels.feedback.signals import SIGNALS, fired
from labels.feedback.table import collect, feedback
from labels.feedback.waterfall import decide
from tests.labels.feedback.spoken import said, store_of

SORRY = {"status": "error", "response": "Sorry, I didn't catch that."}


def signals_of(folder: Path, turns: list[dict[str, Any]]) -> dict[str, list[str]]:
    with store_of(folder, turns).snapshot() as snapshot:
        table = collect(snapshot)
    names: list[Any] = table["turn_id"].to_pylist()
    of: list[Any] = fired(table).to_pylist()
    return dict(zip(names, of, strict=True))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("play yellow", ["repeat"]),
        ("play the song yellow", ["rephrase"]),
        ("what's the weather tomorrow", []),
        ("no i said play halo", ["correction"]),
        ("thank you", ["accepted"]),
    ],
)
def test_the_next_request_tells(tmp_path: Path, after: str, expected: list[str]) -> None:
    found = signals_of(tmp_path, [said("a", 0, "play yellow"), said("a", 1, after)])
    assert found == {"a.0": expected, "a.1": []}


def test_no_answers_a_question_and_rejects_nothing(tmp_path: Path) -> None:
    asks = {"response": "Shall I book a table?"}
    turns = [said("a", 0, "find me a restaurant", result=asks), said("a", 1, "no thanks")]
    assert "correction" not in signals_of(tmp_path, turns)["a.0"]


def test_the_next_request_as_another_hypothesis(tmp_path: Path) -> None:
    heard = {"hypotheses": [{"text": "play fellow"}, {"text": "play yellow"}]}
    turns = [said("a", 0, None, asr=heard), said("a", 1, "play yellow")]
    assert "misheard" in signals_of(tmp_path, turns)["a.0"]


def test_explicit_feedback_barge_in_and_the_assistants_own_signs(tmp_path: Path) -> None:
    turns = [
        said("a", 0, "play yellow", result=SORRY, feedback={"barge_in": True, "explicit": "no"}),
        said("b", 0, "play yellow", at=500, feedback={"rating": 5.0, "explicit": "yes"}),
    ]
    found = signals_of(tmp_path, turns)
    assert found["a.0"] == ["answered_no", "barge_in", "asked_again", "apology", "failed"]
    assert found["b.0"] == ["answered_yes", "rated_high"]


def test_what_is_not_logged_is_not_observed(tmp_path: Path) -> None:
    with store_of(tmp_path, [said("a", 0, "play yellow")]).snapshot() as snapshot:
        (row,) = collect(snapshot).to_pylist()
    # Nobody said anything afterwards; whether anybody cut in is not known.
    assert row["rephrase"] is False
    assert {name for name in ("barge_in", "terminated", "failed", "answered_no", "switched")
            if row[name] is None} == {"barge_in", "terminated", "failed", "answered_no",
                                      "switched"}  # fmt: skip


def test_a_mark_on_the_end_of_every_dialogue_is_no_termination(tmp_path: Path) -> None:
    ends = [said(f"a{i}", 0, "stop", at=100 * i, feedback={"terminated": True}) for i in range(8)]
    assert "terminated" not in signals_of(tmp_path, ends)["a1.0"]


def test_one_that_broke_off_among_many(tmp_path: Path) -> None:
    ends = [said(f"a{i}", 0, "stop", at=100 * i, feedback={"terminated": i == 3}) for i in range(8)]
    found = signals_of(tmp_path, ends)
    assert [name for name, of in found.items() if "terminated" in of] == ["a3.0"]


def test_a_user_turns_to_a_screen(tmp_path: Path) -> None:
    speaker, phone = (
        {"type": t, "id": t, "has_screen": t == "phone"} for t in ("speaker", "phone")
    )
    turns = [
        said("a", 0, "show me trains", user_id="u", device=speaker),
        said("b", 0, "trains to london", at=20, user_id="u", device=phone),
        said("c", 0, "what time is it", at=900, user_id="u", device=speaker),
    ]
    found = signals_of(tmp_path, turns)
    assert [name for name, of in found.items() if "switched" in of] == ["a.0"]


def test_a_silence_is_long_for_a_user(tmp_path: Path) -> None:
    times = [0, 5, 11, 16, 21, 27, 32, 132, 138]
    turns = [said("a", i, f"request number {i * 7919}", at=at) for i, at in enumerate(times)]
    found = signals_of(tmp_path, turns)
    assert [name for name, of in found.items() if "silence" in of] == ["a.6"]


def test_made_up_times_tell_no_silence(tmp_path: Path) -> None:
    turns = [
        {**said("a", i, f"request {i * 7919}"), "started_at": f"2024-05-01T09:{i * i:02d}:00Z"}
        for i in range(7)
    ]
    assert not any("silence" in of for of in signals_of(tmp_path, turns).values())


def test_a_conversation_goes_on_in_the_next_dialogue(tmp_path: Path) -> None:
    turns = [
        said("a", 0, "play yellow", user_id="u"),
        said("b", 0, "play the song yellow", at=20, user_id="u"),
        said("c", 0, "play yellow", at=300, user_id="u"),
        said("d", 0, "play yellow", at=310, user_id="v"),
    ]
    store = store_of(tmp_path, turns)
    with store.snapshot() as snapshot:
        placed = conversations(snapshot)
        found = dict(zip(placed["turn_id"].to_pylist(), placed["conversation"].to_pylist(),
                         strict=True))  # fmt: skip
        assert found == {"a.0": "a", "b.0": "a", "c.0": "c", "d.0": "d"}
        table = collect(snapshot)
    rephrased = [row["turn_id"] for row in table.to_pylist() if row["rephrase"]]
    assert rephrased == ["a.0"]


def test_another_device_that_heard_the_same_repeats_nothing(tmp_path: Path) -> None:
    devices = [{"type": "speaker", "id": name} for name in ("kitchen", "hall")]
    turns = [
        said("a", 0, "play yellow", user_id="u", device=devices[0]),
        said("b", 0, "play yellow", at=0.4, user_id="u", device=devices[1]),
        said("a", 1, "what's the weather", at=9, user_id="u", device=devices[0]),
    ]
    assert signals_of(tmp_path, turns) == {"a.0": [], "b.0": [], "a.1": []}


def test_a_dialogue_stays_whole_however_long_its_pauses(tmp_path: Path) -> None:
    turns = [said("a", i, "play yellow", at=5_000.0 * i) for i in range(3)]
    found = signals_of(tmp_path, turns)
    assert found == {"a.0": ["repeat"], "a.1": ["repeat"], "a.2": []}


def test_the_waterfall_trusts_explicit_feedback_first(tmp_path: Path) -> None:
    turns = [
        said("a", 0, "play yellow", result=SORRY, feedback={"barge_in": True, "explicit": "yes"}),
        said("a", 1, "play the song yellow", result=SORRY),
        said("a", 2, "play that song yellow"),
    ]
    with store_of(tmp_path, turns).snapshot() as snapshot:
        rows = decide(collect(snapshot)).to_pylist()
    assert [(row["defect"], row["decided_by"]) for row in rows] == [
        (False, "answered_yes"),
        (True, "rephrase"),
        (None, None),
    ]


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([], id="empty"),
        pytest.param([said("a", 0, None)], id="nothing logged"),
        pytest.param([said("a", 0, "spiel gelb")], id="one turn"),
        pytest.param([said("a", i, "播放黄色") for i in range(500)], id="500 turns, Chinese"),
    ],
)
def test_thin_logs_behave(tmp_path: Path, turns: list[dict[str, Any]]) -> None:
    with store_of(tmp_path, turns).snapshot() as snapshot:
        rows, model = feedback(snapshot)
    assert rows.schema == FEEDBACK
    assert rows.num_rows == len(turns)
    if len(turns) < 2:
        assert rows["p_defect"].null_count == len(turns)
        assert model.note.endswith((".",))
    else:
        assert pa.compute.count(rows["p_defect"]).as_py() == 500


def test_names_are_unique_and_each_has_words() -> None:
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    assert all(signal.sentence[0].isupper() for signal in SIGNALS)


def test_signals_of_some_turns_are_those_of_their_conversations(tmp_path: Path) -> None:
    turns = [said(name, i, f"play {name}", at=9_000 * k) for k, name in enumerate("abc")
             for i in range(2)]  # fmt: skip
    with store_of(tmp_path, turns).snapshot() as snapshot:
        every = collect(snapshot)
        some = collect(snapshot, turns=pa.array(["b.1"]))
    assert every.num_rows == 6
    assert some["turn_id"].to_pylist() == ["b.0", "b.1"]
    assert some.to_pylist() == [row for row in every.to_pylist() if row["dialogue_id"] == "b"]
