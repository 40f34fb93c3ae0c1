"""Two slices side by side: their rates, the turns that they share, and whether they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from data.intervals import Z95

# The interval treats sums over dialogues as normally distributed.
LEAST_TURNS = 30


@dataclass(frozen=True, slots=True)
class Side:
    """Turns of a slice, and the failures that are expected among them."""

    turns: int
    failures: float

    @property
    def rate(self) -> float | None:
        """Failures per turn; None without turns."""
        return self.failures / self.turns if self.turns else None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A slice, another one, the turns in both, and the difference of their rates.

    `spread` is half the width of the 95 % interval of the difference; dialogues, not turns, are the
    sampling unit. A turn that is in both slices adds to both rates, so that only what the slices do
    not share can make them differ.
    """

    this: Side
    other: Side
    both: Side
    spread: float

    @classmethod
    def of(cls, sums: Mapping[str, Any]) -> SideBySide:
        """From the sums of `data.queries.slices.compared`."""
        return cls(
            Side(int(sums["turns"]), float(sums["failures"])),
            Side(int(sums["other_turns"]), float(sums["other_failures"])),
            Side(int(sums["shared"]), float(sums["shared_failures"])),
            Z95 * sqrt(max(0.0, float(sums["spread"]))),
        )

    @property
    def difference(self) -> float | None:
        """The rate of this slice less that of the other; None if either has no turns."""
        if self.this.rate is None or self.other.rate is None:
            return None
        return self.this.rate - self.other.rate

    @property
    def same_turns(self) -> bool:
        """Whether the two are one set of turns under two names."""
        return self.this.turns == self.other.turns == self.both.turns

    @property
    def few(self) -> bool:
        """Whether either has too few turns to tell; the interval is then too narrow."""
        return min(self.this.turns, self.other.turns) < LEAST_TURNS

    @property
    def clear(self) -> bool:
        """Whether the interval of the difference excludes zero, and there are turns enough."""
        difference = self.difference
        return difference is not None and not self.few and abs(difference) > self.spread
