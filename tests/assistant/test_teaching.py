"""The reference assistant asks when told to, and uses what its users taught on the next request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from assistant.demo import Setup, run_name, simulate
from assistant.simulate import SATISFIED, Simulated
from assistant.stages import Candidate, Context, Device, Frame, Mention, Resolved, Understood
from assistant.teachable import DECIDED, FILLED, TAUGHT, Lessons, TaughtEr, TaughtNlu
from assistant.teachers import Teacher, as_expected, same
from data.errors import UsageError
from labels.feedback.asking import ASKED, MARGINAL, PROPENSITY, Asking
from labels.teaching.dialogue import IDLE, Lesson, Reply, hear, offer
from labels.teaching.taught import Taught
from tests.simulated import SETUP

AT = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
CONTEXT = Context(Device("d", "speaker", "kitchen", False, True, False), "en-US", AT, user="u")


class Nlu:
    """Reads "play X" as Play, and anything else as nothing."""

    version = "nlu"

    def __call__(self, text: str, context: Context) -> Understood:
        intent, slots = "", tuple[tuple[str, str], ...]()
        if text.startswith("play"):
            intent = "PlayStation"
            slots = (("station", text.removeprefix("play ")),) if " " in text else ()
        return Understood((Frame("radio", intent, 0.9, slots),), 1.0, {})


class Er:
    """Two stations of one name."""

    version = "er"

    def __call__(self, frame: Frame, context: Context) -> Resolved:
        candidates = (Candidate("s1", "Jazz FM", 0.9), Candidate("s2", "Jazz One", 0.88))
        return Resolved((Mention("station", "jazz", candidates),), 1.0, {})


def lessons(*taught: Lesson) -> Lessons:
    known = Lessons()
    for lesson in taught:
        known.learn(lesson, "u", AT - timedelta(days=1))
    return known


def test_a_taught_phrase_is_read_as_what_it_means() -> None:
    taught = lessons(Lesson("concept", "cosy", "play jazz fm")).taught
    nlu = TaughtNlu(Nlu(), taught)
    understood = nlu("cosy please", CONTEXT)
    assert understood.frame.slots == (("station", "jazz fm"),)
    assert understood.signals[TAUGHT] == 1.0
    # For nobody else, not before it was taught, and not once it is forgotten.
    assert nlu("cosy", replace(CONTEXT, user="v")).frame.intent == ""
    assert nlu("cosy", replace(CONTEXT, moment=AT - timedelta(days=2))).frame.intent == ""
    assert TAUGHT not in nlu("play rock fm", CONTEXT).signals
    taught.drop(taught.rows("u")[0]["preference_id"])
    assert nlu("cosy", CONTEXT).frame.intent == ""


def test_a_preference_fills_a_required_slot() -> None:
    nlu = TaughtNlu(Nlu(), lessons(Lesson("preference", "station", "rock fm")).taught)
    understood = nlu("play", CONTEXT)
    assert understood.frame.slots == (("station", "rock fm"),)
    assert understood.signals[FILLED] == 1.0
    assert nlu("play jazz fm", CONTEXT).frame.slots == (("station", "jazz fm"),)


def test_a_preference_decides_a_tie() -> None:
    er = TaughtEr(Er(), lessons(Lesson("preference", "fan", "jazz one")).taught, {})
    resolved = er(Frame("radio", "PlayStation"), CONTEXT)
    assert resolved.entities == {"station": "s2"}
    scores = [one.score for one in resolved.mentions[0].candidates]
    assert scores == sorted(scores, reverse=True)
    assert resolved.signals[DECIDED] == 1.0
    assert er(Frame("radio", "PlayStation"), replace(CONTEXT, user="v")).entities == {
        "station": "s1"
    }


def test_it_offers_to_learn_after_two_failures_and_then_rests() -> None:
    known = lessons()
    assert not known.due("u", "play my mix", AT)
    assert known.due("u", "Play my mix!", AT + timedelta(hours=1))
    assert not known.due("u", "play my mix", AT + timedelta(hours=2))
    assert known.due("u", "play my mix", AT + timedelta(days=8))
    assert not known.due("", "play my mix", AT)


@pytest.mark.parametrize("offered", [True, False])
def test_a_teacher_gets_it_taught(offered: bool) -> None:
    import numpy as np

    for seed in range(20):
        teacher = Teacher("play my mix", "play jazz fm please", np.random.default_rng(seed))
        state, reply = offer("play my mix", AT) if offered else (IDLE, Reply("nothing"))
        said = teacher.answer(state, reply) if offered else teacher.opening()
        while said is not None:
            state, reply = hear(state, said.words, AT)
            assert as_expected(said, state, reply)
            said = teacher.answer(state, reply)
        assert reply.lesson is not None
        assert same(reply.lesson.value, "please play jazz fm please")


def test_settings_are_checked_and_named() -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        replace(SETUP, teaching=1.5).check()
    # Off, the ids of turns stay what they were.
    assert run_name(100, SETUP) == run_name(100, replace(SETUP, asking=None, teaching=None))
    names = {run_name(100, replace(SETUP, teaching=share)) for share in (None, 0.0, 0.5)}
    assert len(names) == 3


def test_it_asks_by_a_plan_and_logs_its_propensity(demo_trained: Path) -> None:
    setup = replace(SETUP, asking=Asking((), otherwise=0.4, rate=0.5, seed=1))
    turns = [turn for batch in simulate(700, setup, trained=demo_trained) for turn in batch]
    asked: dict[str, list[datetime]] = {}
    expected = 0.0
    for turn in turns:
        signals = turn.record["result"]["signals"]
        if PROPENSITY not in signals:
            # Nobody spoke, or another device answered.
            assert "explicit" not in turn.record["feedback"]
            continue
        assert signals[PROPENSITY] in (0.0, 0.4)
        assert 0.0 < signals[MARGINAL] <= 0.4
        expected += signals[MARGINAL]
        says = turn.record["result"]["response"].endswith(SATISFIED)
        assert says == bool(signals[ASKED])
        if turn.record["feedback"].get("explicit"):
            assert signals[ASKED]
        if signals[ASKED]:
            asked.setdefault(turn.record["user_id"], []).append(turn.at)
    questions = sum(map(len, asked.values()))
    assert questions > 60
    # The dialogues of a day are not simulated in order of time.
    assert abs(questions - expected) < 2 * questions**0.5
    for moments in asked.values():
        for before, after in pairwise(moments):
            assert after - before >= timedelta(days=2)


@pytest.mark.long
def test_users_teach_and_it_is_used(tmp_path: Path) -> None:
    setup = Setup(seed=3, days=40, homes=8, habit=0.8, paired=True, gold=0.3, teaching=1.0)

    def run(teaching: float) -> list[Simulated]:
        given = replace(setup, teaching=teaching)
        return [turn for batch in simulate(2_000, given, trained=tmp_path) for turn in batch]

    turns, again, control = run(1.0), run(1.0), run(0.0)
    assert [turn.record for turn in turns] == [turn.record for turn in again]
    lessons_ = [turn for turn in turns if turn.truth["gold"].get("domain") == "teaching"]
    used = [turn for turn in turns if TAUGHT in turn.record["nlu"]["signals"]]
    assert len(lessons_) > 20
    assert len(used) > 10
    right = sum(turn.truth["failure_point"] == "correct" for turn in lessons_)
    assert right / len(lessons_) > 0.5
    assert not any(turn.truth["gold"].get("domain") == "teaching" for turn in control)
    stored = [turn for turn in lessons_ if turn.record["result"]["response"] == "Got it."]
    first = min(turn.at for turn in stored)
    assert all(turn.at > first for turn in used)
    assert len({turn.record["turn_id"] for turn in turns}) == len(turns)


def test_nothing_is_applied_without_a_user() -> None:
    taught = Taught()
    assert TaughtNlu(Nlu(), taught)("cosy", replace(CONTEXT, user="")).frame.intent == ""
