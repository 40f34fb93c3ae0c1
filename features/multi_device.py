"""When turns of several dialogues are one request that several devices heard.

A home with several devices, and a recording with several microphones, log one request once per
device. Two turns of different dialogues are taken for one request if both are of the same home
(`home_id`), or else of the same user, with the same assistant; begin within a window (`WITHIN_S`);
come from two devices; and have equal or similar words, as two recognitions of one utterance differ
a little. Turns with neither home nor user are compared within an assistant and locale, where there
is so little traffic that few coincide by chance (`QUIET_S`).

At the very same instant less is asked of the words: a distant microphone may hear something quite
different, or nothing.

More than a few dialogues at once are independent traffic, as in logs with times in whole seconds
and no user, or with one account for everybody. Dialogues are counted, not their turns.
"""

from __future__ import annotations

from data.schema.trace import HOME_SQL

# Seconds between the beginnings of two captures of one request, at most: a device that wakes late
# is a second behind, and nobody says a request and repeats it in less.
WITHIN_S = 1.5
# The largest value of that setting.
MOST_WITHIN_S = 5.0
# More dialogues than this within the window are independent traffic.
MOST_DEVICES = 4
# Nor do a few devices log so many turns within the window, or half as many within `QUIET_S`; it
# bounds the pairs to compare.
MOST_TURNS = 32
# Turns without home and user are compared only where no more than `MOST_DEVICES` dialogues are
# active within this many seconds before and after: of their turns fewer than one in ten has another
# within the window by chance (3 dialogues in 120 s, times 3 s), before the words are looked at.
QUIET_S = 60
# Turns of devices that have no id are two devices' if nobody could have said the words twice.
ONE_MOUTH_S = 0.5
# Share of letters, or of words, that two recognitions of one utterance have in common at least.
ALIKE_LETTERS = 0.6
ALIKE_WORDS = 0.5
# The same at one instant, where a single common word suffices as well.
ALIKE_AT_ONCE = 0.35

# The columns of the trace that decide here.
PLACED = ("turn_id", "dialogue_id", "started_at", "assistant", "user_id", "locale", "extra",
          "digest")  # fmt: skip
# Whose requests can be the same: of one home, of one user, or, without both, of one locale.
_KEYS = """[k FOR k IN [
    CASE WHEN home IS NOT NULL THEN hash('home', assistant, home) END,
    CASE WHEN "user" IS NOT NULL THEN hash('user', assistant, "user") END,
    CASE WHEN home IS NULL AND "user" IS NULL THEN hash('locale', assistant, locale) END
] IF k IS NOT NULL]"""


def microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def placed_sql(turns: str) -> str:
    """A row per turn of the relation `turns` and group whose requests can be the same.

    Columns: turn_id, dialogue_id, digest, home, began (µs since 1970), known (whether home or user
    is), key (the group).
    """
    return f"""
    SELECT * EXCLUDE (keys), unnest(keys) AS key FROM (
        SELECT turn_id, dialogue_id, digest, home, epoch_us(started_at) AS began,
            home IS NOT NULL OR "user" IS NOT NULL AS known, {_KEYS} AS keys
        FROM (SELECT *, {HOME_SQL} AS home, nullif(user_id, '') AS "user" FROM {turns})
    )"""


def shared_sql(turns: str, within: float = WITHIN_S) -> str:
    """The turns that may be one request with turns of other dialogues, as far as times tell.

    `turns` is a relation with the columns of `data.schema.trace.TURNS`, of all turns of the time.

    Columns: turn_id; capture_us, how far from the turn, in µs, the other captures may begin (null
    if there are too many dialogues for one request); others_digest, the combined fingerprints of
    the turns as near as that, 0 for none; shared, whether others are so near that scoring reads
    them.
    """
    near, around = microseconds(within), microseconds(QUIET_S)
    return f"""
    WITH placed AS MATERIALIZED ({placed_sql(turns)}),
    -- Times before and after tell who has neighbours, and who too many: nothing is counted here.
    ordered AS (
        SELECT *, lag(began) OVER k AS previous, lead(began) OVER k AS next,
            lag(began, {MOST_TURNS}) OVER k AS long_before,
            lead(began, {MOST_TURNS}) OVER k AS long_after,
            lag(began, {MOST_TURNS // 2}) OVER k AS longer_before,
            lead(began, {MOST_TURNS // 2}) OVER k AS longer_after
        FROM placed WINDOW k AS (PARTITION BY key ORDER BY began)
    ), close AS MATERIALIZED (
        SELECT * EXCLUDE (previous, next, long_before, long_after, longer_before, longer_after),
            {_crowded(near)} AS crowded, {_crowded(around, "longer")} AS busy
        FROM ordered WHERE began - previous <= {near} OR next - began <= {near}
    ), pairs AS (
        SELECT a.turn_id, a.key, a.known, a.busy, a.began, a.dialogue_id,
            b.turn_id AS other, b.dialogue_id AS other_dialogue, b.digest, b.began = a.began AS now
        FROM ({_slots("close", near + 1)} WHERE NOT crowded) a
        JOIN (SELECT *, began // {near + 1} AS slot FROM close) b
            ON a.key = b.key AND a.slot = b.slot AND a.dialogue_id <> b.dialogue_id
            AND abs(a.began - b.began) <= {near} AND (a.home = b.home OR a.home IS NULL
                OR b.home IS NULL)
    ), counted AS (
        SELECT turn_id, key, known, busy, began, bool_and(now) AS only_now,
            1 + count(DISTINCT other_dialogue) AS dialogues,
            1 + count(DISTINCT CASE WHEN now THEN other_dialogue END) AS dialogues_now,
            bit_xor(hash(other, digest, key)) AS digest,
            bit_xor(CASE WHEN now THEN hash(other, digest, key) ELSE 0 END) AS digest_now
        FROM pairs GROUP BY turn_id, key, known, busy, began
    ), unknown AS (
        SELECT turn_id, key, began FROM counted
        WHERE NOT known AND NOT busy AND NOT only_now AND dialogues <= {MOST_DEVICES}
    ), quiet AS (
        SELECT a.turn_id FROM ({_slots("unknown", around)}) a
        JOIN (SELECT key, dialogue_id, began, began // {around} AS slot FROM placed) b
            ON a.key = b.key AND a.slot = b.slot AND abs(a.began - b.began) <= {around}
        GROUP BY a.turn_id HAVING count(DISTINCT b.dialogue_id) <= {MOST_DEVICES}
    ), judged AS (
        SELECT *, dialogues <= {MOST_DEVICES} AND NOT only_now
                AND (known OR turn_id IN (FROM quiet)) AS is_near,
            dialogues_now BETWEEN 2 AND {MOST_DEVICES} AS is_now
        FROM counted
    )
    SELECT turn_id, bool_or(is_near OR dialogues_now > 1) AS shared,
        max(CASE WHEN is_near THEN {near} WHEN is_now THEN 0 END)::BIGINT AS capture_us,
        bit_xor(CASE WHEN is_near THEN digest WHEN is_now THEN digest_now ELSE 0 END)
            AS others_digest
    FROM judged GROUP BY turn_id
    """


def _crowded(within: int, name: str = "long") -> str:
    """SQL that is true if far more turns are within so many µs than a few devices log."""
    return (
        f"coalesce(began - {name}_before <= {within}, false)"
        f" OR coalesce({name}_after - began <= {within}, false)"
    )


def _slots(relation: str, length: int) -> str:
    """SQL for the rows of a relation, once for the slot of time that they are in, of so many µs,
    and once for those next to it: what is within `length` is then found by a hash join."""
    slots = f"unnest([began // {length} + i FOR i IN [-1, 0, 1]]) AS slot"
    return f"SELECT *, {slots} FROM {relation}"


def neighbours_sql(shared: str, turns: str) -> str:
    """Pairs of a turn of `shared` (turn_id, capture_us) and a turn of another dialogue, both in the
    relation `turns`, that begin at most `capture_us` µs apart.

    Columns: turn_id, dialogue_id, other, other_dialogue, apart (µs, at least 0), known (whether
    their home or user is).
    """
    slot = microseconds(MOST_WITHIN_S) + 1
    return f"""
    WITH placed AS MATERIALIZED ({placed_sql(turns)}),
    asking AS MATERIALIZED (
        SELECT p.*, s.capture_us FROM placed p JOIN {shared} s USING (turn_id)
        WHERE s.capture_us IS NOT NULL
    )
    SELECT DISTINCT turn_id, dialogue_id, other, other_dialogue, apart, known FROM (
        SELECT a.*, b.turn_id AS other, b.dialogue_id AS other_dialogue, b.home AS other_home,
            abs(a.began - b.began) AS apart
        FROM ({_slots("asking", slot)} WHERE capture_us > 0) a
        JOIN (SELECT *, began // {slot} AS slot FROM placed) b
            ON a.key = b.key AND a.slot = b.slot AND abs(a.began - b.began) <= a.capture_us
        UNION ALL BY NAME
        SELECT a.*, b.turn_id AS other, b.dialogue_id AS other_dialogue, b.home AS other_home,
            0 AS apart
        FROM asking a JOIN placed b ON a.key = b.key AND a.began = b.began
        WHERE a.capture_us = 0
    ) WHERE dialogue_id <> other_dialogue
        AND (home = other_home OR home IS NULL OR other_home IS NULL)
    """
