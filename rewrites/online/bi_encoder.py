"""Vectors of meaning: the default encoder, and fine-tuned on mined pairs.

Fine-tuning is that of dense passage retrieval (Karpukhin et al. 2020, equation 2) with one encoder
for both sides: each request should be nearest to what it was said again as, among the other
rewrites of its batch. Pairs are mined, so no label is needed.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp

from classifiers.encoder import DEFAULT, MAX_TOKENS, Encoder, export, export_torch, load_torch
from data.store.durability import replacing
from rewrites.mining import Mined

# Pairs below which nothing is learned that a batch of them would not contradict.
LEAST_PAIRS = 200
_BATCH, _EPOCHS = 32, 3
_RATE, _TEMPERATURE = 2e-5, 0.05
# Expected retries of a pair, at least.
_LEAST_RETRIES = 0.5
_CHECKPOINT = "checkpoint.pt"


class Encoded:
    """`rewrites.online.vectors.Vectors` by an encoder in a folder, see `classifiers.encoder`."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._encoder = Encoder(folder, threads)

    @property
    def size(self) -> int:
        return self._encoder.size

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 (n, size)."""
        return self._encoder.encode(texts)


def plain(folder: Path) -> Encoded:
    """The default encoder as it is, exported to `folder`."""
    export(DEFAULT, folder)
    return Encoded(folder)


def pairs_of(mined: Mined) -> list[tuple[str, str]]:
    """Distinct texts and what they were said again as, in order."""
    again = sp.coo_array(mined.chain.again)
    texts = mined.chain.requests["text"].to_pylist()
    rows, columns = again.coords
    pairs = {
        (texts[i], texts[j])
        for i, j, retries in zip(rows, columns, again.data, strict=True)
        if retries >= _LEAST_RETRIES and texts[i] and texts[j] and texts[i] != texts[j]
    }
    return sorted(pairs)


def fit(
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    *,
    name: str = DEFAULT,
    epochs: int = _EPOCHS,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> Encoded:
    """Fine-tune the encoder `name` on pairs, and write it to `folder` as 8-bit ONNX.

    The same pairs, seed and number of epochs give the same weights on the same machine. Killed, it
    goes on after the last whole epoch when it is called with the same again. With fewer than
    `LEAST_PAIRS` pairs the encoder stays as it is. `progress`: epoch and mean loss.
    """
    if len(pairs) < LEAST_PAIRS:
        return plain(folder)
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model, tokenizer = load_torch(name)
    model.train()
    for module in model.modules():
        # Dropout would need its own state to resume from; batches are noise enough.
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE)
    digest = hashlib.sha256(json.dumps([list(pairs), name, seed]).encode()).hexdigest()
    done = _resumed(torch, folder / _CHECKPOINT, digest, model, optimiser)
    for epoch in range(done, epochs):
        order = list(pairs)
        random.Random(seed * 1_000 + epoch).shuffle(order)
        losses = []
        for batch in _batches(order):
            sides = [_pooled(torch, model, tokenizer, side) for side in zip(*batch, strict=True)]
            scores = sides[0] @ sides[1].T / _TEMPERATURE
            loss = torch.nn.functional.cross_entropy(scores, torch.arange(len(batch)))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            optimiser.step()
            losses.append(float(loss.detach()))
        with replacing(folder / _CHECKPOINT) as path:
            state = {"digest": digest, "done": epoch + 1, "model": model.state_dict()}
            torch.save({**state, "optimiser": optimiser.state_dict()}, path)
        if progress:
            progress(epoch + 1, float(np.mean(losses)))
    _exported(torch, model.eval(), tokenizer, folder)
    (folder / _CHECKPOINT).unlink(missing_ok=True)
    return Encoded(folder)


def _batches(pairs: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Batches in which no rewrite occurs twice: it would be its own negative."""
    batches: list[list[tuple[str, str]]] = []
    left = pairs
    while left:
        batch: list[tuple[str, str]] = []
        rest: list[tuple[str, str]] = []
        taken = set[str]()
        for pair in left:
            if len(batch) < _BATCH and not taken & set(pair):
                batch.append(pair)
                taken.update(pair)
            else:
                rest.append(pair)
        batches.append(batch)
        left = rest
    return [batch for batch in batches if len(batch) > 1]


def _pooled(torch: Any, model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    tokens = tokenizer(
        list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    states = model(
        input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
    ).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
    mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(mean, dim=1)


def _resumed(torch: Any, path: Path, digest: str, model: Any, optimiser: Any) -> int:
    """Take up a checkpoint of the same work; returns the epochs that are done."""
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError):
        return 0
    if state.get("digest") != digest:
        return 0
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["done"])


def _exported(torch: Any, model: Any, tokenizer: Any, folder: Path) -> None:
    with TemporaryDirectory() as scratch:
        export_torch(model, torch, Path(scratch))
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.save(str(Path(scratch) / "tokenizer.json"))
        for name in ("encoder.onnx", "tokenizer.json"):
            shutil.copyfile(Path(scratch) / name, folder / name)
