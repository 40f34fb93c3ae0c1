"""Dimensions of slices of the traffic: as columns, as SQL conditions, and in English.

Besides the stored columns there are three bands (ASR confidence, number of words, hour of the day)
and the slots of the request. A turn can have several slots: `slot` tests membership, not equality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import UsageError
from data.queries.filters import NOT_LOGGED, Filter
from data.queries.sampling import MOST_SLICED, about
from data.schema.trace import FAILURE_POINTS, STAGES
from data.schema.vocabulary import STAGE_WORDS, release_title
from progress import Progress, silent

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Band:
    """Ranges of a number: band i contains `edges[i] <= column < edges[i + 1]`.

    `labels` name the bands in links; `words` is the format string of their English names.
    """

    sql: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    words: str

    def cases(self) -> str:
        """SQL for the label of a row's band; null if the number is missing."""
        limits = zip(self.edges[1:], self.labels, strict=True)
        branches = " ".join(f"WHEN {self.sql} < {edge} THEN '{label}'" for edge, label in limits)
        return f"CASE WHEN {self.sql} IS NULL THEN NULL {branches} END"


BANDS = {
    # The edges are far enough apart that next week's search finds the same slice again.
    "confidence": Band(
        "asr_confidence",
        (-1e9, 0.2, 0.4, 0.6, 0.8, 1e9),
        ("0.0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1.0"),
        "ASR confidence {}",
    ),
    "words": Band(
        "words",
        (-1e9, 1, 2, 3, 5, 8, 12, 1e9),
        ("0", "1", "2", "3-4", "5-7", "8-11", "12+"),
        "{} words heard",
    ),
    "hour": Band(
        "hour(started_at)",
        (0, 4, 8, 12, 16, 20, 24),
        ("00-04", "04-08", "08-12", "12-16", "16-20", "20-24"),
        "{} h UTC",
    ),
}

_PLAIN = (
    *("locale", "device_type", "domain", "intent"),
    *("assistant", *(f"version_{stage}" for stage in STAGES)),
)
# In the order in which a slice is described.
DIMENSIONS = (*_PLAIN[:4], "slot", *_PLAIN[4:], *BANDS)

_TABLE = """
SELECT hash(dialogue_id) AS dialogue, {p} AS p, {columns}, slots AS slot
FROM predictions
WHERE model_id = $model AND {clause} AND {sampled}
"""


def slice_columns(
    snapshot: Snapshot,
    model: str,
    failure_point: str,
    chosen: Filter,
    *,
    most: int = MOST_SLICED,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[pa.Table, float]:
    """The columns that slice discovery reads of a filter's turns, and the share of turns read.

    Columns: dialogue (uint64, a hash), p (float32, calibrated probability of `failure_point`; of
    any failure for ``defect``), one dictionary-coded text per dimension, slot (list of texts).
    Above `most` turns a seeded sample of whole dialogues is read, and the share is below 1.
    `progress` is called with the turns read; what it raises ends the reading.
    Raises UsageError for an unknown failure point.
    """
    if failure_point not in (*FAILURE_POINTS, "defect"):
        raise UsageError(
            f"Unknown failure point '{failure_point}'; give one of "
            f"{', '.join((*FAILURE_POINTS, 'defect'))}."
        )
    clause, params = chosen.where()
    sample = about(snapshot, model, chosen, most, seed)
    bound: dict[str, Any] = {"model": model, **params, **sample.params}
    columns = [*_PLAIN, *(f"{band.cases()} AS band_{name}" for name, band in BANDS.items())]
    sql = _TABLE.format(
        p=f"p_{failure_point}",
        columns=", ".join(columns),
        clause=clause,
        sampled=sample.condition,
    )
    # Dictionary-coded batch by batch: the texts of millions of turns are never all in memory.
    batches = []
    read = 0
    for batch in snapshot.batches(sql, bound, rows=200_000):
        batches.append(_coded(batch))
        read += batch.num_rows
        progress(read, sample.turns * sample.share, "reading the turns")
    if not batches:
        return _coded(snapshot.query(sql + " LIMIT 0", bound)), sample.share
    return pa.concat_tables(batches).unify_dictionaries(), sample.share


def _coded(batch: pa.RecordBatch | pa.Table) -> pa.Table:
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column: Any = table[name]
        text = pa.types.is_string(column.type)
        columns[name.removeprefix("band_")] = column.dictionary_encode() if text else column
    return pa.table(columns)


def condition_sql(
    conditions: tuple[tuple[str, str], ...], prefix: str = "slice"
) -> tuple[str, dict[str, Any]]:
    """A condition over `predictions` and its named parameters, as `Filter.sql` gives them.

    Raises UsageError for an unknown dimension or band.
    """
    clauses: list[str] = []
    params: dict[str, Any] = {}
    for number, (dimension, value) in enumerate(conditions):
        name = f"{prefix}_{number}"
        if dimension in BANDS:
            band = BANDS[dimension]
            if value == NOT_LOGGED:
                clauses.append(f"{band.sql} IS NULL")
                continue
            if value not in band.labels:
                raise UsageError(
                    f"Unknown band {dimension}={value}; give one of {', '.join(band.labels)}."
                )
            index = band.labels.index(value)
            params[f"{name}_from"], params[f"{name}_to"] = band.edges[index], band.edges[index + 1]
            clauses.append(f"({band.sql} >= ${name}_from AND {band.sql} < ${name}_to)")
        elif dimension not in DIMENSIONS:
            raise UsageError(
                f"Unknown dimension '{dimension}'; a slice has {', '.join(DIMENSIONS)}."
            )
        elif dimension == "slot":
            params[name] = value
            clauses.append(f"list_contains(slots, ${name})")
        elif value == NOT_LOGGED:
            clauses.append(f"{dimension} IS NULL")
        else:
            params[name] = value
            clauses.append(f"{dimension} = ${name}")
    return " AND ".join(clauses) or "true", params


def condition_words(dimension: str, value: str) -> str:
    """One condition in English: `ASR 4.2`, `5–7 words heard`, `locale not logged`."""
    noun = dimension.removesuffix("_type")
    if dimension in BANDS:
        words = BANDS[dimension].words
        if value == NOT_LOGGED:
            return words.replace("{}", "").strip() + " not logged"
        words = "{} word heard" if (dimension, value) == ("words", "1") else words
        return words.format(value.replace("-", "–"))
    if dimension.startswith("version_"):
        stage = dimension.removeprefix("version_")
        if value == NOT_LOGGED:
            return f"{STAGE_WORDS[stage]} version not logged"
        return release_title(stage, value)
    if value == NOT_LOGGED:
        return f"{noun} not logged"
    # A blank value must be visible as such.
    return (
        f"{noun} {value.strip() or 'blank'}" if dimension == "slot" or not value.strip() else value
    )
