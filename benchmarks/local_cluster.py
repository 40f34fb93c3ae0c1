"""A Ray cluster on this machine that nothing outside can reach, and that ends with its program.

Ray listens on all interfaces, and `RAY_AUTH_MODE=disabled` lets anybody in: its nodes therefore run
in a network namespace that has the loopback interface alone. They run in a process namespace, too:
when its first process ends, the kernel kills all others. That process ends with its standard input,
which closes however the program that started it ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from data.errors import NotInstalled

PORT = 6399
ADDRESS = f"127.0.0.1:{PORT}"
_ROOT = Path(__file__).parent.parent
# The first process: brings loopback up (SIOCSIFFLAGS, IFF_UP), buries children, waits.
_FIRST = """
import fcntl, signal, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 1))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
"""
_NAMESPACES = ("--net", "--pid", "--mount")


@dataclass
class Cluster:
    """The namespaces of a cluster; its nodes are started by `node`.

    first: the process id of their first process. folder: of Ray's files.
    """

    first: int
    folder: Path

    def node(self, core: int | None = None) -> psutil.Process:
        """Start a node with one CPU, the first one being the head; returns its raylet.

        `core`: the only core of this machine that it may use.
        """
        before = set(self._raylets())
        where = ["--address", ADDRESS]
        if not before:
            where = ["--head", "--port", str(PORT), "--include-dashboard=false"]
            where += ["--temp-dir", str(self.folder)]
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        ray = str(Path(sys.executable).with_name("ray"))
        started = self.run(
            *pinned, ray, "start", *where, "--num-cpus=1", "--node-ip-address=127.0.0.1",
            "--object-store-memory=80000000", "--disable-usage-stats",
        )  # fmt: skip
        assert started.returncode == 0, started.stderr
        (new,) = set(self._raylets()) - before
        return new

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command beside the nodes, to its end."""
        with self.start(*command) as process:
            out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a command beside the nodes: what is returned waits for it, and is not it itself;
        see `inside`."""
        enter = ["nsenter", f"--target={self.first}", *_NAMESPACES, f"--wd={_ROOT}", "--"]
        return subprocess.Popen(
            [*enter, *map(str, command)],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> list[psutil.Process]:
        """All processes of the namespaces."""
        own = os.readlink(f"/proc/{self.first}/ns/pid")
        found = []
        for process in psutil.process_iter():
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid") == own:
                    found.append(process)
            except OSError:
                continue
        return found

    def actors(self, raylet: psutil.Process | None = None) -> list[psutil.Process]:
        """Processes of our actors, on one node or on all."""
        among = self.processes() if raylet is None else raylet.children(recursive=True)
        return [process for process in among if _title(process).startswith("ray::_Worker")]

    def _raylets(self) -> list[psutil.Process]:
        return [process for process in self.processes() if process.name() == "raylet"]

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": str(_ROOT),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray's workers would otherwise stand back behind whatever else runs on this machine.
            "RAY_worker_niceness": "0",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def inside(process: subprocess.Popen[str]) -> psutil.Process:
    """The command that `Cluster.start` has started, to be killed or interrupted."""
    (command,) = psutil.Process(process.pid).children()
    return command


def kill(node: psutil.Process) -> None:
    """Kill a node as a power cut does: its raylet and all of its workers at once."""
    for process in (node, *node.children(recursive=True)):
        process.kill()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Namespaces for a cluster that has no node yet; raises `NotInstalled` where there are none."""
    if os.getuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter"))):
        raise NotInstalled(
            "A cluster that nothing outside can reach needs root, unshare and nsenter (util-linux)."
        )
    # Not pytest's own folder: the path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    first: psutil.Process | None = None
    outer = subprocess.Popen(
        ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc",
         sys.executable, "-c", _FIRST],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert outer.stdout is not None
        assert outer.stdin is not None
        assert outer.stdout.readline() == "ready\n"
        (first,) = psutil.Process(outer.pid).children()
        yield Cluster(first.pid, folder)
    finally:
        outer.send_signal(signal.SIGKILL)
        outer.communicate()
        # The first process is gone when all others are, which write into the folder until then.
        limit = time.monotonic() + 30
        while first is not None and first.is_running() and time.monotonic() < limit:
            time.sleep(0.05)
        shutil.rmtree(folder, ignore_errors=True)
