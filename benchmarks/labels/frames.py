"""What was meant, on real corpora: intents and slots of dialogues that were not learned from.

    python -m benchmarks.labels.frames CORPORA [CORPUS...]

Prints Markdown. A model per corpus is trained on two thirds of its dialogues and measured on the
others. Slots: micro F1 over the (name, value) pairs of a turn, whatever the values' case.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.labels.corpora import read, split
from labels.generated.frames.baseline import Baseline
from labels.generated.frames.model import Frames
from labels.generated.frames.requests import Frame, Pair, Turn, key
from labels.generated.frames.requests import read as read_turns
from labels.generated.frames.settings import Context, Settings
from labels.generated.frames.training import train

NAMES = ("sgd", "dstc2")
CONTEXTS: dict[Context, str] = {
    "hindsight": "with earlier and later turns",
    "live": "with earlier turns",
    "turn": "this turn alone",
}

Meant = tuple[Sequence[str | None], Sequence[Iterable[Pair]]]


def main(corpora: Path, names: list[str]) -> None:
    """Train and measure on each of `names`, and print the tables."""
    rows, speeds = [], []
    for name in names or NAMES:
        table, speed = _measure(corpora, name)
        rows += table
        speeds.append(speed)
    print("| corpus | from | intent accuracy | slots F1 | precision | recall |")
    print("|---|---|---:|---:|---:|---:|")
    print("\n".join(rows))
    print(
        "\n| corpus | turns learned from | training, CPU seconds | generation, turns/CPU second |"
    )
    print("|---|---:|---:|---:|")
    print("\n".join(speeds))


def _measure(corpora: Path, name: str) -> tuple[list[str], str]:
    seen, held = split(read(corpora, name))
    learned = [turn for dialogue in read_turns(seen) for turn in dialogue if turn.gold]
    asked = [turn for dialogue in read_turns(held) for turn in dialogue]
    gold = [turn.gold for turn in asked]
    rows = [_row(name, "words: TF-IDF, known values", gold, _from_words(learned, asked))]
    if any(turn.nlu for turn in asked):
        logged = [turn.nlu[0] if turn.nlu else None for turn in asked]
        meant = [h.intent if h else None for h in logged], [h.slots if h else () for h in logged]
        rows.append(_row(name, "logged NLU", gold, meant))
    speed = ""
    for context, label in CONTEXTS.items():
        began = time.process_time()
        model = train(seen, replace(Settings(), context=context))
        trained = time.process_time() - began
        with tempfile.TemporaryDirectory() as folder:
            model.save(folder)
            model = Frames.load(folder)
        began = time.process_time()
        found = model.generate(held)
        rate = held.num_rows / (time.process_time() - began)
        speed = speed or f"| {name} | {model.turns:,} | {trained:.0f} | {rate:,.0f} |"
        rows.append(_row(name, label, gold, _generated(found, asked)))
        print(rows[-1], speed, file=sys.stderr, flush=True)
    return rows, speed


def _generated(found: pa.Table, asked: list[Turn]) -> Meant:
    """The model's intents and slots in the order of `asked`."""
    row = {turn_id: i for i, turn_id in enumerate(found["turn_id"].to_pylist())}
    said = found.select(["intent", "slots"]).to_pylist()
    mine = [said[row[turn.turn_id]] for turn in asked]
    slots = [[(s["name"], s["value"] or "") for s in m["slots"]] for m in mine]
    return [m["intent"] for m in mine], slots


def _from_words(learned: list[Turn], asked: list[Turn]) -> Meant:
    """The model's own baseline: TF-IDF logistic regression, and known values."""
    words = Baseline.fit(learned, [turn.gold for turn in learned])
    best = words.intent(asked, words.intents).argmax(axis=1)
    slots = [[candidate.pair for candidate, _ in words.slots(turn)] for turn in asked]
    return [words.intents[i] for i in best], slots


def _row(corpus: str, label: str, gold: Sequence[Frame | None], meant: Meant) -> str:
    pairs = [
        (frame, intent, slots)
        for frame, intent, slots in zip(gold, *meant, strict=True)
        if frame is not None
    ]
    right = [frame.intent == intent for frame, intent, _ in pairs if frame.intent is not None]
    hit = given = wanted = 0
    for frame, _, slots in pairs:
        if frame.slots is not None:
            mine, theirs = {key(s) for s in slots}, {key(s) for s in frame.slots}
            hit += len(mine & theirs)
            given += len(mine)
            wanted += len(theirs)
    f1 = 2 * hit / max(given + wanted, 1)
    return (
        f"| {corpus} | {label} | {np.mean(right):.3f} | {f1:.3f} | {hit / max(given, 1):.3f} "
        f"| {hit / max(wanted, 1):.3f} |"
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
