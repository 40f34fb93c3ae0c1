"""The table `labelled`: the failure points that gold in the logs implies, stored beside the turns.

Deriving a failure point from gold reads whole records; pages need only the result. So it is derived
before training and scoring, for turns whose gold is new or has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from data.schema.tables import LABELLED
from data.store.rerun import rerun
from data.store.snapshot import Snapshot
from data.store.store import Store
from labels.rules.failure_point import COLUMNS, labels

# Records in memory at a time; a record with its hypotheses is some kilobytes.
_BATCH = 20_000

# Counts changes of the rules and of text normalisation: labels of earlier ones are derived anew.
_RULES = 2
# Half of the hash: Delta Lake has no unsigned integers.
_DIGEST = f"(hash(digest, gold, {_RULES}) >> 1)::BIGINT"

_OUTDATED = f"""
SELECT turn_id FROM labelled
ANTI JOIN (
  SELECT turn_id, day, {_DIGEST} AS gold_digest FROM turns WHERE gold IS NOT NULL
) USING (turn_id, day, gold_digest)
"""

_NEW = f"""
SELECT * FROM (
  SELECT dialogue_id, day, {_DIGEST} AS gold_digest, {", ".join(COLUMNS)}
  FROM turns WHERE gold IS NOT NULL
) ANTI JOIN labelled USING (turn_id, day, gold_digest)
"""


def pending(snapshot: Snapshot) -> Iterator[pa.Table]:
    """What `labelled` lacks: labels of turns whose gold is new or has changed, some at a time.

    Columns of `data.schema.tables.LABELLED`. `snapshot` has the tables turns and labelled.
    """
    for batch in snapshot.batches(_NEW, rows=_BATCH):
        turns = pa.table(batch)
        derived = labels(turns)
        columns: dict[str, Any] = {
            **{name: turns[name] for name in ("dialogue_id", "day", "gold_digest")},
            **{name: derived[name] for name in ("turn_id", "failure_point", "source")},
        }
        yield pa.table(columns).select(LABELLED.names).cast(LABELLED)


@rerun
def refresh(store: Store) -> int:
    """Bring `labelled` up to date with `turns`; returns how many labels are new or changed."""
    with store.snapshot() as snapshot:
        outdated = snapshot.query(_OUTDATED)
        tables = list(pending(snapshot))
    if not outdated.num_rows and not tables:
        return 0
    new = pa.concat_tables(tables) if tables else LABELLED.empty_table()
    ids = pa.concat_tables([outdated.select(["turn_id"]), new.select(["turn_id"])])
    with store.commit() as cycle:
        # By id alone: another process may have labelled the same turns in the meantime.
        cycle.delete_rows("labelled", "turn_id IN (SELECT turn_id FROM ids)", {"ids": ids})
        if new.num_rows:
            # Only for turns whose gold is still as it was read.
            with cycle.snapshot("turns") as now:
                current = now.query(
                    f"SELECT n.* FROM new n SEMI JOIN (SELECT turn_id, day, {_DIGEST} AS "
                    "gold_digest FROM turns WHERE gold IS NOT NULL) "
                    "USING (turn_id, day, gold_digest)",
                    tables={"new": new},
                )
            if current.num_rows:
                cycle.append("labelled", current)
    return new.num_rows
