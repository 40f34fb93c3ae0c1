"""The Annotate page and what annotating adds to the Turn page, run without a browser."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from streamlit.testing.v1 import AppTest

from charts.turn_timeline import timeline
from classifiers.model import Model
from classifiers.scoring.score import score as run_score
from data.errors import StoreBusy, UsageError
from data.queries import overview
from data.queries.filters import Filter
from data.queries.similar_requests import alike
from data.queries.turn_list import Listing, neighbours
from data.queries.turns import prediction
from data.store.annotations import (
    SHARE,
    annotate,
    withdraw,
)
from data.store.store import Store
from data.store.workspace import put_setting
from labels.rules.correct_hypothesis import proven
from parts.shared import verdict_form
from tests.app import Open, press, texts
from tests.scored import MODEL


def stored_annotations(store: Store) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return list(snapshot.query("FROM annotations ORDER BY created_at").to_pylist())


def signed_in(at: AppTest, who: str) -> AppTest:
    at.session_state["annotator_name"] = who
    return at.run()


def judge(at: AppTest, failure_point: str) -> AppTest:
    """Press the button of a verdict on the turn shown."""
    prefix = f"say-{failure_point}-"
    next(b for b in at.button if str(b.key or "").startswith(prefix)).click().run()
    assert not at.exception
    return at


def test_the_name_is_asked_once_and_recorded_with_the_verdict(
    opened: Open, own_store: Store
) -> None:
    at = opened(own_store.path, "annotate")
    assert not any(str(b.key or "").startswith("say-") for b in at.button)
    next(t for t in at.text_input if t.label.startswith("Your name")).set_value(" ann ")
    press(at, "Start")
    assert "Why this one" in texts(at)
    judge(at, "nlu")
    (annotation,) = stored_annotations(own_store)
    assert (annotation["annotator"], annotation["failure_point"]) == ("ann", "nlu")
    assert "Recorded: NLU" in texts(at)


def test_a_judges_name_is_refused(opened: Open, own_store: Store) -> None:
    at = opened(own_store.path, "annotate")
    next(t for t in at.text_input if t.label.startswith("Your name")).set_value("Judge:gpt")
    press(at, "Start")
    assert "which is for outside judges" in at.error[0].value
    assert "Why this one" not in texts(at)


def test_keys_skip_and_undo(opened: Open, own_store: Store) -> None:
    at = signed_in(opened(own_store.path, "annotate"), "ann")
    keys = [b.proto.shortcut.lower() for b in at.button if b.proto.shortcut]
    assert sorted(keys) == ["1", "2", "3", "4", "5", "6", "s", "u"]
    first = at.session_state["queue_turn"]
    press(at, "Skip")
    other = at.session_state["queue_turn"]
    assert other != first
    judge(at, "er")
    assert at.session_state["queue_turn"] != other
    press(at, "Undo")
    assert stored_annotations(own_store) == []
    assert at.session_state["queue_turn"] == other


def test_a_second_key_before_the_next_turn_is_drawn_is_ignored(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = own_store.snapshot().query("FROM turns LIMIT 1").to_pylist()[0]
    recorded = [("annotation", {"turn_id": turn["turn_id"]})]
    monkeypatch.setattr(verdict_form, "done", lambda: recorded)
    # The browser still shows the turn that has just been judged.
    verdict_form._say(str(own_store.path), turn, "ann", "er", decides=False, once=True)
    assert stored_annotations(own_store) == []
    # On the page of a turn an annotator may judge again.
    verdict_form._say(str(own_store.path), turn, "ann", "er", decides=False, once=False)
    assert [row["failure_point"] for row in stored_annotations(own_store)] == ["er"]


def test_gold_is_recorded_with_the_verdict_and_bad_slots_are_refused(
    opened: Open,
    own_store: Store,
) -> None:
    at = signed_in(opened(own_store.path, "annotate"), "ann")
    turn = at.session_state["queue_turn"]
    at.text_input(key=f"gold-{turn}-transcript").set_value("play two")
    at.text_area(key=f"gold-{turn}-slots").set_value("two").run()
    judge(at, "asr")
    assert stored_annotations(own_store) == []
    assert "'two' is not a slot" in at.error[0].value
    at.text_area(key=f"gold-{turn}-slots").set_value("song = two").run()
    judge(at, "asr")
    (annotation,) = stored_annotations(own_store)
    assert annotation["transcript"] == "play two"
    assert annotation["slots"] == [{"name": "song", "value": "two"}]


def test_two_people_get_different_turns_and_do_not_see_each_other(
    opened: Open,
    own_store: Store,
) -> None:
    put_setting(own_store, SHARE, 1.0)
    ann = signed_in(opened(own_store.path, "annotate"), "ann")
    bob = signed_in(opened(own_store.path, "annotate"), "bob")
    first = ann.session_state["queue_turn"]
    assert bob.session_state["queue_turn"] != first
    judge(ann, "result")
    judge(bob, "er")
    # Then bob is asked for a second opinion on ann's turn, and does not see the first.
    assert bob.session_state["queue_turn"] == first
    assert "a second opinion" in texts(bob)
    page = signed_in(opened(own_store.path, "turn", turn=first), "bob")
    assert "Another verdict is shown when" in texts(page)
    assert "**Result**" not in texts(page)
    judge(bob, "nlu")
    assert "**Result**" in texts(page.run())


def test_filters_that_match_nothing_say_so(opened: Open, own_store: Store) -> None:
    at = opened(own_store.path, "annotate", since="2024-03-10", until="2024-03-08")
    assert "Nothing is left to annotate" in texts(signed_in(at, "ann"))


def test_differences_are_decided(opened: Open, own_store: Store) -> None:
    with own_store.snapshot() as snapshot:
        turn = snapshot.query("FROM turns WHERE turn_id = 'nasty'").to_pylist()[0]
    annotate(own_store, turn, "ann", "asr")
    annotate(own_store, turn, "bob", "nlu", note="<b>no</b>")
    at = signed_in(opened(own_store.path, "annotate", task="differences"), "cyd")
    assert "**1** turn to decide" in texts(at)
    judge(at, "nlu")
    assert stored_annotations(own_store)[-1]["adjudicated"]
    assert "Annotators agree" in texts(at)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("agreement", "Nobody has annotated a turn yet"),
        ("differences", "Annotators agree"),
        ("files", "0 annotations"),
        ("train", "Train a new model"),
        ("nonsense", "Annotate"),
    ],
)
def test_every_task_opens_without_annotations(
    opened: Open,
    scored_store: Store,
    task: str,
    words: str,
) -> None:
    at = signed_in(opened(scored_store.path, "annotate", task=task), "ann")
    assert words in texts(at)


def test_the_agreement_of_two_annotators_is_drawn(opened: Open, own_store: Store) -> None:
    with own_store.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id LIMIT 8").to_pylist()
    for i, turn in enumerate(turns):
        annotate(own_store, turn, "ann", "asr" if i % 2 else "nlu")
        annotate(own_store, turn, "bob", "asr" if i % 2 or i == 0 else "nlu")
    at = opened(own_store.path, "annotate", task="agreement")
    assert "Krippendorff" in texts(at)
    assert all(chart.proto.alt for chart in at.get("plotly_chart"))


def test_a_busy_store_refuses_the_annotation_after_a_while(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.store.annotations.PATIENCE_S", 0.2)
    with own_store.snapshot() as snapshot:
        turn = snapshot.query("FROM turns LIMIT 1").to_pylist()[0]
    with (
        FileLock(own_store.path / ".lock"),
        pytest.raises(StoreBusy, match="nothing was recorded, try again"),
    ):
        annotate(own_store, turn, "ann", "asr")
    assert withdraw(own_store, annotate(own_store, turn, "ann", "asr"))


# -- the Turn page ---------------------------------------------------------------------------------


def test_a_list_leads_from_turn_to_turn(opened: Open, scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        ids = overview.defects(snapshot, MODEL, Filter())["turn_id"].to_pylist()
    at = opened(scored_store.path, "turn", turn=ids[1], list="defects", order="newest")
    at.button(key="list-after").click().run()
    assert at.query_params["turn"] == ids[2]
    assert at.query_params["list"] == "defects"
    at.button(key="list-before").click().run()
    at.button(key="list-before").click().run()
    assert at.query_params["turn"] == ids[0]
    assert at.button(key="list-before").disabled


def test_an_unknown_list_in_a_link_is_reported(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn", turn="d001-0", list="best")
    assert "Unknown list=best" in texts(at)


@pytest.mark.parametrize("of", ["defects", "all", "asr"])
@pytest.mark.parametrize("order", ["newest", "certain"])
def test_neighbours_are_those_in_the_whole_list(scored_store: Store, of: str, order: str) -> None:
    chosen = Filter(device=("phone",))
    column = "started_at" if order == "newest" else "p_asr" if of == "asr" else "p_defect"
    where = {"defects": "failure_point <> 'correct'", "all": "true", "asr": "failure_point = 'asr'"}
    listing = Listing(of, order, (("hour", "08-12"),) if of == "all" else ())
    assert Listing.from_query(listing.query()) == listing
    inside = "hour(started_at) BETWEEN 8 AND 11" if of == "all" else "true"
    with scored_store.snapshot() as snapshot:
        ids = snapshot.query(
            f"SELECT turn_id FROM predictions WHERE device_type = 'phone' AND {where[of]} "
            f"AND {inside} ORDER BY {column} DESC, turn_id"
        )["turn_id"].to_pylist()
        assert len(ids) > 2
        for index, turn in enumerate(ids):
            row = snapshot.query("FROM predictions WHERE turn_id = $t", {"t": turn}).to_pylist()[0]
            before, after = neighbours(snapshot, MODEL, chosen, listing, row)
            assert (before or {}).get("turn_id") == (ids[index - 1] if index else None)
            assert (after or {}).get("turn_id") == (ids[index + 1] if turn != ids[-1] else None)


def test_a_slice_travels_in_the_link_whatever_its_values() -> None:
    odd = Listing("nlu", "certain", (("intent", "a;b=c%3B"), ("locale", "en-GB")))
    assert Listing.from_query(odd.query()) == odd
    with pytest.raises(UsageError, match="Unknown dimension"):
        Listing.from_query({"list": "all", "within": "colour=red"})


def test_similar_requests_share_words(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        requests = alike(snapshot, MODEL, "d001-0", "play song 1").to_pylist()
        row = snapshot.query("FROM turns WHERE turn_id = 'd001-0'").to_pylist()[0]
        assert prediction(snapshot, row, MODEL) is not None
    assert requests[0]["heard"] in ("play song 1", "play song 2", "play song 3")
    assert all("play" in row["heard"] or "song" in row["heard"] for row in requests)
    assert [row["overlap"] for row in requests] == sorted(
        (r["overlap"] for r in requests), reverse=True
    )


@pytest.mark.parametrize(
    ("transcript", "later", "expected"),
    [
        ("play songs", [], (1, "transcript")),
        ("Play Song!", [], (0, "transcript")),
        ("something else", ["play songs"], None),
        (None, ["play songs"], (1, "said again")),
        (None, ["play song"], None),
        (None, [None, "play thongs"], (2, "said again")),
        (None, ["a", "b", "play songs"], None),
    ],
)
def test_the_right_hypothesis_comes_from_the_transcript_or_a_repeat(
    transcript: str | None, later: list[str | None], expected: tuple[int, str] | None
) -> None:
    assert proven(["play song", "play songs", "play thongs"], transcript, later) == expected


def test_times_lie_where_they_were_logged_or_end_to_end() -> None:
    asr = {"start_ms": 100.0, "audio_ms": 900.0, "latency_ms": 50.0}
    nlu = {"start_ms": 1050.0, "latency_ms": 20.0}
    line = timeline({"asr": asr, "nlu": nlu})
    assert line is not None
    assert [(s.stage, s.start, s.length) for s in line.spans] == [
        ("listening", 100.0, 900.0),
        ("asr", 1000.0, 50.0),
        ("nlu", 1050.0, 20.0),
    ]
    streamed = timeline({"asr": asr, "nlu": {**nlu, "start_ms": 400.0}})
    assert streamed is not None
    assert [s.stage for s in streamed.spans] == ["asr", "nlu"]
    bare = timeline({"asr": {"latency_ms": 50.0}, "nlu": nlu})
    assert bare is not None
    assert not bare.measured
    assert [(s.start, s.length) for s in bare.spans] == [(0.0, 50.0), (50.0, 20.0)]
    assert timeline({"asr": {"start_ms": 3.0}, "nlu": None}) is None


# -- a new model -----------------------------------------------------------------------------------


@pytest.mark.long
def test_a_model_is_trained_and_compared_before_it_is_used(
    opened: Open,
    six: tuple[Store, Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(store: Store, model: str) -> None:
        raise StoreBusy("another process writes")

    store = Store.open(shutil.copytree(six[0].path, tmp_path / "six"))
    run_score(store)
    with store.snapshot() as snapshot:
        turns = snapshot.query("FROM predictions ORDER BY turn_id LIMIT 12").to_pylist()
    for turn in turns:
        annotate(store, turn, "ann", "correct")
    at = opened(store.path, "annotate", task="train")

    def until(words: str) -> None:
        for _ in range(120):
            if words in texts(at):
                return
            time.sleep(1)
            at.run()
            assert not at.exception
        raise AssertionError(texts(at))

    press(at, "Train")
    until("it is not in use")
    until("McNemar")
    assert store.head().model == six[1].id
    with monkeypatch.context() as patch:
        patch.setattr(Store, "promote", refuse)
        press(at, "Use this model")
    assert "another process writes" in texts(at)
    assert store.head().model == six[1].id
    press(at, "Use this model")
    assert "another process writes" not in texts(at)
    assert store.head().model not in (None, six[1].id)
    until("Scored")
    press(at, "Show its results")
    assert at.query_params["model"] == store.head().model
