"""Contracts of the witness: it never learns from what it scores, and scores alike everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from classifiers.evaluation.learning_curve import thinned
from classifiers.out_of_fold import HeldOut
from classifiers.settings import Settings
from classifiers.train import fit, matrix
from classifiers.training_set import TrainingSet, prepare
from classifiers.witness import files
from classifiers.witness.frames import Frames, meant
from classifiers.witness.language_model import Counts
from classifiers.witness.ngrams import Bags, Words
from classifiers.witness.parts import PARTS
from classifiers.witness.ridge import solve
from classifiers.witness.tagger import Tagger
from classifiers.witness.targets import occurrences
from classifiers.witness.utterances import HYPOTHESES, Lists, Utterances
from classifiers.witness.witness import Witness
from features.catalogue import catalogue, sentence
from features.matrix import open_frame
from features.witness import GROUPS
from tests.models import turns_of

_SONGS = ["hey jude", "yellow", "bad moon", "creep", "halo", "clocks", "dark side"]
_ROOMS = ["kitchen", "hall", "bath room"]
_POLITE = ["please", "now", "for me", "at once", "again"]


def _request(i: int) -> tuple[str, str, list[dict[str, Any]]]:
    """What is said, its intent and its slots."""
    polite = _POLITE[i % len(_POLITE)]
    if i % 3 == 0:
        room = _ROOMS[i // 3 % len(_ROOMS)]
        return (
            f"turn on the light in the {room} {polite}",
            "light",
            [{"name": "room", "value": room}],
        )
    song = _SONGS[i % len(_SONGS)]
    return f"play {song} {polite}", "play", [{"name": "title", "value": song}]


def _turn(i: int, **more: Any) -> dict[str, Any]:
    said, intent, slots = _request(i)
    sure = {"text": said, "confidence": 0.6}
    other = {"text": _request(i + 1)[0], "confidence": 0.3}
    return {
        "dialogue_id": f"d{i // 2}",
        "turn_index": i % 2,
        "prompt": {"text": "What can I do?"},
        "asr": {"hypotheses": [sure, other]},
        "nlu": {"hypotheses": [{"intent": intent, "slots": slots}]},
        "gold": {"transcript": said, "intent": intent, "slots": slots},
        **more,
    }


def _read(records: list[dict[str, Any]]) -> Utterances:
    turns = turns_of(records)
    gold = turns["gold"].combine_chunks()
    with open_frame(turns, "hindsight") as con:
        return Utterances.read(con, gold)


@pytest.fixture(scope="module")
def utterances() -> Utterances:
    return _read([_turn(i) for i in range(240)])


@pytest.fixture(scope="module")
def witness(utterances: Utterances) -> Witness:
    return Witness.fit(utterances)


@pytest.fixture(scope="module")
def columns(utterances: Utterances, witness: Witness) -> dict[str, np.ndarray]:
    return witness.columns(utterances)


@pytest.fixture(scope="module")
def imitating(utterances: Utterances) -> Witness:
    """Of frames that annotators gave, nothing is known."""
    return Witness.fit(utterances, ("meant", "language", "tagger"))


def _same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], rows: np.ndarray) -> list[str]:
    """The columns that are equal in some rows."""
    return [name for name in a if np.array_equal(a[name][rows], b[name][rows], equal_nan=True)]


def test_every_column_is_in_the_catalogue(
    utterances: Utterances, columns: dict[str, np.ndarray], imitating: Witness
) -> None:
    table = imitating.columns(utterances) | columns
    assert list(table) == [name for names in GROUPS.values() for name in names]
    assert set(table) <= set(catalogue())
    sentences = [sentence(name) for name in table]
    assert len(set(sentences)) == len(sentences)
    assert all(values.dtype == np.float32 for values in table.values())


def test_a_frame_that_does_not_fit_the_words_is_unlikely(
    utterances: Utterances, witness: Witness, imitating: Witness
) -> None:
    light = utterances.intents.index("light")
    wrong = np.flatnonzero(utterances.intent == utterances.intents.index("play"))
    given = replace(utterances, intent=np.full(len(utterances), light))
    for group, asked in (("imitated", imitating), ("meant", witness)):
        columns, other = asked.columns(utterances), asked.columns(given)
        for measure, sign in (("frame", -1), ("gap", 1), ("least", -1)):
            name = f"text.{group}_{measure}"
            assert (sign * (other[name] - columns[name])[wrong] > 0).all(), name
        assert np.median(columns[f"text.{group}_gap"]) < 0.01
        # The second hypothesis is another request, with a third of the confidence.
        assert np.isclose(np.median(columns[f"text.{group}_differs"]), 1 / 3)
        assert np.isclose(np.median(columns[f"text.{group}_keeps"]), 2 / 3)


def test_words_that_fill_no_slot_and_slots_that_none_fill_are_noticed(
    utterances: Utterances, witness: Witness, columns: dict[str, np.ndarray]
) -> None:
    n = len(utterances)
    empty = replace(utterances, items=Lists(np.zeros(n + 1, int), np.empty(0, int)))
    without = witness.columns(empty)
    assert (columns["text.tagger_missed"] < 0.3).all()
    assert (without["text.tagger_missed"] > 0.6).all()
    assert np.isnan(without["text.tagger_weakest"]).all()
    assert (columns["text.tagger_weakest"] > 0.6).all()
    # Half of a value: the other half stands at its edge.
    i = next(i for i in range(n) if _request(i)[2][0]["value"] == "hey jude")
    half = _turn(i)
    half["nlu"] = {"hypotheses": [{"intent": "play", "slots": [{"name": "title", "value": "hey"}]}]}
    cut = witness.columns(_read([half]))
    assert cut["text.tagger_edge"][0] > 0.6 > columns["text.tagger_edge"][i]
    assert cut["text.meant_missing"][0] > 0.5 > columns["text.meant_missing"][i]


def test_what_is_said_of_a_turn_twice_counts_once(utterances: Utterances) -> None:
    # Transcript and words heard of 3 requests for light and 6 for songs.
    rows = np.arange(9)
    frames, tagger = Frames.fit(utterances, meant(utterances, rows)), Tagger.fit(utterances, rows)
    assert frames is not None
    assert tagger is not None
    assert frames.intents == ()
    assert frames.items == ("s\x1ftitle",)
    assert tagger.slots == ("title",)


def test_slots_whose_texts_lack_a_value_are_not_learned(utterances: Utterances) -> None:
    gold = utterances.gold
    assert gold is not None
    light, items = np.arange(240) % 3 == 0, gold.items
    # Annotators gave a title too, that is nowhere in the words.
    title = utterances.names.index("s\x1ftitle\x1fhey jude")
    more = Lists(
        items.start + np.append(0, np.cumsum(light)),
        np.insert(items.flat, items.start[1:][light], title),
    )
    given = replace(utterances, gold=replace(gold, items=more))
    tagger = Tagger.fit(given, np.arange(240))
    assert tagger is not None
    assert tagger.slots == ("title",)
    # Nothing is known of the room: nothing is said of it.
    weakest = tagger.measure(given)[:, list(GROUPS["tagger"]).index("text.tagger_weakest")]
    assert np.isnan(weakest[light]).all()
    assert (weakest[~light] > 0.5).all()
    assert Tagger.fit(given, np.flatnonzero(light)) is None


def test_targets_are_sums_of_what_occurs() -> None:
    row, column = np.array([0, 2, 2, 2, 3]), np.array([1, 0, 0, 2, -1])
    target = occurrences(row, column, 4, 3)
    assert target.nnz == 3
    assert target.toarray().tolist() == [[0, 1, 0], [0, 0, 0], [2, 0, 1], [0, 0, 0]]


def test_hidden_gold_teaches_nothing(utterances: Utterances) -> None:
    none: Any = None
    intents = np.array(utterances.intents, object)[utterances.intent]
    data = TrainingSet(
        ids=np.arange(240),
        vocabulary=none,
        logged={},
        vectors=None,
        target=np.full(240, "correct", object),
        gold_intents=intents,
        gold_slots=pa.array([["room"]] * 240),
        group=np.arange(240) // 2,
        utterances=utterances,
    )
    part = thinned(data, 0.25, 0)
    kept = np.flatnonzero(part.target != None)  # noqa: E711  # element-wise
    assert len(kept) == 60
    assert np.array_equal(np.flatnonzero(part.gold_intents != None), kept)  # noqa: E711
    assert np.array_equal(np.flatnonzero(part.gold_slots.is_valid()), kept)
    assert part.utterances is not None
    columns = Witness.fit(part.utterances).columns(utterances)
    alone = Witness.fit(utterances.take(kept)).columns(utterances)
    assert _same(columns, alone, np.arange(240)) == list(columns)
    assert list(columns) == [n for g in ("meant", "language", "tagger") for n in GROUPS[g]]


def test_words_never_transcribed_are_unusual(
    witness: Witness, columns: dict[str, np.ndarray]
) -> None:
    heard = {"hypotheses": [{"text": "xylophone qua zug"}, {"text": "please play halo now"}]}
    odd = witness.columns(_read([_turn(0, asr=heard)]))
    for measure in ("words", "letters"):
        assert odd[f"text.language_{measure}"][0] < columns[f"text.language_{measure}"].min()
        assert odd[f"text.language_{measure}_better"][0] > 1


@pytest.mark.parametrize("part", [0, PARTS - 1])
def test_gold_of_a_part_changes_no_column_of_that_part(
    utterances: Utterances, columns: dict[str, np.ndarray], part: int
) -> None:
    gold = utterances.gold
    assert gold is not None
    own = np.flatnonzero(utterances.part == part)
    order = np.arange(len(utterances))
    order[own] = np.random.default_rng(0).permutation(own)
    changed = replace(utterances, gold=gold.take(order))
    other = Witness.fit(changed).columns(changed)
    assert _same(columns, other, own) == list(columns)
    rest = np.flatnonzero(utterances.part != part)
    # The others do learn from it.
    learned = {n for g in ("meant", "language", "tagger") for n in GROUPS[g]}
    assert learned - set(_same(columns, other, rest))


def test_the_frame_of_a_turn_is_never_learned_by_what_scores_it(
    utterances: Utterances, imitating: Witness
) -> None:
    # Every turn of part 0 gets another frame: what the witness expects of them must stay.
    own = np.flatnonzero(utterances.part == 0)
    order = np.arange(len(utterances))
    order[own] = np.random.default_rng(0).permutation(own)
    changed = replace(
        utterances, intent=utterances.intent[order], items=utterances.items.take(order)
    )
    fitted = Witness.fit(changed, ("meant", "language", "tagger"))
    before = imitating.columns(utterances)
    after = fitted.columns(replace(changed, intent=utterances.intent, items=utterances.items))
    assert _same(before, after, own) == list(GROUPS["imitated"])
    rest = np.flatnonzero(utterances.part != 0)
    assert _same(before, after, rest) != list(GROUPS["imitated"])


def test_a_turn_scores_alike_alone_in_other_order_and_from_a_file(
    utterances: Utterances, witness: Witness, columns: dict[str, np.ndarray]
) -> None:
    shapes, arrays = files.shapes(witness), files.arrays(witness)
    loaded = files.read(shapes, arrays)
    assert loaded is not None
    assert _same(columns, loaded.columns(utterances), np.arange(len(utterances))) == list(columns)
    again = files.arrays(Witness.fit(utterances))
    assert all(np.array_equal(values, again[name]) for name, values in arrays.items())
    # Read anew, texts and intents have other numbers, and there is no gold.
    turns = turns_of([_turn(i) for i in (7, 6, 8)])
    with open_frame(turns, "live") as con:
        few = loaded.columns(Utterances.read(con))
    for i, row in enumerate((7, 6, 8)):
        for name, values in columns.items():
            assert np.allclose(few[name][i], values[row], rtol=1e-4, atol=1e-4, equal_nan=True)


def test_the_part_of_a_dialogue_depends_on_nothing_else(utterances: Utterances) -> None:
    dialogue = np.arange(240) // 2
    assert all(len(set(utterances.part[dialogue == d])) == 1 for d in range(120))
    assert np.bincount(utterances.part, minlength=PARTS).min() > 20
    alone = _read([_turn(100, gold=None)])
    assert alone.part[0] == utterances.part[100]
    # Recordings of one sentence go together where one is labelled, else stay where they are.
    sentence_of = np.arange(240) % 6
    labelled = sentence_of < 3
    together = utterances.together(sentence_of, labelled).part
    assert all(len(set(together[sentence_of == s])) == (1 if s < 3 else PARTS) for s in range(6))


@pytest.mark.parametrize(
    "change",
    [
        {"gold": None},
        {"nlu": None},
        {"asr": None},
        {"asr": {"hypotheses": []}},
        {"nlu": {"hypotheses": []}},
        {"nlu": {"hypotheses": [{"intent": "play", "slots": []}]}},
        {"asr": {"hypotheses": [{"text": "кухня свет 打开厨房的灯 ضوء"}]}, "prompt": None},
        {"asr": {"hypotheses": [{"text": "a" * 50_000}, {"text": ""}]}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_logs_without_some_of_it_are_scored(change: dict[str, Any]) -> None:
    records = [_turn(i, **change) for i in range(40)]
    given = _read(records)
    table = Witness.fit(given).columns(given)
    assert all(len(values) == 40 for values in table.values())
    assert all(np.isfinite(v[~np.isnan(v)]).all() for v in table.values())
    if "asr" in change and not (change["asr"] or {}).get("hypotheses"):
        assert all(np.isnan(values).all() for values in table.values())


def test_recordings_of_a_sentence_are_scored_by_the_part_of_their_training(tmp_path: Path) -> None:
    """Which is not that of their own dialogues: another one learned from their gold."""
    records = [
        _turn(
            i // 3,
            dialogue_id=f"s{i}",
            turn_index=0,
            gold={**_turn(i // 3)["gold"], "failure_point": ("correct", "asr", "nlu")[i // 3 % 3]},
        )
        for i in range(180)
    ]
    turns = turns_of(records)
    turns = turns.append_column("context_digest", pa.array([0] * len(records), pa.int64()))
    settings = Settings(folds=2, rounds=8)
    data, encoder = prepare(turns, settings, tmp_path)
    model = fit(data, settings, encoder)
    with open_frame(turns, "hindsight") as con:
        alone = Utterances.read(con)
    assert data.utterances is not None
    assert (alone.part != data.utterances.part).any()
    assert model.held_out is not None
    model.held_out.write(tmp_path / "held_out.parquet")
    model.held_out = HeldOut.read(tmp_path / "held_out.parquet")
    ids, x = model.matrix(turns)
    assert ids.to_pylist() == data.ids.tolist()
    np.testing.assert_array_equal(x, matrix(model, data))


def test_no_turns_at_all(witness: Witness, utterances: Utterances) -> None:
    none = utterances.take(np.empty(0, np.int64))
    assert all(len(values) == 0 for values in witness.columns(none).values())
    fitted = Witness.fit(none)
    assert all(np.isnan(values).all() for values in fitted.columns(utterances).values())


def test_the_surest_hypotheses_are_read_and_the_first_stays_first() -> None:
    confidences = [0.1, 0.0, 0.5, 0.2, 0.3, 0.4, 0.25]
    hypotheses = [{"text": f"w{i}", "confidence": c} for i, c in enumerate(confidences)]
    given = _read([_turn(0, asr={"hypotheses": hypotheses}), _turn(1)])
    texts = [given.words.of_text(t)[0] for t in given.heard.take(np.array([0])).flat]
    assert texts == ["w0", "w2", "w5", "w4", "w6"]
    assert len(texts) == HYPOTHESES
    # Of what is not asked about, nothing is kept.
    assert not {"w1", "w3"} & set(given.words.names)
    assert np.allclose(given.share[:HYPOTHESES], np.array([0.1, 0.5, 0.4, 0.3, 0.25]) / 1.55)
    unsure = [{"text": "a"}, {"text": "b"}]
    assert list(_read([_turn(0, asr={"hypotheses": unsure})]).share) == [0.5, 0.5]


def test_ridge_is_that_of_all_rows() -> None:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, count = rng.random((12, 4)), rng.integers(1, 4, 12)
    rows = np.repeat(np.arange(12), count)
    y = rng.random((len(rows), 3))
    sums = np.zeros((12, 3))
    np.add.at(sums, rows, y)
    weights, bias = solve(csr_matrix(x), count.astype(float), csr_matrix(sums), 0.7)
    model = Ridge(alpha=0.7).fit(x[rows], y)
    assert np.allclose(weights.T, model.coef_, atol=1e-5)
    assert np.allclose(bias, model.intercept_, atol=1e-5)


def test_probabilities_after_a_history_add_up() -> None:
    history = np.array([1, 1, 1, 2, 2], np.uint64)
    symbol = np.array([7, 7, 8, 8, 9], np.uint64)
    counts = Counts.of(history, symbol, np.ones(5))
    every = np.array([7, 8, 9, 10], np.uint64)
    for known in (1, 2, 3):
        before = np.full(4, known, np.uint64)
        p = counts.interpolate(before, every, np.full(4, 0.25))
        assert np.isclose(p.sum(), 1)
    first = counts.interpolate(np.array([1], np.uint64), np.array([7], np.uint64), np.array([0.25]))
    # Witten-Bell: seen twice of three, and two kinds followed.
    assert np.isclose(first[0], (2 + 2 * 0.25) / (3 + 2))


def test_n_grams_depend_on_the_text_alone() -> None:
    texts = ["play hey jude", "play", "", "Straße 打开 灯"]
    bags = Bags.of(Words.of(texts))
    for i, text in enumerate(texts):
        alone = Bags.of(Words.of([text]))
        row = bags.counts[[i]]
        assert np.array_equal(np.sort(bags.codes[row.indices]), np.sort(alone.codes))
    # Three words, two pairs, the three, and the letters of each with its edges.
    assert len(Bags.of(Words.of(["a b c"])).codes) == 9
