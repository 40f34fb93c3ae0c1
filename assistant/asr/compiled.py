"""Functions that numba compiles, and where it caches their machine code."""

from __future__ import annotations

from typing import Any

from assistant.optional import optional

numba = optional("numba", "numba", "The assistant")


def compiled(function: Any) -> Any:
    """`function` as machine code, which is cached beside its module.

    If that folder is not writable, numba uses the user's cache folder or ``NUMBA_CACHE_DIR``; if
    nothing is writable, every process compiles for itself. The cache is valid for as long as the
    function's own file does not change, so that a compiled function neither calls one of another
    module nor takes a structure defined in one: it would go on with the old version.
    """
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:
        return numba.njit(function)
