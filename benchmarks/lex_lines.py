"""Conversation logs of Lex V2, of any size, for measurements: entries as the service writes them.

python -m benchmarks.lex_lines TURNS FILE     # .gz is packed
"""

from __future__ import annotations

import gzip
import heapq
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

_BOT = {"id": "B7KQ2X9LWA", "name": "ParcelDesk", "aliasId": "TSTALIASID", "aliasName": "live",
        "localeId": "en_GB", "version": "12"}  # fmt: skip
# What is said, what is heard in its place, the intent, its slots, and the response.
_REQUESTS: tuple[tuple[str, str, str, dict[str, tuple[str, str]], str], ...] = (
    ("where is my parcel", "where is my partial", "TrackParcel", {}, "What is its number?"),
    ("it is seven four two nine", "it is seven forty nine", "TrackParcel",
     {"Number": ("seven four two nine", "7429")}, "It arrives tomorrow before noon."),
    ("send it to my neighbour at number five", "send it to my labour at number five",
     "ChangeAddress", {"Place": ("my neighbour", "neighbour"), "House": ("number five", "5")},
     "I have changed the address."),
    ("can i pick it up on friday", "can i pick it up on fried day", "PickUp",
     {"Day": ("friday", "2026-03-06"), "Hour": ("", "")}, "At which hour?"),
    ("talk to a person please", "walk to a person please", "Agent", {}, "I will connect you."),
)  # fmt: skip
_OTHER = ("TrackParcel", "ChangeAddress", "PickUp", "Agent", "Complaint")


def lines(turns: int, seed: int = 0) -> Iterator[bytes]:
    """Entries of so many turns, each a line of about 2,400 bytes, ordered by time.

    Dialogues have one to eight turns and overlap; one entry in forty is a fulfilment's later
    response to the request before it, which adds no turn.
    """
    draw = random.Random(seed)
    open_dialogues: list[tuple[datetime, int, int]] = []
    clock = datetime(2026, 3, 2, 8, tzinfo=UTC)
    begun = 0
    while turns > 0:
        while len(open_dialogues) < 50:
            heapq.heappush(open_dialogues, (clock, begun, draw.randint(1, 8)))
            begun += 1
        clock, dialogue, left = heapq.heappop(open_dialogues)
        entry = _entry(draw, f"session-{seed}-{dialogue:07d}", clock)
        yield json.dumps(entry).encode() + b"\n"
        turns -= 1
        if draw.random() < 0.025:
            later = clock + timedelta(seconds=2)
            entry |= {"timestamp": _iso(later), "responseReason": "FulfillmentUpdateResponse"}
            entry["messages"] = [{"contentType": "PlainText", "content": "Still working on it."}]
            yield json.dumps(entry).encode() + b"\n"
        if left > 1:
            later = clock + timedelta(seconds=draw.uniform(3, 30))
            heapq.heappush(open_dialogues, (later, dialogue, left - 1))


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entry(draw: random.Random, session: str, time: datetime) -> dict[str, Any]:
    said, misheard, intent, given, response = draw.choice(_REQUESTS)
    request = str(UUID(int=draw.getrandbits(128)))
    heard = misheard if draw.random() < 0.2 else said
    missed = draw.random() < 0.1
    slots = {
        name: {
            "shape": "Scalar",
            "value": {"originalValue": said, "interpretedValue": meant, "resolvedValues": [meant]},
        }
        if said
        else None
        for name, (said, meant) in given.items()
    }
    understood = {"name": intent, "slots": slots, "state": "InProgress",
                  "confirmationState": "None"}  # fmt: skip
    fallback = {"name": "FallbackIntent", "slots": {}, "state": "ReadyForFulfillment"}
    ranked: list[dict[str, Any]] = [
        {"interpretationSource": "Lex", "intent": understood,
         "nluConfidence": f"{draw.uniform(0.5, 1):.2f}"},
        *({"interpretationSource": "Lex", "intent": {"name": other, "slots": {}},
           "nluConfidence": f"{draw.uniform(0.1, 0.5):.2f}"} for other in draw.sample(_OTHER, 2)),
        {"interpretationSource": "Lex", "intent": fallback},
    ]  # fmt: skip
    if missed:
        ranked = ranked[-1:] + ranked[:-1]
    return {
        "messageVersion": "2.0",
        "bot": _BOT,
        "messages": [{"contentType": "PlainText", "content": response}],
        "sessionId": session,
        "requestId": request,
        "timestamp": _iso(time),
        "inputMode": "Speech",
        "operationName": "StartConversation",
        "responseReason": "UtteranceResponse",
        "missedUtterance": missed,
        "developerOverride": False,
        "inputTranscript": heard,
        "rawInputTranscript": heard,
        "sessionState": {
            "originatingRequestId": request,
            "dialogAction": {"type": "ElicitSlot" if slots else "Close"},
            "sessionAttributes": {},
            "intent": ranked[0]["intent"],
        },
        "interpretations": ranked,
        "transcriptions": [
            {"transcription": text, "rawTranscription": text,
             "transcriptionConfidence": round(draw.uniform(low, low + 0.4), 2),
             "resolvedContext": {"intent": intent}, "resolvedSlots": {}}
            for text, low in ((heard, 0.6), (misheard + " now", 0.1), (said + " then", 0.1))
        ],
        "audioProperties": {
            "contentType": "audio/lpcm; sample-rate=8000",
            "s3Path": f"calls/{request}.wav",
            "duration": {"total": 2200, "voice": 1700, "silence": 500},
        },
        "bargeIn": draw.random() < 0.05,
    }  # fmt: skip


def write(turns: int, path: Path, seed: int = 0) -> None:
    """Write the entries of so many turns; a name ending in .gz is packed."""
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        for line in lines(turns, seed):
            file.write(line)


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]))
