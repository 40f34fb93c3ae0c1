"""From a plan of questions to the assistant that asks, and what the answers say of all turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.store.store import Store
from tests.command import Run, must_fail
from tests.labels.feedback.spoken import said, store_of, traffic

GOOD: dict[str, Any] = {
    "rate": 1.0,
    "intents": [{"assistant": "", "intent": "home|lamp", "propensity": 0.2}],
}


def test_a_plan_is_written_to_a_file(run: Run, tmp_path: Path) -> None:
    store = store_of(tmp_path, traffic(60)).path
    ran = run("labels", "ask", "--budget", "3", "--to", "plan.json", "--store", store)
    assert ran.code == 0, ran.err
    assert "demo-data --to FOLDER --ask plan.json" in ran.out
    plan = json.loads(Path("plan.json").read_text("utf-8"))
    printed = run("labels", "ask", "--budget", "3", "--json", "--store", store).out
    assert plan == json.loads(printed)
    must_fail(run("labels", "ask", "--to", "plan.txt", "--store", store), "plan.txt", ".json")
    must_fail(run("labels", "ask", "--to", "no/plan.json", "--store", store), "folder that exists")
    must_fail(run("labels", "ask", "--to", store / "plan.json", "--store", store), "outside")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["Cannot read the plan"]),
        (b"rate: 1", ["holds no plan", "malformed"]),
        (b"", ["holds no plan", "truncated"]),
        (b'{"rate": 1, "intents": [{"assistant": "\xff"}]}', ["holds no plan"]),
        (b"[]", ["holds no plan", "object"]),
        ({"intents": GOOD["intents"]}, ["rate"]),
        ({**GOOD, "rate": 0}, ["> 0", "rate"]),
        ({"rate": 1}, ["intents"]),
        ({**GOOD, "intents": []}, ["length >= 1", "intents"]),
        ({**GOOD, "intents": [{"assistant": "", "propensity": 0.2}]}, ["intents[0]", "intent"]),
        ({**GOOD, "intents": [*GOOD["intents"], {**GOOD["intents"][0], "propensity": 1.5}]},
         ["<= 1", "intents[1].propensity"]),
        ({**GOOD, "intents": [{**GOOD["intents"][0], "propensity": -0.1}]}, [">= 0"]),
        ({**GOOD, "intents": [{**GOOD["intents"][0], "propensity": "often"}]}, ["float", "str"]),
    ],
)  # fmt: skip
def test_a_bad_plan_is_refused_in_one_sentence(run: Run, content: Any, words: list[str]) -> None:
    if content is not None:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        Path("plan.json").write_bytes(text)
    ran = run("demo-data", "--to", "demo", "--ask", "plan.json")
    must_fail(ran, "plan.json", "faultline labels ask --to", *words)
    assert not Path("demo").exists()


def test_a_plan_may_leave_users_alone_for_a_century(run: Run) -> None:
    Path("plan.json").write_text(json.dumps({**GOOD, "rate": 1e-300}))
    # It is read; the number of turns is what is wrong.
    must_fail(run("demo-data", "--to", "demo", "--ask", "plan.json", "--turns", "0"), "0 turns")


def _answered(tmp_path: Path, **signals: float) -> Path:
    turns = [
        said(
            f"a{i}", 0, f"x {i}", at=600 * i, feedback={"explicit": "no" if i < 8 else "yes"},
            result={"signals": {"asked": 1.0, **signals}} if signals else {},
        )
        for i in range(10)
    ]  # fmt: skip
    for turn in turns[8:]:
        if signals:
            turn["result"]["signals"]["ask_propensity"] = 0.1
    return store_of(tmp_path, turns).path


def test_the_share_of_no_is_corrected_where_propensities_are_logged(
    run: Run, tmp_path: Path
) -> None:
    store = _answered(tmp_path, ask_propensity=0.8)
    words = run("labels", "feedback", "--store", store).out
    assert "answered 10 times, with no in 80.0% (95%: " in words
    assert "by the 10 answers that a plan asked for" in words
    assert "likely each was: 33.3% (95%: " in words
    found = json.loads(run("labels", "feedback", "--json", "--store", store).out)
    assert found["answers"]["naive"]["value"] == 0.8
    corrected = found["answers"]["self-normalised"]
    assert corrected["value"] == pytest.approx(1 / 3)
    assert corrected["low"] < corrected["value"] < corrected["high"]
    assert {row["signal"] for row in found["signals"]} >= {"barge_in", "answered_no"}


def test_without_propensities_it_says_so(run: Run, tmp_path: Path) -> None:
    store = _answered(tmp_path)
    assert "is not logged" in run("labels", "feedback", "--store", store).out
    found = json.loads(run("labels", "feedback", "--json", "--store", store).out)
    assert list(found["answers"]) == ["naive"]


def test_without_answers_nothing_is_said_of_them(run: Run, tmp_path: Path) -> None:
    store = store_of(tmp_path, [said("a", 0, "x")]).path
    assert "Did I answer" not in run("labels", "feedback", "--store", store).out
    found = json.loads(run("labels", "feedback", "--json", "--store", store).out)
    assert found["answers"]["naive"]["value"] is None


def test_how_often_signals_fire_is_shown_without_gold(run: Run, tmp_path: Path) -> None:
    cut = {"feedback": {"barge_in": True}}
    store = store_of(tmp_path, [said("a", i, f"x {i}", at=10 * i, **(cut if i < 1 else {}))
                                for i in range(4)]).path  # fmt: skip
    words = run("labels", "feedback", "--store", store).out
    (line,) = [line.split() for line in words.splitlines() if line.split()[:1] == ["barge_in"]]
    assert line[:4] == ["barge_in", "a", "defect", "1"]
    assert line[4].endswith("%")
    assert line[5:] == ["–", "–", "–"]
    assert "on which the signal could be observed" in words


@pytest.mark.long
@pytest.mark.simulator
def test_the_assistant_asks_by_a_plan_of_its_own_logs(run: Run) -> None:
    def made(to: str, *options: str) -> str:
        small = ("--turns", "700", "--days", "10")
        assert run("demo-data", "--to", to, *small, *options).code == 0
        assert run("ingest", f"{to}/traces.jsonl.zst", "--store", f"{to}-store").code == 0
        return f"{to}-store"

    before = made("before")
    asked = ("--budget", "30", "--rate", "0.5", "--to", "plan.json")
    assert run("labels", "ask", *asked, "--store", before).code == 0
    planned = {row["propensity"] for row in json.loads(Path("plan.json").read_text())["intents"]}
    assert len(planned) > 1
    after = made("after", "--ask", "plan.json")
    sql = "SELECT result.signals AS logged, feedback.explicit AS said FROM turns"
    with Store.whole(after).snapshot() as snapshot:
        turns = [{**dict(row["logged"] or ()), "said": row["said"]}
                 for row in snapshot.query(sql).to_pylist()]  # fmt: skip
    decided = [turn for turn in turns if "ask_propensity" in turn]
    assert len(decided) > 500
    logged = {turn["ask_propensity"] for turn in decided} - {0.0}
    assert all(min(abs(p - other) for other in planned) < 1e-6 for p in logged)
    assert all(0 < turn["ask_marginal"] <= max(planned) for turn in decided)
    assert sum(turn["asked"] for turn in decided) > 60
    assert all(turn["asked"] for turn in decided if turn["said"])
    answers = json.loads(run("labels", "feedback", "--json", "--store", after).out)["answers"]
    naive, corrected = answers["naive"], answers["self-normalised"]
    assert naive["answers"] == corrected["answers"] > 20
    assert corrected["effective"] < corrected["answers"]
    assert 0 < corrected["low"] < corrected["value"] < corrected["high"] < 1
    assert "that a plan asked for" in run("labels", "feedback", "--store", after).out
