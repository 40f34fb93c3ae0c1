"""Goals of a dialogue as ids, as boundaries and as spans.

A goal begins where the id changes. Ids are per dialogue; a goal that is taken up again later keeps
its id, and that is a boundary too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Span(NamedTuple):
    """Turns `start` to `stop` (exclusive), rows of a table ordered by dialogue, of one goal."""

    start: int
    stop: int


def starts_of(ids: Sequence[str | None], dialogue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where goals begin, and their numbers, from the goal ids of n turns ordered by dialogue.

    Parameters
    ----------
    ids: goal of each turn, None where it is not known. dialogue: number of its dialogue (n,).

    Returns
    -------
    start: 1 where the id is not that of the turn before, 0 where it is; NaN on the first turn of a
        dialogue and beside a turn without id (n,).
    number: of the id within the dialogue, in order of appearance from 0; -1 without id (n,).
    """
    n = len(ids)
    start, number = np.full(n, np.nan), np.full(n, -1)
    seen: dict[str, int] = {}
    for i, goal in enumerate(ids):
        same = i > 0 and dialogue[i] == dialogue[i - 1]
        if not same:
            seen = {}
        elif goal is not None and ids[i - 1] is not None:
            start[i] = goal != ids[i - 1]
        if goal is not None:
            number[i] = seen.setdefault(goal, len(seen))
    return start, number


def numbers_of(start: np.ndarray, dialogue: np.ndarray) -> np.ndarray:
    """Number of each turn's goal in its dialogue, from 0, if goals begin where `start` is true.

    `start` (n,) is boolean; the first turn of a dialogue begins a goal in any case.
    """
    if not len(start):
        return np.zeros(0, np.int64)
    first = np.diff(dialogue, prepend=dialogue[0] - 1) != 0
    begun = np.cumsum(first | start.astype(bool))
    numbers: np.ndarray = begun - np.maximum.accumulate(np.where(first, begun, 0))
    return numbers


def spans_of(number: np.ndarray, dialogue: np.ndarray) -> list[Span]:
    """Runs of turns of one goal and dialogue, in order; turns with number -1 are in none."""
    n = len(number)
    if not n:
        return []
    change = (np.diff(number) != 0) | (np.diff(dialogue) != 0)
    edges = [0, *(np.flatnonzero(change) + 1).tolist(), n]
    return [Span(start, stop) for start, stop in pairwise(edges) if number[start] >= 0]
