"""A proposal for the mapping of a table, from the names of its columns and its first rows.

It is a beginning for a person: every column stands in it, with an example; what is guessed is
written as a line, what is not used as a comment, and what is missing as TO DO.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from data.errors import IngestError, UsageError
from data.ingest.adapters.adapter import HEAD, Unfit
from data.ingest.block import Source
from data.ingest.magic import NOT_LINES, refused
from data.ingest.sources import unpacked_head
from data.ingest.tables.mapping import REQUIRED, TableMapping, as_word
from data.ingest.tables.reading import WIDE, encoding_of, is_parquet, likely_delimiter, rows
from data.ingest.tables.values import number_of
from data.schema.trace import STATUSES
from data.store.paths import printable
from data.store.snapshot import literal

_ROWS = 500
_EXAMPLE = 60
_MOST_COLUMNS = 1_000
# Levels of nested columns, and of JSON in cells, that are proposed.
_DEEPEST = 5
# A column is one of times if so many of its values are; the others will be quarantined.
_TIMES = 0.6
_NOTHING = ("NULL", "null", "None", "N/A", "n/a", "NaN", "nan", "-")
# Names of columns that say who speaks, and their words for a user.
_SPEAKERS = ("role", "speaker", "sender", "author", "direction", "participant")
_USERS = ("user", "customer", "caller", "human", "inbound", "end_user")
_FORMATS = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%d-%m-%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%a, %d %b %Y %H:%M:%S %z",
)
# Smallest values of times since 1970 that are after 2001, by unit.
_SINCE = (("ns", 1e18), ("us", 1e15), ("ms", 1e12), ("s", 1e9))
_STATUS_WORDS = (
    ("no_match", r"no.?match|nomatch|fallback|not.?(understood|recogni[sz]ed)|missed|nlu.?fail"),
    ("unsupported", r"unsupported|not.?supported|out.?of.?(scope|domain)"),
    ("error", r"err(or)?|fail(ed|ure)?|timeout|exception|ko|crash"),
    ("ok", r"ok|okay|success(ful)?|done|complete[d]?|true|fulfilled|resolved|handled|200"),
)
_UNITS = (("ns", r"_ns|nanos"), ("us", r"_us|micros"), ("ms", r"_?ms|millis"),
          ("min", r"_min(ute)?s?"), ("s", r"_s|_secs?|seconds?"))  # fmt: skip


@dataclass(frozen=True)
class Proposal:
    """The text of a mapping file, and which required fields it lacks."""

    text: str
    missing: tuple[str, ...]


@dataclass
class _Columns:
    """What is known of a table: its columns, and the first values of each that are not empty."""

    table: dict[str, Any]
    names: list[str]
    top: list[str] = field(default_factory=list)
    values: dict[str, list[Any]] = field(default_factory=dict)
    rows: int = 0


@cache
def _names() -> list[tuple[str, re.Pattern[str]]]:
    """Fields, and the names of columns that hold them, perhaps with a number behind."""
    text = (Path(__file__).parent / "column_names.toml").read_text("utf-8")
    content = tomllib.loads(text)
    found = []
    for each in content["columns"]:
        names = each["names"]
        for word, meaning in content["words"].items():
            names = names.replace(f"{{{word}}}", meaning)
        found.append((each["field"], re.compile(rf"(?:{names})(?:_?(?P<n>\d{{1,2}}))?")))
    return found


def propose(path: str | Path) -> Proposal:
    """Propose a mapping for a table.

    Raises `IngestError`, in one sentence, where the file is none, or has no rows.
    """
    path = Path(path).expanduser()
    name = printable(str(path))
    if not path.exists():
        raise IngestError(f"{name} does not exist; give the path of a table, CSV or Parquet.")
    if path.is_dir():
        raise UsageError(f"{name} is a folder; give one of its tables, CSV or Parquet.")
    source = Source(name, path, "table", path.stat().st_size)
    head = unpacked_head(source, HEAD)
    if not head.strip():
        raise IngestError(f"{name} is empty; expected a line of names, and a row for each turn.")
    if not (is_parquet(head) or head.startswith(WIDE)) and (reason := refused(head, name)):
        reason = reason.replace(NOT_LINES, "expected a table, CSV or Parquet, with a row per turn")
        raise IngestError(f"{name} {reason}.")
    if head.lstrip()[:1] in (b"{", b"["):
        raise IngestError(f"{name} is JSON, not a table; ingest it with: faultline ingest {name}")
    columns = _read(source, head)
    return _Writer(name, columns).proposal()


def _read(source: Source, head: bytes) -> _Columns:
    table: dict[str, Any] = {} if is_parquet(head) else _dialect(source.name, head)
    found = _Columns(table, [])
    everything = TableMapping(
        "", (), table.get("delimiter"), table.get("quote", '"'), table.get("encoding", "utf-8"),
        skip_lines=table.get("skip_lines", 0),
    )  # fmt: skip
    stream: Any = io.BufferedReader(io.BytesIO(_whole_lines(head)))
    if is_parquet(head) or head.startswith(WIDE):
        stream = source.open()
    with stream:
        try:
            for _, row in islice(rows(stream, everything), _ROWS):
                if isinstance(row, dict):
                    found.rows += 1
                    found.top = list(row)
                    for column, value in row.items():
                        _note(found.values, column, value, 0)
        except Unfit as error:
            raise IngestError(f"{source.name} {error}") from None
    found.names = list(found.values)
    if not found.rows:
        raise IngestError(f"{source.name} has no rows that can be read; expected one per turn.")
    return found


def _note(values: dict[str, list[Any]], column: str, value: Any, depth: int) -> None:
    """Add a cell to its column, and what is inside of it to columns of their own."""
    if len(values) > _MOST_COLUMNS:
        return
    kept = values.setdefault(column, [])
    if value is None or not as_word(value):
        return
    kept.append(value)
    inside = value
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            inside = json.loads(value)
    if isinstance(inside, dict) and depth < _DEEPEST:
        for name, each in inside.items():
            if re.fullmatch(r"[^.\[\]]+", str(name)):
                _note(values, f"{column}.{name}", each, depth + 1)


def _whole_lines(head: bytes) -> bytes:
    """The beginning of a file without a line that may be cut."""
    return head if len(head) < HEAD else head[: head.rfind(b"\n") + 1]


def _dialect(name: str, head: bytes) -> dict[str, Any]:
    """How a CSV file is written: encoding, delimiter, quote, lines before the names."""
    table: dict[str, Any] = {}
    encoding = encoding_of(head, "utf-8")
    try:
        text = _whole_lines(head).decode(encoding)
    except UnicodeDecodeError:
        table["encoding"] = "windows-1252"
        text = _whole_lines(head).decode("windows-1252", "replace")
    # DuckDB sniffs best, but only files.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "head.csv"
        copy.write_text(text, "utf-8", newline="")
        try:
            with duckdb.connect() as con:
                sniffed = con.execute(
                    "SELECT Delimiter, Quote, SkipRows, HasHeader "
                    f"FROM sniff_csv({literal(str(copy))})"
                ).fetchone()
        except duckdb.Error:
            sniffed = None
    first = text.split("\n", 1)[0]
    delimiter, quote, skipped, _ = sniffed or (likely_delimiter(first), '"', 0, True)
    table["delimiter"] = delimiter if delimiter in first or not sniffed or skipped else (
        likely_delimiter(first)
    )  # fmt: skip
    if quote not in ('"', "", "\x00", None, "(empty)"):
        table["quote"] = quote
    if skipped:
        table["skip_lines"] = skipped
    return table


class _Writer:
    """Chooses fields for columns, and writes them down."""

    def __init__(self, file: str, columns: _Columns) -> None:
        self._file = file
        self._columns = columns
        self._decimal = "."
        self._taken: dict[str, str] = {}
        self._times: dict[str, dict[str, Any]] = {}

    def proposal(self) -> Proposal:
        columns = self._columns
        self._decimal = self._decimal_mark()
        self._choose()
        lines = self._beginning()
        lines += ["[fields]"]
        missing = []
        fields = dict(sorted(self._taken.items(), key=lambda item: _place(item[0])))
        for required in REQUIRED:
            if required not in fields:
                line = self._made(required)
                missing += [required] if line.startswith("#") else []
                lines.append(line)
        lines += [self._line(path, column) for path, column in fields.items()]
        speaker = self._speaker()
        if "turn_index" not in fields:
            lines.append("# turn_index is counted by time, as no column seems to hold it.")
        unused = [
            name
            for name in columns.names
            if name not in self._taken.values() and not _is_inside(name, columns)
        ]
        if unused:
            lines += [
                "",
                "# Columns that are not used; put a field of the trace before one to use it.",
            ]
            lines += [f"# = {_toml(name)}{self._example(name)}" for name in unused]
        if speaker:
            column, words, others = speaker
            lines += [
                "",
                "[only]",
                f"{_toml(column)} = {_toml(words)}  # CHECK: rows of users are turns, not those of "
                f"{', '.join(others)}",
            ]
        return Proposal("\n".join(lines) + "\n", tuple(missing))

    def _speaker(self) -> tuple[str, list[str], list[str]] | None:
        """The column that says who speaks, its words for users, and those for others."""
        for column in self._columns.top:
            words = sorted({as_word(value) for value in self._columns.values[column]})
            if _normal(column).rsplit("_", 1)[-1] in _SPEAKERS and 2 <= len(words) <= 4:
                users = [word for word in words if _normal(word) in _USERS]
                others = [printable(word) for word in words if word not in users]
                if users and others and column not in self._taken.values():
                    return column, users, others
        return None

    def _beginning(self) -> list[str]:
        columns = self._columns
        lines = [
            f"# Mapping of {Path(self._file).name}, proposed from its columns and first rows.",
            "# Check every line; behind each stands an example from the table. Then:",
            f"#     faultline ingest {Path(self._file).name} --mapping THIS_FILE",
            "# A line is: field of the trace = column; docs/sources/table.md describes all keys.",
            "",
            "[table]",
        ]
        lines += [f"{key} = {_toml(value)}" for key, value in columns.table.items()]
        if self._decimal != ".":
            lines.append(f"decimal = {_toml(self._decimal)}")
        nothing = sorted(
            {value.strip() for values in columns.values.values() for value in values
             if isinstance(value, str)} & set(_NOTHING)
        )  # fmt: skip
        if nothing:
            lines.append(f"empty = {_toml(nothing)}")
        if any(time.get("naive") for time in self._times.values()):
            lines.append('timezone = "UTC"   # CHECK: of times without a zone, as Europe/Berlin')
        return [*lines, ""]

    def _decimal_mark(self) -> str:
        texts = [
            v for values in self._columns.values.values() for v in values if isinstance(v, str)
        ]
        commas = sum(bool(re.fullmatch(r"\s*-?\d+,\d+\s*%?", text)) for text in texts)
        points = sum(bool(re.fullmatch(r"\s*-?\d+\.\d+\s*%?", text)) for text in texts)
        return "," if commas > points else "."

    def _choose(self) -> None:
        whole = set(self._columns.top)
        self._match({name: _normal(name) for name in self._columns.names if name in whole})
        # Parts of columns by their last name; none of what has been taken as a whole.
        taken = tuple(f"{name}." for name in self._taken.values())
        self._match(
            {
                name: _normal(name.rsplit(".", 1)[1])
                for name in self._columns.names
                if name not in whole and not name.startswith(taken)
            }
        )

    def _match(self, free: dict[str, str]) -> None:
        """Give fields to columns, whose names are `free`'s values."""
        for pattern, names in _names():
            many = "{n}" in pattern
            found: list[tuple[int, str]] = []
            for column, normal in free.items():
                match = names.fullmatch(_stripped(normal, pattern))
                if match and self._holds(pattern, column):
                    found.append((int(match["n"] or -1), column))
            found.sort()
            # Several columns are alternatives only where they are numbered.
            kept = found[:1] + [each for each in found[1:] if many and each[0] >= 0]
            for number, (_, column) in enumerate(kept):
                path = pattern.format(n=number)
                if path not in self._taken:
                    self._taken[path] = column
                    del free[column]

    def _holds(self, path: str, column: str) -> bool:
        """Whether the column's values can be this field's."""
        values = self._columns.values[column]
        if path == "started_at":
            self._times[column] = _time(values)
            return bool(self._times[column].get("known"))
        if not values:
            return True
        if not path.endswith("slots") and any(map(_is_object, values)):
            return False
        if path == "turn_id":
            return len(set(map(as_word, values))) == len(values) == self._columns.rows
        if path == "turn_index":
            numbers = self._numbers(values)
            return numbers is not None and all(n >= 0 and n.is_integer() for n in numbers)
        if path.endswith(("confidence", "score", "_ms", "rating")):
            return self._numbers(values) is not None
        if path.endswith((".text", ".intent")):
            return self._numbers(values) is None
        if path.endswith("slots"):
            return all(map(_is_object, values))
        if path == "feedback.barge_in":
            return {as_word(v).lower() for v in values} <= set("tfyn01") | {
                "true", "false", "yes", "no"}  # fmt: skip
        return True

    def _numbers(self, values: Sequence[Any]) -> list[float] | None:
        kept = [v for v in values if not (isinstance(v, str) and v.strip() in _NOTHING)]
        numbers = [number_of(value, self._decimal) for value in kept]
        known = [number for number in numbers if number is not None]
        return known if known and len(known) == len(kept) else None

    def _line(self, path: str, column: str) -> str:
        key = path if re.fullmatch(r"[\w.]+", path) else _toml(path)
        options = self._options(path, column)
        shown = ", ".join(f"{name} = {_toml(value)}" for name, value in options.items())
        value = f"{{column = {_toml(column)}, {shown}}}" if options else _toml(column)
        note = "  # CHECK day and month" if self._times.get(column, {}).get("doubtful") else ""
        return f"{key} = {value}{note or self._example(column)}"

    def _options(self, path: str, column: str) -> dict[str, Any]:
        values = self._columns.values[column]
        if path == "started_at":
            return {k: v for k, v in self._times[column].items() if k in ("unit", "format")}
        if path == "result.status":
            words = sorted({as_word(value) for value in values} - set(_NOTHING))[:40]
            if set(words) <= set(STATUSES):
                return {}
            return {"values": {word: _status(word) for word in words}}
        if path.endswith(("confidence", ".score")):
            numbers = self._numbers(values) or []
            percent = any(isinstance(v, str) and "%" in v for v in values)
            if numbers and not percent and 1 < max(numbers) <= 100:
                return {"scale": 0.01}
        if path.endswith("_ms"):
            normal = f"_{_normal(column)}"
            unit = next((unit for unit, name in _UNITS if re.search(rf"(?:{name})$", normal)), "ms")
            return {} if unit == "ms" else {"unit": unit}
        return {}

    def _made(self, required: str) -> str:
        """The line for a required field that no column holds."""
        taken = self._taken
        if required == "turn_id":
            of = [taken[path] for path in ("dialogue_id", "device.id", "user_id", "started_at",
                                           "turn_index", "asr.hypotheses[0].text")
                  if path in taken]  # fmt: skip
            if "started_at" in taken or "turn_index" in taken:
                return (
                    f"turn_id = {{hash = {_toml(of)}}}  # no column is unique: made of these; two "
                    "rows with the same values are one turn"
                )
        if required == "dialogue_id":
            for path in ("device.id", "user_id"):
                if path in taken:
                    return (
                        f"dialogue_id = {{by = {_toml([taken[path]])}, idle_minutes = 5}}  # no "
                        "column names it: a pause of so long ends a dialogue"
                    )
        return f"# TO DO: {required} =        # expected: {REQUIRED[required]}"

    def _example(self, column: str) -> str:
        values = self._columns.values[column]
        if not values:
            return "  # empty in the first rows"
        text = values[0] if isinstance(values[0], str) else json.dumps(values[0], default=str)
        text = " ".join(printable(text).split())
        return f"  # {text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 1] + '…'}"


def _is_object(value: Any) -> bool:
    """Whether a value is an object or a list, or its JSON."""
    if isinstance(value, str):
        return value.lstrip()[:1] in ("{", "[")
    return isinstance(value, (dict, list))


def _is_inside(name: str, columns: _Columns) -> bool:
    """Whether parts of a column are listed in its place."""
    return any(other.startswith(f"{name}.") for other in columns.names)


def _normal(name: str) -> str:
    """A column's name in lower case, its words joined by underscores."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _stripped(normal: str, path: str) -> str:
    """A name without the unit at its end, where the field has one."""
    if not path.endswith("_ms"):
        return normal
    names = "|".join(name for _, name in _UNITS)
    return re.sub(rf"(?:{names})$", "", normal).rstrip("_") or normal


def _place(path: str) -> tuple[int, str]:
    order = ("turn_id", "dialogue_id", "turn_index", "started_at", "assistant", "user_id",
             "locale", "device", "versions", "wake", "asr", "nlu", "er", "result", "feedback",
             "gold")  # fmt: skip
    # Of a hypothesis, what it is comes before how sure that is.
    return order.index(path.split(".")[0]), path.replace("confidence", "zz")


def _status(word: str) -> str:
    return next(
        (
            status
            for status, names in _STATUS_WORDS
            if re.search(rf"^(.*[_\W])?({names})$", word, re.I)
        ),
        "TO DO",
    )


def _time(values: Sequence[Any]) -> dict[str, Any]:
    """How a column's times are written: `unit` or `format`, and whether that is `known`, `naive`
    (without a zone) and `doubtful` (day and month could be exchanged)."""
    if not values:
        return {}
    if all(isinstance(value, datetime) for value in values):
        return {"known": True, "naive": values[0].tzinfo is None}
    numbers = [number_of(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) == len(values):
        unit = next((unit for unit, least in _SINCE if min(known) >= least), None)
        if unit is not None and max(known) < 1e19:
            return {"known": True, "unit": unit}
    texts = [value.strip() for value in values if isinstance(value, str)]
    iso = _parsed(texts, lambda text: datetime.fromisoformat(text.removesuffix(" UTC")))
    if len(iso) >= _TIMES * len(values):
        return {"known": True, "naive": iso[0].tzinfo is None and not texts[0].endswith(" UTC")}
    fit = {form: len(_parsed(texts, _by(form))) for form in _FORMATS}
    most = max(fit.values())
    if most < _TIMES * len(values):
        return {}
    best = [form for form, count in fit.items() if count == most]
    return {"known": True, "format": best[0], "naive": "%z" not in best[0],
            "doubtful": len(best) > 1}  # fmt: skip


def _by(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)


def _parsed(texts: Sequence[str], parse: Callable[[str], datetime]) -> list[datetime]:
    """The times of those texts that are one."""
    times = []
    for text in texts:
        with suppress(ValueError):
            times.append(parse(text))
    return times


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_toml(name)} = {_toml(each)}" for name, each in value.items())
        return f"{{{inner}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
