"""Generated labels as a file, and BIO tags for values that stand in the words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import UsageError
from data.export.labels import BIO, ROWS, export_labels, tag
from data.export.manifest import checksum
from data.ingest.ingest import ingest
from data.schema.layout import TABLES
from data.store.learned import replace_learned
from data.store.store import Store
from labels.generated.words import words as words_of
from tests.logs import trace, write_lines

SCHEMA = TABLES["generated_labels"].schema
LABELS: list[dict[str, Any]] = [
    {
        "turn_id": "t0",
        "goal_id": "g0",
        "goal_start": 0.99,
        "goal_reached": 0.3,
        "turn_defect": 0.9,
        "intent": "set_light",
        "p_intent": 0.8,
        "slots": [{"name": "room", "value": "Kitchen"}, {"name": "level", "value": "30"}],
        "p_slots": 0.6,
        "confidence": 0.6,
    },
    {
        "turn_id": "t1",
        "goal_id": "g0",
        "goal_start": 0.4,
        "goal_reached": 0.3,
        "turn_defect": 0.1,
        "confidence": 0.1,
    },
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    texts = ("dim the kitchen lights", "no")
    records = [
        trace(f"t{n}", dialogue_id="d", turn_index=n, asr={"hypotheses": [{"text": text}]})
        for n, text in enumerate(texts)
    ]
    ingest(store, [write_lines(tmp_path / "log.jsonl", records)])
    with store.snapshot() as snapshot:
        day = snapshot.query("SELECT day FROM turns LIMIT 1")["day"][0].as_py()
    assert isinstance(day, date)
    common = {"dialogue_id": "d", "day": day, "model_id": "l-1"}
    rows = [
        dict.fromkeys(SCHEMA.names) | common | {"turn_index": n} | row
        for n, row in enumerate(LABELS)
    ]
    replace_learned(store, {"generated_labels": pa.Table.from_pylist(rows, SCHEMA)})
    return store


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_one_row_per_turn_with_a_manifest(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    with store.snapshot() as snapshot:
        content = export_labels(snapshot, file)
    rows = _lines(file)
    assert [list(row) for row in rows] == [ROWS.names] * 2
    assert rows[0]["slots"] == LABELS[0]["slots"]
    assert rows[0]["goal_start"] == pytest.approx(0.99)
    assert rows[1]["intent"] is None
    stated = json.loads(file.with_name("labels.jsonl.manifest.json").read_text("utf-8"))
    assert stated == content
    assert stated["sha256"] == checksum(file)
    assert (stated["rows"], stated["model"], stated["thresholds"]) == (2, "l-1", {})
    assert stated["data_version"] == store.snapshot().version


def test_parquet_has_the_same_rows(store: Store, tmp_path: Path) -> None:
    with store.snapshot() as snapshot:
        export_labels(snapshot, tmp_path / "labels.parquet")
    table = pq.read_table(tmp_path / "labels.parquet")
    assert table.schema.equals(ROWS)
    assert table["turn_id"].to_pylist() == ["t0", "t1"]


def test_labels_below_their_threshold_are_left_out(store: Store, tmp_path: Path) -> None:
    least = {"goal_reached": 0.8, "turn_defect": 0.85, "slots": 0.61, "goal_start": 0.5}
    with store.snapshot() as snapshot:
        content = export_labels(snapshot, tmp_path / "a.jsonl", least=least)
    first, second = _lines(tmp_path / "a.jsonl")
    assert first["slots"] is first["goal_reached"] is None
    assert first["intent"] == "set_light"
    # A sure no is as good as a sure yes.
    assert first["turn_defect"] == pytest.approx(0.9)
    assert second["turn_defect"] == pytest.approx(0.1)
    assert second["goal_start"] == pytest.approx(0.4)
    assert content["thresholds"] == dict(sorted(least.items()))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_bio_tags_of_turns_with_an_intent(store: Store, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"bio.{suffix}"
    with store.snapshot() as snapshot:
        content = export_labels(snapshot, file, form="bio")
    rows = _lines(file) if suffix == "jsonl" else pq.read_table(file).to_pylist()
    assert [list(row) for row in rows] == [BIO.names]
    assert rows[0]["tags"] == ["O", "O", "B-room", "O"]
    assert rows[0]["spans"] == [{"name": "room", "value": "kitchen", "start": 8, "end": 15}]
    assert rows[0]["elsewhere"] == [{"name": "level", "value": "30"}]
    assert content["form"] == "bio"


@pytest.mark.parametrize(
    ("text", "slots", "tags", "elsewhere"),
    [
        ("", [], [], 0),
        ("play", [{"name": "song", "value": None}], ["O"], 1),
        (
            "from new york to york",
            [{"name": "to", "value": "York"}, {"name": "from", "value": "New York"}],
            ["O", "B-from", "I-from", "O", "B-to"],
            0,
        ),
        ("a b a", [{"name": "x", "value": "a"}, {"name": "y", "value": "a"}],
         ["B-x", "O", "B-y"], 0),
        ("播放周杰伦", [{"name": "artist", "value": "周杰伦"}],
         ["O", "O", "B-artist", "I-artist", "I-artist"], 0),
        ("إلى القاهرة", [{"name": "to", "value": "القاهرة"}], ["O", "B-to"], 0),
        ("say hi!!!", [{"name": "x", "value": "hi!"}], ["O", "B-x", "I-x", "O", "O"], 0),
    ],
)  # fmt: skip
def test_tags_of_values(
    text: str, slots: list[dict[str, Any]], tags: list[str], elsewhere: int
) -> None:
    tagged = tag(text, slots)
    assert tagged["tags"] == tags
    assert len(tagged["elsewhere"]) == elsewhere
    for span in tagged["spans"]:
        assert text[span["start"] : span["end"]] == span["value"]


@pytest.mark.parametrize(
    ("places", "tags", "elsewhere"),
    [
        (None, ["O", "O", "O", "O", "B-room"], 1),
        ([{"start": 9, "end": 14}, None], ["O", "O", "B-level", "O", "B-room"], 0),
        # A part of a word, and what is not in the text, is no place.
        ([{"start": 10, "end": 14}, {"start": 90, "end": 95}], ["O", "O", "O", "O", "B-room"], 1),
        # Two slots are not at one place.
        ([{"start": 9, "end": 14}] * 2, ["O", "O", "B-room", "O", "O"], 1),
    ],
)
def test_values_that_are_said_in_other_words_are_tagged_where_they_stand(
    places: list[dict[str, int] | None] | None, tags: list[str], elsewhere: int
) -> None:
    slots = [{"name": "level", "value": "7"}, {"name": "room", "value": "hall"}]
    tagged = tag("level is seven of hall", slots, places)
    assert tagged["tags"] == tags
    assert len(tagged["elsewhere"]) == elsewhere


def test_bio_tags_use_the_places_of_the_model(store: Store, tmp_path: Path) -> None:
    _relabel(store, spans=[None, {"start": 0, "end": 3}])
    with store.snapshot() as snapshot:
        export_labels(snapshot, tmp_path / "bio.jsonl", form="bio")
    assert _lines(tmp_path / "bio.jsonl")[0]["tags"] == ["B-level", "O", "B-room", "O"]


def _relabel(store: Store, changed: int = 0, **values: Any) -> None:
    """Label the turn t0 again, with other `values`, as it was when its digest was another."""
    with store.snapshot() as snapshot:
        digests = snapshot.query("SELECT turn_id, digest FROM turns").to_pylist()
        rows = snapshot.query("SELECT * FROM generated_labels").to_pylist()
    digest = {row["turn_id"]: row["digest"] for row in digests}
    for row in rows:
        row["digest"] = digest[row["turn_id"]]
        if row["turn_id"] == "t0":
            row |= values
            row["digest"] += changed
    replace_learned(store, {"generated_labels": pa.Table.from_pylist(rows, SCHEMA)})


def test_labels_of_turns_that_changed_since_are_left_out_and_counted(
    store: Store, tmp_path: Path
) -> None:
    _relabel(store, changed=1)
    more = [trace("t2", dialogue_id="d", turn_index=2)]
    ingest(store, [write_lines(tmp_path / "more.jsonl", more)])
    for form, turns in (("rows", ["t1"]), ("bio", [])):
        with store.snapshot() as snapshot:
            content = export_labels(snapshot, tmp_path / "l.jsonl", form=form)
        assert [row["turn_id"] for row in _lines(tmp_path / "l.jsonl")] == turns
        assert (content["unlabelled"], content["changed"]) == (1, 1)


def test_slots_that_are_left_out_are_not_taught_as_none(store: Store, tmp_path: Path) -> None:
    with store.snapshot() as snapshot:
        content = export_labels(snapshot, tmp_path / "l.jsonl", form="bio", least={"slots": 0.7})
    assert content["rows"] == 0


def test_confidence_is_that_of_the_parts_in_the_row(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "l.jsonl"
    for least, expected in (
        ({}, 0.6),
        ({"slots": 0.7}, 0.7),
        ({"slots": 0.7, "goal_reached": 0.75}, 0.8),
    ):
        with store.snapshot() as snapshot:
            export_labels(snapshot, file, least=least)
        assert _lines(file)[0]["confidence"] == pytest.approx(expected, abs=1e-6)
    # That a first turn begins a goal is no doubt of the row's, and no certainty either.
    nothing: dict[str, Any] = dict.fromkeys(("goal_reached", "turn_defect", "p_intent", "p_slots"))
    _relabel(store, goal_start=1.0, **nothing)
    with store.snapshot() as snapshot:
        export_labels(snapshot, file)
    assert _lines(file)[0]["confidence"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("मौसम कैसा है", ["मौसम", "कैसा", "है"]),
        ("شَغِّل المكيف", ["شَغِّل", "المكيف"]),
        ("சென்னை வானிலை", ["சென்னை", "வானிலை"]),
        ("don’t call zoë", ["don’t", "call", "zoë"]),
        ("播放音乐 now", ["播", "放", "音", "乐", "now"]),
    ],
)
def test_marks_belong_to_their_letter(text: str, words: list[str]) -> None:
    assert tag(text, [])["tokens"] == words
    assert words_of(text) == [word.lower() for word in words]


def test_labels_of_an_earlier_version_have_no_places(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT * FROM generated_labels")
    # As that version wrote them: without the column.
    before = replace(TABLES["generated_labels"], schema=SCHEMA.remove(SCHEMA.names.index("spans")))
    with monkeypatch.context() as patch:
        patch.setitem(TABLES, "generated_labels", replace(before, added=()))
        earlier = Store.create(tmp_path / "earlier")
        ingest(earlier, [tmp_path / "log.jsonl"])
        replace_learned(earlier, {"generated_labels": rows.drop_columns(["spans"])})
    with earlier.snapshot() as snapshot:
        assert snapshot.query("SELECT spans FROM generated_labels")["spans"].null_count == 2
        export_labels(snapshot, tmp_path / "bio.jsonl", form="bio")
    assert _lines(tmp_path / "bio.jsonl")[0]["tags"] == ["O", "O", "B-room", "O"]
    # Labels are generated again, in place of those.
    replace_learned(earlier, {"generated_labels": rows})
    with earlier.snapshot() as snapshot:
        assert snapshot.counts()["generated_labels"] == 2


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.csv", {}, "must end in"),
        ("a.jsonl", {"form": "conll"}, "no format 'conll'"),
        ("a.jsonl", {"least": {"mood": 0.5}}, "no task 'mood'"),
        ("a.jsonl", {"least": {"intent": 1.5}}, "give 0 to 1"),
        ("none/a.jsonl", {}, "folder that exists"),
    ],
)
def test_what_cannot_be_exported_is_said(
    store: Store, tmp_path: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with store.snapshot() as snapshot, pytest.raises(UsageError, match=words):
        export_labels(snapshot, tmp_path / name, **options)


def test_a_manifest_that_cannot_be_written_leaves_the_file_as_it_was(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "l.jsonl"
    file.write_text("before")
    (tmp_path / "l.jsonl.manifest.json").mkdir()
    with store.snapshot() as snapshot, pytest.raises(UsageError, match=r"manifest .*folder"):
        export_labels(snapshot, file)
    assert file.read_text() == "before"


def test_a_store_without_labels_says_how_to_make_them(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    with store.snapshot() as snapshot, pytest.raises(UsageError, match="faultline labels train"):
        export_labels(snapshot, tmp_path / "a.jsonl")
