"""What the ingesting process leaves in the spool."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks.receiver import last_span, request, spans_of_turn
from collect import ingester
from collect.ingester import Ingester, RefusedBody, Setup
from collect.otlp_bodies import JSON, PROTOBUF
from collect.spool import Reader, Writer, packed, segments
from data.store.privacy import KINDS, Choice, choose, fingerprint
from data.store.store import Store
from tests.collect.served import quarantine, stored
from tests.collect.spans import as_json

KIND, KIND_JSON = ingester.KINDS.index(PROTOBUF), ingester.KINDS.index(JSON)


def ingester_of(folder: Path, *, grace: float = 0.0, idle: float = 1e12) -> Ingester:
    """An ingester of `spool` in a folder for `store` in it, without a server."""
    spool = folder / "spool"
    spool.mkdir(exist_ok=True)
    Store.ensure(folder / "store")
    setup = Setup(str(folder / "store"), str(spool), "otlp", grace, idle, 0, 512 << 20)
    return Ingester(setup, lambda _: None)


def with_prompt(call: int, size: int) -> bytes:
    """A request in JSON with a whole call, whose LLM was given a prompt of a size."""
    body = json.loads(
        as_json(request([*spans_of_turn(call, 0, 1.8e9), last_span(call, 1.8e9, 2e9)]))
    )
    prompt = {"key": "input", "value": {"stringValue": "x" * size}}
    for resource in body["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                if span["name"] == "llm":
                    span["attributes"].append(prompt)
    return json.dumps(body).encode()


@pytest.mark.parametrize(("calls", "prompt"), [(100, 200_000), (2, 17 << 20)])
def test_large_spans_in_json_are_stored(tmp_path: Path, calls: int, prompt: int) -> None:
    collecting = ingester_of(tmp_path)
    with Writer(tmp_path / "spool") as writer:
        for call in range(calls):
            writer.append([packed(KIND_JSON, 1_000_000, with_prompt(call, prompt))])
    collecting.finish()
    assert len(stored(tmp_path / "store")) == calls
    assert quarantine(tmp_path / "store") == []
    assert segments(tmp_path / "spool") == []


def test_a_long_call_does_not_keep_what_others_have_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingester, "_CARRY_FROM", 0)
    monkeypatch.setattr(ingester, "_CARRY_TIMES", 2)
    spool = tmp_path / "spool"
    spool.mkdir()
    Store.create(tmp_path / "store")
    setup = Setup(str(tmp_path / "store"), str(spool), "otlp", 0, 1e12, 0, 64 << 20)
    first = Ingester(setup, lambda _: None)
    with Writer(spool, segment_bytes=20_000) as writer:
        # A call that does not end, among many that do.
        writer.append([packed(KIND, 1_000_000, request(spans_of_turn(0, 0, 1.8e9)[:3]))])
        for call in range(1, 40):
            spans = [*spans_of_turn(call, 0, 1.8e9), last_span(call, 1.8e9, 1.8e9 + 6)]
            writer.append([packed(KIND, 1_000_000 + call, request(spans))])
    before = sum(path.stat().st_size for path in segments(spool))
    while first.step():
        pass
    assert any(path.name.startswith("carried-") for path in segments(spool))
    assert sum(path.stat().st_size for path in segments(spool)) < before / 2
    # As after a kill: what is there begins the turn, what comes ends it.
    assert Reader(spool).read(1 << 30)
    with Writer(spool) as writer:
        end = [spans_of_turn(0, 0, 1.8e9)[3], last_span(0, 1.8e9, 1.8e9 + 6)]
        writer.append([packed(KIND, 2_000_000, request(end))])
    second = Ingester(setup, lambda _: None)
    second.finish()
    turns = stored(tmp_path / "store")
    assert {turn["dialogue_id"] for turn in turns} == {f"call-{call}" for call in range(40)}
    assert all(turn["asr"]["hypotheses"] and turn["tts"] for turn in turns)
    assert segments(spool) == []


def test_a_part_of_a_stored_turn_does_not_replace_it_after_a_restart(tmp_path: Path) -> None:
    first = ingester_of(tmp_path)
    spans, other = spans_of_turn(0, 0, 1.8e9), spans_of_turn(1, 0, 1.8e9)
    with Writer(tmp_path / "spool", segment_bytes=10) as writer:
        writer.append([packed(KIND, 1_000_000, request(spans[:2]))])
        # The rest of it beside a call that does not end.
        end = [*spans[2:], last_span(0, 1.8e9, 1.8e9 + 6), *other[:3]]
        writer.append([packed(KIND, 1_000_001, request(end))])
        writer.append([packed(KIND, 1_000_002, request(other[1:2]))])
    while first.step():
        pass
    assert len(segments(tmp_path / "spool")) == 2
    before = stored(tmp_path / "store")
    assert before[0]["asr"]["hypotheses"]
    assert before[0]["tts"]
    second = ingester_of(tmp_path)
    with Writer(tmp_path / "spool") as writer:
        # A span that comes late is known to, and the open call goes on.
        writer.append([packed(KIND, 2_000_000, request(spans[:1]))])
        last = last_span(1, 1.8e9, 1.8e9 + 6)
        writer.append([packed(KIND, 2_000_001, request([other[3], last]))])
    second.finish()
    after = stored(tmp_path / "store")
    assert after[0] == before[0]
    assert [turn["dialogue_id"] for turn in after] == ["call-0", "call-1"]
    assert after[1]["asr"]["hypotheses"]
    assert after[1]["tts"]
    (late,) = quarantine(tmp_path / "store")
    assert "came after its trace had ended" in late["reason"]
    assert segments(tmp_path / "spool") == []
    assert second.figures.late == 1


def test_what_comes_again_of_a_forgotten_trace_is_kept_over_a_restart(tmp_path: Path) -> None:
    first = ingester_of(tmp_path, idle=0)
    spans, other = spans_of_turn(0, 0, 1.8e9), spans_of_turn(1, 0, 1.8e9)
    with Writer(tmp_path / "spool", segment_bytes=10) as writer:
        writer.append([packed(KIND, 1_000_000, request(spans))])
        writer.append([packed(KIND, 1_000_001, request(other))])
    while first.step():
        pass
    assert len(stored(tmp_path / "store")) == 2
    # The first segment is gone, and what was stored is on disk; the call goes on after that.
    assert len(segments(tmp_path / "spool")) == 1
    with Writer(tmp_path / "spool") as writer:
        writer.append([packed(KIND, 2_000_000, request(spans_of_turn(0, 1, 1.8e9 + 6)))])
    second = ingester_of(tmp_path)
    second.finish()
    turns = stored(tmp_path / "store")
    assert [turn["turn_index"] for turn in turns if turn["dialogue_id"] == "call-0"] == [0, 1]
    assert second.figures.replaced == 0


def test_a_kill_between_two_removals_does_not_replace_turns(tmp_path: Path) -> None:
    first = ingester_of(tmp_path)
    spans = [*spans_of_turn(0, 0, 1.8e9), last_span(0, 1.8e9, 1.8e9 + 6)]
    with Writer(tmp_path / "spool", segment_bytes=10) as writer:
        writer.append([packed(KIND, 1_000_000, request(spans[:2]))])
        writer.append([packed(KIND, 1_000_001, request(spans[2:]))])
    _, rest = segments(tmp_path / "spool")
    kept = rest.read_bytes()
    first.finish()
    before = stored(tmp_path / "store")
    assert segments(tmp_path / "spool") == []
    assert len(before) == 1
    # As if the process had ended before this one was removed.
    rest.write_bytes(kept)
    second = ingester_of(tmp_path)
    second.finish()
    assert stored(tmp_path / "store") == before
    assert (second.figures.turns, second.figures.replaced) == (0, 0)
    assert segments(tmp_path / "spool") == []


def test_a_store_that_redacts_does_so_with_what_is_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTLINE_USER_KEY", "k" * 32)
    choose(Store.create(tmp_path / "store"), Choice(KINDS, ("Zed",), None, fingerprint(b"k" * 32)))
    collecting = ingester_of(tmp_path)
    said = b"zed is at four one two two six eight three zero zero zero"
    whole = json.loads(with_prompt(1, 10))
    for span in whole["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for attribute in span["attributes"]:
            if attribute["key"] == "transcript":
                attribute["value"] = {"stringValue": said.decode()}
    refused = RefusedBody("", "not JSON", b"+14122683000 " + said)
    with Writer(tmp_path / "spool") as writer:
        writer.append([packed(KIND_JSON, 1_000_000, json.dumps(whole).encode())])
        writer.append([packed(ingester.REFUSED, 1_000_000, msgspec.msgpack.encode(refused))])
    collecting.finish()
    (turn,) = stored(tmp_path / "store")
    assert turn["asr"]["hypotheses"][0]["text"] == "[NAME] is at [PHONE]"
    assert turn["user_id"].startswith(f"u-{fingerprint(b'k' * 32)}-")
    # With pseudonyms, nothing is kept of what cannot be read.
    assert [row["excerpt"] for row in quarantine(tmp_path / "store")] == ["…"]
