"""Labels of the reference assistant in another world, beside one simulated pass over them.

    python -m benchmarks.labels.demo [--turns N] [--gold SHARE]

The label model learns from one world, in which a share of the dialogues is annotated, and labels
another, with other homes, users, voices and requests. The truth is the simulator's own.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import pyarrow as pa

from assistant.demo import Setup
from benchmarks.demo import OTHER, make
from benchmarks.simulated_annotators import pass_over_goals
from data.schema.trace import order_sql
from data.store.store import Store
from labels.generated.settings import Settings
from labels.generated.store import generate_store, train_store
from labels.generated.throughput import curve
from labels.goals.measures import boundary_f1, f1, interval, pk

TURNS, GOLD = 20_000, 0.08
HOME, OTHER_WORLD = 0, 31
DRAWS = 500

# The truth of every turn in the place of its gold.
_TURNS = f"""
SELECT t.* REPLACE (truth.gold AS gold) FROM turns t JOIN truth USING (turn_id)
ORDER BY t.dialogue_id, {order_sql("t")}
"""


_MADE = """
SELECT turn_id, n.goal_id, goal_start, goal_reached, g.reached
FROM generated_labels n LEFT JOIN goals g USING (dialogue_id, goal_id)
"""


def world(folder: Path, setup: Setup, turns: int) -> tuple[Store, pa.Table]:
    """A store of one world's traces, and its turns with the truth as gold, by dialogue."""
    folder.mkdir()
    made = make(folder, turns, setup)
    with made.store.snapshot() as snapshot:
        return made.store, snapshot.query(_TURNS, tables={"truth": made.truth})


@dataclass(frozen=True)
class Verdicts:
    """What somebody says of n turns: where goals begin, and whose goals were not reached."""

    start: np.ndarray
    missed: np.ndarray

    @classmethod
    def of(cls, goals: Sequence[str], reached: Sequence[bool | None], later: np.ndarray) -> Self:
        changed = [i > 0 and goal != goals[i - 1] for i, goal in enumerate(goals)]
        return cls(np.array(changed) & later, np.array([value is False for value in reached]))


def compared(turns: pa.Table, made: pa.Table, seed: int = 0) -> list[str]:
    """Tables of one pass and of the model against the truth, with intervals over dialogues."""
    golds: list[Any] = turns["gold"].to_pylist()
    _, dialogue = np.unique(turns["dialogue_id"].to_numpy().astype(str), return_inverse=True)
    later = np.diff(dialogue, prepend=-1) == 0
    judged = np.array([gold["goal_reached"] is not None for gold in golds])
    truth = Verdicts.of([g["goal_id"] for g in golds], [g["goal_reached"] for g in golds], later)
    found = {row["turn_id"]: row for row in made.to_pylist()}
    labels = [found[turn] for turn in turns["turn_id"].to_pylist()]
    one = pass_over_goals(turns, seed)
    who = {
        "one simulated pass": Verdicts(
            one["goal_start"].to_numpy() & later,
            np.array([value is False for value in one["goal_reached"].to_pylist()]),
        ),
        "label model": Verdicts.of(
            [row["goal_id"] for row in labels], [row["reached"] for row in labels], later
        ),
    }
    lines = [
        "| who | goal boundaries: F1 (95 %) | Pk | goal not reached: F1 (95 %) |",
        "|---|---:|---:|---:|",
    ]
    weights = _resampled(dialogue, seed)
    for name, said in who.items():
        boundaries = [f1(said.start, truth.start, weight) for weight in weights]
        goals = [f1(said.missed[judged], truth.missed[judged], w[judged]) for w in weights]
        lines.append(
            f"| {name} | {boundary_f1(said.start, truth.start, dialogue):.3f} "
            f"{_interval(boundaries)} | {pk(said.start, truth.start, dialogue):.3f} | "
            f"{f1(said.missed[judged], truth.missed[judged]):.3f} {_interval(goals)} |"
        )
    lines += ["", "| task | precision of one pass | threshold | precision | turns labelled |"]
    lines.append("|---|---:|---:|---:|---:|")
    human, model = who.values()
    for task, column, rows in (("start", "goal_start", later), ("missed", "goal_reached", judged)):
        right = getattr(truth, task)[rows]
        p = np.array([row[column] for row in labels], float)[rows]
        mark = float((getattr(human, task)[rows] == right).mean())
        lines.append(
            f"| {column.replace('_', ' ')} | {mark:.3f} | "
            f"{_labelled(getattr(model, task)[rows] == right, p, mark)} |"
        )
    return lines


def _labelled(right: np.ndarray, p: np.ndarray, mark: float) -> str:
    """The lowest threshold whose labels are more precise than one pass, and what it labels."""
    points = curve(right, np.maximum(p, 1 - p))
    better = [point for point in points if point.precision > mark]
    if not better:
        return "– | – | none"
    most = max(better, key=lambda point: point.labelled)
    return f"{most.threshold:.2f} | {most.precision:.3f} | {most.labelled:.1%}"


def _resampled(dialogue: np.ndarray, seed: int) -> list[np.ndarray]:
    """How often each turn counts in draws of as many dialogues, with replacement."""
    rng, n = np.random.default_rng(seed), int(dialogue.max()) + 1
    return [np.bincount(rng.integers(0, n, n), minlength=n)[dialogue] for _ in range(DRAWS)]


def _interval(draws: Sequence[float]) -> str:
    low, high = interval(np.array(draws))
    return f"({low:.3f} to {high:.3f})"


def main(turns: int = TURNS, gold: float = GOLD) -> None:
    with TemporaryDirectory() as temporary:
        home, _ = world(Path(temporary) / "home", Setup(seed=HOME, gold=gold), turns)
        elsewhere = Setup(seed=OTHER_WORLD, gold=0.0, releases=OTHER)
        other, truth = world(Path(temporary) / "other", elsewhere, turns)
        began = time.monotonic()
        model = train_store(home, Settings())
        trained = time.monotonic() - began
        began = time.monotonic()
        generate_store(other, model)
        labelled = time.monotonic() - began
        with other.snapshot() as snapshot:
            made = snapshot.query(_MADE)
    print("\n".join(compared(truth, made)))
    print(
        f"\nTraining on {turns:,} turns took {trained / 60:.1f} minutes, generation "
        f"{turns / labelled:,.0f} turns a second, on {os.cpu_count()} cores."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--gold", type=float, default=GOLD)
    given = parser.parse_args()
    main(given.turns, given.gold)
