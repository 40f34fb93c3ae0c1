"""Small pieces of HTML for `st.html`. Logged text goes through `text`, so none of it is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from charts.palette import COLOURS
from data.schema.vocabulary import NAMES

LINE = "rgba(128, 134, 144, 0.35)"
SHADE = "rgba(128, 134, 144, 0.12)"
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
# Long unbroken texts wrap instead of widening the page.
_WRAP = "overflow-wrap:anywhere"


def text(value: object, most: int = 2000) -> str:
    """Any logged value as inert HTML; control and direction-override characters become visible."""
    found = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value))
    cut = found if len(found) <= most else found[:most] + "…"
    return f"<bdi>{escape(cut)}</bdi>"


def muted(inner: str) -> str:
    """Quieter text; `inner` is HTML."""
    return f'<span style="opacity:.68">{inner}</span>'


def mark(colour: str) -> str:
    """A small round mark in a palette colour."""
    return (
        f'<span aria-hidden="true" style="display:inline-block;width:.7em;height:.7em;'
        f'border-radius:50%;background:{colour};margin-right:.45em"></span>'
    )


def chip(failure_point: str) -> str:
    """A failure point's name in its colour's outline."""
    colour = COLOURS[failure_point]
    return (
        f'<span style="border:1.5px solid {colour};border-radius:99px;padding:.05em .6em;'
        f'font-size:.82em;white-space:nowrap">{mark(colour)}{NAMES[failure_point]}</span>'
    )


def line(inner: str, size: float = 1.0) -> str:
    """One line of a block; `inner` is HTML."""
    return f'<div style="font-size:{size}em;margin-top:.3em;{_WRAP}">{inner}</div>'


def block(
    title: str, colour: str, head: str, body: Iterable[str], outline: bool = False, note: str = ""
) -> str:
    """A titled frame; `outline` draws it in its colour, and `note` says why in words."""
    edge = f"2px solid {colour}" if outline else f"1px solid {LINE}"
    pad = ".6em .8em" if outline else "calc(.6em + 1px) calc(.8em + 1px)"
    why = f'<span style="font-size:.85em;margin-left:.6em">{note}</span>'
    return (
        f'<section style="border:{edge};border-radius:.6em;padding:{pad}">'
        f'<div style="display:flex;flex-wrap:wrap;justify-content:space-between;gap:.1em .8em;'
        f'align-items:baseline">'
        f'<span style="white-space:nowrap">{mark(colour)}<b>{title}</b>{why if note else ""}</span>'
        f'<span style="font-size:.85em">{head}</span></div>'
        f"{''.join(body)}</section>"
    )


def absent(title: str, colour: str) -> str:
    """A stage of which nothing was logged, in one quiet line."""
    return (
        f'<div style="padding:.1em calc(.8em + 1px);font-size:.9em;opacity:.68">{mark(colour)}'
        f"{title}: nothing logged</div>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A plain table; cells are HTML, columns in `numbers` are set right."""

    def cell(tag: str, place: int, inner: str) -> str:
        side = "right" if place in numbers else "left"
        keep = "white-space:nowrap;font-variant-numeric:tabular-nums" if place in numbers else _WRAP
        weight = "font-weight:500;opacity:.68;" if tag == "th" else ""
        return (
            f'<{tag} style="text-align:{side};vertical-align:top;padding:.22em .5em .22em 0;'
            f'border:0;border-bottom:1px solid {SHADE};{weight}{keep}">{inner}</{tag}>'
        )

    def cells(tag: str, row: Sequence[str]) -> str:
        return "<tr>" + "".join(cell(tag, i, inner) for i, inner in enumerate(row)) + "</tr>"

    return (
        f'<table style="width:100%;border-collapse:collapse;font-size:.88em;margin:.3em 0 0">'
        f"<thead>{cells('th', head)}</thead><tbody>{''.join(cells('td', r) for r in rows)}</tbody>"
        "</table>"
    )


def fold(summary: str, inner: str, opened: bool = False) -> str:
    """Something one click below."""
    return (
        f'<details{" open" if opened else ""} style="margin-top:.35em">'
        f'<summary style="cursor:pointer;font-size:.88em;opacity:.8">{summary}</summary>{inner}'
        "</details>"
    )


def gauge(share: float, colour: str) -> str:
    """A thin bar under a number in [0, 1]."""
    return (
        f'<div style="height:3px;border-radius:2px;background:{SHADE};margin-top:2px">'
        f'<div style="height:3px;border-radius:2px;width:{100 * min(max(share, 0), 1):.1f}%;'
        f'background:{colour}"></div></div>'
    )


def bubble(inner: str, mine: bool, colour: str | None = None) -> str:
    """One utterance: the user's to the right, the assistant's to the left; `colour` outlines it."""
    edge = f"2px solid {colour}" if colour else f"1px solid {LINE if mine else 'transparent'}"
    side = "flex-end" if mine else "flex-start"
    fill = "transparent" if mine else SHADE
    return (
        f'<div style="display:flex;justify-content:{side}"><div style="max-width:92%;border:{edge};'
        f'border-radius:.8em;padding:.4em .75em;background:{fill};{_WRAP}">{inner}</div></div>'
    )


def strip(value: float, low: float, high: float, first: float, last: float, colour: str) -> str:
    """A line from `first` to `last` with the usual range (`low` to `high`) and a mark at `value`.

    It says nothing that the words beside it do not say, so screen readers pass it over.
    """
    span = (last - first) or 1.0

    def at(number: float) -> float:
        return 100 * min(max((number - first) / span, 0), 1)

    return (
        f'<div aria-hidden="true" title="the band holds 80 % of correct turns" '
        f'style="position:relative;height:12px;max-width:22em">'
        f'<div style="position:absolute;top:5px;left:0;right:0;height:2px;'
        f'background:{SHADE}"></div>'
        f'<div style="position:absolute;top:3px;height:6px;border-radius:3px;background:{LINE};'
        f'left:{at(low):.1f}%;width:{max(at(high) - at(low), 1):.1f}%"></div>'
        f'<div style="position:absolute;top:0;width:4px;height:12px;border-radius:2px;'
        f'margin-left:-2px;background:{colour};left:{at(value):.1f}%"></div></div>'
    )
