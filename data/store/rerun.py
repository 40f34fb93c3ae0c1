"""Doing a write again when another machine was quicker.

A store in an object store has no lock that writers on different machines could hold. Each works on
what it has read, and its commit counts only if nobody else has committed since; if somebody has,
all of the work is done again on what is there now. In a local store that never happens.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from data.errors import HeadMoved

_TRIES = 40
# Seconds to wait at most before the second try; doubled for each further one, up to the last.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0

P = ParamSpec("P")
R = TypeVar("R")


def rerun(work: Callable[P, R]) -> Callable[P, R]:
    """A function that commits to a store, and does all of its work again on `HeadMoved`.

    What it does before its commit must not be in its own way the second time. Raises `HeadMoved`,
    a sentence that says to try later, after 40 times.
    """

    @wraps(work)
    def again(*args: P.args, **kwargs: P.kwargs) -> R:
        # An iterator would be empty the second time.
        given: Any = [list(arg) if isinstance(arg, Iterator) else arg for arg in args]
        named: Any = {k: list(v) if isinstance(v, Iterator) else v for k, v in kwargs.items()}
        wait = _FIRST_WAIT
        for _ in range(_TRIES - 1):
            try:
                return work(*given, **named)
            except HeadMoved:
                # At random, so that two who were in each other's way are not so again.
                time.sleep(random.uniform(0, wait))
                wait = min(2 * wait, _LONGEST_WAIT)
        return work(*given, **named)

    return again
