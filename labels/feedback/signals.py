"""Signals of satisfaction and of defects, per turn: what users did next, and what they answered.

A signal fires, does not, or cannot be observed (null): a log without barge-ins is not one in which
nobody cut in. What follows a turn is what follows it in its conversation.

Implicit signals of this kind predict satisfaction about as well as annotators agree (Hassan et al.,
"Beyond DCG: user behavior as a predictor of a successful search", WSDM 2010; Kiseleva et al.,
"Understanding user satisfaction with intelligent assistants", CHIIR 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from data.schema.requests import SPEAKER, frame_sql, request_sql
from data.schema.trace import HOME_SQL, ORDER, order_sql
from data.store.misdated import DATED
from features import context_after, result
from features.arrow import pc
from features.matrix import open_frame
from features.multi_device import WITHIN_S, microseconds
from labels.feedback.asking import ASKED, MARGINAL, PROPENSITY
from labels.feedback.conversations import conversations
from labels.feedback.sessions import as_turns, batches

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# From here on the next request is taken for a rephrase.
ALIKE = 0.5
# Similarity of what is the same but for rounding.
SAME = 0.999
# Stars at most, and at least, of a bad and of a good rating.
LOW, HIGH = 2.0, 4.0
# A silence is long beyond so many times the user's median pause; fewer pauses say nothing.
SLOW, PAUSES = 4.0, 5
# Where so many dialogues end in it, a termination is no more than an end.
MARKED = 0.5
# Seconds in which another device of the home counts as taken instead.
SWITCH_S = 60.0

_SQL = {feature.name: feature.sql for feature in (*context_after.FEATURES, *result.FEATURES)}
Kind = Literal["explicit", "implicit", "assistant"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal.

    Attributes
    ----------
    name: column of the table of `signals`, and the value in `FEEDBACK`'s `signals`.
    kind: an answer to a question (``explicit``), behaviour (``implicit``), or something that the
        ``assistant`` itself showed.
    defect: whether it points to a defect; else to success.
    sentence: its name for people.
    sql: over the frame of `features.frame`; true, false, or null where it cannot be observed.
    decides: whether the waterfall rests on it. What a signal means that does not depends on the
        assistant, so only the label model weighs it.
    """

    name: str
    kind: Kind
    defect: bool
    sentence: str
    sql: str
    decides: bool = True


def _flag(name: str) -> str:
    return f"({_SQL[name]}) = 1"


# Similarity of the next request, 0 where the conversation ends; null where no words are logged.
_ALIKE = f"""CASE WHEN text IS NOT NULL THEN coalesce(greatest({_SQL["dialogue.sim_after"]},
    {_SQL["dialogue.words_after"]}, {_SQL["dialogue.nbest_after"]}), 0) END"""
# "No" to a question of the assistant's is an answer, and no correction of it.
_ANSWERED = "coalesce(contains(result.response, '?'), false) AND NOT regexp_matches(next_text,"
_ANSWERED += r" '\b(i said|i meant|not that|that''s not|that is not|wrong|never mind|go back)\b')"

# In the order of the waterfall: explicit ones first, then by how far each can be trusted, as
# measured on logs with ground truth (`labels.feedback.quality`, docs/labels.md).
SIGNALS = (
    Signal("answered_no", "explicit", True, "Said that the question was not answered",
           "feedback.explicit = 'no'"),
    Signal("answered_yes", "explicit", False, "Said that the question was answered",
           "feedback.explicit = 'yes'"),
    Signal("rated_low", "explicit", True, f"Rated with {LOW:g} stars or fewer",
           f"feedback.rating <= {LOW}"),
    Signal("rated_high", "explicit", False, f"Rated with {HIGH:g} stars or more",
           f"feedback.rating >= {HIGH}"),
    Signal("misheard", "implicit", True, "The next request is another hypothesis of this one",
           f"CASE WHEN text <> '' THEN coalesce(({_SQL['dialogue.nbest_after']}) >= {SAME}"
           " AND text <> next_text, false) END"),
    Signal("correction", "implicit", True, "The next request corrects or rejects",
           f"CASE WHEN text IS NOT NULL THEN coalesce({_flag('dialogue.rejected_after')}"
           f" AND NOT ({_ANSWERED}), false) END"),
    Signal("rephrase", "implicit", True, "The next request is similar",
           f"CASE WHEN text <> '' THEN coalesce({_ALIKE} >= {ALIKE} AND text <> next_text, false)"
           " END"),
    Signal("barge_in", "implicit", True, "The user cut the response short", "feedback.barge_in"),
    Signal("repeat", "implicit", True, "The next request is word for word the same",
           "CASE WHEN text <> '' THEN coalesce(text = next_text, false) END"),
    Signal("terminated", "implicit", True, "The user broke off",
           "CASE WHEN breaks_off THEN feedback.terminated END"),
    Signal("accepted", "implicit", False, "The next request agrees or thanks",
           f"CASE WHEN text IS NOT NULL THEN coalesce({_flag('dialogue.accepted_after')}, false)"
           " END"),
    Signal("switched", "implicit", True, "The user turned to a screen or an app",
           "switched", decides=False),
    Signal("silence", "implicit", True, "A silence long for this user",
           f"gap > {SLOW} * usual", decides=False),
    Signal("restated", "implicit", True, "The next request gives a slot another value",
           f"CASE WHEN slots IS NOT NULL THEN coalesce(({_SQL['dialogue.changed_slot_after']}) > 0,"
           " false) END", decides=False),
    Signal("asked_again", "assistant", True, "The assistant asked to say it again",
           _flag("result.asks_repeat")),
    Signal("stuck", "assistant", True, "The assistant said the same as before",
           f"coalesce({_SQL['result.same_as_prompt']} >= {SAME}, CASE WHEN response IS NOT NULL"
           " THEN false END)"),
    Signal("apology", "assistant", True, "The assistant apologised", _flag("result.apology")),
    Signal("failed", "assistant", True, "The action failed", _flag("result.failed")),
)  # fmt: skip
BY_NAME = {signal.name: signal for signal in SIGNALS}

# Times with whole seconds only are made up, or too coarse to tell a pause from another.
_PACE = f"""
WITH spoken AS (
    SELECT coalesce(assistant, '') AS assistant, {SPEAKER} AS speaker, started_at,
        epoch(lead(started_at) OVER (PARTITION BY dialogue_id ORDER BY {order_sql()})
            - started_at) AS gap
    FROM turns WHERE {DATED}
), real AS (
    SELECT assistant FROM spoken GROUP BY assistant
    HAVING avg((epoch_us(started_at) % 1000000 <> 0)::INT) >= 0.5
)
SELECT assistant, speaker, median(gap) AS usual FROM spoken SEMI JOIN real USING (assistant)
WHERE gap > 0 GROUP BY assistant, speaker HAVING count(*) >= {PAUSES}
"""

_BACKWARDS = ", ".join(f"{name} DESC" for name in ORDER)
# Assistants whose logs tell who broke off: some mark the end of every dialogue.
_BREAKS_OFF = f"""
SELECT coalesce(assistant, '') AS assistant,
    avg(coalesce(feedback.terminated, false)::INT) < {MARKED} AS breaks_off
FROM (FROM turns WHERE {DATED}
    QUALIFY row_number() OVER (PARTITION BY dialogue_id ORDER BY {_BACKWARDS}) = 1)
GROUP BY 1
"""

# A turn to a device with a screen, or to a phone, from one without: by the same home, or user.
# Nothing is known of turns whose device or speaker is not logged.
_SWITCHED = f"""
WITH placed AS (
    SELECT turn_id, started_at, coalesce(assistant, '') AS assistant,
        coalesce('h' || {HOME_SQL}, 'u' || nullif(user_id, '')) AS place,
        coalesce(nullif(device.id, ''), device.type) AS device,
        coalesce(device.has_screen, false) OR coalesce(device.type IN ('phone', 'app'), false)
            AS screen
    FROM turns WHERE {DATED}
), known AS (SELECT * FROM placed WHERE place IS NOT NULL AND device IS NOT NULL),
-- The next moment at which this home used a screen, looked up by time.
screens AS (
    SELECT place, assistant, started_at, device FROM known WHERE screen
)
SELECT k.turn_id, NOT k.screen AND coalesce(epoch_us(s.started_at) - epoch_us(k.started_at)
    <= {microseconds(SWITCH_S)} AND s.device <> k.device, false) AS switched
FROM known k ASOF LEFT JOIN screens s ON k.place = s.place AND k.assistant = s.assistant
    AND k.started_at + INTERVAL {microseconds(WITHIN_S)} MICROSECOND < s.started_at
"""

_READ = ("prompt", "asr", "nlu", "result", "feedback", "device")
_KEPT = ("turn_id", "started_at", "assistant", "user_id", "locale", *_READ)
_TURNS = f"""
SELECT {", ".join(f"t.{name}" for name in _KEPT)}, b.conversation AS dialogue_id,
    b.position::INT AS turn_index
FROM batch b JOIN turns t ON t.turn_id = b.turn_id AND t.day = b.day
WHERE t.day BETWEEN $low AND $high
"""
_BESIDE = """
SELECT b.turn_id, b.dialogue_id AS logged_in, b.day, b.assistant AS spoken_to, b.conversation,
    p.usual, s.switched, e.breaks_off
FROM batch b LEFT JOIN pace p ON p.assistant = b.assistant AND p.speaker = b.speaker
LEFT JOIN switches s ON s.turn_id = b.turn_id
LEFT JOIN ends e ON e.assistant = b.assistant
"""
_SIGNALS = f"""
WITH seen AS (
    SELECT *, {_SQL["dialogue.gap_after"]} AS gap FROM frame JOIN beside USING (turn_id)
)
SELECT turn_id, logged_in AS dialogue_id, day, spoken_to AS assistant, conversation,
    {request_sql("raw_text")} AS request,
    {frame_sql("domain", "intent", "[]")} AS intent,
    ({_ALIKE})::DOUBLE AS alike,
    ({_SQL["dialogue.same_intent_after"]}) = 1 AS same_intent,
    next_text IS NOT NULL AS followed,
    gap::DOUBLE AS gap,
    feedback.explicit AS explicit,
    feedback.rating::FLOAT AS rating,
    coalesce(result.signals['{ASKED}'] > 0,
        CASE WHEN feedback.explicit IS NOT NULL THEN true END) AS asked,
    (CASE WHEN result.signals['{PROPENSITY}'] <= 0 THEN 0
        ELSE coalesce(result.signals['{MARGINAL}'], result.signals['{PROPENSITY}']) END)::FLOAT
        AS propensity,
    {", ".join(f"({signal.sql})::BOOLEAN AS {signal.name}" for signal in SIGNALS)}
FROM seen ORDER BY row
"""


def signals(
    snapshot: Snapshot,
    *,
    since: date | None = None,
    until: date | None = None,
    turns: pa.Array[Any] | None = None,
) -> Iterator[pa.Table]:
    """The signals of each turn of the conversations that begin on some days, in tables of
    conversations, in order; with `turns`, ids, of the conversations that hold one of them.

    Columns: turn_id, dialogue_id, day, assistant ('' where none was logged), conversation, request
    (what was heard, lower case), intent (domain|intent, null where none was logged),
    alike (similarity of the next request, 0 to 1), same_intent, followed (whether something was
    said next), gap (s), explicit ("yes", "no", null), rating (stars), asked (null where not logged,
    and nothing was answered), propensity (of being asked about before it was known whether the user
    would be left alone; 0 where they were; null where not logged), and a boolean column for each of
    `SIGNALS`, null where it cannot be observed.
    """
    placed = conversations(snapshot, since=since, until=until)
    if turns is not None:
        holding = pc.unique(placed["conversation"].filter(pc.is_in(placed["turn_id"], turns)))
        placed = placed.filter(pc.is_in(placed["conversation"], holding))
    if not placed.num_rows:
        return
    around = {
        "pace": snapshot.query(_PACE),
        "switches": snapshot.query(_SWITCHED),
        "ends": snapshot.query(_BREAKS_OFF),
    }
    for batch in batches(placed):
        days: list[Any] = batch["day"].to_pylist()
        tables = {"batch": batch, **around}
        read = snapshot.query(_TURNS, {"low": min(days), "high": max(days)}, tables=tables)
        beside = snapshot.query(_BESIDE, tables=tables)
        with open_frame(as_turns(read), "hindsight") as con:
            con.register("beside", beside)
            yield con.sql(_SIGNALS).to_arrow_table()


def fired(table: pa.Table) -> pa.Array[Any]:
    """The names of the signals that fired on each turn, in the order of `SIGNALS`, list<string>."""
    names = [signal.name for signal in SIGNALS]
    columns = [table[name].to_pylist() for name in names]
    rows = zip(*columns, strict=True)
    return pa.array(
        [[name for name, value in zip(names, row, strict=True) if value] for row in rows],
        pa.list_(pa.string()),
    )
