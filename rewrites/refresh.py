"""Mine a store, replay its later sessions, and record both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from data.errors import UsageError
from data.ingest.ingest import ingest
from data.parallel import Engine
from data.schema.tables import REWRITE_OUTCOMES
from data.store.part_files import Parts, keeping
from data.store.rewrites import PROPOSED, replace_proposed
from data.store.store import Store
from data.store.temporary import scratch
from data.store.workspace import put_setting
from labels.feedback.sessions import GAP_S, friction
from labels.feedback.shards import friction_by
from progress import Progress, portion, silent
from rewrites.candidates import candidates, failing_points
from rewrites.interpretations import Counts, total
from rewrites.mining import Settings, from_counts
from rewrites.outcomes import (
    SETTING,
    SHARE,
    Evaluation,
    days_of,
    evaluate,
    gold_of,
    in_use,
    new_rows,
)
from rewrites.self_aware import restated
from rewrites.success import Success, estimate

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


# What was ever approved may have executed turns; of several for one request, the likeliest did.
_DECIDED = "SELECT * FROM rewrites WHERE state <> $proposed ORDER BY score DESC, rewrite_id"


@dataclass(frozen=True, slots=True)
class Report:
    """What was mined: turns and sessions read; rewrites for everybody, for single users, and now in
    the store; and the evaluation (None where there is one day only)."""

    turns: int
    sessions: int
    general: int
    personal: int
    in_store: int
    evaluation: Evaluation | None


def refresh(
    store: Store,
    settings: Settings | None = None,
    *,
    gap_s: float = GAP_S,
    since: date | None = None,
    until: date | None = None,
    share: float = SHARE,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> Report:
    """Mine the sessions of a store that begin on the days `since` to `until`, and record them.

    `engine`: where sessions are read, instead of this process. Raises UsageError if there are no
    turns in these days.
    """
    # Until the commit: the sessions that were read are kept if anything fails before.
    with keeping(store, "sessions", engine) as parts:
        return _refreshed(store, settings, gap_s, since, until, share, progress, parts)


def _refreshed(
    store: Store,
    settings: Settings | None,
    gap_s: float,
    since: date | None,
    until: date | None,
    share: float,
    progress: Progress,
    parts: Parts | None,
) -> Report:
    with store.snapshot() as snapshot:
        read = portion(progress, 0.0, 0.5)
        tables = _read(store, snapshot, gap_s, since, until, read, parts)
        gold = gold_of(snapshot)
        if not tables:
            raise UsageError(
                "There are no turns to mine rewrites from"
                + (" in these days; choose others." if since or until else "; ingest logs first.")
            )
        progress(0.5, 1.0, "mining")
        counted = total(Counts.of(table) for table in tables)
        success = estimate(counted)
        decided = snapshot.query(_DECIDED, {"proposed": PROPOSED}).to_pandas()
        used = in_use(tables, counted, success, decided) if len(decided) else None
        evidence = tables
        if used is not None:
            evidence = [restated(table, used.rewrites, used.better) for table in tables]
        if any(after is not before for after, before in zip(evidence, tables, strict=True)):
            counted = total(Counts.of(table) for table in evidence)
            success = estimate(counted)
        mined = from_counts(counted, settings, success)
        progress(0.7, 1.0, "describing the rewrites")
        turns = pd.concat([_retries(table, counted, success) for table in evidence])
        blamed = failing_points(snapshot, mined.rows["request"])
        rows = candidates(mined, counted, success, turns, blamed, datetime.now(UTC))
        progress(0.8, 1.0, "replaying later sessions")
        # As it is logged: what later turns say of a rewrite must not decide how they are replayed.
        several = len(days_of(tables)) > 1
        evaluation = evaluate(tables, gold, settings=settings, share=share) if several else None
    replayed = evaluation.outcomes if evaluation else REWRITE_OUTCOMES.empty_table()
    progress(0.95, 1.0, "recording")
    outcomes = [replayed] if used is None else [replayed, used.outcomes]
    states = {} if used is None else used.states
    in_store = replace_proposed(store, rows, pa.concat_tables(outcomes), states)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"at": at, "share": share, **evaluation.record()} if evaluation else None
    put_setting(store, SETTING, record)
    progress(1.0, 1.0, "recording")
    own = rows.num_rows - rows["user_id"].null_count
    sessions = sum(len(table["session"].unique()) for table in tables)
    return Report(
        sum(table.num_rows for table in tables),
        sessions,
        rows.num_rows - own,
        own,
        in_store,
        evaluation,
    )


def evaluation_of(
    store: Store,
    *,
    share: float = SHARE,
    gap_s: float = GAP_S,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> Evaluation:
    """Mine the first `share` of the days of a store and replay the rest; records nothing.

    `engine`: as in `refresh`. Raises UsageError if there are no turns, or of one day only.
    """
    with keeping(store, "sessions", engine) as parts:
        with store.snapshot() as snapshot:
            read = portion(progress, 0.0, 0.6)
            tables = _read(store, snapshot, gap_s, None, None, read, parts)
            gold = gold_of(snapshot)
        progress(0.6, 1.0, "replaying later sessions")
        evaluation = evaluate(tables, gold, share=share)
    progress(1.0, 1.0, "replaying later sessions")
    return evaluation


def rows_for_new_texts(
    store: Store, logs: Sequence[Path], *, gap_s: float = GAP_S, progress: Progress = silent
) -> pa.Table:
    """Rewrites of the texts of other logs that the store's sessions never heard.

    Returns rows of `rewrites.mining.REWRITES` with the method "neighbour"; none for most texts.
    """
    with store.snapshot() as snapshot:
        tables = _read(store, snapshot, gap_s, None, None, portion(progress, 0.0, 0.6), None)
    counted = total(Counts.of(table) for table in tables)
    mined = from_counts(counted)
    progress(0.7, 1.0, "reading the new texts")
    with scratch("faultline-texts-") as folder:
        other = Store.create(folder / "store")
        ingest(other, list(logs))
        with other.snapshot() as snapshot:
            asked = pa.concat_tables(friction(snapshot, gap_s=gap_s)).to_pandas()
    progress(0.9, 1.0, "looking for neighbours")
    return new_rows(mined, asked)


def _read(
    store: Store,
    snapshot: Snapshot,
    gap_s: float,
    since: date | None,
    until: date | None,
    progress: Progress,
    parts: Parts | None,
) -> list[pa.Table]:
    """The tables of `friction`, with progress by turns."""
    tables: list[pa.Table] = []
    done, turns = 0, snapshot.counts()["turns"]
    if parts is None:
        found = friction(snapshot, gap_s=gap_s, since=since, until=until)
    else:
        found = friction_by(parts, store, snapshot, gap_s=gap_s, since=since, until=until)
    for table in found:
        tables.append(table)
        done += table.num_rows
        progress(done, turns, "turns", done)
    return tables


def _retries(table: pa.Table, counted: Counts, success: Success) -> pd.DataFrame:
    """The turns of a table, with the probability that each failed and was said again."""
    turns = table.select(["turn_id", "assistant", "text", "user_id"]).to_pandas()
    turns["retried"] = success.retried[counted.cell_of(table)]
    return turns
