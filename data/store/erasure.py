"""Where a deleted turn has left something beside its own rows: texts that name it, and models.

Quarantined lines, saved views, notes, settings and the names of ingested files are texts, in which
ids are looked for as whole words. Models keep probabilities and explanations of their training
turns, which are removed; what they have learned from a turn goes only when they are trained again.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.store.durability import replacing
from data.store.model_folders import DRAFT, amend
from data.store.privacy import MARK
from data.store.rerun import rerun
from data.store.retention_policy import NAME as RETENTION
from data.store.snapshot import Snapshot, literal
from data.store.transaction import Cycle

if TYPE_CHECKING:
    from data.store.store import Store

# An id of fewer characters is too likely to be a word or a number of something else; it counts
# only in quotes, or after a key that ends in `id`.
_SHORT = 6
# Characters of a quarantined line that are kept; earlier versions cut it just there.
EXCERPT = 2_000
# Where a line was cut; its ids follow in brackets, if it has any.
CUT = "…"
# What stands where a name was.
GONE = "(deleted)"
# Files that a training writes for a moment; one this old was left behind by a killed process.
_DEAD_S = 3600.0

# Axis of the turns in each array of a model's `shap.npz` that has one.
_TURN_AXES = {"turn_ids": 0, "x": 0, "values": 1}
_EXPLAINED, _HELD_OUT = "shap.npz", "held_out.parquet"

# The words of a text by which it may name something: strings in double quotes (decoded as JSON) or
# single quotes, values of keys that end in `id`, parameters of an address, and longer bare words.
_WORDS = rf"""
SELECT DISTINCT text, unnest(list_concat(
    [coalesce(TRY_CAST(s AS JSON) ->> '$', s[2:-2])
        FOR s IN regexp_extract_all(text, '"(?:[^"\\]|\\.)*"')],
    regexp_extract_all(text, '''([^'']*)''', 1),
    regexp_extract_all(text, '(?i)id["'']?\s*[:=]\s*["'']?([^\s"'',;&}}\])]+)', 1),
    regexp_extract_all(text, '(?:^|[?&\s])\w+=([^&\s]+)', 1),
    [w FOR w IN regexp_split_to_array(text, '[\s,;:"''=<>|&?(){{}}\[\]\\/]+')
        IF len(w) >= {_SHORT}],
    [w FOR w IN regexp_split_to_array(text, '[/\\.]') IF len(w) >= {_SHORT}]
)) AS word
FROM texts WHERE text IS NOT NULL
"""
_NAMING = f"""
WITH words AS ({_WORDS})
SELECT text FROM words SEMI JOIN ids ON word = id
UNION
SELECT text FROM texts WHERE EXISTS (SELECT 1 FROM needles WHERE contains(text, needle))
"""
# Excerpts that were cut, and do not say by their ids whose line it was.
_ANYBODYS = rf"""
ends_with(excerpt, '{CUT}')
    OR (len(excerpt) >= {EXCERPT} AND NOT regexp_matches(excerpt, '{CUT} \([^)]*\)$'))
"""
# Settings that name nobody stay, whatever they look like: redaction and retention could lapse
# without them, and a report be mailed twice.
_OF_NOBODY = ", ".join(map(literal, (MARK, RETENTION, "weekly_report_sent")))
_NAME_OF_SETTING = f"CASE WHEN name NOT IN ({_OF_NOBODY}) THEN name END"
_SETTING = f"CASE WHEN name NOT IN ({_OF_NOBODY}) THEN value END"
# An address is stored encoded.
_DECODED = "url_decode(replace(query, '+', ' '))"


class Eraser:
    """Removes what names some ids from the texts of a store, within one write cycle.

    Parameters
    ----------
    given: ids as somebody gave them; they are looked for in every form. ids: all ids, those of the
        deleted turns and of dialogues without a turn left too (a column `id`).
    """

    def __init__(self, cycle: Cycle, given: Iterable[str], ids: pa.Table) -> None:
        self.cycle = cycle
        self.removed: Counter[str] = Counter()
        self._ids = ids
        self._given = sorted(set(given))
        self._needles = pa.table({"needle": pa.array(_needles(self._given), pa.string())})

    def everywhere(self) -> dict[str, int]:
        """Go through all tables of texts; returns how much was removed, by what it was."""
        self._quarantine()
        self._delete("views", ("name", "note", _DECODED, "query"), "saved views")
        self._delete("settings", (_NAME_OF_SETTING, _SETTING), "settings")
        self._delete("triage", ("slice",), "decisions on slices")
        for column in ("note", "link", "owner", "version"):
            self._blank("triage", column, "NULL", "notes on slices")
        self._delete("tickets", ("url", "key", "status"), "states of tickets")
        self._delete("alerts", ("name", _DECODED, "query", "sentence"), "alerts")
        self._blank("alerts", "acknowledged_by", "NULL", "who acknowledged alerts")
        self._blank("annotations", "note", "NULL", "notes of annotators")
        self._blank("judge_verdicts", "reason", "NULL", "reasons of judges")
        self._blank("rewrites", "reason", "'deleted'", "reasons of decisions on rewrites")
        self._delete("preferences", ("name", "value", "said"), "preferences")
        self._annotators()
        self._blank("runs", "file", f"'{GONE}'", "names of ingested files")
        self._blank("runs", "unknown_fields", "'{}'", "names of unknown fields")
        self._blank("left_out", "file", f"'{GONE}'", "names of ingested files")
        # Keys of `signals` are part of a field's path, and a log's own.
        self._blank("left_out", "field", f"'{GONE}'", "names of fields")
        for column in ("object", "details"):
            self._blank("audit", column, f"'{GONE}'", "texts of the audit")
        return {what: rows for what, rows in self.removed.items() if rows}

    def _quarantine(self) -> None:
        self._delete("quarantine", ("excerpt", "reason", "field", "file"), "quarantined lines")
        if self._ids.num_rows:
            self._replace("quarantine", _ANYBODYS, "excerpt", "''", "excerpts of cut lines")

    def _annotators(self) -> None:
        """Somebody who annotates may be a user as well; their verdicts stay, without a name."""
        given = {"given": pa.table({"id": pa.array(self._given, pa.string())})}
        name = f"'deleted-{uuid.uuid4().hex[:6]}'"
        condition = "annotator IN (SELECT id FROM given)"
        self._replace("annotations", condition, "annotator", name, "names of annotators", given)
        condition = "decided_by IN (SELECT id FROM given)"
        self._replace("rewrites", condition, "decided_by", name, "names of deciders", given)
        # Who is erased has no role any more; what they did stays, without a name.
        self.removed["roles of people"] += self.cycle.delete_rows(
            "users", "address IN (SELECT id FROM given)", given
        )
        condition = "given_by IN (SELECT id FROM given)"
        self._replace("users", condition, "given_by", name, "names of admins", given)
        condition = "who IN (SELECT id FROM given)"
        self._replace("audit", condition, "who", name, "names in the audit", given)

    def _naming(self, table: str, expression: str) -> pa.Table:
        """The distinct values of an SQL expression over a table that name one of the ids."""
        if not self.cycle.files(table):
            return pa.table({"text": pa.array([], pa.string())})
        with self.cycle.snapshot(table) as snapshot:
            texts = snapshot.query(f"SELECT DISTINCT {expression} AS text FROM {table}")
            known = {"texts": texts, "ids": self._ids, "needles": self._needles}
            return snapshot.query(_NAMING, tables=known)

    def _delete(self, table: str, columns: Sequence[str], what: str) -> None:
        for column in columns:
            hits = self._naming(table, column)
            if hits.num_rows:
                condition = f"{column} IN (SELECT text FROM hits)"
                self.removed[what] += self.cycle.delete_rows(table, condition, {"hits": hits})

    def _blank(self, table: str, column: str, value: str, what: str) -> None:
        hits = self._naming(table, column)
        if hits.num_rows:
            condition = f"{column} IN (SELECT text FROM hits)"
            self._replace(table, condition, column, value, what, {"hits": hits})

    def _replace(
        self,
        table: str,
        condition: str,
        column: str,
        value: str,
        what: str,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> None:
        """Set a column to an SQL value in the rows for which a condition is true."""
        if not self.cycle.files(table):
            return
        with self.cycle.snapshot(table) as snapshot:
            sql = f"SELECT * REPLACE ({value} AS {column}) FROM {table} WHERE {condition}"
            rows = snapshot.query(sql, tables=tables)
        if rows.num_rows:
            self.cycle.delete_rows(table, condition, tables)
            self.cycle.append(table, rows)
            self.removed[what] += rows.num_rows


def _needles(ids: Iterable[str]) -> list[str]:
    """The texts by which an id is found in a text: as a JSON string, and as a string of SQL, and
    bare if it is too long to match by chance."""
    needles: set[str] = set()
    for value in ids:
        needles |= {json.dumps(value), json.dumps(value, ensure_ascii=False)}
        needles.add(literal(value))
        if len(value) >= _SHORT:
            needles.add(value)
    return sorted(needles)


# -- models ----------------------------------------------------------------------------------------


@rerun
def forget_in_all_models(store: Store) -> int:
    """Remove from all models what they keep of turns that the store no longer has; the rows."""
    # A local store's models can be changed while others write to its tables.
    with store.writing_files() if store.mirror else nullcontext(), store.snapshot() as snapshot:
        return sum(
            forget_in_models(models, snapshot) for models in (store.models, store.label_models)
        )


def forget_in_models(models: Path, snapshot: Snapshot) -> int:
    """Remove from all model folders what they keep of turns that the store no longer has.

    Returns the number of rows removed. Files of killed trainings are removed as a whole.
    """
    removed = 0
    for folder in (path for path in models.glob("*") if path.is_dir()):
        _remove_drafts(folder)
        home = folder / "model" if folder.name.startswith(DRAFT) else folder
        if folder.name.startswith(DRAFT) and not _is_old(folder):
            continue
        removed += _forget_held_out(home, snapshot) + _forget_explained(home, snapshot)
    return removed


def _remove_drafts(folder: Path) -> None:
    for path in folder.glob(".*"):
        if path.is_file() and _is_old(path):
            path.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - _DEAD_S
    except FileNotFoundError:
        return False


def _present(turn_ids: pa.Array[Any], snapshot: Snapshot) -> np.ndarray:
    """Which of some turn ids the store has, bool (n,)."""
    ids = pa.table(
        {"place": pa.array(np.arange(len(turn_ids))), "turn_id": turn_ids.cast(pa.string())}
    )
    rows = snapshot.query(
        "SELECT place FROM ids SEMI JOIN turns USING (turn_id)", tables={"ids": ids}
    )
    present = np.zeros(len(turn_ids), bool)
    present[rows["place"].to_numpy()] = True
    return present


def _forget_held_out(folder: Path, snapshot: Snapshot) -> int:
    path = folder / _HELD_OUT
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException):
        # There is none, or it is damaged, which is for those to say who read the model.
        return 0
    present = _present(table["turn_id"].combine_chunks(), snapshot)
    if present.all():
        return 0
    draft = folder / f".{_HELD_OUT}.{uuid.uuid4().hex[:8]}"
    try:
        pq.write_table(table.filter(pa.array(present)), draft, compression="zstd")
        amend(folder, _HELD_OUT, draft)
    finally:
        draft.unlink(missing_ok=True)
    return int((~present).sum())


def _forget_explained(folder: Path, snapshot: Snapshot) -> int:
    path = folder / _EXPLAINED
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays: dict[str, Any] = dict(archive)
        turn_ids = arrays["turn_ids"].astype(str)
    except (OSError, ValueError, KeyError, EOFError):
        return 0
    present = _present(pa.array(turn_ids, pa.string()), snapshot)
    if present.all():
        return 0
    if not present.any():
        path.unlink()
        return len(present)
    for name, axis in _TURN_AXES.items():
        arrays[name] = np.compress(present, arrays[name], axis=axis)
    # A text array keeps the width of its longest.
    arrays["turn_ids"] = np.array(arrays["turn_ids"].tolist())
    arrays["paired"] = np.array(min(int(arrays["paired"]), int(present.sum())))
    with replacing(path) as draft, draft.open("wb") as target:
        np.savez_compressed(target, **arrays)
    return int((~present).sum())


# -- words -----------------------------------------------------------------------------------------

# Texts that people or judges wrote, and how each is called.
_WRITTEN = f"""
SELECT 'the view ' || name AS place, {_DECODED} || ' ' || coalesce(note, '') AS text FROM views
UNION ALL
SELECT 'the alert ' || name AS place, name AS text FROM alerts
UNION ALL
SELECT 'the note on ' || slice, concat_ws(' ', note, link) FROM triage
UNION ALL
SELECT 'the note of ' || annotator || ' on ' || turn_id, note FROM annotations
UNION ALL
SELECT 'the reason of ' || annotator || ' on ' || turn_id, reason FROM judge_verdicts
"""
_WRITTEN_IN = ("views", "alerts", "triage", "annotations", "judge_verdicts")
_SPLIT = r"regexp_extract_all(lower({text}), '[\p{{L}}\p{{M}}\p{{N}}_-]{{4,}}')"
_SPOKEN = "to_json({asr: asr, result: result, prompt: prompt, er: er, gold: gold})::VARCHAR"
_WRITTEN_WORDS = f"SELECT place, unnest({_SPLIT.format(text='text')}) AS word FROM ({_WRITTEN})"
_OWN_WORDS = f"""
WITH written AS MATERIALIZED ({_WRITTEN_WORDS}),
theirs AS MATERIALIZED (
    SELECT DISTINCT word FROM (
        SELECT unnest({_SPLIT.format(text=_SPOKEN)}) AS word FROM turns SEMI JOIN deleted
            USING (turn_id)
    ) SEMI JOIN written USING (word)
)
FROM theirs ANTI JOIN (
    SELECT unnest({_SPLIT.format(text=_SPOKEN)}) AS word FROM turns ANTI JOIN deleted
        USING (turn_id)
    WHERE EXISTS (FROM theirs)
) USING (word)
"""


def own_words(cycle: Cycle, deleted: pa.Table) -> pa.Table:
    """The words (`word`) of views and notes that only the turns `deleted` (`turn_id`) have."""
    with cycle.snapshot("turns", *_WRITTEN_IN) as snapshot:
        if not any(snapshot.counts()[name] for name in _WRITTEN_IN):
            return pa.table({"word": pa.array([], pa.string())})
        return snapshot.query(_OWN_WORDS, tables={"deleted": deleted})


def written_with(cycle: Cycle, words: pa.Table) -> list[str]:
    """Views and notes with one of some words.

    They name no turn, so that only a person can tell whether they speak of one.
    """
    sql = f"SELECT DISTINCT place FROM ({_WRITTEN_WORDS}) SEMI JOIN words USING (word) ORDER BY 1"
    with cycle.snapshot(*_WRITTEN_IN) as snapshot:
        places = snapshot.query(sql, tables={"words": words})
    return [str(place) for place in places["place"].to_pylist()]
