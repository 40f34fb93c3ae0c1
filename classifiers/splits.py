"""Splits for cross-validation: related turns stay on one side, or scores would be too high."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.model_selection import StratifiedGroupKFold

from data.counted import counted
from data.errors import NotEnoughLabels
from labels.rules.normalise import normalise

Fold = tuple[np.ndarray, np.ndarray]
# Share of the labelled turns that a forward split learns from.
EARLY = 0.7
# Intervals between dialogues that are all equal are told from chance by so many.
_EVEN = 10
# Times rounded to this are multiples of it as well, though nobody made them up.
_ROUNDED = np.timedelta64(60, "s")


def groups(turns: pa.Table) -> np.ndarray:
    """A group number per turn (n,): its dialogue, or its sentence where recordings repeat.

    A dialogue of one turn is grouped by what was said (the annotator's transcript, else the text
    heard), so that the same sentence recorded many times is never both learned from and tested on.
    """
    dialogues = turns["dialogue_id"].to_pylist()
    length = Counter(dialogues)
    gold = turns["gold"].combine_chunks()
    transcripts = pc.struct_field(gold, "transcript").to_pylist()
    texts = _first_texts(turns)
    spoken: dict[str, str] = {}
    keys = []
    for dialogue, transcript, text in zip(dialogues, transcripts, texts, strict=True):
        sentence = transcript or text
        if length[dialogue] == 1 and sentence:
            if sentence not in spoken:
                spoken[sentence] = f"said {normalise(sentence)}"
            keys.append(spoken[sentence])
        else:
            keys.append(f"in {dialogue}")
    _, numbers = np.unique(np.array(keys, object).astype(str), return_inverse=True)
    return numbers


def folds(target: np.ndarray, group: np.ndarray, n: int, seed: int) -> list[Fold]:
    """At most `n` pairs of (train rows, held-out rows) that never split a group.

    Groups with labelled turns are assigned so that the folds have similar shares of the classes;
    the others (`target` None) are assigned at random. Raises `NotEnoughLabels` if all labels are in
    one group.
    """
    labelled = np.flatnonzero(target != None)  # noqa: E711  # element-wise
    n = min(n, len(np.unique(group[labelled])))
    if n < 2:
        raise NotEnoughLabels(
            f"All {len(labelled)} labelled turns belong to one dialogue (or are one sentence): "
            "nothing is left to test on; annotate turns of other dialogues."
        )
    strata = np.unique(target[labelled].astype(str), return_inverse=True)[1]
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    part = np.random.default_rng(seed).integers(0, n, int(group.max()) + 1)
    with warnings.catch_warnings():
        # A class with fewer turns than folds is only a warning there, and unavoidable here.
        warnings.simplefilter("ignore", UserWarning)
        for i, (_, held_out) in enumerate(splitter.split(strata, strata, group[labelled])):
            part[group[labelled[held_out]]] = i
    return [(np.flatnonzero(part[group] != i), np.flatnonzero(part[group] == i)) for i in range(n)]


def parts(group: np.ndarray, n: int, seed: int) -> list[Fold]:
    """`n` pairs of (train rows, held-out rows) that never split a group, at random; no labels."""
    part = np.random.default_rng(seed).integers(0, n, int(group.max(initial=0)) + 1)[group]
    return [(np.flatnonzero(part != i), np.flatnonzero(part == i)) for i in range(n)]


def restricted(split: list[Fold], rows: np.ndarray) -> list[Fold]:
    """The same folds over the labelled turns only, renumbered."""
    position = np.full(int(max(rows.max(), *(r.max() for f in split for r in f))) + 1, -1)
    position[rows] = np.arange(len(rows))

    def renumber(part: np.ndarray) -> np.ndarray:
        numbers: np.ndarray = position[part]
        return numbers[numbers >= 0]

    return [(renumber(train), renumber(held_out)) for train, held_out in split]


def begins(turns: pa.Table) -> np.ndarray:
    """When the dialogue of each turn began (n,), as datetime64[us] in UTC.

    NaT in dialogues with an impossible date (`data.store.misdated`), as the column `dated` says
    where there is one: nobody knows when they were.
    """
    started = turns["started_at"].cast(pa.timestamp("us")).to_numpy()
    _, number = np.unique(
        np.array(turns["dialogue_id"].to_pylist(), object).astype(str), return_inverse=True
    )
    first = np.full(int(number.max(initial=-1)) + 1, np.datetime64("NaT", "us"))
    np.fmin.at(first, number, started)
    if "dated" in turns.column_names:
        # Turns that are put together from several tables may lack it.
        dated: Any = pc.fill_null(turns["dated"], pa.scalar(True))
        first[number[~dated.to_numpy()]] = np.datetime64("NaT")
    whole: np.ndarray = first[number]
    return whole


@dataclass(frozen=True, slots=True)
class Forward:
    """A split by time: learn from what was early, test on what came later.

    Attributes
    ----------
    early, late: row numbers. repeated: later labelled turns that are in neither, as their group (a
        sentence that was said before) is among the early ones.
    undated: labelled turns that are in neither, as nobody knows when their dialogue began.
    start, cut, end: when the first dialogue began, the first of the later ones, and the last.
    """

    early: np.ndarray
    late: np.ndarray
    repeated: int
    undated: int
    start: np.datetime64
    cut: np.datetime64
    end: np.datetime64


def forward(
    began: np.ndarray, group: np.ndarray, target: np.ndarray, least: int, share: float = EARLY
) -> Forward | str:
    """The split of n turns at the time before which `share` of the labelled turns lie.

    Random folds test on dialogues between those learned from, where releases, callers and bursts of
    failures are the same; what a model will meet comes later (Bergmeir & Benítez 2012; Roberts et
    al. 2017). Whole dialogues are early or late by when they began, and no group is in both parts.

    Parameters
    ----------
    began: when each turn's dialogue began (n,), NaT where nobody knows. group: (n,), see `groups`.
    target: failure point or None (n,). least: labelled turns of each failure point that the early
    part needs; the later one needs half as many.

    Returns the reason in words, to stand after "because", where there is no such split.
    """
    given = target != None  # noqa: E711  # element-wise
    undated = int((given & np.isnat(began)).sum())
    split = _at(began, group, target, least, share)
    if isinstance(split, str):
        return f"{split} ({without_dates(undated)})" if undated else split
    return replace(split, undated=undated)


def without_dates(undated: int) -> str:
    """That so many labelled turns are in no part of a forward split."""
    turns = counted(undated, "labelled turn")
    return f"{turns} of dialogues with impossible dates left out"


def _at(
    began: np.ndarray, group: np.ndarray, target: np.ndarray, least: int, share: float
) -> Forward | str:
    """`forward` of the turns of which it is known when they were."""
    dated = ~np.isnat(began)
    labelled = dated & (target != None)  # noqa: E711  # element-wise
    times = np.unique(began[labelled])
    if not len(times):
        return "of no labelled dialogue it is known when it began"
    if len(times) < 2:
        return "all labelled dialogues begin at one instant"
    gaps = np.diff(np.unique(began[dated]))
    if len(gaps) >= _EVEN and (gaps == gaps[0]).all():
        return "the dialogues begin at equal intervals, as times that were made up do"
    if len(gaps) >= _EVEN and _on_grid(began[dated], gaps, group[dated]):
        return "the dialogues begin at multiples of one interval, as times that were made up do"
    cut = np.sort(began[labelled])[int(share * labelled.sum())]
    if cut == times[0]:
        cut = times[1]
    early = np.flatnonzero(began < cut)
    new = ~np.isin(group, group[early])
    late = np.flatnonzero((began >= cut) & new)
    for rows, words, enough in (
        (early, f"first {share:.0%}", least),
        (late, f"last {1 - share:.0%}", least // 2),
    ):
        for name in np.unique(target[labelled].astype(str)):
            n = int((target[rows] == name).sum())
            if n < enough:
                return (
                    f"of the labelled turns, the {words} in order of time hold {n} {name}, and "
                    f"{enough} are needed"
                )
    repeated = int((labelled & (began >= cut) & ~new).sum())
    return Forward(early, late, repeated, 0, times[0], cut, times[-1])


def _on_grid(began: np.ndarray, gaps: np.ndarray, group: np.ndarray) -> bool:
    """Whether all gaps are multiples of one, as in a sample of dialogues at equal intervals.

    Times that were rounded to hours or days are so too, but then dialogues share them.
    """
    interval = np.gcd.reduce(gaps.astype("timedelta64[us]").astype(np.int64))
    instants = len(np.unique(np.column_stack([began.astype(np.int64), group]), axis=0))
    alone = instants == len(gaps) + 1
    return bool(alone and interval > _ROUNDED.astype("timedelta64[us]").astype(np.int64))


def _first_texts(turns: pa.Table) -> list[str | None]:
    hypotheses = pc.struct_field(turns["asr"].combine_chunks(), "hypotheses")
    return [h[0]["text"] if h else None for h in hypotheses.to_pylist()]
