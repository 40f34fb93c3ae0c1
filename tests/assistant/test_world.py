"""The world: enough of everything, the traps of real catalogues, and the same for the same seed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from assistant.intents.intents import INTENTS, THING_KINDS
from assistant.spoken_forms import spoken
from assistant.stages import LOCALES, Entity
from assistant.world import World, build_catalogue, build_world, device_at

SPOKEN = re.compile(r"[a-z']+( [a-z']+)*")


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(7, homes=80)


def fingerprint(world: World) -> str:
    return repr((world.catalogue.entities, world.homes))


def test_same_seed_same_world_in_another_process() -> None:
    code = (
        "import hashlib; from assistant.world import build_world; w = build_world(7, 6);"
        "print(hashlib.sha256(repr((w.catalogue.entities, w.homes)).encode()).hexdigest())"
    )
    root = Path(__file__).parents[2]
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_another_seed_is_another_world(world: World) -> None:
    other = build_world(8, homes=80)
    assert fingerprint(other) != fingerprint(world)
    assert set(other.catalogue.kinds) == set(world.catalogue.kinds)
    for kind in ("artist", "song", "film", "town", "place", "person", "team"):
        ours = {entity.name for entity in world.catalogue.of_kind(kind)}
        theirs = {entity.name for entity in other.catalogue.of_kind(kind)}
        assert len(ours & theirs) < 0.4 * len(ours), kind


def test_more_homes_leave_the_first_as_they_are(world: World) -> None:
    assert build_world(7, homes=3).homes == world.homes[:3]


def test_no_homes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one home, not 0"):
        build_world(1, homes=0)


def test_some_3000_entities_with_their_own_ids(world: World) -> None:
    entities = world.catalogue.entities
    assert 2800 <= len(entities) <= 4200
    assert len({entity.id for entity in entities}) == len(entities)


def test_every_slot_has_something_to_name(world: World) -> None:
    for intent in INTENTS.values():
        for slot in intent.slots:
            if not slot.names_entity:
                continue
            for kind in slot.kinds:
                if kind in THING_KINDS:
                    assert all(home.of_kind(kind) for home in world.homes), kind
                else:
                    assert world.catalogue.of_kind(kind), kind


def test_names_are_words_that_can_be_spoken(world: World) -> None:
    for entity in (*world.catalogue.entities, *(t for h in world.homes for t in h.things)):
        assert spoken(entity.name) == entity.name.lower()
        for name in (entity.name.lower(), *entity.aliases):
            assert SPOKEN.fullmatch(name), entity
        assert entity.name.lower() not in entity.aliases


def test_popularity_is_a_share_with_a_long_tail(world: World) -> None:
    for kind in ("song", "film", "town"):
        found = world.catalogue.of_kind(kind)
        weights = np.array([entity.popularity for entity in found])
        assert ((weights > 0) & (weights <= 1)).all()
        assert (np.diff(weights) <= 0).all()
        top = weights[: len(weights) // 10].sum() / weights.sum()
        assert 0.3 < top < 0.9, kind


def sharing(entities: tuple[Entity, ...]) -> list[list[Entity]]:
    names: dict[str, list[Entity]] = {}
    for entity in entities:
        names.setdefault(entity.name, []).append(entity)
    return [found for found in names.values() if len(found) > 1]


def test_titles_exist_in_several_media(world: World) -> None:
    media = [e for e in world.catalogue.entities if e.kind in ("film", "series", "audiobook")]
    titles = sharing(tuple(media))
    assert sum(len({e.kind for e in found}) > 1 for found in titles) >= 45
    potter = {entity.kind for entity in world.catalogue.named("harry potter")}
    assert len(potter) >= 2


def test_namesakes_can_be_told_apart_by_their_full_name(world: World) -> None:
    for kind, least in (("film", 15), ("town", 12), ("place", 5)):
        same = sharing(world.catalogue.of_kind(kind))
        assert len(same) >= least
        for found in same:
            full = [entity.facts["qualified"] for entity in found]
            assert kind == "place" or len(set(full)) > 1, found
            assert all(name in entity.aliases for name, entity in zip(full, found, strict=True))


def test_songs_that_sound_alike(world: World) -> None:
    names = {entity.name.lower() for entity in world.catalogue.of_kind("song")}
    swapped = [
        name
        for name in names
        if re.sub(r"\b(night|sun|road|blue)\b", lambda m: ALIKE[m[0]], name) in names - {name}
    ]
    assert len(swapped) >= 2


ALIKE = {"night": "knight", "sun": "son", "road": "rode", "blue": "blew"}


def test_some_titles_are_not_to_be_had_everywhere(world: World) -> None:
    limited = [e for e in world.catalogue.entities if "regions" in e.facts]
    assert 40 <= len(limited) <= 250
    for entity in limited:
        sold = entity.facts["regions"].split(",")
        assert set(sold) < set(LOCALES)
    assert any(e.facts.get("plan") == "premium" for e in world.catalogue.entities)


def test_an_import_can_lose_its_aliases(world: World) -> None:
    bare = world.catalogue.without_aliases(["town"])
    assert not any(entity.aliases for entity in bare.of_kind("town"))
    assert bare.of_kind("artist") == world.catalogue.of_kind("artist")
    assert not any(entity.aliases for entity in world.catalogue.without_aliases().entities)
    lost = world.catalogue.of_kind("film")[0].id
    assert lost not in world.catalogue.without([lost]).by_id


def test_people_ask_for_what_is_popular_and_near() -> None:
    catalogue = build_catalogue(7)
    rng = np.random.default_rng(0)
    drawn = [catalogue.draw(rng, "town", "en-GB") for _ in range(2000)]
    near = Counter(town.facts["locale"] for town in drawn if town)
    assert near["en-GB"] > 1300
    assert all(near[locale] > 0 for locale in LOCALES)
    assert catalogue.draw(rng, "dragon") is None
    known = [catalogue.draw(rng, "song", "", 0.1) for _ in range(500)]
    assert all(song in catalogue.of_kind("song")[:75] for song in known)


def test_homes_differ_in_locale_people_and_devices(world: World) -> None:
    assert {home.locale for home in world.homes} == set(LOCALES)
    assert {device.type for home in world.homes for device in home.devices} == {
        "speaker", "display", "tv", "phone", "car",
    }  # fmt: skip
    screens = [device.has_screen for home in world.homes for device in home.devices]
    assert 0.2 < np.mean(screens) < 0.8
    users = [user for home in world.homes for user in home.users]
    assert len({user.id for user in users}) == len(users)
    for user in users:
        for share in (user.patience, user.clarity, user.verbosity, user.feedback_rate):
            assert 0 <= share <= 1
        assert set(user.habits) == set(INTENTS)
        assert all(identity in world.catalogue.by_id for identity in user.favourites)
    accents = [user.locale != home.locale for home in world.homes for user in home.users]
    assert 0.02 < np.mean(accents) < 0.25
    assert all(home.town in world.catalogue.by_id for home in world.homes)


def test_things_of_a_home_have_similar_names(world: World) -> None:
    alike = 0
    for home in world.homes:
        ids = [thing.id for thing in home.things]
        assert len(set(ids)) == len(ids)
        lights = [thing.name.split() for thing in home.of_kind("light")]
        alike += any(
            one != other and set(one) & set(other) - {"light", "lamp"}
            for one in lights
            for other in lights
        )
    assert alike > len(world.homes) / 2


def test_the_oven_is_on_at_dinner_and_hardly_at_night(world: World) -> None:
    rng = np.random.default_rng(1)
    shares = []
    for hour in (18, 3):
        moment = datetime(2024, 5, 2, hour)
        states = [
            device_at(home, home.devices[0], moment, rng).state
            for home in world.homes
            for _ in range(5)
        ]
        shares.append(np.mean([state.get("oven") == "on" for state in states]))
    assert shares[0] > 0.3 > 0.15 > shares[1]
