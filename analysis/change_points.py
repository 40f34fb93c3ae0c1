"""Change points: when a stage's failure rate took another level, where, and since which release.

Daily rates of every failure point, of all traffic and of each value of each dimension, are cut into
segments where the days say so (`analysis.segmentation`), and once more where the stage had a
release, which nobody had to look for. A segment that differs from the normal level before it is a
candidate and is tested; false discoveries are controlled (Benjamini and Hochberg 1995), among
all traffic and among its parts. One cause shows in many parts: what vanishes without the rows
of a clearer change of the same time is folded into that.
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

from analysis.arrays import (
    by_code,
    matrix,
    need,
)
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

# A version has its time in its name; releases are attached to changes instead.
DIMENSIONS = ("assistant", "locale", "device_type", "domain", "intent")
# Fewer turns a day, or probabilities that add up to less over all days, tell no level.
TURNS_A_DAY = 5.0
FAILED = 10.0
# Values per dimension, the largest first: bounds the work where a log has hundreds of intents.
VALUES = 40
# A change of fewer failed turns is nobody's incident, and no test is good at such numbers.
LEAST = 5.0
# A level that lasts so long is the new normal one.
NORMAL_DAYS = 14
# One cause seen in two parts starts on the same day, give or take so many.
SAME_START = 3
RELEASE_DAYS = 2
# p-values below which a level is another one, and below which what a clearer change leaves of a
# less clear one is a change of its own.
_DIFFERENT = 0.01
_REMAINS = 0.001


@dataclass(frozen=True)
class Change:
    """A failure point's rate, from one level to another.

    Attributes
    ----------
    where: the dimension and value that it concerns (a null value reads None); () for all traffic.
    start, end: its first and last day; `end` None while it lasts. before, after: shares of turns.
    extra_turns: failed turns in it beyond those of the level before; negative for the better.
    p_value: for a segment that was looked for. q_value: after correction for the number of series.
    release: the version of its stage that was first seen within two days before its start.
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
    # The days of the series if the segment was chosen for how they differ, else 0.
    searched: int
    q: float = 1.0

    @cached_property
    def p(self) -> float:
        return self.p_of(self.statistic)

    def p_of(self, statistic: float) -> float:
        """How surprising a statistic is that was found the way this was."""
        return scan_p(statistic, self.searched) if self.searched else single_p(statistic)

    @property
    def extra(self) -> float:
        """Failed turns beyond those of the level before."""
        return (self.after.rate - self.before.rate) * self.after.turns

    def eases(self, rate: float) -> bool:
        """Whether a rate lies between the levels of the change, or at its own."""
        moved = self.after.rate - self.before.rate
        away = rate - self.before.rate
        return away * moved > 0 and abs(away) <= abs(moved)


@dataclass(frozen=True)
class _Series:
    """Turns and sums per day; `least`: the dispersion if turns were independent."""

    point: int
    where: Where
    turns: Array
    total: Array
    least: float


class _Days:
    """The roll-up's rows as arrays: the day's number, turns, sums of the failures, dimensions."""

    def __init__(self, rollup: pa.Table) -> None:
        need(rollup, ["day", *DIMENSIONS])
        day = rollup["day"].cast(pa.date32()).cast(pa.int32()).to_numpy()
        self.first = int(day.min())
        self.day = day - self.first
        self.days = int(self.day.max()) + 1
        self.turns = matrix(rollup, ["turns"])[:, 0]
        self.total = matrix(rollup, [f"sum_p_{name}" for name in FAILURES])
        squares = [f"sum_pp_{name}" for name in FAILURES]
        known = set(squares) <= set(rollup.column_names)
        self.squares = matrix(rollup, squares) if known else np.zeros_like(self.total)
        self.codes: dict[str, NDArray[np.int64]] = {}
        self.values: dict[str, list[str | None]] = {}
        for name in DIMENSIONS:
            encoded = rollup[name].combine_chunks().dictionary_encode(null_encoding="encode")
            if isinstance(encoded, pa.ChunkedArray):
                encoded = encoded.combine_chunks()
            self.codes[name] = encoded.indices.to_numpy().astype(np.int64)
            self.values[name] = encoded.dictionary.to_pylist()

    def date(self, day: int) -> date:
        return date(1970, 1, 1) + timedelta(days=self.first + day)

    def mask(self, where: Where) -> Mask:
        """Which rows a part has."""
        found = np.ones(len(self.day), bool)
        for name, value in where:
            found &= self.codes[name] == self.values[name].index(value)
        return found

    def series(
        self, rows: Mask, points: Sequence[int] = range(len(FAILURES))
    ) -> tuple[Array, Array]:
        """Turns (days,) and sums (days, points) of some rows; of all failure points by default."""
        day = self.day[rows]
        total = [by_code(day, self.total[rows, point], self.days) for point in points]
        return by_code(day, self.turns[rows], self.days), np.column_stack(total)

    def parts(self) -> Iterator[_Series]:
        """All traffic, then every value with enough turns, for each failure point."""
        yield from self._all((), np.ones(len(self.day), bool))
        for name in DIMENSIONS:
            turns = by_code(self.codes[name], self.turns, len(self.values[name]))
            largest = np.argsort(-turns, kind="stable")[:VALUES]
            for code in largest[turns[largest] >= TURNS_A_DAY * self.days]:
                if len(turns) > 1:
                    where = ((name, self.values[name][code]),)
                    yield from self._all(where, self.codes[name] == code)

    def _all(self, where: Where, rows: Mask) -> Iterator[_Series]:
        turns, total = self.series(rows)
        squares = self.squares[rows].sum(0)
        for point, failed in enumerate(total.sum(0)):
            if failed >= FAILED:
                least = float(squares[point] / failed)
                yield _Series(point, where, turns, np.ascontiguousarray(total[:, point]), least)


def changes(rollup: pa.Table, q: float = 0.01) -> list[Change]:
    """The changes in rows of a roll-up, the earliest first.

    `rollup`: the columns day, assistant, locale, device_type, domain, intent, version_<stage>,
    turns, sum_p_<class>, and if there are any sum_pp_<class>; one model's, any filter.
    `q`: the share of false discoveries to allow; a hundredth, because sums of a few probabilities
    have longer tails than the chi-squared distribution they are tested with.
    """
    if not rollup.num_rows:
        return []
    days = _Days(rollup)
    releases = _releases(rollup, days)
    whole: list[_Candidate | None] = []
    parts: list[_Candidate | None] = []
    for one in days.parts():
        tested = parts if one.where else whole
        edges = breakpoints(one.turns, one.total, one.least)
        tested.extend(_candidates(one, edges, chosen=True) or [None])
        edges = _edges(releases, one.point, days.days)
        if edges:
            tested.extend(_candidates(one, edges, chosen=False) or [None])
    kept = _fold(days, [*_discoveries(whole, q), *_discoveries(parts, q)])
    return sorted(
        (_change(one, days, releases) for one in kept),
        key=lambda c: (c.start, FAILURES.index(c.failure_point)),
    )


def _candidates(one: _Series, edges: list[int], *, chosen: bool) -> list[_Candidate]:
    """Segments that leave the normal level; returning to it ends them and is none itself.

    A level that lasted `NORMAL_DAYS` is the normal one from then on. A segment between the normal
    level and a worse one before it is part of the same change. `chosen`: whether the edges were
    chosen for how the days differ.
    """
    if not edges:
        return []
    turns, total = one.turns, one.total
    spread = max(dispersion(turns, total), left_over(turns, total, edges), one.least)
    bounds = [*edges, len(turns)]
    normal = np.zeros(len(turns), bool)
    normal[: edges[0]] = True
    found: list[_Candidate] = []
    opened: _Candidate | None = None
    for first, last in pairwise(bounds):
        before = _level(turns, total, normal)
        here = _level(turns, total, np.arange(first, last))
        if single_p(gain(before, here) / spread) >= _DIFFERENT:
            normal[first:last] = True
            opened = None
            continue
        if opened and opened.eases(here.rate):
            found.pop()
            first = opened.first
            here = _level(turns, total, np.arange(first, last))
        statistic = gain(before, here) / spread
        searched = int((turns > 0).sum()) if chosen else 0
        opened = _Candidate(
            one.point,
            one.where,
            first,
            last,
            before,
            here,
            normal.copy(),
            spread,
            statistic,
            searched,
        )
        found.append(opened)
        if last - first >= NORMAL_DAYS:
            opened = None
            normal[:] = False
            normal[first:last] = True
    return [one for one in found if abs(one.extra) >= LEAST]


def _level(turns: Array, total: Array, days: NDArray[np.int64] | Mask) -> Level:
    return Level(float(turns[days].sum()), float(total[days].sum()))


def _discoveries(tested: Sequence[_Candidate | None], q: float) -> list[_Candidate]:
    """Those that hold among all that was tested; a series without any has p = 1."""
    if not tested:
        return []
    p = np.array([one.p if one else 1.0 for one in tested])
    adjusted = false_discovery_control(p)
    return [
        replace(one, q=float(value))
        for one, value in zip(tested, adjusted, strict=True)
        if one and value <= q
    ]


def _fold(days: _Days, found: list[_Candidate]) -> list[_Candidate]:
    """The clearest change of each cause; others that vanish without its rows are left out.

    Clearest is the smallest p-value: a cause in one part drowns in all traffic, and one
    everywhere is seen in a part with fewer turns. What ends with a cause is its echo, not an
    improvement, where the level before it was that of the cause.
    """
    left = sorted(found, key=lambda one: (one.p, -one.statistic, len(one.where)))
    kept: list[_Candidate] = []
    while left:
        best = left.pop(0)
        kept.append(best)
        part = days.mask(best.where)
        during = part & (days.day >= best.first) & (days.day < best.last)
        left = [
            one
            for one in left
            if not (_together(best, one) and not _remains(days, one, part))
            and not (_echo(best, one) and not _remains(days, one, during))
        ]
    return kept


def _together(one: _Candidate, other: _Candidate) -> bool:
    """Whether two changes may be one: the same failure point, direction and time."""
    if one.point != other.point or one.extra * other.extra < 0:
        return False
    shared = min(one.last, other.last) - max(one.first, other.first)
    length = min(one.last - one.first, other.last - other.first)
    return abs(one.first - other.first) <= SAME_START or shared >= length / 2


def _echo(one: _Candidate, other: _Candidate) -> bool:
    """Whether another change is away from a level that one of them had made."""
    same = one.point == other.point and one.extra * other.extra < 0
    return same and bool(other.normal[one.first : one.last].any())


def _remains(days: _Days, one: _Candidate, gone: Mask) -> bool:
    """Whether a change is still there, the same way, without some rows."""
    turns, total = days.series(days.mask(one.where) & ~gone, [one.point])
    before = _level(turns, total[:, 0], one.normal)
    after = _level(turns, total[:, 0], np.arange(one.first, one.last))
    same = (after.rate - before.rate) * one.extra > 0
    return same and one.p_of(gain(before, after) / one.dispersion) < _REMAINS


def _releases(rollup: pa.Table, days: _Days) -> dict[str, dict[str, int]]:
    """Per stage, the first day of every version but those of the first day."""
    found: dict[str, dict[str, int]] = {}
    for stage in STAGES:
        name = f"version_{stage}"
        if name in rollup.column_names:
            first = rollup.select([name, "day"]).group_by(name).aggregate([("day", "min")])
            found[stage] = {
                row[name]: (row["day_min"] - date(1970, 1, 1)).days - days.first
                for row in first.to_pylist()
                if row[name] is not None and row["day_min"] != days.date(0)
            }
    return found


def _edges(releases: dict[str, dict[str, int]], point: int, days: int) -> list[int]:
    """First days of a stage's releases that leave segments of two days and more."""
    found: list[int] = []
    for first in sorted(set(releases.get(stage_of(FAILURES[point]), {}).values())):
        if first - (found[-1] if found else 0) >= SHORTEST and days - first >= SHORTEST:
            found.append(first)
    return found


def _change(one: _Candidate, days: _Days, releases: dict[str, dict[str, int]]) -> Change:
    point = FAILURES[one.point]
    near = {
        version: first
        for version, first in releases.get(stage_of(point), {}).items()
        if 0 <= one.first - first <= RELEASE_DAYS
    }
    return Change(
        failure_point=point,
        where=one.where,
        start=days.date(one.first),
        end=None if one.last == days.days else days.date(one.last - 1),
        before=one.before.rate,
        after=one.after.rate,
        extra_turns=one.extra,
        p_value=one.p,
        q_value=one.q,
        release=max(near, key=lambda version: near[version]) if near else None,
    )
