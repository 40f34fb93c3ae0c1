"""Evidence inside a slice: what was confused or unresolved, and what sets the slice apart."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from analysis.slices.contrast import apart
from analysis.stage_evidence import (
    intents_confused,
    mentions,
    of_slice,
    words_confused,
)
from data.queries import slice_evidence
from data.queries.dimensions import slice_columns
from data.queries.filters import Filter
from data.queries.slice_evidence import Inside
from data.schema.trace import FAILURE_POINTS
from data.store.snapshot import Snapshot
from data.store.store import Store
from tests.scored import MODEL


def turn(*heard: str, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = dict.fromkeys(
        ("said", "intent", "gold_intent", "mentions", "next_heard", "next_intent", "next_after_s")
    )
    return {**plain, "heard": [{"text": text} for text in heard], **more}


def confused(*rows: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    return [tuple(row.values()) for row in words_confused(rows).to_pylist()]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (turn("play hunger gains", said="Play Hunger Games!"), [("gains", "games", "gold", 1)]),
        (turn("play hunger games", said="Play hunger games"), []),
        (turn("play the song", said="play song"), [("the", "", "gold", 1)]),
        (turn(said="stop"), [("", "stop", "gold", 1)]),
        (
            turn("play hunger gains", next_heard="play hunger games", next_after_s=5.0),
            [("gains", "games", "rephrase", 1)],
        ),
        # Too late, or something else: no rephrase.
        (turn("play hunger gains", next_heard="play hunger games", next_after_s=600.0), []),
        (turn("play hunger gains", next_heard="what time is it", next_after_s=5.0), []),
        (turn("a b c", "a x c", "a x y"), [("b", "x", "n-best", 1), ("b c", "x y", "n-best", 1)]),
        (turn(), []),
        ({**turn(), "heard": None}, []),
    ],
)
def test_words_confused(row: dict[str, Any], expected: list[tuple[str, str, str, int]]) -> None:
    assert confused(row) == expected


def test_a_pair_counts_once_a_turn_and_the_commonest_come_first() -> None:
    rows = [turn("b a b", said="x a x"), turn("b", said="x"), turn("z", said="y")]
    assert confused(*rows) == [("b", "x", "gold", 2), ("z", "y", "gold", 1)]
    assert len(words_confused(rows, top=1)) == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (turn(intent="Play", gold_intent="Read"), [("Play", "Read", "gold", 1)]),
        (turn(intent="Play", gold_intent="Play"), []),
        (turn(intent=None, gold_intent="Read"), [("nothing", "Read", "gold", 1)]),
        (
            turn(intent="Play", next_intent="Read", next_after_s=3.0),
            [("Play", "Read", "next turn", 1)],
        ),
        (turn(intent="Play", next_intent="Read", next_after_s=300.0), []),
        (turn(intent="Play", next_intent="Play", next_after_s=3.0), []),
    ],
)
def test_intents_confused(row: dict[str, Any], expected: list[tuple[str, str, str, int]]) -> None:
    assert [
        tuple(confused_intents.values()) for confused_intents in intents_confused([row]).to_pylist()
    ] == expected


def mention(*scores: float | None, text: str = "The Moon") -> dict[str, Any]:
    candidates = [{"id": f"e{s}", "name": f"name {s}", "score": s} for s in scores]
    return {"slot": "title", "text": text, "candidates": candidates}


@pytest.mark.parametrize(
    ("logged", "kind"),
    [
        (mention(), "unresolved"),
        ({"slot": None, "text": None, "candidates": None}, "unresolved"),
        (mention(0.8, 0.75), "ambiguous"),
        (mention(0.75, 0.8), "ambiguous"),
        (mention(0.9, 0.3), None),
        (mention(0.9), None),
        (mention(None, None), None),
    ],
)
def test_mentions(logged: dict[str, Any], kind: str | None) -> None:
    rows = mentions([turn(mentions=[logged, logged])]).to_pylist()
    assert [row["kind"] for row in rows] == ([kind] if kind else [])
    assert all(row["turns"] == 1 for row in rows)


@pytest.fixture
def snapshot(scored_store: Store) -> Any:
    with scored_store.snapshot() as snapshot:
        yield snapshot


@pytest.mark.parametrize("point", FAILURE_POINTS[:5])
def test_every_stage_has_its_tables(snapshot: Snapshot, point: str) -> None:
    inside = Inside(MODEL, point, (("device_type", "phone"),))
    evidence = of_slice(snapshot, inside)
    names = {
        "false_wake": {"scores", "hours", "devices"},
        "asr": {"confused", "confidence", "places"},
        "nlu": {"intents"},
        "er": {"mentions"},
        "result": {"outcomes"},
    }
    assert set(evidence.tables) == names[point]
    assert evidence.read <= evidence.blamed
    assert evidence.words()


def test_confidence_counts_every_turn_once(snapshot: Snapshot) -> None:
    inside = Inside(MODEL, "asr", (("locale", "(not logged)"),))
    steps = slice_evidence.confidence_steps(snapshot, inside).to_pylist()
    counts = snapshot.query(
        "SELECT count(asr.hypotheses[1].confidence) AS n, "
        "count(asr.hypotheses[1].confidence) FILTER (locale IS NULL) AS inside FROM turns "
        "SEMI JOIN (FROM predictions WHERE model_id = $1) USING (turn_id)",
        [MODEL],
    ).to_pylist()[0]
    assert sum(row["inside"] for row in steps) == counts["inside"]
    assert sum(row["inside"] + row["rest"] for row in steps) == counts["n"]


def test_records_are_bounded_and_the_same_every_time(snapshot: Snapshot) -> None:
    inside = Inside(MODEL, "asr", ())
    blamed, rest = slice_evidence.blamed(snapshot, inside)
    assert rest == 0
    assert blamed > 3
    some = slice_evidence.records(snapshot, inside, most=3)
    assert some.num_rows == 3
    assert some.equals(slice_evidence.records(snapshot, inside, most=3))
    times: list[Any] = some["started_at"].to_pylist()
    assert times == sorted(times, reverse=True)
    whole = slice_evidence.records(snapshot, inside)
    assert whole.num_rows == blamed
    # The next turn is the next one of the same dialogue.
    following = {row["turn_id"]: row["next_heard"] for row in whole.to_pylist()}
    sql = (
        "SELECT t.turn_id, n.asr.hypotheses[1].text AS heard FROM turns t LEFT JOIN turns n "
        "ON n.dialogue_id = t.dialogue_id AND n.turn_index = t.turn_index + 1"
    )
    expected = {row["turn_id"]: row["heard"] for row in snapshot.query(sql).to_pylist()}
    assert following == {turn_id: expected[turn_id] for turn_id in following}


def test_what_sets_a_slice_apart(snapshot: Snapshot) -> None:
    inside = Inside(MODEL, "asr", (("device_type", "phone"),))
    comparison = apart(snapshot, inside)
    turns = snapshot.query(
        "SELECT count(*) FILTER (device_type = 'phone') AS n, count(*) AS every FROM predictions "
        "WHERE model_id = $1 AND failure_point = 'asr'",
        [MODEL],
    ).to_pylist()[0]
    assert (comparison.turns, comparison.turns + comparison.rest) == (turns["n"], turns["every"])
    assert len(comparison.stages) == 7
    assert all(
        contrast.low <= contrast.difference <= contrast.high for contrast in comparison.stages
    )
    assert all(
        0 < contrast.low <= contrast.difference <= contrast.high for contrast in comparison.features
    )


def test_a_slice_without_blamed_turns_has_nothing_to_compare(snapshot: Snapshot) -> None:
    inside = Inside(MODEL, "asr", (("domain", "nowhere"),))
    assert apart(snapshot, inside).features == ()
    assert of_slice(snapshot, inside).read == 0


def test_columns_of_slices(snapshot: Snapshot) -> None:
    whole, share = slice_columns(snapshot, MODEL, "asr", Filter())
    assert share == 1.0
    assert (
        whole.num_rows
        == snapshot.query("SELECT count(*) AS n FROM predictions WHERE model_id = $1", [MODEL])[
            "n"
        ][0].as_py()
    )
    assert pa.types.is_dictionary(whole["locale"].type)
    part, share = slice_columns(snapshot, MODEL, "asr", Filter(), most=60)
    assert share == 60 / whole.num_rows
    assert 0 < part.num_rows < whole.num_rows
    # Dialogues are whole.
    sizes = Counter(whole["dialogue"].to_pylist())
    assert all(
        sizes[dialogue] == n for dialogue, n in Counter(part["dialogue"].to_pylist()).items()
    )
    none, _ = slice_columns(snapshot, MODEL, "asr", Filter(locale=("nowhere",)))
    assert none.num_rows == 0
    assert none.column_names == whole.column_names
