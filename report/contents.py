"""The contents of the Overview for a filter: the numbers, then changes, movements and budgets.

The page and the report file are built from the same two results, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.change_points import Change, changes
from analysis.error_budget import Budget, budgets
from analysis.period_comparison import Period, moved
from analysis.periods import PREVIOUS, Against, Periods, Shift, periods, shift
from analysis.rates import MODEL, Estimate, estimate
from charts.formatting import short
from charts.sentences import lead_words
from data.errors import UsageError
from data.queries import overview
from data.queries.filters import Filter
from data.queries.ground_truth import sampled
from data.queries.releases import Release, releases
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# The most days that are searched for change points: the work grows with their square.
HISTORY = 366
DOMAINS = 12
# Movements with a larger q-value may well be chance and are left out.
PERHAPS = 0.2


@dataclass(frozen=True)
class Headline:
    """The numbers of a period.

    Attributes
    ----------
    trend: turns, counts and sums per `by`, see `data.queries.overview.trend`. total: its sums.
    trend and days are scaled by `scale`.
    rates: estimates of the five failures and of "defect" over the period shown.
    after, before: the same over the compared periods, estimated by one method; empty where there is
    nothing to compare with. shifts: the change between them.
    turns: number of turns in the compared periods, the later period first. days: sums per day of
    the period shown.
    scale: failure point -> the estimated rate over the model's own. Days, domains and budgets are
    model estimates times this factor, so that they add up to the rates (ratio benchmarking, as for
    small areas: Rao and Molina 2015, Small Area Estimation, section 6.4.6). 1 where the rates are
    the model's.
    """

    periods: Periods
    by: overview.Grain
    trend: pa.Table
    total: overview.Totals
    rates: dict[str, Estimate]
    after: dict[str, Estimate]
    before: dict[str, Estimate]
    shifts: dict[str, Shift]
    turns: tuple[int, int]
    days: pa.Table
    scale: dict[str, float]

    @property
    def worst(self) -> str:
        """The failure point with the largest rate; the earliest of equals."""
        return max(FAILURES, key=lambda name: self.rates[name].value)

    def earlier(self, name: str) -> float | None:
        """The rate of the period before; None unless it is compared with the period shown."""
        before = self.before.get(name)
        if before is None or not self.periods.whole or not self.alike:
            return None
        return before.value

    @property
    def alike(self) -> bool:
        """Whether the rates of the compared periods are estimated as those shown are."""
        return all(e.method == self.rates[name].method for name, e in self.before.items())

    @property
    def per_day(self) -> float | None:
        """The relative change of the number of turns per day; None with nothing to compare."""
        previous, (now, before) = self.periods.previous, self.turns
        if previous is None or not before:
            return None
        return now / self.periods.recent.days / (before / previous.days) - 1

    @property
    def lead(self) -> str:
        """The first sentence of the page and of the report."""
        defect, worst = self.rates["defect"], self.worst
        return lead_words(
            self.periods, defect, self.after.get("defect"), self.shifts.get("defect"),
            NAMES[worst], self.rates[worst].value,
        )  # fmt: skip

    def budgets(self, targets: Mapping[str, float]) -> list[Budget]:
        """What is left of the error budgets of the period shown, see `analysis.error_budget`."""
        of_failures = {name: target for name, target in targets.items() if name in FAILURES}
        shown = self.periods.shown
        return budgets(self.days, of_failures, shown.since, shown.until)

    def scaled(self, table: pa.Table) -> pa.Table:
        """A table of sums, `p_<class>` or `sum_p_<class>`, of the period shown times `scale`."""
        return scaled(table, self.scale)

    def scaled_rates(self, cells: pa.Table) -> pa.Table:
        """Rows of `analysis.period_comparison.SCHEMA` times `scale`."""
        if all(factor == 1 for factor in self.scale.values()) or not cells.num_rows:
            return cells
        names: list[Any] = cells["failure_point"].to_pylist()
        factors = pa.array([self.scale[name] for name in names])
        for name in ("before", "after", "change", "low", "high", "extra_turns"):
            column = pc.multiply(cells[name], factors)
            if name in ("before", "after"):
                column = pc.min_element_wise(column, 1.0)
            cells = cells.set_column(cells.schema.get_field_index(name), name, column)
        return cells

    def scaled_change(self, change: Change) -> Change:
        """A change point whose rates are times `scale`."""
        factor = self.scale[change.failure_point]
        return replace(
            change,
            before=min(change.before * factor, 1.0),
            after=min(change.after * factor, 1.0),
            extra_turns=change.extra_turns * factor,
        )


@dataclass(frozen=True)
class Events:
    """What happened in a period.

    Attributes
    ----------
    releases: in the period shown. changes: those that start in it, the latest first. moved: cells
    that differ, or perhaps differ, between the compared periods, see
    `analysis.period_comparison.SCHEMA`; None where there is no period before. compared: how many
    cells were compared. domains: sums per domain, the largest first, at most `DOMAINS`.
    """

    releases: list[Release]
    changes: list[Change]
    moved: pa.Table | None
    compared: int
    domains: pa.Table


def headline(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    bounds: tuple[date, date],
    by: overview.Grain | None = None,
    against: Against = PREVIOUS,
) -> Headline | None:
    """The numbers of a filter; None if no turn passes it.

    `bounds` are the first and the last scored day. `by` is the grain of the trend, by default one
    that suits the length of the period; `against` is what the period is compared with. Raises
    UsageError for an unknown release.
    """
    compared = compared_periods(snapshot, model, chosen, bounds, against)
    if compared is None:
        return None
    shown, recent, previous = compared.shown, compared.recent, compared.previous
    by = by or overview.grain(shown.since, shown.until)
    trend = overview.trend(snapshot, model, chosen, by)
    total = overview.totals(trend)
    if not total.turns:
        return None
    all_periods = _hull(chosen, shown, previous)
    days = overview.sums(snapshot, model, all_periods)
    annotated = sampled(snapshot, model, all_periods)
    rates = _rates(days, annotated, shown)
    after: dict[str, Estimate] = {}
    before: dict[str, Estimate] = {}
    shifts: dict[str, Shift] = {}
    turns = (0, 0)
    if previous:
        turns = (_turns(days, recent), _turns(days, previous))
        if all(turns):
            after, before = _rates(days, annotated, recent), _rates(days, annotated, previous)
            if after["defect"].method != before["defect"].method:
                # The difference between two methods is not a change in the rate.
                after, before = _rates(days, None, recent), _rates(days, None, previous)
            shifts = {name: shift(after[name], before[name]) for name in after}
    scale = _scale(rates, total)
    within = scaled(shown.rows(days), scale)
    return Headline(
        compared, by, scaled(trend, scale), total, rates, after, before, shifts, turns, within,
        scale,
    )  # fmt: skip


def compared_periods(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    bounds: tuple[date, date],
    against: Against = PREVIOUS,
) -> Periods | None:
    """The periods of a filter, see `analysis.periods.periods`.

    Raises UsageError if `against` names a release that no turn shows.
    """
    released = None
    if against.release:
        known = {(r.stage, r.version): r.day for r in releases(snapshot, model)}
        released = known.get(against.release)
        if released is None:
            named = ", ".join(short(":".join(release), 40) for release in list(known)[-10:])
            raise UsageError(
                f"against={short(str(against), 60)} names a release without a known first day; "
                + (f"give one of {named}." if named else "no release appears in these turns.")
            )
    return periods(chosen, *bounds, against, released)


def events(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    bounds: tuple[date, date],
    against: Against = PREVIOUS,
) -> Events:
    """What happened within a filter; the arguments are those of `headline`.

    Its rates are the model's own; `Headline` has the factors to scale them by.
    """
    domains = overview.sums(snapshot, model, chosen, ("domain",), DOMAINS)
    compared = compared_periods(snapshot, model, chosen, bounds, against)
    if compared is None:
        return Events([], [], None, 0, domains)
    shown, recent, previous = compared.shown, compared.recent, compared.previous
    # Changes are found against what was normal before the period.
    history = max(bounds[0], shown.until - timedelta(days=HISTORY - 1))
    hull = _hull(chosen, Period(history, shown.until), previous)
    cells = overview.cells(snapshot, model, hull)
    past = Period(history, shown.until).rows(cells)
    pairs = moved(cells, previous, recent, q=1.0) if previous else None
    released = releases(snapshot, model)
    return Events(
        [release for release in released if shown.since <= release.day <= shown.until],
        [change for change in reversed(changes(past)) if change.start >= shown.since],
        None if pairs is None else pairs.filter(pc.field("q_value") <= PERHAPS),
        0 if pairs is None else pairs.num_rows,
        domains,
    )


def scaled(table: pa.Table, scale: Mapping[str, float]) -> pa.Table:
    """A table with columns `p_<failure>` or `sum_p_<failure>`, each times its factor.

    No sum exceeds the number of turns.
    """
    for name, factor in scale.items():
        for column in (f"p_{name}", f"sum_p_{name}"):
            if factor != 1 and column in table.column_names:
                most = table["turns"].cast(pa.float64())
                values = pc.min_element_wise(pc.multiply(table[column], factor), most)
                index = table.schema.get_field_index(column)
                table = table.set_column(index, column, values)
    return table


def _scale(rates: Mapping[str, Estimate], total: overview.Totals) -> dict[str, float]:
    return {
        name: 1.0
        if rates[name].method == MODEL or not total.sums[name]
        else rates[name].value * total.turns / total.sums[name]
        for name in FAILURES
    }


def _hull(chosen: Filter, shown: Period, previous: Period | None) -> Filter:
    """The filter over all days from the first to the last of two periods."""
    periods = [shown, previous] if previous else [shown]
    return replace(chosen, since=min(p.since for p in periods), until=max(p.until for p in periods))


def _rates(days: pa.Table, annotated: pa.Table | None, period: Period) -> dict[str, Estimate]:
    return estimate(period.rows(days), None if annotated is None else period.rows(annotated))


def _turns(days: pa.Table, period: Period) -> int:
    return int(pc.sum(period.rows(days)["turns"]).as_py() or 0)
