"""Commands for a store as a whole: inspect, export, compact, vacuum, delete, retain."""

from __future__ import annotations

from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption, path_option
from cli.output import (
    err,
    out,
    plain,
    print_json,
)
from data.counted import counted, number
from data.errors import FaultlineError, ModelError, UsageError
from data.schema.meanings import TABLE_MEANINGS

if TYPE_CHECKING:
    from data.export.verdicts import Written
    from data.store.store import Store
    from data.store.turn_deletion import Deletion


VERDICTS = "verdicts"


class VerdictFormat(StrEnum):
    jsonl = "jsonl"
    otlp = "otlp"
    otlp_protobuf = "otlp-protobuf"


def export(
    table: Annotated[
        str,
        typer.Argument(
            help="The table: "
            + "; ".join(f"{name} ({words})" for name, words in TABLE_MEANINGS.items())
            + f"; or {VERDICTS} (what the model says of each turn, for the system it came from)."
        ),
    ],
    to: Annotated[
        Path,
        path_option(
            "File ending in .parquet, .csv or .jsonl; of verdicts in .jsonl.",
            "--to",
            metavar="PATH",
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    where: Annotated[str | None, typer.Option(help="SQL condition on the table's columns.")] = None,
    at: Annotated[str | None, typer.Option(help="Data version; by default the newest.")] = None,
    manifest: Annotated[
        bool,
        typer.Option(
            "--manifest", help="Also write FILE.manifest.json: version, rows, SQL, checksum."
        ),
    ] = False,
    added: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Of predictions: stages (adds the raw output of every stage) or gold (adds what "
            "the logs' gold says); repeat it for both.",
        ),
    ] = None,
    form: Annotated[
        VerdictFormat | None,
        typer.Option(
            "--format",
            help="Of verdicts: jsonl (a line per turn), otlp (a span per turn, in the turn's own "
            "trace, as OpenTelemetry's JSON lines) or otlp-protobuf.",
        ),
    ] = None,
    every_model: Annotated[
        bool,
        typer.Option("--all", help="Of verdicts: those of every model, not of the promoted one."),
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Of verdicts as spans: also send them to this address, such as "
            "http://127.0.0.1:4318/v1/traces.",
            metavar="URL",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="Sent with --endpoint, as 'Name: value'. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a table of the store to a file, or verdicts for the system that the turns came from."""
    if table == VERDICTS:
        if added or manifest:
            raise UsageError("--with and --manifest are of tables; verdicts have neither.")
        _export_verdicts(to, store, at, where, form, every_model, endpoint, header, as_json)
        return
    if form or every_model or endpoint or header:
        raise UsageError(
            f"--format, --all, --endpoint and --header are of {VERDICTS}, and this exports {table}."
        )
    from data.export.manifest import export_described, write_manifest
    from data.store.store import Store, must_lie_outside

    must_lie_outside(to, store)
    with Store.whole(store).snapshot(at) as snapshot:
        description = export_described(
            snapshot,
            table,
            to,
            where,
            {},
            where or f"all rows of {table}",
            snapshot.model,
            added=added or (),
        )
        described = write_manifest(to, description) if manifest else None
        if as_json:
            print_json({**description, "file": str(to), "manifest": described})
            return
        out.print(
            f"Wrote {counted(description['rows'], 'row')} to {plain(str(to))} "
            f"(data version {snapshot.version})."
        )
        if described:
            out.print(f"Described in {plain(str(described))}.")


def _export_verdicts(
    to: Path,
    store: str,
    at: str | None,
    where: str | None,
    form: VerdictFormat | None,
    every_model: bool,
    endpoint: str | None,
    headers: list[str] | None,
    as_json: bool,
) -> None:
    from data.export.send import sender
    from data.export.verdicts import write_verdicts
    from data.store.store import Store, must_lie_outside
    from features.catalogue import sentence

    must_lie_outside(to, store)
    form = form or VerdictFormat.jsonl
    if headers and not endpoint:
        raise UsageError("--header is sent with --endpoint; give that, too.")
    send = sender(endpoint, headers or ()) if endpoint else None
    with Store.whole(store).snapshot(at) as snapshot:
        written = write_verdicts(
            snapshot, to, form.value, where, every_model, meaning=sentence, send=send
        )
        version = snapshot.version
    if as_json:
        print_json({"file": str(to), **asdict(written), "data_version": version})
    if endpoint and not written.verdicts:
        raise ModelError(
            f"Nothing was sent, as no verdict belongs to a trace ({number(written.left_out)} of "
            "other turns); only turns of OpenTelemetry spans, with ids <trace id>-<span id>, do."
        )
    if as_json:
        _check_taken(written)
        return
    sent = f", and sent them to {plain(str(endpoint))}" if endpoint else ""
    out.print(
        f"Wrote {counted(written.verdicts, 'verdict')} to {plain(str(to))}{sent} "
        f"(data version {version})."
    )
    if written.left_out:
        out.print(written.words)
    _check_taken(written)


def _check_taken(written: Written) -> None:
    """Say what the receiver said of the spans; an error where it did not take all of them."""
    if written.rejected:
        raise FaultlineError(written.warning)
    if written.warning:
        err.print(plain(written.warning))


def info(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Show what the store holds."""
    from data.store.misdated import words
    from data.store.store import Store
    from data.store.summary import describe

    target = Store.whole(store)
    facts = describe(target) | {"models": target.model_ids()}
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        text = (
            ", ".join("not stated" if one is None else str(one) for one in value) or "none"
            if isinstance(value, list)
            else number("none" if value is None else value)
        )
        out.print(f"{name.replace('_', ' '):<{width}}  {plain(text)}".rstrip())
    if turns := facts["misdated"]:
        out.print(
            f"{words(turns, number(turns))} (the table misdated); first turn, last turn and all "
            "figures over time leave them out."
        )


def compact(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Merge small files; safe while others read and write."""
    from data.store.compaction import compact as run
    from data.store.store import Store
    from progress import listener

    target = Store.whole(store)
    with listener(err, announce=False) as progress:
        report = run(target, progress)
    if as_json:
        print_json(asdict(report))
        return
    out.print(f"{counted(report.before, 'file')} before, {number(report.after)} after.")


def vacuum(
    store: StoreOption = DEFAULT_STORE,
    keep_hours: Annotated[
        float,
        typer.Option(help="Versions, and models, younger than this many hours are kept."),
    ] = 168.0,
    promoted_only: Annotated[
        bool,
        typer.Option(help="Also drop all models but the promoted one, with their predictions."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove files that no kept version needs; older versions can then not be opened.

    Models that are not promoted, have no predictions and are older than that and a day go too.
    """
    from data.store.store import Store
    from data.store.vacuum import vacuum as run
    from progress import listener

    target = Store.whole(store)
    promoted = target.head().model
    keep = [promoted] if promoted_only and promoted else None
    with listener(err, announce=False) as progress:
        report = run(target, keep_hours=keep_hours, keep_models=keep, progress=progress)
    if as_json:
        print_json(asdict(report))
        return
    out.print(f"Removed {counted(report.files, 'file')}, {report.bytes / 1e6:.1f} MB.")
    if report.models:
        out.print(f"Models removed: {plain(', '.join(report.models))}.")


def delete(
    store: StoreOption = DEFAULT_STORE,
    dialogue: Annotated[list[str] | None, typer.Option(help="Dialogue id. Repeatable.")] = None,
    user: Annotated[list[str] | None, typer.Option(help="User id. Repeatable.")] = None,
    undone: Annotated[
        bool,
        typer.Option(
            "--undone", help="Repeat the deletions that a repair has undone, as deletions says."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete the turns of dialogues or users, and whatever else the store keeps of them."""
    from data.store.people import COMMAND_LINE, note
    from data.store.store import Store
    from data.store.turn_deletion import delete as run

    if undone:
        if dialogue or user:
            raise UsageError("--undone goes with no id; delete those by a command of their own.")
        _delete_undone(Store.whole(store), as_json)
        return
    if not dialogue and not user:
        raise UsageError("Nothing to delete: give --dialogue ID or --user ID.")
    target = Store.whole(store)
    report = run(target, dialogue_ids=dialogue or (), user_ids=user or ())
    forgotten = _forgotten(target, report)
    # Of whom, says the log of deletions, without naming them.
    note(target, COMMAND_LINE, "deletion", "delete", f"{report.turns} turns")
    _print_deletion(forgotten, as_json)


def _delete_undone(target: Store, as_json: bool) -> None:
    from data.store.turn_deletion import delete_undone

    report, nowhere = delete_undone(target)
    report = report and _forgotten(target, report)
    if as_json:
        print_json({"deleted": asdict(report) if report else None, "not_in_the_store": nowhere})
        return
    out.print(plain(str(report)) if report else "Nothing had to be deleted again.")
    if nowhere:
        out.print(
            f"Of {counted(nowhere, 'undone deletion')} no id is in the tables; what quarantined "
            "lines say of theirs goes when they are deleted by these ids again."
        )


def _forgotten(store: Store, report: Deletion) -> Deletion:
    """The report, after the index of rewrites has forgotten the turns too."""
    from data.errors import RewriteIndexDamaged
    from rewrites.online.index_folder import of_store

    if not of_store(store.path).exists():
        return report
    from data.store.deletions import record_deletion
    from rewrites.online.rewriter import forget_deleted

    try:
        removed = forget_deleted(store)
    except RewriteIndexDamaged as error:
        raise RewriteIndexDamaged(
            f"The turns are deleted from the tables, but not from the index of rewrites. {error}"
        ) from error
    if removed:
        head = store.head().version
        what = {"turns of the index of rewrites": removed}
        record_deletion(store, "rewrite index", {}, {}, what, {}, (head, head))
    others = {**report.others, "turns of the index of rewrites": removed} if removed else None
    return replace(report, others=others) if others else report


def _print_deletion(report: Deletion, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report))
    else:
        out.print(plain(str(report)))


def retain(
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Days to keep, counted back from today (UTC); by default what retention has set.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Delete turns older than this many days, and whatever else the store keeps of them; without a
    number, what is older than retention has set for each table.

    A turn with an impossible date is as old as its arrival, whatever its clock said.
    """
    from data.store.people import COMMAND_LINE, note
    from data.store.retention import retain as run
    from data.store.store import Store

    target = Store.whole(store)
    report = run(target, days, dry_run=dry_run)
    if not dry_run:
        report = _forgotten(target, report)
        note(target, COMMAND_LINE, "deletion", "retain", f"{report.turns} turns")
    _print_deletion(report, as_json)


def retention(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE=DAYS",
            help="Such as turns=365 predictions=90 quarantine=14; TABLE=forever ends it.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Set for how many days each table is kept, which retain without --days goes by; without
    arguments, show it. It deletes nothing itself."""
    from data.store.retention_policy import TABLES_KEPT, policy, set_policy
    from data.store.store import Store

    changes: dict[str, int | None] = {}
    for one in given or ():
        name, equals, number_of = one.partition("=")
        if not equals or not (number_of == "forever" or number_of.isdecimal()):
            raise UsageError(
                f"'{one[:60]}' is not TABLE=DAYS; write it like quarantine=14, or "
                "quarantine=forever."
            )
        changes[name] = None if number_of == "forever" else int(number_of[:9])
    target = Store.whole(store)
    if changes:
        # Of a table that is unknown, "forever" would be a mistake, too.
        if unknown := [name for name in changes if name not in TABLES_KEPT]:
            raise UsageError(
                f"No days can be set for '{unknown[0][:60]}'; choose from {', '.join(TABLES_KEPT)}."
            )
        days = set_policy(target, changes)
    else:
        with target.snapshot(only=("settings",)) as snapshot:
            days = policy(snapshot)
    if as_json:
        print_json({name: days.get(name) for name in TABLES_KEPT})
        return
    width = max(map(len, TABLES_KEPT))
    for name, about in TABLES_KEPT.items():
        if name in days:
            print_line = f"{name:<{width}}  {counted(days[name], 'day')}; {about.words}"
        elif about.of_turns and "turns" in days:
            print_line = f"{name:<{width}}  as long as their turns"
        else:
            print_line = f"{name:<{width}}  forever"
        out.print(plain(print_line))
    if days:
        out.print("Old rows are deleted by: faultline retain (look before with --dry-run).")
