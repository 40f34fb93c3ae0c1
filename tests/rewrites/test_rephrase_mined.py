"""Rewrites mined from rephrases: which turns are linked, what a row needs, and whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from labels.feedback.sessions import friction
from rewrites.interpretations import Counts, counts
from rewrites.mining import REWRITES, Mined, from_counts
from rewrites.refresh import evaluation_of
from rewrites.rephrase import Detector
from rewrites.rephrase.mined import Settings, from_rephrases, links, rows_of, spoken_turns, united
from rewrites.success import Success, estimate
from tests.rewrites.lamps import BAD, GOOD, lamps, store_with, turn

FAN = "turn on the fan"
Turns = list[dict[str, Any]]
Read = tuple[list[pa.Table], Counts, Success, Mined]


def read(folder: Path, turns: Turns) -> Read:
    """The turns as sessions, counted, with the label model and the chain of the counts."""
    with store_with(folder, turns).snapshot() as snapshot:
        tables = list(friction(snapshot))
    counted = counts(tables)
    success = estimate(counted)
    return tables, counted, success, from_counts(counted, None, success)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(tmp_path_factory.mktemp("both"), lamps() + fans())


def mined(folder: Path, turns: Turns, **settings: Any) -> Turns:
    rows = from_rephrases(*read(folder, turns), settings=Settings(**settings))
    assert rows.schema.equals(REWRITES)
    return rows.to_pylist()


def fans(n: int = 8) -> Turns:
    """One user who wants a fan with the words that mean the lamp to everybody else."""
    said: Turns = []
    for i in range(n):
        at = 5 * 86_400 + i * 600
        said.append(turn(f"x{i}", "fay", at, BAD, feedback={"barge_in": True}))
        said.append(turn(f"y{i}", "fay", at + 8, FAN))
        said.append(turn(f"z{i}", f"v{i % 7}", at, FAN))
    return said


def test_what_is_said_again_and_goes_well_is_a_rewrite(both: Read) -> None:
    row, _ = from_rephrases(*both).to_pylist()
    assert (row["request"], row["rewrite"], row["user_id"]) == (BAD, GOOD, None)
    assert (row["method"], row["rewrite_state"]) == ("rephrase", "home|on|device=lamp")
    assert (row["users"], row["sessions"]) == (5, 48)
    assert row["p_before"] < 0.2 < 0.7 < row["p_after"]
    assert 0.7 < row["score"] <= 1


def test_a_link_skips_what_lies_between(tmp_path: Path) -> None:
    later = [t for t in lamps() if not t["turn_id"].startswith("b")]
    for i in range(48):
        at = (i % 4) * 86_400 + (i // 4) * 600
        later.append(turn(f"j{i}", f"u{i % 5}", at + 8, "play some jazz"))
        later.append(turn(f"k{i}", f"u{i % 5}", at + 16, GOOD))
    tables, counted, success, _ = read(tmp_path, later)
    found = links(tables, counted, success)
    texts = counted.requests["text"].to_pylist()
    pairs = {(texts[a], texts[b]) for a, b in zip(found["request"], found["rephrase"], strict=True)}
    assert pairs == {(BAD, GOOD)}
    assert found["weight"].between(0.25, 1).all()


def test_a_user_who_means_something_else_has_a_row(both: Read) -> None:
    general, own = from_rephrases(*both).to_pylist()
    assert (general["user_id"], general["rewrite"]) == (None, GOOD)
    assert (own["user_id"], own["request"], own["rewrite"]) == ("fay", BAD, FAN)
    assert (own["method"], own["users"], own["sessions"]) == ("rephrase, personal", 1, 8)


@pytest.mark.parametrize(
    ("name", "most", "least"),
    # Five users and 48 sessions want the lamp, of 56 with a link; twelve users said its text.
    [("users", 5, 6), ("sessions", 48, 49), ("told", 12, 13), ("least_share", 0.84, 0.87)],
)
def test_a_row_needs_support(both: Read, name: str, most: float, least: float) -> None:
    tables, counted, success, chain = both
    found = links(tables, counted, success)

    def general(value: Any) -> int:
        rows = rows_of(found, counted, success, chain, Settings(**{name: value}))
        return rows["user_id"].null_count

    assert (general(most), general(least)) == (1, 0)


def test_what_one_user_said_stays_theirs(tmp_path: Path) -> None:
    alone = [t for t in lamps() if t["turn_id"][0] in "ab" and t["user_id"] == "u1"]
    rows = mined(tmp_path, [*alone, *(t for t in lamps() if t["turn_id"][0] == "d")])
    assert [row["user_id"] for row in rows] == ["u1"]


def test_without_users_sessions_stand_for_them(tmp_path: Path) -> None:
    turns = [t | {"user_id": None, "dialogue_id": f"d{t['turn_id'][1:]}"} for t in lamps()]
    turns = [t for t in turns if t["turn_id"][0] in "ab"]
    (row,) = mined(tmp_path, turns)
    assert (row["user_id"], row["users"], row["sessions"]) == (None, 48, 48)


def test_tables_of_sessions_add_up(both: Read) -> None:
    tables, counted, success, chain = both
    (table,) = tables
    day = table["session_day"].to_numpy()
    apart = [table.filter(pa.array(day == one)) for one in np.unique(day)]
    assert len(apart) > 2
    once = from_rephrases(tables, counted, success, chain)
    assert from_rephrases(apart, counted, success, chain).equals(once)


@pytest.mark.parametrize("letters", ["d", "c", ""], ids=["no friction", "one good text", "nothing"])
def test_where_nothing_fails_nothing_is_mined(tmp_path: Path, letters: str) -> None:
    turns = [t for t in lamps() if t["turn_id"][0] in letters]
    assert mined(tmp_path, turns) == []


def test_only_what_went_well_answers(both: Read) -> None:
    turns = spoken_turns(both[0][0])
    detector = Detector()

    def answer(among: list[str] | None) -> Any:
        return detector.predict(turns, ["a0"], among)["rephrase_turn_id"].to_pylist()

    assert (answer(None), answer(["b0"]), answer(["c0"]), answer([])) == (
        *(["b0"], ["b0"], [None], [None]),
    )


def test_the_chains_row_goes_first(both: Read) -> None:
    tables, counted, success, chain = both
    rephrases = rows_of(links(tables, counted, success), counted, success, chain)
    general = chain.rows.filter(chain.rows["user_id"].is_null())
    # Its general row goes before a user's row of the other, too.
    assert united(general, rephrases).equals(general)
    assert united(REWRITES.empty_table(), rephrases).equals(rephrases)
    methods = united(chain.rows.slice(1), rephrases)["method"].to_pylist()
    assert methods.count("rephrase") == 1


def test_rephrases_are_replayed_beside_the_chain(tmp_path: Path) -> None:
    methods = evaluation_of(store_with(tmp_path, lamps())).methods
    assert (methods["rephrase"].wins, methods["rephrase"].losses) == (24, 0)
