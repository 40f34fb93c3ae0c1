"""Deletes turns, and all that the store and its models keep of them.

The rows are invisible at once; earlier versions hold them until `data.store.vacuum` removes those.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pyarrow as pa

from data.counted import counted, number
from data.errors import FaultlineError, UsageError, machine_error
from data.schema.layout import TABLES
from data.store.deletions import NAME as DELETIONS
from data.store.deletions import (
    PSEUDONYM,
    deletions,
    digest_of,
    record_deletion,
    record_repeat,
)
from data.store.erasure import Eraser, forget_in_all_models, own_words, written_with
from data.store.learned import forget_learned
from data.store.misdated import words
from data.store.model_folders import model_ids
from data.store.predictions import forget
from data.store.privacy import with_pseudonyms
from data.store.rerun import rerun
from data.store.rewrites import tidy
from data.store.spools import left_in, spools
from data.store.store import Store
from data.store.transaction import Cycle

# Tables of verdicts on turns, and what their rows are called.
VERDICTS = {
    "annotations": "annotations",
    "judge_verdicts": "verdicts of judges",
    "labelled": "labels",
}


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
    # Nothing was removed; it says what would be.
    dry_run: bool = False

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
            # All that there is of a user may be what a collector has not stored yet.
            return "\n".join([*lines, *self._unread()])
        verb = "Would delete" if self.dry_run else "Deleted"
        store = f"--store {shlex.quote(self.store)}"
        lines = [
            f"{verb} {counted(self.turns, 'turn')}, {counted(self.predictions, 'prediction')} and "
            f"{counted(self.quarantined, 'quarantined line')}."
        ]
        if self.others:
            others = [
                f"{number(count)} {_singular(what, count)}" for what, count in self.others.items()
            ]
            lines.append(f"{'Also' if self.dry_run else 'Also removed'}: {', '.join(others)}.")
        if self.undated:
            lines.append(self._undated())
        if self.dry_run:
            lines.append("Nothing was deleted: this was a dry run.")
            return "\n".join(lines)
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
        return "\n".join([*lines, *self._unread()])

    def _unread(self) -> list[str]:
        if not self.unread:
            return []
        return [
            f"Look for words of theirs, and remove them where they are: {'; '.join(self.unread)}."
        ]


def _singular(what: str, count: int) -> str:
    """`notes of annotators` as `note of annotators` if there is one."""
    if count != 1:
        return what
    nouns = what.split(" ")
    place = next((at - 1 for at, word in enumerate(nouns) if word in ("of", "on")), -1)
    nouns[place] = nouns[place].removesuffix("s")
    return " ".join(nouns)


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
        deleted, all_ids = turns_and_ids(cycle, condition, {"ids": ids})
        tables = {"ids": ids, "deleted": deleted}
        own = own_words(cycle, deleted)
        others: Counter[str] = Counter()
        turns = cycle.delete_rows("turns", "turn_id IN (SELECT turn_id FROM deleted)", tables)
        condition = f"turn_id IN (SELECT turn_id FROM deleted) OR {named('dialogue_id')}"
        predictions = forget(cycle, condition, tables)
        for name in VERDICTS:
            others[VERDICTS[name]] = cycle.delete_rows(name, condition, tables)
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
    report = finished(store, turns, predictions, others, unread, cycle, "delete", recorded, removed)
    names = ", ".join(
        f"{kind.removesuffix('_id')} '{value}'"
        for kind, values in asked.items()
        for value in values
    )
    return replace(report, sought=f"Nothing in the store is of {names}.")


def delete_undone(store: Store) -> tuple[Deletion | None, int]:
    """Repeat the deletions that a repair has undone (`data.store.deletions`).

    The log has hashes of ids alone, so those of all ids that are in the store are compared with
    them. Returns what was deleted, None if nothing had to be, and how many of the undone deletions
    asked for ids of which none is in the store any more. Retentions are not among them.
    """
    undone = [
        row
        for row in deletions(store).rows
        if row["undone"] and not row["repeated"] and row["what"] == "delete"
    ]
    if not undone:
        return None, 0
    asked: dict[str, list[str]] = {}
    nowhere = len(undone)
    known = _known_ids(store)
    for row in undone:
        digests = {one["digest"] for one in row["asked"]}
        salt, before = str(row["salt"]), sum(map(len, asked.values()))
        for kind, ids in known.items():
            kinds = (kind, PSEUDONYM) if kind == "user_id" else (kind,)
            asked.setdefault(kind, []).extend(
                id for id in ids if any(digest_of(salt, each, id) in digests for each in kinds)
            )
        nowhere -= sum(map(len, asked.values())) > before
    report = None
    if any(asked.values()):
        report = delete(
            store,
            dialogue_ids=tuple(dict.fromkeys(asked["dialogue_id"])),
            user_ids=tuple(dict.fromkeys(asked["user_id"])),
            turn_ids=tuple(dict.fromkeys(asked["turn_id"])),
        )
    record_repeat(store, [row["at"] for row in undone])
    return report, nowhere


def _known_ids(store: Store) -> dict[str, list[str]]:
    """All ids of turns, dialogues and users in the store, by kind."""
    known = {}
    with store.snapshot() as snapshot:
        for kind in ("turn_id", "dialogue_id", "user_id"):
            columns = [
                f"SELECT {kind} AS id FROM {name}"
                for name, layout in TABLES.items()
                if kind in layout.columns
            ]
            sql = f"SELECT DISTINCT id FROM ({' UNION ALL '.join(columns)}) WHERE id IS NOT NULL"
            known[kind] = [str(id) for id in snapshot.query(sql)["id"].to_pylist()]
    return known


def finished(
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
    # The parts that a killed command left may be of a deleted turn.
    store.clear_unfinished()

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
        others["rows of models"] += forget_in_all_models(store)
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
    """Files in the store's folder that are not the store's, such as exports put there, and spools
    of collectors that hold what is not stored yet."""
    kinds = (".csv", ".jsonl", ".parquet", ".manifest.json", ".html", ".gz", ".zst", ".log")
    inside = {*TABLES, store.models.name, store.label_models.name, REWRITE_INDEX}
    files = [
        f"the file {path}"
        for path in sorted(store.path.rglob("*"))
        if path.name.endswith(kinds)
        and path.relative_to(store.path).parts[0] not in inside
        and not path.relative_to(store.path).parts[0].startswith(".")
        and path.is_file()
        and path != store.path / DELETIONS
    ]
    return [*files, *filter(None, map(left_in, spools(store.path)))]


def turns_and_ids(
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
