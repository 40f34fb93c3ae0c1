"""The one vocabulary of colour and of names, the same on every page, chart, chip and table.

The five failure colours are Okabe and Ito's, told apart by colour-blind eyes on light and dark.
"""

from __future__ import annotations

COLOURS = {
    "false_wake": "#56B4E9",
    "asr": "#0072B2",
    "nlu": "#E69F00",
    "er": "#CC79A7",
    "result": "#D55E00",
    "correct": "#7FA99B",
}
# Letters on these colours, at least 4.5 : 1.
TEXT_ON = {
    "false_wake": "#14181D",
    "asr": "#FFFFFF",
    "nlu": "#14181D",
    "er": "#14181D",
    "result": "#14181D",
    "correct": "#14181D",
}
# What the theme writes with, on light and on dark.
INK = ("#22272E", "#E3E7EB")
NEUTRAL = "#8A919C"
# Grid lines and rules: visible on white and on near-black alike.
FAINT = "rgba(138, 145, 156, 0.25)"

NAMES = {
    "false_wake": "False wake",
    "asr": "ASR",
    "nlu": "NLU",
    "er": "ER",
    "result": "Result",
    "correct": "Correct",
}
# What a stage did, in the reader's words.
STAGE_NAMES = {
    "wake": "Wake",
    "asr": "Heard",
    "nlu": "Understood",
    "er": "Resolved",
    "result": "Did",
}
# What the evidence of a stage is called; `dialogue` and `text` belong to no stage.
EVIDENCE_NAMES = {
    "wake": "Wake",
    "asr": "ASR",
    "nlu": "NLU",
    "er": "ER",
    "result": "Result",
    "dialogue": "Dialogue",
    "text": "Wording",
}


def failure_of(stage: str) -> str:
    """The failure point that blames a stage: `wake` is blamed by `false_wake`."""
    return "false_wake" if stage == "wake" else stage


def colour_of(name: str | None) -> str:
    """Colour of a failure point or a stage; neutral for anything else."""
    return COLOURS.get(failure_of(name), NEUTRAL) if name else NEUTRAL
