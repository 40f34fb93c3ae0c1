"""Requests, their interpretations, and counts of what followed them: a value that adds up.

An *interpretation* is what NLU made of a turn, `domain|intent|slot=value…`, or the normalised text
where no frame was logged. A *request* is a heard text with its interpretation. Requests are the
states of the chain and interpretations its outcomes: of two texts with one interpretation, one may
be understood and the other misheard, so that only the outcome may be pooled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from features.arrow import Column, pc, whole
from labels.rules.normalise import normalise

# Joins the parts of a request's key: a control character, which `request_sql` and `frame_sql` leave
# in neither texts nor frames.
PART = "\x1f"

# Ends of the bins: pauses (s), similarity of the next request, predicted probability of a defect.
_GAPS = (7.5, 15.0, 25.0)
_ALIKE = (0.4, 0.6, 0.8, 0.999)
_DEFECT = (0.1, 0.3, 0.5, 0.7, 0.9)

# The evidence on a turn: fields with their number of values. Fields are taken as independent of
# one another, values within a field are not: what is correlated shares a field.
EVIDENCE = {
    # barge-in, termination, rejection by the next request; the answer given: none, no, yes.
    "signs": 2 * 2 * 2 * 3,
    # status not logged, ok, failed; apology or not.
    "outcome": 3 * 2,
    # not scored, or the bin of the predicted probability.
    "suspicion": 1 + len(_DEFECT) + 1,
    # 0: the session ends; else pause, similarity, and agreement of the frames (none, intent, all).
    "follow": 1 + (len(_GAPS) + 1) * (len(_ALIKE) + 1) * 3,
}
_KEYS = ("user", "request", *EVIDENCE, "next", "first")


@dataclass(frozen=True, slots=True)
class Counts:
    """Turns of sessions, counted.

    Attributes
    ----------
    requests: table of distinct requests in the order of their keys. Columns: key, assistant, text,
        interpretation.
    users: distinct user ids, sorted.
    cells: one row per distinct combination, in order. Columns: user (-1: not logged), request, the
        fields of `EVIDENCE`, next (the request that follows in the session, -1 at its end), first
        (1 on the first turn of its session with this request), turns.

    Counts of disjoint sets of sessions add up, in any order, to those of their union.
    """

    requests: pa.Table
    users: Column
    cells: pd.DataFrame

    @classmethod
    def empty(cls) -> Self:
        cells = pd.DataFrame({name: np.zeros(0, np.int64) for name in (*_KEYS, "turns")})
        return cls(_requests(pa.array([], pa.string())), pa.array([], pa.string()), cells)

    @classmethod
    def of(cls, friction: pa.Table) -> Self:
        """Counts of one table of `labels.feedback.sessions.friction`, whose sessions are whole."""
        if not friction.num_rows:
            return cls.empty()
        requests, users, turns = _turns(friction)
        turns["turns"] = 1
        return cls(_requests(requests), users, _sum(turns))

    def cell_of(self, friction: pa.Table) -> np.ndarray:
        """The row of `cells` that each turn of a table was counted in, int64 (turns,).

        -1 for turns of sessions that were not counted.
        """
        if not friction.num_rows:
            return np.zeros(0, np.int64)
        requests, users, turns = _turns(friction)
        to_request = np.append(_found(requests, whole(self.requests["key"])), -1)
        to_user = np.append(_found(users, self.users), -1)
        known = to_request[turns["request"]] >= 0
        turns["request"], turns["next"] = to_request[turns["request"]], to_request[turns["next"]]
        turns["user"] = to_user[turns["user"]]
        # The table is one of many; what it cannot be in would be looked through for each of them.
        near = np.flatnonzero(
            _among(self.cells["user"], turns["user"], len(self.users))
            & _among(self.cells["request"], turns["request"], self.requests.num_rows)
        )
        numbered = self.cells[list(_KEYS)].take(near).assign(cell=near)
        cell = turns.merge(numbered, how="left", on=list(_KEYS))["cell"]
        found: np.ndarray = cell.where(known).fillna(-1).to_numpy(np.int64)
        return found

    def number(self, column: str) -> tuple[np.ndarray, Column]:
        """Per request, the number of its `text` or `interpretation`, int64 (requests,).

        And what is numbered, sorted: `assistant` and value, joined by `PART`.
        """
        names = pc.binary_join_element_wise(
            whole(self.requests["assistant"]), whole(self.requests[column]), PART
        )
        distinct = pc.unique(names).sort()
        return pc.index_in(names, distinct).to_numpy().astype(np.int64), distinct

    def speakers(self, group: np.ndarray) -> np.ndarray:
        """How many users said a request of each group; a session without a user counts as one.

        group: the group of each request, int64 (requests,), from 0. Returns int64 (groups,).
        """
        cells, n = self.cells, int(group.max(initial=-1)) + 1
        of = group[cells["request"]]
        named = pd.DataFrame({"group": of, "user": cells["user"]})[cells["user"] >= 0]
        unnamed = (cells["user"] < 0).to_numpy()
        sessions = (cells["turns"] * cells["first"]).to_numpy()
        users: np.ndarray = np.bincount(named.drop_duplicates()["group"], minlength=n)
        return users + np.bincount(of[unnamed], sessions[unnamed], n).astype(np.int64)

    def __add__(self, other: Counts) -> Counts:
        return total([self, other])


def counts(tables: Iterable[pa.Table]) -> Counts:
    """The sum of the counts of tables of `labels.feedback.sessions.friction`."""
    return total(Counts.of(table) for table in tables)


def total(parts: Iterable[Counts]) -> Counts:
    """The sum of counts of disjoint sets of sessions."""
    some = list(parts)
    if not some:
        return Counts.empty()
    keys = pa.chunked_array([whole(part.requests["key"]) for part in some], pa.string())
    requests = pc.unique(keys).sort()
    users = pc.unique(pa.chunked_array([part.users for part in some], pa.string())).sort()
    cells = []
    for part in some:
        # A -1 at the end: what is not there stays so.
        to_request = np.append(pc.index_in(part.requests["key"], requests).to_numpy(), -1)
        to_user = np.append(pc.index_in(part.users, users).to_numpy(), -1)
        numbered = part.cells.copy()
        numbered["request"] = to_request[numbered["request"]].astype(np.int64)
        numbered["next"] = to_request[numbered["next"]].astype(np.int64)
        numbered["user"] = to_user[numbered["user"]].astype(np.int64)
        cells.append(numbered)
    return Counts(_requests(requests), users, _sum(pd.concat(cells, ignore_index=True)))


def heard(text: str) -> str:
    """A text as requests are looked up: lower case, single spaces.

    The same as `data.schema.requests.request_sql`: letter by letter, so that a sigma at the end
    of a word is not another letter.
    """
    lower = (letter.lower() for letter in text)
    return " ".join("".join(small[0] if len(small) > 1 else small for small in lower).split())


def slot_values(interpretation: str) -> list[str]:
    """The slot values of an interpretation; none of one without a frame."""
    parts = interpretation.split("|")[2:]
    return [value for part in parts if (value := part.partition("=")[2])]


def intent(interpretation: str) -> str:
    """Domain and intent of an interpretation."""
    return "|".join(interpretation.split("|")[:2])


def _interpretations(text: Column, frame: Column, locale: Column) -> Column:
    """The frame, or the normalised text where there is none; once per distinct text and locale."""
    bare = pc.is_null(frame)
    if not pc.any(bare).as_py():
        return frame
    pairs = pd.DataFrame(
        {"text": text.filter(bare).to_pylist(), "locale": locale.filter(bare).to_pylist()}
    )
    codes, distinct = pd.factorize(pd.MultiIndex.from_frame(pairs))
    said = [normalise(words, _known(tag)) for words, tag in distinct]
    normalised = pa.array(said, pa.string()).take(pa.array(codes.astype(np.int64), pa.int64()))
    return pc.replace_with_mask(frame, bare, normalised)


def _known(locale: Any) -> str | None:
    return locale if isinstance(locale, str) else None


def _keys(assistant: Column, text: Column, interpretation: Column) -> Column:
    return pc.binary_join_element_wise(assistant, interpretation, text, PART)


def _requests(keys: Column) -> pa.Table:
    parts = pc.split_pattern(keys, PART, max_splits=2)
    fields = [pc.list_element(parts, i) if len(keys) else keys for i in range(3)]
    return pa.table(
        {"key": keys, "assistant": fields[0], "text": fields[2], "interpretation": fields[1]}
    )


def _found(values: Column, among: Any) -> np.ndarray:
    """Where values are among others, int64; -1 for those that are not."""
    found: np.ndarray = pc.fill_null(pc.index_in(values, among), -1).to_numpy()
    return found.astype(np.int64)


def _among(values: pd.Series, wanted: pd.Series, n: int) -> np.ndarray:
    """Whether each value is a wanted one, bool (values,); both are from -1 to `n` - 1."""
    is_wanted = np.zeros(n + 1, bool)
    is_wanted[wanted] = True
    found: np.ndarray = is_wanted[values]
    return found


def _turns(friction: pa.Table) -> tuple[Column, Column, pd.DataFrame]:
    """The keys of the requests and the users of a table, sorted, and a row of keys per turn."""
    columns = friction.combine_chunks()
    assistant, locale = whole(columns["assistant"]), whole(columns["locale"])
    text, frame = whole(columns["text"]), whole(columns["frame"])
    keys = _keys(assistant, text, _interpretations(text, frame, locale))
    requests = pc.unique(keys).sort()
    request = pc.index_in(keys, requests).to_numpy().astype(np.int64)
    session = whole(columns["session"]).dictionary_encode().indices.to_numpy()
    follows = np.append(session[1:] == session[:-1], False)
    following = np.where(follows, np.append(request[1:], -1), -1)
    users = pc.unique(whole(columns["user_id"]).drop_null()).sort()
    user = pc.fill_null(pc.index_in(whole(columns["user_id"]), users), -1)
    turns = pd.DataFrame(
        {
            "user": user.to_numpy().astype(np.int64),
            "request": request,
            **_evidence(columns, follows, _same(frame, follows)),
            "next": following,
        }
    )
    turns["first"] = (~pd.DataFrame({"session": session, "request": request}).duplicated()).astype(
        np.int64
    )
    return requests, users, turns


def _same(frame: Column, follows: np.ndarray) -> np.ndarray:
    codes: np.ndarray = pc.fill_null(frame.dictionary_encode().indices, -1).to_numpy()
    same: np.ndarray = follows & (codes == np.append(codes[1:], -1)) & (codes >= 0)
    return same


def _evidence(turns: pa.Table, follows: np.ndarray, same: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of `EVIDENCE`, int64 (n,) each."""

    def flag(name: str) -> np.ndarray:
        values: np.ndarray = pc.fill_null(whole(turns[name]), False).to_numpy(zero_copy_only=False)
        return values.astype(np.int64)

    def number(name: str) -> np.ndarray:
        column = whole(turns[name]).cast(pa.float64())
        numbers: np.ndarray = column.to_numpy(zero_copy_only=False)
        return numbers

    answer = np.zeros(turns.num_rows, np.int64)
    for value, said in enumerate(("no", "yes"), 1):
        answer[flag_equal(turns["explicit"], said)] = value
    failed, p_defect = number("failed"), number("p_defect")
    status = np.where(np.isnan(failed), 0, 1 + (np.nan_to_num(failed) > 0))
    scored = ~np.isnan(p_defect)
    pause = np.digitize(np.nan_to_num(number("gap")), _GAPS)
    alike = np.digitize(number("alike"), _ALIKE)
    agreement = np.where(same, 2, flag("same_intent"))
    follow = 1 + (pause * (len(_ALIKE) + 1) + alike) * 3 + agreement
    signs = (flag("barge_in") * 2 + flag("terminated")) * 2 + flag("rejected")
    return {
        "signs": signs * 3 + answer,
        "outcome": status * 2 + flag("apology"),
        "suspicion": np.where(scored, 1 + np.digitize(np.nan_to_num(p_defect), _DEFECT), 0),
        "follow": np.where(follows, follow, 0),
    }


def flag_equal(column: Any, value: str | float) -> np.ndarray:
    """Where a column is `value`, boolean (n,); not where it is null."""
    equal: np.ndarray = pc.fill_null(pc.equal(whole(column), value), False).to_numpy(
        zero_copy_only=False
    )
    return equal


def _sum(cells: pd.DataFrame) -> pd.DataFrame:
    summed = cells.groupby(list(_KEYS), sort=True)["turns"].sum().reset_index()
    return summed.astype(np.int64)
