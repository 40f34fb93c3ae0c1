"""DuckDB's errors about a user's statement, as one sentence that says where and what instead.

DuckDB quotes the line of the text that it was given, which may be wrapped or cut, so the line is
looked up in the user's own text. Its suggestions come from the names that the statement could use;
for a misspelt keyword it has none, and the nearest keyword is suggested here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz, process

# A suggestion is at least this similar, of 100.
_ALIKE = 70
_MOST = 3
_KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "JOIN", "LEFT",
    "RIGHT", "INNER", "OUTER", "CROSS", "USING", "UNION", "INTERSECT", "EXCEPT", "DISTINCT",
    "BETWEEN", "WITH", "CASE", "WHEN", "THEN", "ELSE", "QUALIFY", "WINDOW", "OVER", "PARTITION",
    "UNNEST", "LATERAL", "VALUES", "EXISTS", "ILIKE", "LIKE",
)  # fmt: skip
_LINE = re.compile(r"^LINE (\d+): (.*)$", re.MULTILINE)
_CARET = re.compile(r"^ *\^+ *$")
_SUGGESTED = re.compile(
    r"^(?:Candidate (?:bindings|tables|Entries|functions)|Did you mean)\W", re.MULTILINE
)
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')
_SYNTAX = re.compile(r'syntax error at or near "(.+)"', re.DOTALL)
# What DuckDB says, and the same without its own terms; {} is the name.
_WORDS = (
    (re.compile(r'Referenced column "(.+?)" (?:was )?not found\b.*?(because the FROM clause is '
                r"missing)?$"), "there is no column “{}”"),
    (re.compile(r'Values list ".*" does not have a column named "(.+)"'),
     "there is no column “{}”"),
    (re.compile(r"Table with name (.+) does not exist"), "there is no table “{}”"),
    (re.compile(r'Referenced table "(.+)" not found'), "there is no table “{}”"),
    (re.compile(r"(?:\w+ )?Function with name (.+) does not exist"), "there is no function “{}”"),
    (re.compile(r'Could not find key "(.+)" in struct'), "there is no field “{}”"),
)  # fmt: skip


class Place(NamedTuple):
    """A position in a statement, both counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


def sentence(
    message: str, sql: str, names: Iterable[str] = (), ahead: int = 0
) -> tuple[str, Place | None]:
    """DuckDB's message about `sql` in one sentence, and where in `sql`, if it says so.

    `names`: what a name may be meant for if DuckDB suggests nothing. `ahead`: lines that DuckDB's
    text had before the user's.
    """
    reason = message.strip().splitlines()[0] if message.strip() else "It gives no reason"
    where = place(message, sql, ahead)
    words, missing = _plain(reason)
    alike = _suggestions(message)
    if missing:
        # A name of another table would be missing just the same.
        known = [name for name in names if name.lower() != missing.lower()]
        alike = nearest(missing, alike) or nearest(missing, known)
    elif (syntax := _SYNTAX.search(reason)) and not alike:
        alike = _keywords(syntax[1], sql, where)
    text = f"{str(where).capitalize()}: {words}" if where else words[:1].upper() + words[1:]
    return f"DuckDB cannot run this. {text}{did_you_mean(alike)}.", where


def did_you_mean(names: Sequence[str]) -> str:
    """` (did you mean “a” or “b”?)`; nothing without names."""
    if not names:
        return ""
    quoted = [f"“{name}”" for name in names[:_MOST]]
    listed = " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)
    return f" (did you mean {listed}?)"


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Those of the names that are spelt like `name`, the most similar first."""
    by_folded = {other.lower(): other for other in names}
    found = process.extract(
        name.lower(), list(by_folded), scorer=fuzz.ratio, score_cutoff=_ALIKE, limit=_MOST
    )
    return [by_folded[other] for other, _, _ in found]


def place(message: str, sql: str, ahead: int = 0) -> Place | None:
    """Where in `sql` a message of DuckDB points; None if nowhere, or not into the user's text."""
    match = _LINE.search(message)
    if match is None:
        return None
    excerpt = match[2]
    below = message[match.end() :].lstrip("\n").splitlines()
    caret = (
        below[0].index("^") - len(f"LINE {match[1]}: ") if below and _CARET.match(below[0]) else 0
    )
    cut = excerpt.startswith("...")
    core = excerpt.removeprefix("...").removesuffix("...")
    expected = int(match[1]) - ahead
    lines = sql.splitlines() or [""]
    holding = [number for number, line in enumerate(lines, 1) if core and core in line]
    if not holding:
        return None
    number = min(holding, key=lambda n: abs(n - expected))
    before = lines[number - 1].index(core) + caret - (3 if cut else 0)
    return Place(number, max(before, 0) + 1)


def place_of(sql: str, offset: int) -> Place:
    """The place of a byte offset of a statement's UTF-8 text."""
    before = sql.encode()[:offset].decode(errors="ignore")
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _plain(reason: str) -> tuple[str, str | None]:
    """The reason without DuckDB's terms, and the name that does not exist, if that is it."""
    text = re.sub(r"^(?:Binder|Catalog) Error: ", "", reason).rstrip(".! ")
    for pattern, words in _WORDS:
        if match := pattern.match(text):
            name = match[1].strip('"')
            because = f" ({match[2]})" if (match.lastindex or 0) > 1 else ""
            return words.format(name) + because, name
    return reason.rstrip(".! "), None


def _keywords(word: str, sql: str, where: Place | None) -> list[str]:
    """The keywords that a word is nearly, or else the word before it, which then was a name."""
    before: list[str] = []
    if where:
        lines = sql.splitlines()[: where.line]
        lines[-1] = lines[-1][: where.column - 1]
        before = re.findall(r"[A-Za-z]+", "\n".join(lines))[-1:]
    for given in (word.upper(), *(w.upper() for w in before)):
        alike = nearest(given, _KEYWORDS)
        if alike and given not in alike:
            return alike
    return []


def _suggestions(message: str) -> list[str]:
    """The names that DuckDB suggests."""
    match = _SUGGESTED.search(message)
    if match is None or "functions" in match[0]:
        return []
    block = message[match.start() :].split("\n\n")[0]
    return list(dict.fromkeys(name.replace('""', '"') for name in _QUOTED.findall(block)))
