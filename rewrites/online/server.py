"""Rewrites over HTTP: POST /rewrite, GET /health, /ready, /metrics and /openapi.json.

The index is read again when a newer one is in its folder: in a thread, and the requests that come
meanwhile are answered from the old one. It is never closed while a request uses it.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
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

from data.errors import FaultlineError
from data.monitoring import readiness
from data.web_addresses import LOCAL_HOSTS
from rewrites.online import index_folder
from rewrites.online.concepts import Concepts, version_beside
from rewrites.online.metrics import InUse, Metrics
from rewrites.online.openapi import DOCUMENT
from rewrites.online.rewriter import LONGEST, Rewriter

MOST_BYTES = 64 * 1024
# Seconds between looks for a newer index.
LOOK_S = 1.0
# What GET /ready asks for: nobody says it, and all that an answer needs is looked at.
_TRIAL = "is the server of rewrites ready"
_SWITCH_S = 0.0005
_LOG = structlog.get_logger()


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /rewrite; see `rewrites.online.openapi`."""

    text: str
    user_id: str | None = None
    device: str | dict[str, Any] | None = None
    at: datetime | float | None = None
    location: str | None = None
    before: list[str] = msgspec.field(default_factory=list)
    frame: str | None = None
    assistant: str | None = None


class Live:
    """The rewriter in use, and the index folder that it is from.

    Attributes
    ----------
    rewriter: replaced as a whole. generation: the one it was read from. problem: why a newer one
        could not be read; None if it could.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.generation = index_folder.version(folder)
        concepts = Concepts.beside(folder)
        self.rewriter = Rewriter.load(folder).knowing(concepts.taught)
        self._taught = concepts.version
        self.loaded_at = datetime.now(UTC)
        self.problem: str | None = None

    def unready(self) -> str:
        """Why requests cannot be answered, as a sentence; empty if one for a trial is answered."""
        try:
            self.rewriter.rewrite(_TRIAL)
        except (FaultlineError, OSError, RuntimeError, ValueError) as error:
            _LOG.error("trial_failed", exc_info=True)
            return f"A request for a trial is not answered ({type(error).__name__})."
        return ""

    def in_use(self) -> InUse:
        """What the metrics say of the index."""
        about = self.rewriter.about
        return InUse(
            self.generation or "",
            self.loaded_at.timestamp(),
            self.problem is not None,
            {name: int(about.get(name, 0)) for name in ("requests", "users", "rows")},
        )

    def refresh(self) -> bool:
        """Read the index again if there is a newer one; whether it was read."""
        found = index_folder.version(self.folder)
        if found is None:
            self.problem = f"There is no index of rewrites at {self.folder} any more."
            return False
        taught = version_beside(self.folder)
        if found == self.generation and taught == self._taught:
            self.problem = None
            return False
        try:
            concepts = Concepts.beside(self.folder)
            rewriter = self.rewriter if found == self.generation else Rewriter.load(self.folder)
            rewriter = rewriter.knowing(concepts.taught)
        except (FaultlineError, OSError) as error:
            self.problem = str(error)
            return False
        self.rewriter, self.generation, self.problem = rewriter, found, None
        self._taught = concepts.version
        self.loaded_at = datetime.now(UTC)
        return True

    async def watch(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            before = self.problem
            if await asyncio.to_thread(self.refresh):
                _settle()
                _LOG.info("index_loaded", generation=self.generation)
            elif self.problem and self.problem != before:
                _LOG.warning("index_stale", reason=self.problem)


def application(
    folder: Path, *, hosts: tuple[str, ...] = tuple(LOCAL_HOSTS), live: Live | None = None
) -> Starlette:
    """The application for an index folder; `hosts`: names it answers to, `*` for any.

    Raises `RewriteIndexMissing` or `RewriteIndexDamaged`.
    """
    live = live or Live(folder)
    metrics = Metrics(live.in_use)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # While a thread reads an index, whoever answers gets its turn ten times as soon.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        _settle()
        watching = asyncio.create_task(live.watch())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        sys.setswitchinterval(interval)
        gc.unfreeze()

    async def rewrite(request: Request) -> Response:
        body = await _body(request)
        # Whoever sends a body slowly does not make the server slow.
        began = time.perf_counter()
        response = body if isinstance(body, Response) else _answer(live.rewriter, body, metrics)
        metrics.seconds.observe(time.perf_counter() - began)
        metrics.requests.labels(response.status_code).inc()
        return response

    async def ready(_: Request) -> Response:
        return readiness(live.unready())

    async def figures(_: Request) -> Response:
        return metrics.response()

    async def health(_: Request) -> Response:
        content = {
            "status": "ok" if live.problem is None else "stale",
            "generation": live.generation,
            "loaded_at": live.loaded_at.isoformat(),
            "problem": live.problem,
            "index": dict(live.rewriter.about),
        }
        return JSONResponse(content)

    async def document(_: Request) -> Response:
        return JSONResponse(DOCUMENT)

    return Starlette(
        routes=[
            Route("/rewrite", rewrite, methods=["POST"]),
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", figures),
            Route("/openapi.json", document),
        ],
        # Otherwise a web page could ask, under a name of its own that leads to this machine.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={404: _no_such_path, 405: _wrong_method},
        lifespan=lifespan,
    )


async def _body(request: Request) -> bytes | Response:
    """The body, or the response that refuses it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return _refused(415, "The body has to be JSON; send it as application/json.")
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                return _refused(413, f"The body has more than {MOST_BYTES:,} bytes.")
            parts.append(part)
    except ClientDisconnect:
        return _refused(400, "The body ended early.")
    return b"".join(parts)


def _answer(rewriter: Rewriter, body: bytes, metrics: Metrics) -> Response:
    try:
        asked = msgspec.json.decode(body, type=Asked)
    except msgspec.ValidationError as error:
        return _refused(422, f"The body does not fit: {error}.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _refused(400, "The body is not valid JSON.")
    if len(asked.text) > LONGEST:
        return _refused(422, f"The text has more than {LONGEST:,} characters.")
    if isinstance(asked.at, float) and not math.isfinite(asked.at):
        return _refused(422, "The time is not a finite number of seconds.")
    if problem := _device_problem(asked.device):
        return _refused(422, problem)
    given = {name: getattr(asked, name) for name in asked.__struct_fields__}
    answer = rewriter.rewrite(**given)
    rewritten = "no" if answer.rewrite is None else "yes"
    metrics.answers.labels(answer.method, rewritten).inc()
    return JSONResponse(asdict(answer))


def _device_problem(device: str | dict[str, Any] | None) -> str | None:
    if not isinstance(device, dict):
        return None
    kind, state = device.get("type"), device.get("state")
    if kind is not None and not isinstance(kind, str):
        return "The type of the device is not text."
    if state is not None and not (
        isinstance(state, dict) and all(isinstance(value, str) for value in state.values())
    ):
        return "The state of the device is not a map of text to text."
    return None


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)


async def _no_such_path(_: Request, __: Exception) -> Response:
    return _refused(404, "There are /rewrite, /health, /ready, /metrics and /openapi.json.")


async def _wrong_method(_: Request, __: Exception) -> Response:
    return _refused(405, "Use POST for /rewrite, and GET for the others.")


def _settle() -> None:
    """Leave the index out of garbage collections, which would go through it again and again."""
    gc.collect()
    gc.freeze()
