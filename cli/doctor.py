"""The command that says what is wrong with the machine and the store, and repairs the store."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption
from cli.output import out, plain, print_json
from data.counted import counted
from data.errors import (
    MachineError,
    PrivacyError,
    StoreDamaged,
    StoreError,
    UsageError,
    machine_error,
)

if TYPE_CHECKING:
    from data.store.repair import Plan, Repair

# Damaged files that are listed one by one.
_SHOWN = 20


def doctor(
    store: StoreOption = DEFAULT_STORE,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Go back to the newest whole version, and write HEAD.json again."
        ),
    ] = False,
    leave_out: Annotated[
        bool,
        typer.Option(
            "--leave-out",
            help="With --repair: leave out damaged files only, rather than going back. This keeps "
            "more turns, but of some log files only a part.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the machine and every file of the store; say what is wrong and what to do.

    Exits 0 if all is well, else 1. What a repair takes out of the store it keeps in a folder.
    """
    from deltalake.exceptions import DeltaError

    from classifiers.registry import damage
    from cli.environment import checks
    from data.store.remote.address import address_of
    from data.store.repair import plan
    from data.store.repair import repair as run
    from data.store.store import local

    if address := address_of(store):
        raise UsageError(
            f"{address} is in an object store, whose files are compared with their checksums when "
            "they are fetched, and never changed; to read all of them, make a copy with: "
            f"faultline backup --to FOLDER --store {shlex.quote(address)} (a damaged store is "
            "restored from such a copy with faultline restore)."
        )
    root = local(store)
    environment = list(checks(root))
    done, found, without, trouble = None, None, None, ""
    try:
        if repair:
            done = run(root, leave_out=leave_out, check=damage)
        found = plan(root, check=damage)
        if found.losses:
            without = plan(root, leave_out=True, check=damage)
    except MachineError as error:
        trouble = str(error)
    except (StoreError, OSError, DeltaError) as error:
        problem = machine_error(error, root)
        if not isinstance(error, StoreError) and problem is None:
            raise
        trouble = str(problem or error)
    notes = _leftovers(root)
    unread = [*_damaged_label_models(root), *_damaged_records(root)]
    notes += unread
    well = (
        found is not None
        and not found.damages
        and not unread
        and all(check.ok for check in environment)
    )
    if as_json:
        print_json(
            {
                "well": well,
                "environment": [asdict(check) | {"ok": check.ok} for check in environment],
                "store": str(root),
                "version": found.head.version if found else None,
                "trouble": trouble or None,
                "damage": [asdict(one) for one in found.damages] if found else [],
                "repair_costs": [asdict(loss) for loss in found.losses] if found else [],
                "leave_out_costs": [asdict(loss) for loss in without.losses] if without else [],
                "notes": notes,
                "repaired": asdict(done) if done else None,
            }
        )
    else:
        for check in environment:
            _line(check.ok, f"{check.name}: {check.found}", check.todo)
        if done:
            _tell(done, _undone(root))
        if trouble:
            _line(False, trouble)
        if found:
            _findings(root, found, without)
        for note in notes:
            out.print(plain(note))
    if not well:
        raise typer.Exit(1)


def _line(ok: bool, found: str, todo: str = "") -> None:
    mark = "[green]ok[/green]   " if ok else "[red]wrong[/red]"
    out.print(f"{mark} {plain(found)}" + (f": {plain(todo)}." if todo else ""))


def _findings(root: Path, found: Plan, without: Plan | None) -> None:
    """What is wrong with the store, and what it costs to repair it in either way."""
    from data.store.store import Store

    for damage in found.damages[:_SHOWN]:
        _line(False, str(damage))
    if len(found.damages) > _SHOWN:
        out.print(f"and {counted(len(found.damages) - _SHOWN, 'more damaged file')}.")
    if found.damages:
        command = f"faultline doctor --repair --store {shlex.quote(str(root))}"
        out.print(f"Repair it with: {plain(command)}")
        costs = [*map(str, found.losses), *_model_costs(found)]
        out.print(f"What that costs: {plain('; '.join(costs) or 'nothing')}.")
        if without and without.rows > found.rows:
            kept = "; ".join(map(str, without.losses)) or "nothing is lost"
            out.print(f"With --leave-out instead: {plain(kept)}.")
        out.print("Or restore the store from a backup.")
        return
    with Store.open(root).snapshot() as snapshot:
        files = sum(held.files for held in snapshot.contents.values())
        rows = sum(snapshot.counts().values())
        _line(
            True,
            f"store: {root} is whole: version {snapshot.version}, {counted(files, 'file')}, "
            f"{counted(rows, 'row')}, model {snapshot.model or 'none'}",
        )


def _model_costs(found: Plan) -> list[str]:
    if found.model == found.head.model:
        return []
    return [f"the promoted model becomes {found.model or 'none, so train one'}"]


def _tell(done: Repair, undone: int) -> None:
    out.print(f"Repaired; the store is at version {plain(done.version)}.")
    for loss in done.losses:
        out.print(plain(f"{loss}."))
    if any(loss.table == "turns" and loss.version is not None for loss in done.losses):
        out.print(
            "Turns that were deleted or replaced since that version are back as they were: delete "
            "them again, ingest the logs since then again, and score."
        )
    if undone:
        out.print(
            f"{counted(undone, 'recorded deletion')} may be undone by it; see them with: faultline "
            "deletions, and repeat them with: faultline delete --undone"
        )
    out.print(f"Promoted model: {plain(done.model or 'none')}.")
    out.print(
        f"What was taken out is in {plain(str(done.rescued))}; it may hold data of users, so "
        "remove it when nothing in it is needed."
    )


def _undone(root: Path) -> int:
    """How many deletions were undone by repairs and not repeated."""
    from data.store.deletions import deletions
    from data.store.store import Store

    try:
        rows = deletions(Store.open(root)).rows
    except StoreError:
        return 0
    return sum(bool(row["undone"]) and not row["repeated"] for row in rows)


def _damaged_label_models(root: Path) -> list[str]:
    """What is wrong with the models that generate labels; a training replaces them."""
    from data.store.model_folders import LABEL_MODELS, model_damage, model_ids

    models = root / LABEL_MODELS
    found = {name: model_damage(models, name) for name in model_ids(models)}
    return [
        f"The label model {name} is damaged ({broken[0]} {broken[1]}); remove its folder and train "
        f"it again with: faultline labels train --store {shlex.quote(str(root))}"
        for name, broken in found.items()
        if broken
    ]


def _damaged_records(root: Path) -> list[str]:
    """What is wrong with the files about personal data, which no repair can write again."""
    from data.store.deletions import NAME, deletions
    from data.store.privacy import chosen
    from data.store.store import Store

    notes = []
    try:
        store = Store.open(root)
        try:
            chosen(store)
        except PrivacyError as error:
            notes.append(str(error))
    except StoreError:
        # Of the store's tables, which is said as damage of theirs.
        return []
    if undone := _undone(root):
        notes.append(
            f"{counted(undone, 'deletion')} that a repair has undone must be repeated: faultline "
            f"delete --undone --store {shlex.quote(str(root))}"
        )
    try:
        if problem := deletions(store).problem:
            notes.append(
                f"{root / NAME}, the log of deletions, is not as it was written ({problem}); "
                "compare it with a backup."
            )
    except StoreDamaged as error:
        notes.append(str(error))
    return notes


def _leftovers(root: Path) -> list[str]:
    """What killed writers and repairs left behind; none of it is damage."""
    from data.store.disk_usage import size_of
    from data.store.side_files import RESCUED

    notes = []
    staged = size_of(root / ".staging")
    if staged:
        notes.append(
            f"Files being prepared, or left by killed commands: {staged / 1e6:.1f} MB in .staging; "
            "faultline vacuum removes what nobody uses."
        )
    if rescued := size_of(root / RESCUED):
        notes.append(
            f"Taken out by repairs: {rescued / 1e6:.1f} MB in {root / RESCUED}, which may hold "
            "data of users; remove it when nothing in it is needed."
        )
    return notes
