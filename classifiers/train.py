"""Training: labelled turns → `Model`."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from classifiers import booster, label_weights, registry
from classifiers.calibration import Calibration
from classifiers.encoder import Encoder
from classifiers.model import Model, stack
from classifiers.out_of_fold import HeldOut
from classifiers.reference_values import Reference
from classifiers.settings import Settings
from classifiers.shap_sample import SAMPLE, explain
from classifiers.splits import Fold, Forward, folds, forward, restricted
from classifiers.starter.pooling import Pool, pool_of
from classifiers.text_heads import TextHeads
from classifiers.training_data import MAX_LABELLED, MAX_UNLABELLED, training_turns
from classifiers.training_figures import OutOfFoldScores
from classifiers.training_labels import least_labels, resolved, unchecked
from classifiers.training_set import TrainingSet, only, only_learnable, prepare
from classifiers.witness.witness import Witness
from data.errors import NotEnoughLabels
from data.store.model_folders import LEVEL_ASSUMED
from data.store.store import Store
from labels.rules.failure_point import MIN_PER_CLASS
from progress import Progress, portion, silent

# Of a failure point, for a model of the gold alone to name derived defects so.
_MIN_NAMED = 5
# Probability of a failure point that a model cannot name.
_UNSAID = 0.01
# The fit's portion of a training's progress; features come before it, explanations after.
_FITTING = (0.2, 0.8)


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
    given = label_weights.weightings(data, settings)
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
    gold = data.gold
    rename = np.flatnonzero(data.labelled & ~gold & (data.target != "correct"))
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


def _fit(
    data: TrainingSet,
    settings: Settings,
    encoder: Encoder | None,
    progress: Progress,
    minimum: int,
    figures: bool = False,
) -> tuple[Model, float]:
    """`fit` with labels as they are; also the log loss out of fold, on gold where there is any."""
    judged, given, asked = data.gold, data, minimum
    minimum = least_labels(settings, data.target, minimum)
    target, named_by = _named(data, settings, encoder)
    data, classes = only_learnable(replace(data, target=target), minimum)
    target = data.target
    split = folds(target, data.group, settings.folds, settings.seed)
    # Names from held-out gold would tell the models that are tested on it.
    within = [only(_named(given, settings, encoder, rows)[0], classes) for rows, _ in split]
    table, heads = _with_texts(data, settings, split, within, progress)
    names = tuple(name for name, values in table.items() if _informative(values))
    labelled = np.flatnonzero(data.labelled)
    number = {name: i for i, name in enumerate(classes)}
    y = np.array([number[t] for t in target[labelled]])
    x = stack({name: values[labelled] for name, values in table.items()}, names)
    progress(1, 3, "boosting out of fold")
    sure = data.sure[labelled] if data.sure is not None else None
    within_labelled = restricted(split, labelled)
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
    trusted = label_weights.trusted(data)
    drawn, level = label_weights.level(data, classes)
    scores = OutOfFoldScores(
        raw,
        y,
        data.group[labelled],
        classes,
        trusted[labelled],
        drawn[labelled],
        level,
        settings.seed,
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
        **label_weights.sources(data, settings, trusted, trusted if level is None else drawn),
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


def _with_texts(
    data: TrainingSet,
    settings: Settings,
    split: list[Fold],
    within: list[np.ndarray],
    progress: Progress,
) -> tuple[dict[str, np.ndarray], TextHeads | None]:
    """Columns of the n turns by name, those logged and what text heads say of turns that they did
    not learn from; and the heads, None without texts."""
    if not data.vectors or not data.utterances or "text" in settings.without:
        return data.logged, None
    progress(0, 3, "fitting text heads")
    heads, held_out = TextHeads.fit(
        data.vectors,
        data.target,
        data.gold_intents,
        data.gold_slots,
        split,
        data.utterances.part,
        within,
    )
    columns = zip(heads.columns, held_out.T, strict=True)
    kept = {name: values for name, values in columns if not settings.leaves_out(name)}
    return data.logged | kept, heads


def _later(data: TrainingSet, labelled: np.ndarray) -> Forward | str:
    """The forward split, as row numbers of the labelled turns, or why there is none."""
    if data.sure is not None:
        return "not all labels are of people"
    if data.began is None:
        return "nothing is known of when the turns were"
    split = forward(data.began, data.group, data.target, MIN_PER_CLASS)
    if isinstance(split, str):
        return split
    early, late = restricted([(split.early, split.late)], labelled)[0]
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
        settings = replace(settings, labels=resolved(turns))
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


def train_store(
    store: Store, settings: Settings, *, promote: bool = True, progress: Progress = silent
) -> Model:
    """Train on the labelled turns of a store, save the model there, and promote it if wanted.

    Labels "auto" are what `classifiers.training_labels.resolved` makes of them. Raises
    `NotEnoughLabels` as `fit` does.
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
            settings = replace(settings, labels=resolved(turns))
        generated = unchecked(snapshot, turns, settings)
    store.clear_staging()
    with store.staging() as folder:
        model, encoder_folder = train(turns, settings, progress, folder, generated)
        registry.save(model, encoder_folder, store.models)
    store.files_written()
    if promote:
        store.promote(model.id)
    return model
