"""The packaged model that guesses which stage failed, by how signals lie among those of its store.

Trained on simulated assistants (`benchmarks.starter`) with signals dropped at random; it holds no
data of anybody. It reads ranks only, as scales and values do not travel from one assistant to
another. On assistants that are unlike the simulated ones its verdicts are little better than
"speech recognition, most of the time", which is what its prior says.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from classifiers.model import stack
from data.schema.trace import FAILURE_POINTS

FOLDER = Path(__file__).parent
BOOSTER, ABOUT = "stages.txt.gz", "stages.json"
# Shares of the failure points among defects, to begin with: most defects of voice assistants are
# misheard words.
PRIOR = {"false_wake": 0.1, "asr": 0.55, "nlu": 0.15, "er": 0.1, "result": 0.1}


@dataclass(frozen=True, slots=True)
class Stages:
    """A booster over `columns` of ranks; `shares`: of the classes, in the order of
    `FAILURE_POINTS`, among the turns that it was trained on."""

    booster: lgb.Booster
    columns: tuple[str, ...]
    shares: np.ndarray

    def probability(self, ranked: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of each failure point, (n, 6), for turns with the columns of `signs.ranks`."""
        x = stack(dict(ranked), self.columns)
        value: np.ndarray = np.asarray(self.booster.predict(x))
        return value

    def among_defects(self, p: np.ndarray) -> np.ndarray:
        """`probability` (n, 6) → of each failure point if the turn is a defect, (n, 6), 0 for
        "correct"; with the shares of `PRIOR` instead of those of the simulation."""
        prior = np.array([PRIOR.get(name, 0.0) for name in FAILURE_POINTS])
        odds = p / self.shares * prior + 1e-9 * (prior > 0)
        result: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return result


@cache
def stages() -> Stages:
    """The packaged model."""
    about: dict[str, Any] = json.loads((FOLDER / ABOUT).read_text("utf-8"))
    text = gzip.decompress((FOLDER / BOOSTER).read_bytes()).decode("utf-8")
    return Stages(
        lgb.Booster(model_str=text), tuple(about["columns"]), np.array(about["shares"], float)
    )


def write(booster: lgb.Booster, columns: tuple[str, ...], shares: np.ndarray, about: Any) -> None:
    """Put a new model in the package; the same model gives the same bytes."""
    text = booster.model_to_string().encode("utf-8")
    (FOLDER / BOOSTER).write_bytes(gzip.compress(text, 9, mtime=0))
    content = {"columns": columns, "shares": [round(float(s), 6) for s in shares], **about}
    (FOLDER / ABOUT).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
