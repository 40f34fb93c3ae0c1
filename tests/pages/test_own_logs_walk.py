"""From a file of somebody's tracer to a verdict's reasons: the path of a new user, in a browser."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from benchmarks.sources import json_line, pipecat_requests
from data.store.store import Store
from tests.browser import browse, chromium, served
from tests.command import Run
from tests.pages.test_browser import check

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
    ),
]
TURNS = 600


def test_from_spans_to_the_reasons_of_a_verdict(run: Run, tmp_path: Path) -> None:
    log, store = tmp_path / "traces.jsonl", tmp_path / "mine"
    log.write_bytes(b"".join(map(json_line, pipecat_requests(TURNS))))
    ran = run("ingest", log, "--store", store)
    assert ran.code == 0, ran.err
    assert f"{TURNS} turns" in ran.out
    ran = run("score", "--store", store)
    assert ran.code == 0, ran.err
    assert "nobody has checked them" in " ".join(ran.out.split())
    with Store.open(store).snapshot() as snapshot:
        sql = "SELECT turn_id FROM predictions ORDER BY p_correct, turn_id LIMIT 1"
        ((turn,),) = [tuple(row.values()) for row in snapshot.query(sql).to_pylist()]
    with served(store) as address, browse() as watch:
        page = watch.page
        page.goto(address)
        watch.settle()
        assert "not yet checked by people" in page.inner_text("body")
        page.get_by_role("link", name="Triage").first.click()
        watch.settle()
        page.goto(f"{address}/turn?turn={turn}")
        watch.settle()
        text = page.inner_text("body")
        # What was said, what these logs lack, and the reasons, with the stage as a guess.
        assert "guess" in text
        assert re.search(r"understanding \(intent or tool choice\)", text, re.IGNORECASE)
        assert page.get_by_text("defect", exact=False).count()
        page.goto(f"{address}/data")
        watch.settle()
        words = page.inner_text("body")
        assert "OpenTelemetry" in words
        assert "expect weaker verdicts" in words
        page.goto(f"{address}/annotate")
        watch.settle()
        page.get_by_role("textbox", name="Your name").fill("Ada")
        page.get_by_role("button", name="Start").click()
        page.get_by_text("Annotate these 50 turns").wait_for(timeout=60_000)
        watch.settle()
        assert "Annotate these 50 turns" in page.inner_text("body")
        check(watch)
