"""Many turns from a few: copies of dialogues for load tests, as Parquet.

A copy has its own ids, users and times, and its numbers are jittered, so that it does not compress
or cache like a repetition. Texts, versions and gold stay: these turns test speed, never quality.
All work is on whole columns; no turn is ever a Python object.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import UsageError

# The stubs lack the children of nested arrays, and the functions that build them.
Column = Any
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Approximate rows of a row group; row groups of a file.
GROUP = 64_000
FILE = 16
# How far a dialogue moves in time: to another moment, but not to another release.
_SHIFT_US = 90 * 60 * 1_000_000


def scale(turns: pa.Table, count: int, to: Path, seed: int = 0, threads: int = 2) -> int:
    """Write `count` turns, copies of `turns`, into the folder `to`; returns how many it wrote.

    Parameters
    ----------
    turns
        Columns of `data.schema.trace.TURNS` without those that a store derives; any number of rows.
    to
        A folder, created if missing, for files `turns-00000.parquet` of about a million turns.
    threads
        Files written at the same time. The bytes do not depend on it.
    """
    source = _checked(turns, count)
    to.mkdir(parents=True, exist_ok=True)
    units = list(source.units(count))
    starts = range(0, len(units), FILE)
    stop = Event()
    with ThreadPoolExecutor(threads) as pool:
        try:
            work = [
                pool.submit(_write, source, to / f"turns-{file:05d}.parquet", part, seed, stop)
                for file, part in enumerate(units[first : first + FILE] for first in starts)
            ]
            return sum(part.result() for part in work)
        except BaseException:
            # An interrupt must not wait for the rest.
            stop.set()
            raise


def copies(turns: pa.Table, count: int, seed: int = 0) -> Iterator[pa.Table]:
    """The same turns as `scale`, table after table, without writing them."""
    source = _checked(turns, count)
    for unit in source.units(count):
        yield source.copy(unit, seed)


def _checked(turns: pa.Table, count: int) -> _Source:
    if count < 1:
        raise UsageError(f"Cannot scale to {count} turns; give at least 1.")
    if turns.num_rows == 0:
        raise UsageError("There are no turns to scale; simulate some first.")
    return _Source.of(turns)


def _write(source: _Source, path: Path, units: Sequence[_Unit], seed: int, stop: Event) -> int:
    if stop.is_set():
        return 0
    # Ids and times repeat too rarely for a dictionary; texts and codes gain from one.
    plain = {"turn_id", "dialogue_id", "started_at"}
    schema = source.blocks[0].turns.schema
    texts: Any = [name for name in _text_leaves(schema) if name.split(".")[0] not in plain]
    try:
        with pq.ParquetWriter(
            path, schema, compression="lz4", use_dictionary=texts, write_statistics=False
        ) as writer:
            for unit in units:
                if stop.is_set():
                    break
                writer.write_table(source.copy(unit, seed), row_group_size=2 * GROUP)
    except BaseException:
        # Set here and not only where the result is awaited: the next file would start meanwhile.
        stop.set()
        raise
    return sum(unit.rows for unit in units)


class _Unit(NamedTuple):
    """A row group to write: which copy of the source, which block of it, how many rows."""

    generation: int
    block: int
    rows: int


class _Block(NamedTuple):
    """Some turns, and for each of them its repetition and its dialogue.

    Every column is one chunk with offset 0, which `_Jitter` relies on.
    """

    turns: pa.Table
    repetition: Integers
    dialogue: Integers


@dataclass(frozen=True)
class _Source:
    """The turns in blocks of a row group each; few turns are repeated until they fill a block."""

    blocks: tuple[_Block, ...]
    repetitions: int

    @classmethod
    def of(cls, turns: pa.Table) -> _Source:
        times = max(1, GROUP // turns.num_rows)
        codes: Any = pc.dictionary_encode(turns["dialogue_id"].combine_chunks())
        repetition = np.repeat(np.arange(times), turns.num_rows)
        dialogue = np.tile(codes.indices.to_numpy().astype(np.int64), times)
        row = np.tile(np.arange(turns.num_rows), times)
        blocks = []
        for first in range(0, len(row), GROUP * 5 // 4):
            cut = slice(first, first + GROUP * 5 // 4)
            part = turns.take(row[cut]).combine_chunks()
            blocks.append(_Block(part, repetition[cut], dialogue[cut]))
        return cls(tuple(blocks), times)

    def units(self, count: int) -> Iterator[_Unit]:
        total = 0
        for generation in itertools.count():
            for number, block in enumerate(self.blocks):
                if total >= count:
                    return
                rows = min(len(block.dialogue), count - total)
                total += rows
                yield _Unit(generation, number, rows)

    def copy(self, unit: _Unit, seed: int) -> pa.Table:
        block = self.blocks[unit.block]
        rng = np.random.default_rng([seed, unit.generation, unit.block])
        number = unit.generation * self.repetitions + block.repetition
        suffix: Column = pc.cast(pa.array(number, pa.int64()), pa.string())
        shift = _shift(block.dialogue, number, seed)
        jitter = _Jitter(block.turns.num_rows, rng)
        columns = []
        for field, column in zip(block.turns.schema, block.turns.columns, strict=True):
            array: Column = column.chunk(0)
            if field.name in ("turn_id", "dialogue_id", "user_id"):
                array = pc.binary_join_element_wise(array, suffix, "-")
            elif field.name == "started_at":
                array = pc.add(array.cast(pa.int64()), pa.array(shift)).cast(array.type)
            elif field.name != "gold":
                array = jitter.of(array, field.name)
            columns.append(array)
        return pa.Table.from_arrays(columns, schema=block.turns.schema).slice(0, unit.rows)


def _shift(dialogue: Integers, copy: Integers, seed: int) -> Integers:
    """Microseconds by which each turn moves: the same for all turns of one copy of a dialogue.

    A hash (the finaliser of splitmix64) rather than a draw, as a dialogue may lie in two blocks.
    """
    mixed = (dialogue * 1_000_003 + copy * 8_191 + seed * 131 + 17).astype(np.uint64)
    for by, times in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(by))) * np.uint64(times)
    mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(2 * _SHIFT_US)).astype(np.int64) - _SHIFT_US


class _Jitter:
    """Noise for the numbers of some turns; numbers in (0, 1) stay in it."""

    def __init__(self, rows: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._rows = rows
        # One exponent per turn: a power keeps [0, 1], and the order of an n-best list.
        self._exponent = np.exp(rng.normal(0.0, 0.08, rows))

    def of(self, column: Column, name: str) -> Column:
        """The column with new numbers; texts, whole numbers and thresholds are left alone."""
        changed = self._rebuilt(column, name, np.arange(self._rows))
        if name == "wake" and {"score", "threshold"} <= set(_names(column.type)):
            return _above_threshold(changed)
        return changed

    def _rebuilt(self, array: Column, name: str, row: Integers) -> Column:
        kind = array.type
        if pa.types.is_float64(kind):
            return self._number(array, name, row)
        if pa.types.is_struct(kind):
            children = [self._rebuilt(array.field(i), f.name, row) for i, f in enumerate(kind)]
            return _with_children(array, array.buffers()[:1], children)
        if pa.types.is_map(kind) and pa.types.is_float64(kind.item_type):
            entries = _entries(array)
            inner = np.repeat(row, np.diff(array.offsets.to_numpy()))
            items = self._rebuilt(entries.field(1), "signal", inner)
            pairs = _with_children(entries, entries.buffers()[:1], [entries.field(0), items])
            return _with_children(array, array.buffers()[:2], [pairs])
        if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
            inner = np.repeat(row, np.diff(array.offsets.to_numpy()))
            values = self._rebuilt(array.values, name, inner)
            return _with_children(array, array.buffers()[:2], [values])
        return array

    def _number(self, array: Column, name: str, row: Integers) -> Column:
        change = _CHANGES.get(name)
        if change is None:
            return array
        validity, data = array.buffers()
        values = np.frombuffer(data, np.float64, len(array))
        fresh: Any = np.ascontiguousarray(change(values, self._exponent[row], self._rng))
        return pa.Array.from_buffers(array.type, len(array), [validity, pa.py_buffer(fresh)])


def _power(values: Floats, exponent: Floats, rng: np.random.Generator) -> Floats:
    # The value of a null is arbitrary; it must not cause a warning.
    with np.errstate(all="ignore"):
        powers: Floats = np.power(np.clip(values, 0.0, 1.0), exponent)
        return np.round(powers, 4)


def _spread(values: Floats, exponent: Floats, rng: np.random.Generator) -> Floats:
    """A few per cent up or down; whole numbers are counts and stay."""
    with np.errstate(all="ignore"):
        noisy = values * (1.0 + 0.03 * rng.standard_normal(len(values), dtype=np.float32))
        return np.where(values == np.rint(values), values, np.round(noisy, 4))


def _longer(values: Floats, exponent: Floats, rng: np.random.Generator) -> Floats:
    """Times of a turn stretch together, so that no stage starts before the last one ended."""
    with np.errstate(all="ignore"):
        return np.round(values * np.sqrt(exponent), 1)


_CHANGES: dict[str, Callable[[Floats, Floats, np.random.Generator], Floats]] = {
    "confidence": _power,
    "score": _power,
    "signal": _spread,
    "start_ms": _longer,
    "latency_ms": _longer,
    "audio_ms": _longer,
    "barge_in_ms": _longer,
}


def _above_threshold(wake: Column) -> Column:
    """Scores of at least the threshold, since only turns that woke the assistant are logged."""
    names = _names(wake.type)
    score, threshold = (wake.field(names.index(name)) for name in ("score", "threshold"))
    raised = pc.if_else(
        pc.is_valid(score), pc.max_element_wise(score, pc.coalesce(threshold, score)), score
    )
    children = [raised if name == "score" else wake.field(i) for i, name in enumerate(names)]
    return _with_children(wake, wake.buffers()[:1], children)


def _names(kind: pa.DataType) -> list[str]:
    return [field.name for field in kind] if pa.types.is_struct(kind) else []


def _entries(array: Column) -> Column:
    """Keys and values of a map array as a struct array."""
    kind = pa.struct(
        [pa.field("key", array.keys.type, nullable=False), pa.field("value", array.items.type)]
    )
    return pa.Array.from_buffers(kind, len(array.keys), [None], children=[array.keys, array.items])


def _with_children(array: Column, buffers: list[Any], children: list[Column]) -> Column:
    return pa.Array.from_buffers(
        array.type, len(array), buffers, null_count=array.null_count, children=children
    )


def _text_leaves(schema: pa.Schema) -> list[str]:
    """Paths, as Parquet names them, of the leaf columns that hold text."""

    def below(kind: pa.DataType, path: str) -> Iterator[str]:
        if pa.types.is_struct(kind):
            for field in kind:
                yield from below(field.type, f"{path}.{field.name}")
        elif pa.types.is_map(kind):
            yield from below(kind.key_type, f"{path}.key_value.key")
            yield from below(kind.item_type, f"{path}.key_value.value")
        elif pa.types.is_list(kind):
            yield from below(kind.value_type, f"{path}.list.element")
        elif pa.types.is_string(kind):
            yield path

    return [leaf for field in schema for leaf in below(field.type, field.name)]
