"""Is fine-tuning the encoder worthwhile? Frozen and tuned on text alone, one grouped split.

    python -m benchmarks.fine_tune STORE [EPOCHS [TURNS]]

Frozen is what Faultline uses: linear heads on fixed vectors and hashed words. Tuned means that the
whole network is trained with a linear layer on the pair (prompt and recognised words; frame and
next request). Both are trained on four fifths of the labelled dialogues, or TURNS turns of them,
and tested on the last fifth.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score

from classifiers.encoder import DEFAULT, Encoder, export, load_torch
from classifiers.splits import folds, groups
from classifiers.text_heads import TextHeads, Vectors
from classifiers.training_data import training_turns
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
from features.matrix import open_frame, texts
from labels.rules.failure_point import labels

_BATCH = 32


def main(store: str, epochs: int = 3, limit: int | None = None) -> None:
    """Print the mean average precision over the classes, and that of "defect", for both."""
    import torch

    torch.manual_seed(0)
    with Store.open(store).snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
    target = np.array(labels(turns).sort_by("turn_id")["failure_point"].to_pylist(), object)
    classes = [name for name in FAILURE_POINTS if (target == name).any()]
    with open_frame(turns, "hindsight") as con:
        table = texts(con, "hindsight")
    train, test = folds(target, groups(turns), 5, seed=0)[0]
    train, test = (rows[target[rows] != None] for rows in (train, test))  # noqa: E711
    train = np.random.default_rng(0).permutation(train)[:limit]
    y = np.array([classes.index(t) if t else -1 for t in target])

    print(f"{len(train):,} turns to train on, {len(test):,} to test on")
    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        export(DEFAULT, Path(folder))
        vectors = Vectors.encode(Encoder(Path(folder)), table)
    unknown = np.full(len(target), None, object)
    heads = TextHeads.fit_rows(
        vectors, train, target, unknown, pa.nulls(len(target), pa.list_(pa.string()))
    )
    columns = dict(zip(heads.columns, heads.transform(vectors, test).T, strict=True))
    names = [*heads.heads, *heads.lexical]
    frozen = np.column_stack([sum(columns[f"text.{name}_{c}"] for name in names) for c in classes])
    _report("frozen", frozen, y[test], classes, time.perf_counter() - began)

    first = [f"{p} | {h}" for p, h in zip(*_columns(table, "prompt", "heard"), strict=True)]
    second = [f"{f} | {n}" for f, n in zip(*_columns(table, "frame", "next"), strict=True)]
    model, tokenizer = load_torch(DEFAULT)
    layer = torch.nn.Linear(model.config.hidden_size, len(classes))
    optimiser = torch.optim.AdamW(
        [{"params": model.parameters(), "lr": 8e-5}, {"params": layer.parameters(), "lr": 1e-3}]
    )

    def logits(rows: np.ndarray) -> Any:
        batch = tokenizer(
            [first[i] for i in rows],
            [second[i] for i in rows],
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=96,
        )
        states = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        return layer((states * mask).sum(1) / mask.sum(1))

    began = time.perf_counter()
    generator = np.random.default_rng(0)
    for epoch in range(1, epochs + 1):
        model.train()
        order = generator.permutation(train)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            loss = torch.nn.functional.cross_entropy(logits(rows), torch.tensor(y[rows]))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            optimiser.step()
        model.eval()
        with torch.no_grad():
            parts = [logits(test[i : i + 128]).softmax(1) for i in range(0, len(test), 128)]
        tuned = torch.cat(parts).numpy()
        _report(f"tuned, epoch {epoch}", tuned, y[test], classes, time.perf_counter() - began)


def _columns(table: Any, a: str, b: str) -> tuple[list[str], list[str]]:
    return table[a].to_pylist(), table[b].to_pylist()


def _report(
    name: str, scores: np.ndarray, target: np.ndarray, classes: list[str], seconds: float
) -> None:
    each = [average_precision_score(target == k, scores[:, k]) for k in range(len(classes))]
    k = classes.index("correct")
    defect = average_precision_score(target != k, -scores[:, k])
    per_class = ", ".join(f"{c} {v:.3f}" for c, v in zip(classes, each, strict=True))
    print(
        f"{name:16s} mean average precision {np.mean(each):.3f} ({per_class}), "
        f"defect {defect:.3f}, {seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
