"""Learning what was meant: networks and scorers out of fold, the best way for each task, and all.

Every turn that is learned from is read by a network, and its candidates are weighed by a scorer,
that have not seen its dialogue. By these the ways are compared, and they are what is generated
for such a turn later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from rapidfuzz import fuzz

from data.errors import NotEnoughLabels
from labels.generated.frames import scorer, ways
from labels.generated.frames.baseline import Baseline
from labels.generated.frames.candidates import Candidate, Counts, Gazetteer, normal
from labels.generated.frames.model import VERSION, Frames, all_candidates, table, without_nlu
from labels.generated.frames.network import Network, Output, all_words
from labels.generated.frames.requests import Frame, Turn, key, read
from labels.generated.frames.scorer import Sureness
from labels.generated.frames.settings import Settings
from labels.generated.frames.targets import Inventory
from labels.generated.frames.ways import CONTEXT, LOGGED, WORDS
from labels.generated.frames.words import Lexicon
from labels.generated.throughput import STATED, curve, threshold_for
from labels.generated.training import Checkpoints
from progress import Progress, portion, silent

# Turns to learn from, below which nothing useful is learned.
LEAST = 20
# A request this similar to the one before it says it again, so that one was not accepted.
_SAID_AGAIN = 75.0
# What decides between the ways of a task.
_MEASURES = {"intent": "accuracy", "slots": "f1"}


def train(
    turns: pa.Table,
    settings: Settings | None = None,
    progress: Progress = silent,
    folder: Path | None = None,
) -> Frames:
    """Learn from the turns of `turns` (whole dialogues) whose gold states an intent or slots.

    Where too few do, the first NLU hypotheses of accepted turns are learned from: turns that the
    log does not call failed and whose request was not said again. `folder`: where checkpoints of
    the networks are kept, so that a killed training goes on; None for no checkpoints.

    Raises `NotEnoughLabels` where there are fewer than `LEAST` turns of either kind, or all are of
    one dialogue; `UsageError` for a missing column or a setting out of range.
    """
    settings = (settings or Settings()).checked()
    dialogues = read(turns)
    frames: list[list[Frame | None]] = [[turn.gold for turn in d] for d in dialogues]
    learned, gold = "gold", _Taught.of(frames)
    taught = gold
    if not gold.enough(settings):
        learned = "nlu"
        frames = [accepted(d) for d in dialogues]
        dialogues = [[without_nlu(turn) for turn in d] for d in dialogues]
        taught = _Taught.of(frames)
    if not taught.enough(settings):
        raise NotEnoughLabels(
            f"What was meant is learned from at least {LEAST} turns in {settings.folds} dialogues "
            f"whose gold states an intent or slots, or that an NLU interpreted; found {gold.turns} "
            f"in {len(gold.dialogues)} with gold, {taught.turns} in {len(taught.dialogues)} with "
            "accepted hypotheses. Annotate intents and slots, or ingest logs with NLU hypotheses."
        )
    kept = _drawn(taught.dialogues, frames, settings)
    dialogues, frames = [dialogues[i] for i in kept], [frames[i] for i in kept]
    flat = [turn for d in dialogues for turn in d]
    meant = [f for d in frames for f in d]
    lexicon = Lexicon.learn(word for turn in flat for word in all_words(turn))
    inventory = Inventory.learn(
        [(turn, f) for turn, f in zip(flat, meant, strict=True) if f is not None]
    )
    rng = np.random.default_rng(settings.seed)
    fold = rng.permutation(len(dialogues)) % settings.folds
    parts = [np.flatnonzero(fold != k) for k in range(settings.folds)] + [np.arange(len(fold))]
    names = [f"frames-fold-{k}" for k in range(settings.folds)] + ["frames-all"]
    checkpoints = Checkpoints(folder, _fingerprint(flat, meant, settings) if folder else "")
    done, total = 0.0, sum(map(len, parts)) * 1.1
    networks = []
    for k, (name, part) in enumerate(zip(names, parts, strict=True)):
        networks.append(
            Network.fit(
                [dialogues[i] for i in part],
                [frames[i] for i in part],
                lexicon,
                inventory,
                replace(settings, seed=settings.seed + k),
                name,
                checkpoints,
                portion(progress, done / total, (done + len(part)) / total),
            )
        )
        done += len(part)
    progress(done, total, "weighing candidates")
    model = Frames(
        settings,
        networks[-1],
        Gazetteer.of(Counts.of(meant)),
        None,
        0.5,
        Sureness((1.0,), 0.0),
        Sureness((1.0,), 0.0),
        learned,
        taught.turns,
    )
    held = []
    for k, network in enumerate(networks[:-1]):
        mine, others = np.flatnonzero(fold == k).tolist(), np.flatnonzero(fold != k).tolist()
        words = None
        if learned == "gold":
            words = Baseline.fit(
                [turn for i in others for turn in dialogues[i]],
                [f for i in others for f in frames[i]],
            )
        theirs = [dialogues[i] for i in mine]
        output = network.read(theirs)
        held.append(_hold(theirs, [frames[i] for i in mine], output, words, model))
    return _chosen(_scored(model, held), held, flat, meant, gold)


@dataclass(frozen=True, slots=True)
class _Taught:
    """Turns that there is something to learn from, and their dialogues."""

    turns: int
    dialogues: list[int]

    @classmethod
    def of(cls, frames: Sequence[Sequence[Frame | None]]) -> _Taught:
        known = [sum(f is not None for f in d) for d in frames]
        return cls(sum(known), [i for i, n in enumerate(known) if n])

    def enough(self, settings: Settings) -> bool:
        return self.turns >= LEAST and len(self.dialogues) >= settings.folds


def _fingerprint(turns: Sequence[Turn], frames: Sequence[Frame | None], settings: Settings) -> str:
    """What the networks depend on: two trainings of one fingerprint end with the same weights."""
    digest = hashlib.sha256(repr((VERSION, sorted(settings.to_json().items()))).encode())
    for both in zip(turns, frames, strict=True):
        digest.update(repr(both).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


@dataclass(slots=True)
class _Held:
    """A fold's turns as a network and a baseline that have not seen them read them.

    `p`: the scorer's probability of each candidate, also from other folds.
    """

    turns: list[Turn]
    frames: list[Frame | None]
    every: list[list[Candidate]]
    x: np.ndarray
    y: np.ndarray
    known: np.ndarray  # per candidate: the turn's slots are stated
    missed: int
    intents: np.ndarray
    words: Baseline | None
    p: np.ndarray


def _hold(
    dialogues: list[list[Turn]],
    frames: list[list[Frame | None]],
    output: Output,
    words: Baseline | None,
    model: Frames,
) -> _Held:
    every, x = all_candidates(dialogues, output, model, frames)
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
        words,
        np.zeros(len(y)),
    )


def _scored(model: Frames, held: list[_Held]) -> Frames:
    """The model with its scorer; each fold gets its probabilities from a scorer of the others."""
    for k, fold in enumerate(held):
        fold.p = scorer.predict(_fit(held[:k] + held[k + 1 :], model.settings), fold.x)
    threshold = scorer.best_threshold(
        np.concatenate([h.p[h.known] for h in held]),
        np.concatenate([h.y[h.known] for h in held]),
        sum(h.missed for h in held),
    )
    return replace(model, booster=_fit(held, model.settings), threshold=threshold)


def _fit(held: list[_Held], settings: Settings) -> lgb.Booster | None:
    y = np.concatenate([h.y[h.known] for h in held])
    if not y.any():
        return None
    return scorer.fit(np.concatenate([h.x[h.known] for h in held]), y, settings)


def _chosen(
    model: Frames,
    held: list[_Held],
    turns: list[Turn],
    meant: list[Frame | None],
    gold: _Taught,
) -> Frames:
    """The model with the best way for each task, and its labels of the turns learned from."""
    possible = [CONTEXT]
    if model.learned == "gold":
        possible.append(WORDS)
        if any(turn.nlu for turn in turns):
            possible.append(LOGGED)
    metrics: dict[str, Any] = {}
    used, sure = {}, {}
    for task, measure in _MEASURES.items():
        judged = {way: _judge(task, way, held, model) for way in possible}
        if not len(judged[CONTEXT].right):
            metrics[task] = {"skipped": f"no gold of {task}"}
            continue
        figures = {way: found.figures | {"baseline": way != CONTEXT}
                   for way, found in judged.items()}  # fmt: skip
        used[task] = ways.best(figures, measure)
        best = judged[used[task]]
        sure[task] = Sureness.fit(best.evidence, best.right)
        if model.learned == "gold":
            points = curve(best.right, sure[task].probability(best.evidence))
            metrics[task] = {
                "measure": "accuracy" if measure == "accuracy" else "F1",
                "default": used[task],
                "candidates": figures,
                "n": len(best.right),
                "curve": [point._asdict() for point in points],
                "threshold": threshold_for(points),
                "stated_precision": STATED,
            }
        else:
            # Agreement with the assistant's own NLU is no measure of how often labels are right.
            found = f"gold of {gold.turns} turns only" if gold.turns else f"no gold of {task}"
            metrics[task] = {
                "skipped": f"{found}; learned from accepted NLU hypotheses, so nothing tells how "
                "often it is right"
            }
    model = replace(
        model,
        sure_intent=sure.get("intent", model.sure_intent),
        sure_slots=sure.get("slots", model.sure_slots),
        ways=used,
        words=Baseline.fit(turns, meant) if WORDS in used.values() else None,
        metrics=metrics,
    )
    rows = [row for h in held for row in model.rows(h.turns, h.intents, h.every, h.p, h.words)]
    return replace(model, held_out=table(rows))


@dataclass(frozen=True, slots=True)
class _Judged:
    """One way on the n turns whose gold states the task: what spoke for each of its answers (n, k),
    and whether it was right (n,)."""

    evidence: np.ndarray
    right: np.ndarray
    figures: dict[str, float]


def _judge(task: str, way: str, held: list[_Held], model: Frames) -> _Judged:
    found = [_intents(way, h, model) if task == "intent" else _slots(way, h, model) for h in held]
    right = np.concatenate([rows for _, rows, _ in found])
    figures = {"accuracy": float(right.mean()) if len(right) else 0.0}
    if task == "slots":
        hit, given, wanted = np.sum([pairs for *_, pairs in found], axis=0)
        figures["f1"] = float(2 * hit / max(given + wanted, 1))
    return _Judged(np.concatenate([x for x, *_ in found]), right, figures)


_Judgement = tuple[np.ndarray, np.ndarray, tuple[int, int, int]]


def _intents(way: str, held: _Held, model: Frames) -> _Judgement:
    gold = {
        i: f.intent for i, f in enumerate(held.frames) if f is not None and f.intent is not None
    }
    rows = list(gold)
    turns = [held.turns[i] for i in rows]
    if not rows:
        return np.zeros((0, 2)), np.zeros(0, bool), (0, 0, 0)
    names = model.inventory.intents
    said, evidence = ways.intents(way, turns, held.intents[rows], names, held.words)
    right = [intent == gold[i] for intent, i in zip(said, rows, strict=True)]
    return evidence, np.array(right, bool), (0, 0, 0)


def _slots(way: str, held: _Held, model: Frames) -> _Judgement:
    """With the numbers of slots that are right, that were said, and that gold has."""
    single = model.gazetteer.counts.single()
    chosen, evidence = ways.slots(
        way, held.turns, held.every, held.p, model.threshold, single, held.words
    )
    rows, right = [], []
    hit = given = wanted = 0
    for i, (found, frame) in enumerate(zip(chosen, held.frames, strict=True)):
        if frame is None or frame.slots is None:
            continue
        mine, theirs = {key(c.pair) for c, _ in found}, {key(pair) for pair in frame.slots}
        rows.append(i)
        right.append(mine == theirs)
        hit, given, wanted = hit + len(mine & theirs), given + len(mine), wanted + len(theirs)
    return evidence[rows], np.array(right, bool), (hit, given, wanted)


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
