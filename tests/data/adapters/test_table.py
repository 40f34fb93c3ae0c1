"""Tables with a mapping: what is proposed, how cells are read, and every way to be wrong."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import IngestError, MappingError
from data.ingest.adapters.adapter import Settings
from data.ingest.adapters.registry import named
from data.ingest.ingest import ingest
from data.ingest.tables import reading
from data.ingest.tables.mapping import parse_mapping
from data.ingest.tables.proposal import propose
from data.store.store import Store
from tests.command import Run, must_fail
from tests.data.adapters.in_memory import read
from tests.log_samples import Taken, taken, without_nulls

TABLES = Path(__file__).parent / "tables"
CALLS, MAPPING = TABLES / "calls.csv", TABLES / "calls.toml"
LEAST = """
[fields]
turn_id = "id"
dialogue_id = "call"
started_at = "at"
"""
HEAD = "id,call,at"
ROW = "t1,c1,2026-03-01T10:00:00Z"


def read_table(folder: Path, content: str | bytes, mapping: str, name: str = "t.csv") -> Taken:
    """What becomes of a table."""
    table, toml = folder / name, folder / "m.toml"
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    toml.write_text(mapping)
    return taken(folder, table, format="table", settings=Settings(mapping=toml))


def one(folder: Path, value: Any, line: str, column: str = "x") -> dict[str, Any]:
    """The turn of a row with one cell more, by a mapping with one line more."""
    frame = pd.DataFrame({"id": ["t"], "call": ["c"], "at": ["2026-03-01T10:00:00Z"]})
    frame[column] = [value]
    table, toml = folder / "t.csv", folder / "m.toml"
    frame.to_csv(table, index=False)
    toml.write_text(f"{LEAST}{line}\n")
    result = taken(folder, table, format="table", settings=Settings(mapping=toml))
    assert result.quarantined == []
    (turn,) = result.turns
    found: dict[str, Any] = without_nulls(turn)
    return found


# -- the walk of a user ----------------------------------------------------------------------------

PROPOSED = """\
Call ID;Date;Said 1;Said 2;Confidence 1;Confidence 2;Intent;Outcome;Answer;Took (s);Note
a;01.03.2026 10:00:00;play jazz;play chess;91,5;12;music.play;OK;Playing jazz.;0,8;
a;01.03.2026 10:00:30;louder;;64;;volume.up;TECHNICAL;"It cannot
be louder.";1,2;x
b;31.03.2026 18:00:00;;;;;;NOMATCH;Sorry?;;
c;02.04.2026 09:00:00;what time is it;;80;;time.ask;OK;Nine.;0,1;
d;02.04.2026 09:30:00;stop;;99;;stop;OK;;0,1;
"""


def test_from_a_table_to_records(run: Run, tmp_path: Path) -> None:
    table, mapping, store = tmp_path / "calls.csv", tmp_path / "calls.toml", tmp_path / "store"
    table.write_text(PROPOSED)
    must_fail(run("ingest", table, "--store", store), "needs a mapping", "faultline mapping")
    wrote = run("mapping", table, "--to", mapping)
    assert wrote.code == 0, wrote
    assert f"faultline ingest {table} --mapping {mapping}" in wrote.out
    # A word that nobody can guess is left to a person.
    ran = run("ingest", table, "--mapping", mapping, "--store", store)
    must_fail(ran, "result.status.values.TECHNICAL", "TO DO")
    text = mapping.read_text()
    assert text.count("TO DO") == 1
    mapping.write_text(text.replace('"TECHNICAL" = "TO DO"', '"TECHNICAL" = "error"'))
    ran = run("ingest", table, "--mapping", mapping, "--store", store, "--json")
    assert ran.code == 0, ran
    assert json.loads(ran.out)["files"][0]["turns"] == 5
    run("export", "turns", "--to", tmp_path / "turns.jsonl", "--store", store)
    turns = [json.loads(line) for line in (tmp_path / "turns.jsonl").read_text().splitlines()]
    for turn in turns:
        assert len(turn.pop("turn_id")) == 32
    turns.sort(key=lambda turn: turn["started_at"])
    assert [without_nulls(turn) for turn in turns] == [
        {
            "dialogue_id": "a",
            "turn_index": 0,
            "started_at": "2026-03-01T10:00:00.000Z",
            "asr": {
                "hypotheses": [
                    {"text": "play jazz", "confidence": 0.915},
                    {"text": "play chess", "confidence": 0.12},
                ]
            },
            "nlu": {"hypotheses": [{"intent": "music.play"}]},
            "result": {"status": "ok", "response": "Playing jazz."},
        },
        {
            "dialogue_id": "a",
            "turn_index": 1,
            "started_at": "2026-03-01T10:00:30.000Z",
            "asr": {"hypotheses": [{"text": "louder", "confidence": 0.64}]},
            "nlu": {"hypotheses": [{"intent": "volume.up"}]},
            "result": {"status": "error", "response": "It cannot\nbe louder."},
        },
        {
            "dialogue_id": "b",
            "turn_index": 0,
            "started_at": "2026-03-31T18:00:00.000Z",
            "asr": {"hypotheses": []},
            "nlu": {"hypotheses": []},
            "result": {"status": "no_match", "response": "Sorry?"},
        },
        {
            "dialogue_id": "c",
            "turn_index": 0,
            "started_at": "2026-04-02T09:00:00.000Z",
            "asr": {"hypotheses": [{"text": "what time is it", "confidence": 0.8}]},
            "nlu": {"hypotheses": [{"intent": "time.ask"}]},
            "result": {"status": "ok", "response": "Nine."},
        },
        {
            "dialogue_id": "d",
            "turn_index": 0,
            "started_at": "2026-04-02T09:30:00.000Z",
            "asr": {"hypotheses": [{"text": "stop", "confidence": 0.99}]},
            "nlu": {"hypotheses": [{"intent": "stop"}]},
            "result": {"status": "ok"},
        },
    ]
    # What has been edited is not written over.
    must_fail(run("mapping", table, "--to", mapping), "exists", code=2)


def test_every_column_stands_in_the_proposal(tmp_path: Path) -> None:
    table = tmp_path / "calls.csv"
    table.write_text(PROPOSED)
    proposal = propose(table)
    assert proposal.missing == ()
    for name in PROPOSED.split("\n")[0].split(";"):
        assert f'"{name}"' in proposal.text
    assert '# = "Note"  # x' in proposal.text
    assert 'delimiter = ";"\ndecimal = ","' in proposal.text
    assert "Playing jazz." in proposal.text


@pytest.mark.parametrize(
    ("head", "rows", "expected"),
    [
        ("session_id,utterance_id,timestamp,transcript",
         ["s,u1,1767225600000,hi", "s,u2,1767225601000,ho"],
         ['turn_id = "utterance_id"', 'dialogue_id = "session_id"',
          'started_at = {column = "timestamp", unit = "ms"}']),
        ("deviceId,requestTime,text,confidence", ["d,2026-01-01 10:00:00,a,0.5"] * 2,
         ['device.id = "deviceId"', 'by = ["deviceId"]', 'timezone = "UTC"',
          '"asr.hypotheses[0].confidence" = "confidence"']),
        ("call;zeitstempel;intent", ["a;13/02/2026 10:00:00;x"],
         ['format = "%d/%m/%Y %H:%M:%S"']),
        ("call;when;intent", ["a;01/02/2026 10:00:00;x"], ["CHECK day and month"]),
        ("a,b", ["1,2"], ["# TO DO: turn_id", "# TO DO: dialogue_id", "# TO DO: started_at"]),
        ("call_id,ts,latency_s", ["a,1767225600,0.5"],
         ['result.latency_ms = {column = "latency_s", unit = "s"}', 'unit = "s"']),
        ("call_id,ts,status", ["a,1767225600,N/A", "a,1767225601,ok"],
         ['empty = ["N/A"]', 'result.status = "status"']),
    ],
)  # fmt: skip
def test_what_is_proposed(head: str, rows: list[str], expected: list[str], tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("\n".join([head, *rows]) + "\n")
    text = propose(table).text
    for each in expected:
        assert each in text, text


def test_a_proposal_without_gaps_is_a_mapping(tmp_path: Path) -> None:
    table = tmp_path / "t.csv.gz"
    rows = [f"{n},c{n // 3},{1767225600 + n},hello {n},ok" for n in range(2_000)]
    table.write_bytes(gzip.compress("\n".join(["id,call,ts,text,status", *rows]).encode()))
    proposal = propose(table)
    mapping = tmp_path / "m.toml"
    mapping.write_text(proposal.text)
    result = taken(tmp_path, table, format="table", settings=Settings(mapping=mapping))
    assert (len(result.turns), result.quarantined) == (2_000, [])


@pytest.mark.parametrize(
    ("name", "words", "kept"),
    [("role", ("user", "assistant"), ["user"]),
     ("Message Sender", ("BOT", "Customer"), ["Customer"]),
     ("role", ("admin", "owner"), None), ("role", ("user", "user"), None),
     ("speed", ("user", "bot"), None)],
)  # fmt: skip
def test_rows_of_others_than_users_are_no_turns(
    name: str, words: tuple[str, str], kept: list[str] | None, tmp_path: Path
) -> None:
    table, toml = tmp_path / "t.csv", tmp_path / "t.toml"
    rows = [f"c1,2026-05-01T10:00:0{n}Z,{words[n % 2]},say {n}" for n in range(6)]
    table.write_text("\n".join([f"conversation_id,timestamp,{name},text", *rows]))
    text = propose(table).text
    toml.write_text(text)
    result = taken(tmp_path, table, format="table", settings=Settings(mapping=toml))
    assert len(result.turns) == (3 if kept else 6)
    assert (f'"{name}" = {json.dumps(kept)}  # CHECK' in text) == bool(kept)


def test_parts_of_nested_columns_are_proposed(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame(
        {
            "call_id": ["a", "a"],
            "ts": pd.to_datetime(["2026-01-01T10:00:00", "2026-01-01T10:01:00"]),
            "nlu": [{"intent": "x", "parameters": {"p": "1"}}] * 2,
            "payload": ['{"transcript": "hi"}'] * 2,
        }
    ).to_parquet(path)
    text = propose(path).text
    assert '"nlu.hypotheses[0].intent" = "nlu.intent"' in text
    assert '"nlu.hypotheses[0].slots" = "nlu.parameters"' in text
    assert '"asr.hypotheses[0].text" = "payload.transcript"' in text
    mapping = tmp_path / "m.toml"
    mapping.write_text(text)
    result = taken(tmp_path, path, format="table", settings=Settings(mapping=mapping))
    assert [turn["nlu"]["hypotheses"][0]["slots"] for turn in result.turns] == [
        [{"name": "p", "value": "1"}]] * 2  # fmt: skip
    assert result.turns[0]["asr"]["hypotheses"][0]["text"] == "hi"


# -- cells -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "line", "path", "expected"),
    [
        ("87 %", '"asr.hypotheses[0].confidence"="x"\n"asr.hypotheses[0].text"="id"',
         "asr.hypotheses", [{"text": "t", "confidence": 0.87}]),
        (61, '"wake.score" = {column = "x", scale = 0.01}', "wake.score", 0.61),
        (2, 'tts.latency_ms = {column = "x", unit = "min"}', "tts.latency_ms", 120_000.0),
        (1_500, 'tts.latency_ms = {column = "x", unit = "us"}', "tts.latency_ms", 1.5),
        ("Yes", 'feedback.barge_in = "x"', "feedback.barge_in", True),
        (0, 'feedback.barge_in = "x"', "feedback.barge_in", False),
        ("up", 'feedback.explicit = {column = "x", values = {up = "yes", down = "no"}}',
         "feedback.explicit", "yes"),
        (7, 'feedback.rating = {column = "x", values = {7 = 1}}', "feedback.rating", 1.0),
        ("odd", 'result.status = {column = "x", values = {fine = "ok"}, otherwise = "error"}',
         "result.status", "error"),
        ("", 'result.status = {column = "x", values = {"" = "no_match"}}',
         "result.status", "no_match"),
        ("a|b||c", '"asr.hypotheses" = {column = "x", separator = "|"}',
         "asr.hypotheses", [{"text": "a"}, {"text": "b"}, {"text": "c"}]),
        ('[{"t": "a", "c": "90"}, {"c": 1}]', '"asr.hypotheses" = {column = "x", each = '
         '{text = "t", confidence = {column = "c", scale = 0.01}}}',
         "asr.hypotheses", [{"text": "a", "confidence": 0.9}]),
        ('["a", "b"]', '"nlu.hypotheses" = "x"',
         "nlu.hypotheses", [{"intent": "a"}, {"intent": "b"}]),
        ('{"city": "Rom", "when": ["now", "later"]}', '"nlu.hypotheses[0].slots" = "x"',
         "nlu.hypotheses", [{"slots": [{"name": "city", "value": "Rom"},
                                       {"name": "when", "value": "now"},
                                       {"name": "when", "value": "later"}]}]),
        ("Rom", '"nlu.hypotheses[0].slots.city" = "x"\n"nlu.hypotheses[0].intent" = "call"',
         "nlu.hypotheses", [{"intent": "c", "slots": [{"name": "city", "value": "Rom"}]}]),
        ('{"a": {"b": [{"c": "deep"}]}}', 'result.response = "x.a.b[0].c"',
         "result.response", "deep"),
        ('{"snr": "9.5"}', 'asr.signals = "x"', "asr.signals", {"snr": 9.5}),
        (9.5, 'asr.signals.snr = "x"', "asr.signals", {"snr": 9.5}),
        ("4.2", 'versions.asr = "x"', "versions", {"asr": "4.2"}),
        ("ignored", 'assistant = {value = "Ada"}', "assistant", "Ada"),
        ("ignored", 'locale = {column = "none", optional = true}', "locale", None),
        ("sorry", 'result.acts = "x"', "result.acts", None),
    ],
)  # fmt: skip
def test_a_cell(value: Any, line: str, path: str, expected: Any, tmp_path: Path) -> None:
    if path == "result.acts":
        # A list needs JSON, or a separator.
        result = read_table(tmp_path, f"{HEAD},x\n{ROW},sorry\n", f"{LEAST}{line}\n")
        assert [field for field, _ in result.quarantined] == ["result.acts"]
        return
    found: Any = one(tmp_path, value, line)
    for step in path.split("."):
        found = found.get(step) if found else None
    assert found == expected


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        ("2026-03-01T10:00:00+02:00", "", "2026-03-01T08:00:00.000Z"),
        ("2026-03-01 10:00:00.25 UTC", "", "2026-03-01T10:00:00.250Z"),
        ("2026-03-01 10:00:00", ', timezone = "Europe/Berlin"', "2026-03-01T09:00:00.000Z"),
        ("2026-07-01 10:00:00", ', timezone = "Europe/Berlin"', "2026-07-01T08:00:00.000Z"),
        ("2026-03-01", "", "2026-03-01T00:00:00.000Z"),
        ("1772359200", ', unit = "s"', "2026-03-01T10:00:00.000Z"),
        ("1772359200.5", ', unit = "s"', "2026-03-01T10:00:00.500Z"),
        ("1772359200123", ', unit = "ms"', "2026-03-01T10:00:00.123Z"),
        ("1772359200123456", ', unit = "us"', "2026-03-01T10:00:00.123456Z"),
        ("1772359200123456789", ', unit = "ns"', "2026-03-01T10:00:00.123456Z"),
        ("03/01/2026 10:00 PM", ', format = "%m/%d/%Y %I:%M %p"', "2026-03-01T22:00:00.000Z"),
    ],
)
def test_a_time(value: str, spec: str, expected: str, tmp_path: Path) -> None:
    mapping = LEAST.replace('started_at = "at"', f'started_at = {{column = "at"{spec}}}')
    result = read_table(tmp_path, f"{HEAD}\nt1,c1,{value}\n", mapping)
    assert [turn["started_at"] for turn in result.turns] == [expected]


def test_the_rows_of_a_table(tmp_path: Path) -> None:
    result = taken(tmp_path, CALLS, format="table", settings=Settings(mapping=MAPPING))
    turns = [without_nulls(turn) for turn in result.turns]
    assert [(turn["dialogue_id"], turn["turn_index"]) for turn in turns] == [
        ("c1", 0), ("c1", 1), ("c2", 0), ("c2", 1)]  # fmt: skip
    del turns[0]["turn_id"]
    assert turns[0] == {
        "dialogue_id": "c1",
        "turn_index": 0,
        "started_at": "2026-07-04T08:00:00.000Z",
        "assistant": "jukebox",
        "device": {"type": "phone"},
        "asr": {
            "hypotheses": [
                {"text": "play some jazz", "confidence": 0.91},
                {"text": "play some chess"},
            ]
        },
        "nlu": {
            "hypotheses": [
                {
                    "intent": "music.play",
                    "slots": [{"name": "genre", "value": "jazz"}, {"name": "count", "value": "2"}],
                }
            ]
        },
        "result": {"status": "ok", "latency_ms": 800.0},
    }
    assert turns[1]["asr"]["hypotheses"][0]["text"] == "turn it\nup, please"
    assert [turn["result"]["status"] for turn in turns] == ["ok", "error", "no_match", "ok"]
    assert turns[2]["asr"] == {"hypotheses": []}
    assert turns[2]["device"] == {"type": "screen"}
    assert sorted(result.quarantined) == [
        ("", "expected 12 cells, got 5"),
        ("started_at", "column 'when': expected an ISO 8601 time, got 'soon'"),
    ]


@pytest.mark.parametrize("form", ["shuffled", "twice", "folder", "gz", "utf-16", "latin-1", "bom"])
def test_a_table_in_other_forms(form: str, tmp_path: Path) -> None:
    plain = taken(tmp_path, CALLS, format="table", settings=Settings(mapping=MAPPING))
    text = CALLS.read_text()
    given, mapping = tmp_path / "given", tmp_path / "m.toml"
    given.mkdir()
    mapping.write_text(MAPPING.read_text())
    content = {"utf-16": text.encode("utf-16"), "latin-1": text.encode("latin-1"),
               "bom": text.encode("utf-8-sig")}.get(form, text.encode())  # fmt: skip
    if form == "latin-1":
        mapping.write_text(MAPPING.read_text().replace("[table]", '[table]\nencoding = "latin-1"'))
    if form == "gz":
        (given / "calls.csv.gz").write_bytes(gzip.compress(content))
    elif form == "shuffled":
        head, *rows = text.replace('"turn it\nup', '"turn it\x00up').splitlines()
        random.Random(2).shuffle(rows)
        (given / "calls.csv").write_text("\n".join([head, *rows]).replace("\x00", "\n") + "\n")
    else:
        (given / "calls.csv").write_bytes(content)
    if form == "twice":
        (given / "again.csv").write_bytes(content)
        (given / "readme.txt").write_text("not a table")
    folder = tmp_path / "other"
    folder.mkdir()
    result = taken(folder, given, format="table", settings=Settings(mapping=mapping))
    assert result.turns == plain.turns
    assert set(result.quarantined) == set(plain.quarantined)


def test_a_wrong_encoding_is_quarantined_with_what_to_do(tmp_path: Path) -> None:
    text = f"{HEAD}\n{ROW}\nt2,café,2026-03-01T10:00:00Z\n"
    result = read_table(tmp_path, text.encode("latin-1"), LEAST)
    assert [turn["turn_id"] for turn in result.turns] == ["t1"]
    ((_, reason),) = result.quarantined
    assert 'encoding = "windows-1252"' in reason


def test_pauses_of_a_device_divide_dialogues(tmp_path: Path) -> None:
    mapping = LEAST.replace(
        'dialogue_id = "call"', 'dialogue_id = {by = ["call"], idle_minutes = 1.75}'
    )
    times = ["10:05:00", "10:00:00", "10:01:30", "10:03:00"]
    rows = [f"t{n},kitchen,2026-03-01T{time}Z" for n, time in enumerate(times)]
    rows.append("t9,hall,2026-03-01T10:00:10Z")
    result = read_table(tmp_path, "\n".join([HEAD, *rows]), mapping)
    assert [(t["turn_id"], t["dialogue_id"], t["turn_index"]) for t in result.turns] == [
        ("t9", "hall 2026-03-01T10:00:10Z", 0),
        ("t1", "kitchen 2026-03-01T10:00:00Z", 0),
        ("t2", "kitchen 2026-03-01T10:00:00Z", 1),
        ("t3", "kitchen 2026-03-01T10:00:00Z", 2),
        ("t0", "kitchen 2026-03-01T10:05:00Z", 0),
    ]


def test_a_given_position_stays(tmp_path: Path) -> None:
    rows = ["t1,c,2026-03-01T10:00:00Z,4", "t2,c,2026-03-01T10:00:01Z,7"]
    result = read_table(tmp_path, "\n".join([f"{HEAD},n", *rows]), f'{LEAST}turn_index = "n"\n')
    assert [turn["turn_index"] for turn in result.turns] == [4, 7]


def test_parquet_with_types_of_its_own(tmp_path: Path) -> None:
    path, mapping = tmp_path / "t.parquet", tmp_path / "m.toml"
    columns: dict[str, Any] = {
        "id": pa.array([1, 2, 3]),
        "call": pa.array([b"c", b"c", b"c"]).dictionary_encode(),
        "at": pa.array([datetime(2026, 3, 1, 10, minute, tzinfo=UTC) for minute in range(3)],
                       pa.timestamp("ns", "UTC")),
        "sure": pa.array([Decimal("0.25"), None, Decimal("0.5")]),
        "day": pa.array([date(2026, 3, 1)] * 3),
        "heard": pa.array([[{"text": "a", "p": 0.5}], [], None]),
        "slots": pa.array([[("x", "1")], [], None], pa.map_(pa.string(), pa.string())),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path, row_group_size=2)
    mapping.write_text(f"""{LEAST}
"wake.score" = "sure"
"asr.hypotheses" = {{column = "heard", each = {{text = "text", confidence = "p"}}}}
device.state = "slots"
result.response = "day"
""")
    result = taken(tmp_path, path, format="table", settings=Settings(mapping=mapping))
    assert result.quarantined == []
    turns = [without_nulls(turn) for turn in result.turns]
    assert [turn["turn_id"] for turn in turns] == ["1", "2", "3"]
    assert turns[0]["asr"]["hypotheses"] == [{"text": "a", "confidence": 0.5}]
    assert turns[0]["wake"]["score"] == 0.25
    assert turns[0]["device"]["state"] == {"x": "1"}
    assert turns[0]["result"]["response"] == "2026-03-01"
    assert turns[1]["asr"] == {"hypotheses": []}


def test_a_list_and_columns_for_its_items(tmp_path: Path) -> None:
    lines = [
        '"nlu.hypotheses[0].slots.city" = "call"',
        '"nlu.hypotheses[0].slots" = "x"',
        '"asr.hypotheses[1].confidence" = {value = 0.5}',
        '"asr.hypotheses" = {column = "y", separator = "|"}',
    ]
    for order in (lines, lines[::-1]):
        found = read_table(
            tmp_path, f'{HEAD},x,y\n{ROW},"{{""day"": ""now""}}",a|b\n', LEAST + "\n".join(order)
        )
        (turn,) = found.turns
        slots = turn["nlu"]["hypotheses"][0]["slots"]
        assert sorted(slot["name"] for slot in slots) == ["city", "day"]
        assert without_nulls(turn["asr"]["hypotheses"]) == [
            {"text": "a"}, {"text": "b", "confidence": 0.5}]  # fmt: skip
        shutil.rmtree(tmp_path / "store")


def test_the_example_of_the_guide_is_a_mapping() -> None:
    guide = Path(__file__).parents[3] / "docs" / "sources" / "table.md"
    example = guide.read_text().split("```toml\n")[1].split("```")[0]
    mapping = parse_mapping(example, "calls.toml")
    assert (mapping.delimiter, mapping.decimal, len(mapping.fields)) == (";", ",", 12)


# -- what can be wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fields", ["is not TOML"]),
        ("[fields]\nasr.hypotheses[0].text = 'x'", ["is not TOML", "in quotes"]),
        ("", ["no field turn_id", "hash"]),
        ("[fields]\nturn_id = 'a'", ["no field dialogue_id", "by ="]),
        ("[feilds]", ["feilds", "[fields]"]),
        ("fields = 3", ["fields", "a table"]),
        ("[table]\ndelimeter = ';'", ["table.delimeter", "is it delimiter?"]),
        ("[table]\ndelimiter = ';;'", ["table.delimiter", "one character"]),
        ("[table]\ndecimal = ';'", ["table.decimal"]),
        ("[table]\nencoding = 'klingon'", ["table.encoding", "'klingon'"]),
        ("[table]\nencoding = 'base64'", ["table.encoding"]),
        ("[table]\nempty = 'x'", ["table.empty", "a list"]),
        ("[table]\nskip_lines = -1", ["table.skip_lines"]),
        ("[table]\ntimezone = 'Mars'", ["table.timezone", "Europe/Berlin"]),
        ("[table]\ntimezone = 3", ["table.timezone"]),
        ("[table]\ncolumns = []", ["table.columns"]),
        ("[fields]\nasr_text = 'x'", ["fields.asr_text", "a field of the trace"]),
        ("[fields]\nasr.hypothesis = 'x'", ["asr.hypothesis", "is it hypotheses?"]),
        ("[fields]\nasr = 'x'", ["fields.asr", "one of its fields"]),
        ('[fields]\n"asr.hypotheses.text" = "x"', ["an index in brackets"]),
        ('[fields]\n"turn_id.x" = "x"', ["nothing behind turn_id"]),
        ('[fields]\n"asr..x" = "x"', ["a field of the trace"]),
        ("[fields]\nlocale = 3", ["fields.locale", "a column"]),
        ("[fields]\nlocale = {columm = 'x'}", ["fields.locale"]),
        ("[fields]\nlocale = {column = 'x', uint = 's'}", ["fields.locale.uint", "is it unit?"]),
        ("[fields]\nlocale = {column = 'x', value = 'y'}", ["one of column, value"]),
        ("[fields]\nlocale = {column = 3}", ["fields.locale.column", "got 3"]),
        ("[fields]\nlocale = {column = 'x', scale = 2}", ["locale.scale", "a number"]),
        ("[fields]\nlocale = {column = 'x', unit = 's'}", ["locale.unit"]),
        ("[fields]\nstarted_at = {column = 'x', unit = 'h'}", ["started_at.unit", "'h'"]),
        ("[fields]\ntts.latency_ms = {column = 'x', unit = 'h'}", ["tts.latency_ms.unit", "'h'"]),
        ("[fields]\nlocale = {column = 'x', format = '%d'}", ["locale.format", "a time"]),
        ("[fields]\nlocale = {column = 'x', each = {a = 'b'}}", ["locale.each"]),
        ("[fields]\nlocale = {by = ['x']}", ["locale.by", "dialogue_id"]),
        ("[fields]\nwake.score = {hash = ['x']}", ["wake.score.hash"]),
        ("[fields]\nturn_id = {hash = []}", ["turn_id.hash", "at least one"]),
        ("[fields]\nturn_id = {hash = [3]}", ["turn_id.hash", "a list of columns"]),
        ("[fields]\ndialogue_id = {by = ['x'], idle_minutes = 0}", ["idle_minutes"]),
        ("[fields]\nresult.status = {column = 'x', values = {A = 'TO DO'}}", ["values.A"]),
        ('[fields]\n"asr.hypotheses" = {column = "x", each = {txt = "y"}}', ["each.txt"]),
        ("[only]\nrole = [[]]", ["only.role", "a list of values"]),
    ],
)
def test_a_mapping_that_is_wrong_says_where(text: str, words: list[str]) -> None:
    with pytest.raises(MappingError) as error:
        parse_mapping(text, "calls.toml")
    message = str(error.value)
    assert message.startswith("calls.toml")
    assert "\n" not in message.strip()
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("content", "mapping", "words"),
    [
        ('id,"call,at\n1,2,3\n', LEAST, ["line of names", "quote never closed"]),
        ("a,b\n1,2\n", LEAST, ["has none of the columns", "'id'", "it has a, b"]),
        ("idd,call,at\n1,2,3\n", LEAST, ["has no column 'id'", "turn_id", "is it 'idd'?"]),
        (f"{HEAD},id\n{ROW},x\n", LEAST, ["2 columns named 'id'"]),
        ("", LEAST, ["is empty"]),
        ("\n\n", LEAST, ["is empty"]),
        (b"PAR1 nonsense", LEAST, ["not a Parquet file"]),
        (b"PK\x03\x04 zip", LEAST, ["is a zip archive"]),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(
    content: str | bytes, mapping: str, words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(IngestError) as error:
        read_table(tmp_path, content, mapping)
    assert str(error.value).startswith(str(tmp_path / "t.csv"))
    for word in words:
        assert word in str(error.value), error.value


def test_commands_that_are_wrong(run: Run, tmp_path: Path) -> None:
    table, mapping, store = tmp_path / "a b.csv", tmp_path / "m.toml", tmp_path / "store"
    table.write_text(f"{HEAD}\n{ROW}\n")
    mapping.write_text(LEAST)
    none = tmp_path / "none.toml"
    must_fail(run("ingest", table, "--mapping", none, "--store", store), "no mapping file")
    must_fail(run("ingest", table, "--mapping", tmp_path, "--store", store), "is a folder")
    must_fail(run("ingest", table, "--format", "table", "--store", store), "needs a mapping")
    must_fail(
        run("ingest", table, "--mapping", mapping, "--format", "rasa", "--store", store),
        "is for tables", code=2,
    )  # fmt: skip
    must_fail(run("ingest", table, "--store", store), "needs a mapping", f"'{table}'")
    assert not (store / "turns").exists() or not list((store / "turns").rglob("*.parquet"))
    must_fail(run("mapping", tmp_path / "no.csv"), "does not exist")
    must_fail(run("mapping", tmp_path), "is a folder")
    log = tmp_path / "log.jsonl"
    log.write_text('{"a": 1}\n')
    must_fail(run("mapping", log), "is JSON, not a table")
    must_fail(run("mapping", table, "--to", tmp_path / "no" / "m.toml"), "no folder")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n")
    must_fail(run("mapping", tmp_path / "a.pdf"), "is a PDF; expected a table, CSV or Parquet")
    (tmp_path / "two.csv").write_text(f"{HEAD},call\n{ROW},x\n")
    must_fail(run("mapping", tmp_path / "two.csv"), "2 columns named 'call'")
    parquet = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1]}), parquet)
    must_fail(run("ingest", parquet, "--store", store), "no column 'turn_id'", "faultline mapping")


def test_a_table_in_a_folder_without_a_mapping_is_named(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "calls.csv").write_text(f"{HEAD}\n{ROW}\n")
    (folder / "own.jsonl").write_text(json.dumps({
        "turn_id": "t", "dialogue_id": "d", "turn_index": 0,
        "started_at": "2026-03-01T10:00:00Z"}) + "\n")  # fmt: skip
    report = ingest(store, [folder])
    assert report.turns == 1
    (skipped,) = report.skipped
    assert skipped.path.name == "calls.csv"
    assert "faultline mapping" in skipped.reason


def test_a_quote_that_is_never_closed_costs_its_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.tables.reading._LONGEST_CELL", 1_000)
    rows = [f"t{n},c,2026-03-01T10:00:00Z" for n in range(200)]
    rows[100] = f'"{rows[100]}'
    result = read_table(tmp_path, "\n".join([HEAD, *rows]), LEAST)
    assert len(result.turns) >= 100
    assert any("quote never closed" in reason for _, reason in result.quarantined)


@pytest.mark.parametrize(
    ("cell", "rest"),
    [
        ('"say 50', ""),  # nothing closes it
        ('"say 50', 'u,c,2026-03-01T10:00:00Z,"quoted, too"\n'),
        ('"say "hello" now"', ""),
    ],
)
def test_a_stray_quote_costs_its_row(cell: str, rest: str, tmp_path: Path) -> None:
    rows = [f"t{n},c,2026-03-01T10:00:00Z,say {n}" for n in range(200)]
    rows[50] = f"t50,c,2026-03-01T10:00:00Z,{cell}"
    rows[120] = 't120,c,2026-03-01T10:00:00Z,"two\nlines, ""quoted"""'
    text = "\n".join([f"{HEAD},text", *rows, rest])
    result = read_table(tmp_path, text, f"{LEAST}'asr.hypotheses[0].text' = 'text'\n")
    assert len(result.quarantined) == 1
    assert "quote" in result.quarantined[0][1]
    texts = {turn["turn_id"]: turn["asr"]["hypotheses"][0]["text"] for turn in result.turns}
    kept = {f"t{n}" for n in range(200) if n != 50} | ({"u"} if rest else set())
    assert set(texts) == kept
    assert texts["t120"] == 'two\nlines, "quoted"'


def test_rows_within_a_cell_are_rows(tmp_path: Path) -> None:
    rows = [f"t{n},c,2026-03-01T10:00:00Z,say {n}" for n in range(20)]
    rows[5], rows[15] = rows[5].replace("say", '"say'), f'{rows[15]}"'
    result = read_table(tmp_path, "\n".join([f"{HEAD},text", *rows]), LEAST)
    assert {turn["turn_id"] for turn in result.turns} == {f"t{n}" for n in range(20)} - {"t5"}
    assert [reason for _, reason in result.quarantined] == [
        "a cell that holds the rows behind it; is a quote never closed?"
    ]


def test_a_file_made_of_stray_quotes_is_read_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row takes all behind it, so that reading them again each time would take hours."""
    monkeypatch.setattr("data.ingest.tables.reading._LONGEST_ROW", 2_000)
    given = 0
    true_next = reading._Lines.__next__

    def counting(lines: reading._Lines) -> str:
        nonlocal given
        given += 1
        return true_next(lines)

    monkeypatch.setattr(reading._Lines, "__next__", counting)
    rows = ['t",c,"x'] * 5_000
    result = read_table(tmp_path, "\n".join([HEAD, *rows]), LEAST)
    assert result.turns == []
    assert len(rows) < given < 12 * len(rows)


CELLS = st.sampled_from(
    ["", "x", '"', "NaN", "1e999", "-1", "{", "[1,", '{"a": {}}', "[[[]]]", "9" * 400, "\x00", "é",
     "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "true", "null", "50%", "1_0", "=1+1",
     "[" * 2_000]
)  # fmt: skip
EVERYTHING = """
[fields]
turn_id = {hash = ["a", "b"]}
dialogue_id = {by = ["c"]}
started_at = "d"
turn_index = {column = "e", optional = true}
"asr.hypotheses" = "f"
"asr.hypotheses[2].confidence" = "e"
"nlu.hypotheses[0].slots" = "f"
"nlu.hypotheses[0].slots.x" = "e"
"er.mentions" = "f"
result.items = "f"
result.latency_ms = {column = "e", unit = "s"}
feedback.barge_in = "a"
asr.signals = "f"
device.state = "b.x[0]"
gold.ratings = {column = "f", each = {value = "v"}}
"""


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(CELLS, min_size=6, max_size=6), max_size=5), st.binary(max_size=30))
def test_no_cell_is_a_traceback(rows: list[list[str]], noise: bytes) -> None:
    for row in rows[::2]:
        row[3] = "2026-03-01"
    content = "\n".join(["a,b,c,d,e,f", *(",".join(row) for row in rows)]).encode()
    mapping = parse_mapping(EVERYTHING, "m.toml")
    table: Any = type(named("table"))
    read(table(mapping), content + b"\n" + noise)
