"""Properties of the feature matrix for any turns."""

from __future__ import annotations

import copy
import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.ingest.ingest import ingest
from data.schema.trace import TURNS
from data.store.store import Store
from features.arrow import pc
from features.catalogue import catalogue, feature, sentence, stage
from features.categories import CATEGORIES, Vocabulary
from features.matrix import (
    Context,
    build,
    columns,
    learn,
    logged,
    open_frame,
    texts,
)
from tests.turns import START, table, turn

CONTEXTS: list[Context] = ["hindsight", "live"]
RICH = Vocabulary(
    {c.name: ["play", "stop", "a", "1"] for c in CATEGORIES}, {"asr": ["snr"], "wake": ["snr"]}
)


def both(turns: pa.Table, context: Context, vocabulary: Vocabulary = RICH) -> list[pa.Table]:
    with open_frame(turns, context) as con:
        return [columns(con, _fit(vocabulary, context), context), texts(con, context)]


def _fit(vocabulary: Vocabulary, context: Context) -> Vocabulary:
    after = {c.name for c in CATEGORIES if c.when == "after"} if context == "live" else set()
    values = {name: v for name, v in vocabulary.values.items() if name not in after}
    return Vocabulary(values, vocabulary.signals)


def same(left: pa.Table, right: pa.Table) -> None:
    assert left.column_names == right.column_names
    assert [n for n in left.column_names if not left[n].equals(right[n])] == []


WORDS = ["no", "play", "queen", "green", "day", "stop", "the", "next", "é"]

# Dialogues much like real ones: repeated words, several hypotheses, missing parts.
words = st.lists(st.sampled_from(WORDS), max_size=5)
spoken = words.map(" ".join)
unit = st.none() | st.floats(0, 1, width=16)
slots = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["artist", "room"]), "value": st.none() | spoken}
    ),
    max_size=2,
)
turns_ = st.fixed_dictionaries(
    {},
    optional={
        "asr": st.none()
        | st.fixed_dictionaries(
            {
                "hypotheses": st.none()
                | st.lists(st.fixed_dictionaries({"text": spoken, "confidence": unit}), max_size=4)
            }
        ),
        "nlu": st.fixed_dictionaries(
            {
                "hypotheses": st.lists(
                    st.fixed_dictionaries(
                        {
                            "intent": st.none() | st.sampled_from(["play", "stop"]),
                            "confidence": unit,
                            "slots": st.none() | slots,
                        }
                    ),
                    max_size=2,
                )
            }
        ),
        "prompt": st.fixed_dictionaries({"text": st.none() | spoken}),
        "result": st.fixed_dictionaries({"response": st.none() | spoken}),
        "feedback": st.fixed_dictionaries({"barge_in": st.none() | st.booleans()}),
        "gold": st.fixed_dictionaries({"transcript": spoken, "intent": spoken}),
    },
)
dialogues = st.lists(turns_, min_size=1, max_size=6)


def dialogue_of(fields: list[dict[str, Any]], name: str = "d1") -> list[dict[str, Any]]:
    return [turn(i, name, **copy.deepcopy(f)) for i, f in enumerate(fields)]


# Many dialogues in each example: the cost is per table, not per turn.
logs = st.lists(dialogues, min_size=1, max_size=12)
few = settings(max_examples=6, suppress_health_check=list(HealthCheck))


@few
@pytest.mark.long
@given(logs, dialogues, st.integers(1, 4))
def test_live_features_do_not_know_what_follows(
    log: list[list[dict[str, Any]]], others: list[dict[str, Any]], keep: int
) -> None:
    before = [t for i, d in enumerate(log) for t in dialogue_of(d, f"d{i}")[:keep]]
    removed = [t for i, d in enumerate(log) for t in dialogue_of(d, f"d{i}")[keep:]]
    changed = [
        turn(9 + j, f"d{i}", **copy.deepcopy(f))
        for i in range(len(log))
        for j, f in enumerate(others)
    ]
    at_once = [turn(90 + j, "d0", started_at=START) for j in range(4)]
    expected = both(table(*before), "live")
    for after in (removed, changed + at_once):
        for lone, full in zip(expected, both(table(*before, *after), "live"), strict=True):
            in_both = pc.is_in(full["turn_id"], value_set=lone["turn_id"].combine_chunks())
            same(lone, full.filter(in_both))


def test_hindsight_sees_what_follows() -> None:
    lone = [turn(0, heard=[("play queen", 0.5)])]
    alone, _ = both(table(*lone), "hindsight")
    followed, fields = both(table(*lone, turn(1, heard=[("no play queen", 0.9)])), "hindsight")
    assert alone["dialogue.rejected_after"].to_pylist() == [None]
    assert followed["dialogue.rejected_after"].to_pylist() == [1, None]
    assert followed["dialogue.remaining"].to_pylist() == [1, 0]
    assert fields["next"].to_pylist() == ["no play queen", ""]


@pytest.mark.parametrize("context", CONTEXTS)
def test_gold_never_enters(context: Context) -> None:
    records = [
        turn(i, heard=[("play queen", 0.5)], gold={"transcript": f"t{i}", "failure_point": point})
        for i, point in enumerate(["asr", "nlu", "correct", None])
    ]
    annotated = table(*records)
    at = annotated.schema.get_field_index("gold")
    permuted = annotated.set_column(at, TURNS.field("gold"), annotated["gold"].take([2, 0, 3, 1]))
    blank = annotated.set_column(at, TURNS.field("gold"), pa.nulls(4, TURNS.field("gold").type))
    expected = both(annotated, context)
    for other in (permuted, blank, annotated.drop_columns(["gold"])):
        for left, right in zip(expected, both(other, context), strict=True):
            same(left, right)


@few
@pytest.mark.long
@given(logs, st.randoms(use_true_random=False))
def test_neither_order_nor_layout_matters(log: list[list[dict[str, Any]]], random: Any) -> None:
    records = [t for i, d in enumerate(log) for t in dialogue_of(d, f"d{i}")]
    expected = both(table(*records), "hindsight")
    ids: list[Any] = expected[0]["turn_id"].to_pylist()
    assert ids == sorted(ids) == expected[1]["turn_id"].to_pylist()

    shuffled = random.sample(records, len(records))
    names = random.sample(TURNS.names, len(TURNS.names))
    chunked = pa.concat_tables([table(record) for record in shuffled])
    sliced = table(turn(7, "d99"), *shuffled, turn(8, "d99", heard=[("play", 0.1)]))
    for other in (table(*shuffled), chunked, sliced.slice(1, len(records)).select(names)):
        for left, right in zip(expected, both(other, "hindsight"), strict=True):
            same(left, right)


def test_turns_with_one_index_have_one_order() -> None:
    twins = [turn(0, turn_id="b", heard=[("second", 1.0)]), turn(0, turn_id="a"), turn(1)]
    matrix, _ = both(table(*twins), "hindsight")
    positions = dict(zip(*matrix.select(["turn_id", "dialogue.position"]).columns, strict=True))
    assert {k.as_py(): v.as_py() for k, v in positions.items()} == {"a": 1, "b": 2, "d1-1": 3}
    same(matrix, both(table(*twins[::-1]), "hindsight")[0])


ODD_TEXTS = [
    "",
    " ",
    "🎵 play 🎵",
    "שלום עולם",
    "e\u0301t\u0301e",
    "a\x00b",
    "İstanbul",
    "ﬁ",
    "'",
    "--",
]
ODD: dict[str, list[dict[str, Any]]] = {
    "nothing logged": [turn(0), turn(1)],
    "empty parts": [turn(0, asr={}, nlu={}, er={}, result={}, wake={}, prompt={}, feedback={})],
    "no hypotheses": [turn(0, asr={"hypotheses": []}, nlu={"hypotheses": []}, er={"mentions": []})],
    "null texts": [turn(0, heard=[(None, 0.5), ("a", 0.5)]), turn(1, heard=[(None, None)])],
    "null hypotheses": [
        turn(0, asr={"hypotheses": [None, {"text": "a"}]}, nlu={"hypotheses": [None]}),
        turn(1, er={"mentions": [None, {"text": None, "candidates": [None]}]}),
    ],
    "nulls among confidences": [turn(0, heard=[("a b", 0.5), ("a", None), ("b", 0.1)])],
    # A batch with both lists with and without nulls once made the whole query fail.
    "nulls beside numbers": [
        turn(0, heard=[("a", 0.5), ("a", 0.4)]),
        turn(0, "d2", heard=[("a", None), ("b", None)]),
    ],
    "no confidence at all": [turn(0, heard=[("a", 0.0), ("b", 0.0)])],
    "odd letters": [turn(i, heard=[(t, 0.5), ("x", 0.5)], said=t, prompted=t, meant=(t, [(t, t)]))
                    for i, t in enumerate(ODD_TEXTS)],
    "null slots": [turn(0, nlu={"hypotheses": [{"intent": None, "slots": [None]}]}), turn(1)],
}  # fmt: skip


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", ODD)
def test_odd_turns_have_features(name: str, context: Context) -> None:
    matrix, fields = both(table(*ODD[name]), context)
    assert matrix.num_rows == fields.num_rows == len(ODD[name])
    for column in matrix.column_names[1:]:
        values = matrix[column].to_numpy()
        assert not np.isinf(values).any(), column
        if feature(column).unit in ("share", "probability", "yes/no") and "gap" not in column:
            logged_values = values[~np.isnan(values)]
            allowed = (-1, 1) if "change" in column or "margin" in column else (0, 1.00001)
            assert ((logged_values >= allowed[0]) & (logged_values <= allowed[1])).all(), (
                column,
                logged_values,
            )


@pytest.mark.parametrize("context", CONTEXTS)
def test_no_turns(context: Context) -> None:
    matrix, fields = both(TURNS.empty_table(), context)
    assert (matrix.num_rows, fields.num_rows) == (0, 0)
    with open_frame(TURNS.empty_table(), context) as con:
        assert learn(con, context) == Vocabulary()


def test_long_texts_and_long_lists_stay_cheap() -> None:
    long = "word soup " * 10_000
    records = [
        turn(0, heard=[(long, 0.5), (long + "x", 0.4)], said=long, prompted=long),
        turn(1, heard=[(long[1:], 0.5)], prompted=long),
        turn(2, heard=[(f"play song {i}", 1 / 500) for i in range(500)]),
    ]
    matrix, _ = both(table(*records), "hindsight")
    assert matrix["asr.words"].to_pylist()[0] == 20_000
    assert matrix["asr.hypotheses"].to_pylist()[2] == 500
    assert matrix["asr.word_support_min"].to_pylist()[2] == pytest.approx(1 / 500, abs=1e-5)


NAMES = ["snr", "a.b", "x=y", "it's", '"quoted"', "", "signal.signal", "日本", "%s {0}", "a b"]


def test_signals_and_values_keep_their_names() -> None:
    records = [
        turn(
            i,
            f"d{i}",
            asr={"signals": {name: float(i)}},
            meant=(name, [(name, "v")]),
            versions={"asr": name},
        )
        for i, name in enumerate(NAMES)
    ]
    turns = table(*records)
    with open_frame(turns, "hindsight") as con:
        vocabulary = Vocabulary.learn(con, hindsight=True, at_least=1)
        matrix = columns(con, vocabulary, "hindsight")
    assert set(vocabulary.columns()) == set(matrix.column_names) - {
        "turn_id",
        *[f.name for f in logged("hindsight")],
    }
    # A version only tells when: models learn nothing from it.
    assert not [name for name in vocabulary.columns() if ".version" in name]
    for i, name in enumerate(NAMES):
        row = matrix.filter(pc.equal(matrix["turn_id"], f"d{i}-{i}"))
        assert row[f"asr.signal.{name}"].to_pylist() == [i]
        assert pc.count(matrix[f"asr.signal.{name}"]).as_py() == 1
        if name:
            for base in ("nlu.intent", "nlu.slot"):
                assert row[f"{base}={name}"].to_pylist() == [1]
                assert pc.sum(matrix[f"{base}={name}"]).as_py() == 1
                assert feature(f"{base}={name}").unit == "yes/no"
                assert name in sentence(f"{base}={name}")
            assert name in sentence(f"asr.signal.{name}")
        assert stage(f"asr.signal.{name}") == "asr"
        assert feature(f"asr.signal.{name}").unit == "as logged"


def test_rare_signals_become_no_column() -> None:
    records = [
        turn(
            i,
            asr={"signals": {"snr": 1.0, "half": 1.0 if i % 2 else None, f"request{i}": 1.0}},
            wake={"signals": {f"s{j}": 1.0 for j in range(210) if j < 205 or i < 3}},
        )
        for i in range(6)
    ]
    with open_frame(table(*records), "hindsight") as con:
        signals = Vocabulary.learn(con, hindsight=True, at_least=3).signals
        frequent = Vocabulary.learn(con, hindsight=True, at_least=4).signals
    assert signals["asr"] == ["half", "snr"]
    assert frequent["asr"] == ["snr"]
    assert len(signals["wake"]) == 200
    assert not {f"s{j}" for j in range(205, 210)} & set(signals["wake"])


def test_categories_not_logged_are_null() -> None:
    names = ["nlu.intent=play", "nlu.slot=a", "er.slot=a", "result.act=a", "asr.version=1"]
    vocabulary = Vocabulary({n.partition("=")[0]: [n.partition("=")[2]] for n in names}, {})
    records = {
        "nothing logged": turn(0),
        "null parts": turn(1, nlu={"hypotheses": None}, er={"mentions": None}, result={}),
        "nulls only": turn(2, meant=(None, [(None, "x")]), er={"mentions": [{"slot": None}]}),
        "empty": turn(3, meant=("x", []), er={"mentions": []}, result={"acts": []}),
        "others": turn(4, meant=("stop", [("b", "x")]), versions={"asr": "2"}),
        "present": turn(5, meant=("play", [("a", "x"), (None, "x")]), versions={"asr": "1"}),
    }
    expected = {
        "nothing logged": [None] * 5,
        "null parts": [None] * 5,
        "nulls only": [None] * 5,
        "empty": [0, 0, 0, 0, None],
        "others": [0, 0, None, None, 0],
        "present": [1, 1, None, None, 1],
    }
    rows = build(table(*records.values()), vocabulary).select(names).to_pylist()
    got = {case: list(row.values()) for case, row in zip(records, rows, strict=True)}
    assert got == expected


def test_absent_signals_are_null_and_unknown_ones_are_left_out() -> None:
    records = [turn(0, asr={"signals": {"snr": None}}), turn(1, asr={"signals": {"new": 1.0}})]
    matrix = build(table(*records), Vocabulary({}, {"asr": ["snr"], "er": ["gone"]}))
    assert matrix["asr.signal.snr"].to_pylist() == [None, None]
    assert matrix["er.signal.gone"].to_pylist() == [None, None]
    assert "asr.signal.new" not in matrix.column_names


def test_the_catalogue_describes_every_feature() -> None:
    rows = catalogue()
    names = list(rows)
    assert len({row.sentence for row in rows.values()}) == len(rows)
    for name, row in rows.items():
        assert row.name == name
        assert row.stage in ("wake", "asr", "nlu", "er", "result", "dialogue", "text")
        assert row.unit
        assert row.direction in ("+", "-", "0")
        assert row.sentence[0].isupper()
        assert not row.sentence.endswith(".")
    assert {f.name for f in logged("live")} < {f.name for f in logged("hindsight")} <= set(names)


@pytest.mark.parametrize(
    ("name", "stage_", "text", "when"),
    [
        ("asr.confidence", "asr", "ASR confidence of the first hypothesis", "own"),
        ("nlu.intent=play", "nlu", "Intent understood is play", "own"),
        ("nlu.intent=a=b", "nlu", "Intent understood is a=b", "own"),
        ("dialogue.intent_after=no", "dialogue", "Intent of the next turn is no", "after"),
        ("wake.signal.snr", "wake", "Wake signal “snr”", "own"),
        ("asr.signal.nlu.intent=x", "asr", "ASR signal “nlu.intent=x”", "own"),
        ("asr.unheard_of", "asr", "asr.unheard_of", "own"),
    ],
)
def test_names_for_people(name: str, stage_: str, text: str, when: str) -> None:
    assert (stage(name), sentence(name), feature(name).when) == (stage_, text, when)


def test_values_that_all_turns_share_become_no_column() -> None:
    records = [turn(i, f"d{i}", locale="en-GB", meant=(f"i{i % 2}", [])) for i in range(50)]
    with open_frame(table(*records), "hindsight") as con:
        assert learn(con, "hindsight").columns() == ["nlu.intent=i0", "nlu.intent=i1"]


@pytest.fixture(scope="module")
def real(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The first turns of each of the real logs."""
    folder = tmp_path_factory.mktemp("features")
    head = folder / "head.jsonl"
    with head.open("w") as out:
        for corpus in sorted(corpora.glob("*.jsonl.gz")):
            with gzip.open(corpus, "rt") as lines:
                out.writelines(islice(lines, 300))
    store = Store.create(folder / "store")
    ingest(store, [str(head)], workers=1)
    with store.snapshot() as snapshot:
        return snapshot.query("SELECT * FROM turns")


def test_real_turns_do_not_know_what_follows(real: pa.Table) -> None:
    early = real.filter(pc.less(real["turn_index"], 4))
    for lone, full in zip(both(early, "live"), both(real, "live"), strict=True):
        in_both = pc.is_in(full["turn_id"], value_set=lone["turn_id"].combine_chunks())
        same(lone, full.filter(in_both))


def test_real_turns_have_most_features(real: pa.Table) -> None:
    matrix, fields = both(real, "hindsight")
    assert matrix.num_rows == fields.num_rows == real.num_rows
    names = [f.name for f in logged("hindsight")]
    silent = {n for n in names if matrix[n].null_count == real.num_rows}
    # No corpus logs wake words, interruptions or most latencies.
    assert {n.split(".")[0] for n in silent} <= {"wake", "asr", "nlu", "er", "result", "dialogue"}
    assert len(silent) < 30, silent
