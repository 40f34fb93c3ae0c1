"""What mined rewrites are worth on later sessions, as Markdown for docs/rewrites.md.

    python -m benchmarks.rewrites.replay FOLDER [SHARE]

FOLDER has `slurp-sessions.jsonl.gz` and `slurp-sessions.gold.jsonl.gz`. The first SHARE of the days
(0.7) is mined, without gold; the rest is replayed against it.
"""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa

from data.ingest.ingest import ingest
from data.store.store import Store
from labels.feedback.sessions import friction
from rewrites.baselines import next_successful, plain_chain
from rewrites.interpretations import Counts, counts
from rewrites.mining import REWRITES, from_counts
from rewrites.outcomes import all_rows, heard_in
from rewrites.rephrase.mined import from_rephrases, united
from rewrites.replay import Said, Score, parts, replay, rewritten
from rewrites.success import estimate


@dataclass(frozen=True)
class Split:
    """Earlier sessions, mined, and the later turns with what their users wanted."""

    earlier: pa.Table
    counted: Counts
    later: pd.DataFrame

    def heard(self) -> tuple[dict[Said, str], dict[Said, int]]:
        """Per text of the earlier sessions: its commonest interpretation, and its turns."""
        return heard_in(self.counted)


def divided(folder: Path, share: float = 0.7) -> Split:
    """The sessions of the corpus, split by day."""
    gold = {}
    with gzip.open(folder / "slurp-sessions.gold.jsonl.gz", "rt") as lines:
        for line in lines:
            record = json.loads(line)
            gold[record["turn_id"]] = record["gold"]
    with TemporaryDirectory() as temporary:
        store = Store.create(Path(temporary) / "store")
        ingest(store, [folder / "slurp-sessions.jsonl.gz"])
        with store.snapshot() as snapshot:
            days = sorted(snapshot.rows_by_day("turns"))
            last = days[int(len(days) * share) - 1]
            earlier = pa.concat_tables(friction(snapshot, until=last))
            later = pa.concat_tables(friction(snapshot, since=last + timedelta(days=1)))
    turns = later.to_pandas()
    turns["wanted"] = [_frame(gold[turn]) for turn in turns["turn_id"]]
    turns["wrong"] = [not gold[turn]["right"] for turn in turns["turn_id"]]
    return Split(earlier, counts([earlier]), turns)


def tables(split: Split) -> dict[str, pa.Table]:
    """The methods compared, by name."""
    success = estimate(split.counted)
    mined = from_counts(split.counted, success=success)
    rephrases = from_rephrases([split.earlier], split.counted, success, mined)
    general = mined.rows.filter(mined.rows["user_id"].is_null())
    return {
        "none": REWRITES.empty_table(),
        "next successful": next_successful(split.earlier),
        "plain chain": plain_chain(split.counted),
        "rephrase": rephrases,
        "label model + chain, general": general,
        "… + personal": mined.rows,
        "… + neighbours": all_rows(mined, split.later),
        "chain + rephrase": united(mined.rows, rephrases),
    }


def line(name: str, score: Score) -> str:
    """One row of the table."""
    precision = f"{score.precision:.3f}" if score.triggers else "–"
    return (
        f"| {name} | {score.triggers / max(score.turns, 1):.3f} | {score.wins} | {score.losses}"
        f" | {score.no_help} | {precision} | {score.mended:.3f}"
        f" | {score.net:.3f} ({score.low:.3f} to {score.high:.3f}) | {score.false_triggers:.3f} |"
    )


def _frame(gold: dict[str, Any]) -> str:
    domain = gold["intent"].split("_")[0]
    slots = sorted(f"{slot['name']}={slot['value']}" for slot in gold["slots"])
    return "|".join([domain, gold["intent"], *slots])


_COLUMNS = (
    *("triggers", "wins", "losses", "no help", "precision@1", "mended", "net mended (95 %)"),
    "false triggers",
)
_HEAD = f"\n| {{what}} | {' | '.join(_COLUMNS)} |\n|---{'|---:' * len(_COLUMNS)}|"


def main(folder: Path, share: float) -> None:
    split = divided(folder, share)
    outcomes, times = split.heard()
    turns = split.later
    known = set(outcomes.values())
    wrong = turns[turns["wrong"]]
    print(
        f"{len(turns):,} later turns, {len(wrong):,} wrong; of these "
        f"{wrong['wanted'].isin(known).mean():.1%} want an outcome that an earlier text has."
    )
    print(_HEAD.format(what="method"))
    rows = {}
    for name, table in tables(split).items():
        rows[name] = rewritten(turns, table)
        print(line(name, replay(turns, rows[name], outcomes)))
    print(_HEAD.format(what="part"))
    everything = rows["… + neighbours"]
    for name, mask in parts(turns, times).items():
        print(line(name, replay(turns[mask], everything[mask], outcomes)))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) == 3 else 0.7)
