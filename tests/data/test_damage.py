"""Damage is noticed: one sentence that names the file and what to do, from every command."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from deltalake import DeltaTable

import faultline
from data.errors import StoreDamaged, VersionGone
from data.store import damage as damage_module
from data.store.repair import examine
from data.store.store import Store
from data.store.vacuum import vacuum
from data.store.workspace import put_setting
from tests.app import Open, texts
from tests.command import Run, must_fail
from tests.damaged import CASES, DATA, HEAD, LOGS, damage, emptied, gone
from tests.logs import trace, write_lines

EARLIER = Path(__file__).parent / "earlier" / "store.tar.gz"
COMMANDS: dict[str, tuple[str, ...]] = {
    "info": ("info",),
    "info --json": ("info", "--json"),
    "score": ("score",),
    "train": ("train",),
    "evaluate": ("evaluate",),
    "labels": ("labels", "compare"),
    "export": ("export", "turns", "--to", "out.csv"),
    "export runs": ("export", "runs", "--to", "out.csv"),
    "report": ("report", "--to", "out.html"),
    "compact": ("compact",),
    "vacuum": ("vacuum", "--keep-hours", "0"),
    "delete": ("delete", "--user", "u"),
    "retain": ("retain", "--days", "36000"),
    "ingest": ("ingest", "more.jsonl"),
    "annotate": ("annotate", "verdicts.jsonl"),
    "promote": ("promote", "MODEL"),
}


def given(store: Store, name: str) -> tuple[str, ...]:
    """The arguments of a command, with the files that it reads."""
    write_lines(Path("more.jsonl"), [trace("more", dialogue_id="more")])
    Path("verdicts.jsonl").write_text("", "utf-8")
    model = str(store.head().model)
    return tuple(model if word == "MODEL" else word for word in COMMANDS[name])


@pytest.mark.parametrize("case", CASES)
def test_every_damage_is_noticed(run: Run, own_six: Store, case: str) -> None:
    target = damage(own_six.path, CASES[case])
    ran = run("info", "--store", own_six.path)
    must_fail(ran, "faultline doctor", "--repair", code=1)
    assert str(own_six.path) in ran.err
    # A folder that is gone is named by it, or by a file in it.
    name = str(target.relative_to(own_six.path))
    assert name in ran.err or "HEAD" in name, ran.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_notices(run: Run, own_six: Store, name: str) -> None:
    arguments = given(own_six, name)
    before = sorted(path for path in own_six.path.rglob("*") if ".staging" not in path.parts)
    target = damage(own_six.path, LOGS["log of turns emptied"])
    must_fail(run(*arguments, "--store", own_six.path), target.name, "faultline doctor", code=1)
    after = sorted(path for path in own_six.path.rglob("*") if ".staging" not in path.parts)
    assert [path for path in after if path.name != ".lock"] == [
        path for path in before if path.name != ".lock"
    ]
    assert not Path("out.csv").exists()


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_every_command_notices_every_damage(run: Run, own_six: Store, case: str) -> None:
    given_to = {name: given(own_six, name) for name in COMMANDS}
    damage(own_six.path, CASES[case])
    for name, arguments in given_to.items():
        must_fail(run(*arguments, "--store", own_six.path), "faultline doctor", code=1)
        assert not Path("out.csv").exists(), name


@pytest.mark.parametrize("case", ["turns flipped", "log of turns emptied", "HEAD.json cut"])
def test_a_page_says_it_too(opened: Open, own_six: Store, case: str) -> None:
    damage(own_six.path, CASES[case])
    at = opened(own_six.path)
    assert not at.exception
    assert "faultline doctor" in texts(at)


@pytest.mark.parametrize("case", ["turns cut", "log of runs emptied", "model cut"])
def test_python_says_it_too(own_six: Store, case: str) -> None:
    damage(own_six.path, CASES[case])
    with pytest.raises(StoreDamaged, match="faultline doctor"):
        faultline.info(store=own_six.path)
    with pytest.raises(StoreDamaged, match="faultline doctor"):
        faultline.open(own_six.path)


# Without checksums, bytes that change are noticed when they are read; without contents, a log that
# ends early at the end of a line is not.
UNSEEN = ("other_digit", "flipped", "zeroed", "cut_at_a_line", "labelled")
EARLIER_CASES = [case for case in (*HEAD, *LOGS, *DATA) if not any(word in case for word in UNSEEN)]


@pytest.mark.parametrize("case", ["HEAD.json zeroed", "log of turns zeroed", *EARLIER_CASES])
def test_a_store_of_the_earlier_version_is_looked_at_too(tmp_path: Path, case: str) -> None:
    with tarfile.open(EARLIER) as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "store"
    Store.whole(root)
    damage(root, CASES[case])
    with pytest.raises(StoreDamaged, match="faultline doctor"):
        Store.whole(root)


@pytest.mark.parametrize("query", ["FROM turns", "SELECT count(turn_id) FROM turns"])
def test_what_is_damaged_after_opening_is_noticed_by_the_query(own_six: Store, query: str) -> None:
    with own_six.snapshot() as snapshot:
        target = damage(own_six.path, DATA["turns cut"])
        with pytest.raises(StoreDamaged, match=target.name):
            snapshot.query(query)
        with pytest.raises(StoreDamaged, match=target.name):
            list(snapshot.batches(query))


def test_files_too_large_to_read_at_once_are_noticed_by_the_query(
    own_six: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is one that a small store does not reach."""
    monkeypatch.setattr(damage_module, "_READ_AT_ONCE", 0)
    target = damage(own_six.path, DATA["turns flipped"])
    with own_six.snapshot() as snapshot, pytest.raises(StoreDamaged, match=target.name):
        snapshot.query("FROM turns")
    with pytest.raises(StoreDamaged, match=target.name):
        compact_all(own_six)


def compact_all(store: Store) -> None:
    """Rewrite the turns, which reads all of them."""
    with store.commit() as cycle:
        cycle.rewrite("turns", list(cycle.files("turns")))


def test_an_old_version_that_was_vacuumed_is_not_damage(own_six: Store) -> None:
    old = own_six.snapshot()
    compact_all(own_six)
    vacuum(own_six, keep_hours=0)
    with pytest.raises(VersionGone, match="vacuumed"):
        old.query("FROM turns")
    with pytest.raises(VersionGone, match="vacuumed"):
        own_six.snapshot(at=old.version)


def test_damage_of_the_newest_is_not_called_vacuumed(own_six: Store) -> None:
    version = own_six.head().version
    damage(own_six.path, DATA["turns gone"])
    with pytest.raises(StoreDamaged) as error:
        own_six.snapshot(at=version)
    assert "latest" not in str(error.value)


def test_a_damaged_commit_that_was_never_visible_does_no_harm(
    own_six: Store, tmp_path: Path
) -> None:
    """A power cut leaves such files of the commit that it interrupts."""
    number = own_six.head().tables["turns"] + 1
    log = own_six.path / "turns" / "_delta_log" / f"{number:020d}.json"
    for content in (b"", b'{"commitInfo":', bytes(300)):
        log.write_bytes(content)
        before = own_six.snapshot().counts()["turns"]
        own_six.must_be_whole()
        name = f"t{len(content)}"
        faultline.ingest(
            write_lines(tmp_path / "new.jsonl", [trace(name, dialogue_id=name)]), store=own_six
        )
        assert own_six.snapshot().counts()["turns"] == before + 1
        log = log.with_name(f"{own_six.head().tables['turns'] + 1:020d}.json")
    vacuum(own_six, keep_hours=0)
    own_six.must_be_whole()


def test_the_head_says_what_every_table_holds(own_six: Store) -> None:
    head = json.loads((own_six.path / "HEAD.json").read_text("utf-8"))
    with own_six.snapshot() as snapshot:
        counts = snapshot.counts()
        for name, held in head["contents"].items():
            sizes = [path.stat().st_size for path in snapshot.files[name]]
            assert held == {"rows": counts[name], "files": len(sizes), "bytes": sum(sizes)}
    assert head["contents"].keys() == counts.keys()


def test_a_damaged_model_trained_again_is_whole(own_six: Store) -> None:
    for harm in (emptied, gone):
        harm(own_six.models / str(own_six.head().model) / "booster.txt")
        with pytest.raises(StoreDamaged, match=r"booster\.txt"):
            own_six.promote(str(own_six.head().model))


def logs_of(store: Store) -> list[Path]:
    return sorted(store.path.glob("*/_delta_log/*.json"))


LONG = pytest.mark.long


@pytest.mark.parametrize("at", [0.3, *(pytest.param(at, marks=LONG) for at in (0.0, 0.6, 0.95))])
def test_a_bit_of_any_log_is_noticed_and_the_log_is_named(own_six: Store, at: float) -> None:
    """Whether it is a path, a number, a name in the schema or a space, in a table with rows or
    without."""
    for log in logs_of(own_six):
        content = log.read_bytes()
        changed = bytearray(content)
        changed[int(len(content) * at)] ^= 1
        log.write_bytes(changed)
        with pytest.raises(StoreDamaged, match=f"{log.parent.parent.name}/_delta_log/{log.name}"):
            own_six.must_be_whole()
        assert [one.path for one in examine(own_six.path)[1]] == [log]
        log.write_bytes(content)
    own_six.must_be_whole()


def test_a_changed_log_of_an_older_version_is_noticed(store: Store, tmp_path: Path) -> None:
    for number in range(2):
        faultline.ingest(
            write_lines(tmp_path / "l.jsonl", [trace(f"t{number}", dialogue_id=f"d{number}")]),
            store=store,
        )
    old = store.head().version
    faultline.ingest(
        write_lines(tmp_path / "l.jsonl", [trace("t2", dialogue_id="d2")]), store=store
    )
    log = store.path / "turns" / "_delta_log" / f"{1:020d}.json"
    log.write_bytes(log.read_bytes() + b"\n")
    with pytest.raises(StoreDamaged, match=log.name):
        store.snapshot(at=old)
    with pytest.raises(StoreDamaged, match=log.name):
        store.snapshot()


def test_a_checkpoint_that_changed_is_noticed(store: Store, tmp_path: Path) -> None:
    """The newest version is read from it and the commits since."""
    put_setting(store, "a", 1)
    DeltaTable(store.path / "settings").create_checkpoint()
    put_setting(store, "b", 2)
    (checkpoint,) = (store.path / "settings" / "_delta_log").glob("*.checkpoint.parquet")
    assert (store.head().logs["settings"].start, len(store.head().logs["settings"].crc32)) == (1, 2)
    store.must_be_whole()
    content = checkpoint.read_bytes()
    for at in (0.2, 0.5, 0.9):
        changed = bytearray(content)
        changed[int(len(content) * at)] ^= 1
        checkpoint.write_bytes(changed)
        with pytest.raises(StoreDamaged, match=checkpoint.name):
            store.must_be_whole()
    checkpoint.write_bytes(content)
    store.must_be_whole()
