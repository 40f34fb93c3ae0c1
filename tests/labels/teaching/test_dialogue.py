"""The teaching dialogue, turn by turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.teaching.dialogue import (
    IDLE,
    LONGEST_PART,
    TIMEOUT_S,
    Lesson,
    Reply,
    State,
    corrected,
    hear,
    offer,
    question,
    summary,
    tick,
)

AT = datetime(2024, 5, 1, 9, 0, tzinfo=UTC)


def run(*texts: str, state: State = IDLE, step_s: float = 5.0) -> tuple[State, list[Reply]]:
    replies = []
    for number, text in enumerate(texts):
        state, reply = hear(state, text, AT + timedelta(seconds=step_s * number), f"t{number}")
        replies.append(reply)
    return state, replies


def taught(*texts: str, state: State = IDLE) -> Lesson | None:
    return run(*texts, state=state)[1][-1].lesson


def test_a_concept_is_confirmed_before_it_is_stored() -> None:
    state, replies = run("when I say cosy, dim the lights to 30", "yes")
    assert [reply.did for reply in replies] == ["asked", "stored"]
    assert "'cosy'" in replies[0].text
    lesson = replies[1].lesson
    assert lesson is not None
    assert (lesson.kind, lesson.name, lesson.value) == ("concept", "cosy", "dim the lights to 30")
    assert lesson.turn_ids == ("t0", "t1")
    assert lesson.said == "when I say cosy, dim the lights to 30"
    assert state == IDLE


def test_what_is_not_for_it_is_left_to_the_assistant() -> None:
    state, (reply,) = run("play yellow")
    assert not reply.handled
    assert state == IDLE
    # "Yes" and "stop" mean something to the assistant while nothing is being taught.
    assert not run("yes")[1][0].handled
    assert not run("stop")[1][0].handled


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (("when i say cosy dim the lights to 30", "no", "dim the lamp to 20", "yes"),
         "dim the lamp to 20"),
        (("when i say cosy dim the lights to 30", "no, dim the lamp", "yes"), "dim the lamp"),
        (("when i say cosy dim the lights to 30", "make it 40", "yes"), "dim the lights to 40"),
        (("when i say cosy dim the lights to 30", "no i said 40", "yes"), "dim the lights to 40"),
        (("when i say cosy dim the lights to 30", "uh", "yes"), "dim the lights to 30"),
        (("when i say cosy dim the lights to 30", "yet"), "dim the lights to 30"),
        (("let me teach you what cosy means", "i mean dim the lights", "yes"), "dim the lights"),
        (("when i say cosy dim the lights", "when i say cosy turn off the lights", "yes"),
         "turn off the lights"),
        (("learn my preferences", "my favourite station is jazz fm", "yes"), "jazz fm"),
        (("learn my preferences", "cosy means dim the lights", "yes"), "dim the lights"),
    ],
)  # fmt: skip
def test_it_is_corrected(texts: tuple[str, ...], value: str) -> None:
    lesson = taught(*texts)
    assert lesson is not None
    assert lesson.value == value


@pytest.mark.parametrize(
    "texts",
    [
        ("when i say cosy dim the lights", "never mind"),
        ("learn my preferences", "no"),
        ("let me teach you cosy", "cancel"),
        ("when i say cosy dim the lights", "blue", "green", "grey"),
        ("learn my preferences", "cancle"),
    ],
)
def test_it_is_cancelled(texts: tuple[str, ...]) -> None:
    state, replies = run(*texts)
    assert replies[-1].did == "cancelled"
    assert state == IDLE
    assert all(reply.lesson is None for reply in replies)


def test_it_times_out() -> None:
    state, _ = run("when i say cosy dim the lights")
    late = AT + timedelta(seconds=TIMEOUT_S + 1)
    assert tick(state, AT + timedelta(seconds=5))[0] == state
    assert tick(state, late)[0] == IDLE
    after, reply = hear(state, "yes", late)
    assert (after, reply.did, reply.lesson) == (IDLE, "timed out", None)
    assert not reply.handled
    # What is said too late may teach something new.
    _, reply = hear(state, "i'm a jazz fan", late)
    assert reply.did == "asked"


def test_an_offer_is_taken_or_passed_over() -> None:
    state, reply = offer("Play the mix", AT)
    assert reply.did == "offered"
    lesson = taught("yes please", "play jazz fm", "yes", state=state)
    assert lesson is not None
    assert (lesson.name, lesson.value) == ("play the mix", "play jazz fm")
    _, (reply,) = run("no thanks", state=state)
    assert reply.did == "cancelled"
    after, (reply,) = run("what's the weather", state=state)
    assert (after, reply.handled) == (IDLE, False)


def test_forgetting_is_confirmed() -> None:
    _, replies = run("forget cosy", "yes")
    assert [reply.did for reply in replies] == ["asked", "forgot"]
    assert replies[1].lesson is not None
    assert replies[1].lesson.name == "cosy"
    assert run("forget cosy", "no")[1][-1].did == "cancelled"


def test_a_phrase_cannot_mean_itself() -> None:
    state, replies = run("let me teach you cosy", "cosy")
    assert replies[-1].did == "asked"
    assert state.stage == "meaning"


def test_corrections_of_numbers() -> None:
    assert corrected("dim the lights to 30", "to 40") == "dim the lights to 40"
    assert corrected("from 3 to 5", "40") == "40"
    assert corrected("jazz fm", "rock fm") == "rock fm"


@given(st.lists(st.sampled_from([
    "yes", "no", "cancel", "", "cosy", "dim the lights", "when i say cosy dim the lights",
    "make it 4", "my favourite station is jazz fm", "learn my preferences", "forget cosy",
    "说", "no i meant x",
]), max_size=12))  # fmt: skip
def test_it_always_ends_and_asks_for_what_it_waits_for(texts: list[str]) -> None:
    state, replies = run(*texts)
    for reply in replies:
        assert (reply.lesson is not None) == (reply.did in ("stored", "forgot"))
        if reply.did == "stored":
            assert reply.lesson is not None
            assert reply.lesson.name
            assert reply.lesson.value
    assert (question(state) == "") == (state.stage == "idle")
    # Nobody is kept in it who says nothing that fits.
    assert run(*["hm"] * 8, state=state)[0] == IDLE


@pytest.mark.parametrize(
    ("opening", "answer"),
    [
        ("learn my preferences", "yes"),
        # The phrase itself says nothing of what it means.
        ("let me teach you what cosy means", "cosy"),
        ("when i say cosy, dim the lights", "no, i said cosy"),
    ],
)
def test_three_answers_that_tell_nothing_end_it(opening: str, answer: str) -> None:
    state, replies = run(opening, answer, answer, answer)
    assert [reply.did for reply in replies] == ["asked", "asked", "asked", "cancelled"]
    assert state == IDLE


@pytest.mark.parametrize(
    "texts",
    [
        ("my favourite poem is " + "very " * 30,),
        ("my favourite poem is " + "very " * 300,),
        ("when i say cosy, " + "dim " * 40,),
        ("let me teach you cosy", "dim " * 40),
        ("when i say cosy, dim the lights", "no, i said " + "dim " * 40),
    ],
)
def test_what_is_too_long_is_refused_and_not_cut(texts: tuple[str, ...]) -> None:
    _, replies = run(*texts)
    assert f"at most {LONGEST_PART} characters" in replies[-1].text
    assert replies[-1].lesson is None
    assert offer("play it " * 30, AT) == (IDLE, Reply("nothing"))


@pytest.mark.parametrize("span", ["0 days", "-2 weeks"])
def test_what_would_be_over_at_once_is_refused(span: str) -> None:
    state, (reply,) = run(f"call me bob for {span}")
    assert (state, reply.did) == (IDLE, "cancelled")
    assert "over at once" in reply.text


@pytest.mark.parametrize(
    ("scope", "words"), [("car", "tea in the car"), ("phone", "on your phone"), ("tv", "on the tv")]
)
def test_it_says_where_something_holds(scope: str, words: str) -> None:
    assert words in summary(Lesson("preference", "tea", "black", scope))


def test_a_signed_number_is_corrected() -> None:
    assert corrected("set the freezer to -18", "-20") == "set the freezer to -20"
    assert corrected("set the freezer to -18", "20") == "set the freezer to 20"
