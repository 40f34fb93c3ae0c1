"""Numbers without a meaning, which a store may hold from before they were dropped at ingestion.

They count as not logged, so that one of them cannot spoil a sum, a cast or a scale.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from data.schema.shape import TRACE, Shape
from features.arrow import Column, pc, whole


def meaningful(turns: pa.Table) -> pa.Table:
    """`turns` with every number outside the bounds of its field, or not finite, as null.

    Columns of the trace without such a number are not copied.
    """
    for i, name in enumerate(turns.column_names):
        shape = TRACE.fields.get(name)
        if shape and _has_bounds(shape):
            column = whole(turns[name])
            kept = _kept(column, shape)
            if kept is not column:
                turns = turns.set_column(i, name, kept)
    return turns


def finite(column: Column) -> Column:
    """A column of numbers with null for infinite ones and NaN."""
    good = pc.is_finite(column)
    return column if _all(good) else pc.if_else(good, column, pa.scalar(None, column.type))


@cache
def _bounded() -> frozenset[int]:
    """The parts of the trace that have a bounded number in them, by identity."""
    found: set[int] = set()

    def visit(shape: Shape) -> bool:
        parts = [*shape.fields.values(), *([shape.each] if shape.each else [])]
        inside = [visit(part) for part in parts]
        if shape.bounds is not None or any(inside):
            found.add(id(shape))
            return True
        return False

    visit(TRACE)
    return frozenset(found)


def _has_bounds(shape: Shape) -> bool:
    return id(shape) in _bounded()


def _kept(column: Column, shape: Shape) -> Column:
    """The same array where every number in it has a meaning, else a new one."""
    if shape.bounds is not None:
        # A NaN is not inside either.
        inside = pc.and_(
            pc.greater_equal(column, shape.bounds.low), pc.less_equal(column, shape.bounds.high)
        )
        return column if _all(inside) else pc.if_else(inside, column, pa.scalar(None, column.type))
    if shape.kind == "record":
        return _record(column, shape)
    assert shape.each is not None
    is_map = shape.kind == "map"
    # There are no kernels for maps.
    lists = column.cast(_as_list(column.type)) if is_map else column
    entries = lists.flatten()
    items = pc.struct_field(entries, "value") if is_map else entries
    kept = _kept(items, shape.each)
    if kept is items:
        return column
    sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.append(0, np.cumsum(sizes)), pa.int32())
    mask = pc.is_null(column)
    if is_map:
        keys = pc.struct_field(entries, "key")
        parts: Any = (offsets, keys, kept, column.type)
        return pa.MapArray.from_arrays(*parts, mask=mask)
    return pa.ListArray.from_arrays(offsets, kept, mask=mask)


def _as_list(kind: Any) -> Any:
    """A map type as a list of its entries."""
    key = pa.field("key", kind.key_type, nullable=False)
    return pa.list_(pa.struct([key, pa.field("value", kind.item_type)]))


def _record(column: Column, shape: Shape) -> Column:
    fields = list(column.type)
    parts = [pc.struct_field(column, field.name) for field in fields]
    kept = [
        _kept(part, shape.fields[field.name])
        if field.name in shape.fields and _has_bounds(shape.fields[field.name])
        else part
        for field, part in zip(fields, parts, strict=True)
    ]
    if all(new is old for new, old in zip(kept, parts, strict=True)):
        return column
    typed = [pa.field(field.name, part.type) for field, part in zip(fields, kept, strict=True)]
    return pa.StructArray.from_arrays(kept, fields=typed, mask=pc.is_null(column))


def _all(good: Column) -> bool:
    return bool(pc.all(good, min_count=0).as_py())
