"""Language: what can be asked for, how it is said, and that tags and goals agree."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from assistant.intents.grammar import (
    LOCAL_WORDS,
    parse,
    render,
    slots_of,
)
from assistant.intents.intents import (
    DOMAINS,
    INTENTS,
    VALUE_KINDS,
    Intent,
)
from assistant.language.goals import Goal, draw_goal, fill
from assistant.language.slot_values import draw_value
from assistant.language.wording import (
    STYLES,
    Style,
    Utterance,
    examples,
    examples_in_context,
    say,
)
from assistant.spoken_forms import (
    number,
    spoken,
    year,
)
from assistant.stages import LOCALES, Device
from assistant.world import User, World, build_world

WORD = re.compile(r"[a-z']+")
MOMENT = datetime(2024, 3, 5, 18, 30)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(21, homes=40)


def goals(world: World, count: int, seed: int = 0) -> list[tuple[Goal, User, Device]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        home = world.homes[int(rng.integers(len(world.homes)))]
        user, device = home.users[0], home.devices[int(rng.integers(len(home.devices)))]
        found.append((draw_goal(rng, world, home, user, device, MOMENT), user, device))
    return found


def test_enough_domains_and_intents() -> None:
    assert len(DOMAINS) >= 12
    assert len(INTENTS) >= 45
    assert {"Yes", "No", "Stop", "Cancel", "GoBack", "Repeat", "Help"} <= set(INTENTS)
    assert sum(not intent.supported for intent in INTENTS.values()) >= 4


@pytest.mark.parametrize("intent", INTENTS.values(), ids=lambda intent: intent.name)
def test_phrases_of_an_intent(intent: Intent) -> None:
    assert len(intent.phrases) >= 12
    everything = (*intent.phrases, *intent.bare, *intent.follow_ups)
    for group in (intent.phrases, intent.bare, intent.follow_ups):
        assert len(set(group)) == len(group)
    for template in everything:
        assert set(slots_of(template)) <= {slot.name for slot in intent.slots}
        for kind, what in parse(template):
            if kind == "local":
                assert set(LOCAL_WORDS[what[0]]) == set(LOCALES)
            elif kind != "slot":
                assert all(WORD.fullmatch(word) for way in what for word in way.split())
    required = {slot.name for slot in intent.slots if slot.required}
    complete = [t for t in intent.phrases if required <= set(slots_of(t))]
    assert len(complete) >= 12
    if intent.domain not in ("dialogue",):
        assert len(intent.follow_ups) >= 2


def test_intents_share_wordings() -> None:
    meant = defaultdict(set)
    for intent in INTENTS.values():
        for template in (*intent.phrases, *intent.bare):
            meant[re.sub(r"\{\w+\}", "_", template)].add(intent.name)
    assert {"PlayMusic", "PlayAudiobook", "PlayVideo", "PlayStation"} <= meant["play _"]
    temperature = {"OvenTemperature", "RoomTemperature", "GetTemperature"}
    assert temperature <= meant["what is the temperature"]
    assert {"TimeLeft", "BookProgress"} <= meant["how much is left"]


@pytest.mark.parametrize("wrong", ["play {title", "play 7", "{title}s", "Play it", ""])
def test_wrong_phrases_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="cannot read the phrase"):
        parse(wrong)


def test_rendering_tags_the_words_of_a_slot() -> None:
    rng = np.random.default_rng(0)
    words, tags = render("play {title} [now]", {"title": "the long road"}, "en-US", rng)
    assert words == ["play", "the", "long", "road", "now"]
    assert tags == ["O", "B-title", "I-title", "I-title", "O"]


def test_locales_have_words_of_their_own() -> None:
    rng = np.random.default_rng(0)
    said = {
        locale: {" ".join(render("<film>", {}, locale, rng)[0]) for _ in range(40)}
        for locale in LOCALES
    }
    assert said["en-US"] == {"movie"}
    assert "film" in said["en-GB"]
    assert "picture" in said["en-IN"]


@pytest.mark.parametrize("style", STYLES)
def test_an_utterance_says_its_goal(world: World, style: Style) -> None:
    rng = np.random.default_rng(4)
    for goal, user, _ in goals(world, 1200):
        utterance = say(goal, user, rng, style)
        assert len(utterance.words) == len(utterance.tags) > 0
        assert all(WORD.fullmatch(word) for word in utterance.words), utterance
        assert sorted(name for name, _ in utterance.slots) == sorted(n for n, _ in goal.slots)
        for name, value in utterance.slots:
            ways = {dict(goal.slots)[name], goal.full.get(name), *goal.names.get(name, ())}
            ways |= {way.removeprefix("the ") for way in ways if way}
            ways |= {way[:-1] for way in ways if way and way.endswith("s")}
            assert value in ways


def test_slots_that_name_something_have_its_id(world: World) -> None:
    things = {thing.id: thing for home in world.homes for thing in home.things}
    for goal, user, _ in goals(world, 1500):
        intent = INTENTS[goal.intent]
        assert goal.supported == intent.supported
        for name, value in goal.slots:
            spec = intent.slot(name)
            assert (name in goal.entities) == spec.names_entity
            if spec.names_entity:
                entity = (
                    things.get(goal.entities[name]) or world.catalogue.by_id[goal.entities[name]]
                )
                assert entity.kind in spec.kinds
                known = {spoken(entity.name), *entity.aliases}
                assert value in known | {entity.facts.get(user.locale), goal.full.get(name)}


def test_same_seed_same_words(world: World) -> None:
    def told(seed: int) -> list[str]:
        rng = np.random.default_rng(1)
        return [say(goal, user, rng).text for goal, user, _ in goals(world, 300, seed)]

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_people_talk_in_short_and_long_sentences(world: World) -> None:
    rng = np.random.default_rng(2)
    lengths = [len(say(goal, user, rng).words) for goal, user, _ in goals(world, 3000)]
    assert min(lengths) == 1
    assert 3.5 < np.mean(lengths) < 7
    assert 10 <= np.quantile(lengths, 0.99) <= 16


def test_styles_differ_as_people_do(world: World) -> None:
    rng = np.random.default_rng(6)
    drawn = goals(world, 2500)

    def mean(style: Style) -> float:
        said = [say(g, user, rng, style) for g, user, _ in drawn]
        return float(np.mean([len(one.words) for one in said]))

    assert mean("short") + 0.7 < mean("explicit")
    said = say(drawn[0][0], drawn[0][1], rng)
    assert say(drawn[0][0], drawn[0][1], rng, "louder", said) == said
    with pytest.raises(ValueError, match=r"'shouted'; expected one of plain, explicit"):
        say(drawn[0][0], drawn[0][1], rng, "shouted")  # type: ignore[arg-type]  # no such style


def test_slots_that_nobody_asks_with_are_refused(world: World) -> None:
    goal = Goal("PlayMusic", (("artist", "adele raven"),), {})
    with pytest.raises(ValueError, match="PlayMusic has no phrase with just the slots artist"):
        say(goal, world.homes[0].users[0], np.random.default_rng(0))


def test_other_words_are_other_words(world: World) -> None:
    rng = np.random.default_rng(8)
    again = [
        say(goal, user, rng, "other_words", first).text == first.text
        for goal, user, _ in goals(world, 600)
        if (first := say(goal, user, rng)) and goal.intent != "Stop"
    ]
    assert np.mean(again) < 0.03


def test_explicit_titles_name_their_medium(world: World) -> None:
    rng = np.random.default_rng(9)
    home = world.homes[0]
    for name, wrong in (("film", "the series "), ("series", "the film ")):
        entity = next(
            e for e in world.catalogue.of_kind(name) if len(world.catalogue.named(e.name)) == 1
        )
        goal = Goal("PlayVideo", (("title", spoken(entity.name)),), {"title": entity.id})
        user = replace(home.users[0], locale="en-GB")
        said = {say(goal, user, rng, "explicit").text for _ in range(200)}
        assert len(said) > 5
        assert not any(wrong + spoken(entity.name) in text for text in said)


def test_follow_ups_go_on_with_the_turn_before(world: World) -> None:
    rng = np.random.default_rng(10)
    home = world.homes[1]
    user, device = home.users[0], home.devices[0]
    before = Goal("GetWeather", (("date", "tomorrow"),), {})
    after = [draw_goal(rng, world, home, user, device, MOMENT, before) for _ in range(400)]
    follows = [goal for goal in after if goal.follows]
    assert 0.3 < len(follows) / len(after) < 0.5
    assert {goal.intent for goal in follows} == {"GetWeather"}
    assert any(say(g, user, rng).text.startswith(("and ", "what about")) for g in follows)
    asked = Goal("SetAlarm", (), {})
    assert asked.missing == ("time",)
    answers = [draw_goal(rng, world, home, user, device, MOMENT, asked) for _ in range(200)]
    told = [goal for goal in answers if goal.intent == "SetAlarm" and goal.follows]
    assert len(told) > 120
    assert all("time" in dict(goal.slots) for goal in told)


def test_the_situation_makes_contextual_requests_common(world: World) -> None:
    rng = np.random.default_rng(11)
    home = world.homes[2]
    device = replace(home.devices[0], state={})
    hot = replace(device, state={"oven": "on"})
    user = replace(home.users[0], habits=dict.fromkeys(INTENTS, 1.0), verbosity=0.3)
    for place, least, most in ((device, 0, 8), (hot, 60, 900)):
        drawn = [draw_goal(rng, world, home, user, place, MOMENT) for _ in range(1500)]
        asked = [goal for goal in drawn if goal.intent == "OvenTemperature"]
        assert least <= len(asked) <= most
    bare = [" oven" not in f" {say(goal, user, rng).text}" for goal in asked]
    assert 0.25 < np.mean(bare) < 0.85
    assert all(goal.fits for goal in asked)


def test_video_is_asked_of_screens(world: World) -> None:
    counts: Counter[bool] = Counter()
    for goal, _, device in goals(world, 4000):
        if goal.intent == "PlayVideo":
            counts[device.has_screen] += 1
    assert counts[True] > 3 * counts[False]


def test_a_name_that_several_have_is_sometimes_said_in_full(world: World) -> None:
    rng = np.random.default_rng(12)
    home = world.homes[3]
    weather = INTENTS["GetWeather"]
    full = ambiguous = 0
    for _ in range(4000):
        goal = fill(rng, weather, world.catalogue, home, home.users[0], home.devices[0])
        if goal is not None and "town" in goal.full:
            ambiguous += 1
            full += dict(goal.slots)["town"] == goal.full["town"]
            assert goal.full["town"] in say(goal, home.users[0], rng, "explicit").text
    assert ambiguous > 20
    assert 0.02 < full / ambiguous < 0.8


@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_values_are_spoken_words(kind: str) -> None:
    rng = np.random.default_rng(13)
    for locale in LOCALES:
        values = {draw_value(kind, rng, locale) for _ in range(300)}
        assert len(values) >= 15
        for value in values:
            assert all(WORD.fullmatch(word) for word in value.split()), value


def test_unknown_values_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of value 'colour'"):
        draw_value("colour", np.random.default_rng(0), "en-US")


def test_examples_cover_all_intents_but_not_all_names(world: World) -> None:
    drawn = examples(world.catalogue, np.random.default_rng(14), 6000)
    assert len(drawn) > 5800
    count = Counter(intent.name for _, intent in drawn)
    assert set(count) == set(INTENTS)
    assert min(count.values()) >= 15
    text = {value for utterance, _ in drawn for _, value in utterance.slots}
    rare = world.catalogue.of_kind("song")[-150:]
    unseen = [e for e in rare if not world.catalogue.named(e.name)[1:]]
    assert np.mean([spoken(e.name) in text for e in unseen]) < 0.02
    assert len({utterance.text for utterance, _ in drawn}) > 4000


def test_examples_in_context_say_what_they_follow(world: World) -> None:
    drawn = examples_in_context(world.catalogue, np.random.default_rng(15), 2000)
    with_before = [e for e in drawn if e.context.before is not None]
    assert 0.1 < len(with_before) / len(drawn) < 0.6
    for example in drawn:
        follow_ups = example.intent.follow_ups
        if example.utterance.text in follow_ups and example.utterance.text.startswith("and "):
            before = example.context.before
            assert before is not None
            assert before.intent == example.intent.name


def test_words_of_numbers() -> None:
    assert [number(n) for n in (0, 17, 42, 100, 350, 2016)] == [
        "zero", "seventeen", "forty two", "one hundred", "three hundred and fifty",
        "two thousand sixteen",
    ]  # fmt: skip
    assert [year(n) for n in (1984, 1900, 1907, 2000, 2007, 2016)] == [
        "nineteen eighty four", "nineteen hundred", "nineteen oh seven", "two thousand",
        "two thousand and seven", "twenty sixteen",
    ]  # fmt: skip
    assert spoken("Apollo 13 & The Band!") == "apollo thirteen and the band"


def test_slots_of_an_utterance() -> None:
    utterance = Utterance(("play", "red", "road", "by", "ash"), ("O", "B-t", "I-t", "O", "B-a"))
    assert utterance.slots == (("t", "red road"), ("a", "ash"))
    assert utterance.text == "play red road by ash"
