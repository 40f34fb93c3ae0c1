"""Features of language understanding: confidence, margins, and whether the frame fits the words."""

from features.feature import Feature

FEATURES = [
    Feature(
        "nlu.confidence",
        "nlu_confs[1]",
        "probability",
        "-",
        "NLU confidence of the first hypothesis",
    ),
    Feature(
        "nlu.confidence_gap",
        "nlu_confs[1] - list_max(nlu_confs[2:])",
        "probability",
        "-",
        "NLU confidence above the second hypothesis",
    ),
    Feature("nlu.entropy", "entropy(nlu_confs)", "nats", "+", "Entropy of the NLU confidences"),
    Feature("nlu.hypotheses", "len(nlu_confs)", "hypotheses", "+", "NLU hypotheses"),
    Feature(
        "nlu.intents",
        "list_unique([h.intent for h in nlu_hyps])",
        "intents",
        "+",
        "Different intents among the NLU hypotheses",
    ),
    Feature(
        "nlu.domains",
        "list_unique([h.domain for h in nlu_hyps])",
        "domains",
        "+",
        "Different domains among the NLU hypotheses",
    ),
    Feature(
        "nlu.no_intent",
        "CASE WHEN nlu_hyps IS NOT NULL THEN"
        " (coalesce(intent, 'none') IN ('none', 'null', ''))::INT END",
        "yes/no",
        "+",
        "No intent understood",
    ),
    Feature("nlu.slots", "len(slots)", "slots", "0", "Slots filled"),
    Feature(
        "nlu.empty_slots",
        "len([s for s in slots if coalesce(s.value, '') = ''])",
        "slots",
        "+",
        "Slots filled with nothing",
    ),
    Feature(
        "nlu.duplicate_slots",
        "len(slots) - list_unique([s.name for s in slots])",
        "slots",
        "+",
        "Slots filled twice",
    ),
    Feature(
        "nlu.slots_heard",
        "share_held(text, slot_values)",
        "share",
        "-",
        "Share of slot values that occur in the text heard",
    ),
    Feature(
        "nlu.coverage",
        "CASE WHEN len(words) > 0 THEN"
        " list_sum([length(v) for v in slot_values]) / nullif(length(text), 0) END",
        "share",
        "0",
        "Share of the text heard that lies in slots",
    ),
    Feature(
        "nlu.slot_support",
        "CASE WHEN len(slot_values) > 0 AND list_sum(confs) > 0 THEN"
        " list_min([list_sum([CASE WHEN holds(texts[i], v) THEN confs[i] ELSE 0 END"
        " for i in range(1, n_hyps + 1)]) for v in slot_values]) / list_sum(confs) END",
        "probability",
        "-",
        "Share of ASR n-best confidence behind the least supported slot value",
    ),
    Feature(
        "nlu.frame_spread",
        "CASE WHEN len(nlu_hyps) > 1 THEN list_avg([abs(len(h.slots) - len(slots))"
        " for h in nlu_hyps[2:]]) END",
        "slots",
        "+",
        "Difference in slots between NLU hypotheses",
    ),
    Feature("nlu.latency", "nlu.latency_ms", "ms", "0", "Time language understanding took"),
    Feature(
        "nlu.capture_intent",
        "capture_intent",
        "share",
        "-",
        "Other devices that heard the request understood the same intent",
    ),
    Feature(
        "nlu.capture_slots",
        "capture_slots",
        "share",
        "-",
        "Slots shared with what another device understood of the request",
    ),
]
