"""Verdicts for the system that the turns came from: as JSON lines, or as spans in their traces.

Turns of spans have ids of the form ``<trace id>-<span id>`` (`data.ingest.adapters`). Their verdict
becomes a span of its own, a child of the turn's span in the same trace: OpenTelemetry's file format
(https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/), one request to export spans per
line, or as Protocol Buffers, each request after its length.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import orjson

from data.counted import counted
from data.errors import ModelError, UsageError, machine_error
from data.export.export import check_condition, condition_error
from data.schema.trace import FAILURE_POINTS, STAGES
from data.store.durability import replacing

if TYPE_CHECKING:
    from data.export.send import Answer
    from data.store.snapshot import Snapshot

Form = Literal["jsonl", "otlp", "otlp-protobuf"]
FORMS: tuple[Form, ...] = ("jsonl", "otlp", "otlp-protobuf")
SPAN = "faultline.verdict"
# Spans per request: far below what receivers accept at once (4 MiB in gRPC).
_BATCH = 500
_IDS = re.compile(r"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})")
_SUFFIXES = (".jsonl", ".json")
_P = ("p_defect", *(f"p_{name}" for name in FAILURE_POINTS))
# The span of a turn lasts until its last stage ends, as far as times were logged.
_END = ", ".join(f"{stage}.start_ms + {stage}.latency_ms" for stage in STAGES)
_ROWS = f"""
SELECT predictions.turn_id, predictions.dialogue_id, predictions.started_at, failure_point,
  {", ".join(_P)}, reasons, model_id,
  epoch_us(predictions.started_at)::BIGINT AS start_us,
  coalesce(greatest({_END}), 0)::DOUBLE AS lasts_ms
FROM (FROM predictions WHERE {{within}}) AS predictions
LEFT JOIN (SELECT turn_id, day, {", ".join(STAGES)} FROM turns) AS logged
  ON logged.turn_id = predictions.turn_id AND logged.day = predictions.day
ORDER BY predictions.started_at, predictions.dialogue_id, turn_index, predictions.turn_id, model_id
"""


@dataclass(frozen=True)
class Written:
    """How many verdicts were written, and how many left out as their turns are no spans.

    Of those sent, `rejected` were not taken by the receiver; `messages` are what it said.
    """

    verdicts: int
    left_out: int
    rejected: int = 0
    messages: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What was left out, as a sentence; empty for nothing."""
        if not self.left_out:
            return ""
        are = "is" if self.left_out == 1 else "are"
        return (
            f"{counted(self.left_out, 'turn')} {are} left out: a turn can only be put into a trace "
            "if its id is <trace id>-<span id>, as turns of OpenTelemetry spans have."
        )

    @property
    def warning(self) -> str:
        """What the receiver rejected or said, as a sentence; empty where it took all silently."""
        said = ": " + "; ".join(self.messages) if self.messages else ""
        if self.rejected:
            return (
                f"The receiver rejected {self.rejected} of {counted(self.verdicts, 'span')}{said}"
            )
        return f"The receiver took the spans, and said{said}" if said else ""


def write_verdicts(
    snapshot: Snapshot,
    to: Path,
    form: Form = "jsonl",
    where: str | None = None,
    every_model: bool = False,
    meaning: Callable[[str], str] = str,
    send: Callable[[bytes], Answer] | None = None,
) -> Written:
    """Write the verdicts of scored turns to a file.

    Parameters
    ----------
    where: a SQL condition on the columns of `predictions`. every_model: verdicts of all models that
    have scored turns, not only of the promoted one. meaning: the words for a feature. send: is
    given each request as Protocol Buffers, once all are written; not for `jsonl`.

    Raises `ModelError` where there is no promoted model, `UsageError` for a condition that cannot
    be used or a file that cannot be written. What `send` raises comes after the file, which stays.
    """
    target = to.expanduser()
    if form != "otlp-protobuf" and target.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"Cannot export to '{target.name}'; its name must end in {' or '.join(_SUFFIXES)}."
        )
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"Cannot write {target}; give a file in a folder that exists.")
    if send is not None and form == "jsonl":
        raise UsageError("Only spans can be sent: give --format otlp with --endpoint.")
    check_condition(snapshot, "predictions", where)
    within, bound = _within(snapshot, where, every_model)
    rows = _rows(snapshot, _ROWS.format(within=within), bound)
    seen: dict[str, bool] = {}

    def checked(model: str) -> bool:
        if model not in seen:
            seen[model] = snapshot.learned_from_people(model)
        return seen[model]

    verdicts = left_out = 0
    try:
        with replacing(target) as draft, draft.open("wb") as file:
            if form == "jsonl":
                for row in rows:
                    file.write(orjson.dumps(_line(row, checked(row["model_id"]))) + b"\n")
                    verdicts += 1
                return Written(verdicts, 0)
            spans = (_span(row, checked(row["model_id"]), meaning) for row in rows)
            while part := list(islice(spans, _BATCH)):
                request = _request([span for span in part if span])
                count = sum(span is not None for span in part)
                verdicts, left_out = verdicts + count, left_out + len(part) - count
                if not count:
                    continue
                if form == "otlp":
                    file.write(orjson.dumps(request) + b"\n")
                else:
                    binary = _protobuf(request)
                    file.write(struct.pack(">I", len(binary)) + binary)
    except duckdb.Error as error:
        raise condition_error(snapshot, "predictions", where, error) from error
    except OSError as error:
        raise machine_error(error, target) or UsageError(
            f"Cannot write {target}: {error.strerror}."
        ) from error
    answers = list(map(send, _requests(target, form))) if send else []
    return Written(
        verdicts,
        left_out,
        sum(answer.rejected for answer in answers),
        tuple(dict.fromkeys(answer.message for answer in answers if answer.message)),
    )


def _requests(file: Path, form: Form) -> Iterator[bytes]:
    """The requests of a file of spans, as Protocol Buffers."""
    with file.open("rb") as content:
        if form == "otlp":
            for line in content:
                yield _protobuf(orjson.loads(line))
            return
        while size := content.read(4):
            yield content.read(struct.unpack(">I", size)[0])


def ids_of(turn_id: str) -> tuple[str, str] | None:
    """Trace id and span id (hexadecimal) of a turn that was a span; None for another."""
    match = _IDS.fullmatch(turn_id)
    return (match[1], match[2]) if match else None


def _within(snapshot: Snapshot, where: str | None, every_model: bool) -> tuple[str, dict[str, Any]]:
    conditions = [f"(\n{where}\n)"] if where else []
    if every_model:
        return " AND ".join(conditions) or "true", {}
    if snapshot.model is None:
        raise ModelError(
            "There are no verdicts, as no model is promoted; run 'faultline train', then "
            "'faultline score'."
        )
    return " AND ".join(["model_id = $promoted", *conditions]), {"promoted": snapshot.model}


def _rows(snapshot: Snapshot, sql: str, bound: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for batch in snapshot.batches(sql, bound or None, rows=5_000):
        yield from batch.to_pylist()


def _line(row: Mapping[str, Any], checked: bool) -> dict[str, Any]:
    trace_id, span_id = ids_of(row["turn_id"]) or (None, None)
    return {
        "trace_id": trace_id,
        "span_id": span_id,
        **{name: row[name] for name in ("turn_id", "dialogue_id", "failure_point")},
        **{name: _rounded(row[name]) for name in _P},
        "reasons": row["reasons"] or [],
        "model_id": row["model_id"],
        "checked_by_people": checked,
    }


def _span(
    row: Mapping[str, Any], checked: bool, meaning: Callable[[str], str]
) -> dict[str, Any] | None:
    """The verdict as a span in OTLP's JSON; None for a turn that was no span."""
    ids = ids_of(row["turn_id"])
    if ids is None:
        return None
    trace_id, parent = ids
    # The same verdict of the same model is the same span, however often it is exported.
    own = hashlib.sha256(f"{SPAN} {row['turn_id']} {row['model_id']}".encode()).hexdigest()[:16]
    start = int(row["start_us"]) * 1000
    probabilities = {
        f"faultline.{name}": {"doubleValue": _rounded(row[name])}
        for name in _P
        if row[name] is not None
    }
    attributes: dict[str, dict[str, Any]] = {
        "faultline.failure_point": {"stringValue": row["failure_point"]},
        **probabilities,
        "faultline.reasons": {
            "arrayValue": {
                "values": [
                    {"stringValue": _reason(reason, meaning)} for reason in row["reasons"] or []
                ]
            }
        },
        "faultline.model": {"stringValue": row["model_id"]},
        "faultline.checked_by_people": {"boolValue": checked},
    }
    return {
        "traceId": trace_id,
        "spanId": own,
        "parentSpanId": parent,
        "name": SPAN,
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + max(round(row["lasts_ms"] * 1e6), 0)),
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }


def _reason(reason: Mapping[str, Any], meaning: Callable[[str], str]) -> str:
    value = reason["value"]
    logged = "not logged" if value is None else f"{value:g}"
    return f"{meaning(reason['feature'])}: {logged} ({reason['contribution'] or 0.0:+.2f})"


def _request(spans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    service = {"key": "service.name", "value": {"stringValue": "faultline"}}
    scope = {"scope": {"name": "faultline"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": [service]}, "scopeSpans": [scope]}]}


def _protobuf(request: Mapping[str, Any]) -> bytes:
    """A request as Protocol Buffers, in whose own JSON ids are base64 and not hexadecimal."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    own: dict[str, Any] = orjson.loads(orjson.dumps(request))
    for span in own["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    binary: bytes = ParseDict(own, ExportTraceServiceRequest()).SerializeToString()
    return binary


def _rounded(p: float | None) -> float | None:
    """A probability without the digits that 32 bits do not have."""
    return None if p is None else round(p, 6)
