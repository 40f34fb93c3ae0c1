"""The command redact: what it takes, what it refuses, and what ingest then says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.store import privacy
from data.store.deletions import NAME as DELETIONS
from tests.command import Run, must_fail
from tests.logs import trace, write_lines

KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(privacy.KEY, raising=False)
    monkeypatch.delenv(privacy.KEY_FILE, raising=False)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a log, a key and names."""
    said = {"hypotheses": [{"text": "call mary at 412 268 3000"}]}
    write_lines(tmp_path / "log.jsonl", [trace(user_id="zzuser", locale="en-US", asr=said)])
    (tmp_path / "names.txt").write_text("# colleagues\nMary\n")
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    return tmp_path


def test_from_the_first_log_on(files: Path, run: Run) -> None:
    store = files / "mine"
    given = ("--names", files / "names.txt", "--user-key-file", files / "key")
    ran = run("redact", "--store", store, "--kinds", "phone,name", *given)
    assert "phone, name (1 name)" in ran.out
    ran = run("ingest", files / "log.jsonl", "--store", store)
    assert ran.code == 0
    assert "Redacted: 1 user id, 1 name, 1 phone number." in ran.out
    assert KEY not in (store / privacy.NAME).read_text()
    shown = run("redact", "--store", store, "--pseudonym", "zzuser").out.strip()
    run("export", "turns", "--to", files / "turns.jsonl", "--store", store)
    row = json.loads((files / "turns.jsonl").read_text())
    assert row["user_id"] == shown
    assert row["asr"]["hypotheses"][0]["text"] == "call [NAME] at [PHONE]"
    # What is not named stays, and what is stored stays.
    ran = run("redact", "--store", store, "--kinds", "name")
    assert all(words in ran.out for words in ("name (1 name)", "pseudonyms", "1 turn stored"))
    run("ingest", files / "log.jsonl", "--store", store)
    assert "Nothing is redacted" in run("redact", "--store", store, "--off").out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kinds", "email,passport"], ["passport", "iban"]),
        (["--kinds", ","], ["--kinds"]),
        (["--kinds", "name"], ["--names"]),
        (["--kinds", "phone", "--names", "{}/names.txt"], ["name"]),
        (["--kinds", "name", "--names", "{}/none.txt"], ["none.txt"]),
        (["--kinds", "phone", "--region", "Germany"], ["Germany", "DE"]),
        (["--pseudonyms"], ["FAULTLINE_USER_KEY"]),
        (["--user-key-file", "{}/none"], ["none"]),
        (["--user-key-file", "{}"], ["key"]),
        (["--kinds", "phone", "--off"], ["--off"]),
    ],
)
def test_wrong_options_create_no_store(
    files: Path, run: Run, options: list[str], words: list[str]
) -> None:
    store = files / "mine"
    given = [option.format(files) for option in options]
    must_fail(run("redact", "--store", store, *given), *words)
    assert not store.exists()


def test_another_key_is_refused_and_a_lost_file_does_not_lose_the_pseudonyms(
    files: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = files / "mine"
    run("redact", "--store", store, "--user-key-file", files / "key")
    monkeypatch.setenv(privacy.KEY, "another key of enough length")
    must_fail(run("redact", "--store", store, "--pseudonyms"), "another key", "--off")
    must_fail(run("ingest", files / "log.jsonl", "--store", store), "not that of")
    monkeypatch.delenv(privacy.KEY)
    (store / privacy.NAME).unlink()
    must_fail(run("ingest", files / "log.jsonl", "--store", store), "is gone", "faultline redact")
    must_fail(run("redact", "--store", store, "--kinds", "phone"), "pseudonyms")
    ran = run("redact", "--store", store, "--kinds", "phone", "--user-key-file", files / "key")
    assert ran.code == 0
    assert run("ingest", files / "log.jsonl", "--store", store).code == 0


def test_collecting_does_not_begin_without_the_key(
    files: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = files / "mine"
    run("redact", "--store", store, "--user-key-file", files / "key")
    (files / "key").unlink()
    monkeypatch.setenv("HASS_TOKEN", "token")
    must_fail(run("collect", "home-assistant", "http://127.0.0.1:1", "--store", store), "key")
    must_fail(run("collect", "otlp", "--store", store, "--port", "43181"), "key")


@pytest.mark.parametrize("name", [privacy.NAME, DELETIONS])
def test_the_doctor_notices_damage_that_no_repair_mends(files: Path, run: Run, name: str) -> None:
    store = files / "mine"
    run("redact", "--store", store, "--kinds", "phone")
    run("delete", "--store", store, "--user", "zzuser")
    assert run("doctor", "--store", store).code == 0
    content = (store / name).read_bytes()
    (store / name).write_bytes(content[: len(content) // 2])
    ran = run("doctor", "--store", store)
    assert ran.code == 1
    assert name in ran.out.replace("\n", "")
