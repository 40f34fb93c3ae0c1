"""Records with one turn id are versions of one turn, or in conflict; nothing is lost silently."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import faultline
from data.errors import IngestError, TurnConflict, UsageError
from data.ingest.ingest import IngestReport, ingest
from data.queries import ingest_runs
from data.store.store import Store
from tests.app import Open, texts
from tests.command import Run, must_fail
from tests.logs import trace, write_lines

FIELD = Path(__file__).parents[2].parent / "shared" / "field"


def heard(text: str, **more: Any) -> dict[str, Any]:
    return {"hypotheses": [{"text": text}], **more}


NLU = {"hypotheses": [{"intent": "play"}]}
OK = {"status": "ok"}

# The same request, the interim record first.
INTERIM: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no result yet": (
        trace("a", asr=heard("turn on"), nlu=NLU),
        trace("a", asr=heard("turn on the light"), nlu=NLU, result=OK),
    ),
    "no result, but more stages": (
        trace("a", wake={"score": 0.9}, asr=heard("turn on"), nlu=NLU, er={"mentions": []}),
        trace("a", asr=heard("turn on the light"), result=OK),
    ),
    "a result that is empty": (
        trace("a", asr=heard("turn on"), nlu=NLU, result={}),
        trace("a", asr=heard("turn on the light"), result=OK),
    ),
    "fewer stages, without results": (
        trace("a", asr=heard("turn on")),
        trace("a", asr=heard("turn on"), nlu=NLU),
    ),
    "no stage at all": (trace("a"), trace("a", asr=heard(""))),
    "less audio, without results": (
        trace("a", asr=heard("recognise beach", audio_ms=900)),
        trace("a", asr=heard("wreck a nice", audio_ms=1500)),
    ),
    "a hypothesis that goes on": (
        trace("a", asr=heard("turn on")),
        trace("a", asr=heard("turn on the light")),
    ),
    "by another clock's rounding": (
        trace("a", asr=heard("turn on"), started_at="2024-05-01T09:30:00Z"),
        trace("a", asr=heard("turn on it"), result=OK, started_at="2024-05-01T09:30:00.999Z"),
    ),
}
# Both are final: the later one is a correction.
CORRECTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another text": (trace("a", asr=heard("x"), result=OK), trace("a", asr=heard("y"), result=OK)),
    "a shorter text with a result": (
        trace("a", asr=heard("turn on the light"), result=OK),
        trace("a", asr=heard("turn on"), result=OK),
    ),
    "another text without results": (trace("a", asr=heard("four")), trace("a", asr=heard("for"))),
    "another user": (trace("a"), trace("a", user_id="u")),
    "less audio, with results": (
        trace("a", asr=heard("x", audio_ms=900), result=OK),
        trace("a", asr=heard("x", audio_ms=800), result=OK),
    ),
    "more stages, with results": (
        trace("a", asr=heard("turn on"), result=OK),
        trace("a", asr=heard("turn on"), nlu=NLU, result=OK),
    ),
    "fewer stages, with results": (
        trace("a", asr=heard("turn on"), nlu=NLU, result=OK, tts={"latency_ms": 5}),
        trace("a", asr=heard("turn on"), result=OK),
    ),
    "without feedback": (
        trace("a", asr=heard("call ada"), result=OK, feedback={"barge_in": True}),
        trace("a", asr=heard("[redacted]"), result=OK),
    ),
    "a second apart": (trace("a"), trace("a", started_at="2024-05-01T09:30:01Z")),
}
CONFLICT: dict[str, dict[str, Any]] = {
    "another dialogue": trace("a", dialogue_id="d2"),
    "another day": trace("a", started_at="2024-05-02T09:30:00Z"),
    "more than a second later": trace("a", started_at="2024-05-01T09:30:01.000001Z"),
    "more than a second earlier": trace("a", started_at="2024-05-01T09:29:58.999999Z"),
    "another clock": trace("a", started_at="2106-05-01T09:30:00Z"),
    "the first and the last moment": trace("a", started_at="0001-01-01T00:00:00Z"),
}


def rows(store: Store, sql: str = "FROM turns ORDER BY turn_id") -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return list(snapshot.query(sql).to_pylist())


def bodies(store: Store) -> list[dict[str, Any]]:
    return rows(store, "SELECT * EXCLUDE (gold) FROM turns ORDER BY turn_id")


def stored_as(folder: Path, *records: dict[str, Any]) -> list[dict[str, Any]]:
    """How records are stored where there are no others."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        store = Store.create(Path(own) / "store")
        ingest(store, [write_lines(Path(own) / "log.jsonl", list(records))])
        return bodies(store)


WAYS = ("one file", "two files of a run", "two runs", "blocks of a file")


def send(
    store: Store, folder: Path, groups: list[list[Any]], way: str, **options: Any
) -> list[IngestReport]:
    """Send groups of records, one after the other, in one of the ways in which they can arrive."""
    if way in ("one file", "blocks of a file", "processes"):
        path = write_lines(folder / "log.jsonl", [r for records in groups for r in records])
        with pytest.MonkeyPatch.context() as patch:
            if way != "one file":
                patch.setattr("data.ingest.sources.BLOCK", 1_000)
            if way == "processes":
                patch.setattr("data.ingest.ingest._POOL_FROM", 0)
                options["workers"] = 2
            return [ingest(store, [path], **options)]
    paths = [write_lines(folder / f"{n}.jsonl", records) for n, records in enumerate(groups)]
    if way == "two files of a run":
        return [ingest(store, paths, **options)]
    return [ingest(store, [path], **options) for path in paths]


def of_each(cases: dict[str, tuple[dict[str, Any], dict[str, Any]]], which: int) -> list[Any]:
    """The first or the second record of each case, whose name is the turn's id."""
    return [{**pair[which], "turn_id": case} for case, pair in cases.items()]


CONFLICTS = {case: (trace("a", asr=heard("first")), record) for case, record in CONFLICT.items()}


# -- versions of one turn --------------------------------------------------------------------------


@pytest.mark.parametrize("way", [*WAYS, pytest.param("processes", marks=pytest.mark.long)])
def test_the_final_record_stays_whichever_comes_first(
    store: Store, tmp_path: Path, way: str
) -> None:
    interim, final = of_each(INTERIM, 0), of_each(INTERIM, 1)
    reports = send(store, tmp_path, [final, interim], way)
    assert bodies(store) == stored_as(tmp_path, *final)
    assert sum(report.interim for report in reports) == len(INTERIM)
    other = Store.create(tmp_path / "other")
    reports = send(other, tmp_path, [interim, final], way)
    assert bodies(other) == bodies(store)
    assert sum(report.interim for report in reports) == 0
    assert not any(report.conflicts + report.quarantined for report in reports)


@pytest.mark.parametrize("way", WAYS[:3])
def test_the_later_of_two_final_records_replaces(store: Store, tmp_path: Path, way: str) -> None:
    first, second = of_each(CORRECTED, 0), of_each(CORRECTED, 1)
    reports = send(store, tmp_path, [first, second], way)
    assert bodies(store) == stored_as(tmp_path, *second)
    assert sum(report.interim + report.conflicts for report in reports) == 0


def test_any_order_of_growing_results_ends_with_the_last(store: Store, tmp_path: Path) -> None:
    """A recogniser's partial results and the final one, in any order and over two runs."""
    words = ["", "turn", "turn on", "turn on the light"]
    growing = [trace("a", asr=heard(text)) for text in words]
    growing.append(trace("a", asr=heard("turn on the light"), nlu=NLU, result=OK))
    orders = list(itertools.permutations(growing))
    halves = [
        [{**r, "turn_id": f"{n:03}"} for n, order in enumerate(orders) for r in order[half]]
        for half in (slice(2), slice(2, None))
    ]
    send(store, tmp_path, halves, "two runs")
    finals = [{**growing[-1], "turn_id": f"{n:03}"} for n in range(len(orders))]
    assert bodies(store) == stored_as(tmp_path, *finals)


# -- gold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_gold_of_a_record_that_is_not_stored_is_kept(
    store: Store, tmp_path: Path, way: str
) -> None:
    gold = {"transcript": "turn on the light", "entities": {"lamp": "id-1"},
            "slots": [{"name": "n", "value": "v"}], "replay": {"intent": "x"}}  # fmt: skip
    interim, final = INTERIM["no result yet"]
    noted = {**interim, "gold": gold}
    groups = [[final, {**noted, "turn_id": "b"}], [noted, {**final, "turn_id": "b"}]]
    send(store, tmp_path, groups, way)
    assert bodies(store) == stored_as(tmp_path, final, {**final, "turn_id": "b"})
    for row in rows(store):
        assert row["gold"]["transcript"] == "turn on the light"
        assert row["gold"]["entities"] == [("lamp", "id-1")]
        assert row["gold"]["slots"] == [{"name": "n", "value": "v"}]
        assert row["gold"]["replay"]["intent"] == "x"


def test_gold_is_merged_field_by_field(store: Store, tmp_path: Path) -> None:
    first = trace("a", gold={"transcript": "old", "intent": "play", "result_ok": False})
    second = trace("a", user_id="u", gold={"transcript": "new", "failure_point": "asr"})
    send(store, tmp_path, [[first], [second]], "two runs")
    (row,) = rows(store, "SELECT user_id, gold FROM turns")
    said = {name: value for name, value in row["gold"].items() if value is not None}
    assert row["user_id"] == "u"
    assert said == {
        "transcript": "new", "intent": "play", "result_ok": False, "failure_point": "asr"
    }  # fmt: skip
    # The log once more, without gold and with something else added: still nothing is lost.
    send(store, tmp_path, [[trace("a", user_id="v")]], "one file")
    (again,) = rows(store, "SELECT user_id, gold FROM turns")
    assert (again["user_id"], again["gold"]) == ("v", row["gold"])


def test_gold_of_lines_of_a_file_is_merged(store: Store, tmp_path: Path) -> None:
    lines = [trace("a", gold={"intent": "play"}), trace("a", gold={"transcript": "x"}), trace("a")]
    orders = [
        {**line, "turn_id": f"t{n}"}
        for n, order in enumerate(itertools.permutations(lines))
        for line in order
    ]
    send(store, tmp_path, [orders], "one file")
    merged = rows(store, "SELECT DISTINCT gold.intent AS i, gold.transcript AS t FROM turns")
    assert merged == [{"i": "play", "t": "x"}]


def test_a_record_sent_again_as_it_is_restates_its_gold(store: Store, tmp_path: Path) -> None:
    send(store, tmp_path, [[trace("a", gold={"intent": "play", "transcript": "x"})]], "one file")
    send(store, tmp_path, [[trace("a", gold={"transcript": "y"})]], "one file")
    assert rows(store, "SELECT gold.intent AS i, gold.transcript AS t FROM turns") == [
        {"i": None, "t": "y"}
    ]


# -- conflicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_another_turn_is_kept_apart(store: Store, tmp_path: Path, way: str) -> None:
    first, second = of_each(CONFLICTS, 0), of_each(CONFLICTS, 1)
    reports = send(store, tmp_path, [first, second], way)
    assert bodies(store) == stored_as(tmp_path, *first)
    assert sum(report.conflicts for report in reports) == len(CONFLICTS)
    assert sum(report.quarantined for report in reports) == len(CONFLICTS)
    lines = rows(store, "FROM quarantine ORDER BY line")
    before = 0 if way.startswith("two") else len(first)
    for number, (line, record) in enumerate(zip(lines, second, strict=True), 1):
        assert (line["field"], line["line"]) == ("turn_id", before + number)
        assert "the id of another turn" in line["reason"]
        excerpt = json.loads(line["excerpt"])
        assert excerpt["turn_id"] == record["turn_id"]
        assert excerpt["dialogue_id"] == record["dialogue_id"]


@pytest.mark.parametrize("way", WAYS)
def test_or_replaces_if_told_to(store: Store, tmp_path: Path, way: str) -> None:
    first, second = of_each(CONFLICTS, 0), of_each(CONFLICTS, 1)
    first = [{**record, "gold": {"intent": "x"}} for record in first]
    reports = send(store, tmp_path, [first, second], way, on_conflict="replace")
    assert bodies(store) == stored_as(tmp_path, *second)
    # What was said of the other turn is not said of this one.
    assert rows(store, "SELECT DISTINCT gold FROM turns") == [{"gold": None}]
    assert sum(report.conflicts for report in reports) == len(CONFLICTS)
    assert sum(report.quarantined for report in reports) == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ["another dialogue", "another day"])
def test_or_nothing_is_stored(store: Store, tmp_path: Path, case: str, way: str) -> None:
    groups = [[trace("a"), trace("y")], [trace("z"), CONFLICT[case]]]
    if way == "two runs":
        send(store, tmp_path, groups[:1], "one file")
        groups = groups[1:]
    before = store.head()
    with pytest.raises(TurnConflict, match="nothing was stored") as caught:
        send(store, tmp_path, groups, way, on_conflict="refuse")
    assert "'a'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.head() == before
    assert not [path for path in (store.path / ".staging").iterdir() if path.name != "spill"]


def test_refusing_counts_the_conflicts_of_each_file(store: Store, tmp_path: Path) -> None:
    other = CONFLICT["another day"]
    groups = [
        [trace("a"), trace("b")],
        [other],
        [trace("c")],
        [{**other, "turn_id": "b"}, {**other, "started_at": "2024-05-03T09:30:00Z"}],
    ]
    with pytest.raises(TurnConflict) as caught:
        send(store, tmp_path, groups, "two files of a run", on_conflict="refuse")
    paths = [tmp_path / f"{n}.jsonl" for n in range(4)]
    assert str(caught.value).startswith("3 records have the id of another turn, the first one 'a' ")
    assert f"(1 in {paths[1]}; 2 in {paths[3]})" in str(caught.value)
    assert not any(str(path) in str(caught.value) for path in (paths[0], paths[2]))
    with pytest.raises(TurnConflict) as caught:
        send(store, tmp_path, groups[:2], "two files of a run", on_conflict="refuse")
    words = f"{paths[1]}: 1 record has the id of another turn, 'a'; nothing"
    assert str(caught.value).startswith(words)


def test_with_replace_an_interim_result_still_replaces_no_final_one(
    store: Store, tmp_path: Path
) -> None:
    interim, final = INTERIM["no result yet"]
    (report,) = send(store, tmp_path, [[final, interim]], "one file", on_conflict="replace")
    assert bodies(store) == stored_as(tmp_path, final)
    assert (report.interim, report.conflicts) == (1, 0)


@pytest.mark.parametrize("way", WAYS[:3])
def test_refusing_stores_what_has_no_conflict(store: Store, tmp_path: Path, way: str) -> None:
    interim, final = INTERIM["no result yet"]
    reports = send(store, tmp_path, [[final], [interim]], way, on_conflict="refuse")
    assert bodies(store) == stored_as(tmp_path, final)
    assert not any(report.conflicts for report in reports)


def test_ids_that_start_again_are_all_accounted_for(store: Store, tmp_path: Path) -> None:
    """Every line of a log is stored, there already, in quarantine, or counted as replaced."""
    days = [f"2024-05-{day:02}T09:{minute:02}:00Z" for day in range(1, 6) for minute in range(4)]
    log = [
        trace(str(number % 4), dialogue_id="default", turn_index=number % 4, started_at=when,
              asr=heard(when))
        for number, when in enumerate(days)
    ]  # fmt: skip
    path = write_lines(tmp_path / "log.jsonl", log)
    for _ in range(2):
        report = ingest(store, [path])
        assert (report.turns, report.conflicts, report.quarantined) == (4, 16, 16)
    assert [row["line"] for row in rows(store, "SELECT line FROM quarantine ORDER BY 1")] == list(
        range(5, 21)
    )
    assert [r["t"] for r in rows(store, "SELECT asr.hypotheses[1].text AS t FROM turns "
                                        "ORDER BY 1")] == days[:4]  # fmt: skip
    report = ingest(store, [path], on_conflict="replace")
    assert (report.turns, report.replaced) == (4, 4)
    assert [r["t"] for r in rows(store, "SELECT asr.hypotheses[1].text AS t FROM turns "
                                        "ORDER BY 1")] == days[-4:]  # fmt: skip
    report = ingest(store, [path], on_conflict="replace")
    assert report.files[0].unchanged == 4


def test_one_id_for_everything_is_no_trouble(store: Store, tmp_path: Path) -> None:
    log = [trace("1", dialogue_id=f"d{n}") for n in range(3_000)]
    report = ingest(store, [write_lines(tmp_path / "log.jsonl", log)])
    assert (report.turns, report.conflicts) == (1, 2_999)
    (kind,) = ingest_runs.reasons(store.snapshot()).to_pylist()
    assert kind["lines"] == 2_999


few = settings(max_examples=12, suppress_health_check=list(HealthCheck))


@few
@pytest.mark.long
@given(data=st.data())
def test_nothing_is_lost_silently(data: st.DataObject) -> None:
    """Whatever comes: ids stay unique, and every line is accounted for."""
    record = st.builds(
        lambda i, dialogue, second, parts, gold: trace(
            i, dialogue_id=dialogue, started_at=f"2024-05-01T09:30:{second:02}Z",
            **{p: {"asr": heard("x"), "nlu": NLU, "result": OK}[p] for p in parts},
            **({"gold": gold} if gold else {}),
        ),
        st.sampled_from("ab"), st.sampled_from(["d", "e"]), st.sampled_from([0, 1, 2, 30]),
        st.sets(st.sampled_from(["asr", "nlu", "result"])),
        st.sampled_from([None, {"intent": "i"}, {"transcript": "t"}]),
    )  # fmt: skip
    files = data.draw(st.lists(st.lists(record, min_size=1, max_size=5), min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        for on_conflict in ("keep", "replace"):
            store = Store.create(Path(folder) / on_conflict)
            kept = 0
            for number, lines in enumerate(files):
                path = write_lines(Path(folder) / f"{number}.jsonl", lines)
                report = ingest(store, [path], on_conflict=on_conflict).files[0]
                kept += report.quarantined
                assert report.turns <= len({line["turn_id"] for line in lines})
                assert report.replaced + report.unchanged <= report.turns
                if on_conflict == "keep":
                    assert report.conflicts == report.quarantined
            ids = [row["turn_id"] for row in rows(store)]
            assert len(ids) == len(set(ids))
            assert set(ids) == {line["turn_id"] for lines in files for line in lines}
            assert len(rows(store, "FROM quarantine")) == (kept if on_conflict == "keep" else 0)


# -- what is said ----------------------------------------------------------------------------------


def test_the_terminal_warns_with_a_count(run: Run, tmp_path: Path) -> None:
    log = [trace("a"), trace("a", started_at="2024-05-02T00:00:00Z"), trace("b", dialogue_id="e"),
           trace("b", dialogue_id="f")]  # fmt: skip
    path = write_lines(tmp_path / "log.jsonl", log)
    said = run("ingest", path, "--store", "mine")
    assert said.code == 1
    assert "2 records have the id of another turn" in said.err
    assert "2 quarantined" in said.out
    assert run("ingest", path, "--store", "mine", "--allow-quarantined").code == 0
    said = run("ingest", path, "--store", "other", "--on-conflict", "replace")
    assert said.code == 0
    assert "2 records have the id of another turn" in said.err
    must_fail(run("ingest", path, "--store", "third", "--on-conflict", "refuse"),
              "id of another turn", "--on-conflict keep or replace", code=1)  # fmt: skip
    said = run("ingest", path, "--store", "fourth", "--json", "--allow-quarantined")
    assert json.loads(said.out)["files"][0]["conflicts"] == 2
    assert run("ingest", path, "--store", "mine", "--on-conflict", "maybe").code == 2


def test_so_does_the_page_data(store: Store, tmp_path: Path, opened: Open) -> None:
    interim, final = INTERIM["no result yet"]
    send(store, tmp_path, [[final, interim, CONFLICT["another day"]]], "one file")
    at = opened(store.path, "data")
    assert "1 record had the id of another turn" in str(at.warning[0].value)
    assert "1 interim result" in texts(at)
    (runs,) = [frame.value for frame in at.dataframe if "ID conflicts" in frame.value]
    assert runs["ID conflicts"].tolist() == [1]
    assert runs["Interim"].tolist() == [1]


def test_python_has_the_same_choice(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", [trace("a"), CONFLICT["another day"]])
    with pytest.warns(UserWarning, match="1 record has the id of another turn"):
        report = faultline.ingest(path, store=tmp_path / "mine")
    assert report["conflicts"].tolist() == [1]
    with pytest.raises(IngestError, match="nothing was stored"):
        faultline.ingest(path, store=tmp_path / "other", on_conflict="refuse")
    with pytest.raises(UsageError, match="keep, replace, refuse"):
        faultline.ingest(path, store=tmp_path / "other", on_conflict="both")


def test_the_case_from_the_field(run: Run) -> None:
    case = FIELD / "I05_ids_reused.jsonl"
    if not case.exists():
        pytest.skip(f"the cases from the field are missing: {FIELD}")
    said = run("ingest", case, "--store", "mine")
    assert said.code == 1
    assert "2 records have the id of another turn" in said.err
    store = Store.open("mine")
    assert len(rows(store)) == len(rows(store, "FROM quarantine")) == 2


def test_a_store_of_the_earlier_version_counts_too(
    tmp_path: Path, own_store: Store, opened: Open
) -> None:
    """Its runs have no such counts; they are added, not guessed."""
    import tarfile

    folder = tmp_path / "earlier"
    with tarfile.open(Path(__file__).parent / "earlier" / "store.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    store = Store.open(folder / "store")
    assert rows(store, "SELECT DISTINCT conflicts FROM runs") == [{"conflicts": None}]
    again = trace("d000-0", dialogue_id="another")
    assert ingest(store, [write_lines(tmp_path / "log.jsonl", [again])]).conflicts == 1
    with store.snapshot() as snapshot:
        assert ingest_runs.totals(snapshot)["conflicts"] == 1
    assert "1 record had the id" in str(opened(store.path, "data").warning[0].value)
    shutil.rmtree(folder)
