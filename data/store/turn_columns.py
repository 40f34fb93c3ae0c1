"""The columns of a turn that its prediction repeats, so that pages filter without a join."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from data.schema.bounds import PROBABILITY
from data.schema.tables import DIMENSIONS, FACETS
from data.schema.trace import STAGES

_HEARD = "asr.hypotheses[1].text"
_FRAME = "nlu.hypotheses[1]"

# Column of `predictions` -> SQL over `turns`.
FACT_SQL = {
    "assistant": "assistant",
    "locale": "locale",
    "device_type": "device.type",
    "domain": f"{_FRAME}.domain",
    "intent": f"{_FRAME}.intent",
    **{f"version_{stage}": f"versions['{stage}']" for stage in STAGES},
    "heard": _HEARD,
    "words": f"least(len(regexp_extract_all({_HEARD}, '\\S+')), 32767)::SMALLINT",
    # An earlier version may have stored any number.
    "asr_confidence": f"({PROBABILITY.sql('asr.hypotheses[1].confidence')})::FLOAT",
    "slots": f"list_sort(list_distinct(list_transform({_FRAME}.slots, lambda s: s.name)))",
    "action": "result.action",
    "status": "result.status",
}

_SQL = f"""
SELECT turn_id, dialogue_id, turn_index, started_at,
  {", ".join(f"{FACT_SQL[name]} AS {name}" for name in (*DIMENSIONS, *FACETS))}, day
FROM turns
ORDER BY turn_id
"""


def facts(turns: pa.Table) -> pa.Table:
    """Ids, time, dimensions, facets and day of some turns, ordered by turn id.

    `turns` has the columns of `data.schema.trace.TURNS`.
    """
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("turns", turns)
        table: pa.Table = con.sql(_SQL).to_arrow_table()
    return table
