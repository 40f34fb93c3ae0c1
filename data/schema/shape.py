"""The trace record as a tree: what each field holds, for code that walks over records or columns.

It is read from the types of `data.schema.trace.Turn`, so that nothing about a field is said twice.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from data.schema.bounds import Bounds
from data.schema.trace import Scalar, Turn

Kind = Literal["record", "list", "map", "number", "whole", "text", "flag", "time", "scalar", "any"]

_PLAIN: Mapping[Any, Kind] = {
    float: "number", int: "whole", str: "text", bool: "flag", datetime: "time", Any: "any",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What a field holds.

    Attributes
    ----------
    fields: of a record, by name. each: of the items of a list or the values of a map.
    bounds: of a number. records: whether there is a record in it, and so a place for unknown
    fields. nested: those of `fields` that have parts themselves.
    """

    kind: Kind
    fields: Mapping[str, Shape] = field(default_factory=dict)
    each: Shape | None = None
    bounds: Bounds | None = None
    records: bool = field(init=False)
    nested: Mapping[str, Shape] = field(init=False)

    def __post_init__(self) -> None:
        records = self.kind == "record" or (self.each is not None and self.each.kind == "record")
        nested = {n: f for n, f in self.fields.items() if f.kind in ("record", "list", "map")}
        object.__setattr__(self, "records", records)
        object.__setattr__(self, "nested", nested)


def _shape(kind: Any) -> Shape:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind == Scalar:
        return Shape("scalar")
    if origin is typing.Annotated:
        plain = _shape(args[0])
        bounds = (args[1].extra or {}).get("bounds")
        return Shape(plain.kind, bounds=bounds)
    if origin in (typing.Union, types.UnionType):
        (one,) = (part for part in args if part is not type(None))
        return _shape(one)
    if origin is list:
        return Shape("list", each=_shape(args[0]))
    if origin is dict:
        return Shape("map", each=_shape(args[1]))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return Shape("record", {name: _shape(hint) for name, hint in hints.items()})
    return Shape(_PLAIN[kind])


TRACE = _shape(Turn)
