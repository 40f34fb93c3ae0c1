"""Whole jobs in a real browser: an owner's, a leader's, an analyst's, and a look at rewrites."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page

from data.ingest.ingest import ingest
from data.store import workspace
from data.store.predictions import commit_predictions
from data.store.store import Store
from tests import learned, rewritten
from tests.browser import Watch, browse, chromium, served
from tests.logs import write_lines
from tests.pages.test_browser import check
from tests.scored import MODEL, predictions_table

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
    ),
]

START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, DIALOGUES = 28, 40
# From this day on there is ASR 4.2, and phones are misheard.
RELEASED = 15
# The second slice by impact: the first one is open without a click.
SLICE = "asr:locale=en-US;device_type=speaker;domain=weather"
ALWAYS = {"locale": "en-US", "device_type": "speaker", "domain": "weather"}
PATIENCE_MS = 60_000.0


def logs(seed: int = 3) -> list[dict[str, Any]]:
    """Four weeks of dialogues of two turns, with a release of ASR in their middle."""
    rng = random.Random(seed)
    records = []
    for day in range(DAYS):
        for d in range(DIALOGUES):
            device, locale = rng.choice(["phone", "speaker"]), rng.choice(["en-GB", "en-US"])
            domain = rng.choice(["music", "weather"])
            for i in range(2):
                at = START + timedelta(days=day, minutes=30 * d, seconds=20 * i)
                words = f"{'play' if domain == 'music' else 'weather in'} {rng.choice('abcdef')}"
                record = {
                    "turn_id": f"{day:02d}-{d:02d}-{i}",
                    "dialogue_id": f"{day:02d}-{d:02d}",
                    "turn_index": i,
                    "started_at": at.isoformat(),
                    "locale": locale,
                    "device": {"type": device},
                    "versions": {"asr": "4.2" if day >= RELEASED else "4.1"},
                    "asr": {"hypotheses": [{"text": words, "confidence": round(rng.random(), 3)}]},
                    "nlu": {"hypotheses": [{"domain": domain, "intent": "ask", "confidence": 0.8}]},
                    "result": {"action": "answer", "status": "ok", "response": "Here you are."},
                }
                records.append(record)
    return records


def misheard(turns: pa.Table, seed: int = 5) -> pa.Table:
    """Predictions in which phones fail at ASR since the release, and some speakers always fail."""
    rng = random.Random(seed)
    table = predictions_table(turns)
    rows = table.to_pylist()
    for row in rows:
        broken = row["device_type"] == "phone" and row["version_asr"] == "4.2"
        always = all(row[key] == value for key, value in ALWAYS.items())
        bad = rng.random() < (0.5 if broken else 0.3 if always else 0.04)
        row |= {f"p_{name}": 0.01 for name in ("false_wake", "nlu", "er", "result")}
        row |= {"p_asr": 0.9 if bad else 0.02, "p_correct": 0.06 if bad else 0.94}
        row |= {"p_defect": 1 - row["p_correct"], "failure_point": "asr" if bad else "correct"}
    return pa.Table.from_pylist(rows, schema=table.schema)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("walks")
    store = Store.create(folder / "store")
    ingest(store, [write_lines(folder / "logs.jsonl", logs())])
    with store.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id")
    commit_predictions(store, misheard(turns), MODEL)
    (store.models / MODEL).mkdir()
    store.promote(MODEL)
    return store


@pytest.fixture(scope="module")
def address(store: Store) -> Iterator[str]:
    with served(store.path) as url:
        yield url


@dataclass
class Person:
    """Somebody with a mouse: each click counts, into a field as well; prints what the job took."""

    watch: Watch
    clicks: int = 0
    began: float = field(default_factory=monotonic)

    def click(self, target: Locator) -> None:
        """Bring something to sight, move the mouse onto it, and click."""
        target.scroll_into_view_if_needed()
        target.hover()
        target.click()
        self.clicks += 1

    def click_chart(self, mark: Locator) -> None:
        """Click on a mark of a chart, over which the chart lies that notices it."""
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.watch.page.mouse.move(x, y, steps=5)
        self.watch.page.mouse.click(x, y)
        self.clicks += 1

    def type(self, target: Locator, text: str) -> None:
        """Click into a field and write."""
        self.click(target)
        self.watch.page.keyboard.type(text)

    def took(self, job: str) -> int:
        print(f"{job}: {self.clicks} clicks, {monotonic() - self.began:.1f} s")
        return self.clicks


@contextmanager
def patient(address: str, path: str) -> Iterator[Person]:
    """Somebody at a fresh browser on a page, with time for a busy machine."""
    with browse() as watch:
        watch.page.set_default_timeout(PATIENCE_MS)
        watch.page.goto(address + path)
        check(watch)
        yield Person(watch)


def arrive(watch: Watch, words: str | re.Pattern[str]) -> None:
    """Wait for a heading and for the page to settle, and check that nothing went wrong."""
    watch.page.get_by_role("heading", name=words).wait_for()
    check(watch)


def metric(page: Page, label: str) -> str:
    """One of the numbers on top of a page."""
    box = page.get_by_test_id("stMetric").filter(has=page.get_by_text(re.compile(f"^{label}")))
    return box.get_by_test_id("stMetricValue").inner_text()


def download(person: Person, name: str) -> bytes:
    """The bytes that a download button gives."""
    page = person.watch.page
    with page.expect_download(timeout=PATIENCE_MS) as coming:
        person.click(page.get_by_role("button", name=name))
    return coming.value.path().read_bytes()


def annotations_by(store: Store, who: str) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM annotations WHERE annotator = $who", {"who": who})
    return list(rows.to_pylist())


def test_an_owner_looks_into_a_slice_and_takes_it_on(address: str, store: Store) -> None:
    with patient(address, "/triage?failing=asr") as person:
        watch, page = person.watch, person.watch.page
        arrive(watch, re.compile("^ASR: .*phone"))
        person.click(page.get_by_role("button", name=re.compile("speaker")).first)
        arrive(watch, re.compile("^ASR: .*weather"))
        query = parse_qs(urlsplit(page.url).query)
        assert query["slice"] == [SLICE]

        # The first of the highest-confidence examples, anywhere on its row.
        person.click(page.locator("tr.openable").first.locator("td").last)
        page.wait_for_url("**/turn?**")
        arrive(watch, "Human-labelled")
        person.click(page.get_by_role("link", name="The slice"))
        page.wait_for_url("**/triage?**")
        arrive(watch, re.compile("^ASR: .*weather"))

        person.type(page.get_by_label("Owner"), "Ada")
        person.click(page.get_by_label("State", exact=True))
        person.click(page.get_by_role("option", name="looking"))
        person.click(page.get_by_role("button", name="Save"))
        page.get_by_text("looking · Ada").wait_for()
        assert person.took("An owner, from Triage to a saved decision") <= 8
        check(watch)
        decisions = workspace.triage(store.snapshot())
        assert {
            key: (decision["owner"], decision["state"]) for key, decision in decisions.items()
        } == {SLICE: ("Ada", "looking")}


def test_an_owner_labels_a_turn_of_a_slice(address: str, store: Store) -> None:
    with patient(address, "/triage?failing=asr") as person:
        watch, page = person.watch, person.watch.page
        arrive(watch, re.compile("^ASR: .*phone"))
        person.click(page.locator("tr.openable").first)
        page.wait_for_url("**/turn?**")
        arrive(watch, "Human-labelled")
        turn = parse_qs(urlsplit(page.url).query)["turn"][0]
        person.click(page.get_by_text("Label this turn"))
        person.type(page.get_by_label(re.compile("^Your name")), "Bea")
        page.keyboard.press("Enter")
        person.click(page.get_by_role("button", name=re.compile("NLU$")))
        page.get_by_text("Recorded: NLU.").wait_for()
        assert person.took("An owner, from Triage to a label") <= 8
        check(watch)
        (annotation,) = annotations_by(store, "Bea")
        assert (annotation["turn_id"], annotation["failure_point"]) == (turn, "nlu")


def test_a_leader_goes_from_a_change_to_its_release_and_downloads_the_report(
    address: str, tmp_path: Path
) -> None:
    with patient(address, "/") as person:
        watch, page = person.watch, person.watch.page
        whole = metric(page, "Turns")
        named = page.get_by_test_id("stMarkdown").filter(
            has_text=re.compile(r"ASR rose from .* on 16 March, phone, with ASR 4\.2")
        )
        assert named.count() == 1
        person.click(page.get_by_role("button", name="Look closer"))
        page.wait_for_url("**device=phone**")
        page.get_by_test_id("stMain").get_by_role("button", name="Clear all").wait_for()
        check(watch)
        query = parse_qs(urlsplit(page.url).query)
        narrowed = {key: query[key] for key in ("device", "since", "until")}
        assert narrowed == {
            "device": ["phone"],
            "since": ["2024-03-16"],
            "until": ["2024-03-28"],
        }
        assert metric(page, "Turns") != whole
        # The chart describes the release in words as well.
        assert page.get_by_role("figure", name=re.compile(r"ASR 4\.2 on 16 March")).count() == 1
        rate = re.match(r"([\d.]+.%)\s*(.+)", metric(page, "Defect rate"))
        assert rate

        file = tmp_path / "report.html"
        file.write_bytes(download(person, "Report"))
        assert person.took("A leader, from opening to the report to mail") <= 3
        html = file.read_text("utf-8")
        assert not re.search(r"(?:https?:)?//\w", unescape(html))
        page.goto("about:blank")
        page.context.set_offline(True)
        page.goto(file.as_uri())
        box = page.locator(".box", has_text="Defect rate")
        assert box.locator("b").inner_text() == rate[1]
        assert rate[2].strip() in box.inner_text()
        assert "phone" in page.locator("body").inner_text()
        assert (watch.errors, watch.strangers) == ([], [])


def test_an_analyst_exports_a_slice_whose_file_link_and_page_agree(
    address: str, store: Store
) -> None:
    with patient(address, "/explore") as person:
        watch, page = person.watch, person.watch.page
        whole = metric(page, "Turns")
        # The first domain and the first locale.
        person.click_chart(page.locator(".js-plotly-plot .textpoint text").first)
        page.wait_for_url("**domain=**")
        page.get_by_test_id("stMain").get_by_role("button", name="Clear all").wait_for()
        check(watch)
        turns = metric(page, "Turns")
        assert turns != whole
        person.click(page.get_by_role("button", name="Export"))
        content = download(person, "Parquet")
        assert person.took("An analyst, from opening to a file with its manifest") <= 9
        with zipfile.ZipFile(io.BytesIO(content)) as pack:
            manifest = json.loads(
                next(pack.read(n) for n in pack.namelist() if n.endswith(".json"))
            )
            content = pack.read(manifest["file"])
        check(watch)
        link = page.url
    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    assert f"{len(rows)}" == f"{manifest['rows']}" == re.sub(r"\D", "", turns)
    assert hashlib.sha256(content).hexdigest() == manifest["sha256"]
    query = parse_qs(urlsplit(link).query)
    assert {row["domain"] for row in rows} == set(query["domain"])
    assert {row["locale"] for row in rows} == set(query["locale"])
    assert (manifest["data_version"], manifest["model"]) == (query["at"][0], query["model"][0])

    # What somebody else writes meanwhile changes nothing.
    workspace.put_setting(store, "walks", 1)
    with patient(address, link.removeprefix(address)) as person:
        assert metric(person.watch.page, "Turns") == turns


def test_an_owner_mines_rewrites_approves_one_and_exports_it(tmp_path: Path) -> None:
    mined = rewritten.fill(tmp_path / "store", mined=False)
    with served(mined.path) as address, patient(address, "/rewrites") as person:
        watch, page = person.watch, person.watch.page
        arrive(watch, "No rewrites yet")
        person.click(page.get_by_role("button", name="Mine rewrites"))
        person.click(page.get_by_role("button", name="Show them"))
        arrive(watch, "Rewrites")
        person.click(page.get_by_role("link", name=re.compile("^play hungry james → ")).first)
        page.wait_for_url("**rewrite=**")
        arrive(watch, re.compile("play hungry james.* → .*play hunger games"))
        assert page.get_by_role("figure", name=re.compile("What follows the request")).count() == 1
        person.type(page.get_by_label(re.compile("^Your name")), "Ada")
        page.keyboard.press("Enter")
        check(watch)
        person.click(page.get_by_role("button", name="Approve"))
        page.get_by_text(re.compile("^Approved by Ada")).wait_for()
        check(watch)
        person.click(page.get_by_role("link", name="All rewrites"))
        arrive(watch, "Rewrites")
        person.click(page.get_by_role("button", name="Export"))
        lines = download(person, "JSONL").decode().splitlines()
        assert person.took("An owner, from no rewrites to a file with one") <= 9
        check(watch)
    (line,) = map(json.loads, lines)
    assert (line["request"], line["rewrite"]) == (rewritten.HEARD, rewritten.MEANT)
    assert line["p_before"] < line["p_after"]


def test_an_analyst_sets_a_threshold_and_exports_what_is_sure(tmp_path: Path) -> None:
    labelled = learned.fill(tmp_path / "store")
    with served(labelled.path) as address, patient(address, "/labels") as person:
        watch, page = person.watch, person.watch.page
        arrive(watch, "Goals of a dialogue")
        person.click(page.get_by_role("radio", name="Thresholds"))
        arrive(watch, "Thresholds")
        person.click(page.get_by_role("radio", name="Goal evaluation"))
        page.wait_for_url("**of=goal_reached**")
        check(watch)
        assert page.get_by_role("figure", name=re.compile("Precision and throughput")).count() == 1
        before = metric(page, "Turns labelled")
        slider = page.get_by_role("slider")
        slider.focus()
        for _ in range(15):
            page.keyboard.press("ArrowRight")
        page.wait_for_url(re.compile("least=goal_reached"))
        check(watch)
        after = metric(page, "Turns labelled")
        assert int(after.split()[0]) < int(before.split()[0])
        (least,) = parse_qs(urlsplit(page.url).query)["least"]
        person.click(page.get_by_role("button", name="Export"))
        pack = zipfile.ZipFile(io.BytesIO(download(person, "JSONL")))
        assert person.took("An analyst, from a threshold to a file") <= 5
        check(watch)
    names = sorted(pack.namelist())
    rows = [json.loads(line) for line in pack.read(names[0]).splitlines()]
    threshold = float(least.partition(":")[2])
    sure = [row["goal_reached"] for row in rows if row["goal_reached"] is not None]
    assert len(sure) == int(after.split()[0])
    assert min(max(p, 1 - p) for p in sure) >= threshold - 1e-6
    assert json.loads(pack.read(names[1]))["thresholds"]["goal_reached"] == threshold


def test_somebody_teaches_and_the_next_answer_changes(tmp_path: Path) -> None:
    taught = learned.fill(tmp_path / "store")
    with served(taught.path) as address, patient(address, "/teaching?part=teach") as person:
        watch, page = person.watch, person.watch.page
        arrive(watch, "Teach")
        person.type(page.get_by_role("textbox", name="User", exact=True), "u7")
        page.keyboard.press("Enter")

        def say(words: str) -> str:
            said = page.get_by_test_id("stChatMessage")
            before = said.count()
            person.type(page.get_by_test_id("stChatInputTextArea"), words)
            page.keyboard.press("Enter")
            said.nth(before + 1).wait_for()
            check(watch)
            return said.last.inner_text()

        page.get_by_placeholder("Say something").wait_for()
        assert "always does" in say("movie night")
        assert "Is that right?" in say("when I say movie night, dim the lights to 30")
        assert "Got it." in say("yes")
        assert "dim the lights to 30" in say("movie night")
        person.click(page.get_by_role("radio", name="Taught"))
        arrive(watch, "Taught")
        person.click(page.get_by_role("link", name=re.compile("^movie night means")))
        page.wait_for_url("**preference=**")
        arrive(watch, re.compile("movie night"))
        person.click(page.get_by_role("button", name="Forget"))
        person.click(page.get_by_role("button", name="Forget it"))
        arrive(watch, "Taught")
        assert page.get_by_role("link", name=re.compile("^movie night means")).count() == 0
        check(watch)


def test_an_annotator_confirms_a_generated_label_with_one_key(tmp_path: Path) -> None:
    labelled = learned.fill(tmp_path / "store")
    workspace.put_setting(labelled, "second_opinions", 0.0)
    learned.set_labels(labelled, p_failure_point=0.9)
    with served(labelled.path) as address, patient(address, "/annotate") as person:
        watch, page = person.watch, person.watch.page
        person.type(page.get_by_label(re.compile("^Your name")), "Ada")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Confirm all of it").wait_for()
        check(watch)
        page.keyboard.press("g")
        page.get_by_text(re.compile("^Recorded: ")).wait_for()
        check(watch)
    (row,) = annotations_by(labelled, "Ada")
    assert row["goal_reached"] is not None
