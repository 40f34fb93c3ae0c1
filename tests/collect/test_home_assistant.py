"""The client of Home Assistant, over real WebSockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from collect import home_assistant
from collect.home_assistant import KEPT, Client, address
from data.errors import CollectError, UsageError
from data.ingest.adapters.adapter import Settings
from data.store.store import Store
from tests.browser import free_port
from tests.collect.home import TOKEN, Home, listening
from tests.collect.served import quarantine, stored, until
from tests.command import Run, must_fail


class Collecting:
    """A client in a thread of its own."""

    def __init__(self, client: Client, events: list[Any]) -> None:
        self.client = client
        self.events = events
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    @property
    def log(self) -> list[str]:
        """What a person would read."""
        return [event["message"] for event in self.events if "message" in event]

    def _run(self) -> None:
        try:
            self.client.run()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.client.stop.set()
        self.thread.join()


@contextmanager
def collecting(
    url: str, store: Store, token: str = TOKEN, every: float = 0.1
) -> Iterator[Collecting]:
    folder = store.path / ".spool" / "home-assistant"
    folder.mkdir(parents=True, exist_ok=True)
    with capture_logs() as events:
        running = Collecting(Client(url, token, store, folder, every, Settings()), events)
        try:
            yield running
        finally:
            running.end()


def texts(store: Store) -> list[str]:
    return [turn["asr"]["hypotheses"][0]["text"] for turn in stored(store.path)]


def heard(store: Store) -> set[str]:
    return {turn["result"]["response"].removeprefix("Done: ") for turn in stored(store.path)}


def test_runs_become_turns_when_they_have_ended(store: Store) -> None:
    home = Home()
    home.say("turn on the lamp", 0)
    going = home.say("turn off the lamp", 20, ended=False)
    # A run of the year 2026 that has not ended has been given up: take the clock of the test.
    home.runs["kitchen"][going][0]["timestamp"] = _now()
    with listening(home) as url, collecting(url, store) as running:
        until(lambda: len(stored(store.path)) == 1)
        time.sleep(0.5)
        assert len(stored(store.path)) == 1
        home.end("kitchen", going)
        until(lambda: len(stored(store.path)) == 2)
        home.say("what time is it", 40, pipeline="hall")
        until(lambda: len(stored(store.path)) == 3)
        assert running.log == []
        assert running.client.turns == 3
    assert quarantine(store.path) == []


def _now() -> str:
    return datetime.now(UTC).isoformat()


def test_runs_without_a_request_are_no_turns(store: Store) -> None:
    home = Home()
    home.runs["kitchen"] = {}
    run = home.say("nothing", 0)
    home.runs["kitchen"][run] = [
        home.runs["kitchen"][run][0],
        {"type": "run-end", "data": None, "timestamp": "2026-05-01T09:00:01+00:00"},
    ]
    with listening(home) as url, collecting(url, store) as running:
        until(lambda: home.asked.count("pipeline_debug/list") > 4)
        home.say("turn on the lamp", 60)
        until(lambda: len(stored(store.path)) == 1)
    assert running.log == []


def test_requests_with_short_pauses_stay_one_dialogue(store: Store) -> None:
    home = Home()
    with listening(home) as url:
        for start, texts in ((0, ("one", "two")), (120, ("three",)), (5_000, ("four",))):
            # The client is started again each time.
            with collecting(url, store):
                for index, text in enumerate(texts):
                    home.say(text, start + 60 * index)
                    until(lambda text=text: text in heard(store))  # type: ignore[misc]
    turns = {turn["result"]["response"][6:]: turn for turn in stored(store.path)}
    assert len(turns) == 4
    dialogues = [turns[text]["dialogue_id"] for text in ("one", "two", "three", "four")]
    assert len(set(dialogues[:3])) == 1
    assert dialogues[3] != dialogues[0]
    assert [turns[text]["turn_index"] for text in ("one", "two", "three", "four")] == [0, 1, 2, 0]
    assert quarantine(store.path) == []


def test_what_is_faulty_in_a_dialogue_is_in_quarantine_once(store: Store) -> None:
    home = Home()
    # A run that does not say when it began is taken to have begun when it was collected.
    now = (datetime.now(UTC) - datetime(2026, 5, 1, 9, 0, tzinfo=UTC)).total_seconds()
    faulty = home.say("faulty", now)
    del home.runs["kitchen"][faulty][0]
    with listening(home) as url, collecting(url, store) as running:
        until(lambda: len(quarantine(store.path)) == 1)
        (before,) = quarantine(store.path)
        for number in range(1, 4):
            home.say(f"request {number}", now + 60 + number)
            until(lambda number=number: len(stored(store.path)) == number)  # type: ignore[misc]
        assert running.log == []
    (row,) = quarantine(store.path)
    assert row["file"] == before["file"]
    assert row["run_id"] != before["run_id"]


def test_what_is_known_is_not_asked_for_again_and_again(store: Store) -> None:
    home = Home()
    for number in range(5):
        home.say(f"request {number}", 60 * number)
    with listening(home) as url:
        with collecting(url, store):
            until(lambda: home.asked.count("pipeline_debug/list") > 8)
        with collecting(url, store):
            until(lambda: home.asked.count("pipeline_debug/list") > 16)
    # Twice each, in case an error follows the end; once more by the client that begins anew.
    assert home.asked.count("pipeline_debug/get") == 15
    assert len(stored(store.path)) == 5


def test_many_runs_are_looked_for_sooner(store: Store) -> None:
    home = Home()
    home.say("first", 0)
    with listening(home) as url, collecting(url, store, every=1.0) as running:
        until(lambda: len(stored(store.path)) == 1)
        total = 1
        pauses = []

        def has_all() -> bool:
            pauses.append(running.client._pause)
            return len(stored(store.path)) == total

        for burst in range(6):
            for number in range(6):
                total += 1
                home.say(f"{burst} {number}", 100 * burst + 10 * number + 10)
            until(has_all)
        assert min(pauses) < 1.0
        assert running.log == []
    assert len(stored(store.path)) == 37


def test_a_store_that_is_moved_is_waited_for(store: Store) -> None:
    home = Home()
    home.say("first", 0)
    moved = store.path.with_name("moved")
    with listening(home) as url, collecting(url, store) as running:
        until(lambda: len(stored(store.path)) == 1)
        store.path.rename(moved)
        home.say("second", 100)
        until(lambda: bool(running.log))
        assert not store.path.exists()
        moved.rename(store.path)
        until(lambda: len(stored(store.path)) == 2)
    assert all("is gone; put it back" in sentence for sentence in running.log)


def test_a_gap_is_said(store: Store) -> None:
    home = Home()
    home.say("first", 0)
    with listening(home) as url, collecting(url, store, every=0.5) as running:
        until(lambda: len(stored(store.path)) == 1)
        for number in range(3 * KEPT):
            home.say(f"request {number}", 10 * number + 10)
        until(lambda: bool(running.log))
    assert running.log[0].startswith("All 10 runs that Home Assistant has of the pipeline Kitchen")
    assert "--every" in running.log[0]


def test_it_connects_again(store: Store) -> None:
    home, port = Home(), free_port()
    home.say("one", 0)
    with collecting(f"http://127.0.0.1:{port}", store) as running:
        until(lambda: len(running.log) == 1)
        with listening(home, port):
            until(lambda: len(stored(store.path)) == 1)
        until(lambda: len(running.log) == 2)
        home.say("two", 60)
        with listening(home, port):
            until(lambda: len(stored(store.path)) == 2)
    for sentence in running.log:
        assert sentence.startswith(f"No connection to http://127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    ("home", "token", "words"),
    [
        (Home(), "wrong", "does not accept the token"),
        (Home(administrator=False, runs={"kitchen": {}}), TOKEN, "not an administrator's"),
        (Home(installed=False), TOKEN, "no Assist pipelines"),
    ],
)
def test_what_trying_again_cannot_help_ends_it(
    store: Store, home: Home, token: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "STARTING_S", 0.0)
    with listening(home) as url, collecting(url, store, token) as running:
        running.thread.join(30)
    assert isinstance(running.error, CollectError)
    assert words in str(running.error)
    assert str(running.error).count(". ") == 0
    assert TOKEN not in str(running.error)


@pytest.mark.parametrize("code", ["unknown_command", "home_assistant_error", "timeout"])
def test_it_goes_on_when_home_assistant_is_ready_again(store: Store, code: str) -> None:
    home = Home()
    home.say("turn on the light", 0)
    with listening(home) as url, collecting(url, store) as running:
        until(lambda: texts(store) == ["turn on the light"])
        home.refuses = code
        until(lambda: bool(running.log))
        home.say("turn it off", 5)
        home.refuses = None
        until(lambda: len(texts(store)) == 2)
        assert running.thread.is_alive()
    assert running.error is None
    for sentence in running.log:
        assert sentence.startswith(f"Home Assistant at {url} refuses assist_pipeline/")
        assert sentence.endswith(f": {code}; trying again.")


def test_it_waits_while_home_assistant_starts(store: Store) -> None:
    home = Home(installed=False)
    home.say("turn on the light", 0)
    with listening(home) as url, collecting(url, store) as running:
        until(lambda: bool(running.log))
        home.installed = True
        until(lambda: texts(store) == ["turn on the light"])
    assert running.error is None


def test_another_server_is_no_home_assistant(store: Store) -> None:
    from websockets.sync.server import serve

    with serve(lambda connection: connection.send("hello"), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with collecting(f"http://127.0.0.1:{port}", store) as running:
            running.thread.join(30)
        server.shutdown()
        thread.join()
    assert isinstance(running.error, CollectError)
    assert "is not Home Assistant" in str(running.error)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://home:8123", "ws://home:8123/api/websocket"),
        ("home:8123", "ws://home:8123/api/websocket"),
        ("https://home/", "wss://home/api/websocket"),
        ("wss://home/api/websocket", "wss://home/api/websocket"),
        ("http://proxy/home", "ws://proxy/home/api/websocket"),
        ("http://[::1]:8123", "ws://[::1]:8123/api/websocket"),
    ],
)
def test_addresses(url: str, expected: str) -> None:
    assert address(url) == expected


@pytest.mark.parametrize(
    "url", ["ftp://home", "", "http://", "http://u:secret@home", "http://h?t=secret"]
)
def test_other_addresses_are_refused_without_their_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a Home Assistant") as raised:
        address(url)
    assert "secret" not in str(raised.value)


def test_without_a_token_it_says_where_to_put_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FAULTLINE_HOME_ASSISTANT_TOKEN", "HASS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    ran = run("collect", "home-assistant", "http://home:8123", "--store", "s")
    must_fail(ran, "FAULTLINE_HOME_ASSISTANT_TOKEN", code=2)


def test_a_wrong_token_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASS_TOKEN", "the-wrong-token")
    with listening(Home()) as url:
        ran = run("collect", "home-assistant", url, "--store", "s")
    must_fail(ran, "does not accept the token", code=1)
    assert "the-wrong-token" not in ran.out + ran.err


def test_a_signal_ends_it(tmp_path: Path) -> None:
    import os
    import signal
    import subprocess
    import sys

    from tests.collect.served import ROOT

    home = Home()
    home.say("turn on the lamp", 0)
    with listening(home) as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "collect", "home-assistant", url, "--store", "s"],
            cwd=tmp_path,
            env={**os.environ, "HASS_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: (tmp_path / "s").exists() and bool(stored(tmp_path / "s")))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("1 new turn, 0 in quarantine.\n")
