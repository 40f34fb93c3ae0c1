"""Queries over goals, generated labels and what users taught, and goals judged by annotators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from annotation.files import import_annotations
from data.export.export import export
from data.ingest.ingest import ingest
from data.queries import generated_labels, goals, preferences
from data.queries.annotations import SETTLED_SQL
from data.queries.filters import Filter
from data.store.annotations import annotate
from data.store.snapshot import Snapshot
from data.store.store import Store
from labels.teaching.taught import Taught
from tests import learned, scored
from tests.scored import MODEL


@pytest.fixture
def snapshot(learned_store: Store) -> Iterator[Snapshot]:
    with learned_store.snapshot() as snapshot:
        yield snapshot


FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"since": "2024-03-08", "until": "2024-03-12"},
    {"assistant": "car"},
    {"device": "phone"},
    {"text": "song 1", "not_device": "phone"},
    {"source": "annotated"},
)


@pytest.mark.parametrize("query", FILTERS)
def test_goals_of_a_filter_are_those_that_begin_in_it(
    snapshot: Snapshot, query: dict[str, str]
) -> None:
    """The table of goals and a look-up of first turns agree, whichever answers."""
    chosen = Filter.from_query(query)
    clause, params = chosen.where()
    first = snapshot.query(
        f"SELECT turn_id FROM predictions WHERE model_id = $model AND {clause}",
        {"model": MODEL, **params},
    )["turn_id"].to_pylist()
    rows = snapshot.query("FROM goals").filter(pc.field("first_turn").isin(first))
    days = goals.daily(snapshot, MODEL, chosen)
    assert pc.sum(days["goals"]).as_py() == (rows.num_rows or None)
    assert (pc.sum(days["total"]).as_py() or 0) == pytest.approx(
        pc.sum(rows["p_reached"]).as_py() or 0
    )
    listed = goals.dialogues(snapshot, MODEL, chosen, rows=1_000)["dialogue_id"].to_pylist()
    assert len(listed) == len(set(listed))
    assert set(listed) == set(rows["dialogue_id"].to_pylist())


@pytest.mark.parametrize("kind", [goals.ANY, goals.MISSED, goals.UNSURE])
def test_neighbours_are_those_of_the_list(snapshot: Snapshot, kind: str) -> None:
    rows = goals.dialogues(snapshot, MODEL, Filter(), kind, rows=1_000)
    every = [str(name) for name in rows["dialogue_id"].to_pylist()]
    assert len(every) > 2
    for at in (0, 1, len(every) - 1):
        found = goals.around(snapshot, MODEL, Filter(), every[at], kind)
        assert found == {
            "total": len(every),
            "place": at + 1,
            "before": every[at - 1] if at else None,
            "after": every[at + 1] if at + 1 < len(every) else None,
        }
    assert goals.around(snapshot, MODEL, Filter(), "nothing", kind) is None


def test_annotated_goals_are_those_of_the_logs(snapshot: Snapshot) -> None:
    rows = goals.annotated(snapshot)
    by_id = {(row["dialogue_id"], row["goal_id"]): row for row in rows.to_pylist()}
    assert by_id["d007", "first"]["first_turn"] == "d007-0"
    assert by_id["d007", "later"]["first_turn"] == "d007-2"
    assert by_id["d007", "first"]["reached"] is True
    assert by_id["d009", "first"]["reached"] is False
    # Goals of annotated dialogues are left out of the model's.
    apart = goals.daily(snapshot, MODEL, Filter(), rows)
    every = goals.daily(snapshot, MODEL, Filter())
    assert pc.sum(apart["goals"]).as_py() < pc.sum(every["goals"]).as_py()
    within = goals.annotated_within(snapshot, MODEL, Filter(text="song 7"), rows)
    assert set(within["dialogue_id"].to_pylist()) == {"d007"}


def test_sureness_counts_every_label_once(snapshot: Snapshot) -> None:
    table = generated_labels.sureness(snapshot, MODEL, Filter())
    for task, column in generated_labels.SURE.items():
        rows = [row for row in table.to_pylist() if row["task"] == task]
        for step in (0, 55, 75, 93):
            sql = f"SELECT count(*) AS n FROM generated_labels WHERE {column} >= $p"
            wanted = snapshot.query(sql, {"p": step / 100 - 1e-6})["n"][0].as_py()
            assert sum(row["turns"] for row in rows if row["step"] >= step) == wanted


def test_agreement_and_differences_add_up(snapshot: Snapshot) -> None:
    for row in generated_labels.agreement(snapshot, MODEL, Filter()):
        table = generated_labels.differences(snapshot, MODEL, Filter(), row["kind"], rows=1_000)
        assert table.num_rows == row["turns"] - row["same"]
        if table.num_rows:
            assert set(table["total"].to_pylist()) == {table.num_rows}
            assert not pc.any(pc.equal(table["label"], table["told"])).as_py()


def test_what_was_taught_is_about_its_phrase_alone(own_learned: Store) -> None:
    """Courtesies do not change a phrase, other words do."""
    row = {"user_id": "u9", "device": {"type": "phone"}, "started_at": scored.START.isoformat()}
    words = ["cosy", "Cosy", "please make it cosy", "cosy please", "what is cosy", "cosyness", "",
             "no i said cosy", "no it's cosy", "hey assistant cosy mode"]  # fmt: skip
    lines = own_learned.path.with_name("more.jsonl")
    lines.write_text(
        "".join(
            json.dumps(
                {
                    **row,
                    "turn_id": f"m{i}",
                    "dialogue_id": f"m{i}",
                    "turn_index": 0,
                    "asr": {"hypotheses": [{"text": text}]},
                }
            )
            + "\n"
            for i, text in enumerate(words)
        )
    )

    ingest(own_learned, [lines])
    scored.score(own_learned, "model-b")
    at = scored.START + timedelta(days=1)
    learned.teach(
        own_learned,
        [
            learned.preference("cosy", "dim", preference_id="c", user_id="u9", created_at=at),
            learned.preference("cosy", "x", preference_id="tv", user_id="u9", scope="tv"),
            learned.preference("cosy", "y", preference_id="other", user_id="u8"),
            learned.preference(
                "cosy", "z", preference_id="in", user_id="u9", turn_ids=["m0", "m1"]
            ),
        ],
    )
    with own_learned.snapshot() as snapshot:
        found = preferences.changed(snapshot, "model-b", Filter()).to_pylist()
        counts = {r["preference_id"]: (r["before_turns"], r["after_turns"]) for r in found}
        assert counts["c"] == (7, 0)
        # The dialogue that taught it is left out.
        assert counts["in"] == (5, 0)
        assert "tv" not in counts
        assert "other" not in counts
        assert set(preferences.latest(snapshot, "model-b", "c")["turn_id"].to_pylist()) == {
            "m0", "m1", "m2", "m3", "m7", "m8", "m9",
        }  # fmt: skip
    # As the assistant takes them.
    concept = learned.preference("cosy", "dim", user_id="u9", created_at=scored.START)
    taught = Taught([concept])
    read = [taught.meaning(text, "u9", at=scored.START) is not None for text in words]
    assert [i for i, taken in enumerate(read) if taken] == [0, 1, 2, 3, 7, 8, 9]


def turn(store: Store, turn_id: str = "d001-0") -> dict[str, Any]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT turn_id, dialogue_id, day FROM turns").to_pylist()
    return next(row for row in rows if row["turn_id"] == turn_id)


def settled(store: Store) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        (row,) = snapshot.query(SETTLED_SQL).to_pylist()
    return dict(row)


def test_goals_are_settled_by_majority_and_by_the_adjudicator(own_store: Store) -> None:
    one = turn(own_store)
    annotate(own_store, one, "a", "nlu", goal_start=True)
    assert (settled(own_store)["goal_start"], settled(own_store)["goal_reached"]) == (True, None)
    assert settled(own_store)["defect"] is True
    annotate(own_store, one, "b", "nlu", goal_start=False, goal_reached=True)
    assert (settled(own_store)["goal_start"], settled(own_store)["goal_reached"]) == (None, True)
    annotate(own_store, one, "c", "correct", goal_start=False)
    assert settled(own_store)["goal_start"] is False
    # Who judges again without a word on the goal has no word on it.
    annotate(own_store, one, "b", "nlu")
    assert (settled(own_store)["goal_start"], settled(own_store)["goal_reached"]) == (None, None)
    annotate(own_store, one, "d", "correct", goal_start=True, goal_reached=False, adjudicated=True)
    row = settled(own_store)
    assert (row["goal_start"], row["goal_reached"], row["defect"]) == (True, False, False)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_judged_goals_survive_a_file(own_store: Store, tmp_path: Path, suffix: str) -> None:
    annotate(own_store, turn(own_store), "a", "nlu", goal_start=True, goal_reached=False)
    annotate(own_store, turn(own_store, "d002-0"), "a", "asr")
    file = tmp_path / f"annotations.{suffix}"
    with own_store.snapshot() as snapshot:
        export(snapshot, "annotations", file)
        before = snapshot.query("FROM annotations ORDER BY annotation_id")
    with own_store.commit() as cycle:
        cycle.delete_rows("annotations", "true")
    assert import_annotations(own_store, file, file.name).added == 2
    with own_store.snapshot() as snapshot:
        assert snapshot.query("FROM annotations ORDER BY annotation_id").equals(before)


def test_a_file_without_ids_is_imported_once_whatever_it_says_of_goals(own_store: Store) -> None:
    plain = b'{"turn_id": "d001-0", "annotator": "a", "failure_point": "nlu"}\n'
    told = b'{"turn_id": "d001-0", "annotator": "a", "failure_point": "nlu", "goal_start": true}\n'
    assert import_annotations(own_store, plain, "a.jsonl").added == 1
    assert import_annotations(own_store, plain, "a.jsonl").present == 1
    assert import_annotations(own_store, told, "a.jsonl").added == 1
    with own_store.snapshot() as snapshot:
        ids = snapshot.query("SELECT annotation_id FROM annotations WHERE goal_start IS NULL")
    # As versions without goals made it, so that their files add nothing either.
    assert ids["annotation_id"].to_pylist() == ["0d850aa292cad1df37b1da126ae1f2b3"]
