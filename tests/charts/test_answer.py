"""Charts of the answer of a user's own statement: axes by the types, any value, any text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from charts.answer import POINTS, Axes, Unsuitable, axes, chart, chart_words
from tests.hostile import TEXTS

DAY = date(2024, 3, 1)
DAYS = [DAY + timedelta(days=n) for n in (2, 0, 1)]


@pytest.mark.parametrize(
    ("columns", "kind", "expected"),
    [
        ({"intent": ["a", "b"], "n": [1, 2]}, "bar", Axes("intent", ("n",))),
        ({"n": [1, 2], "intent": ["a", "b"], "f": [0.5, 1.5]}, "bar", Axes("intent", ("n", "f"))),
        ({"intent": ["a", "b"], "day": DAYS[:2], "n": [1, 2]}, "line", Axes("day", ("n",))),
        ({"day": [DAY, DAY], "by": ["x", "y"], "n": [1, 2]}, "line", Axes("day", ("n",), "by")),
        ({"low": [1, 2], "high": [3, 4]}, "line", Axes("low", ("high",))),
        ({"n": [3, 4]}, "bar", Axes(None, ("n",))),
        ({"n": [Decimal("1.5")]}, "bar", Axes(None, ("n",))),
    ],
)
def test_axes_follow_from_the_types(columns: dict[str, Any], kind: Any, expected: Axes) -> None:
    assert axes(pa.table(columns), kind) == expected


@pytest.mark.parametrize(
    "columns", [{"a": ["x"]}, {"a": [DAY]}, {"a": [True]}, {"a": [None]}, {"a": [[1]]}]
)
@pytest.mark.parametrize("kind", ["line", "bar"])
def test_without_a_number_it_says_what_to_add(columns: dict[str, Any], kind: str) -> None:
    with pytest.raises(Unsuitable, match=r"column of numbers.*count"):
        chart(pa.table(columns), kind)


def test_a_line_over_days_runs_in_time_and_bars_in_the_order_of_the_rows() -> None:
    table = pa.table({"day": DAYS, "n": [3, 1, 2]})
    assert list(chart(table, "line").data[0].y) == [1, 2, 3]
    bars = chart(table, "bar")
    assert list(bars.data[0].y) == [3, 1, 2]
    assert bars.layout.xaxis.ticktext[0] == "2024-03-03"


def test_series_stand_at_the_place_of_their_name() -> None:
    table = pa.table({"x": ["a", "a", "b"], "by": ["p", "q", "q"], "n": [1, 2, 3]})
    figure = chart(table, "bar")
    assert {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data} == {
        "p": ([0], [1]), "q": ([0, 1], [2, 3]),
    }  # fmt: skip
    assert figure.layout.showlegend


ODD: dict[str, list[Any]] = {
    "nan": [float("nan"), float("inf"), 1.0],
    "none": [None, 2.0, None],
    "huge": [10**18, -(10**18), 0],
    "decimal": [Decimal("1.10"), None, Decimal("2")],
    "time": [datetime(2024, 3, 1, tzinfo=UTC), None, datetime(2023, 3, 1, tzinfo=UTC)],
    "nested": [{"a": 1}, None, {"a": 2}],
    "list": [[1], [], None],
    "bytes": [b"\xff", None, b"x"],
    "flag": [True, None, False],
    "span": [timedelta(seconds=1), None, timedelta(days=1)],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["line", "bar"])
def test_odd_values_are_drawn_or_left_out(name: str, kind: str) -> None:
    table = pa.table({name: ODD[name], "n": [1, 2, 3], "by": ["a", None, "a"]})
    chart(table, kind).to_json()
    assert chart_words(table, kind)


@pytest.mark.parametrize("kind", ["line", "bar"])
def test_texts_of_the_answer_have_no_effect(kind: str) -> None:
    table = pa.table({TEXTS[0] + "\n": list(TEXTS), TEXTS[1]: range(len(TEXTS))})
    text = chart(table, kind).to_json()
    for tag in ("<img", "<a ", "<script", "<b>"):
        assert tag not in text.lower().replace("\\u003c", "<")


def test_long_answers_are_cut() -> None:
    table = pa.table({"x": [str(n) for n in range(5000)], "n": range(5000)})
    figure = chart(table, "bar")
    assert len(figure.data[0].x) == POINTS
    assert len(figure.layout.xaxis.ticktext) <= 40
