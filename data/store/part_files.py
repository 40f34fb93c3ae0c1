"""Finished parts of some work, in files that are there for who goes on after a killed process.

They may lie for days before they are read, so their pages have checksums.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.store.durability import replacing


def write_part(table: pa.Table, path: Path) -> None:
    """Write a part as a Parquet file, which is there as soon as it is complete."""
    with replacing(path) as draft:
        pq.write_table(table, draft, compression="zstd", write_page_checksum=True)


def kept_part(path: Path) -> pa.Table | None:
    """The part in a file; None if there is none, or it is not as it was written."""
    try:
        # Not `pq.read_table`, which takes folders named `a=b` above the file for columns.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()
    except (OSError, pa.ArrowException):
        return None


def keep_only(folder: Path, files: Iterable[Path]) -> None:
    """Remove what else a killed process has left in the folder."""
    wanted = set(files)
    for path in folder.iterdir():
        if path not in wanted and path.is_file():
            path.unlink(missing_ok=True)
