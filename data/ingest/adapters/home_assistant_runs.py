"""Events of Home Assistant's Assist pipelines, put together to runs, and these to turns."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from data.ingest.adapters.adapter import Assembled, Piece, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    iso,
    items,
    mapping,
    number_or_none,
    objects,
    pack,
    text_or_none,
    unpack,
    without_nulls,
)

# Events of one time, in this order.
_ORDER = (
    "run-start",
    "wake_word-start",
    "wake_word-end",
    "stt-start",
    "stt-vad-start",
    "stt-vad-end",
    "stt-end",
    "intent-start",
    "intent-progress",
    "intent-end",
    "tts-start",
    "tts-end",
    "error",
    "run-end",
)
# Errors before anybody asked for anything.
_NOT_ASKED = (
    "wake-engine-missing",
    "wake-provider-missing",
    "wake-stream-failed",
    "wake-word-timeout",
    "wake_word_detection_aborted",
    "duplicate_wake_up_detected",
)
_NOT_UNDERSTOOD = ("no_intent_match", "no_valid_targets")

# A run stays open for events that follow its end, as they do at a timeout.
_GRACE_US = 10_000_000
# Twice the time that Home Assistant gives a run.
_ABANDONED_US = 600_000_000
_SWEEP_US = 1_000_000
_MOST_OPEN = 10_000
# Conversations whose number of turns is remembered; they end after minutes.
_MOST_DIALOGUES = 200_000


# -- pieces → runs ---------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Run:
    """What is known of a run. `name`: pipeline and time of run-start, None where that is missing;
    `last`: time of its latest event; `part`: of the input that told it last."""

    name: tuple[str, int] | None
    origin: Piece
    last: int
    part: int
    stream: str | None = None
    events: dict[bytes, tuple[int, str, Any]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    woken: int | None = None
    replaced: bool = False

    def add(self, at: int, kind: str, data: Any) -> None:
        self.events[pack((at, kind, data))] = (at, kind, data)
        self.kinds.add(kind)
        self.last = max(self.last, at)
        if kind == "wake_word-end":
            self.woken = at if self.woken is None else min(at, self.woken)

    @property
    def over(self) -> bool:
        return not self.kinds.isdisjoint(("run-end", "error"))

    @property
    def waiting(self) -> bool:
        """Whether it waits for the wake word, which may be hours."""
        if "wake_word-start" not in self.kinds or self.woken is not None:
            return False
        return not (self.over or self.replaced)

    @property
    def began(self) -> int:
        return self.origin.at if self.woken is None else self.woken


class Runs:
    """Puts events together to runs and these, in the order of their beginnings, to dialogues."""

    def __init__(self, settings: Settings) -> None:
        self._idle = settings.idle_us
        self._open: dict[int, _Run] = {}
        self._named: dict[tuple[str, int], _Run] = {}
        self._streams: dict[str, list[_Run]] = {}
        self._conversations: OrderedDict[str, _Run] = OrderedDict()
        # When it was last looked for runs that have ended, and the pieces since.
        self._swept: int | None = None
        self._unswept = 0
        self._closed: list[tuple[int, int, _Run]] = []
        self._numbers = count()
        self._dialogues: OrderedDict[str, int] = OrderedDict()
        # Of devices without conversations: dialogue, and when it was heard last.
        self._devices: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def add(self, piece: Piece) -> None:
        told = unpack(piece.data)
        if "run" in told:
            events = [tuple(event) for event in told["run"]]
            start = next(event for event in events if event[1] == "run-start")
            run = self._begun(piece, start[2])
            for at, kind, data in events:
                run.add(at, kind, data)
            self._known_by_conversation(run, mapping(start[2]))
        elif "chat" in told:
            self._add_chat(told["chat"], piece.at, told["data"])
        else:
            run = self._run_of(piece, told)
            run.add(piece.at, told["kind"], told["data"])
            run.part = piece.part
            self._known_by_conversation(run, mapping(told["data"]))

    def _run_of(self, piece: Piece, told: dict[str, Any]) -> _Run:
        """The run that a message's event belongs to: of those that began under the same id, the
        last one in the same part of the input, which is at least one connection, or else the last
        one."""
        stream = told["stream"]
        runs = self._streams.setdefault(stream, [])
        here = [run for run in runs if run.part == piece.part]
        if told["kind"] == "run-start":
            run = self._begun(piece, told["data"])
            for earlier in here:
                earlier.replaced = earlier is not run
        elif runs:
            return (here or runs)[-1]
        else:
            run = self._opened(None, piece)
        if run.stream is None:
            run.stream = stream
            runs.append(run)
        return run

    def _begun(self, piece: Piece, data: Any) -> _Run:
        name = (as_text(mapping(data).get("pipeline")), piece.at)
        run = self._named.get(name)
        if run is None:
            run = self._named[name] = self._opened(name, piece)
        return run

    def _opened(self, name: tuple[str, int] | None, piece: Piece) -> _Run:
        run = _Run(name, piece, piece.at, piece.part)
        self._open[id(run)] = run
        return run

    def _known_by_conversation(self, run: _Run, data: dict[str, Any]) -> None:
        conversation = data.get("conversation_id")
        if isinstance(conversation, str):
            self._conversations[conversation] = run
            self._conversations.move_to_end(conversation)
            if len(self._conversations) > _MOST_OPEN:
                self._conversations.popitem(last=False)

    def _add_chat(self, conversation: str, at: int, data: Any) -> None:
        run = self._conversations.get(conversation)
        if run is not None and id(run) in self._open:
            # Not later than the run's own events, so that it does not stay open for it.
            run.add(min(at, run.last), "intent-progress", {"chat_log_delta": data})

    def until(self, now: int) -> Iterator[Assembled | Rejected]:
        """The turns that are complete at this time."""
        if len(self._open) > _MOST_OPEN:
            self._shut(next(iter(self._open.values())))
        self._unswept += 1
        soon = self._swept is not None and now - self._swept < _SWEEP_US
        if soon and self._unswept < _MOST_OPEN:
            return
        self._swept, self._unswept = now, 0
        for run in list(self._open.values()):
            quiet = now - run.last
            ended = run.over or run.replaced
            if quiet > (_GRACE_US if ended else _ABANDONED_US) and not run.waiting:
                self._shut(run)
        first = min((run.began for run in self._open.values() if not run.waiting), default=None)
        yield from self._released(first)

    def close(self) -> Iterator[Assembled | Rejected]:
        """The turns that are left."""
        for run in list(self._open.values()):
            self._shut(run)
        yield from self._released(None)

    def _shut(self, run: _Run) -> None:
        del self._open[id(run)]
        if run.name is not None:
            del self._named[run.name]
        if run.stream is not None:
            runs = self._streams[run.stream]
            runs.remove(run)
            if not runs:
                del self._streams[run.stream]
        heapq.heappush(self._closed, (run.began, next(self._numbers), run))

    def _released(self, before: int | None) -> Iterator[Assembled | Rejected]:
        """Closed runs as turns, in the order of their beginnings, as far as no run that began
        earlier is still open."""
        while self._closed and (before is None or self._closed[0][0] < before):
            run = heapq.heappop(self._closed)[2]
            turn = _turn(run)
            if turn is None:
                continue
            if run.name is None:
                yield Rejected(
                    run.origin, "run-start", "missing; the run began before this log does"
                )
                continue
            dialogue = turn["dialogue_id"] or self._without_conversation(turn, run)
            turn["dialogue_id"] = dialogue
            turn["turn_index"] = self._dialogues.pop(dialogue, -1) + 1
            self._dialogues[dialogue] = turn["turn_index"]
            if len(self._dialogues) > _MOST_DIALOGUES:
                self._dialogues.popitem(last=False)
            yield Assembled(without_nulls(turn), run.origin)

    def _without_conversation(self, turn: dict[str, Any], run: _Run) -> str:
        """The dialogue of a request that names no conversation: its device's, unless that has been
        idle; of one without a device, the run alone."""
        device = mapping(turn["device"]).get("id")
        if device is None:
            return str(turn["turn_id"])
        dialogue, heard = self._devices.pop(device, ("", 0))
        if not dialogue or run.began - heard > self._idle:
            dialogue = f"{device}:{iso(run.began)}"
        self._devices[device] = (dialogue, run.last)
        if len(self._devices) > _MOST_DIALOGUES:
            self._devices.popitem(last=False)
        return dialogue


# -- runs → turns ----------------------------------------------------------------------------------


def _turn(run: _Run) -> dict[str, Any] | None:
    """The turn of a run, with `dialogue_id` None where no conversation is named; None if nobody
    asked for anything, or nothing of it is known yet."""
    events = sorted(run.events.values(), key=lambda event: (event[0], _ORDER.index(event[1])))
    first: dict[str, tuple[int, dict[str, Any]]] = {}
    for at, kind, data in events:
        first.setdefault(kind, (at, mapping(data)))
    codes = [text_or_none(mapping(data).get("code")) for _, kind, data in events if kind == "error"]
    errors = [code for code in codes if code]
    asked = "intent-start" in first or "intent-end" in first
    spoken = "stt-start" in first or "stt-end" in first
    if not asked and (not spoken or not {*errors}.isdisjoint(_NOT_ASKED)):
        return None
    if not asked and "stt-end" not in first and not run.over:
        return None
    start = first.get("run-start", (0, {}))[1]
    intent = first.get("intent-start", (0, {}))[1]
    output = mapping(first.get("intent-end", (0, {}))[1].get("intent_output"))
    response = mapping(output.get("response"))
    told = (output, intent, start)
    conversation = next((c for each in told if (c := _name(each, "conversation_id"))), None)
    device = (
        _name(start, "satellite_id") or _name(intent, "satellite_id") or _name(intent, "device_id")
    )
    calls, failures = _tools(events)
    clock = _Clock(run.began, first)
    return {
        "turn_id": f"ha:{run.name[0]}:{iso(run.name[1])}" if run.name else "",
        "dialogue_id": conversation,
        "turn_index": 0,
        "started_at": iso(run.began),
        "locale": _name(start, "language"),
        "device": {"id": device},
        "versions": {
            stage: _name(first.get(f"{name}-start", (0, {}))[1], "engine")
            for stage, name in (("asr", "stt"), ("nlu", "intent"), ("tts", "tts"))
        },
        "wake": {"phrase": _phrase(first)},
        "asr": _heard(first, clock),
        "nlu": _understood(response, calls, clock) if asked else None,
        "er": _resolved(response),
        "result": {
            "status": _status(response, failures, errors, "intent-end" in first),
            "response": _said(response),
            "acts": [{"act": code} for code in (*_codes(response), *failures, *errors)] or None,
        },
        "tts": {"start_ms": clock.start("tts-start"), "latency_ms": _speaking(start, clock)},
    }


@dataclass(frozen=True)
class _Clock:
    """When events happened, in milliseconds from the beginning of a turn."""

    began: int
    first: Mapping[str, tuple[int, dict[str, Any]]]

    def start(self, kind: str) -> float | None:
        return self._between(self.began, kind)

    def duration(self, start: str, end: str) -> float | None:
        return self._between(self.first[start][0], end) if start in self.first else None

    def _between(self, start: int, kind: str) -> float | None:
        """None, too, where a clock was set back."""
        if kind not in self.first or self.first[kind][0] < start:
            return None
        return (self.first[kind][0] - start) / 1_000


def _name(data: dict[str, Any], field: str) -> str | None:
    return text_or_none(data.get(field))


def _phrase(first: Mapping[str, tuple[int, dict[str, Any]]]) -> str | None:
    woken = mapping(first.get("wake_word-end", (0, {}))[1].get("wake_word_output"))
    return _name(woken, "wake_word_phrase") or _name(woken, "wake_word_id")


def _heard(first: Mapping[str, tuple[int, dict[str, Any]]], clock: _Clock) -> dict[str, Any]:
    text = _name(mapping(first.get("stt-end", (0, {}))[1].get("stt_output")), "text")
    text = text or _name(first.get("intent-start", (0, {}))[1], "intent_input")
    begin, end = (
        number_or_none(first.get(kind, (0, {}))[1].get("timestamp"))
        for kind in ("stt-vad-start", "stt-vad-end")
    )
    return {
        "hypotheses": [{"text": text}] if text else [],
        "audio_ms": end - begin if begin is not None and end is not None and end >= begin else None,
        "start_ms": clock.start("stt-start"),
        "latency_ms": clock.duration("stt-start", "stt-end"),
    }


def _tools(events: Iterable[tuple[int, str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The tool calls of a run, each once, and what went wrong with them."""
    calls: dict[str, dict[str, Any]] = {}
    failures: dict[str, None] = {}
    for _, kind, data in events:
        if kind != "intent-progress":
            continue
        delta = mapping(mapping(data).get("chat_log_delta"))
        for call in objects(delta.get("tool_calls")):
            if name := _name(call, "tool_name"):
                slots = [
                    {"name": slot, "value": as_text(value)}
                    for slot, value in mapping(call.get("tool_args")).items()
                    if value is not None
                ]
                known = _name(call, "id") or as_text([name, call.get("tool_args")])
                calls[known] = {"intent": name, "slots": slots}
        answer = mapping(delta.get("tool_result"))
        if answer.get("error"):
            failures[text_or_none(answer["error"]) or "tool-failed"] = None
        elif answer.get("response_type") == "error":
            failures[_name(mapping(answer.get("data")), "code") or "tool-failed"] = None
        elif items(mapping(answer.get("data")).get("failed")):
            failures["tool-failed"] = None
    return list(calls.values()), list(failures)


def _codes(response: dict[str, Any]) -> list[str]:
    code = _name(mapping(response.get("data")), "code")
    return [code] if code and response.get("response_type") == "error" else []


def _understood(
    response: dict[str, Any], calls: list[dict[str, Any]], clock: _Clock
) -> dict[str, Any]:
    """The tool calls as hypotheses; none, but known to be none, where no intent matched."""
    none: list[Any] | None = [] if "no_intent_match" in _codes(response) else None
    return {
        "hypotheses": calls or none,
        "start_ms": clock.start("intent-start"),
        "latency_ms": clock.duration("intent-start", "intent-end"),
    }


def _resolved(response: dict[str, Any]) -> dict[str, Any] | None:
    if "no_valid_targets" in _codes(response):
        return {"mentions": [{"candidates": []}]}
    data = mapping(response.get("data"))
    targets: list[dict[str, Any]] = next(
        (found for name in ("success", "failed", "targets") if (found := objects(data.get(name)))),
        [],
    )
    mentions = [
        {
            "slot": _name(each, "type"),
            "candidates": [{"id": _name(each, "id"), "name": _name(each, "name")}],
        }
        for each in targets
        if _name(each, "id") or _name(each, "name")
    ]
    return {"mentions": mentions} if mentions else None


def _status(
    response: dict[str, Any], failures: list[str], errors: list[str], ended: bool
) -> str | None:
    """How a request ended; a failure of speech synthesis is none of the request."""
    kind = response.get("response_type")
    if not ended:
        return "error" if errors else None
    if kind == "error":
        return "no_match" if {*_codes(response)} & {*_NOT_UNDERSTOOD} else "error"
    if failures or items(mapping(response.get("data")).get("failed")):
        return "error"
    return "ok" if kind in ("action_done", "query_answer", "partial_action_done") else None


def _said(response: dict[str, Any]) -> str | None:
    speech = mapping(response.get("speech"))
    spoken = (_name(mapping(speech.get(form)), "speech") for form in ("plain", "ssml"))
    return next((text for text in spoken if text), None)


def _speaking(start: dict[str, Any], clock: _Clock) -> float | None:
    """How long speech synthesis took; where the address of its output was known beforehand,
    `tts-end` does not say so."""
    return None if "tts_output" in start else clock.duration("tts-start", "tts-end")
