"""Evidence of a stage's own kind inside a slice: what it confused, could not find, or let through.

Read off a bounded sample of the turns that the stage is blamed for
(`data.queries.slice_evidence.records`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rapidfuzz.distance import Levenshtein

from data.queries import slice_evidence as queries
from data.queries.sampling import MOST_RECORDS
from data.queries.slice_evidence import Inside
from data.schema.trace import schema
from features.similarity import LONGEST
from labels.normalise import normalise

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# A next request shares this much of its letters with this one and comes within a minute: the same
# thing said again.
ALIKE = 0.6
SOON_S = 60.0
# Candidates of a mention whose scores are this close leave it open which was meant.
CLOSE = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """Tables by name, and how many of the blamed turns they were read off.

    `tables` hold what the stage has to show: see `of_slice`.
    """

    failure_point: str
    read: int
    blamed: int
    tables: Mapping[str, pa.Table]

    def words(self) -> str:
        """How many turns were read, in a sentence."""
        if self.read < self.blamed:
            return f"Read off a sample of {self.read:,} of {self.blamed:,} turns, newest first."
        return f"Read off all {self.blamed:,} turns."


def of_slice(
    snapshot: Snapshot, inside: Inside, top: int = 20, most: int = MOST_RECORDS, seed: int = 0
) -> Evidence:
    """The evidence of the slice's own failure point.

    Tables, counts in falling order, at most `top` rows unless a distribution:

    - asr: ``confused`` (heard, meant, source, turns), ``confidence`` (step of 0.05, inside, rest),
      ``places`` (device_type, locale, turns, failures)
    - nlu: ``intents`` (understood, meant, source, turns)
    - er: ``mentions`` (slot, mention, kind: unresolved or ambiguous, turns, and the two candidates)
    - false_wake: ``scores`` (step of 0.05, inside, rest, close to the threshold or not),
      ``hours``, ``devices`` (turns, failures)
    - result: ``outcomes`` (action, status, turns, failures)
    """
    blamed, _ = queries.blamed(snapshot, inside)
    tables: dict[str, pa.Table] = {}
    read = blamed
    match inside.failure_point:
        case "asr":
            rows = queries.records(snapshot, inside, most, seed).to_pylist()
            read = len(rows)
            tables["confused"] = words_confused(rows, top)
            tables["confidence"] = queries.confidence_steps(snapshot, inside)
            keys = {"device_type": "device_type", "locale": "locale"}
            tables["places"] = queries.split_by(snapshot, inside, keys)
        case "nlu":
            rows = queries.records(snapshot, inside, most, seed).to_pylist()
            read = len(rows)
            tables["intents"] = intents_confused(rows, top)
        case "er":
            rows = queries.records(snapshot, inside, most, seed).to_pylist()
            read = len(rows)
            tables["mentions"] = mentions(rows, top)
        case "false_wake":
            tables["scores"] = queries.wake_steps(snapshot, inside, most, seed)
            hours = {"hour": "hour(started_at)"}
            tables["hours"] = queries.split_by(snapshot, inside, hours).sort_by("hour")
            tables["devices"] = queries.split_by(snapshot, inside, {"device_type": "device_type"})
        case "result":
            keys = {"action": "action", "status": "status"}
            tables["outcomes"] = queries.split_by(snapshot, inside, keys)
    return Evidence(inside.failure_point, read, blamed, tables)


def words_confused(rows: Sequence[Mapping[str, Any]], top: int = 20) -> pa.Table:
    """Words heard and words meant, by aligning what was heard with the best witness there is.

    Witnesses, the best first: the gold transcript; the user's next request where it says the same
    again; the other hypotheses. A turn counts once per pair and source. ``heard`` or ``meant`` is
    empty where words were added or lost. For n-best, a pair says that the recogniser wavered
    between the two, not which was meant.
    """
    counted: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        hypotheses = [h["text"] or "" for h in row["heard"] or () if h]
        first = normalise(hypotheses[0]) if hypotheses else ""
        for source, witness in _witnesses(row, first, hypotheses):
            counted.update({(*pair, source) for pair in _pairs(first, witness)})
    return _counted(counted, ("heard", "meant", "source"), top)


def _witnesses(
    row: Mapping[str, Any], first: str, hypotheses: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if row["said"] is not None:
        yield "gold", normalise(row["said"])
    elif _said_again(row, first):
        yield "rephrase", normalise(row["next_heard"])
    else:
        for other in dict.fromkeys(map(normalise, hypotheses[1:])):
            yield "n-best", other


def _said_again(row: Mapping[str, Any], first: str) -> bool:
    again = row["next_heard"]
    if not again or not first or not 0 <= (row["next_after_s"] or 0.0) <= SOON_S:
        return False
    other = normalise(again)
    return (
        other != first
        and Levenshtein.normalized_similarity(first[:LONGEST], other[:LONGEST]) >= ALIKE
    )


def _pairs(heard: str, meant: str) -> Iterator[tuple[str, str]]:
    """Runs of words that differ, by the fewest words changed."""
    left, right = heard.split(), meant.split()
    for step in Levenshtein.opcodes(left, right):
        if step.tag != "equal":
            yield (
                " ".join(left[step.src_start : step.src_end]),
                " ".join(right[step.dest_start : step.dest_end]),
            )


def intents_confused(rows: Sequence[Mapping[str, Any]], top: int = 20) -> pa.Table:
    """Intents understood and meant: by gold, or else by what the user got understood next.

    A next request counts within a minute, where another intent was understood. Columns:
    understood, meant, source (gold or next turn), turns.
    """
    counted: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        understood = row["intent"] or "nothing"
        if row["gold_intent"] is not None:
            if row["gold_intent"] != understood:
                counted[understood, row["gold_intent"], "gold"] += 1
        elif row["next_intent"] and row["next_intent"] != understood:
            after = row["next_after_s"]
            if after is not None and 0 <= after <= SOON_S:
                counted[understood, row["next_intent"], "next turn"] += 1
    return _counted(counted, ("understood", "meant", "source"), top)


def mentions(rows: Sequence[Mapping[str, Any]], top: int = 20) -> pa.Table:
    """Mentions that no entity was found for, and those with two candidates scored alike.

    Columns: slot, mention, kind, first, second (names of the candidates, empty where unresolved),
    turns.
    """
    counted: Counter[tuple[str, str, str, str, str]] = Counter()
    for row in rows:
        found = (_mention(mention) for mention in row["mentions"] or () if mention)
        counted.update({one for one in found if one})
    return _counted(counted, ("slot", "mention", "kind", "first", "second"), top)


def _mention(mention: Mapping[str, Any]) -> tuple[str, str, str, str, str] | None:
    slot, text = mention["slot"] or "", normalise(mention["text"] or "")
    candidates = [c for c in mention["candidates"] or () if c and c["id"] is not None]
    if not candidates:
        return slot, text, "unresolved", "", ""
    scored = sorted((c for c in candidates if c["score"] is not None), key=lambda c: -c["score"])
    if len(scored) > 1 and scored[0]["score"] - scored[1]["score"] <= CLOSE:
        names = [c["name"] or c["id"] for c in scored[:2]]
        return slot, text, "ambiguous", names[0], names[1]
    return None


def _counted(counted: Counter[Any], names: Sequence[str], top: int) -> pa.Table:
    """The commonest, ties by their text, so that the order is always the same."""
    rows: Iterable[tuple[tuple[str, ...], int]] = sorted(
        counted.items(), key=lambda item: (-item[1], item[0])
    )[:top]
    return pa.Table.from_pylist(
        [{**dict(zip(names, key, strict=True)), "turns": turns} for key, turns in rows],
        schema([*((name, pa.string()) for name in names), ("turns", pa.int64())]),
    )
