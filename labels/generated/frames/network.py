"""A network that reads whole dialogues: tags of words, intents, and frequent slots with values.

The words of the request, the prompt and the response are read by convolutions (Kim 2014); the
turns of a dialogue by a recurrent layer in both directions (in one, where later turns must not be
read); a word's tag depends on its neighbours and on the dialogue.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from labels.generated.frames.requests import Frame, Turn, key
from labels.generated.frames.settings import Settings
from labels.generated.frames.targets import LONGEST, Inventory, aligned
from labels.generated.frames.words import PARTS, Lexicon, forgotten, lower, tokens
from labels.generated.training import Checkpoints, device, seed_of
from progress import Progress, silent

# Words of a prompt or response that are read: its beginning and its end.
_ENDS = 24
_GAP = 2
# Turns that are read at a time where nothing is learned.
_READ = 400
# What a tag, an intent and a frequent slot weigh in the loss.
_TAG, _INTENT, _PAIR = 1.0, 1.0, 3.0


@dataclass(slots=True)
class Batch:
    """Whole dialogues as numbers: t turns, w words of requests among all.

    `parts` (words of all texts, PARTS); `segment`, the text that each word is in, or one past the
    last for a gap; `text` (t, 3), the texts of each turn's request, prompt and response;
    `bag`, `bag_weight`, `bag_at`: symbols and n-best words, for an embedding bag;
    `lengths`: turns of each dialogue; `request_word`: rows of `parts` that are tagged, and
    `request_turn`, the turn of each.
    """

    parts: torch.Tensor
    segment: torch.Tensor
    texts: int
    text: torch.Tensor
    bag: torch.Tensor
    bag_weight: torch.Tensor
    bag_at: torch.Tensor
    lengths: list[int]
    request_word: torch.Tensor
    request_turn: torch.Tensor


@dataclass(slots=True)
class Target:
    """What a batch teaches: -1 where a turn says nothing of it."""

    tags: torch.Tensor
    intents: torch.Tensor
    pairs: torch.Tensor
    with_pairs: torch.Tensor


@dataclass(slots=True)
class Output:
    """For t turns with w words of requests in all, in the order of the dialogues' turns.

    `tags` (w, 1 + 2 names): none, then begins and continues of each slot; `word_at` (t + 1): where
    the words of a turn begin; `intents` (t, intents); `pairs` (t, pairs). All are probabilities.
    """

    tags: np.ndarray
    word_at: np.ndarray
    intents: np.ndarray
    pairs: np.ndarray


@dataclass(slots=True)
class _Numbers:
    request: np.ndarray
    prompt: np.ndarray
    response: np.ndarray
    bag: dict[int, float]


@dataclass(slots=True)
class _Taught:
    tags: np.ndarray
    intent: int
    pairs: list[int] | None


_Tensors = TypeVar("_Tensors", Batch, Target)


def on(tensors: _Tensors, where: str) -> _Tensors:
    """The same on the device `where`."""
    moved: Any = {
        f.name: value.to(where) if isinstance(value, torch.Tensor) else value
        for f in fields(tensors)
        for value in [getattr(tensors, f.name)]
    }
    return type(tensors)(**moved)


class _Layers(nn.Module):
    def __init__(self, symbols: int, inventory: Inventory, settings: Settings) -> None:
        super().__init__()
        width, both = settings.width, settings.context == "hindsight"
        self.embed = nn.EmbeddingBag(symbols, width, mode="sum", padding_idx=0)
        nn.init.normal_(self.embed.weight, std=0.3)
        self.bag = nn.EmbeddingBag(symbols, width, mode="sum", padding_idx=0)
        nn.init.normal_(self.bag.weight, std=0.3)
        self.first = nn.Conv1d(width, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)
        self.turn = nn.Linear(4 * width, 2 * width)
        self.alone = settings.context == "turn"
        self.dialogue = nn.GRU(2 * width, width, bidirectional=both, batch_first=True)
        context = 2 * width + (0 if self.alone else width * (2 if both else 1))
        self.intent = nn.Linear(context, max(len(inventory.intents), 1))
        self.pair = nn.Linear(context, max(len(inventory.pairs), 1))
        nn.init.constant_(self.pair.bias, -6.0)
        self.word = nn.Linear(2 * width, 2 * width)
        self.from_context = nn.Linear(context, 2 * width)
        self.tag = nn.Linear(2 * width, 1 + 2 * len(inventory.names))
        self.drop = nn.Dropout(settings.dropout)

    def forward(self, b: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        inside = (b.segment < b.texts).unsqueeze(1)
        words = self.drop(self.embed(b.parts))
        read = torch.relu(self.first(words.T.unsqueeze(0))[0].T) * inside
        read = (torch.relu(self.second(read.T.unsqueeze(0))[0].T) + read) * inside
        width = read.shape[1]
        pooled = torch.zeros(b.texts + 1, width, device=read.device).scatter_reduce(
            0, b.segment.unsqueeze(1).expand(-1, width), read, "amax"
        )
        bag = self.bag(b.bag, b.bag_at, per_sample_weights=b.bag_weight)
        turn = torch.cat([pooled[b.text].flatten(1), torch.tanh(bag)], 1)
        turn = torch.relu(self.turn(self.drop(turn)))
        context = turn
        if not self.alone:
            packed = nn.utils.rnn.pack_sequence(
                list(torch.split(self.drop(turn), b.lengths)), enforce_sorted=False
            )
            states = nn.utils.rnn.unpack_sequence(self.dialogue(packed)[0])
            context = torch.cat([turn, torch.cat(states)], 1)
        context = self.drop(context)
        both = torch.cat([words[b.request_word], read[b.request_word]], 1)
        hidden = torch.relu(self.word(both) + self.from_context(context)[b.request_turn])
        return self.tag(self.drop(hidden)), self.intent(context), self.pair(context)


class Network:
    """A trained network with the words and classes that it knows."""

    def __init__(self, lexicon: Lexicon, inventory: Inventory, settings: Settings) -> None:
        self.lexicon = lexicon
        self.inventory = inventory
        self.settings = settings
        torch.manual_seed(settings.seed)
        self.layers = _Layers(lexicon.size, inventory, settings)
        self._pair_numbers = {pair: i for i, pair in enumerate(inventory.pairs)}

    @classmethod
    def fit(
        cls,
        dialogues: Sequence[Sequence[Turn]],
        frames: Sequence[Sequence[Frame | None]],
        lexicon: Lexicon,
        inventory: Inventory,
        settings: Settings,
        name: str,
        checkpoints: Checkpoints,
        progress: Progress = silent,
    ) -> Network:
        """Train on what `frames` says of the turns of `dialogues`; None teaches nothing.

        `name`: of the training among its `checkpoints`, from the last of which it goes on.
        """
        self = cls(lexicon, inventory, settings)
        # Dialogues that teach nothing would only cost time.
        kept = [i for i, meant in enumerate(frames) if any(f is not None for f in meant)]
        read = [[self._numbers(turn) for turn in dialogues[i]] for i in kept]
        targets = [
            [self._target(turn, frame) for turn, frame in zip(dialogues[i], frames[i], strict=True)]
            for i in kept
        ]
        self._train(read, targets, name, checkpoints, progress)
        return self

    def _train(
        self, read: Any, targets: Any, name: str, checkpoints: Checkpoints, progress: Progress
    ) -> None:
        settings, where = self.settings, device()
        layers = self.layers.to(where).train()
        sizes = [len(d) for d in read]
        steps = settings.epochs * len(list(_batches(sizes, np.arange(len(sizes)), settings.batch)))
        optimiser = torch.optim.AdamW(
            layers.parameters(), lr=settings.rate, weight_decay=1e-2, fused=True
        )
        first = done = 0
        if content := checkpoints.load(name):
            layers.load_state_dict(content["network"])
            optimiser.load_state_dict(content["optimiser"])
            first, done = content["epochs"], content["steps"]
        for epoch in range(first, settings.epochs):
            # An epoch's randomness depends on nothing that ran before it.
            seed = seed_of(settings.seed, name, epoch)
            torch.manual_seed(seed)
            rng = np.random.default_rng(seed)
            batches = list(_batches(sizes, rng.permutation(len(sizes)), settings.batch))
            for part in batches:
                batch = _batch([read[i] for i in part], settings.forget, rng)
                target = _targets([targets[i] for i in part], len(self.inventory.pairs))
                loss = _loss(layers(on(batch, where)), on(target, where))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no types
                nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
                # The cycle ends with the last step whatever the batches came to.
                for group in optimiser.param_groups:
                    group["lr"] = settings.rate * _cycle(min(done / steps, 1.0))
                optimiser.step()
                done += 1
            checkpoints.save(
                name,
                {
                    "network": layers.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "epochs": epoch + 1,
                    "steps": done,
                },
            )
            progress(epoch + 1, settings.epochs, "reading dialogues")
        layers.eval()

    def read(self, dialogues: Sequence[Sequence[Turn]]) -> Output:
        """What the network makes of whole dialogues."""
        inventory, where = self.inventory, device()
        layers = self.layers.to(where)
        sizes = [len(d) for d in dialogues]
        tags, intents, pairs, counts = [], [], [], []
        with torch.inference_mode():
            for part in _batches(sizes, np.arange(len(sizes)), _READ):
                read = [[self._numbers(turn) for turn in dialogues[i]] for i in part]
                tag, intent, pair = layers(on(_batch(read), where))
                tags.append(torch.softmax(tag, 1).cpu().numpy())
                intents.append(torch.softmax(intent, 1).cpu().numpy()[:, : len(inventory.intents)])
                pairs.append(torch.sigmoid(pair).cpu().numpy()[:, : len(inventory.pairs)])
                counts += [len(numbers.request) for d in read for numbers in d]
        return Output(
            _stacked(tags, 1 + 2 * len(inventory.names)),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            _stacked(intents, len(inventory.intents)),
            _stacked(pairs, len(inventory.pairs)),
        )

    def _numbers(self, turn: Turn) -> _Numbers:
        parts = self.lexicon.parts
        symbol = self.lexicon.symbol
        bag: dict[int, float] = {}
        for name, weight in _symbols(turn):
            number = symbol(name)
            bag[number] = bag.get(number, 0.0) + weight
        return _Numbers(
            np.array([parts(w) for w, _, _ in tokens(turn.request, LONGEST)], np.int64),
            np.array([parts(w) for w in _ends(turn.prompt)], np.int64),
            np.array([parts(w) for w in _ends(turn.response)], np.int64),
            bag,
        )

    def _target(self, turn: Turn, frame: Frame | None) -> _Taught:
        inventory = self.inventory
        found = tokens(turn.request, LONGEST)
        tags = np.full(len(found), -1, np.int64)
        if frame is None:
            return _Taught(tags, -1, None)
        intent = inventory.intents.index(frame.intent) if frame.intent is not None else -1
        if frame.slots is None:
            return _Taught(tags, intent, None)
        tags[:] = 0
        for name, start, end in aligned(found, frame.slots):
            number = 1 + 2 * inventory.names.index(name)
            tags[start] = number
            tags[start + 1 : end] = number + 1
        number_of = self._pair_numbers
        return _Taught(
            tags, intent, [number_of[k] for p in frame.slots if (k := key(p)) in number_of]
        )

    def save(self, path: Path) -> None:
        """Write the weights to the file `path`; lexicon and inventory are the caller's."""
        weights = {name: value.cpu().numpy() for name, value in self.layers.state_dict().items()}
        np.savez_compressed(path, **weights)

    @classmethod
    def load(
        cls, path: Path, lexicon: Lexicon, inventory: Inventory, settings: Settings
    ) -> Network:
        """The network that `save` wrote, with what it was trained with."""
        self = cls(lexicon, inventory, settings)
        with np.load(path, allow_pickle=False) as weights:
            self.layers.load_state_dict(
                {name: torch.from_numpy(weights[name]) for name in weights.files}
            )
        self.layers.eval()
        return self


def _symbols(turn: Turn) -> Iterator[tuple[str, float]]:
    """What is read of a turn without regard to order, with weights."""
    if len(turn.nbest) > 1:
        for text, share in turn.nbest:
            words = lower(text)[:LONGEST]
            for word in words:
                yield "n " + word, share
            for one, two in itertools.pairwise(words):
                yield f"n {one} {two}", share
    for hypothesis in turn.nlu:
        yield f"nlu {hypothesis.intent}", hypothesis.confidence
        for name, value in hypothesis.slots:
            yield f"nlu {name} {value.lower()}", hypothesis.confidence
    for symbol in turn.symbols:
        yield symbol, 1.0


def all_words(turn: Turn) -> Iterator[str]:
    """Everything about a turn that a lexicon may have a vector for."""
    for text in (turn.request, turn.prompt, turn.response):
        yield from lower(text)
    for name, _ in _symbols(turn):
        yield name


def _ends(text: str) -> list[str]:
    words = [word for word, _, _ in tokens(text)]
    return words if len(words) <= 2 * _ENDS else words[:_ENDS] + words[-_ENDS:]


def _batches(sizes: list[int], order: np.ndarray, most: int) -> Iterator[list[int]]:
    """Dialogues in `order`, so many that they have at most `most` turns, or one that has more."""
    batch: list[int] = []
    turns = 0
    for i in order.tolist():
        if batch and turns + sizes[i] > most:
            yield batch
            batch, turns = [], 0
        batch.append(i)
        turns += sizes[i]
    if batch:
        yield batch


def _batch(
    read: list[list[_Numbers]], forget: float = 0.0, rng: np.random.Generator | None = None
) -> Batch:
    gap = np.zeros((_GAP, PARTS), np.int64)
    pieces, lengths, segments, text = [gap], [_GAP], [-1], []
    request_word, request_turn = [], []
    at, texts = _GAP, 0
    turns = [numbers for dialogue in read for numbers in dialogue]
    # A prompt is mostly the response of the turn before: it is read once.
    at_text: dict[bytes, int] = {}
    for i, numbers in enumerate(turns):
        row = []
        for part in (numbers.request, numbers.prompt, numbers.response):
            if not len(part):
                row.append(-1)
                continue
            if part is not numbers.request:
                written = part.tobytes()
                if written in at_text:
                    row.append(at_text[written])
                    continue
                at_text[written] = texts
            else:
                request_word.append(np.arange(at, at + len(part)))
                request_turn.append(np.full(len(part), i))
            pieces += [part, gap]
            lengths += [len(part), _GAP]
            segments += [texts, -1]
            row.append(texts)
            at += len(part) + _GAP
            texts += 1
        text.append(row)
    parts = np.concatenate(pieces)
    if forget and rng is not None:
        lost = rng.random(len(parts)) < forget
        parts[lost & (parts[:, 0] > 0)] = forgotten(parts[lost & (parts[:, 0] > 0)])
    segment = np.repeat(segments, lengths)
    segment[segment < 0] = texts
    text_of = np.array(text, np.int64).reshape(-1, 3)
    text_of[text_of < 0] = texts
    sizes = [len(numbers.bag) for numbers in turns]
    return Batch(
        torch.from_numpy(parts),
        torch.from_numpy(segment),
        texts,
        torch.from_numpy(text_of),
        torch.tensor([n for numbers in turns for n in numbers.bag], dtype=torch.int64),
        torch.tensor([w for numbers in turns for w in numbers.bag.values()], dtype=torch.float32),
        torch.tensor(np.concatenate([[0], np.cumsum(sizes)[:-1]]), dtype=torch.int64),
        [len(dialogue) for dialogue in read],
        torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *request_word])),
        torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *request_turn])),
    )


def _targets(taught: list[list[_Taught]], pairs: int) -> Target:
    turns = [t for dialogue in taught for t in dialogue]
    wanted = torch.zeros(len(turns), max(pairs, 1))
    for i, t in enumerate(turns):
        if t.pairs:
            wanted[i, t.pairs] = 1.0
    return Target(
        torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(t.tags for t in turns)])),
        torch.tensor([t.intent for t in turns]),
        wanted,
        torch.tensor([t.pairs is not None for t in turns]),
    )


def _loss(output: tuple[torch.Tensor, torch.Tensor, torch.Tensor], target: Target) -> torch.Tensor:
    """The mean over turns; what nothing is known of counts as 0."""
    tags, intents, pairs = output
    turns = len(target.intents)
    tag = nn.functional.cross_entropy(tags, target.tags, ignore_index=-1, reduction="sum")
    intent = nn.functional.cross_entropy(intents, target.intents, ignore_index=-1, reduction="sum")
    pair = nn.functional.binary_cross_entropy_with_logits(
        pairs[target.with_pairs], target.pairs[target.with_pairs], reduction="sum"
    )
    return (_TAG * tag + _INTENT * intent + _PAIR * pair) / turns


def _cycle(share: float) -> float:
    """The learning rate's share of the highest, after this share of the steps."""
    warm = 0.1
    if share < warm:
        return 0.05 + 0.95 * share / warm
    return 0.5 * (1 + float(np.cos(np.pi * (share - warm) / (1 - warm)))) + 1e-3


def _stacked(parts: list[np.ndarray], columns: int) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros((0, columns), np.float32)
