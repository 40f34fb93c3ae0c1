"""Deciding, turn by turn, whether to ask "did I answer your question?" by a plan."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

# Signals of the result stage: whether the assistant asked, and with what probability it was going
# to, 0 while its user was left alone.
ASKED, PROPENSITY = "asked", "ask_propensity"


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
    """Whether to ask, and with what probability that was decided; 0 while a user is left alone."""

    ask: bool
    propensity: float


class Asker:
    """Decides by a plan, and remembers whom it has asked."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self._chances = dict(asking.chances)
        self._pause = timedelta(days=1 / asking.rate)
        self._asked: dict[str, list[datetime]] = defaultdict(list)

    def decide(
        self, turn_id: str, user_id: str, at: datetime, assistant: str, intent: str
    ) -> Decision:
        """Whether to ask after a turn. `user_id`: "" where it is not known."""
        if user_id and any(abs(at - before) < self._pause for before in self._asked[user_id]):
            return Decision(False, 0.0)
        propensity = self._chances.get((assistant, intent), self.asking.otherwise)
        ask = _draw(self.asking.seed, turn_id) < propensity
        if ask and user_id:
            self._asked[user_id].append(at)
        return Decision(ask, propensity)


def _draw(seed: int, turn_id: str) -> float:
    """A number in [0, 1) that depends on seed and turn alone."""
    digest = hashlib.blake2b(f"{seed}\x1f{turn_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
