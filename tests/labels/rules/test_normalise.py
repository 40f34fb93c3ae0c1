"""Which wordings count as the same, which as different, and that normalising is idempotent."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labels.rules.normalise import joined, key, normalise

SAME = [
    ("Open the garage door!", "open the  garage door"),
    ("it\u2019s", "its"),
    ("today 's forecast", "today's forecast"),
    ("todays forecast", "today's forecast"),
    ("gastro pub", "gastropub"),
    ("7 a.m.", "seven am"),
    ("7:30", "seven thirty"),
    ("the colour of the theatre", "the color of the theater"),
    ("organise my travelling catalogue", "organize my traveling catalog"),
    ("analyse the programme", "analyze the program"),
    ("café", "cafe\u0301"),
    ("café", "CAFE"),
    ("\uff46ull width", "full width"),
    ("sixty one c", "61C"),
    ("the twenty third", "the 23rd"),
    ("one hundred and five", "105"),
    ("a hundred", "100"),
    ("two thousand and twenty", "2,020"),
    ("five million", "5 million"),
    ("twenty five percent", "25 %"),
    ("five dollars", "$5"),
    ("three point five", "3.5"),
    ("rock & roll", "rock and roll"),
    ("yeah", "yes"),
    ("ok", "okay"),
    ("what's", "what is"),
    ("um yes", "yes"),
]
DIFFERENT = [
    ("sixty one", "six one"),
    ("twenty five", "2 5"),
    ("filled", "filed"),
    ("four", "for"),
    ("hours", "ours"),
    ("fifteen", "fifty"),
    ("hundred and", "hundred"),
    ("कि", "की"),
    ("volume up", "volume"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_same_wording(left: str, right: str) -> None:
    assert key(left) == key(right)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_wordings(left: str, right: str) -> None:
    assert key(left) != key(right)


WORDS = (
    "a and hundred thousand million one five twenty ninety first third hundredth thousandth 5 12 "
    "3.5 1,000 $5 & % colour organised centre ok 's o'clock point"
)


@given(
    st.text()
    | st.lists(st.sampled_from(WORDS.split(" "))).map(" ".join)
    | st.from_regex(r"[a-z]{0,4}(our|ise|tre|ogue)s?")
)
@example("½ İ ﬁ e\u200d\u0301 ª")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert joined(once) == key(text)
    assert once == " ".join(once.split())


@given(st.integers(1, 10**9))
def test_figures_stay(number: int) -> None:
    assert normalise(str(number)) == str(number)
    assert normalise(f"{number:,}") == str(number)
