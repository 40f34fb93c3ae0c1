"""Which later turn rephrases a turn that failed: fitted on judged turns, or without any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import pyarrow as pa

from data.errors import ModelError, NotEnoughLabels, machine_error
from data.schema.trace import schema
from rewrites.rephrase.methods import METHODS, Hypotheses, Means, Method, best_threshold, choice
from rewrites.rephrase.pairs import Pairs
from rewrites.rephrase.saved import Saved, of, restored
from rewrites.rephrase.turns import WINDOW, Heard, digest, lead, pairs

# The winner on real data by cross-validation: see docs/rephrase.md.
DEFAULT = "pair features"
# Rephrases that a fit needs.
LEAST = 20
# Parts of the dialogues that are held out in turn, to set the threshold.
FOLDS = 4
# Letters in common, less a tenth per minute, above which a link is given without any judged turn.
# From 0.3 to 0.5 the F1 on the three logs of docs/rephrase.md hardly changes.
UNTAUGHT = 0.4

REPHRASES = schema(
    [
        pa.field("turn_id", pa.string(), nullable=False),
        pa.field("rephrase_turn_id", pa.string()),
        pa.field("start", pa.int32()),
        pa.field("end", pa.int32()),
        pa.field("score", pa.float64()),
    ]
)


class Detector:
    """Finds the later turn that says a failed turn's want again and is understood.

    Parameters
    ----------
    method: one of `METHODS`. window: later turns of the dialogue that are considered.
    means: what the method may use; `whole=False` for excerpts of dialogues.

    Attributes
    ----------
    threshold: the score above which a link is given.
    taught: whether judged turns were learned from.
    """

    def __init__(
        self, method: str = DEFAULT, *, window: int = WINDOW, means: Means | None = None
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; there are: {', '.join(METHODS)}")
        self.method, self.window, self.means = method, window, means or Means()
        self.threshold, self.taught = UNTAUGHT, False
        self.scorer: Method = Hypotheses(self.means)

    def fit(self, dialogues: pa.Table, truth: pa.Table | None = None) -> Self:
        """Learn from the judged turns of complete dialogues in the shape of `TURNS`.

        `truth`: `turn_id` and `rephrase_turn_id` (null: none in the window) of turns that failed.
        Without it the detector stays what it is when made: the nearest hypotheses of both turns,
        with the time rule and a fixed threshold. Raises `NotEnoughLabels` if fewer than `LEAST`
        turns have a rephrase. Deterministic under the seed of `means`.
        """
        if truth is None:
            self.threshold, self.taught = UNTAUGHT, False
            self.scorer = Hypotheses(self.means)
            return self
        judged = truth.select(["turn_id", "rephrase_turn_id"]).to_pylist()
        answers = {row["turn_id"]: row["rephrase_turn_id"] for row in judged}
        asked = self._pairs(digest(dialogues), answers)
        right = _right(asked, answers)
        if right.sum() < LEAST:
            raise NotEnoughLabels(
                f"{int(right.sum())} of the judged turns are rephrased within {self.window} turns; "
                f"at least {LEAST} are needed. Judge more turns, or fit without any."
            )
        asked = self._method().prepared(asked)
        part = self._parts(asked)
        scores, seen = np.zeros(len(right)), np.zeros(len(right), bool)
        # An encoder is tuned once, on what the threshold is not set on: minutes each time.
        for fold in range(1 if METHODS[self.method].tuned else FOLDS):
            out = part == fold
            self.scorer = self._method().fit(asked.where(~out), right[~out])
            scores[out], seen = self.scorer.scores(asked.where(out)), seen | out
        self.threshold = best_threshold(asked.where(seen), scores[seen], right[seen])[0]
        if not METHODS[self.method].tuned:
            self.scorer = self._method().fit(asked, right)
        self.taught = True
        return self

    def predict(
        self,
        dialogues: pa.Table,
        asked: Iterable[str] | None = None,
        among: Iterable[str] | None = None,
    ) -> pa.Table:
        """The rephrase of each turn, or none: one row of `REPHRASES` per turn, ordered by turn.

        `asked`: the turns to look at, all by default. A score is that of the best turn of the
        window, null where no turn follows. `start` and `end` count words of its first hypothesis.
        `among`: the later turns that may be the rephrase, all by default.
        The detector assumes that a turn failed: links of other turns mean nothing.
        """
        heard = digest(dialogues)
        wanted = {turn.turn_id for turn in heard} if asked is None else set(asked)
        found = self._pairs(heard, wanted)
        scores = self.scorer.scores(found)
        if among is not None:
            known = set(among)
            kept = np.array([heard[i].turn_id in known for i in found.later], bool)
            found, scores = found.where(kept), scores[kept]
        rows: dict[str, dict[str, Any]] = {
            turn.turn_id: {"turn_id": turn.turn_id} for turn in heard if turn.turn_id in wanted
        }
        for pair in choice(found, scores):
            row = rows[heard[found.first[pair]].turn_id]
            row["score"] = float(scores[pair])
            if scores[pair] > self.threshold:
                row |= _link(heard[found.later[pair]])
        return pa.Table.from_pylist([rows[turn] for turn in sorted(rows)], REPHRASES)

    def save(self, folder: Path) -> None:
        """Write the detector to a new or empty folder. Fine-tuned encoders are not kept.

        Raises `ModelError` for those.
        """
        saved = of(self.scorer, self.method, self.window, self.threshold, self.taught)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "rephrase.json").write_bytes(msgspec.json.encode(saved))
        except OSError as error:
            raise machine_error(error, folder) or error from error

    @classmethod
    def load(cls, folder: Path, means: Means | None = None) -> Self:
        """A detector that `save` wrote. Raises `ModelError` if it cannot be read.

        `means` is needed where sentence vectors were used; the rest is as saved.
        """
        try:
            saved = msgspec.json.decode((folder / "rephrase.json").read_bytes(), type=Saved)
        except (OSError, msgspec.DecodeError) as error:
            raise machine_error(error, folder) or ModelError(
                f"The rephrase detector in {folder} cannot be loaded ({error}); fit it again."
            ) from error
        scorer = restored(saved, means)
        detector = cls(saved.method, window=saved.window, means=scorer.means)
        detector.scorer, detector.threshold, detector.taught = scorer, saved.threshold, saved.taught
        return detector

    def _pairs(self, heard: Sequence[Heard], asked: Iterable[str]) -> Pairs:
        first, later = pairs(heard, self.window)
        wanted = set(asked)
        kept = np.array([heard[i].turn_id in wanted for i in first], bool)
        return Pairs(heard, first[kept], later[kept])

    def _method(self) -> Method:
        return METHODS[self.method](self.means)

    def _parts(self, asked: Pairs) -> np.ndarray:
        """The part that each pair's dialogue is in."""
        dialogue = np.array([asked.heard[i].dialogue for i in asked.first], object)
        names, number = np.unique(dialogue.astype(str), return_inverse=True)
        part: np.ndarray = np.random.default_rng(self.means.seed).permutation(len(names)) % FOLDS
        return part[number]


def _right(asked: Pairs, answers: dict[str, str | None]) -> np.ndarray:
    heard = asked.heard
    both = zip(asked.first, asked.later, strict=True)
    return np.array([answers[heard[i].turn_id] == heard[j].turn_id for i, j in both], bool)


def _link(turn: Heard) -> dict[str, Any]:
    """The link to a turn: its id, and its words less those that only reject or hesitate."""
    start = lead(turn.text.split())
    return {"rephrase_turn_id": turn.turn_id, "start": start, "end": turn.length}
