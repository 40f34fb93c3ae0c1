"""What people ask about, cook, buy or cheer for."""

from __future__ import annotations

from assistant.spoken_forms import spoken, year
from assistant.stages import LOCALES
from assistant.text_files import Line, group, read_sections
from assistant.world.composer import Composer

_KINDS = (
    "food", "dish", "category", "genre", "playlist", "video_genre", "topic", "word", "subject"
)  # fmt: skip
_GOODS = read_sections("assistant.world", "goods.txt", _KINDS)


def make_topics(composer: Composer) -> None:
    """Ordinary things under their local names; people, teams and newspapers of this world."""
    for kind, section in _GOODS.items():
        _ordinary(composer, kind, section.entries)
    for weight in composer.zipf(130):
        name = composer.fresh("person", composer.person)
        born = year(1800 + int(composer.rng.random() * 195))
        answer = f"{name} is {composer.word('callings')} born in {born}"
        composer.add("person", name, (name.split()[-1],), weight, {"answer": answer})
    _newspapers(composer)
    _teams(composer)


def _ordinary(composer: Composer, kind: str, entries: tuple[Line, ...]) -> None:
    for entry, weight in zip(entries, composer.zipf(len(entries), 0.6), strict=True):
        facts: dict[str, str] = {}
        name, *aliases = group(entry.text)
        if "=" in entry.text:
            name, *aliases = (name.strip() for name in entry.text.split("="))
            if len(aliases) != len(LOCALES) - 1:
                raise entry.error(f"a name for each of {', '.join(LOCALES)}, joined by '='")
            facts = dict(zip(LOCALES, (name, *aliases), strict=True))
        if kind == "topic":
            facts["answer"] = f"here is what i know about {name}"
        if kind == "topic" and name.startswith("the "):
            aliases = [name.removeprefix("the ")]
        composer.add(kind, name, aliases, weight, facts)


def _newspapers(composer: Composer) -> None:
    for locale in LOCALES:
        for weight in composer.zipf(8, 0.7):

            def compose(locale: str = locale) -> str:
                start = composer.word("newspaper starts")
                if composer.chance(0.5):
                    start = composer.local("regions", locale)
                return f"the {start} {composer.word('newspaper ends')}"

            name = composer.fresh("news_source", compose)
            composer.add(
                "news_source", name, (name.removeprefix("the "),), weight, {"locale": locale}
            )


def _teams(composer: Composer) -> None:
    towns = [entity for entity in composer.entities if entity.kind == "town"]
    for locale in LOCALES:
        local_towns = [town for town in towns if town.facts["locale"] == locale]
        local_towns.sort(key=lambda town: -town.popularity)
        # A town's name alone means its team, so no town has two.
        homes = composer.rng.permutation(len(local_towns[:24]))[:13].tolist()
        for index, weight in zip(homes, composer.zipf(13, 0.8), strict=True):
            town, players = spoken(local_towns[index].name), composer.local("team names", locale)
            aliases = composer.nickname("team", weight)
            aliases += [town] if locale == "en-GB" else [f"the {players}", town]
            composer.add("team", f"{town} {players}", aliases, weight, {"locale": locale})
