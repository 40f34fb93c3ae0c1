"""The filter: its SQL, caption, chips and URL agree."""

from __future__ import annotations

import string
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import UsageError
from data.queries.filters import (
    NOT_LOGGED,
    SOURCES,
    Chip,
    Filter,
    Range,
)
from data.schema.trace import FAILURE_POINTS

CASES: list[tuple[Filter, str, dict[str, Any], str]] = [
    (Filter(), "true", {}, "all turns"),
    (
        Filter(since=date(2024, 3, 1)),
        "day >= $since",
        {"since": date(2024, 3, 1)},
        "from 1 March 2024",
    ),
    (
        Filter(since=date(2024, 3, 1), until=date(2024, 3, 14)),
        "day >= $since AND day <= $until",
        {"since": date(2024, 3, 1), "until": date(2024, 3, 14)},
        "1 March 2024 to 14 March 2024",
    ),
    (
        Filter(until=date(2024, 3, 14), since=date(2024, 3, 14)),
        "day >= $since AND day <= $until",
        {"since": date(2024, 3, 14), "until": date(2024, 3, 14)},
        "14 March 2024",
    ),
    (
        Filter(locale=("en-GB", "en-US"), device=("phone",)),
        "locale IN ($locale_0, $locale_1) AND device_type IN ($device_0)",
        {"locale_0": "en-GB", "locale_1": "en-US", "device_0": "phone"},
        "en-GB or en-US · phone",
    ),
    (Filter(domain=(NOT_LOGGED,)), "domain IS NULL", {}, "domain not logged"),
    (
        Filter(intent=(NOT_LOGGED, "play")),
        "(intent IN ($intent_0) OR intent IS NULL)",
        {"intent_0": "play"},
        "intent not logged or play",
    ),
    (
        Filter(version=("asr:4.2", "nlu:7", "asr:a:b")),
        "version_asr IN ($version_asr_0, $version_asr_1) AND version_nlu IN ($version_nlu_0)",
        {"version_asr_0": "4.2", "version_asr_1": "a:b", "version_nlu_0": "7"},
        "ASR 4.2 or NLU 7 or ASR a:b",
    ),
    (
        Filter(failure_point=("asr", "false_wake")),
        "failure_point IN ($failure_point_0, $failure_point_1)",
        {"failure_point_0": "asr", "failure_point_1": "false_wake"},
        "predicted ASR or predicted false wake",
    ),
    (
        Filter(slot=("song", NOT_LOGGED), status=("error",)),
        "(list_has_any(slots, [$slot_0]) OR coalesce(len(slots), 0) = 0) AND status IN ($status_0)",
        {"slot_0": "song", "status_0": "error"},
        "slot song or no slot · status error",
    ),
    (
        Filter(confidence=Range(0.2, 0.5), words=Range(None, 3), hour=Range(22, None)),
        "asr_confidence >= $confidence_low AND asr_confidence < $confidence_high"
        " AND words < $words_high AND hour(started_at) >= $hour_low",
        {"confidence_low": 0.2, "confidence_high": 0.5, "words_high": 3, "hour_low": 22},
        "ASR confidence 0.2 to 0.5 · length below 3 words · hour 22 or more h UTC",
    ),
    (
        Filter(source="predicted", text="50% of _"),
        "NOT (turn_id IN (SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL "
        "UNION ALL SELECT turn_id FROM annotations))"
        " AND contains(lower(heard), lower($text))",
        {"text": "50% of _"},
        "predicted only · heard “50% of _”",
    ),
    (
        Filter(locale=("en-GB",), not_device=("phone", NOT_LOGGED), not_version=("asr:4.2",)),
        "locale IN ($locale_0)"
        " AND ((device_type IN ($not_device_0) OR device_type IS NULL)) IS NOT TRUE"
        " AND (version_asr IN ($not_version_asr_0)) IS NOT TRUE",
        {"locale_0": "en-GB", "not_device_0": "phone", "not_version_asr_0": "4.2"},
        "en-GB · not phone and not device not logged · not ASR 4.2",
    ),
    (
        Filter(assistant=("x'; DROP TABLE turns --",)),
        "assistant IN ($assistant_0)",
        {"assistant_0": "x'; DROP TABLE turns --"},
        "x'; DROP TABLE turns --",
    ),
]


@pytest.mark.parametrize(("chosen", "clause", "params", "caption"), CASES)
def test_sql_and_caption(chosen: Filter, clause: str, params: dict[str, Any], caption: str) -> None:
    assert chosen.sql() == (clause, params)
    assert chosen.caption() == caption


@pytest.mark.parametrize("chosen", [case[0] for case in CASES])
def test_removing_every_chip_leaves_all_turns(chosen: Filter) -> None:
    for chip in chosen.chips():
        assert chip in chosen.chips()
        chosen = chosen.without(chip)
    assert chosen == Filter()
    assert not chosen


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"since": "yesterday"}, "Invalid day since=yesterday"),
        ({"version": "4.2"}, "version=4.2 names no stage"),
        ({"since": "2024-03-02", "until": "2024-03-01"}, "since=2024-03-02 is after until"),
        ({"failure_point": "tts"}, "Unknown failure_point=tts"),
        ({"not_failure_point": ["asr", "tts"]}, "Unknown not_failure_point=tts"),
        # The key's earlier name.
        ({"stage": "tts"}, "Unknown stage=tts"),
        ({"not_version": "4.2"}, "not_version=4.2 names no stage"),
        ({"since": ["2024-03-02", "2024-03-03"]}, "since is given 2 times"),
        ({"source": ["predicted", "annotated"]}, "source is given 2 times"),
        ({"hour": ["0..6", "6..12"]}, "hour is given 2 times"),
        ({"source": "guessed"}, "Unknown source=guessed"),
        ({"confidence": "0.5"}, "Invalid range confidence=0.5"),
        ({"confidence": "0.5..0.2"}, "Invalid range"),
        ({"words": ".."}, "Invalid range"),
        ({"hour": "nan..3"}, "Invalid range"),
    ],
)
def test_bad_parameters_raise_a_usage_error(query: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Filter.from_query(query)


def test_other_parameters_are_ignored() -> None:
    query = {"turn": "t1", "at": "t1.p1", "locale": "en-GB", "device": "", "until": ""}
    assert Filter.from_query(query) == Filter(locale=("en-GB",))


def test_the_earlier_name_of_the_failure_point_is_still_read() -> None:
    assert Filter.from_query({"stage": ["asr", "er"]}) == Filter(failure_point=("asr", "er"))
    both = Filter.from_query({"stage": "asr", "failure_point": "er", "not_stage": "nlu"})
    assert set(both.failure_point) == {"asr", "er"}
    assert both.query()["not_failure_point"] == ["nlu"]
    assert "stage" not in both.query()


@pytest.mark.parametrize("chosen", [case[0] for case in CASES])
def test_narrowing_to_each_condition_gives_the_filter_back(chosen: Filter) -> None:
    single = {chip.key: chip for chip in chosen.chips()}
    for chip in single.values():
        narrowed = Filter().narrowed((chip.key, chip.value))
        assert narrowed.chips() == [chip]
        # Already within it.
        assert narrowed.narrowed((chip.key, chip.value)) == narrowed


def test_narrowing_stays_within_the_period_and_keeps_other_stages() -> None:
    week = Filter(since=date(2024, 3, 4), until=date(2024, 3, 10), version=("asr:1", "nlu:2"))
    narrowed = week.narrowed(("since", "2024-03-01"), ("until", "2024-03-06"), ("version", "asr:3"))
    assert (narrowed.since, narrowed.until) == (date(2024, 3, 4), date(2024, 3, 6))
    assert narrowed.version == ("nlu:2", "asr:3")


def test_a_chip_has_a_key_a_value_and_a_text() -> None:
    assert Filter(version=("er:9",)).chips() == [Chip("version", "er:9", "ER 9")]


def any_end(pair: tuple[float | None, float | None]) -> bool:
    return pair != (None, None)


def in_order(pair: tuple[float | None, float | None]) -> Range:
    low, high = pair
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return Range(low, high)


words = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=3).map(tuple)
ends = st.none() | st.integers(0, 2000).map(lambda n: n / 100)
ranges = st.none() | st.tuples(ends, ends).filter(any_end).map(in_order)
releases = st.lists(
    st.builds(
        "{}:{}".format,
        st.sampled_from(["wake", "asr", "nlu", "er", "result"]),
        st.text(string.printable, min_size=1, max_size=5),
    ),
    unique=True,
    max_size=3,
).map(tuple)

verdicts = st.lists(st.sampled_from(FAILURE_POINTS), unique=True).map(tuple)


@given(
    st.builds(
        Filter,
        since=st.none() | st.dates(),
        assistant=words,
        locale=words,
        device=words,
        domain=words,
        intent=words,
        version=releases,
        failure_point=verdicts,
        not_failure_point=verdicts,
        not_device=words,
        not_slot=words,
        not_version=releases,
        slot=words,
        status=words,
        confidence=ranges,
        words=ranges,
        hour=ranges,
        defect=ranges,
        source=st.none() | st.sampled_from(SOURCES),
        text=st.none() | st.text(min_size=1).map(str.strip).map(lambda text: text or None),
    ),
    st.none() | st.integers(0, 400),
)
def test_url_gives_the_same_filter_back(chosen: Filter, days: int | None) -> None:
    if chosen.since and days is not None and chosen.since < date(9990, 1, 1):
        chosen = Filter(**{**vars(chosen), "until": chosen.since + timedelta(days=days)})
    assert Filter.from_query(chosen.query()) == chosen
    clause, params = chosen.sql()
    assert all(f"${name}" in clause for name in params)


def test_the_roll_up_answers_filters_on_its_own_columns() -> None:
    assert Filter(locale=("en-GB",)).rollup
    assert Filter(not_locale=("en-GB",), not_version=("asr:1",)).rollup
    assert not Filter(not_slot=("song",)).rollup
    assert not Filter(locale=("en-GB", "en-US"), confidence=Range(None, 0.3)).rollup
