"""The addresses of stores that are mirrored in local folders, for what people read."""

from __future__ import annotations

from pathlib import Path

# Folder of a mirror -> address of its store.
_ADDRESSES: dict[str, str] = {}


def known_as(folder: Path, address: str) -> None:
    """From now on, `readable` puts `address` in place of `folder`."""
    _ADDRESSES[str(folder)] = address


def readable(text: str) -> str:
    """`text` with the addresses of stores in place of the folders in which they are mirrored."""
    for folder, address in _ADDRESSES.items():
        text = text.replace(folder, address)
    return text
