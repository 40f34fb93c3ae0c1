"""Verdicts of outside judges: a language model, a vendor, a script.

A judge is an annotator whose name begins with `PREFIX`. Its verdicts have a table of their own,
`judge_verdicts`, so that nothing that reads people's `annotations` can take them for truth; people
cannot annotate under such a name (`data.store.annotations`).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from data.errors import UsageError
from data.schema.tables import JUDGE_VERDICTS
from data.store.rerun import rerun

if TYPE_CHECKING:
    from data.store.store import Store

PREFIX = "judge:"
# What a judge answered: a verdict, none, or something that cannot be used.
VERDICT, REFUSED, UNREADABLE = "verdict", "refused", "unreadable"
# How long a change waits for another process that writes, in seconds.
PATIENCE_S = 20.0
_LONGEST_NAME = 60

# Why a given row was not written.
UNKNOWN_TURN, CHANGED_TURN = "unknown", "changed"

_MATCHED = f"""
SELECT g.* EXCLUDE (digest), t.dialogue_id, t.day, t.digest,
  CASE WHEN t.turn_id IS NULL THEN '{UNKNOWN_TURN}'
    WHEN g.digest <> t.digest::VARCHAR THEN '{CHANGED_TURN}' END AS problem
FROM given g LEFT JOIN turns t USING (turn_id)
ORDER BY g.line
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What a judge's import changed.

    Attributes
    ----------
    written: rows of the judge that were added; 0 if no given row could be used, and then nothing
        changed. replaced: earlier rows of the judge that went.
    answers: answer (`VERDICT`, …) → rows added. problems: line → `UNKNOWN_TURN` or `CHANGED_TURN`.
    """

    written: int
    replaced: int
    answers: Mapping[str, int]
    problems: Mapping[int, str]


def is_judge(annotator: str) -> bool:
    """Whether an annotator's name is reserved for judges, whatever its case and width."""
    plain = unicodedata.normalize("NFKC", annotator).strip().casefold()
    return plain.startswith(PREFIX)


def reserved(annotator: str) -> str:
    """What to say to somebody who annotates under a judge's name."""
    return (
        f"The name '{annotator.strip()[:_LONGEST_NAME]}' begins with '{PREFIX}', which is for "
        "outside judges; give a person's name, or import a judge's verdicts with: faultline judge "
        "import"
    )


def annotator_of(name: str) -> str:
    """The annotator of a judge's verdicts: `judge:NAME`, for a name with or without the prefix.

    A name is the same in Unicode's composed and decomposed form. Raises UsageError for one that is
    empty, longer than 60 characters, or has a character that cannot be printed.
    """
    bare = unicodedata.normalize("NFC", name.strip())
    if is_judge(bare):
        bare = unicodedata.normalize("NFKC", bare)[len(PREFIX) :].strip()
    if not bare or len(bare) > _LONGEST_NAME or not bare.isprintable():
        raise UsageError(
            f"'{bare[:_LONGEST_NAME]}' is no name of a judge; give 1 to {_LONGEST_NAME} characters "
            "that can be printed, such as gpt-5."
        )
    return PREFIX + bare


@rerun
def write_verdicts(
    store: Store, annotator: str, given: pa.Table, *, keep_others: bool = False
) -> Written:
    """Put a judge's verdicts in the place of its earlier ones, in one commit.

    Parameters
    ----------
    annotator: of `annotator_of`.
    given: one row per turn, with `line` (int64), the columns of `JUDGE_VERDICTS` that say what was
        answered, and `digest`: the turn's fingerprint as text where the judge's file has it, else
        null. The columns of the turn are filled in from the store.
    keep_others: replace only verdicts on the turns of `given`; by default, all of the judge's.

    Rows of unknown turns, and of turns that are no longer those that were judged, are left out; if
    no answer is left that could be read, nothing is written, and earlier verdicts stay. Raises
    StoreBusy if another process writes for too long.
    """
    with store.commit(PATIENCE_S) as cycle:
        with cycle.snapshot("turns") as snapshot:
            matched = snapshot.query(_MATCHED, tables={"given": given})
        problems = {
            int(row["line"]): str(row["problem"])
            for row in matched.select(["line", "problem"]).to_pylist()
            if row["problem"]
        }
        rows = matched.filter(pc.field("problem").is_null())
        if not {*rows["answer"].to_pylist()} - {UNREADABLE}:
            return Written(0, 0, {}, problems)
        columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
        columns["annotator"] = pa.array([annotator] * rows.num_rows, pa.string())
        columns["created_at"] = pa.array(
            [datetime.now(UTC)] * rows.num_rows, JUDGE_VERDICTS.field("created_at").type
        )
        new = pa.table({field.name: columns[field.name] for field in JUDGE_VERDICTS}).cast(
            JUDGE_VERDICTS
        )
        tables = {"given_turns": rows.select(["turn_id"]), "judge": pa.table({"name": [annotator]})}
        own = "annotator IN (SELECT name FROM judge)"
        same = f"{own} AND turn_id IN (SELECT turn_id FROM given_turns)"
        replaced = cycle.delete_rows("judge_verdicts", same if keep_others else own, tables)
        cycle.append("judge_verdicts", new)
    answers = Counter(str(answer) for answer in new["answer"].to_pylist())
    return Written(new.num_rows, replaced, answers, problems)


@rerun
def remove_verdicts(store: Store, annotator: str) -> int:
    """Delete all verdicts of a judge; returns how many there were."""
    judge = {"judge": pa.table({"name": [annotator]})}
    with store.commit(PATIENCE_S) as cycle:
        return cycle.delete_rows("judge_verdicts", "annotator IN (SELECT name FROM judge)", judge)
