"""Commands for what users teach: teach, and list, edit and forget what was taught."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.output import out, plain, print_json, print_whole
from data.counted import counted
from data.errors import UsageError
from data.store.paths import printable

if TYPE_CHECKING:
    from data.store.store import Store

preferences = typer.Typer(
    name="preferences",
    help="What users taught the assistant: preferences, and what their phrases mean.",
    no_args_is_help=True,
)

UserOption = Annotated[str | None, typer.Option("--user", help="Only this user, as in the logs.")]
_DAY = "%Y-%m-%d"


def teach(
    user: Annotated[str, typer.Option("--user", help="Who teaches, as in the logs.")],
    store: StoreOption = DEFAULT_STORE,
    say: Annotated[
        list[str] | None,
        typer.Option(help="What is said. Repeatable; without it, lines are read."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Type of the device it is said to.")] = None,
    assistant: Annotated[
        str | None, typer.Option(help="Teach this assistant only; by default all of the store.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Teach the assistant in a dialogue: "when I say cosy, dim the lights to 30".

    What teaches nothing is a request: the answer says what it means by what was taught. A line
    "forget cosy" forgets it, "what did I teach you?" lists it; the dialogue ends with the input.
    """
    from data.store.store import Store

    if not user.strip():
        raise UsageError("The user is empty; give the one who teaches, as in the logs: --user ID.")
    for what, text in (("user", user), ("device type", device), ("assistant", assistant)):
        _must_be_utf8(what, text)
    whole = Store.whole(store)
    lines = iter(say) if say else _read(prompt=not as_json)
    turns = list(_dialogue(whole, lines, user.strip(), device, assistant, quiet=as_json))
    if as_json:
        print_json(turns)


def _must_be_utf8(what: str, text: str | None) -> None:
    """Raises UsageError for a text that no store can hold."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The {what} '{printable(str(text))}' is not valid UTF-8; give one that is."
        ) from error


def _read(prompt: bool) -> Iterator[str]:
    """The lines of standard input; asked for, where somebody sits at a terminal."""
    asking = prompt and sys.stdin.isatty()
    while True:
        if asking:
            out.print("[bold]> [/bold]", end="")
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _dialogue(
    store: Store,
    lines: Iterable[str],
    user: str,
    device: str | None,
    assistant: str | None,
    *,
    quiet: bool,
) -> Iterator[dict[str, Any]]:
    """Carry the dialogue on, line by line; a row per line: said, did, reply, meaning."""
    from labels.teaching.conversation import Conversation
    from labels.teaching.preferences import count_uses

    conversation, uses = Conversation(store, user, device, assistant), Counter[str]()
    for line in lines:
        _must_be_utf8("line", line)
        answer = conversation.say(line, datetime.now(UTC))
        text = answer.text
        if answer.did == "listed":
            text = _listing(answer.known)
        elif answer.meaning is not None:
            text = f"I take it for '{answer.meaning}'."
        uses.update([answer.used] if answer.used else [])
        text = text or "That is for the assistant."
        if not quiet:
            out.print(plain(text))
        yield {"said": line, "did": answer.did, "reply": text, "meaning": answer.meaning}
    count_uses(store, uses, datetime.now(UTC))


def _listing(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "You haven't taught me anything yet."
    return "\n".join(_sentence(row) for row in rows)


def _sentence(row: Mapping[str, Any]) -> str:
    from labels.teaching.dialogue import Lesson, summary

    return summary(Lesson(row["kind"], row["name"], row["value"], row["scope"]))


@preferences.command("list")
def list_(
    store: StoreOption = DEFAULT_STORE,
    user: UserOption = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Also those that hold no longer.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List what users taught, and how often it was used."""
    from data.store.privacy import stored_user
    from data.store.store import Store
    from labels.teaching.preferences import preferences as stored

    _must_be_utf8("user", user)
    whole = Store.whole(store)
    user = stored_user(whole, user) if user else user
    with whole.snapshot() as snapshot:
        rows = stored(snapshot, user, None if expired else datetime.now(UTC)).to_pylist()
        over = 0 if rows or expired else stored(snapshot, user).num_rows
    if as_json:
        print_json(rows)
        return
    if not rows:
        by = "" if user is None else f" by {plain(user)}"
        if over:
            out.print(
                f"Nothing that was taught{by} holds any more: {counted(over, 'preference')} "
                "expired. List them with: faultline preferences list --expired"
            )
            return
        out.print(f"Nothing was taught{by}. Teach something with: faultline teach --user ID")
        return
    table = Table("id", "user", "scope", "name", "value", "used", "expires", box=None)
    for row in rows:
        expires = row["expires_at"]
        table.add_row(
            row["preference_id"],
            plain(row["user_id"]),
            plain(row["scope"]),
            plain(row["name"]),
            plain(row["value"]),
            str(row["used"] or 0),
            expires.strftime(_DAY) if expires else "",
        )
    print_whole(table)


@preferences.command()
def edit(
    preference: Annotated[
        str, typer.Argument(metavar="ID", help="As `faultline preferences list` shows.")
    ],
    store: StoreOption = DEFAULT_STORE,
    value: Annotated[str | None, typer.Option(help="What it is, or means, now.")] = None,
    scope: Annotated[
        str | None, typer.Option(help="A device type that it is limited to, or: user.")
    ] = None,
    days: Annotated[
        float | None, typer.Option("--expires", min=0.01, max=3650, help="Days until it expires.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="It does not expire.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Change what was taught."""
    from data.store.store import Store
    from labels.teaching.preferences import edit as edit_row

    for what, text in (("id", preference), ("value", value), ("scope", scope)):
        _must_be_utf8(what, text)
    if value is None and scope is None and days is None and not keep:
        raise UsageError("Say what to change: --value, --scope, --expires or --keep.")
    if keep and days is not None:
        raise UsageError("--keep and --expires contradict each other; give one of them.")
    row = edit_row(
        Store.whole(store),
        preference,
        value=value,
        scope=scope,
        expires_at=None if days is None else timedelta(days=days),
        keep=keep,
    )
    if as_json:
        print_json(row)
        return
    if row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC):
        out.print(
            f"{plain(row['preference_id'])} is changed, but it expired on "
            f"{row['expires_at'].strftime(_DAY)} and is not in effect; revive it with: "
            f"faultline preferences edit {plain(row['preference_id'])} --keep, or --expires DAYS"
        )
        return
    out.print(f"{plain(row['preference_id'])}: {plain(_sentence(row))}")


@preferences.command()
def forget(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="As `faultline preferences list` shows."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    user: Annotated[
        str | None, typer.Option("--user", help="Instead of ids: everything that this user taught.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the user, only this topic or phrase.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Forget what was taught: by id, or what a user taught."""
    from data.store.store import Store
    from labels.teaching.preferences import forget as forget_rows

    if name is not None and user is None and not ids:
        raise UsageError("--name needs --user, as many users may have taught it.")
    gone = forget_rows(Store.whole(store), ids or (), user_id=user, name=name)
    if not gone:
        raise UsageError("Nothing of the kind was taught; list it with: faultline preferences list")
    if as_json:
        print_json({"forgotten": gone})
        return
    out.print(f"Forgot {counted(gone, 'preference')}.")


@preferences.command()
def collect(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Take over what was taught in the logs: dialogues whose turns have the action "teach".

    What was edited or forgotten since it was said in the logs stays so.
    """
    from data.store.store import Store
    from labels.teaching.logged import collect as collect_from_logs
    from labels.teaching.logged import nobodys

    whole = Store.whole(store)
    taught, gone = collect_from_logs(whole)
    with whole.snapshot() as snapshot:
        skipped = nobodys(snapshot)
    if as_json:
        print_json({"taught": taught, "forgotten": gone, "skipped_turns": skipped})
        return
    if skipped:
        out.print(f"Skipped {counted(skipped, 'turn')} of teaching, as the user has no name.")
    out.print(f"Took over {counted(taught, 'preference')} from the logs.")
    if gone:
        out.print(f"Forgot {counted(gone, 'preference')}, as users asked for in the logs.")


@preferences.command()
def moments(
    store: StoreOption = DEFAULT_STORE,
    every: Annotated[
        float, typer.Option(min=0.0, help="Days before a user is approached again.")
    ] = 7.0,
    every_one: Annotated[
        bool, typer.Option("--all", help="Also those that the rate leaves no room for.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List teachable moments: where a user would gain from teaching the assistant."""
    from data.store.store import Store
    from labels.teaching.moments import moments as found_in

    with Store.whole(store).snapshot() as snapshot:
        rows = [
            row
            for row in found_in(snapshot, every_days=every).to_pylist()
            if row["due"] or every_one
        ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("No teachable moments: no request keeps failing with its user.")
        return
    table = Table("turn", "user", "day", "why", "times", "request", box=None)
    for row in rows:
        table.add_row(
            plain(row["turn_id"]), plain(row["user_id"]), str(row["day"]), row["why"],
            str(row["times"]), plain(row["request"]),
        )  # fmt: skip
    print_whole(table)
