"""Failure points derived from gold: one row of the table per rule, then the invariants."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import UsageError
from data.schema.trace import FAILURE_POINTS, TURNS
from labels.rules.failure_point import COLUMNS, RULES, compare, derive, labels
from labels.rules.rule_agreement import main, read

SHARED = Path(__file__).parents[3].parent / "shared"
CORPORA = SHARED / "corpora"
FIELD = SHARED / "field"


def slots(values: dict[str, str] | list[tuple[str, str]] | None) -> list[dict[str, str]] | None:
    if values is None:
        return None
    pairs = values.items() if isinstance(values, dict) else values
    return [{"name": name, "value": value} for name, value in pairs]


def frame(intent: str | None, values: Any = None, domain: str | None = None) -> dict[str, Any]:
    return {"domain": domain, "intent": intent, "slots": slots(values)}


def turn(
    heard: str | None = None,
    nlu: dict[str, Any] | None = None,
    mentions: list[dict[str, Any]] | None = None,
    did: str | None = None,
    confirming: dict[str, str] | None = None,
    locale: str | None = None,
    wake: str | None = None,
    **gold: Any,
) -> dict[str, Any]:
    """A turn in the shape of a row of `TURNS`; arguments left out are not logged."""
    if gold.get("slots") is not None:
        gold["slots"] = slots(gold["slots"])
    if gold.get("entities") is not None:
        gold["entities"] = list(gold["entities"].items())
    acts = [{"act": "expl-conf", "slots": slots(confirming)}] if confirming else None
    return {
        "turn_id": "t",
        "dialogue_id": "d",
        "turn_index": 0,
        "started_at": datetime(2024, 5, 1, tzinfo=UTC),
        "locale": locale,
        "wake": None if wake is None else {"phrase": wake},
        "prompt": {"text": None, "acts": acts},
        "asr": None if heard is None else {"hypotheses": [{"text": heard}] if heard else []},
        "nlu": None if nlu is None else {"hypotheses": [nlu] if nlu else []},
        "er": None if mentions is None else {"mentions": mentions},
        "result": None if did is None else {"action": did},
        "gold": gold or None,
    }


def table(*turns: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(turns), schema=TURNS)


def mention(slot: str, *ids: str | None) -> dict[str, Any]:
    return {"slot": slot, "text": slot, "candidates": [{"id": name} for name in ids]}


PLAY: dict[str, Any] = frame("play", {"title": "harry potter"}, "books")
WANTED: dict[str, Any] = {"domain": "books", "intent": "play", "slots": {"title": "harry potter"}}
SAID: dict[str, Any] = {"transcript": "play harry potter", **WANTED}
MISHEARD = frame("play", {"title": "hairy otter"}, "books")
VIDEO = frame("play", {"title": "harry potter"}, "video")
BOOK: dict[str, Any] = {"entities": {"title": "hp-1"}}


def replay(intent: str | None, values: Any = None) -> dict[str, Any]:
    return {"intent": intent, "slots": slots(values)}


def filled(logged: Any, gold: Any, locale: str | None = None) -> dict[str, Any]:
    """A turn heard right, whose one intent has the slots `logged` where gold has `gold`."""
    return turn("a", frame("set", logged), locale=locale, transcript="a", intent="set", slots=gold)


CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    # 1
    "not addressed, an intent": (turn("um", frame("play"), addressed=False), "false_wake"),
    "not addressed, only slots": (
        turn("um", frame("none", {"title": "um"}), addressed=False),
        "false_wake",
    ),
    "not addressed, intent none": (turn("um", frame("none"), addressed=False), "correct"),
    "not addressed, intent missing": (turn("um", frame(None), addressed=False), "correct"),
    "not addressed, no hypothesis": (turn("um", {}, addressed=False), "correct"),
    "not addressed, nothing after wake": (turn(addressed=False), "correct"),
    "not addressed, nlu not logged, acted": (turn(did="play", addressed=False), "false_wake"),
    "false wake whatever the outcome": (
        turn("um", frame("play"), addressed=False, result_ok=True),
        "false_wake",
    ),
    # 2
    "all right": (turn("play harry potter", PLAY, **SAID), "correct"),
    "transcript differs, frame right": (turn("play a harry potter", PLAY, **SAID), "correct"),
    "slots in another order": (
        turn(
            "a",
            frame("x", [("a", "1"), ("b", "2")]),
            transcript="b",
            intent="x",
            slots=[("b", "2"), ("a", "1")],
        ),
        "correct",
    ),
    "slot value spelled otherwise": (
        turn(
            "a",
            frame("x", {"time": "7 a.m."}),
            transcript="b",
            intent="x",
            slots={"time": "seven am"},
        ),
        "correct",
    ),
    "all right, result ok": (turn("play harry potter", PLAY, result_ok=True, **SAID), "correct"),
    "frame wrong, outcome right": (
        turn("play harry potter", VIDEO, result_ok=True, **SAID),
        "correct",
    ),
    "slots and entities right": (
        turn("a", PLAY, [mention("title", "hp-1", "hp-2")], **SAID, **BOOK),
        "correct",
    ),
    "gold has slots only": (
        turn("a", PLAY, transcript="b", slots={"title": "harry potter"}),
        "correct",
    ),
    "unsupported, stages right": (
        turn("a", PLAY, result_ok=False, unsupported=True, **SAID),
        "correct",
    ),
    # 3
    "domain wrong": (turn("play harry potter", VIDEO, **SAID), "nlu"),
    "intent wrong": (
        turn("Play Harry Potter!", frame("stop", WANTED["slots"], "books"), **SAID),
        "nlu",
    ),
    "intent and slots wrong": (turn("play harry potter", frame("stop"), **SAID), "nlu"),
    "nlu understood nothing": (turn("play harry potter", {}, **SAID), "nlu"),
    "slot wrong": (turn("play harry potter", MISHEARD, **SAID), "er"),
    "slot missing": (turn("play harry potter", frame("play", {}, "books"), **SAID), "er"),
    "slot filled once, twice in gold": (
        turn(
            "a",
            frame("x", [("who", "bob")]),
            transcript="a",
            intent="x",
            slots=[("who", "bob")] * 2,
        ),
        "er",
    ),
    "slot too many": (
        turn("a", frame("x", {"a": "1", "b": "2"}), transcript="a", intent="x", slots={"a": "1"}),
        "er",
    ),
    "top candidate wrong": (
        turn("play harry potter", PLAY, [mention("title", "hp-2", "hp-1")], **SAID, **BOOK),
        "er",
    ),
    "unresolved": (turn("play harry potter", PLAY, [mention("title")], **SAID, **BOOK), "er"),
    "not even a mention": (turn("play harry potter", PLAY, [], **SAID, **BOOK), "er"),
    "outcome wrong": (turn("play harry potter", PLAY, result_ok=False, **SAID), "result"),
    "outcome wrong, entity right": (
        turn(
            "play harry potter", PLAY, [mention("title", "hp-1")], result_ok=False, **SAID, **BOOK
        ),
        "result",
    ),
    "action wrong": (
        turn("play harry potter", PLAY, did="stop", action="play", **SAID),
        "result",
    ),
    "spelling": (
        turn("the grey colour", MISHEARD, **{**SAID, "transcript": "The gray color"}),
        "er",
    ),
    "numbers": (turn("at twenty five", VIDEO, **{**SAID, "transcript": "at 25"}), "nlu"),
    "spacing": (turn("gastro pub", VIDEO, **{**SAID, "transcript": "gastropub"}), "nlu"),
    "a yes to the prompt confirms the slot": (
        turn(
            "yes",
            frame("affirm"),
            confirming={"to": "Downtown"},
            transcript="yes",
            slots={"to": "downtown"},
        ),
        "correct",
    ),
    "a repeated slot must be understood again": (
        turn(
            "at ten",
            frame("inform", {"hour": "10"}),
            confirming={"half": "pm"},
            transcript="at ten p m",
            slots={"hour": "10", "half": "pm"},
        ),
        "asr",
    ),
    "gold in two wordings": (
        turn(
            "downtown",
            frame("inform", {"to": "downtown"}),
            transcript="downtown",
            slots=[("to", "to downtown"), ("to", "downtown")],
        ),
        "correct",
    ),
    # 4
    "misheard, no replay": (turn("play hairy otter", MISHEARD, **SAID), "asr"),
    "misheard, everything wrong": (
        turn("lay her otter", frame("stop"), [], result_ok=False, **SAID, **BOOK),
        "asr",
    ),
    "heard nothing": (turn("", {}, **SAID), "asr"),
    "replay gives another frame": (
        turn("play hairy otter", MISHEARD, replay=replay("play", WANTED["slots"]), **SAID),
        "asr",
    ),
    "replay gives the same wrong domain": (
        turn("play hairy potter", VIDEO, replay=replay("play", WANTED["slots"]), **SAID),
        "nlu",
    ),
    "replay gives the same wrong slot": (
        turn(
            "lay harry potter",
            MISHEARD,
            replay=replay("play", {"title": "hairy otter"}),
            **SAID,
        ),
        "er",
    ),
    "replay gives the same right frame, outcome wrong": (
        turn(
            "lay harry potter",
            PLAY,
            replay=replay("play", WANTED["slots"]),
            result_ok=False,
            **SAID,
        ),
        "result",
    ),
    "replay states the intent alone, frame right": (
        turn("lay harry potter", PLAY, replay=replay("play"), result_ok=False, **SAID),
        "result",
    ),
    "replay states the intent alone, another one": (
        turn("lay harry potter", PLAY, replay=replay("stop"), result_ok=False, **SAID),
        "asr",
    ),
    "replay states the intent alone, the same wrong one": (
        turn("stop harry", frame("stop"), replay=replay("Stop "), **SAID),
        "nlu",
    ),
    "replay states the intent alone, the slots are wrong": (
        turn("play hairy otter", MISHEARD, replay=replay("play"), **SAID),
        "asr",
    ),
    "replay states the slots alone, the same wrong ones": (
        turn("lay harry", MISHEARD, replay=replay(None, {"title": "hairy otter"}), **SAID),
        "er",
    ),
    "replay states the slots alone, the intent is wrong": (
        turn("lay harry", VIDEO, replay=replay(None, WANTED["slots"]), **SAID),
        "asr",
    ),
    "replay states the slots alone, other ones": (
        turn("play hairy otter", MISHEARD, replay=replay(None, WANTED["slots"]), **SAID),
        "asr",
    ),
    "replay states nothing": (
        turn("lay harry potter", PLAY, replay=replay(None), result_ok=False, **SAID),
        "asr",
    ),
    "replay understood nothing": (
        turn("lay harry potter", PLAY, replay=replay(None, {}), result_ok=False, **SAID),
        "asr",
    ),
    "replay spells the slots otherwise": (
        turn(
            "set it two twenty one",
            frame("set", [("t", "21.0"), ("t", "21.0")]),
            replay=replay("set", {"t": "twenty one"}),
            transcript="set it to 21",
            intent="set",
            slots={"t": "22"},
        ),
        "er",
    ),
    "wake phrase in the text heard": (
        turn("hey juno play harry potter", VIDEO, wake="hey juno", **SAID),
        "nlu",
    ),
    "wake phrase in the transcript": (
        turn("otter", VIDEO, wake="Hey_Juno_v0.1", transcript="Hey Juno, otter!", intent="stop"),
        "nlu",
    ),
    "end of the wake phrase in the text heard": (
        turn("juno, play harry potter", VIDEO, wake="hey juno", **SAID),
        "nlu",
    ),
    "wake phrase after a greeting": (
        turn("hey juno play harry potter", VIDEO, wake="juno", **SAID),
        "nlu",
    ),
    "nothing but the wake phrase": (
        turn("hey juno", frame("greet"), wake="hey juno", transcript="", intent="none"),
        "nlu",
    ),
    "another name than the wake phrase": (
        turn("hey bruno play harry potter", VIDEO, wake="hey juno", **SAID),
        "asr",
    ),
    "wake phrase within the request": (
        turn("play", VIDEO, wake="juno", **{**SAID, "transcript": "play juno"}),
        "asr",
    ),
    "wake phrase without spaces": (
        turn(
            "小爱同学打开灯",
            frame("x"),
            wake="小爱同学",
            locale="zh-CN",
            transcript="打开灯",
            intent="y",
        ),
        "nlu",
    ),
    "the locale decides: umlaut": (
        turn("kueche", frame("x"), locale="de-DE", transcript="Küche", intent="y"),
        "nlu",
    ),
    "the locale decides: no umlaut": (
        turn("kueche", frame("x"), locale="fi-FI", transcript="Küche", intent="y"),
        "asr",
    ),
    "value: 21.0 is 21": (filled({"t": "21.0"}, {"t": "21"}), "correct"),
    "value: 21 is twenty one": (filled({"t": "21"}, {"t": "twenty one"}), "correct"),
    "value: in words of the locale": (
        filled({"t": "21.5"}, {"t": "einundzwanzig Komma fünf"}, "de-DE"),
        "correct",
    ),
    "value: 2.50 is 2.5": (filled({"t": "2.50"}, {"t": "2.5"}), "correct"),
    "value: 1e3 is 1000": (filled({"t": "1e3"}, {"t": "1,000"}), "correct"),
    "value: a sign": (filled({"t": "5"}, {"t": "-5"}), "er"),
    "value: a sign in words": (filled({"t": "-5"}, {"t": "minus five"}), "correct"),
    "value: a decimal point": (filled({"t": "25"}, {"t": "2.5"}), "er"),
    "value: a code": (filled({"pin": "0042"}, {"pin": "42"}), "er"),
    "value: true is True": (filled({"mute": "true"}, {"mute": "True"}), "correct"),
    "value: true is not false": (filled({"mute": "true"}, {"mute": "false"}), "er"),
    "value: a language": (filled({"name": "c"}, {"name": "c++"}), "er"),
    "value: an emoji": (filled({"emoji": "💔"}, {"emoji": "❤️"}), "er"),
    "value: an emoji of another form": (filled({"emoji": "❤"}, {"emoji": "❤️"}), "correct"),
    "value: an address": (filled({"to": "jo@a.com"}, {"to": "joa.com"}), "er"),
    "value: a hesitation is a value": (filled({"song": "um"}, {"song": ""}), "er"),
    "value: clock times": (filled({"at": "07:30"}, {"at": "half past seven"}), "correct"),
    "value: a unit": (filled({"t": "21°C"}, {"t": "21 degrees celsius"}), "correct"),
    "value: another unit": (filled({"t": "21°C"}, {"t": "21°F"}), "er"),
    "slot found by two extractors": (filled([("a", "jo@x.com")] * 2, {"a": "jo@x.com"}), "correct"),
    "slot found by two extractors, spelled twice": (
        filled([("a", "21"), ("a", "21.0")], {"a": "twenty one"}),
        "correct",
    ),
    "slot found by two extractors, one of them wrong": (
        filled([("a", "21"), ("a", "22")], {"a": "21"}),
        "er",
    ),
    "slot said twice, wanted once": (
        turn(
            "tomorrow the day after tomorrow",
            frame("x", [("date", "tomorrow")] * 2),
            transcript="tomorrow the day after tomorrow",
            intent="x",
            slots={"date": "tomorrow"},
        ),
        "er",
    ),
    "empty frame proves nothing": (
        turn("wrong", frame("negate"), transcript="right", slots={}),
        "asr",
    ),
    # 5
    "no gold": (turn("play harry potter", PLAY), None),
    "gold without content": (turn("play harry potter", PLAY, addressed=True), None),
    "transcript only, equal": (turn("a", PLAY, transcript="a"), None),
    "transcript only, different": (turn("a", PLAY, transcript="b"), None),
    "no transcript, frame wrong": (turn("a", MISHEARD, **WANTED), None),
    "no asr text, frame wrong": (turn(None, MISHEARD, **SAID), None),
    "no nlu": (turn("play harry potter", **SAID), None),
    "wrong outcome of an unknown frame": (turn("a", PLAY, transcript="a", result_ok=False), None),
    "intent right, slots not annotated": (
        turn("a", PLAY, transcript="a", intent="play"),
        None,
    ),
    "the verdict of the annotator is not evidence": (
        turn("a", PLAY, failure_point="er"),
        None,
    ),
}


@pytest.fixture(scope="module")
def decided() -> dict[str, dict[str, Any]]:
    """The rows of `derive` by case, derived in one call."""
    rows = derive(table(*[row for row, _ in CASES.values()])).to_pylist()
    return dict(zip(CASES, rows, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_rule(case: str, decided: dict[str, dict[str, Any]]) -> None:
    assert decided[case]["derived"] == CASES[case][1]


def test_every_rule_has_a_case(decided: dict[str, dict[str, Any]]) -> None:
    unreached = {rule.reason for rule in RULES} - {row["reason"] for row in decided.values()}
    # For logs that no case above covers.
    assert unreached <= {
        "not addressed and nlu not logged",
        "asr text differs, replay gives same frame; nothing in gold differs",
        "transcript missing, replay gives same frame; intent or domain differs",
        "transcript missing, replay gives same frame; slots or entities differ",
        "transcript missing, replay gives same frame; frame right, outcome wrong",
    }


def test_every_class_is_reached() -> None:
    assert {expected for _, expected in CASES.values()} == {*FAILURE_POINTS, None}


def test_unsupported_is_flagged() -> None:
    rows = table(turn("a", PLAY, unsupported=True, **SAID), turn("a", PLAY, **SAID), turn("a"))
    assert derive(rows)["unsupported"].to_pylist() == [True, False, False]


def test_labels_prefer_the_annotator() -> None:
    rows = table(
        turn("play harry potter", VIDEO, failure_point="result", **SAID),
        turn("play harry potter", VIDEO, failure_point="nlu", **SAID),
        turn("play harry potter", VIDEO, **SAID),
        turn("play harry potter", VIDEO, failure_point="er"),
        turn("play harry potter", VIDEO),
    )
    assert [tuple(row.values())[1:] for row in labels(rows).to_pylist()] == [
        ("result", "annotated", True),
        ("nlu", "annotated", False),
        ("nlu", "derived", False),
        ("er", "annotated", False),
        (None, None, False),
    ]


def test_compare_counts_and_lists() -> None:
    agreement = compare(
        table(
            turn("play harry potter", VIDEO, failure_point="result", **SAID),
            turn("play harry potter", VIDEO, failure_point="nlu", **SAID),
            turn("play harry potter", VIDEO, failure_point="er"),
            turn("play harry potter", VIDEO),
        )
    )
    assert (agreement.annotated, agreement.agreed, agreement.rate) == (3, 1, 1 / 3)
    assert agreement.disagreements.to_pylist() == [
        {
            "turn_id": "t",
            "annotated": "result",
            "derived": "nlu",
            "reason": "asr text equal; intent or domain differs",
        }
    ]
    assert agreement.confusion.num_rows == 3


def test_no_turns() -> None:
    assert derive(TURNS.empty_table()).num_rows == 0
    assert labels(TURNS.empty_table()).num_rows == 0
    assert compare(TURNS.empty_table()).rate is None


def test_missing_columns_are_named() -> None:
    with pytest.raises(UsageError, match="er, gold is missing"):
        derive(TURNS.empty_table().drop_columns(["er", "gold"]))


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = {
        "turn_id": "t",
        "asr": {"hypotheses": [{"text": "play harry potter"}]},
        "nlu": {"hypotheses": [{"intent": "stop"}]},
        "gold": {"transcript": "play harry potter", "intent": "play", "failure_point": "er"},
    }
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(trace).encode() + b"\n"))
    (tmp_path / "b.jsonl").write_text("no traces\n")
    assert main([str(tmp_path / "a.jsonl.gz"), "--list"]) == 0
    assert "0 of 1 annotated turns agree" in capsys.readouterr().out
    assert main([str(tmp_path / "b.jsonl")]) == 1
    assert "cannot be read as traces" in capsys.readouterr().err
    assert main([str(tmp_path / "missing.jsonl")]) == 1


ROWS = st.lists(st.sampled_from([row for row, _ in CASES.values()]), min_size=1, max_size=12)


@settings(max_examples=10)
@given(rows=ROWS, verdicts=st.data())
def test_derive_never_reads_the_annotators_verdict(
    rows: list[dict[str, Any]], verdicts: st.DataObject
) -> None:
    blind = [row for row in rows if row["gold"]]
    given_verdicts = [verdicts.draw(st.sampled_from([None, *FAILURE_POINTS])) for _ in blind]
    seen = [
        {**row, "gold": {**row["gold"], "failure_point": failure_point}}
        for row, failure_point in zip(blind, given_verdicts, strict=True)
    ]
    assert derive(table(*seen)).equals(derive(table(*blind)))


@settings(max_examples=10)
@given(rows=ROWS, randomly=st.randoms(use_true_random=False))
def test_derive_looks_at_one_row_at_a_time(rows: list[dict[str, Any]], randomly: Any) -> None:
    shuffled = list(range(len(rows)))
    randomly.shuffle(shuffled)
    together = derive(table(*rows))
    moved = derive(table(*[rows[at] for at in shuffled]))
    assert moved.equals(together.take(shuffled))


def test_turns_from_the_field() -> None:
    """What a person would say of 70 turns in 11 languages; none was fitted one by one."""
    path = FIELD / "labels.jsonl"
    if not path.exists():
        assert os.environ.get("CI") != "true", f"{path} must be there in CI"
        pytest.skip("the cases from the field are not on this machine")
    agreement = compare(read(path))
    assert agreement.disagreements.to_pylist() == []
    assert agreement.annotated == agreement.turns >= 70


AGREEMENT = {"dstc1": 0.99, "dstc2": 0.995, "slurp": 0.999}


@pytest.mark.parametrize("corpus", AGREEMENT)
def test_agreement_with_real_annotations(corpus: str) -> None:
    path = CORPORA / f"{corpus}.jsonl.gz"
    if not path.exists():
        assert os.environ.get("CI") != "true", f"{path} must be there in CI"
        pytest.skip(f"the corpus {corpus} is not on this machine")
    rate = compare(read(path)).rate
    assert rate is not None
    assert rate >= AGREEMENT[corpus]


def test_the_columns_are_those_of_the_trace() -> None:
    assert set(COLUMNS) <= set(TURNS.names)
