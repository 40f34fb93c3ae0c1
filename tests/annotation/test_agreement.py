"""Agreement of annotators: published examples, classes, missing judgements."""

from __future__ import annotations

import pyarrow as pa
import pytest

from annotation.agreement import agreement
from data.errors import UsageError
from data.schema.trace import FAILURE_POINTS


def table(*rows: tuple[str, str, str | None]) -> pa.Table:
    columns = {
        name: pa.array([row[column] for row in rows], pa.string())
        for column, name in enumerate(("turn_id", "annotator", "failure_point"))
    }
    return pa.table(columns)


def judged(**by_annotator: str) -> pa.Table:
    """One digit per turn: the position in FAILURE_POINTS from 1, or "." where not judged."""
    return table(
        *(
            (f"t{at:02d}", who, FAILURE_POINTS[int(digit) - 1])
            for who, digits in by_annotator.items()
            for at, digit in enumerate(digits)
            if digit != "."
        )
    )


def test_kappa_of_a_worked_example() -> None:
    # 20 and 15 turns agree, 5 and 10 do not: (0.7 - 0.5) / (1 - 0.5) = 0.4.
    bo = "2" * 20 + "6" * 15 + "2" * 5 + "6" * 10
    al = "2" * 20 + "6" * 15 + "6" * 5 + "2" * 10
    (pair,) = agreement(judged(bo=bo, al=al), repeats=50).pairs
    assert pair.who == ("al", "bo")
    assert pair.value == pytest.approx(0.4)
    assert pair.low is not None
    assert pair.high is not None
    assert pair.low < 0.4 < pair.high
    assert pair.turns == 50


def test_alpha_of_the_published_example() -> None:
    # Krippendorff (2011), Computing Krippendorff's alpha-reliability, part C: nominal, 0.743.
    result = agreement(
        judged(
            a="123321412...",
            b="123322412" + "5.3",
            c=".33323422" + "51.",
            d="123324412" + "51.",
        ),
        repeats=50,
    )
    assert result.overall.value == pytest.approx(0.743, abs=0.001)
    # The turn that a single annotator judged does not count.
    assert result.overall.turns == 11
    assert len(result.pairs) == 6


def test_full_agreement_is_one_and_opposition_below_zero() -> None:
    same = agreement(judged(a="123456", b="123456"), repeats=40)
    assert same.overall.value == pytest.approx(1.0)
    assert [alpha.value for alpha in same.classes] == pytest.approx([1.0] * 6)
    worse = agreement(judged(a="1212", b="2121"), repeats=40).overall.value
    assert worse is not None
    assert worse < 0


def test_a_class_that_nobody_uses_has_no_alpha() -> None:
    result = agreement(judged(a="2266", b="2266"), repeats=40)
    by_class = {alpha.what: alpha.value for alpha in result.classes}
    assert by_class["nlu"] is None
    assert by_class["asr"] == pytest.approx(1.0)


def test_with_a_single_class_agreement_is_undefined() -> None:
    result = agreement(judged(a="666", b="666"))
    assert result.overall.value is None
    assert result.pairs[0].value is None


@pytest.mark.parametrize("rows", [(), (("t", "a", "asr"),), (("t", "a", None), ("t", "b", None))])
def test_too_few_judgements_are_not_an_error(rows: tuple[tuple[str, str, str | None], ...]) -> None:
    result = agreement(table(*rows))
    assert result.pairs == ()
    assert result.overall.value is None


def test_a_second_judgement_replaces_the_first() -> None:
    rows = [("t1", "a", "asr"), ("t1", "b", "nlu"), ("t2", "a", "er"), ("t2", "b", "er")]
    changed = agreement(table(*rows, ("t1", "b", "asr"))).overall.value
    assert changed == pytest.approx(1.0)


def test_an_unknown_failure_point_is_named() -> None:
    with pytest.raises(UsageError, match="Unknown failure point 'tts'"):
        agreement(table(("t", "a", "tts")))
