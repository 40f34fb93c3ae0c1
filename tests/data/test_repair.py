"""A repair goes back to what is whole, says what that costs, and deletes nothing."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from data.errors import StoreDamaged
from data.ingest.ingest import ingest
from data.store.annotations import annotate
from data.store.repair import Loss, examine, plan, repair
from data.store.side_files import RESCUED
from data.store.store import Store
from data.store.turn_deletion import delete
from data.store.vacuum import vacuum
from tests.command import Run
from tests.damaged import CASES, LOGS, damage, emptied, flipped, gone
from tests.data.test_damage import EARLIER, EARLIER_CASES
from tests.logs import trace, write_lines


def consistent(store: Store) -> dict[str, int]:
    """Check what always holds of a store; returns its rows per table."""
    store.must_be_whole()
    with store.snapshot() as snapshot:
        (row,) = snapshot.query(
            "SELECT (SELECT count(*) FROM predictions ANTI JOIN turns USING (turn_id, day)) AS a, "
            "(SELECT count(*) FROM labelled ANTI JOIN turns USING (turn_id)) AS b, "
            "(SELECT count(*) FROM predictions) - (SELECT coalesce(sum(turns), 0) FROM rollup) AS c"
        ).to_pylist()
        assert [int(value) for value in row.values()] == [0, 0, 0]
        for name, rows in snapshot.counts().items():
            (counted,) = snapshot.query(f"SELECT count(*)::INT AS n FROM {name}")["n"].to_pylist()
            assert counted == rows, name
        return snapshot.counts()


def contents(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def repaired(run: Run, own_six: Store, tmp_path: Path, case: str) -> None:
    before = consistent(own_six)
    target = damage(own_six.path, CASES[case])
    pieces = contents(own_six.path)
    ran = run("doctor", "--store", own_six.path)
    assert ran.code == 1
    assert str(target) in ran.out or "gone" in case
    assert "faultline doctor --repair" in ran.out
    ran = run("doctor", "--repair", "--store", own_six.path)
    assert (ran.code, ran.err) == (0, ""), ran
    assert str(own_six.path / RESCUED) in ran.out
    after = consistent(own_six)
    assert after["annotations"] == before["annotations"] or "annotations" in case
    for name in before:
        assert after[name] <= before[name]
        if after[name] < before[name]:
            assert name in ran.out
    if not any(word in case for word in ("turns", "day", "digit", "flipped")):
        assert after["turns"] == before["turns"]
    # Not a byte is lost but of what is written anew.
    assert pieces - contents(own_six.path) == set()
    assert run("doctor", "--store", own_six.path).code == 0
    assert ingest(own_six, [write_lines(tmp_path / "l.jsonl", [trace("n", dialogue_id="n")])]).turns
    assert consistent(own_six)["turns"] == after["turns"] + 1
    vacuum(own_six, keep_hours=0)
    consistent(own_six)


SOME = ["log of turns emptied", "turns cut"]


@pytest.mark.parametrize("case", SOME)
def test_a_damaged_store_is_repaired(run: Run, own_six: Store, tmp_path: Path, case: str) -> None:
    repaired(run, own_six, tmp_path, case)


@pytest.mark.long
@pytest.mark.parametrize("case", [case for case in CASES if case not in SOME])
def test_every_damaged_store_is_repaired(
    run: Run, own_six: Store, tmp_path: Path, case: str
) -> None:
    repaired(run, own_six, tmp_path, case)


@pytest.fixture
def three(store: Store, tmp_path: Path) -> Store:
    """A store of three log files with two days each, ingested one after another."""
    for number in range(3):
        days = [
            trace(f"t{number}{n}", dialogue_id=f"d{number}", started_at=f"2024-05-{n:02}T09:00:00Z")
            for n in (1, 2)
        ]
        ingest(store, [write_lines(tmp_path / f"{number}.jsonl", days)])
    return store


def added(store: Store, number: int) -> Path:
    """A file that the n-th ingestion added to the table of turns."""
    log = store.path / "turns" / "_delta_log" / f"{number:020d}.json"
    entries = map(json.loads, log.read_text("utf-8").splitlines())
    return store.path / "turns" / str(next(e["add"]["path"] for e in entries if "add" in e))


def ids(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT turn_id FROM turns ORDER BY 1")
    return [str(turn_id) for turn_id in rows["turn_id"].to_pylist()]


@pytest.mark.parametrize("harm", [emptied, flipped, gone])
def test_log_files_are_there_completely_or_not_at_all(
    three: Store, harm: Callable[[Path], None]
) -> None:
    """The third log file was read after the damaged second one, so both are gone."""
    harm(added(three, 2))
    done = repair(three.path)
    assert done is not None
    assert ids(three) == ["t01", "t02"]
    assert consistent(three)["runs"] == 1
    losses = {loss.table: loss for loss in done.losses}
    assert (losses["turns"].before, losses["turns"].after) == (6, 2)
    assert "4 of 6 rows are lost" in str(losses["turns"])
    assert repair(three.path) is None


def test_leaving_out_keeps_more(three: Store) -> None:
    gone(added(three, 2))
    assert {loss.after for loss in plan(three.path, leave_out=True).losses} == {5}
    assert repair(three.path, leave_out=True)
    assert len(ids(three)) == consistent(three)["turns"] == 5
    assert consistent(three)["runs"] == 3


def test_no_version_has_two_meanings(three: Store) -> None:
    seen = three.head().tables["turns"]
    emptied(three.path / "turns" / "_delta_log" / f"{seen:020d}.json")
    repair(three.path)
    assert three.head().tables["turns"] > seen


def test_a_lost_head_costs_nothing(own_six: Store) -> None:
    before, counts = own_six.head(), consistent(own_six)
    (own_six.path / "HEAD.json").unlink()
    done = repair(own_six.path)
    assert done is not None
    assert not done.losses
    assert own_six.head() == before
    assert consistent(own_six) == counts


def test_a_lost_head_does_not_bring_back_half_a_commit(
    three: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed after the commit of one table, before that of the next."""
    committed: list[str] = []
    from data.store.transaction import Cycle

    real = Cycle._commit_table

    def killed(self: Cycle, name: str, *rest: Any) -> None:
        if committed:
            raise KeyboardInterrupt
        committed.append(name)
        real(self, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Cycle, "_commit_table", killed)
        with pytest.raises(KeyboardInterrupt):
            ingest(three, [write_lines(tmp_path / "l.jsonl", [trace("n", dialogue_id="n")])])
    (three.path / "HEAD.json").unlink()
    repair(three.path)
    assert len(ids(three)) == 6
    assert consistent(three)["runs"] == 3


def test_a_model_that_is_lost_is_no_longer_promoted(own_six: Store) -> None:
    model = str(own_six.head().model)
    emptied(own_six.models / model / "heads.npz")
    done = repair(own_six.path)
    assert done is not None
    assert own_six.head().model is None is done.model
    assert own_six.model_ids() == []
    assert (done.rescued / "models" / model / "booster.txt").exists()


def test_a_whole_store_is_left_alone(own_six: Store) -> None:
    def state() -> dict[str, int]:
        paths = [path for path in own_six.path.rglob("*") if path.name != ".lock"]
        return {str(path): path.stat().st_mtime_ns for path in paths}

    before = state()
    assert repair(own_six.path) is None
    assert state() == before


@pytest.mark.parametrize("step", ["_rescue", "_mark", "_mend_log", "_commit", "write_head"])
def test_a_repair_that_is_killed_can_be_repeated(
    three: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    emptied(three.path / "turns" / "_delta_log" / f"{3:020d}.json")
    import data.store.repair

    real = getattr(data.store.repair, step)

    def killed(*args: Any) -> None:
        if step == "_mend_log":
            real(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data.store.repair, step, killed)
        with pytest.raises(KeyboardInterrupt):
            repair(three.path)
    with pytest.raises(StoreDamaged):
        three.must_be_whole()
    repair(three.path)
    assert ids(three) == ["t01", "t02", "t11", "t12"]
    assert consistent(three)["runs"] == 2


@pytest.mark.parametrize("case", [*EARLIER_CASES[::4], "log of turns cut", "turns gone"])
def test_a_store_of_the_earlier_version_is_repaired(tmp_path: Path, case: str) -> None:
    with tarfile.open(EARLIER) as archive:
        archive.extractall(tmp_path, filter="data")
    store = Store.open(tmp_path / "store")
    before = consistent(store)
    damage(store.path, CASES[case])
    assert repair(store.path)
    after = consistent(store)
    assert after["annotations"] == before["annotations"] or "annotations" in case
    assert examine(store.path)[1] == []


@pytest.mark.long
def test_what_was_deleted_stays_deleted_where_turns_are_whole(own_six: Store) -> None:
    with own_six.snapshot() as snapshot:
        (turn,) = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns ORDER BY turn_id DESC LIMIT 1"
        ).to_pylist()
    annotate(own_six, turn, "ann", "correct")
    delete(own_six, turn_ids=[turn["turn_id"]])
    for table in ("annotations", "predictions"):
        damage(own_six.path, LOGS[f"log of {table} emptied"])
    repair(own_six.path)
    consistent(own_six)
    with own_six.snapshot() as snapshot:
        for table in ("turns", "annotations", "predictions"):
            rows = snapshot.query(f"FROM {table} WHERE turn_id = ?", [turn["turn_id"]])
            assert rows.num_rows == 0, table


def test_the_findings_are_json_too(run: Run, own_six: Store) -> None:
    target = damage(own_six.path, CASES["model gone"])
    ran = run("doctor", "--json", "--store", own_six.path)
    assert ran.code == 1
    found = json.loads(ran.out)
    assert (found["well"], [one["path"] for one in found["damage"]]) == (False, [str(target)])
    ran = run("doctor", "--json", "--repair", "--store", own_six.path)
    assert ran.code == 0
    found = json.loads(ran.out)
    assert (found["well"], found["damage"], found["trouble"]) == (True, [], None)
    assert Path(found["repaired"]["rescued"]).is_dir()
    found = json.loads(run("doctor", "--json", "--store", own_six.path).out)
    assert found["well"]
    assert found["repaired"] is None


def test_a_missing_store_is_one_finding(run: Run) -> None:
    for more in ((), ("--repair",)):
        ran = run("doctor", "--store", "nowhere", *more)
        assert ran.code == 1
        assert "nowhere" in ran.out
        assert not os.path.exists("nowhere")


def test_a_machine_that_lacks_something_is_told(
    run: Run, own_six: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cli.environment

    head = own_six.path / "HEAD.json"
    os.utime(head, (4e9, 4e9))
    monkeypatch.setattr(cli.environment, "_FREE_BYTES", 1 << 62)
    wanted = ["numpy>=999", "no-such-thing>=1", "duckdb"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: wanted)
    ran = run("doctor", "--store", own_six.path)
    assert ran.code == 1
    wrong = [line for line in ran.out.splitlines() if line.startswith("wrong")]
    assert [line.split()[1].rstrip(":") for line in wrong] == ["packages", "disk", "clock"]
    assert "no-such-thing missing" in wrong[0]
    assert "pip install 'numpy>=999' 'no-such-thing>=1'" in wrong[0]


@pytest.mark.parametrize("pattern", ["*.checkpoint.parquet", "_last_checkpoint"])
@pytest.mark.parametrize("harm", [emptied, flipped, gone])
def test_a_damaged_checkpoint_costs_nothing(
    three: Store, tmp_path: Path, pattern: str, harm: Callable[[Path], None]
) -> None:
    """The commits before it are still there."""
    DeltaTable(three.path / "turns").create_checkpoint()
    ingest(three, [write_lines(tmp_path / "l.jsonl", [trace("n", dialogue_id="n")])])
    harm(next((three.path / "turns" / "_delta_log").glob(pattern)))
    try:
        three.must_be_whole()
    except StoreDamaged:
        assert repair(three.path)
    assert len(ids(three)) == consistent(three)["turns"] == 7
    assert repair(three.path) is None
    ingest(three, [write_lines(tmp_path / "l.jsonl", [trace("m", dialogue_id="m")])])
    assert len(ids(three)) == 8


@pytest.mark.parametrize("table", ["turns", "settings", "predictions"])
def test_a_log_that_says_the_same_costs_nothing(own_six: Store, table: str) -> None:
    """A digit of a time has changed: all the files that the table held are there."""
    before, counts = own_six.head(), consistent(own_six)
    log = max((own_six.path / table / "_delta_log").glob("*.json"))
    content = log.read_bytes()
    changed = content.replace(b'"timestamp":1', b'"timestamp":2', 1)
    changed = changed.replace(b'"createdTime":1', b'"createdTime":2', 1)
    assert changed != content
    log.write_bytes(changed)
    done = repair(own_six.path)
    assert done is not None
    assert consistent(own_six) == counts
    assert all(loss.before == loss.after for loss in done.losses)
    assert own_six.head().tables[table] > before.tables[table]
    assert own_six.head().model == before.model
    assert repair(own_six.path) is None


def test_a_log_that_names_another_file_is_mended(three: Store) -> None:
    """A letter of a path has changed: the log is at fault, not a file that never was."""
    log = three.path / "turns" / "_delta_log" / f"{3:020d}.json"
    log.write_bytes(log.read_bytes().replace(b"/part-", b"/park-", 1))
    (found,) = plan(three.path).damages
    assert found.path == log
    assert repair(three.path)
    assert ids(three) == ["t01", "t02", "t11", "t12"]
    assert consistent(three)["runs"] == 2


@pytest.mark.parametrize("case", ["rollup flipped", "turns cut"])
def test_a_repair_costs_what_was_stated(run: Run, own_six: Store, case: str) -> None:
    """Also of the tables that go with the damaged one, and of no others."""
    damage(own_six.path, CASES[case])
    expected = plan(own_six.path).losses
    (line,) = [
        line
        for line in run("doctor", "--store", own_six.path).out.splitlines()
        if line.startswith("What that costs: ")
    ]
    before = consistent_counts(own_six)
    ran = run("doctor", "--repair", "--store", own_six.path)
    after = consistent(own_six)
    assert {loss.table: loss.after for loss in expected} == {
        name: rows for name, rows in after.items() if rows != before[name]
    }
    stated = line.removeprefix("What that costs: ").rstrip(".").split("; ")
    told = [text.rstrip(".") for text in ran.out.splitlines() if "lost" in text]
    assert [cost for cost in stated if "lost" in cost] == told
    assert not any(cost.split(": ")[1].startswith("0 of") for cost in told)


def consistent_counts(store: Store) -> dict[str, int]:
    """Rows per table that HEAD.json states."""
    return {name: held.rows for name, held in store.head().contents.items()}


def test_rows_are_counted_in_words() -> None:
    assert str(Loss("turns", 1, 0, 0)) == "turns: 1 of 1 row is lost"
    assert str(Loss("turns", 1959, 0, 0)) == "turns: 1\u202f959 of 1\u202f959 rows are lost"
    assert str(Loss("turns", None, 1, 0)) == "turns: 1 row remains"


def test_a_repair_that_cannot_keep_the_files_leaves_no_folder(
    three: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone(added(three, 2))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("data.store.repair.os.link", full)
    monkeypatch.setattr("data.store.repair.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        repair(three.path)
    assert not (three.path / RESCUED).exists()
