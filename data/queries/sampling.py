"""Seeded samples: how much is read where there is more data than an answer needs.

Whole dialogues are sampled, because turns of one dialogue are correlated and features read their
neighbours. They are chosen by a hash of their id, so that the same seed gives the same turns on
every machine. The SQL conditions are meant for rows with a `dialogue_id`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import ceil, log2
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.daily_sums import sums_sql
from data.queries.filters import Filter
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Turns read by slice discovery.
MOST_SLICED = 2_000_000
# Labelled turns, at least: the standard error of a rate of 3 % is then 0.1 points; a million would
# change no decision.
MOST_LABELLED = 25_000
# Turns among which the annotation queue looks for candidates.
MOST_CANDIDATES = 300_000
# Turns read for signal coverage; above it, whole days are left out.
MOST_SIGNALS = 300_000
# For a slice's evidence: predictions with their reasons; logged records, which cost more; and
# complete records.
MOST_SCORED = 400_000
MOST_LOGGED = 120_000
MOST_RECORDS = 2_000

# Orders in which a LIMIT takes a sample: of single turns, where those suffice, or of dialogues.
TURN_ORDER = "hash(turn_id, $seed), turn_id"
DIALOGUE_ORDER = "hash(dialogue_id, $seed), dialogue_id"

_COUNT = "SELECT count(*) AS turns FROM predictions WHERE model_id = $model AND {clause}"
_BELOW = "hash(dialogue_id, $seed) < $share::DOUBLE * 18446744073709551615"
_SUM = "SELECT coalesce(sum(turns), 0)::BIGINT AS turns FROM ({sums}) AS sums"

_DAYS = """
SELECT day FROM rollup WHERE model_id = $model GROUP BY day ORDER BY hash(day, 1) LIMIT $days
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of whole dialogues.

    Attributes
    ----------
    turns: number of turns sampled from. share: about the share of them in the sample; 1 for all.
    condition, params: SQL over `predictions` that selects the sample, and its named parameters.
    """

    turns: int
    share: float
    condition: str
    params: dict[str, Any]


def about(snapshot: Snapshot, model: str, chosen: Filter, most: int, seed: int = 0) -> Sample:
    """A sample of whole dialogues from a filter's turns, with about `most` turns.

    All turns if there are no more than `most`.
    """
    clause, params = chosen.where()
    counted = snapshot.query(_COUNT.format(clause=clause), {"model": model, **params})
    turns = int(counted["turns"][0].as_py())
    share = min(1.0, most / max(1, turns))
    if share == 1:
        return Sample(turns, share, "true", {})
    return Sample(turns, share, _BELOW, {"seed": seed, "share": share})


def one_in(snapshot: Snapshot, model: str, chosen: Filter, most: int = MOST_LABELLED) -> int:
    """The n for which one in n labelled dialogues has about `most` labelled turns, or more.

    A power of two, so that the sample for one filter or model contains what it shares with the
    sample for a wider one. 1 (no sampling) for filters that the daily sums cannot answer.
    """
    labelled = snapshot.counts()["labelled"]
    if labelled < 2 * most or not chosen.rollup:
        return 1

    def turns(selection: Filter) -> int:
        sums, params = sums_sql(selection)
        counted = snapshot.query(_SUM.format(sums=sums), {"model": model, **params})
        return int(counted["turns"][0].as_py())

    inside = labelled * turns(chosen) / max(1, turns(Filter()))
    return 1 << max(0, ceil(log2(inside / most)) - 1) if inside > most else 1


def every(part: int) -> str:
    """A condition that is true for one dialogue in `part`, a power of two; see `one_in`."""
    return f"hash(dialogue_id) % {part} = 0" if part > 1 else "true"


def until(most: str, turns: str, seed: str = "$seed", by: str | None = None) -> str:
    """A QUALIFY condition over one row per dialogue: takes dialogues until they have `most` turns.

    All arguments are SQL: `turns` is the number of turns of a row; with a column `by`, the
    condition applies to each group on its own.
    """
    partition = f"PARTITION BY {by} " if by else ""
    order = DIALOGUE_ORDER.replace("$seed", seed)
    return f"sum({turns}) OVER ({partition}ORDER BY {order}) - {turns} < {most}"


_OF_DAY = f"""
SELECT turn_id, dialogue_id FROM predictions
SEMI JOIN (
  SELECT dialogue_id FROM predictions WHERE model_id = $model AND day = $day AND {DATED}
  GROUP BY dialogue_id
  QUALIFY {until("$turns", "count(*)", seed="1")}
) USING (dialogue_id)
WHERE model_id = $model AND day = $day AND {DATED}
"""


def some_days(snapshot: Snapshot, model: str, days: int) -> list[date]:
    """At most `days` of the days that the model has scored, chosen by a hash."""
    dates: list[Any] = snapshot.query(_DAYS, {"model": model, "days": days})["day"].to_pylist()
    return dates


def some_turns(snapshot: Snapshot, model: str, day: date, turns: int) -> pa.Table:
    """Scored turns of one day: whole dialogues, chosen by a hash, until there are `turns`.

    Columns: turn_id, dialogue_id.
    """
    return snapshot.query(_OF_DAY, {"model": model, "day": day, "turns": turns})
