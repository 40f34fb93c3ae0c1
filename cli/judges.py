"""Commands for outside judges: a language model or a vendor beside the model on one's own turns."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.options import DEFAULT_STORE, JsonOption, SeedOption, StoreOption, path_option
from cli.output import out, plain, print_json, print_quarantined, print_whole
from data.counted import counted, number
from data.store.paths import named_path

if TYPE_CHECKING:
    from classifiers.evaluation.comparison import Difference
    from classifiers.evaluation.judges import Estimate, JudgeComparison

judge = typer.Typer(
    name="judge",
    help="Outside judges, such as a language model: compare their verdicts with the model's.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(help="The judge's name.", metavar="NAME")]
# Problems printed one by one.
_SHOWN = 5


@judge.command()
def export(
    to: Annotated[
        Path,
        path_option("File to write, .jsonl; instructions for the judge go beside it.", "--to"),
    ],
    store: StoreOption = DEFAULT_STORE,
    turns: Annotated[
        int | None, typer.Option(min=1, help="Draw so many at random; all by default.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--any", help="Also turns whose truth is not known.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Which turns are drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write turns for a judge, without gold: by default those whose truth is known."""
    from data.export.judge_turns import export_judge_turns
    from data.store.store import Store, must_lie_outside
    from labels.rules.derived import refresh

    must_lie_outside(to, store)
    target = Store.whole(store)
    # What gold says may not have been derived yet.
    refresh(target)
    with target.snapshot() as snapshot:
        written = export_judge_turns(snapshot, to, turns=turns, seed=seed, known=not every)
    if as_json:
        print_json(asdict(written))
        return
    out.print(
        f"{counted(written.turns, 'turn')} in {plain(written.file)}, what to judge in "
        f"{plain(written.instructions)}."
    )
    out.print(
        "They are what users said: mind to whom you send them. Next: faultline judge import "
        f"VERDICTS --name NAME --store {plain(shlex.quote(store))}"
    )


@judge.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="File ending in .jsonl, .csv or .parquet (also .gz, .zst), one row per turn.",
            parser=named_path,
            metavar="FILE",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="The judge's name.")],
    store: StoreOption = DEFAULT_STORE,
    cost_per_1000: Annotated[
        float | None,
        typer.Option(help="What 1,000 turns cost, for rows without a cost of their own."),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="Of the costs, such as EUR.", metavar="CODE")
    ] = None,
    add: Annotated[
        bool,
        typer.Option("--add", help="Keep the judge's verdicts on other turns; else they go."),
    ] = False,
    allow_quarantined: Annotated[
        bool, typer.Option(help="Exit 0 even if rows were quarantined.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Import a judge's verdicts, in the place of its earlier ones; they are no gold."""
    from annotation.judges import import_verdicts
    from data.store.store import Store

    report = import_verdicts(
        Store.whole(store),
        file,
        str(file),
        name,
        cost_per_1000=cost_per_1000,
        currency=currency,
        keep_others=add,
    )
    if as_json:
        print_json(asdict(report))
    else:
        parts = [f"{counted(report.verdicts, 'verdict')} of {plain(report.judge)}"]
        for count, what in (
            (report.refused, "refused"),
            (report.unreadable, "unreadable"),
            (report.repeated, "repeated"),
        ):
            if count:
                parts.append(f"{number(count)} {what}")
        if report.replaced:
            parts.append(f"{number(report.replaced)} earlier replaced")
        if report.problems:
            parts.append(f"[yellow]{counted(len(report.problems), 'row')} quarantined[/yellow]")
        out.print(f"{plain(str(file))}: {', '.join(parts)}")
        print_quarantined(report.problems, _SHOWN)
    if report.problems and not allow_quarantined:
        raise typer.Exit(1)


@judge.command("list")
def list_(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the judges whose verdicts the store has."""
    from data.queries.judges import judges
    from data.store.store import Store

    with Store.whole(store).snapshot() as snapshot:
        rows = judges(snapshot).to_pylist()
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("No judge's verdicts are in the store; see: faultline judge --help")
        return
    table = Table("judge", "verdicts", "refused", "unreadable", "cost of 1,000", "imported",
                  box=None)  # fmt: skip
    for row in rows:
        table.add_row(
            plain(row["annotator"]),
            *(number(row[key]) for key in ("verdicts", "refused", "unreadable")),
            _cost(row["cost_per_1000"], row["currency"]),
            f"{row['created_at']:%Y-%m-%d %H:%M}",
        )
    print_whole(table)


@judge.command()
def remove(
    name: NameArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False
) -> None:
    """Remove all verdicts of a judge."""
    from data.queries.judges import known_judge
    from data.store.judges import remove_verdicts
    from data.store.store import Store

    target = Store.whole(store)
    with target.snapshot() as snapshot:
        annotator = known_judge(snapshot, name)
    removed = remove_verdicts(target, annotator)
    if as_json:
        print_json({"judge": annotator, "removed": removed})
    else:
        out.print(f"Removed {counted(removed, 'answer')} of {plain(annotator)}.")


@judge.command()
def compare(
    name: NameArgument,
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[str | None, typer.Option(help="Model id; default: the promoted one.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Turns to list on which both differ.")] = 10,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare a judge with the model on the same turns of known truth.

    The model's verdicts on turns that it learned from are those of models that had not seen them.
    """
    from classifiers.evaluation.judges import compare_judge, differing
    from data.store.store import Store
    from labels.rules.derived import refresh

    target = Store.whole(store)
    refresh(target)
    with target.snapshot() as snapshot:
        compared = compare_judge(snapshot, target.models, name, model, seed=seed)
    apart = differing(compared.rows, seed)
    listed = apart.slice(0, show).select(
        ["turn_id", "day", "truth", "predicted", "judged", "reason"]
    )
    if as_json:
        content = {key: value for key, value in _content(compared).items() if key != "rows"}
        print_json({**content, "differ": apart.num_rows, "differing": listed.to_pylist()})
        return
    _print(compared)
    out.print(f"They differ on {counted(apart.num_rows, 'turn')}.")
    if listed.num_rows:
        rows = Table("turn", "gold", "model", "judge", "the judge's reason", box=None)
        for row in listed.to_pylist():
            reason = plain(row["reason"] or "")
            rows.add_row(
                plain(row["turn_id"]), row["truth"], row["predicted"], row["judged"], reason[:80]
            )
        print_whole(rows)


def _content(compared: JudgeComparison) -> dict[str, Any]:
    """The comparison for JSON: pairs by their names, no NaN."""
    content = {name: getattr(compared, name) for name in compared.__slots__ if name != "rows"}
    content["sides"] = {side: asdict(figures) for side, figures in compared.sides.items()}
    content["agreement"] = {
        " and ".join(pair): asdict(agreed) for pair, agreed in compared.agreement.items()
    }
    for name in ("paired", "precision", "recall", "answered"):
        content[name] = asdict(content[name])
    cleaned: dict[str, Any] = _without_nan(content)
    return cleaned


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _print(compared: JudgeComparison) -> None:
    from classifiers.evaluation.judges import BASELINE, JUDGE, MODEL, favoured

    left_out = [
        f"{number(count)} {why}"
        for count, why in (
            (compared.refused, "that it refused"),
            (compared.unreadable, "whose answer was unreadable"),
            (compared.changed, "that have changed since"),
            (compared.unscored, "that the model has not scored"),
            (compared.seen, "that have changed since the model learned from them"),
        )
        if count
    ]
    out.print(
        f"[bold]{plain(compared.judge)}[/bold] and {plain(compared.model)} on "
        f"{counted(compared.turns, 'turn')} in {counted(compared.dialogues, 'dialogue')}, of "
        f"{number(compared.known)} of known truth that it was asked about"
        + (f"; without {', '.join(left_out)}." if left_out else ".")
    )
    table = Table("", "model", "judge", "judge minus model", BASELINE, box=None)
    sides, paired = compared.sides, compared.paired
    rows: list[tuple[str, str, Difference | None]] = [
        ("macro-F1", "macro_f1", paired.macro_f1),
        ("accuracy", "accuracy", paired.accuracy),
        ("defect: precision", "precision", compared.precision),
        ("defect: recall", "recall", compared.recall),
        ("defect: average precision", "average_precision", paired.defect_average_precision),
    ]
    for label, key, difference in rows:
        table.add_row(
            label,
            _figure(getattr(sides[MODEL], key)),
            _figure(getattr(sides[JUDGE], key)),
            _signed(difference),
            _figure(getattr(sides[BASELINE], key)),
        )
    for point, difference in paired.f1.items():
        table.add_row(
            f"F1 {point} ({number(paired.support[point])})",
            *(_figure(sides[side].f1[point]) for side in (MODEL, JUDGE)),
            _signed(difference),
            _figure(sides[BASELINE].f1[point]),
        )
    print_whole(table)
    if warning := favoured(compared):
        out.print(f"[yellow]{plain(warning)}[/yellow]")
    if compared.taught:
        out.print("The model learned from verdicts of this judge as well.")
    if compared.refused or compared.unreadable:
        out.print(
            "Accuracy of the judge if no verdict counts as a wrong one: "
            f"{_figure(compared.answered)}."
        )
    agreement = Table("agreement", "Cohen's kappa", "Krippendorff's alpha", box=None)
    for pair, agreed in compared.agreement.items():
        agreement.add_row(" and ".join(pair), _figure(agreed.kappa), _figure(agreed.alpha))
    print_whole(agreement)
    out.print(
        f"Cost of 1,000 turns: judge {_cost(compared.cost_per_1000, compared.currency)}; model no "
        "fee, computed on this machine."
    )


def _figure(figure: Estimate | None) -> str:
    if figure is None or math.isnan(figure.value):
        return "–"
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def _signed(difference: Difference | None) -> str:
    if difference is None or math.isnan(difference.value):
        return "–"
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def _cost(per_1000: float | None, currency: str | None) -> str:
    return "not given" if per_1000 is None else f"{per_1000:,.2f} {plain(currency or '')}".rstrip()
