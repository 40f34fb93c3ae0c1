"""Finished parts of some work, in files that are there for who goes on after a killed process.

They may lie for days before they are read, so their pages have checksums. What the parts are made
of is planned in a file with a row group per part, so that each worker reads its own alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data.parallel import Engine
from data.store.durability import replacing
from data.store.store import Store


class Parts(NamedTuple):
    """What does some work in parts, and the folder in which these are kept."""

    engine: Engine
    folder: Path


@contextmanager
def keeping(store: Store, work: str, engine: Engine | None) -> Iterator[Parts | None]:
    """Where an engine's parts of some work are kept until the body ends well, which commits them
    (`Store.unfinished`); None without an engine."""
    if engine is None:
        yield None
        return
    with store.unfinished(work) as folder:
        yield Parts(engine, folder)


def write_plan(parts: Sequence[pa.Table], path: Path) -> None:
    """Write a Parquet file with a row group for each table."""
    with pq.ParquetWriter(path, parts[0].schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(part, row_group_size=max(part.num_rows, 1))


def write_part(table: pa.Table, path: Path) -> None:
    """Write a part as a Parquet file, which is there as soon as it is complete."""
    with replacing(path) as draft:
        pq.write_table(table, draft, compression="zstd", write_page_checksum=True)


def read_part(path: str | Path) -> pa.Table:
    """The part in a file; raises OSError or ArrowException if it is not as it was written."""
    # Not `pq.read_table`, which takes folders named `a=b` above the file for columns.
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read()


def kept_part(path: Path) -> pa.Table | None:
    """The part in a file; None if there is none, or it is not as it was written."""
    try:
        return read_part(path)
    except (OSError, pa.ArrowException):
        return None


def keep_only(folder: Path, files: Iterable[Path]) -> None:
    """Remove what else a killed process has left in the folder."""
    wanted = set(files)
    for path in folder.iterdir():
        if path not in wanted and path.is_file():
            path.unlink(missing_ok=True)
