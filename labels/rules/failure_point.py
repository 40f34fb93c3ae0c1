"""Failure points derived from gold: the first stage whose error was not recovered.

The rules are explained in docs/failure-points.md. The first rule that matches decides a turn, and
its text is the turn's reason. What gold leaves open stays open: no rule matches on a comparison
that could not be made, and a turn that no rule decides has no label.
"""

from __future__ import annotations

from typing import NamedTuple

import duckdb
import pyarrow as pa

from data.errors import UsageError
from labels.rules import comparison_sql
from labels.rules.normalise import joined, key, value_words

# Labelled turns of a failure point that training needs to learn it.
MIN_PER_CLASS = 10
COLUMNS = ("turn_id", "locale", "prompt", "wake", "asr", "nlu", "er", "result", "gold")

_STR: pa.DataType = pa.string()
_BOOL: pa.DataType = pa.bool_()
DERIVED = pa.schema(
    [("turn_id", _STR), ("derived", _STR), ("unsupported", _BOOL), ("reason", _STR)]
)
LABELS = pa.schema(
    [("turn_id", _STR), ("failure_point", _STR), ("source", _STR), ("disagrees", _BOOL)]
)


class Rule(NamedTuple):
    """A verdict (None: no label), its reason in words, and its condition (SQL over `evidence`)."""

    verdict: str | None
    reason: str
    when: str


def _downstream(cleared: str, opening: str) -> list[Rule]:
    """Step 3 of the rules: ASR is cleared, so the first difference after it is the failure point.

    `cleared`: the SQL condition under which ASR is cleared. `opening`: how the reasons begin.
    """
    return [
        Rule("nlu", f"{opening}; intent or domain differs", f"{cleared} and nlu_differs"),
        Rule("er", f"{opening}; slots or entities differ", f"{cleared} and er_differs"),
        Rule("result", f"{opening}; frame right, outcome wrong", f"{cleared} and bad and vouched"),
    ]


# Order matters: the first rule that matches decides.
RULES: tuple[Rule, ...] = (
    Rule(None, "no gold", "no_gold"),
    # 1: the user did not address the assistant.
    Rule("false_wake", "not addressed and the assistant acted", "not addressed and acted"),
    Rule("correct", "not addressed and nothing came of it", "not addressed and not acted"),
    Rule(None, "not addressed and nlu not logged", "not addressed"),
    # 2: nothing went wrong, or nothing that mattered.
    Rule("correct", "outcome right", "good"),
    Rule("correct", "nlu and entities equal gold", "vouched and not bad"),
    # 3: the words were right.
    *_downstream("same_text", "asr text equal"),
    Rule(
        "correct",
        "asr text equal and nothing in gold differs",
        "same_text and not bad and nothing_differs",
    ),
    # 4: the words were wrong; whether that mattered.
    *_downstream(
        "same_replay and same_text is null", "transcript missing, replay gives same frame"
    ),
    *_downstream("same_replay and not same_text", "asr text differs, replay gives same frame"),
    Rule(
        "correct",
        "asr text differs, replay gives same frame; nothing in gold differs",
        "same_replay and not same_text and not bad and nothing_differs",
    ),
    Rule(
        "asr",
        "asr text differs and replay gives another frame",
        "not same_text and not same_replay and (frame_stated or nlu_differs or bad)",
    ),
    Rule(
        "asr",
        "asr text differs and no replay",
        "not same_text and same_replay is null"
        " and (nlu_logged and frame_stated or nlu_differs or bad)",
    ),
    # 5: not enough evidence: no label rather than a guess.
    Rule(None, "nlu not logged", "not nlu_logged"),
    Rule(None, "gold states no frame and no outcome", "not frame_stated and not bad"),
    Rule(None, "no transcript or no asr text", "same_text is null"),
    Rule(None, "gold states too little", "true"),
)


def derive(turns: pa.Table) -> pa.Table:
    """The failure point that gold implies, for each row of `turns`, in the order of `turns`.

    `turns` has at least the columns `COLUMNS` of `data.schema.trace.TURNS`; `gold.failure_point` is
    not read. Returns a table of schema `DERIVED`: `derived` is one of
    `data.schema.trace.FAILURE_POINTS`, or null where gold does not suffice; `reason` names the rule
    that decided; `unsupported` marks requests that gold calls beyond the assistant. Raises
    UsageError when a column is missing.
    """
    missing = [name for name in COLUMNS if name not in turns.column_names]
    if missing:
        raise UsageError(
            f"Failure points need the columns {', '.join(COLUMNS)}, but {', '.join(missing)} "
            "is missing; select whole rows of the table turns."
        )
    numbered = turns.select(COLUMNS).append_column(
        "row", pa.array(range(turns.num_rows), pa.int64())
    )
    with duckdb.connect() as con:
        con.register("turns", numbered)
        con.execute(comparison_sql.FLAT)
        con.register("text_keys", _text_keys(con.sql(comparison_sql.TEXTS).to_arrow_table()))
        con.register("value_keys", _value_keys(con.sql(comparison_sql.VALUES).to_arrow_table()))
        con.execute(comparison_sql.DIFFERENCES)
        con.register("rules", _rules())
        derived: pa.Table = con.sql(comparison_sql.EVIDENCE + _first_match_sql()).to_arrow_table()
    return derived.cast(DERIVED)


def _first_match_sql() -> str:
    cases = " ".join(f"when {rule.when} then {number}" for number, rule in enumerate(RULES))
    return f"""
select turn_id, verdict as derived, unsupported, reason
from (select row, turn_id, unsupported, case {cases} end as number from evidence)
join rules using (number)
order by row
"""


def _rules() -> pa.Table:
    rows = [(number, rule.verdict, rule.reason) for number, rule in enumerate(RULES)]
    number, verdict, reason = zip(*rows, strict=True)
    return pa.table({"number": number, "verdict": verdict, "reason": reason})


def _text_keys(texts: pa.Table) -> pa.Table:
    """`texts` (text, locale, phrase: the wake phrase) with the key of each."""
    rows = zip(*(texts[name].to_pylist() for name in ("text", "locale", "phrase")), strict=True)
    return texts.append_column("key", pa.array([key(*row) for row in rows], _STR))


def _value_keys(values: pa.Table) -> pa.Table:
    """`values` of slots (text, locale) with the words and the key of each."""
    rows = zip(*(values[name].to_pylist() for name in ("text", "locale")), strict=True)
    words = [value_words(*row) for row in rows]
    keys = [joined(text) for text in words]
    return values.append_column("words", pa.array(words, _STR)).append_column(
        "key", pa.array(keys, _STR)
    )


def labels(turns: pa.Table) -> pa.Table:
    """One label per row of `turns`: the annotator's, else the derived one, else null.

    Returns a table of schema `LABELS`; `source` is "annotated", "derived" or null; `disagrees` is
    true where both exist and differ, which a person should review.
    """
    return _query(_with_annotated(turns), LABELS_SQL).cast(LABELS)


class Agreement(NamedTuple):
    """How far the derived failure points match the annotators' own.

    `confusion`: annotated, derived (one may be null), turns. `disagreements`: turn_id, annotated,
    derived, reason. `turns`: all turns. `annotated`: turns with an annotator's verdict. `agreed`:
    those of them with the same derived verdict; a turn without a derived one does not agree.
    """

    confusion: pa.Table
    disagreements: pa.Table
    turns: int
    annotated: int
    agreed: int

    @property
    def rate(self) -> float | None:
        """Share of the annotated turns that agree; None if there are none."""
        return self.agreed / self.annotated if self.annotated else None


def compare(turns: pa.Table) -> Agreement:
    """Compare annotated with derived failure points, for turns that have either of them."""
    verdicts = _with_annotated(turns)
    totals = _query(verdicts, TOTALS_SQL).to_pylist()[0]
    return Agreement(
        confusion=_query(verdicts, CONFUSION_SQL),
        disagreements=_query(verdicts, DISAGREEMENTS_SQL),
        **totals,
    )


def _with_annotated(turns: pa.Table) -> pa.Table:
    sql = "select gold.failure_point as annotated from verdicts"
    annotated = _query(turns.select(["gold"]), sql)
    return derive(turns).append_column("annotated", annotated["annotated"])


def _query(table: pa.Table, sql: str) -> pa.Table:
    """Run SQL over `table` under the name `verdicts`.

    Rows keep the order of `table` unless `sql` orders them (DuckDB's default).
    """
    with duckdb.connect() as con:
        con.register("verdicts", table)
        result: pa.Table = con.sql(sql).to_arrow_table()
    return result


LABELS_SQL = """
select
    turn_id,
    coalesce(annotated, derived) as failure_point,
    case
        when annotated is not null then 'annotated'
        when derived is not null then 'derived'
    end as source,
    coalesce(annotated <> derived, false) as disagrees
from verdicts
"""

TOTALS_SQL = """
select
    count(*) as turns,
    count(annotated) as annotated,
    count(*) filter (annotated = derived) as agreed
from verdicts
"""

CONFUSION_SQL = """
select annotated, derived, count(*) as turns
from verdicts
where annotated is not null or derived is not null
group by all
order by turns desc, annotated, derived
"""

# A turn without a derived verdict is not a disagreement: there is nothing to review.
DISAGREEMENTS_SQL = """
select turn_id, annotated, derived, reason from verdicts where annotated <> derived
"""
