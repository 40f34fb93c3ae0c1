"""When several dialogues are one request captured by several devices.

Homes with several devices, and recordings with several microphones, log one request once per
device: dialogues that begin at the same instant, of the same assistant and user. More than a few
at once are independent traffic, as in logs with times in whole seconds and no user.

Dialogues are counted: several turns that a dialogue logs at one instant count once.
"""

from __future__ import annotations

# More dialogues than this at one instant are independent traffic.
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
