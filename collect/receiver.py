"""OTLP over HTTP: POST /v1/traces (https://opentelemetry.io/docs/specs/otlp/), and for whoever
runs it GET /health, /ready and /metrics.

A request is acknowledged when its spans are on disk, in the spool; `collect.ingester`, a process of
its own (`collect.serving`), brings them into the store.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collect.ingester import KINDS, REFUSED, Figures, RefusedBody, missing
from collect.metrics import Metrics
from collect.otlp_bodies import (
    JSON,
    TYPES,
    Undecodable,
    checked,
    failure,
    success,
)
from collect.spool import GroupCommit, Writer, packed, size
from data.errors import FaultlineError, machine_error
from data.monitoring import readiness
from data.store.head import read_head

PATH = "/v1/traces"
# Seconds after which a client that was refused for now may try again.
_RETRY_AFTER = "5"
# After so many seconds without a word, the ingesting process is taken to hang; it says nothing
# while it ingests.
SILENT_S = 600.0
_LOG = structlog.get_logger()
# Seconds between two events about requests that were not taken for the same reason.
_LOG_EVERY_S = 10.0
# Bytes written to see whether the spool can be written again.
_TRIED = 4_096
_STOPPING = "The collector is shutting down."
_BEHIND = "The collector is behind."
_CANNOT_WRITE = "The collector cannot write to its disk."


@dataclass
class Counts:
    """What the server has answered since it began."""

    requests: int = 0
    spans: int = 0
    refused_requests: int = 0
    refused_spans: int = 0
    postponed: int = 0


@dataclass(frozen=True)
class Limits:
    """Bytes: of a body, of all bodies that are being taken in (both unpacked), and of the spool.

    `body_s`: seconds in which a body has to come, as what is held of it counts towards `bodies`.
    """

    body: int = 20 << 20
    bodies: int = 256 << 20
    spool: int = 4 << 30
    body_s: float = 60.0


class Receiver:
    """Takes requests in, on behalf of the store at `store`, into the spool `folder`.

    Attributes
    ----------
    figures: the last that the ingesting process told. stopping: no more requests are taken.
    receiving: bytes of bodies that are being taken in, unpacked.
    """

    def __init__(self, folder: Path, limits: Limits, store: Path) -> None:
        self.counts = Counts()
        self.figures = Figures()
        self.stopping = False
        self.limits = limits
        self.metrics = Metrics(folder, lambda: self.figures, lambda: not self.unready())
        self._folder = folder
        self._store = store
        self._commit = GroupCommit(Writer(folder))
        self.receiving = 0
        self._failing = False
        self._told_at = time.monotonic()
        self._spool_size = size(folder)
        self._looked = time.monotonic()
        # When a request was last logged that was not taken, by reason.
        self._logged: dict[str, float] = {}

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._commit.close()

    def application(self, hosts: tuple[str, ...]) -> Starlette:
        """The application; `hosts`: names it answers to, `*` for any."""
        return Starlette(
            routes=[
                Route(PATH, self._traces, methods=["POST"]),
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/metrics", self._metrics),
            ],
            # Otherwise a web page could send, under a name of its own that leads to this machine.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
            exception_handlers={404: _no_such_path, 405: _wrong_method},
        )

    def health(self) -> dict[str, Any]:
        """What GET /health answers."""
        figures = msgspec.structs.replace(self.figures, problem=self._problem())
        status = "ok"
        if self.stopping:
            status = "stopping"
        elif self._failing or figures.problem:
            status = "failing"
        elif self._behind():
            status = "behind"
        told = {
            f"ingest_{key}": value
            for key, value in msgspec.to_builtins(figures).items()
            if not key.startswith("commit")
        }
        return {"status": status, **asdict(self.counts), **told}

    def unready(self) -> str:
        """Why requests are not taken or cannot be stored, as a sentence; empty if all is well.

        Looks at spool and store itself: nothing may have been stored for hours.
        """
        if self.stopping:
            return _STOPPING
        if self._behind():
            return _BEHIND
        if gone := missing(self._store, self._folder):
            return gone
        try:
            read_head(self._store)
            for folder in (self._store, self._folder):
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
            if self._failing:
                # Nobody may send until it is ready again, which would show that it can be written.
                with tempfile.TemporaryFile(dir=self._folder) as file:
                    file.write(bytes(_TRIED))
                    os.fsync(file.fileno())
        except (FaultlineError, OSError) as error:
            return str(machine_error(error, self._store) or error)
        return self._problem() or ""

    def _problem(self) -> str | None:
        """Why nothing is stored at the moment, as far as the ingesting process tells."""
        silent = time.monotonic() - self._told_at
        if self.figures.problem is None and silent > SILENT_S:
            return f"The ingesting process has said nothing for {silent:.0f} s."
        return self.figures.problem

    def told(self, figures: Figures) -> None:
        """The ingesting process has said how it is."""
        before = self.figures if figures.runs >= self.figures.runs else Figures()
        if figures.runs > before.runs:
            _LOG.info(
                "stored",
                turns=figures.turns - before.turns,
                replaced=figures.replaced - before.replaced,
                quarantined=figures.quarantined - before.quarantined,
                lag=round(figures.lag, 3),
                spool_bytes=figures.spool_bytes,
            )
        self.figures = figures
        self._told_at = time.monotonic()

    async def _health(self, _: Request) -> Response:
        return JSONResponse(self.health())

    async def _ready(self, _: Request) -> Response:
        problem = await asyncio.to_thread(self.unready)
        return readiness(problem)

    async def _metrics(self, _: Request) -> Response:
        return await asyncio.to_thread(self.metrics.response)

    async def _traces(self, request: Request) -> Response:
        response = await self._answered(request)
        self.metrics.requests.labels(response.status_code).inc()
        return response

    async def _answered(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in TYPES:
            return self._refused(JSON, 415, "media_type", f"Send {' or '.join(TYPES)}.")
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            return self._refused(kind, 415, "encoding", "The body may be packed with gzip only.")
        if self.stopping:
            return self._postponed(kind, 503, "stopping", _STOPPING)
        if self._behind():
            return self._postponed(kind, 429, "behind", _BEHIND)
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self.limits.body:
            return self._refused(kind, 413, "too_large", self._too_large)
        taken = _Taken()
        try:
            async with asyncio.timeout(self.limits.body_s) as limit:
                return await self._body(request, kind, encoding == "gzip", taken, limit)
        except TimeoutError:
            # Not 408, which exporters do not send again after.
            late = f"The body has not come within {self.limits.body_s:g} s."
            return self._postponed(kind, 503, "late", late)
        except ClientDisconnect:
            return self._refused(kind, 400, "disconnected", "The body ended early.")
        finally:
            self.receiving -= taken.size
            self.metrics.bytes.inc(taken.size)

    async def _body(
        self, request: Request, kind: str, is_packed: bool, taken: _Taken, limit: asyncio.Timeout
    ) -> Response:
        unpack = _Gunzip(self.limits.body) if is_packed else None
        parts: list[bytes] = []
        try:
            async for part in request.stream():
                part = unpack.add(part) if unpack else part
                parts.append(part)
                taken.size += len(part)
                self.receiving += len(part)
                if taken.size > self.limits.body:
                    return self._refused(kind, 413, "too_large", self._too_large)
                if self.receiving > self.limits.bodies:
                    return self._postponed(
                        kind, 429, "memory", "Too much is being received at once."
                    )
            # What has come whole is answered, however long the disk takes.
            limit.reschedule(None)
            if unpack:
                unpack.end()
        except zlib.error:
            return await self._undecodable(kind, "not gzip, or cut off", b"".join(parts))
        body = b"".join(parts)
        parts.clear()
        try:
            spans, refused = checked(body, kind)
        except Undecodable as error:
            return await self._undecodable(kind, str(error), body)
        record = packed(KINDS.index(kind), time.time_ns() // 1_000, body)
        del body
        if spans and not await self._on_disk(record):
            return self._postponed(kind, 503, "disk", _CANNOT_WRITE)
        self.counts.requests += 1
        self.counts.spans += spans - len(refused)
        self.counts.refused_spans += len(refused)
        self.metrics.spans.labels("taken").inc(spans - len(refused))
        self.metrics.spans.labels("refused").inc(len(refused))
        return Response(success(kind, refused), 200, media_type=kind)

    async def _undecodable(self, kind: str, reason: str, body: bytes) -> Response:
        """The reply to what no sender will send again; the beginning of it is kept."""
        content = msgspec.msgpack.encode(RefusedBody("", reason, body[:16_384]))
        if not await self._on_disk(packed(REFUSED, time.time_ns() // 1_000, content)):
            return self._postponed(kind, 503, "disk", _CANNOT_WRITE)
        return self._refused(kind, 400, "undecodable", f"The body cannot be read: {reason}.")

    async def _on_disk(self, record: bytes) -> bool:
        """Wait until a record is on disk; whether it is."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[OSError | None] = loop.create_future()

        def settle(problem: OSError | None) -> None:
            if not future.done():
                future.set_result(problem)

        def done(problem: OSError | None) -> None:
            # The loop may have ended with whoever waited.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, problem)

        began = time.perf_counter()
        self._commit.put(record, done)
        problem = await future
        self.metrics.writing.observe(time.perf_counter() - began)
        if problem is not None and not self._failing:
            known = missing(self._folder) or machine_error(problem, self._folder)
            sentence = str(known or f"The spool cannot be written: {problem.strerror}.")
            _LOG.warning("spool_unwritable", message=sentence)
        if problem is None and self._failing:
            _LOG.warning("spool_writable", message="The spool can be written again.")
        self._failing = problem is not None
        return problem is None

    def _behind(self) -> bool:
        if time.monotonic() - self._looked > 1.0:
            self._looked = time.monotonic()
            self._spool_size = size(self._folder)
        return self.receiving > self.limits.bodies or self._spool_size > self.limits.spool

    @property
    def _too_large(self) -> str:
        return f"The body has more than {self.limits.body >> 20} MiB."

    def _refused(self, kind: str, status: int, reason: str, sentence: str) -> Response:
        self.counts.refused_requests += 1
        self._rejected("refused", status, reason)
        return Response(failure(kind, sentence), status, media_type=kind)

    def _postponed(self, kind: str, status: int, reason: str, sentence: str) -> Response:
        self.counts.postponed += 1
        self._rejected("postponed", status, reason)
        headers = {"retry-after": _RETRY_AFTER}
        return Response(failure(kind, sentence), status, headers, media_type=kind)

    def _rejected(self, event: str, status: int, reason: str) -> None:
        self.metrics.rejected.labels(reason).inc()
        # Once in a while: senders that are told to wait come again and again.
        now = time.monotonic()
        if now - self._logged.get(reason, -math.inf) >= _LOG_EVERY_S:
            self._logged[reason] = now
            _LOG.info(event, status=status, reason=reason)


@dataclass
class _Taken:
    """Bytes of a body that are held, unpacked."""

    size: int = 0


class _Gunzip:
    """Unpacks a stream, of perhaps several members, to little more than `most` bytes.

    Raises zlib.error where it is none or ends early.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._stream = zlib.decompressobj(wbits=31)

    def add(self, part: bytes) -> bytes:
        """What a part unpacks to."""
        unpacked: list[bytes] = []
        while part and self._total <= self._most:
            if self._stream.eof:
                self._stream = zlib.decompressobj(wbits=31)
            data = self._stream.decompress(part, self._most + 1 - self._total)
            unpacked.append(data)
            self._total += len(data)
            part = self._stream.unused_data or self._stream.unconsumed_tail
        return b"".join(unpacked)

    def end(self) -> None:
        """Nothing follows."""
        if not self._stream.eof:
            raise zlib.error("the end is missing")


async def _no_such_path(_: Request, __: Exception) -> Response:
    known = f"There are {PATH} (traces only), /health, /ready and /metrics."
    return JSONResponse({"message": known}, 404)


async def _wrong_method(_: Request, __: Exception) -> Response:
    return JSONResponse({"message": f"Use POST for {PATH}, and GET for the others."}, 405)
