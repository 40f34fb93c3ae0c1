"""Arrow schemas of the derived tables; `data.schema.trace.TURNS` is the schema of `turns`."""

from __future__ import annotations

import pyarrow as pa

from data.schema.trace import (
    FAILURE_POINTS,
    STAGES,
    schema,
)

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

# What else of a turn one filters and cuts by. Too many values for the daily sums.
_FACETS = [
    # First hypothesis of the recogniser, how many words it has, and how sure it was.
    ("heard", _STR),
    ("words", pa.int16()),
    ("asr_confidence", pa.float32()),
    # Names of the slots in the first frame, each once, sorted.
    ("slots", pa.list_(_STR)),
    ("action", _STR),
    ("status", _STR),
]
FACETS = tuple(name for name, _ in _FACETS)

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
        *_FACETS,
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
        # Sums of squares, from which the variance of the probabilities follows.
        *[(f"sum_pp_{name}", pa.float64()) for name in (*FAILURE_POINTS, "defect")],
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

_SLOTS = pa.list_(pa.struct([("name", _STR), ("value", _STR)]))

# What people said of turns in the dashboard, one row a verdict; `data.store.annotations` settles
# them.
ANNOTATIONS = schema(
    [
        ("annotation_id", _STR),
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("day", pa.date32()),
        ("annotator", _STR),
        ("failure_point", _STR),
        ("transcript", _STR),
        ("intent", _STR),
        ("slots", _SLOTS),
        ("note", _STR),
        # True for the one that decides where annotators differ.
        ("adjudicated", pa.bool_()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Failure points that the logs' own gold gives; derived from `turns` by `labels.derived`.
LABELLED = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("day", pa.date32()),
        # Null where gold is there, but does not suffice.
        ("failure_point", _STR),
        # "annotated" or "derived", see `labels.failure_point.labels`.
        ("source", _STR),
        # Fingerprint of the turn and its gold, when the label was derived.
        ("gold_digest", pa.int64()),
    ]
)

# Saved views of Explore: a name for a set of URL parameters.
VIEWS = schema(
    [
        ("name", _STR),
        ("page", _STR),
        # URL parameters, as in the address.
        ("query", _STR),
        ("note", _STR),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)

# What people decided about a slice of Triage; one row a slice.
TRIAGE = schema(
    [
        ("slice", _STR),
        ("failure_point", _STR),
        ("owner", _STR),
        ("state", _STR),
        # The release that is said to mend it, where the state is "fixed".
        ("version", _STR),
        ("note", _STR),
        ("link", _STR),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)

# What is set in the dashboard for everybody; one row a name.
SETTINGS = schema(
    [
        ("name", _STR),
        # JSON.
        ("value", _STR),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Shares of turns that each failure point may cost, for the error budgets.
TARGETS = schema(
    [
        ("failure_point", _STR),
        ("target", pa.float64()),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)
