"""A virtual environment per peer, as they disagree about the versions of what they share."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

WORKERS = Path(__file__).parent / "workers"
# What is installed where Faultline's own environment does not have the peer already.
PEERS = {
    "arize-phoenix": ("arize-phoenix==20.26.1",),
    "explainerdashboard": ("explainerdashboard==0.5.8", "lightgbm==4.7.0"),
}


class NotInstallable(Exception):
    """A peer that does not install here; says why in one sentence."""


@dataclass(frozen=True)
class Peer:
    """An installed peer: its name, its version, and the Python that has it."""

    name: str
    version: str
    python: Path

    @classmethod
    def installed(cls, name: str, folder: Path) -> Peer:
        """The peer that this Python has, else the one in `folder`, installed there if need be.

        Raises `NotInstallable`.
        """
        with suppress(PackageNotFoundError):
            return cls(name, version(name), Path(sys.executable))
        home = (folder / name).absolute()
        python = home / "bin" / "python"
        ready = home / ".ready"
        if not ready.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            _run(name, sys.executable, "-m", "venv", "--clear", home)
            _run(name, python, "-m", "pip", "install", "--quiet", *PEERS[name])
            ready.touch()
        ask = f"from importlib.metadata import version; print(version({name!r}))"
        return cls(name, _run(name, python, "-c", ask).strip(), python)

    def run(self, worker: str, *arguments: object) -> str:
        """What a script of `benchmarks.peers.workers` prints, run by the peer's Python.

        Raises `RuntimeError` with its last words if it fails.
        """
        command = [str(self.python), str(WORKERS / f"{worker}.py"), *map(str, arguments)]
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        result = subprocess.run(command, capture_output=True, text=True, env=offline)
        if result.returncode:
            raise RuntimeError(f"{self.name} failed:\n{result.stderr[-2000:]}")
        return result.stdout


def _run(name: str, *command: object) -> str:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip() or result.stdout.strip() or "no reason").splitlines()[-1]
        raise NotInstallable(f"{name} does not install here: {last}")
    return result.stdout
