"""Which signals each assistant logs, how often they are missing, and their values per period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.filters import Filter
from data.schema.trace import STAGES, schema

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Signal -> SQL over `turns`: what every assistant could log.
NUMBERS = {
    "wake.score": "wake.score",
    "asr.confidence": "asr.hypotheses[1].confidence",
    "asr.hypotheses": "len(asr.hypotheses)",
    "asr.audio_ms": "asr.audio_ms",
    "nlu.confidence": "nlu.hypotheses[1].confidence",
    "nlu.hypotheses": "len(nlu.hypotheses)",
    "er.mentions": "len(er.mentions)",
    "er.score": "er.mentions[1].candidates[1].score",
    **{f"{stage}.latency_ms": f"{stage}.latency_ms" for stage in STAGES},
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

_DAYS = "day >= coalesce($since, DATE '0001-01-01') AND day <= coalesce($until, DATE '9999-12-31')"
_ASSISTANTS = "(len($assistants) = 0 OR list_contains($assistants, assistant))"

_MISSING = f"""
SELECT assistant, count(*) AS turns, {{counts}}
FROM turns WHERE {_DAYS} AND {_ASSISTANTS}
GROUP BY 1 ORDER BY 1
"""

# Own signals of an assistant, which lie in maps: logged at all, and on how many turns.
_NAMED = " UNION ALL ".join(
    f"SELECT assistant, '{stage}.signal.' || entry.key AS signal, entry.value AS value "
    f"FROM (SELECT assistant, unnest(map_entries({stage}.signals)) AS entry FROM turns "
    f"WHERE {_DAYS} AND {_ASSISTANTS})"
    for stage in STAGES
)
_OWN = f"SELECT assistant, signal, count(value) AS logged FROM ({_NAMED}) GROUP BY ALL ORDER BY ALL"

_VALUES = f"""
SELECT {{columns}} FROM turns
WHERE {_DAYS} AND {_ASSISTANTS} AND {{days}}
ORDER BY hash(turn_id, $seed), turn_id
LIMIT $most
"""

_LOGGED = schema(
    [
        ("assistant", pa.string()),
        ("signal", pa.string()),
        ("turns", pa.int64()),
        ("logged", pa.int64()),
        ("missing", pa.float64()),
    ]
)


def _bound(chosen: Filter) -> dict[str, Any]:
    return {
        "since": chosen.since,
        "until": chosen.until,
        "assistants": list(chosen.assistant),
    }


def signals_logged(snapshot: Snapshot, chosen: Filter) -> pa.Table:
    """Per assistant and signal: turns, logged (turns that have it), missing (share without).

    Signals of the trace format are listed for every assistant, an assistant's own ones where it
    has logged them at least once. Of the filter, days and assistants count.
    """
    every = {**NUMBERS, **TEXTS}
    counts = ", ".join(f'count({sql}) AS "{name}"' for name, sql in every.items())
    bound = _bound(chosen)
    wide = snapshot.query(_MISSING.format(counts=counts), bound).to_pylist()
    turns = {row["assistant"]: row["turns"] for row in wide}
    rows = [(row["assistant"], name, row[name]) for row in wide for name in every]
    own = snapshot.query(_OWN, bound).to_pylist()
    rows += [(row["assistant"], row["signal"], row["logged"]) for row in own if row["logged"]]
    rows.sort(key=lambda row: (row[0] or "", row[1]))
    return pa.Table.from_pylist(
        [
            {
                "assistant": assistant,
                "signal": name,
                "turns": turns[assistant],
                "logged": logged,
                "missing": 1 - logged / turns[assistant],
            }
            for assistant, name, logged in rows
        ],
        _LOGGED,
    )


def signal_values(
    snapshot: Snapshot,
    chosen: Filter,
    most: int = 50_000,
    seed: int = 0,
    days: Sequence[date] = (),
) -> pa.Table:
    """The values of all signals of the trace format on at most `most` turns, a seeded sample.

    With `days`, only turns of these days are read.

    One column per signal: float64 or text, null where not logged; and `dialogue_id`.
    """
    columns = [
        "dialogue_id",
        *(f'({sql})::DOUBLE AS "{name}"' for name, sql in NUMBERS.items()),
        *(f'({sql})::VARCHAR AS "{name}"' for name, sql in TEXTS.items()),
    ]
    named = {f"day_{i}": day for i, day in enumerate(days)}
    within = f"day IN ({', '.join('$' + name for name in named)})" if named else "true"
    sql = _VALUES.format(columns=", ".join(columns), days=within)
    return snapshot.query(sql, {**_bound(chosen), **named, "most": most, "seed": seed})
