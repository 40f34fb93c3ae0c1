"""From turns without labels to a scored store: what each page says, and that its buttons do it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from annotation import candidates
from annotation.files import import_annotations
from classifiers.starter.labels import LEAST_TURNS
from data.errors import IngestError, UsageError
from data.ingest.ingest import ingest
from data.queries import ingest_runs
from data.queries.ground_truth import label_counts
from data.schema.vocabulary import UNCHECKED
from data.store.annotations import SHARE, annotate
from data.store.store import Store
from data.store.workspace import put_setting
from labels.rules.failure_point import MIN_PER_CLASS
from parts.jobs.job import INGEST, jobs
from parts.shared.first_steps import enough, labels_words
from parts.shared.log_upload import LARGEST_MB, Ingestion, report_words, shown_name
from tests.app import Open, press, texts
from tests.logs import trace, write_lines
from tests.once import Once
from tests.traces import logs

PAGES = ("overview", "triage", "turn", "model", "explore", "data")


@pytest.fixture
def unscored(tmp_path: Path, unscored_store: Store) -> Store:
    """A copy of turns without predictions, to write to."""
    return Store.open(shutil.copytree(unscored_store.path, tmp_path / "own"))


@pytest.fixture(scope="module")
def bare(once: Once) -> Store:
    """Turns without predictions, model or any label; read-only."""

    def build(folder: Path) -> None:
        lines = [{k: v for k, v in line.items() if k != "gold"} for line in logs()]
        ingest(Store.create(folder / "store"), [write_lines(folder / "log.jsonl", lines)])

    return Store.open(once("bare", build) / "store")


@pytest.fixture
def unlabelled(tmp_path: Path, bare: Store) -> Store:
    """A copy of it, to write to."""
    return Store.open(shutil.copytree(bare.path, tmp_path / "bare"))


def labels(at: AppTest) -> list[str]:
    return [button.label for button in at.button]


@pytest.mark.parametrize("page", PAGES)
def test_a_store_without_labels_leads_to_scoring(opened: Open, bare: Store, page: str) -> None:
    turn = {"turn": _any_turn(bare)} if page == "turn" else {}
    at = opened(bare.path, page, **turn)
    shown = texts(at)
    assert shown.index("First: score the turns") < shown.index("Then: label some turns")
    assert "is a guess" in shown
    buttons = labels(at)
    assert buttons.index("Score the turns") < buttons.index("Label turns now")
    assert "Upload annotations" in buttons
    assert "Train a model" not in buttons


@pytest.mark.parametrize(("turns", "first"), [(LEAST_TURNS, "score"), (LEAST_TURNS - 1, "label")])
def test_few_turns_are_labelled_first(
    opened: Open, store: Store, tmp_path: Path, turns: int, first: str
) -> None:
    lines = [trace(f"t{i}") for i in range(turns)]
    ingest(store, [write_lines(tmp_path / "log.jsonl", lines)])
    at = opened(store.path, "overview")
    assert f"First: {first}" in texts(at)
    assert ("Score the turns" in labels(at)) == (first == "score")
    assert {"Label turns now", "Upload annotations"} <= set(labels(at))


@pytest.mark.long
def test_a_store_without_labels_is_scored_by_one_button(opened: Open, unlabelled: Store) -> None:
    at = press(opened(unlabelled.path, "overview"), "Score the turns")
    assert _ended(unlabelled, "score") == "done"
    press(at.run(), "Show its results")
    assert "Not scored yet" not in texts(at)
    assert UNCHECKED in texts(at)
    assert at.metric


@pytest.mark.parametrize(("label", "task"), [("Label turns now", "queue"), ("Upload", "files")])
def test_its_buttons_lead_to_the_task_of_annotate(
    opened: Open, bare: Store, label: str, task: str
) -> None:
    at = press(opened(bare.path, "overview"), label)
    assert [header.value for header in at.header] == ["Annotate"]
    assert at.session_state["task"] == task


def _any_turn(store: Store) -> str:
    with store.snapshot() as snapshot:
        return str(snapshot.query("FROM turns LIMIT 1")["turn_id"][0].as_py())


def test_turns_without_a_model_are_labelled_in_random_order(
    opened: Open, unlabelled: Store
) -> None:
    at = opened(unlabelled.path, "annotate")
    at.session_state["annotator_name"] = "ann"
    at.run()
    assert not at.exception
    with unlabelled.snapshot() as snapshot:
        order = candidates.unscored_at_random(snapshot)["turn_id"].to_pylist()
    assert at.session_state["queue_turn"] == order[0]
    assert "Drawn at random" in texts(at)
    # Nothing of a model is offered.
    assert not at.toggle
    say = next(b for b in at.button if str(b.key or "").startswith("say-asr-"))
    say.click().run()
    assert not at.exception
    assert at.session_state["queue_turn"] == order[1]
    with unlabelled.snapshot() as snapshot:
        assert label_counts(snapshot) in ({}, {"asr": 1})


def test_random_order_takes_dated_dialogues_without_labels(unscored: Store) -> None:
    with unscored.snapshot() as snapshot:
        rows = candidates.unscored_at_random(snapshot, most=1000)
        dialogues = rows["dialogue_id"].to_pylist()
        labelled = snapshot.query("FROM labelled WHERE failure_point IS NOT NULL")
        assert not set(rows["turn_id"].to_pylist()) & set(labelled["turn_id"].to_pylist())
        assert set(dialogues) == set(
            snapshot.query(
                "FROM turns ANTI JOIN (FROM labelled WHERE failure_point IS NOT NULL) "
                "USING (turn_id)"
            )["dialogue_id"].to_pylist()
        )
        again = candidates.unscored_at_random(snapshot, most=1000)
    assert again.equals(rows)
    # A dialogue's turns stand together, and dialogues in no order of their names.
    starts = [d for i, d in enumerate(dialogues) if i == 0 or dialogues[i - 1] != d]
    assert len(starts) == len(set(dialogues))
    assert starts != sorted(map(str, starts))


@pytest.mark.parametrize("task", ["queue", "differences", "agreement", "files", "train"])
def test_every_task_of_annotate_works_without_a_model(opened: Open, bare: Store, task: str) -> None:
    at = opened(bare.path, "annotate", task=task)
    at.session_state["annotator_name"] = "ann"
    at.run()
    assert not at.exception
    assert [header.value for header in at.header] == ["Annotate"]


def test_enough_labels_offer_the_training(opened: Open, unlabelled: Store) -> None:
    with unlabelled.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id").to_pylist()[: 2 * MIN_PER_CLASS]
    names = ["asr"] * MIN_PER_CLASS + ["correct"] * MIN_PER_CLASS
    put_setting(unlabelled, SHARE, 0.0)
    rows = [
        {"turn_id": turn["turn_id"], "annotator": "ann", "failure_point": name}
        for turn, name in zip(turns, names, strict=True)
    ]
    most = write_lines(unlabelled.path.parent / "most.jsonl", rows[:-1])
    import_annotations(unlabelled, most, "most.jsonl")
    at = opened(unlabelled.path, "overview")
    assert "Train a model" not in labels(at)
    assert f"{MIN_PER_CLASS} ASR" in texts(at)
    annotate(unlabelled, turns[-1], "ann", "correct")
    # The page counts the labels that there are now, whatever version it shows.
    at.run()
    assert "Next: train" in texts(at)
    assert "Train a model" in labels(at)
    # So does the queue, with a way to the training.
    at = opened(unlabelled.path, "annotate")
    at.session_state["annotator_name"] = "ann"
    at.run()
    at.button(key="go-train").click().run()
    assert not at.exception
    assert "Train a new model" in texts(at)


def test_a_hidden_verdict_is_not_counted(unlabelled: Store) -> None:
    put_setting(unlabelled, SHARE, 1.0)
    with unlabelled.snapshot() as snapshot:
        turn = snapshot.query("FROM turns ORDER BY turn_id LIMIT 1").to_pylist()[0]
    annotate(unlabelled, turn, "ann", "asr")
    with unlabelled.snapshot() as snapshot:
        assert label_counts(snapshot) == {}
    annotate(unlabelled, turn, "bob", "asr")
    with unlabelled.snapshot() as snapshot:
        assert label_counts(snapshot) == {"asr": 1}


@pytest.mark.parametrize(
    ("counts", "ready"),
    [
        ({}, False),
        ({"asr": 10}, False),
        ({"asr": 9, "nlu": 9, "er": 9}, False),
        ({"asr": 10, "correct": 10}, True),
    ],
)
def test_what_training_needs(counts: dict[str, int], ready: bool) -> None:
    assert enough(counts) == ready
    assert ("needs" in labels_words(counts)) != ready


def test_a_store_with_a_model_offers_to_score(
    opened: Open, tmp_path: Path, six: tuple[Store, Any]
) -> None:
    store = Store.open(shutil.copytree(six[0].path, tmp_path / "own"))
    at = opened(store.path, "overview")
    assert "Score the turns" in labels(at)
    assert "Label turns now" not in labels(at)


def _ended(store: Store, name: str) -> str:
    """How a job of the store ended."""
    job = jobs(str(store.path)).get(name)
    assert job is not None
    return job.wait(300)


@pytest.mark.long
def test_the_buttons_lead_from_labels_to_a_scored_store(
    opened: Open, tmp_path: Path, six: tuple[Store, Any]
) -> None:
    store = Store.create(tmp_path / "new")
    ingest(store, [write_lines(tmp_path / "log.jsonl", logs())])
    at = press(opened(store.path, "overview"), "Train a model")
    assert _ended(store, "train") == "done"
    press(at.run(), "Score the turns")
    assert _ended(store, "score") == "done"
    press(at.run(), "Show its results")
    assert "Not scored yet" not in texts(at)
    assert at.metric


# -- upload ----------------------------------------------------------------------------------------


def log(folder: Path, *more: str) -> bytes:
    """Ten good lines, and `more`."""
    lines = [json.dumps(trace(f"t{i}")) for i in range(10)]
    return ("\n".join([*lines, *more]) + "\n").encode()


@pytest.mark.parametrize("page", ["overview", "annotate", "data"])
def test_an_empty_store_offers_an_upload(opened: Open, store: Store, page: str) -> None:
    at = opened(store.path, page)
    assert "This store is empty" in texts(at)
    (uploader,) = at.get("file_uploader")
    assert uploader.proto.max_upload_size_mb == LARGEST_MB


def test_an_upload_goes_through_ingest_and_shows_its_result(
    opened: Open, store: Store, tmp_path: Path
) -> None:
    at = opened(store.path, "data")
    content = log(tmp_path, "not json", '{"turn_id": 3}', '{"turn_id": 4}', "[1]")
    at.file_uploader[0].set_value(("../my log.jsonl", content, "")).run()
    assert not at.exception
    press(at, "Ingest")
    job = jobs(str(store.path)).get(INGEST)
    assert isinstance(job, Ingestion)
    assert job.wait(300) == "done"
    at.run()
    assert "10 turns, 4 quarantined" in texts(at)
    reasons = at.dataframe[0].value
    assert reasons["Lines"].tolist() == [2, 1, 1]
    with store.snapshot() as snapshot:
        assert snapshot.counts()["turns"] == 10
        assert ingest_runs.runs(snapshot)["file"].to_pylist() == ["upload: my log.jsonl"]
    # The file is not kept on the server.
    assert not Path(job._folder.name).exists()
    press(at, "Show the new data")
    assert "This store is empty" not in texts(at)


@pytest.mark.long
@pytest.mark.parametrize("on_conflict", ["keep", "replace", "refuse"])
def test_an_upload_treats_conflicts_as_asked(store: Store, on_conflict: Any) -> None:
    first = json.dumps(trace("same", dialogue_id="a")).encode()
    other = json.dumps(trace("same", dialogue_id="b")).encode()
    assert Ingestion(str(store.path), "a.jsonl", first, "keep").wait(300) == "done"
    job = Ingestion(str(store.path), "b.jsonl", other, on_conflict)
    state = job.wait(300)
    with store.snapshot() as snapshot:
        (dialogue,) = snapshot.query("FROM turns")["dialogue_id"].to_pylist()
    assert dialogue == ("b" if on_conflict == "replace" else "a")
    assert state == ("failed" if on_conflict == "refuse" else "done")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("photo.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(200), "upload: photo.jsonl"),
        ("cut.jsonl.gz", b"\x1f\x8b\x08\x00\x00", "truncated gzip"),
        ("table.parquet", b"PAR1 no", "upload: table.parquet"),
    ],
)
def test_a_file_that_is_no_log_is_refused_by_the_name_it_was_given(
    store: Store, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(IngestError, match=words) as refused:
        ingest(store, [file], name=shown_name(name))
    # Nothing says where on the server it lay.
    assert str(tmp_path) not in str(refused.value)


def test_one_name_is_not_for_two_inputs(store: Store, tmp_path: Path) -> None:
    files = [write_lines(tmp_path / name, [trace(name)]) for name in ("a.jsonl", "b.jsonl")]
    with pytest.raises(UsageError, match="One name was given for 2 inputs"):
        ingest(store, files, name="both")
    with pytest.raises(UsageError, match="is empty"):
        ingest(store, files[:1], name=" ")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.jsonl", "upload: a.jsonl"),
        ("../../etc/passwd", "upload: passwd"),
        ("C:\\logs\\b.jsonl", "upload: b.jsonl"),
        ("--store", "upload: --store"),
        ("a\x00b\ud800\u202e.jsonl", "upload: ab.jsonl"),
        ("///", "upload: log.jsonl"),
        ("x" * 400 + ".jsonl", "upload: " + "x" * 144 + ".jsonl"),
    ],
)
def test_a_name_is_shown_without_folders_and_tricks(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_a_report_names_what_happened_only() -> None:
    assert report_words({"file": "a", "turns": 1}) == "**a**: 1 turn."
    words = report_words({"file": "a", "turns": 3, "replaced": 2, "conflicts": 1, "quarantined": 1})
    assert words.endswith("3 turns, 2 replaced, 1 with the id of another turn, 1 quarantined.")
