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
# The theme's text colour, on light and on dark.
INK = ("#22272E", "#E3E7EB")
NEUTRAL = "#8A919C"
# Grid lines and rules: visible on white and on near-black alike.
FAINT = "rgba(138, 145, 156, 0.25)"


def colour_of(name: str | None) -> str:
    """Colour of a failure point or a stage; neutral for anything else."""
    return COLOURS.get(failure_of(name), NEUTRAL) if name else NEUTRAL
