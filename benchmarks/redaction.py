"""How many turns of real logs redaction changes, and what it costs.

    python -m benchmarks.redaction            # about a minute

Each corpus is ingested without and with all kinds of redaction and six common first names; a turn
is changed where any of its columns differs. Times are of one process, the encoding of the store
included.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from pathlib import Path

from data.ingest.ingest import ingest
from data.store.privacy import KINDS, PLACEHOLDERS, Choice, choose
from data.store.store import Store

CORPORA = Path(__file__).parents[1].parent / "shared" / "corpora"
NAMES = ("Mary", "John", "Sarah", "Peter", "David", "Anna")
# Which run and file a turn came from differs anyway.
_OF_THE_RUN = re.compile(r'"(run_id|ingested_at|source_file)":("[^"]*"|null|\d+),?')


def _turns(folder: Path, logs: Path, choice: Choice | None) -> tuple[dict[str, str], float]:
    """The turns of logs as JSON, by id, and the seconds that ingesting them took."""
    store = Store.create(folder)
    if choice:
        choose(store, choice)
    began = time.perf_counter()
    ingest(store, [logs])
    seconds = time.perf_counter() - began
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT turn_id, to_json(turns)::VARCHAR AS json FROM turns")
    texts = (_OF_THE_RUN.sub("", str(text)) for text in rows["json"].to_pylist())
    return dict(zip(map(str, rows["turn_id"].to_pylist()), texts, strict=True)), seconds


def main() -> None:
    """Print a line for each corpus."""
    choice = Choice(kinds=KINDS, names=NAMES)
    for name in ("dstc1", "slurp", "dstc2"):
        logs = CORPORA / f"{name}.jsonl.gz"
        with tempfile.TemporaryDirectory() as folder:
            plain, without = _turns(Path(folder) / "plain", logs, None)
            redacted, with_it = _turns(Path(folder) / "redacted", logs, choice)
        changed = [turn for turn, text in plain.items() if redacted[turn] != text]
        kinds = Counter(
            kind
            for turn in changed
            for kind, mark in PLACEHOLDERS.items()
            if mark in redacted[turn] and mark not in plain[turn]
        )
        found = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
        print(
            f"{name}: {len(changed):,} of {len(plain):,} turns changed ({found}); "
            f"{without:.1f} s without, {with_it:.1f} s with redaction"
        )


if __name__ == "__main__":
    main()
