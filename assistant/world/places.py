"""Towns and what is in them."""

from __future__ import annotations

from assistant.contract import LOCALES
from assistant.world import names
from assistant.world.composer import Composer


def make_places(composer: Composer) -> None:
    """Towns in four locales; several share a name."""
    for locale in LOCALES:
        for weight in composer.zipf(55):
            name = composer.fresh("town", lambda locale=locale: _town(composer, locale))
            region = composer.pick(names.REGIONS[locale])
            composer.add(
                "town", name, (f"{name} {region}",), weight, {"locale": locale, "region": region}
            )


def _town(composer: Composer, locale: str) -> str:
    starts = {"en-IN": names.INDIAN_STARTS, "en-AU": names.AUSTRALIAN_STARTS}.get(
        locale, names.SYLLABLE_STARTS
    )
    return composer.pick(starts) + composer.pick(names.TOWN_ENDS[locale])
