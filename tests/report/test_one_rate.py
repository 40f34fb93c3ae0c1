"""One estimator and one period: every figure of a page that repeats a rate repeats its number."""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.period_comparison import Period
from analysis.periods import Against, periods
from analysis.rates import ANNOTATED
from charts.formatting import count, percent
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.queries import overview
from data.queries.filters import Filter
from data.queries.releases import releases
from data.schema.trace import FAILURE_POINTS, FAILURES
from data.store.store import Store
from data.store.workspace import set_target
from labels.rules.derived import refresh
from report.contents import Headline, events, headline
from report.page import render, source_of
from report.releases import compare_releases, parse_releases
from tests import scored
from tests.app import Open, html, press, texts
from tests.browser import browse, chromium
from tests.command import Run, must_fail
from tests.once import Once

RELEASED = date(2024, 3, 22)
TARGETS = {"asr": 0.02, "nlu": 0.5}


def _gold(folder: Path) -> None:
    """Some 300 dialogues, half of them annotated, with a model that says too little of ASR."""
    rng = random.Random(5)
    records = scored.records(300)
    for record in records:
        if "d" in record["turn_id"] and record.get("gold"):
            record["gold"]["failure_point"] = rng.choices(FAILURE_POINTS, [1, 9, 2, 2, 2, 9])[0]
        started: Any = record["started_at"]
        record["started_at"] = scored.START + (started - scored.START) / 3
        if record.get("versions") and record["started_at"].date() >= RELEASED:
            record["versions"]["nlu"] = "8"
    store = Store.create(folder / "store")
    lines = folder / "logs.jsonl"
    lines.write_text("".join(f"{json.dumps(r, default=datetime.isoformat)}\n" for r in records))
    ingest(store, [lines])
    scored.score(store)
    refresh(store)
    for name, target in TARGETS.items():
        set_target(store, name, target)


@pytest.fixture(scope="session")
def gold_store(once: Once) -> Store:
    """A store whose rates are corrected by annotations; read-only."""
    return Store.open(once("gold", _gold) / "store")


@pytest.fixture(scope="module")
def bounds(gold_store: Store) -> tuple[date, date]:
    with gold_store.snapshot() as snapshot:
        found = overview.bounds(snapshot, scored.MODEL)
    assert found is not None
    return found[:2]


def read(store: Store, chosen: Filter, against: str = "previous") -> Headline:
    with store.snapshot() as snapshot:
        found = overview.bounds(snapshot, scored.MODEL)
        assert found is not None
        head = headline(snapshot, scored.MODEL, chosen, found[:2], against=Against.parse(against))
    assert head is not None
    return head


@pytest.mark.parametrize(
    "chosen",
    [Filter(), Filter(since=date(2024, 3, 5)), Filter(domain=("music",)), Filter(text="play song")],
)
def test_budgets_days_and_domains_add_up_to_the_rates(gold_store: Store, chosen: Filter) -> None:
    head = read(gold_store, chosen)
    assert head.rates["asr"].method == ANNOTATED
    assert abs(head.scale["asr"] - 1) > 0.05, "nothing to correct: the test would show nothing"
    with gold_store.snapshot() as snapshot:
        found = overview.bounds(snapshot, scored.MODEL)
        assert found is not None
        domains = head.scaled(events(snapshot, scored.MODEL, chosen, found[:2]).domains)
    targets = dict.fromkeys(FAILURES, 0.1)
    for budget in head.budgets(targets):
        name = budget.failure_point
        rate = head.rates[name].value
        assert budget.turns == head.total.turns
        assert budget.spent / budget.turns == pytest.approx(rate, abs=1e-3)
        over_time = pc.sum(head.trend[f"p_{name}"]).as_py() / head.total.turns
        assert over_time == pytest.approx(rate, abs=1e-3)
        by_domain = pc.sum(domains[f"sum_p_{name}"]).as_py() / head.total.turns
        assert by_domain == pytest.approx(rate, abs=1e-3)


def test_every_sum_is_a_share_of_its_turns(gold_store: Store) -> None:
    head = read(gold_store, Filter())
    huge = replace(head, scale=dict.fromkeys(FAILURES, 1e6))
    for name in FAILURES:
        table = huge.scaled(head.days)
        assert pc.all(pc.less_equal(table[f"sum_p_{name}"], table["turns"])).as_py()


def test_page_and_report_begin_with_the_same_sentence(opened: Open, gold_store: Store) -> None:
    for query in ({}, {"since": "2024-03-20", "against": "weekdays"}):
        at = opened(gold_store.path, **query)
        chosen = Filter.from_query({k: v for k, v in query.items() if k != "against"})
        head = read(gold_store, chosen, query.get("against", "previous"))
        assert head.lead in [element.value for element in at.text]
        with gold_store.snapshot() as snapshot:
            found = overview.bounds(snapshot, scored.MODEL)
            assert found is not None
            happened = events(snapshot, scored.MODEL, chosen, found[:2])
            written = render(source_of(snapshot, scored.MODEL, chosen), head, happened, {})
        assert f'<p class="lead">{head.lead}</p>' in written


def test_a_number_never_stands_beside_the_change_of_other_days(
    opened: Open, gold_store: Store
) -> None:
    at = opened(gold_store.path)
    assert not any(metric.delta for metric in at.metric)
    head = read(gold_store, Filter())
    assert not head.periods.whole
    # The change of the last weeks is said with its own days and its own rate.
    assert percent(head.after["defect"].value) in head.lead.split(". ")[-1]
    assert f"Defect rate {percent(head.before['defect'].value)} before" in texts(at)
    whole = opened(gold_store.path, since="2024-03-25")
    assert all(metric.delta for metric in whole.metric[:3])


def test_budgets_and_boxes_of_the_page_agree(opened: Open, gold_store: Store) -> None:
    at = opened(gold_store.path)
    head = read(gold_store, Filter())
    frame = next(t for t in at.dataframe if "Burn rate" in t.value.columns).value
    asr = frame[frame["Stage"] == "ASR"].iloc[0]
    assert asr["Rate"] == pytest.approx(head.rates["asr"].value, abs=1e-3)
    # Red is never alone: a symbol and words say the same.
    assert re.match("\u2715 .* spent, used up on ", asr["Status"])
    nlu = frame[frame["Stage"] == "NLU"].iloc[0]
    assert nlu["Status"].startswith("\u2713 ")
    figure = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert "target" in json.dumps(figure["layout"]["annotations"])
    at.selectbox(key="of").set_value("asr").run()
    assert not at.exception
    figure = json.loads(at.get("plotly_chart")[0].proto.spec)
    (bar,) = figure["data"]
    line = next(s for s in figure["layout"]["shapes"] if s.get("name") == "target")
    assert (bar["name"], line["y0"], line["y1"]) == ("ASR", 0.02, 0.02)


DAYS = st.dates(date(2024, 1, 1), date(2024, 12, 31))


@given(since=st.none() | DAYS, until=st.none() | DAYS, released=DAYS, mode=st.sampled_from(
    ["previous", "weekdays", "asr:4.2", "2024-05-01..2024-05-14"]
))  # fmt: skip
def test_compared_periods_are_scored_and_share_no_day(
    since: date | None, until: date | None, released: date, mode: str
) -> None:
    first, last = date(2024, 2, 1), date(2024, 11, 30)
    against = Against.parse(mode)
    assert str(against) == mode
    chosen = Filter(since=max(since, first) if since else None, until=until)
    compared = periods(chosen, first, last, against, released if against.release else None)
    if compared is None or compared.previous is None:
        return
    recent, previous = compared.recent, compared.previous
    assert first <= previous.since <= previous.until <= last
    assert previous.until < recent.since or previous.since > recent.until
    assert compared.shown.since <= recent.since <= recent.until <= compared.shown.until
    if mode == "weekdays":
        assert previous.days == recent.days
        assert previous.since.weekday() == recent.since.weekday()
    if against.release:
        assert previous.until == released - timedelta(days=1)
        assert recent.since >= released


@pytest.mark.parametrize(
    "text",
    ["next", "asr", "asr:", "x:4.2", "2024-01-01", "2024-02-30..2024-03-01", "..", ":4.2",
     "2024-03-02..2024-03-01", "2024-01-01..", "<b>"],
)  # fmt: skip
def test_an_unknown_comparison_is_named(opened: Open, gold_store: Store, text: str) -> None:
    with pytest.raises(UsageError, match="against"):
        Against.parse(text)
    at = opened(gold_store.path, against=text)
    assert "against" in texts(at)
    press(at, "Clear the filters")
    assert at.metric


def test_a_release_that_no_turn_shows_is_named(opened: Open, gold_store: Store) -> None:
    at = opened(gold_store.path, against="asr:9.9")
    assert "asr:9.9" in texts(at)
    assert "give one of" in texts(at) or "no release" in texts(at)


def test_the_period_to_compare_with_is_chosen_on_the_page(
    opened: Open, gold_store: Store, bounds: tuple[date, date]
) -> None:
    at = opened(gold_store.path, since="2024-03-25", until="2024-03-27")
    at.radio(key="against_mode").set_value("weekdays").run()
    assert at.query_params["against"] == "weekdays"
    assert "25 March to 27 March 2024 against 18 March to 20 March 2024" in texts(at)
    at.radio(key="against_mode").set_value("days").run()
    at.date_input(key="against_days").set_value((date(2024, 3, 4), date(2024, 3, 8))).run()
    assert at.query_params["against"] == "2024-03-04..2024-03-08"
    assert "against 4 March to 8 March 2024" in texts(at)
    # Days that are shown cannot be compared with themselves; the page says so and stays.
    at.date_input(key="against_days").set_value((date(2024, 3, 26), date(2024, 3, 28))).run()
    assert "overlaps the days shown" in texts(at)
    assert at.metric
    at.radio(key="against_mode").set_value("previous").run()
    assert "against" not in at.query_params
    # Of all days, none are left to compare with: the last ones are shown.
    every = opened(gold_store.path)
    every.radio(key="against_mode").set_value("days").run()
    since: Any = every.date_input(key="since").value
    assert since > bounds[0]
    assert "against" in texts(every)
    assert "overlaps" not in texts(every)


def test_since_a_release_shows_the_days_since(opened: Open, gold_store: Store) -> None:
    with gold_store.snapshot() as snapshot:
        release = releases(snapshot, scored.MODEL)[-1]
    assert (release.stage, release.version) == ("nlu", "8")
    at = opened(gold_store.path)
    at.radio(key="against_mode").set_value("release").run()
    assert not at.exception
    assert at.query_params["against"] == "nlu:8"
    assert at.date_input(key="since").value == release.day
    assert f"since NLU 8 on {release.day.day} {release.day:%B}" in at.text[0].value
    assert at.metric[1].delta


def test_releases_are_compared_over_the_same_filter(gold_store: Store) -> None:
    chosen = Filter(device=("phone",), version=("asr:4.2", "nlu:7"))
    with gold_store.snapshot() as snapshot:
        compared = compare_releases(snapshot, scored.MODEL, chosen, "asr", "4.1", "4.2")
        rows = snapshot.query(
            "FROM predictions WHERE device_type = 'phone' AND version_nlu = '7'"
        ).to_pylist()
    for side in (compared.a, compared.b):
        turns = [row for row in rows if row["version_asr"] == side.version]
        assert side.turns == len(turns) > 0
        days = [row["day"] for row in turns]
        assert side.days == Period(min(days), max(days))
    assert compared.together > 1
    assert compared.shifts["asr"].value == pytest.approx(
        compared.b.rates["asr"].value - compared.a.rates["asr"].value
    )
    assert compared.a.rates["asr"].method == compared.b.rates["asr"].method
    # What tells the two apart is not a slice.
    assert "version_asr" not in compared.cells["dimension"].to_pylist()


def test_a_release_without_turns_is_named(gold_store: Store) -> None:
    with gold_store.snapshot() as snapshot:
        compared = compare_releases(snapshot, scored.MODEL, Filter(), "asr", "4.1", "none")
    assert compared.missing == ["none"]
    assert compared.shifts == {}
    assert compared.cells.num_rows == 0


@pytest.mark.parametrize(
    ("a", "b"), [("asr:1", "nlu:2"), ("asr:1", "asr:1"), ("x:1", "x:2"), ("asr", "asr:1"), ("", "")]
)
def test_only_two_releases_of_a_stage_can_be_compared(a: str, b: str) -> None:
    with pytest.raises(UsageError, match="two releases of one stage"):
        parse_releases(a, b)


def test_releases_are_chosen_on_the_page_and_kept_in_the_link(
    opened: Open, gold_store: Store
) -> None:
    at = opened(gold_store.path)
    at.selectbox(key="release_a_choice").set_value("asr:4.1").run()
    at.selectbox(key="release_b_choice").set_value("asr:4.2").run()
    assert not at.exception
    assert (at.query_params["release_a"], at.query_params["release_b"]) == ("asr:4.1", "asr:4.2")
    linked = opened(gold_store.path, release_a="asr:4.1", release_b="asr:4.2")
    for page in (at, linked):
        frame = next(t for t in page.dataframe if "A: ASR 4.1" in t.value.columns).value
        assert frame["Rate"].tolist()[:3] == ["Any failure", "False wake", "ASR"]
    wrong = opened(gold_store.path, release_a="asr:nope")
    assert "release_a=asr:nope" in texts(wrong)
    press(wrong, "Clear the filters")
    assert wrong.metric


def test_the_command_compares_what_it_is_told(run: Run, tmp_path: Path, gold_store: Store) -> None:
    done = run(*("report", "--to", "r.html", "--against", "weekdays", "--store", gold_store.path))
    assert done.code == 0, done.err
    assert "on the same weekdays before" in (tmp_path / "here" / "r.html").read_text()
    must_fail(
        run("report", "--to", "x.html", "--against", "soon", "--store", gold_store.path),
        "against=soon", "weekdays",
    )  # fmt: skip
    must_fail(
        run("report", "--to", "x.html", "--against", "2001-01-01..2001-01-02", "--store",
            gold_store.path),
        "was scored",
    )  # fmt: skip
    assert not (tmp_path / "here" / "x.html").exists()


@pytest.mark.skipif(
    chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
)
def test_the_report_reads_on_a_phone(gold_store: Store, tmp_path: Path) -> None:
    chosen = Filter(since=date(2024, 3, 20))
    head = read(gold_store, chosen)
    with gold_store.snapshot() as snapshot:
        found = overview.bounds(snapshot, scored.MODEL)
        assert found is not None
        happened = events(snapshot, scored.MODEL, chosen, found[:2])
        written = render(source_of(snapshot, scored.MODEL, chosen), head, happened, TARGETS)
    file = tmp_path / "report.html"
    file.write_text(written, encoding="utf-8")
    with browse(width=400, height=800) as watch:
        page = watch.page
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        # Nothing is set letter by letter: every text of a table takes a few lines at most.
        tall = page.evaluate(
            "[...document.querySelectorAll('td')].filter(td => td.textContent.trim() && "
            "td.getClientRects().length && td.offsetHeight > 66).map(td => td.textContent)"
        )
        assert tall == []
        status = page.locator("td[data-label=Status]").first
        assert status.is_visible()
        assert status.locator("span").bounding_box()["width"] > 120  # type: ignore[index]
        shown = page.locator("svg.trend:visible")
        assert shown.count() == 1
        assert page.locator("p.lead").bounding_box()["y"] < 300  # type: ignore[index]


def test_counts_and_dates_have_one_format(opened: Open, gold_store: Store) -> None:
    at = opened(gold_store.path)
    head = read(gold_store, Filter())
    shown = texts(at) + " ".join(str(metric.value) for metric in at.metric) + html(at)
    assert count(head.total.turns) in shown
    # No ISO dates and no commas in numbers where people read; addresses are not read.
    shown = re.sub(r'href="[^"]*"', "", shown)
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b|\d,\d{3}\b", shown)


@pytest.mark.parametrize("failure", ["any", "asr"])
def test_a_pivot_adds_up_to_the_rate_above_it(
    opened: Open, gold_store: Store, failure: str
) -> None:
    head = read(gold_store, Filter())
    at = opened(gold_store.path, "explore", rows="domain", cols="none", of=failure)
    table = next(frame.value for frame in at.dataframe if "Failures" in frame.value.columns)
    shown = table["Failures"].sum() / table["Turns"].sum()
    expected = head.rates["defect" if failure == "any" else failure]
    assert expected.method == ANNOTATED
    assert shown == pytest.approx(expected.value, abs=1e-3)
    assert "scaled so that they add up to the rates above" in texts(at)
