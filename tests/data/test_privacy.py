"""A store that redacts: no byte of it has what was redacted, and redaction never lapses."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.errors import PrivacyError, UsageError
from data.ingest.adapters.adapter import Settings
from data.ingest.dry_run import dry_run
from data.ingest.ingest import ingest
from data.store import privacy
from data.store.privacy import KINDS, Choice, choose, chosen, fingerprint, names_in, privacy_of
from data.store.store import Store
from data.store.turn_deletion import delete
from labels.teaching.conversation import Conversation
from labels.teaching.preferences import preferences
from tests.data.test_erasure import contents
from tests.log_samples import OWN
from tests.logs import trace, write_lines

KEY = "k" * 32
USER = "zzuser@example.org"
CHOICE = Choice(KINDS, ("Zzmary Smith",), None, fingerprint(KEY.encode()))
SAID = "call zzmary smith at four one two two six eight three zero zero zero"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(privacy.KEY, KEY)
    monkeypatch.delenv(privacy.KEY_FILE, raising=False)


@pytest.fixture
def redacting(store: Store) -> Store:
    choose(store, CHOICE)
    return store


def turn(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A turn with something personal in each place that there is."""
    phone = "412-268-3000"
    slots = [
        {"name": "who", "value": "Zzmary Smith"},
        {"name": "number", "value": 4122683000},
        {"name": "last", "value": "3000"},
        {"name": "surname", "value": "smith"},
    ]
    acts = [{"act": "confirm", "slots": slots}]
    contact = {"id": "contact:zzmary-smith", "name": "Zzmary Smith", "score": 0.5}
    return trace(
        f"{USER}:{number}",
        dialogue_id=USER,
        turn_index=number,
        user_id=USER,
        locale="en-US",
        device={"id": f"phone of {USER}", "state": {"contact": "zzmary smith"}},
        prompt={"text": f"Is it {phone}?", "acts": acts},
        wake={"phrase": "hey zzmary smith"},
        asr={"hypotheses": [{"text": SAID}, {"text": f"call zzmary smith at {phone}"}]},
        nlu={"hypotheses": [{"intent": "call", "slots": slots}]},
        er={"mentions": [{"slot": "who", "text": "zzmary smith", "candidates": [contact]}]},
        result={"response": f"Calling {phone}", "acts": acts, "items": [{"at": [phone]}]},
        gold={
            "transcript": f"Call Zzmary Smith at {phone}",
            "slots": slots,
            "entities": {"who": "contact:zzmary-smith"},
            "replay": {"intent": "call", "slots": slots},
        },
        caller={"mail": USER, "said": [{"w": "zzmary", "at": 0.1}, {"w": "call", "at": 0}]},
        text_span=[5, 17],
        **fields,
    )


def stored(store: Store, sql: str = "FROM turns ORDER BY turn_index") -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return list(snapshot.query(sql).to_pylist())


def left(store: Store) -> list[str]:
    """Where a file of the store has something personal, but for the choice itself."""
    # Parts of the number as texts would have them; as bare digits they are in sizes and times, too.
    marks = re.compile(rb"zz|four one|2683000|-268\b|\b268-|-3000\b|\"3000\\?\"", re.IGNORECASE)
    return [
        f"{name}: {data[max(match.start() - 20, 0) : match.end() + 20]!r}"
        for name, data in contents(store.path).items()
        if name != privacy.NAME and not data.startswith(b"PAR1")
        for match in marks.finditer(data)
    ]


def test_nothing_personal_is_anywhere_in_the_store(redacting: Store, tmp_path: Path) -> None:
    bad = [
        turn(1) | {"turn_index": -1},
        turn(2) | {"nlu": f"{USER} 412-268-3000"},
        {"user_id": USER, "x": SAID},
        json.dumps(turn(3))[:-30].encode(),
        json.dumps({"pad": "x" * 3000, **turn(4), "turn_index": -1}).encode(),
        b'"zzmary smith 412-268-3000"',
    ]
    # Some with an id that another turn has.
    again = turn(0) | {"started_at": "2024-06-01T09:30:00Z"}
    report = ingest(redacting, [write_lines(tmp_path / "log.jsonl", [turn(), *bad, again])])
    assert (report.turns, report.quarantined) == (1, 7)
    assert left(redacting) == []
    assert "zz" not in str(report.reasons)
    assert {"phone", "name", "user id"} == report.redacted.keys()


def test_what_is_the_same_stays_the_same(redacting: Store, tmp_path: Path) -> None:
    ingest(redacting, [write_lines(tmp_path / "log.jsonl", [turn()])])
    (row,) = stored(redacting)
    heard = {each["text"] for each in row["asr"]["hypotheses"]}
    assert heard == {"call [NAME] at [PHONE]"}
    assert row["gold"]["transcript"] == "Call [NAME] at [PHONE]"
    values = [slot["value"] for slot in row["nlu"]["hypotheses"][0]["slots"]]
    assert values == ["[NAME]", "[PHONE]", "[PHONE]", "[NAME]"]
    ((mention),) = row["er"]["mentions"]
    assert [each["id"] for each in mention["candidates"]] == [row["gold"]["entities"][0][1]]
    # Words with their times agree, and places in the text that was there before are gone.
    extra = json.loads(row["extra"])
    assert [word["w"] for word in extra["caller"]["said"]] == ["[NAME]", "call"]
    assert "text_span" not in extra
    user = row["user_id"]
    assert (row["dialogue_id"], row["turn_id"], extra["caller"]["mail"]) == (
        user,
        f"{user}:0",
        user,
    )


def test_the_same_logs_again_change_nothing_and_late_redaction_replaces(
    store: Store, tmp_path: Path
) -> None:
    log = write_lines(tmp_path / "log.jsonl", [turn() | {"turn_id": "t", "dialogue_id": "d"}])
    ingest(store, [log])
    choose(store, CHOICE)
    assert "zzmary" in str(stored(store))
    assert ingest(store, [log]).replaced == 1
    assert "zzmary" not in str(stored(store)).lower()
    (file,) = ingest(store, [log]).files
    assert (file.unchanged, file.replaced) == (1, 0)


def test_dialogues_of_other_logs_go_on_under_their_pseudonym(store: Store, tmp_path: Path) -> None:
    """Rasa's dialogues are called after the user; the second half of a log finds the first."""
    lines = (OWN / "rasa.jsonl").read_bytes().splitlines(keepends=True)
    halves = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    halves[0].write_bytes(b"".join(lines[: len(lines) // 2]))
    halves[1].write_bytes(b"".join(lines[len(lines) // 2 :]))
    plain = Store.create(tmp_path / "plain")
    choose(store, CHOICE)
    for half in halves:
        ingest(plain, [half], format="rasa")
        ingest(store, [half], format="rasa")
    sql = "SELECT turn_index, started_at, user_id, dialogue_id FROM turns ORDER BY started_at"
    before, after = stored(plain, sql), stored(store, sql)
    keep = privacy_of(store)
    assert keep is not None
    assert before
    key_of = lambda row: (row["started_at"], row["turn_index"], row["user_id"])  # noqa: E731
    expected = [{**row, "user_id": keep.pseudonym(row["user_id"])} for row in before]
    assert sorted(map(key_of, after)) == sorted(map(key_of, expected))
    users = {row["user_id"] for row in before}
    assert not users & {row["dialogue_id"].split(":")[0] for row in after}


def test_dry_run_shows_what_would_be_stored(redacting: Store, tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", [turn()])
    (result,) = dry_run([log], settings=Settings(privacy=privacy_of(redacting)))
    assert "zz" not in str(result.examples[0].turn)


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "short", "another key of enough length"])
def test_without_its_key_nothing_is_read(
    redacting: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    if given is None:
        monkeypatch.delenv(privacy.KEY)
    else:
        monkeypatch.setenv(privacy.KEY, given)
    # There is no such file; the key is missed first.
    with pytest.raises(PrivacyError, match="key"):
        ingest(redacting, [tmp_path / "none.jsonl"])


def test_a_key_file_that_others_can_read_or_in_the_store_is_refused(
    redacting: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(privacy.KEY)
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    monkeypatch.setenv(privacy.KEY_FILE, str(path))
    path.chmod(0o640)
    with pytest.raises(PrivacyError, match="chmod 600"):
        privacy_of(redacting)
    path.chmod(0o600)
    keep = privacy_of(redacting)
    assert keep is not None
    assert keep.key == KEY.encode()
    inside = redacting.path / "key"
    path.rename(inside)
    monkeypatch.setenv(privacy.KEY_FILE, str(inside))
    with pytest.raises(PrivacyError, match="own folder"):
        privacy_of(redacting)


def test_the_key_is_nowhere(redacting: Store, tmp_path: Path) -> None:
    ingest(redacting, [write_lines(tmp_path / "log.jsonl", [turn()])])
    assert not [name for name, data in contents(redacting.path).items() if KEY.encode() in data]
    assert KEY not in repr(privacy_of(redacting))


def test_a_user_is_deleted_by_their_own_id(
    redacting: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(redacting, [write_lines(tmp_path / "log.jsonl", [turn(), turn(1) | {"nlu": 5}])])
    (row,) = stored(redacting)
    monkeypatch.delenv(privacy.KEY)
    with pytest.raises(PrivacyError, match="missing"):
        delete(redacting, user_ids=[USER])
    # The pseudonym itself needs no key.
    another = row["user_id"][:-1] + ("0" if row["user_id"][-1] != "0" else "1")
    assert delete(redacting, user_ids=[another]).nothing
    monkeypatch.setenv(privacy.KEY, KEY)
    report = delete(redacting, user_ids=[USER])
    assert (report.turns, report.quarantined) == (1, 1)


# -- lapses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "edited", "folder"])
def test_redaction_does_not_lapse_with_its_file(
    redacting: Store, tmp_path: Path, damage: str
) -> None:
    path = redacting.path / privacy.NAME
    text = path.read_text()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        path.write_text(
            {"empty": "", "cut": text[:-9], "edited": text.replace("phone", "card")}[damage]
        )
    with pytest.raises(PrivacyError, match="nothing was read"):
        ingest(redacting, [write_lines(tmp_path / "log.jsonl", [turn()])])
    assert stored(redacting) == []


@pytest.mark.parametrize("user", ["redaction", "on", "true", "fingerprint", CHOICE.fingerprint])
def test_nobody_can_be_called_so_that_their_deletion_ends_redaction(
    redacting: Store, user: str
) -> None:
    delete(redacting, user_ids=[user])
    (redacting.path / privacy.NAME).unlink()
    with pytest.raises(PrivacyError, match="is gone"):
        chosen(redacting)


def test_off_is_off(redacting: Store, tmp_path: Path) -> None:
    choose(redacting, None)
    assert privacy_of(redacting) is None
    ingest(redacting, [write_lines(tmp_path / "log.jsonl", [turn()])])
    assert "zzmary" in str(stored(redacting))


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "no names"), (b"a\n", "too few letters"), (b"\xff\xfeM\0", "not UTF-8"), (None, "read")],
)
def test_bad_lists_of_names(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "names.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        names_in(path)


def test_what_users_teach_is_theirs_under_their_pseudonym(
    redacting: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2024, 6, 1, tzinfo=UTC)
    talk = Conversation(redacting, USER)
    talk.say("when I say cosy, dim the lights to 30", at)
    assert talk.say("yes", at).did == "stored"
    known = privacy_of(redacting)
    assert known is not None
    with redacting.snapshot() as snapshot:
        taught = preferences(snapshot, known.pseudonym(USER)).to_pylist()
    assert [row["name"] for row in taught] == ["cosy"]
    assert left(redacting) == []
    # Their own id and the pseudonym are one user; without the key, only the pseudonym is known.
    assert Conversation(redacting, known.pseudonym(USER)).say("cosy", at).meaning
    monkeypatch.delenv(privacy.KEY)
    with pytest.raises(PrivacyError, match="key"):
        Conversation(redacting, USER).say("cosy", at)


@pytest.mark.parametrize(
    "line",
    [
        {"turn_id": "t", "phone": 4122683000},
        json.dumps({"turn_id": "t", "mail": "jörg@example.org"}).encode()[:-2],
        rb'{"turn_id": "t", "mail": "joe\u0040example.org',
    ],
)
def test_numbers_and_escaped_letters_of_faulty_lines_are_redacted(
    store: Store, tmp_path: Path, line: Any
) -> None:
    choose(store, Choice(KINDS, ("Zzmary Smith",), "US"))
    ingest(store, [write_lines(tmp_path / "log.jsonl", [turn(), line])])
    (fault,) = stored(store, "FROM quarantine")
    assert "[EMAIL]" in fault["excerpt"] or "[PHONE]" in fault["excerpt"]
    assert not re.search("4122683000|example", fault["excerpt"])
