"""Kinds of reasons for quarantine: many lines are rejected for one reason, each with its value."""

from __future__ import annotations

# SQL over the columns of `quarantine`. Without the place in a list, which differs from line to
# line, and without what was found: "expected a number, got 'x'" and "…, got 'y'" are of one kind.
FIELD_KIND = r"regexp_replace(coalesce(field, ''), '\[\d+\]', '[]', 'g')"


def reason_kind(reason: str = "reason") -> str:
    """SQL: the kind of a reason (an expression); of a kind, the same kind."""
    return f"regexp_replace({reason}, '(, got| at byte) .*$', '', 's')"


# The reason as text: whole where all lines of the kind have the same.
REASON_WORDS = (
    "CASE WHEN count(DISTINCT reason) = 1 THEN any_value(reason) "
    f"ELSE any_value({reason_kind()}) END"
)
