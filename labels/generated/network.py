"""The network: turns are encoded one by one, then read together by a Transformer.

A turn is the sum of what is known of it: encoder vectors of the request, the prompt and the
response; an embedding of their words and of categorical values such as intent, status and device;
numbers such as confidences, token counts and likenesses. A Transformer (Vaswani et al. 2017, layers
normalised first) attends to all turns of the dialogue, before and after, with a learned bias for
the distance between two turns (Raffel et al. 2020, sec. 2.1). One head per task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack
from torch import Tensor, nn
from torch.nn import functional

from labels.generated.context import Texts
from labels.generated.dialogues import Dialogues
from labels.generated.words import hashed

TASKS = ("goal_start", "goal_reached", "turn_defect")
# Hashed columns of each of the two word embeddings.
BUCKETS = 2**13
# A longer dialogue is read in pieces that overlap.
LONGEST = 64
_OVERLAP = 16
_FARTHEST = 12
_ANSWERED = ("act=", "action=", "status=")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the network reads of n turns, apart from the order of the turns.

    Attributes
    ----------
    vectors: encoder vectors of distinct texts, the last all zero. heard, asked, said: row of the
        request's, the prompt's and the response's vector (n,); a prompt that is the response of
        the turn before is left out.
    words_heard, words_said: hashed words and categorical values of request and response,
        (n, BUCKETS).
    numbers: standardised, 0 where missing, and a column more for each that tells so; (n, 2 k).
    """

    vectors: np.ndarray
    heard: np.ndarray
    asked: np.ndarray
    said: np.ndarray
    words_heard: csr_matrix
    words_said: csr_matrix
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.heard)


@dataclass(frozen=True, slots=True)
class Standard:
    """Mean and spread of each number, of the turns that the network is trained on."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray) -> Standard:
        """Of a matrix (n, k) with NaN; a column without values has mean 0 and spread 1."""
        known = np.isfinite(x)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, x, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, x - mean, 0) ** 2).sum(axis=0) / count)
        return cls(mean.astype(np.float32), np.where(spread > 1e-6, spread, 1).astype(np.float32))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Standardised columns, clipped to five spreads, and those that mark what is missing."""
        known = np.isfinite(x)
        scaled = np.clip(np.where(known, (x - self.mean) / self.spread, 0), -5, 5)
        return np.hstack([scaled, ~known]).astype(np.float32)


def inputs(dialogues: Dialogues, texts: Texts, numbers: np.ndarray) -> Inputs:
    """The network's inputs; `numbers` are standardised columns (n, 2 k)."""
    before = dialogues.neighbour(-1)
    said_before = [dialogues.response[row] if row >= 0 else None for row in before]
    known = [p == r for p, r in zip(dialogues.prompt, said_before, strict=True)]
    prompts = ["" if k else p for k, p in zip(known, dialogues.prompt, strict=True)]
    heard, said = [], []
    for row, tokens in enumerate(dialogues.tokens):
        answers = [t for t in tokens if t.startswith(_ANSWERED)]
        told = before[row] >= 0 and any(t.startswith("act=") for t in dialogues.tokens[before[row]])
        heard.append(
            [
                t
                for t in tokens
                if not t.startswith(_ANSWERED) and not (told and t.startswith("asked="))
            ]
        )
        said.append(answers)
    zero = len(texts.vectors) - 1
    others = [" \n ".join(dict.fromkeys(o[:4])) for o in dialogues.others]
    return Inputs(
        texts.vectors,
        texts.row["request"],
        np.where(known, zero, texts.row["prompt"]),
        texts.row["response"],
        _folded([hashed(dialogues.request), hashed(others), hashed(prompts), hashed(heard, False)]),
        _folded([hashed(dialogues.response), hashed(said, False)]),
        numbers,
    )


def _folded(blocks: Sequence[csr_matrix]) -> csr_matrix:
    """Blocks of hashed counts in `BUCKETS` columns, each kind shifted, rows of length one."""
    wide = hstack(blocks, format="csr").tocsr()
    kind, column = wide.indices // blocks[0].shape[1], wide.indices % blocks[0].shape[1]
    # An odd factor per kind: a word of the request and of the prompt get columns of their own.
    folded = (column * (2 * kind + 1) + kind * 977) % BUCKETS
    counts = csr_matrix((wide.data, folded, wide.indptr), shape=(wide.shape[0], BUCKETS))
    scale = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    counts.data /= np.repeat(np.maximum(scale, 1e-6), np.diff(counts.indptr))
    return counts


class Layer(nn.Module):
    """A layer of the Transformer, with a bias on its attention.

    torch's own layer has a fast path for inference that returns NaN with such a bias (2.13).
    """

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.before = nn.LayerNorm(size)
        self.asked = nn.Linear(size, 3 * size)
        self.answered = nn.Linear(size, size)
        self.forth = nn.Sequential(
            nn.LayerNorm(size),
            nn.Linear(size, 2 * size),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * size, size),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """`x` (dialogues, turns, size), `bias` (dialogues, heads, turns, turns)."""
        parts = self.asked(self.before(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        read = functional.scaled_dot_product_attention(query, key, value, bias, dropout)
        x = x + functional.dropout(
            self.answered(read.transpose(1, 2).flatten(2)), self.dropout, self.training
        )
        out: Tensor = x + self.forth(x)
        return out


class Network(nn.Module):
    """Turns in their dialogue to a vector each, and heads.

    Parameters
    ----------
    vector: length of an encoder vector. numbers: columns of numbers. intents: number of intents.
    """

    def __init__(
        self,
        vector: int,
        numbers: int,
        intents: int,
        size: int,
        layers: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.heard = nn.Linear(vector, size)
        self.asked = nn.Linear(vector, size, bias=False)
        self.said = nn.Linear(vector, size, bias=False)
        self.words_heard = nn.EmbeddingBag(BUCKETS, size, mode="sum")
        self.words_said = nn.EmbeddingBag(BUCKETS, size, mode="sum")
        for bag in (self.words_heard, self.words_said):
            nn.init.normal_(bag.weight, std=0.05)
        self.numbers = nn.Linear(numbers, size, bias=False)
        self.turn = nn.Sequential(
            nn.LayerNorm(size), nn.Dropout(dropout), nn.Linear(size, size), nn.GELU()
        )
        self.distance = nn.Parameter(torch.zeros(heads, 2 * _FARTHEST + 1))
        self.dialogue = nn.ModuleList(Layer(size, heads, dropout) for _ in range(layers))
        self.normal = nn.LayerNorm(size)
        self.tasks = nn.Linear(size, len(TASKS))
        self.intent = nn.Linear(size, max(intents, 1))
        # Stage one: is the response this turn's, is the turn before the one before, which response?
        self.belongs = nn.Linear(size, 2)
        self.expects = nn.Linear(size, size)
        self.answers = nn.Linear(size, size)

    def answer(self, batch: Batch) -> Tensor:
        """What the responses of the batch's turns contribute; (turns, size)."""
        words = self.words_said(batch.said_at, batch.said_from, batch.said_times)
        vector: Tensor = self.said(batch.said) + words
        return vector

    def forward(self, batch: Batch, answer: Tensor) -> Tensor:
        """Vector of each turn of the batch in its dialogue, given `answer`; (turns, size)."""
        turns = (
            self.heard(batch.heard)
            + self.asked(batch.asked)
            + self.words_heard(batch.heard_at, batch.heard_from, batch.heard_times)
            + self.numbers(batch.numbers)
            + answer
        )
        turns = turns + self.turn(turns)
        grid = turns.new_zeros(*batch.there.shape, turns.shape[-1])
        grid[batch.there] = turns
        longest = batch.there.shape[1]
        steps = torch.arange(longest, device=turns.device)
        away = (steps[None] - steps[:, None]).clamp(-_FARTHEST, _FARTHEST) + _FARTHEST
        absent = torch.zeros_like(grid[..., 0]).masked_fill(~batch.there, -1e9)
        bias = self.distance[None, :, away] + absent[:, None, None, :]
        for layer in self.dialogue:
            grid = layer(grid, bias)
        read: Tensor = self.normal(grid[batch.there])
        return read


@dataclass(frozen=True, slots=True)
class Batch:
    """Some dialogues, or pieces of them, as tensors; turns are in one row, dialogue by dialogue.

    `there` (dialogues, longest) is true where a dialogue has a turn. Words are given as
    ``torch.nn.EmbeddingBag`` wants them: columns, where each turn's begin, and how often.
    """

    rows: np.ndarray
    there: Tensor
    heard: Tensor
    asked: Tensor
    said: Tensor
    heard_at: Tensor
    heard_from: Tensor
    heard_times: Tensor
    said_at: Tensor
    said_from: Tensor
    said_times: Tensor
    numbers: Tensor


def batch(data: Inputs, pieces: Sequence[np.ndarray], device: Any = "cpu") -> Batch:
    """The turns with these rows, each piece in order, on `device`."""
    rows = np.concatenate(pieces)
    sizes = np.array([len(p) for p in pieces])
    there = np.arange(sizes.max())[None] < sizes[:, None]
    heard, said = data.words_heard[rows], data.words_said[rows]

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    def at(counts: csr_matrix) -> Tensor:
        return tensor(counts.indices.astype(np.int64))

    def start(counts: csr_matrix) -> Tensor:
        return tensor(counts.indptr[:-1].astype(np.int64))

    return Batch(
        rows,
        tensor(there),
        tensor(data.vectors[data.heard[rows]]),
        tensor(data.vectors[data.asked[rows]]),
        tensor(data.vectors[data.said[rows]]),
        at(heard),
        start(heard),
        tensor(heard.data.astype(np.float32)),
        at(said),
        start(said),
        tensor(said.data.astype(np.float32)),
        tensor(data.numbers[rows]),
    )


def pieces(dialogues: Dialogues) -> list[np.ndarray]:
    """Rows of each dialogue; a dialogue of more than `LONGEST` turns in pieces that overlap."""
    found = []
    for start, stop in pairwise(dialogues.starts()):
        at = start
        while True:
            found.append(np.arange(at, min(at + LONGEST, stop)))
            if at + LONGEST >= stop:
                break
            at += LONGEST - _OVERLAP
    return found


def inner(piece: np.ndarray, dialogues: Dialogues) -> np.ndarray:
    """Which turns of a piece are to be taken from it: half an overlap belongs to each side."""
    first, last = dialogues.position[piece[0]], dialogues.position[piece[-1]]
    start = _OVERLAP // 2 if first > 0 else 0
    stop = len(piece) - (_OVERLAP // 2 if last < dialogues.length[piece[-1]] - 1 else 0)
    chosen = np.zeros(len(piece), bool)
    chosen[start:stop] = True
    return chosen
