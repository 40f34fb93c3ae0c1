"""What a file is, told by its first bytes, where it is not lines of JSON."""

from __future__ import annotations

import re

# First bytes, and what the file is called.
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x5d\x00\x00", "an lzma file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"\x02\x21\x4c\x18", "an lz4 file"),
    (b"\xff\x06\x00\x00sNaPpY", "a snappy file"),
    (b"\xff\x06\x00\x00S2sTwO", "an s2 file"),
    (b"LZIP", "an lzip file"),
    (b"\x89LZO\x00", "an lzop file"),
    (b"\x1f\x9d", "a file packed with compress"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"%PDF-", "a PDF"),
)
# What these are called by their names; brotli has no first bytes.
_PACKED = {
    ".br": "a brotli file",
    ".bz2": "a bzip2 file",
    ".xz": "an xz file",
    ".lzma": "an lzma file",
    ".lz4": "an lz4 file",
    ".sz": "a snappy file",
    ".lz": "an lzip file",
    ".z": "a file packed with compress",
    ".zip": "a zip archive",
    ".7z": "a 7z archive",
}
REFUSED = tuple(_PACKED)
# What was expected in place of a file that has another use.
NOT_LINES = "expected one JSON object per line, or Parquet"
_TAR = 257
_UNPACK = "unpack it first, or pack it with gzip or zstd"


def refused(head: bytes, name: str) -> str | None:
    """Why a file that begins with `head` cannot be read as lines: "is an xz file; unpack it …".

    None if it may hold lines. `head` has been unpacked; at least its first 300 bytes are needed.
    """
    if head[_TAR : _TAR + 5] == b"ustar":
        return "is a tar archive; unpack it first, and ingest the folder"
    for magic, kind in _KINDS:
        if head.startswith(magic):
            return f"is {kind}; {_advice(kind)}"
    if coding := _coding(head):
        return f"is {coding} text; write it as UTF-8 (iconv -f {coding} -t UTF-8)"
    lowered = name.lower()
    for suffix, kind in _PACKED.items():
        if lowered.endswith(suffix) and not head.lstrip().startswith(b"{"):
            return f"is {kind}, by its name; {_UNPACK}"
    return None


def _advice(kind: str) -> str:
    if kind == "a Parquet file":
        return "use the format parquet for it"
    if kind == "an encrypted Parquet file":
        return "write it without encryption"
    if kind in ("a gzip file", "a zstd file"):
        return "it was packed twice: unpack it once"
    if "archive" in kind:
        return "unpack it first, and ingest the folder"
    if kind in ("an ORC file", "an Avro file", "an Arrow file", "an SQLite database", "a PDF"):
        return NOT_LINES
    return _UNPACK


def _coding(head: bytes) -> str | None:
    """The name of an encoding of text in two or four bytes a letter."""
    if head.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    # Without a mark: JSON begins with ASCII.
    if re.match(rb"[\[{\s]\x00\x00\x00", head):
        return "UTF-32LE"
    if re.match(rb"\x00\x00\x00[\[{\s]", head):
        return "UTF-32BE"
    if re.match(rb"[\[{\s]\x00", head):
        return "UTF-16LE"
    if re.match(rb"\x00[\[{\s]", head):
        return "UTF-16BE"
    return None
