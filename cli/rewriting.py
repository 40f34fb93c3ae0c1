"""Commands for rewrites at run time: ask for one, and serve them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.dashboard import LOOPBACK, is_loopback, must_be_free
from cli.options import DEFAULT_STORE, JsonOption, LogFormatOption, StoreOption
from cli.output import out, plain, print_json, tell
from data.errors import UsageError
from data.event_log import LogFormat, configure, uvicorn_options
from data.web_addresses import LOCAL_HOSTS

_IndexOption = Annotated[
    Path | None,
    typer.Option("--index", help="Folder of the index; by default that of the store."),
]


def rewrite(
    text: Annotated[str, typer.Argument(help="What was heard.")],
    store: StoreOption = DEFAULT_STORE,
    index: _IndexOption = None,
    user: Annotated[str | None, typer.Option(help="Who said it, as in the logs.")] = None,
    device: Annotated[str | None, typer.Option(help="Type of the device.")] = None,
    location: Annotated[str | None, typer.Option(help="Where it was said.")] = None,
    at: Annotated[
        datetime | None, typer.Option(help="When it was said, in UTC; by default now.")
    ] = None,
    before: Annotated[
        list[str] | None, typer.Option(help="What was said before in the session. Repeatable.")
    ] = None,
    frame: Annotated[
        str | None, typer.Option(help="What NLU made of it: domain|intent|slot=value.")
    ] = None,
    assistant: Annotated[
        str | None, typer.Option(help="Which assistant; by default the one with most turns.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what to hear instead of a text, if anything."""
    from rewrites.online.concepts import Concepts
    from rewrites.online.rewriter import Rewriter

    folder = _folder(store, index)
    rewriter = Rewriter.load(folder).knowing(Concepts.beside(folder).taught)
    answer = rewriter.rewrite(
        text,
        user,
        device,
        at or datetime.now(UTC),
        location,
        before or (),
        frame=frame,
        assistant=assistant,
    )
    if as_json:
        print_json(asdict(answer))
        return
    if answer.rewrite is None:
        out.print(f"Left as it is. {plain(answer.why)}")
    else:
        out.print(
            f"[bold]{plain(answer.rewrite)}[/bold]  ({plain(answer.method)}, {answer.score:.2f})"
        )
        out.print(plain(answer.why))
    for candidate in answer.candidates:
        out.print(f"  {candidate.score:6.2f}  {plain(candidate.text)}")


def serve_rewrites(
    store: StoreOption = DEFAULT_STORE,
    index: _IndexOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8600,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Let whoever can reach --host ask for anybody's rewrites."),
    ] = False,
    log_format: LogFormatOption = LogFormat.text,
) -> None:
    """Serve rewrites over HTTP, by default to this machine only; a newer index is picked up.

    GET /health, /ready and /metrics say how it is.
    """
    configure(log_format, tell)
    import structlog
    import uvicorn

    from rewrites.online.server import application

    if not (is_loopback(host) or insecure):
        raise UsageError(
            f"At {host} whoever can reach this machine could ask for anybody's rewrites: there is "
            "no password. Put a proxy with sign-in before it, or say that this is meant "
            "(--insecure)."
        )
    must_be_free(port, host, "--host")
    local = is_loopback(host)
    app = application(_folder(store, index), hosts=(*LOCAL_HOSTS, host) if local else ("*",))
    log = structlog.get_logger()
    log.info(
        "started", message=f"Rewrites are at http://{host}:{port}/rewrite (stop it with Ctrl-C)."
    )
    uvicorn.run(app, host=host, port=port, **uvicorn_options())
    log.info("stopped")


def _folder(store: str, index: Path | None) -> Path:
    from data.store.remote.address import address_of
    from data.store.store import Store, local
    from rewrites.online.index_folder import of_store

    if index:
        return index.expanduser()
    # Of a store in an object store, the index is fetched.
    return of_store(Store.open(store).path if address_of(store) else local(store))
