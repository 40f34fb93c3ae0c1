"""An index without what some users said, or without single turns."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from rewrites.online.retrieval import HABITS, PATHS, REQUESTS
from rewrites.online.tabulate import SAID

if TYPE_CHECKING:
    from rewrites.online.rewriter import Rewriter


def without(
    rewriter: Rewriter, users: Set[str], turns: Set[str]
) -> tuple[dict[str, pa.Table], pa.Table, int]:
    """The tables of an index, its exact rows, and the number of turns removed."""
    index = rewriter.known.index
    said = rewriter.said.to_pandas()
    gone = (said["user_id"].isin(list(users)) | said["turn_id"].isin(list(turns))) & (
        said["row"] >= 0
    )
    habits, requests = index.habits.to_pandas(), index.requests.to_pandas()
    habitual = habits["user_id"].isin(list(users))
    rows = rewriter.rows.to_pandas()
    personal = rows["user_id"].isin(list(users))
    if not (gone.any() or habitual.any() or personal.any()):
        return {}, rewriter.rows, 0
    lost = said[gone].groupby("row").size().reindex(range(len(requests)), fill_value=0).to_numpy()
    kept_said = said[~gone]
    # Of a user who keeps some turns with a text, the habit stays, with fewer turns.
    mine = said[gone].groupby(["user_id", "row"]).size().rename("lost").reset_index()
    habits = habits[~habitual].merge(mine, how="left", on=["user_id", "row"])
    fewer = habits["lost"].fillna(0.0)
    rate = habits["failed"] / habits["turns"].clip(lower=1e-9)
    habits["turns"] = habits["turns"] - fewer
    habits["failed"] = rate * habits["turns"]
    habits = habits[habits["turns"] > 0]
    users_left = _users_left(kept_said, len(requests))
    share = 1 - lost / np.maximum(requests["turns"].to_numpy(), 1e-9)
    requests["users"] = np.where(lost > 0, users_left, requests["users"])
    requests["turns"] = np.maximum(requests["turns"] - lost, 0)
    requests["successes"] = requests["successes"] * np.clip(share, 0, 1)
    kept = ~((lost > 0) & (requests["turns"].to_numpy() < 0.5))
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    texts = set(requests["text"][~kept])
    paths = index.paths.to_pandas()
    rows = rows[~personal & ~rows["request"].isin(texts) & ~rows["rewrite"].isin(texts)]
    made = {
        "requests": _table(requests[kept], REQUESTS),
        "habits": _table(_renumbered(habits, number), HABITS),
        "paths": _table(_renumbered(paths, number), PATHS),
        "lifts": rewriter.lifts,
        "said": _table(_renumbered(kept_said, number), SAID),
    }
    removed = int(gone.sum()) or int(habitual.sum() + personal.sum())
    return made, _table(rows, rewriter.rows.schema), removed


def _users_left(said: pd.DataFrame, n: int) -> np.ndarray:
    """Per row: users who still said it; a turn without a user counts as one."""
    named = said[said["user_id"].notna()][["user_id", "row"]].drop_duplicates()
    unnamed = said[said["user_id"].isna()]
    rows = pd.concat([named["row"], unnamed["row"]])
    left: np.ndarray = np.bincount(rows[rows >= 0], minlength=n)
    return left


def _renumbered(table: pd.DataFrame, number: np.ndarray) -> pd.DataFrame:
    row = table["row"].to_numpy()
    table = table.assign(row=np.where(row >= 0, np.append(number, -1)[row], -1))
    return table[(table["row"] >= 0) | (row < 0)]


def _table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pandas(frame[schema.names], schema, preserve_index=False)
