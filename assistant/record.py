"""The output of the stages as a trace record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from assistant.stages import Context, Heard, Outcome, Resolved, Transcript, Understood
from assistant.truth import slot_records
from assistant.users import Reaction

ASSISTANT = "juno"


@dataclass(frozen=True, slots=True)
class Ran:
    """The outputs of all stages on a turn; `spoken_ms` is the latency of TTS."""

    heard: Heard
    transcript: Transcript
    understood: Understood
    resolved: Resolved
    outcome: Outcome
    spoken_ms: float

    @property
    def response_at_ms(self) -> float:
        """When the response begins, counted from the start of the request."""
        return (
            self.heard.latency_ms
            + self.transcript.audio_ms
            + self.transcript.latency_ms
            + self.understood.latency_ms
            + self.resolved.latency_ms
            + self.outcome.latency_ms
            + self.spoken_ms
        )


def trace(
    ran: Ran,
    context: Context,
    versions: Mapping[str, str],
    reaction: Reaction,
    prompt: tuple[str, tuple[str, ...]],
) -> dict[str, Any]:
    """The record of `data.schema.trace.Turn`, without ids and gold."""
    heard, transcript, understood = ran.heard, ran.transcript, ran.understood
    resolved, outcome = ran.resolved, ran.outcome
    device = context.device
    at_asr = heard.latency_ms
    # ASR streams: its latency is the time it takes after the end of the sound.
    at_nlu = at_asr + transcript.audio_ms + transcript.latency_ms
    at_er = at_nlu + understood.latency_ms
    at_result = at_er + resolved.latency_ms
    record: dict[str, Any] = {
        "started_at": _rfc3339(context),
        "assistant": ASSISTANT,
        "locale": context.locale,
        "device": {
            "type": device.type,
            "id": device.id,
            "has_screen": device.has_screen,
            "state": dict(device.state),
        },
        "versions": dict(versions),
        "wake": {
            "score": heard.score,
            "threshold": heard.threshold,
            "phrase": heard.phrase,
            "start_ms": 0.0,
            "latency_ms": heard.latency_ms,
            "signals": dict(heard.signals),
        },
        "asr": {
            "hypotheses": [
                {"text": text, "confidence": confidence}
                for text, confidence in transcript.hypotheses
            ],
            "audio_ms": transcript.audio_ms,
            "endpoint": transcript.endpoint,
            "start_ms": round(at_asr, 1),
            "latency_ms": transcript.latency_ms,
            "signals": dict(transcript.signals),
        },
        "nlu": {
            "hypotheses": [
                {
                    "domain": frame.domain,
                    "intent": frame.intent,
                    "confidence": frame.confidence,
                    "slots": slot_records(frame.slots),
                }
                for frame in understood.hypotheses
            ],
            "start_ms": round(at_nlu, 1),
            "latency_ms": understood.latency_ms,
            "signals": dict(understood.signals),
        },
        "er": {
            "mentions": [
                {
                    "slot": mention.slot,
                    "text": mention.text,
                    "candidates": [
                        {"id": candidate.id, "name": candidate.name, "score": candidate.score}
                        for candidate in mention.candidates
                    ],
                }
                for mention in resolved.mentions
            ],
            "start_ms": round(at_er, 1),
            "latency_ms": resolved.latency_ms,
            "signals": dict(resolved.signals),
        },
        "result": {
            "action": outcome.action,
            "status": outcome.status,
            "response": outcome.response,
            "acts": _acts(outcome.acts),
            "items": list(outcome.items),
            "start_ms": round(at_result, 1),
            "latency_ms": outcome.latency_ms,
            "signals": dict(outcome.signals),
        },
        "tts": {
            "start_ms": round(at_result + outcome.latency_ms, 1),
            "latency_ms": ran.spoken_ms,
        },
        "feedback": _feedback(reaction),
    }
    if prompt[0]:
        record["prompt"] = {"text": prompt[0], "acts": _acts(prompt[1])}
    return record


def _rfc3339(context: Context) -> str:
    utc = context.moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def _acts(acts: tuple[str, ...]) -> list[dict[str, Any]]:
    """``request town`` is an act with its slot."""
    records = []
    for act in acts:
        name, _, slot = act.partition(" ")
        records.append({"act": name, "slots": [{"name": slot}] if slot else []})
    return records


def _feedback(reaction: Reaction) -> dict[str, Any]:
    feedback: dict[str, Any] = {
        "barge_in": reaction.barge_in_ms is not None,
        "terminated": reaction.terminated,
    }
    if reaction.barge_in_ms is not None:
        feedback["barge_in_ms"] = reaction.barge_in_ms
    if reaction.explicit:
        feedback["explicit"] = reaction.explicit
    if reaction.rating is not None:
        feedback["rating"] = reaction.rating
    return feedback
