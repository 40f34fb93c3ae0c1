"""When turns are due: spans in any order, late, twice, without an end."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.receiver import last_span, request, spans_of_turn
from collect.open_traces import Batch, Limits, OpenTraces
from collect.otlp_bodies import PROTOBUF, Received, spans_of

LIMITS = Limits(grace=10, idle=100)


def span(name: str, own: int, parent: int = 0, trace: int = 1, data: bytes = b"") -> Received:
    above = parent.to_bytes(8, "big") if parent else b""
    of_trace, of_span = trace.to_bytes(16, "big"), own.to_bytes(8, "big")
    return Received(of_trace, of_span, above, name, PROTOBUF, (b"", b""), data)


def call(number: int = 1, turns: int = 2) -> list[Received]:
    spans = [s for turn in range(turns) for s in spans_of_turn(number, turn, 1.8e9)]
    body = request([*spans, last_span(number, 1.8e9, 1.8e9)])
    received = [s for s in spans_of(body, PROTOBUF) if isinstance(s, Received)]
    return sorted(received, key=lambda s: s.name == "conversation")


def names(batch: Batch) -> list[str]:
    return sorted(s.name for spans in batch.spans for s in spans)


def taking(spans: Iterable[Received], limits: Limits = LIMITS) -> OpenTraces:
    traces = OpenTraces(limits)
    for each in spans:
        assert traces.add(each, 0, "a")
    return traces


TURN = [span("stt", 3, 2), span("llm", 4, 2), span("tts", 5, 2), span("turn", 2, 1)]


def test_a_turn_is_due_when_its_end_has_come_and_the_grace_passed() -> None:
    traces = taking(TURN[:3])
    assert not traces.due(90, 1_000).spans
    traces.add(TURN[3], 90, "a")
    assert not traces.due(99.9, 1_000).spans
    assert names(traces.due(100, 1_000)) == ["llm", "stt", "tts", "turn"]
    assert not traces.due(150, 1_000).spans


def test_only_the_turn_that_has_ended_is_due() -> None:
    traces = taking([*TURN, span("stt", 7, 6)])
    assert names(traces.due(10, 1_000)) == ["llm", "stt", "tts", "turn"]


def test_a_late_span_makes_its_turn_due_again_with_all_of_it() -> None:
    traces = taking(TURN)
    traces.due(10, 1_000)
    traces.add(span("tts", 9, 2), 12, "a")
    assert not traces.due(21, 1_000).spans
    assert names(traces.due(22, 1_000)) == ["llm", "stt", "tts", "tts", "turn"]


def test_a_late_span_below_another_one_too() -> None:
    traces = taking(TURN)
    traces.due(10, 1_000)
    traces.add(span("request", 9, 4), 12, "a")
    assert len(names(traces.due(22, 1_000))) == 5


def test_what_was_said_before_any_request_goes_with_the_next_one() -> None:
    greeting = [span("tts", 11, 10), span("turn", 10, 1)]
    traces = taking(greeting)
    assert names(traces.due(10, 1_000)) == ["tts", "turn"]
    for each in TURN:
        traces.add(each, 20, "a")
    assert names(traces.due(30, 1_000)) == ["llm", "stt", "tts", "tts", "turn", "turn"]
    following = [span("stt", 21, 20), span("turn", 20, 1)]
    for each in following:
        traces.add(each, 40, "a")
    assert names(traces.due(50, 1_000)) == ["stt", "turn"]


def test_a_call_of_a_tool_may_be_the_turns_before() -> None:
    traces = taking(TURN)
    traces.due(10, 1_000)
    called = b'[{"role": "assistant", "tool_calls": []}]'
    for each in (span("stt", 21, 20), span("llm", 22, 20, data=called), span("turn", 20, 1)):
        traces.add(each, 20, "a")
    assert names(traces.due(30, 1_000)) == ["llm", "llm", "stt", "stt", "tts", "turn", "turn"]


def test_a_span_that_is_sent_again_changes_nothing() -> None:
    traces = taking(TURN)
    traces.due(10, 1_000)
    for each in TURN:
        assert traces.add(each, 12, "a")
    assert not traces.due(50, 1_000).spans
    traces.add(TURN[0]._replace(data=b"changed"), 50, "a")
    assert len(names(traces.due(60, 1_000))) == 4


def test_a_trace_is_forgotten_after_its_root() -> None:
    traces = taking([*TURN, span("conversation", 1)])
    batch = traces.due(10, 1_000)
    assert names(batch) == ["conversation", "llm", "stt", "tts", "turn"]
    assert len(traces) == 1
    assert traces.needs("a")
    traces.forget(batch.closed)
    assert (len(traces), traces.held, traces.spans) == (0, 0, 0)
    assert not traces.needs("a")
    assert not traces.add(span("tts", 9, 2), 30, "b")
    assert traces.late == 1


def test_a_root_that_comes_last_is_no_turn() -> None:
    traces = taking(TURN)
    traces.due(10, 1_000)
    traces.add(span("conversation", 1), 20, "a")
    batch = traces.due(30, 1_000)
    assert (batch.spans, len(batch.closed)) == ([], 1)


def test_a_call_that_never_ends_is_due_when_it_was_idle() -> None:
    traces = taking([*TURN, span("stt", 7, 6)])
    traces.due(10, 1_000)
    assert not traces.due(99, 1_000).closed
    batch = traces.due(100, 1_000)
    assert names(batch) == ["stt"]
    traces.forget(batch.closed)
    # It goes on after all.
    assert traces.add(span("turn", 6, 1), 101, "a")


def test_spans_beside_each_other_are_due_as_a_whole() -> None:
    session = [span("user_turn", 2, 1), span("agent_turn", 3, 1), span("llm_node", 4, 3)]
    traces = taking(session)
    assert names(traces.due(10.5, 1_000)) == ["agent_turn", "llm_node", "user_turn"]
    traces.add(span("user_turn", 5, 1), 20, "a")
    assert len(names(traces.due(30.5, 1_000))) == 4
    traces.add(span("agent_session", 1), 40, "a")
    batch = traces.due(50.5, 1_000)
    assert len(batch.closed) == 1
    assert names(batch) == []


def test_too_much_ends_the_traces_that_were_quiet_for_longest() -> None:
    traces = OpenTraces(Limits(grace=10, idle=100, held=20_000))
    for number in range(10):
        for each in TURN:
            trace = (number + 1).to_bytes(16, "big")
            traces.add(each._replace(trace=trace, data=b"x" * 1_000), number, "a")
    before = traces.held
    batch = traces.due(9.5, 1_000)
    assert 0 < len(batch.closed) < 10
    assert batch.closed == [(n + 1).to_bytes(16, "big") for n in range(len(batch.closed))]
    traces.forget(batch.closed)
    assert before > traces.held
    assert traces.held <= 20_000


def test_everything_that_has_ended_is_due_at_the_end() -> None:
    traces = taking([*TURN, span("stt", 7, 6)])
    assert names(traces.due(0, 1_000, everything=True)) == ["llm", "stt", "tts", "turn"]
    assert len(traces) == 1
    assert traces.needs("a")


def test_parents_in_a_circle_end() -> None:
    traces = taking([span("turn", 2, 3), span("turn", 3, 2), span("stt", 4, 3), span("turn", 5, 5)])
    assert len(set(names(traces.due(10, 1_000)))) == 2


def test_carried_traces_need_their_new_segment_only() -> None:
    traces = taking(TURN)
    traces.add(span("stt", 7, 6), 1, "b")
    traces.add(span("stt", 7, 6, trace=2), 1, "b")
    ((at, spans),) = traces.of_segments({"a"})
    assert (at, len(spans)) == (1, 5)
    traces.moved({"a"}, "carried")
    assert not traces.needs("a")
    assert traces.needs("b")
    assert traces.needs("carried")


@given(st.randoms(use_true_random=False), st.lists(st.floats(0, 30), min_size=1, max_size=30))
def test_every_turn_is_whole_in_the_end_whatever_the_order(
    chance: random.Random, pauses: Sequence[float]
) -> None:
    spans = [s for number in range(3) for s in call(number)]
    roots = [s for s in spans if not s.parent]
    others = [s for s in spans if s.parent]
    chance.shuffle(others)
    traces, last = OpenTraces(Limits(grace=10, idle=10_000)), dict[bytes, set[bytes]]()
    now = 0.0

    def take(batch: Batch) -> None:
        for group in batch.spans:
            for end in (s for s in group if s.name == "turn"):
                last[end.id] = {s.id for s in group if end.id in (s.id, s.parent)}
        traces.forget(batch.closed)

    for index, each in enumerate([*others, *roots]):
        assert traces.add(each, now, f"{index % 4}")
        now += pauses[index % len(pauses)]
        if each.parent:
            take(traces.due(now, 1_000))
    take(traces.due(now + 1_000, 1_000))
    assert len(traces) == 0
    assert {end: len(ids) for end, ids in last.items()} == {
        s.id: 4 for s in spans if s.name == "turn"
    }


@pytest.mark.parametrize("most", [1, 10])
def test_batches_are_of_limited_size(most: int) -> None:
    traces = taking(s for number in range(50) for s in call(number))
    sizes = []
    while (batch := traces.due(20, most)).closed:
        sizes.append(batch.number)
        traces.forget(batch.closed)
    assert max(sizes) <= most + 9
    assert sum(sizes) == 50 * 9
