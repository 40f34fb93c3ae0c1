"""Fine-tuned encoders that find a rephrase: of a pair of texts, or in the whole dialogue.

*Contextual*, after ContReph (Wang et al., "Contextual Rephrase Detection for Reducing Friction in
Dialogue Systems", EMNLP 2021): the dialogue from the failed turn on is one token sequence with
markers of speaker, friction, time gap and the failed turn; two heads over the tokens give the start
and the end of the span that rephrases it, and the first position stands for none. *Pairwise*: the
two texts side by side, one score.

Only the upper layers are tuned. The states below them are computed once, not at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from classifiers.layers import through_layers
from rewrites.rephrase.turns import Heard, apologises, lead, rejects

Kind = Literal["contextual", "pairwise"]
# A transformers model and its tokenizer, loaded afresh: `classifiers.encoder.load_torch`.
Loader = Callable[[], tuple[Any, Any]]

# Ends of the bins of a pause, in seconds.
GAP_BINS = (5.0, 15.0, 45.0, 180.0)
MARKERS = (
    *("[failed]", "[user]", "[system]", "[friction]"),
    *(f"[gap{i}]" for i in range(len(GAP_BINS) + 1)),
)
# Tokens of a request, of a prompt (its end, where the question is), and of a sequence.
REQUEST_TOKENS = 20
PROMPT_TOKENS = 12
MOST_TOKENS = 240
TUNED_LAYERS = 2
BATCH = 16
EPOCHS = 3
RATE = 2e-4
HEAD_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Marks:
    """What a sequence has beside the requests: prompts, pauses, friction, the last reply."""

    context: bool = True
    gaps: bool = True
    friction: bool = True
    replies: bool = True


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token numbers, and per later turn where its span begins and ends (inclusive)."""

    ids: list[int]
    spans: list[tuple[int, int]]


class Reader:
    """The tokenizer with its markers, and what it makes of turns."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)})
        ids = tokenizer.convert_tokens_to_ids(list(MARKERS))
        self.marker = dict(zip(MARKERS, ids, strict=True))
        self._known: dict[tuple[str, int], list[int]] = {}

    def contextual(self, first: Heard, later: Sequence[Heard], marks: Marks) -> Tokens:
        """One sequence of a failed turn and the turns of its window."""
        ids: list[int] = [self.tokenizer.cls_token_id]
        self._turn(ids, first, None, marks)
        spans, previous = [], first
        for turn in later:
            span = self._turn(ids, turn, previous, marks)
            # A turn beyond the limit gets the span of none: it is never found.
            spans.append(span if len(ids) <= MOST_TOKENS else (0, 0))
            previous = turn
        if marks.context and marks.replies:
            ids += [self.marker["[system]"], *self._ids(previous.response, -PROMPT_TOKENS)]
        return Tokens([*ids[:MOST_TOKENS], self.tokenizer.sep_token_id], spans)

    def pairwise(self, first: Heard, later: Heard) -> Tokens:
        """The two requests side by side."""
        cls, sep = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        a, b = self._ids(first.text, REQUEST_TOKENS), self._ids(later.text, REQUEST_TOKENS)
        return Tokens([cls, *a, sep, *b, sep], [(0, 0)])

    def _turn(
        self, ids: list[int], turn: Heard, previous: Heard | None, marks: Marks
    ) -> tuple[int, int]:
        if marks.context:
            prompt = turn.prompt or (previous.response if previous else "")
            ids += [self.marker["[system]"], *self._ids(prompt, -PROMPT_TOKENS)]
        if marks.gaps and previous is not None:
            place = int(np.searchsorted(GAP_BINS, turn.at - previous.at))
            ids.append(self.marker[f"[gap{place}]"])
        if marks.friction and _friction(turn, failed=previous is None):
            ids.append(self.marker["[friction]"])
        ids.append(self.marker["[user]" if previous else "[failed]"])
        words = turn.text.split()
        dropped = self._ids(" ".join(words[: lead(words)]), REQUEST_TOKENS) if previous else []
        start = len(ids) + len(dropped)
        ids += self._ids(turn.text, REQUEST_TOKENS) or [self.tokenizer.unk_token_id]
        return min(start, len(ids) - 1), len(ids) - 1

    def _ids(self, text: str, most: int) -> list[int]:
        key = (text, most)
        if key not in self._known:
            clean = text.encode("utf-8", "replace").decode()
            ids = self.tokenizer.encode(clean, add_special_tokens=False)
            self._known[key] = ids[:most] if most > 0 else ids[most:]
        return self._known[key]


def _friction(turn: Heard, failed: bool) -> bool:
    """A sign of trouble on the turn; a later turn's status would be part of the reply to it."""
    trouble = turn.barge_in or rejects(turn.text) or apologises(turn.prompt)
    return trouble or (failed and turn.status not in ("", "ok"))


@dataclass
class Network:
    """An encoder with two numbers per token, for the start and the end of a span."""

    load: Loader
    kind: Kind
    seed: int = 0
    epochs: int = EPOCHS
    reader: Reader = field(init=False)
    _body: Any = field(init=False)
    _head: Any = field(init=False)

    def __post_init__(self) -> None:
        import torch

        torch.manual_seed(self.seed)
        self._body, tokenizer = self.load()
        self.reader = Reader(tokenizer)
        self._body.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        self._head = torch.nn.Linear(self._body.config.hidden_size, 2)

    def lower(self, tokens: Sequence[Tokens]) -> list[Any]:
        """The states below the tuned layers, one tensor (tokens, size) per sequence.

        They depend on the loaded weights and the seed alone: networks of one seed share them.
        """
        import torch

        states: list[Any] = [None] * len(tokens)
        order = np.argsort([len(t.ids) for t in tokens], kind="stable")
        frozen = self._body.encoder.layer[:-TUNED_LAYERS]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for start in range(0, len(order), 32):
                rows = order[start : start + 32]
                ids, mask = _padded([tokens[i].ids for i in rows])
                x = through_layers(frozen, self._body.embeddings(input_ids=ids), mask)
                for row, line in zip(rows, x, strict=True):
                    states[row] = line[: len(tokens[row].ids)].to(torch.bfloat16).clone()
        return states

    def fit(self, tokens: Sequence[Tokens], states: Sequence[Any], answers: np.ndarray) -> None:
        """Tune on sequences whose span number `answers[i]` is the rephrase, −1 for none.

        Deterministic under the seed and a number of threads.
        """
        import torch

        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        tuned = [
            p for layer in self._body.encoder.layer[-TUNED_LAYERS:] for p in layer.parameters()
        ]
        groups = [
            {"params": tuned, "lr": RATE},
            {"params": list(self._head.parameters()), "lr": HEAD_RATE},
        ]
        optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
        steps = self.epochs * -(-len(tokens) // BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / (0.1 * steps + 1), max(0.0, 1 - step / steps))
        )
        self._body.train()
        for _ in range(self.epochs):
            for rows in _batches(tokens, rng):
                optimiser.zero_grad()
                logits = self._logits([states[i] for i in rows])
                self._loss(logits, [tokens[i] for i in rows], answers[rows]).backward()
                torch.nn.utils.clip_grad_norm_(tuned, 1.0)
                optimiser.step()
                schedule.step()
        self._body.eval()

    def scores(self, tokens: Sequence[Tokens], states: Sequence[Any]) -> list[np.ndarray]:
        """Per sequence the log-odds of each span against none, float64 (spans,)."""
        import torch

        result: list[np.ndarray] = [np.zeros(0)] * len(tokens)
        self._body.eval()
        order = np.argsort([len(t.ids) for t in tokens], kind="stable")
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            with torch.no_grad():
                logits = self._logits([states[i] for i in rows]).double().numpy()
            for row, line in zip(rows, logits, strict=True):
                spans = np.array(tokens[row].spans, np.int64).reshape(-1, 2)
                result[row] = line[spans[:, 0], 0] + line[spans[:, 1], 1] - line[0].sum()
                if self.kind == "pairwise":
                    result[row] = line[:1, 0]
        return result

    def _logits(self, states: Sequence[Any]) -> Any:
        import torch

        width = max(len(s) for s in states)
        x = torch.zeros((len(states), width, states[0].shape[1]))
        mask = torch.zeros((len(states), width), dtype=torch.int64)
        for i, state in enumerate(states):
            x[i, : len(state)] = state
            mask[i, : len(state)] = 1
        with torch.autocast("cpu", torch.bfloat16):
            x = through_layers(self._body.encoder.layer[-TUNED_LAYERS:], x, mask)
        return self._head(x.float()).masked_fill(mask.unsqueeze(-1) == 0, -1e4)

    def _loss(self, logits: Any, tokens: Sequence[Tokens], answers: np.ndarray) -> Any:
        import torch

        if self.kind == "pairwise":
            target = torch.tensor(answers >= 0, dtype=torch.float32)
            return torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0, 0], target)
        spans = [t.spans[a] if a >= 0 else (0, 0) for t, a in zip(tokens, answers, strict=True)]
        target = torch.tensor(spans)
        entropy = torch.nn.functional.cross_entropy
        return entropy(logits[:, :, 0], target[:, 0]) + entropy(logits[:, :, 1], target[:, 1])


def _batches(tokens: Sequence[Tokens], rng: np.random.Generator) -> list[np.ndarray]:
    """Rows in batches of similar length, in random order."""
    length = np.array([len(t.ids) for t in tokens]) + rng.random(len(tokens)) * 8
    order = np.argsort(length, kind="stable")
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _padded(ids: Sequence[list[int]]) -> tuple[Any, Any]:
    import torch

    width = max(len(t) for t in ids)
    padded = torch.tensor([t + [0] * (width - len(t)) for t in ids])
    mask = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in ids])
    return padded, mask
