"""GitHub and Jira by their documented shapes, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from data.errors import TicketError, TicketMissing, UsageError
from tests.trackers import TIME, TOKEN, GitHubServer, JiraServer, Reply, Server
from tickets.settings import dashboard_url, trackers
from tickets.tracker import Tracker

CLOSED = datetime.fromisoformat(TIME)
MARKER = "faultline0123abcd"
BODY = f"### A *slice*\n\n- **rate** `23 %`\n\n[link](https://x.example/?a=b)\n\n`{MARKER}`"


def tracker_of(server: GitHubServer | JiraServer) -> Tracker:
    (tracker,) = trackers(server.environment)
    return tracker


def refused(tracker: Tracker, action: str = "create") -> str:
    def act() -> None:
        if action == "create":
            tracker.create("A slice", BODY)
        else:
            tracker.state("#1" if tracker.name == "github" else "VA-1")

    with pytest.raises(TicketError) as error:
        act()
    words = str(error.value)
    assert TOKEN not in words
    assert words.endswith(".")
    assert "\n" not in words
    return words


def test_github_opens_an_issue_and_says_its_state(github: GitHubServer) -> None:
    tracker = tracker_of(github)
    ticket = tracker.create("A slice", BODY)
    assert (ticket.key, ticket.state, ticket.status) == ("#1", "open", "open")
    assert ticket.url == f"{github.url}/ada/assistant/issues/1"
    assert tracker.key_of(ticket.url) == "#1"
    assert tracker.key_of(f"{github.url}/ada/other/issues/1") is None
    issue = github.issues[1]
    assert (issue["title"], issue["body"]) == ("A slice", BODY)
    assert issue["labels"] == [{"name": "faultline"}]
    issue |= {"state": "closed", "state_reason": "not_planned", "closed_at": TIME}
    ticket = tracker.state("#1")
    assert (ticket.state, ticket.status) == ("closed", "closed as not planned")
    assert ticket.closed_at == CLOSED


def test_github_finds_the_open_issue_with_a_marker(github: GitHubServer) -> None:
    tracker = tracker_of(github)
    assert tracker.find(MARKER) is None
    github.add(BODY, "closed")
    github.add(BODY, pull_request={"url": "x"})
    assert tracker.find(MARKER) is None
    mine = github.add(BODY)
    # Without asking the search, which does not know a new issue at once.
    github.search_is_late = True
    ticket = tracker.find(MARKER)
    assert ticket is not None
    assert ticket.key == f"#{mine['number']}"
    # Among many issues, the newest alone are listed.
    for _ in range(100):
        github.add("another")
    assert tracker.find(MARKER) is None
    github.search_is_late = False
    assert tracker.find(MARKER) == ticket


def test_jira_opens_an_issue_and_says_its_state(jira: JiraServer) -> None:
    tracker = tracker_of(jira)
    assert tracker.find(MARKER) is None
    ticket = tracker.create("A  slice\n" + 300 * "x", BODY)
    assert (ticket.key, ticket.state, ticket.status) == ("VA-1", "open", "To Do")
    assert tracker.key_of(ticket.url) == "VA-1"
    assert jira.issues[1]["labels"] == ["faultline"]
    assert tracker.find(MARKER) == ticket
    jira.move(1, "In Progress", "indeterminate")
    assert (tracker.state("VA-1").state, tracker.state("VA-1").status) == ("open", "In Progress")
    jira.move(1, "Erledigt", "done")
    ticket = tracker.state("VA-1")
    assert (ticket.state, ticket.status) == ("closed", "Erledigt")
    assert ticket.closed_at == datetime(2024, 3, 10, 11, tzinfo=UTC)
    assert tracker.find(MARKER) is None


def test_jira_without_a_field_for_labels(jira: JiraServer) -> None:
    jira.without_labels = True
    assert tracker_of(jira).create("A slice", BODY).key == "VA-1"
    assert "labels" not in jira.issues[1]


def test_what_jira_finds_wrong_is_told(jira: JiraServer) -> None:
    (tracker,) = trackers({**jira.environment, "FAULTLINE_JIRA_ISSUE_TYPE": "Epic"})
    assert "Specify a valid issue type" in refused(tracker)
    assert not jira.issues


@pytest.mark.parametrize("kind", ["github", "jira"])
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, {"message": "Bad credentials"}), "does not accept the token (401)"),
        (Reply(403, {"message": f"Resource not accessible by {TOKEN}"}), "not accessible by …"),
        (Reply(403, {}, {"x-ratelimit-remaining": "0"}), "takes no more requests now"),
        (Reply(429, {}, {"Retry-After": "120"}), "try again in 2 min"),
        (Reply(404, {"message": "Not Found"}), "or does not show it with this token (404)"),
        (Reply(410, {"message": "Issues are disabled for this repo"}), "Issues are disabled"),
        (Reply(422, {"errors": [{"field": "title", "code": "missing"}]}), "title missing"),
        (Reply(500, b"<html>"), "problem of its own (500)"),
        (Reply(307, None, {"Location": "https://elsewhere.example/x"}), "moved to https://elsewh"),
        (Reply(200, b"<html>Sign in to the hotel</html>"), "not as"),
        (Reply(201, {"number": "1", "key": 7}), "not as"),
        (Reply(201, b"[" * 100_000), "not as"),
        (Reply(400, {"errorMessages": 5, "errors": [7]}), "refused it (400)"),
    ],
)
def test_a_refusal_is_one_sentence_without_the_token(
    kind: str, reply: Reply, words: str, request: pytest.FixtureRequest
) -> None:
    server: Any = request.getfixturevalue(kind)
    server.planned = [reply]
    assert words in refused(tracker_of(server))
    # Creating is sent once, whatever the answer.
    assert len(server.requests) == 1


def test_a_wrong_token_is_not_shown(github: GitHubServer) -> None:
    (tracker,) = trackers({**github.environment, "FAULTLINE_GITHUB_TOKEN": "wrong-token"})
    assert "wrong-token" not in refused(tracker)


def test_a_busy_tracker_is_asked_again_but_never_to_create(github: GitHubServer) -> None:
    tracker = tracker_of(github)
    github.add(BODY)
    busy = Reply(503, b"", {"Retry-After": "0"})
    github.planned = [busy, busy]
    assert tracker.state("#1").key == "#1"
    github.planned = [busy]
    refused(tracker)
    assert not github.planned
    assert len(github.issues) == 1
    # One that asks for an hour is not waited for.
    github.planned = [Reply(429, b"", {"Retry-After": "3600"})]
    assert "try again in 60 min" in refused(tracker, "state")


def test_a_redirect_is_followed_within_the_host_only(github: GitHubServer) -> None:
    tracker = tracker_of(github)
    github.add(BODY)
    moved = f"{github.url}/repos/ada/assistant/issues/1"
    github.planned = [Reply(301, b"", {"Location": moved})]
    assert tracker.state("#7").key == "#1"
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/"
        github.planned = [Reply(301, b"", {"Location": address})]
        assert address in refused(tracker, "state")
        with pytest.raises(TimeoutError):
            other.accept()


def test_a_missing_ticket_is_told_apart(github: GitHubServer, jira: JiraServer) -> None:
    for server, key in ((github, "#9"), (jira, "VA-9")):
        with pytest.raises(TicketMissing):
            tracker_of(server).state(key)


def test_an_address_that_a_browser_would_run_is_refused(github: GitHubServer) -> None:
    github.add(BODY, html_url="javascript:alert(1)")
    assert "no web address" in refused(tracker_of(github), "state")


def test_nobody_listens(github: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = {**github.environment, "FAULTLINE_GITHUB_URL": f"http://127.0.0.1:{port}"}
    (tracker,) = trackers(away)
    assert "Cannot reach GitHub" in refused(tracker)
    (tracker,) = trackers({**away, "FAULTLINE_GITHUB_URL": "https://no-such-host.invalid"})
    assert "Cannot reach GitHub" in refused(tracker)
    # Who accepts, and never answers: whether the ticket was opened is not known.
    monkeypatch.setattr("data.web_requests._READ_S", 0.2)
    with socket.create_server(("127.0.0.1", port)):
        (tracker,) = trackers(away)
        assert "whether the ticket was opened is not known" in refused(tracker)


def test_a_netrc_of_another_service_changes_no_token(
    github: GitHubServer, jira: JiraServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    servers: list[Server] = [github, jira]
    for tracker in trackers({**github.environment, **jira.environment}):
        tracker.create("A slice", BODY)
    assert [len(server.issues) for server in servers] == [1, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"FAULTLINE_GITHUB_TOKEN": ""}, "but FAULTLINE_GITHUB_TOKEN is not"),
        ({"FAULTLINE_GITHUB_TOKEN": "abc\r\nX-Evil: 1"}, "characters that no token has"),
        ({"FAULTLINE_GITHUB_TOKEN": "abç"}, "characters that no token has"),
        ({"FAULTLINE_GITHUB_REPOSITORY": "https://github.com/a/b"}, "owner/name"),
        ({"FAULTLINE_GITHUB_REPOSITORY": "../../user"}, "owner/name"),
        ({"FAULTLINE_GITHUB_URL": "api.github.com"}, "not a web address"),
        ({"FAULTLINE_GITHUB_URL": "https://[x"}, "not a web address"),
        ({"FAULTLINE_GITHUB_URL": "http://github.corp/api/v3"}, "give an https:// address"),
        ({"FAULTLINE_GITHUB_URL": f"https://a:{TOKEN}@x.example"}, "must not contain a user"),
        ({"FAULTLINE_JIRA_URL": "https://x.example"}, "FAULTLINE_JIRA_PROJECT and FAULTLINE_JIRA_"),
    ],
)
def test_a_wrong_setting_is_named(github: GitHubServer, change: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as error:
        trackers({**github.environment, **change})
    assert words in str(error.value)
    assert TOKEN not in str(error.value)
    assert "Evil" not in str(error.value)


def test_without_settings_there_is_no_tracker() -> None:
    assert trackers({"FAULTLINE_GITHUB_URL": "https://github.corp/api/v3"}) == []
    assert dashboard_url({}) == ""
    assert dashboard_url({"FAULTLINE_URL": "https://x.example/f/"}) == "https://x.example/f"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://", "http:///f", "https://a b.c"])
def test_links_lead_to_a_web_address_only(url: str) -> None:
    with pytest.raises(UsageError, match="FAULTLINE_URL"):
        dashboard_url({"FAULTLINE_URL": url})


def test_who_answers_byte_by_byte_is_not_waited_for(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and the answer never ends."""
    monkeypatch.setattr("tickets.http._WHOLE_S", 0.5)
    ended = threading.Event()

    def drip(server: socket.socket) -> None:
        with server.accept()[0] as caller, suppress(OSError):
            caller.recv(1 << 16)
            caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not ended.wait(0.05):
                caller.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        away = f"http://127.0.0.1:{server.getsockname()[1]}"
        (tracker,) = trackers({**github.environment, "FAULTLINE_GITHUB_URL": away})
        began = time.monotonic()
        with pytest.raises(TicketError, match="did not answer in time"):
            tracker.state("#1")
        assert time.monotonic() - began < 10
        ended.set()
