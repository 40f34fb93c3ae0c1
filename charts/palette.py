"""The colours, the same on every page, chart, chip and table.

The five failure colours are Okabe and Ito's: colour-blind readers can tell them apart, on light
and on dark.
"""

from __future__ import annotations

from data.schema.vocabulary import failure_of

COLOURS = {
    "false_wake": "#56B4E9",
    "asr": "#0072B2",
    "nlu": "#E69F00",
    "er": "#CC79A7",
    "result": "#D55E00",
    "correct": "#7FA99B",
}
# Text colour on these colours, with a contrast of at least 4.5 : 1.
TEXT_ON = {
    "false_wake": "#14181D",
    "asr": "#FFFFFF",
    "nlu": "#14181D",
    "er": "#14181D",
    "result": "#14181D",
    "correct": "#14181D",
}
# The theme's background and text colour, on light and on dark. Streamlit writes captions with 60 %
# of the text colour, so it is darker than it would have to be by itself.
GROUND = ("#FFFFFF", "#14181D")
# In a chart, a placeholder that Streamlit replaces by a grey which can be read on its theme's
# background: `streamlit.elements.lib.streamlit_plotly_theme.GRAY_90`. Its own axes use a paler one.
CHART_TEXT = "#000037"
INK = ("#0F1318", "#E3E7EB")
# Text that says something is wrong, on light and on dark; words beside it say the same.
ALARM = ("#B3261E", "#FF9A90")
NEUTRAL = "#8A919C"
# Grid lines and rules: visible on white and on near-black alike.
FAINT = "rgba(138, 145, 156, 0.25)"


def colour_of(name: str | None) -> str:
    """Colour of a failure point or a stage; neutral for anything else."""
    return COLOURS.get(failure_of(name), NEUTRAL) if name else NEUTRAL


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two opaque colours `#RRGGBB`, from 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def blend(colour: str, opacity: float, ground: str) -> str:
    """`colour` with an opacity from 0 to 1, laid on `ground`, as an opaque colour `#RRGGBB`."""
    pairs = zip(_rgb(colour), _rgb(ground), strict=True)
    return "#" + "".join(f"{round(opacity * c + (1 - opacity) * g):02X}" for c, g in pairs)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in _rgb(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
