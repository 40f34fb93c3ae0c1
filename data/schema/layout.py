"""Which tables a store holds, how each is partitioned, and which letter names it in a version
string."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from data.errors import VersionGone
from data.schema.tables import (
    ALERTS,
    ANNOTATIONS,
    ANNOTATIONS_ADDED,
    AUDIT,
    FEEDBACK,
    GENERATED_LABELS,
    GENERATED_LABELS_ADDED,
    GOALS,
    JUDGE_VERDICTS,
    JUDGED,
    LABELLED,
    LEFT_OUT,
    MISDATED,
    PREDICTIONS,
    PREFERENCE_CHANGES,
    PREFERENCES,
    QUARANTINE,
    REWRITE_OUTCOMES,
    REWRITES,
    ROLLUP,
    RUNS,
    RUNS_ADDED,
    SETTINGS,
    TARGETS,
    TICKETS,
    TRIAGE,
    USERS,
    VIEWS,
)
from data.schema.trace import ORDER, TURNS

# 2: predictions repeat the columns that filters use; the roll-up has sums of squares.
FORMAT = 2


@dataclass(frozen=True)
class Layout:
    """One table on disk: its schema, partition columns, and letter in a version string.

    A table without a letter is in no version string.
    `order` is the sort order inside a file: the rows of one dialogue are adjacent, so a page that
    opens a dialogue reads one row group. `added` are columns that files of earlier versions lack:
    they are null in their rows. `grown` are nested columns of which files of earlier versions lack
    some fields, null in their rows too.
    """

    letter: str
    schema: pa.Schema
    partition: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    grown: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.schema.names)

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns stored in the Parquet files; partition values are in the path."""
        return tuple(name for name in self.schema.names if name not in self.partition)


# A new table is added here; stores made before it existed open as if it were empty.
TABLES: Mapping[str, Layout] = {
    "turns": Layout("t", TURNS, ("day",), ("dialogue_id", *ORDER), grown=("gold",)),
    "predictions": Layout("p", PREDICTIONS, ("day", "model_id"), ("dialogue_id", *ORDER)),
    "rollup": Layout("r", ROLLUP, ("model_id",), ("day",)),
    "judged": Layout("h", JUDGED, ("model_id",), ("day", "turn_id")),
    "quarantine": Layout("q", QUARANTINE, (), ("file", "line")),
    "left_out": Layout("o", LEFT_OUT, (), ("file", "field")),
    "runs": Layout("u", RUNS, (), ("started_at",), RUNS_ADDED),
    "labelled": Layout("l", LABELLED, (), ("dialogue_id", "turn_id")),
    "annotations": Layout("a", ANNOTATIONS, (), ("turn_id", "created_at"), ANNOTATIONS_ADDED),
    "judge_verdicts": Layout("j", JUDGE_VERDICTS, (), ("annotator", "turn_id")),
    "triage": Layout("g", TRIAGE, (), ("slice",)),
    "tickets": Layout("i", TICKETS, (), ("url",)),
    "alerts": Layout("c", ALERTS, (), ("alert_id",)),
    "targets": Layout("b", TARGETS, (), ("failure_point",)),
    "views": Layout("v", VIEWS, (), ("name",)),
    "misdated": Layout("m", MISDATED, (), ("day", "turn_id")),
    "settings": Layout("s", SETTINGS, (), ("name",)),
    "rewrites": Layout("w", REWRITES, (), ("assistant", "request", "user_id", "rewrite_id")),
    "rewrite_outcomes": Layout("x", REWRITE_OUTCOMES, (), ("rewrite_id", "day")),
    "feedback": Layout("f", FEEDBACK, ("day",), ("dialogue_id", "turn_id")),
    "goals": Layout("d", GOALS, (), ("day", "dialogue_id", "goal_id")),
    "generated_labels": Layout(
        "n",
        GENERATED_LABELS,
        ("day",),
        ("dialogue_id", "turn_index", "turn_id"),
        GENERATED_LABELS_ADDED,
    ),
    "preferences": Layout("y", PREFERENCES, (), ("user_id", "preference_id")),
    "preference_changes": Layout("k", PREFERENCE_CHANGES, (), ("user_id", "preference_id")),
    # Who may see the store is no part of what it shows: versions leave these out, and so do the
    # snapshots at a version.
    "users": Layout("", USERS, (), ("address",)),
    "audit": Layout("", AUDIT, (), ("happened_at",)),
}

_PART = re.compile(r"([a-z]+)(\d+)")


def version_text(versions: Mapping[str, int]) -> str:
    """The version string of a set of table versions, e.g. `t12.p9.r9.u3`, without version 0."""
    parts = [(table.letter, versions.get(name, 0)) for name, table in TABLES.items()]
    named = [f"{letter}{number}" for letter, number in parts if letter and number]
    return ".".join(named) or "t0"


def parse_version(text: str) -> dict[str, int]:
    """The table versions that a version string names; 0 (empty) for tables it leaves out.

    Raises `VersionGone` for any other text.
    """
    by_letter = {table.letter: name for name, table in TABLES.items()}
    versions = dict.fromkeys(TABLES, 0)
    for part in text.split("."):
        match = _PART.fullmatch(part)
        if match is None or match[1] not in by_letter:
            raise VersionGone(
                f"'{text}' is not a version of this store; a version looks like "
                f"'t12.p9.r9.u3' and is shown at the foot of every page."
            )
        versions[by_letter[match[1]]] = int(match[2])
    return versions
