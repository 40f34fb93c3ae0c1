"""Numbers in sentences: thousands apart in one way everywhere, and a noun that agrees."""

from __future__ import annotations


def number(value: object) -> str:
    """Whole numbers with narrow spaces between thousands; anything else as it is."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 row`, `2 rows`; `plural` where it is not the noun with an s."""
    return f"{number(count)} {noun if count == 1 else plural or f'{noun}s'}"
