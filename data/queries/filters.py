"""One filter, four readings: SQL with bound parameters, English words, chips and URL parameters.

All four come from the same object, so a page, its query, its caption and its link cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, NamedTuple, Self

from data.errors import UsageError
from data.schema.trace import FAILURE_POINTS, STAGES
from data.schema.vocabulary import FAILURE_WORDS, STAGE_WORDS

NOT_LOGGED = "(not logged)"

# URL key -> column; the order is that of the widgets, the chips and the caption.
COLUMNS = {
    "assistant": "assistant",
    "locale": "locale",
    "device": "device_type",
    "domain": "domain",
    "intent": "intent",
}
# Ranges of numbers, `low..high` in the URL: column (SQL), what it is called, unit.
RANGES = {
    "confidence": ("asr_confidence", "ASR confidence", ""),
    "words": ("words", "length", " words"),
    "hour": ("hour(started_at)", "hour", " h UTC"),
    "defect": ("p_defect", "probability of a defect", ""),
}
# What is offered of each range, in the filter bar and as the rows of a pivot, so that a click on a
# cell says no more than the cell did; a link may hold any other.
BANDS = {
    "confidence": ("..0.3", "0.3..0.5", "0.5..0.7", "0.7..0.9", "0.9.."),
    "words": ("..2", "2..4", "4..7", "7..11", "11.."),
    "hour": ("0..6", "6..12", "12..18", "18.."),
    "defect": ("..0.2", "0.2..0.5", "0.5..0.8", "0.8.."),
}
SOURCES = ("predicted", "annotated")
KEYS = (
    "since",
    "until",
    "stage",
    *COLUMNS,
    "slot",
    "status",
    "version",
    *RANGES,
    "source",
    "text",
)
# Keys that hold several values, alternatives of each other.
LISTS = ("stage", *COLUMNS, "slot", "status", "version")

# A condition over turn ids: people have judged the turn, in the logs or in the dashboard.
ANNOTATED = (
    "turn_id IN (SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL "
    "UNION ALL SELECT turn_id FROM annotations)"
)

# A condition over any table with days: `$since` and `$until` are days, or null for an open end.
BETWEEN = (
    "day >= coalesce($since, DATE '0001-01-01') AND day <= coalesce($until, DATE '9999-12-31')"
)


class Chip(NamedTuple):
    """One removable condition: the URL key, the value it holds, and what it says."""

    key: str
    value: str
    words: str


class Range(NamedTuple):
    """Numbers from `low` up to, but not including, `high`; an open end is None."""

    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, key: str, text: str) -> Self:
        """`0.2..0.5`, `0.2..` or `..0.5`; raises UsageError for anything else."""
        low, dots, high = text.partition("..")
        try:
            made = cls(float(low) if low else None, float(high) if high else None)
            ends = [end for end in made if end is not None]
            if dots and ends and not any(end != end for end in ends) and ends == sorted(ends):
                return made
        except ValueError:
            pass
        raise UsageError(f"{key}={text} is no range: write it like {key}=0.2..0.5 or {key}=..0.5.")

    def __str__(self) -> str:
        return "..".join("" if end is None else f"{end:.12g}" for end in self)


@dataclass(frozen=True)
class Filter:
    """Which turns to look at. Values of one key are alternatives; keys add up.

    `since` and `until` are UTC days, both included. `stage` is the verdict, a failure point. A
    version reads `stage:release`; releases of one stage are alternatives, stages add up. The value
    `(not logged)` stands for null. `source` is "annotated" for turns whose truth people know,
    "predicted" for the others. `text` are words that were heard, in any case.
    """

    since: date | None = None
    until: date | None = None
    stage: tuple[str, ...] = ()
    assistant: tuple[str, ...] = ()
    locale: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    intent: tuple[str, ...] = ()
    slot: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    confidence: Range | None = None
    words: Range | None = None
    hour: Range | None = None
    defect: Range | None = None
    source: str | None = None
    text: str | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str | Sequence[str]]) -> Filter:
        """The filter that a URL's parameters describe; parameters of other meaning are ignored.

        Raises UsageError for a bad date or range, an unknown stage or source, a version without a
        stage, or an end before the start.
        """
        found: dict[str, Any] = {}
        for key in KEYS:
            given = query.get(key, ())
            values = (given,) if isinstance(given, str) else tuple(given)
            if key in ("since", "until"):
                if values and values[-1]:
                    found[key] = day_of(key, values[-1])
            elif key in RANGES:
                if values and values[-1]:
                    found[key] = Range.parse(key, values[-1])
            elif key in ("source", "text"):
                found[key] = (values[-1].strip() or None) if values else None
            else:
                found[key] = tuple(dict.fromkeys(value for value in values if value))
        made = cls(**found).checked()
        if made.since and made.until and made.since > made.until:
            raise UsageError(
                f"since={made.since} lies after until={made.until}: give the earlier day as since."
            )
        return made

    def checked(self) -> Filter:
        """The filter itself; UsageError for an unknown stage or source, or a version without a
        stage."""
        for value in self.version:
            _version(value)
        _known("stage", self.stage, FAILURE_POINTS)
        _known("source", (self.source,) if self.source else (), SOURCES)
        return self

    def query(self) -> dict[str, list[str]]:
        """URL parameters; `from_query` gives the same filter back."""
        found = {}
        for key in KEYS:
            value = getattr(self, key)
            if isinstance(value, date):
                found[key] = [value.isoformat()]
            elif isinstance(value, Range | str):
                found[key] = [str(value)]
            elif value:
                found[key] = list(value)
        return found

    @property
    def rollup(self) -> bool:
        """Whether the daily sums can answer it; if not, every prediction has to be read."""
        return not any(getattr(self, key) for key in ("slot", "status", *RANGES, "source", "text"))

    def sql(self) -> tuple[str, dict[str, Any]]:
        """A condition over the columns of `predictions`, and its named parameters.

        Where `rollup` is true it also holds over the columns of the table `rollup`.
        """
        clauses: list[str] = []
        params: dict[str, Any] = {}
        if self.since:
            clauses.append("day >= $since")
            params["since"] = self.since
        if self.until:
            clauses.append("day <= $until")
            params["until"] = self.until
        self._add(clauses, params, "stage", "failure_point", self.stage)
        for key, column in COLUMNS.items():
            self._add(clauses, params, key, column, getattr(self, key))
        if self.slot:
            either = []
            named = {f"slot_{i}": v for i, v in enumerate(self.slot) if v != NOT_LOGGED}
            if named:
                either.append(f"list_has_any(slots, [{', '.join('$' + name for name in named)}])")
            if NOT_LOGGED in self.slot:
                either.append("coalesce(len(slots), 0) = 0")
            params |= named
            clauses.append(f"({' OR '.join(either)})")
        self._add(clauses, params, "status", "status", self.status)
        for stage in STAGES:
            releases = tuple(r for s, r in map(_version, self.version) if s == stage)
            self._add(clauses, params, f"version_{stage}", f"version_{stage}", releases)
        for key, (column, _, _) in RANGES.items():
            given: Range | None = getattr(self, key)
            for end, sign in (("low", ">="), ("high", "<")):
                if given and (value := getattr(given, end)) is not None:
                    clauses.append(f"{column} {sign} ${key}_{end}")
                    params[f"{key}_{end}"] = value
        if self.source:
            clauses.append(ANNOTATED if self.source == "annotated" else f"NOT ({ANNOTATED})")
        if self.text:
            clauses.append("contains(lower(heard), lower($text))")
            params["text"] = self.text
        return " AND ".join(clauses) or "true", params

    def literal_sql(self, model: str) -> str:
        """`sql` of one model's predictions with the values written out: to be shown, or typed."""
        clause, params = self.sql()
        return bind_text(f"model_id = $model AND {clause}", {"model": model, **params})

    @staticmethod
    def _add(
        clauses: list[str], params: dict[str, Any], key: str, column: str, values: tuple[str, ...]
    ) -> None:
        named = {f"{key}_{i}": v for i, v in enumerate(v for v in values if v != NOT_LOGGED)}
        either = []
        if named:
            either.append(f"{column} IN ({', '.join('$' + name for name in named)})")
        if NOT_LOGGED in values:
            either.append(f"{column} IS NULL")
        if either:
            params.update(named)
            clauses.append(either[0] if len(either) == 1 else f"({' OR '.join(either)})")

    def chips(self) -> list[Chip]:
        """Every condition on its own, in the order of the caption."""
        found = []
        if self.since:
            found.append(Chip("since", self.since.isoformat(), f"from {_words(self.since)}"))
        if self.until:
            found.append(Chip("until", self.until.isoformat(), f"to {_words(self.until)}"))
        found += [Chip("stage", v, f"called {FAILURE_WORDS[v]}") for v in self.stage]
        for key in COLUMNS:
            found += [Chip(key, v, _value_words(key, v)) for v in getattr(self, key)]
        found += [Chip("slot", v, _slot_words(v)) for v in self.slot]
        found += [Chip("status", v, f"status {_value_words('status', v)}") for v in self.status]
        for value in self.version:
            stage, release = _version(value)
            found.append(Chip("version", value, f"{STAGE_WORDS[stage]} {release}"))
        for key, (_, name, unit) in RANGES.items():
            if given := getattr(self, key):
                found.append(Chip(key, str(given), f"{name} {_range_words(given)}{unit}"))
        if self.source:
            found.append(Chip("source", self.source, f"{self.source} only"))
        if self.text:
            found.append(Chip("text", self.text, f"heard “{self.text}”"))
        return found

    def caption(self) -> str:
        """The filter in words: `1 July 2010 to 14 July 2010 · en-GB or en-US · phone`."""
        parts = []
        if self.since and self.until:
            same = self.since == self.until
            parts.append(
                _words(self.since) if same else f"{_words(self.since)} to {_words(self.until)}"
            )
        elif self.since or self.until:
            parts.append(self.chips()[0].words)
        for key in KEYS[2:]:
            words = [chip.words for chip in self.chips() if chip.key == key]
            if words:
                parts.append(" or ".join(words))
        return " · ".join(parts) or "all turns"

    def without(self, chip: Chip) -> Filter:
        """The same filter less one condition."""
        left: Any = None
        if chip.key in LISTS:
            left = tuple(v for v in getattr(self, chip.key) if v != chip.value)
        return replace(self, **{chip.key: left})

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def bind_text(sql: str, params: Mapping[str, Any]) -> str:
    """SQL with its `$name` parameters written out as literals; text, dates and numbers only."""

    def written(found: re.Match[str]) -> str:
        value = params[found[1]]
        if isinstance(value, date):
            return f"DATE '{value.isoformat()}'"
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        # What is stored as a float has to be compared with a double, as a bound value is.
        return f"({value!r})::DOUBLE"

    return re.sub(r"\$(\w+)", written, sql)


def day_of(key: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{key}={text} is no day: write it like {key}=2024-10-31.") from None


def _version(value: str) -> tuple[str, str]:
    stage, colon, release = value.partition(":")
    if stage not in STAGES or not colon:
        raise UsageError(
            f"version={value} names no stage: write STAGE:RELEASE, with a stage of "
            f"{', '.join(STAGES)}."
        )
    return stage, release


def _words(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _value_words(key: str, value: str) -> str:
    return f"{key} not logged" if value == NOT_LOGGED else value


def _slot_words(value: str) -> str:
    return "no slot" if value == NOT_LOGGED else f"slot {value}"


def _range_words(given: Range) -> str:
    if given.low is None:
        return f"below {given.high:g}"
    return f"{given.low:g} or more" if given.high is None else f"{given.low:g} to {given.high:g}"


def _known(key: str, given: Sequence[str], known: Sequence[str]) -> None:
    for value in given:
        if value not in known:
            raise UsageError(f"{key}={value} is not known; give one of {', '.join(known)}.")
