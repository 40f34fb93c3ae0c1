"""What a model learns from: features, encoded texts and labels of turns, in arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers import encoder as encoders
from classifiers.encoder import Encoder
from classifiers.model import read_frame
from classifiers.settings import Settings
from classifiers.splits import begins, groups
from classifiers.starter.evidence import Evidence
from classifiers.text_heads import Vectors
from classifiers.training_labels import check_labels, check_turns, derived, least_labels, targets
from classifiers.witness.utterances import Utterances
from data.queries.annotations import DASHBOARD
from features.categories import Vocabulary
from features.matrix import learn, open_frame
from labels.rules.failure_point import MIN_PER_CLASS


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

    @property
    def labelled(self) -> np.ndarray:
        """Whether each turn has a label (n,)."""
        labelled: np.ndarray = self.target != None  # noqa: E711  # element-wise
        return labelled

    @property
    def gold(self) -> np.ndarray:
        """Whether the label of each turn is gold (n,)."""
        return self.labelled if self.sure is None else self.labelled & (self.sure >= 1.0)

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
        check_turns(turns)
    else:
        target, sure = targets(turns, settings.labels, generated)
        check_labels(target, least_labels(settings, target))
    encoder = None
    if "text" not in settings.without:
        encoders.export(settings.encoder, folder)
        encoder = Encoder(folder)
    gold = turns["gold"].combine_chunks()
    digests = turns["context_digest"] if "context_digest" in turns.column_names else None
    evidence = None
    with open_frame(turns, settings.context, settings.devices_within) as con:
        vocabulary = learn(con, settings.context)
        ids, logged, vectors = read_frame(con, vocabulary, settings, encoder)
        utterances = Utterances.read(con, gold) if vectors else None
        if derives and settings.context == "hindsight":
            evidence = Evidence.of_frame(con, turns, logged, vectors)
    about = None
    if derives:
        # What labels rest on may lie after the turn; only the model must not read it.
        evidence = evidence or Evidence.of(turns, settings, encoder)
        target, sure, about = derived(evidence, ids, generated, settings.seed)
        check_labels(target)
    logged = {name: values for name, values in logged.items() if not settings.leaves_out(name)}
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
        _slot_names(pc.struct_field(gold, "slots")),
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


def _slot_names(slots: Any) -> pa.ListArray[Any]:
    """Names of the slots in each list; null where the list is null."""
    return pa.ListArray.from_arrays(
        slots.offsets, pc.struct_field(slots.values, "name"), mask=pc.is_null(slots)
    )


def only_learnable(
    data: TrainingSet, minimum: int = MIN_PER_CLASS
) -> tuple[TrainingSet, tuple[str, ...]]:
    """`data` without the labels of classes that are too rare to learn, and the remaining classes.

    Raises `NotEnoughLabels` if fewer than two remain.
    """
    classes = check_labels(data.target, minimum)
    return replace(data, target=only(data.target, classes)), classes


def only(target: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """`target` (n,) with None in place of other classes than these."""
    kept = target.copy()
    kept[~np.isin(target.astype(str), classes)] = None
    return kept
