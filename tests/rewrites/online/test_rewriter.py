"""Rewrites at run time: what is habitual, what is left alone, and what is on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from data.errors import RewriteIndexDamaged, RewriteIndexMissing
from rewrites.mining import REWRITES
from rewrites.online import index_folder
from rewrites.online.rewriter import LONGEST, Rewriter, build_index, forget
from tests.rewrites.lamps import store_with
from tests.rewriting import (
    ANYMORE,
    BRUNO,
    LAMB,
    LAMP,
    WILKERSON,
    WILKINSON,
    turn,
    world,
)


@pytest.fixture(scope="module")
def rewriter(tmp_path_factory: pytest.TempPathFactory) -> Rewriter:
    store = store_with(tmp_path_factory.mktemp("world"), world())
    with store.snapshot() as snapshot:
        return Rewriter.build(snapshot)


@pytest.fixture
def folder(rewriter: Rewriter, tmp_path: Path) -> Path:
    rewriter.save(tmp_path / "index")
    return tmp_path / "index"


def test_a_failing_request_is_rewritten_for_everybody(rewriter: Rewriter) -> None:
    for user in ("u1", "somebody new", None):
        answer = rewriter.rewrite(LAMB.upper(), user)
        assert answer.rewrite == LAMP
        assert answer.method == "chain"


def test_a_habit_does_not_misfire(rewriter: Rewriter) -> None:
    assert rewriter.rewrite(ANYMORE, "fan").rewrite is None
    answer = rewriter.rewrite(BRUNO, "fan", "speaker")
    assert answer.rewrite is None
    assert "known to work" in answer.why


def test_what_is_habitual_is_decided_by_the_user(rewriter: Rewriter) -> None:
    assert rewriter.rewrite(WILKINSON, "wilk").rewrite == WILKERSON
    for other in ("u1", "u2", "fan", "somebody new", None):
        assert rewriter.rewrite(WILKINSON, other).rewrite is None


def test_a_general_row_is_not_for_a_user_with_whom_the_text_works(tmp_path: Path) -> None:
    def row(user: str | None, rewrite: str) -> dict[str, object]:
        given = {"request": WILKERSON, "rewrite": rewrite, "user_id": user, "assistant": ""}
        return dict.fromkeys(REWRITES.names) | given | {"method": "approved", "score": 1.0}

    once = turn("once", "guest", 50.0, WILKERSON)
    rows = [row(None, WILKINSON), row("u2", LAMP)]
    with store_with(tmp_path, [*world(4), once]).snapshot() as snapshot:
        rewriter = Rewriter.build(snapshot, rows=pa.Table.from_pylist(rows, REWRITES))
    answer = rewriter.rewrite(WILKERSON, "wilk")
    assert answer.rewrite is None
    assert "known to work" in answer.why
    # One turn proves nothing, and a user's own row goes before what the user has said.
    for user in ("guest", "somebody new", None):
        assert rewriter.rewrite(WILKERSON, user).rewrite == WILKINSON
    assert rewriter.rewrite(WILKERSON, "u2").rewrite == LAMP


def test_a_habit_is_offered_to_its_user_only(tmp_path: Path) -> None:
    secret = "call doctor strangelove at the clinic"
    turns = [*world(4), *(turn(f"s{i}", "wilk", 40_000.0 + i * 86_400, secret) for i in range(3))]
    with store_with(tmp_path, turns).snapshot() as snapshot:
        rewriter = Rewriter.build(snapshot)
    near = secret.replace("strange", "strangle")
    mine = rewriter.rewrite(near, "wilk")
    assert secret in [candidate.text for candidate in mine.candidates]
    for other in ("fan", "u3", "", None):
        answer = rewriter.rewrite(near, other)
        assert secret not in [candidate.text for candidate in answer.candidates]
        assert answer.rewrite != secret


def test_approved_rows_take_the_place_of_mined_ones(tmp_path: Path) -> None:
    row = dict.fromkeys(REWRITES.names) | {
        "request": LAMB,
        "rewrite": "turn on the light",
        "assistant": "",
        "method": "approved",
        "score": 1.0,
    }
    with store_with(tmp_path, world(3)).snapshot() as snapshot:
        rewriter = Rewriter.build(snapshot, rows=pa.Table.from_pylist([row], REWRITES))
    assert rewriter.rewrite(LAMB).rewrite == "turn on the light"
    assert rewriter.rewrite(WILKINSON, "wilk").method != "chain, personal"


def test_what_is_saved_answers_the_same(rewriter: Rewriter, folder: Path) -> None:
    loaded = Rewriter.load(folder)
    for text in (LAMB, WILKINSON, "turn on the lam", "play some chess", "", "电灯"):
        for user in ("wilk", "u3", None):
            assert loaded.rewrite(text, user, at=1e9) == rewriter.rewrite(text, user, at=1e9)


def test_an_empty_store_rewrites_nothing(tmp_path: Path) -> None:
    store = store_with(tmp_path, [])
    build_index(store)
    loaded = Rewriter.load(index_folder.of_store(store.path))
    assert loaded.rewrite(LAMB, "u1").rewrite is None
    # The store takes no offence at the folder.
    store.must_be_whole()


@pytest.mark.parametrize(
    "text",
    ["", " \t\n", "打开客厅的灯", "включи свет", "فتح الضوء", "🙂", "a" * LONGEST, "x " * 50_000],
)
def test_any_text_is_answered(rewriter: Rewriter, text: str) -> None:
    began = time.perf_counter()
    answer = rewriter.rewrite(text, "u1", {"type": "speaker", "state": {"room": "hall"}})
    assert answer.text == text
    assert answer.rewrite is None or answer.rewrite != text
    assert time.perf_counter() - began < 1


@pytest.mark.long
def test_a_hundred_thousand_identical_requests(tmp_path: Path) -> None:
    turns = [turn(f"t{i}", f"u{i % 9}", i * 60.0, LAMP) for i in range(100_000)]
    with store_with(tmp_path, turns).snapshot() as snapshot:
        rewriter = Rewriter.build(snapshot)
    assert rewriter.known.index.requests.num_rows == 1
    assert rewriter.rewrite(LAMP).rewrite is None


def test_damage_is_one_sentence(folder: Path) -> None:
    generation = folder / str(index_folder.version(folder))
    (generation / "requests.parquet").write_bytes(b"PAR1")
    with pytest.raises(RewriteIndexDamaged, match=r"requests\.parquet is cut short or has changed"):
        Rewriter.load(folder)
    (generation / "requests.parquet").unlink()
    with pytest.raises(RewriteIndexDamaged, match="is missing"):
        Rewriter.load(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "null"])
def test_a_damaged_pointer_is_one_sentence(folder: Path, content: str) -> None:
    (folder / index_folder.CURRENT).write_text(content)
    with pytest.raises(RewriteIndexDamaged, match="is damaged"):
        Rewriter.load(folder)


def test_another_version_is_one_sentence(folder: Path) -> None:
    path = folder / index_folder.CURRENT
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(RewriteIndexDamaged, match="has format 99"):
        Rewriter.load(folder)


def test_no_index_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RewriteIndexMissing, match="build one with"):
        Rewriter.load(tmp_path)


def test_users_are_forgotten(folder: Path) -> None:
    assert forget(folder, user_ids=["wilk"]) > 0
    loaded = Rewriter.load(folder)
    assert loaded.rewrite(WILKINSON, "wilk").rewrite is None
    assert loaded.rewrite(LAMB, "u1").rewrite == LAMP
    assert "wilk" not in loaded.known.index.habits["user_id"].to_pylist()
    assert "wilk" not in loaded.said["user_id"].to_pylist()
    assert forget(folder, user_ids=["wilk"]) == 0
    # Neither in a file nor in an old generation.
    assert [path.name for path in folder.glob("generation-*")] == [index_folder.version(folder)]


def test_a_text_goes_with_its_only_turn(tmp_path: Path) -> None:
    turns = [*world(2), turn("once", "u1", 90_000.0, "remind me of the secret")]
    store = store_with(tmp_path, turns)
    folder = index_folder.of_store(store.path)
    index = build_index(store).known.index
    assert index.find("remind me of the secret", "") >= 0
    rows = index.requests.num_rows
    assert forget(folder, turn_ids=["once"]) == 1
    after = Rewriter.load(folder).known.index
    assert after.find("remind me of the secret", "") < 0
    assert after.requests.num_rows == rows - 1
    assert len(after.views["letters"][1]) == rows - 1


def test_a_killed_build_leaves_the_last_index(rewriter: Rewriter, folder: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from rewrites.online import index_folder\n"
        "def write(draft):\n"
        "    (draft / 'requests.parquet').write_bytes(b'half')\n"
        "    print('writing', flush=True); time.sleep(60)\n"
        "index_folder.publish(Path(sys.argv[1]), write)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert Rewriter.load(folder).rewrite(LAMB).rewrite == LAMP
    rewriter.save(folder)
    assert Rewriter.load(folder).rewrite(LAMB).rewrite == LAMP


def test_two_builds_and_a_reader_at_once(rewriter: Rewriter, folder: Path) -> None:
    problems: list[BaseException] = []

    def repeated(work: object) -> None:
        try:
            for _ in range(4):
                rewriter.save(folder) if work == "save" else Rewriter.load(folder)
        except BaseException as error:
            problems.append(error)

    threads = [
        threading.Thread(target=repeated, args=(work,)) for work in ("save", "save", "load", "load")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(list(folder.glob("generation-*"))) == 1
