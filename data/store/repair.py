"""Repairs a damaged store: back to the newest whole version of each damaged table, and a new
HEAD.json where it is lost.

Turns, and what is known of the logs they came from, go back together, so that a log file is there
completely or not at all. Of the other tables, whose rows stand for themselves, only the damaged
files are left out if the log still lists the rest. What depends on turns that are gone goes as
well, except annotations, which are people's work, and the daily sums are computed again.

Nothing is deleted: all that a repair takes out of the store lies in `rescued/<time>/` afterwards.
HEAD.json is replaced last, so after a kill at any moment the store is as damaged as before, and
says so, or repaired.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from deltalake import DeltaTable

from data.counted import counted, number
from data.errors import StoreDamaged
from data.schema.layout import TABLES
from data.store.damage import Damage, damages
from data.store.damaged_table import DamagedTable
from data.store.deletions import record_repair
from data.store.delta_log import (
    LOG,
    commit_of,
    live_files,
    log_file,
    no_change,
)
from data.store.durability import replacing, sync, tree
from data.store.head import NAME, Contents, Head, read_head, write_head
from data.store.judged import rebuild as rebuild_judged
from data.store.log_damage import log_checksums, readable_log
from data.store.model_folders import model_damage, model_ids, trained_at
from data.store.parquet import DataFile
from data.store.predictions import forget
from data.store.rollup import recompute
from data.store.side_files import RESCUED
from data.store.snapshot import scan
from data.store.store import Store
from data.store.temporary import scratch
from data.store.transaction import Cycle

# The folder of all models and a model's id -> its first damaged file and what is wrong with it.
ModelCheck = Callable[[Path, str], tuple[Path, str] | None]
# These go back together: what was read from logs, and when.
_FROM_LOGS = ("turns", "quarantine", "runs")
# What HEAD.json says of a table that is being repaired, so that nobody takes it for whole.
_UNDER_REPAIR = Contents(-1, -1, -1)
# How many commits of each table are asked what a lost HEAD.json said.
_LOOKED_AT = 20


@dataclass(frozen=True)
class Loss:
    """What a repair costs of one table.

    `before` are the rows that HEAD.json stated, None if it did not; `after` those that remain;
    `version` is the one it goes back to, None if only damaged files are left out.
    """

    table: str
    before: int | None
    after: int
    version: int | None

    def __str__(self) -> str:
        if self.before is None:
            remain = "remains" if self.after == 1 else "remain"
            return f"{self.table}: {counted(self.after, 'row')} {remain}"
        lost = self.before - self.after
        are = "is" if lost == 1 else "are"
        return f"{self.table}: {number(lost)} of {counted(self.before, 'row')} {are} lost"


@dataclass(frozen=True)
class Plan:
    """How to repair a store; made by `plan`, which changes nothing.

    `head` is the state to repair, `live` the files that each table in `tables` keeps, `model` the
    one promoted afterwards, `rows` the number that all tables have together then.
    """

    head: Head
    damages: tuple[Damage, ...]
    losses: tuple[Loss, ...]
    model: str | None
    rows: int
    live: Mapping[str, Mapping[str, DataFile]] = field(repr=False)
    tables: Mapping[str, DamagedTable] = field(repr=False)
    # Tables that go back to an earlier version of theirs, or perhaps do, and to which.
    back_to: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Repair:
    """What a repair did: rows lost per table, the model promoted now, and where the rest lies."""

    losses: tuple[Loss, ...]
    model: str | None
    rescued: Path
    version: str


def examine(root: Path, check: ModelCheck = model_damage) -> tuple[Head | None, list[Damage]]:
    """The visible state, None if HEAD.json is lost, and everything that is damaged, read in full.

    `check` says what is wrong with a model, as `model_damage` does. Raises `StoreMissing` if there
    is no store, `StoreError` if it has another format.
    """
    try:
        head = Store.open(root).head()
    except StoreDamaged:
        what = "is damaged" if (root / NAME).exists() else "is missing"
        head = _guessed_head(root, check)
        found = [*damages(root, head), *_damaged_models(root, head, check)]
        return None, [Damage(root / NAME, what), *found]
    found = [*damages(root, head), *_damaged_models(root, head, check)]
    # A vacuum may have run between reading HEAD and the files.
    return examine(root, check) if found and read_head(root) != head else (head, found)


def _damaged_models(root: Path, head: Head, check: ModelCheck) -> list[Damage]:
    models = root / "models"
    names = dict.fromkeys([*([head.model] if head.model else []), *model_ids(models)])
    return [Damage(*broken, model=name) for name in names if (broken := check(models, name))]


def plan(root: Path, *, leave_out: bool = False, check: ModelCheck = model_damage) -> Plan:
    """How to repair the store at `root`; see `Plan`.

    With `leave_out`, turns do not go back to a whole version either: only damaged files are left
    out, which loses less, and may leave parts of log files. `check` is as for `examine`.
    """
    seen, found = examine(root, check)
    head = seen or _guessed_head(root, check)
    with scratch("faultline-doctor-") as folder:
        return _plan(root, head, found, folder, leave_out, _model(root, head, check))


def _plan(
    root: Path,
    head: Head,
    found: list[Damage],
    scratch: Path,
    leave_out: bool,
    model: str | None,
) -> Plan:
    broken = [name for name in TABLES if any(damage.table == name for damage in found)]
    limits = {name: head.tables.get(name, 0) for name in TABLES}
    tables: dict[str, DamagedTable] = {}
    kept: dict[str, tuple[int | None, dict[str, DataFile]]] = {}
    # Turns are the first table: how far they go back decides how far the runs do.
    for name in TABLES:
        earlier = limits[name] < head.tables.get(name, 0)
        if name not in broken and not earlier:
            continue
        table = tables[name] = DamagedTable(root, name, scratch, head)
        contents = None if earlier else head.contents.get(name) or table.stated(limits[name])
        if (leave_out or name not in _FROM_LOGS) and table.newest >= limits[name]:
            files = table.files(limits[name])
            if not contents or Contents.of(files.values()) == contents:
                kept[name] = None, table.whole_files(files)
                continue
        whole = table.newest_whole(limits[name], contents)
        kept[name] = None if whole == head.tables.get(name) else whole, table.files(whole)
        if name == "turns":
            commit = commit_of(root, name, whole)
            # Without turns there have been no runs either.
            none = dict.fromkeys(_FROM_LOGS, 0) if whole <= 0 else {}
            versions = commit.tables if commit else none
            for other in _FROM_LOGS[1:]:
                limits[other] = min(limits[other], versions.get(other, limits[other]))
    live = {name: files for name, (_, files) in kept.items()}
    after = _rows_after(root, head, live, scratch / "after")
    losses = []
    for name in TABLES:
        stated = head.contents.get(name)
        if name in tables:
            stated = stated or tables[name].stated(head.tables.get(name, 0))
        rows = stated.rows if stated and stated != _UNDER_REPAIR else None
        version = kept[name][0] if name in kept else None
        # Of a table that is whole, an earlier version may not have stated how many rows there are.
        if rows != after[name] and (rows is not None or name in kept):
            losses.append(Loss(name, rows, after[name], version))
    back_to = {name: version for name, (version, _) in kept.items() if version is not None}
    if any(damage.path == root / NAME for damage in found):
        # Nobody knows what HEAD.json said that was newer.
        back_to = {**dict(head.tables), **back_to}
    return Plan(
        head, tuple(found), tuple(losses), model, sum(after.values()), live, tables, back_to
    )


def _rows_after(
    root: Path, head: Head, live: Mapping[str, Mapping[str, DataFile]], scratch: Path
) -> dict[str, int]:
    """How many rows each table would have if those in `live` kept these files.

    The tables are made to agree as a repair does it, on links to the files.
    """
    files = {
        name: live[name] if name in live else live_files(root, name, head.tables.get(name, 0))
        for name in TABLES
    }
    if live:
        cycle = Cycle(scratch, head, scratch / ".staging")
        try:
            for name, kept in files.items():
                for path in kept:
                    link = scratch / name / path
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(root / name / path)
                cycle.put(name, kept, kept)
            _agree(cycle, set(live))
            files = {name: cycle.files(name) for name in TABLES}
        finally:
            cycle.close()
    return {name: Contents.of(kept.values()).rows for name, kept in files.items()}


def repair(
    path: Path, *, leave_out: bool = False, check: ModelCheck = model_damage
) -> Repair | None:
    """Repair a damaged store, holding the writers' lock; None if there is nothing to repair.

    See `plan` for `leave_out` and `check`. Raises as `examine` does.
    """
    with suppress(StoreDamaged):
        # Locking would make the folder of a store that does not exist.
        Store.open(path)
    store = Store(path)
    with store.locked():
        todo = plan(path, leave_out=leave_out, check=check)
        if not todo.damages:
            return None
        rescued = _rescue(path, todo)
        _mark(path, todo, rescued)
        for name, table in todo.tables.items():
            _mend_log(path, name, table, todo.head, rescued)
        record_repair(store, todo.back_to)
        after = _commit(store, todo)
        for damage in todo.damages:
            # Only now: a promoted model has to be there as long as HEAD.json names it.
            if damage.model:
                _take(store.models / damage.model, path, rescued)
    return Repair(todo.losses, after.model, rescued, after.version)


def _guessed_head(root: Path, check: ModelCheck) -> Head:
    """What a lost HEAD.json said: the newest state that the logs of all tables agree upon.

    An earlier version's logs do not say which versions belong together; then it is the newest of
    each table.
    """
    newest = {name: readable_log(root, name)[0] for name in TABLES}
    commits = [
        commit
        for name, last in newest.items()
        for version in range(last, max(last - _LOOKED_AT, -1), -1)
        if (commit := commit_of(root, name, version))
    ]
    # A commit that a kill interrupted names versions that never were.
    complete = [c for c in commits if all(v <= newest.get(n, -1) for n, v in c.tables.items())]
    # Versions only grow, so the sum says which is newest.
    states = sorted(complete or commits, key=lambda commit: sum(commit.tables.values()))
    tables = {name: max(version, 0) for name, version in newest.items()}
    if states:
        tables |= states[-1].tables
    stated = {name: commit_of(root, name, version) for name, version in tables.items()}
    contents = {name: commit.contents for name, commit in stated.items() if commit}
    contents |= {name: Contents(0, 0, 0) for name, version in tables.items() if not version}
    model = _model(root, Head({}, states[-1].model if states else None), check)
    return Head(tables, model, contents)


def _model(root: Path, head: Head, check: ModelCheck) -> str | None:
    """The promoted model if it is whole, else the newest whole one, if any."""
    models = root / "models"
    if head.model and not check(models, head.model):
        return head.model
    whole = [name for name in model_ids(models) if not check(models, name)]
    return max(whole, key=lambda name: trained_at(models / name), default=None)


def _rescue(root: Path, todo: Plan) -> Path:
    """A new folder with HEAD.json, what is wrong, and all files that the repair takes out."""
    rescued = root / RESCUED / datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%f")
    try:
        _copy_into(rescued, root, todo)
    except BaseException:
        # Nothing has been taken out yet.
        shutil.rmtree(rescued, ignore_errors=True)
        with suppress(OSError):
            rescued.parent.rmdir()
        raise
    return rescued


def _copy_into(rescued: Path, root: Path, todo: Plan) -> None:
    rescued.mkdir(parents=True)
    if (root / NAME).is_file():
        shutil.copyfile(root / NAME, rescued / NAME)
    report = [str(line) for line in (*todo.damages, *todo.losses)]
    (rescued / "damage.txt").write_text("\n".join(report) + "\n", "utf-8")
    for name, table in todo.tables.items():
        for relative in table.taken_out(todo.live[name]):
            path, target = root / name / relative, rescued / name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                # A second name for the same bytes: the first goes with the next vacuum.
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
    sync([*tree(root / RESCUED), root])


def _mark(root: Path, todo: Plan, rescued: Path) -> None:
    """Let HEAD.json say that the tables are being repaired, and make room for files."""
    (root / "models").mkdir(exist_ok=True)
    for damage in todo.damages:
        # Where a folder has a file's name.
        if damage.path.is_dir() and damage.path.suffix in (".json", ".parquet"):
            _take(damage.path, root, rescued)
    if todo.damages[0].path != root / NAME:
        marks = dict.fromkeys(todo.live, _UNDER_REPAIR)
        # Their logs are about to change.
        logs = {name: log for name, log in todo.head.logs.items() if name not in marks}
        marked = {**todo.head.contents, **marks}
        write_head(root, replace(todo.head, contents=marked, logs=logs))


def _mend_log(root: Path, name: str, table: DamagedTable, head: Head, rescued: Path) -> None:
    """Take what cannot be read out of a table's log, and let it grow to a version never seen.

    Commits without changes take the place of lost ones, so that no version has two meanings.
    """
    if table.first:
        # A table is created empty, so its first commit can be written again.
        first = log_file(root, name, 0)
        _keep(first, root, rescued)
        with replacing(first) as draft:
            draft.write_bytes(table.first)
    for path in table.bad_logs:
        _take(path, root, rescued)
    if table.newest < 0:
        layout = TABLES[name]
        shutil.rmtree(root / name / LOG, ignore_errors=True)
        DeltaTable.create(root / name, layout.schema, partition_by=list(layout.partition))
    held = Contents.of(table.files(table.newest).values())
    for version in range(max(table.newest, 0) + 1, table.next_version(head) + 1):
        with replacing(log_file(root, name, version)) as draft:
            draft.write_text(no_change(held, head.tables, head.model), "utf-8")


def _commit(store: Store, todo: Plan) -> Head:
    """Commit the files that are kept, and replace HEAD.json."""
    versions, contents = dict(todo.head.tables), dict(todo.head.contents)
    logs = dict(todo.head.logs)
    for name, table in todo.tables.items():
        versions[name] = table.next_version(todo.head)
        logs.pop(name, None)
        contents[name] = Contents.of(todo.live[name].values())
    with store.staging() as staging:
        cycle = Cycle(store.path, Head(versions, todo.model, contents, logs), staging)
        try:
            for name, table in todo.tables.items():
                cycle.put(name, table.files(table.newest), todo.live[name])
            _agree(cycle, set(todo.tables))
            after = cycle.commit()
        finally:
            cycle.close()
    whole = {
        name: log_checksums(store.path, name, version, after.logs.get(name))
        for name, version in after.tables.items()
        if (store.path / name / LOG).is_dir()
    }
    after = replace(after, logs=whole)
    sync(path for name in todo.tables for path in cycle.on_disk(name) if path.name != NAME)
    write_head(store.path, after)
    return after


def _agree(cycle: Cycle, repaired: set[str]) -> None:
    """Let the tables agree again after some have changed."""
    turns = cycle.paths("turns")
    known = f"SELECT turn_id, day FROM ({scan(TABLES['turns'], turns)})" if turns else ""
    unknown = f"(turn_id, day) NOT IN ({known})" if known else "true"
    if repaired & {"turns", "predictions"}:
        forget(cycle, unknown)
    if repaired & {"turns", "labelled"}:
        cycle.delete_rows("labelled", unknown)
    if repaired & {"turns", "predictions", "labelled", "judged"}:
        rebuild_judged(cycle)
    for name in ("annotations", "judge_verdicts"):
        if name in repaired and "turns" not in repaired:
            # Those of turns that were deleted since. Where turns are lost, verdicts on them stay.
            cycle.delete_rows(name, unknown)
    if repaired & {"turns", "predictions", "rollup"}:
        cycle.remove("rollup", list(cycle.files("rollup")))
        days: dict[str, set[str]] = {}
        for file in cycle.files("predictions").values():
            days.setdefault(file.partition["model_id"], set()).add(file.partition["day"])
        for model, scored in days.items():
            recompute(cycle, scored, model)


def _take(path: Path, root: Path, rescued: Path) -> None:
    """Move a file or folder out of the store."""
    if path.exists():
        target = rescued / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        sync([target.parent, path.parent])


def _keep(path: Path, root: Path, rescued: Path) -> None:
    """Copy a file that is about to be replaced."""
    if path.is_file():
        target = rescued / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        sync([target, target.parent])
