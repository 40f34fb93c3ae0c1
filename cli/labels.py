"""Commands for labels: those of gold compared, and those that a label model generates."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.asking import answers, answers_in_words, ask
from cli.engines import engine_of
from cli.options import (
    DEFAULT_STORE,
    EncoderOption,
    JsonOption,
    RayOption,
    SeedOption,
    StoreOption,
    path_option,
)
from cli.output import err, out, plain, print_json
from data.counted import counted, number
from data.errors import UsageError

if TYPE_CHECKING:
    from labels.generated.settings import Settings

labels = typer.Typer(
    name="labels",
    help="Labels of turns: goals, defects, intents and slots, from feedback and gold.",
    no_args_is_help=True,
)
labels.command()(ask)


QuickOption = Annotated[
    bool, typer.Option("--quick", help="Smaller networks and fewer rounds: for a first look.")
]


class Form(StrEnum):
    rows = "rows"
    bio = "bio"


@labels.command()
def compare(
    store: StoreOption = DEFAULT_STORE,
    show: Annotated[int, typer.Option(min=0, help="Disagreements to list.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Compare the annotators' failure points with those derived from the rest of gold."""
    from data.queries.ground_truth import turns_with_gold
    from data.store.store import Store
    from labels.rules.failure_point import compare as agreement_of
    from labels.rules.rule_agreement import report

    with Store.whole(store).snapshot() as snapshot:
        turns = turns_with_gold(snapshot)
    if turns.num_rows == 0:
        raise UsageError("No turn in the store has gold fields to derive a failure point from.")
    agreement = agreement_of(turns)
    if as_json:
        print_json(
            {
                "turns": agreement.turns,
                "annotated": agreement.annotated,
                "agreed": agreement.agreed,
                "rate": agreement.rate,
                "confusion": agreement.confusion.to_pylist(),
                "disagreements": agreement.disagreements.to_pylist(),
            }
        )
        return
    for line in report(agreement):
        out.print(line, markup=False)
    for row in agreement.disagreements.slice(0, show).to_pylist():
        out.print("  ".join(f"{key}={value}" for key, value in row.items()), markup=False)


@labels.command()
def train(
    store: StoreOption = DEFAULT_STORE,
    seed: SeedOption = 0,
    quick: QuickOption = False,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a label model on the turns, their feedback, and whatever gold there is.

    A training that was stopped goes on where it was.
    """
    from data.store.store import Store
    from labels.generated.store import train_store
    from progress import listener

    with listener(err) as progress:
        model = train_store(Store.whole(store), _settings(seed, quick, encoder), progress=progress)
    if as_json:
        print_json({"model": model.id, **model.metrics})
        return
    out.print(
        f"Label model [bold]{model.id}[/bold], {counted(model.metrics['turns'], 'turn')} in "
        f"{counted(model.metrics['dialogues'], 'dialogue')}."
    )
    _tasks(model.metrics)
    out.print(f"Next: faultline labels generate --store {plain(shlex.quote(store))}")


@labels.command()
def generate(
    store: StoreOption = DEFAULT_STORE, ray: RayOption = None, as_json: JsonOption = False
) -> None:
    """Label every turn, and find the goals of every dialogue."""
    from data.store.store import Store
    from labels.generated.store import generate_store
    from progress import listener

    target = Store.whole(store)
    with engine_of(ray) as engine, listener(err) as progress:
        report = generate_store(target, progress=progress, engine=engine)
    if as_json:
        print_json(asdict(report))
        return
    reached = "" if report.reached is None else f", estimated goal success {report.reached:.1%}"
    out.print(
        f"Labelled {counted(report.turns, 'turn')} with {report.model_id}: "
        f"{counted(report.goals, 'goal')}{reached}. Data version {report.version}."
    )
    where = f"--store {plain(shlex.quote(store))}"
    out.print(f"Next: faultline labels export --to labels.jsonl {where}")


@labels.command()
def evaluate(
    store: StoreOption = DEFAULT_STORE,
    seed: SeedOption = 0,
    quick: QuickOption = False,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cross-validate a label model on the store's own gold, beside simple ones; keeps nothing."""
    from data.store.store import Store
    from labels.generated.store import evaluate_store
    from progress import listener

    with listener(err) as progress:
        metrics = evaluate_store(
            Store.whole(store), _settings(seed, quick, encoder), progress=progress
        )
    if as_json:
        print_json(metrics)
    else:
        _tasks(metrics)


def _settings(seed: int, quick: bool, encoder: str | None) -> Settings:
    from classifiers.encoder import DEFAULT
    from labels.generated.settings import Settings

    settings = Settings.quick(seed) if quick else Settings(seed=seed)
    return replace(settings, encoder=encoder or DEFAULT)


def _tasks(metrics: Mapping[str, Any]) -> None:
    """A line per candidate of every task, that which labels marked; and why others were skipped."""
    rows = Table("task", "candidate", "measure", "", "average precision", "labels", box=None)
    marks = []
    for name, task in metrics["tasks"].items():
        if "candidates" not in task:
            reason = task.get("skipped", "not learned")
            out.print(f"{name.replace('_', ' ')}: {plain(reason).rstrip('.')}.", markup=False)
            continue
        if human := task.get("human"):
            marks.append(
                f"{name.replace('_', ' ')}: F1 of one annotator against others "
                f"{human['human']:.3f}, of the labels {human['model']:.3f}; difference "
                f"{human['difference']:+.3f} (95 % interval {human['low']:+.3f} to "
                f"{human['high']:+.3f})."
            )
        measure = task.get("measure", "F1")
        for candidate, figures in task["candidates"].items():
            precision = figures.get("average_precision")
            rows.add_row(
                name.replace("_", " "),
                candidate,
                measure,
                f"{figures[measure.casefold()]:.3f}",
                "–" if precision is None else f"{precision:.3f}",
                "yes" if candidate == task["default"] else "",
            )
    if rows.row_count:
        out.print(rows, soft_wrap=False)
    for mark in marks:
        out.print(mark, markup=False)


@labels.command()
def feedback(
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show what users' behaviour says about turns, and how far each signal can be trusted.

    How often each signal fires is counted on all turns; precision and coverage need turns whose
    truth is known. Coverage is the share of the defects (or successes) that a signal finds, where
    it could be observed: turns on which it is not logged do not count.
    """
    from data.store.store import Store
    from labels.feedback.quality import quality, truth
    from labels.feedback.table import collect

    with Store.whole(store).snapshot() as snapshot:
        table = collect(snapshot)
        known = truth(snapshot)
    if not table.num_rows:
        raise UsageError(
            "The store holds no turns; ingest some with: faultline ingest PATH… --store DIR"
        )
    frame = quality(table, known)
    if as_json:
        # NaN is no JSON.
        signals = json.loads(frame.to_json(orient="records"))
        print_json({"signals": signals, "answers": answers(table)})
        return
    out.print(
        f"Signals on {counted(table.num_rows, 'turn')}; of {counted(known.num_rows, 'turn')} it is "
        "known whether they were a defect."
    )
    rows = Table("signal", "points to", "fires", "of turns", "precision", "95 %", "coverage",
                 box=None)  # fmt: skip
    for row in frame.to_dict("records"):
        known_of = row["fires"] > 0
        rows.add_row(
            plain(row["signal"]),
            "a defect" if row["defect"] else "success",
            number(int(row["fired"])) if row["observed"] else "not logged",
            _percent(row["share"]),
            _percent(row["precision"]) if known_of else "–",
            f"{_percent(row['low'])} to {_percent(row['high'])}" if known_of else "–",
            _percent(row["coverage"]),
        )
    out.print(rows, soft_wrap=False)
    out.print(
        "Of turns: those on which the signal could be observed. Coverage: of the defects (or "
        "successes) on such turns whose truth is known, the share that the signal finds."
    )
    if answered := answers_in_words(table):
        out.print(answered, markup=False)


def _percent(share: float) -> str:
    return "–" if share != share else f"{share:.1%}"


@labels.command()
def export(
    to: Annotated[
        Path,
        path_option("File to write, .jsonl or .parquet; its manifest goes beside it.", "--to"),
    ],
    store: StoreOption = DEFAULT_STORE,
    form: Annotated[
        Form,
        typer.Option("--format", help="rows: one per turn; bio: tags and spans, for a tagger."),
    ] = Form.rows,
    least: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="TASK=P",
            help="Leave out labels below a probability: goal_start, goal_reached, turn_defect, "
            "intent or slots. Repeatable.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the generated labels to a file, with a manifest."""
    from data.export.labels import export_labels
    from data.store.store import Store, must_lie_outside

    must_lie_outside(to, store)
    with Store.whole(store).snapshot() as snapshot:
        content = export_labels(snapshot, to, form=form.value, least=_thresholds(least))
    if as_json:
        print_json(content)
        return
    out.print(
        f"{counted(content['rows'], 'turn')} in {plain(str(to))}, the manifest in "
        f"{plain(to.name)}.manifest.json."
    )
    if content["unlabelled"] or content["changed"]:
        out.print(
            f"Not in it: {counted(content['unlabelled'], 'turn')} without a label and "
            f"{counted(content['changed'], 'turn')} that changed since; label them with: faultline "
            f"labels generate --store {shlex.quote(store)}",
            markup=False,
        )
    if form is Form.bio and not content["rows"]:
        out.print("No turn has slots that are sure enough.")


def _thresholds(texts: list[str] | None) -> dict[str, float]:
    """The probabilities of options like `intent=0.9`."""
    least = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if name in least:
            raise UsageError(f"--min gives {name} twice; give one probability.")
        try:
            least[name] = float(value) if equals else float("nan")
        except ValueError:
            least[name] = float("nan")
        if least[name] != least[name]:
            raise UsageError(f"'{text}' is no threshold; give TASK=P, for example intent=0.9.")
    return least
