"""The command that serves the dashboard."""

from __future__ import annotations

import errno
import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_STORE, StoreOption
from cli.output import out, plain
from data.errors import UsageError

LOOPBACK = "127.0.0.1"


def dashboard(
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = True,
    address: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 is every address of this machine. Whoever can "
            "reach it sees and changes everything: there is no password."
        ),
    ] = LOOPBACK,
) -> None:
    """Serve the dashboard, by default to this machine only."""
    script = Path(__file__).parents[1] / "app.py"
    os.environ["FAULTLINE_STORE"] = str(Path(store).expanduser().absolute())
    must_be_free(port, address)
    out.print(f"Faultline is at {plain(_url(address, port))} (stop it with Ctrl-C).")
    if address != LOOPBACK and not _is_loopback(address):
        out.print(
            "Whoever can reach this machine there sees and changes everything: there is no "
            "password."
        )
    sys.stdout.flush()
    command = [
        *(sys.executable, "-m", "parts.server"),
        *("--server.address", address, "--server.port", str(port)),
        # Otherwise it asks a server on the internet what this machine's address is.
        *("--browser.serverAddress", _here(address)),
        *("--server.headless", "true" if headless else "false"),
    ]
    # Streamlit and Python look into the folder they are started in: that of another project may
    # hold settings and secrets of its own, and packages with the names of ours.
    os.chdir(script.parent)
    os.execv(sys.executable, command)


def must_be_free(port: int, address: str = LOOPBACK) -> None:
    """Raise UsageError if nothing can listen on `port` of `address`."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As the server will: a port that a server has just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(_no_address(address, "it is not known here")) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(_no_address(address, "it is not this machine's")) from error
        raise UsageError(
            f"Port {port} cannot be used ({error.strerror}); give another with --port."
        ) from error


def _no_address(address: str, reason: str) -> str:
    return (
        f"Cannot listen on the address {address!r}, as {reason}; give one of this machine with "
        "--address, or 0.0.0.0 for all of them."
    )


def _is_loopback(address: str) -> bool:
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
