"""The waterfall: explicit answers first, then implicit signals in the order of trust.

The first signal that fires decides; turns on which none does are left open, as most users who are
served well do nothing about it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.arrow import pc, whole
from labels.feedback.signals import SIGNALS


def decide(table: pa.Table) -> pa.Table:
    """The verdict on each turn of a table of `labels.feedback.signals.signals`.

    Columns, in the order of the turns: turn_id, defect (null where no signal fired), decided_by
    (the name of the signal).
    """
    n = table.num_rows
    number = np.full(n, -1)
    for i, signal in enumerate(SIGNALS):
        fires: np.ndarray = pc.fill_null(whole(table[signal.name]), False).to_numpy(
            zero_copy_only=False
        )
        number = np.where((number < 0) & fires & signal.decides, i, number)
    index = pa.array(number, pa.int64(), mask=number < 0)
    return pa.table(
        {
            "turn_id": whole(table["turn_id"]),
            "defect": pa.array([signal.defect for signal in SIGNALS]).take(index),
            "decided_by": pa.array([signal.name for signal in SIGNALS]).take(index),
        }
    )
