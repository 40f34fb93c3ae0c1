"""Verdicts of an outside judge from a file: JSONL, CSV or Parquet, one row per turn.

A bad row is reported by line and field and stored in `quarantine`, as rows of people's annotations
are. Where its turn is known, the store also notes that the judge's answer could not be read: an
answer that is missing must not make a judge look better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pyarrow as pa

from annotation.row_files import Problem, Row, excerpt_of, quarantine, rows_of, storable
from data.errors import UsageError
from data.ingest.validation import explain
from data.schema.trace import FAILURE_POINTS, NonEmpty, Unit, schema
from data.store.judges import (
    CHANGED_TURN,
    REFUSED,
    UNREADABLE,
    VERDICT,
    annotator_of,
    write_verdicts,
)

if TYPE_CHECKING:
    from data.store.store import Store

_LONGEST_REASON = 2_000
# Probabilities rounded to two digits add up to one but for this.
_ROUNDING = 0.02
_P = tuple(f"p_{name}" for name in FAILURE_POINTS)
_NUMBERS = (*_P, "confidence", "cost")
# A number that is no longer whole in a text, as spreadsheets and data frames write it.
_DECIMAL = re.compile(r"[+-]?\d+(?=[.e])(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
# Whole numbers below this are exact as floating-point numbers.
_EXACT = 2**53


class Answer(msgspec.Struct):
    """One row of a file; other fields, such as those of the exported turn, are ignored."""

    turn_id: NonEmpty
    failure_point: str | None
    probabilities: dict[str, Unit | None] | None = None
    p_false_wake: Unit | None = None
    p_asr: Unit | None = None
    p_nlu: Unit | None = None
    p_er: Unit | None = None
    p_result: Unit | None = None
    p_correct: Unit | None = None
    confidence: Unit | None = None
    reason: str | None = None
    cost: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None
    # As text; some tools make a number of it.
    digest: str | int | float | None = None


_GIVEN = schema(
    [
        ("line", pa.int64()),
        ("turn_id", pa.string()),
        ("failure_point", pa.string()),
        ("answer", pa.string()),
        *((name, pa.float64()) for name in (*_P, "confidence")),
        ("reason", pa.string()),
        ("cost", pa.float64()),
        ("currency", pa.string()),
        ("digest", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class JudgeImport:
    """The result of an import.

    Attributes
    ----------
    judge: the annotator, `judge:NAME`. verdicts, refused, unreadable: turns by what was answered.
    replaced: verdicts of an earlier import of the judge that went. repeated: rows that said the
        same again. problems: rows that were not imported.
    """

    judge: str
    verdicts: int
    refused: int
    unreadable: int
    replaced: int
    repeated: int
    problems: tuple[Problem, ...]


@dataclass
class _Answers:
    """Rows by turn, and what was wrong with others."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    contradicted: set[str] = field(default_factory=set)
    repeated: int = 0

    def take(self, row: dict[str, Any]) -> None:
        """Keep a row; a second verdict on its turn that says something else spoils both."""
        turn = row["turn_id"]
        before = self.rows.setdefault(turn, row)
        if before is row:
            return
        if row["answer"] == VERDICT and (
            turn in self.contradicted
            or (before["answer"] == VERDICT and _said(row) != _said(before))
        ):
            reason = f"line {before['line']} says something else of turn '{turn[:80]}'"
            self.problems.append(Problem(row["line"], "failure_point", reason, excerpt_of(row)))
            self.contradicted.add(turn)
            self.rows[turn] = _unreadable(before["line"], before)
        elif turn in self.contradicted:
            self.repeated += 1
        elif before["answer"] != VERDICT and row["answer"] != UNREADABLE:
            # Asked again, because the first answer was none.
            self.rows[turn] = row
        elif row["answer"] != UNREADABLE:
            self.repeated += 1


def import_verdicts(
    store: Store,
    source: Path | bytes,
    file: str,
    name: str,
    *,
    cost_per_1000: float | None = None,
    currency: str | None = None,
    keep_others: bool = False,
) -> JudgeImport:
    """Import the verdicts of a judge from a file (or its bytes), in the place of its earlier ones.

    Parameters
    ----------
    file: its name, whose suffix gives the format. name: the judge's, with or without `judge:`.
    cost_per_1000: what 1,000 turns cost, for rows without a `cost` of their own; in `currency`.
    keep_others: replace only verdicts on the turns of this file.

    Where no row can be used, earlier verdicts stay. Raises UsageError for a bad name, cost or
    currency, an unknown suffix or a file that cannot be opened, IngestError for a file whose
    content cannot be read, and StoreBusy.
    """
    judge = annotator_of(name)
    fallback = _cost(cost_per_1000, currency)
    answers = _Answers()
    rows = rows_of(
        source, file, answers.problems, needed=("turn_id", "failure_point"), typed=_typed
    )
    for line, row in rows:
        try:
            answers.take(_parsed(line, row))
        except msgspec.ValidationError as error:
            where, reason = explain(str(error), row)
            answers.problems.append(Problem(line, where, reason, excerpt_of(row)))
            turn = row.get("turn_id")
            if isinstance(turn, str) and turn:
                answers.take(_unreadable(line, row))
    given = [
        {**row, "cost": fallback if row["cost"] is None else row["cost"], "currency": currency}
        for row in answers.rows.values()
    ]
    written = write_verdicts(
        store, judge, pa.Table.from_pylist(given, _GIVEN), keep_others=keep_others
    )
    lines = {row["line"]: row for row in given}
    by_line: dict[int, Problem] = {}
    # A row that was bad already, of a turn that there is not, is one problem.
    for problem in (
        *answers.problems,
        *(_problem(lines[line], why) for line, why in written.problems.items()),
    ):
        by_line.setdefault(problem.line, problem)
    problems = tuple(by_line[line] for line in sorted(by_line))
    quarantine(store, file, problems)
    return JudgeImport(
        judge,
        written.answers.get(VERDICT, 0),
        written.answers.get(REFUSED, 0),
        written.answers.get(UNREADABLE, 0),
        written.replaced,
        answers.repeated,
        problems,
    )


def _cost(per_1000: float | None, currency: str | None) -> float | None:
    if currency is not None and not (
        len(currency) == 3 and currency.isascii() and currency.isupper() and currency.isalpha()
    ):
        raise UsageError(
            f"'{currency[:20]}' is no currency; give its three capital letters, such as EUR."
        )
    if per_1000 is None:
        return None
    if not (math.isfinite(per_1000) and 0 <= per_1000 <= 1e9):
        raise UsageError(f"1,000 turns cannot cost {per_1000:g}; give a number from 0 on.")
    if currency is None:
        raise UsageError("A cost needs its currency; give it too, for example --currency EUR.")
    return per_1000 / 1000


def _parsed(line: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `_GIVEN` for a row; raises msgspec.ValidationError for a bad one."""
    answer = msgspec.convert(
        {key: value for key, value in row.items() if value is not None or key == "failure_point"},
        Answer,
    )
    point = (answer.failure_point or "").strip().casefold().replace(" ", "_").replace("-", "_")
    if point and point not in FAILURE_POINTS:
        raise msgspec.ValidationError(
            f"Expected `str` matching regex '^({'|'.join(FAILURE_POINTS)})$' - at `$.failure_point`"
        )
    return {
        **_columns(line, answer.turn_id),
        "failure_point": point or None,
        "answer": VERDICT if point else REFUSED,
        **(_probabilities(answer) if point else {}),
        "confidence": answer.confidence if point else None,
        "reason": storable(answer.reason or "").strip()[:_LONGEST_REASON] or None,
        "cost": answer.cost,
        "digest": _digest(answer.digest),
    }


def _columns(line: int, turn_id: str) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(_GIVEN.names)
    return {**empty, "line": line, "turn_id": storable(turn_id)}


def _unreadable(line: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an answer that cannot be used; it may have cost something all the same."""
    cost = row.get("cost")
    paid = isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost <= 1e6
    digest = None
    with suppress(msgspec.ValidationError):
        digest = _digest(msgspec.convert(row.get("digest"), str | int | float | None))
    return {
        **_columns(line, str(row["turn_id"])),
        "answer": UNREADABLE,
        "cost": float(cost) if paid and cost is not None else None,
        "digest": digest,
    }


def _digest(value: str | int | float | None) -> str | None:
    """A turn's fingerprint as text; raises msgspec.ValidationError where digits of it are lost."""
    if value is None or isinstance(value, int):
        return None if value is None else str(value)
    text = storable(str(value)).strip()
    if isinstance(value, str) and not _DECIMAL.fullmatch(text):
        return text
    number = float(value)
    if "e" in text.lower() or not number.is_integer() or abs(number) >= _EXACT:
        raise msgspec.ValidationError(
            f"expected a fingerprint as it was exported, got the rounded number {text[:30]}; keep "
            "it as text, or leave the column out - at `$.digest`"
        )
    return str(int(number))


def _probabilities(answer: Answer) -> dict[str, float]:
    """`p_…` of every failure point, adding up to one; empty where the judge gave none."""
    given = {name: getattr(answer, name) for name in _P}
    where = "p_" + FAILURE_POINTS[-1]
    if answer.probabilities is not None:
        where = "probabilities"
        unknown = sorted(set(answer.probabilities) - set(FAILURE_POINTS))
        if unknown:
            raise msgspec.ValidationError(
                f"expected probabilities of {', '.join(FAILURE_POINTS)}, got one of "
                f"'{unknown[0][:40]}' - at `$.probabilities`"
            )
        given = {f"p_{name}": answer.probabilities.get(name) for name in FAILURE_POINTS}
    if all(value is None for value in given.values()):
        return {}
    total = sum(value or 0.0 for value in given.values())
    if not abs(total - 1) <= _ROUNDING:
        raise msgspec.ValidationError(
            f"expected probabilities that add up to 1, got {total:.3g} - at `$.{where}`"
        )
    return {name: (value or 0.0) / total for name, value in given.items()}


def _said(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("failure_point", *_P, "confidence"))


def _problem(row: Mapping[str, Any], why: str) -> Problem:
    if why == CHANGED_TURN:
        reason = f"turn '{row['turn_id'][:80]}' has changed since it was exported; export it again"
    else:
        reason = f"the store has no turn '{row['turn_id'][:80]}'"
    return Problem(row["line"], "turn_id", reason, excerpt_of(row))


def _typed(row: Row) -> Row:
    """The values of CSV cells; a cell that cannot be parsed stays text and is then rejected."""
    row.setdefault("failure_point", None)
    for key in _NUMBERS:
        if key in row:
            with suppress(ValueError):
                row[key] = float(row[key])
    return row
