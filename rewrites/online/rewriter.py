"""Rewrites at run time: rows that were mined or approved first, then retrieval and ranking."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import RewriteIndexMissing
from features.arrow import whole
from labels.teaching.taught import Taught
from rewrites.interpretations import heard
from rewrites.mining import REWRITES, Mined, Settings, from_counts
from rewrites.online import index_folder
from rewrites.online.history import History, contexts, seconds
from rewrites.online.ranking import (
    FALSE_TRIGGERS,
    Background,
    Ranker,
    Request,
    features,
    retrieved,
    winner_of,
)
from rewrites.online.retrieval import HABITS, PATHS, REQUESTS, Index, new_graph
from rewrites.online.tabulate import LIFTS, SAID, tables
from rewrites.online.training import Known, exact_rows, trained
from rewrites.online.vectors import Kind, NGrams, Vectors
from rewrites.success import estimate

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store

# Longer texts are left as they are: a request is shorter, and a runaway transcript is not mended.
LONGEST = 1_000
# Candidates that an answer names.
SHOWN = 5
_TABLES = {"requests": REQUESTS, "habits": HABITS, "paths": PATHS, "lifts": LIFTS, "said": SAID}
_VIEWS: tuple[Kind, ...] = ("letters", "sounds")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that may have been meant, with its score among the candidates of one request."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is rewritten to.

    Attributes
    ----------
    text: what was asked. rewrite: None to leave it as it is.
    score: the probability that the request fails and the rewrite is wanted; 0 without any.
    method: "taught" by the user; "chain", "chain, personal", …, of a row; "ranking"; or "none".
    candidates: what was considered, the likeliest first. why: a sentence.
    """

    text: str
    rewrite: str | None
    score: float
    method: str
    candidates: tuple[Candidate, ...]
    why: str


@dataclass(frozen=True)
class Rewriter:
    """An index, exact rows, and a ranker that may abstain.

    Attributes
    ----------
    known: index and rows. ranker: the ranking. assistant: whose requests are rewritten when none
        is named: the one with the most turns. rows: table `REWRITES`.
    said: table `SAID`. about: facts about the build, for people. concepts: what users taught,
        which goes before anything that was learned.
    """

    known: Known
    ranker: Ranker
    assistant: str
    rows: pa.Table
    lifts: pa.Table
    said: pa.Table = field(repr=False)
    about: Mapping[str, Any] = field(default_factory=dict)
    concepts: Taught = field(default_factory=Taught, repr=False)

    # -- building ------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        source: Snapshot | History | None,
        mined: Mined | None = None,
        *,
        rows: pa.Table | None = None,
        taught: pa.Table | None = None,
        settings: Settings | None = None,
        false_triggers: float = FALSE_TRIGGERS,
        threads: int = 0,
    ) -> Rewriter:
        """Index the sessions of a snapshot, and learn to rank from them.

        Parameters
        ----------
        mined: what was mined from the same sessions; mined here if None.
        rows: exact rows in place of the mined ones, such as those that were approved: a table with
            the columns of `REWRITES`.
        taught: see `rewrites.online.ranking.Background.of`.
        false_triggers: see `rewrites.online.ranking.learn`.
        """
        history = source if isinstance(source, History) or source is None else History.of(source)
        if history is None or not len(history.turns):
            return cls.of(_EMPTY, rows, taught, Ranker.untrained(), threads)
        counted = history.counted()
        success = estimate(counted)
        mined = mined or from_counts(counted, settings, success)
        made = tables(history, counted, success, mined)
        ranker = trained(history, counted, success, mined, settings, false_triggers=false_triggers)
        return cls.of(made, mined.rows if rows is None else rows, taught, ranker, threads)

    @classmethod
    def of(
        cls,
        made: Mapping[str, pa.Table],
        rows: pa.Table | None = None,
        taught: pa.Table | None = None,
        ranker: Ranker | None = None,
        threads: int = 0,
    ) -> Rewriter:
        """From the tables of `rewrites.online.tabulate.tables`, and a ranker (else it abstains)."""
        index = Index.of(made["requests"], made["habits"], made["paths"], threads=threads)
        rows = REWRITES.empty_table() if rows is None else rows.select(REWRITES.names)
        return cls._made(index, rows, made["lifts"], made["said"], ranker, taught)

    @classmethod
    def _made(
        cls,
        index: Index,
        rows: pa.Table,
        lifts: pa.Table,
        said: pa.Table,
        ranker: Ranker | None,
        taught: pa.Table | None,
    ) -> Rewriter:
        known = Known(index, Background.of(lifts, taught), exact_rows(rows))
        ranker = ranker or Ranker.untrained()
        about = {
            "requests": index.requests.num_rows,
            "users": index.users,
            "rows": rows.num_rows,
            "thresholds": list(ranker.thresholds),
            **ranker.figures,
        }
        return cls(known, ranker, _assistant(index, rows), rows, lifts, said, about)

    # -- asking --------------------------------------------------------------------------------

    def rewrite(
        self,
        text: str,
        user_id: str | None = None,
        device: str | Mapping[str, Any] | None = None,
        at: datetime | float | None = None,
        location: str | None = None,
        before: Sequence[str] = (),
        *,
        frame: str | None = None,
        assistant: str | None = None,
    ) -> Answer:
        """What to hear instead of `text`, if anything.

        Parameters
        ----------
        device: its type, or `{"type", "state"}` as in a trace. at: when it was said, in UTC.
        before: the texts of the turns before in the session, the last one last.
        frame: what NLU made of the text, as `domain|intent|slot=value…`, if it has run: it tells
            failures apart better than the text alone.
        """
        name = self.assistant if assistant is None else assistant
        words = heard(text[: LONGEST + 1])
        if not words:
            return Answer(text, None, 0.0, "none", (), "There is no text to rewrite.")
        if len(text) > LONGEST:
            why = f"The text has more than {LONGEST:,} characters, so it is left as it is."
            return Answer(text, None, 0.0, "none", (), why)
        request = Request(
            words,
            name,
            user_id,
            frame,
            contexts(device, at, location, self._interpretation(before, name)),
            None if at is None else seconds(at),
        )
        meaning = self._taught(text, words, user_id, device, at, name)
        if meaning is not None:
            return meaning
        row = self.known.row(request)
        if row is not None:
            return _of_row(text, words, *row)
        if self.known.works(request):
            return Answer(text, None, 0.0, "none", (), "The request is known to work as it is.")
        return self._ranked(text, request)

    def _taught(
        self,
        text: str,
        words: str,
        user_id: str | None,
        device: str | Mapping[str, Any] | None,
        at: datetime | float | None,
        assistant: str,
    ) -> Answer | None:
        """What the user taught that the words mean, if anything."""
        if not user_id or not len(self.concepts):
            return None
        kind = device if isinstance(device, str) else (device or {}).get("type")
        moment = None if at is None else datetime.fromtimestamp(seconds(at), UTC)
        found = self.concepts.meaning(words, user_id, kind, moment, assistant or None)
        if found is None or heard(found.text) == words:
            return None
        candidate = Candidate(found.text, found.similarity)
        why = "This user taught what it means."
        return Answer(text, found.text, found.similarity, "taught", (candidate,), why)

    def knowing(self, concepts: Taught) -> Rewriter:
        """The same with what users taught."""
        return replace(self, concepts=concepts)

    def _interpretation(self, before: Sequence[str], assistant: str) -> str | None:
        index = self.known.index
        row = index.find(heard(before[-1][:LONGEST]), assistant) if before else -1
        return index.interpretation(index.outcome[row]) if row >= 0 else None

    def _ranked(self, text: str, request: Request) -> Answer:
        index = self.known.index
        found = retrieved(index, request)
        if not len(found.rows):
            return Answer(text, None, 0.0, "none", (), "Nothing like it has been said before.")
        table, said = features(index, self.known.background, request, found)
        first, winner, scores = winner_of(self.ranker, table, said, index.outcome[found.rows])
        order = np.argsort(-np.round(scores, 9), kind="stable")[:SHOWN]
        candidates = tuple(Candidate(index.text(found.rows[i]), float(scores[i])) for i in order)
        trust, threshold = self.ranker.trust(winner), self.ranker.threshold(winner)
        if trust < threshold:
            why = (
                "Too few sessions to learn from, so nothing but exact rows is rewritten."
                if self.ranker.booster is None
                else f"The likeliest meaning is trusted with {trust:.2f}, which is too little."
            )
            return Answer(text, None, 0.0, "none", candidates, why)
        own = index.own_counts(request.user_id, found.rows[[first]])[0] >= 0
        why = f"Similar requests {'of this user ' if own else ''}ended in it."
        return Answer(text, index.text(found.rows[first]), trust, "ranking", candidates, why)

    # -- on disk -------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Make this the index in `folder`, at once (see `rewrites.online.index_folder`)."""
        index_folder.publish(folder, self._write)

    @classmethod
    def load(cls, folder: Path, taught: pa.Table | None = None) -> Rewriter:
        """The index in `folder`; raises `RewriteIndexMissing` or `RewriteIndexDamaged`."""
        return index_folder.read(folder, lambda generation: cls._read(generation, taught))

    def _write(self, folder: Path) -> None:
        index = self.known.index
        for name, table in self._tables().items():
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
        for name in _VIEWS:
            vectors, graph = index.views[name]
            assert isinstance(vectors, NGrams)
            np.save(folder / f"{name}.npy", vectors.rarity)
            graph.save(str(folder / f"{name}.usearch"))
        np.savez(folder / "arrays.npz", allow_pickle=False, **index.arrays)
        self.ranker.save(folder)
        (folder / "about.json").write_text(json.dumps(dict(self.about), indent=1) + "\n", "utf-8")

    def _tables(self) -> dict[str, pa.Table]:
        index = self.known.index
        return {
            "requests": index.requests,
            "habits": index.habits,
            "paths": index.paths,
            "lifts": self.lifts,
            "said": self.said,
            "rows": self.rows,
        }

    @classmethod
    def _read(cls, folder: Path, taught: pa.Table | None) -> Rewriter:
        read = {
            name: pq.read_table(folder / f"{name}.parquet", schema=schema)
            for name, schema in {**_TABLES, "rows": REWRITES}.items()
        }
        views: dict[str, tuple[Vectors, Any]] = {}
        for name in _VIEWS:
            vectors = NGrams(name, np.load(folder / f"{name}.npy", allow_pickle=False))
            graph: Any = new_graph(vectors.size)
            # Mapped, not read: it is in memory once for all that serve it. Opened here: a path that
            # is gone by now would make the library close file 0 of the process, whatever that is.
            with (folder / f"{name}.usearch").open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            graph.view(mapped)
            # The library keeps no reference to what it views.
            graph.mapped = mapped
            views[name] = (vectors, graph)
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        index = Index.with_views(read["requests"], read["habits"], read["paths"], views, arrays)
        ranker = Ranker.load(folder)
        return cls._made(index, read["rows"], read["lifts"], read["said"], ranker, taught)


def build_index(
    store: Store,
    *,
    rows: pa.Table | None = None,
    mined: Mined | None = None,
    taught: pa.Table | None = None,
    false_triggers: float = FALSE_TRIGGERS,
) -> Rewriter:
    """Build the index of a store from all its sessions, and write it to its index folder.

    `rows`: approved rows in place of those mined, with the columns of `REWRITES`.
    """
    with store.snapshot() as snapshot:
        rewriter = Rewriter.build(
            snapshot, mined, rows=rows, taught=taught, false_triggers=false_triggers
        )
    rewriter.save(index_folder.of_store(store.path))
    # Somebody may have deleted turns since they were read.
    _forget(store, rewriter)
    store.files_written()
    return rewriter


def forget(folder: Path, *, user_ids: Iterable[str] = (), turn_ids: Iterable[str] = ()) -> int:
    """Take what users said, or single turns, out of the index in `folder`; returns turns removed.

    Their habits, personal rows and ids go, and so do texts that nobody else has said, with their
    vectors: the graphs are made again. What the ranker has learned goes when the index is built
    again. Raises `RewriteIndexMissing` or `RewriteIndexDamaged`.
    """
    from rewrites.online.forgetting import without

    with index_folder.locked(folder):
        rewriter = Rewriter.load(folder)
    made, rows, removed = without(rewriter, set(user_ids), set(turn_ids))
    if not removed:
        return 0
    Rewriter.of(made, rows, None, rewriter.ranker).save(folder)
    return removed


def forget_deleted(store: Store) -> int:
    """Take the turns that a store no longer has out of its index; returns turns removed.

    Raises `RewriteIndexDamaged`, which says so, if the index cannot be read.
    """
    folder = index_folder.of_store(store.path)
    try:
        rewriter = Rewriter.load(folder)
    except RewriteIndexMissing:
        return 0
    removed = _forget(store, rewriter)
    store.files_written()
    return removed


def _forget(store: Store, rewriter: Rewriter) -> int:
    """`forget` what `rewriter`, the index of a store, holds of turns that the store lacks."""
    with store.snapshot(only=("turns",)) as snapshot:
        gone = snapshot.query(_GONE, tables={"said": rewriter.said, "rows": rewriter.rows})
    of = {kind: [row["id"] for row in gone.to_pylist() if row["kind"] == kind] for kind in _KINDS}
    if not any(of.values()):
        return 0
    return forget(index_folder.of_store(store.path), user_ids=of["user"], turn_ids=of["turn"])


# Turns of the index that the store lacks, and users of whom it has no turn.
_KINDS = "turn", "user"
_GONE = """
SELECT 'turn' AS kind, turn_id AS id FROM said ANTI JOIN turns USING (turn_id)
UNION ALL
SELECT DISTINCT 'user', user_id FROM (
    SELECT user_id FROM said UNION SELECT user_id FROM rows
) WHERE user_id IS NOT NULL AND user_id NOT IN (
    SELECT user_id FROM turns WHERE user_id IS NOT NULL)
"""

_EMPTY = {name: schema.empty_table() for name, schema in _TABLES.items()}


def _of_row(text: str, words: str, rewrite: str, score: float, method: str) -> Answer:
    if rewrite == words:
        return Answer(text, None, 0.0, "none", (), "With this user the request works as it is.")
    personal = method.endswith("personal")
    why = f"{'This user' if personal else 'Users'} said it again like that, and then it worked."
    return Answer(text, rewrite, score, method, (Candidate(rewrite, score),), why)


def _assistant(index: Index, rows: pa.Table) -> str:
    turns: dict[str, float] = {}
    requests = index.requests
    if requests.num_rows:
        sums = requests.group_by("assistant").aggregate([("turns", "sum")])
        turns = {row["assistant"]: row["turns_sum"] for row in sums.to_pylist()}
    elif rows.num_rows:
        turns = {name or "": 1.0 for name in whole(rows["assistant"]).to_pylist()}
    return min(turns, key=lambda name: (-turns[name], name), default="")
