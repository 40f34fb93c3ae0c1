"""From sessions that were mined to the tables that the index and the ranker read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from data.schema.trace import schema
from features.arrow import pc, whole
from rewrites.interpretations import Counts, intent
from rewrites.mining import Mined
from rewrites.online.history import History, clock, turn_contexts
from rewrites.online.retrieval import HABITS, PATHS, REQUESTS
from rewrites.success import Success

# How much likelier an intent is in a context, as a logarithm.
LIFTS = schema([("context", pa.string()), ("intent", pa.string()), ("lift", pa.float64())])
# Which turns a row was counted from, for privacy deletions.
SAID = schema([("turn_id", pa.string()), ("user_id", pa.string()), ("row", pa.int64())])

_LEAST_PATH = 0.02
# Turns that the general frequency of an intent weighs in a context.
_PRIOR = 10.0
_RARE = 5


def tables(
    history: History, counted: Counts, success: Success, mined: Mined
) -> dict[str, pa.Table]:
    """The tables `requests`, `habits`, `paths`, `lifts` and `said` of the sessions counted."""
    requests, row = _requests(history, counted, mined)
    return {
        "requests": requests,
        "habits": _habits(history, counted, success, row),
        "paths": _paths(counted, mined, row, requests.num_rows),
        "lifts": _lifts(history),
        "said": _said(history, counted, row),
    }


def _requests(history: History, counted: Counts, mined: Mined) -> tuple[pa.Table, np.ndarray]:
    """Table `REQUESTS`, and the row of each request."""
    chain, cells = mined.chain, counted.cells
    n = counted.requests.num_rows
    frame = counted.requests.select(["assistant", "text", "interpretation"]).to_pandas()
    frame["turns"] = np.bincount(cells["request"], cells["turns"], n)
    frame["failing"] = frame["turns"] * chain.failure
    frame["successes"] = chain.successes
    row = frame.groupby(["assistant", "text"], sort=True).ngroup().to_numpy()
    rows = frame.groupby(["assistant", "text"], sort=True)
    sums = rows[["turns", "failing", "successes"]].sum().reset_index()
    first = frame.assign(row=row).sort_values("turns", ascending=False, kind="stable")
    first = first.drop_duplicates("row").sort_values("row")
    table = pa.table(
        {
            "assistant": pa.array(sums["assistant"].tolist(), pa.string()),
            "text": pa.array(sums["text"].tolist(), pa.string()),
            "interpretation": pa.array(first["interpretation"].tolist(), pa.string()),
            "turns": pa.array(sums["turns"].to_numpy(float)),
            "failure": pa.array((sums["failing"] / sums["turns"].clip(lower=1e-9)).to_numpy()),
            "successes": pa.array(sums["successes"].to_numpy(float)),
            "users": pa.array(counted.speakers(row)),
            "last": pa.array(_last(history, counted, row, len(sums))),
        },
        schema=REQUESTS,
    )
    return table, row


def _turn_rows(history: History, counted: Counts, row: np.ndarray) -> np.ndarray:
    keys = pa.array(history.turns["request"].tolist(), pa.string())
    request = pc.fill_null(pc.index_in(keys, whole(counted.requests["key"])), -1).to_numpy()
    rows: np.ndarray = np.where(request >= 0, np.append(row, -1)[request], -1)
    return rows


def _last(history: History, counted: Counts, row: np.ndarray, n: int) -> np.ndarray:
    last = np.zeros(n)
    rows = _turn_rows(history, counted, row)
    np.maximum.at(last, rows[rows >= 0], history.turns["at"].fillna(0).to_numpy()[rows >= 0])
    return last


def _habits(history: History, counted: Counts, success: Success, row: np.ndarray) -> pa.Table:
    cells = counted.cells
    named = (cells["user"] >= 0).to_numpy()
    users = counted.users.to_pylist()
    sums = pd.DataFrame(
        {
            "user": cells["user"].to_numpy()[named],
            "row": row[cells["request"].to_numpy()[named]],
            "turns": cells["turns"].to_numpy(float)[named],
            "failed": (cells["turns"] * success.failed).to_numpy(float)[named],
        }
    )
    sums = sums.groupby(["user", "row"], sort=True).sum().reset_index()
    x, y = clock(history.turns["at"].fillna(0).to_numpy())
    times = pd.DataFrame(
        {
            "user_id": history.turns["user_id"],
            "row": _turn_rows(history, counted, row),
            "last": history.turns["at"],
            "hour_x": x,
            "hour_y": y,
        }
    ).dropna(subset=["user_id"])
    times = times.groupby(["user_id", "row"]).agg(
        {"last": "max", "hour_x": "mean", "hour_y": "mean"}
    )
    # An empty list would be one of numbers.
    sums["user_id"] = pd.Series([users[code] for code in sums["user"]], sums.index, dtype="str")
    times = times.reset_index().astype({"user_id": "str"})
    habits = sums.merge(times, how="left", on=["user_id", "row"])
    return pa.Table.from_pandas(habits[HABITS.names].fillna(0), HABITS, preserve_index=False)


def _paths(counted: Counts, mined: Mined, row: np.ndarray, n: int) -> pa.Table:
    """Where walks end that begin with a failure of a text, pooled over its interpretations."""
    chain, cells = mined.chain, counted.cells
    turns = np.bincount(cells["request"], cells["turns"], len(row))
    share = turns / np.maximum(np.bincount(row, turns, n)[row], 1e-9) * chain.failure
    to_row = sp.csr_array(sp.coo_array((share, (row, np.arange(len(row)))), shape=(n, len(row))))
    pooled = sp.coo_array(to_row @ sp.csr_array(mined.mended))
    keep = pooled.data > _LEAST_PATH
    rows, ends = pooled.coords[0][keep], pooled.coords[1][keep]
    frame = pd.DataFrame(
        {
            "row": rows.astype(np.int64),
            "outcome": [chain.interpretations[end] for end in ends],
            "score": pooled.data[keep],
        }
    )
    frame = frame.sort_values(["row", "outcome"])
    return pa.Table.from_pandas(frame, PATHS, preserve_index=False)


def _lifts(history: History) -> pa.Table:
    words = turn_contexts(history.turns)
    sizes = [len(found) for found in words]
    pairs = pd.DataFrame(
        {
            "context": [word for found in words for word in found],
            "intent": np.repeat(
                np.array([intent(name) for name in history.turns["frame"]], object), sizes
            ),
        }
    )
    if pairs.empty:
        return LIFTS.empty_table()
    # Without frames an intent is a text: only those that are said often can be told apart.
    times = pairs["intent"].map(pairs["intent"].value_counts())
    share = history.turns["frame"].map(intent).value_counts(normalize=True)
    together = pairs[times >= _RARE].groupby(["context", "intent"]).size().rename("turns")
    inside = pairs.groupby("context").size()
    frame = together.reset_index()
    general = frame["intent"].map(share).to_numpy(float)
    seen = frame["context"].map(inside).to_numpy(float)
    frame["lift"] = np.log(
        (frame["turns"] + _PRIOR * general) / (seen + _PRIOR) / np.maximum(general, 1e-9)
    )
    return pa.Table.from_pandas(frame[LIFTS.names], LIFTS, preserve_index=False)


def _said(history: History, counted: Counts, row: np.ndarray) -> pa.Table:
    columns: dict[str, Any] = {
        "turn_id": pa.array(history.turns["turn_id"].tolist(), pa.string()),
        "user_id": pa.array(
            [user if isinstance(user, str) else None for user in history.turns["user_id"]],
            pa.string(),
        ),
        "row": _turn_rows(history, counted, row),
    }
    return pa.table(columns, schema=SAID)
