"""Whatever a store holds, its turns have features and are scored, counted, shown and exported."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import faultline
from classifiers.scoring.score import score
from classifiers.settings import Settings
from classifiers.train import train
from classifiers.training_data import training_turns
from data.export.export import export
from data.queries import overview
from data.queries.filters import Filter
from data.queries.signals import NUMBERS, signal_values
from data.schema.trace import STAGES, TURNS
from data.store.store import Store
from features.categories import CATEGORIES, Vocabulary
from features.matrix import build
from tests.app import Open
from tests.turns import START, table, turn

LARGEST = 1.797e308
NUMBERS_SEEN = [
    LARGEST, -LARGEST, 5e-324, -5e-324, 1e-300, -0.0, 0.0, 1.0, 2.0**63, -(2.0**63), 1e39, -250.0,
    float("inf"), float("-inf"), float("nan"),
]  # fmt: skip
NAMES = Vocabulary(
    {c.name: ["play", "", "a"] for c in CATEGORIES}, {stage: ["snr"] for stage in STAGES}
)
EARLIEST, LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

number = st.none() | st.sampled_from(NUMBERS_SEEN) | st.floats()
controls = st.text(st.characters(max_codepoint=0x1F, min_codepoint=1), max_size=4)
text = st.sampled_from([None, "", " ", "'", "play", "x" * 20_000, "a b " * 5_000]) | controls
slots = st.lists(st.fixed_dictionaries({"name": text, "value": text}), max_size=2)
timing = {"start_ms": number, "latency_ms": number}
stage = {**timing, "signals": st.none() | st.fixed_dictionaries({"snr": number})}


def some(fields: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.fixed_dictionaries({}, optional=fields)


def few_or_many(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """No list, none, a few or 200 of them."""
    return st.none() | st.lists(items, max_size=3) | items.map(lambda item: [item] * 200)


heard = st.fixed_dictionaries({"text": text, "confidence": number})
meant = st.fixed_dictionaries(
    {"intent": text, "domain": text, "confidence": number, "slots": slots}
)
found = st.fixed_dictionaries({"id": text, "name": text, "score": number})
mention = st.fixed_dictionaries({"slot": text, "text": text, "candidates": few_or_many(found)})
record = st.fixed_dictionaries(
    {
        "turn_index": st.sampled_from([0, 1, 2**31 - 1]),
        "started_at": st.sampled_from([START, EARLIEST, LATEST]),
    },
    optional={
        "assistant": text,
        "user_id": text,
        "locale": text,
        "device": some({"type": text, "id": text}),
        "prompt": some({"text": text}),
        "wake": some({**stage, "score": number, "threshold": number}),
        "asr": some({**stage, "hypotheses": few_or_many(heard), "audio_ms": number}),
        "nlu": some({**stage, "hypotheses": few_or_many(meant)}),
        "er": some({**stage, "mentions": few_or_many(mention)}),
        "result": some({**stage, "response": text, "items": st.lists(text, max_size=2)}),
        "tts": some(timing),
        "feedback": some({"barge_in_ms": number, "rating": number}),
    },
)


def dialogue(parts: list[dict[str, Any]]) -> pa.Table:
    """Turns of two dialogues; the index and time of each are as given."""
    return table(
        *({**turn(i, f"d{i % 2}"), **part, "turn_id": f"t{i}"} for i, part in enumerate(parts))
    )


@pytest.mark.long
@given(st.lists(record, min_size=1, max_size=4))
# Without shrinking, which takes minutes at up to a second each.
@settings(
    max_examples=25,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_features_are_finite_or_missing(parts: list[dict[str, Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = build(dialogue(parts), NAMES)
    assert features["turn_id"].to_pylist() == [f"t{i}" for i in range(len(parts))]
    for name in features.column_names[1:]:
        values = features[name].drop_null().to_numpy()
        assert np.isfinite(values).all(), name


@pytest.mark.parametrize("value", NUMBERS_SEEN)
def test_a_number_in_every_field_gives_finite_features(value: float) -> None:
    features = build(dialogue([absurd(value), {}]), NAMES)
    for name in features.column_names[1:]:
        assert np.isfinite(features[name].drop_null().to_numpy()).all(), name


def absurd(value: float) -> dict[str, Any]:
    """A turn with the same number wherever a number can be logged."""
    own = {"start_ms": value, "latency_ms": value, "signals": {"snr": value}}
    found = {"id": "1", "name": "queen", "score": value}
    meant = {"intent": "play", "confidence": value, "slots": [{"name": "a", "value": "queen"}]}
    return {
        "wake": {**own, "score": value, "threshold": value},
        "asr": {
            **own,
            "hypotheses": [{"text": text, "confidence": value} for text in ("play queen", "play")],
            "audio_ms": value,
        },
        "nlu": {**own, "hypotheses": [meant, meant]},
        "er": {**own, "mentions": [{"slot": "a", "text": "queen", "candidates": [found, found]}]},
        "result": {**own, "response": "Playing queen."},
        "tts": {"start_ms": value, "latency_ms": value},
        "feedback": {"barge_in_ms": value, "rating": value},
    }


def test_a_number_without_a_meaning_counts_as_not_logged() -> None:
    sensible = {"asr": {"hypotheses": [], "latency_ms": 5.0, "signals": {"snr": -3.0, "x": 1.0}}}
    spoilt = {"asr": {**sensible["asr"], "latency_ms": LARGEST, "signals": {"snr": -LARGEST}}}
    good, bad = build(dialogue([sensible, spoilt]), NAMES).to_pylist()
    assert (good["asr.latency"], good["asr.signal.snr"]) == (5.0, -3.0)
    assert (bad["asr.latency"], bad["asr.signal.snr"]) == (None, None)
    assert bad["asr.hypotheses"] == 0.0
    assert bad["wake.score"] is None
    assert bad["dialogue.position"] == good["dialogue.position"]


def extremes(day: datetime) -> pa.Table:
    """Turns as an earlier version may have stored them, on days at both ends of the calendar."""
    parts: list[dict[str, Any]] = [{**absurd(value), "gold": None} for value in NUMBERS_SEEN]
    longest = {"text": "word " * 4_000, "confidence": LARGEST}
    parts += [
        {},
        {"started_at": EARLIEST},
        {"started_at": LATEST, "turn_index": 2**31 - 1},
        {"asr": {"hypotheses": []}, "nlu": {"hypotheses": []}, "er": {"mentions": []}},
        {"asr": {"hypotheses": [longest] * 200}},
        {"prompt": {"text": "\x01\x1b"}, "result": {"response": ""}, "locale": ""},
    ]
    rows = []
    for i, part in enumerate(parts):
        row = {"started_at": day, **turn(i % 3, f"extreme{i // 3}"), "assistant": "kitchen"}
        row = {**row, "started_at": day, **part, "digest": i}
        rows.append({**row, "day": row["started_at"].date()})
    return table(*rows)


@pytest.fixture(scope="module")
def spoilt(six_scored: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, int]:
    """A scored store with absurd turns beside good ones, scored as well, and how many there are."""
    path = tmp_path_factory.mktemp("spoilt") / "store"
    store = Store.open(shutil.copytree(six_scored.path, path))
    turns = extremes(datetime(2024, 3, 9, 12, tzinfo=UTC))
    with store.commit() as cycle:
        cycle.append("turns", turns)
    report = score(store, workers=1)
    assert report.scored >= turns.num_rows
    return store, turns.num_rows


def test_every_turn_is_scored(spoilt: tuple[Store, int]) -> None:
    store, _ = spoilt
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM predictions WHERE dialogue_id LIKE 'extreme%'")
        counts = snapshot.counts()
        (rates,) = snapshot.query(
            "SELECT count(*) AS n, bool_and(isfinite(p_defect) AND p_defect BETWEEN 0 AND 1) AS ok,"
            " bool_and(len(list_filter(reasons, lambda r: NOT isfinite(r.contribution)"
            " OR NOT isfinite(coalesce(r.value, 0)))) = 0) AS finite FROM predictions"
        ).to_pylist()
    assert counts["turns"] == counts["predictions"] == rates["n"]
    assert rates["ok"]
    assert rates["finite"]
    assert all(v is None or 0 <= v <= 1 for v in rows["asr_confidence"].to_pylist())


def test_rates_and_signals_are_finite(spoilt: tuple[Store, int]) -> None:
    store, _ = spoilt
    with store.snapshot() as snapshot:
        turns = overview.totals(overview.trend(snapshot, str(snapshot.model), Filter())).turns
        assert turns == snapshot.counts()["turns"]
        values = signal_values(snapshot, Filter())
    for name in NUMBERS:
        assert np.isfinite(values[name].drop_null().to_numpy()).all(), name
    by_day = faultline.rates(store=store, by="day")
    assert by_day[by_day["failure_point"] == "defect"]["turns"].sum() == turns
    assert np.isfinite(by_day.select_dtypes("number").fillna(0).to_numpy()).all()


@pytest.mark.parametrize("name", ["turns", "predictions"])
def test_every_row_is_exported(spoilt: tuple[Store, int], name: str, tmp_path: Path) -> None:
    store, _ = spoilt
    read: dict[str, Callable[[Path], int]] = {
        ".csv": lambda path: len(pd.read_csv(path, usecols=["turn_id"], low_memory=False)),
        ".parquet": lambda path: pq.read_metadata(path).num_rows,
        ".jsonl": lambda path: path.read_bytes().count(b"\n"),
    }
    with store.snapshot() as snapshot:
        for suffix, rows in read.items():
            to = tmp_path / f"{name}{suffix}"
            assert export(snapshot, name, to) == rows(to) == snapshot.counts()[name], suffix


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"page": "data", "part": "signals"},
        {"page": "data", "part": "drift"},
        {"page": "explore"},
        *({"page": "turn", "turn": f"extreme{i}-{j}"} for i, j in ((0, 0), (0, 1), (4, 0), (6, 1))),
    ],
)
def test_pages_show_the_store(
    spoilt: tuple[Store, int], opened: Open, query: dict[str, str]
) -> None:
    at = opened(spoilt[0].path, **query)
    assert at.metric or at.subheader
    assert not at.error


@pytest.mark.long
def test_a_model_trains_on_such_turns(spoilt: tuple[Store, int]) -> None:
    store, _ = spoilt
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
    names = turns.schema.names
    extreme = extremes(START).to_pylist()
    labelled = [{**row, "gold": {"failure_point": "asr"}} for row in extreme]
    added = pa.Table.from_pylist(labelled, schema=TURNS)
    table_ = pa.concat_tables(
        [turns, added.select([n for n in names if n in TURNS.names])], promote_options="default"
    )
    train(table_, Settings())
