"""The engine that runs tasks on a Ray cluster: an actor per CPU, each with a process of its own.

Ray is imported here alone. A cluster is joined, never started; its nodes need this Faultline and
the store at the same path (see docs/cluster.md), which every actor checks before its first task.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from data.errors import ClusterError, NotInstalled, UsageError, WorkerLost
from data.parallel import Engine
from data.software import fingerprint

if TYPE_CHECKING:
    from types import ModuleType

T = TypeVar("T")

# Seconds in which a cluster has to answer; and in which a node has to see a file just written, as
# network file systems remember for a while that a file was not there.
_ANSWERS_S, _APPEARS_S = 10.0, 10.0
# Processes that one task may cost: an unlucky task loses one, rarely two; the third is its own
# fault.
_MOST_LOST = 3
# Bytes of a shared file that are compared, at its beginning and at its end.
_COMPARED = 1 << 20
_ADDRESS = re.compile(r"auto|[^\s/:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
# Neither what Ray's processes log nor its statistics of use belong on a terminal, or anywhere.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SharedFile(NamedTuple):
    """A file that every node has to have, with its size and a checksum of its ends."""

    path: str
    size: int
    checksum: str

    @classmethod
    def of(cls, path: Path) -> SharedFile:
        size = path.stat().st_size
        with path.open("rb") as file:
            ends = file.read(_COMPARED)
            file.seek(max(0, size - _COMPARED))
            ends += file.read(_COMPARED)
        return cls(str(path), size, hashlib.sha256(ends).hexdigest())


@contextmanager
def cluster(
    address: str, workers: int | None = None, told: Callable[[str], None] | None = None
) -> Iterator[Engine]:
    """The engine of the cluster at `address`: "auto" for the one of this machine, or HOST:PORT.

    Parameters
    ----------
    workers: most actors, each of which takes one CPU; by default as many as there are CPUs.
    told: called with what is waited for.

    Raises `NotInstalled` without Ray, `UsageError` for what is no address, `ClusterError` if no
    cluster answers there, or it has no CPU.
    """
    _must_be_an_address(address)
    ray = _ray()
    if (given := os.environ.get("RAY_ADDRESS")) and address == "auto":
        _must_be_an_address(given, " in RAY_ADDRESS")
    _probe(address)
    # Ray replaces the handlers of signals by its own, which end the process.
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _STOPS if main}
    try:
        with _silence():
            ray.init(address=address, log_to_driver=False, logging_level="critical")
        for number, handler in handlers.items():
            signal.signal(number, handler)
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if cpus < 1:
            raise ClusterError(
                f"The cluster at {address} has no CPUs for tasks; add a node with: "
                "ray start --address=HOST:PORT --num-cpus=N"
            )

        @contextmanager
        def engine(tasks: int, shared: Sequence[Path] = ()) -> Iterator[_Actors]:
            files = tuple(SharedFile.of(path) for path in shared)
            actors = _Actors(ray, min(tasks, workers or cpus), files, told or (lambda what: None))
            try:
                yield actors
            finally:
                actors.stop()

        yield engine
    finally:
        ray.shutdown()


@dataclass
class _Actors:
    """Actors that take one task after another; see `data.parallel.Pool`."""

    ray: Any
    most: int
    shared: tuple[SharedFile, ...]
    told: Callable[[str], None]
    idle: list[Any] = field(default_factory=list)
    # By the promise of its answer: an actor that starts, with how many starts had failed before,
    # and one with the number of its task.
    starting: dict[Any, tuple[Any, int]] = field(default_factory=dict)
    busy: dict[Any, tuple[Any, int]] = field(default_factory=dict)
    failed_starts: int = 0

    def map(self, function: Callable[..., T], work: Iterator[tuple[Any, ...]]) -> Iterator[T]:
        """Yield `function(*arguments)` for each tuple of `work`, in order."""
        tasks = dict(enumerate(work))
        waiting = deque(tasks)
        results: dict[int, T] = {}
        lost: Counter[int] = Counter()
        for number in range(len(tasks)):
            while number not in results:
                unfinished = len(waiting) + len(self.busy)
                while len(self.idle) + len(self.starting) + len(self.busy) < min(
                    self.most, unfinished
                ):
                    self._start()
                while self.idle and waiting:
                    actor, task = self.idle.pop(), waiting.popleft()
                    self.busy[actor.run.remote(function, tasks[task])] = (actor, task)
                if not self.busy:
                    self.told("waiting for a free CPU of the cluster")
                promise = self._next()
                if promise is None:
                    continue
                if promise in self.starting:
                    actor, failed_before = self.starting.pop(promise)
                    try:
                        if problem := self._answer(promise):
                            raise ClusterError(problem)
                    except _Died as death:
                        # A node that is lost takes all that begin on it: they count as one.
                        self.failed_starts = max(self.failed_starts, failed_before + 1)
                        if self.failed_starts >= _MOST_LOST:
                            raise _not_started(death) from death
                        self._drop_idle()
                        continue
                    self.idle.append(actor)
                else:
                    actor, task = self.busy.pop(promise)
                    try:
                        results[task] = self._answer(promise)
                    except _Died as death:
                        lost[task] += 1
                        if lost[task] >= _MOST_LOST:
                            raise WorkerLost(
                                f"{_MOST_LOST} processes of the cluster were killed during the "
                                "same part of the work, probably for lack of memory; give each "
                                "more of it, or start the nodes with fewer CPUs."
                            ) from death
                        waiting.appendleft(task)
                        self._kill(actor)
                        self._drop_idle()
                        continue
                    self.failed_starts = 0
                    self.idle.append(actor)
            yield results.pop(number)

    def stop(self) -> None:
        """Kill all actors, in the middle of their tasks too."""
        self._drop_idle()
        for actor, _ in (*self.starting.values(), *self.busy.values()):
            self._kill(actor)
        self.starting, self.busy = {}, {}

    def _drop_idle(self) -> None:
        """Kill the actors that do nothing: after a death, they may have been on the same node."""
        for actor in self.idle:
            self._kill(actor)
        self.idle = []

    def _start(self) -> None:
        kind = self.ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker)
        actor = kind.remote()
        promise = actor.problem.remote(self.shared, fingerprint())
        self.starting[promise] = (actor, self.failed_starts)

    def _next(self) -> Any:
        """The promise of some answer that is there; None if there is none for a second."""
        promises = [*self.busy, *self.starting]
        ready, _ = self.ray.wait(promises, num_returns=1, timeout=1.0)
        return ready[0] if ready else None

    def _answer(self, promise: Any) -> Any:
        """What was promised; raises `_Died`, or what the task raised."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(promise)
        except errors.RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from None
            raise _Died(str(error)) from error
        except (errors.RaySystemError, errors.RpcError) as error:
            raise ClusterError(
                "The connection to the cluster was lost; see whether its head node still runs, "
                "and run the command again."
            ) from error
        except errors.RayError as error:
            raise _Died(str(error)) from error

    def _kill(self, actor: Any) -> None:
        # It may be dead, or the whole cluster.
        with suppress(Exception):
            self.ray.kill(actor, no_restart=True)


class _Died(Exception):
    """An actor, or the node it was on, is gone."""


def _not_started(death: _Died) -> ClusterError:
    """The error for actors that die before they answer."""
    missing = re.search(r"No module named '([\w.]+)'", str(death))
    if missing:
        return ClusterError(
            f"A node of the cluster has no module '{missing[1]}'; install the same Faultline on "
            "every node, and start its Ray with the Python that has it."
        )
    reason = next((line for line in reversed(str(death).splitlines()) if line.strip()), "")
    return ClusterError(
        "Processes of the cluster end before they begin to work "
        f"({reason.strip()[:200].rstrip('.')}); see Ray's logs on its nodes."
    )


class _Worker:
    """What runs in an actor's process."""

    def problem(self, shared: Sequence[SharedFile], expected: dict[str, str]) -> str | None:
        """Why this node cannot do the work, in a sentence; None if it can."""
        # As on the command line, before anything is imported that reads them.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        node = f"The node {_ray().util.get_node_ip_address()}"
        here = fingerprint()
        for name, theirs in expected.items():
            if here.get(name) != theirs:
                return (
                    f"{node} has {name} {here.get(name)}, this machine {theirs}; results would "
                    "depend on the node, so install the same versions on every one."
                )
        folders = dict.fromkeys(Path(file.path).parent for file in shared)
        for file in shared:
            if problem := _differs(file):
                return f"{node} {problem}"
        for folder in folders:
            try:
                probe = folder / f".{os.uname().nodename}-{os.getpid()}"
                probe.touch()
                probe.unlink()
            except OSError as error:
                return (
                    f"{node} cannot write to {folder} ({error.strerror}); give the user that its "
                    "Ray runs as the permission to."
                )
        return None

    def run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        return function(*arguments)


def _differs(file: SharedFile) -> str | None:
    """What is wrong with a file on this node; it may take some seconds to appear."""
    patience = time.monotonic() + _APPEARS_S
    path = Path(file.path)
    while True:
        try:
            same = SharedFile.of(path) == file
        except OSError as error:
            problem = f"does not see {path} ({error.strerror})"
        else:
            if same:
                return None
            problem = f"has another file at {path}"
        if time.monotonic() > patience:
            return (
                f"{problem}; the store has to be at the same path on every node, on a file system "
                "that they share."
            )
        time.sleep(0.5)


def _ray() -> ModuleType:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with _silence():
            import ray
    except ImportError as error:
        raise NotInstalled(
            "Ray is not installed; run: pip install 'faultline-voice[ray]'"
        ) from error
    return ray


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing gets to standard error: Ray's libraries write there, past Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _must_be_an_address(address: str, where: str = "") -> None:
    if address.startswith("ray://"):
        raise UsageError(
            f"'{address}'{where} is the address of a Ray client, which cannot be used; run the "
            "command on a node of the cluster with --ray auto, or give HOST:PORT."
        )
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"'{address}'{where} is no address of a Ray cluster; give auto, for the cluster that "
            "this machine is a node of, or HOST:PORT."
        )


def _probe(address: str) -> None:
    """Raise `ClusterError` unless a cluster answers.

    In a process of its own, as Ray waits for minutes for what does not answer, and may abort.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_S).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from error
    command = [sys.executable, "-P", "-m", "data.cluster", address]
    # The modules of this process, wherever it was started.
    paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_ANSWERS_S
        )
        said = json.loads(done.stdout.strip().split("\n")[-1])
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer for {_ANSWERS_S:.0f} seconds") from error
    except ValueError as error:
        raise _unreachable(address, "what is there is no Ray, or another version") from error
    if said["problem"]:
        raise _unreachable(address, said["problem"])


def _unreachable(address: str, reason: str) -> ClusterError:
    where = "this machine (auto)" if address == "auto" else address
    return ClusterError(
        f"There is no usable Ray cluster at {where}: {reason.rstrip('.')}. Start its head with: "
        "ray start --head, and give the address that this prints."
    )


def _answering() -> None:
    """What `_probe` runs: join the cluster and leave; print what is in the way as JSON."""
    problem = None
    ray = _ray()
    try:
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level="critical")
        ray.shutdown()
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        problem = (lines or [type(error).__name__])[0][:300]
    print(json.dumps({"problem": problem}), flush=True)
    # Ray's own threads may wait for what does not answer.
    os._exit(0)


if __name__ == "__main__":
    _answering()
