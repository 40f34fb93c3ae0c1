"""Turns of a teaching dialogue as traces: what the stages log, and the truth about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from assistant.record import Ran
from assistant.stages import Frame, Heard, Outcome, Resolved, Transcript, Understood
from assistant.teachers import Said, as_expected
from labels.teaching.dialogue import Reply, State, hear
from labels.teaching.logged import ACTION

DOMAIN, INTENT = "teaching", "Teach"
_FRAME = Frame(DOMAIN, INTENT, 1.0, ())


def lesson_ran(heard: Heard, transcript: Transcript, reply: Reply, spoken_ms: float) -> Ran:
    """What all stages log of such a turn: a rule understands it, and nothing is looked up."""
    frame = _FRAME if reply.handled else Frame("", "")
    understood = Understood((frame,), 12.0, {"words": float(len(transcript.text.split()))})
    status = "ok" if reply.handled else "no_match"
    outcome = Outcome(ACTION, status, reply.text, (), 40.0, {"items": 0.0})
    resolved = Resolved((), 3.0, {"mentions": 0.0})
    return Ran(heard, transcript, understood, resolved, outcome, spoken_ms)


def lesson_truth(
    said: Said, state: State, became: tuple[State, Reply], at: datetime
) -> dict[str, Any]:
    """The truth about a turn, without its ids: who is to blame if the dialogue does not go on as
    its user expects. ASR, if it would with the right words; else NLU."""
    right = as_expected(said, *became)
    understood = as_expected(said, *hear(state, said.words, at))
    failure_point = "correct" if right else "asr" if understood else "nlu"
    return {
        "failure_point": failure_point,
        "unsupported": False,
        "tries": 1,
        "style": "plain",
        "source": "user",
        "satisfied": False,
        "gold": {
            "addressed": True,
            "transcript": said.words,
            "domain": DOMAIN,
            "intent": INTENT,
            "slots": [],
            "entities": {},
            "action": ACTION,
            "result_ok": right,
            "unsupported": False,
            "replay": {"intent": INTENT, "slots": []},
            "failure_point": failure_point,
        },
    }
