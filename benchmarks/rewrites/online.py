"""What retrieval and ranking are worth on later sessions, as Markdown for docs/rewrite-server.md.

    python -m benchmarks.rewrites.online FOLDER [SHARE [UNTIL]]

FOLDER is that of `benchmarks.rewrites.replay`. The first SHARE (0.7) of the days is indexed and
learned from, without gold; the turns up to UNTIL (1) are asked one by one. What was tuned was tuned
with 0.5 and 0.7.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.rewrites.replay import _COLUMNS, Split, divided, line
from data.ingest.ingest import ingest
from data.store.store import Store
from rewrites.mining import Mined, from_counts
from rewrites.neighbours import Neighbours
from rewrites.online.bi_encoder import fit, pairs_of, plain
from rewrites.online.history import History, turn_contexts
from rewrites.online.retrieval import Index
from rewrites.online.rewriter import Rewriter
from rewrites.online.vectors import NGrams, Vectors
from rewrites.replay import parts, replay, rewritten

_ASSISTANT = "slurp-sessions"
_NEAREST = (1, 10)


def histories(folder: Path, share: float, until: float) -> tuple[History, History]:
    """The earlier sessions, and the later ones up to `until`."""
    with TemporaryDirectory() as temporary:
        store = Store.create(Path(temporary) / "store")
        ingest(store, [folder / "slurp-sessions.jsonl.gz"])
        with store.snapshot() as snapshot:
            days = sorted(snapshot.rows_by_day("turns"))
            last, end = (days[int(len(days) * part) - 1] for part in (share, until))
            earlier = History.of(snapshot, until=last)
            later = History.of(snapshot, since=last + timedelta(days=1), until=end)
    assert earlier is not None
    assert later is not None
    return earlier, later


def recall(
    vectors: Callable[[list[str]], Vectors], index: Index, turns: pd.DataFrame
) -> tuple[list[str], float]:
    """Shares of the turns whose outcome is among the nearest rows, and ms per text."""
    rows = np.flatnonzero(index.offered)
    texts = index.texts(rows)
    made = vectors(texts)
    indexed = made.encode(texts)
    names = np.array([index.interpretation(code) for code in index.outcome[rows].tolist()], object)
    began = time.perf_counter()
    asked = np.concatenate([made.encode([text]) for text in turns["text"]])
    each = (time.perf_counter() - began) / len(turns) * 1000
    order = np.argsort(-(asked @ indexed.T), axis=1)
    shares = []
    for nearest in _NEAREST:
        hit = [
            (names[found[:nearest]] == wanted).any()
            for found, wanted in zip(order, turns["wanted"], strict=True)
        ]
        by_part = [np.mean(np.array(hit)[turns["seen"] == seen]) for seen in (True, False)]
        shares += [f"{share:.3f}" for share in by_part]
    return shares, each


def rewrites_of(
    rewriter: Rewriter, later: History, *, users: bool = True, frames: bool = False
) -> pd.Series:
    """The rewrite of each turn, asked one by one."""
    turns, words = later.turns, turn_contexts(later.turns)
    made = []
    for i, turn in enumerate(turns.itertuples()):
        device = next((w.partition(":")[2] for w in words[i] if w.startswith("device:")), None)
        answer = rewriter.rewrite(
            str(turn.text),
            str(turn.user_id) if users else None,
            device,
            float(str(turn.at)),
            before=[str(turn.before)] if isinstance(turn.before, str) else (),
            frame=str(turn.frame) if frames else None,
        )
        made.append(answer.rewrite)
    return pd.Series(made, dtype="object")


def personal_only(rewriter: Rewriter) -> Rewriter:
    """The same with nothing that is offered to everybody."""
    index = rewriter.known.index
    nobody = np.zeros_like(index.offered)
    unspoken = np.full_like(index.spoken, -1)
    arrays = {**index.arrays, "offered": nobody, "spoken": unspoken}
    own = Index.with_views(index.requests, index.habits, index.paths, index.views, arrays)
    rows = rewriter.rows.filter(rewriter.rows["user_id"].is_valid())
    return Rewriter._made(own, rows, rewriter.lifts, rewriter.said, rewriter.ranker, None)


def methods(
    mined: Mined, rewriter: Rewriter, split: Split, later: History
) -> Iterator[tuple[str, pd.Series]]:
    """The rewrites of the later turns by each method."""
    turns = split.later
    yield "mined rows", rewritten(turns, mined.rows)
    neighbours = Neighbours.of(mined, _ASSISTANT)
    assert neighbours is not None
    began = time.perf_counter()
    new = neighbours.rewrites(turns["text"].tolist(), turns["frame"].tolist())
    each = (time.perf_counter() - began) / len(turns) * 1000
    name = f"… + neighbours, frame known ({each:.1f} ms)"
    yield name, rewritten(turns, pa.concat_tables([mined.rows, new]))
    yield "ranking, global", rewrites_of(rewriter, later, users=False)
    yield "ranking, personal", rewrites_of(personal_only(rewriter), later)
    yield "ranking, both", rewrites_of(rewriter, later)
    yield "ranking, both, frame known", rewrites_of(rewriter, later, frames=True)


def main(folder: Path, share: float, until: float) -> None:
    split = divided(folder, share)
    earlier, later = histories(folder, share, until)
    ids = set(later.turns["turn_id"])
    kept = split.later[split.later["turn_id"].isin(ids)].reset_index(drop=True)
    split = Split(split.earlier, split.counted, kept)
    mined = from_counts(split.counted)
    outcomes, times = split.heard()
    rewriter = Rewriter.build(earlier, mined)
    print(f"Thresholds {rewriter.ranker.thresholds}; {rewriter.ranker.figures}\n", file=sys.stderr)

    index = rewriter.known.index
    known = {index.interpretation(code) for code in set(index.outcome[index.offered].tolist())}
    wrong = kept[kept["wrong"] & kept["wanted"].isin(known)].copy()
    wrong["seen"] = parts(wrong, times)["seen"]
    print(f"{len(wrong):,} wrong turns that an offered text would mend, {sum(~wrong['seen'])} new.")
    print(
        "\n| vectors | seen, 1 | new, 1 | seen, 10 | new, 10 | ms a text |"
        "\n|---|---:|---:|---:|---:|---:|"
    )
    with TemporaryDirectory() as temporary:
        pairs = pairs_of(mined)
        views: dict[str, Callable[[list[str]], Vectors]] = {
            "letters": lambda texts: NGrams.of("letters", texts),
            "sounds": lambda texts: NGrams.of("sounds", texts),
            "MiniLM": lambda _: plain(Path(temporary) / "plain"),
            f"MiniLM fitted on {len(pairs)} pairs": lambda _: fit(pairs, Path(temporary) / "fit"),
        }
        for name, vectors in views.items():
            shares, each = recall(vectors, index, wrong)
            print(f"| {name} | {' | '.join(shares)} | {each:.2f} |")
    print(f"\n| method | {' | '.join(_COLUMNS)} |\n|---{'|---:' * len(_COLUMNS)}|")
    masks = parts(kept, times)
    for name, rewrites in methods(mined, rewriter, split, later):
        rewrites = rewrites.where(rewrites != kept["text"])
        print(line(name, replay(kept, rewrites, outcomes)))
        for part in ("seen", "unseen"):
            mask = masks[part]
            print(line(f"&nbsp; {part}", replay(kept[mask], rewrites[mask], outcomes)))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    numbers = [float(word) for word in sys.argv[2:]]
    main(Path(sys.argv[1]), *[*numbers, *(0.7, 1.0)[len(numbers) :]])
