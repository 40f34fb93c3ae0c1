"""What labels are derived from: signals in hindsight, and what was heard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from classifiers import encoder as encoders
from classifiers.encoder import Encoder
from classifiers.model import read_frame
from classifiers.settings import Settings
from classifiers.starter.text_fit import text_fit
from classifiers.text_heads import Vectors
from classifiers.training_data import gold_of, training_turns
from data.store.store import Store
from features.matrix import learn, open_frame


@dataclass(frozen=True, slots=True)
class Evidence:
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

    @classmethod
    def of_store(cls, store: Store, settings: Settings, folder: Path) -> Evidence:
        """Of a sample of a store; the encoder is exported to `folder`."""
        with store.snapshot() as snapshot:
            turns = training_turns(snapshot, settings.seed, within=settings.devices_within)
        encoders.export(settings.encoder, folder)
        return cls.of(turns.sort_by("turn_id"), settings, Encoder(folder))

    @classmethod
    def of(cls, turns: pa.Table, settings: Settings, encoder: Encoder | None) -> Evidence:
        """Of `turns` (whole dialogues, sorted by id), whatever context `settings` name."""
        settings = replace(settings, context="hindsight")
        with open_frame(turns, "hindsight", settings.devices_within) as con:
            _, logged, vectors = read_frame(con, learn(con, "hindsight"), settings, encoder)
            return cls.of_frame(con, turns, logged, vectors)

    @classmethod
    def of_frame(
        cls,
        con: duckdb.DuckDBPyConnection,
        turns: pa.Table,
        logged: dict[str, np.ndarray],
        vectors: Vectors | None,
    ) -> Evidence:
        """Of `turns` whose frame is open in hindsight, `logged` and `vectors` read from it."""
        heard = con.sql("SELECT text FROM frame ORDER BY turn_id").to_arrow_table()
        assistants = np.array([name or "" for name in turns["assistant"].to_pylist()])
        source: np.ndarray = np.unique(assistants, return_inverse=True)[1]
        return cls(logged, vectors, heard["text"].to_pylist(), source, gold_of(turns))

    def columns(self, seed: int) -> dict[str, np.ndarray]:
        """Columns that mean the same in every store, n values each: the catalogue's (those that
        the data name are left out), and those of the text fit, which draws by `seed`."""
        named = {
            name: values.astype(np.float64)
            for name, values in self.logged.items()
            if "=" not in name and ".signal." not in name
        }
        return named | text_fit(self.texts, self.vectors, seed)
