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
# Nor does a device log more turns than a few in so short a time; it bounds the pairs to compare.
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

    Columns: turn_id, dialogue_id, digest, began (µs since 1970), known (whether home or user is),
    key (the group).
    """
    return f"""
    SELECT * EXCLUDE (keys), unnest(keys) AS key FROM (
        SELECT turn_id, dialogue_id, digest, epoch_us(started_at) AS began,
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
    WITH placed AS ({placed_sql(turns)}),
    -- Most turns have no other near them; the rest need not be counted.
    close AS (
        SELECT * FROM placed
        WINDOW k AS (PARTITION BY key ORDER BY began)
        QUALIFY began - lag(began) OVER k <= {near} OR lead(began) OVER k - began <= {near}
    ), counted AS (
        SELECT turn_id, known,
            count(*) OVER near AS turns, count(DISTINCT dialogue_id) OVER near AS dialogues,
            bit_xor(hash(turn_id, digest, key)) OVER near AS digest,
            count(*) OVER at_once AS turns_at_once,
            count(DISTINCT dialogue_id) OVER at_once AS dialogues_at_once,
            bit_xor(hash(turn_id, digest, key)) OVER at_once AS digest_at_once
        FROM close
        WINDOW near AS (PARTITION BY key ORDER BY began
                RANGE BETWEEN {near} PRECEDING AND {near} FOLLOWING),
            at_once AS (PARTITION BY key, began)
    ), busy AS (
        SELECT turn_id FROM placed WHERE NOT known
        QUALIFY count(DISTINCT dialogue_id) OVER (PARTITION BY key ORDER BY began
            RANGE BETWEEN {around} PRECEDING AND {around} FOLLOWING) > {MOST_DEVICES}
    ), judged AS (
        SELECT *,
            dialogues BETWEEN 2 AND {MOST_DEVICES} AND turns <= {MOST_TURNS}
                AND (known OR turn_id NOT IN (FROM busy)) AS is_near,
            dialogues_at_once BETWEEN 2 AND {MOST_DEVICES} AND turns_at_once <= {MOST_TURNS}
                AS is_at_once
        FROM counted
        WHERE dialogues > 1 AND (turns <= {MOST_TURNS}
            OR dialogues_at_once > 1 AND turns_at_once <= {MOST_TURNS})
    )
    SELECT turn_id,
        max(CASE WHEN is_near THEN {near} WHEN is_at_once THEN 0 END)::BIGINT AS capture_us,
        bit_xor(CASE WHEN is_near THEN digest WHEN is_at_once THEN digest_at_once ELSE 0 END)
            AS others_digest,
        bool_or(is_near OR is_at_once OR dialogues_at_once > 1) AS shared
    FROM judged GROUP BY turn_id
    """


def neighbours_sql(shared: str, turns: str) -> str:
    """Pairs of a turn of `shared` (turn_id, capture_us) and a turn of another dialogue, both in the
    relation `turns`, that begin at most `capture_us` µs apart.

    Columns: turn_id, dialogue_id, other, other_dialogue, apart (µs, at least 0), known (whether
    their home or user is).
    """
    # Times are compared within slots of a fixed length, so that this is a hash join.
    slot = microseconds(MOST_WITHIN_S)
    return f"""
    WITH placed AS MATERIALIZED ({placed_sql(turns)})
    SELECT DISTINCT a.turn_id, a.dialogue_id, b.turn_id AS other, b.dialogue_id AS other_dialogue,
        abs(a.began - b.began) AS apart, a.known
    FROM (
        SELECT p.*, s.capture_us, unnest([began // {slot} + i FOR i IN [-1, 0, 1]]) AS slot
        FROM placed p JOIN {shared} s USING (turn_id)
        WHERE s.capture_us IS NOT NULL
    ) a JOIN (
        SELECT *, began // {slot} AS slot FROM placed
    ) b ON a.key = b.key AND a.slot = b.slot AND a.dialogue_id <> b.dialogue_id
        AND abs(a.began - b.began) <= a.capture_us
    """
