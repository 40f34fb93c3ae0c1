"""Slice discovery: what is planted is found, noise is not, duplicates are folded."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from analysis.slices.cells import Count, coded
from analysis.slices.comparison import SideBySide
from analysis.slices.search import (
    Slice,
    find,
    parse,
)
from data.errors import UsageError
from data.queries.dimensions import (
    BANDS,
    DIMENSIONS,
    condition_sql,
    condition_words,
)
from data.queries.filters import NOT_LOGGED
from progress import share


def traffic(
    rows: int = 6_000,
    seed: int = 0,
    rate: float = 0.05,
    planted: dict[str, str] | None = None,
    inside: float = 0.4,
) -> pa.Table:
    """Dialogues of two turns; turns with all values of `planted` fail at the rate `inside`.

    Outcomes within a dialogue are correlated: half of the second turns repeat the first.
    """
    rng = np.random.default_rng(seed)
    values: dict[str, list[Any]] = {
        "locale": ["en-GB", "en-US", None],
        "device_type": ["speaker", "phone", "tv", "car"],
        "domain": ["music", "video", "home", "news", "日本 ‮语"],
        "version_asr": ["asr-4.1", "asr-4.2", "asr-4.3"],
        "hour": list(BANDS["hour"].labels),
    }
    columns: dict[str, Any] = {}
    hit = np.full(rows, bool(planted))
    for name, choices in values.items():
        codes = rng.integers(0, len(choices), rows)
        columns[name] = [choices[code] for code in codes]
        if planted and name in planted:
            hit &= codes == choices.index(planted[name])
    slots = [sorted(set(rng.choice(["artist", "song", "room"], 2))) for _ in range(rows)]
    columns["slot"] = slots
    if planted and "slot" in planted:
        hit &= np.array([planted["slot"] in row_slots for row_slots in slots])
    failed = rng.random(rows) < np.where(hit, inside, rate)
    if not planted:
        repeat = (np.arange(rows) % 2 == 1) & (rng.random(rows) < 0.5)
        failed[repeat] = failed[np.flatnonzero(repeat) - 1]
    p = np.where(failed, rng.uniform(0.6, 1, rows), rng.uniform(0, 0.02, rows))
    columns = {"dialogue": np.arange(rows) // 2, "p": p.astype(np.float32), **columns}
    return pa.table(columns)


@pytest.mark.parametrize(
    "planted",
    [
        {"domain": "video"},
        {"locale": "en-GB", "version_asr": "asr-4.2"},
        {"locale": "en-GB", "device_type": "tv", "version_asr": "asr-4.2"},
        {"slot": "artist", "device_type": "tv"},
        {"domain": "日本 ‮语", "device_type": "tv"},
    ],
    ids=str,
)
def test_a_planted_slice_is_the_first(planted: dict[str, str]) -> None:
    search = find(traffic(planted=planted, inside=0.6), "asr")
    first = search.slices[0]
    assert dict(first.conditions) == planted
    assert first.low < first.impact < first.high
    assert first.q_value < 1e-6
    assert first.rate > 0.4 > 0.15 > first.rest_rate
    # Its parents and children are folded under it.
    assert len(search.slices) == 1
    assert first.folded


def test_the_part_that_has_all_the_excess_stands_for_the_slice() -> None:
    # Every intent belongs to one domain; only one intent of the domain fails.
    table = traffic(rate=0.02)
    rng = np.random.default_rng(9)
    intents = [f"{domain}.{n}" for domain, n in zip(
        table["domain"].to_pylist(), rng.integers(0, 3, table.num_rows), strict=True
    )]  # fmt: skip
    p = np.where(np.array(intents) == "video.1", 0.5, table["p"].to_numpy())
    table = table.set_column(1, "p", pa.array(p)).append_column("intent", pa.array(intents))
    (only,) = find(table, "nlu").slices
    assert only.conditions == (("intent", "video.1"),)
    assert (("domain", "video"),) in only.folded
    assert (("domain", "video"), ("intent", "video.1")) in only.folded


def test_a_slice_may_be_most_of_the_traffic() -> None:
    rng = np.random.default_rng(2)
    most = rng.random(4_000) < 0.85
    failed = rng.random(4_000) < np.where(most, 0.3, 0.01)
    columns: Any = {
        "dialogue": np.arange(4_000),
        "p": failed.astype(float),
        "domain": np.where(most, "music", "news"),
    }
    (only,) = find(pa.table(columns), "er").slices
    assert only.conditions == (("domain", "music"),)
    assert only.impact == pytest.approx(most.sum() * 0.29, rel=0.1)


def test_equal_counts_are_not_equal_turns() -> None:
    # Two slices of 200 turns with 100 failures each, and nothing in common.
    rows = np.arange(4_000)
    columns: Any = {
        "dialogue": rows,
        "p": np.where(rows < 400, rows % 2, rows % 50 == 0).astype(float),
        "domain": np.where(rows < 200, "video", "music"),
        "locale": np.where((rows >= 200) & (rows < 400), "en-GB", "en-US"),
    }
    slices = find(pa.table(columns), "asr").slices
    assert {slice_.conditions for slice_ in slices} == {
        (("domain", "video"),),
        (("locale", "en-GB"),),
    }


def test_two_slices_stay_two() -> None:
    video = traffic(planted={"domain": "video"}, inside=0.5)
    tv = traffic(planted={"device_type": "tv"}, inside=0.5, seed=1)
    both = {tuple(s.conditions) for s in find(pa.concat_tables([video, tv]), "asr").slices}
    assert {(("domain", "video"),), (("device_type", "tv"),)} <= both


@pytest.mark.long
def test_noise_gives_nothing() -> None:
    seeds = 60
    false = sum(bool(find(traffic(2_400, seed), "asr").slices) for seed in range(seeds))
    # The rate is below 5 %; of 60 draws at 5 %, 7 or fewer are false in 99 of 100 cases.
    assert false <= 3


@pytest.mark.long
def test_the_interval_covers_the_true_impact() -> None:
    covered, seeds = 0, 60
    for seed in range(seeds):
        table = traffic(3_000, seed, planted={"domain": "video"}, inside=0.5)
        first = find(table, "asr", dimensions=("domain",)).slices[0]
        # Failures and others add 0.8 and 0.01 on average.
        true = first.turns * (0.5 - 0.05) * (0.8 - 0.01)
        covered += first.low <= true <= first.high
    assert covered >= 52


def test_order_of_rows_does_not_matter() -> None:
    table = traffic(planted={"locale": "en-GB", "domain": "music"})
    mixed = table.take(np.random.default_rng(5).permutation(table.num_rows))
    ordered, shuffled = find(table, "asr"), find(mixed, "asr")
    assert [s.key for s in ordered.slices] == [s.key for s in shuffled.slices]
    assert [s.folded for s in ordered.slices] == [s.folded for s in shuffled.slices]
    for left, right in zip(ordered.slices, shuffled.slices, strict=True):
        assert left.impact == right.impact
        assert left.low == pytest.approx(right.low)
        assert left.q_value == pytest.approx(right.q_value)


def test_null_is_a_value() -> None:
    table = traffic()
    missing = np.array(table["locale"].is_null().to_pylist())
    p = np.where(missing, 0.5, table["p"].to_numpy())
    first = find(table.set_column(1, "p", pa.array(p)), "nlu").slices[0]
    assert first.conditions == (("locale", NOT_LOGGED),)
    assert first.words() == "locale not logged"


@pytest.mark.parametrize("p", [0.0, 1.0, 0.3])
def test_equal_probabilities_have_no_slice(p: float) -> None:
    table = traffic(500)
    table = table.set_column(1, "p", pa.array(np.full(500, p, np.float32)))
    assert find(table, "er").slices == ()


def test_an_empty_table_has_no_slice() -> None:
    search = find(traffic().slice(0, 0), "asr")
    assert (search.slices, search.turns, search.tested) == ((), 0, 0)


def test_counts_of_a_sample_are_scaled_up() -> None:
    table = traffic(planted={"domain": "video"})
    whole, tenth = find(table, "asr").slices[0], find(table, "asr", share=0.1).slices[0]
    assert tenth.turns == 10 * whole.turns
    assert tenth.impact == pytest.approx(10 * whole.impact)
    assert tenth.rate == whole.rate
    assert "sample" in find(table, "asr", share=0.1).words()


def test_progress_grows_to_one_and_can_end_the_search() -> None:
    shares: list[float] = []

    def note(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        shares.append(share(done, total))

    find(traffic(planted={"domain": "video"}), "asr", progress=note)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    def stop(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(traffic(), "asr", progress=stop)


@pytest.mark.parametrize(
    ("point", "dimension", "value", "apart"),
    [
        ("asr", "confidence", "0.2-0.4", True),
        ("asr", "words", "1", True),
        ("defect", "words", "1", True),
        ("nlu", "confidence", "0.2-0.4", True),
        # To the stages after recognition, the number of words is what the request is like.
        ("nlu", "words", "1", False),
        ("asr", "hour", "08-12", False),
    ],
)
def test_the_evidence_of_the_stage_stands_below_where_it_fails(
    point: str, dimension: str, value: str, apart: bool
) -> None:
    table = traffic(12_000, planted={"domain": "video"}, inside=0.3)
    rng = np.random.default_rng(4)
    values = np.where(rng.random(12_000) < 0.3, value, BANDS[dimension].labels[-1])
    p = np.where(values == value, 0.7, table["p"].to_numpy()).astype(np.float32)
    table = table.set_column(1, "p", pa.array(p))
    if dimension in table.column_names:
        table = table.drop_columns([dimension])
    search = find(table.append_column(dimension, pa.array(values)), point)
    keys = [slice_.conditions for slice_ in search.slices]
    assert ((dimension, value),) in keys
    # A symptom does not explain a slice that says where.
    assert (("domain", "video"),) in keys or not apart
    # It has by far the most excess failures, and comes last all the same.
    assert (keys[0] == ((dimension, value),)) is not apart
    assert search.slices == (*search.causes, *search.symptoms)
    assert (((dimension, value),) in [s.conditions for s in search.symptoms]) is apart


def test_overlapping_slices_are_neither_parts_nor_repeated() -> None:
    tv, gb, morning = ("device_type", "tv"), ("locale", "en-GB"), ("hour", "08-12")
    video, asr = ("domain", "video"), ("version_asr", "asr-4.2")
    folded = ((tv, gb), (gb,), (gb, morning), (video, morning), (video,), (video,), (asr, morning))
    whole = replace(asr_slice(tv), folded=folded)
    # (tv, gb) is a part of the slice, (gb, morning) of en-GB, (video, morning) of video.
    assert whole.overlapping == ((gb,), (video,), (asr, morning))


def test_two_slices_are_compared_by_what_they_do_not_share() -> None:
    sums = {"turns": 100, "failures": 30.0, "other_turns": 200, "other_failures": 20.0,
            "shared": 0, "shared_failures": 0.0, "spread": 0.0025}  # fmt: skip
    sides = SideBySide.of(sums)
    assert sides.difference == pytest.approx(0.2)
    assert sides.clear
    assert not SideBySide.of({**sums, "spread": 0.04}).clear
    empty = SideBySide.of({**sums, "other_turns": 0, "other_failures": 0.0, "spread": 0.0})
    assert empty.difference is None
    assert not empty.clear


def asr_slice(*conditions: tuple[str, str]) -> Slice:
    return Slice("asr", conditions, 10, 5.0, 0.5, 0.1, 4.0, 1.0, 7.0, 0.01, 0.02)


def test_a_key_names_the_slice() -> None:
    slice_ = asr_slice(("domain", "a;b=c:d/ü"), ("version_asr", "asr-4.2"), ("hour", "08-12"))
    assert parse(slice_.key) == ("asr", slice_.conditions)
    assert slice_.key.isascii()


@pytest.mark.parametrize("key", ["", "asr", "asr:", "asr:domain", "asr:nothing=1", "asr:hour=9"])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(UsageError):
        parse(key)


@pytest.mark.parametrize(
    ("dimension", "value", "words"),
    [
        ("locale", "en-GB", "en-GB"),
        ("version_asr", "asr-4.2", "ASR 4.2"),
        ("version_nlu", NOT_LOGGED, "NLU version not logged"),
        ("slot", "artist", "slot artist"),
        ("hour", "08-12", "08–12 h UTC"),
        ("words", "1", "1 word heard"),
        ("words", "5-7", "5–7 words heard"),
        ("confidence", "0.2-0.4", "ASR confidence 0.2–0.4"),
        ("confidence", NOT_LOGGED, "ASR confidence not logged"),
        ("device_type", NOT_LOGGED, "device not logged"),
        ("domain", " ", "domain blank"),
    ],
)
def test_conditions_in_words(dimension: str, value: str, words: str) -> None:
    assert condition_words(dimension, value) == words


def test_conditions_in_sql_select_what_the_bands_say() -> None:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute("""
        CREATE TABLE predictions AS SELECT
          CASE WHEN i % 7 > 0 THEN (i % 101) / 100.0 END::FLOAT AS asr_confidence,
          CASE WHEN i % 5 > 0 THEN i % 17 END::SMALLINT AS words,
          TIMESTAMPTZ '2026-01-01 00:30:00+00' + INTERVAL (i) HOUR AS started_at
        FROM range(2000) r(i)
    """)
    for name, band in BANDS.items():
        for value in (*band.labels, NOT_LOGGED):
            clause, params = condition_sql(((name, value),))
            label = None if value == NOT_LOGGED else value
            sql = f"SELECT count(*) FILTER ({clause}), count(*) FILTER ({band.cases()}"
            sql += " IS NOT DISTINCT FROM $label) FROM predictions"
            left, right = con.execute(sql, {**params, "label": label}).fetchall()[0]
            assert left == right
    assert set(BANDS) < set(DIMENSIONS)


@pytest.mark.parametrize("seed", range(4))
def test_every_combination_with_enough_turns_is_counted(seed: int) -> None:
    # Rare values, values without failures, and lists: cells left out of a level, and the rows
    # dropped with them, must not be missing on the next level.
    rng = np.random.default_rng(seed)
    rows = 1_500
    columns: dict[str, Any] = {
        "locale": rng.choice(["a", "b", "c"], rows, p=[0.5, 0.48, 0.02]),
        "device_type": rng.choice(["d", "e"], rows, p=[0.97, 0.03]),
        "slot": [sorted(set(rng.choice(["s", "t", "u"], 2))) for _ in range(rows)],
        "hour": rng.choice(list("wxyz"), rows),
    }
    # Values of `locale` b seldom fail.
    weight = np.where(columns["locale"] == "b", 0.002, 0.3) * rng.random(rows)
    table = pa.table(columns)
    count = Count(coded(table, list(columns)), weight, 20, 2.0)
    names = [dimension.name for dimension in count.dimensions]
    counted = {
        tuple(
            (names[index], count.dimensions[index].values[code])
            for index, code in zip(cells.dimensions, codes, strict=True)
        ): (int(turns), round(float(failures), 9))
        for cells in count.walk()
        for codes, turns, failures in zip(cells.codes, cells.turns, cells.failures, strict=True)
    }
    expected = {}
    values = {name: count.dimensions[index].values for index, name in enumerate(names)}
    for depth in (1, 2, 3):
        for combination in combinations(names, depth):
            for cell in product(*(values[name] for name in combination)):
                inside = np.ones(rows, bool)
                for name, value in zip(combination, cell, strict=True):
                    column = columns[name]
                    inside &= np.array([value in row_value if name == "slot" else value == row_value
                                        for row_value in column])  # fmt: skip
                if inside.sum() >= 20 and weight[inside].sum() >= 2.0:
                    key = tuple(zip(combination, cell, strict=True))
                    expected[key] = (int(inside.sum()), round(float(weight[inside].sum()), 9))
    assert counted == expected
