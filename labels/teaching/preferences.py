"""What users taught, in the store: stored with provenance, listed, edited, forgotten, counted.

When something was edited or forgotten stays in the store (`PREFERENCE_CHANGES`), so that a lesson
that logs still have does not undo it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.counted import number
from data.errors import UsageError
from data.schema.tables import PREFERENCE_CHANGES, PREFERENCES
from data.store.annotations import PATIENCE_S
from data.store.paths import printable
from data.store.rerun import rerun
from labels.teaching.dialogue import Lesson
from labels.teaching.phrases import DEVICES, phrase_key

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store
    from data.store.transaction import Cycle

_LIST = """
SELECT * FROM preferences
WHERE ($user::VARCHAR IS NULL OR user_id = $user)
    AND ($at::TIMESTAMPTZ IS NULL OR expires_at IS NULL OR expires_at > $at)
ORDER BY user_id, kind, name, scope, preference_id
"""
# Rows that were taught in turns of which at least one is there.
_PRESENT = """
SELECT g.* FROM given g
WHERE EXISTS (SELECT 1 FROM turns t WHERE list_contains(g.turn_ids, t.turn_id))
"""
_DEVICE_TYPES = """
SELECT DISTINCT device.type AS scope FROM turns WHERE device.type IS NOT NULL
UNION SELECT DISTINCT scope FROM preferences
"""
# Names and values of more characters are refused.
LONGEST = 500
# Device types that an error lists.
_LISTED = 12


def preference_id(user_id: str, assistant: str | None, scope: str, kind: str, name: str) -> str:
    """The id of what a user taught: the same thing taught again replaces it. 16 hex digits."""
    parts = "\x1f".join((user_id, assistant or "", scope, kind, phrase_key(name)))
    return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()


def row_of(
    lesson: Lesson, user_id: str, at: datetime, assistant: str | None = None
) -> dict[str, Any]:
    """A row of `PREFERENCES`.

    Raises UsageError where user, name or value are empty, or name or value too long.
    """
    name, value = lesson.name.strip(), lesson.value.strip()
    for what, text in (("user", user_id.strip()), ("name", name), ("value", value)):
        if not text:
            raise UsageError(f"What is taught needs a {what}; the one given is empty.")
    _must_be_short("name", name)
    _must_be_short("value", value)
    return {
        "preference_id": preference_id(user_id, assistant, lesson.scope, lesson.kind, name),
        "user_id": user_id,
        "assistant": assistant,
        "scope": lesson.scope,
        "kind": lesson.kind,
        "name": name,
        "value": value,
        "said": lesson.said[:LONGEST] or None,
        "turn_ids": list(lesson.turn_ids),
        "created_at": at,
        "expires_at": None if lesson.lasts is None else at + lesson.lasts,
        "used": 0,
        "last_used_at": None,
    }


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table of schema `PREFERENCES`."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=PREFERENCES)


@rerun
def put(store: Store, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Store what was taught, in place of what was taught of the same; returns the ids."""
    table = table_of(rows)
    with store.commit(PATIENCE_S) as cycle:
        _put(cycle, table)
    return [str(name) for name in table["preference_id"].to_pylist()]


def preferences(
    snapshot: Snapshot, user_id: str | None = None, at: datetime | None = None
) -> pa.Table:
    """Rows of `PREFERENCES`: of one user or of all; only those that hold at a time, if given."""
    return snapshot.query(_LIST, {"user": user_id, "at": at})


@rerun
def edit(
    store: Store,
    chosen: str,
    *,
    value: str | None = None,
    scope: str | None = None,
    expires_at: datetime | timedelta | None = None,
    keep: bool = False,
) -> dict[str, Any]:
    """Change what was taught; returns the row as it is now.

    Parameters
    ----------
    chosen: its id. expires_at: a time, or how long from now. keep: it does not expire any more.

    Raises
    ------
    UsageError: there is no such row, the value is empty or too long, the scope is no device type of
        the store, or the same was taught for that scope, too; nothing changes then.
    """
    if value is not None:
        value = value.strip()
        if not value:
            raise UsageError("The new value is empty; give one, or forget the preference instead.")
        _must_be_short("value", value)
    with store.commit(PATIENCE_S) as cycle:
        row = _one(cycle, chosen)
        moved = chosen
        if scope is not None and (scope := scope.strip() or "user") != row["scope"]:
            moved = _moved(cycle, row, scope)
        if value is not None:
            row["value"] = value
        if expires_at is not None:
            row["expires_at"] = (
                datetime.now(UTC) + expires_at if isinstance(expires_at, timedelta) else expires_at
            )
        if keep:
            row["expires_at"] = None
        at = datetime.now(UTC)
        remove(cycle, [row], at)
        if scope is not None:
            row |= {"scope": scope, "preference_id": moved}
        _put(cycle, table_of([row]))
        _note(cycle, [row], at, forgotten=False)
        return row


@rerun
def forget(
    store: Store,
    preference_ids: Iterable[str] = (),
    *,
    user_id: str | None = None,
    name: str | None = None,
) -> int:
    """Forget what was taught: by id, or all of a user's, or what a user taught by a name.

    Returns how many rows went.

    Raises
    ------
    UsageError: nothing says which, ids come with a user or a name, or there are no rows with some
        of the ids; nothing goes then.
    """
    ids = set(preference_ids)
    if not ids and user_id is None:
        raise UsageError("Say what to forget: ids of preferences, or a user.")
    if ids and (user_id is not None or name is not None):
        raise UsageError(
            "Ids say all of what to forget; give either ids, or a user and, if need be, a name."
        )
    with store.commit(PATIENCE_S) as cycle:
        with cycle.snapshot("preferences") as snapshot:
            rows = snapshot.query(
                "SELECT preference_id, user_id, name, created_at FROM preferences"
            ).to_pylist()
        if missing := sorted(ids - {row["preference_id"] for row in rows}):
            raise _not_there(missing)
        wanted = None if name is None else phrase_key(name)
        gone = [
            row
            for row in rows
            if row["preference_id"] in ids
            or (user_id is not None and row["user_id"] == user_id
                and (wanted is None or phrase_key(row["name"]) == wanted))
        ]  # fmt: skip
        return remove(cycle, gone, datetime.now(UTC))


def remove(cycle: Cycle, rows: Sequence[Mapping[str, Any]], at: datetime) -> int:
    """Remove rows of `PREFERENCES` in a commit, and note when; returns how many went.

    Of a row, its preference_id, user_id and created_at are enough.
    """
    ids = pa.array([row["preference_id"] for row in rows], pa.string())
    removed = cycle.delete_rows(
        "preferences", "preference_id IN (SELECT id FROM gone)", {"gone": pa.table({"id": ids})}
    )
    _note(cycle, rows, at, forgotten=True)
    return removed


@rerun
def take_over(
    store: Store,
    lessons: Iterable[Mapping[str, Any]],
    forgotten: Mapping[tuple[str, str], datetime],
) -> tuple[int, int]:
    """Take over what logs say was taught and forgotten; returns how much of either is new.

    What is in the store counts for more: a lesson that is no newer than the last change of what the
    store has of it, or than its being forgotten, only raises how often the same lesson was used.
    A lesson whose turns are not in the store any more is left out.

    Parameters
    ----------
    lessons: rows of `PREFERENCES`. forgotten: (user, phrase key of the name) → when it was
    forgotten in the logs; what was changed later is kept.
    """
    lessons = list(lessons)
    if not lessons and not forgotten:
        return 0, 0
    with store.commit(PATIENCE_S) as cycle:
        with cycle.snapshot("preferences", "preference_changes", "turns") as snapshot:
            given = snapshot.query(_PRESENT, tables={"given": table_of(lessons)}).to_pylist()
            rows = snapshot.query("SELECT * FROM preferences").to_pylist()
            changes = snapshot.query("SELECT preference_id, changed_at FROM preference_changes")
        settled = {row["preference_id"]: row["changed_at"] for row in changes.to_pylist()}
        held = {}
        gone: dict[datetime, list[dict[str, Any]]] = {}
        for row in rows:
            chosen = row["preference_id"]
            settled[chosen] = max(row["created_at"], settled.get(chosen, row["created_at"]))
            at = forgotten.get((row["user_id"], phrase_key(row["name"])))
            if at is not None and at >= settled[chosen]:
                gone.setdefault(at, []).append(row)
                settled[chosen] = at
            else:
                held[chosen] = row
        for at, some in gone.items():
            remove(cycle, some, at)
        new = [
            row
            for row in given
            if (last := settled.get(row["preference_id"])) is None or row["created_at"] > last
        ]
        taken = {row["preference_id"] for row in new}
        counted = [
            _used_most(mine, row)
            for row in given
            if row["preference_id"] not in taken
            and (mine := held.get(row["preference_id"]))
            and mine["created_at"] == row["created_at"]
            and mine["used"] < row["used"]
        ]
        if new or counted:
            _put(cycle, table_of([*new, *counted]))
        return len(new), sum(map(len, gone.values()))


def _used_most(mine: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the store with the uses that the logs have seen more of."""
    times = [at for at in (mine["last_used_at"], logged["last_used_at"]) if at is not None]
    return {**mine, "used": logged["used"], "last_used_at": max(times, default=None)}


@rerun
def count_uses(store: Store, uses: Mapping[str, int], at: datetime) -> int:
    """Add to how often preferences were used, by id; returns how many of them there are."""
    given = {name: number for name, number in uses.items() if number > 0}
    if not given:
        return 0
    tables = {"given": pa.table({"id": pa.array(list(given), pa.string()),
                                 "n": pa.array(list(given.values()), pa.int64())})}  # fmt: skip
    with store.commit(PATIENCE_S) as cycle:
        with cycle.snapshot("preferences") as snapshot:
            rows = snapshot.query(
                "SELECT p.* REPLACE (coalesce(p.used, 0) + g.n AS used,"
                " greatest(p.last_used_at, $at) AS last_used_at)"
                " FROM preferences p JOIN given g ON g.id = p.preference_id",
                {"at": at},
                tables=tables,
            )
        if rows.num_rows:
            _put(cycle, rows.cast(PREFERENCES))
        return rows.num_rows


def _one(cycle: Cycle, chosen: str) -> dict[str, Any]:
    with cycle.snapshot("preferences") as snapshot:
        rows = snapshot.query(
            "SELECT * FROM preferences WHERE preference_id = $id", {"id": chosen}
        ).to_pylist()
    if not rows:
        raise _not_there([chosen])
    return rows[0]


def _not_there(ids: Sequence[str]) -> UsageError:
    named = " or ".join(f"'{printable(one)}'" for one in ids)
    return UsageError(
        f"There is no preference {named} in the store; list them with: faultline preferences list"
    )


def _must_be_short(what: str, text: str) -> None:
    if len(text) > LONGEST:
        raise UsageError(
            f"The {what} has {number(len(text))} characters; give one of at most {LONGEST}."
        )


def _moved(cycle: Cycle, row: Mapping[str, Any], scope: str) -> str:
    """The id of a row in another scope; raises UsageError for a scope that it cannot have."""
    with cycle.snapshot("preferences", "turns") as snapshot:
        seen = {str(name) for name in snapshot.query(_DEVICE_TYPES)["scope"].to_pylist()}
        types = {name for name in (*seen, *DEVICES.values()) if name.isprintable()} - {"user"}
        if scope not in (*types, "user"):
            listed = ", ".join(sorted(types)[:_LISTED]) + (", …" if len(types) > _LISTED else "")
            raise UsageError(
                f"'{printable(scope)}' is no device type of the store; give user, for everywhere, "
                f"or one of: {listed}."
            )
        moved = preference_id(row["user_id"], row["assistant"], scope, row["kind"], row["name"])
        other = snapshot.query(
            "SELECT value FROM preferences WHERE preference_id = $id", {"id": moved}
        ).to_pylist()
    if other:
        raise UsageError(
            f"{row['user_id']} taught '{row['name']}' for the scope '{scope}', too: it is "
            f"'{other[0]['value']}' there ({moved}). Forget or edit that one instead."
        )
    return moved


def _note(
    cycle: Cycle, rows: Sequence[Mapping[str, Any]], at: datetime, *, forgotten: bool
) -> None:
    """Note that rows were changed, in place of what was noted of them before."""
    noted = [
        {
            "preference_id": row["preference_id"],
            "user_id": row["user_id"],
            # The clock of the logs may be ahead; whoever changes a row has seen it.
            "changed_at": max(at, row["created_at"]),
            "forgotten": forgotten,
        }
        for row in rows
    ]
    if noted:
        _put(cycle, pa.Table.from_pylist(noted, PREFERENCE_CHANGES), "preference_changes")


def _put(cycle: Cycle, rows: pa.Table, name: str = "preferences") -> None:
    """Write rows in place of those with the same ids."""
    cycle.delete_rows(name, "preference_id IN (SELECT preference_id FROM given)", {"given": rows})
    cycle.append(name, rows)
