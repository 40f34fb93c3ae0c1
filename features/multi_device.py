"""When dialogues are one request heard by several devices.

Homes with several assistants, and recordings with several microphones, log one request once per
device: dialogues that begin at the same instant, of the same assistant and user. More than a few
at once are traffic, such as logs with times of whole seconds and no user.

What is counted are dialogues. A dialogue may log several turns at one instant; they count once.
"""

from __future__ import annotations

# More devices than this in earshot of one voice are taken for traffic.
MOST_DEVICES = 4

# Equal in all turns of one request; nulls are equal to each other.
INSTANT = "started_at, assistant, user_id"


def several_devices(dialogues: str) -> str:
    """SQL that is true if `dialogues`, a count of those at one instant, may be one request."""
    return f"{dialogues} BETWEEN 2 AND {MOST_DEVICES}"


def same_instant(a: str, b: str) -> str:
    """SQL that is true if the rows of the tables `a` and `b` began at the same instant."""
    return (
        f"{a}.started_at = {b}.started_at"
        f" AND {a}.assistant IS NOT DISTINCT FROM {b}.assistant"
        f" AND {a}.user_id IS NOT DISTINCT FROM {b}.user_id"
    )
