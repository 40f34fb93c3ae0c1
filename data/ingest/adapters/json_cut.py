"""JSON values cut out of a stream without decoding them: those that follow each other, the items of
an array, and those of a list within a document, however large the document is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import BinaryIO

from data.ingest.adapters.adapter import Reading
from data.ingest.adapters.common import CUT_OFF, decoded
from data.ingest.validation import Fault

_READ = 1 << 20
# Bytes of one value; no log entry of any system comes near it.
_LONGEST = 32 << 20
# A text (perhaps without its end), a bracket, or the beginning of a line whose first letter is {.
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*("?)|[{}\[\]]|\n[ \t]*(?=\{)')
_NOTHING = re.compile(rb"(?!)")
_BETWEEN = b" \t\r\n,]}\x1e\0\xef\xbb\xbf"
_SHOWN = 60


def cut_json(
    stream: BinaryIO, lists: Collection[bytes] = (), between: re.Pattern[bytes] = _NOTHING
) -> Iterator[tuple[int, bytes | Fault]]:
    """The objects of a stream as bytes, each with its number from 1.

    Yields the objects that follow each other, with or without line ends; of an array its items; of
    an object with a list under one of the names `lists` the items of that list instead. What stands
    between objects and is neither a comma nor matched by `between` is a `Fault`, and so is an
    object that does not end; reading goes on with the next line that begins as the object did.
    Holds one object at a time. Raises `Fault` for one of more than 32 MiB.
    """
    return _Cutter(stream, lists, between).values()


class _Cutter:
    """Where a stream is read; positions are those in `_data`."""

    def __init__(
        self, stream: BinaryIO, lists: Collection[bytes], between: re.Pattern[bytes]
    ) -> None:
        self._stream = stream
        self._lists = frozenset(b'"' + name + b'"' for name in lists)
        self._quiet = between
        self._data = b""
        self._number = 0
        # Brackets that are open, and how many of them are around the values to yield.
        self._open = bytearray()
        self._base = 0
        # Of the value that is open, of what stands between values, and behind the name of a list.
        self._start = -1
        self._rest = 0
        self._name = -1
        # What stands before the value on its line, if that is blank.
        self._indent = b""
        # Behind the list of a document, and behind a value that is damaged.
        self._behind = False
        self._lost = False

    def values(self) -> Iterator[tuple[int, bytes | Fault]]:
        scanned, size, ended = 0, _READ, False
        while not ended:
            chunk = self._stream.read(size)
            ended = not chunk
            scanned -= self._forget(scanned)
            self._data += chunk
            scanned, found = self._scan(scanned, ended)
            for value in found:
                self._number += 1
                yield self._number, value
            held = len(self._data) - self._start if self._start >= 0 else 0
            if held > _LONGEST:
                raise Fault("", f"longer than {_LONGEST >> 20} MiB; the rest is not read")
            # A text is read again from its beginning, so more is added each time.
            size = max(_READ, held)
        if not self._lost and (self._start >= 0 or self._open):
            yield self._number + 1, Fault("", CUT_OFF)

    def _forget(self, scanned: int) -> int:
        """Drop what is no longer needed; returns how many bytes that is."""
        unread = self._rest if not (self._behind or self._lost) else scanned
        dropped = min(scanned, self._start if self._start >= 0 else unread)
        self._data = self._data[dropped:]
        self._start = max(self._start - dropped, -1) if self._start >= 0 else -1
        self._rest = max(self._rest - dropped, 0)
        self._name -= dropped
        return dropped

    def _scan(self, first: int, ended: bool) -> tuple[int, list[bytes | Fault]]:
        """Read the tokens from `first` on: up to where all is known, and what was found."""
        data, found = self._data, list[bytes | Fault]()
        for token in _TOKEN.finditer(data, first):
            begin = token.start()
            kind = data[begin]
            if kind == 0x0A:
                self._line(begin, token.end(), found)
            elif self._lost:
                continue
            elif kind == 0x22:
                if not token[1]:
                    if token.end() >= len(data) - 1:
                        # Not all is read yet, or else this is where the file is cut off.
                        return begin, found
                    if self._open:
                        self._damaged(found)
                elif len(self._open) == 1 and (self._behind or self._base == 0):
                    self._name = token.end() if token[0] in self._lists else -1
            elif kind in b"{[":
                self._opens(kind, begin, token.end(), found)
            else:
                self._closes(begin, token.end(), found)
        if ended or (self._start < 0 and len(data) - self._rest > _READ):
            self._between(len(data), found)
            self._rest = len(data)
        # A line may begin with what is not read yet.
        tail = data[-256:].rstrip(b" \t")
        return len(data) - (len(data[-256:]) - len(tail) + 1 if tail[-1:] == b"\n" else 0), found

    def _opens(self, kind: int, begin: int, end: int, found: list[bytes | Fault]) -> None:
        is_list = kind == 0x5B
        if (
            is_list
            and self._name >= 0
            and len(self._open) == 1
            and self._data[self._name : begin].strip() == b":"
        ):
            self._base, self._start, self._rest = 2, -1, end
            self._behind = False
        elif self._start < 0 and not self._behind and len(self._open) == self._base:
            if is_list and not self._open:
                if self._data[self._rest : begin].strip(_BETWEEN):
                    # A bracket in the words before a value.
                    return
                self._base, self._rest = 1, end
            else:
                self._between(begin, found)
                self._start = begin
                line = self._data.rfind(b"\n", max(0, begin - 256), begin) + 1
                before = self._data[line:begin] if line else b""
                self._indent = before if not before.strip(b" \t") else b""
        self._open.append(kind)

    def _closes(self, begin: int, end: int, found: list[bytes | Fault]) -> None:
        if not self._open:
            return
        self._open.pop()
        depth = len(self._open)
        if self._start >= 0:
            if depth == self._base:
                found.append(self._data[self._start : end])
                self._start, self._rest = -1, end
        elif depth < self._base:
            self._between(begin, found)
            self._behind, self._base, self._name = depth == 1, 0, -1
            self._rest = end
        elif depth == 0:
            self._behind, self._rest = False, end

    def _line(self, begin: int, end: int, found: list[bytes | Fault]) -> None:
        """A line that begins with {: within a value only where one may stand there."""
        if not (self._lost or self._start >= 0) or self._data[begin + 1 : end] != self._indent:
            return
        if not self._lost:
            before = self._data[max(self._start, begin - 256) : begin].rstrip()[-1:]
            if before in ((b",", b"[") if self._open[-1:] == b"[" else (b":",)):
                return
            self._damaged(found)
        self._lost = False
        self._rest = begin

    def _damaged(self, found: list[bytes | Fault]) -> None:
        """Give up the value that is open."""
        found.append(Fault("", "not JSON, or cut off: a line ends in the middle of a value"))
        del self._open[self._base :]
        self._start, self._lost = -1, True

    def _between(self, end: int, found: list[bytes | Fault]) -> None:
        """Report what stands before `end` and is no value."""
        if self._start >= 0 or self._behind or self._lost:
            return
        words = self._data[self._rest : end].strip(_BETWEEN)
        if words and not self._quiet.fullmatch(words):
            shown = words[:_SHOWN].decode("utf-8", "backslashreplace")
            found.append(Fault("", f"not JSON: {shown!r}"))


def lines_or_cut(head: bytes, prefix: re.Pattern[bytes] = _NOTHING) -> Reading:
    """How a file is read that has objects as lines, each perhaps behind a `prefix`, or else objects
    in an array or one after the other."""
    lines = (prefix.sub(b"", line.strip(), count=1) for line in head.split(b"\n", 20)[:20])
    return Reading.LINES if any(map(_is_object, lines)) else Reading.CUT


def _is_object(line: bytes) -> bool:
    """Whether a line is an object that holds something."""
    if not line.startswith(b"{") or b":" not in line:
        return False
    try:
        return isinstance(decoded(line), dict)
    except Fault:
        return False
