"""The mirror of a store in an object store: a local folder with the layout of a local store.

    <cache>/<address>/
      mirror.json        the address
      seen.json          HEAD.json of the object store as last read, after a line with its tag
      store/             the store's folder: HEAD.json and logs of its newest version; data files
                         that were needed, up to a size; models and other files
      pins/              which data files running processes use (`data.store.remote.cache`)

All but HEAD.json never changes in the object store, so it is fetched once, and compared with its
checksum. Writers write into the mirror and publish from there (`data.store.remote.publication`).
The writers' lock of the mirror keeps those of one machine in turn.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import StoreDamaged, StoreMissing, VersionGone
from data.schema.layout import TABLES
from data.store.delta_log import LOG, POINTER, live_files, log_files_since
from data.store.durability import link, replacing, sync
from data.store.head import NAME, Head, write_head
from data.store.parquet import DataFile, checksum, known_checksum, stated_checksum
from data.store.remote.address import mirrored_at
from data.store.remote.cache import Cache
from data.store.remote.document import Document, History, log_key
from data.store.remote.objects import Found, NoObject, Objects, Tag
from data.store.temporary import clear_unfinished

# What a process has seen of HEAD.json counts as new for this long: pages ask often.
FRESH_S = 1.0
_mirrors: dict[Path, Mirror] = {}
_making = threading.Lock()


class Mirror:
    """The mirror of one store; see this module. Use `Mirror.at`."""

    def __init__(self, root: Path, address: str) -> None:
        self.root = root
        self.address = address
        self.cache = Cache(root)
        self._seen_file = root.parent / "seen.json"
        self._seen_at = -float("inf")
        self._objects: Objects | None = None
        self._read: tuple[tuple[int, int, int], Document, Tag] | None = None
        # One reader of a process asks at a time. No writer takes it, so that it may be held by who
        # waits for the writers' lock.
        self._asking = threading.Lock()
        self._writer = threading.local()

    @classmethod
    def at(cls, root: Path) -> Mirror | None:
        """The mirror in the folder `root`, one for the process; None if that is a local store."""
        address = mirrored_at(root)
        if address is None:
            return None
        with _making:
            if root not in _mirrors:
                _mirrors[root] = cls(root, address)
            return _mirrors[root]

    @property
    def objects(self) -> Objects:
        """The object store."""
        if self._objects is None:
            self._objects = Objects(self.address)
        return self._objects

    # -- reading -------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether there is a store at the address."""
        try:
            return self.objects.get(NAME) is not None
        except NoObject:
            return False

    @contextmanager
    def written(self) -> Iterator[None]:
        """Notes that this thread holds the writers' lock (`.lock`) while the body runs."""
        self._writer.holds = True
        try:
            yield
        finally:
            self._writer.holds = False

    def _is_written(self) -> bool:
        return getattr(self._writer, "holds", False)

    @contextmanager
    def _locked(self, wait: float = -1) -> Iterator[None]:
        """Holds the writers' lock, if this thread does not already; raises Timeout."""
        if self._is_written():
            yield
            return
        with FileLock(self.root / ".lock", timeout=wait), self.written():
            yield

    def refresh(self, *, held: bool = False) -> None:
        """Bring the mirror up to what HEAD.json in the object store says.

        `held`: the caller holds the mirror's writers' lock. Others leave the mirror as it is while
        somebody writes on this machine, this thread included, or if they have asked within the last
        second. Raises `StoreMissing` if there is no store.
        """
        if held:
            self._apply_newest(self._newest())
            self._seen_at = time.monotonic()
            return
        if self._is_written():
            return
        with self._asking:
            if time.monotonic() - self._seen_at < FRESH_S:
                return
            seen = self.seen()
            found = self._newest()
            if found is not None or not self._is_whole():
                self.root.mkdir(exist_ok=True)
                # Whoever sees the store for the first time has nothing else to show.
                wait = 0 if (self.root / NAME).exists() else -1
                with suppress(Timeout), self._locked(wait):
                    # Who has written since would be set back.
                    if self.seen() == seen:
                        self._apply_newest(found)
                    elif not self._is_whole():
                        self._apply_newest(self._newest())
            self._seen_at = time.monotonic()

    def _newest(self) -> Found | None:
        """HEAD.json of the object store, if it is another than the one seen."""
        seen = self.seen()
        try:
            return self.objects.get(NAME, seen[1] if seen else None)
        except NoObject as error:
            raise StoreMissing(f"There is no store at {self.address}.") from error

    def moved(self) -> bool:
        """Whether HEAD.json in the object store is another than the mirror's."""
        seen = self.seen()
        return self.objects.get(NAME, seen[1] if seen else None) is not None

    def mend(self) -> None:
        """Take out of the mirror what is not as it should be, and fetch it again.

        In a write of this thread, what belongs to no table stays, as the write may have changed it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        is_writing = self._is_written()
        with self._locked():
            if self.seen() is None:
                self._apply_newest(self._newest())
            document = self.document()
            for name, history in document.history.items():
                for file, crc32 in history.all().items():
                    path = self.root / name / LOG / file
                    if path.exists() and checksum(path) != crc32:
                        path.unlink()
                for path in (self.root / name).rglob("part-*.parquet"):
                    if (stated := stated_checksum(path)) and checksum(path) != stated:
                        path.unlink()
            for name, side in () if is_writing else document.files.items():
                path = self.root / name
                if path.exists() and checksum(path) != side.crc32:
                    path.unlink()
            if is_writing:
                # Others' commits would be in the way of the one under way.
                with self._as_version_gone():
                    self._apply(None, force=True, files=False)
            else:
                self._apply_newest(self._newest(), force=True)

    def document(self) -> Document:
        """HEAD.json of the object store, as this machine has last seen it."""
        seen = self.seen()
        if seen is None:
            raise StoreMissing(f"There is no store at {self.address}.")
        return seen[0]

    def fetch(self, name: str, files: Iterable[DataFile]) -> None:
        """Have the given data files of a table in the mirror, at least until the next are fetched.

        For longer, they are held (`data.store.remote.cache.Lease`) before.
        Raises `VersionGone` if one has been vacuumed, `StoreDamaged` if one is not what it was.
        """
        folder = self.root / name
        wanted = list(files)
        missing = [file for file in wanted if not (folder / file.path).exists()]
        paths = {folder / file.path for file in wanted}
        self.cache.used(paths)
        if not missing:
            return
        head = self.document().head
        # Those that are wanted may be the ones that were used least recently.
        self.cache.make_room(
            sum(file.size for file in missing), lambda: self.live_paths(head) - paths
        )
        with self._as_version_gone():
            self.objects.each(
                lambda file: self.fetch_object(
                    f"{name}/{file.path}",
                    folder / file.path,
                    stated_checksum(Path(file.path)),
                    file.size,
                ),
                missing,
            )

    def fetch_log(self, name: str, version: int) -> None:
        """Have in the mirror what a version of a table is read from; nothing if it is gone."""
        needed = self.document().history.get(name, History()).needed(version)
        with self._as_version_gone():
            self._fetch_log(name, needed)

    def fetch_all_logs(self) -> None:
        """Have all versions' logs in the mirror, as far as they are kept."""
        with self._as_version_gone():
            for name, history in self.document().history.items():
                self._fetch_log(name, history.all())

    def _fetch_log(self, name: str, files: Mapping[str, str]) -> None:
        folder = self.root / name / LOG
        folder.mkdir(parents=True, exist_ok=True)
        missing = [
            (file, crc32)
            for file, crc32 in files.items()
            if not (folder / file).exists() or known_checksum(folder / file) != crc32
        ]
        self.objects.each(
            lambda one: self.fetch_object(log_key(name, *one), folder / one[0], one[1]), missing
        )

    def fetch_object(self, key: str, path: Path, crc32: str | None, size: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name[:60]}.{uuid.uuid4().hex[:8]}")
        try:
            self.objects.fetch(key, draft, size)
            if crc32 and checksum(draft) != crc32:
                raise StoreDamaged(
                    f"{self.address}/{key} has changed since it was written, so the store is "
                    "damaged; put its earlier version back, if the bucket keeps them, or restore "
                    "a backup."
                )
            # Cut short by a power cut, it would pass for a change of this machine's own.
            sync([draft])
            os.replace(draft, path)
        except NoObject as error:
            raise NoObject(f"{self.address}/{key}") from error
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _as_version_gone(self) -> Iterator[None]:
        """Raises `VersionGone` for an object that is gone."""
        try:
            yield
        except NoObject as error:
            raise VersionGone(
                f"{error} is gone, which a vacuum removes when no version needs it; open the "
                "latest version."
            ) from error

    def live_paths(self, head: Head) -> set[Path]:
        """The data files of the newest version: those that may be fetched again."""
        return {
            self.root / name / path
            for name, version in head.tables.items()
            if name in TABLES
            for path in live_files(self.root, name, version)
        }

    def _is_whole(self) -> bool:
        """Whether the files that no query asks for are in the mirror."""
        if not (self.root / NAME).exists():
            return False
        return all((self.root / name).exists() for name in self.document().files)

    # -- HEAD.json ---------------------------------------------------------------------------------

    def seen(self) -> tuple[Document, Tag] | None:
        """HEAD.json as this machine has last read or written it; None if it has not yet."""
        try:
            stat = self._seen_file.stat()
            known = stat.st_ino, stat.st_mtime_ns, stat.st_size
            if self._read is None or self._read[0] != known:
                tag, _, text = self._seen_file.read_bytes().partition(b"\n")
                self._read = known, Document.decode(text, self.root), Tag.decode(tag)
            return self._read[1:]
        except (FileNotFoundError, StoreDamaged, ValueError):
            # A damaged one is read again.
            return None

    def _apply_newest(self, found: Found | None, *, force: bool = False) -> None:
        """`_apply`, and again if a vacuum elsewhere removes meanwhile what `found` names.

        Raises `StoreDamaged` if something is gone that the newest HEAD.json names.
        """
        while True:
            try:
                self._apply(found, force=force)
                return
            except NoObject as error:
                seen = self.seen()
                tried = found.tag if found else seen and seen[1]
                newer = self.objects.get(NAME, tried)
                if newer is None:
                    raise StoreDamaged(
                        f"{error} is gone, so the store is damaged; put it back, if the bucket "
                        "keeps what was deleted, or restore a backup."
                    ) from error
                found = newer

    def _apply(self, found: Found | None, *, force: bool = False, files: bool = True) -> None:
        """Bring the mirror up to what was found, or to what was seen; under the writers' lock.

        `force`: also what the mirror says it has; `files`: also what belongs to no table.
        """
        self.root.mkdir(exist_ok=True)
        seen = self.seen()
        if found is None:
            assert seen is not None
            document, tag, before = *seen, seen[0]
        else:
            document, tag = Document.decode(found.content, self.root), found.tag
            before = seen[0] if seen else document
        for folder in (".staging", "models"):
            (self.root / folder).mkdir(exist_ok=True)
        self.undo(before.head)
        for name, version in document.head.tables.items():
            if name in TABLES:
                self._fetch_log(name, document.history.get(name, History()).needed(version))
        if files:
            self._apply_files(document, before)
        if document.vacuum and (seen is None or seen[0].vacuum != document.vacuum):
            self._forget_vacuumed(document)
        if force or found is not None or not (self.root / NAME).exists():
            write_head(self.root, document.head)
            self.note(document, tag)

    def undo(self, head: Head) -> None:
        """Remove from the mirror's logs what a writer has left that came to no end."""
        for name in TABLES:
            if not (self.root / name / LOG).is_dir():
                continue
            if name not in head.tables:
                # An empty log would pass for one whose commits are lost.
                shutil.rmtree(self.root / name)
                continue
            later = log_files_since(self.root, name, head.tables.get(name, -1))
            if any(path.name != POINTER for path in later):
                for path in later:
                    path.unlink(missing_ok=True)

    def _apply_files(self, document: Document, before: Document) -> None:
        """Fetch the files that belong to no table and are missing, or another than before."""
        for name in before.files.keys() - document.files.keys():
            path = self.root / name
            path.unlink(missing_ok=True)
            with suppress(OSError):
                # Folders of models that others have removed; one that holds something stays.
                for folder in path.parents:
                    if folder == self.root:
                        break
                    folder.rmdir()
        todo = []
        for name, side in document.files.items():
            path, earlier = self.root / name, before.files.get(name)
            if not path.exists() or (earlier != side and known_checksum(path) != side.crc32):
                todo.append((name, side))
        # What several models have in common is fetched once.
        by_key: dict[str, list[str]] = {}
        for name, side in todo:
            by_key.setdefault(side.key, []).append(name)
        sides = {side.key: side for _, side in todo}

        def bring(key: str) -> None:
            first, *others = by_key[key]
            self.fetch_object(key, self.root / first, sides[key].crc32, sides[key].bytes)
            for name in others:
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                link(self.root / first, path)

        self.objects.each(bring, by_key)

    def _forget_vacuumed(self, document: Document) -> None:
        """Remove the data files from the mirror that a vacuum has removed for good."""
        try:
            found = self.objects.get(str(document.vacuum))
        except NoObject as error:
            raise NoObject(f"{self.address}/{document.vacuum}") from error
        left = set(found.content.decode().splitlines()) if found else set()
        live = {path.relative_to(self.root).as_posix() for path in self.live_paths(document.head)}
        # Parts of turns that were deleted elsewhere may be among them.
        clear_unfinished(self.root / ".staging")
        for name in TABLES:
            for path in (self.root / name).rglob("*.parquet"):
                relative = path.relative_to(self.root).as_posix()
                if LOG not in path.parts and relative not in left and relative not in live:
                    path.unlink(missing_ok=True)

    def note(self, document: Document, tag: Tag) -> None:
        """Keep what HEAD.json in the object store says now."""
        with replacing(self._seen_file) as draft:
            draft.write_bytes(tag.encode() + b"\n" + document.encode())
