"""Notices damage: files that the newest version needs and that are missing, cut short or changed.

Whenever a table is opened, the files of its log are compared with their checksums in HEAD.json,
what the log lists with what HEAD.json says it holds, and each file's size with the log. The bytes
of up to 64 MB of files are compared with their checksums as well, each file once in a process. What
lies beyond is noticed when a query fails on it, and by `faultline doctor`, which reads everything.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from data.counted import counted, number
from data.errors import StoreDamaged, StoreError, VersionGone, machine_error
from data.schema.layout import TABLES
from data.store.delta_log import commit_of, live_files, log_file
from data.store.head import Contents, Head, LogChecksums, read_head
from data.store.log_damage import CHANGED, changed_logs, log_damage
from data.store.parquet import DataFile, checksum, stated_checksum
from data.store.remote.address import mirrored_at

# Bytes of a table's files that are read when it is opened, the smallest first: 64 MB take 20 ms.
_READ_AT_ONCE = 64 << 20
_MAGIC = b"PAR1"
# (path, size, time of modification) of the files whose bytes this process has read and found whole.
_whole: set[tuple[str, int, int]] = set()


@dataclass(frozen=True)
class Damage:
    """A damaged file, what is wrong with it ("is empty"), and the table or model it belongs to."""

    path: Path
    what: str
    table: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.path} {self.what}"

    def error(self, root: Path) -> StoreDamaged:
        return StoreDamaged.by(root, self.path, self.what)


def must_be_whole(
    root: Path,
    name: str,
    version: int,
    files: Mapping[str, DataFile],
    contents: Contents | None,
    logs: LogChecksums | None,
) -> None:
    """Raise `StoreDamaged` if the files of a table's version are not whole; see this module.

    `contents` is what HEAD.json says of it. Without, as for an older version, its own commit is
    asked, and if an earlier Faultline wrote that, the log has to be whole. `logs` is what HEAD.json
    says of the newest version's log, of which an older version's is a part.
    """
    for path in changed_logs(root, name, version, logs):
        raise StoreDamaged.by(root, *(log_damage(root, name, version, logs) or (path, CHANGED)))
    stated = None if contents or not version else commit_of(root, name, version)
    expected = contents or (stated.contents if stated else None)
    suspicious = Contents.of(files.values()) != expected if expected else version > 0
    if suspicious:
        found = log_damage(root, name, version, logs)
        if expected and not found:
            found = log_file(root, name, version), "lists other files than it did"
        if found:
            raise StoreDamaged.by(root, *found)
    for damage in damaged_files(root, name, files.values(), _READ_AT_ONCE):
        raise damage.error(root)


def damaged_files(
    root: Path, name: str, files: Iterable[DataFile], limit: float = math.inf
) -> Iterator[Damage]:
    """The damaged ones among files of a table, of which at most `limit` bytes are read.

    In a mirror (`data.store.remote`) files may be missing. Without a limit all are read, and
    those of an earlier version, which have no checksum, are decoded.
    """
    everything = limit == math.inf
    # What nobody has asked for yet is not there.
    complete = mirrored_at(root) is None
    unread: list[tuple[int, Path, DataFile, tuple[str, int, int]]] = []
    for file in files:
        path = root / name / file.path
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            if complete:
                yield Damage(path, "is missing", name)
            continue
        if stat.st_size != file.size:
            yield Damage(path, _changed_size(stat.st_size, file.size), name)
            continue
        known = (str(path), stat.st_size, stat.st_mtime_ns)
        if everything or known not in _whole:
            unread.append((file.size, path, file, known))
    for size, path, file, known in sorted(unread, key=lambda one: one[0]):
        limit -= size
        if limit < 0:
            break
        if what := _damaged_bytes(path, file.rows, everything):
            yield Damage(path, what, name)
        else:
            _whole.add(known)


def damages(root: Path, head: Head) -> Iterator[Damage]:
    """Everything that is damaged of the tables at the version of `head`, read in full."""
    for name in TABLES:
        version = head.tables.get(name, 0)
        if not version and not (root / name).exists():
            continue
        if found := log_damage(root, name, version, head.logs.get(name)):
            yield Damage(*found, name)
            continue
        try:
            files = live_files(root, name, version)
        except VersionGone:
            yield Damage(log_file(root, name, version), "cannot be read", name)
            continue
        contents = head.contents.get(name)
        if contents and Contents.of(files.values()) != contents:
            what = "lists other files than it did"
            yield Damage(log_file(root, name, version), what, name)
        yield from damaged_files(root, name, files.values())


def explained(root: Path, error: Exception) -> Exception:
    """The error to show for one that came of reading the newest version: `StoreDamaged`, or itself.

    Reads the whole store if the error may come of damage.
    """
    if problem := machine_error(error, root):
        return problem
    if not may_be_damage(error):
        return error
    try:
        head = read_head(root)
    except StoreError as other:
        return other
    found = next(damages(root, head), None)
    return found.error(root) if found else error


def explainer(
    root: Path, version: str, files: Mapping[str, Mapping[str, DataFile]]
) -> Callable[[Exception], Exception]:
    """`explained` for a snapshot of any version with these files; also `VersionGone`."""

    def explain(error: Exception) -> Exception:
        if problem := machine_error(error, root):
            return problem
        if not may_be_damage(error):
            return error
        # A statement that needs much memory is more likely than a damaged length.
        limit = _READ_AT_ONCE if isinstance(error, duckdb.OutOfMemoryException) else math.inf
        for name, listed in files.items():
            for damage in damaged_files(root, name, listed.values(), limit):
                needed = [root / name / path for path in newest_files(root, name)]
                if damage.path in needed or damage.path.exists():
                    return damage.error(root)
                return VersionGone.vacuumed(version)
        return error

    return explain


def newest_files(root: Path, name: str) -> dict[str, DataFile]:
    """The files of a table at the version that HEAD.json names; empty if they cannot be listed."""
    try:
        return live_files(root, name, read_head(root).tables.get(name, 0))
    except StoreError:
        return {}


def may_be_damage(error: Exception) -> bool:
    """Whether an error can come of damaged files, rather than of a wrong statement."""
    if isinstance(error, OSError):
        return error.errno in (None, errno.EIO, errno.ENOENT, errno.ENOTDIR)
    if isinstance(error, duckdb.InvalidInputException):
        # Also what a statement's own patterns and dates are refused with.
        return ".parquet" in str(error)
    # DuckDB raises its base class for what its Parquet reader cannot decode, and runs out of memory
    # if a damaged length says so.
    return type(error) is duckdb.Error or isinstance(
        error,
        duckdb.IOException
        | duckdb.PermissionException
        | duckdb.SerializationException
        | duckdb.InternalException
        | duckdb.OutOfMemoryException
        | pa.ArrowException
        | DeltaError
        | VersionGone,
    )


def _changed_size(size: int, expected: int) -> str:
    if size == 0:
        return "is empty"
    cut = "is cut short" if size < expected else "has changed"
    return f"{cut} ({counted(size, 'byte')} instead of {number(expected)})"


def _damaged_bytes(path: Path, rows: int, everything: bool) -> str | None:
    try:
        stated = stated_checksum(path)
        if stated and checksum(path) != stated:
            return CHANGED
        with path.open("rb") as file:
            first = file.read(4)
            file.seek(-4, 2)
            if (first, file.read(4)) != (_MAGIC, _MAGIC):
                return "is not a Parquet file any more"
        if everything:
            with pq.ParquetFile(path) as parquet:
                found = parquet.metadata.num_rows
                if not stated:
                    found = sum(batch.num_rows for batch in parquet.iter_batches())
            if found != rows:
                return f"has {counted(found, 'row')} instead of {number(rows)}"
    except PermissionError:
        # Not damage: someone else may read it.
        raise
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        return f"cannot be read ({reason})"
    return None
