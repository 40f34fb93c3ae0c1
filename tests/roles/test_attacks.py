"""Ways to see or change more than a role allows, over pages, links, SQL, exports and sign-in."""

# One statement is easier to read on one line.
# ruff: noqa: E501

from __future__ import annotations

import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.exceptions import RerunException
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.runtime.state.session_state_proxy import SessionStateProxy
from streamlit.testing.v1 import AppTest

from data.errors import FaultlineError, NotPermitted, UsageError
from data.export.export import export
from data.export.manifest import answer_zip, slice_zip
from data.export.one_select import bind_without_files, only_select
from data.export.sandbox import start
from data.queries.filters import Filter
from data.queries.visibility import Reader
from data.schema.access import MAY, ROLES, Access, Role
from data.schema.layout import TABLES
from data.store.annotations import SHARE, annotate
from data.store.people import address_of, audited, remove_user, set_user
from data.store.snapshot import connect
from data.store.store import Store
from data.store.workspace import put_setting
from parts.annotate.files import _content
from parts.jobs.job import Jobs
from parts.rewrites.mining import MINE
from parts.server import access as visitors
from parts.server import sign_in
from parts.shared import view as views
from parts.shared.view import NEEDS, PAGES
from progress import Step
from tests.app import Open, html, opener, texts
from tests.canaries import TURNS, everything_sent, of, turn, words_in
from tests.sandbox_server import Server
from tests.scored import MODEL

PEOPLE: dict[str, tuple[Role, tuple[str, ...], tuple[str, ...]]] = {
    "vera@example.org": ("viewer", (), ()),
    "tom@example.org": ("triager", (), ()),
    "ann@example.org": ("analyst", (), ()),
    "ada@example.org": ("admin", (), ()),
    "kit@example.org": ("analyst", ("kitchen",), ()),
    "brit@example.org": ("triager", (), ("en-GB",)),
}
KITCHEN = Access("analyst", ("kitchen",))


def claims(email: object, **more: object) -> dict[str, Any]:
    """What the provider says of somebody who has signed in."""
    return {"is_logged_in": True, "email": email, "email_verified": True, "iat": 1, **more}


@pytest.fixture(scope="module")
def store(canary_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of canaries with people who have roles; its tables are read only."""
    folder = tmp_path_factory.mktemp("roles") / "store"
    copy = Store.open(shutil.copytree(canary_store.path, folder))
    for address, (role, assistants, locales) in PEOPLE.items():
        set_user(copy, address, role, assistants, locales)
    return copy


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Open]:
    """A dashboard with sign-in, as a function that opens pages for somebody."""
    file = tmp_path / "sign-in.toml"
    file.touch(0o600)
    file.write_text(
        f"""
        [auth]
        redirect_uri = "http://localhost:8501/oauth2callback"
        cookie_secret = "{os.urandom(32).hex()}"
        client_id = "faultline"
        client_secret = "secret"
        server_metadata_url = "http://localhost/.well-known/openid-configuration"
        """
    )
    monkeypatch.setenv(sign_in.FILE, str(file))

    def dashboard(email: object, **more: object) -> Open:
        return opener(monkeypatch, claims(email, **more))

    return dashboard


def _not_here(at: AppTest) -> bool:
    return "not yours to see" in texts(at)


# -- pages -----------------------------------------------------------------------------------------

_EXTRA = {
    "turn": {"turn": turn("car", 1)},
    "explore": {"show": "table"},
    "rewrites": {"rewrite": "zqrewritesrewriteidcarx"},
    "labels": {"dialogue": "zqdialoguecarx1"},
    "teaching": {"preference": "zqpreferencespreferenceidcarx"},
    "annotate": {"task": "files"},
    "data": {"part": "arrivals"},
}
_CLOSED = [
    (address, page)
    for address, (role, assistants, locales) in PEOPLE.items()
    for page, _, _ in PAGES
    if not Access(role, assistants, locales).may(NEEDS[page])
]


@pytest.mark.parametrize(("address", "page"), _CLOSED)
def test_pages_of_other_roles(
    store: Store, signed: Callable[..., Open], address: str, page: str
) -> None:
    at = signed(address)(store.path, page, **_EXTRA.get(page, {}))
    assert _not_here(at)
    # The address is the one they typed.
    assert words_in(everything_sent(at)) <= words_in(str(_EXTRA.get(page)))


_OPEN = [
    (address, page)
    for address in ("vera@example.org", "kit@example.org", "brit@example.org")
    for page, _, _ in PAGES
    if (address, page) not in _CLOSED
]


@pytest.mark.parametrize(("address", "page"), _OPEN)
def test_open_pages_show_no_more_than_is_theirs(
    store: Store, signed: Callable[..., Open], address: str, page: str
) -> None:
    signed("ada@example.org")(store.path, page)
    at = signed(address)(store.path, page)
    assert not _not_here(at)
    found = words_in(everything_sent(at))
    assert found == set() if address.startswith("vera") else of("car", found) == set()


def test_the_same_pages_show_it_to_those_who_may(store: Store, signed: Callable[..., Open]) -> None:
    dashboard = signed("tom@example.org")
    assert of("car", words_in(everything_sent(dashboard(store.path, "turn", turn=turn("car", 1)))))
    assert of("car", words_in(everything_sent(dashboard(store.path))))
    limited = signed("kit@example.org")(store.path, "turn", turn=turn("kitchen", 1))
    assert "zqheardkitchenx" in words_in(everything_sent(limited))


# -- links -----------------------------------------------------------------------------------------

_LINKS: list[tuple[str, str, dict[str, str]]] = [
    ("kit@example.org", "turn", {"turn": turn("car", 1)}),
    ("kit@example.org", "turn", {"turn": turn("car", 1), "at": "t1.p1.r1"}),
    ("kit@example.org", "turn", {"turn": turn("car", 1), "day": "2024-03-01"}),
    ("brit@example.org", "turn", {"turn": turn("car", 1)}),
    ("kit@example.org", "turn", {"find": "zqheardcarx"}),
    ("kit@example.org", "", {"assistant": "car"}),
    ("kit@example.org", "", {"at": "t1.p1.r1"}),
    ("kit@example.org", "explore", {"show": "table", "assistant": "car"}),
    ("kit@example.org", "explore", {"show": "table", "text": "zqheardcarx"}),
    ("kit@example.org", "explore", {"show": "pivot", "rows": "assistant"}),
    ("kit@example.org", "triage", {"failing": "asr", "slice": "asr:assistant=car"}),
    ("kit@example.org", "labels", {"dialogue": "zqdialoguecarx1"}),
    ("brit@example.org", "annotate", {"assistant": "car"}),
    ("kit@example.org", "model", {"look": "labels"}),
    ("kit@example.org", "model", {"look": "card"}),
    ("vera@example.org", "", {"list": "asr", "order": "newest"}),
    ("vera@example.org", "", {"user": "zqusercarx"}),
    ("vera@example.org", "", {"text": "zqheardcarx"}),
    ("vera@example.org", "", {"at": "t1.p1.r1"}),
    ("vera@example.org", "triage", {"failing": "asr", "slice": "asr:assistant=car"}),
    ("vera@example.org", "triage", {"owner": "zqtriageownercarx"}),
    ("vera@example.org", "model", {"look": "labels"}),
    ("vera@example.org", "model", {"look": "reasons"}),
    ("vera@example.org", "", {"locale": "x' UNION SELECT heard FROM predictions --"}),
    ("ann@example.org", "data", {"part": "people"}),
    ("tom@example.org", "annotate", {"task": "train"}),
]


@pytest.mark.parametrize(("address", "page", "query"), _LINKS)
def test_links_to_what_is_not_theirs(
    store: Store, signed: Callable[..., Open], address: str, page: str, query: dict[str, str]
) -> None:
    at = signed(address)(store.path, page or None, **query)
    found = words_in(everything_sent(at)) - words_in(str(query))
    if address.startswith(("ann", "tom")):
        assert "example.org" not in everything_sent(at).replace(address, "").replace(
            "https://example.org", ""
        )
    else:
        assert of("car", found) == set()
        assert found == set() or not address.startswith("vera")


# -- SQL -------------------------------------------------------------------------------------------

_SQL = [
    "FROM turns",
    "SELECT * FROM turns WHERE assistant = 'car'",
    "SELECT asr.hypotheses FROM turns WHERE turn_id LIKE 'zqturncar%'",
    "SELECT max(heard), min(heard) FROM predictions",
    "SELECT to_json(turns) FROM turns",
    "SELECT unnest(asr, recursive := true) FROM turns",
    "SUMMARIZE turns",
    "DESCRIBE turns",
    "SHOW ALL TABLES",
    "FROM turns USING SAMPLE 100%",
    "SELECT * FROM turns TABLESAMPLE reservoir(100)",
    "WITH turns AS (FROM turns) FROM turns",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 3) FROM t, turns",
    "SELECT (SELECT string_agg(heard, ' ') FROM predictions)",
    "SELECT heard FROM predictions UNION ALL SELECT note FROM annotations UNION ALL SELECT response FROM (SELECT result.response FROM turns)",
    "FROM annotations",
    "FROM rewrites",
    "FROM preferences",
    "FROM views",
    "FROM alerts",
    "FROM quarantine",
    "FROM runs",
    "FROM triage",
    "FROM tickets",
    "FROM settings",
    "FROM generated_labels",
    "FROM users",
    "FROM audit",
    'FROM "main"."audit"',
    "FROM memory.main.users",
    "FROM read_parquet('{turns}')",
    "FROM '{turns}'",
    'FROM "{turns}"',
    "FROM parquet_scan(['{turns}'])",
    "FROM parquet_metadata('{turns}')",
    "FROM glob('{folder}/**')",
    "FROM read_text('{folder}/HEAD.json')",
    "SELECT * FROM query('FROM read_parquet(''{turns}'')')",
    "SELECT * FROM query_table(['turns'])",
    "ATTACH '{folder}/x.duckdb'",
    "COPY turns TO '{folder}/out.csv'",
    "COPY (FROM turns) TO '/dev/stdout'",
    "PRAGMA database_list",
    "SET threads = 1",
    "FROM duckdb_views()",
    "FROM duckdb_settings()",
    "FROM information_schema.tables",
    "FROM pg_catalog.pg_views",
    "PREPARE p AS FROM turns; EXECUTE p",
    "CREATE MACRO m() AS TABLE FROM read_parquet('{turns}'); FROM m()",
    "FROM turns; FROM read_parquet('{turns}')",
    "FROM /* turns */ read_parquet('{turns}') -- turns",
    "FROM \uff52\uff45\uff41\uff44_parquet('{turns}')",
    "SELECT error(asr.hypotheses[1].text) FROM turns WHERE assistant = 'car'",
    "SELECT * FROM turns WHERE assistant = 'car' AND error(asr.hypotheses[1].text) IS NULL",
    "SELECT * FROM turns WHERE CASE WHEN assistant = 'car' THEN error(asr.hypotheses[1].text) END IS NULL",
    "SELECT * FROM predictions WHERE assistant <> 'kitchen' AND CAST(heard AS INT) = 1",
    "SELECT * FROM predictions WHERE locale = 'en-US' AND heard::DATE IS NULL",
    "SELECT * FROM annotations WHERE note LIKE '%car%' AND note::INT = 1",
    "SELECT count(*) FROM turns t JOIN turns u ON (t.assistant <> u.assistant AND error(u.user_id) IS NULL)",
    "SELECT heard FROM slice WHERE assistant = 'car'",
    "SELECT getenv('HOME'), current_setting('allowed_paths')",
    "SELECT * FROM sql_auto_complete('FROM t')",
    "SELECT json_serialize_plan('FROM turns')",
    """WITH x AS (WITH "{turns}" AS (SELECT 1) SELECT 2) SELECT * FROM "{turns}" WHERE assistant = 'car'""",
    """SELECT (WITH "{turns}" AS (SELECT 1) SELECT 1), * FROM "{turns}" t""",
    """WITH x AS (WITH "{turns}" AS (SELECT 1) SELECT 2) SELECT t.* FROM "{turns}" t JOIN predictions p USING (turn_id)""",
    """SUMMARIZE WITH x AS (WITH "{turns}" AS (SELECT 1) SELECT 2) FROM "{turns}" t""",
    """WITH x AS (WITH users AS (SELECT 1) SELECT 2) FROM users""",
    "FROM (SHOW allowed_paths)",
    "SELECT * FROM (SHOW temp_directory), (SHOW secret_directory)",
    "SHOW allowed_paths",
    "SHOW DATABASES",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server({})
    yield running
    running.close()


@pytest.mark.parametrize("setting", ["allowed_paths", "temp_directory", "memory_limit"])
def test_no_statement_shows_a_setting(store: Store, server: Server, setting: str) -> None:
    with Store.open(store.path, access=KITCHEN).snapshot() as snapshot:
        for sql in (
            f"FROM (SHOW {setting})",
            f"SHOW {setting}",
            f'SELECT * FROM (SHOW "{setting}") s',
        ):
            with pytest.raises(UsageError, match="cannot be used here"):
                server.run(snapshot, sql, Reader.of(snapshot))
        tables = server.run(snapshot, "SHOW TABLES", Reader.of(snapshot))
    assert "turns" in str(tables.table.to_pylist())


_OUT_OF_SCOPE = """WITH x AS (WITH "{turns}" AS (SELECT 1) SELECT 2) FROM "{turns}" t"""


def test_each_wall_holds_by_itself(store: Store) -> None:
    """The names in WITH, the scope of names, and the connection, each without the others."""
    with Store.open(store.path, access=KITCHEN).snapshot() as snapshot:
        sql = _OUT_OF_SCOPE.replace("{turns}", str(snapshot.files["turns"][0]))
        with connect(snapshot.files, "200MB", None, access=KITCHEN, walled=True) as con:
            with pytest.raises(UsageError, match="in WITH"):
                only_select(con, sql, set(TABLES))
            with pytest.raises(duckdb.Error, match="does not exist"):
                only_select(con, "WITH x AS (WITH y AS (SELECT 1) SELECT 2) FROM y", set(TABLES))
            with pytest.raises(duckdb.Error, match="cannot be read here"):
                con.sql(sql).fetchall()
            with pytest.raises(duckdb.Error, match="file system operations are disabled"):
                bind_without_files(sql, set(TABLES))
            joined = (
                "SELECT heard FROM turns JOIN predictions USING (turn_id, day) WHERE dated(turn_id)"
            )
            assert only_select(con, joined, set(TABLES)) == joined
            assert len(con.sql(joined).fetchall()) > 9


@pytest.mark.parametrize("sql", _SQL)
def test_statements_of_somebody_with_limits(store: Store, server: Server, sql: str) -> None:
    with Store.open(store.path, access=KITCHEN).snapshot() as snapshot:
        text = sql.replace("{turns}", str(snapshot.files["turns"][0]))
        text = text.replace("{folder}", str(store.path))
        try:
            answer = server.run(snapshot, text, Reader.of(snapshot))
            seen = str(answer.table.to_pylist())
        except FaultlineError as error:
            seen = str(error)
    own = words_in(sql)
    assert of("car", words_in(seen) - own) == set()
    assert "example.org" not in seen.replace("https://example.org/zqurlkitchenx", "")
    assert "md5(" not in seen


def test_a_statement_shows_it_to_somebody_without_limits(store: Store, server: Server) -> None:
    with Store.open(store.path, access=Access("analyst")).snapshot() as snapshot:
        answer = server.run(snapshot, "FROM turns", Reader.of(snapshot))
    assert "zqheardcarx" in words_in(str(answer.table.to_pylist()))


def test_an_error_is_no_oracle_for_rows_that_are_hidden(store: Store, server: Server) -> None:
    """Whether a statement fails must not depend on what hidden rows hold."""
    conditions = (
        "heard LIKE 'zqheardcar%' AND error('x') IS NULL",
        "CASE WHEN heard LIKE 'zqheardcar%' THEN error('x') END IS NULL",
        "CASE WHEN assistant = 'car' THEN 1 // (len(heard) - len(heard)) END IS NULL",
        "CASE heard WHEN 'zqheardcarx' THEN CAST('x' AS INT) ELSE 1 END = 1",
    )
    with Store.open(store.path, access=KITCHEN).snapshot() as snapshot:
        for condition in conditions:
            server.run(
                snapshot, f"SELECT 1 FROM predictions WHERE {condition}", Reader.of(snapshot)
            )
    with Store.open(store.path).snapshot() as snapshot, pytest.raises(UsageError):
        server.run(
            snapshot, f"SELECT 1 FROM predictions WHERE {conditions[1]}", Reader.of(snapshot)
        )


@pytest.mark.parametrize("role", ["viewer", "triager"])
def test_no_statement_at_all(store: Store, role: Role) -> None:
    with (
        Store.open(store.path, access=Access(role)).snapshot() as snapshot,
        pytest.raises(NotPermitted, match="role analyst"),
    ):
        start(snapshot, "SELECT 1")


# -- exports ---------------------------------------------------------------------------------------


def _unpacked(pack: Path) -> str:
    with zipfile.ZipFile(pack) as zipped:
        return "".join(zipped.read(name).decode("utf-8", "replace") for name in zipped.namelist())


@pytest.mark.parametrize("table", ["turns", "predictions", "annotations", "rewrites", "triage"])
def test_exports_of_somebody_with_limits(store: Store, tmp_path: Path, table: str) -> None:
    with Store.open(store.path, access=KITCHEN).snapshot() as snapshot:
        export(snapshot, table, tmp_path / "rows.jsonl", where="true" if table == "turns" else None)
    found = words_in((tmp_path / "rows.jsonl").read_bytes())
    assert found
    assert of("car", found) == set()


def test_a_condition_of_an_export_is_no_way_around(store: Store, tmp_path: Path) -> None:
    where = "CASE WHEN assistant = 'car' THEN error(asr.hypotheses[1].text) ELSE true END"
    with Store.open(store.path, access=KITCHEN).snapshot() as snapshot:
        try:
            export(snapshot, "turns", tmp_path / "rows.jsonl", where=where)
            seen = (tmp_path / "rows.jsonl").read_text()
        except FaultlineError as error:
            seen = str(error).replace(where, "")
        assert of("car", words_in(seen)) == set()
        file = snapshot.files["turns"][0]
        said = "WHERE CASE WHEN assistant = 'car' THEN error(asr.hypotheses[1].text) END IS NULL"
        for inner in (
            f"read_parquet('{file}')",
            f"'{file}'",
            f"(SHOW allowed_paths), read_parquet('{file}')",
        ):
            where = f"turn_id IN (SELECT turn_id FROM {inner} {said})"
            with pytest.raises(FaultlineError) as refused:
                export(snapshot, "turns", tmp_path / "other.jsonl", where=where)
            assert of("car", words_in(str(refused.value))) == set()
        within = "turn_id IN (SELECT turn_id FROM predictions)"
        assert export(snapshot, "turns", tmp_path / "other.jsonl", where=within) == TURNS


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_zips_of_somebody_with_limits(store: Store, tmp_path: Path, suffix: str) -> None:
    pack = tmp_path / "pack.zip"
    with Store.open(store.path, access=KITCHEN).snapshot() as snapshot:
        slice_zip(snapshot, MODEL, Filter(), suffix, pack, added=("stages", "gold"))
        found = words_in(_unpacked(pack))
        assert "zqheardkitchenx" in found
        assert of("car", found) == set()
        answer_zip(snapshot, MODEL, Filter(), "FROM turns", suffix, pack)
        assert of("car", words_in(_unpacked(pack))) == set()


def test_viewers_export_nothing(store: Store, tmp_path: Path) -> None:
    with Store.open(store.path, access=Access("viewer")).snapshot() as snapshot:
        with pytest.raises(NotPermitted):
            export(snapshot, "rollup", tmp_path / "rows.csv")
        with pytest.raises(NotPermitted):
            slice_zip(snapshot, MODEL, Filter(), "csv", tmp_path / "pack.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["vera@example.org", "tom@example.org", "kit@example.org"])
def test_buttons_of_others_are_not_drawn(
    store: Store, signed: Callable[..., Open], address: str
) -> None:
    at = signed(address)(store.path)
    labels = {element.proto.label for element in at.get("download_button")}
    assert ("Report" in labels) == (not address.startswith("vera"))
    buttons = {button.label for button in at.button}
    assert not {"Mute", "Remove", "Save"} & buttons or address.startswith("tom")


# -- who somebody is -------------------------------------------------------------------------------

_STRANGERS: list[dict[str, Any]] = [
    {},
    {"is_logged_in": False, "email": "ada@example.org"},
    claims("eve@example.org"),
    claims("ada@example.org", email_verified=False),
    claims("ada@example.org", email_verified="false"),
    claims("ada@example.org", email_verified=0),
    claims("ada@example.org", email_verified=None),
    claims(None),
    claims(""),
    claims(["ada@example.org"]),
    claims("ada@example.org\x00"),
    claims("ada@example.org, eve@example.org"),
    claims("ada@example.org@evil.example"),
    claims("\u0430da@example.org"),
    claims("ada@example\u200b.org"),
    claims("ad\uff41@example.org"),
    claims("ada@ex\u212ample.org"),
    claims("ada@example.org' OR '1'='1"),
    {**claims("eve@example.org"), "name": "ada@example.org", "role": "admin"},
    {**claims(None), "preferred_username": "ada@example.org", "upn": "ada@example.org"},
]


@pytest.mark.parametrize("given", _STRANGERS, ids=range(len(_STRANGERS)))
def test_nobody_becomes_ada(
    store: Store,
    signed: Callable[..., Open],
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
) -> None:
    signed(None)
    at = opener(monkeypatch, given)(store.path, "data", part="people")
    sent = everything_sent(at)
    assert "Sign in" in sent or "may not see this dashboard" in sent
    assert words_in(sent) == set()
    assert "Audit" not in sent
    assert "Triage" not in sent


@pytest.mark.parametrize("email", ["ADA@Example.ORG", " ada@example.org"])
def test_the_same_address_in_other_letters(
    store: Store, signed: Callable[..., Open], email: str
) -> None:
    at = signed(email)(store.path, "data", part="people")
    assert "Audit" in everything_sent(at)


def test_addresses_that_differ_stay_apart() -> None:
    assert address_of("stra\u00dfe@example.org") != address_of("strasse@example.org")
    assert address_of("\u0130@example.org") != address_of("i@example.org")
    assert address_of("\u212a@example.org") is None
    assert address_of("e\u0301va@example.org") == address_of("\u00e9va@example.org")
    assert address_of("judge:ada@example.org") is None


# -- time ------------------------------------------------------------------------------------------


def test_a_role_taken_away_counts_at_once(own_canaries: Store, signed: Callable[..., Open]) -> None:
    for address, role in (("tom@example.org", "triager"), ("ada@example.org", "admin")):
        set_user(own_canaries, address, role)
    at = signed("tom@example.org")(own_canaries.path, "turn", turn=turn("car", 1))
    assert "zqheardcarx" in words_in(everything_sent(at))
    set_user(own_canaries, "tom@example.org", "viewer")
    at.run()
    assert _not_here(at)
    assert words_in(everything_sent(at)) <= {"zqturncarx"}
    remove_user(own_canaries, "tom@example.org")
    at.run()
    assert "may not see this dashboard" in everything_sent(at)
    # A page drawn before, whose button is pressed after: nothing is recorded.
    set_user(own_canaries, "tom@example.org", "triager")
    at = signed("tom@example.org")(own_canaries.path, "annotate")
    before = own_canaries.head().tables["annotations"]
    button = next(b for b in at.button if b.label and "ASR" in b.label)
    set_user(own_canaries, "tom@example.org", "viewer")
    button.click().run()
    assert own_canaries.head().tables["annotations"] == before


def test_what_a_session_kept_goes_with_the_role(
    own_canaries: Store, signed: Callable[..., Open]
) -> None:
    set_user(own_canaries, "ann@example.org", "analyst")
    at = signed("ann@example.org")(own_canaries.path, "explore", show="sql", sql="SELECT heard FROM predictions")  # fmt: skip
    next(b for b in at.button if b.label == "Run").click().run()
    for _ in range(60):
        if "zqheardcarx" in words_in(everything_sent(at)):
            break
        time.sleep(0.5)
        at.run()
    assert "zqheardcarx" in words_in(everything_sent(at))
    set_user(own_canaries, "ann@example.org", "analyst", ("kitchen",))
    at.run()
    assert of("car", words_in(everything_sent(at))) == set()


def test_a_download_is_refused_once_the_role_is_gone(
    own_canaries: Store, signed: Callable[..., Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_user(own_canaries, "ann@example.org", "analyst")
    signed("ann@example.org")
    visitor = visitors.Visitor(str(own_canaries.path), "ann@example.org", Access("analyst"))
    monkeypatch.setattr(visitors, "visitor", lambda: visitor)
    make = visitors.download("export", "rows", lambda: b"zqheardcarx")
    assert make() == b"zqheardcarx"
    set_user(own_canaries, "ann@example.org", "viewer")
    with pytest.raises(NotPermitted, match="changed"):
        make()


def test_two_sessions_share_no_answer(store: Store, signed: Callable[..., Open]) -> None:
    """An admin's page, a viewer's and a limited analyst's in turn, from the same caches."""
    for _ in range(2):
        for address, clean in (("ada@example.org", False), ("vera@example.org", True), ("kit@example.org", True)):  # fmt: skip
            found = words_in(everything_sent(signed(address)(store.path)))
            assert (of("car", found) == set()) == clean


def test_every_cache_of_the_pages_goes_through_one_place() -> None:
    allowed = {"parts/jobs/job.py", "parts/explore/code_editor.py", "parts/server/caching.py", "parts/annotate/queue.py"}  # fmt: skip
    root = Path(views.__file__).parents[2]
    for path in [*root.glob("parts/**/*.py"), *root.glob("pages/*.py"), root / "app.py"]:
        name, text = path.relative_to(root).as_posix(), path.read_text()
        assert "@st.cache" not in text or name in allowed, name
        assert "Store.open(" not in text or name == "parts/server/access.py", name


def test_no_name_can_be_chosen(own_canaries: Store, signed: Callable[..., Open]) -> None:
    set_user(own_canaries, "tom@example.org", "triager")
    at = signed("tom@example.org")(own_canaries.path, "annotate")
    assert "Somebody else" not in {button.label for button in at.button}
    at.session_state["annotator_name"] = "ada@example.org"
    at.run()
    next(b for b in at.button if b.label and "ASR" in b.label).click().run()
    with own_canaries.snapshot() as snapshot:
        rows = snapshot.query("SELECT annotator FROM annotations WHERE annotator LIKE '%@%'")
    assert set(rows["annotator"].to_pylist()) == {"tom@example.org"}


def test_a_sign_out_ends_the_other_tabs(own_canaries: Store, signed: Callable[..., Open]) -> None:
    set_user(own_canaries, "tom@example.org", "triager")
    dashboard = signed("tom@example.org", iat=4711)
    one, other = dashboard(own_canaries.path), dashboard(own_canaries.path)
    assert words_in(everything_sent(other))
    next(button for button in one.button if button.label == "Sign out").click().run()
    for at in (one, other.run(), dashboard(own_canaries.path, "turn", turn=turn("car", 1))):
        assert words_in(everything_sent(at)) <= {"zqturncarx"}
    again = signed("tom@example.org", iat=4712)(own_canaries.path)
    assert words_in(everything_sent(again))


def test_a_sign_out_holds_in_other_processes_and_after_a_restart(
    own_canaries: Store, signed: Callable[..., Open]
) -> None:
    set_user(own_canaries, "tom@example.org", "triager")
    dashboard = signed("tom@example.org", iat=4713)
    one = dashboard(own_canaries.path)
    next(button for button in one.button if button.label == "Sign out").click().run()
    # What only this process knows.
    visitors._ENDED.clear()
    assert "ended by signing out" in everything_sent(dashboard(own_canaries.path))
    acted = visitors.Visitor(str(own_canaries.path), "tom@example.org", Access("triager"), "4713")
    with pytest.raises(NotPermitted, match="signed out"):
        acted.still()
    assert words_in(everything_sent(signed("tom@example.org", iat=4714)(own_canaries.path)))


def test_a_run_that_is_cut_short_does_not_keep_the_answers(
    own_canaries: Store, signed: Callable[..., Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamlit may begin another run wherever the session is touched."""
    set_user(own_canaries, "ann@example.org", "analyst")
    at = signed("ann@example.org")(own_canaries.path)
    at.session_state["explore-history"] = "zqheardcarx"
    at.run()
    remove = SessionStateProxy.__delitem__
    cut: list[object] = []

    def removed(self: SessionStateProxy, key: str) -> None:
        remove(self, key)
        if not cut:
            cut.append(key)
            context = get_script_run_ctx()
            assert context is not None
            raise RerunException(
                RerunData(
                    page_script_hash=context.page_script_hash, query_string=context.query_string
                )
            )

    set_user(own_canaries, "ann@example.org", "analyst", ("kitchen",))
    monkeypatch.setattr(SessionStateProxy, "__delitem__", removed)
    at.run()
    assert cut
    assert "explore-history" not in at.session_state


def test_only_those_who_may_run_jobs_stop_them(
    own_canaries: Store, signed: Callable[..., Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    class Running:
        name, state, seconds, result, error, progress = "Mining", "running", 1.0, None, None, Step()

        def stop(self) -> None:
            stopped.append(self.name)

    monkeypatch.setattr(Jobs, "get", lambda self, name: Running() if name == MINE else None)
    monkeypatch.setattr("tests.app.settled", lambda at: at)
    for address, role in (("tom@example.org", "triager"), ("ann@example.org", "analyst")):
        set_user(own_canaries, address, role)
    with own_canaries.commit() as cycle:
        cycle.delete_rows("rewrites", "true")
    at = signed("tom@example.org")(own_canaries.path, "rewrites")
    assert at.get("progress")
    assert "Stop" not in {button.label for button in at.button}
    at = signed("ann@example.org")(own_canaries.path, "rewrites")
    button = next(button for button in at.button if button.label == "Stop")
    # Drawn before the role was taken away.
    set_user(own_canaries, "ann@example.org", "triager")
    button.click().run()
    assert stopped == []
    set_user(own_canaries, "ann@example.org", "analyst")
    at = signed("ann@example.org")(own_canaries.path, "rewrites")
    next(button for button in at.button if button.label == "Stop").click().run()
    assert stopped == ["Mining"]


@pytest.mark.parametrize("address", ["kit@example.org", "brit@example.org"])
def test_annotating_goes_on_for_somebody_with_a_limit(
    own_canaries: Store, signed: Callable[..., Open], address: str
) -> None:
    set_user(own_canaries, address, *PEOPLE[address])
    at = signed(address)(own_canaries.path, "annotate")
    asked = []
    for _ in range(2):
        asked.append(at.session_state["queue_turn"])
        next(button for button in at.button if button.label and "ASR" in button.label).click().run()
    asked.append(at.session_state["queue_turn"])
    assert len(set(asked)) == 3
    assert "2 today" in texts(at)


def test_an_export_of_annotations_has_no_verdict_that_waits_since(own_canaries: Store) -> None:
    put_setting(own_canaries, SHARE, 1.0)
    make = _content(str(own_canaries.path), "jsonl", "ann")
    with own_canaries.snapshot() as snapshot:
        at = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns ORDER BY turn_id DESC LIMIT 1"
        ).to_pylist()[0]
    annotate(own_canaries, at, "bob", "asr", note="zqbobsnotex")
    annotate(own_canaries, at | {"turn_id": turn("kitchen", 2)}, "ann", "asr", note="zqownnotex")
    assert {"zqbobsnotex", "zqownnotex"} & words_in(make()) == {"zqownnotex"}


def test_viewers_compare_with_no_judge(store: Store, signed: Callable[..., Open]) -> None:
    heading = "Compare with an outside judge"
    assert heading in texts(signed("tom@example.org")(store.path, "model", look="comparison"))
    assert heading not in texts(signed("vera@example.org")(store.path, "model", look="comparison"))


def test_viewers_compare_no_slice_of_a_few_turns(store: Store, signed: Callable[..., Open]) -> None:
    few = {"failing": "asr", "slice": "asr:locale=en-US", "versus": "asr:locale=en-GB;hour=08-12"}
    assert "too few for a viewer" in texts(signed("vera@example.org")(store.path, "triage", **few))
    at = signed("tom@example.org")(store.path, "triage", **few)
    assert "too few for a viewer" not in texts(at)
    assert "turns in both" in html(at)


@pytest.mark.parametrize("address", ["kit@example.org", "tom@example.org"])
def test_a_rewrite_opens(store: Store, signed: Callable[..., Open], address: str) -> None:
    at = signed(address)(store.path, "rewrites", rewrite="zqrewritesrewriteidkitchenx")
    assert "zqrewritesrequestkitchenx" in everything_sent(at)


# -- the audit -------------------------------------------------------------------------------------


def test_the_audit_says_what_was_tried(own_canaries: Store, signed: Callable[..., Open]) -> None:
    set_user(own_canaries, "vera@example.org", "viewer")
    signed("vera@example.org", iat=77)(own_canaries.path, "explore")
    signed("eve@example.org", iat=78)(own_canaries.path)
    visitors._notes(own_canaries.path).flush()
    rows = [(row["who"], row["what"]) for row in audited(own_canaries)]
    assert ("vera@example.org", "sign-in") in rows
    assert ("vera@example.org", "refused") in rows
    assert ("eve@example.org", "refused") in rows
    assert ("command line", "role") in rows
    for role in ROLES:
        if "people" not in MAY[role]:
            with pytest.raises(NotPermitted):
                audited(Store.open(own_canaries.path, access=Access(role)))
            with Store.open(own_canaries.path, access=Access(role)).snapshot() as snapshot:
                assert snapshot.query("FROM audit").num_rows == 0
                assert snapshot.query("FROM users").num_rows == 0


def test_the_list_is_long() -> None:
    tried = len(_CLOSED) + len(_OPEN) + len(_LINKS) + len(_SQL) + len(_STRANGERS)
    assert tried >= 120
