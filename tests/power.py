"""A disk whose power can be cut, and the system calls of a command in their order."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# <linux/fs.h>: FS_IOC_SHUTDOWN, _IOR('X', 125, __u32); 2: without writing the journal.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_PIECES = re.compile(r"^(\d+)\s+(.*)$")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"^\w+\(\d+<([^>]*)>")


def command(*arguments: object) -> list[str]:
    """A command of this clone, as its own process."""
    return [sys.executable, "-m", "cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


class Disk:
    """An ext4 file system in a file, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder

    def cut(self) -> None:
        """What is not on the disk by now never gets there; then the disk is mounted again."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)
        _unmount(self.folder)
        self.mount()

    def mount(self) -> None:
        _call("mount", "-o", "loop", self.image, self.folder)


@contextmanager
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A new `Disk`; skips the test where none can be made."""
    for program in ("mkfs.ext4", "losetup", "mount"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if os.getuid() != 0:
        pytest.skip("only root can mount a disk")
    new = Disk(tmp_path / "disk.img", tmp_path / "disk")
    new.folder.mkdir()
    with new.image.open("wb") as file:
        file.truncate(256 << 20)
    _call("mkfs.ext4", "-q", "-F", new.image)
    try:
        new.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device can be mounted here: {error.stderr.strip()}")
    try:
        yield new
    finally:
        _unmount(new.folder)


@dataclass(frozen=True)
class Call:
    """A system call that has returned: its name, and the paths it was given."""

    name: str
    paths: tuple[str, ...]
    creates: bool = False


def traced(out: Path, arguments: Sequence[str]) -> list[Call]:
    """Run a process under strace; its calls on files in the order in which they returned."""
    if not shutil.which("strace"):
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    calls = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,openat,mkdir,mkdirat,link"
    options = ["-f", "-y", "--seccomp-bpf", "-s", "4096", "-e", f"trace={calls}", "-o", str(out)]
    process = subprocess.run(
        ["strace", *options, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in process.stderr and process.returncode:
        pytest.skip(f"processes cannot be traced here: {process.stderr.strip()[:200]}")
    assert process.returncode == 0, process.stderr
    return list(_parsed(out.read_text("utf-8", "replace").splitlines()))


def _parsed(lines: Sequence[str]) -> Iterator[Call]:
    begun: dict[str, str] = {}
    for line in lines:
        match = _PIECES.match(line)
        if not match:
            continue
        process, text = match.groups()
        if text.endswith("<unfinished ...>"):
            begun[process] = text
            continue
        if text.startswith("<... "):
            text = begun.pop(process, "") + text
        if " = -1 " in text or "(" not in text:
            continue
        name = text.split("(")[0]
        if name in ("fsync", "fdatasync"):
            found = _DESCRIPTOR.match(text)
            yield Call(name, (found[1],) if found else ())
        else:
            yield Call(name, tuple(_QUOTED.findall(text)), "O_CREAT" in text or "mkdir" in name)


def _unmount(folder: Path) -> None:
    for _ in range(50):
        if (
            subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode
            == 0
        ):
            return
        time.sleep(0.1)
    _call("umount", "-l", folder)


def _call(*arguments: object) -> None:
    subprocess.run([*map(str, arguments)], check=True, capture_output=True, text=True)
