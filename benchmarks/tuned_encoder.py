"""A transformer that judges a turn by its texts, its lower layers frozen and computed once.

The layers below `depth` are as pretrained. Their output is computed once per distinct sequence of
tokens, so that an epoch costs the layers above alone. Either each field of a turn is a sequence of
its own, and only the upper layers attend across fields (Cao et al. 2020, DeFormer, sec. 3), or the
fields of a turn are joined into one sequence, as in a cross-encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.nn import functional

from classifiers.layers import through_layers

# Fields of a turn and how many tokens of each are read; of a prompt, the last ones ask.
FIELDS = {"prompt": 24, "heard": 40, "frame": 48, "next": 24}
# Turns sorted by length before they are cut into batches, so that little is padding.
_POOL = 32
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Plan:
    """How to tune: `depth` frozen layers; fields `joined` in one sequence or apart; `bias_only`
    trains biases and scales alone (Ben Zaken et al. 2022, BitFit); `tokens` is the weight of the
    loss over wrong words, in addition to that of the failure point."""

    depth: int
    joined: bool = False
    bias_only: bool = False
    tokens: float = 0.0
    epochs: int = 3
    rate: float = 1e-4
    batch: int = 32
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Pieces:
    """Tokenised turns: `ids` of each distinct text, and per turn its texts as (field, row of
    `ids`); `words` holds the number of the word that a token belongs to, -1 for special tokens."""

    ids: list[np.ndarray]
    words: list[np.ndarray]
    turns: list[list[tuple[int, int]]]

    @classmethod
    def of(cls, texts: pa.Table, tokenizer: Any) -> Pieces:
        """Tokenise the columns `FIELDS` of `texts`, each distinct text once; empty ones not."""
        ids: list[np.ndarray] = []
        words: list[np.ndarray] = []
        turns: list[list[tuple[int, int]]] = [[] for _ in range(texts.num_rows)]
        for field, (name, longest) in enumerate(FIELDS.items()):
            if name not in texts.column_names:
                continue
            tokenizer.truncation_side = "left" if name == "prompt" else "right"
            column: Any = texts[name].combine_chunks().dictionary_encode()
            distinct = [text.split() for text in column.dictionary.to_pylist()]
            encoded = tokenizer(
                [parts or [""] for parts in distinct],
                is_split_into_words=True,
                truncation=True,
                max_length=longest,
            )
            start = len(ids)
            for row in range(len(distinct)):
                ids.append(np.array(encoded["input_ids"][row], np.int64))
                numbers = encoded.word_ids(row)
                words.append(np.array([UNKNOWN if w is None else w for w in numbers]))
            for turn, row in enumerate(column.indices.to_pylist()):
                if distinct[row]:
                    turns[turn].append((field, start + row))
        return cls(ids, words, turns)


def wrong_words(given: list[str], true: list[str]) -> np.ndarray:
    """Which words of `given` are not in `true`, or follow words that are missing; (n + 1,), the
    last for what is missing at the end."""
    wrong = np.zeros(len(given) + 1, np.float32)
    for kind, a, b, _, _ in SequenceMatcher(None, given, true, autojunk=False).get_opcodes():
        if kind != "equal":
            wrong[a : max(b, a + 1)] = 1.0
    return wrong


def wrong(gold: Any, texts: Any) -> list[dict[int, np.ndarray]]:
    """Per turn `wrong_words` of each field for which an annotator says what is right: of the words
    heard by the transcript, of the frame's parts by the intent and slots.

    A part of a frame is wrong as a whole; what is missing counts at the end.
    """
    names = list(FIELDS)
    labels = []
    for true, heard, frame in zip(
        gold.to_pylist(), texts["heard"].to_pylist(), texts["frame"].to_pylist(), strict=True
    ):
        known: dict[int, np.ndarray] = {}
        if true and true["transcript"] is not None:
            words = true["transcript"].lower().split()
            known[names.index("heard")] = wrong_words(heard.split(), words)
        if true and true["intent"] is not None and true["slots"] is not None:
            parts = {f"{slot['name']}: {slot['value']}" for slot in true["slots"]}
            right = {part.replace("_", " ").lower() for part in (true["intent"], *parts)}
            given = [part.lower() for part in frame.split(" | ")]
            # A separator is a word of its own; the last flag is for what is missing.
            flags = [[part not in right] * len(part.split()) + [False] for part in given]
            flags[-1][-1] = bool(right - set(given))
            known[names.index("frame")] = np.concatenate(flags).astype(np.float32)
        labels.append(known)
    return labels


@dataclass(frozen=True, slots=True)
class States:
    """Output of the frozen layers: rows of `values`, float16 (tokens, size), and for each turn the
    rows that make up its sequence, the field of each, and whether its word is wrong (NaN: not
    known)."""

    values: torch.Tensor
    rows: list[np.ndarray]
    fields: list[np.ndarray]
    wrong: list[np.ndarray]

    @classmethod
    def of(
        cls, model: Any, pieces: Pieces, plan: Plan, wrong: list[dict[int, np.ndarray]]
    ) -> States:
        """Run the frozen layers; `wrong`: per turn `wrong_words` of the fields where known."""
        per_turn = [[pieces.ids[p] for _, p in turn] for turn in pieces.turns]
        if plan.joined:
            # One start token, then each field up to its separator.
            parts = [
                [np.concatenate([turn[0][:1], *(ids[1:] for ids in turn)])] if turn else []
                for turn in per_turn
            ]
        else:
            parts = per_turn
        number: dict[bytes, int] = {}
        keys = [
            [number.setdefault(sequence.tobytes(), len(number)) for sequence in turn]
            for turn in parts
        ]
        distinct = [np.frombuffer(key, np.int64) for key in number]
        values, offsets = _lower(model, distinct, plan.depth)
        rows, fields, labels = [], [], []
        for turn, known, key in zip(pieces.turns, wrong, keys, strict=True):
            spans = [np.arange(offsets[k], offsets[k + 1]) for k in key]
            names = [np.full(len(pieces.ids[p]), field) for field, p in turn]
            words = [_token_labels(pieces.words[p], known.get(field)) for field, p in turn]
            if plan.joined and turn:
                names = [names[0][:1], *(n[1:] for n in names)]
                words = [words[0][:1], *(w[1:] for w in words)]
            rows.append(np.concatenate(spans) if spans else np.zeros(1, np.int64))
            fields.append(np.concatenate(names) if names else np.zeros(1, np.int64))
            labels.append(np.concatenate(words) if words else np.full(1, np.nan))
        return cls(values, rows, fields, labels)


def _token_labels(words: np.ndarray, wrong: np.ndarray | None) -> np.ndarray:
    """A label per token: that of its word; the closing token stands for what is missing at the
    end; NaN for the opening token, and where nothing is known."""
    if wrong is None:
        return np.full(len(words), np.nan, np.float32)
    number = words.copy()
    number[-1] = min(number.max(initial=-1) + 1, len(wrong) - 1)
    labels: np.ndarray = np.where(number >= 0, wrong[number], np.nan).astype(np.float32)
    return labels


@torch.no_grad()
def _lower(model: Any, sequences: list[np.ndarray], depth: int) -> tuple[torch.Tensor, np.ndarray]:
    """Hidden states below layer `depth`, float16, and where each sequence starts."""
    length = np.array([len(sequence) for sequence in sequences])
    offsets = np.concatenate([[0], length.cumsum()])
    values = torch.empty((int(offsets[-1]), model.config.hidden_size), dtype=torch.float16)
    order = np.argsort(length, kind="stable")
    cuts = np.flatnonzero(np.diff(length[order])) + 1
    for same in np.split(order, cuts):
        for start in range(0, len(same), 64):
            batch = same[start : start + 64]
            device = next(model.parameters()).device
            ids = torch.tensor(np.stack([sequences[i] for i in batch])).to(device)
            states = through_layers(model.encoder.layer[:depth], model.embeddings(input_ids=ids))
            for i, part in zip(batch, states.half().cpu(), strict=True):
                values[offsets[i] : offsets[i + 1]] = part
    return values, offsets


class Judge(nn.Module):
    """The upper layers, and linear layers for the failure point and for wrong words."""

    def __init__(self, model: Any, depth: int, classes: int, fields: int) -> None:
        super().__init__()
        size = model.config.hidden_size
        self.layers = model.encoder.layer[depth:]
        self.field = nn.Embedding(fields, size)
        nn.init.zeros_(self.field.weight)
        self.dropout = nn.Dropout(0.1)
        self.word = nn.Linear(size, 1)
        self.point = nn.Linear(2 * size, classes)

    def forward(
        self, states: torch.Tensor, fields: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the classes (batch, k), and of a wrong word per token (batch, tokens)."""
        states = through_layers(self.layers, states + self.field(fields), mask)
        weight = mask[..., None].to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1)
        top = states.masked_fill(~mask[..., None], -1e4).amax(1)
        pooled = self.dropout(torch.cat([mean, top], dim=1))
        return self.point(pooled), self.word(states)[..., 0]


class Tuned:
    """A judge made of the upper layers of `model`, which `fit` changes."""

    def __init__(self, model: Any, states: States, plan: Plan, classes: int) -> None:
        torch.manual_seed(plan.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.states, self.plan = states, plan
        self.judge = Judge(model, plan.depth, classes, len(FIELDS)).to(self.device)

    def fit(self, rows: np.ndarray, target: np.ndarray) -> Iterator[int]:
        """Train on the turns `rows` with the classes `target` of all turns; yields each epoch."""
        plan = self.plan
        optimiser = torch.optim.AdamW(self._parameters(), weight_decay=0.01)
        steps = plan.epochs * -(-len(rows) // plan.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            [group["lr"] for group in optimiser.param_groups],
            total_steps=steps + 1,
            pct_start=0.1,
            cycle_momentum=False,
        )
        rng = np.random.default_rng(plan.seed)
        for epoch in range(1, plan.epochs + 1):
            self.judge.train()
            for batch in self._batches(rng.permutation(rows), rng):
                states, fields, mask, wrong = self._batch(batch)
                point, word = self.judge(states, fields, mask)
                y = torch.tensor(target[batch]).to(self.device)
                loss = functional.cross_entropy(point, y)
                if plan.tokens and (known := ~wrong.isnan()).any():
                    loss = loss + plan.tokens * functional.binary_cross_entropy_with_logits(
                        word[known], wrong[known]
                    )
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
                nn.utils.clip_grad_norm_(self.judge.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            yield epoch

    @torch.no_grad()
    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Log-probabilities of the classes (len(rows), k), float32."""
        self.judge.eval()
        order = rows[np.argsort([len(self.states.rows[i]) for i in rows], kind="stable")]
        parts = []
        for start in range(0, len(order), 128):
            states, fields, mask, _ = self._batch(order[start : start + 128])
            parts.append(self.judge(states, fields, mask)[0].log_softmax(1).cpu().numpy())
        position = np.empty(int(order.max()) + 1, np.int64)
        position[order] = np.arange(len(order))
        together: np.ndarray = np.concatenate(parts)[position[rows]]
        return together

    def _parameters(self) -> list[dict[str, Any]]:
        upper = [
            (name, parameter)
            for name, parameter in self.judge.named_parameters()
            if name.startswith("layers")
        ]
        if self.plan.bias_only:
            for name, parameter in upper:
                parameter.requires_grad = name.endswith("bias") or "LayerNorm" in name
        ours = [p for n, p in self.judge.named_parameters() if not n.startswith("layers")]
        rate = self.plan.rate * (10 if self.plan.bias_only else 1)
        return [
            {"params": [p for _, p in upper if p.requires_grad], "lr": rate},
            {"params": ours, "lr": 1e-3},
        ]

    def _batches(self, rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        size = self.plan.batch
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), size * _POOL):
            part = rows[start : start + size * _POOL]
            part = part[np.argsort([len(self.states.rows[i]) for i in part], kind="stable")]
            batches += [part[i : i + size] for i in range(0, len(part), size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _batch(self, turns: np.ndarray) -> tuple[torch.Tensor, ...]:
        rows = [torch.from_numpy(self.states.rows[i]) for i in turns]
        index = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        length = torch.tensor([len(row) for row in rows])
        mask = torch.arange(index.shape[1]) < length[:, None]
        fields = nn.utils.rnn.pad_sequence(
            [torch.from_numpy(self.states.fields[i]) for i in turns], batch_first=True
        )
        wrong = nn.utils.rnn.pad_sequence(
            [torch.from_numpy(self.states.wrong[i].astype(np.float32)) for i in turns],
            batch_first=True,
            padding_value=float("nan"),
        )
        states = self.states.values[index].float()
        return tuple(t.to(self.device) for t in (states, fields, mask, wrong))
