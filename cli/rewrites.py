"""Commands for rewrites: mine, evaluate, list, show, approve, reject, retire, export."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import typer
from rich.table import Table

from cli.engines import engine_of
from cli.options import DEFAULT_STORE, JsonOption, RayOption, StoreOption, path_option
from cli.output import err, out, plain, print_json
from data.counted import counted, number
from data.errors import UsageError
from data.schema.requests import PAUSE_S

if TYPE_CHECKING:
    from rewrites.outcomes import Evaluation

rewrites = typer.Typer(
    name="rewrites",
    help="Rewrites of failing requests, mined from what people say next.",
    no_args_is_help=True,
)

# Characters of a text that a line shows.
_LONGEST = 200

SinceOption = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="First day of the sessions to read.", metavar="DAY"),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Last day of the sessions to read.", metavar="DAY"),
]
GapOption = Annotated[
    float, typer.Option("--gap", min=0.0, max=86_400.0, help="Longest pause of a session, s.")
]
ByOption = Annotated[str | None, typer.Option("--by", help="Who decides; a name.")]
IdsArgument = Annotated[list[str], typer.Argument(help="Ids, as `faultline rewrites list` shows.")]
StateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        help="Only these: proposed, approved, live, retired or rejected. Repeatable.",
    ),
]


@rewrites.command()
def mine(
    store: StoreOption = DEFAULT_STORE,
    since: SinceOption = None,
    until: UntilOption = None,
    gap: GapOption = PAUSE_S,
    ray: RayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mine rewrites from the sessions of a store, replay the later ones, and record both."""
    from data.store.store import Store
    from progress import listener
    from rewrites.refresh import refresh

    target = Store.whole(store)
    with engine_of(ray) as engine, listener(err) as progress:
        report = refresh(
            target,
            gap_s=gap,
            since=since.date() if since else None,
            until=until.date() if until else None,
            progress=progress,
            engine=engine,
        )
    if as_json:
        record = {name: value for name, value in asdict(report).items() if name != "evaluation"}
        print_json(record | {"evaluation": report.evaluation and report.evaluation.record()})
        return
    out.print(
        f"Read {counted(report.turns, 'turn')} in {counted(report.sessions, 'session')}: "
        f"{counted(report.general, 'rewrite')} for everybody, "
        f"{number(report.personal)} for single users."
    )
    if report.evaluation:
        _evaluation(report.evaluation)
    else:
        out.print("All sessions are of one day, so nothing could be replayed on later ones.")
    where = f"--store {plain(shlex.quote(store))}"
    out.print(f"Next: faultline rewrites list {where}")


@rewrites.command()
def evaluate(
    store: StoreOption = DEFAULT_STORE,
    share: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="Share of the days that is mined.")
    ] = 0.7,
    gap: GapOption = PAUSE_S,
    ray: RayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mine the earlier days, replay the later ones, beside simple baselines; records nothing."""
    from data.store.store import Store
    from progress import listener
    from rewrites.refresh import evaluation_of

    target = Store.whole(store)
    with engine_of(ray) as engine, listener(err) as progress:
        evaluation = evaluation_of(target, share=share, gap_s=gap, progress=progress, engine=engine)
    if as_json:
        print_json(evaluation.record())
    else:
        _evaluation(evaluation)


@rewrites.command("list")
def list_(
    store: StoreOption = DEFAULT_STORE,
    state: StateOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Rows.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List rewrites, those first that would mend most."""
    from data.queries.rewrites import listed
    from data.store.store import Store

    with Store.whole(store).snapshot(only=("rewrites", "rewrite_outcomes")) as snapshot:
        rows = listed(snapshot, _states(state), most).to_pylist()
        mined = snapshot.counts()["rewrites"]
    total = rows[0]["total"] if rows else 0
    if as_json:
        print_json([_record(row) for row in rows])
        return
    if not rows:
        out.print(_none_yet(mined, store))
        return
    table = Table(box=None)
    for name in ("id", "request → rewrite", "users", "success", "win/loss", "state"):
        # An id is copied: it is never cut.
        table.add_column(name, no_wrap=name in ("id", "success", "state"))
    for row in rows:
        whose = f" (only {row['user_id']})" if row["user_id"] else ""
        table.add_row(
            row["rewrite_id"],
            plain(f"{_short(row['request'])} → {_short(row['rewrite'])}{whose}"),
            number(row["users"]),
            f"{row['p_before']:.2f} → {row['p_after']:.2f}",
            f"{number(row['wins'])}/{number(row['losses'])}",
            row["state"],
        )
    out.print(table, soft_wrap=False)
    out.print("Users said it again in other words. Success as predicted, without and with it.")
    if total > len(rows):
        out.print(f"{number(len(rows))} of {number(total)}; more with --most.")


@rewrites.command()
def show(
    rewrite_id: Annotated[str, typer.Argument(help="Id, as `faultline rewrites list` shows.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show one rewrite: support, prediction, outcomes, the chain around it, and its examples."""
    from data.queries.rewrites import example_turns, one
    from data.store.rewrites import unknown
    from data.store.store import Store

    with Store.whole(store).snapshot() as snapshot:
        if (row := one(snapshot, rewrite_id)) is None:
            raise unknown(rewrite_id)
        examples = example_turns(snapshot, row).to_pylist()
    if as_json:
        print_json(_record(row) | {"turns_after": examples})
        return
    request, rewrite = plain(_short(row["request"])), plain(_short(row["rewrite"]))
    out.print(f"[bold]{request}[/bold] → [bold]{rewrite}[/bold]")
    facts = {
        "for": row["user_id"] or "everybody",
        "state": row["state"] + (f" ({row['reason']})" if row["reason"] else ""),
        "method": row["method"],
        "support": f"{counted(row['users'], 'user')}, {counted(row['sessions'], 'session')}",
        "success": f"{row['p_before']:.2f} before, {row['p_after']:.2f} after",
        "turns": f"{number(row['turns'])}, of which {row['failing']:.1f} probably failed",
        "fails mostly at": row["failure_point"] or "not scored",
        "on later sessions": f"{number(row['wins'])} wins, {number(row['losses'])} losses, "
        f"{number(row['no_help'])} without help",
        "in use": _used(row),
        "understood as": f"{_short(row['request_state'])} → {_short(row['rewrite_state'])}",
    }
    for name, value in facts.items():
        out.print(f"{name}: {plain(value)}")
    for example in examples[:5]:
        text, after = plain(_short(example["text"])), plain(_short(example["after"]))
        out.print(f"  {plain(example['turn_id'])}: {text} → {after}")


@rewrites.command()
def approve(
    rewrite_ids: IdsArgument, store: StoreOption = DEFAULT_STORE, by: ByOption = None
) -> None:
    """Approve rewrites, so that export includes them."""
    _decide(store, rewrite_ids, "approved", by, None)


@rewrites.command()
def reject(
    rewrite_ids: IdsArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; recorded with the rewrite.")],
    store: StoreOption = DEFAULT_STORE,
    by: ByOption = None,
) -> None:
    """Reject rewrites; later minings do not propose them again."""
    _decide(store, rewrite_ids, "rejected", by, reason)


@rewrites.command()
def retire(
    rewrite_ids: IdsArgument,
    store: StoreOption = DEFAULT_STORE,
    reason: Annotated[str | None, typer.Option("--reason", help="Why.")] = None,
    by: ByOption = None,
) -> None:
    """Retire rewrites that are live."""
    _decide(store, rewrite_ids, "retired", by, reason)


@rewrites.command()
def propose(
    rewrite_ids: IdsArgument, store: StoreOption = DEFAULT_STORE, by: ByOption = None
) -> None:
    """Take an approval or a rejection back."""
    _decide(store, rewrite_ids, "proposed", by, None)


@rewrites.command()
def export(
    to: Annotated[
        Path,
        path_option("File ending in .jsonl.", "--to", metavar="PATH"),
    ],
    store: StoreOption = DEFAULT_STORE,
    state: StateOption = None,
    new_texts: Annotated[
        list[Path] | None,
        path_option(
            "Logs; also write rewrites of their texts that the store never heard. Repeatable.",
            metavar="PATH",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write approved and live rewrites as JSON lines, for an assistant to load."""
    from data.export.rewrites import write_rewrites
    from data.store.store import Store, must_lie_outside

    must_lie_outside(to, store)
    states, opened = _states(state) or ("approved", "live"), Store.whole(store)
    added: list[dict[str, Any]] = []
    if new_texts:
        from progress import listener
        from rewrites.refresh import rows_for_new_texts

        with listener(err) as progress:
            added = rows_for_new_texts(opened, new_texts, progress=progress).to_pylist()
    with opened.snapshot(only=("rewrites", "rewrite_outcomes")) as snapshot:
        written = write_rewrites(snapshot, to, states, added)
    if as_json:
        print_json({"file": str(to), "rewrites": written})
        return
    out.print(f"Wrote {counted(written, 'rewrite')} to {plain(str(to))}.")
    if not written:
        where = f"--store {plain(shlex.quote(store))}"
        out.print(f"None is approved; approve some with: faultline rewrites approve ID… {where}")


@rewrites.command()
def rephrases(
    to: Annotated[
        Path,
        path_option("File to write.", "--to", metavar="PATH"),
    ],
    store: StoreOption = DEFAULT_STORE,
    judged: Annotated[
        Path | None,
        path_option(
            "Judged turns to learn from: JSON lines with turn_id and rephrase_turn_id.",
            metavar="PATH",
        ),
    ] = None,
    judged_store: Annotated[
        str | None,
        typer.Option(help="Store with the judged turns; by default --store.", metavar="PATH"),
    ] = None,
    window: Annotated[int, typer.Option(min=1, max=50, help="Later turns considered.")] = 5,
    excerpts: Annotated[
        bool, typer.Option("--excerpts", help="Read nothing outside each pair of turns.")
    ] = False,
) -> None:
    """Name, for each turn, the later one of its dialogue that says the same want again."""
    from data.store.store import Store, must_lie_outside
    from rewrites.rephrase import Detector, Means, dialogues, export, judgements
    from rewrites.rephrase import rephrases as found

    must_lie_outside(to, store)
    if to.suffix.lower() != ".jsonl":
        raise UsageError(f"Cannot write to '{to.name}'; its name must end in .jsonl.")
    detector = Detector(window=window, means=Means(whole=not excerpts))
    if judged:
        truth = judgements(judged.expanduser())
        with Store.whole(judged_store or store).snapshot() as snapshot:
            detector.fit(pa.concat_tables(dialogues(snapshot)), truth)
    with Store.whole(store).snapshot() as snapshot:
        table = found(snapshot, detector)
    export(table, to.expanduser())
    linked = table.num_rows - table["rephrase_turn_id"].null_count
    out.print(f"Wrote {counted(table.num_rows, 'turn')}, {number(linked)} with a rephrase.")
    if not judged:
        out.print("Nothing was learned: without --judged, the nearest words decide.")


@rewrites.command()
def index(
    store: StoreOption = DEFAULT_STORE, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Index past requests and the approved and live rewrites, for rewrite and serve-rewrites."""
    from data.queries.rewrites import in_states
    from data.store.store import Store
    from rewrites.online.index_folder import of_store
    from rewrites.online.rewriter import build_index

    states, target = _states(state) or ("approved", "live"), Store.whole(store)
    with target.snapshot(only=("rewrites",)) as snapshot:
        rows = in_states(snapshot, states)
    rewriter = build_index(target, rows=rows)
    folder = of_store(target.path)
    if as_json:
        print_json({"folder": str(folder), **rewriter.about})
        return
    out.print(
        f"Indexed {counted(rewriter.about['requests'], 'request')} of "
        f"{counted(rewriter.about['users'], 'user')} and {counted(rows.num_rows, 'rewrite')} in "
        f"{plain(str(folder))}."
    )
    out.print(f"Next: faultline serve-rewrites --store {plain(shlex.quote(store))}")


def _decide(
    store: str, rewrite_ids: list[str], state: str, by: str | None, reason: str | None
) -> None:
    from data.store.rewrites import decide
    from data.store.store import Store

    changed = decide(Store.whole(store), rewrite_ids, state, by=by, reason=reason)
    unchanged = len(set(rewrite_ids)) - changed
    already = f"; {number(unchanged)} already were" if unchanged else ""
    out.print(f"{counted(changed, 'rewrite')} {state}{already}.")


def _states(given: list[str] | None) -> tuple[str, ...]:
    from data.store.rewrites import STATES

    for state in given or ():
        if state not in STATES:
            raise UsageError(f"Unknown state '{state}'; choose one of {', '.join(STATES)}.")
    return tuple(given or ())


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """A rewrite for programs."""
    record = {name: value for name, value in row.items() if name != "total"}
    return record | {"chain": json.loads(row["chain"] or "{}")}


def _short(text: str) -> str:
    """A text on one line, cut where it is very long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _used(row: dict[str, Any]) -> str:
    if not row["turns_with"]:
        return "not yet executed"
    parts = [f"{row['good_with']:.1f} of {counted(row['turns_with'], 'turn')} went well with it"]
    if row["turns_without"]:
        parts.append(f"{row['good_without']:.1f} of {number(row['turns_without'])} without")
    return ", ".join(parts)


def _none_yet(mined: int, store: str) -> str:
    if mined:
        return "No rewrite is in that state."
    where = f"--store {plain(shlex.quote(store))}"
    return f"No rewrites yet; mine some with: faultline rewrites mine {where}"


def _evaluation(evaluation: Evaluation) -> None:
    """The table of an evaluation."""
    shares = f"{evaluation.wrong / max(evaluation.turns, 1):.0%}"
    out.print(
        f"Replayed {counted(evaluation.turns, 'turn')} from {evaluation.since} to "
        f"{evaluation.until}, {shares} of them wrong as far as their sessions tell"
        + (f" ({number(evaluation.judged)} by annotation)." if evaluation.judged else ".")
    )
    table = Table(box=None)
    for name in ("method", "turns", "wins", "losses", "no help", "precision", "net", "95 %"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    record: dict[str, Any] = evaluation.record()
    for row in record["rows"]:
        table.add_row(
            row["name"].replace("chain + personal", "…") if "new" in row["name"] else row["name"],
            *(number(row[key]) for key in ("triggers", "wins", "losses", "no_help")),
            "" if row["precision"] is None else f"{row['precision']:.2f}",
            f"{row['net']:.3f}" if row["triggers"] else "",
            f"{row['low']:.2f} {row['high']:.2f}" if row["triggers"] else "",
        )
    out.print(table, soft_wrap=False)
    out.print(
        "Turns: rewritten. Precision: share of these that get what was wanted. Net: wins less "
        "losses per wrong turn, with a 95 % interval over users."
    )
