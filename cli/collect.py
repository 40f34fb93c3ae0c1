"""Commands that collect while an assistant runs: receive OTLP, and ask Home Assistant."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.dashboard import LOOPBACK, is_loopback, must_be_free
from cli.options import DEFAULT_STORE, LogFormatOption, StoreOption
from cli.output import tell
from data.counted import counted, number
from data.errors import UsageError
from data.event_log import LogFormat, configure
from data.ingest.adapters.adapter import Settings
from data.store.paths import must_be_text
from data.web_addresses import LOCAL_HOSTS

collect = typer.Typer(
    name="collect",
    help="Collect turns while an assistant runs.",
    no_args_is_help=True,
)
_MIB = 1 << 20
# Where the token is looked for; the second one is what Home Assistant's own tools read.
_TOKENS = ("FAULTLINE_HOME_ASSISTANT_TOKEN", "HASS_TOKEN")
AlertsOption = Annotated[
    float | None,
    typer.Option(
        "--alerts-every",
        min=1,
        max=1_440,
        help="Also evaluate the alerts of the store, in a process of their own, this many minutes "
        "after the last time; by default not.",
        metavar="MINUTES",
    ),
]


@contextmanager
def _alerts(store: Path, minutes: float | None) -> Iterator[None]:
    """Evaluate alerts again and again meanwhile."""
    if minutes is None:
        yield
        return
    from alerts.settings import settings
    from collect.repeating import Repeating
    from tickets.settings import dashboard_url

    # What is set up wrongly is better known now than in a log.
    settings()
    dashboard_url()
    command = (sys.executable, "-m", "cli", "alerts", "run", "--store", str(store))
    beside = Repeating(command, minutes * 60)
    try:
        yield
    finally:
        beside.stop()


@collect.command()
def otlp(
    store: StoreOption = DEFAULT_STORE,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every address of this machine.")
    ] = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 4318,
    grace: Annotated[
        float,
        typer.Option(
            min=0, max=3_600, help="Seconds to wait for further spans of a turn that has ended."
        ),
    ] = 10.0,
    idle_minutes: Annotated[
        float,
        typer.Option(
            min=0.01, max=10_080, help="A trace of which nothing came for so long has ended."
        ),
    ] = 10.0,
    every: Annotated[
        float,
        typer.Option(min=0, max=3_600, help="Seconds from one ingestion to the next, at least."),
    ] = 5.0,
    spool: Annotated[
        Path | None,
        typer.Option(
            help="Folder for what was received and is not in the store yet; by default .spool/otlp "
            "in the store's."
        ),
    ] = None,
    most_spool: Annotated[
        float,
        typer.Option(
            min=0.1, help="GiB of the spool, above which senders are asked to wait (status 429)."
        ),
    ] = 4.0,
    most_memory: Annotated[
        int,
        typer.Option(
            min=16,
            help="MiB of spans of open traces that are held; above it, those that have been quiet "
            "for longest are taken as ended.",
        ),
    ] = 512,
    largest: Annotated[
        int, typer.Option(min=1, max=1_024, help="MiB of the largest request, unpacked.")
    ] = 20,
    assistant: Annotated[
        str | None,
        typer.Option(help="Name of the assistant, in place of what the spans say."),
    ] = None,
    alerts_minutes: AlertsOption = None,
    log_format: LogFormatOption = LogFormat.text,
) -> None:
    """Receive spans over OTLP/HTTP (POST /v1/traces), by default from this machine only.

    GET /health, /ready and /metrics say how it is.
    """
    configure(log_format, tell)
    import structlog

    from collect.ingester import Setup
    from collect.receiver import PATH, Limits
    from collect.serving import serve
    from data.store.privacy import privacy_of
    from data.store.spools import remember
    from data.store.store import Store, local

    log = structlog.get_logger()
    must_be_free(port, host, "--host")
    root = local(store)
    target = Store.ensure(root)
    target.must_be_whole()
    # A missing key is better known now than when the first turn is to be stored.
    privacy_of(target)
    folder = must_be_text((spool or root / ".spool" / "otlp").expanduser().absolute())
    folder.mkdir(parents=True, exist_ok=True)
    # A deletion names what it cannot reach.
    remember(root, folder)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    setup = Setup(
        store=str(root),
        spool=str(folder),
        name=f"otlp {host}:{port}",
        grace=grace,
        idle=idle_minutes * 60,
        every=every,
        held=most_memory * _MIB,
        assistant=assistant,
    )
    limits = Limits(body=largest * _MIB, spool=round(most_spool * 1024) * _MIB)
    loopback = is_loopback(host)
    hosts = (*LOCAL_HOSTS, host) if loopback else ("*",)

    def ready() -> None:
        log.info(
            "started",
            message=f"Spans are received at {address}{PATH} (stop it with Ctrl-C).",
            store=str(root),
            spool=str(folder),
        )
        if not loopback:
            log.info(
                "open_to_others",
                message="Whoever can reach this machine there can write into the store: there is "
                "no password and no encryption. Put a proxy with both before it.",
            )

    with _alerts(root, alerts_minutes):
        receiver = serve(setup, host, port, hosts, limits, ready)
    counts, figures = receiver.counts, receiver.figures
    log.info(
        "stopped",
        message=f"{counted(counts.requests, 'request')}, {counted(counts.spans, 'span')} received; "
        f"{counted(figures.turns, 'new turn')}, {number(figures.replaced)} replaced, "
        f"{number(figures.quarantined)} in quarantine.",
    )
    if figures.problem:
        log.info("spool_kept", message=f"What was received waits in {folder} for the next start.")
    elif figures.open_traces:
        log.info(
            "spool_kept",
            message=f"{counted(figures.open_traces, 'trace')} had not ended; what came of them "
            f"waits in {folder} for the next start.",
        )


@collect.command("home-assistant")
def home_assistant(
    url: Annotated[str, typer.Argument(help="Such as http://homeassistant.local:8123.")],
    store: StoreOption = DEFAULT_STORE,
    every: Annotated[
        float,
        typer.Option(min=0.5, max=3_600, help="Seconds between looks while little happens."),
    ] = 10.0,
    idle_minutes: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=10_080,
            help="Pause after which a device's next request begins a new dialogue.",
        ),
    ] = Settings.idle_minutes,
    assistant: Annotated[
        str | None, typer.Option(help="Name of the assistant under which turns are stored.")
    ] = None,
    alerts_minutes: AlertsOption = None,
    log_format: LogFormatOption = LogFormat.text,
) -> None:
    """Collect the runs of Assist pipelines from a Home Assistant.

    It needs a long-lived access token of an administrator, in the environment variable
    FAULTLINE_HOME_ASSISTANT_TOKEN or HASS_TOKEN.
    """
    configure(log_format, tell)
    import structlog

    from collect.home_assistant import Client
    from collect.spool import exclusive
    from data.store.privacy import privacy_of
    from data.store.store import Store, local

    token = next((os.environ[name] for name in _TOKENS if os.environ.get(name, "").strip()), None)
    if token is None:
        raise UsageError(
            f"There is no token; put a long-lived access token of an administrator of {url} into "
            f"the environment variable {_TOKENS[0]}."
        )
    root = local(store)
    opened = Store.ensure(root)
    opened.must_be_whole()
    privacy_of(opened)
    folder = root / ".spool" / "home-assistant"
    settings = Settings(idle_minutes=idle_minutes, assistant=assistant)
    with exclusive(folder):
        client = Client(url, token.strip(), opened, folder, every, settings)

        def end(*_: object) -> None:
            client.stop.set()
            if client.waiting:
                raise KeyboardInterrupt

        before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
        log = structlog.get_logger()
        log.info("started", message=f"Runs are collected from {url} (stop it with Ctrl-C).")
        try:
            with _alerts(root, alerts_minutes):
                client.run()
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
    turns = counted(client.turns, "new turn")
    log.info("stopped", message=f"{turns}, {number(client.quarantined)} in quarantine.")
