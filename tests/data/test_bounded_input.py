"""What a hostile, damaged or odd file can do: a reason in quarantine, a count, or one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data.errors import IngestError
from data.ingest.block import Block, Limits
from data.ingest.folders import log_files
from data.ingest.ingest import FileReport, IngestReport, ingest
from data.store.store import Store
from tests.logs import trace, write_lines

ROOT = Path(__file__).parents[2]
LINE = json.dumps(trace("a")).encode() + b"\n"
WHEN = datetime(2024, 5, 1, 9, 30, tzinfo=UTC)
SECRET = "secretpassword"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """An empty store, for files of which nothing is stored."""
    return Store.create(tmp_path_factory.mktemp("untouched") / "store")


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        records: list[dict[str, Any]] = snapshot.query(sql).to_pylist()
    return records


def take(store: Store, path: Path, **options: Any) -> FileReport:
    return ingest(store, [path], **options).files[0]


def refusal(store: Store, path: Path, **options: Any) -> str:
    """The sentence with which a file is refused; nothing is stored then."""
    before = store.head()
    with pytest.raises(IngestError) as caught:
        ingest(store, [path], **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert "Traceback" not in sentence
    assert store.head() == before
    return sentence


def said_or_read(store: Store, path: Path) -> str | FileReport:
    """The sentence with which a file is refused, or the report if it is not."""
    try:
        return take(store, path)
    except IngestError as error:
        return str(error)


def packed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    return zstandard.compress(data) if suffix == ".zst" else data


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", ["", ".gz", ".zst"])
def test_a_line_that_is_too_long_is_quarantined_and_the_rest_is_read(
    store: Store, tmp_path: Path, pack: str
) -> None:
    long = json.dumps(trace("long", user_id="u" * 2_000)).encode() + b"\n"
    edge = json.dumps(trace("edge")).encode()
    edge = edge[:-1] + b" " * (1_000 - len(edge)) + b"}\n"
    data = LINE + long + edge + b" " * 1_500 + b"\n" + LINE.replace(b'"a"', b'"b"') + long[:-1]
    path = tmp_path / f"log.jsonl{pack}"
    path.write_bytes(packed(data, pack))
    report = take(store, path, limits=Limits(longest_line=1_000))
    assert (report.turns, report.quarantined) == (3, 3)
    found = rows(store, "SELECT line, field, reason FROM quarantine ORDER BY line")
    assert [row["line"] for row in found] == [2, 4, 6]
    assert {(r["field"], r["reason"]) for r in found} == {
        ("", "longer than 1,000 bytes; --longest-line allows more")
    }


def test_a_row_of_parquet_that_is_too_long_is_quarantined(store: Store, tmp_path: Path) -> None:
    columns = table(3).append_column("user_id", pa.array(["u", "u" * 5_000, "v"]))
    path = tmp_path / "rows.parquet"
    pq.write_table(columns, path)
    report = take(store, path, limits=Limits(longest_line=1_000))
    assert (report.turns, report.quarantined) == (2, 1)
    (row,) = rows(store, "FROM quarantine")
    assert "longer than 1,000 bytes" in row["reason"]


@pytest.mark.parametrize("pack", [".gz", ".zst"])
def test_what_expands_too_far_is_cut_there_and_says_so(
    store: Store, tmp_path: Path, pack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.BLOCK", 32 << 10)
    good = b"".join(LINE.replace(b'"a"', b'"a%d"' % n) for n in range(50))
    path = tmp_path / f"bomb.jsonl{pack}"
    path.write_bytes(packed(good + b"\n" * (2 << 20), pack))
    report = take(store, path, limits=Limits(expansion=20, expansion_from=256 << 10))
    assert (report.turns, report.quarantined) == (50, 1)
    (row,) = rows(store, "FROM quarantine")
    assert row["reason"].startswith("expands to more than 20 times its size")
    assert "--most-expansion" in row["reason"]
    # A log that is merely repetitive is no such file.
    assert take(store, path, limits=Limits(expansion=1_000_000)).quarantined == 0


def test_parquet_that_expands_too_far_is_refused_or_cut(store: Store, tmp_path: Path) -> None:
    count, limits = 20_000, Limits(expansion=20, expansion_from=2 << 20)
    same = table(count, turn_index=pa.array([0] * count), note=pa.array(["x" * 100] * count))
    path = tmp_path / "bomb.parquet"
    # The footer tells it.
    pq.write_table(same, path, compression="zstd", use_dictionary=False)
    assert "expands to more than 20 times its size" in refusal(store, path, limits=limits)
    # Texts that repeat are stored once, so that it is seen only when they are read.
    few = pa.array(["t0"] * count)
    pq.write_table(same.set_column(0, "turn_id", few), path, compression="zstd")
    report = take(store, path, limits=limits)
    assert (report.turns, report.quarantined) == (1, 1)
    (row,) = rows(store, "FROM quarantine")
    assert row["reason"].startswith("expands to more than 20 times its size")


BARE = """
import re, sys
from pathlib import Path
from data.ingest.ingest import ingest
from data.store.store import Store
folder = Path(sys.argv[1])
report = ingest(Store.create(folder / "store"), [folder / "bare.jsonl"], workers=1).files[0]
# Not `ru_maxrss`, which a process inherits from the one that started it.
status = Path("/proc/self/status").read_text()
print(report.turns, report.quarantined, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) >> 10)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_a_block_of_bare_objects_stays_small(tmp_path: Path) -> None:
    (tmp_path / "bare.jsonl").write_bytes(LINE + b"{}\n" * ((16 << 20) // 3))
    ran = subprocess.run(
        [sys.executable, "-c", BARE, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    turns, quarantined, peak = map(int, ran.stdout.split())
    assert (turns, quarantined) == (1, (16 << 20) // 3)
    assert peak < 600


# -- files that are none ---------------------------------------------------------------------------


def zipped() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("log.jsonl", LINE)
    return sink.getvalue()


def lz4() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(LINE * 50)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl.bz2", bz2.compress(LINE), "is a bzip2 file; unpack it first"),
        ("a.jsonl", bz2.compress(LINE), "is a bzip2 file; unpack it first"),
        ("a.jsonl.xz", lzma.compress(LINE), "is an xz file; unpack it first"),
        ("a.jsonl.lzma", lzma.compress(LINE, lzma.FORMAT_ALONE), "is an lzma file"),
        ("a.jsonl.zip", zipped(), "is a zip archive"),
        ("a.jsonl.lz4", lz4(), "is an lz4 file"),
        ("a.jsonl.br", b"\x8b\x02\x80{}\x03", "is a brotli file"),
        ("a.jsonl.gz", gzip.compress(bz2.compress(LINE)), "is a bzip2 file"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(LINE)), "was packed twice"),
        ("a.jsonl", b"%PDF-1.7\n%" + bytes(300), "is a PDF"),
        ("a.jsonl", b"SQLite format 3\0" + bytes(300), "is an SQLite database"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(300), "binary data"),
        ("a.jsonl", LINE.decode().encode("utf-16"), "is UTF-16 text"),
        ("a.jsonl", LINE.decode().encode("utf-16-le"), "is UTF-16LE text"),
        ("a.jsonl", LINE.decode().encode("utf-16-be"), "is UTF-16BE text"),
        ("a.jsonl", LINE.decode().encode("utf-32"), "is UTF-32 text"),
        ("a.json", b"\xef\xbb\xbf[" + LINE.strip() + b"]", "is a JSON array"),
        ("a.json", b"[\r\n  " + LINE + b"]", "is a JSON array"),
        ("a.json", b"[]", "is a JSON array"),
    ],
)
def test_other_files_are_refused_in_one_sentence(
    untouched: Store, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in refusal(untouched, tmp_path / name)
    # In a folder as well.
    assert words in refusal(untouched, tmp_path)


def test_marks_and_line_ends_of_windows_are_read(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    second = LINE.replace(b'"a"', b'"b"')
    path.write_bytes(b"\xef\xbb\xbf" + LINE[:-1] + b"\r\n\xef\xbb\xbf" + second[:-1] + b"\r\n\r\n")
    report = take(store, path)
    assert (report.turns, report.quarantined) == (2, 0)


# -- Parquet ---------------------------------------------------------------------------------------


def table(count: int = 2, **columns: Any) -> pa.Table:
    """Traces as a table; columns replace or join those required."""
    known: dict[str, Any] = {
        "turn_id": pa.array([f"t{n}" for n in range(count)]),
        "dialogue_id": pa.array(["d"] * count),
        "turn_index": pa.array(range(count), pa.int32()),
        "started_at": pa.array([WHEN] * count, pa.timestamp("us", "UTC")),
    }
    return pa.table({**known, **columns})


def struct(**fields: Any) -> pa.Array[Any]:
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields))


_TIMES = [WHEN.replace(tzinfo=None)] * 2
READ: dict[str, tuple[dict[str, Any], str, list[Any]]] = {
    "dictionary": (
        {"assistant": pa.array(["x", "y"]).dictionary_encode()}, "assistant", ["x", "y"]),
    "dictionary of ids": (
        {"turn_id": pa.array(["t0", "t1"]).dictionary_encode()}, "turn_id", ["t0", "t1"]),
    "dictionary in a list": (
        {"asr": struct(hypotheses=pa.ListArray.from_arrays(
            [0, 1, 2], struct(text=pa.array(["go", "go"]).dictionary_encode())))},
        "asr.hypotheses[1].text", ["go", "go"]),
    "large text": ({"user_id": pa.array(["x", None], pa.large_string())}, "user_id", ["x", None]),
    "text view": ({"user_id": pa.array(["x", None], pa.string_view())}, "user_id", ["x", None]),
    "bytes": ({"user_id": pa.array([b"x", None])}, "user_id", ["x", None]),
    "duration": (
        {"asr": struct(audio_ms=pa.array([timedelta(seconds=2), None], pa.duration("us")))},
        "asr.audio_ms", [2_000.0, None]),
    "decimal": (
        {"asr": struct(latency_ms=pa.array([Decimal("1.50"), None]))},
        "asr.latency_ms", [1.5, None]),
    "decimal id": (
        {"user_id": pa.array([Decimal("15"), None])}, "user_id", ["15", None]),
    "half": ({"tts": struct(latency_ms=pa.array([1.5, 2.0], pa.float16()))}, "tts.latency_ms",
             [1.5, 2.0]),
    "numbers for ids": ({"user_id": pa.array([7, None])}, "user_id", ["7", None]),
    "ids with NaN": ({"user_id": pa.array([7.0, float("nan")])}, "user_id", ["7", None]),
    "whole with NaN": (
        {"turn_index": pa.array([0.0, 1.0])}, "turn_index", [0, 1]),
    "all NaN for a record": ({"wake": pa.array([float("nan")] * 2)}, "wake", [None, None]),
    "all null": ({"wake": pa.nulls(2)}, "wake", [None, None]),
    "nanoseconds": (
        {"started_at": pa.array(_TIMES, pa.timestamp("ns", "UTC"))}, "started_at", [WHEN] * 2),
    "another zone": (
        {"started_at": pa.array(_TIMES, pa.timestamp("ms", "Europe/Berlin"))},
        "started_at", [WHEN] * 2),
    "large list": (
        {"result": struct(items=pa.array([["x"], None], pa.large_list(pa.string())))},
        "result.items", [["x"], None]),
    "signals": (
        {"asr": struct(signals=pa.array([[("a", 1.0)], [("a", float("nan"))]],
                                        pa.map_(pa.string(), pa.float64())))},
        "asr.signals['a']", [1.0, None]),
}  # fmt: skip


def tables() -> list[list[str]]:
    """The cases of `READ`, in as few tables as have no column twice."""
    shared: list[list[str]] = []
    for what, (columns, _, _) in READ.items():
        for cases in shared:
            if not any(columns.keys() & READ[case][0].keys() for case in cases):
                cases.append(what)
                break
        else:
            shared.append([what])
    return shared


@pytest.mark.parametrize("cases", tables(), ids=", ".join)
def test_columns_as_programs_write_them_are_read(
    store: Store, tmp_path: Path, cases: list[str]
) -> None:
    columns: dict[str, Any] = {}
    for what in cases:
        columns |= READ[what][0]
    pq.write_table(table(**columns), tmp_path / "a.parquet")
    report = take(store, tmp_path / "a.parquet")
    assert (report.turns, report.quarantined, report.unknown) == (2, 0, {})
    for what in cases:
        _, sql, expected = READ[what]
        found = rows(store, f"SELECT {sql} AS value FROM turns ORDER BY turn_id")
        assert [row["value"] for row in found] == expected, what


UNKNOWN: dict[str, tuple[pa.Array[Any], str]] = {
    "date": (pa.array([date(2024, 5, 1)] * 2), "2024-05-01"),
    "time": (pa.array([time(9, 30)] * 2), "09:30:00"),
    "decimal": (pa.array([Decimal("1.5")] * 2), "1.5"),
    "duration": (pa.array([timedelta(seconds=2)] * 2), "00:00:02"),
    "dictionary": (pa.array(["x", "x"]).dictionary_encode(), "x"),
    "bytes": (pa.array([b"x", b"x"]), "x"),
    "NaN": (pa.array([float("nan")] * 2), "null"),
}


def test_columns_of_its_own_are_kept(store: Store, tmp_path: Path) -> None:
    columns: dict[str, Any] = {name: column for name, (column, _) in UNKNOWN.items()}
    pq.write_table(table(**columns), tmp_path / "a.parquet")
    report = take(store, tmp_path / "a.parquet")
    assert (report.turns, report.quarantined) == (2, 0)
    assert report.unknown == dict.fromkeys(UNKNOWN, 2)
    extra = json.loads(rows(store, "FROM turns")[0]["extra"])
    for name, (_, expected) in UNKNOWN.items():
        assert expected in json.dumps(extra[name]), name


REFUSED: dict[str, tuple[pa.Table, str]] = {
    "time for a number": (
        table(asr=struct(latency_ms=pa.array([time(9), None]))), "'asr.latency_ms' of type time64"),
    "date for a number": (
        table(asr=struct(latency_ms=pa.array([date(2024, 5, 1), None]))), "expected a number"),
    "time for started_at": (
        table(started_at=pa.array([time(9, 30)] * 2)), "expected times with their zone"),
    "number for started_at": (
        table(started_at=pa.array([1.7e9] * 2)), "expected times with their zone"),
    "date for started_at": (table(started_at=pa.array([date(2024, 5, 1)] * 2)), "'started_at'"),
    "bytes that are no text": (table(user_id=pa.array([b"\xff\xfe", None])), "text in UTF-8"),
    "zero rows": (table(0), "is empty"),
    "no columns": (pa.table({}), "is empty|no columns"),
    "two of one name": (
        pa.Table.from_arrays([*table().columns, table()["turn_id"]],
                             names=[*table().column_names, "turn_id"]), "2 columns named"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_tables_that_cannot_be_traces_are_refused(
    untouched: Store, tmp_path: Path, what: str
) -> None:
    columns, words = REFUSED[what]
    pq.write_table(columns, tmp_path / "a.parquet")
    sentence = refusal(untouched, tmp_path / "a.parquet")
    assert any(part in sentence for part in words.split("|")), sentence


def test_columns_that_differ_in_case_are_two(store: Store, tmp_path: Path) -> None:
    pq.write_table(table(Turn_ID=pa.array(["x", "y"])), tmp_path / "a.parquet")
    report = take(store, tmp_path / "a.parquet")
    assert (report.turns, report.quarantined, report.unknown) == (2, 0, {"Turn_ID": 2})
    found = rows(store, "SELECT turn_id, extra FROM turns ORDER BY turn_id")
    assert found[0] == {"turn_id": "t0", "extra": '{"Turn_ID":"x"}'}


def test_damaged_parquet_is_refused_wherever_the_damage_is(store: Store, tmp_path: Path) -> None:
    columns = table(2_000, user_id=pa.array([f"user {n * 7919}" for n in range(2_000)]))
    sink = io.BytesIO()
    pq.write_table(columns, sink, row_group_size=500)
    whole = sink.getvalue()
    path = tmp_path / "a.parquet"
    for size in (3, 4, 8, 12, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "Parquet" in refusal(store, path)
    for start in range(4, len(whole) - 8, len(whole) // 8):
        path.write_bytes(whole[:start] + b"\xff" * 40 + whole[start + 40 :])
        outcome = said_or_read(store, path)
        if isinstance(outcome, str):
            assert "\n" not in outcome
        else:
            # What cannot be told from data is data; no row is lost without a word.
            assert outcome.turns + outcome.quarantined == 2_000


# -- links and pipes -------------------------------------------------------------------------------


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder with a log, and one outside it with a secret."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "shadow").write_text(f"root:{SECRET}:1\n")
    write_lines(outside / "other.jsonl", [trace("other")])
    folder = tmp_path / "logs"
    folder.mkdir()
    write_lines(folder / "a.jsonl", [trace("a")])
    return folder


def names(report: IngestReport) -> list[str]:
    return [Path(file.file).name for file in report.files]


def test_links_out_of_a_folder_are_not_followed(store: Store, logs: Path) -> None:
    outside = logs.parent / "outside"
    (logs / "b.jsonl").symlink_to(outside / "shadow")
    (logs / "c.jsonl").symlink_to(outside / "other.jsonl")
    (logs / "deep").symlink_to(outside)
    (logs / "up").symlink_to("..")
    (logs / "chain.jsonl").symlink_to(logs / "c.jsonl")
    (logs / "gone.jsonl").symlink_to(outside / "nothing.jsonl")
    report = ingest(store, [logs])
    assert names(report) == ["a.jsonl"]
    assert SECRET not in repr(report)
    passed_over = {skipped.path.name: skipped.reason for skipped in report.skipped}
    assert passed_over.keys() == {
        "b.jsonl", "c.jsonl", "chain.jsonl", "deep", "gone.jsonl", "up"}  # fmt: skip
    assert set(passed_over.values()) == {"a link that leads out of the folder"}
    assert not report.unread
    assert rows(store, "SELECT turn_id FROM turns") == [{"turn_id": "a"}]


def test_links_within_a_folder_stand_for_one_file(store: Store, logs: Path) -> None:
    (logs / "link.jsonl").symlink_to("a.jsonl")
    (logs / "plain").write_bytes(LINE.replace(b'"a"', b'"b"'))
    (logs / "b.jsonl").symlink_to("plain")
    (logs / "loop.jsonl").symlink_to("loop.jsonl")
    (logs / "self").symlink_to(".")
    report = ingest(store, [logs])
    assert sorted(names(report)) == ["a.jsonl", "plain"]
    assert {skipped.path.name: skipped.reason for skipped in report.skipped} == {
        "loop.jsonl": "a link that leads to itself"}  # fmt: skip
    assert report.turns == 2


def test_the_folder_itself_may_be_a_link(store: Store, logs: Path) -> None:
    link = logs.parent / "current"
    link.symlink_to(logs)
    assert ingest(store, [link]).turns == 1


def test_no_error_shows_a_line_behind_a_link(untouched: Store, logs: Path) -> None:
    shadow = logs.parent / "outside" / "shadow"
    for name in ("given.jsonl", "given.parquet"):
        (logs.parent / name).symlink_to(shadow)
        assert SECRET not in refusal(untouched, logs.parent / name)
    alone = logs.parent / "alone"
    alone.mkdir()
    (alone / "x.jsonl").symlink_to(shadow)
    sentence = refusal(untouched, alone)
    assert SECRET not in sentence
    assert "a link that leads out of the folder" in sentence
    # A folder on the way to it is a link as well as the file is.
    (logs.parent / "way").symlink_to(shadow.parent)
    assert SECRET not in refusal(untouched, logs.parent / "way" / "shadow")
    # And so is one of which the log is found.
    (shadow.parent / "shadow.jsonl").write_text(f"root:{SECRET}:1\n")
    (shadow.parent / "other.jsonl").unlink()
    pq.write_table(pa.table({SECRET: [1]}), shadow.parent / "shadow.parquet")
    for given in (logs.parent / "way", logs.parent / "way" / "shadow.parquet"):
        assert SECRET not in refusal(untouched, given)
    # Where nothing is linked, it helps to see it.
    assert SECRET in refusal(untouched, shadow.parent / "shadow.jsonl")


def test_pipes_and_devices_are_passed_over(store: Store, logs: Path) -> None:
    os.mkfifo(logs / "pipe.jsonl")
    (logs / "zero.jsonl").symlink_to("/dev/zero")
    assert [path.name for path in log_files(logs)[0]] == ["a.jsonl"]
    (logs / "gone.jsonl").symlink_to("nothing.jsonl")
    (logs / "latest").symlink_to("run-7")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(logs / "s.jsonl"))
        report = ingest(store, [logs])
    assert report.turns == 1
    assert not report.unread
    assert {skipped.path.name: skipped.reason for skipped in report.skipped} == {
        "pipe.jsonl": "a named pipe",
        "s.jsonl": "a socket",
        "gone.jsonl": "a link that leads nowhere",
        "latest": "a link that leads nowhere",
        "zero.jsonl": "a link that leads out of the folder",
    }


def test_what_cannot_be_read_in_a_folder_is_an_error(logs: Path) -> None:
    closed = {"folder": 0o000, "entries": 0o600}
    for name in closed:
        (logs / name).mkdir()
        write_lines(logs / name / "b.jsonl", [trace(name)])
    write_lines(logs / "file.jsonl", [trace("file")]).chmod(0o000)
    command = [sys.executable, "-m", "cli", "ingest", str(logs), "--store", str(logs.parent / "s")]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read everything")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    for name, mode in closed.items():
        (logs / name).chmod(mode)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    finally:
        for name in closed:
            (logs / name).chmod(0o755)
    assert done.returncode == 1
    assert "a.jsonl: 1 turn (" in done.stdout
    for path in (logs / "folder", logs / "entries" / "b.jsonl", logs / "file.jsonl"):
        (line,) = [line for line in done.stderr.splitlines() if str(path) in line]
        assert "cannot be read" in line
    assert "Traceback" not in done.stderr


# -- numbers and locales ---------------------------------------------------------------------------


def test_what_is_no_number_is_missing_and_counted(store: Store, tmp_path: Path) -> None:
    words = ["NaN", "Infinity", "-Infinity", '"NaN"', '"-Infinity"']
    lines = [
        json.dumps(trace(f"t{n}", asr={"hypotheses": [], "latency_ms": "?",
                                       "signals": {"snr": "?", "b": 1}})
                   ).encode().replace(b'"?"', word.encode())
        for n, word in enumerate(words)
    ]  # fmt: skip
    report = take(store, write_lines(tmp_path / "a.jsonl", lines))
    assert (report.turns, report.quarantined) == (5, 0)
    assert report.not_numbers == {"asr.latency_ms": 5, "asr.signals.snr": 5}
    found = rows(store, "SELECT asr.latency_ms AS ms, asr.signals AS signals FROM turns")
    assert found == [{"ms": None, "signals": [("b", 1.0), ("snr", None)]}] * 5
    assert rows(store, 'SELECT sum("values")::INT AS n FROM left_out') == [{"n": 10}]


def test_parquet_and_json_count_alike(store: Store, tmp_path: Path) -> None:
    values = [float("nan"), float("inf"), float("-inf")]
    records = [
        trace(f"j{n}", asr={"hypotheses": [], "latency_ms": value, "signals": {"snr": value}})
        for n, value in enumerate(values)
    ]
    from_json = take(store, write_lines(tmp_path / "a.jsonl", records))
    signals = pa.array([[("snr", v)] for v in values], pa.map_(pa.string(), pa.float64()))
    asr = struct(latency_ms=pa.array(values), signals=signals)
    pq.write_table(table(3, asr=asr), tmp_path / "a.parquet")
    from_parquet = take(store, tmp_path / "a.parquet")
    assert from_json.not_numbers == {"asr.latency_ms": 3, "asr.signals.snr": 3}
    assert from_parquet.not_numbers == from_json.not_numbers
    found = rows(store, "SELECT asr.latency_ms AS ms, asr.signals['snr'] AS snr FROM turns")
    assert found == [{"ms": None, "snr": None}] * 6


def test_an_absurd_number_is_dropped_and_counted_and_the_turn_stays(
    store: Store, tmp_path: Path
) -> None:
    values = [1.797e308, -5.0, 1.7e12, -(10**20), 10**309, 10**400, 12]
    report = take(store, write_lines(tmp_path / "a.jsonl", [
        trace(f"t{n}", asr={"hypotheses": [{"text": "go"}], "latency_ms": value})
        for n, value in enumerate(values)
    ]))  # fmt: skip
    assert (report.turns, report.quarantined) == (7, 0)
    dropped = Counter(report.out_of_range) + Counter(report.not_numbers)
    assert dropped == {"asr.latency_ms": 6}
    assert report.out_of_range["asr.latency_ms"] >= 4
    found = rows(store, "SELECT asr.latency_ms AS ms FROM turns ORDER BY turn_id")
    assert [row["ms"] for row in found] == [*[None] * 6, 12.0]


def test_a_corrected_file_takes_back_its_counts(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    take(store, write_lines(path, [trace("a", tts={"latency_ms": 1.797e308})]))
    assert rows(store, "SELECT field, cause FROM left_out") == [
        {"field": "tts.latency_ms", "cause": "out of range"}]  # fmt: skip
    take(store, write_lines(path, [trace("a", tts={"latency_ms": 3})]))
    assert rows(store, "FROM left_out") == []


@pytest.mark.parametrize("parquet", [False, True])
def test_a_confidence_is_rounded_onto_its_bounds_and_no_further(
    store: Store, tmp_path: Path, parquet: bool
) -> None:
    stored = {1 + 2**-52: 1.0, 1 + 1e-7: 1.0, -1e-9: 0.0, 1.0: 1.0, 0.25: 0.25}
    refused = [87.0, 1.01, -0.5]
    values = [*stored, *refused]
    asr = [{"hypotheses": [{"text": "go", "confidence": value}]} for value in values]
    path = tmp_path / "a.jsonl"
    if parquet:
        path = tmp_path / "a.parquet"
        pq.write_table(table(len(values), asr=pa.array(asr)), path)
    else:
        write_lines(path, [trace(f"t{n}", asr=part) for n, part in enumerate(asr)])
    report = take(store, path)
    assert (report.turns, report.quarantined, report.out_of_range) == (5, 3, {})
    found = rows(store, "SELECT asr.hypotheses[1].confidence AS c FROM turns ORDER BY turn_id")
    assert [row["c"] for row in found] == list(stored.values())
    faults = rows(store, "FROM quarantine ORDER BY line")
    assert {row["field"] for row in faults} == {"asr.hypotheses[0].confidence"}
    assert faults[0]["reason"] == (
        "expected a number in [0, 1], got 87.0; divide a percentage by 100"
    )


def test_locales_are_written_in_one_way(store: Store, tmp_path: Path) -> None:
    spelled = {
        "en_US": "en-US", "EN-us": "en-US", "en-US": "en-US", "de_DE.UTF-8@euro": "de-DE",
        "zh-hant-tw": "zh-Hant-TW", "iw": "he", "de": "de", " fr_CA ": "fr-CA",
        # What is not known stays as it is.
        "klingon": "klingon", "default": "default", "en-US-": "en-US-", "": "", "日本": "日本",
        "x" * 5_000: "x" * 5_000, "C.UTF-8": "C.UTF-8",
    }  # fmt: skip
    records = [trace(f"t{n:02}", locale=given) for n, given in enumerate(spelled)]
    take(store, write_lines(tmp_path / "a.jsonl", records))
    found = rows(store, "SELECT locale FROM turns ORDER BY turn_id")
    assert [row["locale"] for row in found] == list(spelled.values())


# -- a line that is odd in depth -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xef\xbb\xbf" * 1_000 + b"{", "ends in the middle"),
        (b'{"turn_id": "b", "asr": "{\\"x\\": \\"\\\\ud800\\"}"}', "not valid Unicode"),
    ],
    ids=["byte order marks", "half a surrogate pair in a text"],
)
def test_an_odd_line_stops_no_other(store: Store, tmp_path: Path, line: bytes, reason: str) -> None:
    (tmp_path / "odd.jsonl").write_bytes(line + b"\n" + LINE)
    write_lines(tmp_path / "good.jsonl", [trace("c")])
    report = ingest(store, [tmp_path / "odd.jsonl", tmp_path / "good.jsonl"])
    assert [(file.turns, file.quarantined) for file in report.files] == [(1, 1), (1, 0)]
    assert reason in rows(store, "FROM quarantine")[0]["reason"]


def test_a_file_that_is_truncated_while_it_is_read_is_refused_as_a_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.BLOCK", 1_000)
    path = write_lines(tmp_path / "log.jsonl", [trace(f"t{i}") for i in range(100)])
    whole, load, taken = path.read_bytes(), Block.load, 0

    def rotated(self: Block) -> bytes:
        nonlocal taken
        taken += 1
        if taken == 2:
            path.write_bytes(whole[:500])
        return load(self)

    monkeypatch.setattr(Block, "load", rotated)
    assert "has become shorter" in refusal(store, path)


def test_a_file_that_is_named_twice_is_read_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = write_lines(folder / "a.jsonl", [trace("a")])
    monkeypatch.chdir(tmp_path)
    report = ingest(store, [folder, path, Path("logs/a.jsonl"), "logs"])
    assert [file.turns for file in report.files] == [1]


def test_wide_turns_become_several_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.sources.BLOCK", 100_000)
    monkeypatch.setattr("data.ingest.upsert._FILE_BYTES", 1 << 20)
    wide = [trace(f"t{i}", result={"response": f"{i}" * 200_000}) for i in range(12)]
    take(store, write_lines(tmp_path / "log.jsonl", wide))
    assert len(list((store.path / "turns").rglob("*.parquet"))) > 1
    assert rows(store, "SELECT count(*) AS n FROM turns") == [{"n": 12}]
