"""Proof of deletion: a log of what was removed from a store, from where, and when.

`deletions.jsonl` in the store's folder, to which each deletion, retention, vacuum and repair that
goes back appends one line. It does not name whom it was about: of each id it has a salted hash, by
which somebody who knows the id finds its deletion. Each line has the SHA-256 of the line before it,
so that a line that was changed or taken out is noticed; lines cut off at the end are not.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from data.errors import HeadMoved, StoreDamaged, VersionGone
from data.schema.layout import parse_version
from data.software import version
from data.store.durability import sync
from data.store.remote.publication import Publication
from data.store.rerun import rerun

if TYPE_CHECKING:
    from data.store.store import Store

NAME = "deletions.jsonl"
# Kind of an id: what stands for a user who was asked for by their own.
PSEUDONYM = "pseudonym"


@dataclass(frozen=True)
class Records:
    """What the log says.

    Attributes
    ----------
    rows: of deletions and retentions, oldest first, each with `files_gone`: when a vacuum has
    removed the files that had the rows; None if none has yet; `undone`: when a repair of the store
    went back to before it, so that its rows are there again; None if none has; and `repeated`: when
    it was carried out once more after that. vacuums, repairs: likewise. problem: what is wrong with
    the log; None if it is whole.
    """

    rows: list[dict[str, Any]]
    vacuums: list[dict[str, Any]]
    repairs: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None


def record_deletion(
    store: Store,
    what: str,
    asked: Mapping[str, Sequence[str]] | Mapping[str, int],
    tables: Mapping[str, int],
    removed: Mapping[str, int],
    left: Mapping[str, Sequence[str]],
    versions: tuple[str, str],
) -> None:
    """Append what a deletion has done, once it is visible.

    Parameters
    ----------
    what: "delete" or "retain". asked: ids by their kind, or the number of days. tables: rows
    removed from each table. removed: what else, in words. left: what is not removed, in words.
    versions: of the data, before and after.
    """
    salt = secrets.token_hex(16)
    _append(
        store,
        {
            "what": what,
            "salt": salt,
            "asked": [
                {"kind": kind, "digest": digest_of(salt, kind, value)}
                for kind, values in asked.items()
                if not isinstance(values, int)
                for value in values
            ],
            **{kind: value for kind, value in asked.items() if isinstance(value, int)},
            "rows": dict(tables),
            "also": dict(removed),
            "left": {name: list(values) for name, values in left.items() if values},
            "version_before": versions[0],
            "version_after": versions[1],
        },
    )


def record_vacuum(store: Store, began: datetime, keep_hours: float, files: int, size: int) -> None:
    """Append that a vacuum has removed the files of all versions that had been replaced for
    `keep_hours` when it `began`; where nothing was ever deleted, there is nothing to prove."""
    if not (store.path / NAME).exists():
        return
    times = {"began": began.isoformat(timespec="microseconds"), "keep_hours": keep_hours}
    _append(store, {"what": "vacuum", **times, "files": files, "bytes": size})


def record_repair(store: Store, back_to: Mapping[str, int]) -> None:
    """Append that a repair is about to take tables back to earlier versions of theirs, table ->
    version. For a holder of the writers' lock; where nothing was ever deleted, nothing is undone.

    A repair that is killed after that leaves a deletion that is said to be undone and is not; it
    can be repeated all the same.
    """
    if back_to and (store.path / NAME).exists():
        _write(store, {"what": "repair", "back_to": dict(back_to)})


def record_repeat(store: Store, repeated: Sequence[str]) -> None:
    """Append that undone deletions, by the times `at` of their records, were carried out again."""
    _append(store, {"what": "repeat", "of": list(repeated)})


def digest_of(salt: str, kind: str, value: str) -> str:
    """The hash by which a deletion of an id (of the kind `user_id`, …) is found."""
    return hmac.new(
        salt.encode(), f"{kind}\0{value}".encode("utf-8", "surrogatepass"), sha256
    ).hexdigest()


def concerns(row: Mapping[str, Any], kind: str, values: Sequence[str]) -> bool:
    """Whether a deletion was asked for one of some ids of a kind; pseudonyms are ids of users."""
    kinds = (kind, PSEUDONYM) if kind == "user_id" else (kind,)
    salt = str(row.get("salt"))
    digests = {(each, digest_of(salt, each, value)) for each in kinds for value in values}
    return any((one.get("kind"), one.get("digest")) in digests for one in row["asked"])


def deletions(store: Store) -> Records:
    """All records of a store; none if nothing was ever deleted.

    Raises `StoreDamaged` if the log cannot be read.
    """
    rows: list[dict[str, Any]] = []
    vacuums: list[dict[str, Any]] = []
    repairs: list[dict[str, Any]] = []
    before = ""
    problem: str | None = None
    for number, line in enumerate(_lines(store), 1):
        try:
            row = json.loads(line)
            chained = row["before"] == before
            datetime.fromisoformat(row["at"])
            if row["what"] == "vacuum":
                # A version is kept for so long after another has replaced it.
                hours = timedelta(hours=row["keep_hours"])
                kept_since = datetime.fromisoformat(row["began"]) - hours
            elif row["what"] == "repair":
                went_back = {str(name): int(version) for name, version in row["back_to"].items()}
            elif row["what"] == "repeat":
                repeated = [str(at) for at in row["of"]]
            elif not isinstance(row["asked"], list):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            problem = problem or f"line {number} is damaged"
            before = sha256(line).hexdigest()
            continue
        if not chained:
            problem = problem or f"line {number} does not follow from the one before it"
        before = sha256(line).hexdigest()
        if row["what"] == "repair":
            repairs.append(row)
            for earlier in rows:
                if _undone(earlier, went_back):
                    earlier |= {"undone": row["at"], "repeated": None, "files_gone": None}
        elif row["what"] == "repeat":
            for earlier in rows:
                if earlier["at"] in repeated:
                    earlier["repeated"] = row["at"]
        elif row["what"] == "vacuum":
            vacuums.append(row)
            for earlier in rows:
                gone = datetime.fromisoformat(earlier["at"]) <= kept_since
                if gone and not earlier["files_gone"] and not earlier["undone"]:
                    earlier["files_gone"] = row["at"]
        else:
            rows.append({**row, "files_gone": None, "undone": None, "repeated": None})
    return Records(rows, vacuums, repairs, problem)


def _undone(row: Mapping[str, Any], back_to: Mapping[str, int]) -> bool:
    """Whether a table that a deletion took rows from went back to a version before it."""
    try:
        after = parse_version(str(row["version_after"]))
    except (KeyError, VersionGone):
        return True
    removed = row.get("rows") or {}
    return any(name in removed and after.get(name, 0) > back_to[name] for name in back_to)


@rerun
def _append(store: Store, row: Mapping[str, Any]) -> None:
    with store.writing_files():
        size = _write(store, row)
        if store.mirror:
            try:
                Publication(store.mirror).publish_files()
            except HeadMoved:
                # The line will be appended again, to what others have appended meanwhile.
                os.truncate(store.path / NAME, size)
                raise


def _write(store: Store, row: Mapping[str, Any]) -> int:
    """Append a line, while the writers' lock is held; returns the size of the log before it."""
    path = store.path / NAME
    lines = _lines(store)
    record = {
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        **row,
        "faultline": version(),
        "before": sha256(lines[-1]).hexdigest() if lines else "",
    }
    text = json.dumps(record, ensure_ascii=True).encode() + b"\n"
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        # A line that a kill or a full disk cut off stays, as a damaged one.
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = b"\n" + text
        file.write(text)
        os.fsync(descriptor)
    if new:
        sync([path.parent])
    return size


def _lines(store: Store) -> list[bytes]:
    try:
        return [line for line in (store.path / NAME).read_bytes().split(b"\n") if line]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreDamaged(
            f"{store.path / NAME}, the log of deletions, cannot be read ({error.strerror}); "
            "restore it from a backup."
        ) from error
