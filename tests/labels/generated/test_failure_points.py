"""Failure points from what was meant and from feedback: the rules of gold, without gold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.errors import UsageError
from labels.generated.failure_points import GENERATED, Confidence, generate
from tests.labels.generated.frames.bookings import table, turn

BATH = ("BookTaxi", [("city", "bath")])
YORK = ("BookTaxi", [("city", "york")])
TABLE = ("BookTable", [("city", "bath")])


def frames(*meant: tuple[str, str | None, list[tuple[str, str]]]) -> pa.Table:
    """What was meant by turns (id, intent, slots), all of it for sure."""
    return pa.table(
        {
            "turn_id": [turn_id for turn_id, _, _ in meant],
            "intent": pa.array([intent for _, intent, _ in meant], pa.string()),
            "p_intent": [0.9] * len(meant),
            "slots": [[{"name": n, "value": v} for n, v in slots] for _, _, slots in meant],
            "p_slots": [0.8] * len(meant),
        }
    )


def defects(*p: float | None) -> pa.Table:
    return pa.table(
        {"turn_id": [f"d-{i}" for i in range(len(p))], "p_defect": pa.array(p, pa.float64())}
    )


def one(
    heard: list[str], understood: Any, meant: Any, p: float | None, **fields: Any
) -> dict[str, Any]:
    """The generated row of a dialogue of one turn."""
    row = turn("d", 0, heard, nlu=understood, **fields)
    found = generate(table([row]), frames(("d-0", *meant)), defects(p))
    assert found.schema == GENERATED
    made: dict[str, Any] = found.to_pylist()[0]
    return made


@pytest.mark.parametrize(
    ("point", "heard", "understood", "meant", "p"),
    [
        ("correct", ["a taxi to bath"], BATH, BATH, 0.1),
        # What was meant is not in the words that were heard.
        ("asr", ["a taxi to york"], YORK, BATH, 0.9),
        # It is in another hypothesis.
        ("asr", ["a taxi to york", "a taxi to bath"], YORK, BATH, 0.9),
        # The words are right, the intent or the value is not.
        ("nlu", ["a table in bath"], BATH, TABLE, 0.9),
        ("er", ["a taxi to bath"], YORK, BATH, 0.9),
        ("result", ["a taxi to bath"], BATH, BATH, 0.9),
        # Without feedback, what was meant is compared with what was understood.
        ("correct", ["a taxi to bath"], BATH, BATH, None),
        ("asr", ["a taxi to york"], YORK, BATH, None),
    ],
)
def test_the_stage_to_blame(
    point: str, heard: list[str], understood: Any, meant: Any, p: float | None
) -> None:
    made = one(heard, understood, meant, p, confidence=0.9)
    assert made["failure_point"] == point
    assert 0 < made["weight"] < 1


def test_words_that_the_recogniser_doubts_are_blamed_on_it() -> None:
    assert one(["a taxi to bath"], BATH, BATH, 0.9, confidence=0.2)["failure_point"] == "asr"


def test_another_hypothesis_holds_the_words_that_were_meant() -> None:
    made = one(["a taxi to york", "a taxi to bath"], YORK, BATH, 0.9)
    assert made["transcript"] == "a taxi to bath"


def test_the_accepted_rephrase_says_what_was_meant() -> None:
    rows = [
        turn("d", 0, ["a taxi to york"], nlu=YORK),
        turn("d", 1, ["no a taxi to bath"], nlu=BATH),
    ]
    found = generate(table(rows), None, defects(0.9, 0.1)).to_pylist()
    assert [row["failure_point"] for row in found] == ["asr", "correct"]
    assert found[0]["transcript"] == "no a taxi to bath"
    # A rephrase that failed, too, says nothing.
    failed = generate(table(rows), None, defects(0.9, 0.8)).to_pylist()
    assert failed[0]["failure_point"] is None


def test_gold_is_not_read() -> None:
    rows = [turn("d", 0, ["a taxi to bath"], nlu=BATH, gold=YORK)]
    plain = [turn("d", 0, ["a taxi to bath"], nlu=BATH)]
    meant = frames(("d-0", *BATH))
    assert generate(table(rows), meant, defects(0.2)).equals(
        generate(table(plain), meant, defects(0.2))
    )


@pytest.mark.parametrize("p", [None, float("nan")])
def test_nothing_known_gives_no_label(p: float | None) -> None:
    found = generate(table([turn("d", 0, ["a taxi"])]), None, defects(p)).to_pylist()[0]
    assert (found["failure_point"], found["weight"]) == (None, 0.0)


def test_slots_that_nobody_states_are_no_slots_that_were_missed() -> None:
    rows = [turn("d", 0, ["a taxi to bath"], nlu=BATH)]
    said = frames(("d-0", *BATH))
    unknown = said.set_column(
        said.column_names.index("slots"),
        said.schema.field("slots"),
        pa.nulls(1, said.schema.field("slots").type),
    )
    made = generate(table(rows), unknown, defects(0.9)).to_pylist()[0]
    # Taken for none, they would blame the NLU for the one that it found.
    assert made["failure_point"] is None


def test_no_turns() -> None:
    assert generate(table([]), None, defects()).equals(GENERATED.empty_table())


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UsageError, match="p_defect is missing"):
        generate(table([]), None, pa.table({"turn_id": pa.array([], pa.string())}))


def test_confidence_learns_which_failure_points_are_mostly_right() -> None:
    rng = np.random.default_rng(0)
    points = ["asr", "nlu"] * 100
    gold = ["asr" if rng.random() < (0.9 if p == "asr" else 0.2) else "er" for p in points]
    gold = [p if g == "asr" else "er" for p, g in zip(points, gold, strict=True)]
    product = rng.uniform(0.3, 0.9, 200)
    fitted = Confidence.fit(points, product, gold)
    assert fitted is not None
    sure = fitted(["asr", "nlu", None], np.full(3, 0.6))
    assert sure[0] > 0.7
    assert sure[1] < 0.4
    assert sure[2] == 0


def test_few_turns_with_gold_fit_no_confidence() -> None:
    assert Confidence.fit(["asr"] * 10, np.full(10, 0.5), ["asr", "nlu"] * 5) is None
