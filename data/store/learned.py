"""What is learned from users' behaviour, in the store: feedback, goals, generated labels, and what
users taught.

A run of `labels.feedback` or of a label model replaces what the one before wrote, in one commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from data.schema.layout import TABLES
from data.store.annotations import PATIENCE_S
from data.store.parquet import fitted
from data.store.rerun import rerun
from data.store.retention_policy import oldest_kept

if TYPE_CHECKING:
    from data.store.store import Store
    from data.store.transaction import Cycle

# Tables with one row per turn.
_PER_TURN = ("feedback", "generated_labels")
_CALLED = {
    "feedback": "rows of feedback",
    "generated_labels": "generated labels",
    "goals": "goals",
    "preferences": "preferences",
    "preference_changes": "changes of preferences",
}
_OF_DELETED = "dialogue_id IN (SELECT dialogue_id FROM deleted)"
# Deleted turns that a preference was taught in.
_TAUGHT = "EXISTS (SELECT 1 FROM deleted WHERE list_contains(turn_ids, deleted.turn_id))"


@rerun
def replace_learned(store: Store, tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Write tables of what was learned (`feedback`, `goals`, `generated_labels`) in place of what
    is there, in one commit; returns the rows of each that the store then has.

    Rows of turns that somebody has deleted since they were read are left out, a goal needs its
    first and its last turn, and those older than the table is kept.
    """
    written: dict[str, int] = {}
    with store.commit(PATIENCE_S) as cycle:
        for name, rows in tables.items():
            keys = ("first_turn", "last_turn") if name == "goals" else ("turn_id",)
            present = " AND ".join(f"{key} IN (SELECT turn_id FROM turns)" for key in keys)
            schema = TABLES[name].schema
            with cycle.snapshot("turns", "settings", "misdated") as snapshot:
                oldest = oldest_kept(snapshot, name)
                if oldest:
                    # Of turns that are kept longer than what is learned from them.
                    present += (
                        f" AND (day >= $oldest OR {keys[0]} IN (SELECT turn_id FROM misdated))"
                    )
                kept = snapshot.query(
                    f"SELECT * FROM given WHERE {present}",
                    {"oldest": oldest} if oldest else None,
                    tables={"given": rows.select(schema.names)},
                )
            cycle.delete_rows(name, "true")
            written[name] = cycle.append(name, fitted(kept, schema)) if kept.num_rows else 0
    return written


def forget_learned(
    cycle: Cycle, condition: str, named: Callable[[str], str], tables: Mapping[str, pa.Table]
) -> Counter[str]:
    """Remove what was learned from deleted turns, and what deleted users taught; counts by name.

    `condition`: SQL over turn_id and dialogue_id; `named`: SQL that a column (dialogue_id, user_id)
    is one to delete. `tables` has `deleted` (turn_id, dialogue_id). Goals go with every dialogue
    that has lost a turn, as they were found in all of it.
    """
    removed: Counter[str] = Counter()
    for name in _PER_TURN:
        removed[_CALLED[name]] = cycle.delete_rows(name, condition, tables)
    goals = f"{named('user_id')} OR {named('dialogue_id')} OR {_OF_DELETED}"
    removed[_CALLED["goals"]] = cycle.delete_rows("goals", goals, tables)
    taught = f"{named('user_id')} OR {_TAUGHT}"
    removed[_CALLED["preferences"]] = cycle.delete_rows("preferences", taught, tables)
    removed[_CALLED["preference_changes"]] = cycle.delete_rows(
        "preference_changes", named("user_id"), tables
    )
    return removed


def retain_learned(cycle: Cycle, old: str, tables: Mapping[str, pa.Table]) -> Counter[str]:
    """Remove what was learned from turns that meet `old` (SQL over day and turn_id), and the goals
    of their dialogues; counts by name."""
    removed: Counter[str] = Counter()
    for name in _PER_TURN:
        removed[_CALLED[name]] = cycle.delete_rows(name, old, tables)
    removed[_CALLED["goals"]] = cycle.delete_rows("goals", _OF_DELETED, tables)
    return removed
