"""The result of a command, and the contract of every error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ran:
    """The result of a command: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def must_fail(ran: Ran, *words: str, code: int | None = None) -> None:
    """The contract of every error: one line with what was given and what to do; no traceback."""
    assert ran.code in ((1, 2) if code is None else (code,)), ran
    assert "Traceback" not in ran.out + ran.err
    errors = [line for line in ran.err.splitlines() if not line.endswith("…")]
    assert len(errors) == 1, ran.err
    assert errors[0].startswith("Error: ")
    for word in words:
        assert word in errors[0]
