"""Features of the dialogue at this turn: its position, and what the assistant had just said.

Features of earlier and later turns are in `features.context_before` and `features.context_after`.
"""

from features.feature import Feature

FEATURES = [
    Feature("dialogue.index", "place", "turns", "0", "Position in the dialogue"),
    Feature(
        "dialogue.prompted",
        "(prompt_text IS NOT NULL)::INT",
        "yes/no",
        "0",
        "The assistant spoke first",
    ),
    Feature(
        "dialogue.prompt_apology",
        "apologises(prompt_text)",
        "yes/no",
        "+",
        "The assistant had just apologised",
    ),
    Feature(
        "dialogue.prompt_question",
        "contains(prompt_text, '?')::INT",
        "yes/no",
        "0",
        "The assistant had just asked something",
    ),
    Feature(
        "dialogue.prompt_confirms",
        "regexp_matches(prompt_text, '\\b(right|correct|yes or no|confirm)\\b')::INT",
        "yes/no",
        "0",
        "The assistant had just asked for a yes or no",
    ),
    Feature("dialogue.prompt_words", "len_words(prompt_text)", "words", "0", "Words in the prompt"),
    Feature(
        "dialogue.prompt_mentions_slots",
        "share_held(prompt_said, slot_values)",
        "share",
        "0",
        "Share of slot values that the prompt had already named",
    ),
    Feature("dialogue.rejects", "rejecting", "yes/no", "0", "The user rejects something"),
    Feature("dialogue.accepts", "accepting", "yes/no", "-", "The user agrees"),
    Feature(
        "dialogue.answer_fits",
        "CASE WHEN regexp_matches(prompt_text, '(yes or no|is that right|right\\?|correct\\?)')"
        " THEN greatest(rejecting, accepting) END",
        "yes/no",
        "-",
        "A yes-or-no question was answered with yes or no",
    ),
]
