"""How long work reports its steps: to a caller, or, as lines of JSON, to another process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from data.errors import FaultlineError

# Called with steps done, steps in all, and what is being done.
Steps = Callable[[int, int, str], None]


def unheard(done: int, total: int, words: str) -> None:
    """The default of `Steps`: nobody is told."""


def tell(work: Callable[[Steps], object]) -> int:
    """Run `work` with steps written to standard output; a user's error goes to standard error, as
    the command line's do. Returns the exit code.

    The work ends with the process that started it.
    """
    parent = os.getppid()

    def steps(done: int, total: int, words: str) -> None:
        if os.getppid() != parent:
            raise SystemExit(1)
        print(json.dumps({"done": done, "total": total, "words": words}), flush=True)

    try:
        work(steps)
    except FaultlineError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
