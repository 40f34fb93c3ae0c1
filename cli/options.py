"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from data.event_log import VARIABLE, LogFormat
from data.store.paths import must_be_text, named_path


class Context(StrEnum):
    hindsight = "hindsight"
    live = "live"


class Labels(StrEnum):
    auto = "auto"
    gold = "gold"
    generated = "generated"
    both = "both"
    behaviour = "behaviour"


def path_option(help: str, *names: str, metavar: str = "FILE") -> Any:
    """An option that names a file or folder, whose name a store can hold."""
    return typer.Option(
        *names, help=help, parser=named_path, metavar=metavar, callback=must_be_text
    )


# Text, not a path: `Path` would make one slash of the two in an object store's address.
StoreOption = Annotated[
    str,
    typer.Option(
        "--store", envvar="FAULTLINE_STORE", help="Folder of the store.", callback=must_be_text
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Work on a Ray cluster that this machine is a node of: auto, or HOST:PORT.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar=VARIABLE,
        help="text: sentences for people; json: every event as a line of JSON, to standard error.",
    ),
]
ContextOption = Annotated[
    Context,
    typer.Option(help="hindsight also reads the turns that follow; live reads no later turn."),
]
LabelsOption = Annotated[
    Labels,
    typer.Option(
        help="auto: annotated turns, and derived labels while there are few; gold: annotated turns "
        "alone; generated: those that a label model labelled; both: gold "
        "where there is some; behaviour: derived from signals and users' behaviour, needs neither."
    ),
]
WarmStartOption = Annotated[
    bool,
    typer.Option(
        help="Pool fewer than 500 annotated turns with packaged turns of simulated assistants, "
        "where that foretells the annotations better."
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Same turns and seed, same model.")]
EncoderOption = Annotated[
    str | None, typer.Option(help="transformers model: a folder, or a name in the local cache.")
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Leave out a group of features: before, after, capture, text, witness. Repeatable."
    ),
]
WithinOption = Annotated[
    float,
    typer.Option(help="Seconds within which several devices hear one request; 0: same instant."),
]
DEFAULT_STORE = "store"
