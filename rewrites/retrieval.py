"""Past requests that worked, to be searched by how a new text is spelled and how it sounds.

A row is a text of one assistant. The global index is two approximate nearest-neighbour graphs
(HNSW, Malkov and Yashunin 2020, by `usearch`) over the rows that mostly succeed and that several
users said: what one person said is not for all ears. The personal index lists the rows that each
user said; it is small, and searched exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rapidfuzz import fuzz
from rapidfuzz.process import extract
from usearch.index import Index as Graph

from features.arrow import pc, whole
from features.similarity import LONGEST
from rewrites.vectors import NGrams, Vectors

# Of a row: text, its assistant, the interpretation it most often got, turns, the share of them that
# failed, expected turns that went well, users, and when it was last said (s since 1970).
REQUESTS = pa.schema(
    [
        ("assistant", pa.string()),
        ("text", pa.string()),
        ("interpretation", pa.string()),
        ("turns", pa.float64()),
        ("failure", pa.float64()),
        ("successes", pa.float64()),
        ("users", pa.int64()),
        ("last", pa.float64()),
    ]
)
# What each user said, sorted by user: row, turns, expected failures among them, when last, and the
# mean direction of the time of day on a clock of 24 hours.
HABITS = pa.schema(
    [
        ("user_id", pa.string()),
        ("row", pa.int64()),
        ("turns", pa.float64()),
        ("failed", pa.float64()),
        ("last", pa.float64()),
        ("hour_x", pa.float64()),
        ("hour_y", pa.float64()),
    ]
)
# Users who have to have said a row before others are given it.
TOLD = 2
# Rows found by each graph, and of a user's own.
NEAREST = 20
OWN_NEAREST = 8
# A user's rows that are compared, the most frequent ones.
MOST_OWN = 1_000
_CONNECTIVITY, _EXPANSION = 16, 64
_BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows that may be meant by a text, int64 (n,), and their cosine by view (NaN: not found)."""

    rows: np.ndarray
    cosines: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Index:
    """The requests and habits of a log, searchable.

    Attributes
    ----------
    requests: table `REQUESTS`. habits: table `HABITS`, in the order of `users`.
    views: by name, the vectors and the graph over the rows that may be offered to everybody.
    """

    requests: pa.Table
    habits: pa.Table
    views: dict[str, tuple[Vectors, Graph]]
    columns: dict[str, np.ndarray] = field(repr=False)
    # Per interpretation (the last one: none), a number; rows of one interpretation share it.
    outcome: np.ndarray = field(repr=False)
    outcomes: list[str] = field(repr=False)
    _texts: Any = field(repr=False)
    _assistants: Any = field(repr=False)
    _keys: tuple[np.ndarray, np.ndarray] = field(repr=False)
    _users: dict[str, tuple[int, int]] = field(repr=False)

    @classmethod
    def of(
        cls,
        requests: pa.Table,
        habits: pa.Table,
        extra: Mapping[str, Vectors] | None = None,
        threads: int = 0,
    ) -> Index:
        """Index tables `REQUESTS` and `HABITS`; `extra`: further vectors to search by."""
        shared = np.flatnonzero(offered(requests))
        texts = requests["text"].take(pa.array(shared)).to_pylist()
        vectors: dict[str, Vectors] = {
            "letters": NGrams.of("letters", texts),
            "sounds": NGrams.of("sounds", texts),
            **(extra or {}),
        }
        views = {}
        for name, vector in vectors.items():
            graph = new_graph(vector.size)
            for start in range(0, len(shared), _BATCH):
                block = slice(start, start + _BATCH)
                graph.add(shared[block], vector.encode(texts[block]), threads=threads)
            views[name] = (vector, graph)
        return cls.with_views(requests, habits, views)

    @classmethod
    def with_views(
        cls, requests: pa.Table, habits: pa.Table, views: dict[str, tuple[Vectors, Graph]]
    ) -> Index:
        """The same with graphs made before."""
        columns = {
            name: whole(table[name]).to_numpy()
            for table, names in (
                (requests, ("turns", "failure", "successes", "users", "last")),
                (habits, ("row",)),
            )
            for name in names
        }
        for name in ("turns", "failed", "last", "hour_x", "hour_y"):
            columns[f"own_{name}"] = whole(habits[name]).to_numpy()
        names = whole(requests["interpretation"]).dictionary_encode()
        outcome = pc.fill_null(names.indices, -1).to_numpy().astype(np.int64)
        hashed = _hashes(whole(requests["assistant"]), whole(requests["text"]))
        order = np.argsort(hashed, kind="stable")
        return cls(
            requests,
            habits,
            views,
            columns,
            outcome,
            names.dictionary.to_pylist(),
            whole(requests["text"]),
            whole(requests["assistant"]).dictionary_encode(),
            (hashed[order], order),
            _spans(whole(habits["user_id"])),
        )

    def text(self, row: int) -> str:
        """The text of a row."""
        return str(self._texts[int(row)].as_py())

    def texts(self, rows: np.ndarray) -> list[str]:
        """The texts of rows."""
        texts: list[str] = self._texts.take(pa.array(rows, pa.int64())).to_pylist()
        return texts

    def find(self, text: str, assistant: str) -> int:
        """The row of a text, as `rewrites.interpretations.heard` spells it; -1 if it has none."""
        hashed, order = self._keys
        place = int(np.searchsorted(hashed, _hash(assistant, text)))
        while place < len(hashed) and hashed[place] == _hash(assistant, text):
            row = int(order[place])
            if self.text(row) == text and self._is_of(row, assistant):
                return row
            place += 1
        return -1

    def own(self, user_id: str | None) -> slice:
        """Where a user's habits are."""
        start, end = self._users.get(user_id or "", (0, 0))
        return slice(start, end)

    def candidates(
        self, text: str, assistant: str, user_id: str | None, near: int = NEAREST
    ) -> Candidates:
        """Rows whose letters or sounds are near those of `text`, and the user's own among them.

        The text's own row is left out. Order: by row.
        """
        found: dict[str, dict[int, float]] = {}
        own, rows = self._own_nearest(text, user_id), set[int]()
        for name, (vectors, graph) in self.views.items():
            vector = vectors.encode([text])[0]
            found[name] = {}
            if not vector.any():
                continue
            if len(graph):
                matches = graph.search(vector, near)
                found[name] = dict(
                    zip(matches.keys.tolist(), (1 - matches.distances).tolist(), strict=True)
                )
                rows.update(found[name])
            if len(own):
                cosines = vectors.encode(self.texts(own)) @ vector
                found[name].update(zip(own.tolist(), cosines.tolist(), strict=True))
                rows.update(own.tolist())
        rows.discard(self.find(text, assistant))
        kept = np.array(sorted(row for row in rows if self._is_of(row, assistant)), np.int64)
        return Candidates(
            kept,
            {
                name: np.array([cosine.get(int(row), np.nan) for row in kept])
                for name, cosine in found.items()
            },
        )

    def own_counts(self, user_id: str | None, rows: np.ndarray) -> np.ndarray:
        """Positions in `habits` of the user's rows; -1 for rows that the user never said."""
        span = self.own(user_id)
        mine = self.columns["row"][span]
        if not len(mine):
            return np.full(len(rows), -1)
        # Rows of a user ascend.
        place = np.minimum(np.searchsorted(mine, rows), len(mine) - 1)
        return np.where(mine[place] == rows, place + span.start, -1)

    def _own_nearest(self, text: str, user_id: str | None) -> np.ndarray:
        """The user's own rows whose letters are nearest; those that mostly work with the user."""
        span = self.own(user_id)
        turns, rows = self.columns["own_turns"][span], self.columns["row"][span]
        good = self.columns["own_failed"][span] < 0.5 * turns
        rows, turns = rows[good], turns[good]
        if len(rows) > MOST_OWN:
            rows = rows[np.sort(np.argsort(-turns, kind="stable")[:MOST_OWN])]
        nearest = extract(
            text[:LONGEST], self.texts(rows), scorer=fuzz.token_sort_ratio, limit=OWN_NEAREST
        )
        return np.array(sorted(rows[place] for _, _, place in nearest), np.int64)

    def _is_of(self, row: int, assistant: str) -> bool:
        return bool(self._assistants[row].as_py() == assistant)


def offered(requests: pa.Table) -> np.ndarray:
    """Rows that may be offered to everybody, boolean (n,)."""
    frame = {name: whole(requests[name]).to_numpy() for name in ("failure", "successes", "users")}
    said: np.ndarray = pc.not_equal(whole(requests["text"]), "").to_numpy(zero_copy_only=False)
    good = (frame["failure"] < 0.5) & (frame["successes"] > 0.5) & (frame["users"] >= TOLD)
    shared: np.ndarray = good & said
    return shared


def new_graph(size: int) -> Graph:
    """An empty graph for unit vectors of this size, stored in 8 bits."""
    return Graph(
        ndim=size,
        metric="cos",
        dtype="i8",
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION,
        expansion_search=_EXPANSION,
    )


def _hash(assistant: str, text: str) -> np.uint64:
    value: Any = pd.util.hash_array(
        np.array([f"{assistant}\x1f{text}"], object), categorize=False
    )[0]
    return np.uint64(value)


def _hashes(assistant: Any, text: Any) -> np.ndarray:
    keys = pc.binary_join_element_wise(assistant, text, "\x1f").to_numpy(zero_copy_only=False)
    if not len(keys):
        return np.zeros(0, np.uint64)
    hashed: np.ndarray = pd.util.hash_array(keys.astype(object), categorize=False)
    return hashed


def _spans(users: Any) -> dict[str, tuple[int, int]]:
    """Start and end of each user's rows in a sorted column."""
    encoded = users.dictionary_encode()
    codes = encoded.indices.to_numpy()
    names = encoded.dictionary.to_pylist()
    if not len(codes):
        return {}
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    return {
        names[codes[start]]: (start, end)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    }
