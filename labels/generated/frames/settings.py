"""The settings a model of frames is trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from data.errors import UsageError

Context = Literal["hindsight", "live", "turn"]
CONTEXTS: tuple[Context, ...] = ("hindsight", "live", "turn")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything but the data that determines what is learned.

    Attributes
    ----------
    context: ``hindsight`` reads the turns that follow, ``live`` those before only, ``turn`` none.
    seed: two trainings on the same turns with one seed give the same model.
    most: turns that are learned from; of more, whole dialogues are drawn.
    folds: parts of the dialogues; each is scored by a network that has not seen it.
    epochs: passes of a network over its dialogues.
    batch: turns per step of a network, whole dialogues.
    width: size of a token's vector; a turn's is twice as long.
    rate: highest learning rate of a network (Adam, one cycle).
    dropout: share of a vector's elements left out while training.
    forget: share of words left out while training, so that their parts and neighbours are used.
    rounds, leaves, min_leaf, boosting_rate: of LightGBM, which scores the candidates.
    """

    context: Context = "hindsight"
    seed: int = 0
    most: int = 40_000
    folds: int = 2
    epochs: int = 7
    batch: int = 64
    width: int = 128
    rate: float = 3e-3
    dropout: float = 0.1
    forget: float = 0.05
    rounds: int = 150
    leaves: int = 31
    min_leaf: int = 20
    boosting_rate: float = 0.08

    @classmethod
    def quick(cls, context: Context = "hindsight", seed: int = 0) -> Settings:
        """Settings for a demonstration: a smaller network that sees fewer turns."""
        return cls(context=context, seed=seed, most=5_000, epochs=5, width=64, rounds=60)

    def checked(self) -> Settings:
        """These settings; `UsageError` where one is out of range."""
        if self.context not in CONTEXTS:
            raise UsageError(
                f"There is no context '{self.context}'; give one of {', '.join(CONTEXTS)}."
            )
        if self.folds < 2:
            raise UsageError(f"A model of frames needs at least 2 folds; {self.folds} was given.")
        return self

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Settings:
        return replace(cls(), **content)
