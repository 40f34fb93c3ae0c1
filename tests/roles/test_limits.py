"""Every table shows each role what is theirs, whatever the query; new columns need a decision."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest

from data.errors import NotPermitted
from data.queries.visibility import Reader
from data.schema.access import ACTIONS, EVERYTHING, MAY, ROLES, SHOWN, WRITES, Access
from data.schema.layout import TABLES
from data.store.annotations import SHARE, annotate, annotate_all, wants_second
from data.store.store import Store
from data.store.workspace import put_setting, set_triage
from tests.canaries import ASSISTANTS, TURNS, of, turn, words_in

KITCHEN = Access("analyst", assistants=("kitchen",))
BRITISH = Access("analyst", locales=("en-GB",))


def seen(store: Store, access: Access) -> dict[str, set[str]]:
    """The words that each table shows."""
    with Store.open(store.path, access=access).snapshot() as snapshot:
        return {name: words_in(str(snapshot.query(f'FROM "{name}"').to_pylist()))
                for name in TABLES}  # fmt: skip


def test_every_column_is_decided_on() -> None:
    decided = {name: shown.open | shown.ids | shown.hidden for name, shown in SHOWN.items()}
    assert decided == {name: set(table.columns) for name, table in TABLES.items()}
    assert WRITES.keys() <= TABLES.keys()
    assert set(WRITES.values()) <= set(ACTIONS)
    for lower, higher in pairwise(ROLES):
        assert MAY[lower] < MAY[higher]


def test_viewers_see_no_text_and_no_id(canary_store: Store) -> None:
    whole, shown = seen(canary_store, EVERYTHING), seen(canary_store, Access("viewer"))
    assert len({word for words in whole.values() for word in words}) > 100
    assert {word for words in shown.values() for word in words} == set()
    with Store.open(canary_store.path, access=Access("viewer")).snapshot() as snapshot:
        joined = snapshot.query("SELECT count(*) AS n FROM turns JOIN predictions USING (turn_id)")
        assert joined["n"].to_pylist() == [TURNS * len(ASSISTANTS)]


@pytest.mark.parametrize("access", [KITCHEN, BRITISH, Access("triager", ("kitchen",), ("en-GB",))])
def test_limits_hold_in_every_table(canary_store: Store, access: Access) -> None:
    shown = seen(canary_store, access)
    assert of("car", {word for words in shown.values() for word in words}) == set()
    # What is theirs is all there.
    whole = seen(canary_store, EVERYTHING)
    for table in ("turns", "predictions", "annotations", "generated_labels", "goals"):
        assert shown[table] == of("kitchen", whole[table]), table
    with Store.open(canary_store.path, access=access).snapshot() as snapshot:
        assert snapshot.counts()["turns"] == TURNS
        assert snapshot.counts()["quarantine"] == 0
        assert sum(snapshot.rows_by_day("turns").values()) == TURNS


def test_nobodys_limits_show_nothing(canary_store: Store) -> None:
    for access in (Access("analyst", ("none' OR true --",)), Access("analyst", (), ("",))):
        shown = seen(canary_store, access)
        assert {word for words in shown.values() for word in words} == set()


def test_earlier_versions_are_limited_too(canary_store: Store) -> None:
    version = "t1.p1.r1"
    with Store.open(canary_store.path, access=KITCHEN).snapshot(version) as snapshot:
        assert snapshot.counts()["turns"] == TURNS
        assert of("car", words_in(str(snapshot.query("FROM turns").to_pylist()))) == set()


def test_without_limits_the_views_are_plain(canary_store: Store) -> None:
    with canary_store.snapshot() as snapshot:
        rows = snapshot.query("SELECT sql FROM duckdb_views() WHERE view_name = 'turns'")
    assert "md5" not in str(rows.to_pylist())
    assert "WHERE assistant" not in str(rows.to_pylist())


@pytest.mark.parametrize("access", [KITCHEN, Access("viewer", ("kitchen",))])
def test_a_part_of_a_snapshot_shows_as_much_as_the_whole(
    canary_store: Store, access: Access
) -> None:
    """Whatever a table's rule reads is opened with it."""
    store = Store.open(canary_store.path, access=access)
    with store.snapshot() as snapshot:
        whole = {name: snapshot.query(f'FROM "{name}"').num_rows for name in TABLES}
    assert whole["annotations"]
    for name in TABLES:
        with store.snapshot(only=(name,)) as snapshot:
            assert snapshot.query(f'FROM "{name}"').num_rows == whole[name], name


def test_a_verdict_that_waits_is_hidden_from_viewers_too(own_canaries: Store) -> None:
    """They see pseudonyms, by which nobody can say which turns wait."""
    ids = [turn("kitchen", number) for number in range(TURNS)]
    waiting = [name for name in ids if wants_second(name, 0.3)]
    assert len(waiting) > 3
    put_setting(own_canaries, SHARE, 0.3)
    with own_canaries.snapshot() as snapshot:
        rows = snapshot.query("SELECT turn_id, dialogue_id, day FROM turns").to_pylist()
    before = Store.open(own_canaries.path, access=Access("viewer")).snapshot()
    annotate_all(own_canaries, [row for row in rows if row["turn_id"] in waiting], "bob", "asr")
    with before, Store.open(own_canaries.path, access=Access("viewer")).snapshot() as after:
        assert after.query("FROM annotations").num_rows > before.query("FROM annotations").num_rows
        assert Reader.of(after).read(after).num_rows <= Reader.of(before).read(before).num_rows
    put_setting(own_canaries, SHARE, 0)
    with Store.open(own_canaries.path, access=Access("viewer")).snapshot() as snapshot:
        assert Reader.of(snapshot).read(snapshot).num_rows >= len(waiting)


def test_changes_are_refused_by_the_store_itself(own_canaries: Store) -> None:
    with own_canaries.snapshot() as snapshot:
        at = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns WHERE turn_id = $turn",
            {"turn": turn("kitchen", 3)},
        ).to_pylist()[0]
    before = own_canaries.head()
    viewer = Store.open(own_canaries.path, access=Access("viewer"))
    with pytest.raises(NotPermitted, match="role triager"):
        annotate(viewer, at, "eve", "asr")
    triager = Store.open(own_canaries.path, access=Access("triager"))
    for table in ("users", "views", "runs", "audit"):
        with pytest.raises(NotPermitted), triager.commit() as cycle:
            cycle.append(table, pa.Table.from_pylist([{}], TABLES[table].schema))
    with pytest.raises(NotPermitted):
        triager.promote("model-a")
    with pytest.raises(NotPermitted, match="turns that you may not see"):
        set_triage(Store.open(own_canaries.path, access=KITCHEN), "asr:device=phone", "asr")
    assert own_canaries.head() == before
    annotate(triager, at, "tom", "asr")
    set_triage(Store.open(own_canaries.path, access=KITCHEN), "asr:assistant=kitchen", "asr")
    assert own_canaries.head() != before
