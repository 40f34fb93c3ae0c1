"""Home Assistant: the runs of its Assist pipelines, asked for over the WebSocket API.

It keeps the last ten runs of each pipeline, in memory. They are asked for before ten newer ones
push one out (the more come, the sooner), and ingested when they have ended. What has been collected
lately is remembered in a file: requests with short pauses are one dialogue, so that those which
came before are ingested once more with a new one, and stay what they are.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog
from websockets.exceptions import InvalidHandshake, InvalidMessage, WebSocketException
from websockets.sync.client import ClientConnection, connect

from collect.ingester import missing
from data.errors import CollectError, FaultlineError, NoTurns, UsageError, machine_error
from data.ingest.adapters.adapter import Settings
from data.ingest.adapters.common import microseconds
from data.ingest.adapters.home_assistant import is_finished, run_line
from data.ingest.ingest import ingest
from data.ingest.validation import Fault
from data.store.durability import replacing
from data.store.store import Store

# Runs that Home Assistant keeps of each pipeline.
KEPT = 10
# Seconds: the shortest pause between two looks, and after which a run that has not ended is taken
# as it is (pipelines end by themselves after five minutes).
_SHORTEST = 0.5
_ABANDONED = 360.0
# Seconds before the first and the last attempt to connect again.
_BACKOFF = (1.0, 60.0)
_TIMEOUT = 30.0
# Seconds that a Home Assistant gets to start, before it is said to have no Assist.
STARTING_S = 300.0
_LARGEST = 64 << 20
# Runs that are remembered at most.
_REMEMBERED = 2_000
_LOG = structlog.get_logger()


class Run(msgspec.Struct):
    """A run that was collected.

    Attributes
    ----------
    id: pipeline and run. at: its beginning in microseconds. line: as the adapter reads it.
    settled: it has been asked for again after its end, and had not changed.
    """

    id: str
    at: int
    line: bytes
    settled: bool = False


@dataclass
class Client:
    """Asks the Home Assistant at `url` until `stop`.

    Attributes
    ----------
    every: seconds between two looks while little happens. waiting: it can be interrupted now.
    """

    url: str
    token: str
    store: Store
    folder: Path
    every: float
    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)
    waiting: bool = False
    turns: int = 0
    quarantined: int = 0

    def __post_init__(self) -> None:
        self._address = address(self.url)
        self._runs = _read(self.folder / "recent.msgpack")
        self._pending: set[str] = set()
        self._pause = self.every
        # Of each pipeline, whether its runs have been asked for since the connection.
        self._asked: set[str] = set()
        self._said = ""
        # Whether it has answered at all, and whether the last attempt failed.
        self._worked = self._failing = False
        self._backoff = _BACKOFF[0]
        self._first = time.monotonic()

    def run(self) -> None:
        """Collect until `stop` is set; connects again whenever the connection is lost.

        Raises `CollectError` where that would not help.
        """
        self._first = time.monotonic()
        try:
            while not self.stop.is_set():
                try:
                    with self._connected() as connection:
                        self._watch(connection)
                except (OSError, WebSocketException, TimeoutError) as error:
                    self._retry(f"No connection to {self.url}: {_reason(error)}; trying again.")
                except _NotNow as error:
                    self._retry(f"{error}; trying again.")
        except KeyboardInterrupt:
            if not self.stop.is_set():
                raise

    def _retry(self, sentence: str) -> None:
        """Say what is wrong, and wait for the next attempt, longer each time."""
        self._say(sentence)
        self._failing = True
        self._wait(self._backoff)
        self._backoff = min(2 * self._backoff, _BACKOFF[1])

    # -- the connection ------------------------------------------------------------------------

    @contextmanager
    def _connected(self) -> Iterator[_Connection]:
        with self._interruptible():
            socket = connect(self._address, open_timeout=_TIMEOUT, max_size=_LARGEST)
        with socket:
            connection = _Connection(socket, self._interruptible)
            kind = connection.next().get("type")
            if kind == "auth_required":
                connection.send({"type": "auth", "access_token": self.token})
                kind = connection.next().get("type")
            if kind == "auth_invalid":
                raise CollectError(
                    f"Home Assistant at {self.url} does not accept the token; make a long-lived "
                    "access token on the page of your profile there, under Security, and put it "
                    "into FAULTLINE_HOME_ASSISTANT_TOKEN."
                )
            if kind != "auth_ok" and self._worked:
                # A proxy before it, perhaps.
                raise _NotNow(f"What answers at {self.url} is not Home Assistant")
            if kind != "auth_ok":
                raise CollectError(
                    f"What answers at {self.url} is not Home Assistant; give the address that you "
                    "open it with, such as http://homeassistant.local:8123."
                )
            self._asked.clear()
            _LOG.info("connected", url=self.url)
            yield connection

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A signal need not wait for what is done inside."""
        self.waiting = True
        try:
            if self.stop.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self.waiting = False

    def _wait(self, seconds: float) -> None:
        with self._interruptible():
            self.stop.wait(seconds)

    def _say(self, sentence: str) -> None:
        """Tell a sentence, but not the same one again and again."""
        if sentence and sentence != self._said:
            _LOG.warning("home_assistant", message=sentence)
        self._said = sentence

    # -- runs ----------------------------------------------------------------------------------

    def _watch(self, connection: _Connection) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            most = self.look(connection)
            self._worked = True
            if self._failing:
                self._failing, self._backoff = False, _BACKOFF[0]
                self._say("")
            if most > KEPT // 3:
                self._pause = max(_SHORTEST, self._pause / 2)
            elif most <= 1:
                self._pause = min(self.every, self._pause * 1.5)
            self._wait(max(0.0, self._pause - (time.monotonic() - began)))

    def look(self, connection: _Connection) -> int:
        """Collect what is new; how many new runs the busiest pipeline had."""
        listed = self._ask(connection, "assist_pipeline/pipeline/list")
        new: list[int] = [0]
        shown: set[str] = set()
        for pipeline in listed.get("pipelines", ()):
            name = str(pipeline["id"])
            try:
                answer = self._ask(
                    connection, "assist_pipeline/pipeline_debug/list", pipeline_id=name
                )
            except _NotFound:
                # Deleted since it was listed.
                continue
            runs = [str(run["pipeline_run_id"]) for run in answer.get("pipeline_runs", ())]
            ids = [f"{name} {run}" for run in runs]
            shown.update(ids)
            unknown = [id for id in ids if id not in self._runs]
            if name in self._asked and len(unknown) == len(ids) >= KEPT:
                self._say(
                    f"All {len(ids)} runs that Home Assistant has of the pipeline "
                    f"{pipeline.get('name', name)} are new: some may be missing. "
                    "A smaller --every looks more often."
                )
            self._asked.add(name)
            new.append(len(unknown))
            for run, id in zip(runs, ids, strict=True):
                known = self._runs.get(id)
                if known is None or not known.settled:
                    self._collect(connection, name, run, known)
        if self._pending:
            self._ingest()
            self._forget(shown)
        return max(new)

    def _collect(self, connection: _Connection, pipeline: str, run: str, known: Run | None) -> None:
        try:
            answer = self._ask(
                connection,
                "assist_pipeline/pipeline_debug/get",
                pipeline_id=pipeline,
                pipeline_run_id=run,
            )
        except _NotFound:
            # Pushed out since it was listed.
            return
        at = _began(answer)
        if not is_finished(answer) and time.time() - at / 1e6 < _ABANDONED:
            return
        line = run_line(answer, pipeline, run)
        id = f"{pipeline} {run}"
        if known is not None and known.line == line:
            known.settled = True
        else:
            self._runs[id] = Run(id, at, line)
            self._pending.add(id)

    def _ask(self, connection: _Connection, kind: str, **values: str) -> dict[str, Any]:
        try:
            return connection.ask(kind, **values)
        except _Refused as refusal:
            if refusal.code == "unauthorized":
                raise CollectError(
                    f"The token for {self.url} is not an administrator's, who alone may see the "
                    "runs of pipelines; make one as an administrator."
                ) from None
            if refusal.code == "not_found" and values:
                raise _NotFound from None
            unknown = refusal.code == "unknown_command"
            # While it starts, it answers before all of its parts are there.
            starting = unknown and time.monotonic() - self._first < STARTING_S
            if self._worked or starting:
                raise _NotNow(
                    f"Home Assistant at {self.url} refuses {kind}: {refusal.code}"
                ) from None
            if unknown:
                raise CollectError(
                    f"Home Assistant at {self.url} has no Assist pipelines; add assist_pipeline: "
                    "to its configuration.yaml, or use one of 2023.5 or later."
                ) from None
            raise CollectError(
                f"Home Assistant at {self.url} refuses {kind}: {refusal.code}."
            ) from None

    def _ingest(self) -> None:
        """Ingest what is pending, with the runs that may belong to the same dialogues."""
        runs = sorted(self._runs.values(), key=lambda run: run.at)
        first = min(index for index, run in enumerate(runs) if run.id in self._pending)
        while first and runs[first].at - runs[first - 1].at <= 2 * self.settings.idle_us:
            first -= 1
        # The same while a dialogue goes on, so that what is faulty in it is in quarantine once.
        since = datetime.fromtimestamp(runs[first].at / 1e6, UTC).isoformat(timespec="milliseconds")
        name = f"home-assistant {self.url} {since}"
        try:
            with TemporaryDirectory(prefix="faultline-", dir=self.folder) as folder:
                path = Path(folder) / "runs.jsonl"
                path.write_bytes(b"".join(run.line for run in runs[first:]))
                report = ingest(
                    self.store,
                    [path],
                    format="home-assistant",
                    workers=1,
                    name=name,
                    settings=self.settings,
                )
            (file,) = report.files
            self.turns += file.turns - file.unchanged - file.replaced
            self.quarantined += file.quarantined
            new = file.turns - file.unchanged - file.replaced
            _LOG.info("stored", turns=new, replaced=file.replaced, quarantined=file.quarantined)
        except NoTurns:
            pass
        except (FaultlineError, OSError) as error:
            problem = missing(self.store.path) or machine_error(error, self.store.path) or error
            self._say(f"{problem} It is tried again with the next look.")
            return
        self._pending.clear()

    def _forget(self, shown: set[str]) -> None:
        """Forget what neither Home Assistant still shows nor the next dialogue can need."""
        runs = sorted(self._runs.values(), key=lambda run: run.at)
        keep = {run.id for run in runs if run.id in shown | self._pending}
        after: Run | None = None
        for run in reversed(runs):
            gap = after is not None and after.at - run.at > 2 * self.settings.idle_us
            if gap or len(keep) >= _REMEMBERED:
                break
            keep.add(run.id)
            after = run
        self._runs = {run.id: run for run in runs if run.id in keep}
        try:
            with replacing(self.folder / "recent.msgpack") as path:
                path.write_bytes(msgspec.msgpack.encode(list(self._runs.values())))
        except OSError as error:
            # They are in memory, and written with the next.
            self._say(str(missing(self.folder) or machine_error(error, self.folder) or error))


class _Refused(Exception):
    """A command that Home Assistant does not carry out."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _NotNow(Exception):
    """Something that may pass, such as a restart; the text is a sentence without its end."""


class _NotFound(Exception):
    """What was asked for is not there."""


class _Connection:
    """Commands and their results; `interruptible` is entered while it waits."""

    def __init__(self, socket: ClientConnection, interruptible: Callable[[], Any]) -> None:
        self._socket = socket
        self._interruptible = interruptible
        self._number = 0
        self._received: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self._socket.send(msgspec.json.encode(message).decode())

    def next(self) -> dict[str, Any]:
        """The next message; raises TimeoutError if none comes, `CollectError` if it is none."""
        while not self._received:
            with self._interruptible():
                text = self._socket.recv(timeout=_TIMEOUT)
            try:
                message = msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError):
                message = None
            each = message if isinstance(message, list) else [message]
            self._received = [item if isinstance(item, dict) else {} for item in each]
        return self._received.pop(0)

    def ask(self, kind: str, **values: str) -> dict[str, Any]:
        """The result of a command; raises `_Refused`."""
        self._number += 1
        self.send({"id": self._number, "type": kind, **values})
        while True:
            message = self.next()
            if message.get("id") == self._number and message.get("type") == "result":
                break
        if not message.get("success"):
            error = message.get("error")
            raise _Refused(str(error.get("code")) if isinstance(error, dict) else "no reason given")
        result = message.get("result")
        return result if isinstance(result, dict) else {}


def address(url: str) -> str:
    """The address of the WebSocket API of the Home Assistant at `url`; raises `UsageError`."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.username or parts.query:
        shown = re.sub(r"//[^@/]*@", "//…@", url.partition("?")[0])
        raise UsageError(
            f"'{shown}' is no address of a Home Assistant; give one such as "
            "http://homeassistant.local:8123, without user or token."
        )
    path = parts.path.rstrip("/").removesuffix("/api/websocket")
    return f"{scheme}://{parts.netloc}{path}/api/websocket"


def _reason(error: Exception) -> str:
    """Why there is no connection, without what was sent."""
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, InvalidHandshake | InvalidMessage):
        return "what answers speaks no WebSockets there"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).rstrip(".").lower()
    return "it was closed"


def _began(answer: dict[str, Any]) -> int:
    """The beginning of a run in microseconds; now where its events do not say."""
    for event in answer.get("events") or ():
        if isinstance(event, dict) and event.get("type") == "run-start":
            try:
                return microseconds(event.get("timestamp"), "timestamp")
            except Fault:
                break
    return round(time.time() * 1e6)


def _read(path: Path) -> dict[str, Run]:
    """The runs in a file, by id; none if it is not there or damaged."""
    try:
        runs = msgspec.msgpack.decode(path.read_bytes(), type=list[Run])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {run.id: run for run in runs}
