"""Hundreds of hostile statements: each is refused in one sentence, ends at a limit, or is harmless.

Whatever the outcome, no content of a file, no variable of the environment and no verdict that waits
for a second opinion is in what the sandbox's process writes.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data.errors import UsageError
from data.export.sandbox import Limits, read_answer, slice_sql, visible_files
from data.queries.filters import Filter
from data.queries.visibility import Reader
from data.schema.access import EVERYTHING
from data.store.annotations import SHARE, annotate
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.workspace import put_setting
from tests.data.sql_attacks import ATTACKS, BOMBS, HARMLESS, LIMITS, REFUSED, SCOPES, VERDICTS
from tests.sandbox_server import Server
from tests.scored import MODEL

SECRET = "S3cretNobodyMayRead"
QUICK = Limits(seconds=5, megabytes=200, rows=100, result_megabytes=2)
BOMBED = Limits(seconds=1, megabytes=150, rows=100, result_megabytes=2)
# Beside the time itself: the process may take 2 seconds to end, and some to start.
GRACE_S = 8


@dataclass
class Sandbox:
    """The sandbox's process code over a store with hidden verdicts; see `tests.sandbox_server`."""

    server: Server
    request: dict[str, Any]
    snapshot: Snapshot
    folder: Path
    spill: Path

    def outcome(self, sql: str, limits: Limits, reader: str | None = None) -> tuple[str, str]:
        """The kind of outcome, and everything that came of it as text."""
        who = Reader.of(self.snapshot, reader)
        files = visible_files(self.snapshot, who, sql, self.spill)
        output, code = self.server.output({**self.request, "files": files, "sql": sql}, limits)
        seen = output.decode("utf-8", "replace")
        try:
            answer = read_answer(output, code, limits)
        except UsageError as error:
            message = str(error)
            ended = ("MB", "interrupted after")
            return (LIMITS if any(word in message for word in ended) else REFUSED), message + seen
        assert answer.rows <= limits.rows
        return HARMLESS, seen


@pytest.fixture(scope="module")
def sandbox(scored_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("attacked")
    store = Store.open(shutil.copytree(scored_store.path, folder / "store"))
    put_setting(store, SHARE, 1.0)
    with store.snapshot() as snapshot:
        turns = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns ORDER BY turn_id LIMIT 3"
        )
    for turn in turns.to_pylist():
        annotate(store, turn, f"bob {SECRET}", "er", note=SECRET, transcript=SECRET, intent=SECRET,
                 slots=[{"name": SECRET, "value": SECRET}])  # fmt: skip
    outside = folder / "outside"
    outside.mkdir()
    for suffix in ("csv", "json", "so", "txt"):
        (outside / f"secret.{suffix}").write_text(f'{{"secret": "{SECRET}"}}\n')
    with duckdb.connect(str(outside / "secret.duckdb")) as con:
        con.execute(f"CREATE TABLE secret AS SELECT '{SECRET}' AS secret")
        con.execute(f"COPY secret TO '{outside / 'secret.parquet'}'")
    with sqlite3.connect(outside / "secret.sqlite") as other:
        other.execute(f"CREATE TABLE secret AS SELECT '{SECRET}' AS secret")
    spill = folder / "spill"
    spill.mkdir()
    server = Server({"FAULTLINE_SECRET": SECRET, "HOME": f"/{SECRET}"})
    request = {
        "slice": slice_sql(MODEL, Filter()),
        "to": None,
        "spill": str(spill),
        "access": asdict(EVERYTHING),
    }
    with store.snapshot() as snapshot:
        yield Sandbox(server, request, snapshot, outside, spill)
    server.close()


def filled(sandbox: Sandbox, sql: str) -> str:
    """A statement of the list with the paths of this store and its folder of secrets."""
    files = sandbox.snapshot.files
    hidden, turns = files["annotations"][0], files["turns"][0]
    for name, path in (("folder", sandbox.folder), ("hidden", hidden), ("turns", turns)):
        sql = sql.replace(f"{{{name}}}", str(path))
    return sql.replace("{{", "{").replace("}}", "}")


def test_the_list_is_long_and_has_no_statement_twice() -> None:
    statements = [sql for sql, _ in [*ATTACKS, *BOMBS]]
    assert len(statements) == len(set(statements)) >= 300


def _check(sandbox: Sandbox, sql: str, expected: set[str], limits: Limits) -> None:
    kind, seen = sandbox.outcome(filled(sandbox, sql), limits)
    assert kind in expected, f"{sql[:200]}: {seen[:300]}"
    # The statement itself never names the secret.
    assert SECRET not in seen, sql[:200]
    assert str(sandbox.spill) not in seen.replace("…", ""), sql[:200]
    assert not list(sandbox.folder.glob("leak*"))
    if kind != HARMLESS:
        sentence = seen.split('{"error"')[0].split('{"late"')[0]
        assert "\n" not in sentence.strip()
        assert "Traceback" not in sentence


# With `make test` one in so many runs, with `make exam` all.
_EVERY = 12


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param(
            sql,
            expected,
            marks=[] if i % _EVERY == 0 or (sql, expected) in SCOPES else pytest.mark.long,
            id=str(i),
        )
        for i, (sql, expected) in enumerate(ATTACKS)
    ],
)
def test_an_attack_comes_to_nothing(sandbox: Sandbox, sql: str, expected: set[str]) -> None:
    _check(sandbox, sql, expected, QUICK)


@pytest.mark.long
@pytest.mark.parametrize("sql", [sql for sql, _ in BOMBS], ids=range(len(BOMBS)))
def test_a_bomb_ends_within_the_limits(sandbox: Sandbox, sql: str) -> None:
    began = time.monotonic()
    _check(sandbox, sql, {HARMLESS, LIMITS, REFUSED}, BOMBED)
    assert time.monotonic() - began < 2 * (BOMBED.seconds + GRACE_S)


@pytest.mark.long
def test_the_same_attempts_show_the_annotator_their_own_verdicts(sandbox: Sandbox) -> None:
    # So the list asks for what is there, and only the reader makes the difference.
    shown = sum(
        SECRET in sandbox.outcome(filled(sandbox, sql), QUICK, f"bob {SECRET}")[1]
        for sql, _ in VERDICTS
    )
    assert shown > len(VERDICTS) / 3


def test_every_function_that_reads_the_servers_state_is_closed() -> None:
    """DuckDB's own list: a new version may have new ones, also behind a macro."""
    from data.export.one_select import only_select

    with duckdb.connect() as con:
        macros = con.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'macro' "
            "AND regexp_matches(macro_definition, "
            "'duckdb_|pg_catalog|getenv|setting|getvariable|sleep|query_table|read_|glob\\(')"
        ).fetchall()
        volatile = con.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"
        ).fetchall()
        harmless = {"random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "error", "vector_type"}
        names = {name for (name,) in [*macros, *volatile]} - harmless
        assert "sleep_ms" in names
        for name in sorted(names):
            with pytest.raises(UsageError, match="cannot be used here"):
                only_select(con, f'SELECT "{name}"(1)', {"turns"})
