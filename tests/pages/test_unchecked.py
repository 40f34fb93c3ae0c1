"""Models that nobody has checked: every page says so, and the way to a better one is short."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

import faultline
from classifiers.settings import Settings
from data.export.manifest import export_described, slice_zip
from data.queries.filters import Filter
from data.schema.vocabulary import FIRST_ANNOTATIONS, LEVEL_MEANING, UNCHECKED
from data.store.annotations import SHARE, annotate
from data.store.store import Store
from data.store.workspace import put_setting
from parts.annotate.first_turns import CURVE, worth
from parts.jobs.job import jobs
from report import page as report
from tests.app import Open, html, links, press, texts
from tests.command import Run
from tests.scored import MODEL

MARKED = (
    "overview", "triage", "turn", "explore", "model", "annotate", "data", "rewrites", "teaching",
)  # fmt: skip


def learned_from(store: Store, against: str, labels: str = "generated") -> Store:
    """Give the model of a store the files that say what it learned from."""
    folder = store.models / MODEL
    folder.mkdir(exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps({"against": against}), "utf-8")
    settings = Settings.of("hindsight", 0, labels=labels).to_json()
    (folder / "model.json").write_text(json.dumps({"settings": settings}), "utf-8")
    return store


@pytest.fixture
def unchecked(own_store: Store) -> Store:
    put_setting(own_store, SHARE, 0.0)
    return learned_from(own_store, "generated")


def label(store: Store, turns: int, points: tuple[str, ...] = ("asr", "nlu")) -> None:
    """Annotate the first turns of a store."""
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM predictions ORDER BY turn_id LIMIT $n",
            {"n": turns},
        ).to_pylist()
    for number, row in enumerate(rows):
        annotate(store, row, "Ada", points[number % len(points)])


@pytest.mark.parametrize("page", MARKED)
def test_every_page_of_an_unchecked_model_says_so(
    opened: Open, unchecked: Store, page: str
) -> None:
    at = opened(unchecked.path, page)
    marks = [line for line in at.markdown if UNCHECKED in line.value]
    assert len(marks) == 1
    assert "no label of a person" in marks[0].help
    if page != "annotate":
        assert links(at)["Annotate some turns →"].startswith("/annotate?")


@pytest.mark.parametrize("page", [*MARKED, "labels"])
@pytest.mark.parametrize("against", ["gold", None])
def test_a_checked_model_is_not_marked(
    opened: Open, own_store: Store, page: str, against: str | None
) -> None:
    """Neither one against gold nor one of an earlier version, which knew nothing else."""
    if against:
        learned_from(own_store, against)
    assert UNCHECKED not in texts(opened(own_store.path, page))


@pytest.mark.parametrize("level", ["assumed", "verdicts"])
def test_rates_whose_level_is_assumed_are_called_estimates(
    opened: Open, own_store: Store, level: str
) -> None:
    figures = {"against": "gold", "level": level}
    (learned_from(own_store, "gold").models / MODEL / "metrics.json").write_text(
        json.dumps(figures), "utf-8"
    )
    found = texts(opened(own_store.path, "overview"))
    assert UNCHECKED not in found
    assert (LEVEL_MEANING in found) == (level == "assumed")


def test_figures_that_cannot_be_read_vouch_for_nothing(own_store: Store) -> None:
    learned_from(own_store, "gold")
    with own_store.snapshot() as snapshot:
        assert snapshot.learned_from_people(MODEL)
        assert snapshot.learned_from_people(None)
        (own_store.models / MODEL / "metrics.json").write_text("[", "utf-8")
        assert not snapshot.learned_from_people(MODEL)
        (own_store.models / MODEL / "metrics.json").write_text("[]", "utf-8")
        assert not snapshot.learned_from_people(MODEL)


def test_labels_of_people_that_the_model_has_not_seen_are_named(
    opened: Open, unchecked: Store
) -> None:
    at = opened(unchecked.path, "overview")
    assert "labelled by people by now" not in texts(at)
    label(unchecked, 30)
    at = opened(unchecked.path, "model")
    assert "labelled by people by now" in texts(at)
    assert f"faultline train --labels both --store {unchecked.path}" in texts(at)
    assert "task=train" in links(at)["Train on the labels of people →"]


def test_a_turn_shows_the_defect_first_and_the_stage_as_a_guess(
    opened: Open, unchecked: Store
) -> None:
    at = opened(unchecked.path, "turn", turn="d007-1")
    assert "likely; guess: " in at.header[0].value
    assert ">a guess<" in html(at)
    assert ">failure point<" not in html(at)
    heads = [head.value for head in at.subheader]
    assert [metric.label for metric in at.metric] == ["Probability of a defect"]
    evidence = next(i for i, head in enumerate(heads) if head.startswith("Evidence for"))
    assert heads.index("Failure point, a guess") > evidence
    learned_from(unchecked, "gold")
    at = opened(unchecked.path, "turn", turn="d007-1", at="", model="")
    # The answer is kept as long as the server runs: a model does not change.
    assert "guess" in at.header[0].value


def test_the_worst_stage_is_a_guess(opened: Open, unchecked: Store) -> None:
    labels = [metric.label for metric in opened(unchecked.path, "overview").metric]
    assert "Worst stage, a guess" in labels
    assert "Defect rate, model estimate" in labels


def test_the_first_turns_lead_the_queue_with_their_progress(opened: Open, unchecked: Store) -> None:
    at = opened(unchecked.path, "annotate")
    at.text_input[0].set_value("Ada")
    press(at, "Start")
    assert f"Annotate these {FIRST_ANNOTATIONS} turns" in texts(at)
    assert 'aria-valuenow="0"' in html(at)
    assert "macro-F1" in texts(at)
    button = next(b for b in at.button if str(b.key).startswith("say-asr-"))
    button.click().run()
    assert 'aria-valuenow="1"' in html(at)
    # The random audit stays where it was, and is not about these turns.
    at.button_group(key="queue_order").set_value("random").run()
    assert f"Annotate these {FIRST_ANNOTATIONS} turns" not in texts(at)
    assert "it represents all turns" in texts(at)


def test_what_annotating_is_worth_is_what_the_docs_say() -> None:
    documented = (Path(faultline.__file__).parents[1] / "docs" / "evaluation.md").read_text("utf-8")
    assert "\n## Without annotations, and with the first ones\n" in documented
    table = documented.split("<!-- first-annotations -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    measured = {
        int(row[1].replace(",", "")): float(row[4])
        for row in rows
        if row and row[0] == "dstc1" and row[3] == "queue"
    }
    assert all(measured[turns] == f1 for turns, f1 in CURVE)
    assert all(f"{f1:.2f}" in worth() for _, f1 in CURVE)


@pytest.mark.parametrize(
    ("learned", "next_labels"), [("generated", "both"), ("both", "both"), ("behaviour", "auto")]
)
def test_after_the_first_turns_training_is_offered(
    opened: Open,
    unchecked: Store,
    monkeypatch: pytest.MonkeyPatch,
    learned: str,
    next_labels: str,
) -> None:
    learned_from(unchecked, "generated", learned)
    label(unchecked, FIRST_ANNOTATIONS)
    at = opened(unchecked.path, "annotate")
    at.text_input[0].set_value("Ada")
    press(at, "Start")
    assert f"The first {FIRST_ANNOTATIONS} turns are annotated" in texts(at)
    press(at, "Train a model on them")
    assert at.query_params["task"] in ("train", ["train"])
    commands: list[list[str]] = []
    work = jobs(str(unchecked.path))

    def start(name: str, module: str, command: list[str]) -> _Done:
        commands.append(command)
        return _Done()

    monkeypatch.setattr("parts.shared.model_jobs.ProcessJob", start)
    press(at, "Train")
    assert commands[0][:4] == ["train", "--no-promote", "--labels", next_labels]
    work.forget("train")


@pytest.mark.parametrize("labels", ["gold", "behaviour", "both"])
def test_a_model_that_people_checked_is_followed_by_one_on_auto(
    opened: Open, own_store: Store, monkeypatch: pytest.MonkeyPatch, labels: str
) -> None:
    """As `faultline train` does: gold alone is worse while it is little."""
    learned_from(own_store, "gold", labels)
    at = opened(own_store.path, "annotate", task="train")
    commands: list[list[str]] = []
    work = jobs(str(own_store.path))

    def start(name: str, module: str, command: list[str]) -> _Done:
        commands.append(command)
        return _Done()

    monkeypatch.setattr("parts.shared.model_jobs.ProcessJob", start)
    press(at, "Train")
    assert commands[0][:4] == ["train", "--no-promote", "--labels", "auto"]
    work.forget("train")


class _Done:
    """A training that has ended without a model."""

    state, error, result = "failed", "Nothing was trained.", None


def test_too_few_of_each_failure_point_are_named(opened: Open, unchecked: Store) -> None:
    label(unchecked, FIRST_ANNOTATIONS, ("correct",))
    at = opened(unchecked.path, "annotate")
    at.text_input[0].set_value("Ada")
    press(at, "Start")
    assert "a model needs 10 of each of at least two failure points" in texts(at)
    assert "Train a model on them" not in [button.label for button in at.button]


def test_reports_and_exports_say_so(unchecked: Store, run: Run, tmp_path: Path) -> None:
    to = tmp_path / "week.html"
    assert run("report", "--to", str(to), "--store", str(unchecked.path)).code == 0
    assert UNCHECKED in to.read_text("utf-8")
    with unchecked.snapshot() as snapshot:
        assert report.source_of(snapshot, MODEL, Filter()).unchecked
        file = tmp_path / "p.parquet"
        content = export_described(snapshot, "predictions", file, None, {}, "all", MODEL)
        assert content["checked_by_people"] is False
        assert str(content["unchecked"]).startswith(UNCHECKED)
        slice_zip(snapshot, MODEL, Filter(), "csv", tmp_path / "p.zip")
    with zipfile.ZipFile(tmp_path / "p.zip") as pack:
        name = next(name for name in pack.namelist() if name.endswith("manifest.json"))
        assert json.loads(pack.read(name))["checked_by_people"] is False
    told = run("info", "--store", str(unchecked.path)).out
    assert "behaviour; not yet checked by people" in told
    assert not faultline.explain("d007-1", store=unchecked).checked_by_people
    learned_from(unchecked, "gold")
    with unchecked.snapshot() as snapshot:
        content = export_described(snapshot, "predictions", file, None, {}, "all", MODEL)
        assert content["checked_by_people"] is True
        assert "unchecked" not in content
    assert faultline.info(store=unchecked)["model_learned_from"] == "labels of people"
    assert faultline.explain("d007-1", store=unchecked).checked_by_people


def test_reports_and_exports_say_that_the_level_is_assumed(
    own_store: Store, run: Run, tmp_path: Path
) -> None:
    learned_from(own_store, "gold")
    to, figures = tmp_path / "week.html", own_store.models / MODEL / "metrics.json"
    for level in ("verdicts", "assumed"):
        figures.write_text(json.dumps({"against": "gold", "level": level}), "utf-8")
        assert run("report", "--to", str(to), "--store", str(own_store.path)).code == 0
        assert (LEVEL_MEANING in to.read_text("utf-8")) == (level == "assumed")
        with own_store.snapshot() as snapshot:
            file = tmp_path / "p.parquet"
            content = export_described(snapshot, "predictions", file, None, {}, "all", MODEL)
        assert content.get("level") == (LEVEL_MEANING if level == "assumed" else None)
