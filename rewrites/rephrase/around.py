"""What surrounds two turns: prompts, pauses, turns between, and what follows the later one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from rapidfuzz.distance import Levenshtein

from rewrites.rephrase.pairs import Pairs, letters
from rewrites.rephrase.turns import Heard, agrees, apologises, confirms, refuses, rejects
from rewrites.rephrase.vocabulary import Words, reply, template


def context(pairs: Pairs, words: Words, whole: bool) -> dict[str, np.ndarray]:
    """Prompts, pauses, rejections, and the reply to the first turn, float64 (pairs,) each.

    `whole`: also the turn before the first, NaN where there is none.
    """
    heard, first, later = pairs.heard, pairs.first, pairs.later
    c: dict[str, np.ndarray] = {"step": (later - first).astype(float)}
    at = np.array([turn.at for turn in heard])
    c["gap"] = at[later] - at[first] if len(heard) else np.zeros(0)
    c["gap_next"] = at[np.minimum(first + 1, len(at) - 1)] - at[first] if len(at) else c["gap"]
    c["gap_last"] = at[later] - at[later - 1] if len(at) else c["gap"]
    c["prompts"] = pairs.alike(lambda t: t.prompt)
    c["questions"] = pairs.alike(lambda t: t.question)
    c["question_first"], c["question_later"] = pairs.of_turn(
        lambda t: words.questions.get(template(t), -1)
    )
    c["intent_first"], c["intent_later"] = pairs.of_turn(lambda t: words.intents.get(t.intent, -1))
    c["sorry_first"], c["sorry_later"] = pairs.of_turn(lambda t: apologises(t.prompt))
    c["confirms_first"], c["confirms_later"] = pairs.of_turn(lambda t: confirms(t.question))
    c["refuses_first"], c["refuses_later"] = pairs.of_turn(lambda t: refuses(t.prompt))
    c["no_first"], c["no_later"] = pairs.of_turn(lambda t: rejects(t.text))
    c["yes_first"], c["yes_later"] = pairs.of_turn(lambda t: agrees(t.text))
    # The reply to the first turn: it failed, so the reply is part of the failure.
    c["status_first"] = pairs.of_turn(lambda t: float(t.status not in ("", "ok")))[0]
    c["replied_first"] = pairs.of_turn(lambda t: bool(t.response))[0]
    c["reply_sorry"] = pairs.of_turn(lambda t: apologises(t.response))[0]
    c["reply_refuses"] = pairs.of_turn(lambda t: refuses(t.response))[0]
    c["reply"] = pairs.of_turn(lambda t: words.replies.get(reply(t), -1))[0]
    c["reply_length"] = pairs.of_turn(lambda t: len(t.response))[0]
    c["reply_echo"] = pairs.each(lambda a, b: _echo(a.response, a.words))
    c["reply_names_later"] = pairs.each(lambda a, b: _echo(a.response, b.words))
    c["prompt_names_first"] = pairs.each(lambda a, b: _named(b.prompt, a.slots))
    c["barge_in"] = pairs.of_turn(lambda t: t.barge_in)[0]
    no = np.array([rejects(turn.text) for turn in heard], float)
    running = np.concatenate([[0.0], np.cumsum(no)])
    c["no_between"] = running[later] - running[np.minimum(first + 1, later)]
    if whole:
        c["before"] = pairs.alike(lambda t: t.text, first=-1)
        previous, within = pairs.moved(first, -1)
        c["repeats_before"] = np.where(within, letters(heard, previous, first), np.nan)
    return c


def _echo(prompt: str, words: frozenset[str]) -> float:
    return len(words & set(prompt.split())) / max(len(words), 1)


def _named(prompt: str, slots: frozenset[tuple[str, str]]) -> float:
    """Share of the slot values that the prompt names; NaN without slots."""
    if not slots:
        return np.nan
    return float(np.mean([value in prompt for _, value in slots]))


def compared(pairs: Pairs, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How the pair compares with the other pairs of its first turn; NaN where it has none.

    `known`: columns of the group *words*, with their full names.
    """
    group = np.cumsum(np.diff(pairs.first, prepend=-1) != 0) - 1
    c: dict[str, np.ndarray] = {}
    for name in ("letters", "cosine", "nbest", "offered_first", "slots_same"):
        value = known.get(f"words.{name}")
        if value is not None:
            c[f"{name}_earlier"], c[f"{name}_others"] = _others(value, group, len(group))
    return c


def _others(value: np.ndarray, group: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Lead of a value over those of the earlier pairs of its group, and over all others'."""
    earlier, others = np.full(n, np.nan), np.full(n, np.nan)
    bounds = np.flatnonzero(np.diff(group, prepend=-1, append=n + 1))
    for start, end in pairwise(bounds):
        part = value[start:end]
        for k in range(len(part)):
            if k:
                earlier[start + k] = part[k] - part[:k].max()
            if len(part) > 1:
                others[start + k] = part[k] - np.delete(part, k).max()
    return earlier, others


def after(pairs: Pairs) -> dict[str, np.ndarray]:
    """Whether the later turn was understood: the reply to it, and what becomes of its slots."""
    heard, later = pairs.heard, pairs.later
    c: dict[str, np.ndarray] = {}
    following, within = pairs.moved(later, 1)
    c["last"] = (~within).astype(float)
    c["remaining"] = _remaining(heard)[later]
    c["letters_next"] = pairs.alike(lambda t: t.text, first=0, later=1)
    c["repeated_next"] = np.where(within, letters(heard, later, following), np.nan)
    c["no_next"] = np.where(
        within, np.array([rejects(t.text) for t in heard], float)[following], np.nan
    )
    c["yes_next"] = np.where(
        within, np.array([agrees(t.text) for t in heard], float)[following], np.nan
    )
    c["reply_sorry"] = pairs.of_turn(lambda t: apologises(t.response))[1]
    c["reply_confirms"] = pairs.of_turn(lambda t: confirms(t.response))[1]
    c["reply_refuses"] = pairs.of_turn(lambda t: refuses(t.response))[1]
    c["reply_named"] = pairs.of_turn(lambda t: _named(t.response, t.slots))[1]
    c["reply_names_first"] = pairs.each(lambda a, b: _named(b.response, a.slots))
    asked_again = np.array([Levenshtein.normalized_similarity(t.prompt, t.response) for t in heard])
    c["asked_again"] = asked_again[later]
    c["asked_again_first"] = asked_again[pairs.first]
    kept, changed = _fates(heard)
    c["slots_kept"], c["slots_changed"] = kept[later], changed[later]
    c["named_later"] = _named_later(heard)[later]
    c["conf_next"] = np.where(
        within, np.array([t.confidences[0] for t in heard])[following], np.nan
    )
    c["terminated"] = pairs.of_turn(lambda t: t.terminated)[1]
    return c


def _remaining(heard: Sequence[Heard]) -> np.ndarray:
    left = np.zeros(len(heard))
    for i in range(len(heard) - 2, -1, -1):
        left[i] = left[i + 1] + 1 if heard[i].dialogue == heard[i + 1].dialogue else 0
    return left


def _rest(heard: Sequence[Heard], i: int) -> Sequence[Heard]:
    """The turns after turn i in its dialogue, at most eight."""
    end = i + 1
    while end < min(len(heard), i + 9) and heard[end].dialogue == heard[i].dialogue:
        end += 1
    return heard[i + 1 : end]


def _fates(heard: Sequence[Heard]) -> tuple[np.ndarray, np.ndarray]:
    """How many later turns repeat a slot of the turn's frame, and how many change its value."""
    kept, changed = np.zeros(len(heard)), np.zeros(len(heard))
    for i, turn in enumerate(heard):
        for other in _rest(heard, i) if turn.slots else ():
            same = turn.slots & other.slots
            kept[i] += bool(same)
            changed[i] += bool((turn.names & other.names) - {name for name, _ in same})
    return kept, changed


def _named_later(heard: Sequence[Heard]) -> np.ndarray:
    """Share of later replies that name a slot value of the turn; NaN without slots or replies."""
    shares = np.full(len(heard), np.nan)
    for i, turn in enumerate(heard):
        replies = [other.response for other in _rest(heard, i) if other.response]
        if turn.slots and replies:
            shares[i] = np.mean(
                [
                    any(len(value) > 1 and value in reply for _, value in turn.slots)
                    for reply in replies
                ]
            )
    return shares
