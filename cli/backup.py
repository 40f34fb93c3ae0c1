"""`backup` and `restore`: a store as a whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption, path_option
from cli.output import err, out, plain, print_json
from data.counted import counted, number


def backup(
    to: Annotated[
        Path,
        path_option(
            "New or empty folder, or new file whose name ends with .tar.", "--to", metavar="PATH"
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Copy the newest version of a store, with models, decisions and spools; others may write
    meanwhile."""
    from data.store.backup import backup as run
    from data.store.store import Store
    from progress import listener

    target = Store.open(store)
    with listener(err, announce=False) as progress:
        made = run(target, to, progress)
    if as_json:
        print_json(asdict(made) | {"to": str(to)})
        return
    out.print(
        f"Backed up {counted(made.rows.get('turns', 0), 'turn')} of version {made.version} to "
        f"{plain(str(to))}: {counted(made.files, 'file')}, {made.bytes / 1e6:.1f} MB. It holds "
        "what people said: deletions in the store do not reach it."
    )


def restore(
    source: Annotated[
        Path,
        typer.Argument(help="Folder or file that `faultline backup` has made.", metavar="BACKUP"),
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Make a store of a backup, in a new or empty folder; every file is checked before."""
    from data.store.restoration import restore as run
    from progress import listener

    with listener(err, announce=False) as progress:
        made = run(source, store, progress)
    if as_json:
        print_json(asdict(made) | {"store": store})
        return
    turns = number(made.rows.get("turns", 0))
    out.print(
        f"Restored {turns} turns of version {made.version} to {plain(store)}, as they were at "
        f"{made.made_at}. What was deleted since then is there again: delete it again."
    )
