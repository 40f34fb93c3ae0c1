"""What rewrites are worth where the truth is known: a paired A/B through the reference assistant.

    python -m benchmarks.rewrites.assistant [TURNS] [--seed N] [--homes N] [--habit SHARE]

The first two thirds of the days are simulated and mined without labels; the last third is simulated
once per arm, with the same users who want the same things, and with that arm's rewrites between ASR
and NLU. Defects are counted by the simulator's own truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from assistant.demo import START, Setup, simulate
from assistant.simulate import Simulated
from assistant.stages import Context, Stages, Understood
from data.ingest.ingest import ingest
from data.store.store import Store
from labels.feedback.sessions import REWRITTEN, friction
from rewrites.baselines import next_successful, plain_chain
from rewrites.interpretations import counts, heard
from rewrites.mining import REWRITES, from_counts

DRAWS = 2_000


class RewritingNlu:
    """An NLU that reads the rewrite of what was heard, if there is one, the user's own first."""

    def __init__(self, nlu: Any, rows: Mapping[tuple[str, str], str]) -> None:
        self.nlu, self.rows, self.version = nlu, rows, nlu.version

    def __call__(self, text: str, context: Context) -> Understood:
        said = heard(text)
        rewrite = self.rows.get((context.user, said)) or self.rows.get(("", said), said)
        if rewrite == said:
            understood: Understood = self.nlu(text, context)
            return understood
        understood = self.nlu(rewrite, context)
        return replace(understood, signals={**understood.signals, REWRITTEN: 1.0})


@dataclass(frozen=True)
class Rewriting:
    """Puts rewrites in front of the NLU of every release; see `assistant.simulate.Adapt`."""

    rows: Mapping[tuple[str, str], str]

    def __call__(self, stages: Stages) -> Stages:
        return replace(stages, nlu=RewritingNlu(stages.nlu, self.rows))


def lookup(rows: pa.Table) -> dict[tuple[str, str], str]:
    """(user or "", request) → rewrite; of several, the one with the highest score."""
    table = rows.sort_by([("score", "ascending"), ("rewrite", "descending")]).to_pylist()
    return {(row["user_id"] or "", row["request"]): row["rewrite"] for row in table}


def store_of(batches: Iterable[list[Simulated]], folder: Path, days: int) -> Store:
    """A store with the logs of the first `days` days."""
    path = folder / "logs.jsonl"
    end = START + timedelta(days=days)
    with path.open("wb") as file:
        for batch in batches:
            for turn in batch:
                if turn.at < end:
                    file.write(orjson.dumps(turn.record) + b"\n")
    store = Store.create(folder / "store")
    ingest(store, [path])
    return store


def outcomes(batches: Iterable[list[Simulated]], first_day: int) -> pd.DataFrame:
    """Turns of an arm: dialogue (without the run's prefix), home, defect, rewritten."""
    begin = START + timedelta(days=first_day)
    rows = [
        (
            turn.record["dialogue_id"].split("-", 2)[2],
            turn.record["user_id"].rsplit("-", 1)[0],
            turn.truth["failure_point"] != "correct",
            turn.truth["failure_point"],
            bool(turn.record["nlu"]["signals"].get(REWRITTEN)),
            turn.record["asr"]["hypotheses"][0]["text"] if turn.record["asr"]["hypotheses"] else "",
        )
        for batch in batches
        for turn in batch
        if turn.at >= begin and turn.truth["source"] == "user"
    ]
    return pd.DataFrame(
        rows, columns=["dialogue", "home", "defect", "failure_point", "rewritten", "heard"]
    )


@dataclass(frozen=True)
class Paired:
    """Two arms over the dialogues that both have.

    Attributes
    ----------
    defects: of the arm. before: of the arm without rewrites. change: relative change in defects.
    low, high: its 95 % interval over homes.
    """

    turns: int
    rewritten: int
    defects: int
    before: int
    change: float
    low: float
    high: float


def paired(arm: pd.DataFrame, control: pd.DataFrame, seed: int = 0) -> Paired:
    """The change in defects on the dialogues that both arms have."""
    common = np.intersect1d(arm["dialogue"].unique(), control["dialogue"].unique())
    arm, control = (turns[turns["dialogue"].isin(common)] for turns in (arm, control))
    homes = sorted(set(control["home"]))
    after = arm.groupby("home")["defect"].sum().reindex(homes, fill_value=0).to_numpy(float)
    before = control.groupby("home")["defect"].sum().reindex(homes, fill_value=0).to_numpy(float)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(homes), np.full(len(homes), 1 / len(homes)), DRAWS)
    changes = (times @ after) / np.maximum(times @ before, 1) - 1
    low, high = np.quantile(changes, [0.025, 0.975])
    return Paired(
        len(arm),
        int(arm["rewritten"].sum()),
        int(after.sum()),
        int(before.sum()),
        float(after.sum() / max(before.sum(), 1) - 1),
        float(low),
        float(high),
    )


def compare(
    turns: int,
    setup: Setup,
    folder: Path,
    arms: Callable[[list[pa.Table]], Mapping[str, pa.Table]],
    share: float = 2 / 3,
) -> dict[str, Paired]:
    """Simulate, mine, and replay each arm's rewrites on the later days."""
    first_day = int(setup.days * share)
    trained = folder / "trained"
    trained.mkdir(exist_ok=True)
    store = store_of(simulate(turns, setup, trained=trained), folder, first_day)
    with store.snapshot() as snapshot:
        tables = list(friction(snapshot))

    def run(rows: pa.Table) -> pd.DataFrame:
        adapted = replace(setup, adapt=Rewriting(lookup(rows)))
        return outcomes(simulate(turns, adapted, trained=trained, first_day=first_day), first_day)

    control = run(REWRITES.empty_table())
    return {name: paired(run(rows), control) for name, rows in arms(tables).items()}


def mined_arms(tables: list[pa.Table]) -> dict[str, pa.Table]:
    """Simple baselines, everybody's rewrites, and users' own as well."""
    counted = counts(tables)
    mined = from_counts(counted)
    return {
        "next successful": next_successful(pa.concat_tables(tables)),
        "plain chain": plain_chain(counted),
        "chain, global": mined.rows.filter(mined.rows["user_id"].is_null()),
        "chain, global + personal": mined.rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("turns", nargs="?", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--homes", type=int, default=60)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--habit", type=float, default=0.5)
    given = parser.parse_args()
    setup = Setup(given.seed, given.days, homes=given.homes, gold=0.0)
    setup = replace(setup, habit=given.habit, paired=True)
    with TemporaryDirectory() as temporary:
        results = compare(given.turns, setup, Path(temporary), mined_arms)
    print("\n| arm | turns | rewritten | defects | without | change (95 % over homes) |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, result in results.items():
        print(
            f"| {name} | {result.turns:,} | {result.rewritten:,} | {result.defects:,} "
            f"| {result.before:,} | {result.change:+.1%} ({result.low:+.1%} to "
            f"{result.high:+.1%}) |"
        )


if __name__ == "__main__":
    main()
