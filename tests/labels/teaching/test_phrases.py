"""What people say to teach, in any script, and as recognisers hear it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.teaching.phrases import (
    LONGEST,
    cue,
    is_like,
    meaning_of,
    parse,
    phrase_key,
    plain,
    split_command,
)


@pytest.mark.parametrize(
    ("text", "kind", "name", "value"),
    [
        ("When I say cosy, dim the lights to 30", "concept", "cosy", "dim the lights to 30"),
        ("when i say cosy dim the lights to 30", "concept", "cosy", "dim the lights to 30"),
        ("when I say “movie night” I mean turn off the lights", "concept", "movie night",
         "turn off the lights"),
        ("when i say play my mix play jazz fm", "concept", "play my mix", "play jazz fm"),
        ("remember that cosy means dim the lights", "concept", "cosy", "dim the lights"),
        ("I'm a Warriors fan", "preference", "fan", "Warriors"),
        ("I’m a big fan of Miles Davis", "preference", "fan", "Miles Davis"),
        ("my favourite station is jazz fm", "preference", "station", "jazz fm"),
        ("From now on, call me Bob", "preference", "name", "Bob"),
        ("remember that my dog is called rex", "preference", "dog", "called rex"),
        ("remember that I take the 61 to work", "preference", "note", "I take the 61 to work"),
        ("let me teach you what cosy means", "phrase", "cosy", ""),
        ("learn my preferences", "learn", "", ""),
        ("forget cosy", "forget", "cosy", ""),
        ("what did I teach you?", "list", "", ""),
        ("Yes, please!", "yes", "", ""),
        ("nope", "no", "", ""),
        ("never mind", "cancel", "", ""),
        ("no, I said 40", "correction", "", "40"),
        ("当我说舒适的时候就把灯调到30", "concept", "舒适", "把灯调到30"),
        ("我最喜欢的颜色是蓝色", "preference", "颜色", "蓝色"),
        ("जब मैं शाम कहूं तो लाइट बंद करो", "concept", "शाम", "लाइट बंद करो"),
        ("cuando digo cine, apaga la luz", "concept", "cine", "apaga la luz"),
        ("wenn ich gemütlich sage dann mach das licht aus", "concept", "gemütlich",
         "mach das licht aus"),
        ("мой любимый цвет это синий", "preference", "цвет", "синий"),
        ("はい", "yes", "", ""),
    ],
)  # fmt: skip
def test_what_is_taught(text: str, kind: str, name: str, value: str) -> None:
    act = parse(text)
    assert (act.kind, act.name, act.value) == (kind, name, value)
    assert act.text == text


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "turn on the light", "play yellow means nothing", "call me a taxi",
        "set my alarm to seven", "remember to buy milk", "what does cosy mean",
        "my dog is ill", "x" * 5_000, "🎵", "؟", "play 当我",
    ],
)  # fmt: skip
def test_what_teaches_nothing(text: str) -> None:
    assert parse(text).kind == "other"


@pytest.mark.parametrize(
    "heard",
    ["win i say cosy dim the lights", "when i saye cosy dim the lights",
     "wen i say cosy dim the lights"],
)  # fmt: skip
def test_a_word_may_be_misheard(heard: str) -> None:
    act = parse(heard)
    assert (act.kind, act.name, act.value) == ("concept", "cosy", "dim the lights")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("when i say brr, set the freezer to -18 degrees", "brr", "set the freezer to -18 degrees"),
        ("My favourite language is C++.", "language", "C++"),
        ("my favourite language is C#", "language", "C#"),
        ("my favourite tip is $30", "tip", "$30"),
        ("when I say C++, open the compiler", "c++", "open the compiler"),
        ("when I say ‘cosy’, “dim the lights”!", "cosy", "dim the lights"),
        ("when I say 'cosy' Dim the lights to 1,000", "cosy", "Dim the lights to 1,000"),
        ("when I say 🎞️, play a film 🎬", "🎞", "play a film 🎬"),
        ("my usual room is 30 m²", "room", "30 m²"),
        ("my favourite car is .NET", "car", ".NET"),
        ("my usual start is 3,5 km", "start", "3,5 km"),
        ("remember that I say 'a' and 'b'", "note", "I say 'a' and 'b'"),
        ("When I say rock, play Guns N' Roses.", "rock", "play Guns N' Roses"),
    ],
)  # fmt: skip
def test_signs_symbols_and_case_are_kept(text: str, name: str, value: str) -> None:
    act = parse(text)
    assert (act.name, act.value) == (name, value)
    assert meaning_of(f"I mean, {value}!") == value


def test_symbols_tell_phrases_apart() -> None:
    keys = [phrase_key(text) for text in ("C", "C++", "C#", "18", "-18", "$30", "30", "🎞️", "🎬")]
    assert len(set(keys)) == len(keys)
    assert phrase_key("'Cosy', ❤️!") == phrase_key("cosy ❤") == "cosy ❤"
    assert parse("yes 👍").kind == "yes"


@given(st.text(max_size=40))
def test_a_phrase_is_looked_up_as_it_is_stored(text: str) -> None:
    assert phrase_key(phrase_key(text)) == phrase_key(text)


@pytest.mark.parametrize("number", ["⑩" * 120, "9" * 200, "-3", "0"])
def test_times_of_any_number(number: str) -> None:
    lasts = parse(f"my favourite station is x for {number} hours").lasts
    assert lasts is not None
    assert (lasts > timedelta()) == (len(number) > 2)


def test_what_is_too_long_is_said_to_be() -> None:
    assert parse("my favourite poem is " + "very " * LONGEST).kind == "too long"
    assert parse("once upon a time " * LONGEST).kind == "other"


def test_scope_and_expiry() -> None:
    act = parse("my favourite station is jazz fm in the car")
    assert (act.value, act.scope, act.lasts) == ("jazz fm", "car", None)
    act = parse("call me bob for two weeks")
    assert (act.value, act.scope, act.lasts) == ("bob", "user", timedelta(days=14))
    act = parse("my favourite station is Jazz FM for two weeks, in the car!")
    assert (act.value, act.scope, act.lasts) == ("Jazz FM", "car", timedelta(days=14))
    # A meaning may have its own times and places.
    assert parse("when i say tea set a timer for an hour").value == "set a timer for an hour"


def test_small_parts() -> None:
    assert split_command("good night") is None
    assert meaning_of("I mean, you should dim the lights!") == "dim the lights"
    assert is_like("yet", "yes")
    assert not is_like("lights", "yes")
    assert plain("  It’s COSY，ok? ") == "it's cosy, ok"


@given(st.text(max_size=80))
def test_any_text_is_some_act(text: str) -> None:
    act = parse(text)
    assert act.text == text
    assert (act.kind == "concept") <= bool(act.name and act.value)
    assert plain(plain(text)) == plain(text)


def test_what_teaches_has_a_cue() -> None:
    import re

    for text in ("when i say cosy dim the lights", "i'm a warriors fan", "当我说舒适时就关灯",
                 "my favourite station is jazz fm", "learn my preferences"):  # fmt: skip
        assert re.search(cue(), text)
    assert not re.search(cue(), "turn on the lights")
