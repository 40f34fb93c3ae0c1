"""Changes of the store that a click asks for."""

from __future__ import annotations

from collections.abc import Callable

from data.errors import FaultlineError, machine_error


def refused(change: Callable[[], object], path: str) -> str | None:
    """Make a change to the store at `path`; None if it is made, else why not, as a sentence."""
    try:
        change()
    except FaultlineError as error:
        return str(error)
    except OSError as error:
        problem = machine_error(error, path)
        return str(problem or f"The store cannot be written to ({error.strerror}).")
    return None
