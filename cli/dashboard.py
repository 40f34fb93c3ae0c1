"""The command that serves the dashboard."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_STORE, StoreOption
from cli.output import out
from data.errors import UsageError


def dashboard(
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8501,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = True,
) -> None:
    """Serve the dashboard on 127.0.0.1."""
    script = Path(__file__).parents[1] / "app.py"
    os.environ["FAULTLINE_STORE"] = str(Path(store).expanduser().absolute())
    must_be_free(port)
    out.print(f"Faultline is at http://127.0.0.1:{port} (stop it with Ctrl-C).")
    sys.stdout.flush()
    command = [
        *(sys.executable, "-m", "parts.server"),
        *("--server.address", "127.0.0.1", "--server.port", str(port)),
        *("--server.headless", "true" if headless else "false"),
    ]
    # Streamlit reads its theme from the folder it is started in.
    os.chdir(script.parent)
    os.execv(sys.executable, command)


def must_be_free(port: int) -> None:
    """Raise UsageError if nothing can listen on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        # As the server will: a port that a server has just left is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used ({error.strerror}); give another with --port."
            ) from error
