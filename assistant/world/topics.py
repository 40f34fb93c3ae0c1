"""What can be asked about, cooked, bought or cheered for."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.spoken_forms import spoken, year
from assistant.stages import LOCALES
from assistant.world import goods, names
from assistant.world.composer import Composer

_CALLINGS = [
    "a singer",
    "an actor",
    "a painter",
    "a scientist",
    "an explorer",
    "a politician",
    "a novelist",
    "an inventor",
    "a footballer",
    "a cricketer",
    "an astronaut",
    "a chef",
    "a composer",
    "a poet",
    "a film director",
]


def make_topics(composer: Composer) -> None:
    """Ordinary things under their local names; people, teams and newspapers of this world."""
    for kind, listing in (
        ("food", goods.FOODS),
        ("dish", goods.DISHES),
        ("category", goods.CATEGORIES),
        ("genre", goods.GENRES),
        ("playlist", goods.PLAYLISTS),
        ("video_genre", goods.VIDEO_GENRES),
        ("topic", goods.TOPICS),
        ("word", goods.WORDS),
        ("subject", goods.SUBJECTS),
    ):
        _ordinary(composer, kind, listing)
    for weight in composer.zipf(130):
        name = composer.fresh("person", composer.person)
        born = year(1800 + int(composer.rng.random() * 195))
        what = composer.pick(_CALLINGS)
        answer = f"{name} is {what} born in {born}"
        composer.add("person", name, (name.split()[-1],), weight, {"answer": answer})
    _newspapers(composer)
    _teams(composer)


def _ordinary(composer: Composer, kind: str, listing: Sequence[str]) -> None:
    for entry, weight in zip(listing, composer.zipf(len(listing), 0.6), strict=True):
        facts: dict[str, str] = {}
        if "=" in entry:
            local = [" ".join(name.split()) for name in entry.split("=")]
            facts = dict(zip(LOCALES, local, strict=True))
            name, aliases = local[0], local[1:]
        else:
            name, *aliases = entry.split("/")
        if kind == "topic":
            facts["answer"] = f"here is what i know about {name}"
        if kind == "topic" and name.startswith("the "):
            aliases = [name.removeprefix("the ")]
        composer.add(kind, name, aliases, weight, facts)


def _newspapers(composer: Composer) -> None:
    ends = ("times", "herald", "post", "gazette", "tribune", "observer", "news", "chronicle")
    for locale in LOCALES:
        for weight in composer.zipf(8, 0.7):

            def compose(locale: str = locale) -> str:
                start = composer.pick(("morning", "evening", "daily", "national", "weekly", "city"))
                if composer.chance(0.5):
                    start = composer.pick(names.REGIONS[locale])
                return f"the {start} {composer.pick(ends)}"

            name = composer.fresh("news_source", compose)
            composer.add(
                "news_source", name, (name.removeprefix("the "),), weight, {"locale": locale}
            )


def _teams(composer: Composer) -> None:
    towns = [entity for entity in composer.entities if entity.kind == "town"]
    for locale in LOCALES:
        near = [town for town in towns if town.facts["locale"] == locale]
        near.sort(key=lambda town: -town.popularity)
        # Of a town's name alone its team is meant, so that no town has two.
        homes = composer.rng.permutation(len(near[:24]))[:13].tolist()
        for place, weight in zip(homes, composer.zipf(13, 0.8), strict=True):
            town, nick = spoken(near[place].name), composer.pick(goods.TEAM_ENDS[locale])
            aliases = composer.nickname("team", weight)
            aliases += [town] if locale == "en-GB" else [f"the {nick}", town]
            composer.add("team", f"{town} {nick}", aliases, weight, {"locale": locale})
