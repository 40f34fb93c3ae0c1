"""Training: labelled turns → `Model`."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers import booster, registry
from classifiers import encoder as encoders
from classifiers.calibration import Calibration
from classifiers.encoder import Encoder
from classifiers.model import Model, read_frame, stack
from classifiers.out_of_fold import HeldOut
from classifiers.reference_values import Reference
from classifiers.settings import Labels, Settings
from classifiers.shap_sample import SAMPLE, explain
from classifiers.splits import Fold, Forward, begins, folds, forward, groups
from classifiers.starter.labels import LEAST_TURNS, columns_of, derive
from classifiers.starter.pooling import FADED, MIN_POOLED, Pool, pool_of
from classifiers.text_heads import TextHeads, Vectors
from classifiers.training_data import MAX_LABELLED, MAX_UNLABELLED, training_turns
from classifiers.training_figures import OutOfFoldScores
from classifiers.witness.utterances import Utterances
from classifiers.witness.witness import Witness
from data.counted import counted
from data.errors import NotEnoughLabels
from data.queries.annotations import DASHBOARD
from data.queries.judges import judge_labels
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FIRST_ANNOTATIONS
from data.store.model_folders import LEVEL_ASSUMED, LEVEL_KNOWN
from data.store.store import Store
from features.catalogue import feature
from features.categories import Vocabulary
from features.matrix import learn, open_frame
from labels.feedback.table import feedback
from labels.rules.failure_point import MIN_PER_CLASS, labels
from progress import Progress, portion, silent

_GENERATED = """
SELECT turn_id, failure_point, p_failure_point AS weight FROM generated_labels
WHERE failure_point IS NOT NULL
"""
# Of a failure point, for a model of the gold alone to name derived defects so.
_MIN_NAMED = 5
# Turns that derived labels count together at least: with less, trees hardly split.
_LEAST_COUNT = 25
# Labels of people below which derived ones are learned from as well, unless asked otherwise.
FEW_GOLD = 500
# What generated labels may count, as a share of how sure they are.
_COUNTS = (0.0, 0.2, 1.0)
# Probability of a failure point that a model cannot name.
_UNSAID = 0.01
# The fit's portion of a training's progress; features come before it, explanations after.
_FITTING = (0.2, 0.8)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Features, encoded texts and labels of all n turns that a model may learn from.

    Attributes
    ----------
    ids: turn ids. vocabulary: values of the categorical features.
    logged: logged feature columns, n rows each.
    vectors: encoded texts of the n turns, or None without text features.
    target: failure point per turn, None where there is no label.
    gold_intents: intent that an annotator gave, or None.
    gold_slots: slot names that an annotator gave, or null.
    group: number of the turn's group, which folds must not split; see `classifiers.splits.groups`.
    digests: fingerprint of what each verdict rests on, if known; see `classifiers.context_digest`.
    sure: probability that each target is right, or None where all are gold.
    chosen: whether a turn has gold of the page Annotate, whose queue prefers turns that may fail:
        the share of defects among these says nothing of all turns. None where no turn has.
    utterances: what the witness reads of the n turns, or None without text features.
    about: what derived labels rest on; see `classifiers.starter.labels.Derived`.
    began: when each turn's dialogue began; see `classifiers.splits.begins`.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    logged: dict[str, np.ndarray]
    vectors: Vectors | None
    target: np.ndarray
    gold_intents: np.ndarray
    gold_slots: pa.ListArray[Any]
    group: np.ndarray
    digests: np.ndarray | None = None
    sure: np.ndarray | None = None
    about: dict[str, Any] | None = None
    chosen: np.ndarray | None = None
    began: np.ndarray | None = None
    utterances: Utterances | None = None

    def take(self, rows: np.ndarray) -> TrainingSet:
        """The turns with these row numbers."""
        return TrainingSet(
            self.ids[rows],
            self.vocabulary,
            {name: values[rows] for name, values in self.logged.items()},
            self.vectors.take(rows) if self.vectors else None,
            self.target[rows],
            self.gold_intents[rows],
            self.gold_slots.take(pa.array(rows)),
            self.group[rows],
            self.digests[rows] if self.digests is not None else None,
            self.sure[rows] if self.sure is not None else None,
            self.about,
            self.chosen[rows] if self.chosen is not None else None,
            self.began[rows] if self.began is not None else None,
            self.utterances.take(rows) if self.utterances else None,
        )

    def only_gold_of(self, rows: np.ndarray) -> TrainingSet:
        """All the turns, as if only those with these row numbers were annotated: failure points,
        intents, slots and transcripts of the others are hidden from whatever learns."""
        kept = np.isin(np.arange(len(self.ids)), rows)
        target, intents = self.target.copy(), self.gold_intents.copy()
        target[~kept], intents[~kept] = None, None
        return replace(
            self,
            target=target,
            gold_intents=intents,
            gold_slots=pc.if_else(pa.array(kept), self.gold_slots, None),
            utterances=self.utterances.only_gold_of(kept) if self.utterances else None,
        )


@dataclass(frozen=True, slots=True)
class Read:
    """What is read of n turns (sorted by id) before there are labels.

    Attributes
    ----------
    logged, vectors: of the features in hindsight. texts: normalised words heard, or None.
    source: a number per turn of the assistant that logged it. gold: failure point or None.
    """

    logged: dict[str, np.ndarray]
    vectors: Vectors | None
    texts: list[str | None]
    source: np.ndarray
    gold: np.ndarray


def prepare(
    turns: pa.Table,
    settings: Settings,
    folder: Path,
    generated: pa.Table | None = None,
) -> tuple[TrainingSet, Encoder | None]:
    """Everything that training and evaluation need from `turns` (whole dialogues).

    `generated`: for `settings.labels` other than gold. Failure points with ``turn_id``,
    ``failure_point`` and ``weight``, the probability that it is right; for behaviour, ``turn_id``
    and ``p_defect`` by feedback. The encoder that `settings` name is exported to `folder`; it is
    None for a model without text. Raises `NotEnoughLabels` before any slow step where it can, as
    most new users get this error first.
    """
    turns = turns.sort_by("turn_id")
    derives = settings.labels == "behaviour"
    target: np.ndarray
    sure: np.ndarray | None = None
    if derives:
        _check_turns(turns)
    else:
        target, sure = _targets(turns, settings.labels, generated)
        check_labels(target, _least(settings, target, MIN_PER_CLASS))
    encoder = None
    if "text" not in settings.without:
        encoders.export(settings.encoder, folder)
        encoder = Encoder(folder)
    gold = turns["gold"].combine_chunks()
    digests = turns["context_digest"] if "context_digest" in turns.column_names else None
    with open_frame(turns, settings.context, settings.devices_within) as con:
        vocabulary = learn(con, settings.context)
        ids, logged, vectors = read_frame(con, vocabulary, settings, encoder)
        texts = _heard(con)
        utterances = Utterances.read(con, gold) if vectors else None
    about = None
    if derives:
        read = Read(logged, vectors, texts, _sources(turns), _gold_of(turns))
        if settings.context != "hindsight":
            # What labels rest on may lie after the turn; only the model must not read it.
            read = _read(turns, settings, encoder)
        target, sure, about = _derived(read, ids, generated, settings.seed)
        check_labels(target)
    logged = {
        name: values for name, values in logged.items() if not _left_out(name, settings.without)
    }
    slots: Any = pc.struct_field(gold, "slots")
    group = groups(turns)
    if utterances:
        # Recordings of one sentence in different parts would tell each other's frames.
        utterances = utterances.together(group, target != None)  # noqa: E711  # element-wise
    data = TrainingSet(
        ids.to_numpy(),
        vocabulary,
        logged,
        vectors,
        target,
        np.array(pc.struct_field(gold, "intent").to_pylist(), object),
        slot_names(slots),
        group,
        digests.to_numpy() if digests is not None else None,
        sure,
        about,
        # Which order of the page a turn was annotated in is not kept.
        np.array([name == DASHBOARD for name in pc.struct_field(gold, "annotator").to_pylist()]),
        begins(turns),
        utterances,
    )
    return data, encoder


def read_store(store: Store, settings: Settings, folder: Path) -> Read:
    """What labels are derived from, of a sample of a store; the encoder is exported to `folder`."""
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, settings.seed, within=settings.devices_within)
    encoders.export(settings.encoder, folder)
    return _read(turns.sort_by("turn_id"), settings, Encoder(folder))


def _read(turns: pa.Table, settings: Settings, encoder: Encoder | None) -> Read:
    settings = replace(settings, context="hindsight")
    with open_frame(turns, "hindsight", settings.devices_within) as con:
        _, logged, vectors = read_frame(con, learn(con, "hindsight"), settings, encoder)
        return Read(logged, vectors, _heard(con), _sources(turns), _gold_of(turns))


def _heard(con: duckdb.DuckDBPyConnection) -> list[str | None]:
    rows = con.sql("SELECT text FROM frame ORDER BY turn_id").to_arrow_table()
    texts: list[str | None] = rows["text"].to_pylist()
    return texts


def _sources(turns: pa.Table) -> np.ndarray:
    names = np.array([name or "" for name in turns["assistant"].to_pylist()])
    number: np.ndarray = np.unique(names, return_inverse=True)[1]
    return number


def _gold_of(turns: pa.Table) -> np.ndarray:
    return np.array(labels(turns).sort_by("turn_id")["failure_point"].to_pylist(), object)


def _check_turns(turns: pa.Table) -> None:
    if turns.num_rows < LEAST_TURNS:
        raise NotEnoughLabels(
            f"{counted(turns.num_rows, 'turn')} in the store: too few to train on without "
            f"annotations, which takes {LEAST_TURNS}; ingest more."
        )


def _derived(
    read: Read, ids: Any, told: pa.Table | None, seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Target, how sure it is, and what it rests on; gold decides where there is some."""
    p = np.full(len(ids), np.nan)
    if told is not None and told.num_rows:
        place = pc.index_in(ids.combine_chunks(), value_set=told["turn_id"].combine_chunks())
        p = told["p_defect"].take(place).to_numpy().astype(np.float64)
    columns = columns_of(read.logged, read.texts, read.vectors, seed)
    found = derive(columns, read.source, p, MIN_PER_CLASS)
    target, sure = found.failure_point.astype(object), found.sure.clip(0.0, 0.999)
    known = read.gold != None  # noqa: E711  # element-wise
    target[known], sure[known] = read.gold[known], 1.0
    return target, sure, {**found.about, "gold": int(known.sum()), "turns": len(target)}


def _targets(
    turns: pa.Table, kind: Labels, generated: pa.Table | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The failure point of each of `turns` (sorted by id) or None, and how sure it is."""
    gold = _gold_of(turns)
    if kind == "gold":
        return gold, None
    if generated is None or not generated.num_rows:
        raise NotEnoughLabels(
            f"There are no generated failure points to train on, which --labels {kind} asks for. "
            "They are made by 'faultline labels train', then 'faultline labels generate', from "
            "what the label model knows of defects and of what was meant; where it knows neither, "
            "there are none. Give it feedback or gold of defects or of intents and slots, or train "
            "with --labels gold."
        )
    columns = (generated[name].to_pylist() for name in ("turn_id", "failure_point", "weight"))
    found = {turn: (point, weight) for turn, point, weight in zip(*columns, strict=True) if point}
    said = [found.get(turn, (None, 0.0)) for turn in turns["turn_id"].to_pylist()]
    target = np.array([point for point, _ in said], object)
    # Only gold is certain.
    sure = np.array([weight for _, weight in said], float).clip(0.0, 0.999)
    if kind == "both":
        known = gold != None  # noqa: E711  # element-wise
        target[known], sure[known] = gold[known], 1.0
    return target, sure


def slot_names(slots: pa.ListArray[Any]) -> pa.ListArray[Any]:
    """Names of the slots in each list; null where the list is null."""
    return pa.ListArray.from_arrays(
        slots.offsets, pc.struct_field(slots.values, "name"), mask=pc.is_null(slots)
    )


def _left_out(name: str, without: tuple[str, ...]) -> bool:
    return feature(name).when in without or ("capture" in without and ".capture_" in name)


def check_labels(target: np.ndarray, minimum: int = MIN_PER_CLASS) -> tuple[str, ...]:
    """The classes with at least `minimum` labels; `NotEnoughLabels` if there are fewer than two."""
    counts = {name: int((target == name).sum()) for name in FAILURE_POINTS}
    present = tuple(name for name, n in counts.items() if n >= minimum)
    if len(present) < 2:
        if sum(map(bool, counts.values())) == 1:
            ((name, n),) = ((name, n) for name, n in counts.items() if n)
            raise NotEnoughLabels(
                f"Training needs a second kind of turn: all {n} labelled turns are called "
                f"{name}; annotate turns that are not, at least {minimum} of each kind."
            )
        per_class = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none"
        raise NotEnoughLabels(
            f"Training needs at least two failure points with {minimum} labelled turns each; "
            f"found {per_class}. Ingest traces with gold fields, or annotate more turns; without "
            "annotations, 'faultline score' trains a first model, as 'faultline train --labels "
            "behaviour' does."
        )
    return present


def _least(settings: Settings, target: np.ndarray, minimum: int) -> int:
    """Labels that a failure point needs to be learned: fewer where pooled turns show more of it."""
    pools = settings.warm_start and settings.labels == "gold"
    few = int((target != None).sum()) < FADED  # noqa: E711  # element-wise
    return min(minimum, MIN_POOLED) if pools and few else minimum


def only_learnable(
    data: TrainingSet, minimum: int = MIN_PER_CLASS
) -> tuple[TrainingSet, tuple[str, ...]]:
    """`data` without the labels of classes that are too rare to learn, and the remaining classes.

    Raises `NotEnoughLabels` if fewer than two remain.
    """
    classes = check_labels(data.target, minimum)
    return replace(data, target=_only(data.target, classes)), classes


def _only(target: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    kept = target.copy()
    kept[~np.isin(target.astype(str), classes)] = None
    return kept


def fit(
    data: TrainingSet,
    settings: Settings,
    encoder: Encoder | None,
    progress: Progress = silent,
    minimum: int = MIN_PER_CLASS,
    figures: bool = False,
) -> Model:
    """Fit a model to the labelled turns of `data`; the heads of usual intents and
    slots learn from all turns. `figures`: also work out how good it is, which takes time.

    Where there is gold beside generated labels, how much these count is what predicts the gold
    best out of fold, from nothing to as much as they are sure.

    Raises `NotEnoughLabels` if fewer than two classes have `minimum` labels, or one group has all.
    """
    tried: list[tuple[float, int, Model]] = []
    witness = None
    if data.utterances and not {"text", "witness"} & set(settings.without):
        progress(0, 1, "fitting the witness")
        # It learns nothing from failure points: once for all fits.
        witness = Witness.fit(data.utterances, settings.without)
        data = replace(data, logged=data.logged | witness.columns(data.utterances))
    given = [_warm(data)] if settings.labels == "behaviour" else _counting(data)
    for i, (part, counts) in enumerate(given):
        try:
            model, loss = _fit(
                part,
                settings,
                encoder,
                portion(progress, i / len(given), (i + 1) / len(given)),
                minimum,
                figures,
            )
        except NotEnoughLabels:
            if i + 1 == len(given) and not tried:
                raise
            continue
        model.metrics["generated_count"] = counts
        model.witness = witness
        tried.append((loss, i, model))
    return min(tried, key=lambda one: one[:2])[2]


def _warm(data: TrainingSet) -> tuple[TrainingSet, float]:
    """`data` with derived labels that together count as much as gold, if there is any gold, and as
    much as `_LEAST_COUNT` turns. Measured in `benchmarks.cold_start`."""
    assert data.sure is not None
    labelled = data.target != None  # noqa: E711  # element-wise
    gold = labelled & (data.sure >= 1.0)
    if not gold.any():
        return data, 1.0
    count = min(1.0, max(gold.sum(), _LEAST_COUNT) / max((labelled & ~gold).sum(), 1))
    return replace(data, sure=np.where(gold, 1.0, data.sure * count)), float(count)


def _named(
    data: TrainingSet, settings: Settings, encoder: Encoder | None, rows: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """The target of `data` with stages of derived defects by a model of the gold (of `rows`) alone,
    and what pooled turns counted in that model.

    A derived label is worth something for whether a turn was a defect, and little for which. As it
    is where there is too little gold for a model, or none beside derived labels.
    """
    if settings.labels != "behaviour" or data.sure is None:
        return data.target, 0.0
    labelled = data.target != None  # noqa: E711  # element-wise
    gold = labelled & (data.sure >= 1.0)
    rename = np.flatnonzero(labelled & ~gold & (data.target != "correct"))
    alone = np.full(len(data.target), None, object)
    known = np.flatnonzero(gold) if rows is None else rows[gold[rows]]
    alone[known] = data.target[known]
    if not len(known) or not len(rename):
        return data.target, 0.0
    try:
        model, _ = _fit(
            replace(data, target=alone, sure=None), settings, encoder, silent, _MIN_NAMED
        )
    except NotEnoughLabels:
        return data.target, 0.0
    stages = [i for i, name in enumerate(model.classes) if name != "correct"]
    names = np.array([model.classes[i] for i in stages], object)
    target = data.target.copy()
    target[rename] = names[rescore(model, data.take(rename))[:, stages].argmax(axis=1)]
    return target, model.metrics["pooled"]


def _counting(data: TrainingSet) -> list[tuple[TrainingSet, float]]:
    """`data` with generated labels that count for nothing, a little, as much as they are sure."""
    if data.sure is None:
        return [(data, 0.0)]
    labelled = data.target != None  # noqa: E711  # element-wise
    gold = labelled & (data.sure >= 1.0)
    if not FIRST_ANNOTATIONS <= gold.sum() < labelled.sum():
        return [(data, 1.0)]
    alone = data.target.copy()
    alone[~gold] = None
    return [(replace(data, target=alone, sure=None), 0.0)] + [
        (replace(data, sure=np.where(gold, 1.0, data.sure * share)), share) for share in _COUNTS[1:]
    ]


def _fit(
    data: TrainingSet,
    settings: Settings,
    encoder: Encoder | None,
    progress: Progress,
    minimum: int,
    figures: bool = False,
) -> tuple[Model, float]:
    """`fit` with labels as they are; also the log loss out of fold, on gold where there is any."""
    judged = data.target != None  # noqa: E711  # element-wise
    if data.sure is not None:
        judged &= data.sure >= 1.0
    given, asked = data, minimum
    minimum = _least(settings, data.target, minimum)
    target, named_by = _named(data, settings, encoder)
    data, classes = only_learnable(replace(data, target=target), minimum)
    target = data.target
    split = folds(target, data.group, settings.folds, settings.seed)
    # Names from held-out gold would tell the models that are tested on it.
    within = [_only(_named(given, settings, encoder, rows)[0], classes) for rows, _ in split]
    table = dict(data.logged)
    heads = None
    if data.vectors and data.utterances and "text" not in settings.without:
        progress(0, 3, "fitting text heads")
        part = data.utterances.part
        heads, held_out = TextHeads.fit(
            data.vectors, target, data.gold_intents, data.gold_slots, split, part, within
        )
        table |= {
            name: values
            for name, values in zip(heads.columns, held_out.T, strict=True)
            if not _left_out(name, settings.without)
        }
    names = tuple(name for name, values in table.items() if _informative(values))
    labelled = np.flatnonzero(target != None)  # noqa: E711  # element-wise
    number = {name: i for i, name in enumerate(classes)}
    y = np.array([number[t] for t in target[labelled]])
    x = stack({name: values[labelled] for name, values in table.items()}, names)
    progress(1, 3, "boosting out of fold")
    sure = data.sure[labelled] if data.sure is not None else None
    within_labelled = _restrict(split, labelled)
    # Derived labels already say which turns failed; what they lack is the stage, and the model that
    # names it is one of gold alone.
    raw, rounds, pool = _cross_fit(
        x,
        y,
        within_labelled,
        settings,
        sure,
        [np.array([number.get(t, -1) for t in named[labelled]]) for named in within],
        pool_of(table, names, classes, len(y)) if settings.warm_start and sure is None else None,
    )
    if pool is None and minimum < asked:
        # So few of a failure point are learned from beside pooled turns only.
        model, loss = _fit(
            given, replace(settings, warm_start=False), encoder, progress, asked, figures
        )
        model.settings = settings
        return model, loss
    trusted = _trusted(y, sure)
    drawn, level = _level(data.take(labelled), classes)
    scores = OutOfFoldScores(
        raw, y, data.group[labelled], classes, trusted, drawn, level, settings.seed
    )
    calibration, weights = scores.decision()
    probability = calibration.apply(raw)
    progress(2, 3, "boosting on all labelled turns")
    final = booster.fit(x, y, rounds, settings, sure, pool)
    metrics = {
        "labelled": len(labelled),
        "turns": len(target),
        "groups": len(np.unique(data.group[labelled])),
        "rounds": rounds,
        # What the figures are against: gold, or generated labels where there is too little of it.
        "against": "gold" if sure is None or (sure[trusted] >= 1.0).all() else _unchecked(settings),
        # Whether people's verdicts say how many turns fail, or this is an assumption.
        "level": LEVEL_KNOWN
        if sure is None or (sure[trusted if level is None else drawn] >= 1.0).all()
        else LEVEL_ASSUMED,
        # Labels of people among those learned from.
        "gold": len(labelled) if sure is None else int((sure >= 1.0).sum()),
        **({"derived": data.about} if data.about else {}),
        # Own turns that pooled ones of simulated assistants counted as much as, here or where the
        # stages of derived labels were named.
        "pooled": pool.count if pool else named_by,
    }
    crossed = None
    if figures:
        crossed = scores.cross_fitted(within_labelled)

        def later(early: np.ndarray, late: np.ndarray) -> np.ndarray:
            earlier = booster.fit(x[early], y[early], rounds, settings, pool=pool)
            return np.asarray(earlier.predict(x[late]))

        ahead = _later(data, labelled)
        good = scores.figures(
            crossed, ahead if isinstance(ahead, str) else (ahead.early, ahead.late), later
        )
        metrics |= good
        if not isinstance(ahead, str):
            metrics["forward"] = {**good["forward"], "undated": ahead.undated}
        if metrics["level"] == LEVEL_ASSUMED:
            # Turns judged that represent no others promise nothing of later logs.
            metrics["headline"] = None
    hit = np.full(len(target), _UNSAID)
    hit[labelled] = probability[np.arange(len(y)), y]
    loss = float(-np.log(hit[judged].clip(_UNSAID, 1)).mean()) if judged.any() else 0.0
    model = Model(
        settings,
        classes,
        names,
        data.vocabulary,
        heads,
        encoder if heads else None,
        final,
        calibration,
        weights,
        metrics,
        held_out=HeldOut(
            pa.array(data.ids[labelled]),
            data.digests[labelled],
            probability,
            data.utterances.part[labelled] if data.utterances else None,
            crossed,
        )
        if data.digests is not None
        else None,
        reference=Reference.fit(x[target[labelled] == "correct"], names),
    )
    return model, loss


def _later(data: TrainingSet, labelled: np.ndarray) -> Forward | str:
    """The forward split, as row numbers of the labelled turns, or why there is none."""
    if data.sure is not None:
        return "not all labels are of people"
    if data.began is None:
        return "nothing is known of when the turns were"
    split = forward(data.began, data.group, data.target, MIN_PER_CLASS)
    if isinstance(split, str):
        return split
    early, late = _restrict([(split.early, split.late)], labelled)[0]
    return replace(split, early=early, late=late)


def _cross_fit(
    x: np.ndarray,
    y: np.ndarray,
    split: list[Fold],
    settings: Settings,
    sure: np.ndarray | None,
    within: list[np.ndarray],
    pool: Pool | None,
) -> tuple[np.ndarray, int, Pool | None]:
    """`booster.cross_fit` with `pool` where that foretells the held-out turns better, else without;
    and which."""
    alone = booster.cross_fit(x, y, split, settings, sure, within)
    if pool is None:
        return *alone, None
    pooled = booster.cross_fit(x, y, split, settings, sure, within, pool)

    def loss(raw: np.ndarray) -> float:
        hit = Calibration.fit(raw, y).apply(raw)[np.arange(len(y)), y]
        return float(-np.log(hit.clip(_UNSAID, 1)).mean())

    return (*pooled, pool) if loss(pooled[0]) < loss(alone[0]) else (*alone, None)


def _unchecked(settings: Settings) -> str:
    if settings.judge:
        return "judge"
    return "behaviour" if settings.labels == "behaviour" else "generated"


def _trusted(target: np.ndarray, sure: np.ndarray | None) -> np.ndarray:
    """The rows that calibration and decisions are fitted to: gold, where there is enough."""
    if sure is None:
        return np.ones(len(target), bool)
    gold: np.ndarray = sure >= 1.0
    return gold if gold.sum() >= FIRST_ANNOTATIONS else np.ones(len(target), bool)


def _level(data: TrainingSet, classes: tuple[str, ...]) -> tuple[np.ndarray, float | None]:
    """Labelled turns that represent all, and the share of defects that they shall have; None to
    leave it as calibration finds it.

    Verdicts that the queue chose must not decide how many turns fail: it is the share in the logs'
    own gold where there is enough, else what was assumed when labels were derived.
    """
    everything = np.ones(len(data.target), bool)
    if data.sure is None:
        return everything, None
    gold = data.sure >= 1.0
    chosen = gold & data.chosen if data.chosen is not None else np.zeros(len(gold), bool)
    drawn = gold & ~chosen
    if drawn.sum() >= FIRST_ANNOTATIONS:
        share = float((data.target[drawn] != "correct").mean())
        return drawn, share if chosen.any() and 0 < share < 1 and "correct" in classes else None
    assumed = data.about["rate"] if data.about and chosen.any() and "correct" in classes else None
    return everything, assumed


def matrix(model: Model, data: TrainingSet) -> np.ndarray:
    """Feature matrix (n, number of columns) of turns prepared together with the training turns."""
    return stack(model.table(data.logged, data.vectors, data.utterances), model.columns)


def rescore(model: Model, data: TrainingSet) -> np.ndarray:
    """Calibrated probabilities (n, number of classes) of turns; see `matrix`."""
    return model.calibration.apply(np.asarray(model.booster.predict(matrix(model, data))))


def _informative(values: np.ndarray) -> bool:
    """Whether the values differ between turns: constant columns only cost time."""
    finite = values[~np.isnan(values)]
    return bool(len(finite) and (len(finite) < len(values) or finite.min() < finite.max()))


def _restrict(split: list[Fold], rows: np.ndarray) -> list[Fold]:
    """The same folds over the labelled turns only, renumbered."""
    position = np.full(int(max(rows.max(), *(r.max() for f in split for r in f))) + 1, -1)
    position[rows] = np.arange(len(rows))

    def renumber(part: np.ndarray) -> np.ndarray:
        numbers: np.ndarray = position[part]
        return numbers[numbers >= 0]

    return [(renumber(train), renumber(held_out)) for train, held_out in split]


def train(
    turns: pa.Table,
    settings: Settings,
    progress: Progress = silent,
    folder: Path | None = None,
    generated: pa.Table | None = None,
) -> tuple[Model, Path]:
    """Train on `turns`; returns the model and the folder with its encoder files.

    The folder is `folder`, or a new temporary one; the caller removes it. `generated`: see
    `prepare`. Labels "auto" are resolved as `train_store` does.

    If `turns` has a column `context_digest` (as `classifiers.training_data` returns it), the model
    keeps their out-of-fold probabilities for scoring. Raises `NotEnoughLabels` as `fit` does.
    """
    if settings.labels == "auto":
        settings = replace(settings, labels=_resolved(turns))
    folder = folder or Path(tempfile.mkdtemp(prefix="faultline-encoder-"))
    try:
        progress(0, 1, "reading features and texts")
        data, encoder = prepare(turns, settings, folder, generated)
        model = fit(data, settings, encoder, portion(progress, *_FITTING), figures=True)
        rows = np.random.default_rng(settings.seed).permutation(len(data.ids))[:SAMPLE]
        sample = data.take(rows)
        model.explained = explain(
            model, sample.ids, matrix(model, sample), portion(progress, _FITTING[1], 1)
        )
        return model, folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _resolved(turns: pa.Table) -> Labels:
    """What "auto" stands for on these turns; `NotEnoughLabels` if too few have gold."""
    target = _gold_of(turns)
    check_labels(target)
    few = int((target != None).sum()) < FEW_GOLD  # noqa: E711  # element-wise
    return "behaviour" if few and turns.num_rows >= LEAST_TURNS else "gold"


def train_store(
    store: Store, settings: Settings, *, promote: bool = True, progress: Progress = silent
) -> Model:
    """Train on the labelled turns of a store, save the model there, and promote it if wanted.

    With labels "auto": on gold alone from `FEW_GOLD` labels on, else also on derived labels.
    Raises `NotEnoughLabels` as `fit` does.
    """
    with store.snapshot() as snapshot:
        turns = training_turns(
            snapshot,
            settings.seed,
            labelled=MAX_UNLABELLED if settings.labels == "behaviour" else MAX_LABELLED,
            context=settings.context,
            within=settings.devices_within,
            judge=settings.judge,
        )
        if settings.labels == "auto":
            settings = replace(settings, labels=_resolved(turns))
        derives = settings.labels == "behaviour"
        generated: pa.Table | None = None
        if derives:
            # Before the slow step of reading what users did.
            _check_turns(turns)
            sampled = turns["turn_id"].combine_chunks()
            generated = feedback(snapshot, turns=sampled)[0].select(["turn_id", "p_defect"])
        elif settings.judge:
            generated = judge_labels(snapshot, settings.judge)
        elif settings.labels != "gold":
            generated = snapshot.query(_GENERATED)
    store.clear_staging()
    with store.staging() as folder:
        model, encoder_folder = train(turns, settings, progress, folder, generated)
        registry.save(model, encoder_folder, store.models)
    if promote:
        store.promote(model.id)
    return model
