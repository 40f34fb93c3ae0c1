"""Labels that a label model gave to turns: those of a turn and of a dialogue, how many are as sure
as a threshold asks, and where they differ from what people said.

Where generated labels stand beside verdicts of people, only verdicts count that everybody may see,
and no turn is shown that waits for a second opinion (`data.queries.visibility`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.annotations import settled_sql
from data.queries.filters import Filter
from data.queries.visibility import Reader
from data.schema.requests import HEARD
from data.schema.tables import EVEN
from data.schema.trace import order_sql
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# How sure a label is, by task: of a yes or no, the probability of the likelier one.
SURE: Mapping[str, str] = {
    "goal_start": "greatest(goal_start, 1 - goal_start)",
    "goal_reached": "greatest(goal_reached, 1 - goal_reached)",
    "turn_defect": "greatest(turn_defect, 1 - turn_defect)",
    "intent": "p_intent",
    "slots": "p_slots",
}
# Steps of a threshold from 0 to 1.
STEPS = 100

_MODEL = "SELECT model_id, count(*) AS n FROM generated_labels GROUP BY 1 ORDER BY 2 DESC, 1"
_ONE = "SELECT * FROM generated_labels WHERE {day} turn_id = $turn LIMIT 1"

_DIALOGUE = f"""
SELECT t.turn_id, t.day, t.started_at, t.turn_index, t.{HEARD} AS heard, t.prompt.text AS prompt,
  t.result.response AS response, g.* EXCLUDE (turn_id, dialogue_id, turn_index, day, digest),
  o.reached
FROM turns t LEFT JOIN generated_labels g ON g.turn_id = t.turn_id AND g.day = t.day
LEFT JOIN (FROM goals WHERE dialogue_id = $dialogue) o ON o.goal_id = g.goal_id
WHERE t.dialogue_id = $dialogue ORDER BY {order_sql("t")} LIMIT $most
"""

_COUNT = "SELECT count(*) AS n FROM generated_labels WHERE {within}"

_SURENESS = f"""
SELECT task, step, count(*)::BIGINT AS turns FROM (
  SELECT unnest([{", ".join(f"'{task}'" for task in SURE)}]) AS task,
    unnest([{", ".join(f"floor({sql} * {STEPS} + 1e-4)::INT" for sql in SURE.values())}]) AS step
  FROM generated_labels WHERE {{within}}
) WHERE step IS NOT NULL GROUP BY ALL ORDER BY ALL
"""

_SCORED = "turn_id IN (SELECT turn_id FROM predictions WHERE model_id = $model AND {clause})"

# What people say of turns, by kind: a row per turn with a verdict, as text.
_SETTLED = settled_sql("shown")
_TOLD: Mapping[str, str] = {
    "failure_point": f"""
SELECT turn_id, day, failure_point AS told, 'dashboard' AS source FROM ({_SETTLED})
WHERE failure_point IS NOT NULL
UNION ALL
SELECT turn_id, day, failure_point, 'logs' FROM labelled
WHERE failure_point IS NOT NULL
  AND turn_id NOT IN (SELECT turn_id FROM ({_SETTLED}) WHERE failure_point IS NOT NULL)
""",
    "turn_defect": f"""
SELECT turn_id, day, CASE WHEN defect THEN 'defect' ELSE 'correct' END AS told,
  'dashboard' AS source FROM ({_SETTLED}) WHERE defect IS NOT NULL
UNION ALL
SELECT turn_id, day, CASE WHEN defect THEN 'defect' ELSE 'correct' END, 'logs' FROM (
  SELECT t.turn_id, t.day, coalesce(t.gold.defect, l.failure_point <> 'correct') AS defect
  FROM turns t LEFT JOIN labelled l ON l.turn_id = t.turn_id
  WHERE t.gold IS NOT NULL AND t.turn_id NOT IN (SELECT turn_id FROM ({_SETTLED}))
) WHERE defect IS NOT NULL
""",
    "intent": f"""
SELECT turn_id, day, intent AS told, 'dashboard' AS source FROM ({_SETTLED})
WHERE intent IS NOT NULL
UNION ALL
SELECT turn_id, day, gold.intent, 'logs' FROM turns
WHERE gold.intent IS NOT NULL
  AND turn_id NOT IN (SELECT turn_id FROM ({_SETTLED}) WHERE intent IS NOT NULL)
""",
    "goal_reached": f"""
SELECT turn_id, day, CASE WHEN goal_reached THEN 'reached' ELSE 'not reached' END AS told,
  'dashboard' AS source FROM ({_SETTLED}) WHERE goal_reached IS NOT NULL
UNION ALL
SELECT turn_id, day, CASE WHEN gold.goal_reached THEN 'reached' ELSE 'not reached' END, 'logs'
FROM (
  -- A goal once: at its first turn.
  SELECT turn_id, day, gold FROM turns WHERE gold.goal_reached IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY dialogue_id, gold.goal_id ORDER BY {order_sql()}) = 1
) WHERE turn_id NOT IN (SELECT turn_id FROM ({_SETTLED}) WHERE goal_reached IS NOT NULL)
""",
}
KINDS = tuple(_TOLD)
# The generated label of each kind as text, and its probability.
_GENERATED: Mapping[str, tuple[str, str]] = {
    "failure_point": ("failure_point", "p_failure_point"),
    "turn_defect": (f"CASE WHEN turn_defect >= {EVEN} THEN 'defect' ELSE 'correct' END",
                    SURE["turn_defect"]),
    "intent": ("intent", "p_intent"),
    "goal_reached": (f"CASE WHEN goal_reached >= {EVEN} THEN 'reached' ELSE 'not reached' END",
                     SURE["goal_reached"]),
}  # fmt: skip
_COMPARED = """
SELECT g.turn_id, g.dialogue_id, g.day, {label} AS label, {sure} AS p, k.told, k.source
FROM (FROM generated_labels WHERE {within}) g
JOIN ({told}) k ON k.turn_id = g.turn_id AND k.day = g.day
WHERE {label} IS NOT NULL AND g.turn_id NOT IN (SELECT turn_id FROM waiting)
"""
_AGREEMENT = """
SELECT '{kind}' AS kind, count(*)::BIGINT AS turns, count(*) FILTER (label = told)::BIGINT AS same
FROM ({compared})
"""
# Texts are read only for the rows of the page.
_DIFFERENCES = f"""
WITH differing AS MATERIALIZED (
  SELECT *, count(*) OVER ()::BIGINT AS total FROM ({{compared}})
  WHERE label <> told ORDER BY p DESC, turn_id LIMIT $rows OFFSET $skip
)
SELECT d.*, t.{HEARD} AS heard, t.started_at FROM differing d
JOIN turns t ON t.turn_id = d.turn_id AND t.day = d.day
WHERE t.day IN (SELECT day FROM differing)
ORDER BY p DESC, d.turn_id
"""


def model_of(snapshot: Snapshot) -> str | None:
    """The label model that most of the labels are of; None without labels."""
    if not snapshot.counts()["generated_labels"]:
        return None
    return str(snapshot.query(_MODEL)["model_id"][0].as_py())


def of_turn(snapshot: Snapshot, turn: Mapping[str, Any]) -> dict[str, Any] | None:
    """The generated labels of a turn (`turn_id`, `day`): a row of the table, or None."""
    if not snapshot.counts()["generated_labels"]:
        return None
    params = {"turn": turn["turn_id"], "day": turn["day"]}
    rows = snapshot.query(_ONE.format(day="day = $day AND"), params).to_pylist()
    return dict(rows[0]) if rows else None


def dialogue(snapshot: Snapshot, dialogue_id: str, most: int = 600) -> list[dict[str, Any]]:
    """The first turns of a dialogue, at most `most`, each with its generated labels.

    Keys: turn_id, day, started_at, turn_index, heard, prompt, response, the columns of
    `generated_labels`, and `reached` of its goal; None where a turn has none.
    """
    params = {"dialogue": dialogue_id, "most": most}
    return list(snapshot.query(_DIALOGUE, params).to_pylist())


def labelled(snapshot: Snapshot, model: str | None, chosen: Filter) -> int:
    """How many turns of a filter have generated labels."""
    within, params = _within(model, chosen)
    return int(snapshot.query(_COUNT.format(within=within), params)["n"][0].as_py())


def sureness(snapshot: Snapshot, model: str | None, chosen: Filter) -> pa.Table:
    """How sure the labels of a filter's turns are.

    Columns: task (of `SURE`), step (the probability in hundredths, rounded down), turns.
    """
    within, params = _within(model, chosen)
    return snapshot.query(_SURENESS.format(within=within), params)


def agreement(snapshot: Snapshot, model: str | None, chosen: Filter) -> list[dict[str, Any]]:
    """Of each kind of label, how many turns of a filter people judged, and how many alike.

    Keys: kind (of `KINDS`), turns, same.
    """
    rows = []
    for kind in KINDS:
        sql, params, tables = _compared(snapshot, model, chosen, kind)
        sql = _AGREEMENT.format(kind=kind, compared=sql)
        rows += snapshot.query(sql, params, tables).to_pylist()
    return rows


def differences(
    snapshot: Snapshot,
    model: str | None,
    chosen: Filter,
    kind: str,
    rows: int = 20,
    skip: int = 0,
) -> pa.Table:
    """Turns whose generated label differs from what people said, the surest label first.

    Columns: turn_id, dialogue_id, day, label and its probability p, told, source ("logs" or
    "dashboard"), total (of all), heard, started_at.
    """
    sql, params, tables = _compared(snapshot, model, chosen, kind)
    sql = _DIFFERENCES.format(compared=sql)
    return snapshot.query(sql, {**params, "rows": rows, "skip": skip}, tables)


def _compared(
    snapshot: Snapshot, model: str | None, chosen: Filter, kind: str
) -> tuple[str, dict[str, Any], dict[str, pa.Table]]:
    reader = Reader.of(snapshot)
    every = snapshot.query("FROM annotations")
    waiting = sorted(reader.waiting(set(every["turn_id"].to_pylist())))
    tables = {
        "shown": reader.shown(every),
        "waiting": pa.table({"turn_id": pa.array(waiting, pa.string())}),
    }
    within, params = _within(model, chosen)
    label, sure = _GENERATED[kind]
    sql = _COMPARED.format(label=label, sure=sure, told=_TOLD[kind], within=within)
    return sql, params, tables


def _within(model: str | None, chosen: Filter) -> tuple[str, dict[str, Any]]:
    """A condition over `turn_id` and `day`, and its parameters."""
    if model is None:
        return DATED, {}
    clause, params = chosen.where()
    if set(chosen.query()) <= {"since", "until"}:
        # The labels have a day of their own.
        return clause, params
    return _SCORED.format(clause=clause), {"model": model, **params}
