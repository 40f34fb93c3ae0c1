"""What rewrites are worth: replay on later sessions, of which it is known what users wanted.

Win: a wrong turn whose rewrite leads to what was wanted. Loss: a right turn whose rewrite does not.
No help: a wrong turn that stays wrong. The outcome of a rewrite is the interpretation that its text
most often got in the sessions it was mined from; a text never logged is never right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

# An assistant and a text that it heard.
Said = tuple[str, str]

_KEY = ["assistant", "request", "user_id"]

DRAWS = 2_000
# Turns of a head request, at least, in the sessions mined.
HEAD = 20


@dataclass(frozen=True, slots=True)
class Score:
    """Outcomes of rewrites over turns.

    Attributes
    ----------
    turns, wrong: turns replayed, and those of them that were wrong.
    triggers: turns that were rewritten. wins, losses, no_help: see the module.
    harmless: right turns whose rewrite is right too.
    low, high: 95 % interval of `net` over users (percentile bootstrap); both 0 without triggers.
    """

    turns: int
    wrong: int
    triggers: int
    wins: int
    losses: int
    no_help: int
    harmless: int
    low: float
    high: float

    @property
    def precision(self) -> float:
        """Share of the rewrites whose outcome was wanted; NaN without any."""
        return (self.wins + self.harmless) / self.triggers if self.triggers else float("nan")

    @property
    def mended(self) -> float:
        """Wins per wrong turn."""
        return self.wins / self.wrong if self.wrong else 0.0

    @property
    def net(self) -> float:
        """Wins less losses, per wrong turn."""
        return (self.wins - self.losses) / self.wrong if self.wrong else 0.0

    @property
    def false_triggers(self) -> float:
        """Share of the right turns that were rewritten."""
        right = self.turns - self.wrong
        return (self.losses + self.harmless) / right if right else 0.0


def rewritten(turns: pd.DataFrame, rows: pa.Table) -> pd.Series:
    """The rewrite of each turn, the user's own row first; null where there is none.

    `turns` has text (as `rewrites.interpretations.heard`), user_id, and assistant ('' where none
    was logged). `rows`: as `rewrites.mining.REWRITES`; of several rows the one with the highest
    score counts, then the first text. A row that leads to its own request leaves the turn as it is.
    """
    table = in_order(rows)
    number = matching(turns, table)
    # The last one is that of turns without a row.
    words = np.array([*table["rewrite"], None], object)
    chosen = pd.Series(words[number], turns.index)
    result: pd.Series = chosen.where(chosen != turns["text"])
    return result


def in_order(rows: pa.Table) -> pd.DataFrame:
    """Rows as `matching` takes them: the highest score first, then the first text."""
    table = rows.select([*_KEY, "rewrite", "score"]).to_pandas()
    table = table.sort_values(["score", "rewrite"], ascending=[False, True], kind="stable")
    return table.reset_index(drop=True)


def matching(turns: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """The row that is for each turn, int64 (turns,); -1 for none.

    turns: columns assistant, text, user_id. rows: columns assistant, request, user_id (null on
    general rows); the user's own go first, then the first of several.
    """
    asked = turns[["assistant", "text", "user_id"]].rename(columns={"text": "request"})
    numbered = rows[_KEY].assign(number=np.arange(len(rows)))
    own = numbered[numbered["user_id"].notna()].drop_duplicates(_KEY)
    general = numbered[numbered["user_id"].isna()].drop_duplicates(_KEY[:2])
    by_user = asked.merge(own, how="left", on=_KEY)["number"]
    by_text = asked.merge(general[[*_KEY[:2], "number"]], how="left", on=_KEY[:2])["number"]
    number: np.ndarray = by_user.fillna(by_text).fillna(-1).to_numpy(np.int64)
    return number


def replay(
    turns: pd.DataFrame,
    rewrites: pd.Series,
    outcomes: Mapping[Said, str],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Score:
    """Replay `turns` with a rewrite for each of them, null for none.

    Parameters
    ----------
    turns: columns assistant, user_id, wrong (bool), wanted (the interpretation that the user
        wanted; null where it is not known, which counts as not reached).
    rewrites: the text of the rewrite of each turn.
    outcomes: assistant and text → the interpretation that it gets.
    """
    wrong = turns["wrong"].to_numpy(bool)
    given = rewrites.notna().to_numpy()
    outcome = outcome_of(turns, rewrites, outcomes)
    right = given & (outcome.notna() & (outcome == turns["wanted"])).to_numpy(bool)
    win, loss = right & wrong, given & ~right & ~wrong
    low, high = _interval(turns["user_id"], win.astype(int) - loss, wrong, seed, draws)
    return Score(
        turns=len(turns),
        wrong=int(wrong.sum()),
        triggers=int(given.sum()),
        wins=int(win.sum()),
        losses=int(loss.sum()),
        no_help=int((given & wrong & ~right).sum()),
        harmless=int((right & ~wrong).sum()),
        low=low,
        high=high,
    )


def outcome_of(turns: pd.DataFrame, rewrites: pd.Series, outcomes: Mapping[Said, str]) -> pd.Series:
    """The interpretation that the rewrite of each turn gets; null where none is known."""
    said = zip(turns["assistant"], rewrites, strict=True)
    found: pd.Series = pd.Series([outcomes.get(key) for key in said], turns.index, dtype="object")
    return found


def parts(turns: pd.DataFrame, heard: Mapping[Said, int], head: int = HEAD) -> dict[str, pd.Series]:
    """Masks over `turns`: seen and unseen texts, head and tail of the seen ones.

    `heard`: assistant and text → turns with it in the sessions mined.
    """
    said = zip(turns["assistant"], turns["text"], strict=True)
    times = pd.Series([heard.get(key, 0) for key in said], turns.index)
    return {
        "seen": times > 0,
        "unseen": times == 0,
        "head": times >= head,
        "tail": (times > 0) & (times < head),
    }


def _interval(
    users: pd.Series, net: np.ndarray, wrong: np.ndarray, seed: int, draws: int
) -> tuple[float, float]:
    """Percentile bootstrap (Efron 1979) of net / wrong over users; unnamed turns are one each."""
    names = users.astype("object").where(users.notna(), pd.Series(range(len(users)), users.index))
    code = pd.factorize(names)[0]
    if not len(code) or not wrong.any():
        return 0.0, 0.0
    gains, base = np.bincount(code, net), np.bincount(code, wrong)
    rng, n = np.random.default_rng(seed), len(gains)
    shares = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        shares[draw] = float(times @ gains) / max(float(times @ base), 1.0)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
