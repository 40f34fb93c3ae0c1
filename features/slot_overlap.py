"""How the slots of a turn compare with those of another turn of its dialogue."""


def changed_slots(other: str) -> str:
    """SQL: how many slots have another value among `other`, a list of slots; null without it."""
    return _SAME_SLOT.format(other=other, value="IS DISTINCT FROM")


def repeated_slots(other: str) -> str:
    """SQL: how many slots have the same value among `other`, a list of slots; null without it."""
    return _SAME_SLOT.format(other=other, value="IS NOT DISTINCT FROM")


_SAME_SLOT = (
    "CASE WHEN {other} IS NOT NULL THEN len([s for s in slots if len([o for o in {other}"
    " if o.name = s.name AND o.value {value} s.value]) > 0]) END"
)
