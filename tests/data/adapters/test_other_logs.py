"""Ingestion of other systems' logs, whatever the system: files, faults, dialogues that go on."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from data.errors import IngestError, TurnConflict
from data.ingest.adapters.adapter import Settings
from data.ingest.dry_run import dry_run
from data.ingest.ingest import ingest
from data.store.store import Store
from tests.command import Run, must_fail
from tests.logs import trace, write_lines

OWN = Path(__file__).parent / "own"
LOG = OWN / "lex-v2.jsonl"


def turns(store: Store) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        sql = "SELECT turn_id, dialogue_id, turn_index, assistant FROM turns ORDER BY started_at"
        return snapshot.query(sql).to_pylist()


def quarantine(store: Store) -> list[tuple[str, int, str]]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT file, line, reason FROM quarantine ORDER BY ALL").to_pylist()
    return [(Path(row["file"]).name, row["line"], row["reason"]) for row in rows]


def lines() -> list[bytes]:
    return LOG.read_bytes().splitlines(keepends=True)


def test_a_log_beside_traces_in_a_folder(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    write_lines(folder / "a.jsonl", [trace("own")])
    # Objects of an archive often have a name without an ending.
    (folder / "000000").write_bytes(b"".join(lines()[:3]))
    (folder / "000001.gz").write_bytes(gzip.compress(b"".join(lines()[3:])))
    (folder / "notes.txt").write_text("to do")
    report = ingest(store, [folder])
    assert {file.format: file.turns for file in report.files} == {"lex-v2": 6, "jsonl": 1}
    assert "(2 files)" in next(file.file for file in report.files if file.format == "lex-v2")
    found = turns(store)
    assert len(found) == 7
    # The conversation lies in both files.
    assert [t["turn_index"] for t in found if t["dialogue_id"] == "call-1"] == [0, 1, 2]
    with store.snapshot() as snapshot:
        runs = snapshot.query("SELECT format, assistants FROM runs ORDER BY format").to_pylist()
    assert runs == [
        {"format": "jsonl", "assistants": None},
        {"format": "lex-v2", "assistants": ["HairSalon"]},
    ]


def test_again_is_unchanged(store: Store) -> None:
    ingest(store, [LOG])
    before = turns(store)
    (report,) = ingest(store, [LOG]).files
    assert (report.turns, report.unchanged, report.replaced) == (6, 6, 0)
    assert turns(store) == before


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_rotated_log_goes_on_where_it_ended(store: Store, tmp_path: Path, cut: int) -> None:
    every = lines()
    for name, part in (("a.log", every[:cut]), ("b.log", every[cut:])):
        (tmp_path / name).write_bytes(b"".join(part))
    ingest(store, [tmp_path / "a.log"])
    last = b"".join(every[cut:])
    if b"StartTimeout" in last and last.count(b"\n") == 1:
        return
    ingest(store, [tmp_path / "b.log"])
    whole = Store.create(tmp_path / "whole")
    ingest(whole, [LOG])
    assert turns(store) == turns(whole)


def test_positions_do_not_move_when_a_part_is_read_again(store: Store, tmp_path: Path) -> None:
    ingest(store, [LOG])
    before = turns(store)
    (tmp_path / "part.log").write_bytes(b"".join(lines()[2:]))
    ingest(store, [tmp_path / "part.log"])
    assert turns(store) == before


# Of a request that is cut in two, LiveKit, Rhasspy and OVOS log no id that both halves have.
@pytest.mark.parametrize("name", ["lex-v2.jsonl", "home-assistant.jsonl", "rasa.jsonl"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_the_whole_log_mends_what_its_parts_left(
    store: Store, tmp_path: Path, name: str, share: float
) -> None:
    every = (OWN / name).read_bytes().splitlines(keepends=True)
    cut = round(len(every) * share)
    for part, content in (("a.log", every[:cut]), ("b.log", every[cut:])):
        (tmp_path / part).write_bytes(b"".join(content))
        ingest(store, [tmp_path / part])
    ingest(store, [OWN / name])
    whole = Store.create(tmp_path / "whole")
    ingest(whole, [OWN / name])
    shown = ("turn_id", "dialogue_id")
    assert [[turn[field] for field in shown] for turn in turns(store)] == [
        [turn[field] for field in shown] for turn in turns(whole)
    ]


def test_late_turns_are_put_in_order_of_time(store: Store, tmp_path: Path) -> None:
    first = json.loads(lines()[0])
    for name, seconds in (("a", (0, 10, 20)), ("b", (5, 6, 12, 30, 31)), ("c", (0, 6, 7))):
        records = [
            {**first, "requestId": f"r{at:02}", "timestamp": f"2026-03-02T10:00:{at:02}Z"}
            for at in seconds
        ]
        ingest(store, [write_lines(tmp_path / f"{name}.jsonl", records)])
    with store.snapshot() as snapshot:
        sql = "SELECT turn_id FROM turns ORDER BY turn_index, started_at, turn_id"
        order = [row["turn_id"] for row in snapshot.query(sql).to_pylist()]
    assert order == sorted(order)
    assert len(order) == 9


def test_faults_are_named_by_file_and_line(store: Store, tmp_path: Path) -> None:
    good = lines()
    bad = json.loads(good[0])
    bad["interpretations"][0]["nluConfidence"] = "7"
    bad["requestId"] = "r-bad"
    other = tmp_path / "a"
    other.mkdir()
    (other / "one.log").write_bytes(b"".join([*good[:2], b"{\n", *good[2:4]]))
    (other / "two.log").write_bytes(
        b"".join([*good[4:], json.dumps(bad).encode() + b"\n", b'{"messageVersion": "3.0"}\n'])
    )
    report = ingest(store, [other])
    assert [(name, line) for name, line, _ in quarantine(store)] == [
        ("one.log", 3),
        ("two.log", 5),
        ("two.log", 6),
    ]
    (file,) = report.files
    assert (file.turns, file.quarantined) == (6, 3)
    assert sum(reason.lines for reason in file.reasons) == 3
    # Mended, the faults are gone.
    for name, part in (("one.log", good[:4]), ("two.log", good[4:])):
        (other / name).write_bytes(b"".join(part))
    ingest(store, [other])
    assert quarantine(store) == []


def test_a_damaged_file_is_left_out_and_the_others_go_on(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_bytes(b"".join(lines()[:3]))
    (folder / "b.gz").write_bytes(gzip.compress(b"".join(lines()[3:]))[:-20])
    report = ingest(store, [folder], format="lex-v2")
    errors = [file for file in report.files if file.error]
    assert [Path(file.file).name for file in errors] == ["b.gz"]
    assert errors[0].error is not None
    assert "truncated gzip" in errors[0].error
    assert len(turns(store)) == 3


def test_only_damaged_files_are_an_error(store: Store, tmp_path: Path) -> None:
    (tmp_path / "b.gz").write_bytes(gzip.compress(LOG.read_bytes())[:-20])
    with pytest.raises(IngestError, match="truncated gzip"):
        ingest(store, [tmp_path / "b.gz"], format="lex-v2")
    (tmp_path / "empty.log").touch()
    with pytest.raises(IngestError, match="empty"):
        ingest(store, [tmp_path / "empty.log"], format="lex-v2")


def test_a_log_without_turns_is_an_error(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"".join(line for line in lines() if b"StartTim" in line))
    with pytest.raises(IngestError, match=r"holds no turns.*Amazon Lex V2.*--format"):
        ingest(store, [tmp_path / "a.log"])


def test_standard_input(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BufferedReader(io.BytesIO(LOG.read_bytes()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    (file,) = ingest(store, ["-"]).files
    assert (file.format, file.turns, file.file) == ("lex-v2", 6, "<stdin>")


def test_another_turns_id_is_kept_apart(store: Store, tmp_path: Path) -> None:
    ingest(store, [write_lines(tmp_path / "own.jsonl", [trace("r-4")])])
    (file,) = ingest(store, [LOG]).files
    assert (file.turns, file.conflicts, file.quarantined) == (5, 1, 1)
    ((name, line, _),) = quarantine(store)
    assert (name, line) == (LOG.name, 4)
    with pytest.raises(TurnConflict):
        ingest(store, [LOG], on_conflict="refuse")


def test_the_assistant_can_be_named(store: Store) -> None:
    ingest(store, [LOG], settings=Settings(assistant="salon"))
    assert {turn["assistant"] for turn in turns(store)} == {"salon"}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_own_traces_name_their_assistant_themselves(
    run: Run, tmp_path: Path, dry: tuple[str, ...]
) -> None:
    own, into = write_lines(tmp_path / "own.jsonl", [trace("a")]), tmp_path / "s"
    ran = run("ingest", LOG, own, "--assistant", "salon", *dry, "--store", into)
    must_fail(ran, "own.jsonl", "own format", "leave out --assistant", code=2)
    assert not into.exists()


def test_a_dry_run_stores_nothing(run: Run, tmp_path: Path) -> None:
    ran = run("ingest", LOG, "--dry-run", "--store", tmp_path / "s")
    assert ran.code == 0, ran.err
    assert not (tmp_path / "s").exists()
    for words in ("Amazon Lex V2", '"turn_id": "r-1"', '"requestId": "r-1"', "Nothing was stored"):
        assert words in ran.out
    assert "expect weaker verdicts" in " ".join(ran.out.split())
    must_fail(run("ingest", tmp_path / "none", "--dry-run"), "does not exist")


def test_a_dry_run_shows_what_is_wrong(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [trace("a"), {"turn_id": "b"}, trace("c")])
    (result,) = dry_run([path])
    assert [(each.line, each.turn and each.turn["turn_id"]) for each in result.examples] == [
        (1, "a"),
        (3, "c"),
    ]
    assert [each.line for each in result.problems] == [2]
    (tmp_path / "b.log").write_bytes(b"".join([b"{\n", *lines()]))
    (result,) = dry_run([tmp_path / "b.log"])
    assert [each.line for each in result.examples] == [2, 3, 4]
    assert [(each.line, each.source) for each in result.problems] == [(1, "{")]


def test_many_conversations_are_read_in_shares(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a large log is, whose pieces are sorted a share at a time."""
    monkeypatch.setattr("data.ingest.other_logs.shares", _small_shares)
    monkeypatch.setattr("data.ingest.assembly._BLOCK", 2_000)
    first = json.loads(lines()[0])
    records = [
        {**first, "sessionId": f"s-{index % 40}", "requestId": f"q-{index}",
         "timestamp": f"2026-03-02T10:{index % 60:02}:00Z"}
        for index in range(400)
    ]  # fmt: skip
    ingest(store, [write_lines(tmp_path / "a.jsonl", records)])
    found = turns(store)
    assert {turn["turn_id"] for turn in found} == {f"q-{index}" for index in range(400)}
    assert sorted(t["turn_index"] for t in found if t["dialogue_id"] == "s-7") == list(range(10))


def _small_shares(size: int, processes: int) -> list[Any]:
    from data.ingest.assembly import shares

    return shares(size, processes, each=size // 7 + 1)


def test_a_log_read_as_another_systems_is_told_what_it_was_read_as(
    run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(LOG.read_bytes() + b'{"insertId": nan}\n')
    ran = run("ingest", log, "--format", "dialogflow-cx", "--store", tmp_path / "store")
    assert ran.code == 1
    text = " ".join(ran.out.split())
    assert "quarantined" in text
    hint = "holds no turns; it was read as Dialogflow CX"
    assert hint in text
    assert "--format names another format" in text
    again = ("--format", "dialogflow-cx", "--store", tmp_path / "store")
    dry = run("ingest", log, "--dry-run", *again)
    assert (dry.code, hint in " ".join(dry.out.split())) == (1, True)
    for more in ((), ("--dry-run",)):
        content = json.loads(run("ingest", log, "--json", *more, *again).out)
        (file,) = content if more else content["files"]
        assert hint in file["hint"]
    good = json.loads(run("ingest", LOG, "--dry-run", "--json").out)
    assert good[0]["hint"] is None


def test_traces_of_another_scope_are_told_which_spans_turns_are_made_of(
    store: Store, tmp_path: Path
) -> None:
    log = tmp_path / "a.jsonl"
    text = (OWN / "otlp.jsonl").read_text()
    own = [line for line in text.splitlines() if '"scope":{"name":"pipecat"}' in line]
    assert own
    log.write_text("\n".join(own).replace('"scope":{"name":"pipecat', '"scope":{"name":"my.own'))
    with pytest.raises(IngestError, match=r"holds no turns.*spans named stt .*scope pipecat"):
        ingest(store, [log])
