"""Bodies of OTLP requests in both encodings: taken apart, refused, put together again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from benchmarks.receiver import last_span, request, spans_of_turn
from collect.otlp_bodies import (
    JSON,
    PROTOBUF,
    TYPES,
    Received,
    Refused,
    Undecodable,
    checked,
    document,
    failure,
    spans_of,
    success,
)
from tests.collect.spans import as_json


def call(turns: int = 2) -> bytes:
    spans = [span for turn in range(turns) for span in spans_of_turn(7, turn, 1.8e9 + 6 * turn)]
    return request([*spans, last_span(7, 1.8e9, 1.8e9 + 6 * turns)])


BODIES = {PROTOBUF: call(), JSON: as_json(call())}


@pytest.mark.parametrize("kind", TYPES)
def test_spans_are_taken_apart_and_put_together_again(kind: str) -> None:
    assert checked(BODIES[kind], kind) == (9, [])
    spans = [span for span in spans_of(BODIES[kind], kind) if isinstance(span, Received)]
    assert [span.name for span in spans] == [
        *("stt", "llm", "tts") * 2,
        *("turn", "turn", "conversation"),
    ]
    assert {span.trace for span in spans} == {spans[0].trace}
    root = spans[-1]
    assert root.parent == b""
    turns = [span for span in spans if span.name == "turn"]
    assert {span.parent for span in turns} == {root.id}
    assert {span.parent for span in spans[:6]} == {span.id for span in turns}
    together = b"".join(document(kind, span.context, [span.data]) for span in spans)
    if kind == JSON:
        again = [s for line in together.splitlines() for s in spans_of(line, kind)]
    else:
        again = list(spans_of(together, kind))
    assert again == spans


def test_both_encodings_say_the_same() -> None:
    def told(kind: str) -> list[tuple[object, ...]]:
        return [s[:4] for s in spans_of(BODIES[kind], kind)]

    assert told(JSON) == told(PROTOBUF)


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"\xff\xff", PROTOBUF, "not an OTLP request"),
        (call()[:-3], PROTOBUF, "not an OTLP request"),
        (b"", JSON, "not JSON"),
        (b"{", JSON, "not JSON"),
        (b"\xff", JSON, "not JSON"),
        (b"[]", JSON, "not an OTLP request"),
        (b'{"resourceSpans": {}}', JSON, "not an OTLP request"),
        (b'{"resourceSpans": [1]}', JSON, "not an OTLP request"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": 1}]}]}', JSON, "not an OTLP request"),
        (b'{"resourceSpans":' + b"[" * 100_000, JSON, "not"),
    ],
)
def test_what_is_no_request_is_undecodable(body: bytes, kind: str, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        checked(body, kind)


@pytest.mark.parametrize(("body", "kind"), [(b"", PROTOBUF), (b"{}", JSON)])
def test_an_empty_request_is_one(body: bytes, kind: str) -> None:
    assert checked(body, kind) == (0, [])


@pytest.mark.parametrize(
    ("span", "field"),
    [
        ({"traceId": "00" * 16, "spanId": "01" * 8}, "traceId"),
        ({"traceId": "01" * 16, "spanId": "00" * 8}, "spanId"),
        ({"traceId": "01" * 15, "spanId": "01" * 8}, "traceId"),
        ({"traceId": "01" * 16, "spanId": "zz"}, "spanId"),
        ({"traceId": 1, "spanId": None}, "traceId"),
        ({}, "traceId"),
        ([], ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_a_faulty_span_is_refused_and_the_others_are_not(span: object, field: str) -> None:
    good = {"traceId": "01" * 16, "spanId": "02" * 8, "name": "turn"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [good, span]}]}]}).encode()
    count, refused = checked(body, JSON)
    assert count == 2
    assert [item.field for item in refused] == [field]
    assert [type(item) for item in spans_of(body, JSON)] == [Received, Refused]
    reply = json.loads(success(JSON, refused))["partialSuccess"]
    assert reply["rejectedSpans"] == "1"
    assert reply["errorMessage"]


def test_faulty_ids_in_protobuf_are_refused() -> None:
    body = request(
        [("pipecat", b"\x0a\x02ab\x2a\x03stt"), *spans_of_turn(1, 0, 1.8e9)],
    )
    count, refused = checked(body, PROTOBUF)
    assert (count, len(refused)) == (5, 1)
    response = ExportTraceServiceResponse.FromString(success(PROTOBUF, refused))
    assert response.partial_success.rejected_spans == 1
    assert "traceId" in response.partial_success.error_message


def test_success_is_empty_in_either_type() -> None:
    assert success(JSON, []) == b"{}"
    assert success(PROTOBUF, []) == b""


def test_a_failure_is_a_status_in_either_type() -> None:
    assert json.loads(failure(JSON, "No.")) == {"message": "No."}
    # Field 2 of google.rpc.Status is the message.
    assert failure(PROTOBUF, "No.") == b"\x12\x03No."


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_values)
def test_any_json_is_taken_or_undecodable(value: object) -> None:
    body = json.dumps(value).encode()
    try:
        count, refused = checked(body, JSON)
    except Undecodable:
        return
    assert 0 <= len(refused) <= count


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_undecodable(body: bytes) -> None:
    for kind in TYPES:
        try:
            count, refused = checked(body, kind)
        except Undecodable:
            continue
        assert 0 <= len(refused) <= count
