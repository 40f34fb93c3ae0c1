"""How often intervals of rates cover the true rate, as Markdown for docs/evaluation.md.

    python -m benchmarks.rates STORE TRUTH [DRAWS]

STORE is a scored store of the demo and TRUTH its `_truth.parquet`. Each draw samples the demo's
dialogues with replacement and annotates a share of them with the truth; the true rate is that of
all turns of the demo.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from analysis.arrays import codes, matrix
from analysis.rates import (
    RATES,
    Array,
    Codes,
    Estimates,
    Labelled,
    Moments,
    design_effect,
    model_only,
    powered,
)
from data.errors import FaultlineError, UsageError
from data.intervals import wilson_intervals
from data.schema.trace import FAILURES
from data.store.store import Store

SHARES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
DRAWS = 1000

_SCORED = """
SELECT dialogue_id, p.failure_point AS verdict, t.failure_point AS truth, {columns}
FROM predictions AS p JOIN truth AS t USING (turn_id, dialogue_id)
WHERE model_id = $model ORDER BY turn_id
"""


@dataclass(frozen=True)
class World:
    """The demo's turns in order of dialogue: truth, probabilities, verdicts (rows, rates)."""

    y: Array
    p: Array
    verdict: Array
    start: Codes
    size: Codes

    @property
    def dialogues(self) -> int:
        return len(self.size)

    def rows(self, dialogues: Codes) -> tuple[Codes, Codes]:
        """The rows of some dialogues, and the index in `dialogues` that each belongs to."""
        sizes = self.size[dialogues]
        index = np.repeat(np.arange(len(dialogues)), sizes)
        within = np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.start[dialogues][index] + within, index

    def sums(self, values: Array, times: Codes) -> Array:
        """Sums (draws, rates) of `values` (rows, rates) over dialogues drawn `times` (draws, …)."""
        return np.asarray(times @ np.add.reduceat(values, self.start))


def world(store: Store, truth: Path) -> World:
    """The turns that the store's model has scored, with their truth."""
    model = store.head().model
    if model is None:
        raise UsageError("The store has no model; run 'faultline score' on it first.")
    true = pq.read_table(truth, columns=["turn_id", "dialogue_id", "failure_point"])
    columns = ", ".join(f"p_{name}" for name in FAILURES)
    with store.snapshot() as snapshot:
        table = snapshot.query(_SCORED.format(columns=columns), {"model": model}, {"truth": true})
    if not table.num_rows:
        raise UsageError(
            f"{truth} has none of the turns in the store; give the truth of the same demo."
        )
    dialogue, _ = codes(table, ["dialogue_id"])
    order = np.argsort(dialogue, kind="stable")
    p = matrix(table, [f"p_{name}" for name in FAILURES])

    def marks(column: str) -> Array:
        names = np.array(table[column].to_pylist())
        each = np.column_stack([names == name for name in FAILURES])
        return np.column_stack([each, each.any(1)]).astype(np.float64)[order]

    size = np.bincount(dialogue)
    return World(
        marks("truth"), np.column_stack([p, p.sum(1)])[order], marks("verdict"),
        np.cumsum(size) - size, size,
    )  # fmt: skip


def covered(estimates: Estimates, truth: Array) -> tuple[Array, Array]:
    """Share of the intervals that cover the truth, and their mean width, per rate."""
    inside = (estimates.low <= truth) & (truth <= estimates.high)
    return inside.mean(0), (estimates.high - estimates.low).mean(0)


@dataclass(frozen=True)
class Draws:
    """Samples of dialogues with replacement.

    Attributes
    ----------
    dialogues: (draws, dialogues) which are in each draw. moments: of the probabilities in each
        draw. counts: (draws, rates) verdicts in each draw.
    """

    demo: World
    dialogues: Codes
    moments: Moments
    counts: Array

    @classmethod
    def of(cls, demo: World, draws: int, seed: int = 83) -> Draws:
        rng = np.random.default_rng(seed)
        dialogues = rng.integers(0, demo.dialogues, (draws, demo.dialogues))
        times = np.stack([np.bincount(draw, minlength=demo.dialogues) for draw in dialogues])
        moments = Moments(
            (times @ demo.size).astype(np.float64),
            demo.sums(demo.p, times),
            demo.sums(demo.p**2, times),
        )
        return cls(demo, dialogues, moments, demo.sums(demo.verdict, times))

    def sample(self, share: float) -> Labelled:
        """The first dialogues of every draw, annotated with the truth."""
        annotated = self.dialogues[:, : round(share * self.demo.dialogues)]
        rows, index = self.demo.rows(annotated.ravel())
        draw = index // annotated.shape[1]
        return Labelled(self.demo.y[rows], self.demo.p[rows], draw, index)

    def annotated(self, share: float) -> tuple[Array, Array]:
        """Coverage and mean width, per rate, of prediction-powered intervals."""
        sample = self.sample(share)
        rest = self.moments.less(sample.moments(len(self.dialogues)))
        return covered(powered(rest, sample, total=True, minimum=2), self.demo.y.mean(0))

    def model(self, share: float) -> tuple[Array, Array]:
        """The same for sums of probabilities, with the design effect of an annotated sample."""
        design = design_effect(self.sample(share))
        return covered(model_only(self.moments, design=design), self.demo.y.mean(0))

    def plain(self) -> tuple[Array, Array]:
        """The same for counted verdicts."""
        turns = self.moments.turns[:, None]
        low, high = wilson_intervals(self.counts / turns, turns)
        truth = self.demo.y.mean(0)
        return ((low <= truth) & (truth <= high)).mean(0), (high - low).mean(0)


def main(store: str, truth: str, draws: int = DRAWS) -> None:
    """Print coverage and width of the intervals of every method."""
    demo = world(Store.open(store), Path(truth))
    samples = Draws.of(demo, draws)
    print(f"{draws:,} draws of {demo.dialogues:,} dialogues ({len(demo.y):,} turns).\n")
    print("| method | annotated dialogues | " + " | ".join(RATES) + " |")
    print("|---|---:" + "|---" * len(RATES) + "|")
    true = " | ".join(f"{100 * rate:.1f} %" for rate in demo.y.mean(0))
    print(f"| true rate | | {true} |")
    for share in SHARES:
        annotated = f"{round(share * demo.dialogues):,}"
        print(_row("annotated and predicted", annotated, *samples.annotated(share)))
    print(_row("model estimate", "", *samples.model(SHARES[-1])))
    print(_row("verdicts counted", "", *samples.plain()))


def _row(method: str, annotated: str, inside: Array, width: Array) -> str:
    cells = [f"{100 * a:.1f} % (±{50 * b:.2f})" for a, b in zip(inside, width, strict=True)]
    return f"| {method} | {annotated} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("Give a scored store of the demo and its _truth.parquet: STORE TRUTH [DRAWS]")
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else DRAWS)
    except FaultlineError as error:
        sys.exit(str(error))
