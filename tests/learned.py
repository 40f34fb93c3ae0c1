"""Stores with labels made up from their predictions, goals, feedback, and what users taught."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.ingest.ingest import ingest
from data.schema.layout import TABLES
from data.schema.tables import PREFERENCES
from data.schema.trace import FAILURE_POINTS
from data.store.learned import replace_learned
from data.store.parquet import fitted
from data.store.store import Store
from labels.rules.derived import refresh
from tests import scored
from tests.logs import write_lines

LABEL_MODEL = "labels-0001"
TASKS = ("goal_start", "goal_reached", "turn_defect", "intent", "slots")

# A goal begins where a dialogue does, or where another domain is asked for.
_LABELS = f"""
WITH scored AS (
  SELECT t.turn_id, t.dialogue_id, t.turn_index, t.day, t.user_id, t.assistant, t.digest,
    t.asr.hypotheses[1].text AS heard, t.nlu.hypotheses[1] AS nlu, p.p_defect, p.failure_point,
    p.p_correct, p.domain, p.intent,
    greatest({", ".join(f"p.p_{n}" for n in FAILURE_POINTS)})
      AS p_point,
    coalesce(p.domain IS DISTINCT FROM lag(p.domain) OVER dialogue
      OR t.turn_index % $every = 0 OR row_number() OVER dialogue = 1, true) AS starts
  FROM turns t JOIN predictions p ON p.turn_id = t.turn_id AND p.day = t.day
  WINDOW dialogue AS (PARTITION BY t.dialogue_id ORDER BY t.turn_index, t.started_at, t.turn_id)
), numbered AS (
  SELECT *, sum(starts::INT) OVER (PARTITION BY dialogue_id
    ORDER BY turn_index, turn_id ROWS UNBOUNDED PRECEDING) - 1 AS goal FROM scored
), judged AS (
  SELECT *, arg_max(1 - p_defect, (turn_index, turn_id))
    OVER (PARTITION BY dialogue_id, goal)::FLOAT AS reached FROM numbered
)
SELECT turn_id, dialogue_id, turn_index, day, '{LABEL_MODEL}' AS model_id, user_id, assistant,
  'g' || goal AS goal_id, CASE WHEN starts THEN 0.93 ELSE 0.06 END AS goal_start,
  reached AS goal_reached, p_defect AS turn_defect, heard AS transcript, 0.9 AS p_transcript,
  intent, CASE WHEN intent IS NOT NULL THEN p_correct END AS p_intent,
  nlu.slots AS slots, NULL::STRUCT("start" INT, "end" INT)[] AS spans,
  CASE WHEN nlu IS NOT NULL THEN 0.5 + 0.5 * p_correct END AS p_slots,
  failure_point, p_point AS p_failure_point, least(p_point, 0.9) AS confidence,
  CASE WHEN p_defect > 0.5 THEN ['next request', 'feedback'] ELSE ['next request'] END AS signals,
  digest
FROM judged
"""
_GOALS = """
SELECT dialogue_id, goal_id, arg_min(day, turn_index) AS day, any_value(assistant) AS assistant,
  any_value(user_id) AS user_id, arg_min(turn_id, turn_index) AS first_turn,
  arg_max(turn_id, turn_index) AS last_turn, count(*)::INT AS turns,
  any_value(goal_reached) AS p_reached, any_value(goal_reached) >= 0.5 AS reached, model_id
FROM labels GROUP BY dialogue_id, goal_id, model_id
"""


def label(store: Store, every: int = 1_000_000) -> None:
    """Fill `generated_labels` and `goals` from the store's predictions, and write a label model.

    A goal begins at every so many turns, too.
    """
    with store.snapshot() as snapshot:
        labels = snapshot.query(_LABELS, {"every": every})
        goals = snapshot.query(_GOALS, tables={"labels": labels})
    replace_learned(
        store,
        {
            "generated_labels": fitted(
                labels.select(TABLES["generated_labels"].schema.names),
                TABLES["generated_labels"].schema,
            ),
            "goals": fitted(goals, TABLES["goals"].schema),
        },
    )
    folder = store.path / "label_models" / LABEL_MODEL
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics()), encoding="utf-8")


def set_labels(store: Store, **values: float) -> None:
    """Give all generated labels of a store these values."""
    schema = TABLES["generated_labels"].schema
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM generated_labels").to_pylist()
        goals = snapshot.query("FROM goals")
    labels = pa.Table.from_pylist([{**row, **values} for row in rows], schema)
    replace_learned(
        store,
        {
            "generated_labels": fitted(labels, schema),
            "goals": fitted(goals, TABLES["goals"].schema),
        },
    )


def metrics() -> dict[str, Any]:
    """Figures of a label model, as training leaves them: the baseline wins one task."""

    def figures(f1: float) -> dict[str, float]:
        return {"f1": f1, "average_precision": f1 + 0.01, "auc": 0.9, "calibration_error": 0.02}

    def task(number: int, name: str) -> dict[str, Any]:
        baseline = {"words alone": figures(0.61), "words": figures(0.72 + 0.01 * number)}
        others = {"network": figures(0.70), "stack": figures(0.78)}
        wins = name == "slots"
        if wins:
            baseline["words alone"] = figures(0.81)
        human = {"human": 0.709, "model": 0.78, "difference": 0.071, "low": 0.02, "high": 0.12}
        return {
            "measure": "F1",
            "default": "words alone" if wins else "stack",
            "candidates": {**baseline, **others},
            "human": human | {"things": 60} if name == "goal_start" else None,
            "n": 1200 + number,
            "threshold": 0.8,
            "stated_precision": 0.9,
            "curve": [
                {
                    "threshold": step / 20,
                    "precision": 0.70 + 0.29 * (step / 20) ** 2,
                    "recall": 1 - 0.6 * (step / 20) ** 2,
                    "labelled": 1 - 0.7 * ((step - 10) / 10) ** 2,
                }
                for step in range(10, 21)
            ],
        }

    tasks = {name: task(number, name) for number, name in enumerate(TASKS)}
    return {"model_id": LABEL_MODEL, "created_at": "2024-04-02T08:00:00+00:00", "tasks": tasks}


def records() -> list[dict[str, Any]]:
    """The turns of `tests.scored`, of four users, with gold of goals in every other dialogue."""
    turns = scored.records()
    for turn in turns:
        number = turn["dialogue_id"][1:]
        if not number.isdigit():
            continue
        turn["user_id"] = f"u{int(number) % 4}"
        if int(number) % 2:
            later = turn["turn_index"] >= 2
            turn["gold"] = {
                **turn["gold"],
                "intent": "stop" if int(number) == 7 else "play",
                "goal_id": "later" if later else "first",
                "goal_reached": int(number) % 3 > 0,
                "ratings": [
                    {"annotator": "a", "of": "response", "value": 4.0},
                    {"annotator": "b", "of": "response", "value": 1.0},
                    {"annotator": "a", "of": "goal", "value": 2.0},
                ],
                **({"corrects": turn["turn_id"][:-1] + "0", "correction": "asr"} if later else {}),
            }
    return turns


def preference(name: str, value: str, **fields: Any) -> dict[str, Any]:
    """A row of `PREFERENCES`."""
    created = scored.START + timedelta(days=10)
    return {
        "preference_id": f"p-{len(name)}",
        "user_id": "u1",
        "assistant": None,
        "scope": "user",
        "kind": "concept",
        "name": name,
        "value": value,
        "said": f"when I say {name} {value}",
        "turn_ids": ["d001-0"],
        "created_at": created,
        "expires_at": None,
        "used": 0,
        "last_used_at": None,
        **fields,
    }


def preferences() -> list[dict[str, Any]]:
    """Two concepts, a preference, one that has expired, and one with a hostile text."""
    used = scored.START + timedelta(days=12)
    later = scored.START + timedelta(days=3000)
    return [
        preference("play song 9", "play jazz", preference_id="p-jazz", used=12, last_used_at=used),
        preference("song", "yellow", preference_id="p-song", kind="preference", user_id="u3"),
        preference("cosy", "dim the lights", preference_id="p-cosy", expires_at=later, used=2,
                   last_used_at=used, user_id="u0", scope="phone", turn_ids=["d000-0", "gone"]),
        preference("old", "nothing", preference_id="p-old",
                   expires_at=scored.START + timedelta(days=11)),
        preference(scored.NASTY, scored.NASTY, preference_id="p-nasty", user_id=scored.NASTY,
                   said=scored.NASTY, turn_ids=["nasty"]),
    ]  # fmt: skip


def teach(store: Store, rows: list[dict[str, Any]]) -> None:
    """Add rows to `preferences`."""
    with store.commit() as cycle:
        cycle.append("preferences", pa.Table.from_pylist(rows, schema=PREFERENCES))


def fill(path: Path) -> Store:
    """A new store at `path` with all of it."""
    store = Store.create(path)
    lines = [json.loads(json.dumps(record, default=datetime.isoformat)) for record in records()]
    ingest(store, [write_lines(path.with_suffix(".jsonl"), lines)])
    scored.score(store)
    refresh(store)
    label(store, every=2)
    teach(store, preferences())
    return store
