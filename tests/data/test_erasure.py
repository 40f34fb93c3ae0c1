"""After a deletion and a vacuum nothing of the deleted turns is left in the store's folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotation.files import import_annotations
from annotation.judges import import_verdicts
from classifiers import registry
from classifiers.out_of_fold import HeldOut
from classifiers.shap_archive import Explained
from data.errors import ModelError
from data.ingest.ingest import ingest
from data.ingest.validation import excerpt
from data.schema.layout import TABLES
from data.store import workspace
from data.store.annotations import annotate
from data.store.erasure import EXCERPT
from data.store.predictions import commit_predictions
from data.store.retention import retain
from data.store.store import Store
from data.store.turn_deletion import delete
from data.store.vacuum import vacuum
from tests.command import Run
from tests.logs import trace, write_lines
from tests.once import Once

USER, OTHER = "user-zzmark01", "user-other99"
# Ids as people have them: short, with quotes, escaped in JSON, with other letters.
USERS = [USER, 'zzü-mark "q" \'o', "u7"]
NEVER = re.compile(rb"zz|\bu7\b", re.IGNORECASE)


def contents(folder: Path) -> dict[str, bytes]:
    """All bytes below a folder, as stored and, of Parquet and NumPy files, unpacked."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        found[name] = path.read_bytes()
        if path.suffix == ".parquet":
            rows = pq.ParquetFile(path).read().to_pylist()
            found[f"{name} unpacked"] = json.dumps(rows, default=str, ensure_ascii=False).encode()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                texts = [str(arrays[key].tolist()) for key in arrays.files]
            found[f"{name} unpacked"] = " ".join(texts).encode()
    return found


def where_left(folder: Path) -> list[str]:
    return [f"{name}: {match[0]!r}" for name, data in contents(folder).items()
            if (match := NEVER.search(data)) and b"PAR1" not in data[:4]]  # fmt: skip


def line(user: str, number: int, **fields: Any) -> dict[str, Any]:
    tag = "zz" if user in USERS else "ok"
    return trace(
        f"{tag}turn-{number}",
        dialogue_id=f"{tag}dialogue-{number // 2}",
        turn_index=number % 2,
        started_at=f"2024-05-01T09:{number:02d}:00Z",
        user_id=user,
        assistant="kitchen",
        asr={"hypotheses": [{"text": f"{tag}words of turn {number}"}]},
        nlu={"hypotheses": [{"domain": "music", "intent": f"{tag}intent"}]},
        result={"response": f"{tag}answer"},
        gold={"transcript": f"{tag}words said", "annotator": f"{tag}gold"},
        **fields,
    )


def bad_lines(user: str, number: int) -> list[Any]:
    """Lines that go to quarantine and name a user in different ways."""
    base = line(user, number) | {"turn_index": -1}
    escaped = json.dumps(base)
    long: dict[str, Any] = {"extra_words": "x" * 3000}
    return [
        base,
        json.dumps(base, ensure_ascii=False).encode(),
        # Escapes that no encoder writes.
        escaped.replace("user-", "\\u0075ser\\u002D").encode(),
        # The id beyond the kept excerpt, and cut by it.
        {**long, **base},
        {"pad": "x" * (EXCERPT - 30), "user_id": user, **{k: base[k] for k in ("turn_id",)}},
        # Not JSON: the line ends in a value, before the excerpt ends and after.
        escaped[:-40].encode(),
        (json.dumps({**long, **base}) + "}}").encode(),
        str(base).encode(),
        # Without the user, with the dialogue; with the turn only.
        {k: v for k, v in base.items() if k not in ("user_id", "turn_id")} | {"turn_id": 5},
        {"turn_id": base["turn_id"]},
        {"user_id": user, "note": "nothing else"},
    ]


def model_folder(store: Store, name: str, turn_ids: list[str]) -> Path:
    """What a model keeps of its training turns; it is nothing else."""
    folder = store.models / name
    folder.mkdir()
    n = len(turn_ids)
    ids = np.array(turn_ids)
    HeldOut(pa.array(sorted(turn_ids)), np.arange(n), np.ones((n, 2))).write(
        folder / "held_out.parquet"
    )
    Explained(
        ids, ("asr", "correct"), ("a", "b"), np.ones((2, 2)), np.ones((2, 7)), ("a", "b"),
        np.arange(2.0 * n).reshape(n, 2), np.zeros((2, n, 2)), np.zeros((2, 1, 2)),
        np.zeros((2, 1)), n,
    ).write(folder / "shap.npz")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def filled(once: Once) -> Path:
    return once("erasure", _fill) / "store"


@pytest.fixture
def full(filled: Path, tmp_path: Path) -> Store:
    """A store with one user's marks in every place that there is."""
    return Store.open(shutil.copytree(filled, tmp_path / "store"))


def _fill(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    good = [line(user, 2 * i + j) for i, user in enumerate(USERS) for j in range(2)]
    good += [line(OTHER, 20), line(OTHER, 21), line(OTHER, 22)]
    bad = [row for i, user in enumerate(USERS) for row in bad_lines(user, 2 * i)]
    logs = tmp_path / "logs" / USER
    logs.mkdir(parents=True)
    ingest(store, [write_lines(logs / "log.jsonl", [*good, *bad])])
    others = [*bad_lines(OTHER, 20)[:4], {"turn_id": "t", "turn_index": 7}, b"{ not json"]
    ingest(store, [write_lines(tmp_path / "other.jsonl", [line(OTHER, 20), *others])])
    with store.snapshot() as snapshot:
        turns = snapshot.query("FROM turns").to_pylist()
    columns: dict[str, Any] = dict.fromkeys(TABLES["predictions"].columns)
    rows = [
        {**columns, **{k: t[k] for k in ("turn_id", "dialogue_id", "turn_index", "day")}}
        | {"failure_point": "asr", "p_asr": 0.5, "heard": t["asr"]["hypotheses"][0]["text"],
           "intent": t["nlu"]["hypotheses"][0]["intent"]}
        for t in turns
    ]  # fmt: skip
    commit_predictions(store, pa.Table.from_pylist(rows, schema=TABLES["predictions"].schema), "m")
    model_folder(store, "m", [t["turn_id"] for t in turns])
    for t in turns:
        annotate(store, t, "anna", "asr", transcript=t["asr"]["hypotheses"][0]["text"],
                 note=f"about {t['turn_id']}")  # fmt: skip
    mine = next(t for t in turns if t["turn_id"] == "okturn-21")
    annotate(store, mine, "ben", "nlu", note="just like zzturn-0 of zzdialogue-0")
    annotate(store, mine, USER, "nlu")
    # A field outside the verdict is wrong, so that the row is quarantined with its ids.
    row = {"turn_id": "zzturn-0", "annotator": "anna", "failure_point": "asr", "mood": 1}
    file = write_lines(tmp_path / "a.jsonl", [row])
    import_annotations(store, file, "a.jsonl")
    reasons = {t["turn_id"]: f"as in {t['dialogue_id']}" for t in turns}
    reasons["okturn-21"] = "just like zzturn-0"
    said = [{"turn_id": t, "failure_point": "asr", "reason": why} for t, why in reasons.items()]
    import_verdicts(store, write_lines(tmp_path / "j.jsonl", said), "j.jsonl", "model x")
    sql = f"SELECT * FROM turns WHERE user_id = '{USER}'"
    for name, query in {
        "by SQL": {"show": "sql", "sql": sql},
        "by a short id": {"sql": "FROM turns WHERE user_id='u7' LIMIT 5"},
        "by turn": {"turn": "zzturn-1"},
        "by dialogue": {"text": "zzdialogue-0"},
        "by name": {"sql": "FROM turns WHERE user_id = 'zzü-mark \"q\" ''o'"},
        f"of {USER}": {"show": "table"},
        "kept": {"text": "okwords"},
    }.items():
        workspace.save_view(store, name, "explore", urlencode(query))
    workspace.set_triage(store, "asr:intent=a", "asr", owner="anna", note=f"{USER} again")
    link = "https://tickets/?turn=zzturn-0"
    workspace.set_triage(store, "nlu:intent=b", "nlu", note="seen", link=link)
    workspace.set_triage(store, "nlu:intent=c", "nlu", note="not u77")
    workspace.put_setting(store, "pinned", {"turn": "zzturn-1"})
    workspace.put_setting(store, "second_opinions", 0.3)


def test_nothing_is_left_of_a_user(full: Store) -> None:
    assert where_left(full.path)
    report = delete(full, user_ids=USERS)
    assert (report.turns, report.predictions) == (6, 6)
    vacuum(full, keep_hours=0)
    assert where_left(full.path) == []
    with full.snapshot() as snapshot:
        assert [v["name"] for v in workspace.views(snapshot)] == ["kept"]
        triage = workspace.triage(snapshot)
        assert [triage[f"{k}"]["note"] for k in ("asr:intent=a", "nlu:intent=b")] == [None, "seen"]
        assert triage["asr:intent=a"]["owner"] == "anna"
        assert triage["nlu:intent=c"]["note"] == "not u77"
        assert workspace.setting(snapshot, "second_opinions", 0) == 0.3
        assert workspace.setting(snapshot, "pinned", None) is None
        assert snapshot.query("SELECT count(*) AS n FROM turns").to_pylist() == [{"n": 3}]
        judged = snapshot.query("SELECT turn_id, reason FROM judge_verdicts ORDER BY ALL")
        assert [tuple(row.values()) for row in judged.to_pylist()] == [
            ("okturn-20", "as in okdialogue-10"),
            ("okturn-21", None),
            ("okturn-22", "as in okdialogue-11"),
        ]
        verdicts = snapshot.query(
            "SELECT annotator, note FROM annotations WHERE turn_id = 'okturn-21'"
        )
        by_name = {r["annotator"]: r["note"] for r in verdicts.to_pylist()}
        assert by_name.keys() - {"anna", "ben"} == {
            name for name in by_name if name.startswith("deleted-")
        }
        assert len(by_name) == 3
        assert by_name["ben"] is None
        # What another user's lines say stays.
        kept = snapshot.query("SELECT excerpt FROM quarantine").to_pylist()
    assert len(kept) == 6
    assert sum(OTHER in row["excerpt"] for row in kept) == 3


@pytest.mark.long
def test_what_is_removed_and_what_remains_is_said(run: Run, full: Store) -> None:
    full.promote("m")
    done = run("delete", "--user", USER, "--store", full.path)
    assert done.code == 0
    for part in ("Deleted 2 turns, 2 predictions and", "2 annotations", "saved view",
                 "note on slices", "rows of models", "name of ingested files"):  # fmt: skip
        assert part.rstrip("s") in done.out.replace("notes", "note").replace("names", "name")
    store = f"--store {full.path}"
    assert f"faultline vacuum --keep-hours 0 {store}" in done.out
    assert f"faultline train {store}" in done.out
    assert f"faultline vacuum --promoted-only --keep-hours 0 {store}" in done.out
    # The rest of the other users is still there.
    said = run("delete", "--user", "nobody", "--store", full.path).out
    assert said == "Nothing in the store is of user 'nobody'.\n"


def test_a_dialogue_goes_as_a_user_does(full: Store) -> None:
    delete(full, dialogue_ids=["zzdialogue-0"])
    vacuum(full, keep_hours=0)
    left = [name for name, data in contents(full.path).items()
            if re.search(rb"zzdialogue-0|zzturn-[01]\b", data)]  # fmt: skip
    assert left == []
    with full.snapshot() as snapshot:
        assert snapshot.counts()["turns"] == 7


def test_retention_goes_as_far(full: Store, tmp_path: Path) -> None:
    from datetime import date

    ingest(full, [write_lines(tmp_path / "new.jsonl", [
        line(OTHER, 40) | {"started_at": "2024-06-01T09:00:00Z"}])])  # fmt: skip
    retain(full, days=10, today=date(2024, 6, 2))
    vacuum(full, keep_hours=0)
    left = [name for name, data in contents(full.path).items() if re.search(rb"zzturn-\d", data)]
    # Lines are kept by the day on which they were quarantined, unless they name a turn that goes.
    assert left == []


def test_words_that_nobody_else_said_are_named(store: Store, tmp_path: Path) -> None:
    mine = line(USER, 0) | {"asr": {"hypotheses": [{"text": "call doctor schmittlein"}]}}
    other = line(OTHER, 20) | {"asr": {"hypotheses": [{"text": "call the doctor"}]}}
    ingest(store, [write_lines(tmp_path / "log.jsonl", [mine, other])])
    workspace.save_view(store, "rare", "explore", urlencode({"text": "Schmittlein"}))
    workspace.save_view(store, "usual", "explore", urlencode({"text": "doctor"}))
    workspace.set_triage(store, "er:intent=a", "er", note="again Schmittlein, see the list")
    report = delete(store, user_ids=[USER])
    assert report.unread == ("the note on er:intent=a", "the view rare")
    assert "the view rare" in str(report)


def test_files_beside_the_store_are_named(full: Store) -> None:
    (full.path / "mine.csv").write_text(USER, "utf-8")
    report = delete(full, user_ids=[USER])
    assert f"the file {full.path / 'mine.csv'}" in report.unread


def test_a_file_or_signal_named_after_a_user_leaves_no_name_in_the_counts(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    record = line("zzuser-9", 9, tts={"latency_ms": 1e300})
    signals = line("okuser-9", 8) | {"asr": {"hypotheses": [], "signals": {"zzuser-9": 1e300}}}
    ingest(store, [write_lines(tmp_path / "logs" / "zzuser-9.jsonl", [record])])
    ingest(store, [write_lines(tmp_path / "logs" / "others.jsonl", [signals])])
    delete(store, user_ids=["zzuser-9"])
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM left_out ORDER BY field").to_pylist()
    assert [row["field"] for row in rows] == ["(deleted)", "tts.latency_ms"]
    assert rows[1]["file"] == "(deleted)"


def test_a_dialogue_of_several_users_keeps_the_others(store: Store, tmp_path: Path) -> None:
    rows = [trace("a", user_id=USER), trace("b", user_id=OTHER, turn_index=1)]
    ingest(store, [write_lines(tmp_path / "log.jsonl", rows)])
    workspace.save_view(store, "both", "explore", urlencode({"text": "d1"}))
    delete(store, user_ids=[USER])
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT turn_id FROM turns").to_pylist() == [{"turn_id": "b"}]
        assert len(workspace.views(snapshot)) == 1


# -- cut lines -------------------------------------------------------------------------------------


def test_a_cut_line_says_whose_it_is() -> None:
    record = {"text": "x" * 5000, "turn_id": "t", "user_id": "ü"}
    kept = excerpt(json.dumps(record).encode())
    assert kept.endswith('… (turn_id: "t", user_id: "ü")')
    assert len(kept) == EXCERPT
    assert excerpt(b"{" + b"x" * 5000).endswith("x…")
    assert excerpt(b'{"a": 1}') == '{"a": 1}'


def test_cut_lines_of_unknown_users_lose_their_text(store: Store) -> None:
    """Also those that an earlier version cut, which does not say whose they are."""
    row: dict[str, Any] = dict.fromkeys(TABLES["quarantine"].columns) | {"file": "f"}
    texts = ["x" * EXCERPT, "{" + "x" * 100 + "…", "short", 'y… (user_id: "someone")']
    rows = [row | {"line": i, "excerpt": text} for i, text in enumerate(texts)]
    with store.commit() as cycle:
        schema = TABLES["quarantine"].schema
        cycle.append("quarantine", pa.Table.from_pylist(rows, schema=schema))
    report = delete(store, user_ids=[USER])
    assert report.others == {"excerpts of cut lines": 2}
    with store.snapshot() as snapshot:
        kept = snapshot.query("SELECT excerpt FROM quarantine ORDER BY line").to_pylist()
    assert [r["excerpt"] for r in kept] == ["", "", *texts[2:]]


# -- models ----------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_model_forgets_turns_and_stays_the_same_model(six_scored: Store, tmp_path: Path) -> None:
    store = Store.open(shutil.copytree(six_scored.path, tmp_path / "own"))
    name = str(store.head().model)
    before = registry.load(store.models, name)
    assert before.held_out is not None
    some = [str(turn) for turn in before.held_out.turn_ids.to_pylist()[:40]]
    for gone in (some[:20], some[20:]):
        # Twice: the files of a model change with each deletion.
        report = delete(store, turn_ids=gone)
        assert report.others["rows of models"] >= len(gone)
        assert name in report.models
        after = registry.load(store.models, name)
        explained = Explained.read(store.models / name / registry.EXPLAINED)
        assert after.held_out is not None
        assert explained is not None
        assert not set(after.held_out.turn_ids.to_pylist()) & set(gone)
        assert not set(explained.turn_ids.tolist()) & set(gone)
        assert len(explained.x) == len(explained.turn_ids) == explained.values.shape[1]
    assert before.held_out is not None
    assert after.held_out is not None
    same = after.held_out.turn_ids.to_pylist()
    rows = [before.held_out.turn_ids.to_pylist().index(turn) for turn in same]
    assert np.array_equal(before.held_out.probability[rows], after.held_out.probability)
    # Any other change is still noticed.
    booster = store.models / name / "booster.txt"
    booster.write_text(booster.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(ModelError, match=r"booster\.txt"):
        registry.load(store.models, name)


@pytest.mark.long
def test_a_training_that_ends_after_the_deletion(full: Store) -> None:
    delete(full, user_ids=USERS)
    model_folder(full, "late", ["zzturn-0", "okturn-20"])
    vacuum(full, keep_hours=0)
    assert where_left(full.path) == []
    table = pq.read_table(full.models / "late" / "held_out.parquet")
    assert table["turn_id"].to_pylist() == ["okturn-20"]
