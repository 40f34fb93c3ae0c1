"""Change points: when the failure rate of a stage shifted, in which traffic, since which release.

Daily rates of every failure point, over all traffic and for each value of each dimension, are cut
into segments in two ways: at edges estimated from the days (`analysis.segmentation`), and at the
releases of the stage, which are known beforehand. A segment that differs from the normal level
before it is a candidate and is tested; the false discovery rate is controlled (Benjamini and
Hochberg 1995), separately for all traffic and for its parts. One cause shows in many parts: a
change that vanishes without the rows of a clearer change of the same time is folded into that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from analysis.arrays import by_code, dictionary, matrix, need
from analysis.segmentation import (
    SHORTEST,
    Level,
    breakpoints,
    dispersion,
    gain,
    left_over,
    scan_p,
    single_p,
)
from data.schema.trace import FAILURES, STAGES
from data.schema.vocabulary import stage_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Where = tuple[tuple[str, str | None], ...]

# Versions are left out: they change over time by themselves; releases are attached to changes.
DIMENSIONS = ("assistant", "locale", "device_type", "domain", "intent")
# With fewer turns a day, or a smaller sum of probabilities over all days, there is no clear level.
TURNS_A_DAY = 5.0
FAILED = 10.0
# Values per dimension, the largest first: bounds the work where a log has hundreds of intents.
VALUES = 40
# A change of fewer failed turns is not an incident, and tests are unreliable for such numbers.
LEAST = 5.0
# A level that lasts this many days is the new normal level.
NORMAL_DAYS = 14
# One cause seen in two parts starts on the same day, give or take this many days.
SAME_START = 3
RELEASE_DAYS = 2
# p-values below which a level differs from the normal one, and below which a change that is tested
# without the rows of a clearer change remains a change of its own.
_DIFFERENT = 0.01
_REMAINS = 0.001


@dataclass(frozen=True)
class Change:
    """A shift of the rate of a failure point from one level to another.

    Attributes
    ----------
    where: the dimension and value it concerns (None for a null value); () for all traffic.
    start, end: its first and last day; `end` is None while it lasts.
    before, after: rates, as shares of turns.
    extra_turns: failed turns beyond those expected at the level before; negative for an
    improvement.
    p_value: corrected for the search for a segment. q_value: corrected for the number of series.
    release: the version of the stage that first appeared at most two days before the start.
    """

    failure_point: str
    where: Where
    start: date
    end: date | None
    before: float
    after: float
    extra_turns: float
    p_value: float
    q_value: float
    release: str | None


@dataclass(frozen=True)
class _Candidate:
    """A segment of days [first, last) against the normal level before it."""

    point: int
    where: Where
    first: int
    last: int
    before: Level
    after: Level
    normal: Mask
    dispersion: float
    statistic: float
    # Days of the series that were searched for the segment; 0 if its edges were known beforehand.
    searched: int
    q: float = 1.0

    @cached_property
    def p(self) -> float:
        return self.p_of(self.statistic)

    def p_of(self, statistic: float) -> float:
        """The p-value of a statistic, for a segment that was selected as this one was."""
        return scan_p(statistic, self.searched) if self.searched else single_p(statistic)

    @property
    def extra(self) -> float:
        """Failed turns beyond those expected at the level before."""
        return (self.after.rate - self.before.rate) * self.after.turns

    def eases(self, rate: float) -> bool:
        """Whether a rate lies between the two levels of the change, its new level included."""
        shift = self.after.rate - self.before.rate
        deviation = rate - self.before.rate
        return deviation * shift > 0 and abs(deviation) <= abs(shift)


@dataclass(frozen=True)
class _Series:
    """Turns and sums of probabilities per day; `least`: the dispersion of independent turns."""

    point: int
    where: Where
    turns: Array
    total: Array
    least: float


class _Days:
    """The rows of a roll-up as arrays: day number, turns, sums of the failures, dimensions."""

    def __init__(self, rollup: pa.Table) -> None:
        need(rollup, ["day", *DIMENSIONS])
        day = rollup["day"].cast(pa.date32()).cast(pa.int32()).to_numpy()
        self.first = int(day.min())
        self.day = day - self.first
        self.days = int(self.day.max()) + 1
        self.turns = matrix(rollup, ["turns"])[:, 0]
        self.total = matrix(rollup, [f"sum_p_{name}" for name in FAILURES])
        squares = [f"sum_pp_{name}" for name in FAILURES]
        has_squares = set(squares) <= set(rollup.column_names)
        self.squares = matrix(rollup, squares) if has_squares else np.zeros_like(self.total)
        self.codes: dict[str, NDArray[np.int64]] = {}
        self.values: dict[str, list[str | None]] = {}
        for name in DIMENSIONS:
            self.codes[name], self.values[name] = dictionary(rollup, name)

    def date(self, day: int) -> date:
        return date(1970, 1, 1) + timedelta(days=self.first + day)

    def mask(self, where: Where) -> Mask:
        """Which rows belong to a part, shape (rows,)."""
        inside = np.ones(len(self.day), bool)
        for name, value in where:
            inside &= self.codes[name] == self.values[name].index(value)
        return inside

    def series(
        self, rows: Mask, points: Sequence[int] = range(len(FAILURES))
    ) -> tuple[Array, Array]:
        """Turns (days,) and sums of probabilities (days, points) of the rows in a mask."""
        day = self.day[rows]
        total = [by_code(day, self.total[rows, point], self.days) for point in points]
        return by_code(day, self.turns[rows], self.days), np.column_stack(total)

    def parts(self) -> Iterator[_Series]:
        """The series of all traffic, then of every value with enough turns, per failure point."""
        yield from self._per_point((), np.ones(len(self.day), bool))
        for name in DIMENSIONS:
            turns = by_code(self.codes[name], self.turns, len(self.values[name]))
            largest = np.argsort(-turns, kind="stable")[:VALUES]
            for code in largest[turns[largest] >= TURNS_A_DAY * self.days]:
                if len(turns) > 1:
                    where = ((name, self.values[name][code]),)
                    yield from self._per_point(where, self.codes[name] == code)

    def _per_point(self, where: Where, rows: Mask) -> Iterator[_Series]:
        turns, total = self.series(rows)
        squares = self.squares[rows].sum(0)
        for point, failed in enumerate(total.sum(0)):
            if failed >= FAILED:
                least = float(squares[point] / failed)
                yield _Series(point, where, turns, np.ascontiguousarray(total[:, point]), least)


def changes(rollup: pa.Table, q: float = 0.01) -> list[Change]:
    """The changes in the rows of a roll-up, the earliest first.

    Parameters
    ----------
    rollup
        Columns day, assistant, locale, device_type, domain, intent, version_<stage>, turns,
        sum_p_<class>, and optionally sum_pp_<class>; of one model, under any filter.
    q
        The false discovery rate to allow; a hundredth by default, because sums of a few
        probabilities have longer tails than the chi-squared distribution they are tested with.
    """
    if not rollup.num_rows:
        return []
    days = _Days(rollup)
    releases = _releases(rollup, days)
    whole: list[_Candidate | None] = []
    parts: list[_Candidate | None] = []
    every = list(days.parts())
    shape = len(every), days.days
    estimated = breakpoints(
        np.array([series.turns for series in every]).reshape(shape),
        np.array([series.total for series in every]).reshape(shape),
        np.array([series.least for series in every]),
    )
    for series, edges in zip(every, estimated, strict=True):
        tests = parts if series.where else whole
        tests.extend(_candidates(series, edges, searched=True) or [None])
        edges = _edges(releases, series.point, days.days)
        if edges:
            tests.extend(_candidates(series, edges, searched=False) or [None])
    clearest = _fold(days, [*_discoveries(whole, q), *_discoveries(parts, q)])
    return sorted(
        (_change(candidate, days, releases) for candidate in clearest),
        key=lambda c: (c.start, FAILURES.index(c.failure_point)),
    )


def _candidates(series: _Series, edges: list[int], *, searched: bool) -> list[_Candidate]:
    """Segments that leave the normal level; the return to it ends a change and is not one itself.

    A level that lasted `NORMAL_DAYS` is the normal one from then on. A segment that lies between
    the normal level and the changed level right before it belongs to the same change. `searched`:
    whether the edges were selected by how the days differ.
    """
    if not edges:
        return []
    turns, total = series.turns, series.total
    spread = max(dispersion(turns, total), left_over(turns, total, edges), series.least)
    bounds = [*edges, len(turns)]
    normal = np.zeros(len(turns), bool)
    normal[: edges[0]] = True
    candidates: list[_Candidate] = []
    opened: _Candidate | None = None
    for first, last in pairwise(bounds):
        before = _level(turns, total, normal)
        here = _level(turns, total, np.arange(first, last))
        if single_p(gain(before, here) / spread) >= _DIFFERENT:
            normal[first:last] = True
            opened = None
            continue
        if opened and opened.eases(here.rate):
            candidates.pop()
            first = opened.first
            here = _level(turns, total, np.arange(first, last))
        statistic = gain(before, here) / spread
        searched_days = int((turns > 0).sum()) if searched else 0
        opened = _Candidate(
            series.point,
            series.where,
            first,
            last,
            before,
            here,
            normal.copy(),
            spread,
            statistic,
            searched_days,
        )
        candidates.append(opened)
        if last - first >= NORMAL_DAYS:
            opened = None
            normal[:] = False
            normal[first:last] = True
    return [candidate for candidate in candidates if abs(candidate.extra) >= LEAST]


def _level(turns: Array, total: Array, days: NDArray[np.int64] | Mask) -> Level:
    return Level(float(turns[days].sum()), float(total[days].sum()))


def _discoveries(tested: Sequence[_Candidate | None], q: float) -> list[_Candidate]:
    """The candidates with a q-value of at most `q`; None is a series without any, with p = 1."""
    if not tested:
        return []
    p = np.array([candidate.p if candidate else 1.0 for candidate in tested])
    adjusted = false_discovery_control(p)
    return [
        replace(candidate, q=float(value))
        for candidate, value in zip(tested, adjusted, strict=True)
        if candidate and value <= q
    ]


def _fold(days: _Days, candidates: list[_Candidate]) -> list[_Candidate]:
    """The clearest change of each cause; others that vanish without its rows are left out.

    The clearest change has the smallest p-value: a cause in one part is diluted in all traffic,
    and a cause in all traffic shows in a part with fewer turns. A shift back after a cause, from
    the level that the cause had set, is its echo and not an improvement.
    """
    open_ = sorted(candidates, key=lambda other: (other.p, -other.statistic, len(other.where)))
    clearest: list[_Candidate] = []
    while open_:
        best = open_.pop(0)
        clearest.append(best)
        part = days.mask(best.where)
        during = part & (days.day >= best.first) & (days.day < best.last)
        open_ = [
            other
            for other in open_
            if not (_together(best, other) and not _remains(days, other, part))
            and not (_echo(best, other) and not _remains(days, other, during))
        ]
    return clearest


def _together(change: _Candidate, other: _Candidate) -> bool:
    """Whether two changes may have one cause: same failure point, direction and time."""
    if change.point != other.point or change.extra * other.extra < 0:
        return False
    shared = min(change.last, other.last) - max(change.first, other.first)
    length = min(change.last - change.first, other.last - other.first)
    return abs(change.first - other.first) <= SAME_START or shared >= length / 2


def _echo(change: _Candidate, other: _Candidate) -> bool:
    """Whether `other` is a shift back from the level that `change` had set."""
    same = change.point == other.point and change.extra * other.extra < 0
    return same and bool(other.normal[change.first : change.last].any())


def _remains(days: _Days, candidate: _Candidate, without: Mask) -> bool:
    """Whether a change remains, in the same direction, without the rows of a mask."""
    turns, total = days.series(days.mask(candidate.where) & ~without, [candidate.point])
    before = _level(turns, total[:, 0], candidate.normal)
    after = _level(turns, total[:, 0], np.arange(candidate.first, candidate.last))
    same = (after.rate - before.rate) * candidate.extra > 0
    return same and candidate.p_of(gain(before, after) / candidate.dispersion) < _REMAINS


def _releases(rollup: pa.Table, days: _Days) -> dict[str, dict[str, int]]:
    """Per stage, the first day of each version; versions seen on day 0 are left out."""
    releases: dict[str, dict[str, int]] = {}
    for stage in STAGES:
        name = f"version_{stage}"
        if name in rollup.column_names:
            first = rollup.select([name, "day"]).group_by(name).aggregate([("day", "min")])
            releases[stage] = {
                row[name]: (row["day_min"] - date(1970, 1, 1)).days - days.first
                for row in first.to_pylist()
                if row[name] is not None and row["day_min"] != days.date(0)
            }
    return releases


def _edges(releases: dict[str, dict[str, int]], point: int, days: int) -> list[int]:
    """First days of the stage's releases that leave segments of at least two days."""
    edges: list[int] = []
    for first in sorted(set(releases.get(stage_of(FAILURES[point]), {}).values())):
        if first - (edges[-1] if edges else 0) >= SHORTEST and days - first >= SHORTEST:
            edges.append(first)
    return edges


def _change(candidate: _Candidate, days: _Days, releases: dict[str, dict[str, int]]) -> Change:
    point = FAILURES[candidate.point]
    recent = {
        version: first
        for version, first in releases.get(stage_of(point), {}).items()
        if 0 <= candidate.first - first <= RELEASE_DAYS
    }
    return Change(
        failure_point=point,
        where=candidate.where,
        start=days.date(candidate.first),
        end=None if candidate.last == days.days else days.date(candidate.last - 1),
        before=candidate.before.rate,
        after=candidate.after.rate,
        extra_turns=candidate.extra,
        p_value=candidate.p,
        q_value=candidate.q,
        release=max(recent, key=lambda version: recent[version]) if recent else None,
    )
