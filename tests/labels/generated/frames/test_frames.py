"""What was meant: learned from made-up bookings in seconds, generated for turns of all kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.errors import NotEnoughLabels, UsageError
from labels.generated.frames.model import FRAMES, Frames
from labels.generated.frames.requests import COLUMNS
from labels.generated.frames.settings import Settings
from labels.generated.frames.targets import aligned
from labels.generated.frames.training import LEAST, train
from labels.generated.frames.ways import CONTEXT, LOGGED, WORDS
from labels.generated.frames.words import tokens
from tests.labels.generated.frames.bookings import GARBLED, bookings, table, turn, with_gold

SMALL = Settings(width=32, epochs=14, batch=16, rate=1e-2, rounds=20, min_leaf=5)


@pytest.fixture(scope="module")
def model() -> Frames:
    return train(bookings(90, 1), SMALL)


@pytest.fixture(scope="module")
def asked() -> pa.Table:
    return bookings(40, 2)


def heard(turns: pa.Table) -> list[str]:
    """The first hypothesis of each turn."""
    rows: list[Any] = turns["asr"].to_pylist()
    return [row["hypotheses"][0]["text"] for row in rows]


def right(found: pa.Table, turns: pa.Table, garbled: bool) -> float:
    """Share of the turns, misheard or not, whose intent and slots are as in gold."""
    gold: list[Any] = turns["gold"].to_pylist()
    texts = heard(turns)
    hits = [
        made["intent"] == g["intent"]
        and {(s["name"], s["value"].lower()) for s in made["slots"]}
        == {(s["name"], s["value"].lower()) for s in g["slots"]}
        for made, g, text in zip(found.to_pylist(), gold, texts, strict=True)
        if (text == GARBLED) == garbled
    ]
    return float(np.mean(hits))


def test_unseen_dialogues_are_understood(model: Frames, asked: pa.Table) -> None:
    found = model.generate(asked)
    assert found.schema == FRAMES
    assert found["turn_id"] == asked["turn_id"]
    assert right(found, asked, garbled=False) > 0.9


def test_the_rephrase_shows_what_was_meant(model: Frames, asked: pa.Table) -> None:
    # Of a misheard request nothing but the turns after it tells the city.
    alone = train(bookings(90, 1), replace(SMALL, context="turn"))
    assert right(alone.generate(asked), asked, garbled=True) < 0.4
    assert right(model.generate(asked), asked, garbled=True) > 0.6


def test_spans_are_where_the_values_stand(model: Frames, asked: pa.Table) -> None:
    texts = heard(asked)
    in_words = 0
    for row, text in zip(model.generate(asked).to_pylist(), texts, strict=True):
        assert len(row["spans"]) == len(row["slots"])
        for slot, span in zip(row["slots"], row["spans"], strict=True):
            if span is not None and not slot["value"].isdigit():
                in_words += 1
                assert text[span["start"] : span["end"]] == slot["value"]
            if text == GARBLED:
                assert span is None
    assert in_words > 20


def test_a_number_in_words_is_written_as_gold_writes_it(model: Frames) -> None:
    rows = [
        turn("x", 0, ["a table in Bath please"], response="for how many"),
        turn("x", 1, ["three of us"], prompt="for how many", response="booked in bath"),
    ]
    last = model.generate(table(rows)).to_pylist()[1]
    assert last["slots"] == [{"name": "people", "value": "3"}]
    assert last["spans"] == [{"start": 0, "end": 5}]


def test_probabilities_follow_how_often_it_is_right(model: Frames, asked: pa.Table) -> None:
    found = model.generate(asked)
    texts = heard(asked)
    misheard = np.array([text == GARBLED for text in texts])
    for name in ("p_intent", "p_slots"):
        p = found[name].to_numpy()
        assert ((p > 0) & (p < 1)).all()
        assert p[misheard].mean() < p[~misheard].mean()


def test_one_seed_gives_one_model(asked: pa.Table) -> None:
    few = replace(SMALL, epochs=3)
    one, two = (train(bookings(40, 1), few).generate(asked) for _ in range(2))
    assert one.equals(two)
    other = train(bookings(40, 1), replace(few, seed=1)).generate(asked)
    assert not one.equals(other)


def test_a_saved_model_says_the_same(model: Frames, asked: pa.Table, tmp_path: Path) -> None:
    model.save(tmp_path / "frames")
    assert not list((tmp_path / "frames").glob("*.pkl"))
    assert Frames.load(tmp_path / "frames").generate(asked).equals(model.generate(asked))


def test_gold_is_not_read(model: Frames, asked: pa.Table) -> None:
    shifted = asked.set_column(
        asked.schema.get_field_index("gold"),
        "gold",
        asked["gold"].take(np.roll(np.arange(asked.num_rows), 1)),
    )
    expected = model.generate(asked)
    assert model.generate(shifted).equals(expected)
    assert model.generate(asked.drop_columns(["gold"])).equals(expected)


def test_the_order_of_the_rows_does_not_matter(model: Frames, asked: pa.Table) -> None:
    order = np.random.default_rng(0).permutation(asked.num_rows)
    mixed = model.generate(asked.take(order))
    assert mixed.equals(model.generate(asked).take(order))


@pytest.mark.parametrize(
    "texts",
    [None, [], [""], ["   "], ["預約一張桌子"], ["забронируй столик"], ["a" * 5_000], ["?!"]],
)
def test_odd_requests_have_a_row(model: Frames, texts: list[str] | None) -> None:
    found = model.generate(table([turn("odd", 0, texts)]))
    assert found.num_rows == 1
    assert found["intent"].to_pylist() != [None]


def test_a_dialogue_of_500_turns(model: Frames) -> None:
    rows = [turn("long", i, ["a taxi in York please"], response="for how many") for i in range(500)]
    found = model.generate(table(rows))
    assert found.num_rows == 500
    assert set(found["intent"].to_pylist()) == {"BookTaxi"}


def test_no_turns(model: Frames) -> None:
    assert model.generate(table([])).equals(FRAMES.empty_table())


def test_without_gold_accepted_hypotheses_are_learned_from(asked: pa.Table) -> None:
    learned = train(bookings(90, 1, gold=False, nlu=True), SMALL)
    assert learned.learned == "nlu"
    blind = bookings(40, 2, nlu=True)
    found = learned.generate(blind)
    assert right(found, asked, garbled=False) > 0.8


@pytest.mark.parametrize("annotated", [1, LEAST - 1])
def test_with_little_gold_accepted_hypotheses_are_learned_from(annotated: int) -> None:
    turns = bookings(60, 1, nlu=True)
    gold: list[Any] = turns["gold"].to_pylist()
    some = with_gold(turns, gold[:annotated] + [None] * (len(gold) - annotated))
    learned = train(some, replace(SMALL, epochs=2))
    assert learned.learned == "nlu"
    found = learned.generate(some)
    assert found["intent"].null_count == found["slots"].null_count == 0
    for task in ("intent", "slots"):
        assert f"gold of {annotated} turns only" in learned.metrics[task]["skipped"]


def test_agreement_with_the_nlu_is_not_called_accuracy() -> None:
    learned = train(bookings(60, 1, gold=False, nlu=True), replace(SMALL, epochs=2))
    for task in ("intent", "slots"):
        assert learned.metrics[task] == {
            "skipped": f"no gold of {task}; learned from accepted NLU hypotheses, so nothing tells "
            "how often it is right"
        }


def test_turns_learned_from_get_what_other_folds_say_of_them() -> None:
    turns = bookings(60, 1)
    gold: list[Any] = turns["gold"].to_pylist()
    rng = np.random.default_rng(0)
    intents = rng.choice(["one", "two", "three"], len(gold))
    mixed = with_gold(turns, [g | {"intent": i} for g, i in zip(gold, intents, strict=True)])
    learned = train(mixed, SMALL)
    held = learned.held_out
    assert held is not None
    assert held.schema == FRAMES
    rows = {row["turn_id"]: row for row in held.to_pylist()}
    ids = turns["turn_id"].to_pylist()
    hits = [rows[turn]["intent"] == i for turn, i in zip(ids, intents, strict=True)]
    used = learned.metrics["intent"]
    assert np.mean(hits) == pytest.approx(used["candidates"][used["default"]]["accuracy"])
    assert np.mean(hits) < 0.45
    # Its own answers repeat the gold.
    own = np.array(learned.generate(mixed)["intent"].to_pylist()) == intents
    assert own.mean() > np.mean(hits) + 0.1


def test_slots_that_nobody_states_are_unknown(asked: pa.Table) -> None:
    turns = bookings(90, 1)
    gold: list[Any] = turns["gold"].to_pylist()
    some = [g if i % 3 == 0 else g | {"slots": None} for i, g in enumerate(gold)]
    learned = train(with_gold(turns, some), SMALL)
    assert learned.metrics["slots"]["n"] == sum(g["slots"] is not None for g in some)
    assert learned.metrics["intent"]["n"] == len(gold)
    assert right(learned.generate(asked), asked, garbled=False) > 0.8


def test_without_gold_of_slots_nothing_is_said_of_them(asked: pa.Table, tmp_path: Path) -> None:
    turns = bookings(40, 1)
    gold: list[Any] = turns["gold"].to_pylist()
    learned = train(with_gold(turns, [g | {"slots": None} for g in gold]), replace(SMALL, epochs=2))
    assert learned.metrics["slots"] == {"skipped": "no gold of slots"}
    learned.save(tmp_path / "frames")
    found = Frames.load(tmp_path / "frames").generate(asked)
    assert found["intent"].null_count == 0
    for name in ("slots", "p_slots", "spans"):
        assert found[name].null_count == asked.num_rows


def test_words_alone_are_used_where_they_are_better(asked: pa.Table, tmp_path: Path) -> None:
    # A network of one epoch knows nothing yet.
    learned = train(bookings(90, 1, nlu=True), replace(SMALL, epochs=1, rate=1e-6))
    for task, measure in (("intent", "accuracy"), ("slots", "f1")):
        figures = learned.metrics[task]["candidates"]
        assert set(figures) == {CONTEXT, WORDS, LOGGED}
        used = learned.metrics[task]["default"]
        assert used == learned.ways[task]
        best = max(row[measure] for row in figures.values())
        assert figures[used][measure] >= best - (0.01 if used == CONTEXT else 0)
    only = train(bookings(90, 1), replace(SMALL, epochs=1, rate=1e-6))
    assert only.ways["intent"] == WORDS
    learned = replace(only, ways={"intent": WORDS, "slots": WORDS})
    learned.save(tmp_path / "frames")
    found = learned.generate(asked)
    assert Frames.load(tmp_path / "frames").generate(asked).equals(found)
    one = learned.generate(table([turn("x", 0, ["a table in Bath please"])])).to_pylist()[0]
    assert one["intent"] == "BookTable"
    assert one["slots"] == [{"name": "city", "value": "Bath"}]
    assert one["spans"] == [{"start": 11, "end": 15}]
    assert 0 < one["p_slots"] < 1


@pytest.mark.parametrize("after", [2, 5, 8])
def test_a_training_that_ended_early_goes_on_and_ends_with_the_same_weights(
    asked: pa.Table, tmp_path: Path, after: int
) -> None:
    class Killed(Exception):
        pass

    few, turns = replace(SMALL, epochs=3), bookings(40, 1)
    epochs = 0

    def progress(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        nonlocal epochs
        epochs += what == "reading dialogues"
        if epochs == after:
            raise Killed

    with pytest.raises(Killed):
        train(turns, few, progress, tmp_path)
    epochs = -10
    resumed = train(turns, few, progress, tmp_path)
    # Three networks of three epochs, less those that were done.
    assert epochs == -10 + 9 - after
    whole = train(turns, few)
    for name, weight in resumed.network.layers.state_dict().items():
        assert torch.equal(weight, whole.network.layers.state_dict()[name]), name
    assert resumed.generate(asked).equals(whole.generate(asked))
    assert resumed.held_out is not None
    assert whole.held_out is not None
    assert resumed.held_out.equals(whole.held_out)


def test_a_checkpoint_of_other_turns_is_not_gone_on_with(asked: pa.Table, tmp_path: Path) -> None:
    few = replace(SMALL, epochs=2)
    train(bookings(40, 3), few, folder=tmp_path)
    other = train(bookings(40, 1), few, folder=tmp_path)
    assert other.generate(asked).equals(train(bookings(40, 1), few).generate(asked))


def test_neither_gold_nor_hypotheses() -> None:
    with pytest.raises(NotEnoughLabels, match="Annotate intents and slots"):
        train(bookings(30, 1, gold=False), SMALL)


def test_one_dialogue_is_too_little() -> None:
    only = table([turn("d", i, ["hello"], gold=("greet", [])) for i in range(40)])
    with pytest.raises(NotEnoughLabels, match="in 1"):
        train(only, SMALL)


def test_gold_without_any_slot() -> None:
    rows = [
        turn(f"d{i}", 0, [("hello there", "good bye")[i % 2]], gold=(("hi", "bye")[i % 2], []))
        for i in range(60)
    ]
    found = train(table(rows), SMALL).generate(table(rows[:2]))
    assert found["intent"].to_pylist() == ["hi", "bye"]
    assert found["slots"].to_pylist() == [[], []]


@pytest.mark.parametrize("column", ["asr", "prompt", "nlu"])
def test_a_missing_column_is_named(column: str) -> None:
    assert column in COLUMNS
    with pytest.raises(UsageError, match=f"{column} is missing"):
        train(bookings(30, 1).drop_columns([column]), SMALL)


def test_settings_out_of_range() -> None:
    with pytest.raises(UsageError, match="no context 'future'"):
        train(bookings(30, 1), replace(SMALL, context="future"))  # type: ignore[arg-type]  # no such
    with pytest.raises(UsageError, match="at least 2 folds"):
        train(bookings(30, 1), replace(SMALL, folds=1))


def test_nothing_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model of frames"):
        Frames.load(tmp_path)


def test_values_are_found_in_the_words() -> None:
    found = tokens("Two tickets for The Two Towers at 7:30, New York")
    slots = [("movie", "the two towers"), ("tickets", "2"), ("time", "7:30"), ("city", "Paris")]
    assert sorted(aligned(found, slots)) == [("movie", 3, 6), ("tickets", 0, 1), ("time", 7, 10)]


@given(st.text(max_size=60))
def test_words_stand_where_they_say(text: str) -> None:
    found = tokens(text)
    assert all(text[start:end] == word for word, start, end in found)
    assert [start for _, start, _ in found] == sorted(start for _, start, _ in found)


def test_scripts_without_spaces_are_read_by_character() -> None:
    assert [word for word, _, _ in tokens("到york去")] == ["到", "york", "去"]
