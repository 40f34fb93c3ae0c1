"""What tuning the encoder is worth: on text alone, and beside a whole model that was not tuned.

    python -m benchmarks.fine_tune STORE [VARIANT …]

Every variant learns from two thirds of the labelled dialogues (or sentences) and is tested on the
rest. "Beside the model" means: multinomial logistic regression of the failure point on the log
probabilities of a model as `faultline train` makes it and on those of the variant, cross-fitted on
the tested part by dialogue; the row "model" has the former only. A variant whose row there is no
better adds nothing, however good it is alone. Seconds are of the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import GroupKFold

from benchmarks.kernel_head import KernelHead
from benchmarks.tuned_encoder import Pieces, Plan, States, Tuned, wrong
from classifiers.calibration import decide, fit_weights
from classifiers.encoder import DEFAULT, load_torch
from classifiers.settings import Settings
from classifiers.splits import folds
from classifiers.text_heads import TextHeads, Vectors
from classifiers.train import fit, rescore
from classifiers.training_data import training_turns
from classifiers.training_set import TrainingSet, only_learnable, prepare
from data.store.store import Store
from features.matrix import open_frame, texts

TUNED = {
    "upper third": Plan(depth=4),
    "upper third, wrong words": Plan(depth=4, tokens=0.5, rate=2e-4),
    "upper sixth": Plan(depth=5),
    "biases of the upper third": Plan(depth=4, bias_only=True),
    "joined, upper third": Plan(depth=4, joined=True),
    "joined, all layers": Plan(depth=0, joined=True),
}
VARIANTS = ("linear", "kernel", "network", *TUNED)
_PAIRS = (("heard", "frame"), ("heard", "prompt"), ("heard", "next"), ("frame", "prompt"))
# Least probability that a logarithm is taken of.
_LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class Split:
    """Turns of a corpus, class numbers `y` (-1 without a label), and which rows are what."""

    data: TrainingSet
    turns: pa.Table
    texts: pa.Table
    classes: tuple[str, ...]
    y: np.ndarray
    train: np.ndarray
    test: np.ndarray
    model: np.ndarray  # probabilities (len(test), k) of the model

    @property
    def vectors(self) -> Vectors:
        assert self.data.vectors is not None
        return self.data.vectors


def main(store: str, *chosen: str) -> None:
    """Print a row for the model and for every variant, or those `chosen`."""
    unknown = set(chosen) - set(VARIANTS)
    if unknown:
        sys.exit(f"Unknown variant '{min(unknown)}'; give some of: {', '.join(VARIANTS)}.")
    split = _read(store)
    print(f"{len(split.train):,} turns to train on, {len(split.test):,} to test on\n")
    print(
        "| variant | alone: mean AP | per class | defect AP | beside the model: log loss ", end=""
    )
    print(
        "| mean AP | defect AP | macro-F1 | seconds |\n|---|---:|---|---:|---:|---:|---:|---:|---:|"
    )
    _row("model", split, split.model, 0.0, alone=True)
    for name in chosen or VARIANTS:
        began = time.process_time()
        for label, probability in _variant(name, split):
            _row(label, split, probability, time.process_time() - began)


def _read(store: str) -> Split:
    with Store.open(store).snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0).sort_by("turn_id")
    settings = Settings()
    with TemporaryDirectory() as folder:
        data, encoder = prepare(turns, settings, Path(folder))
        data, classes = only_learnable(data)
        with open_frame(turns, "hindsight") as con:
            table = texts(con, "hindsight")
        parts = folds(data.target, data.group, 3, seed=0)[0]
        train, test = (rows[data.target[rows] != None] for rows in parts)  # noqa: E711
        model = fit(data.take(train), settings, encoder, minimum=2)
        probability = rescore(model, data.take(test))
    y = np.array([classes.index(t) if t else -1 for t in data.target])
    return Split(data, turns, table, classes, y, train, test, probability)


def _variant(name: str, split: Split) -> Iterator[tuple[str, np.ndarray]]:
    """Label and scores (len(test), k) of the variant; of a tuned one, after each epoch."""
    if name == "linear":
        yield name, _linear(split)
    elif name == "kernel":
        one_hot = np.eye(len(split.classes))[split.y[split.train]]
        fields = ("heard", "frame")
        head = KernelHead.fit(split.vectors, split.train, one_hot, split.classes, fields)
        yield name, head.scores(split.vectors, split.test)
    elif name == "network":
        yield name, _network(split)
    else:
        plan = TUNED[name]
        model, tokenizer = load_torch(DEFAULT)
        pieces = Pieces.of(split.texts, tokenizer)
        known = wrong(split.turns["gold"], split.texts)
        states = States.of(model, pieces, plan, known)
        tuned = Tuned(model, states, plan, len(split.classes))
        for epoch in tuned.fit(split.train, split.y):
            yield f"{name}, epoch {epoch}", np.exp(tuned.scores(split.test))


def _linear(split: Split) -> np.ndarray:
    """What Faultline uses: the mean of its linear heads on fixed vectors and hashed words."""
    n = len(split.y)
    unknown = np.full(n, None, object)
    heads = TextHeads.fit_rows(
        split.vectors, split.train, split.data.target, unknown, pa.nulls(n, pa.list_(pa.string()))
    )
    columns = dict(zip(heads.columns, heads.transform(split.vectors, split.test).T, strict=True))
    names = [*heads.heads, *heads.lexical]
    return np.column_stack(
        [np.mean([columns[f"text.{n}_{c}"] for n in names], axis=0) for c in split.classes]
    )


def _network(split: Split, epochs: int = 12, batch: int = 64) -> np.ndarray:
    """A network of one hidden layer on fixed vectors, their products and their differences."""
    torch.manual_seed(0)
    x, z = (torch.tensor(_inputs(split.vectors, rows)) for rows in (split.train, split.test))
    y = torch.tensor(split.y[split.train])
    network = torch.nn.Sequential(
        torch.nn.Dropout(0.2),
        torch.nn.Linear(x.shape[1], 256),
        torch.nn.GELU(),
        torch.nn.Dropout(0.4),
        torch.nn.Linear(256, len(split.classes)),
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for rows in (order[i : i + batch] for i in range(0, len(x), batch)):
            loss = torch.nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            optimiser.step()
    network.eval()
    with torch.no_grad():
        probability: np.ndarray = network(z).softmax(1).numpy()
    return probability


def _inputs(vectors: Vectors, rows: np.ndarray) -> np.ndarray:
    """Vectors of the fields that have texts, and products and differences of `_PAIRS` of them."""
    fields = ("prompt", "heard", "frame", "next")
    size = vectors.matrix["heard"].shape[1]
    values = {
        name: vectors.rows(name, rows) * ~vectors.empty[name][rows, None] * np.sqrt(size)
        for name in fields
        if name in vectors.index and not vectors.empty[name].all()
    }
    pairs = [(values[a], values[b]) for a, b in _PAIRS if a in values and b in values]
    return np.hstack(
        [*values.values(), *(a * b for a, b in pairs), *(np.abs(a - b) for a, b in pairs)]
    ).astype(np.float32) / np.float32(4)


def _row(name: str, split: Split, scores: np.ndarray, seconds: float, alone: bool = False) -> None:
    y, group = split.y[split.test], split.data.group[split.test]
    mean, each, defect = _precision(scores, y, split.classes)
    x = np.log(split.model.clip(_LEAST))
    if not alone:
        x = np.hstack([x, np.log(scores.clip(_LEAST))])
    probability, verdict = _combined(x, y, group)
    loss = -np.log(probability[np.arange(len(y)), y]).mean()
    beside, _, beside_defect = _precision(probability, y, split.classes)
    per_class = ", ".join(f"{c} {v:.3f}" for c, v in zip(split.classes, each, strict=True))
    print(
        f"| {name} | {mean:.3f} | {per_class} | {defect:.3f} | {loss:.3f} | {beside:.3f} "
        f"| {beside_defect:.3f} | {f1_score(y, verdict, average='macro'):.3f} | {seconds:.0f} |",
        flush=True,
    )


def _combined(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and verdicts by logistic regression on `x`, cross-fitted by group."""
    probability = np.zeros((len(y), int(y.max()) + 1))
    verdict = np.zeros(len(y), np.int64)
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(x, y, group):
        model = LogisticRegression(C=0.3, max_iter=1_000).fit(x[train], y[train])
        probability[test] = model.predict_proba(x[test])
        weights = fit_weights(model.predict_proba(x[train]), y[train], group[train], 0)
        verdict[test] = decide(probability[test], weights)
    return probability, verdict


def _precision(
    scores: np.ndarray, y: np.ndarray, classes: tuple[str, ...]
) -> tuple[float, list[float], float]:
    """Average precision: mean over the classes, of each, and of "defect"."""
    each = [float(average_precision_score(y == k, scores[:, k])) for k in range(len(classes))]
    k = classes.index("correct")
    return float(np.mean(each)), each, float(average_precision_score(y != k, -scores[:, k]))


if __name__ == "__main__":
    main(*sys.argv[1:])
