"""Annotations: how disagreements are settled, and that labels and training follow them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from classifiers.training_data import training_turns
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.queries.annotations import SETTLED_SQL, latest
from data.queries.filters import Filter
from data.queries.ground_truth import labelled
from data.queries.turn_table import annotated
from data.store import workspace
from data.store.annotations import annotate, annotate_all, withdraw
from data.store.store import Store
from data.store.turn_deletion import delete
from labels.rules.derived import refresh
from tests.logs import trace, write_lines
from tests.scored import MODEL, score


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    """Two turns with gold, one of them with too little to decide, and two without gold."""
    turns = [
        trace("sure", gold={"failure_point": "asr"}),
        trace("open", gold={"transcript": "play"}, asr={}),
        trace("one", dialogue_id="one"),
        trace("two", dialogue_id="two"),
    ]
    ingest(store, [write_lines(tmp_path / "logs.jsonl", turns)])
    score(store)
    refresh(store)
    return store


def turn(store: Store, name: str) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        sql = "SELECT turn_id, dialogue_id, day FROM turns WHERE turn_id = $turn"
        return dict(snapshot.query(sql, {"turn": name}).to_pylist()[0])


def verdicts(store: Store) -> dict[str, str | None]:
    with store.snapshot() as snapshot:
        rows = snapshot.query(SETTLED_SQL).to_pylist()
    return {row["turn_id"]: row["failure_point"] for row in rows}


def truths(store: Store) -> dict[str, str]:
    with store.snapshot() as snapshot:
        rows = labelled(snapshot, MODEL).to_pylist()
    return {row["turn_id"]: row["truth"] for row in rows}


def test_more_than_half_decide(filled: Store) -> None:
    row = turn(filled, "one")
    annotate(filled, row, "ann", "asr")
    assert verdicts(filled) == {"one": "asr"}
    annotate(filled, row, "bob", "nlu")
    assert verdicts(filled) == {"one": None}
    annotate(filled, row, "cyd", "nlu")
    assert verdicts(filled) == {"one": "nlu"}


def test_the_last_verdict_of_an_annotator_counts(filled: Store) -> None:
    row = turn(filled, "one")
    annotate(filled, row, "ann", "asr")
    last = annotate(filled, row, " ann ", "er")
    assert verdicts(filled) == {"one": "er"}
    assert withdraw(filled, last)
    assert not withdraw(filled, last)
    assert verdicts(filled) == {"one": "asr"}


def test_the_adjudicator_decides(filled: Store) -> None:
    row = turn(filled, "one")
    for name in ("ann", "bob"):
        annotate(filled, row, name, "asr")
    annotate(filled, row, "cyd", "result", adjudicated=True)
    assert verdicts(filled) == {"one": "result"}


def test_the_dashboard_takes_precedence_over_the_logs(filled: Store) -> None:
    assert truths(filled) == {"sure": "asr"}
    annotate(filled, turn(filled, "sure"), "ann", "nlu")
    annotate(filled, turn(filled, "two"), "ann", "correct")
    assert truths(filled) == {"sure": "nlu", "two": "correct"}
    annotate(filled, turn(filled, "sure"), "bob", "er")
    assert truths(filled) == {"two": "correct"}, "split annotators settle nothing"


def test_training_follows_the_annotations(filled: Store) -> None:
    annotate(filled, turn(filled, "sure"), "ann", "nlu", transcript="play jazz")
    annotate(filled, turn(filled, "two"), "ann", "correct")
    with filled.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0, unlabelled=0)
    gold = {row["turn_id"]: row["gold"] for row in turns.select(["turn_id", "gold"]).to_pylist()}
    assert gold["sure"]["failure_point"] == "nlu"
    assert gold["sure"]["transcript"] == "play jazz"
    assert gold["two"]["failure_point"] == "correct"
    assert gold["open"] == {**gold["open"], "failure_point": None, "transcript": "play"}
    assert gold["one"] is None, "read because it was heard at the same instant; nobody labelled it"


def test_labels_follow_the_gold(filled: Store, tmp_path: Path) -> None:
    assert refresh(filled) == 0
    better = trace("open", gold={"failure_point": "er"})
    gone = trace("sure")
    ingest(filled, [write_lines(tmp_path / "again.jsonl", [better, gone])])
    assert refresh(filled) == 1
    assert truths(filled) == {"open": "er"}


def test_annotations_are_deleted_with_their_turn(filled: Store) -> None:
    annotate(filled, turn(filled, "one"), "ann", "asr")
    delete(filled, dialogue_ids=["one"])
    with filled.snapshot() as snapshot:
        assert latest(snapshot).num_rows == 0


@pytest.mark.parametrize(
    ("annotator", "verdict", "message"),
    [(" ", "asr", "needs the annotator's name"), ("ann", "tts", "Unknown failure point 'tts'")],
)
def test_bad_annotations_raise_a_usage_error(
    filled: Store, annotator: str, verdict: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        annotate(filled, turn(filled, "one"), annotator, verdict)


def test_the_workspace_keeps_one_row_per_key(store: Store) -> None:
    workspace.set_triage(store, "locale=en-GB", "asr", owner="ann", state="looking")
    workspace.set_triage(store, "locale=en-GB", "asr", owner="ann", state="fixed", version="4.3")
    workspace.set_target(store, "asr", 0.05)
    workspace.set_target(store, "asr", 0.04)
    workspace.set_target(store, "nlu", 0.02)
    workspace.set_target(store, "nlu", None)
    workspace.save_view(store, "mine", "explore", "locale=en-GB")
    workspace.save_view(store, "mine", "explore", "locale=en-US")
    with store.snapshot() as snapshot:
        (slice_,) = workspace.triage(snapshot).values()
        assert (slice_["state"], slice_["version"]) == ("fixed", "4.3")
        assert workspace.targets(snapshot) == {"asr": 0.04}
        assert [view["query"] for view in workspace.views(snapshot)] == ["locale=en-US"]
    assert workspace.drop_view(store, "mine")
    assert not workspace.drop_view(store, "mine")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"state": "done"}, "Unknown state 'done'"),
        ({"state": "fixed"}, "needs the version"),
        ({"link": "javascript:alert(1)"}, "is not a web address"),
    ],
)
def test_bad_triage_raises_a_usage_error(store: Store, wrong: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        workspace.set_triage(store, "s", "asr", **wrong)


PREFIX = "https://tickets.example/browse/"


@pytest.mark.parametrize(
    ("prefix", "written", "kept", "address"),
    [
        (PREFIX, "VA-12", "VA-12", PREFIX + "VA-12"),
        (PREFIX, PREFIX + "VA-12", "VA-12", PREFIX + "VA-12"),
        (PREFIX, "#12", "#12", PREFIX + "12"),
        (PREFIX, "https://other.example/1", "https://other.example/1", "https://other.example/1"),
        ("", "https://other.example/1", "https://other.example/1", "https://other.example/1"),
    ],
)
def test_a_ticket_is_a_key_or_an_address(
    store: Store, prefix: str, written: str, kept: str, address: str
) -> None:
    workspace.set_ticket_prefix(store, prefix)
    workspace.set_triage(store, "s", "asr", link=f" {written} ")
    with store.snapshot() as snapshot:
        link = workspace.triage(snapshot)["s"]["link"]
        assert link == kept
        assert workspace.ticket_address(link, workspace.ticket_prefix(snapshot)) == address


def test_a_key_without_a_prefix_is_refused_and_says_what_to_do(store: Store) -> None:
    with pytest.raises(UsageError, match=r"has no ticket prefix.*set the prefix"):
        workspace.set_triage(store, "s", "asr", link="VA-12")


@pytest.mark.parametrize("prefix", ["tickets", "javascript:alert(", "https://tickets.example"])
def test_a_ticket_prefix_is_the_start_of_a_web_address(store: Store, prefix: str) -> None:
    with pytest.raises(UsageError, match="not the start of a web address"):
        workspace.set_ticket_prefix(store, prefix)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "VA-12", "a b", None, ""])
def test_a_stored_ticket_without_a_way_to_it_has_no_address(link: str | None) -> None:
    assert workspace.ticket_address(link, "") is None


def test_turns_have_one_owner_and_are_no_slices(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id LIMIT 3").to_pylist()
    assert workspace.assign_turns(filled, [*turns, turns[0]], "asr", " Ada ") == 3
    assert workspace.assign_turns(filled, turns[:1], "nlu", "Bob") == 1
    assert workspace.assign_turns(filled, turns[1:2], "asr", "") == 1
    assert workspace.assign_turns(filled, [], "asr", "Ada") == 0
    with filled.snapshot() as snapshot:
        assert workspace.triage(snapshot) == {}
        assert {(t["turn_id"], t["owner"]) for t in workspace.assigned(snapshot)} == {
            (turns[0]["turn_id"], "Bob"),
            (turns[2]["turn_id"], "Ada"),
        }
        assert workspace.owner_of(snapshot, turns[0]) == "Bob"
        assert workspace.owner_of(snapshot, turns[1]) is None


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_deleted_turn_is_nobodys(filled: Store, name: str) -> None:
    workspace.assign_turns(filled, [turn(filled, "one"), turn(filled, "two")], "asr", "Ada")
    delete(filled, turn_ids=[name])
    with filled.snapshot() as snapshot:
        assert [t["turn_id"] for t in workspace.assigned(snapshot)] == [
            {"one": "two", "two": "one"}[name]
        ]


def test_several_turns_are_labelled_at_once_or_not_at_all(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id LIMIT 3").to_pylist()
        before = snapshot.counts()["annotations"]
    with pytest.raises(UsageError, match="Unknown failure point"):
        annotate_all(filled, turns, "ann", "tts")
    version = filled.head().tables.get("annotations", 0)
    ids = annotate_all(filled, turns, "ann", "asr")
    assert filled.head().tables["annotations"] == version + 1
    assert withdraw(filled, *ids)
    assert not withdraw(filled, *ids)
    with filled.snapshot() as snapshot:
        assert snapshot.counts()["annotations"] == before


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, float("nan")])
def test_a_target_is_a_share(store: Store, target: float) -> None:
    with pytest.raises(UsageError, match="give a share between 0 and 1"):
        workspace.set_target(store, "asr", target)


@pytest.mark.parametrize("failure_point", ["tts", "correct"])
def test_only_a_failure_has_a_target(store: Store, failure_point: str) -> None:
    with pytest.raises(UsageError, match="choose one of false_wake, asr"):
        workspace.set_target(store, failure_point, 0.1)


def test_gold_without_a_truth_is_not_a_judgement(filled: Store) -> None:
    with filled.snapshot() as snapshot:
        assert snapshot.counts()["labelled"] == 2
        assert annotated(snapshot, MODEL, Filter()) == 1
        assert annotated(snapshot, MODEL, Filter(source="annotated")) == 1
        assert annotated(snapshot, MODEL, Filter(source="predicted")) == 0
