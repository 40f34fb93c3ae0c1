"""A user's statement can read the snapshot's tables and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from data.errors import UsageError
from data.export import sandbox
from data.export.sandbox import (
    Limits,
    Stopped,
    run,
    start,
)
from data.queries.filters import Filter, Range
from data.store.store import Store
from tests.scored import MODEL

SHORT = Limits(seconds=2.0, megabytes=200, rows=100)


def refused(store: Store, sql: str, limits: Limits = SHORT) -> str:
    with store.snapshot() as snapshot, pytest.raises(UsageError) as caught:
        run(snapshot, sql, model=MODEL, limits=limits)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".") or "example" in message
    return message


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 42 AS x", 1),
        ("FROM turns LIMIT 3", 3),
        ("select 1; -- the end", 1),
        ("/* ; DROP */ SELECT 1 -- x", 1),
        ("SELECT 'héllo \u202e 👩\u200d👧' AS \"naïve\"", 1),
        ("WITH a AS (SELECT 1 AS x) SELECT * FROM a, a AS b", None),
        ("DESCRIBE turns", None),
        ("SELECT unnest(range(5)) AS x", 5),
        ("SELECT x FROM generate_series(1, 5) AS t(x)", 5),
        ("WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a WHERE x < 9) FROM a", 9),
    ],
)
def test_a_select_gives_its_rows(scored_store: Store, sql: str, rows: int | None) -> None:
    with scored_store.snapshot() as snapshot:
        if sql.startswith("WITH a"):
            with pytest.raises(UsageError, match="same name"):
                run(snapshot, sql, model=MODEL)
            return
        answer = run(snapshot, sql, model=MODEL)
    assert answer.table.num_rows == answer.rows
    assert rows is None or answer.rows == rows


def test_slice_is_what_the_filter_leaves(scored_store: Store) -> None:
    chosen = Filter(locale=("en-GB",), confidence=Range(0.25, 0.75), text="it's 'song'")
    chosen_too = Filter(locale=("en-GB",), confidence=Range(0.25, 0.75))
    with scored_store.snapshot() as snapshot:
        for filter_ in (chosen, chosen_too):
            clause, params = filter_.sql()
            expected = snapshot.query(
                f"SELECT count(*) AS n FROM predictions WHERE model_id = $model AND {clause}",
                {"model": MODEL, **params},
            )["n"][0].as_py()
            answer = run(snapshot, "SELECT count(*) AS n FROM slice", model=MODEL, chosen=filter_)
            assert answer.table["n"].to_pylist() == [expected]
    assert expected > 0


# A process for each of the many statements.
@pytest.mark.long
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("COPY turns TO '/tmp/faultline-leak.csv'", "not a SELECT"),
        ("ATTACH '/tmp/faultline-leak.db'", "not a SELECT"),
        ("PRAGMA version", "not a SELECT"),
        ("SET memory_limit = '99GB'", "not a SELECT"),
        ("SET lock_configuration = false", "not a SELECT"),
        ("INSTALL httpfs", "not a SELECT"),
        ("LOAD httpfs", "not a SELECT"),
        ("CREATE TABLE x AS SELECT 1", "not a SELECT"),
        ("INSERT INTO turns FROM turns", "not a SELECT"),
        ("DELETE FROM turns", "not a SELECT"),
        ("EXPORT DATABASE '/tmp/faultline-leak'", "not a SELECT"),
        ("CALL pragma_version()", "not a SELECT"),
        ("EXPLAIN ANALYZE SELECT 1", "not a SELECT"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT 1; DROP VIEW turns", "2 statements"),
        ("", "no statement"),
        ("-- nothing", "no statement"),
        ("SELECT \0 1", "NUL"),
        ("SELECT '\ud800'", "invalid character"),
        ("SELEC 1", "syntax error"),
        ("SELECT nosuch FROM turns", "nosuch"),
        ("SELECT \u202e1", "DuckDB"),
        ("SELECT 1 AS a, 2 AS a", "same name"),
        ("SELECT x FROM (VALUES (1)) t(x) WHERE x = $a", "DuckDB"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "depth"),
        ("FROM read_csv('/etc/passwd')", "read_csv"),
        ("FROM '/etc/passwd'", "no table"),
        ("FROM read_parquet('/tmp/x.parquet')", "read_parquet"),
        ("FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT (SELECT content FROM read_blob('/etc/passwd'))", "read_blob"),
        ("FROM turns WHERE turn_id IN (FROM '/etc/hostname')", "no table"),
        ("FROM turns t, LATERAL (FROM glob('/*'))", "glob"),
        ("WITH a AS MATERIALIZED (FROM glob('/*')) FROM a", "glob"),
        ("FROM query('FROM glob(''/*'')')", "query"),
        ("FROM query_table('turns')", "query_table"),
        ("FROM json_execute_serialized_sql('{}')", "json_execute"),
        ("FROM pandas_scan(1)", "pandas_scan"),
        ("FROM arrow_scan(1, 2, 3)", "arrow_scan"),
        ("FROM python_map_function(1)", "python_map_function"),
        ("FROM duckdb_views()", "duckdb_views"),
        ("FROM duckdb_settings()", "duckdb_settings"),
        ("FROM sqlite_master", "no table"),
        ("FROM information_schema.tables", "no table"),
        ("FROM system.main.duckdb_views", "no table"),
        ("WITH duckdb_views AS (SELECT 1) FROM duckdb_views", "cannot be called"),
        ("FROM enable_profiling()", "enable_profiling"),
        ("SELECT getenv('HOME')", "getenv"),
        ("SELECT GETENV('HOME')", "getenv"),
        ("SELECT current_setting('temp_directory')", "current_setting"),
        ("SELECT getvariable('x')", "getvariable"),
        ("SELECT write_log('x')", "write_log"),
        ("SELECT request", "DuckDB"),
    ],
)
def test_everything_else_is_refused_in_one_sentence(
    scored_store: Store, sql: str, reason: str
) -> None:
    assert reason in refused(scored_store, sql)
    assert not Path("/tmp/faultline-leak.csv").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM generate_series(1, 1000000000000) a, generate_series(1, 1000000) b",
        "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a) SELECT count(*) FROM a",
        "SELECT levenshtein(repeat('a', 100000), repeat('b', 100000))",
    ],
)
def test_a_statement_ends_at_its_time_limit(scored_store: Store, sql: str) -> None:
    began = time.monotonic()
    assert "interrupted after 2 seconds" in refused(scored_store, sql)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(x) AS l FROM range(1000000000) t(x)",
        "SELECT string_agg(turn_id, '') AS l FROM turns, range(1000000)",
        "SELECT repeat('x', 2000000000) AS l",
    ],
)
def test_a_statement_ends_at_its_memory_limit(scored_store: Store, sql: str) -> None:
    assert "MB" in refused(scored_store, sql, Limits(seconds=20, megabytes=200))


def test_a_cut_answer_says_so(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        answer = run(snapshot, "FROM range(101)", limits=SHORT)
        assert (answer.rows, answer.cut) == (100, True)
        assert not run(snapshot, "FROM range(100)", limits=SHORT).cut


def test_a_statement_can_be_stopped(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        running = start(snapshot, "SELECT count(*) FROM range(1000000000000) a, range(9) b")
        time.sleep(0.3)
        assert not running.done
        running.stop()
        with pytest.raises(Stopped):
            running.answer()
        assert running.done


def test_unlimited_rows_go_to_a_file(scored_store: Store, tmp_path: Path) -> None:
    with scored_store.snapshot() as snapshot:
        to = tmp_path / "out.csv"
        answer = run(snapshot, "SELECT '=1+1' AS a FROM range(200)", to=to, limits=SHORT)
    assert answer.rows == 200
    assert to.read_text().splitlines()[:2] == ["a", '"\'=1+1"']


def test_the_size_of_a_file_is_limited(scored_store: Store, tmp_path: Path) -> None:
    small = Limits(seconds=20, megabytes=200, file_megabytes=1)
    sql = "SELECT repeat(md5(x::VARCHAR), 9) AS a FROM range(100000) t(x)"
    with scored_store.snapshot() as snapshot, pytest.raises(UsageError, match="larger than 1 MB"):
        run(snapshot, sql, to=tmp_path / "out.csv", limits=small)


def test_a_waiting_statement_can_be_stopped_and_its_wait_counts(scored_store: Store) -> None:
    slots = [sandbox._RUNNING.acquire(timeout=30) for _ in range(4)]
    try:
        with scored_store.snapshot() as snapshot:
            waiting = start(snapshot, "SELECT 1", limits=Limits(seconds=60))
            waiting.stop()
            with pytest.raises(Stopped):
                waiting.answer()
            assert waiting.seconds < 30
            with pytest.raises(UsageError, match="Too many statements"):
                run(snapshot, "SELECT 1", limits=Limits(seconds=0.3))
    finally:
        for _ in slots:
            sandbox._RUNNING.release()
