"""Slices with the same cause, folded under one of them.

Slices are taken by impact. Each raises the expected rate of its turns; a later slice stands on its
own only if it fails clearly more than already expected of its turns.

A band of ASR confidence is a symptom, not a cause: that uncertain recognitions fail explains as
little of a release as fever explains of an infection. So is whatever else the stage itself put out
(`symptoms`). A slice with a symptom therefore explains only other slices with the same one, and one
of these stands for them all: the other slices show where the problem lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.slices.cells import Dimension
from data.queries.dimensions import DIMENSIONS
from progress import Progress, silent

# A slice with this share of its excess explained by others is redundant.
EXPLAINED = 2 / 3
# A part of a slice with this share of its excess may describe it better.
WHOLE = 0.8
# How sure the recogniser was says of no stage where it fails. The number of words heard is the
# recogniser's own output; to the stages after it, it is what a request is like.
_UNCERTAIN = frozenset({"confidence"})
_RECOGNISED = frozenset({"confidence", "words"})
# Slices whose turns are examined at most.
_MOST_EXAMINED = 400
FOLDING = "folding overlapping slices"
# Normal quantiles: of a slice that stands on its own (two-sided 1 %), and of a part that stands
# for its slice, which is larger because one of hundreds of parts is selected.
_Z = 2.575829
_Z_PART = 4.0


def symptoms(failure_point: str) -> frozenset[str]:
    """The dimensions that are evidence of the stage, and do not say where it fails."""
    return _RECOGNISED if failure_point in ("false_wake", "asr", "defect") else _UNCERTAIN


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell with its statistics: dimensions and their codes, numbered as in `cells`."""

    dimensions: tuple[int, ...]
    codes: tuple[int, ...]
    turns: int
    failures: float
    impact: float
    p_value: float
    q_value: float

    def mask(self, parts: Sequence[Dimension], length: int) -> np.ndarray:
        """Which rows lie inside, bool (length,)."""
        inside = np.ones(length, bool)
        for dimension, code in zip(self.dimensions, self.codes, strict=True):
            inside &= parts[dimension].mask(code, length)
        return inside

    def conditions(self, parts: Sequence[Dimension]) -> tuple[tuple[str, str], ...]:
        """(dimension, value) pairs in the order of `data.queries.dimensions.DIMENSIONS`."""
        named = [
            (parts[dimension].name, parts[dimension].values[code])
            for dimension, code in zip(self.dimensions, self.codes, strict=True)
        ]
        return tuple(sorted(named, key=lambda pair: DIMENSIONS.index(pair[0])))

    def among(self, names: frozenset[str], parts: Sequence[Dimension]) -> frozenset[str]:
        """The dimensions of its conditions that are in `names`."""
        return names & {parts[dimension].name for dimension in self.dimensions}

    def within(self, other: Candidate) -> bool:
        """Whether this has all conditions of `other` and more."""
        own = set(zip(self.dimensions, self.codes, strict=True))
        return own > set(zip(other.dimensions, other.codes, strict=True))


def fold(
    candidates: Sequence[Candidate],
    parts: Sequence[Dimension],
    weight: np.ndarray,
    effect: float,
    most: int,
    progress: Progress = silent,
    shown_by: frozenset[str] = _UNCERTAIN,
) -> list[tuple[Candidate, list[Candidate]]]:
    """At most `most` slices, by impact, each with those folded under it.

    Parameters
    ----------
    candidates: by impact, the greatest first. parts: the dimensions of the table.
    weight: failures per row. effect: the design effect, a factor on variances.
    shown_by: the dimensions that are symptoms (`symptoms`).
    """
    mean = float(weight.mean())
    # Expected rates per row: from slices without symptoms alone (False), and from all (True).
    expected = {symptom: np.full(len(weight), mean) for symptom in (False, True)}
    candidates, same = _distinct(candidates, parts, shown_by)
    groups: list[_Group] = []
    absorbed: set[int] = set()
    examined = 0
    for index, candidate in enumerate(candidates):
        progress(index, len(candidates), FOLDING)
        if index in absorbed:
            continue
        shows = candidate.among(shown_by, parts)
        symptom = bool(shows)
        excess = (1 - EXPLAINED) * (candidate.failures - candidate.turns * mean)
        group = _explaining([candidate, *same[index]], shows, excess, groups)
        if group is not None:
            group.others.extend([candidate, *same[index]])
            continue
        examined += 1
        mask = candidate.mask(parts, len(weight))
        if groups and not _stands_out(mask, weight, expected[symptom], excess, effect):
            _nearest(mask, weight, groups).others.extend([candidate, *same[index]])
            continue
        if len(groups) == most or examined > _MOST_EXAMINED:
            break
        head, head_index, others = candidate, index, list(same[index])
        while (
            better := _core(candidates, same, parts, head_index, absorbed, effect, shown_by)
        ) is not None:
            others.append(head)
            head_index, head = better, candidates[better]
            absorbed.add(head_index)
            others.extend(same[head_index])
            mask = head.mask(parts, len(weight))
        if not symptom:
            _explain(mask, weight, expected[False])
        _explain(mask, weight, expected[True])
        least = {key: float(rates[mask].min()) for key, rates in expected.items()}
        groups.append(_Group(head, shows, others, mask, least))
    groups.sort(key=lambda group: (-group.head.impact, group.head.dimensions, group.head.codes))
    return [(group.head, group.others) for group in groups]


@dataclass(frozen=True, slots=True)
class _Group:
    """A slice that stands on its own, with those folded under it.

    `shows`: the symptoms that it is about. `least`: the smallest rate expected inside, by slices
    without symptoms and by all slices.
    """

    head: Candidate
    shows: frozenset[str]
    others: list[Candidate]
    mask: np.ndarray
    least: dict[bool, float]


def _explaining(
    names: Sequence[Candidate], shows: frozenset[str], excess: float, groups: Sequence[_Group]
) -> _Group | None:
    """The group that explains a slice by its conditions alone, without reading its turns.

    `names` are the candidates with this set of turns. Either the slice shows a symptom of which
    there is a group, or it lies in a slice whose rate explains it. None if there is no such group.
    """
    candidate = names[0]
    for group in groups:
        if shows & group.shows:
            return group
        left = candidate.failures - candidate.turns * group.least[bool(shows)]
        if left <= excess and any(name.within(group.head) for name in names):
            return group
    return None


def _distinct(
    candidates: Sequence[Candidate], parts: Sequence[Dimension], shown_by: frozenset[str]
) -> tuple[list[Candidate], list[list[Candidate]]]:
    """One candidate per set of turns, and the others of each.

    It is one without symptoms where there is one, and the one with the fewest conditions.

    Sums are exact and contain a hash of each dialogue (`analysis.slices.search.find`), so equal
    turns and failures mean the same set of turns.
    """
    by_turns: dict[tuple[int, float], list[Candidate]] = {}
    for candidate in candidates:
        by_turns.setdefault((candidate.turns, candidate.failures), []).append(candidate)
    for equal in by_turns.values():
        equal.sort(
            key=lambda c: (
                *(bool(c.among(shown_by, parts)), len(c.dimensions)),
                *(c.dimensions, c.codes),
            )
        )
    return [equal[0] for equal in by_turns.values()], [equal[1:] for equal in by_turns.values()]


def _stands_out(
    mask: np.ndarray, weight: np.ndarray, expected: np.ndarray, excess: float, effect: float
) -> bool:
    """Whether a slice fails clearly more than its turns are already expected to."""
    inside = weight[mask]
    left = float((inside - expected[mask]).sum())
    spread = float(np.sqrt(effect * ((inside - inside.mean()) ** 2).sum()))
    return left > excess and left > _Z * spread


def _core(
    candidates: Sequence[Candidate],
    same: Sequence[Sequence[Candidate]],
    parts: Sequence[Dimension],
    head_index: int,
    absorbed: set[int],
    effect: float,
    shown_by: frozenset[str],
) -> int | None:
    """Index of the smallest part of a slice that has nearly all of its excess; None without one.

    The rate of the part must be clearly above that of the rest of the slice: normal approximation,
    binomial variances times `effect`.
    """
    whole = candidates[head_index]
    best, fewest, shows = None, whole.turns, whole.among(shown_by, parts)
    for index in range(head_index + 1, len(candidates)):
        part = candidates[index]
        if part.impact < WHOLE * whole.impact:
            break
        if index in absorbed or part.turns >= fewest or part.among(shown_by, parts) != shows:
            continue
        # The candidate with the fewest conditions need not have those of the whole slice.
        if not any(name.within(whole) for name in (part, *same[index])):
            continue
        turns = whole.turns - part.turns
        rate, other = part.failures / part.turns, (whole.failures - part.failures) / turns
        pooled = whole.failures / whole.turns
        spread = effect * pooled * (1 - pooled) * (1 / part.turns + 1 / turns)
        if rate - other > _Z_PART * spread**0.5:
            best, fewest = index, part.turns
    return best


def _explain(mask: np.ndarray, weight: np.ndarray, expected: np.ndarray) -> None:
    """Raise the expected rates inside that are below the slice's rate to the mean of these rows."""
    rate = float(weight[mask].mean())
    below = mask & (expected < rate)
    if below.any():
        expected[below] = np.maximum(expected[below], float(weight[below].mean()))


def _nearest(mask: np.ndarray, weight: np.ndarray, groups: Sequence[_Group]) -> _Group:
    """The group that shares the most failures with this slice."""
    rows = np.flatnonzero(mask)
    inside = weight[rows]
    shared = [float(inside[group.mask[rows]].sum()) for group in groups]
    return groups[int(np.argmax(shared))]
