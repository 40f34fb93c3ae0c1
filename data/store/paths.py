"""Names of files and folders, which need not be valid UTF-8."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from data.errors import UsageError

T = TypeVar("T", str, Path)


def printable(name: str | Path) -> str:
    """`name` as valid text: undecodable bytes are escaped, as in `\\\\udce9`."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def must_be_text(name: T) -> T:
    """Return `name`; raises `UsageError` if it is not valid UTF-8, which Delta and Parquet need."""
    try:
        str(name).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The name {printable(name)} is not valid UTF-8; give another.") from error
    return name
