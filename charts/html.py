"""HTML of the dashboard and the report: Jinja2 templates with autoescaping.

A template is in the folder of the code that uses it and is named by its path: `report/page.html`,
`parts/shared/pieces.html`. Whatever a template prints is escaped, unless a macro produced it. No
template turns escaping off, and no Python code writes tags.
"""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from charts.formatting import confidence, count, milliseconds, number, percent
from charts.palette import COLOURS, GROUND, NEUTRAL, colour_of
from data.schema.vocabulary import NAMES

# The folder that holds the packages: the repository, or site-packages where a wheel is installed.
ROOT = Path(__file__).parents[1]
# Control characters other than tab and line feed, and characters that reverse the text around them.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def render(template: str, **values: object) -> str:
    """A whole template as HTML. Raises jinja2.UndefinedError if it uses a value not passed."""
    return _visible(ENVIRONMENT.get_template(template).render(values))


def piece(template: str, macro: str, **values: object) -> str:
    """One macro of a template as HTML, called with `values`.

    The result is a plain string: a template that prints it escapes it. Pieces are put together in
    templates, where macros call each other.
    """
    return _visible(getattr(ENVIRONMENT.get_template(template).module, macro)(**values))


def compile_templates(*folders: str) -> list[str]:
    """Compile every template under some top-level folders now; returns their names."""
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.html"))
    names = [file.relative_to(ROOT).as_posix() for file in files]
    for name in names:
        ENVIRONMENT.get_template(name)
    return names


def _visible(html: str) -> str:
    """The same HTML with characters that cannot be seen replaced, and encodable as UTF-8."""
    text = _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", html)
    return text.encode("utf-8", "replace").decode()


def _cut(value: object, length: int) -> str:
    """A value as text of at most `length` characters; an ellipsis follows where it was cut."""
    text = str(value)
    return text if len(text) <= length else text[:length] + "…"


def _along(value: float, first: float, last: float) -> float:
    """Where a value lies between `first` and `last`, in percent; values outside are clamped."""
    share = (value - first) / (last - first) if last != first else 0.0
    return 100 * min(max(share, 0.0), 1.0)


def _fixed(value: float, digits: int = 1) -> str:
    """A number with a fixed count of decimal places, as CSS and SVG need it."""
    return f"{value:.{digits}f}"


# Templates are compiled at their first use and then cached.
ENVIRONMENT = Environment(
    loader=FileSystemLoader(ROOT),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(
    along=_along,
    confidence=confidence,
    cut=_cut,
    fixed=_fixed,
    milliseconds=milliseconds,
    number=number,
    percent=percent,
    # Jinja's own filter `count` is the length.
    thousands=count,
)
ENVIRONMENT.globals.update(
    COLOURS=COLOURS, NAMES=NAMES, NEUTRAL=NEUTRAL, GROUND=GROUND, colour_of=colour_of
)
