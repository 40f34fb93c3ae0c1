"""Streamlit's caches, which all people of a server share: here an answer is kept for each access.

Whatever is cached goes through these, so that nobody gets what was read for somebody who sees more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from inspect import Parameter, signature
from typing import Any, TypeVar

import streamlit as st

from parts.server.access import access

F = TypeVar("F", bound=Callable[..., Any])


def cached_data(**options: Any) -> Callable[[F], F]:
    """`st.cache_data` of an answer for the access of whoever asks."""
    return lambda function: _kept(function, st.cache_data(**options))


def cached_resource(**options: Any) -> Callable[[F], F]:
    """`st.cache_resource` of an object for the access of whoever asks."""
    return lambda function: _kept(function, st.cache_resource(**options))


def forget(function: Callable[..., Any], *args: Any) -> None:
    """Forget what a cached function answered to these arguments, for this access."""
    function.clear(*args)  # type: ignore[attr-defined]


def _kept(function: F, cache: Callable[[Any], Any]) -> F:
    def keyed(seen_by: tuple[object, ...], /, *args: Any, **named: Any) -> Any:
        return function(*args, **named)

    update_wrapper(keyed, function)
    # By it Streamlit knows which arguments count: those without an underscore in front.
    first = Parameter("seen_by", Parameter.POSITIONAL_ONLY)
    wanted = signature(function)
    parameters = [
        p.replace(kind=Parameter.POSITIONAL_OR_KEYWORD) for p in wanted.parameters.values()
    ]
    keyed.__signature__ = wanted.replace(parameters=[first, *parameters])  # type: ignore[attr-defined]
    cached = cache(keyed)

    def call(*args: Any, **named: Any) -> Any:
        return cached(_seen_by(), *args, **named)

    def clear(*args: Any) -> None:
        cached.clear(_seen_by(), *args)

    update_wrapper(call, function)
    call.clear = clear  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _seen_by() -> tuple[object, ...]:
    """What decides what somebody sees; equal for all who see everything."""
    now = access()
    role = "viewer" if now.aggregates_only else ""
    people = now.may("people")
    return (role, people, now.assistants, now.locales)
