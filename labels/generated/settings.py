"""The settings a label model is trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from classifiers.encoder import DEFAULT
from data.errors import UsageError
from labels.generated.dialogues import Times


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything but the data that determines what is learned.

    Attributes
    ----------
    seed: two trainings on the same turns with one seed give the same model, on one kind of machine.
    encoder: a transformers model: the packaged default, a local folder, or a cached hub name.
    times: whether the seconds between turns are read; ``auto`` finds out whether they are real.
    folds: parts into which dialogues are split for out-of-fold probabilities.
    rounds, leaves, learning_rate: of LightGBM.
    network: whether a network is trained; without it the candidates are words and trees.
    size, layers, heads, dropout: of the Transformer over turns.
    pretraining, epochs: passes over the dialogues in stage one and stage two.
    networks: trained with different seeds; their log-odds are averaged.
    batch: dialogues in a step. rate: highest learning rate.
    frames: how what was meant is learned (`labels.generated.frames`): ``full``, ``quick`` or
        ``none``.
    threads: of training; 0 for one per core.
    """

    seed: int = 0
    encoder: str = DEFAULT
    times: Times = "auto"
    folds: int = 5
    rounds: int = 200
    leaves: int = 15
    learning_rate: float = 0.05
    network: bool = True
    size: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.2
    pretraining: int = 3
    epochs: int = 8
    networks: int = 2
    batch: int = 24
    rate: float = 1e-3
    frames: Literal["full", "quick", "none"] = "full"
    threads: int = 0

    @classmethod
    def quick(cls, seed: int = 0) -> Self:
        """Settings for a first look: 20,000 turns in less than a minute on two cores."""
        return cls(
            seed=seed,
            folds=3,
            rounds=100,
            size=64,
            layers=1,
            pretraining=1,
            epochs=3,
            networks=1,
            frames="quick",
        )

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UsageError(f"folds is {self.folds}; at least 2 are needed to test on the rest.")
        if self.size % self.heads:
            raise UsageError(
                f"size {self.size} cannot be divided among {self.heads} heads; give a multiple."
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})
