"""Turns in the order of their dialogues, as the parts of the log that say what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from data.errors import UsageError
from data.schema.trace import ORDER

COLUMNS = (
    "turn_id", "dialogue_id", "turn_index", "started_at", "device", "prompt", "asr", "nlu", "er",
    "result", "feedback",
)  # fmt: skip

Pair = tuple[str, str]

# Hypotheses and words after these say little and cost time.
_HYPOTHESES = 10


@dataclass(frozen=True, slots=True)
class Frame:
    """An intent, or None, and slots as (name, value) pairs in their order; None: not stated."""

    intent: str | None
    slots: tuple[Pair, ...] | None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an NLU took a request for."""

    intent: str | None
    confidence: float
    slots: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What is read of one turn; `row` is its place in the table, `gold` the target only.

    `nbest`: texts of the ASR with shares that add up to 1, the best first. `symbols`: acts,
    actions and what entity resolution found, one word each. `rejected`: the log itself says that
    the turn went wrong. `confidence` of the ASR in its first hypothesis.
    """

    row: int
    turn_id: str
    nbest: tuple[tuple[str, float], ...]
    prompt: str
    response: str
    nlu: tuple[Hypothesis, ...]
    symbols: tuple[str, ...]
    rejected: bool
    gold: Frame | None
    confidence: float | None = None

    @property
    def request(self) -> str:
        """The words the assistant acted on; empty where none were logged."""
        return self.nbest[0][0] if self.nbest else ""


# Lists of slots as two lists: Python objects for each struct would take most of the time.
_SQL = f"""
SELECT row, turn_id, dialogue_id,
    [coalesce(h.text, '') FOR h IN asr.hypotheses] AS texts,
    [h.confidence FOR h IN asr.hypotheses] AS shares,
    prompt.text AS prompt, result.response AS response,
    [{{intent: h.intent, confidence: h.confidence,
       names: [s.name FOR s IN h.slots], "values": [s.value FOR s IN h.slots]}}
     FOR h IN nlu.hypotheses] AS nlu,
    list_concat(
        flatten([list_prepend('prompt ' || a.act,
                 ['prompt ' || a.act || ' ' || coalesce(s.name, '') || ' ' || coalesce(s.value, '')
                  FOR s IN coalesce(a.slots, [])]) FOR a IN coalesce(prompt.acts, [])]),
        flatten([list_prepend('result ' || a.act,
                 ['result ' || a.act || ' ' || coalesce(s.name, '') || ' ' || coalesce(s.value, '')
                  FOR s IN coalesce(a.slots, [])]) FOR a IN coalesce(result.acts, [])]),
        ['entity ' || coalesce(m.slot, '') || ' ' || lower(m.text)
         FOR m IN coalesce(er.mentions, []) IF m.text IS NOT NULL],
        ['resolved ' || coalesce(m.slot, '') || ' ' || lower(m.candidates[1].name)
         FOR m IN coalesce(er.mentions, []) IF m.candidates[1].name IS NOT NULL],
        CASE WHEN result.action IS NULL THEN [] ELSE ['action ' || result.action] END,
        CASE WHEN result.status IS NULL THEN [] ELSE ['status ' || result.status] END,
        CASE WHEN device.type IS NULL THEN [] ELSE ['device ' || device.type] END
    ) AS symbols,
    coalesce(result.status, 'ok') <> 'ok' OR coalesce(feedback.barge_in, false)
        OR coalesce(feedback.explicit, '') = 'no' AS rejected,
    GOLD
FROM turns ORDER BY dialogue_id, {", ".join(ORDER)}
"""
_GOLD = """
    gold.intent AS intent, [s.name FOR s IN gold.slots] AS names,
    [s.value FOR s IN gold.slots] AS "values"
"""
_NO_GOLD = 'NULL AS intent, NULL AS names, NULL AS "values"'


def read(turns: pa.Table) -> list[list[Turn]]:
    """The dialogues of `turns` (columns `COLUMNS` of `data.schema.trace.TURNS`; `gold` if it is to
    be learned from), each in the order of its turns. `UsageError` when a column is missing."""
    missing = [name for name in COLUMNS if name not in turns.column_names]
    if missing:
        raise UsageError(
            f"What was meant is read from the columns {', '.join(COLUMNS)}, but "
            f"{', '.join(missing)} is missing; select whole rows of the table turns."
        )
    gold = "gold" in turns.column_names
    numbered = turns.select([*COLUMNS, *(["gold"] if gold else [])]).append_column(
        "row", pa.array(range(turns.num_rows), pa.int64())
    )
    with duckdb.connect() as con:
        con.register("turns", numbered)
        rows = con.execute(_SQL.replace("GOLD", _GOLD if gold else _NO_GOLD)).fetchall()
    dialogues: list[list[Turn]] = []
    before = None
    for row, turn_id, dialogue_id, texts, shares, prompt, response, nlu, symbols, rejected, *rest \
            in rows:  # fmt: skip
        if dialogue_id != before:
            dialogues.append([])
            before = dialogue_id
        dialogues[-1].append(
            Turn(
                row,
                turn_id,
                _shares(texts or [], shares or []),
                prompt or "",
                response or "",
                tuple(
                    Hypothesis(
                        h["intent"],
                        1.0 if h["confidence"] is None else h["confidence"],
                        pairs(h["names"] or [], h["values"] or []),
                    )
                    for h in (nlu or [])[:_HYPOTHESES]
                ),
                tuple(symbol for symbol in symbols if symbol),
                rejected,
                _frame(*rest),
                shares[0] if shares else None,
            )
        )
    return dialogues


def pairs(names: Sequence[str | None], values: Sequence[str | None]) -> tuple[Pair, ...]:
    """Distinct slots as (name, value), as they are written; a slot without a value has the empty
    one."""
    both = ((name or "", value or "") for name, value in zip(names, values, strict=True))
    return tuple(dict.fromkeys(both))


def key(pair: Pair) -> Pair:
    """A slot as it is compared: the value's case does not matter."""
    return pair[0], pair[1].lower()


def _frame(
    intent: str | None, names: list[str | None] | None, values: list[str | None] | None
) -> Frame | None:
    if intent is None and names is None:
        return None
    # No list says nothing about slots; an empty one says that there are none.
    return Frame(intent, None if names is None else pairs(names, values or []))


def _shares(texts: list[str], confidences: list[float | None]) -> tuple[tuple[str, float], ...]:
    """Texts with shares of 1, the best first: by confidence where that is logged, else by rank.

    The text that the assistant acted on, the first, stays first.
    """
    texts, confidences = texts[:_HYPOTHESES], confidences[:_HYPOTHESES]
    if not texts:
        return ()
    weights = [1 / (rank + 1) if c is None else max(c, 1e-4) for rank, c in enumerate(confidences)]
    total = sum(weights)
    return tuple((text, w / total) for text, w in zip(texts, weights, strict=True))
