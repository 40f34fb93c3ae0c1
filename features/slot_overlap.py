"""Comparison of the slots of a turn with those of another turn of its dialogue."""


def changed_slots(other: str) -> str:
    """SQL: number of slots with another value in the list `other`; null if that is null."""
    return _SAME_SLOT.format(other=other, value="IS DISTINCT FROM")


def repeated_slots(other: str) -> str:
    """SQL: number of slots with the same value in the list `other`; null if that is null."""
    return _SAME_SLOT.format(other=other, value="IS NOT DISTINCT FROM")


_SAME_SLOT = (
    "CASE WHEN {other} IS NOT NULL THEN len([s for s in slots if len([o for o in {other}"
    " if o.name = s.name AND o.value {value} s.value]) > 0]) END"
)
