"""Training the network: stage one without labels, stage two on all tasks at once.

An epoch's randomness depends on the seed, the stage, the part and the epoch, and on nothing that
ran before; after each epoch everything is written to a checkpoint. So a training that was killed
goes on where it was, and ends with the very weights that it would have had.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from data.errors import machine_error
from labels.generated import pretraining
from labels.generated.dialogues import Dialogues
from labels.generated.network import (
    TASKS,
    Batch,
    Inputs,
    Network,
    batch,
    inner,
    pieces,
)
from labels.generated.settings import Settings

_DECAY = 0.02
_WARM = 0.1
_CLIP = 1.0
_INTENT_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Goals:
    """What the network learns, of n turns; NaN, or -1 for the intent, where it is not known.

    Attributes
    ----------
    start, defect: from 0 to 1. not_reached: 1 where the goal was not reached.
    goal: number of each turn's goal, unique in the table, -1 for none. intent: number.
    """

    start: np.ndarray
    not_reached: np.ndarray
    defect: np.ndarray
    goal: np.ndarray
    intent: np.ndarray

    def known(self) -> np.ndarray:
        """Which turns have anything to learn from; (n,)."""
        found: np.ndarray = (
            np.isfinite(self.start)
            | np.isfinite(self.not_reached)
            | np.isfinite(self.defect)
            | (self.intent >= 0)
        )
        return found

    def any(self) -> bool:
        """Whether there is anything to learn."""
        return bool(self.known().any())

    def only(self, rows: np.ndarray) -> Goals:
        """The same, known on `rows` (n,) only."""

        def known(values: np.ndarray, other: float) -> np.ndarray:
            return np.where(rows, values, other)

        return Goals(
            known(self.start, np.nan),
            known(self.not_reached, np.nan),
            known(self.defect, np.nan),
            known(self.goal, -1),
            known(self.intent, -1),
        )


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where checkpoints are, and of what: one of another training is not gone on with."""

    folder: Path | None
    of: str

    def load(self, stage: str) -> dict[str, Any] | None:
        """The last checkpoint of a stage, or None."""
        if self.folder is None or not (path := self._path(stage)).exists():
            return None
        try:
            content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:
            if problem := machine_error(error, self.folder):
                raise problem from error
            # A damaged checkpoint costs the epochs that it held, and nothing else.
            return None
        return content if content.get("of") == self.of else None

    def save(self, stage: str, content: dict[str, Any]) -> None:
        """Write a checkpoint; a training that is killed meanwhile leaves the one before."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                torch.save({"of": self.of, **content}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path(stage))
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise machine_error(error, self.folder) or error from error

    def _path(self, stage: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{stage}.pt"


def fingerprint(data: Inputs, goals: Goals, settings: Settings) -> str:
    """What a training depends on: two of one fingerprint end with the same network."""
    digest = hashlib.sha256(repr(sorted(settings.to_json().items())).encode())
    arrays = [data.vectors, data.heard, data.asked, data.said, data.numbers]
    for counts in (data.words_heard, data.words_said):
        arrays += [counts.data, counts.indices, counts.indptr]
    arrays += [goals.start, goals.not_reached, goals.defect, goals.goal, goals.intent]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def device() -> str:
    """A GPU where there is one, else the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def build(data: Inputs, intents: int, settings: Settings) -> Network:
    """A network with the first weights of the seed."""
    torch.manual_seed(settings.seed)
    return Network(
        data.vectors.shape[1],
        data.numbers.shape[1],
        intents,
        settings.size,
        settings.layers,
        settings.heads,
        settings.dropout,
    )


def pretrain(
    network: Network,
    data: Inputs,
    dialogues: Dialogues,
    settings: Settings,
    checkpoints: Checkpoints,
    done: Callable[[], None],
) -> None:
    """Stage one, in place, on all dialogues; `done` is called after each epoch."""
    everything = pieces(dialogues)

    def loss(rows: list[np.ndarray], generator: np.random.Generator) -> Tensor:
        spoiled = [pretraining.spoil(piece, generator) for piece in rows]
        return pretraining.loss(network, batch(data, spoiled, device()), generator)

    stage = f"stage-one-{settings.seed}"
    _run(network, everything, settings.pretraining, stage, settings, checkpoints, loss, done)


def learn(
    network: Network,
    data: Inputs,
    dialogues: Dialogues,
    goals: Goals,
    part: str,
    settings: Settings,
    checkpoints: Checkpoints,
    done: Callable[[], None],
) -> None:
    """Stage two, in place, on the dialogues with gold; `part` names the training."""
    known = goals.known()
    some = [piece for piece in pieces(dialogues) if known[piece].any()]

    def loss(rows: list[np.ndarray], generator: np.random.Generator) -> Tensor:
        held = batch(data, rows, device())
        read = network(held, network.answer(held))
        return _task_loss(network, read, held, goals)

    stage = f"{part}-{settings.seed}"
    _run(network, some, settings.epochs, stage, settings, checkpoints, loss, done)


def _run(
    network: Network,
    everything: Sequence[np.ndarray],
    epochs: int,
    stage: str,
    settings: Settings,
    checkpoints: Checkpoints,
    loss: Callable[[list[np.ndarray], np.random.Generator], Tensor],
    done: Callable[[], None],
) -> None:
    """`epochs` passes over `everything`, from the last checkpoint on if there is one."""
    network.to(device())
    steps = max(1, math.ceil(len(everything) / settings.batch) * epochs)
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _pace(step / steps))
    first = 0
    if content := checkpoints.load(stage):
        network.load_state_dict(content["network"])
        optimiser.load_state_dict(content["optimiser"])
        schedule.load_state_dict(content["schedule"])
        first = content["epochs"]
    for epoch in range(epochs):
        if epoch >= first:
            seed = seed_of(settings.seed, stage, epoch)
            torch.manual_seed(seed)
            generator = np.random.default_rng(seed)
            network.train()
            order = generator.permutation(len(everything))
            for start in range(0, len(order), settings.batch):
                rows = [everything[i] for i in order[start : start + settings.batch]]
                optimiser.zero_grad()
                error: Any = loss(rows, generator)
                error.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
                optimiser.step()
                schedule.step()
            checkpoints.save(
                stage,
                {
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "epochs": epoch + 1,
                },
            )
        done()
    network.eval()


def _pace(share: float) -> float:
    """Learning rate as a share of the highest: up in the first tenth, then down along a cosine."""
    if share < _WARM:
        return max(share / _WARM, 0.02)
    return 0.5 + 0.5 * math.cos(math.pi * (share - _WARM) / (1 - _WARM))


def seed_of(seed: int, stage: str, epoch: int) -> int:
    """A seed of its own for each epoch of each stage."""
    digest = hashlib.sha256(f"{seed} {stage} {epoch}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _task_loss(network: Network, read: Tensor, held: Batch, goals: Goals) -> Tensor:
    odds = network.tasks(read)
    total: Tensor = odds.sum() * 0.0
    for column, target in ((0, goals.start), (2, goals.defect)):
        total = total + _cross_entropy(odds[:, column], target[held.rows])
    goal = goals.goal[held.rows]
    numbers, at = np.unique(goal[goal >= 0], return_index=True)
    if len(numbers):
        target = goals.not_reached[held.rows][goal >= 0][at]
        total = total + _cross_entropy(_per_goal(odds[:, 1], goal, numbers), target)
    intent = goals.intent[held.rows]
    if (intent >= 0).any():
        known = torch.from_numpy(np.flatnonzero(intent >= 0)).to(read.device)
        wanted = torch.from_numpy(intent[intent >= 0].astype(np.int64)).to(read.device)
        total = total + _INTENT_WEIGHT * functional.cross_entropy(
            network.intent(read[known]), wanted
        )
    return total


def _cross_entropy(odds: Tensor, target: np.ndarray) -> Tensor:
    """Mean cross-entropy where the target is known, 0 where it is nowhere."""
    known = np.isfinite(target)
    if not known.any():
        return odds.sum() * 0.0
    rows = torch.from_numpy(np.flatnonzero(known)).to(odds.device)
    wanted = torch.from_numpy(target[known].astype(np.float32)).to(odds.device)
    loss: Tensor = functional.binary_cross_entropy_with_logits(odds[rows], wanted)
    return loss


def _per_goal(odds: Tensor, goal: np.ndarray, numbers: np.ndarray) -> Tensor:
    """Mean log-odds over the turns of each goal; (goals,)."""
    rows = torch.from_numpy(np.flatnonzero(goal >= 0)).to(odds.device)
    place = torch.from_numpy(np.searchsorted(numbers, goal[goal >= 0])).to(odds.device)
    count = torch.zeros(len(numbers), device=odds.device).index_add(
        0, place, torch.ones(len(place), device=odds.device)
    )
    total = torch.zeros(len(numbers), device=odds.device).index_add(0, place, odds[rows])
    return total / count


@dataclass(frozen=True, slots=True)
class Said:
    """What a network says of n turns.

    Attributes
    ----------
    odds: log-odds per task of `labels.generated.network.TASKS`; (n, 3).
    coherence: log-odds of stage one that a turn does not follow from the one before; (n,).
    intent: probabilities (n, intents).
    """

    odds: np.ndarray
    coherence: np.ndarray
    intent: np.ndarray


def average(said: Sequence[Said]) -> Said:
    """The mean of what several networks say."""
    return Said(
        np.mean([s.odds for s in said], axis=0),
        np.mean([s.coherence for s in said], axis=0),
        np.mean([s.intent for s in said], axis=0),
    )


def say(network: Network, data: Inputs, dialogues: Dialogues, intents: int) -> Said:
    """Run a network over all turns, without gradient; on the device that it is on."""
    n = len(data)
    said = Said(np.zeros((n, len(TASKS))), np.zeros(n), np.zeros((n, intents)))
    network.eval()
    where = next(network.parameters()).device
    # Pieces of one length together: little padding.
    ordered = sorted(pieces(dialogues), key=len)
    with torch.no_grad():
        for start in range(0, len(ordered), 64):
            some = ordered[start : start + 64]
            held = batch(data, some, where)
            read = network(held, network.answer(held))
            take = np.concatenate([inner(piece, dialogues) for piece in some])
            rows = held.rows[take]
            said.odds[rows] = network.tasks(read).cpu().numpy()[take]
            said.coherence[rows] = network.belongs(read)[:, 1].cpu().numpy()[take]
            if intents:
                said.intent[rows] = network.intent(read).softmax(dim=1).cpu().numpy()[take]
    return said
