"""The rows of a table, CSV or Parquet, as a stream."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from data.ingest.adapters.adapter import Unfit
from data.ingest.parquet_rows import bounded_batches
from data.ingest.tables.mapping import TableMapping
from data.ingest.validation import Fault

PARQUET = (b"PAR1", b"PARE")
# Marks of texts in two bytes a letter, as spreadsheets write "Unicode text".
WIDE = (b"\xff\xfe", b"\xfe\xff")
# Letters of one cell: a quote that is never closed takes the rest of the file into its cell.
_LONGEST_CELL = 4 << 20
_DELIMITERS = ",;\t|"


class Ragged(list[str]):
    """The cells of a row that has not as many of them as there are columns."""

    def __init__(self, cells: Sequence[str], expected: int) -> None:
        super().__init__(cells)
        self._expected = expected

    def fault(self) -> Fault:
        """What is wrong with it."""
        return Fault("", f"expected {self._expected} cells, got {len(self)}")


Row = dict[str, Any]


def is_parquet(head: bytes) -> bool:
    """Whether a file that begins with `head` is Parquet."""
    return head.startswith(PARQUET)


def rows(stream: BinaryIO, mapping: TableMapping) -> Iterator[tuple[int, Row | Ragged | Fault]]:
    """The rows with their numbers: of CSV the line that a row begins in, of Parquet from 1.

    Raises `Unfit` where the columns are not those of the mapping, or the file is no table.
    """
    head = stream.peek(4)[:4] if isinstance(stream, io.BufferedReader) else b""
    if is_parquet(head):
        yield from _parquet_rows(stream, mapping)
    else:
        yield from _csv_rows(stream, mapping, head)


# -- CSV -------------------------------------------------------------------------------------------


def _csv_rows(
    stream: BinaryIO, mapping: TableMapping, head: bytes
) -> Iterator[tuple[int, Row | Ragged | Fault]]:
    encoding = encoding_of(head, mapping.encoding)
    text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")
    csv.field_size_limit(_LONGEST_CELL)
    try:
        for _ in range(mapping.skip_lines):
            text.readline(_LONGEST_CELL)
        first = text.readline(_LONGEST_CELL)
        delimiter = mapping.delimiter or likely_delimiter(first)
        lines = _chained(first, text)
        reader = csv.reader(lines, delimiter=delimiter, quotechar=mapping.quote)
        names = mapping.names or _header(reader)
        if mapping.names:
            reader = csv.reader(_chained(first, text), delimiter=delimiter,
                                quotechar=mapping.quote)  # fmt: skip
        _must_fit(names, mapping)
        yield from _numbered(reader, names, mapping, encoding)
    except UnicodeError as error:
        raise Fault("", f"not {encoding}: {error}; name the encoding in the mapping") from None
    finally:
        # The stream is the caller's to close.
        with suppress(ValueError):
            text.detach()


def _chained(first: str, text: io.TextIOWrapper) -> Iterator[str]:
    yield first
    while line := text.readline(_LONGEST_CELL):
        yield line


def encoding_of(head: bytes, encoding: str) -> str:
    """The encoding of a file that begins with `head`: by its mark, or else as given."""
    if head.startswith(WIDE):
        return "utf-16"
    return "utf-8-sig" if encoding == "utf-8" else encoding


def likely_delimiter(line: str) -> str:
    """The delimiter that occurs most often in the line of names."""
    return max(_DELIMITERS, key=line.count)


def _header(reader: Any) -> tuple[str, ...]:
    for cells in reader:
        if any(cell.strip() for cell in cells):
            return tuple(cell.strip() for cell in cells)
    raise Unfit("is empty; expected a line of names, and a row for each turn.")


def _must_fit(names: Sequence[str], mapping: TableMapping) -> None:
    if problem := mapping.unfit(names):
        raise Unfit(problem)
    used = {column.among(names) for column, _ in mapping.named()}
    for name, count in Counter(names).items():
        if count > 1 and name in used:
            raise Unfit(f"has {count} columns named '{name}'; expected one of each name.")


def _numbered(
    reader: Any, names: Sequence[str], mapping: TableMapping, encoding: str
) -> Iterator[tuple[int, Row | Ragged | Fault]]:
    # Quoted cells may hold line ends: a row begins in the line after that of the row before.
    while True:
        number = mapping.skip_lines + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            reason = str(error)
            if "field larger" in reason:
                reason = f"a cell of more than {_LONGEST_CELL >> 20} MiB; is a quote never closed?"
            yield number, Fault("", reason)
            continue
        if cells is None:
            return
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        if len(cells) != len(names):
            yield number, Ragged(_shown(cells), len(names))
        elif not _is_text(cells):
            yield number, Fault("", f"not {encoding.removesuffix('-sig')}; name the encoding in "
                                'the mapping, as in encoding = "windows-1252"')  # fmt: skip
        else:
            yield number, dict(zip(names, cells, strict=True))


def _is_text(cells: Sequence[str]) -> bool:
    """Whether no byte was left undecoded."""
    try:
        for cell in cells:
            if not cell.isascii():
                cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(cells: Sequence[str]) -> list[str]:
    return [cell.encode("utf-8", "backslashreplace").decode() for cell in cells]


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet_rows(
    stream: BinaryIO, mapping: TableMapping
) -> Iterator[tuple[int, Row | Ragged | Fault]]:
    number = 0
    try:
        names = pq.read_schema(stream).names
        _must_fit(names, mapping)
        used = {column.among(names) for column, _ in mapping.named()} or set(names)
        stream.seek(0)
        for batch in bounded_batches(stream, [name for name in names if name in used]):
            for row in _dictionaries(batch):
                number += 1
                yield number, row
    except pa.ArrowInvalid:
        raise Unfit("is not a Parquet file, or a damaged one; copy it again.") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise Unfit(
            "is a damaged Parquet file, or an encrypted one; copy it again, or write it without "
            "encryption."
        ) from None
    except pa.ArrowException:
        raise Unfit("has columns of a type that cannot be read; leave them out.") from None


def _dictionaries(batch: pa.RecordBatch) -> Iterator[Row | Fault]:
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError):
        if batch.num_rows == 1:
            yield Fault("", "a time beyond the years 1 to 9999, or text that is not UTF-8")
            return
    # One that Python has no value for does not spoil the others.
    for index in range(batch.num_rows):
        yield from _dictionaries(batch.slice(index, 1))
