"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from classifiers import registry
from classifiers.model import Model
from classifiers.scoring.score import score
from classifiers.settings import Settings
from classifiers.train import train
from classifiers.training_data import training_turns
from cli.main import main
from data.ingest.ingest import ingest
from data.store.annotations import annotate
from data.store.store import Store
from tests import canaries, learned, rewritten
from tests.app import Open, opener
from tests.command import Ran, Run
from tests.logs import write_lines
from tests.once import Once, builder, value
from tests.scored import fill, phones_failing
from tests.traces import logs
from tests.trackers import GitHubServer, JiraServer, serving

if TYPE_CHECKING:
    from assistant.simulate import Simulated

# Speed is measured in benchmarks: a busy machine must not fail a test.
settings.register_profile("faultline", settings(), deadline=None)
settings.load_profile("faultline")

# Their fixtures take minutes.
FIRST = ("test_exam.py", "test_wheel.py")
CORPORA = Path(__file__).parents[1].parent / "shared" / "corpora"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real logs, which lies beside the repository and is not part of it."""
    if not CORPORA.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the corpora are missing: {CORPORA}")
        pytest.skip(f"the corpora are missing: {CORPORA}")
    return CORPORA


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A new, empty store."""
    return Store.create(tmp_path / "store")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Builds a folder once in a run, however many processes the tests are spread over."""
    return builder(tmp_path_factory)


@pytest.fixture(scope="session")
def scored_store(once: Once) -> Store:
    """A small seeded store with hand-made predictions; read-only, shared by many tests."""
    return Store.open(once("scored", lambda folder: fill(folder / "store")) / "store")


@pytest.fixture(scope="session")
def phones_fail(once: Once) -> Store:
    """A scored store in which phones fail at ASR; read-only."""
    return Store.open(once("phones", lambda folder: phones_failing(folder / "store")) / "store")


@pytest.fixture
def own_phones_fail(tmp_path: Path, phones_fail: Store) -> Store:
    """A copy of it, to write to."""
    return Store.open(shutil.copytree(phones_fail.path, tmp_path / "own"))


@pytest.fixture(scope="session")
def canary_store(once: Once) -> Store:
    """A store in whose texts each field of each assistant has a word of its own; read-only."""
    folder = once("canaries", lambda folder: canaries.fill(folder / "store"))
    return Store.open(folder / "store")


@pytest.fixture
def own_canaries(tmp_path: Path, canary_store: Store) -> Store:
    """A copy of it, to write to."""
    return Store.open(shutil.copytree(canary_store.path, tmp_path / "canaries"))


@pytest.fixture
def own_store(tmp_path: Path, scored_store: Store) -> Store:
    """A copy of the scored store, to write to."""
    return Store.open(shutil.copytree(scored_store.path, tmp_path / "own"))


@pytest.fixture(scope="session")
def unscored_store(once: Once) -> Store:
    """The same without predictions; read-only too."""
    folder = once("unscored", lambda folder: fill(folder / "store", scored=False))
    return Store.open(folder / "store")


@pytest.fixture(scope="session")
def rewritten_store(once: Once) -> Store:
    """A small scored store with rewrites in it; read-only."""
    folder = once("rewritten", lambda folder: rewritten.fill(folder / "store"))
    return Store.open(folder / "store")


@pytest.fixture
def own_rewritten(tmp_path: Path, rewritten_store: Store) -> Store:
    """A copy of it, to write to."""
    return Store.open(shutil.copytree(rewritten_store.path, tmp_path / "rewritten"))


@pytest.fixture(scope="session")
def rewritten_unscored(once: Once) -> Store:
    """The same without predictions; read-only too."""
    folder = once("unrated", lambda folder: rewritten.fill(folder / "store", scored=False))
    return Store.open(folder / "store")


@pytest.fixture(scope="session")
def learned_store(once: Once) -> Store:
    """A small scored store with generated labels, goals, and what users taught; read-only."""
    return Store.open(once("learned", lambda folder: learned.fill(folder / "store")) / "store")


@pytest.fixture
def own_learned(tmp_path: Path, learned_store: Store) -> Store:
    """A copy of it, to write to."""
    return Store.open(shutil.copytree(learned_store.path, tmp_path / "learned"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page of a store's dashboard, with URL parameters."""
    return opener(monkeypatch)


@pytest.fixture(scope="session")
def demo_trained(once: Once) -> Path:
    """A folder with the trained components of the simulated assistant of `tests.simulated`."""
    # Imported here, so that other tests do not wait for the assistant's libraries.
    from tests import simulated

    return once("trained", simulated.train)


@pytest.fixture(scope="session")
def demo_turns(once: Once, demo_trained: Path) -> list[Simulated]:
    """Turns of the simulated assistant."""
    from tests import simulated

    return value(once, "turns", lambda: simulated.run(demo_trained))


@pytest.fixture(scope="session")
def six(once: Once) -> tuple[Store, Model]:
    """A store of made-up logs with all six failure points, and the model promoted in it."""

    def build(folder: Path) -> None:
        store = Store.create(folder / "store")
        ingest(store, [write_lines(folder / "logs.jsonl", logs())])
        with store.snapshot() as snapshot:
            turns = training_turns(snapshot, seed=0)
        model, encoder = train(turns, Settings())
        store.promote(registry.save(model, encoder, store.models))

    store = Store.open(once("six", build) / "store")
    return store, registry.load(store.models, str(store.head().model))


@pytest.fixture(scope="session")
def six_scored(once: Once, six: tuple[Store, Model]) -> Store:
    """The same store with every turn scored by its model; read-only."""

    def build(folder: Path) -> None:
        shutil.copytree(six[0].path, folder / "store")
        score(Store.open(folder / "store"))

    return Store.open(once("six-scored", build) / "store")


@pytest.fixture(scope="session")
def six_annotated(once: Once, six_scored: Store) -> Store:
    """The same with some annotations, each a commit of its own; read-only."""

    def build(folder: Path) -> None:
        store = Store.open(shutil.copytree(six_scored.path, folder / "store"))
        with store.snapshot() as snapshot:
            turns = snapshot.query(
                "SELECT turn_id, dialogue_id, day FROM turns ORDER BY turn_id LIMIT 3"
            ).to_pylist()
        for turn in turns:
            annotate(store, turn, "ann", "correct")

    return Store.open(once("six-annotated", build) / "store")


@pytest.fixture
def own_six(six_annotated: Store, tmp_path: Path) -> Store:
    """A copy of it, to write to or to damage."""
    return Store.open(shutil.copytree(six_annotated.path, tmp_path / "own"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command as its entry point does, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("FAULTLINE_STORE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["faultline", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Ran(code, *capfd.readouterr())

    return call


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A GitHub that listens."""
    with serving(server := GitHubServer()):
        yield server


@pytest.fixture
def jira() -> Iterator[JiraServer]:
    """A Jira that listens."""
    with serving(server := JiraServer()):
        yield server
