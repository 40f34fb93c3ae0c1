"""What mined rewrites are worth on later sessions, as Markdown for docs/rewrites.md.

    python -m benchmarks.rewrites FOLDER [SHARE]

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

import numpy as np
import pandas as pd
import pyarrow as pa

from data.ingest.ingest import ingest
from data.store.store import Store
from rewrites.interpretations import Counts, counts
from rewrites.markov import Chain
from rewrites.mining import REWRITES, Mined, best, from_counts
from rewrites.neighbours import Neighbours
from rewrites.replay import Score, parts, replay, rewritten
from rewrites.sessions import GAP_S, friction
from rewrites.success import Success

_ASSISTANT = "slurp-sessions"


@dataclass(frozen=True)
class Split:
    """Earlier sessions, mined, and the later turns with what their users wanted."""

    earlier: pa.Table
    counted: Counts
    later: pd.DataFrame

    def heard(self) -> tuple[dict[str, str], dict[str, int]]:
        """Per text of the earlier sessions: its commonest interpretation, and its turns."""
        cells = self.counted.cells
        requests = self.counted.requests.select(["text", "interpretation"]).to_pandas()
        requests["turns"] = np.bincount(cells["request"], cells["turns"], len(requests)).astype(int)
        times = requests.groupby("text")["turns"].sum()
        first = requests.sort_values("turns", ascending=False, kind="stable").drop_duplicates(
            "text"
        )
        heard = {str(text): int(turns) for text, turns in times.items()}
        return dict(zip(first["text"], first["interpretation"], strict=True)), heard


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
    return Split(earlier, counts([earlier], gap_s=GAP_S), turns)


def next_successful(earlier: pa.Table) -> pa.Table:
    """After a turn with friction, the next turn of the session without: the commonest one."""
    turns = earlier.to_pandas()
    turns["bad"] = _friction(turns)
    good = turns["text"].where(~turns["bad"])
    turns["rewrite"] = good.groupby(turns["session"]).bfill()
    turns = turns[turns["bad"] & turns["rewrite"].notna() & (turns["rewrite"] != turns["text"])]
    pairs = turns.groupby(["text", "rewrite"]).size().rename("score").reset_index()
    return rows_of(pairs.rename(columns={"text": "request"}))


def plain_chain(counted: Counts, margin: float = 0.1) -> pa.Table:
    """The chain with a hard rule: a turn failed if it shows friction, and what follows retries.

    Of a few such rules (also: every turn that is followed failed, or said again similarly) and
    margins, the one with the best net; stronger ones can be made.
    """
    cells = counted.cells
    signs, follows = cells["signs"].to_numpy(), cells["follow"].to_numpy() > 0
    friction = (signs // 3 > 0) | (signs % 3 == 1)
    failed = friction.astype(float)
    turns = cells["turns"].to_numpy(float)
    n = counted.requests.num_rows
    heard = np.bincount(cells["request"], turns, n)
    failure = np.bincount(cells["request"], turns * failed, n) / np.maximum(heard, 1)
    retried = failed * follows
    chain = Chain.of(counted, Success(failed, retried, failure, 0.0))
    absorbed = chain.absorbed()
    outcome, mass, _ = best(chain.step @ absorbed)
    _, _, total = best(absorbed)
    texts = counted.requests["text"].to_pylist()
    spoken: dict[int, int] = {}
    for request in np.argsort(-chain.successes, kind="stable"):
        spoken.setdefault(int(chain.outcome[request]), int(request))
    found = [
        (texts[i], texts[spoken[outcome[i]]], mass[i])
        for i in range(n)
        if outcome[i] >= 0
        and outcome[i] != chain.outcome[i]
        and total[spoken[outcome[i]]] > total[i] + margin
    ]
    return rows_of(pd.DataFrame(found, columns=["request", "rewrite", "score"]))


def rows_of(pairs: pd.DataFrame) -> pa.Table:
    """Rows of `REWRITES` from request, rewrite and score."""
    table = {name: pa.nulls(len(pairs), REWRITES.field(name).type) for name in REWRITES.names}
    table["assistant"] = pa.array([_ASSISTANT] * len(pairs), pa.string())
    for name in ("request", "rewrite"):
        table[name] = pa.array(pairs[name].tolist(), pa.string())
    table["score"] = pa.array(pairs["score"].to_numpy(float))
    return pa.table(table, schema=REWRITES)


def with_neighbours(mined: Mined, turns: pd.DataFrame) -> pa.Table:
    """The mined rows, and rows for the texts of `turns` that were never heard."""
    neighbours = Neighbours.of(mined, _ASSISTANT)
    if neighbours is None:
        return mined.rows
    new = neighbours.rewrites(turns["text"].tolist(), turns["frame"].tolist())
    return pa.concat_tables([mined.rows, new])


def tables(split: Split) -> dict[str, pa.Table]:
    """The methods compared, by name."""
    mined = from_counts(split.counted)
    general = mined.rows.filter(mined.rows["user_id"].is_null())
    return {
        "none": REWRITES.empty_table(),
        "next successful": next_successful(split.earlier),
        "plain chain": plain_chain(split.counted),
        "label model + chain, general": general,
        "… + personal": mined.rows,
        "… + neighbours": with_neighbours(mined, split.later),
    }


def line(name: str, score: Score) -> str:
    """One row of the table."""
    precision = f"{score.precision:.3f}" if score.triggers else "–"
    return (
        f"| {name} | {score.triggers / max(score.turns, 1):.3f} | {score.wins} | {score.losses}"
        f" | {score.no_help} | {precision} | {score.mended:.3f}"
        f" | {score.net:.3f} ({score.low:.3f} to {score.high:.3f}) | {score.false_triggers:.3f} |"
    )


def _friction(turns: pd.DataFrame) -> pd.Series:
    bad: pd.Series = (
        turns["barge_in"] | turns["terminated"] | turns["rejected"] | (turns["explicit"] == "no")
    )
    return bad


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
