"""Speech that is not addressed to the assistant: televisions, and people talking to each other."""

from __future__ import annotations

import numpy as np

from assistant.stages import Sound

# Phrases that can be mistaken for "hey juno".
ALIKE = (
    "hey you know", "hey june", "a junior", "hey do you know", "they do know", "hey juno",
    "say you know", "hey judo", "may you know", "hey jean oh",
)  # fmt: skip

TELEVISION = (
    "and after the break we will meet the woman who built a house out of bottles",
    "the answer is the second largest lake in europe",
    "he said he would never come back to this town again",
    "scientists say the storm could reach the coast by sunday",
    "well i always wanted to play the piano like my father did",
    "what is the one thing you would take to an island",
    "it's two nil and there are ten minutes left to play",
    "call now and you will get the second one for half the price",
    "detective you had better come and look at this",
    "add a little butter and let it rest for ten minutes",
    "turn the lights off they can see us from the road",
    "so tell me what was it like to work with her on that film",
    "the minister did not answer the question about taxes",
    "next week the final six bake a cake with no flour",
    "stop the car stop the car right now",
    "we will be right back with more music after this",
    "there are three of them and only one of us",
    "set in the summer of nineteen sixty this is a story about two brothers",
    "temperatures tomorrow will be well above the average for the time of year",
    "you can find all of tonight's recipes on our page",
    "i did not shoot anyone i was at home with my wife",
    "and the prize for the best series goes to",
    "the market closed down one percent on news from the bank",
    "if you wake up tired this mattress may be what you need",
    "he plays it wide and oh what a goal that is",
    "remind me again why we are in a boat without a paddle",
)
SIDE_TALK = (
    "did you remember to buy the milk", "i think she is coming at seven or eight",
    "no not that one the other one in the kitchen", "turn it down a bit the baby is asleep",
    "what time did you say the film starts", "we should call your mother on sunday",
    "have you seen my keys anywhere", "it is too warm in here isn't it",
    "play nicely you two", "dinner is ready come and sit down",
    "yes i told him the same thing yesterday", "put it on the list then",
    "he never listens to anything i say", "can you open the window please",
    "wait for me i'm nearly done", "is it going to rain do you think",
    "stop that right now", "and then she just walked out of the room",
    "where did we leave the charger", "let's watch something else",
)  # fmt: skip
_PHRASES = {"television": TELEVISION, "side_talk": SIDE_TALK}


def overheard(
    source: str, locale: str, rng: np.random.Generator, *, far_field: bool = True
) -> Sound:
    """Speech from `source` (``television`` or ``side_talk``) that a device may pick up.

    It often starts or ends in the middle of a sentence.

    Raises
    ------
    ValueError: there is no such source.
    """
    if source not in _PHRASES:
        raise ValueError(f"Unknown source {source!r}; choose from {', '.join(_PHRASES)}.")
    phrases = _PHRASES[source]
    words = phrases[rng.integers(len(phrases))].split()
    if rng.random() < 0.3:
        words = words[int(rng.integers(0, max(1, len(words) // 2))) :]
    if rng.random() < 0.5:
        words = words[: int(rng.integers(2, len(words) + 1))] if len(words) > 2 else words
    near = source == "side_talk"
    return Sound(
        words=tuple(words),
        source=source,
        accent=locale,
        snr_db=float(rng.normal(11.0 if near else 13.0, 5.0)),
        rate=float(max(1.5, rng.normal(3.2, 0.4))),
        distance_m=float(rng.uniform(1.0, 4.5)),
        far_field=far_field,
        phrase=ALIKE[rng.integers(len(ALIKE))],
    )
