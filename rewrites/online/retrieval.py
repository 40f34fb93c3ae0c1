"""Past requests that worked, to be searched by how a new text is spelled and how it sounds.

A row is a text of one assistant. The global index is two approximate nearest-neighbour graphs
(HNSW, Malkov and Yashunin 2020, by `usearch`). What is found votes for what it wanted: a row that
works, for its own outcome; one that fails, for those where its retries ended. Offered are only rows
that mostly succeed and that several users said: what one person said is not for all ears. The
personal index lists the rows that each user said; it is small, and searched exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from rapidfuzz import fuzz
from rapidfuzz.process import extract
from usearch.index import Index as Graph

from data.schema.trace import schema
from features.arrow import pc, whole
from features.similarity import LONGEST
from rewrites.online.lookup import Lookup
from rewrites.online.vectors import NGrams, Vectors

# Of a row: text, its assistant, the interpretation it most often got, turns, the share of them that
# failed, expected turns that went well, users, and when it was last said (s since 1970).
REQUESTS = schema(
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
HABITS = schema(
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
# What becomes of a row that fails: the outcome, and the probability that a turn with it fails and
# ends there; sorted by row.
PATHS = schema([("row", pa.int64()), ("outcome", pa.string()), ("score", pa.float64())])
# Users who have to have said a row before others are given it.
TOLD = 2
# Rows found by each graph, and of a user's own.
NEAREST = 20
OWN_NEAREST = 8
# A user's rows that are compared, the most frequent ones.
MOST_OWN = 1_000
# Rows that vote, and the power of their cosine with which they do.
VOTERS = 24
SHARPNESS = 3
_LEAST_VOTE = 0.05
_WANTED = 0.3
_PART = "\x1f"
_CONNECTIVITY, _EXPANSION = 16, 64
_BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows that may be meant by a text, int64 (n,).

    Attributes
    ----------
    cosines: by view, float64 (n,); NaN where the row was not found by it.
    votes: share of what was found that wanted the row's outcome. nearest: the highest cosine of
        anything found that wanted it. shares: the votes for every outcome, by its number.
    """

    rows: np.ndarray
    cosines: Mapping[str, np.ndarray]
    votes: np.ndarray
    nearest: np.ndarray
    shares: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Index:
    """The requests and habits of a log, searchable.

    Attributes
    ----------
    requests: table `REQUESTS`. habits: table `HABITS`, sorted by user. paths: table `PATHS`.
    views: by name, the vectors and the graph over all rows with a text.
    arrays: what follows from the tables, kept because it takes seconds to compute for a million
        rows. outcome: per row, the number of its interpretation, of its assistant; -1 for none.
        offered: whether a row may be offered to everybody. spoken: per outcome, the row offered
        that says it best; -1 for none. works: per outcome, how often its best row succeeds.
    columns: the columns of the tables that numbers are read from.
    """

    requests: pa.Table
    habits: pa.Table
    paths: pa.Table
    views: dict[str, tuple[Vectors, Graph]]
    arrays: dict[str, np.ndarray] = field(repr=False)
    columns: dict[str, np.ndarray] = field(repr=False)
    _texts: Lookup = field(repr=False)
    _users: Lookup = field(repr=False)
    _outcomes: Lookup = field(repr=False)

    @property
    def outcome(self) -> np.ndarray:
        return self.arrays["outcome"]

    @property
    def offered(self) -> np.ndarray:
        return self.arrays["offered"]

    @property
    def spoken(self) -> np.ndarray:
        return self.arrays["spoken"]

    @property
    def works(self) -> np.ndarray:
        return self.arrays["works"]

    @property
    def users(self) -> int:
        """Users with habits."""
        return len(self._users)

    @classmethod
    def of(
        cls,
        requests: pa.Table,
        habits: pa.Table,
        paths: pa.Table,
        extra: Mapping[str, Vectors] | None = None,
        threads: int = 0,
    ) -> Index:
        """Index tables `REQUESTS`, `HABITS` and `PATHS`; `extra`: further vectors to search by."""
        column = whole(requests["text"])
        rows = np.flatnonzero(pc.not_equal(column, "").to_numpy(zero_copy_only=False))
        texts = column.take(pa.array(rows)).to_pylist()
        vectors: dict[str, Vectors] = {
            "letters": NGrams.of("letters", texts),
            "sounds": NGrams.of("sounds", texts),
            **(extra or {}),
        }
        views = {}
        for name, vector in vectors.items():
            graph = new_graph(vector.size)
            for start in range(0, len(rows), _BATCH):
                block = slice(start, start + _BATCH)
                graph.add(rows[block], vector.encode(texts[block]), threads=threads)
            views[name] = (vector, graph)
        return cls.with_views(requests, habits, paths, views)

    @classmethod
    def with_views(
        cls,
        requests: pa.Table,
        habits: pa.Table,
        paths: pa.Table,
        views: dict[str, tuple[Vectors, Graph]],
        arrays: dict[str, np.ndarray] | None = None,
    ) -> Index:
        """The same with graphs, and perhaps arrays, made before."""
        named = pc.binary_join_element_wise(
            whole(requests["assistant"]), whole(requests["interpretation"]), _PART
        ).dictionary_encode()
        texts = pc.binary_join_element_wise(
            whole(requests["assistant"]), whole(requests["text"]), _PART
        )
        users = pc.unique(whole(habits["user_id"]))
        if arrays is None:
            arrays = _arrays(requests, habits, paths, named, texts, users)
        columns = {
            name: whole(requests[name]).to_numpy()
            for name in ("turns", "failure", "successes", "users", "last")
        }
        columns["row"] = whole(habits["row"]).to_numpy()
        for name in ("turns", "failed", "last", "hour_x", "hour_y"):
            columns[f"own_{name}"] = whole(habits[name]).to_numpy()
        lookups = (
            Lookup(names, arrays[f"{name}_hashes"], arrays[f"{name}_order"])
            for name, names in (("text", texts), ("user", users), ("outcome", named.dictionary))
        )
        return cls(requests, habits, paths, views, arrays, columns, *lookups)

    def text(self, row: int) -> str:
        """The text of a row."""
        return self._texts.name(row).split(_PART, 1)[1]

    def texts(self, rows: np.ndarray) -> list[str]:
        """The texts of rows."""
        return [self.text(row) for row in rows.tolist()]

    def find(self, text: str, assistant: str) -> int:
        """The row of a text, as `rewrites.interpretations.heard` spells it; -1 if it has none."""
        return self._texts.find(f"{assistant}{_PART}{text}")

    def interpretation(self, code: int) -> str:
        """The interpretation with this number; '' for -1."""
        return self._outcomes.name(code).partition(_PART)[2]

    def code(self, interpretation: str | None, assistant: str) -> int:
        """The number of an interpretation; -1 if no row has it."""
        return self._outcomes.find(f"{assistant}{_PART}{interpretation}")

    def own(self, user_id: str | None) -> slice:
        """Where a user's habits are."""
        user = self._users.find(user_id) if user_id else -1
        if user < 0:
            return slice(0, 0)
        spans = self.arrays["user_start"]
        return slice(int(spans[user]), int(spans[user + 1]))

    def ends(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the failures of a row end: outcomes, and the probability of each."""
        start = self.arrays["path_start"]
        span = slice(int(start[row]), int(start[row + 1]))
        return self.arrays["path_outcome"][span], self.arrays["path_score"][span]

    def candidates(
        self,
        text: str,
        assistant: str,
        user_id: str | None,
        near: int = NEAREST,
        *,
        own_outcome: int = -1,
        unheard: bool = False,
    ) -> Candidates:
        """Rows that `text` may mean: found by letters or sounds, voted for, or the user's own.

        The text's own row is left out, and so are all rows of `own_outcome`, which would change
        nothing; where its failures ended is not, unless `unheard`. Rows ascend.
        """
        own_row = self.find(text, assistant)
        own, found = self._own_nearest(text, user_id), dict[str, dict[int, float]]()
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
            if len(own):
                cosines = _unit(graph.get(own)) @ vector
                found[name].update(zip(own.tolist(), cosines.tolist(), strict=True))
        alike: dict[int, float] = {}
        for cosine in found.values():
            for row, value in cosine.items():
                if row != own_row and self._is_of(row, assistant):
                    alike[row] = max(value, alike.get(row, 0.0))
        votes, nearest = self._votes(alike)
        rows = set(own.tolist()) | {row for row in alike if self.offered[row]}
        rows |= {int(self.spoken[outcome]) for outcome, vote in votes.items() if vote > _LEAST_VOTE}
        if own_row >= 0 and not unheard:
            rows |= {int(row) for row in self.spoken[self.ends(own_row)[0]]}
        kept = np.array(sorted(rows - {own_row, -1}), np.int64)
        if own_outcome >= 0:
            kept = kept[self.outcome[kept] != own_outcome]
        total = max(sum(votes.values()), 1e-9)
        wanted = self.outcome[kept].tolist()
        return Candidates(
            kept,
            {
                name: np.array([cosine.get(row, np.nan) for row in kept.tolist()])
                for name, cosine in found.items()
            },
            np.array([votes.get(outcome, 0.0) / total for outcome in wanted]),
            np.array([nearest.get(outcome, 0.0) for outcome in wanted]),
            {outcome: vote / total for outcome, vote in votes.items()},
        )

    def _votes(self, alike: Mapping[int, float]) -> tuple[dict[int, float], dict[int, float]]:
        """Votes by outcome, and the cosine of the nearest row that wanted it."""
        votes: dict[int, float] = {}
        nearest: dict[int, float] = {}
        failure = self.columns["failure"]
        for row in sorted(alike, key=lambda row: (-round(alike[row], 6), row))[:VOTERS]:
            cosine, failing = max(alike[row], 0.0), float(failure[row])
            ends, scores = self.ends(row)
            scale = max(float(scores.sum()) / max(failing, 1e-9), 0.5)
            wanted = [(int(self.outcome[row]), 1 - failing)]
            wanted += zip(ends.tolist(), (scores / scale).tolist(), strict=True)
            for outcome, mass in wanted:
                votes[outcome] = votes.get(outcome, 0.0) + cosine**SHARPNESS * mass
                if mass > _WANTED:
                    nearest[outcome] = max(nearest.get(outcome, 0.0), cosine)
        return votes, nearest

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
        # A text without letters is not in the graphs.
        good = (self.columns["own_failed"][span] < 0.5 * turns) & self.arrays["spelled"][rows]
        rows, turns = rows[good], turns[good]
        if len(rows) > MOST_OWN:
            rows = rows[np.sort(np.argsort(-turns, kind="stable")[:MOST_OWN])]
        nearest = extract(
            text[:LONGEST], self.texts(rows), scorer=fuzz.token_sort_ratio, limit=OWN_NEAREST
        )
        return np.array(sorted(rows[place] for _, _, place in nearest), np.int64)

    def _is_of(self, row: int, assistant: str) -> bool:
        return self._texts.name(row).startswith(f"{assistant}{_PART}")


def _arrays(
    requests: pa.Table, habits: pa.Table, paths: pa.Table, named: Any, texts: Any, users: Any
) -> dict[str, np.ndarray]:
    outcome = pc.fill_null(named.indices, -1).to_numpy().astype(np.int64)
    shared, size = offered(requests), len(named.dictionary)
    columns = {name: whole(requests[name]).to_numpy() for name in ("successes", "failure")}
    owner = pc.index_in(whole(habits["user_id"]), users).to_numpy()
    arrays = {
        "outcome": outcome,
        "offered": shared,
        "spelled": pc.not_equal(whole(requests["text"]), "").to_numpy(zero_copy_only=False),
        "spoken": _spoken(outcome, columns["successes"], shared, size),
        # The latest time of all.
        "latest": np.array([whole(requests["last"]).to_numpy().max(initial=0.0)]),
        "works": _works(outcome, columns["failure"], size),
        "user_start": np.searchsorted(owner, np.arange(len(users) + 1)),
    }
    start, ends, scores = _ends(paths, whole(requests["assistant"]), named.dictionary, len(outcome))
    arrays |= {"path_start": start, "path_outcome": ends, "path_score": scores}
    for name, names in (("text", texts), ("user", users), ("outcome", named.dictionary)):
        lookup = Lookup.of(names)
        arrays |= {f"{name}_hashes": lookup.hashes, f"{name}_order": lookup.order}
    return arrays


def offered(requests: pa.Table) -> np.ndarray:
    """Rows that may be offered to everybody, boolean (n,)."""
    frame = {name: whole(requests[name]).to_numpy() for name in ("failure", "successes", "users")}
    said: np.ndarray = pc.not_equal(whole(requests["text"]), "").to_numpy(zero_copy_only=False)
    good = (frame["failure"] < 0.5) & (frame["successes"] > 0.5) & (frame["users"] >= TOLD)
    shared: np.ndarray = good & said
    return shared


def _spoken(
    outcome: np.ndarray, successes: np.ndarray, shared: np.ndarray, size: int
) -> np.ndarray:
    spoken = np.full(size, -1)
    rows = np.flatnonzero(shared & (outcome >= 0))
    rows = rows[np.lexsort((rows, -np.round(successes[rows], 9)))]
    distinct, first = np.unique(outcome[rows], return_index=True)
    spoken[distinct] = rows[first]
    return spoken


def _works(outcome: np.ndarray, failure: np.ndarray, size: int) -> np.ndarray:
    works = np.zeros(size)
    known = outcome >= 0
    np.maximum.at(works, outcome[known], 1 - failure[known])
    return works


def _ends(
    paths: pa.Table, assistants: Any, names: Any, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts by row (n + 1,), outcomes and scores; what no row speaks is left out."""
    rows = whole(paths["row"]).to_numpy()
    keys = pc.binary_join_element_wise(
        assistants.take(pa.array(rows)), whole(paths["outcome"]), _PART
    )
    outcomes = pc.fill_null(pc.index_in(keys, names), -1).to_numpy().astype(np.int64)
    known = outcomes >= 0
    start = np.searchsorted(rows[known], np.arange(n + 1))
    return start, outcomes[known], whole(paths["score"]).to_numpy()[known]


def _unit(vectors: Any) -> np.ndarray:
    """As they were before they were stored in 8 bits."""
    numbers = np.stack(vectors).astype(np.float32)
    length = np.linalg.norm(numbers, axis=1, keepdims=True)
    unit: np.ndarray = numbers / np.maximum(length, 1e-9)
    return unit


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
