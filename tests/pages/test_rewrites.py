"""The Rewrites page, and what other pages show of rewrites, run without a browser."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from charts.formatting import THIN
from data.schema.tables import REWRITE_OUTCOMES, REWRITES
from data.store.rewrites import replace_proposed
from data.store.store import Store
from data.store.workspace import put_setting
from parts.jobs.job import jobs
from parts.rewrites import mining
from tests import rewritten
from tests.app import Open, follow, html, links, press, texts, turn_rows
from tests.rewritten import ARABIC, CHINESE, GENERAL, OWN_KEEPS, PERSONAL

PAIR = "play hungry james → play hunger games"


def named(at: AppTest) -> list[str]:
    """The rewrites that a list links to."""
    return [words for words in links(at) if " → " in words]


def state_of(store: Store, rewrite_id: str) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("FROM rewrites WHERE rewrite_id = $id", {"id": rewrite_id})
    return dict(rows.to_pylist()[0])


def test_the_list_opens_a_rewrite_and_leads_back(opened: Open, rewritten_store: Store) -> None:
    at = opened(rewritten_store.path, "rewrites")
    assert "6 rewrites" in texts(at)
    assert len(named(at)) == 6
    assert "only for u1" in html(at)
    assert f"10 → 90{THIN}%" in html(at)
    assert "12 wins : 1 loss" in html(at)
    assert f"<bdi>{ARABIC}</bdi>" in html(at)
    assert max(map(len, html(at).split("<bdi>"))) < 5_000
    follow(at, links(at)[PAIR])
    assert "play hunger games" in at.header[0].value
    numbers = {metric.label: metric.value for metric in at.metric}
    assert numbers["Wins : losses"] == "12 : 1"
    assert numbers["Mends a week"] == "2.5"
    (chart,) = at.get("plotly_chart")
    assert "works 10" in chart.proto.alt
    assert "the rewrite, after 8" in html(at)
    assert len(turn_rows(at)) == 10
    follow(at, links(at)["← All rewrites"])
    assert len(named(at)) == 6


def test_states_methods_and_orders_are_in_the_address(opened: Open, rewritten_store: Store) -> None:
    at = opened(rewritten_store.path, "rewrites", state="rejected")
    assert len(named(at)) == 1
    assert CHINESE in html(at)
    at.button_group(key="method").set_value("chain, personal").run()
    assert at.query_params["method"] in ("chain, personal", ["chain, personal"])
    assert "No rewrite is in this state" in texts(at)
    follow(at, "/rewrites?order=wins")
    assert named(at)[0] == PAIR
    assert 'aria-sort="descending"' in html(at)


def test_filters_decide_what_is_counted(opened: Open, rewritten_store: Store) -> None:
    at = opened(rewritten_store.path, "rewrites", rewrite=GENERAL, since="2024-03-25")
    numbers = {metric.label: metric.value for metric in at.metric}
    assert numbers["Mends in this period"] == "2.2"
    follow(at, "/rewrites?text=nothing+like+it")
    assert "No turn of these filters has a request with a rewrite" in texts(at)
    assert html(at).count("<bdi>0 a week</bdi>") == 6


UNKNOWN = {
    "rewrite=0123456789abcdef": "There is no rewrite “0123456789abcdef”",
    "state=odd": "Unknown state=odd",
    "method=odd": "Unknown method=odd",
    "order=odd": "Unknown order=odd",
    "page=odd": "Invalid page=odd",
    "part=odd": "Unknown part=odd",
}


def test_an_unknown_link_is_reported_in_a_sentence(opened: Open, rewritten_store: Store) -> None:
    at = opened(rewritten_store.path, "rewrites")
    for query, words in UNKNOWN.items():
        assert words in texts(follow(at, f"/rewrites?{query}"))


def test_a_rewrite_is_approved_by_somebody(opened: Open, own_rewritten: Store) -> None:
    at = opened(own_rewritten.path, "rewrites", rewrite=GENERAL)
    at.text_input(key="rewrite-who").set_value("Ada").run()
    press(at, "Approve")
    assert not at.error
    assert "**Approved** by Ada on" in texts(at)
    row = state_of(own_rewritten, GENERAL)
    assert (row["state"], row["decided_by"]) == ("approved", "Ada")
    assert "Approve" not in [button.label for button in at.button]
    press(at, "Propose again")
    assert state_of(own_rewritten, GENERAL)["state"] == "proposed"


def test_rejecting_needs_a_reason(opened: Open, own_rewritten: Store) -> None:
    at = opened(own_rewritten.path, "rewrites", rewrite=GENERAL)
    press(at, "Reject")
    assert "needs a reason" in at.error[0].value
    assert state_of(own_rewritten, GENERAL)["state"] == "proposed"
    at.text_input(key="rewrite-reason").set_value("*another* film")
    press(at, "Reject")
    row = state_of(own_rewritten, GENERAL)
    assert (row["state"], row["reason"]) == ("rejected", "*another* film")
    assert "Reason: *another* film" in texts(at)


def test_a_live_rewrite_is_retired(opened: Open, own_rewritten: Store) -> None:
    rows = [{**row, "state": "live"} for row in rewritten.rewrites()]
    with own_rewritten.commit() as cycle:
        cycle.delete_rows("rewrites", "true")
        cycle.append("rewrites", pa.Table.from_pylist(rows, schema=REWRITES))
    at = opened(own_rewritten.path, "rewrites", rewrite=GENERAL)
    press(at, "Retire")
    assert state_of(own_rewritten, GENERAL)["state"] == "retired"


def test_a_rewrite_that_a_later_mining_dropped_is_missed_in_a_sentence(
    opened: Open, own_rewritten: Store
) -> None:
    at = opened(own_rewritten.path, "rewrites", rewrite=GENERAL)
    replace_proposed(
        own_rewritten,
        pa.Table.from_pylist(rewritten.rewrites()[1:2], schema=REWRITES),
        REWRITE_OUTCOMES.empty_table(),
    )
    press(at, "Approve")
    assert "There is no rewrite" in at.error[0].value
    press(at, "There is newer data")
    assert "No such rewrite" in texts(at)


def test_any_text_can_be_opened(opened: Open, rewritten_store: Store) -> None:
    at = opened(rewritten_store.path, "rewrites")
    for row in rewritten.rewrites():
        follow(at, f"/rewrites?rewrite={row['rewrite_id']}")
        assert "Sessions behind it" in texts(at)
        assert "<img" not in html(at)
        assert "\u202e" not in html(at) + texts(at)
        assert len(at.header[0].value) < 1_000
        assert ("as it is" in texts(at)) == (row["rewrite_id"] == OWN_KEEPS)


def test_the_evidence_is_drawn_or_says_what_makes_it(opened: Open, own_rewritten: Store) -> None:
    at = opened(own_rewritten.path, "rewrites", part="evidence")
    charts = at.get("plotly_chart")
    assert len(charts) == 4
    assert f"chain + personal 24.0{THIN}% (21.0{THIN}% to 27.0{THIN}%)" in charts[0].proto.alt
    assert "none" not in charts[0].proto.alt
    assert f"50.0{THIN}% of them were wrong" in texts(at)
    put_setting(own_rewritten, "rewrites_evaluation", ["odd"])
    at = opened(own_rewritten.path, "rewrites", part="evidence")
    assert f"faultline rewrites mine --store {own_rewritten.path}" in texts(at)


def test_the_export_is_that_of_the_command_line(opened: Open, own_rewritten: Store) -> None:
    at = opened(own_rewritten.path, "rewrites")
    assert at.get("download_button")[0].proto.disabled
    follow(at, f"/rewrites?rewrite={GENERAL}")
    press(at, "Approve")
    follow(at, links(at)["← All rewrites"])
    assert "**1 rewrite**" in texts(at)
    assert not at.get("download_button")[0].proto.disabled
    assert "faultline rewrites export --to rewrites.jsonl --store" in texts(at)


def test_a_store_without_rewrites_offers_to_mine(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "rewrites")
    assert "No rewrites yet" in texts(at)
    assert f"faultline rewrites mine --store {scored_store.path}" in texts(at)
    assert "Mine rewrites" in [button.label for button in at.button]
    assert "No such rewrite" in texts(follow(at, f"/rewrites?rewrite={GENERAL}"))


def test_mining_runs_beside_the_page(
    opened: Open, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Done:
        name, state, error = "Mining", "done", None
        result: dict[str, int] = {"in_store": 7}  # noqa: RUF012

        def __init__(self, name: str, module: str, command: list[str], polite: bool) -> None:
            assert (module, command[:2], polite) == ("cli", ["rewrites", "mine"], True)
            rows = pa.Table.from_pylist(rewritten.rewrites(), schema=REWRITES)
            outcomes = pa.Table.from_pylist(rewritten.outcomes(), schema=REWRITE_OUTCOMES)
            with own_store.commit() as cycle:
                cycle.append("rewrites", rows)
                cycle.append("rewrite_outcomes", outcomes)

    monkeypatch.setattr(mining, "ProcessJob", Done)
    at = opened(own_store.path, "rewrites")
    press(at, "Mine rewrites")
    assert "Mined: 7 rewrites" in texts(at)
    press(at, "Show them")
    assert jobs(str(own_store.path)).get(mining.MINE) is None
    assert len(named(at)) == 6


def test_an_unscored_store_shows_counts(opened: Open, rewritten_unscored: Store) -> None:
    at = opened(rewritten_unscored.path, "rewrites")
    assert "28 turns" in html(at)
    assert "Mends" not in html(at).replace("Mends most", "")
    follow(at, f"/rewrites?rewrite={GENERAL}")
    assert {metric.label: metric.value for metric in at.metric}["Heard"] == "14 turns"
    assert "No turn is scored yet" in texts(at)


def test_a_turn_shows_the_rewrite_that_would_have_helped(
    opened: Open, rewritten_store: Store
) -> None:
    at = opened(rewritten_store.path, "turn", turn="00-0-0")
    assert "The user got there 8" in texts(at)
    assert "turn=00-0-1" in links(at)["That turn"]
    follow(at, links(at)[PAIR])
    assert at.query_params["rewrite"] in (GENERAL, [GENERAL])
    # Of a user with a rewrite of their own, that one.
    follow(at, "/turn?turn=01-0-0")
    assert f"rewrite={PERSONAL}" in links(at)["play hungry james → play james"]
    assert "did not get there" in texts(at)
    # Of one who keeps the request, and of a turn that has none: nothing.
    for turn in ("02-0-0", "00-0-1"):
        follow(at, f"/turn?turn={turn}")
        assert "Rewrite" not in [element.value for element in at.subheader]


def test_triage_says_how_much_rewrites_would_mend(opened: Open, rewritten_store: Store) -> None:
    at = opened(rewritten_store.path, "triage", slice="er:device_type=phone")
    assert "They would mend **" in texts(at)
    assert " a week** of its failures" in texts(at)
    assert "Confusions above that a rewrite covers:" in texts(at)
    assert "“hungry james” not found" in html(at)
    assert named(at)
    follow(at, links(at)[named(at)[0]])
    assert "→" in at.header[0].value
    follow(at, "/triage?slice=er:device_type=tablet")
    assert "They would mend" not in texts(at)


def test_the_overview_shows_one_figure(
    opened: Open, rewritten_store: Store, scored_store: Store
) -> None:
    at = opened(rewritten_store.path)
    (line,) = [m for m in at.markdown if "Rewrites would mend" in m.value]
    # Of 5 texts, half the turns fail at .9 and half at .1; one text is rejected, one user keeps.
    mended = 0.9 * 0.8 * (4 - 0.25) * 28
    assert f"{100 * mended / (5 * 28):.1f}" in line.value
    assert line.help
    follow(at, links(at)["See them"])
    assert len(named(at)) == 6
    assert "Rewrites would mend" not in texts(opened(scored_store.path))
