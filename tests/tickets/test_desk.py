"""One ticket for a slice, whoever clicks how often, and its state in the store."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.errors import StoreBusy, TicketError, UsageError
from data.store import workspace
from data.store.store import Store
from data.store.turn_deletion import delete
from tests.command import Run, must_fail
from tests.trackers import TIME, TOKEN, GitHubServer, JiraServer, Reply
from tickets.desk import open_ticket, sync
from tickets.settings import trackers

PHONES = "asr:device_type=phone"
CARS = "asr:assistant=car"


def opened(store: Store, server: GitHubServer | JiraServer, slice_key: str = PHONES) -> bool:
    (tracker,) = trackers(server.environment)
    return open_ticket(store, tracker, slice_key, "asr", "ASR: phone", "Its *figures*.").new


def states(store: Store) -> dict[str, str]:
    with store.snapshot() as snapshot:
        return {key: row["status"] for key, row in workspace.tickets(snapshot).items()}


def test_a_ticket_becomes_that_of_the_slice_and_the_decision_stays(
    store: Store, github: GitHubServer
) -> None:
    workspace.set_triage(store, PHONES, "asr", owner="Ada", state="looking", note="mine")
    assert opened(store, github)
    with store.snapshot() as snapshot:
        decision = workspace.decisions(snapshot)[PHONES]
    assert (decision["owner"], decision["state"], decision["note"]) == ("Ada", "looking", "mine")
    assert decision["link"] == f"{github.url}/ada/assistant/issues/1"
    assert (decision["ticket"]["key"], decision["ticket"]["state"]) == ("#1", "open")
    assert github.issues[1]["body"].startswith(
        "Its *figures*.\n\nOpened with Faultline: `faultline"
    )


def test_retries_and_two_people_at_once_make_one_ticket(
    store: Store, github: GitHubServer, jira: JiraServer
) -> None:
    jira.search_is_late = True
    for server in (github, jira):
        with ThreadPoolExecutor(4) as people:
            stores = [Store.open(store.path) for _ in range(4)]
            news = list(people.map(opened, stores, [server] * 4))
        assert sorted(news) == [False, False, False, True]
        assert len(server.issues) == 1
        assert opened(store, server, CARS)
    # Another store's slice of the same name has a ticket of its own.
    assert opened(Store.create(store.path.parent / "other"), github)
    # One that was closed is not opened again: the next ticket is new.
    github.issues[1] |= {"state": "closed", "closed_at": TIME}
    assert opened(store, github)


def test_a_lost_answer_or_store_loses_no_ticket(
    store: Store, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreBusy("The store is busy.")

    with monkeypatch.context() as patched:
        patched.setattr(workspace, "link_ticket", full)
        with pytest.raises(TicketError, match=r"#1 is open at .*The store is busy"):
            opened(store, github)
    assert not opened(store, github)
    assert states(store) == {PHONES: "open"}


def test_nothing_is_opened_where_the_tracker_cannot_be_looked_through(
    store: Store, github: GitHubServer
) -> None:
    github.planned = [Reply(500, b"")]
    with pytest.raises(TicketError):
        opened(store, github)
    assert not github.issues
    with store.snapshot() as snapshot:
        assert workspace.triage(snapshot) == {}


@pytest.mark.parametrize(("title", "body"), [(" ", "a"), ("a", "\n"), ("a", 60_001 * "x")])
def test_an_empty_or_endless_ticket_is_refused(
    store: Store, github: GitHubServer, title: str, body: str
) -> None:
    (tracker,) = trackers(github.environment)
    with pytest.raises(UsageError):
        open_ticket(store, tracker, PHONES, "asr", title, body)
    assert not github.requests


def test_states_come_back_also_of_tickets_that_people_linked(
    store: Store, github: GitHubServer, jira: JiraServer
) -> None:
    opened(store, github)
    opened(store, jira, CARS)
    github.add("by hand", "closed")
    workspace.set_ticket_prefix(store, f"{github.url}/ada/assistant/issues/")
    workspace.set_triage(store, "er:hour=08-12", "er", link="#2")
    workspace.set_triage(store, "nlu:hour=08-12", "nlu", link="https://elsewhere.example/9")
    jira.move(1, "In Progress", "indeterminate")
    both = trackers({**github.environment, **jira.environment})
    synced = sync(store, both)
    assert synced.problems == []
    assert synced.changed == 2
    assert states(store) == {
        PHONES: "open",
        CARS: "In Progress",
        "er:hour=08-12": "closed as completed",
        "nlu:hour=08-12": None,
    }
    # What is gone is said to be; what cannot be asked for stays as it was, once for each tracker.
    del github.issues[2]
    jira.planned = [Reply(401, b"")]
    synced = sync(store, both)
    assert len(synced.problems) == 1
    assert states(store)["er:hour=08-12"] == "not found"
    assert states(store)[CARS] == "In Progress"
    assert len(github.requests) > 0


def test_a_deleted_user_is_gone_from_tickets(store: Store, github: GitHubServer) -> None:
    opened(store, github, "asr:slot=user-4711")
    row = {
        "url": "https://x.example/user-4711", "tracker": "jira", "key": "VA-1", "state": "open",
        "status": "open", "closed_at": None, "checked_at": None,
    }  # fmt: skip
    workspace.record_tickets(store, [row])
    delete(store, user_ids=["user-4711"])
    with store.snapshot() as snapshot:
        assert snapshot.query("FROM tickets")["key"].to_pylist() == ["#1"]
        assert workspace.tickets(snapshot) == {}


def test_the_commands(
    run: Run, store: Store, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No slice has a ticket" in run("tickets", "list", "--store", store.path).out
    for name in github.environment:
        monkeypatch.delenv(name, raising=False)
    must_fail(run("tickets", "sync", "--store", store.path), "FAULTLINE_GITHUB_TOKEN", code=2)
    for name, value in github.environment.items():
        monkeypatch.setenv(name, value)
    opened(store, github)
    github.issues[1] |= {"state": "closed", "state_reason": "completed", "closed_at": TIME}
    ran = run("tickets", "sync", "--store", store.path)
    assert ran.code == 0
    assert "1 state changed" in ran.out
    assert "closed as completed" in run("tickets", "list", "--store", store.path).out
    (row,) = json.loads(run("tickets", "list", "--json", "--store", store.path).out)
    assert (row["slice"], row["key"], row["state"]) == (PHONES, "#1", "closed")
    github.planned = [Reply(401, b"")]
    ran = run("tickets", "sync", "--store", store.path)
    must_fail(ran, "does not accept the token", code=1)
    assert TOKEN not in ran.out + ran.err


def test_the_token_is_in_no_file_of_the_store(store: Store, github: GitHubServer) -> None:
    opened(store, github)
    files = [path for path in Path(store.path).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_while_somebody_opens_one_the_next_waits(
    store: Store, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr("tickets.desk._PATIENCE_S", 0.1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(store.path / ".tickets.lock"):
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        with pytest.raises(StoreBusy, match="Somebody else"):
            opened(store, github)
    finally:
        done.set()
        thread.join()
    assert not github.issues
