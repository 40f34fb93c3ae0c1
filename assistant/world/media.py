"""What can be played: artists, songs, albums, films, series, books, stations, podcasts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assistant.spoken_forms import (
    number,
    spoken,
    year,
)
from assistant.stages import LOCALES, Entity
from assistant.world import names
from assistant.world.composer import Composer

COUNTS = {
    "artist": 260, "song": 640, "album": 220, "film": 250, "series": 150, "audiobook": 220,
    "podcast": 110,
}  # fmt: skip
# Well known titles that exist in several media, and how people shorten them.
KNOWN_TITLES = {
    "harry potter": (), "the hunger games": ("hunger games",), "the hobbit": ("hobbit",),
    "the lord of the rings": ("lord of the rings",), "dracula": (), "the jungle book": (),
    "pride and prejudice": (), "sherlock holmes": ("sherlock",), "the wizard of oz": (),
    "alice in wonderland": ("alice",),
}  # fmt: skip
# Invented titles in several media, films in two editions, songs of one name or one sound.
SHARED_TITLES = 42
EDITIONS = 22
SAME_SONGS = 24
ALIKE_SONGS = 36
# How often they are asked for, beside the other songs.
ALIKE_WEIGHT = 0.2
LIMITED_SHARE = 0.06
PREMIUM_SHARE = 0.05


def make_media(composer: Composer) -> None:
    """Everything that plays, with the traps that real catalogues have."""
    artists = _artists(composer)
    _songs(composer, artists)
    for weight in composer.zipf(COUNTS["album"]):
        artist = _one_of(composer, artists)
        name = spoken(artist.name) if composer.chance(0.06) else composer.title()
        _add(composer, "album", name, weight, _by(artist))
    for kind in ("film", "series", "audiobook"):
        for weight in composer.zipf(COUNTS[kind]):
            _add(
                composer, kind, composer.fresh(kind, composer.title), weight, _maker(composer, kind)
            )
    _shared(composer, artists)
    _stations(composer)
    for weight in composer.zipf(COUNTS["podcast"]):
        _add(composer, "podcast", composer.fresh("podcast", lambda: _podcast(composer)), weight, {})


def _one_of(composer: Composer, entities: Sequence[Entity]) -> Entity:
    return entities[int(composer.rng.random() ** 2 * len(entities))]


def _by(artist: Entity) -> dict[str, str]:
    return {"artist": artist.id, "artist_name": spoken(artist.name)}


def _maker(composer: Composer, kind: str) -> dict[str, str]:
    made = 1955 + int(composer.rng.random() ** 0.6 * 70)
    return {{"audiobook": "author"}.get(kind, "director"): composer.person(), "year": str(made)}


def _add(
    composer: Composer,
    kind: str,
    name: str,
    weight: float,
    facts: dict[str, str],
    aliases: Sequence[str] = (),
) -> Entity:
    """One more title; some are not to be had everywhere, or only by subscription."""
    if composer.chance(LIMITED_SHARE):
        closed = composer.pick(LOCALES)
        sold = [locale for locale in LOCALES if locale != closed and composer.chance(0.6)]
        home = next(locale for locale in LOCALES if locale != closed)
        facts = {**facts, "regions": ",".join(sold or [home])}
    if composer.chance(PREMIUM_SHARE):
        facts = {**facts, "plan": "premium"}
    return composer.add(kind, name, (*aliases, *_short(name)), weight, facts)


def _short(name: str) -> list[str]:
    """How people shorten a title."""
    words = name.split()
    short = [name.removeprefix("the ")] if name.startswith("the ") else []
    if len(words) > 3:
        start = words[: 2 + (words[0] in ("the", "a"))]
        if start[-1] not in ("the", "a", "in", "of", "and", "my", "for", "to", "with"):
            short.append(" ".join(start))
    return short


def _artists(composer: Composer) -> list[Entity]:
    artists = []
    for weight in sorted(composer.zipf(COUNTS["artist"]), reverse=True):
        name = composer.fresh("artist", lambda: _artist(composer))
        aliases = composer.nickname("artist", weight)
        aliases += [name.removeprefix("the ")] if name.startswith("the ") else []
        first, _, last = name.partition(" ")
        if first in names.FIRST + names.INDIAN_FIRST and last in names.LAST + names.INDIAN_LAST:
            aliases.append(last if composer.chance(0.7) else first)
        artists.append(composer.add("artist", name, aliases, weight))
    return artists


def _artist(composer: Composer) -> str:
    adjective, noun = composer.pick(names.ADJECTIVES), composer.pick(names.NOUNS)
    plural = _plural(noun)
    draw = composer.rng.random()
    if draw < 0.5:
        return composer.person()
    if draw < 0.72:
        return f"the {adjective} {plural}"
    if draw < 0.82:
        return f"the {plural}"
    if draw < 0.9:
        return f"{composer.pick(names.FIRST)} and the {plural}"
    return composer.pick((noun, f"{adjective} {noun}", f"{noun} {composer.pick(names.NOUNS)}"))


def _plural(noun: str) -> str:
    if noun[-1] == "y" and noun[-2] not in "aeo":
        return f"{noun[:-1]}ies"
    return noun if noun[-1] == "s" else f"{noun}es" if noun[-2:] in ("ch", "sh") else f"{noun}s"


def _songs(composer: Composer, artists: Sequence[Entity]) -> None:
    songs = []
    for weight in composer.zipf(COUNTS["song"]):
        artist = _one_of(composer, artists)
        songs.append(
            _add(
                composer,
                "song",
                composer.fresh("song", composer.title),
                weight,
                _by(artist),
                composer.nickname("song", weight),
            )
        )
    for weight in composer.zipf(SAME_SONGS, 0.4):
        other = songs[int(composer.rng.random() * len(songs))]
        artist = _one_of(composer, artists)
        _add(composer, "song", spoken(other.name), weight * other.popularity, _by(artist))
    for place, weight in enumerate(composer.zipf(ALIKE_SONGS, 0.5)):
        pair = names.ALIKE[place % len(names.ALIKE)]
        frame = composer.pick(
            ("the {} {other}", "{} of {other}", "{other} {}", "my {}", "no {} for {other}", "{}")
        )
        noun = composer.pick(names.NOUNS)
        for word in pair:
            title = frame.format(word, other=noun)
            _add(composer, "song", title, weight * ALIKE_WEIGHT, _by(_one_of(composer, artists)))


def _shared(composer: Composer, artists: Sequence[Entity]) -> None:
    titles = [(title, tuple(short)) for title, short in KNOWN_TITLES.items()]
    titles += [(composer.fresh("film", composer.title), ()) for _ in range(SHARED_TITLES)]
    weights = composer.zipf(len(titles), 0.5)
    for (title, short), weight in zip(titles, weights, strict=True):
        media = [kind for kind in ("film", "audiobook", "series") if composer.chance(0.75)]
        media = media if len(media) > 1 else ["film", "audiobook"]
        for kind in media:
            share = weight * float(0.12 + 0.35 * composer.rng.random())
            _add(composer, kind, title, share, _maker(composer, kind), short)
        if composer.chance(0.6):
            _add(composer, "album", title, weight * 0.4, _by(_one_of(composer, artists)), short)
        if composer.chance(0.25):
            _add(composer, "song", title, weight * 0.3, _by(_one_of(composer, artists)), short)
    films = [entity for entity in composer.entities if entity.kind == "film"]
    for place in composer.rng.permutation(len(films))[:EDITIONS].tolist():
        first = films[place]
        title = spoken(first.name)
        made = int(first.facts["year"])
        whole = f"{title} from {year(made)}"
        composer.amend(first, {"edition": "original", "qualified": whole}, (whole,))
        made += int(composer.rng.integers(8, 35))
        facts = {
            **_maker(composer, "film"), "year": str(made), "edition": "remake",
            "qualified": f"{title} from {year(made)}",
        }  # fmt: skip
        weight = min(1.0, first.popularity * float(0.3 + composer.rng.random()))
        _add(composer, "film", title, weight, facts, (f"{title} from {year(made)}",))


def _stations(composer: Composer) -> None:
    for locale in LOCALES:
        for weight in composer.zipf(19):
            name = composer.fresh("station", partial(_station, composer, locale))
            short = name.removesuffix(" fm").removeprefix("radio ")
            aliases = composer.nickname("station", weight)
            aliases += [short] if short != name else []
            composer.add("station", name, aliases, weight, {"locale": locale})


def _station(composer: Composer, locale: str) -> str:
    adjective, noun = composer.pick(names.ADJECTIVES), composer.pick(names.NOUNS)
    count = number(88 + int(composer.rng.random() * 20))
    channel = number(1 + int(composer.rng.random() * 9))
    return composer.pick((
        f"{noun} fm", f"radio {noun}", f"{adjective} fm", f"{noun} radio", f"{count} fm",
        f"radio {composer.pick(names.REGIONS[locale])}", f"{noun} {count}", f"radio {channel}",
    ))  # fmt: skip


def _podcast(composer: Composer) -> str:
    adjective, noun = composer.pick(names.ADJECTIVES), composer.pick(names.NOUNS)
    other, first = composer.pick(names.NOUNS), composer.pick(names.FIRST)
    return composer.pick((
        f"the {noun} show", f"{noun} and {other}", f"the daily {noun}", f"{first} talks {noun}",
        f"the {adjective} {noun}", f"stories of the {noun}", f"{noun} hour", f"no {noun} today",
        f"{first} and {composer.pick(names.FIRST)}", f"the history of the {noun}",
    ))  # fmt: skip
