"""Making visible in an object store what a writer has written into its mirror.

What is new is uploaded first, under names that nobody knows yet; then HEAD.json is put, on
condition that it is still the one that the writer began with. Until then nothing of it can be seen,
and if somebody else was quicker, the writer begins anew (`data.store.rerun`).
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from data.errors import HeadMoved, ObjectStoreError
from data.schema.layout import TABLES
from data.store.delta_log import LOG, POINTER, log_files_since, version_of
from data.store.durability import link
from data.store.head import NAME, Head, read_head, write_head
from data.store.model_folders import LABEL_MODELS, MANIFEST, model_damage
from data.store.parquet import checksum, known_checksum
from data.store.remote.document import Document, History, SideFile, log_key
from data.store.remote.mirror import Mirror
from data.store.remote.objects import Moved, NoObject, Tag, Unanswered
from data.store.side_files import side_files
from data.store.temporary import new_draft

# How often HEAD.json is looked at after a put was refused and it still is as before, and how long
# is waited in between.
_LOOKS, _LOOK_AGAIN_S = 5, 0.3
_FILES, _VACUUMS = "files", "vacuum"
# What a store in an object store consists of: everything else there is somebody else's.
_OURS = (*TABLES, _FILES, _VACUUMS, "probe")
_MODELS = ("models", LABEL_MODELS)


class Publication:
    """Writing from one mirror into its object store."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._root = mirror.root

    def must_be_free(self) -> None:
        """Raise `ObjectStoreError` if something that is not a store is at the address."""
        foreign = [
            key for key in self._mirror.objects.sizes() if key.split("/")[0] not in (NAME, *_OURS)
        ]
        if foreign:
            raise ObjectStoreError(
                f"There are objects at {self._mirror.address} ('{foreign[0][:80]}'), and no store; "
                "give the address of a store, or one below which there is nothing."
            )

    @contextmanager
    def creating(self) -> Iterator[None]:
        """For making a store: the body makes a local one in the mirror's folder, which is then
        uploaded.

        Raises `Moved` if there already is one, or somebody else is quicker.
        """
        self._root.parent.mkdir(parents=True, exist_ok=True)
        kept, spool = self._root.parent / "spool", self._root / ".spool"
        with FileLock(self._root.parent / ".create.lock"):
            if self._mirror.exists():
                raise Moved(NAME)
            # What is left of one that was removed; but turns that wait to be stored are not.
            if spool.is_dir():
                os.replace(spool, kept)
            shutil.rmtree(self._root, ignore_errors=True)
            try:
                yield
                self._create()
            except BaseException:
                shutil.rmtree(self._root, ignore_errors=True)
                raise
            finally:
                if kept.is_dir():
                    self._root.mkdir(exist_ok=True)
                    os.replace(kept, spool)

    def _create(self) -> None:
        self.must_compare()
        head = read_head(self._root)
        logs = {
            name: self._new_log(name, -1) for name in head.tables if (self._root / name).is_dir()
        }
        data = [path.relative_to(self._root).as_posix() for path in self._mirror.live_paths(head)]
        history = {name: History.of(*self._by_version(log)) for name, log in logs.items()}
        (self._root / ".staging").mkdir(exist_ok=True)
        with new_draft(self._root / ".staging") as staging:
            files, todo = self._side_changes(Document(head, {}), staging)
            self._upload([(key, self._root / key) for key in data], [])
            self._upload(todo, [])
        self._upload_logs(logs, [])
        document = Document(head, history, files)
        self._mirror.note(document, self._put_head(document, None))

    def must_compare(self) -> None:
        """Raise `ObjectStoreError` if puts are not conditional; looked at once for a mirror."""
        note = self._root.parent / "conditional"
        if not note.exists():
            self._mirror.objects.must_compare()
            note.touch()

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
        seen = self._mirror.seen()
        assert seen is not None
        with new_draft(self._root / ".staging") as staging:
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
            self._upload([(key, self._root / key) for key in data], uploaded)
            self._upload(todo, uploaded)
            self._upload_logs(logs, uploaded)
        except BaseException as error:
            # Nobody sees it; the objects go with the next vacuum.
            self._take_back(before, data)
            if isinstance(error, NoObject) and self._mirror.moved():
                raise HeadMoved.at(self._root) from error
            raise
        try:
            tag = self._put_head(new, tag)
        except Moved as error:
            self._take_back(before, data)
            with suppress(ObjectStoreError):
                self._mirror.objects.delete(uploaded)
            raise HeadMoved.at(self._root) from error
        write_head(self._root, after)
        self._mirror.note(new, tag)

    def _take_back(self, before: Head, data: Iterable[str]) -> None:
        """Undo in the mirror what a writer has written and nobody can see."""
        self._mirror.undo(before)
        for key in data:
            (self._root / key).unlink(missing_ok=True)

    def publish_files(self) -> None:
        """`publish` what is new, has changed or is gone besides the tables."""
        head = read_head(self._root)
        self.publish(head, head, {})

    def vacuum(self, needed: Mapping[str, set[str]]) -> tuple[int, int]:
        """Remove all objects that neither the newest version nor `needed` (data files by table)
        names; the caller holds the mirror's lock. Returns number and bytes of those removed.

        What writers on other machines have uploaded until now and not made visible goes as well:
        as HEAD.json is another afterwards, they have to begin anew. Raises `HeadMoved`.
        """
        seen = self._mirror.seen()
        assert seen is not None
        document, tag = seen
        listed = self._mirror.objects.sizes()
        kept = {f"{name}/{path}" for name, paths in needed.items() for path in paths}
        kept |= {
            path.relative_to(self._root).as_posix()
            for path in self._mirror.live_paths(document.head)
        }
        list_key = f"{_VACUUMS}/{uuid.uuid4().hex}.json"
        new = document.next(vacuum=list_key)
        self._mirror.objects.put(list_key, "\n".join(sorted(kept)).encode())
        try:
            tag = self._put_head(new, tag)
        except Moved as error:
            raise HeadMoved.at(self._root) from error
        self._mirror.note(new, tag)
        kept |= {NAME, list_key, *(side.key for side in document.files.values())}
        for name, history in document.history.items():
            kept |= {log_key(name, file, crc32) for file, crc32 in history.all().items()}
        gone = [key for key in listed if key not in kept and key.split("/")[0] in _OURS]
        self._mirror.objects.delete(gone)
        data = [key for key in gone if key.split("/")[0] in TABLES and LOG not in key]
        return len(data), sum(listed[key] for key in data)

    def _put_head(self, document: Document, tag: Tag | None) -> Tag:
        """Put HEAD.json; returns its tag.

        Raises `Moved` if it is certain that it was not and will not be written, and
        `ObjectStoreError` if nobody knows.
        """
        try:
            return self._mirror.objects.put_if(NAME, document.encode(), tag)
        except (Moved, Unanswered) as error:
            # It may have been written all the same, by a put whose answer was lost: asked again,
            # the server then finds a HEAD.json that has moved.
            for _ in range(_LOOKS):
                try:
                    found = self._mirror.objects.get(NAME)
                except (NoObject, ObjectStoreError):
                    break
                assert found is not None
                now = Document.decode(found.content, self._root)
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
                f"{self._mirror.address} no longer answers, so that it is not known whether the "
                "last change was recorded; look whether it was, and run it again if not."
            ) from error

    def _new_log(self, name: str, version: int) -> dict[str, str]:
        """The files of a table's log in the mirror after a version, and their CRC-32."""
        later = log_files_since(self._root, name, version)
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
                (log_key(name, file, crc32), self._root / name / LOG / file)
                for name, log in logs.items()
                for file, crc32 in log.items()
            ],
            uploaded,
        )

    def _upload(self, files: Sequence[tuple[str, Path]], uploaded: list[str]) -> None:
        def put(one: tuple[str, Path]) -> None:
            uploaded.append(one[0])
            self._mirror.objects.put(*one)

        self._mirror.objects.each(put, files)

    def _side_changes(
        self, document: Document, staging: Path
    ) -> tuple[dict[str, SideFile], list[tuple[str, Path]]]:
        """The files besides the tables as they are now, and objects to be uploaded with their
        files, which are links in the folder `staging`: others may replace theirs meanwhile."""
        now: dict[str, SideFile] = {}
        todo: list[tuple[str, Path]] = []
        by_content = {(side.bytes, side.crc32): side for side in document.files.values()}
        for path, _ in side_files(self._root):
            name = path.relative_to(self._root).as_posix()
            # Hidden ones are of this machine alone, such as what was received and is not stored.
            if name == NAME or f"/{name}".count("/.") or not path.is_file():
                continue
            before, linked = document.files.get(name), staging / uuid.uuid4().hex
            # Another process may have removed it since it was listed.
            with suppress(FileNotFoundError):
                if before and (before.bytes, before.crc32) == _content(path):
                    now[name] = before
                    continue
                if before and path.parts[len(self._root.parts)] in _MODELS:
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
            self._mirror.fetch_object(side.key, path, side.crc32, side.bytes)
        room, model_id, *_ = path.relative_to(self._root).parts
        looked_at: set[Path] = set()
        while (damage := model_damage(self._root / room, model_id)) and damage[0] not in looked_at:
            looked_at.add(damage[0])
            of_all = damage[0].name == MANIFEST
            for name, stated in document.files.items():
                file = self._root / name
                if file == damage[0] or (of_all and name.startswith(f"{room}/{model_id}/")):
                    self._mirror.fetch_object(stated.key, file, stated.crc32, stated.bytes)


def _content(path: Path) -> tuple[int, str]:
    return path.stat().st_size, known_checksum(path)
