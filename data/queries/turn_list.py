"""A list of turns, as URL parameters, so that a turn's page can link to the previous and next one.

A page that lists turns adds `Listing(...).query()` to its links to turns; the filters are in the
URL anyway. Examples are the lists of `data.queries.overview.defects` and of a slice's turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import UsageError
from data.queries.dimensions import condition_sql
from data.queries.filters import Filter
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FAILURE_PLURALS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

ORDERS = ("newest", "certain")
DEFECTS = "defects"
_POINTS = (DEFECTS, "all", *FAILURE_POINTS)

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
    order: "newest" first, or most "certain" first: by the probability of the failure point (of a
    defect for "defects" and "all").
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
        if order not in ORDERS:
            raise UsageError(f"Unknown order={order}; give one of {', '.join(ORDERS)}.")
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
        """The list's name, for a link back to it: "defects", "ASR defects", "all turns"."""
        return {**FAILURE_PLURALS, DEFECTS: "defects", "all": "all turns"}[self.of]


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
    column = "started_at"
    if listing.order == "certain":
        column = f"p_{listing.of}" if listing.of in FAILURE_POINTS else "p_defect"
    bound["here"] = row[column]
    # `day` is the partition: with it, DuckDB opens the files on one side only.
    # Days that mean nothing are in no order.
    by_day = listing.order == "newest" and not chosen.dates
    if by_day:
        bound["day"] = row["day"]
    sides = []
    for sign, direction, tie, tie_direction in (
        (">", "ASC", "<", "DESC"),
        ("<", "DESC", ">", "ASC"),
    ):
        beyond = f"({column} {sign} $here OR ({column} = $here AND turn_id {tie} $id))"
        if by_day:
            beyond += f" AND day {sign}= $day"
        sql = _NEXT.format(
            clause=" AND ".join(f"({part})" for part in clauses),
            beyond=beyond,
            order=f"{column} {direction}, turn_id {tie_direction}",
        )
        rows = snapshot.query(sql, bound).to_pylist()
        sides.append(dict(rows[0]) if rows else None)
    return sides[0], sides[1]


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace(";", "%3B")


def _unescape(value: str) -> str:
    return value.replace("%3B", ";").replace("%25", "%")
