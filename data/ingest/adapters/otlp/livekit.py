"""Spans of LiveKit Agents → turns.

A session is a trace: `agent_session` → `user_turn` and `agent_turn` beside each other. Nothing
links these two but what was heard, and when: an `agent_turn` begins before its `user_turn` ends, as
answers are prepared ahead. Each is matched once.

| span: attribute | trace |
|---|---|
| trace id | `dialogue_id` |
| user_turn: trace and span id, start | `turn_id`, `started_at` |
| user_turn: `lk.pii.user_transcript`, `lk.transcript_confidence` (0: unknown) | `asr.hypotheses` |
| user_turn: duration | `asr.latency_ms` |
| user_turn: `lk.transcription_delay`, `lk.end_of_turn_delay` | `asr.signals` |
| function_tool: name, arguments, `is_error` | `nlu.hypotheses`, `result.status`, `acts` |
| llm_node: start, duration, status of the span | `nlu`, `result.status`, `acts` |
| agent_turn: `lk.pii.response.text`, what was spoken of it | `result.response` |
| agent_turn: `lk.interrupted`, unless its source is `programmatic` | `feedback.barge_in` |
| agent_turn: `lk.playout.position` of one interrupted | `feedback.barge_in_ms` |
| agent_turn: start, duration, `lk.e2e_latency` | `result.start_ms`, `latency_ms`, `signals` |
| agent_turn without a user's input | `prompt.text` of the next request |
| `gen_ai.request.model` of user_turn, llm_node | `versions.asr`, `nlu` |
| resource: `service.name`, else `gen_ai.agent.name` | `assistant` |
| resource: `service.version` | `versions.service` |

Content is in `lk.pii.*` since August 2026, before in `lk.*`. Where it is redacted, turns are
matched by their delays, which both spans have, and are stored without texts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from data.ingest.adapters.adapter import Assembled, Piece, Rejected
from data.ingest.adapters.otlp.conversation import WAITING, Request
from data.ingest.adapters.otlp.span import Call, Reader, Span, slots_of
from data.ingest.validation import Fault

_MODEL = "gen_ai.request.model"
_DELAYS = ("lk.transcription_delay", "lk.end_of_turn_delay")
# Microseconds after the end of a user's turn within which one of the agent's, of another text or
# none, answers it.
_SOON = 1_500_000


class UserTurn(msgspec.Struct, array_like=True, frozen=True, tag="livekit.user_turn"):
    """A span `user_turn`. `delays`: seconds of transcription, and until the turn ended."""

    span: str
    end: int
    text: str | None
    confidence: float | None
    delays: tuple[float | None, float | None]
    model: str | None
    length_ms: float | None
    service: str | None
    version: str | None


class AgentTurn(msgspec.Struct, array_like=True, frozen=True, tag="livekit.agent_turn"):
    """A span `agent_turn`."""

    span: str
    end: int
    heard: str | None
    said: str | None
    speech: str | None
    delays: tuple[float | None, float | None]
    e2e: float | None
    interrupted: bool
    position: float | None
    failed: str | None
    agent: str | None
    length_ms: float | None
    service: str | None
    version: str | None


class Tool(msgspec.Struct, array_like=True, frozen=True, tag="livekit.function_tool"):
    """A span `function_tool`."""

    parent: str
    call: Call


class Model(msgspec.Struct, array_like=True, frozen=True, tag="livekit.llm_node"):
    """A span `llm_node`."""

    parent: str
    failed: str | None
    model: str | None
    length_ms: float | None


class Session(msgspec.Struct, array_like=True, frozen=True, tag="livekit.agent_session"):
    """A span `agent_session`, the root."""


Records = UserTurn | AgentTurn | Tool | Model | Session


# -- spans -----------------------------------------------------------------------------------------


def _content(name: str) -> tuple[str, str]:
    """An attribute's name since, and before, personal content was marked as such."""
    return f"lk.pii.{name}", f"lk.{name}"


_TRANSCRIPT, _INPUT, _SAID = map(_content, ("user_transcript", "user_input", "response.text"))
_ARGUMENTS = (*_content("function_tool.arguments"), "gen_ai.tool.call.arguments")
_TOOL = ("lk.function_tool.name", "gen_ai.tool.name")
_CALL = ("lk.function_tool.id", "gen_ai.tool.call.id")


def _first(span: Span, names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := span.text(name)) is not None), None)


def _delays(span: Span) -> tuple[float | None, float | None]:
    return span.number(_DELAYS[0]), span.number(_DELAYS[1])


def _user_turn(span: Span) -> UserTurn:
    confidence = span.number("lk.transcript_confidence")
    return UserTurn(
        span.id,
        span.end,
        _first(span, _TRANSCRIPT),
        confidence or None,
        _delays(span),
        span.text(_MODEL),
        span.length_ms,
        span.service,
        span.version,
    )


def _agent_turn(span: Span) -> AgentTurn:
    by_user = span.text("lk.interruption.source") != "programmatic"
    return AgentTurn(
        span.id,
        span.end,
        _first(span, _INPUT),
        _first(span, _SAID),
        span.text("lk.speech_id"),
        _delays(span),
        span.number("lk.e2e_latency"),
        span.flag("lk.interrupted") is True and by_user,
        span.number("lk.playout.position"),
        span.failed,
        span.text("gen_ai.agent.name") or span.text("lk.agent_label"),
        span.length_ms,
        span.service,
        span.version,
    )


def _function_tool(span: Span) -> Tool:
    name = _first(span, _TOOL)
    if name is None:
        raise Fault(f"attributes.{_TOOL[0]}", "missing; a span 'function_tool' of LiveKit has it")
    failed = span.flag("lk.function_tool.is_error") or span.failed
    error = (span.text("error.type") or span.failed or "error") if failed else None
    arguments = next((a for n in _ARGUMENTS if (a := span.attributes.get(n)) is not None), None)
    return Tool(span.parent, Call(_first(span, _CALL), name, slots_of(arguments), error))


def _llm_node(span: Span) -> Model:
    return Model(span.parent, span.failed, span.text(_MODEL), span.length_ms)


def _session(_: Span) -> Session:
    return Session()


READERS = {
    "agent_session": Reader(_session, frozenset()),
    "user_turn": Reader(
        _user_turn, frozenset((*_TRANSCRIPT, "lk.transcript_confidence", *_DELAYS, _MODEL))
    ),
    "agent_turn": Reader(
        _agent_turn,
        frozenset((*_INPUT, *_SAID, *_DELAYS, "lk.speech_id", "lk.e2e_latency", "lk.interrupted",
                   "lk.interruption.source", "lk.playout.position", "gen_ai.agent.name",
                   "lk.agent_label")),
    ),
    "function_tool": Reader(
        _function_tool,
        frozenset((*_TOOL, *_CALL, *_ARGUMENTS, "lk.function_tool.is_error", "error.type")),
    ),
    "llm_node": Reader(_llm_node, frozenset((_MODEL,))),
}  # fmt: skip


def chosen(scope: str, name: str) -> Reader | None:
    """The reader of a span of LiveKit's, whose scope is `livekit-agents`."""
    return READERS.get(name) if not scope or scope.startswith("livekit") else None


# -- turns -----------------------------------------------------------------------------------------


class LiveKitSession:
    """The turns of a session; see `conversation.Conversation`."""

    def __init__(self) -> None:
        self._waiting: list[Request] = []
        self._users: dict[int, UserTurn] = {}
        self._agents: deque[tuple[AgentTurn, Request | None]] = deque(maxlen=2 * WAITING)
        self._unasked: deque[str] = deque(maxlen=WAITING)
        self._number = 0

    def add(self, piece: Piece, record: Records) -> Iterator[Assembled | Rejected]:
        """Take in a span; yields the turns that are complete."""
        if isinstance(record, UserTurn):
            request = self._request(piece, record)
            self._users[id(request)] = record
            yield from self._wait(request)
        elif isinstance(record, AgentTurn):
            yield from self._agent(piece, record)
        elif not isinstance(record, Session) and (asked := self._of(record.parent, piece.at)):
            if isinstance(record, Tool):
                asked.called([record.call])
            else:
                asked.error = record.failed
                asked.stage("nlu", piece.at, record.length_ms)
                asked.fields["versions"].setdefault("nlu", record.model)

    def close(self) -> Iterator[Assembled | Rejected]:
        """The turns that are left at the end of the trace."""
        while self._waiting:
            yield from self._first_done()

    def _wait(self, request: Request) -> Iterator[Assembled]:
        self._waiting.append(request)
        if len(self._waiting) > WAITING:
            yield from self._first_done()

    def _request(self, piece: Piece, record: UserTurn) -> Request:
        request = Request(piece, record.span, record.text)
        heard = {"text": record.text, "confidence": record.confidence}
        transcription, end_of_turn = record.delays
        signals = {"transcription_delay": transcription, "end_of_turn_delay": end_of_turn}
        request.fields = {
            "assistant": record.service,
            "versions": {"asr": record.model, "service": record.version},
            "asr": {
                "hypotheses": [heard] if record.text else None,
                "latency_ms": record.length_ms,
                "signals": signals,
            },
        }
        self._prompt(request)
        return request

    def _prompt(self, request: Request) -> None:
        request.prompt = " ".join(self._unasked) or None
        self._unasked.clear()

    def _agent(self, piece: Piece, record: AgentTurn) -> Iterator[Assembled]:
        request = self._again(record) or self._match(piece, record)
        if request is None and record.heard:
            # The user's turn has not arrived.
            request = Request(piece, record.span, record.heard)
            request.fields = {
                "assistant": record.service,
                "versions": {"service": record.version},
            }
            self._prompt(request)
            yield from self._wait(request)
        self._agents.append((record, request))
        if request is None:
            if record.said:
                self._unasked.append(record.said)
            return
        fields = request.fields
        fields["assistant"] = fields.get("assistant") or record.agent
        fields.setdefault(
            "result",
            {
                "start_ms": request.since_start(piece.at),
                "latency_ms": record.length_ms,
                "signals": {"e2e_latency": record.e2e},
            },
        )
        request.error = record.failed
        if record.said:
            request.responses.append(record.said)
        if record.interrupted:
            request.barge_in = True
            position = record.position
            if position is not None and position >= 0:
                request.barge_in_ms = position * 1_000

    def _again(self, record: AgentTurn) -> Request | None:
        """The request that an earlier turn of the agent's with the same speech has answered."""
        if record.speech is None:
            return None
        same = (r for agent, r in self._agents if agent.speech == record.speech)
        return next((request for request in same if self._is_waiting(request)), None)

    def _is_waiting(self, request: Request | None) -> bool:
        return any(request is each for each in self._waiting)

    def _match(self, piece: Piece, record: AgentTurn) -> Request | None:
        """The request that a turn of the agent's answers, which then is no longer open."""
        users = [(r, self._users[id(r)]) for r in self._waiting if id(r) in self._users]
        near = {id(request): abs(piece.at - user.end) for request, user in users}
        fitting: list[Request] = []
        if record.heard:
            words = record.heard.split()
            fitting = [r for r, user in users if user.text and user.text.split() == words]
        if not fitting and record.delays != (None, None):
            fitting = [r for r, user in users if user.delays == record.delays]
        if not fitting and (record.heard or record.e2e is not None):
            fitting = [r for r, _ in users if near[id(r)] < _SOON]
        if not fitting:
            return None
        request = min(fitting, key=lambda each: near[id(each)])
        del self._users[id(request)]
        return request

    def _of(self, parent: str, at: int) -> Request | None:
        """The request of the turn of the agent's below which a span lies, directly or not."""
        for agent, request in reversed(self._agents):
            if agent.span == parent:
                return request if self._is_waiting(request) else None
        for agent, request in reversed(self._agents):
            if at <= agent.end and self._is_waiting(request):
                return request
        return None

    def _first_done(self) -> Iterator[Assembled]:
        request = self._waiting.pop(0)
        unanswered = self._users.pop(id(request), None) is not None
        if unanswered and not request.heard:
            # A noise, or a redacted turn that nothing answered.
            return
        yield request.turn(request.origin.group, self._number, succeeded=True)
        self._number += 1
