"""Turns for an outside judge: a JSON object per line, and instructions beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from data.errors import UsageError, machine_error
from data.queries.judges import judge_records
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FAILURE_MEANINGS
from data.store.durability import replacing

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

MOST = 1_000_000

INSTRUCTIONS = f"""\
# What to judge

Each line of the file is one turn of a voice assistant, as it was logged: one request and what was
done with it. Say which stage failed first, that is, the first stage whose error no later stage
made good. Judge by the outcome: an error that changed nothing for the user is no failure.

A turn has one of six failure points. In the order of the pipeline:

{chr(10).join(f"- `{name}`: {FAILURE_MEANINGS[name]}." for name in FAILURE_POINTS)}

What the fields mean, each only where it was logged:

- `prompt`: what the assistant had said before.
- `wake`: the score of the wake word, and the threshold that it had to reach.
- `heard`: what speech recognition (ASR) heard, the best hypothesis first, with confidences.
- `understood`: what language understanding (NLU) made of it: domain, intent and slots, the best
  frame first.
- `resolved`: what entity resolution (ER) found for each mention.
- `result`: what was done: action, status, response. `no_match`: nothing was found.
- `feedback`: whether the user interrupted, ended the dialogue, or said whether it was right.
- `next_request`: what was heard next in the same dialogue, and after how many seconds. The same
  again in other words speaks for a failure; another subject against one.

# What to answer

One JSON object per line (or CSV, or Parquet), for every turn:

    {{"turn_id": "…", "digest": "…", "failure_point": "asr", "reason": "…"}}

- `turn_id`, and `digest` if you keep it: copied from the turn.
- `failure_point`: one of the six; null where you cannot or will not say.
- Optional: `p_{FAILURE_POINTS[0]}` … `p_{FAILURE_POINTS[-1]}`, probabilities that add up to 1, or
  `probabilities`, an object of them by failure point; or `confidence`, the probability that
  `failure_point` is right.
- Optional: `reason`, in a sentence; `cost`, what this answer cost.

Other fields are ignored, so that the turn's own may stay.
"""


@dataclass(frozen=True, slots=True)
class JudgeTurns:
    """What was written: the number of turns, the file, and the file of instructions."""

    turns: int
    file: str
    instructions: str


def export_judge_turns(
    snapshot: Snapshot,
    to: str | Path,
    *,
    turns: int | None = None,
    seed: int = 0,
    known: bool = True,
) -> JudgeTurns:
    """Write turns for a judge, in random order, and the instructions beside them.

    Parameters
    ----------
    to: a file ending in .jsonl; instructions go to the same name ending in .instructions.md.
    turns: how many are drawn at random, by `seed`; all by default.
    known: only turns whose truth is known.

    The file holds no gold, no verdict, no user and no device. Raises UsageError for another ending,
    a file that cannot be written, or where there is no turn to judge.
    """
    target = Path(to).expanduser()
    if target.suffix.lower() != ".jsonl":
        raise UsageError(
            f"Turns cannot be written to '{target.name}'; its name must end in .jsonl."
        )
    beside = target.with_suffix(".instructions.md")
    if target.is_dir() or beside.is_dir() or not target.parent.is_dir():
        raise UsageError(f"Cannot write {target}; give a file in a folder that exists.")
    written = 0
    try:
        with replacing(target) as draft:
            with draft.open("wb") as file:
                for batch in judge_records(snapshot, turns or MOST, seed, known=known):
                    rows = (_logged(row) or {} for row in batch.to_pylist())
                    file.writelines(orjson.dumps(row) + b"\n" for row in rows)
                    written += batch.num_rows
            if not written:
                raise UsageError(_nothing(known))
        with replacing(beside) as draft:
            draft.write_text(INSTRUCTIONS, "utf-8")
    except OSError as error:
        raise machine_error(error, target) or UsageError(
            f"Cannot write {target}: {error.strerror}."
        ) from error
    return JudgeTurns(written, str(target), str(beside))


def _nothing(known: bool) -> str:
    if known:
        return (
            "No turn has a known truth that a judge could be compared with; annotate some, or "
            "export others too with --any."
        )
    return "The store holds no turns; ingest some with: faultline ingest PATH… --store DIR"


def _logged(value: Any) -> Any:
    """A value without what was not logged: None for nothing."""
    if isinstance(value, dict):
        kept = {key: _logged(part) for key, part in value.items()}
        return {key: part for key, part in kept.items() if part is not None} or None
    if isinstance(value, list):
        # An empty list was logged: no candidate was found.
        return [_logged(part) for part in value]
    return value
