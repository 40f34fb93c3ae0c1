"""JSON is cut as a decoder would read it, wherever the stream is cut."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.ingest.adapters import json_cut
from data.ingest.adapters.json_cut import cut_json
from data.ingest.validation import Fault

ODD = st.sampled_from(['"}', "\\", "\n{", "]"])
NAMES = st.sampled_from(["a", "list", "\n{", 'x"{'])
VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=6), ODD),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "é{"]), VALUES, max_size=3), max_size=5
)


class _Slowly(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._size)


def cut(text: str, *lists: bytes, size: int = 1 << 20) -> list[Any]:
    found = cut_json(_Slowly(text.encode(), size), lists)
    return [value.reason if isinstance(value, Fault) else json.loads(value) for _, value in found]


@given(
    OBJECTS,
    st.sampled_from([None, 0, 1, 4]),
    st.sampled_from(["", "\n", " ", ",\n", "\x1e"]),
    st.sampled_from([1, 2, 7, 64, 1 << 20]),
    st.booleans(),
)
def test_values_in_every_arrangement(
    values: list[Any], indent: int | None, end: str, size: int, ascii_only: bool
) -> None:
    def dump(value: Any) -> str:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    assert cut(end.join(map(dump, values)), b"list", size=size) == values
    assert cut(dump(values), b"list", size=size) == values
    documents = [
        {"before": [{"list": [1]}, "list"], "list": values[:2], "after": {"list": [{"no": 1}]}},
        {"list": values[2:]},
    ]
    assert cut(end.join(map(dump, documents)), b"list", size=size) == values


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}\nnonsense {"b": 2}', [{"a": 1}, "not JSON: 'nonsense'", {"b": 2}]),
        ('{"a": {"b": 1,\n{"c": 2}', ["damaged", {"c": 2}]),
        ('{"a": "b\n{"c": 2}', ["damaged", {"c": 2}]),
        ('[\n {"a": "x},\n {"b": 2}\n]', ["damaged", {"b": 2}]),
        ('{"a": 1}{"b":', [{"a": 1}, "cut off in the middle; the rest of the file is missing"]),
        ("", []),
        ("[]", []),
        ('{"list": []}', []),
        ('{"list": {"a": 1}}', [{"list": {"a": 1}}]),
        ('} ] {"a": 1}', [{"a": 1}]),
    ],
)
def test_what_is_damaged_takes_nothing_else_with_it(
    text: str, expected: list[Any], size: int
) -> None:
    damaged = "not JSON, or cut off: a line ends in the middle of a value"
    wanted = [damaged if each == "damaged" else each for each in expected]
    assert cut(text, b"list", size=size) == wanted


def test_a_value_that_never_ends_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_cut, "_LONGEST", 1_000)
    stream = _Slowly(b'{"a": 1}{"b": "' + b"x" * 10_000, 100)
    found = cut_json(stream)
    assert next(found) == (1, b'{"a": 1}')
    with pytest.raises(Fault, match="longer than"):
        list(found)
