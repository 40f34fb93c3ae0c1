"""Whether a rule fires, from a snapshot of the store and the time.

Only complete days count: of a day that is still being logged, the turns that have arrived say
little about the rest. Turns with impossible dates belong to no day (`data.store.misdated`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import isinf, sqrt
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy.stats import t

from alerts.rule import Rule
from analysis.arrays import matrix
from analysis.logging_gaps import gaps
from analysis.rates import Array, Estimate
from analysis.segmentation import dispersion
from charts.formatting import minute, number, percent, several, short
from charts.sentences import burn_words, change_words, day_words
from data.queries import ingest_runs, overview, signal_coverage
from data.queries.filters import NOT_LOGGED, Filter
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from data.store import workspace
from report import contents

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

Answer = TypeVar("Answer")

# Hours after its end, UTC, from which a day without later turns counts as complete.
SETTLED_H = 2
# Days before those watched that say what is usual, and the fewest with turns that can.
_USUAL_DAYS, _FEWEST = 28, 7
# Of the usual range. A rule is looked at every day: at 95 % it would fire about once in 40 days.
_LEVEL = 0.999
# Days of signals that are searched for the day on which one was gone.
_SIGNAL_DAYS = 60
# Days in the chart of an alert.
CHART_DAYS = 28
_LISTED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a rule.

    Attributes
    ----------
    firing: None where the store cannot say.
    sentence: what was found, for people; it contains no words of users.
    value: what is held against the rule's bound. low, high: the 95 % interval of `value`; of the
    kind "unusual", the usual range. since, until: the days looked at.
    """

    firing: bool | None
    sentence: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    since: date | None = None
    until: date | None = None


class Figures:
    """What rules read from a snapshot; what several of them ask for is read once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._known: dict[Any, Any] = {}

    def once(self, key: Any, read: Callable[[], Answer]) -> Answer:
        """What `read` returned when it was first asked for `key`."""
        if key not in self._known:
            self._known[key] = read()
        answer: Answer = self._known[key]
        return answer

    @property
    def model(self) -> str | None:
        """The promoted model, else the one that has scored the most turns; None if none has."""
        return self.once("model", lambda: scorer(self.snapshot))

    @property
    def bounds(self) -> tuple[date, date] | None:
        """The first and the last scored day; None if there is none."""

        def read() -> tuple[date, date] | None:
            bounds = overview.bounds(self.snapshot, self.model) if self.model else None
            return bounds and bounds[:2]

        return self.once("bounds", read)

    def headline(self, chosen: Filter, bounds: tuple[date, date]) -> contents.Headline | None:
        """As `report.contents.headline`, of `model`; None without one."""
        model = self.model
        if model is None:
            return None
        return self.once(
            ("headline", chosen, bounds),
            lambda: contents.headline(self.snapshot, model, chosen, bounds),
        )

    @property
    def freshness(self) -> list[dict[str, Any]]:
        """As `data.queries.ingest_runs.freshness`."""
        return self.once("freshness", lambda: ingest_runs.freshness(self.snapshot).to_pylist())


def evaluate(figures: Figures, rule: Rule, now: datetime) -> Finding:
    """What a rule says of a snapshot at a time (with a time zone).

    Raises UsageError where the store cannot answer the rule's filter.
    """
    if rule.kind == "late":
        return _late(figures, rule, now)
    if rule.kind == "signal":
        return _signal(figures, rule, now)
    model, bounds = figures.model, figures.bounds
    if model is None or bounds is None:
        return Finding(None, "No turn has been scored.")
    until = complete_day(bounds[1], now)
    since = until - timedelta(days=rule.days - 1)
    if until < bounds[0]:
        return Finding(None, "No day is complete yet.")
    chosen = replace(rule.chosen, since=since, until=until)
    found = _OF_TURNS[rule.kind](figures, rule, model, chosen, (bounds[0], until))
    return replace(found, since=since, until=until)


def complete_day(last: date, now: datetime) -> date:
    """The last complete day, where `last` is the newest with turns."""
    today = now.astimezone(UTC).date()
    settled = (now.astimezone(UTC) - timedelta(hours=SETTLED_H)).date() - timedelta(days=1)
    # Turns of today show that yesterday is over; clocks may be ahead by a day, but not more.
    over = today - timedelta(days=1) if last >= today else settled
    return min(last, over)


def scorer(snapshot: Snapshot) -> str | None:
    """The promoted model, else the one that has scored the most turns; None if none has."""
    models = overview.models(snapshot)
    return snapshot.model if snapshot.model in models else models[0] if models else None


def _nothing(rule: Rule) -> Finding:
    return Finding(None, f"No turn of {rule.chosen.caption()} in these days.")


def _days(chosen: Filter) -> str:
    since, until = chosen.since, chosen.until
    assert since
    assert until
    if since == until:
        return f"on {day_words(until, True)}"
    return f"from {day_words(since, True)} to {day_words(until, True)}"


def _rate(
    figures: Figures, rule: Rule, model: str, chosen: Filter, bounds: tuple[date, date]
) -> Finding:
    head = figures.headline(chosen, bounds)
    if head is None:
        return _nothing(rule)
    rate = head.rates[rule.point]
    bound = rule.bound or 0.0
    firing = rate.low > bound
    verb = "is above" if firing else "is not clearly above" if rate.value > bound else "is within"
    sentence = f"{rule.subject}: {_estimate(rate)} {_days(chosen)} {verb} {percent(bound)}."
    return Finding(firing, sentence, rate.value, rate.low, rate.high)


def _estimate(rate: Estimate) -> str:
    return (
        f"{percent(rate.value)} ({percent(rate.low)} to {percent(rate.high)}) of "
        f"{several(rate.turns, 'turn')}"
    )


def _unusual(
    figures: Figures, rule: Rule, model: str, chosen: Filter, bounds: tuple[date, date]
) -> Finding:
    """Whether the rate is above what the days before foretell.

    Days differ by more than chance, so the variance of a sum over days is its mean times a
    dispersion (quasi-likelihood: McCullagh and Nelder 1989, Generalized Linear Models, section
    6.2.3), estimated from the days before as for change points and at least that of independent
    turns; with Student's t for as many days.
    """
    assert chosen.since
    before = replace(
        chosen,
        since=chosen.since - timedelta(days=_USUAL_DAYS),
        until=chosen.since - timedelta(days=1),
    )
    names = FAILURES if rule.failure_point is None else (rule.failure_point,)
    now, total, _ = _sums(figures, model, chosen, names, rule.point)
    turns, failed, squares = _sums(figures, model, before, names, rule.point)
    if not now.sum():
        return _nothing(rule)
    if len(turns) < _FEWEST or not failed.sum():
        return Finding(None, f"Fewer than {_FEWEST} days before say what is usual.")
    value = float(total.sum() / now.sum())
    usual = float(failed.sum() / turns.sum())
    spread = max(dispersion(turns, failed), float(squares.sum() / failed.sum()))
    error = sqrt(spread * usual * (1 / now.sum() + 1 / turns.sum()))
    half = float(t.ppf((1 + _LEVEL) / 2, len(turns) - 1)) * error
    low, high = max(0.0, usual - half), min(1.0, usual + half)
    firing = value > high
    where = "above" if firing else "below" if value < low else "within"
    sentence = (
        f"{rule.subject}: {percent(value)} of {several(int(now.sum()), 'turn')} {_days(chosen)}, "
        f"{where} the {percent(low)} to {percent(high)} that the {_USUAL_DAYS} days before "
        "foretell (model estimates)."
    )
    return Finding(firing, sentence, value, low, high)


def _sums(
    figures: Figures, model: str, chosen: Filter, names: Sequence[str], point: str
) -> tuple[Array, Array, Array]:
    """Turns, and sums of p and of p squared, per day with turns, each of the shape (days,)."""
    table = figures.once(("sums", chosen), lambda: overview.sums(figures.snapshot, model, chosen))
    turns, squares = matrix(table, ["turns", f"sum_pp_{point}"]).T
    return turns, matrix(table, [f"sum_p_{name}" for name in names]).sum(1), squares


def _change(
    figures: Figures, rule: Rule, model: str, chosen: Filter, bounds: tuple[date, date]
) -> Finding:
    head = figures.headline(chosen, bounds)
    if head is None:
        return _nothing(rule)
    happened = figures.once(
        ("events", chosen, bounds),
        lambda: contents.events(figures.snapshot, model, chosen, bounds),
    )
    rose = [
        head.scaled_change(change)
        for change in happened.changes
        if change.end is None
        and change.extra_turns > 0
        and rule.failure_point in (None, change.failure_point)
    ]
    if not rose:
        return Finding(False, f"{rule.subject}: no rate rose to another level {_days(chosen)}.")
    listed = _listed([change_words(change) for change in rose])
    return Finding(True, f"{listed}.", rose[0].after)


def _budget(
    figures: Figures, rule: Rule, model: str, chosen: Filter, bounds: tuple[date, date]
) -> Finding:
    targets = figures.once("targets", lambda: workspace.targets(figures.snapshot))
    if rule.failure_point:
        targets = {k: v for k, v in targets.items() if k == rule.failure_point}
    if not targets:
        return Finding(None, f"{rule.subject} has no target; set one on the page Overview.")
    head = figures.headline(chosen, bounds)
    if head is None:
        return _nothing(rule)
    budgets = [budget for budget in head.budgets(targets) if budget.burn_rate is not None]
    if not budgets:
        return _nothing(rule)
    bound = rule.bound or 0.0
    fast = [budget for budget in budgets if (budget.burn_rate or 0.0) > bound]
    listed = _listed(
        [
            f"{NAMES[b.failure_point]} burns its error budget {burn_words(b)} as fast as it may"
            for b in fast or budgets
        ]
    )
    worst = max(budget.burn_rate or 0.0 for budget in budgets)
    sentence = f"{listed} in the last week up to {day_words(bounds[1], True)}."
    return Finding(bool(fast), sentence, None if isinf(worst) else worst)


def _late(figures: Figures, rule: Rule, now: datetime) -> Finding:
    rows = figures.freshness
    asked = rule.chosen.assistant
    if asked:
        rows = [row for row in rows if (row["assistant"] or NOT_LOGGED) in asked]
    if not rows:
        return Finding(None, f"There is no turn of {rule.chosen.caption()}.")
    hours = rule.bound or 0.0
    late = [row for row in rows if row["newest"] < now - timedelta(hours=hours)]
    # Unless it is asked for, an assistant that was retired is not late; all of them together are.
    if not late or (not asked and len(late) < len(rows)):
        return Finding(False, f"The newest turn is less than {number(hours)} h old.")
    names = _listed([short(row["assistant"] or NOT_LOGGED, 60) for row in late])
    when = minute(max(row["newest"] for row in late), UTC)
    whose = f" of {names}" if asked else ""
    return Finding(True, f"No turn{whose} since {when}, for more than {number(hours)} h.")


def _signal(figures: Figures, rule: Rule, now: datetime) -> Finding:
    rows = figures.freshness
    if not rows:
        return Finding(None, "There is no turn.")
    until = complete_day(max(row["last_day"] for row in rows), now)
    since = until - timedelta(days=rule.days - 1)
    chosen = replace(
        rule.chosen, since=until - timedelta(days=_SIGNAL_DAYS + rule.days - 1), until=until
    )
    snapshot = figures.snapshot
    read = signal_coverage.days(snapshot, chosen)
    coverage = figures.once(
        ("signals", chosen), lambda: signal_coverage.logged(snapshot, chosen, read)
    )
    lost = [gap for gap in gaps(coverage) if gap.lost and gap.day >= since]
    if not lost:
        sentence = "Every signal is logged as often as before."
        return Finding(False, sentence, since=since, until=until)
    listed = _listed(
        [
            f"{short(gap.assistant or 'an unnamed assistant', 60)} stopped logging "
            f"{short(gap.signal, 60)} on {day_words(gap.day, True)}: missing in "
            f"{percent(gap.after, 0)} of turns, before in {percent(gap.before, 0)}"
            for gap in lost
        ]
    )
    return Finding(True, f"{listed}.", lost[0].after, since=since, until=until)


def _listed(parts: list[str]) -> str:
    rest = len(parts) - _LISTED
    return "; ".join(parts[:_LISTED]) + (f"; and {rest} more" if rest > 0 else "")


_OF_TURNS: dict[str, Callable[..., Finding]] = {
    "rate": _rate,
    "unusual": _unusual,
    "change": _change,
    "budget": _budget,
}


def daily(figures: Figures, rule: Rule, until: date) -> list[tuple[date, float]]:
    """Days up to `until` and the estimated rate of each that has turns, for a chart.

    Scaled as on the page Overview, so that days add up to the rate of the period.
    """
    bounds = figures.bounds
    if bounds is None:
        return []
    since = until - timedelta(days=max(CHART_DAYS, rule.days) - 1)
    chosen = replace(rule.chosen, since=since, until=until)
    head = figures.headline(chosen, (bounds[0], until))
    if head is None:
        return []
    names = FAILURES if rule.failure_point is None else (rule.failure_point,)
    days: list[Any] = head.days["day"].to_pylist()
    turns = matrix(head.days, ["turns"])[:, 0]
    failed = matrix(head.days, [f"sum_p_{name}" for name in names]).sum(1)
    return list(zip(days, np.minimum(failed / turns, 1.0).tolist(), strict=True))
