"""A list of turns, as URL parameters, so that a turn's page can link to the previous and next one.

A page that lists turns adds `Listing(...).query()` to its links to turns; the filters are in the
URL anyway. Examples are the lists of `data.queries.overview.defects` and of a slice's turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import UsageError
from data.queries.dimensions import condition_sql
from data.queries.filters import Filter
from data.schema.tables import PREDICTIONS
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FAILURE_PLURALS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

DEFECTS = "defects"
_POINTS = (DEFECTS, "all", *FAILURE_POINTS)
# Orders with a name; any other one is a column, with "-" before it for the largest first.
NAMED = {
    "newest": "-started_at",
    "oldest": "started_at",
    "most likely defects": "-p_defect",
    "least likely defects": "p_defect",
    **{f"most likely {name}": f"-p_{name}" for name in FAILURE_POINTS[:-1]},
    "least sure recogniser": "asr_confidence",
    "longest requests": "-words",
}
CERTAIN = "certain"
_CERTAIN = (CERTAIN, "most certain")
# What turns can be sorted by: a column of one value per turn.
SORTABLE = tuple(
    field.name
    for field in PREDICTIONS
    if field.name not in ("reasons", "context_digest") and not pa.types.is_nested(field.type)
)


def order_of(order: str, of: str = DEFECTS) -> tuple[str, bool]:
    """The column that an order sorts by, and whether it falls.

    "certain" is by the probability of the failure point `of`, else of a defect. Raises UsageError
    for an unknown order.
    """
    if order in _CERTAIN:
        return (f"p_{of}" if of in FAILURE_POINTS else "p_defect"), True
    text = NAMED.get(order, order)
    column = text.removeprefix("-")
    if column not in SORTABLE:
        raise UsageError(
            f"Unknown order={order[:60]}; give newest, certain, or a column such as p_defect, with "
            "“-” before it for the largest first."
        )
    return column, text.startswith("-")


def order_sql(order: str, of: str = DEFECTS) -> str:
    """The terms of ORDER BY; turns without a value are last, ties are in the order of their ids."""
    column, falls = order_of(order, of)
    # Never null, and sorted the faster for it.
    last = "" if column in ("started_at", "p_defect") else " NULLS LAST"
    if column == "turn_id":
        return f"turn_id{' DESC' if falls else ''}"
    return f'"{column}"{" DESC" if falls else ""}{last}, turn_id'


_NEXT = """
SELECT turn_id, dialogue_id, day FROM predictions
WHERE model_id = $model AND {clause} AND {beyond}
ORDER BY {order}
LIMIT 1
"""


@dataclass(frozen=True)
class Listing:
    """Which turns of a filter are in the list, and in which order.

    Attributes
    ----------
    of: their verdict: a failure point, "defects" for any failure, "all" for any verdict.
    order: as for `order_of`.
    within: conditions of a slice, as for `data.queries.dimensions.condition_sql`.
    """

    of: str = DEFECTS
    order: str = "newest"
    within: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Listing | None:
        """The list that a URL's parameters describe; None if there is no parameter `list`.

        Raises UsageError for an unknown verdict, order or dimension.
        """
        of, order = query.get("list"), query.get("order") or "newest"
        if not of:
            return None
        if of not in _POINTS:
            raise UsageError(f"Unknown list={of}; give one of {', '.join(_POINTS)}.")
        order_of(order, of)
        pairs = [part.partition("=") for part in (query.get("within") or "").split(";") if part]
        # A value may contain the separator of conditions, escaped.
        within = tuple((name, _unescape(value)) for name, _, value in pairs)
        condition_sql(within)
        return cls(of, order, within)

    def query(self) -> dict[str, str]:
        """The URL parameters, from which `from_query` makes the same list."""
        parameters = {"list": self.of, "order": self.order}
        if self.within:
            parameters["within"] = ";".join(
                f"{name}={_escape(value)}" for name, value in self.within
            )
        return parameters

    def words(self) -> str:
        """The list's name, for steps in it: "defects", "ASR defects in this slice"."""
        where = " in this slice" if self.within else ""
        return {**FAILURE_PLURALS, DEFECTS: "defects", "all": "turns"}[self.of] + where


def neighbours(
    snapshot: Snapshot, model: str, chosen: Filter, listing: Listing, row: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The previous and the next turn of a list for a turn (a row of `predictions`).

    Each has turn_id, dialogue_id and day; None at either end of the list. If the turn is not in the
    list, they are the turns between which it would be sorted.
    """
    clause, params = chosen.where()
    within, more = condition_sql(listing.within, "within")
    clauses = [clause, within]
    bound: dict[str, Any] = {"model": model, **params, **more, "id": row["turn_id"]}
    if listing.of == DEFECTS:
        clauses.append("failure_point <> 'correct'")
    elif listing.of != "all":
        clauses.append("failure_point = $of")
        bound["of"] = listing.of
    column, falls = order_of(listing.order, listing.of)
    bound["here"] = row[column]
    # `day` is the partition: with it, DuckDB opens the files on one side only.
    # Days that mean nothing are in no order.
    by_day = (column, falls) == ("started_at", True) and not chosen.dates
    if by_day:
        bound["day"] = row["day"]
    sides = []
    for after in (False, True):
        beyond = _beyond(column, falls, after, bound["here"] is None)
        if by_day:
            beyond += f" AND day {'<' if after else '>'}= $day"
        nulls = "LAST" if after else "FIRST"
        sql = _NEXT.format(
            clause=" AND ".join(f"({part})" for part in clauses),
            beyond=beyond,
            order=f"{column} {'DESC' if falls == after else 'ASC'} NULLS {nulls}, "
            f"turn_id {'ASC' if after else 'DESC'}",
        )
        rows = snapshot.query(sql, bound).to_pylist()
        sides.append(dict(rows[0]) if rows else None)
    return sides[0], sides[1]


def _beyond(column: str, falls: bool, after: bool, missing: bool) -> str:
    """A condition for the turns before or after the one whose value is `$here` and id `$id`.

    `missing` says that it has no value: it is among the last ones.
    """
    if column == "turn_id":
        return f"turn_id {'<' if falls == after else '>'} $id"
    tie = f"turn_id {'>' if after else '<'} $id"
    if missing:
        # `$here` is bound, so it has to be named.
        same = f"({column} IS NULL AND $here IS NULL AND {tie})"
        return same if after else f"({same} OR {column} IS NOT NULL)"
    sign = "<" if falls == after else ">"
    beyond = f"({column} {sign} $here OR ({column} = $here AND {tie})"
    return f"{beyond} OR {column} IS NULL)" if after else f"{beyond})"


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace(";", "%3B")


def _unescape(value: str) -> str:
    return value.replace("%3B", ";").replace("%25", "%")
