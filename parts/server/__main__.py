"""`python -m parts.server [--host NAME]… [--metrics] [--sign-in FILE] [options of Streamlit]`

Streamlit imports a page's modules when the page is first opened, which takes seconds. Here the
packages that the pages need are imported, and the templates compiled, before the server answers.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
import webbrowser
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import streamlit as st
import streamlit.runtime.memory_session_storage as streamlits
from starlette.middleware import Middleware
from streamlit import config as streamlit_config
from streamlit import logger as streamlit_logger
from uvicorn.config import LOGGING_CONFIG

from charts.html import compile_templates
from data.event_log import VARIABLE, LogFormat, configure_as_told
from parts.server import sign_in
from parts.server.guard import Guard
from parts.server.page import OwnHead
from parts.server.sessions import ClosedTabs

_ROOMS = ("alerts", "analysis", "charts", "report", "tickets")
_HANDLES = 65_536
APP = Path(__file__).parents[2] / "app.py"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m parts.server", allow_abbrev=False)
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--metrics", action="store_true")
    parser.add_argument("--sign-in")
    own, rest = parser.parse_known_args(arguments)
    options = dict(_options(rest))
    hosts = [*own.host, str(options.get("server.address", "127.0.0.1"))]
    # Not what the environment says, nor secrets of other applications.
    os.environ.pop(sign_in.FILE, None)
    if own.sign_in:
        os.environ[sign_in.FILE] = own.sign_in
        hosts.append(sign_in.SignIn.read(Path(own.sign_in)).host)
    # Streamlit checks the pages that open a session, too.
    options["server.corsAllowedOrigins"] = [
        f"{scheme}://{_in_url(name)}" for name in hosts for scheme in ("https", "http")
    ]
    # The command has said where the dashboard is.
    options["logger.hideWelcomeMessage"] = True
    if os.environ.get(VARIABLE) == LogFormat.json:
        _log_as_json()
        options["logger.enableRich"] = False
    options["secrets.files"] = [own.sign_in] if own.sign_in else []
    _import_rooms()
    _raise_handle_limit()
    # `st.App` has no parameter for it, and takes the class from there. A type is not assignable.
    streamlits.MemorySessionStorage = lambda ttl_seconds: ClosedTabs(seconds=ttl_seconds)  # type: ignore[assignment,misc]
    app = st.App(
        APP,
        middleware=[
            Middleware(Guard, hosts=hosts, metrics=own.metrics),
            Middleware(OwnHead),
        ],
        lifespan=_when_started,
    )
    # Streamlit takes this for the script that is run, and looks for its settings beside it.
    sys.argv = [str(APP)]
    app.run(config=options)


def _log_as_json() -> None:
    """Have Streamlit's loggers, and those of its server, write what all others write."""
    configure_as_told()

    def hand_on(logger: logging.Logger) -> None:
        # Streamlit gives each logger a handler of its own, and again when it reads its settings.
        if (own := getattr(logger, "streamlit_console_handler", None)) is not None:
            logger.removeHandler(own)
        logger.propagate = True

    streamlit_logger.setup_formatter = hand_on
    streamlit_logger.update_formatter()
    # Streamlit leaves uvicorn this, which is its default.
    for part in ("handlers", "loggers"):
        LOGGING_CONFIG[part].clear()


def _options(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """`--server.port 8501` as ("server.port", 8501), for every pair of words.

    Streamlit is not asked for their types: it would read its settings, and then say that they have
    changed.
    """
    for name, value in zip(words[::2], words[1::2], strict=True):
        key = name.removeprefix("--")
        if value in ("true", "false"):
            yield key, value == "true"
        else:
            yield key, int(value) if key.endswith("Port") or key.endswith(".port") else value


def _in_url(host: str) -> str:
    """A name or address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _import_rooms() -> None:
    for room in _ROOMS:
        package = import_module(room)
        for module in iter_modules(package.__path__):
            import_module(f"{room}.{module.name}")
    compile_templates("parts", "report")


def _raise_handle_limit() -> None:
    """Allow as many open files as 10,000 tabs need; a shell's default is enough for 200."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _HANDLES if hard == resource.RLIM_INFINITY else min(_HANDLES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@asynccontextmanager
async def _when_started(app: st.App) -> AsyncIterator[None]:
    if not streamlit_config.get_option("server.headless"):
        host = streamlit_config.get_option("browser.serverAddress")
        webbrowser.open(f"http://{_in_url(host)}:{streamlit_config.get_option('server.port')}")
    yield


if __name__ == "__main__":
    main(sys.argv[1:])
