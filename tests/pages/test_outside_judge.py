"""The Model page with an outside judge beside the model."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from annotation.judges import import_verdicts
from classifiers.out_of_fold import HeldOut
from data.queries.ground_truth import labelled
from data.store.store import Store
from labels.rules.derived import refresh
from tests.app import Open, texts, turn_rows
from tests.scored import MODEL, NASTY


def test_an_outside_judge_stands_beside_the_model(opened: Open, own_store: Store) -> None:
    refresh(own_store)
    at = opened(own_store.path, "model", look="comparison")
    assert "No judge’s verdicts are in the store" in texts(at)
    with own_store.snapshot() as snapshot:
        known = labelled(snapshot, MODEL)
    turns = [str(turn) for turn in known["turn_id"].to_pylist()]
    lines: list[dict[str, str | None]] = [
        {"turn_id": turn, "failure_point": "asr" if i % 2 else "correct", "reason": NASTY}
        for i, turn in enumerate(turns)
    ]
    lines[0]["failure_point"] = None
    said = "\n".join(map(json.dumps, lines)).encode()
    import_verdicts(own_store, said, "said.jsonl", NASTY[:60], cost_per_1000=4, currency="EUR")
    # Without out-of-fold verdicts of the model there is no honest comparison.
    assert "no out-of-fold probabilities" in texts(
        opened(own_store.path, "model", look="comparison")
    )
    HeldOut(pa.array(sorted(turns)), np.ones(len(turns)), np.ones((len(turns), 2))).write(
        own_store.models / MODEL / "held_out.parquet"
    )
    at = opened(own_store.path, "model", look="comparison")
    words = texts(at)
    assert f"on {len(turns) - 1} turns in" in words
    assert "1 refused by the judge" in words
    assert "cost is 4.00 EUR" in words
    assert "They differ on" in words
    assert not any("**bold**" in shown.value for shown in at.markdown)
    assert {row["Judge"] for row in turn_rows(at)} <= {"ASR", "Correct"}
    assert "Unknown judge=nobody" in texts(
        opened(own_store.path, "model", look="comparison", judge="nobody")
    )
