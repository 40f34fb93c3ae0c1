"""A trained label model: from turns of whole dialogues to labels with probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from classifiers.encoder import Encoder
from data.schema.trace import schema
from features.arrow import pc
from labels.generated import dialogues as reading
from labels.generated.candidates import Fitted
from labels.generated.dialogues import Dialogues
from labels.generated.failure_points import Confidence
from labels.generated.features import (
    Features,
    alone,
    compute,
    goal_rows,
    spread_turns,
    texts_of,
    turn_rows,
)
from labels.generated.frames.model import FRAMES, Frames
from labels.generated.held_out import HeldOut
from labels.generated.mentioned import Values
from labels.generated.network import TASKS, Network, Standard, inputs
from labels.generated.settings import Settings
from labels.generated.training import Said, average, device, say
from labels.generated.words import Weighting
from labels.goals.spans import Span, numbers_of, spans_of

_SLOTS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))
# What `LabelModel.generate` returns, a part of `data.schema.tables.GENERATED_LABELS`.
LABELS = schema(
    [
        ("turn_id", pa.string()),
        ("dialogue_id", pa.string()),
        ("goal_id", pa.string()),
        ("goal_start", pa.float32()),
        ("goal_reached", pa.float32()),
        ("turn_defect", pa.float32()),
        ("intent", pa.string()),
        ("p_intent", pa.float32()),
        ("slots", _SLOTS),
        ("p_slots", pa.float32()),
        # Of each slot: its characters in the request, null where it does not stand there.
        ("spans", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
    ]
)
# Without gold of boundaries a goal begins where the separation is this many spreads above its mean.
_CUT = 1.0
# Turns at the end of a goal whose defects tell that it was not reached, without gold of goals.
_LAST = 2


@dataclass(slots=True)
class LabelModel:
    """Everything between turns and their generated labels.

    Attributes
    ----------
    signals: names of the numeric signals that are read.
    times: whether the seconds between turns are.
    values, rarity: values of slots, and how rare words are, as training saw them.
    tasks: the fitted candidates per task of `TASKS` that had gold; those without fall back, see
        `generate`.
    constant: probability of a task whose gold hardly ever says yes, or no, such as logs of one goal
        a dialogue.
    networks: of different seeds, none if training was told so. intents: names of their intents.
    separation: mean and spread, over the training turns, of how clearly a turn parts from those
        before.
    confidence: how sure a generated failure point is; None for the product of its parts.
    frames: what says intents and slots, with values; without it intents are the network's.
    metrics: per task the figures of every candidate out of fold, or why it was not learned.
    held_out: out-of-fold labels of the training turns.
    """

    settings: Settings
    encoder: Encoder
    signals: tuple[str, ...]
    times: bool
    values: Values
    rarity: Weighting
    standard: Standard
    networks: tuple[Network, ...]
    intents: tuple[str, ...]
    separation: tuple[float, float]
    tasks: dict[str, Fitted]
    metrics: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    constant: dict[str, float] = field(default_factory=dict)
    held_out: HeldOut | None = None
    frames: Frames | None = None
    confidence: Confidence | None = None

    @property
    def thresholds(self) -> dict[str, float]:
        """The probability from which each learned task says yes, with the best F1 out of fold.

        `goal_reached` is said from its value on; below it, the goal was not reached.
        """
        found = {name: fitted.threshold for name, fitted in self.tasks.items()}
        if "goal_reached" in found:
            found["goal_reached"] = 1 - found["goal_reached"]
        return found

    def generate(
        self, turns: pa.Table, feedback: pa.Table | None = None, held_out: bool = True
    ) -> pa.Table:
        """Labels of all `turns`, whole dialogues, in the order given; columns as `LABELS`.

        Where a task was not learned, for want of gold: goals begin where what is said from a turn
        on is unlike what was said before, more than is usual in the training turns, or a wanted
        value is replaced by another; a defect is as probable as `feedback` says (columns turn_id
        and p_defect, null without); a goal was reached as probably as its last two turns were no
        defects.

        Parameters
        ----------
        held_out: give turns that the model was trained on the labels of the models that did not
            see their dialogue, where nothing of it has changed since.
        """
        dialogues = reading.read(turns, "yes" if self.times else "no", self.signals)
        if not len(dialogues):
            return LABELS.empty_table()
        said, features = self.read(dialogues)
        known = self.held_out.find(dialogues) if self.held_out and held_out else None
        start = self.starts(features, said)
        defect = self.defects(features, said, feedback)
        if known is not None:
            start, defect = known.put(start, "goal_start"), known.put(defect, "turn_defect")
        first = dialogues.position == 0
        start = np.where(first, 1.0, start)
        threshold = self.tasks["goal_start"].threshold if "goal_start" in self.tasks else 0.5
        goal = numbers_of(start >= threshold, dialogues.dialogue)
        spans = spans_of(goal, dialogues.dialogue)
        reached = self.reached(features, said, spans, defect)
        per_turn = np.repeat(reached, [s.stop - s.start for s in spans])
        if known is not None:
            per_turn = known.per_goal(per_turn, spans)
        order: Any = np.argsort(dialogues.row)
        intent, confidence = self._intents(said, len(dialogues))
        columns: dict[str, Any] = {
            "turn_id": dialogues.turn_ids,
            "dialogue_id": [dialogues.dialogue_ids[d] for d in dialogues.dialogue],
            "goal_id": [f"g{number}" for number in goal],
            "goal_start": _nullable(start),
            "goal_reached": _nullable(per_turn),
            "turn_defect": _nullable(defect),
            "intent": intent,
            "p_intent": _nullable(confidence),
            "slots": [None] * len(dialogues),
            "p_slots": [None] * len(dialogues),
            "spans": [None] * len(dialogues),
        }
        table = pa.table(columns, LABELS).take(order)
        meant = table.select(FRAMES.names) if self.frames is None else self.frames.generate(turns)
        return _joined(table, meant, FRAMES.empty_table() if known is None else known.meant)

    def read(self, dialogues: Dialogues) -> tuple[Said | None, Features]:
        """What the network says of the turns, if there is one, and their features."""
        texts = texts_of(dialogues, self.encoder)
        features = compute(dialogues, self.values, texts, self.rarity)
        if not self.networks:
            return None, features
        data = inputs(dialogues, texts, self.standard.apply(features.own))
        many = len(self.intents)
        said = [say(network.to(device()), data, dialogues, many) for network in self.networks]
        return average(said), features

    def starts(self, features: Features, said: Said | None) -> np.ndarray:
        """Probability that a goal begins at each turn (n,); of a first turn it says nothing."""
        fitted = self.tasks.get("goal_start")
        if fitted is not None:
            return self._of_turns(fitted, "goal_start", features, said)
        if "goal_start" in self.constant:
            return np.full(len(features.dialogues), self.constant["goal_start"])
        mean, spread = self.separation
        above = np.nan_to_num((separation(features) - mean) / max(spread, 1e-6)) - _CUT
        value: np.ndarray = 1 / (1 + np.exp(-above))
        return value

    def defects(
        self, features: Features, said: Said | None, feedback: pa.Table | None
    ) -> np.ndarray:
        """Probability that each turn's response was a defect (n,), NaN where nothing tells."""
        fitted = self.tasks.get("turn_defect")
        if fitted is not None:
            return self._of_turns(fitted, "turn_defect", features, said)
        if "turn_defect" in self.constant:
            return np.full(len(features.dialogues), self.constant["turn_defect"])
        if feedback is None:
            return np.full(len(features.dialogues), np.nan)
        return told(feedback, features.dialogues)

    def reached(
        self, features: Features, said: Said | None, spans: list[Span], defect: np.ndarray
    ) -> np.ndarray:
        """Probability that each goal was reached (goals,), NaN where nothing tells.

        `defect` (n,): of each turn, as `defects` gives it.
        """
        fitted = self.tasks.get("goal_reached")
        if "goal_reached" in self.constant:
            return np.full(len(spans), self.constant["goal_reached"])
        if fitted is None:
            return np.array(
                [1 - _mean(defect[max(s.start, s.stop - _LAST) : s.stop]) for s in spans]
            )
        scores, network = goal_columns(said, spans, defect)
        rows = goal_rows(features, spans, scores, network)
        value: np.ndarray = 1 - fitted.predict(rows, alone)
        return value

    def _of_turns(
        self, fitted: Fitted, task: str, features: Features, said: Said | None
    ) -> np.ndarray:
        network = None if said is None else turn_columns(said, task, features.dialogues)
        return fitted.predict(turn_rows(features, network), spread_turns(features.dialogues))

    def _intents(self, said: Said | None, n: int) -> tuple[list[str | None], np.ndarray]:
        if said is None or not self.intents:
            return [None] * n, np.full(n, np.nan)
        best = said.intent.argmax(axis=1)
        return [self.intents[i] for i in best], said.intent.max(axis=1)


def told(feedback: pa.Table, dialogues: Dialogues) -> np.ndarray:
    """What feedback (turn_id, p_defect) says of each turn (n,), NaN where nothing."""
    p = dict(zip(feedback["turn_id"].to_pylist(), feedback["p_defect"].to_pylist(), strict=True))
    return np.array([p.get(turn) for turn in dialogues.turn_ids], float)


def turn_columns(said: Said, task: str, dialogues: Dialogues) -> np.ndarray:
    """What the network says of each turn and its neighbours for a task; (n, 6)."""
    p = 1 / (1 + np.exp(-said.odds))
    own = spread_turns(dialogues)(p[:, TASKS.index(task)])
    return np.hstack([own, said.coherence[:, None]]).astype(np.float32)


def goal_columns(
    said: Said | None, spans: list[Span], defect: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """What is said of turns, for summaries (n, 1 or 3), and by the network of each goal (goals, 1).

    `defect` (n,): probability that the response was a defect, NaN where nothing tells.
    """
    if said is None:
        return defect[:, None].astype(np.float32), None
    odds = said.odds[:, TASKS.index("goal_reached")]
    mean = np.array([odds[s.start : s.stop].mean() for s in spans])
    p = 1 / (1 + np.exp(-mean))
    scores = np.stack([defect, odds, said.odds[:, TASKS.index("turn_defect")]], axis=1)
    return scores.astype(np.float32), p[:, None].astype(np.float32)


def separation(features: Features) -> np.ndarray:
    """How clearly what is said from each turn on parts from what was said before; (n,).

    The depth of the gap between two turns on both sides, less the likeness of both turns, of
    encoder vectors (Hearst 1997, "TextTiling", sec. 4.2 and 4.3, with vectors for word counts).
    A wanted value that is replaced by another parts them as clearly as anything said. NaN on the
    first turn of a dialogue.
    """
    column = {name: features.own[:, place] for place, name in enumerate(features.names)}
    depth = np.where(np.isfinite(column["depth 2"]), column["depth 2"], 0.0)
    replaced = np.nan_to_num(column["wanted instead"]) > 0
    value: np.ndarray = depth - column["cohesion 1"] + replaced
    return value


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _nullable(values: np.ndarray) -> pa.Array[Any]:
    return pa.array(values, pa.float32(), from_pandas=True)


def _joined(labels: pa.Table, meant: pa.Table, known: pa.Table) -> pa.Table:
    """`labels` with intents and slots of `known`, and of `meant` where that says nothing."""
    both = pa.concat_tables([known, meant.cast(FRAMES)])
    # Of two rows of a turn, the first is found.
    taken = both.take(pc.index_in(labels["turn_id"], value_set=both["turn_id"].combine_chunks()))
    for name in FRAMES.names:
        field = LABELS.field(name)
        labels = labels.set_column(
            LABELS.get_field_index(name), field, taken[name].cast(field.type)
        )
    return labels
