"""What to annotate next: the most informative first, no turn twice, no turn for two at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from annotation import candidates
from annotation.queue import (
    Leases,
    disputed,
    rank,
    waiting,
)
from data.errors import UsageError
from data.queries.annotations import latest
from data.queries.filters import Filter
from data.store.annotations import annotate, shown_to, wants_second
from data.store.store import Store
from labels.rules.derived import refresh
from tests.scored import MODEL, fill, score


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return fill(tmp_path_factory.mktemp("queue") / "store")


def candidate(turn_id: str, **more: Any) -> dict[str, Any]:
    return {
        "turn_id": turn_id,
        "heard": f"words of {turn_id}",
        "domain": "music",
        "intent": turn_id,
        "status": "ok",
        "p_defect": 0.3,
        "margin": 0.9,
        "asked": 1,
        "differs": False,
        "odd": False,
        "frame_turns": 10,
        "frame_excess": 0.0,
        "frame_labelled": 100,
    } | more


def first(rows: list[dict[str, Any]], kind: str | None = None) -> dict[str, Any]:
    best: dict[str, Any] = rank(pa.Table.from_pylist(rows), kind).to_pylist()[0]
    return best


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("uncertainty", {"margin": 0.02}, "hesitates between two failure points, 2.0 points"),
        ("disagreement", {"differs": True}, "Two models judge this turn differently"),
        ("disagreement", {"odd": True, "status": "error"}, "sees nothing wrong, but the action"),
        ("novelty", {"frame_labelled": 0}, "Few labels for music · x: no turn has a label"),
        ("impact", {"frame_excess": 40.0}, "about 40 failures above expectation"),
        ("impact", {"asked": 90}, "90 turns of this period have the same words"),
    ],
)
def test_the_strongest_comes_first_and_says_why(
    kind: str, more: dict[str, Any], words: str
) -> None:
    others = [candidate(f"o{i}") for i in range(8)]
    for order in (kind, None):
        best = first([*others, candidate("x", **more)], order)
        assert best["turn_id"] == "x"
        assert best["kind"] == kind
        assert words in best["reason"]


def test_the_reason_does_not_give_the_verdict_away() -> None:
    rows = [candidate("x", margin=0.01, differs=True, failure_point="asr", other="nlu")]
    for kind in ("uncertainty", "disagreement"):
        reason = first(rows, kind)["reason"].lower()
        assert "asr" not in reason
        assert "nlu" not in reason


def test_repeated_words_come_later() -> None:
    same = [candidate(f"s{i}", heard="stop", intent="Stop", margin=0.01) for i in range(3)]
    other = candidate("other", margin=0.2)
    order = rank(pa.Table.from_pylist([*same, other]), "uncertainty")["turn_id"].to_pylist()
    assert order[1] == "other"


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(UsageError, match="Unknown order of the queue: 'luck'"):
        rank(pa.Table.from_pylist([candidate("x")]), "luck")


def test_candidates_have_no_label_in_the_logs_and_fit_the_filter(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        gold = snapshot.query("SELECT turn_id FROM turns WHERE gold.failure_point IS NOT NULL")
    refresh(filled)
    phones_only = Filter(device=("phone",))
    with filled.snapshot() as snapshot:
        table = candidates.candidates(snapshot, MODEL, phones_only)
        phones = snapshot.query("SELECT turn_id FROM predictions WHERE device_type = 'phone'")
        at_random = candidates.at_random(snapshot, MODEL, phones_only)
    ids = set(table["turn_id"].to_pylist())
    assert ids == set(phones["turn_id"].to_pylist()) - set(gold["turn_id"].to_pylist())
    assert set(at_random["turn_id"].to_pylist()) == ids
    assert rank(table).num_rows == len(ids)
    assert rank(table.slice(0, 0)).num_rows == 0


def test_a_second_model_counts(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    score(store, "model-b", seed=5)
    with store.snapshot() as snapshot:
        rows = candidates.candidates(snapshot, MODEL, Filter(), "model-b").to_pylist()
    assert any(row["differs"] for row in rows)
    for row in rows:
        assert row["differs"] == (row["other"] != row["failure_point"])


def annotations_of(*rows: tuple[str, str, str, bool]) -> pa.Table:
    names = ("turn_id", "annotator", "failure_point", "adjudicated")
    kinds = [pa.string(), pa.string(), pa.string(), pa.bool_()]
    annotations = [dict(zip(names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(annotations, schema=pa.schema(list(map(pa.field, names, kinds))))


def test_nobody_gets_a_turn_that_is_done() -> None:
    ranked = pa.table({"turn_id": ["a", "b", "c"]})
    assert waiting(ranked, annotations_of(), "ann", 0.0) == ["a", "b", "c"]
    judged_by_ann = annotations_of(("a", "ann", "asr", False))
    assert waiting(ranked, judged_by_ann, "ann", 0.0) == ["b", "c"]
    assert waiting(ranked, judged_by_ann, "bob", 0.0) == ["b", "c"]


def test_second_opinions_come_first_and_only_once() -> None:
    ranked = pa.table({"turn_id": ["b"]})
    judged_by_ann = annotations_of(("a", "ann", "asr", False))
    assert waiting(ranked, judged_by_ann, "bob", 1.0) == ["a", "b"]
    assert waiting(ranked, judged_by_ann, "ann", 1.0) == ["b"]
    judged_twice = annotations_of(("a", "ann", "asr", False), ("a", "bob", "nlu", False))
    assert waiting(ranked, judged_twice, "cyd", 1.0) == ["b"]


def test_the_share_of_second_opinions_holds_and_grows() -> None:
    ids = [f"turn-{i}" for i in range(4000)]
    fifth = {turn for turn in ids if wants_second(turn, 0.2)}
    assert 0.17 < len(fifth) / len(ids) < 0.23
    assert fifth < {turn for turn in ids if wants_second(turn, 0.5)}
    assert not any(wants_second(turn, 0.0) for turn in ids)
    assert all(wants_second(turn, 1.0) for turn in ids)


def test_a_verdict_is_hidden_until_there_are_two() -> None:
    judged_by_ann = annotations_of(("a", "ann", "asr", False)).to_pylist()
    assert shown_to(judged_by_ann, "bob", 1.0) == []
    assert shown_to(judged_by_ann, None, 1.0) == []
    assert shown_to(judged_by_ann, "ann", 1.0) == judged_by_ann
    assert shown_to(judged_by_ann, "bob", 0.0) == judged_by_ann, "no second opinion is wanted"
    judged_twice = annotations_of(
        ("a", "ann", "asr", False), ("a", "bob", "nlu", False)
    ).to_pylist()
    assert shown_to(judged_twice, "cyd", 1.0) == judged_twice


def test_turns_to_decide_are_those_without_a_decision() -> None:
    rows = [("a", "ann", "asr", False), ("a", "bob", "nlu", False), ("b", "ann", "er", False)]
    assert list(disputed(annotations_of(*rows))) == ["a"]
    assert disputed(annotations_of(*rows, ("a", "cyd", "nlu", True))) == {}


def test_two_people_never_hold_the_same_turn() -> None:
    leases = Leases(seconds=10)
    assert leases.take(["a", "b"], "ann", now=0) == "a"
    assert leases.take(["a", "b"], "bob", now=1) == "b"
    assert leases.take(["a", "b"], "cyd", now=2) is None
    assert leases.take(["a", "b"], "ann", keep="a", now=3) == "a"
    assert leases.take(["b"], "ann", now=4) is None, "then ann holds nothing"
    assert leases.take(["a", "b"], "cyd", now=5) == "a"
    assert leases.take(["b"], "ann", now=20) == "b", "a lease ends by itself"


@pytest.mark.long
def test_many_annotations_stay_few_files(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    with store.snapshot() as snapshot:
        turn = snapshot.query("SELECT turn_id, dialogue_id, day FROM turns LIMIT 1").to_pylist()[0]
    for i in range(70):
        annotate(store, turn, f"ann {i}", "asr")
    with store.snapshot() as snapshot:
        assert len(snapshot.files["annotations"]) < 64
        assert latest(snapshot).num_rows == 70
