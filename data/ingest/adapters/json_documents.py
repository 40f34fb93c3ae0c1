"""JSON that is not one record per line: arrays and objects over several lines, or too long for one.

What is found is handed on as bytes, so that it is decoded as lines are, with the same checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

import ijson
import msgspec

from data.ingest.adapters.common import CUT_OFF, shown
from data.ingest.validation import Fault

_BOM = b"\xef\xbb\xbf"
# A first line shorter than this, and no JSON, is the beginning of an indented document.
_INDENTED = 80
# What the parser raises where the rest of a document cannot be read.
UNREADABLE = (ijson.JSONError, UnicodeDecodeError, ValueError)
# Bytes that are looked through for where a document begins, and that are parsed together.
_SEARCHED = 256 << 10
_PARSED = 64 << 10
# Where a line begins with an array or an object.
_BEGIN = re.compile(rb"^(?:\xef\xbb\xbf)?[ \t\r]*(?=[{\[])", re.MULTILINE)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def one_per_line(head: bytes) -> bool:
    """Whether a file that begins with `head` holds one record per line, rather than a document that
    goes over several lines. Lines of words before the first one of JSON say nothing of it."""
    line, end, rest = head.removeprefix(_BOM).lstrip().partition(b"\n")
    if line[:1] not in (b"{", b"["):
        begin = _BEGIN.search(rest)
        if begin is None or b'{"' in line:
            return True
        line, end, rest = rest[begin.end() :].partition(b"\n")
    line = line.strip()
    if _is_json(line):
        return True
    if not end or line in (b"{", b"["):
        return False
    # A long one that is no JSON, with others behind it, has been cut off or spoilt.
    return len(line) > _INDENTED or any(
        each[:1] == b"{" and _is_json(each) for each in rest.split(b"\n")[:-1]
    )


def without_words(begin: bytes) -> tuple[bytes, Fault | None]:
    """The first bytes of a document without lines of words before it, and what is said of these."""
    found = _BEGIN.search(begin)
    if found is None:
        return begin, None
    words = begin[: found.start()].removeprefix(_BOM).strip()
    fault = Fault("", f"not JSON: {shown(words.decode('utf-8', 'replace'))}") if words else None
    return begin[found.end() :], fault


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def parsed(parser: Callable[..., Any], stream: _Readable, *given: Any) -> Iterator[Any]:
    """What a coroutine of `ijson` finds in a document, or in several that follow each other: all
    that stands before what is no JSON, and then its error (one of `UNREADABLE`)."""
    found = ijson.sendable_list()
    sink = parser(found, *given, use_float=True, multiple_values=True)
    chunk = b" "
    while chunk:
        chunk = stream.read(_PARSED)
        try:
            sink.send(chunk)
        except StopIteration:
            chunk = b""
        except Exception:
            yield from found
            raise
        yield from found
        found.clear()


def _is_json(line: bytes) -> bool:
    try:
        _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def entries(
    stream: BinaryIO, apart: Callable[[str, Any], bool]
) -> Iterator[tuple[int, bytes | Fault]]:
    """The elements of a top-level array, or of a top-level object (of several in a row) those
    members that `apart` picks, as objects with one member, and then the object without them.

    Lines of words before it are a `Fault`. Raises `Fault` where the rest is no JSON.
    """
    document = Document(stream)
    return document.records(document.entries(apart))


def encoded(entry: Any) -> bytes | Fault:
    """What a reader of JSON found, as bytes; a `Fault` where it is nothing that JSON can hold."""
    try:
        return _encode(entry)
    except UnicodeEncodeError:
        return Fault("", "half of a surrogate pair is no text")
    except RecursionError:
        return Fault("", "nested too deeply")
    except (OverflowError, TypeError, ValueError):
        return Fault("", "a number of more than 64 bits")


def unreadable(error: Exception) -> Fault:
    """Why the rest of a document cannot be read."""
    reason = str(error).strip().splitlines()[0][:200]
    # The parser has one class of errors for what is missing and what is no JSON.
    cut = isinstance(error, ijson.IncompleteJSONError) and "premature EOF" in reason
    return Fault("", CUT_OFF if cut else f"not JSON: {reason}")


class Document:
    """A stream whose first bytes are read, and read again; without words before the document."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        begin = b""
        while len(begin) < _SEARCHED and _BEGIN.search(begin) is None:
            chunk = stream.read(_SEARCHED)
            if not chunk:
                break
            begin += chunk
        self._begin, self.words = without_words(begin)
        self._is_array = self._begin[:1] == b"["

    def read(self, size: int = -1, /) -> bytes:
        begin, self._begin = self._begin, b""
        return begin or self._stream.read(size)

    def records(self, entries: Iterator[Any]) -> Iterator[tuple[int, bytes | Fault]]:
        """What is found in the document as bytes, with its number from 1, behind the words; raises
        `Fault` where the rest is no JSON."""
        number = 0
        if self.words:
            number += 1
            yield number, self.words
        try:
            for entry in entries:
                number += 1
                yield number, encoded(entry)
        except UNREADABLE as error:
            raise unreadable(error) from None

    def entries(self, apart: Callable[[str, Any], bool]) -> Iterator[Any]:
        if self._is_array:
            yield from parsed(ijson.items_coro, self, "item")
            return
        rest: dict[str, Any] = {}
        for name, value in parsed(ijson.kvitems_coro, self, ""):
            if apart(name, value):
                yield {name: value}
                continue
            if name in rest:
                # The next object has begun.
                yield rest
                rest = {}
            rest[name] = value
        if rest:
            yield rest
