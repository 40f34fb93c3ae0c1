"""The store's contract: what is committed together appears together, and never a part of it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from data.errors import StoreError, StoreMissing, UsageError, VersionGone
from data.schema.layout import (
    TABLES,
    parse_version,
    version_text,
)
from data.schema.tables import PREDICTIONS
from data.schema.trace import TURNS
from data.store.compaction import compact
from data.store.predictions import commit_predictions
from data.store.retention import retain
from data.store.snapshot import Snapshot
from data.store.store import Head, Store
from data.store.turn_deletion import delete
from data.store.vacuum import vacuum


def turns(*ids: str, day: int = 1, user: str | None = None, dialogue: str = "d1") -> pa.Table:
    rows = [
        {
            "turn_id": turn_id,
            "dialogue_id": dialogue,
            "turn_index": index,
            "started_at": datetime(2024, 5, day, 9, tzinfo=UTC),
            "user_id": user,
            "digest": 1,
            "day": date(2024, 5, day),
        }
        for index, turn_id in enumerate(ids)
    ]
    return pa.Table.from_pylist(rows, schema=TURNS)


def predictions(*ids: str, day: int = 1, p_asr: float = 0.25) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for turn_id in ids:
        row: dict[str, Any] = dict.fromkeys(PREDICTIONS.names)
        row |= {"turn_id": turn_id, "dialogue_id": "d1", "turn_index": 0, "p_asr": p_asr}
        row |= {"failure_point": "asr", "day": date(2024, 5, day), "locale": "en-GB"}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=PREDICTIONS)


def add(store: Store, *tables: pa.Table) -> None:
    with store.commit() as cycle:
        for table in tables:
            cycle.append("turns", table)


def ids(snapshot: Snapshot, table: str = "turns") -> list[str]:
    turn_ids = snapshot.query(f"SELECT turn_id FROM {table} ORDER BY turn_id")[
        "turn_id"
    ].to_pylist()
    return [str(value) for value in turn_ids]


# -- opening ---------------------------------------------------------------------------------------


def test_an_empty_store_has_every_table_with_its_schema(store: Store) -> None:
    with store.snapshot() as snapshot:
        for name, layout in TABLES.items():
            assert snapshot.query(f"FROM {name}").schema.equals(layout.schema)
        assert snapshot.counts() == dict.fromkeys(TABLES, 0)


def test_a_stored_table_has_the_schema_of_an_empty_one(store: Store) -> None:
    add(store, turns("a"))
    assert store.snapshot().query("FROM turns").schema.equals(TURNS)


def test_a_missing_store_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="faultline ingest PATH"):
        Store.open(tmp_path / "nowhere")


def test_create_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="not a store"):
        Store.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_create_refuses_to_make_a_store_twice(store: Store) -> None:
    with pytest.raises(StoreError, match="already is a store"):
        Store.create(store.path)


def test_ensure_opens_what_is_there(store: Store) -> None:
    add(store, turns("a"))
    assert ids(Store.ensure(store.path).snapshot()) == ["a"]


@pytest.mark.parametrize("path", ["ftp://host/store", "s3://", "s3:/", "s3://bucket/../other"])
def test_addresses_of_nothing_are_refused_in_one_sentence(path: str) -> None:
    with pytest.raises(UsageError, match="address"):
        Store.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 99, "tables": {}}'])
def test_a_damaged_head_is_one_sentence(store: Store, text: str) -> None:
    (store.path / "HEAD.json").write_text(text)
    with pytest.raises(StoreError, match=r"damaged|upgrade"):
        Store.open(store.path)


@pytest.mark.parametrize("name", ["a b", "it's", "a=b", "[x]", "100%", "naïve"])
def test_a_store_may_lie_in_any_folder(tmp_path: Path, name: str) -> None:
    store = Store.create(tmp_path / name)
    add(store, turns("a", "b"))
    with store.commit() as cycle:
        cycle.delete_rows("turns", "turn_id = 'a'")
    snapshot = store.snapshot()
    assert snapshot.query("SELECT turn_id, day FROM turns").to_pylist() == [
        {"turn_id": "b", "day": date(2024, 5, 1)}
    ]


def test_a_folder_that_looks_like_a_partition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="day=2020-01-01"):
        Store.create(tmp_path / "day=2020-01-01" / "store")


# -- versions --------------------------------------------------------------------------------------


def test_a_version_string_names_every_table() -> None:
    assert version_text({"turns": 12, "predictions": 9}) == "t12.p9"
    assert version_text({}) == "t0"
    assert parse_version("t12.p9")["predictions"] == 9


def test_a_snapshot_does_not_see_later_commits_and_can_be_reopened(store: Store) -> None:
    add(store, turns("a"))
    before = store.snapshot()
    add(store, turns("b"))
    assert ids(before) == ["a"]
    assert ids(store.snapshot()) == ["a", "b"]
    assert ids(store.snapshot(at=before.version)) == ["a"]


@pytest.mark.parametrize("at", ["t99", "t1.p1", "latest", "", "t-1", "z3", "t1;p2"])
def test_a_version_that_never_was_is_one_sentence(store: Store, at: str) -> None:
    with pytest.raises(VersionGone):
        store.snapshot(at=at)


def test_tables_changed_in_one_cycle_appear_together(store: Store) -> None:
    with store.commit() as cycle:
        cycle.append("turns", turns("a"))
        cycle.append("predictions", predictions("a").set_column(
            PREDICTIONS.get_field_index("model_id"), "model_id", pa.array(["m"])))  # fmt: skip
        assert store.snapshot().counts()["turns"] == 0
    assert store.snapshot().counts()["turns"] == store.snapshot().counts()["predictions"] == 1


def test_an_exception_inside_a_cycle_changes_nothing(store: Store) -> None:
    add(store, turns("a"))
    before = store.head()

    def fail() -> None:
        with store.commit() as cycle:
            cycle.append("turns", turns("b"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.head() == before
    assert ids(store.snapshot()) == ["a"]


@pytest.fixture
def die_before_head(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Run something in a writer that dies after its Delta commits, before HEAD moves."""

    def killed(root: Path, head: Head) -> None:
        raise KeyboardInterrupt

    def run(action: Callable[[], None]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("data.store.store._write_head", killed)
            with pytest.raises(KeyboardInterrupt):
                action()

    return run


def test_a_writer_killed_between_delta_and_head_leaves_no_trace(
    store: Store, die_before_head: Callable[[Callable[[], None]], None]
) -> None:
    add(store, turns("a"))

    def lose() -> None:
        with store.commit() as cycle:
            cycle.append("turns", turns("lost"))
            run = [{"run_id": "lost", "file": "f"}]
            cycle.append("runs", pa.Table.from_pylist(run, schema=TABLES["runs"].schema))

    die_before_head(lose)
    assert ids(store.snapshot()) == ["a"]
    add(store, turns("b"))
    assert ids(store.snapshot()) == ["a", "b"]
    assert store.snapshot().counts()["runs"] == 0


@pytest.mark.parametrize("damaged", ["checkpoint", "gap"])
def test_what_a_power_cut_left_of_later_commits_is_no_obstacle(
    store: Store, die_before_head: Callable[[Callable[[], None]], None], damaged: str
) -> None:
    add(store, turns("a"))

    def lose() -> None:
        with store.commit() as cycle:
            cycle.append("turns", turns("lost"))

    die_before_head(lose)
    log = store.path / "turns" / "_delta_log"
    newest = max(log.glob("*.json"))
    if damaged == "checkpoint":
        newest.with_suffix(".checkpoint.parquet").write_bytes(b"PAR1")
        (log / "_last_checkpoint").write_text(json.dumps({"version": int(newest.stem), "size": 3}))
    else:
        newest.rename(log / f"{int(newest.stem) + 1:020d}.json")
    add(store, turns("b"))
    assert ids(store.snapshot()) == ["a", "b"]
    with store.commit() as cycle:
        cycle.append("turns", turns("c"))
    assert ids(store.snapshot()) == ["a", "b", "c"]


def test_a_stray_delta_commit_does_not_survive_vacuum(
    store: Store, die_before_head: Callable[[Callable[[], None]], None]
) -> None:
    add(store, turns("a"))

    def lose() -> None:
        with store.commit() as cycle:
            cycle.delete_rows("turns", "true")

    die_before_head(lose)
    vacuum(store, keep_hours=0)
    assert ids(store.snapshot()) == ["a"]


# -- queries ---------------------------------------------------------------------------------------


def test_values_are_bound_and_tables_can_be_joined(store: Store) -> None:
    add(store, turns("a", "b", "c"))
    snapshot = store.snapshot()
    requested = pa.table({"turn_id": ["a", "c", "zzz"]})
    table = snapshot.query(
        "SELECT turn_id FROM turns JOIN requested USING (turn_id) WHERE turn_id <> $no",
        {"no": "a"},
        {"requested": requested},
    )
    assert table["turn_id"].to_pylist() == ["c"]
    with pytest.raises(duckdb.Error):
        snapshot.query("FROM requested")


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM read_text('/etc/hostname')", "COPY turns TO 'out.csv'", "SET threads = 1",
     "FROM '/etc/hostname'"],
)  # fmt: skip
def test_a_query_reaches_nothing_but_the_tables(store: Store, sql: str) -> None:
    add(store, turns("a"))
    with pytest.raises(duckdb.Error):
        store.snapshot().query(sql)


def test_batches_stream_all_rows(store: Store) -> None:
    add(store, turns(*(f"{n:05}" for n in range(5_000))))
    batches = list(store.snapshot().batches("SELECT turn_id FROM turns", rows=1_000))
    assert sum(batch.num_rows for batch in batches) == 5_000
    assert len(batches) > 1


def test_one_snapshot_serves_many_threads(store: Store) -> None:
    add(store, turns(*(f"{n:04}" for n in range(2_000))))
    snapshot = store.snapshot()
    wrong: list[Any] = []

    def ask(n: int) -> None:
        for _ in range(10):
            answer = snapshot.query("SELECT count(*) AS n FROM turns WHERE turn_index < ?", [n])
            if answer["n"].to_pylist() != [n]:
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(100, 900, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_times_are_utc_wherever_the_machine_is(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    add(store, turns("a"))
    day = store.snapshot().query("SELECT started_at::DATE AS d, hour(started_at) AS h FROM turns")
    assert day.to_pylist() == [{"d": date(2024, 5, 1), "h": 9}]


# -- predictions -----------------------------------------------------------------------------------


def test_predictions_come_with_their_rollup(store: Store) -> None:
    add(store, turns("a", "b"), turns("c", day=2))
    table = pa.concat_tables([predictions("a", "b"), predictions("c", day=2)])
    assert commit_predictions(store, table, "m1") == 3
    rollup = store.snapshot().query("SELECT day, turns, sum_p_asr FROM rollup ORDER BY day")
    assert rollup.to_pylist() == [
        {"day": date(2024, 5, 1), "turns": 2, "sum_p_asr": 0.5},
        {"day": date(2024, 5, 2), "turns": 1, "sum_p_asr": 0.25},
    ]


def test_scoring_again_replaces_within_the_model_only(store: Store) -> None:
    add(store, turns("a", "b"))
    commit_predictions(store, predictions("a", "b"), "m1")
    commit_predictions(store, predictions("a", p_asr=0.5), "m1")
    commit_predictions(store, predictions("a", p_asr=0.75), "m2")
    rows = store.snapshot().query(
        "SELECT model_id, turn_id, p_asr FROM predictions ORDER BY model_id, turn_id"
    )
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("m1", "a", 0.5), ("m1", "b", 0.25), ("m2", "a", 0.75)]  # fmt: skip
    sums = store.snapshot().query(
        "SELECT model_id, sum(turns)::INT AS n, sum(sum_p_asr) AS s FROM rollup "
        "GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row.values()) for row in sums.to_pylist()] == [("m1", 2, 0.75), ("m2", 1, 0.75)]


def test_a_turn_deleted_while_it_was_scored_does_not_come_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, turns("a", "b"), turns("moved", day=2))
    import data.store.predictions

    write = data.store.predictions._write

    def meanwhile(*args: Any) -> Any:
        files = write(*args)
        delete(store, turn_ids=["a"])
        with store.commit() as cycle:
            cycle.delete_rows("turns", "turn_id = 'moved'")
            cycle.append("turns", turns("moved", day=3))
        return files

    monkeypatch.setattr(data.store.predictions, "_write", meanwhile)
    table = pa.concat_tables([predictions("a", "b", "gone"), predictions("moved", day=2)])
    assert commit_predictions(store, table, "m1") == 1
    assert ids(store.snapshot(), "predictions") == ["b"]
    assert store.snapshot().query("SELECT sum(turns)::INT AS n FROM rollup").to_pylist() == [
        {"n": 1}
    ]


def test_predictions_can_come_as_files(store: Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    add(store, turns("a", "b", "c"))
    pq.write_table(predictions("a", "b"), tmp_path / "1.parquet")
    pq.write_table(predictions("b", "c"), tmp_path / "2.parquet")
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    assert commit_predictions(store, files, "m1") == 3
    assert ids(store.snapshot(), "predictions") == ["a", "b", "c"]


@pytest.mark.parametrize("model_id", ["", "../x", "a/b", "a=b", "x" * 101])
def test_model_ids_are_plain(store: Store, model_id: str) -> None:
    with pytest.raises(UsageError, match="model id"):
        commit_predictions(store, predictions("a"), model_id)


def test_only_a_model_that_exists_is_promoted(store: Store) -> None:
    with pytest.raises(UsageError, match="there are: none"):
        store.promote("m1")
    (store.models / "m1").mkdir()
    store.promote("m1")
    assert store.head().model == store.snapshot().model == "m1"
    add(store, turns("a"))
    assert store.head().model == "m1"


# -- upkeep ----------------------------------------------------------------------------------------


def test_compaction_keeps_the_rows_and_open_snapshots(store: Store) -> None:
    for n in range(6):
        add(store, turns(f"a{n}"), turns(f"b{n}", day=2))
    before = store.snapshot()
    report = compact(store)
    assert (report.before, report.after) == (12, 2)
    assert ids(store.snapshot()) == ids(before) == ids(store.snapshot(at=before.version))
    assert compact(store).after == 2


def test_vacuum_removes_old_versions_only(store: Store) -> None:
    add(store, turns("a"))
    old = store.snapshot()
    add(store, turns("b"))
    compact(store)
    assert vacuum(store, keep_hours=1).files == 0
    assert ids(store.snapshot(at=old.version)) == ["a"]
    assert vacuum(store, keep_hours=0).files == 2
    assert ids(store.snapshot()) == ["a", "b"]
    with pytest.raises(VersionGone, match="vacuumed"):
        store.snapshot(at=old.version)
    with pytest.raises(VersionGone, match="vacuumed"):
        old.query("FROM turns")


def test_vacuum_drops_the_predictions_of_other_models(store: Store) -> None:
    add(store, turns("a"))
    for model in ("old", "kept", "promoted"):
        commit_predictions(store, predictions("a"), model)
    (store.models / "promoted").mkdir()
    store.promote("promoted")
    vacuum(store, keep_hours=0, keep_models=["kept"])
    models = store.snapshot().query("SELECT DISTINCT model_id AS m FROM predictions ORDER BY m")
    assert models["m"].to_pylist() == ["kept", "promoted"]
    assert store.snapshot().query("SELECT DISTINCT model_id FROM rollup").num_rows == 2


def trained(store: Store, name: str, hours_ago: float) -> None:
    """A model folder, last trained so long ago."""
    folder = store.models / name
    folder.mkdir()
    (folder / "booster.txt").write_text("tree")
    then = time.time() - hours_ago * 3600
    os.utime(folder, (then, then))


@pytest.fixture
def models(store: Store) -> Store:
    """A store with an old model of each kind, a young one, and what killed trainings left."""
    add(store, turns("a"))
    for name in ("promoted", "scored", "unused"):
        trained(store, name, 1000)
    trained(store, "young", 30)
    trained(store, "new", 1)
    trained(store, ".draft-old", 30)
    trained(store, ".draft-new", 1)
    store.promote("promoted")
    commit_predictions(store, predictions("a"), "scored")
    return store


@pytest.mark.parametrize(
    ("keep_hours", "removed"), [(168, {"unused"}), (1001, set()), (0, {"unused", "young"})]
)
def test_vacuum_removes_old_models_without_predictions(
    models: Store, keep_hours: float, removed: set[str]
) -> None:
    """Never one trained within a day: it may wait to be tried while a user's data has to go."""
    existing = set(models.model_ids())
    report = vacuum(models, keep_hours=keep_hours)
    assert set(report.models) == removed == existing - set(models.model_ids())
    # Nothing else is superseded here; a dead draft counts as files, not as a model.
    assert report.files == len(removed) + 1
    assert [path.name for path in models.models.glob(".*")] == [".draft-new"]
    assert not list((models.path / ".staging").glob("*/*"))


def test_a_model_whose_predictions_are_deleted_may_go(models: Store) -> None:
    delete(models, turn_ids=["a"])
    assert vacuum(models).models == ("scored", "unused")


def test_keeping_only_some_models_drops_even_new_ones(models: Store) -> None:
    assert vacuum(models, keep_models=["young"]).models == ("new", "scored", "unused")
    assert models.model_ids() == ["promoted", "young"]
    assert models.snapshot().counts()["predictions"] == 0


def test_deletion_and_vacuum_leave_no_byte_of_a_user(store: Store) -> None:
    user, dialogue = "user-83f1c2", "dialogue-77ab01"
    add(store, turns("x1", "x2", user=user, dialogue=dialogue), turns("y1", user="someone"))
    commit_predictions(store, predictions("x1", "x2", "y1"), "m1")
    quarantined = {"file": "f", "line": 1, "excerpt": f'{{"user_id": "{user}"}}'}
    with store.commit() as cycle:
        cycle.append(
            "quarantine", pa.Table.from_pylist([quarantined], schema=TABLES["quarantine"].schema)
        )
    report = delete(store, user_ids=[user], dialogue_ids=[dialogue])
    assert (report.turns, report.predictions, report.quarantined) == (2, 2, 1)
    assert "vacuum" in str(report)
    assert store.snapshot().query("SELECT sum(turns)::INT AS n FROM rollup").to_pylist() == [
        {"n": 1}
    ]
    vacuum(store, keep_hours=0)
    for path in store.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert user.encode() not in content, path
            assert dialogue.encode() not in content, path
    assert ids(store.snapshot()) == ["y1"]


def test_retention_drops_whole_days_everywhere(store: Store) -> None:
    add(store, turns("a"), turns("b", day=20))
    table = pa.concat_tables([predictions("a"), predictions("b", day=20)])
    commit_predictions(store, table, "m1")
    retain(store, days=10, today=date(2024, 5, 25))
    snapshot = store.snapshot()
    assert ids(snapshot) == ids(snapshot, "predictions") == ["b"]
    assert snapshot.counts()["rollup"] == 1


def test_quotes_in_ids_do_no_harm(store: Store) -> None:
    add(store, turns("a'); DROP TABLE turns; --", 'b"c', dialogue="o'neil"))
    assert delete(store, dialogue_ids=["o'neil"]).turns == 2
