"""What one person may not see reaches them on no way: pages, SQL, downloads, counts, quarantine."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from annotation.files import import_annotations
from data.errors import UsageError
from data.export.manifest import answer_zip
from data.export.sandbox import run
from data.queries.filters import Filter
from data.queries.ground_truth import labelled, sampled
from data.queries.visibility import RULES, Reader, paths
from data.schema.access import PEOPLE
from data.schema.layout import TABLES, Layout
from data.store.annotations import SHARE, annotate, withdraw
from data.store.store import Store
from data.store.workspace import put_setting
from parts.shared.verdict_form import desk
from tests.app import Open, press, texts
from tests.sandbox_server import Server
from tests.scored import MODEL

# A turn without gold in the logs.
TURN = "d000-0"


def unruled(tables: Mapping[str, Layout]) -> set[str]:
    """Columns, with fields, for which nobody has decided who may see them."""
    return {
        f"{name}.{path}"
        for name, table in tables.items()
        if name not in PEOPLE
        for path in paths(table.schema)
        if name not in RULES or path not in RULES[name].columns
    }


def test_every_column_has_a_rule() -> None:
    assert unruled(TABLES) == set(), "decide who may see these, and add them to RULES"
    gone = {
        f"{name}.{column}"
        for name, rule in RULES.items()
        for column in rule.columns - set(paths(TABLES[name].schema))
    }
    assert gone == set()
    # Statements of users are offered none of who the users are.
    assert not RULES.keys() & set(PEOPLE)


def test_a_new_table_column_or_field_needs_a_rule() -> None:
    turns, views = TABLES["turns"], TABLES["views"]
    gold = turns.schema.field("gold")
    rated = pa.struct([*gold.type, ("scores", pa.list_(pa.struct([("value", pa.int8())])))])
    nested = turns.schema.set(turns.schema.names.index("gold"), pa.field("gold", rated))
    new = {
        **TABLES,
        "ratings": Layout("x", pa.schema([("annotator", pa.string())])),
        "views": replace(views, schema=views.schema.append(pa.field("owner", pa.string()))),
        "turns": replace(turns, schema=nested),
    }
    assert unruled(new) == {"ratings.annotator", "views.owner", "turns.gold.scores.value"}


@pytest.fixture
def blind(own_store: Store) -> Store:
    """A store in which every turn needs a second opinion and bob has judged one."""
    put_setting(own_store, SHARE, 1.0)
    judge(own_store, "bob", "er")
    return own_store


def judge(store: Store, who: str, failure_point: str, **more: Any) -> str:
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns WHERE turn_id = $id", {"id": TURN}
        )
    return annotate(store, rows.to_pylist()[0], who, failure_point, note=f"{who}s note", **more)


See = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def seen() -> Iterator[See]:
    """What a statement answers to somebody, in the sandbox's own code."""
    server = Server({})

    def ask(store: Store, name: str | None, sql: str = "FROM annotations") -> list[Any]:
        with store.snapshot() as snapshot:
            answer = server.run(snapshot, sql, Reader.of(snapshot, name))
        return list(answer.table.to_pylist())

    yield ask
    server.close()


def test_sql_shows_a_waiting_verdict_to_its_annotator_only(blind: Store, seen: See) -> None:
    assert seen(blind, None) == seen(blind, "ann") == seen(blind, "Bob") == []
    assert [row["failure_point"] for row in seen(blind, "bob")] == ["er"]
    joined = "SELECT a.note FROM slice JOIN annotations a USING (turn_id)"
    assert seen(blind, "ann", joined) == []
    assert seen(blind, "bob", joined) == [{"note": "bobs note"}]


def test_sql_shows_both_verdicts_once_both_are_given(blind: Store, seen: See) -> None:
    judge(blind, "ann", "nlu")
    for name in (None, "ann", "bob", "cyd"):
        assert sorted(row["annotator"] for row in seen(blind, name)) == ["ann", "bob"]


def test_sql_shows_what_was_decided_and_what_needs_no_second_opinion(
    blind: Store, seen: See
) -> None:
    decided = judge(blind, "eve", "asr", adjudicated=True)
    assert len(seen(blind, None)) == 2
    withdraw(blind, decided)
    assert seen(blind, None) == []
    put_setting(blind, SHARE, 0.0)
    assert len(seen(blind, None)) == 1


def test_sql_without_a_reader_shows_what_everybody_may_see(blind: Store) -> None:
    with blind.snapshot() as snapshot:
        assert run(snapshot, "FROM annotations").rows == 0
        assert run(snapshot, "SELECT count(*) AS n FROM annotations").table["n"][0].as_py() == 0


@pytest.mark.long
def test_an_older_version_shows_no_more_than_the_newest(blind: Store) -> None:
    version = blind.head().version
    put_setting(blind, SHARE, 0.0)
    open_to_all = blind.head().version
    put_setting(blind, SHARE, 1.0)
    now = desk(str(blind.path))
    for old in (version, open_to_all):
        with blind.snapshot(at=old) as snapshot:
            sql = "FROM annotations"
            assert run(snapshot, sql, reader=now.reader("ann")).rows == 0
            assert run(snapshot, sql, reader=now.reader("bob")).rows == 1


def test_an_error_quotes_no_hidden_value(blind: Store) -> None:
    # DuckDB may evaluate a statement's own condition before that of a view.
    sql = "SELECT turn_id FROM annotations WHERE note::INTEGER = 1"
    with blind.snapshot() as snapshot:
        assert run(snapshot, sql).rows == 0
        with pytest.raises(UsageError, match="bobs note"):
            run(snapshot, sql, reader=Reader.of(snapshot, "bob"))


def test_a_download_of_an_answer_follows_its_reader(blind: Store, tmp_path: Path) -> None:
    with blind.snapshot() as snapshot:
        for name, rows in (("ann", 0), ("bob", 1)):
            to = tmp_path / f"{name}.zip"
            content = answer_zip(
                snapshot, MODEL, Filter(), "FROM annotations", "csv", to,
                reader=Reader.of(snapshot, name),
            )  # fmt: skip
            assert content["rows"] == rows
            with zipfile.ZipFile(io.BytesIO(to.read_bytes())) as pack:
                assert (b"bobs note" in b"".join(map(pack.read, pack.namelist()))) == bool(rows)


def test_a_waiting_verdict_is_part_of_no_figure(blind: Store) -> None:
    # A filter that leaves one turn would make a verdict of its count.
    def truth() -> list[Any]:
        with blind.snapshot() as snapshot:
            rows = labelled(snapshot, MODEL).to_pylist()
        return [row["truth"] for row in rows if row["turn_id"] == TURN]

    assert truth() == []
    judge(blind, "ann", "er")
    assert truth() == ["er"]


def test_a_waiting_verdict_does_not_replace_gold_in_an_estimate(own_store: Store) -> None:
    put_setting(own_store, SHARE, 1.0)

    def truths() -> list[Any]:
        with own_store.snapshot() as snapshot:
            rows = sampled(snapshot, MODEL, Filter())
            assert rows is not None
            return list(rows["truth"].to_pylist())

    with own_store.snapshot() as snapshot:
        gold = snapshot.query("SELECT turn_id, dialogue_id, day FROM labelled LIMIT 1").to_pylist()
    before = truths()
    for turn in gold:
        annotate(own_store, turn, "bob", "false_wake")
        assert truths() == before
        annotate(own_store, turn, "ann", "false_wake")
        assert truths() != before


def test_the_quarantine_keeps_no_verdict(own_store: Store, tmp_path: Path, seen: See) -> None:
    rows = [
        {"turn_id": TURN, "annotator": "bob", "failure_point": "er", "note": "secret", "odd": 1},
        {"turn_id": "gone", "annotator": "bob", "failure_point": "er", "note": "secret"},
        {"turn_id": TURN, "annotator": "bob", "failure_point": "secret"},
        {"turn_id": TURN, "annotator": "bob", "failure_point": "er", "note": ["secret"]},
    ]
    lines = [*map(json.dumps, rows), f'{{"turn_id": "{TURN}", "failure_point": "secret"']
    file = tmp_path / "verdicts.jsonl"
    file.write_text("\n".join(lines))
    assert len(import_annotations(own_store, file, file.name).problems) == 5
    kept = [row for row in seen(own_store, None, "FROM quarantine") if row["file"] == file.name]
    assert [row["line"] for row in kept] == [1, 2, 3, 4, 5]
    for row in kept:
        assert "secret" not in row["excerpt"]
        assert '"er"' not in row["excerpt"]
        # A value that the reason quotes does not stand beside its turn.
        assert not ("secret" in row["reason"] and TURN in row["excerpt"])


def test_the_editor_of_the_page_knows_its_reader(opened: Open, blind: Store) -> None:
    sql = "SELECT note, failure_point FROM annotations"
    at = opened(blind.path, "explore", show="sql", sql=sql)

    def rows(who: str | None) -> str:
        if who:
            at.session_state["annotator_name"] = who
        press(at, "Run")
        for _ in range(200):
            at.run()
            if not any(str(b.key) == "explore-stop" for b in at.button):
                break
        assert not at.exception
        frames = "".join(frame.value.to_string() for frame in at.dataframe)
        return texts(at) + frames

    assert "bobs note" not in rows("ann")
    assert "bobs note" in rows("bob")
    # What bob saw does not stay on the screen for the next person.
    at.session_state["annotator_name"] = "ann"
    at.run()
    assert "bobs note" not in texts(at) + "".join(f.value.to_string() for f in at.dataframe)


def test_agreement_counts_no_hidden_failure_point(opened: Open, blind: Store) -> None:
    at = opened(blind.path, "annotate", task="agreement")

    def row() -> dict[str, Any]:
        table = next(f.value for f in at.dataframe if "Annotator" in f.value.columns)
        return dict(table.iloc[0])

    assert (row()["ER"], row()["Hidden"], row()["All"]) == (0, 1, 1)
    at.session_state["annotator_name"] = "bob"
    at.run()
    assert (row()["ER"], row()["All"]) == (1, 1)
