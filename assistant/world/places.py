"""Towns and what is in them."""

from __future__ import annotations

from functools import partial

from assistant.spoken_forms import spoken
from assistant.stages import LOCALES, Entity
from assistant.world.composer import Composer
from assistant.world.words import LOCAL, WORDS

TOWNS_PER_LOCALE = 52
# Names of two towns, in different regions or countries.
SHARED_TOWNS = 18
PLACES_PER_LOCALE = 56


def make_places(composer: Composer) -> None:
    """Towns in four locales, some sharing a name; shops and sights in the larger ones."""
    towns: list[Entity] = []
    for locale in LOCALES:
        for weight in composer.zipf(TOWNS_PER_LOCALE, 0.8):
            name = composer.fresh("town", partial(_town, composer, locale))
            towns.append(_add_town(composer, name, locale, weight))
    for _ in range(SHARED_TOWNS):
        twin = towns[int(composer.rng.random() * len(towns))]
        locale = twin.facts["locale"]
        if locale == "en-IN" or composer.chance(0.6):
            regions = [r for r in LOCAL["regions"][locale] if r != twin.facts["region"]]
        else:
            # English names travelled: a town of the same name overseas.
            locale = composer.pick([other for other in LOCALES if other not in (locale, "en-IN")])
            regions = list(LOCAL["regions"][locale])
        weight = twin.popularity * (0.3 + 0.8 * float(composer.rng.random()))
        _add_town(composer, spoken(twin.name), locale, min(1.0, weight), composer.pick(regions))
    for locale in LOCALES:
        local_towns = [town for town in towns if town.facts["locale"] == locale]
        local_towns.sort(key=lambda town: -town.popularity)
        _make_shops(composer, locale, local_towns[:8])


def _add_town(
    composer: Composer, name: str, locale: str, weight: float, region: str = ""
) -> Entity:
    region = region or composer.local("regions", locale)
    facts = {"locale": locale, "region": region, "qualified": f"{name} {region}"}
    return composer.add("town", name, (f"{name} {region}", f"{name} in {region}"), weight, facts)


def _town(composer: Composer, locale: str) -> str:
    draw = composer.rng.random()
    plain = composer.local("town starts", locale) + composer.local("town ends", locale)
    if draw < 0.78 or locale == "en-IN":
        return plain
    if draw < 0.88:
        return f"{composer.word('town prefixes')} {plain}"
    if locale == "en-GB":
        return f"{plain} on {composer.word('rivers')}"
    return f"{composer.word('landmarks')} {composer.local('last names', locale)}"


def _make_shops(composer: Composer, locale: str, towns: list[Entity]) -> None:
    chains = WORDS["chains"]
    for rank, weight in enumerate(composer.zipf(PLACES_PER_LOCALE)):
        town = towns[int(composer.rng.random() ** 1.5 * len(towns))]
        # A chain has branches in several towns: the name alone does not tell which.
        if rank < len(chains) * 2:
            name = chains[rank % len(chains)]
        else:
            name = composer.fresh("place", lambda: _shop(composer, locale))
        town_name = spoken(town.name)
        opens, closes = 7 + int(composer.rng.random() * 4), 17 + int(composer.rng.random() * 6)
        aliases = [f"{name} in {town_name}"]
        if len(name.split()) > 2:
            aliases.append(" ".join(name.removeprefix("the ").split()[:2]))
        facts = {
            "locale": locale, "town": town.id, "town_name": town_name, "opens": str(opens),
            "closes": str(closes), "qualified": f"{name} in {town_name}",
        }  # fmt: skip
        composer.add("place", name, aliases, weight, facts)


def _shop(composer: Composer, locale: str) -> str:
    return composer.pattern(
        "shop",
        last=composer.local("last names", locale),
        adjective=composer.word("adjectives"),
        noun=composer.word("nouns"),
        shop=composer.word("shops"),
        partner=composer.local("last names", "en-US"),
    )
