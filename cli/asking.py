"""What to ask users next: the command `labels ask`; and what answers say of all turns."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.options import DEFAULT_STORE, JsonOption, StoreOption, path_option
from cli.output import out, plain, print_json, print_whole
from data.counted import counted
from data.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from labels.feedback.exploration import Estimate


def ask(
    store: StoreOption = DEFAULT_STORE,
    budget: Annotated[float, typer.Option(help="Questions a day, in all.")] = 100.0,
    rate: Annotated[float, typer.Option(help="Questions a day to one user, at most.")] = 0.2,
    show: Annotated[int, typer.Option(min=0, help="Intents to list.")] = 20,
    to: Annotated[
        Path | None,
        path_option("File .json for the plan, which an assistant carries out."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan where "did I answer your question?" pays most, within a budget.

    With --to, the plan is written to a file; the reference assistant asks by it:
    faultline demo-data --ask FILE.
    """
    from data.store.store import Store, must_lie_outside
    from labels.feedback.exploration import plan
    from labels.feedback.plan_file import content, write_plan

    if to is not None:
        must_lie_outside(to, store)
    with Store.whole(store).snapshot() as snapshot:
        table = plan(snapshot, budget, rate)
    if not table.num_rows:
        raise UsageError("The store holds no turns; ingest some with: faultline ingest PATH…")
    planned = content(table, budget, rate)
    if to is not None:
        write_plan(to, planned)
    if as_json:
        print_json(planned)
        return
    rows = planned["intents"]
    asks = sum(row["asks_per_day"] for row in rows)
    out.print(f"{asks:,.1f} questions a day over {counted(len(rows), 'intent')}.")
    listing = Table(
        "assistant", "intent", "turns a day", "p defect", "uncertainty", "answers", "ask after",
        "a day", box=None,
    )  # fmt: skip
    for row in rows[:show]:
        listing.add_row(
            plain(row["assistant"]), plain(row["intent"]), f"{row['per_day']:,.1f}",
            f"{row['p_defect']:.2f}", f"{row['uncertainty']:.2f}", f"{row['answers']:,}",
            f"{row['propensity']:.1%}", f"{row['asks_per_day']:,.2f}",
        )  # fmt: skip
    print_whole(listing)
    if to is not None:
        out.print(
            f"The plan is in {plain(str(to))}. Next, for the reference assistant: "
            f"faultline demo-data --to FOLDER --ask {plain(shlex.quote(str(to)))}"
        )


def answers(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Estimates of the share of "no" from a table of signals, for JSON; see `from_store`."""
    from labels.feedback.exploration import from_store

    found = {name: asdict(estimate) for name, estimate in from_store(table).items()}
    return {
        name: {key: None if value != value else value for key, value in estimate.items()}
        for name, estimate in found.items()
    }


def answers_in_words(table: pa.Table) -> str:
    """How many answered "no", and how many of all users would; "" where nobody answered."""
    from labels.feedback.exploration import from_store

    found = from_store(table)
    every, planned = found["naive"], found.get("self-normalised")
    if not every.answers:
        return ""
    text = (
        f'"Did I answer your question?" was answered {counted(every.answers, "time")}, '
        f"with no in {_share(every)}."
    )
    if planned is None:
        return f"{text} How likely each was to be asked is not logged, so all turns may differ."
    return (
        f"{text} Of all turns, by the {counted(planned.answers, 'answer')} that a plan asked for, "
        f"weighted by how likely each was: {_share(planned)}."
    )


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} (95%: {estimate.low:.1%} to {estimate.high:.1%})"
