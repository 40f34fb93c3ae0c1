"""Functions that numba compiles, and where their machine code is kept."""

from __future__ import annotations

from typing import Any

from assistant.optional import optional

numba = optional("numba", "numba", "The assistant")


def compiled(function: Any) -> Any:
    """`function` as machine code, which is kept beside the module that it is in.

    Where nothing may be written there, numba keeps it in the user's cache folder or in the folder
    ``NUMBA_CACHE_DIR``; where it may write nowhere, every process compiles for itself. What is
    kept goes by the age of one file: a compiled function calls none of another module, or it
    would go on with an old version of it.
    """
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:
        return numba.njit(function)
