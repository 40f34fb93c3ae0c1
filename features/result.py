"""Features of the result: what the assistant did and said."""

from features.feature import Feature

FEATURES = [
    Feature(
        "result.failed",
        "CASE WHEN result.status IS NOT NULL THEN (result.status <> 'ok')::INT END",
        "yes/no",
        "+",
        "The action failed",
    ),
    Feature("result.apology", "apologises(response)", "yes/no", "+", "The response apologises"),
    Feature(
        "result.question",
        "contains(result.response, '?')::INT",
        "yes/no",
        "0",
        "The response asks something",
    ),
    Feature(
        "result.asks_repeat",
        "asks_repeat(response)",
        "yes/no",
        "+",
        "The response asks the user to say it again",
    ),
    Feature("result.words", "len_words(response)", "words", "0", "Words in the response"),
    Feature(
        "result.echo",
        "share_held(result_said, slot_values)",
        "share",
        "-",
        "Share of slot values that the response repeats",
    ),
    Feature(
        "result.same_as_prompt",
        "edit_sim(left(response, 200), left(prompt_text, 200))",
        "share",
        "+",
        "Similarity of the response to the prompt before",
    ),
    Feature(
        "result.capture_answered",
        "capture_answered",
        "yes/no",
        "0",
        "Of the devices that heard this request, this one answered",
    ),
    Feature("result.items", "result.items", "items", "0", "Items in the result"),
    Feature("result.latency", "result.latency_ms", "ms", "0", "Time the action took"),
    Feature("result.tts_latency", "tts.latency_ms", "ms", "0", "Time speech output took"),
    Feature(
        "result.total_latency",
        "result.start_ms + result.latency_ms",
        "ms",
        "+",
        "Time from request to result",
    ),
]
