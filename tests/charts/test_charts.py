"""Charts: tables in, figures out, with the right numbers and colours."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis.change_points import Change
from analysis.error_budget import Budget
from analysis.rates import MODEL, Estimate
from charts import (
    formatting,
    rates,
    sentences,
    signals,
    stage_heatmap,
)
from charts import (
    prediction as verdict,
)
from charts.palette import ALARM, COLOURS, GROUND, blend, colour_of, contrast
from data.intervals import wilson
from data.queries.filters import Filter
from data.queries.releases import Release
from data.schema.tables import EVIDENCE
from data.schema.trace import FAILURE_POINTS, FAILURES
from data.schema.vocabulary import NAMES, release_title

NBSP = formatting.THIN


def trend_table(*days: date) -> pa.Table:
    columns: dict[str, list[Any]] = {"day": list(days), "turns": [100] * len(days)}
    for i, name in enumerate(FAILURE_POINTS):
        columns[f"n_{name}"] = [i] * len(days)
        columns[f"p_{name}"] = [float(i + 1)] * len(days)
    return pa.table(columns)


def prediction(**fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {f"p_{name}": 0.1 for name in FAILURE_POINTS}
    row |= {"p_nlu": 0.5, "failure_point": "nlu", "base_value": -1.5}
    row |= {f"evidence_{name}": 0.1 * i for i, name in enumerate(EVIDENCE)}
    row["reasons"] = [
        {"feature": f"asr.f{i}", "stage": "asr", "value": None, "contribution": (-1) ** i * i / 4}
        for i in range(14)
    ]
    return row | fields


def test_logged_names_are_text_to_plotly() -> None:
    name = "<a href='https://x.example'>car</a> R&B %{x}"
    days = [date(2024, 3, 1)]
    arrived = pa.table({"day": days, "assistant": [name], "turns": [3]})
    logged = pa.table(
        {"day": days, "assistant": ["car"], "signal": [name], "logged": [1], "turns": [3]}
    )
    for figure in (signals.arrivals(arrived), signals.over_time(logged, "car", [name], [])):
        name_shown = figure.data[0].name
        assert "<" not in name_shown
        assert "%{" not in name_shown
        assert "&lt;/a&gt; R&amp;B" in name_shown


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
    estimates = dict.fromkeys(FAILURES, Estimate(0.1, 0.07, 0.15, 200, 0, MODEL))
    figure = rates.shares(estimates, before=dict.fromkeys(FAILURES, 0.2))
    assert list(figure.data[0].x) == [0.1] * 5
    assert list(figure.data[1].x) == [0.2] * 5
    assert figure.data[0].error_x.array[0] == pytest.approx(0.05)
    assert figure.data[0].error_x.arrayminus[0] == pytest.approx(0.03)
    assert figure.data[1].name == "period before"


def test_wilson_knows_its_textbook_value() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("point", "beginning"), [("nlu", None), ("er", "NLU is more probable")])
def test_a_verdict_that_is_not_the_most_probable_class_says_so(
    point: str, beginning: str | None
) -> None:
    sentence = verdict.likelier(prediction(failure_point=point))
    assert sentence is None if beginning is None else str(sentence).startswith(beginning)


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
    for words in (verdict.evidence_words, verdict.waterfall_words, verdict.probabilities_words):
        assert "NLU" in words(row)


def test_theme_and_palette_agree() -> None:
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text())
    assert config["theme"]["chartCategoricalColors"] == [COLOURS[n] for n in FAILURE_POINTS]
    assert config["server"]["address"] == "127.0.0.1"
    assert config["browser"]["gatherUsageStats"] is False


def test_a_stage_has_the_colour_of_its_failure_point() -> None:
    assert colour_of("wake") == COLOURS["false_wake"]
    assert colour_of("dialogue") == colour_of(None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.percent(0.0843), f"8.4{NBSP}%"),
        (formatting.points(0.0112), f"+1.1{NBSP}pts"),
        (formatting.points(-0.0001), f"0.0{NBSP}pts"),
        (formatting.count(1234567), f"1{NBSP}234{NBSP}567"),
        (formatting.number(None), "–"),
        (formatting.number(float("nan")), "–"),
        (formatting.number(3.0), "3"),
        (formatting.number(0.123456), "0.123"),
        (formatting.milliseconds(80), f"80{NBSP}ms"),
        (formatting.milliseconds(1520), f"1.52{NBSP}s"),
        (formatting.confidence(0.5), "0.500"),
        (formatting.short("a  b\n c" + "x" * 99, 8), "a b cxx…"),
        (formatting.short(None), ""),
        (
            formatting.moment(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), UTC),
            "2 January 2024, 03:04:05 UTC",
        ),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    "text",
    ["**b** [a](x) :red[c] $x$ <b> `d`", ":material/home:", "a -> b", "\u202egnp", "1. x\ny"],
)
def test_plain_leaves_nothing_to_interpret(text: str) -> None:
    escaped = formatting.plain(text)
    # Markup of CommonMark is escaped, markup of Streamlit is broken up.
    assert not re.search(r"(?<!\\)[*_`\[\]<>$:#~!-]", escaped)
    assert not re.search(r":(?!\u2060)", escaped)
    assert not re.search("[\n\u202e]", escaped)


def change(**fields: Any) -> Change:
    values: dict[str, Any] = {
        "failure_point": "asr",
        "where": (("locale", "en-GB"),),
        "start": date(2026, 3, 18),
        "end": date(2026, 3, 28),
        "before": 0.03,
        "after": 0.108,
        "extra_turns": 175.0,
        "p_value": 1e-6,
        "q_value": 1e-5,
        "release": "asr-4.2",
    }
    return Change(**values | fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {},
            f"ASR rose from 3.0 to 10.8{NBSP}% on 18 March, en-GB, with ASR 4.2, until 28 March",
        ),
        ({"end": None, "where": ()}, f"ASR rose from 3.0 to 10.8{NBSP}% on 18 March, with ASR 4.2"),
        (
            {"after": 0.01, "release": "4.2", "end": None, "where": (("domain", None),)},
            f"ASR fell from 3.0 to 1.0{NBSP}% on 18 March, domain not logged, with ASR 4.2",
        ),
        (
            {"release": None, "end": date(2026, 3, 18), "where": (("device_type", ""),)},
            f"ASR rose from 3.0 to 10.8{NBSP}% on 18 March, device empty",
        ),
    ],
)
def test_a_change_is_one_sentence(fields: dict[str, Any], expected: str) -> None:
    assert sentences.change_words(change(**fields)) == expected


def test_releases_and_changes_are_marked_on_the_trend() -> None:
    days = [date(2026, 3, 1) + timedelta(days=i) for i in range(60)]
    releases = [
        Release("asr", "<a href='https://x.example'>4.2</a>", days[17]),
        Release("nlu", "7", days[17]),
        Release("er", "next day", days[18]),
    ]
    figure = rates.trend(
        trend_table(*days), "day", releases, [change(), change(failure_point="er")]
    )
    lines = [shape.x0 for shape in figure.layout.shapes]
    assert lines == [str(days[17]), str(days[18])]
    texts = [note.text for note in figure.layout.annotations]
    # The second release has no room for its name, which is in the hover text only.
    assert not texts[1].strip()
    assert "next day" in figure.layout.annotations[1].hovertext
    assert "NLU 7" in texts[0]
    assert "<a" not in "".join(texts)
    assert texts[2:] == ["<b>1</b>", "<b>2</b>"]
    words = rates.trend_words(trend_table(*days), "day", releases, [change()])
    assert "Releases: " in words
    assert "ASR rose" in words


def test_no_share_above_everything_is_labelled() -> None:
    """Names of releases are above the bars, and make the axis longer than its numbers."""
    table = trend_table(date(2026, 3, 1), date(2026, 3, 2))
    table = table.set_column(1, "turns", pa.array([16, 20]))
    figure = rates.trend(table, "day", [Release("asr", "4.2", date(2026, 3, 2))])
    assert figure.layout.yaxis.range[1] > 1
    assert max(figure.layout.yaxis.tickvals) == 1


def test_the_map_tells_cells_with_few_turns_from_cells_without_failures() -> None:
    columns: dict[str, list[Any]] = {
        "domain": ["music", None, "%{x} <b>odd</b>"],
        "turns": [100, 40, stage_heatmap.FEW - 1],
    }
    for name in FAILURES:
        columns[f"sum_p_{name}"] = [20.0 if name == "asr" else 1.0, 0.0, 9.0]
    table = pa.table(columns)
    figure = stage_heatmap.heat(table)
    asr = FAILURES.index("asr")
    assert stage_heatmap.rates(table)[0][asr] == pytest.approx(0.2)
    assert stage_heatmap.rates(table)[1][asr] == 0
    assert stage_heatmap.rates(table)[2] == [None] * 5
    assert [cell[0] for cell in figure.data[asr].customdata] == [0, 1, 2]
    assert [figure.data[i].name for i in range(5)] == [NAMES[name] for name in FAILURES]
    labels = " ".join(map(str, figure.layout.yaxis.ticktext))
    assert "domain not logged" in labels
    assert "<b>" not in labels
    assert "%{x}" not in labels
    assert f"ASR in music 20.0{NBSP}%" in stage_heatmap.heat_words(table)
    assert "No domain" in stage_heatmap.heat_words(table.slice(2))
    assert stage_heatmap.heat(table.slice(0, 0)).data[0].x == ()


def test_names_of_releases_stand_above_all_that_is_drawn() -> None:
    """Names, numbered changes and bars each have their own room, however many there are."""
    days = [date(2026, 3, 1) + timedelta(days=i) for i in range(60)]
    releases = [
        Release("asr", f"asr-2026.{i}-candidate-of-the-long-kind", days[i]) for i in (9, 30)
    ]
    releases += [Release(stage, "5", days[50]) for stage in ("nlu", "er", "result")]
    close = [change(start=days[17 + i]) for i in range(3)]
    figure = rates.trend(trend_table(*days), "day", releases, close)
    notes = figure.layout.annotations
    names = [note for note in notes if note.textangle == -90]
    marks = [note for note in notes if note.textangle != -90]
    assert all((name.yref, name.y, name.yanchor) == ("paper", 1, "bottom") for name in names)
    assert all((mark.yref, mark.y, mark.yanchor) == ("paper", 1, "top") for mark in marks)
    assert figure.layout.margin.t >= 6 * max(len(name.text) for name in names)
    assert max(len(name.text) for name in names) <= 24
    assert names[-1].text == "3 releases"
    # Marks of days close to each other are one below the other, and the bars end below them.
    assert len({mark.yshift for mark in marks}) == 3
    assert figure.layout.yaxis.range[1] > 0.15 * (1.08 + 0.07 * 2)


@pytest.mark.parametrize(("by", "days"), [("day", 1), ("week", 7), ("month", 30)])
def test_a_single_bar_is_as_wide_as_its_days(by: Any, days: int) -> None:
    figure = rates.trend(trend_table(date(2026, 3, 1)), by)
    assert figure.data[0].width == pytest.approx(0.85 * days * 86_400_000)
    assert len(figure.layout.xaxis.tickvals) == 1
    since, until = (datetime.fromisoformat(text) for text in figure.layout.xaxis.range)
    assert timedelta(days=3 * days) < until - since < timedelta(days=9 * days)


def test_the_target_is_a_line_that_bars_can_be_held_against() -> None:
    estimates = {name: Estimate(0.02, 0.01, 0.03, 200, 0, MODEL) for name in FAILURES}
    assert rates.target_level({}, estimates) is None
    assert rates.target_level({"asr": 0.05}, estimates) == pytest.approx(0.05 + 4 * 0.02)
    assert rates.target_level({"asr": 0.05}, estimates, "asr") == 0.05
    assert rates.target_level({"asr": 0.05}, estimates, "nlu") is None
    table = trend_table(date(2026, 3, 1), date(2026, 3, 2))
    figure = rates.trend(table, "day", target=0.4)
    (line,) = figure.layout.shapes
    assert (line.y0, line.y1) == (0.4, 0.4)
    # A target above all bars is in sight too, and its name covers no bar.
    assert figure.layout.yaxis.range[1] > 0.4
    assert figure.layout.annotations[0].xanchor == "left"
    assert "A dashed line at the target, 40.0" in rates.trend_words(table, "day", target=0.4)
    only = rates.trend(table, "day", [], [change(), change(failure_point="er")], only="er")
    assert [bar.name for bar in only.data] == ["ER"]
    # The number is that of the list.
    assert [note.text for note in only.layout.annotations] == ["<b>2</b>"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", FAILURES)
def test_text_on_the_map_can_be_read(name: str, dark: bool) -> None:
    for rate in (None, *(i / 100 for i in range(101))):
        opacity = float(stage_heatmap.shade(name, rate, 1.0).rsplit(",", 1)[1].strip(" )"))
        ground = blend(COLOURS[name], opacity, GROUND[dark])
        assert contrast(stage_heatmap.ink_on(name, rate, 1.0, dark), ground) >= 4.5
    assert contrast(ALARM[dark], GROUND[dark]) >= 4.5


@pytest.mark.parametrize("rows", [1, 12])
def test_the_map_keeps_the_names_of_its_stages_when_it_is_narrowed(rows: int) -> None:
    columns: dict[str, list[Any]] = {"domain": ["music"] * rows, "turns": [100] * rows}
    columns |= {f"sum_p_{name}": [2.0] * rows for name in FAILURES}
    layout = stage_heatmap.heat(pa.table(columns)).layout
    assert layout.margin.t >= 40
    assert layout.height == layout.margin.t + 28 * rows
    assert layout.minreducedheight < 28
    assert layout.xaxis.tickangle == 0


def budget(**fields: Any) -> Budget:
    values: dict[str, Any] = {
        "failure_point": "asr", "target": 0.02, "turns": 1000, "allowed": 20.0, "spent": 10.0,
        "left": 10.0, "burn_rate": 0.5, "used_up": None,
    }  # fmt: skip
    return Budget(**values | fields)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, "within", f"\u2713 50{NBSP}% spent, within budget"),
        ({"burn_rate": 1.5}, "risk", f"\u25b2 50{NBSP}% spent, within budget, burning too fast"),
        (
            {"spent": 30.0, "left": -10.0, "used_up": date(2026, 3, 9)},
            "spent",
            f"\u2715 150{NBSP}% spent, used up on 9 March",
        ),
        ({"turns": 0, "burn_rate": None}, "none", "\u2013 no turns yet"),
    ],
)
def test_the_status_of_a_budget_is_a_symbol_and_words(
    fields: dict[str, Any], status: str, words: str
) -> None:
    assert sentences.budget_status(budget(**fields)) == status
    assert sentences.budget_words(budget(**fields)) == words


@pytest.mark.parametrize(("component", "title"), [("tts", "tts 2"), ("a(", "a( 2")])
def test_a_component_that_is_no_stage_has_versions_too(component: str, title: str) -> None:
    assert sentences.version_words(component, "2") == title


@pytest.mark.parametrize(
    ("stage", "version", "title"),
    [
        ("asr", "asr-4.3", "ASR 4.3"),
        ("asr", "ASR 4.3", "ASR 4.3"),
        ("asr", "4.3", "ASR 4.3"),
        ("er", "server-2", "ER server-2"),
        ("wake", "3.3", "Wake 3.3"),
        ("result", "results-1", "Result results-1"),
    ],
)
def test_a_release_names_its_stage_once(stage: str, version: str, title: str) -> None:
    assert release_title(stage, version) == title
    assert Filter(version=(f"{stage}:{version}",)).chips()[0].words == title
    assert sentences.release_words(Release(stage, version, date(2026, 3, 1))) == title
