"""What each stage of one turn put out: a row of `turns` in, one piece of HTML per stage out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from charts.html import piece
from charts.palette import colour_of
from data.schema.trace import STAGES
from data.schema.vocabulary import NAMES, STAGE_NAMES, failure_of

Record = Mapping[str, Any]
_TEMPLATE = "parts/shared/stage_output.html"


def pipeline(
    turn: Record,
    blamed: str | None,
    right: tuple[int, str] | None = None,
    guessed: bool = False,
    calls_tools: bool = False,
) -> list[str]:
    """One block per stage in pipeline order.

    The stage that the failure point `blamed` names is outlined. `right` is the hypothesis that was
    really said, as returned by `labels.rules.correct_hypothesis.proven`. With `guessed` the outline
    says that it is a guess, see `parts.shared.unchecked`. `calls_tools`: the assistant is an agent
    (`parts.shared.agents`), whose intents are tools.
    """
    blocks = []
    for stage in STAGES:
        title = STAGE_NAMES[stage]
        if stage != "wake":
            title += f" · {NAMES[stage]}"
        colour = colour_of(stage)
        record = turn.get(stage)
        failed = failure_of(stage) == blamed
        if not record or not _logged(record):
            values = {"title": title, "colour": colour}
            if failed:
                blocks.append(piece(_TEMPLATE, "absent_failure", guessed=guessed, **values))
            else:
                blocks.append(piece(_TEMPLATE, "absent", **values))
            continue
        extra: dict[str, Any] = {}
        if stage == "asr":
            extra = {"right": right, "higher": _scored_higher(record.get("hypotheses") or [])}
        elif stage == "nlu":
            extra = {"calls_tools": calls_tools}
        elif stage == "er":
            extra = {"mentions": _distinct(record.get("mentions") or [])}
        blocks.append(
            piece(
                _TEMPLATE,
                stage,
                title=title,
                colour=colour,
                record=record,
                failed="guess" if failed and guessed else failed,
                **extra,
            )
        )
    return blocks


def aftermath(turn: Record) -> str | None:
    """What the user did next: barge-in, an explicit answer, a rating, hanging up."""
    feedback = turn.get("feedback") or {}
    acted = any(feedback.get(name) for name in ("barge_in", "explicit", "terminated"))
    if not acted and feedback.get("rating") is None:
        return None
    return piece(_TEMPLATE, "aftermath", feedback=feedback)


def annotation(turn: Record, href: str = "") -> str | None:
    """What an annotator wrote about the turn; None where nobody has annotated it.

    `href` is the address of the earlier turn that this one repairs.
    """
    gold = turn.get("gold") or {}
    if not _logged(gold):
        return None
    replay = gold.get("replay") or {}
    return piece(
        _TEMPLATE,
        "annotation",
        gold=gold,
        replay=replay if _logged(replay) else None,
        ratings=_ratings(gold.get("ratings") or []),
        href=href,
    )


def _ratings(ratings: Sequence[Record]) -> list[dict[str, Any]]:
    """The mean rating of each kind (`of`), and of how many raters."""
    values: dict[str, list[float]] = {}
    for rating in ratings:
        if rating.get("value") is not None:
            values.setdefault(str(rating.get("of") or "response"), []).append(rating["value"])
    return [{"of": of, "mean": fmean(v), "n": len(v)} for of, v in values.items()]


def _scored_higher(hypotheses: Sequence[Record]) -> Record | None:
    """The hypothesis with the highest confidence; None where it is the first or cannot be known."""
    first = hypotheses[0].get("confidence") if hypotheses else None
    if first is None:
        return None
    best = max(hypotheses, key=lambda h: h.get("confidence") or 0.0)
    return best if (best.get("confidence") or 0.0) > first else None


def _distinct(mentions: Sequence[Record]) -> list[Record]:
    """The mentions without repeats: a long n-best list has the same one once per hypothesis."""
    return list({(m.get("slot"), m.get("text")): m for m in reversed(mentions)}.values())[::-1]


def _logged(record: Record) -> bool:
    return any(value is not None and value != [] and value != {} for value in record.values())
