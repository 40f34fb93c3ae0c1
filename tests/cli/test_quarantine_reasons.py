"""`faultline ingest` names the first reasons for quarantine itself, with their counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.ingest.ingest import ingest
from data.queries import ingest_runs
from data.store.store import Store
from tests.command import Run
from tests.logs import trace, write_lines


def lines(*faulty: bytes) -> list[object]:
    """Two good lines, and faulty ones."""
    return [trace("a"), trace("b"), *faulty]


# Six times the same fault with another value each, thrice no JSON, and three single ones.
FAULTY = [
    *(json.dumps(trace(f"t{i}", turn_index=f"no {i}")).encode() for i in range(6)),
    *[b"not json", b"xyz", b"{]"],
    b"[1]",
    b'{"turn_id": 3}',
    json.dumps(trace("u", started_at="soon")).encode(),
]


def test_three_kinds_of_reasons_are_named_with_counts(run: Run) -> None:
    write_lines(Path("log.jsonl"), lines(*FAULTY))
    ran = run("ingest", "log.jsonl")
    assert ran.code == 1
    named = [line for line in ran.out.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in named[:3]] == ["6", "3", "1"]
    # One kind, whatever the value; the values are in the quarantine.
    assert "turn_index" in named[0]
    assert "no 1" not in named[0]
    assert named[3].strip() == "and 2 more reasons."
    assert "12 lines were quarantined:" in ran.out
    assert "faultline export quarantine" in ran.out


def test_nothing_is_said_about_quarantine_when_all_lines_are_good(run: Run) -> None:
    write_lines(Path("log.jsonl"), lines())
    assert "quarantine" not in run("ingest", "log.jsonl").out


def test_a_single_reason_keeps_its_value_and_reads_as_one_line(run: Run) -> None:
    write_lines(Path("log.jsonl"), lines(b'{"turn_id": 3}'))
    out = run("ingest", "log.jsonl").out
    assert "1 line was quarantined:" in out
    assert "turn_id: expected text, got 3" in out
    assert "more reason" not in out


@pytest.mark.parametrize("value", ["[bold red]x[/]", "\x1b[31m", "\u202eevil", "y" * 5000])
def test_a_value_in_a_reason_is_shown_as_text(run: Run, value: str) -> None:
    write_lines(Path("log.jsonl"), lines(json.dumps(trace("t", started_at=value)).encode()))
    ran = run("ingest", "log.jsonl")
    assert "started_at" in ran.out
    assert "\x1b" not in ran.out
    assert max(map(len, ran.out.splitlines())) < 400


def test_reasons_of_several_files_are_added_up(store: Store, tmp_path: Path) -> None:
    files = [
        write_lines(tmp_path / f"{name}.jsonl", lines(b"no", *FAULTY[:n]))
        for name, n in (("a", 2), ("b", 3))
    ]
    report = ingest(store, files)
    assert [(each.field, each.lines) for each in report.reasons] == [("turn_index", 5), ("", 2)]
    assert sum(each.lines for each in report.reasons) == report.quarantined


def test_the_report_and_the_page_name_the_same_kinds(store: Store, tmp_path: Path) -> None:
    report = ingest(store, [write_lines(tmp_path / "log.jsonl", lines(*FAULTY))])
    with store.snapshot() as snapshot:
        kinds = ingest_runs.reasons(snapshot).to_pylist()
        assert [(kind["field"], kind["reason"], kind["lines"]) for kind in kinds] == [
            (each.field, each.reason, each.lines) for each in report.reasons
        ]
        for kind in kinds:
            rows = ingest_runs.examples(snapshot, kind["field"], kind["reason"], 100)
            assert rows.num_rows == kind["lines"]


def test_a_conflict_of_ids_is_a_reason_too(store: Store, tmp_path: Path) -> None:
    ingest(store, [write_lines(tmp_path / "a.jsonl", [trace("same", dialogue_id="a")])])
    report = ingest(store, [write_lines(tmp_path / "b.jsonl", [trace("same", dialogue_id="b")])])
    assert [(each.field, each.lines) for each in report.reasons] == [("turn_id", 1)]
    assert "id of another turn" in report.reasons[0].reason
