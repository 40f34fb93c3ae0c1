"""What the instrumentations share in making turns of spans that come in order of their start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from data.ingest.adapters.adapter import Assembled, Piece, Rejected
from data.ingest.adapters.common import iso, without_nulls
from data.ingest.adapters.otlp.span import Call

# Requests of a trace that wait for spans that begin after the next one does.
WAITING = 8


class Conversation(Protocol):
    """The turns of one instrumentation's spans in a trace."""

    def add(self, piece: Piece, record: Any) -> Iterator[Assembled | Rejected]:
        """Take in a span; yields the turns that are complete."""
        ...

    def close(self) -> Iterator[Assembled | Rejected]:
        """The turns that are left at the end of the trace."""
        ...


@dataclass
class Request:
    """A request of a user while its spans come in.

    Attributes
    ----------
    origin: the piece that it began with. span: the id in its turn's id. heard: what was passed on
    by the ASR. responses: what was spoken, in order. answers: what the language model said, for
    where nothing was spoken. error: the kind of error that it ended with.
    """

    origin: Piece
    span: str
    heard: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    error: str | None = None
    barge_in: bool | None = False
    barge_in_ms: float | None = None
    prompt: str | None = None

    def since_start(self, at: int) -> float:
        """Milliseconds from the beginning of the request."""
        return max(0.0, (at - self.origin.at) / 1_000)

    def called(self, calls: Iterable[Call]) -> None:
        """Add the calls that are not known yet; one that is known may have failed since."""
        for call in calls:
            for index, known in enumerate(self.calls):
                if call.id is not None and known.id == call.id:
                    self.calls[index] = call if call.failed else known
                    break
            else:
                self.calls.append(call)

    def stage(self, name: str, at: int, length_ms: float | None) -> None:
        """When a stage first began, and how long it took."""
        self.fields.setdefault(name, {"start_ms": self.since_start(at), "latency_ms": length_ms})

    def turn(self, dialogue: str, number: int, succeeded: bool = False) -> Assembled:
        """The turn in the trace format. `succeeded`: calls without an error are known to have gone
        well."""
        failed = [call.failed for call in self.calls if call.failed]
        errors = list(dict.fromkeys(([self.error] if self.error else []) + failed))
        status = "error" if errors else "ok" if succeeded and self.calls else None
        said = " ".join(self.responses) or " ".join(self.answers)
        fields = dict(self.fields)
        asr = {
            "hypotheses": [{"text": self.heard}] if self.heard else None,
            **fields.pop("asr", {}),
        }
        nlu = {"hypotheses": [call.hypothesis() for call in self.calls] or None}
        result = {
            "status": status,
            "response": said or None,
            "acts": [{"act": error} for error in errors] or None,
            **fields.pop("result", {}),
        }
        turn = {
            "turn_id": f"{self.origin.group}-{self.span}",
            "dialogue_id": dialogue,
            "turn_index": number,
            "started_at": iso(self.origin.at),
            "prompt": {"text": self.prompt},
            "asr": asr,
            "nlu": {**nlu, **fields.pop("nlu", {})},
            "result": result,
            "feedback": {"barge_in": self.barge_in, "barge_in_ms": self.barge_in_ms},
            **fields,
        }
        return Assembled(without_nulls(turn), self.origin)
