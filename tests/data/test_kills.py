"""A writing command that is killed at any point leaves the store at a whole version: that before or
that after it; and the command can be run again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from classifiers.model import Model
from data.ingest.ingest import ingest
from data.store.store import Store
from tests.damaged import CASES, damage
from tests.killed import COMMANDS
from tests.logs import trace, write_lines
from tests.power import ROOT, environment
from tests.scored import records, score

# At least; each is at a step of a commit, or between two.
POINTS = 60
_MORE = 4


def prepared(command: str, folder: Path) -> Path:
    """The store that a command is run on, and in `folder` the files that it reads."""
    store = Store.create(folder / "pristine")
    lines = [json.dumps(record, default=datetime.isoformat).encode() for record in records(8)]
    ingest(store, [write_lines(folder / "first.jsonl", lines)])
    score(store)
    shutil.copytree(store.models / "model-a", store.models / "model-b")
    new = [trace(f"n{n}", dialogue_id=f"n{n}", started_at=f"2024-03-{n:02}T09:00:00Z")
           for n in range(1, 9)]  # fmt: skip
    write_lines(folder / "log.jsonl", [*new, b"{bad"])
    # Several files a day, and an older version, for compaction and vacuum.
    more = [record | {"turn_id": f"m{i}"} for i, record in enumerate(new)]
    ingest(store, [write_lines(folder / "more.jsonl", more)])
    with store.snapshot() as snapshot:
        pq.write_table(snapshot.query("FROM predictions"), folder / "predictions.parquet")
        ids = snapshot.query("SELECT turn_id FROM turns ORDER BY 1 LIMIT 4")["turn_id"].to_pylist()
    verdicts = [
        {"annotation_id": f"a{i}", "turn_id": turn, "annotator": "ann", "failure_point": "asr"}
        for i, turn in enumerate(ids)
    ]
    (folder / "verdicts.jsonl").write_text("\n".join(map(json.dumps, verdicts)), "utf-8")
    if command == "vacuum":
        with store.commit() as cycle:
            cycle.rewrite("turns", list(cycle.files("turns")))
    if command == "doctor":
        damage(store.path, CASES["log of turns emptied"])
    if command == "create":
        shutil.rmtree(store.path)
    return store.path


def killed(command: str, folder: Path, points: int) -> list[dict[str, Any]]:
    """What is left after each kill, checked; returns it."""
    pristine = prepared(command, folder)
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed", command, str(pristine), str(folder), str(points)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    whole, *kills = map(json.loads, done.stdout.splitlines())
    allowed = [whole["before"], whole["after"]]
    for kill in kills:
        assert kill["found"] in allowed or (
            # A repair that is not complete leaves the store as damaged as it was.
            command == "doctor" and kill["found"]["damages"]
        ), kill
        assert "error" not in kill, kill
        assert kill["last"] == whole["after"], kill
        # The last points are a few calls from the end, and not every run takes as many.
        assert kill["killed"] or kill["found"] == whole["after"], kill
    assert whole["after"]["damages"] == []
    assert whole["after"].get("orphans", "0") == whole["after"].get("unsummed", "0") == "0"
    return [kill for kill in kills if kill["killed"]]


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_leaves_the_store_as_before_or_after(
    command: str, tmp_path: Path, six: tuple[Store, Model]
) -> None:
    if command == "train":
        shutil.copytree(six[0].models, tmp_path / "models")
        (tmp_path / "model").write_text(six[1].id, "utf-8")
    kills = killed(command, tmp_path, POINTS + _MORE)
    print(f"{command}: {len(kills)} kills")
    assert len(kills) >= POINTS


def test_some_kills(tmp_path: Path) -> None:
    assert len(killed("annotate", tmp_path, 3)) >= 2
