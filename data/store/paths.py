"""Names of files and folders whose bytes need not be text."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from data.errors import UsageError

T = TypeVar("T", str, Path)


def shown(name: str | Path) -> str:
    """`name` as text, its bytes that are none as `\\\\udce9` and the like."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def must_be_text(name: T) -> T:
    """`name`; raises `UsageError` if it is not valid UTF-8: Delta and Parquet cannot open that."""
    try:
        str(name).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The name {shown(name)} is not valid UTF-8; give another.") from error
    return name
