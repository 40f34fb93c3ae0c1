"""Summary figures of a store."""

from __future__ import annotations

from typing import Any

from data.schema.vocabulary import UNCHECKED
from data.store.disk_usage import size_of
from data.store.misdated import DATED
from data.store.snapshot import Snapshot
from data.store.store import Store

_SQL = f"""
SELECT count(DISTINCT dialogue_id) AS dialogues,
    (min(started_at) FILTER ({DATED}))::VARCHAR AS first_turn,
    (max(started_at) FILTER ({DATED}))::VARCHAR AS last_turn,
    list_sort(list(DISTINCT assistant)) AS assistants,
    count(gold) AS turns_with_gold
FROM turns
"""


def _learned_from(snapshot: Snapshot) -> str:
    if snapshot.model is None:
        return "none"
    people = snapshot.learned_from_people(snapshot.model)
    return "labels of people" if people else f"behaviour; {UNCHECKED.partition(', ')[2]}"


def describe(store: Store) -> dict[str, Any]:
    """Path, version, promoted model and what it learned from, rows per table, dialogues, time span,
    assistants, size.

    Turns with an impossible date, the rows of `misdated`, do not count for the time span.
    """
    with store.snapshot() as snapshot:
        facts: dict[str, Any] = {
            "path": store.address,
            "version": snapshot.version,
            "model": snapshot.model or "none",
            "model_learned_from": _learned_from(snapshot),
            **snapshot.counts(),
            **snapshot.query(_SQL).to_pylist()[0],
        }
        facts["files"] = sum(held.files for held in snapshot.contents.values())
        # Of the tables; models and older versions are not among them.
        facts["megabytes"] = round(sum(held.bytes for held in snapshot.contents.values()) / 1e6, 1)
        facts["megabytes_of_models"] = round(
            (size_of(store.models) + size_of(store.label_models)) / 1e6, 1
        )
    return facts
