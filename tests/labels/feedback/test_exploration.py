"""What to ask next, how often, and what the answers estimate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.users import Experience, react
from assistant.world import build_world
from data.errors import UsageError
from data.store.store import Store
from labels.feedback.asking import ASKED, MARGINAL, PROPENSITY, Asker, Asking
from labels.feedback.exploration import (
    MOST,
    asking,
    from_store,
    inverse_propensity,
    naive,
    plan,
    self_normalised,
)
from labels.feedback.table import feedback
from tests.labels.feedback.spoken import said, store_of

AT = datetime(2024, 5, 1, 9, 0, tzinfo=UTC)


def traffic(days: int = 10) -> list[dict[str, Any]]:
    """Each day: 30 lamps that work, 10 songs of which half fail, one rare alarm that fails."""
    turns = []
    for day in range(days):
        for number in range(41):
            domain = "lamp" if number < 30 else "song" if number < 40 else "alarm"
            fails = (domain == "song" and number % 2) or domain == "alarm"
            turns.append(
                said(
                    f"{domain}{day}-{number}", 0, f"{domain} {number * 7919}",
                    at=86_400 * day + 600 * number, user_id=f"u{number % 13}",
                    nlu={"hypotheses": [{"domain": "home", "intent": domain, "slots": []}]},
                    result={"status": "error" if fails else "ok"},
                    feedback={"barge_in": bool(fails and number % 4)},
                )
            )  # fmt: skip
    return turns


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_of(tmp_path_factory.mktemp("asked"), traffic())


def planned(store: Store, budget: float, rate: float = 1.0, **chosen: Any) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        rows = plan(snapshot, budget, rate, **chosen).to_pylist()
    return {row["intent"]: row for row in rows}


def test_questions_go_where_uncertainty_and_traffic_are(busy: Store) -> None:
    rows = planned(busy, 4)
    lamp, song = rows["home|lamp"], rows["home|song"]
    assert song["uncertainty"] > lamp["uncertainty"]
    assert song["propensity"] > lamp["propensity"] > 0
    assert sum(row["asks_per_day"] for row in rows.values()) == pytest.approx(4, rel=0.02)
    assert max(row["propensity"] for row in rows.values()) <= MOST
    assert lamp["turns"] == 300


def test_no_user_is_asked_more_often_than_the_rate(busy: Store) -> None:
    # 13 users, at most one question in ten days each.
    rows = planned(busy, 30, rate=0.1)
    assert sum(row["asks_per_day"] for row in rows.values()) <= 1.3 + 1e-9


def test_what_was_answered_is_asked_less(tmp_path: Path) -> None:
    turns = traffic()
    for turn in turns:
        if turn["nlu"]["hypotheses"][0]["intent"] == "song":
            turn["feedback"]["explicit"] = "no" if turn["result"]["status"] == "error" else "yes"
    rows = planned(store_of(tmp_path, turns), 4)
    assert rows["home|song"]["value"] < rows["home|lamp"]["value"]


def test_without_any_feedback_questions_follow_the_traffic(tmp_path: Path) -> None:
    turns = [said(f"a{i}", 0, f"request {i * 7919}", at=600 * i) for i in range(30)]
    ((_, row),) = planned(store_of(tmp_path, turns), 3).items()
    assert row["uncertainty"] == pytest.approx(0.5)
    assert row["asks_per_day"] == pytest.approx(3, rel=0.02)


def test_an_empty_store_has_nothing_to_ask(store: Store) -> None:
    assert planned(store, 3) == {}


@pytest.mark.parametrize(("budget", "rate", "evenly"), [(0, 1, 0.2), (3, -1, 0.2), (3, 1, 2)])
def test_impossible_settings(store: Store, budget: float, rate: float, evenly: float) -> None:
    with pytest.raises(UsageError, match="must be above 0"):
        planned(store, budget, rate, evenly=evenly)


def test_a_user_is_left_alone_after_a_question(busy: Store) -> None:
    with busy.snapshot() as snapshot:
        chances = asking(plan(snapshot, 20), rate=1.0, seed=2)
    asker = Asker(Asking((((("", "home|song")), 0.5),), 0.0, 1.0, 3))
    decisions = [
        asker.decide(f"t{i}", "u", AT + timedelta(hours=i), "", "home|song") for i in range(200)
    ]
    asked = [i for i, decision in enumerate(decisions) if decision.ask]
    assert len(asked) > 3
    assert min(np.diff(asked)) >= 24
    for i, decision in enumerate(decisions):
        resting = any(abs(i - other) < 24 for other in asked if other < i)
        assert decision.propensity == (0.0 if resting else 0.5)
    # What a plan has not seen is asked about as rarely as any.
    assert chances.otherwise == min(chance for _, chance in chances.chances)
    again = Asker(chances).decide("t1", "", AT, "", "new")
    assert again == Asker(chances).decide("t1", "", AT, "", "new")


def _asked(seed: int, turns: int = 8_000) -> tuple[float, float, float, float, float]:
    """A world of simulated users, asked four times in five about what fails half the time, else
    hardly ever: what all would answer, three estimates of it, and how often the interval is right.
    """
    rng = np.random.default_rng(seed)
    users = [user for home in build_world(3, 40).homes for user in home.users]
    every, bad, propensities, questions = [], [], [], 0
    for number in range(turns):
        hard = rng.random() < 0.25
        wrong = "other" if rng.random() < (0.5 if hard else 0.04) else ""
        propensity = 0.8 if hard else 0.05
        asked = bool(rng.random() < propensity)
        seen = Experience(wrong, False, 1, True, 1_500.0)
        answer = react(users[number % len(users)], seen, rng).explicit
        if answer:
            every.append(answer == "no")
        questions += asked
        if asked and answer:
            bad.append(answer == "no")
            propensities.append(propensity)
    weighted = self_normalised(bad, propensities)
    thompson = inverse_propensity(bad, propensities, turns, len(every) / turns)
    truth = float(np.mean(every))
    assert weighted.effective < weighted.answers <= questions
    covered = weighted.low < truth < weighted.high
    return truth, naive(bad).value, weighted.value, thompson.value, covered


def test_answers_are_biased_without_propensities_and_not_with_them() -> None:
    truth, plain, weighted, thompson, covered = np.mean([_asked(seed) for seed in range(8)], axis=0)
    assert plain > truth + 0.15
    assert abs(weighted - truth) < 0.02
    assert abs(thompson - truth) < 0.02
    assert covered >= 0.75


def test_estimates_from_a_store(tmp_path: Path) -> None:
    turns = [
        said(f"a{i}", 0, "x", at=600 * i, feedback={"explicit": "no" if i < 8 else "yes"},
             result={"signals": {ASKED: 1.0, PROPENSITY: 0.8 if i < 8 else 0.1}})
        for i in range(10)
    ]  # fmt: skip
    with store_of(tmp_path, turns).snapshot() as snapshot:
        table, _ = feedback(snapshot)
    found = from_store(table)
    assert found["naive"].value == pytest.approx(0.8)
    assert found["self-normalised"].value == pytest.approx(10 / (10 + 20))
    assert table["asked"].to_pylist() == [True] * 10


def test_no_answers_and_wrong_propensities() -> None:
    assert np.isnan(naive([]).value)
    assert np.isnan(self_normalised([], []).value)
    with pytest.raises(UsageError, match="above 0"):
        self_normalised([True], [0.0])


def _capped(seed: int) -> tuple[Any, ...]:
    """Twenty users within a rate of one question a day: who talks most is served worst.

    The share of "no" of all turns, estimates of it by the propensity of the moment and by that of
    before (self-normalised; Horvitz and Thompson), and how many turns there were.
    """
    rng = np.random.default_rng(seed)
    asker = Asker(Asking((), 0.3, 1.0, seed))
    turns = [
        (AT + timedelta(days=float(when)), f"u{user}", bool(rng.random() < 0.1 + 0.025 * user))
        for user in range(20)
        for when in rng.random(20 + 20 * user) * 20
    ]
    answers = []
    for number, (at, user, bad) in enumerate(sorted(turns)):
        decided = asker.decide(f"{seed}-{number}", user, at, "", "x")
        if decided.ask:
            answers.append((bad, decided.propensity, decided.marginal))
    said_no, moment, marginal = zip(*answers, strict=True)
    truth = float(np.mean([wrong for *_, wrong in turns]))
    return (
        truth, self_normalised(said_no, moment), self_normalised(said_no, marginal),
        inverse_propensity(said_no, moment, len(turns)),
        inverse_propensity(said_no, marginal, len(turns)),
    )  # fmt: skip


def test_a_cap_biases_estimates_unless_propensities_are_of_before_the_pause() -> None:
    runs = [_capped(seed) for seed in range(60)]
    truth, capped, corrected, short, thompson = (
        np.array([run[0] if not number else run[number].value for run in runs])
        for number in range(5)
    )
    assert (truth - capped).mean() > 0.03
    assert abs((corrected - truth).mean()) < 0.02
    assert short.mean() < 0.3 * truth.mean()
    assert abs((thompson - truth).mean()) < 0.02
    covered = {number: np.mean([run[number].low < run[0] < run[number].high for run in runs])
               for number in (1, 2, 4)}  # fmt: skip
    assert covered[1] < 0.7
    assert min(covered[2], covered[4]) > 0.85


def test_marginal_propensities_are_how_often_turns_are_asked_about() -> None:
    hours = np.cumsum(np.random.default_rng(5).exponential(7.0, 40))
    chances = [0.1, 0.4, 0.25]
    intents = tuple((("", f"i{number}"), chance) for number, chance in enumerate(chances))
    asked, known = np.zeros(len(hours)), np.zeros(len(hours))
    for seed in range(4_000):
        asker = Asker(Asking(intents, 0.0, 1.0, seed))
        for i, hour in enumerate(hours):
            at = AT + timedelta(hours=float(hour))
            decided = asker.decide(f"t{i}", "u", at, "", f"i{i % 3}")
            asked[i] += decided.ask
            known[i] = decided.marginal
    assert np.abs(asked / 4_000 - known).max() < 0.025
    assert known.max() > 3 * known.min()


def test_what_users_volunteer_is_not_taken_for_an_answer_to_a_plan(tmp_path: Path) -> None:
    signals: list[dict[str, Any]] = [
        {ASKED: 1.0, PROPENSITY: 0.4, MARGINAL: 0.1},
        {ASKED: 1.0, PROPENSITY: 0.4, MARGINAL: 0.2},
        # In a pause; and where the plan decided against it.
        {ASKED: 0.0, PROPENSITY: 0.0, MARGINAL: 0.1},
        {ASKED: 0.0, PROPENSITY: 0.4, MARGINAL: 0.4},
        {},
    ]
    answers = ["no", "yes", "no", "no", "no"]
    turns = [
        said(f"a{i}", 0, "x", at=600 * i, feedback={"explicit": answer}, result={"signals": given})
        for i, (answer, given) in enumerate(zip(answers, signals, strict=True))
    ]
    with store_of(tmp_path, turns).snapshot() as snapshot:
        table, _ = feedback(snapshot)
    assert table["propensity"].to_pylist() == pytest.approx([0.1, 0.2, 0.0, 0.4, None])
    assert table["asked"].to_pylist() == [True, True, False, False, True]
    found = from_store(table)
    assert (found["naive"].value, found["naive"].answers) == (0.8, 5)
    assert found["self-normalised"].value == pytest.approx(10 / 15)
    assert found["self-normalised"].answers == 2
