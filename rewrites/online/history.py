"""Turns with the context they were said in, what probably became of them, and what was wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from features.arrow import pc, whole
from labels.feedback.sessions import friction
from labels.rules.normalise import normalise
from rewrites.interpretations import Counts, counts, intent
from rewrites.mining import Mined
from rewrites.success import Success

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Keys of a device's state that say where it is.
_PLACES = ("location", "room")
_HOURS = 4
_CONTEXT_SQL = """
SELECT turn_id, epoch(started_at) AS at, device.type AS device,
    map_entries(device.state) AS state
FROM turns WHERE day BETWEEN $low AND $high
"""
_ALL_SQL = """
SELECT turn_id, epoch(started_at) AS at, device.type AS device,
    map_entries(device.state) AS state
FROM turns
"""


@dataclass(frozen=True, slots=True)
class History:
    """Sessions, turn by turn.

    Attributes
    ----------
    friction: as of `labels.feedback.sessions.friction`, in one table.
    turns: in the same order: turn_id, session, assistant, user_id, text, frame, request and next
        (keys of requests, None at the end of a session), at (s since 1970), device, state.
    """

    friction: pa.Table
    turns: pd.DataFrame

    @classmethod
    def of(
        cls, snapshot: Snapshot, *, since: date | None = None, until: date | None = None
    ) -> History | None:
        """The history of a snapshot; None if it has no turn."""
        tables = list(friction(snapshot, since=since, until=until))
        if not tables:
            return None
        return cls.joined(pa.concat_tables(tables), snapshot.query(_ALL_SQL))

    @classmethod
    def joined(cls, tables: pa.Table, context: pa.Table) -> History:
        """From tables of friction and of contexts (turn_id, at, device, state)."""
        names = ["turn_id", "session", "assistant", "user_id", "locale", "text", "frame"]
        turns = tables.select(names).to_pandas()
        frames = turns["frame"].astype("object")
        bare = frames.isna()
        frames[bare] = [
            normalise(text, tag if isinstance(tag, str) else None)
            for text, tag in zip(turns["text"][bare], turns["locale"][bare], strict=True)
        ]
        turns["frame"] = frames
        # As in `Counts.requests`.
        turns["request"] = turns["assistant"] + "\x1f" + frames + "\x1f" + turns["text"]
        after = turns["session"].shift(-1) == turns["session"]
        turns["next"] = turns["request"].shift(-1).where(after)
        before = turns["session"].shift(1) == turns["session"]
        turns["before"] = turns["text"].shift(1).where(before)
        turns["before_frame"] = turns["frame"].shift(1).where(before)
        known = context.to_pandas().drop_duplicates("turn_id")
        turns = turns.merge(known, on="turn_id", how="left")
        return cls(tables, turns)

    def counted(self) -> Counts:
        """The counts of all sessions."""
        return counts([self.friction])

    def where(self, mask: np.ndarray) -> History:
        """The turns of whole sessions that are in the mask."""
        rows = self.turns[mask].reset_index(drop=True)
        return History(self.friction.filter(pa.array(mask)), rows)

    def share(self) -> np.ndarray:
        """Per turn, the share of the turns whose session began earlier: 0 to 1, float64 (n,)."""
        start = self.turns.groupby("session", sort=False)["at"].transform("min")
        rank: np.ndarray = (start.rank(method="min").to_numpy() - 1) / max(len(start), 1)
        return rank


def contexts(
    device: str | Mapping[str, Any] | None = None,
    at: datetime | float | None = None,
    location: str | None = None,
    before: str | None = None,
) -> list[str]:
    """The context of a request as words: device, state of the device, place, time, turn before.

    `device`: its type, or `{"type", "state": {…}}` as in a trace. `before`: the interpretation of
    the turn before. Times without a zone are read as UTC, as they are logged.
    """
    words = []
    if isinstance(device, str):
        device = {"type": device}
    if device:
        words += [f"device:{device['type']}"] if device.get("type") else []
        for name, value in sorted((device.get("state") or {}).items()):
            if name in _PLACES:
                location = location or str(value)
            else:
                words.append(f"state:{name}={value}")
    if location:
        words.append(f"location:{location}")
    if at is not None:
        words.append(f"hour:{int(hour(at)) // _HOURS}")
    if before is not None:
        words.append(f"before:{intent(before)}")
    return words


def hour(at: datetime | float) -> float:
    """The hour of the day in UTC, 0 to 24."""
    return seconds(at) % 86_400 / 3_600


def seconds(at: datetime | float) -> float:
    """A time as seconds since 1970."""
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return float(at)


def turn_contexts(turns: pd.DataFrame) -> list[list[str]]:
    """`contexts` of each turn of a history."""
    words = []
    for device, state, at, before in zip(
        turns["device"], turns["state"], turns["at"], turns["before_frame"], strict=True
    ):
        known = _pairs(state)
        words.append(
            contexts(
                {"type": device if isinstance(device, str) else None, "state": known},
                None if at != at else float(at),
                None,
                before if isinstance(before, str) else None,
            )
        )
    return words


def _pairs(state: Any) -> dict[str, str]:
    if state is None or isinstance(state, float):
        return {}
    return {str(entry["key"]): str(entry["value"]) for entry in state}


def outcomes(
    turns: pd.DataFrame, counted: Counts, success: Success, mined: Mined
) -> tuple[np.ndarray, Any, Any]:
    """What probably became of each turn of a history that `counted` holds.

    Returns failed, the probability that the turn failed, float64 (n,); and two CSR matrices
    (n, interpretations of the chain): what was wanted given that it failed, times `failed`; and
    what was wanted in any case. A turn said again wanted what the next request led to; one given
    up, what others did who said the same.
    """
    chain = mined.chain
    keys = whole(counted.requests["key"])
    n = counted.requests.num_rows

    def codes(column: pd.Series) -> np.ndarray:
        found = pc.index_in(pa.array(column, pa.string(), from_pandas=True), keys)
        numbers: np.ndarray = pc.fill_null(found, -1).to_numpy().astype(np.int64)
        return numbers

    request, following = codes(turns["request"]), codes(turns["next"])
    user = pc.fill_null(
        pc.index_in(pa.array(turns["user_id"], pa.string(), from_pandas=True), counted.users), -1
    ).to_numpy()
    cells = counted.cells
    pair = ["user", "request", "next"]
    sums = (
        cells.assign(
            failed=cells["turns"] * success.failed, retried=cells["turns"] * success.retried
        )
        .groupby(pair)[["turns", "failed", "retried"]]
        .sum()
    )
    said = pd.DataFrame({"user": user, "request": request, "next": following})
    mean = said.merge(sums.reset_index(), how="left", on=pair)
    failed = (mean["failed"] / mean["turns"]).fillna(0.0).to_numpy()
    retried = (mean["retried"] / mean["turns"]).fillna(0.0).to_numpy()
    given_up = np.maximum(failed - retried, 0)
    absorbed, mended = sp.csr_array(mined.absorbed), sp.csr_array(mined.mended)
    ends = np.maximum(np.asarray(mended.sum(axis=1)).ravel(), 0.5)
    lost = sp.diags_array(given_up / ends[request]) @ mended[request]
    after = np.where(following >= 0, following, 0)
    again = sp.diags_array(np.where(following >= 0, retried, 0.0)) @ absorbed[after]
    wanted_if_failed = sp.csr_array(lost + again)
    own = sp.coo_array(
        (1 - failed, (np.arange(len(turns)), chain.outcome[request])),
        shape=(len(turns), len(chain.interpretations)),
    )
    assert len(chain.failure) == n
    return failed, wanted_if_failed, sp.csr_array(wanted_if_failed + sp.csr_array(own))


def clock(at: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times of day as points on a circle, x and y."""
    angle = np.asarray(at, float) % 86_400 / 86_400 * 2 * np.pi
    return np.cos(angle), np.sin(angle)
