"""Spans that have arrived, until the turns they tell of are finished.

Exporters send a span when it ends: the children of a turn first, the turn after them, the
conversation last or never, and all of them in any number of requests. A turn is due when the span
that ends it has come and a grace period has passed; spans of it that come later make it due again.
A trace is forgotten when its root has come and the same period has passed since its last span, or
when nothing of it has come for long, or when too much is held; what has not been due by then, is
due then. What comes after that begins a new trace, but for those whose root had come: a few spans
of a turn must not replace the whole of it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from collect.otlp_bodies import Received
from collect.stored_traces import StoredTraces

# Spans that end a turn which is they and all below them: Pipecat's own tracing.
_OF_SUBTREES = frozenset({"turn"})
# Spans that end a turn whose other spans lie beside them: LiveKit's. The whole trace is due then.
_OF_TRACES = frozenset({"user_turn", "agent_turn"})
_WHOLE = b""
# Spans that a request begins with, and what an LLM's span contains that tells of calls of tools.
_REQUESTS = frozenset({"stt", "llm_response"})
_CALLS = (b"tool_calls", b"tool_use", b"function_call")
# What a span takes in memory beside its data.
_OVERHEAD = 700
# A long trace that is read again as a whole is so less often: seconds per span of it.
_WHOLE_S = 0.01


@dataclass
class Limits:
    """When turns are due, and how much is held; seconds, and bytes of memory."""

    grace: float = 10.0
    idle: float = 600.0
    held: int = 512 << 20


@dataclass(slots=True)
class _Trace:
    spans: dict[bytes, Received] = field(default_factory=dict)
    children: dict[bytes, list[bytes]] = field(default_factory=dict)
    # Ends of turns, or `_WHOLE` → when.
    due: dict[bytes, float] = field(default_factory=dict)
    # Turns in the order in which they ended.
    ended_turns: list[bytes] = field(default_factory=list)
    # Spans that have been handed out, and have not changed since.
    told: set[bytes] = field(default_factory=set)
    segments: set[str] = field(default_factory=set)
    # When the last span that changed something came, and the last of all.
    last: float = 0.0
    latest: float = 0.0
    closes: float = 0.0
    ended: bool = False
    size: int = 0


@dataclass
class Batch:
    """Spans of finished turns, to be ingested together.

    Attributes
    ----------
    spans: by trace. closed: traces of which nothing more is expected, to be forgotten when this is
    done. since: when the first of the turns was finished, as a time of arrival.
    """

    spans: list[list[Received]] = field(default_factory=list)
    closed: list[bytes] = field(default_factory=list)
    since: float | None = None
    number: int = 0


class OpenTraces:
    """All traces of which something may still come.

    Attributes
    ----------
    late: spans of traces that had been forgotten, which are left out. held: bytes. stored: the
    traces that were forgotten.
    """

    def __init__(self, limits: Limits, stored: StoredTraces | None = None) -> None:
        self._limits = limits
        self.stored = stored or StoredTraces()
        self._traces: OrderedDict[bytes, _Trace] = OrderedDict()
        self._held_by: Counter[str] = Counter()
        # Traces with something due, so that the others need not be looked at.
        self._with_due: dict[bytes, None] = {}
        self.late = 0
        self.held = 0
        self.spans = 0

    def __len__(self) -> int:
        return len(self._traces)

    def add(self, span: Received, at: float, segment: str) -> bool:
        """Take in a span that arrived at `at` (seconds) in a segment; False if it is too late."""
        if self.stored.holds(span.trace, at, segment):
            return True
        trace = self._traces.get(span.trace)
        if trace is None:
            if self.stored.ended(span.trace):
                self.late += 1
                return False
            trace = self._traces[span.trace] = _Trace()
        else:
            self._traces.move_to_end(span.trace)
        if segment not in trace.segments:
            trace.segments.add(segment)
            self._held_by[segment] += 1
        trace.latest = max(trace.latest, at)
        known = trace.spans.get(span.id)
        if known is not None and known.data == span.data:
            return True
        self._put(trace, span, known)
        self._schedule(trace, span, at)
        return True

    def _put(self, trace: _Trace, span: Received, known: Received | None) -> None:
        size = len(span.data) + _OVERHEAD
        if known is None:
            self.spans += 1
            trace.children.setdefault(span.parent, []).append(span.id)
            if span.name in _OF_SUBTREES:
                trace.ended_turns.append(span.id)
        else:
            size -= len(known.data) + _OVERHEAD
            trace.told.discard(span.id)
        trace.spans[span.id] = span
        trace.size += size
        self.held += size

    def _schedule(self, trace: _Trace, span: Received, at: float) -> None:
        limits = self._limits
        if not span.parent:
            trace.ended = True
        trace.last = at
        trace.closes = at + (limits.grace if trace.ended else limits.idle)
        end = self._end_of(trace, span)
        if end is not None and end not in trace.due:
            wait = limits.grace
            if end == _WHOLE:
                wait += _WHOLE_S * len(trace.spans)
            trace.due[end] = at + wait
        if trace.due or trace.ended:
            self._with_due[span.trace] = None

    def _end_of(self, trace: _Trace, span: Received) -> bytes | None:
        """The end of the turn that a span belongs to, if it is known to have ended."""
        above: Received | None = span
        for _ in range(64):
            if above is None:
                return None
            if above.name in _OF_SUBTREES:
                return above.id
            if above.name in _OF_TRACES:
                return _WHOLE
            if not above.parent:
                return None
            above = trace.spans.get(above.parent)
        return None

    def due(self, now: float, most: int, everything: bool = False) -> Batch:
        """What is due at `now`, of about `most` spans at most.

        With `everything`, turns that have ended are due whether or not the grace has passed.
        """
        batch = Batch()
        over = self._over()
        for key in {**over, **self._with_due, **self._quiet(now)}:
            if batch.number >= most:
                break
            trace = self._traces[key]
            # A root that has come means that nothing more is expected.
            closing = key in over or trace.closes <= now or (everything and trace.ended)
            self._take(batch, key, trace, now, everything, closing)
        return batch

    def _quiet(self, now: float) -> dict[bytes, None]:
        """The traces of which nothing has come for too long."""
        quiet: dict[bytes, None] = {}
        # In the order of their last spans.
        for key, trace in self._traces.items():
            if trace.last + self._limits.idle > now:
                break
            quiet[key] = None
        return quiet

    def _take(
        self,
        batch: Batch,
        key: bytes,
        trace: _Trace,
        now: float,
        everything: bool,
        closing: bool,
    ) -> None:
        ends = [end for end, at in trace.due.items() if closing or everything or at <= now]
        ids: dict[bytes, None] = {}
        for end in ends:
            if batch.since is None or trace.due[end] < batch.since:
                batch.since = trace.due[end]
            ids.update(dict.fromkeys(self._with_before(trace, end)))
            del trace.due[end]
        if closing:
            ids.update(dict.fromkeys(self._left(trace)))
            batch.closed.append(key)
        if ids:
            # What stands above the turns says whose they are.
            chosen = [trace.spans[name] for name in ids]
            chosen += [s for s in self._roots(trace) if s.id not in ids]
            batch.spans.append(chosen)
            batch.number += len(chosen)
            trace.told.update(ids)
        if closing or not (trace.due or trace.ended):
            self._with_due.pop(key, None)

    def _with_before(self, trace: _Trace, end: bytes) -> Iterator[bytes]:
        """The spans of a turn, and of those before it that say something of it, or it of them:
        what was spoken before any request, and a tool's call that a later span tells of."""
        spans = self._below(trace, end)
        yield from spans
        if end == _WHOLE:
            return
        calls = any(call in trace.spans[name].data for name in spans for call in _CALLS)
        for before in reversed(trace.ended_turns[: trace.ended_turns.index(end)]):
            spans = self._below(trace, before)
            asked = any(trace.spans[name].name in _REQUESTS for name in spans)
            if asked and not calls:
                return
            yield from spans
            calls = calls and not asked

    def _below(self, trace: _Trace, end: bytes) -> list[bytes]:
        """The spans of a turn."""
        if end == _WHOLE:
            return list(trace.spans)
        ids = [end]
        for name in ids:
            ids += [child for child in trace.children.get(name, ()) if child != end]
            if len(ids) > len(trace.spans):
                # Spans that are each other's parents.
                break
        return [name for name in ids if name in trace.spans]

    def _left(self, trace: _Trace) -> Iterator[bytes]:
        """What no turn has had, when a trace closes; the whole of one that is read as a whole."""
        left = [name for name in trace.spans if name not in trace.told]
        if trace.told and all(not trace.spans[name].parent for name in left):
            # A root that came last says nothing that is a turn.
            return iter(())
        whole = any(span.name in _OF_TRACES for span in trace.spans.values())
        return iter(trace.spans if whole else left)

    def _roots(self, trace: _Trace) -> list[Received]:
        return [trace.spans[name] for name in trace.children.get(b"", ()) if name in trace.spans]

    def _over(self) -> dict[bytes, None]:
        """The traces that have been quiet for longest, where more is held than may be."""
        over: dict[bytes, None] = {}
        excess = self.held - self._limits.held
        for key, trace in self._traces.items():
            if excess <= 0:
                break
            over[key] = None
            excess -= trace.size
        return over

    def forget(self, closed: Iterable[bytes]) -> None:
        """Forget traces whose turns are stored."""
        for key in closed:
            trace = self._traces.pop(key)
            self._with_due.pop(key, None)
            self.held -= trace.size
            self.spans -= len(trace.spans)
            for segment in trace.segments:
                self._held_by[segment] -= 1
                if not self._held_by[segment]:
                    del self._held_by[segment]
            self.stored.add(key, trace.latest, trace.ended, trace.segments)

    def needs(self, segment: str) -> bool:
        """Whether a segment has spans of an open trace."""
        return segment in self._held_by

    def oldest_due(self) -> float | None:
        """When the first turn that is not handed out yet was or will be due."""
        times = [min(t.due.values()) for key in self._with_due if (t := self._traces[key]).due]
        return min(times, default=None)

    def of_segments(self, segments: set[str]) -> Iterator[tuple[float, list[Received]]]:
        """The traces with spans in any of these segments: when the last one came, and all spans."""
        for trace in self._traces.values():
            if not trace.segments.isdisjoint(segments):
                yield trace.last, list(trace.spans.values())

    def moved(self, segments: set[str], to: str) -> None:
        """All spans of these traces are in the segment `to` now."""
        for trace in self._traces.values():
            if trace.segments.isdisjoint(segments):
                continue
            self._held_by.subtract(trace.segments)
            trace.segments = {to}
            self._held_by[to] += 1
        self._held_by = +self._held_by
