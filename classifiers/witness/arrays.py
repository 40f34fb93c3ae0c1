"""Lookups and runs of numbers, over whole arrays."""

from __future__ import annotations

import numpy as np


def places(numbers: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Place of each of `numbers` among `kept`, which ascends; -1 where it is not there."""
    if not len(kept):
        return np.full(numbers.shape, -1)
    place = np.searchsorted(kept, numbers)
    place[place == len(kept)] = 0
    there: np.ndarray = np.where(kept[place] == numbers, place, -1)
    return there


def ranges(first: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The numbers from each of `first` on, as many as `size` says, one run after another."""
    before = np.cumsum(size) - size
    run: np.ndarray = np.repeat(first - before, size) + np.arange(int(size.sum()))
    return run
