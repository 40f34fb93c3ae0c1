"""What the page Data says of redaction, retention and deletions."""

from __future__ import annotations

from data.store.deletions import NAME
from data.store.privacy import Choice, choose
from data.store.retention_policy import set_policy
from data.store.store import Store
from data.store.turn_deletion import delete
from tests.app import Open, texts


def test_redaction_retention_and_deletions_are_shown_without_names(
    opened: Open, own_phones_fail: Store
) -> None:
    shown = texts(opened(own_phones_fail.path, "data", part="storage"))
    assert "Nothing is redacted" in shown
    assert "Nothing was deleted." in shown
    choose(own_phones_fail, Choice(kinds=("email", "name"), names=("Zzmary",)))
    set_policy(own_phones_fail, {"quarantine": 14})
    with own_phones_fail.snapshot() as snapshot:
        dialogue = snapshot.query("SELECT dialogue_id FROM turns LIMIT 1")["dialogue_id"][0].as_py()
    delete(own_phones_fail, dialogue_ids=[dialogue])
    at = opened(own_phones_fail.path, "data", part="storage")
    shown = texts(at)
    assert "Redacted as logs are ingested: email, name. Users keep their ids." in shown
    assert "quarantine 14" in shown
    assert "Zzmary" not in shown
    table = at.dataframe[-1].value
    assert (table["Turns"][0] > 0, table["By"][0]) == (True, "request for 1 id")
    assert table["Files removed"][0] == "not yet (vacuum)"
    # A log that somebody has damaged is said to be, and the page stays.
    (own_phones_fail.path / NAME).write_text("{}\n")
    assert "not as it was written" in texts(opened(own_phones_fail.path, "data", part="storage"))
