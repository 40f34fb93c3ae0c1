"""The commands that teach, list and forget, and the plan of what to ask."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data.store.store import Store
from labels.teaching.dialogue import Lesson
from labels.teaching.preferences import put, row_of
from tests.command import Run, must_fail
from tests.labels.feedback.spoken import said, store_of, traffic


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fails = {"result": {"status": "error"}}
    turns = [said(f"a{i}", 0, "play my mix", at=100 * i, user_id="ann", **fails) for i in range(3)]
    return store_of(tmp_path, turns).path


def say(run: Run, folder: Path, *lines: str, user: str = "ann") -> list[str]:
    ran = run("teach", "--user", user, "--store", folder, *(x for s in lines for x in ("--say", s)))
    assert ran.code == 0, ran.err
    return ran.out.splitlines()


def test_a_teaching_dialogue_changes_the_next_answer(run: Run, folder: Path) -> None:
    lines = say(
        run, folder, "cosy please", "when I say cosy, dim the lights to 30", "make it 40", "yes",
        "cosy please",
    )  # fmt: skip
    assert lines[0] == "That is for the assistant."
    assert lines[-2:] == ["Got it.", "I take it for 'dim the lights to 40'."]
    # It holds the next time, too, and for nobody else.
    assert say(run, folder, "cosy") == ["I take it for 'dim the lights to 40'."]
    assert say(run, folder, "cosy", user="bob") == ["That is for the assistant."]
    (row,) = json.loads(run("preferences", "list", "--json", "--store", folder).out)
    assert (row["user_id"], row["name"], row["used"]) == ("ann", "cosy", 2)
    assert "dim the lights to 40" in run("preferences", "list", "--store", folder).out


def test_it_reads_lines(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "i'm a warriors fan\n\nyes\nwhat did i teach you\nforget warriors\nyes\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    turns = json.loads(run("teach", "--user", "ann", "--json", "--store", folder).out)
    assert [turn["did"] for turn in turns] == ["asked", "stored", "listed", "asked", "cancelled"]
    assert turns[2]["reply"] == "You are a fan of warriors."
    assert turns[4]["reply"] == "You haven't taught me 'warriors'."


def test_taught_things_are_edited_and_forgotten(run: Run, folder: Path) -> None:
    say(run, folder, "my favourite station is jazz fm", "yes", "call me al", "yes")
    rows = json.loads(run("preferences", "list", "--user", "ann", "--json", "--store", folder).out)
    station = next(row["preference_id"] for row in rows if row["name"] == "station")
    ran = run("preferences", "edit", station, "--value", "rock fm", "--store", folder)
    assert "Your station is rock fm." in ran.out
    run("preferences", "edit", station, "--expires", "3", "--scope", "car", "--store", folder)
    assert say(run, folder, "forget name", "yes") == ["Shall I forget 'name'?", "Forgotten."]
    ran = run("preferences", "forget", "--user", "ann", "--store", folder)
    assert ran.out == "Forgot 1 preference.\n"
    assert run("preferences", "list", "--store", folder).out.startswith("Nothing was taught.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("teach", "--user", " ", "--say", "hi"), "--user"),
        (("preferences", "edit", "nope", "--value", "x"), "faultline preferences list"),
        (("preferences", "edit", "nope"), "--value"),
        (("preferences", "edit", "nope", "--keep", "--expires", "2"), "contradict"),
        (("preferences", "forget"), "Say what to forget"),
        (("preferences", "forget", "nope"), "faultline preferences list"),
        (("preferences", "forget", "--name", "x"), "--user"),
        (("preferences", "forget", "nope", "--user", "ann"), "either ids, or a user"),
        (("preferences", "forget", "nope", "--name", "x"), "either ids, or a user"),
        (("preferences", "forget", "--user", "nobody", "--json"), "Nothing of the kind"),
        (("preferences", "forget", "nope", "--json"), "no preference 'nope'"),
        (("preferences", "edit", "nope", "--value", "x" * 501), "at most 500"),
        (("preferences", "moments", "--every", "inf"), "0 to 36525"),
        (("preferences", "moments", "--every", "1e308"), "0 to 36525"),
        (("teach", "--user", "a\udce9", "--say", "hi"), r"The user 'a\udce9' is not valid UTF-8"),
        (("teach", "--user", "a", "--say", "call me b\udce9"), r"b\udce9' is not valid UTF-8"),
        (("preferences", "list", "--user", "\udce9"), r"The user '\udce9' is not valid UTF-8"),
        (("preferences", "edit", "\udce9", "--keep"), r"The id '\udce9' is not valid UTF-8"),
        (("labels", "ask", "--budget", "0"), "above 0"),
        (("labels", "ask", "--budget", "inf"), "at most 1,000,000,000"),
        (("labels", "ask", "--budget", "1e308"), "at most 1,000,000,000"),
        (("labels", "ask", "--rate", "inf"), "at most 1,000,000,000"),
    ],
)
def test_errors_say_what_to_do(run: Run, folder: Path, arguments: tuple[str], words: str) -> None:
    must_fail(run(*arguments, "--store", folder), words)


def test_a_store_says_how_much_has_expired(run: Run, folder: Path) -> None:
    lesson = Lesson("concept", "cosy", "play jazz", lasts=timedelta(days=1))
    (chosen,) = put(Store.whole(folder), [row_of(lesson, "exp", datetime(2024, 5, 1, tzinfo=UTC))])
    listed = run("preferences", "list", "--user", "exp", "--store", folder).out
    assert "1 preference expired" in listed
    assert "--expired" in listed
    assert "by bob" in run("preferences", "list", "--user", "bob", "--store", folder).out
    ran = run("preferences", "edit", chosen, "--value", "new", "--store", folder)
    assert "it expired on 2024-05-02" in ran.out
    assert "--keep, or --expires" in ran.out
    ran = run("preferences", "edit", chosen, "--keep", "--store", folder)
    assert "When you say 'cosy', I'll take it for 'new'." in ran.out


def test_ids_users_and_texts_are_whole_at_any_width(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    user, value = "somebody-" * 9, "dim the lights " * 7
    say(run, folder, f"when i say cosy, {value}", "yes", user=user)
    (row,) = json.loads(run("preferences", "list", "--json", "--store", folder).out)
    words = run("preferences", "list", "--store", folder).out
    assert all(part in words for part in (row["preference_id"], user, value.strip()))
    assert "…" not in words


def test_moments_are_listed(run: Run, folder: Path) -> None:
    (row,) = json.loads(run("preferences", "moments", "--json", "--store", folder).out)
    assert (row["turn_id"], row["why"]) == ("a1.0", "keeps failing")
    assert "play my mix" in run("preferences", "moments", "--all", "--store", folder).out
    say(run, folder, "let me teach you what play my mix means", "play jazz fm", "yes")
    assert run("preferences", "moments", "--store", folder).out.startswith("No teachable moments")


def test_what_was_taught_in_the_logs_is_collected(run: Run, tmp_path: Path) -> None:
    teach: dict[str, Any] = {"result": {"action": "teach"}, "user_id": "ann"}
    turns = [said("a", 0, "i'm a warriors fan", **teach), said("a", 1, "yes", **teach)]
    store = store_of(tmp_path, turns)
    ran = run("preferences", "collect", "--store", store.path)
    assert ran.out == "Took over 1 preference from the logs.\n"
    assert "warriors" in run("preferences", "list", "--store", store.path).out
    assert run("preferences", "forget", "--user", "ann", "--store", store.path).code == 0
    again = run("preferences", "collect", "--json", "--store", store.path)
    assert json.loads(again.out) == {"taught": 0, "forgotten": 0, "skipped_turns": 0}
    assert run("preferences", "list", "--store", store.path).out.startswith("Nothing was taught.")


def test_turns_of_users_without_a_name_are_counted(run: Run, tmp_path: Path) -> None:
    teach: dict[str, Any] = {"result": {"action": "teach"}, "user_id": "  "}
    store = store_of(
        tmp_path, [said("a", 0, "i'm a jazz fan", **teach), said("a", 1, "yes", **teach)]
    )
    ran = run("preferences", "collect", "--store", store.path)
    assert ran.code == 0
    assert "Skipped 2 turns" in ran.out


def test_what_to_ask_is_planned(run: Run, tmp_path: Path) -> None:
    store = store_of(tmp_path, traffic(80))
    ran = run("labels", "ask", "--budget", "3", "--rate", "1", "--json", "--store", store.path)
    (row,) = json.loads(ran.out)["intents"]
    assert 0 < row["propensity"] <= 0.5
    assert "questions a day over 1 intent." in run("labels", "ask", "--store", store.path).out
