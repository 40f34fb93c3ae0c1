"""Agreement of annotators: published examples, classes, gaps."""

from __future__ import annotations

import pyarrow as pa
import pytest

from annotation.agreement import agreement
from data.errors import UsageError
from data.schema.trace import FAILURE_POINTS


def table(*rows: tuple[str, str, str | None]) -> pa.Table:
    columns = {
        name: pa.array([row[place] for row in rows], pa.string())
        for place, name in enumerate(("turn_id", "annotator", "failure_point"))
    }
    return pa.table(columns)


def judged(**by_annotator: str) -> pa.Table:
    """One digit a turn: the place in FAILURE_POINTS from 1, or a point where not judged."""
    return table(
        *(
            (f"t{at:02d}", who, FAILURE_POINTS[int(digit) - 1])
            for who, digits in by_annotator.items()
            for at, digit in enumerate(digits)
            if digit != "."
        )
    )


def test_kappa_of_a_worked_example() -> None:
    # 20 and 15 alike, 5 and 10 not: (0.7 - 0.5) / (1 - 0.5) = 0.4.
    one = "2" * 20 + "6" * 15 + "2" * 5 + "6" * 10
    other = "2" * 20 + "6" * 15 + "6" * 5 + "2" * 10
    (pair,) = agreement(judged(bo=one, al=other), repeats=50).pairs
    assert pair.who == ("al", "bo")
    assert pair.value == pytest.approx(0.4)
    assert pair.low is not None
    assert pair.high is not None
    assert pair.low < 0.4 < pair.high
    assert pair.turns == 50


def test_alpha_of_the_published_example() -> None:
    # Krippendorff (2011), Computing Krippendorff's alpha-reliability, part C: nominal, 0.743.
    found = agreement(
        judged(
            a="123321412...",
            b="123322412" + "5.3",
            c=".33323422" + "51.",
            d="123324412" + "51.",
        ),
        repeats=50,
    )
    assert found.overall.value == pytest.approx(0.743, abs=0.001)
    # The turn that one annotator judged alone says nothing.
    assert found.overall.turns == 11
    assert len(found.pairs) == 6


def test_full_agreement_is_one_and_opposition_below_zero() -> None:
    same = agreement(judged(a="123456", b="123456"), repeats=40)
    assert same.overall.value == pytest.approx(1.0)
    assert [one.value for one in same.classes] == pytest.approx([1.0] * 6)
    worse = agreement(judged(a="1212", b="2121"), repeats=40).overall.value
    assert worse is not None
    assert worse < 0


def test_a_class_that_nobody_names_has_no_alpha() -> None:
    found = agreement(judged(a="2266", b="2266"), repeats=40)
    by_class = {one.what: one.value for one in found.classes}
    assert by_class["nlu"] is None
    assert by_class["asr"] == pytest.approx(1.0)


def test_where_all_say_the_same_nothing_is_defined() -> None:
    found = agreement(judged(a="666", b="666"))
    assert found.overall.value is None
    assert found.pairs[0].value is None


@pytest.mark.parametrize("rows", [(), (("t", "a", "asr"),), (("t", "a", None), ("t", "b", None))])
def test_too_few_judgements_are_no_error(rows: tuple[tuple[str, str, str | None], ...]) -> None:
    found = agreement(table(*rows))
    assert found.pairs == ()
    assert found.overall.value is None


def test_a_second_judgement_replaces_the_first() -> None:
    rows = [("t1", "a", "asr"), ("t1", "b", "nlu"), ("t2", "a", "er"), ("t2", "b", "er")]
    changed = agreement(table(*rows, ("t1", "b", "asr"))).overall.value
    assert changed == pytest.approx(1.0)


def test_an_unknown_failure_point_is_named() -> None:
    with pytest.raises(UsageError, match="'tts' is no failure point"):
        agreement(table(("t", "a", "tts")))
