"""One filter in four forms: SQL with bound parameters, a caption, chips and URL parameters.

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
from data.schema.vocabulary import FAILURE_WORDS, version_title
from data.store.misdated import DATED, MISDATED

NOT_LOGGED = "(not logged)"
# What stands for an empty text, which a link cannot hold.
EMPTY_TEXT = "(empty)"

# URL key -> column, in the order of the widgets, the chips and the caption.
COLUMNS = {
    "assistant": "assistant",
    "locale": "locale",
    "device": "device_type",
    "domain": "domain",
    "intent": "intent",
}
# Ranges of numbers, `low..high` in the URL: column (SQL), name, unit.
RANGES = {
    "confidence": ("asr_confidence", "ASR confidence", ""),
    "words": ("words", "length", " words"),
    "hour": ("hour(started_at)", "hour", " h UTC"),
    "defect": ("p_defect", "probability of a defect", ""),
}
# The bands of each range, in the filter bar and as the rows of a pivot, so that a click on a cell
# selects just its turns; a link may contain any other range.
BANDS = {
    "confidence": ("..0.3", "0.3..0.5", "0.5..0.7", "0.7..0.9", "0.9.."),
    "words": ("..2", "2..4", "4..7", "7..11", "11.."),
    "hour": ("0..6", "6..12", "12..18", "18.."),
    "defect": ("..0.2", "0.2..0.5", "0.5..0.8", "0.8.."),
}
SOURCES = ("predicted", "annotated")
# Of turns whose date cannot be right; without it, a filter leaves them out.
DATES = ("impossible",)
# Keys with several values, which are alternatives; before each, `NOT` excludes the values.
POSITIVE = ("failure_point", *COLUMNS, "slot", "status", "version")
NOT = "not_"
NEGATIVE = tuple(NOT + key for key in POSITIVE)
LISTS = (*POSITIVE, *NEGATIVE)
KEYS = ("since", "until", *POSITIVE, *RANGES, "source", "dates", "text", *NEGATIVE)
# Earlier names of keys, still read in links and saved views.
EARLIER = {"stage": "failure_point"}

# A condition over turn ids: annotators have judged the turn, in the logs or in the dashboard.
ANNOTATED = (
    "turn_id IN (SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL "
    "UNION ALL SELECT turn_id FROM annotations)"
)

# A condition over `turns`: the date is possible, and lies between the days `$since` and `$until`
# (null for an open end).
BETWEEN = (
    "day >= coalesce($since, DATE '0001-01-01') AND day <= coalesce($until, DATE '9999-12-31') "
    f"AND {DATED}"
)


class Chip(NamedTuple):
    """One removable condition: its URL key, its value, and its text."""

    key: str
    value: str
    words: str


class Range(NamedTuple):
    """Numbers from `low` up to, but not including, `high`; an open end is None."""

    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, key: str, text: str) -> Self:
        """Parse `0.2..0.5`, `0.2..` or `..0.5`; raises UsageError for anything else."""
        low, dots, high = text.partition("..")
        try:
            parsed = cls(float(low) if low else None, float(high) if high else None)
            ends = [end for end in parsed if end is not None]
            if dots and ends and not any(end != end for end in ends) and ends == sorted(ends):
                return parsed
        except ValueError:
            pass
        raise UsageError(
            f"Invalid range {key}={text}; write it like {key}=0.2..0.5 or {key}=..0.5."
        )

    def __str__(self) -> str:
        return "..".join("" if end is None else f"{end:.12g}" for end in self)


@dataclass(frozen=True)
class Filter:
    """Which turns to select. Values of one key are alternatives (OR); keys are combined by AND.

    `since` and `until` are UTC days, both included. `failure_point` is the predicted one. A
    version is written `stage:release`; releases of one stage are alternatives, stages are combined
    by AND. The value `(not logged)` stands for null. The keys with `not_` leave out the turns that
    have any of their values; turns without a value stay. `source` is "annotated" for turns that
    annotators have judged, "predicted" for the others. `text` is contained in the recogniser's
    first hypothesis, ignoring case. `dates` is "impossible" for the turns whose date cannot be
    right, which belong to no day; every other filter leaves them out.
    """

    since: date | None = None
    until: date | None = None
    failure_point: tuple[str, ...] = ()
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
    dates: str | None = None
    text: str | None = None
    not_failure_point: tuple[str, ...] = ()
    not_assistant: tuple[str, ...] = ()
    not_locale: tuple[str, ...] = ()
    not_device: tuple[str, ...] = ()
    not_domain: tuple[str, ...] = ()
    not_intent: tuple[str, ...] = ()
    not_slot: tuple[str, ...] = ()
    not_status: tuple[str, ...] = ()
    not_version: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, str | Sequence[str]], ordered: bool = True) -> Filter:
        """The filter that a URL's parameters describe; other parameters are not read.

        Earlier names of keys are read as well. Raises UsageError for a bad date or range, two
        values of a key that takes one, an unknown failure point or source, a version without a
        stage, and if the days are `ordered`, for an end before the start.
        """
        arguments: dict[str, Any] = {}
        for key, values in _parameters(query).items():
            if key in LISTS:
                arguments[key] = values
            elif len(values) > 1:
                raise UsageError(
                    f"{key} is given {len(values)} times ({', '.join(values)}); give it once."
                )
            elif key in ("since", "until"):
                arguments[key] = day_of(key, values[0])
            elif key in RANGES:
                arguments[key] = Range.parse(key, values[0])
            else:
                arguments[key] = values[0]
        parsed = cls(**arguments).checked()
        if ordered and parsed.since and parsed.until and parsed.since > parsed.until:
            raise UsageError(
                f"since={parsed.since} is after until={parsed.until}; "
                "give the earlier day as since."
            )
        return parsed

    def checked(self) -> Filter:
        """Return the filter itself.

        Raises UsageError for an unknown failure point or source, or a version without a stage.
        """
        for key in ("version", NOT + "version"):
            for value in getattr(self, key):
                _version(value, key)
        for key in ("failure_point", NOT + "failure_point"):
            _known(key, getattr(self, key), FAILURE_POINTS)
        _known("source", (self.source,) if self.source else (), SOURCES)
        _known("dates", (self.dates,) if self.dates else (), DATES)
        return self

    def query(self) -> dict[str, list[str]]:
        """The URL parameters, from which `from_query` makes the same filter."""
        parameters = {}
        for key in KEYS:
            value = getattr(self, key)
            if isinstance(value, date):
                parameters[key] = [value.isoformat()]
            elif isinstance(value, Range | str):
                parameters[key] = [str(value)]
            elif value:
                parameters[key] = list(value)
        return parameters

    @property
    def rollup(self) -> bool:
        """Whether the daily sums suffice for this filter; if not, every prediction is read."""
        return not any(
            getattr(self, key)
            for key in (
                *("slot", "status", NOT + "slot", NOT + "status"),
                *(*RANGES, "source", "dates", "text"),
            )
        )

    def sql(self) -> tuple[str, dict[str, Any]]:
        """A condition over the columns of `predictions`, and its named parameters.

        If `rollup` is true, the condition is also valid over the columns of the table `rollup`. To
        select predictions, use `where`: this leaves turns with an impossible date in.
        """
        clauses: list[str] = []
        params: dict[str, Any] = {}
        if self.since:
            clauses.append("day >= $since")
            params["since"] = self.since
        if self.until:
            clauses.append("day <= $until")
            params["until"] = self.until
        for key in POSITIVE:
            clauses += self._among(key, params)
        for key, (column, _, _) in RANGES.items():
            bounds: Range | None = getattr(self, key)
            for end, sign in (("low", ">="), ("high", "<")):
                if bounds and (value := getattr(bounds, end)) is not None:
                    clauses.append(f"{column} {sign} ${key}_{end}")
                    params[f"{key}_{end}"] = value
        if self.source:
            clauses.append(ANNOTATED if self.source == "annotated" else f"NOT ({ANNOTATED})")
        if self.dates:
            clauses.append(MISDATED)
        if self.text:
            clauses.append("contains(lower(heard), lower($text))")
            params["text"] = self.text
        for key in POSITIVE:
            # Null is not one of the values, so that such turns stay.
            clauses += [f"({part}) IS NOT TRUE" for part in self._among(key, params, NOT)]
        return " AND ".join(clauses) or "true", params

    def where(self) -> tuple[str, dict[str, Any]]:
        """`sql`, and unless the filter is for them, no turn whose date cannot be right.

        Every query over `predictions` selects a filter's turns with it, so that all agree with each
        other and with the table `rollup`, which has no such turns.
        """
        clause, params = self.sql()
        return clause if self.dates else f"({clause}) AND {DATED}", params

    def literal_sql(self, model: str) -> str:
        """`where` for one model's predictions with the values as literals, for people to read."""
        clause, params = self.where()
        return bind_text(f"model_id = $model AND {clause}", {"model": model, **params})

    def _among(self, key: str, params: dict[str, Any], sign: str = "") -> list[str]:
        """Conditions that a turn has one of the values of the key `sign + key`."""
        values: tuple[str, ...] = getattr(self, sign + key)
        if key == "version":
            releases = [_version(value) for value in values]
            return [
                clause
                for stage in STAGES
                if (of_stage := [release for s, release in releases if s == stage])
                for clause in _one_of(
                    f"version_{stage}", f"{sign}version_{stage}", of_stage, params
                )
            ]
        if key != "slot":
            return _one_of(COLUMNS.get(key, key), sign + key, values, params)
        named = {
            f"{sign}slot_{i}": "" if v == EMPTY_TEXT else v
            for i, v in enumerate(values)
            if v != NOT_LOGGED
        }
        params |= named
        alternatives = []
        if named:
            alternatives.append(f"list_has_any(slots, [{', '.join('$' + name for name in named)}])")
        if NOT_LOGGED in values:
            alternatives.append("coalesce(len(slots), 0) = 0")
        return [f"({' OR '.join(alternatives)})"] if alternatives else []

    def chips(self) -> list[Chip]:
        """One chip per condition, in the order of the caption."""
        chips = []
        if self.since:
            chips.append(Chip("since", self.since.isoformat(), f"from {_words(self.since)}"))
        if self.until:
            chips.append(Chip("until", self.until.isoformat(), f"to {_words(self.until)}"))
        chips += [Chip(key, v, _one_words(key, v)) for key in POSITIVE for v in getattr(self, key)]
        for key, (_, name, unit) in RANGES.items():
            if bounds := getattr(self, key):
                chips.append(Chip(key, str(bounds), f"{name} {_range_words(bounds)}{unit}"))
        if self.source:
            chips.append(Chip("source", self.source, f"{self.source} only"))
        if self.dates:
            chips.append(Chip("dates", self.dates, f"{self.dates} dates"))
        if self.text:
            chips.append(Chip("text", self.text, f"heard “{self.text}”"))
        chips += [
            Chip(NOT + key, v, f"not {_one_words(key, v)}")
            for key in POSITIVE
            for v in getattr(self, NOT + key)
        ]
        return chips

    def caption(self) -> str:
        """The filter in English: `1 July 2010 to 14 July 2010 · en-GB or en-US · phone`."""
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
                # What is excluded has none of the values.
                parts.append((" and " if key in NEGATIVE else " or ").join(words))
        return " · ".join(parts) or "all turns"

    def narrowed(self, *conditions: tuple[str, str]) -> Filter:
        """The filter with more conditions, each a key and a value, as in a URL.

        Values of a list are alternatives, so a new one replaces the others, except for versions of
        other stages. A day stays within a period that is already chosen.
        """
        result = self
        for key, value in conditions:
            if not value and key in LISTS:
                value = EMPTY_TEXT
            added: Any = getattr(Filter.from_query({key: value}), key)
            current = getattr(result, key)
            if key == "since" and current:
                added = max(current, added)
            elif key == "until" and current:
                added = min(current, added)
            elif key == "version":
                stage = _version(value)[0]
                added = (*(other for other in current if _version(other)[0] != stage), value)
            changes: dict[str, Any] = {key: added}
            result = replace(result, **changes)
        return result

    def without(self, chip: Chip) -> Filter:
        """The same filter without one condition."""
        remaining: Any = None
        if chip.key in LISTS:
            remaining = tuple(v for v in getattr(self, chip.key) if v != chip.value)
        return replace(self, **{chip.key: remaining})

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def bind_text(sql: str, params: Mapping[str, Any]) -> str:
    """SQL with its `$name` parameters replaced by literals; text, dates and numbers only."""

    def literal(match: re.Match[str]) -> str:
        value = params[match[1]]
        if isinstance(value, date):
            return f"DATE '{value.isoformat()}'"
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        # A stored float has to be compared with a double, as a bound value is.
        return f"({value!r})::DOUBLE"

    return re.sub(r"\$(\w+)", literal, sql)


def day_of(key: str, text: str) -> date:
    """The day of an ISO date, the value of the URL parameter `key`; else raises UsageError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"Invalid day {key}={text}; write it like {key}=2024-10-31.") from None


def _parameters(query: Mapping[str, str | Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The values of each key of a filter, without empty and repeated ones."""
    parameters: dict[str, tuple[str, ...]] = {}
    for given, parameter in query.items():
        sign = NOT if given.startswith(NOT) else ""
        key = sign + EARLIER.get(given.removeprefix(sign), given.removeprefix(sign))
        if key not in KEYS:
            continue
        values = (parameter,) if isinstance(parameter, str) else tuple(parameter)
        if key not in LISTS:
            values = tuple(value.strip() for value in values)
        if key != given:
            _known(given, [value for value in values if value], FAILURE_POINTS)
        values = tuple(dict.fromkeys((*parameters.get(key, ()), *filter(None, values))))
        if values:
            parameters[key] = values
    return parameters


def _one_of(column: str, key: str, values: Sequence[str], params: dict[str, Any]) -> list[str]:
    """A condition that a column has one of some values, which are added to `params`; or none."""
    logged = ("" if v == EMPTY_TEXT else v for v in values if v != NOT_LOGGED)
    named = {f"{key}_{i}": v for i, v in enumerate(logged)}
    params |= named
    alternatives = []
    if named:
        alternatives.append(f"{column} IN ({', '.join('$' + name for name in named)})")
    if NOT_LOGGED in values:
        alternatives.append(f"{column} IS NULL")
    if len(alternatives) > 1:
        return [f"({' OR '.join(alternatives)})"]
    return alternatives


def _version(value: str, key: str = "version") -> tuple[str, str]:
    stage, colon, release = value.partition(":")
    if stage not in STAGES or not colon:
        raise UsageError(
            f"{key}={value} names no stage; write STAGE:RELEASE, with one of the stages "
            f"{', '.join(STAGES)}."
        )
    return stage, release


def _words(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _one_words(key: str, value: str) -> str:
    """A value of one of the keys `POSITIVE` in words."""
    if key == "failure_point":
        return f"predicted {FAILURE_WORDS[value]}"
    if key == "version":
        return version_title(value)
    if key == "slot":
        return "no slot" if value == NOT_LOGGED else f"slot {_value_words(key, value)}"
    return f"status {_value_words(key, value)}" if key == "status" else _value_words(key, value)


def _value_words(key: str, value: str) -> str:
    return {NOT_LOGGED: f"{key} not logged", EMPTY_TEXT: f"{key} empty"}.get(value, value)


def _range_words(bounds: Range) -> str:
    if bounds.low is None:
        return f"below {bounds.high:g}"
    return (
        f"{bounds.low:g} or more" if bounds.high is None else f"{bounds.low:g} to {bounds.high:g}"
    )


def _known(key: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise UsageError(f"Unknown {key}={value}; give one of {', '.join(allowed)}.")
