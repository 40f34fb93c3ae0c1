"""Whether simulated turns look like those of real assistants; every band says where it is from."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from assistant.simulate import Simulated
from benchmarks.asr.error_statistics import Errors, measure
from tests.simulated import TURNS

STAGES = ("asr", "nlu", "er", "result", "tts")
LATENCIES = ("wake", *STAGES)


def logged(path: Path) -> Iterator[dict[str, Any]]:
    """The turns of one real corpus."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    with gzip.open(path) as lines:
        yield from map(decoder.decode, lines)


def heard(turns: Iterator[dict[str, Any]]) -> Errors:
    """What recognition was like, over the turns in which somebody spoke to the assistant."""
    return measure(
        [
            (
                turn["gold"]["transcript"],
                [(h["text"], h.get("confidence")) for h in turn["asr"].get("hypotheses") or []],
            )
            for turn in turns
            if turn["gold"].get("addressed", True) and turn["gold"].get("transcript")
        ]
    )


@pytest.fixture(scope="module")
def records(demo_turns: list[Simulated]) -> list[dict[str, Any]]:
    """The simulated turns with the truth as gold."""
    return [{**turn.record, "gold": turn.truth["gold"]} for turn in demo_turns]


@pytest.fixture(scope="module")
def simulated(records: list[dict[str, Any]]) -> Errors:
    return heard(iter(records))


@pytest.fixture(scope="module")
def telephone(corpora: Path) -> list[Errors]:
    """The two corpora that have n-best lists with confidences, of telephone calls."""
    return [heard(logged(corpora / f"{name}.jsonl.gz")) for name in ("dstc1", "dstc2")]


def test_failures_are_as_frequent_as_a_consumer_assistant_has_them(
    demo_turns: list[Simulated],
) -> None:
    share = Counter(turn.truth["failure_point"] for turn in demo_turns)
    # Assistants in homes answer 85 to 90 % of the requests to satisfaction; two standard errors of
    # so few turns, in dialogues, are 2 points.
    assert 0.83 < share["correct"] / TURNS < 0.92
    # Recognition fails most (dstc1, dstc2 and slurp agree), the others alike.
    assert 0.03 < share["asr"] / TURNS < 0.08
    for point in ("false_wake", "nlu", "er", "result"):
        assert 0.008 < share[point] / TURNS < 0.04


def test_recognition_is_better_than_by_telephone_but_errs(
    simulated: Errors, telephone: list[Errors]
) -> None:
    # Far-field recognition of today against telephones of 2010 to 2012: a third of their turns or
    # more had a wrong word. Fewer than one in twenty would be better than people are.
    assert 0.05 < simulated.turn_error < min(one.turn_error for one in telephone)
    assert 0.02 < simulated.word_error < 0.12


def test_words_go_wrong_in_the_same_ways(simulated: Errors, telephone: list[Errors]) -> None:
    # Of the wrong words of dstc1 and dstc2 are 43 and 62 % substituted, 54 and 23 % deleted, 3 and
    # 15 % inserted: two recognisers apart by that much themselves. What lies between them
    # is allowed, and as much beyond as the 300 wrong words of so few turns can stray by chance in
    # dialogues (two standard errors of 0.03); insertions are rare and stray less.
    for kind, slack in (("substituted", 0.08), ("deleted", 0.08), ("inserted", 0.05)):
        real = [getattr(one, kind) for one in telephone]
        assert min(real) - slack < getattr(simulated, kind) < max(real) + slack, kind
    # As in dstc2, the larger log and the later recogniser.
    assert simulated.substituted > simulated.deleted > simulated.inserted


def test_confidence_tells_as_much_about_errors(simulated: Errors, telephone: list[Errors]) -> None:
    # A perfect or a useless confidence would both be unreal: within 0.1 of the real ones.
    real = [one.auc for one in telephone]
    assert min(real) - 0.1 < simulated.auc < max(real) + 0.1
    # Telephone logs are sure of half of their turns at 0.7; with fewer errors comes more
    # confidence, yet not certainty.
    assert max(one.confident for one in telephone) < simulated.confident < 0.995
    # Where confidence is low, turns really are wrong, and more often the lower it is.
    wrong = [bad for _, _, bad in simulated.bands]
    assert wrong[-1] == min(wrong) < 0.15
    assert wrong[0] > 2 * wrong[-1]


def test_confidences_are_spread(records: list[dict[str, Any]]) -> None:
    first = [
        turn["asr"]["hypotheses"][0]["confidence"] for turn in records if turn["asr"]["hypotheses"]
    ]
    low, high = np.quantile(first, [0.1, 0.9])
    # The real ones reach from below 0.3 to above 0.95 between these shares; with a fifth of their
    # errors, half of that width at least.
    assert high - low > 0.3
    sure = [turn["nlu"]["hypotheses"][0]["confidence"] for turn in records]
    assert np.quantile(sure, 0.9) - np.quantile(sure, 0.1) > 0.1
    assert all(0.0 <= one <= 1.0 for one in [*first, *sure])


def test_several_hypotheses_are_listed(records: list[dict[str, Any]], corpora: Path) -> None:
    ours = [len(turn["asr"]["hypotheses"]) for turn in records if turn["asr"]["hypotheses"]]
    real = [
        [len(turn["asr"].get("hypotheses") or []) for turn in logged(corpora / f"{name}.jsonl.gz")]
        for name in ("dstc1", "dstc2")
    ]
    # dstc1 lists what its beam left (3.7 on average, often one alone); dstc2 always ten, of which
    # 5.5 on average have a hundredth of the confidence. Ours are at most five.
    assert np.mean(real[0]) - 0.5 < np.mean(ours) < np.mean(real[1]) / 2 + 0.5
    assert np.quantile(ours, 0.05) == np.quantile(real[0], 0.05) == 1
    assert max(ours) == 5


def test_an_oracle_would_repair_as_much(simulated: Errors, telephone: list[Errors]) -> None:
    # The best of the list repairs 18 % of the wrong words in dstc1 and 27 % in dstc2, where every
    # third word is wrong and whole turns are lost. Of few errors more are slips of one word, whose
    # repair is in the list: up to twice as many, with one standard error (0.05) on top.
    real = [one.gain for one in telephone]
    assert min(real) < simulated.gain < 2 * max(real) + 0.05


@pytest.mark.parametrize("stage", LATENCIES)
def test_latencies_have_a_long_tail(stage: str, records: list[dict[str, Any]]) -> None:
    took = [
        turn[stage]["latency_ms"]
        for turn in records
        if turn.get(stage) and turn[stage].get("latency_ms") is not None
    ]
    spoken = [one for one in took if one > 0]
    # Nothing is done in no time, but for what there is nothing to do for.
    assert min(took) >= 0.0
    assert len(spoken) > 0.5 * len(records)
    # Service times are skewed to the right everywhere.
    assert np.quantile(spoken, 0.99) - np.median(spoken) > np.median(spoken) - min(spoken)


def test_stages_start_one_after_the_other(records: list[dict[str, Any]]) -> None:
    for turn in records:
        starts = [turn[stage]["start_ms"] for stage in STAGES if turn.get(stage)]
        assert starts == sorted(starts)
        assert starts[0] >= 0.0


def test_an_answer_comes_within_seconds(records: list[dict[str, Any]]) -> None:
    waits = [
        turn["tts"]["start_ms"] - turn["asr"]["start_ms"] - (turn["asr"]["audio_ms"] or 0.0)
        for turn in records
        if turn.get("tts")
    ]
    # A conversation allows for a second; back ends that time out take some more.
    assert 0.1 < np.median(waits) / 1000 < 1.5
    assert np.quantile(waits, 0.999) / 1000 < 10.0


def test_requests_are_as_long_as_people_make_them(
    records: list[dict[str, Any]], corpora: Path
) -> None:
    ours = [
        len(turn["gold"]["transcript"].split())
        for turn in records
        if turn["gold"]["addressed"] and turn["turn_index"] == 0
    ]
    real = [len(turn["gold"]["transcript"].split()) for turn in logged(corpora / "slurp.jsonl.gz")]
    # slurp's single requests are written on purpose and so a little longer than what is said in
    # passing; none of either is an essay.
    assert np.median(real) - 2.5 <= np.median(ours) <= np.median(real) + 1
    for share in (0.05, 0.95):
        assert abs(np.quantile(ours, share) - np.quantile(real, share)) <= 3


def test_dialogues_end_sooner_than_an_inquiry_by_telephone(
    records: list[dict[str, Any]], corpora: Path
) -> None:
    ours = list(Counter(turn["dialogue_id"] for turn in records).values())
    real = list(
        Counter(turn["dialogue_id"] for turn in logged(corpora / "dstc1.jsonl.gz")).values()
    )
    # A bus inquiry takes eleven turns; a command at home mostly one, and both have a tail of long
    # ones.
    assert 1.3 < np.mean(ours) < 0.4 * np.mean(real)
    assert 1 <= np.median(ours) <= 2
    assert np.quantile(ours, 0.95) >= 4
