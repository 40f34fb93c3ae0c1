"""Simple rewriters that every table sets beside the chain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from rewrites.interpretations import Counts
from rewrites.markov import Chain
from rewrites.mining import REWRITES, best
from rewrites.success import Success


def next_successful(friction: pa.Table) -> pa.Table:
    """After a turn with friction, the next turn of the session without: the commonest one.

    `friction`: tables of `rewrites.sessions.friction`. Returns rows of `REWRITES`.
    """
    turns = friction.select(
        ["session", "assistant", "text", "barge_in", "terminated", "rejected", "explicit"]
    ).to_pandas()
    turns["bad"] = (
        turns["barge_in"] | turns["terminated"] | turns["rejected"] | (turns["explicit"] == "no")
    )
    good = turns["text"].where(~turns["bad"])
    turns["rewrite"] = good.groupby(turns["session"]).bfill()
    turns = turns[turns["bad"] & turns["rewrite"].notna() & (turns["rewrite"] != turns["text"])]
    pairs = turns.groupby(["assistant", "text", "rewrite"]).size().rename("score").reset_index()
    return rows_of(pairs.rename(columns={"text": "request"}))


def plain_chain(counted: Counts, margin: float = 0.1) -> pa.Table:
    """The absorbing chain with a hard rule: a turn with friction failed, and what follows retries.

    Returns rows of `REWRITES`.
    """
    cells = counted.cells
    signs, follows = cells["signs"].to_numpy(), cells["follow"].to_numpy() > 0
    friction = (signs // 3 > 0) | (signs % 3 == 1)
    failed = friction.astype(float)
    turns = cells["turns"].to_numpy(float)
    n = counted.requests.num_rows
    heard = np.bincount(cells["request"], turns, n)
    failure = np.bincount(cells["request"], turns * failed, n) / np.maximum(heard, 1)
    chain = Chain.of(counted, Success(failed, failed * follows, failure, 0.0))
    absorbed = chain.absorbed()
    outcome, mass, _ = best(chain.step @ absorbed)
    _, _, total = best(absorbed)
    names = counted.requests["assistant"].to_pylist()
    texts = counted.requests["text"].to_pylist()
    spoken: dict[int, int] = {}
    for request in np.argsort(-chain.successes, kind="stable"):
        spoken.setdefault(int(chain.outcome[request]), int(request))
    found = [
        (names[i], texts[i], texts[spoken[outcome[i]]], mass[i])
        for i in range(n)
        if outcome[i] >= 0
        and outcome[i] != chain.outcome[i]
        and total[spoken[outcome[i]]] > total[i] + margin
    ]
    return rows_of(pd.DataFrame(found, columns=["assistant", "request", "rewrite", "score"]))


def rows_of(pairs: pd.DataFrame) -> pa.Table:
    """Rows of `REWRITES` from assistant, request, rewrite and score."""
    table = {name: pa.nulls(len(pairs), REWRITES.field(name).type) for name in REWRITES.names}
    for name in ("assistant", "request", "rewrite"):
        table[name] = pa.array(pairs[name].tolist(), pa.string())
    table["score"] = pa.array(pairs["score"].to_numpy(float))
    return pa.table(table, schema=REWRITES)
