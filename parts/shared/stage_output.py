"""What each stage of one turn put out, as HTML blocks: a row of `turns` in, markup out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from charts.formatting import (
    confidence,
    milliseconds,
    number,
)
from charts.palette import colour_of
from data.schema.trace import STAGES
from data.schema.vocabulary import NAMES, STAGE_NAMES, failure_of
from parts.shared.html import (
    absent,
    block,
    chip,
    fold,
    gauge,
    line,
    muted,
    table,
    text,
)

Record = Mapping[str, Any]
_MOST = 20
_STATUS = {
    "ok": "done",
    "error": "failed with an error",
    "no_match": "found nothing",
    "unsupported": "cannot do this",
}


# How it is known which hypothesis was right.
_RIGHT = {"transcript": "Really said:", "said again": "Said again soon after:"}


def pipeline(turn: Record, blamed: str | None, right: tuple[int, str] | None = None) -> list[str]:
    """One block per stage in pipeline order; the stage that the failure point `blamed` names is
    outlined. `right` is the hypothesis that was really said, as `labels.correct_hypothesis.proven`
    finds it.
    """
    made = []
    for stage in STAGES:
        record = turn.get(stage)
        title = STAGE_NAMES[stage]
        if stage != "wake":
            title += f" · {NAMES[stage]}"
        colour = colour_of(stage)
        hit = failure_of(stage) == blamed
        note = "failure point" if hit else ""
        if not record or not _logged(record):
            made.append(
                block(title, colour, muted("nothing logged"), [], outline=True, note=note)
                if hit
                else absent(title, colour)
            )
            continue
        inner = _asr(record, hit, right) if stage == "asr" else _BODIES[stage](record, hit)
        body = [*inner, _signals(record)]
        made.append(block(title, colour, muted(_timing(record)), body, outline=hit, note=note))
    return made


def aftermath(turn: Record) -> str | None:
    """What the user did next: barge-in, an explicit answer, a rating, hanging up."""
    feedback = turn.get("feedback") or {}
    said = []
    if feedback.get("barge_in"):
        after = feedback.get("barge_in_ms")
        said.append("interrupted the answer" + (f" after {milliseconds(after)}" if after else ""))
    if feedback.get("explicit"):
        said.append(f"said “{text(feedback['explicit'])}” when asked whether it helped")
    if feedback.get("rating") is not None:
        said.append(f"rated it {number(feedback['rating'])}")
    if feedback.get("terminated"):
        said.append("ended the conversation here")
    if not said:
        return None
    return line(muted("The user ") + "; ".join(said) + ".", 0.92)


def annotation(turn: Record) -> str | None:
    """What an annotator found, where one has looked; None otherwise."""
    gold = turn.get("gold") or {}
    if not _logged(gold):
        return None
    rows: list[tuple[str, str]] = []
    if gold.get("addressed") is False:
        rows.append(("Assistant addressed", "no"))
    if gold.get("transcript") is not None:
        said = text(gold["transcript"]) if gold["transcript"] else muted("nothing")
        rows.append(("Said", said))
    if gold.get("intent") is not None or gold.get("domain") is not None:
        rows.append(("Meant", _meaning(gold)))
    elif gold.get("slots"):
        rows.append(("Meant", _slots(gold["slots"])))
    if gold.get("entities"):
        pairs = [f"{text(k)} = {text(v)}" for k, v in gold["entities"].items()]
        rows.append(("Entities", ", ".join(pairs)))
    if gold.get("action") is not None:
        rows.append(("Should do", text(gold["action"])))
    if gold.get("result_ok") is not None:
        rows.append(("Result", "right" if gold["result_ok"] else "wrong"))
    if gold.get("unsupported"):
        rows.append(("Asked for", "something the assistant cannot do"))
    replay = gold.get("replay") or {}
    if _logged(replay):
        rows.append(("NLU on these words", _meaning(replay)))
    body = [line(f"{muted(key)}&ensp;{value}", 0.92) for key, value in rows]
    verdict = gold.get("failure_point")
    head = chip(verdict) if verdict in NAMES else muted("no verdict")
    by = f"by {text(gold['annotator'])}" if gold.get("annotator") else ""
    foot = line(muted(by), 0.8) if by else ""
    return block("Annotator says", colour_of(verdict), head, [*body, foot])


def _wake(record: Record, hit: bool) -> list[str]:
    score, threshold = record.get("score"), record.get("threshold")
    said = f"“{text(record['phrase'])}” " if record.get("phrase") else ""
    if score is None:
        return [line(said or muted("score not logged"))]
    against = f", needed {confidence(threshold)}" if threshold is not None else ""
    return [line(f"{said}scored {confidence(score)}{against}")]


def _asr(record: Record, hit: bool, right: tuple[int, str] | None = None) -> list[str]:
    found = list(record.get("hypotheses") or [])
    colour = colour_of("asr")
    if not found:
        return [line(muted("No hypothesis: nothing was heard."))]
    first = found[0]
    body = [line(_quoted(first["text"]) + _scored(first.get("confidence")), 1.08)]
    better = [h for h in found[1:] if (h.get("confidence") or 0) > (first.get("confidence") or 0)]
    if better and first.get("confidence") is not None:
        best = max(better, key=lambda h: h["confidence"])
        body.append(
            line(muted(f"Passed on, though {_quoted(best['text'])}{_scored(best['confidence'])} "
                       "scored higher."), 0.88)
        )  # fmt: skip
    if right is not None and right[0]:
        said = f"{_quoted(found[right[0]]['text'])} (number {right[0] + 1})"
        body.append(line(f"<b>{_RIGHT[right[1]]}</b> {said}", 0.92))
    rows = [
        [
            f"{i} ✓" if right is not None and right[0] == i - 1 else str(i),
            f"<b>{_quoted(h['text'])}</b> {muted('right')}"
            if right is not None and right[0] == i - 1
            else _quoted(h["text"]),
            _measured(h.get("confidence"), colour),
        ]
        for i, h in enumerate(found[:_MOST], 1)
    ]
    if len(found) > 1:
        shown = hit or (right is not None and right[0] > 0)
        body.append(
            _folded(found, "hypotheses", table(["", "heard", "confidence"], rows, (2,)), shown)
        )
    facts = []
    if record.get("audio_ms") is not None:
        facts.append(f"{milliseconds(record['audio_ms'])} of audio")
    if record.get("endpoint"):
        facts.append(f"ended by {text(record['endpoint'])}")
    if facts:
        body.append(line(muted(" · ".join(facts)), 0.85))
    return body


def _nlu(record: Record, hit: bool) -> list[str]:
    found = list(record.get("hypotheses") or [])
    if not found:
        return [line(muted("No hypothesis: nothing was understood."))]
    first = found[0]
    body = [line(_meaning(first) + _scored(first.get("confidence")))]
    rows = [
        [str(i), _meaning(h), _measured(h.get("confidence"), colour_of("nlu"))]
        for i, h in enumerate(found[:_MOST], 1)
    ]
    if len(found) > 1:
        body.append(
            _folded(found, "hypotheses", table(["", "understood", "confidence"], rows, (2,)), hit)
        )
    return body


def _er(record: Record, hit: bool) -> list[str]:
    found = list(record.get("mentions") or [])
    if not found:
        return [line(muted("No entity to look up."))]
    # A long n-best list mentions the same thing once per hypothesis.
    distinct = list({(m.get("slot"), m.get("text")): m for m in reversed(found)}.values())[::-1]
    body = []
    for mention in distinct[:3]:
        candidates = list(mention.get("candidates") or [])
        name = f"{muted(text(mention.get('slot') or 'entity'))}&ensp;{_quoted(mention.get('text'))}"
        if not candidates:
            body.append(line(f"{name} → <b>not found</b>"))
            continue
        top = candidates[0]
        body.append(line(f"{name} → {_entity(top)}{_scored(top.get('score'))}"))
        if len(candidates) > 1:
            rows = [
                [str(i), _entity(c), _measured(c.get("score"), colour_of("er"))]
                for i, c in enumerate(candidates[:_MOST], 1)
            ]
            inner = table(["", "candidate", "score"], rows, (2,))
            body.append(_folded(candidates, "candidates", inner, hit and len(distinct) == 1))
    if len(distinct) > 3:
        rows = [
            [
                text(m.get("slot") or "–"),
                _quoted(m.get("text")),
                _entity(m["candidates"][0]) if m.get("candidates") else "not found",
                str(len(m.get("candidates") or [])),
            ]
            for m in distinct[3 : 3 + _MOST]
        ]
        inner = table(["slot", "text", "first candidate", "of"], rows, (3,))
        body.append(_folded(distinct[3:], "more mentions", inner, False))
    return body


def _result(record: Record, hit: bool) -> list[str]:
    body = []
    status = _STATUS.get(record.get("status") or "", "")
    action = f"<b>{text(record['action'])}</b>" if record.get("action") else ""
    if action or status:
        body.append(line(" · ".join(part for part in (action, status) if part)))
    if record.get("response"):
        body.append(line(f"answered {_quoted(record['response'])}"))
    if record.get("acts"):
        acts = [text(a["act"]) + _slots_in(a.get("slots")) for a in record["acts"]]
        body.append(line(muted(", ".join(acts)), 0.85))
    items = list(record.get("items") or [])
    if items:
        inner = "".join(line(text(item, 300), 0.88) for item in items[:_MOST])
        body.append(_folded(items, "items", inner, hit))
    return body or [line(muted("No answer was given."))]


_BODIES = {"wake": _wake, "asr": _asr, "nlu": _nlu, "er": _er, "result": _result}


def _logged(record: Record) -> bool:
    return any(value is not None and value != [] and value != {} for value in record.values())


def _timing(record: Record) -> str:
    parts = []
    if record.get("latency_ms") is not None:
        parts.append(f"took {milliseconds(record['latency_ms'])}")
    if record.get("start_ms") is not None:
        parts.append(f"from {milliseconds(record['start_ms'])}")
    return " · ".join(parts)


def _signals(record: Record) -> str:
    found = dict(record.get("signals") or {})
    if not found:
        return ""
    rows = [[text(k), number(v)] for k, v in sorted(found.items())]
    return fold(
        f"{len(rows)} signal{'s' * (len(rows) != 1)}", table(["signal", "value"], rows, (1,))
    )


def _folded(found: Sequence[Any], noun: str, inner: str, opened: bool) -> str:
    more = len(found) - _MOST
    rest = line(muted(f"and {more} more, in the raw record"), 0.85) if more > 0 else ""
    single = noun.removesuffix("s") if noun != "hypotheses" else "hypothesis"
    return fold(f"{len(found)} {single if len(found) == 1 else noun}", inner + rest, opened)


def _quoted(value: str | None) -> str:
    return f"“{text(value)}”" if value else muted("nothing")


def _scored(value: float | None) -> str:
    return "" if value is None else muted(f" {confidence(value)}")


def _measured(value: float | None, colour: str) -> str:
    return confidence(value) + (gauge(value, colour) if value is not None else "")


def _meaning(frame: Record) -> str:
    names = [text(frame[k]) for k in ("domain", "intent") if frame.get(k)]
    return f"<b>{' · '.join(names) or 'no intent'}</b>{_slots_in(frame.get('slots'))}"


def _slots_in(slots: Sequence[Record] | None) -> str:
    return f" ({_slots(slots)})" if slots else ""


def _slots(slots: Sequence[Record]) -> str:
    return ", ".join(
        text(s["name"]) + (f" = {text(s['value'])}" if s.get("value") is not None else "")
        for s in slots
    )


def _entity(candidate: Record) -> str:
    name, identity = candidate.get("name"), candidate.get("id")
    if name and identity:
        return f"{text(name)} {muted(text(identity))}"
    return text(name or identity or "unnamed")
