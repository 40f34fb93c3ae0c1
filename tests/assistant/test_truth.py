"""The failure point is the first stage whose error changed what came after it, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from assistant.stages import (
    Candidate,
    Context,
    Device,
    Frame,
    Heard,
    Mention,
    Outcome,
    Resolved,
    Sound,
    Stages,
    Transcript,
    Understood,
)
from assistant.truth import Logged, Meant, gold, judge

CONTEXT = Context(
    Device("d", "speaker", "kitchen", False, True, False), "en-GB", datetime(2026, 3, 2, tzinfo=UTC)
)
IDS = {"yellow": "song-1", "fellow": "song-2"}


class Heard0:
    version = "0"

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Heard:
        raise AssertionError("sound is never replayed")


class Asr0:
    version = "0"

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Transcript:
        raise AssertionError("sound is never replayed")


class Nlu0:
    """Knows one phrasing, and takes `misread` for something else."""

    version = "0"

    def __init__(self, misread: Mapping[str, Frame] | None = None) -> None:
        self.misread = misread or {}

    def __call__(self, text: str, context: Context) -> Understood:
        frame = self.misread.get(text)
        if frame is None:
            verb, _, title = text.partition(" ")
            frame = play(title) if verb == "play" else Frame("", "")
        return Understood((frame,), 1.0, {})


class Er0:
    version = "0"

    def __init__(self, ids: Mapping[str, str] = IDS) -> None:
        self.ids = ids

    def __call__(self, frame: Frame, context: Context) -> Resolved:
        found = [
            Mention(slot, text, (Candidate(self.ids[text], text, 1.0),))
            for slot, text in frame.slots
            if text in self.ids
        ]
        return Resolved(tuple(found), 1.0, {})


class Result0:
    version = "0"

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def __call__(self, frame: Frame, entities: Mapping[str, str], context: Context) -> Outcome:
        status = "error" if self.broken else "ok" if entities else "no_match"
        return Outcome(frame.intent, status, "", tuple(entities.values()), 1.0, {})


class Tts0:
    version = "0"

    def __call__(self, response: str, rng: np.random.Generator) -> float:
        return 0.0


def play(title: str, intent: str = "PlayMusic", domain: str = "music") -> Frame:
    return Frame(domain, intent, 1.0, (("title", title),))


def judged(heard: str, nlu: Nlu0, er: Er0, result: Result0, **meant: Any) -> str:
    stages = Stages(Heard0(), Asr0(), nlu, er, result, Tts0())
    frame = nlu(heard, CONTEXT).frame
    entities = er(frame, CONTEXT).entities
    logged = Logged(heard, frame, entities, result(frame, entities, CONTEXT))
    right = play("yellow")
    wanted = Meant(
        **{
            "addressed": True,
            "transcript": "play yellow",
            "frame": right,
            "entities": {"title": "song-1"},
            "ideal": Result0()(right, {"title": "song-1"}, CONTEXT),
            **meant,
        }
    )
    return judge(wanted, logged, CONTEXT, stages).failure_point


VIDEO = play("yellow", "PlayVideo", "video")


@pytest.mark.parametrize(
    ("heard", "nlu", "er", "result", "expected"),
    [
        ("play yellow", Nlu0(), Er0(), Result0(), "correct"),
        # Another text that NLU understands as well.
        ("do play yellow", Nlu0({"do play yellow": play("yellow")}), Er0(), Result0(), "correct"),
        ("play fellow", Nlu0(), Er0(), Result0(), "asr"),
        # Whatever else is broken: the first error counts.
        ("play fellow", Nlu0(), Er0({}), Result0(broken=True), "asr"),
        ("play yellow", Nlu0({"play yellow": VIDEO}), Er0(), Result0(), "nlu"),
        # ASR erred too, but NLU says the same of the right words.
        ("pay yellow", Nlu0({"play yellow": VIDEO, "pay yellow": VIDEO}), Er0(), Result0(), "nlu"),
        ("play yellow", Nlu0(), Er0({"yellow": "song-2"}), Result0(), "er"),
        ("play yellow", Nlu0(), Er0({}), Result0(), "er"),
        ("play yellow", Nlu0({"play yellow": play("yell")}), Er0(), Result0(), "er"),
        ("play yellow", Nlu0(), Er0(), Result0(broken=True), "result"),
    ],
)
def test_the_first_stage_whose_error_mattered_is_the_failure_point(
    heard: str, nlu: Nlu0, er: Er0, result: Result0, expected: str
) -> None:
    assert judged(heard, nlu, er, result) == expected


def test_one_error_does_not_pass_for_another() -> None:
    # What has no screen would be refused anyway, but that is not why it failed.
    class TimesOut(Result0):
        def __call__(self, frame: Frame, entities: Mapping[str, str], context: Context) -> Outcome:
            return Outcome(frame.intent, "error", "", (), 1.0, {}, cause="timeout")

    refused = Outcome("PlayMusic", "error", "", (), 1.0, {}, cause="no_screen")
    assert judged("play yellow", Nlu0(), Er0(), TimesOut(), ideal=refused) == "result"
    late = replace(refused, cause="timeout")
    assert judged("play yellow", Nlu0(), Er0(), TimesOut(), ideal=late) == "correct"


def test_slots_that_differ_without_consequence_leave_the_blame_downstream() -> None:
    # "the yellow" resolves to the same song; what failed is the back end.
    nlu = Nlu0({"play yellow": play("the yellow")})
    er = Er0({"yellow": "song-1", "the yellow": "song-1"})
    assert judged("play yellow", nlu, er, Result0(broken=True)) == "result"


def test_spellings_of_the_same_words_are_no_asr_error() -> None:
    nlu = Nlu0({"play gray": VIDEO})
    assert judged("play gray", nlu, Er0(), Result0(), transcript="play grey") == "nlu"


@pytest.mark.parametrize(("heard", "expected"), [("play yellow", "false_wake"), ("hm", "correct")])
def test_what_nobody_asked_for_is_a_false_wake_if_the_assistant_acted(
    heard: str, expected: str
) -> None:
    point = judged(heard, Nlu0(), Er0(), Result0(), addressed=False, ideal=None)
    assert point == expected


def test_gold_says_what_every_stage_should_have_put_out() -> None:
    nlu, er, result = Nlu0(), Er0(), Result0()
    stages = Stages(Heard0(), Asr0(), nlu, er, result, Tts0())
    right = play("yellow")
    meant = Meant(
        True, "play yellow", right, {"title": "song-1"}, result(right, {"title": "song-1"}, CONTEXT)
    )
    frame = nlu("play fellow", CONTEXT).frame
    logged = Logged(
        "play fellow", frame, {"title": "song-2"}, result(frame, {"title": "song-2"}, CONTEXT)
    )
    annotation = gold(meant, judge(meant, logged, CONTEXT, stages), "annotator-1")
    assert annotation["transcript"] == "play yellow"
    assert annotation["entities"] == {"title": "song-1"}
    assert annotation["replay"] == {
        "intent": "PlayMusic",
        "slots": [{"name": "title", "value": "yellow"}],
    }
    assert (annotation["result_ok"], annotation["failure_point"]) == (False, "asr")
    assert annotation["annotator"] == "annotator-1"
