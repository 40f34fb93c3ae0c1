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
# Fill of a failure point's pill in a table: its colour, mixed with the page. Streamlit writes black
# on light and white on dark fills, and would write white on the full colour of most of them; mixed
# by about a third, all have a contrast of at least 7 : 1, on light and on dark.
PILLS = {name: f"{colour}59" for name, colour in COLOURS.items()}
# The theme's background and text colour, on light and on dark. Streamlit writes captions with 60 %
# of the text colour, so it is darker than it would have to be by itself.
# In a chart, a placeholder that Streamlit replaces by a grey which can be read on its theme's
# background: `streamlit.elements.lib.streamlit_plotly_theme.GRAY_90`. Its own axes use a paler one.
CHART_TEXT = "#000037"
PAPER = ("#FFFFFF", "#14181D")
INK = ("#0F1318", "#E3E7EB")
NEUTRAL = "#8A919C"
# Grid lines and rules: visible on white and on near-black alike.
FAINT = "rgba(138, 145, 156, 0.25)"


def colour_of(name: str | None) -> str:
    """Colour of a failure point or a stage; neutral for anything else."""
    return COLOURS.get(failure_of(name), NEUTRAL) if name else NEUTRAL
