"""The Labels page, and what other pages show of goals and labels, run without a browser."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from charts.formatting import THIN
from data.queries.filters import Filter
from data.store.annotations import SHARE, annotate
from data.store.store import Store
from data.store.workspace import put_setting
from parts.annotate.offer import likely
from parts.jobs.job import jobs
from parts.labels import making
from parts.labels.export import content
from parts.labels.label_model import read_tasks
from parts.shared.view import View
from tests import learned
from tests.app import Open, follow, html, links, press, texts, turn_rows
from tests.learned import LABEL_MODEL, set_labels
from tests.scored import MODEL


def numbers(at: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def place(at: AppTest) -> str:
    """Where the dialogue stands in its list."""
    return next(line.value for line in at.caption if " of " in line.value and "·" in line.value)


def turn_of(store: Store, turn_id: str) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns WHERE turn_id = $id", {"id": turn_id}
        )
    return dict(rows.to_pylist()[0])


def test_a_dialogue_is_drawn_with_its_goals(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "labels", dialogue="d007")
    page = html(at)
    assert page.count("Goal 1 ") == 1
    assert page.count("Goal 2 ") == 1
    assert "not reached" in page
    assert f"play (song = 7) 55{THIN}%" in page
    assert "turn=d007-0&amp;" in page
    goals = learned_store.snapshot().counts()["goals"]
    assert numbers(at)["Goals"] == str(goals)
    assert "Goal success, model estimate" in numbers(at)


def test_the_list_is_walked_in_its_order(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "labels")
    first = place(at)
    assert "1 of 62" in first
    press(at, "Next")
    assert "2 of 62" in place(at)
    second = at.query_params["dialogue"]
    press(at, "Next")
    press(at, "Previous")
    assert at.query_params["dialogue"] == second
    press(at, "Previous")
    assert place(at) == first


def test_the_list_is_narrowed_by_goals_words_and_filters(
    opened: Open, learned_store: Store
) -> None:
    at = opened(learned_store.path, "labels", goals="missed")
    assert "not reached" in html(at)
    follow(at, "/labels?find=song+7")
    assert [words for words in links(at) if words.startswith("play song")] == ["play song 7"]
    follow(at, "/labels?find=no+such+words")
    assert "No dialogue fits" in texts(at)
    follow(at, "/labels?text=song+7&dialogue=d009")
    assert "not in this list" in texts(at)
    assert numbers(at)["Goals"] in {"1", "2", "3"}
    follow(at, "/labels?text=nothing+like+it")
    assert "No goal was found within these filters" in texts(at)


def test_the_threshold_decides_what_is_labelled(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "labels", part="thresholds", of="goal_reached")
    assert at.slider[0].value == 0.8
    assert numbers(at)["Precision"] == f"88.6{THIN}%"
    with learned_store.snapshot() as snapshot:
        sure = snapshot.query(
            "SELECT count(*) FILTER (greatest(goal_reached, 1 - goal_reached) >= 0.9) AS n, "
            "count(*) AS all FROM generated_labels"
        ).to_pylist()[0]
    at.slider[0].set_value(0.9).run()
    assert at.query_params["least"] in ("goal_reached:0.90", ["goal_reached:0.90"])
    assert numbers(at)["Turns labelled"].startswith(f"{sure['n']} ")
    assert f"of {sure['all']}" in numbers(at)["Turns labelled"]
    # The thresholds of other tasks stay, and the export has them all.
    at.button_group(key="of").set_value("intent").run()
    at.slider[0].set_value(0.55).run()
    assert at.slider[0].value == 0.55
    code = "\n".join(block.value for block in at.code)
    assert "--min goal_reached=0.90" in code
    assert "--min intent=0.55" in code


def test_an_export_leaves_out_what_is_less_sure(learned_store: Store) -> None:
    with learned_store.snapshot() as snapshot:
        view = View(str(learned_store.path), snapshot, False, MODEL, None, Filter())
        pack = zipfile.ZipFile(io.BytesIO(content(view, "parquet", "rows", {"goal_reached": 0.9})))
        names = sorted(pack.namelist())
        rows = pq.read_table(io.BytesIO(pack.read(names[0])))
        manifest = json.loads(pack.read(names[1]))
        some = replace(view, chosen=Filter(text="song 7"))
        few = zipfile.ZipFile(io.BytesIO(content(some, "jsonl", "rows", {})))
        lines = few.read(f"labels-{snapshot.version}.jsonl").splitlines()
        bio = zipfile.ZipFile(io.BytesIO(content(some, "jsonl", "bio", {})))
        tagged = [json.loads(line) for line in bio.read(bio.namelist()[0]).splitlines()]
    reached = [p for p in rows["goal_reached"].to_pylist() if p is not None]
    assert 0 < len(reached) < rows.num_rows
    assert all(max(p, 1 - p) >= 0.9 - 1e-6 for p in reached)
    assert manifest["thresholds"] == {"goal_reached": 0.9}
    assert manifest["rows"] == rows.num_rows
    assert 0 < len(lines) < rows.num_rows
    assert tagged[0]["tokens"] == ["play", "song", "7"]
    assert tagged[0]["tags"] == ["O", "O", "B-song"]


def test_tasks_say_where_the_baseline_wins(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "labels", part="tasks")
    page = html(at)
    assert page.count("the baseline wins, so it is in use") == 1
    assert "0.071 above one annotator" in page
    assert "+0.020 to +0.120; 60 rated things" in page
    assert "0.709; labels 0.780" in page
    assert page.count("in use</span>") >= 5
    for name in ("Goal segmentation", "Goal evaluation", "Turn defect", "Intent", "Slots"):
        assert name in page


def test_figures_that_cannot_be_read_are_missed_in_a_sentence(
    opened: Open, own_learned: Store
) -> None:
    metrics = own_learned.path / "label_models" / LABEL_MODEL / "metrics.json"
    for broken in ("", "[]", '{"tasks": 3}', '{"tasks": {"intent": {"candidates": []}}}'):
        metrics.write_text(broken)
        assert read_tasks(own_learned.path, LABEL_MODEL) == {}
    assert read_tasks(own_learned.path, "../elsewhere") == {}
    at = opened(own_learned.path, "labels", part="tasks")
    assert "is not in this store any more" in texts(at)
    follow(at, "/labels?part=thresholds")
    assert "There is no curve" in texts(at)


def test_a_task_whose_accuracy_nothing_tells_has_no_figures(
    opened: Open, own_learned: Store
) -> None:
    metrics = own_learned.path / "label_models" / LABEL_MODEL / "metrics.json"
    figures = json.loads(metrics.read_text())
    figures["tasks"]["intent"] = {"skipped": "no gold of intent; learned from NLU hypotheses"}
    metrics.write_text(json.dumps(figures))
    at = opened(own_learned.path, "labels", part="tasks")
    assert "Without annotations to learn from: Intent." in texts(at)
    follow(at, "/labels?part=thresholds&of=intent")
    assert "There is no curve" in texts(at)
    assert "Precision" not in numbers(at)


def test_a_disagreement_is_settled_by_a_verdict(opened: Open, own_learned: Store) -> None:
    put_setting(own_learned, SHARE, 0.0)
    at = opened(own_learned.path, "labels", part="differences")
    rows = turn_rows(at)
    assert rows
    assert {row["People said"] for row in rows} == {"Correct"}
    shares = [float(row["Probability"].split()[0]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    (turn_id,) = [v for k, v in _query(rows[0]["href"]).items() if k == "turn"]
    with own_learned.snapshot() as snapshot:
        label = snapshot.query(
            "SELECT failure_point FROM generated_labels WHERE turn_id = $id", {"id": turn_id}
        )["failure_point"][0].as_py()
    annotate(own_learned, turn_of(own_learned, turn_id), "Ada", label)
    at = opened(own_learned.path, "labels", part="differences")
    assert turn_id not in {_query(row["href"])["turn"] for row in turn_rows(at)}


def test_no_disagreement_reveals_a_verdict_that_waits(opened: Open, own_learned: Store) -> None:
    put_setting(own_learned, SHARE, 1.0)
    at = opened(own_learned.path, "labels", part="differences")
    turn_id = _query(turn_rows(at)[0]["href"])["turn"]
    annotate(own_learned, turn_of(own_learned, turn_id), "Ada", "asr")
    at = opened(own_learned.path, "labels", part="differences")
    assert turn_id not in {_query(row["href"])["turn"] for row in turn_rows(at)}
    annotate(own_learned, turn_of(own_learned, turn_id), "Bob", "asr")
    at = opened(own_learned.path, "labels", part="differences")
    row = next(row for row in turn_rows(at) if _query(row["href"])["turn"] == turn_id)
    assert row["People said"] == "ASR"
    assert row["Where"] == "here"


def test_intents_and_goals_are_compared_too(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "labels", part="differences", differ="intent")
    assert {row["People said"] for row in turn_rows(at)} == {"stop"}
    follow(at, "/labels?part=differences&differ=goal_reached")
    assert {row["People said"] for row in turn_rows(at)} == {"reached", "not reached"}
    assert "annotated goals" in texts(at)


UNKNOWN = {
    "part=odd": "Unknown part=odd",
    "goals=odd": "Unknown goals=odd",
    "page=odd": "Invalid page=odd",
    "part=thresholds&of=odd": "Unknown of=odd",
    "least=intent:2": "Invalid least=intent:2",
    "least=odd:0.5": "Invalid least=odd:0.5",
    "least=intent": "Invalid least=intent",
    "part=differences&differ=odd": "Unknown differ=odd",
    "dialogue=odd": "There is no dialogue “odd”",
}


def test_an_unknown_link_is_reported_in_a_sentence(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "labels")
    for query, words in UNKNOWN.items():
        assert words in texts(follow(at, f"/labels?{query}")), query


def test_hostile_texts_stay_texts(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "labels", dialogue="nasty")
    assert "<img" not in html(at)
    assert "\u202e" not in html(at) + texts(at)
    follow(at, "/labels?find=%3Cimg")
    assert "<img" not in html(at)


def test_a_store_without_labels_says_what_makes_them(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "labels")
    assert "No generated labels yet" in texts(at)
    assert f"faultline labels train --store {scored_store.path}" in texts(at)
    assert f"faultline labels generate --store {scored_store.path}" in texts(at)
    assert "Train a label model" in [button.label for button in at.button]


def test_training_and_labelling_run_beside_the_page(
    opened: Open, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    class Done:
        name, state, error = "Labels", "done", None
        result: dict[str, int] = {}  # noqa: RUF012

        def __init__(self, name: str, module: str, command: list[str], polite: bool) -> None:
            assert (module, polite) == ("cli", True)
            ran.append(command[:2])
            if command[1] == "generate":
                learned.label(own_store)

    monkeypatch.setattr(making, "ProcessJob", Done)
    at = opened(own_store.path, "labels")
    press(at, "Train a label model")
    assert "The label model is trained" in texts(at)
    press(at, "Generate labels")
    press(at, "Show the labels")
    assert ran == [["labels", "train"], ["labels", "generate"]]
    assert jobs(str(own_store.path)).get(making.GENERATE) is None
    assert "Goal 1 " in html(at)


def test_an_unscored_store_shows_its_labels(opened: Open, tmp_path: Any) -> None:
    store = learned.fill(tmp_path / "store")
    with store.commit() as cycle:
        for table in ("predictions", "rollup"):
            cycle.delete_rows(table, "true")
    at = opened(store.path, "labels", dialogue="d007")
    assert "Goal 1 " in html(at)
    assert "Goals" in numbers(at)
    for part in ("thresholds", "tasks", "differences"):
        follow(at, f"/labels?part={part}")
        assert "This cannot be shown" not in texts(at)


def test_the_overview_shows_goal_success_beside_the_defect_rate(
    opened: Open, learned_store: Store, scored_store: Store
) -> None:
    at = opened(learned_store.path)
    labels = [metric.label for metric in at.metric][:4]
    assert labels[2] == "Goal success, model estimate"
    with learned_store.snapshot() as snapshot:
        mean = snapshot.query("SELECT avg(p_reached) AS p FROM goals")["p"][0].as_py()
    assert at.metric[2].value.startswith(f"{100 * mean:.1f}")
    assert "fewer than 100 of these dialogues" in at.metric[2].help
    # A filter counts the goals that begin within it.
    follow(at, "/overview?text=song+7")
    with learned_store.snapshot() as snapshot:
        mean = snapshot.query("SELECT avg(p_reached) AS p FROM goals WHERE dialogue_id = 'd007'")[
            "p"
        ][0].as_py()
    assert at.metric[2].value.startswith(f"{100 * mean:.1f}")
    without = [metric.label for metric in opened(scored_store.path).metric]
    assert not [label for label in without if label.startswith("Goal")]


def test_a_turn_shows_its_generated_label_and_its_goal(opened: Open, learned_store: Store) -> None:
    at = opened(learned_store.path, "turn", turn="d007-1")
    page = html(at)
    assert "Goal 1 of " in page
    assert "turns 1 to 2, from “<bdi>play song 7</bdi>” on" in page
    assert "label model <bdi>labels-0001</bdi>" in page
    assert "dialogue=d007" in links(at)["All goals of the dialogue"]
    # What the logs' gold says.
    assert "<bdi>first</bdi>, reached" in page
    assert "Response rated" in page
    assert "2.5 on average of 2" in page
    follow(at, "/turn?turn=d007-2")
    assert "turn=d007-0" in links(at)["d007-0"]
    assert "misheard" in html(at)


def test_a_turn_that_waits_for_a_second_opinion_shows_no_generated_label(
    opened: Open, own_learned: Store
) -> None:
    put_setting(own_learned, SHARE, 1.0)
    annotate(own_learned, turn_of(own_learned, "d007-1"), "Ada", "asr")
    at = opened(own_learned.path, "turn", turn="d007-1")
    assert "It is shown when a second person has judged this turn" in texts(at)
    assert "Goal 1 of " not in html(at)
    annotate(own_learned, turn_of(own_learned, "d007-1"), "Bob", "asr")
    at = opened(own_learned.path, "turn", turn="d007-1")
    assert "Goal 1 of " in html(at)


def queue(opened: Open, store: Store) -> AppTest:
    at = opened(store.path, "annotate")
    at.text_input[0].set_value("Ada")
    press(at, "Start")
    return at


def recorded(store: Store) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return [dict(row) for row in snapshot.query("FROM annotations").to_pylist()]


def test_a_generated_label_is_confirmed_with_one_key(opened: Open, own_learned: Store) -> None:
    put_setting(own_learned, SHARE, 0.0)
    set_labels(own_learned, p_failure_point=0.5)
    at = queue(opened, own_learned)
    button = next(b for b in at.button if b.label == "Confirm all of it")
    assert button.proto.shortcut.casefold().endswith("g")
    turn_id = str(button.key).removeprefix("confirm-")
    press(at, "Confirm all of it")
    (row,) = recorded(own_learned)
    with own_learned.snapshot() as snapshot:
        label = snapshot.query(
            "FROM generated_labels WHERE turn_id = $id", {"id": turn_id}
        ).to_pylist()[0]
    assert row["turn_id"] == turn_id
    assert row["annotator"] == "Ada"
    for name in ("failure_point", "transcript", "intent", "slots"):
        assert row[name] == (label[name] or None if (label[f"p_{name}"] or 0) >= 0.5 else None)
    assert row["goal_start"] == (label["goal_start"] >= 0.5)
    assert row["goal_reached"] == (label["goal_reached"] >= 0.5)
    press(at, "Undo")
    assert recorded(own_learned) == []


def test_improbable_parts_of_a_label_are_not_offered(opened: Open, own_learned: Store) -> None:
    """A failure point of 1 % once stood there to be confirmed with one key."""
    put_setting(own_learned, SHARE, 0.0)
    set_labels(own_learned, p_failure_point=0.01, p_slots=0.49, p_intent=0.5)
    at = queue(opened, own_learned)
    button = next(b for b in at.button if b.label == "Confirm all of it")
    assert button.disabled
    turn_id = str(button.key).removeprefix("confirm-")
    with own_learned.snapshot() as snapshot:
        label = snapshot.query(
            "FROM generated_labels WHERE turn_id = $id", {"id": turn_id}
        ).to_pylist()[0]
    offered = [block for block in html_blocks(at) if "Goal begins" in block]
    assert len(offered) == 1
    assert "Failed first" not in offered[0]
    assert "With" not in offered[0]
    assert ("Meant" in offered[0]) == bool(label["intent"])


def test_a_label_without_a_probable_part_is_not_offered() -> None:
    part = {"p_failure_point": 0.49, "p_transcript": None, "p_intent": 0.0, "p_slots": 0.2}
    value = {"failure_point": "asr", "transcript": "play", "intent": "play", "slots": []}
    assert likely({**part, **value, "goal_start": 0.2}) == {
        **part, **dict.fromkeys(value), "goal_start": 0.2
    }  # fmt: skip
    sure = {**dict.fromkeys(part, 0.5), **value}
    assert likely(sure) == sure


def html_blocks(at: AppTest) -> list[str]:
    return [str(block.proto.body) for block in at.get("html")]


def test_goals_are_judged_with_the_verdict(opened: Open, own_learned: Store) -> None:
    put_setting(own_learned, SHARE, 0.0)
    at = queue(opened, own_learned)
    button = next(b for b in at.button if b.label == "Confirm all of it")
    turn_id = str(button.key).removeprefix("confirm-")
    at.button_group(key=f"gold-{turn_id}-goal_start").set_value(False).run()
    at.button_group(key=f"gold-{turn_id}-goal_reached").set_value(True).run()
    at.button(key=f"say-nlu-{turn_id}").click().run()
    (row,) = recorded(own_learned)
    assert (row["failure_point"], row["goal_start"], row["goal_reached"]) == ("nlu", False, True)
    at = opened(own_learned.path, "turn", turn=turn_id)
    assert "no goal begins here, goal reached" in texts(at)


def test_nothing_generated_is_shown_before_a_blind_opinion(
    opened: Open, own_learned: Store
) -> None:
    """Neither to the first nor to the second of two independent annotators."""
    put_setting(own_learned, SHARE, 1.0)
    at = queue(opened, own_learned)
    for _ in range(2):
        assert "Confirm all of it" not in [button.label for button in at.button]
        assert "Offer the generated label" not in [toggle.label for toggle in at.toggle]
        assert "probability" not in html(at)
        next(b for b in at.button if str(b.key).startswith("say-asr-")).click().run()
    assert len(recorded(own_learned)) == 2


def test_the_offer_can_be_turned_off(opened: Open, own_learned: Store) -> None:
    put_setting(own_learned, SHARE, 0.0)
    at = queue(opened, own_learned)
    at.toggle(key="offer-labels").set_value(False).run()
    assert "Confirm all of it" not in [button.label for button in at.button]


def _query(href: str) -> dict[str, str]:
    from urllib.parse import parse_qs, urlsplit

    return {key: values[0] for key, values in parse_qs(urlsplit(href).query).items()}
