"""The later turn that says a failed turn's want again is found; odd logs do no harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from classifiers.encoder import DEFAULT, load_torch
from data.errors import ModelError, NotEnoughLabels
from data.ingest.ingest import ingest
from data.schema.trace import TURNS
from data.store.store import Store
from rewrites.rephrase import Detector, Means, export, rephrases
from rewrites.rephrase.methods import best_threshold, choice, shared
from rewrites.rephrase.pairs import Pairs
from rewrites.rephrase.turns import digest, lead

_START = datetime(2026, 3, 1, 8, tzinfo=UTC)
_TOWNS = ("norwich", "dover", "leeds", "oxford", "truro", "whitby", "luton", "derby")


def turn(dialogue: str, index: int, text: str, reply: str | None = "ok") -> dict[str, Any]:
    return {
        "turn_id": f"{dialogue}-{index}",
        "dialogue_id": dialogue,
        "turn_index": index,
        "started_at": _START + timedelta(seconds=10 * index),
        "asr": {"hypotheses": [{"text": text, "confidence": 0.5}]},
        "result": {"response": reply, "status": None},
    }


def column(rows: pa.Table, name: str) -> list[Any]:
    return rows[name].to_pylist()


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, TURNS)


def errands(n: int = 90, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """Dialogues whose first turn fails: said again at once, after another turn, or not at all."""
    rng = np.random.default_rng(seed)
    rows, truth = [], []
    for k in range(n):
        d, town = f"d{k:03}", _TOWNS[rng.integers(len(_TOWNS))]
        texts = [f"a train to {town[::-1]}", "what time is it", "play some music", "stop that"]
        place = int(rng.integers(0, 3))
        if place:
            texts[place] = f"no a train to {town}"
        rows += [turn(d, i, text, "sorry" if i == 0 else "fine") for i, text in enumerate(texts)]
        answer = f"{d}-{place}" if place else None
        truth.append({"turn_id": f"{d}-0", "rephrase_turn_id": answer})
    return table(rows), pa.Table.from_pylist(truth)


@pytest.fixture(scope="module")
def taught() -> Detector:
    return Detector().fit(*errands())


def test_rephrases_are_found_and_the_words_that_only_reject_left_out(taught: Detector) -> None:
    turns, truth = errands(40, seed=1)
    found = taught.predict(turns, column(truth, "turn_id"))
    assert column(found, "turn_id") == column(truth, "turn_id")
    right = np.mean(
        [
            a == b
            for a, b in zip(
                column(found, "rephrase_turn_id"),
                column(truth, "rephrase_turn_id"),
                strict=True,
            )
        ]
    )
    assert right > 0.9
    linked = found.filter(found["rephrase_turn_id"].is_valid())
    assert set(column(linked, "start")) == {1}
    assert set(column(linked, "end")) == {5}


def test_a_fit_is_deterministic(taught: Detector) -> None:
    turns, _ = errands(10, seed=2)
    again = Detector().fit(*errands())
    assert again.predict(turns).equals(taught.predict(turns))
    assert again.threshold == taught.threshold


def test_a_saved_detector_says_the_same(taught: Detector, tmp_path: Path) -> None:
    turns, _ = errands(10, seed=2)
    taught.save(tmp_path / "detector")
    loaded = Detector.load(tmp_path / "detector")
    assert loaded.predict(turns).equals(taught.predict(turns))
    untaught = Detector(window=2)
    untaught.save(tmp_path / "untaught")
    loaded = Detector.load(tmp_path / "untaught")
    assert (loaded.window, loaded.taught) == (2, False)
    assert loaded.predict(turns).equals(untaught.predict(turns))


def test_a_broken_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "rephrase.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Detector.load(tmp_path)


@pytest.mark.parametrize("fitted", [False, True])
def test_odd_dialogues(taught: Detector, fitted: bool) -> None:
    detector = taught if fitted else Detector()
    assert detector.predict(TURNS.empty_table()).num_rows == 0
    alone = detector.predict(table([turn("a", 0, "hello"), turn("b", 0, "hello")]))
    assert column(alone, "rephrase_turn_id") == [None, None]
    assert column(alone, "score") == [None, None]
    silent = [{**turn("a", i, ""), "asr": None, "result": None} for i in range(3)]
    assert detector.predict(table(silent)).num_rows == 3


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("明日の京都の天気を教えて", "明日の東京の天気を教えて"),
        ("شغل أغنية أم كلثون", "شغل أغنية أم كلثوم"),
        ("завтра погода в твери", "завтра погода в перми"),
    ],
)
def test_other_scripts(taught: Detector, first: str, later: str) -> None:
    turns = table([turn("a", 0, first), turn("a", 1, "1"), turn("a", 2, later)])
    assert column(Detector().predict(turns, ["a-0"]), "rephrase_turn_id") == ["a-2"]
    assert np.isfinite(column(taught.predict(turns, ["a-0"]), "score")).all()


def test_a_runaway_transcript(taught: Detector) -> None:
    endless = "again " * 1_700
    turns = table([turn("a", 0, endless), turn("a", 1, endless), turn("a", 2, "x" * 10_000)])
    found = Detector().predict(turns, ["a-0"]).to_pylist()[0]
    assert (found["rephrase_turn_id"], found["start"], found["end"]) == ("a-1", 0, 1_700)
    assert taught.predict(turns).num_rows == 3


def excerpts(n: int = 90) -> tuple[list[dict[str, Any]], pa.Table]:
    """Pairs cut from longer dialogues; where the second turn has a reply it is a rephrase."""
    rng = np.random.default_rng(0)
    rows, truth = [], []
    for k in range(n):
        d, again = f"d{k:03}", bool(rng.random() < 0.5)
        said = f"a train to {_TOWNS[rng.integers(len(_TOWNS))]}"
        rows += [turn(d, 0, "before" if again else "hello", "yes"), turn(d, 1, said, "sorry")]
        rows.append(turn(d, 2, f"{said} please" if again else "music", "ok" if again else None))
        truth.append({"turn_id": f"{d}-1", "rephrase_turn_id": f"{d}-2" if again else None})
    return rows, pa.Table.from_pylist(truth)


def test_of_excerpts_nothing_outside_the_pair_is_read() -> None:
    rows, truth = excerpts()
    detector = Detector(window=1, means=Means(whole=False)).fit(table(rows), truth)
    asked = column(truth, "turn_id")
    expected = detector.predict(table(rows), asked)
    silenced = [{**row, "result": None} if row["turn_index"] == 2 else row for row in rows]
    assert detector.predict(table(silenced), asked).equals(expected)
    alone = [row for row in rows if row["turn_index"] > 0]
    assert detector.predict(table(alone), asked).equals(expected)
    followed = rows + [turn(f"d{k:03}", 3, "a train to dover", "ok") for k in range(0, 90, 2)]
    assert detector.predict(table(followed), asked).equals(expected)


def test_gold_is_not_read(taught: Detector) -> None:
    turns, _ = errands(5, seed=3)
    gold = [{**row, "gold": {"transcript": "x", "intent": "y"}} for row in turns.to_pylist()]
    assert taught.predict(table(gold)).equals(taught.predict(turns))


def test_too_few_judged_turns() -> None:
    turns, truth = errands(12)
    with pytest.raises(NotEnoughLabels, match="at least 20"):
        Detector().fit(turns, truth)
    assert not Detector().fit(turns).taught


def test_an_unknown_method_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="pair features"):
        Detector("guess")


def test_a_store_and_its_files_give_the_same(tmp_path: Path, store: Store) -> None:
    turns, _ = errands(6)
    log = tmp_path / "log.jsonl"
    names = ("turn_id", "dialogue_id", "turn_index", "started_at", "asr", "result")
    rows = [{name: row[name] for name in names} for row in turns.to_pylist()]
    log.write_text("".join(json.dumps(row, default=datetime.isoformat) + "\n" for row in rows))
    ingest(store, [log])
    detector = Detector()
    with store.snapshot() as snapshot:
        found = rephrases(snapshot, detector)
    assert found.equals(detector.predict(turns))
    export(found, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == found.select(["turn_id", "rephrase_turn_id"]).to_pylist()


def test_an_empty_store(store: Store) -> None:
    with store.snapshot() as snapshot:
        assert rephrases(snapshot, Detector()).num_rows == 0


def test_the_best_threshold_keeps_equal_scores_on_one_side() -> None:
    heard = digest(table([turn(d, i, "x") for d in "abc" for i in range(2)]))
    pairs = Pairs(heard, np.array([0, 2, 4]), np.array([1, 3, 5]))
    threshold, f1 = best_threshold(pairs, np.array([0.9, 0.5, 0.5]), np.array([True, True, False]))
    assert threshold < 0.5
    assert f1 == pytest.approx(0.8)
    threshold, f1 = best_threshold(pairs, np.array([0.9, 0.7, 0.1]), np.array([True, True, False]))
    assert threshold == pytest.approx(0.4)
    assert f1 == 1.0


def test_the_turns_of_a_window_share_one_probability() -> None:
    heard = digest(table([turn("a", i, "x") for i in range(3)]))
    pairs = Pairs(heard, np.array([0, 0, 1]), np.array([1, 2, 2]))
    p = shared(pairs, np.array([1.0, 2.0, 3.0]))
    assert p.tolist() == [0.25, 0.5, 0.75]
    assert choice(pairs, p).tolist() == [1, 2]


def test_rejecting_words_lead_but_are_never_all() -> None:
    assert lead(["no", "i", "said", "dover"]) == 3
    assert lead(["no"]) == 0
    assert lead([]) == 0


@pytest.mark.long
@pytest.mark.parametrize("method", ["pairwise encoder", "contextual encoder"])
def test_encoders_learn_and_are_deterministic(method: str) -> None:
    means = Means(load=partial(load_torch, DEFAULT))
    turns, truth = errands(120)
    asked = column(truth, "turn_id")
    first, again = (Detector(method, means=means).fit(turns, truth) for _ in range(2))
    found = first.predict(turns, asked)
    assert found.equals(again.predict(turns, asked))
    links = column(found, "rephrase_turn_id"), column(truth, "rephrase_turn_id")
    assert np.mean([a == b for a, b in zip(*links, strict=True)]) > 0.5
    with pytest.raises(ModelError, match="not saved"):
        first.save(Path("nowhere"))
