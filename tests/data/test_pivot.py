"""Pivots and pages of turns agree with the turns themselves."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date
from typing import Any

import duckdb
import pytest

from charts.palette import INK
from charts.pivot import ALL, EMPTY, GREY, cell_words, heat, heat_map, label, pivot_words
from data.queries.filters import (
    NOT_LOGGED,
    Filter,
    Range,
)
from data.queries.pivot import (
    ANY,
    DIMENSIONS,
    FEW,
    OTHERS,
    condition,
    deeper,
    long,
    narrowed,
    pivot,
)
from data.queries.turn_table import (
    COLUMNS,
    ORDERS,
    annotated,
    listing,
)
from data.schema.trace import FAILURES
from data.store.store import Store
from tests.scored import MODEL


def rows_of(store: Store, chosen: Filter) -> list[dict[str, Any]]:
    clause, params = chosen.sql()
    sql = f"FROM predictions WHERE model_id = $model AND {clause}"
    with store.snapshot() as snapshot:
        return list(snapshot.query(sql, {"model": MODEL, **params}).to_pylist())


@pytest.mark.parametrize("chosen", [Filter(), Filter(device=("phone",)), Filter(words=Range(2, 4))])
@pytest.mark.parametrize(("down", "column"), [("locale", "locale"), ("version_asr", "version_asr")])
@pytest.mark.parametrize("failure", [ANY, "asr"])
def test_cells_are_the_sums_of_their_turns(
    scored_store: Store, chosen: Filter, down: str, column: str, failure: str
) -> None:
    turns: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for row in rows_of(scored_store, chosen):
        key = (row[column] or NOT_LOGGED, row["assistant"] or NOT_LOGGED)
        turns[key] += 1
        failed[key] += row["p_defect"] if failure == ANY else row[f"p_{failure}"]
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, chosen, down, "assistant", failure)
    assert {key: cell.turns for key, cell in table.cells.items()} == turns
    for key, cell in table.cells.items():
        assert cell.failures == pytest.approx(failed[key], abs=1e-3)
    assert table.summed == chosen.rollup


def test_a_turn_counts_under_each_of_its_slots(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), "slot")
    rows = rows_of(scored_store, Filter())
    assert table.total("song").turns == sum("song" in (row["slots"] or ()) for row in rows)
    assert table.total(NOT_LOGGED).turns == sum(not row["slots"] for row in rows)


@pytest.mark.parametrize(
    ("down", "across"),
    list(itertools.pairwise([*DIMENSIONS, next(iter(DIMENSIONS))])),
)
def test_every_dimension_goes_with_another(scored_store: Store, down: str, across: str) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), down, across)
        assert set(table.cells) <= set(itertools.product(table.rows, table.columns))
        if "slot" not in (down, across):
            assert table.total().turns == len(rows_of(scored_store, Filter()))
        heat(table, "rate").to_html()
        assert pivot_words(table, "rate", ANY)
        assert long(table).num_rows == len(table.cells)
        # A cell's condition leaves just the cell's turns.
        (row, column), cell = next(iter(table.cells.items()))
        conditions = condition(down, row) + condition(across, column)
        keys = [key for key, _ in conditions]
        whole = all(condition(d, v) for d, v in ((down, row), (across, column)))
        if whole and len(set(keys)) == len(keys):
            chosen = Filter.from_query({key: [value] for key, value in conditions})
            assert len(rows_of(scored_store, chosen)) == cell.turns
        assert str(cell.turns) in cell_words(table, row, column, cell)


def test_values_beyond_the_limit_are_combined(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), "day", "locale", rows=5, columns=1)
        whole = pivot(snapshot, MODEL, Filter(), "day", rows=1000)
    assert table.rows[-1] == OTHERS
    assert len(table.rows) == 6
    assert table.columns[-1] == OTHERS
    assert table.total().turns == whole.total().turns
    assert table.rows[:5] == whole.rows[-5:]
    assert (label("day", OTHERS), label("locale", OTHERS)) == ("earlier", "others")


def test_nothing_to_cut_is_an_empty_table(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(since=date(1999, 1, 1), until=date(1999, 1, 1)),
                      "domain", "locale")  # fmt: skip
    assert table.rows == ()
    heat(table, "share").to_html()


@pytest.mark.parametrize("measure", ["rate", "failures", "turns", "share"])
def test_heat_says_the_numbers(scored_store: Store, measure: Any) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), "assistant", "locale")
    frame = heat(table, measure).data
    first = table.cells[(table.rows[0], table.columns[0])]
    total = table.total()
    expected = {
        "rate": 100 * first.rate,
        "failures": first.failures,
        "turns": first.turns,
        "share": 100 * first.failures / total.failures,
    }[measure]
    assert frame.iloc[0, 1] == pytest.approx(expected)


def test_a_week_is_its_two_ends() -> None:
    assert condition("week", "2024-03-04") == [("since", "2024-03-04"), ("until", "2024-03-10")]


@pytest.mark.parametrize("order", ORDERS)
def test_pages_follow_each_other(scored_store: Store, order: str) -> None:
    chosen = Filter(device=("phone",))
    with scored_store.snapshot() as snapshot:
        pages = [
            listing(snapshot, MODEL, chosen, ("heard", *FAILURES), order, 10, skip)
            for skip in range(0, 200, 10)
        ]
    ids = [turn for page in pages for turn in page["turn_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == len(rows_of(scored_store, chosen))


def test_every_column_can_be_shown_and_long_texts_are_cut(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        table = listing(snapshot, MODEL, Filter(), COLUMNS, rows=500)
    assert set(COLUMNS) <= set(table.column_names)
    assert max(len(text or "") for text in table["heard"].to_pylist()) <= 160


def test_annotated_turns_are_counted(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        assert annotated(snapshot, MODEL, Filter()) == len(
            rows_of(scored_store, Filter(source="annotated"))
        )


@pytest.mark.parametrize("value", [0.3, 0.5, 0.7, 0.9])
def test_a_confidence_on_an_edge_lies_where_its_filter_looks(value: float) -> None:
    # As stored, a float: 0.7 and 0.9 lie beside the doubles of the same name.
    con = duckdb.connect()
    con.execute(f"CREATE TABLE predictions AS SELECT {value}::FLOAT AS asr_confidence")
    sql = DIMENSIONS["confidence"].sql
    (band,) = con.execute(f"SELECT {sql} FROM predictions").fetchone() or ("",)
    clause, params = Filter(confidence=Range.parse("confidence", band)).sql()
    rows = con.execute(f"SELECT count(*) FROM predictions WHERE {clause}", params).fetchall()
    assert rows == [(1,)]


# -- totals, hover, and what a click leaves --------------------------------------------------------


@pytest.mark.parametrize(
    ("down", "across"),
    [("locale", "assistant"), ("slot", "locale"), ("locale", "slot"), ("slot", None)],
)
def test_totals_count_every_turn_once(scored_store: Store, down: str, across: str | None) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), down, across)
    rows = rows_of(scored_store, Filter())
    assert table.total().turns == len(rows)
    assert table.total().failures == pytest.approx(sum(row["p_defect"] for row in rows), abs=1e-3)
    for axis, name in enumerate((down, across)):
        if name != "locale":
            continue
        turns = Counter(row["locale"] or NOT_LOGGED for row in rows)
        for value, n in turns.items():
            assert table.total(*((value, None) if axis == 0 else (None, value))).turns == n


@pytest.mark.parametrize("measure", ["rate", "failures", "turns", "share"])
def test_rows_and_columns_have_totals(scored_store: Store, measure: Any) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), "assistant", "locale")
    frame = heat(table, measure).data
    assert list(frame.iloc[:, 0])[-1] == ALL == frame.columns[-1]
    last = frame.iloc[-1]
    total = table.total()
    first = table.total(None, table.columns[0])
    expected = {
        "rate": (100 * first.rate, 100 * total.rate),
        "failures": (first.failures, total.failures),
        "turns": (first.turns, total.turns),
        "share": (100 * first.failures / total.failures, 100.0),
    }[measure]
    assert (last.iloc[1], last[ALL]) == pytest.approx(expected)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("measure", ["rate", "turns", "failures"])
def test_cells_of_few_turns_are_grey_and_empty_ones_a_dash(
    scored_store: Store, measure: Any, dark: bool
) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), "intent", "device")
    assert any(cell.turns < FEW for cell in table.cells.values())
    assert len(table.cells) < len(table.rows) * len(table.columns)
    page = heat(table, measure, dark=dark).to_html()
    assert f"color: {GREY[dark]}" in page
    assert EMPTY in page
    assert "nan" not in page.lower()
    assert ">None<" not in page
    plain, grey = heat_map(table, measure, dark=dark).data[-2:]
    assert (plain.textfont.color, grey.textfont.color) == (INK[dark], GREY[dark])
    counted = [cell for cell in table.cells.values() if cell.turns >= FEW]
    margins = [table.total(row) for row in table.rows]
    margins += [*(table.total(None, column) for column in table.columns), table.total()]
    assert len(plain.text) == len(counted) + sum(cell.turns >= FEW for cell in margins)
    assert EMPTY in grey.text


def test_the_hover_of_a_cell_says_its_interval(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        table = pivot(snapshot, MODEL, Filter(), "assistant", "locale")
    figure = heat_map(table, "turns")
    cell = table.cells[table.rows[0], table.columns[0]]
    row, column, where, words = figure.data[0].customdata[0]
    assert (row, column) == (0, 0)
    assert table.rows[0] in where
    low, high = cell.interval
    for share in (cell.rate, low, high):
        assert f"{100 * share:.1f}" in words
    assert [trace.customdata[-1][0] for trace in figure.data[:-2]] == [-1] * (
        len(table.columns) + 1
    )
    assert all(data[1] == -1 for data in figure.data[-3].customdata)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_below_a_dimension_lies_another_one(name: str) -> None:
    assert deeper(name, {name}) != name
    assert deeper(name, {name}, "locale") not in (name, "locale")
    # Everything is fixed: nothing is better.
    assert deeper(name, set(DIMENSIONS)) == name


@pytest.mark.parametrize(
    ("conditions", "fixed"),
    [
        ([("domain", "music")], {"domain"}),
        ([("domain", "music"), ("domain", "news")], set()),
        ([("version", "asr:4.2"), ("version", "nlu:1")], {"version_asr", "version_nlu"}),
        ([("version", "asr:4.2"), ("version", "asr:4.3")], set()),
        ([("since", "2024-03-04"), ("until", "2024-03-04")], {"day", "week"}),
        ([("since", "2024-03-04"), ("until", "2024-03-10")], {"week"}),
        ([("since", "2024-03-04"), ("until", "2024-03-11")], set()),
        ([("since", "2024-03-04")], set()),
    ],
)
def test_what_a_filter_leaves_a_single_value_of(
    conditions: list[tuple[str, str]], fixed: set[str]
) -> None:
    assert narrowed(conditions) == fixed
