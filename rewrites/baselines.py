"""Simple rewriters that every table sets beside the chain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from rewrites.interpretations import PART, Counts
from rewrites.markov import absorption, matrix
from rewrites.mining import REWRITES, best

_GOES_ON = 0.9999


def next_successful(friction: pa.Table) -> pa.Table:
    """After a turn with friction, the next turn of the session without: the commonest one.

    `friction`: tables of `labels.feedback.sessions.friction`. Returns rows of `REWRITES`.
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


def plain_chain(counted: Counts, margin: float = 0.0, users: int = 2) -> pa.Table:
    """The absorbing chain as published (Ponnusamy et al., AAAI 2020), with hard rules.

    States are interpretations; whatever follows in a session is a transition; a session ends in
    success where its last turn shows no friction. A rewrite is the interpretation in which most
    walks succeed, if it succeeds more often by `margin` and that many `users` went on from the
    request. Returns rows of `REWRITES`.
    """
    cells, requests = counted.cells, counted.requests.select(["assistant", "text", "key"])
    names = requests.to_pandas()
    state, states = pd.factorize(names["key"].str.rpartition(PART)[0], sort=True)
    m, turns = len(states), cells["turns"].to_numpy(float)
    at, signs = state[cells["request"]], cells["signs"].to_numpy()
    smooth = (signs // 3 == 0) & (signs % 3 != 1)
    goes_on = cells["next"].to_numpy() >= 0
    after = state[cells["next"].to_numpy()[goes_on]]
    share = sp.diags_array(1 / np.maximum(np.bincount(at, turns, m), 1))
    # A little is lost at every step, so that sessions end even where the logs' never do.
    q = share @ matrix(turns[goes_on] * _GOES_ON, at[goes_on], after, (m, m))
    ends = ~goes_on & smooth
    r = share @ matrix(turns[ends], at[ends], at[ends], (m, m))
    absorbed = absorption(q, r)
    outcome, _, success = best(absorbed)
    said = pd.DataFrame({"state": at, "user": cells["user"]})[goes_on].drop_duplicates()
    support = np.bincount(said["state"], minlength=m)
    good = (outcome >= 0) & (outcome != np.arange(m)) & (support >= users)
    good &= success[outcome] > success + margin
    # Each interpretation in its commonest words without friction.
    well = np.bincount(cells["request"], turns * smooth, len(names))
    order = np.lexsort((np.arange(len(names)), -well, state))
    words = names["text"].to_numpy()[order[np.unique(state[order], return_index=True)[1]]]
    heard = np.bincount(cells["request"], turns, len(names))
    pairs = names[good[state]].assign(
        rewrite=words[outcome[state]][good[state]], score=heard[good[state]]
    )
    return rows_of(pairs.rename(columns={"text": "request"}))


def rows_of(pairs: pd.DataFrame) -> pa.Table:
    """Rows of `REWRITES` from assistant, request, rewrite and score."""
    table = {name: pa.nulls(len(pairs), REWRITES.field(name).type) for name in REWRITES.names}
    for name in ("assistant", "request", "rewrite"):
        table[name] = pa.array(pairs[name].tolist(), pa.string())
    table["score"] = pa.array(pairs["score"].to_numpy(float))
    return pa.table(table, schema=REWRITES)
