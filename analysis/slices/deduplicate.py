"""Slices that tell the same story, folded under one of them.

Slices are taken by impact. Each raises the expected rate of its turns; a later slice stands on its
own only if it fails clearly more than its turns were already expected to.

A band of ASR confidence is a symptom, not a place: that unsure recognitions fail explains no more
of a release than fever explains an infection. It explains other slices with a confidence band only,
and one slice with such a band stands for them all: where it matters is what the other slices say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.slices.cells import Dimension, Progress
from data.queries.dimensions import DIMENSIONS

# A slice of which so much of the excess is explained says nothing of its own.
EXPLAINED = 2 / 3
# A part of a slice that holds so much of its excess may be the better name for it.
WHOLE = 0.8
SYMPTOMS = ("confidence",)
# Slices whose turns are looked at one by one.
_LOOKS = 400
_Z = 2.575829
# A slice has hundreds of parts, so one of them must stand out by more.
_Z_PART = 4.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell found: dimensions and codes in them, as `analysis.slices.cells` numbers both."""

    places: tuple[int, ...]
    codes: tuple[int, ...]
    turns: int
    failures: float
    impact: float
    p_value: float
    q_value: float

    def mask(self, parts: Sequence[Dimension], length: int) -> np.ndarray:
        """Which rows lie inside."""
        found = np.ones(length, bool)
        for place, code in zip(self.places, self.codes, strict=True):
            found &= parts[place].mask(code, length)
        return found

    def conditions(self, parts: Sequence[Dimension]) -> tuple[tuple[str, str], ...]:
        named = [
            (parts[place].name, parts[place].values[code])
            for place, code in zip(self.places, self.codes, strict=True)
        ]
        return tuple(sorted(named, key=lambda pair: DIMENSIONS.index(pair[0])))

    def symptom(self, parts: Sequence[Dimension]) -> bool:
        """Whether a condition is about a symptom."""
        return any(parts[place].name in SYMPTOMS for place in self.places)

    def within(self, other: Candidate) -> bool:
        """Whether this has all conditions of `other` and more."""
        mine = set(zip(self.places, self.codes, strict=True))
        return mine > set(zip(other.places, other.codes, strict=True))


def fold(
    candidates: Sequence[Candidate],
    parts: Sequence[Dimension],
    weight: np.ndarray,
    effect: float,
    most: int,
    progress: Progress | None = None,
) -> list[tuple[Candidate, list[Candidate]]]:
    """At most `most` slices, by impact, each with those folded under it.

    Parameters
    ----------
    candidates: by impact, the greatest first. weight: failures per row.
    effect: the design effect by which variances are widened.
    """
    mean = float(weight.mean())
    # By places alone, and by symptoms as well.
    expected = {symptom: np.full(len(weight), mean) for symptom in (False, True)}
    candidates, same = _distinct(candidates, parts)
    groups: list[_Group] = []
    taken: set[int] = set()
    looked = 0
    for at, one in enumerate(candidates):
        if progress:
            progress(at / len(candidates))
        if at in taken:
            continue
        symptom = one.symptom(parts)
        excess = (1 - EXPLAINED) * (one.failures - one.turns * mean)
        home = _home([one, *same[at]], symptom, excess, groups)
        if home is not None:
            home.others.extend([one, *same[at]])
            continue
        looked += 1
        mask = one.mask(parts, len(weight))
        if groups and not _stands(mask, weight, expected[symptom], excess, effect):
            _nearest(mask, weight, groups).others.extend([one, *same[at]])
            continue
        if len(groups) == most or looked > _LOOKS:
            break
        chosen, place, others = one, at, list(same[at])
        while (better := _core(candidates, same, parts, place, taken, effect)) is not None:
            others.append(chosen)
            place, chosen = better, candidates[better]
            taken.add(place)
            others.extend(same[place])
            mask = chosen.mask(parts, len(weight))
        if not symptom:
            _explain(mask, weight, expected[False])
        _explain(mask, weight, expected[True])
        least = {key: float(rates[mask].min()) for key, rates in expected.items()}
        groups.append(_Group(chosen, symptom, others, mask, least))
    found = [(group.chosen, group.others) for group in groups]
    return sorted(found, key=lambda group: (-group[0].impact, group[0].places, group[0].codes))


@dataclass(frozen=True, slots=True)
class _Group:
    """A slice that stands. least: the smallest rate expected inside, by places and by all."""

    chosen: Candidate
    symptom: bool
    others: list[Candidate]
    mask: np.ndarray
    least: dict[bool, float]


def _home(
    names: Sequence[Candidate], symptom: bool, excess: float, groups: Sequence[_Group]
) -> _Group | None:
    """The group of a slice that needs no closer look.

    Either a symptom has its slice already, or the slice lies in another whose rate explains it.
    """
    one = names[0]
    for group in groups:
        if symptom and group.symptom:
            return group
        left = one.failures - one.turns * group.least[symptom]
        if left <= excess and any(name.within(group.chosen) for name in names):
            return group
    return None


def _distinct(
    candidates: Sequence[Candidate], parts: Sequence[Dimension]
) -> tuple[list[Candidate], list[list[Candidate]]]:
    """One candidate per set of turns, the one with the fewest conditions, and its likes.

    Sums are exact and hold a grain of each dialogue (`analysis.slices.search.find`), so the same
    turns and failures mean the same set of turns.
    """
    by_turns: dict[tuple[int, float], list[Candidate]] = {}
    for one in candidates:
        by_turns.setdefault((one.turns, one.failures), []).append(one)
    for likes in by_turns.values():
        likes.sort(key=lambda one: (len(one.places), one.symptom(parts), one.places, one.codes))
    return [likes[0] for likes in by_turns.values()], [likes[1:] for likes in by_turns.values()]


def _stands(
    mask: np.ndarray, weight: np.ndarray, expected: np.ndarray, excess: float, effect: float
) -> bool:
    inside = weight[mask]
    left = float((inside - expected[mask]).sum())
    spread = float(np.sqrt(effect * ((inside - inside.mean()) ** 2).sum()))
    return left > excess and left > _Z * spread


def _core(
    candidates: Sequence[Candidate],
    same: Sequence[Sequence[Candidate]],
    parts: Sequence[Dimension],
    place: int,
    taken: set[int],
    effect: float,
) -> int | None:
    """The part of a slice that holds nearly all of its excess, while the rest of it is as others.

    The two rates are compared by their normal approximation, variances of counts times `effect`.
    """
    whole = candidates[place]
    best, fewest = None, whole.turns
    for at in range(place + 1, len(candidates)):
        part = candidates[at]
        if part.impact < WHOLE * whole.impact:
            break
        if at in taken or part.turns >= fewest or part.symptom(parts) != whole.symptom(parts):
            continue
        # The shortest name of a set of turns need not repeat the whole's conditions.
        if not any(name.within(whole) for name in (part, *same[at])):
            continue
        turns = whole.turns - part.turns
        rate, other = part.failures / part.turns, (whole.failures - part.failures) / turns
        pooled = whole.failures / whole.turns
        spread = effect * pooled * (1 - pooled) * (1 / part.turns + 1 / turns)
        if rate - other > _Z_PART * spread**0.5:
            best, fewest = at, part.turns
    return best


def _explain(mask: np.ndarray, weight: np.ndarray, expected: np.ndarray) -> None:
    """Raise the expected rate of the turns inside to what those have that were below it."""
    rate = float(weight[mask].mean())
    below = mask & (expected < rate)
    if below.any():
        expected[below] = np.maximum(expected[below], float(weight[below].mean()))


def _nearest(mask: np.ndarray, weight: np.ndarray, groups: Sequence[_Group]) -> _Group:
    """The group that has most of the failures of this slice."""
    rows = np.flatnonzero(mask)
    inside = weight[rows]
    shared = [float(inside[group.mask[rows]].sum()) for group in groups]
    return groups[int(np.argmax(shared))]
