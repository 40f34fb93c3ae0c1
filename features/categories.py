"""Category values and open signals: columns whose names come from the data.

Which values become columns is learned once, from the training turns of a model, and stored with the
model (`Vocabulary`); later, values and signals that did not occur in training are ignored, and
missing ones are null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa

from data.schema.trace import STAGES
from data.schema.vocabulary import STAGE_TITLES
from features.arrow import Column, pc
from features.feature import When


@dataclass(frozen=True, slots=True)
class Category:
    """A list-valued SQL expression over the frame, which yields one yes/no column per value.

    `learned`: whether new models learn from it; older ones may have columns of the others.
    """

    name: str
    sql: str
    sentence: str
    when: When = "own"
    learned: bool = True


CATEGORIES = [
    # A version is a date in disguise: a model that reads it lets the rates of whatever it saw fail
    # in that time rise on the day of a release, and tomorrow's version means nothing to it.
    *[
        Category(
            f"{stage}.version",
            f"[versions['{stage}']]",
            f"{STAGE_TITLES[stage]} version is",
            learned=False,
        )
        for stage in STAGES
    ],
    Category("asr.endpoint", "[asr.endpoint]", "Speech ended by"),
    Category("nlu.domain", "[domain]", "Domain understood is"),
    Category("nlu.intent", "[intent]", "Intent understood is"),
    Category("nlu.slot", "[s.name for s in slots]", "Slots understood include"),
    Category("er.slot", "[m.slot for m in mentions]", "Entities looked up include"),
    Category("result.action", "[result.action]", "Action is"),
    Category("result.status", "[result.status]", "Result status is"),
    Category("result.act", "response_acts", "Response acts include"),
    Category("dialogue.prompt_act", "prompt_acts", "Prompt acts include"),
    Category("dialogue.device", "[device.type]", "Device type is"),
    Category(
        "dialogue.screen",
        "[CASE device.has_screen WHEN true THEN 'yes' WHEN false THEN 'no' END]",
        "Device has a screen:",
    ),
    Category("dialogue.locale", "[locale]", "Locale is"),
    Category("dialogue.intent_before", "[prev_intent]", "Intent of the turn before is", "before"),
    Category("dialogue.intent_after", "[next_intent]", "Intent of the next turn is", "after"),
    Category("dialogue.intent_after2", "[next2_intent]", "Intent two turns later is", "after"),
    Category("dialogue.next_act", "next_acts", "Acts of the next prompt include", "after"),
]
_BY_NAME = {category.name: category for category in CATEGORIES}

# Bounds the columns of a log whose signal names differ from request to request.
MOST_SIGNALS = 200

_SIGNAL_KEYS = ", ".join(
    f"map_keys({s}.signals) AS {s}_keys, map_values({s}.signals) AS {s}_values" for s in STAGES
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which category values and signals are columns: name → values, stage → signal names."""

    values: Mapping[str, list[str]] = field(default_factory=dict)
    signals: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def learn(
        cls,
        con: duckdb.DuckDBPyConnection,
        *,
        hindsight: bool,
        top: int = 24,
        at_least: int = 20,
    ) -> Vocabulary:
        """The `top` most frequent values of each category that occur `at_least` times in `frame`.

        Values that all turns have are left out, as they carry no information, and so are versions
        of components. Of the signals of a stage, the `MOST_SIGNALS` most frequent ones that occur
        on `at_least` turns are kept.
        Categories of later turns are learned with `hindsight` only.
        """
        total = con.sql("SELECT count(*) FROM frame").fetchall()[0][0]
        values: dict[str, list[str]] = {}
        for category in CATEGORIES:
            if not category.learned or (category.when == "after" and not hindsight):
                continue
            rows = con.sql(
                f"SELECT v, count(*) AS n FROM (SELECT unnest(list_distinct({category.sql})) AS v"
                " FROM frame) WHERE v IS NOT NULL AND v <> '' GROUP BY v HAVING n >= ?"
                " ORDER BY n DESC, v LIMIT ?",
                params=[at_least, top],
            ).fetchall()
            informative = sorted(value for value, n in rows if n < total)
            if informative:
                values[category.name] = informative
        signals = {
            stage: sorted(
                name
                for (name,) in con.sql(
                    f"SELECT e.key FROM (SELECT unnest(map_entries({stage}.signals)) AS e"
                    " FROM frame) WHERE e.value IS NOT NULL GROUP BY ALL HAVING count(*) >= ?"
                    " ORDER BY count(*) DESC, 1 LIMIT ?",
                    params=[at_least, MOST_SIGNALS],
                ).fetchall()
            )
            for stage in STAGES
        }
        return cls(values, {stage: names for stage, names in signals.items() if names})

    def columns(self) -> list[str]:
        """Names of the columns of this vocabulary, in order."""
        return [
            *[f"{stage}.signal.{name}" for stage, names in self.signals.items() for name in names],
            *[f"{name}={value}" for name, values in self.values.items() for value in values],
        ]

    def columns_of(self, con: duckdb.DuckDBPyConnection) -> dict[str, np.ndarray]:
        """Columns by name, float32 (n,), for the rows of `frame` in the order of `turn_id`.

        Absent signals are NaN, and so are categories that the trace does not log, not even as an
        empty list.
        """
        columns: dict[str, np.ndarray] = {}
        if self.signals:
            table = con.sql(f"SELECT {_SIGNAL_KEYS} FROM frame ORDER BY turn_id").to_arrow_table()
            for stage, names in self.signals.items():
                matrix = np.full((table.num_rows, len(names)), np.nan, np.float32)
                rows, codes = _positions(table[f"{stage}_keys"], names)
                numbers = _flat(table[f"{stage}_values"]).to_numpy(zero_copy_only=False)
                in_vocabulary = codes >= 0
                matrix[rows[in_vocabulary], codes[in_vocabulary]] = numbers[in_vocabulary]
                columns |= {f"{stage}.signal.{n}": matrix[:, i] for i, n in enumerate(names)}
        if self.values:
            lists = ", ".join(f"{_BY_NAME[name].sql} AS c{i}" for i, name in enumerate(self.values))
            table = con.sql(f"SELECT {lists} FROM frame ORDER BY turn_id").to_arrow_table()
            for i, (name, values) in enumerate(self.values.items()):
                logged = _is_logged(table[f"c{i}"])
                matrix = np.where(logged[:, None], np.zeros(len(values), np.float32), np.nan)
                rows, codes = _positions(table[f"c{i}"], values)
                in_vocabulary = codes >= 0
                matrix[rows[in_vocabulary], codes[in_vocabulary]] = 1.0
                columns |= {f"{name}={v}": matrix[:, j] for j, v in enumerate(values)}
        return columns


def _flat(lists: Column) -> Column:
    return lists.combine_chunks().flatten()


def _is_logged(lists: Column) -> np.ndarray:
    """Which lists have a value or are empty, bool (n,); not null ones or those of nulls alone."""
    array = lists.combine_chunks()
    length = pc.fill_null(pc.list_value_length(array), -1).to_numpy()
    logged: np.ndarray = length == 0
    valid = pc.is_valid(array.flatten()).to_numpy(zero_copy_only=False)
    logged[pc.list_parent_indices(array).to_numpy()[valid]] = True
    return logged


def _positions(lists: Column, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The row and the index in `names` (or -1) of each element of a column of lists of strings."""
    array = lists.combine_chunks()
    rows = pc.list_parent_indices(array).to_numpy()
    index = pc.index_in(array.flatten(), value_set=pa.array(names, pa.string()))
    return rows, pc.fill_null(index, -1).to_numpy()


def sentence(name: str) -> str | None:
    """``nlu.intent=play`` → "Intent understood is play"; None for the name of any other column."""
    base, _, value = name.partition("=")
    if value and base in _BY_NAME:
        return f"{_BY_NAME[base].sentence} {value}"
    stage, _, signal = name.partition(".signal.")
    if signal and stage in STAGES:
        return f"{STAGE_TITLES[stage]} signal “{signal}”"
    return None
