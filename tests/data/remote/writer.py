"""A process that writes to a store in an object store: `ADDRESS WHAT NAME TIMES`.

It prints a line after each commit. `count` adds one to a number, `ingest` stores logs of which half
are those of other writers too.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from data.ingest.ingest import ingest
from data.schema.layout import TABLES
from data.store.rerun import rerun
from data.store.store import Store
from data.store.workspace import put_setting
from tests.logs import trace, write_lines

COUNTER = "counter"


@rerun
def add_one(store: Store) -> int:
    """Add one to the store's counter; returns what it then is."""
    with store.commit() as cycle:
        with cycle.snapshot("settings") as snapshot:
            rows = snapshot.query("FROM settings").to_pylist()
        value = next((json.loads(r["value"]) for r in rows if r["name"] == COUNTER), 0) + 1
        # Others get a chance to be in the way.
        time.sleep(random.uniform(0, 0.02))
        cycle.delete_rows("settings", f"name = '{COUNTER}'")
        schema = TABLES["settings"].schema
        row = {"name": COUNTER, "value": json.dumps(value), "updated_at": datetime.now(UTC)}
        cycle.append("settings", pa.Table.from_pylist([row], schema=schema))
    return value


def main(address: str, what: str, name: str, times: int) -> None:
    store = Store.open(address)
    for number in range(times):
        if what == "count":
            add_one(store)
        else:
            own = [trace(f"{name}-{number}-{i}", dialogue_id=f"{name}-{number}") for i in range(5)]
            shared = [
                trace(f"shared-{number}-{i}", dialogue_id=f"shared-{number}") for i in range(5)
            ]
            with tempfile.TemporaryDirectory() as folder:
                path = write_lines(Path(folder) / "logs.jsonl", own + shared)
                ingest(store, [path], workers=1)
            put_setting(store, f"{name}-{number}", number)
        print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
