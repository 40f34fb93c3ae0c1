"""Deciding, turn by turn, whether to ask "did I answer your question?" by a plan.

A user who was asked is left alone for a while, so the probability that a turn is asked about is
that of the plan times the probability that its user is not being left alone. Of two turns of a user
less than a pause apart, at most one is asked about; with p of the plan, the probability of turn i
is therefore

    m(i) = p(i) * (1 - sum of m(j) over the turns j of the pause before i),

known before anything is asked. Answers that are weighted by 1 / p only count too little of those
who talk much, as most of their turns fall into a pause.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

# Signals of the result stage: whether the assistant asked; with what probability it was going to, 0
# while its user was left alone; and that probability before it was known whom it would have asked.
ASKED, PROPENSITY, MARGINAL = "asked", "ask_propensity", "ask_marginal"
# Turns may come so much later than others that were said after them.
_LATE = timedelta(days=30)
# The longest pause: a century.
_LONGEST_DAYS = 36_525
# Below that, a turn whose user is nearly always left alone is not told from one never asked about.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Asking:
    """A plan as it is carried out.

    Attributes
    ----------
    chances: ((assistant, domain|intent), propensity), … otherwise: propensity of other intents.
    rate: questions a day of one user, at most: so long is a user left alone after a question.
    seed: decisions depend on it and on the turn alone, and on who was asked before.
    """

    chances: tuple[tuple[tuple[str, str], float], ...] = ()
    otherwise: float = 0.0
    rate: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to ask, and with what probability that was decided.

    Attributes
    ----------
    propensity: 0 while a user is left alone. marginal: whether or not they are; answers are
        weighted by one over it.
    """

    ask: bool
    propensity: float
    marginal: float


class Asker:
    """Decides by a plan, and remembers whom it has asked.

    The marginal probabilities are exact for turns in order of time. Of a turn that comes after
    later ones of its user, a question before and one after it are taken for independent.
    """

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self._chances = dict(asking.chances)
        self._pause = timedelta(days=min(1 / asking.rate, _LONGEST_DAYS))
        # Per user: when turns were decided on, with what marginal probability, and how.
        self._turns: dict[str, list[tuple[datetime, float, bool]]] = defaultdict(list)

    def decide(
        self, turn_id: str, user_id: str, at: datetime, assistant: str, intent: str
    ) -> Decision:
        """Whether to ask after a turn. `user_id`: "" where it is not known."""
        propensity = self._chances.get((assistant, intent), self.asking.otherwise)
        ask = _draw(self.asking.seed, turn_id) < propensity
        if not user_id:
            return Decision(ask, propensity, propensity)
        kept = self._pause + _LATE
        turns = [turn for turn in self._turns[user_id] if at - turn[0] < kept]
        near = [turn for turn in turns if abs(at - turn[0]) < self._pause]
        before = sum(marginal for when, marginal, _ in near if when <= at)
        after = sum(marginal for when, marginal, _ in near if when > at)
        marginal = propensity * max((1 - before) * (1 - after), _LEAST)
        if any(asked for _, _, asked in near):
            ask, propensity = False, 0.0
        self._turns[user_id] = [*turns, (at, marginal, ask)]
        return Decision(ask, propensity, marginal)


def _draw(seed: int, turn_id: str) -> float:
    """A number in [0, 1) that depends on seed and turn alone."""
    digest = hashlib.blake2b(f"{seed}\x1f{turn_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
