"""Outside judges: what they are shown, what of their files is kept, and that none of it is gold."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotation import candidates, judges
from annotation.files import import_annotations
from annotation.judges import JudgeImport, import_verdicts
from classifiers.training_data import training_turns
from data.errors import IngestError, UsageError
from data.export.export import export
from data.export.judge_turns import export_judge_turns
from data.ingest.ingest import ingest
from data.queries import annotations as people
from data.queries import generated_labels, ground_truth, turn_table
from data.queries.filters import Filter
from data.queries.judges import judge_records
from data.queries.judges import judges as known_judges
from data.queries.visibility import Reader
from data.store.annotations import annotate
from data.store.judges import annotator_of, is_judge, write_verdicts
from data.store.snapshot import Snapshot
from data.store.store import Store
from labels.generated import store as label_model
from labels.rules.derived import refresh
from tests import scored
from tests.command import Run, must_fail
from tests.logs import trace, write_lines
from tests.once import Once


@pytest.fixture(scope="module")
def filled(once: Once) -> Path:
    def fill(folder: Path) -> None:
        lines = [
            trace("a", user_id="user-9", device={"id": "x"}, asr={
                "hypotheses": [{"text": "play"}]}),
            trace("b", turn_index=1, asr={"hypotheses": [{"text": "again"}]}, gold={
                "failure_point": "asr", "transcript": "secret words"}),
            trace("c", turn_index=2, gold={"failure_point": "correct"}),
        ]  # fmt: skip
        store = Store.create(folder / "store")
        ingest(store, [write_lines(folder / "logs.jsonl", lines)])
        refresh(store)

    return once("judged", fill)


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Store:
    return Store.open(shutil.copytree(filled / "store", tmp_path / "store"))


def rows(store: Store, table: str = "judge_verdicts") -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return list(snapshot.query(f"FROM {table} ORDER BY ALL").to_pylist())


def answer(turn: str = "a", point: str | None = "asr", **more: Any) -> dict[str, Any]:
    return {"turn_id": turn, "failure_point": point, **more}


def take(store: Store, *lines: Any, name: str = "gpt", **more: Any) -> JudgeImport:
    content = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    return import_verdicts(store, content, "said.jsonl", name, **more)


# -- what a judge is shown -------------------------------------------------------------------------


def test_the_export_has_the_record_and_the_next_request_and_no_gold(
    store: Store, tmp_path: Path
) -> None:
    with store.snapshot() as snapshot:
        written = export_judge_turns(snapshot, tmp_path / "turns.jsonl", known=False)
    text = (tmp_path / "turns.jsonl").read_text("utf-8")
    turns = {line["turn_id"]: line for line in map(json.loads, text.splitlines())}
    assert written.turns == len(turns) == 3
    assert turns["a"]["heard"] == [{"text": "play"}]
    assert turns["a"]["next_request"]["heard"] == "again"
    assert "next_request" not in turns["c"]
    for hidden in ("gold", "secret", "user-9", '"x"', "failure_point"):
        assert hidden not in text
    instructions = Path(written.instructions).read_text("utf-8")
    assert all(f"`{name}`" in instructions for name in ("false_wake", "correct", "result"))


def test_turns_are_drawn_by_seed_from_those_of_known_truth(filled: Path) -> None:
    with Store.open(filled / "store").snapshot() as snapshot:

        def drawn(most: int, seed: int = 0) -> list[Any]:
            batches = judge_records(snapshot, most, seed)
            return [turn for batch in batches for turn in batch["turn_id"].to_pylist()]

        assert sorted(drawn(9)) == ["b", "c"]
        assert drawn(1) == drawn(1) == drawn(9)[:1]
        assert {drawn(1, seed)[0] for seed in range(9)} == {"b", "c"}


# -- what of its file is kept ----------------------------------------------------------------------


def test_verdicts_are_stored_with_all_that_was_said(store: Store) -> None:
    p = {"asr": 0.7, "correct": 0.3}
    report = take(
        store,
        answer("a", "ASR ", probabilities=p, reason=" loud \ud800", cost=0.02, heard="ignored"),
        answer("b", "false wake", confidence=0.9, digest=None),
        answer("c", None),
        name="judge: gpt ",
        cost_per_1000=5,
        currency="EUR",
    )
    assert (report.judge, report.verdicts, report.refused, report.unreadable) == (
        "judge:gpt", 2, 1, 0,
    )  # fmt: skip
    a, b, c = rows(store)
    assert (a["annotator"], a["failure_point"], a["answer"]) == ("judge:gpt", "asr", "verdict")
    assert (round(a["p_asr"], 6), round(a["p_correct"], 6), a["p_er"]) == (0.7, 0.3, 0.0)
    assert (a["reason"], a["cost"], a["currency"]) == ("loud ?", 0.02, "EUR")
    assert (b["failure_point"], round(b["confidence"], 6), b["p_asr"]) == ("false_wake", 0.9, None)
    assert (c["failure_point"], c["answer"], c["cost"]) == (None, "refused", 0.005)
    with store.snapshot() as snapshot:
        (judge,) = known_judges(snapshot).to_pylist()
    assert (judge["verdicts"], judge["refused"], round(judge["cost_per_1000"], 6)) == (2, 1, 10.0)


def test_a_bad_row_is_quarantined_and_counts_as_unreadable(store: Store) -> None:
    bad = [
        (answer(point="gremlins"), "failure_point", "false_wake or asr or nlu"),
        (answer(p_asr=0.5, p_correct=0.2), "p_correct", "add up to 1, got 0.7"),
        (answer(probabilities={"asr": 0.5}), "probabilities", "add up to 1, got 0.5"),
        (answer(probabilities={"asr": 0.5, "tts": 0.5}), "probabilities", "'tts'"),
        (answer(p_asr=1.5), "p_asr", "[0, 1]"),
        (answer(p_asr=float("nan")), "p_asr", "[0, 1]"),
        (answer(confidence="high"), "confidence", "a number"),
        (answer(cost=-1), "cost", ""),
        ({"turn_id": "a"}, "failure_point", "required, but missing"),
    ]
    report = take(store, *(line for line, _, _ in bad), answer("b"))
    for problem, (number, (_, where, words)) in zip(
        report.problems, enumerate(bad, 1), strict=True
    ):
        assert (problem.line, problem.field) == (number, where)
        assert words in problem.reason
    assert [(row["turn_id"], row["answer"]) for row in rows(store)] == [
        ("a", "unreadable"), ("b", "verdict"),
    ]  # fmt: skip
    kept = rows(store, "quarantine")
    assert [(row["line"], row["field"]) for row in kept] == [
        (problem.line, problem.field) for problem in report.problems
    ]


def test_unknown_turns_and_lines_that_are_no_rows_are_quarantined(store: Store) -> None:
    no_text = {"turn_id": 5, "failure_point": "er"}
    report = take(store, answer("zz"), b"{ no", no_text, answer("b"), answer("x", "gremlins"))
    assert [(p.line, p.field) for p in report.problems] == [
        (1, "turn_id"), (2, ""), (3, "turn_id"), (5, "failure_point"),
    ]  # fmt: skip
    assert [row["turn_id"] for row in rows(store)] == ["b"]


def test_contradictory_rows_spoil_each_other_and_a_retry_counts(store: Store) -> None:
    report = take(
        store,
        answer("a", "asr"), answer("a", "nlu"), answer("a", "asr"),
        answer("a", None), answer("b", None), answer("b", "er"),
        answer("c", "asr"), answer("c", "asr", reason="again"),
    )  # fmt: skip
    assert [(p.line, p.reason) for p in report.problems] == [
        (2, "line 1 says something else of turn 'a'"),
        (3, "line 1 says something else of turn 'a'"),
    ]
    assert report.repeated == 2
    assert [row["failure_point"] for row in rows(store)] == [None, "er", "asr"]
    assert rows(store)[0]["answer"] == "unreadable"


def test_an_import_replaces_the_judges_own_verdicts_only(store: Store) -> None:
    take(store, answer("a"), answer("b"), name="other")
    take(store, answer("a"), answer("b"))
    assert take(store, answer("c"), keep_others=True).replaced == 0
    report = take(store, answer("c", "nlu"))
    assert report.replaced == 3
    assert [(row["annotator"], row["turn_id"]) for row in rows(store)] == [
        ("judge:other", "a"), ("judge:other", "b"), ("judge:gpt", "c"),
    ]  # fmt: skip
    # A file without one usable row changes nothing.
    for unusable in (answer("zz"), answer("c", "gremlins"), answer("c", confidence=60)):
        assert take(store, unusable).replaced == 0
    assert [row["answer"] for row in rows(store)] == ["verdict"] * 3


def test_a_turn_that_changed_since_it_was_exported_is_not_judged(
    store: Store, tmp_path: Path
) -> None:
    with store.snapshot() as snapshot:
        export_judge_turns(snapshot, tmp_path / "t.jsonl", known=False)
    exported = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text("utf-8").splitlines()]
    changed = trace("a", asr={"hypotheses": [{"text": "stop"}]})
    ingest(store, [write_lines(tmp_path / "more.jsonl", [changed])])
    numbers = [{**turn, "digest": int(turn["digest"])} for turn in exported]
    for turns in (exported, numbers):
        report = take(store, *({**turn, "failure_point": "er"} for turn in turns))
        assert [problem.field for problem in report.problems] == ["turn_id"]
    (problem,) = report.problems
    assert "has changed since it was exported" in problem.reason
    assert [row["turn_id"] for row in rows(store)] == ["b", "c"]


def test_two_imports_at_once_leave_the_verdicts_of_one(store: Store) -> None:
    points = ("asr", "nlu")
    threads = [
        threading.Thread(target=lambda p=p: take(store, *(answer(t, p) for t in "abc")))
        for p in points
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [row["failure_point"] for row in rows(store)]
    assert said in (["asr"] * 3, ["nlu"] * 3)


def test_what_cannot_be_read_at_all_is_one_sentence(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(content: bytes, file: str = "said.jsonl", name: str = "gpt", **more: Any) -> str:
        with pytest.raises((UsageError, IngestError)) as error:
            import_verdicts(store, content, file, name, **more)
        return str(error.value)

    line = json.dumps(answer()).encode()
    assert "empty" in refused(b" \n")
    assert "UTF-8" in refused(line.decode().encode("utf-16"))
    assert "must end in" in refused(line, "said.xlsx")
    assert "no column 'failure_point'" in refused(b"turn_id\na\n", "said.csv")
    assert "no name of a judge" in refused(line, name="judge: ")
    assert "no name of a judge" in refused(line, name="x" * 61)
    assert "three capital letters" in refused(line, currency="euro")
    assert "needs its currency" in refused(line, cost_per_1000=1)
    assert "cannot cost" in refused(line, cost_per_1000=float("nan"), currency="EUR")
    monkeypatch.setattr("annotation.row_files.MOST_BYTES", 10)
    file = tmp_path / "large.jsonl"
    file.write_bytes(line)
    with pytest.raises(IngestError, match="split it"):
        import_verdicts(store, file, str(file), "gpt")
    assert rows(store) == []


def test_csv_and_parquet_say_the_same(store: Store, tmp_path: Path) -> None:
    csv = b"turn_id,failure_point,p_asr,p_correct,confidence\na,asr,0.9,0.1,\nb,,,,\nc,er,,,x\n"
    report = import_verdicts(store, csv, "said.csv", "gpt")
    assert (report.verdicts, report.refused, report.unreadable) == (1, 1, 1)
    before = [{k: v for k, v in row.items() if k != "created_at"} for row in rows(store)]
    table = pa.table(
        {
            "turn_id": ["a", "b", "c"],
            "failure_point": ["asr", None, "gremlins"],
            "p_asr": [0.9, None, None],
            "p_correct": [0.1, None, None],
        }
    )
    pq.write_table(table, tmp_path / "said.parquet")
    import_verdicts(store, tmp_path / "said.parquet", "said.parquet", "gpt")
    after = [{k: v for k, v in row.items() if k != "created_at"} for row in rows(store)]
    assert after == before


def test_a_number_that_is_missing_in_parquet_is_missing(store: Store, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "turn_id": ["a", "b", "c"],
            "failure_point": ["asr", "er", None],
            "p_asr": [0.9, None, None],
            "p_correct": [0.1, None, None],
            "confidence": [None, 0.7, None],
            "cost": [0.5, None, None],
            "probabilities": [None, {"er": 0.8, "correct": 0.2, "asr": float("nan")}, None],
            "reason": [None, None, "no answer"],
            "digest": [None, float("nan"), None],
        }
    )
    assert frame["cost"].isna().sum() == 2
    # As data frames of earlier versions are written: NaN, and no nulls.
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name in ("p_asr", "p_correct", "confidence", "cost", "digest"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(frame[name].to_numpy(float)))
    pq.write_table(table, tmp_path / "said.parquet")
    report = import_verdicts(store, tmp_path / "said.parquet", "said.parquet", "gpt")
    assert report.problems == ()
    a, b, c = rows(store)
    assert (round(a["p_asr"], 6), a["confidence"], a["cost"]) == (0.9, None, 0.5)
    assert (round(b["p_er"], 6), round(b["confidence"], 6), b["cost"]) == (0.8, 0.7, None)
    assert (c["answer"], c["reason"]) == ("refused", None if c["reason"] is None else "no answer")


def test_a_digest_that_became_a_number_is_read_or_refused(store: Store) -> None:
    exact = {row["turn_id"]: row["digest"] for row in rows(store, "turns")}
    assert all(abs(digest) > 2**53 for digest in exact.values())
    for digest in (exact["a"], str(exact["a"]), f" {exact['a']} "):
        assert take(store, answer("a", digest=digest)).problems == ()
    lost = [float(exact["a"]), f"{exact['a']:.5E}", f"{exact['a']}.0", float("inf"), 0.5]
    for digest in lost:
        report = take(store, answer("a", digest=digest), answer("b"), name="other")
        (problem,) = report.problems
        assert (problem.line, problem.field, report.unreadable) == (1, "digest", 1)
        assert "rounded number" in problem.reason
        assert "leave the column out" in problem.reason
    # Small enough to be whole, it is compared.
    for small in (12.0, "12.0", "12."):
        (problem,) = take(store, answer("a", digest=small)).problems
        assert "has changed since it was exported" in problem.reason
    csv = f"turn_id,failure_point,digest\na,asr,{exact['a']:.5E}\nb,er,{exact['b']}\n".encode()
    report = import_verdicts(store, csv, "said.csv", "gpt")
    assert [(p.line, p.field) for p in report.problems] == [(2, "digest")]
    assert report.verdicts == 1


@pytest.mark.parametrize("name", ["said.csv", "said.parquet", "said.jsonl"])
def test_a_file_without_rows_or_with_a_column_twice_is_refused(store: Store, name: str) -> None:
    take(store, answer("a"), answer("b"))
    before = rows(store)
    empty = {
        "said.csv": b"turn_id,failure_point\r\n\r\n",
        "said.parquet": parquet(pa.table({"turn_id": [""], "failure_point": [""]})[:0]),
        "said.jsonl": "\ufeff\n\n".encode(),
    }
    with pytest.raises(IngestError, match=r"(has no rows|is empty); expected one verdict per row"):
        import_verdicts(store, empty[name], name, "gpt")
    if name != "said.jsonl":
        columns = ["turn_id", "failure_point", "failure_point"]
        cells = [pa.array([text]) for text in ("a", "er", "asr")]
        twice = pa.Table.from_arrays(cells, columns)
        content = f"{','.join(columns)}\na,er,asr\n".encode()
        with pytest.raises(IngestError, match="2 columns named 'failure_point'"):
            import_verdicts(
                store, parquet(twice) if name == "said.parquet" else content, name, "gpt"
            )
    assert rows(store) == before
    assert rows(store, "quarantine") == []


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_a_packed_file_is_unpacked_as_logs_are(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = json.dumps(answer("a")).encode() + b"\n" + json.dumps(answer("b")).encode()
    csv = b"turn_id,failure_point\na,asr\nb,asr\n"
    packed = {
        "said.jsonl.gz": gzip.compress(lines),
        "said.csv.GZ": gzip.compress(csv),
        "said.jsonl.zst": pa.compress(lines, "zstd", asbytes=True),
        "said.jsonl": gzip.compress(lines),
        "plain.csv.gz": csv,
        "said.parquet.gz": gzip.compress(
            parquet(pa.table({"turn_id": ["a", "b"], "failure_point": ["asr", "asr"]}))
        ),
    }
    for name, content in packed.items():
        (tmp_path / name).write_bytes(content)
        for source in (content, tmp_path / name):
            assert import_verdicts(store, source, name, "gpt").verdicts == 2
    whole = packed["said.jsonl.gz"]
    for broken, words in (
        (whole[:-9], "truncated"),
        (whole[:-8] + bytes(8), "damaged"),
        (gzip.compress(whole), "not UTF-8"),
    ):
        with pytest.raises(IngestError, match=words):
            import_verdicts(store, broken, "said.jsonl.gz", "gpt")
    with pytest.raises(UsageError, match="must end in"):
        import_verdicts(store, whole, "said.gz", "gpt")
    monkeypatch.setattr("annotation.row_files.MOST_BYTES", 1 << 20)
    with pytest.raises(IngestError, match="more than 1 MB"):
        import_verdicts(store, gzip.compress(b" " * (1 << 26)), "said.jsonl.gz", "gpt")
    assert len(rows(store)) == 2


# -- the name of a judge ---------------------------------------------------------------------------


def test_nobody_annotates_under_a_judges_name(store: Store) -> None:
    names = ["judge:gpt", " Judge:gpt", "ＪＵＤＧＥ：gpt", "judge:"]
    turn = rows(store, "turns")[0]
    for name in names:
        with pytest.raises(UsageError, match="faultline judge import"):
            annotate(store, turn, name, "asr")
    lines = [answer("a") | {"annotator": name} for name in names]
    said = "\n".join(map(json.dumps, lines)).encode()
    problems = import_annotations(store, said, "people.jsonl").problems
    assert [problem.field for problem in problems] == ["annotator"] * len(names)
    assert "for outside judges" in problems[0].reason
    assert rows(store, "annotations") == []


def test_other_names_are_peoples() -> None:
    assert not any(map(is_judge, ("judge", "the judge:x", "judgement:x", "judge x:", "")))
    composed, decomposed = "judge:J\u00fcrgen", "judge:Ju\u0308rgen"
    assert annotator_of(decomposed) == annotator_of(decomposed[6:]) == composed
    assert annotator_of("a") == annotator_of("judge:a") == annotator_of("JUDGE: a ") == "judge:a"


# -- no gold ---------------------------------------------------------------------------------------

MUSIC = Filter(domain=("music",))
READERS: dict[str, Callable[[Snapshot], Any]] = {
    "latest annotations": people.latest,
    "settled verdicts": lambda s: s.query(f"{people.SETTLED_SQL} ORDER BY turn_id"),
    "counts of labels": ground_truth.label_counts,
    "labelled turns": lambda s: ground_truth.labelled(s, scored.MODEL),
    "the sample for rates": lambda s: ground_truth.sampled(s, scored.MODEL, MUSIC),
    "turns to train on": lambda s: training_turns(s, 0),
    "turns of the label model": lambda s: label_model.training_turns(s, 0),
    "the queue": lambda s: candidates.candidates(s, scored.MODEL, Filter()),
    "the queue at random": lambda s: candidates.at_random(s, scored.MODEL, Filter()),
    "annotated turns": lambda s: turn_table.annotated(s, scored.MODEL, MUSIC),
    "annotated turns by days": lambda s: turn_table.annotated(s, scored.MODEL, Filter()),
    "the filter for annotated turns": lambda s: ground_truth.labelled(
        s, scored.MODEL, Filter(source="annotated")
    ),
    "differences from generated labels": lambda s: generated_labels.differences(
        s, scored.MODEL, Filter(), "failure_point"
    ),
    "second opinions": lambda s: Reader.of(s),
    "rows of annotations": lambda s: s.counts()["annotations"],
}


@pytest.fixture(scope="module")
def before_and_after(once: Once, scored_store: Store) -> tuple[Store, Store]:
    """A store with people's verdicts, and the same with a judge's on every turn."""

    def fill(folder: Path) -> None:
        store = Store.open(shutil.copytree(scored_store.path, folder / "before"))
        refresh(store)
        turns = rows(store, "turns")
        for turn, who, point in (
            (turns[0], "ann", "asr"), (turns[0], "bob", "asr"), (turns[1], "ann", "nlu"),
        ):  # fmt: skip
            annotate(store, turn, who, point)
        after = Store.open(shutil.copytree(folder / "before", folder / "after"))
        report = take(after, *(answer(turn["turn_id"], "er") for turn in turns))
        assert report.verdicts == len(turns)

    folder = once("judged-everything", fill)
    return Store.open(folder / "before"), Store.open(folder / "after")


@pytest.fixture(scope="module")
def snapshots(before_and_after: tuple[Store, Store]) -> Iterator[tuple[Snapshot, Snapshot]]:
    before, after = before_and_after
    with before.snapshot() as one, after.snapshot() as other:
        yield one, other


@pytest.mark.parametrize("reader", READERS)
def test_a_judges_verdicts_are_no_gold(snapshots: tuple[Snapshot, Snapshot], reader: str) -> None:
    seen = [READERS[reader](snapshot) for snapshot in snapshots]
    before, after = (a.to_pylist() if isinstance(a, pa.Table) else a for a in seen)
    assert before == after


def test_an_export_of_annotations_is_without_judges(
    before_and_after: tuple[Store, Store], tmp_path: Path
) -> None:
    for store, name in zip(before_and_after, ("before", "after"), strict=True):
        with store.snapshot() as snapshot:
            export(snapshot, "annotations", tmp_path / f"{name}.jsonl")
            export(snapshot, "turns", tmp_path / f"{name}-turns.jsonl")
    for kind in ("", "-turns"):
        before, after = (tmp_path / f"{name}{kind}.jsonl" for name in ("before", "after"))
        assert before.read_bytes() == after.read_bytes()


# -- commands --------------------------------------------------------------------------------------


def test_the_commands_say_what_was_done(run: Run, store: Store, tmp_path: Path) -> None:
    where = ("--store", str(store.path))
    file = tmp_path / "turns.jsonl"
    ran = run("judge", "export", "--to", str(file), "--any", *where)
    assert (ran.code, "3 turns in" in ran.out) == (0, True), ran
    said = write_lines(tmp_path / "said.jsonl", [answer("a"), answer("b", None), answer("zz")])
    ran = run("judge", "import", str(said), "--name", "gpt", *where)
    assert ran.code == 1
    assert "1 verdict of judge:gpt, 1 refused, 1 row quarantined" in ran.out
    assert "line 3, turn_id: the store has no turn 'zz'" in ran.out
    assert "judge:gpt" in run("judge", "list", *where).out
    assert "Removed 2 answers of judge:gpt" in run("judge", "remove", "gpt", *where).out
    must_fail(run("judge", "compare", "gpt", *where), "there is none yet")
    must_fail(run("judge", "import", str(tmp_path / "no.csv"), "--name", "g", *where), "no.csv")


def test_the_judge_of_the_guide_judges_what_was_exported(store: Store, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "judges.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.S)
    (tmp_path / "rules.py").write_text(program, "utf-8")
    with store.snapshot() as snapshot:
        export_judge_turns(snapshot, tmp_path / "turns.jsonl", known=False)
    command = [sys.executable, "rules.py", "turns.jsonl"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    report = import_verdicts(store, said, "verdicts.jsonl", "rules")
    assert (report.verdicts, report.problems) == (3, ())
    assert {row["failure_point"] for row in rows(store)} == {"correct", "false_wake"}


def test_a_write_that_waits_too_long_is_one_sentence(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.errors import StoreBusy

    monkeypatch.setattr("data.store.judges.PATIENCE_S", 0.05)
    with store.commit(), pytest.raises(StoreBusy):
        write_verdicts(store, "judge:x", judges._GIVEN.empty_table())
