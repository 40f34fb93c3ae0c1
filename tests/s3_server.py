"""A real S3 server in a process of its own, and a proxy that makes it slow.

The server answers one request after another: a condition on a put is looked at and the put is done
before the next request, as S3 itself promises.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

BUCKET = "bucket"


@dataclass(frozen=True)
class S3:
    """A running server with a bucket."""

    port: int
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return environment(self.port)

    def address(self) -> str:
        """The address of a store that nobody else uses."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}/store"


def environment(port: int) -> dict[str, str]:
    """The variables by which clients find a server and may use it."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def s3_server() -> Iterator[S3]:
    """Runs a server while the body runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        bucket = f"http://127.0.0.1:{port}/{BUCKET}"
        with urllib.request.urlopen(urllib.request.Request(bucket, method="PUT")):
            pass
        yield S3(port, process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def delayed(port: int, seconds: float, answers: float = 0.0) -> Iterator[int]:
    """A proxy of a server that hands each piece, of up to 64 KiB, of a request on after so many
    seconds, and each of an answer after `answers`; its port."""
    ready: list[int] = []
    started = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter, wait: float) -> None:
        try:
            while piece := await source.read(1 << 16):
                await asyncio.sleep(wait)
                to.write(piece)
                await to.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            to.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back, seconds), pump(there, writer, answers))

    async def run() -> None:
        over = asyncio.Event()
        loops.append((asyncio.get_running_loop(), over))
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            ready.append(server.sockets[0].getsockname()[1])
            started.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield ready[0]
    finally:
        (loop, over), *_ = loops
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


def _main() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    os.environ.pop("AWS_ENDPOINT_URL", None)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=False)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main()
