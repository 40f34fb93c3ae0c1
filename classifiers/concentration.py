"""Whether few dialogues hold much of a failure point: figures then say more of these than of it."""

from __future__ import annotations

from typing import Any

import numpy as np

# So many dialogues shall not hold more than this share of a failure point.
MOST, SHARE = 5, 0.25


def concentrated(
    target: np.ndarray, group: np.ndarray, classes: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """The failure points of which `MOST` groups hold more than `SHARE` of the turns, not counting
    the first turn of each of these: few turns in as many groups are no burst.

    Failures come in bursts: a television that wakes the assistant again and again is one event and
    many turns. Cross-validation then tests much on a few events, which may not come again.

    Parameters
    ----------
    target: class numbers (n,). group: the group (dialogue or sentence) of each turn (n,).

    Returns
    -------
    By failure point: ``share`` of its turns in its heaviest groups, ``heaviest`` (turns in each of
    them, in descending order), ``turns`` and ``groups`` in all.
    """
    found = {}
    for i, name in enumerate(classes):
        counts = np.sort(np.unique(group[target == i], return_counts=True)[1])[::-1]
        total = int(counts.sum())
        if total and (counts[:MOST] - 1).sum() > SHARE * total:
            found[name] = {
                "share": float(counts[:MOST].sum() / total),
                "heaviest": [int(n) for n in counts[:MOST]],
                "turns": total,
                "groups": len(counts),
            }
    return found
