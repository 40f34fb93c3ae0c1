"""A trained model of what was meant: generating it for turns without gold, and its files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import msgspec
import numpy as np
import pyarrow as pa

from data.errors import UsageError
from data.schema.trace import schema
from labels.generated.frames import scorer, ways
from labels.generated.frames.baseline import Baseline
from labels.generated.frames.candidates import Candidate, Counts, Gazetteer, candidates
from labels.generated.frames.network import Network, Output
from labels.generated.frames.requests import Frame, Pair, Turn, read
from labels.generated.frames.scorer import Sureness
from labels.generated.frames.settings import Settings
from labels.generated.frames.targets import Inventory
from labels.generated.frames.ways import Chosen
from labels.generated.frames.words import Lexicon
from progress import Progress, silent

VERSION = 2
_WORDS = "words.npz"

_STR: pa.DataType = pa.string()
FRAMES = schema(
    [
        ("turn_id", _STR),
        ("intent", _STR),
        ("p_intent", pa.float64()),
        ("slots", pa.list_(pa.struct([("name", _STR), ("value", _STR)]))),
        ("p_slots", pa.float64()),
        ("spans", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
    ]
)


@dataclass(frozen=True, slots=True)
class Frames:
    """A trained model of what was meant.

    `network` has learned from all turns; those that the scorer learned from had not seen the turn.
    `learned` is ``gold``, or ``nlu`` where hypotheses of accepted turns were all there was: then a
    turn's own hypotheses are not read, as the model would only repeat them. `turns`: so many.
    `ways`: how each task (intent, slots) is done (`ways`); a task that nothing was known of is
    not among them, and nothing is said of it. `words` is there if one of them needs it. `metrics`
    has the figures of all ways. `held_out`: what `generate` would have said of the turns that were
    learned from, had it not seen their dialogue; only after training, not in the files.
    """

    settings: Settings
    network: Network
    gazetteer: Gazetteer
    booster: lgb.Booster | None
    threshold: float
    sure_intent: Sureness
    sure_slots: Sureness
    learned: str
    turns: int
    ways: dict[str, str] = field(default_factory=dict)
    words: Baseline | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    held_out: pa.Table | None = None

    @property
    def inventory(self) -> Inventory:
        return self.network.inventory

    def generate(self, turns: pa.Table, progress: Progress = silent) -> pa.Table:
        """What each row of `turns` meant; a table of schema `FRAMES`, in the order of `turns`.

        `turns` holds whole dialogues with the columns `requests.COLUMNS`; `gold` is not read.
        `intent`, or `slots`, is null where none was ever learned; `p_intent` and `p_slots` are the
        probabilities that the intent, and all slots together, are right. `slots` are in the order
        of the request; `spans` has one element for each: characters of the first hypothesis's text,
        null where the value does not stand there.
        """
        dialogues = read(turns.drop_columns(["gold"]) if "gold" in turns.column_names else turns)
        if self.learned == "nlu":
            dialogues = [[without_nlu(turn) for turn in d] for d in dialogues]
        rows: list[tuple[Any, ...]] = [()] * turns.num_rows
        done = 0
        for part in _parts(dialogues):
            output = self.network.read(part)
            every, x = all_candidates(part, output, self)
            p = scorer.predict(self.booster, x)
            flat = [turn for dialogue in part for turn in dialogue]
            for turn, row in zip(
                flat, self.rows(flat, output.intents, every, p, self.words), strict=True
            ):
                rows[turn.row] = row
            done += len(flat)
            progress(done, turns.num_rows, "what was meant")
        return table(rows)

    def rows(
        self,
        turns: list[Turn],
        network: np.ndarray,
        every: list[list[Candidate]],
        p: np.ndarray,
        words: Baseline | None,
    ) -> list[tuple[Any, ...]]:
        """A row of `FRAMES` for each of `turns`; the rest as in `ways.intents` and `ways.slots`."""
        n = len(turns)
        intents: list[str | None] = [None] * n
        p_intent, p_slots = np.zeros(n), np.zeros(n)
        slots: list[list[Chosen]] = [[] for _ in turns]
        if "intent" in self.ways:
            intents, known = ways.intents(
                self.ways["intent"], turns, network, self.inventory.intents, words
            )
            p_intent = self.sure_intent.probability(known)
        if "slots" in self.ways:
            single = self.gazetteer.counts.single()
            slots, known = ways.slots(
                self.ways["slots"], turns, every, p, self.threshold, single, words
            )
            p_slots = self.sure_slots.probability(known)
        return [
            (
                turn.turn_id,
                intents[i],
                float(p_intent[i]) if intents[i] is not None else None,
                *(_slots(slots[i], float(p_slots[i])) if "slots" in self.ways else _NO_SLOTS),
            )
            for i, turn in enumerate(turns)
        ]

    def save(self, folder: str | Path) -> None:
        """Write the model to `folder`, which is created; what an earlier model left is replaced."""
        folder = Path(folder)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self.network.save(folder / "network.npz")
        scorer.save(self.booster, folder / "scorer.txt")
        if self.words is not None:
            self.words.save(folder / _WORDS)
        content = _Saved(
            VERSION,
            self.settings.to_json(),
            self.network.lexicon.numbers,
            _SavedInventory(*self.inventory.to_json()),
            self.gazetteer.counts.to_json(),
            self.threshold,
            self.sure_intent.to_json(),
            self.sure_slots.to_json(),
            self.learned,
            self.turns,
            self.ways,
        )
        (folder / "frames.json").write_bytes(msgspec.json.encode(content))

    @classmethod
    def load(cls, folder: str | Path) -> Frames:
        """What `save` wrote; `UsageError` where there is nothing, or of another version."""
        folder = Path(folder)
        try:
            saved = msgspec.json.decode((folder / "frames.json").read_bytes(), type=_Saved)
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(
                f"There is no model of frames at {folder} ({error}); train one first."
            ) from error
        if saved.version != VERSION:
            raise UsageError(
                f"The model of frames at {folder} has version {saved.version}; this release reads "
                f"version {VERSION}. Train it again."
            )
        settings = Settings.from_json(saved.settings)
        lexicon, gazetteer = Lexicon(saved.lexicon), Gazetteer.of(Counts.from_json(saved.counts))
        inventory = Inventory.from_json(
            saved.inventory.intents,
            saved.inventory.names,
            saved.inventory.pairs,
            saved.inventory.written,
        )
        return cls(
            settings,
            Network.load(folder / "network.npz", lexicon, inventory, settings),
            gazetteer,
            scorer.load(folder / "scorer.txt"),
            saved.threshold,
            Sureness.from_json(saved.sure_intent),
            Sureness.from_json(saved.sure_slots),
            saved.learned,
            saved.turns,
            saved.ways,
            Baseline.load(folder / _WORDS, gazetteer) if (folder / _WORDS).exists() else None,
        )


class _SavedInventory(msgspec.Struct):
    intents: list[str]
    names: list[str]
    pairs: list[Pair]
    written: list[tuple[str, str, str]]


class _Saved(msgspec.Struct):
    version: int
    settings: dict[str, Any]
    lexicon: dict[str, int]
    inventory: _SavedInventory
    counts: dict[str, Any]
    threshold: float
    sure_intent: dict[str, Any]
    sure_slots: dict[str, Any]
    learned: str
    turns: int
    ways: dict[str, str]


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    """Rows of `FRAMES` as a table."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(FRAMES)
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, FRAMES, strict=True)], schema=FRAMES
    )


_NO_SLOTS = (None, None, None)


def _slots(chosen: list[Chosen], p: float) -> tuple[Any, ...]:
    """The columns about slots of a turn, in the order of `FRAMES`."""
    # In the order of the words; what does not stand there comes last, the surest first.
    found = sorted(chosen, key=lambda c: (c[0].start < 0, c[0].start, -c[1]))
    return (
        [{"name": c.pair[0], "value": c.pair[1]} for c, _ in found],
        p,
        [{"start": c.start, "end": c.end} if c.start >= 0 else None for c, _ in found],
    )


def all_candidates(
    dialogues: Sequence[list[Turn]],
    output: Output,
    model: Frames,
    frames: Sequence[list[Frame | None]] | None = None,
) -> tuple[list[list[Candidate]], np.ndarray]:
    """Candidates of all turns with their features; with `frames`, of dialogues trained on."""
    every: list[list[Candidate]] = []
    x = []
    at = 0
    for i, dialogue in enumerate(dialogues):
        found, rows = candidates(
            dialogue,
            output,
            at,
            model.inventory,
            model.gazetteer,
            model.settings.context,
            Counts.of(frames[i]) if frames is not None else None,
        )
        every += found
        x.append(rows)
        at += len(dialogue)
    return every, np.concatenate(x)


def without_nlu(turn: Turn) -> Turn:
    """The turn without what the assistant took it for."""
    return replace(turn, nlu=())


def _parts(dialogues: list[list[Turn]], most: int = 2_000) -> list[list[list[Turn]]]:
    """The dialogues in lists of about `most` turns."""
    parts: list[list[list[Turn]]] = []
    turns = most
    for dialogue in dialogues:
        if turns >= most:
            parts.append([])
            turns = 0
        parts[-1].append(dialogue)
        turns += len(dialogue)
    return parts
