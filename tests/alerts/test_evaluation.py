"""What each kind of rule says of a store, and that no unfinished day makes it fire."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from alerts.chart import picture
from alerts.evaluation import Figures, Finding, complete_day, evaluate
from alerts.rule import KINDS, Rule
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.queries.filters import Filter
from data.queries.overview import bounds
from data.store import workspace
from data.store.predictions import commit_predictions
from data.store.snapshot import Snapshot
from data.store.store import Store
from report.contents import headline
from tests import scored
from tests.logs import write_lines

LATER = datetime(2024, 6, 1, 12, tzinfo=UTC)


def fill_days(store: Store, failing: list[int], turns: int = 40) -> None:
    """Days with `turns` turns each, of which so many fail at ASR."""
    records = [
        {
            "turn_id": f"d{day}-{i}",
            "dialogue_id": f"d{day}-{i}",
            "turn_index": 0,
            "started_at": (scored.START + timedelta(days=day, minutes=i)).isoformat(),
        }
        for day in range(len(failing))
        for i in range(turns)
    ]
    ingest(store, [write_lines(store.path.parent / "logs.jsonl", records)])
    with store.snapshot() as snapshot:
        table = scored.predictions_table(snapshot.query("FROM turns ORDER BY turn_id"))
    rows = table.to_pylist()
    for row in rows:
        day, i = map(int, str(row["turn_id"]).removeprefix("d").split("-"))
        asr = 0.9 if i < failing[day] else 0.01
        row |= {f"p_{name}": 0.01 for name in ("false_wake", "nlu", "er", "result")}
        row |= {"p_asr": asr, "p_correct": 0.96 - asr, "p_defect": 0.04 + asr}
    commit_predictions(store, pa.Table.from_pylist(rows, schema=table.schema), scored.MODEL)
    (store.models / scored.MODEL).mkdir()
    store.promote(scored.MODEL)


def found_by(snapshot: Snapshot, watched: Rule, now: datetime) -> Finding:
    return evaluate(Figures(snapshot), watched, now)


def rule(kind: str, query: str = "", **more: object) -> Rule:
    chosen = Filter.from_query(dict(p.split("=") for p in query.split("&")) if query else {})
    return Rule.of(kind, kind, chosen, **more)  # type: ignore[arg-type]


def test_a_rate_fires_where_its_whole_interval_is_above_the_bound(phones_fail: Store) -> None:
    with phones_fail.snapshot() as snapshot:
        phones = evaluate(
            Figures(snapshot), rule("rate", "device=phone", bound=0.5, days=28), LATER
        )
        speakers = evaluate(
            Figures(snapshot), rule("rate", "device=speaker", bound=0.5, days=28), LATER
        )
        known = bounds(snapshot, scored.MODEL)
        assert known
        assert (phones.firing, speakers.firing) == (True, False)
        # What the page Overview says of the same turns and days.
        chosen = Filter(device=("phone",), since=phones.since, until=phones.until)
        head = headline(snapshot, scored.MODEL, chosen, known[:2])
        assert head
        assert phones.value == head.rates["defect"].value
        # Between the ends of its interval, it may be chance.
        assert phones.low
        assert phones.value
        inside = (phones.low + phones.value) / 2
        unsure = evaluate(
            Figures(snapshot), rule("rate", "device=phone", bound=inside, days=28), LATER
        )
        assert unsure.firing is False
        assert "is not clearly above" in unsure.sentence
        none = found_by(snapshot, rule("rate", "device=toaster"), LATER)
    assert none.firing is None
    assert none.sentence == "No turn of toaster in these days."


@pytest.mark.parametrize(
    ("last", "now", "complete"),
    [
        # Long ago; yesterday, an hour and three hours after its end; today; a clock ahead.
        ((2024, 3, 10), (2024, 6, 1, 12), (2024, 3, 10)),
        ((2024, 3, 10), (2024, 3, 11, 1), (2024, 3, 9)),
        ((2024, 3, 10), (2024, 3, 11, 3), (2024, 3, 10)),
        ((2024, 3, 10), (2024, 3, 10, 1), (2024, 3, 9)),
        ((2024, 3, 11), (2024, 3, 10, 23), (2024, 3, 9)),
    ],
)
def test_only_complete_days_count(
    last: tuple[int, int, int], now: tuple[int, int, int, int], complete: tuple[int, int, int]
) -> None:
    at = datetime(*now[:3], hour=now[3], tzinfo=UTC)
    assert complete_day(date(*last), at) == date(*complete)


def test_a_budget_that_burns_fast_fires_and_one_without_a_target_cannot(
    own_phones_fail: Store,
) -> None:
    own = own_phones_fail
    with own.snapshot() as snapshot:
        assert found_by(snapshot, rule("budget"), LATER).firing is None
    workspace.set_target(own, "asr", 0.05)
    with own.snapshot() as snapshot:
        found = found_by(snapshot, rule("budget"), LATER)
        assert found.firing
        assert "ASR burns its error budget" in found.sentence
        slower = found_by(snapshot, rule("budget", bound=1000.0), LATER)
        assert slower.firing is False
        other = found_by(snapshot, rule("budget", failure_point="nlu"), LATER)
    assert other.firing is None


def test_a_level_that_rose_and_a_day_above_the_usual_range_fire(
    tmp_path: Path,
) -> None:
    # 40 turns a day over 40 days; on the last three, many more fail.
    store = Store.create(tmp_path / "store")
    fill_days(store, [2] * 37 + [24] * 3)
    now = datetime(2024, 6, 1, tzinfo=UTC)
    with store.snapshot() as snapshot:
        change = found_by(snapshot, rule("change", failure_point="asr"), now)
        assert change.firing, change.sentence
        assert "ASR rose from" in change.sentence
        assert found_by(snapshot, rule("change", failure_point="nlu"), now).firing is False
        unusual = found_by(snapshot, rule("unusual"), now)
        assert unusual.firing, unusual.sentence
        assert unusual.high
        assert unusual.value
        assert unusual.value > unusual.high
        # Three days ago nothing was unusual, and it is not when evaluated as of then.
        before = scored.START + timedelta(days=37, hours=3)
        assert found_by(snapshot, rule("unusual"), before).firing is False


def test_late_data_and_a_lost_signal(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        (newest,) = snapshot.query("SELECT max(started_at) AS t FROM turns")["t"].to_pylist()
        assert isinstance(newest, datetime)
        soon, late = newest + timedelta(hours=25), newest + timedelta(hours=27)
        assert found_by(snapshot, rule("late"), soon).firing is False
        found = found_by(snapshot, rule("late"), late)
        assert found.firing
        assert found.sentence.startswith("No turn since ")
        # A clock that is behind the logs.
        assert found_by(snapshot, rule("late"), newest - timedelta(hours=20)).firing is False
        assert found_by(snapshot, rule("late", "assistant=toaster"), late).firing is None
        assert found_by(snapshot, rule("signal"), late).firing is False


def test_every_kind_says_that_a_new_store_has_nothing(store: Store) -> None:
    with store.snapshot() as snapshot:
        for kind in KINDS:
            assert found_by(snapshot, rule(kind), LATER).firing is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"kind": "rate", "bound": float("nan")}, "at most 1"),
        ({"kind": "rate", "bound": 5.0}, "Invalid bound 5"),
        ({"kind": "late", "bound": -1.0}, "Invalid bound -1"),
        ({"kind": "change", "bound": 1.0}, "has no bound"),
        ({"kind": "rate", "days": 0}, "cannot watch 0 days"),
        ({"kind": "rate", "failure_point": "correct"}, "No alert can watch 'correct'"),
        ({"kind": "rate", "chosen": Filter(text="my mother")}, "take the filter on words out"),
        ({"kind": "rate", "name": "  "}, "needs a name"),
        ({"kind": "nothing"}, "choose one of rate,"),
    ],
)
def test_what_a_rule_cannot_be(more: dict[str, object], words: str) -> None:
    given = {"name": "a", "chosen": Filter(), **more}
    with pytest.raises(UsageError, match=words):
        Rule.of(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("title", ["$\\frac{$ <b>", "播放 \u05e9\u05dc\u05d5\u05dd 🎵", ""])
def test_a_chart_is_drawn_whatever_its_title_and_numbers_are(title: str) -> None:
    days = [(date(2024, 3, day), share) for day, share in ((1, 0.0), (9, 1.0))]
    band = (days[0][0], days[1][0], 0.0, 1e-9)
    for shown in (days, days[:1]):
        png = picture(shown, title, "asr", 1e-9, band)
        assert png.startswith(b"\x89PNG")
        with Image.open(io.BytesIO(png)) as image:
            assert image.size == (792, 297)
            # The line is there, in the colour of ASR.
            colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or ()}
        assert (0, 0x72, 0xB2) in colours


def test_a_rule_comes_back_from_its_row() -> None:
    chosen = Filter(locale=("en-GB", "de-DE"), device=("a&b=c",), since=date(2024, 1, 1))
    kept = Rule.of("N", "rate", chosen, "asr", 0.2, 3)
    assert kept.chosen.since is None
    assert Rule.of_row(kept.row()) == kept
