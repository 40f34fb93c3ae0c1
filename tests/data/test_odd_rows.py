"""Rows of Parquet that no line of JSON can carry go to quarantine, each with its field and reason.

Every row becomes a turn or a line of the quarantine; where that is not so, the file is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import IngestError
from data.ingest.block import Limits, Source
from data.ingest.ingest import IngestReport, ingest
from data.ingest.sources import blocks
from data.ingest.validation import Fault, Notes, check
from data.store.store import Store
from tests.command import Run, must_fail
from tests.logs import trace, write_lines

WHEN = datetime(2024, 5, 1, 9, 30, tzinfo=UTC)
GOOD, BAD = [b"ok", b"fine", b"caf\xc3\xa9"], [b"\xff", b"caf\xe9", b"\xc0\x80", b"\xed\xa0\x80"]
# Of seven rows, those with these numbers are odd.
VALUES = [GOOD[0], BAD[0], GOOD[1], BAD[1], GOOD[2], BAD[2], BAD[3]]
ODD = [2, 4, 6, 7]
ROWS = len(VALUES)


def text(values: Sequence[bytes | None], kind: Any = None) -> pa.Array[Any]:
    """A column of text that a program has written without looking."""
    raw = pa.array(values, pa.large_binary() if kind == pa.large_string() else pa.binary())
    return pa.Array.from_buffers(kind or pa.string(), len(values), raw.buffers())


def table(**columns: Any) -> pa.Table:
    own: dict[str, Any] = {
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
    maps: Any = pa.MapArray  # The stubs know 64-bit offsets only.
    made: pa.Array[Any] = maps.from_arrays(pa.array(range(len(keys) + 1), pa.int32()), keys, items)
    return made


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


# -- blank lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [b"\n", b" \r\n"])
def test_blank_lines_keep_the_numbers_of_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: bytes
) -> None:
    monkeypatch.setattr("data.ingest.sources.MOST_LINES", 50)
    good = [json.dumps(trace(f"t{n}")).encode() + b"\n" for n in range(3)]
    data = blank * 1_000 + b"{bad\n" + good[0] + blank * 700 + b"  [\n" + good[1] + good[2]
    path = tmp_path / "a.jsonl"
    path.write_bytes(data + blank * 400 + b"{worse")
    report = ingest(store, [path])
    assert (report.turns, report.quarantined) == (3, 3)
    assert [fault["line"] for fault in quarantine(store)] == [1_001, 1_703, 2_106]


def test_blank_lines_are_read_in_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n" * (4 << 20) + b"x" + b"\n" * (4 << 20))
    pieces = list(blocks(Source(str(path), path, "jsonl", path.stat().st_size)))
    assert [piece.data for piece in pieces if piece.data] == [b"x\n"]
    assert len(pieces) == 1


def test_blank_lines_that_are_too_long_are_a_fault(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.MOST_LINES", 50)
    path = tmp_path / "a.jsonl"
    good = json.dumps(trace()).encode() + b"\n"
    path.write_bytes(b"\n" * 500 + b" " * 5_000 + b"\n" * 500 + good)
    report = ingest(store, [path], limits=Limits(longest_line=1_000))
    assert (report.turns, report.quarantined) == (1, 1)
    assert [fault["line"] for fault in quarantine(store)] == [501]


# -- sentences -------------------------------------------------------------------------------------

# What libraries call things.
RAW = ("Error:", "error,", "b'", "codec", "Invalid Input", "Arrow", "!.")


def test_sentences_are_not_the_words_of_libraries(run: Run, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.jsonl.gz", [trace()])
    (tmp_path / "more.jsonl.gz").write_bytes(lines.read_bytes() + b"garbage")
    whole = bytearray(lines.read_bytes())
    whole[-8] ^= 0xFF
    (tmp_path / "crc.jsonl.gz").write_bytes(whole)
    for name in ("latin.toml", "no.toml"):
        (tmp_path / name).touch(0o600)
    (tmp_path / "latin.toml").write_bytes(b"[auth]\nclient_id = 'caf\xe9'\n")
    (tmp_path / "no.toml").write_bytes(b"[auth\n")
    assert run("ingest", lines, "--store", "s").code == 0
    export = ("export", "turns", "--to", "x.csv", "--store", "s", "--where")
    for words, code, arguments in (
        ("something else follows its data", 1, ("ingest", tmp_path / "more.jsonl.gz")),
        ("does not fit its checksum", 1, ("ingest", tmp_path / "crc.jsonl.gz")),
        ("'banana' is not one of", 2, ("ingest", lines, "--on-conflict", "banana")),
        ("'banana' is not one of", 2, ("ingest", lines, "--format", "banana")),
        ("give the file", 2, ("ingest", "-", "--format", "parquet")),
        ("not UTF-8 text", 2, ("dashboard", "--sign-in", tmp_path / "latin.toml")),
        ("not TOML", 2, ("dashboard", "--sign-in", tmp_path / "no.toml")),
        ("cannot be used", 2, (*export, "song = 1")),
        ("cannot be used", 2, (*export, "x =")),
        ("cannot be used", 2, (*export, "turn_id = 1 + ")),
        ("cannot be used", 2, (*export, "turn_index = 'x'")),
        ("cannot be used", 2, (*export, "nothing(turn_id)")),
    ):
        ran = run(*arguments)
        must_fail(ran, words, code=code)
        sentence = ran.err.removeprefix("Error: ")
        assert not [raw for raw in RAW if raw in sentence], sentence
    assert "--format parquet" in run("ingest", "-", "--format", "parquet").err


def test_an_empty_path_is_not_the_current_folder(run: Run, tmp_path: Path) -> None:
    write_lines(Path("a.jsonl"), [trace()])
    assert run("ingest", ".", "--store", tmp_path / "s").code == 0
    for arguments in (
        ("ingest", ""),
        ("ingest", "a.jsonl", ""),
        ("ingest", "a.jsonl", "--store", ""),
        ("info", "--store", ""),
        ("annotate", "", "--store", tmp_path / "s"),
        ("export", "turns", "--to", "", "--store", tmp_path / "s"),
        ("report", "--to", "", "--store", tmp_path / "s"),
        ("demo-data", "--to", ""),
        ("demo", "--to", ""),
    ):
        must_fail(run(*arguments), "path is empty", code=2)
    assert not Path("HEAD.json").exists()


def test_one_of_a_thing_is_singular(run: Run, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [trace(odd=1), b"{bad"])
    said = run("ingest", path, "--store", "s").out
    for words in ("1 turn,", "1 line was quarantined", "1 record."):
        assert words in said
    said = run("ingest", write_lines(path, [trace("x"), trace("y"), *[b"{bad"] * 2])).out
    assert "2 turns," in said
    assert "2 lines were quarantined" in said
    row = {"turn_id": "t1", "annotator": "ada", "failure_point": "asr"}
    said = run("annotate", write_lines(tmp_path / "n.jsonl", [row]), "--store", "s").out
    assert "1 annotation\n" in said
