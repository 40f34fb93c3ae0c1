"""JSON that is not one record per line: arrays and objects over several lines, or too long for one.

What is found is handed on as bytes, so that it is decoded as lines are, with the same checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import ijson
import msgspec

from data.ingest.adapters.common import CUT_OFF, json_items
from data.ingest.validation import Fault

_BOM = b"\xef\xbb\xbf"
# A first line shorter than this, and no JSON, is the beginning of an indented document.
_INDENTED = 80
# What the parser raises where the rest of a document cannot be read.
UNREADABLE = (ijson.JSONError, UnicodeDecodeError, ValueError)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def one_per_line(head: bytes) -> bool:
    """Whether a file that begins with `head` holds one record per line, rather than a document that
    goes over several lines."""
    line, end, rest = head.removeprefix(_BOM).lstrip().partition(b"\n")
    line = line.strip()
    if line[:1] not in (b"{", b"["):
        return True
    if _is_json(line):
        return True
    if not end or line in (b"{", b"["):
        return False
    # A long one that is no JSON, with others behind it, has been cut off or spoilt.
    return len(line) > _INDENTED or any(
        each[:1] == b"{" and _is_json(each) for each in rest.split(b"\n")[:-1]
    )


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

    Raises `Fault` where the rest is no JSON.
    """
    rewound = _Rewound(stream)
    if rewound.first == b"[":
        found: Iterable[Any] = (item for _, item in json_items(rewound, "item"))  # type: ignore[arg-type]
    else:
        found = _members(rewound, apart)
    for number, entry in enumerate(found, 1):
        yield number, encoded(entry)


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
    cut = isinstance(error, ijson.IncompleteJSONError) and "lexical" not in reason
    return Fault("", CUT_OFF if cut else f"not JSON: {reason}")


def _members(stream: _Rewound, apart: Callable[[str, Any], bool]) -> Iterator[dict[str, Any]]:
    rest: dict[str, Any] = {}
    try:
        for name, value in ijson.kvitems(stream, "", use_float=True, multiple_values=True):
            if apart(name, value):
                yield {name: value}
                continue
            if name in rest:
                # The next object has begun.
                yield rest
                rest = {}
            rest[name] = value
    except UNREADABLE as error:
        raise unreadable(error) from None
    if rest:
        yield rest


class _Rewound:
    """A stream whose first byte that is no space is known, and read again."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        begin = b""
        while not begin:
            chunk = stream.read(4096)
            if not chunk:
                break
            begin = chunk.removeprefix(_BOM).lstrip()
        self.first = begin[:1]
        self._begin = begin

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        if self._begin:
            begin, self._begin = self._begin, b""
            return begin
        return self._stream.read(size)
