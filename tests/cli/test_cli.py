"""The command line, as people and scripts see it, above all when something is wrong."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cli.main
import cli.models
from classifiers.model import Model
from data.ingest.ingest import ingest
from data.schema.layout import TABLES
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
from tests.command import Run, must_fail
from tests.logs import trace, write_lines

ROOT = Path(__file__).parents[2]


def command(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def some(tmp_path: Path) -> Path:
    """A store of two turns without gold."""
    store = Store.create(tmp_path / "some")
    ingest(store, [write_lines(tmp_path / "some.jsonl", [trace("a"), trace("b", turn_index=1)])])
    return store.path


# -- the store -------------------------------------------------------------------------------------

ON_A_STORE = [
    ("train",),
    ("score",),
    ("evaluate",),
    ("export", "turns", "--to", "out.csv"),
    ("info",),
    ("info", "--json"),
    ("compact",),
    ("vacuum",),
    ("delete", "--user", "u"),
    ("retain", "--days", "3"),
    ("labels", "compare"),
    ("promote", "m-1"),
]


@pytest.mark.parametrize("arguments", ON_A_STORE, ids=" ".join)
def test_without_a_store_it_says_how_to_make_one(run: Run, arguments: tuple[str, ...]) -> None:
    must_fail(run(*arguments, "--store", "no[where]"), "no[where]", "faultline ingest", code=1)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("arguments", [*ON_A_STORE, ("ingest", "log.jsonl")], ids=" ".join)
def test_a_folder_that_is_not_a_store_is_left_alone(run: Run, arguments: tuple[str, ...]) -> None:
    write_lines(Path("log.jsonl"), [trace()])
    Path("folder").mkdir()
    Path("folder/letter.txt").write_text("dear")
    must_fail(run(*arguments, "--store", "folder"), "folder")
    assert [path.name for path in Path("folder").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("arguments", "head"),
    [
        *((arguments, "[]") for arguments in ON_A_STORE),
        (("info",), ""),
        (("info",), '{"format": 99, "tables": {}, "model": null}'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_damaged_or_newer_store_is_named(run: Run, head: str, arguments: tuple[str, ...]) -> None:
    Path("bad").mkdir()
    Path("bad/HEAD.json").write_text(head)
    must_fail(run(*arguments, "--store", "bad"), "bad", code=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train",), ["no turns", "faultline ingest"]),
        (("evaluate",), ["no turns", "faultline ingest"]),
        (("score",), ["no turns", "faultline ingest"]),
        (("labels", "compare"), ["gold"]),
        (("labels", "export", "--to", "a.jsonl"), ["faultline labels train"]),
        (("promote", "m-1"), ["m-1", "none"]),
    ],
)
def test_an_empty_store_says_what_it_lacks(
    run: Run, store: Store, arguments: tuple[str, ...], words: list[str]
) -> None:
    must_fail(run(*arguments, "--store", store.path), *words)


@pytest.mark.parametrize(
    "arguments",
    [
        ("info",),
        ("info", "--json"),
        ("compact",),
        ("vacuum", "--keep-hours", "0"),
        ("delete", "--user", "u", "--dialogue", "d"),
        ("retain", "--days", "3"),
        *(("export", table, "--to", "out.csv") for table in ("turns", "predictions", "runs")),
    ],
    ids=" ".join,
)
def test_commands_that_need_no_turns_accept_an_empty_store(
    run: Run, store: Store, arguments: tuple[str, ...]
) -> None:
    ran = run(*arguments, "--store", store.path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out


def test_vacuum_names_the_models_it_removes(run: Run, some: Path) -> None:
    for name in ("m-1", "m-2"):
        (some / "models" / name).mkdir()
    run("promote", "m-1", "--store", some)
    assert "m-2" not in run("vacuum", "--store", some).out
    assert "Models removed: m-2." in run("vacuum", "--promoted-only", "--store", some).out
    assert json.loads(run("info", "--json", "--store", some).out)["models"] == ["m-1"]


def test_damaged_data_is_reported_in_one_sentence(run: Run, some: Path) -> None:
    for path in (some / "turns").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    for arguments in (
        ("info",),
        ("export", "turns", "--to", "out.csv"),
        ("train",),
        ("delete", "--user", "u"),
    ):
        must_fail(run(*arguments, "--store", some), code=1)
    for path in (some / "turns").rglob("*.parquet"):
        path.unlink()
    must_fail(run("info", "--store", some), code=1)
    for path in (some / "turns" / "_delta_log").iterdir():
        path.write_text("{")
    must_fail(run("info", "--store", some), code=1)


def test_the_environment_names_the_store(
    run: Run, some: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTLINE_STORE", str(some))
    assert json.loads(run("info", "--json").out)["turns"] == 2
    must_fail(run("info", "--store", "elsewhere"), "elsewhere")


def test_an_address_is_not_taken_for_a_folder(run: Run) -> None:
    must_fail(run("info", "--store", "ftp://host/store"), "ftp://host/store", "local folder")


# -- ingestion -------------------------------------------------------------------------------------


def test_ingest_counts_and_info_shows(run: Run) -> None:
    write_lines(Path("log.jsonl"), [trace("a"), trace("b", odd=1)])
    ran = run("ingest", "log.jsonl")
    assert (ran.code, ran.err) == (0, "")
    assert f"{Path('log.jsonl').absolute()}: 2 turns (" in ran.out
    assert "Unknown field 'odd'" in ran.out
    assert "2 already there" in run("ingest", "log.jsonl").out
    facts = run("info").out.splitlines()
    assert f"path{'store':>20}"[:4] in facts[0]
    assert any(line.split() == ["turns", "2"] for line in facts)


BAD_INPUTS: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("no.jsonl", None, "does not exist"),
    "empty": ("log.jsonl", b"", "is empty"),
    "blank": ("log.jsonl", b"\n\n\n", "is empty"),
    "truncated gzip": (
        "log.jsonl.gz",
        gzip.compress(json.dumps(trace(note=os.urandom(500).hex())).encode())[:200],
        "truncated",
    ),
    "half a gzip header": ("log.jsonl.gz", b"\x1f\x8b", "log.jsonl.gz"),
    "picture": ("log.jsonl", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(50), "not JSONL"),
    "csv": ("log.jsonl", b"turn_id,dialogue_id\na,b\n", "not JSONL"),
    "one json list": ("log.json", b'[{"turn_id": "a"}]', "JSON array"),
    "utf-16": ("log.jsonl", json.dumps(trace()).encode("utf-16"), "UTF-8"),
    "not parquet": ("log.parquet", b"PAR1 but not really", "Parquet"),
    "empty parquet": ("log.parquet", b"", "is empty"),
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, ()) for kind in BAD_INPUTS),
        # Found when the file is opened, and when it is read.
        ("missing", ("--json",)),
        ("picture", ("--json",)),
        ("missing", ("--allow-quarantined",)),
        ("picture", ("--allow-quarantined",)),
    ],
)
def test_an_input_that_is_not_a_log_is_refused_in_one_sentence(
    run: Run, kind: str, options: tuple[str, ...]
) -> None:
    name, content, word = BAD_INPUTS[kind]
    if content is not None:
        Path(name).write_bytes(content)
    ran = run("ingest", name, *options)
    must_fail(ran, name, word)
    assert ran.out == ""


def test_a_mistyped_path_creates_no_store(run: Run) -> None:
    must_fail(run("ingest", "no.jsonl"))
    Path("empty").mkdir()
    must_fail(run("ingest", "empty"), "empty", "holds no traces")
    assert [path.name for path in Path.cwd().iterdir()] == ["empty"]


def test_a_parquet_file_of_something_else_names_its_columns(run: Run) -> None:
    pq.write_table(pa.table({"song": ["x"], "[bold]": [1]}), "songs.parquet")
    must_fail(run("ingest", "songs.parquet"), "turn_id", "song, [bold]")


def test_ingesting_without_an_input_is_misuse(run: Run) -> None:
    must_fail(run("ingest"), "paths", "faultline ingest --help", code=2)
    must_fail(run("ingest", "x", "--format", "xml"), "xml", "jsonl", code=2)


@pytest.mark.parametrize(
    "name",
    [
        "käse 日本 🎵.jsonl",
        "[red]not markup.jsonl",
        "[].jsonl",
        ":smile: [link=x]a.jsonl",
        "two\nlines.jsonl",
        "%s {} ' \" \\.jsonl",
        os.fsdecode(b"latin-\xe9.jsonl"),
    ],
)
def test_odd_file_names_are_printed_literally(run: Run, name: str) -> None:
    write_lines(Path(name), [trace()])
    ran = run("ingest", f"./{name}")
    assert (ran.code, ran.err) == (0, "")
    printed = name.encode("utf-8", "backslashreplace").decode()
    assert f"{printed}: 1 turn " in ran.out
    assert json.loads(run("ingest", f"./{name}", "--json").out)["files"][0]["unchanged"] == 1
    Path(name).write_bytes(b"")
    ran = run("ingest", f"./{name}")
    assert ran.code == 1
    assert "is empty" in ran.err
    assert "Traceback" not in ran.err


def test_quarantined_lines_make_the_exit_code_one_unless_allowed(run: Run) -> None:
    write_lines(Path("log.jsonl"), [trace("a"), b"{bad", trace("c", turn_index=-1)])
    ran = run("ingest", "log.jsonl")
    assert ran.code == 1
    assert "1 turn, 2 quarantined" in ran.out
    assert "faultline export quarantine --to quarantine.csv --store store" in ran.out
    assert run("ingest", "log.jsonl", "--allow-quarantined").code == 0
    ran = run("ingest", "log.jsonl", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["files"][0]["quarantined"] == 2
    assert run("export", "quarantine", "--to", "quarantine.csv").code == 0
    assert Path("quarantine.csv").read_text().count("got -1") == 1


def test_one_bad_file_of_several_is_reported_and_the_others_are_ingested(run: Run) -> None:
    write_lines(Path("good.jsonl"), [trace()])
    Path("bad.jsonl").write_bytes(b"")
    ran = run("ingest", "bad.jsonl", "good.jsonl")
    assert ran.code == 1
    assert "bad.jsonl is empty" in ran.err
    assert "good.jsonl: 1 turn (" in ran.out


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonsense",), ["nonsense", "faultline --help"]),
        (("train", "--nonsense"), ["--nonsense", "faultline train --help"]),
        (("train", "--context", "tomorrow"), ["--context", "tomorrow", "hindsight"]),
        (("train", "--seed", "-1"), ["--seed", "0", "got -1"]),
        (("train", "--seed", "one"), ["--seed"]),
        (("train", "--without", "brain"), ["brain", "before, after, capture, text"]),
        (("evaluate", "--without", "brain"), ["brain", "before, after, capture, text"]),
        (("evaluate", "--model", "m-1", "--seed", "4"), ["as it was trained", "--seed"]),
        (("evaluate", "--model", "m-1"), ["no model 'm-1'"]),
        (("evaluate", "--model", "promoted"), ["No model is promoted", "faultline train"]),
        (("evaluate", "--folds=1"), ["--folds", "2", "got 1"]),
        (("score", "--model"), ["--model"]),
        (("export", "turns"), ["--to"]),
        (("export", "songs", "--to", "a.csv"), ["songs", "turns, predictions"]),
        (("export", "turns", "--to", "a.xlsx"), ["a.xlsx", ".parquet, .csv, .jsonl"]),
        (("export", "turns", "--to", "-"), ["'-'", ".csv"]),
        (("export", "turns", "--to", "no/where/a.csv"), ["no/where/a.csv", "exists"]),
        (("export", "turns", "--to", "a.csv", "--where", "x ="), ["'x ='", "turn_id"]),
        (("export", "turns", "--to", "a.csv", "--where", "song = 1"), ["song", "turn_id"]),
        (("export", "turns", "--to", "a.csv", "--where", ""), ["''", "turn_id"]),
        (
            ("export", "turns", "--to", "a.csv", "--where", "true; DROP TABLE turns"),
            ["DROP TABLE", "turn_id"],
        ),
        (
            (
                *("export", "turns", "--to", "a.csv", "--where"),
                "turn_id = (SELECT content FROM read_text('/etc/passwd'))",
            ),
            ["/etc/passwd", "cannot be used"],
        ),
        (
            (
                *("export", "turns", "--to", "a.csv", "--where"),
                "exists(FROM read_csv('/etc/passwd'))",
            ),
            ["/etc/passwd", "cannot be used"],
        ),
        (("export", "turns", "--to", "a.csv", "--at", "yesterday"), ["yesterday", "t12.p9"]),
        (("export", "turns", "--to", "a.csv", "--at", "t999"), ["t999", "the latest is"]),
        (("export", "turns", "--to", "a.csv", "--at", ""), ["version"]),
        (("vacuum", "--keep-hours", "-1"), ["-1 hours", "0"]),
        (("vacuum", "--keep-hours", "nan"), ["nan"]),
        (("delete",), ["--dialogue ID", "--user ID"]),
        (("retain",), ["--days"]),
        (("retain", "--days", "0"), ["--days", "1"]),
        (("retain", "--days", "99999999"), ["99999999"]),
        (("promote",), ["model"]),
        (("promote", ""), ["''"]),
        (("promote", ".."), ["'..'"]),
        (("score", "--model", "m-0[x]"), ["m-0[x]", "faultline train"]),
        (("score", "--model", "../turns"), ["../turns"]),
        (("dashboard", "--port", "0"), ["--port", "1"]),
        (("dashboard", "--port", "70000"), ["--port", "65535"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_invalid_request_says_what_was_wrong(
    run: Run, some: Path, arguments: tuple[str, ...], words: list[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("FAULTLINE_STORE", str(some))
    before = Store.open(some).head()
    ran = run(*arguments)
    must_fail(ran, *words)
    assert "root:" not in ran.err
    assert list(Path.cwd().iterdir()) == []
    assert Store.open(some).head() == before


def test_help_is_shown_without_arguments_and_for_every_command(run: Run) -> None:
    assert "Find the component that failed first" in run().out
    for name in ("ingest", "train", "score", "evaluate", "export", "info", "dashboard"):
        ran = run(name, "--help")
        assert ran.code == 0
        assert "--store" in ran.out


def test_the_help_of_export_lists_every_table(run: Run) -> None:
    page = " ".join(run("export", "--help").out.replace("│", " ").split())
    assert [name for name in TABLES if f"{name} (" not in page] == []


# -- training and scoring --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train", "evaluate"])
@pytest.mark.parametrize("points", [[], ["correct"] * 30 + ["asr"] * 3])
def test_too_few_labels_are_counted(run: Run, name: str, points: list[str]) -> None:
    gold = [trace(f"g{i}", gold={"failure_point": point}) for i, point in enumerate(points)]
    write_lines(Path("log.jsonl"), [trace("plain"), *gold])
    assert run("ingest", "log.jsonl").code == 0
    counts = [f"{n} {p}" for p in ("asr", "correct") if (n := points.count(p))] or ["none"]
    must_fail(run(name, "--without", "text"), ", ".join(counts), "gold", code=1)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_one_kind_of_label_is_named(run: Run, name: str) -> None:
    gold = [trace(f"g{i}", gold={"failure_point": "correct"}) for i in range(30)]
    write_lines(Path("log.jsonl"), [trace("plain"), *gold])
    assert run("ingest", "log.jsonl").code == 0
    words = ("all 30 labelled turns are called correct", "second kind")
    must_fail(run(name, "--without", "text"), *words, code=1)


@pytest.fixture
def trained(six: tuple[Store, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    shutil.copytree(six[0].path, tmp_path / "trained")
    monkeypatch.setenv("FAULTLINE_STORE", str(tmp_path / "trained"))
    settings_of = cli.models.settings_of
    # A quick and poor model: it is the commands that are tested here.
    monkeypatch.setattr(
        cli.models,
        "settings_of",
        lambda *a, **named: replace(settings_of(*a, **named), rounds=12, folds=2),
    )
    return Store.open(tmp_path / "trained")


@pytest.mark.long
def test_an_unknown_encoder_is_named(run: Run, trained: Store) -> None:
    must_fail(run("train", "--encoder", "no/such-encoder"), "no/such-encoder")


def test_a_model_is_trained_promoted_and_scores_every_turn(
    run: Run, trained: Store, six: tuple[Store, Model]
) -> None:
    ran = run("train", "--without", "text", "--seed", "3", "--no-promote", "--json")
    assert ran.code == 0
    trained_model = json.loads(ran.out)
    assert not trained_model["promoted"]
    assert trained.head().model == six[1].id
    ran = run("promote", trained_model["model"])
    assert trained_model["model"] in ran.out
    assert trained.head().model == trained_model["model"]
    report = json.loads(run("score", "--json").out)
    assert report["model_id"] == trained_model["model"]
    assert (
        report["scored"] == sum(report["verdicts"].values()) == trained.snapshot().counts()["turns"]
    )
    ran = run("score")
    assert (ran.code, ran.err) == (0, "")
    assert "Scored 0 turns" in ran.out
    facts = json.loads(run("info", "--json").out)
    assert facts["predictions"] == facts["turns"] == report["scored"]
    assert set(facts["models"]) == {trained_model["model"], six[1].id}
    card = trained.models / trained_model["model"] / "MODEL_CARD.md"
    assert "labelled turns" in card.read_text()
    assert "From the training itself" in card.read_text()
    ran = run("evaluate", "--model", "promoted", "--folds", "2")
    assert (ran.code, "Kept with" in ran.out) == (0, True)
    assert ran.out.startswith("Expect macro-F1 ")
    assert "begin at equal intervals" in card.read_text()
    assert "in 2 folds, on" in card.read_text()
    kept = json.loads((card.parent / "evaluation.json").read_text())
    assert (kept["model"], kept["without"], kept["seed"]) == (card.parent.name, ["text"], 3)


def test_train_prints_a_sentence_and_a_table(run: Run, trained: Store) -> None:
    ran = run("train", "--without", "text", "--context", "live")
    assert ran.code == 0
    assert "out-of-fold macro-F1" in ran.out
    first_words = [line.split()[0] for line in ran.out.splitlines()[1:] if line.strip()]
    assert set(FAILURE_POINTS) <= set(first_words)
    assert str(trained.head().model) in ran.out
    # Progress goes to the other stream.
    assert "…" in ran.err
    assert "…" not in ran.out


def test_evaluate_gives_an_interval_for_every_class(run: Run, trained: Store) -> None:
    ran = run("evaluate", "--folds", "2", "--without", "text", "--json")
    assert ran.code == 0
    result = json.loads(ran.out)
    assert list(result["classes"]) == list(FAILURE_POINTS)
    for name, row in result["classes"].items():
        for figure, (low, high) in result["intervals"]["classes"][name].items():
            assert 0 <= low <= row[figure] <= high <= 1
    low, high = result["intervals"]["macro_f1"]
    assert 0 < low <= result["macro_f1"] <= high <= 1
    assert "equal intervals" in result["forward"]["reason"]
    assert result["headline"]["split"] == "folds"


def test_labels_lists_disagreements(run: Run, trained: Store) -> None:
    ran = run("labels", "compare", "--show", "2")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out


# -- processes -------------------------------------------------------------------------------------


@pytest.mark.long
def test_exit_codes_hold_over_many_runs(some: Path, tmp_path: Path) -> None:
    for i in range(3):
        both = [
            command("export", "turns", "--to", tmp_path / f"{i}.csv", "--store", some),
            command("info", "--json", "--store", some),
        ]
        for process in both:
            _, problems = process.communicate(timeout=60)
            assert (process.returncode, problems) == (0, "")


def test_the_console_script_and_a_plain_terminal(some: Path) -> None:
    script = Path(sys.executable).with_name("faultline")
    done = subprocess.run(
        [script, "vacuum", "--keep-hours", "-1", "--store", some], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    plain = subprocess.run(
        [script, "ingest", "käse.jsonl", "--store", some],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert plain.returncode == 1
    assert plain.stderr.startswith(b"Error: k")
    assert plain.stderr.count(b"\n") == 1


def test_a_reader_that_stops_reading_causes_no_message(some: Path) -> None:
    process = command("info", "--store", some)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) in (0, 1)
    process.stderr.close()


def staged(store: Store) -> list[Path]:
    """The files in the store that are staged and not visible yet."""
    return [path for path in (store.path / ".staging").iterdir() if path.name != "spill"]


@pytest.mark.parametrize("size", [1, 20_000_000])
def test_an_interrupt_in_the_middle_leaves_the_store_unharmed(tmp_path: Path, size: int) -> None:
    store = Store.create(tmp_path / "store")
    ingest(store, [write_lines(tmp_path / "old.jsonl", [trace("old")])])
    before = store.head()
    # Standard input without an end keeps the command in the middle of its work.
    process = command(
        "ingest", "-", "--store", store.path, stdin=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    filler = "x" * 1000
    for i in range(1 + size // 1100):
        process.stdin.write(json.dumps(trace(f"t{i}", note=filler)) + "\n")
    process.stdin.flush()
    limit = time.monotonic() + 60
    while not staged(store):
        assert time.monotonic() < limit
        time.sleep(0.01)
    # As Ctrl-C does: a signal to the command and to its workers.
    os.killpg(process.pid, signal.SIGINT)
    _, problems = process.communicate(timeout=60)
    assert process.returncode == 130, problems
    assert problems.count("\n") == 1, problems
    assert problems.startswith("Interrupted; ")
    assert store.head() == before
    assert staged(store) == []


def test_an_interrupt_in_the_middle_of_a_query_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(*_: Any, **__: Any) -> None:
        # In the words of DuckDB.
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(cli.main, "app", counts)
    assert cli.main._run() == 130


def test_the_dashboard_reports_a_port_in_use(run: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        must_fail(run("dashboard", "--port", port), str(port), "--port", code=2)


@pytest.mark.parametrize("address", ["203.0.113.9", "nowhere.invalid"])
def test_the_dashboard_says_that_an_address_is_not_ours(run: Run, address: str) -> None:
    must_fail(run("dashboard", "--address", address), address, "--address", code=2)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_dashboard_starts_without_a_store(tmp_path: Path, address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = command(
        *("dashboard", "--port", port, "--store", tmp_path / "nowhere", "--address", address),
        *(() if address == "127.0.0.1" else ("--insecure",)),
    )
    try:
        limit = time.monotonic() + 60
        while True:
            assert process.poll() is None
            assert time.monotonic() < limit
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health") as answer:
                    assert answer.status == 200
                    break
            except OSError:
                time.sleep(0.2)
    finally:
        process.terminate()
        output, problems = process.communicate(timeout=60)
    assert f"http://127.0.0.1:{port}" in output
    assert "Traceback" not in output + problems
    assert ("Whoever can reach this machine" in output) == (address == "0.0.0.0")
    # Nobody elsewhere was asked for this machine's address.
    assert "external" not in (output + problems).lower()
