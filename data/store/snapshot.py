"""A snapshot: every table of the store at one version, as SQL views, read without a lock."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol, Self

import duckdb
import pyarrow as pa

from data.errors import StoreDamaged
from data.schema.access import EVERYTHING, Access
from data.schema.columns import sql_type
from data.schema.layout import TABLES, Layout
from data.store.head import Contents
from data.store.limits import limited_sql
from data.store.limits import literal as literal
from data.store.model_folders import learned_from_people, level_is_assumed

# Whether the date of a turn is possible, see `data.store.misdated`. A store without turns that are
# misdated does not pay for looking them up.
_DATED = "CREATE MACRO dated(id) AS id NOT IN (SELECT turn_id FROM misdated)"
_ALL_DATED = "CREATE MACRO dated(id) AS true"

# A file of the table `turns` with every field and no row, written by:
# python -m data.store.snapshot
FULL_SCHEMA = Path(__file__).parent / "full_schema" / "day=1970-01-01" / "turns.parquet"

_EMPTY: dict[str, str] = {}

# A name that is no table's is opened as a file, by this function; the views use another.
_NO_FILES = (
    "CREATE MACRO parquet_scan(file) AS TABLE SELECT error('Files cannot be read here.') AS file"
)

Params = Sequence[Any] | Mapping[str, Any]
# Needed by a macro that many statements use, and small.
_ALWAYS = ("misdated",)
_NOTHING = Contents(0, 0, 0)


class Source(Protocol):
    """Where the files of a snapshot come from that are not on this machine yet."""

    def fetch(self, name: str) -> None:
        """Have the files of a table on disk, and keep them there until `close`."""

    def mend(self) -> None:
        """Take damaged files away, so that they are fetched again."""

    def close(self) -> None:
        """Need the files no longer."""


class _Fetched(Mapping[str, tuple[Path, ...]]):
    """The files of each table, which are there once somebody has asked for them."""

    def __init__(self, files: Mapping[str, tuple[Path, ...]], fetch: Callable[[str], None]) -> None:
        self._files = files
        self._fetch = fetch

    def __getitem__(self, name: str) -> tuple[Path, ...]:
        self._fetch(name)
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class Snapshot:
    """The tables at one version, for any number of threads.

    The views are named as the tables (`turns`, `predictions`, ...). Nothing but their Parquet files
    can be read through them: the connection has no access to other files, to the network or to
    Python variables.

    Parameters
    ----------
    version
        The version string shown to people and put into links, e.g. `t12.p9.r9.u3`.
    files
        Table name -> absolute paths of its live Parquet files.
    rows
        Table name -> number of rows, taken from the log without reading a file.
    days
        For tables partitioned by day: table name -> day (ISO date) -> rows, from the log as well.
    memory
        DuckDB's memory limit; beyond it, sorts and joins spill to `spill`.
    models
        The folder of the store's models.
    access
        Whose snapshot it is: the views hold what they may see, and the files of tables of which
        they may see nothing are left out.
    explain
        Turns an error of DuckDB into the one to raise, where a file is damaged or has been removed.
    source
        Where the files are fetched from, table by table, when a statement names it; None if they
        are on disk.
    """

    def __init__(
        self,
        version: str,
        files: Mapping[str, Sequence[Path]],
        rows: Mapping[str, int],
        *,
        days: Mapping[str, Mapping[str, int]] | None = None,
        memory: str = "2GB",
        spill: Path | None = None,
        model: str | None = None,
        models: Path | None = None,
        explain: Callable[[Exception], Exception] | None = None,
        access: Access = EVERYTHING,
        source: Source | None = None,
        contents: Mapping[str, Contents] | None = None,
    ) -> None:
        self.version = version
        self.model = model
        self._models = models
        self.access = access
        seen = {name for name in TABLES if access.reads(name)}
        listed = {name: tuple(files.get(name, ())) if name in seen else () for name in TABLES}
        # How much each table holds, from the log; only for snapshots made by `Store`.
        self.contents = {
            name: (contents or {}).get(name, _NOTHING) if name in seen else _NOTHING
            for name in TABLES
        }
        self._source = source
        self._fetching = threading.RLock()
        self._views = set(listed) if source is None else set()
        self._listed = listed
        self.files: Mapping[str, tuple[Path, ...]] = listed
        if source is not None:
            self.files = _Fetched(listed, source.fetch)
            weakref.finalize(self, source.close)
            # The views of somebody with limits read other tables as well.
            for name in _ALWAYS if access.everything else [n for n in TABLES if listed[n]]:
                source.fetch(name)
                self._views.add(name)
        self._rows = {name: rows.get(name, 0) if name in seen else 0 for name in TABLES}
        self._days = dict(days or {})
        self._counted = False
        self._lock = threading.Lock()
        self.spill = spill
        self._explain = explain
        try:
            later = listed.keys() - self._views
            self._con = connect(listed, memory, spill, access=access, later=later)
        except duckdb.Error as error:
            raise self.explained(error) from error

    def query(
        self,
        sql: str,
        params: Params | None = None,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Run one SELECT and return all of its rows.

        `params` are bound to `?` (a sequence) or `$name` (a mapping); `tables` are Arrow tables
        that the statement may name besides the views. Raises `VersionGone` if a file of this
        version has been vacuumed meanwhile, `StoreDamaged` if one is damaged, and DuckDB's own
        error if the statement is wrong.
        """
        try:
            return self._query(sql, params, tables)
        except StoreDamaged:
            if self._source is None:
                raise
            # What is damaged is only a copy.
            self._source.mend()
            return self._query(sql, params, tables)

    def _query(
        self, sql: str, params: Params | None, tables: Mapping[str, pa.Table] | None
    ) -> pa.Table:
        self._fetch_for(sql)
        cursor = self._cursor(tables)
        try:
            table: pa.Table = cursor.sql(sql, params=params).to_arrow_table()
            return table
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self.explained(error) from error
        finally:
            cursor.close()

    def batches(
        self,
        sql: str,
        params: Params | None = None,
        rows: int = 50_000,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows of one SELECT in record batches of about `rows` rows; see `query`."""
        self._fetch_for(sql)
        cursor = self._cursor(tables)
        try:
            yield from cursor.sql(sql, params=params).to_arrow_reader(rows)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self.explained(error) from error
        finally:
            cursor.close()

    def _fetch_for(self, sql: str) -> None:
        """Have the files of all tables that a statement may read, and their views."""
        if self._source is None:
            return
        lower = sql.lower()
        with self._fetching:
            for name, paths in self._listed.items():
                if not paths or name not in lower:
                    continue
                self._source.fetch(name)
                if name not in self._views:
                    try:
                        with self._lock:
                            self._con.execute(_view(name, paths, self.access))
                    except duckdb.Error as error:
                        raise self.explained(error) from error
                    self._views.add(name)

    def fingerprint(self, *names: str) -> str:
        """A digest of what some views are made of; where it is the same, so are their rows.

        names: the tables that the views are read from; that of turns also reads `misdated`.
        """
        files = {name: sorted(path.name for path in self._listed[name]) for name in names}
        made_of = json.dumps([files, repr(self.access)], sort_keys=True)
        return hashlib.sha256(made_of.encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        if self.access.limited and not self._counted:
            # The log counts everybody's.
            counts = " UNION ALL ".join(
                f"SELECT '{name}' AS name, count(*) AS rows FROM \"{name}\""
                for name, rows in self._rows.items()
                if rows
            )
            found = self.query(counts).to_pylist() if counts else []
            self._rows |= {row["name"]: row["rows"] for row in found}
            self._counted = True
        return dict(self._rows)

    def rows_by_day(self, name: str) -> dict[date, int]:
        """Rows per day of a table partitioned by day; only for snapshots made by `Store`."""
        if self.access.limited:
            rows = self.query(f'SELECT day, count(*) AS rows FROM "{name}" GROUP BY 1').to_pylist()
            return {row["day"]: row["rows"] for row in rows}
        return {date.fromisoformat(day): rows for day, rows in self._days[name].items()}

    def learned_from_people(self, model: str | None) -> bool:
        """Whether the verdicts of a model rest on labels of people.

        See `data.store.model_folders.learned_from_people`; true without a model, which has no
        verdicts.
        """
        return not model or self._models is None or learned_from_people(self._models, model)

    def level_is_assumed(self, model: str | None) -> bool:
        """Whether rates of a model are estimates although people's verdicts were learned from.

        See `data.store.model_folders.level_is_assumed`; false without a model.
        """
        return bool(model and self._models and level_is_assumed(self._models, model))

    def explained(self, error: Exception) -> Exception:
        """The error to raise for one that came of reading the snapshot's files.

        `VersionGone` or `StoreDamaged` if a file is why, else `error` itself.
        """
        return self._explain(error) if self._explain else error

    def close(self) -> None:
        self._con.close()
        if self._source is not None:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _cursor(self, tables: Mapping[str, pa.Table] | None) -> duckdb.DuckDBPyConnection:
        # Creating a cursor uses the parent connection, which is not thread-safe; a query does not.
        with self._lock:
            cursor = self._con.cursor()
        for name, table in (tables or {}).items():
            cursor.register(name, table)
        return cursor


def connect(
    files: Mapping[str, Sequence[Path]],
    memory: str,
    spill: Path | None,
    writable: Sequence[Path] = (),
    before_lock: Sequence[str] = (),
    access: Access = EVERYTHING,
    walled: bool = False,
    later: Collection[str] = (),
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the tables as views, limited to their files and to `writable`.

    `before_lock` are statements of the caller, run before the settings are locked. The views hold
    what `access` allows; `walled` says that statements of users will run on them, see
    `data.store.limits`. Tables in `later` get no view yet, as their files may not be there. Raises
    DuckDB's error if a file is damaged.
    """
    con = duckdb.connect(
        config={
            "memory_limit": memory,
            "temp_directory": str(spill or Path(tempfile.gettempdir()) / "faultline"),
            "python_enable_replacements": False,
        }
    )
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    for name, paths in files.items():
        if not paths:
            con.execute(_empty(con, name))
    allowed = [*(path for paths in files.values() for path in paths), FULL_SCHEMA, *writable]
    con.execute(f"SET allowed_paths = [{_literals(allowed)}]")
    con.execute("SET enable_external_access = false")
    for name, paths in files.items():
        if paths and name not in later:
            con.execute(_view(name, paths, access, walled))
    con.execute(_DATED if files.get("misdated") else _ALL_DATED)
    if walled:
        con.execute(_NO_FILES)
    for sql in before_lock:
        con.execute(sql)
    con.execute("SET lock_configuration = true")
    return con


def empty_tables(names: Collection[str]) -> duckdb.DuckDBPyConnection:
    """A connection with these tables, all of them empty, and without access to any file."""
    con = duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": "100MB",
            "python_enable_replacements": False,
            "enable_external_access": False,
        }
    )
    for name in names:
        con.execute(_empty(con, name))
    con.execute(_ALL_DATED)
    return con


def _view(name: str, paths: Sequence[Path], access: Access, walled: bool = False) -> str:
    """SQL that creates the view of a table's files."""
    rows = limited_sql(name, scan(TABLES[name], paths), access, walled)
    return f'CREATE VIEW "{name}" AS {rows}'


def _empty(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """SQL that creates a table without rows.

    Written once per process: registering an Arrow table takes longer than creating one, and every
    connection needs most of the tables.
    """
    if name not in _EMPTY:
        kinds = con.from_arrow(TABLES[name].schema.empty_table()).types
        columns = (f'"{n}" {kind}' for n, kind in zip(TABLES[name].columns, kinds, strict=True))
        _EMPTY[name] = f'CREATE TABLE "{name}" ({", ".join(columns)})'
    return _EMPTY[name]


def scan(table: Layout, paths: Sequence[Path], extra: str = "") -> str:
    """SQL that reads the given files of one table, columns in the order of its schema.

    The columns are listed, because a `name=value` folder above the store would otherwise become a
    partition column.
    """
    columns = ", ".join(f'"{name}"' for name in table.columns)
    types = {n: "DATE" if pa.types.is_date(table.schema.field(n).type) else "VARCHAR"
             for n in table.partition}  # fmt: skip
    hive = ", ".join(f"'{name}': {kind}" for name, kind in types.items())
    partitioned = f", hive_partitioning = true, hive_types = {{{hive}}}" if hive else ""
    files = f"[{_literals(paths)}]{partitioned or ', hive_partitioning = false'}"
    added = [*table.added]
    if table.grown and any("=" in part for part in paths[0].parts[: -1 - len(table.partition)]):
        # Every file would need the partitions that the store's own folder seems to have.
        added += table.grown
    elif table.grown:
        # The first file decides which fields a nested column has; the others may lack some.
        files = files.replace("[", f"[{literal(FULL_SCHEMA)}, ", 1)
    if not added:
        return f"SELECT {columns}{extra} FROM read_parquet({files})"
    nulls = ", ".join(
        f'NULL::{sql_type(table.schema.field(name).type)} AS "{name}"' for name in added
    )
    return (
        f"SELECT {columns}{extra} FROM ("
        f"SELECT *{extra} FROM read_parquet({files}, union_by_name = true) "
        f"UNION ALL BY NAME SELECT {nulls} WHERE false)"
    )


def _literals(paths: Sequence[Path]) -> str:
    return ", ".join(literal(path) for path in paths)


if __name__ == "__main__":
    import pyarrow.parquet as pq

    layout = TABLES["turns"]
    FULL_SCHEMA.parent.mkdir(parents=True, exist_ok=True)
    kept = pa.schema([layout.schema.field(name) for name in layout.stored])
    pq.write_table(kept.empty_table(), FULL_SCHEMA)
