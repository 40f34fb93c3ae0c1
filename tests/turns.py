"""Tables in the shape of `TURNS`, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from data.schema.trace import TURNS

START = datetime(2024, 5, 1, 9, 30, tzinfo=UTC)


def turn(index: int = 0, dialogue: str = "d1", **fields: Any) -> dict[str, Any]:
    """One turn; `heard`, `meant` and `said` are short for hypotheses, frames and the response."""
    record: dict[str, Any] = {
        "turn_id": f"{dialogue}-{index}",
        "dialogue_id": dialogue,
        "turn_index": index,
        "started_at": START + timedelta(seconds=10 * index),
        **fields,
    }
    if "heard" in record:
        pairs = record.pop("heard")
        record["asr"] = {
            "hypotheses": [{"text": text, "confidence": c} for text, c in pairs],
            **record.get("asr", {}),
        }
    if "meant" in record:
        intent, slots = record.pop("meant")
        slots = [{"name": name, "value": value} for name, value in slots]
        record["nlu"] = {
            "hypotheses": [{"intent": intent, "slots": slots}],
            **record.get("nlu", {}),
        }
    if "said" in record:
        record["result"] = {"response": record.pop("said"), **record.get("result", {})}
    if "prompted" in record:
        record["prompt"] = {"text": record.pop("prompted")}
    return record


def table(*records: dict[str, Any]) -> pa.Table:
    """Records as a table of `TURNS`; maps may be given as dicts."""
    return pa.Table.from_pylist([_convert(record) for record in records], schema=TURNS)


def _convert(record: dict[str, Any]) -> dict[str, Any]:
    converted = dict(record)
    for key in ("versions",):
        if isinstance(converted.get(key), dict):
            converted[key] = list(converted[key].items())
    for stage in ("wake", "asr", "nlu", "er", "result"):
        part = converted.get(stage)
        if part and isinstance(part.get("signals"), dict):
            converted[stage] = {**part, "signals": list(part["signals"].items())}
    return converted
