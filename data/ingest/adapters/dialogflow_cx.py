"""Conversation history of Dialogflow CX, as it is exported to BigQuery.

A row is a turn. `bq extract` writes rows as lines, `bq query` as an array, with the JSON columns as
texts or as objects, whole numbers as texts, and in any order. The entries that the agent writes to
Cloud Logging hold the same responses, and are read as well.

| row | trace |
|---|---|
| conversation_name, turn_position, request_time | dialogue_id, turn_id and turn_index, started_at |
| agent_id, language_code | assistant, locale |
| response.queryResult.transcript, or text | asr.hypotheses, without a confidence |
| match.intent, match.confidence, match.parameters | nlu.hypotheses, the first one |
| diagnosticInfo "Alternative Matched Intents" | nlu.hypotheses, the others |
| match.matchType NO_MATCH | result.status no_match |
| webhookStatuses, conversation_signals | result.status error; its code in result.acts |
| diagnosticInfo "Webhook Latencies (ms)" | result.latency_ms |
| responseMessages, before them partial_responses | result.response |
| bot_answer_feedback.rating | feedback.explicit |

`queryResult.parameters` are those of the whole session, so slots come from `match.parameters`.
Events and silence are no requests. Fields whose value is zero are not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    decoded,
    iso,
    items,
    json_object,
    mapping,
    microseconds,
    number_or_none,
    objects,
    pack,
    text_or_none,
    unpack,
    without_nulls,
)
from data.ingest.adapters.json_cut import cut_json, lines_or_cut
from data.ingest.validation import Fault

_MATCH_TYPES = {
    1: "INTENT",
    2: "DIRECT_INTENT",
    3: "PARAMETER_FILLING",
    4: "NO_MATCH",
    5: "NO_INPUT",
    6: "EVENT",
    8: "KNOWLEDGE_CONNECTOR",
    9: "PLAYBOOK",
}
# What no user has said.
_NOT_SAID = ("NO_INPUT", "EVENT")
# Answered without an intent: that there is none says nothing about understanding.
_WITHOUT_INTENT = ("KNOWLEDGE_CONNECTOR", "PLAYBOOK")
_EXPLICIT = {"THUMBS_UP": "yes", "THUMBS_DOWN": "no"}
# By number, as the field `code` of a status has it.
CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class DialogflowCX:
    """Reads exports of Dialogflow CX; see `data.ingest.adapters.adapter.Adapter`."""

    name = "dialogflow-cx"
    title = "Dialogflow CX conversation history"
    cannot_know: tuple[str, ...] = (
        "the wake word",
        "ASR alternatives and confidence",
        "entity resolution",
        "interruptions",
        "expect weaker verdicts on ASR, and none of entity resolution and false wake",
    )

    def recognises(self, head: bytes) -> bool:
        if b'"conversation_name"' in head and b'"turn_position"' in head:
            return True
        return b"dialogflow-runtime.googleapis.com" in head and any(
            mark in head for mark in (b'"responseMessages"', b'"matchType"', b'"currentPage"')
        )

    def reading(self, head: bytes) -> Reading:
        return lines_or_cut(head)

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        return cut_json(stream)

    def pieces(self, record: Any) -> Iterable[Piece]:
        row = json_object(record)
        if "jsonPayload" in row or "textPayload" in row:
            row = _from_logging(row)
        response = _column(row, "response")
        result = mapping(response.get("queryResult"))
        if not result:
            return
        match = mapping(result.get("match"))
        kind: Any = match.get("matchType")
        kind = _MATCH_TYPES.get(kind) if isinstance(kind, int) else kind
        text = text_or_none(result.get("transcript")) or text_or_none(result.get("text"))
        if kind in _NOT_SAID or result.get("triggerEvent") or result.get("triggerIntent"):
            return
        if not text and not result.get("dtmf") and kind != "NO_MATCH":
            return
        dialogue = text_or_none(row.get("conversation_name"))
        if not dialogue:
            raise Fault("conversation_name", "missing; a row without it belongs to no conversation")
        at = microseconds(row.get("request_time"), "request_time")
        position = number_or_none(row.get("turn_position"))
        whole = position is not None and position.is_integer() and 1 <= position < 2**31
        index = int(position) - 1 if position is not None and whole else None
        name = f"{dialogue}/{index + 1}" if index is not None else response.get("responseId")
        turn_id = text_or_none(name) or f"{dialogue}/{at}"
        turn = {
            "turn_id": turn_id,
            "dialogue_id": dialogue,
            "turn_index": index,
            "started_at": iso(at),
            "assistant": text_or_none(row.get("agent_id")),
            "locale": text_or_none(row.get("language_code"))
            or text_or_none(result.get("languageCode")),
            "asr": {"hypotheses": [{"text": text}] if text else []}
            if text or not result.get("dtmf")
            else None,
            "nlu": _understood(result, match, kind),
            "result": _result(row, result, kind),
            "feedback": {"explicit": _rated(_column(row, "bot_answer_feedback").get("rating"))},
        }
        yield Piece(dialogue, at, turn_id, pack(without_nulls(turn)))

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        last = -1
        for piece in pieces:
            turn = unpack(piece.data)
            last = max(turn.get("turn_index", 0), last + 1)
            turn["turn_index"] = last
            yield Assembled(turn, piece)


def _column(row: dict[str, Any], name: str) -> dict[str, Any]:
    """A JSON column, which may be the text of an object."""
    value = row.get(name)
    if isinstance(value, str) and value.strip():
        try:
            value = decoded(value.encode())
        except Fault as fault:
            raise Fault(name, fault.reason) from None
    return mapping(value)


def _from_logging(entry: dict[str, Any]) -> dict[str, Any]:
    """A row of what an entry of Cloud Logging says."""
    labels = mapping(entry.get("labels"))
    payload = mapping(entry.get("jsonPayload"))
    return {
        "conversation_name": labels.get("session_id") or entry.get("trace"),
        "agent_id": labels.get("agent_id"),
        "request_time": entry.get("timestamp"),
        "response": payload,
    }


def _understood(result: dict[str, Any], match: dict[str, Any], kind: Any) -> dict[str, Any] | None:
    """The intent that matched, then the alternatives."""
    intent = mapping(match.get("intent")) or mapping(result.get("intent"))
    name = text_or_none(intent.get("displayName")) or text_or_none(intent.get("name"))
    hypotheses: list[dict[str, Any]] = []
    if name and kind != "NO_MATCH":
        score = match.get("confidence", result.get("intentDetectionConfidence"))
        hypotheses.append(
            {
                "intent": name,
                "confidence": number_or_none(score),
                "slots": slots(match.get("parameters")),
            }
        )
    diagnostic = mapping(result.get("diagnosticInfo"))
    for other in objects(diagnostic.get("Alternative Matched Intents")):
        called = text_or_none(other.get("DisplayName"))
        if called and (called != name or kind == "NO_MATCH"):
            hypotheses.append({"intent": called, "confidence": number_or_none(other.get("Score"))})
    return None if not hypotheses and kind in _WITHOUT_INTENT else {"hypotheses": hypotheses}


def slots(parameters: Any) -> list[dict[str, Any]]:
    """Parameters as slots; those that are empty have not been filled."""
    return [
        {"name": name, "value": as_text(value)}
        for name, value in sorted(mapping(parameters).items())
        if value is not None and value not in ("", [], {})
    ]


def _result(row: dict[str, Any], result: dict[str, Any], kind: Any) -> dict[str, Any]:
    signals = mapping(_column(row, "conversation_signals").get("turnSignals"))
    failed = [status_name(each) for each in objects(result.get("webhookStatuses"))]
    failed += [text_or_none(each) for each in items(signals.get("webhookStatuses"))]
    reasons = [text_or_none(each) for each in items(signals.get("failureReasons"))]
    errors = [name for name in failed if name and name != "OK"]
    if "FAILED_WEBHOOK" in reasons and not errors:
        errors = ["FAILED_WEBHOOK"]
    status = "error" if errors else "ok"
    if kind == "NO_MATCH" or signals.get("noMatch") is True:
        status = "no_match"
    latencies = items(mapping(result.get("diagnosticInfo")).get("Webhook Latencies (ms)"))
    numbers = [number for each in latencies if (number := number_or_none(each)) is not None]
    return {
        "status": status,
        "response": _said(row, result),
        "acts": [{"act": name} for name in dict.fromkeys(errors)],
        "latency_ms": sum(numbers) if numbers else None,
    }


def status_name(status: dict[str, Any]) -> str | None:
    """The name of a status {code, message}; None where there is no code."""
    code = number_or_none(status.get("code"))
    if code is None or not code.is_integer():
        return None
    return CODES[int(code)] if 0 <= code < len(CODES) else f"code {code:.0f}"


def _said(row: dict[str, Any], result: dict[str, Any]) -> str | None:
    """What was said while a webhook ran, then the response."""
    texts = _texts(result)
    partial = row.get("partial_responses")
    if isinstance(partial, str) and partial.strip():
        partial = decoded(partial.encode())
    for response in reversed(objects(partial)):
        earlier = _texts(mapping(response.get("queryResult")) or response)
        texts = [text for text in earlier if text not in texts] + texts
    return "\n".join(texts) or None


def _texts(result: dict[str, Any]) -> list[str]:
    texts: list[str] = []
    for message in objects(result.get("responseMessages")):
        texts += [text for text in items(mapping(message.get("text")).get("text")) if text]
        spoken = text_or_none(mapping(message.get("outputAudioText")).get("text"))
        if spoken and spoken not in texts:
            texts.append(spoken)
    return [text for text in texts if isinstance(text, str)]


def _rated(rating: Any) -> str | None:
    return _EXPLICIT.get(rating) if isinstance(rating, str) else None


ADAPTER = DialogflowCX()
