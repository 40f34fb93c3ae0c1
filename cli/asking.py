"""What to ask users next: the command `labels ask`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.output import out, plain, print_json
from data.errors import UsageError


def ask(
    store: StoreOption = DEFAULT_STORE,
    budget: Annotated[float, typer.Option(help="Questions a day, in all.")] = 100.0,
    rate: Annotated[float, typer.Option(help="Questions a day to one user, at most.")] = 0.2,
    show: Annotated[int, typer.Option(min=0, help="Intents to list.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Plan where "did I answer your question?" pays most, within a budget."""
    from data.store.store import Store
    from labels.feedback.exploration import plan

    with Store.whole(store).snapshot() as snapshot:
        table = plan(snapshot, budget, rate)
    if not table.num_rows:
        raise UsageError("The store holds no turns; ingest some with: faultline ingest PATH…")
    rows = table.to_pylist()
    if as_json:
        print_json({"budget": budget, "rate": rate, "intents": rows})
        return
    asks = sum(row["asks_per_day"] for row in rows)
    out.print(f"{asks:,.1f} questions a day over {len(rows):,} intents.")
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
    out.print(listing, soft_wrap=False)
