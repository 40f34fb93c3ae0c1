"""The signals of the trace format, and their values in a period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from data.queries.filters import BETWEEN, Filter
from data.queries.sampling import TURN_ORDER
from data.schema.bounds import DURATION, PROBABILITY
from data.schema.trace import STAGES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Signal of the trace format, which every assistant could log -> SQL over `turns`. A number outside
# the bounds of its field is not a value.
NUMBERS = {
    "wake.score": PROBABILITY.sql("wake.score"),
    "asr.confidence": PROBABILITY.sql("asr.hypotheses[1].confidence"),
    "asr.hypotheses": "len(asr.hypotheses)",
    "asr.audio_ms": DURATION.sql("asr.audio_ms"),
    "nlu.confidence": PROBABILITY.sql("nlu.hypotheses[1].confidence"),
    "nlu.hypotheses": "len(nlu.hypotheses)",
    "er.mentions": "len(er.mentions)",
    "er.score": PROBABILITY.sql("er.mentions[1].candidates[1].score"),
    **{f"{stage}.latency_ms": DURATION.sql(f"{stage}.latency_ms") for stage in STAGES},
}
TEXTS = {
    "locale": "locale",
    "device.type": "device.type",
    "asr.endpoint": "asr.endpoint",
    "nlu.domain": "nlu.hypotheses[1].domain",
    "nlu.intent": "nlu.hypotheses[1].intent",
    "result.action": "result.action",
    "result.status": "result.status",
    "feedback.explicit": "feedback.explicit",
}

# Beyond it no signal of the format means anything: milliseconds of 30,000 years.
_BEYOND = "1e15"

# The turn is of one of the assistants `$assistants`; any if the list is empty.
OF_ASSISTANTS = "(len($assistants) = 0 OR list_contains($assistants, assistant))"

_VALUES = f"""
SELECT {{columns}} FROM turns
WHERE {BETWEEN} AND {OF_ASSISTANTS} AND {{days}}
ORDER BY {TURN_ORDER}
LIMIT $most
"""


def signal_values(
    snapshot: Snapshot,
    chosen: Filter,
    most: int = 50_000,
    seed: int = 0,
    days: Sequence[date] = (),
) -> pa.Table:
    """The values of all signals of the trace format on a seeded sample of at most `most` turns.

    Of the filter, the period and the assistants are used; `days`, if given, limits it further.
    Columns: `dialogue_id`, and one per signal (float64 or text, null where not logged).
    """
    columns = [
        "dialogue_id",
        # An earlier version may have stored NaN, or numbers that no mean can be taken of.
        *(
            f'CASE WHEN abs(({sql})::DOUBLE) < {_BEYOND} THEN ({sql})::DOUBLE END AS "{name}"'
            for name, sql in NUMBERS.items()
        ),
        *(f'({sql})::VARCHAR AS "{name}"' for name, sql in TEXTS.items()),
    ]
    named = {f"day_{i}": day for i, day in enumerate(days)}
    within = f"day IN ({', '.join('$' + name for name in named)})" if named else "true"
    sql = _VALUES.format(columns=", ".join(columns), days=within)
    bound = {"since": chosen.since, "until": chosen.until, "assistants": list(chosen.assistant)}
    return snapshot.query(sql, {**bound, **named, "most": most, "seed": seed})
