"""Hand-made rows of the roll-up, for tests of statistics over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURES, schema

START = date(2026, 3, 2)
LOCALES = ("en-GB", "en-US", "en-IN")
DEVICES = ("speaker", "display")

Rate = Callable[[int, str, str], float]


def rollup(
    days: int,
    rate: dict[str, Rate],
    *,
    turns: float = 40.0,
    seed: int = 0,
    versions: Mapping[str, Sequence[tuple[int, str]]] | None = None,
) -> pa.Table:
    """Days × locales × devices, each with about `turns` turns.

    `rate`: failure point -> share of turns on a day, in a locale, on a device; 2 % for others.
    `versions`: stage -> first days and names of its releases.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for day in range(days):
        live = {
            f"version_{stage}": [name for first, name in all_ if first <= day][-1]
            for stage, all_ in (versions or {}).items()
        }
        for locale in LOCALES:
            for device in DEVICES:
                n = int(rng.poisson(turns))
                row: dict[str, Any] = dict.fromkeys(DIMENSIONS)
                row |= {"day": START + timedelta(days=day), "turns": n, "assistant": "juno"}
                row |= {"locale": locale, "device_type": device, **live}
                for name in FAILURES:
                    share = rate[name](day, locale, device) if name in rate else 0.02
                    failed = int(rng.binomial(n, share))
                    # As a fair model does: high probabilities of failed turns, low ones of others.
                    row[f"sum_p_{name}"] = float(rng.beta(8, 2, failed).sum()) * 1.1 + 0.002 * n
                    row[f"sum_pp_{name}"] = 0.7 * row[f"sum_p_{name}"]
                rows.append(row)
    types = schema([("day", pa.date32()), *[(name, pa.string()) for name in DIMENSIONS]])
    table = pa.Table.from_pylist(rows)
    for field in types:
        index = table.schema.get_field_index(field.name)
        table = table.set_column(index, field, table[field.name].cast(field.type))
    return table
