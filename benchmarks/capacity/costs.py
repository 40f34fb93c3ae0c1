"""Measured unit costs: one turn's processor time in each step, and its bytes in each table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

FILE = Path(__file__).parent / "costs.json"


@dataclass(frozen=True)
class Costs:
    """Unit costs, as measured on `date` on `cores` cores. Times are of one core.

    Parameters
    ----------
    ingest_s, score_s, labels_s, rewrites_s
        Seconds per turn: of ingestion; of scoring and explaining where all texts are known; of
        generating labels; of mining rewrites.
    text_s
        Seconds to encode one distinct text.
    texts_per_turn
        Distinct texts per turn within a part of scoring, in the store that was measured.
    plan_s
        Seconds per turn *in the store* of finding out which turns need scoring.
    file_s
        Seconds per data file of opening a version of the store.
    turns_per_day_file
        Turns of one day in the file that a compaction leaves, at most.
    bytes_per_turn
        By table: bytes on disk per turn.
    """

    date: str
    cores: int
    software: str
    ingest_s: float
    score_s: float
    text_s: float
    texts_per_turn: float
    labels_s: float
    rewrites_s: float
    plan_s: float
    file_s: float
    turns_per_day_file: int
    bytes_per_turn: dict[str, float]

    @classmethod
    def read(cls, path: Path = FILE) -> Self:
        return cls(**json.loads(path.read_text("utf-8")))

    def write(self, path: Path = FILE) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")
