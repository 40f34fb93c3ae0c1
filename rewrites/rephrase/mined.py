"""Rewrites mined from rephrases: what failed, and the later turn that said it again and went well.

Where the chain follows any walk that retries make, here the detector names the turn, up to
`turns.WINDOW` turns later: a link skips what lies between (after ContReph, EMNLP 2021, whose
rephrases are the training data of rewriting). Links are pooled by the text that failed and by the
interpretation of the turn they lead to. The rows are measured beside those of the chain and are not
recorded: docs/rewrites.md says what the union of both is worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.schema.trace import TURNS
from features.arrow import pc, whole
from labels.feedback.sessions import as_turns
from rewrites.interpretations import Counts
from rewrites.mining import Mined, commonest, table_of
from rewrites.rephrase.detector import Detector
from rewrites.success import Success

METHOD, PERSONAL = "rephrase", "rephrase, personal"
# Score above which an untaught detector's link counts. Rewrites are executed unasked, so links have
# to be surer than the F1 of detection wants; docs/rewrites.md says what it was chosen on.
SURE = 0.6
# Probability of failure above which a turn is asked, and below which it may be the answer.
LIKELY = 0.5
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a rewrite needs.

    Attributes
    ----------
    least_share: least share of a text's links that lead to the rewrite's outcome.
    margin: how much more often the rewrite has to succeed than the request.
    links, users, sessions: least expected links to the outcome, and users and sessions with one.
    told: how many users have to have said the rewrite: what one of them said is not for all ears.
    own_links, own_share: the same for a row of one user.
    prior_turns: turns, or links, of everybody's that a user's own are weighed against.
    """

    least_share: float = 0.5
    margin: float = 0.2
    links: float = 0.5
    users: int = 1
    sessions: int = 1
    told: int = 2
    own_links: float = 0.5
    own_share: float = 0.5
    prior_turns: float = 2.0


def from_rephrases(
    tables: Iterable[pa.Table],
    counted: Counts,
    success: Success,
    chain: Mined,
    detector: Detector | None = None,
    settings: Settings | None = None,
) -> pa.Table:
    """`links` of tables of `friction`, and the `rows_of` them (table `REWRITES`)."""
    found = links(tables, counted, success, detector)
    return rows_of(found, counted, success, chain, settings)


def links(
    tables: Iterable[pa.Table],
    counted: Counts,
    success: Success,
    detector: Detector | None = None,
    *,
    likely: float = LIKELY,
) -> pd.DataFrame:
    """Failed turns with the later turn of their session that says the same want again.

    Parameters
    ----------
    tables: of `labels.feedback.sessions.friction`. counted, success: the label model of their
        sessions.
    detector: untaught by default, with the threshold `SURE`. It reads `spoken_turns`, without
        frames and replies: a taught one has to be fitted on the like.
    likely: see `LIKELY`.

    Returns
    -------
    One row per link. Columns: user (-1: not logged), session, request and rephrase (numbers of
    requests), weight (the probability that the first turn failed and the later one went well).
    """
    if detector is None:
        detector = Detector()
        detector.threshold = SURE
    found = [_linked(table, counted, success, detector, likely) for table in tables]
    return pd.concat([_NO_LINKS, *found], ignore_index=True).astype(_NO_LINKS.dtypes)


_NO_LINKS = pd.DataFrame(
    {
        "user": np.zeros(0, np.int64),
        "session": np.zeros(0, object),
        "request": np.zeros(0, np.int64),
        "rephrase": np.zeros(0, np.int64),
        "weight": np.zeros(0),
    }
)


def _linked(
    table: pa.Table,
    counted: Counts,
    success: Success,
    detector: Detector,
    likely: float,
) -> pd.DataFrame:
    cell = counted.cell_of(table)
    failed = np.where(cell >= 0, success.failed[cell], np.nan)
    turns = whole(table["turn_id"])
    asked = failed > likely
    well = failed < likely
    session = whole(table["session"]).dictionary_encode().indices.to_numpy()
    # Only sessions in which something failed and something went well are read.
    n = int(session.max(initial=-1)) + 1
    both = (np.bincount(session, asked, n) > 0) & (np.bincount(session, well, n) > 0)
    read = both[session]
    if not read.any():
        return _NO_LINKS
    said = detector.predict(
        spoken_turns(table.filter(pa.array(read))),
        turns.filter(pa.array(asked & read)).to_pylist(),
        turns.filter(pa.array(well & read)).to_pylist(),
    )
    said = said.filter(said["rephrase_turn_id"].is_valid())
    first, later = (
        pc.index_in(whole(said[name]), turns).to_numpy().astype(np.int64)
        for name in ("turn_id", "rephrase_turn_id")
    )
    request, user = (counted.cells[name].to_numpy() for name in ("request", "user"))
    return pd.DataFrame(
        {
            "user": user[cell[first]],
            "session": whole(table["session"]).take(pa.array(first)).to_pylist(),
            "request": request[cell[first]],
            "rephrase": request[cell[later]],
            "weight": failed[first] * (1 - failed[later]),
        }
    )


def spoken_turns(friction: pa.Table) -> pa.Table:
    """Turns of `labels.feedback.sessions.friction` in the shape of `TURNS`, sessions as dialogues.

    The one hypothesis is the text, and times count from an arbitrary start: of a turn, only the
    pause after it is kept.
    """
    turns = friction.select(["turn_id", "session", "gap", "text"]).to_pandas()
    by_session = turns.groupby("session", sort=False)
    pause = by_session["gap"].shift().fillna(0.0)
    seconds = pause.groupby(turns["session"], sort=False).cumsum()
    hypotheses = [{"hypotheses": [{"text": text}]} for text in turns["text"]]
    return as_turns(
        pa.table(
            {
                "turn_id": whole(friction["turn_id"]),
                "dialogue_id": whole(friction["session"]),
                "turn_index": pa.array(by_session.cumcount().to_numpy(np.int32)),
                "started_at": pa.array(
                    (pd.Timestamp(_EPOCH) + pd.to_timedelta(seconds, unit="s")).dt.round("us")
                ),
                "asr": pa.array(hypotheses, TURNS.field("asr").type),
            }
        )
    )


def rows_of(
    linked: pd.DataFrame,
    counted: Counts,
    success: Success,
    chain: Mined,
    settings: Settings | None = None,
) -> pa.Table:
    """Rows of `REWRITES` from `links`; general rows first, ordered by request and user.

    `chain`: what `rewrites.mining` made of the same counts, which names the request that says an
    interpretation best.
    """
    settings = settings or Settings()
    texts = _Texts(counted, success, chain)
    linked = texts.placed(linked)
    general = _general(linked, texts, settings)
    personal = _personal(linked, general, texts, settings)
    return texts.table(pd.concat([general, personal], ignore_index=True))


def _general(linked: pd.DataFrame, texts: _Texts, settings: Settings) -> pd.DataFrame:
    """The outcome that most links of a text lead to."""
    rows = _best(_pooled(linked, ["text"]), ["text"])
    rows = texts.judged(rows, texts.failure[rows["text"]], texts.turns[rows["text"]])
    good = _worth(rows, settings.margin) & (rows["share"] >= settings.least_share)
    good &= (rows["users"] >= settings.users) & (rows["sessions"] >= settings.sessions)
    good &= rows["weight"] >= settings.links
    good &= texts.speakers[rows["rewrite"]] >= settings.told
    table: pd.DataFrame = rows[good].assign(user=-1)
    return table


def _personal(
    linked: pd.DataFrame, general: pd.DataFrame, texts: _Texts, settings: Settings
) -> pd.DataFrame:
    """The same of one user's links, weighed against everybody's, where it leads elsewhere."""
    own = linked[linked["user"] >= 0]
    pooled, everybody = _pooled(own, ["user", "text"]), _pooled(linked, ["text"])
    everybody["prior"] = everybody["weight"] / everybody["total"]
    prior = everybody.set_index(["text", "outcome"])["prior"]
    of_outcome = prior.loc[list(zip(pooled["text"], pooled["outcome"], strict=True))].to_numpy()
    weighed = pooled["weight"] + settings.prior_turns * of_outcome
    pooled["share"] = weighed / (pooled["total"] + settings.prior_turns)
    rows = _best(pooled, ["user", "text"])
    failed, turns = texts.own(rows)
    average = texts.failure[rows["text"]]
    failure = (failed + settings.prior_turns * average) / (turns + settings.prior_turns)
    rows = texts.judged(rows, failure, turns)
    good = _worth(rows, settings.margin) & (rows["share"] >= settings.own_share)
    good &= rows["weight"] >= settings.own_links
    of_all = general.set_index("text")["outcome"].reindex(rows["text"]).to_numpy(np.float64)
    good &= rows["outcome"].to_numpy() != of_all
    table: pd.DataFrame = rows[good].sort_values(["request", "user"])
    return table


def _pooled(linked: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Links by what failed and the outcome: weight, total (of all outcomes), users, sessions."""
    group = linked.groupby([*by, "outcome"], sort=True)
    rows = group.agg(
        weight=("weight", "sum"), users=("speaker", "nunique"), sessions=("session", "nunique")
    ).reset_index()
    rows["total"] = rows.groupby(by)["weight"].transform("sum")
    rows["share"] = rows["weight"] / rows["total"]
    return rows


def _best(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Of each text the outcome with the largest share, the first of several."""
    order = np.lexsort((rows["outcome"], -np.round(rows["share"], 9)))
    return rows.iloc[order].drop_duplicates(by).sort_values(by).reset_index(drop=True)


def _worth(rows: pd.DataFrame, margin: float) -> Any:
    good = (rows["rewrite"] >= 0) & (rows["failure"] > 0.5)
    return good & (rows["p_after"] > rows["p_before"] + margin)


class _Texts:
    """Texts that were heard, as `Counts.number` numbers them, and what is known of them.

    Attributes
    ----------
    turns: turns with each text, float64 (texts,). failure: their failure rate.
    request: the commonest request of each. speakers: per request, users who said it.
    """

    def __init__(self, counted: Counts, success: Success, mined: Mined) -> None:
        cells = counted.cells
        chain = mined.chain
        self._chain, self._spoken, self._users = chain, mined.spoken, counted.users
        self.text, _ = counted.number("text")
        n = int(self.text.max(initial=-1)) + 1
        said = np.bincount(cells["request"], cells["turns"], len(self.text))
        self.turns = np.bincount(self.text, said, n)
        self.failure = np.bincount(self.text, said * chain.failure, n) / self.turns
        self.request = commonest(self.text, said)
        self.speakers = counted.speakers(np.arange(len(said)))
        habit = cells.assign(text=self.text[cells["request"]])
        habit["failed"] = habit["turns"] * success.failed
        self._habit = habit.groupby(["user", "text"])[["failed", "turns"]].sum()

    def placed(self, linked: pd.DataFrame) -> pd.DataFrame:
        """Links with text, outcome and speaker, less those that lead to the text's own outcome."""
        linked = linked.assign(
            text=self.text[linked["request"]],
            outcome=self._chain.outcome[linked["rephrase"]],
            speaker=linked["user"].astype(object).where(linked["user"] >= 0, linked["session"]),
        )
        own = self._chain.outcome[self.request[linked["text"]]]
        elsewhere: pd.DataFrame = linked[linked["outcome"] != own]
        return elsewhere

    def own(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Expected failures and turns of a user with a text."""
        habit = self._habit.loc[list(zip(rows["user"], rows["text"], strict=True))]
        return habit["failed"].to_numpy(), habit["turns"].to_numpy()

    def judged(self, rows: pd.DataFrame, failure: Any, turns: np.ndarray) -> pd.DataFrame:
        """Rows with request, rewrite, failure, p_before, p_after and score."""
        failure = np.asarray(failure, np.float64)
        rewrite = self._spoken[rows["outcome"]]
        well = np.where(rewrite >= 0, 1 - self._chain.failure[rewrite], 0.0)
        return rows.assign(
            request=self.request[rows["text"]],
            rewrite=rewrite,
            failure=failure,
            p_before=1 - failure,
            # Those who gave up wanted what the others did.
            p_after=failure * rows["share"] * well,
            score=rows["weight"] / turns,
        )

    def table(self, rows: pd.DataFrame) -> pa.Table:
        return table_of(rows, self._chain, self._users, (METHOD, PERSONAL))


def united(chain: pa.Table, rephrases: pa.Table) -> pa.Table:
    """Rows of both: where both have one for a text, and a user, the chain's."""
    keys = ["assistant", "request", "user_id"]
    taken = chain.select(keys).to_pylist()
    known = {tuple(row.values()) for row in taken}
    # A general row of the chain goes before a user's row of the other.
    wanted = [
        tuple(row.values()) not in known and (row["assistant"], row["request"], None) not in known
        for row in rephrases.select(keys).to_pylist()
    ]
    return pa.concat_tables([chain, rephrases.filter(pa.array(wanted, pa.bool_()))])
