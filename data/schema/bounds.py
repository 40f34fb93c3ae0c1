"""What each number of a trace can mean: the least and the greatest value of each kind.

A value outside is senseless (an epoch in a field of milliseconds, an uninitialised double) and
would spoil every mean, scale and chart that it enters. It is dropped when it is ingested, and
counted; the turn stays. A probability alone is an error when it is outside, because it is most
often a percentage, and then the whole log has to be corrected.
"""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """The least and the greatest value, both included, and what they are."""

    low: float
    high: float
    meaning: str

    def hold(self, value: float) -> bool:
        """Whether `value` lies inside; a NaN does not."""
        return self.low <= value <= self.high

    def sql(self, value: str) -> str:
        """SQL of the number `value` where it lies inside, else null."""
        return f"CASE WHEN {value} BETWEEN {self.low!r} AND {self.high!r} THEN {value} END"


_DAY_MS = 86_400_000.0

# Confidences, scores and thresholds.
PROBABILITY = Bounds(0.0, 1.0, "a probability")
# latency_ms, audio_ms, barge_in_ms.
DURATION = Bounds(0.0, _DAY_MS, "milliseconds, at most a day")
# start_ms, counted from started_at: a wake word begins before the request does.
OFFSET = Bounds(-_DAY_MS, _DAY_MS, "milliseconds from the start, at most a day either way")
# feedback.rating: stars, percentages and net promoter scores.
RATING = Bounds(-1_000.0, 1_000.0, "a rating")
# The values of `signals`. Beyond 2^53 a double cannot hold every whole number.
SIGNAL = Bounds(-(2.0**53), 2.0**53, "a measured value")

# Confidences are often computed in single precision: what is so close to 0 or 1 is 0 or 1.
ROUNDING = 1e-6
