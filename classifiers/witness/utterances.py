"""What the witness reads of n turns: hypotheses, prompt, frame logged; gold to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers.witness.arrays import ranges
from classifiers.witness.ngrams import Bags, Words
from classifiers.witness.parts import PARTS

# Hypotheses of an n-best list that are asked about: the first, and the surest of the others.
HYPOTHESES = 5
# Slots of a frame that are read; a frame has a handful.
_SLOTS = 32
_LONGEST_VALUE = 100

# Names of items: of a slot that is filled, and of a slot with its value.
_ITEMS = """
list_distinct(flatten([
    ['s' || chr(31) || s.name, 's' || chr(31) || s.name || chr(31)
        || left(coalesce(norm(signed(s.value)), ''), {longest})]
    for s in {slots}[:{most}] if coalesce(s.name, '') <> '']))
"""
_LOGGED = f"""
SELECT texts, confs, coalesce(prompt_said, '') AS prompt,
    CASE WHEN slots IS NOT NULL OR intent IS NOT NULL THEN coalesce(intent, '') END AS intent,
    coalesce({_ITEMS.format(slots="slots", longest=_LONGEST_VALUE, most=_SLOTS)}, []) AS items,
    md5_number_lower(dialogue_id) % {PARTS} AS part
FROM frame ORDER BY turn_id
"""
_GOLD = f"""
SELECT norm(signed(transcript)) AS transcript, intent, slots IS NOT NULL AS known,
    coalesce({_ITEMS.format(slots="slots", longest=_LONGEST_VALUE, most=_SLOTS)}, []) AS items
FROM gold_given ORDER BY row
"""


@dataclass(frozen=True, slots=True)
class Lists:
    """n lists of numbers, one after another: list i from `start[i]` to before `start[i + 1]`."""

    start: np.ndarray
    flat: np.ndarray

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def size(self) -> np.ndarray:
        return np.diff(self.start)

    @property
    def owner(self) -> np.ndarray:
        """Number of the list that each number is in."""
        return np.repeat(np.arange(len(self)), self.size)

    def take(self, rows: np.ndarray) -> Lists:
        size = self.size[rows]
        return Lists(np.append(0, np.cumsum(size)), self.flat[ranges(self.start[:-1][rows], size)])

    def __add__(self, other: Lists) -> Lists:
        start = np.append(self.start, other.start[1:] + self.start[-1])
        return Lists(start, np.append(self.flat, other.flat))


@dataclass(frozen=True, slots=True)
class Gold:
    """What annotators gave: text number of the transcript (n,), -1 for none; number of the intent,
    -1 where not given; whether slots are given; numbers of the items."""

    transcript: np.ndarray
    intent: np.ndarray
    known: np.ndarray
    items: Lists

    def take(self, rows: np.ndarray) -> Gold:
        return Gold(
            self.transcript[rows], self.intent[rows], self.known[rows], self.items.take(rows)
        )

    def only_of(self, kept: np.ndarray) -> Gold:
        """The same turns, as if nothing were given of those outside the mask `kept` (n,)."""
        items = self.items
        return Gold(
            np.where(kept, self.transcript, -1),
            np.where(kept, self.intent, -1),
            self.known & kept,
            Lists(np.append(0, np.cumsum(items.size * kept)), items.flat[kept[items.owner]]),
        )


@dataclass(frozen=True, slots=True)
class Utterances:
    """Of n turns, in the order of their ids.

    Attributes
    ----------
    words, bags: the distinct normalised texts, of hypotheses and transcripts.
    prompts: n-grams of the distinct prompts. prompt: number of each turn's (n,).
    heard: numbers of the texts of each turn's hypotheses, the first one first; at most
        `HYPOTHESES`. share: of the confidence that each has, 1 in all.
    intents, intent: names, and number of each turn's intent (n,), -1 where no frame is logged.
    names, items: names of slots, and of slots with values; numbers of those filled.
    part: number of the part that scores the turn, and does not learn from it (n,).
    gold: only of turns to learn from.
    """

    words: Words
    bags: Bags
    prompts: Bags
    prompt: np.ndarray
    heard: Lists
    share: np.ndarray
    intents: list[str]
    intent: np.ndarray
    names: list[str]
    items: Lists
    part: np.ndarray
    gold: Gold | None = None

    @classmethod
    def read(cls, con: duckdb.DuckDBPyConnection, gold: pa.Array[Any] | None = None) -> Utterances:
        """From an open frame; `gold`: of the same turns, in the order of their ids."""
        table = con.sql(_LOGGED).to_arrow_table()
        heard, share, texts = _hypotheses(table["texts"], table["confs"])
        given = _given(con, gold) if gold is not None else None
        transcripts = given["transcript"].to_pylist() if given else []
        intents, intent = _numbers([table["intent"], *([given["intent"]] if given else [])])
        names, items = _lists([table["items"], *([given["items"]] if given else [])])
        number = {text: i for i, text in enumerate(texts)}
        transcript = np.array(
            [number.setdefault(t, len(number)) if t else -1 for t in transcripts], np.int64
        )
        words = Words.of(list(number))
        prompts, prompt = _numbers([table["prompt"]])
        return cls(
            words,
            Bags.of(words),
            Bags.of(Words.of(prompts), letters=False),
            prompt[0],
            heard,
            share,
            intents,
            intent[0],
            names,
            items[0],
            table["part"].to_numpy().astype(np.int64),
            Gold(
                transcript,
                intent[1],
                given["known"].to_numpy(zero_copy_only=False),
                items[1],
            )
            if given
            else None,
        )

    def __len__(self) -> int:
        return len(self.intent)

    @property
    def first(self) -> np.ndarray:
        """Number of the text of the first hypothesis (n,), -1 where there is none."""
        some = self.heard.size > 0
        first = np.full(len(self), -1)
        first[some] = self.heard.flat[self.heard.start[:-1][some]]
        return first

    def take(self, rows: np.ndarray) -> Utterances:
        """Some of the turns; the distinct texts are shared."""
        size = self.heard.size[rows]
        return replace(
            self,
            prompt=self.prompt[rows],
            heard=self.heard.take(rows),
            share=self.share[ranges(self.heard.start[:-1][rows], size)],
            intent=self.intent[rows],
            items=self.items.take(rows),
            part=self.part[rows],
            gold=self.gold.take(rows) if self.gold else None,
        )

    def only_gold_of(self, kept: np.ndarray) -> Utterances:
        """The same turns, with gold of those in the mask `kept` (n,) only."""
        return replace(self, gold=self.gold.only_of(kept) if self.gold else None)

    def together(self, group: np.ndarray, kept: np.ndarray) -> Utterances:
        """The same turns, those of a group with some turn in the mask `kept` all in one part."""
        _, first, number = np.unique(group, return_index=True, return_inverse=True)
        whole = np.bincount(number, kept, len(first)) > 0
        return replace(self, part=np.where(whole[number], self.part[first][number], self.part))


def _given(con: duckdb.DuckDBPyConnection, gold: pa.Array[Any]) -> pa.Table:
    fields = ["transcript", "intent", "slots"]
    columns: dict[str, Any] = {name: pc.struct_field(gold, name) for name in fields}
    con.register("gold_given", pa.table({"row": pa.array(np.arange(len(gold))), **columns}))
    try:
        table: pa.Table = con.sql(_GOLD).to_arrow_table()
        return table
    finally:
        con.unregister("gold_given")


def _hypotheses(texts: Any, confidences: Any) -> tuple[Lists, np.ndarray, list[str]]:
    """Numbers of the texts of at most `HYPOTHESES` of each turn, share of confidence, texts."""
    lists, n = texts.combine_chunks(), len(texts)
    turn = pc.list_parent_indices(lists).to_numpy()
    encoded = lists.flatten().dictionary_encode()
    number = pc.fill_null(encoded.indices, -1).to_numpy()
    sure = np.full(len(turn), np.nan)
    flat = confidences.combine_chunks()
    if len(flat.flatten()) == len(turn):
        sure = flat.flatten().to_numpy(zero_copy_only=False).astype(float)
    sure = np.nan_to_num(sure).clip(0)
    place = np.arange(len(turn))
    begins = np.append(True, turn[1:] != turn[:-1])[: len(turn)]
    order = np.lexsort((place, -sure, ~begins, turn))
    order = order[number[order] >= 0]
    turn, number, sure = turn[order], number[order], sure[order]
    rank = np.arange(len(turn)) - np.searchsorted(turn, turn)
    few = rank < HYPOTHESES
    turn, sure = turn[few], sure[few]
    # What nobody asks about needs no n-grams.
    used, number = np.unique(number[few], return_inverse=True)
    mass = np.bincount(turn, sure, n)
    size = np.bincount(turn, minlength=n)
    share = np.where(mass[turn] > 0, sure / np.where(mass > 0, mass, 1)[turn], 1 / size[turn])
    asked = encoded.dictionary.take(pa.array(used)).to_pylist()
    return Lists(np.append(0, np.cumsum(size)), number), share, asked


def _numbers(columns: Sequence[Any]) -> tuple[list[str], list[np.ndarray]]:
    """The distinct strings of some columns, and their numbers per column; -1 for null."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    encoded: Any = pa.chunked_array(chunks, pa.string()).combine_chunks().dictionary_encode()
    numbers = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    return encoded.dictionary.to_pylist(), np.split(
        numbers, np.cumsum([len(c) for c in columns])[:-1]
    )


def _lists(columns: Sequence[Any]) -> tuple[list[str], list[Lists]]:
    """The distinct strings in some columns of lists, and their numbers per column."""
    whole = [column.combine_chunks() for column in columns]
    names, numbers = _numbers([pa.chunked_array([lists.flatten()]) for lists in whole])
    sizes = [pc.list_value_length(lists).to_numpy(zero_copy_only=False) for lists in whole]
    starts = [np.append(0, np.cumsum(size)).astype(np.int64) for size in sizes]
    return names, [Lists(start, flat) for start, flat in zip(starts, numbers, strict=True)]
