"""Finding log files and reading them as blocks of whole lines."""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from data.errors import IngestError, UsageError
from data.ingest.adapters.adapter import HEAD
from data.ingest.adapters.registry import FORMATS, NAMES, recognised
from data.ingest.block import BLOCK, LONGEST_LINE, Block, Limits, Source
from data.ingest.folders import Skipped, format_of, is_table, log_files
from data.ingest.magic import refused
from data.ingest.parquet_rows import NOT_FROM_STDIN, parquet_blocks
from data.ingest.validation import Fault
from data.store.paths import must_not_be_empty, printable

STDIN = "-"
_TABLE = "table"
# Lines of one block of a stream. A trace has more than a hundred bytes, so that only what is not a
# log reaches it; it keeps small what one process hands to the next.
MOST_LINES = 250_000


def discover(
    paths: Sequence[str | Path],
    format: str | None = None,
    skipped: list[Skipped] | None = None,
    assistant: str | None = None,
) -> list[Source]:
    """The inputs behind a list of paths; folders are searched for files with a known suffix.

    What is passed over in folders is added to `skipped`. Raises `UsageError` where an `assistant`
    is named for traces in Faultline's own format, which are stored as they are.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(
            f"'{format}' is not one of the input formats; give {', '.join(FORMATS[:-1])} or "
            f"{FORMATS[-1]}."
        )
    if not paths:
        raise UsageError("No input was given; name at least one file, folder, or - for input.")
    # By where they lie, so that a file that is named twice is read once.
    sources: dict[str, Source] = {}
    for given in paths:
        if str(given) == STDIN:
            if format == "parquet":
                raise UsageError(NOT_FROM_STDIN)
            stdin = Source("<stdin>", None, format or "jsonl", None)
            sources[STDIN] = stdin if format else replace(stdin, format=_recognised(stdin))
            continue
        must_not_be_empty(given)
        path = Path(given).expanduser()
        if not path.exists():
            raise IngestError(f"{given} does not exist; give the path of a log file or folder.")
        folder, linked = path.is_dir(), _linked(path)
        files = _below(path, skipped) if folder else [path]
        read = 0
        for file in files:
            kind = format_of(file)
            if folder and format == _TABLE and not is_table(file):
                continue
            real = file.resolve()
            # A name need not be text; what is shown and stored must be.
            name = printable(real)
            # What was found is read where it lies, so that no link can be exchanged under it.
            size = file.stat().st_size
            behind = linked or _linked(file)
            source = Source(name, real if folder else file, kind or "jsonl", size, folder, behind)
            if format is not None:
                source = replace(source, format=format)
            elif kind != "parquet":
                source = replace(source, format=_recognised(source))
                if folder and kind is None and source.format == "jsonl":
                    # Of a name that says nothing, and a content that says nothing.
                    if is_table(file) and skipped is not None:
                        skipped.append(Skipped(file, _needs_mapping(name)))
                    continue
            read += 1
            sources.setdefault(str(real), source)
        if folder and not read:
            raise _no_logs(given, skipped or [])
    own = [source.name for source in sources.values() if source.format not in NAMES]
    if assistant is not None and own:
        raise UsageError(
            f"An assistant can be named for logs of other systems only, and {own[0]} is read as "
            "traces in Faultline's own format; write the name into its field assistant, or leave "
            "out --assistant."
        )
    return list(sources.values())


def _needs_mapping(name: str) -> str:
    return (
        "a table, which needs a mapping; propose one with: faultline mapping "
        f"{shlex.quote(name)} --to mapping.toml (and give it with --mapping)"
    )


def _recognised(source: Source) -> str:
    """The adapter whose system wrote a file, or else `jsonl`."""
    return recognised(unpacked_head(source, HEAD)) or "jsonl"


def _linked(path: Path) -> bool:
    """Whether a path leads through a link, to the file or to a folder above."""
    return path.resolve() != Path(os.path.abspath(path))


def _below(folder: Path, skipped: list[Skipped] | None) -> list[Path]:
    files, passed_over = log_files(folder)
    if not files:
        raise _no_logs(folder, passed_over)
    if skipped is not None:
        skipped += passed_over
    return files


def _no_logs(folder: str | Path, passed_over: Sequence[Skipped]) -> IngestError:
    why = "".join(f" Passed over: {printable(p.path)}, {p.reason}." for p in passed_over[:1])
    return IngestError(
        f"{folder} holds no traces; expected files ending in .jsonl, .ndjson, .json "
        "(also .gz or .zst) or .parquet, or logs of a system that Faultline knows, and not "
        f"beginning with . or _, in it or in folders below it.{why}"
    )


def blocks(source: Source, limits: Limits | None = None) -> Iterator[Block]:
    """The lines of a source, whatever its format; rows of Parquet become lines of JSON.

    Raises `IngestError`, in one sentence, when the input is empty, truncated, or of another format.
    """
    limits = limits or Limits(LONGEST_LINE)
    try:
        if source.format == "parquet":
            yield from parquet_blocks(source, limits)
        else:
            yield from _line_blocks(source, limits)
    except OSError as error:
        raise IngestError(f"{source.name} cannot be read: {error.strerror or error}.") from error


def blocks_of_lines(source: Source, limits: Limits) -> Iterator[Block]:
    """The lines of another system's log, of which only its adapter knows what they look like."""
    try:
        yield from _line_blocks(source, limits, any_text=True)
    except OSError as error:
        raise IngestError(f"{source.name} cannot be read: {error.strerror or error}.") from error


def _line_blocks(source: Source, limits: Limits, any_text: bool = False) -> Iterator[Block]:
    if source.path is None:
        # What stands in for standard input need not be able to peek, but it can fill a buffer.
        stream = cast(io.BufferedReader, io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer)))
        yield from _cut(source, stream, None, limits, any_text)
        return
    with source.open() as raw:
        reader = cast(io.BufferedReader, raw)
        begins = reader.peek(4)[:4]
        plain = not begins.startswith(_PACKED) if any_text else begins[:1] == b"{"
        if source.size and source.size > 2 * BLOCK and plain:
            done = yield from _places(source, raw, source.size, limits)
            raw.seek(done)
            if done == source.size:
                return
        yield from _cut(source, reader, raw, limits, any_text)


def _places(
    source: Source, raw: BinaryIO, size: int, limits: Limits
) -> Generator[Block, None, int]:
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
                if reach > limits.longest_line:
                    return start
            end += reach
        end = min(end, size)
        yield Block(b"", end, (source, start, end), limits)
        start = end
    return start


def _cut(
    source: Source,
    raw: io.BufferedReader,
    position: BinaryIO | None,
    limits: Limits,
    any_text: bool,
) -> Iterator[Block]:
    first = True
    rest = b""
    room = limits.longest_line + 1
    done = 0
    try:
        for chunk in _chunks(source, raw, limits):
            done = position.tell() if position is not None else 0
            if first:
                chunk = chunk.removeprefix(b"\xef\xbb\xbf")
                if not any_text:
                    _must_be_lines(source, chunk)
                first = False
            end = chunk.rfind(b"\n") + 1
            if end == 0:
                # Of a line that is too long the beginning is kept, to see that it is too long.
                rest += chunk[: room - len(rest)]
                continue
            yield from _few_lines(rest + chunk[:end], done, limits)
            rest = chunk[end:][:room]
    except _Expands:
        yield Block(rest, done, limits=limits, cut=limits.too_large)
        return
    if first:
        raise IngestError(f"{source.name} is empty; expected one JSON object per line.")
    if rest:
        yield Block(rest, position.tell() if position is not None else 0, limits=limits)


def _few_lines(data: bytes, done: int, limits: Limits) -> Iterator[Block]:
    """Whole lines as blocks of at most `MOST_LINES`: mostly blank ones in one block without these,
    others halved until no piece has more."""
    if data.count(b"\n") <= MOST_LINES:
        yield Block(data, done, limits=limits)
        return
    if without := _without_blank(data, limits):
        lines, numbers = without
        yield Block(lines, done, limits=limits, numbers=numbers)
        return
    half = len(data) // 2
    middle = data.rfind(b"\n", 0, half) + 1 or data.index(b"\n", half) + 1
    yield from _few_lines(data[:middle], done, limits)
    yield from _few_lines(data[middle:], done, limits)


_VISIBLE = re.compile(rb"\S")


def _without_blank(data: bytes, limits: Limits) -> tuple[bytes, tuple[list[int], int]] | None:
    """The lines that are not blank, their numbers, and how many lines there are with blank ones.

    None where too few are blank, or one of these may be too long, which is a fault.
    """
    if len(data.translate(None, b" \t\r\n\v\f")) > len(data) // 2:
        return None
    if len(data.translate(None, b"\n")) > limits.longest_line:
        return None
    lines: list[bytes] = []
    numbers: list[int] = []
    start, number = 0, 1
    while found := _VISIBLE.search(data, start):
        if len(lines) == MOST_LINES:
            return None
        begin = data.rfind(b"\n", start, found.start()) + 1 or start
        number += data.count(b"\n", start, begin)
        start = data.index(b"\n", begin) + 1
        lines.append(data[begin:start])
        numbers.append(number)
        number += 1
    return b"".join(lines), (numbers, data.count(b"\n"))


# -- compression -----------------------------------------------------------------------------------

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PACKED = (_GZIP, _ZSTD)
_BUFFER = 256 << 10


def unpacked_head(source: Source, size: int) -> bytes:
    """The first `size` bytes of a file, unpacked, or fewer; none where it cannot be read."""
    if source.path is None:
        # Only looked at: what is read must still be there.
        peek = getattr(sys.stdin.buffer, "peek", None)
        return peek(size)[:size] if peek else b""
    try:
        with source.open() as raw:
            head = raw.read(size)
            if head.startswith(_GZIP):
                return zlib.decompressobj(wbits=31).decompress(head, size)
            if head.startswith(_ZSTD):
                raw.seek(0)
                return _zstd(fileobj=cast(io.RawIOBase, raw)).read(size)
            return head
    except (OSError, zlib.error, IngestError):
        return b""


@contextmanager
def unpacked_stream(
    source: Source, limits: Limits, content: bytes | None = None
) -> Iterator[BinaryIO]:
    """A file as a stream of its unpacked bytes; `content`: what it holds, if that is at hand.

    Reading raises `IngestError` where the file is damaged, and `Fault` where it expands to more
    than `limits` allow.
    """
    with source.open() if content is None else io.BufferedReader(io.BytesIO(content)) as raw:
        chunks = _chunks(source, cast(io.BufferedReader, raw), limits)
        yield io.BufferedReader(_Unpacked(chunks, limits), _BUFFER)


class _Unpacked(io.RawIOBase):
    """A stream of the bytes in chunks."""

    def __init__(self, chunks: Iterator[bytes], limits: Limits) -> None:
        self._chunks = chunks
        self._limits = limits
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._next():
            return 0
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)

    def _next(self) -> bool:
        try:
            self._rest = memoryview(next(self._chunks, b""))
        except _Expands:
            raise Fault("", self._limits.too_large) from None
        return bool(self._rest)


class _Expands(Exception):
    """A compressed input expands beyond its limit."""


def _chunks(source: Source, raw: io.BufferedReader, limits: Limits) -> Iterator[bytes]:
    """The plain bytes of a stream in chunks of `BLOCK`, in constant memory.

    Compression is told by the first bytes, not by the name.
    """
    magic = raw.peek(4)[:4]
    if magic[:2] == _GZIP:
        # Not Arrow's, which takes the zeros after a file that was on a tape for damage.
        yield from _expanded(source, "gzip", gzip.GzipFile, raw, limits)
    elif magic == _ZSTD:
        yield from _expanded(source, "zstd", _zstd, raw, limits)
    else:
        yield from iter(lambda: raw.read(BLOCK), b"")


def _zstd(*, fileobj: io.RawIOBase) -> pa.NativeFile:
    return pa.CompressedInputStream(pa.PythonFile(fileobj, mode="r"), "zstd")


def _expanded(
    source: Source, kind: str, unpack: Callable[..., Any], raw: io.BufferedReader, limits: Limits
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
                f"{source.name} is a damaged {kind} file: {_damage(error)}; copy it again, nothing "
                "was ingested."
            ) from error
        if not chunk:
            return
        room = limits.allowed(packed.count) - size
        size += len(chunk)
        if len(chunk) > room:
            # What comes before may be good.
            yield chunk[: max(room, 0)]
            raise _Expands
        yield chunk


def _damage(error: Exception) -> str:
    """What is wrong with compressed data, in place of the libraries' words for it."""
    text = str(error)
    if "Not a gzipped file" in text:
        return "something else follows its data"
    if "CRC" in text or "length" in text or "checksum" in text.lower():
        return "its content does not fit its checksum"
    return "it cannot be unpacked"


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


# -- other files -----------------------------------------------------------------------------------


def _must_be_lines(source: Source, head: bytes) -> None:
    """Refuse what is clearly something else, before quarantining every line of it."""
    if reason := refused(head, source.name):
        raise IngestError(f"{source.name} {reason}.")
    if is_table(Path(source.name)) and not head.lstrip().startswith(b"{"):
        raise IngestError(f"{source.name} is {_needs_mapping(source.name)}.")
    lines = [line.strip() for line in head[: 1 << 20].split(b"\n", 100)[:100]]
    lines = [line for line in lines if line]
    if lines and re.match(rb"\[\s*([{\]]|$)", lines[0]):
        raise IngestError(
            f"{source.name} is a JSON array; expected one JSON object per line, without brackets."
        )
    if lines and not any(line.startswith(b"{") for line in lines):
        raise IngestError(
            f"{source.name} is not JSONL: {_beginning(source, head, lines[0])}; expected one JSON "
            "object per line."
        )


def _beginning(source: Source, head: bytes, line: bytes) -> str:
    if b"\0" in head[:4096]:
        return "binary data"
    if source.linked:
        return "the file behind this link begins with something else"
    return f"it begins with {line[:40].decode('utf-8', 'backslashreplace')!r}"
