"""Faultline from Python, for notebooks: the commands of `faultline` as functions.

Names and defaults are those of the command line: `store` is a folder, `$FAULTLINE_STORE` or else
`./store` where it is not given; `at` is a data version, the newest by default. Tables come as
pandas frames. What a user can get wrong is a `FaultlineError` with the same sentence as on the
command line.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

_HIDDEN = (
    "Faultline's package '{}' is hidden by a folder or file of that name ({}); start Python in "
    "another folder, or rename what lies there."
)

try:
    from data.errors import FaultlineError, ModelError, UsageError
    from data.store.store import Store
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "data":
        raise
    raise ImportError(_HIDDEN.format("data", error)) from error

if TYPE_CHECKING:
    from classifiers.scoring.score import ScoreReport
    from data.store.snapshot import Snapshot

__all__ = [
    "Explanation",
    "FaultlineError",
    "Quality",
    "Store",
    "Trained",
    "evaluate",
    "explain",
    "export",
    "info",
    "ingest",
    "open",
    "rates",
    "score",
    "train",
]

StoreLike = str | Path | Store | None


@dataclass(frozen=True)
class Quality:
    """How good a model is on turns that it had not seen.

    Attributes
    ----------
    macro_f1, accuracy: between 0 and 1. interval: of macro-F1, 95 %; None where none was worked
    out. failure_points: `turns`, `precision`, `recall`, `f1` and `calibration_error` of each.
    confusion: turns by truth (rows) and verdict (columns).
    later: the same on later dialogues, by a model of earlier ones; None where there is no such
    split. expected: what to expect on later logs, in a sentence. warnings: what is unsure about it.
    """

    macro_f1: float
    accuracy: float
    interval: tuple[float, float] | None
    failure_points: pd.DataFrame
    confusion: pd.DataFrame
    later: Quality | None = None
    expected: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A model's id, its quality out of fold, and whether labels of people checked it.

    Attributes
    ----------
    checked_by_people: false where it learned from users' behaviour and signs in the logs, with too
    few verdicts to check it; the quality is then against labels that nobody checked.
    """

    model: str
    quality: Quality
    checked_by_people: bool = True


@dataclass(frozen=True)
class Explanation:
    """What a model says of one turn, and why.

    Attributes
    ----------
    probabilities: of each failure point and `correct`, calibrated; they add up to 1.
    evidence: SHAP contributions summed per stage, in log-odds towards the verdict.
    reasons: the strongest features, the strongest first: `feature`, `meaning`, `stage`, `value`
    (NaN where it was not logged) and `contribution`.
    checked_by_people: false for a model that learned from users' behaviour alone: its failure point
    is a guess.
    """

    turn_id: str
    model: str
    failure_point: str
    probabilities: pd.Series[float]
    evidence: pd.Series[float]
    reasons: pd.DataFrame
    checked_by_people: bool = True


# What a function imports later is looked for now, while it is clear who asks.
for _room in ("analysis", "classifiers", "data", "features", "labels"):
    _spec = find_spec(_room)
    _origin = Path(_spec.origin).resolve() if _spec and _spec.origin else None
    if _origin != Path(__file__).resolve().parents[1] / _room / "__init__.py":
        raise ImportError(_HIDDEN.format(_room, _origin))


def open(store: StoreLike = None) -> Store:
    """The store at a path, for SQL: `open("mine").snapshot().query("FROM turns LIMIT 5")`.

    Raises `StoreMissing` where there is none; `ingest` makes one.
    """
    return store if isinstance(store, Store) else Store.whole(_path(store))


def ingest(
    paths: str | Path | Sequence[str | Path],
    *,
    store: StoreLike = None,
    format: str | None = None,
    on_conflict: str = "keep",
    ahead_hours: float = 24.0,
    mapping: str | Path | None = None,
    idle_minutes: float = 5.0,
    assistant: str | None = None,
) -> pd.DataFrame:
    """Bring log files or folders into a store, which is made if there is none.

    Parameters
    ----------
    on_conflict
        For a record with the id of another turn, one of another dialogue or time: `keep` that turn
        and quarantine the record, `replace` it, or `refuse`, which stores nothing and raises
        `IngestError`. Conflicts that were not refused are a warning.
    ahead_hours
        Turns later than now by more than this, or before 2000, have impossible dates: they are
        stored, but in no figure.
    mapping
        The mapping file (.toml) of tables, CSV or Parquet; the format is then `table`.
    idle_minutes
        Minutes after which a device's next request begins a new dialogue, where a log has none.
    assistant
        The name of the assistant, in place of what another system's log says.

    Returns one row per file: `file`, `turns`, `replaced`, `unchanged`, `quarantined`, `conflicts`,
    `interim` (results that came after the final one, and did not replace it), `misdated`,
    `seconds`, and `error`, why nothing of it was ingested. Raises `IngestError` if that is true of
    every file.
    """
    from data.ingest.adapters.adapter import Settings
    from data.ingest.adapters.registry import NAMES, named
    from data.ingest.ingest import ingest as run
    from data.ingest.sources import discover
    from data.ingest.versions import conflict_words

    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if mapping is not None:
        if format not in (None, "table"):
            raise UsageError(
                f"A mapping is for tables, not for the format {format}; leave out one of the two."
            )
        format = "table"
    if not 0 < idle_minutes < float("inf"):
        raise UsageError(f"idle_minutes is {idle_minutes}; give a number of minutes above 0.")
    settings = Settings(idle_minutes, assistant, Path(mapping) if mapping is not None else None)
    # A mistyped path must not leave an empty store behind.
    discover(paths, format, assistant=assistant)
    if format in NAMES:
        named(format, settings)
    target = store if isinstance(store, Store) else Store.ensure(_path(store))
    columns = ["file", "turns", "replaced", "unchanged", "quarantined", "conflicts", "interim",
               "misdated", "seconds", "error"]  # fmt: skip
    report = run(
        target,
        paths,
        format,
        on_conflict=on_conflict,
        ahead_hours=ahead_hours,
        settings=settings,
    )
    if report.conflicts:
        warnings.warn(
            f"{conflict_words(report.conflicts, str(report.conflicts))} (on_conflict="
            f"'{on_conflict}').",
            stacklevel=2,
        )
    rows = [[getattr(file, name) for name in columns] for file in report.files]
    return pd.DataFrame(rows, columns=columns)


def train(
    *,
    store: StoreLike = None,
    context: str = "hindsight",
    seed: int = 0,
    encoder: str | None = None,
    without: Sequence[str] = (),
    devices_within: float = 1.5,
    labels: str = "auto",
    judge: str | None = None,
    warm_start: bool = False,
    promote: bool = True,
) -> Trained:
    """Train a model on the labelled turns, and promote it.

    Turns that begin at most `devices_within` seconds apart may be one request that several devices
    heard. `labels`: ``auto`` (gold, and derived labels while there is little), ``gold``,
    ``generated``, ``both``, or ``behaviour``, which needs no annotation. `judge`: an outside judge
    whose verdicts are learned from where there is no gold. `warm_start`: pool fewer than 500 labels
    with packaged turns of simulated assistants, where that helps.

    Raises `NotEnoughLabels` where too few turns are labelled.
    """
    from classifiers.settings import Settings
    from classifiers.train import train_store
    from data.store.model_folders import GOLD

    settings = Settings.of(
        context, seed, encoder, without, devices_within, labels, warm_start, judge=judge
    )
    model = train_store(open(store), settings, promote=promote)
    checked = bool(model.metrics["against"] == GOLD)
    figures = model.metrics["out_of_fold"]
    quality = _promised(figures, model.metrics) if checked else _quality(figures)
    return Trained(model.id, quality, checked)


def score(
    *,
    store: StoreLike = None,
    model: str | None = None,
    everything: bool = False,
    workers: int | None = None,
) -> ScoreReport:
    """Score the turns that are new, changed, or whose dialogue has grown; `everything`: all turns.

    Without a model, one is trained first, if need be on labels derived from signs and from what
    users did; a warning of the logger ``faultline`` says on which. Raises `ModelError` where there
    is no model of that name, `NotEnoughLabels` where none can be trained.
    """
    from classifiers.first_model import train_first
    from classifiers.scoring.score import score as run

    opened = open(store)
    if model is None and (first := train_first(opened)) is not None:
        logging.getLogger("faultline").warning(first.sentence)
    return run(opened, model, everything=everything, workers=workers)


def evaluate(
    *,
    store: StoreLike = None,
    context: str = "hindsight",
    seed: int = 0,
    folds: int = 5,
    encoder: str | None = None,
    without: Sequence[str] = (),
    devices_within: float = 1.5,
    forward: bool = True,
) -> Quality:
    """Cross-validate on the labelled turns, split by dialogue (or repeated sentence); `forward`:
    also learn from the first part of the period and test on the rest.
    """
    from classifiers.evaluation.cross_validation import evaluate as run
    from classifiers.settings import Settings
    from classifiers.training_data import training_turns
    from data.queries.annotations import latest

    settings = Settings.of(context, seed, encoder, without, devices_within)
    with open(store).snapshot() as snapshot:
        turns = training_turns(snapshot, seed, within=settings.devices_within)
        judged = latest(snapshot)
    result = run(turns, settings, folds, forward=forward, annotations=judged)
    return _promised(result, result)


def rates(
    *,
    store: StoreLike = None,
    by: str | None = None,
    at: str | None = None,
    model: str | None = None,
    **filters: str | Sequence[str],
) -> pd.DataFrame:
    """The share of turns that fail, with 95 % intervals: the same estimate as on the Overview.

    Parameters
    ----------
    by
        `day`, or a filter with alternatives: `assistant`, `locale`, `device`, `domain`, `intent`,
        `version`. By default all turns together.
    model
        The promoted one by default.
    filters
        As in the dashboard's address: `rates(device="phone", since="2024-05-01")`; several values
        are alternatives. Raises `UsageError` for others.

    Returns
    -------
    A row per failure point (and `defect`, any of them), within each value of `by`: `share`, `low`,
    `high`, `turns`, `labelled` (annotated turns among them) and `method`, which says whether
    annotations were used.
    """
    from analysis.rates import RATES, by_group
    from data.queries import overview
    from data.queries.filters import COLUMNS, KEYS, Filter
    from data.queries.ground_truth import sampled

    unknown = sorted(set(filters) - set(KEYS))
    if unknown:
        raise UsageError(f"There is no filter {', '.join(unknown)}; there are: {', '.join(KEYS)}.")
    values = ("day", *COLUMNS, "version")
    if by is not None and by not in values:
        raise UsageError(f"Rates by '{by}' are not possible; give one of {', '.join(values)}.")
    chosen = Filter.from_query(filters)
    with open(store).snapshot(at) as snapshot:
        scorer = _scorer(snapshot, model)
        days = ("day",) if by == "day" else ()

        def estimates(wanted: Filter) -> list[dict[str, Any]]:
            sums = overview.sums(snapshot, scorer, wanted)
            annotated = sampled(snapshot, scorer, wanted)
            rows: list[dict[str, Any]] = by_group(sums, annotated, days).to_pylist()
            return rows

        if by in (None, "day"):
            groups = [({"day": row["day"]} if days else {}, row) for row in estimates(chosen)]
        else:
            groups = [
                ({by: value}, row)
                for value in overview.options(snapshot, scorer)[by]
                if not getattr(chosen, by) or value in getattr(chosen, by)
                for row in estimates(Filter.from_query({**filters, by: value}))
            ]
    rows = [
        {
            **group,
            "failure_point": name,
            **{part: row[f"{key}_{name}"] for part, key in _PARTS.items()},
            **{key: row[key] for key in ("turns", "labelled", "method")},
        }
        for group, row in groups
        if row["turns"]
        for name in RATES
    ]
    return pd.DataFrame(
        rows,
        columns=[*([by] if by else []), "failure_point", *_PARTS, "turns", "labelled", "method"],
    )


_PARTS = {"share": "value", "low": "low", "high": "high"}


def explain(
    turn_id: str, *, store: StoreLike = None, at: str | None = None, model: str | None = None
) -> Explanation:
    """What the model says of one turn, and why, as on the page Turn.

    Raises `UsageError` where there is no such turn, `ModelError` where it has not been scored.
    """
    from data.queries import turns
    from data.schema.tables import EVIDENCE
    from data.schema.trace import FAILURE_POINTS
    from features import catalogue

    with open(store).snapshot(at) as snapshot:
        scorer = _scorer(snapshot, model)
        row = turns.turn(snapshot, turn_id)
        if row is None:
            raise UsageError(
                f"There is no turn '{turn_id}' in version {snapshot.version}; give a turn_id of "
                "the table turns."
            )
        prediction = turns.prediction(snapshot, row, scorer)
        checked = snapshot.learned_from_people(scorer)
        if prediction is None:
            raise ModelError(
                f"The model {scorer} has not scored the turn '{turn_id}'; run 'faultline score'."
            )
    reasons = [
        {"feature": reason["feature"], "meaning": catalogue.sentence(reason["feature"]), **reason}
        for reason in prediction["reasons"] or []
    ]
    columns = ["feature", "meaning", "stage", "value", "contribution"]
    table = pd.DataFrame(reasons, columns=columns)
    return Explanation(
        turn_id,
        scorer,
        prediction["failure_point"],
        pd.Series({name: prediction[f"p_{name}"] for name in FAILURE_POINTS}, name="probability"),
        pd.Series({name: prediction[f"evidence_{name}"] for name in EVIDENCE}, name="evidence"),
        table.sort_values("contribution", key=abs, ascending=False, ignore_index=True),
        checked,
    )


def export(
    table: str,
    to: str | Path,
    *,
    store: StoreLike = None,
    where: str | None = None,
    at: str | None = None,
) -> int:
    """Write a table of the store to a file (.parquet, .csv, .jsonl); returns the number of rows.

    `where` is a SQL condition on the table's columns.
    """
    from data.export.export import export as run

    with open(store).snapshot(at) as snapshot:
        return run(snapshot, table, to, where)


def info(*, store: StoreLike = None) -> pd.Series[Any]:
    """What a store holds: version, promoted model, rows per table, span of time, size."""
    from data.store.summary import describe

    target = open(store)
    return pd.Series({**describe(target), "models": target.model_ids()}, dtype=object)


def _path(store: str | Path | None) -> str | Path:
    return store if store is not None else os.environ.get("FAULTLINE_STORE", "store")


def _scorer(snapshot: Snapshot, model: str | None) -> str:
    """The model asked for, else the promoted one, else the one that has scored the most turns."""
    from data.queries.overview import models

    scorers = models(snapshot)
    if not scorers:
        raise ModelError(
            f"No turn of version {snapshot.version} has been scored; run 'faultline train' if "
            "there is no model, then 'faultline score'."
        )
    if model is None:
        return snapshot.model if snapshot.model in scorers else scorers[0]
    if model not in scorers:
        raise UsageError(
            f"No turn was scored by the model '{model}' in version {snapshot.version}; there is "
            f"{', '.join(scorers)}."
        )
    return model


def _promised(figures: Mapping[str, Any], about: Mapping[str, Any]) -> Quality:
    """`_quality`, with what `about` (an evaluation, or a model's metrics) says of later logs."""
    from classifiers.evaluation.words import UNEXPECTED, bursts, expected

    later, headline = about["forward"], about["headline"]
    return replace(
        _quality(figures),
        later=_quality(later) if "macro_f1" in later else None,
        expected=expected(headline, figures["macro_f1"], later) if headline else UNEXPECTED,
        warnings=tuple(bursts(about["concentration"])),
    )


def _quality(figures: Mapping[str, Any]) -> Quality:
    """Of the figures of `classifiers.metrics.summary`."""
    classes = figures["classes"]
    table = pd.DataFrame.from_dict(classes, orient="index").rename(columns={"support": "turns"})
    columns = ["turns", "precision", "recall", "f1", "calibration_error"]
    names = list(classes)
    interval = figures.get("intervals", {}).get("macro_f1")
    return Quality(
        figures["macro_f1"],
        figures["accuracy"],
        tuple(interval) if interval else None,
        table[columns].rename_axis("failure_point"),
        pd.DataFrame(
            figures["confusion"],
            index=pd.Index(names, name="truth"),
            columns=pd.Index(names, name="verdict"),
        ),
    )
