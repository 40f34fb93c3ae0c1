"""How far each signal can be trusted: its precision and coverage where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from data.intervals import wilson
from data.queries.ground_truth import KNOWN_SQL, shown
from labels.feedback.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.store.snapshot import Snapshot

DRAWS = 1_000

# A verdict on the response stands in the logs where there is no failure point.
_TRUTH = f"""
SELECT coalesce(k.turn_id, g.turn_id) AS turn_id, coalesce(k.defect, g.defect) AS defect
FROM (SELECT turn_id, truth <> 'correct' AS defect FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL) k
FULL JOIN (
    SELECT turn_id, coalesce(gold.failure_point <> 'correct', gold.defect) AS defect
    FROM turns WHERE gold.failure_point IS NOT NULL OR gold.defect IS NOT NULL
) g ON k.turn_id = g.turn_id
"""
_REPAIRED = "SELECT DISTINCT gold.corrects AS turn_id FROM turns WHERE gold.corrects IS NOT NULL"


def truth(snapshot: Snapshot) -> pa.Table:
    """The turns of which it is known whether they were a defect. Columns: turn_id, defect.

    From verdicts in the dashboard, failure points in gold, and `gold.defect`, in this order.
    """
    return snapshot.query(_TRUTH, tables=shown(snapshot))


def repaired(snapshot: Snapshot) -> pa.Table:
    """The turns that a later request repairs, by `gold.corrects`, as `turn_id` and `defect`."""
    table = snapshot.query(_REPAIRED)
    return table.append_column("defect", pa.array([True] * table.num_rows, pa.bool_()))


def quality(table: pa.Table, known: pa.Table, *, seed: int = 0, draws: int = DRAWS) -> pd.DataFrame:
    """The quality of each signal of a table of `labels.feedback.signals.signals`.

    Parameters
    ----------
    known: columns turn_id, defect, as of `truth`; may be empty.

    Returns
    -------
    One row per signal. Columns: signal, kind, defect (what it points to), and

    - of all turns: observed (on how many it can be observed), fired (on how many it fires), share
      (fired of observed);
    - of those whose truth is known: turns (on how many it can be observed), fires, precision (share
      of those it fires on in which it is right), low, high (95 % `interval` of the precision over
      dialogues), coverage (of the defects, or the successes, on turns where it can be observed, the
      share that it finds), base (precision of a signal that fires at random).

    NaN where there is nothing to divide by.
    """
    names = [signal.name for signal in SIGNALS]
    some = table.select(["turn_id", "dialogue_id", *names]).to_pandas()
    turns = some.merge(known.to_pandas().astype({"defect": bool}), on="turn_id")
    dialogue, dialogues = pd.factorize(turns["dialogue_id"])
    rng = np.random.default_rng(seed)
    rows = []
    for signal in SIGNALS:
        fired, seen = int(some[signal.name].eq(True).sum()), int(some[signal.name].notna().sum())
        observed = turns[signal.name].notna().to_numpy()
        fires = turns[signal.name].eq(True).fillna(False).to_numpy(bool)
        right = turns["defect"].to_numpy() == signal.defect
        hits, calls = fires & right & observed, fires & observed
        low, high = interval(dialogue, hits, calls, len(dialogues), rng, draws)
        rows.append(
            {
                "signal": signal.name,
                "kind": signal.kind,
                "defect": signal.defect,
                "observed": seen,
                "fired": fired,
                "share": _ratio(fired, seen),
                "turns": int(observed.sum()),
                "fires": int(calls.sum()),
                "precision": _ratio(hits.sum(), calls.sum()),
                "low": low,
                "high": high,
                "coverage": _ratio(hits.sum(), (right & observed).sum()),
                "base": _ratio((right & observed).sum(), observed.sum()),
            }
        )
    return pd.DataFrame(rows)


def interval(
    group: np.ndarray,
    hits: np.ndarray,
    calls: np.ndarray,
    groups: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """95 % interval of hits / calls, bootstrap over groups (Efron 1979); NaN without a call.

    Where all calls are hits, none is, or one group has them all, every draw would be the same: it
    is Wilson's then, of as many independent calls as there are groups with a call.
    """
    if not calls.any():
        return float("nan"), float("nan")
    gained, called = np.bincount(group, hits, groups), np.bincount(group, calls, groups)
    # Groups without a call change nothing.
    some = called > 0
    gained, called, n = gained[some], called[some], int(some.sum())
    total = gained.sum() / called.sum()
    if n == 1 or total in (0.0, 1.0):
        return wilson(float(total * n), n)
    ratios = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        ratios[draw] = (times @ gained) / (times @ called)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def measures(p: Sequence[float] | np.ndarray, defect: np.ndarray) -> dict[str, float]:
    """How well probabilities of a defect fit the truth.

    Returns `average_precision`, `brier`, `ece` (expected calibration error over ten bins of equal
    width; Naeini et al., AAAI 2015) and `base`, the defect rate. Turns without a probability
    (NaN) get the mean of the others, as nothing is known of them.
    """
    from sklearn.metrics import average_precision_score

    p, defect = np.asarray(p, float), np.asarray(defect, bool)
    p = np.where(np.isnan(p), np.nanmean(p) if not np.isnan(p).all() else 0.5, p)
    bins = np.minimum((p * 10).astype(int), 9)
    ece = sum(
        abs(float(defect[bins == b].mean()) - float(p[bins == b].mean()))
        * float((bins == b).mean())
        for b in np.unique(bins)
    )
    return {
        "average_precision": float(average_precision_score(defect, p)),
        "brier": float(np.mean((p - defect) ** 2)),
        "ece": ece,
        "base": float(defect.mean()),
    }


def _ratio(part: int, whole_: int) -> float:
    return float(part) / float(whole_) if whole_ else float("nan")
