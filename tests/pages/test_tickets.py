"""The ticket of a slice on the Triage page, against a tracker that listens."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from data.store import workspace
from data.store.store import Store
from parts.triage.ticket import closed_words
from tests.app import Open, html, press, texts
from tests.pages.test_triage import PHONES
from tests.trackers import TIME, TOKEN, GitHubServer, JiraServer, Reply

SEND = f"FormSubmitter:ticket-{PHONES}-Open in GitHub"


@pytest.fixture
def at_github(github: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> GitHubServer:
    for name, value in github.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FAULTLINE_URL", "https://faultline.example")
    return github


def shown(at: AppTest) -> str:
    areas = "".join(area.value or "" for area in at.text_area)
    labels = "".join(block.proto.label for block in at.get("link_button"))
    return texts(at) + html(at) + areas + labels


def test_a_ticket_is_read_changed_opened_and_refreshed(
    opened: Open, own_phones_fail: Store, at_github: GitHubServer
) -> None:
    at = press(opened(own_phones_fail.path, "triage", slice=PHONES), "Open a ticket")
    (text,) = (area.value or "" for area in at.text_area if "Markdown" in area.label)
    assert "- **Slice:** `phone`" in text
    assert "of all other turns" in text
    assert "https://faultline.example/triage?at=" in text
    assert text.count("https://faultline.example/turn?turn=") == 5
    # Not what anybody said, unless that is wanted.
    assert "play song" not in text
    at.checkbox(key=f"ticket-texts-{PHONES}").check().run()
    (area,) = (area for area in at.text_area if "Markdown" in area.label)
    assert "`play song" in (area.value or "")
    at.checkbox(key=f"ticket-texts-{PHONES}").uncheck().run()
    (area,) = (area for area in at.text_area if "Markdown" in area.label)
    area.set_value("In my own words, @nobody.")
    at.button(key=SEND).click().run()
    assert not at.error
    assert not at.exception
    issue = at_github.issues[1]
    assert issue["title"].startswith("ASR: phone: 90.0")
    assert issue["body"].startswith("In my own words, @nobody.\n\nOpened with Faultline")
    assert "#1: open" in html(at)
    assert not [button for button in at.button if "Open a" in button.label]
    issue |= {"state": "closed", "state_reason": "completed", "closed_at": TIME}
    press(at, "Refresh")
    assert not at.error
    assert "#1: closed as completed" in html(at)
    assert "the rate is still higher than elsewhere" in texts(at).replace("\u2060", "")
    assert [button for button in at.button if button.label == "Open a new ticket"]
    assert TOKEN not in shown(at)


def test_a_refusal_keeps_what_was_written(
    opened: Open, own_phones_fail: Store, at_github: GitHubServer
) -> None:
    at = press(opened(own_phones_fail.path, "triage", slice=PHONES), "Open a ticket")
    area = next(area for area in at.text_area if "Markdown" in area.label)
    area.set_value("My words.")
    at_github.planned = [Reply(403, {"message": f"[x](http://evil.example) {TOKEN}"})]
    at.button(key=SEND).click().run()
    (error,) = at.error
    assert "does not allow this" in error.value
    assert TOKEN not in error.value
    assert "](http://" not in error.value
    area = next(area for area in at.text_area if "Markdown" in area.label)
    assert area.value == "My words."
    # A second click, when it works, opens one.
    at.button(key=SEND).click().run()
    assert len(at_github.issues) == 1
    press(opened(own_phones_fail.path, "triage", slice=PHONES), "Refresh")


def test_two_trackers_are_a_choice(
    opened: Open,
    own_phones_fail: Store,
    at_github: GitHubServer,
    jira: JiraServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in jira.environment.items():
        monkeypatch.setenv(name, value)
    at = press(opened(own_phones_fail.path, "triage", slice=PHONES), "Open a ticket")
    choice = at.segmented_control(key=f"ticket-tracker-{PHONES}")
    choice.select("Jira").run()
    at.button(key=SEND.replace("GitHub", "Jira")).click().run()
    assert not at.error
    assert (len(at_github.issues), len(jira.issues)) == (0, 1)
    assert "VA-1: To Do" in html(at)


def test_without_a_tracker_or_with_half_of_one_a_line_says_what_to_set(
    opened: Open, phones_fail: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No issue tracker is set up" in texts(opened(phones_fail.path, "triage", slice=PHONES))
    monkeypatch.setenv("FAULTLINE_JIRA_TOKEN", TOKEN)
    at = opened(phones_fail.path, "triage", slice=PHONES)
    assert "JIRA" in texts(at)
    assert TOKEN not in shown(at)


def test_a_slice_with_hostile_texts_makes_a_harmless_ticket(
    opened: Open, scored_store: Store, at_github: GitHubServer
) -> None:
    slice_key = "er:locale=" + quote("(not logged)")
    at = press(opened(scored_store.path, "triage", failing="er", slice=slice_key), "Open a")
    at.checkbox(key=f"ticket-texts-{slice_key}").check().run()
    area = next(area for area in at.text_area if "Markdown" in area.label)
    assert "\u202e" not in (area.value or "")
    assert "\n<img" not in (area.value or "")


def days(*rates: float) -> pa.Table:
    rows = [
        {
            "day": date(2024, 3, 1) + timedelta(days=i), "turns": 50, "total": 50 * rate,
            "squares": 1.0, "all_turns": 500, "all_total": 50 * rate + 20,
        }
        for i, rate in enumerate(rates)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def test_only_the_days_after_closing_say_whether_it_helped() -> None:
    closed = datetime(2024, 3, 2, 12, tzinfo=UTC)
    assert "too few turns since then" in closed_words(days(0.5, 0.5), closed)
    assert "still higher than elsewhere" in closed_words(days(0.5, 0.5, 0.4), closed)
    assert "no longer clearly higher" in closed_words(days(0.5, 0.5, 0.04), closed)
    assert "does not say when" in closed_words(days(0.5, 0.5, 0.04), None)
    assert "too few turns" in closed_words(days(0.5).slice(0, 0), None)


def test_a_ticket_stands_beside_the_slice_of_its_owner(
    opened: Open, own_phones_fail: Store, at_github: GitHubServer
) -> None:
    row = {
        "url": f"{at_github.url}/ada/assistant/issues/7", "tracker": "github", "key": "#7",
        "state": "open", "status": "open <b>", "closed_at": None, "checked_at": datetime.now(UTC),
    }  # fmt: skip
    workspace.set_triage(own_phones_fail, PHONES, "asr", owner="Ada")
    workspace.link_ticket(own_phones_fail, PHONES, "asr", row)
    at = opened(own_phones_fail.path, "triage", owner="Ada")
    assert "#7: open &lt;b&gt;" in html(at)
    # Who saves a page that was drawn before the ticket was opened does not take it away.
    before = opened(own_phones_fail.path, "triage", slice=PHONES)
    workspace.link_ticket(
        own_phones_fail, PHONES, "asr", {**row, "url": f"{row['url']}1", "key": "#71"}
    )
    next(field for field in before.text_input if field.label == "Owner").set_value("Bob")
    before.button(key=f"FormSubmitter:decision-{PHONES}-Save").click().run()
    assert not before.error
    with own_phones_fail.snapshot() as snapshot:
        decision = workspace.decisions(snapshot)[PHONES]
    assert (decision["owner"], decision["ticket"]["key"]) == ("Bob", "#71")
    assert "7: open" in shown(at).replace("\\", "").replace("\u2060", "")
