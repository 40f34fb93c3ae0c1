"""The first model of a store, so that turns can be scored before anybody has annotated any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from classifiers.model import Model
from classifiers.settings import Settings
from classifiers.train import train_store
from data.counted import counted
from data.errors import NotEnoughLabels
from data.schema.vocabulary import FIRST_ANNOTATIONS
from data.store.store import Store
from progress import Progress, silent

# The file stays, as `.lock` does: deleting it would let two processes hold a lock of one name.
_LOCK = ".first-training.lock"


@dataclass(frozen=True, slots=True)
class FirstModel:
    """What `train_first` trained. `against`: as in a model's metrics; `sentence`: for people."""

    model_id: str
    against: str
    sentence: str


def train_first(store: Store, progress: Progress = silent) -> FirstModel | None:
    """Train and promote a model where a store has none; None where it has one.

    On annotated turns where there are enough, else on labels derived from signs in the logs and
    from what users did. Processes that start at once wait for the first of them, and find its
    model; one that was killed leaves nothing behind that counts. Raises `NotEnoughLabels` where
    neither is possible.
    """
    if store.head().model:
        return None
    with _alone(store, progress):
        if store.head().model:
            return None
        try:
            model = train_store(store, Settings(labels="auto"), progress=progress)
        except NotEnoughLabels:
            model = train_store(store, Settings(labels="behaviour"), progress=progress)
    against = str(model.metrics["against"])
    return FirstModel(model.id, against, _sentence(model, against))


@contextmanager
def _alone(store: Store, progress: Progress) -> Iterator[None]:
    """Holds the lock of first trainings; the operating system releases it however one ends."""
    lock = FileLock(store.path / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(0, 1, "waiting for another first training")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sentence(model: Model, against: str) -> str:
    derived = model.metrics.get("derived")
    gold = int(derived["gold"] if derived else model.metrics["gold"])
    rests = [counted(gold, "annotated turn")] if gold else []
    if derived:
        told = "users' behaviour and " if derived["feedback"] > 0 else ""
        rests.append(f"labels derived from {told}signs in the logs")
    sentence = f"No model yet: trained {model.id} on {' and '.join(rests)}"
    if against == "gold":
        return f"{sentence}."
    them = "the derived ones" if gold else "them"
    more = (
        f"{FIRST_ANNOTATIONS - gold} more"
        if 0 < gold < FIRST_ANNOTATIONS
        else ("more" if gold else FIRST_ANNOTATIONS)
    )
    return f"{sentence}; nobody has checked {them}. Annotate {more} turns on the page Annotate."
