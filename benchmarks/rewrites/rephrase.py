"""How well rephrases of failed turns are found on real logs, as Markdown for docs/rephrase.md.

    python -m benchmarks.rewrites.rephrase FOLDER [--quick]

FOLDER has `dstc1.jsonl.gz`, `dstc2.jsonl.gz` and `rewrites/` with `saif.jsonl.gz` and the truth.
Every figure is by cross-validation over dialogues, threshold included. `--quick` leaves out the
fine-tuned encoders.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers import encoder
from data.ingest.ingest import ingest
from data.schema.trace import TURNS
from data.store.store import Store
from rewrites.rephrase import Detector, Means
from rewrites.rephrase.encoders import Marks

FOLDS = 5
# Of the side tables, and of encoders, which take minutes to tune.
FEW_FOLDS = 3
RESAMPLES = 1000
_FILES = {"dstc1": "dstc1", "dstc2": "dstc2", "saif": "rewrites/saif"}


@dataclass(frozen=True)
class Corpus:
    """Turns of whole dialogues, and the judged ones of them: turn → rephrase, or None."""

    name: str
    turns: pa.Table
    answers: dict[str, str | None]
    dialogue: dict[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        """SAIF has pairs of turns: nothing outside the pair may be read, and one turn follows."""
        excerpts = self.name == "saif"
        return {"window": 1 if excerpts else 5, "means": Means(whole=not excerpts)}

    def part(self, dialogues: set[str]) -> tuple[pa.Table, pa.Table]:
        """The turns and the truth of some of the dialogues."""
        turns = self.turns.filter(pc.is_in(self.turns["dialogue_id"], pa.array(sorted(dialogues))))
        rows = [
            {"turn_id": turn, "rephrase_turn_id": answer}
            for turn, answer in self.answers.items()
            if self.dialogue[turn] in dialogues
        ]
        return turns, truth_of(rows)


def truth_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(
        rows, pa.schema([("turn_id", pa.string()), ("rephrase_turn_id", pa.string())])
    )


def read(folder: Path, name: str) -> Corpus:
    """One corpus; turns on which no decision was possible are left out of the truth."""
    with TemporaryDirectory() as temporary:
        store = Store.create(Path(temporary) / "store")
        ingest(store, [folder / f"{_FILES[name]}.jsonl.gz"])
        with store.snapshot() as snapshot:
            turns = snapshot.query("SELECT * FROM turns").select(TURNS.names)
    with gzip.open(folder / "rewrites" / f"rephrase-{name}.jsonl.gz", "rt") as lines:
        judged = [row for row in map(json.loads, lines) if row["state"] != "undecidable"]
    return Corpus(
        name,
        turns,
        {row["turn_id"]: row["rephrase_turn_id"] for row in judged},
        {row["turn_id"]: row["dialogue_id"] for row in judged},
    )


def ids(truth: pa.Table) -> list[str]:
    turns: list[Any] = truth["turn_id"].to_pylist()
    return turns


@dataclass
class Links:
    """Judged turns with what was linked: right, linked, rephrased and dialogue, per turn."""

    rows: list[tuple[bool, bool, bool, str]] = field(default_factory=list)

    def add(self, corpus: Corpus, found: pa.Table) -> None:
        for row in found.select(["turn_id", "rephrase_turn_id"]).to_pylist():
            turn, link = row["turn_id"], row["rephrase_turn_id"]
            answer = corpus.answers[turn]
            hit = link is not None and link == answer
            self.rows.append((hit, link is not None, answer is not None, corpus.dialogue[turn]))

    def line(self) -> str:
        """Precision, recall, F1 with its interval over dialogues, and accuracy on none."""
        hit, linked, rephrased = (np.array([r[k] for r in self.rows], float) for k in range(3))
        names, number = np.unique([r[3] for r in self.rows], return_inverse=True)
        sums = np.stack([np.bincount(number, x, len(names)) for x in (hit, linked, rephrased)])
        weights = np.random.default_rng(0).multinomial(
            len(names), np.full(len(names), 1 / len(names)), RESAMPLES
        )
        low, high = np.quantile(_f1(*(sums @ weights.T)), [0.025, 0.975])
        precision, recall = hit.sum() / max(linked.sum(), 1), hit.sum() / max(rephrased.sum(), 1)
        none = float(np.mean(linked[rephrased == 0] == 0))
        f1 = float(_f1(hit.sum(), linked.sum(), rephrased.sum()))
        return (
            f"{precision:.3f} | {recall:.3f} | **{f1:.3f}** ({low:.3f} to {high:.3f}) | {none:.3f}"
        )


def _f1(hit: Any, linked: Any, rephrased: Any) -> Any:
    return 2 * hit / np.maximum(linked + rephrased, 1e-9)


def crossed(corpus: Corpus, method: str, means: Means | None = None, folds: int = FOLDS) -> Links:
    """Links of all judged turns by detectors fitted on other dialogues."""
    names = sorted(set(corpus.dialogue.values()))
    part = np.random.default_rng(0).permutation(len(names)) % folds
    links = Links()
    settings = corpus.settings | ({"means": means} if means else {})
    for fold in range(folds):
        inside = {name for name, p in zip(names, part, strict=True) if p != fold}
        detector = Detector(method, **settings).fit(*corpus.part(inside))
        turns, asked = corpus.part(set(names) - inside)
        links.add(corpus, detector.predict(turns, ids(asked)))
    return links


def transferred(learned: Sequence[Corpus], asked: Corpus, folds: int = FEW_FOLDS) -> Links:
    """Links of one corpus by detectors fitted on others, or on other dialogues of all."""
    means = Means(whole=all(c.settings["means"].whole for c in (*learned, asked)))
    names = sorted(set(asked.dialogue.values()))
    part = np.random.default_rng(0).permutation(len(names)) % folds
    links = Links()
    folds = folds if asked in learned else 1
    for fold in range(folds):
        out = {n for n, p in zip(names, part, strict=True) if folds == 1 or p == fold}
        parts = [c.part(set(c.dialogue.values()) - (out if c is asked else set())) for c in learned]
        detector = Detector(window=asked.settings["window"], means=means)
        detector.fit(*(pa.concat_tables(tables) for tables in zip(*parts, strict=True)))
        turns, judged = asked.part(out)
        links.add(asked, detector.predict(turns, ids(judged)))
    return links


@cache
def _vectors() -> Callable[[Sequence[str]], np.ndarray]:
    with TemporaryDirectory() as temporary:
        encoder.export(encoder.DEFAULT, Path(temporary))
        loaded = encoder.Encoder(Path(temporary))
    known: dict[str, np.ndarray] = {}

    def vectors(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in texts if text not in known]
        known.update(zip(new, loaded.encode(new), strict=True))
        return np.array([known[text] for text in texts])

    return vectors


def _load() -> tuple[Any, Any]:
    return encoder.load_torch(encoder.DEFAULT)


def _row(corpus: Corpus, name: str, links: Links) -> None:
    print(f"| {corpus.name} | {name} | {links.line()} |", flush=True)


def _methods(corpus: Corpus) -> None:
    means = corpus.settings["means"]
    for method in ("next turn", "edit distance", "hypotheses", "cosine", "pair features"):
        used = replace(means, vectors=_vectors()) if method == "cosine" else means
        _row(corpus, method, crossed(corpus, method, used))
    untaught, links = Detector(**corpus.settings), Links()
    turns, asked = corpus.part(set(corpus.dialogue.values()))
    links.add(corpus, untaught.predict(turns, ids(asked)))
    _row(corpus, "without judged turns", links)


def _ablation(corpus: Corpus) -> None:
    means = corpus.settings["means"]
    with_vectors = replace(means, vectors=_vectors())
    _row(corpus, "pair features", crossed(corpus, "pair features", means, FEW_FOLDS))
    _row(corpus, "… with cosine", crossed(corpus, "pair features", with_vectors, FEW_FOLDS))
    for left_out, name in {
        ("context", "after"): "words only",
        ("after",): "without what follows",
    }.items():
        if left_out == ("after",) and not means.whole:
            continue
        groups = tuple(g for g in means.groups if g not in left_out)
        _row(
            corpus,
            f"… {name}",
            crossed(corpus, "pair features", replace(means, groups=groups), FEW_FOLDS),
        )
    for name in ("gap", "friction"):
        used = replace(means, without=(name,))
        _row(corpus, f"… without {name}", crossed(corpus, "pair features", used, FEW_FOLDS))


def _tuned(corpus: Corpus) -> None:
    means = replace(corpus.settings["means"], load=_load)
    _row(corpus, "pairwise encoder", crossed(corpus, "pairwise encoder", means, FEW_FOLDS))
    full = Marks(replies=means.whole)
    for name, marks in {
        "contextual encoder": full,
        "… without context": replace(full, context=False),
        "… without gaps": replace(full, gaps=False),
        "… without friction": replace(full, friction=False),
    }.items():
        used = replace(means, marks=marks)
        _row(corpus, name, crossed(corpus, "contextual encoder", used, FEW_FOLDS))


_HEAD = (
    "\n| corpus | method | precision | recall | F1 (95 %) | none |\n|---|---|---:|---:|---:|---:|"
)


def main(folder: Path, quick: bool) -> None:
    corpora = [read(folder, name) for name in _FILES]
    print(_HEAD)
    for corpus in corpora:
        _methods(corpus)
    print(_HEAD)
    for corpus in corpora:
        _ablation(corpus)
    print(_HEAD)
    for asked in corpora:
        _row(asked, "learned from all three", transferred(corpora, asked))
        others = [corpus for corpus in corpora if corpus is not asked]
        _row(asked, "learned from the other two", transferred(others, asked))
    if not quick:
        print(_HEAD)
        for corpus in corpora[::-1]:
            _tuned(corpus)


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--quick"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    main(Path(arguments[0]), "--quick" in sys.argv)
