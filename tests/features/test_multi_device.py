"""Which turns are one request that several devices heard, and which are not."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from classifiers.context_digest import digests_sql, plan_sql
from classifiers.settings import Settings
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.ingest.validation import Notes, check
from data.schema.trace import TURNS
from data.store.store import Store
from features.multi_device import PLACED, neighbours_sql, shared_sql
from tests.logs import trace, write_lines
from tests.turns import START, table, turn

FIELD = Path(__file__).parents[2].parent / "shared" / "field" / "S02_devices.jsonl"
WORDS = "turn on the family room lights"
ALIKE = "turn on the room lights"


def heard(name: str, text: str = WORDS, after: float = 0, **fields: Any) -> dict[str, Any]:
    """A turn of a dialogue of its own, by user `u` on a device of its own."""
    record = turn(0, name, heard=[(text, 0.9)], started_at=START + timedelta(seconds=after))
    base: dict[str, Any] = {"assistant": "a", "user_id": "u", "locale": "en-GB"}
    return record | base | {"device": {"type": "speaker", "id": name}} | fields


def captures(*records: dict[str, Any], within: float = 1.5) -> list[int | None]:
    """How many devices heard each of the turns."""
    return [row[0] for row in _rows(*records, within=within)]


def _rows(*records: dict[str, Any], within: float = 1.5) -> list[tuple[int | None, int | None]]:
    from features.matrix import open_frame

    with open_frame(table(*records), "hindsight", within) as con:
        rows = con.sql("SELECT turn_id, n_captures, capture_answered FROM frame").fetchall()
    by_id = {row[0]: row[1:] for row in rows}
    return [by_id[record["turn_id"]] for record in records]


@pytest.mark.parametrize("after", [0, 0.003, 0.9, 1.4, 1.5])
@pytest.mark.parametrize("text", [WORDS, ALIKE])
def test_a_second_device_may_begin_later_and_hear_a_little_else(after: float, text: str) -> None:
    assert captures(heard("a"), heard("b", text, after)) == [2, 2]


@pytest.mark.parametrize(
    ("text", "after", "fields"),
    [
        ("what time is it", 0.8, {}),
        ("what time is it", 0, {}),
        ("play jazz in the kitchen", 0.4, {}),
        ("", 0.4, {}),
        (WORDS, 1.6, {}),
        (WORDS, 5, {}),
        (WORDS, 0.4, {"user_id": "v"}),
        (WORDS, 0.4, {"assistant": "b"}),
        (WORDS, 0.4, {"device": {"type": "speaker", "id": "a"}}),
        (WORDS, 0.4, {"device": {"type": "speaker", "id": "a", "state": {"oven": "on"}}}),
        (WORDS, 0, {"device": {"type": "speaker", "id": "a", "has_screen": True}}),
        (WORDS, 0.4, {"dialogue_id": "a", "turn_index": 1}),
    ],
)
def test_what_is_another_request(text: str, after: float, fields: dict[str, Any]) -> None:
    assert captures(heard("a"), heard("b", text, after, **fields)) == [None, None]


def test_the_window_is_a_setting() -> None:
    pair = [heard("a"), heard("b", after=0.9)]
    assert captures(*pair, within=0) == [None, None]
    assert captures(*pair, within=1) == [2, 2]
    assert captures(heard("a"), heard("b", after=3), within=4) == [2, 2]
    assert Settings.of("live", 0, devices_within=0.5).devices_within == 0.5
    with pytest.raises(UsageError, match="give 0 to 5"):
        Settings.of("live", 0, devices_within=60)


def test_a_model_of_before_the_window_compares_instants() -> None:
    content = Settings().to_json()
    del content["devices_within"]
    assert Settings.from_json(content).devices_within == 0


def test_devices_without_an_id() -> None:
    """Nobody says a request twice in half a second; a second apart it may be one device."""
    unnamed: dict[str, Any] = {"device": {"type": "speaker"}}
    assert captures(heard("a", **unnamed), heard("b", after=0.3, **unnamed)) == [2, 2]
    assert captures(heard("a", **unnamed), heard("b", after=1.2, **unnamed)) == [None, None]
    assert captures(heard("a", device=None), heard("b", after=0.3, device=None)) == [2, 2]
    # Two kinds of device are two devices.
    assert captures(heard("a", **unnamed), heard("b", after=1.2, device={"type": "tv"})) == [2, 2]
    # Who spoke is unknown as well: nothing says that it was one person.
    nobody = unnamed | {"user_id": None}
    assert captures(heard("a", **nobody), heard("b", after=0.3, **nobody)) == [None, None]


def test_a_home_counts_whoever_its_devices_take_the_speaker_for() -> None:
    home: dict[str, Any] = {"extra": '{"home_id": "h"}'}
    other: dict[str, Any] = {"extra": '{"home_id": "i"}'}
    assert captures(heard("a", **home), heard("b", after=1, user_id="v", **home)) == [2, 2]
    assert captures(heard("a", **home), heard("b", after=1, user_id=None, **home)) == [2, 2]
    assert captures(heard("a", user_id=None, **home), heard("b", user_id=None, **other)) == [
        None,
        None,
    ]
    # The same user in two homes at once is two people with one account.
    assert captures(heard("a", **home), heard("b", after=1, **other)) == [None, None]
    # Only one of the devices knows its home.
    assert captures(heard("a", **home), heard("b", after=1)) == [2, 2]


def test_without_home_and_user_little_traffic_is_asked_for() -> None:
    nobody: dict[str, Any] = {"user_id": None}
    pair = [heard("a", **nobody), heard("b", after=1, **nobody)]
    assert captures(*pair) == [2, 2]
    assert captures(pair[0], pair[1] | {"locale": "de-DE"}) == [None, None]
    busy = [heard(f"t{i}", "next", 10 + 5 * i, **nobody) for i in range(4)]
    assert captures(*pair, *busy)[:2] == [None, None]
    # A user's own traffic is not chance.
    assert captures(*[row | {"user_id": "u"} for row in (*pair, *busy)])[:2] == [2, 2]


def test_one_account_for_everybody_is_traffic() -> None:
    assert set(captures(*[heard(f"d{i}", after=i / 10) for i in range(5)])) == {None}


@pytest.mark.parametrize("reverse", [False, True])
def test_one_of_them_answered(reverse: bool) -> None:
    silent: dict[str, Any] = {"result": {"status": "no_match"}}
    spoke: dict[str, Any] = {"result": {"status": "ok", "response": "Done."}}
    late = [heard("a", **silent), heard("b", after=1, **spoke)]
    first = [heard("c", after=60, **spoke), heard("d", after=61, **spoke)]
    tie = [heard("e", after=120, **spoke), heard("f", after=120, **spoke)]
    records = [*late, *first, *tie]
    rows = dict(zip([r["turn_id"] for r in records], _rows(*records), strict=True))
    again = _rows(*(records[::-1] if reverse else records))
    assert again == list(rows.values())[:: -1 if reverse else 1]
    assert [answered for _, answered in rows.values()] == [0, 1, 1, 0, 1, 0]


def test_a_dialogue_is_paired_turn_by_turn() -> None:
    """Two devices hear two requests of which the second repeats the first, a second later."""
    records = [
        heard(name, "stop", after, turn_id=f"{name}{i}", dialogue_id=name, turn_index=i)
        for i, (first, second) in enumerate([(0, 0.1), (1.0, 1.1)])
        for name, after in (("a", first), ("b", second))
    ]
    assert captures(*records) == [2, 2, 2, 2]


def test_two_devices_of_the_field() -> None:
    if not FIELD.exists():
        pytest.skip(f"the cases from the field are missing: {FIELD}")
    import msgspec

    records = [msgspec.json.decode(line) for line in FIELD.read_bytes().splitlines()]
    from datetime import datetime

    for record in records:
        record["started_at"] = datetime.fromisoformat(record["started_at"])
    assert captures(*records) == [2] * len(records)


# -- in the store ----------------------------------------------------------------------------------


def test_a_home_is_kept_and_is_not_an_unknown_field(store: Store, tmp_path: Path) -> None:
    notes = Notes()
    known = check(b'{"turn_id": "t", "dialogue_id": "d", "turn_index": 0, "home_id": "h",'
                  b' "started_at": "2024-05-01T09:30:00Z", "new": 1}', notes)  # fmt: skip
    assert notes.unknown == {"new": 1}
    assert known.extra == '{"home_id":"h","new":1}'
    log = write_lines(tmp_path / "l.jsonl", [trace("t", home_id="h"), trace("bad", home_id=5)])
    (report,) = ingest(store, [log]).files
    assert (report.turns, report.quarantined, report.unknown) == (1, 1, {})
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT extra FROM turns").to_pylist() == [
            {"extra": '{"home_id":"h"}'}
        ]


def test_a_change_on_the_other_device_makes_a_turn_stale(store: Store, tmp_path: Path) -> None:
    def digest() -> dict[str, int]:
        with store.snapshot() as snapshot:
            rows = snapshot.query(f"SELECT * FROM ({digests_sql('hindsight')})").to_pylist()
        return {str(row["turn_id"]): int(row["context_digest"]) for row in rows}

    def send(*records: dict[str, Any]) -> None:
        ingest(store, [write_lines(tmp_path / "log.jsonl", list(records))])

    fields: dict[str, Any] = {"user_id": "u", "locale": "en"}
    send(
        trace("a", dialogue_id="a", **fields),
        trace("far", dialogue_id="far", **fields, started_at="2024-05-01T09:31:00Z"),
    )
    before = digest()
    near = trace("b", dialogue_id="b", **fields, started_at="2024-05-01T09:30:01Z")
    send(near)
    after = digest()
    assert after["a"] != before["a"]
    assert after["far"] == before["far"]
    send(near | {"asr": {"hypotheses": [{"text": "stop"}]}})
    assert digest()["a"] != after["a"]


@pytest.mark.long
def test_batches_and_the_whole_store_agree(store: Store, tmp_path: Path) -> None:
    """However the turns are cut into batches, each is scored with what the store decides."""
    from classifiers.context_digest import BATCH_SQL, with_captures
    from features.matrix import open_frame

    rng = np.random.default_rng(1)
    records = [
        trace(
            f"t{i}",
            dialogue_id=f"d{i}",
            started_at=(START + timedelta(seconds=float(second))).isoformat(),
            device={"id": f"v{i}"},
            user_id=[None, "u0", "u1"][rng.integers(0, 3)],
            asr={"hypotheses": [{"text": str(rng.choice(["stop", "stop it", "next"]))}]},
        )
        for i, second in enumerate(np.sort(rng.integers(0, 60_000, 80)) / 1000)
    ]
    ingest(store, [write_lines(tmp_path / "log.jsonl", records)])
    sql = "SELECT turn_id, n_captures FROM frame"
    with store.snapshot() as snapshot:
        with open_frame(snapshot.query("FROM turns"), "hindsight") as con:
            whole = dict(con.sql(sql).fetchall())
        plan = snapshot.query(plan_sql("hindsight"), {"model": "m", "all": True, "batch": 9})
        batched: dict[str, int] = {}
        for part in set(plan["part"].to_pylist()):
            rows = plan.filter(pc.field("part") == part)
            turns = snapshot.query(
                BATCH_SQL,
                {"low": START.date(), "high": START.date()},
                tables={"batch": rows.select(["dialogue_id"]),
                        "shared": rows.filter(rows["shared"]).select(["turn_id", "capture_us"])},
            )  # fmt: skip
            with open_frame(with_captures(turns, rows), "hindsight") as con:
                found = dict(con.sql(sql).fetchall())
            batched |= {name: found[name] for name in map(str, rows["turn_id"].to_pylist())}
    assert sum(count is not None for count in whole.values()) > 20
    assert batched == whole


@pytest.mark.parametrize("dialogues", [4, 100_000])
def test_a_burst_does_not_cost_its_square(dialogues: int) -> None:
    """300,000 turns of one second: pairs would be 4.5e10."""
    n = 300_000
    rng = np.random.default_rng(0)
    columns = {name: pa.nulls(n, TURNS.field(name).type) for name in PLACED}
    columns |= {
        "turn_id": pa.array(np.arange(n).astype(str)),
        "dialogue_id": pa.array(rng.integers(0, dialogues, n).astype(str)),
        "started_at": pa.array(rng.integers(0, 10**6, n), pa.timestamp("us", tz="UTC")),
        "digest": pa.array(np.arange(n)),
    }
    began = time.monotonic()
    with duckdb.connect() as con:
        con.register("turns", pa.table(columns))
        con.execute(f"CREATE TABLE shared AS {shared_sql('turns')}")
        rows = con.sql(f"SELECT count(*) FROM ({neighbours_sql('shared', 'turns')})").fetchall()
    assert rows == [(0,)]
    assert time.monotonic() - began < 30
