"""The rule of an alert: what is watched, in which turns, and what is too much."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import parse_qs, urlencode

from charts.formatting import number, percent, several, short
from data.errors import UsageError
from data.queries.filters import Filter
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of rule.

    Attributes
    ----------
    title: for people. days: the default of `Rule.days`. bound, most: the default of `Rule.bound`,
    and the largest one; None where the kind has no bound.
    of_turns: whether the rule looks at failure points of the turns of a filter. The others look at
    all turns of the filter's assistants.
    """

    title: str
    days: int
    bound: float | None = None
    most: float | None = None
    of_turns: bool = True


KINDS = {
    "rate": Kind("Rate above a bound", 7, 0.1, 1.0),
    "unusual": Kind("Rate above its usual range", 1),
    "change": Kind("Change point", 14),
    "budget": Kind("Error budget burns too fast", 28, 2.0, 1e6),
    "late": Kind("Data is late", 1, 26.0, 87_600.0, of_turns=False),
    "signal": Kind("Signal is gone", 7, of_turns=False),
}
# Each is evaluated in every run.
MOST = 200
MOST_DAYS = 366
_LONGEST = 100
# Characters of a filter in an address: browsers and chats cut longer ones.
_LONGEST_QUERY = 2_000


@dataclass(frozen=True, slots=True)
class Rule:
    """What an alert watches.

    Attributes
    ----------
    kind: a key of `KINDS`. failure_point: None for any failure.
    chosen: which turns, without days. days: how many days up to the last complete one.
    bound: a share of turns ("rate"), a burn rate ("budget") or hours ("late"); else None.
    """

    name: str
    kind: str
    failure_point: str | None
    chosen: Filter
    bound: float | None
    days: int

    @classmethod
    def of(
        cls,
        name: str,
        kind: str,
        chosen: Filter,
        failure_point: str | None = None,
        bound: float | None = None,
        days: int | None = None,
    ) -> Self:
        """A rule for a view. Its days are left out, since a rule always watches the newest.

        Raises UsageError for whatever a rule cannot be.
        """
        if kind not in KINDS:
            raise UsageError(f"Unknown kind of alert '{kind}'; choose one of {', '.join(KINDS)}.")
        about = KINDS[kind]
        name = short(name, _LONGEST + 1)
        if not name or len(name) > _LONGEST:
            raise UsageError(f"An alert needs a name of at most {_LONGEST} characters.")
        if failure_point is not None and failure_point not in FAILURES:
            raise UsageError(
                f"No alert can watch '{failure_point}'; choose one of {', '.join(FAILURES)}."
            )
        if about.bound is None and bound is not None:
            raise UsageError(f"An alert of the kind '{kind}' has no bound; leave it out.")
        bound = about.bound if bound is None else float(bound)
        if bound is not None and not (math.isfinite(bound) and 0 < bound <= (about.most or 0)):
            raise UsageError(
                f"Invalid bound {bound:g} of an alert of the kind '{kind}'; give a number above 0, "
                f"at most {about.most:g}."
            )
        days = about.days if days is None else days
        if not 1 <= days <= MOST_DAYS:
            raise UsageError(f"An alert cannot watch {days} days; give 1 to {MOST_DAYS}.")
        if chosen.text:
            raise UsageError(
                "An alert's links would tell the words that this view looks for, which may be a "
                "user's; take the filter on words out."
            )
        if chosen.dates:
            raise UsageError(
                "Turns with impossible dates belong to no day, so no alert can watch them; take "
                "this filter out."
            )
        if (length := len(urlencode(chosen.query(), doseq=True))) > _LONGEST_QUERY:
            raise UsageError(
                f"The filters of this view make an address of {number(length)} characters, which "
                f"no message can hold; choose fewer values, for at most {_LONGEST_QUERY}."
            )
        if not about.of_turns:
            failure_point, chosen = None, Filter(assistant=chosen.assistant)
        return cls(name, kind, failure_point, replace(chosen, since=None, until=None), bound, days)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """The rule of a row of the table `alerts`; raises UsageError if no rule can be like it."""
        chosen = Filter.from_query(parse_qs(str(row["query"]), keep_blank_values=True))
        names = ("failure_point", "bound", "days")
        return cls.of(row["name"], row["kind"], chosen, *(row[name] for name in names))

    def row(self) -> dict[str, Any]:
        """A new row of the table `alerts`, never evaluated yet."""
        fields = {name: value for name, value in asdict(self).items() if name != "chosen"}
        return {
            **fields,
            "alert_id": secrets.token_hex(4),
            "query": urlencode(self.chosen.query(), doseq=True),
            "muted": False,
            "created_at": datetime.now(UTC),
            "state": "new",
            "pending": [],
        }

    @property
    def point(self) -> str:
        """The rate it watches: a failure point, or "defect" for any."""
        return self.failure_point or "defect"

    @property
    def subject(self) -> str:
        """`ASR`, `Any failure`."""
        return NAMES[self.failure_point] if self.failure_point else "Any failure"

    def words(self) -> str:
        """The rule in words: `ASR above 10 % in the last 7 days · en-GB`."""
        last = "the last day" if self.days == 1 else f"the last {several(self.days, 'day')}"
        bound = self.bound or 0.0
        words = {
            "rate": f"{self.subject} above {percent(bound)} in {last}",
            "unusual": f"{self.subject} above its usual range in {last}",
            "change": f"{self.subject} rose to another level in {last}",
            "budget": f"Error budget of {self.subject} burns more than {number(bound)}× as fast as "
            f"it may, over {last}",
            "late": f"No turn for {number(bound)} h",
            "signal": f"A signal stopped being logged in {last}",
        }[self.kind]
        caption = self.chosen.caption()
        return words if caption == "all turns" else f"{words} · {caption}"
