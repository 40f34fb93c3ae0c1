"""A trained model: everything between a table of turns and their six probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers.calibration import Calibration, decide
from classifiers.encoder import Encoder
from classifiers.out_of_fold import HeldOut
from classifiers.reference_values import Reference
from classifiers.settings import Settings
from classifiers.shap_archive import Explained
from classifiers.text_heads import TextHeads, Vectors
from classifiers.witness.utterances import Utterances
from classifiers.witness.witness import Witness
from data.schema.trace import FAILURE_POINTS
from features.categories import Vocabulary
from features.matrix import (
    columns,
    open_frame,
    texts,
)


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's output for n turns, in the order that `Model.score` describes.

    Attributes
    ----------
    turn_ids: n strings.
    rows: position of each turn among those passed to `Model.score`, ordered by `turn_id`.
    x: feature matrix (n, number of columns), float32, NaN where nothing was logged.
    probability: calibrated, (n, 6) in the order of `FAILURE_POINTS`; 0 for classes not learned.
    verdict: index into `FAILURE_POINTS` per turn.
    """

    turn_ids: pa.ChunkedArray[Any]
    rows: np.ndarray
    x: np.ndarray
    probability: np.ndarray
    verdict: np.ndarray


@dataclass(slots=True)
class Model:
    """Features, encoder, heads, booster, calibration and decision rule, fitted together.

    Attributes
    ----------
    classes: the failure points that training saw, in pipeline order; the others get probability 0.
    columns: names of the booster's columns, in order.
    weights: decision weight per class; see `classifiers.calibration.fit_weights`.
    metrics: figures on the training turns, out of fold.
    held_out: probabilities of the training turns, out of fold.
    reference: percentiles of the features among correct turns; not loaded with the model.
    explained: explanations of a sample of the training turns; scoring does not need them.
    witness: None without text, or if it was left out.
    """

    settings: Settings
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    vocabulary: Vocabulary
    heads: TextHeads | None
    encoder: Encoder | None
    booster: lgb.Booster
    calibration: Calibration
    weights: np.ndarray
    metrics: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    held_out: HeldOut | None = None
    reference: Reference | None = None
    explained: Explained | None = None
    witness: Witness | None = None

    def matrix(self, turns: pa.Table) -> tuple[pa.ChunkedArray[Any], np.ndarray]:
        """Turn ids, ascending, and feature matrix (n, number of columns) of whole dialogues."""
        with open_frame(turns, self.settings.context, self.settings.devices_within) as con:
            ids, logged, vectors = read_frame(con, self.vocabulary, self.settings, self.encoder)
            utterances = Utterances.read(con) if vectors else None
        if utterances and self.held_out:
            utterances = replace(utterances, part=self.held_out.parts(ids, utterances.part))
        return ids, stack(self.table(logged, vectors, utterances), self.columns)

    def table(
        self,
        logged: dict[str, np.ndarray],
        vectors: Vectors | None,
        utterances: Utterances | None,
    ) -> dict[str, np.ndarray]:
        """Columns of n turns by name: those logged, and what heads and witness make of texts."""
        table = dict(logged)
        if self.heads and vectors and utterances:
            values = self.heads.transform(vectors, part=utterances.part)
            table |= zip(self.heads.columns, values.T, strict=True)
        if self.witness and utterances:
            table |= self.witness.columns(utterances)
        return table

    def score(self, turns: pa.Table, to_score: pa.Table | None = None) -> Scores:
        """Probabilities and verdicts of turns in whole dialogues.

        Parameters
        ----------
        to_score: `turn_id` and `context_digest` of the turns to score, in the order of the result;
            training turns that have not changed since get their out-of-fold probabilities. By
            default all turns, ordered by `turn_id`, without out-of-fold probabilities.
        """
        ids, x = self.matrix(turns)
        rows = np.arange(len(x))
        if to_score is not None:
            index: Any = pc.index_in(to_score["turn_id"], value_set=ids.combine_chunks())
            rows = index.to_numpy()
            ids, x = to_score["turn_id"], x[rows]
        raw = self.booster.predict(x)
        calibrated = self.calibration.apply(np.asarray(raw))
        if self.held_out and to_score is not None:
            self.held_out.put_into(calibrated, ids, to_score["context_digest"].to_numpy())
        position = np.array([FAILURE_POINTS.index(name) for name in self.classes])
        probability = np.zeros((len(x), len(FAILURE_POINTS)))
        probability[:, position] = calibrated
        verdict = position[decide(calibrated, self.weights)]
        return Scores(ids, rows, x, probability, verdict)


def read_frame(
    con: duckdb.DuckDBPyConnection,
    vocabulary: Vocabulary,
    settings: Settings,
    encoder: Encoder | None,
) -> tuple[pa.ChunkedArray[Any], dict[str, np.ndarray], Vectors | None]:
    """Turn ids, logged feature columns and encoded texts of an open frame, rows ordered by turn."""
    table = columns(con, vocabulary, settings.context)
    logged = {
        name: table[name].to_numpy().astype(np.float32, copy=False)
        for name in table.column_names[1:]
    }
    vectors = Vectors.encode(encoder, texts(con, settings.context)) if encoder else None
    return table["turn_id"], logged, vectors


def stack(table: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """The columns `names` as a float32 matrix (n, len(names)); an absent column is all NaN."""
    n = len(next(iter(table.values())))
    matrix = np.full((n, len(names)), np.nan, np.float32)
    for i, name in enumerate(names):
        if name in table:
            matrix[:, i] = table[name]
    return matrix
