"""Properties of ingestion over generated records."""

from __future__ import annotations

import json
import tempfile
import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.export.export import export
from data.ingest.ingest import ingest
from data.schema.locales import canonical
from data.schema.trace import (
    CORRECTIONS,
    FAILURE_POINTS,
    RATED,
    STATUSES,
    Turn,
)
from data.store.store import Store
from tests.logs import trace, write_lines

few = settings(max_examples=5, suppress_health_check=list(HealthCheck))


@few
@pytest.mark.long
@given(
    files=st.lists(st.sets(st.integers(0, 6), min_size=1), min_size=2, max_size=3),
    data=st.data(),
)
def test_order_and_repetition_do_not_matter(files: list[set[int]], data: st.DataObject) -> None:
    """The same files in any order, any of them twice, make the same turns."""
    twice = data.draw(st.permutations([*files, data.draw(st.sampled_from(files))]))
    with tempfile.TemporaryDirectory() as folder:
        answers = []
        for attempt, order in enumerate((files, twice)):
            store = Store.create(Path(folder) / f"store{attempt}")
            for number, ids in enumerate(order):
                records = [trace(f"t{n}", started_at=f"2024-05-0{n + 1}T00:00:00Z") for n in ids]
                ingest(store, [write_lines(Path(folder) / f"{attempt}-{number}.jsonl", records)])
            with store.snapshot() as snapshot:
                answers.append(
                    snapshot.query("SELECT turn_id, digest, day FROM turns ORDER BY 1").to_pylist()
                )
        assert answers[0] == answers[1]
        assert len(answers[0]) == len(set.union(*files))


def _values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type of the wire format."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        meta = args[1]
        if meta.pattern:
            choices = meta.pattern.strip("^()$").split("|")
            known = (STATUSES, FAILURE_POINTS, ("yes", "no"), RATED, CORRECTIONS)
            assert tuple(choices) in known
            return st.sampled_from(choices)
        if args[0] is float:
            return st.floats(0, 1)
        if args[0] is int:
            return st.integers(0, 2**31 - 1)
        if args[0] is datetime:
            zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
            return st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=zones)
        return st.text(min_size=1)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([_values(part) for part in args])
    if origin is list:
        return st.lists(_values(args[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), _values(args[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return st.builds(kind, **{name: _values(hint) for name, hint in hints.items()})
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=8),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        type(None): st.none(),
        Any: st.one_of(st.text(max_size=5), st.none(), st.integers(0, 9),
                       st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2)),
    }  # fmt: skip
    return simple[kind]


def _plain(turn: Turn) -> Any:
    """A turn as plain values, with slot values and items as the store keeps them."""

    def mend(value: Any, inside: str = "") -> Any:
        if isinstance(value, dict):
            if inside == "slots[]" and not isinstance(value.get("value"), str | None):
                # How a number is spelled is free; that it is the same number is not.
                value = {**value, "value": json.dumps(value["value"])}
            return {key: mend(item, key) for key, item in value.items()}
        if isinstance(value, list):
            if inside == "items":
                return [
                    v if isinstance(v, str | None) else json.dumps(v, sort_keys=True) for v in value
                ]
            return [mend(item, inside + "[]") for item in value]
        return value

    plain = msgspec.to_builtins(turn)
    if isinstance(plain.get("locale"), str):
        # Stored in its canonical form.
        plain["locale"] = canonical(plain["locale"])
    return mend(plain)


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, str) and isinstance(b, str) and a != b:
        try:
            return bool(json.loads(a) == json.loads(b))
        except ValueError:
            return False
    return bool(a == b)


def _consistent(turn: Turn) -> Turn:
    """`turn` without gold that contradicts itself, which is refused."""
    gold = turn.gold
    if gold is not None:
        if gold.corrects == turn.turn_id:
            gold.corrects = None
        if gold.corrects is None:
            gold.correction = None
        for rating in gold.ratings or ():
            if rating.of == "boundary" and rating.value is not None:
                rating.value = float(rating.value > 0)
    return turn


_TURNS = _values(Turn).map(_consistent)


@few
@given(turns=st.lists(_TURNS, min_size=1, max_size=12, unique_by=lambda turn: turn.turn_id))
def test_any_turn_survives_the_way_in_and_out(turns: list[Turn]) -> None:
    """Validator and converter agree: what the one lets pass, the other keeps as it was."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "store")
        lines = [msgspec.json.encode(turn) for turn in turns]
        report = ingest(store, [write_lines(Path(folder) / "in.jsonl", list(lines))])
        assert (report.turns, report.quarantined) == (len(turns), 0)
        with store.snapshot() as snapshot:
            export(snapshot, "turns", Path(folder) / "out.jsonl")
        out = (Path(folder) / "out.jsonl").read_bytes().splitlines()
        stored = {}
        for line in out:
            record = json.loads(line)
            # The store keeps it among the fields that have no column.
            record["home_id"] = (record.pop("extra") or {}).get("home_id")
            turn = msgspec.convert(record, Turn)
            stored[turn.turn_id] = turn
        for turn in turns:
            copy = stored[turn.turn_id]
            assert copy.started_at == turn.started_at
            copy.started_at = turn.started_at
            assert _close(_plain(copy), _plain(turn))
        # What was exported is what was there: nothing changes when it is ingested.
        assert ingest(store, [Path(folder) / "out.jsonl"]).replaced <= _spelled(turns)


def _spelled(turns: list[Turn]) -> int:
    """Turns with a value that the store keeps as text, and that therefore comes back as text."""
    return sum(b'"value"' in (t := msgspec.json.encode(turn)) or b'"items"' in t for turn in turns)
