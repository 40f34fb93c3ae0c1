"""The settings a model is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from classifiers.encoder import DEFAULT
from data.errors import UsageError
from data.store.judges import annotator_of
from features.catalogue import feature
from features.matrix import Context
from features.multi_device import MOST_WITHIN_S, WITHIN_S

# The last four are parts of the witness.
PARTS = (
    "before", "after", "capture", "text", "witness", "imitated", "meant", "language", "tagger"
)  # fmt: skip
Labels = Literal["auto", "gold", "generated", "both", "behaviour"]
LABELS: tuple[Labels, ...] = ("auto", "gold", "generated", "both", "behaviour")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything but the data that determines what is learned.

    Attributes
    ----------
    context: ``hindsight`` reads the turns that follow; ``live`` does not.
    seed: two trainings on the same turns with one seed give the same model.
    encoder: a transformers model: the packaged default, a local folder, or a cached hub name.
    without: groups of features to leave out, of `PARTS`; for ablations. Without text there is no
        witness either.
    devices_within: seconds within which several devices hear one request; 0 for the same instant.
    labels: which failure points are learned from: of annotators and by rule (``gold``), those that
        the label model generated, or both; or ``behaviour``: derived from signals and from what
        users did, which needs no annotation and no label model. In both and behaviour, gold decides
        where a turn has it. ``auto``, for `classifiers.train`'s `train` and `train_store`:
        behaviour while there is little gold, then gold.
    judge: an outside judge (`data.store.judges`) whose verdicts stand for generated labels, with
        labels ``both``; None for none.
    warm_start: pool few labels with the packaged turns of simulated assistants, where that helps.
    folds: parts into which the labelled turns are split for out-of-fold scores and calibration.
    rounds, learning_rate, leaves, min_leaf, columns, ridge, extra_trees: of LightGBM; `rounds` is
        the maximum. Trees that split at random thresholds differ more, so that more of them help.
    """

    context: Context = "hindsight"
    seed: int = 0
    encoder: str = DEFAULT
    without: tuple[str, ...] = ()
    devices_within: float = WITHIN_S
    labels: Labels = "gold"
    judge: str | None = None
    warm_start: bool = False
    folds: int = 5
    rounds: int = 272
    learning_rate: float = 0.08
    leaves: int = 15
    min_leaf: int = 20
    columns: float = 0.4
    ridge: float = 5.0
    extra_trees: bool = True

    @classmethod
    def of(
        cls,
        context: str,
        seed: int,
        encoder: str | None = None,
        without: Sequence[str] = (),
        devices_within: float = WITHIN_S,
        labels: str = "gold",
        warm_start: bool = False,
        *,
        judge: str | None = None,
    ) -> Settings:
        """Settings as a user gives them; `UsageError` for an unknown context, feature group or kind
        of labels, a window out of range, or a judge beside labels that are not gold."""
        if context not in ("hindsight", "live"):
            raise UsageError(f"There is no context '{context}'; give hindsight or live.")
        kind = next((name for name in LABELS if name == labels), None)
        if kind is None:
            raise UsageError(f"There are no labels '{labels}'; give one of {', '.join(LABELS)}.")
        if judge is not None and kind not in ("auto", "both"):
            raise UsageError(
                f"A judge's verdicts are learned from beside gold, not with labels '{kind}'; leave "
                "--labels out, or --judge."
            )
        unknown = sorted(set(without) - set(PARTS))
        if unknown:
            raise UsageError(
                f"Cannot leave out {', '.join(unknown)}; there are: {', '.join(PARTS)}."
            )
        if not 0 <= devices_within <= MOST_WITHIN_S:
            raise UsageError(
                f"Several devices cannot hear one request within {devices_within:g} seconds; give "
                f"0 to {MOST_WITHIN_S:g}."
            )
        return cls(
            context="live" if context == "live" else "hindsight",
            seed=seed,
            encoder=encoder or DEFAULT,
            without=tuple(sorted(without)),
            devices_within=devices_within,
            labels=kind if judge is None else "both",
            judge=None if judge is None else annotator_of(judge),
            warm_start=warm_start,
        )

    def leaves_out(self, name: str) -> bool:
        """Whether a feature column is left out with its group: before, after or capture."""
        capture = "capture" in self.without and ".capture_" in name
        return capture or feature(name).when in self.without

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Settings:
        # Models trained before there was a window compared turns of the same instant.
        return cls(**{"devices_within": 0.0, **content, "without": tuple(content["without"])})
