"""Draft folders: used by one process at a time, and removed after a process has died."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from filelock import FileLock

from data.store.temporary import (
    DraftTaken,
    clear,
    clear_unfinished,
    draft,
    new_draft,
    scratch,
    unfinished,
)


def test_a_draft_is_new_and_gone_at_the_end(tmp_path: Path) -> None:
    # What a killed process left: the folder, and a lock that nobody holds.
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "old.txt").touch()
    (tmp_path / "new.lock").touch()
    with draft(tmp_path / "new") as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").touch()
    with pytest.raises(KeyboardInterrupt), draft(tmp_path / "new"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_one_draft_at_a_time(tmp_path: Path) -> None:
    with draft(tmp_path / "new") as folder:
        (folder / "mine").touch()
        with pytest.raises(DraftTaken), draft(tmp_path / "new"):
            pass
        clear(tmp_path)
        assert (folder / "mine").exists()
        assert (tmp_path / "new.lock").exists()


def test_only_what_nobody_holds_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("one-dead", "one-alive", "other-dead"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.lock").touch()
    with FileLock(tmp_path / "one-alive.lock"), scratch("one-") as folder:
        names = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
        assert names == sorted(["one-alive", "other-dead", folder.name])


def test_another_name_is_taken_while_somebody_looks_at_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `clear` does of another process, at the moment at which the lock was made."""
    names = iter([UUID(int=1), UUID(int=2)])
    monkeypatch.setattr("uuid.uuid4", lambda: next(names))
    with FileLock(tmp_path / f"{UUID(int=1).hex}.lock"), new_draft(tmp_path) as folder:
        assert folder.name == UUID(int=2).hex


def test_unfinished_work_is_there_for_the_next_one_until_it_is_done(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), unfinished(tmp_path, "work") as folder:
        (folder / "part").touch()
        raise KeyboardInterrupt
    clear_unfinished(tmp_path, 60)
    with unfinished(tmp_path, "work") as folder:
        assert (folder / "part").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_cleared_while_it_is_held_is_never_gone_on_from(
    tmp_path: Path, killed: bool
) -> None:
    with suppress(KeyboardInterrupt), unfinished(tmp_path, "work") as folder:
        (folder / "part").touch()
        clear_unfinished(tmp_path)
        clear_unfinished(tmp_path, math.inf)
        assert (folder / "part").exists()
        (tmp_path / "copy").mkdir()
        left = [path for path in tmp_path.iterdir() if path.name.startswith("unfinished-work")]
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    if killed:
        # As a process that was killed leaves it.
        for path in left:
            path.mkdir() if path == folder else path.touch()
        (folder / "part").touch()
        clear_unfinished(tmp_path, math.inf)
        assert [path.name for path in tmp_path.iterdir()] == ["copy"]
        for path in left:
            path.mkdir() if path == folder else path.touch()
        (folder / "part").touch()
        with unfinished(tmp_path, "work") as folder:
            assert list(folder.iterdir()) == []
        assert [path.name for path in tmp_path.iterdir()] == ["copy"]
