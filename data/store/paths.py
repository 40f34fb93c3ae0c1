"""Names of files and folders, which need not be valid UTF-8."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from data.errors import UsageError

T = TypeVar("T", str, Path)
# All but tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(name: str | Path) -> str:
    """`name` as valid text: undecodable bytes are escaped, as in `\\\\udce9`, and so are control
    characters, which a terminal would obey."""
    text = str(name).encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def must_not_be_empty(name: str | Path) -> None:
    """Raises `UsageError` for a path without a letter, which would mean the current folder."""
    if not str(name):
        raise UsageError("The path is empty; give a name, or . for the current folder.")


def named_path(name: str) -> Path:
    """The path of this name; raises `UsageError` if it is empty."""
    must_not_be_empty(name)
    return Path(name)


def must_be_text(name: T) -> T:
    """Return `name`; raises `UsageError` if it is not valid UTF-8, which Delta and Parquet need, or
    empty."""
    must_not_be_empty(name)
    try:
        str(name).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The name {printable(name)} is not valid UTF-8; give another.") from error
    return name
