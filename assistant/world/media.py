"""What can be played: artists, songs, albums, playlists, films, series, books, stations."""

from __future__ import annotations

from assistant.language.words import year
from assistant.world import names
from assistant.world.composer import Composer

SHARED_TITLES = (
    "harry potter",
    "the hunger games",
    "the hobbit",
    "dracula",
    "the jungle book",
    "pinocchio",
)


def make_media(composer: Composer) -> None:
    """Songs by artists; titles that exist in several media; films in several editions."""
    artists = [
        composer.add("artist", composer.fresh("artist", lambda: _artist(composer)), (), weight)
        for weight in composer.zipf(260)
    ]
    for weight in composer.zipf(700):
        artist = artists[int(composer.rng.random() ** 2 * len(artists))]
        composer.add(
            "song", composer.fresh("song", composer.title), (), weight,
            {"artist": artist.id, "artist_name": artist.name},
        )  # fmt: skip
    for kind, count in (("film", 260), ("series", 150), ("audiobook", 220)):
        for weight in composer.zipf(count):
            composer.add(kind, composer.fresh(kind, composer.title), (), weight)
    for title in SHARED_TITLES:
        for kind in ("film", "audiobook", "series"):
            composer.add(kind, title, (title.removeprefix("the "),), 0.7)
        for when in (1994, 2016):
            composer.add("film", title, (f"{title} from {year(when)}",), 0.3, {"year": str(when)})
    for weight in composer.zipf(70):
        composer.add("station", composer.fresh("station", lambda: _station(composer)), (), weight)


def _artist(composer: Composer) -> str:
    if composer.chance(0.55):
        return composer.person()
    return f"the {composer.pick(names.ADJECTIVES)} {composer.pick(names.NOUNS)}s"


def _station(composer: Composer) -> str:
    return f"{composer.pick(names.ADJECTIVES)} fm"
