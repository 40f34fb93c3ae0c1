"""The command that serves the dashboard."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_STORE, LogFormatOption, StoreOption
from cli.output import tell
from data.errors import UsageError
from data.event_log import LogFormat, configure

LOOPBACK = "127.0.0.1"
_NAME = re.compile(r"[\w.-]+|\[?[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]?")


def dashboard(
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = True,
    address: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 is every address of this machine. Any but those of "
            "this machine alone needs --sign-in or --insecure."
        ),
    ] = LOOPBACK,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name that browsers may use for the dashboard, e.g. that of the proxy "
            "before it; it answers to no others. Can be repeated.",
        ),
    ] = None,
    sign_in: Annotated[
        Path | None,
        typer.Option(
            help="TOML file that names an OpenID Connect provider, and who is let in; see "
            "docs/security.md."
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Let whoever can reach --address see and change everything."
        ),
    ] = False,
    metrics: Annotated[
        bool,
        typer.Option("--metrics", help="Serve figures about the server at /_stcore/metrics."),
    ] = False,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="Server processes behind the one port; several people then share as many cores. "
            "More than one needs HAProxy.",
        ),
    ] = 1,
    log_format: LogFormatOption = LogFormat.text,
) -> None:
    """Serve the dashboard, by default to this machine only."""
    configure(log_format, tell)
    import structlog

    from parts.server.processes import haproxy
    from parts.server.sign_in import SignIn

    settings = SignIn.read(sign_in.expanduser()) if sign_in else None
    for name in host or ():
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"--host {name!r}: expected a name such as faultline.example.org, or an address, "
                "without scheme and port."
            )
    if processes > 1:
        if metrics:
            raise UsageError(
                "With --processes, --metrics would show one process at a time; leave one of them "
                "out."
            )
        haproxy()
    must_be_free(port, address)
    if not (is_loopback(address) or settings or insecure):
        raise UsageError(
            f"At {address} whoever can reach this machine would see and change everything. Give a "
            "provider to sign in with (--sign-in FILE), or say that this is meant (--insecure)."
        )
    missing = _missing_store(store)
    script = Path(__file__).parents[1] / "app.py"
    os.environ["FAULTLINE_STORE"] = str(Path(store).expanduser().absolute())
    log = structlog.get_logger()
    log.info("started", message=f"Faultline is at {_url(address, port)} (stop it with Ctrl-C).")
    if missing:
        log.info("store_missing", message=missing)
    if is_loopback(address) and not settings:
        log.info(
            "this_machine_only",
            message="Nobody signs in, so only this machine reaches it, and whoever uses it may do "
            "everything.",
        )
    if not is_loopback(address) and not settings:
        log.info(
            "open_to_others",
            message="Whoever can reach this machine there sees and changes everything: there is no "
            "password.",
        )
    command = [
        *(sys.executable, "-m"),
        *(("parts.server.processes", str(processes)) if processes > 1 else ("parts.server",)),
        *(word for name in host or () for word in ("--host", name)),
        *(("--sign-in", str(sign_in.expanduser().absolute())) if sign_in else ()),
        *(("--metrics",) if metrics else ()),
        *("--server.address", address, "--server.port", str(port)),
        # Otherwise it asks a server on the internet what this machine's address is.
        *("--browser.serverAddress", _here(address)),
        *("--server.headless", "true" if headless else "false"),
    ]
    # Streamlit and Python look into the folder they are started in: that of another project may
    # hold settings and secrets of its own, and packages with the names of ours.
    os.chdir(script.parent)
    os.execv(sys.executable, command)


def _missing_store(store: str) -> str:
    """What to say if there is no store yet; the dashboard then says how to make one.

    Raises `StoreError` if something else is there, or one that cannot be opened.
    """
    from data.errors import StoreDamaged, StoreMissing
    from data.store.store import Store

    try:
        Store.open(store)
    except StoreMissing as error:
        return str(error)
    except StoreDamaged as error:
        # The pages say it as well.
        return str(error)
    return ""


def must_be_free(port: int, address: str = LOOPBACK, option: str = "--address") -> None:
    """Raise UsageError if nothing can listen on `port` of `address`, which `option` gave."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As the server will: a port that a server has just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(_no_address(address, option, "it is not known here")) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(_no_address(address, option, "it is not this machine's")) from error
        raise UsageError(
            f"Port {port} cannot be used ({error.strerror}); give another with --port."
        ) from error


def _no_address(address: str, option: str, reason: str) -> str:
    return (
        f"Cannot listen on the address {address!r}, as {reason}; give one of this machine with "
        f"{option}, or 0.0.0.0 for all of them."
    )


def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _here(address: str) -> str:
    """Where a browser on this machine finds what listens on `address`."""
    return LOOPBACK if address in ("0.0.0.0", "::") else address


def _url(address: str, port: int) -> str:
    host = _here(address)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
