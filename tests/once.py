"""Folders that take long to build, built once per run by the first test process that needs one."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

# A name, and a function that fills a new folder -> the filled folder, to be read only.
Once = Callable[[str, Callable[[Path], object]], Path]
T = TypeVar("T")


def builder(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """A function that builds folders in the run's temporary folder, which its processes share."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = root / f"once-{name}", root / f"once-{name}.done"
        # Later processes wait; if filling fails, every test that needs the folder fails on its own.
        with FileLock(root / f"once-{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return once


def value(once: Once, name: str, make: Callable[[], T]) -> T:
    """What `make` returns, made once per run; each process has a copy of its own."""
    folder = once(name, lambda folder: (folder / "value").write_bytes(pickle.dumps(make())))
    made: T = pickle.loads((folder / "value").read_bytes())
    return made
