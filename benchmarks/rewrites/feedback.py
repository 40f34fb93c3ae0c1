"""A chain that learns from its own rewrites, naively and self-aware, over rounds of traffic.

    python -m benchmarks.rewrites.feedback [TURNS] [--rounds N] [--seed N]

Each round the reference assistant is used with the rewrites mined from all rounds before, as each
arm mines them: the naive chain counts a rewritten turn as one in which the request worked, the
self-aware one as evidence about what was executed. PR-AUC: how the arm ranks the rewrites that
either arm has, against the simulator's truth: does the rewrite mean what its users mean?
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.metrics import average_precision_score

from assistant.demo import START, Setup, simulate
from assistant.simulate import Simulated
from benchmarks.rewrites.assistant import Rewriting, lookup, store_of
from data.store.rewrites import APPROVED, RETIRED, rewrite_id
from labels.feedback.sessions import friction
from rewrites.interpretations import Counts, heard, total
from rewrites.mining import REWRITES, from_counts
from rewrites.outcomes import in_use
from rewrites.self_aware import restated
from rewrites.success import estimate

Key = tuple[str, str, str]


@dataclass
class Truth:
    """What users mean by texts, and what texts get, from the simulator's own record."""

    meant: dict[tuple[str, str], Counter[Any]] = field(default_factory=lambda: defaultdict(Counter))
    gets: dict[str, Counter[Any]] = field(default_factory=lambda: defaultdict(Counter))

    def learn(self, turn: Simulated) -> None:
        hypotheses, gold = turn.record["asr"]["hypotheses"], turn.truth["gold"]
        if turn.truth["source"] != "user" or not hypotheses:
            return
        text = heard(hypotheses[0]["text"])
        slots = tuple(sorted((slot["name"], slot["value"]) for slot in gold.get("slots", [])))
        goal = (gold.get("intent"), slots, tuple(sorted(gold.get("entities", {}).items())))
        for user in ("", turn.record["user_id"]):
            self.meant[user, text][goal] += 1
        if turn.truth["failure_point"] == "correct":
            self.gets[text][goal] += 1

    def good(self, key: Key) -> bool:
        """Whether a rewrite (user, request, rewrite) mostly gets what is mostly meant."""
        user, request, rewrite = key
        meant = self.meant.get((user, request))
        gets = self.gets.get(rewrite)
        return bool(meant and gets and meant.most_common(1)[0][0] == gets.most_common(1)[0][0])


class Naive:
    """Mines everything as it is logged."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.live = REWRITES.empty_table()
        self.scores: dict[Key, float] = {}

    def learn(self, tables: list[pa.Table]) -> None:
        self.tables += tables
        self.live = self.mined(self.tables)
        self.scores = {key: row["score"] for key, row in keyed(self.live).items()}

    def mined(self, tables: list[pa.Table]) -> pa.Table:
        return from_counts(total(Counts.of(table) for table in tables)).rows


class SelfAware(Naive):
    """Counts rewritten turns as evidence about what was executed, and retires what turns bad."""

    def __init__(self) -> None:
        super().__init__()
        self.known = pd.DataFrame()

    def learn(self, tables: list[pa.Table]) -> None:
        self.tables += tables
        tables = self.tables
        better: np.ndarray = np.zeros(0)
        if len(self.known):
            counted = total(Counts.of(table) for table in tables)
            used = in_use(tables, counted, estimate(counted), self.known)
            better = used.better
            retired = [name for name, (state, _) in used.states.items() if state == RETIRED]
            self.known.loc[self.known["rewrite_id"].isin(retired), "state"] = RETIRED
            tables = [restated(table, self.known, better) for table in tables]
        rows = self.mined(tables).to_pandas()
        rows["rewrite_id"] = [
            rewrite_id(*key)
            for key in zip(
                rows["assistant"],
                rows["request"],
                rows["rewrite"],
                [user if isinstance(user, str) else None for user in rows["user_id"]],
                strict=True,
            )
        ]
        rows["state"] = APPROVED
        seen = set(self.known["rewrite_id"]) if len(self.known) else set()
        chance = dict(zip(self.known["rewrite_id"], better, strict=True)) if len(seen) else {}
        # What is mined no longer is not executed any more, though it may be again.
        mined = set(rows["rewrite_id"])
        self.known = pd.concat([self.known, rows[~rows["rewrite_id"].isin(seen)]]).reset_index(
            drop=True
        )
        live = self.known[(self.known["state"] != RETIRED) & self.known["rewrite_id"].isin(mined)]
        self.live = pa.Table.from_pandas(live[REWRITES.names], REWRITES, preserve_index=False)
        names = dict(zip(live["rewrite_id"], live["score"], strict=True))
        self.scores = {
            key: names[row["rewrite_id"]] * chance.get(row["rewrite_id"], 1.0)
            for key, row in keyed(pa.Table.from_pandas(live, preserve_index=False)).items()
        }


def keyed(rows: pa.Table) -> dict[Key, dict[str, Any]]:
    """Rows by user ("" for everybody), request and rewrite; rows that keep a request left out."""
    return {
        (row["user_id"] or "", row["request"], row["rewrite"]): row
        for row in rows.to_pylist()
        if row["request"] != row["rewrite"]
    }


def round_of(
    turns: int, setup: Setup, trained: Path, days: range, live: pa.Table
) -> list[Simulated]:
    """The turns of some days, with rewrites."""
    adapted = replace(setup, adapt=Rewriting(lookup(live)))
    begin, end = (START + timedelta(days=day) for day in (days.start, days.stop))
    some = []
    for batch in simulate(turns, adapted, trained=trained, first_day=days.start):
        some += [turn for turn in batch if begin <= turn.at < end]
        if batch and batch[-1].at >= end:
            break
    return some


def rounds(turns: int, number: int, setup: Setup, folder: Path) -> list[dict[str, Any]]:
    """One row per round and arm: round, arm, live, good, pr_auc, turns, defects, rewritten."""
    trained = folder / "trained"
    trained.mkdir()
    arms: dict[str, Naive] = {"naive": Naive(), "self-aware": SelfAware()}
    truths = {name: Truth() for name in arms}
    found = []
    step = setup.days // number
    for index in range(number):
        days = range(index * step, (index + 1) * step)
        result: dict[str, list[Simulated]] = {}
        for name, arm in arms.items():
            if index == 0 and result:
                # Nothing is live yet: the same turns.
                some = next(iter(result.values()))
            else:
                some = round_of(turns, setup, trained, days, arm.live)
            result[name] = some
            for turn in some:
                truths[name].learn(turn)
            place = folder / f"{name}-{index}"
            place.mkdir()
            with store_of([some], place, setup.days).snapshot() as snapshot:
                arm.learn(list(friction(snapshot)))
        every = sorted({key for arm in arms.values() for key in arm.scores})
        for name, arm in arms.items():
            good = np.array([truths[name].good(key) for key in every])
            score = np.array([arm.scores.get(key, 0.0) for key in every])
            own = [truths[name].good(key) for key in arm.scores]
            users = [turn for turn in result[name] if turn.truth["source"] == "user"]
            found.append(
                {
                    "round": index + 1,
                    "arm": name,
                    "live": len(own),
                    "good": sum(own),
                    "pr_auc": float(average_precision_score(good, score)) if good.any() else 0.0,
                    "turns": len(users),
                    "defects": sum(t.truth["failure_point"] != "correct" for t in users),
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("turns", nargs="?", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--homes", type=int, default=40)
    given = parser.parse_args()
    setup = Setup(given.seed, 15 * given.rounds, homes=given.homes, gold=0.0)
    setup = replace(setup, habit=0.5, paired=True)
    with TemporaryDirectory() as temporary:
        found = rounds(given.turns, given.rounds, setup, Path(temporary))
    print("\n| round | arm | rewrites | good | PR-AUC | turns | defects |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for row in found:
        print(
            f"| {row['round']} | {row['arm']} | {row['live']} | {row['good']} "
            f"| {row['pr_auc']:.3f} | {row['turns']:,} | {row['defects'] / row['turns']:.1%} |"
        )


if __name__ == "__main__":
    main()
