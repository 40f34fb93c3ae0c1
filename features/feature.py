"""What a feature is: a named, documented SQL expression over the frame of `features.frame`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

When = Literal["own", "before", "after"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix.

    Attributes
    ----------
    name: unique, prefixed by its stage: ``asr.confidence``.
    sql: expression over one row of the frame; NULL means the trace does not log the signal.
    unit: what the number counts (``probability``, ``ms``, ``words``, ``yes/no``, …).
    direction: ``+`` if a high value points to a defect, ``-`` if against one, ``0`` if it depends.
    sentence: the feature's name for people.
    when: ``own`` and ``before`` are known when the turn ends; ``after`` only in hindsight.
    """

    name: str
    sql: str
    unit: str
    direction: Literal["+", "-", "0"]
    sentence: str
    when: When = "own"

    @property
    def stage(self) -> str:
        return self.name.split(".", 1)[0]
