"""`faultline rewrites`: mine, look, decide, export."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.store.store import Store
from tests.command import Run, must_fail
from tests.rewrites.lamps import BAD, GOOD, lamps, store_with

DOCUMENT = Path(__file__).parents[2] / "docs" / "rewrites.md"


@pytest.fixture
def lit(tmp_path: Path) -> Store:
    return store_with(tmp_path, lamps())


def test_mine_look_approve_export(run: Run, lit: Store, tmp_path: Path) -> None:
    there = ("--store", lit.path)
    said = run("rewrites", "mine", *there).out
    assert "Read 192 turns" in said
    assert "1 rewrite for everybody" in said
    assert "next successful" in said
    (row,) = json.loads(run("rewrites", "list", *there, "--json").out)
    assert (row["request"], row["rewrite"]) == (BAD, GOOD)
    shown = run("rewrites", "show", row["rewrite_id"], *there).out
    assert f"{BAD} → {GOOD}" in shown
    assert "24 wins, 0 losses" in shown
    to = tmp_path / "rewrites.jsonl"
    assert "None is approved" in run("rewrites", "export", "--to", to, *there).out
    assert to.read_text() == ""
    assert run("rewrites", "approve", row["rewrite_id"], *there, "--by", "ada").code == 0
    assert "Wrote 1 rewrite" in run("rewrites", "export", "--to", to, *there).out
    record = json.loads(to.read_text())
    assert (record["request"], record["rewrite"], record["win"], record["loss"]) == (
        *(BAD, GOOD, 24, 0),
    )
    assert "user_id" not in record
    shutil.copy(to, "rewrites.jsonl")
    loaded: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)[0], loaded)
    assert loaded["rewritten"](BAD.title(), "anybody") == GOOD
    assert loaded["rewritten"]("Something else") == "Something else"
    out = run("rewrites", "reject", row["rewrite_id"], "--reason", "no lamb", *there).out
    assert "1 rewrite rejected." in out
    assert "No rewrite is in that state" in run("rewrites", "list", "--state", "live", *there).out


def test_evaluate_records_nothing(run: Run, lit: Store) -> None:
    version = lit.head().version
    record = json.loads(run("rewrites", "evaluate", "--store", lit.path, "--json").out)
    assert [row["name"] for row in record["rows"]][:3] == ["none", "next successful", "plain chain"]
    assert lit.head().version == version


def test_what_cannot_be_done_is_one_sentence(run: Run, lit: Store, tmp_path: Path) -> None:
    there = ("--store", lit.path)
    must_fail(run("rewrites", "mine", "--store", tmp_path / "none"), "No store at")
    must_fail(run("rewrites", "show", "nope", *there), "no rewrite 'nope'")
    must_fail(run("rewrites", "approve", "nope", *there), "no rewrite 'nope'")
    must_fail(run("rewrites", "list", "--state", "liked", *there), "Unknown state 'liked'")
    must_fail(run("rewrites", "export", "--to", tmp_path / "x.csv", *there), ".jsonl")
    must_fail(run("rewrites", "export", "--to", lit.path / "x.jsonl", *there), "own folder")
    must_fail(
        run("rewrites", "mine", *there, "--since", "2030-01-01"), "no turns to mine", "these days"
    )
    assert "No rewrites yet" in run("rewrites", "list", *there).out


def test_an_index_answers_with_approved_rewrites_and_forgets_deleted_users(
    run: Run, lit: Store
) -> None:
    there = ("--store", lit.path)
    must_fail(run("rewrite", BAD, *there), "no index of rewrites", "faultline rewrites index")
    run("rewrites", "mine", *there)
    (row,) = json.loads(run("rewrites", "list", *there, "--json").out)
    assert "and 0 rewrites in" in run("rewrites", "index", *there).out
    assert "Left as it is" in run("rewrite", BAD, *there).out
    run("rewrites", "approve", row["rewrite_id"], *there)
    assert "and 1 rewrite in" in run("rewrites", "index", *there).out
    answer = json.loads(run("rewrite", BAD.upper(), *there, "--json").out)
    assert (answer["rewrite"], answer["method"]) == (GOOD, "chain")
    users = [part for i in range(5) for part in ("--user", f"u{i}")]
    assert "turns of the index of rewrites" in run("delete", *users, *there).out
    assert json.loads(run("rewrite", BAD, *there, "--json").out)["rewrite"] is None
    for file in sorted((lit.path / "rewrite-index").rglob("*.parquet")):
        table = pq.read_table(file)
        assert BAD not in str(table.to_pydict())


def test_a_deletion_says_that_the_index_cannot_be_read(run: Run, lit: Store) -> None:
    there = ("--store", lit.path)
    run("rewrites", "index", *there)
    (lit.path / "rewrite-index" / "current.json").write_text("{")
    must_fail(run("rewrite", BAD, *there), "damaged", "faultline rewrites index")
    must_fail(run("delete", "--user", "u1", *there), "but not from the index", "rewrites index")
    assert run("rewrites", "index", *there).code == 0
    assert "Nothing in the store" in run("delete", "--user", "u1", *there).out


def test_rephrases_are_named_with_and_without_judged_turns(run: Run, tmp_path: Path) -> None:
    turns = [
        {**turn, "dialogue_id": turn["user_id"] + str(index // 4)}
        for index, turn in enumerate(lamps())
    ]
    store = store_with(tmp_path, turns)
    there, to = ("--store", store.path), tmp_path / "found.jsonl"
    said = run("rewrites", "rephrases", "--to", to, *there).out
    assert "Nothing was learned" in said
    assert len(to.read_text().splitlines()) == len(turns)
    judged = tmp_path / "judged.jsonl"
    pairs = [
        {"turn_id": f"a{i}", "rephrase_turn_id": f"b{i}" if i % 4 else None} for i in range(48)
    ]
    judged.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    assert (
        "with a rephrase"
        in run("rewrites", "rephrases", "--to", to, "--judged", judged, *there).out
    )
    judged.write_text("[1]\n")
    must_fail(run("rewrites", "rephrases", "--to", to, "--judged", judged, *there), "judged turns")
