"""The turns of dialogues, digested once for the pairs they take part in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from jellyfish import metaphone

from data.schema.trace import ORDER
from features.similarity import LONGEST

# Later turns of the same dialogue that may rephrase a turn.
WINDOW = 5
# Hypotheses compared: those further down are noise, and the cost grows with their square.
MOST_HYPOTHESES = 5

_SPACES = re.compile(r"\s+")
_SENTENCES = re.compile(r"(?<=[.?!])\s+")
_NO = re.compile(r"^(?:no|nope|not?|wrong|incorrect|cancel|undo|stop)\b")
_YES = re.compile(r"^(?:yes|yeah|yep|right|correct|ok|okay|sure)\b")
_BACK = re.compile(r"\b(?:go back|start over|never ?mind|forget it|i said|i meant)\b")
_SORRY = re.compile(r"\b(?:sorry|pardon|repeat that|did(?:n't| not) (?:understand|catch|hear))\b")
_CONFIRMS = re.compile(r"\b(?:right|correct|yes or no|confirm)\b")
_NOT_FOUND = re.compile(r"\b(?:don't have|no such|there is no|can't|cannot|don't know|unable)\b")

_LEAD = frozenset(
    "no nope not uh um er well please sorry actually i said meant mean okay ok".split()  # noqa: SIM905
)

Slot = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn: what was heard and understood, and what the system said before and after.

    `said` are the texts of the hypotheses, as passed on first, with `confidences` (NaN where none
    is logged). `slots` are those of the first frame, `offered` those of any with its confidence.
    `length`: words of the first hypothesis, of which `text` is the part that is compared.
    """

    turn_id: str
    dialogue: str
    at: float
    said: tuple[str, ...]
    confidences: tuple[float, ...]
    intent: str
    slots: frozenset[Slot]
    offered: dict[Slot, float]
    prompt: str
    response: str
    status: str
    audio_s: float
    barge_in: bool
    terminated: bool
    length: int
    words: frozenset[str] = field(default_factory=frozenset)
    sounds: str = ""

    @property
    def text(self) -> str:
        return self.said[0]

    @property
    def question(self) -> str:
        """The last sentence of the prompt: what the user was asked."""
        return question(self.prompt)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.slots)


def plain(text: str | None) -> str:
    """Lower case, single spaces, and no longer than texts are compared."""
    return _SPACES.sub(" ", (text or "")[: 4 * LONGEST].lower()).strip()[:LONGEST]


def question(prompt: str) -> str:
    """The last sentence of a prompt."""
    return _SENTENCES.split(prompt.strip())[-1] if prompt else ""


def rejects(text: str) -> bool:
    """Whether a request turns down what went before: no, go back, I said …"""
    return bool(_NO.search(text) or _BACK.search(text))


def agrees(text: str) -> bool:
    return bool(_YES.search(text))


def apologises(prompt: str) -> bool:
    return bool(_SORRY.search(prompt))


def confirms(prompt: str) -> bool:
    return bool(_CONFIRMS.search(prompt))


def refuses(prompt: str) -> bool:
    """Whether the system says that it has or knows nothing of the kind."""
    return bool(_NOT_FOUND.search(prompt))


def digest(turns: pa.Table) -> list[Heard]:
    """The turns of `TURNS`, ordered by dialogue and place. `gold` is not read."""
    names = ("turn_id", "dialogue_id", "started_at", "prompt", "asr", "nlu", "result", "feedback")
    order: Any = [(name, "ascending") for name in ("dialogue_id", *ORDER)]
    ordered = turns.select([*names, "turn_index"]).sort_by(order)
    return [_heard(row) for batch in ordered.to_batches(10_000) for row in batch.to_pylist()]


def _heard(row: dict[str, Any]) -> Heard:
    asr, result, feedback = row["asr"] or {}, row["result"] or {}, row["feedback"] or {}
    hypotheses = asr.get("hypotheses") or [{"text": ""}]
    frames = (row["nlu"] or {}).get("hypotheses") or []
    said = tuple(plain(h["text"]) for h in hypotheses)
    offered: dict[Slot, float] = {}
    for frame in frames:
        for slot in _slots(frame):
            p = frame.get("confidence")
            offered[slot] = max(offered.get(slot, 0.0), 0.5 if p is None else p)
    audio = asr.get("audio_ms")
    return Heard(
        turn_id=row["turn_id"],
        dialogue=row["dialogue_id"],
        at=row["started_at"].timestamp() if row["started_at"] else np.nan,
        said=said,
        confidences=tuple(np.nan if (c := h.get("confidence")) is None else c for h in hypotheses),
        intent=(frames[0].get("intent") or "") if frames else "",
        slots=frozenset(_slots(frames[0])) if frames else frozenset(),
        offered=offered,
        prompt=plain_prompt((row["prompt"] or {}).get("text")),
        response=plain_prompt(result.get("response")),
        status=result.get("status") or "",
        audio_s=np.nan if audio is None else audio / 1000,
        barge_in=bool(feedback.get("barge_in")),
        terminated=bool(feedback.get("terminated")),
        length=len((hypotheses[0]["text"] or "").split()),
        words=frozenset(said[0].split()),
        sounds=" ".join(filter(None, map(_sound, said[0].split()))),
    )


def plain_prompt(text: str | None) -> str:
    """A prompt in lower case; its end is kept, where the question is."""
    return _SPACES.sub(" ", (text or "")[-2 * LONGEST :].lower()).strip()


def _sound(word: str) -> str:
    # Metaphone knows Latin letters only; other scripts sound as they are written.
    return metaphone(word) if word.isascii() else word


def _slots(frame: dict[str, Any]) -> Iterator[Slot]:
    for slot in frame.get("slots") or ():
        if slot["name"] or slot["value"]:
            yield slot["name"] or "", plain(str(slot["value"]))


def pairs(heard: Sequence[Heard], window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each turn and of each later turn of its dialogue, at most `window` after it."""
    dialogue = np.array([turn.dialogue for turn in heard], object)
    first, later = [], []
    rows = np.arange(len(heard))
    for step in range(1, min(window, len(heard) - 1) + 1):
        same = dialogue[step:] == dialogue[:-step]
        first.append(rows[:-step][same])
        later.append(rows[step:][same])
    if not first:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    a, b = np.concatenate(first), np.concatenate(later)
    order = np.lexsort((b, a))
    return a[order], b[order]


def lead(words: Sequence[str]) -> int:
    """Words at the start that only reject or hesitate; at least one word is left."""
    n = 0
    while n < len(words) - 1 and words[n] in _LEAD:
        n += 1
    return n
