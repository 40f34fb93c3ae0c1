"""Which of several records with one turn id are the same turn, and which of these is stored.

Two records are versions of one turn if their dialogue ids agree and their times differ by no more
than `SAME_US`. In logs of other systems the ids are those of spans, requests and messages: there
the times decide alone, as a part of a log may not say to which dialogue a turn belongs. Of these,
one is stored, whatever the order in which they arrive:

- An interim result gives way to a final one. A record with a result is final. One without is
  interim beside another that has one, or that has more stages (wake, asr, nlu, er, tts, feedback)
  of which anything is logged, or else more audio, or a first hypothesis that continues its own.
- Otherwise the later one is a correction, and replaces the earlier, whatever it leaves out.
- Their gold is merged, field by field; where both say something, the later one counts. Only a
  record that is sent again just as it is stored, but for its gold, replaces that: it has nothing
  else to say, and its gold may have been corrected or withdrawn.

All others with the id are a conflict: ids that started again after a restart, or were given twice.
`ON_CONFLICT` decides then. With `keep`, the turn that was there first stays and the others go to
quarantine; with `replace`, the last one is stored and the others are lost, but counted; with
`refuse`, nothing of the run is stored.

It decides about other turns only: an interim result replaces no final one with any of them.

Only records whose id occurs twice are looked at, in the input and the store together; their bodies
are read only where their fingerprints differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from data.ingest.staging import GOLD_TEXT, Part, Staged
from data.ingest.validation import cut_sql
from data.schema.layout import TABLES
from data.schema.trace import TURNS, schema
from data.store.snapshot import literal, scan

ON_CONFLICT = ("keep", "replace", "refuse")
# One second, in microseconds. The same time written twice differs by rounding only (some systems
# log milliseconds, some whole seconds), and nobody makes two requests of a dialogue in a second.
SAME_US = 1_000_000
CONFLICT = "the id of another turn, which was there first: its dialogue or its time differs"

# What a record can have logged, one part after the other.
_PARTS = ("wake", "asr", "nlu", "er", "result", "tts", "feedback")


def _filled(part: str) -> str:
    """SQL: anything of a part is logged. An empty object says no more than a missing one."""
    names = [field.name for field in TURNS.field(part).type]
    return f"({' OR '.join(f'{part}.{name} IS NOT NULL' for name in names)})"


_FINAL = _filled("result")
# What is compared, alike for stored and for staged records.
_BODY = f"""
  dialogue_id, epoch_us(started_at) AS began, {_FINAL} AS finished,
  CASE WHEN NOT {_FINAL} THEN {" + ".join(f"{_filled(part)}::INT" for part in _PARTS)} END AS parts,
  CASE WHEN NOT {_FINAL} THEN asr.audio_ms END AS audio,
  CASE WHEN NOT {_FINAL} THEN coalesce(asr.hypotheses[1].text, '') END AS heard
"""
_BODY_COLUMNS = ("dialogue_id", "started_at", *_PARTS)
_POSITION = ("block", "batch", "row")

# `first`: of the record that the others are compared with.
_JUDGED = f"""
CREATE TABLE judged AS
WITH compared AS (
  SELECT *, first(dialogue_id) OVER firstly AS first_dialogue,
    first(began) OVER firstly AS first_began
  FROM versions LEFT JOIN bodies USING (turn_id, arrival) LEFT JOIN golds USING (turn_id, arrival)
  WINDOW firstly AS (PARTITION BY turn_id ORDER BY arrival {{direction}})
), agreeing AS (
  -- Equal fingerprints mean equal dialogues and times.
  SELECT *, coalesce(
    (dialogue_id = first_dialogue OR {{ids_of_log}}) AND abs(began - first_began) <= {SAME_US}, true
  ) AS agrees
  FROM compared
), longest AS (
  SELECT *, arg_max(heard, length(heard)) OVER (
    PARTITION BY turn_id, agrees, finished, parts, audio) AS longest,
    arg_max(digest, arrival) OVER alike AS last_digest,
    max(digest) FILTER (arrival = 0) OVER alike AS stored_digest,
    max(arrival) OVER alike AS last_arrival
  FROM agreeing
  WINDOW alike AS (PARTITION BY turn_id, agrees)
)
SELECT * EXCLUDE (first_dialogue, first_began, longest, last_digest, stored_digest, last_arrival),
  -- Sent again as it is stored, a record restates its gold.
  arrival > 0 OR last_arrival = 0 OR last_digest IS DISTINCT FROM stored_digest AS has_say,
  row_number() OVER (
    PARTITION BY turn_id, agrees
    ORDER BY finished DESC, parts DESC NULLS LAST, audio DESC NULLS LAST,
      coalesce(length(heard) < length(longest) AND starts_with(longest, heard), false),
      arrival DESC
  ) AS place
FROM longest
"""

# One row per id: the record that is stored, and what is there of it already.
_OUTCOMES = """
CREATE TABLE outcomes AS
SELECT turn_id, max(arrival) FILTER (place = 1) AS winner,
  any_value(day) FILTER (place = 1) AS day, any_value(digest) FILTER (place = 1) AS digest,
  any_value(text) FILTER (place = 1) AS text,
  count(DISTINCT text) FILTER (has_say) AS texts, any_value(text) FILTER (has_say) AS some_text,
  bool_or(arrival = 0) AS stored, any_value(digest) FILTER (arrival = 0) AS stored_digest,
  any_value(text) FILTER (arrival = 0) AS stored_text, max(arrival) > 0 AS given
FROM judged WHERE agrees
GROUP BY turn_id
"""


def conflict_words(records: int, number: str) -> str:
    """How many records have the id of another turn; `number` is how the number is written."""
    subject = "1 record has" if records == 1 else f"{number} records have"
    return f"{subject} the id of another turn, whose dialogue or time differs"


@dataclass(frozen=True)
class Resolved:
    """What becomes of the staged records of one input, beside those that are stored as they are.

    The table `drops` of the connection has the positions of those that are not.

    Attributes
    ----------
    given: records with an id that occurs twice. turns: how many turns these are, without those in
    conflict. replaced, unchanged: of these, stored turns that changed, and that did not. interim:
    records that did not replace a final one. conflicts: records that are another turn's.
    """

    given: int = 0
    turns: int = 0
    replaced: int = 0
    unchanged: int = 0
    interim: int = 0
    conflicts: int = 0


def resolve(
    con: duckdb.DuckDBPyConnection,
    stored: Sequence[Path],
    staged: Sequence[Staged],
    on_conflict: str,
) -> Resolved:
    """Decide which records are stored; `con` has the view `keys`, `stored` are the turns' files.

    Makes the tables `drops` (block, batch, row), `replaced` (turn_id, moved, differs), `conflicts`
    (turn_id, block, batch, row, line) and `merged` (turn_id, arrival, block, batch, row, day, gold:
    records that are stored with the gold of others).
    """
    con.execute("CREATE TABLE drops (block INTEGER, batch INTEGER, row INTEGER)")
    _versions(con, stored)
    ((number,),) = con.execute("SELECT count(*) FROM versions").fetchall()
    if not number:
        for name, columns in _EMPTY.items():
            con.execute(f"CREATE TABLE {name} ({columns})")
        return Resolved()
    _compare(con, stored, staged, "DESC" if on_conflict == "replace" else "ASC")
    _merge(con, stored, staged)
    con.execute(
        "CREATE TABLE fates AS SELECT *, coalesce(stored, false) AND digest = stored_digest "
        "AND final_text IS NOT DISTINCT FROM stored_text AS unchanged, "
        "final_text IS DISTINCT FROM text AS patched FROM "
        "(SELECT outcomes.*, CASE WHEN m.turn_id IS NULL THEN some_text ELSE m.text END "
        "AS final_text FROM outcomes LEFT JOIN merges m USING (turn_id))"
    )
    con.execute(
        "INSERT INTO drops SELECT j.block, j.batch, j.row FROM judged j JOIN fates f "
        "USING (turn_id) WHERE arrival > 0 "
        "AND (NOT agrees OR arrival <> winner OR unchanged OR patched)"
    )
    con.execute(
        "CREATE TABLE replaced AS SELECT turn_id, known.day <> f.day AS moved, "
        "NOT coalesce(f.stored, false) AS differs "
        "FROM fates f JOIN known USING (turn_id) WHERE NOT unchanged AND (given OR stored)"
    )
    con.execute(
        "CREATE TABLE conflicts AS SELECT turn_id, block, batch, row, line FROM judged "
        "WHERE NOT agrees AND arrival > 0"
    )
    con.execute(
        "CREATE TABLE merged AS SELECT turn_id, winner AS arrival, j.block, j.batch, j.row, f.day, "
        "m.gold FROM fates f JOIN merges m USING (turn_id) "
        "JOIN judged j ON j.turn_id = f.turn_id AND j.arrival = f.winner "
        "WHERE patched AND NOT unchanged"
    )
    ((given, conflicts, interim),) = con.execute(
        "SELECT count(*) FILTER (arrival > 0), count(*) FILTER (NOT agrees), "
        "count(*) FILTER (agrees AND arrival > winner) FROM judged JOIN fates USING (turn_id)"
    ).fetchall()
    ((turns, unchanged),) = con.execute(
        "SELECT count(*) FILTER (given), count(*) FILTER (given AND unchanged) FROM fates"
    ).fetchall()
    ((replaced,),) = con.execute("SELECT count(*) FROM replaced").fetchall()
    return Resolved(given, turns, replaced, unchanged, interim, conflicts)


_EMPTY = {
    "replaced": "turn_id VARCHAR, moved BOOLEAN, differs BOOLEAN",
    "conflicts": "turn_id VARCHAR, block INTEGER, batch INTEGER, row INTEGER, line INTEGER",
    "merged": "turn_id VARCHAR, block INTEGER",
}


def _versions(con: duckdb.DuckDBPyConnection, stored: Sequence[Path]) -> None:
    """The tables `known` (stored turns whose id is given), and `versions`: all records whose id
    occurs twice; `arrival` is their order, 0 for what is stored."""
    con.execute("CREATE TABLE known (turn_id VARCHAR, digest BIGINT, day DATE)")
    if stored:
        con.execute(f"CREATE VIEW stored AS {scan(TABLES['turns'], stored)}")
        con.execute(
            "INSERT INTO known SELECT turn_id, digest, day FROM stored SEMI JOIN keys "
            "USING (turn_id)"
        )
    (repeated,) = con.execute("SELECT count(*) - count(DISTINCT turn_id) FROM keys").fetchall()[0]
    twice = "SELECT turn_id FROM known"
    if repeated:
        twice += " UNION ALL SELECT turn_id FROM keys GROUP BY turn_id HAVING count(*) > 1"
    con.execute(
        "CREATE TABLE versions AS SELECT turn_id, digest, day, block, batch, row, line, "
        "1 + (block::BIGINT << 32) + line AS arrival "
        f"FROM keys SEMI JOIN ({twice}) USING (turn_id) "
        "UNION ALL SELECT turn_id, digest, day, NULL, NULL, NULL, NULL, 0 FROM known"
    )


def _compare(
    con: duckdb.DuckDBPyConnection, stored: Sequence[Path], staged: Sequence[Staged], order: str
) -> None:
    """The tables `judged` (versions: whether they agree, their place among those), `outcomes`."""
    con.execute("CREATE TABLE golds (turn_id VARCHAR, arrival BIGINT, text VARCHAR)")
    text = f"SELECT turn_id, arrival, {GOLD_TEXT} AS text"
    every = "SELECT turn_id FROM versions"
    for records in _records(con, stored, staged, ("gold",), every):
        con.execute(f"INSERT INTO golds {text} FROM {records} WHERE gold IS NOT NULL")
    con.execute(
        "CREATE TABLE bodies (turn_id VARCHAR, arrival BIGINT, dialogue_id VARCHAR, began BIGINT, "
        "finished BOOLEAN, parts INTEGER, audio DOUBLE, heard VARCHAR)"
    )
    differing = "SELECT turn_id FROM versions GROUP BY turn_id HAVING count(DISTINCT digest) > 1"
    for records in _records(con, stored, staged, _BODY_COLUMNS, differing):
        con.execute(f"INSERT INTO bodies SELECT turn_id, arrival, {_BODY} FROM {records}")
    ids_of_log = all(block.origins is not None for block in staged)
    con.execute(_JUDGED.format(direction=order, ids_of_log=ids_of_log))
    con.execute(_OUTCOMES)


def _merge(
    con: duckdb.DuckDBPyConnection, stored: Sequence[Path], staged: Sequence[Staged]
) -> None:
    """The table `merges`: the gold of turns of which several records have some, or only another
    than the one that is stored."""
    kind = TURNS.field("gold").type
    fields = ", ".join(f"{field.name} := arg_max(gold.{field.name}, arrival)" for field in kind)
    needed = "SELECT turn_id FROM outcomes WHERE texts > 1 OR (texts = 1 AND text IS NULL)"
    con.execute(f"CREATE TABLE pieces (turn_id VARCHAR, arrival BIGINT, gold {_gold_type(con)})")
    for records in _records(con, stored, staged, ("gold",), needed):
        con.execute(
            f"INSERT INTO pieces SELECT turn_id, arrival, gold FROM {records} "
            "SEMI JOIN (FROM judged WHERE agrees AND has_say) USING (turn_id, arrival) "
            "WHERE gold IS NOT NULL"
        )
    con.execute(
        f"CREATE TABLE merges AS SELECT *, {GOLD_TEXT} AS text FROM "
        f"(SELECT turn_id, struct_pack({fields}) AS gold FROM pieces GROUP BY turn_id)"
    )


def _gold_type(con: duckdb.DuckDBPyConnection) -> str:
    con.register("typed", TABLES["turns"].schema.empty_table())
    kind = str(con.sql("SELECT gold FROM typed").types[0])
    con.unregister("typed")
    return kind


def _records(
    con: duckdb.DuckDBPyConnection,
    stored: Sequence[Path],
    staged: Sequence[Staged],
    columns: Sequence[str],
    ids: str,
) -> Iterator[str]:
    """Sources of the given columns of the versions of some turns, with turn_id and arrival.

    Each is to be read once, before the next one is asked for. `ids` is a SELECT of turn ids.
    """
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE wanted AS FROM versions SEMI JOIN ({ids}) USING (turn_id)"
    )
    found = con.execute("SELECT block, count(*) FROM wanted GROUP BY ALL").fetchall()
    blocks = {block for block, _ in found}
    names = ", ".join(columns)
    if None in blocks:
        yield f"(SELECT turn_id, 0 AS arrival, {names} FROM ({of_stored(con, stored, 'wanted')}))"
    if blocks - {None}:
        con.register("stream", stream([s for s in staged if s.index in blocks], columns))
        yield (
            f"(SELECT turn_id, arrival, {names} FROM stream JOIN wanted "
            f"USING ({', '.join(_POSITION)}))"
        )
        con.unregister("stream")


def of_stored(con: duckdb.DuckDBPyConnection, stored: Sequence[Path], wanted: str) -> str:
    """SQL: the stored turns of the table `wanted` (turn_id, day), from the files of their days."""
    days = con.execute(f"SELECT DISTINCT day FROM {wanted} WHERE block IS NULL").fetchall()
    listed = ", ".join(literal(day) for (day,) in days) or "NULL"
    return (
        f"FROM ({scan(TABLES['turns'], stored)}) WHERE day IN ({listed}) AND turn_id IN "
        f"(SELECT turn_id FROM {wanted} WHERE block IS NULL)"
    )


def stream(staged: Iterable[Staged], columns: Sequence[str]) -> pa.RecordBatchReader:
    """Columns of all rows of some blocks, with their positions: block, batch, row."""
    fields = [TURNS.field(name) for name in columns]
    kinds = schema([*fields, *((name, pa.int32()) for name in _POSITION)])

    def batches() -> Iterator[pa.RecordBatch]:
        for item in staged:
            for batch, (_, rows, _) in enumerate(item.days):
                table = Part(item.turns, batch, None).read(columns).combine_chunks()
                constant = [np.full(rows, value, dtype=np.int32) for value in (item.index, batch)]
                position = (*constant, np.arange(rows, dtype=np.int32))
                arrays: list[Any] = [table[name].combine_chunks() for name in columns]
                yield pa.RecordBatch.from_arrays(
                    [*arrays, *(pa.array(values) for values in position)], schema=kinds
                )

    return pa.RecordBatchReader.from_batches(kinds, batches())


def quarantined(con: duckdb.DuckDBPyConnection, staged: Sequence[Staged], to: Path) -> Path:
    """Write the records of the table `conflicts` as faults, with the columns of `staging.FAULTS`
    and `block`; returns the file."""
    blocks = {block for (block,) in con.execute("SELECT DISTINCT block FROM conflicts").fetchall()}
    columns = [name for name in TURNS.names if name not in ("extra", "digest", "day", "gold")]
    con.register("stream", stream([s for s in staged if s.index in blocks], columns))
    time = "strftime(timezone('UTC', started_at), '%Y-%m-%dT%H:%M:%S.%fZ')"
    record = ", ".join(
        f"{name} := {time if name == 'started_at' else f'stream.{name}'}" for name in columns
    )
    # A merge patch leaves out what is null.
    text = f"json_merge_patch('{{}}', to_json(struct_pack({record})))::VARCHAR"
    con.execute(
        f"COPY (SELECT block, line, 'turn_id' AS field, {literal(CONFLICT)} AS reason, "
        f"{cut_sql(text, 'stream')} AS excerpt "
        f"FROM stream JOIN conflicts USING ({', '.join(_POSITION)})"
        f") TO {literal(to)} (FORMAT parquet)"
    )
    con.unregister("stream")
    return to
