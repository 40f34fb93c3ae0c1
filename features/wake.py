"""Features of the wake-word detector."""

from features.feature import Feature

FEATURES = [
    Feature("wake.score", "wake.score", "probability", "-", "Wake-word score"),
    Feature(
        "wake.margin",
        "wake.score - wake.threshold",
        "probability",
        "-",
        "Wake-word score above its threshold",
    ),
    Feature("wake.latency", "wake.latency_ms", "ms", "0", "Time the wake-word detector took"),
    Feature(
        "wake.lead",
        "asr.start_ms - (wake.start_ms + wake.latency_ms)",
        "ms",
        "0",
        "Pause between wake word and speech",
    ),
]
