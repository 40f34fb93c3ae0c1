"""Logs of Dialogflow ES, which has no export but its entries in Cloud Logging.

An entry of the type `dialogflow_response` is a turn. Entries come one per line, as a sink writes
them, or as an array, as `gcloud logging read --format json` prints them, newest first.

| entry | trace |
|---|---|
| labels.session_id (else trace), timestamp | dialogue_id, started_at |
| jsonPayload.responseId | turn_id |
| resource.labels.project_id, queryResult.languageCode | assistant, locale |
| queryText, speechRecognitionConfidence | asr.hypotheses; 0 means that it is not known |
| intent.displayName, intentDetectionConfidence, parameters | nlu.hypotheses; "" is an empty one |
| intent.isFallback, or no intent | result.status no_match |
| webhookStatus.code | result.status error, its name in result.acts |
| diagnosticInfo.webhook_latency_ms | result.latency_ms |
| fulfillmentText, else the texts of fulfillmentMessages | result.response |

Entries of older agents hold their response in the text format of protocol buffers; they are
rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    iso,
    items,
    json_object,
    mapping,
    microseconds,
    number_or_none,
    objects,
    pack,
    text_or_none,
    truth,
    unpack,
    without_nulls,
)
from data.ingest.adapters.dialogflow_cx import slots, status_name
from data.ingest.adapters.json_cut import cut_json, lines_or_cut
from data.ingest.validation import Fault

_MARKS = (b"dialogflow-runtime.googleapis.com", b'"dialogflow_response"', b'"dialogflow_request"')
_OLD = "Dialogflow Response"


class DialogflowES:
    """Reads log entries of Dialogflow ES; see `data.ingest.adapters.adapter.Adapter`."""

    name = "dialogflow-es"
    title = "Dialogflow ES entries of Cloud Logging"
    cannot_know: tuple[str, ...] = (
        "the wake word",
        "ASR alternatives",
        "other intents than the one that matched",
        "entity resolution",
        "interruptions",
        "expect weaker verdicts on NLU, and none of entity resolution and false wake",
    )

    def recognises(self, head: bytes) -> bool:
        return (b'"jsonPayload"' in head or b'"textPayload"' in head) and any(
            mark in head for mark in _MARKS
        )

    def reading(self, head: bytes) -> Reading:
        return lines_or_cut(head)

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        return cut_json(stream)

    def pieces(self, record: Any) -> Iterable[Piece]:
        entry = json_object(record)
        payload = mapping(entry.get("jsonPayload"))
        result = mapping(payload.get("queryResult"))
        if not result:
            text = entry.get("textPayload")
            if isinstance(text, str) and text.startswith(_OLD):
                raise Fault("textPayload", "a response as text, as older agents log it; only "
                            "entries with a jsonPayload can be read")  # fmt: skip
            return
        text = text_or_none(result.get("queryText"))
        if text is None:
            # An event has caused it.
            return
        labels = mapping(entry.get("labels"))
        dialogue = text_or_none(labels.get("session_id")) or text_or_none(entry.get("trace"))
        dialogue = dialogue or _session(result)
        if dialogue is None:
            raise Fault("labels.session_id", "missing; an entry without it belongs to no session")
        at = microseconds(entry.get("timestamp"), "timestamp")
        response = text_or_none(payload.get("responseId")) or text_or_none(entry.get("insertId"))
        turn_id = response or f"{dialogue}/{at}"
        intent = mapping(result.get("intent"))
        name = text_or_none(intent.get("displayName")) or text_or_none(intent.get("name"))
        confidence = number_or_none(result.get("speechRecognitionConfidence"))
        understood = {
            "intent": name,
            "confidence": number_or_none(result.get("intentDetectionConfidence")),
            "slots": slots(result.get("parameters")),
        }
        failed = status_name(mapping(payload.get("webhookStatus")))
        error = failed if failed not in (None, "OK") else None
        status = "error" if error else "ok"
        if name is None or truth(intent.get("isFallback")):
            status = "no_match"
        diagnostic = mapping(result.get("diagnosticInfo"))
        turn = {
            "turn_id": turn_id,
            "dialogue_id": dialogue,
            "started_at": iso(at),
            "assistant": text_or_none(
                mapping(mapping(entry.get("resource")).get("labels")).get("project_id")
            ),
            "locale": text_or_none(result.get("languageCode")),
            "asr": {"hypotheses": [{"text": text, "confidence": confidence or None}]},
            "nlu": {"hypotheses": [understood] if name else []},
            "result": {
                "status": status,
                "response": _said(result),
                "acts": [{"act": error}] if error else [],
                "latency_ms": number_or_none(diagnostic.get("webhook_latency_ms")),
            },
        }
        yield Piece(dialogue, at, turn_id, pack(without_nulls(turn)))

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        for number, piece in enumerate(pieces):
            yield Assembled({**unpack(piece.data), "turn_index": number}, piece)


def _session(result: dict[str, Any]) -> str | None:
    """The session in the names of contexts: "projects/…/sessions/ID/contexts/NAME"."""
    for context in objects(result.get("outputContexts")):
        name = text_or_none(context.get("name")) or ""
        _, _, rest = name.partition("/sessions/")
        if session := rest.partition("/")[0]:
            return session
    return None


def _said(result: dict[str, Any]) -> str | None:
    said = text_or_none(result.get("fulfillmentText"))
    if said:
        return said
    texts = [
        text
        for message in objects(result.get("fulfillmentMessages"))
        for text in items(mapping(message.get("text")).get("text"))
        if isinstance(text, str) and text
    ]
    return "\n".join(texts) or None


ADAPTER = DialogflowES()
