"""Days and turns of slices: the sums agree with a plain count, from either source."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from charts import slices as charts
from data.queries.dimensions import condition_sql
from data.queries.filters import (
    NOT_LOGGED,
    Filter,
    Range,
)
from data.queries.slice_evidence import Inside, within
from data.queries.slices import (
    Conditions,
    before_and_on,
    daily,
    examples,
    find_release,
    narrowed,
    releases,
    requests,
)
from data.store.snapshot import Snapshot
from data.store.store import Store
from tests.scored import MODEL


@pytest.fixture(scope="module")
def snapshot(scored_store: Store) -> Snapshot:
    return scored_store.snapshot()


def column(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table[name].to_pylist()
    return values


def counted(snapshot: Snapshot, chosen: Filter, conditions: Conditions, p: str) -> dict[str, Any]:
    clause, params = chosen.sql()
    inside, more = condition_sql(conditions)
    sql = (
        f"SELECT count(*) AS turns, coalesce(sum({p}::DOUBLE), 0) AS total, "
        f"coalesce(sum({p}::DOUBLE * {p}), 0) AS squares "
        f"FROM predictions WHERE model_id = $model AND {clause} AND {inside}"
    )
    row: dict[str, Any] = snapshot.query(sql, {"model": MODEL, **params, **more}).to_pylist()[0]
    return row


@pytest.mark.parametrize("point", ["asr", "defect"])
@pytest.mark.parametrize("chosen", [Filter(), Filter(words=Range(2, 9)), Filter(device=("phone",))])
@pytest.mark.parametrize(
    "conditions",
    [
        (("locale", "en-GB"),),
        (("locale", NOT_LOGGED), ("version_asr", "4.1")),
        (("slot", "song"), ("hour", "08-12")),
        (("domain", "nowhere"),),
    ],
)
def test_days_add_up(
    snapshot: Snapshot, point: str, chosen: Filter, conditions: Conditions
) -> None:
    days, all_days = daily(snapshot, MODEL, point, chosen, [conditions, ()])
    expected = counted(snapshot, chosen, conditions, f"p_{point}")
    for name in ("turns", "total", "squares"):
        assert sum(column(days, name)) == pytest.approx(expected[name], rel=1e-5)
    assert days["all_turns"].to_pylist() == all_days["turns"].to_pylist()
    assert days["all_total"].to_pylist() == pytest.approx(all_days["total"].to_pylist())


def test_no_slices_have_no_days(snapshot: Snapshot) -> None:
    assert daily(snapshot, MODEL, "asr", Filter(), []) == []


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("4.2", ("asr", "4.2")),
        ("asr:4.2", ("asr", "4.2")),
        ("7", ("nlu", "7")),
        ("nlu:9", ("nlu", "9")),
        ("5.0", ("asr", "5.0")),
        ("日本", ("asr", "日本")),
    ],
)
def test_a_release_is_known_by_several_names(
    snapshot: Snapshot, text: str, release: tuple[str, str]
) -> None:
    assert find_release(snapshot, MODEL, "asr", text) == release


def test_before_and_on_a_release_share_no_turn(snapshot: Snapshot) -> None:
    first = releases(snapshot, MODEL, "asr")["4.2"]
    conditions = (("version_asr", "4.1"), ("device_type", "phone"))
    before, on = before_and_on(
        snapshot, MODEL, "asr", Filter(since=date(2030, 1, 1)), conditions, ("asr", "4.2")
    )
    assert all(day < first for day in column(before, "day"))
    mine = (("version_asr", "4.2"), ("device_type", "phone"))
    assert sum(column(on, "turns")) == counted(snapshot, Filter(), mine, "p_asr")["turns"] > 0
    _, never = before_and_on(snapshot, MODEL, "asr", Filter(), conditions, ("asr", "9"))
    assert never.num_rows == 0


@pytest.mark.parametrize(
    ("chosen", "conditions"),
    [
        (Filter(), (("locale", "en-GB"), ("confidence", "0.4-0.6"))),
        (Filter(), (("device_type", "phone"), ("words", "3-4"), ("hour", "08-12"))),
        (Filter(confidence=Range(0.5, None)), (("confidence", "0.4-0.6"),)),
        (Filter(confidence=Range(0.1, None)), (("confidence", "0.0-0.2"),)),
        (Filter(version=("asr:4.1", "asr:4.2", "nlu:7")), (("version_asr", "4.2"),)),
        (Filter(locale=("en-GB", "en-US")), (("locale", "en-GB"), ("slot", "song"))),
        (Filter(), (("locale", NOT_LOGGED), ("version_nlu", NOT_LOGGED))),
    ],
)
def test_a_filter_says_the_same_as_the_slice(
    snapshot: Snapshot, chosen: Filter, conditions: Conditions
) -> None:
    filter_ = narrowed(chosen, conditions)
    assert filter_ is not None
    expected = counted(snapshot, chosen, conditions, "p_asr")
    assert counted(snapshot, filter_, (), "p_asr") == pytest.approx(expected)
    assert Filter.from_query(filter_.query()) == filter_


@pytest.mark.parametrize(
    ("chosen", "conditions"),
    [
        (Filter(), (("confidence", NOT_LOGGED),)),
        (Filter(slot=("artist",)), (("slot", "song"),)),
        (Filter(locale=("en-US",)), (("locale", "en-GB"),)),
        (Filter(confidence=Range(0.7, None)), (("confidence", "0.4-0.6"),)),
    ],
)
def test_what_no_filter_can_express_has_none(chosen: Filter, conditions: Conditions) -> None:
    assert narrowed(chosen, conditions) is None


@pytest.mark.parametrize("point", ["asr", "defect"])
def test_examples_are_the_surest_turns_with_the_verdict(snapshot: Snapshot, point: str) -> None:
    inside = Inside(MODEL, point, (("device_type", "phone"),))
    rows = examples(snapshot, inside, 5).to_pylist()
    assert rows == sorted(rows, key=lambda row: -row["p"])
    assert all(row["device_type"] == "phone" for row in rows)
    wrong = {row["failure_point"] for row in rows}
    assert wrong == {"asr"} if point == "asr" else "correct" not in wrong
    assert 0 < len(requests(snapshot, inside)) <= len(requests(snapshot, Inside(MODEL, point, ())))


def test_much_traffic_is_read_by_days_where_the_slice_is(snapshot: Snapshot) -> None:
    inside = Inside(MODEL, "asr", (("device_type", "phone"),))
    assert within(snapshot, inside, 10_000) == inside
    few = within(snapshot, inside, 30)
    assert few.days
    assert few == within(snapshot, inside, 30)
    sql, params = few.bind(
        "SELECT day, count(*) AS n, count(*) FILTER ({inside} AND {blamed}) AS bad "
        "FROM predictions WHERE {clause} GROUP BY day"
    )
    days = snapshot.query(sql, params).to_pylist()
    assert sum(day["n"] for day in days) <= 30
    assert all(day["bad"] for day in days)
    none = within(snapshot, Inside(MODEL, "asr", (("domain", "nowhere"),)), 30)
    assert none.days == ()


def test_the_trend_draws_the_slice_the_rest_and_the_releases(snapshot: Snapshot) -> None:
    days = daily(snapshot, MODEL, "asr", Filter(), [(("device_type", "phone"),)])[0]
    figure = charts.trend(days, "asr", {date(2024, 3, 9): "ASR <4.2>"})
    assert [trace.name for trace in figure.data] == [None, "all other turns", "this slice"]
    assert "ASR &lt;4.2&gt;" in [note.text for note in figure.layout.annotations]
    assert "ASR 4.2 on 9 March 2024" in charts.trend_words(days, {date(2024, 3, 9): "ASR 4.2"})
    steps = charts.steps(days)
    assert sum(step.turns for step in steps) == sum(column(days, "turns"))
    assert all(s.low <= s.rate <= s.high for s in steps if s.rate is not None)
    assert 0 < len(charts.spark(days)) <= 40
    assert charts.trend_words(days.slice(0, 0), {}).startswith("No turns")
