"""Towns and what is in them."""

from __future__ import annotations

from functools import partial

from assistant.spoken_forms import spoken
from assistant.stages import LOCALES, Entity
from assistant.world import names
from assistant.world.composer import Composer

TOWNS_PER_LOCALE = 52
# Names that a second town has too: in another region, or in another country.
SHARED_TOWNS = 18
PLACES_PER_LOCALE = 56
_SHOPS = [
    "cafe",
    "bakery",
    "kitchen",
    "restaurant",
    "pharmacy",
    "books",
    "supermarket",
    "garage",
    "hotel",
    "pizza",
    "cinema",
    "gym",
    "dental",
    "hardware",
    "flowers",
    "barbers",
    "clinic",
    "museum",
]
_CHAINS = ("fresh corner", "the daily bean", "bolt gym", "happy noodle", "homeworks", "quickmart")


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
            regions = [r for r in names.REGIONS[locale] if r != twin.facts["region"]]
        else:
            # English names travelled: a town of the same name overseas.
            locale = composer.pick([one for one in LOCALES if one not in (locale, "en-IN")])
            regions = list(names.REGIONS[locale])
        weight = twin.popularity * (0.3 + 0.8 * float(composer.rng.random()))
        _add_town(composer, spoken(twin.name), locale, min(1.0, weight), composer.pick(regions))
    for locale in LOCALES:
        near = [town for town in towns if town.facts["locale"] == locale]
        near.sort(key=lambda town: -town.popularity)
        _make_shops(composer, locale, near[:8])


def _add_town(
    composer: Composer, name: str, locale: str, weight: float, region: str = ""
) -> Entity:
    region = region or composer.pick(names.REGIONS[locale])
    facts = {"locale": locale, "region": region, "qualified": f"{name} {region}"}
    return composer.add("town", name, (f"{name} {region}", f"{name} in {region}"), weight, facts)


def _town(composer: Composer, locale: str) -> str:
    starts = {"en-IN": names.INDIAN_STARTS, "en-AU": names.AUSTRALIAN_STARTS}.get(
        locale, names.SYLLABLE_STARTS
    )
    draw = composer.rng.random()
    plain = composer.pick(starts) + composer.pick(names.TOWN_ENDS[locale])
    if draw < 0.78 or locale == "en-IN":
        return plain
    if draw < 0.88:
        return f"{composer.pick(('new', 'north', 'east', 'upper', 'little', 'great'))} {plain}"
    if locale == "en-GB":
        return f"{plain} on {composer.pick(('sea', 'wye', 'trent', 'avon'))}"
    return f"{composer.pick(('lake', 'port', 'mount', 'fort'))} {composer.pick(names.LAST)}"


def _make_shops(composer: Composer, locale: str, towns: list[Entity]) -> None:
    for place, weight in enumerate(composer.zipf(PLACES_PER_LOCALE)):
        town = towns[int(composer.rng.random() ** 1.5 * len(towns))]
        # A chain has a branch in several towns: the name alone does not tell which.
        if place < len(_CHAINS) * 2:
            name = _CHAINS[place % len(_CHAINS)]
        else:
            name = composer.fresh("place", lambda: _shop(composer, locale))
        where = spoken(town.name)
        opens, closes = 7 + int(composer.rng.random() * 4), 17 + int(composer.rng.random() * 6)
        aliases = [f"{name} in {where}"]
        if len(name.split()) > 2:
            aliases.append(" ".join(name.removeprefix("the ").split()[:2]))
        facts = {
            "locale": locale, "town": town.id, "town_name": where, "opens": str(opens),
            "closes": str(closes), "qualified": f"{name} in {where}",
        }  # fmt: skip
        composer.add("place", name, aliases, weight, facts)


def _shop(composer: Composer, locale: str) -> str:
    last = composer.pick(names.INDIAN_LAST if locale == "en-IN" else names.LAST)
    adjective, noun = composer.pick(names.ADJECTIVES), composer.pick(names.NOUNS)
    shop = composer.pick(_SHOPS)
    return composer.pick((
        f"{last}'s", f"{last}'s {shop}", f"the {adjective} {noun}", f"{noun} {shop}",
        f"{last} and {composer.pick(names.LAST)}", f"the {noun} {shop}", f"{adjective} {shop}",
    ))  # fmt: skip
