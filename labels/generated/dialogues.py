"""Turns of whole dialogues as plain arrays: what the label model reads, and nothing else.

`gold` is not among it: `labels.generated.targets` reads that, for training only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import UsageError
from data.schema.trace import ORDER

Times = Literal["auto", "yes", "no"]

# A log whose gaps are mostly one number of seconds has no clock: the times were made up.
_MADE_UP = 0.5
_COLUMNS = ("turn_id", "dialogue_id", *ORDER, "prompt", "asr", "nlu", "result", "feedback")
# Names of the columns of `Dialogues.numbers` that every table has; signals come after them.
NUMBERS = (
    "asr confidence",
    "asr second confidence",
    "asr hypotheses",
    "nlu confidence",
    "nlu second confidence",
    "nlu hypotheses",
    "audio seconds",
    "er best score",
    "barge in",
    "barge in ms",
    "said yes",
    "said no",
    "terminated",
    "rating",
    "gap before",
    "gap after",
)


@dataclass(frozen=True, slots=True)
class Dialogues:
    """n turns of d dialogues, dialogue by dialogue, each in its own order.

    Attributes
    ----------
    turn_ids: n strings.
    row: position of each turn in the table that was given (n,).
    dialogue_ids: d strings. dialogue: number of each turn's dialogue (n,).
    position: of each turn in its dialogue, from 0 (n,). length: turns of its dialogue (n,).
    request, prompt, response: what was heard, said before and said after, n strings each.
    others: the hypotheses of the recogniser but the first, n lists.
    tokens: categorical values as ``name=value``, such as ``intent=play``, n tuples; what was logged
        about the request and the assistant's answer.
    slots: name and value of the first NLU hypothesis, n lists.
    numbers: (n, len(number_names)), float32, NaN where nothing was logged.
    """

    turn_ids: list[str]
    row: np.ndarray
    dialogue_ids: list[str]
    dialogue: np.ndarray
    position: np.ndarray
    length: np.ndarray
    request: list[str]
    prompt: list[str]
    response: list[str]
    others: list[list[str]]
    tokens: list[tuple[str, ...]]
    slots: list[list[tuple[str, str]]]
    numbers: np.ndarray
    number_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.turn_ids)

    def neighbour(self, steps: int) -> np.ndarray:
        """Row of the turn `steps` later in the dialogue (earlier if negative), else -1; (n,)."""
        at = np.arange(len(self)) + steps
        there = (self.position + steps >= 0) & (self.position + steps < self.length)
        return np.where(there, at, -1)

    def starts(self) -> np.ndarray:
        """First row of each dialogue, and n at the end; (d + 1,)."""
        return np.append(np.flatnonzero(self.position == 0), len(self))


def read(turns: pa.Table, times: Times = "auto", signals: Sequence[str] | None = None) -> Dialogues:
    """The arrays of `turns`, whole dialogues with the columns of `data.schema.trace.TURNS`.

    Columns that are missing count as not logged.

    Parameters
    ----------
    times: whether the seconds between turns are used; ``auto`` leaves them out where more than half
        of the gaps are one number of seconds, as in logs whose times were made up.
    signals: names of the numeric signals to read, as ``asr.energy``; None for all there are.

    Raises `UsageError` if `turn_id` or `dialogue_id` is missing.
    """
    missing = {"turn_id", "dialogue_id"} - set(turns.column_names)
    if missing:
        raise UsageError(
            f"The turns have no column {' and no '.join(sorted(missing))}; give a table with the "
            "columns of the store's table turns."
        )
    order = _order(turns)
    table = turns.take(pa.array(order))
    n = table.num_rows
    asr, nlu = _column(table, "asr"), _column(table, "nlu")
    heard = [h or [] for h in _field(asr, "hypotheses", n)]
    understood = [h or [] for h in _field(nlu, "hypotheses", n)]
    texts = [[h.get("text") or "" for h in hs] for hs in heard]
    turn_ids: list[Any] = table["turn_id"].to_pylist()
    dialogue_ids, dialogue = _numbered(table["dialogue_id"].to_pylist())
    first = np.flatnonzero(np.diff(dialogue, prepend=-1)) if n else np.zeros(0, int)
    length = np.diff(np.append(first, n))[dialogue] if n else np.zeros(0, int)
    position = np.arange(n) - first[dialogue] if n else np.zeros(0, int)
    names, values = _signals(table, signals)
    return Dialogues(
        turn_ids=turn_ids,
        row=order,
        dialogue_ids=dialogue_ids,
        dialogue=dialogue,
        position=position,
        length=length,
        request=[t[0] if t else "" for t in texts],
        prompt=[t or "" for t in _field(_column(table, "prompt"), "text", n)],
        response=[t or "" for t in _field(_column(table, "result"), "response", n)],
        others=[t[1:] for t in texts],
        tokens=_tokens(table, understood, n),
        slots=[_slots(h[0].get("slots")) if h else [] for h in understood],
        numbers=np.hstack([_numbers(table, heard, understood, position, times), values]),
        number_names=(*NUMBERS, *names),
    )


def _order(turns: pa.Table) -> np.ndarray:
    """Rows of `turns` by dialogue and place in it."""
    keys = [name for name in ("dialogue_id", *ORDER) if name in turns.column_names]
    order: np.ndarray = pc.sort_indices(
        turns.select(keys), sort_keys=[(k, "ascending") for k in keys]
    ).to_numpy()
    return order


def _column(table: pa.Table, name: str) -> Any:
    return table[name].combine_chunks() if name in table.column_names else None


def _field(column: Any, name: str, n: int) -> list[Any]:
    """A field of a struct column as a list; None everywhere where the table does not have it."""
    if column is None or column.type.get_field_index(name) < 0:
        return [None] * n
    values: list[Any] = pc.struct_field(column, name).to_pylist()
    return values


def _numbered(ids: list[Any]) -> tuple[list[str], np.ndarray]:
    seen: dict[str, int] = {}
    numbers = np.array([seen.setdefault(i, len(seen)) for i in ids], np.int64)
    return list(seen), numbers


def _slots(slots: list[dict[str, Any]] | None) -> list[tuple[str, str]]:
    return [(s["name"], str(s["value"]).lower()) for s in slots or [] if s.get("value") is not None]


def _tokens(table: pa.Table, understood: list[Any], n: int) -> list[tuple[str, ...]]:
    """Categorical values of each turn; those of the prompt are the answer's of the turn before."""
    result, prompt = _column(table, "result"), _column(table, "prompt")
    device = _column(table, "device")
    assistants = table["assistant"].to_pylist() if "assistant" in table.column_names else [None] * n
    fields = (
        assistants,
        _field(device, "type", n),
        _field(result, "status", n),
        _field(result, "action", n),
        _field(result, "acts", n),
        _field(prompt, "acts", n),
    )
    tokens = []
    for hypotheses, assistant, kind, status, action, acts, asked in zip(
        understood, *fields, strict=True
    ):
        best = hypotheses[0] if hypotheses else {}
        pairs = [
            ("assistant", assistant),
            ("domain", best.get("domain")),
            ("intent", best.get("intent")),
            ("device", kind),
            ("status", status),
            ("action", action),
        ]
        found = [f"{name}={value}" for name, value in pairs if value]
        found += [f"slot={name}" for name, _ in _slots(best.get("slots"))]
        found += [f"entity={s['name']}" for s in best.get("slots") or [] if s.get("value") is None]
        for name, said in (("act", acts), ("asked", asked)):
            for act in said or []:
                found.append(f"{name}={act['act']}")
                found += [f"{name}={act['act']} {s['name']}" for s in act.get("slots") or []]
        tokens.append(tuple(found))
    return tokens


def _numbers(
    table: pa.Table, heard: list[Any], understood: list[Any], position: np.ndarray, times: Times
) -> np.ndarray:
    n = table.num_rows
    x = np.full((n, len(NUMBERS)), np.nan, np.float32)
    for start, hypotheses in ((0, heard), (3, understood)):
        for i, hs in enumerate(hypotheses):
            for place, h in enumerate(hs[:2]):
                if h.get("confidence") is not None:
                    x[i, start + place] = h["confidence"]
            x[i, start + 2] = len(hs)
    feedback = _column(table, "feedback")
    explicit = _field(feedback, "explicit", n)
    columns = [
        [v / 1000 if v is not None else None for v in _field(_column(table, "asr"), "audio_ms", n)],
        [_best_score(m) for m in _field(_column(table, "er"), "mentions", n)],
        _field(feedback, "barge_in", n),
        _field(feedback, "barge_in_ms", n),
        [None if v is None else v == "yes" for v in explicit],
        [None if v is None else v == "no" for v in explicit],
        _field(feedback, "terminated", n),
        _field(feedback, "rating", n),
    ]
    for place, values in enumerate(columns, 6):
        x[:, place] = np.array([np.nan if v is None else v for v in values], np.float32)
    gaps = _gaps(table, position, times)
    if gaps is not None and n:
        x[:, -2] = gaps
        x[:-1, -1] = np.where(position[1:] > 0, gaps[1:], np.nan)
    return x


def _best_score(mentions: list[dict[str, Any]] | None) -> float | None:
    scores = [c["score"] for m in mentions or [] for c in m.get("candidates") or []]
    return max((s for s in scores if s is not None), default=None)


def _gaps(table: pa.Table, position: np.ndarray, times: Times) -> np.ndarray | None:
    """Seconds since the turn before, on a logarithmic scale; None where they are not to be used."""
    if times == "no" or "started_at" not in table.column_names:
        return None
    at = table["started_at"].cast(pa.timestamp("us", tz="UTC")).to_numpy().astype(np.int64) / 1e6
    gap = np.where(position > 0, np.diff(at, prepend=np.nan), np.nan)
    whole = np.round(gap[position > 0])
    if times == "auto" and (
        not len(whole) or np.unique(whole, return_counts=True)[1].max() > _MADE_UP * len(whole)
    ):
        return None
    value: np.ndarray = np.log1p(np.maximum(gap, 0))
    return value


def _signals(table: pa.Table, names: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Numeric signals of the stages, one column each, and their names."""
    found: dict[str, np.ndarray] = {}
    for stage in ("wake", "asr", "nlu", "er", "result"):
        for i, logged in enumerate(_field(_column(table, stage), "signals", table.num_rows)):
            for name, value in logged or ():
                if value is None:
                    continue
                key = f"{stage}.{name}"
                if names is not None and key not in names:
                    continue
                if key not in found:
                    found[key] = np.full(table.num_rows, np.nan, np.float32)
                found[key][i] = value
    chosen = tuple(sorted(found)) if names is None else tuple(names)
    empty = np.full(table.num_rows, np.nan, np.float32)
    columns = [found.get(name, empty) for name in chosen]
    values = np.array(columns, np.float32).reshape(len(chosen), table.num_rows).T
    return chosen, values
