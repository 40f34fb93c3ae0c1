"""Ingestion: valid lines are stored, faulty ones explained, files ingested completely or not."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data.errors import IngestError, UsageError
from data.ingest.ingest import ingest
from data.ingest.sources import blocks, discover
from data.schema.tables import PREDICTIONS
from data.store.predictions import commit_predictions
from data.store.store import Store
from tests.logs import trace, write_lines


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        records: list[dict[str, Any]] = snapshot.query(sql).to_pylist()
    return records


def take(store: Store, tmp_path: Path, *records: Any, name: str = "log.jsonl") -> Any:
    """Ingest records as one file; returns its report."""
    return ingest(store, [write_lines(tmp_path / name, list(records))]).files[0]


# -- good input ------------------------------------------------------------------------------------


def test_a_record_is_stored_as_it_was(store: Store, tmp_path: Path) -> None:
    record = trace(
        "t1",
        started_at="2024-05-01T01:30:00.123456+02:00",
        device={"type": "phone", "has_screen": True, "state": {"oven": "on", "tv": None}},
        asr={"hypotheses": [{"text": "play", "confidence": 1}, {"text": "pray"}], "audio_ms": 900,
             "signals": {"snr": 12, "beam": None}},
        nlu={"hypotheses": [{"intent": "play", "slots": [{"name": "n", "value": 3},
             {"name": "b", "value": True}, {"name": "f", "value": 0.5}, {"name": "z"}]}]},
        result={"status": "ok", "items": ["plain", {"b": 1, "a": [1, None]}, 7, None], "acts": []},
        gold={"addressed": True, "entities": {"song": "id-1"}},
    )  # fmt: skip
    take(store, tmp_path, record)
    (row,) = rows(store, "FROM turns")
    assert row["started_at"] == datetime(2024, 4, 30, 23, 30, 0, 123456, tzinfo=UTC)
    assert row["day"] == date(2024, 4, 30)
    assert row["device"]["state"] == [("oven", "on"), ("tv", None)]
    assert row["asr"]["hypotheses"] == [
        {"text": "play", "confidence": 1.0}, {"text": "pray", "confidence": None}]  # fmt: skip
    assert row["asr"]["signals"] == [("beam", None), ("snr", 12.0)]
    slots = row["nlu"]["hypotheses"][0]["slots"]
    assert [slot["value"] for slot in slots] == ["3", "true", "0.5", None]
    assert row["result"]["items"] == ["plain", '{"a":[1,null],"b":1}', "7", None]
    assert row["result"]["acts"] == []
    assert row["wake"] is None
    assert row["gold"]["entities"] == [("song", "id-1")]
    assert row["extra"] is None


def test_unknown_fields_are_kept_and_counted_by_path(store: Store, tmp_path: Path) -> None:
    report = take(
        store,
        tmp_path,
        trace("a", lattice={"x": [1]}, asr={"hypotheses": [{"text": "t"}, {"text": "u", "lm": 2}]}),
        trace("b", lattice=None, nlu={"hypotheses": [{"slots": [{"name": "s", "span": [0, 3]}]}]}),
    )
    assert report.unknown == {
        "lattice": 2, "asr.hypotheses[].lm": 1, "nlu.hypotheses[].slots[].span": 1}  # fmt: skip
    first, second = rows(store, "SELECT extra FROM turns ORDER BY turn_id")
    assert json.loads(first["extra"]) == {"lattice": {"x": [1]}, "asr.hypotheses[1].lm": 2}
    assert json.loads(second["extra"]) == {
        "lattice": None, "nlu.hypotheses[0].slots[0].span": [0, 3]}  # fmt: skip


@pytest.mark.parametrize(
    "text", ["naïve 日本 🎵", "nul \u0000 byte", "quote \" \\ '", "\u2028 \u202e", ""]
)
def test_odd_text_survives(store: Store, tmp_path: Path, text: str) -> None:
    record = trace("t", user_id=text, asr={"hypotheses": [{"text": text}], "signals": {text: 1}},
                   result={"items": [text, {text: text}]}, surprise={text: text})  # fmt: skip
    assert take(store, tmp_path, record).quarantined == 0
    (row,) = rows(store, "FROM turns")
    assert row["user_id"] == row["asr"]["hypotheses"][0]["text"] == text
    assert row["asr"]["signals"] == [(text, 1.0)]
    assert row["result"]["items"][0] == text
    assert json.loads(row["result"]["items"][1]) == {text: text}
    assert json.loads(row["extra"]) == {"surprise": {text: text}}


def test_bom_crlf_and_blank_lines_are_tolerated(store: Store, tmp_path: Path) -> None:
    lines = [json.dumps(trace(name)) for name in "abc"]
    path = tmp_path / "windows.jsonl"
    path.write_bytes(("\ufeff\r\n" + "\r\n\r\n  \r\n".join(lines)).encode())
    report = ingest(store, [path])
    assert (report.turns, report.quarantined) == (3, 0)


def test_the_later_of_two_records_of_a_turn_wins(store: Store, tmp_path: Path) -> None:
    report = take(store, tmp_path, trace("a", user_id="first"), trace("b"),
                  trace("a", user_id="last", started_at="2024-05-01T09:30:00.9Z"))  # fmt: skip
    assert (report.turns, report.replaced) == (2, 0)
    assert rows(store, "SELECT turn_id, user_id FROM turns ORDER BY turn_id") == [
        {"turn_id": "a", "user_id": "last"}, {"turn_id": "b", "user_id": None}]  # fmt: skip


def test_duplicate_keys_and_case_are_taken_as_json_readers_do(store: Store, tmp_path: Path) -> None:
    line = json.dumps(trace("a", Turn_ID="x", asr={"signals": {"A": 1, "a": 2}}))[:-1]
    take(store, tmp_path, (line + ', "turn_id": "b"}').encode())
    (row,) = rows(store, "SELECT turn_id, asr.signals AS signals, extra FROM turns")
    assert row == {"turn_id": "b", "signals": [("A", 1.0), ("a", 2.0)], "extra": '{"Turn_ID":"x"}'}


@pytest.mark.parametrize(
    "when",
    [
        "1960-02-29T12:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2024-05-01t09:30:00z",
    ],
)
def test_odd_dates_are_kept(store: Store, tmp_path: Path, when: str) -> None:
    assert take(store, tmp_path, trace("a", started_at=when)).quarantined == 0
    (row,) = rows(store, "SELECT day::VARCHAR AS day FROM turns")
    assert row["day"] == when[:10]


# -- bad lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({"turn_id": "x"}, "dialogue_id", "required, but missing"),
        (trace(""), "turn_id", "expected text that is not empty"),
        (trace("x", turn_index=-1), "turn_index", "expected a whole number >= 0, got -1"),
        (trace("x", turn_index=3.5), "turn_index", "expected a whole number, got 3.5"),
        (trace("x", turn_index=True), "turn_index", "expected a whole number, got true"),
        (trace("x", turn_index=2**31), "turn_index", "2147483648"),
        (trace("x", started_at="yesterday"), "started_at", "expected a time such as"),
        (trace("x", started_at="2024-05-01T09:30:00"), "started_at", "an offset or Z"),
        (trace("x", started_at="2016-12-31T23:59:61Z"), "started_at", "23:59:61"),
        (trace("x", started_at="0001-01-01T00:00:00+14:00"), "started_at", "outside the years"),
        (trace("x", asr={"hypotheses": [{"text": "a", "confidence": 1.7}]}),
         "asr.hypotheses[0].confidence", "expected a number in [0, 1], got 1.7"),
        (trace("x", er={"mentions": [{}, {"candidates": [{"score": -0.1}]}]}),
         "er.mentions[1].candidates[0].score", "expected a number in [0, 1], got -0.1"),
        (trace("x", wake=[]), "wake", "expected an object, got a list"),
        (trace("x", asr={"signals": {"snr": "high"}}),
         "asr.signals.snr", "expected a number, got 'high'"),
        (trace("x", asr={"hypotheses": [{}]}), "asr.hypotheses[0].text", "required, but missing"),
        (trace("x", result={"status": "fine"}), "result.status", "expected ok or error or"),
        (trace("x", new=1, result={"status": "fine"}), "result.status", "expected ok or error or"),
        (b"[1, 2]", "", "expected a JSON object, got a list"),
        (b'{"turn_id": "x"', "", "ends in the middle"),
        (b'{"turn_id": "\xff"}', "", "not valid UTF-8"),
        (b'{"turn_id": "\\ud800 and more"}', "", "surrogate"),
        (json.dumps(trace("x"))[:-1].encode() + b', "feedback": {"rating": nan}}', "", "not JSON"),
        (json.dumps(trace("x"))[:-1].encode() + b', "deep": ' + b"[" * 5000 + b"]" * 5000 + b"}",
         "", "nested too deeply"),
        (json.dumps(trace("x"))[:-1].encode() + b', "result": {"items": ' + b"[" * 5000
         + b"]" * 5000 + b"}}", "", "nested too deeply"),
    ],
)  # fmt: skip
def test_a_bad_line_is_quarantined_with_field_and_reason(
    store: Store, tmp_path: Path, record: Any, field: str, reason: str
) -> None:
    report = take(store, tmp_path, trace("a"), record, trace("b"))
    assert (report.turns, report.quarantined) == (2, 1)
    (row,) = rows(store, "FROM quarantine")
    assert (row["line"], row["field"]) == (2, field)
    assert reason in row["reason"]
    assert row["file"] == str((tmp_path / "log.jsonl").resolve())
    assert 0 < len(row["excerpt"]) <= 2_000


def test_line_numbers_hold_across_blocks(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.BLOCK", 1_000)
    records: list[Any] = [trace(f"t{n:03}") for n in range(100)]
    records[30], records[77], records[99] = b"\n{bad", b"{bad", b"{bad"
    assert take(store, tmp_path, *records).turns == 97
    # The first bad record has an empty line before it.
    assert [row["line"] for row in rows(store, "SELECT line FROM quarantine ORDER BY 1")] == [
        32,
        79,
        101,
    ]


def test_many_short_lines_are_read_in_small_blocks(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.MOST_LINES", 7)
    path = write_lines(tmp_path / "a.jsonl", [trace("a"), *[b"{}"] * 90, b"", trace("b")])
    assert all(block.data.count(b"\n") <= 7 for block in blocks(discover([path])[0]))
    report = ingest(store, [path])
    assert (report.turns, report.quarantined) == (2, 90)
    numbers = [row["line"] for row in rows(store, "SELECT line FROM quarantine ORDER BY 1")]
    assert numbers == list(range(2, 92))


def test_a_line_without_end_is_quarantined_without_filling_memory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.BLOCK", 1_000)
    monkeypatch.setattr("data.ingest.sources.LONGEST_LINE", 5_000)
    long = trace("long", user_id="u" * 100_000)
    report = take(store, tmp_path, trace("a"), long, trace("b"), long)
    assert (report.turns, report.quarantined) == (2, 2)
    faults = rows(store, "SELECT line, reason, excerpt FROM quarantine ORDER BY line")
    assert [row["line"] for row in faults] == [2, 4]
    assert "longer than" in faults[0]["reason"]
    assert faults[0]["excerpt"].startswith('{"turn_id": "long"')


def test_ingesting_a_corrected_file_clears_its_quarantine(store: Store, tmp_path: Path) -> None:
    take(store, tmp_path, trace("a"), b"{bad")
    take(store, tmp_path, b"{bad", trace("c"), name="other.jsonl")
    take(store, tmp_path, trace("a"), trace("b"))
    (row,) = rows(store, "FROM quarantine")
    assert row["file"].endswith("other.jsonl")


# -- bad files -------------------------------------------------------------------------------------


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"turn_id": ["a"]}), sink)
    return sink.getvalue()


_LINE = json.dumps(trace("a")).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n \n\r\n", "is empty"),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.jsonl", _parquet(), "is a Parquet file"),
        ("a.jsonl", bytes(range(256)) * 9, "binary data"),
        ("a.json", b"turn_id,dialogue_id\n1,2\n", "begins with 'turn_id,dialogue_id'"),
        ("a.json", b"[\n" + _LINE + b"]", "is a JSON array"),
        (
            "a.json",
            json.dumps(trace("a"), indent=1).encode(),
            "none of its 6 lines is a JSON object",
        ),
        ("a.jsonl.gz", gzip.compress(_LINE * 1000, mtime=0)[:-20], "truncated gzip"),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00" + b"x" * 50, "damaged|truncated"),
        ("a.jsonl.zst", zstandard.compress(_LINE * 1000)[:-5], "truncated zstd"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd" + b"x" * 50, "damaged|truncated"),
        ("a.parquet", _LINE, "not a Parquet file"),
        ("a.parquet", _parquet()[:-9], "not a Parquet file"),
        ("a.parquet", _parquet(), "no column 'dialogue_id'"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_changes_nothing(
    store: Store, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    before = store.head()
    with pytest.raises(IngestError, match=message) as caught:
        ingest(store, [tmp_path / name])
    assert "\n" not in str(caught.value)
    assert store.head() == before


def test_folders_are_searched_and_other_files_left_alone(store: Store, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "deep").mkdir(parents=True)
    write_lines(logs / "deep" / "b.jsonl.gz", [trace("b")])
    write_lines(logs / "a.ndjson", [trace("a")])
    (logs / "notes.txt").write_text("nothing")
    (logs / "c.jsonl.zst").write_bytes(zstandard.compress(_LINE.replace(b'"a"', b'"c"')))
    assert [Path(file.file).name for file in ingest(store, [logs]).files] == [
        "a.ndjson", "c.jsonl.zst", "b.jsonl.gz"]  # fmt: skip
    assert rows(store, "SELECT count(*)::INT AS n FROM turns") == [{"n": 3}]


def test_hidden_files_and_folders_are_ignored(store: Store, tmp_path: Path) -> None:
    for name in ("a.jsonl", "_b.jsonl", ".c.jsonl", "_d/e.jsonl", "f/.g/h.jsonl", "_i/j.parquet"):
        (tmp_path / "logs" / name).parent.mkdir(parents=True, exist_ok=True)
        write_lines(tmp_path / "logs" / name, [trace(name)])
    assert ingest(store, [tmp_path / "logs"]).turns == 1
    # The rule is about what is found; what is named is read, wherever it lies.
    assert ingest(store, [tmp_path / "logs" / "_b.jsonl"]).turns == 1
    assert ingest(store, [tmp_path / "logs" / "_d"]).turns == 1
    (tmp_path / "logs" / "a.jsonl").unlink()
    with pytest.raises(IngestError, match=r"holds no traces.*begin"):
        ingest(store, [tmp_path / "logs"])


def test_names_that_are_not_utf8_are_read(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    write_lines(folder / "a.jsonl", [trace("a")])
    row = {"turn_id": "b", "dialogue_id": "d", "turn_index": 0}
    row |= {"started_at": datetime(2024, 5, 1, tzinfo=UTC)}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "b.parquet")
    (tmp_path / "b.parquet").rename(folder / "b.parquet")
    report = ingest(store, [folder])
    assert (report.turns, report.failed) == (2, [])
    assert all("caf\\udce9" in file.file for file in report.files)


def test_a_store_inside_the_folder_is_not_a_log(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    write_lines(tmp_path / "a.jsonl", [trace("a")])
    for _ in range(2):
        assert len(ingest(store, [tmp_path]).files) == 1


def test_one_bad_file_does_not_stop_the_others(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    write_lines(tmp_path / "b.jsonl", [trace("b")])
    report = ingest(store, [tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    assert report.turns == 1
    assert [file.error is not None for file in report.files] == [True, False]


@pytest.mark.parametrize(
    ("paths", "format", "error", "message"),
    [
        (["nowhere.jsonl"], None, IngestError, "does not exist"),
        ([], None, UsageError, "No input"),
        (["-"], "parquet", UsageError, "standard input"),
        (["."], "xml", UsageError, "not one of the input formats"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    store: Store, paths: list[str], format: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ingest(store, paths, format=format)


def test_a_folder_without_traces_is_one_sentence(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(IngestError, match="holds no traces"):
        ingest(store, [tmp_path / "empty"])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_standard_input_may_be_compressed(
    store: Store, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    class Input:
        buffer = io.BytesIO(pack(_LINE))

    monkeypatch.setattr(sys, "stdin", Input)
    assert ingest(store, ["-"]).turns == 1


def _zstd_frame(data: bytes) -> bytes:
    """Without its size in the header, as a program writes that does not know it beforehand."""
    return zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(data)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, _zstd_frame])
def test_members_of_a_compressed_file_are_read_one_after_the_other(
    store: Store, tmp_path: Path, pack: Any
) -> None:
    other = _LINE.replace(b'"a"', b'"b"')
    whole = [pack(_LINE), pack(b""), pack(other[:20]), pack(other[20:])]
    (tmp_path / "whole.jsonl").write_bytes(b"".join(whole))
    assert ingest(store, [tmp_path / "whole.jsonl"]).turns == 2
    for cut in (1, 5, len(whole[-1]) - 2):
        (tmp_path / "cut.jsonl").write_bytes(b"".join(whole)[:-cut])
        with pytest.raises(IngestError, match="truncated"):
            ingest(store, [tmp_path / "cut.jsonl"])
    (tmp_path / "other.jsonl").write_bytes(whole[0] + b"something else")
    with pytest.raises(IngestError, match="damaged"):
        ingest(store, [tmp_path / "other.jsonl"])


@pytest.mark.parametrize("pack", [gzip.compress, _zstd_frame])
def test_a_compressed_file_with_another_checksum_is_damaged(
    store: Store, tmp_path: Path, pack: Any
) -> None:
    packed = bytearray(pack(_LINE))
    packed[-6 if pack is gzip.compress else -1] ^= 1
    (tmp_path / "a.jsonl").write_bytes(packed)
    with pytest.raises(IngestError, match="damaged"):
        ingest(store, [tmp_path / "a.jsonl"])


def test_zeros_after_a_gzip_file_from_a_tape_are_skipped(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(_LINE) + bytes(512))
    assert ingest(store, [tmp_path / "a.jsonl.gz"]).turns == 1


# Not `ru_maxrss`, which a process inherits from the one that started it.
_PEAK = """
import re, sys
from pathlib import Path
from data.errors import IngestError
from data.ingest.ingest import ingest
from data.store.store import Store

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

store = Store.create(sys.argv[1])
ingest(store, [sys.argv[2]])
before = peak()
try:
    ingest(store, [sys.argv[3]])
except IngestError as error:
    print(error)
print((peak() - before) >> 10)
"""


@pytest.mark.parametrize("piece", [b" ", pytest.param(b"\n", marks=pytest.mark.long)])
def test_a_small_file_that_expands_to_a_gigabyte_is_refused_in_little_memory(
    tmp_path: Path, piece: bytes
) -> None:
    first, bomb = tmp_path / "first.jsonl", tmp_path / "bomb.jsonl.zst"
    first.write_bytes(_LINE)
    block = piece * ((1 << 20) // len(piece))
    with bomb.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
        writer.write(b"{}\n")
        for _ in range(1024):
            writer.write(block)
    assert bomb.stat().st_size < 200_000
    command = [sys.executable, "-c", _PEAK, str(tmp_path / "store"), str(first), str(bomb)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    sentence, megabytes = done.stdout.splitlines()
    assert "expands to more than 1,000 times its size" in sentence
    # A block as it is expanded, joined to what was left of the one before, and handed on.
    assert int(megabytes) < 150


# -- Parquet ---------------------------------------------------------------------------------------


def test_parquet_goes_through_the_same_rules(store: Store, tmp_path: Path) -> None:
    table = pa.table(
        {
            "turn_id": ["a", "b", ""],
            "dialogue_id": ["d", "d", "d"],
            "turn_index": [0, 1, 2],
            "started_at": pa.array([datetime(2024, 5, 1, 9, 30, tzinfo=UTC)] * 3),
            "wake": [{"score": 0.5}, {"score": 1.5}, None],
            "wake_model": ["v1", None, None],
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    report = ingest(store, [tmp_path / "log.parquet"]).files[0]
    assert (report.turns, report.quarantined, report.unknown) == (1, 2, {"wake_model": 1})
    assert rows(store, "SELECT line, field FROM quarantine ORDER BY line") == [
        {"line": 2, "field": "wake.score"}, {"line": 3, "field": "turn_id"}]  # fmt: skip
    (row,) = rows(store, "SELECT started_at, wake.score AS score, extra FROM turns")
    assert row["started_at"] == datetime(2024, 5, 1, 9, 30, tzinfo=UTC)
    assert (row["score"], row["extra"]) == (0.5, '{"wake_model":"v1"}')


# -- again and again -------------------------------------------------------------------------------


def test_an_equal_file_is_not_written_again(store: Store, tmp_path: Path) -> None:
    records = [trace("a", gold={"intent": "x"}), trace("b")]
    take(store, tmp_path, *records)
    version = store.head().tables["turns"]
    report = take(store, tmp_path, *records)
    assert (report.turns, report.replaced, report.unchanged) == (2, 0, 2)
    assert store.head().tables["turns"] == version
    assert len(rows(store, "FROM runs")) == 2


@pytest.mark.parametrize("change", [{"user_id": "u"}, {"gold": {"intent": "y"}}, {"more": 1},
                                    {"started_at": "2024-05-01T09:30:00.9Z"}])  # fmt: skip
def test_a_changed_turn_is_replaced(store: Store, tmp_path: Path, change: dict[str, Any]) -> None:
    take(store, tmp_path, trace("a", gold={"intent": "x"}), trace("b"), trace("c"))
    report = take(store, tmp_path, trace("a", **change), trace("b"), trace("d"))
    assert (report.turns, report.replaced, report.unchanged) == (3, 1, 1)
    turns = rows(store, "SELECT turn_id, day::VARCHAR AS day FROM turns ORDER BY turn_id")
    day = change.get("started_at", "2024-05-01")[:10]
    assert [(row["turn_id"], row["day"]) for row in turns] == [
        ("a", day), ("b", "2024-05-01"), ("c", "2024-05-01"), ("d", "2024-05-01")]  # fmt: skip


def test_annotation_does_not_change_the_fingerprint(store: Store, tmp_path: Path) -> None:
    take(store, tmp_path, trace("a"))
    before = rows(store, "SELECT digest FROM turns")
    take(store, tmp_path, trace("a", gold={"intent": "y"}))
    assert rows(store, "SELECT digest FROM turns") == before
    take(store, tmp_path, trace("a", gold={"intent": "y"}, user_id="u"))
    assert rows(store, "SELECT digest FROM turns") != before


def test_a_turn_that_moves_to_another_day_takes_its_prediction_with_it(
    store: Store, tmp_path: Path
) -> None:
    take(store, tmp_path, trace("a"), trace("b"))
    scored = [
        dict.fromkeys(PREDICTIONS.names)
        | {"turn_id": name, "day": date(2024, 5, 1), "failure_point": "asr"}
        for name in "ab"
    ]
    commit_predictions(store, pa.Table.from_pylist(scored, schema=PREDICTIONS), "m")
    path = write_lines(tmp_path / "moved.jsonl", [trace("a", started_at="2024-06-01T00:00:00Z")])
    ingest(store, [path], on_conflict="replace")
    assert rows(store, "SELECT turn_id FROM predictions") == [{"turn_id": "b"}]
    assert rows(store, "SELECT sum(turns)::INT AS n FROM rollup") == [{"n": 1}]


def test_many_runs_do_not_make_many_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.ingest._MANY_FILES", 4)
    for _ in range(6):
        take(store, tmp_path, trace("a"))
    with store.snapshot() as snapshot:
        assert snapshot.counts()["runs"] == 6
        assert len(snapshot.files["runs"]) < 4


def test_progress_is_told(store: Store, tmp_path: Path) -> None:
    told: list[tuple[object, ...]] = []
    path = write_lines(tmp_path / "a.jsonl", [trace("a"), trace("b")])
    ingest(store, [path], progress=lambda *args: told.append(args))
    size = path.stat().st_size
    assert told == [(size, size, str(path), 2)]


def test_processes_do_what_one_process_does(store: Store, tmp_path: Path, corpora: Path) -> None:
    other = Store.create(tmp_path / "other")
    log = [corpora / "slurp.jsonl.gz"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.ingest.ingest._POOL_FROM", 0)
        ingest(store, log, workers=2)
    ingest(other, log, workers=1)
    digests = "SELECT turn_id, digest, day FROM turns ORDER BY turn_id"
    assert rows(store, digests) == rows(other, digests)
    assert len(rows(store, digests)) == 7_835
