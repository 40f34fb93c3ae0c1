"""Examples for the ranker from the sessions themselves: an index of earlier turns, asked later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from rewrites.interpretations import Counts
from rewrites.mining import Mined, Settings, from_counts
from rewrites.online.history import History, outcomes, turn_contexts
from rewrites.online.ranking import (
    FALSE_TRIGGERS,
    TRUST,
    Background,
    Example,
    Ranker,
    Request,
    features,
    learn,
    retrieved,
)
from rewrites.online.retrieval import Index
from rewrites.online.tabulate import tables
from rewrites.success import Success, estimate

# Shares of the turns, by time: indexed, then learned from, then used to choose the threshold.
INDEXED, LEARNED = 0.7, 0.85
# Turns that are asked, at most, for learning and for the threshold.
MOST_ASKED = 6_000
# How often a request counts at most: requests heard often are no surer examples of similarity.
MOST_TIMES = 3
# Turns of a user with a text that tell whether it works with that user.
SAID_OFTEN = 2


@dataclass(frozen=True, slots=True)
class Known:
    """An index with what the ranker needs beside it, and the exact rows."""

    index: Index
    background: Background
    rows: dict[tuple[str, str, str | None], tuple[str, float, str]]

    def row(self, request: Request) -> tuple[str, float, str] | None:
        """The exact row of a request: rewrite, score and method; None where there is none.

        The user's own goes first. That of everybody is not for a user with whom the text works.
        """
        own = self.rows.get((request.assistant, request.text, request.user_id))
        if own is not None or self._works_with_user(request):
            return own
        return self.rows.get((request.assistant, request.text, None))

    def works(self, request: Request) -> bool:
        """Whether a text is known to work as it is: with its user, or else with everybody."""
        with_user = self._works_with_user(request)
        if with_user is not None:
            return with_user
        row, columns = self.index.find(request.text, request.assistant), self.index.columns
        return row >= 0 and bool(columns["failure"][row] < 0.5 and columns["successes"][row] > 0.5)

    def _works_with_user(self, request: Request) -> bool | None:
        """Whether a text works with its user; None where the user has not said it twice."""
        row, columns = self.index.find(request.text, request.assistant), self.index.columns
        if row < 0:
            return None
        place = int(self.index.own_counts(request.user_id, np.array([row]))[0])
        if place < 0 or columns["own_turns"][place] < SAID_OFTEN:
            return None
        return bool(columns["own_failed"][place] < 0.5 * columns["own_turns"][place])


def exact_rows(table: Any) -> dict[tuple[str, str, str | None], tuple[str, float, str]]:
    """Rows of a table `REWRITES` by assistant, request and user; of several, the highest score."""
    names = ["assistant", "request", "user_id", "rewrite", "score", "method"]
    columns = [table[name].to_pylist() for name in names]
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
    index = Index.of(made["requests"], made["habits"], made["paths"], threads=threads)
    return Known(index, Background.of(made["lifts"]), exact_rows(mined.rows))


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
    success_before = estimate(before)
    mined_before = from_counts(before, settings, success_before)
    known = known_of(earlier, before, success_before, mined_before)
    parts = []
    for mask in ((share >= INDEXED) & (share < LEARNED), share >= LEARNED):
        asked = history.where(mask)
        parts.append((asked, outcomes(asked.turns, counted, success, mined)))
    learning = list(_texts(known, mined_before))
    learning += _turns(known, *parts[0], mined, learning=True)
    held_out = list(_turns(known, *parts[1], mined, learning=False))
    return learn(learning, held_out, false_triggers=false_triggers, least=least)


def _texts(known: Known, mined: Mined) -> Iterator[Example]:
    """The requests that were mined, each asked as if it were new, against what the chain says."""
    chain = mined.chain
    mended = sp.csr_array(mined.mended)
    texts: list[Any] = chain.requests["text"].to_pylist()
    assistants: list[Any] = chain.requests["assistant"].to_pylist()
    codes = _codes(known.index, mined)
    times = np.minimum(np.maximum(chain.successes + chain.retries, 1), MOST_TIMES)
    weight = times * np.abs(chain.failure - 0.5) * 2
    for i in range(0, len(texts), -(-len(texts) // MOST_ASKED)):
        if not texts[i]:
            continue
        failure = float(chain.failure[i])
        ends = mended[[i]].toarray()[0]
        lost = failure * ends / max(ends.sum(), 0.5)
        wanted = lost.copy()
        wanted[chain.outcome[i]] += 1 - failure
        frame = chain.interpretations[chain.outcome[i]]
        for given in (frame, None):
            request = Request(texts[i], assistants[i], None, given)
            yield _example(known, request, codes, wanted, lost, failure, weight[i], unheard=True)


def _turns(
    known: Known,
    asked: History,
    became: tuple[np.ndarray, sp.csr_array, sp.csr_array],
    mined: Mined,
    *,
    learning: bool,
) -> Iterator[Example]:
    """Later turns; for `learning` only what the ranker would be asked, with and without frame."""
    failed, lost, wanted = became
    turns, codes = asked.turns, _codes(known.index, mined)
    words = turn_contexts(turns)
    for i in range(0, len(turns), -(-max(len(turns), 1) // MOST_ASKED)):
        turn = turns.iloc[i]
        user = turn["user_id"] if isinstance(turn["user_id"], str) else None
        at = None if turn["at"] != turn["at"] else float(turn["at"])
        request = Request(turn["text"], turn["assistant"], user, None, words[i], at)
        if known.row(request) is not None or known.works(request) or not request.text:
            if not learning:
                # It counts among the turns that may be right, and is never asked.
                yield Example(*_NOTHING, failed=float(failed[i]))
            continue
        masses = (part[[i]].toarray()[0] for part in (wanted, lost))
        part = (codes, *masses, float(failed[i]), 1.0)
        yield _example(known, replace(request, frame=turn["frame"]), *part)
        if learning:
            yield _example(known, request, *part)


def _example(
    known: Known,
    request: Request,
    codes: np.ndarray,
    wanted: np.ndarray,
    lost: np.ndarray,
    failed: float,
    weight: float,
    *,
    unheard: bool = False,
) -> Example:
    """What is retrieved for a request, and how much of it was wanted, by interpretation."""
    found = retrieved(known.index, request, unheard=unheard)
    table, said = features(known.index, known.background, request, found, unheard=unheard)
    outcome = known.index.outcome[found.rows]
    code = codes[outcome] if len(outcome) else np.zeros(0, np.int64)
    masses = [np.where(code >= 0, mass[code], 0.0) for mass in (wanted, lost)]
    return Example(table, said, outcome, masses[0], masses[1], failed, weight)


def _codes(index: Index, mined: Mined) -> np.ndarray:
    """The number in the chain of each outcome of the index; -1 for none."""
    chain = mined.chain
    codes = np.full(len(index.works), -1)
    for number, (assistant, name) in enumerate(
        zip(chain.assistants, chain.interpretations, strict=True)
    ):
        if (code := index.code(name, assistant)) >= 0:
            codes[code] = number
    return codes


_NOTHING = (np.zeros((0, 0)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
