"""Labelling on the Turn page, run without a browser: what a second click does, and Undo."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from data.store.annotations import annotate
from data.store.store import Store
from parts.shared import verdict_form
from tests.app import Open, press, texts

TURN = "d001-0"


def verdicts(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        rows: list[dict[str, Any]] = snapshot.query(
            "FROM annotations ORDER BY created_at"
        ).to_pylist()
    return [row["failure_point"] for row in rows]


def say(at: AppTest, failure_point: str) -> AppTest:
    at.button(key=f"say-{failure_point}-{TURN}").click().run()
    assert not at.exception
    return at


@pytest.fixture
def page(opened: Open, own_store: Store) -> AppTest:
    """The page of a turn, with an annotator's name."""
    at = opened(own_store.path, "turn", turn=TURN)
    at.text_input(key="turn-who").set_value("Ada").run()
    return at


def test_a_verdict_needs_a_name(opened: Open, own_store: Store) -> None:
    at = opened(own_store.path, "turn", turn=TURN)
    assert at.button(key=f"say-nlu-{TURN}").disabled
    at.text_input(key="turn-who").set_value("   ").run()
    assert at.button(key=f"say-nlu-{TURN}").disabled


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, no two clicks are two seconds apart."""
    assert verdict_form.PAUSE_S == 2.0
    monkeypatch.setattr(verdict_form, "PAUSE_S", 3600.0)


@pytest.mark.usefixtures("no_pause")
def test_a_second_verdict_within_two_seconds_asks(page: AppTest, own_store: Store) -> None:
    say(page, "nlu")
    assert "Recorded: NLU." in texts(page)
    say(page, "er")
    assert verdicts(own_store) == ["nlu"]
    assert "You have just recorded NLU. Record ER instead?" in texts(page)
    page.button(key="say-nothing").click().run()
    assert "instead?" not in texts(page)
    assert verdicts(own_store) == ["nlu"]
    say(page, "er")
    press(page, "Record ER")
    assert verdicts(own_store) == ["nlu", "er"]
    assert "instead?" not in texts(page)


@pytest.mark.usefixtures("no_pause")
def test_a_double_click_is_one_verdict(page: AppTest, own_store: Store) -> None:
    say(say(page, "nlu"), "nlu")
    assert verdicts(own_store) == ["nlu"]
    assert "instead?" not in texts(page)


def test_a_later_verdict_is_recorded_at_once(
    page: AppTest, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(page, "nlu")
    monkeypatch.setattr(verdict_form, "PAUSE_S", 0.0)
    say(page, "er")
    assert verdicts(own_store) == ["nlu", "er"]


def test_undo_is_always_there_also_in_another_session(opened: Open, own_store: Store) -> None:
    with own_store.snapshot() as snapshot:
        row = snapshot.query("FROM turns WHERE turn_id = $t", {"t": TURN}).to_pylist()[0]
    annotate(own_store, row, "Ada", "nlu")
    annotate(own_store, row, "Bob", "er")
    at = opened(own_store.path, "turn", turn=TURN)
    assert next(b for b in at.button if b.label == "Undo").disabled
    at.text_input(key="turn-who").set_value("Ada").run()
    press(at, "Undo")
    # Nobody takes somebody else's verdict back.
    assert verdicts(own_store) == ["er"]
    assert next(b for b in at.button if b.label == "Undo").disabled


def test_nothing_above_the_buttons_depends_on_the_verdict(page: AppTest) -> None:
    def above() -> list[tuple[str, str]]:
        # In the order of the page, down to the first verdict.
        kinds = ("subheader", "caption", "text_input", "markdown")
        lines = [
            (element.type, str(getattr(element, "value", "")))
            for element in page.main
            if element.type in kinds
        ]
        return lines[: next(i for i, (kind, _) in enumerate(lines) if kind == "text_input") + 1]

    before = above()
    assert before[-1] == ("text_input", "Ada")
    say(page, "nlu")
    assert above() == before
    say(page, "er")
    assert above() == before


def test_reasons_are_sentences_for_and_against(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "turn", turn=TURN)
    words = texts(at)
    assert "Predicted failure point" in words
    assert "very words" not in words
    folded = next(fold for fold in at.expander if "log-odds" in fold.label)
    assert any("log-odds" in str(caption.value) for caption in folded.caption)
    outside = [c.value for c in at.caption if c.value not in [x.value for x in folded.caption]]
    assert not any("log-odds" in str(caption) for caption in outside)
