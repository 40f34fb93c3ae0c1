"""OpenTelemetry spans: the samples in all encodings, the traps of each instrumentation, and bodies
as a receiver gets them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from data.ingest.adapters.adapter import Reading
from data.ingest.adapters.otlp import ADAPTER
from data.ingest.adapters.registry import recognised
from data.ingest.validation import Fault
from data.store.store import Store
from tests.data.adapters.in_memory import Log, read
from tests.log_samples import (
    OWN,
    differences,
    must_bear_spoilt_files,
    must_bear_spoilt_logs,
    sample,
    shuffled,
    taken,
)

OWN_LOG = OWN / "otlp.jsonl"
EXPECTED = Path(__file__).parent / "expected" / "otlp.jsonl"
SAMPLES = {"otlp-pipecat": 9, "otlp-livekit": 9, "otlp-openinference-pipecat": 8}
TRACE, ROOT = "ab" * 16, "0" * 15 + "1"


def _same(number: int) -> str:
    return f"{number} expected, {number} got, 0 not expected, 0 differences\n"


# -- the samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(
    "form",
    ["all.pb", "all.pb.gz", "otlp.json", "otlp.jsonl", "messy.jsonl", "truncated.pb", "requests",
     "shuffled", "twice", "gz", "lengths", "packed", "unindented", "folder"],
)  # fmt: skip
def test_the_samples_in_all_forms(name: str, form: str, tmp_path: Path) -> None:
    folder = sample(name)
    given = tmp_path / "given"
    given.mkdir()
    lines = (folder / "otlp.jsonl").read_bytes().splitlines()
    bodies = [file.read_bytes() for file in sorted((folder / "requests").iterdir())]
    if form == "shuffled":
        (given / "a.jsonl").write_bytes(shuffled(lines, 5))
    elif form == "twice":
        (given / "a.jsonl").write_bytes(shuffled(lines + lines, 6))
    elif form == "gz":
        (given / "a.jsonl.gz").write_bytes(gzip.compress((folder / "messy.jsonl").read_bytes()))
    elif form == "lengths":
        (given / "a.pb").write_bytes(b"".join(len(b).to_bytes(4, "big") + b for b in bodies))
    elif form == "packed":
        packed = [pa.compress(each, codec="zstd", asbytes=True) for each in bodies]
        (given / "a").write_bytes(b"".join(len(b).to_bytes(4, "big") + b for b in packed))
    elif form == "unindented":
        document = json.loads((folder / "otlp.json").read_bytes())
        (given / "a.json").write_text(json.dumps(document, indent=0))
    elif form == "folder":
        shutil.copy(folder / "all.pb", given)
        shutil.copy(folder / "otlp.json", given)
        shutil.copytree(folder / "requests", given / "requests")
    elif form == "requests":
        shutil.copytree(folder / "requests", given / "requests")
    else:
        shutil.copy(folder / form, given)
    got = taken(tmp_path, given)
    assert len(got.quarantined) == (form in ("messy.jsonl", "truncated.pb", "gz"))
    report = differences(folder / "expected.jsonl", got.turns, tmp_path)
    if form == "truncated.pb" and name == "otlp-openinference-pipecat":
        # The last turn's root is cut off, and with it the name of its session.
        named, *_, summary = report.splitlines()
        assert named.startswith("dialogue_id call-8f31")
        assert summary.startswith("8 expected, 8 got, 0 not expected")
    else:
        assert report == _same(SAMPLES[name])


def test_the_samples_as_json_requests(tmp_path: Path) -> None:
    folder = sample("otlp-pipecat-json")
    got = taken(tmp_path, folder / "requests")
    assert differences(folder / "expected.jsonl", got.turns, tmp_path) == _same(9)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_whole_span_before_a_cut_is_kept(name: str) -> None:
    """A file cut off anywhere has the turns of the spans that end before."""
    data = (sample(name) / "all.pb").read_bytes()
    message = ExportTraceServiceRequest.FromString(data)
    spans = sum(len(s.spans) for r in message.resource_spans for s in r.scope_spans)
    kept = -1
    for cut in [*range(0, len(data), 997), len(data)]:
        found = 0
        try:
            for _, record in ADAPTER.records(io.BufferedReader(io.BytesIO(data[:cut]))):
                part = ExportTraceServiceRequest.FromString(_framed(record))
                found += sum(len(s.spans) for r in part.resource_spans for s in r.scope_spans)
        except Fault:
            assert cut < len(data)
        assert found >= kept
        kept = found
    assert kept == spans


def _framed(record: bytes) -> bytes:
    """A record of protobuf as a request."""
    body = record.split(b"\0", 2)[2]
    size, length = len(body), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return b"\x0a" + bytes(length) + body


# -- an own log ------------------------------------------------------------------------------------


def test_the_own_log(tmp_path: Path) -> None:
    """Requests of several spans of speech, calls that only the next input tells of, a noise, the
    same words twice, names before and after August 2026, roots that never arrive."""
    expected = [json.loads(line) for line in EXPECTED.read_text().splitlines()]
    got = taken(tmp_path, OWN_LOG)
    assert got.quarantined == []
    assert differences(EXPECTED, got.turns, tmp_path) == _same(len(expected))
    log = read(ADAPTER, OWN_LOG.read_bytes())
    assert sorted(log.turns.values(), key=lambda turn: turn["started_at"]) == expected
    indices = [turn["turn_index"] for turn in got.turns if turn["dialogue_id"] == "call-2"]
    assert indices == [0, 1]


def test_a_session_goes_on_in_a_later_file(tmp_path: Path) -> None:
    """Turns that are traces of their own follow those of their session that are stored."""
    lines = OWN_LOG.read_bytes().splitlines()
    store = Store.create(tmp_path / "store")
    for trace in (b"3c" * 16, b"4d" * 16):
        log = tmp_path / f"{trace.decode()}.jsonl"
        log.write_bytes(b"\n".join(line for line in lines if trace in line))
        got = taken(tmp_path, log, store=store)
    turns = [turn for turn in got.turns if turn["dialogue_id"] == "call-2"]
    assert len({turn["turn_id"] for turn in turns}) == 2
    assert {turn["turn_index"] for turn in turns} == {0, 1}


def test_protobuf_and_json_say_the_same() -> None:
    documents = [json.loads(line) for line in OWN_LOG.read_bytes().splitlines()]
    data = b"".join(_protobuf(document) for document in documents)
    assert ADAPTER.reading(data) is Reading.CUT
    assert read(ADAPTER, data).turns == read(ADAPTER, OWN_LOG.read_bytes()).turns


def _protobuf(document: dict[str, Any]) -> bytes:
    message = ExportTraceServiceRequest()
    for resource in document["resourceSpans"]:
        made = message.resource_spans.add()
        _attributes(made.resource.attributes, resource.get("resource", {}).get("attributes", ()))
        for scoped in resource["scopeSpans"]:
            target = made.scope_spans.add()
            target.scope.name = scoped["scope"]["name"]
            for span in scoped["spans"]:
                one = target.spans.add(
                    trace_id=bytes.fromhex(span["traceId"]),
                    span_id=bytes.fromhex(span["spanId"]),
                    parent_span_id=bytes.fromhex(span.get("parentSpanId", "")),
                    name=span["name"],
                    start_time_unix_nano=int(span["startTimeUnixNano"]),
                    end_time_unix_nano=int(span["endTimeUnixNano"]),
                )
                _attributes(one.attributes, span.get("attributes", ()))
                one.status.code = span.get("status", {}).get("code", 0)
                one.status.message = span.get("status", {}).get("message", "")
    data: bytes = message.SerializeToString()
    return data


def _attributes(target: Any, given: Iterable[dict[str, Any]]) -> None:
    names = {"stringValue": "string_value", "boolValue": "bool_value", "intValue": "int_value",
             "doubleValue": "double_value"}  # fmt: skip
    for each in given:
        ((kind, value),) = each["value"].items()
        setattr(target.add(key=each["key"]).value, names[kind],
                int(value) if kind == "intValue" else value)  # fmt: skip


# -- spans of one's own ----------------------------------------------------------------------------


def _span(
    id: int, name: str, at: float, attributes: dict[str, Any], **given: Any
) -> dict[str, Any]:
    values = []
    for key, value in attributes.items():
        kind = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
        values.append({"key": key, "value": {kind[type(value)]: value}})
    start = 1_779_271_200_000_000_000 + int(at * 1e9)
    return {
        "traceId": TRACE, "spanId": f"{id:016x}", "parentSpanId": ROOT, "name": name,
        "startTimeUnixNano": start, "endTimeUnixNano": start + 10**9, "attributes": values, **given,
    }  # fmt: skip


def _read(scope: str, *spans: dict[str, Any]) -> Log:
    request = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": spans}]}]}
    return read(ADAPTER, json.dumps(request).encode())


def _turns(scope: str, *spans: dict[str, Any]) -> list[dict[str, Any]]:
    log = _read(scope, *spans)
    assert log.faults == []
    return sorted(log.turns.values(), key=lambda turn: turn["turn_index"])


def _stt(id: int, at: float, text: str) -> dict[str, Any]:
    return _span(id, "stt", at, {"transcript": text})


def _llm(id: int, at: float, messages: Any, **given: Any) -> dict[str, Any]:
    return _span(id, "llm", at, {"input": json.dumps(messages)}, **given)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "text", "text": "two loaves"}]},
         {"role": "assistant", "content": [
             {"type": "tool_use", "id": "1", "name": "order", "input": {"n": 2}}]},
         {"role": "user", "content": [
             {"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": "no"}]}],
        [{"role": "user", "parts": [{"text": "two loaves"}]},
         {"role": "model", "parts": [{"function_call": {"name": "order", "args": {"n": 2}}}]},
         {"role": "user", "parts": [
             {"function_response": {"name": "order", "response": {"error": True}}}]}],
        [{"role": "system", "content": "say {\"role\": \"user\"} never"},
         {"role": "user", "content": "two loaves"},
         {"role": "assistant", "content": None, "tool_calls": [
             {"id": "1", "function": {"name": "order", "arguments": "{\"n\": 2}"}}]},
         {"role": "tool", "tool_call_id": "1", "content": "{\"error\": {\"message\": \"x\"}}"}],
    ],
    ids=["anthropic", "google", "openai"],
)  # fmt: skip
def test_calls_in_the_messages_of_pipecats_services(messages: Any) -> None:
    (turn,) = _turns("pipecat", _stt(2, 0, "two loaves"), _llm(3, 1, messages))
    (hypothesis,) = turn["nlu"]["hypotheses"]
    assert hypothesis == {"intent": "order", "slots": [{"name": "n", "value": "2"}]}
    assert turn["result"]["status"] == "error"


def test_a_retry_that_succeeds_is_no_error() -> None:
    asked = [{"role": "user", "content": "two loaves"}]
    failed = {"status": {"code": "STATUS_CODE_ERROR", "message": "TimeoutError: 10 s for u7"}}
    (turn,) = _turns("pipecat", _stt(2, 0, "two loaves"), _llm(3, 1, asked, **failed))
    assert turn["result"] == {"status": "error", "acts": [{"act": "TimeoutError"}]}
    said = _span(5, "tts", 3, {"text": "Two loaves."})
    (turn,) = _turns(
        "pipecat", _stt(2, 0, "two loaves"), _llm(3, 1, asked, **failed), _llm(4, 2, asked), said
    )
    assert turn["result"] == {"response": "Two loaves."}


def test_utterances_that_a_model_answers_apart_are_requests_of_their_own() -> None:
    first, second = _turns(
        "pipecat",
        _stt(2, 0, "two loaves"),
        _llm(3, 1, [{"role": "user", "content": "two loaves"}]),
        _stt(4, 5, "hello"),
        _llm(
            5, 6, [{"role": "user", "content": "two loaves"}, {"role": "user", "content": "hello"}]
        ),
    )
    assert [first["asr"]["hypotheses"], second["asr"]["hypotheses"]] == [
        [{"text": "two loaves"}],
        [{"text": "hello"}],
    ]


def test_a_speech_to_speech_service() -> None:
    (turn,) = _turns(
        "pipecat",
        _span(2, "llm_setup", 0, {}),
        _span(3, "llm_response", 1, {"transcript": "two loaves", "transcript.is_input": True}),
        _span(4, "llm_tool_call", 2,
              {"tool.function_name": "order", "tool.arguments": '{"n": 2}'}),
        _span(5, "llm_response", 3, {"text_output": "Two it is."}),
    )  # fmt: skip
    assert turn["asr"]["hypotheses"] == [{"text": "two loaves"}]
    assert turn["nlu"]["hypotheses"][0]["intent"] == "order"
    assert turn["result"]["response"] == "Two it is."


def test_redacted_turns_are_matched_by_their_delays() -> None:
    delays = [{"lk.transcription_delay": 0.2, "lk.end_of_turn_delay": d} for d in (0.51, 0.52)]
    first, second = _turns(
        "livekit-agents",
        _span(2, "user_turn", 0, delays[0]),
        _span(3, "user_turn", 5, delays[1]),
        _span(4, "agent_turn", 9, {**delays[1], "lk.interrupted": True}),
        _span(5, "agent_turn", 9.5, delays[0]),
        _span(6, "user_turn", 20, {"lk.end_of_turn_delay": 0.9}),
    )
    assert [first["feedback"]["barge_in"], second["feedback"]["barge_in"]] == [False, True]
    assert "hypotheses" not in first.get("asr", {})


def test_equal_words_are_matched_once_in_order() -> None:
    turns = _turns(
        "livekit-agents",
        *(_span(2 + n, "user_turn", 5 * n, {"lk.user_transcript": "no"}) for n in range(3)),
        *(
            _span(8 + n, "agent_turn", 5 * n + 0.9,
                  {"lk.user_input": "no", "lk.response.text": f"Answer {n}."})
            for n in range(3)
        ),
    )  # fmt: skip
    assert [turn["result"]["response"] for turn in turns] == [f"Answer {n}." for n in range(3)]


def test_voice_of_other_instrumentations_of_openinference() -> None:
    kind = "openinference.span.kind"
    (turn,) = _turns(
        "openinference.instrumentation.realtime",
        _span(2, "user", 0, {kind: "USER", "input.audio.transcript": "two loaves",
                             "session.id": "s1"}),
        _span(3, "assistant", 1, {kind: "LLM", "output.audio.transcript": "Two it is."}),
        _span(4, "order", 1.5, {kind: "TOOL", "tool.name": "order", "input.value": '{"n": 2}'},
              parentSpanId=f"{3:016x}"),
    )  # fmt: skip
    assert turn["dialogue_id"] == "s1"
    assert turn["asr"]["hypotheses"] == [{"text": "two loaves"}]
    assert turn["nlu"]["hypotheses"][0]["intent"] == "order"
    assert turn["result"] == {"response": "Two it is."}


@pytest.mark.parametrize(
    ("scope", "name", "attribute"),
    [
        ("pipecat", "stt", "transcript"),
        ("livekit-agents", "user_turn", "lk.user_transcript"),
        ("openinference", "input.audio", "input.audio.transcript"),
    ],
)
def test_a_long_call_yields_turns_before_it_ends(scope: str, name: str, attribute: str) -> None:
    spans = [_span(2 * n, name, n, {attribute: f"request {n}"}) for n in range(1, 101)]
    document = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": spans}]}]}
    pieces = list(ADAPTER.pieces(json.dumps(document).encode()))
    seen = 0

    def counted() -> Any:
        nonlocal seen
        for piece in pieces:
            seen += 1
            yield piece

    turns = ADAPTER.turns(counted(), None)  # type: ignore[arg-type]
    next(turns)
    assert seen < 20
    assert len(list(turns)) == 99


# -- encodings -------------------------------------------------------------------------------------


def test_what_json_may_look_like() -> None:
    """Ids of any case or in base64, numbers as numbers or texts, names in snake_case, fields and
    kinds of values that do not exist, and null where something is missing."""
    plain = _stt(2, 0, "hello")
    (expected,) = _turns("pipecat", plain)
    raw = bytes.fromhex(TRACE)
    snake = {
        "trace_id": TRACE, "span_id": plain["spanId"], "parent_span_id": ROOT, "name": "stt",
        "start_time_unix_nano": str(plain["startTimeUnixNano"]),
        "end_time_unix_nano": plain["endTimeUnixNano"],
        "attributes": [{"key": "transcript", "value": {"string_value": "hello"}}],
    }  # fmt: skip
    for other in (
        {**plain, "traceId": TRACE.upper()},
        {**plain, "traceId": base64.b64encode(raw).decode()},
        {**plain, "startTimeUnixNano": str(plain["startTimeUnixNano"]), "flags": 256, "new": [1]},
        {**plain, "status": None, "events": None},
        {**plain, "attributes": [*plain["attributes"], {"key": "x", "value": {"newValue": 1}}]},
        {**plain, "attributes": [*plain["attributes"], {"key": "language", "value": None}, 5]},
        snake,
    ):
        assert _turns("pipecat", other) == [expected]
    everything = [
        {"key": "language", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}},
        {"key": "user_id", "value": {"kvlistValue": {"values": [{"key": "a"}]}}},
        {"key": "settings.language", "value": {"bytesValue": "aGVsbG8="}},
    ]
    assert _turns("pipecat", {**plain, "attributes": [*plain["attributes"], *everything]}) == [
        expected
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"traceId": "0" * 32}, "traceId"),
        ({"traceId": None}, "traceId"),
        ({"spanId": "12"}, "spanId"),
        ({"startTimeUnixNano": 0}, "startTimeUnixNano"),
        ({"startTimeUnixNano": -5}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 10**40}, "startTimeUnixNano"),
        ({"attributes": []}, "attributes.transcript"),
    ],
)
def test_faulty_spans_are_quarantined_beside_good_ones(change: dict[str, Any], field: str) -> None:
    log = _read("pipecat", {**_stt(2, 0, "hello"), **change}, _stt(3, 5, "bye"))
    assert [turn["asr"]["hypotheses"][0]["text"] for turn in log.turns.values()] == ["bye"]
    ((_, reason),) = log.faults
    assert field in reason


def test_other_signals_and_spans_are_passed_over() -> None:
    assert read(ADAPTER, b'{"resourceLogs":[]}\n{"resourceSpans":[]}').faults == []
    assert _turns("http", _span(2, "turn", 0, {}), _span(3, "GET", 1, {})) == []


def test_text_that_is_no_utf_8_costs_one_span() -> None:
    data = _protobuf(json.loads(OWN_LOG.read_bytes().splitlines()[1]))
    log = read(ADAPTER, data.replace(b"two rye loaves", b"two \xffye loaves"))
    assert [turn["asr"]["hypotheses"][0]["text"] for turn in log.turns.values()] == ["for saturday"]
    assert len(log.faults) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"\n\n\n",
        b"\x0a\x00",
        b"{}",
        b"[]",
        b'{"turn_id": "a"}',
        b"\x00\x00\x00\x05\x0aabc",
    ],
)
def test_what_is_not_otlp_is_not_recognised(head: bytes) -> None:
    assert recognised(head) != "otlp"


def test_a_message_whose_length_looks_like_utf_16(tmp_path: Path) -> None:
    body = b"".join(_protobuf(json.loads(line)) for line in OWN_LOG.read_bytes().splitlines())
    while len(body) < 0x0A0000:
        body += body
    (tmp_path / "a.pb").write_bytes(len(body[:]).to_bytes(4, "big") + body)
    assert len(taken(tmp_path, tmp_path / "a.pb").turns) == 8


# -- hostile input ---------------------------------------------------------------------------------


def test_spoilt_lines_cost_only_their_own_turns() -> None:
    must_bear_spoilt_logs(ADAPTER, OWN_LOG.read_bytes().splitlines(), 400, most_of_one=3)


def test_spoilt_files_are_no_traceback(tmp_path: Path) -> None:
    lines = OWN_LOG.read_bytes().splitlines()
    in_protobuf = b"".join(_protobuf(json.loads(line)) for line in lines)
    for name, content in (("pb", in_protobuf), ("json", _document(lines))):
        (tmp_path / name).mkdir()
        must_bear_spoilt_files(ADAPTER, content, tmp_path / name, 2)


def _document(lines: list[bytes]) -> bytes:
    resources = [each for line in lines for each in json.loads(line)["resourceSpans"]]
    return json.dumps({"resourceSpans": resources}, indent=1).encode()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_spoilt_protobuf_is_no_traceback(data: st.DataObject) -> None:
    lines = OWN_LOG.read_bytes().splitlines()
    content = b"".join(_protobuf(json.loads(line)) for line in lines)
    at = data.draw(st.integers(0, len(content)))
    noise = data.draw(st.binary(max_size=12))
    read(ADAPTER, content[:at] + noise + content[at + data.draw(st.integers(0, 12)) :])
    read(ADAPTER, b"\x0a" + data.draw(st.binary(max_size=60)))


def test_a_document_that_is_cut_off_has_its_whole_spans() -> None:
    document = _document(OWN_LOG.read_bytes().splitlines())
    assert ADAPTER.reading(document) is Reading.WHOLE
    whole = read(ADAPTER, document)
    assert whole.turns == read(ADAPTER, OWN_LOG.read_bytes()).turns
    cut = read(ADAPTER, document[:-3])
    assert cut.turns == whole.turns
    ((_, reason),) = cut.faults
    assert "cut off" in reason
    assert len(read(ADAPTER, document[: len(document) // 2]).turns) >= 3


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_document_between_lines_that_are_none_of_it(mark: bytes, indent: int | None) -> None:
    document = json.dumps(
        json.loads(_document(OWN_LOG.read_bytes().splitlines())), indent=indent
    ).encode()
    good = read(ADAPTER, OWN_LOG.read_bytes()).turns
    log = read(ADAPTER, mark + document)
    assert (log.turns, log.faults) == (good, [])
    log = read(ADAPTER, mark + b"# exported by a tool\n" + document)
    assert log.turns == good
    ((number, reason),) = log.faults
    assert number == 1
    assert "not JSON" in reason
    log = read(ADAPTER, mark + document + b"\nDone.\n")
    assert log.turns == good
    ((_, reason),) = log.faults
    assert "not JSON" in reason
    assert "cut off" not in reason


def test_a_document_on_one_line_that_is_longer_than_any_line_may_be(tmp_path: Path) -> None:
    request = json.loads(_document(OWN_LOG.read_bytes().splitlines()))
    padding = {"name": "GET", "attributes": [{"key": "x", "value": {"stringValue": "x" * 65_000}}]}
    others = [{"scopeSpans": [{"spans": [padding] * 270}]}]
    request["resourceSpans"] = others + request["resourceSpans"]
    file = tmp_path / "traces.json"
    file.write_text(json.dumps(request))
    assert file.stat().st_size > 16 << 20
    result = taken(tmp_path, file)
    assert len(result.turns) == len(read(ADAPTER, OWN_LOG.read_bytes()).turns)
