"""Mined rows as candidates of a store: with their ids, examples, failing turns and the chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.schema.requests import request_sql
from data.schema.tables import REWRITES
from data.schema.trace import FAILURES
from data.store.rewrites import PROPOSED, rewrite_id
from rewrites.interpretations import Counts
from rewrites.mining import Mined
from rewrites.success import Success

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Turns kept as examples of a rewrite.
EXAMPLES = 20
# States drawn around a request: at most, and steps from each.
_MOST_NODES, _STEPS = 8, 3
_LEAST_STEP = 0.02

_KEY = ["assistant", "request", "user_id"]
# Assistant, text and interpretation of a request.
_State = tuple[str, str, str]

_FAILING = f"""
WITH spoken AS (
    SELECT assistant, {request_sql("heard")} AS request,
        {", ".join(f"p_{name}" for name in FAILURES)}
    FROM predictions WHERE model_id = $model AND heard IS NOT NULL
)
SELECT coalesce(assistant, '') AS assistant, request,
    {", ".join(f"sum(p_{name}) AS {name}" for name in FAILURES)}
FROM spoken SEMI JOIN asked USING (request) GROUP BY ALL
"""


def candidates(
    mined: Mined,
    counted: Counts,
    success: Success,
    turns: pd.DataFrame,
    blamed: Mapping[tuple[str, str], str],
    at: datetime,
) -> pa.Table:
    """The rows of `mined` as the store keeps them (schema `data.schema.tables.REWRITES`).

    Parameters
    ----------
    counted, success: what `mined` was mined from.
    turns: columns turn_id, assistant, text, user_id and retried, of the turns that were mined.
    blamed: (assistant, request) → failure point, see `failing_points`.
    at: when it was mined.
    """
    rows = mined.rows.to_pandas()
    rows = rows.sort_values(["score", "rewrite"], ascending=[False, True], kind="stable")
    rows = rows.drop_duplicates(_KEY)
    rows = rows.sort_values([*_KEY], na_position="first", kind="stable").reset_index(drop=True)
    keys = _tuples(rows, "assistant", "request", "rewrite", "user_id")
    heard = _heard(counted, success, rows)
    around = _Chain(mined, counted)
    columns: dict[str, Any] = {name: rows[name].tolist() for name in mined.rows.column_names}
    columns |= {
        "user_id": [key[3] for key in keys],
        "rewrite_id": [rewrite_id(*key) for key in keys],
        "turns": heard["turns"].tolist(),
        "failing": heard["failing"].tolist(),
        "failure_point": [blamed.get(key[:2]) for key in keys],
        "examples": _examples(rows, turns),
        "chain": [
            around.of((assistant, request, state), (assistant, rewrite, outcome), user)
            for (assistant, request, rewrite, user), state, outcome in zip(
                keys, rows["request_state"], rows["rewrite_state"], strict=True
            )
        ],
        "state": [PROPOSED] * len(rows),
        "mined_at": [at] * len(rows),
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(len(rows), field.type)
        for field in REWRITES
    ]
    return pa.Table.from_arrays(arrays, schema=REWRITES)


def failing_points(snapshot: Snapshot, requests: Any) -> dict[tuple[str, str], str]:
    """What fails most on the scored turns with some requests (an Arrow column of texts), by
    assistant and request."""
    if not snapshot.model:
        return {}
    asked = pa.table({"request": requests.unique()})
    sums = snapshot.query(_FAILING, {"model": snapshot.model}, tables={"asked": asked})
    return {
        (row["assistant"], row["request"]): max(FAILURES, key=lambda name: row[name])
        for row in sums.to_pylist()
    }


def _heard(counted: Counts, success: Success, rows: pd.DataFrame) -> pd.DataFrame:
    """Turns with the request of each row, of its user where it has one, and expected failures."""
    cells = counted.cells
    requests = counted.requests.select(["assistant", "text"]).to_pandas()
    said = requests.iloc[cells["request"]].reset_index(drop=True)
    names: list[Any] = [*counted.users.to_pylist(), None]
    said["user_id"] = [names[user] for user in cells["user"]]
    said["turns"] = cells["turns"].to_numpy()
    said["failing"] = said["turns"] * success.failed
    said = said.rename(columns={"text": "request"})
    said = said[said["request"].isin(set(rows["request"]))]
    sums = ["turns", "failing"]
    everybody = said.groupby(["assistant", "request"])[sums].sum().reset_index()
    own = said.groupby(_KEY)[sums].sum().reset_index()
    general = rows[_KEY].merge(everybody, how="left", on=["assistant", "request"])
    personal = rows[_KEY].merge(own, how="left", on=_KEY)
    everybodys = rows["user_id"].isna().to_numpy()[:, None]
    chosen = general[sums].where(np.repeat(everybodys, len(sums), 1), personal[sums])
    return chosen.fillna(0).astype({"turns": np.int64, "failing": np.float64})


def _examples(rows: pd.DataFrame, turns: pd.DataFrame) -> list[list[str]]:
    """Turns with each row's request that were said again: the surest, then in order."""
    turns = turns[turns["text"].isin(set(rows["request"])) & (turns["retried"] > 0.5)]
    turns = turns.sort_values(["retried", "turn_id"], ascending=[False, True], kind="stable")
    by_key: dict[tuple[Any, ...], list[str]] = {}
    for assistant, text, user, turn in _tuples(turns, "assistant", "text", "user_id", "turn_id"):
        for key in ((assistant, text, None), (assistant, text, user)):
            named = by_key.setdefault(key, [])
            if len(named) < EXAMPLES and turn not in named:
                named.append(turn)
    return [by_key.get(key, []) for key in _tuples(rows, *_KEY)]


def _tuples(table: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Rows of some columns, with None for what is missing."""
    columns = [table[name].astype(object).where(table[name].notna(), None) for name in names]
    return list(zip(*(column.tolist() for column in columns), strict=True))


class _Chain:
    """The chain around requests, for people to look at."""

    def __init__(self, mined: Mined, counted: Counts) -> None:
        chain = mined.chain
        self._chain = chain
        self._texts: list[Any] = chain.requests["text"].to_pylist()
        named_by = ("assistant", "text", "interpretation")
        keys: Any = zip(*(chain.requests[name].to_pylist() for name in named_by), strict=True)
        self._numbers: dict[_State, int] = {key: i for i, key in enumerate(keys)}
        cells = counted.cells
        self._turns = np.bincount(cells["request"], cells["turns"], len(self._texts))
        named = cells[cells["user"] >= 0][["user", "request"]].drop_duplicates()
        self._shared = np.bincount(named["request"], minlength=len(self._texts)) >= 2
        # Sessions without a user belong to nobody in particular.
        self._shared[cells["request"][cells["user"] < 0]] = True
        self._users: dict[Any, int] = {name: i for i, name in enumerate(counted.users.to_pylist())}
        self._said = set(zip(named["user"].tolist(), named["request"].tolist(), strict=True))

    def of(self, request: _State, rewrite: _State, user_id: str | None) -> str:
        """The states that walks from a request come to, as JSON.

        {"nodes": [{"text", "state", "failure", "turns"}], "edges": [{"from", "to", "p"}]}, the
        request first. On a general row, only states that several users said are named.
        """
        start, goal = self._numbers[request], self._numbers[rewrite]
        nodes = list(dict.fromkeys([start, goal]))
        for node in (start, goal):
            following, p = self._steps(node)
            order = np.lexsort((following, -np.round(p, 9)))
            likely = [int(following[i]) for i in order[:_STEPS] if p[i] >= _LEAST_STEP]
            nodes += [
                other for other in likely if other not in nodes and self._named(other, user_id)
            ][: _MOST_NODES - len(nodes)]
        place = {node: i for i, node in enumerate(nodes)}
        edges = [
            {"from": i, "to": place[int(j)], "p": round(float(p), 3)}
            for node, i in place.items()
            for j, p in zip(*self._steps(node), strict=True)
            if int(j) in place and p >= _LEAST_STEP
        ]
        described = [
            {
                "text": self._texts[node],
                "state": self._chain.interpretations[self._chain.outcome[node]],
                "failure": round(float(self._chain.failure[node]), 3),
                "turns": int(self._turns[node]),
            }
            for node in nodes
        ]
        return json.dumps({"nodes": described, "edges": edges}, ensure_ascii=False)

    def _steps(self, node: int) -> tuple[np.ndarray, np.ndarray]:
        """The requests that follow one when it fails, and their probabilities."""
        step = self._chain.step
        row = slice(step.indptr[node], step.indptr[node + 1])
        return step.indices[row], step.data[row]

    def _named(self, request: int, user_id: str | None) -> bool:
        own = self._users.get(user_id or "", -1)
        return bool(self._shared[request]) or (own, request) in self._said
