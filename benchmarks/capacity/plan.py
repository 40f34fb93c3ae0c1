"""From turns a day to machines, hours, storage and money: plain arithmetic over unit costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.capacity.costs import Costs

_HOUR, _DAY = 3_600.0, 86_400.0
# Tables with a row per turn or nearly so; the others are small.
MONTH_DAYS = 30.4


@dataclass(frozen=True)
class Prices:
    """US dollars; list prices of a public cloud, to be replaced by one's own.

    Sources, list prices of 2025 in us-east-1: Amazon EC2 on demand, m7i.large at 0.1008 an hour for
    two virtual cores and 8 GiB; S3 Standard at 0.023 per GB and month, 0.005 per thousand writes.
    """

    core_hour: float = 0.0504
    gb_month: float = 0.023
    thousand_writes: float = 0.005


@dataclass(frozen=True)
class Demand:
    """What is asked for.

    Parameters
    ----------
    turns: a day. days: how long they are kept. texts: distinct texts per turn within a part of
    scoring (40,000 turns). utilisation: share of a machine's hours that work may fill. cores: of a
    machine. processors: a machine's memory is not what limits it.
    """

    turns: int
    days: int = 90
    texts: float = 0.4
    utilisation: float = 0.5
    cores: int = 16


@dataclass(frozen=True)
class Step:
    """A step of a day's work: its core hours and the machines that do it within the utilisation."""

    name: str
    core_hours: float
    machines: float


@dataclass(frozen=True)
class Plan:
    """What a demand needs. Storage in GB, money in US dollars a month."""

    demand: Demand
    steps: tuple[Step, ...]
    gb_a_day: float
    gb: float
    files: int
    plan_core_hours: float
    open_s: float
    compute: float
    storage: float

    @property
    def core_hours(self) -> float:
        return sum(step.core_hours for step in self.steps)

    @property
    def machines(self) -> float:
        return sum(step.machines for step in self.steps)

    @property
    def money(self) -> float:
        return self.compute + self.storage

    @property
    def per_million(self) -> float:
        """US dollars per million turns, kept for the demand's days."""
        return self.money / (self.demand.turns * MONTH_DAYS / 1e6)


def plan(demand: Demand, costs: Costs, prices: Prices) -> Plan:
    """What `demand` needs, by the unit costs alone: linear, without what breaks on the way.

    Raises ValueError for a demand that is not positive.
    """
    whole = min(demand.turns, demand.days, demand.cores) >= 1
    if not whole or demand.texts < 0 or not 0 < demand.utilisation <= 1:
        raise ValueError(
            "Expected at least one turn, day and core, no negative number of texts, and a "
            f"utilisation above 0 and up to 1; got {demand}."
        )
    seconds = {
        "ingest": costs.ingest_s,
        "score and explain": costs.score_s,
        "encode texts": costs.text_s * demand.texts,
        "generate labels": costs.labels_s,
        "mine rewrites": costs.rewrites_s,
    }
    available = _DAY / _HOUR * demand.cores * demand.utilisation
    steps = []
    for name, each in seconds.items():
        hours = each * demand.turns / _HOUR
        steps.append(Step(name, hours, hours / available))
    kept = demand.turns * demand.days
    gb_a_day = sum(costs.bytes_per_turn.values()) * demand.turns / 1e9
    gb = gb_a_day * demand.days
    files_a_day = -(-demand.turns // costs.turns_per_day_file)
    tables = sum(size >= 1 for size in costs.bytes_per_turn.values())
    files = files_a_day * demand.days * tables
    hours = sum(step.core_hours for step in steps)
    return Plan(
        demand,
        tuple(steps),
        gb_a_day,
        gb,
        files,
        plan_core_hours=costs.plan_s * kept / _HOUR,
        open_s=costs.file_s * files,
        compute=hours * MONTH_DAYS * prices.core_hour / demand.utilisation,
        storage=gb * prices.gb_month
        + files_a_day * tables * MONTH_DAYS * prices.thousand_writes / 1e3,
    )


def table(plans: Sequence[Plan]) -> str:
    """Plans side by side, as Markdown."""
    first = plans[0]
    lines = [
        "| | " + " | ".join(f"{p.demand.turns:,} turns a day" for p in plans) + " |",
        "|---|" + "---:|" * len(plans),
    ]

    def row(name: str, cells: Sequence[str]) -> None:
        lines.append(f"| {name} | {' | '.join(cells)} |")

    row("turns a second, on average", [f"{p.demand.turns / _DAY:,.0f}" for p in plans])
    for number, step in enumerate(first.steps):
        row(f"{step.name}, core hours a day", [_short(p.steps[number].core_hours) for p in plans])
    row("together, core hours a day", [f"**{_short(p.core_hours)}**" for p in plans])
    row(
        f"machines of {first.demand.cores} cores, {first.demand.utilisation:.0%} used",
        [_short(p.machines) for p in plans],
    )
    row("storage, GB a day", [_short(p.gb_a_day) for p in plans])
    row(f"storage for {first.demand.days} days, GB", [f"**{_short(p.gb)}**" for p in plans])
    row("data files", [f"{p.files:,}" for p in plans])
    row("compute, US$ a month", [f"{p.compute:,.0f}" for p in plans])
    row("storage, US$ a month", [f"{p.storage:,.0f}" for p in plans])
    row("together, US$ per million turns", [f"**{p.per_million:,.2f}**" for p in plans])
    row("finding what to score, core hours a run", [_short(p.plan_core_hours) for p in plans])
    row("opening a version of the store, s", [_short(p.open_s) for p in plans])
    return "\n".join(lines)


def _short(value: float) -> str:
    """Three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"
