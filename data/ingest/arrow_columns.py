"""Columns of a table, brought to what the trace format expects of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from data.errors import IngestError
from data.ingest.validation import NOT_A_NUMBER, Left
from data.schema.shape import Shape

# The type stubs of Arrow do not cover nested arrays.
pc: Any = pyarrow.compute
Column = Any

UNKNOWN = Shape("any")


@dataclass(frozen=True)
class Fitting:
    """Brings columns to what the trace format expects of them; counts what it leaves out."""

    file: str
    left_out: Left

    def fitted(self, array: Column, shape: Shape, path: str) -> Column:
        """A column as the format has it, where that is certain; else as it is.

        What is certain: one type for another that means the same, and NaN, NaT and infinity, as
        pandas writes what is missing, for nothing. What is left is judged row by row later. Raises
        `IngestError` for types that cannot mean the field.
        """
        array = self._plain(array, path)
        kind = array.type
        if pa.types.is_floating(kind):
            array = self._finite(array, path, counted=shape.kind != "any")
            if array.null_count == len(array) and shape.kind not in ("number", "any"):
                return pa.nulls(len(array))
        if shape.kind in ("record", "any") and pa.types.is_struct(kind):
            return self._struct(array, shape, path)
        if shape.kind in ("list", "any") and is_list(kind):
            return self._list(array, shape.each or UNKNOWN, path)
        if shape.kind in ("map", "any") and pa.types.is_map(kind):
            return self._map(array, shape.each or UNKNOWN, path)
        if shape.kind == "map" and pa.types.is_struct(kind):
            each = shape.each or UNKNOWN
            return self._struct(array, Shape("record", {f.name: each for f in kind}), path)
        if shape.kind == "number":
            return self._number(array, path)
        if shape.kind == "text" and pa.types.is_decimal(kind):
            return array.cast(pa.string())
        if shape.kind in ("whole", "text", "flag") and _is_number(kind):
            return _whole(array, shape.kind)
        if shape.kind == "time":
            return self._time(array, path)
        return array

    def _finite(self, array: Column, path: str, counted: bool) -> Column:
        senseless = _senseless(array)
        count = pc.sum(senseless).as_py() or 0
        if not count:
            return array
        if counted:
            self.left_out[NOT_A_NUMBER, path] += count
        return pc.if_else(senseless, pa.scalar(None, array.type), array)

    def _struct(self, array: Column, shape: Shape, path: str) -> Column:
        children = array.flatten()
        fields = list(array.type)
        fitted = [
            self.fitted(child, shape.fields.get(item.name, UNKNOWN), f"{path}.{item.name}")
            for child, item in zip(children, fields, strict=True)
        ]
        if all(new is old for new, old in zip(fitted, children, strict=True)):
            return array
        kinds = [pa.field(f.name, child.type) for f, child in zip(fields, fitted, strict=True)]
        return pa.StructArray.from_arrays(fitted, fields=kinds, mask=pc.is_null(array))

    def _list(self, array: Column, each: Shape, path: str) -> Column:
        values = flat(array)
        fitted = self.fitted(values, each, f"{path}[]")
        if fitted is values and pa.types.is_list(array.type):
            return array
        return pa.ListArray.from_arrays(offsets(array), fitted, mask=pc.is_null(array))

    def _map(self, array: Column, each: Shape, path: str) -> Column:
        keys, values = flat(array).flatten()
        items = values
        if pa.types.is_floating(items.type):
            senseless = _senseless(items)
            for key in keys.filter(senseless).to_pylist():
                self.left_out[NOT_A_NUMBER, f"{path}.{key}"] += 1
            items = pc.if_else(senseless, pa.scalar(None, items.type), items)
        new_keys = self._plain(keys, path)
        new_items = self.fitted(items, each, f"{path}.*")
        if new_keys is keys and new_items is values:
            return array
        return pa.MapArray.from_arrays(offsets(array), new_keys, new_items, mask=pc.is_null(array))

    def _number(self, array: Column, path: str) -> Column:
        kind = array.type
        if pa.types.is_duration(kind):
            # In milliseconds, as all times of a trace are.
            unit = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}[kind.unit]
            return pc.multiply(array.cast(pa.int64()).cast(pa.float64()), unit)
        if pa.types.is_decimal(kind):
            return array.cast(pa.float64())
        if pa.types.is_temporal(kind):
            raise self._refuse(path, kind, "a number")
        return array

    def _time(self, array: Column, path: str) -> Column:
        kind = array.type
        if not (pa.types.is_timestamp(kind) or is_text(kind) or pa.types.is_null(kind)):
            raise self._refuse(path, kind, "times with their zone")
        return array

    def _refuse(self, path: str, kind: pa.DataType, expected: str) -> IngestError:
        return IngestError(
            f"{self.file} has a column '{path}' of type {kind}; expected {expected}."
        )

    def _plain(self, array: Column, path: str) -> Column:
        """A column without the types of which DuckDB or JSON know nothing."""
        kind = array.type
        if isinstance(array, pa.ExtensionArray):
            return array if _extension(kind) == "arrow.uuid" else self._plain(array.storage, path)
        if pa.types.is_dictionary(kind):
            return self._plain(array.dictionary_decode(), path)
        if pa.types.is_float16(kind):
            return array.cast(pa.float32())
        if pa.types.is_timestamp(kind) and kind.unit != "us":
            return array.cast(pa.timestamp("us", kind.tz), safe=False)
        if is_bytes(kind) and not is_text(kind):
            try:
                return array.cast(pa.binary()).cast(pa.string())
            except pa.ArrowInvalid:
                raise self._refuse(path, kind, "text in UTF-8") from None
        return array


def _senseless(array: Column) -> Column:
    """Which values are NaN or infinite."""
    return pc.invert(pc.fill_null(pc.is_finite(array), True))


def _extension(kind: Any) -> str:
    return str(getattr(kind, "extension_name", ""))


def _whole(array: Column, kind: str) -> Column:
    """Whole numbers for ids, counts and flags, which pandas makes floats where one is missing."""
    if pa.types.is_floating(array.type):
        if not pc.all(pc.equal(array, pc.floor(array))).as_py():
            return array
        if not pc.all(pc.less(pc.abs(array), 2.0**53)).as_py():
            return array
        array = array.cast(pa.int64())
    if kind == "text":
        return array.cast(pa.string())
    if kind == "flag":
        flags = pc.all(pc.is_in(array.drop_null(), value_set=pa.array([0, 1], array.type)))
        return array.cast(pa.bool_()) if flags.as_py() is not False else array
    return array


def flat(array: Column) -> Column:
    """The items of lists or maps, one after the other, without those of nulls."""
    return entries_of(array).flatten()


def entries_of(array: Column) -> Column:
    """Lists as they are; maps as lists of their keys and values."""
    if not pa.types.is_map(array.type):
        return array
    entry = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    return array.cast(pa.list_(entry))


def offsets(array: Column) -> Column:
    """Where the items of each list or map begin in `flat`, and where the last ones end."""
    return starts(lengths(array))


def lengths(array: Column) -> np.ndarray[Any, Any]:
    """How many items each list or map has; none where it is null."""
    sizes = pc.fill_null(pc.list_value_length(entries_of(array)), 0)
    return np.asarray(sizes.to_numpy(zero_copy_only=False))


def starts(sizes: np.ndarray[Any, Any]) -> Column:
    """The offsets of lists of these lengths."""
    return pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    return bool(
        is_text(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )
