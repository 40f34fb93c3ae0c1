"""Charts: tables in, figures out, the numbers and the vocabulary of colour intact."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from charts import rates, verdict, words
from charts.palette import COLOURS, NAMES, colour_of
from data.intervals import wilson
from data.overview import FAILURES, Totals
from data.tables import EVIDENCE
from data.trace import FAILURE_POINTS

NBSP = words.THIN


def trend_table(*days: date) -> pa.Table:
    columns: dict[str, list[Any]] = {"day": list(days), "turns": [100] * len(days)}
    for i, name in enumerate(FAILURE_POINTS):
        columns[f"n_{name}"] = [i] * len(days)
        columns[f"p_{name}"] = [float(i + 1)] * len(days)
    return pa.table(columns)


def prediction(**fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {f"p_{name}": 0.1 for name in FAILURE_POINTS}
    made |= {"p_nlu": 0.5, "failure_point": "nlu", "base_value": -1.5}
    made |= {f"evidence_{name}": 0.1 * i for i, name in enumerate(EVIDENCE)}
    made["reasons"] = [
        {"feature": f"asr.f{i}", "stage": "asr", "value": None, "contribution": (-1) ** i * i / 4}
        for i in range(14)
    ]
    return made | fields


def test_trend_shows_the_five_failures_in_pipeline_order() -> None:
    table = trend_table(*(date(2024, 3, 1) + timedelta(days=i) for i in range(10)))
    figure = rates.trend(table, "day")
    assert [bar.name for bar in figure.data] == [NAMES[name] for name in FAILURES]
    assert [bar.marker.color for bar in figure.data] == [COLOURS[name] for name in FAILURES]
    assert figure.data[1].y[0] == pytest.approx(0.02)
    assert figure.data[1].customdata[0][2] == "100"


@pytest.mark.parametrize("by", ["day", "week", "month"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_short_trends_draw(by: Any, n: int) -> None:
    table = trend_table(*(date(2024, 3, 1) + timedelta(days=i) for i in range(n)))
    figure = rates.trend(table, by)
    assert len(figure.data[0].x) == n
    assert rates.trend_words(table, by)


def test_shares_carry_intervals() -> None:
    total = Totals(
        turns=200,
        counts=dict.fromkeys(FAILURE_POINTS, 10),
        sums={**dict.fromkeys(FAILURE_POINTS, 20.0), "correct": 100.0},
    )
    figure = rates.shares(total, before=total)
    assert list(figure.data[0].x) == [0.1] * 5
    low, high = wilson(20, 200)
    assert figure.data[0].error_x.array[0] == pytest.approx(high - 0.1)
    assert figure.data[0].error_x.arrayminus[0] == pytest.approx(0.1 - low)
    assert figure.data[1].name == "period before"


def test_wilson_knows_its_textbook_value() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("point", "said"), [("nlu", None), ("er", "NLU is more probable")])
def test_a_verdict_that_is_not_the_most_probable_class_says_so(
    point: str, said: str | None
) -> None:
    sentence = verdict.likelier(prediction(failure_point=point))
    assert sentence is None if said is None else str(sentence).startswith(said)


def test_probabilities_mark_the_verdict() -> None:
    figure = verdict.probabilities(prediction())
    assert list(figure.data[0].x)[2] == 0.5
    assert "<b>" in figure.layout.yaxis.ticktext[2]
    assert figure.data[0].marker.opacity[2] == 1.0


def test_waterfall_adds_up() -> None:
    row = prediction()
    parts = verdict.steps(row, most=5)
    total = sum(row[f"evidence_{name}"] for name in EVIDENCE)
    assert len(parts) == 6
    assert parts[-1][0] is None
    assert sum(value for _, value in parts) == pytest.approx(total)
    figure = verdict.waterfall(
        row, [(f"<b>{name}</b>" * 9, "not logged") for name, _ in verdict.steps(row)[:-1]]
    )
    assert figure.data[0].measure[0] == "absolute"
    assert figure.data[0].measure[-1] == "total"
    assert figure.data[0].text[-1] == f"{total - 1.5:.2f}"
    assert not any("<b>" in text for text in figure.layout.yaxis.ticktext)
    assert "…: not logged" in figure.layout.yaxis.ticktext[1]


def test_charts_of_a_turn_survive_without_reasons() -> None:
    row = prediction(reasons=None, base_value=None, evidence_asr=None)
    assert verdict.waterfall(row, []).data[0].text[0] == "0.00"
    assert verdict.evidence(row).data[0].x[1] == 0.0
    for said in (verdict.evidence_words, verdict.waterfall_words, verdict.probabilities_words):
        assert "NLU" in said(row)


def test_theme_and_palette_agree() -> None:
    config = tomllib.loads((Path(__file__).parents[1] / ".streamlit/config.toml").read_text())
    assert config["theme"]["chartCategoricalColors"] == [COLOURS[n] for n in FAILURE_POINTS]
    assert config["server"]["address"] == "127.0.0.1"
    assert config["browser"]["gatherUsageStats"] is False


def test_a_stage_has_the_colour_of_its_failure_point() -> None:
    assert colour_of("wake") == COLOURS["false_wake"]
    assert colour_of("dialogue") == colour_of(None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.percent(0.0843), f"8.4{NBSP}%"),
        (words.points(0.0112), f"+1.1{NBSP}pts"),
        (words.points(-0.0001), f"0.0{NBSP}pts"),
        (words.count(1234567), f"1{NBSP}234{NBSP}567"),
        (words.number(None), "–"),
        (words.number(float("nan")), "–"),
        (words.number(3.0), "3"),
        (words.number(0.123456), "0.123"),
        (words.milliseconds(80), f"80{NBSP}ms"),
        (words.milliseconds(1520), f"1.52{NBSP}s"),
        (words.confidence(0.5), "0.500"),
        (words.short("a  b\n c" + "x" * 99, 8), "a b cxx…"),
        (words.short(None), ""),
        (
            words.moment(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), UTC),
            "2 January 2024, 03:04:05 UTC",
        ),
    ],
)
def test_words(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize(
    "text",
    ["**b** [a](x) :red[c] $x$ <b> `d`", ":material/home:", "a -> b", "\u202egnp", "1. x\ny"],
)
def test_plain_leaves_nothing_to_interpret(text: str) -> None:
    made = words.plain(text)
    # What CommonMark would take for markup is escaped, what Streamlit would is broken up.
    assert not re.search(r"(?<!\\)[*_`\[\]<>$:#~!-]", made)
    assert not re.search(r":(?!\u2060)", made)
    assert not re.search("[\n\u202e]", made)
