"""When an assistant began or stopped to log a signal: changes of its daily missing share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Smaller changes than this share of turns are told by drift, not here.
LEAST = 0.1
# Log-likelihood ratio (G squared) that a cut must gain, per unit of the days' own spread; the cuts
# tried within a few months and all signals are paid for by it.
_GAIN = 25.0
# Cuts of one series: what changes more often is no event.
_MOST = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A signal's missing share, from one level to another.

    Attributes
    ----------
    day: the first day of the new level. last_before: the day read before it; the change lies in
    between. before, after: missing shares of the stretches on both sides. gain: how clear it is.
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
        return self.after > self.before


def gaps(table: pa.Table) -> list[Gap]:
    """Changes in a table of `data.queries.signal_coverage.logged`, the largest step first.

    Each series is cut in two where the likelihoods of two shares gain most over one, and its parts
    again (binary segmentation, Scott and Knott 1974), as long as the step is at least a tenth of
    the turns and no chance, given how the days scatter.
    """
    series: dict[tuple[str | None, str], list[tuple[date, int, int]]] = {}
    for row in table.to_pylist():
        key = (row["assistant"], row["signal"])
        series.setdefault(key, []).append((row["day"], row["turns"], row["turns"] - row["logged"]))
    found = []
    for (assistant, signal), rows in series.items():
        rows.sort()
        when = [row[0] for row in rows]
        n, lost = (np.array([row[i] for row in rows], float) for i in (1, 2))
        cuts = sorted(_cuts(n, lost))
        edges = [0, *cuts, len(when)]
        for place, cut in enumerate(cuts, 1):
            left, right = slice(edges[place - 1], cut), slice(cut, edges[place + 1])
            before, after = _share(n[left], lost[left]), _share(n[right], lost[right])
            if abs(after - before) >= LEAST:
                both = slice(left.start, right.stop)
                gain = _gain(n[both], lost[both])[cut - left.start - 1]
                found.append(
                    Gap(assistant, signal, when[cut], when[cut - 1], before, after, float(gain))
                )
    return sorted(found, key=lambda gap: (-abs(gap.after - gap.before), gap.signal, gap.day))


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
    """G squared of two shares against one, for a cut after each day but the last."""
    size, gone = np.cumsum(n), np.cumsum(lost)
    left, left_gone = size[:-1], gone[:-1]
    right, right_gone = size[-1] - left, gone[-1] - left_gone
    both = _log_likelihood(gone[-1:], size[-1:])
    apart = _log_likelihood(left_gone, left) + _log_likelihood(right_gone, right)
    gained: Array = 2 * (apart - both)
    return gained


def _log_likelihood(gone: Array, size: Array) -> Array:
    kept = size - gone
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = gone * np.log(gone / size), kept * np.log(kept / size)
    summed: Array = np.nan_to_num(parts[0]) + np.nan_to_num(parts[1])
    return summed


def _spread(n: Array, lost: Array, m: Array, gone: Array) -> float:
    """How much more the days scatter about the two levels than turns by themselves would."""
    total, freedom = 0.0, 0
    for size, missing in ((n, lost), (m, gone)):
        share = min(max(_share(size, missing), 1e-3), 1 - 1e-3)
        total += float((((missing - size * share) ** 2) / (size * share * (1 - share))).sum())
        freedom += len(size) - 1
    return total / freedom if freedom else 1.0
