"""Recent requests that share words with one: the lexical half of "similar turns"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from data.queries.daily_sums import floor_day
from data.queries.filters import Filter
from data.schema.trace import FAILURE_POINTS
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Turns read (the newest), and distinct requests returned.
MOST_TURNS = 200_000
MOST_TEXTS = 120
_WORD = r"[^\s]+"

_TEXTS = f"""
WITH texts AS (
  SELECT lower(heard) AS words, count(*) AS turns, avg(p_defect) AS rate,
    {", ".join(f"count(*) FILTER (failure_point = '{n}') AS n_{n}" for n in FAILURE_POINTS)},
    arg_max({{{{'turn_id': turn_id, 'dialogue_id': dialogue_id, 'day': day}}}},
      started_at) AS newest
  FROM predictions
  WHERE model_id = $model AND {{floor}} AND {DATED} AND heard IS NOT NULL AND turn_id <> $turn
  GROUP BY 1
), split AS (
  SELECT *, list_distinct(regexp_extract_all(words, '{_WORD}')) AS found FROM texts
)
SELECT words AS heard, turns, rate, {", ".join(f"n_{name}" for name in FAILURE_POINTS)},
  newest.turn_id AS turn_id, newest.dialogue_id AS dialogue_id, newest.day AS day,
  len(list_intersect(found, $words)) / len(list_distinct(list_concat(found, $words))) AS overlap
FROM split
WHERE list_has_any(found, $words)
ORDER BY overlap DESC, turns DESC, words
LIMIT $most
"""


def alike(snapshot: Snapshot, model: str, turn_id: str, heard: str) -> pa.Table:
    """Distinct requests of recent turns that share words with `heard`, the most similar first.

    Columns: heard (lower case), turns, rate (mean p_defect), n_<failure point> (verdicts), turn_id,
    dialogue_id and day of the newest one, overlap (Jaccard index of the words, 0 to 1). At most
    `MOST_TEXTS` rows, of about the newest `MOST_TURNS` turns; the turn itself is left out.
    """
    day = floor_day(snapshot, model, Filter(), MOST_TURNS)
    words = list(dict.fromkeys(re.findall(_WORD, heard.lower())))
    params = {"model": model, "turn": turn_id, "words": words, "most": MOST_TEXTS}
    if day:
        params["floor"] = day
    return snapshot.query(_TEXTS.format(floor="day >= $floor" if day else "true"), params)
