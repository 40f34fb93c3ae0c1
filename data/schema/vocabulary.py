"""The words for the five stages and the six failure points, used wherever people read them.

Titles stand alone (a chip, a column, an axis); words stand inside a sentence.
"""

from __future__ import annotations

import re

from data.schema.trace import FAILURES, STAGES

# Failure point -> its title.
NAMES = {
    "false_wake": "False wake",
    "asr": "ASR",
    "nlu": "NLU",
    "er": "ER",
    "result": "Result",
    "correct": "Correct",
}
# The same inside a sentence: "called false wake".
FAILURE_WORDS = {
    "false_wake": "false wake",
    "asr": "ASR",
    "nlu": "NLU",
    "er": "ER",
    "result": "result",
    "correct": "correct",
}
# One such turn: "speaks for an ASR error".
FAILURE_NOUNS = {
    "false_wake": "a false wake",
    "asr": "an ASR error",
    "nlu": "an NLU error",
    "er": "an entity-resolution error",
    "result": "a wrong result",
    "correct": "a correct turn",
}
# A list of such turns: "back to ASR defects".
FAILURE_PLURALS = {
    "false_wake": "false wakes",
    "asr": "ASR defects",
    "nlu": "NLU defects",
    "er": "ER defects",
    "result": "result defects",
    "correct": "correct turns",
}
# What a verdict means, shown to annotators.
FAILURE_MEANINGS = {
    "false_wake": "Nobody spoke to the assistant, or not with this turn",
    "asr": "What was heard is not what was said",
    "nlu": "Heard right, but taken for something else",
    "er": "Understood right, but the wrong thing was found, or none",
    "result": "Everything before was right, the action or answer was not",
    "correct": "Nothing went wrong",
}
# Heading of the evidence for a failure point.
EVIDENCE_HEADINGS = {
    "false_wake": "Wake scores and hours",
    "asr": "Word confusions",
    "nlu": "Intent confusions",
    "er": "Unresolved and ambiguous mentions",
    "result": "Actions and their status",
}

# Stage -> its title.
STAGE_TITLES = {"wake": "Wake", "asr": "ASR", "nlu": "NLU", "er": "ER", "result": "Result"}
# The same inside a sentence: "ASR version not logged".
STAGE_WORDS = {"wake": "wake", "asr": "ASR", "nlu": "NLU", "er": "ER", "result": "result"}
# What a stage did, in the reader's words.
STAGE_NAMES = {
    "wake": "Wake",
    "asr": "Heard",
    "nlu": "Understood",
    "er": "Resolved",
    "result": "Did",
}
# What the evidence of a stage is called; `dialogue` and `text` belong to no stage.
EVIDENCE_NAMES = {**STAGE_TITLES, "dialogue": "Dialogue", "text": "Wording"}

# What NLU does in an agent that calls tools.
TOOL_CHOICE = "understanding (intent or tool choice)"

# So many turns annotated by people are asked for first: from then on they alone decide calibration
# and decisions (`classifiers.label_weights`).
FIRST_ANNOTATIONS = 50
# Beside all that a model says which has seen no label of a person, see
# `data.store.model_folders.learned_from_people`.
UNCHECKED = "Learned from behaviour, not yet checked by people"
UNCHECKED_MEANING = (
    "This model has seen no label of a person: it learned from what users did next, such as saying "
    "the same again, breaking off or going on. How often turns fail is its own estimate, and which "
    "stage failed first is a guess, until people have annotated some turns."
)
# Of a model that people's verdicts taught which turns fail, see
# `data.store.model_folders.level_is_assumed`.
LEVEL_MEANING = (
    "Rates are model estimates: the annotated turns were chosen for what they tell, so they do not "
    "say how many of all turns fail."
)

_FAILURE_OF = dict(zip(STAGES, FAILURES, strict=True))
_STAGE_OF = dict(zip(FAILURES, STAGES, strict=True))


def failure_of(stage: str) -> str:
    """The failure point that blames a stage: `wake` is blamed by `false_wake`.

    Any other text is returned as it is.
    """
    return _FAILURE_OF.get(stage, stage)


def stage_of(failure_point: str) -> str:
    """The stage that a failure point blames: `false_wake` blames `wake`.

    Any other text, including `correct`, is returned as it is.
    """
    return _STAGE_OF.get(failure_point, failure_point)


def release_title(stage: str, version: str) -> str:
    """A version with its stage, named once: `4.2` and `asr-4.2` as `ASR 4.2`, `my-asr` as it is.

    Logs may name other components than the stages as well, such as `tts`.
    """
    version = version.removeprefix(f"{stage}-") or version
    named = re.search(rf"(?<![a-z]){re.escape(stage)}(?![a-z])", version.lower())
    return version if named else f"{STAGE_TITLES.get(stage, stage)} {version}"


def version_title(version: str) -> str:
    """`asr:asr-4.2`, as filters write a version, as `ASR 4.2`; other text as it is."""
    stage, colon, release = version.partition(":")
    return release_title(stage, release) if colon and stage in STAGES else version
