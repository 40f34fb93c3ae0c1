"""Draft folders: used by one process at a time, and removed after a process has died."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from filelock import FileLock

from data.store.temporary import (
    DraftTaken,
    clear,
    draft,
    new_draft,
    scratch,
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
