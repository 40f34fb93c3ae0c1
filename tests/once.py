"""Folders that take long to build, built once in a run by whichever test process comes first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

# A name and what fills a new folder -> the folder, filled, for reading only.
Once = Callable[[str, Callable[[Path], object]], Path]


def builder(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """What builds a folder under the temporary folder of the run, which its processes share."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = root / f"once-{name}", root / f"once-{name}.done"
        # Whoever comes second waits; if filling failed, every test that needs it fails on its own.
        with FileLock(root / f"once-{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return once
