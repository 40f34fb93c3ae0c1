"""The frame: one row per turn, with what the feature expressions refer to.

Columns of the trace are flattened and normalised once; neighbouring turns of the dialogue are
joined by window functions. Everything is DuckDB SQL over whole columns, except phonetic codes,
which are computed once per distinct text. `gold` is dropped before anything else is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import duckdb
import jellyfish
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

from data.schema.trace import ORDER
from features.arrow import Column, pc, whole
from features.bounds import meaningful
from features.multi_device import (
    ALIKE_AT_ONCE,
    ALIKE_LETTERS,
    ALIKE_WORDS,
    ONE_MOUTH_S,
    PLACED,
    WITHIN_S,
    microseconds,
    neighbours_sql,
    shared_sql,
)
from features.nbest import NBest
from features.similarity import letters_alike, words_alike

# Dropped before anything is read: annotations, and columns that are not signals.
_UNREAD = ("gold", "extra", "digest", "day", "capture_us")

MACROS = r"""
-- Marks that carry meaning as words: -5 is not 5, nor C# or C++ C.
CREATE TEMP MACRO signed(x) AS
    CASE WHEN regexp_matches(x, '[+#]|[-\x{2212}][0-9]') THEN replace(regexp_replace(regexp_replace(
        x, '(^|[^\p{L}\p{M}\p{N}])[-\x{2212}]([0-9])', '\1 minus \2', 'g'),
        '(\p{L})#', '\1 sharp ', 'g'), '+', ' plus ')
    ELSE x END;
-- Words of letters, marks (Indic vowels are marks) and digits, separated by single spaces.
-- Apostrophes stay inside a word ("don't") and are dropped at its edges, where they are quotes.
CREATE TEMP MACRO norm(x) AS
    trim(CASE WHEN contains(x, '''') THEN regexp_replace(lower(x), '^[^\p{L}\p{M}\p{N}]+'
        || '|''*[^\p{L}\p{M}\p{N}''][^\p{L}\p{M}\p{N}]*|''+$', ' ', 'g')
    ELSE regexp_replace(lower(x), '[^\p{L}\p{M}\p{N}]+', ' ', 'g') END);
-- Whether normalised `x` contains normalised `v` as whole words: "on" is not in "london".
CREATE TEMP MACRO holds(x, v) AS contains(' ' || x || ' ', ' ' || v || ' ');
-- Share of `vs` that `x` contains; null where `x` or `vs` is null, and where `vs` is empty.
CREATE TEMP MACRO share_held(x, vs) AS
    CASE WHEN x IS NOT NULL AND len(vs) > 0
    THEN len([v for v in vs if holds(x, v)]) / len(vs) END;
CREATE TEMP MACRO split_words(x) AS [w for w in string_split(x, ' ') if w <> ''];
CREATE TEMP MACRO len_words(x) AS len(split_words(x));
-- Shannon entropy of non-negative weights, normalised to sum to one.
CREATE TEMP MACRO entropy(ps) AS
    -list_sum([CASE WHEN p > 0 THEN p / list_sum(ps) * ln(p / list_sum(ps)) ELSE 0 END
               for p in ps]);
CREATE TEMP MACRO apologises(x) AS
    regexp_matches(x, '\b(sorry|apolog\w+|unfortunately|i can''t|cannot|i don''t|i didn''t'
    || '|couldn''t|not sure|no matching|there is no|try again)\b')::INT;
CREATE TEMP MACRO asks_repeat(x) AS
    regexp_matches(x, '\b(say it again|repeat|please say|say again|didn''t (get|catch|hear)'
    || '|what did you|pardon|rephrase|try again)\b')::INT;
-- The user rejects what the assistant just did.
CREATE TEMP MACRO rejects(x) AS
    regexp_matches(x, '^(no|nope|wrong|not|stop|cancel|incorrect)\b'
    || '|\b(go back|start over|i said|that''s not|that is not|never mind|wrong|previous)\b')::INT;
CREATE TEMP MACRO accepts(x) AS
    regexp_matches(x, '^(yes|yeah|yep|correct|right|ok|okay|sure|thank you|thanks)\b')::INT;
"""

# In steps, because DuckDB repeats the expression of an alias wherever the same SELECT uses it.
# Lists that are unpacked here are not passed on.
_OWN = """
WITH listed AS (
    SELECT
        turn_id, dialogue_id, started_at, assistant, user_id, locale,
        device, versions, wake, asr, tts, feedback, COLUMNS('^heard\\.(.*)$') AS '\\1',
        {'start_ms': nlu.start_ms, 'latency_ms': nlu.latency_ms, 'signals': nlu.signals} AS nlu,
        {'start_ms': er.start_ms, 'latency_ms': er.latency_ms, 'signals': er.signals} AS er,
        {'action': result.action, 'status': result.status, 'response': result.response,
         'items': len(result.items), 'start_ms': result.start_ms, 'latency_ms': result.latency_ms,
         'signals': result.signals} AS result,
        nlu.hypotheses AS nlu_hyps,
        er.mentions AS mentions,
        lower(result.response) AS response,
        [a.act for a in result.acts] AS response_acts,
        lower(prompt.text) AS prompt_text,
        [a.act for a in prompt.acts] AS prompt_acts
    FROM turns
), first AS (
    SELECT *,
        texts[1] AS text,
        len(texts) AS n_hyps,
        confs[1] AS conf,
        split_words(texts[1]) AS words,
        [h.confidence for h in nlu_hyps] AS nlu_confs,
        nlu_hyps[1].intent AS intent,
        nlu_hyps[1].domain AS domain,
        -- Without a hypothesis no slot is filled; what was not logged stays null.
        CASE WHEN len(nlu_hyps) = 0 THEN [] ELSE nlu_hyps[1].slots END AS slots
    FROM listed
)
SELECT *,
    [v for v in [norm(s.value) for s in slots] if v <> ''] AS slot_values,
    [norm(m.text) for m in mentions] AS mention_texts,
    rejects(text) AS rejecting,
    accepts(text) AS accepting
FROM first
"""

# Similarity is symmetric: that of the next request to this one is taken from the next turn.
_BEFORE = """
WITH spoken AS (
    SELECT row, dialogue, place, started_at, text, sound, conf, intent, slots, rejecting,
        accepting, len(words) AS n_words, prompt_text, prompt_said, prompt_acts,
        left(prompt_text, 160) AS opening
    FROM own
), lagged AS (
    SELECT *,
        lag(text) OVER turns AS prev_text,
        lag(sound) OVER turns AS prev_sound,
        lag(conf) OVER turns AS prev_conf,
        lag(intent) OVER turns AS prev_intent,
        lag(slots) OVER turns AS prev_slots,
        lag(opening) OVER turns AS prev_opening,
        lag(started_at) OVER turns AS prev_started,
        lag(place) OVER turns AS prev_place,
        avg(conf) OVER earlier AS mean_conf,
        row_number() OVER turns AS position,
        sum(rejecting) OVER earlier AS rejections,
        first_value(started_at) OVER turns AS opened_at
    FROM spoken
    WINDOW turns AS (PARTITION BY dialogue ORDER BY row),
        earlier AS (turns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT *,
    edit_sim(text, prev_text) AS sim_before,
    word_sim(text, prev_text) AS words_before,
    edit_sim(sound, prev_sound) AS sound_before,
    edit_sim(opening, prev_opening) AS opening_before,
FROM lagged
"""

_AFTER = """
SELECT *,
    lead(text) OVER turns AS next_text,
    lead(n_words) OVER turns AS next_words,
    lead(conf) OVER turns AS next_conf,
    lead(intent) OVER turns AS next_intent,
    lead(slots) OVER turns AS next_slots,
    lead(prompt_text) OVER turns AS next_prompt,
    lead(prompt_said) OVER turns AS next_prompt_said,
    lead(prompt_acts) OVER turns AS next_acts,
    lead(started_at) OVER turns AS next_started,
    lead(place) OVER turns AS next_place,
    lead(rejecting) OVER turns AS next_rejecting,
    lead(accepting) OVER turns AS next_accepting,
    lead(sim_before) OVER turns AS sim_after,
    lead(words_before) OVER turns AS words_after,
    lead(sound_before) OVER turns AS sound_after,
    lead(opening_before) OVER turns AS opening_after,
    lead(text, 2) OVER turns AS next2_text,
    lead(rejecting, 2) OVER turns AS next2_rejecting,
    lead(intent, 2) OVER turns AS next2_intent,
    lead(slots, 2) OVER turns AS next2_slots,
    lead(prompt_text, 2) OVER turns AS next2_prompt,
    lead(prompt_said, 2) OVER turns AS next2_prompt_said,
    lead(slots, 3) OVER turns AS next3_slots,
    lead(conf, 2) OVER turns AS next2_conf,
    count(*) OVER later AS remaining,
    sum(rejecting) OVER (turns ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING) AS next_rejections,
    avg(conf) OVER later AS mean_next_conf,
    avg(conf) OVER whole AS dialogue_conf
FROM ({before})
WINDOW turns AS (PARTITION BY dialogue ORDER BY row),
    later AS (turns ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING),
    whole AS (turns ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
"""

# Columns of `own` that only the window functions above need.
_WINDOW_ONLY = (
    "dialogue, place, started_at, text, sound, conf, intent, slots, rejecting, accepting,"
    " n_words, prompt_text, prompt_said, prompt_acts, opening"
)

# Prompts and requests that repeat any earlier ones of the dialogue.
_REPEATS = """
WITH prompts AS (
    SELECT row, CASE WHEN prompt_text IS NOT NULL THEN
        row_number() OVER (PARTITION BY dialogue, prompt_text ORDER BY row) END AS prompt_turn
    FROM own
), requests AS (
    SELECT row, row_number() OVER (PARTITION BY dialogue, text ORDER BY row) AS text_turn
    FROM own WHERE text <> ''
), heard AS (
    SELECT DISTINCT row, dialogue, conf, unnest(slot_values) AS value FROM own
), earlier AS (
    SELECT row, conf, max(conf) OVER (PARTITION BY dialogue, value ORDER BY row
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS best_before
    FROM heard
), surer AS (
    SELECT row, count(*) FILTER (best_before > conf) AS surer_before FROM earlier GROUP BY row
)
SELECT row, prompt_turn, text_turn, surer_before
FROM prompts LEFT JOIN requests USING (row) LEFT JOIN surer USING (row)
"""

# Similarity of the captures of one request by several devices: of each turn and of each other
# dialogue the capture next to it in time, if the two choose each other.
_CAPTURES = f"""
WITH heard AS (
    SELECT row, turn_id, dialogue, started_at, text, words, intent, slots, device,
        (result.status = 'ok', coalesce(result.response, '') <> '') AS answered
    FROM own SEMI JOIN (SELECT turn_id FROM near_pairs UNION ALL SELECT other FROM near_pairs)
        USING (turn_id)
), pairs AS (
    SELECT a.row, b.row AS other_row, a.dialogue, b.dialogue AS other_dialogue, n.apart, n.known,
        edit_sim(a.text, b.text) AS letters, word_sim(a.text, b.text) AS words
    FROM near_pairs n JOIN heard a USING (turn_id) JOIN heard b ON b.turn_id = n.other
    WHERE CASE
        WHEN a.device.id <> '' AND b.device.id <> '' THEN a.device.id <> b.device.id
        WHEN a.device.type <> b.device.type THEN true
        ELSE n.known AND n.apart <= {microseconds(ONE_MOUTH_S)} END
), alike AS (
    SELECT * FROM pairs
    WHERE letters >= {ALIKE_LETTERS} OR words >= {ALIKE_WORDS} OR (apart = 0 AND
        coalesce(letters >= {ALIKE_AT_ONCE} OR words > 0, true))
), captures_ AS (
    SELECT row, other_row FROM alike
    QUALIFY row_number() OVER (PARTITION BY row, other_dialogue ORDER BY apart, other_row) = 1
        AND row_number() OVER (PARTITION BY other_row, dialogue ORDER BY apart, row) = 1
)
SELECT a.row, 1 + count(*) AS n_captures,
    max(edit_sim(a.text, b.text)) AS capture_sim,
    avg(len(b.words) - len(a.words)) AS capture_words,
    avg(CASE WHEN coalesce(a.intent, b.intent) IS NOT NULL
        THEN (a.intent IS NOT DISTINCT FROM b.intent)::INT END) AS capture_intent,
    avg(CASE WHEN len(a.slots) + len(b.slots) = 0 THEN 1.0 ELSE
        len(list_intersect([s.name || '=' || coalesce(norm(s.value), '') for s in a.slots],
                           [s.name || '=' || coalesce(norm(s.value), '') for s in b.slots]))
        / len(list_distinct([s.name || '=' || coalesce(norm(s.value), '') for s in a.slots]
              || [s.name || '=' || coalesce(norm(s.value), '') for s in b.slots])) END)
        AS capture_slots,
    -- One of them answered: what worked, then what said something, then the first.
    bool_and((a.answered, -epoch_us(a.started_at), b.turn_id)
        > (b.answered, -epoch_us(b.started_at), a.turn_id))::INT AS capture_answered
FROM captures_ c JOIN heard a ON a.row = c.row JOIN heard b ON b.row = c.other_row
GROUP BY a.row
"""


@lru_cache(maxsize=200_000)
def _metaphone(word: str) -> str:
    # Metaphone handles Latin letters only: other words, and numbers, stand for themselves.
    code: str = jellyfish.metaphone(word)
    return code or word


def sound(text: str) -> str | None:
    """Metaphone code of each word of a normalised text, separated by spaces; None without words.

    Runs of digits are separate words, and words without a code stand for themselves.
    """
    words = re.findall(r"\d+|[^\d\s]+", text.replace("'", ""))
    return " ".join(_metaphone(word) for word in words) or None


def _sounds(nbest: NBest) -> Column:
    """`sound` of the first hypothesis of each turn, computed once per distinct text."""
    first = nbest.first()
    numbers, back = np.unique(first, return_inverse=True)
    distinct: Column = pa.array(numbers, mask=numbers < 0)
    texts = nbest.texts.take(distinct).to_pylist()
    sounds = [sound(text) if text is not None else None for text in texts]
    return pa.array(sounds, pa.string()).take(back)


def _first_texts(hypotheses: Column) -> Column:
    """The text of the first hypothesis of each list, as logged; null where there is none."""
    some = pc.greater(pc.fill_null(pc.list_value_length(hypotheses), 0), 0)
    first = pc.struct_field(pc.list_element(hypotheses.filter(some), 0), "text")
    rows = np.full(len(hypotheses), -1)
    rows[some.to_numpy(zero_copy_only=False)] = np.arange(len(first))
    return first.take(pa.array(rows, mask=rows < 0)).dictionary_encode()


def register(
    con: duckdb.DuckDBPyConnection,
    turns: pa.Table,
    *,
    hindsight: bool,
    within: float = WITHIN_S,
) -> None:
    """Create the temporary table `frame` in `con` from turns in the shape of
    `data.schema.trace.TURNS`.

    Every dialogue in `turns` must be complete; without `hindsight`, no column of the frame depends
    on a later turn. Captures by several devices begin at most `within` seconds apart; a column
    `capture_us` of `turns`, as `features.multi_device.shared_sql` gives it, says so per turn where
    `turns` is a part of the logs.
    """
    con.execute(MACROS)
    for name, measure in (("edit_sim", letters_alike), ("word_sim", words_alike)):
        con.create_function(
            name, _on_columns(measure), ["VARCHAR", "VARCHAR"], "DOUBLE", type=PythonUDFType.ARROW
        )
    _pair(con, turns, within)
    turns = turns.drop_columns([c for c in _UNREAD if c in turns.column_names]).combine_chunks()
    turns = meaningful(turns)
    columns = _heard(con, turns, hindsight)
    asr = whole(turns["asr"])
    fields = ["audio_ms", "endpoint", "start_ms", "latency_ms", "signals"]
    slim = pa.StructArray.from_arrays([pc.struct_field(asr, name) for name in fields], fields)
    turns = turns.set_column(turns.schema.get_field_index("asr"), "asr", slim)
    for part, field in (("prompt", "text"), ("result", "response")):
        texts = pc.struct_field(whole(turns[part]), field).dictionary_encode()
        columns[f"{part}_said"] = _normalise(con, texts.dictionary).take(texts.indices)
    for name, values in columns.items():
        turns = turns.append_column(f"heard.{name}", values)
    con.register("turns", turns)
    con.execute(f"CREATE TEMP TABLE own AS {_OWN}")
    con.unregister("turns")
    near = _AFTER.format(before=_BEFORE) if hindsight else _BEFORE
    con.execute(f"CREATE TEMP TABLE near AS SELECT * EXCLUDE ({_WINDOW_ONLY}) FROM ({near})")
    con.execute(f"CREATE TEMP TABLE repeats AS {_REPEATS}")
    con.execute(f"CREATE TEMP TABLE captures AS {_CAPTURES}")
    # A view: the lists of a turn are not copied, and each query joins only what it needs.
    con.execute(
        "CREATE TEMP VIEW frame AS SELECT * FROM own JOIN near USING (row)"
        " JOIN repeats USING (row) LEFT JOIN captures USING (row)"
    )


def _pair(con: duckdb.DuckDBPyConnection, turns: pa.Table, within: float) -> None:
    """Create the temporary table `near_pairs`: turns of different dialogues that may be captures
    of one request, as far as times, home and user tell.

    Columns: turn_id, other (its id), apart (µs), known (whether home or user are).
    """
    con.register("places", turns.select(PLACED))
    shared = f"({shared_sql('places', within)})"
    if "capture_us" in turns.column_names:
        con.register("given", turns.select(["turn_id", "capture_us"]))
        shared = "given"
    con.execute(
        f"CREATE TEMP TABLE near_pairs AS SELECT turn_id, other, apart, known"
        f" FROM ({neighbours_sql(shared, 'places')})"
    )
    con.unregister("places")
    con.unregister("given")


def _heard(con: duckdb.DuckDBPyConnection, turns: pa.Table, hindsight: bool) -> dict[str, Column]:
    """Columns on the order of the turns and on ASR hypotheses, by name.

    `row` is the position of a turn in the order of the dialogues, `dialogue` the number of its
    dialogue, `place` its index there; then `raw_text`, `confs`, `texts`, `sound` and the measures
    of `NBest`.
    """
    row, dialogue, place, before, after = _places(turns)
    asr = whole(turns["asr"])
    hypotheses = pc.struct_field(asr, "hypotheses")
    nbest = NBest.read(hypotheses, lambda texts: _normalise(con, texts))
    columns = nbest.measures()
    similarity = nbest.similarity_to(np.append(nbest.first(), -1)[after])
    columns["nbest_before"] = np.append(similarity, np.nan)[before]
    if hindsight:
        columns["nbest_after"] = similarity
    raw = _first_texts(hypotheses)
    return {
        "row": pa.array(row),
        "dialogue": pa.array(dialogue),
        "place": pa.array(place),
        "raw_text": raw.cast(pa.string()),
        "texts": nbest.lists(),
        "confs": nbest.confidences(),
        "sound": _sounds(nbest),
        **{name: pa.array(values, from_pandas=True) for name, values in columns.items()},
    }


def _places(
    turns: pa.Table,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each turn: its position in the order of the dialogues, the number of its dialogue, its
    index in the dialogue, and the indices in `turns` of the turns before and after it (-1 where
    there is none).

    The index is the logged one, at least one more than that of the turn before: where several turns
    have the same, they are counted on. It depends on no later turn.
    """
    keys = ["dialogue_id", *ORDER]
    order = pc.sort_indices(turns.select(keys), [(key, "ascending") for key in keys]).to_numpy()
    dialogue = whole(turns["dialogue_id"]).dictionary_encode().indices.to_numpy()
    sorted_ = dialogue[order]
    same = sorted_[1:] == sorted_[:-1]
    n = len(order)
    row, before, after = np.empty(n, np.int64), *np.full((2, n), -1)
    row[order] = np.arange(n)
    before[order[1:][same]] = order[:-1][same]
    after[order[:-1][same]] = order[1:][same]
    # Index minus rank, as a running maximum within each dialogue: dialogues are set apart by more
    # than an index can be (2^31), so that one running maximum serves them all.
    apart = np.cumsum(np.append(False, ~same)[:n]).astype(np.int64) << 32
    logged = turns["turn_index"].to_numpy()[order].astype(np.int64)
    place = np.empty(n, np.int64)
    place[order] = np.maximum.accumulate(logged - np.arange(n) + apart) + np.arange(n) - apart
    return row, dialogue, place, before, after


def _normalise(con: duckdb.DuckDBPyConnection, texts: Column) -> Column:
    """The macro `norm` applied to a column of texts with their signs, in the same order."""
    con.register("spoken", pa.table({"text": texts}))
    try:
        return whole(
            con.sql(
                "SELECT norm(text) AS text FROM (SELECT signed(text) AS text FROM spoken)"
            ).to_arrow_table()["text"]
        )
    finally:
        con.unregister("spoken")


def _on_columns(
    measure: Callable[[Column, Column], np.ndarray],
) -> Callable[[Column, Column], Column]:
    """`measure` as a DuckDB function of Arrow columns; NaN becomes null."""
    return lambda a, b: pa.array(measure(whole(a), whole(b)), from_pandas=True)
