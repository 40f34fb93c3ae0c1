"""Arrow schemas of the derived tables; `data.trace.TURNS` is the schema of `turns`."""

from __future__ import annotations

import pyarrow as pa

from data.trace import FAILURE_POINTS, STAGES, schema

EVIDENCE = (*STAGES, "dialogue", "text")

_STR = pa.string()
_DIMENSIONS = [
    ("assistant", _STR),
    ("locale", _STR),
    ("device_type", _STR),
    ("domain", _STR),
    ("intent", _STR),
    *[(f"version_{stage}", _STR) for stage in STAGES],
]
DIMENSIONS = tuple(name for name, _ in _DIMENSIONS)

REASON = pa.struct(
    [
        ("feature", _STR),
        ("stage", _STR),
        # Null when the trace did not hold the signal: its absence is then the reason.
        ("value", pa.float64()),
        # Log-odds (before calibration) towards the predicted class.
        ("contribution", pa.float64()),
    ]
)

PREDICTIONS = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("turn_index", pa.int32()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        *_DIMENSIONS,
        ("model_id", _STR),
        ("failure_point", _STR),
        *[(f"p_{name}", pa.float32()) for name in FAILURE_POINTS],
        ("p_defect", pa.float32()),
        ("base_value", pa.float32()),
        *[(f"evidence_{name}", pa.float32()) for name in EVIDENCE],
        ("reasons", pa.list_(REASON)),
        # Fingerprint of the turn and of every turn its features looked at, when it was scored.
        ("context_digest", pa.int64()),
        ("day", pa.date32()),
    ]
)

ROLLUP = schema(
    [
        ("day", pa.date32()),
        ("model_id", _STR),
        *_DIMENSIONS,
        ("failure_point", _STR),
        ("turns", pa.int64()),
        *[(f"sum_p_{name}", pa.float64()) for name in FAILURE_POINTS],
    ]
)

QUARANTINE = schema(
    [
        ("run_id", _STR),
        ("file", _STR),
        ("line", pa.int64()),
        ("field", _STR),
        ("reason", _STR),
        # The first 2,000 characters of the line, so that it can be found and mended.
        ("excerpt", _STR),
        ("quarantined_at", pa.timestamp("us", tz="UTC")),
    ]
)

RUNS = schema(
    [
        ("run_id", _STR),
        ("file", _STR),
        ("format", _STR),
        ("turns", pa.int64()),
        ("replaced", pa.int64()),
        ("quarantined", pa.int64()),
        # Unknown field -> number of records that had it, as JSON.
        ("unknown_fields", _STR),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("finished_at", pa.timestamp("us", tz="UTC")),
    ]
)
