"""Markdown from a file, restricted to headings, tables and code; all other markup is escaped."""

from __future__ import annotations

import re

from charts.formatting import plain

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_RULE = re.compile(r"\|(\s*:?-+:?\s*\|)+")
_CODE = re.compile(r"`([^`]*)`")


def inert(text: str) -> str:
    """The same text with no active link, image, HTML, directive or formula.

    Headings are lowered by two levels, below those of the page.
    """
    return "\n".join(_line(line) for line in text.splitlines())


def _line(line: str) -> str:
    stripped = line.strip()
    heading = _HEADING.fullmatch(stripped)
    if heading:
        return f"{'#' * min(len(heading[1]) + 2, 6)} {_words(heading[2])}"
    if stripped.startswith("|"):
        if _RULE.fullmatch(stripped):
            return stripped
        return f"| {' | '.join(_words(cell.strip()) for cell in stripped.strip('|').split('|'))} |"
    return _words(stripped)


def _words(text: str) -> str:
    parts = _CODE.split(text)
    # Parts with an odd index were between backticks.
    return "".join(f"`{part}`" if i % 2 else plain(part) for i, part in enumerate(parts))
