"""Commands for the tickets of slices: list them, and ask trackers for their states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.table import Table

from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.output import err, out, plain, print_json, print_whole
from data.counted import counted
from data.errors import UsageError

tickets = typer.Typer(
    name="tickets",
    help="Tickets of slices in GitHub or Jira, which the page Triage opens.",
    no_args_is_help=True,
)


@tickets.command("list")
def list_(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the slices that have a ticket, with its state as it was last asked for."""
    from data.store.store import Store
    from data.store.workspace import tickets as linked

    with Store.whole(store).snapshot(only=("triage", "tickets", "settings")) as snapshot:
        rows = list(linked(snapshot).values())
    if as_json:
        print_json(rows)
    elif rows:
        _print(rows)
    else:
        out.print("No slice has a ticket; open one on the page Triage.")


@tickets.command("sync")
def sync_(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Ask GitHub or Jira for the states of all tickets, and keep them.

    The trackers are those that the environment configures, as docs/tickets.md says.
    """
    from data.store.store import Store
    from tickets.desk import sync
    from tickets.settings import NONE, trackers

    opened = Store.whole(store)
    found = trackers()
    if not found:
        raise UsageError(NONE)
    synced = sync(opened, found)
    if as_json:
        print_json({"tickets": synced.rows, "changed": synced.changed, "problems": synced.problems})
    else:
        if synced.rows:
            _print(synced.rows)
        out.print(
            f"Asked for {counted(len(synced.rows), 'ticket')}; "
            f"{counted(synced.changed, 'state')} changed."
        )
        for problem in synced.problems:
            err.print(f"[red]Error:[/red] {plain(problem)}")
    if synced.problems:
        raise typer.Exit(1)


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table("slice", "owner", "ticket", "state", "closed", "address", box=None)
    for row in rows:
        closed = row["closed_at"]
        table.add_row(
            plain(row["slice"]),
            plain(row["owner"] or ""),
            plain(row["key"] or ""),
            plain(row["status"] or "not asked yet"),
            closed.strftime("%Y-%m-%d") if closed else "",
            plain(row["url"]),
        )
    print_whole(table)
