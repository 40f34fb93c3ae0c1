"""Rows of Parquet that no line of JSON can carry go to quarantine, each with its field and reason.

Every row becomes a turn or a line of the quarantine; where that is not so, the file is refused.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import IngestError
from data.ingest.ingest import IngestReport, ingest
from data.ingest.validation import Fault, Notes, check
from data.store.store import Store
from tests.logs import trace, write_lines

WHEN = datetime(2024, 5, 1, 9, 30, tzinfo=UTC)
GOOD, BAD = [b"ok", b"fine", b"caf\xc3\xa9"], [b"\xff", b"caf\xe9", b"\xc0\x80", b"\xed\xa0\x80"]
# Of seven rows, those with these numbers are odd.
VALUES = [GOOD[0], BAD[0], GOOD[1], BAD[1], GOOD[2], BAD[2], BAD[3]]
ODD = [2, 4, 6, 7]
ROWS = len(VALUES)


def text(values: list[bytes | None], kind: Any = None) -> pa.Array[Any]:
    """A column of text that a program has written without looking."""
    raw = pa.array(values, pa.large_binary() if kind == pa.large_string() else pa.binary())
    return pa.Array.from_buffers(kind or pa.string(), len(values), raw.buffers())


def table(**columns: Any) -> pa.Table:
    own = {
        "turn_id": pa.array([f"t{n}" for n in range(ROWS)]),
        "dialogue_id": pa.array(["d"] * ROWS),
        "turn_index": pa.array(range(ROWS)),
        "started_at": pa.array([WHEN] * ROWS, pa.timestamp("us", "UTC")),
    }
    return pa.table({**own, **columns})


def struct(**children: Any) -> pa.Array[Any]:
    return pa.StructArray.from_arrays(list(children.values()), list(children))


def one_each(values: pa.Array[Any]) -> pa.Array[Any]:
    return pa.ListArray.from_arrays(pa.array(range(len(values) + 1), pa.int32()), values)


def pairs(keys: pa.Array[Any], items: pa.Array[Any]) -> pa.Array[Any]:
    return pa.MapArray.from_arrays(pa.array(range(len(keys) + 1), pa.int32()), keys, items)


def take(store: Store, folder: Path, rows: pa.Table, **options: Any) -> IngestReport:
    path = folder / "a.parquet"
    pq.write_table(rows, path, **options)
    return ingest(store, [path])


def quarantine(store: Store) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return list(snapshot.query("FROM quarantine ORDER BY line").to_pylist())


DEVICE = pa.array(["x"] * ROWS)
PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "a text": ({"user_id": text(VALUES)}, "user_id"),
    "an id": ({"turn_id": text(VALUES)}, "turn_id"),
    "a large text": ({"user_id": text(VALUES, pa.large_string())}, "user_id"),
    "bytes": ({"user_id": pa.array(VALUES, pa.binary())}, "user_id"),
    "a dictionary": (
        {"user_id": pa.DictionaryArray.from_arrays(pa.array(range(ROWS)), text(VALUES))},
        "user_id",
    ),
    "a time as text": (
        {"started_at": text([b"2024-05-01T09:30:00Z" if n + 1 not in ODD else BAD[0]
                             for n in range(ROWS)])},
        "started_at",
    ),
    "a field of a record": ({"device": struct(id=text(VALUES))}, "device.id"),
    "an item of a list": (
        {"asr": struct(hypotheses=one_each(struct(text=text(VALUES))))},
        "asr.hypotheses[].text",
    ),
    "the value of a map": (
        {"device": struct(state=pairs(DEVICE, text(VALUES)))}, "device.state.*",
    ),
    "the key of a map": ({"device": struct(state=pairs(text(VALUES), DEVICE))}, "device.state"),
    "an unknown column": ({"colour": text(VALUES)}, "colour"),
    "a list of an unknown column": ({"colours": one_each(text(VALUES))}, "colours[]"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_text_that_is_not_utf8_is_quarantined_wherever_it_is(
    store: Store, tmp_path: Path, place: str
) -> None:
    columns, path = PLACES[place]
    report = take(store, tmp_path, table(**columns))
    assert (report.turns, report.quarantined) == (ROWS - len(ODD), len(ODD))
    faults = quarantine(store)
    assert [fault["line"] for fault in faults] == ODD
    for fault in faults:
        assert (fault["field"], fault["reason"]) == (path, "not valid UTF-8")
        # By the ids a deletion finds it.
        assert '"dialogue_id":"d"' in fault["excerpt"]
    assert any(r"caf\\xe9" in fault["excerpt"] for fault in faults) or place == "a time as text"


def test_lines_are_numbered_over_groups_and_batches(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.parquet_rows._ROWS", 2)
    report = take(store, tmp_path, table(user_id=text(VALUES)), row_group_size=3)
    assert (report.turns, report.quarantined) == (ROWS - len(ODD), len(ODD))
    assert [fault["line"] for fault in quarantine(store)] == ODD


def test_a_row_is_no_fault_for_looking_like_one(store: Store, tmp_path: Path) -> None:
    values: list[bytes | None] = [b"\xff", rb"\xff", *[None] * (ROWS - 2)]
    report = take(store, tmp_path, table(user_id=text(values)))
    assert (report.turns, report.quarantined) == (ROWS - 1, 1)


def test_a_map_with_a_key_twice_costs_only_its_row(store: Store, tmp_path: Path) -> None:
    state = [[("a", "1"), ("a", "2")], [("a", "1"), ("b", "1")], *[None] * (ROWS - 2)]
    kind = pa.map_(pa.string(), pa.string())
    report = take(store, tmp_path, table(device=struct(state=pa.array(state, kind))))
    assert (report.turns, report.quarantined) == (ROWS - 1, 1)
    (fault,) = quarantine(store)
    assert (fault["line"], fault["field"]) == (1, "device.state")
    assert fault["reason"] == "a key that occurs twice"


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", ["UTC", None])
def test_times_outside_the_calendar_are_quarantined(
    store: Store, tmp_path: Path, unit: Any, zone: str | None
) -> None:
    per = {"s": 1, "ms": 1_000, "us": 1_000_000}[unit]
    # Before the year 1, its first moment, the last one of 9999, and after it.
    seconds = [-62_135_596_801, -62_135_596_800, 253_402_300_799, 253_402_300_800]
    whens = [s * per for s in seconds] + [0] * (ROWS - 4)
    # Parquet has no seconds of its own.
    times = pa.array(whens, pa.timestamp(unit, zone))
    report = take(store, tmp_path, table(started_at=times))
    reasons = {fault["line"]: fault["reason"] for fault in quarantine(store)}
    assert reasons[1] == reasons[4] == "outside the years 1 to 9999"
    assert report.turns + report.quarantined == ROWS
    assert report.turns == (ROWS - 2 if zone else 0)


def test_rows_that_are_lost_are_never_lost_without_a_word(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What DuckDB makes of such texts is not a line at all.
    monkeypatch.setattr("data.ingest.parquet_rows.mended", lambda column, path: (column, []))
    with pytest.raises(IngestError, match="of 7 rows 3 could be read"):
        take(store, tmp_path, table(user_id=text(VALUES)))
    assert store.snapshot().counts()["turns"] == 0


def test_a_text_for_extra_is_kept(store: Store, tmp_path: Path) -> None:
    values = ['{"x": 1}', "no JSON", *[None] * (ROWS - 2)]
    assert take(store, tmp_path, table(extra=pa.array(values))).turns == ROWS
    with store.snapshot() as snapshot:
        found = snapshot.query("SELECT extra FROM turns ORDER BY turn_id").to_pylist()
    assert [row["extra"] for row in found[:3]] == ['{"x":1}', '{"extra":"no JSON"}', None]


# -- lines and rows are judged alike ---------------------------------------------------------------


WHOLE = [(0.0, 0), (-0.0, 0), (1.0, 1), (2.0**53 - 1, None), (1.5, None), (-1.0, None),
         (1e300, None)]  # fmt: skip


def test_whole_numbers_are_whole_however_they_are_written(tmp_path: Path) -> None:
    given = [number for number, _ in WHOLE]
    lines = write_lines(
        tmp_path / "a.jsonl",
        [trace(f"t{n}", turn_index=number) for n, number in enumerate(given)],
    )
    rows = table(turn_index=pa.array(given))
    pq.write_table(rows, tmp_path / "a.parquet")
    for name, path in (("lines", lines), ("rows", tmp_path / "a.parquet")):
        store = Store.create(tmp_path / name)
        report = ingest(store, [path])
        with store.snapshot() as snapshot:
            stored = snapshot.query("SELECT turn_id, turn_index FROM turns ORDER BY 1").to_pylist()
        assert [(row["turn_id"], row["turn_index"]) for row in stored] == [
            ("t0", 0), ("t1", 0), ("t2", 1)], name  # fmt: skip
        assert report.quarantined == 4, name


@pytest.mark.parametrize(
    ("when", "stored"),
    [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
        ("2016-12-31T23:59:60.75z", "2016-12-31T23:59:59.999999Z"),
        ("2016-12-31T15:59:60-08:00", "2016-12-31T23:59:59.999999Z"),
        ("9999-12-31T23:59:60Z", "9999-12-31T23:59:59.999999Z"),
        # No second was ever inserted there.
        ("2016-12-31T12:00:60Z", None),
        ("2016-12-31T23:59:60+01:00", None),
        ("2016-12-31T23:59:61Z", None),
        ("2016-12-31T23:59:60", None),
    ],
)
def test_a_leap_second_is_the_last_instant_before_it(when: str, stored: str | None) -> None:
    line = json.dumps(trace(started_at=when)).encode()
    if stored is None:
        with pytest.raises(Fault, match="started_at: expected a time"):
            check(line, Notes())
        return
    assert json.loads(check(line, Notes()).json)["started_at"] == stored
