"""Generated labels as a file: a row per turn (JSONL or Parquet), or BIO tags to train a tagger."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import UsageError, machine_error
from data.export.manifest import manifest, manifest_of, write_manifest
from data.queries.filters import Filter
from data.queries.generated_labels import SURE
from data.schema.scripts import MARKS, UNSPACED
from data.schema.trace import schema
from data.store.durability import replacing

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

FORMATS = ("rows", "bio")
SUFFIXES = (".jsonl", ".parquet")
# Tasks whose labels may be held back below a probability: columns of the file.
TASKS = ("goal_start", "goal_reached", "turn_defect", "intent", "slots")
_STR = pa.string()
_SLOTS = pa.list_(pa.struct([("name", _STR), ("value", _STR)]))
ROWS = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("goal_id", _STR),
        ("goal_start", pa.float32()),
        ("goal_reached", pa.float32()),
        ("turn_defect", pa.float32()),
        ("intent", _STR),
        ("slots", _SLOTS),
        ("confidence", pa.float32()),
    ]
)
# `spans`: where a value stands in the text, in characters. `elsewhere`: slots whose value is not in
# the words of the request.
BIO = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("text", _STR),
        ("tokens", pa.list_(_STR)),
        ("tags", pa.list_(_STR)),
        (
            "spans",
            pa.list_(
                pa.struct(
                    [("name", _STR), ("value", _STR), ("start", pa.int32()), ("end", pa.int32())]
                )
            ),
        ),
        ("elsewhere", _SLOTS),
        ("intent", _STR),
        ("confidence", pa.float32()),
    ]
)
# A word, or one letter of a script that is written without spaces, with its marks.
_TOKEN = re.compile(
    rf"[{UNSPACED}][{MARKS}]*|"
    rf"[^\W{UNSPACED}](?:[^\W{UNSPACED}]|[{MARKS}])*(?:['’](?:\w|[{MARKS}])+)*|[^\w\s]"
)
_BATCH = 20_000


def export_labels(
    snapshot: Snapshot,
    to: str | Path,
    *,
    form: str = "rows",
    least: Mapping[str, float] | None = None,
    chosen: Filter | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Write the generated labels of a snapshot, and their manifest beside them.

    Parameters
    ----------
    to: a file ending in .jsonl or .parquet.
    form: ``rows`` (`ROWS`) or ``bio`` (`BIO`: only turns whose slots are known, as
        none would be learned elsewhere).
    least: task of `TASKS` → the probability below which a label is left out (null), in [0, 1].
    chosen: only turns that `model` (the promoted one by default) scored and that this filter
        keeps; all turns by default.

    Labels of turns that have changed since are left out. Returns the manifest, with
    the numbers of `unlabelled` and `changed` turns of the store. Raises UsageError for another
    ending, form, task or probability, for a store without generated labels, and for a file that
    cannot be written.
    """
    target = Path(to).expanduser()
    least = dict(least or {})
    _check(target, form, least)
    if not snapshot.counts()["generated_labels"]:
        raise UsageError(
            "The store has no generated labels; make some with: faultline labels train, then "
            "faultline labels generate"
        )
    sql, params = _query(form, least, chosen, model or snapshot.model)
    columns = ROWS if form == "rows" else BIO
    try:
        with replacing(target) as draft:
            rows = _write(snapshot, sql, params, draft, target.suffix.lower(), form)
            content = manifest(
                draft,
                snapshot,
                name=target.name,
                rows=rows,
                columns=[(field.name, str(field.type)) for field in columns],
                sql=sql,
                parameters=params,
                words=chosen.caption() if chosen else "all turns",
                model=_model(snapshot),
            )
            content |= {
                "format": target.suffix.lower().removeprefix("."),
                "form": form,
                "thresholds": {name: float(value) for name, value in sorted(least.items())},
                **_stale(snapshot),
            }
        write_manifest(target, content)
    except OSError as error:
        raise machine_error(error, target) or UsageError(
            f"Cannot write {target}: {error.strerror}."
        ) from error
    return content


def _check(target: Path, form: str, least: Mapping[str, float]) -> None:
    if form not in FORMATS:
        raise UsageError(f"There is no format '{form}'; give {' or '.join(FORMATS)}.")
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"Cannot export to '{target.name}'; its name must end in {' or '.join(SUFFIXES)}."
        )
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"Cannot write {target}; give a file in a folder that exists.")
    beside = manifest_of(target)
    if beside.is_dir():
        raise UsageError(
            f"Cannot write the manifest {beside}, as there is a folder of this name; give another "
            "file."
        )
    for name, value in least.items():
        if name not in TASKS:
            raise UsageError(f"There is no task '{name}'; give some of {', '.join(TASKS)}.")
        if not 0 <= value <= 1:
            raise UsageError(f"The threshold of {name} is {value:g}; give 0 to 1.")


def _query(
    form: str, least: Mapping[str, float], chosen: Filter | None, model: str | None
) -> tuple[str, dict[str, Any]]:
    """The statement of the rows, in the order of the dialogues, and its parameters."""
    params: dict[str, Any] = {f"least_{name}": float(value) for name, value in least.items()}
    columns = {name: name for name in (*ROWS.names, "spans", "turn_index", "day", "digest")}
    sure = dict(SURE)
    for name in least:
        kept = f"{SURE[name]} >= $least_{name}"
        columns[name] = f"CASE WHEN {kept} THEN {name} END"
        sure[name] = f"CASE WHEN {kept} THEN {SURE[name]} END"
    # A first turn begins a goal in any case, which says nothing of the row.
    sure["goal_start"] = f"CASE WHEN goal_start < 1 THEN {sure['goal_start']} END"
    columns["confidence"] = f"least({', '.join(sure.values())})"
    listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    rows = f"SELECT {listed} FROM generated_labels"
    if chosen is not None:
        clause, values = chosen.where()
        params |= {"model": model, **values}
        rows += (
            " WHERE turn_id IN (SELECT turn_id FROM predictions WHERE model_id = $model AND "
            f"{clause})"
        )
    # A turn that has changed since may have said something else.
    unchanged = (
        "JOIN turns t ON t.turn_id = g.turn_id AND t.day = g.day "
        "AND coalesce(t.digest = g.digest, true)"
    )
    order = "ORDER BY g.dialogue_id, g.turn_index, g.turn_id"
    if form == "rows":
        listed = ", ".join(f"g.{name}" for name in ROWS.names)
        return f"SELECT {listed} FROM ({rows}) g {unchanged} {order}", params
    return (
        "SELECT g.turn_id, g.dialogue_id, t.asr.hypotheses[1].text AS text, g.slots, "
        f"g.spans AS places, g.intent, g.confidence FROM ({rows}) g {unchanged} "
        f"WHERE g.slots IS NOT NULL {order}"
    ), params


def _write(
    snapshot: Snapshot, sql: str, params: Mapping[str, Any], draft: Path, suffix: str, form: str
) -> int:
    columns = ROWS if form == "rows" else BIO
    written = 0
    batches = snapshot.batches(sql, params or None, _BATCH)
    tables = (_tagged(batch) if form == "bio" else _cast(batch) for batch in batches)
    if suffix == ".parquet":
        with pq.ParquetWriter(draft, columns, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
                written += table.num_rows
        return written
    with draft.open("wb") as file:
        for table in tables:
            file.writelines(orjson.dumps(_brief(row)) + b"\n" for row in table.to_pylist())
            written += table.num_rows
    return written


def _cast(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch]).select(ROWS.names).cast(ROWS)


def _brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """Probabilities with the digits that they have as single-precision numbers."""
    return {
        name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()
    }


def _tagged(batch: pa.RecordBatch) -> pa.Table:
    rows = []
    for row in batch.to_pylist():
        tagged = tag(row["text"] or "", row.pop("slots"), row.pop("places"))
        rows.append({**row, "text": row["text"] or "", **tagged})
    return pa.Table.from_pylist(rows, BIO)


def tag(
    text: str,
    slots: Sequence[Mapping[str, Any]],
    places: Sequence[Mapping[str, int] | None] | None = None,
) -> dict[str, Any]:
    """BIO tags (Ramshaw and Marcus 1995) of a text's tokens for slots whose values stand in it.

    `places`: the characters (start, end) of each slot's value, whatever words say it ("seven" for
    7), None for one whose place is not known. Such a value is looked for word by word, whatever its
    case; the longest values first, each at its first place that is still free. Returns `tokens`,
    `tags`, `spans` (name, value, start and end in characters, in the order of the text) and
    `elsewhere`, the slots whose value is not in the text.
    """
    matches = list(_TOKEN.finditer(text))
    tokens = [match[0] for match in matches]
    folded = [token.casefold() for token in tokens]
    begins = {match.start(): i for i, match in enumerate(matches)}
    ends = {match.end(): i + 1 for i, match in enumerate(matches)}
    tags = ["O"] * len(tokens)
    spans, elsewhere = [], []
    both = zip(slots, places if places is not None else [None] * len(slots), strict=True)
    for slot, place in sorted(both, key=lambda b: (b[1] is None, -len(str(b[0]["value"] or "")))):
        value = [match[0].casefold() for match in _TOKEN.finditer(str(slot["value"] or ""))]
        first, last = None, None
        if place is not None:
            first, last = begins.get(place["start"]), ends.get(place["end"])
        if first is None or last is None or not _free(tags[first:last]):
            first = next(_places(folded, tags, value), None)
            last = None if first is None else first + len(value)
        if first is None or last is None:
            elsewhere.append({"name": slot["name"], "value": slot["value"]})
            continue
        tags[first:last] = [f"B-{slot['name']}"] + [f"I-{slot['name']}"] * (last - first - 1)
        start, end = matches[first].start(), matches[last - 1].end()
        spans.append({"name": slot["name"], "value": text[start:end], "start": start, "end": end})
    spans.sort(key=lambda span: span["start"])
    return {"tokens": tokens, "tags": tags, "spans": spans, "elsewhere": elsewhere}


def _free(tags: Sequence[str]) -> bool:
    return bool(tags) and all(tag == "O" for tag in tags)


def _places(tokens: Sequence[str], tags: Sequence[str], value: Sequence[str]) -> Iterator[int]:
    for at in range(len(tokens) - len(value) + 1 if value else 0):
        if _free(tags[at : at + len(value)]) and list(tokens[at : at + len(value)]) == list(value):
            yield at


def _stale(snapshot: Snapshot) -> dict[str, int]:
    """How many turns have no label yet, and how many have changed since they got one."""
    rows = snapshot.query(_STALE).to_pylist()
    return {name: int(rows[0][name] or 0) for name in ("unlabelled", "changed")}


_STALE = """
SELECT count(*) FILTER (g.turn_id IS NULL) AS unlabelled,
  count(*) FILTER (g.digest <> t.digest) AS changed
FROM turns t LEFT JOIN generated_labels g ON g.turn_id = t.turn_id AND g.day = t.day
"""


def _model(snapshot: Snapshot) -> str | None:
    rows = snapshot.query("SELECT any_value(model_id) AS model FROM generated_labels")
    model: str | None = rows["model"][0].as_py()
    return model
