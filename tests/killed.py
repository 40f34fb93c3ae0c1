"""Kills a writing command at many points, and says what each kill has left.

    python -m tests.killed COMMAND STORE FILES POINTS

Each kill is a process of its own, forked after everything is imported, which ends itself by SIGKILL
at the n-th call of a function: at and after each call that writes, renames, syncs, removes or
commits, and at calls spread evenly over the rest. A further process looks at the store and runs the
command once more. Prints one line of JSON per point, after one about the whole store.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from annotation.files import import_annotations
from data.errors import FaultlineError
from data.ingest.ingest import ingest
from data.store.compaction import compact
from data.store.predictions import commit_predictions
from data.store.repair import examine, repair
from data.store.retention import retain
from data.store.store import Store
from data.store.turn_deletion import delete
from data.store.vacuum import vacuum

if TYPE_CHECKING:
    from classifiers.model import Model

# Calls of C functions after which a file, a folder or a log is not as before.
_WRITING = {
    *("open", "write", "rename", "replace", "link", "fsync", "unlink", "mkdir", "rmdir", "utime"),
    *("create_write_transaction", "create_deltalake", "restore", "cleanup_metadata", "copyfile"),
    *("close", "write_table", "write_batch", "chmod", "flock", "sendfile"),
}


@cache
def _model(files: Path) -> Model:
    # Imported here, as it takes longer than most of these commands.
    from classifiers import registry

    return registry.load(files / "models", (files / "model").read_text(), threads=1)


def _train(store: Store, files: Path) -> None:
    """What training does to a store; the fit itself writes nothing into it."""
    from classifiers import registry

    model = _model(files)
    store.promote(registry.save(model, files / "models" / model.id, store.models))


def _score(store: Store, files: Path) -> None:
    commit_predictions(store, pq.read_table(files / "predictions.parquet"), "m-new")


COMMANDS: dict[str, Callable[[Store, Path], object]] = {
    "ingest": lambda store, files: ingest(store, [files / "log.jsonl"]),
    "score": _score,
    "train": _train,
    "annotate": lambda store, files: import_annotations(
        store, files / "verdicts.jsonl", "verdicts.jsonl"
    ),
    "delete": lambda store, files: delete(store, dialogue_ids=["d000", "d001", "d002"]),
    "retain": lambda store, files: retain(store, days=10, today=date(2024, 3, 22)),
    "compact": lambda store, files: compact(store),
    "vacuum": lambda store, files: vacuum(store, keep_hours=0),
    "promote": lambda store, files: store.promote("model-b"),
    "doctor": lambda store, files: repair(store.path),
    "create": lambda store, files: Store.ensure(store.path),
}


def main(command: str, pristine: Path, files: Path, points: int) -> None:
    """Kill `command` at `points` points at least, each time on a copy of the store `pristine`."""
    run = COMMANDS[command]
    if command == "train":
        _model(files)
    work = files / "work" / "store"
    work.parent.mkdir()

    def fresh() -> None:
        shutil.rmtree(work.parent)
        work.parent.mkdir()
        if pristine.exists():
            shutil.copytree(pristine, work)

    fresh()
    before = _forked(lambda: _state(work))
    counted = _forked(lambda: _counted(lambda: run(Store(work), files)))
    after = _forked(lambda: _state(work))
    print(json.dumps({"before": before, "after": after, "calls": counted["calls"]}), flush=True)
    for point in _chosen(counted["calls"], counted["writing"], points):
        fresh()
        killed = _killed_at(point, lambda: run(Store(work), files))
        left = _forked(lambda: _left(work, lambda: run(Store(work), files)))
        print(json.dumps({"point": point, "killed": killed, **left}), flush=True)


def _left(root: Path, run: Callable[[], object]) -> dict[str, Any]:
    """What a kill has left, and what the store holds once the command has run again."""
    found = _state(root)
    run()
    return {"found": found, "last": _state(root)}


def _chosen(calls: int, writing: list[int], points: int) -> list[int]:
    """Numbers of calls: spread over those that write and those after them, and over all."""
    near = sorted({number + more for number in writing for more in (0, 1)})
    most = points * 3 // 4
    some = {near[i * len(near) // most] for i in range(most)}
    rest = (number for number in range(1, calls, max(1, calls // points)) if number not in some)
    return sorted([*some, *itertools.islice(rest, points - len(some))])


def _state(root: Path) -> dict[str, Any]:
    """What a store holds; `damages` if it is not whole."""
    if not root.exists():
        return {"damages": [], "missing": True}
    head, damages = examine(root)
    if damages or head is None:
        return {"damages": [str(damage) for damage in damages]}
    store = Store.open(root)
    with store.snapshot() as snapshot:
        counts = snapshot.counts()
        # Each run adds a line about itself.
        del counts["runs"]
        # A table without files is empty by definition.
        for name in (name for name in counts if snapshot.files[name]):
            assert snapshot.query(f"FROM {name}").num_rows == counts[name]
        (row,) = snapshot.query(
            "SELECT (SELECT bit_xor(hash(turn_id)) FROM turns)::VARCHAR AS turns, "
            "(SELECT count(*) FROM predictions ANTI JOIN turns USING (turn_id, day)) AS orphans, "
            "(SELECT count(*) FROM predictions) - (SELECT coalesce(sum(turns), 0) FROM rollup) "
            "AS unsummed"
        ).to_pylist()
    row = {key: str(value) for key, value in row.items()}
    return {"damages": [], "counts": counts, "model": head.model, **row}


def _forked(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of `work` in a process of its own; what went wrong as `error`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            result = work()
        except FaultlineError as error:
            result = {"error": str(error)}
        except BaseException:
            result = {"error": traceback.format_exc()}
        with os.fdopen(writer, "w") as pipe:
            json.dump(result, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    result = json.loads(text) if text else {"error": "no result"}
    assert isinstance(result, dict)
    return result


def _counted(work: Callable[[], object]) -> dict[str, Any]:
    calls, writing = 0, []

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if event == "c_call" and getattr(argument, "__name__", "") in _WRITING:
                writing.append(calls)

    sys.setprofile(count)
    work()
    sys.setprofile(None)
    return {"calls": calls, "writing": writing}


def _killed_at(point: int, work: Callable[[], object]) -> bool:
    """Run `work` in a process that ends at the n-th call; False if it ended before."""
    child = os.fork()
    if child == 0:
        calls = 0

        def count(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal calls
            if event in ("call", "c_call"):
                calls += 1
                if calls == point:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
