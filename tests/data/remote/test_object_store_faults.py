"""What goes wrong between a mirror and its object store, or within a mirror: nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore import store as obstore_stores

from data.errors import ObjectStoreError
from data.ingest.ingest import ingest
from data.store import people
from data.store.durability import sync
from data.store.erasure import forget_in_all_models
from data.store.model_folders import write_manifest
from data.store.remote import mirror as mirrors
from data.store.remote import objects as requests
from data.store.remote.cache import Cache, Lease
from data.store.remote.mirror import Mirror
from data.store.remote.objects import Found, Moved, Objects, Tag, Unanswered
from data.store.remote.publication import Publication
from data.store.store import Store
from data.store.vacuum import vacuum
from data.store.workspace import put_setting, setting
from tests.logs import trace, write_lines
from tests.s3_server import S3, delayed, environment

Machine = Callable[[str], Store]


@pytest.fixture
def machine(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A store as a machine of this name sees it, which has a cache of its own."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(mirrors, "FRESH_S", 0.0)
    address = s3.address()

    def at(name: str) -> Store:
        monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path / name))
        return Store.ensure(address)

    return at


def _setting(store: Store, name: str) -> object:
    with store.snapshot(only=("settings",)) as snapshot:
        return setting(snapshot, name, None)


def test_what_a_commit_of_unknown_outcome_wrote_stays(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put of HEAD.json is done, but its answer is lost; the second try is refused."""
    store = machine("one")
    put_if, get = Objects.put_if, Objects.get

    def refused(self: Objects, key: str, content: bytes, tag: Tag | None) -> Tag:
        put_if(self, key, content, tag)
        monkeypatch.setattr(Objects, "get", unanswered)
        raise Moved(key)

    def unanswered(self: Objects, key: str, tag: Tag | None = None) -> Found | None:
        raise Unanswered(f"{key} cannot be reached.")

    put_setting(store, "before", 1)
    with monkeypatch.context() as patched:
        patched.setattr(Objects, "put_if", refused)
        with pytest.raises(ObjectStoreError, match="not known whether the last change"):
            put_setting(store, "unknown", 2)
    monkeypatch.setattr(Objects, "get", get)
    for name in ("one", "two"):
        assert (_setting(machine(name), "before"), _setting(machine(name), "unknown")) == (1, 2)


class _Generations(BaseHTTPRequestHandler):
    """Conditions as the XML interface of Google Cloud Storage has them: by generation."""

    objects: dict[str, tuple[int, bytes]]

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        now = self.objects.get(self.path, (0, b""))[0]
        expected = self.headers.get("x-goog-if-generation-match")
        if expected is not None and int(expected) != now:
            self._answer(412, now)
            return
        self.objects[self.path] = now + 1, content
        self._answer(200, now + 1)

    def do_GET(self) -> None:
        generation, content = self.objects[self.path]
        if self.headers.get("If-None-Match") == f'"tag-{generation}"':
            self._answer(304, generation)
        else:
            self._answer(200, generation, content)

    def _answer(self, status: int, generation: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", f'"tag-{generation}"')
        self.send_header("x-goog-generation", str(generation))
        self.send_header("Last-Modified", "Mon, 06 May 2024 10:00:00 GMT")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_google_cloud_storage_compares_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = type("Handler", (_Generations,), {"objects": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        account = {
            "gcs_base_url": f"http://127.0.0.1:{server.server_port}",
            "disable_oauth": True,
            **dict.fromkeys(("client_email", "private_key", "private_key_id"), ""),
        }
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
        from_url: Callable[..., object] = obstore_stores.from_url

        def without_tls(
            address: str, *, client_options: dict[str, object], **more: object
        ) -> object:
            return from_url(address, client_options={**client_options, "allow_http": True}, **more)

        monkeypatch.setattr(obstore_stores, "from_url", without_tls)
        objects = Objects("gs://bucket/store")
        first = objects.put_if("HEAD.json", b"1", None)
        second = objects.put_if("HEAD.json", b"2", Tag.decode(first.encode()))
        for tag in (None, first):
            with pytest.raises(Moved):
                objects.put_if("HEAD.json", b"3", tag)
        assert objects.get("HEAD.json", second) is None
        assert objects.get("HEAD.json", first) == Found(b"2", second)
        server.shutdown()


def test_a_large_object_may_take_longer_than_a_short_answer(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 MB at 2 MB/s, where an answer to a small request is waited for half a second."""
    monkeypatch.setattr(requests, "_TIMEOUT", timedelta(seconds=0.5))
    monkeypatch.setattr(requests, "_RETRY_FOR", timedelta(seconds=0.7))
    content = bytes(range(250)) * 12_000
    (tmp_path / "content").write_bytes(content)
    key = s3.address().removeprefix("s3://bucket/")
    with delayed(s3.port, 0.03, 0.03) as port:
        for name, value in environment(port).items():
            monkeypatch.setenv(name, value)
        objects = Objects("s3://bucket")
        began = time.monotonic()
        objects.put(key, tmp_path / "content")
        assert time.monotonic() - began > 0.7
        objects.fetch(key, tmp_path / "whole")
        monkeypatch.setattr(requests, "_PIECE", 1 << 20)
        objects.fetch(key, tmp_path / "pieces", len(content))
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "pieces").read_bytes() == content


def _model(store: Store, **files: str) -> Path:
    """A new model of some files, which is uploaded and promoted."""
    folder = store.models / "m-1"
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content)
    write_manifest(folder, [f"{name}.json" for name in files])
    store.files_written()
    store.promote("m-1")
    return folder


def test_a_damaged_copy_of_a_model_is_nobodys_model(machine: Machine) -> None:
    """As a power cut leaves it: a file is cut short, or empty; that is no change to upload."""
    _model(machine("one"), model='{"good": 1}', booster='{"trees": [1, 2, 3]}', metrics="{}")
    two = machine("two")
    for damaged in ({"booster": '{"tre', "model": '{"go'}, {"metrics": ""}, {"files": "{"}):
        for name, content in damaged.items():
            (two.models / "m-1" / f"{name}.json").write_text(content)
        put_setting(two, "a", str(damaged))
        folder = machine("three").models / "m-1"
        assert (folder / "booster.json").read_text() == '{"trees": [1, 2, 3]}'
        assert (folder / "model.json").read_text() == '{"good": 1}'
        assert (folder / "metrics.json").read_text() == "{}"
    (two.models / "m-1" / "model.json").write_text("{}")
    Store.whole(two.address)
    assert (folder / "model.json").read_text() == '{"good": 1}'


def test_what_is_fetched_is_on_disk_before_it_has_its_name(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: list[bytes] = []

    def noted(paths: Iterable[Path]) -> None:
        paths = list(paths)
        sync(paths)
        on_disk.extend(path.read_bytes() for path in paths if path.is_file())

    folder = _model(machine("one"), model='{"good": 1}')
    monkeypatch.setattr(mirrors, "sync", noted)
    machine("two")
    for name in ("model.json", "files.json"):
        assert (folder / name).read_bytes() in on_disk


@pytest.mark.parametrize("later", ["replaced", None])
def test_a_file_replaced_while_it_is_uploaded(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, later: str | None
) -> None:
    """Or removed: the checksum is that of what was uploaded; the next commit has the next state."""
    store = machine("one")
    upload, file = Publication._upload, store.models / "m-1" / "card.json"

    def slow(self: Publication, files: Sequence[tuple[str, Path]], uploaded: list[str]) -> None:
        file.unlink(missing_ok=True)
        if later:
            file.write_text(later)
        upload(self, files, uploaded)

    file.parent.mkdir()
    file.write_text("first")
    with monkeypatch.context() as patched:
        patched.setattr(Publication, "_upload", slow)
        put_setting(store, "a", 1)
    assert (machine("two").models / "m-1" / "card.json").read_text() == "first"
    put_setting(store, "a", 2)
    # One that is missing from a mirror is fetched again.
    assert (machine("three").models / "m-1" / "card.json").read_text() == (later or "first")


def _ingest(store: Store, folder: Path, *ids: str) -> None:
    records = [trace(id, dialogue_id=f"d-{id}") for id in ids]
    ingest(store, [write_lines(folder / "logs.jsonl", records)], workers=1)


def _damage_turns(store: Store) -> None:
    (path,) = store.path.glob("turns/day*/*.parquet")
    path.write_bytes(path.read_bytes()[:-10])


def test_a_mirror_is_mended_within_a_write(machine: Machine, tmp_path: Path) -> None:
    store = machine("one")
    _ingest(store, tmp_path, "a")
    held_out = pa.table({"turn_id": ["a", "gone"]})
    for name in ("m-1", "m-2"):
        (store.models / name).mkdir()
        pq.write_table(held_out, store.models / name / "held_out.parquet")
    store.files_written()
    _damage_turns(store)
    assert forget_in_all_models(store) == 2
    for name in ("one", "two"):
        for path in machine(name).models.glob("m-*/held_out.parquet"):
            assert pq.read_table(path)["turn_id"].to_pylist() == ["a"]


def test_a_reader_that_mends_beside_a_writer(machine: Machine, tmp_path: Path) -> None:
    """Both want the locks of the other one, in one process: they must take turns."""
    store = machine("one")
    _ingest(store, tmp_path, "a")
    assert store.mirror is not None
    mirror = store.mirror
    locked, mending = threading.Event(), threading.Event()

    def write() -> None:
        with store.locked():
            locked.set()
            mending.wait()
            time.sleep(0.2)
            mirror.refresh(held=True)

    def mend() -> None:
        locked.wait()
        mending.set()
        mirror.mend()

    threads = [threading.Thread(target=work, daemon=True) for work in (write, mend)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert _setting(store, "a") is None


@pytest.mark.long
def test_a_vacuum_elsewhere_while_a_mirror_is_brought_up(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machine("one"), machine("two")
    card = _model(one, model="{}") / "card.json"
    card.write_text("first")
    one.files_written()
    apply = Mirror._apply

    def slow(self: Mirror, found: Found | None, **how: bool) -> None:
        monkeypatch.setattr(Mirror, "_apply", apply)
        card.write_text("second")
        one.files_written()
        vacuum(one, keep_hours=0)
        apply(self, found, **how)

    monkeypatch.setattr(Mirror, "_apply", slow)
    put_setting(two, "a", 1)
    assert (two.models / "m-1" / "card.json").read_text() == "second"
    assert _setting(one, "a") == 1


def test_a_lost_answer_to_a_probe(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    put_if, lost = Objects.put_if, [b"1", b"3"]

    def once_lost(self: Objects, key: str, content: bytes, tag: Tag | None) -> Tag:
        answer = put_if(self, key, content, tag)
        if lost and content == lost[0]:
            lost.pop(0)
            raise Moved(key)
        return answer

    monkeypatch.setattr(Objects, "put_if", once_lost)
    assert machine("one").head().tables
    assert not lost
    lost += [b"1"] * 3
    with pytest.raises(ObjectStoreError, match="does not answer reliably"):
        Objects(machine("one").address).must_compare()


def _forget_table(store: Store, name: str) -> None:
    """Take an empty table out, as in a backup of before there was such a table."""
    assert store.mirror is not None
    seen = store.mirror.seen()
    assert seen is not None
    document, tag = seen
    head = document.head
    head = replace(
        head,
        tables={table: version for table, version in head.tables.items() if table != name},
        contents={table: held for table, held in head.contents.items() if table != name},
        logs={table: log for table, log in head.logs.items() if table != name},
    )
    history = {table: log for table, log in document.history.items() if table != name}
    content = document.next(head=head, history=history).encode()
    store.mirror.objects.put_if("HEAD.json", content, tag)


def test_a_table_that_is_new_to_a_store(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine is quicker than the commit that makes it, which is then done again."""
    one = machine("one")
    _forget_table(one, "audit")
    two = machine("two")
    assert "audit" not in two.head().tables
    publish = Publication.publish

    def late(self: Publication, *what: object) -> None:
        monkeypatch.setattr(Publication, "publish", publish)
        put_setting(one, "moved", 1)
        publish(self, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(Publication, "publish", late)
    people.note(two, "a@b.example", "role", "set", "admin")
    with machine("three").snapshot() as snapshot:
        assert snapshot.counts()["audit"] == 1
    assert _setting(two, "moved") == 1


def test_queries_of_one_snapshot_pin_its_files_once(machine: Machine, tmp_path: Path) -> None:
    store = machine("one")
    _ingest(store, tmp_path, "a")
    with store.snapshot() as snapshot:
        sizes = []
        for _ in range(3):
            snapshot.query("FROM turns")
            (pin,) = store.path.parent.glob("pins/*/*")
            sizes.append(pin.stat().st_size)
        assert 0 < sizes[0] == sizes[2]
        shutil.rmtree(store.path.parent / "pins")
        assert snapshot.query("FROM turns").num_rows == 1
        assert list(store.path.parent.glob("pins/*/*"))


def test_a_file_pinned_while_room_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gone when it is pinned, and fetched then, or it stays."""
    monkeypatch.setenv("FAULTLINE_CACHE_SIZE", "1")
    path = tmp_path / "store" / "turns" / "day=2024-05-01" / "part-1.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rows")
    present: list[bool] = []

    def pin() -> None:
        Lease(Cache(tmp_path / "store")).hold([path])
        present.append(path.exists())

    thread = threading.Thread(target=pin)

    def again() -> set[Path]:
        thread.start()
        thread.join(0.3)
        return {path}

    Cache(tmp_path / "store").make_room(1, again)
    thread.join()
    assert present == [path.exists()]


def test_a_commit_that_cannot_be_uploaded_leaves_nothing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("one")
    _ingest(store, tmp_path, "a")
    put, files = Objects.put, set(store.path.glob("*/**/*part-*.parquet"))

    def unanswered(self: Objects, key: str, content: bytes | Path) -> None:
        if "_delta_log" in key:
            raise Unanswered(f"{key} cannot be reached.")
        put(self, key, content)

    with monkeypatch.context() as patched:
        patched.setattr(Objects, "put", unanswered)
        with pytest.raises(Unanswered):
            _ingest(store, tmp_path, "b")
    assert set(store.path.glob("*/**/*part-*.parquet")) == files
    # Fetches that are killed leave drafts.
    (kept,) = store.path.glob("turns/day*/*.parquet")
    old, new = (kept.with_name(f".part-{name}.parquet.0a1b2c3d") for name in ("old", "new"))
    for draft in (old, new):
        draft.write_bytes(b"PAR1")
    os.utime(old, (1e9, 1e9))
    kept.unlink()
    with store.snapshot() as snapshot:
        assert snapshot.query("FROM turns").num_rows == 1
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.long
def test_unfinished_work_of_another_machine_goes_with_a_vacuum(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    with suppress(KeyError), two.unfinished("scoring-m-1") as folder:
        (folder / "scored.parquet").write_bytes(b"of a user who is deleted")
        raise KeyError
    with two.unfinished("scoring-m-2") as under_way:
        vacuum(one, keep_hours=0)
        two.head()
        assert (folder.exists(), under_way.exists()) == (False, True)
