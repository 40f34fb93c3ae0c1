"""How users put a goal into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from assistant.intents.grammar import LOCAL_WORDS, length_of, render
from assistant.intents.intents import INTENTS, Intent
from assistant.language.goals import Goal, fill
from assistant.language.situation import suited
from assistant.stages import Context, Frame
from assistant.text_files import read_sections

if TYPE_CHECKING:
    from assistant.world.catalogue import Catalogue
    from assistant.world.homes import User

Style = Literal["plain", "explicit", "short", "louder", "correction", "follow_up", "other_words"]
STYLES: tuple[Style, ...] = (
    "plain", "explicit", "short", "louder", "correction", "follow_up", "other_words",
)  # fmt: skip
# Share of bare phrases where the situation explains them, and where it does not.
BARE_FITTING = 0.5
BARE_ELSE = 0.05
# How often an alias is used, most often the first.
ALIAS_SHARE = 0.4
# Parts of phrases that do not suit titles of a kind.
_MEDIUM_WORDS = (
    ("film", "series {"), ("film", "show {"), ("film", "season"), ("series", "<film> {"),
)  # fmt: skip
_DETERMINERS = ("a", "an", "half", "the", "one", "two", "my")
_BEFORE_NAMES = ("the", "some", "a", "more", "that", "new", "latest", "my", "of]", "some]")
SAME_AGAIN_SHARE = 0.5
_WORDING = read_sections(
    "assistant.language", "wording.txt", ("corrections", "fillers", "openings", "imperatives")
)
CORRECTIONS = _WORDING["corrections"].words
FILLERS = _WORDING["fillers"].words
OPENINGS = _WORDING["openings"].words
IMPERATIVES = frozenset(_WORDING["imperatives"].words)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Words and the slot tag of each: ``B-title``, ``I-title``, ``O``."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def slots(self) -> tuple[tuple[str, str], ...]:
        """(name, surface words) in the order of the text."""
        slots: list[tuple[str, list[str]]] = []
        for word, tag in zip(self.words, self.tags, strict=True):
            if tag[0] == "B":
                slots.append((tag[2:], [word]))
            elif tag[0] == "I":
                slots[-1][1].append(word)
        return tuple((name, " ".join(words)) for name, words in slots)


def say(
    goal: Goal,
    user: User,
    rng: np.random.Generator,
    style: Style = "plain",
    previous: Utterance | str = "",
) -> Utterance:
    """The goal in a user's words.

    Parameters
    ----------
    style: ``explicit`` names the medium and the full name; ``other_words`` avoids the wording of
        `previous`; ``correction`` opens with "no i said"; ``follow_up`` relies on the turn before.
    previous: the utterance before: ``louder`` repeats it, ``correction`` often does.

    Raises
    ------
    ValueError: unknown style, or slots that no phrase of the intent has.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; expected one of {', '.join(STYLES)}")
    intent = INTENTS[goal.intent]
    if isinstance(previous, Utterance):
        if style == "louder":
            return previous
        if style == "correction" and rng.random() < SAME_AGAIN_SHARE:
            words = ("no", "i", "said", *previous.words)
            return Utterance(words, ("O", "O", "O", *previous.tags))
    avoided = previous.text if isinstance(previous, Utterance) else previous
    return _compose(goal, intent, user, rng, style, avoided)


def _compose(
    goal: Goal, intent: Intent, user: User, rng: np.random.Generator, style: Style, avoided: str
) -> Utterance:
    names = tuple(sorted(name for name, _ in goal.slots))
    for _ in range(8):
        phrase = _choose(_phrases(intent, names, goal, user, rng, style), user, rng, style)
        values = _values(goal, rng, style)
        _drop_articles(phrase, values)
        words, tags = render(phrase, values, user.locale, rng)
        if style != "other_words" or " ".join(words) not in avoided:
            break
    return _as_people_talk(words, tags, user, rng, style)


def _phrases(
    intent: Intent,
    names: tuple[str, ...],
    goal: Goal,
    user: User,
    rng: np.random.Generator,
    style: Style,
) -> tuple[str, ...]:
    clear = _suited(intent.by_slots.get(names, ()), goal)
    if (goal.follows and style not in ("explicit", "correction")) or style == "follow_up":
        follow_ups = _suited(intent.follow_ups_by_slots.get(names, ()), goal)
        if follow_ups:
            return follow_ups
    bare = intent.bare_by_slots.get(names, ())
    if bare and style not in ("explicit", "correction"):
        # Terse people leave more to be guessed.
        share = (BARE_FITTING if goal.fits else BARE_ELSE) * (1.5 - user.verbosity)
        if not clear or rng.random() < share:
            return bare
    for group in (intent.by_slots, intent.bare_by_slots, intent.follow_ups_by_slots):
        clear = clear or bare or group.get(names, ())
    if not clear:
        raise ValueError(f"{intent.name} has no phrase with just the slots {', '.join(names)}")
    return clear


def _suited(phrases: tuple[str, ...], goal: Goal) -> tuple[str, ...]:
    """Phrases that do not call a film a series, nor say "a an hour timer"."""
    kinds = [identity.rpartition("-")[0] for identity in goal.entities.values()]
    wrong = tuple(word for kind, word in _MEDIUM_WORDS if kind in kinds)
    wrong += tuple(
        f" a {{{slot}}}" for slot, value in goal.slots if value.split()[0] in _DETERMINERS
    )
    if not wrong:
        return phrases
    return tuple(phrase for phrase in phrases if not any(part in phrase for part in wrong))


def _choose(phrases: tuple[str, ...], user: User, rng: np.random.Generator, style: Style) -> str:
    """A phrase; terse people, and the style ``short``, prefer short phrases."""
    count = len(phrases)
    first = phrases[int(rng.random() * count)]
    # A name and nothing else is rare, unless the assistant asked for it.
    if _is_name(first) and rng.random() < 0.8:
        first = phrases[int(rng.random() * count)]
    if count == 1 or style in ("other_words", "follow_up"):
        return first
    second = phrases[int(rng.random() * count)]
    if _is_name(second) and rng.random() < 0.8:
        second = first
    long_share = 0.0 if style == "short" else 1.0 if style == "explicit" else user.verbosity
    longer, shorter = (first, second) if length_of(first) >= length_of(second) else (second, first)
    return longer if rng.random() < long_share else shorter


def _is_name(phrase: str) -> bool:
    return phrase[0] == "{" and phrase[-1] == "}" and " " not in phrase


def _values(goal: Goal, rng: np.random.Generator, style: Style) -> dict[str, str]:
    values = dict(goal.slots)
    if style == "explicit":
        values.update(goal.full)
        return values
    for slot, aliases in goal.names.items():
        if aliases and rng.random() < ALIAS_SHARE:
            values[slot] = aliases[int(rng.random() ** 2 * len(aliases))]
    return values


def _drop_articles(phrase: str, values: dict[str, str]) -> None:
    """Drop the article of a name where the phrase has one already: "some crimson violins"."""
    for slot, value in values.items():
        if value.startswith("the ") and any(f"{w} {{{slot}}}" in phrase for w in _BEFORE_NAMES):
            values[slot] = value.removeprefix("the ")


def _fix_grammar(words: list[str], tags: list[str]) -> None:
    """Make a value agree with its phrase: "a ten minute timer", "an oven"."""
    for i in range(1, len(words)):
        if words[i] == "timer" and words[i - 1] in ("minutes", "seconds", "hours"):
            words[i - 1] = words[i - 1][:-1]
        elif (
            words[i - 1] == "a"
            and tags[i][0] != "I"
            and words[i][0] in "aeio"
            and words[i] != "one"
        ):
            words[i - 1] = "an"


def _as_people_talk(
    words: list[str], tags: list[str], user: User, rng: np.random.Generator, style: Style
) -> Utterance:
    """Add politeness, fillers and false starts; they belong to no slot."""
    _fix_grammar(words, tags)
    if style == "correction":
        opening = CORRECTIONS[int(rng.random() * len(CORRECTIONS))].split()
        words, tags = opening + words, ["O"] * len(opening) + tags
    elif style in ("plain", "explicit", "other_words") and len(words) > 2:
        if rng.random() < 0.03 + 0.15 * user.verbosity:
            words, tags = _politely(words, tags, user, rng)
        if rng.random() < 0.12 * (1.2 - user.clarity):
            words, tags = _hesitating(words, tags, rng)
    return Utterance(tuple(words), tuple(tags))


def _politely(
    words: list[str], tags: list[str], user: User, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    polite = LOCAL_WORDS["please"][user.locale]
    extra = polite[int(rng.random() * len(polite))].split()
    imperative = words[0] in IMPERATIVES
    if imperative and rng.random() < 0.25:
        opening = OPENINGS[int(rng.random() * len(OPENINGS))].split()
        return opening + words, ["O"] * len(opening) + tags
    if (
        imperative
        and extra[0] in ("please", "could", "kindly")
        and (len(extra) > 1 or extra[0] == "kindly" or rng.random() < 0.4)
    ):
        return extra + words, ["O"] * len(extra) + tags
    if extra[0] in ("could", "kindly") or "please" in words:
        return words, tags
    return words + extra, tags + ["O"] * len(extra)


def _hesitating(
    words: list[str], tags: list[str], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """A filler somewhere outside the slots, or the first words said twice."""
    draw = rng.random()
    if draw < 0.2 and tags[:2] == ["O", "O"]:
        return words[:2] + words, ["O", "O", *tags]
    if draw < 0.35 and tags[0] == "O":
        return [words[0], *words], ["O", *tags]
    i = int(rng.random() * len(words))
    if tags[i][0] == "I":
        i = 0
    filler = FILLERS[int(rng.random() * len(FILLERS))].split()
    return words[:i] + filler + words[i:], tags[:i] + ["O"] * len(filler) + tags[i:]


class Example(NamedTuple):
    """A training sentence, its context, and whether it is a follow-up."""

    utterance: Utterance
    intent: Intent
    context: Context
    follows: bool = False


# The share of the catalogue that training sentences name: rare names stay unseen.
KNOWN = 0.6
# How often the device is in a state that explains an intent's bare phrases.
SUITED = 0.5


def examples_in_context(
    catalogue: Catalogue, rng: np.random.Generator, n: int, known: float = KNOWN
) -> list[Example]:
    """`n` training sentences with device, home and the frame of the turn before.

    Intents are drawn by the square root of their weight, so that NLU learns the rare ones, too.
    """
    from datetime import datetime, timedelta

    from assistant.world.homes import build_homes, device_at

    homes = build_homes(int(rng.integers(1 << 30)), catalogue, 24)
    intents = list(INTENTS.values())
    shares = np.sqrt([intent.weight for intent in intents])
    order = rng.choice(len(intents), size=n, p=shares / shares.sum())
    sentences: list[Example] = []
    for index in order.tolist():
        intent = intents[index]
        home = homes[int(rng.random() * len(homes))]
        user = home.users[int(rng.random() * len(home.users))]
        moment = datetime(2024, 1, 1) + timedelta(minutes=int(rng.random() * 500_000))
        device = home.devices[int(rng.random() * len(home.devices))]
        device = device_at(home, device, moment, rng)
        # NLU has to see requests in few words, which the device's state explains, often.
        draw = rng.random()
        if draw < SUITED:
            device = suited(intent.name, device, draw / SUITED)
        follows = bool(intent.follow_ups) and rng.random() < 0.12
        goal = fill(rng, intent, catalogue, home, user, device, follows=follows, popular=known)
        if goal is None:
            continue
        before = _before(rng, intent, follows)
        context = Context(device, home.locale, moment, home.things, home.town, before)
        sentences.append(Example(say(goal, user, rng), intent, context, follows))
    return sentences


def _before(rng: np.random.Generator, intent: Intent, follows: bool) -> Frame | None:
    """The turn before: the same intent for a follow-up, otherwise mostly none."""
    if follows:
        return Frame(intent.domain, intent.name)
    if rng.random() > 0.3:
        return None
    names = list(INTENTS)
    other = INTENTS[names[int(rng.random() * len(names))]]
    if rng.random() < 0.4:
        other = intent
    return Frame(other.domain, other.name)


def examples(
    catalogue: Catalogue, rng: np.random.Generator, n: int
) -> list[tuple[Utterance, Intent]]:
    """The training sentences of `examples_in_context` without their contexts."""
    return [(e.utterance, e.intent) for e in examples_in_context(catalogue, rng, n)]
