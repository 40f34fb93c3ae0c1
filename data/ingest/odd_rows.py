"""Values of a table that no line of JSON can carry: replaced, and the rows that have them named.

Such a row goes to quarantine. What stands for its value there is only for reading.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute

from data.ingest.arrow_columns import (
    flat,
    is_bytes,
    is_list,
    is_text,
    lengths,
    offsets,
    starts,
)

# The type stubs of Arrow do not cover nested arrays.
pc: Any = pyarrow.compute
Column = Any
Mask = np.ndarray[Any, np.dtype[np.bool_]]

NOT_UTF8 = "not valid UTF-8"
TWICE = "a key that occurs twice"
NO_YEAR = "outside the years 1 to 9999"
# Of the first and after the last moment, in seconds since 1970.
_FIRST, _END = -62_135_596_800, 253_402_300_800
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}


class Odd(NamedTuple):
    """Which values of a column, or rows of a table, are odd, where in them, and why."""

    path: str
    reason: str
    mask: Mask


def mended(array: Column, path: str) -> tuple[Column, list[Odd]]:
    """A column without its odd values, and which these were; the column itself if there are none.

    Bytes that are no text are escaped; an impossible time, and a map with a key twice, are empty.
    A column of bytes of which none is text is left as it is.
    """
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        inner, odd = mended(array.storage, path)
        return (inner, odd) if odd else (array, [])
    if pa.types.is_dictionary(kind):
        return _dictionary(array, path)
    if is_bytes(kind):
        return _texts(array, path)
    if pa.types.is_timestamp(kind) and kind.unit in _PER_SECOND:
        return _times(array, path)
    if pa.types.is_struct(kind):
        return _struct(array, path)
    if is_list(kind):
        values, odd = mended(flat(array), f"{path}[]")
        if not odd:
            return array, []
        whole = pa.ListArray.from_arrays(offsets(array), values, mask=pc.is_null(array))
        return whole, [_of_parents(each, array) for each in odd]
    if pa.types.is_map(kind):
        return _map(array, path)
    return array, []


def _texts(array: Column, path: str) -> tuple[Column, list[Odd]]:
    try:
        if is_text(array.type):
            array.validate(full=True)
        else:
            array.cast(pa.binary()).cast(pa.string())
        return array, []
    except pa.ArrowInvalid:
        values = array.cast(pa.large_binary()).to_pylist()
    texts = [None if value is None else value.decode("utf-8", "backslashreplace")
             for value in values]  # fmt: skip
    pairs = zip(values, texts, strict=True)
    mask = np.array([v is not None and v != (t or "").encode() for v, t in pairs], dtype=bool)
    if not is_text(array.type) and mask.sum() == len(array) - array.null_count:
        return array, []
    kind = pa.large_string() if pa.types.is_large_string(array.type) else pa.string()
    return pa.array(texts, kind), [Odd(path, NOT_UTF8, mask)]


def _times(array: Column, path: str) -> tuple[Column, list[Odd]]:
    per = _PER_SECOND[array.type.unit]
    value = array.cast(pa.int64())
    inside = pc.and_(pc.greater_equal(value, _FIRST * per), pc.less(value, _END * per))
    if pc.all(inside).as_py() is not False:
        return array, []
    mask = _numpy(pc.invert(inside))
    return pc.if_else(pa.array(mask), pa.scalar(None, array.type), array), [
        Odd(path, NO_YEAR, mask)
    ]


def _dictionary(array: Column, path: str) -> tuple[Column, list[Odd]]:
    values, odd = mended(array.dictionary, path)
    found = [
        Odd(each.path, each.reason, _numpy(pc.take(pa.array(each.mask), array.indices)))
        for each in odd
    ]
    found = [each for each in found if each.mask.any()]
    return (pc.take(values, array.indices) if odd else array), found


def _struct(array: Column, path: str) -> tuple[Column, list[Odd]]:
    names = [field.name for field in array.type]
    pairs = [
        mended(child, f"{path}.{name}") for child, name in zip(array.flatten(), names, strict=True)
    ]
    odd = [each for _, found in pairs for each in found]
    if not odd:
        return array, []
    children = [child for child, _ in pairs]
    kinds = [pa.field(n, child.type) for n, child in zip(names, children, strict=True)]
    return pa.StructArray.from_arrays(children, fields=kinds, mask=pc.is_null(array)), odd


def _map(array: Column, path: str) -> tuple[Column, list[Odd]]:
    given_keys, given_items = flat(array).flatten()
    keys, odd_keys = mended(given_keys, path)
    items, odd_items = mended(given_items, f"{path}.*")
    odd = [_of_parents(each, array) for each in (*odd_keys, *odd_items)]
    sizes = lengths(array)
    twice = _twice(keys, sizes)
    if twice.any():
        odd.append(Odd(path, TWICE, twice))
        kept = pa.array(~np.repeat(twice, sizes))
        keys, items = keys.filter(kept), items.filter(kept)
        sizes = np.where(twice, 0, sizes)
    if not odd:
        return array, []
    return pa.MapArray.from_arrays(starts(sizes), keys, items, mask=pc.is_null(array)), odd


def _twice(keys: Column, sizes: np.ndarray[Any, Any]) -> Mask:
    """Which maps have a key twice."""
    twice = np.zeros(len(sizes), dtype=bool)
    if not len(sizes) or sizes.max() < 2:
        return twice
    if pa.types.is_dictionary(keys.type):
        keys = keys.dictionary_decode()
    try:
        number = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    except pa.ArrowNotImplementedError:
        # Arrow cannot compare keys that are records or lists; the format has no field of such.
        return twice
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((number, owner))
    owner, number = owner[order], number[order]
    twice[owner[1:][(np.diff(owner) == 0) & (np.diff(number) == 0)]] = True
    return twice


def _of_parents(odd: Odd, array: Column) -> Odd:
    """What is odd in the items of lists or maps, as said of the lists or maps."""
    sizes = lengths(array)
    mask = np.zeros(len(sizes), dtype=bool)
    mask[np.repeat(np.arange(len(sizes)), sizes)[odd.mask]] = True
    return Odd(odd.path, odd.reason, mask)


def _numpy(mask: Column) -> Mask:
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)
