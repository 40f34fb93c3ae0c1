"""Commands for models: train, evaluate, promote, score."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.engines import engine_of
from cli.options import (
    DEFAULT_STORE,
    Context,
    ContextOption,
    EncoderOption,
    JsonOption,
    Labels,
    LabelsOption,
    RayOption,
    SeedOption,
    StoreOption,
    WarmStartOption,
    WithinOption,
    WithoutOption,
)
from cli.output import (
    err,
    figures_table,
    never_named,
    out,
    plain,
    print_json,
)
from data.counted import number
from data.errors import UsageError
from features.multi_device import WITHIN_S


def train(
    store: StoreOption = DEFAULT_STORE,
    context: ContextOption = Context.hindsight,
    seed: SeedOption = 0,
    promote: Annotated[
        bool, typer.Option(help="Make it the model that score and the dashboard use.")
    ] = True,
    encoder: EncoderOption = None,
    without: WithoutOption = None,
    devices_within: WithinOption = WITHIN_S,
    labels: LabelsOption = Labels.auto,
    judge: Annotated[
        str | None,
        typer.Option(help="Also learn from this judge's verdicts where there is no gold."),
    ] = None,
    warm_start: WarmStartOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model on the labelled turns, and promote it."""
    settings = settings_of(
        context, seed, encoder, without, devices_within, labels, warm_start, judge=judge
    )
    learn(store, settings, promote=promote, as_json=as_json)
    if not as_json:
        out.print(f"Next: faultline score --store {plain(shlex.quote(str(store)))}")


def learn(store: str, settings: Any, *, promote: bool = True, as_json: bool = False) -> None:
    """Train with `settings` (`classifiers.settings.Settings`) and print how good the model is."""
    from classifiers.train import train_store
    from data.store.store import Store
    from progress import listener

    with listener(err) as progress:
        model = train_store(Store.whole(store), settings, promote=promote, progress=progress)
    from classifiers.evaluation.words import (
        UNEXPECTED,
        bursts,
        expected,
        others_counted,
        with_interval,
    )

    if as_json:
        print_json({"model": model.id, "promoted": promote, **model.metrics})
        return
    figures, headline = model.metrics["out_of_fold"], model.metrics["headline"]
    out.print(
        f"Model [bold]{model.id}[/bold], {number(model.metrics['labelled'])} labelled turns, "
        "out-of-fold macro-F1 "
        + with_interval(figures["macro_f1"], figures["intervals"]["macro_f1"])
        + ("" if model.metrics["against"] == "gold" else " against labels that nobody checked")
        + (", promoted." if promote else ", not promoted.")
    )
    if model.metrics["against"] == "gold":
        later = model.metrics["forward"]
        out.print(plain(expected(headline, figures["macro_f1"], later) if headline else UNEXPECTED))
    if others := others_counted(model.settings, model.metrics):
        out.print(plain(others))
    never_named(model.classes)
    _warn(bursts(model.metrics["concentration"]))
    figures_table(figures)


def _warn(sentences: list[str]) -> None:
    for sentence in sentences:
        out.print(f"[yellow]{plain(sentence)}[/yellow]")


def score(
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[str | None, typer.Option(help="Model id; default: the promoted one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Score every turn again.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Processes, about 1.5 GB each; by default one per core, and on a cluster one per "
            "CPU.",
        ),
    ] = None,
    ray: RayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score the turns that are new, changed, or in a dialogue that has grown.

    Without a model, train one first: on annotated turns where there are enough, else on labels
    derived from what users did and from signs in the logs.
    """
    from classifiers.first_model import train_first
    from classifiers.scoring.score import score as run
    from data.store.store import Store
    from progress import listener

    target = Store.whole(store)
    first = None
    with engine_of(ray, workers) as engine:
        if model is None:
            with listener(err) as progress:
                first = train_first(target, progress)
            if first is not None and not as_json:
                out.print(first.sentence, markup=False)
        with listener(err) as progress:
            report = run(
                target,
                model,
                everything=everything,
                progress=progress,
                workers=workers,
                engine=engine,
            )
    if as_json:
        print_json({**asdict(report), "trained": asdict(first) if first else None})
        if report.failed:
            raise typer.Exit(1)
        return
    out.print(
        f"Scored {number(report.scored)} turns with {report.model_id}; "
        f"{number(report.up_to_date)} were up to date. Data version {report.version}."
    )
    if report.failed:
        for dialogue, reason in list(report.failed.items())[:5]:
            err.print(f"[yellow]Not scored: dialogue {plain(dialogue)} ({plain(reason)}).[/yellow]")
        some = (
            "A dialogue" if len(report.failed) == 1 else f"{number(len(report.failed))} dialogues"
        )
        err.print(
            f"[yellow]{some} could not be scored, which should not happen; please report it, with "
            "the turns of one of them.[/yellow]"
        )
    if report.scored:
        table = Table("failure point", "turns", "share", box=None)
        total = sum(report.verdicts.values())
        for name, count in report.verdicts.items():
            table.add_row(name, number(count), f"{count / total:.1%}")
        out.print(table, soft_wrap=False)
    if report.failed:
        raise typer.Exit(1)


def evaluate(
    store: StoreOption = DEFAULT_STORE,
    context: ContextOption = Context.hindsight,
    seed: SeedOption = 0,
    folds: Annotated[int, typer.Option(min=2, max=50, help="Parts of the cross-validation.")] = 5,
    encoder: EncoderOption = None,
    without: WithoutOption = None,
    devices_within: WithinOption = WITHIN_S,
    forward: Annotated[
        bool,
        typer.Option(help="Also learn from the first part of the period and test on the rest."),
    ] = True,
    model: Annotated[
        str | None,
        typer.Option(
            help="Evaluate as this model was trained, and keep the result with it: its card and "
            "the page Model show it. 'promoted' is the model in use."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """How good verdicts are on dialogues not learned from: at random, and on later ones."""
    from classifiers.evaluation.cross_validation import evaluate as run
    from classifiers.evaluation.stored import evaluate_store
    from classifiers.training_data import training_turns
    from data.queries.annotations import latest
    from data.store.store import Store
    from progress import listener

    target = Store.whole(store)
    settings = settings_of(context, seed, encoder, without, devices_within)
    if model is not None:
        if (context, seed, encoder, without or None, devices_within) != (
            Context.hindsight, 0, None, None, WITHIN_S,
        ):  # fmt: skip
            raise UsageError(
                "A model is evaluated as it was trained; leave out --model, or --context, --seed, "
                "--encoder, --without and --devices-within."
            )
        model_id = target.head().model if model == "promoted" else model
        if model_id is None:
            raise UsageError("No model is promoted; train one with: faultline train")
        with listener(err) as progress:
            result = evaluate_store(target, model_id, folds, progress, forward=forward)
    else:
        with target.snapshot() as snapshot:
            turns = training_turns(snapshot, seed, within=devices_within)
            judged = latest(snapshot)
        with listener(err) as progress:
            result = run(turns, settings, folds, progress, forward=forward, annotations=judged)
    if as_json:
        print_json(result)
        return
    _print_evaluation(result)


def _print_evaluation(result: dict[str, Any]) -> None:
    from classifiers.evaluation.words import bursts, ceiling, expected, period, shifted

    later = result["forward"]
    out.print(f"[bold]{plain(expected(result['headline'], result['macro_f1'], later))}[/bold]")
    _warn(bursts(result["concentration"]))
    never_named(tuple(result["classes"]))
    out.print(
        f"\nRandom folds ({result['folds']}), {number(result['turns'])} labelled turns, "
        f"{result['context']}: {_totals(result)}"
    )
    figures_table(result)
    if "macro_f1" in later:
        out.print(f"\nForward: {period(later)}: {_totals(later)}")
        figures_table(later)
        out.print(plain(shifted(later["shift"])))
    out.print(f"\nKnown limits: {plain(' '.join(ceiling(result['limits'])))}")
    if "model" in result:
        out.print(f"\nKept with {plain(result['model'])}: its card and the page Model show it.")


def _totals(figures: dict[str, Any]) -> str:
    """Figures over all failure points, with their intervals."""
    from classifiers.evaluation.words import with_interval

    names = {
        "macro_f1": "macro-F1",
        "accuracy": "accuracy",
        "defect_average_precision": "average precision of a defect",
        "defect_calibration_error": "its calibration error",
    }
    return ", ".join(
        f"{words} {with_interval(figures[key], figures['intervals'][key])}"
        for key, words in names.items()
        if figures.get(key) is not None
    )


def promote(
    model: Annotated[str, typer.Argument(help="Model id.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Make a model the one that score and the dashboard use."""
    from data.store.store import Store

    Store.whole(store).promote(model)
    if as_json:
        print_json({"model": model})
    else:
        out.print(f"{plain(model)} is now the promoted model.")


def settings_of(
    context: Context,
    seed: int,
    encoder: str | None,
    without: list[str] | None,
    devices_within: float = WITHIN_S,
    labels: Labels = Labels.gold,
    warm_start: bool = False,
    *,
    judge: str | None = None,
) -> Any:
    """`classifiers.settings.Settings` of the options; `UsageError` for a value that is none."""
    from classifiers.settings import Settings

    return Settings.of(
        context.value,
        seed,
        encoder,
        without or (),
        devices_within,
        labels.value,
        warm_start,
        judge=judge,
    )
