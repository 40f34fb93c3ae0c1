"""When an assistant started or stopped logging a signal: changes of its daily missing share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Smaller changes than this share of turns are reported by `features.drift`, not here.
LEAST = 0.1
# Log-likelihood ratio (G squared) that a cut must gain, per unit of the spread between days; large
# enough to allow for all the cuts tried, over a few months and all signals.
_GAIN = 25.0
# Cuts of one series: a share that changes more often is not an event.
_MOST = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A change of the missing share of a signal from one level to another.

    Attributes
    ----------
    day: the first day of the new level. last_before: the day with data before it; the change lies
    between the two. before, after: missing shares of the segments on both sides.
    gain: the log-likelihood ratio (G squared) of the cut.
    """

    assistant: str | None
    signal: str
    day: date
    last_before: date
    before: float
    after: float
    gain: float

    @property
    def lost(self) -> bool:
        """Whether the signal is missing more often than before."""
        return self.after > self.before


def gaps(table: pa.Table) -> list[Gap]:
    """Changes in a table of `data.queries.signal_coverage.logged`, the largest step first.

    Each series is cut in two where two shares gain most likelihood over one, and its parts are cut
    again (binary segmentation, Scott and Knott 1974), as long as the step is at least a tenth of
    the turns and unlikely to be chance, given the spread between days.
    """
    series: dict[tuple[str | None, str], list[tuple[date, int, int]]] = {}
    for row in table.to_pylist():
        key = (row["assistant"], row["signal"])
        series.setdefault(key, []).append((row["day"], row["turns"], row["turns"] - row["logged"]))
    changes = []
    for (assistant, signal), rows in series.items():
        rows.sort()
        when = [row[0] for row in rows]
        n, lost = (np.array([row[i] for row in rows], float) for i in (1, 2))
        cuts = sorted(_cuts(n, lost))
        edges = [0, *cuts, len(when)]
        for number, cut in enumerate(cuts, 1):
            left, right = slice(edges[number - 1], cut), slice(cut, edges[number + 1])
            before, after = _share(n[left], lost[left]), _share(n[right], lost[right])
            if abs(after - before) >= LEAST:
                both = slice(left.start, right.stop)
                gain = _gain(n[both], lost[both])[cut - left.start - 1]
                changes.append(
                    Gap(assistant, signal, when[cut], when[cut - 1], before, after, float(gain))
                )
    return sorted(changes, key=lambda gap: (-abs(gap.after - gap.before), gap.signal, gap.day))


def _cuts(n: Array, lost: Array) -> list[int]:
    cuts: list[int] = []
    parts = [(0, len(n))]
    while parts and len(cuts) < _MOST:
        start, end = parts.pop(0)
        if end - start < 2:
            continue
        size, gone = n[start:end], lost[start:end]
        gains = _gain(size, gone)
        cut = int(np.argmax(gains)) + 1
        before, after = _share(size[:cut], gone[:cut]), _share(size[cut:], gone[cut:])
        spread = max(1.0, _spread(size[:cut], gone[:cut], size[cut:], gone[cut:]))
        if abs(after - before) < LEAST or gains[cut - 1] < _GAIN * spread:
            continue
        cuts.append(start + cut)
        parts += [(start, start + cut), (start + cut, end)]
    return cuts


def _share(n: Array, lost: Array) -> float:
    return float(lost.sum() / n.sum()) if n.sum() else 0.0


def _gain(n: Array, lost: Array) -> Array:
    """G squared of two shares against one, for a cut after each day but the last (days - 1,)."""
    size, gone = np.cumsum(n), np.cumsum(lost)
    left, left_gone = size[:-1], gone[:-1]
    right, right_gone = size[-1] - left, gone[-1] - left_gone
    both = _log_likelihood(gone[-1:], size[-1:])
    split = _log_likelihood(left_gone, left) + _log_likelihood(right_gone, right)
    gained: Array = 2 * (split - both)
    return gained


def _log_likelihood(missing: Array, size: Array) -> Array:
    logged = size - missing
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = missing * np.log(missing / size), logged * np.log(logged / size)
    summed: Array = np.nan_to_num(parts[0]) + np.nan_to_num(parts[1])
    return summed


def _spread(n: Array, lost: Array, m: Array, gone: Array) -> float:
    """Dispersion of the days about their two levels; 1 is that of independent turns."""
    total, freedom = 0.0, 0
    for size, missing in ((n, lost), (m, gone)):
        share = min(max(_share(size, missing), 1e-3), 1 - 1e-3)
        total += float((((missing - size * share) ** 2) / (size * share * (1 - share))).sum())
        freedom += len(size) - 1
    return total / freedom if freedom else 1.0
