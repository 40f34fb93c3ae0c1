"""Small drawings in HTML for lists: a rate with its interval, a line over time, a bar."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from charts.palette import NEUTRAL
from parts.shared.html import SHADE


def dot_and_interval(
    rate: float, low: float, high: float, rest: float, reach: float, colour: str, words: str
) -> str:
    """A rate as a dot on its interval, the rest's rate as a tick, on a scale from 0 to `reach`."""

    def at(share: float) -> str:
        return f"{100 * min(max(share / reach if reach else 0.0, 0.0), 1.0):.2f}%"

    def piece(style: str) -> str:
        return f'<div style="position:absolute;{style}"></div>'

    width = f"calc({at(high)} - {at(low)})"
    return (
        f'<div role="img" aria-label="{escape(words)}" title="{escape(words)}" '
        'style="position:relative;height:14px;margin:.35em 6px">'
        + piece(f"left:0;right:0;top:6.5px;height:1px;background:{SHADE}")
        + piece(f"left:{at(rest)};top:1px;height:12px;width:2px;background:{NEUTRAL}")
        + piece(f"left:{at(low)};width:{width};top:6px;height:2px;background:{colour}")
        + piece(
            f"left:calc({at(rate)} - 5px);top:2px;width:10px;height:10px;border-radius:50%;"
            f"background:{colour}"
        )
        + "</div>"
    )


def sparkline(values: Sequence[float | None], colour: str, words: str) -> str:
    """Columns over time from zero; a gap where there is no value."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    columns = "".join(
        '<div style="flex:1 1 0;min-width:0;'
        + (
            "background:transparent"
            if value is None
            else f"background:{colour};opacity:.75;height:{max(4.0, 100 * value / top):.0f}%"
        )
        + '"></div>'
        for value in values
    )
    return (
        f'<div role="img" aria-label="{escape(words)}" title="{escape(words)}" '
        'style="display:flex;align-items:flex-end;gap:1px;height:24px;max-width:12em;'
        f'flex:1 1 6em">{columns}</div>'
    )


def bar(inside: float, rest: float, reach: float, colour: str, words: str) -> str:
    """One value as a bar, and what it is elsewhere as a thin grey one under it."""

    def width(value: float) -> float:
        return 100 * min(max(value / reach if reach else 0.0, 0.0), 1.0)

    return (
        f'<div role="img" aria-label="{escape(words)}" title="{escape(words)}" '
        'style="margin:.15em 0 .1em">'
        f'<div style="height:7px;border-radius:2px;width:{width(inside):.1f}%;'
        f'min-width:1px;background:{colour}"></div>'
        f'<div style="height:3px;border-radius:2px;width:{width(rest):.1f}%;min-width:1px;'
        f'margin-top:1px;background:{NEUTRAL}"></div></div>'
    )
