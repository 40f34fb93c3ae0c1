"""The mirror of a store in an object store: a local folder with the layout of a local store.

    <cache>/<address>/
      mirror.json        the address
      seen.json          HEAD.json of the object store as last read, after a line with its tag
      store/             the store's folder: HEAD.json and logs of its newest version; data files
                         that were needed, up to a size; models and other files
      pins/              which data files running processes use (`data.store.remote.cache`)

All but HEAD.json never changes in the object store, so it is fetched once, and compared with its
checksum. Writers write into the mirror, upload what is new, and then put HEAD.json on condition
that it is still the one they began with. The writers' lock of the mirror keeps those of one machine
in turn; between machines that condition alone does (`data.store.rerun`).
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import (
    HeadMoved,
    ObjectStoreError,
    StoreDamaged,
    StoreMissing,
    VersionGone,
)
from data.schema.layout import TABLES
from data.store.delta_log import LOG, POINTER, live_files, log_files_since, version_of
from data.store.durability import link, replacing, sync
from data.store.head import NAME, Head, read_head, write_head
from data.store.model_folders import LABEL_MODELS, MANIFEST, model_damage
from data.store.parquet import DataFile, checksum, known_checksum, stated_checksum
from data.store.remote.address import mirrored_at
from data.store.remote.cache import Cache
from data.store.remote.document import (
    Document,
    History,
    SideFile,
    log_key,
)
from data.store.remote.objects import Found, Moved, NoObject, Objects, Tag, Unanswered
from data.store.side_files import side_files
from data.store.temporary import clear_unfinished, new_draft

# What a process has seen of HEAD.json counts as new for this long: pages ask often.
FRESH_S = 1.0
# How often HEAD.json is looked at after a put was refused and it still is as before, and how long
# is waited in between.
_LOOKS, _LOOK_AGAIN_S = 5, 0.3
_FILES, _VACUUMS = "files", "vacuum"
_MODELS = ("models", LABEL_MODELS)
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
        self._compares = False
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

    def must_be_free(self) -> None:
        """Raise `ObjectStoreError` if something that is not a store is at the address."""
        ours = (NAME, *TABLES, _FILES, _VACUUMS, "probe")
        foreign = [key for key in self.objects.sizes() if key.split("/")[0] not in ours]
        if foreign:
            raise ObjectStoreError(
                f"There are objects at {self.address} ('{foreign[0][:80]}'), and no store; give "
                "the address of a store, or one below which there is nothing."
            )

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
            seen = self._seen()
            found = self._newest()
            if found is not None or not self._is_whole():
                self.root.mkdir(exist_ok=True)
                # Whoever sees the store for the first time has nothing else to show.
                wait = 0 if (self.root / NAME).exists() else -1
                with suppress(Timeout), self._locked(wait):
                    # Who has written since would be set back.
                    if self._seen() == seen:
                        self._apply_newest(found)
                    elif not self._is_whole():
                        self._apply_newest(self._newest())
            self._seen_at = time.monotonic()

    def _newest(self) -> Found | None:
        """HEAD.json of the object store, if it is another than the one seen."""
        seen = self._seen()
        try:
            return self.objects.get(NAME, seen[1] if seen else None)
        except NoObject as error:
            raise StoreMissing(f"There is no store at {self.address}.") from error

    def mend(self) -> None:
        """Take out of the mirror what is not as it should be, and fetch it again.

        In a write of this thread, what belongs to no table stays, as the write may have changed it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        is_writing = self._is_written()
        with self._locked():
            if self._seen() is None:
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
        seen = self._seen()
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
            sum(file.size for file in missing), lambda: self._live_paths(head) - paths
        )
        with self._as_version_gone():
            self.objects.each(
                lambda file: self._fetch(
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
            lambda one: self._fetch(log_key(name, *one), folder / one[0], one[1]), missing
        )

    def _fetch(self, key: str, path: Path, crc32: str | None, size: int = 0) -> None:
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

    def _live_paths(self, head: Head) -> set[Path]:
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

    def _seen(self) -> tuple[Document, Tag] | None:
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
                seen = self._seen()
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
        seen = self._seen()
        if found is None:
            assert seen is not None
            document, tag, before = *seen, seen[0]
        else:
            document, tag = Document.decode(found.content, self.root), found.tag
            before = seen[0] if seen else document
        for folder in (".staging", "models"):
            (self.root / folder).mkdir(exist_ok=True)
        self._undo(before.head)
        for name, version in document.head.tables.items():
            if name in TABLES:
                self._fetch_log(name, document.history.get(name, History()).needed(version))
        if files:
            self._apply_files(document, before)
        if document.vacuum and (seen is None or seen[0].vacuum != document.vacuum):
            self._forget_vacuumed(document)
        if force or found is not None or not (self.root / NAME).exists():
            write_head(self.root, document.head)
            self._note(document, tag)

    def _undo(self, head: Head) -> None:
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
            self._fetch(key, self.root / first, sides[key].crc32, sides[key].bytes)
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
        live = {path.relative_to(self.root).as_posix() for path in self._live_paths(document.head)}
        # Predictions of turns that were deleted elsewhere may be among them.
        clear_unfinished(self.root / ".staging")
        for name in TABLES:
            for path in (self.root / name).rglob("*.parquet"):
                relative = path.relative_to(self.root).as_posix()
                if LOG not in path.parts and relative not in left and relative not in live:
                    path.unlink(missing_ok=True)

    def _note(self, document: Document, tag: Tag) -> None:
        with replacing(self._seen_file) as draft:
            draft.write_bytes(tag.encode() + b"\n" + document.encode())

    # -- writing -----------------------------------------------------------------------------------

    @contextmanager
    def creating(self) -> Iterator[None]:
        """For making a store: the body makes a local one in the mirror's folder, which is then
        uploaded.

        Raises `Moved` if there already is one, or somebody else is quicker.
        """
        self.root.parent.mkdir(parents=True, exist_ok=True)
        kept, spool = self.root.parent / "spool", self.root / ".spool"
        with FileLock(self.root.parent / ".create.lock"):
            if self.exists():
                raise Moved(NAME)
            # What is left of one that was removed; but turns that wait to be stored are not.
            if spool.is_dir():
                os.replace(spool, kept)
            shutil.rmtree(self.root, ignore_errors=True)
            try:
                yield
                self._create()
            except BaseException:
                shutil.rmtree(self.root, ignore_errors=True)
                raise
            finally:
                if kept.is_dir():
                    self.root.mkdir(exist_ok=True)
                    os.replace(kept, spool)

    def _create(self) -> None:
        self.must_compare()
        head = read_head(self.root)
        logs = {
            name: self._new_log(name, -1) for name in head.tables if (self.root / name).is_dir()
        }
        data = [path.relative_to(self.root).as_posix() for path in self._live_paths(head)]
        history = {name: History.of(*self._by_version(log)) for name, log in logs.items()}
        (self.root / ".staging").mkdir(exist_ok=True)
        with new_draft(self.root / ".staging") as staging:
            files, todo = self._side_changes(Document(head, {}), staging)
            self._upload([(key, self.root / key) for key in data], [])
            self._upload(todo, [])
        self._upload_logs(logs, [])
        document = Document(head, history, files)
        self._note(document, self._put_head(document, None))

    def must_compare(self) -> None:
        """Raise `ObjectStoreError` if puts are not conditional; looked at once for a mirror."""
        note = self.root.parent / "conditional"
        if not self._compares and not note.exists():
            self.objects.must_compare()
            note.touch()
        self._compares = True

    def publish(
        self,
        before: Head,
        after: Head,
        added: Mapping[str, Sequence[str]],
    ) -> None:
        """Upload what a writer, who holds the mirror's lock, has written, and make it visible.

        `added`: the new data files of each table. Also uploads the other files that are new or
        have changed, and takes those out that are gone. Raises `HeadMoved` if another machine has
        written since `before`, and undoes in the mirror what cannot be repeated.
        """
        seen = self._seen()
        assert seen is not None
        with new_draft(self.root / ".staging") as staging:
            self._publish(before, after, added, *seen, staging)

    def _publish(
        self,
        before: Head,
        after: Head,
        added: Mapping[str, Sequence[str]],
        document: Document,
        tag: Tag,
        staging: Path,
    ) -> None:
        changed = [n for n, v in after.tables.items() if v != before.tables.get(n, -1)]
        uploaded: list[str] = []
        data = [f"{name}/{path}" for name, paths in added.items() for path in paths]
        try:
            files, todo = self._side_changes(document, staging)
            if not changed and after == before and files == document.files:
                return
            self.must_compare()
            logs = {name: self._new_log(name, before.tables.get(name, -1)) for name in changed}
            history = dict(document.history)
            for name, log in logs.items():
                history[name] = history.get(name, History()).grown(*self._by_version(log))
            new = document.next(head=after, history=history, files=files)
            self._upload([(key, self.root / key) for key in data], uploaded)
            self._upload(todo, uploaded)
            self._upload_logs(logs, uploaded)
        except BaseException as error:
            # Nobody sees it; the objects go with the next vacuum.
            self._take_back(before, data)
            if isinstance(error, NoObject) and self.moved():
                raise HeadMoved.at(self.root) from error
            raise
        try:
            tag = self._put_head(new, tag)
        except Moved as error:
            self._take_back(before, data)
            with suppress(ObjectStoreError):
                self.objects.delete(uploaded)
            raise HeadMoved.at(self.root) from error
        write_head(self.root, after)
        self._note(new, tag)

    def _take_back(self, before: Head, data: Iterable[str]) -> None:
        """Undo in the mirror what a writer has written and nobody can see."""
        self._undo(before)
        for key in data:
            (self.root / key).unlink(missing_ok=True)

    def publish_files(self) -> None:
        """`publish` what is new, has changed or is gone besides the tables."""
        head = read_head(self.root)
        self.publish(head, head, {})

    def vacuum(self, needed: Mapping[str, set[str]]) -> tuple[int, int]:
        """Remove all objects that neither the newest version nor `needed` (data files by table)
        names; the caller holds the mirror's lock. Returns number and bytes of those removed.

        What writers on other machines have uploaded until now and not made visible goes as well:
        as HEAD.json is another afterwards, they have to begin anew. Raises `HeadMoved`.
        """
        seen = self._seen()
        assert seen is not None
        document, tag = seen
        listed = self.objects.sizes()
        kept = {f"{name}/{path}" for name, paths in needed.items() for path in paths}
        kept |= {path.relative_to(self.root).as_posix() for path in self._live_paths(document.head)}
        list_key = f"{_VACUUMS}/{uuid.uuid4().hex}.json"
        new = document.next(vacuum=list_key)
        self.objects.put(list_key, "\n".join(sorted(kept)).encode())
        try:
            tag = self._put_head(new, tag)
        except Moved as error:
            raise HeadMoved.at(self.root) from error
        self._note(new, tag)
        kept |= {NAME, list_key, *(side.key for side in document.files.values())}
        for name, history in document.history.items():
            kept |= {log_key(name, file, crc32) for file, crc32 in history.all().items()}
        ours = (*TABLES, _FILES, _VACUUMS, "probe")
        gone = [key for key in listed if key not in kept and key.split("/")[0] in ours]
        self.objects.delete(gone)
        data = [key for key in gone if key.split("/")[0] in TABLES and LOG not in key]
        return len(data), sum(listed[key] for key in data)

    def moved(self) -> bool:
        """Whether HEAD.json in the object store is another than the mirror's."""
        seen = self._seen()
        return self.objects.get(NAME, seen[1] if seen else None) is not None

    def _put_head(self, document: Document, tag: Tag | None) -> Tag:
        """Put HEAD.json; returns its tag.

        Raises `Moved` if it is certain that it was not and will not be written, and
        `ObjectStoreError` if nobody knows.
        """
        try:
            return self.objects.put_if(NAME, document.encode(), tag)
        except (Moved, Unanswered) as error:
            # It may have been written all the same, by a put whose answer was lost: asked again,
            # the server then finds a HEAD.json that has moved.
            for _ in range(_LOOKS):
                try:
                    found = self.objects.get(NAME)
                except (NoObject, ObjectStoreError):
                    break
                assert found is not None
                now = Document.decode(found.content, self.root)
                if now.commit == document.commit:
                    return found.tag
                if document.commit in now.before:
                    # Others have gone on from it; what they wrote is seen the next time.
                    return Tag("superseded")
                if now.commit not in document.before:
                    # The condition of a put that is still on its way will not hold either.
                    raise Moved(NAME) from error
                if isinstance(error, Unanswered):
                    break
                # Refused while another's put is under way, which will be seen in a moment.
                time.sleep(_LOOK_AGAIN_S)
            raise ObjectStoreError(
                f"{self.address} no longer answers, so that it is not known whether the last "
                "change was recorded; look whether it was, and run it again if not."
            ) from error

    def _new_log(self, name: str, version: int) -> dict[str, str]:
        """The files of a table's log in the mirror after a version, and their CRC-32."""
        later = log_files_since(self.root, name, version)
        return {
            path.name: checksum(path)
            for path in later
            if path.name != POINTER and path.suffix in (".json", ".parquet")
        }

    @staticmethod
    def _by_version(log: Mapping[str, str]) -> tuple[dict[int, str], dict[int, str]]:
        """Commits and checkpoints of a log, by version."""
        commits: dict[int, str] = {}
        checkpoints: dict[int, str] = {}
        for name, crc32 in log.items():
            version = version_of(Path(name))
            if version is not None:
                (commits if name.endswith(".json") else checkpoints)[version] = crc32
        return commits, checkpoints

    def _upload_logs(self, logs: Mapping[str, Mapping[str, str]], uploaded: list[str]) -> None:
        self._upload(
            [
                (log_key(name, file, crc32), self.root / name / LOG / file)
                for name, log in logs.items()
                for file, crc32 in log.items()
            ],
            uploaded,
        )

    def _upload(self, files: Sequence[tuple[str, Path]], uploaded: list[str]) -> None:
        def put(one: tuple[str, Path]) -> None:
            uploaded.append(one[0])
            self.objects.put(*one)

        self.objects.each(put, files)

    def _side_changes(
        self, document: Document, staging: Path
    ) -> tuple[dict[str, SideFile], list[tuple[str, Path]]]:
        """The files besides the tables as they are now, and objects to be uploaded with their
        files, which are links in the folder `staging`: others may replace theirs meanwhile."""
        now: dict[str, SideFile] = {}
        todo: list[tuple[str, Path]] = []
        by_content = {(side.bytes, side.crc32): side for side in document.files.values()}
        for path, _ in side_files(self.root):
            name = path.relative_to(self.root).as_posix()
            # Hidden ones are of this machine alone, such as what was received and is not stored.
            if name == NAME or f"/{name}".count("/.") or not path.is_file():
                continue
            before, linked = document.files.get(name), staging / uuid.uuid4().hex
            # Another process may have removed it since it was listed.
            with suppress(FileNotFoundError):
                if before and (before.bytes, before.crc32) == _content(path):
                    now[name] = before
                    continue
                if before and path.parts[len(self.root.parts)] in _MODELS:
                    self._mend_model(path, before, document)
                link(path, linked)
                content = _content(linked)
                # A model's large files are mostly those of the one before.
                large = content[0] > 1 << 16
                side = by_content.get(content) if large or before else None
                if side is None:
                    side = SideFile(f"{_FILES}/{uuid.uuid4().hex}", *content)
                    todo.append((side.key, linked))
                now[name] = side
        return now, todo

    def _mend_model(self, path: Path, side: SideFile, document: Document) -> None:
        """Fetch what is damaged of the model with a file that is not as the object store has it."""
        if side.bytes and not path.stat().st_size:
            # Nothing in a model is ever emptied; a power cut leaves such files.
            self._fetch(side.key, path, side.crc32, side.bytes)
        room, model_id, *_ = path.relative_to(self.root).parts
        looked_at: set[Path] = set()
        while (damage := model_damage(self.root / room, model_id)) and damage[0] not in looked_at:
            looked_at.add(damage[0])
            of_all = damage[0].name == MANIFEST
            for name, stated in document.files.items():
                file = self.root / name
                if file == damage[0] or (of_all and name.startswith(f"{room}/{model_id}/")):
                    self._fetch(stated.key, file, stated.crc32, stated.bytes)


def _content(path: Path) -> tuple[int, str]:
    return path.stat().st_size, known_checksum(path)
