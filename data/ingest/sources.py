"""Finding log files and reading them as blocks of whole lines."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import IngestError, UsageError
from data.store.parquet import workbench
from data.store.paths import printable

Format = Literal["jsonl", "parquet"]

BLOCK = 16 << 20
LONGEST_LINE = 16 << 20
# Lines of one block of a stream. A trace has more than a hundred bytes, so that only what is not a
# log reaches it; without it, a block of `{}` would become five million faults and two gigabytes.
MOST_LINES = 250_000
# What a compressed input may expand to, as a multiple of its own size, once it is larger than
# `EXPANSION_FROM`. Traces that differ in nothing but a counter and a time reach 460 (zstd -19);
# gzip cannot exceed 1,032, a zstd file that is made to fill a disk reaches 32,000.
MOST_EXPANSION = 1_000
EXPANSION_FROM = 64 << 20
_PARQUET_ROWS = 8_000
_LINES = (".jsonl", ".ndjson", ".json")
_PACKED = (".gz", ".zst")
STDIN = "-"


@dataclass(frozen=True)
class Source:
    """One input: a file, or standard input (`path` is None)."""

    name: str
    path: Path | None
    format: Format
    size: int | None


@dataclass
class Block:
    """Whole lines of a source: the bytes themselves, or where they lie in a plain file.

    `overlong` holds (line offset, beginning) of lines that are too long to keep; in the data an
    empty line stands in their place, so that line numbers stay right.
    """

    data: bytes
    overlong: list[tuple[int, bytes]] = field(default_factory=list)
    # Bytes of the source (as stored) read so far.
    done: int = 0
    # Read by the worker instead of being sent to it: (file, first byte, end).
    place: tuple[Path, int, int] | None = None

    def load(self) -> tuple[bytes, list[tuple[int, bytes]]]:
        """The lines, and what was too long to be among them."""
        if self.place is None:
            return self.data, self.overlong
        path, start, end = self.place
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start), []


def discover(paths: Sequence[str | Path], format: str | None = None) -> list[Source]:
    """The inputs behind a list of paths; folders are searched for files with a known suffix."""
    if format not in (None, "jsonl", "parquet"):
        raise UsageError(f"'{format}' is not an input format; give jsonl or parquet.")
    if not paths:
        raise UsageError("No input was given; name at least one file, folder, or - for input.")
    sources: list[Source] = []
    for given in paths:
        if str(given) == STDIN:
            if format == "parquet":
                raise UsageError("Standard input can only be JSONL; give the Parquet file's path.")
            sources.append(Source("<stdin>", None, "jsonl", None))
            continue
        path = Path(given).expanduser()
        if not path.exists():
            raise IngestError(f"{given} does not exist; give the path of a log file or folder.")
        if path.is_dir():
            found = _below(path)
            if not found:
                raise IngestError(
                    f"{given} holds no traces; expected files ending in .jsonl, .ndjson, .json "
                    "(also .gz or .zst) or .parquet, and not beginning with . or _, in it or in "
                    "folders below it."
                )
        else:
            found = [path]
        for file in found:
            kind: Format = _format(file) or "jsonl"
            if format is not None:
                kind = "parquet" if format == "parquet" else "jsonl"
            # A name need not be text; what is shown and stored must be.
            sources.append(Source(printable(file.resolve()), file, kind, file.stat().st_size))
    return list(dict.fromkeys(sources))


def _below(folder: Path) -> list[Path]:
    """The log files in a folder; hidden files and the files of a store are none.

    Hidden is, as in Spark and Hive, what begins with a dot or an underscore, and all below it.
    """
    found = [path for path in folder.rglob("*") if path.is_file() and _format(path)]
    stores = {path.parent for path in folder.rglob("HEAD.json")}
    return sorted(
        path
        for path in found
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        and not any(parent in stores for parent in path.parents)
    )


def _format(path: Path) -> Format | None:
    name = path.name.lower()
    if name.endswith(".parquet"):
        return "parquet"
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return "jsonl" if name.endswith(_LINES) else None


def blocks(source: Source) -> Iterator[Block]:
    """The lines of a source, whatever its format; rows of Parquet become lines of JSON.

    Raises `IngestError`, in one sentence, when the input is empty, truncated, or of another format.
    """
    try:
        if source.format == "parquet":
            yield from _parquet_blocks(source)
        else:
            yield from _line_blocks(source)
    except OSError as error:
        raise IngestError(f"{source.name} cannot be read: {error.strerror or error}.") from error


# -- lines -----------------------------------------------------------------------------------------


def _line_blocks(source: Source) -> Iterator[Block]:
    if source.path is None:
        # What stands in for standard input need not be able to peek, but it can fill a buffer.
        yield from _cut(source, io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer)), None)
        return
    with source.path.open("rb") as raw:
        if source.size and source.size > 2 * BLOCK and raw.peek(1)[:1] == b"{":
            done = yield from _places(source.path, raw, source.size)
            raw.seek(done)
            if done == source.size:
                return
        yield from _cut(source, raw, raw)


def _places(path: Path, raw: BinaryIO, size: int) -> Generator[Block, None, int]:
    """Cut a large plain file without reading it; returns where that stopped being possible, because
    of a line that is too long."""
    start = 0
    while start < size:
        end = start + BLOCK
        if end < size:
            raw.seek(end)
            reach = 0
            while True:
                piece = raw.readline(1 << 16)
                reach += len(piece)
                if not piece or piece.endswith(b"\n"):
                    break
                if reach > LONGEST_LINE:
                    return start
            end += reach
        end = min(end, size)
        yield Block(b"", done=end, place=(path, start, end))
        start = end
    return start


def _cut(source: Source, raw: io.BufferedReader, position: BinaryIO | None) -> Iterator[Block]:
    first = True
    rest = b""
    for chunk in _chunks(source, raw):
        done = position.tell() if position is not None else 0
        if first:
            chunk = chunk.removeprefix(b"\xef\xbb\xbf")
            _must_be_lines(source, chunk)
            first = False
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            # Of a line that is too long the beginning is kept, enough to see that it is too long.
            rest += chunk[: LONGEST_LINE + 1 - len(rest)]
            continue
        for data in _few_lines(rest + chunk[:end]):
            yield _block(data, done)
        rest = chunk[end:]
    if first:
        raise IngestError(f"{source.name} is empty; expected one JSON object per line.")
    if rest:
        yield _block(rest, position.tell() if position is not None else 0)


def _few_lines(data: bytes) -> Iterator[bytes]:
    """Whole lines, halved until no piece has more than `MOST_LINES`."""
    if data.count(b"\n") <= MOST_LINES:
        yield data
        return
    half = len(data) // 2
    middle = data.rfind(b"\n", 0, half) + 1 or data.index(b"\n", half) + 1
    yield from _few_lines(data[:middle])
    yield from _few_lines(data[middle:])


def _block(data: bytes, done: int) -> Block:
    block = Block(data, done=done)
    if len(data) > LONGEST_LINE:
        lines = data.split(b"\n")
        for index, line in enumerate(lines):
            if len(line) > LONGEST_LINE:
                block.overlong.append((index, line[:10_000]))
                lines[index] = b""
        if block.overlong:
            block.data = b"\n".join(lines)
    return block


def _chunks(source: Source, raw: io.BufferedReader) -> Iterator[bytes]:
    """The plain bytes of a stream in chunks of `BLOCK`, in constant memory.

    Compression is told by the first bytes, not by the name.
    """
    magic = raw.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        # Not Arrow's, which takes the zeros after a file that was on a tape for damage.
        yield from _expanded(source, "gzip", gzip.GzipFile, raw)
    elif magic == b"\x28\xb5\x2f\xfd":
        yield from _expanded(source, "zstd", _zstd, raw)
    else:
        yield from iter(lambda: raw.read(BLOCK), b"")


def _zstd(*, fileobj: io.RawIOBase) -> pa.NativeFile:
    return pa.CompressedInputStream(pa.PythonFile(fileobj, mode="r"), "zstd")


def _expanded(
    source: Source, kind: str, unpack: Callable[..., Any], raw: io.BufferedReader
) -> Iterator[bytes]:
    packed = _Counted(raw)
    stream = unpack(fileobj=packed)
    size = 0
    while True:
        try:
            chunk: bytes = stream.read(BLOCK)
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                # Of the disk, not of the decompressor.
                raise
            if isinstance(error, EOFError) or "Truncated" in str(error):
                raise IngestError(
                    f"{source.name} is a truncated {kind} file; copy it again, nothing was "
                    "ingested."
                ) from error
            raise IngestError(
                f"{source.name} is a damaged compressed file ({error}); nothing was ingested."
            ) from error
        if not chunk:
            return
        size += len(chunk)
        if size > max(EXPANSION_FROM, MOST_EXPANSION * packed.count):
            raise IngestError(
                f"{source.name} expands to more than {MOST_EXPANSION:,} times its size, as no log "
                "does; nothing was ingested. If it is one, unpack it and ingest that."
            )
        yield chunk


class _Counted(io.RawIOBase):
    """A stream that counts the bytes read from it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self.count += len(data)
        return data


def _must_be_lines(source: Source, head: bytes) -> None:
    """Refuse what is clearly something else, before quarantining every line of it."""
    if head.startswith(b"PAR1"):
        raise IngestError(f"{source.name} is a Parquet file; use the format parquet for it.")
    lines = [line.strip() for line in head[: 1 << 20].split(b"\n", 100)[:100]]
    lines = [line for line in lines if line]
    if lines and (lines[0] == b"[" or lines[0].startswith(b"[{")):
        raise IngestError(
            f"{source.name} is a JSON array; expected one JSON object per line, without brackets."
        )
    if lines and not any(line.startswith(b"{") for line in lines):
        begin = lines[0][:40].decode("utf-8", "backslashreplace")
        binary = "binary data" if b"\0" in head[:4096] else f"it begins with {begin!r}"
        raise IngestError(
            f"{source.name} is not JSONL: {binary}; expected one JSON object per line."
        )


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet_blocks(source: Source) -> Iterator[Block]:
    if source.path is None:
        raise UsageError("Standard input can only be JSONL; give the Parquet file's path.")
    try:
        # Opened here, as a name need not be text.
        with source.path.open("rb") as raw, pq.ParquetFile(raw) as file:
            schema = file.schema_arrow
            for required in ("turn_id", "dialogue_id", "turn_index", "started_at"):
                if required not in schema.names:
                    raise IngestError(
                        f"{source.name} has no column '{required}'; expected the columns of a "
                        f"trace, got {', '.join(schema.names[:12])}."
                    )
            if file.metadata.num_rows == 0:
                raise IngestError(f"{source.name} is empty; expected one turn per row.")
            select = _as_json(schema)
            seen = 0
            with workbench() as con:
                for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                    con.register("batch", pa.table(batch))
                    rows = con.execute(f"SELECT {select} FROM batch").fetchall()
                    con.unregister("batch")
                    seen += len(rows)
                    share = (source.size or 0) * seen // file.metadata.num_rows
                    yield Block("\n".join(row[0] for row in rows).encode(), done=share)
    except pa.ArrowInvalid as error:
        raise IngestError(
            f"{source.name} is not a Parquet file, or a damaged one; expected columns of a trace."
        ) from error


def _as_json(schema: pa.Schema) -> str:
    """SQL that makes a trace record of a row; the columns a store derives itself are left out."""
    derived = {"digest": pa.int64(), "day": pa.date32()}
    own = all(
        name in schema.names and schema.field(name).type == kind for name, kind in derived.items()
    )
    parts = []
    for item in schema:
        if own and item.name in derived:
            continue
        name = '"' + item.name.replace('"', '""') + '"'
        key = "'" + item.name.replace("'", "''") + "'"
        if pa.types.is_timestamp(item.type):
            # A time without a zone stays without one, and is then refused for it.
            zone = "Z" if item.type.tz else ""
            utc = f"timezone('UTC', {name})" if item.type.tz else name
            parts.append(f"{key}: strftime({utc}, '%Y-%m-%dT%H:%M:%S.%f{zone}')")
        elif item.name == "extra" and pa.types.is_string(item.type):
            parts.append(f"{key}: TRY_CAST({name} AS JSON)")
        else:
            parts.append(f"{key}: {name}")
    return f"to_json({{{', '.join(parts)}}})::VARCHAR"
