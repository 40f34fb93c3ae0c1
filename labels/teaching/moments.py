"""Teachable moments: where a user would gain from teaching the assistant something.

A request that keeps failing with its user, an answer that they were not served, or the wish to
teach; not more often than a set rate, and not what they have taught already.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from data.errors import UsageError
from data.schema.requests import request_sql
from data.schema.trace import order_sql, schema
from data.store.misdated import DATED
from labels.teaching.phrases import LONGEST, cue, parse, phrase_key

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# So many failures of one request with one user within so many days.
TIMES, WITHIN_DAYS = 2, 14
# The days that must pass before a user is approached again.
EVERY_DAYS = 7.0
# A century.
_LONGEST_DAYS = 36_525
# From here on a turn counts as a failure, where the table `feedback` has a probability.
FAILING = 0.5

MOMENTS = schema(
    [
        ("turn_id", pa.string()),
        ("dialogue_id", pa.string()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("assistant", pa.string()),
        ("user_id", pa.string()),
        # "asked to learn", "said it was wrong", "keeps failing".
        ("why", pa.string()),
        ("request", pa.string()),
        # Failures of the request with this user so far, this one included.
        ("times", pa.int64()),
        # Whether the rate leaves room for it.
        ("due", pa.bool_()),
    ]
)

# Without feedback in the store, what the logs themselves say of the turn.
_FAILED = f"""
WITH judged AS (
    SELECT t.turn_id, t.dialogue_id, t.day, t.started_at AS "at", t.assistant, t.user_id,
        {request_sql("t.asr.hypotheses[1].text")} AS request,
        coalesce(t.feedback.explicit = 'no', false) AS said_no,
        coalesce(f.p_defect >= {FAILING}, f.defect, t.feedback.explicit = 'no',
            t.result.status <> 'ok' OR t.feedback.barge_in, false) AS failed
    FROM turns t LEFT JOIN feedback f ON f.turn_id = t.turn_id AND f.day = t.day
    WHERE coalesce(t.user_id, '') <> '' AND {DATED.replace("turn_id", "t.turn_id")}
), counted AS (
    SELECT *, count(*) OVER (PARTITION BY assistant, user_id, request ORDER BY "at"
        RANGE BETWEEN INTERVAL {WITHIN_DAYS} DAY PRECEDING AND CURRENT ROW) AS times
    FROM judged WHERE failed AND request <> ''
)
SELECT * FROM counted WHERE times >= {TIMES} OR said_no ORDER BY user_id, "at", turn_id
"""
# Texts with a word that templates of teaching have; what they teach is parsed afterwards.
_SAID = f"""
SELECT turn_id, dialogue_id, day, started_at AS "at", assistant, user_id, {request_sql()} AS request
FROM turns
WHERE coalesce(user_id, '') <> '' AND {DATED} AND len({request_sql()}) <= {LONGEST}
    AND regexp_matches({request_sql()}, $cue)
"""
# How the user said it right afterwards, where that serves the same goal and went well; else the
# words of a mined rewrite.
_WORDED = f"""
WITH due AS (
    SELECT turn_id, user_id, assistant, request, times FROM moments
    WHERE due AND why <> 'asked to learn'
), spoken AS (
    SELECT t.turn_id, lead({request_sql("t.asr.hypotheses[1].text")}) OVER later AS said,
        lead(coalesce(f.p_defect, 1.0)) OVER later AS p_defect,
        lead(g.goal_id) OVER later = g.goal_id AS same_goal
    FROM turns t LEFT JOIN feedback f ON f.turn_id = t.turn_id AND f.day = t.day
        LEFT JOIN generated_labels g ON g.turn_id = t.turn_id AND g.day = t.day
    WHERE t.dialogue_id IN (SELECT dialogue_id FROM moments)
    WINDOW later AS (PARTITION BY t.dialogue_id ORDER BY {order_sql("t")})
), meant AS (
    SELECT d.*, s.said AS meaning, 0 AS rank, s.p_defect AS doubt
    FROM due d JOIN spoken s USING (turn_id)
    WHERE s.same_goal AND s.p_defect < {1 - FAILING} AND s.said NOT IN (d.request, '')
    UNION ALL
    SELECT d.*, r.rewrite, 1 + (r.user_id IS NULL)::INT, 1 - r.score
    FROM due d JOIN rewrites r
        ON r.request = d.request AND r.assistant = coalesce(d.assistant, '')
        AND (r.user_id IS NULL OR r.user_id = d.user_id)
    WHERE r.state <> 'rejected'
)
SELECT user_id, assistant, request, meaning, times FROM meant
QUALIFY row_number() OVER (PARTITION BY user_id, assistant, request
    ORDER BY rank, doubt, meaning) = 1
ORDER BY times DESC, doubt, user_id, request
"""
_KNOWN = "SELECT user_id, name, expires_at FROM preferences WHERE kind = 'concept'"
_NEVER, _ALWAYS = (time.replace(tzinfo=UTC) for time in (datetime.min, datetime.max))


def moments(snapshot: Snapshot, *, every_days: float = EVERY_DAYS) -> pa.Table:
    """Teachable moments in the order of users and times; columns as in `MOMENTS`.

    `every_days`: a user is approached at most once in so many days; further moments are there, but
    not due. Who asks to teach is not kept waiting, and counts as approached. Failures come from the
    table `feedback`, or from the logs where it is empty. A request that the user has taught since
    is no moment any more, unless it failed again after that had expired.

    Raises UsageError for a rate that is negative or longer than a century.
    """
    if not 0 <= every_days <= _LONGEST_DAYS:
        raise UsageError(
            f"The days before a user is approached again must be 0 to {_LONGEST_DAYS}; "
            f"they were {every_days:g}."
        )
    failed = snapshot.query(_FAILED).to_pylist()
    said = snapshot.query(_SAID, {"cue": cue()})
    # Until when something is taught: of several devices, whichever holds the longest.
    known: dict[tuple[str, str], datetime] = {}
    for row in snapshot.query(_KNOWN).to_pylist():
        key = row["user_id"], phrase_key(row["name"])
        known[key] = max(known.get(key, _NEVER), row["expires_at"] or _ALWAYS)
    wishes = {text for text in set(said["request"].to_pylist()) if _teaches(str(text))}
    rows = [
        {**row, "why": "said it was wrong" if row["said_no"] else "keeps failing"}
        for row in failed
        if row["at"] >= known.get((row["user_id"], phrase_key(row["request"])), _NEVER)
    ]
    if wishes:
        rows += [
            {**row, "why": "asked to learn", "times": 0}
            for row in said.to_pylist()
            if row["request"] in wishes
        ]
    # A turn is one moment: the wish to teach goes first.
    rows.sort(key=lambda row: (row["user_id"], row["at"], row["turn_id"], row["why"]))
    rows = [row for before, row in zip([None, *rows], rows, strict=False)
            if before is None or before["turn_id"] != row["turn_id"]]  # fmt: skip
    last: dict[str, datetime] = {}
    for row in rows:
        before = last.get(row["user_id"])
        rested = before is None or row["at"] - before >= timedelta(days=every_days)
        row["due"] = rested or row["why"] == "asked to learn"
        if row["due"]:
            last[row["user_id"]] = row["at"]
    return pa.Table.from_pylist(
        [{name: row[name] for name in MOMENTS.names} for row in rows], schema=MOMENTS
    )


def worded(snapshot: Snapshot) -> pa.Table:
    """Due moments with words that worked, the most frequent first.

    Columns: user_id, assistant, request, meaning (what the user said next for the same goal, if
    that probably went well; else a mined rewrite, the user's own before a general one), times.
    """
    return snapshot.query(_WORDED, tables={"moments": moments(snapshot)})


def _teaches(text: str) -> bool:
    return parse(text).kind in ("concept", "preference", "phrase", "learn")
