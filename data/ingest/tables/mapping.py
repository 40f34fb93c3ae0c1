"""The mapping file of a table: which column, brought into which form, is which field of a trace.

It is TOML with the tables `[table]` (how the file is written), `[fields]` (field of the trace =
column) and `[only]` (which rows count); docs/sources/table.md describes every key.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from data.errors import MappingError
from data.schema.shape import TRACE, Shape
from data.store.paths import printable

REQUIRED = {
    "turn_id": 'a column that is unique for each turn, or {hash = ["COLUMN", …]}',
    "dialogue_id": 'a column that names the conversation, or {by = ["COLUMN"]} for a device or '
    "caller, whose pauses then end a dialogue",
    "started_at": "a column of times",
}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,4})\]")
_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[\d{1,4}\])*")
# Factors to milliseconds, and of times since 1970 to microseconds.
_TO_MS = {"us": 1e-3, "ns": 1e-6, "ms": 1.0, "s": 1e3, "min": 6e4}
TO_US = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
_TABLE_KEYS = ("delimiter", "quote", "encoding", "decimal", "empty", "timezone", "skip_lines",
               "columns")  # fmt: skip
_KEYS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "column": (str, "the name of a column"),
    "value": ((str, int, float, bool), "a text, a number, or true or false"),
    "optional": (bool, "true or false"),
    "scale": ((int, float), "a number to multiply by"),
    "unit": (str, "s, ms, us or ns"),
    "format": (str, "a format as %d.%m.%Y %H:%M:%S"),
    "timezone": (str, "a time zone such as Europe/Berlin"),
    "values": (dict, 'a table such as {OK = "ok", FAIL = "error"}'),
    "otherwise": ((str, int, float, bool), "a text, a number, or true or false"),
    "separator": (str, "a text such as |"),
    "each": (dict, 'a table such as {text = "transcript"}'),
    "hash": (list, "a list of columns"),
    "by": (list, "a list of columns"),
    "idle_minutes": ((int, float), "a number of minutes"),
}


class Named(NamedTuple):
    """The step of a path to the slot of this name, in a list of slots."""

    name: str


Step = str | int | Named


@dataclass(frozen=True)
class Column:
    """A column, or a part of one: `name` whole, else its longest beginning that is a column, and
    the path in that column's JSON or nested value."""

    name: str

    @cached_property
    def candidates(self) -> tuple[tuple[str, tuple[str | int, ...]], ...]:
        """The columns it may be, and the steps in their values, the whole name first."""
        cuts = [len(self.name), *(m.start() for m in re.finditer(r"[.\[]", self.name))]
        found = []
        for cut in sorted(set(cuts), reverse=True):
            rest = self.name[cut:]
            steps = tuple(int(n) if n else name for name, n in _STEP.findall(rest))
            found.append((self.name[:cut], steps))
        return tuple(found)

    def among(self, names: Sequence[str] | Mapping[str, Any]) -> str | None:
        """Which of these columns it is."""
        return next((name for name, _ in self.candidates if name in names), None)


@dataclass(frozen=True)
class Field:
    """One line of `[fields]`.

    Attributes
    ----------
    path, steps, shape: the field of the trace, and what it holds. columns: one, or those of `hash`
    or `by`. value: where it is the same in every row. factor: that numbers are multiplied by.
    per_us: microseconds in a unit of a time that is a number. each: fields of the items of a list,
    by their names in the trace.
    """

    path: str
    steps: tuple[Step, ...]
    shape: Shape
    columns: tuple[Column, ...] = ()
    value: Any = None
    optional: bool = False
    factor: float = 1.0
    per_us: float | None = None
    format: str | None = None
    zone: ZoneInfo | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Any = None
    separator: str | None = None
    each: Mapping[str, Field] = field(default_factory=dict)
    hashed: bool = False
    idle_us: int | None = None


@dataclass(frozen=True)
class TableMapping:
    """A mapping file that has been checked.

    Attributes
    ----------
    delimiter, quote, encoding: of CSV; None: as the file's name or first bytes say. decimal: the
    decimal mark. empty: what stands for nothing. skip_lines: before the names of the columns.
    names: those of a file without them. by: the dialogue is made of pauses of these columns' value.
    only: which values of a column count.
    """

    path: str
    fields: tuple[Field, ...]
    delimiter: str | None = None
    quote: str = '"'
    encoding: str = "utf-8"
    decimal: str = "."
    empty: frozenset[str] = frozenset({""})
    skip_lines: int = 0
    names: tuple[str, ...] = ()
    by: Field | None = None
    only: tuple[tuple[Column, frozenset[str]], ...] = ()

    def named(self) -> Iterator[tuple[Column, Field | None]]:
        """All columns that the mapping names, and the field that each is for."""
        for each in self.fields:
            yield from ((column, each) for column in each.columns)
        if self.by:
            yield from ((column, self.by) for column in self.by.columns)
        yield from ((column, None) for column, _ in self.only)

    def unfit(self, names: Sequence[str]) -> str | None:
        """What is wrong with a table of these columns, as goes behind its name; None: nothing."""
        given = [(column, each) for column, each in self.named() if column.among(names) is None]
        needed = [(column, each) for column, each in given if not (each and each.optional)]
        has = _listed(names)
        if given and len(given) == sum(1 for _ in self.named()):
            first = given[0][0].name
            return (
                f"has none of the columns that {self.path} names, such as '{first}'; it has {has}. "
                "Correct the mapping, or propose another one with: faultline mapping FILE"
            )
        if not needed:
            return None
        column, each = needed[0]
        near = get_close_matches(column.name, names, 1)
        hint = f"; is it '{near[0]}'?" if near else f"; it has {has}."
        where = f" for {each.path}" if each else " in [only]"
        return (
            f"has no column '{column.name}', which {self.path} names{where}{hint} Correct the name"
            + (", or add optional = true." if each else ".")
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown[:300]} …" if len(names) > 12 or len(shown) > 300 else shown or "none"


def read_mapping(path: str | Path) -> TableMapping:
    """Read and check a mapping file.

    Raises `MappingError`, in one sentence that says which key is wrong and what was expected.
    """
    name = printable(str(path))
    try:
        text = Path(path).expanduser().read_text("utf-8-sig")
    except FileNotFoundError:
        raise MappingError(
            f"There is no mapping file {name}; propose one with: faultline mapping FILE --to {name}"
        ) from None
    except IsADirectoryError:
        raise MappingError(f"{name} is a folder; expected a mapping file in TOML.") from None
    except UnicodeDecodeError:
        raise MappingError(f"{name} is not UTF-8; expected a mapping file in TOML.") from None
    return parse_mapping(text, name)


def parse_mapping(text: str, name: str) -> TableMapping:
    """Check the text of a mapping file; `name` is how messages call it."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingError(
            f"{name} is not TOML: {error}; a name with dots or brackets stands in quotes, as in "
            '"asr.hypotheses[0].text" = "transcript".'
        ) from None
    return _Reader(name).mapping(content)


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._zone: ZoneInfo | None = None

    def _error(self, key: str, expected: str, got: Any = None) -> MappingError:
        shown = "" if got is None else f", got {_shown(got)}"
        return MappingError(f"{self._name}: {key}: expected {expected}{shown}.")

    def mapping(self, content: Mapping[str, Any]) -> TableMapping:
        for key in content:
            if key not in ("table", "fields", "only"):
                raise self._error(key, "the tables [table], [fields] and [only], and nothing else")
        for key in ("table", "fields", "only"):
            if not isinstance(content.get(key, {}), dict):
                raise self._error(key, f"a table, [{key}]", content[key])
        table = self._table(content.get("table", {}))
        only = []
        for name, values in content.get("only", {}).items():
            values = values if isinstance(values, list) else [values]
            if not values or not all(isinstance(v, (str, int, float, bool)) for v in values):
                raise self._error(f"only.{name}", "a list of values", values)
            only.append((Column(name), frozenset(as_word(value) for value in values)))
        by: Field | None = None
        fields: list[Field] = []
        for path, spec in self._flat(content.get("fields", {}), TRACE, ""):
            each = self._field(path, spec)
            if isinstance(spec, dict) and "by" in spec:
                by = each
            else:
                fields.append(each)
        paths = [each.path for each in fields] + ([by.path] if by else [])
        for required, expected in REQUIRED.items():
            if required not in paths:
                raise MappingError(
                    f"{self._name} has no field {required}, which every turn needs; expected "
                    f"{expected}, in [fields]."
                )
        return TableMapping(self._name, tuple(fields), by=by, only=tuple(only), **table)

    def _table(self, given: Mapping[str, Any]) -> dict[str, Any]:
        for key in given:
            if key not in _TABLE_KEYS:
                near = get_close_matches(key, _TABLE_KEYS, 1)
                hint = f" (is it {near[0]}?)" if near else ""
                raise self._error(f"table.{key}", f"one of {', '.join(_TABLE_KEYS)}{hint}")
        table: dict[str, Any] = {}
        for key in ("delimiter", "quote"):
            if key in given:
                if not isinstance(given[key], str) or len(given[key]) != 1 or given[key] in "\r\n":
                    raise self._error(f"table.{key}", "one character", given[key])
                table[key] = given[key]
        if "decimal" in given:
            if given["decimal"] not in (".", ","):
                raise self._error("table.decimal", "'.' or ','", given["decimal"])
            table["decimal"] = given["decimal"]
        if "encoding" in given:
            try:
                table["encoding"] = codecs.lookup(given["encoding"]).name
                "a".encode(table["encoding"])
            except (LookupError, TypeError, ValueError):
                raise self._error(
                    "table.encoding", "an encoding such as utf-8 or windows-1252", given["encoding"]
                ) from None
        if "empty" in given:
            if not _are_texts(given["empty"]):
                raise self._error("table.empty", 'a list of texts such as ["NULL"]', given["empty"])
            table["empty"] = frozenset({"", *given["empty"]})
        if "skip_lines" in given:
            lines = given["skip_lines"]
            if isinstance(lines, bool) or not isinstance(lines, int) or not 0 <= lines <= 10_000:
                raise self._error("table.skip_lines", "a number of lines", lines)
            table["skip_lines"] = lines
        if "columns" in given:
            if not _are_texts(given["columns"]) or not given["columns"]:
                raise self._error("table.columns", "a list of names", given["columns"])
            table["names"] = tuple(given["columns"])
        if "timezone" in given:
            self._zone = self._timezone("table.timezone", given["timezone"])
        return table

    def _timezone(self, key: str, name: Any) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (ValueError, TypeError, OSError, KeyError):
            raise self._error(key, "a time zone such as Europe/Berlin or UTC", name) from None

    def _flat(
        self, given: Mapping[str, Any], shape: Shape, before: str
    ) -> Iterator[tuple[str, Any]]:
        """Paths and what is given for them, of tables in tables, too."""
        for name, spec in given.items():
            path = f"{before}{name}"
            below = shape.fields.get(name)
            if isinstance(spec, dict) and not set(spec) & {"column", "value", "hash", "by"}:
                if below is None or below.kind not in ("record", "map"):
                    raise self._error(f"fields.{path}", 'a column, as "NAME" or {column = "NAME"}')
                inner = below if below.kind == "record" else Shape("record")
                yield from self._flat(spec, inner, f"{path}.")
            else:
                yield path, spec

    def _field(self, path: str, spec: Any, root: Shape = TRACE, key: str = "") -> Field:
        key = key or f"fields.{path}"
        steps, shape = self._steps(path, root, key)
        if isinstance(spec, str):
            spec = {"column": spec}
        if not isinstance(spec, dict):
            raise self._error(key, 'a column, as "NAME" or {column = "NAME"}', spec)
        for name, value in spec.items():
            if name not in _KEYS:
                near = get_close_matches(name, _KEYS, 1)
                hint = f" (is it {near[0]}?)" if near else ""
                raise self._error(f"{key}.{name}", f"one of {', '.join(_KEYS)}{hint}")
            kind, expected = _KEYS[name]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind == (int, float)):
                raise self._error(f"{key}.{name}", expected, value)
        given = [name for name in ("column", "value", "hash", "by") if name in spec]
        if len(given) != 1:
            raise self._error(key, "one of column, value, hash or by")
        columns = spec.get("hash", spec.get("by", [spec["column"]] if "column" in spec else []))
        if not _are_texts(columns) or any(not name for name in columns):
            raise self._error(f"{key}.{given[0]}", _KEYS[given[0]][1], columns)
        if "value" not in spec and not columns:
            raise self._error(f"{key}.{given[0]}", "at least one column")
        if "by" in spec and path != "dialogue_id":
            raise self._error(f"{key}.by", "it only for dialogue_id")
        if "hash" in spec and shape.kind != "text":
            raise self._error(f"{key}.hash", "it only for a field that holds text")
        if "idle_minutes" in spec and not ("by" in spec and spec["idle_minutes"] > 0):
            raise self._error(f"{key}.idle_minutes", "a positive number, beside `by`")
        factor, per_us = self._unit(path, shape, spec, key)
        zone = self._timezone(f"{key}.timezone", spec["timezone"]) if "timezone" in spec else None
        values = {as_word(name): value for name, value in spec.get("values", {}).items()}
        self._known(key, shape, values)
        each: dict[str, Field] = {}
        if "each" in spec:
            if shape.kind != "list" or shape.each is None or shape.each.kind != "record":
                raise self._error(f"{key}.each", "it only for a list of hypotheses, slots or so")
            each = {
                name: self._field(name, inner, shape.each, f"{key}.each.{name}")
                for name, inner in spec["each"].items()
            }
        return Field(
            path,
            steps,
            shape,
            tuple(map(Column, columns)),
            spec.get("value"),
            spec.get("optional", False),
            factor,
            per_us,
            spec.get("format"),
            zone or self._zone,
            values,
            spec.get("otherwise"),
            spec.get("separator"),
            each,
            "hash" in spec,
            round(spec["idle_minutes"] * 60_000_000) if "idle_minutes" in spec else None,
        )

    def _known(self, key: str, shape: Shape, values: Mapping[str, Any]) -> None:
        for word, value in values.items():
            if isinstance(value, str) and value.strip().upper() in ("TO DO", "TODO"):
                raise self._error(f"{key}.values.{word}", "what it means in place of TO DO")
            if isinstance(value, (dict, list)):
                raise self._error(f"{key}.values.{word}", "a text, a number, or true or false")

    def _unit(
        self, path: str, shape: Shape, spec: Mapping[str, Any], key: str
    ) -> tuple[float, float | None]:
        """The factor of numbers, and microseconds in a unit of a time that is a number."""
        factor, unit = float(spec.get("scale", 1.0)), spec.get("unit")
        if "scale" in spec and shape.kind not in ("number", "whole"):
            raise self._error(f"{key}.scale", "it only for a field that holds a number")
        if "format" in spec and shape.kind != "time":
            raise self._error(f"{key}.format", "it only for a time")
        if unit is None:
            return factor, None
        if shape.kind == "time":
            if unit not in TO_US:
                raise self._error(f"{key}.unit", "s, ms, us or ns", unit)
            return factor, TO_US[unit]
        if not path.endswith("_ms"):
            raise self._error(f"{key}.unit", "it only for a time, or for a field in milliseconds")
        if unit not in _TO_MS:
            raise self._error(f"{key}.unit", "min, s, ms, us or ns", unit)
        return factor * _TO_MS[unit], None

    def _steps(self, path: str, root: Shape, key: str) -> tuple[tuple[Step, ...], Shape]:
        """A path in the trace, and what is there."""
        if not _PATH.fullmatch(path):
            raise self._error(key, "a field of the trace, such as asr.hypotheses[0].text")
        shape, steps = root, list[Step]()
        for name, index in _STEP.findall(path):
            below = shape.each
            if shape.kind == "record":
                if index or name not in shape.fields:
                    raise self._unknown(key, name or f"[{index}]", shape)
                steps.append(name)
                shape = shape.fields[name]
            elif shape.kind == "list" and below is not None and index:
                steps.append(int(index))
                shape = below
            elif shape.kind == "list" and below is not None and set(below.fields) == _SLOT:
                steps.append(Named(name))
                shape = below.fields["value"]
            elif shape.kind == "map" and below is not None and name:
                steps.append(name)
                shape = below
            elif shape.kind == "list":
                raise self._error(key, f"an index in brackets before {name}, as [0]")
            else:
                raise self._error(key, f"nothing behind {'.'.join(map(str, steps))}")
        if shape.kind == "record":
            some = ", ".join(list(shape.fields)[:6])
            raise self._error(key, f"one of its fields ({some} …)" if some else "a field")
        return tuple(steps), shape

    def _unknown(self, key: str, name: str, shape: Shape) -> MappingError:
        near = get_close_matches(name, shape.fields, 1)
        hint = f" (is it {near[0]}?)" if near else ""
        return self._error(
            key, f"a field of the trace; '{name}' is none of {', '.join(shape.fields)}{hint}"
        )


_SLOT = {"name", "value"}


def as_word(value: Any) -> str:
    """A value as the keys of `values` and the lists of `[only]` name it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
