"""Pivots and pages of turns agree with the turns themselves."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date
from typing import Any

import duckdb
import pytest

from charts.pivot import cell_words, heat, label, pivot_words
from data.queries.filters import (
    NOT_LOGGED,
    Filter,
    Range,
)
from data.queries.pivot import ANY, DIMENSIONS, OTHERS, condition, long, pivot
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
