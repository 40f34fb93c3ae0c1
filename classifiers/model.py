"""A trained model: everything between a table of turns and their six probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
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
from data.schema.trace import FAILURE_POINTS
from features.categories import Vocabulary
from features.matrix import (
    columns,
    open_frame,
    texts,
)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model makes of some turns, rows in the order that `Model.score` gives them.

    Attributes
    ----------
    turn_ids: n strings.
    rows: number of each turn among those given to `Model.score`, ordered by `turn_id`.
    x: feature matrix (n, number of columns), float32, NaN where the trace is silent.
    probability: calibrated, (n, 6) in the order of `FAILURE_POINTS`; absent classes are 0.
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
    reference: where features lie among correct turns; not loaded with the model.
    explained: explanations of a sample of the training turns; scoring does not need them.
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

    def matrix(self, turns: pa.Table) -> tuple[pa.ChunkedArray[Any], np.ndarray]:
        """Turn ids and feature matrix of whole dialogues."""
        with open_frame(turns, self.settings.context) as con:
            ids, logged, vectors = read_frame(con, self.vocabulary, self.settings, self.encoder)
        table = dict(logged)
        if self.heads and vectors:
            table |= zip(self.heads.columns, self.heads.transform(vectors).T, strict=True)
        return ids, stack(table, self.columns)

    def score(self, turns: pa.Table, wanted: pa.Table | None = None) -> Scores:
        """Probabilities and verdicts of turns in whole dialogues.

        Parameters
        ----------
        wanted: `turn_id` and `context_digest` of the turns to score, in the order of the outcome;
            those that training saw, unchanged, get their held-out probabilities. All turns by
            default, ordered by `turn_id`, and nothing held out.
        """
        ids, x = self.matrix(turns)
        rows = np.arange(len(x))
        if wanted is not None:
            place: Any = pc.index_in(wanted["turn_id"], value_set=ids.combine_chunks())
            rows = place.to_numpy()
            ids, x = wanted["turn_id"], x[rows]
        raw = self.booster.predict(x)
        calibrated = self.calibration.apply(np.asarray(raw))
        if self.held_out and wanted is not None:
            self.held_out.put_into(calibrated, ids, wanted["context_digest"].to_numpy())
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
    """Columns side by side, float32; a column that this data does not have is all NaN."""
    n = len(next(iter(table.values())))
    matrix = np.full((n, len(names)), np.nan, np.float32)
    for i, name in enumerate(names):
        if name in table:
            matrix[:, i] = table[name]
    return matrix
