"""For how many days a store keeps each of its tables, as it was told once; a setting of the store.

Nothing is removed by the setting itself: `data.store.retention` does that when it is asked to. What
writes a table that is kept for fewer days than the turns it is made from leaves older rows out, so
that they do not come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from data.counted import counted
from data.errors import UsageError
from data.store.rerun import rerun
from data.store.workspace import change_setting, setting

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store

# Days: a century. Larger values are mistakes, and overflow date arithmetic.
LONGEST = 36_500
# The setting; deletion leaves it alone.
NAME = "retention"


@dataclass(frozen=True)
class Kept:
    """How the rows of a table age.

    Attributes
    ----------
    called: what its rows are, in the plural. old: SQL that a row is older than `oldest.day`; empty
    where it takes more than that. of_turns: whether its rows are about turns, and go with them.
    words: what follows from keeping it for fewer days than the turns, for people.
    """

    called: str
    old: str
    of_turns: bool
    words: str


_DATED = "turn_id NOT IN (SELECT turn_id FROM misdated)"
_DAY = "(SELECT day FROM oldest)"
_TIME = "(SELECT day::TIMESTAMPTZ FROM oldest)"
TABLES_KEPT: Mapping[str, Kept] = {
    "turns": Kept(
        "turns", "", False, "everything that is about them goes with them, whatever its own days"
    ),
    "predictions": Kept(
        "predictions",
        "",
        True,
        "these days are in no chart and no rate any more, and score leaves their turns out",
    ),
    "annotations": Kept(
        "annotations",
        f"created_at < {_TIME}",
        True,
        "by when they were made; what models have learned from them stays until the next training, "
        "which has fewer",
    ),
    "judge_verdicts": Kept(
        "verdicts of judges", f"created_at < {_TIME}", True, "by when they came"
    ),
    "feedback": Kept(
        "rows of feedback", f"day < {_DAY} AND {_DATED}", True, "no later run writes them again"
    ),
    "goals": Kept(
        "goals",
        f"day < {_DAY} AND first_turn NOT IN (SELECT turn_id FROM misdated)",
        True,
        "no later run writes them again",
    ),
    "generated_labels": Kept(
        "generated labels",
        f"day < {_DAY} AND {_DATED}",
        True,
        "no later run writes them again, and the next training has fewer",
    ),
    "rewrite_outcomes": Kept(
        "outcomes of rewrites",
        f"day < {_DAY}",
        False,
        "the next mining judges rewrites by the turns that are there",
    ),
    "preferences": Kept(
        "preferences",
        f"greatest(created_at, last_used_at) < {_TIME}",
        False,
        "those that were neither made nor used since; their users have to teach them again",
    ),
    "preference_changes": Kept(
        "changes of preferences",
        f"changed_at < {_TIME}",
        False,
        "what was forgotten can be learned again from turns that are still there",
    ),
    "quarantine": Kept(
        "quarantined lines", f"quarantined_at < {_TIME}", False, "faulty lines cannot be looked at"
    ),
    "audit": Kept(
        "entries of the audit", f"happened_at < {_TIME}", False, "who did what is forgotten"
    ),
}


def checked(days: Mapping[str, int]) -> dict[str, int]:
    """Days by table, in the order of `TABLES_KEPT`.

    Raises UsageError for a table without an age, a number of days outside 1 to `LONGEST`, and
    where something about turns were to be kept longer than the turns.
    """
    for name, number in days.items():
        if name not in TABLES_KEPT:
            raise UsageError(
                f"No days can be set for '{name[:60]}'; choose from {', '.join(TABLES_KEPT)}."
            )
        if not 1 <= number <= LONGEST:
            raise UsageError(f"Cannot retain {number} days; give 1 to {LONGEST}.")
    turns = days.get("turns")
    for name, number in days.items():
        if turns is not None and TABLES_KEPT[name].of_turns and number > turns:
            raise UsageError(
                f"The {TABLES_KEPT[name].called} cannot be kept for {counted(number, 'day')}, as "
                f"they go with their turns after {counted(turns, 'day')}; give at most {turns}."
            )
    return {name: days[name] for name in TABLES_KEPT if name in days}


def policy(snapshot: Snapshot) -> dict[str, int]:
    """Days by table, as the store was told; a table that is not in it is kept for ever.

    Raises UsageError if the setting was damaged.
    """
    kept = setting(snapshot, NAME, {})
    if not isinstance(kept, dict) or not all(isinstance(days, int) for days in kept.values()):
        raise UsageError(
            "How long tables are kept cannot be read; set it again with: faultline retention"
        )
    return checked(kept)


@rerun
def set_policy(store: Store, changes: Mapping[str, int | None]) -> dict[str, int]:
    """Change the days of some tables (None: keep for ever); returns those of all.

    Raises UsageError as `checked` does.
    """
    with store.commit() as cycle:
        # What others change at the same time is changed before or after all of this.
        with cycle.snapshot("settings") as snapshot:
            after: dict[str, int | None] = {**policy(snapshot), **changes}
        days = checked({name: number for name, number in after.items() if number is not None})
        change_setting(cycle, NAME, days)
    return days


def oldest_kept(snapshot: Snapshot, table: str, today: date | None = None) -> date | None:
    """The first day of which a table is kept; None if it is kept for ever."""
    days = policy(snapshot).get(table)
    return None if days is None else first_day(days, today)


def first_day(days: int, today: date | None = None) -> date:
    """The first day that is kept where `days` are, before `today` (by default the UTC date)."""
    return (today or datetime.now(UTC).date()) - timedelta(days=days)
