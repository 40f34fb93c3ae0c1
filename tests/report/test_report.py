"""The numbers of the Overview, and the report that holds the same ones."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analysis.period_comparison import Period
from analysis.periods import Shift, periods, shift
from analysis.rates import ANNOTATED, MODEL, Estimate, estimate
from charts.formatting import count, percent
from charts.sentences import goal_words
from data.queries import goals, overview
from data.queries.filters import Filter
from data.queries.ground_truth import sampled
from data.queries.releases import Release, releases
from data.schema.tables import ROLLUP
from data.schema.trace import FAILURE_POINTS, FAILURES
from data.store.annotations import annotate
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.workspace import set_target
from report import contents, figures
from report.contents import Events, Headline, events, headline
from report.goal_success import success
from report.page import render, source_of, weekly
from tests import scored
from tests.app import Open
from tests.command import Run, must_fail
from tests.rollups import START, rollup

FIRST, LAST = date(2026, 1, 1), date(2026, 3, 31)
ODD = (
    "</script><img src='https://x.example/a.png' onerror=alert(1)> \u202egnp {{7**9}} \ud800 &amp;"
)


class Page(HTMLParser):
    """Counts open tags, and collects the text and everything that would be fetched."""

    empty = ("meta", "link", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.empty:
            self.open.append(tag)
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "data", "srcset")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(html: str) -> Page:
    """The parsed page, which must be complete, and must fetch and run nothing."""
    parsed = Page(html)
    assert parsed.open == []
    assert parsed.fetched == []
    assert not parsed.tags & {"script", "img", "iframe", "link", "object", "embed", "form"}
    assert not re.search(r"url\(|@import|https?://", html.replace(ODD, ""))
    return parsed


@pytest.mark.parametrize(
    ("chosen", "shown", "recent", "previous"),
    [
        # Without a start: the last four weeks against the four before.
        (Filter(), (FIRST, LAST), (date(2026, 3, 4), LAST), (date(2026, 2, 4), date(2026, 3, 3))),
        (
            Filter(since=date(2026, 3, 25)),
            (date(2026, 3, 25), LAST),
            (date(2026, 3, 25), LAST),
            (date(2026, 3, 18), date(2026, 3, 24)),
        ),
        # An end beyond the last scored day, and no full period before.
        (
            Filter(since=date(2026, 1, 2), until=date(2027, 1, 1)),
            (date(2026, 1, 2), LAST),
            (date(2026, 1, 2), LAST),
            None,
        ),
        (
            Filter(until=date(2026, 1, 7)),
            (FIRST, date(2026, 1, 7)),
            (date(2026, 1, 5), date(2026, 1, 7)),
            (date(2026, 1, 2), date(2026, 1, 4)),
        ),
        (Filter(until=FIRST), (FIRST, FIRST), (FIRST, FIRST), None),
    ],
)
def test_the_filter_sets_the_periods_compared(
    chosen: Filter,
    shown: tuple[date, date],
    recent: tuple[date, date],
    previous: tuple[date, date] | None,
) -> None:
    compared = periods(chosen, FIRST, LAST)
    assert compared is not None
    assert compared.shown == Period(*shown)
    assert compared.recent == Period(*recent)
    assert compared.previous == (Period(*previous) if previous else None)
    assert compared.whole == (shown == recent)


def test_a_filter_without_a_day_has_no_period() -> None:
    assert periods(Filter(since=LAST + timedelta(days=1)), FIRST, LAST) is None


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 873–890, table II: 56/70 against 48/80, method 10
    # has 0.0524 to 0.3339.
    first = Estimate(56 / 70, 0.6918, 0.8769, 70, 0, MODEL)
    second = Estimate(48 / 80, 0.4905, 0.7004, 80, 0, MODEL)
    difference = shift(first, second)
    assert (difference.value, difference.low, difference.high) == pytest.approx(
        (0.2, 0.0524, 0.3339), abs=2e-4
    )
    assert difference.clear
    assert not Shift(0.01, -0.01, 0.03).clear


def test_rates_of_all_turns_are_estimated_from_annotated_ones() -> None:
    table = rollup(30, {})
    rng = np.random.default_rng(3)
    n = 400
    p = rng.dirichlet([1, 1, 1, 1, 1, 40], n)
    truth = [FAILURE_POINTS[rng.choice(6, p=row)] for row in p]
    annotated = pa.table(
        {
            "dialogue_id": [f"d{i}" for i in range(n)],
            "day": [START] * n,
            "truth": truth,
            **{f"p_{name}": p[:, i].tolist() for i, name in enumerate(FAILURE_POINTS)},
        }
    )
    turns: list[Any] = table["turns"].to_pylist()
    table = table.append_column("sum_pp_defect", pa.array([0.1 * n for n in turns]))
    estimates = estimate(table, annotated)
    assert estimates["defect"].method == ANNOTATED
    assert estimates["defect"].labelled == n
    share = sum(name != "correct" for name in truth) / n
    assert estimates["defect"].low < share < estimates["defect"].high


def test_releases_are_first_days_of_versions() -> None:
    versions = {"asr": [(0, "1"), (9, "2")], "nlu": [(0, ODD[:9]), (4, "x"), (9, "y")]}
    table = rollup(20, {}, versions=versions)
    table = table.append_column("model_id", pa.array(["m"] * table.num_rows))

    class Rows:
        def query(self, sql: str, params: dict[str, str]) -> pa.Table:
            with duckdb.connect() as con:
                con.register("rollup", table)
                rows: pa.Table = con.sql(sql, params=params).to_arrow_table()
                return rows

    snapshot = cast(Snapshot, Rows())
    day = [START + timedelta(days=i) for i in range(20)]
    assert releases(snapshot, "m") == [
        Release("nlu", "x", day[4]),
        Release("asr", "2", day[9]),
        Release("nlu", "y", day[9]),
    ]
    assert releases(snapshot, "nobody") == []


def test_only_turns_logged_with_gold_represent_others(tmp_path: Path) -> None:
    """An annotation in the dashboard counts on a turn with gold, and nowhere else."""
    from labels.rules.derived import refresh

    store = scored.fill(tmp_path / "store")
    refresh(store)
    with store.snapshot() as snapshot:
        before = sampled(snapshot, scored.MODEL, Filter())
        gold = set(snapshot.query("SELECT turn_id FROM labelled WHERE failure_point = 'correct'")[
            "turn_id"].to_pylist())  # fmt: skip
        turns = snapshot.query("SELECT turn_id, dialogue_id, day FROM predictions").to_pylist()
    assert before is not None
    assert before.num_rows == len(gold) > 0
    queued = next(turn for turn in turns if turn["turn_id"] not in gold)
    checked = next(turn for turn in turns if turn["turn_id"] in gold)
    annotate(store, queued, "ann", "asr")
    annotate(store, checked, "ann", "nlu")
    with store.snapshot() as snapshot:
        after = sampled(snapshot, scored.MODEL, Filter())
    assert after is not None
    assert after.num_rows == before.num_rows
    assert after["truth"].to_pylist().count("nlu") == 1
    assert "asr" not in after["truth"].to_pylist()


def test_sums_by_any_column_are_those_of_the_predictions(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        days = overview.sums(snapshot, scored.MODEL, Filter())
        domains = overview.sums(snapshot, scored.MODEL, Filter(), ("domain",), 1)
        cells = overview.cells(snapshot, scored.MODEL, Filter(text="song 1"))
        rows = snapshot.query("FROM predictions").to_pylist()
    assert pc.sum(days["turns"]).as_py() == len(rows)
    assert pc.sum(days["sum_pp_defect"]).as_py() == pytest.approx(
        sum(row["p_defect"] ** 2 for row in rows), rel=1e-5
    )
    assert domains.num_rows == 1
    assert pc.sum(cells["turns"]).as_py() == sum("song 1" in (r["heard"] or "") for r in rows)
    assert set(days.column_names) < set(ROLLUP.names)


def both(store: Store, chosen: Filter | None = None) -> tuple[Headline, Events, str]:
    """The answers of the promoted model, and the report of them."""
    chosen = chosen or Filter()
    with store.snapshot() as snapshot:
        bounds = overview.bounds(snapshot, scored.MODEL)
        assert bounds is not None
        head = headline(snapshot, scored.MODEL, chosen, bounds[:2])
        assert head is not None
        happened = events(snapshot, scored.MODEL, chosen, bounds[:2])
        source = source_of(snapshot, scored.MODEL, chosen)
        return head, happened, render(source, head, happened, {"asr": 0.05, "er": 0.5})


def test_a_report_holds_the_figures_of_the_page(scored_store: Store) -> None:
    head, happened, html = both(scored_store)
    text = " ".join(page(html).text)
    assert count(head.total.turns) in text
    for name in FAILURES:
        assert percent(head.rates[name].value) in text
    assert f"{percent(head.rates['defect'].low)} to {percent(head.rates['defect'].high)}" in text
    assert scored_store.snapshot().version in text
    assert "model estimate" in text
    assert len(happened.releases) == html.count('class="release"')
    assert text.count("spent") == 2


def test_the_report_covers_the_periods_of_the_filter(scored_store: Store) -> None:
    chosen = Filter(since=date(2024, 3, 12), until=date(2024, 3, 18), device=("phone",))
    head, _, html = both(scored_store, chosen)
    with scored_store.snapshot() as snapshot:
        rows = snapshot.query("FROM predictions WHERE device_type = 'phone'").to_pylist()
    now = [row for row in rows if date(2024, 3, 12) <= row["day"] <= date(2024, 3, 18)]
    past = [row for row in rows if date(2024, 3, 5) <= row["day"] <= date(2024, 3, 11)]
    assert head.turns == (len(now), len(past))
    rate = np.mean([row["p_defect"] for row in now])
    before = np.mean([row["p_defect"] for row in past])
    assert head.rates["defect"].value == pytest.approx(rate, rel=1e-5)
    assert head.shifts["defect"].value == pytest.approx(rate - before, rel=1e-4)
    assert head.earlier("defect") == pytest.approx(before, rel=1e-5)
    text = " ".join(page(html).text)
    assert "12 March to 18 March 2024" in text
    assert "phone" in text


def test_hostile_names_stay_text(scored_store: Store) -> None:
    head, happened, _ = both(scored_store)
    domains = happened.domains
    names = pa.array([ODD.replace("\ud800", "")] * domains.num_rows)
    odd = replace(
        happened,
        domains=domains.set_column(0, "domain", names),
        releases=[Release("asr", ODD, release.day) for release in happened.releases],
    )
    with scored_store.snapshot() as snapshot:
        html = render(source_of(snapshot, ODD, Filter(text=ODD)), head, odd, {})
    parsed = Page(html)
    assert parsed.open == []
    assert not parsed.tags & {"script", "img"}
    assert str(7**9) not in "".join(text for text in parsed.text if "onerror" in text)
    assert "\u202e" not in html
    html.encode("utf-8")


@pytest.mark.parametrize("by", ["day", "week", "month"])
def test_the_bars_of_the_report_add_up(scored_store: Store, by: overview.Grain) -> None:
    with scored_store.snapshot() as snapshot:
        table = overview.trend(snapshot, scored.MODEL, Filter(), by)
    chart = figures.trend(table, by, [], [])
    assert len(chart.bars) == 5 * table.num_rows
    total = overview.totals(table.slice(0, 1))
    stacked = sum(box.height for box in chart.bars[:5])
    top = float(chart.rules[-1].text.removesuffix(" %")) / 100
    assert stacked / (chart.bottom - chart.top) * top == pytest.approx(
        sum(total.sums[name] for name in FAILURES) / total.turns
    )
    for box in chart.bars:
        assert chart.left <= box.x <= box.x + box.width <= chart.right + 0.01
        assert chart.top - 0.01 <= box.y <= box.y + box.height <= chart.bottom + 0.01


@pytest.mark.parametrize("most", [1e-9, 0.004, 0.19, 0.2, 1.0])
def test_the_axis_has_round_steps_and_reaches_the_highest_bar(most: float) -> None:
    step, top = figures._scale(most)
    assert top >= most * 0.999
    assert 1 <= round(top / step) <= 8


def test_the_command_writes_a_file(run: Run, tmp_path: Path, scored_store: Store) -> None:
    done = run("report", "--weeks", 2, "--to", "r.html", "--store", scored_store.path)
    assert done.code == 0, done.err
    html = (tmp_path / "here" / "r.html").read_text(encoding="utf-8")
    page(html)
    assert scored_store.snapshot().version in done.out
    again = run(
        *("report", "--to", "r.html", "--store", scored_store.path),
        *("--at", scored_store.snapshot().version),
    )
    assert again.code == 0
    assert list((tmp_path / "here").iterdir()) == [tmp_path / "here" / "r.html"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--weeks", 0, "--to", "r.html"), ["0 weeks", "1 to 520"]),
        (("--weeks", -3, "--to", "r.html"), ["-3 weeks"]),
        (("--weeks", "two", "--to", "r.html"), ["two"]),
        (("--to", "folder.html"), ["folder.html", "a file in a folder that exists"]),
        (("--to", "nowhere/r.html"), ["nowhere/r.html"]),
        (("--to", "r.pdf"), ["r.pdf", ".html"]),
        (("--to", "r.html", "--at", "t99.p99"), ["does not exist"]),
        (("--to", "r.html", "--at", "x"), ["not a version"]),
    ],
)
def test_an_invalid_request_is_refused_in_one_sentence(
    run: Run, tmp_path: Path, scored_store: Store, arguments: tuple[object, ...], words: list[str]
) -> None:
    (tmp_path / "here" / "folder.html").mkdir()
    must_fail(run("report", *arguments, "--store", scored_store.path), *words)
    assert not (tmp_path / "here" / "r.html").exists()


def test_a_store_without_predictions_says_what_to_run(run: Run, store: Store) -> None:
    must_fail(run("report", "--to", "r.html", "--store", store.path), "faultline score")
    must_fail(run("report", "--to", "r.html", "--store", store.path / "none"), "No store")


def test_targets_are_in_the_report(run: Run, tmp_path: Path) -> None:
    store = scored.fill(tmp_path / "store")
    assert run("report", "--to", "r.html", "--store", store.path).code == 0
    file = tmp_path / "here" / "r.html"
    assert "No stage has a target" in file.read_text()
    set_target(store, "nlu", 0.031)
    assert run("report", "--to", "r.html", "--store", store.path).code == 0
    assert "3.1\u2009%" in file.read_text()


def test_a_file_that_cannot_be_written_leaves_nothing(
    run: Run, tmp_path: Path, scored_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    must_fail(run("report", "--to", "r.html", "--store", scored_store.path), "is full")
    assert list((tmp_path / "here").iterdir()) == []


def test_few_turns_or_days_can_be_reported_too(scored_store: Store) -> None:
    days = (date(2024, 3, 1), date(2024, 3, 25))
    for chosen in (
        Filter(since=date(2024, 3, 4), until=date(2024, 3, 4)),
        Filter(text="play song 17"),
        Filter(source="annotated"),
    ):
        with scored_store.snapshot() as snapshot:
            head = headline(snapshot, scored.MODEL, chosen, days)
        if head is not None:
            page(both(scored_store, chosen)[2])
    with scored_store.snapshot() as snapshot:
        assert headline(snapshot, scored.MODEL, Filter(device=("x",)), days) is None
        empty = contents.events(snapshot, scored.MODEL, Filter(device=("x",)), days)
    assert empty.changes == []
    assert empty.domains.num_rows == 0


def test_goal_success_stands_in_the_report_as_on_the_page(
    opened: Open, learned_store: Store
) -> None:
    with learned_store.snapshot() as snapshot:
        html, head = weekly(snapshot, 52)
        told = goals.annotated(snapshot)
        model = snapshot.model
        chosen = Filter(since=head.periods.shown.since, until=head.periods.shown.until)
        reached = success(snapshot, model, chosen, head.periods, head.by, told)
    assert reached is not None
    text = " ".join(page(html).text)
    assert "Goal success" in text
    rate = reached.rate
    assert f"{percent(rate.low)} to {percent(rate.high)}" in text
    assert goal_words(rate, reached.goals) in text
    on_page = [m.value for m in opened(learned_store.path, "overview").metric]
    assert any(f"{percent(rate.value)} :small[" in value for value in on_page)


def test_a_report_without_goals_says_nothing_of_them(scored_store: Store) -> None:
    assert "Goal success" not in both(scored_store)[2]
