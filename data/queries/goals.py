"""Goals that a label model found: how many are reached, those of a dialogue, a list of dialogues.

A goal is within a filter if its first turn is. Goals that annotators marked in the logs
(`gold.goal_id`, `gold.goal_reached`) are read apart, by `annotated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.filters import NOT, Filter
from data.schema.requests import HEARD
from data.schema.tables import EVEN
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# What a list of dialogues can be limited to.
ANY, MISSED, UNSURE = "any", "missed", "unsure"
# How far from even a probability is that says little.
_UNSURE = 0.15
# Keys of a filter that the table of goals answers by itself; for others, first turns are looked up.
_OWN = frozenset(("since", "until", "assistant", NOT + "assistant"))

_DAILY = """
SELECT day, count(*)::BIGINT AS goals, count(p_reached)::BIGINT AS judged,
  coalesce(sum(p_reached), 0)::DOUBLE AS total,
  coalesce(sum(p_reached::DOUBLE * p_reached), 0)::DOUBLE AS squares
FROM goals WHERE {within} {apart} GROUP BY day ORDER BY day
"""
_APART = "AND dialogue_id NOT IN (SELECT dialogue_id FROM annotated)"

# The model's probability for a goal of the annotators is the mean over the goal's turns.
_ANNOTATED = """
SELECT t.dialogue_id, t.goal_id,
  arg_min(t.turn_id, {'index': t.turn_index, 'at': t.started_at, 'id': t.turn_id}) AS first_turn,
  min(t.day) AS day, any_value(t.assistant) AS assistant, bool_and(t.reached) AS reached,
  avg(g.goal_reached)::DOUBLE AS p_reached
FROM (
  SELECT dialogue_id, turn_id, day, turn_index, started_at, assistant, gold.goal_id AS goal_id,
    gold.goal_reached AS reached
  FROM turns WHERE gold.goal_id IS NOT NULL AND gold.goal_reached IS NOT NULL
) t LEFT JOIN generated_labels g ON g.turn_id = t.turn_id AND g.day = t.day
GROUP BY t.dialogue_id, t.goal_id ORDER BY t.dialogue_id, t.goal_id
"""
_OF_ANNOTATED = """
SELECT dialogue_id, goal_id, day, reached, p_reached FROM annotated WHERE {within}
ORDER BY dialogue_id, goal_id
"""

_FOUND = """
SELECT dialogue_id, max(day) AS day, count(*)::INT AS goals,
  count(*) FILTER (reached)::INT AS reached, count(*) FILTER (NOT reached)::INT AS missed,
  sum(turns)::INT AS turns, arg_min(first_turn, (day, goal_id)) AS first_turn,
  min(day) AS first_day
FROM goals WHERE {within} {named} GROUP BY dialogue_id HAVING {kind}
"""
# Texts are read only for the rows of the page.
_LISTED = f"""
WITH listed AS MATERIALIZED (
  SELECT *, count(*) OVER ()::BIGINT AS total FROM ({_FOUND})
  ORDER BY day DESC, dialogue_id LIMIT $rows OFFSET $skip
)
SELECT l.*, t.{HEARD} AS heard FROM listed l
JOIN turns t ON t.turn_id = l.first_turn AND t.day = l.first_day
WHERE t.day IN (SELECT first_day FROM listed)
ORDER BY l.day DESC, l.dialogue_id
"""
# The dialogues before and after one in the same order, and its place.
_AROUND = f"""
WITH found AS MATERIALIZED (SELECT day, dialogue_id FROM ({_FOUND})),
here AS (FROM found WHERE dialogue_id = $dialogue)
SELECT (SELECT count(*) FROM found) AS total,
  (SELECT count(*) + 1 FROM found f, here h WHERE {{{{earlier}}}}) AS place,
  (SELECT f.dialogue_id FROM found f, here h WHERE {{{{earlier}}}}
    ORDER BY f.day, f.dialogue_id DESC LIMIT 1) AS before,
  (SELECT f.dialogue_id FROM found f, here h WHERE {{{{later}}}}
    ORDER BY f.day DESC, f.dialogue_id LIMIT 1) AS after
FROM here
""".replace(
    "{{earlier}}", "f.day > h.day OR f.day = h.day AND f.dialogue_id < h.dialogue_id"
).replace("{{later}}", "f.day < h.day OR f.day = h.day AND f.dialogue_id > h.dialogue_id")
_KINDS = {
    ANY: "true",
    MISSED: "count(*) FILTER (NOT reached) > 0",
    UNSURE: f"min(abs(p_reached - {EVEN})) <= {_UNSURE}",
}
_NAMED = """AND dialogue_id IN (SELECT dialogue_id FROM turns WHERE dialogue_id = $find
  OR turn_id = $find OR contains(lower(asr.hypotheses[1].text), lower($find)))"""
_OF_DIALOGUE = """
SELECT * FROM goals WHERE dialogue_id = $dialogue ORDER BY length(goal_id), goal_id
"""


def _within(chosen: Filter, model: str | None) -> tuple[str, dict[str, Any]]:
    """A condition over `first_turn`, `day` and `assistant`, and its parameters."""
    if model is None:
        return DATED.replace("turn_id", "first_turn"), {}
    if set(chosen.query()) <= _OWN:
        clause, params = chosen.sql()
        return f"({clause}) AND {DATED.replace('turn_id', 'first_turn')}", params
    clause, params = chosen.where()
    scored = f"SELECT turn_id FROM predictions WHERE model_id = $model AND {clause}"
    return f"first_turn IN ({scored})", {"model": model, **params}


def daily(
    snapshot: Snapshot, model: str | None, chosen: Filter, annotated: pa.Table | None = None
) -> pa.Table:
    """Goals of a filter by the day of their first turn.

    Without a scoring `model`, all goals. With `annotated` (see the function of this name) those of
    its dialogues are left out.

    Columns: day, goals, judged (goals with a probability), total and squares (sums of the
    probability that a goal was reached, and of its square).
    """
    within, params = _within(chosen, model)
    tables = {} if annotated is None else {"annotated": annotated}
    sql = _DAILY.format(within=within, apart="" if annotated is None else _APART)
    return snapshot.query(sql, params, tables)


def annotated(snapshot: Snapshot) -> pa.Table:
    """Goals that annotators marked in the logs, with a verdict; one row each.

    Columns: dialogue_id, goal_id (the annotators'), first_turn, day, assistant, reached, p_reached
    (the label model's; null where it has not labelled these turns).
    """
    return snapshot.query(_ANNOTATED)


def annotated_within(
    snapshot: Snapshot, model: str | None, chosen: Filter, annotated: pa.Table
) -> pa.Table:
    """The rows of `annotated` whose goals are within a filter.

    Columns: dialogue_id, goal_id, day, reached, p_reached.
    """
    within, params = _within(chosen, model)
    return snapshot.query(_OF_ANNOTATED.format(within=within), params, {"annotated": annotated})


def dialogues(
    snapshot: Snapshot,
    model: str | None,
    chosen: Filter,
    kind: str = ANY,
    find: str = "",
    rows: int = 12,
    skip: int = 0,
) -> pa.Table:
    """Dialogues with a goal within a filter, the newest first.

    `kind`: `ANY`, `MISSED` (with a goal that was not reached) or `UNSURE` (with one of which the
    model cannot say); `find`: a dialogue id, a turn id, or words that were heard.

    Columns: dialogue_id, day (of its last goal), goals, reached, missed, turns, first_turn,
    first_day, total (dialogues in all), heard (in its first turn here).
    """
    sql, params = _of_list(_LISTED, model, chosen, kind, find)
    return snapshot.query(sql, {**params, "rows": rows, "skip": skip})


def around(
    snapshot: Snapshot,
    model: str | None,
    chosen: Filter,
    dialogue_id: str,
    kind: str = ANY,
    find: str = "",
) -> dict[str, Any] | None:
    """Where a dialogue stands in the list of `dialogues`; None if it is not in it.

    Keys: place (from 1), total, before and after (ids of its neighbours, or None).
    """
    sql, params = _of_list(_AROUND, model, chosen, kind, find)
    rows = snapshot.query(sql, {**params, "dialogue": dialogue_id}).to_pylist()
    return dict(rows[0]) if rows else None


def _of_list(
    sql: str, model: str | None, chosen: Filter, kind: str, find: str
) -> tuple[str, dict[str, Any]]:
    within, params = _within(chosen, model)
    named = _NAMED if find else ""
    if find:
        params["find"] = find
    return sql.format(within=within, named=named, kind=_KINDS[kind]), params


def of_dialogue(snapshot: Snapshot, dialogue_id: str) -> list[dict[str, Any]]:
    """The goals of a dialogue in its order: rows of the table `goals`."""
    return list(snapshot.query(_OF_DIALOGUE, {"dialogue": dialogue_id}).to_pylist())
