"""Stage one: what a dialogue is like, learned without labels, by telling it from spoiled ones.

Three losses over one pass of the network:

- some responses are swapped with those of other dialogues: which ones?
- in half of the dialogues a turn is dropped or two are exchanged: after which turn?
- some responses are hidden: which response of the batch is it? (InfoNCE; van den Oord et al. 2018,
  eq. 4)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from labels.generated.network import Batch, Network

_SWAPPED = 0.15
_HIDDEN = 0.2
_SPOILED = 0.5
_TEMPERATURE = 0.1


def spoil(piece: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows of a piece, in half of the cases with a turn dropped or two neighbours exchanged."""
    if len(piece) < 3 or generator.random() >= _SPOILED:
        return piece
    at = int(generator.integers(1, len(piece) - 1))
    if generator.random() < 0.5:
        return np.delete(piece, at)
    exchanged = piece.copy()
    exchanged[[at, at + 1]] = exchanged[[at + 1, at]]
    return exchanged


def loss(network: Network, data: Batch, generator: np.random.Generator) -> Tensor:
    """The sum of the three losses on a batch of dialogues that `spoil` has been through."""
    n = len(data.rows)
    device = data.heard.device
    answer = network.answer(data)
    drawn = generator.random(n)
    # Logs without responses have nothing to swap or to hide.
    replied = _replied(data)
    swapped, hidden = replied & (drawn < _SWAPPED), replied & (drawn > 1 - _HIDDEN)
    source = np.arange(n)
    if replied.any():
        source[swapped] = generator.choice(np.flatnonzero(replied), swapped.sum())
    shown = answer[torch.from_numpy(source).to(device)]
    shown = shown.masked_fill(torch.from_numpy(hidden).to(device)[:, None], 0.0)
    read = network(data, shown)
    belongs = network.belongs(read)
    wrong = torch.from_numpy((source != np.arange(n)).astype(np.float32)).to(device)
    seen = torch.from_numpy(replied & ~hidden).to(device)
    follows, known = _follows(data)
    total: Tensor = read.sum() * 0.0
    if seen.any():
        total = total + functional.binary_cross_entropy_with_logits(belongs[seen, 0], wrong[seen])
    if known.any():
        total = total + functional.binary_cross_entropy_with_logits(
            belongs[known, 1], follows[known]
        )
    if hidden.any():
        rows = torch.from_numpy(np.flatnonzero(hidden)).to(device)
        expected = functional.normalize(network.expects(read[rows]), dim=1)
        offered = functional.normalize(network.answers(answer), dim=1)
        likeness = expected @ offered.T / _TEMPERATURE
        nothing = torch.from_numpy(~replied).to(device)
        total = total + functional.cross_entropy(likeness.masked_fill(nothing, -1e9), rows)
    return total


def _replied(data: Batch) -> np.ndarray:
    """Which turns have a response, in words or acts; (turns,)."""
    words = np.diff(np.append(data.said_from.cpu().numpy(), len(data.said_at))) > 0
    replied: np.ndarray = words | (data.said != 0).any(dim=1).cpu().numpy()
    return replied


def _follows(data: Batch) -> tuple[Tensor, Tensor]:
    """Whether the turn before is not the one that really was, and where there is one before."""
    device = data.heard.device
    lengths = data.there.sum(dim=1).cpu().numpy()
    first = np.zeros(len(data.rows), bool)
    first[np.append(0, np.cumsum(lengths)[:-1])] = True
    broken = np.append(False, np.diff(data.rows) != 1).astype(np.float32)
    return torch.from_numpy(broken).to(device), torch.from_numpy(~first).to(device)


def coherence(network: Network, data: Batch) -> Tensor:
    """Log-odds that the turn before each turn is not the one that it follows from; (turns,)."""
    read = network(data, network.answer(data))
    odds: Tensor = network.belongs(read)[:, 1]
    return odds
