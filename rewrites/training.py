"""Examples for the ranker from the sessions themselves: an index of earlier turns, asked later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from rewrites.history import History, outcomes, turn_contexts
from rewrites.interpretations import Counts
from rewrites.mining import Mined, Settings, from_counts
from rewrites.ranking import (
    FALSE_TRIGGERS,
    TRUST,
    Background,
    Example,
    Ranker,
    Request,
    features,
    learn,
)
from rewrites.retrieval import Index
from rewrites.success import Success, estimate
from rewrites.tabulate import tables

# Shares of the turns, by time: indexed, then learned from, then used to choose the threshold.
INDEXED, LEARNED = 0.6, 0.8
# Turns that are asked, at most, for learning and for the threshold.
MOST_ASKED = 6_000
# A text heard at most so often is also asked as if it had never been heard: new ones are like it.
RARE = 3
_MASKED_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Known:
    """An index with what the ranker needs beside it, and the exact rows."""

    index: Index
    background: Background
    rows: dict[tuple[str, str, str | None], tuple[str, float, str]]

    def row(self, request: Request) -> tuple[str, float, str] | None:
        """The exact row of a request, the user's own first: rewrite, score and method."""
        own = self.rows.get((request.assistant, request.text, request.user_id))
        return own or self.rows.get((request.assistant, request.text, None))

    def works(self, request: Request) -> bool:
        """Whether a text is known to work as it is: with its user, or else with everybody."""
        row = self.index.find(request.text, request.assistant)
        if row < 0:
            return False
        columns = self.index.columns
        place = int(self.index.own_counts(request.user_id, np.array([row]))[0])
        if place >= 0 and columns["own_turns"][place] >= 2:
            return bool(columns["own_failed"][place] < 0.5 * columns["own_turns"][place])
        return bool(columns["failure"][row] < 0.5 and columns["successes"][row] > 0.5)


def rows_of(mined: Mined) -> dict[tuple[str, str, str | None], tuple[str, float, str]]:
    """The mined rows by assistant, request and user; of several the one with the highest score."""
    return exact_rows(mined.rows)


def exact_rows(table: object) -> dict[tuple[str, str, str | None], tuple[str, float, str]]:
    """Rows of a table `REWRITES` by assistant, request and user."""
    names = ["assistant", "request", "user_id", "rewrite", "score", "method"]
    columns = [table[name].to_pylist() for name in names]  # type: ignore[index]
    best: dict[tuple[str, str, str | None], tuple[str, float, str]] = {}
    for assistant, request, user, rewrite, score, method in zip(*columns, strict=True):
        key, row = (assistant or "", request, user), (rewrite, float(score or 0.0), method)
        known = best.get(key)
        if known is None or (-row[1], row[0]) < (-known[1], known[0]):
            best[key] = row
    return best


def known_of(
    history: History, counted: Counts, success: Success, mined: Mined, threads: int = 0
) -> Known:
    """What serving knows of a history."""
    made = tables(history, counted, success, mined)
    index = Index.of(made["requests"], made["habits"], threads=threads)
    return Known(index, Background.of(made["paths"], made["lifts"]), rows_of(mined))


def trained(
    history: History,
    counted: Counts,
    success: Success,
    mined: Mined,
    settings: Settings | None = None,
    *,
    false_triggers: float = FALSE_TRIGGERS,
    least: float = TRUST,
) -> Ranker:
    """A ranker learned on the later turns of a history, from an index of the earlier ones."""
    share = history.share()
    earlier = history.where(share < INDEXED)
    if not len(earlier.turns):
        return Ranker.untrained()
    before = earlier.counted()
    known = known_of(earlier, before, estimate(before), from_counts(before, settings))
    parts = []
    for mask in ((share >= INDEXED) & (share < LEARNED), share >= LEARNED):
        asked = history.where(mask)
        parts.append((asked, outcomes(asked.turns, counted, success, mined)))
    learning = list(_examples(known, *parts[0], mined, masked=True))
    held_out = list(_examples(known, *parts[1], mined, masked=False))
    return learn(learning, held_out, false_triggers=false_triggers, least=least)


def _examples(
    known: Known,
    asked: History,
    became: tuple[np.ndarray, sp.csr_array, sp.csr_array],
    mined: Mined,
    *,
    masked: bool,
) -> Iterator[Example]:
    """Turns as examples; `masked`: only what the ranker would be asked, and rare texts as new."""
    failed, lost, wanted = became
    names = {
        (assistant, name): i
        for i, (assistant, name) in enumerate(
            zip(mined.chain.assistants, mined.chain.interpretations, strict=True)
        )
    }
    turns = asked.turns
    step = -(-len(turns) // MOST_ASKED) if len(turns) else 1
    words = turn_contexts(turns)
    for i in range(0, len(turns), step):
        turn = turns.iloc[i]
        if not turn["text"]:
            continue
        user = turn["user_id"] if isinstance(turn["user_id"], str) else None
        request = Request(
            turn["text"], turn["assistant"], user, None, words[i], _time(turn["at"])
        )
        row = known.index.find(request.text, request.assistant)
        settled = known.row(request) is not None or known.works(request)
        times = known.index.columns["turns"][row] if row >= 0 else 0.0
        as_new = masked and row >= 0 and times <= RARE
        if settled and not masked:
            yield Example(*_NOTHING, failed=float(failed[i]))
        for unheard, weight in ((False, 1.0), (True, _MASKED_WEIGHT)):
            if (settled if not unheard else not as_new):
                continue
            found = known.index.candidates(request.text, request.assistant, user)
            table, said = features(known.index, known.background, request, found, unheard=unheard)
            outcome = known.index.outcome[found.rows]
            codes = np.array(
                [
                    names.get((request.assistant, known.index.outcomes[code]), -1)
                    for code in outcome
                ],
                np.int64,
            )
            ok = codes >= 0
            mass = [
                np.where(ok, part[[i]].toarray()[0][codes], 0.0) if len(codes) else np.zeros(0)
                for part in (wanted, lost)
            ]
            yield Example(
                table, said, outcome, mass[0], mass[1], float(failed[i]), weight
            )


_NOTHING = (np.zeros((0, 0)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def _time(at: float) -> float | None:
    return None if at != at else float(at)
