"""Addresses of stores in object stores (`s3://bucket/prefix`), and where their mirrors lie."""

from __future__ import annotations

import json
import os
import re
from hashlib import sha256
from pathlib import Path

from data.addresses import known_as
from data.errors import UsageError, machine_error
from data.store.durability import replacing

# `Path` makes one slash of two, and addresses pass through paths.
_ADDRESS = re.compile(r"(s3|gs|az)://?([^/?#]+)((?:/[^?#]*)?)", re.IGNORECASE)
_ANY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# A store's mirror: what is read of it, and the file that says whose mirror it is.
_STORE, NOTE = "store", "mirror.json"
CACHE = "FAULTLINE_CACHE"


def address_of(path: str | Path) -> str | None:
    """The address that `path` is, without a slash at its end; None for the path of a folder.

    Raises `UsageError` for an address of another kind, or without a bucket.
    """
    text = str(path)
    if match := _ADDRESS.fullmatch(text):
        kind, bucket, prefix = match[1].lower(), match[2], match[3]
        parts = [part for part in prefix.split("/") if part]
        if any(part in (".", "..") for part in parts) or not text.isprintable():
            raise UsageError(
                f"The address '{text}' has a part that no object can have; give one such as "
                "s3://bucket/store."
            )
        return "/".join([f"{kind}://{bucket}", *parts])
    if _ANY.match(text) or re.match(r"(s3|gs|az):/", text, re.IGNORECASE):
        raise UsageError(
            f"'{text}' is not the address of a store; give one such as s3://bucket/store, "
            "gs://bucket/store or az://container/store, or the path of a local folder."
        )
    return None


def cache_folder() -> Path:
    """The folder of all mirrors: FAULTLINE_CACHE, or `faultline` in the user's cache."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given).expanduser().resolve()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().resolve() / "faultline"


def mirror_of(address: str) -> Path:
    """The folder in which the store at an address is mirrored; its note is written if need be.

    Raises `MachineError` if the cache cannot be written.
    """
    slug = re.sub(r"[^A-Za-z0-9]+", "-", address)[:60].strip("-").lower()
    folder = cache_folder() / f"{slug}-{sha256(address.encode()).hexdigest()[:10]}"
    try:
        if not (folder / NOTE).exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # What is in it is as private as what is in the store.
            folder.chmod(0o700)
            with replacing(folder / NOTE) as draft:
                draft.write_text(json.dumps({"address": address}) + "\n", "utf-8")
    except OSError as error:
        raise machine_error(error, folder) or UsageError(
            f"What is read of {address} cannot be kept in {folder} ({error.strerror}); set "
            f"{CACHE} to a folder that can be written."
        ) from error
    known_as(folder / _STORE, address)
    return folder / _STORE


def mirrored_at(root: Path) -> str | None:
    """The address of the store of which `root` is the mirror; None if it is none."""
    if root.name != _STORE:
        return None
    try:
        address = str(json.loads((root.parent / NOTE).read_text("utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known_as(root, address)
    return address
