"""How people react to what the assistant did: whether they notice, and whether they try again.

A user knows what they wanted and sees what happened, nothing else. Patient people try longer, clear
speakers spell out what they mean, the others raise their voice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assistant.language.wording import Style, Utterance
from assistant.stages import Device, Sound
from assistant.world import User

MOST_TRIES = 4
# Responses longer than this bore people.
LONG_MS = 2300.0
# How likely people notice a wrong outcome, by how it shows.
_NOTICED = {"failed": 0.98, "other": 0.96, "similar": 0.82}


@dataclass(frozen=True, slots=True)
class Experience:
    """What the assistant did, as the user sees it.

    Attributes
    ----------
    wrong: "" if it was what they wanted; ``failed`` (an apology, a question back), ``other`` (it
        did something else) or ``similar`` (the right thing to the wrong item).
    declined: the assistant said that it cannot do such things.
    tries: how often the user has asked for this goal by now.
    asked: whether the assistant asked "did I answer your question?".
    response_ms: the duration of the response.
    """

    wrong: str
    declined: bool
    tries: int
    asked: bool
    response_ms: float


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a user does next: ``done``, ``again`` (in `style`), ``stop`` or ``leave``.

    `seconds`: until they speak again. `barge_in_ms`: when they cut the response short, counted from
    its first sound. `content`: they noticed nothing wrong.
    """

    next: str
    style: Style = "plain"
    seconds: float = 5.0
    barge_in_ms: float | None = None
    explicit: str | None = None
    terminated: bool = False
    rating: float | None = None
    content: bool = True


def react(user: User, experience: Experience, rng: np.random.Generator) -> Reaction:
    """The reaction of a user to a turn."""
    noticed = bool(experience.wrong) and rng.random() < _NOTICED[experience.wrong]
    hasty = 1.0 - user.patience
    explicit = _answer(user, experience, noticed, rng)
    rating = _rating(user, noticed, rng)
    if not noticed:
        bored = experience.response_ms > LONG_MS and rng.random() < 0.03 + 0.05 * hasty
        retries = experience.declined and experience.tries == 1 and rng.random() < 0.22
        return Reaction(
            next="again" if retries else "done",
            style="other_words",
            seconds=_pause(rng, 2.5 if retries else 9.0),
            barge_in_ms=_cut_in(rng, 1500.0, experience.response_ms) if bored else None,
            explicit=explicit,
            terminated=bool(rng.random() < 0.012),
            rating=rating,
        )
    cuts_in = rng.random() < (0.10 if experience.wrong == "failed" else 0.25 + 0.40 * hasty)
    barge_in = _cut_in(rng, 900.0, experience.response_ms) if cuts_in else None
    persists = (0.30 + 0.5 * user.patience) * 0.5 ** (experience.tries - 1)
    if experience.tries < MOST_TRIES and rng.random() < persists:
        pause = _pause(rng, 1.2 if cuts_in else 2.4)
        style = _style(user, experience, rng)
        return Reaction("again", style, pause, barge_in, explicit, rating=rating, content=False)
    stops = experience.wrong != "failed" and rng.random() < 0.45
    ended = not stops and rng.random() < (0.08 if experience.wrong == "failed" else 0.35)
    then = "stop" if stops else "leave" if rng.random() < 0.75 else "done"
    pause = _pause(rng, 3.0)
    return Reaction(then, "plain", pause, barge_in, explicit, bool(ended), rating, content=False)


def _style(user: User, experience: Experience, rng: np.random.Generator) -> Style:
    """How to say it again."""
    weights: dict[Style, float]
    if experience.wrong == "failed":
        weights = {"plain": 0.9, "louder": 0.7, "explicit": 0.6, "other_words": 0.7, "short": 0.4}
    else:
        weights = {"correction": 1.1, "explicit": 0.7, "other_words": 0.6, "short": 0.35}
        weights |= {"louder": 0.35, "plain": 0.2}
    weights["explicit"] *= 0.4 + 1.2 * user.clarity
    weights["louder"] *= 1.6 - 1.2 * user.patience
    weights["short"] *= 1.5 - user.verbosity
    if experience.tries > 1:
        weights["louder"] *= 1.5
        weights["other_words"] *= 1.4
    shares = np.array(list(weights.values()))
    styles = list(weights)
    return styles[int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum()))]


def _answer(
    user: User, experience: Experience, noticed: bool, rng: np.random.Generator
) -> str | None:
    """Yes or no to "did I answer your question?"; most people say nothing."""
    if not experience.asked or rng.random() > 0.25 + user.feedback_rate:
        return None
    satisfied = not noticed and not (experience.declined and rng.random() < 0.7)
    if rng.random() < 0.04:
        satisfied = not satisfied
    return "yes" if satisfied else "no"


def _rating(user: User, noticed: bool, rng: np.random.Generator) -> float | None:
    if rng.random() > 0.04 * user.feedback_rate:
        return None
    return float(np.clip(np.rint(rng.normal(2.0 if noticed else 4.4, 0.9)), 1, 5))


def _pause(rng: np.random.Generator, typical: float) -> float:
    return float(typical * np.exp(rng.normal(0.0, 0.45)))


def _cut_in(rng: np.random.Generator, typical: float, response_ms: float) -> float | None:
    """When a user cuts in, None if the response has ended by then."""
    after = round(float(typical * np.exp(rng.normal(0.0, 0.5))), 1)
    return after if after < response_ms else None


def speak(
    user: User,
    utterance: Utterance,
    device: Device,
    style: Style,
    rng: np.random.Generator,
    tries: int = 1,
) -> Sound:
    """What reaches the device when a user says something, at some distance in the room.

    From the second of their `tries` on, users speak more slowly and come closer.
    """
    careful = tries > 1 or style in ("explicit", "louder", "correction")
    loudness = {"louder": 0.9, "correction": 0.4}.get(style, 0.15 if careful else 0.0)
    nearest, farthest = (0.8, 4.5) if device.far_field else (0.2, 0.7)
    distance = float(rng.uniform(nearest, farthest)) * (0.8 if tries > 1 else 1.0)
    noise = user.noise_db + (4.0 if device.state.get("television") == "on" else 0.0)
    noise += 3.0 if device.type == "car" else 0.0
    snr = 22.0 - noise - 1.2 * distance + rng.normal(0.0, 3.0)
    rate = user.rate * (0.82 if careful else 1.0) * float(np.exp(rng.normal(0.0, 0.08)))
    return Sound(
        words=utterance.words,
        source="user",
        accent=user.locale,
        snr_db=float(snr),
        rate=rate,
        distance_m=distance,
        far_field=device.far_field,
        loudness=float(np.clip(loudness + rng.normal(0.0, 0.05), 0.0, 1.0)),
    )
