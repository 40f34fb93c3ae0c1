"""The table `feedback` of a store: per turn its signals, what they decide, and what they imply."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.schema.tables import FEEDBACK
from labels.feedback.label_model import LabelModel, fit
from labels.feedback.signals import fired, signals
from labels.feedback.waterfall import decide

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


def collect(
    snapshot: Snapshot,
    *,
    since: date | None = None,
    until: date | None = None,
    turns: pa.Array[Any] | None = None,
) -> pa.Table:
    """The signals of all turns of a snapshot in one table, see `labels.feedback.signals`."""
    tables = list(signals(snapshot, since=since, until=until, turns=turns))
    return pa.concat_tables(tables) if tables else pa.table({})


def feedback(
    snapshot: Snapshot,
    *,
    since: date | None = None,
    until: date | None = None,
    model: LabelModel | None = None,
    turns: pa.Array[Any] | None = None,
) -> tuple[pa.Table, LabelModel]:
    """Rows of `FEEDBACK`, one per turn, and the label model that their probabilities are of.

    `model`: one fitted before; by default it is fitted to these turns. `turns`: ids; only their
    conversations are read. Where nothing can be learned, `p_defect` is null and the model's note
    says why.
    """
    table = collect(snapshot, since=since, until=until, turns=turns)
    model = model or fit(table)
    return rows(table, model), model


def rows(table: pa.Table, model: LabelModel) -> pa.Table:
    """Rows of `FEEDBACK` for a table of signals."""
    if not table.num_rows:
        return FEEDBACK.empty_table()
    p = model.p_defect(table)
    decided = decide(table)
    columns: dict[str, Any] = {
        **{name: table[name] for name in ("turn_id", "dialogue_id", "day", "explicit", "rating",
                                          "asked", "propensity")},
        "signals": fired(table),
        "defect": decided["defect"],
        "decided_by": decided["decided_by"],
        "p_defect": pa.array(p, pa.float32(), mask=np.isnan(p)),
    }  # fmt: skip
    return pa.table({name: columns[name] for name in FEEDBACK.names}).cast(FEEDBACK)
