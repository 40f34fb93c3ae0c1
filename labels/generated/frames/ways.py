"""Ways to say what was meant, and which of them is used: the best out of fold.

| way | from |
|---|---|
| context | the network and the scorer of candidates, which read the whole dialogue |
| words | the request alone (`baseline`) |
| logged NLU | the first hypothesis that the assistant logged; of turns without one, the context |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labels.generated.candidates import MARGIN
from labels.generated.frames import scorer
from labels.generated.frames.baseline import Baseline
from labels.generated.frames.candidates import Candidate
from labels.generated.frames.requests import Turn, key

CONTEXT, WORDS, LOGGED = "context", "words alone", "logged NLU"

# A slot that was chosen, and the probability that it was meant.
Chosen = tuple[Candidate, float]


def best(figures: Mapping[str, Mapping[str, Any]], measure: str) -> str:
    """The way with the best figure; the context, unless another is better by more than chance."""
    found = {way: float(row[measure]) for way, row in figures.items()}
    top = max(found, key=found.__getitem__)
    return CONTEXT if found[CONTEXT] >= found[top] - MARGIN else top


def intents(
    way: str,
    turns: Sequence[Turn],
    network: np.ndarray,
    names: Sequence[str],
    words: Baseline | None,
) -> tuple[list[str | None], np.ndarray]:
    """The intent of each turn, and what speaks for it; (n, 2).

    `network`: its probability of each of the intents `names`; (n, len(names)).
    """
    p = words.intent(turns, names) if way == WORDS and words is not None else network
    said: list[str | None] = [names[i] for i in p.argmax(1)] if len(turns) else []
    if way != LOGGED:
        return said, _lead(p)
    number = {name: i for i, name in enumerate(names)}
    said = [t.nlu[0].intent if t.nlu else name for t, name in zip(turns, said, strict=True)]
    sure = np.array([t.nlu[0].confidence if t.nlu else 0.5 for t in turns])
    at = [number.get(name or "", -1) for name in said]
    agrees = np.array([p[i, k] if k >= 0 else 0.0 for i, k in enumerate(at)])
    return said, np.stack([scorer.logit(sure), scorer.logit(agrees)], axis=1)


def _lead(p: np.ndarray) -> np.ndarray:
    """Log-odds of the likeliest intent, and by how much it leads; shape (len(p), 2)."""
    if p.shape[1] < 2:
        return np.zeros((len(p), 2))
    two = np.sort(p, axis=1)[:, -2:]
    return np.stack([scorer.logit(two[:, 1]), two[:, 1] - two[:, 0]], axis=1)


def slots(
    way: str,
    turns: Sequence[Turn],
    every: Sequence[list[Candidate]],
    p: np.ndarray,
    threshold: float,
    single: frozenset[str],
    words: Baseline | None,
) -> tuple[list[list[Chosen]], np.ndarray]:
    """The slots of each turn, and what speaks for all of them together; (n, 4).

    `every`: the candidates of each turn; `p`: the scorer's probability of each, turn after turn.
    """
    found: list[list[Chosen]] = []
    known = []
    at = 0
    for turn, candidates in zip(turns, every, strict=True):
        mine = p[at : at + len(candidates)]
        at += len(candidates)
        length = len(turn.request.split())
        if way == WORDS and words is not None:
            found.append(words.slots(turn))
            share = np.array([share for _, share in found[-1]])
            known.append(scorer.evidence(share, list(range(len(share))), length))
            continue
        if way == LOGGED and turn.nlu:
            picked = _logged(turn, candidates)
        else:
            picked = scorer.choose(candidates, mine, threshold, single)
        found.append([(candidates[i], float(mine[i])) for i in picked])
        known.append(scorer.evidence(mine, picked, length))
    return found, np.array(known, float).reshape(len(found), 4)


def _logged(turn: Turn, candidates: Sequence[Candidate]) -> list[int]:
    """The candidates that NLU's first hypothesis has."""
    wanted = {key(pair) for pair in turn.nlu[0].slots}
    picked: list[int] = []
    for i, candidate in enumerate(candidates):
        if key(candidate.pair) in wanted:
            wanted.discard(key(candidate.pair))
            picked.append(i)
    return picked
