"""The command that proposes how the columns of a table are the fields of a trace."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cli.options import path_option
from cli.output import err, out, plain
from data.errors import UsageError
from data.store.paths import named_path


def mapping(
    file: Annotated[
        Path,
        typer.Argument(
            help="A table: .csv or .tsv (also .gz, .zst), or .parquet.",
            parser=named_path,
            metavar="FILE",
        ),
    ],
    to: Annotated[
        Path | None,
        path_option(
            "File .toml for the mapping, which must not exist yet; without it, the mapping is "
            "printed."
        ),
    ] = None,
) -> None:
    """Propose which columns of a table are which fields, as a file to check and edit.

    Read it, correct it, and give it to: faultline ingest FILE --mapping calls.toml
    """
    from data.ingest.tables.proposal import propose

    proposal = propose(file)
    if to is None:
        typer.echo(proposal.text, nl=False)
    else:
        try:
            with to.expanduser().open("x", encoding="utf-8") as new:
                new.write(proposal.text)
        except FileExistsError:
            raise UsageError(
                f"{to} exists, and may have been edited; choose another name, or remove it."
            ) from None
        except FileNotFoundError:
            raise UsageError(
                f"There is no folder {to.parent}; make it, or choose another."
            ) from None
        names = f"{shlex.quote(str(file))} --mapping {shlex.quote(str(to))}"
        out.print(f"Wrote {plain(str(to))}; check it, then: faultline ingest {plain(names)}")
    if proposal.missing:
        err.print(
            f"To do in the mapping: no column seems to hold {', '.join(proposal.missing)}, which "
            "every turn needs."
        )
