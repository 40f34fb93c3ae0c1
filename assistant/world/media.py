"""What can be played: artists, songs, albums, films, series, books, stations, podcasts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assistant.spoken_forms import number, spoken, year
from assistant.stages import LOCALES, Entity
from assistant.world.composer import Composer
from assistant.world.words import KNOWN_TITLES, LOCAL, PATTERNS, SOUND_ALIKE

COUNTS = {
    "artist": 260, "song": 640, "album": 220, "film": 250, "series": 150, "audiobook": 220,
    "podcast": 110,
}  # fmt: skip
# Invented titles in several media, films in two editions, songs of one name or one sound.
SHARED_TITLES = 42
EDITIONS = 22
SAME_SONGS = 24
ALIKE_SONGS = 36
# The weight of the latter, relative to the other songs.
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
    created = 1955 + int(composer.rng.random() ** 0.6 * 70)
    role = "author" if kind == "audiobook" else "director"
    return {role: composer.person(), "year": str(created)}


def _add(
    composer: Composer,
    kind: str,
    name: str,
    weight: float,
    facts: dict[str, str],
    aliases: Sequence[str] = (),
) -> Entity:
    """Add a title; some are not available everywhere, or only by subscription."""
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
        if _is_of("first names", first) and _is_of("last names", last):
            aliases.append(last if composer.chance(0.7) else first)
        artists.append(composer.add("artist", name, aliases, weight))
    return artists


def _is_of(name: str, word: str) -> bool:
    """Whether a word is in a list of locales.txt, whatever the locale."""
    return any(word in words for words in LOCAL[name].values())


def _artist(composer: Composer) -> str:
    adjective, noun = composer.word("adjectives"), composer.word("nouns")
    plural = _plural(noun)
    draw = composer.rng.random()
    if draw < 0.5:
        return composer.person()
    if draw < 0.72:
        return f"the {adjective} {plural}"
    if draw < 0.82:
        return f"the {plural}"
    if draw < 0.9:
        return f"{composer.local('first names', 'en-US')} and the {plural}"
    return composer.pattern("band", adjective=adjective, noun=noun, other=composer.word("nouns"))


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
    for index, weight in enumerate(composer.zipf(ALIKE_SONGS, 0.5)):
        pattern = composer.pick(PATTERNS["song that sounds like another"])
        noun = composer.word("nouns")
        for word in SOUND_ALIKE[index % len(SOUND_ALIKE)]:
            title = pattern.format(word=word, noun=noun)
            _add(composer, "song", title, weight * ALIKE_WEIGHT, _by(_one_of(composer, artists)))


def _shared(composer: Composer, artists: Sequence[Entity]) -> None:
    titles = [(title, tuple(short)) for title, *short in KNOWN_TITLES]
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
    for index in composer.rng.permutation(len(films))[:EDITIONS].tolist():
        original = films[index]
        title = spoken(original.name)
        created = int(original.facts["year"])
        full_name = f"{title} from {year(created)}"
        composer.amend(original, {"edition": "original", "qualified": full_name}, (full_name,))
        created += int(composer.rng.integers(8, 35))
        full_name = f"{title} from {year(created)}"
        facts = {
            **_maker(composer, "film"), "year": str(created), "edition": "remake",
            "qualified": full_name,
        }  # fmt: skip
        weight = min(1.0, original.popularity * float(0.3 + composer.rng.random()))
        _add(composer, "film", title, weight, facts, (full_name,))


def _stations(composer: Composer) -> None:
    for locale in LOCALES:
        for weight in composer.zipf(19):
            name = composer.fresh("station", partial(_station, composer, locale))
            short = name.removesuffix(" fm").removeprefix("radio ")
            aliases = composer.nickname("station", weight)
            aliases += [short] if short != name else []
            composer.add("station", name, aliases, weight, {"locale": locale})


def _station(composer: Composer, locale: str) -> str:
    return composer.pattern(
        "station",
        adjective=composer.word("adjectives"),
        noun=composer.word("nouns"),
        frequency=number(88 + int(composer.rng.random() * 20)),
        channel=number(1 + int(composer.rng.random() * 9)),
        region=composer.local("regions", locale),
    )


def _podcast(composer: Composer) -> str:
    return composer.pattern(
        "podcast",
        adjective=composer.word("adjectives"),
        noun=composer.word("nouns"),
        other=composer.word("nouns"),
        first=composer.local("first names", "en-US"),
        second=composer.local("first names", "en-US"),
    )
