"""Logs of other systems, changed at random: no traceback, and no good record is lost.

Each format has a small log of its own in `own/`; what is changed in it is drawn by Hypothesis.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.ingest.adapters.adapter import Adapter, Reading
from data.ingest.adapters.registry import NAMES, named, recognised
from tests.data.adapters.in_memory import Log, read

OWN = Path(__file__).parent / "own"
LOGS = sorted(path for path in OWN.iterdir() if path.stem in NAMES)
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, False, 0, -1, 1e308, -0.0, 2**31, 2**63, 2**70, float("nan"), float("inf"), "",
        " ", "x", "NaN", "-1", "1e999", "\ud800", "\u0000", "𝄞", "שלום", "الو", "音声", "0000",
        "2026-02-30T25:61:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999+00:00",
        [], {}, [None], [[]], [{}], {"": None}, {"name": 5}, ["a", 1, None], "a" * 5000,
    ]
).map(copy.deepcopy)  # fmt: skip
# The same draws in every run: what a new draw finds is a defect to mend, not a red build of
# somebody else's change.
few = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
many = settings(few, max_examples=10_000)


@cache
def own(path: Path) -> tuple[Adapter, bytes, Log]:
    """An adapter, the log that tests change, and what it becomes unchanged; read-only."""
    adapter, data = named(path.stem), path.read_bytes()
    return adapter, data, read(adapter, data)


def test_every_format_has_a_log() -> None:
    assert {path.stem for path in LOGS} >= set(NAMES) - {"table"}


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_a_log_is_recognised_and_becomes_turns(path: Path) -> None:
    adapter, data, log = own(path)
    assert recognised(data) == adapter.name
    assert len(log.turns) >= 4
    assert len({turn["dialogue_id"] for turn in log.turns.values()}) >= 2


def _lines(adapter: Adapter, data: bytes) -> list[bytes] | None:
    if adapter.reading(data) is not Reading.LINES:
        return None
    return [line for line in data.split(b"\n") if line.strip()]


def _same_elsewhere(before: Log, after: Log, touched: set[str]) -> None:
    """The turns of conversations that were not touched are as they were."""
    for turn_id, turn in before.turns.items():
        if before.group_of[turn_id] not in touched:
            assert after.turns.get(turn_id) == turn, f"{turn_id} is lost or changed"


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _nodes(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _nodes(inner, (*path, index))
    return found


def _changed(data: st.DataObject, value: Any) -> Any:
    """A JSON value with one to three of its inner values replaced, removed or renamed."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        nodes = _nodes(value)
        if not nodes:
            return data.draw(JUNK)
        path = data.draw(st.sampled_from(nodes))
        inner = value
        for step in path[:-1]:
            inner = inner[step]
        how = data.draw(st.sampled_from(["replace", "remove", "rename", "text"]))
        if how == "remove":
            del inner[path[-1]]
        elif how == "rename" and isinstance(inner, dict):
            inner[data.draw(st.sampled_from(["x", "", "name", "type"]))] = inner.pop(path[-1])
        elif how == "text":
            inner[path[-1]] = str(inner[path[-1]])
        else:
            # A copy: what is changed next may lie within it.
            inner[path[-1]] = copy.deepcopy(data.draw(JUNK))
    return value


def _line_of(line: bytes) -> tuple[bytes, Any] | None:
    """What stands before the JSON of a line, and the JSON."""
    start = line.find(b"{")
    if start < 0:
        return None
    try:
        return line[:start], json.loads(line[start:])
    except ValueError:
        return None


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def change(path: Path, data: st.DataObject) -> None:
    """Change a log and read it; what was not touched must be as it was."""
    adapter, content, before = own(path)
    lines = _lines(adapter, content)
    if lines is None:
        _change_document(adapter, content, before, data)
        return
    how = data.draw(
        st.sampled_from(["value", "bytes", "junk", "shuffle", "repeat", "cut", "remove"])
    )
    numbers = [n for n, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    if how in ("value", "bytes", "remove"):
        index = data.draw(st.integers(0, len(lines) - 1))
        touched = set(before.groups.get(numbers[index], ()))
        line = lines[index]
        if how == "remove":
            lines[index] = b" "
        elif how == "bytes":
            at = data.draw(st.integers(0, max(len(line) - 1, 0)))
            length = data.draw(st.integers(0, 8))
            noise = data.draw(st.binary(max_size=8)).replace(b"\n", b" ")
            lines[index] = line[:at] + noise + line[at + length :]
        elif parsed := _line_of(line):
            lines[index] = parsed[0] + _bytes(_changed(data, parsed[1]))
        after = read(adapter, b"\n".join(lines) + b"\n")
        touched |= after.groups.get(index + 1, set())
        _same_elsewhere(before, after, touched)
        return
    if how == "cut":
        index = data.draw(st.integers(0, len(lines) - 1))
        kept, rest = lines[:index], lines[index]
        cut = data.draw(st.integers(0, len(rest)))
        after = read(adapter, b"\n".join([*kept, rest[:cut]]))
        lost = {
            group
            for number in numbers[index:]
            for group in before.groups.get(number, ())
        }  # fmt: skip
        _same_elsewhere(before, after, lost)
        return
    if how == "junk":
        index = data.draw(st.integers(0, len(lines)))
        junk = data.draw(st.one_of(st.binary(max_size=40), JUNK.map(_bytes)))
        lines.insert(index, junk.replace(b"\n", b" ").replace(b"\r", b" "))
        after = read(adapter, b"\n".join(lines) + b"\n")
        if index + 1 not in after.groups:
            assert after.turns == before.turns
        return
    if how == "repeat":
        lines += data.draw(st.lists(st.sampled_from(lines), max_size=5))
    else:
        lines = data.draw(st.permutations(lines))
    if adapter.name in ORDERED:
        read(adapter, b"\n".join(lines) + b"\n")
    else:
        assert read(adapter, b"\n".join(lines) + b"\n").turns == before.turns


# Formats whose records have no time of their own in every case.
ORDERED: frozenset[str] = frozenset()


def _change_document(adapter: Adapter, content: bytes, before: Log, data: st.DataObject) -> None:
    how = data.draw(st.sampled_from(["value", "bytes", "cut"]))
    if how == "cut":
        read(adapter, content[: data.draw(st.integers(0, len(content)))])
        return
    try:
        document = json.loads(content)
    except ValueError:
        how = "bytes"
    if how == "value":
        read(adapter, _bytes(_changed(data, document)))
        return
    at = data.draw(st.integers(0, len(content) - 1))
    noise = data.draw(st.binary(max_size=8))
    read(adapter, content[:at] + noise + content[at + data.draw(st.integers(0, 8)) :])


@few
@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
@given(data=st.data())
def test_a_changed_log_is_no_traceback(path: Path, data: st.DataObject) -> None:
    change(path, data)


@many
@pytest.mark.long
@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
@given(data=st.data())
def test_ten_thousand_changed_logs_are_no_traceback(path: Path, data: st.DataObject) -> None:
    change(path, data)
