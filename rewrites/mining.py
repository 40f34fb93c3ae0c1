"""Rewrites as rows: general ones, and those of single users, mined from counts of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from data.schema.trace import schema
from labels.feedback.sessions import GAP_S, friction
from rewrites.interpretations import Counts, counts
from rewrites.markov import Chain, matrix
from rewrites.success import Success, estimate

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

REWRITES = schema(
    [
        ("request", pa.string()),
        ("rewrite", pa.string()),
        # Null on general rows.
        ("user_id", pa.string()),
        ("assistant", pa.string()),
        # "chain", "chain, personal", "neighbour".
        ("method", pa.string()),
        ("request_state", pa.string()),
        ("rewrite_state", pa.string()),
        # Users and sessions in which the request was said again.
        ("users", pa.int64()),
        ("sessions", pa.int64()),
        # Predicted success of the request as it is, and of its rewrite.
        ("p_before", pa.float64()),
        ("p_after", pa.float64()),
        # Share of turns that fail and, as far as they are said again, end in this outcome.
        ("score", pa.float64()),
    ]
)


CHAIN, PERSONAL = "chain", "chain, personal"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a rewrite needs.

    Attributes
    ----------
    least_score: least share of turns that fail and end in the rewrite's outcome.
    margin: how much more often the rewrite has to succeed than the request.
    users, sessions: how many have to have said the request again, for a general row.
    told: how many users have to have said its rewrite: what one of them said is not for all ears.
    own_score, own_retries: the same for a row of one user: score, and expected retries.
    own_reached, own_share: instead of the score, a row of one user may have as many expected turns
        that end in its outcome, if these are this share of all that end well.
    prior_turns: turns of everybody's that a user's own are weighed against.
    """

    least_score: float = 0.3
    margin: float = 0.2
    users: int = 1
    sessions: int = 1
    told: int = 2
    own_score: float = 0.4
    own_retries: float = 0.7
    own_reached: float = 4.0
    own_share: float = 0.4
    prior_turns: float = 2.0


@dataclass(frozen=True, slots=True)
class Mined:
    """Rewrites with what they were mined from, which `rewrites.neighbours` asks for new texts.

    Attributes
    ----------
    rows: table `REWRITES`, general rows first, ordered by request and user.
    chain: the chain. absorbed: its `Chain.absorbed`. mended: where walks end that begin with a
        failure of the request, in other interpretations than its own; CSR, same shape.
    spoken: per interpretation, the request that says it best; -1 where none does.
    """

    rows: pa.Table
    chain: Chain
    absorbed: Any
    mended: Any
    spoken: np.ndarray


def mine(
    snapshot: Snapshot,
    settings: Settings | None = None,
    *,
    gap_s: float = GAP_S,
    since: date | None = None,
    until: date | None = None,
) -> Mined:
    """Mine the sessions of a snapshot that begin on the days `since` to `until`."""
    tables = friction(snapshot, gap_s=gap_s, since=since, until=until)
    return from_counts(counts(tables), settings)


def from_counts(
    counted: Counts, settings: Settings | None = None, success: Success | None = None
) -> Mined:
    """Mine counts; the same counts give the same rows.

    `success`: the label model of these counts, if it has been estimated already.
    """
    settings = settings or Settings()
    success = success or estimate(counted)
    chain = Chain.of(counted, success)
    absorbed = chain.absorbed()
    mended = _elsewhere(chain.step @ absorbed, chain.outcome)
    spoken = _spoken(chain, _users(counted))
    general = _general(counted, success, chain, mended, spoken, settings)
    personal = _personal(counted, success, chain, absorbed, spoken, general, settings)
    rows = pd.concat([general, personal], ignore_index=True)
    return Mined(table_of(rows, chain, counted.users), chain, absorbed, mended, spoken)


def best(mass: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of a CSR matrix: the column with the most mass (-1 for none), it, and the sum.

    Of several columns with the same mass, the first.
    """
    mass = sp.csr_array(mass)
    rows = np.repeat(np.arange(mass.shape[0]), np.diff(mass.indptr))
    # Rounded, as the last bits depend on the order of sums.
    order = np.lexsort((mass.indices, -np.round(mass.data, 9), rows))
    first = order[np.unique(rows[order], return_index=True)[1]]
    column, most = np.full(mass.shape[0], -1), np.zeros(mass.shape[0])
    column[rows[first]], most[rows[first]] = mass.indices[first], mass.data[first]
    return column, most, np.asarray(mass.sum(axis=1)).ravel()


def _elsewhere(mass: Any, outcome: np.ndarray) -> Any:
    """`mass` without what ends in the request's own interpretation, which no rewrite changes."""
    mass = sp.coo_array(mass)
    rows, columns = mass.coords
    keep = columns != outcome[rows]
    return matrix(mass.data[keep], rows[keep], columns[keep], mass.shape)


def _users(counted: Counts) -> np.ndarray:
    """Per request: users who said it."""
    return counted.speakers(np.arange(counted.requests.num_rows))


def _spoken(chain: Chain, users: np.ndarray) -> np.ndarray:
    """Of each interpretation: the request with the most successes, if it mostly succeeds.

    What several users said goes before what one of them said.
    """
    order = np.lexsort(
        (np.arange(len(users)), -np.round(chain.successes, 9), -np.minimum(users, 2))
    )
    order = order[chain.failure[order] < 0.5]
    spoken = np.full(len(chain.interpretations), -1)
    outcomes, first = np.unique(chain.outcome[order], return_index=True)
    spoken[outcomes] = order[first]
    return spoken


def _general(
    counted: Counts,
    success: Success,
    chain: Chain,
    mended: Any,
    spoken: np.ndarray,
    settings: Settings,
) -> pd.DataFrame:
    """Rows of texts: what is rewritten is a text, whatever NLU makes of it this time."""
    turns = np.bincount(counted.cells["request"], counted.cells["turns"], len(chain.failure))
    text, _ = counted.number("text")
    request = commonest(text, turns)
    share = turns / np.bincount(text, turns)[text]
    pooled = _pooling(text, share * chain.failure) @ mended
    outcome, score, total = best(_elsewhere(pooled, chain.outcome[request]))
    failure = np.bincount(text, share * chain.failure)
    users, sessions = _support(counted, success, text)
    rows = _rows(request, outcome, score, total, failure, chain, spoken)
    rows["users"], rows["sessions"], rows["user"] = users, sessions, -1
    rows["score_enough"] = rows["score"] > settings.least_score
    good = _worth(rows, settings.margin)
    good = good & (users >= settings.users) & (sessions >= settings.sessions)
    good &= _users(counted)[rows["rewrite"].to_numpy()] >= settings.told
    return rows[good]


def _personal(
    counted: Counts,
    success: Success,
    chain: Chain,
    absorbed: Any,
    spoken: np.ndarray,
    general: pd.DataFrame,
    settings: Settings,
) -> pd.DataFrame:
    """Rows where a user's own sessions say something else than everybody's.

    The first step is the user's own, weighed against everybody's as so many turns; what follows it
    is everybody's. A user with whom the request works keeps it: a row that leads to itself.
    """
    cells = counted.cells
    text, _ = counted.number("text")
    turns = np.bincount(cells["request"], cells["turns"], len(chain.failure))
    cells = cells.assign(
        failed=cells["turns"] * success.failed,
        retried=cells["turns"] * success.retried,
        text=text[cells["request"]],
    )
    known = cells[cells["user"] >= 0]
    if known.empty:
        return general.iloc[:0]
    group = known.groupby(["user", "text"], sort=True)
    habit = group[["turns", "failed", "retried"]].sum()
    sessions = (known["turns"] * known["first"] * (known["next"] >= 0)).groupby(
        [known["user"], known["text"]]
    )
    habit["sessions"] = sessions.sum()
    habit = habit.reset_index()
    of_text, prior = habit["text"].to_numpy(), settings.prior_turns
    request = commonest(text, turns)[of_text]
    everybody = _pooling(text, turns / np.bincount(text, turns)[text])
    code = group.ngroup().to_numpy()
    follows = (known["next"] >= 0).to_numpy()
    said = matrix(
        known["retried"].to_numpy()[follows],
        code[follows],
        known["next"].to_numpy()[follows],
        (len(habit), len(chain.failure)),
    )
    weight = sp.diags_array(1 / (habit["retried"].to_numpy() + prior))
    step = weight @ (said + prior * (everybody @ chain.step)[of_text])
    mended = _elsewhere(step @ absorbed, chain.outcome[request])
    outcome, mass, total = best(mended)
    average = everybody @ chain.failure
    failure = (habit["failed"] + prior * average[of_text]) / (habit["turns"] + prior)
    rows = _rows(request, outcome, failure * mass, total * failure, failure, chain, spoken)
    rows["user"], rows["users"] = habit["user"], 1
    rows["sessions"] = habit["sessions"]
    rows["score_enough"] = rows["score"] > settings.own_score
    # What somebody says again and again may end in many ways, and well in one of them only.
    reached = habit["turns"] * rows["score"] >= settings.own_reached
    rows["score_enough"] |= reached & (rows["score"] >= settings.own_share * rows["total"])
    good = _worth(rows, settings.margin)
    good &= habit["retried"].to_numpy() >= settings.own_retries
    general_outcome = (
        pd.Series(general["outcome"].to_numpy(), text[general["request"]])
        .reindex(of_text)
        .to_numpy(np.float64)
    )
    good &= rows["outcome"].to_numpy() != general_outcome
    fine = (failure.to_numpy(copy=True) < 0.5) & (habit["turns"].to_numpy() >= 2)
    fine &= ~np.isnan(general_outcome)
    kept = rows[fine].assign(outcome=chain.outcome[request[fine]], rewrite=request[fine])
    kept = kept.assign(p_after=kept["p_before"], score=kept["p_before"])
    table: pd.DataFrame = pd.concat([rows[good & ~fine], kept])
    return table.sort_values(["request", "user"])


def commonest(text: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Of each text: the request with the most turns, the first of several."""
    order = np.lexsort((np.arange(len(text)), -turns, text))
    first: np.ndarray = order[np.unique(text[order], return_index=True)[1]]
    return first


def _pooling(text: np.ndarray, weight: np.ndarray) -> Any:
    """CSR (texts, requests) with the weight of each request in its text."""
    n = len(text)
    return matrix(weight, text, np.arange(n), (int(text.max(initial=-1)) + 1, n))


def _support(counted: Counts, success: Success, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per text: users who probably said it again after a failure, and sessions with that."""
    cells = counted.cells[success.retried > 0.5]
    cells = cells.assign(text=text[cells["request"]])
    users = cells[cells["user"] >= 0].groupby("text")["user"].nunique()
    # Without user ids, sessions stand for users.
    sessions = (cells["turns"] * cells["first"]).groupby(cells["text"]).sum()
    anonymous = cells[cells["user"] < 0]
    unnamed = (anonymous["turns"] * anonymous["first"]).groupby(anonymous["text"]).sum()
    every = np.arange(int(text.max(initial=-1)) + 1)
    return (
        users.add(unnamed, fill_value=0).reindex(every, fill_value=0).to_numpy(np.int64),
        sessions.reindex(every, fill_value=0).to_numpy(np.int64),
    )


def _rows(
    request: np.ndarray,
    outcome: np.ndarray,
    score: np.ndarray,
    total: np.ndarray,
    failure: np.ndarray,
    chain: Chain,
    spoken: np.ndarray,
) -> pd.DataFrame:
    """`score`: share of turns that fail and end in the outcome; `total`: in any other."""
    rewrite = np.where(outcome >= 0, spoken[outcome], -1)
    well = np.where(rewrite >= 0, 1 - chain.failure[rewrite], 0.0)
    return pd.DataFrame(
        {
            "request": request,
            "outcome": outcome,
            "rewrite": rewrite,
            "failure": failure,
            "p_before": 1 - failure,
            # Those who gave up wanted what the others did.
            "p_after": failure * score / np.maximum(total, 1e-12) * well,
            "score": score,
            "total": total,
        }
    )


def _worth(rows: pd.DataFrame, margin: float) -> np.ndarray:
    good = (rows["rewrite"] >= 0) & rows["score_enough"] & (rows["failure"] > 0.5)
    good &= rows["p_after"] > rows["p_before"] + margin
    return good.to_numpy(copy=True)


def table_of(
    rows: pd.DataFrame, chain: Chain, users: Any, methods: tuple[str, str] = (CHAIN, PERSONAL)
) -> pa.Table:
    """Rows as a table `REWRITES`.

    rows: columns request, rewrite (numbers of requests), user (-1 on general rows), users,
        sessions, p_before, p_after, score. users: as in `Counts`. methods: of general rows, and of
        those of single users.
    """
    requests = chain.requests
    request = requests.take(pa.array(rows["request"].to_numpy(np.int64)))
    rewrite = requests.take(pa.array(rows["rewrite"].to_numpy(np.int64)))
    user = rows["user"].to_numpy(np.int64)
    own = user >= 0
    columns = {
        "request": request["text"],
        "rewrite": rewrite["text"],
        "user_id": users.take(pa.array(user, mask=~own)),
        "assistant": request["assistant"],
        "method": pa.array(np.where(own, methods[1], methods[0])),
        "request_state": request["interpretation"],
        "rewrite_state": rewrite["interpretation"],
        **{
            name: pa.array(rows[name].to_numpy()).cast(REWRITES.field(name).type)
            for name in ("users", "sessions", "p_before", "p_after", "score")
        },
    }
    return pa.table(columns).cast(REWRITES)
