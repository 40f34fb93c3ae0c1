"""What rewrites are worth on a store's own later sessions, judged without labels.

The first days are mined, the rest is replayed: a later turn was wrong where the label model of the
later sessions says that it failed, and its user wanted what the first of the retries that follow
got that went well. Where turns have gold, gold decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.counted import counted
from data.errors import UsageError
from data.schema.requests import frame_sql
from data.schema.tables import REWRITE_OUTCOMES
from data.store.rewrites import LIVE, RETIRED, rewrite_id
from features.arrow import pc, whole
from rewrites.baselines import next_successful, plain_chain
from rewrites.interpretations import Counts, counts, flag_equal
from rewrites.mining import REWRITES, Mined, Settings, from_counts
from rewrites.neighbours import Neighbours
from rewrites.rephrase.mined import from_rephrases
from rewrites.replay import (
    Said,
    Score,
    in_order,
    matching,
    outcome_of,
    parts,
    replay,
    rewritten,
)
from rewrites.self_aware import EXECUTED, HELD_BACK, RETIRE, Outcomes
from rewrites.self_aware import in_use as executable
from rewrites.success import Success, estimate

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Share of the days that is mined; the rest is replayed.
SHARE = 0.7
# The evaluation of a store, as JSON, among its settings.
SETTING = "rewrites_evaluation"
# Retries that are followed at most, for what a user wanted.
_MOST_RETRIES = 8

# Gold may leave the domain out.
_DOMAIN = "coalesce(t.gold.domain, t.nlu.hypotheses[1].domain)"
_GOLD = f"""
SELECT t.turn_id, l.failure_point <> 'correct' AS wrong,
    {frame_sql(_DOMAIN, "t.gold.intent", "t.gold.slots")} AS wanted
FROM turns t JOIN labelled l USING (turn_id)
WHERE l.failure_point IS NOT NULL AND t.gold.intent IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Methods replayed on later turns.

    Attributes
    ----------
    since, until: the days of the turns replayed. turns, wrong: how many, and how many were wrong.
    judged: how many of them have gold.
    methods: method → score. parts: part of the turns (seen, unseen, head, tail) → score of all
        methods combined.
    outcomes: table `REWRITE_OUTCOMES` of the mined rows.
    """

    since: date
    until: date
    turns: int
    wrong: int
    judged: int
    methods: dict[str, Score]
    parts: dict[str, Score]
    outcomes: pa.Table

    def record(self) -> dict[str, Any]:
        """The evaluation as JSON takes it, see `SETTING`."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "turns": self.turns,
            "wrong": self.wrong,
            "judged": self.judged,
            "rows": [row_of(name, score) for name, score in self.methods.items()],
            "parts": [row_of(name, score) for name, score in self.parts.items()],
        }


def row_of(name: str, score: Score) -> dict[str, Any]:
    """One row of the table of an evaluation."""
    return {
        "name": name,
        "triggers": score.triggers,
        "wins": score.wins,
        "losses": score.losses,
        "no_help": score.no_help,
        "precision": None if not score.triggers else score.precision,
        "mended": score.mended,
        "net": score.net,
        "low": score.low,
        "high": score.high,
        "false_triggers": score.false_triggers,
    }


def gold_of(snapshot: Snapshot) -> pd.DataFrame:
    """What annotators say of turns: index turn_id, columns wrong and wanted."""
    return snapshot.query(_GOLD).to_pandas().set_index("turn_id")


def judged(
    friction: pa.Table, counted: Counts, success: Success, gold: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The turns of a table with wrong (bool) and wanted (an interpretation, null if not known).

    `counted`, `success`: the label model of sessions, these among them. `gold`: `gold_of`.
    """
    turns = friction.select(
        ["turn_id", "session", "session_day", "assistant", "user_id", "text", "frame"]
    ).to_pandas()
    cell = counted.cell_of(friction)
    retried = np.where(cell >= 0, success.retried[cell], 0.0)
    wrong = np.where(cell >= 0, success.failed[cell], 0.0) > 0.5
    request = counted.cells["request"].to_numpy()[cell]
    states: list[Any] = counted.requests["interpretation"].to_pylist()
    # Where a turn went well, its user wanted what they got; else what the retry after it wants.
    understood = [states[i] for i in request]
    wanted = np.array(understood, object)
    wanted[wrong | (cell < 0)] = None
    session = turns["session"].to_numpy()
    again = (retried > 0.5) & wrong & np.append(session[1:] == session[:-1], False)
    for _ in range(_MOST_RETRIES):
        unknown = np.flatnonzero(again & pd.isna(wanted))
        wanted[unknown] = wanted[unknown + 1]
    turns["wrong"] = wrong
    turns["wanted"] = wanted
    if gold is not None and len(gold):
        said = gold.reindex(turns["turn_id"])
        has = said["wrong"].notna().to_numpy()
        failed = has & said["wrong"].eq(True).to_numpy()
        turns.loc[has, "wrong"] = failed[has]
        # What was right is what was understood, whatever the gold's spelling.
        turns.loc[has & ~failed, "wanted"] = np.array(understood, object)[has & ~failed]
        turns.loc[failed, "wanted"] = said["wanted"].to_numpy()[failed]
        turns["judged"] = has
    else:
        turns["judged"] = False
    return turns


def days_of(tables: Sequence[pa.Table]) -> list[date]:
    """The days on which the sessions of tables of `friction` begin, in order."""
    days = pa.chunked_array([whole(table["session_day"]) for table in tables], pa.date32())
    listed: list[Any] = days.unique().sort().to_pylist()
    return listed


def evaluate(
    tables: Sequence[pa.Table],
    gold: pd.DataFrame | None = None,
    *,
    settings: Settings | None = None,
    share: float = SHARE,
) -> Evaluation:
    """Mine the first `share` of the days of tables of `friction`, and replay the rest.

    Raises UsageError if there are fewer than two days, or none of them is left to replay.
    """
    days = days_of(tables)
    if len(days) < 2:
        raise UsageError(
            f"Rewrites are evaluated forward in time, and the sessions are of "
            f"{counted(len(days), 'day')}; ingest logs of at least two."
        )
    if not 0 < share < 1:
        raise UsageError(
            f"The share of the days to mine must be between 0 and 1; it was {share:g}."
        )
    last = days[max(1, min(int(len(days) * share), len(days) - 1)) - 1]
    earlier = [table.filter(_until(table, last)) for table in tables]
    later = [table.filter(_after(table, last)) for table in tables]
    before, after = counts(earlier), counts(later)
    model = estimate(before)
    mined = from_counts(before, settings, model)
    # Judged by the later sessions alone: what was mined from must not also say that it was right.
    success = estimate(after)
    turns = pd.concat([judged(table, after, success, gold) for table in later if table.num_rows])
    turns = turns.reset_index(drop=True)
    outcomes, heard = heard_in(before)
    everything = all_rows(mined, turns)
    methods = {
        "none": REWRITES.empty_table(),
        "next successful": next_successful(pa.concat_tables(earlier)),
        "plain chain": plain_chain(before),
        "rephrase": from_rephrases(earlier, before, model, mined),
        "chain": mined.rows.filter(mined.rows["user_id"].is_null()),
        "chain + personal": mined.rows,
        "chain + personal + new texts": everything,
    }
    rewrites = {name: rewritten(turns, rows) for name, rows in methods.items()}
    chosen = rewrites["chain + personal + new texts"]
    return Evaluation(
        since=last + timedelta(days=1),
        until=days[-1],
        turns=len(turns),
        wrong=int(turns["wrong"].sum()),
        judged=int(turns["judged"].sum()),
        methods={name: replay(turns, given, outcomes) for name, given in rewrites.items()},
        parts={
            name: replay(turns[mask], chosen[mask], outcomes)
            for name, mask in parts(turns, heard).items()
        },
        outcomes=by_rewrite(turns, rewrites["chain + personal"], outcomes, mined.rows),
    )


def all_rows(mined: Mined, turns: pd.DataFrame) -> pa.Table:
    """The mined rows, and those of `new_rows`."""
    return pa.concat_tables([mined.rows, new_rows(mined, turns)])


def new_rows(mined: Mined, turns: pd.DataFrame) -> pa.Table:
    """Rows of `rewrites.neighbours` for the texts of turns that were never heard before.

    turns: columns assistant, text and frame.
    """
    added = [REWRITES.empty_table()]
    for assistant, asked in turns.groupby("assistant", sort=True):
        neighbours = Neighbours.of(mined, str(assistant))
        if neighbours is not None:
            frames = [frame if isinstance(frame, str) else None for frame in asked["frame"]]
            added.append(neighbours.rewrites(asked["text"].tolist(), frames))
    return pa.concat_tables(added)


def heard_in(counted: Counts) -> tuple[dict[Said, str], dict[Said, int]]:
    """Per assistant and text: its commonest interpretation, and its turns."""
    requests = counted.requests.select(["assistant", "text", "interpretation"]).to_pandas()
    cells, said = counted.cells, ["assistant", "text"]
    requests["turns"] = np.bincount(cells["request"], cells["turns"], len(requests)).astype(int)
    first = requests.sort_values("turns", ascending=False, kind="stable").drop_duplicates(said)
    keys = list(zip(first["assistant"], first["text"], strict=True))
    turns = requests.groupby(said)["turns"].transform("sum")[first.index]
    times = dict(zip(keys, (int(number) for number in turns), strict=True))
    return dict(zip(keys, first["interpretation"], strict=True)), times


def by_rewrite(
    turns: pd.DataFrame, rewrites: pd.Series, outcomes: dict[Said, str], rows: pa.Table
) -> pa.Table:
    """Wins, losses and no helps of each rewrite and day (table `REWRITE_OUTCOMES`)."""
    given = turns.assign(rewrite=rewrites)[rewrites.notna()]
    if given.empty:
        return REWRITE_OUTCOMES.empty_table()
    table = in_order(rows)
    chosen = table.iloc[matching(given, table)]
    right = outcome_of(given, given["rewrite"], outcomes) == given["wanted"]
    found = pd.DataFrame(
        {
            "rewrite_id": [
                rewrite_id(assistant, request, rewrite, user if isinstance(user, str) else None)
                for assistant, request, rewrite, user in zip(
                    *(chosen[name] for name in ("assistant", "request", "rewrite", "user_id")),
                    strict=True,
                )
            ],
            "day": given["session_day"].to_numpy(),
            "turns": 1,
            "wins": (right & given["wrong"]).astype(int).to_numpy(),
            "losses": (~right & ~given["wrong"]).astype(int).to_numpy(),
            "no_help": (~right & given["wrong"]).astype(int).to_numpy(),
        }
    )
    summed = found.groupby(["rewrite_id", "day"], sort=True).sum().reset_index()
    return _outcomes(summed, "replay")


def _until(table: pa.Table, last: date) -> Any:
    return pc.less_equal(table["session_day"], pa.scalar(last, pa.date32()))


def _after(table: pa.Table, last: date) -> Any:
    return pc.greater(table["session_day"], pa.scalar(last, pa.date32()))


@dataclass(frozen=True, slots=True)
class InUse:
    """What became of the approved and live rewrites of a store.

    Attributes
    ----------
    rewrites: their rows. better: the probability that each is better than the request as it is.
    outcomes: table `REWRITE_OUTCOMES`, source "use". states: id → new state and its reason.
    """

    rewrites: pd.DataFrame
    better: np.ndarray
    outcomes: pa.Table
    states: dict[str, tuple[str, str]]


def in_use(
    tables: Sequence[pa.Table], counted: Counts, success: Success, rewrites: pd.DataFrame
) -> InUse:
    """Judge rewrites by the turns that were executed by them, and those that were not.

    tables: of `labels.feedback.sessions.friction`; counted, success: the label model of their
        sessions.
    rewrites: rows of the table `rewrites` that are approved or live.
    """
    found = [_used(table, counted, success, rewrites) for table in tables]
    turns = pd.concat(found)
    # Where some turns were held back to compare, only these are compared: others are of other days.
    compared = turns.loc[turns["held"], "number"].unique()
    turns = turns[turns["with"] | turns["held"] | ~turns["number"].isin(compared)]
    posterior = Outcomes.predicted(
        rewrites["p_before"].to_numpy(float), rewrites["p_after"].to_numpy(float)
    ).seen(
        turns["number"].to_numpy(np.int64),
        turns["with"].to_numpy(bool),
        turns["good"].to_numpy(float),
    )
    better = posterior.better()
    live = rewrites["state"].eq(LIVE).to_numpy()
    used = np.bincount(turns["number"][turns["with"]].to_numpy(np.int64), minlength=len(rewrites))
    states = {}
    for i, name in enumerate(rewrites["rewrite_id"]):
        if used[i] and better[i] < RETIRE:
            states[str(name)] = RETIRED, f"better with a probability of {better[i]:.2f} in use"
        elif used[i] and not live[i]:
            states[str(name)] = LIVE, "a logged turn was executed by it"
    return InUse(rewrites, better, _by_day(turns, rewrites), states)


def _used(
    table: pa.Table, counted: Counts, success: Success, rewrites: pd.DataFrame
) -> pd.DataFrame:
    """Turns whose request has a rewrite: its number, day, whether it executed them, success."""
    number = executable(table, rewrites)
    cell = counted.cell_of(table)
    turns = pd.DataFrame(
        {
            "number": number,
            "day": table["session_day"].to_pylist(),
            "with": flag_equal(table["rewritten"], EXECUTED),
            "held": flag_equal(table["rewritten"], HELD_BACK),
            "good": 1 - success.failed[cell],
        }
    )
    return turns[(number >= 0) & (cell >= 0)]


def _by_day(turns: pd.DataFrame, rewrites: pd.DataFrame) -> pa.Table:
    if turns.empty:
        return REWRITE_OUTCOMES.empty_table()
    turns = turns.assign(rewrite_id=rewrites["rewrite_id"].to_numpy()[turns["number"]], turns=1)
    for name, used in (("with", turns["with"]), ("without", ~turns["with"])):
        turns[f"turns_{name}"] = used.astype(int)
        turns[f"good_{name}"] = turns["good"].where(used, 0.0)
    sums = [field.name for field in REWRITE_OUTCOMES if field.name in turns and field.name != "day"]
    summed = turns.groupby(["rewrite_id", "day"], sort=True)[sums[1:]].sum().reset_index()
    return _outcomes(summed, "use")


def _outcomes(summed: pd.DataFrame, source: str) -> pa.Table:
    """Rows of `REWRITE_OUTCOMES`; what is not counted is 0."""
    counts_ = {name: summed[name].tolist() for name in summed.columns}
    counts_ |= {"source": [source] * len(summed)}
    arrays = [
        pa.array(counts_.get(field.name, [0] * len(summed)), field.type)
        for field in REWRITE_OUTCOMES
    ]
    return pa.Table.from_arrays(arrays, schema=REWRITE_OUTCOMES)
