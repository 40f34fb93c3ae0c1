"""The trace record: one turn of a voice assistant, as it is logged and as it is stored.

`Turn` is the wire format. `msgspec` checks it strictly (types, ranges, RFC 3339 times) and names
the path of a faulty field; the ranges of numbers are those of `data.schema.bounds`. `TURNS` is the
same record as an Arrow schema, that of the table `turns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from data.schema.bounds import DURATION, OFFSET, PROBABILITY, RATING, SIGNAL, Bounds

STAGES = ("wake", "asr", "nlu", "er", "result")
# The order of the turns of a dialogue: by the index that was logged, and where that is the same, as
# in logs that write 0 on every turn, by time; the id decides what is left.
ORDER = ("turn_index", "started_at", "turn_id")
# In the order of the pipeline: failure point i blames stage i.
FAILURES = ("false_wake", "asr", "nlu", "er", "result")
FAILURE_POINTS = (*FAILURES, "correct")
STATUSES = ("ok", "error", "no_match", "unsupported")
# What a rating in gold is of: this turn's response, its goal, the dialogue (the last two stand on
# the last turn), or whether a goal begins here (0 or 1).
RATED = ("response", "goal", "dialogue", "boundary")
# How a request repairs an earlier one: said differently, or misheard then.
CORRECTIONS = ("command", "asr")


def _within(bounds: Bounds) -> msgspec.Meta:
    return msgspec.Meta(ge=bounds.low, le=bounds.high, extra={"bounds": bounds})


Unit = Annotated[float, _within(PROBABILITY)]
Duration = Annotated[float, _within(DURATION)]
Offset = Annotated[float, _within(OFFSET)]
Rating = Annotated[float, _within(RATING)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Scalar = str | int | float | bool | None
Signals = dict[str, Annotated[float, _within(SIGNAL)] | None]


class Record(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Base of every part of a trace.

    Unknown fields are errors here so that they are noticed; `data.ingest.validation` moves them to
    `extra`. Nulls are left out when writing: a missing field and a null field mean the same.
    """


class Slot(Record):
    name: str
    value: Scalar = None


class Act(Record):
    act: str
    slots: list[Slot] | None = None


class Device(Record):
    type: str | None = None
    id: str | None = None
    has_screen: bool | None = None
    state: dict[str, str | None] | None = None


class Prompt(Record):
    text: str | None = None
    acts: list[Act] | None = None


class Wake(Record):
    score: Unit | None = None
    threshold: Unit | None = None
    phrase: str | None = None
    start_ms: Offset | None = None
    latency_ms: Duration | None = None
    signals: Signals | None = None


class AsrHypothesis(Record):
    text: str
    confidence: Unit | None = None


class Asr(Record):
    hypotheses: list[AsrHypothesis] | None = None
    audio_ms: Duration | None = None
    endpoint: str | None = None
    start_ms: Offset | None = None
    latency_ms: Duration | None = None
    signals: Signals | None = None


class NluHypothesis(Record):
    domain: str | None = None
    intent: str | None = None
    confidence: Unit | None = None
    slots: list[Slot] | None = None


class Nlu(Record):
    hypotheses: list[NluHypothesis] | None = None
    start_ms: Offset | None = None
    latency_ms: Duration | None = None
    signals: Signals | None = None


class Candidate(Record):
    id: str | None = None
    name: str | None = None
    score: Unit | None = None


class Mention(Record):
    slot: str | None = None
    text: str | None = None
    candidates: list[Candidate] | None = None


class Er(Record):
    mentions: list[Mention] | None = None
    start_ms: Offset | None = None
    latency_ms: Duration | None = None
    signals: Signals | None = None


class Result(Record):
    action: str | None = None
    status: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(STATUSES)})$")] | None = None
    response: str | None = None
    acts: list[Act] | None = None
    items: list[Any] | None = None
    start_ms: Offset | None = None
    latency_ms: Duration | None = None
    signals: Signals | None = None


class Tts(Record):
    start_ms: Offset | None = None
    latency_ms: Duration | None = None


class Feedback(Record):
    barge_in: bool | None = None
    barge_in_ms: Duration | None = None
    explicit: Annotated[str, msgspec.Meta(pattern="^(yes|no)$")] | None = None
    terminated: bool | None = None
    rating: Rating | None = None


class Replay(Record):
    intent: str | None = None
    slots: list[Slot] | None = None


class GoldRating(Record):
    annotator: str | None = None
    of: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(RATED)})$")] | None = None
    value: Rating | None = None


class Gold(Record):
    addressed: bool | None = None
    transcript: str | None = None
    domain: str | None = None
    intent: str | None = None
    slots: list[Slot] | None = None
    entities: dict[str, str | None] | None = None
    action: str | None = None
    result_ok: bool | None = None
    unsupported: bool | None = None
    replay: Replay | None = None
    failure_point: (
        Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(FAILURE_POINTS)})$")] | None
    ) = None
    annotator: str | None = None
    goal_id: NonEmpty | None = None
    goal_reached: bool | None = None
    defect: bool | None = None
    ratings: list[GoldRating] | None = None
    corrects: NonEmpty | None = None
    correction: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(CORRECTIONS)})$")] | None = None


class Turn(Record):
    """One request to the assistant and what the assistant did with it."""

    turn_id: NonEmpty
    dialogue_id: NonEmpty
    turn_index: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    started_at: Annotated[datetime, msgspec.Meta(tz=True)]
    assistant: str | None = None
    user_id: str | None = None
    # The home that the device is in; stored in `extra`, see `HOME_SQL`.
    home_id: str | None = None
    locale: str | None = None
    device: Device | None = None
    versions: dict[str, str | None] | None = None
    prompt: Prompt | None = None
    wake: Wake | None = None
    asr: Asr | None = None
    nlu: Nlu | None = None
    er: Er | None = None
    result: Result | None = None
    tts: Tts | None = None
    feedback: Feedback | None = None
    gold: Gold | None = None


# A field that the record may have and the table has not: it is kept in `extra`.
HOME_SQL = """CASE WHEN contains(extra, '"home_id"') THEN nullif(extra ->> '$.home_id', '') END"""


def order_sql(table: str = "") -> str:
    """The ORDER BY list for the turns of a dialogue; `table` is the name before their columns."""
    return ", ".join(f"{table}.{name}" if table else name for name in ORDER)


_STR = pa.string()
_F64 = pa.float64()
_SIGNALS = pa.map_(_STR, _F64)
_SLOTS = pa.list_(pa.struct([("name", _STR), ("value", _STR)]))
_ACTS = pa.list_(pa.struct([("act", _STR), ("slots", _SLOTS)]))
_GOLD_RATING = pa.struct([("annotator", _STR), ("of", _STR), ("value", _F64)])
_TIMING = [("start_ms", _F64), ("latency_ms", _F64)]


def schema(fields: Sequence[Any]) -> pa.Schema:
    """An Arrow schema of (name, type) pairs, a list that pyarrow's own stubs do not allow."""
    return pa.schema(fields)


TURNS = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("turn_index", pa.int32()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("assistant", _STR),
        ("user_id", _STR),
        ("locale", _STR),
        (
            "device",
            pa.struct(
                [
                    ("type", _STR),
                    ("id", _STR),
                    ("has_screen", pa.bool_()),
                    ("state", pa.map_(_STR, _STR)),
                ]
            ),
        ),
        ("versions", pa.map_(_STR, _STR)),
        ("prompt", pa.struct([("text", _STR), ("acts", _ACTS)])),
        (
            "wake",
            pa.struct(
                [
                    ("score", _F64),
                    ("threshold", _F64),
                    ("phrase", _STR),
                    *_TIMING,
                    ("signals", _SIGNALS),
                ]
            ),
        ),
        (
            "asr",
            pa.struct(
                [
                    (
                        "hypotheses",
                        pa.list_(pa.struct([("text", _STR), ("confidence", _F64)])),
                    ),
                    ("audio_ms", _F64),
                    ("endpoint", _STR),
                    *_TIMING,
                    ("signals", _SIGNALS),
                ]
            ),
        ),
        (
            "nlu",
            pa.struct(
                [
                    (
                        "hypotheses",
                        pa.list_(
                            pa.struct(
                                [
                                    ("domain", _STR),
                                    ("intent", _STR),
                                    ("confidence", _F64),
                                    ("slots", _SLOTS),
                                ]
                            )
                        ),
                    ),
                    *_TIMING,
                    ("signals", _SIGNALS),
                ]
            ),
        ),
        (
            "er",
            pa.struct(
                [
                    (
                        "mentions",
                        pa.list_(
                            pa.struct(
                                [
                                    ("slot", _STR),
                                    ("text", _STR),
                                    (
                                        "candidates",
                                        pa.list_(
                                            pa.struct(
                                                [("id", _STR), ("name", _STR), ("score", _F64)]
                                            )
                                        ),
                                    ),
                                ]
                            )
                        ),
                    ),
                    *_TIMING,
                    ("signals", _SIGNALS),
                ]
            ),
        ),
        (
            "result",
            pa.struct(
                [
                    ("action", _STR),
                    ("status", _STR),
                    ("response", _STR),
                    ("acts", _ACTS),
                    ("items", pa.list_(_STR)),
                    *_TIMING,
                    ("signals", _SIGNALS),
                ]
            ),
        ),
        ("tts", pa.struct(_TIMING)),
        (
            "feedback",
            pa.struct(
                [
                    ("barge_in", pa.bool_()),
                    ("barge_in_ms", _F64),
                    ("explicit", _STR),
                    ("terminated", pa.bool_()),
                    ("rating", _F64),
                ]
            ),
        ),
        (
            "gold",
            pa.struct(
                [
                    ("addressed", pa.bool_()),
                    ("transcript", _STR),
                    ("domain", _STR),
                    ("intent", _STR),
                    ("slots", _SLOTS),
                    ("entities", pa.map_(_STR, _STR)),
                    ("action", _STR),
                    ("result_ok", pa.bool_()),
                    ("unsupported", pa.bool_()),
                    ("replay", pa.struct([("intent", _STR), ("slots", _SLOTS)])),
                    ("failure_point", _STR),
                    ("annotator", _STR),
                    # Turns with the same id serve one goal; unique within the dialogue.
                    ("goal_id", _STR),
                    # The same on all turns of the goal.
                    ("goal_reached", pa.bool_()),
                    # The verdict on this turn's response, where there is no failure point.
                    ("defect", pa.bool_()),
                    ("ratings", pa.list_(_GOLD_RATING)),
                    # The earlier turn that this request repairs, and how.
                    ("corrects", _STR),
                    ("correction", _STR),
                ]
            ),
        ),
        # Fields of the record that the format does not define, as a JSON object; null for none.
        ("extra", _STR),
        # 64-bit fingerprint of everything but gold: a changed turn is scored again, a change of its
        # gold alone is not. Signed, because Delta Lake has no unsigned integers.
        ("digest", pa.int64()),
        # Partition column: the UTC date of started_at.
        ("day", pa.date32()),
    ]
)
