"""The rows of a table, CSV or Parquet, as a stream."""

from __future__ import annotations

import csv
import io
from collections import Counter, deque
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
# Letters of one row, which may be of many lines.
_LONGEST_ROW = 16 << 20
# How often, on average, a file may be read again because of stray quotes.
_MOST_AGAIN = 8
_UNCLOSED = "is a quote never closed?"
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
        lines = _Lines(first, text)
        reader = csv.reader(lines, delimiter=delimiter, quotechar=mapping.quote, strict=True)
        names = mapping.names or _header(reader)
        _must_fit(names, mapping)
        yield from _numbered(reader, lines, names, delimiter, mapping, encoding)
    except UnicodeError as error:
        raise Fault("", f"not {encoding}: {error}; name the encoding in the mapping") from None
    finally:
        # The stream is the caller's to close.
        with suppress(ValueError):
            text.detach()


class _Lines:
    """The lines of a file, of which those of the last row but its first can be read again."""

    def __init__(self, first: str, text: io.TextIOWrapper) -> None:
        self._waiting = deque([first])
        self._text = text
        self._row: list[str] = []
        self._letters = self._read = self._again = 0
        self.count = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._text.readline(_LONGEST_CELL)
        if not line:
            raise StopIteration
        self._row.append(line)
        self._letters += len(line)
        self.count += 1
        if self._letters > _LONGEST_ROW:
            raise csv.Error(f"a row of more than {_LONGEST_ROW >> 20} MiB; {_UNCLOSED}")
        return line

    def begin(self) -> None:
        """A row begins with the next line."""
        self._read += self._letters
        self._letters = 0
        self._row.clear()

    def again(self) -> None:
        """Give the lines of the row but its first once more, unless that was done so often that a
        file made for it would take hours."""
        rest = self._row[1:]
        letters = sum(map(len, rest))
        if self._again + letters > _MOST_AGAIN * (self._read + _LONGEST_ROW):
            return
        self._again += letters
        self._letters -= letters
        self._waiting.extendleft(reversed(rest))
        self.count -= len(rest)

    def hold_rows(self, delimiter: str, cells: int) -> bool:
        """Whether the lines within the row, at least two, each look like a row of so many cells."""
        within = self._row[1:-1]
        return (
            len(within) > 1
            and cells > 1
            and all(line.count(delimiter) == cells - 1 for line in within)
        )


def encoding_of(head: bytes, encoding: str) -> str:
    """The encoding of a file that begins with `head`: by its mark, or else as given."""
    if head.startswith(WIDE):
        return "utf-16"
    return "utf-8-sig" if encoding == "utf-8" else encoding


def likely_delimiter(line: str) -> str:
    """The delimiter that occurs most often in the line of names."""
    return max(_DELIMITERS, key=line.count)


def _header(reader: Any) -> tuple[str, ...]:
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                return tuple(cell.strip() for cell in cells)
    except csv.Error as error:
        raise Unfit(
            f"has a line of names that cannot be read ({_reason(error)}); correct it, or give the "
            "mapping the quote, skip_lines or columns of the table."
        ) from None
    raise Unfit("is empty; expected a line of names, and a row for each turn.")


def _must_fit(names: Sequence[str], mapping: TableMapping) -> None:
    if problem := mapping.unfit(names):
        raise Unfit(problem)
    # A mapping that is only being proposed may use any of them.
    used = {column.among(names) for column, _ in mapping.named()} or set(names) - {""}
    for name, count in Counter(names).items():
        if count > 1 and name in used:
            raise Unfit(f"has {count} columns named '{name}'; expected one of each name.")


def _numbered(
    reader: Any,
    lines: _Lines,
    names: Sequence[str],
    delimiter: str,
    mapping: TableMapping,
    encoding: str,
) -> Iterator[tuple[int, Row | Ragged | Fault]]:
    # Quoted cells may hold line ends: a row begins in the line after that of the row before. A
    # stray quote would take the rows behind it into its cell: they are read again, without it.
    while True:
        lines.begin()
        number = mapping.skip_lines + lines.count + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            lines.again()
            yield number, Fault("", _reason(error))
            continue
        if cells is None:
            return
        if lines.hold_rows(delimiter, len(names)):
            lines.again()
            yield number, Fault("", f"a cell that holds the rows behind it; {_UNCLOSED}")
            continue
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        if len(cells) != len(names):
            yield number, Ragged(_shown(cells), len(names))
        elif not _is_text(cells):
            yield number, Fault("", f"not {encoding.removesuffix('-sig')}; name the encoding in "
                                'the mapping, as in encoding = "windows-1252"')  # fmt: skip
        else:
            yield number, dict(zip(names, cells, strict=True))


def _reason(error: csv.Error) -> str:
    reason = str(error)
    if "field larger" in reason:
        return f"a cell of more than {_LONGEST_CELL >> 20} MiB; {_UNCLOSED}"
    if "unexpected end" in reason:
        return f"a cell that does not end; {_UNCLOSED}"
    if "expected after" in reason:
        return "text behind the quote that ends a cell; a quote within a cell is written twice"
    return reason


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
