"""One filter, four readings: SQL with bound parameters, English words, chips and URL parameters.

All four come from the same object, so a page, its query, its caption and its link cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, NamedTuple

from data.errors import UsageError
from data.trace import STAGES

NOT_LOGGED = "(not logged)"

# URL key -> column; the order is that of the widgets, the chips and the caption.
COLUMNS = {
    "assistant": "assistant",
    "locale": "locale",
    "device": "device_type",
    "domain": "domain",
    "intent": "intent",
}
KEYS = ("since", "until", *COLUMNS, "version")

_STAGE_WORDS = {"wake": "wake", "asr": "ASR", "nlu": "NLU", "er": "ER", "result": "result"}


class Chip(NamedTuple):
    """One removable condition: the URL key, the value it holds, and what it says."""

    key: str
    value: str
    words: str


@dataclass(frozen=True)
class Filter:
    """Which turns to look at. Values of one key are alternatives; keys add up.

    `since` and `until` are UTC days, both included. A version reads `stage:release`; releases of
    one stage are alternatives, stages add up. The value `(not logged)` stands for null.
    """

    since: date | None = None
    until: date | None = None
    assistant: tuple[str, ...] = ()
    locale: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    intent: tuple[str, ...] = ()
    version: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, str | Sequence[str]]) -> Filter:
        """The filter that a URL's parameters describe; parameters of other meaning are ignored.

        Raises UsageError for a bad date, a version without a stage, or an end before the start.
        """
        found: dict[str, Any] = {}
        for key in KEYS:
            given = query.get(key, ())
            values = (given,) if isinstance(given, str) else tuple(given)
            if key in ("since", "until"):
                if values and values[-1]:
                    found[key] = _day(key, values[-1])
            else:
                found[key] = tuple(dict.fromkeys(value for value in values if value))
        made = cls(**found)
        for value in made.version:
            _version(value)
        if made.since and made.until and made.since > made.until:
            raise UsageError(
                f"since={made.since} lies after until={made.until}: give the earlier day as since."
            )
        return made

    def query(self) -> dict[str, list[str]]:
        """URL parameters; `from_query` gives the same filter back."""
        found = {}
        for key in KEYS:
            value = getattr(self, key)
            if isinstance(value, date):
                found[key] = [value.isoformat()]
            elif value:
                found[key] = list(value)
        return found

    def sql(self) -> tuple[str, dict[str, Any]]:
        """A condition over the columns of `predictions` or `rollup`, and its named parameters."""
        clauses: list[str] = []
        params: dict[str, Any] = {}
        if self.since:
            clauses.append("day >= $since")
            params["since"] = self.since
        if self.until:
            clauses.append("day <= $until")
            params["until"] = self.until
        for key, column in COLUMNS.items():
            self._add(clauses, params, key, column, getattr(self, key))
        for stage in STAGES:
            releases = tuple(r for s, r in map(_version, self.version) if s == stage)
            self._add(clauses, params, f"version_{stage}", f"version_{stage}", releases)
        return " AND ".join(clauses) or "true", params

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
        for key in COLUMNS:
            found += [Chip(key, v, _value_words(key, v)) for v in getattr(self, key)]
        for value in self.version:
            stage, release = _version(value)
            found.append(Chip("version", value, f"{_STAGE_WORDS[stage]} {release}"))
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
        for key in (*COLUMNS, "version"):
            words = [chip.words for chip in self.chips() if chip.key == key]
            if words:
                parts.append(" or ".join(words))
        return " · ".join(parts) or "all turns"

    def without(self, chip: Chip) -> Filter:
        """The same filter less one condition."""
        left: Any = None
        if chip.key not in ("since", "until"):
            left = tuple(v for v in getattr(self, chip.key) if v != chip.value)
        return replace(self, **{chip.key: left})

    def before(self, last_day: date) -> Filter | None:
        """The same filter over the equally long period just before; None without a start.

        `last_day` ends the period where the filter leaves its end open.
        """
        if self.since is None:
            return None
        days = (min(self.until or last_day, last_day) - self.since).days + 1
        if days < 1:
            return None
        return replace(
            self, since=self.since - timedelta(days=days), until=self.since - timedelta(days=1)
        )

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def _day(key: str, text: str) -> date:
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
