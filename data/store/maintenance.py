"""Compaction, vacuum, deletion and retention: they keep a store small and compliant.

All are safe while other processes read, ingest and score. Deletion and retention make rows
invisible at once; `vacuum` removes the bytes, and decides how far back old versions can be opened.
"""

from __future__ import annotations

import itertools
import math
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from data.counted import counted, number
from data.errors import FaultlineError, UsageError, VersionGone, machine_error
from data.schema.layout import TABLES
from data.store.deletions import NAME as DELETIONS
from data.store.deletions import PSEUDONYM, record_deletion, record_vacuum
from data.store.delta_log import LOG, live_files
from data.store.durability import sync
from data.store.erasure import Eraser, forget_in_models, own_words, written_with
from data.store.learned import forget_learned, retain_learned
from data.store.misdated import words
from data.store.model_folders import model_ids, remove_models
from data.store.parquet import DataFile
from data.store.predictions import forget
from data.store.privacy import with_pseudonyms
from data.store.rerun import rerun
from data.store.rewrites import tidy
from data.store.store import Store
from data.store.transaction import Cycle
from progress import Progress, silent

# A file below this is worth merging with its neighbours; a merged file has at most a million rows.
_SMALL = 250_000
# Rows rewritten each time the lock is held, so that other writers need not wait long.
_ROWS_PER_CYCLE = 2_000_000
# Days: a century. Larger values are mistakes, and overflow date arithmetic.
_LONGEST = 36_500
_CALLED = {
    "annotations": "annotations",
    "judge_verdicts": "verdicts of judges",
    "labelled": "labels",
}
# A model younger than this may still wait to be tried, even when no old version is kept.
_NEW_HOURS = 24.0


@dataclass(frozen=True)
class Compaction:
    """Number of files of all tables, before and after."""

    before: int
    after: int


@dataclass(frozen=True)
class Vacuum:
    """Number and size of the files removed for good, and ids of the models removed."""

    files: int
    bytes: int
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deletion:
    """What was made invisible; earlier versions contain it until `vacuum(store, keep_hours=0)`.

    `others` is what else was removed, by what it is, in the store and in its models; `models` and
    `label_models` are those that may have learned from the turns, `unread` texts that a person has
    to look at.
    """

    turns: int
    predictions: int
    quarantined: int
    others: Mapping[str, int] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    label_models: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    store: str = "store"
    # Turns with an impossible date that were kept, as they arrived within the days to keep.
    undated: int = 0
    # What to say if nothing was found.
    sought: str = ""

    @property
    def nothing(self) -> bool:
        """Whether nothing was found to delete."""
        return not (self.turns or self.predictions or self.quarantined or self.others)

    def _undated(self) -> str:
        one = self.undated == 1
        return (
            f"{words(self.undated, number(self.undated))}, and {'is' if one else 'are'} kept by "
            f"the day on which {'it' if one else 'they'} arrived."
        )

    def __str__(self) -> str:
        if self.nothing:
            lines = [self.sought or "Nothing was deleted."]
            if self.undated:
                lines.append(self._undated())
            return "\n".join(lines)
        store = f"--store {shlex.quote(self.store)}"
        lines = [
            f"Deleted {counted(self.turns, 'turn')}, {counted(self.predictions, 'prediction')} and "
            f"{counted(self.quarantined, 'quarantined line')}."
        ]
        if self.others:
            others = [
                f"{number(count)} {_singular(what, count)}" for what, count in self.others.items()
            ]
            lines.append(f"Also removed: {', '.join(others)}.")
        if self.undated:
            lines.append(self._undated())
        lines.append(
            f"Earlier versions still hold them until: faultline vacuum --keep-hours 0 {store}"
        )
        if self.models:
            lines.append(
                f"What {', '.join(self.models)} may have learned from these turns goes with the "
                f"models. Train another with: faultline train {store}; use it with: faultline "
                f"score {store}; and remove the old ones with: faultline vacuum --promoted-only "
                f"--keep-hours 0 {store}"
            )
        if self.label_models:
            lines.append(
                f"The label model {', '.join(self.label_models)} may have learned from them too; "
                f"another replaces it: faultline labels train {store}"
            )
        if self.unread:
            lines.append(
                f"Look for words of theirs, and remove them where they are: "
                f"{'; '.join(self.unread)}."
            )
        return "\n".join(lines)


def _singular(what: str, count: int) -> str:
    """`notes of annotators` as `note of annotators` if there is one."""
    if count != 1:
        return what
    nouns = what.split(" ")
    place = next((at - 1 for at, word in enumerate(nouns) if word in ("of", "on")), -1)
    nouns[place] = nouns[place].removesuffix("s")
    return " ".join(nouns)


def compact(store: Store, progress: Progress = silent) -> Compaction:
    """Merge the small files of each partition, sorted by dialogue; the rows stay the same.

    `progress` is called between commits; what it raises ends the work, and what is merged by then
    stays merged.
    """
    before = after = 0
    for position, name in enumerate(TABLES):
        head = store.head()
        last = len(live_files(store.path, name, head.tables.get(name, 0)))
        before += last
        done = False
        while not done:
            progress(position, len(TABLES), "compacting")
            done, last = _merge(store, name)
        after += last
    return Compaction(before, after)


@rerun
def _merge(store: Store, name: str) -> tuple[bool, int]:
    """Merge small files of a table in one commit; whether that was all, and its files then."""
    with store.commit() as cycle:
        rows = 0
        done = True
        for group in _groups(cycle.files(name).values()):
            if rows >= _ROWS_PER_CYCLE:
                done = False
                break
            rows += sum(file.rows for file in group)
            cycle.rewrite(name, [file.path for file in group])
        return done, len(cycle.files(name))


def _groups(files: Iterable[DataFile]) -> list[list[DataFile]]:
    by_partition: dict[tuple[str, ...], list[DataFile]] = {}
    for file in files:
        if file.rows < _SMALL:
            by_partition.setdefault(tuple(file.partition.values()), []).append(file)
    return [group for group in by_partition.values() if len(group) > 1]


@rerun
def vacuum(
    store: Store,
    keep_hours: float = 168.0,
    keep_models: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Vacuum:
    """Remove the files that no version of the last `keep_hours` hours needs.

    Versions older than that can then no longer be opened (`VersionGone`), and an open snapshot of
    one fails at its next query.

    Models go as well, if they are not promoted, have no predictions left, and were trained more
    than `keep_hours` ago, but never within a day. With `keep_models`, all models but these and the
    promoted one are dropped whatever their age, and their predictions with them.
    """
    if not 0 <= keep_hours <= _LONGEST * 24:
        raise UsageError(
            f"Cannot keep {keep_hours:g} hours of versions; give 0 to {_LONGEST * 24}."
        )
    began = datetime.now(UTC)
    store.clear_staging()
    with store.commit() as cycle:
        if keep_models is not None:
            keep = {*keep_models, store.head().model}
            for name in ("predictions", "rollup"):
                old = [
                    p for p, f in cycle.files(name).items() if f.partition["model_id"] not in keep
                ]
                cycle.remove(name, old)
        # Delta commits of killed writers must not count as live.
        cycle.undo_strays()
    with store.commit() as cycle:
        if store.mirror:
            store.mirror.fetch_all_logs()
        needed = {file.partition["model_id"] for file in cycle.files("predictions").values()}
        needed.update(keep_models or ())
        if promoted := store.head().model:
            needed.add(promoted)
        young = time.time() - max(keep_hours, _NEW_HOURS) * 3600
        before = young if keep_models is None else math.inf
        models = remove_models(store.models, needed, before, cycle.staging)
        files, size = models.files, models.bytes
        for position, name in enumerate(TABLES):
            progress(position, len(TABLES), "vacuuming")
            if not (store.path / name / LOG).exists():
                continue
            # HEAD.json and what it names first: an earlier version did not wait for the disk.
            sync(cycle.on_disk(name))
            for path in _unneeded(cycle, name, _recent(store.path / name, keep_hours)):
                size += path.stat().st_size
                files += 1
                path.unlink()
            for folder in sorted((store.path / name).glob("**/*=*"), reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            # Commits before the newest checkpoint that are older than 30 days.
            DeltaTable(store.path / name).cleanup_metadata()
    # A training that began before a deletion may have ended after it. Last, as it needs space.
    _forget_in_models(store)
    if store.mirror:
        # Of what is in the mirror's folder, not all was ever there.
        removed = _vacuum_objects(store, keep_hours)
        files, size = models.files + removed[0], models.bytes + removed[1]
    record_vacuum(store, began, keep_hours, files, size)
    return Vacuum(files, size, models.models)


@rerun
def _forget_in_models(store: Store) -> int:
    """Remove from the models what they keep of turns that the store no longer has; the rows."""
    # A local store's models can be changed while others write to its tables.
    with store.writing_files() if store.mirror else nullcontext(), store.snapshot() as snapshot:
        return sum(
            forget_in_models(models, snapshot) for models in (store.models, store.label_models)
        )


@rerun
def _vacuum_objects(store: Store, keep_hours: float) -> tuple[int, int]:
    """Remove from an object store what no version needs any more; number and bytes of it."""
    with store.locked():
        if store.mirror is None:
            return 0, 0
        store.mirror.refresh(held=True)
        store.mirror.fetch_all_logs()
        names = [name for name in TABLES if (store.path / name / LOG).exists()]
        return store.mirror.vacuum({name: _recent(store.path / name, keep_hours) for name in names})


def _recent(folder: Path, keep_hours: float) -> set[str]:
    return _removed_since(folder, datetime.now(UTC) - timedelta(hours=keep_hours))


def _unneeded(cycle: Cycle, name: str, removed: Collection[str]) -> list[Path]:
    folder = cycle.root / name
    live = cycle.files(name)
    return [
        path
        for path in folder.rglob("*.parquet")
        if "_delta_log" not in path.parts
        and (relative := path.relative_to(folder).as_posix()) not in live
        and relative not in removed
    ]


def _removed_since(folder: Path, cutoff: datetime) -> set[str]:
    """Files that were live at some time since `cutoff`: those of versions superseded after it."""
    table = DeltaTable(folder)
    commits = sorted((c["version"], c["timestamp"]) for c in table.history())
    needed: set[str] = set()
    for (version, _), (_, superseded) in itertools.pairwise(commits):
        if superseded / 1000 >= cutoff.timestamp():
            # One that an earlier vacuum has taken needs nothing; any other error ends this one.
            with suppress(VersionGone):
                needed.update(live_files(folder.parent, folder.name, version))
    return needed


@rerun
def delete(
    store: Store,
    *,
    dialogue_ids: Sequence[str] = (),
    user_ids: Sequence[str] = (),
    turn_ids: Sequence[str] = (),
) -> Deletion:
    """Delete turns by dialogue, user or turn id, with their predictions and share of the rollup.

    Quarantined lines, saved views, notes and settings that name one of these turns, their dialogue
    or user go too, and what models keep of the turns (`data.store.erasure`). The rows are invisible
    at once, but earlier versions contain them until `vacuum(store, keep_hours=0)`. Of users who
    have pseudonyms, both ids are looked for. What was removed is recorded (`data.store.deletions`).
    Raises `UsageError` if no id is given, `PrivacyError` if the key of pseudonyms is needed and is
    missing.
    """
    asked = {"dialogue_id": dialogue_ids, "user_id": user_ids, "turn_id": turn_ids}
    ids_by_kind = {**asked, "user_id": with_pseudonyms(store, user_ids)}
    if not any(ids_by_kind.values()):
        raise UsageError("No ids to delete were given; give dialogue, user or turn ids.")
    if not all(value.strip() for values in ids_by_kind.values() for value in values):
        raise UsageError("An id to delete is empty; give dialogue, user or turn ids.")
    ids = pa.table(
        {
            "kind": [kind for kind, values in ids_by_kind.items() for _ in values],
            "id": [value for values in ids_by_kind.values() for value in values],
        }
    )

    def named(column: str) -> str:
        return f"{column} IN (SELECT id FROM ids WHERE kind = '{column}')"

    with store.commit() as cycle:
        condition = " OR ".join(named(kind) for kind in ids_by_kind)
        deleted, all_ids = _turn_ids(cycle, condition, {"ids": ids})
        tables = {"ids": ids, "deleted": deleted}
        own = own_words(cycle, deleted)
        others: Counter[str] = Counter()
        turns = cycle.delete_rows("turns", "turn_id IN (SELECT turn_id FROM deleted)", tables)
        condition = f"turn_id IN (SELECT turn_id FROM deleted) OR {named('dialogue_id')}"
        predictions = forget(cycle, condition, tables)
        for name in _CALLED:
            others[_CALLED[name]] = cycle.delete_rows(name, condition, tables)
        cycle.delete_rows("misdated", condition, tables)
        given = (value for values in ids_by_kind.values() for value in values)
        others["rewrites"] = tidy(cycle)
        others.update(forget_learned(cycle, condition, named, tables))
        others.update(Eraser(cycle, given, all_ids).everywhere())
        unread = written_with(cycle, own)
        removed = cycle.removed_rows()
    # By either of their ids, users find their deletion.
    pseudonyms = [id for id in ids_by_kind["user_id"] if id not in user_ids]
    recorded = {**asked, PSEUDONYM: pseudonyms}
    finished = _finished(
        store, turns, predictions, others, unread, cycle, "delete", recorded, removed
    )
    names = ", ".join(
        f"{kind.removesuffix('_id')} '{value}'"
        for kind, values in asked.items()
        for value in values
    )
    return replace(finished, sought=f"Nothing in the store is of {names}.")


def _finished(
    store: Store,
    turns: int,
    predictions: int,
    others: Counter[str],
    unread: Sequence[str],
    cycle: Cycle,
    what: str,
    asked: Mapping[str, Sequence[str]] | Mapping[str, int],
    tables: Mapping[str, int],
) -> Deletion:
    """What a deletion says, after the rows of the deleted turns are gone from the models too.

    It is recorded even if they are not: `tables`, the rows removed from each table, are.
    """
    versions = cycle.head.version, store.head().version

    def record(left: Mapping[str, Sequence[str]]) -> None:
        also = {name: count for name, count in others.items() if count}
        try:
            record_deletion(store, what, asked, tables, also, left, versions)
        except OSError as error:
            problem = machine_error(error, store.path)
            if problem is None:
                raise
            raise type(problem)(
                f"The turns are deleted, but that could not be recorded. {problem}"
            ) from error

    try:
        others["rows of models"] += _forget_in_models(store)
    except Exception as error:
        # Where the disk is full, this cannot be written either, and the sentence below says why.
        with suppress(FaultlineError, OSError):
            record({"models": ["not all of what models keep of the turns could be removed"]})
        problem = machine_error(error, store.path)
        if problem is None:
            raise
        raise type(problem)(
            f"The turns are deleted, but not yet what the models keep of them. {problem}"
        ) from error
    learned = tuple(store.model_ids()) if turns else ()
    label_models = tuple(model_ids(store.label_models)) if turns else ()
    left_beside = _left_beside(store)
    # Notes and views are named by what people wrote, which may be a name.
    to_read = [f"{counted(len(unread), 'text')} that only a person can judge"] if unread else []
    record({"models": (*learned, *label_models), "texts": to_read, "files": left_beside})
    quarantined = others.pop("quarantined lines", 0)
    return Deletion(
        turns,
        predictions,
        quarantined,
        {name: count for name, count in others.items() if count},
        learned,
        label_models,
        (*unread, *left_beside),
        store.address,
    )


# The folder of the index of rewrites (`rewrites.online.index_folder`), which forgets by itself.
REWRITE_INDEX = "rewrite-index"


def _left_beside(store: Store) -> list[str]:
    """Files in the store's folder that are not the store's, such as exports put there."""
    kinds = (".csv", ".jsonl", ".parquet", ".manifest.json", ".html", ".gz", ".zst", ".log")
    inside = {*TABLES, store.models.name, store.label_models.name, REWRITE_INDEX}
    return [
        f"the file {path}"
        for path in sorted(store.path.rglob("*"))
        if path.name.endswith(kinds)
        and path.relative_to(store.path).parts[0] not in inside
        and not path.relative_to(store.path).parts[0].startswith(".")
        and path.is_file()
        and path != store.path / DELETIONS
    ]


def _turn_ids(
    cycle: Cycle, condition: str, tables: Mapping[str, pa.Table]
) -> tuple[pa.Table, pa.Table]:
    """The turns that meet a condition over `turns` (`turn_id`, `dialogue_id`), and all ids that
    name them (`id`): of the table `ids`, of the turns, and of dialogues that have no other turn.
    """
    sql = f"""
    WITH gone AS (SELECT turn_id, dialogue_id FROM turns WHERE {condition})
    SELECT id FROM ids UNION SELECT turn_id FROM gone
    UNION (SELECT dialogue_id FROM gone
        EXCEPT SELECT dialogue_id FROM turns WHERE ({condition}) IS NOT TRUE)
    """
    with cycle.snapshot("turns", "misdated") as snapshot:
        turns = snapshot.query(
            f"SELECT turn_id, dialogue_id FROM turns WHERE {condition}", tables=tables
        )
        return turns, snapshot.query(sql, tables=tables)


@rerun
def retain(store: Store, days: int = 90, today: date | None = None) -> Deletion:
    """Delete everything older than `days` days before `today` (by default the current UTC date).

    A turn whose date cannot be right is as old as its arrival: its clock neither deletes nor keeps
    it. As with `delete`, earlier versions contain the rows until they are vacuumed. Raises
    `UsageError` for a number of days outside 1 to 36,500.
    """
    if not 1 <= days <= _LONGEST:
        raise UsageError(f"Cannot retain {days} days; give 1 to {_LONGEST}.")
    oldest = (today or datetime.now(UTC).date()) - timedelta(days=days)
    limit = {"oldest": pa.table({"day": pa.array([oldest], pa.date32())})}
    others: Counter[str] = Counter()
    none = pa.table({"id": pa.array([], pa.string())})
    with store.commit() as cycle:
        misdated = _misdated(cycle)
        arrived_before = misdated.filter(pc.field("arrived_at").cast(pa.date32()) < oldest)
        tables = {**limit, "misdated": misdated, "arrived_before": arrived_before}
        known = {**limit, "arrived_before": arrived_before, "ids": none}
        deleted, all_ids = _turn_ids(cycle, f"{_OLD} OR turn_id IN ({_BEFORE})", known)
        tables["deleted"] = deleted
        own = own_words(cycle, deleted)
        dropped = {}
        for name in ("turns", "predictions"):
            dropped[name] = _drop_days(cycle, name, oldest, misdated)
            if arrived_before.num_rows:
                on = {"day": [str(day) for day in arrived_before["day"].unique().to_pylist()]}
                dropped[name] += cycle.delete_rows(
                    name, f"turn_id IN ({_BEFORE})", tables, cycle.matching(name, on)
                )
        for name in _CALLED:
            others[_CALLED[name]] = cycle.delete_rows(
                name, f"{_OLD} OR turn_id IN ({_BEFORE})", tables
            )
        cycle.delete_rows("misdated", f"turn_id IN ({_BEFORE})", tables)
        cycle.delete_rows("rollup", "day < (SELECT day FROM oldest)", limit)
        others["quarantined lines"] = cycle.delete_rows(
            "quarantine", "quarantined_at < (SELECT day FROM oldest)", limit
        )
        others.update(retain_learned(cycle, f"{_OLD} OR turn_id IN ({_BEFORE})", tables))
        if deleted.num_rows:
            others["rewrites"] = tidy(cycle)
            others.update(Eraser(cycle, (), all_ids).everywhere())
        unread = written_with(cycle, own)
        removed = cycle.removed_rows()
    finished = _finished(
        store,
        dropped["turns"],
        dropped["predictions"],
        others,
        unread,
        cycle,
        "retain",
        {"days": days},
        removed,
    )
    return replace(
        finished,
        undated=misdated.num_rows - arrived_before.num_rows,
        sought=f"Nothing in the store is older than {counted(days, 'day')}.",
    )


_BEFORE = "SELECT turn_id FROM arrived_before"
_OLD = "day < (SELECT day FROM oldest) AND turn_id NOT IN (SELECT turn_id FROM misdated)"


def _misdated(cycle: Cycle) -> pa.Table:
    with cycle.snapshot("misdated") as snapshot:
        return snapshot.query("FROM misdated")


def _drop_days(cycle: Cycle, name: str, oldest: date, misdated: pa.Table) -> int:
    """Delete the turns or predictions of the days before `oldest`, but for those misdated.

    Returns the number of rows deleted. Only files of days with misdated turns are rewritten.
    """
    some = {str(day) for day in misdated["day"].unique().to_pylist()}
    old = {p: f for p, f in cycle.files(name).items() if f.partition["day"] < oldest.isoformat()}
    deleted = cycle.remove(name, [p for p, f in old.items() if f.partition["day"] not in some])
    shared = [path for path, file in old.items() if file.partition["day"] in some]
    only = "turn_id NOT IN (SELECT turn_id FROM misdated)"
    return deleted + cycle.delete_rows(name, only, {"misdated": misdated}, shared)
