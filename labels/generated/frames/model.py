"""Training what was meant, and generating it for turns without gold."""

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
from rapidfuzz import fuzz

from data.errors import NotEnoughLabels, UsageError
from data.schema.trace import schema
from labels.generated.frames import scorer
from labels.generated.frames.candidates import Candidate, Counts, Gazetteer, candidates, normal
from labels.generated.frames.network import Network, Output, all_words
from labels.generated.frames.requests import Frame, Pair, Turn, key, read
from labels.generated.frames.scorer import Sureness
from labels.generated.frames.settings import Settings
from labels.generated.frames.targets import Inventory
from labels.generated.frames.words import Lexicon
from labels.generated.throughput import STATED, curve, threshold_for
from progress import Progress, portion, silent

VERSION = 1
# Turns to learn from, below which nothing useful is learned.
LEAST = 20
# A request this similar to the one before it says it again, so that one was not accepted.
_SAID_AGAIN = 75.0

# Candidates of the table: what is used, and what the assistant logged.
CONTEXT, LOGGED = "context", "logged NLU"
# Numbers of `scorer.evidence`.
_EVIDENCE = 4

_STR: pa.DataType = pa.string()
FRAMES = schema(
    [
        ("turn_id", _STR),
        ("intent", _STR),
        ("p_intent", pa.float64()),
        ("slots", pa.list_(pa.struct([("name", _STR), ("value", _STR)]))),
        ("p_slots", pa.float64()),
        ("slot_confidence", pa.list_(pa.float64())),
        ("spans", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
    ]
)


@dataclass(frozen=True, slots=True)
class Frames:
    """A trained model of what was meant.

    `network` has learned from all turns; those that the scorer learned from had not seen the turn.
    `learned` is ``gold``, or ``nlu`` where hypotheses of accepted turns were all there was: then a
    turn's own hypotheses are not read, as the model would only repeat them. `turns`: so many.
    `logged`: the tasks (intent, slots) for which NLU's own first hypothesis was right more often
    out of fold, and is therefore what is generated; of turns that have one. `metrics` has the
    figures of both.
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
    logged: tuple[str, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def inventory(self) -> Inventory:
        return self.network.inventory

    def generate(self, turns: pa.Table, progress: Progress = silent) -> pa.Table:
        """What each row of `turns` meant; a table of schema `FRAMES`, in the order of `turns`.

        `turns` holds whole dialogues with the columns `requests.COLUMNS`; `gold` is not read.
        `intent` is null where no intent was ever learned; `p_intent` and `p_slots` are the
        probabilities that the intent, and all slots together, are right. `slots` are in the order
        of the request; `slot_confidence` and `spans` have one element for each: `spans` are
        characters of the first hypothesis's text, null where the value does not stand there.
        """
        dialogues = read(turns.drop_columns(["gold"]) if "gold" in turns.column_names else turns)
        if self.learned == "nlu":
            dialogues = [[_without_nlu(turn) for turn in d] for d in dialogues]
        rows: list[tuple[Any, ...]] = [()] * turns.num_rows
        done = 0
        for part in _parts(dialogues):
            output = self.network.read(part)
            every, x = _all_candidates(part, output, self)
            p = scorer.predict(self.booster, x)
            flat = [turn for dialogue in part for turn in dialogue]
            for turn, row in zip(flat, self._rows(flat, output, every, p), strict=True):
                rows[turn.row] = row
            done += len(flat)
            progress(done, turns.num_rows, "what was meant")
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(FRAMES)
        return pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, FRAMES, strict=True)], schema=FRAMES
        )

    def _rows(
        self,
        turns: list[Turn],
        output: Output,
        every: list[list[Candidate]],
        p: np.ndarray,
    ) -> list[tuple[Any, ...]]:
        single = self.gazetteer.counts.single()
        intents = self.inventory.intents
        p_intent = self.sure_intent.probability(_intent_evidence(output.intents))
        best = [intents[i] for i in output.intents.argmax(1)] if intents else [None] * len(turns)
        if "intent" in self.logged:
            logged = self.sure_intent.probability(_logged_evidence(turns, output.intents, intents))
            network = output.intents.max(1) if intents else np.zeros(len(turns))
            p_intent = np.where([bool(turn.nlu) for turn in turns], logged, network)
            best = [t.nlu[0].intent if t.nlu else b for t, b in zip(turns, best, strict=True)]
        chosen, known, at = [], [], 0
        for turn, found in zip(turns, every, strict=True):
            mine = p[at : at + len(found)]
            at += len(found)
            picked = scorer.choose(found, mine, self.threshold, single)
            if "slots" in self.logged and turn.nlu:
                picked = _logged_slots(turn, found)
            known.append(scorer.evidence(mine, picked, len(turn.request.split())))
            # In the order of the words; what does not stand there comes last, the surest first.
            picked.sort(key=lambda i: (found[i].start < 0, found[i].start, -mine[i]))
            chosen.append([(found[i], float(mine[i])) for i in picked])
        p_slots = self.sure_slots.probability(np.array(known, np.float64).reshape(len(turns), -1))
        return [
            (
                turn.turn_id,
                best[i],
                float(p_intent[i]) if best[i] is not None else None,
                [{"name": c.pair[0], "value": c.pair[1]} for c, _ in chosen[i]],
                float(p_slots[i]),
                [share for _, share in chosen[i]],
                [{"start": c.start, "end": c.end} if c.start >= 0 else None for c, _ in chosen[i]],
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
            list(self.logged),
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
        lexicon = Lexicon(saved.lexicon)
        inventory = Inventory.from_json(
            saved.inventory.intents,
            saved.inventory.names,
            saved.inventory.pairs,
            saved.inventory.written,
        )
        return cls(
            settings,
            Network.load(folder / "network.npz", lexicon, inventory, settings),
            Gazetteer.of(Counts.from_json(saved.counts)),
            scorer.load(folder / "scorer.txt"),
            saved.threshold,
            Sureness.from_json(saved.sure_intent),
            Sureness.from_json(saved.sure_slots),
            saved.learned,
            saved.turns,
            tuple(saved.logged),
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
    logged: list[str]


def train(turns: pa.Table, settings: Settings | None = None, progress: Progress = silent) -> Frames:
    """Learn from the turns of `turns` (whole dialogues) whose gold states an intent or slots.

    Where none does, the first NLU hypotheses of accepted turns are learned from: turns that the
    log does not call failed and whose request was not said again. Raises `NotEnoughLabels` where
    there are fewer than `LEAST` turns of either kind, or all are of one dialogue; `UsageError` for
    a missing column or a setting out of range.
    """
    settings = (settings or Settings()).checked()
    dialogues = read(turns)
    frames: list[list[Frame | None]] = [[turn.gold for turn in d] for d in dialogues]
    learned = "gold"
    if not any(f is not None for d in frames for f in d):
        learned = "nlu"
        frames = [accepted(d) for d in dialogues]
        dialogues = [[_without_nlu(turn) for turn in d] for d in dialogues]
    taught = sum(f is not None for d in frames for f in d)
    kept = [i for i, d in enumerate(frames) if any(f is not None for f in d)]
    if taught < LEAST or len(kept) < settings.folds:
        raise NotEnoughLabels(
            f"What was meant is learned from at least {LEAST} turns in {settings.folds} dialogues "
            f"whose gold states an intent or slots, or that an NLU interpreted; found {taught} in "
            f"{len(kept)}. Annotate intents and slots, or ingest logs with NLU hypotheses."
        )
    kept = _drawn(kept, frames, settings)
    dialogues, frames = [dialogues[i] for i in kept], [frames[i] for i in kept]
    flat = [turn for d in dialogues for turn in d]
    meant = [f for d in frames for f in d]
    lexicon = Lexicon.learn(word for turn in flat for word in all_words(turn))
    inventory = Inventory.learn(
        [(turn, f) for turn, f in zip(flat, meant, strict=True) if f is not None]
    )
    gazetteer = Gazetteer.of(Counts.of(meant))
    rng = np.random.default_rng(settings.seed)
    fold = rng.permutation(len(dialogues)) % settings.folds
    parts = [np.flatnonzero(fold != k) for k in range(settings.folds)] + [np.arange(len(fold))]
    done, total = 0.0, sum(map(len, parts)) * 1.1
    networks = []
    for k, part in enumerate(parts):
        networks.append(
            Network.fit(
                [dialogues[i] for i in part],
                [frames[i] for i in part],
                lexicon,
                inventory,
                replace(settings, seed=settings.seed + k),
                portion(progress, done / total, (done + len(part)) / total),
            )
        )
        done += len(part)
    outputs = []
    for k, network in enumerate(networks[:-1]):
        mine = np.flatnonzero(fold == k).tolist()
        outputs.append((mine, network.read([dialogues[i] for i in mine])))
    model = Frames(
        settings,
        networks[-1],
        gazetteer,
        None,
        0.5,
        Sureness((1.0,), 0.0),
        Sureness((1.0,), 0.0),
        learned,
        taught,
    )
    progress(done, total, "weighing candidates")
    return _with_scorer(model, dialogues, frames, outputs)


@dataclass(slots=True)
class _Held:
    """Candidates of a fold's turns, from a network that has not seen them."""

    turns: list[Turn]
    frames: list[Frame | None]
    every: list[list[Candidate]]
    x: np.ndarray
    y: np.ndarray
    known: np.ndarray  # per candidate: the turn's frame is stated
    missed: int
    intents: np.ndarray


def _with_scorer(
    model: Frames,
    dialogues: list[list[Turn]],
    frames: list[list[Frame | None]],
    outputs: list[tuple[list[int], Output]],
) -> Frames:
    settings = model.settings
    held = [
        _hold([dialogues[i] for i in mine], [frames[i] for i in mine], output, model)
        for mine, output in outputs
    ]
    p = []
    for k, fold in enumerate(held):
        others = [h for j, h in enumerate(held) if j != k]
        booster = _fit([h.x[h.known] for h in others], [h.y[h.known] for h in others], settings)
        p.append(scorer.predict(booster, fold.x))
    y = np.concatenate([h.y[h.known] for h in held])
    threshold = scorer.best_threshold(
        np.concatenate([q[h.known] for q, h in zip(p, held, strict=True)]),
        y,
        sum(h.missed for h in held),
    )
    slots = _slots_right(held, p, threshold, model.gazetteer.counts.single())
    intents = _intents_right(held, model.inventory.intents)
    right = {"intent": intents[1], "slots": slots[1]}
    single = model.gazetteer.counts.single()
    repeated = {
        "intent": _logged_intents_right(held, model.inventory.intents),
        "slots": _slots_right(held, p, threshold, single, logged=True),
    }
    # What an NLU gives for free is better where it is right more often.
    logged = tuple(
        task
        for task, (_, agrees) in repeated.items()
        if model.learned == "gold" and len(agrees) and agrees.mean() > right[task].mean()
    )
    used = {"intent": intents, "slots": slots} | {task: repeated[task] for task in logged}
    sure = {task: Sureness.fit(*rows) for task, rows in used.items()}
    return replace(
        model,
        booster=_fit([h.x[h.known] for h in held], [h.y[h.known] for h in held], settings),
        threshold=threshold,
        sure_intent=sure["intent"],
        sure_slots=sure["slots"],
        logged=logged,
        metrics={
            task: _figures(task, right[task], repeated[task][1], used[task], sure[task], logged)
            for task in used
        },
    )


def _figures(
    task: str,
    right: np.ndarray,
    logged_right: np.ndarray,
    used: tuple[np.ndarray, np.ndarray],
    sure: Sureness,
    logged: tuple[str, ...],
) -> dict[str, Any]:
    """Accuracy out of fold beside that of the logged NLU, and the curve of the labels."""
    if not len(right):
        return {"skipped": f"no gold of {task}"}
    points = curve(used[1], sure.probability(used[0]))
    figures: dict[str, dict[str, Any]] = {CONTEXT: {"accuracy": float(right.mean())}}
    if len(logged_right):
        figures[LOGGED] = {"accuracy": float(logged_right.mean()), "baseline": True}
    return {
        "measure": "accuracy",
        "default": LOGGED if task in logged else CONTEXT,
        "candidates": figures,
        "n": len(right),
        "curve": [point._asdict() for point in points],
        "threshold": threshold_for(points),
        "stated_precision": STATED,
    }


def _fit(x: list[np.ndarray], y: list[np.ndarray], settings: Settings) -> lgb.Booster | None:
    wanted = np.concatenate(y)
    if not wanted.any():
        return None
    return scorer.fit(np.concatenate(x), wanted, settings)


def _hold(
    dialogues: list[list[Turn]], frames: list[list[Frame | None]], output: Output, model: Frames
) -> _Held:
    every, x = _all_candidates(dialogues, output, model, frames)
    turns = [turn for d in dialogues for turn in d]
    meant = [f for d in frames for f in d]
    y, known, missed = [], [], 0
    for found, frame in zip(every, meant, strict=True):
        stated = frame is not None and frame.slots is not None
        slots = {(name, normal(value)) for name, value in (frame.slots or ())} if frame else set()
        right = [(c.pair[0], normal(c.pair[1])) in slots for c in found]
        y += right
        known += [stated] * len(found)
        missed += len(slots) - sum(right)
    return _Held(
        turns,
        meant,
        every,
        x,
        np.array(y, bool),
        np.array(known, bool),
        missed,
        output.intents,
    )


def _slots_right(
    held: list[_Held],
    p: list[np.ndarray],
    threshold: float,
    single: frozenset[str],
    *,
    logged: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Evidence of each turn whose gold states slots, and whether all that were chosen are right.

    `logged`: choose those of NLU's first hypothesis; nothing comes back if none was ever logged.
    """
    if logged and not any(turn.nlu for fold in held for turn in fold.turns):
        return np.zeros((0, _EVIDENCE)), np.zeros(0, bool)
    x, right = [], []
    for fold, q in zip(held, p, strict=True):
        at = 0
        for turn, frame, found in zip(fold.turns, fold.frames, fold.every, strict=True):
            mine = q[at : at + len(found)]
            at += len(found)
            if frame is None or frame.slots is None:
                continue
            chosen = scorer.choose(found, mine, threshold, single)
            if logged and turn.nlu:
                chosen = _logged_slots(turn, found)
            x.append(scorer.evidence(mine, chosen, len(turn.request.split())))
            right.append({key(found[i].pair) for i in chosen} == {key(s) for s in frame.slots})
    return np.array(x, float).reshape(len(x), -1 if x else _EVIDENCE), np.array(right, bool)


def _intents_right(held: list[_Held], intents: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Evidence of each turn whose gold states an intent, and whether the likeliest is right."""
    x, right = [np.zeros((0, 2))], []
    for fold in held:
        rows = [i for i, f in enumerate(fold.frames) if f is not None and f.intent is not None]
        if rows and intents:
            x.append(_intent_evidence(fold.intents[rows]))
            best = fold.intents[rows].argmax(1)
            right += [
                intents[b] == f.intent
                for b, i in zip(best.tolist(), rows, strict=True)
                if (f := fold.frames[i]) is not None
            ]
    return np.concatenate(x), np.array(right, bool)


def _logged_intents_right(
    held: list[_Held], intents: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The same of NLU's first hypotheses; nothing if none was ever logged."""
    x, right = [np.zeros((0, 2))], []
    for fold in held:
        rows = [i for i, f in enumerate(fold.frames) if f is not None and f.intent is not None]
        if not rows or not any(turn.nlu for turn in fold.turns):
            continue
        turns = [fold.turns[i] for i in rows]
        x.append(_logged_evidence(turns, fold.intents[rows], intents))
        for turn, i in zip(turns, rows, strict=True):
            frame = fold.frames[i]
            right.append(bool(turn.nlu and frame and turn.nlu[0].intent == frame.intent))
    return np.concatenate(x), np.array(right, bool)


def _logged_evidence(turns: list[Turn], p: np.ndarray, intents: tuple[str, ...]) -> np.ndarray:
    """Log-odds of NLU's first intent, by its own confidence and by the network; (len(turns), 2)."""
    number = {intent: i for i, intent in enumerate(intents)}
    own = [turn.nlu[0].confidence if turn.nlu else 0.5 for turn in turns]
    known = [number.get(turn.nlu[0].intent or "", -1) if turn.nlu else -1 for turn in turns]
    network = [float(p[i, k]) if k >= 0 else 0.0 for i, k in enumerate(known)]
    return np.stack([scorer.logit(np.array(own)), scorer.logit(np.array(network))], axis=1)


def _logged_slots(turn: Turn, found: Sequence[Candidate]) -> list[int]:
    """The candidates that NLU's first hypothesis has."""
    wanted = {key(pair) for pair in turn.nlu[0].slots}
    picked: list[int] = []
    for i, candidate in enumerate(found):
        if key(candidate.pair) in wanted:
            wanted.discard(key(candidate.pair))
            picked.append(i)
    return picked


def _intent_evidence(p: np.ndarray) -> np.ndarray:
    """Log-odds of the likeliest intent, and by how much it leads; shape (len(p), 2)."""
    if p.shape[1] < 2:
        return np.zeros((len(p), 2))
    two = np.sort(p, axis=1)[:, -2:]
    return np.stack([scorer.logit(two[:, 1]), two[:, 1] - two[:, 0]], axis=1)


def _all_candidates(
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


def _drawn(kept: list[int], frames: list[list[Frame | None]], settings: Settings) -> list[int]:
    """Of the dialogues `kept`, as many as have at most `settings.most` turns; two at the least."""
    order = np.random.default_rng(settings.seed).permutation(kept)
    turns = np.cumsum([len(frames[i]) for i in order])
    enough = max(int((turns <= settings.most).sum()), settings.folds)
    return sorted(order[:enough].tolist())


def accepted(dialogue: Sequence[Turn]) -> list[Frame | None]:
    """The first NLU hypothesis of each turn that nothing speaks against, else None."""
    frames: list[Frame | None] = []
    for i, turn in enumerate(dialogue):
        following = dialogue[i + 1].request if i + 1 < len(dialogue) else ""
        again = fuzz.token_sort_ratio(turn.request, following) >= _SAID_AGAIN
        if turn.rejected or again or not turn.nlu or turn.nlu[0].intent is None:
            frames.append(None)
        else:
            frames.append(Frame(turn.nlu[0].intent, turn.nlu[0].slots))
    return frames


def _without_nlu(turn: Turn) -> Turn:
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
