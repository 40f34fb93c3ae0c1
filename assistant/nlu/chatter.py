"""Talk that is not meant for the assistant: what NLU should make nothing of."""

from __future__ import annotations

import numpy as np

_OPENINGS = (
    "well", "and then", "you know", "i mean", "honestly", "so", "but", "anyway", "listen", "oh",
    "right", "look", "yeah", "no no", "apparently", "",
)  # fmt: skip

_FRAMES = (
    "{who} told me that {thing} was {how}",
    "{who} said {thing} is going to be {how}",
    "i think {thing} looks really {how}",
    "we never talked about {thing} before",
    "they have been arguing over {thing} for years",
    "did {who} bring {thing} back",
    "that is exactly what {who} was saying about {thing}",
    "you should have seen {thing} it was {how}",
    "coming up after the break {who} and {thing}",
    "welcome back to the show tonight we talk about {thing}",
    "our next guest is {who} who is {how} about {thing}",
    "and that goal makes it two one with ten minutes left",
    "the minister said that {thing} would be {how} by the spring",
    "buy now and get {thing} for half the price",
    "terms and conditions apply see our site for {thing}",
    "police say that {thing} was found near {place}",
    "he walked out of {place} and never came back",
    "she left {thing} at {place} again",
    "could you pass me {thing} please",
    "have you seen my keys they were on {thing}",
    "put that down and come to the table",
    "what do you want for dinner tonight",
    "are you serious {who} did that",
    "i do not believe a word of it",
    "let us go to {place} before it gets dark",
    "{who} is picking the kids up from {place}",
    "wait what did {who} just say",
    "this is the best {thing} i ever had",
    "nobody knows where {who} went after {place}",
    "it was {how} and {how} at the same time",
    "if {who} calls tell them i am at {place}",
    "the doctor thinks {thing} will be {how}",
    "i love you but {thing} has to go",
    "ladies and gentlemen please welcome {who}",
    "scientists now believe that {thing} may be {how}",
    "where were you on the night of the murder",
    "you have the right to remain silent",
    "so {who} opened the door and there was {thing}",
    "the team came back from {place} looking {how}",
    "thanks for watching and do not forget {thing}",
)  # fmt: skip

_WHO = (
    "my sister", "the neighbour", "your brother", "the boss", "grandpa", "the actor", "somebody",
    "the captain", "everyone", "her mother", "the senator", "our teacher", "that guy", "they",
)  # fmt: skip
_THING = (
    "the new car", "that dress", "the election", "the old house", "the report", "the garden",
    "the whole plan", "the money", "the second half", "a new kitchen", "the last season", "the dog",
    "the market", "the wedding", "the ticket", "the story", "that song", "the weather there",
)  # fmt: skip
_HOW = (
    "great", "terrible", "too late", "expensive", "ready", "wonderful", "a disaster", "quite calm",
    "broken", "much better", "very strange", "nervous", "sold out", "over",
)  # fmt: skip
_PLACE = (
    "school", "the station", "the office", "the lake", "the hospital", "the stadium", "church",
    "the airport", "their flat", "the harbour", "the hotel",
)  # fmt: skip


def chatter(rng: np.random.Generator, n: int) -> list[tuple[str, ...]]:
    """`n` sentences in words; some begin late or end early, as a false wake cuts them."""
    sentences = []
    for _ in range(n):
        fill = {
            "who": _pick(rng, _WHO),
            "thing": _pick(rng, _THING),
            "how": _pick(rng, _HOW),
            "place": _pick(rng, _PLACE),
        }
        text = f"{_pick(rng, _OPENINGS)} {_pick(rng, _FRAMES).format(**fill)}"
        words = text.split()
        if rng.random() < 0.4:
            start = int(rng.integers(0, max(1, len(words) // 2)))
            words = words[start : start + int(rng.integers(3, 9))]
        sentences.append(tuple(words))
    return sentences


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
