"""Commands for alerts: keep rules, evaluate them and tell people, and mail the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs

import typer
from rich.table import Table

from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.output import err, out, plain, print_json, print_whole
from data.counted import counted
from data.errors import UsageError

if TYPE_CHECKING:
    from alerts.desk import Ran

alerts = typer.Typer(
    name="alerts",
    help="Alerts on rates, change points, error budgets and missing data.",
    no_args_is_help=True,
)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As alerts list prints it.")]


@alerts.command("list")
def list_(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the alerts, with what came of each when it was last evaluated."""
    from data.store.store import Store
    from data.store.workspace import alerts as kept

    with Store.whole(store).snapshot(only=("alerts",)) as snapshot:
        rows = kept(snapshot)
    if as_json:
        print_json(rows)
    elif rows:
        _print(rows)
    else:
        out.print("There is no alert; make one with: faultline alerts add")


@alerts.command("add")
def add_(
    name: Annotated[str, typer.Option(help="What messages call it; each alert has its own.")],
    kind: Annotated[
        str, typer.Option(help="rate, unusual, change, budget, late or signal.")
    ] = "rate",
    failure_point: Annotated[
        str | None, typer.Option(help="false_wake, asr, nlu, er or result; by default any.")
    ] = None,
    bound: Annotated[
        float | None,
        typer.Option(
            help="rate: a share of turns (0.1); budget: how many times as fast as it may burn (2); "
            "late: hours (26)."
        ),
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Days up to the last complete one that are watched.")
    ] = None,
    view: Annotated[
        str,
        typer.Option(
            "--filter", help="Which turns, as in a page's address: 'locale=en-GB&device=phone'."
        ),
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Add a rule, which every later run evaluates."""
    from alerts.desk import add
    from alerts.rule import Rule
    from data.queries.filters import KEYS, Filter
    from data.store.store import Store

    given = parse_qs(view, keep_blank_values=True)
    if view and not given:
        raise UsageError(f"Invalid filter '{view[:60]}'; write it like locale=en-GB&device=phone.")
    if unknown := [key for key in given if key not in KEYS]:
        raise UsageError(f"Unknown filter {unknown[0][:60]}; there are {', '.join(KEYS)}.")
    rule = Rule.of(name, kind, Filter.from_query(given), failure_point, bound, days)
    alert_id = add(Store.whole(store), rule)
    if as_json:
        print_json({"alert_id": alert_id, "rule": rule.words()})
    else:
        out.print(f"Added {alert_id}: {plain(rule.words())}")


@alerts.command("remove")
def remove_(alert_id: IdArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Remove an alert."""
    from alerts.desk import remove
    from data.store.store import Store

    remove(Store.whole(store), alert_id)
    out.print(f"Removed {plain(alert_id)}.")


@alerts.command("acknowledge")
def acknowledge_(
    alert_id: IdArgument,
    by: Annotated[str, typer.Option(help="Who looks at it.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say that somebody looks at a firing alert: it is not repeated."""
    from alerts.desk import acknowledge
    from data.store.store import Store

    acknowledge(Store.whole(store), alert_id, by)
    out.print(f"Acknowledged {plain(alert_id)}.")


@alerts.command("mute")
def mute_(
    alert_id: IdArgument,
    off: Annotated[bool, typer.Option("--off", help="Tell of it again.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Tell nobody of an alert, which is evaluated all the same."""
    from alerts.desk import mute
    from data.store.store import Store

    mute(Store.whole(store), alert_id, not off)
    out.print(f"{'Unmuted' if off else 'Muted'} {plain(alert_id)}.")


@alerts.command("run")
def run_(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Evaluate all alerts, and tell of those that fire or are over. For cron or a timer.

    Exit codes: 0 all were evaluated and told, whether or not one fires; 1 something failed, and is
    tried again in the next run; 2 the environment is set up wrongly.
    """
    from alerts.desk import run
    from alerts.settings import NONE, settings
    from data.store.store import Store
    from tickets.settings import dashboard_url

    configured, base = settings(), dashboard_url()
    ran = run(Store.whole(store), configured, base)
    if as_json:
        print_json(
            {
                "alerts": ran.rows,
                "told": ran.told,
                "held": ran.held,
                "report": ran.report,
                "problems": ran.problems,
            }
        )
    else:
        if ran.rows:
            _print(ran.rows)
        firing = sum(row["state"] == "firing" for row in ran.rows)
        out.print(f"{counted(len(ran.rows), 'alert')}, {firing} firing.")
        for channel, number in ran.told.items():
            out.print(f"Told {channel} of {number}.")
        if ran.held:
            out.print(f"{counted(ran.held, 'alert')} held until the quiet hours are over.")
        if ran.report:
            out.print(f"Mailed the weekly report to {counted(ran.report, 'address')}.")
        if firing and not configured.channels and not configured.alertmanager:
            out.print(plain(NONE))
    _problems(ran, as_json)


@alerts.command("test")
def test_() -> None:
    """Send a test message to every channel that the environment sets up."""
    from alerts.desk import send_test
    from alerts.settings import NONE, settings
    from tickets.settings import dashboard_url

    configured = settings()
    if not configured.channels and not configured.alertmanager:
        raise UsageError(NONE)
    ran = send_test(configured, dashboard_url())
    for channel in ran.told:
        out.print(f"Sent a test message to {channel}.")
    _problems(ran, False)


@alerts.command("report")
def report_(
    to: Annotated[
        list[str] | None,
        typer.Option(help="An address; repeatable. By default those of FAULTLINE_ALERTS_TO."),
    ] = None,
    weeks: Annotated[
        int, typer.Option(help="Weeks up to the last scored day.", min=1, max=520)
    ] = 1,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Mail the Overview of the last weeks as an HTML file, with its numbers as text."""
    from alerts.delivery import send_mail
    from alerts.settings import HOST, SENDER, TO, mail
    from alerts.weekly import report_message
    from data.store.store import Store
    from progress import listener
    from tickets.settings import dashboard_url

    server, base = mail(to=to or ()), dashboard_url()
    if server is None:
        raise UsageError(f"Mail cannot be sent; set {HOST}, {SENDER} and {TO}.")
    with Store.whole(store).snapshot() as snapshot, listener(err) as progress:
        letter = report_message(snapshot, weeks, base, progress)
    refused = send_mail(server, letter, datetime.now(UTC))
    out.print(f"Sent '{plain(letter.subject)}' to {len(server.to) - len(refused)} of "
              f"{counted(len(server.to), 'address')}.")  # fmt: skip
    if refused:
        err.print(f"[red]Error:[/red] The mail server refused {plain(', '.join(refused))}.")
        raise typer.Exit(1)


@alerts.command("weekly")
def weekly_(
    to: Annotated[
        list[str] | None,
        typer.Option(help="An address; repeatable. By default those of FAULTLINE_ALERTS_TO."),
    ] = None,
    on: Annotated[str | None, typer.Option(help="The day, such as monday (the default).")] = None,
    at: Annotated[str | None, typer.Option(help="The time; by default 07:00.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="Its time zone, such as Europe/Berlin; by default UTC.")
    ] = None,
    weeks: Annotated[int | None, typer.Option(help="Weeks that it is about; by default 1.")] = None,
    off: Annotated[bool, typer.Option("--off", help="No longer.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Have alerts run mail the report every week; without options, show when it does.

    Options that are not given stay as they are.
    """
    from alerts.weekly import Plan, plan, set_plan
    from data.store.store import Store

    given = {"to": to, "day": on, "at": at, "zone": zone, "weeks": weeks}
    given = {name: value for name, value in given.items() if value is not None}
    target = Store.whole(store)
    with target.snapshot(only=("settings",)) as snapshot:
        before = plan(snapshot)
    if off:
        if given:
            raise UsageError("--off goes with no other option; leave the others out.")
        set_plan(target, None)
        out.print("The report is no longer mailed every week.")
        return
    if given:
        kept: dict[str, Any] = {"to": (), "day": "monday", "at": "07:00", "zone": "UTC", "weeks": 1}
        if before:
            kept = {**asdict(before), "at": f"{before.at:%H:%M}"}
            del kept["made_at"]
        before = Plan.of(**{**kept, **given})
        set_plan(target, before)
    out.print(plain(before.words() if before else (
        "The report is not mailed; have it mailed with: faultline alerts weekly --on monday"
    )))  # fmt: skip


def _problems(ran: Ran, as_json: bool) -> None:
    if not as_json:
        for problem in ran.problems:
            err.print(f"[red]Error:[/red] {plain(problem)}")
    if ran.problems:
        raise typer.Exit(1)


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table("id", "name", "state", "since", "acknowledged", "found", box=None)
    for row in rows:
        since = row["fired_at"] if row["state"] == "firing" else None
        table.add_row(
            row["alert_id"],
            plain(row["name"]),
            row["state"] + (", muted" if row["muted"] else ""),
            since.strftime("%Y-%m-%d %H:%M UTC") if since else "",
            plain(row["acknowledged_by"] or ""),
            plain(row["sentence"] or "not evaluated yet"),
        )
    print_whole(table)
