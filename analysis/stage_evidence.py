"""Evidence inside a slice, specific to its stage: what it confused, failed to find or let through.

Read from a bounded sample of the turns whose failure is attributed to the stage
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
from labels.rules.normalise import normalise

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# A next request that is at least this similar in letters and comes within a minute is a rephrase.
ALIKE = 0.6
SOON_S = 60.0
# Two candidates of a mention whose scores are this close leave the mention ambiguous.
CLOSE = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """Tables of evidence by name (see `of_slice`), and how many of the blamed turns were read."""

    failure_point: str
    read: int
    blamed: int
    tables: Mapping[str, pa.Table]

    def words(self) -> str:
        """How many turns were read, in a sentence."""
        if self.read < self.blamed:
            return f"Read from a sample of {self.read:,} of {self.blamed:,} turns, newest first."
        return f"Read from all {self.blamed:,} turns."


def of_slice(
    snapshot: Snapshot, inside: Inside, top: int = 20, most: int = MOST_RECORDS, seed: int = 0
) -> Evidence:
    """The evidence for the failure point of a slice.

    Reads at most `most` turns, sampled by `seed`. Tables, counts in falling order, at most `top`
    rows unless a distribution:

    - asr: ``confused`` (heard, meant, source, turns), ``confidence`` (step of 0.05, inside, rest),
      ``places`` (device_type, locale, turns, failures)
    - nlu: ``intents`` (understood, meant, source, turns)
    - er: ``mentions`` (slot, mention, kind: unresolved or ambiguous, the two candidates, turns)
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
    """Words heard and words meant, by aligning the text heard with the best reference there is.

    References, the best first: the gold transcript; the user's next request where it is a rephrase;
    the other hypotheses of the n-best list. A turn counts once per pair and source. ``heard`` or
    ``meant`` is empty where words were inserted or deleted. For n-best, a pair shows that the
    recogniser hesitated between the two, not which was meant. Columns: heard, meant, source, turns.
    """
    counted: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        hypotheses = [h["text"] or "" for h in row["heard"] or () if h]
        first = normalise(hypotheses[0]) if hypotheses else ""
        for source, reference in _references(row, first, hypotheses):
            counted.update({(*pair, source) for pair in _substitutions(first, reference)})
    return _counted(counted, ("heard", "meant", "source"), top)


def _references(
    row: Mapping[str, Any], first: str, hypotheses: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if row["said"] is not None:
        yield "gold", normalise(row["said"])
    elif _is_rephrase(row, first):
        yield "rephrase", normalise(row["next_heard"])
    else:
        for other in dict.fromkeys(map(normalise, hypotheses[1:])):
            yield "n-best", other


def _is_rephrase(row: Mapping[str, Any], first: str) -> bool:
    """Whether the next request repeats this one in similar but not the same words."""
    next_heard = row["next_heard"]
    if not next_heard or not first or not 0 <= (row["next_after_s"] or 0.0) <= SOON_S:
        return False
    other = normalise(next_heard)
    return (
        other != first
        and Levenshtein.normalized_similarity(first[:LONGEST], other[:LONGEST]) >= ALIKE
    )


def _substitutions(heard_text: str, meant: str) -> Iterator[tuple[str, str]]:
    """Runs of words that differ, from an alignment with the fewest edits."""
    left, right = heard_text.split(), meant.split()
    for step in Levenshtein.opcodes(left, right):
        if step.tag != "equal":
            yield (
                " ".join(left[step.src_start : step.src_end]),
                " ".join(right[step.dest_start : step.dest_end]),
            )


def intents_confused(rows: Sequence[Mapping[str, Any]], top: int = 20) -> pa.Table:
    """Intents understood and meant: by gold, or else by the intent of the next turn.

    The next turn counts within a minute, where another intent was understood. Columns: understood,
    meant, source (gold or next turn), turns.
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
    """Mentions without an entity, and mentions whose two best candidates have close scores.

    Columns: slot, mention, kind, first, second (names of the candidates, empty where unresolved),
    turns.
    """
    counted: Counter[tuple[str, str, str, str, str]] = Counter()
    for row in rows:
        problems = (_problem(mention) for mention in row["mentions"] or () if mention)
        counted.update({problem for problem in problems if problem})
    return _counted(counted, ("slot", "mention", "kind", "first", "second"), top)


def _problem(mention: Mapping[str, Any]) -> tuple[str, str, str, str, str] | None:
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
    """The `top` commonest keys with their turns; ties in the order of their text."""
    rows: Iterable[tuple[tuple[str, ...], int]] = sorted(
        counted.items(), key=lambda item: (-item[1], item[0])
    )[:top]
    return pa.Table.from_pylist(
        [{**dict(zip(names, key, strict=True)), "turns": turns} for key, turns in rows],
        schema([*((name, pa.string()) for name in names), ("turns", pa.int64())]),
    )
