"""Features of entity resolution: the mentions, and whether entities were found for them."""

from features.feature import Feature

_SCORES = "[list_max([c.score for c in m.candidates]) for m in mentions]"

FEATURES = [
    Feature("er.mentions", "len(mentions)", "mentions", "0", "Entities mentioned"),
    Feature(
        "er.unresolved",
        "len([m for m in mentions if len(coalesce(m.candidates, [])) = 0])",
        "mentions",
        "+",
        "Mentions that nothing in the catalogue matched",
    ),
    Feature(
        "er.resolved",
        "len([m for m in mentions if len(m.candidates) = 1])",
        "mentions",
        "-",
        "Mentions with exactly one match",
    ),
    Feature(
        "er.ambiguous",
        "len([m for m in mentions if len(m.candidates) > 1])",
        "mentions",
        "0",
        "Mentions with several matches",
    ),
    Feature(
        "er.candidates",
        "list_max([len(m.candidates) for m in mentions])",
        "candidates",
        "0",
        "Candidates of the most ambiguous mention",
    ),
    Feature("er.score", f"list_min({_SCORES})", "probability", "-", "Lowest best-candidate score"),
    Feature(
        "er.score_gap",
        "list_min([list_max([c.score for c in m.candidates])"
        " - list_reverse_sort([c.score for c in m.candidates])[2] for m in mentions])",
        "probability",
        "-",
        "Smallest gap between the best and second candidate",
    ),
    Feature(
        "er.name_sim",
        "list_min([list_max([jaro_winkler_similarity(mention_texts[i], norm(c.name))"
        " for c in mentions[i].candidates"
        " if c.name IS NOT NULL AND mention_texts[i] IS NOT NULL])"
        " for i in range(1, len(mentions) + 1)])",
        "share",
        "-",
        "Similarity of the mention to the name of the entity found",
    ),
    Feature(
        "er.mention_heard",
        "share_held(text, [m for m in mention_texts if m <> ''])",
        "share",
        "-",
        "Share of mentions that occur in the text heard",
    ),
    Feature(
        "er.slots_unmatched",
        "len(slots) - len(mentions)",
        "slots",
        "0",
        "Slots that were not looked up",
    ),
    Feature("er.latency", "er.latency_ms", "ms", "0", "Time entity resolution took"),
]
