"""Commands for who may sign in to the dashboard, with which role, and what they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.output import out, plain, print_json, print_whole
from data.errors import UsageError

users = typer.Typer(
    name="users",
    help="Who may sign in to the dashboard, with which role, and what they did there.",
    no_args_is_help=True,
)
AddressArgument = Annotated[
    str, typer.Argument(metavar="EMAIL", help="As the provider knows them, e.g. ada@example.org.")
]


@users.command("list")
def list_(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List who has a role, and the assistants and locales that they are limited to."""
    from data.store.people import users as known
    from data.store.store import Store

    people = list(known(Store.whole(store)).values())
    rows: list[dict[str, Any]] = [
        {
            "address": user.address,
            "role": user.access.role,
            "assistants": list(user.access.assistants),
            "locales": list(user.access.locales),
            "since": user.since,
            "by": user.by,
        }
        for user in people
    ]
    if as_json:
        print_json(rows)
    elif rows:
        _print_users(rows)
    else:
        out.print("Nobody has a role; give one with: faultline users set EMAIL admin")


@users.command("set")
def set_(
    address: AddressArgument,
    role: Annotated[str, typer.Argument(help="viewer, triager, analyst or admin.")],
    assistant: Annotated[
        list[str] | None, typer.Option(help="Only turns of this assistant. Repeatable.")
    ] = None,
    locale: Annotated[
        list[str] | None, typer.Option(help="Only turns of this locale. Repeatable.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Give somebody a role, in place of the one they had; it counts at their next click.

    What each role may do, and why whoever can write the store's files is an admin, is in
    docs/security.md.
    """
    from data.store.people import set_user
    from data.store.store import Store

    user = set_user(Store.whole(store), address, role, assistant or (), locale or ())
    if as_json:
        print_json(
            {
                "address": user.address,
                "role": user.access.role,
                "assistants": list(user.access.assistants),
                "locales": list(user.access.locales),
            }
        )
        return
    limits = [
        f"{name} {', '.join(values)}"
        for name, values in (
            ("of", user.access.assistants),
            ("in", user.access.locales),
        )
        if values
    ]
    seen = f", for turns {' '.join(limits)} alone" if limits else ""
    out.print(plain(f"{user.address} has the role {user.access.role}{seen}."))


@users.command("remove")
def remove_(
    address: AddressArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False
) -> None:
    """Take somebody's role away; they then have that of the sign-in file, or stay outside."""
    from data.store.people import remove_user
    from data.store.store import Store

    if not remove_user(Store.whole(store), address):
        raise UsageError(f"'{address[:80]}' has no role; see: faultline users list")
    if as_json:
        print_json({"removed": address})
    else:
        out.print(plain(f"{address} has no role any more."))


@users.command("audit")
def audit_(
    most: Annotated[int, typer.Option(min=1, help="The newest so many events.")] = 100,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show sign-ins and sign-outs, exports, statements, deletions, roles and refusals."""
    from data.store.people import audited
    from data.store.store import Store

    rows = audited(Store.whole(store), most)
    if as_json:
        print_json(rows)
    elif rows:
        _print_audit(rows)
    else:
        out.print("Nothing is noted yet.")


def _print_users(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table("address", "role", "assistants", "locales", "since", "by", box=None)
    for row in rows:
        table.add_row(
            plain(row["address"]),
            row["role"],
            plain(", ".join(row["assistants"]) or "all"),
            plain(", ".join(row["locales"]) or "all"),
            f"{row['since']:%Y-%m-%d}",
            plain(row["by"]),
        )
    print_whole(table)


def _print_audit(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table("when (UTC)", "who", "what", "about", "details", box=None)
    for row in rows:
        table.add_row(
            f"{row['happened_at']:%Y-%m-%d %H:%M:%S}",
            *(plain(str(row[name] or "")) for name in ("who", "what", "object", "details")),
        )
    print_whole(table)
